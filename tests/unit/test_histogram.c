#include <load/histogram.h>

#include <base/rng.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct histogram h, other;

static int setup(void **state)
{
    (void)state;
    histogram_reset(&h);
    histogram_reset(&other);
    return 0;
}

static void test_empty_histogram_says_zero(void **state)
{
    (void)state;
    assert_int_equal(histogram_quantile(&h, 0.5), 0);
    assert_true(histogram_mean(&h) == 0);
}

static void test_small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t v = 0; v < 256; v++)
        histogram_record(&h, v);
    assert_int_equal(h.n, 256);
    assert_int_equal(histogram_quantile(&h, 0.5), 127);
    assert_int_equal(histogram_quantile(&h, 1.0), 255);
    assert_int_equal(histogram_quantile(&h, 1.0 / 256), 0);
    assert_int_equal(h.max, 255);
    assert_true(histogram_mean(&h) == 127.5);
}

/* Every power of two, its neighbours and what lies between: one value alone must come back. */
static void test_a_value_comes_back_within_one_percent(void **state)
{
    (void)state;
    struct rng r = rng_of_seed(1);
    for (unsigned bit = 1; bit < HISTOGRAM_TOP_BIT; bit++) {
        uint64_t base = UINT64_C(1) << bit;
        const uint64_t values[] = {base - 1, base, base + 1, base + rng_below(&r, base)};
        for (unsigned i = 0; i < 4; i++) {
            histogram_reset(&h);
            histogram_record(&h, values[i]);
            histogram_record(&h, UINT64_MAX);
            uint64_t got = histogram_quantile(&h, 0.5);
            assert_true(got >= values[i]);
            assert_true((double)(got - values[i]) <= 0.01 * (double)values[i]);
        }
    }
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void test_quantiles_are_those_of_the_sorted_values(void **state)
{
    (void)state;
    enum { N = 10000 };
    static uint64_t values[N];
    struct rng r = rng_of_seed(2);
    for (unsigned i = 0; i < N; i++) {
        values[i] = rng_u64(&r) >> (30 + rng_below(&r, 30));
        histogram_record(&h, values[i]);
    }
    qsort(values, N, sizeof values[0], compare);
    const double shares[] = {0.5, 0.95, 0.99, 0.999};
    for (unsigned i = 0; i < 4; i++) {
        double right = (double)values[(unsigned)(shares[i] * (double)N) - 1];
        double got = (double)histogram_quantile(&h, shares[i]);
        assert_true(got >= right && got <= right * 1.01);
    }
    assert_int_equal(h.max, values[N - 1]);
    assert_int_equal(histogram_quantile(&h, 1.0), values[N - 1]);
}

static void test_greatest_values_are_cut(void **state)
{
    (void)state;
    histogram_record(&h, UINT64_MAX);
    assert_int_equal(h.max, (UINT64_C(1) << HISTOGRAM_TOP_BIT) - 1);
    assert_int_equal(histogram_quantile(&h, 0.5), h.max);
}

static void test_merge_is_recording_both(void **state)
{
    (void)state;
    static struct histogram both;
    histogram_reset(&both);
    for (uint64_t i = 0; i < 1000; i++) {
        histogram_record(&h, i * 3);
        histogram_record(&both, i * 3);
        histogram_record(&other, i * 1000 + 7);
        histogram_record(&both, i * 1000 + 7);
    }
    histogram_merge(&h, &other);
    assert_memory_equal(&h, &both, sizeof h);
    histogram_reset(&other);
    histogram_merge(&h, &other);
    assert_memory_equal(&h, &both, sizeof h);
}

static void test_print_has_every_bucket(void **state)
{
    (void)state;
    char text[128];
    FILE *out = tmpfile();
    assert_non_null(out);
    histogram_record(&h, 5);
    histogram_record(&h, 5);
    histogram_record(&h, 256);
    histogram_print(&h, out);
    rewind(out);
    size_t n = fread(text, 1, sizeof text - 1, out);
    text[n] = 0;
    fclose(out);
    assert_string_equal(text, "5 2\n257 1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_empty_histogram_says_zero, setup),
        cmocka_unit_test_setup(test_small_values_are_exact, setup),
        cmocka_unit_test_setup(test_a_value_comes_back_within_one_percent, setup),
        cmocka_unit_test_setup(test_quantiles_are_those_of_the_sorted_values, setup),
        cmocka_unit_test_setup(test_greatest_values_are_cut, setup),
        cmocka_unit_test_setup(test_merge_is_recording_both, setup),
        cmocka_unit_test_setup(test_print_has_every_bucket, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
