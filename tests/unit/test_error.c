#include <base/error.h>

#include <errno.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_error_list_has_texts_and_distinct_names(void **state)
{
    (void)state;
    static const unsigned codes[] = {
#define X(name, wire, retry, text) wire,
        ERROR_LIST(X)
#undef X
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        assert_int_equal(codes[i], i); /* wire codes are frozen and without gaps */
        enum error_code code = error_from_wire(codes[i]);
        assert_true(strlen(error_text(code)) > 0);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(error_name(code), error_name((enum error_code)codes[j]));
    }
    assert_int_equal(error_from_wire(9999), ERR_INTERNAL);
    assert_string_equal(error_text((enum error_code)9999), "unknown error");
    assert_true(error_is_retryable(ERR_BUSY));
    assert_false(error_is_retryable(ERR_INVALID));
}

static void test_error_set_sys_knows_a_full_disk(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(error_set_sys(&err, ERR_IO, ENOSPC, "file %s", "x"), ERR_DISK_FULL);
    assert_int_equal(err.sys, ENOSPC);
    assert_int_equal(error_set_sys(&err, ERR_IO, EACCES, "file %s", "x"), ERR_IO);
    assert_non_null(strstr(err.msg, "file x: "));
}

static void test_error_wrap_puts_a_phrase_in_front(void **state)
{
    (void)state;
    struct error err;
    (void)error_set(&err, ERR_CORRUPT, "entry %d", 7);
    assert_int_equal(error_wrap(&err, "shard %d", 3), ERR_CORRUPT);
    assert_string_equal(err.msg, "shard 3: entry 7");
    for (int i = 0; i < 100; i++)
        (void)error_wrap(&err, "a rather long phrase %d", i);
    assert_true(strlen(err.msg) < sizeof err.msg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_list_has_texts_and_distinct_names),
        cmocka_unit_test(test_error_set_sys_knows_a_full_disk),
        cmocka_unit_test(test_error_wrap_puts_a_phrase_in_front),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
