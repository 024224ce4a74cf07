#include "placement_plan.h"

/* --- loads --- */

static void count_shard(struct plan *p, const struct map_shard *s, int by)
{
    for (size_t i = 0; i < s->n_replicas; i++) {
        int at = plan_node(p, s->holders[i].node);
        if (at < 0)
            continue;
        p->load[at] = (uint16_t)(p->load[at] + by);
        if (i == 0)
            p->first[at] = (uint16_t)(p->first[at] + by);
    }
}

static void count_all(struct plan *p)
{
    memset(p->load, 0, sizeof p->load);
    memset(p->first, 0, sizeof p->first);
    for (size_t i = 0; i < p->m->n_shards; i++)
        count_shard(p, &p->m->shards[i], 1);
}

void plan_open(struct plan *p, struct cluster_map *m, uint32_t task)
{
    p->m = m;
    p->task = task;
    p->n_changed = 0;
    m->epoch++;
    count_all(p);
}

size_t placement_load(const struct cluster_map *m, node_id node, size_t *n_first)
{
    size_t n = 0;
    *n_first = 0;
    for (shard_id i = 0; i < m->n_shards; i++) {
        int at = cluster_map_place(m, i, node);
        n += at >= 0;
        *n_first += at == 0;
    }
    return n;
}

/* --- nodes --- */

int plan_node(const struct plan *p, node_id id)
{
    const struct map_node *of = cluster_map_node(p->m, id);
    return of ? (int)(of - p->m->nodes) : -1;
}

size_t plan_nodes_in(const struct plan *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->m->n_nodes; i++)
        n += p->m->nodes[i].state == MAP_NODE_IN;
    return n;
}

static void register_node(struct cluster_map *m, node_id id, struct bytes listen)
{
    size_t at = m->n_nodes++;
    for (; at > 0 && m->nodes[at - 1].id > id; at--)
        m->nodes[at] = m->nodes[at - 1];
    m->nodes[at] = (struct map_node){.id = id, .state = MAP_NODE_IN};
    memcpy(m->nodes[at].listen, listen.data, listen.len);
}

enum error_code plan_node_in(struct plan *p, node_id id, struct bytes listen, struct error *err)
{
    int at = plan_node(p, id);
    if (at >= 0) {
        p->m->nodes[at].state = MAP_NODE_IN;
        return ERR_OK;
    }
    if (p->m->n_nodes == CLUSTER_NODES_MAX)
        return error_set(err, ERR_CONFLICT, "the cluster has %d nodes, which is the most",
                         CLUSTER_NODES_MAX);
    register_node(p->m, id, listen);
    count_all(p);
    return ERR_OK;
}

static bool holds_anything(const struct cluster_map *m, node_id id)
{
    for (shard_id i = 0; i < m->n_shards; i++) {
        if (cluster_map_holder(m, i, id))
            return true;
    }
    return false;
}

void plan_strike_off(struct cluster_map *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_nodes; i++) {
        if (m->nodes[i].state != MAP_NODE_LEAVING || holds_anything(m, m->nodes[i].id))
            m->nodes[n++] = m->nodes[i];
    }
    /* Nothing behind the end, so that equal maps are equal bytes. */
    memset(&m->nodes[n], 0, (m->n_nodes - n) * sizeof m->nodes[0]);
    m->n_nodes = (uint16_t)n;
}

/* --- shards --- */

size_t plan_wanted(const struct plan *p, shard_id shard, node_id *out)
{
    const struct map_shard *s = &p->m->shards[shard];
    for (size_t i = 0; i < s->n_replicas; i++)
        out[i] = s->holders[i].node;
    return s->n_replicas;
}

static bool is_among(const node_id *nodes, size_t n, node_id node)
{
    for (size_t i = 0; i < n; i++) {
        if (nodes[i] == node)
            return true;
    }
    return false;
}

/* Those that are wanted, then all others that hold the shard: they are to be given up. */
static enum error_code line_up(const struct plan *p, shard_id shard, const node_id *nodes, size_t n,
                               struct map_shard *out, struct error *err)
{
    const struct map_shard *s = &p->m->shards[shard];
    *out = (struct map_shard){.n_replicas = (uint8_t)n, .n_holders = (uint8_t)n};
    for (size_t i = 0; i < n; i++) {
        const struct map_replica *had = cluster_map_holder(p->m, shard, nodes[i]);
        out->holders[i] =
            had ? *had : (struct map_replica){.node = nodes[i], .since = (uint32_t)p->m->epoch};
    }
    for (size_t i = 0; i < s->n_holders; i++) {
        if (is_among(nodes, n, s->holders[i].node))
            continue;
        if (out->n_holders == MAP_HOLDERS_MAX)
            return error_set(err, ERR_CONFLICT,
                             "shard %u is on its way between %d nodes, which is the most: wait "
                             "until it is settled, or cancel task %u",
                             shard, MAP_HOLDERS_MAX, s->task);
        out->holders[out->n_holders++] = s->holders[i];
    }
    return ERR_OK;
}

enum error_code plan_want(struct plan *p, shard_id shard, const node_id *nodes, size_t n,
                          struct error *err)
{
    struct map_shard *s = &p->m->shards[shard], next;
    enum error_code rc = line_up(p, shard, nodes, n, &next, err);
    if (rc != ERR_OK)
        return rc;
    next.is_moving = true;
    next.task = p->task;
    next.changed = p->m->epoch;
    p->n_changed = (uint16_t)(p->n_changed + (s->changed != next.changed));
    count_shard(p, s, -1);
    *s = next;
    count_shard(p, s, 1);
    return ERR_OK;
}

/* --- tasks --- */

void plan_end_tasks(struct cluster_map *m, msec_t now_ms)
{
    for (size_t i = 0; i < m->n_tasks; i++) {
        struct map_task *t = &m->tasks[i];
        bool goes_on = t->state == MAP_TASK_RUNNING || t->state == MAP_TASK_CANCELLING;
        if (!goes_on || cluster_map_task_left(m, t->id) > 0)
            continue;
        t->state = t->state == MAP_TASK_RUNNING ? MAP_TASK_DONE : MAP_TASK_CANCELLED;
        t->ended_ms = now_ms;
    }
}
