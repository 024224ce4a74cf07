#include <base/decimal.h>

#include <math.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_decimal_parse_rounds_to_millionths(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } rows[] = {
        {"0", true, 0},
        {"12.5", true, 12500000},
        {"-3", true, -3000000},
        {"0.0000005", true, 1},
        {"0.0000004", true, 0},
        {"-0.0000005", true, -1},
        {"9199999999999", true, INT64_C(9199999999999000000)},
        {"", false, 0},
        {"-", false, 0},
        {".5", false, 0},
        {"5.", false, 0},
        {"1e3", false, 0},
        {"1.2.3", false, 0},
        {"99999999999999999999", false, 0},
        {" 1", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        decimal_t v = 0;
        assert_int_equal(decimal_parse(bytes_of_str(rows[i].text), &v), rows[i].good);
        if (rows[i].good)
            assert_true(v == rows[i].value);
    }
}

static void test_decimal_format_is_shortest(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *text;
    } rows[] = {{0, "0"},
                {12500000, "12.5"},
                {-1, "-0.000001"},
                {3000000, "3"},
                {INT64_MIN, "-9223372036854.775808"},
                {INT64_MAX, "9223372036854.775807"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[DECIMAL_TEXT_MAX];
        size_t n = decimal_format(rows[i].value, text);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(n, strlen(text));
    }
}

static void test_decimal_of_double_refuses_what_does_not_fit(void **state)
{
    (void)state;
    decimal_t v;
    assert_true(decimal_of_double(99.5, &v) && v == 99500000);
    assert_true(decimal_of_double(0.1 + 0.2, &v) && v == 300000);
    assert_true(decimal_of_double(-15.299999999999999, &v) && v == -15300000);
    assert_false(decimal_of_double(1e13, &v));
    assert_false(decimal_of_double(NAN, &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decimal_parse_rounds_to_millionths),
        cmocka_unit_test(test_decimal_format_is_shortest),
        cmocka_unit_test(test_decimal_of_double_refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
