#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <meta/greeting.h>

#include <string.h>

static struct greeting g, back;

static void test_a_greeting_comes_back_as_it_was(void **state)
{
    (void)state;
    struct buf b = {0};
    struct error err;
    g = (struct greeting){.hello = bytes_of_str("hello"), .epoch = UINT64_MAX};
    for (g.n_settled = 0; g.n_settled < CLUSTER_SHARDS_MAX; g.n_settled++)
        g.settled[g.n_settled] = (struct greeting_settled){
            (shard_id)(CLUSTER_SHARDS_MAX - 1 - g.n_settled), g.n_settled * 1000003};
    greeting_encode(&g, &b);
    assert_int_equal(greeting_decode(buf_bytes(&b), &back, &err), ERR_OK);
    assert_true(bytes_equal(back.hello, g.hello));
    assert_true(back.epoch == g.epoch && back.n_settled == g.n_settled);
    for (size_t i = 0; i < g.n_settled; i++)
        assert_true(back.settled[i].shard == g.settled[i].shard &&
                    back.settled[i].changed == g.settled[i].changed);
    for (size_t len = 0; len < b.len; len++)
        assert_int_equal(greeting_decode(bytes_of(b.data, len), &back, &err), ERR_MALFORMED);
    buf_put_u8(&b, 0);
    assert_int_equal(greeting_decode(buf_bytes(&b), &back, &err), ERR_MALFORMED);
    buf_free(&b);
}

static void test_a_greeting_of_too_much_is_refused(void **state)
{
    (void)state;
    struct buf b = {0};
    struct error err;
    buf_put_varint(&b, 0);
    buf_put_varint(&b, 1);
    buf_put_varint(&b, 1);
    buf_put_varint(&b, CLUSTER_SHARDS_MAX); /* no such shard */
    buf_put_varint(&b, 1);
    assert_int_equal(greeting_decode(buf_bytes(&b), &back, &err), ERR_MALFORMED);
    buf_reset(&b);
    buf_put_varint(&b, 0);
    buf_put_varint(&b, 1);
    buf_put_varint(&b, UINT64_MAX);
    assert_int_equal(greeting_decode(buf_bytes(&b), &back, &err), ERR_MALFORMED);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_greeting_comes_back_as_it_was),
        cmocka_unit_test(test_a_greeting_of_too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
