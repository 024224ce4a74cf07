/* Reading a watched segment: pages of its members as of an entry, and its events. */
#include "private.h"

#include <stdlib.h>

struct reading {
    const struct core *core;
    const struct watch *watch;
    struct index_watch_place from;
    size_t limit;
    struct index_watch_event *out;
    size_t n;
    struct index_watch_place next;
    struct error *err;
};

/* --- events --- */

static void read_events(struct reading *r)
{
    const struct journal *j = &r->watch->journal;
    uint32_t i = journal_find(j, r->from.log_index, r->from.member);
    for (; i < j->n && r->n < r->limit; i++) {
        const struct journal_event *e = journal_at(j, i);
        r->out[r->n++] =
            (struct index_watch_event){e->log_index, e->member, journal_time(e), journal_enters(e)};
    }
    r->next = (struct index_watch_place){INDEX_WATCH_AFTER, r->core->applied, UINT64_MAX};
    if (i < j->n) {
        r->next.log_index = r->n ? r->out[r->n - 1].log_index : r->from.log_index;
        r->next.member = r->n ? r->out[r->n - 1].member : r->from.member;
    }
}

/* --- a page of members --- */

/* The least `cap` members above a bound, as a heap with the greatest on top. */
struct least {
    one_id *heap;
    size_t n, cap;
    one_id above;
    bool more; /* some found no room */
};

static void sift_up(struct least *l, size_t i)
{
    for (; i > 0 && l->heap[(i - 1) / 2] < l->heap[i]; i = (i - 1) / 2) {
        one_id t = l->heap[i];
        l->heap[i] = l->heap[(i - 1) / 2];
        l->heap[(i - 1) / 2] = t;
    }
}

static void sift_down(struct least *l, size_t i)
{
    for (;;) {
        size_t big = i, a = 2 * i + 1, b = a + 1;
        if (a < l->n && l->heap[a] > l->heap[big])
            big = a;
        if (b < l->n && l->heap[b] > l->heap[big])
            big = b;
        if (big == i)
            return;
        one_id t = l->heap[i];
        l->heap[i] = l->heap[big];
        l->heap[big] = t;
        i = big;
    }
}

static void least_offer(struct least *l, one_id member)
{
    if (member <= l->above)
        return;
    if (l->n < l->cap) {
        l->heap[l->n++] = member;
        sift_up(l, l->n - 1);
        return;
    }
    l->more = true;
    if (member < l->heap[0]) {
        l->heap[0] = member;
        sift_down(l, 0);
    }
}

/* Can no more of these One-IDs, or greater ones, come in? */
static bool is_beyond(const struct least *l, one_id member)
{
    return l->n == l->cap && member >= l->heap[0];
}

static void offer_chunk(struct least *l, const uint64_t *words, const struct ids_chunk *c)
{
    if (c->most <= l->above)
        return;
    if (is_beyond(l, c->least)) {
        l->more = true;
        return;
    }
    for (uint32_t w = 0; w < CHUNK_WORDS; w++)
        for (uint64_t bits = words[w]; bits; bits &= bits - 1) {
            one_id member = c->members[w * 64 + (uint32_t)__builtin_ctzll(bits)];
            least_offer(l, member);
            if (c->sorted && is_beyond(l, member) && l->more)
                return;
        }
}

static int by_id(const void *a, const void *b)
{
    one_id x = *(const one_id *)a, y = *(const one_id *)b;
    return x < y ? -1 : x > y;
}

static bool select_members(const struct reading *r, struct least *l)
{
    const struct watch *w = r->watch;
    *l = (struct least){.cap = r->limit, .above = r->from.member};
    l->heap = malloc(r->limit * sizeof *l->heap);
    if (!l->heap)
        return false;
    for (uint32_t i = 0; i < w->n_chunks; i++)
        if (w->chunks[i])
            offer_chunk(l, w->chunks[i], &r->core->ids.chunks[i]);
    if (l->n > 1)
        qsort(l->heap, l->n, sizeof *l->heap, by_id);
    return true;
}

/* The first event since the listing's entry says where its member was then: on the other side. */
struct correction {
    one_id member;
    uint32_t number; /* of the event in the journal */
    bool was_in;
};

static int by_correction(const void *a, const void *b)
{
    const struct correction *x = a, *y = b;
    if (x->member != y->member)
        return x->member < y->member ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Those of members in (above, upto], one each, by rising One-ID. NULL: out of memory. */
static struct correction *find_corrections(const struct reading *r, one_id upto, size_t *n_out)
{
    const struct journal *j = &r->watch->journal;
    uint32_t first = journal_find(j, r->from.log_index, UINT64_MAX);
    size_t n = 0, kept = 0;
    for (uint32_t i = first; i < j->n; i++)
        n += journal_at(j, i)->member > r->from.member && journal_at(j, i)->member <= upto;
    struct correction *list = malloc((n + 1) * sizeof *list);
    if (!list)
        return NULL;
    n = 0;
    for (uint32_t i = first; i < j->n; i++) {
        const struct journal_event *e = journal_at(j, i);
        if (e->member > r->from.member && e->member <= upto)
            list[n++] = (struct correction){e->member, i, !journal_enters(e)};
    }
    if (n > 1)
        qsort(list, n, sizeof *list, by_correction);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || list[kept - 1].member != list[i].member)
            list[kept++] = list[i];
    *n_out = kept;
    return list;
}

/* False when the page is full. */
static bool list_member(struct reading *r, one_id member)
{
    if (r->n == r->limit)
        return false;
    r->out[r->n++] = (struct index_watch_event){r->from.log_index, member, 0, true};
    return true;
}

/* Who is in it now, with the corrections laid over; false when the page is full. */
static bool list_corrected(struct reading *r, const struct least *l, const struct correction *list,
                           size_t n)
{
    size_t i = 0, k = 0;
    while (i < l->n || k < n) {
        bool corrected = k < n && (i == l->n || list[k].member <= l->heap[i]);
        one_id member = corrected ? list[k].member : l->heap[i];
        if ((!corrected || list[k].was_in) && !list_member(r, member))
            return false;
        i += i < l->n && l->heap[i] == member;
        k += corrected;
    }
    return true;
}

static enum error_code read_members(struct reading *r)
{
    struct least l;
    size_t n = 0;
    if (!select_members(r, &l))
        return error_set(r->err, ERR_NOMEM, "no memory left for the listing");
    one_id upto = l.more ? l.heap[l.n - 1] : UINT64_MAX;
    struct correction *list = find_corrections(r, upto, &n);
    if (!list) {
        free(l.heap);
        return error_set(r->err, ERR_NOMEM, "no memory left for the listing");
    }
    bool all = list_corrected(r, &l, list, n);
    r->next = r->from;
    r->next.member = all ? upto : r->out[r->n - 1].member;
    if (all && !l.more)
        r->next.from = INDEX_WATCH_AFTER;
    free(list);
    free(l.heap);
    return ERR_OK;
}

/* --- a read --- */

/* Turns `now` into a position, and checks one that was given. */
static enum error_code settle_place(struct reading *r)
{
    uint64_t applied = r->core->applied;
    struct index_watch_place *p = &r->from;
    if (p->from == INDEX_WATCH_NOW)
        *p = (struct index_watch_place){INDEX_WATCH_AFTER, applied, UINT64_MAX};
    if (p->from == INDEX_WATCH_ALL)
        *p = (struct index_watch_place){INDEX_WATCH_LISTING, applied, 0};
    if (p->log_index > applied)
        return error_set(r->err, ERR_BUSY, "the shard is at log entry %llu, the position at %llu",
                         (unsigned long long)applied, (unsigned long long)p->log_index);
    one_id member = p->from == INDEX_WATCH_LISTING ? UINT64_MAX : p->member;
    if (!journal_reaches(&r->watch->journal, p->log_index, member))
        return error_set(r->err, ERR_TOO_OLD, "events after log entry %llu are not kept any more",
                         (unsigned long long)p->log_index);
    return ERR_OK;
}

static enum error_code read_inside(struct reading *r, struct bytes name)
{
    r->watch = watches_find(r->core, name);
    if (!r->watch || r->watch->fresh)
        return error_set(r->err, ERR_NOT_FOUND, "the segment is not watched");
    if (!r->watch->expr)
        return error_set(r->err, ERR_INVALID, "the segment cannot be evaluated: define it again");
    enum error_code code = settle_place(r);
    if (code != ERR_OK)
        return code;
    if (r->from.from == INDEX_WATCH_LISTING)
        return read_members(r);
    read_events(r);
    return ERR_OK;
}

enum error_code index_watch_read(struct index *ix, struct bytes name,
                                 const struct index_watch_place *place, size_t limit,
                                 msec_t deadline_mono_ms, struct index_watch_event *out,
                                 size_t *n_out, struct index_watch_place *next, struct error *err)
{
    struct reading r = {
        .core = &ix->core, .from = *place, .limit = limit, .out = out, .next = *place, .err = err};
    *n_out = 0;
    *next = *place;
    if (limit == 0)
        return error_set(err, ERR_INVALID, "limit: expected at least 1");
    enum error_code code = gate_read(&ix->gate, deadline_mono_ms, NULL);
    if (code != ERR_OK)
        return error_set(err, code, "while waiting for changes to go in");
    code = read_inside(&r, name);
    gate_read_end(&ix->gate);
    if (code != ERR_OK)
        return code;
    *n_out = r.n;
    *next = r.next;
    return ERR_OK;
}

void index_get_watch_stats(const struct index *ix, struct index_watch_stats *out)
{
    const struct watches *ws = &ix->core.watches;
    *out = (struct index_watch_stats){.watches = ws->n, .events = ws->n_events};
    for (uint32_t i = 0; i < INDEX_WATCHES_MAX; i++) {
        const struct watch *w = ws->slots[i];
        if (!w)
            continue;
        out->bytes += (uint64_t)w->journal.cap * sizeof *w->journal.ring;
        for (uint32_t k = 0; k < w->n_chunks; k++)
            out->bytes += w->chunks[k] ? CHUNK_BYTES : 0;
    }
}
