/* A message between router and node: the envelope, then its body as commands, replies or an error.
 * What is taken is written again and must be taken again, unchanged. */
#include <proto/command.h>
#include <proto/envelope.h>

#include <stdlib.h>

static void again(bool same)
{
    if (!same)
        abort();
}

static void try_commands(const struct envelope *e, struct arena *arena)
{
    struct command *c, *d;
    size_t n, m;
    struct buf one = {0}, two = {0};
    if (command_decode(e->body, e->items, arena, &c, &n, NULL) != ERR_OK)
        return;
    for (size_t i = 0; i < n; i++)
        command_encode(&c[i], &one);
    enum error_code code = command_decode(buf_bytes(&one), (uint32_t)n, arena, &d, &m, NULL);
    again(code == ERR_TOO_LARGE || (code == ERR_OK && n == m));
    for (size_t i = 0; code == ERR_OK && i < m; i++)
        command_encode(&d[i], &two);
    again(code != ERR_OK || bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_free(&one);
    buf_free(&two);
}

static void try_replies(const struct envelope *e, struct arena *arena)
{
    struct reply *r, *d;
    size_t n, m;
    struct buf one = {0}, two = {0};
    if (reply_decode(e->body, e->items, arena, &r, &n, NULL) != ERR_OK)
        return;
    for (size_t i = 0; i < n; i++)
        reply_encode(&r[i], &one);
    enum error_code code = reply_decode(buf_bytes(&one), (uint32_t)n, arena, &d, &m, NULL);
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
    arena_init(&arena, 4 << 20);
    if (e.type == MESSAGE_ERROR)
        (void)wire_error_decode(e.body, &err);
    else if (e.type == MESSAGE_SHARD_REPLY)
        try_replies(&e, &arena);
    else
        try_commands(&e, &arena);
    arena_close(&arena);
    return 0;
}
