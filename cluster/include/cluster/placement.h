/* Changes of the cluster map: nodes that come, go and are replaced.
 *
 * Pure functions of the map: every replica of shard 0 applies the same changes in the same order
 * and has the same map (meta group). A change says at once where everything is to be; then the
 * leader of each shard makes its group so, one member at a time (stand-by, catch-up, voter; last
 * goes who is not wanted), and reports it settled. So a task has no steps that a crash could lose,
 * and to cancel it is to want what was there before.
 *
 * Where things go:
 * - A replica is only ever wanted on a node that is IN.
 * - ADD: first each shard with fewer replicas than the map's `n_replicas` gets one on the new node;
 *   then the most loaded nodes give to it, each time in the place of the giver, until it has its
 *   share (all replicas / nodes IN, rounded down). So it gets first places too, up to its share of
 *   those; where what it got has fewer, it moves to the front. The same for a node that is DRAINED
 *   or IN already.
 * - DRAIN, REMOVE: in each shard the least loaded node that is free takes the place, the one of the
 *   lowest id among equals. Where none is free, REMOVE leaves the shard with fewer replicas.
 * - A newer task has its way: a shard that still moves for an older one becomes the newer one's,
 *   and the older task is done when it has none left. DRAIN, REMOVE and REPLACE take every shard
 *   that their node still holds, so that the node is empty when they are done.
 * - Whoever holds a shard stays among its holders until the shard is settled, wanted or not. Who is
 *   wanted again meanwhile is the same replica (`since`).
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
 * and REMOVE of a shard's last one); `other` is on a shard already that it should take; a node that
 * is LEAVING; REPLACE of one that is DRAINED; shards that move so much already that they have no
 * room, or MAP_TASKS_MAX tasks that run (wait or cancel). The message says which, and what helps.
 */
enum error_code placement_begin(struct cluster_map *m, const struct placement_request *q,
                                msec_t now_ms, uint32_t *task, struct error *err);
/* Wants back what was before the task, where that is not settled yet; what is settled stays (drain
 * or add again to undo it). A node that was to go is IN again; one that came in (ADD, `other` of a
 * REPLACE) and got nothing is DRAINED, so that the next task gives it nothing either, and `remove`
 * strikes it off. A node that another task drained or removes meanwhile gets nothing back: another
 * holder of the shard takes its place, or nobody where the shard has enough others.
 * The task is CANCELLING until its shards are settled. Cancelling twice is the same as once.
 * ERR_NOT_FOUND: no such task; ERR_CONFLICT: it is done. */
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
/* Does what the change says; `task` is the one of a BEGIN or CANCEL, else 0. Errors as above; the
 * epoch says whether the map changed. SEED and READ change nothing here: `m` is there. */
enum error_code placement_apply(struct cluster_map *m, const struct placement_change *c,
                                msec_t now_ms, uint32_t *task, struct error *err);
/* Appended to `out`; back, borrowing from `b`: ERR_MALFORMED. */
void placement_change_encode(const struct placement_change *c, struct buf *out);
enum error_code placement_change_decode(struct bytes b, struct placement_change *out,
                                        struct error *err);

/* Replicas that the node is wanted for, and how many of them should lead. */
size_t placement_load(const struct cluster_map *m, node_id node, size_t *n_first);

#endif
