#include "placement_plan.h"

/* --- a node that comes --- */

/* Shards with fewer replicas than they should have get one. */
static enum error_code fill(struct plan *p, node_id node, struct error *err)
{
    node_id nodes[CLUSTER_REPLICAS_MAX];
    for (shard_id i = 0; i < p->m->n_shards; i++) {
        size_t n = plan_wanted(p, i, nodes);
        if (n >= p->m->n_replicas || cluster_map_place(p->m, i, node) >= 0)
            continue;
        nodes[n] = node;
        enum error_code rc = plan_want(p, i, nodes, n + 1, err);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

/* The most loaded node that may give one to `to`; among equals the one that leads most, then the
 * lowest id. -1: none. */
static int donor_for(const struct plan *p, int to, const bool *tried)
{
    int best = -1;
    for (int i = 0; i < p->m->n_nodes; i++) {
        if (tried[i] || p->m->nodes[i].state != MAP_NODE_IN || p->load[i] < p->load[to] + 2)
            continue;
        if (best < 0 || p->load[i] > p->load[best] ||
            (p->load[i] == p->load[best] && p->first[i] > p->first[best]))
            best = i;
    }
    return best;
}

struct move {
    shard_id shard;
    int place, score; /* score: -1 none */
};

/* Which of its shards: one that it leads if `to` has not got its share of those, else one that it
 * follows; then one that `to` still has; then one that stands still. */
static struct move move_between(const struct plan *p, int from, int to, size_t share)
{
    struct move best = {.score = -1};
    node_id giver = p->m->nodes[from].id, taker = p->m->nodes[to].id;
    bool to_lead = p->first[to] < share && p->first[from] > p->first[to];
    for (shard_id i = 0; i < p->m->n_shards; i++) {
        int place = cluster_map_place(p->m, i, giver);
        if (place < 0 || cluster_map_place(p->m, i, taker) >= 0)
            continue;
        int score = 4 * ((place == 0) == to_lead) +
                    2 * (cluster_map_holder(p->m, i, taker) != NULL) + !p->m->shards[i].is_moving;
        if (score > best.score)
            best = (struct move){.shard = i, .place = place, .score = score};
    }
    return best;
}

static struct move move_to(const struct plan *p, int to, size_t share)
{
    bool tried[CLUSTER_NODES_MAX] = {false};
    for (int from; (from = donor_for(p, to, tried)) >= 0;) {
        struct move mv = move_between(p, from, to, share);
        if (mv.score >= 0)
            return mv;
        tried[from] = true;
    }
    return (struct move){.score = -1};
}

/* Until the node has its share of all replicas, or nobody can give it more. */
static enum error_code level(struct plan *p, int to, size_t share, struct error *err)
{
    node_id nodes[CLUSTER_REPLICAS_MAX];
    size_t total = 0, n_in = plan_nodes_in(p);
    for (size_t i = 0; i < p->m->n_shards; i++)
        total += p->m->shards[i].n_replicas;
    while (p->load[to] < total / n_in) {
        struct move mv = move_to(p, to, share);
        if (mv.score < 0)
            break;
        size_t n = plan_wanted(p, mv.shard, nodes);
        nodes[mv.place] = p->m->nodes[to].id;
        enum error_code rc = plan_want(p, mv.shard, nodes, n, err);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

/* The shard of this change whose leader leads most, where that is more than `to` will lead; -1. */
static int lead_to_take(const struct plan *p, int to)
{
    int best = -1, most = p->first[to] + 1;
    for (shard_id i = 0; i < p->m->n_shards; i++) {
        const struct map_shard *s = &p->m->shards[i];
        if (s->changed != p->m->epoch || cluster_map_place(p->m, i, p->m->nodes[to].id) < 1)
            continue;
        int leader = plan_node(p, s->holders[0].node);
        if (leader >= 0 && p->first[leader] > most) {
            best = i;
            most = p->first[leader];
        }
    }
    return best;
}

/* First places in what it has got, until it has its share of those. */
static enum error_code lead(struct plan *p, int to, size_t share, struct error *err)
{
    node_id nodes[CLUSTER_REPLICAS_MAX];
    while (p->first[to] < share) {
        int shard = lead_to_take(p, to);
        if (shard < 0)
            break;
        size_t n = plan_wanted(p, (shard_id)shard, nodes);
        int place = cluster_map_place(p->m, (shard_id)shard, p->m->nodes[to].id);
        memmove(&nodes[1], &nodes[0], (size_t)place * sizeof nodes[0]);
        nodes[0] = p->m->nodes[to].id;
        enum error_code rc = plan_want(p, (shard_id)shard, nodes, n, err);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

enum error_code plan_add(struct plan *p, const struct placement_request *q, struct error *err)
{
    enum error_code rc = plan_node_in(p, q->node, q->listen, err);
    if (rc != ERR_OK)
        return rc;
    int at = plan_node(p, q->node);
    size_t share = p->m->n_shards / plan_nodes_in(p);
    if ((rc = fill(p, q->node, err)) != ERR_OK || (rc = level(p, at, share, err)) != ERR_OK)
        return rc;
    return lead(p, at, share, err);
}

/* --- a node that goes --- */

/* The least loaded node that may take the shard, the lowest id among equals. 0: none. */
static node_id taker_of(const struct plan *p, shard_id shard)
{
    int best = -1;
    for (int i = 0; i < p->m->n_nodes; i++) {
        const struct map_node *of = &p->m->nodes[i];
        if (of->state != MAP_NODE_IN || cluster_map_place(p->m, shard, of->id) >= 0)
            continue;
        if (best < 0 || p->load[i] < p->load[best])
            best = i;
    }
    return best < 0 ? 0 : p->m->nodes[best].id;
}

static size_t without(node_id *nodes, size_t n, size_t at)
{
    memmove(&nodes[at], &nodes[at + 1], (n - at - 1) * sizeof nodes[0]);
    return n - 1;
}

static enum error_code leave_shard(struct plan *p, shard_id shard, node_id node, bool may_shrink,
                                   struct error *err)
{
    node_id nodes[CLUSTER_REPLICAS_MAX];
    size_t n = plan_wanted(p, shard, nodes);
    int at = cluster_map_place(p->m, shard, node);
    if (at >= 0) {
        node_id taker = taker_of(p, shard);
        if (!taker && (!may_shrink || n == 1))
            return error_set(err, ERR_CONFLICT,
                             "shard %u needs %zu other node%s to be on, there %s %zu: add a node "
                             "first",
                             shard, n, n == 1 ? "" : "s", n == 2 ? "is" : "are", n - 1);
        if (taker)
            nodes[at] = taker;
        else
            n = without(nodes, n, (size_t)at);
    }
    return plan_want(p, shard, nodes, n, err);
}

/* Takes over the shards too that another task moves away from the node: this one is done when the
 * node is empty. */
static enum error_code leave(struct plan *p, node_id node, bool may_shrink, struct error *err)
{
    for (shard_id i = 0; i < p->m->n_shards; i++) {
        if (!cluster_map_holder(p->m, i, node))
            continue;
        enum error_code rc = leave_shard(p, i, node, may_shrink, err);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

enum error_code plan_drain(struct plan *p, const struct placement_request *q, struct error *err)
{
    p->m->nodes[plan_node(p, q->node)].state = MAP_NODE_DRAINED;
    return leave(p, q->node, false, err);
}

enum error_code plan_remove(struct plan *p, const struct placement_request *q, struct error *err)
{
    p->m->nodes[plan_node(p, q->node)].state = MAP_NODE_LEAVING;
    return leave(p, q->node, true, err);
}

/* --- one for another --- */

static enum error_code replace_in(struct plan *p, shard_id shard, const struct placement_request *q,
                                  struct error *err)
{
    node_id nodes[CLUSTER_REPLICAS_MAX];
    size_t n = plan_wanted(p, shard, nodes);
    int at = cluster_map_place(p->m, shard, q->node);
    if (at >= 0 && cluster_map_place(p->m, shard, q->other) >= 0)
        return error_set(err, ERR_CONFLICT,
                         "node %u is on shard %u already, in which it should take the place of "
                         "node %u: take a node that shares no shard with it, or remove node %u",
                         q->other, shard, q->node, q->node);
    if (at >= 0)
        nodes[at] = q->other;
    return plan_want(p, shard, nodes, n, err);
}

enum error_code plan_replace(struct plan *p, const struct placement_request *q, struct error *err)
{
    enum error_code rc = plan_node_in(p, q->other, q->listen, err);
    if (rc != ERR_OK)
        return rc;
    p->m->nodes[plan_node(p, q->node)].state = MAP_NODE_LEAVING;
    for (shard_id i = 0; i < p->m->n_shards; i++) {
        if (!cluster_map_holder(p->m, i, q->node))
            continue;
        if ((rc = replace_in(p, i, q, err)) != ERR_OK)
            return rc;
    }
    return ERR_OK;
}
