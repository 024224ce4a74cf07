/* The cluster map as applications see it, and changes of it. */
#include "parts.h"

#include <cluster/placement.h>

#include <stdlib.h>

/* --- the map --- */

static const char *text_of(struct arena *a, const char *text)
{
    struct bytes copy = arena_copy(a, bytes_of(text, strlen(text) + 1));
    return (const char *)copy.data;
}

static struct oneid_map_node *nodes_of(struct arena *a, const struct cluster_map *m)
{
    struct oneid_map_node *to = arena_zalloc(a, (m->n_nodes + 1U) * sizeof *to);
    for (size_t i = 0; to && i < m->n_nodes; i++) {
        const struct map_node *from = &m->nodes[i];
        to[i] = (struct oneid_map_node){.node = from->id,
                                        .state = (enum oneid_node_state)from->state,
                                        .endpoint = text_of(a, from->listen)};
        if (!to[i].endpoint)
            return NULL;
    }
    return to;
}

static struct oneid_map_node *node_of(struct oneid_map_node *nodes, size_t n, uint16_t id)
{
    for (size_t i = 0; i < n; i++) {
        if (nodes[i].node == id)
            return &nodes[i];
    }
    return NULL;
}

static void count_replicas(const struct cluster_map *m, struct oneid_map_node *nodes)
{
    for (size_t s = 0; s < m->n_shards; s++) {
        const struct map_shard *shard = &m->shards[s];
        for (size_t i = 0; i < shard->n_holders; i++) {
            struct oneid_map_node *n = node_of(nodes, m->n_nodes, shard->holders[i].node);
            if (!n)
                continue;
            n->replicas += i < shard->n_replicas;
            n->leaving += i >= shard->n_replicas;
            n->leads += i == 0;
        }
    }
}

static struct oneid_task *tasks_of(struct arena *a, const struct cluster_map *m)
{
    struct oneid_task *to = arena_zalloc(a, (m->n_tasks + 1U) * sizeof *to);
    for (size_t i = 0; to && i < m->n_tasks; i++) {
        const struct map_task *from = &m->tasks[i];
        to[i] = (struct oneid_task){.id = from->id,
                                    .kind = (enum oneid_task_kind)from->kind,
                                    .state = (enum oneid_task_state)from->state,
                                    .node = from->node,
                                    .other = from->other,
                                    .n_shards = from->n_shards,
                                    .left = (uint32_t)cluster_map_task_left(m, from->id),
                                    .began_ms = from->began_ms,
                                    .ended_ms = from->ended_ms};
    }
    return to;
}

static struct oneid_holder *holders_of(struct arena *a, const struct map_shard *s)
{
    struct oneid_holder *to = arena_zalloc(a, (s->n_holders + 1U) * sizeof *to);
    for (size_t i = 0; to && i < s->n_holders; i++)
        to[i] = (struct oneid_holder){s->holders[i].node, i < s->n_replicas,
                                      s->holders[i].settled != 0};
    return to;
}

static struct oneid_placement *shards_of(struct arena *a, const struct cluster_map *m)
{
    struct oneid_placement *to = arena_zalloc(a, (m->n_shards + 1U) * sizeof *to);
    for (size_t i = 0; to && i < m->n_shards; i++) {
        const struct map_shard *from = &m->shards[i];
        to[i] = (struct oneid_placement){.shard = (uint16_t)i,
                                         .moving = from->is_moving,
                                         .task = from->task,
                                         .holders = holders_of(a, from),
                                         .n_holders = from->n_holders};
        if (!to[i].holders)
            return NULL;
    }
    return to;
}

static const struct oneid_map *map_of(struct arena *a, const struct cluster_map *m)
{
    struct oneid_map *to = arena_zalloc(a, sizeof *to);
    struct oneid_map_node *nodes = nodes_of(a, m);
    struct oneid_task *tasks = tasks_of(a, m);
    struct oneid_placement *shards = shards_of(a, m);
    if (!to || !nodes || !tasks || !shards)
        return NULL;
    count_replicas(m, nodes);
    *to = (struct oneid_map){.epoch = m->epoch,
                             .n_replicas = m->n_replicas,
                             .nodes = nodes,
                             .n_nodes = m->n_nodes,
                             .tasks = tasks,
                             .n_tasks = m->n_tasks,
                             .shards = shards,
                             .n_shards = m->n_shards};
    return to;
}

bool map_build(const struct response *r, struct arena *arena, struct oneid_result *out)
{
    if (r->map.len == 0)
        return true;
    struct cluster_map *m = malloc(sizeof *m);
    if (!m)
        return false;
    bool ok = true;
    if (cluster_map_decode(r->map, m, NULL) == ERR_OK) {
        out->map = map_of(arena, m);
        ok = out->map != NULL;
    } else {
        out->code = ONEID_ERR_INTERNAL;
        out->text = "the cluster map cannot be read: it is of another version";
    }
    free(m);
    return ok;
}

/* --- changes --- */

static struct oneid_result *change(struct oneid_client *c, const struct placement_change *p)
{
    struct buf b = {0};
    placement_change_encode(p, &b);
    struct request r = {.type = REQUEST_NODE_TASK, .change = buf_bytes(&b)};
    struct oneid_result *result = blocking_run(c, &r);
    buf_free(&b);
    return result;
}

static struct oneid_result *begin(struct oneid_client *c, enum map_task_kind kind, uint16_t node,
                                  uint16_t other, const char *endpoint)
{
    struct placement_change p = {
        .op = PLACEMENT_BEGIN,
        .request = {kind, node, other, bytes_of_str(endpoint ? endpoint : "")}};
    return change(c, &p);
}

struct oneid_result *oneid_nodes(struct oneid_client *c, bool known)
{
    struct request r = {.type = REQUEST_NODES, .stale_ok = known};
    return blocking_run(c, &r);
}

struct oneid_result *oneid_node_add(struct oneid_client *c, uint16_t node, const char *endpoint)
{
    return begin(c, MAP_TASK_ADD, node, 0, endpoint);
}

struct oneid_result *oneid_node_drain(struct oneid_client *c, uint16_t node)
{
    return begin(c, MAP_TASK_DRAIN, node, 0, NULL);
}

struct oneid_result *oneid_node_remove(struct oneid_client *c, uint16_t node)
{
    return begin(c, MAP_TASK_REMOVE, node, 0, NULL);
}

struct oneid_result *oneid_node_replace(struct oneid_client *c, uint16_t node, uint16_t other,
                                        const char *endpoint)
{
    return begin(c, MAP_TASK_REPLACE, node, other, endpoint);
}

struct oneid_result *oneid_node_cancel(struct oneid_client *c, uint32_t task)
{
    struct placement_change p = {.op = PLACEMENT_CANCEL, .task = task};
    return change(c, &p);
}
