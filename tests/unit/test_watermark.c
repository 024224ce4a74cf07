#include <load/watermark.h>

#include <base/rng.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct watermark *w;

static int setup(void **state)
{
    (void)state;
    w = calloc(1, sizeof *w);
    return w ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(w);
    return 0;
}

/* Many begun, one at a time ended at random: the mark is always the least that has not. */
static void test_mark_is_the_least_that_has_not_ended(void **state)
{
    (void)state;
    enum { N = 20000, OPEN = 300 };
    static bool ended[N];
    uint64_t open[OPEN], begun = 0, low = 0;
    struct rng r = rng_of_seed(3);
    for (; begun < OPEN; begun++)
        open[begun] = begun;
    while (begun < N) {
        uint64_t *slot = &open[rng_below(&r, OPEN)];
        ended[*slot] = true;
        watermark_end(w, *slot);
        *slot = begun++;
        while (ended[low])
            low++;
        assert_int_equal(w->low, low);
    }
}

static void test_what_lags_behind_the_window_is_given_up(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < WATERMARK_WINDOW; n++)
        watermark_end(w, n);
    assert_int_equal(w->low, 0);
    watermark_end(w, WATERMARK_WINDOW);
    assert_int_equal(w->low, WATERMARK_WINDOW + 1);
    watermark_end(w, 0);
    assert_int_equal(w->low, WATERMARK_WINDOW + 1);
    watermark_end(w, WATERMARK_WINDOW + 1);
    assert_int_equal(w->low, WATERMARK_WINDOW + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mark_is_the_least_that_has_not_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_lags_behind_the_window_is_given_up, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
