/* One answer out of those of the shards. */
#include "private.h"

#include <stdio.h>
#include <stdlib.h>

/* Room for one more item in an array of `n`; memory that is out ends the process. */
static void *grow(void *items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return items;
    *cap = *cap ? *cap * 2 : 16;
    void *p = realloc(items, *cap * size);
    if (!p)
        abort();
    return p;
}

static bool is_status(const struct gather *g)
{
    return g->type == REQUEST_STATS;
}

bool fold_prepare(struct gather *g)
{
    struct response *a = &g->answer;
    struct arena *arena = &g->arena;
    if (g->type == REQUEST_LIST)
        a->members = arena_alloc(arena, g->wanted * sizeof *a->members);
    if (g->type == REQUEST_REFUSED)
        a->lines = arena_alloc(arena, g->wanted * sizeof *a->lines);
    if (g->type == REQUEST_OVERLAP)
        a->combos = arena_zalloc(arena, ((size_t)1 << g->command.n_exprs) * sizeof *a->combos);
    if (g->type == REQUEST_COUNT && g->command.explain)
        a->explain = arena_zalloc(arena, g->n_shards * sizeof *a->explain);
    a->carrying = arena_zalloc(arena, g->n_shards * sizeof *a->carrying);
    a->shards = arena_zalloc(arena, g->n_shards * sizeof *a->shards);
    if (!a->shards || !a->carrying)
        return false;
    for (shard_id i = 0; is_status(g) && i < g->n_shards; i++)
        a->shards[i] = (struct shard_status){.shard = i, .node = g->node_of_shard[i]};
    a->n_shards = is_status(g) ? g->n_shards : 0;
    return (g->type != REQUEST_LIST || a->members) && (g->type != REQUEST_REFUSED || a->lines) &&
           (g->type != REQUEST_OVERLAP || a->combos) && (!g->command.explain || a->explain);
}

void fold_reset(struct gather *g)
{
    struct response *a = &g->answer;
    a->count = a->population = a->in_flight = 0;
    a->age_ms = 0;
    a->n_groups = a->n_members = a->n_explain = a->n_combos = a->n_rows = 0;
    for (size_t i = 0; a->combos && i < (size_t)1 << g->command.n_exprs; i++)
        a->combos[i] = 0;
}

/* --- groups --- */

static int by_value(const void *a, const void *b)
{
    const struct count_row *x = a, *y = b;
    if (x->none != y->none)
        return x->none ? 1 : -1;
    int order = bytes_compare(x->value, y->value);
    if (order)
        return order;
    if (x->none2 != y->none2)
        return x->none2 ? 1 : -1;
    return bytes_compare(x->value2, y->value2);
}

static int by_members(const void *a, const void *b)
{
    const struct count_row *x = a, *y = b;
    if (x->members != y->members)
        return x->members > y->members ? -1 : 1;
    return by_value(a, b);
}

/* Rows of all shards, sorted by value, become one row a value. */
static void join_groups(struct response *a)
{
    if (a->n_groups == 0)
        return;
    qsort(a->groups, a->n_groups, sizeof *a->groups, by_value);
    size_t n = 0;
    for (size_t i = 1; i < a->n_groups; i++) {
        if (by_value(&a->groups[n], &a->groups[i]) == 0)
            a->groups[n].members += a->groups[i].members;
        else
            a->groups[++n] = a->groups[i];
    }
    a->n_groups = n + 1;
}

static enum error_code add_groups(struct gather *g, const struct reply *r)
{
    struct response *a = &g->answer;
    for (size_t i = 0; i < r->n_counts; i++) {
        const struct count_row *row = &r->counts[i];
        a->groups = grow(a->groups, a->n_groups, &g->groups_cap, sizeof *a->groups);
        a->groups[a->n_groups++] = (struct count_row){.value = arena_copy(&g->arena, row->value),
                                                      .none = row->none,
                                                      .members = row->members,
                                                      .value2 = arena_copy(&g->arena, row->value2),
                                                      .none2 = row->none2};
        a->count += row->members;
    }
    if (a->n_groups > GROUPS_MAX)
        join_groups(a);
    if (a->n_groups <= GROUPS_MAX)
        return ERR_OK;
    return error_set(&g->err, ERR_TOO_LARGE, "breakdown: more than %d groups", GROUPS_MAX);
}

/* The shards have the same catalogue, so that their rows are of the same segments. */
static enum error_code add_refreshed(struct gather *g, const struct reply *r)
{
    struct response *a = &g->answer;
    if (r->n_counts != g->catalogue->n)
        return error_set(&g->err, ERR_INTERNAL, "a shard counted other segments");
    while (a->n_groups < r->n_counts) {
        a->groups = grow(a->groups, a->n_groups, &g->groups_cap, sizeof *a->groups);
        a->groups[a->n_groups] =
            (struct count_row){.value = segment_name(g->catalogue->entries[a->n_groups].segment)};
        a->n_groups++;
    }
    for (size_t i = 0; i < r->n_counts; i++) {
        a->groups[i].members += r->counts[i].members;
        if (r->counts[i].error != ERR_OK)
            a->groups[i].error = r->counts[i].error;
    }
    return ERR_OK;
}

/* --- the other kinds --- */

static void add_explain(struct gather *g, shard_id shard, const struct reply *r)
{
    struct response *a = &g->answer;
    size_t at = a->n_explain++;
    for (; at > 0 && a->explain[at - 1].shard > shard; at--)
        a->explain[at] = a->explain[at - 1];
    struct explain_shard *to = &a->explain[at];
    *to = (struct explain_shard){.shard = shard,
                                 .nanos = r->nanos,
                                 .count = r->n_counts ? r->counts[0].members : 0,
                                 .in_flight = r->in_flight};
    to->rows = r->n_explain ? arena_alloc(&g->arena, r->n_explain * sizeof *to->rows) : NULL;
    for (size_t i = 0; to->rows && i < r->n_explain; i++) {
        to->rows[i] = r->explain[i];
        to->rows[i].term = arena_copy(&g->arena, r->explain[i].term);
        to->rows[i].strategy = arena_copy(&g->arena, r->explain[i].strategy);
        to->n_rows++;
    }
}

static void add_count(struct gather *g, shard_id shard, const struct reply *r)
{
    for (size_t i = 0; i < r->n_counts; i++)
        g->answer.count += r->counts[i].members;
    if (g->command.explain)
        add_explain(g, shard, r);
}

static enum error_code add_combos(struct gather *g, const struct reply *r)
{
    struct response *a = &g->answer;
    if (r->n_combos != (size_t)1 << g->command.n_exprs)
        return error_set(&g->err, ERR_INTERNAL, "a shard counted other combinations");
    a->n_combos = r->n_combos;
    for (size_t i = 0; i < r->n_combos; i++)
        a->combos[i] += r->combos[i];
    return ERR_OK;
}

static void add_findings(struct gather *g, shard_id shard, const struct reply *r)
{
    struct response *a = &g->answer;
    a->count += r->status == REPLY_BUSY ? r->cursor : r->population;
    a->population += r->population;
    if (r->status == REPLY_BUSY)
        a->carrying[a->n_carrying++] = shard;
    for (size_t i = 0; i < r->n_counts; i++) {
        a->findings = grow(a->findings, a->n_findings, &g->findings_cap, sizeof *a->findings);
        char line[512];
        int n = snprintf(line, sizeof line, "shard %u: %.*s", shard, (int)r->counts[i].value.len,
                         (const char *)r->counts[i].value.data);
        size_t len = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
        a->findings[a->n_findings++] = arena_copy(&g->arena, bytes_of(line, len));
    }
}

static const char *ns_name(const struct gather *g, name_id id)
{
    const struct schema_namespace *ns = schema_namespace_by_id(g->schema, id);
    return ns ? ns->name : "";
}

static void add_lines(struct gather *g, shard_id shard, const struct reply *r)
{
    struct response *a = &g->answer;
    for (size_t i = 0; i < r->n_refusals && a->n_lines < g->wanted; i++) {
        const struct refused_row *row = &r->refusals[i];
        a->lines[a->n_lines++] = (struct refused_line){
            .number = row->number,
            .shard = shard,
            .at = row->at,
            .profile = row->profile,
            .id = {bytes_of_str(ns_name(g, row->id.ns)), arena_copy(&g->arena, row->id.value)},
            .with = {bytes_of_str(ns_name(g, row->with.ns)),
                     arena_copy(&g->arena, row->with.value)},
            .reason = row->reason,
            .message_id = arena_copy(&g->arena, row->message_id),
            .source = arena_copy(&g->arena, row->source),
        };
    }
}

static void add_members(struct gather *g, const struct reply *r)
{
    struct response *a = &g->answer;
    for (size_t i = 0; i < r->n_members && a->n_members < g->wanted; i++)
        a->members[a->n_members++] = r->members[i];
}

static void add_stats(struct gather *g, shard_id shard, const struct reply *r)
{
    struct shard_status *s = &g->answer.shards[shard];
    s->reachable = r->stats != NULL;
    if (!r->stats)
        return;
    s->stats = *r->stats;
    s->stats.kernels = arena_copy(&g->arena, r->stats->kernels);
    g->answer.in_flight += r->stats->merging;
}

enum error_code fold_reply(struct gather *g, shard_id shard, const struct reply *r)
{
    if (g->query) {
        g->answer.population += r->population;
        g->answer.in_flight += r->in_flight;
        if (r->age_ms > g->answer.age_ms)
            g->answer.age_ms = r->age_ms;
    }
    switch ((int)g->type) {
    case REQUEST_COUNT:
        add_count(g, shard, r);
        return ERR_OK;
    case REQUEST_BREAKDOWN:
        return add_groups(g, r);
    case REQUEST_REFRESH:
        return add_refreshed(g, r);
    case REQUEST_OVERLAP:
        return add_combos(g, r);
    case REQUEST_LIST:
        add_members(g, r);
        return ERR_OK;
    case REQUEST_EXPORT:
        g->answer.rows = arena_copy(&g->arena, r->rows);
        g->answer.n_rows = r->n_rows;
        g->answer.fields = g->command.fields;
        g->answer.n_fields = g->command.n_fields;
        return ERR_OK;
    case REQUEST_REFUSED:
        add_lines(g, shard, r);
        return ERR_OK;
    case REQUEST_CHECK:
        add_findings(g, shard, r);
        return ERR_OK;
    case REQUEST_LEAD:
        return ERR_OK;
    default:
        add_stats(g, shard, r);
        return ERR_OK;
    }
}

void fold_finish(struct gather *g)
{
    struct response *a = &g->answer;
    if (a->code != ERR_OK)
        return;
    if (g->type == REQUEST_BREAKDOWN) {
        join_groups(a);
        if (a->n_groups)
            qsort(a->groups, a->n_groups, sizeof *a->groups, by_members);
    }
    if (g->type == REQUEST_CHECK && a->n_carrying > 0)
        a->partial = true; /* for clients that know nothing of asking again */
    if (g->names_segments && g->catalogue)
        a->catalogue = g->catalogue->version;
}

enum error_code fold_segments(struct gather *g)
{
    struct response *a = &g->answer;
    const struct catalogue *c = g->catalogue;
    a->segments = arena_alloc(&g->arena, (c->n + 1) * sizeof *a->segments);
    if (!a->segments)
        return error_set(&g->err, ERR_NOMEM, "answer");
    for (size_t i = 0; i < c->n; i++) {
        const struct segment *s = c->entries[i].segment;
        if (g->name.len == 0 || bytes_equal(segment_name(s), g->name))
            a->segments[a->n_segments++] =
                (struct segment_row){segment_name(s), segment_text(s), c->entries[i].code};
    }
    a->catalogue = c->version;
    if (g->name.len && a->n_segments == 0)
        return error_set(&g->err, ERR_NOT_FOUND, "no such saved segment");
    return ERR_OK;
}
