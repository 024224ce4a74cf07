#include "parts.h"

#include <stdio.h>

/* What the commands of one entry may take in RAM, decoded; and what a spare batch holds on to: once
 * each of them has had a large one, a shard would keep many times what it ever needed at once. */
enum { BATCH_ARENA_MAX = 1 << 30, SPARE_BYTES = 4 << 20 };

struct batch *batch_new(void)
{
    struct batch *b = calloc(1, sizeof *b);
    if (!b) {
        (void)fprintf(stderr, "oneid-node: out of memory\n");
        abort();
    }
    arena_init(&b->arena, BATCH_ARENA_MAX);
    b->last = &b->first;
    return b;
}

void batch_free(struct batch *b)
{
    if (!b)
        return;
    while (b->questions) {
        struct message *next = b->questions->next;
        message_free(b->questions);
        b->questions = next;
    }
    arena_close(&b->arena);
    buf_free(&b->entry);
    free(b);
}

void batch_reset(struct batch *b)
{
    arena_reset(&b->arena);
    buf_reset(&b->entry);
    b->first = NULL;
    b->last = &b->first;
    b->questions = NULL;
    b->n_requests = b->n_commands = 0;
    b->index = b->term = b->token = 0;
    b->age_ms = 0;
    b->next = NULL;
}

static void shrink(struct batch *b)
{
    arena_shrink(&b->arena, SPARE_BYTES);
    if (b->entry.cap > SPARE_BYTES)
        buf_free(&b->entry);
}

struct batch *batch_take(struct batch **spare)
{
    struct batch *b = *spare;
    if (!b)
        return batch_new();
    *spare = b->next;
    batch_reset(b);
    shrink(b);
    return b;
}

void batch_give(struct batch **spare, struct batch *b)
{
    if (*spare)
        shrink(*spare); /* not this one: what it was for may still be looked at */
    b->next = *spare;
    *spare = b;
}

enum error_code batch_add(struct batch *b, const struct message *m, struct error *err)
{
    struct batch_request *q = arena_zalloc(&b->arena, sizeof *q);
    if (!q)
        return error_set(err, ERR_NOMEM, "request");
    /* What is decoded borrows from the body, and the message goes before the batch is applied. */
    struct bytes body = arena_copy(&b->arena, m->envelope.body);
    if (m->envelope.body.len && !body.data)
        return error_set(err, ERR_NOMEM, "request");
    enum error_code rc =
        command_decode(body, m->envelope.items, &b->arena, &q->commands, &q->n, err);
    if (rc != ERR_OK)
        return rc;
    bool read = m->envelope.type == MESSAGE_SHARD_READ;
    for (size_t i = 0; i < q->n; i++) {
        if (command_is_read(q->commands[i].type) != read || q->commands[i].type >= COMMAND_COUNT)
            return error_set(err, ERR_MALFORMED, "command %zu does not belong into this message",
                             i);
    }
    q->peer = m->peer;
    q->envelope = m->envelope;
    q->envelope.body = bytes_of(NULL, 0);
    *b->last = q;
    b->last = &q->next;
    b->n_requests++;
    b->n_commands += q->n;
    if (!read) {
        buf_put_u32(&b->entry, m->envelope.items);
        buf_put_bytes(&b->entry, m->envelope.body);
    }
    return ERR_OK;
}

/* The command that is applied here is the one that others read in the log: it borrows nothing. */
void batch_add_own(struct batch *b, const struct command *c)
{
    struct batch_request *q = arena_zalloc(&b->arena, sizeof *q);
    struct command *copy = NULL;
    struct buf body = {0};
    size_t n = 0;
    command_encode(c, &body);
    struct bytes kept = arena_copy(&b->arena, buf_bytes(&body));
    if (q && kept.data && command_decode(kept, 1, &b->arena, &copy, &n, NULL) == ERR_OK) {
        *q = (struct batch_request){.commands = copy, .n = 1, .is_own = true};
        *b->last = q;
        b->last = &q->next;
        b->n_requests++;
        b->n_commands++;
        buf_put_u32(&b->entry, 1);
        buf_put_bytes(&b->entry, kept);
    } /* else it is proposed again */
    buf_free(&body);
}

void batch_begin_entry(struct batch *b, msec_t now_ms)
{
    buf_reset(&b->entry);
    buf_put_u64(&b->entry, (uint64_t)now_ms);
}

bool entry_open(struct bytes entry, struct entry_reader *out)
{
    out->r = reader_of(entry);
    out->now_ms = (msec_t)reader_u64(&out->r);
    return out->r.ok;
}

bool entry_next(struct entry_reader *r, uint32_t *items, struct bytes *body)
{
    if (!r->r.ok || reader_left(&r->r) == 0)
        return false;
    *items = reader_u32(&r->r);
    *body = reader_bytes(&r->r);
    return r->r.ok;
}
