/* Changes of the cluster map: nodes that come, go and are replaced.
 *
 * Pure functions of the map: every replica of shard 0 applies the same changes in the same order
 * and has the same map (meta group). A change says at once where everything is to be; then the
 * leader of each shard makes its group so, one member at a time (stand-by, catch-up, voter; last
 * goes who is not wanted), and reports it settled. So a task has no steps that a crash could lose,
 * and to cancel it is to want what was there before.
 *
 * Every function that changes the map raises its epoch by one; one that fails changes nothing.
 */
#ifndef CLUSTER_PLACEMENT_H
#define CLUSTER_PLACEMENT_H

#include <cluster/map.h>

/* What is asked for. `listen` where a node comes in (ADD; REPLACE: of `other`; may be empty where
 * the map has that node already); else empty. */
struct placement_request {
    enum map_task_kind kind;
    node_id node, other;
    struct bytes listen;
};

/* Begins a task and sets its id. The same request again is the same task, as long as nothing has
 * undone it: so a request whose answer was lost may be repeated.
 * ERR_INVALID (ids, endpoint), ERR_NOT_FOUND (no such node), ERR_CONFLICT: a node of that id with
 * another endpoint, or another node with that endpoint; too few nodes to take the replicas (DRAIN,
 * and REMOVE of a shard's last one); `other` already holds what it should take; shards that move so
 * much already that they have no room (wait or cancel). The message says which, and what helps. */
enum error_code placement_begin(struct cluster_map *m, const struct placement_request *q,
                                msec_t now_ms, uint32_t *task, struct error *err);
/* Wants back what was before the task, where that is not settled yet; what is settled stays (drain
 * or add again to undo it). Cancelling twice is the same as once. ERR_NOT_FOUND: no such task;
 * ERR_CONFLICT: it has ended. */
enum error_code placement_cancel(struct cluster_map *m, uint32_t task, msec_t now_ms,
                                 struct error *err);
/* The group of the shard is as the map of epoch `changed` wants it. False: that is not what is
 * wanted (any more), and nothing changed. Ends the task when it was its last shard, and strikes off
 * nodes that are LEAVING and hold nothing. */
bool placement_settle(struct cluster_map *m, shard_id shard, uint64_t changed, msec_t now_ms);

/* A change as it travels in a command (COMMAND_MAP) and is asked for by clients: the same form. */
enum placement_op {
    PLACEMENT_SEED = 1,   /* the map of the first start: shard 0 takes it if it has none */
    PLACEMENT_BEGIN = 2,  /* a task */
    PLACEMENT_CANCEL = 3, /* `task` */
    PLACEMENT_SETTLE = 4, /* `shard`, as of `changed` */
    PLACEMENT_READ = 5    /* changes nothing: the answer is the map */
};
struct placement_change {
    enum placement_op op;
    struct bytes map;                 /* SEED: an encoded one */
    struct placement_request request; /* BEGIN */
    uint32_t task;                    /* CANCEL */
    shard_id shard;                   /* SETTLE */
    uint64_t changed;
};
/* Appended to `out`; back, borrowing from `b`: ERR_MALFORMED. */
void placement_change_encode(const struct placement_change *c, struct buf *out);
enum error_code placement_change_decode(struct bytes b, struct placement_change *out,
                                        struct error *err);

/* Replicas that the node is wanted for, and how many of them should lead. */
size_t placement_load(const struct cluster_map *m, node_id node, size_t *n_first);

#endif
