/* The cluster map: which shard owns a slot, which nodes there are, which of them hold a shard, and
 * the tasks that change that, under one epoch.
 *
 * Made evenly at the first start. Later changes (placement.h) are commands in the log of shard 0,
 * whose state keeps the map; nodes tell each other of a newer epoch, and routers ask nodes. A map
 * is only ever replaced by one of a later epoch. A value: copy freely, but it is large (200 KB).
 */
#ifndef CLUSTER_MAP_H
#define CLUSTER_MAP_H

#include <base/bytes.h>
#include <base/clock.h>
#include <base/error.h>
#include <cluster/config.h>

enum {
    MAP_HOLDERS_MAX = 16,  /* of one shard, those that come and go counted */
    MAP_TASKS_MAX = 32,    /* the newest ones are remembered */
    MAP_ENDPOINT_MAX = 128 /* with the NUL */
};

/* A node's part in the map. */
enum map_node_state {
    MAP_NODE_IN = 0,
    MAP_NODE_DRAINED = 1, /* gets no replicas; those that it has are on their way elsewhere */
    MAP_NODE_LEAVING = 2  /* the same, and then it is struck off */
};
struct map_node {
    node_id id;
    enum map_node_state state;
    char listen[MAP_ENDPOINT_MAX]; /* as in the cluster file */
};

/* A node that holds a shard, or is to. `since` makes the replica's id (meta/members.h): whoever
 * gives a shard up and gets it back is another replica, which does not know what the first one
 * promised. */
struct map_replica {
    uint32_t since; /* the epoch that gave it the shard; 0: it founded it */
    node_id node;
    uint8_t settled; /* 1 + its place when the shard was last settled; 0: it had none */
};

struct map_shard {
    uint8_t n_replicas; /* that are wanted: the first of `holders`. From 1 */
    uint8_t n_holders;  /* behind those: what is still to be given up, none once it is settled */
    bool is_moving;     /* its group has not yet been seen to be as wanted */
    uint32_t task;      /* that changed it last; 0: none ever did */
    uint64_t changed;   /* the epoch of that; 0: likewise */
    /* The first one is where its leader should be. */
    struct map_replica holders[MAP_HOLDERS_MAX];
};

enum map_task_kind {
    MAP_TASK_ADD = 1,    /* `node` comes in and gets its share of replicas */
    MAP_TASK_DRAIN = 2,  /* the replicas of `node` go to others; it stays, empty */
    MAP_TASK_REMOVE = 3, /* likewise, and it is struck off; where nobody else is free, its shards go
                            on with fewer */
    MAP_TASK_REPLACE = 4, /* `other` takes the place of `node` in each shard, which is struck off */
    MAP_TASK_KINDS
};
enum map_task_state {
    MAP_TASK_RUNNING = 1,
    MAP_TASK_DONE = 2,
    MAP_TASK_CANCELLING = 3, /* what it moved is on its way back */
    MAP_TASK_CANCELLED = 4
};
struct map_task {
    uint32_t id; /* from 1 */
    enum map_task_kind kind;
    enum map_task_state state;
    node_id node, other;       /* other: REPLACE, else 0 */
    uint16_t n_shards;         /* that it changed; see cluster_map_task_left */
    msec_t began_ms, ended_ms; /* wall clock; ended 0: not yet */
};

struct cluster_map {
    uint64_t epoch;      /* from 1; rises with every change. 0: nothing is known */
    uint64_t cluster_id; /* XXH3-64 of the cluster's name */
    uint16_t n_shards;
    uint8_t n_replicas; /* that each shard should have */
    uint32_t last_task; /* the newest id that was given; 0: none */
    uint16_t n_nodes, n_tasks;
    shard_id shard_of_slot[SLOT_COUNT]; /* never changes */
    struct map_shard shards[CLUSTER_SHARDS_MAX];
    struct map_node nodes[CLUSTER_NODES_MAX]; /* by rising id */
    struct map_task tasks[MAP_TASKS_MAX];     /* by rising id */
};

/* The map of a first start: contiguous, even slot ranges; shards dealt to nodes in turn, further
 * replicas to the nodes that follow. */
void cluster_map_init(struct cluster_map *m, const struct cluster_config *c);
/* NULL: there is none. */
const struct map_node *cluster_map_node(const struct cluster_map *m, node_id id);
const struct map_task *cluster_map_task(const struct cluster_map *m, uint32_t id);
/* The place of a node among those that the shard wants; -1: it is none of them. */
int cluster_map_place(const struct cluster_map *m, shard_id shard, node_id node);
/* What holds the shard on that node, wanted or still to be given up; NULL: nothing. */
const struct map_replica *cluster_map_holder(const struct cluster_map *m, shard_id shard,
                                             node_id node);
/* How many shards of a task are not yet as it wants them. */
size_t cluster_map_task_left(const struct cluster_map *m, uint32_t task);
/* Of the whole map; nodes of one epoch have the same. */
uint64_t cluster_map_digest(const struct cluster_map *m);
/* Portable form (run-length coded, versioned, check-summed), appended to `out`, and back.
 * Decoding: ERR_CORRUPT, or ERR_MISMATCH for another version of the form; `out` is then undefined.
 */
void cluster_map_encode(const struct cluster_map *m, struct buf *out);
enum error_code cluster_map_decode(struct bytes b, struct cluster_map *out, struct error *err);

#endif
