#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <transfer/message.h>

#include <base/rng.h>

#include <string.h>

static const struct transfer_copy COPY = {.id = 0x1122334455667788,
                                          .applied = 9001,
                                          .size = 3 * TRANSFER_CHUNK + 17,
                                          .chunk_bytes = TRANSFER_CHUNK,
                                          .sum = 0xABCDEF};

static void test_asks_come_back_as_they_were(void **state)
{
    (void)state;
    const struct transfer_ask all[] = {{.type = TRANSFER_OPEN, .at_least = 77, .node = 9},
                                       {.type = TRANSFER_READ, .copy = 5, .offset = 1 << 20},
                                       {.type = TRANSFER_CLOSE, .copy = UINT64_MAX}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct buf out = {0};
        struct transfer_ask got;
        transfer_ask_encode(&all[i], &out);
        assert_int_equal(transfer_ask_decode(buf_bytes(&out), &got, NULL), ERR_OK);
        assert_memory_equal(&got, &all[i], sizeof got);
        for (size_t len = 0; len < out.len; len++)
            assert_int_equal(transfer_ask_decode(bytes_of(out.data, len), &got, NULL),
                             ERR_MALFORMED);
        buf_put_u8(&out, 0);
        assert_int_equal(transfer_ask_decode(buf_bytes(&out), &got, NULL), ERR_MALFORMED);
        buf_free(&out);
    }
}

static enum error_code round_trip(const struct transfer_answer *a, struct buf *out,
                                  struct transfer_answer *got)
{
    buf_reset(out);
    transfer_answer_encode(a, out);
    return transfer_answer_decode(buf_bytes(out), got, NULL);
}

static void test_answers_come_back_as_they_were(void **state)
{
    (void)state;
    struct buf out = {0};
    struct transfer_answer got, a = {.type = TRANSFER_OPENED, .info = COPY};
    assert_int_equal(round_trip(&a, &out, &got), ERR_OK);
    assert_memory_equal(&got.info, &COPY, sizeof COPY);

    a = (struct transfer_answer){.type = TRANSFER_WAIT};
    assert_int_equal(round_trip(&a, &out, &got), ERR_OK);
    assert_int_equal(got.type, TRANSFER_WAIT);

    a = (struct transfer_answer){.type = TRANSFER_CHUNK_DATA,
                                 .info.id = 3,
                                 .offset = 1 << 20,
                                 .sum = 99,
                                 .data = bytes_of_str("abc")};
    assert_int_equal(round_trip(&a, &out, &got), ERR_OK);
    assert_int_equal(got.info.id, 3);
    assert_int_equal(got.offset, 1 << 20);
    assert_int_equal(got.sum, 99);
    assert_true(bytes_equal(got.data, a.data));

    a = (struct transfer_answer){.type = TRANSFER_GONE, .info.id = 3};
    assert_int_equal(round_trip(&a, &out, &got), ERR_OK);
    assert_int_equal(got.info.id, 3);

    a = (struct transfer_answer){
        .type = TRANSFER_REFUSED, .code = ERR_DISK_FULL, .text = bytes_of_str("no\nroom")};
    assert_int_equal(round_trip(&a, &out, &got), ERR_OK);
    assert_int_equal(got.code, ERR_DISK_FULL);
    assert_true(bytes_equal(got.text, bytes_of_str("no?room"))); /* it goes into a log */
    buf_free(&out);
}

static void test_cut_and_long_answers_are_refused(void **state)
{
    (void)state;
    const struct transfer_answer all[] = {
        {.type = TRANSFER_OPENED, .info = COPY},
        {.type = TRANSFER_WAIT},
        {.type = TRANSFER_GONE, .info.id = 3},
    };
    struct buf out = {0};
    struct transfer_answer got;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_int_equal(round_trip(&all[i], &out, &got), ERR_OK);
        for (size_t len = 0; len < out.len; len++)
            assert_int_equal(transfer_answer_decode(bytes_of(out.data, len), &got, NULL),
                             ERR_MALFORMED);
        buf_put_u8(&out, 0);
        assert_int_equal(transfer_answer_decode(buf_bytes(&out), &got, NULL), ERR_MALFORMED);
    }
    /* a chunk of no bytes, and a refusal without a code */
    struct transfer_answer a = {.type = TRANSFER_CHUNK_DATA, .info.id = 3};
    assert_int_equal(round_trip(&a, &out, &got), ERR_MALFORMED);
    a = (struct transfer_answer){.type = TRANSFER_REFUSED};
    assert_int_equal(round_trip(&a, &out, &got), ERR_MALFORMED);
    a.code = ERR_BUSY;
    assert_int_equal(round_trip(&a, &out, &got), ERR_OK);
    buf_put(&out, "\x1b[2J", 4);
    assert_int_equal(transfer_answer_decode(buf_bytes(&out), &got, NULL), ERR_MALFORMED);
    buf_free(&out);
}

static void test_other_forms_are_refused_as_such(void **state)
{
    (void)state;
    struct transfer_answer a;
    struct transfer_ask k;
    struct error err = {0};
    const uint8_t newer[] = {2, 1}, zero[] = {1, 0}, high[] = {1, 200};
    assert_int_equal(transfer_answer_decode(bytes_of(newer, 2), &a, &err), ERR_MISMATCH);
    assert_non_null(strstr(err.msg, "form 2"));
    assert_int_equal(transfer_ask_decode(bytes_of(newer, 2), &k, &err), ERR_MISMATCH);
    assert_int_equal(transfer_answer_decode(bytes_of(zero, 2), &a, &err), ERR_MALFORMED);
    assert_int_equal(transfer_ask_decode(bytes_of(high, 2), &k, &err), ERR_MALFORMED);
    assert_int_equal(transfer_answer_decode(bytes_of(high, 2), &a, &err), ERR_MALFORMED);
}

static void test_copies_out_of_bounds_are_refused(void **state)
{
    (void)state;
    struct buf out = {0};
    struct transfer_answer got, a = {.type = TRANSFER_OPENED, .info = COPY};
    static const uint64_t SIZES[] = {0, UINT64_MAX, UINT64_C(1) << 63};
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        a.info.size = SIZES[i];
        assert_int_equal(round_trip(&a, &out, &got), ERR_MALFORMED);
    }
    a.info.size = 1;
    assert_int_equal(round_trip(&a, &out, &got), ERR_OK);
    static const uint32_t CHUNKS[] = {0, TRANSFER_CHUNK_MIN - 1, TRANSFER_CHUNK_MAX + 1,
                                      UINT32_MAX};
    for (size_t i = 0; i < sizeof CHUNKS / sizeof *CHUNKS; i++) {
        a.info.chunk_bytes = CHUNKS[i];
        assert_int_equal(round_trip(&a, &out, &got), ERR_MALFORMED);
    }
    buf_free(&out);
}

static void test_chunks_cover_the_copy(void **state)
{
    (void)state;
    struct transfer_copy c = COPY;
    assert_int_equal(transfer_chunks(&c), 4);
    assert_int_equal(transfer_chunk_len(&c, 0), TRANSFER_CHUNK);
    assert_int_equal(transfer_chunk_len(&c, 3 * TRANSFER_CHUNK), 17);
    assert_int_equal(transfer_chunk_len(&c, 4 * TRANSFER_CHUNK), 0);
    assert_int_equal(transfer_chunk_len(&c, 1), 0);
    assert_int_equal(transfer_chunk_len(&c, UINT64_MAX / TRANSFER_CHUNK * TRANSFER_CHUNK), 0);
    c.size = 3 * TRANSFER_CHUNK;
    assert_int_equal(transfer_chunks(&c), 3);
    assert_int_equal(transfer_chunk_len(&c, 2 * TRANSFER_CHUNK), TRANSFER_CHUNK);
}

static void test_sums_are_of_copy_and_place(void **state)
{
    (void)state;
    struct bytes data = bytes_of_str("data");
    uint64_t sum = transfer_sum_chunk(1, 0, data);
    assert_int_not_equal(sum, transfer_sum_chunk(2, 0, data));
    assert_int_not_equal(sum, transfer_sum_chunk(1, 1 << 20, data));
    assert_int_not_equal(sum, transfer_sum_chunk(1, 0, bytes_of_str("dat4")));
    uint64_t some[] = {sum, 7, 8, 9}, swapped[] = {7, sum, 8, 9};
    struct transfer_copy c = COPY;
    uint64_t whole = transfer_sum_whole(&c, some);
    assert_int_not_equal(whole, transfer_sum_whole(&c, swapped));
    c.sum++; /* not of itself */
    assert_int_equal(whole, transfer_sum_whole(&c, some));
    c.applied++;
    assert_int_not_equal(whole, transfer_sum_whole(&c, some));
    c = COPY;
    c.size--;
    assert_int_not_equal(whole, transfer_sum_whole(&c, some));
}

/* What is taken from noise is in bounds. */
static void test_noise_is_refused_or_in_bounds(void **state)
{
    (void)state;
    struct rng g = rng_of_seed(4);
    int taken = 0;
    for (int i = 0; i < 200000; i++) {
        uint8_t noise[64];
        size_t len = rng_below(&g, sizeof noise);
        for (size_t j = 0; j < len; j++)
            noise[j] = (uint8_t)rng_u64(&g);
        if (len > 1) {
            noise[0] = TRANSFER_FORM;
            noise[1] = (uint8_t)rng_below(&g, TRANSFER_ANSWER_END + 1);
        }
        struct transfer_answer a;
        struct transfer_ask k;
        (void)transfer_ask_decode(bytes_of(noise, len), &k, NULL);
        if (transfer_answer_decode(bytes_of(noise, len), &a, NULL) != ERR_OK)
            continue;
        taken++;
        assert_true(a.type > 0 && a.type < TRANSFER_ANSWER_END);
        assert_true(a.data.len <= len && a.text.len <= len);
        if (a.type == TRANSFER_OPENED)
            assert_true(transfer_chunks(&a.info) >= 1);
    }
    assert_true(taken > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asks_come_back_as_they_were),
        cmocka_unit_test(test_answers_come_back_as_they_were),
        cmocka_unit_test(test_cut_and_long_answers_are_refused),
        cmocka_unit_test(test_other_forms_are_refused_as_such),
        cmocka_unit_test(test_copies_out_of_bounds_are_refused),
        cmocka_unit_test(test_chunks_cover_the_copy),
        cmocka_unit_test(test_sums_are_of_copy_and_place),
        cmocka_unit_test(test_noise_is_refused_or_in_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
