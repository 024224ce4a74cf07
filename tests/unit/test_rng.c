#include <base/rng.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_rng_same_seed_same_numbers(void **state)
{
    (void)state;
    struct rng a = rng_of_seed(7), b = rng_of_seed(7), c = rng_of_seed(8);
    int differ = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = rng_u64(&a);
        assert_true(x == rng_u64(&b));
        differ += x != rng_u64(&c);
    }
    assert_true(differ > 990);
    struct rng frozen = rng_of_seed(0); /* stored seeds must mean the same for ever */
    assert_true(rng_u64(&frozen) == UINT64_C(0xE220A8397B1DCDAF));
}

static void test_rng_below_covers_its_range(void **state)
{
    (void)state;
    struct rng r = rng_of_seed(3);
    int seen[10] = {0};
    for (int i = 0; i < 10000; i++)
        seen[rng_below(&r, 10)]++;
    for (int i = 0; i < 10; i++)
        assert_in_range(seen[i], 800, 1200);
    assert_int_equal(rng_below(&r, 0), 0);
    for (int i = 0; i < 1000; i++) {
        double u = rng_unit(&r);
        assert_true(u >= 0.0 && u < 1.0);
    }
}

/* By the definition: numbers from the greatest multiple of n on are passed over. With these n up to
 * half of them are. */
static void test_rng_below_passes_over_the_uneven_end(void **state)
{
    (void)state;
    const uint64_t ns[] = {
        1, 3, 10, UINT64_C(1) << 63, (UINT64_C(1) << 63) + 1, UINT64_MAX / 3 * 2};
    for (unsigned i = 0; i < sizeof ns / sizeof ns[0]; i++) {
        struct rng a = rng_of_seed(i), b = rng_of_seed(i);
        uint64_t limit = UINT64_MAX - UINT64_MAX % ns[i], v;
        for (int k = 0; k < 1000; k++) {
            do {
                v = rng_u64(&b);
            } while (v >= limit);
            assert_true(rng_below(&a, ns[i]) == v % ns[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rng_same_seed_same_numbers),
        cmocka_unit_test(test_rng_below_covers_its_range),
        cmocka_unit_test(test_rng_below_passes_over_the_uneven_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
