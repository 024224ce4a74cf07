/* liboneid: the client of a oneid cluster.
 *
 * A client holds connections to one or more routers and fails over between them. It may be used by
 * one thread at a time. Calls are made asynchronously (oneid_submit_*, then oneid_poll or the
 * descriptor) or blocking (the functions without _submit). A request whose answer does not come is
 * sent again, to the next router, with the same message_id until its deadline: an event counts once
 * whatever is sent.
 *
 * Ownership: what a caller passes in is copied before the call returns. What a callback is given is
 * borrowed until it returns; what a blocking call returns in a `struct oneid_result *` belongs to
 * the caller until oneid_result_free. Strings are UTF-8 with explicit lengths where a value may
 * hold any byte, else NUL-terminated.
 *
 * Errors are values: enum oneid_code, with a text that says what and where.
 */
#ifndef ONEID_ONEID_H
#define ONEID_ONEID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ONEID_API __attribute__((visibility("default")))
#else
#define ONEID_API
#endif

#define ONEID_VERSION_MAJOR 0
#define ONEID_VERSION_MINOR 1
#define ONEID_VERSION_PATCH 0

enum oneid_code {
    ONEID_OK = 0,
    ONEID_ERR_NOMEM,
    ONEID_ERR_USAGE,   /* an argument is wrong: nothing was sent */
    ONEID_ERR_INVALID, /* the cluster refuses the request's content; the text says what */
    ONEID_ERR_SYNTAX,  /* a segment expression; the text has the column */
    ONEID_ERR_NOT_FOUND,
    ONEID_ERR_TIMEOUT,     /* no answer within the deadline; an event may or may not have counted */
    ONEID_ERR_UNAVAILABLE, /* no router could be reached within the deadline */
    ONEID_ERR_BUSY,        /* too much in flight: poll and try again */
    ONEID_ERR_CANCELLED,   /* the client was closed, or the call cancelled */
    ONEID_ERR_INTERNAL,
    ONEID_ERR_TOO_OLD, /* the events after the token are not kept any more: begin again */
    ONEID_ERR_DENIED,  /* the key is not allowed, or its role does not allow this */
    ONEID_ERR_CONFLICT /* not possible as the cluster is; the text says why */
};

struct oneid_client;

struct oneid_options {
    const char *const *routers; /* "tcp://host:port", tried in turn */
    size_t n_routers;
    uint32_t deadline_ms;   /* default of a request; 0: 10,000 */
    uint32_t max_in_flight; /* 0: 4,096. One more gives ONEID_ERR_BUSY */
    uint32_t retry_ms;      /* without an answer for so long, ask the next router; 0: 2,000.
                               One whose connection ends is left within 250 ms */
    /* Encryption (docs/security.md): the client's own key file, as oneidctl keygen makes it, and
     * for each router its public key of 40 characters, or several with spaces between them while it
     * is being changed. Both NULL: plain text, which routers take on loopback addresses only. */
    const char *key_file;
    const char *const *server_keys;
    /* A list of keys, as the cluster's list of allowed keys: then server_keys are names on it, such
     * as router-1. It is read again as connections are made, so that keys can change meanwhile. */
    const char *trust_file;
    bool stale_ok; /* profiles and questions on segments may be answered by any replica, as it is:
                      the load is shared, and `age_ms` says how old an answer may be. Otherwise an
                      answer has everything that was acknowledged before it was asked for */
};

ONEID_API const char *oneid_version(void);
ONEID_API const char *oneid_code_text(enum oneid_code code);

/* Connects in the background: a router that is away is no error here. `text` (may be NULL) gets
 * what was wrong. */
ONEID_API enum oneid_code oneid_open(const struct oneid_options *options, struct oneid_client **out,
                                     char *text, size_t text_size);
/* Every outstanding callback runs with ONEID_ERR_CANCELLED first. */
ONEID_API void oneid_close(struct oneid_client *client);
/* What the last call that was refused (not ONEID_OK, nothing sent) had to say. Borrowed until the
 * next call. */
ONEID_API const char *oneid_error_text(const struct oneid_client *client);

/* --- events --- */

struct oneid_str {
    const char *data;
    size_t len;
};

struct oneid_identity {
    const char *ns;
    struct oneid_str value;
};

enum oneid_type { ONEID_NULL, ONEID_INTEGER, ONEID_REAL, ONEID_TEXT, ONEID_LIST };

struct oneid_value {
    const char *name;
    enum oneid_type type;
    int64_t integer;
    double real;
    struct oneid_str text;
    const struct oneid_str *list; /* ONEID_LIST */
    size_t n_list;
};

struct oneid_event {
    struct oneid_str message_id;      /* 1 to 128 bytes; counts once */
    int64_t ts_ms;                    /* when it happened, since 1970 UTC; 0: on receipt */
    struct oneid_str source;          /* the channel; may be empty */
    const struct oneid_identity *ids; /* at least one */
    size_t n_ids;
    const struct oneid_value *traits; /* ONEID_NULL removes */
    size_t n_traits;
    const struct oneid_str *tags_add, *tags_remove;
    size_t n_tags_add, n_tags_remove;
    const struct oneid_value *adds; /* counters; ONEID_INTEGER */
    size_t n_adds;
    const char *name; /* of the behaviour; NULL: none */
    const struct oneid_value *fields;
    size_t n_fields;
};

/* --- answers --- */

/* Reasons: limit, never_link, non_bridging, blocked, bad_value, tag_limit (docs/client.md). */
struct oneid_refused {
    const char *ns, *reason;
};
struct oneid_channel {
    struct oneid_str source;
    int64_t first_ms, last_ms;
};
struct oneid_metric {
    const char *event;
    int64_t count, last_ms;
    const struct oneid_value *sums; /* ONEID_REAL */
    size_t n_sums;
};
struct oneid_profile {
    uint64_t one_id;
    const struct oneid_identity *ids;
    size_t n_ids;
    const struct oneid_value *traits, *counters;
    size_t n_traits, n_counters;
    const struct oneid_str *tags;
    size_t n_tags;
    const struct oneid_channel *channels;
    size_t n_channels;
    const struct oneid_metric *events;
    size_t n_events;
    const char *level; /* NULL: none */
};
struct oneid_group {
    struct oneid_str value; /* refresh: the segment's name */
    bool none;              /* the members without a value */
    uint64_t members;
    struct oneid_str value2; /* of the second trait */
    bool none2;
    enum oneid_code code; /* refresh: not ONEID_OK where this segment could not be counted */
};
struct oneid_segment {
    struct oneid_str name, expr;
    bool usable; /* false: it does not fit the cluster file any more */
};
/* One term of a count, in the order of evaluation. */
struct oneid_term {
    struct oneid_str term, strategy;
    unsigned depth;                    /* of nesting */
    uint64_t estimate;                 /* members that satisfy it, as the order was planned with */
    uint64_t chunks, skipped;          /* of 65,536 members: looked at, or not */
    uint64_t emptied, decided, probed; /* chunks: nobody left after it; by least and greatest value;
                                          member by member */
    uint64_t ns;                       /* in it, and in what is beneath it */
};
struct oneid_explain {
    uint16_t shard;
    uint64_t ns, count, in_flight_merges;
    const struct oneid_term *terms;
    size_t n_terms;
};
struct oneid_row {
    uint64_t one_id;
    const struct oneid_value *values; /* one for each field that was asked for, in that order */
};
/* A member that entered a watched segment or left it. (shard, log_index, one_id) says it apart: an
 * event that is delivered again has the same. */
struct oneid_watch_event {
    uint64_t one_id;
    bool enter;
    int64_t at_ms; /* 0: the member was there when the watch began */
    uint16_t shard;
    uint64_t log_index;
};
struct oneid_refused_line {
    uint64_t number, one_id;
    uint16_t shard;
    int64_t at_ms;
    struct oneid_identity id, with; /* `with.ns` NULL: none */
    const char *reason;
    struct oneid_str message_id, source;
};
struct oneid_shard {
    uint16_t shard, node;
    bool reachable;
    uint64_t profiles, identities, events, merges, refused, duplicates, merging, tombstones,
        dedup_cut;
    uint64_t applied, disk_bytes, memtable_bytes, index_bytes, index_members;
    uint64_t catalogue;  /* version of the saved segments */
    const char *kernels; /* instruction set of its queries */
};

enum oneid_role { ONEID_STANDBY, ONEID_VOTER, ONEID_SPARE };
/* A replica of a shard, as another one knows it. `folder` says which replica of its node is meant:
 * a data folder that was made anew, and one that got the shard back, is another one. */
struct oneid_member {
    uint16_t node;
    uint64_t folder;
    enum oneid_role role;
    uint64_t match; /* at the leader: its log is stored there up to this index */
};
/* What a replica says of itself, whether it leads or not. */
struct oneid_replica {
    uint16_t shard;
    uint64_t folder; /* its own, as in oneid_member */
    int64_t said_ms; /* age of what follows */
    bool is_leader, is_changing;
    bool is_fetching; /* it gets another replica's state in place of its own */
    uint16_t leader;  /* node; 0: not known */
    uint16_t wanted;  /* where the cluster map wants it to be led */
    uint32_t wanted_voters;
    uint64_t term, commit, applied, first, last, snapshot; /* of its log */
    int64_t led_ms;                                        /* 0: does not lead */
    const struct oneid_member *members;
    size_t n_members;
    uint64_t memtable_bytes, memtable_limit, disk_bytes, index_bytes, index_members, catalogue;
    int64_t dirty_ms;        /* age of the oldest change that is in no checkpoint */
    bool checkpoint_fails;   /* its disk is full */
    uint64_t merging, stuck; /* merges in flight; of these older than a minute */
};
/* What a router heard of a node. */
struct oneid_node {
    uint16_t node;
    bool answers;     /* false: only `text` says something */
    const char *text; /* why it does not */
    int64_t heard_ms; /* the router's clock when the answer came */
    int64_t wall_ms;  /* the node's clock when it answered */
    int64_t up_ms;
    uint64_t folder, map_epoch, map_digest, schema_digest;
    bool disk_full, is_stopping;
    uint64_t disk_free, disk_total, log_bytes, refused;
    uint32_t checkpoint_seconds;
    const struct oneid_replica *replicas;
    size_t n_replicas;
};
struct oneid_router {
    uint16_t router;
    int64_t wall_ms, up_ms;
    uint64_t map_epoch, map_digest, schema_digest, catalogue, refused, in_flight;
};

/* The cluster map: which nodes there are, who holds what, and the tasks that change that. */
enum oneid_node_state {
    ONEID_NODE_IN,
    ONEID_NODE_DRAINED, /* gets no replicas; those that it has are on their way elsewhere */
    ONEID_NODE_LEAVING  /* the same, and then it is struck off */
};
struct oneid_map_node {
    uint16_t node;
    enum oneid_node_state state;
    const char *endpoint;
    uint32_t replicas; /* that it is to hold; */
    uint32_t leads;    /* of these, that it is to lead */
    uint32_t leaving;  /* that it still has to give up */
};
struct oneid_holder {
    uint16_t node;
    bool wanted;  /* false: it is to give the shard up */
    bool settled; /* it had the shard when that was last as it should be */
};
struct oneid_placement {
    uint16_t shard;
    bool moving;   /* not yet as it should be */
    uint32_t task; /* that changed it last; 0: none did */
    const struct oneid_holder *holders;
    size_t n_holders;
};
enum oneid_task_kind {
    ONEID_TASK_ADD = 1, /* `node` comes in and gets its share of replicas */
    ONEID_TASK_DRAIN,   /* the replicas of `node` go to others; it stays, empty */
    ONEID_TASK_REMOVE,  /* likewise, and it is struck off */
    ONEID_TASK_REPLACE  /* `other` takes the place of `node`, which is struck off */
};
enum oneid_task_state {
    ONEID_TASK_RUNNING = 1,
    ONEID_TASK_DONE,
    ONEID_TASK_CANCELLING, /* what it moved is on its way back */
    ONEID_TASK_CANCELLED
};
struct oneid_task {
    uint32_t id;
    enum oneid_task_kind kind;
    enum oneid_task_state state;
    uint16_t node, other;       /* other: of REPLACE, else 0 */
    uint32_t n_shards, left;    /* that it changes; that are not yet as it wants them */
    int64_t began_ms, ended_ms; /* 0: it has not ended */
};
struct oneid_map {
    uint64_t epoch;
    uint32_t n_replicas;                /* that each shard should have */
    const struct oneid_map_node *nodes; /* by rising number */
    size_t n_nodes;
    const struct oneid_task *tasks; /* the newest 32, by rising id */
    size_t n_tasks;
    const struct oneid_placement *shards;
    size_t n_shards;
};

struct oneid_result {
    enum oneid_code code;
    const char *text;                    /* "" when there is nothing to say */
    uint64_t one_id;                     /* ingest, resolve, profile */
    bool duplicate;                      /* ingest */
    const struct oneid_refused *refused; /* ingest */
    size_t n_refused;
    const struct oneid_profile *profile;
    uint64_t count, population;
    uint64_t in_flight_merges; /* bounds the error of the counts */
    bool partial;              /* a shard did not answer */
    const struct oneid_group *groups;
    size_t n_groups;
    const uint64_t *members;
    size_t n_members;
    const char *cursor; /* "" at the end */
    const struct oneid_refused_line *lines;
    size_t n_lines;
    const struct oneid_shard *shards;
    size_t n_shards;
    uint64_t map_epoch;
    const char *const *findings;
    size_t n_findings;
    const struct oneid_watch_event *events; /* watch: in order for each member */
    size_t n_events;
    const struct oneid_segment *segments; /* by name */
    size_t n_segments;
    uint64_t catalogue;       /* version of the saved segments that was meant; 0: none was named */
    const uint16_t *carrying; /* shards that do not have the definition yet; they get it before
                                 they answer anything that names it. check: that still look */
    size_t n_carrying;
    const uint64_t *combos; /* overlap: by bit mask of the segments, members in exactly those */
    size_t n_combos;
    const struct oneid_explain *explain; /* by shard, as they answered */
    size_t n_explain;
    uint64_t router_ns; /* explain: from the first question to the last answer */
    const struct oneid_row *rows;
    size_t n_rows, n_fields;
    const struct oneid_node *nodes; /* status: all of the router's cluster map */
    size_t n_nodes;
    const struct oneid_router *router; /* status: the one that answered */
    uint32_t age_ms;                   /* stale_ok: at most so old; 0: as of now */
    const struct oneid_map *map;       /* oneid_nodes and node tasks; NULL: none came */
    uint32_t task;                     /* node tasks: the id */
};

ONEID_API void oneid_result_free(struct oneid_result *result);
/* 16 hex digits and a NUL to `out`, and back (false: not a One-ID). */
ONEID_API void oneid_format(uint64_t one_id, char out[17]);
ONEID_API bool oneid_parse(const char *text, uint64_t *one_id);

/* --- asynchronous --- */

/* Runs exactly once, from oneid_poll, oneid_close or a blocking call, never before the submitting
 * call has returned. It may submit; it must not close. */
typedef void (*oneid_cb)(void *ctx, const struct oneid_result *result);

/* ONEID_OK: the callback will run. Otherwise it will not. deadline_ms 0: the client's. */
ONEID_API enum oneid_code oneid_submit_ingest(struct oneid_client *c, const struct oneid_event *e,
                                              uint32_t deadline_ms, oneid_cb cb, void *ctx);
ONEID_API enum oneid_code oneid_submit_resolve(struct oneid_client *c,
                                               const struct oneid_identity *id,
                                               uint32_t deadline_ms, oneid_cb cb, void *ctx);
/* By One-ID when `id` is NULL. */
ONEID_API enum oneid_code oneid_submit_profile(struct oneid_client *c,
                                               const struct oneid_identity *id, uint64_t one_id,
                                               uint32_t deadline_ms, oneid_cb cb, void *ctx);
ONEID_API enum oneid_code oneid_submit_count(struct oneid_client *c, const char *expr,
                                             uint32_t deadline_ms, oneid_cb cb, void *ctx);

/* The number of the call that was submitted last, for oneid_cancel; 0: none yet. */
ONEID_API uint64_t oneid_last_call(const struct oneid_client *c);
/* Gives a call up: its callback runs with ONEID_ERR_CANCELLED at the next oneid_poll. Questions are
 * stopped at the shards as well, as far as they can be reached; an event may or may not have
 * counted. False: it has ended. */
ONEID_API bool oneid_cancel(struct oneid_client *c, uint64_t call);
/* Gives up all calls that are under way, also a blocking one. May be called from a signal handler
 * or another thread, as long as the client is open. */
ONEID_API void oneid_interrupt(struct oneid_client *c);

/* The next page may be asked for in the callback, before this one is worked off. */
ONEID_API enum oneid_code oneid_submit_export(struct oneid_client *c, const char *expr,
                                              const char *const *fields, size_t n_fields,
                                              const char *cursor, uint32_t limit,
                                              uint32_t deadline_ms, oneid_cb cb, void *ctx);

/* Sends what is queued, takes what has come, runs callbacks; waits up to timeout_ms (0: not at all,
 * -1: until something happens) for the first of them. Returns the number of callbacks run. */
ONEID_API int oneid_poll(struct oneid_client *c, int timeout_ms);
/* Readable when oneid_poll may have work. Edge-triggered: call oneid_poll until it returns 0. Call
 * it also when oneid_next_timeout_ms has passed. */
ONEID_API int oneid_fd(struct oneid_client *c);
ONEID_API int oneid_next_timeout_ms(struct oneid_client *c); /* -1: none */
ONEID_API size_t oneid_in_flight(const struct oneid_client *c);

/* --- blocking: the result is the caller's; NULL only when memory is out --- */

ONEID_API struct oneid_result *oneid_ingest(struct oneid_client *c, const struct oneid_event *e);
/* All at once, pipelined; one code for each event in `codes` (may be NULL). Returns how many are
 * OK. */
ONEID_API size_t oneid_ingest_batch(struct oneid_client *c, const struct oneid_event *events,
                                    size_t n, enum oneid_code *codes);
ONEID_API struct oneid_result *oneid_resolve(struct oneid_client *c,
                                             const struct oneid_identity *id);
ONEID_API struct oneid_result *oneid_profile_of_identity(struct oneid_client *c,
                                                         const struct oneid_identity *id);
ONEID_API struct oneid_result *oneid_profile_of_one_id(struct oneid_client *c, uint64_t one_id);
ONEID_API struct oneid_result *oneid_count(struct oneid_client *c, const char *expr);
/* A page of at most `limit` members; cursor NULL or "": from the start. */
ONEID_API struct oneid_result *oneid_list(struct oneid_client *c, const char *expr,
                                          const char *cursor, uint32_t limit);
/* A page of members with the values of the named fields (traits; level, tags, channels), all from
 * the index: `rows`, of at most `limit` (1 to 10,000), fewer where a shard ends. Cursor as with
 * oneid_list. */
ONEID_API struct oneid_result *oneid_export(struct oneid_client *c, const char *expr,
                                            const char *const *fields, size_t n_fields,
                                            const char *cursor, uint32_t limit);
ONEID_API struct oneid_result *oneid_breakdown(struct oneid_client *c, const char *expr,
                                               const char *by);
/* By one trait, or by two (by2 not NULL). */
ONEID_API struct oneid_result *oneid_breakdown_two(struct oneid_client *c, const char *expr,
                                                   const char *by, const char *by2);
/* A count that says how it came about. */
ONEID_API struct oneid_result *oneid_explain(struct oneid_client *c, const char *expr);
/* All combinations of 1 to 8 expressions. */
ONEID_API struct oneid_result *oneid_overlap(struct oneid_client *c, const char *const *exprs,
                                             size_t n);

/* Saved segments: a name of 1 to 64 bytes for an expression, to be used as segment(name). Defining
 * an existing one replaces it. */
ONEID_API struct oneid_result *oneid_segment_define(struct oneid_client *c, const char *name,
                                                    const char *expr);
/* ONEID_ERR_INVALID: others use it, the text says which. */
ONEID_API struct oneid_result *oneid_segment_drop(struct oneid_client *c, const char *name);
/* The definitions: of one, or of all (NULL). */
ONEID_API struct oneid_result *oneid_segments(struct oneid_client *c, const char *name);
/* The counts of all saved segments, in `groups`, in one pass over each shard. */
ONEID_API struct oneid_result *oneid_refresh(struct oneid_client *c);

/* --- watching a saved segment --- */

struct oneid_watch_options {
    uint32_t limit;       /* events of a batch, about; 0: 1,000, at most 10,000 */
    uint32_t wait_ms;     /* how long to wait where there is nothing; 0: 5,000, at most 30,000 */
    bool no_wait;         /* take what is there */
    uint32_t deadline_ms; /* 0: the client's; at least 2 s more than the wait */
};

/* The next batch of who came into the segment and who left it: `events`, perhaps none, and the
 * token to go on from in `cursor`, which is never empty. `from`: the token of the last batch that
 * was worked off; NULL or "now": what comes from now on; "start": everybody who is in it, then what
 * comes. Keep the token only when its batch has been worked off, and nothing is lost: at most it is
 * delivered again. The members of a batch of "start" come as events that enter, exactly as of one
 * point. `partial`: a shard did not answer; its events come later.
 *
 * A segment that is asked for is watched from then on, until oneid_unwatch, or nobody has asked
 * for it for watch_idle_days of the cluster file. ONEID_ERR_TOO_OLD: the events after the token are
 * not kept any more, or the watch has ended meanwhile: begin again with "start".
 * ONEID_ERR_NOT_FOUND: there is no such segment (any more). */
ONEID_API struct oneid_result *oneid_watch(struct oneid_client *c, const char *segment,
                                           const char *from,
                                           const struct oneid_watch_options *options);
ONEID_API enum oneid_code oneid_submit_watch(struct oneid_client *c, const char *segment,
                                             const char *from,
                                             const struct oneid_watch_options *options, oneid_cb cb,
                                             void *ctx);
/* The shards keep no more events of it. */
ONEID_API struct oneid_result *oneid_unwatch(struct oneid_client *c, const char *segment);

ONEID_API struct oneid_result *oneid_stats(struct oneid_client *c);
/* What each node says of itself and its replicas; who keeps silent for a second says nothing. */
ONEID_API struct oneid_result *oneid_status(struct oneid_client *c);
/* Asks the leader of a shard to hand over to its replica on `node`. ONEID_OK: it has begun to, or
 * that one leads; oneid_status shows who does. Leadership goes back to where the map wants it. */
ONEID_API struct oneid_result *oneid_lead(struct oneid_client *c, uint16_t shard, uint16_t node);

/* --- nodes that come, go and are replaced (docs/operations.md) --- */

/* The cluster map. `known`: as the router knows it, which also answers when shard 0, which keeps
 * the map, does not. */
ONEID_API struct oneid_result *oneid_nodes(struct oneid_client *c, bool known);
/* These begin a task and do not wait for its end: `task` is its id, `map` what is wanted from now
 * on. The same call again is the same task, as long as nothing has undone it.
 * ONEID_ERR_USAGE, ONEID_ERR_INVALID: the endpoint or a number; ONEID_ERR_NOT_FOUND: no such node;
 * ONEID_ERR_CONFLICT: not possible as the cluster is. */
/* `endpoint` NULL: the map has the node already (it was drained). */
ONEID_API struct oneid_result *oneid_node_add(struct oneid_client *c, uint16_t node,
                                              const char *endpoint);
ONEID_API struct oneid_result *oneid_node_drain(struct oneid_client *c, uint16_t node);
ONEID_API struct oneid_result *oneid_node_remove(struct oneid_client *c, uint16_t node);
/* `endpoint` is that of `other`; NULL: as with oneid_node_add. */
ONEID_API struct oneid_result *oneid_node_replace(struct oneid_client *c, uint16_t node,
                                                  uint16_t other, const char *endpoint);
/* Wants back what was before the task, where that is not settled yet.
 * ONEID_ERR_CONFLICT: it has ended. */
ONEID_API struct oneid_result *oneid_node_cancel(struct oneid_client *c, uint32_t task);

ONEID_API struct oneid_result *oneid_refused(struct oneid_client *c, const char *cursor,
                                             uint32_t limit);
/* Do the books of all shards balance? Each shard's leader looks at every row, beside its other
 * work: for minutes where there are many. The call asks until all have, with the client's deadline
 * for each question and not for the whole. Several callers share a look; one that is under way may
 * have begun before the call did. */
ONEID_API struct oneid_result *oneid_check(struct oneid_client *c);
/* The same; `progress` is told after each question: `count` of `population` rows have been looked
 * at, the shards in `carrying` still look. It must not call the client. */
typedef void (*oneid_check_cb)(void *ctx, const struct oneid_result *so_far);
ONEID_API struct oneid_result *oneid_check_watched(struct oneid_client *c, oneid_check_cb progress,
                                                   void *ctx);

#ifdef __cplusplus
}
#endif

#endif
