/* The node's own copy of the cluster map, in its log: what it goes on with at the next start. The
 * first one is made of the cluster file by those who found the cluster, later ones come from shard
 * 0. Checked against the cluster file, so that a node never serves a folder under a layout that it
 * was not written with. */
#ifndef META_META_H
#define META_META_H

#include <cluster/map.h>
#include <wal/wal.h>

/* ERR_NOT_FOUND: there is none yet. ERR_MISMATCH: it disagrees with the cluster file (name, number
 * of shards, of replicas), the message says how. */
enum error_code meta_load_map(struct wal *w, const struct cluster_config *c,
                              struct cluster_map *out, struct error *err);
/* An encoded map, in the open transaction. */
enum error_code meta_put_map(struct wal *w, struct bytes map, struct error *err);
/* The same, in one of its own. */
enum error_code meta_store_map(struct wal *w, const struct cluster_map *map, struct error *err);

#endif
