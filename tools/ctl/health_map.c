/* What the cluster map says that should not stay so. */
#include "health_parts.h"

#include "node.h"

#include <stdio.h>

/* --- tasks --- */

static bool goes_on(const struct oneid_task *t)
{
    return t->left > 0 && (t->state == ONEID_TASK_RUNNING || t->state == ONEID_TASK_CANCELLING);
}

static void task_waits(struct look *l, const struct oneid_task *t, uint16_t node, size_t n_shards)
{
    char what[64];
    struct finding *f = finding_add(l, FINDING_TASK_WAITS);
    f->node = node;
    task_describe(t, what, sizeof what);
    finding_says(f, "task %u (%s) waits with %zu of its shards for node %u, which does not answer",
                 t->id, what, n_shards, node);
    if (t->state == ONEID_TASK_RUNNING)
        finding_mend(f,
                     "start it: oneid-node -c FILE -n %u; or take the task back: oneidctl node "
                     "cancel %u",
                     node, t->id);
    else
        finding_mend(f, "start it: oneid-node -c FILE -n %u", node);
}

/* Shards that the task still moves and that want this node. */
static size_t shards_for(const struct oneid_map *m, const struct oneid_task *t, uint16_t node)
{
    size_t n = 0;
    for (size_t s = 0; s < m->n_shards; s++) {
        const struct oneid_placement *p = &m->shards[s];
        for (size_t i = 0; i < p->n_holders && p->moving && p->task == t->id; i++)
            n += p->holders[i].node == node && p->holders[i].wanted;
    }
    return n;
}

static void check_task(struct look *l, const struct oneid_task *t)
{
    for (size_t i = 0; i < l->map->n_nodes; i++) {
        uint16_t node = l->map->nodes[i].node;
        size_t n = survey_node(l->v, node) ? 0 : shards_for(l->map, t, node);
        if (n > 0)
            task_waits(l, t, node, n);
    }
}

/* --- replicas --- */

static size_t count_wanted(const struct oneid_placement *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_holders; i++)
        n += p->holders[i].wanted;
    return n;
}

static void check_replicas(struct look *l)
{
    size_t n = 0, first = 0;
    for (size_t s = l->map->n_shards; s-- > 0;) {
        if (count_wanted(&l->map->shards[s]) >= l->map->n_replicas)
            continue;
        n++;
        first = s;
    }
    if (n == 0)
        return;
    struct finding *f = finding_add(l, FINDING_FEW_REPLICAS);
    finding_says(f,
                 "%zu shards (shard %zu is the first) have fewer than %u replicas: there are too "
                 "few nodes",
                 n, first, l->map->n_replicas);
    finding_mend(f, "oneidctl node add ID ENDPOINT");
}

/* --- the cluster file --- */

static bool is_in_map(const struct oneid_map *m, uint16_t node)
{
    for (size_t i = 0; i < m->n_nodes; i++) {
        if (m->nodes[i].node == node)
            return true;
    }
    return false;
}

static bool is_named(const struct cluster_config *c, uint16_t node)
{
    for (size_t i = 0; i < c->n_nodes; i++) {
        if (c->nodes[i].id == node)
            return true;
    }
    return false;
}

static void check_file(struct look *l)
{
    const struct cluster_config *c = l->v->config;
    for (size_t i = 0; c && i < l->map->n_nodes; i++) {
        const struct oneid_map_node *n = &l->map->nodes[i];
        if (is_named(c, n->node) || n->state == ONEID_NODE_LEAVING)
            continue;
        struct finding *f = finding_add(l, FINDING_NODE_NOT_NAMED);
        f->node = n->node;
        finding_says(f, "the cluster has node %u at %.100s, which this cluster file does not name",
                     n->node, n->endpoint);
        finding_mend(f, "write it there, under nodes: {id: %u, listen: %.100s}", n->node,
                     n->endpoint);
    }
    for (size_t i = 0; c && i < c->n_nodes; i++) {
        if (is_in_map(l->map, c->nodes[i].id))
            continue;
        struct finding *f = finding_add(l, FINDING_NODE_NOT_ADDED);
        f->node = c->nodes[i].id;
        finding_says(f, "the cluster file names node %u, which the cluster does not have",
                     c->nodes[i].id);
        finding_mend(f, "oneidctl node add %u %.100s; or take it out of the file", c->nodes[i].id,
                     c->nodes[i].listen);
    }
}

void health_check_map(struct look *l)
{
    if (!l->map)
        return;
    for (size_t i = 0; i < l->map->n_tasks; i++) {
        if (goes_on(&l->map->tasks[i]))
            check_task(l, &l->map->tasks[i]);
    }
    check_replicas(l);
    check_file(l);
}
