/* The cluster map: which shard owns a slot, which nodes hold a shard, under which epoch.
 *
 * Computed evenly at the first start, kept by the nodes, served to routers. A value: copy freely.
 */
#ifndef CLUSTER_MAP_H
#define CLUSTER_MAP_H

#include <base/bytes.h>
#include <base/error.h>
#include <cluster/config.h>

struct cluster_map {
    uint64_t epoch;      /* from 1; rises with every change */
    uint64_t cluster_id; /* XXH3-64 of the cluster's name */
    uint16_t n_shards;
    shard_id shard_of_slot[SLOT_COUNT];
    uint8_t n_replicas[CLUSTER_SHARDS_MAX]; /* of each shard, from 1 */
    /* The nodes that hold it; the first one is where its leader should be. */
    node_id nodes_of_shard[CLUSTER_SHARDS_MAX][CLUSTER_REPLICAS_MAX];
};

/* The map of a first start: contiguous, even slot ranges; shards dealt to nodes in turn, further
 * replicas to the nodes that follow. */
void cluster_map_init(struct cluster_map *m, const struct cluster_config *c);
/* Are the same slots on the same shards, and these on the same nodes? Epochs may differ. */
bool cluster_map_deals_alike(const struct cluster_map *a, const struct cluster_map *b);
/* The place of a node among those that hold the shard; -1: it does not. */
int cluster_map_place(const struct cluster_map *m, shard_id shard, node_id node);
/* Portable form (run-length coded, versioned, check-summed), appended to `out`, and back.
 * Decoding: ERR_CORRUPT, or ERR_MISMATCH for another version of the form; `out` is then undefined.
 */
void cluster_map_encode(const struct cluster_map *m, struct buf *out);
enum error_code cluster_map_decode(struct bytes b, struct cluster_map *out, struct error *err);

#endif
