/* The state of one shard replica: a key-value store of a memtable in RAM over an LMDB file.
 *
 * Changes go to the active memtable; the Raft log makes them durable. A checkpoint freezes the
 * memtable, writes it to LMDB in one synced transaction together with the applied index (on a
 * thread of its own), and releases it. Reads look at the active memtable, the frozen one, LMDB.
 *
 * Threads: everything belongs to the owner (the shard thread), except store_write_frozen, which one
 * other thread may run between store_freeze and store_release_frozen, and store_copy_to and
 * store_view_open, which any thread may run while the store is open.
 *
 * Errors: a read that fails (damaged value, LMDB error) answers "absent" and sets a sticky error,
 * see store_error. The owner looks at it after each log entry and before it answers anything, and
 * stops: so callers in the machine need no error path for reads. Nothing written after a sticky
 * error is ever checkpointed. Every value carries a check sum in LMDB.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <base/bytes.h>
#include <base/error.h>

#include <stdbool.h>
#include <stdint.h>

enum { STORE_KEY_MAX = 480, STORE_FORMAT_VERSION = 2, STORE_FORMAT_OLDEST = 2 };

struct store;

struct store_options {
    const char
        *path; /* folder of this replica, made if absent; NULL: in RAM only (tests, simulation) */
    uint64_t map_bytes;  /* largest size of the LMDB file */
    uint64_t cluster_id; /* ERR_MISMATCH when the folder belongs to another cluster, ... */
    uint16_t shard;      /* ... another shard, or a newer format */
};

/* ERR_BUSY when another process has the folder open; ERR_CORRUPT for a file that is cut short,
 * damaged or no LMDB file. A process must not open the same folder twice. */
enum error_code store_open(const struct store_options *o, struct store **out, struct error *err);
/* Waits for nothing: no store_write_frozen may be running, and no view be open. Unwritten changes
 * are dropped. */
void store_close(struct store *s);

/* The applied index that the LMDB file holds (0: none yet); a new one from store_release_frozen on.
 */
uint64_t store_durable_index(const struct store *s);

/* Is there a value? `*value` borrows: valid until the same key is written or deleted, or until the
 * next store_freeze / store_release_frozen, whichever is first. */
bool store_get(struct store *s, struct bytes key, struct bytes *value);
/* Hints that the key will be looked up soon: once, and again after some other look-ups. The first
 * fetches where it is, the second what is there, so that the look-up need not wait for memory. */
enum store_hint { STORE_HINT_FIRST, STORE_HINT_SECOND };
void store_prefetch(const struct store *s, struct bytes key, enum store_hint hint);
/* Copies both. An empty value is a value. */
void store_put(struct store *s, struct bytes key, struct bytes value);
void store_del(struct store *s, struct bytes key);

/* Every present key with this prefix, once each, in no particular order. The callback must not
 * write; returning false ends the scan. The memtables are not ordered: a scan walks all of them,
 * however narrow the prefix. */
typedef bool (*store_scan_cb)(void *ctx, struct bytes key, struct bytes value);
void store_scan(struct store *s, struct bytes prefix, store_scan_cb cb, void *ctx);

/* The first thing that went wrong, or ERR_OK. */
enum error_code store_error(const struct store *s, struct error *err);

/* RAM held by the active memtable, in bytes; 0 when nothing was written since the last freeze. */
uint64_t store_active_bytes(const struct store *s);
/* Size of the LMDB file's used pages in bytes, as of the last store_release_frozen. */
uint64_t store_disk_bytes(const struct store *s);
bool store_has_frozen(const struct store *s);
/* Freezes the active memtable, which holds everything up to `applied_index`. None may be frozen. */
void store_freeze(struct store *s, uint64_t applied_index);
/* Writes the frozen memtable and the applied index, synced. On ERR_DISK_FULL nothing was changed
 * and it may be called again; any other error is final for the process. */
enum error_code store_write_frozen(struct store *s, struct error *err);
/* After a successful write: lets the frozen memtable go. */
void store_release_frozen(struct store *s);

/* Views: what the file holds, as it was when the view was opened, whatever is written afterwards. A
 * view is a store that is read alone: store_get, store_scan, store_error, and store_close, by one
 * thread at a time, beside all that others do with the store it is of. While it is open, LMDB takes
 * no page again that it may read, so that the file grows by what checkpoints replace.
 *
 * A value whose check sum is wrong is absent to it, and no sticky error: its scans go on behind it.
 */

/* Any thread. store_durable_index(*out) says what it holds. ERR_USAGE for a store without a file.
 */
enum error_code store_view_open(struct store *s, struct store **out, struct error *err);
/* Tells of each damaged row that a scan of the view meets. NULL: nobody. */
typedef void (*store_damage_cb)(void *ctx, struct bytes key);
void store_view_on_damage(struct store *view, store_damage_cb cb, void *ctx);
/* Rows in the file; 0 without one. */
uint64_t store_rows(const struct store *s);

/* Snapshots: the LMDB file as a compact copy, which another node puts in place of its own. */

/* Copies what the file holds (memtables are not in it) to the new file `path`, synced, and says the
 * applied index of that. Any thread, beside reads, checkpoints and other copies; store_close must
 * wait for it. On failure there is no file. ERR_DISK_FULL; ERR_USAGE for a store without a file. */
enum error_code store_copy_to(struct store *s, const char *path, uint64_t *applied,
                              struct error *err);
/* Reads all of a copy, wherever it came from. ERR_MISMATCH: of another cluster or shard, or a newer
 * format. ERR_CORRUPT: cut short, damaged, or no copy. `o->path` is not used. Any thread. */
enum error_code store_check_copy(const struct store_options *o, const char *path, uint64_t *applied,
                                 struct error *err);
/* Makes a copy the state of the folder o->path, which no store may have open (ERR_BUSY: another
 * process has). The file must be on the same file system, and is gone from `path` afterwards.
 * Durable when it returns; a crash leaves the old state or the new one. What is no copy for this
 * place is refused as by store_check_copy, but its records are not read. */
enum error_code store_install(const struct store_options *o, const char *path, struct error *err);

#endif
