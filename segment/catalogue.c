#include "saved.h"

#include <base/hash.h>

#include <stdlib.h>

enum { FORM_VERSION = 1 };

struct catalogue *catalogue_new(void)
{
    struct catalogue *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->version = 1;
    c->refs = 1;
    return c;
}

struct catalogue *catalogue_keep(struct catalogue *c)
{
    (void)__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

void catalogue_drop(struct catalogue *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < c->n; i++)
        segment_drop(c->entries[i].segment);
    free(c->entries);
    free(c);
}

static struct catalogue *catalogue_with_room(uint64_t version, size_t n)
{
    struct catalogue *c = catalogue_new();
    if (!c)
        return NULL;
    c->version = version;
    c->entries = calloc(n + 1, sizeof *c->entries);
    if (c->entries)
        return c;
    catalogue_drop(c);
    return NULL;
}

/* Takes the segment. */
static void add_entry(struct catalogue *c, struct segment *s)
{
    c->entries[c->n++] = (struct catalogue_entry){.segment = s};
    c->bytes += segment_name(s).len + segment_text(s).len;
}

/* --- looking up --- */

/* Where the name stands, or would. */
static size_t place_of(const struct catalogue *c, struct bytes name, bool *is_there)
{
    size_t from = 0, to = c->n;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        int order = bytes_compare(segment_name(c->entries[mid].segment), name);
        if (order == 0) {
            *is_there = true;
            return mid;
        }
        if (order < 0)
            from = mid + 1;
        else
            to = mid;
    }
    *is_there = false;
    return from;
}

const struct catalogue_entry *catalogue_find(const struct catalogue *c, struct bytes name)
{
    bool is_there;
    size_t at = place_of(c, name, &is_there);
    return is_there ? &c->entries[at] : NULL;
}

const struct expr *catalogue_expr(void *catalogue, struct bytes name)
{
    const struct catalogue_entry *e = catalogue_find(catalogue, name);
    return e && e->code == ERR_OK ? segment_expr(e->segment) : NULL;
}

/* --- what segments lead to --- */

/* The measure of a segment from those of the segments it names, which are known. */
static void measure(const struct catalogue *c, struct catalogue_entry *e)
{
    const struct segment *s = e->segment;
    e->code = segment_code(s);
    e->depth = 1;
    e->nodes = segment_nodes(s);
    for (size_t i = 0; i < s->n_uses; i++) {
        const struct catalogue_entry *u = catalogue_find(c, s->uses[i].name);
        if (!u || u->code != ERR_OK) {
            e->code = ERR_UNKNOWN_NAME;
            return;
        }
        e->depth = u->depth >= e->depth ? u->depth + 1 : e->depth;
        e->nodes += s->uses[i].times * u->nodes;
        if (e->depth > CATALOGUE_DEPTH_MAX || e->nodes > CATALOGUE_NODES_MAX) {
            e->code = ERR_TOO_LARGE;
            return;
        }
    }
}

/* A walk over who names whom, deepest first. What is reached beyond the depth, or from within
 * itself, is not usable; nor is what leads there. */
struct measuring {
    struct catalogue *c;
    uint8_t *state; /* 0: not seen, 1: on the way down to here, 2: measured */
};

static enum error_code measure_at(struct measuring *m, size_t at, uint32_t level)
{
    struct catalogue_entry *e = &m->c->entries[at];
    if (m->state[at] == 2)
        return e->code;
    if (m->state[at] == 1 || level >= CATALOGUE_DEPTH_MAX)
        return m->state[at] == 1 ? ERR_INVALID : ERR_TOO_LARGE;
    m->state[at] = 1;
    enum error_code below = ERR_OK;
    const struct segment *s = e->segment;
    for (size_t i = 0; i < s->n_uses && below == ERR_OK; i++) {
        bool is_there;
        size_t used = place_of(m->c, s->uses[i].name, &is_there);
        if (is_there)
            below = measure_at(m, used, level + 1);
    }
    if (below == ERR_OK)
        measure(m->c, e);
    else
        e->code = below;
    m->state[at] = 2;
    return e->code;
}

static bool measure_all(struct catalogue *c)
{
    struct measuring m = {.c = c, .state = calloc(c->n + 1, 1)};
    for (size_t i = 0; m.state && i < c->n; i++)
        (void)measure_at(&m, i, 0);
    bool ok = m.state != NULL;
    free(m.state);
    return ok;
}

bool catalogue_is_asked(const struct expr *e)
{
    bool found = e->kind == EXPR_SEGMENT;
    for (size_t i = 0; i < e->n_children && !found; i++)
        found = catalogue_is_asked(e->children[i]);
    return found;
}

static enum error_code check_use(const struct catalogue *c, const struct expr *e, struct error *err)
{
    const struct catalogue_entry *u = catalogue_find(c, e->name);
    if (!u)
        return error_set(err, ERR_UNKNOWN_NAME, "column %u: unknown saved segment", e->column);
    if (u->code == ERR_OK)
        return ERR_OK;
    return error_set(err, ERR_INVALID,
                     "column %u: the saved segment does not fit the cluster file any more: define "
                     "it anew",
                     e->column);
}

static enum error_code check_uses(const struct catalogue *c, const struct expr *e, uint64_t *nodes,
                                  struct error *err)
{
    (*nodes)++;
    if (e->kind == EXPR_SEGMENT) {
        enum error_code rc = check_use(c, e, err);
        if (rc != ERR_OK)
            return rc;
        *nodes += catalogue_find(c, e->name)->nodes;
    }
    if (*nodes > CATALOGUE_NODES_MAX)
        return error_set(err, ERR_TOO_LARGE,
                         "column %u: expected at most %d terms with those of the saved segments",
                         e->column, CATALOGUE_NODES_MAX);
    for (size_t i = 0; i < e->n_children; i++) {
        enum error_code rc = check_uses(c, e->children[i], nodes, err);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

enum error_code catalogue_check(const struct catalogue *c, const struct expr *e, struct error *err)
{
    uint64_t nodes = 0;
    return check_uses(c, e, &nodes, err);
}

/* The texts of all segments below `e`, each as often as it is named: bounded by the depth and the
 * nodes of what catalogue_check takes. */
static uint64_t digest_uses(const struct catalogue *c, const struct segment_use *uses, size_t n,
                            uint64_t sum)
{
    for (size_t i = 0; i < n; i++) {
        const struct catalogue_entry *u = catalogue_find(c, uses[i].name);
        if (!u || u->code != ERR_OK)
            continue;
        sum = hash64_seed(segment_name(u->segment), sum);
        sum = hash64_seed(segment_text(u->segment), sum);
        sum = digest_uses(c, u->segment->uses, u->segment->n_uses, sum);
    }
    return sum;
}

uint64_t catalogue_digest(const struct catalogue *c, const struct expr *e)
{
    struct buf text = {0};
    struct arena arena = {0};
    struct segment_use *uses = NULL;
    size_t n = 0;
    expr_format(e, &text);
    uint64_t sum = hash64(buf_bytes(&text));
    buf_free(&text);
    if (segment_collect_uses(e, &arena, &uses, &n))
        sum = digest_uses(c, uses, n, sum);
    arena_close(&arena);
    return sum;
}

/* --- changes --- */

static enum error_code nomem(struct error *err)
{
    return error_set(err, ERR_NOMEM, "no memory for the saved segments");
}

/* Can the segment be reached from the entry at all? */
static bool leads_to(const struct catalogue *c, const struct catalogue_entry *e, struct bytes name,
                     uint32_t level)
{
    if (bytes_equal(segment_name(e->segment), name))
        return true;
    if (level >= CATALOGUE_DEPTH_MAX)
        return false;
    for (size_t i = 0; i < e->segment->n_uses; i++) {
        const struct catalogue_entry *u = catalogue_find(c, e->segment->uses[i].name);
        if (u && u->code == ERR_OK && leads_to(c, u, name, level + 1))
            return true;
    }
    return false;
}

/* The new definition before it goes in: what it names is looked up in the old catalogue. */
static enum error_code check_new(const struct catalogue *c, const struct segment *s,
                                 struct error *err)
{
    for (size_t i = 0; i < s->n_uses; i++) {
        if (bytes_equal(s->uses[i].name, segment_name(s)))
            return error_set(err, ERR_INVALID, "column %u: the segment would name itself",
                             s->uses[i].column);
    }
    enum error_code rc = catalogue_check(c, segment_expr(s), err); /* bounds the walks below */
    for (size_t i = 0; i < s->n_uses && rc == ERR_OK; i++) {
        const struct segment_use *use = &s->uses[i];
        const struct catalogue_entry *u = catalogue_find(c, use->name);
        if (u && u->code == ERR_OK && leads_to(c, u, segment_name(s), 0))
            return error_set(err, ERR_INVALID,
                             "column %u: this segment names the one to be defined: a circle",
                             use->column);
    }
    return rc;
}

/* Do it and those that use it fit the bounds? */
static enum error_code check_users(const struct catalogue *was, const struct catalogue *now,
                                   struct bytes name, struct error *err)
{
    for (size_t i = 0; i < now->n; i++) {
        const struct catalogue_entry *e = &now->entries[i];
        const struct catalogue_entry *old = catalogue_find(was, segment_name(e->segment));
        bool was_fit = !old || old->code == ERR_OK || bytes_equal(segment_name(e->segment), name);
        if (e->code == ERR_TOO_LARGE && was_fit)
            return error_set(err, ERR_TOO_LARGE,
                             "expected at most %d segments within segments and %d terms in all, "
                             "also of those that use this one",
                             CATALOGUE_DEPTH_MAX, CATALOGUE_NODES_MAX);
    }
    return ERR_OK;
}

static enum error_code check_room(const struct catalogue *c, struct error *err)
{
    if (c->n > CATALOGUE_SEGMENTS_MAX)
        return error_set(err, ERR_TOO_LARGE, "expected at most %d saved segments",
                         CATALOGUE_SEGMENTS_MAX);
    if (c->bytes > CATALOGUE_BYTES_MAX)
        return error_set(err, ERR_TOO_LARGE, "expected at most %d bytes of saved segments in all",
                         CATALOGUE_BYTES_MAX);
    return ERR_OK;
}

/* The old entries with `s` (taken) in the place of its name; NULL `s`: without `name`. */
static struct catalogue *copy_with(const struct catalogue *c, struct segment *s, struct bytes name)
{
    struct catalogue *next = catalogue_with_room(c->version + 1, c->n + 1);
    if (!next) {
        segment_drop(s);
        return NULL;
    }
    bool is_there;
    size_t at = place_of(c, name, &is_there);
    for (size_t i = 0; i < c->n; i++) {
        if (i == at && s)
            add_entry(next, s);
        if (i != at || !is_there)
            add_entry(next, segment_keep(c->entries[i].segment));
    }
    if (at == c->n && s)
        add_entry(next, s);
    if (measure_all(next))
        return next;
    catalogue_drop(next);
    return NULL;
}

enum error_code catalogue_define(struct catalogue *c, struct bytes name, struct bytes text,
                                 const struct schema *schema, struct catalogue **out,
                                 struct error *err)
{
    struct segment *s = NULL;
    const struct catalogue_entry *old = catalogue_find(c, name);
    if (old && old->code == ERR_OK && bytes_equal(segment_text(old->segment), text)) {
        *out = catalogue_keep(c);
        return ERR_OK;
    }
    enum error_code rc = segment_check_name(name, err);
    if (rc == ERR_OK)
        rc = segment_new(name, text, schema, &s, err);
    if (rc == ERR_OK && segment_code(s) != ERR_OK)
        rc = segment_error(s, err);
    if (rc == ERR_OK)
        rc = check_new(c, s, err);
    if (rc != ERR_OK) {
        segment_drop(s);
        return rc;
    }
    struct catalogue *next = copy_with(c, s, name);
    if (!next)
        return nomem(err);
    rc = check_room(next, err);
    if (rc == ERR_OK)
        rc = check_users(c, next, name, err);
    if (rc != ERR_OK) {
        catalogue_drop(next);
        return rc;
    }
    *out = next;
    return ERR_OK;
}

/* "a, b, c, ..." of those that name it; empty: nobody does. */
static void list_users(const struct catalogue *c, struct bytes name, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < c->n; i++) {
        const struct segment *s = c->entries[i].segment;
        if (!segment_uses(s, name))
            continue;
        struct bytes by = segment_name(s);
        if (len + by.len + 8 > size) {
            memcpy(out + len, ", ...", 6);
            return;
        }
        if (len) {
            memcpy(out + len, ", ", 2);
            len += 2;
        }
        memcpy(out + len, by.data, by.len);
        len += by.len;
        out[len] = '\0';
    }
}

enum error_code catalogue_remove(struct catalogue *c, struct bytes name, struct catalogue **out,
                                 struct error *err)
{
    char users[160];
    if (!catalogue_find(c, name))
        return error_set(err, ERR_NOT_FOUND, "no such saved segment");
    list_users(c, name, users, sizeof users);
    if (users[0])
        return error_set(err, ERR_INVALID, "other segments use it: %s", users);
    *out = copy_with(c, NULL, name);
    return *out ? ERR_OK : nomem(err);
}

/* --- putting one together --- */

static int by_name(const void *a, const void *b)
{
    const struct catalogue_entry *x = a, *y = b;
    return bytes_compare(segment_name(x->segment), segment_name(y->segment));
}

static enum error_code add_row(struct catalogue *c, const struct catalogue_row *row,
                               const struct schema *schema, const struct catalogue *base,
                               struct error *err)
{
    const struct catalogue_entry *old = base ? catalogue_find(base, row->name) : NULL;
    if (old && bytes_equal(segment_text(old->segment), row->text)) {
        add_entry(c, segment_keep(old->segment));
        return ERR_OK;
    }
    struct segment *s = NULL;
    if (segment_check_name(row->name, err) != ERR_OK || row->text.len > SEGMENT_TEXT_MAX)
        return error_set(err, ERR_MALFORMED, "saved segments: a name or text of a wrong size");
    enum error_code rc = segment_new(row->name, row->text, schema, &s, err);
    if (rc == ERR_OK)
        add_entry(c, s);
    return rc;
}

static bool has_doubles(const struct catalogue *c)
{
    for (size_t i = 1; i < c->n; i++) {
        if (by_name(&c->entries[i - 1], &c->entries[i]) == 0)
            return true;
    }
    return false;
}

static enum error_code sort_and_measure(struct catalogue *c, struct error *err)
{
    qsort(c->entries, c->n, sizeof *c->entries, by_name);
    if (has_doubles(c))
        return error_set(err, ERR_MALFORMED, "saved segments: a name stands twice");
    return measure_all(c) ? check_room(c, err) : nomem(err);
}

enum error_code catalogue_of_rows(uint64_t version, const struct catalogue_row *rows, size_t n,
                                  const struct schema *schema, const struct catalogue *base,
                                  struct catalogue **out, struct error *err)
{
    if (n > CATALOGUE_SEGMENTS_MAX || version == 0)
        return error_set(err, ERR_MALFORMED, "saved segments: too many, or no version");
    struct catalogue *c = catalogue_with_room(version, n);
    if (!c)
        return nomem(err);
    enum error_code rc = ERR_OK;
    for (size_t i = 0; i < n && rc == ERR_OK; i++)
        rc = add_row(c, &rows[i], schema, base, err);
    if (rc == ERR_OK)
        rc = sort_and_measure(c, err);
    if (rc != ERR_OK) {
        catalogue_drop(c);
        return rc;
    }
    *out = c;
    return ERR_OK;
}

/* --- portable form --- */

void catalogue_encode(const struct catalogue *c, struct buf *out)
{
    buf_put_u8(out, FORM_VERSION);
    buf_put_varint(out, c->version);
    buf_put_varint(out, c->n);
    for (size_t i = 0; i < c->n; i++) {
        buf_put_bytes(out, segment_name(c->entries[i].segment));
        buf_put_bytes(out, segment_text(c->entries[i].segment));
    }
}

enum error_code catalogue_decode(struct bytes in, const struct schema *schema,
                                 const struct catalogue *base, struct catalogue **out,
                                 struct error *err)
{
    struct reader r = reader_of(in);
    uint8_t form = reader_u8(&r);
    uint64_t version = reader_varint(&r), n = reader_varint(&r);
    if (!r.ok || form != FORM_VERSION || n > CATALOGUE_SEGMENTS_MAX)
        return error_set(err, ERR_MALFORMED, "saved segments: of another form, or cut short");
    struct catalogue_row *rows = calloc((size_t)n + 1, sizeof *rows);
    if (!rows)
        return nomem(err);
    for (size_t i = 0; i < n; i++) {
        rows[i].name = reader_bytes(&r);
        rows[i].text = reader_bytes(&r);
    }
    enum error_code rc = ERR_OK;
    if (!r.ok || reader_left(&r) != 0)
        rc = error_set(err, ERR_MALFORMED, "saved segments: cut short, or something behind them");
    if (rc == ERR_OK)
        rc = catalogue_of_rows(version, rows, (size_t)n, schema, base, out, err);
    free(rows);
    return rc;
}
