#include <metrics/metrics.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_text(struct buf *b, const char *want)
{
    buf_put_u8(b, 0);
    assert_string_equal((const char *)b->data, want);
    buf_free(b);
}

static void test_a_family_has_its_kind_and_help(void **state)
{
    (void)state;
    struct buf b = {0};
    metrics_family(&b, "oneid_x_total", METRIC_COUNTER, "How many");
    metrics_value(&b, "oneid_x_total", "", UINT64_MAX);
    metrics_value(&b, "oneid_x_total", "shard=\"3\"", 0);
    metrics_real(&b, "oneid_y", "", 0.25);
    assert_text(&b, "# HELP oneid_x_total How many\n# TYPE oneid_x_total counter\n"
                    "oneid_x_total 18446744073709551615\noneid_x_total{shard=\"3\"} 0\n"
                    "oneid_y 0.250000\n");
}

static void test_latencies_fall_into_their_buckets(void **state)
{
    (void)state;
    struct latency l = {0};
    static const usec_t TIMES[] = {-5, 0, 100, 101, 2500, 10000000, 10000001, INT64_C(3600000000)};
    for (size_t i = 0; i < sizeof TIMES / sizeof *TIMES; i++)
        latency_add(&l, TIMES[i]);
    assert_int_equal(metric_read(&l.buckets[0]), 3); /* a clock that went back, as nothing */
    assert_int_equal(metric_read(&l.buckets[1]), 1);
    assert_int_equal(metric_read(&l.buckets[4]), 1);
    assert_int_equal(metric_read(&l.buckets[LATENCY_BUCKETS - 2]), 1);
    assert_int_equal(metric_read(&l.buckets[LATENCY_BUCKETS - 1]), 2);
    assert_true(metric_read(&l.sum_us) == 100 + 101 + 2500 + 10000000 + 10000001 + 3600000000U);
}

static void test_a_histogram_is_told_cumulatively(void **state)
{
    (void)state;
    struct latency l = {0};
    struct buf b = {0};
    latency_add(&l, 90);
    latency_add(&l, 900);
    latency_add(&l, 20000000);
    metrics_latency(&b, "oneid_z_seconds", "shard=\"1\"", &l);
    buf_put_u8(&b, 0);
    const char *text = (const char *)b.data;
    assert_non_null(strstr(text, "oneid_z_seconds_bucket{shard=\"1\",le=\"0.0001\"} 1\n"));
    assert_non_null(strstr(text, "oneid_z_seconds_bucket{shard=\"1\",le=\"0.0005\"} 1\n"));
    assert_non_null(strstr(text, "oneid_z_seconds_bucket{shard=\"1\",le=\"0.001\"} 2\n"));
    assert_non_null(strstr(text, "oneid_z_seconds_bucket{shard=\"1\",le=\"10\"} 2\n"));
    assert_non_null(strstr(text, "oneid_z_seconds_bucket{shard=\"1\",le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(text, "oneid_z_seconds_sum{shard=\"1\"} 20.000990\n"));
    assert_non_null(strstr(text, "oneid_z_seconds_count{shard=\"1\"} 3\n"));
    buf_free(&b);
    metrics_latency(&b, "oneid_z_seconds", "", &l);
    buf_put_u8(&b, 0);
    assert_non_null(strstr((const char *)b.data, "oneid_z_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr((const char *)b.data, "\noneid_z_seconds_count 3\n"));
    buf_free(&b);
}

static void test_counters_of_one_and_of_several_writers(void **state)
{
    (void)state;
    metric m = 0;
    metric_bump(&m, 2);
    metric_add(&m, 3);
    assert_int_equal(metric_read(&m), 5);
    metric_set(&m, 1);
    assert_int_equal(metric_read(&m), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_family_has_its_kind_and_help),
        cmocka_unit_test(test_latencies_fall_into_their_buckets),
        cmocka_unit_test(test_a_histogram_is_told_cumulatively),
        cmocka_unit_test(test_counters_of_one_and_of_several_writers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
