#include "saved.h"

#include <stdlib.h>

struct bytes segment_name(const struct segment *s)
{
    return s->name;
}

struct bytes segment_text(const struct segment *s)
{
    return s->text;
}

const struct expr *segment_expr(const struct segment *s)
{
    return s->expr;
}

enum error_code segment_error(const struct segment *s, struct error *err)
{
    if (err)
        *err = s->error;
    return s->error.code;
}

bool segment_uses(const struct segment *s, struct bytes name)
{
    for (size_t i = 0; i < s->n_uses; i++) {
        if (bytes_equal(s->uses[i].name, name))
            return true;
    }
    return false;
}

enum error_code segment_check_name(struct bytes name, struct error *err)
{
    bool ok = name.len > 0 && name.len <= SEGMENT_NAME_MAX && bytes_is_utf8(name);
    for (size_t i = 0; i < name.len && ok; i++)
        ok = name.data[i] >= 0x20 && name.data[i] != 0x7F;
    if (ok)
        return ERR_OK;
    return error_set(err, ERR_INVALID,
                     "name of a segment: expected 1 to %d bytes of UTF-8 without control "
                     "characters",
                     SEGMENT_NAME_MAX);
}

/* --- what an expression names --- */

struct collecting {
    struct segment_use *uses;
    size_t n;
};

static size_t count_nodes(const struct expr *e, size_t *n_named)
{
    size_t n = 1;
    *n_named += e->kind == EXPR_SEGMENT;
    for (size_t i = 0; i < e->n_children; i++)
        n += count_nodes(e->children[i], n_named);
    return n;
}

static void collect(const struct expr *e, struct collecting *c)
{
    if (e->kind == EXPR_SEGMENT)
        c->uses[c->n++] = (struct segment_use){e->name, e->column, 1};
    for (size_t i = 0; i < e->n_children; i++)
        collect(e->children[i], c);
}

static int by_name_and_column(const void *a, const void *b)
{
    const struct segment_use *x = a, *y = b;
    int order = bytes_compare(x->name, y->name);
    if (order)
        return order;
    return x->column < y->column ? -1 : x->column > y->column;
}

static size_t fold(struct segment_use *uses, size_t n)
{
    size_t kept = 0;
    qsort(uses, n, sizeof *uses, by_name_and_column);
    for (size_t i = 1; i < n; i++) {
        if (bytes_equal(uses[i].name, uses[kept].name))
            uses[kept].times++;
        else
            uses[++kept] = uses[i];
    }
    return kept + 1;
}

bool segment_collect_uses(const struct expr *e, struct arena *arena, struct segment_use **out,
                          size_t *n_out)
{
    size_t named = 0;
    (void)count_nodes(e, &named);
    *n_out = 0;
    if (named == 0)
        return true;
    struct collecting c = {.uses = arena_alloc(arena, named * sizeof *c.uses)};
    if (!c.uses)
        return false;
    collect(e, &c);
    *out = c.uses;
    *n_out = fold(c.uses, c.n);
    return true;
}

/* --- one segment --- */

static enum error_code fill(struct segment *s, struct bytes name, struct bytes text,
                            const struct schema *schema)
{
    s->name = arena_copy(&s->arena, name);
    s->text = arena_copy(&s->arena, text);
    if (!s->name.data || (text.len && !s->text.data))
        return ERR_NOMEM;
    enum error_code rc = expr_parse(s->text, schema, &s->arena, &s->expr, &s->error);
    if (rc != ERR_OK) {
        s->expr = NULL;
        return rc == ERR_NOMEM ? rc : ERR_OK;
    }
    size_t named = 0;
    s->nodes = count_nodes(s->expr, &named);
    return segment_collect_uses(s->expr, &s->arena, &s->uses, &s->n_uses) ? ERR_OK : ERR_NOMEM;
}

enum error_code segment_new(struct bytes name, struct bytes text, const struct schema *schema,
                            struct segment **out, struct error *err)
{
    struct segment *s = calloc(1, sizeof *s);
    if (s)
        s->refs = 1;
    if (!s || fill(s, name, text, schema) != ERR_OK) {
        segment_drop(s);
        return error_set(err, ERR_NOMEM, "no memory for a saved segment");
    }
    *out = s;
    return ERR_OK;
}

struct segment *segment_keep(struct segment *s)
{
    (void)__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void segment_drop(struct segment *s)
{
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    arena_close(&s->arena);
    free(s);
}
