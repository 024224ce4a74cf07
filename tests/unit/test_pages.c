#include <base/pages.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void test_pages_are_aligned_zeroed_and_writable(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 4096, PAGES_UNIT, PAGES_UNIT + 1, 5 * (size_t)PAGES_UNIT};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int huge = 0; huge < 2; huge++) {
            uint8_t *p = pages_alloc(sizes[i], huge != 0);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % PAGES_UNIT, 0);
            assert_int_equal(p[0], 0);
            assert_int_equal(p[sizes[i] - 1], 0);
            memset(p, 0xA5, sizes[i]);
            pages_free(p, sizes[i]);
        }
    }
}

static void test_pages_refuse_what_is_not_there(void **state)
{
    (void)state;
    assert_null(pages_alloc(0, true));
    assert_null(pages_alloc(SIZE_MAX, false));
    assert_null(pages_alloc(SIZE_MAX / 2, false));
    pages_free(NULL, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_are_aligned_zeroed_and_writable),
        cmocka_unit_test(test_pages_refuse_what_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
