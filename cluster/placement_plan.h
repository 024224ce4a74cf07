/* A change of the map that is being made: on a copy, so that one that fails changes nothing.
 * Shared by the files of placement; private to cluster/. */
#ifndef CLUSTER_PLACEMENT_PLAN_H
#define CLUSTER_PLACEMENT_PLAN_H

#include <cluster/placement.h>

struct plan {
    struct cluster_map *m; /* the copy; its epoch is the new one already */
    uint32_t task;         /* whose shards are changed */
    uint16_t n_changed;    /* shards, so far */
    uint16_t load[CLUSTER_NODES_MAX], first[CLUSTER_NODES_MAX]; /* of m->nodes: wanted, led */
};

/* Begins a change of `m` and counts what its nodes have. */
void plan_open(struct plan *p, struct cluster_map *m, uint32_t task);
/* The node's place in m->nodes; -1: it is not there. */
int plan_node(const struct plan *p, node_id id);
/* Makes the node IN: one that is not there with that endpoint, which has been checked to be nobody
 * else's. ERR_CONFLICT: no room. */
enum error_code plan_node_in(struct plan *p, node_id id, struct bytes listen, struct error *err);
/* The shard is to be on these nodes, the first one leading, and its task is that of the plan.
 * ERR_CONFLICT: no room for so many that come and go. */
enum error_code plan_want(struct plan *p, shard_id shard, const node_id *nodes, size_t n,
                          struct error *err);
/* What the shard wants now; `out` has room for CLUSTER_REPLICAS_MAX. */
size_t plan_wanted(const struct plan *p, shard_id shard, node_id *out);
size_t plan_nodes_in(const struct plan *p);

/* Strikes off the nodes that are LEAVING and hold nothing. */
void plan_strike_off(struct cluster_map *m);
/* Ends the tasks that have no shard left. */
void plan_end_tasks(struct cluster_map *m, msec_t now_ms);

/* What each kind of task does (placement_moves.c). The request has been checked. */
enum error_code plan_add(struct plan *p, const struct placement_request *q, struct error *err);
enum error_code plan_drain(struct plan *p, const struct placement_request *q, struct error *err);
enum error_code plan_remove(struct plan *p, const struct placement_request *q, struct error *err);
enum error_code plan_replace(struct plan *p, const struct placement_request *q, struct error *err);

#endif
