#include "match.h"

static bool in_range(const struct node *n, int64_t v)
{
    return (n->lo <= v && v <= n->hi) != n->negate;
}

static bool matches_range(const struct node *n, uint32_t ordinal)
{
    int64_t v;
    return column_get(n->column, ordinal, &v) ? in_range(n, v) : n->absent;
}

static int64_t block_total(const struct node *n, const struct metric_block *b, uint16_t low)
{
    const uint16_t *positions = metric_positions(b);
    uint64_t total = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        if (positions[i] != low || (n->combos && !n->combos[metric_combo_at(b, i)]))
            continue;
        total +=
            (uint64_t)(n->sum < 0 ? metric_count_at(b, i) : metric_sum_at(b, (uint32_t)n->sum, i));
    }
    return (int64_t)total;
}

static bool matches_metric(const struct node *n, uint32_t ordinal)
{
    uint64_t total = 0;
    uint32_t chunk = chunk_of(ordinal);
    const struct metric *x = n->metric;
    for (uint32_t i = chunk < x->n_chunks ? x->chunks[chunk].n : 0; i-- > 0;) {
        const struct metric_block *b = &x->chunks[chunk].blocks[i];
        if (b->day < n->day_from)
            break;
        if (b->day <= n->day_to)
            total += (uint64_t)block_total(n, b, (uint16_t)low_of(ordinal));
    }
    return in_range(n, (int64_t)total);
}

static bool matches_any_set(const struct node *n, uint32_t ordinal)
{
    for (size_t i = 0; i < n->n_sets; i++)
        if (set_has(n->sets[i], ordinal))
            return true;
    return false;
}

static bool matches(const struct node *n, uint32_t ordinal)
{
    switch (n->kind) {
    case NODE_CONST:
        return n->truth;
    case NODE_SET:
    case NODE_UNION:
        return matches_any_set(n, ordinal);
    case NODE_EXISTS:
        return column_chunk_has(column_chunk_at(n->column, chunk_of(ordinal)), low_of(ordinal));
    case NODE_RANGE:
        return matches_range(n, ordinal);
    case NODE_METRIC:
        return matches_metric(n, ordinal);
    case NODE_WINDOW:
        return in_range(n, window_get(n->window, ordinal));
    case NODE_NOT:
        return !matches(n->children[0], ordinal);
    case NODE_AND:
    case NODE_OR:
        break;
    }
    for (size_t i = 0; i < n->n_children; i++)
        if (matches(n->children[i], ordinal) == (n->kind == NODE_OR))
            return n->kind == NODE_OR;
    return n->kind == NODE_AND;
}

bool program_matches(const struct core *c, const struct node *program, uint32_t ordinal)
{
    return bit_get(c->ids.chunks[chunk_of(ordinal)].live, low_of(ordinal)) &&
           matches(program, ordinal);
}
