#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/hash.h>
#include <cluster/map.h>

#include <string.h>

static struct cluster_map first_map(uint32_t n_shards, size_t n_nodes)
{
    static struct cluster_node nodes[CLUSTER_NODES_MAX];
    for (size_t i = 0; i < n_nodes; i++)
        nodes[i] = (struct cluster_node){.id = (node_id)(10 + i), .listen = "", .metrics = ""};
    struct cluster_config c = {
        .name = "demo", .n_shards = n_shards, .n_replicas = 1, .nodes = nodes, .n_nodes = n_nodes};
    struct cluster_map m;
    cluster_map_init(&m, &c);
    return m;
}

static void test_map_of_a_first_start_is_contiguous_and_even(void **state)
{
    (void)state;
    static const uint32_t SHARDS[] = {1, 2, 3, 6, 7, 1000, 1024};
    for (size_t k = 0; k < sizeof SHARDS / sizeof *SHARDS; k++) {
        uint32_t n = SHARDS[k], owned[CLUSTER_SHARDS_MAX] = {0};
        struct cluster_map m = first_map(n, 3);
        assert_int_equal(m.n_shards, n);
        for (size_t s = 0; s < SLOT_COUNT; s++) {
            assert_true(s == 0 || m.shard_of_slot[s] == m.shard_of_slot[s - 1] ||
                        m.shard_of_slot[s] == m.shard_of_slot[s - 1] + 1);
            owned[m.shard_of_slot[s]]++;
        }
        for (uint32_t i = 0; i < n; i++) {
            assert_true(owned[i] == SLOT_COUNT / n || owned[i] == SLOT_COUNT / n + 1);
            assert_int_equal(m.shards[i].n_replicas, 1);
            assert_int_equal(m.shards[i].holders[0].node, 10 + i % 3);
            assert_int_equal(cluster_map_place(&m, (shard_id)i, (node_id)(10 + i % 3)), 0);
            assert_int_equal(cluster_map_place(&m, (shard_id)i, 9), -1);
        }
    }
}

static void test_map_of_a_first_start_has_epoch_and_cluster(void **state)
{
    (void)state;
    struct cluster_map m = first_map(6, 3);
    assert_int_equal(m.epoch, 1);
    assert_int_equal(m.cluster_id, hash64(bytes_of_str("demo")));
}

static struct buf encoded(const struct cluster_map *m)
{
    struct buf b = {0};
    cluster_map_encode(m, &b);
    return b;
}

static void expect_round_trip(const struct cluster_map *m)
{
    static struct cluster_map back;
    struct buf b = encoded(m);
    struct error err = {0};
    memset(&back, 0x55, sizeof back);
    if (cluster_map_decode(buf_bytes(&b), &back, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(back.epoch, m->epoch);
    assert_int_equal(back.cluster_id, m->cluster_id);
    assert_int_equal(back.n_shards, m->n_shards);
    assert_memory_equal(back.shard_of_slot, m->shard_of_slot, sizeof m->shard_of_slot);
    assert_memory_equal(&back, m, sizeof back);
    buf_free(&b);
}

static void test_map_round_trips(void **state)
{
    (void)state;
    struct cluster_map m = first_map(6, 3);
    expect_round_trip(&m);
    m = first_map(1, 1);
    expect_round_trip(&m);
    m = first_map(1024, 256);
    expect_round_trip(&m);
    /* The worst case of run lengths, the largest numbers, and shards without a slot. */
    for (size_t s = 0; s < SLOT_COUNT; s++)
        m.shard_of_slot[s] = s % 2 ? 1023 : 0;
    m.epoch = UINT64_MAX;
    m.cluster_id = UINT64_MAX;
    m.shards[1023].n_replicas = CLUSTER_REPLICAS_MAX;
    for (int i = 0; i < CLUSTER_REPLICAS_MAX; i++)
        m.shards[1023].holders[i].node = (node_id)(UINT16_MAX - i);
    expect_round_trip(&m);
}

static void test_map_of_a_small_cluster_is_small(void **state)
{
    (void)state;
    struct cluster_map m = first_map(6, 3);
    struct buf b = encoded(&m);
    assert_true(b.len < 64);
    buf_free(&b);
}

static void test_map_encode_appends(void **state)
{
    (void)state;
    struct cluster_map m = first_map(6, 3), back;
    struct buf b = {0};
    buf_put_u8(&b, 0xAA);
    cluster_map_encode(&m, &b);
    assert_int_equal(cluster_map_decode(bytes_of(b.data + 1, b.len - 1), &back, NULL), ERR_OK);
    buf_free(&b);
}

static void test_map_refuses_every_corrupted_byte(void **state)
{
    (void)state;
    struct cluster_map m = first_map(6, 3), back;
    struct buf b = encoded(&m);
    for (size_t i = 0; i < b.len; i++) {
        for (unsigned v = 1; v < 256; v++) {
            struct error err = {0};
            b.data[i] ^= (uint8_t)v;
            enum error_code rc = cluster_map_decode(buf_bytes(&b), &back, &err);
            assert_int_equal(rc, i == 4 ? ERR_MISMATCH : ERR_CORRUPT);
            assert_int_equal(err.code, rc);
            b.data[i] ^= (uint8_t)v;
        }
    }
    buf_free(&b);
}

static void test_map_refuses_truncated_and_longer_forms(void **state)
{
    (void)state;
    struct cluster_map m = first_map(6, 3), back;
    struct buf b = encoded(&m);
    for (size_t len = 0; len < b.len; len++)
        assert_int_equal(cluster_map_decode(bytes_of(b.data, len), &back, NULL), ERR_CORRUPT);
    buf_put_u8(&b, 0);
    assert_int_equal(cluster_map_decode(buf_bytes(&b), &back, NULL), ERR_CORRUPT);
    assert_int_equal(cluster_map_decode(bytes_of(NULL, 0), &back, NULL), ERR_CORRUPT);
    buf_free(&b);
}

/* A body of our choosing under a check sum that holds. */
static struct buf sealed(uint64_t epoch, uint64_t n_shards, uint64_t leader,
                         const uint64_t runs[][2], size_t n_runs)
{
    struct buf b = {0};
    buf_put_u32(&b, 0x504D494F);
    buf_put_u8(&b, 2);
    buf_put_varint(&b, epoch);
    buf_put_u64(&b, 1);
    buf_put_varint(&b, n_shards);
    for (size_t i = 0; i < n_shards && i < 2000; i++) {
        buf_put_varint(&b, 1); /* replica */
        buf_put_varint(&b, leader);
    }
    for (size_t i = 0; i < n_runs; i++) {
        buf_put_varint(&b, runs[i][0]);
        buf_put_varint(&b, runs[i][1]);
    }
    buf_put_u32(&b, hash_checksum(buf_bytes(&b)));
    return b;
}

static void test_map_refuses_contradictions_under_a_sound_check_sum(void **state)
{
    (void)state;
    static const struct {
        uint64_t epoch, n_shards, leader, runs[2][2];
        size_t n_runs;
        enum error_code rc;
    } T[] = {
        {1, 1, 1, {{SLOT_COUNT, 0}}, 1, ERR_OK},
        {1, 2, 1, {{1, 1}, {SLOT_COUNT - 1, 0}}, 2, ERR_OK},
        {0, 1, 1, {{SLOT_COUNT, 0}}, 1, ERR_CORRUPT},
        {1, 0, 1, {{SLOT_COUNT, 0}}, 1, ERR_CORRUPT},
        {1, 1025, 1, {{SLOT_COUNT, 0}}, 1, ERR_CORRUPT},
        {1, UINT64_MAX, 1, {{SLOT_COUNT, 0}}, 1, ERR_CORRUPT},
        {1, 1, 0, {{SLOT_COUNT, 0}}, 1, ERR_CORRUPT},
        {1, 1, 65536, {{SLOT_COUNT, 0}}, 1, ERR_CORRUPT},
        {1, 1, 1, {{SLOT_COUNT, 1}}, 1, ERR_CORRUPT},
        {1, 1, 1, {{SLOT_COUNT - 1, 0}}, 1, ERR_CORRUPT},
        {1, 1, 1, {{SLOT_COUNT + 1, 0}}, 1, ERR_CORRUPT},
        {1, 1, 1, {{UINT64_MAX, 0}}, 1, ERR_CORRUPT},
        {1, 1, 1, {{0, 0}, {SLOT_COUNT, 0}}, 2, ERR_CORRUPT},
        {1, 1, 1, {{SLOT_COUNT, 0}, {1, 0}}, 2, ERR_CORRUPT},
    };
    for (size_t i = 0; i < sizeof T / sizeof *T; i++) {
        struct cluster_map back;
        struct buf b = sealed(T[i].epoch, T[i].n_shards, T[i].leader, T[i].runs, T[i].n_runs);
        enum error_code rc = cluster_map_decode(buf_bytes(&b), &back, NULL);
        if (rc != T[i].rc)
            fail_msg("row %zu gave %d", i, rc);
        buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_of_a_first_start_is_contiguous_and_even),
        cmocka_unit_test(test_map_of_a_first_start_has_epoch_and_cluster),
        cmocka_unit_test(test_map_round_trips),
        cmocka_unit_test(test_map_of_a_small_cluster_is_small),
        cmocka_unit_test(test_map_encode_appends),
        cmocka_unit_test(test_map_refuses_every_corrupted_byte),
        cmocka_unit_test(test_map_refuses_truncated_and_longer_forms),
        cmocka_unit_test(test_map_refuses_contradictions_under_a_sound_check_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
