/* What routers ask of shards, and the answers: docs/protocol.md in plain structs.
 *
 * A command acts at one slot and is one atomic step of the log; a batch is applied in order, and
 * when it fits in one log entry, at once. All pointers borrow: what was decoded points into the
 * message's bytes and into the arena that was given to the decoder, and lives as long as both.
 */
#ifndef PROTO_COMMAND_H
#define PROTO_COMMAND_H

#include <base/arena.h>
#include <base/clock.h>
#include <base/error.h>
#include <cluster/slot.h>

enum command_type {
    /* Written through the log. */
    COMMAND_APPLY = 1, /* see struct command */
    COMMAND_CLAIM,
    COMMAND_FREEZE,
    COMMAND_ABSORB,
    COMMAND_DONE,
    COMMAND_ABORT,
    COMMAND_REPAIR,
    COMMAND_DROP,
    COMMAND_SEGMENT_DEFINE,
    COMMAND_SEGMENT_DROP,
    COMMAND_SEGMENT_SYNC,
    COMMAND_DAY,
    COMMAND_WATCH_START = 24,
    COMMAND_WATCH_STOP,
    COMMAND_MAP,
    /* Reads at the leader. */
    COMMAND_LOCATE = 32,
    COMMAND_GET,
    COMMAND_SWEEP,
    COMMAND_STATS,
    COMMAND_REFUSED,
    COMMAND_CHECK,
    COMMAND_SEGMENTS,
    COMMAND_LEAD,
    /* Answered by query threads from the segment index. */
    COMMAND_COUNT = 64,
    COMMAND_LIST,
    COMMAND_BREAKDOWN,
    COMMAND_REFRESH,
    COMMAND_OVERLAP,
    COMMAND_ROWS,
    /* Answered by the watch thread, when there is something or the wait is over. */
    COMMAND_WATCH_READ = 96,
    COMMAND_TYPE_END
};
const char *command_type_name(enum command_type t);

enum {
    COMMAND_LIMIT_MAX = 1000000,     /* greatest `limit` */
    COMMAND_TEXT_MAX = 64 * 1024,    /* bytes of `expr` and of `by` */
    COMMAND_EXPRS_MAX = 8,           /* of an OVERLAP */
    COMMAND_FIELDS_MAX = 64,         /* of ROWS */
    COMMAND_CATALOGUE_MAX = 5 << 20, /* bytes of `content` of a SEGMENT_SYNC */
    COMMAND_MAP_MAX = 1 << 20        /* of a MAP */
};

/* Why an identity of an event was not linked, or a piece of it not taken. Recorded, counted,
 * listable. */
#define REFUSAL_LIST(X)                                                                            \
    X(NONE, 0, "none")                                                                             \
    X(LIMIT, 1, "limit of the namespace")                                                          \
    X(NEVER_LINK, 2, "kept apart by an unlink")                                                    \
    X(NON_BRIDGING, 3, "shared key known elsewhere")                                               \
    X(BLOCKED, 4, "blocked value")                                                                 \
    X(BAD_VALUE, 5, "not a value of the namespace")                                                \
    X(TAG_LIMIT, 6, "too many tags")                                                               \
    X(TOO_LARGE, 7, "more than one message can carry to the other shard")

enum refusal {
#define X(name, wire, text) REFUSAL_##name = (wire),
    REFUSAL_LIST(X)
#undef X
};
const char *refusal_text(enum refusal r);
const char *refusal_name(enum refusal r);

struct skip {
    struct identity id; /* empty value: not an identity at all (too long, a tag) */
    enum refusal reason;
};

/* clang-format off: it would run the rows of this table together.
 *
 * Which fields a type uses:
 * APPLY   profile (0: start at the index entry of ids[0], and make a profile of one if there is
 *         none), ids (ids[0] is the primary), message_id, ts, source, facts, behaviour, skips.
 *         At the profile's shard, or with profile 0 at the slot of ids[0]. Links what this shard
 *         alone can link (OPEN, merges of profiles and identities that are all here), then applies.
 *         → OK, DUP (profile, refused), GOTO (profile), ABSENT, MERGING (see LOCATE), MISSING
 *           (profile, epoch, missing: indexes into ids that are not in the profile, with a hint
 *           each)
 * CLAIM   ids[0] = i, ids[1] = a, profile = W. At i's slot.
 *         → CLAIMED (profile = L, epoch 1) born MERGING into W with evidence (i, a), empty content;
 *           KNOWN (profile: where the index points)
 * FREEZE  profile = L, epoch, other = W, ids[0] = b in L, ids[1] = a in W. At L.
 *         → FROZEN (epoch + 1, content), REFUSED (reason: the content is too large to travel; nothing is
 *         frozen), else the state as LOCATE says it
 * ABSORB  profile = W, other = L, epoch, ids[0] = a, ids[1] = b, message_id, ts, source: evidence
 *         for the edge; content (empty with epoch 1: that of a CLAIM, b alone). At W.
 *         → ABSORBED (holders: where L's identities are now with what version), REFUSED (reason),
 *           STALE, BUSY (other = where W is merging to)
 * DONE    profile = L, epoch. → OK
 * ABORT   profile = L, epoch. → OK
 * REPAIR  ids[0] = i, profile = p, version. At i's slot. → OK
 * DROP    profile: a tombstone whose conditions the router has checked. → OK
 * SEGMENT_DEFINE  name, expr, catalogue = the version that the asker saw. At shard 0.
 *         → OK (catalogue, content: the whole of it afterwards), STALE (the same: it has changed
 *         since, look and ask again), ERROR (why it is no segment)
 * SEGMENT_DROP    name, catalogue. At shard 0. → as DEFINE
 * SEGMENT_SYNC    content: a whole catalogue (segment/catalogue.h). At any shard but 0.
 *         → OK (catalogue: the version here now, which may be a newer one)
 * WATCH_START  name. The segment is watched from here on, and was asked for on this day. → OK,
 *         ERROR (NOT_FOUND: no such segment; BUSY: this shard has not heard of it; why it cannot be)
 * WATCH_STOP   name. → OK
 * MAP     content: a change of the cluster map (cluster/placement.h). At shard 0.
 *         → OK (content: the encoded map afterwards; version: the task that was begun or cancelled,
 *           else 0), ERROR (why it cannot be: the map is as it was; BUSY: there is none yet)
 * DAY     today: the day that the cluster's time zone has. Proposed by the shard itself. → OK
 * LOCATE  profile, ids[0] (optional: is it here?), want_content.
 *         → HERE (LIVE, holds ids[0]; epoch), GOTO (profile), MERGING (other = target, epoch, ids:
 *           evidence b, a; content if wanted; created: it was born merging), ABSENT, ELSE (whoever it is does not hold it)
 *         With profile 0: the index entry of ids[0] at its slot → KNOWN (profile, version), ABSENT.
 * GET     as LOCATE, but the answer carries the packed profile (client.proto Profile) in `content`;
 *         with profile 0 it starts at the index entry and goes on as far as this shard can.
 *         MERGING carries the snapshot as well.
 * SWEEP   limit, age_ms. → OK: sweep rows: merges left behind for longer than age_ms, tombstones
 *         that may go
 * STATS   → OK, stats
 * REFUSED cursor, limit → OK, refused rows, cursor
 * CHECK   age_ms: how long ago it was first asked for. Answered by the shard's shell, with a walk of
 *         the machine's beside it (node/host/checking.c).
 *         → BUSY (other: which walk it is, for this process; cursor: rows looked at, of population
 *         rows): ask again; OK (counts: findings as text rows; cursor: the log index up to which it
 *         looked; population: rows)
 * SEGMENTS catalogue: the version that the asker has. → OK (catalogue; content unless it is that)
 * LEAD    other = the node that shall lead the shard. Answered by the shard's shell, not the machine.
 *         → OK: it has begun to hand over, or leads there; ERROR (NOT_FOUND: no voter there)
 * COUNT, LIST, BREAKDOWN: expr (text), today, cursor, limit, by, by2, explain, deadline_ms
 *         → OK, counts
 * REFRESH catalogue → OK, counts: one row for each saved segment, in the order of their names
 * OVERLAP exprs → OK, combos[1 << n]: members in exactly the segments whose bits are set
 * ROWS    expr, fields, cursor, limit → OK, rows (proto/rows.h), cursor
 * WATCH_READ name, limit, and the place to read on from: version = enum index_watch_from, cursor =
 *         log index, profile = One-ID; age_ms = how long to wait where there is nothing, other = the
 *         asker's number: a read that waits under the same number is answered at once.
 *         → OK (rows, n_rows: proto/watch.h; the place to go on from in version, cursor, profile),
 *           ERROR (NOT_FOUND: not watched, TOO_OLD: the place is not kept any more)
 *         All queries: catalogue, where saved segments are named: the version they are meant by.
 *         → STALE (catalogue: the version here) where that is another one
 */
/* clang-format on */
struct command {
    enum command_type type;
    one_id profile, other;
    uint32_t epoch;
    uint32_t version;
    struct identity *ids;
    size_t n_ids;
    struct bytes message_id;
    msec_t ts; /* event time */
    struct bytes source;
    struct bytes facts;     /* canonical, proto/facts.h */
    struct bytes behaviour; /* empty: none */
    struct bytes content;
    struct skip *skips;
    size_t n_skips;
    bool want_content;
    struct bytes expr;
    struct bytes by;
    int32_t today;
    uint64_t cursor;
    uint32_t limit;
    uint32_t age_ms;
    uint32_t deadline_ms; /* time left when it was sent; 0: none */
    struct bytes name;
    uint64_t catalogue; /* 0: names no saved segment */
    struct bytes *exprs;
    size_t n_exprs;
    struct bytes by2; /* empty: by one trait */
    struct bytes *fields;
    size_t n_fields;
    bool explain;
};

enum reply_status {
    REPLY_OK = 1,
    REPLY_DUP,
    REPLY_GOTO,
    REPLY_ABSENT,
    REPLY_MERGING,
    REPLY_MISSING,
    REPLY_CLAIMED,
    REPLY_KNOWN,
    REPLY_FROZEN,
    REPLY_ABSORBED,
    REPLY_REFUSED,
    REPLY_STALE,
    REPLY_BUSY,
    REPLY_HERE,
    REPLY_ELSE,
    REPLY_WRONG_SHARD, /* the slot is not served here: refresh the map */
    REPLY_ERROR,       /* error, text */
    REPLY_STATUS_END
};
const char *reply_status_name(enum reply_status s);

struct missing {
    uint32_t index; /* into the command's ids */
    one_id hint;    /* where this shard's index points, 0: not known here */
};
struct holder {
    struct identity id;
    uint32_t version;
};
enum sweep_kind { SWEEP_MERGING = 1, SWEEP_TOMBSTONE };
struct sweep_row {
    enum sweep_kind kind;
    one_id profile;
    struct holder *ids; /* TOMBSTONE: every identity it ever held, with its version there */
    size_t n_ids;
    one_id *absorbed; /* TOMBSTONE */
    size_t n_absorbed;
};
struct refused_row {
    uint64_t number; /* rising within the shard */
    msec_t at;       /* receipt */
    one_id profile;
    struct identity id, with;
    enum refusal reason;
    struct bytes message_id, source;
};
struct count_row {
    struct bytes value; /* BREAKDOWN: the group; COUNT: empty */
    bool none;
    uint64_t members;
    struct bytes value2; /* BREAKDOWN by two */
    bool none2;
    enum error_code error; /* REFRESH: this one could not be counted */
};
/* One term of a count, in the order of evaluation. */
struct explain_row {
    struct bytes term;                 /* as it would be written */
    uint32_t depth;                    /* of nesting */
    struct bytes strategy;             /* in words */
    uint64_t estimate;                 /* members that satisfy it, as it was planned with */
    uint64_t chunks, skipped;          /* 65,536 members each, in which it was looked at, or not */
    uint64_t nanos;                    /* in it, and in what is beneath it */
    uint64_t emptied, decided, probed; /* chunks: see index.h */
};
struct shard_stats {
    uint64_t profiles, identities, events, merges, refused, duplicates;
    uint64_t merging; /* merges in flight */
    uint64_t tombstones;
    uint64_t dedup_cut;     /* message ids let go inside their window */
    uint64_t refused_by[8]; /* by enum refusal */
    uint64_t applied, disk_bytes, memtable_bytes, index_bytes, index_members;
    struct bytes kernels; /* the instruction set that its node's queries run with */
    uint64_t catalogue;
    int32_t today; /* the day of its log; 0: none yet */
};

struct reply {
    enum reply_status status;
    enum error_code error; /* REPLY_ERROR */
    struct bytes text;
    one_id profile, other;
    uint32_t epoch;
    uint32_t version;
    struct identity *ids; /* MERGING: b, a */
    size_t n_ids;
    enum refusal reason;
    struct missing *missing;
    size_t n_missing;
    struct skip
        *refused; /* OK, DUP: all that was refused of this message, the command's skips too */
    size_t n_refused;
    struct holder *holders;
    size_t n_holders;
    struct bytes content;
    struct sweep_row *sweeps;
    size_t n_sweeps;
    struct refused_row *refusals;
    size_t n_refusals;
    struct count_row *counts;
    size_t n_counts;
    one_id *members; /* LIST */
    size_t n_members;
    uint64_t cursor;
    uint64_t population;
    uint64_t in_flight; /* merges in flight on this shard at that point */
    const struct shard_stats *stats;
    bool created;       /* APPLY: the profile was made by this command */
    uint64_t catalogue; /* version of the saved segments here; 0: not said */
    uint64_t *combos;   /* OVERLAP */
    size_t n_combos;
    struct bytes rows; /* ROWS */
    uint32_t n_rows;
    struct explain_row *explain;
    size_t n_explain;
    uint32_t age_ms; /* of a replica that was read as it is: at most so old. Travels in the
                        envelope, for all replies of a batch */
    uint64_t nanos;  /* queries: time it took */
};

bool command_is_read(enum command_type t);
bool command_is_query(enum command_type t);
bool command_is_watch(enum command_type t);

/* A batch to the body of MESSAGE_SHARD_WRITE/READ/QUERY, and back. Decoding checks sizes, required
 * fields, identity values' lengths, canonical facts, and gives ERR_MALFORMED with what was wrong.
 */
void command_encode(const struct command *c, struct buf *out); /* appends one item to the body */
enum error_code command_decode(struct bytes body, uint32_t items, struct arena *arena,
                               struct command **out, size_t *n_out, struct error *err);
void reply_encode(const struct reply *r, struct buf *out); /* appends one item */
enum error_code reply_decode(struct bytes body, uint32_t items, struct arena *arena,
                             struct reply **out, size_t *n_out, struct error *err);

#endif
