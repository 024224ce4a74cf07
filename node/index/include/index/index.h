/* The segment index of one shard replica: who has which tag, trait value, number, event metric.
 *
 * In RAM, derived from the profiles' unified views. Each member has a dense 32-bit ordinal; a chunk
 * is 2^16 ordinals (see docs/segment-index.md).
 *
 * Threads and consistency: one writer (the shard thread) and any number of query threads. A query
 * sees the index at one point of the shard's log: the writer's changes collect in a pending list
 * and index_publish() puts them in only when no query is running; it never waits. While changes are
 * pending, new queries wait for the running ones to end and the changes to go in, so that a query
 * that starts after an acknowledged write sees it. The writer's own thread publishes before it asks
 * anything, or it would wait for itself.
 */
#ifndef INDEX_INDEX_H
#define INDEX_INDEX_H

#include <base/arena.h>
#include <base/clock.h>
#include <base/error.h>
#include <cluster/schema.h>
#include <cluster/slot.h>
#include <segment/expr.h>

#include <stdbool.h>
#include <stdint.h>

struct index;

enum { INDEX_FORMAT_VERSION = 2, INDEX_CHUNK_BITS = 16 };

/* Borrows the schema for the index's life. NULL: out of memory. */
struct index *index_new(const struct schema *schema);
/* The instruction set that queries run with on this processor, for the log. */
const char *index_kernels(void);
void index_free(struct index *ix);

/* --- writer: the shard thread --- */

/* What the machine says of a member. All bytes are borrowed for the call; nothing is visible before
 * index_publish. */
enum index_op_kind {
    INDEX_ADD,     /* the member came to life (nothing set yet) */
    INDEX_REMOVE,  /* it is gone, with everything set on it; also its event metrics */
    INDEX_TAG,     /* text: tag; on */
    INDEX_CHANNEL, /* text: source; on */
    INDEX_HAS,     /* name: namespace; on */
    INDEX_VALUE,   /* name: enum, string or set trait; text: value; on. One `off` of the old value,
                      one `on` of the new */
    INDEX_NUMBER,  /* name: date, number or counter trait; number; on = exists */
    INDEX_LAST,    /* name: event; number: day of the last one; on = there is one */
    INDEX_EVENT,   /* name: event; an addition to one day's metrics, see struct index_event */
};

struct index_event {
    int32_t day;
    int32_t count; /* may be negative */
    /* Per field in the schema's order of the event: an enum's value or a number's sum (millionths).
     * n_fields is that of the schema's event. */
    struct {
        struct bytes text;
        int64_t sum;
        bool present;
    } fields[EVENT_FIELDS_MAX];
};

struct index_op {
    enum index_op_kind kind;
    one_id member;
    name_id name;
    struct bytes text;
    int64_t number;
    bool on;
    const struct index_event *event;
};

/* Idempotent but for INDEX_EVENT. ADD of a member that is there makes it empty; what is said of an
 * unknown member or name is ignored. */
void index_apply(struct index *ix, const struct index_op *op);
/* The log position that the changes so far bring the index to; 0 while it is being rebuilt. */
void index_set_applied(struct index *ix, uint64_t log_index);
uint64_t index_applied(const struct index *ix);
/* Makes pending changes visible if no query is running; true when nothing is pending any more. */
bool index_publish(struct index *ix);
/* Drops event metrics of days that no window can reach (keep_days), and ignores additions to them
 * from now on; cheap to call each day. */
void index_expire(struct index *ix, int32_t today);

/* --- queries: any thread --- */

/* A saved segment's expression by name (borrowed for the query's duration); NULL: there is none. */
typedef const struct expr *(*index_segment_cb)(void *ctx, struct bytes name);

struct index_query {
    const struct expr *expr;
    int32_t today;           /* day number that windows and `ago` count from */
    msec_t deadline_mono_ms; /* 0: none. A query looks at the clock between chunks */
    const bool *cancelled;   /* may be NULL; looked at between chunks (relaxed atomic load) */
    index_segment_cb segment;
    void *segment_ctx;
};

struct index_count {
    uint64_t members;    /* that satisfy it */
    uint64_t population; /* live members of the shard */
    uint64_t applied;    /* log index of the point it is exact for */
};

/* ERR_TIMEOUT, ERR_CANCELLED, ERR_UNKNOWN_NAME (segment, or a name newer than the index),
 * ERR_TOO_LARGE (saved segments too deep, too many, or in a circle), ERR_NOMEM. */
enum error_code index_count_members(struct index *ix, const struct index_query *q,
                                    struct index_count *out, struct error *err);

/* The members, in ordinal order, after `cursor` (0 at first; an opaque position that stays valid
 * over updates: a member that was there all the time is listed exactly once). `*next` is 0 at the
 * end; the last page may be empty. Also ERR_INVALID: the cursor is of an index with other ordinals
 * (another replica's, or from before a rebuild); begin again. */
enum error_code index_list_members(struct index *ix, const struct index_query *q, uint64_t cursor,
                                   size_t limit, one_id *out, size_t *n_out, uint64_t *next,
                                   struct error *err);

/* Counts by value of an enum/string/set trait (most members first, then by value), of the level
 * (trait == NULL), or of a number/date/counter trait by value (rising; a counter that is not there
 * is 0). Groups without members are left out; `none` comes last. */
struct index_group {
    struct bytes value; /* in the query's arena; numbers are formatted. */
    bool none;          /* members that satisfy the query and have no value */
    uint64_t members;
};
enum error_code index_breakdown(struct index *ix, const struct index_query *q,
                                const struct schema_trait *by, struct arena *arena,
                                struct index_group **out, size_t *n_out, struct error *err);

/* --- saving --- */

/* Writes everything published to `path` (temporary file, XXH3 per part, fsync, rename, fsync of the
 * folder). `store_index` is the applied index of the checkpoint that it belongs to; an index behind
 * it is refused with ERR_INVALID. Counts as a query until the bytes are written, not while they are
 * synced: the writer does not wait for it. */
enum error_code index_save(struct index *ix, const char *path, uint64_t cluster_id, uint16_t shard,
                           uint64_t store_index, struct error *err);
/* Loads into an empty index. ERR_NOT_FOUND, ERR_CORRUPT, ERR_MISMATCH (other schema, shard,
 * cluster, version, or not of `store_index`): the index is still empty and the caller rebuilds from
 * the profiles. It may be ahead of `store_index`: replay skips what index_applied covers. Writer's
 * thread, no query running (else ERR_BUSY). */
enum error_code index_load(struct index *ix, const char *path, uint64_t cluster_id, uint16_t shard,
                           uint64_t store_index, struct error *err);

struct index_stats {
    uint64_t members, bytes;
};
/* Writer's thread. */
void index_get_stats(const struct index *ix, struct index_stats *out);
/* A digest of everything visible that does not depend on ordinals (tests: rebuilt == live). */
uint64_t index_digest(struct index *ix);

#endif
