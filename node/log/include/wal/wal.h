/* The synced log of a node: the Raft logs, terms and votes of all its shards in one LMDB file.
 *
 * Key = shard, index (big-endian); every value carries a check sum. All changes between wal_begin
 * and wal_commit are one synced transaction. Threads: one at a time (the node's log thread; before
 * it starts, the thread that opens). The module does no locking.
 */
#ifndef WAL_WAL_H
#define WAL_WAL_H

#include <base/bytes.h>
#include <base/error.h>

#include <stdbool.h>
#include <stdint.h>

enum { WAL_FORMAT_VERSION = 2 };

struct wal;

struct wal_options {
    const char *path; /* folder, made if absent */
    uint64_t map_bytes;
    uint64_t cluster_id; /* ERR_MISMATCH when the folder belongs to another cluster ... */
    uint16_t node;       /* ... or another node, or has a newer format */
};

struct wal_entry {
    uint64_t term;
    uint8_t type;      /* libraft's entry type */
    struct bytes data; /* borrowed */
};

/* What a shard's log starts from once older entries are trimmed. index 0: nothing trimmed. */
struct wal_snapshot {
    uint64_t index, term;
    uint64_t conf_index;
    struct bytes conf; /* the encoded configuration that was committed at conf_index */
};

struct wal_shard {
    uint64_t term, vote;              /* 0, 0 when the shard has never been written */
    struct wal_snapshot snapshot;     /* `conf` borrows until the next call on the wal */
    uint64_t first_index, last_index; /* last < first: no entries */
};

/* ERR_BUSY when another process has the folder open. ERR_CORRUPT names file and place. A file cut
 * short is recognised here, not by a SIGBUS later. */
enum error_code wal_open(const struct wal_options *o, struct wal **out, struct error *err);
void wal_close(struct wal *w);

enum error_code wal_load(struct wal *w, uint16_t shard, struct wal_shard *out, struct error *err);
/* Entries from..last in order, checked for gaps, check sums and falling terms. The callback's bytes
 * borrow; a non-zero return ends the walk and is returned. ERR_NOT_FOUND: `from` is trimmed. */
typedef enum error_code (*wal_entry_cb)(void *ctx, uint64_t index, const struct wal_entry *e);
enum error_code wal_read(struct wal *w, uint16_t shard, uint64_t from, wal_entry_cb cb, void *ctx,
                         struct error *err);

/* One transaction. After an error in between, wal_abort. */
enum error_code wal_begin(struct wal *w, struct error *err);
enum error_code wal_put_vote(struct wal *w, uint16_t shard, uint64_t term, uint64_t vote,
                             struct error *err);
/* Drops the shard's entries >= index, then appends n entries from index (n = 0 only drops).
 * ERR_CORRUPT on a gap; one that is left below the snapshot is refused by wal_commit. */
enum error_code wal_append(struct wal *w, uint16_t shard, uint64_t index,
                           const struct wal_entry *entries, size_t n, struct error *err);
/* Drops entries <= upto (upto <= snapshot->index) and stores the snapshot's metadata. When the log
 * does not hold the entry that the snapshot ends with (it ends earlier, or has another term there),
 * all of it is dropped (the Raft paper's figure 13, rules 6 and 7). ERR_CORRUPT when the stored
 * snapshot is newer. */
enum error_code wal_trim(struct wal *w, uint16_t shard, uint64_t upto,
                         const struct wal_snapshot *snapshot, struct error *err);
/* Drops the shard's entries, at most `max` of them; with the last one go its vote and snapshot, and
 * it is as if it had never been here: `done`. Until then it is to be called again, in another
 * transaction; what a crash leaves in between is a log that can be read back, but not one to go on
 * with. */
enum error_code wal_forget(struct wal *w, uint16_t shard, uint64_t max, bool *done,
                           struct error *err);
/* Synced. ERR_DISK_FULL: nothing of the transaction happened, the caller may do it all again later.
 * Any other error is final: the process must stop, the state of the disk is unknown. */
enum error_code wal_commit(struct wal *w, struct error *err);
/* Does nothing when no transaction is open, as after a failed wal_commit. */
void wal_abort(struct wal *w);

/* A small value of the node's own (the cluster map, ...), in the same transaction discipline. The
 * name has at most 255 characters; wal_get_meta appends to `out`. */
enum error_code wal_put_meta(struct wal *w, const char *name, struct bytes value,
                             struct error *err);
enum error_code wal_get_meta(struct wal *w, const char *name, struct buf *out,
                             struct error *err); /* ERR_NOT_FOUND */
/* It need not be there. */
enum error_code wal_del_meta(struct wal *w, const char *name, struct error *err);

uint64_t wal_disk_bytes(const struct wal *w);

#endif
