/* An LMDB environment as store/ and log/ need it: opened with checks, stamped with whom it belongs
 * to, its errors turned into ours. Only those two folders see this header.
 *
 * The main database holds, beside LMDB's own table of named databases, one record: the stamp
 * (magic, format version, cluster, owner, the number of the transaction that wrote it, a mark). It
 * is written with every commit, so a meta page that points to an older tree is noticed.
 *
 * Threads: a write transaction begins and ends on one thread; readers may be elsewhere.
 */
#ifndef DISK_DISK_H
#define DISK_DISK_H

#include <base/bytes.h>
#include <base/error.h>

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

enum { DISK_DBS_MAX = 4 };

struct disk_options {
    const char *path;       /* folder, made if absent (its parent must be there) */
    uint64_t map_bytes;     /* largest size of the file */
    const char *magic;      /* exactly 8 characters: what kind of file this is */
    uint32_t version;       /* newest format that this program knows */
    uint32_t oldest;        /* the oldest that it can still read; 0: any */
    uint64_t cluster_id;    /* the stamp must agree ... */
    uint16_t owner;         /* ... with both */
    const char *owner_word; /* what the owner number is, for messages: "shard" or "node" */
    const char *const *dbs; /* names of the databases, at most DISK_DBS_MAX */
    unsigned n_dbs;
};

struct disk {
    struct disk_options options; /* `path` points to a copy */
    MDB_env *env;
    MDB_dbi stamp_dbi, dbi[DISK_DBS_MAX]; /* in the order of options.dbs */
    int lock_fd;                          /* holds the lock against a second process */
    uint64_t mark;                        /* what the stamp said at open: the user's number */
    char *path;
    char file[256]; /* the data file's path (its end, when it is long), for messages */
};

/* ERR_MISMATCH: other cluster, owner, kind or a newer format. ERR_CORRUPT: not LMDB, cut short, or
 * damaged. ERR_BUSY: another process has it open. Nothing is changed on failure. On failure `d` is
 * closed. */
enum error_code disk_open(struct disk *d, const struct disk_options *o, struct error *err);
/* Accepts a zeroed one. No transaction may be open. */
void disk_close(struct disk *d);

enum error_code disk_begin(struct disk *d, unsigned flags, MDB_txn **txn, struct error *err);
/* Stamps and commits; the transaction is gone in any case. ERR_DISK_FULL: nothing happened, and the
 * same may be tried again. Any other error: the state of the disk is unknown. */
enum error_code disk_commit(struct disk *d, MDB_txn *txn, uint64_t mark, struct error *err);
/* The mark of the commit that `txn` reads. */
enum error_code disk_read_mark(const struct disk *d, MDB_txn *txn, uint64_t *mark,
                               struct error *err);
/* Bytes of the file that are in use or were: (last page + 1) pages. */
uint64_t disk_bytes(const struct disk *d);
/* Turns an MDB_* or errno number into ours; `doing` is a phrase as in "cannot write". */
enum error_code disk_error(const struct disk *d, int rc, const char *doing, struct error *err);

/* A compacting copy of the last commit into the new file `file` (there must be none), synced. Any
 * thread, beside transactions of others; it waits for none of them. On failure there is no file.
 * ERR_DISK_FULL; ERR_CORRUPT: the tree has pages that lead nowhere. */
enum error_code disk_copy(struct disk *d, const char *file, struct error *err);
/* Opens such a copy for reading alone, whoever made it: the stamp must agree with `o` (whose path
 * is not used) and the file must be exactly as long as it says. Errors as disk_open's. */
enum error_code disk_open_copy(struct disk *d, const struct disk_options *o, const char *file,
                               struct error *err);
/* Makes a copy (a file on the same file system) the data file of the folder o->path, which nobody
 * may have open; durable when it returns. A crash leaves the old file or the new one. Refuses what
 * disk_open_copy does; then nothing has changed. */
enum error_code disk_install(const struct disk_options *o, const char *file, struct error *err);

/* A value's check sum, bound to its key: a value that turns up under another key fails too. */
uint32_t disk_checksum(struct bytes key, struct bytes value);

static inline MDB_val disk_val(struct bytes b)
{
    union {
        const uint8_t *in;
        void *out; /* LMDB takes input through a pointer to non-const */
    } u = {b.data};
    MDB_val v = {b.len, u.out};
    return v;
}
static inline struct bytes disk_bytes_of(MDB_val v)
{
    return bytes_of(v.mv_data, v.mv_size);
}

#endif
