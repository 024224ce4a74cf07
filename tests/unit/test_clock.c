#include <base/clock.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_clock_dates_go_both_ways(void **state)
{
    (void)state;
    for (int32_t day = -200000; day < 200000; day += 7) {
        int y, m, d;
        clock_date_of_day(day, &y, &m, &d);
        assert_int_equal(clock_day_of_date(y, m, d), day);
    }
    assert_int_equal(clock_day_of_date(1970, 1, 1), 0);
    assert_int_equal(clock_day_of_date(2000, 3, 1), 11017);
}

static void test_clock_parse_date_takes_only_dates(void **state)
{
    (void)state;
    int32_t day;
    assert_int_equal(clock_parse_date("2024-02-29", &day), 0);
    assert_int_equal(day, clock_day_of_date(2024, 2, 29));
    static const char *const bad[] = {"2023-02-29", "2024-13-01",  "2024-00-10",
                                      "2024-1-01",  "20240101",    "2024-01-32",
                                      "abcd-01-01", "2024-01-01 ", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(clock_parse_date(bad[i], &day), -1);
}

static void test_clock_zones_are_files_of_the_database(void **state)
{
    (void)state;
    assert_true(clock_has_timezone("Asia/Shanghai"));
    assert_true(clock_has_timezone("UTC"));
    static const char *const bad[] = {"Asia",        "zone.tab", "../etc/passwd",
                                      "/etc/passwd", "",         "Asia/Nowhere"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(clock_has_timezone(bad[i]));
    assert_int_equal(clock_set_timezone("Asia/Nowhere"), -1);
}

/* Each hour of 2024 in a zone with daylight saving: days begin at local midnight, never go back,
 * and the year has 366 of them. */
static void test_clock_days_follow_the_zone(void **state)
{
    (void)state;
    assert_int_equal(clock_set_timezone("Europe/Berlin"), 0);
    const msec_t hour = 3600000;
    msec_t start =
        (msec_t)clock_day_of_date(2023, 12, 31) * MSEC_PER_DAY + 23 * hour; /* 2024 in Berlin */
    int32_t first = clock_day_of_ms(start), last = first;
    int hours_of[400] = {0};
    for (msec_t t = start; t < start + 8784 * hour; t += hour) {
        int32_t day = clock_day_of_ms(t);
        assert_true(day == last || day == last + 1);
        hours_of[day - first]++;
        last = day;
    }
    assert_int_equal(first, clock_day_of_date(2024, 1, 1));
    assert_int_equal(last, clock_day_of_date(2024, 12, 31));
    assert_int_equal(hours_of[clock_day_of_date(2024, 3, 31) - first], 23);
    assert_int_equal(hours_of[clock_day_of_date(2024, 10, 27) - first], 25);
    assert_int_equal(hours_of[clock_day_of_date(2024, 2, 29) - first], 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_dates_go_both_ways),
        cmocka_unit_test(test_clock_parse_date_takes_only_dates),
        cmocka_unit_test(test_clock_zones_are_files_of_the_database),
        cmocka_unit_test(test_clock_days_follow_the_zone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
