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
/* Chooses the instruction set that queries of this process run with: auto (or NULL; the best that
 * the processor has), avx512, avx2 or plain. Before the first query. ERR_INVALID, with what there
 * is to choose from: no such name, or the processor has not got it. */
enum error_code index_use_kernels(const char *name, struct error *err);
/* The one in use, for the log. Any thread. */
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

/* A window over the last days of one metric, without conditions on its fields, that queries will
 * ask for often. It is kept at write time, in 1 to 8 bytes a member. */
struct index_window {
    name_id event;
    name_id field; /* sum(event.field); 0: count(event) */
    uint32_t days;
};
enum { INDEX_WINDOWS_MAX = 256 };
/* Registers these windows in place of those before; equal ones are kept once. New ones are built
 * from the metrics. Survives index_load, is not saved. ERR_TOO_LARGE, ERR_UNKNOWN_NAME (event or
 * field), ERR_INVALID (no days): nothing has changed. */
enum error_code index_set_windows(struct index *ix, const struct index_window *windows, size_t n,
                                  struct error *err);
/* The day that windows end with, and that watched segments (watch.h) count from. Queries of another
 * day read the events. Saved: a loaded index has the day of its log position. */
void index_set_today(struct index *ix, int32_t today);
/* Adds the windows of an expression that may be registered and are not yet among the `n` of `out`;
 * returns how many there are then, at most `room`. Saved segments that it names are left out. */
size_t index_windows_of(const struct expr *e, struct index_window *out, size_t n, size_t room);

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

/* Many queries in one pass, all at one point of the log. The deadline and the cancellation of the
 * first one hold for all. What is wrong with one query (`answers[i].err`, whose code is ERR_OK
 * where it was answered) does not keep the others from being answered. */
struct index_answer {
    struct error err;
    struct index_count count;
};
enum error_code index_count_many(struct index *ix, const struct index_query *queries, size_t n,
                                 struct index_answer *answers, struct error *err);

/* How many are in exactly each combination of up to INDEX_OVERLAP_MAX queries, in one pass:
 * counts[mask], 1 << n of them, is who satisfies query i where bit i is set and none of the others
 * (counts[0]: who satisfies none). `all->members` is who satisfies any. Deadline and cancellation
 * as with index_count_many; an error of one query is that of all. */
enum { INDEX_OVERLAP_MAX = 8 };
enum error_code index_overlap(struct index *ix, const struct index_query *queries, size_t n,
                              uint64_t *counts, struct index_count *all, struct error *err);

/* Where a count comes from: a row per term and operator, in the order of evaluation. */
enum index_operator { INDEX_TERM, INDEX_AND, INDEX_OR, INDEX_NOT };
enum index_strategy {
    INDEX_BY_NONE,   /* an operator, or a term that is always true or false */
    INDEX_BY_SET,    /* who has it is kept */
    INDEX_BY_COLUMN, /* a value per member, scanned, or probed where few candidates are left */
    INDEX_BY_EVENTS, /* the events' rows of the window are added up */
    INDEX_BY_WINDOW, /* a registered window */
};
struct index_explain_row {
    struct bytes text; /* the term in canonical form: personal data; operators: their name */
    uint32_t depth;    /* of nesting, 0 for the whole */
    enum index_operator operator;
    enum index_strategy strategy;
    uint64_t estimate;    /* members, as far as the order of terms went by it */
    uint32_t chunks;      /* in which it was evaluated */
    uint32_t skipped;     /* in which it was not: nobody was left, or nobody lives there */
    uint32_t emptied;     /* after which nobody was left in the chunk */
    uint32_t decided;     /* decided by the least and greatest value alone */
    uint32_t probed;      /* member by member */
    uint64_t nanoseconds; /* in it, and in what is beneath it */
};
/* index_count_members, and how it came about; the rows and texts lie in `arena`. */
enum error_code index_count_explain(struct index *ix, const struct index_query *q,
                                    struct index_count *out, struct arena *arena,
                                    struct index_explain_row **rows, size_t *n_rows,
                                    struct error *err);

/* The members by rising One-ID, after `cursor`, which is the last One-ID that was given (0 at
 * first). It stays valid over updates, restarts, rebuilds and on other replicas: a member that was
 * there all the time is listed exactly once. `*next` is the cursor to go on from, 0 at the end.
 * Also ERR_INVALID: a limit of 0. */
enum error_code index_list_members(struct index *ix, const struct index_query *q, one_id cursor,
                                   size_t limit, one_id *out, size_t *n_out, one_id *next,
                                   struct error *err);

/* The same page with chosen fields of each member, all from the index. Everything lies in `arena`
 * or is the schema's; values are personal data. */
enum index_field_kind {
    INDEX_FIELD_TRAIT,
    INDEX_FIELD_LEVEL,
    INDEX_FIELD_TAGS,
    INDEX_FIELD_CHANNELS
};
struct index_field {
    enum index_field_kind kind;
    const struct schema_trait *trait; /* INDEX_FIELD_TRAIT */
};
struct index_cell {
    bool present;       /* false: the member has none (below the first level, for the level) */
    int64_t number;     /* number (millionths), date (day number), counter */
    struct bytes text;  /* enum, string, level */
    struct bytes *list; /* set trait, tags, channels: by rising bytes */
    size_t n_list;
};
struct index_rows {
    one_id *members;
    struct index_cell *cells; /* n rows of n_fields, in the fields' order */
    size_t n;
    one_id next; /* as with index_list_members */
};
enum error_code index_list_rows(struct index *ix, const struct index_query *q, one_id cursor,
                                size_t limit, const struct index_field *fields, size_t n_fields,
                                struct arena *arena, struct index_rows *out, struct error *err);

/* Counts by the values of one or two traits of any type; a NULL among them is the level. Members
 * that are in a group several times (a set trait has several values) are counted in each. In the
 * first dimension the values of enum, string and set traits come by falling number of members,
 * then by value, numbers and dates rising, levels from the lowest; `none`, who has no value (a
 * counter that is not there is 0), last. Within each of them the second dimension likewise. Groups
 * without members are left out. Also ERR_TOO_LARGE: there would be more than `max_groups`. */
enum { INDEX_BREAKDOWN_MAX = 2 };
struct index_group {
    struct index_key {
        struct bytes value; /* in the arena; numbers are formatted */
        bool none;
    } keys[INDEX_BREAKDOWN_MAX];
    uint64_t members;
};
enum error_code index_breakdown(struct index *ix, const struct index_query *q,
                                const struct schema_trait *const *by, size_t n_by,
                                size_t max_groups, struct arena *arena, struct index_group **out,
                                size_t *n_out, struct error *err);

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
/* Where the bytes are. Writer's thread; walks over all values and chunks. */
struct index_memory {
    uint64_t ids;          /* One-IDs, the way from them to ordinals, who lives */
    uint64_t sets;         /* who has a tag, channel, namespace, value */
    uint64_t dictionaries; /* the values' texts */
    uint64_t columns, events, windows;
    uint64_t pending; /* changes that wait for queries to end */
};
void index_get_memory(const struct index *ix, struct index_memory *out);
/* A digest of everything visible that does not depend on ordinals (tests: rebuilt == live). */
uint64_t index_digest(struct index *ix);

#endif
