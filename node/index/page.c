#include "page.h"

#include <stdlib.h>

/* Chunks are taken by their least One-ID, and only those that can still hold one of the `limit`
 * least after the cursor. What is found collects in twice the room; when that is full, the greater
 * half goes and `below` says what is too great from then on. */
struct collector {
    struct session *session;
    const struct node *root;
    one_id after; /* the cursor */
    one_id below; /* UINT64_MAX: no bound yet */
    size_t want;  /* the limit and one more, which tells whether something follows */
    struct page_row *rows;
    size_t n, room;
    bool *done; /* per chunk */
};

static int by_member(const void *a, const void *b)
{
    const struct page_row *x = a, *y = b;
    return x->member < y->member ? -1 : x->member > y->member;
}

static void swap_rows(struct page_row *a, struct page_row *b)
{
    struct page_row t = *a;
    *a = *b;
    *b = t;
}

/* Hoare's selection: afterwards the `k` least are in front, in any order. */
static void select_least(struct page_row *rows, size_t n, size_t k)
{
    size_t lo = 0, hi = n;
    while (hi - lo > 1) {
        one_id pivot = rows[lo + (hi - lo) / 2].member;
        size_t i = lo, j = hi - 1;
        for (;;) {
            while (rows[i].member < pivot)
                i++;
            while (rows[j].member > pivot)
                j--;
            if (i >= j)
                break;
            swap_rows(&rows[i++], &rows[j--]);
        }
        /* lo..j <= pivot <= j+1..hi */
        if (k <= j)
            hi = j + 1 < hi ? j + 1 : j;
        else
            lo = j + 1;
    }
}

static void shrink(struct collector *c)
{
    if (c->n > c->want)
        select_least(c->rows, c->n, c->want);
    c->n = c->want;
    c->below = 0;
    for (size_t i = 0; i < c->n; i++)
        c->below = c->rows[i].member > c->below ? c->rows[i].member : c->below;
}

static void take(struct collector *c, one_id member, uint32_t ordinal)
{
    if (member <= c->after || member >= c->below)
        return;
    c->rows[c->n++] = (struct page_row){member, ordinal};
    if (c->n == c->room)
        shrink(c);
}

/* The first position of a sorted chunk whose One-ID is beyond the cursor. */
static uint32_t first_after(const struct ids_chunk *c, uint32_t end, one_id after)
{
    uint32_t lo = 0;
    while (lo < end) {
        uint32_t mid = lo + (end - lo) / 2;
        if (c->members[mid] <= after)
            lo = mid + 1;
        else
            end = mid;
    }
    return lo;
}

static void take_unsorted(struct collector *c, uint32_t chunk)
{
    const one_id *members = c->session->ix->core.ids.chunks[chunk].members;
    REG_EACH(c->session->run.result, low, { take(c, members[low], chunk << CHUNK_BITS | low); });
}

/* Stops where enough were taken or the rest is too great. */
static void take_sorted(struct collector *c, uint32_t chunk)
{
    const struct ids *ids = &c->session->ix->core.ids;
    const struct ids_chunk *ic = &ids->chunks[chunk];
    struct reg *reg = c->session->run.result;
    uint32_t end = ids->next - (chunk << CHUNK_BITS);
    uint32_t low = first_after(ic, end < CHUNK_SIZE ? end : CHUNK_SIZE, c->after);
    reg_spread(reg);
    size_t taken = 0;
    for (uint32_t w = low / 64; w < CHUNK_WORDS; w++) {
        uint64_t bits = reg->words[w];
        if (w == low / 64)
            bits &= UINT64_MAX << (low % 64);
        for (; bits; bits &= bits - 1) {
            uint32_t at = w * 64 + (uint32_t)__builtin_ctzll(bits);
            if (taken++ == c->want || ic->members[at] >= c->below)
                return;
            take(c, ic->members[at], chunk << CHUNK_BITS | at);
        }
    }
}

/* The chunk with the least One-IDs among those that are not done and can still matter, or
 * UINT32_MAX. */
static uint32_t next_chunk(const struct collector *c)
{
    const struct ids *ids = &c->session->ix->core.ids;
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < ids->n_chunks; i++) {
        const struct ids_chunk *ic = &ids->chunks[i];
        if (c->done[i] || ic->n_live == 0 || ic->most <= c->after || ic->least >= c->below)
            continue;
        if (best == UINT32_MAX || ic->least < ids->chunks[best].least)
            best = i;
    }
    return best;
}

static enum error_code collect(struct collector *c, struct error *err)
{
    const struct ids *ids = &c->session->ix->core.ids;
    struct run *run = &c->session->run;
    for (uint32_t chunk; (chunk = next_chunk(c)) != UINT32_MAX;) {
        enum error_code code = run_check(run, err);
        if (code != ERR_OK)
            return code;
        c->done[chunk] = true;
        if (!run_chunk(run, c->root, chunk))
            continue;
        if (ids->chunks[chunk].sorted)
            take_sorted(c, chunk);
        else
            take_unsorted(c, chunk);
        if (c->n >= c->want)
            shrink(c);
    }
    return run_check(run, err);
}

static bool is_sorted(const struct page_row *rows, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (rows[i - 1].member > rows[i].member)
            return false;
    return true;
}

enum error_code page_collect(struct session *s, const struct node *root, one_id cursor,
                             size_t limit, struct page *out, struct error *err)
{
    const struct ids *ids = &s->ix->core.ids;
    if (limit == 0)
        return error_set(err, ERR_INVALID, "a page of no members was asked for");
    size_t want = limit < ids->n_live ? limit + 1 : ids->n_live + 1, room = 2 * want;
    struct collector c = {.session = s,
                          .root = root,
                          .after = cursor,
                          .below = UINT64_MAX,
                          .want = want,
                          .room = room};
    c.rows = arena_alloc(&s->arena, room * sizeof *c.rows);
    c.done = arena_zalloc(&s->arena, ids->n_chunks + 1);
    if (!c.rows || !c.done)
        return error_set(err, ERR_NOMEM, "no memory left for a page of %zu members", limit);
    enum error_code code = collect(&c, err);
    if (code != ERR_OK)
        return code;
    if (!is_sorted(c.rows, c.n))
        qsort(c.rows, c.n, sizeof *c.rows, by_member);
    bool more = c.n > limit;
    *out = (struct page){.rows = c.rows, .n = more ? limit : c.n};
    out->next = more ? c.rows[limit - 1].member : 0;
    return ERR_OK;
}
