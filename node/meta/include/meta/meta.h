/* What a node keeps of the cluster beside its shards: the cluster map, in the node's log.
 *
 * Computed evenly at the first start, then read back; checked against the cluster file, so that a
 * node never serves a folder under a layout that it was not written with. */
#ifndef META_META_H
#define META_META_H

#include <cluster/map.h>
#include <wal/wal.h>

/* ERR_MISMATCH: the folder's map disagrees with the cluster file (name, number of shards, a shard's
 * node that is no longer in the file), the message says how. */
enum error_code meta_load_map(struct wal *w, const struct cluster_config *c,
                              struct cluster_map *out, struct error *err);

#endif
