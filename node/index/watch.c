#include "core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCRATCH_KEEP_BYTES = 64 << 20 };

void watches_init(struct watches *w)
{
    *w = (struct watches){.events_max = INDEX_WATCH_EVENTS};
    arena_init(&w->scratch, SCRATCH_KEEP_BYTES);
}

/* --- membership --- */

bool watch_has(const struct watch *w, uint32_t ordinal)
{
    uint32_t chunk = chunk_of(ordinal);
    return chunk < w->n_chunks && w->chunks[chunk] && bit_get(w->chunks[chunk], low_of(ordinal));
}

uint64_t *watch_reach(struct core *c, struct watch *w, uint32_t chunk)
{
    if (chunk >= w->n_chunks) {
        w->chunks = mem_resize_zero(&c->mem, w->chunks, w->n_chunks * sizeof *w->chunks,
                                    ((size_t)chunk + 1) * sizeof *w->chunks);
        w->n_chunks = chunk + 1;
    }
    if (!w->chunks[chunk])
        w->chunks[chunk] = mem_bitmap_new(&c->mem);
    return w->chunks[chunk];
}

static void forget_members(struct core *c, struct watch *w)
{
    for (uint32_t i = 0; i < w->n_chunks; i++)
        mem_bitmap_free(&c->mem, w->chunks[i]);
    (void)mem_resize(&c->mem, w->chunks, w->n_chunks * sizeof *w->chunks, 0);
    w->chunks = NULL;
    w->n_chunks = 0;
}

/* --- the list of watches --- */

static void set_text(struct core *c, struct watch *w, struct bytes name, struct bytes text)
{
    struct buf source = {0};
    buf_put(&source, name.data, name.len);
    buf_put(&source, text.data, text.len);
    buf_free(&w->source);
    w->source = source;
    w->name = bytes_of(source.data, name.len);
    w->text = bytes_of(source.data + name.len, text.len);
    arena_reset(&w->arena);
    w->expr = NULL;
    if (expr_parse(w->text, c->schema, &w->arena, &w->expr, NULL) != ERR_OK)
        w->expr = NULL;
    w->facets = w->expr ? facets_of_expr(w->expr, c->schema) : 0;
    w->timed = w->expr && expr_is_timed(w->expr);
}

struct watch *watch_new(struct core *c, uint32_t slot, struct bytes name, struct bytes text)
{
    struct watch *w = mem_resize_zero(&c->mem, NULL, 0, sizeof *w);
    set_text(c, w, name, text);
    c->watches.slots[slot] = w;
    c->watches.n++;
    return w;
}

static void drop(struct core *c, uint32_t slot)
{
    struct watch *w = c->watches.slots[slot];
    c->watches.slots[slot] = NULL;
    c->watches.n--;
    c->watches.n_events -= w->journal.n;
    journal_close(&c->mem, &w->journal);
    forget_members(c, w);
    arena_close(&w->arena);
    buf_free(&w->source);
    (void)mem_resize(&c->mem, w, sizeof *w, 0);
}

void watches_close(struct core *c)
{
    struct watches *ws = &c->watches;
    for (uint32_t i = 0; i < INDEX_WATCHES_MAX; i++)
        if (ws->slots[i])
            drop(c, i);
    (void)mem_resize(&c->mem, ws->dirty, ws->cap_dirty * sizeof *ws->dirty, 0);
    arena_close(&ws->scratch);
    watches_init(ws);
}

struct watch *watches_find(const struct core *c, struct bytes name)
{
    for (uint32_t i = 0; i < INDEX_WATCHES_MAX; i++)
        if (c->watches.slots[i] && bytes_equal(c->watches.slots[i]->name, name))
            return c->watches.slots[i];
    return NULL;
}

static bool is_listed(const struct watch *w, const struct index_watch *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes_equal(list[i].name, w->name))
            return true;
    return false;
}

static void set_one(struct core *c, const struct index_watch *to)
{
    struct watch *w = watches_find(c, to->name);
    uint32_t slot = 0;
    if (w && bytes_equal(w->text, to->text))
        return;
    if (w) {
        w->fresh = w->fresh || !w->expr;
        w->due = true;
        set_text(c, w, to->name, to->text);
        return;
    }
    while (slot < INDEX_WATCHES_MAX && c->watches.slots[slot])
        slot++;
    if (slot < INDEX_WATCHES_MAX) {
        w = watch_new(c, slot, to->name, to->text);
        w->fresh = w->due = true;
    }
}

/* A slot that becomes free may be taken in the same entry; what `was` says of it is then of no
 * matter, because a fresh watch compares with nothing. */
void watches_set(struct core *c, const struct index_watch *list, size_t n)
{
    for (uint32_t i = 0; i < INDEX_WATCHES_MAX; i++)
        if (c->watches.slots[i] && !is_listed(c->watches.slots[i], list, n))
            drop(c, i);
    for (size_t i = 0; i < n; i++)
        set_one(c, &list[i]);
}

void watches_day_moved(struct core *c)
{
    for (uint32_t i = 0; i < INDEX_WATCHES_MAX; i++)
        if (c->watches.slots[i] && c->watches.slots[i]->timed)
            c->watches.slots[i]->due = true;
}

/* --- journals --- */

static struct watch *fullest(const struct core *c)
{
    struct watch *most = NULL;
    for (uint32_t i = 0; i < INDEX_WATCHES_MAX; i++) {
        struct watch *w = c->watches.slots[i];
        if (w && (!most || w->journal.n > most->journal.n))
            most = w;
    }
    return most;
}

static void trim(struct core *c)
{
    while (c->watches.n_events > c->watches.events_max) {
        journal_shift(&c->mem, &fullest(c)->journal);
        c->watches.n_events--;
    }
}

void watches_set_events_max(struct core *c, uint64_t n)
{
    c->watches.events_max = n;
    trim(c);
}

void watch_push(struct core *c, struct watch *w, const struct journal_event *e)
{
    journal_push(&c->mem, &w->journal, e);
    c->watches.n_events++;
    c->watches.pushed++;
    trim(c);
}

/* --- what an entry touches --- */

static struct watch_dirty *dirty_of(struct core *c, one_id member)
{
    struct watches *ws = &c->watches;
    if (ws->n_dirty > 0 && ws->dirty[ws->n_dirty - 1].member == member)
        return &ws->dirty[ws->n_dirty - 1];
    if (ws->n_dirty == ws->cap_dirty) {
        uint32_t cap = mem_grow_cap(ws->cap_dirty, ws->n_dirty + 1);
        ws->dirty = mem_resize(&c->mem, ws->dirty, ws->cap_dirty * sizeof *ws->dirty,
                               cap * sizeof *ws->dirty);
        ws->cap_dirty = cap;
    }
    struct watch_dirty *d = &ws->dirty[ws->n_dirty++];
    *d = (struct watch_dirty){.member = member};
    return d;
}

void watches_note(struct core *c, const struct index_op *op)
{
    dirty_of(c, op->member)->facets |= facets_of_op(op);
}

void watches_note_removal(struct core *c, one_id member, uint32_t ordinal)
{
    struct watch_dirty *d = dirty_of(c, member);
    d->facets |= FACET_LIFE;
    for (uint32_t i = 0; i < INDEX_WATCHES_MAX; i++) {
        struct watch *w = c->watches.slots[i];
        if (!w || !watch_has(w, ordinal))
            continue;
        bit_clear(w->chunks[chunk_of(ordinal)], low_of(ordinal));
        d->was |= UINT64_C(1) << i;
    }
}
