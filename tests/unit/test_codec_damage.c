/* Bytes that are no commands or replies, or too many of them. */
#include "codec_rig.h"

#include <base/rng.h>

#include <string.h>

struct sample {
    struct buf body;
    uint32_t items;
};

static struct sample sample_commands(const struct fixture *f)
{
    struct sample s = {.items = 3};
    struct command a = full_command(f, COMMAND_APPLY), b = full_command(f, COMMAND_LIST),
                   c = full_command(f, COMMAND_ABSORB);
    command_encode(&a, &s.body);
    command_encode(&b, &s.body);
    command_encode(&c, &s.body);
    return s;
}

static struct sample sample_replies(void)
{
    struct sample s = {.items = 2};
    struct reply a = full_reply(REPLY_MISSING), b = full_reply(REPLY_OK);
    reply_encode(&a, &s.body);
    reply_encode(&b, &s.body);
    return s;
}

/* Decodes a copy that ends where its memory ends, so that the sanitizer sees every step beyond. */
static enum error_code decode_exact(struct arena *arena, struct bytes in, uint32_t items,
                                    bool replies)
{
    uint8_t *copy = malloc(in.len ? in.len : 1);
    if (in.len)
        memcpy(copy, in.data, in.len);
    struct command *c;
    struct reply *r;
    size_t n;
    enum error_code code = replies
                               ? reply_decode(bytes_of(copy, in.len), items, arena, &r, &n, NULL)
                               : command_decode(bytes_of(copy, in.len), items, arena, &c, &n, NULL);
    arena_reset(arena);
    free(copy);
    return code;
}

static void test_decode_truncated_is_malformed(void **state)
{
    struct fixture *f = *state;
    for (int replies = 0; replies < 2; replies++) {
        struct sample s = replies ? sample_replies() : sample_commands(f);
        for (size_t n = 0; n < s.body.len; n++)
            assert_int_equal(decode_exact(&f->arena, bytes_of(s.body.data, n), s.items, replies),
                             ERR_MALFORMED);
        assert_int_equal(decode_exact(&f->arena, buf_bytes(&s.body), s.items, replies), ERR_OK);
        buf_free(&s.body);
    }
}

static void test_decode_mutated_never_crashes(void **state)
{
    struct fixture *f = *state;
    struct rng rng = rng_of_seed(42);
    for (int replies = 0; replies < 2; replies++) {
        struct sample s = replies ? sample_replies() : sample_commands(f);
        size_t refused = 0;
        for (size_t i = 0; i < s.body.len; i++) {
            uint8_t was = s.body.data[i];
            for (unsigned k = 0; k < 12; k++) {
                s.body.data[i] = (uint8_t)(k < 8 ? was ^ 1u << k : rng_u64(&rng));
                enum error_code code =
                    decode_exact(&f->arena, buf_bytes(&s.body), s.items, replies);
                assert_true(code == ERR_OK || code == ERR_MALFORMED);
                refused += code != ERR_OK;
            }
            s.body.data[i] = was;
        }
        assert_true(refused > s.body.len);
        buf_free(&s.body);
    }
}

/* Memory runs out at every single allocation in turn: the error is clean, and nothing is lost. */
static void test_decode_arena_limit_at_every_step(void **state)
{
    struct fixture *f = *state;
    for (int replies = 0; replies < 2; replies++) {
        struct sample s = replies ? sample_replies() : sample_commands(f);
        struct arena arena;
        size_t limit = 16;
        enum error_code code;
        do {
            arena_init(&arena, limit);
            code = decode_exact(&arena, buf_bytes(&s.body), s.items, replies);
            assert_true(code == ERR_OK || code == ERR_TOO_LARGE);
            arena_close(&arena);
            limit += 16;
        } while (code != ERR_OK);
        assert_true(limit > 1000);
        buf_free(&s.body);
    }
}

static void test_decode_empty_submessages_are_bounded(void **state)
{
    struct fixture *f = *state;
    enum { N = 200000 };
    struct buf body = {0};
    buf_put_u8(&body, 0x0A);
    buf_put_varint(&body, 2 * N);
    for (size_t i = 0; i < N; i++)
        buf_put_u16(&body, 6 << 3 | 2); /* an empty element of `ids` */
    struct arena arena;
    arena_init(&arena, 1 << 20);
    assert_int_equal(decode_exact(&arena, buf_bytes(&body), 1, false), ERR_TOO_LARGE);
    assert_int_equal(decode_exact(&f->arena, buf_bytes(&body), 1, false), ERR_MALFORMED);
    arena_close(&arena);
    buf_free(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(test_decode_truncated_is_malformed),
        WITH_FIXTURE(test_decode_mutated_never_crashes),
        WITH_FIXTURE(test_decode_arena_limit_at_every_step),
        WITH_FIXTURE(test_decode_empty_submessages_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
