#include "watch_file.h"

enum { FLAG_FRESH = 1, FLAG_DUE = 2, FLAG_SOUND = 4 };

static void put_members(struct buf *b, const struct watch *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n_chunks; i++)
        n += w->chunks[i] != NULL;
    buf_put_varint(b, n);
    for (uint32_t i = 0; i < w->n_chunks; i++) {
        if (!w->chunks[i])
            continue;
        buf_put_varint(b, i);
        buf_put(b, w->chunks[i], CHUNK_BYTES);
    }
}

void watch_file_put(struct buf *b, uint32_t slot, const struct watch *w)
{
    buf_put_u8(b, (uint8_t)slot);
    buf_put_u8(b, (uint8_t)((w->fresh ? FLAG_FRESH : 0) | (w->due ? FLAG_DUE : 0) |
                            (w->expr ? FLAG_SOUND : 0)));
    buf_put_bytes(b, w->name);
    buf_put_bytes(b, w->text);
    buf_put_u64(b, w->journal.begin_index);
    buf_put_u64(b, w->journal.begin_member);
    put_members(b, w);
}

/* Only live members are in a watch. */
static bool get_chunk(struct core *c, struct watch *w, struct reader *r)
{
    uint64_t chunk = reader_varint(r);
    struct bytes raw = reader_take(r, CHUNK_BYTES);
    if (!r->ok || chunk >= c->ids.n_chunks || (chunk < w->n_chunks && w->chunks[chunk]))
        return false;
    uint64_t *words = watch_reach(c, w, (uint32_t)chunk);
    memcpy(words, raw.data, CHUNK_BYTES);
    for (uint32_t i = 0; i < CHUNK_WORDS; i++)
        if (words[i] & ~c->ids.chunks[chunk].live[i])
            return false;
    return true;
}

bool watch_file_get(struct core *c, struct reader *r)
{
    uint8_t slot = reader_u8(r), flags = reader_u8(r);
    struct bytes name = reader_bytes(r), text = reader_bytes(r);
    uint64_t begin_index = reader_u64(r);
    one_id begin_member = reader_u64(r);
    uint64_t n = reader_varint(r);
    if (!r->ok || slot >= INDEX_WATCHES_MAX || c->watches.slots[slot] || watches_find(c, name) ||
        begin_index > c->applied)
        return false;
    struct watch *w = watch_new(c, slot, name, text);
    w->fresh = flags & FLAG_FRESH;
    w->due = flags & FLAG_DUE;
    if (!(flags & FLAG_SOUND))
        w->expr = NULL;
    w->journal.begin_index = begin_index;
    w->journal.begin_member = begin_member;
    for (uint64_t i = 0; i < n; i++)
        if (!get_chunk(c, w, r))
            return false;
    return true;
}

void watch_file_put_events(struct buf *b, uint32_t slot, const struct watch *w, uint32_t from,
                           uint32_t n)
{
    buf_put_u8(b, (uint8_t)slot);
    for (uint32_t i = from; i < from + n; i++) {
        const struct journal_event *e = journal_at(&w->journal, i);
        buf_put_u64(b, e->log_index);
        buf_put_u64(b, e->member);
        buf_put_u64(b, e->stamp);
    }
}

bool watch_file_get_events(struct core *c, struct reader *r)
{
    uint8_t slot = reader_u8(r);
    struct watch *w = r->ok && slot < INDEX_WATCHES_MAX ? c->watches.slots[slot] : NULL;
    while (w && r->ok && reader_left(r) > 0) {
        struct journal *j = &w->journal;
        struct journal_event e = {reader_u64(r), reader_u64(r), reader_u64(r)};
        const struct journal_event *last = j->n ? journal_at(j, j->n - 1) : NULL;
        uint64_t last_index = last ? last->log_index : j->begin_index;
        one_id last_member = last ? last->member : j->begin_member;
        if (!r->ok || e.log_index > c->applied ||
            !position_before(last_index, last_member, e.log_index, e.member))
            return false;
        journal_push(&c->mem, j, &e);
        c->watches.n_events++;
    }
    return w && r->ok;
}
