#include <proto/status.h>

#include <base/rng.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct status_member two_members[] = {{1, UINT64_C(0xFFFFFFFFFFFF), STATUS_VOTER, 9},
                                             {UINT16_MAX, 2, STATUS_STANDBY, UINT64_MAX}};

static struct status_node full_node(struct status_replica *replicas)
{
    replicas[0] = (struct status_replica){.shard = 1023,
                                          .said_ms = 5,
                                          .folder = 21,
                                          .is_leader = true,
                                          .is_changing = true,
                                          .is_fetching = true,
                                          .leader = 1,
                                          .wanted = 2,
                                          .wanted_voters = 3,
                                          .term = 4,
                                          .commit = 6,
                                          .applied = 7,
                                          .first = 8,
                                          .last = 9,
                                          .snapshot = 10,
                                          .led_ms = 11,
                                          .members = two_members,
                                          .n_members = 2,
                                          .memtable_bytes = 12,
                                          .memtable_limit = 13,
                                          .disk_bytes = 14,
                                          .index_bytes = 15,
                                          .index_members = 16,
                                          .catalogue = 17,
                                          .dirty_ms = 18,
                                          .checkpoint_fails = true,
                                          .merging = 19,
                                          .stuck = 20};
    replicas[1] = (struct status_replica){.shard = 0};
    return (struct status_node){.node = UINT16_MAX,
                                .folder = 1,
                                .wall_ms = -2,
                                .up_ms = 3,
                                .map_epoch = 4,
                                .map_digest = 5,
                                .schema_digest = UINT64_MAX,
                                .disk_full = true,
                                .is_stopping = true,
                                .disk_free = 6,
                                .disk_total = 7,
                                .log_bytes = 8,
                                .refused = 9,
                                .checkpoint_seconds = 60,
                                .replicas = replicas,
                                .n_replicas = 2};
}

/* Field by field: all that is encoded comes back, so that encoding it anew gives the same bytes,
 * and each field of the struct has a value of its own in it. */
static void test_a_node_reads_back_as_it_was(void **state)
{
    (void)state;
    struct status_replica replicas[2];
    struct status_node sent = full_node(replicas), *got = NULL;
    struct arena arena = {0};
    struct error err;
    struct buf a = {0}, b = {0};
    status_node_encode(&sent, &a);
    assert_int_equal(status_node_decode(buf_bytes(&a), &arena, &got, &err), ERR_OK);
    status_node_encode(got, &b);
    assert_true(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
    assert_int_equal(got->n_replicas, 2);
    assert_true(got->wall_ms == -2 && got->disk_full && got->is_stopping);
    const struct status_replica *r = &got->replicas[0];
    assert_true(r->is_leader && r->is_changing && r->is_fetching && r->checkpoint_fails);
    assert_true(r->wanted == 2 && r->wanted_voters == 3 && r->last == 9 && r->stuck == 20);
    assert_int_equal(r->folder, 21);
    assert_int_equal(r->n_members, 2);
    assert_int_equal(r->members[1].node, UINT16_MAX);
    assert_true(r->members[1].match == UINT64_MAX);
    buf_free(&a);
    buf_free(&b);
    arena_close(&arena);
}

static void test_a_router_reads_back_as_it_was(void **state)
{
    (void)state;
    struct status_router sent = {1, 2, 3, 4, 5, 6, 7, 8, 9}, *got = NULL;
    struct arena arena = {0};
    struct error err;
    struct buf a = {0};
    status_router_encode(&sent, &a);
    assert_int_equal(status_router_decode(buf_bytes(&a), &arena, &got, &err), ERR_OK);
    assert_true(got->router == 1 && got->wall_ms == 2 && got->up_ms == 3 && got->map_epoch == 4);
    assert_true(got->map_digest == 5 && got->schema_digest == 6 && got->catalogue == 7);
    assert_true(got->refused == 8 && got->in_flight == 9);
    buf_free(&a);
    arena_close(&arena);
}

static enum error_code reads(const struct status_node *n)
{
    struct arena arena = {0};
    struct error err;
    struct buf a = {0};
    struct status_node *got = NULL;
    status_node_encode(n, &a);
    enum error_code rc = status_node_decode(buf_bytes(&a), &arena, &got, &err);
    buf_free(&a);
    arena_close(&arena);
    return rc;
}

static void test_what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct status_member m = {1, 1, (enum status_role)3, 1};
    struct status_replica r = {.members = &m, .n_members = 1};
    struct status_node n = {.node = 1, .replicas = &r, .n_replicas = 1};
    assert_int_equal(reads(&n), ERR_MALFORMED);
    m.role = STATUS_VOTER;
    assert_int_equal(reads(&n), ERR_OK);
    n.node = 0;
    assert_int_equal(reads(&n), ERR_MALFORMED);
}

static void test_damaged_bytes_do_no_harm(void **state)
{
    (void)state;
    struct status_replica replicas[2];
    struct status_node sent = full_node(replicas), *got = NULL;
    struct buf a = {0};
    size_t refused = 0;
    status_node_encode(&sent, &a);
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct rng rng = rng_of_seed(seed);
        struct arena arena = {0};
        struct error err;
        size_t len = rng_below(&rng, a.len) + 1;
        uint8_t *copy = malloc(len);
        memcpy(copy, a.data, len);
        copy[rng_below(&rng, len)] = (uint8_t)rng_u64(&rng);
        refused += status_node_decode(bytes_of(copy, len), &arena, &got, &err) != ERR_OK;
        arena_close(&arena);
        free(copy);
    }
    assert_true(refused > 1000);
    buf_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_node_reads_back_as_it_was),
        cmocka_unit_test(test_a_router_reads_back_as_it_was),
        cmocka_unit_test(test_what_cannot_be_is_refused),
        cmocka_unit_test(test_damaged_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
