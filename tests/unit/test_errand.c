/* A change of the cluster map on its way to shard 0. */
#include <gather/errand.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { NOW = 1000, DEADLINE = 11000 };

static struct errand *begun(void)
{
    char change[] = "change";
    struct errand *e = errand_new(bytes_of_str(change), NOW, DEADLINE);
    memset(change, 'x', sizeof change); /* it keeps its own copy */
    assert_int_equal(errand_tick(e, NOW), ERRAND_SEND);
    return e;
}

static struct reply error_reply(enum error_code code, const char *text)
{
    return (struct reply){.status = REPLY_ERROR, .error = code, .text = bytes_of_str(text)};
}

static void test_errand_brings_the_map_back(void **state)
{
    (void)state;
    struct errand *e = begun();
    assert_int_equal(errand_command(e)->type, COMMAND_MAP);
    assert_true(bytes_equal(errand_command(e)->content, bytes_of_str("change")));
    assert_int_equal(errand_tick(e, NOW + 1), ERRAND_WAIT);
    struct reply ok = {.status = REPLY_OK, .version = 7, .content = bytes_of_str("a map")};
    assert_int_equal(errand_reply(e, &ok, NOW + 2), ERRAND_ANSWER);
    assert_int_equal(errand_answer(e)->code, ERR_OK);
    assert_int_equal(errand_answer(e)->task, 7);
    assert_true(bytes_equal(errand_answer(e)->map, bytes_of_str("a map")));
    errand_free(e);
}

static void test_errand_is_sent_again_while_there_is_no_answer(void **state)
{
    (void)state;
    struct errand *e = begun();
    msec_t now = NOW, waited = 0;
    for (int i = 0; i < 3; i++) {
        msec_t next = errand_wake_ms(e);
        assert_true(next - now > waited); /* less and less often */
        waited = next - now;
        now = next;
        assert_int_equal(errand_tick(e, now - 1), ERRAND_WAIT);
        if (now < DEADLINE - ERRAND_MARGIN_MS)
            assert_int_equal(errand_tick(e, now), ERRAND_SEND);
    }
    assert_int_equal(errand_tick(e, DEADLINE - ERRAND_MARGIN_MS), ERRAND_ANSWER);
    assert_int_equal(errand_answer(e)->code, ERR_TIMEOUT);
    assert_true(bytes_equal(errand_answer(e)->text,
                            bytes_of_str("shard 0, which keeps the cluster map, did not answer in "
                                         "time")));
    errand_free(e);
}

static void test_errand_is_sent_again_soon_when_it_was_put_off(void **state)
{
    (void)state;
    static const enum error_code LATER[] = {ERR_NOT_LEADER, ERR_UNAVAILABLE, ERR_BUSY,
                                            ERR_SHUTDOWN};
    struct errand *e = begun();
    msec_t now = NOW;
    for (size_t i = 0; i < sizeof LATER / sizeof LATER[0]; i++) {
        struct reply r = error_reply(LATER[i], "");
        assert_int_equal(errand_reply(e, &r, now), ERRAND_WAIT);
        assert_true(errand_wake_ms(e) <= now + ERRAND_RESEND_MS / 2);
        now = errand_wake_ms(e);
        assert_int_equal(errand_tick(e, now), ERRAND_SEND);
    }
    struct reply moved = {.status = REPLY_WRONG_SHARD};
    assert_int_equal(errand_reply(e, &moved, now), ERRAND_WAIT);
    struct reply last = error_reply(ERR_BUSY, "a vote is under way");
    assert_int_equal(errand_reply(e, &last, now), ERRAND_WAIT);
    assert_int_equal(errand_tick(e, DEADLINE), ERRAND_ANSWER);
    assert_int_equal(errand_answer(e)->code, ERR_TIMEOUT);
    assert_true(bytes_equal(errand_answer(e)->text,
                            bytes_of_str("shard 0, which keeps the cluster map, could not do it in "
                                         "time: a vote is under way")));
    errand_free(e);
}

static void test_errand_without_time_is_not_sent(void **state)
{
    (void)state;
    struct errand *e = errand_new(bytes_of_str("change"), NOW, NOW + ERRAND_MARGIN_MS);
    assert_int_equal(errand_tick(e, NOW), ERRAND_ANSWER);
    assert_int_equal(errand_answer(e)->code, ERR_TIMEOUT);
    errand_free(e);
}

static void test_errand_that_is_refused_says_why(void **state)
{
    (void)state;
    struct errand *e = begun();
    struct reply no = error_reply(ERR_CONFLICT, "node 4 has another address");
    assert_int_equal(errand_reply(e, &no, NOW), ERRAND_ANSWER);
    assert_int_equal(errand_answer(e)->code, ERR_CONFLICT);
    assert_true(bytes_equal(errand_answer(e)->text, bytes_of_str("node 4 has another address")));
    errand_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errand_brings_the_map_back),
        cmocka_unit_test(test_errand_is_sent_again_while_there_is_no_answer),
        cmocka_unit_test(test_errand_is_sent_again_soon_when_it_was_put_off),
        cmocka_unit_test(test_errand_without_time_is_not_sent),
        cmocka_unit_test(test_errand_that_is_refused_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
