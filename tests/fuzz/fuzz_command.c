/* A message between router and node: the envelope, then its body as commands, replies or an error.
 * What is taken is written again and must be taken again, unchanged; and the direct codec and
 * protobuf-c must agree. */
#include "generic.h"

#include <proto/command.h>
#include <proto/envelope.h>

#include <stdlib.h>

enum { ARENA_MAX = 4 << 20 };

static void again(bool same)
{
    if (!same)
        abort();
}

/* Protobuf-c's way must say the same, unless memory was short: it needs more. */
static void compare_commands(const struct envelope *e, enum error_code code,
                             const struct command *c, size_t n)
{
    struct arena arena;
    struct command *d;
    struct buf one = {0}, two = {0};
    size_t m;
    arena_init(&arena, ARENA_MAX);
    enum error_code generic = command_decode_generic(e->body, e->items, &arena, &d, &m, NULL);
    again(generic == ERR_TOO_LARGE || (code == generic && n == m));
    for (size_t i = 0; generic == ERR_OK && i < n; i++) {
        command_encode(&c[i], &one);
        command_encode_generic(&d[i], &two);
    }
    again(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_free(&one);
    buf_free(&two);
    arena_close(&arena);
}

static void try_commands(const struct envelope *e, struct arena *arena)
{
    struct command *c, *d;
    size_t n, m;
    struct buf one = {0}, two = {0};
    enum error_code code = command_decode(e->body, e->items, arena, &c, &n, NULL);
    compare_commands(e, code, c, n);
    if (code != ERR_OK)
        return;
    for (size_t i = 0; i < n; i++)
        command_encode(&c[i], &one);
    code = command_decode(buf_bytes(&one), (uint32_t)n, arena, &d, &m, NULL);
    again(code == ERR_TOO_LARGE || (code == ERR_OK && n == m));
    for (size_t i = 0; code == ERR_OK && i < m; i++)
        command_encode(&d[i], &two);
    again(code != ERR_OK || bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_free(&one);
    buf_free(&two);
}

/* Protobuf-c's way must say the same, unless memory was short: it needs more. */
static void compare_replies(const struct envelope *e, enum error_code code, const struct reply *c,
                            size_t n)
{
    struct arena arena;
    struct reply *d;
    struct buf one = {0}, two = {0};
    size_t m;
    arena_init(&arena, ARENA_MAX);
    enum error_code generic = reply_decode_generic(e->body, e->items, &arena, &d, &m, NULL);
    again(generic == ERR_TOO_LARGE || (code == generic && n == m));
    for (size_t i = 0; generic == ERR_OK && i < n; i++) {
        reply_encode(&c[i], &one);
        reply_encode_generic(&d[i], &two);
    }
    again(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_free(&one);
    buf_free(&two);
    arena_close(&arena);
}

static void try_replies(const struct envelope *e, struct arena *arena)
{
    struct reply *r, *d;
    size_t n, m;
    struct buf one = {0}, two = {0};
    enum error_code code = reply_decode(e->body, e->items, arena, &r, &n, NULL);
    compare_replies(e, code, r, n);
    if (code != ERR_OK)
        return;
    for (size_t i = 0; i < n; i++)
        reply_encode(&r[i], &one);
    code = reply_decode(buf_bytes(&one), (uint32_t)n, arena, &d, &m, NULL);
    again(code == ERR_TOO_LARGE || (code == ERR_OK && n == m));
    for (size_t i = 0; code == ERR_OK && i < m; i++)
        reply_encode(&d[i], &two);
    again(code != ERR_OK || bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_free(&one);
    buf_free(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope e;
    struct error err;
    if (envelope_decode(bytes_of(data, size), &e, &err) != ERR_OK)
        return 0;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    if (e.type == MESSAGE_ERROR)
        (void)wire_error_decode(e.body, &err);
    else if (e.type == MESSAGE_SHARD_REPLY)
        try_replies(&e, &arena);
    else
        try_commands(&e, &arena);
    arena_close(&arena);
    return 0;
}
