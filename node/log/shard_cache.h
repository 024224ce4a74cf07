/* What the log knows of each shard, in RAM, changed in step with a transaction: a change is kept or
 * undone together with it. One thread at a time. */
#ifndef WAL_SHARD_CACHE_H
#define WAL_SHARD_CACHE_H

#include <base/bytes.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shard_state {
    uint64_t term, vote;
    uint64_t snapshot_index, snapshot_term, conf_index;
    struct buf conf;
    uint64_t first, last; /* entries; last = first - 1: none */
    bool is_touched;      /* in the open transaction */
};

struct shard_undo {
    uint16_t shard;
    struct shard_state before; /* may share `conf` with the present state */
};

/* Zeroed is empty. */
struct shard_cache {
    struct shard_state **by_shard;
    size_t n_shards;
    struct shard_undo *undo; /* one for each touched shard */
    size_t n_undo, cap_undo;
};

void shard_cache_close(struct shard_cache *c);
/* NULL when nothing was ever stored for the shard. Borrows until the next call. */
const struct shard_state *shard_cache_get(const struct shard_cache *c, uint16_t shard);
/* For changing within a transaction; a new one has first = 1. NULL when memory is out. */
struct shard_state *shard_cache_touch(struct shard_cache *c, uint16_t shard);
void shard_state_set_conf(struct shard_cache *c, uint16_t shard, struct bytes conf);
/* Ends the transaction. */
void shard_cache_keep(struct shard_cache *c);
void shard_cache_undo(struct shard_cache *c);

#endif
