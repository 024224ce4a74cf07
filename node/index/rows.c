/* A page of members with chosen fields, for exports. Everything of the answer is copied: nothing of
 * the index may be looked at once the query has left the gate. */
#include "page.h"

#include <stdlib.h>
#include <string.h>

/* One more value of a row's list. */
struct hit {
    uint32_t row, value;
};

struct rows {
    struct session s;
    struct page page;
    uint32_t *by_ordinal; /* the page's rows by rising ordinal */
    struct arena *arena;
    struct index_rows *out;
    size_t n_fields;
    struct hit *hits; /* of one field */
    size_t n_hits, room;
    struct error *err;
};

static enum error_code nomem(struct rows *r)
{
    return error_set(r->err, ERR_NOMEM, "no memory left for the rows");
}

static struct index_cell *cell_of(struct rows *r, size_t row, size_t field)
{
    return &r->out->cells[row * r->n_fields + field];
}

static bool copy_text(struct rows *r, struct bytes text, struct bytes *out)
{
    *out = arena_copy(r->arena, text);
    return text.len == 0 || out->data != NULL;
}

/* --- one value for each --- */

/* A text trait's value; `texts` (NULL: too many values) keeps what was copied before, by number. */
static bool put_text(struct rows *r, const struct dict *d, uint32_t id, struct bytes *texts,
                     struct bytes *out)
{
    if (!texts)
        return copy_text(r, dict_text(d, id), out);
    if (!texts[id].data && !copy_text(r, dict_text(d, id), &texts[id]))
        return false;
    *out = texts[id];
    return true;
}

static enum error_code fill_texts(struct rows *r, size_t field, const struct trait_index *t)
{
    struct bytes *texts = NULL;
    if (t->dict.n <= 4 * r->page.n) {
        texts = arena_zalloc(&r->s.arena, ((size_t)t->dict.n + 1) * sizeof *texts);
        if (!texts)
            return nomem(r);
    }
    for (size_t i = 0; i < r->page.n; i++) {
        struct index_cell *cell = cell_of(r, i, field);
        int64_t id;
        cell->present = column_get(&t->column, r->page.rows[i].ordinal, &id);
        if (cell->present && !put_text(r, &t->dict, (uint32_t)id, texts, &cell->text))
            return nomem(r);
    }
    return ERR_OK;
}

static void fill_numbers(struct rows *r, size_t field, const struct trait_index *t)
{
    for (size_t i = 0; i < r->page.n; i++) {
        struct index_cell *cell = cell_of(r, i, field);
        cell->present = column_get(&t->column, r->page.rows[i].ordinal, &cell->number);
    }
}

static enum error_code fill_levels(struct rows *r, size_t field)
{
    const struct core *c = &r->s.ix->core;
    const struct trait_index *t =
        c->schema->level_by ? core_trait(c, c->schema->level_by->id) : NULL;
    if (!t)
        return error_set(r->err, ERR_UNKNOWN_NAME, "the index has no levels");
    for (size_t i = 0; i < r->page.n; i++) {
        struct index_cell *cell = cell_of(r, i, field);
        int64_t value = 0;
        bool has = column_get(&t->column, r->page.rows[i].ordinal, &value);
        size_t level = has || t->schema->type == TRAIT_COUNTER ? core_level_of(c->schema, value)
                                                               : c->schema->n_levels;
        cell->present = level < c->schema->n_levels;
        /* The schema outlives the index. */
        if (cell->present)
            cell->text = bytes_of_str(c->schema->levels[level].name);
    }
    return ERR_OK;
}

/* --- lists: value by value, so that each is looked for once in the page, not once a member --- */

/* The page's rows of one chunk. */
struct group {
    uint64_t words[CHUNK_WORDS];  /* their positions */
    uint32_t before[CHUNK_WORDS]; /* rows in the words before, from the page's first by ordinal */
    uint32_t chunk, first_word, last_word;
};

static uint32_t row_at(const struct rows *r, const struct group *g, uint32_t low)
{
    uint64_t below = g->words[low / 64] & ((UINT64_C(1) << low % 64) - 1);
    return r->by_ordinal[g->before[low / 64] + (uint32_t)__builtin_popcountll(below)];
}

static bool add_hit(struct rows *r, uint32_t row, uint32_t value)
{
    if (r->n_hits == r->room) {
        size_t room = r->room ? r->room * 2 : 1024;
        struct hit *grown = realloc(r->hits, room * sizeof *grown);
        if (!grown)
            return false;
        r->hits = grown;
        r->room = room;
    }
    r->hits[r->n_hits++] = (struct hit){row, value};
    return true;
}

static bool hit_words(struct rows *r, const struct group *g, const uint64_t *bitmap, uint32_t value)
{
    for (uint32_t w = g->first_word; w <= g->last_word; w++)
        for (uint64_t bits = g->words[w] & bitmap[w]; bits; bits &= bits - 1)
            if (!add_hit(r, row_at(r, g, w * 64 + (uint32_t)__builtin_ctzll(bits)), value))
                return false;
    return true;
}

/* The first of the view's positions that is not before `low`. */
static uint32_t view_from(const struct set_view *v, uint32_t low)
{
    uint32_t lo = 0, hi = v->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (set_view_at(v, mid) < low)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool hit_view(struct rows *r, const struct group *g, const struct set_view *v,
                     uint32_t value)
{
    if (v->kind == VIEW_EMPTY)
        return true;
    if (v->kind == VIEW_BITMAP)
        return hit_words(r, g, v->bitmap, value);
    for (uint32_t i = view_from(v, g->first_word * 64); i < v->n; i++) {
        uint32_t low = set_view_at(v, i);
        if (low / 64 > g->last_word)
            break;
        if (bit_get(g->words, low) && !add_hit(r, row_at(r, g, low), value))
            return false;
    }
    return true;
}

/* The rows from `at` on (by ordinal) that are in one chunk; returns where the next chunk begins. */
static size_t make_group(const struct rows *r, size_t at, struct group *g)
{
    const struct page_row *rows = r->page.rows;
    *g = (struct group){.chunk = chunk_of(rows[r->by_ordinal[at]].ordinal)};
    uint32_t low = low_of(rows[r->by_ordinal[at]].ordinal);
    g->first_word = low / 64;
    size_t end = at;
    while (end < r->page.n && chunk_of(rows[r->by_ordinal[end]].ordinal) == g->chunk) {
        low = low_of(rows[r->by_ordinal[end++]].ordinal);
        bit_set(g->words, low);
    }
    g->last_word = low / 64;
    uint32_t before = (uint32_t)at;
    for (uint32_t w = g->first_word; w <= g->last_word; w++) {
        g->before[w] = before;
        before += (uint32_t)__builtin_popcountll(g->words[w]);
    }
    return end;
}

static enum error_code collect_hits(struct rows *r, const struct dict *d)
{
    r->n_hits = 0;
    for (size_t at = 0; at < r->page.n;) {
        struct group g;
        enum error_code code = run_check(&r->s.run, r->err);
        if (code != ERR_OK)
            return code;
        at = make_group(r, at, &g);
        for (uint32_t id = 0; id < d->n; id++) {
            struct set_view v;
            if (!d->values[id].text)
                continue;
            set_view_chunk(&d->values[id].set, g.chunk, &v);
            if (!hit_view(r, &g, &v, id))
                return nomem(r);
        }
    }
    return ERR_OK;
}

static int by_row_and_value(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    return x->value < y->value ? -1 : x->value > y->value;
}

static int by_text(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

static enum error_code fill_lists(struct rows *r, size_t field, const struct dict *d)
{
    enum error_code code = collect_hits(r, d);
    if (code != ERR_OK)
        return code;
    struct bytes *texts = arena_zalloc(&r->s.arena, ((size_t)d->n + 1) * sizeof *texts);
    struct bytes *lists = arena_alloc(r->arena, (r->n_hits + 1) * sizeof *lists);
    if (!texts || !lists)
        return nomem(r);
    if (r->n_hits > 0)
        qsort(r->hits, r->n_hits, sizeof *r->hits, by_row_and_value);
    for (size_t i = 0, end = 0; i < r->n_hits; i = end) {
        struct index_cell *cell = cell_of(r, r->hits[i].row, field);
        for (; end < r->n_hits && r->hits[end].row == r->hits[i].row; end++)
            if (!put_text(r, d, r->hits[end].value, texts, &lists[end]))
                return nomem(r);
        *cell = (struct index_cell){.present = true, .list = lists + i, .n_list = end - i};
        qsort(cell->list, cell->n_list, sizeof *cell->list, by_text);
    }
    return ERR_OK;
}

/* --- together --- */

static enum error_code fill_trait(struct rows *r, size_t field, const struct schema_trait *trait)
{
    const struct trait_index *t = trait ? core_trait(&r->s.ix->core, trait->id) : NULL;
    if (!t)
        return error_set(r->err, ERR_UNKNOWN_NAME, "the index has no such trait");
    if (t->schema->type == TRAIT_SET)
        return fill_lists(r, field, &t->dict);
    if (trait_is_text(t->schema->type))
        return fill_texts(r, field, t);
    fill_numbers(r, field, t);
    return ERR_OK;
}

static enum error_code fill_field(struct rows *r, size_t field, const struct index_field *f)
{
    switch (f->kind) {
    case INDEX_FIELD_TRAIT:
        return fill_trait(r, field, f->trait);
    case INDEX_FIELD_LEVEL:
        return fill_levels(r, field);
    case INDEX_FIELD_TAGS:
        return fill_lists(r, field, &r->s.ix->core.tags);
    case INDEX_FIELD_CHANNELS:
        return fill_lists(r, field, &r->s.ix->core.channels);
    }
    return error_set(r->err, ERR_INTERNAL, "a field of an unknown kind");
}

struct place {
    uint32_t ordinal, row;
};

static int by_ordinal(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->ordinal < y->ordinal ? -1 : x->ordinal > y->ordinal;
}

static enum error_code order_rows(struct rows *r)
{
    struct place *places = arena_alloc(&r->s.arena, (r->page.n + 1) * sizeof *places);
    r->by_ordinal = arena_alloc(&r->s.arena, (r->page.n + 1) * sizeof *r->by_ordinal);
    if (!places || !r->by_ordinal)
        return nomem(r);
    for (size_t i = 0; i < r->page.n; i++)
        places[i] = (struct place){r->page.rows[i].ordinal, (uint32_t)i};
    qsort(places, r->page.n, sizeof *places, by_ordinal);
    for (size_t i = 0; i < r->page.n; i++)
        r->by_ordinal[i] = places[i].row;
    return ERR_OK;
}

static enum error_code fill_rows(struct rows *r, const struct index_field *fields)
{
    struct index_rows *out = r->out;
    out->members = arena_alloc(r->arena, (r->page.n + 1) * sizeof *out->members);
    out->cells = arena_zalloc(r->arena, (r->page.n * r->n_fields + 1) * sizeof *out->cells);
    if (!out->members || !out->cells)
        return nomem(r);
    for (size_t i = 0; i < r->page.n; i++)
        out->members[i] = r->page.rows[i].member;
    enum error_code code = order_rows(r);
    for (size_t i = 0; i < r->n_fields && code == ERR_OK; i++)
        code = fill_field(r, i, &fields[i]);
    out->n = r->page.n;
    out->next = r->page.next;
    return code;
}

enum error_code index_list_rows(struct index *ix, const struct index_query *q, one_id cursor,
                                size_t limit, const struct index_field *fields, size_t n_fields,
                                struct arena *arena, struct index_rows *out, struct error *err)
{
    struct rows r = {.arena = arena, .out = out, .n_fields = n_fields, .err = err};
    struct node *root = NULL;
    *out = (struct index_rows){0};
    enum error_code code = session_open(&r.s, ix, q, &root, err);
    if (code != ERR_OK)
        return code;
    code = page_collect(&r.s, root, cursor, limit, &r.page, err);
    if (code == ERR_OK)
        code = fill_rows(&r, fields);
    free(r.hits);
    session_close(&r.s);
    if (code != ERR_OK)
        *out = (struct index_rows){0};
    return code;
}
