#include <base/arena.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_arena_alloc_gives_separate_aligned_memory(void **state)
{
    (void)state;
    struct arena a = {0};
    char *before = NULL;
    for (size_t i = 1; i < 3000; i++) {
        char *p = arena_alloc(&a, i);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, (int)(i & 0x7F), i);
        if (before)
            assert_int_equal(before[0], (char)((i - 1) & 0x7F));
        before = p;
    }
    arena_close(&a);
}

static void test_arena_limit_refuses_more(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1000);
    assert_non_null(arena_alloc(&a, 900));
    assert_null(arena_alloc(&a, 200));
    assert_null(arena_alloc(&a, SIZE_MAX));
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 900));
    arena_close(&a);
}

static void test_arena_reset_keeps_blocks(void **state)
{
    (void)state;
    struct arena a = {0};
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++)
            assert_non_null(arena_zalloc(&a, 1000));
        assert_true(a.used >= 100000);
        arena_reset(&a);
        assert_int_equal(a.used, 0);
    }
    arena_close(&a);
}

static void test_arena_copy_is_independent(void **state)
{
    (void)state;
    struct arena a = {0};
    char text[] = "abc";
    struct bytes copy = arena_copy(&a, bytes_of(text, 3));
    text[0] = 'x';
    assert_true(bytes_equal(copy, bytes_of_str("abc")));
    assert_null(arena_copy(&a, bytes_of(NULL, 0)).data);
    arena_close(&a);
}

static void test_arena_limit_counts_over_blocks(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 5000);
    for (int round = 0; round < 2; round++) {
        size_t n = 0;
        while (arena_alloc(&a, 90)) /* takes 96 */
            n++;
        assert_int_equal(n, 5000 / 96);
        assert_int_equal(a.used, n * 96);
        assert_null(arena_alloc(&a, 33));
        arena_reset(&a);
    }
    arena_close(&a);
}

static void test_arena_of_nothing_is_something(void **state)
{
    (void)state;
    struct arena a = {0};
    assert_non_null(arena_alloc(&a, 0));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 8)); /* would wrap when rounded up */
    assert_non_null(arena_alloc(&a, 0));
    arena_close(&a);
}

static void test_arena_rewind_gives_back(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    struct arena_mark empty = arena_mark(&a);
    memset(arena_alloc(&a, 100), 1, 100);
    char *older = arena_alloc(&a, 16);
    memcpy(older, "kept", 5);
    struct arena_mark m = arena_mark(&a);
    char *next = arena_alloc(&a, 16);
    for (int i = 0; i < 200; i++)
        memset(arena_alloc(&a, 1000), 2, 1000); /* several blocks */
    arena_rewind(&a, m);
    assert_int_equal(a.used, 128);
    assert_ptr_equal(arena_alloc(&a, 16), next);
    for (int i = 0; i < 200; i++)
        memset(arena_alloc(&a, 1000), 3, 1000);
    assert_string_equal(older, "kept");
    arena_rewind(&a, empty);
    assert_int_equal(a.used, 0);
    assert_non_null(arena_alloc(&a, 1000000));
    arena_close(&a);
}

static void test_arena_shrink_gives_back_what_was_needed_once(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    arena_shrink(&a, 1000); /* of nothing */
    assert_int_equal(arena_held(&a), 0);
    memset(arena_alloc(&a, 100), 1, 100);
    size_t little = arena_held(&a);
    memset(arena_alloc(&a, 5000000), 1, 5000000);
    arena_reset(&a);
    assert_true(arena_held(&a) > 5000000);
    arena_shrink(&a, 100000);
    assert_int_equal(arena_held(&a), little);
    assert_int_equal(a.used, 0);
    memset(arena_alloc(&a, 100), 2, 100);
    memset(arena_alloc(&a, 5000000), 2, 5000000);
    arena_shrink(&a, 0);
    assert_int_equal(arena_held(&a), 0);
    memset(arena_alloc(&a, 100), 3, 100);
    arena_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena_alloc_gives_separate_aligned_memory),
        cmocka_unit_test(test_arena_limit_refuses_more),
        cmocka_unit_test(test_arena_reset_keeps_blocks),
        cmocka_unit_test(test_arena_copy_is_independent),
        cmocka_unit_test(test_arena_limit_counts_over_blocks),
        cmocka_unit_test(test_arena_of_nothing_is_something),
        cmocka_unit_test(test_arena_rewind_gives_back),
        cmocka_unit_test(test_arena_shrink_gives_back_what_was_needed_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
