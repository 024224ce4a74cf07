#include "private.h"
#include "program.h"

#include <base/hash.h>

#include <stdio.h>
#include <stdlib.h>

enum { QUERY_ARENA_MAX = 64 << 20 };

const char *index_kernels(void)
{
    return kernels_get()->name;
}

/* One query inside the gate. */
struct session {
    struct index *ix;
    const struct index_query *q;
    struct arena arena;
    struct run run;
};

static void session_close(struct session *s)
{
    run_close(&s->run);
    arena_close(&s->arena);
    gate_read_end(&s->ix->gate);
}

static enum error_code session_open(struct session *s, struct index *ix,
                                    const struct index_query *q, struct error *err)
{
    *s = (struct session){.ix = ix, .q = q};
    enum error_code code = gate_read(&ix->gate, q->deadline_mono_ms, q->cancelled);
    if (code != ERR_OK)
        return error_set(err, code, "while waiting for changes to go in");
    arena_init(&s->arena, QUERY_ARENA_MAX);
    struct node *root = NULL;
    code = program_compile(&ix->core, q, &s->arena, &root, err);
    if (code == ERR_OK)
        code = run_init(&s->run, &ix->core, root, err);
    if (code != ERR_OK)
        session_close(s);
    return code;
}

static enum error_code session_check(const struct session *s, struct error *err)
{
    if (s->q->cancelled && __atomic_load_n(s->q->cancelled, __ATOMIC_RELAXED))
        return error_set(err, ERR_CANCELLED, "the query was cancelled");
    if (s->q->deadline_mono_ms != 0 && clock_mono_ms() >= s->q->deadline_mono_ms)
        return error_set(err, ERR_TIMEOUT, "the query's deadline passed");
    return ERR_OK;
}

enum error_code index_count_members(struct index *ix, const struct index_query *q,
                                    struct index_count *out, struct error *err)
{
    struct session s;
    *out = (struct index_count){0};
    enum error_code code = session_open(&s, ix, q, err);
    if (code != ERR_OK)
        return code;
    for (uint32_t chunk = 0; chunk < ix->core.ids.n_chunks && code == ERR_OK; chunk++) {
        code = session_check(&s, err);
        if (code == ERR_OK)
            out->members += run_count_chunk(&s.run, chunk);
    }
    out->population = ix->core.ids.n_live;
    out->applied = ix->core.applied;
    session_close(&s);
    return code;
}

/* A cursor is the generation and the first ordinal of the rest. */
static uint64_t cursor_of(const struct core *c, uint32_t ordinal)
{
    return (uint64_t)c->generation << 32 | ordinal;
}

/* The members of r->result from `low` on; the first that found no room, or CHUNK_SIZE. */
static uint32_t list_chunk(const struct session *s, uint32_t chunk, uint32_t from, size_t limit,
                           one_id *out, size_t *n_out)
{
    const struct reg *reg = s->run.result;
    const one_id *members = s->ix->core.ids.chunks[chunk].members;
    REG_EACH(reg, low, {
        if (low < from)
            continue;
        if (*n_out == limit)
            return low;
        out[(*n_out)++] = members[low];
    });
    return CHUNK_SIZE;
}

static enum error_code list_from(struct session *s, uint32_t start, size_t limit, one_id *out,
                                 size_t *n_out, uint64_t *next, struct error *err)
{
    const struct core *c = &s->ix->core;
    for (uint32_t chunk = chunk_of(start); chunk < c->ids.n_chunks; chunk++) {
        enum error_code code = session_check(s, err);
        if (code != ERR_OK)
            return code;
        uint32_t from = chunk == chunk_of(start) ? low_of(start) : 0;
        if (*n_out == limit) {
            *next = cursor_of(c, chunk << CHUNK_BITS | from);
            return ERR_OK;
        }
        if (!run_chunk(&s->run, chunk))
            continue;
        uint32_t stop = list_chunk(s, chunk, from, limit, out, n_out);
        if (stop < CHUNK_SIZE) {
            *next = cursor_of(c, chunk << CHUNK_BITS | stop);
            return ERR_OK;
        }
    }
    *next = 0;
    return ERR_OK;
}

enum error_code index_list_members(struct index *ix, const struct index_query *q, uint64_t cursor,
                                   size_t limit, one_id *out, size_t *n_out, uint64_t *next,
                                   struct error *err)
{
    struct session s;
    *n_out = 0;
    *next = 0;
    enum error_code code = session_open(&s, ix, q, err);
    if (code != ERR_OK)
        return code;
    if (cursor != 0 && cursor >> 32 != ix->core.generation)
        code = error_set(err, ERR_INVALID, "the list was begun on another copy: begin it again");
    else
        code = list_from(&s, (uint32_t)cursor, limit, out, n_out, next, err);
    session_close(&s);
    return code;
}

/* --- breakdown --- */

/* Members by number; open addressing. */
struct tally {
    struct tally_entry {
        int64_t value;
        uint64_t members; /* 0: the slot is empty */
    } * slots;
    size_t n, n_slots; /* n_slots: a power of two */
};

static struct tally_entry *tally_find(const struct tally *t, int64_t value)
{
    size_t i = (size_t)hash_u64((uint64_t)value) & (t->n_slots - 1);
    while (t->slots[i].members != 0 && t->slots[i].value != value)
        i = (i + 1) & (t->n_slots - 1);
    return &t->slots[i];
}

static bool tally_grow(struct tally *t)
{
    struct tally grown = {.n = t->n, .n_slots = t->n_slots ? t->n_slots * 2 : 64};
    grown.slots = calloc(grown.n_slots, sizeof *grown.slots);
    if (!grown.slots)
        return false;
    for (size_t i = 0; i < t->n_slots; i++)
        if (t->slots[i].members != 0)
            *tally_find(&grown, t->slots[i].value) = t->slots[i];
    free(t->slots);
    *t = grown;
    return true;
}

static bool tally_add(struct tally *t, int64_t value, uint64_t members)
{
    if (t->n * 4 >= t->n_slots * 3 && !tally_grow(t))
        return false;
    struct tally_entry *e = tally_find(t, value);
    if (e->members == 0)
        t->n++;
    e->value = value;
    e->members += members;
    return true;
}

struct breakdown {
    struct session s;
    const struct trait_index *trait;
    bool is_level;
    uint64_t *by_id;    /* text traits: members per value number */
    struct tally tally; /* numbers, and levels by their place */
    uint64_t none;
    struct error *err;
};

static enum error_code out_of_memory(struct breakdown *b)
{
    return error_set(b->err, ERR_NOMEM, "no memory left for the query");
}

static void count_single(struct breakdown *b, uint32_t chunk)
{
    const struct column_chunk *c = column_chunk_at(&b->trait->column, chunk);
    REG_EACH(b->s.run.result, low, {
        if (column_chunk_has(c, low))
            b->by_id[column_chunk_value(c, low)]++;
        else
            b->none++;
    });
}

static void count_multiple(struct breakdown *b, uint32_t chunk)
{
    const struct reg *reg = b->s.run.result;
    const struct dict *d = &b->trait->dict;
    for (uint32_t id = 0; id < d->n; id++) {
        struct set_view v;
        if (!d->values[id].text)
            continue;
        set_view_chunk(&d->values[id].set, chunk, &v);
        b->by_id[id] += reg_count_view(reg, &v, b->s.run.kernels);
    }
    const struct column_chunk *c = column_chunk_at(&b->trait->column, chunk);
    REG_EACH(reg, low, { b->none += !column_chunk_has(c, low); });
}

/* The place of the level, n_levels below the first. */
static int64_t level_of(const struct schema *s, int64_t value)
{
    int64_t unit = s->level_by->type == TRAIT_NUMBER ? DECIMAL_ONE : 1;
    /* value >= at_least * unit, without overflow: compare with the floor of value / unit. */
    int64_t whole = value / unit - (value % unit < 0);
    for (size_t i = s->n_levels; i-- > 0;)
        if (whole >= s->levels[i].at_least)
            return (int64_t)i;
    return (int64_t)s->n_levels;
}

static bool count_number(struct breakdown *b, uint32_t chunk)
{
    const struct column_chunk *c = column_chunk_at(&b->trait->column, chunk);
    const struct schema *schema = b->s.ix->core.schema;
    bool is_counter = b->trait->schema->type == TRAIT_COUNTER;
    int64_t below = (int64_t)schema->n_levels;
    uint64_t absent = 0;
    REG_EACH(b->s.run.result, low, {
        if (!column_chunk_has(c, low)) {
            absent++;
            continue;
        }
        int64_t v = column_chunk_value(c, low);
        if (!tally_add(&b->tally, b->is_level ? level_of(schema, v) : v, 1))
            return false;
    });
    if (absent == 0)
        return true;
    if (b->is_level)
        return tally_add(&b->tally, is_counter ? level_of(schema, 0) : below, absent);
    if (is_counter)
        return tally_add(&b->tally, 0, absent);
    b->none += absent;
    return true;
}

static enum error_code count_chunks(struct breakdown *b)
{
    enum trait_type type = b->trait->schema->type;
    for (uint32_t chunk = 0; chunk < b->s.ix->core.ids.n_chunks; chunk++) {
        enum error_code code = session_check(&b->s, b->err);
        if (code != ERR_OK)
            return code;
        if (!run_chunk(&b->s.run, chunk))
            continue;
        if (trait_is_single_text(type))
            count_single(b, chunk);
        else if (type == TRAIT_SET)
            count_multiple(b, chunk);
        else if (!count_number(b, chunk))
            return out_of_memory(b);
    }
    return ERR_OK;
}

static int by_members(const void *a, const void *b)
{
    const struct index_group *x = a, *y = b;
    if (x->members != y->members)
        return x->members > y->members ? -1 : 1;
    return bytes_compare(x->value, y->value);
}

static int by_value(const void *a, const void *b)
{
    const struct tally_entry *x = a, *y = b;
    return x->value < y->value ? -1 : x->value > y->value;
}

static bool copy_text(struct arena *arena, struct bytes text, struct bytes *out)
{
    *out = arena_copy(arena, text);
    return text.len == 0 || out->data != NULL;
}

static enum error_code groups_of_texts(struct breakdown *b, struct arena *arena,
                                       struct index_group *groups, size_t *n)
{
    const struct dict *d = &b->trait->dict;
    for (uint32_t id = 0; id < d->n; id++) {
        if (b->by_id[id] == 0)
            continue;
        struct index_group *g = &groups[(*n)++];
        *g = (struct index_group){.members = b->by_id[id]};
        if (!copy_text(arena, dict_text(d, id), &g->value))
            return out_of_memory(b);
    }
    qsort(groups, *n, sizeof *groups, by_members);
    return ERR_OK;
}

static size_t format_date(int64_t day, char *out, size_t size)
{
    int year, month, mday;
    if (day < INT32_MIN / 2 || day > INT32_MAX / 2)
        return (size_t)snprintf(out, size, "%lld", (long long)day);
    clock_date_of_day((int32_t)day, &year, &month, &mday);
    return (size_t)snprintf(out, size, "%04d-%02d-%02d", year, month, mday);
}

static size_t format_number(const struct breakdown *b, int64_t v, char *out, size_t size)
{
    const struct schema *s = b->s.ix->core.schema;
    if (b->is_level)
        return (size_t)snprintf(out, size, "%s", s->levels[v].name);
    if (b->trait->schema->type == TRAIT_NUMBER)
        return decimal_format(v, out);
    if (b->trait->schema->type == TRAIT_DATE)
        return format_date(v, out, size);
    return (size_t)snprintf(out, size, "%lld", (long long)v);
}

static enum error_code groups_of_numbers(struct breakdown *b, struct arena *arena,
                                         struct index_group *groups, size_t *n)
{
    struct tally *t = &b->tally;
    size_t kept = 0;
    for (size_t i = 0; i < t->n_slots; i++)
        if (t->slots[i].members != 0)
            t->slots[kept++] = t->slots[i];
    if (kept > 0)
        qsort(t->slots, kept, sizeof *t->slots, by_value);
    for (size_t i = 0; i < kept; i++) {
        char text[NAME_MAX_LEN + 64];
        if (b->is_level && t->slots[i].value == (int64_t)b->s.ix->core.schema->n_levels) {
            b->none += t->slots[i].members;
            continue;
        }
        size_t len = format_number(b, t->slots[i].value, text, sizeof text);
        struct index_group *g = &groups[(*n)++];
        *g = (struct index_group){.members = t->slots[i].members};
        if (!copy_text(arena, bytes_of(text, len), &g->value))
            return out_of_memory(b);
    }
    return ERR_OK;
}

static enum error_code make_groups(struct breakdown *b, struct arena *arena,
                                   struct index_group **out, size_t *n_out)
{
    size_t most = (b->by_id ? b->trait->dict.used : b->tally.n) + 1;
    struct index_group *groups = arena_alloc(arena, most * sizeof *groups);
    if (!groups)
        return out_of_memory(b);
    size_t n = 0;
    enum error_code code =
        b->by_id ? groups_of_texts(b, arena, groups, &n) : groups_of_numbers(b, arena, groups, &n);
    if (code != ERR_OK)
        return code;
    if (b->none > 0)
        groups[n++] = (struct index_group){.none = true, .members = b->none};
    *out = groups;
    *n_out = n;
    return ERR_OK;
}

static enum error_code breakdown_prepare(struct breakdown *b, const struct schema_trait *by)
{
    const struct core *c = &b->s.ix->core;
    b->is_level = by == NULL;
    const struct schema_trait *trait = by ? by : c->schema->level_by;
    b->trait = trait ? core_trait(c, trait->id) : NULL;
    if (!b->trait)
        return error_set(b->err, ERR_UNKNOWN_NAME, "the index has no such trait or level");
    if (!trait_is_text(b->trait->schema->type))
        return ERR_OK;
    b->by_id = calloc((size_t)b->trait->dict.n + 1, sizeof *b->by_id);
    return b->by_id ? ERR_OK : out_of_memory(b);
}

enum error_code index_breakdown(struct index *ix, const struct index_query *q,
                                const struct schema_trait *by, struct arena *arena,
                                struct index_group **out, size_t *n_out, struct error *err)
{
    struct breakdown b = {.err = err};
    *out = NULL;
    *n_out = 0;
    enum error_code code = session_open(&b.s, ix, q, err);
    if (code != ERR_OK)
        return code;
    code = breakdown_prepare(&b, by);
    if (code == ERR_OK)
        code = count_chunks(&b);
    if (code == ERR_OK)
        code = make_groups(&b, arena, out, n_out);
    free(b.by_id);
    free(b.tally.slots);
    session_close(&b.s);
    return code;
}
