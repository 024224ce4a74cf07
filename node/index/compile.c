#include "estimate.h"
#include "program.h"

#include <stdlib.h>

enum { COMPILE_NODES_MAX = 1 << 17, COMPILE_DEPTH_MAX = 1000 };

struct compiler {
    const struct core *core;
    const struct index_query *query;
    struct arena *arena;
    struct error *err;
    uint32_t nodes, depth;
    uint32_t next_id;
};

static enum error_code compile(struct compiler *k, const struct expr *e, struct node **out);

static enum error_code nomem(struct compiler *k)
{
    return error_set(k->err, ERR_NOMEM, "no memory left for the query");
}

static uint64_t population(const struct compiler *k)
{
    return k->core->ids.n_live;
}

static struct node *node_new(struct compiler *k, enum node_kind kind)
{
    struct node *n = arena_zalloc(k->arena, sizeof *n);
    if (n) {
        n->kind = kind;
        n->id = k->next_id++;
    }
    return n;
}

static enum error_code make_const(struct compiler *k, bool truth, struct node **out)
{
    struct node *n = node_new(k, NODE_CONST);
    if (!n)
        return nomem(k);
    n->truth = truth;
    n->estimate = truth ? population(k) : 0;
    *out = n;
    return ERR_OK;
}

static enum error_code make_not(struct compiler *k, struct node *child, struct node **out)
{
    struct node *n = node_new(k, NODE_NOT);
    struct node **children = arena_alloc(k->arena, sizeof *children);
    if (!n || !children)
        return nomem(k);
    children[0] = child;
    n->children = children;
    n->n_children = 1;
    n->cost = child->cost;
    n->regs = child->regs + 1;
    n->estimate = population(k) > child->estimate ? population(k) - child->estimate : 0;
    *out = n;
    return ERR_OK;
}

static int compare_nodes(const void *a, const void *b)
{
    const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;
    if (x->cost != y->cost)
        return x->cost < y->cost ? -1 : 1;
    if (x->estimate != y->estimate)
        return x->estimate < y->estimate ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* `children` is kept. */
static enum error_code make_group(struct compiler *k, enum node_kind kind, struct node **children,
                                  size_t n_children, struct node **out)
{
    struct node *n = node_new(k, kind);
    if (!n)
        return nomem(k);
    bool is_and = kind == NODE_AND;
    n->children = children;
    n->n_children = n_children;
    n->estimate = is_and ? population(k) : 0;
    for (size_t i = 0; i < n_children; i++) {
        const struct node *c = children[i];
        n->cost = c->cost > n->cost ? c->cost : n->cost;
        n->regs = c->regs > n->regs ? c->regs : n->regs;
        if (is_and)
            n->estimate = c->estimate < n->estimate ? c->estimate : n->estimate;
        else
            n->estimate += c->estimate;
    }
    if (!is_and) {
        n->regs += 2;
        n->estimate = n->estimate < population(k) ? n->estimate : population(k);
    }
    qsort(children, n_children, sizeof(struct node *), compare_nodes);
    *out = n;
    return ERR_OK;
}

static enum error_code make_pair(struct compiler *k, struct node *a, struct node *b,
                                 struct node **out)
{
    struct node **children = arena_alloc(k->arena, 2 * sizeof(struct node *));
    if (!children)
        return nomem(k);
    children[0] = a;
    children[1] = b;
    return make_group(k, NODE_AND, children, 2, out);
}

static enum error_code make_sets(struct compiler *k, const struct set **sets, size_t n,
                                 struct node **out)
{
    if (n == 0)
        return make_const(k, false, out);
    struct node *node = node_new(k, n == 1 ? NODE_SET : NODE_UNION);
    if (!node)
        return nomem(k);
    node->sets = sets;
    node->n_sets = n;
    node->regs = n == 1 ? 0 : 1;
    for (size_t i = 0; i < n; i++)
        node->estimate += sets[i]->n;
    *out = node;
    return ERR_OK;
}

/* Members of one set; NULL: nobody. */
static enum error_code make_set(struct compiler *k, const struct set *s, struct node **out)
{
    if (!s)
        return make_const(k, false, out);
    const struct set **sets = arena_alloc(k->arena, sizeof(struct set *));
    if (!sets)
        return nomem(k);
    sets[0] = s;
    return make_sets(k, sets, 1, out);
}

static const struct set *dict_set(const struct dict *d, struct bytes text)
{
    uint32_t id = dict_find(d, text);
    return id == DICT_NONE ? NULL : &d->values[id].set;
}

static enum error_code make_exists(struct compiler *k, const struct column *column,
                                   struct node **out)
{
    struct node *n = node_new(k, NODE_EXISTS);
    if (!n)
        return nomem(k);
    n->column = column;
    n->estimate = column->n;
    *out = n;
    return ERR_OK;
}

static bool in_range(int64_t v, int64_t lo, int64_t hi, bool negate)
{
    return (lo <= v && v <= hi) != negate;
}

static enum error_code make_range(struct compiler *k, const struct column *column, int64_t lo,
                                  int64_t hi, bool negate, bool absent, struct node **out)
{
    struct node *n = node_new(k, NODE_RANGE);
    if (!n)
        return nomem(k);
    n->column = column;
    n->cost = COST_COLUMN;
    n->regs = 1;
    n->lo = lo;
    n->hi = hi;
    n->negate = negate;
    n->absent = absent;
    uint64_t inside = estimate_range(column, lo, hi), absentees = population(k) - column->n;
    n->estimate = negate ? column->n - inside : inside;
    if (absent && column->n < population(k))
        n->estimate += absentees;
    *out = n;
    return ERR_OK;
}

static enum error_code unknown(struct compiler *k, const char *what)
{
    return error_set(k->err, ERR_UNKNOWN_NAME, "the index has no such %s", what);
}

static int64_t level_border(const struct schema *s, size_t i)
{
    if (s->level_by->type != TRAIT_NUMBER)
        return s->levels[i].at_least;
    int64_t v;
    if (__builtin_mul_overflow(s->levels[i].at_least, (int64_t)DECIMAL_ONE, &v))
        return s->levels[i].at_least < 0 ? INT64_MIN : INT64_MAX;
    return v;
}

/* Level `i`, or the state below the first where i == n_levels. */
static enum error_code make_level(struct compiler *k, size_t i, struct node **out)
{
    const struct schema *s = k->core->schema;
    const struct trait_index *t = core_trait(k->core, s->level_by->id);
    if (!t)
        return unknown(k, "level");
    bool none = i == s->n_levels;
    int64_t lo = none ? INT64_MIN : level_border(s, i);
    size_t next = none ? 0 : i + 1;
    int64_t hi = INT64_MAX;
    if (next < s->n_levels) {
        hi = level_border(s, next);
        if (hi == INT64_MIN)
            return make_const(k, false, out);
        hi--;
    }
    bool absent = t->schema->type == TRAIT_COUNTER ? in_range(0, lo, hi, false) : none;
    return make_range(k, &t->column, lo, hi, false, absent, out);
}

static enum error_code find_level(struct compiler *k, struct bytes name, size_t *out)
{
    const struct schema *s = k->core->schema;
    for (size_t i = 0; i < s->n_levels; i++) {
        if (bytes_equal(bytes_of_str(s->levels[i].name), name)) {
            *out = i;
            return ERR_OK;
        }
    }
    *out = s->n_levels;
    return bytes_equal(name, bytes_of_str("none")) ? ERR_OK : unknown(k, "level");
}

static enum error_code compile_levels(struct compiler *k, const struct expr *e, struct node **out)
{
    if (!k->core->schema->level_by)
        return unknown(k, "level");
    struct node **children = arena_alloc(k->arena, (e->n_values + 1) * sizeof(struct node *));
    if (!children)
        return nomem(k);
    for (size_t i = 0; i < e->n_values; i++) {
        size_t level = 0;
        enum error_code code = find_level(k, e->values[i], &level);
        if (code == ERR_OK)
            code = make_level(k, level, &children[i]);
        if (code != ERR_OK)
            return code;
    }
    struct node *any = NULL;
    enum error_code code = make_group(k, NODE_OR, children, e->n_values, &any);
    if (code != ERR_OK || !e->negate) {
        *out = any;
        return code;
    }
    return make_not(k, any, out);
}

static enum error_code compile_values(struct compiler *k, const struct expr *e, struct node **out)
{
    if (!e->trait)
        return compile_levels(k, e, out);
    const struct trait_index *t = core_trait(k->core, e->trait->id);
    if (!t || !trait_is_text(t->schema->type))
        return unknown(k, "trait");
    const struct set **sets = arena_alloc(k->arena, (e->n_values + 1) * sizeof(struct set *));
    if (!sets)
        return nomem(k);
    size_t n = 0;
    for (size_t i = 0; i < e->n_values; i++) {
        const struct set *s = dict_set(&t->dict, e->values[i]);
        if (s)
            sets[n++] = s;
    }
    struct node *any = NULL, *others = NULL, *exists = NULL;
    enum error_code code = make_sets(k, sets, n, &any);
    if (code != ERR_OK || !e->negate) {
        *out = any;
        return code;
    }
    code = make_not(k, any, &others);
    if (code == ERR_OK)
        code = make_exists(k, &t->column, &exists);
    return code == ERR_OK ? make_pair(k, exists, others, out) : code;
}

static enum error_code compile_range(struct compiler *k, const struct expr *e, struct node **out)
{
    const struct trait_index *t = e->trait ? core_trait(k->core, e->trait->id) : NULL;
    if (!t || trait_is_text(t->schema->type))
        return unknown(k, "trait");
    bool absent = t->schema->type == TRAIT_COUNTER && in_range(0, e->lo, e->hi, e->negate);
    return make_range(k, &t->column, e->lo, e->hi, e->negate, absent, out);
}

static enum error_code compile_last(struct compiler *k, const struct expr *e, struct node **out)
{
    const struct event_index *x = e->event ? core_event(k->core, e->event->id) : NULL;
    if (!x)
        return unknown(k, "event");
    int64_t lo = e->lo, hi = e->hi;
    if (e->relative && lo != INT64_MIN && lo != INT64_MAX)
        lo = int64_add_saturating(lo, k->query->today);
    if (e->relative && hi != INT64_MIN && hi != INT64_MAX)
        hi = int64_add_saturating(hi, k->query->today);
    return make_range(k, &x->last, lo, hi, e->negate, false, out);
}

/* The field's place in the index's own schema, -1 when unknown. */
static int field_place(const struct metric *x, const struct schema_field *f)
{
    for (size_t i = 0; f && i < x->event->n_fields; i++)
        if (x->event->fields[i].id == f->id)
            return (int)i;
    return -1;
}

/* Unmarks the combinations that do not satisfy the condition. */
static enum error_code apply_where(struct compiler *k, const struct metric *x,
                                   const struct expr_where *w, bool *match)
{
    int field = field_place(x, w->field);
    int place = field < 0 ? -1 : x->enum_of[field];
    if (place < 0)
        return unknown(k, "field");
    const struct dict *d = &x->values[place];
    bool *wanted = arena_zalloc(k->arena, (size_t)d->n + 1); /* by value + 1; 0: absent */
    if (!wanted)
        return nomem(k);
    for (size_t i = 0; i < w->n_values; i++) {
        uint32_t id = dict_find(d, w->values[i]);
        if (id != DICT_NONE)
            wanted[id + 1] = true;
    }
    for (uint32_t i = 0; i < x->combos.n; i++) {
        uint32_t value = x->combos.tuples[(size_t)i * x->n_enums + (size_t)place];
        match[i] = match[i] && value != 0 && wanted[value] != w->negate;
    }
    return ERR_OK;
}

static enum error_code compile_wheres(struct compiler *k, const struct expr *e,
                                      const struct metric *x, struct node *n)
{
    if (e->n_wheres == 0)
        return ERR_OK;
    bool *match = arena_alloc(k->arena, (size_t)x->combos.n + 1);
    if (!match)
        return nomem(k);
    for (uint32_t i = 0; i <= x->combos.n; i++)
        match[i] = true;
    for (size_t i = 0; i < e->n_wheres; i++) {
        enum error_code code = apply_where(k, x, &e->wheres[i], match);
        if (code != ERR_OK)
            return code;
    }
    n->combos = match;
    return ERR_OK;
}

static enum error_code compile_metric(struct compiler *k, const struct expr *e, struct node **out)
{
    const struct event_index *x = e->event ? core_event(k->core, e->event->id) : NULL;
    if (!x)
        return unknown(k, "event");
    struct node *n = node_new(k, NODE_METRIC);
    if (!n)
        return nomem(k);
    n->cost = COST_METRIC;
    n->metric = &x->metric;
    n->sum = -1;
    n->estimate = population(k) / 2;
    if (e->kind == EXPR_SUM) {
        int field = field_place(n->metric, e->field);
        n->sum = field < 0 ? -1 : n->metric->sum_of[field];
        if (n->sum < 0)
            return unknown(k, "field");
    }
    n->lo = e->lo;
    n->hi = e->hi;
    n->negate = e->negate;
    n->absent = in_range(0, e->lo, e->hi, e->negate);
    n->day_from = e->window_days ? (int64_t)k->query->today - e->window_days + 1 : INT64_MIN;
    n->day_to = e->window_days ? k->query->today : INT64_MAX;
    *out = n;
    n->window = windows_find(&k->core->windows, n->metric, n->sum, e->window_days, k->query->today);
    if (n->window && e->n_wheres == 0) {
        uint64_t inside = estimate_window(n->window, e->lo, e->hi, population(k));
        n->estimate = e->negate ? population(k) - inside : inside;
        n->kind = NODE_WINDOW;
        n->cost = COST_COLUMN;
        n->regs = 1;
        return ERR_OK;
    }
    return compile_wheres(k, e, n->metric, n);
}

/* The sets among the children of a disjunction as one union, which needs no registers of its own
 * per term. */
static enum error_code unite_sets(struct compiler *k, struct node **children, size_t *n)
{
    size_t n_sets = 0, n_terms = 0, kept = 0;
    for (size_t i = 0; i < *n; i++) {
        n_sets += children[i]->n_sets;
        n_terms += children[i]->n_sets > 0;
    }
    if (n_terms < 2)
        return ERR_OK;
    const struct set **sets = arena_alloc(k->arena, n_sets * sizeof(struct set *));
    if (!sets)
        return nomem(k);
    struct node **united = arena_alloc(k->arena, n_terms * sizeof(struct node *));
    if (!united)
        return nomem(k);
    n_sets = n_terms = 0;
    for (size_t i = 0; i < *n; i++) {
        struct node *c = children[i];
        for (size_t m = 0; m < c->n_sets; m++)
            sets[n_sets++] = c->sets[m];
        if (c->n_sets == 0)
            children[kept++] = c;
        else
            united[n_terms++] = c;
    }
    *n = kept + 1;
    enum error_code code = make_sets(k, sets, n_sets, &children[kept]);
    if (code != ERR_OK)
        return code;
    children[kept]->children = united;
    children[kept]->n_children = n_terms;
    return ERR_OK;
}

static bool may_join(const struct node *a, const struct node *b)
{
    return a->kind == NODE_RANGE && b->kind == NODE_RANGE && a->column == b->column && !a->negate &&
           !b->negate;
}

/* Two ranges of one column, both of which a member must be in, as one. */
static enum error_code join_pair(struct compiler *k, struct node *a, struct node *b,
                                 struct node **out)
{
    enum error_code code =
        make_range(k, a->column, a->lo > b->lo ? a->lo : b->lo, a->hi < b->hi ? a->hi : b->hi,
                   false, a->absent && b->absent, out);
    struct node **both = arena_alloc(k->arena, 2 * sizeof(struct node *));
    if (code != ERR_OK || !both)
        return nomem(k);
    both[0] = a;
    both[1] = b;
    (*out)->children = both;
    (*out)->n_children = 2;
    return ERR_OK;
}

/* The ranges among the children of a conjunction, one for each column. */
static enum error_code join_ranges(struct compiler *k, struct node **children, size_t *n)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        size_t at = 0;
        while (at < kept && !may_join(children[at], children[i]))
            at++;
        if (at == kept) {
            children[kept++] = children[i];
            continue;
        }
        enum error_code code = join_pair(k, children[at], children[i], &children[at]);
        if (code != ERR_OK)
            return code;
    }
    *n = kept;
    return ERR_OK;
}

static enum error_code compile_group(struct compiler *k, const struct expr *e, struct node **out)
{
    struct node **children = arena_alloc(k->arena, (e->n_children + 1) * sizeof(struct node *));
    if (!children)
        return nomem(k);
    for (size_t i = 0; i < e->n_children; i++) {
        enum error_code code = compile(k, e->children[i], &children[i]);
        if (code != ERR_OK)
            return code;
    }
    size_t n = e->n_children;
    enum error_code code =
        e->kind == EXPR_OR ? unite_sets(k, children, &n) : join_ranges(k, children, &n);
    if (code != ERR_OK)
        return code;
    if (n == 1) {
        *out = children[0];
        return ERR_OK;
    }
    return make_group(k, e->kind == EXPR_AND ? NODE_AND : NODE_OR, children, n, out);
}

static enum error_code compile_not(struct compiler *k, const struct expr *e, struct node **out)
{
    struct node *child = NULL;
    enum error_code code = compile(k, e->children[0], &child);
    return code == ERR_OK ? make_not(k, child, out) : code;
}

static enum error_code compile_segment(struct compiler *k, const struct expr *e, struct node **out)
{
    const struct expr *inner =
        k->query->segment ? k->query->segment(k->query->segment_ctx, e->name) : NULL;
    if (!inner)
        return error_set(k->err, ERR_UNKNOWN_NAME, "column %u: no such saved segment", e->column);
    return compile(k, inner, out);
}

static enum error_code compile_term(struct compiler *k, const struct expr *e, struct node **out)
{
    const struct trait_index *t;
    switch (e->kind) {
    case EXPR_AND:
    case EXPR_OR:
        return compile_group(k, e, out);
    case EXPR_NOT:
        return compile_not(k, e, out);
    case EXPR_CONST:
        return make_const(k, e->truth, out);
    case EXPR_TAG:
        return make_set(k, dict_set(&k->core->tags, e->name), out);
    case EXPR_CHANNEL:
        return make_set(k, dict_set(&k->core->channels, e->name), out);
    case EXPR_HAS:
        return make_set(k, e->ns ? core_namespace(k->core, e->ns->id) : NULL, out);
    case EXPR_EXISTS:
        t = e->trait ? core_trait(k->core, e->trait->id) : NULL;
        return t ? make_exists(k, &t->column, out) : unknown(k, "trait");
    case EXPR_SEGMENT:
        return compile_segment(k, e, out);
    case EXPR_VALUES:
        return compile_values(k, e, out);
    case EXPR_RANGE:
        return compile_range(k, e, out);
    case EXPR_COUNT:
    case EXPR_SUM:
        return compile_metric(k, e, out);
    case EXPR_LAST:
        return compile_last(k, e, out);
    }
    return error_set(k->err, ERR_INTERNAL, "an expression of an unknown kind");
}

/* Saved segments may name each other: a circle ends at the depth, a flood at the node count. */
static enum error_code compile(struct compiler *k, const struct expr *e, struct node **out)
{
    if (k->depth >= COMPILE_DEPTH_MAX)
        return error_set(k->err, ERR_TOO_LARGE, "nested too deep, or segments that go in a circle");
    if (++k->nodes > COMPILE_NODES_MAX)
        return error_set(k->err, ERR_TOO_LARGE, "too many terms with all its saved segments");
    k->depth++;
    enum error_code code = compile_term(k, e, out);
    k->depth--;
    bool is_term =
        e->kind != EXPR_AND && e->kind != EXPR_OR && e->kind != EXPR_NOT && e->kind != EXPR_SEGMENT;
    if (code == ERR_OK && is_term)
        (*out)->source = e;
    return code;
}

enum error_code program_compile(const struct core *c, const struct index_query *q,
                                struct arena *arena, struct node **out, struct error *err)
{
    struct compiler k = {.core = c, .query = q, .arena = arena, .err = err};
    return compile(&k, q->expr, out);
}

uint32_t program_size(const struct node *root)
{
    uint32_t size = root->id + 1;
    for (size_t i = 0; i < root->n_children; i++) {
        uint32_t child = program_size(root->children[i]);
        size = child > size ? child : size;
    }
    return size;
}
