#include <load/series.h>

#include <base/rng.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { INTERVAL = 1000 };

static struct series s;
static struct recorder r;

static int setup(void **state)
{
    (void)state;
    s = (struct series){.interval_us = INTERVAL};
    return recorder_open(&r, &s, 5000, 2.0) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    recorder_close(&r);
    series_close(&s);
    return 0;
}

static void test_answers_land_in_their_interval(void **state)
{
    (void)state;
    recorder_answer(&r, OP_GET, 10, false);
    recorder_answer(&r, OP_GET, 30, true);
    recorder_answer(&r, OP_COUNT, 500, false);
    recorder_late(&r, 7);
    recorder_late(&r, 3);
    assert_false(recorder_is_due(&r, 5999));
    assert_true(recorder_is_due(&r, 6000));
    recorder_turn(&r, 6000, 12, 2.5);
    recorder_answer(&r, OP_GET, 99, false);
    recorder_finish(&r, 6400, 2.75);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.points[0].cells[OP_GET].answered, 2);
    assert_int_equal(s.points[0].cells[OP_GET].errors, 1);
    assert_int_equal(s.points[0].cells[OP_GET].max_us, 30);
    assert_int_equal(s.points[0].cells[OP_COUNT].answered, 1);
    assert_int_equal(s.points[0].cells[OP_INGEST].answered, 0);
    assert_int_equal(s.points[0].in_flight, 12);
    assert_int_equal(s.points[0].behind_us, 7);
    assert_true(s.points[0].cpu_s == 0.5);
    assert_int_equal(s.points[1].cells[OP_GET].answered, 1);
    assert_int_equal(s.points[1].cells[OP_GET].errors, 0);
    assert_int_equal(s.points[1].cells[OP_COUNT].answered, 0);
    assert_int_equal(s.points[1].behind_us, 0);
    assert_true(s.points[1].cpu_s == 0.25);
}

/* A stall shows as intervals in which nothing was answered. */
static void test_silent_intervals_are_there(void **state)
{
    (void)state;
    recorder_answer(&r, OP_GET, 10, false);
    recorder_turn(&r, 5000 + 4 * INTERVAL + 1, 3, 2.0);
    recorder_finish(&r, 5000 + 4 * INTERVAL + 2, 2.0);
    assert_int_equal(s.n, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(s.points[i].cells[OP_GET].answered, i == 0);
}

static void test_quantiles_of_a_cell_are_those_of_its_histogram(void **state)
{
    (void)state;
    struct histogram h;
    struct rng random = rng_of_seed(5);
    assert_true(histogram_open(&h, SERIES_BITS));
    for (unsigned i = 0; i < 5000; i++) {
        uint64_t v = rng_u64(&random) >> (30 + rng_below(&random, 30));
        histogram_record(&h, v);
        recorder_answer(&r, OP_UPDATE, (usec_t)v, false);
    }
    recorder_finish(&r, 5500, 2.0);
    for (double share = 0; share <= 1; share += 0.01)
        assert_int_equal(series_cell_quantile(&s.points[0].cells[OP_UPDATE], share),
                         histogram_quantile(&h, share));
    histogram_close(&h);
}

/* Two series recorded side by side, one shifted: as if one had recorded both. */
static void test_added_series_are_one_recorded_together(void **state)
{
    (void)state;
    enum { N = 3000, SHIFT = 4 };
    struct series other = {.interval_us = INTERVAL}, right = {.interval_us = INTERVAL};
    struct recorder a, both;
    struct rng random = rng_of_seed(8);
    assert_true(recorder_open(&a, &other, 5000 + SHIFT * INTERVAL, 0) &&
                recorder_open(&both, &right, 5000, 0));
    for (unsigned i = 0; i < N; i++) {
        usec_t now = 5000 + i * 5, latency = (usec_t)rng_below(&random, 100000);
        enum op op = (enum op)rng_below(&random, OP_KINDS);
        bool first = now < 5000 + SHIFT * INTERVAL || rng_below(&random, 2);
        recorder_turn(&r, now, 0, 0);
        recorder_turn(&both, now, 0, 0);
        recorder_turn(&a, now, 0, 0);
        recorder_answer(first ? &r : &a, op, latency, i % 7 == 0);
        recorder_answer(&both, op, latency, i % 7 == 0);
    }
    recorder_finish(&r, 5000 + N * 5, 0);
    recorder_finish(&a, 5000 + N * 5, 0);
    recorder_finish(&both, 5000 + N * 5, 0);
    assert_true(series_add(&s, &other, SHIFT));
    assert_int_equal(s.n, right.n);
    for (size_t i = 0; i < s.n; i++) {
        for (unsigned k = 0; k < OP_KINDS; k++) {
            const struct series_cell *x = &s.points[i].cells[k], *y = &right.points[i].cells[k];
            assert_int_equal(x->answered, y->answered);
            assert_int_equal(x->errors, y->errors);
            assert_int_equal(x->max_us, y->max_us);
            assert_int_equal(x->n_buckets, y->n_buckets);
            if (x->n_buckets)
                assert_memory_equal(x->buckets, y->buckets, x->n_buckets * sizeof *x->buckets);
        }
    }
    recorder_close(&a);
    recorder_close(&both);
    series_close(&other);
    series_close(&right);
}

static void test_sum_of_a_point_has_all_kinds(void **state)
{
    (void)state;
    struct series_cell sum;
    recorder_answer(&r, OP_GET, 10, false);
    recorder_answer(&r, OP_COUNT, 10, true);
    recorder_answer(&r, OP_INGEST, 20, false);
    recorder_finish(&r, 5500, 2.0);
    assert_true(series_point_sum(&s.points[0], &sum));
    assert_int_equal(sum.answered, 3);
    assert_int_equal(sum.errors, 1);
    assert_int_equal(sum.max_us, 20);
    assert_int_equal(sum.n_buckets, 2);
    assert_int_equal(sum.buckets[0].n, 2);
    series_cell_close(&sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers_land_in_their_interval, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silent_intervals_are_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quantiles_of_a_cell_are_those_of_its_histogram, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_added_series_are_one_recorded_together, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_sum_of_a_point_has_all_kinds, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
