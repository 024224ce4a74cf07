/* The end of a log entry: who is in each watched segment now, against who was. */
#include "core.h"
#include "match.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* A count or sum at one member reads over its chunk's rows: where so many members of a chunk
     * are to be looked at, adding up all of it is cheaper (measured). */
    PROBES_PER_CHUNK = 16,
};

struct comparison {
    struct core *core;
    struct watch *watch;
    uint64_t slot_bit;
    uint64_t log_index;
    msec_t time_ms;
    struct node *root;
    struct run run;
    struct journal_event *found; /* of a comparison of all members, in any order */
    size_t n_found, cap_found;
};

static void note_event(struct comparison *k, one_id member, bool enter)
{
    if (k->n_found == k->cap_found) {
        size_t cap = k->cap_found ? k->cap_found * 2 : 64;
        k->found = mem_resize(&k->core->mem, k->found, k->cap_found * sizeof *k->found,
                              cap * sizeof *k->found);
        k->cap_found = cap;
    }
    k->found[k->n_found++] =
        (struct journal_event){k->log_index, member, journal_stamp(k->time_ms, enter)};
}

static int by_member(const void *a, const void *b)
{
    const struct journal_event *x = a, *y = b;
    return x->member < y->member ? -1 : x->member > y->member;
}

static void push_events(struct comparison *k)
{
    if (k->n_found > 1)
        qsort(k->found, k->n_found, sizeof *k->found, by_member);
    for (size_t i = 0; i < k->n_found; i++)
        watch_push(k->core, k->watch, &k->found[i]);
    (void)mem_resize(&k->core->mem, k->found, k->cap_found * sizeof *k->found, 0);
}

/* --- all members --- */

/* Who left with its life has no ordinal any more; who came back has another one, and is there
 * again as it was until the chunk is compared. */
static void put_back_removed(struct comparison *k)
{
    const struct watches *ws = &k->core->watches;
    for (uint32_t i = 0; i < ws->n_dirty; i++) {
        uint32_t ordinal;
        if (!(ws->dirty[i].was & k->slot_bit))
            continue;
        if (ids_find(&k->core->ids, ws->dirty[i].member, &ordinal))
            bit_set(watch_reach(k->core, k->watch, chunk_of(ordinal)), low_of(ordinal));
        else
            note_event(k, ws->dirty[i].member, false);
    }
}

static void note_differences(struct comparison *k, uint32_t chunk, const uint64_t *old,
                             const uint64_t *now)
{
    const one_id *members = k->core->ids.chunks[chunk].members;
    for (uint32_t w = 0; w < CHUNK_WORDS; w++)
        for (uint64_t bits = old[w] ^ now[w]; bits; bits &= bits - 1) {
            uint32_t low = w * 64 + (uint32_t)__builtin_ctzll(bits);
            note_event(k, members[low], bit_get(now, low));
        }
}

static void compare_chunk(struct comparison *k, uint32_t chunk)
{
    static const uint64_t nobody[CHUNK_WORDS];
    struct watch *w = k->watch;
    const uint64_t *now = nobody;
    if (run_chunk(&k->run, k->root, chunk)) {
        reg_spread(k->run.result);
        now = k->run.result->words;
    }
    bool had = chunk < w->n_chunks && w->chunks[chunk];
    if (!w->fresh)
        note_differences(k, chunk, had ? w->chunks[chunk] : nobody, now);
    if (had || now != nobody)
        memcpy(watch_reach(k->core, w, chunk), now, CHUNK_BYTES);
}

static void compare_all(struct comparison *k)
{
    if (!k->watch->fresh)
        put_back_removed(k);
    for (uint32_t chunk = 0; chunk < k->core->ids.n_chunks; chunk++)
        compare_chunk(k, chunk);
    if (k->watch->fresh)
        journal_begin(&k->core->mem, &k->watch->journal, k->log_index);
}

/* --- the members that the entry touched --- */

/* The chunk that `run` has evaluated last, for programs that are dear at one member. */
struct touched {
    struct comparison *k;
    bool by_chunk;
    uint32_t chunk;
};

static bool matches(struct touched *t, uint32_t ordinal)
{
    static const uint32_t none = UINT32_MAX;
    struct comparison *k = t->k;
    if (!t->by_chunk)
        return program_matches(k->core, k->root, ordinal);
    if (t->chunk == none || t->chunk != chunk_of(ordinal)) {
        t->chunk = chunk_of(ordinal);
        if (!run_chunk(&k->run, k->root, t->chunk))
            reg_clear(k->run.result);
        reg_spread(k->run.result);
    }
    return bit_get(k->run.result->words, low_of(ordinal));
}

static void compare_one(struct touched *t, const struct watch_dirty *d)
{
    struct comparison *k = t->k;
    uint32_t ordinal;
    bool was = d->was & k->slot_bit, is = false;
    if (ids_find(&k->core->ids, d->member, &ordinal)) {
        bool marked = watch_has(k->watch, ordinal);
        was = was || marked;
        is = matches(t, ordinal);
        if (is && !marked)
            bit_set(watch_reach(k->core, k->watch, chunk_of(ordinal)), low_of(ordinal));
        else if (!is && marked)
            bit_clear(k->watch->chunks[chunk_of(ordinal)], low_of(ordinal));
    }
    if (was != is)
        note_event(k, d->member, is);
}

static void compare_touched(struct comparison *k)
{
    const struct watches *ws = &k->core->watches;
    struct touched t = {.k = k, .by_chunk = k->run.result != NULL, .chunk = UINT32_MAX};
    for (uint32_t i = 0; i < ws->n_dirty; i++)
        if (ws->dirty[i].facets & k->watch->facets)
            compare_one(&t, &ws->dirty[i]);
}

/* --- the entry --- */

static int by_dirty_member(const void *a, const void *b)
{
    const struct watch_dirty *x = a, *y = b;
    return x->member < y->member ? -1 : x->member > y->member;
}

/* One row for each member, by rising One-ID; returns what any of them touched. */
static uint64_t settle_dirty(struct watches *ws)
{
    uint32_t kept = 0;
    uint64_t facets = 0;
    if (ws->n_dirty > 1)
        qsort(ws->dirty, ws->n_dirty, sizeof *ws->dirty, by_dirty_member);
    for (uint32_t i = 0; i < ws->n_dirty; i++) {
        const struct watch_dirty d = ws->dirty[i];
        facets |= d.facets;
        if (kept > 0 && ws->dirty[kept - 1].member == d.member) {
            ws->dirty[kept - 1].facets |= d.facets;
            ws->dirty[kept - 1].was |= d.was;
        } else {
            ws->dirty[kept++] = d;
        }
    }
    ws->n_dirty = kept;
    return facets;
}

static uint32_t count_touched(const struct comparison *k)
{
    const struct watches *ws = &k->core->watches;
    uint32_t n = 0;
    for (uint32_t i = 0; i < ws->n_dirty; i++)
        n += (ws->dirty[i].facets & k->watch->facets) != 0;
    return n;
}

/* Dear programs go by chunk where the touched members lie close together. */
static bool is_by_chunk(const struct comparison *k)
{
    return k->watch->due || (k->root->cost == COST_METRIC &&
                             count_touched(k) / PROBES_PER_CHUNK >= k->core->ids.n_chunks);
}

/* Without a program there are no events; readers are told. */
static bool prepare(struct comparison *k)
{
    struct core *c = k->core;
    const struct index_query q = {.expr = k->watch->expr, .today = c->today};
    enum error_code code = program_compile(c, &q, &c->watches.scratch, &k->root, NULL);
    if (code == ERR_OK && is_by_chunk(k))
        code = run_init(&k->run, c, &q, &k->root, 1, NULL);
    if (code != ERR_OK)
        k->watch->expr = NULL;
    return code == ERR_OK;
}

static void end_watch(struct core *c, uint32_t slot, uint64_t log_index, msec_t time_ms)
{
    struct watch *w = c->watches.slots[slot];
    struct comparison k = {.core = c,
                           .watch = w,
                           .slot_bit = UINT64_C(1) << slot,
                           .log_index = log_index,
                           .time_ms = time_ms};
    arena_reset(&c->watches.scratch);
    if (w->expr && prepare(&k)) {
        if (w->due)
            compare_all(&k);
        else
            compare_touched(&k);
        push_events(&k);
        w->due = w->fresh = false;
    }
    run_close(&k.run);
}

void watches_end_entry(struct core *c, uint64_t log_index, msec_t time_ms)
{
    struct watches *ws = &c->watches;
    uint64_t facets = settle_dirty(ws);
    for (uint32_t i = 0; i < INDEX_WATCHES_MAX && ws->n > 0; i++) {
        const struct watch *w = ws->slots[i];
        if (w && (w->due || (w->facets & facets)))
            end_watch(c, i, log_index, time_ms);
    }
    ws->n_dirty = 0;
}
