#include <base/bytes.h>
#include <base/rng.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_bytes_compare_orders_by_content(void **state)
{
    (void)state;
    assert_true(bytes_compare(bytes_of_str("a"), bytes_of_str("b")) < 0);
    assert_true(bytes_compare(bytes_of_str("a"), bytes_of_str("aa")) < 0);
    assert_true(bytes_compare(bytes_of_str("b"), bytes_of_str("aa")) > 0);
    assert_int_equal(bytes_compare(bytes_of(NULL, 0), bytes_of_str("")), 0);
}

static void test_bytes_utf8_takes_only_wellformed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        {"", true},
        {"plain", true},
        {"上海", true},
        {"\xF0\x9F\x98\x80", true},
        {"\xC0\x80", false},
        {"\xED\xA0\x80", false},
        {"\xF4\x90\x80\x80", false},
        {"\x80", false},
        {"a\xE4\xB8", false},
        {"\xFF", false},
        {"\xE0\x80\x80", false},
        {"\xF0\x80\x80\x80", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(bytes_is_utf8(bytes_of_str(rows[i].text)), rows[i].good);
}

static void test_bytes_utf8_looks_at_every_byte(void **state)
{
    (void)state;
    uint8_t text[40];
    for (size_t len = 1; len <= sizeof text; len++) {
        memset(text, 'a', sizeof text);
        assert_true(bytes_is_utf8(bytes_of(text, len)));
        for (size_t bad = 0; bad < len; bad++) {
            text[bad] = 0xFF;
            assert_false(bytes_is_utf8(bytes_of(text, len)));
            text[bad] = 'a';
        }
        for (size_t at = 0; at + 2 <= len; at++) {
            memcpy(text + at, "\xC3\xA4", 2);
            assert_true(bytes_is_utf8(bytes_of(text, len)));
            assert_false(bytes_is_utf8(bytes_of(text, at + 1)));
            memset(text, 'a', sizeof text);
        }
    }
}

static void test_reader_gives_back_what_was_put(void **state)
{
    (void)state;
    struct rng rng = rng_of_seed(1);
    for (int round = 0; round < 2000; round++) {
        struct buf b = {0};
        uint64_t v = rng_u64(&rng) >> rng_below(&rng, 64);
        int64_t z = (int64_t)(rng_u64(&rng)) >> rng_below(&rng, 64);
        buf_put_u8(&b, (uint8_t)v);
        buf_put_u16(&b, (uint16_t)v);
        buf_put_u32(&b, (uint32_t)v);
        buf_put_u64(&b, v);
        buf_put_be64(&b, v);
        buf_put_varint(&b, v);
        buf_put_zigzag(&b, z);
        buf_put_bytes(&b, bytes_of_str("hello"));
        struct reader r = reader_of(buf_bytes(&b));
        assert_int_equal(reader_u8(&r), (uint8_t)v);
        assert_int_equal(reader_u16(&r), (uint16_t)v);
        assert_int_equal(reader_u32(&r), (uint32_t)v);
        assert_true(reader_u64(&r) == v);
        assert_true(reader_be64(&r) == v);
        assert_true(reader_varint(&r) == v);
        assert_true(reader_zigzag(&r) == z);
        assert_true(bytes_equal(reader_bytes(&r), bytes_of_str("hello")));
        assert_true(r.ok);
        assert_int_equal(reader_left(&r), 0);
        buf_free(&b);
    }
}

static void test_reader_stops_at_the_end(void **state)
{
    (void)state;
    struct reader r = reader_of(bytes_of("\x05"
                                         "ab",
                                         3));
    assert_int_equal(reader_bytes(&r).len, 0);
    assert_false(r.ok);
    assert_int_equal(reader_u8(&r), 0);
    r = reader_of(bytes_of("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02", 10));
    (void)reader_varint(&r);
    assert_false(r.ok);
    r = reader_of(bytes_of(NULL, 0));
    assert_int_equal(reader_u64(&r), 0);
    assert_false(r.ok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_compare_orders_by_content),
        cmocka_unit_test(test_bytes_utf8_takes_only_wellformed),
        cmocka_unit_test(test_bytes_utf8_looks_at_every_byte),
        cmocka_unit_test(test_reader_gives_back_what_was_put),
        cmocka_unit_test(test_reader_stops_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
