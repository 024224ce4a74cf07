#include <route/idcache.h>

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct identity identity_no(char *text, size_t size, unsigned i)
{
    int n = snprintf(text, size, "value-%u", i);
    return (struct identity){7, bytes_of(text, (size_t)n)};
}

static void test_idcache_gives_what_was_put(void **state)
{
    (void)state;
    struct idcache *c = idcache_new(1 << 20);
    char text[32];
    for (unsigned i = 0; i < 1000; i++)
        idcache_put(c, identity_no(text, sizeof text, i), i + 1);
    assert_int_equal(idcache_count(c), 1000);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(idcache_get(c, identity_no(text, sizeof text, i)), i + 1);
    assert_int_equal(idcache_get(c, identity_no(text, sizeof text, 5000)), 0);
    struct identity other = identity_no(text, sizeof text, 1);
    other.ns = 8;
    assert_int_equal(idcache_get(c, other), 0);
    idcache_free(c);
}

static void test_idcache_drop_only_what_it_says(void **state)
{
    (void)state;
    struct idcache *c = idcache_new(4096);
    char text[32];
    struct identity i = identity_no(text, sizeof text, 1);
    idcache_put(c, i, 10);
    idcache_drop(c, i, 11);
    assert_int_equal(idcache_get(c, i), 10);
    idcache_put(c, i, 11);
    assert_int_equal(idcache_count(c), 1);
    idcache_drop(c, i, 11);
    assert_int_equal(idcache_get(c, i), 0);
    assert_int_equal(idcache_count(c), 0);
    idcache_free(c);
}

static void test_idcache_keeps_what_is_used(void **state)
{
    (void)state;
    struct idcache *c = idcache_new(4096);
    char text[32];
    idcache_put(c, identity_no(text, sizeof text, 0), 99);
    for (unsigned i = 1; i < 100000; i++) {
        idcache_put(c, identity_no(text, sizeof text, i), i);
        assert_int_equal(idcache_get(c, identity_no(text, sizeof text, 0)), 99);
    }
    assert_true(idcache_count(c) <= 4096 / 16);
    idcache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idcache_gives_what_was_put),
        cmocka_unit_test(test_idcache_drop_only_what_it_says),
        cmocka_unit_test(test_idcache_keeps_what_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
