/* Numbers that a node remembers of each shard in its log. */
#ifndef HOST_RECORD_H
#define HOST_RECORD_H

#include <cluster/map.h>
#include <wal/wal.h>

enum record {
    RECORD_SINCE,    /* of the replica that is here, where that is not 0 (cluster/map.h) */
    RECORD_INSTALLED /* how far a state goes that came from another replica */
};

/* 0: there is none. ERR_CORRUPT with its name. */
enum error_code record_get(struct wal *wal, enum record which, shard_id shard, uint64_t *value,
                           struct error *err);
/* In a transaction. */
enum error_code record_put(struct wal *wal, enum record which, shard_id shard, uint64_t value,
                           struct error *err);
enum error_code record_forget(struct wal *wal, enum record which, shard_id shard,
                              struct error *err);

#endif
