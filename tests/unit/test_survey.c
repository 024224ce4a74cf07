#include <gather/survey.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const node_id NODES[] = {4, 5, 9};
enum { N = 3, NOW = 1000, FAR = 60000 };

static void test_survey_ends_when_all_have_said_something(void **state)
{
    (void)state;
    struct response r = {0};
    struct survey *s = survey_new(NODES, N, NOW, FAR);
    survey_take(s, NODES[2], bytes_of_str("well"), 7777);
    survey_fail(s, NODES[0], bytes_of_str("no connection"), 0);
    assert_false(survey_is_done(s, NOW));
    survey_take(s, NODES[1], bytes_of_str("fine"), 7778);
    assert_true(survey_is_done(s, NOW));
    survey_answer(s, &r);
    assert_int_equal(r.n_nodes, N);
    assert_int_equal(r.nodes[0].node, 4);
    assert_false(r.nodes[0].answers);
    assert_true(bytes_equal(r.nodes[0].text, bytes_of_str("no connection")));
    assert_true(r.nodes[2].answers && r.nodes[2].heard_ms == 7777);
    assert_true(bytes_equal(r.nodes[2].status, bytes_of_str("well")));
    survey_free(s);
}

static void test_survey_waits_for_silent_nodes_only_so_long(void **state)
{
    (void)state;
    struct response r = {0};
    struct survey *s = survey_new(NODES, N, NOW, FAR);
    survey_take(s, NODES[0], bytes_of_str("a"), 1);
    assert_true(survey_wake_ms(s) == NOW + SURVEY_PATIENCE_MS);
    assert_false(survey_is_done(s, survey_wake_ms(s) - 1));
    assert_true(survey_is_done(s, survey_wake_ms(s)));
    survey_answer(s, &r);
    assert_false(r.nodes[1].answers);
    assert_true(r.nodes[1].text.len > 0);
    survey_free(s);
    s = survey_new(NODES, N, NOW, NOW + 10); /* the asker's deadline is nearer */
    assert_true(survey_is_done(s, NOW + 10));
    survey_free(s);
}

static void test_survey_takes_the_first_word_and_no_strangers(void **state)
{
    (void)state;
    struct response r = {0};
    struct survey *s = survey_new(NODES, N, NOW, FAR);
    survey_take(s, NODES[1], bytes_of_str("first"), 1);
    survey_take(s, NODES[1], bytes_of_str("again"), 2);
    survey_take(s, 7, bytes_of_str("whose?"), 3);
    survey_take(s, NODES[0], bytes_of_str(""), 4);
    assert_false(survey_is_done(s, NOW));
    survey_answer(s, &r);
    assert_true(bytes_equal(r.nodes[1].status, bytes_of_str("first")));
    assert_false(r.nodes[0].answers); /* it said nothing of itself */
    survey_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_survey_ends_when_all_have_said_something),
        cmocka_unit_test(test_survey_waits_for_silent_nodes_only_so_long),
        cmocka_unit_test(test_survey_takes_the_first_word_and_no_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
