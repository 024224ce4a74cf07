/* Members by the values of one or two dimensions.
 *
 * A dimension of a set trait is split by its values, one register each; what is left of a member
 * has one value per dimension. Where these are few, they are counted in an array of cells, else in
 * the tally. */
#include "session.h"
#include "tally.h"

#include <stdio.h>
#include <stdlib.h>

enum { CELLS_MAX = 1 << 20 };

struct dimension {
    const struct trait_index *trait;
    bool is_level;
    uint32_t n_codes; /* of a text trait or the level: values are numbers below it; else 0 */
    const struct column_chunk *column; /* of the chunk that is being counted */
};

struct breakdown {
    struct session s;
    struct dimension dims[INDEX_BREAKDOWN_MAX];
    size_t n_dims;
    uint32_t chunk;  /* that is being counted */
    bool has_single; /* a dimension that is not of a set trait */
    struct tally tally;
    uint64_t *cells;   /* by code (n_codes: none); NULL: the tally is used */
    struct reg *split; /* per dimension */
    size_t max_groups;
    struct error *err;
};

static enum error_code fail(struct breakdown *b, enum error_code code)
{
    if (code == ERR_TOO_LARGE)
        return error_set(b->err, code, "the breakdown has more than %zu groups", b->max_groups);
    return code == ERR_OK ? code : error_set(b->err, code, "no memory left for the query");
}

static bool is_set(const struct dimension *d)
{
    return !d->is_level && d->trait->schema->type == TRAIT_SET;
}

/* False: the member has none. */
static bool value_at(const struct breakdown *b, const struct dimension *d, uint32_t low,
                     int64_t *out)
{
    const struct schema *schema = b->s.ix->core.schema;
    bool has = column_chunk_has(d->column, low);
    *out = has ? column_chunk_value(d->column, low) : 0;
    bool is_counter = d->trait->schema->type == TRAIT_COUNTER;
    if (!d->is_level)
        return has || is_counter;
    if (!has && !is_counter)
        return false;
    *out = (int64_t)core_level_of(schema, *out);
    return *out < (int64_t)schema->n_levels;
}

static void set_key(const struct breakdown *b, size_t dim, uint32_t low, struct tally_key *key)
{
    key->none[dim] = !value_at(b, &b->dims[dim], low, &key->values[dim]);
    if (key->none[dim])
        key->values[dim] = 0;
}

static enum error_code count_singles(struct breakdown *b, const struct reg *reg,
                                     struct tally_key key)
{
    REG_EACH(reg, low, {
        for (size_t d = 0; d < b->n_dims; d++)
            if (!is_set(&b->dims[d]))
                set_key(b, d, low, &key);
        enum error_code code = tally_add(&b->tally, &key, 1);
        if (code != ERR_OK)
            return code;
    });
    return ERR_OK;
}

/* `reg` by the values of dimension `dim` and those behind it. */
static enum error_code split(struct breakdown *b, size_t dim, const struct reg *reg,
                             struct tally_key key)
{
    if (dim == b->n_dims)
        return b->has_single ? count_singles(b, reg, key)
                             : tally_add(&b->tally, &key, reg_count(reg, b->s.run.kernels));
    const struct dimension *d = &b->dims[dim];
    if (!is_set(d))
        return split(b, dim + 1, reg, key);
    const struct kernels *k = b->s.run.kernels;
    struct reg *part = &b->split[dim];
    enum error_code code = ERR_OK;
    key.none[dim] = false;
    for (uint32_t id = 0; id < d->trait->dict.n && code == ERR_OK; id++) {
        struct set_view v;
        if (!d->trait->dict.values[id].text)
            continue;
        set_view_chunk(&d->trait->dict.values[id].set, b->chunk, &v);
        if (v.kind == VIEW_EMPTY)
            continue;
        reg_copy(part, reg);
        key.values[dim] = id;
        if (reg_and_view(part, &v, k))
            code = split(b, dim + 1, part, key);
    }
    if (code != ERR_OK)
        return code;
    key.values[dim] = 0;
    key.none[dim] = true;
    reg_copy(part, reg);
    bool any = d->column ? reg_and_not_words(part, d->column->exists, k) : true;
    return any ? split(b, dim + 1, part, key) : ERR_OK;
}

/* --- few codes: an array of cells --- */

#define COUNT_CODES(type)                                                                          \
    for (uint32_t w = 0; w < c->cap / 64; w++)                                                     \
        for (uint64_t bits = words[w] & c->exists[w]; bits; bits &= bits - 1)                      \
    cells[base + ((const type *)data)[w * 64 + (uint32_t)__builtin_ctzll(bits)]]++

/* One text trait. */
static void count_codes(struct breakdown *b, struct reg *reg)
{
    const struct dimension *d = &b->dims[0];
    const struct column_chunk *c = d->column;
    uint64_t n = reg_count(reg, b->s.run.kernels), found = 0;
    if (c) {
        reg_spread(reg);
        const uint64_t *words = reg->words;
        const void *data = c->data;
        uint64_t *cells = b->cells, base = c->base;
        if (c->width == 1)
            COUNT_CODES(uint8_t);
        else if (c->width == 2)
            COUNT_CODES(uint16_t);
        else if (c->width == 4)
            COUNT_CODES(uint32_t);
        else
            COUNT_CODES(uint64_t);
        found = b->s.run.kernels->and_count(words, c->exists);
    }
    b->cells[d->n_codes] += n - found;
}

static uint32_t code_at(const struct breakdown *b, const struct dimension *d, uint32_t low)
{
    int64_t v;
    return value_at(b, d, low, &v) ? (uint32_t)v : d->n_codes;
}

static void count_cells(struct breakdown *b, struct reg *reg)
{
    if (b->n_dims == 1 && !b->dims[0].is_level) {
        count_codes(b, reg);
        return;
    }
    REG_EACH(reg, low, {
        size_t cell = 0;
        for (size_t d = 0; d < b->n_dims; d++)
            cell = cell * (b->dims[d].n_codes + 1) + code_at(b, &b->dims[d], low);
        b->cells[cell]++;
    });
}

static size_t cells_of(const struct breakdown *b)
{
    size_t n = 1;
    for (size_t d = 0; d < b->n_dims; d++) {
        if (b->dims[d].n_codes == 0 || is_set(&b->dims[d]))
            return 0;
        n *= (size_t)b->dims[d].n_codes + 1;
        if (n > CELLS_MAX)
            return 0;
    }
    return n;
}

/* The cells' contents to the tally. */
static enum error_code pour(struct breakdown *b)
{
    size_t n = b->cells ? cells_of(b) : 0;
    enum error_code code = ERR_OK;
    for (size_t i = 0; i < n && code == ERR_OK; i++) {
        struct tally_key key = {0};
        size_t cell = i;
        for (size_t d = b->n_dims; d-- > 0;) {
            size_t code_here = cell % (b->dims[d].n_codes + 1);
            cell /= (size_t)b->dims[d].n_codes + 1;
            key.none[d] = code_here == b->dims[d].n_codes;
            key.values[d] = key.none[d] ? 0 : (int64_t)code_here;
        }
        code = tally_add(&b->tally, &key, b->cells[i]);
    }
    return fail(b, code);
}

static enum error_code count_chunk(struct breakdown *b, uint32_t chunk)
{
    b->chunk = chunk;
    for (size_t d = 0; d < b->n_dims; d++)
        b->dims[d].column = column_chunk_at(&b->dims[d].trait->column, chunk);
    if (b->cells) {
        count_cells(b, b->s.run.result);
        return ERR_OK;
    }
    return fail(b, split(b, 0, b->s.run.result, (struct tally_key){0}));
}

static enum error_code count_chunks(struct breakdown *b, const struct node *root)
{
    enum error_code code = ERR_OK;
    for (uint32_t chunk = 0; chunk < b->s.ix->core.ids.n_chunks && code == ERR_OK; chunk++) {
        code = run_check(&b->s.run, b->err);
        if (code == ERR_OK && run_chunk(&b->s.run, root, chunk))
            code = count_chunk(b, chunk);
    }
    return code == ERR_OK ? run_check(&b->s.run, b->err) : code;
}

/* --- the answer --- */

struct sortable {
    struct index_group group;
    struct tally_key key;
    uint64_t orders[INDEX_BREAKDOWN_MAX]; /* rising; equal ones go by the value's bytes */
};

static int by_first_key(const void *a, const void *b)
{
    const struct sortable *x = a, *y = b;
    if (x->key.none[0] != y->key.none[0])
        return x->key.none[0] ? 1 : -1;
    return x->key.values[0] < y->key.values[0] ? -1 : x->key.values[0] > y->key.values[0];
}

static int by_order(const void *a, const void *b)
{
    const struct sortable *x = a, *y = b;
    for (size_t d = 0; d < INDEX_BREAKDOWN_MAX; d++) {
        if (x->key.none[d] != y->key.none[d])
            return x->key.none[d] ? 1 : -1;
        if (x->orders[d] != y->orders[d])
            return x->orders[d] < y->orders[d] ? -1 : 1;
        int c = bytes_compare(x->group.keys[d].value, y->group.keys[d].value);
        if (c != 0)
            return c;
    }
    return 0;
}

/* Of the texts, the value with most members comes first; numbers rise. */
static uint64_t order_of(const struct dimension *d, int64_t value, uint64_t members)
{
    if (!d->is_level && trait_is_text(d->trait->schema->type))
        return UINT64_MAX - members;
    return (uint64_t)value ^ UINT64_C(1) << 63;
}

static void set_orders(const struct breakdown *b, struct sortable *rows, size_t n)
{
    qsort(rows, n, sizeof *rows, by_first_key);
    for (size_t from = 0, to = 0; from < n; from = to) {
        uint64_t members = 0;
        for (to = from; to < n && by_first_key(&rows[from], &rows[to]) == 0; to++)
            members += rows[to].group.members;
        for (size_t i = from; i < to; i++) {
            rows[i].orders[0] = order_of(&b->dims[0], rows[i].key.values[0], members);
            if (b->n_dims > 1)
                rows[i].orders[1] =
                    order_of(&b->dims[1], rows[i].key.values[1], rows[i].group.members);
        }
    }
    qsort(rows, n, sizeof *rows, by_order);
}

static size_t format_date(int64_t day, char *out, size_t size)
{
    int year, month, mday;
    if (day < INT32_MIN / 2 || day > INT32_MAX / 2)
        return (size_t)snprintf(out, size, "%lld", (long long)day);
    clock_date_of_day((int32_t)day, &year, &month, &mday);
    return (size_t)snprintf(out, size, "%04d-%02d-%02d", year, month, mday);
}

static bool format_value(const struct breakdown *b, const struct dimension *d, int64_t v,
                         struct arena *arena, struct bytes *out)
{
    char text[64] = "";
    const struct schema *s = b->s.ix->core.schema;
    struct bytes value = bytes_of(text, 0);
    if (d->is_level)
        value = bytes_of_str(s->levels[v].name);
    else if (trait_is_text(d->trait->schema->type))
        value = dict_text(&d->trait->dict, (uint32_t)v);
    else if (d->trait->schema->type == TRAIT_NUMBER)
        value.len = decimal_format(v, text);
    else if (d->trait->schema->type == TRAIT_DATE)
        value.len = format_date(v, text, sizeof text);
    else
        value.len = (size_t)snprintf(text, sizeof text, "%lld", (long long)v);
    *out = arena_copy(arena, value);
    return value.len == 0 || out->data != NULL;
}

static bool fill_group(const struct breakdown *b, const struct tally_entry *e, struct arena *arena,
                       struct sortable *out)
{
    *out = (struct sortable){.group.members = e->members, .key = e->key};
    for (size_t d = 0; d < b->n_dims; d++) {
        out->group.keys[d].none = e->key.none[d];
        if (!e->key.none[d] &&
            !format_value(b, &b->dims[d], e->key.values[d], arena, &out->group.keys[d].value))
            return false;
    }
    return true;
}

static enum error_code make_groups(struct breakdown *b, struct arena *arena,
                                   struct index_group **out, size_t *n_out)
{
    const struct tally *t = &b->tally;
    struct sortable *rows = malloc((t->n + 1) * sizeof *rows);
    struct index_group *groups = arena_alloc(arena, (t->n + 1) * sizeof *groups);
    bool ok = rows && groups;
    size_t n = 0;
    for (size_t i = 0; i < t->n_slots && ok; i++)
        if (t->slots[i].members != 0)
            ok = fill_group(b, &t->slots[i], arena, &rows[n++]);
    if (ok) {
        set_orders(b, rows, n);
        for (size_t i = 0; i < n; i++)
            groups[i] = rows[i].group;
        *out = groups;
        *n_out = n;
    }
    free(rows);
    return fail(b, ok ? ERR_OK : ERR_NOMEM);
}

static enum error_code prepare_dimension(struct breakdown *b, const struct schema_trait *by,
                                         struct dimension *d)
{
    const struct core *c = &b->s.ix->core;
    const struct schema_trait *trait = by ? by : c->schema->level_by;
    d->is_level = by == NULL;
    d->trait = trait ? core_trait(c, trait->id) : NULL;
    if (!d->trait)
        return error_set(b->err, ERR_UNKNOWN_NAME, "the index has no such trait or level");
    if (d->is_level)
        d->n_codes = (uint32_t)c->schema->n_levels;
    else if (trait_is_text(d->trait->schema->type))
        d->n_codes = d->trait->dict.n;
    b->has_single = b->has_single || !is_set(d);
    return ERR_OK;
}

static enum error_code prepare(struct breakdown *b, const struct schema_trait *const *by)
{
    b->tally.max = b->max_groups;
    for (size_t d = 0; d < b->n_dims; d++) {
        enum error_code code = prepare_dimension(b, by[d], &b->dims[d]);
        if (code != ERR_OK)
            return code;
    }
    size_t n_cells = cells_of(b);
    if (n_cells > 0)
        b->cells = calloc(n_cells, sizeof *b->cells);
    b->split = aligned_alloc(64, INDEX_BREAKDOWN_MAX * sizeof *b->split);
    return fail(b, (n_cells > 0 && !b->cells) || !b->split ? ERR_NOMEM : ERR_OK);
}

enum error_code index_breakdown(struct index *ix, const struct index_query *q,
                                const struct schema_trait *const *by, size_t n_by,
                                size_t max_groups, struct arena *arena, struct index_group **out,
                                size_t *n_out, struct error *err)
{
    struct breakdown b = {.n_dims = n_by, .max_groups = max_groups, .err = err};
    struct node *root = NULL;
    *out = NULL;
    *n_out = 0;
    if (n_by == 0 || n_by > INDEX_BREAKDOWN_MAX)
        return error_set(err, ERR_TOO_LARGE, "a breakdown takes 1 to %d traits, not %zu",
                         INDEX_BREAKDOWN_MAX, n_by);
    enum error_code code = session_open(&b.s, ix, q, &root, err);
    if (code != ERR_OK)
        return code;
    code = prepare(&b, by);
    if (code == ERR_OK)
        code = count_chunks(&b, root);
    if (code == ERR_OK)
        code = pour(&b);
    if (code == ERR_OK)
        code = make_groups(&b, arena, out, n_out);
    free(b.cells);
    free(b.split);
    tally_close(&b.tally);
    session_close(&b.s);
    return code;
}
