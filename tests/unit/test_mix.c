#include <load/mix.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_mix_is_parsed(void **state)
{
    (void)state;
    struct mix m;
    struct error err = {0};
    assert_int_equal(mix_parse("ingest=70,get=25,count=5", &m, &err), ERR_OK);
    assert_int_equal(m.weight[OP_INGEST], 70);
    assert_int_equal(m.weight[OP_GET], 25);
    assert_int_equal(m.weight[OP_COUNT], 5);
    assert_int_equal(m.weight[OP_UPDATE], 0);
    assert_int_equal(m.total, 100);
    assert_int_equal(mix_parse("resolve=1", &m, &err), ERR_OK);
    assert_int_equal(m.weight[OP_RESOLVE], 1);
    assert_int_equal(m.total, 1);
}

static void test_mix_that_makes_no_sense_is_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } wrong[] = {{"", "KIND=WEIGHT"},
                 {"get", "KIND=WEIGHT"},
                 {"get=1,", "KIND=WEIGHT"},
                 {",get=1", "KIND=WEIGHT"},
                 {"gets=1", "unknown kind 'gets'"},
                 {"=1", "unknown kind ''"},
                 {"get=1,get=2", "get stands there twice"},
                 {"get=0", "weight of get"},
                 {"get=-1", "weight of get"},
                 {"get=1.5", "weight of get"},
                 {"get=", "weight of get"},
                 {"get=1000001", "weight of get"},
                 {"get=99999999999999999999999", "weight of get"}};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct mix m;
        struct error err = {0};
        assert_int_equal(mix_parse(wrong[i].text, &m, &err), ERR_USAGE);
        if (!strstr(err.msg, wrong[i].says))
            fail_msg("'%s': %s", wrong[i].text, err.msg);
    }
}

/* Each kind within five standard deviations of its share; what is not in the mix never. */
static void test_kinds_are_drawn_by_their_weights(void **state)
{
    (void)state;
    enum { N = 100000 };
    struct mix m;
    struct error err = {0};
    struct rng r = rng_of_seed(1);
    int64_t drawn[OP_KINDS] = {0};
    assert_int_equal(mix_parse("ingest=70,get=25,count=5", &m, &err), ERR_OK);
    for (unsigned i = 0; i < N; i++)
        drawn[mix_draw(&m, &r)]++;
    assert_in_range(drawn[OP_INGEST], 70000 - 725, 70000 + 725);
    assert_in_range(drawn[OP_GET], 25000 - 685, 25000 + 685);
    assert_in_range(drawn[OP_COUNT], 5000 - 345, 5000 + 345);
    assert_int_equal(drawn[OP_UPDATE] + drawn[OP_RESOLVE], 0);
}

static void test_mix_of_one_draws_that_kind(void **state)
{
    (void)state;
    struct rng r = rng_of_seed(1);
    for (unsigned op = 0; op < OP_KINDS; op++) {
        struct mix m = mix_of_one((enum op)op);
        for (unsigned i = 0; i < 10; i++)
            assert_int_equal(mix_draw(&m, &r), op);
        assert_int_equal(op_of_name(op_name((enum op)op), strlen(op_name((enum op)op))), op);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mix_is_parsed),
        cmocka_unit_test(test_mix_that_makes_no_sense_is_refused_with_the_reason),
        cmocka_unit_test(test_kinds_are_drawn_by_their_weights),
        cmocka_unit_test(test_mix_of_one_draws_that_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
