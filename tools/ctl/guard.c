#include "guard.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SILENT_MAX = 16 };

/* What one shard says of its members, if anybody does. */
struct group {
    const struct oneid_replica *by; /* NULL: nobody answers for it */
    bool is_led;
};

/* Nodes that do not answer, each once. */
struct silent {
    uint16_t nodes[SILENT_MAX];
    size_t n;
};

static void put(char *text, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void put(char *text, size_t size, const char *fmt, ...)
{
    size_t at = strlen(text);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text + at, size - at, fmt, args);
    va_end(args);
}

static void add_silent(struct silent *s, uint16_t node)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->nodes[i] == node)
            return;
    }
    if (s->n < SILENT_MAX)
        s->nodes[s->n++] = node;
}

/* The leader, else the replica that knows the newest term. */
static struct group group_of(const struct survey *v, uint16_t shard)
{
    const struct oneid_result *any = survey_any(v);
    uint16_t node = 0;
    struct group g = {.by = survey_leader(v, shard, &node)};
    g.is_led = g.by != NULL;
    for (size_t i = 0; any && !g.is_led && i < any->n_nodes; i++) {
        const struct oneid_replica *r = survey_replica(survey_node(v, any->nodes[i].node), shard);
        if (r && (!g.by || r->term > g.by->term))
            g.by = r;
    }
    return g;
}

static bool answers_for(const struct survey *v, uint16_t node, uint16_t shard)
{
    return survey_replica(survey_node(v, node), shard) != NULL;
}

/* Would the shard go on? */
static bool would_go_on(const struct survey *v, uint16_t node, uint16_t shard,
                        struct silent *silent)
{
    struct group g = group_of(v, shard);
    size_t n_remain = 0, n_answer = 0;
    for (size_t i = 0; g.by && i < g.by->n_members; i++) {
        const struct oneid_member *m = &g.by->members[i];
        if (m->role != ONEID_VOTER || m->node == node)
            continue;
        n_remain++;
        if (answers_for(v, m->node, shard))
            n_answer++;
        else
            add_silent(silent, m->node);
    }
    if (n_remain > 0)
        return 2 * n_answer > n_remain;
    if (g.is_led && answers_for(v, node, shard))
        return true; /* its data goes elsewhere first */
    add_silent(silent, node);
    return false;
}

static bool holds(const struct oneid_placement *p, uint16_t node)
{
    for (size_t i = 0; i < p->n_holders; i++) {
        if (p->holders[i].node == node)
            return true;
    }
    return false;
}

static size_t n_named(const struct guard *g)
{
    size_t most = sizeof g->shards / sizeof g->shards[0];
    return g->n_shards < most ? g->n_shards : most;
}

static void tell(const struct survey *v, uint16_t node, const struct silent *silent,
                 struct guard *g)
{
    put(g->what, sizeof g->what, "shard%s", g->n_shards == 1 ? "" : "s");
    for (size_t i = 0; i < n_named(g); i++)
        put(g->what, sizeof g->what, "%s %u", i ? "," : "", g->shards[i]);
    if (g->n_shards > n_named(g))
        put(g->what, sizeof g->what, " and %zu more", g->n_shards - n_named(g));
    put(g->what, sizeof g->what, " would have no majority without node %u", node);
    for (size_t i = 0; i < silent->n; i++) {
        const struct oneid_node *n = survey_node(v, silent->nodes[i]);
        put(g->what, sizeof g->what, "%s node %u %s", i ? "," : ":", silent->nodes[i],
            n ? "does not have it yet" : "does not answer");
    }
    if (silent->n == 1 && silent->nodes[0] == node)
        put(g->help, sizeof g->help,
            "nobody else has them: start node %u, whose data goes elsewhere before it leaves",
            node);
    else if (silent->n > 0)
        put(g->help, sizeof g->help,
            "start node %u, or replace it first: oneidctl node replace %u NEW ENDPOINT",
            silent->nodes[0], silent->nodes[0]);
    else
        put(g->help, sizeof g->help, "see oneidctl check");
}

bool guard_removal(const struct survey *v, uint16_t node, struct guard *out)
{
    const struct oneid_map *m = survey_map(v);
    struct silent silent = {.n = 0};
    *out = (struct guard){.n_shards = 0};
    for (size_t i = 0; m && i < m->n_shards; i++) {
        uint16_t shard = m->shards[i].shard;
        if (!holds(&m->shards[i], node) || would_go_on(v, node, shard, &silent))
            continue;
        size_t at = out->n_shards++;
        if (at < n_named(out))
            out->shards[at] = shard;
    }
    if (out->n_shards > 0)
        tell(v, node, &silent, out);
    return out->n_shards == 0;
}
