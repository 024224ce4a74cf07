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
    m.nodes[255].id = UINT16_MAX;
    m.last_task = UINT32_MAX;
    m.shards[1022] = (struct map_shard){
        .n_replicas = 1, .n_holders = 1, .task = UINT32_MAX, .changed = UINT64_MAX};
    m.shards[1022].holders[0] = (struct map_replica){UINT32_MAX, UINT16_MAX, 1};
    m.shards[1023] = (struct map_shard){
        .n_replicas = CLUSTER_REPLICAS_MAX, .n_holders = MAP_HOLDERS_MAX, .is_moving = true};
    for (int i = 0; i < MAP_HOLDERS_MAX; i++)
        m.shards[1023].holders[i] = (struct map_replica){
            .node = (node_id)(10 + i), .settled = (uint8_t)(i < CLUSTER_REPLICAS_MAX ? i : 0)};
    for (uint32_t i = 0; i < m.n_shards; i++) {
        if (m.shards[i].holders[0].node == 10 + 255)
            m.shards[i].holders[0].node = UINT16_MAX;
    }
    expect_round_trip(&m);
}

static void test_map_round_trips_nodes_and_tasks(void **state)
{
    (void)state;
    struct cluster_map m = first_map(6, 3);
    m.nodes[0].state = MAP_NODE_DRAINED;
    m.nodes[1].state = MAP_NODE_LEAVING;
    memset(m.nodes[2].listen, 'x', MAP_ENDPOINT_MAX - 1);
    m.last_task = UINT32_MAX;
    for (uint32_t i = 0; i < MAP_TASKS_MAX; i++)
        m.tasks[m.n_tasks++] =
            (struct map_task){.id = UINT32_MAX - MAP_TASKS_MAX + 1 + i,
                              .kind = (enum map_task_kind)(MAP_TASK_ADD + i % 4),
                              .state = (enum map_task_state)(MAP_TASK_RUNNING + i / 4 % 4),
                              .node = UINT16_MAX,
                              .other = (node_id)i,
                              .n_shards = CLUSTER_SHARDS_MAX,
                              .began_ms = INT64_MAX,
                              .ended_ms = i};
    expect_round_trip(&m);
}

static void test_map_finds_nodes_tasks_and_holders(void **state)
{
    (void)state;
    struct cluster_map m = first_map(1, 3);
    m.last_task = 9;
    m.tasks[m.n_tasks++] = (struct map_task){.id = 4};
    m.tasks[m.n_tasks++] = (struct map_task){.id = 9};
    m.shards[0] = (struct map_shard){
        .n_replicas = 1, .n_holders = 2, .is_moving = true, .task = 9, .changed = 1};
    m.shards[0].holders[0].node = 12;
    m.shards[0].holders[1].node = 10;
    assert_null(cluster_map_node(&m, 9));
    assert_null(cluster_map_node(&m, 13));
    for (node_id id = 10; id < 13; id++)
        assert_int_equal(cluster_map_node(&m, id)->id, id);
    assert_null(cluster_map_task(&m, 5));
    assert_int_equal(cluster_map_task(&m, 9)->id, 9);
    assert_int_equal(cluster_map_place(&m, 0, 12), 0);
    assert_int_equal(cluster_map_place(&m, 0, 10), -1);
    assert_ptr_equal(cluster_map_holder(&m, 0, 10), &m.shards[0].holders[1]);
    assert_null(cluster_map_holder(&m, 0, 11));
    assert_int_equal(cluster_map_task_left(&m, 9), 1);
    assert_int_equal(cluster_map_task_left(&m, 4), 0);
    m.shards[0].is_moving = false;
    assert_int_equal(cluster_map_task_left(&m, 9), 0);
}

static void test_map_of_a_small_cluster_is_small(void **state)
{
    (void)state;
    struct cluster_map m = first_map(6, 3);
    struct buf b = encoded(&m);
    assert_true(b.len < 128);
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

/* What a map says, each number of our choosing, under a check sum that holds. One shard takes all
 * slots unless `runs` says otherwise. */
struct body {
    uint64_t epoch, n_replicas, n_shards;
    uint64_t wanted, n_holders, moving, task, changed;
    uint64_t holders[3][3]; /* node, since, settled */
    uint64_t runs[2][2];
    uint64_t n_nodes, nodes[2], node_state, listen_len;
    uint64_t last_task, n_tasks, tasks[2], kind, task_state, task_node, task_shards, began;
};

static struct body sound_body(void)
{
    return (struct body){.epoch = 9,
                         .n_replicas = 1,
                         .n_shards = 1,
                         .wanted = 1,
                         .n_holders = 2,
                         .moving = 1,
                         .task = 5,
                         .changed = 9,
                         .holders = {{2, 9, 0}, {1, 0, 1}, {1, 0, 2}},
                         .runs = {{SLOT_COUNT, 0}},
                         .n_nodes = 2,
                         .nodes = {1, 2},
                         .node_state = MAP_NODE_LEAVING,
                         .listen_len = 3,
                         .last_task = 5,
                         .n_tasks = 2,
                         .tasks = {4, 5},
                         .kind = MAP_TASK_REPLACE,
                         .task_state = MAP_TASK_CANCELLED,
                         .task_node = 2,
                         .task_shards = 1,
                         .began = 1};
}

static void put_shards(const struct body *m, struct buf *b)
{
    for (size_t i = 0; i < m->n_shards && i < 2000; i++) {
        buf_put_varint(b, m->wanted);
        buf_put_varint(b, m->n_holders);
        buf_put_u8(b, (uint8_t)m->moving);
        buf_put_varint(b, m->task);
        buf_put_varint(b, m->changed);
        for (size_t k = 0; k < m->n_holders && k < 3; k++) {
            for (size_t v = 0; v < 3; v++)
                buf_put_varint(b, m->holders[k][v]);
        }
    }
}

static void put_nodes_and_tasks(const struct body *m, struct buf *b)
{
    static const uint8_t LISTEN[MAP_ENDPOINT_MAX] = {'x'};
    buf_put_varint(b, m->n_nodes);
    for (size_t i = 0; i < m->n_nodes && i < 2; i++) {
        buf_put_varint(b, m->nodes[i]);
        buf_put_u8(b, (uint8_t)m->node_state);
        buf_put_bytes(b, bytes_of(LISTEN, (size_t)m->listen_len));
    }
    buf_put_varint(b, m->last_task);
    buf_put_varint(b, m->n_tasks);
    for (size_t i = 0; i < m->n_tasks && i < 2; i++) {
        buf_put_varint(b, m->tasks[i]);
        buf_put_u8(b, (uint8_t)m->kind);
        buf_put_u8(b, (uint8_t)m->task_state);
        buf_put_varint(b, m->task_node);
        buf_put_varint(b, 0);
        buf_put_varint(b, m->task_shards);
        buf_put_varint(b, m->began);
        buf_put_varint(b, 0);
    }
}

static struct buf sealed(const struct body *m)
{
    struct buf b = {0};
    buf_put_u32(&b, 0x504D494F);
    buf_put_u8(&b, 3);
    buf_put_varint(&b, m->epoch);
    buf_put_u64(&b, 1);
    buf_put_varint(&b, m->n_replicas);
    buf_put_varint(&b, m->n_shards);
    put_shards(m, &b);
    for (size_t i = 0; i < 2 && (i == 0 || m->runs[i][0]); i++) {
        buf_put_varint(&b, m->runs[i][0]);
        buf_put_varint(&b, m->runs[i][1]);
    }
    put_nodes_and_tasks(m, &b);
    buf_put_u32(&b, hash_checksum(buf_bytes(&b)));
    return b;
}

static enum error_code open_sealed(const struct body *m)
{
    static struct cluster_map back;
    struct error err = {0};
    struct buf b = sealed(m);
    enum error_code rc = cluster_map_decode(buf_bytes(&b), &back, &err);
    assert_int_equal(err.code, rc);
    buf_free(&b);
    return rc;
}

static void test_map_takes_a_sound_body(void **state)
{
    (void)state;
    struct body m = sound_body();
    assert_int_equal(open_sealed(&m), ERR_OK);
    m.n_shards = 2;
    m.runs[0][0] = 1;
    m.runs[0][1] = 1;
    m.runs[1][0] = SLOT_COUNT - 1;
    assert_int_equal(open_sealed(&m), ERR_OK);
}

static void test_map_refuses_contradictions_under_a_sound_check_sum(void **state)
{
    (void)state;
#define BAD(field, value)                                                                          \
    do {                                                                                           \
        struct body m = sound_body();                                                              \
        m.field = (value);                                                                         \
        if (open_sealed(&m) != ERR_CORRUPT)                                                        \
            fail_msg("taken: %s = %s", #field, #value);                                            \
    } while (0)
    BAD(epoch, 0);
    BAD(n_replicas, 0);
    BAD(n_replicas, CLUSTER_REPLICAS_MAX + 1);
    BAD(n_shards, 0);
    BAD(n_shards, CLUSTER_SHARDS_MAX + 1);
    BAD(n_shards, UINT64_MAX);
    BAD(wanted, 0);
    BAD(wanted, 3); /* more than hold it */
    BAD(wanted, CLUSTER_REPLICAS_MAX + 1);
    BAD(n_holders, 0);
    BAD(n_holders, 3); /* the same node twice */
    BAD(n_holders, MAP_HOLDERS_MAX + 1);
    BAD(moving, 0); /* with one to be given up */
    BAD(moving, 2);
    BAD(task, 6);
    BAD(task, UINT64_C(1) << 32);
    BAD(changed, 10);
    BAD(holders[0][0], 0);
    BAD(holders[0][0], 3); /* not a node of the map */
    BAD(holders[0][0], 65536 + 2);
    BAD(holders[0][1], 10);
    BAD(holders[0][1], (UINT64_C(1) << 32) + 1);
    BAD(holders[0][2], CLUSTER_REPLICAS_MAX + 1);
    BAD(runs[0][1], 1);
    BAD(runs[0][0], 0);
    BAD(runs[0][0], SLOT_COUNT - 1);
    BAD(runs[0][0], SLOT_COUNT + 1);
    BAD(runs[0][0], UINT64_MAX);
    BAD(runs[1][0], 1);
    BAD(n_nodes, 0);
    BAD(n_nodes, 1);
    BAD(n_nodes, CLUSTER_NODES_MAX + 1);
    BAD(n_nodes, UINT64_MAX);
    BAD(nodes[0], 0);
    BAD(nodes[0], 2);
    BAD(nodes[0], 3);
    BAD(nodes[1], 65536);
    BAD(node_state, MAP_NODE_LEAVING + 1);
    BAD(listen_len, MAP_ENDPOINT_MAX);
    BAD(last_task, 4);
    BAD(last_task, UINT64_C(1) << 32);
    BAD(n_tasks, MAP_TASKS_MAX + 1);
    BAD(tasks[0], 0);
    BAD(tasks[0], 5);
    BAD(tasks[1], 6);
    BAD(kind, 0);
    BAD(kind, MAP_TASK_KINDS);
    BAD(task_state, 0);
    BAD(task_state, MAP_TASK_CANCELLED + 1);
    BAD(task_node, 65536);
    BAD(task_shards, CLUSTER_SHARDS_MAX + 1);
    BAD(began, (uint64_t)INT64_MAX + 1);
#undef BAD
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_of_a_first_start_is_contiguous_and_even),
        cmocka_unit_test(test_map_of_a_first_start_has_epoch_and_cluster),
        cmocka_unit_test(test_map_round_trips),
        cmocka_unit_test(test_map_round_trips_nodes_and_tasks),
        cmocka_unit_test(test_map_finds_nodes_tasks_and_holders),
        cmocka_unit_test(test_map_of_a_small_cluster_is_small),
        cmocka_unit_test(test_map_encode_appends),
        cmocka_unit_test(test_map_refuses_every_corrupted_byte),
        cmocka_unit_test(test_map_refuses_truncated_and_longer_forms),
        cmocka_unit_test(test_map_takes_a_sound_body),
        cmocka_unit_test(test_map_refuses_contradictions_under_a_sound_check_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
