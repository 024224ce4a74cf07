/* One member against a program: bit tests and column reads, no registers. */
#include "program.h"

static bool in_node_range(const struct node *n, int64_t v)
{
    return (n->lo <= v && v <= n->hi) != n->negate;
}

static bool set_has(const struct set *s, uint32_t ordinal)
{
    struct set_view v;
    set_view_chunk(s, chunk_of(ordinal), &v);
    return v.kind != VIEW_EMPTY && set_view_has(&v, low_of(ordinal));
}

static bool any_set_has(const struct node *n, uint32_t ordinal)
{
    for (size_t i = 0; i < n->n_sets; i++)
        if (set_has(n->sets[i], ordinal))
            return true;
    return false;
}

static int64_t row_value(const struct node *n, const struct metric_block *b, uint32_t i)
{
    if (n->sum < 0)
        return metric_count_at(b, i);
    const void *column = metric_sum_column(b, (uint32_t)n->sum);
    if (metric_sum_width(b, (uint32_t)n->sum) == 8)
        return ((const int64_t *)column)[i];
    return (int64_t)((const int32_t *)column)[i] * METRIC_CENT;
}

static int64_t metric_total(const struct node *n, uint32_t ordinal)
{
    uint64_t total = 0;
    if (chunk_of(ordinal) >= n->metric->n_chunks)
        return 0;
    const struct metric_chunk *c = &n->metric->chunks[chunk_of(ordinal)];
    for (uint32_t i = c->n; i-- > 0 && c->blocks[i].day >= n->day_from;) {
        const struct metric_block *b = &c->blocks[i];
        const uint16_t *pos = metric_positions(b);
        for (uint32_t k = 0; b->day <= n->day_to && k < b->n; k++)
            if (pos[k] == low_of(ordinal) && (!n->combos || n->combos[metric_combo_at(b, k)]))
                total += (uint64_t)row_value(n, b, k);
    }
    return (int64_t)total;
}

static bool range_matches(const struct node *n, uint32_t ordinal)
{
    int64_t v;
    return column_get(n->column, ordinal, &v) ? in_node_range(n, v) : n->absent;
}

static bool children_match(const struct core *c, const struct node *n, uint32_t ordinal, bool until)
{
    for (size_t i = 0; i < n->n_children; i++)
        if (program_matches(c, n->children[i], ordinal) == until)
            return until;
    return !until;
}

bool program_matches(const struct core *c, const struct node *n, uint32_t ordinal)
{
    int64_t v;
    switch (n->kind) {
    case NODE_CONST:
        return n->truth;
    case NODE_SET:
    case NODE_UNION:
        return any_set_has(n, ordinal);
    case NODE_EXISTS:
        return column_get(n->column, ordinal, &v);
    case NODE_RANGE:
        return range_matches(n, ordinal);
    case NODE_METRIC:
        return in_node_range(n, metric_total(n, ordinal));
    case NODE_AND:
        return children_match(c, n, ordinal, false);
    case NODE_OR:
        return children_match(c, n, ordinal, true);
    case NODE_NOT:
        return !program_matches(c, n->children[0], ordinal);
    }
    return false;
}
