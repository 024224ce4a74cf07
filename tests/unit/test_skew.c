#include <load/skew.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct skew parse(const char *text)
{
    struct skew s;
    struct error err = {0};
    if (skew_parse(text, &s, &err))
        fail_msg("%s: %s", text, err.msg);
    return s;
}

static void test_skews_are_parsed(void **state)
{
    (void)state;
    assert_int_equal(parse("uniform").kind, SKEW_UNIFORM);
    assert_int_equal(parse("zipf:0.99").kind, SKEW_ZIPF);
    assert_true(parse("zipf:0.99").theta == 0.99);
    struct skew hot = parse("hotspot:0.1/0.9");
    assert_int_equal(hot.kind, SKEW_HOTSPOT);
    assert_true(hot.hot_persons == 0.1 && hot.hot_requests == 0.9);
}

static void test_skews_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "zipf",
                                        "zipf:",
                                        "zipf:0",
                                        "zipf:-1",
                                        "zipf:11",
                                        "zipf:1x",
                                        "zipf:nan",
                                        "hotspot:",
                                        "hotspot:0.1",
                                        "hotspot:0.1/",
                                        "hotspot:0/1",
                                        "hotspot:2/1",
                                        "hotspot:0.1/0.9/1",
                                        "normal",
                                        "uniform:1"};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct skew s;
        struct error err = {0};
        if (skew_parse(wrong[i], &s, &err) != ERR_USAGE || !strstr(err.msg, "--skew"))
            fail_msg("'%s' was taken", wrong[i]);
    }
}

/* Chi-square of the drawn ranks beside the exact probabilities. The last ranks, where too few are
 * expected, count as one cell. */
static void check_zipf(double theta, unsigned n)
{
    enum { DRAWS = 200000, ENOUGH = 10 };
    double *p = calloc(n, sizeof *p), sum = 0, chi2 = 0, cells = 0, rest = 0, rest_drawn = 0;
    unsigned *drawn = calloc(n, sizeof *drawn);
    struct skew skew = {.kind = SKEW_ZIPF, .theta = theta};
    struct sampler s;
    struct rng r = rng_of_seed(n);
    assert_true(p && drawn);
    for (unsigned i = 0; i < n; i++)
        sum += p[i] = pow(i + 1, -theta);
    sampler_init(&s, &skew, n, 1);
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t rank = sampler_rank(&s, &r);
        assert_true(rank < n);
        drawn[rank]++;
    }
    for (unsigned i = 0; i < n; i++) {
        double expected = p[i] / sum * DRAWS;
        if (expected < ENOUGH) {
            rest += expected;
            rest_drawn += drawn[i];
            continue;
        }
        chi2 += (drawn[i] - expected) * (drawn[i] - expected) / expected;
        cells++;
    }
    if (rest >= ENOUGH) {
        chi2 += (rest_drawn - rest) * (rest_drawn - rest) / rest;
        cells++;
    }
    /* Mean cells - 1, deviation sqrt(2 (cells - 1)): five of them. */
    if (chi2 > cells - 1 + 5 * sqrt(2 * cells))
        fail_msg("theta %g, n %u: chi-square %g in %g cells", theta, n, chi2, cells);
    free(p);
    free(drawn);
}

static void test_zipf_draws_by_its_distribution(void **state)
{
    (void)state;
    static const double thetas[] = {0.2, 0.5, 0.99, 1, 1.0000001, 1.2, 2, 5};
    for (unsigned i = 0; i < sizeof thetas / sizeof thetas[0]; i++) {
        check_zipf(thetas[i], 1);
        check_zipf(thetas[i], 2);
        check_zipf(thetas[i], 10);
        check_zipf(thetas[i], 1000);
        check_zipf(thetas[i], 30000);
    }
}

static void test_hotspot_gets_its_share(void **state)
{
    (void)state;
    enum { N = 1000, DRAWS = 100000 };
    struct skew skew = parse("hotspot:0.1/0.9");
    struct sampler s;
    struct rng r = rng_of_seed(4);
    unsigned hot = 0;
    sampler_init(&s, &skew, N, 1);
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t rank = sampler_rank(&s, &r);
        assert_true(rank < N);
        hot += rank < N / 10;
    }
    assert_in_range(hot, 90000 - 475, 90000 + 475);
}

static void test_hotspot_of_everybody_is_uniform(void **state)
{
    (void)state;
    struct skew skew = parse("hotspot:1/0.5");
    struct sampler s;
    struct rng r = rng_of_seed(4);
    unsigned drawn[4] = {0};
    sampler_init(&s, &skew, 4, 1);
    for (unsigned i = 0; i < 40000; i++)
        drawn[sampler_draw(&s, &r)]++;
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(drawn[i], 10000 - 435, 10000 + 435);
}

/* The most wanted are spread over the population, and are the same ones with the same key. */
static void test_ranks_are_scattered_and_stay(void **state)
{
    (void)state;
    enum { N = 10000, DRAWS = 50000 };
    static unsigned drawn[2][N];
    struct skew skew = parse("zipf:1.2");
    unsigned top[2] = {0}, low_half = 0;
    for (unsigned k = 0; k < 2; k++) {
        struct sampler s;
        struct rng r = rng_of_seed(k + 1);
        sampler_init(&s, &skew, N, 77);
        for (unsigned i = 0; i < DRAWS; i++)
            drawn[k][sampler_draw(&s, &r)]++;
        for (unsigned i = 0; i < N; i++)
            top[k] = drawn[k][i] > drawn[k][top[k]] ? i : top[k];
    }
    assert_int_equal(top[0], top[1]);
    for (unsigned i = 0; i < N; i++)
        low_half += drawn[0][i] > 0 && i < N / 2;
    unsigned all = 0;
    for (unsigned i = 0; i < N; i++)
        all += drawn[0][i] > 0;
    assert_in_range(low_half, all * 4 / 10, all * 6 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_skews_are_parsed),
        cmocka_unit_test(test_skews_that_make_no_sense_are_refused),
        cmocka_unit_test(test_zipf_draws_by_its_distribution),
        cmocka_unit_test(test_hotspot_gets_its_share),
        cmocka_unit_test(test_hotspot_of_everybody_is_uniform),
        cmocka_unit_test(test_ranks_are_scattered_and_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
