#include <load/histogram.h>

#include <base/rng.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct histogram h, other;

enum { BITS = 7 };

static int setup(void **state)
{
    (void)state;
    return histogram_open(&h, BITS) && histogram_open(&other, BITS) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    histogram_close(&h);
    histogram_close(&other);
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

static void assert_same(const struct histogram *a, const struct histogram *b)
{
    assert_int_equal(a->bits, b->bits);
    assert_memory_equal(a->counts, b->counts, histogram_buckets(a) * sizeof *a->counts);
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->sum, b->sum);
    assert_int_equal(a->min, b->min);
    assert_int_equal(a->max, b->max);
}

static void test_merge_is_recording_both(void **state)
{
    (void)state;
    struct histogram both;
    assert_true(histogram_open(&both, BITS));
    for (uint64_t i = 0; i < 1000; i++) {
        histogram_record(&h, i * 3);
        histogram_record(&both, i * 3);
        histogram_record(&other, i * 1000 + 7);
        histogram_record(&both, i * 1000 + 7);
    }
    histogram_merge(&h, &other);
    assert_same(&h, &both);
    histogram_reset(&other);
    histogram_merge(&h, &other);
    assert_same(&h, &both);
    histogram_close(&both);
}

/* Whatever the two precisions: as if the values had been recorded in the coarser one. */
static void test_merge_into_fewer_bits_is_recording_there(void **state)
{
    (void)state;
    for (unsigned fine = 4; fine <= 14; fine++) {
        for (unsigned coarse = 4; coarse <= fine; coarse++) {
            struct histogram from, to, right;
            struct rng r = rng_of_seed(fine * 100 + coarse);
            assert_true(histogram_open(&from, fine) && histogram_open(&to, coarse) &&
                        histogram_open(&right, coarse));
            for (unsigned i = 0; i < 500; i++) {
                uint64_t v = rng_u64(&r) >> rng_below(&r, 64);
                histogram_record(&from, v);
                histogram_record(&right, v);
            }
            histogram_merge(&to, &from);
            assert_same(&to, &right);
            histogram_close(&from);
            histogram_close(&to);
            histogram_close(&right);
        }
    }
}

static void test_digits_bound_the_error(void **state)
{
    (void)state;
    double allowed = 1;
    for (unsigned digits = 1; digits <= HISTOGRAM_DIGITS_MAX; digits++) {
        struct histogram d;
        struct rng r = rng_of_seed(digits);
        allowed /= 10;
        assert_true(histogram_open(&d, histogram_bits_of_digits(digits)));
        for (unsigned i = 0; i < 10000; i++) {
            uint64_t v = rng_u64(&r) >> (24 + rng_below(&r, 40));
            unsigned bucket = histogram_bucket_of(&d, v);
            uint64_t top = histogram_greatest_of(&d, bucket);
            assert_true(top >= v && (double)(top - v) <= allowed * (double)v);
            assert_true(bucket < histogram_buckets(&d));
            assert_int_equal(histogram_bucket_of(&d, top), bucket);
        }
        histogram_close(&d);
    }
}

static void test_deviation_is_that_of_the_values(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        histogram_record(&h, 40);
        histogram_record(&h, 60);
    }
    assert_true(histogram_deviation(&h) > 9.99 && histogram_deviation(&h) < 10.01);
}

/* The curve passes through the quantiles, rises, and ends with all of the values. */
static void test_curve_is_made_of_quantiles(void **state)
{
    (void)state;
    struct rng r = rng_of_seed(9);
    struct histogram_step s = {0}, before = {0};
    unsigned steps = 0;
    for (unsigned i = 0; i < 20000; i++)
        histogram_record(&h, rng_below(&r, 1000000));
    while (histogram_next_step(&h, &s)) {
        assert_int_equal(s.value, histogram_quantile(&h, s.share));
        assert_true(s.value >= before.value && s.below >= before.below);
        assert_true(steps == 0 || s.share > before.share);
        assert_true((double)s.below >= s.share * (double)h.n);
        before = s;
        steps++;
    }
    assert_true(s.share >= 1);
    assert_int_equal(s.below, h.n);
    assert_int_equal(s.value, h.max);
    assert_in_range(steps, 50, 100);
    s = (struct histogram_step){0};
    assert_false(histogram_next_step(&other, &s));
}

/* As HdrHistogram's tools read it. */
static void test_hgrm_is_what_hdrhistogram_prints(void **state)
{
    (void)state;
    char text[1024];
    FILE *out = tmpfile();
    assert_non_null(out);
    histogram_record(&h, 1000);
    histogram_record(&h, 3000);
    histogram_print_hgrm(&h, out);
    rewind(out);
    size_t n = fread(text, 1, sizeof text - 1, out);
    text[n] = 0;
    fclose(out);
    const char *head = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n"
                       "       1.003 0.000000000000          1           1.00\n";
    assert_memory_equal(text, head, strlen(head));
    assert_non_null(strstr(text, "       1.003 0.500000000000          1           2.00\n"));
    assert_non_null(strstr(text, "       3.000 0.550000000000          2           2.22\n"));
    assert_non_null(strstr(text, "       3.000 1.000000000000          2\n"));
    assert_non_null(strstr(text, "#[Mean    =        2.000, StdDeviation   =        0.999]"));
    assert_non_null(strstr(text, "#[Max     =        3.000, Total count    =            2]\n"));
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
        cmocka_unit_test_setup_teardown(test_empty_histogram_says_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_values_are_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_value_comes_back_within_one_percent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_quantiles_are_those_of_the_sorted_values, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_greatest_values_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_merge_is_recording_both, setup, teardown),
        cmocka_unit_test_setup_teardown(test_merge_into_fewer_bits_is_recording_there, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_digits_bound_the_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deviation_is_that_of_the_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_curve_is_made_of_quantiles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hgrm_is_what_hdrhistogram_prints, setup, teardown),
        cmocka_unit_test_setup_teardown(test_print_has_every_bucket, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
