#include <proto/envelope.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct envelope sample = {
    .type = MESSAGE_SHARD_WRITE,
    .shard = 0xBEEF,
    .epoch = UINT64_C(0x0102030405060708),
    .request_id = UINT64_C(0xFFEEDDCCBBAA9988),
    .items = 3,
};

static struct buf message_of(const struct envelope *e, const char *body)
{
    struct buf b = {0};
    envelope_encode(e, strlen(body), &b);
    buf_put(&b, body, strlen(body));
    return b;
}

static void test_envelope_round_trip(void **state)
{
    (void)state;
    struct buf b = message_of(&sample, "hello");
    struct envelope e;
    assert_int_equal(b.len, ENVELOPE_SIZE + 5);
    assert_int_equal(envelope_decode(buf_bytes(&b), &e, NULL), ERR_OK);
    assert_int_equal(e.type, sample.type);
    assert_int_equal(e.shard, sample.shard);
    assert_true(e.epoch == sample.epoch);
    assert_true(e.request_id == sample.request_id);
    assert_int_equal(e.items, 3);
    assert_true(bytes_equal(e.body, bytes_of_str("hello")));
    buf_free(&b);
}

static void test_envelope_layout_is_frozen(void **state)
{
    (void)state;
    static const uint8_t wanted[ENVELOPE_SIZE] = {
        'O',  '1',  1,    3,    0xEF, 0xBE, 0,    0,    8, 7, 6, 5, 4, 3, 2, 1,
        0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 3, 0, 0, 0, 5, 0, 0, 0};
    struct buf b = message_of(&sample, "hello");
    assert_memory_equal(b.data, wanted, ENVELOPE_SIZE);
    buf_free(&b);
}

static void test_envelope_begin_finish_equals_encode(void **state)
{
    (void)state;
    struct buf a = message_of(&sample, "hello"), b = {0};
    buf_put(&b, "xyz", 3);
    size_t at = envelope_begin(&b);
    assert_int_equal(at, 3);
    buf_put(&b, "hello", 5);
    envelope_finish(&b, at, &sample);
    assert_true(bytes_equal(buf_bytes(&a), bytes_of(b.data + 3, b.len - 3)));
    buf_free(&a);
    buf_free(&b);
}

static void test_envelope_truncated_is_malformed(void **state)
{
    (void)state;
    struct buf b = message_of(&sample, "hello");
    struct envelope e;
    struct error err;
    for (size_t n = 0; n < b.len; n++) {
        uint8_t *copy = malloc(n + 1);
        memcpy(copy, b.data, n);
        assert_int_equal(envelope_decode(bytes_of(copy, n), &e, &err), ERR_MALFORMED);
        assert_int_equal(err.code, ERR_MALFORMED);
        assert_true(e.request_id == (n < ENVELOPE_SIZE ? 0 : sample.request_id));
        free(copy);
    }
    buf_put_u8(&b, 0);
    assert_int_equal(envelope_decode(buf_bytes(&b), &e, &err), ERR_MALFORMED);
    buf_free(&b);
}

static enum error_code decode_with(size_t at, uint8_t value, struct envelope *e)
{
    struct buf b = message_of(&sample, "hello");
    b.data[at] = value;
    enum error_code code = envelope_decode(buf_bytes(&b), e, NULL);
    buf_free(&b);
    return code;
}

static void test_envelope_refuses_what_it_does_not_know(void **state)
{
    (void)state;
    struct envelope e;
    assert_int_equal(decode_with(0, 'o', &e), ERR_MALFORMED);
    assert_int_equal(decode_with(1, '2', &e), ERR_MALFORMED);
    assert_int_equal(decode_with(2, ENVELOPE_VERSION + 1, &e), ERR_MISMATCH);
    assert_true(e.request_id == sample.request_id);
    assert_int_equal(decode_with(3, 0, &e), ERR_MALFORMED);
    assert_int_equal(decode_with(3, MESSAGE_TYPE_END, &e), ERR_MALFORMED);
    assert_true(e.request_id == sample.request_id);
    assert_int_equal(decode_with(6, 1, &e), ERR_MALFORMED);
    assert_int_equal(decode_with(26, 2, &e), ERR_MALFORMED); /* 131075 items */
    assert_int_equal(decode_with(28, 4, &e), ERR_MALFORMED);
    assert_int_equal(decode_with(31, 0xFF, &e), ERR_MALFORMED);
    assert_int_equal(decode_with(4, 0, &e), ERR_OK);
}

static void test_envelope_flags_belong_to_types(void **state)
{
    (void)state;
    static const struct {
        enum message_type type;
        uint16_t flags;
        enum error_code expected;
    } CASES[] = {{MESSAGE_MAP_REQUEST, 0, ERR_OK},
                 {MESSAGE_MAP_REQUEST, ENVELOPE_MAP_SUBSCRIBE, ERR_OK},
                 {MESSAGE_MAP_REQUEST, ENVELOPE_STALE_OK, ERR_MALFORMED},
                 {MESSAGE_MAP_REPLY, ENVELOPE_MAP_SUBSCRIBE, ERR_MALFORMED},
                 {MESSAGE_SHARD_READ, ENVELOPE_STALE_OK, ERR_OK},
                 {MESSAGE_SHARD_READ, ENVELOPE_MAP_SUBSCRIBE, ERR_MALFORMED}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct buf b = {0};
        struct envelope e = {.type = CASES[i].type, .flags = CASES[i].flags};
        envelope_encode(&e, 0, &b);
        assert_int_equal(envelope_decode(buf_bytes(&b), &e, NULL), CASES[i].expected);
        buf_free(&b);
    }
}

static void test_wire_error_round_trip(void **state)
{
    (void)state;
    struct buf b = {0};
    struct error e;
    wire_error_encode(ERR_STALE_EPOCH, "epoch 4,\nthis is 5", &b);
    assert_int_equal(wire_error_decode(buf_bytes(&b), &e), ERR_STALE_EPOCH);
    assert_int_equal(e.code, ERR_STALE_EPOCH);
    assert_string_equal(e.msg, "epoch 4, this is 5");
    assert_int_equal(wire_error_decode(buf_bytes(&b), NULL), ERR_STALE_EPOCH);
    buf_free(&b);
}

static void test_wire_error_long_text_is_cut(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct buf b = {0};
    struct error e;
    wire_error_encode(ERR_BUSY, text, &b);
    assert_int_equal(wire_error_decode(buf_bytes(&b), &e), ERR_BUSY);
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
    buf_free(&b);
}

static void test_wire_error_malformed_bodies(void **state)
{
    (void)state;
    struct error e;
    assert_int_equal(wire_error_decode(bytes_of("", 0), &e), ERR_MALFORMED);
    assert_int_equal(wire_error_decode(bytes_of("\x01", 1), &e), ERR_MALFORMED);
    assert_int_equal(wire_error_decode(bytes_of("\0\0ok", 4), &e), ERR_MALFORMED);
    assert_int_equal(wire_error_decode(bytes_of("\xFF\xFF", 2), &e), ERR_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelope_round_trip),
        cmocka_unit_test(test_envelope_layout_is_frozen),
        cmocka_unit_test(test_envelope_begin_finish_equals_encode),
        cmocka_unit_test(test_envelope_truncated_is_malformed),
        cmocka_unit_test(test_envelope_refuses_what_it_does_not_know),
        cmocka_unit_test(test_envelope_flags_belong_to_types),
        cmocka_unit_test(test_wire_error_round_trip),
        cmocka_unit_test(test_wire_error_long_text_is_cut),
        cmocka_unit_test(test_wire_error_malformed_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
