#include <segment/expand.h>

enum { SCRATCH_MAX = 32 << 20 };

struct expansion {
    const struct catalogue *catalogue;
    struct arena arena; /* of the copied nodes: bounds how much is written out */
};

static struct expr *expanded(struct expansion *x, const struct expr *e);

static struct expr *expanded_children(struct expansion *x, const struct expr *e)
{
    struct expr *copy = arena_alloc(&x->arena, sizeof *copy);
    struct expr **children = arena_alloc(&x->arena, (e->n_children + 1) * sizeof(struct expr *));
    if (!copy || !children)
        return NULL;
    *copy = *e;
    copy->children = children;
    for (size_t i = 0; i < e->n_children; i++)
        if (!(children[i] = expanded(x, e->children[i])))
            return NULL;
    return copy;
}

/* The depth is bounded: a usable segment leads CATALOGUE_DEPTH_MAX deep at most. */
static struct expr *expanded(struct expansion *x, const struct expr *e)
{
    if (e->kind != EXPR_SEGMENT)
        return expanded_children(x, e);
    const struct catalogue_entry *inner = catalogue_find(x->catalogue, e->name);
    return inner && inner->code == ERR_OK ? expanded(x, segment_expr(inner->segment)) : NULL;
}

static enum error_code too_large(struct error *err)
{
    return error_set(err, ERR_TOO_LARGE,
                     "with all segments that it names written out, the segment is too large");
}

/* The text is what an expression may be. */
static enum error_code check_text(struct bytes text, const struct schema *schema, struct error *err)
{
    struct arena scratch;
    struct expr *e = NULL;
    if (text.len > SEGMENT_TEXT_MAX)
        return too_large(err);
    arena_init(&scratch, SCRATCH_MAX);
    enum error_code code = expr_parse(text, schema, &scratch, &e, NULL);
    arena_close(&scratch);
    return code == ERR_OK ? ERR_OK : too_large(err);
}

static enum error_code write_out(struct expansion *x, const struct segment *s,
                                 const struct schema *schema, struct arena *arena,
                                 struct bytes *out, struct error *err)
{
    struct buf text = {0};
    const struct expr *e = expanded(x, segment_expr(s));
    if (!e)
        return too_large(err);
    expr_format(e, &text);
    enum error_code code = check_text(buf_bytes(&text), schema, err);
    if (code == ERR_OK) {
        *out = arena_copy(arena, buf_bytes(&text));
        if (!out->data)
            code = error_set(err, ERR_NOMEM, "no memory for the segment");
    }
    buf_free(&text);
    return code;
}

enum error_code catalogue_expand(const struct catalogue *c, struct bytes name,
                                 const struct schema *schema, struct arena *arena,
                                 struct bytes *out, struct error *err)
{
    const struct catalogue_entry *entry = catalogue_find(c, name);
    if (!entry)
        return error_set(err, ERR_NOT_FOUND, "no such saved segment");
    if (entry->code != ERR_OK)
        return error_set(err, ERR_INVALID, "the saved segment does not fit the cluster file");
    struct expansion x = {.catalogue = c};
    arena_init(&x.arena, SCRATCH_MAX);
    enum error_code code = write_out(&x, entry->segment, schema, arena, out, err);
    arena_close(&x.arena);
    return code;
}
