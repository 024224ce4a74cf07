#include "session.h"

struct explainer {
    struct arena *arena;
    const struct node_trace *trace;
    uint32_t n_chunks;
    struct index_explain_row *rows;
    size_t n;
    struct buf text; /* of one term */
    bool out_of_memory;
};

static enum index_strategy strategy_of(const struct node *n)
{
    switch (n->kind) {
    case NODE_SET:
    case NODE_UNION:
    case NODE_EXISTS:
        return INDEX_BY_SET;
    case NODE_RANGE:
        return INDEX_BY_COLUMN;
    case NODE_METRIC:
        return INDEX_BY_EVENTS;
    case NODE_WINDOW:
        return INDEX_BY_WINDOW;
    case NODE_AND:
    case NODE_OR:
    case NODE_NOT: /* what one term was made into: levels, values that it must not have */
        return n->source ? strategy_of(n->children[0]) : INDEX_BY_NONE;
    case NODE_CONST:
        break;
    }
    return INDEX_BY_NONE;
}

/* A term, or terms that are evaluated as one. */
static bool is_term(const struct node *n)
{
    if (n->kind == NODE_NOT && !n->source)
        return n->children[0]->kind == NODE_SET;
    return n->source || n->kind == NODE_UNION || n->kind == NODE_RANGE || n->n_children == 0;
}

static void put_term(struct buf *b, const struct node *n)
{
    if (n->source) {
        expr_format(n->source, b);
        return;
    }
    if (n->kind == NODE_NOT) {
        buf_put(b, "not ", 4);
        put_term(b, n->children[0]);
        return;
    }
    for (size_t i = 0; i < n->n_children; i++) {
        if (i > 0)
            buf_put(b, n->kind == NODE_RANGE ? " and " : " or ", n->kind == NODE_RANGE ? 5 : 4);
        put_term(b, n->children[i]);
    }
}

static enum index_operator operator_of(const struct node *n)
{
    if (is_term(n))
        return INDEX_TERM;
    return n->kind == NODE_AND ? INDEX_AND : n->kind == NODE_OR ? INDEX_OR : INDEX_NOT;
}

static struct bytes text_of(struct explainer *x, const struct node *n)
{
    static const char *const names[] = {"", "and", "or", "not"};
    if (!is_term(n))
        return bytes_of_str(names[operator_of(n)]);
    buf_reset(&x->text);
    put_term(&x->text, n);
    struct bytes text = arena_copy(x->arena, buf_bytes(&x->text));
    x->out_of_memory = x->out_of_memory || (x->text.len > 0 && !text.data);
    return text;
}

static void put_row(struct explainer *x, const struct node *n, uint32_t depth)
{
    const struct node_trace *t = &x->trace[n->id];
    const struct node *inner = n->kind == NODE_NOT && is_term(n) ? n->children[0] : n;
    x->rows[x->n++] = (struct index_explain_row){
        .text = text_of(x, n),
        .depth = depth,
        .operator= operator_of(n),
        .strategy = strategy_of(inner),
        .estimate = n->estimate,
        .chunks = t->chunks,
        .skipped = x->n_chunks - t->chunks,
        .emptied = t->emptied,
        .decided = t->decided,
        .probed = t->probed,
        .nanoseconds = t->nanoseconds,
    };
}

static void put_rows(struct explainer *x, const struct node *n, uint32_t depth)
{
    put_row(x, n, depth);
    for (size_t i = 0; i < n->n_children && !is_term(n); i++)
        put_rows(x, n->children[i], depth + 1);
}

static enum error_code count_traced(struct session *s, const struct node *root,
                                    struct index_count *out, struct error *err)
{
    enum error_code code = ERR_OK;
    for (uint32_t chunk = 0; chunk < s->ix->core.ids.n_chunks && code == ERR_OK; chunk++) {
        out->members += run_count_chunk(&s->run, root, chunk);
        code = run_check(&s->run, err);
    }
    out->population = s->ix->core.ids.n_live;
    out->applied = s->ix->core.applied;
    return code;
}

static enum error_code explain(struct session *s, const struct node *root, struct index_count *out,
                               struct explainer *x, struct error *err)
{
    uint32_t size = program_size(root);
    s->run.trace = arena_zalloc(&s->arena, size * sizeof *s->run.trace);
    x->rows = arena_alloc(x->arena, size * sizeof *x->rows);
    if (!s->run.trace || !x->rows)
        return error_set(err, ERR_NOMEM, "no memory left to explain the query");
    enum error_code code = count_traced(s, root, out, err);
    if (code != ERR_OK)
        return code;
    x->trace = s->run.trace;
    x->n_chunks = s->ix->core.ids.n_chunks;
    put_rows(x, root, 0);
    return x->out_of_memory ? error_set(err, ERR_NOMEM, "no memory left to explain the query")
                            : ERR_OK;
}

enum error_code index_count_explain(struct index *ix, const struct index_query *q,
                                    struct index_count *out, struct arena *arena,
                                    struct index_explain_row **rows, size_t *n_rows,
                                    struct error *err)
{
    struct session s;
    struct node *root = NULL;
    struct explainer x = {.arena = arena};
    *out = (struct index_count){0};
    enum error_code code = session_open(&s, ix, q, &root, err);
    if (code != ERR_OK)
        return code;
    code = explain(&s, root, out, &x, err);
    buf_free(&x.text);
    session_close(&s);
    *rows = x.rows;
    *n_rows = x.n;
    return code;
}
