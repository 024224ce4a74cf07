/* The queue in front of the query threads. */
#include "query_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct query_pool pool;

static int setup(void **state)
{
    (void)state;
    pool = (struct query_pool){0};
    return query_pool_open(&pool, 2, 3, NULL) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    query_pool_close(&pool);
    return 0;
}

static const struct peer ANN = {.len = 1, .id = {1}}, BEA = {.len = 1, .id = {2}};

static void put(uint16_t shard, const struct peer *peer, uint64_t request_id)
{
    struct message *m = message_new(MESSAGE_REQUEST);
    m->peer = *peer;
    m->envelope = (struct envelope){.shard = shard, .request_id = request_id};
    assert_true(query_pool_put(&pool, m));
}

static void take(size_t thread, uint64_t request_id)
{
    struct message *m = query_pool_take(&pool, thread);
    assert_non_null(m);
    assert_int_equal(m->envelope.request_id, request_id);
    message_free(m);
}

static void test_pool_first_come_first_served(void **state)
{
    (void)state;
    put(0, &ANN, 1);
    put(1, &ANN, 2);
    put(2, &ANN, 3);
    take(0, 1);
    take(1, 2);
    query_pool_done(&pool, 0);
    take(0, 3);
}

/* Shard 0 has one of two threads: its next question waits, that of shard 1 does not. */
static void test_pool_one_shard_never_has_all_threads(void **state)
{
    (void)state;
    put(0, &ANN, 1);
    put(0, &ANN, 2);
    put(0, &ANN, 3);
    put(1, &ANN, 4);
    take(0, 1);
    take(1, 4);
    query_pool_done(&pool, 1);
    query_pool_done(&pool, 0);
    take(1, 2);
}

static void test_pool_the_only_shard_has_all_threads(void **state)
{
    (void)state;
    pool.n_shards = 1;
    put(0, &ANN, 1);
    put(0, &ANN, 2);
    take(0, 1);
    take(1, 2);
}

static void test_pool_cancel_drops_what_waits_and_stops_what_runs(void **state)
{
    (void)state;
    put(0, &ANN, 1);
    put(1, &ANN, 2);
    put(1, &BEA, 2);
    take(0, 1);
    query_pool_cancel(&pool, &BEA, 1); /* not his */
    assert_false(pool.work[0].cancelled);
    query_pool_cancel(&pool, &ANN, 1);
    assert_true(pool.work[0].cancelled);
    query_pool_cancel(&pool, &ANN, 2);
    assert_int_equal(pool.n_waiting, 1);
    query_pool_done(&pool, 0);
    query_pool_cancel(&pool, &ANN, 7);
    take(0, 2);
    assert_false(pool.work[0].cancelled); /* that was the question before */
    put(2, &ANN, 9);                      /* the queue's end is still in order */
    take(1, 9);
}

static void test_pool_hands_out_the_rest_once_it_is_stopped(void **state)
{
    (void)state;
    put(0, &ANN, 1);
    put(0, &ANN, 2);
    take(0, 1);
    query_pool_stop(&pool);
    assert_true(pool.work[0].cancelled);
    take(1, 2);
    assert_true(pool.work[1].cancelled);
    assert_null(query_pool_take(&pool, 0));
    struct message *late = message_new(MESSAGE_REQUEST);
    assert_false(query_pool_put(&pool, late));
    message_free(late);
}

static void test_pool_bounds_what_waits(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < QUERY_QUEUE_MAX; i++)
        put(0, &ANN, i + 1);
    struct message *more = message_new(MESSAGE_REQUEST);
    assert_false(query_pool_put(&pool, more));
    message_free(more);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_pool_first_come_first_served),
        TEST(test_pool_one_shard_never_has_all_threads),
        TEST(test_pool_the_only_shard_has_all_threads),
        TEST(test_pool_cancel_drops_what_waits_and_stops_what_runs),
        TEST(test_pool_hands_out_the_rest_once_it_is_stopped),
        TEST(test_pool_bounds_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
