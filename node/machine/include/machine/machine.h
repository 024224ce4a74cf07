/* The machine of a shard: the deterministic commands of docs/protocol.md on its state.
 *
 * No I/O, no clock, no random numbers: the same commands with the same times on the same state give
 * the same state and replies. It runs on a store (which may be in RAM only) and tells the segment
 * index what changed. One thread: the shard's.
 *
 * Store layout (keys; docs/file-formats.md has the values). A row's parts stand right behind it:
 *
 *   'P' be64 one_id                  profile record: state, epoch, identities {ns, value, version,
 *                                    handle, never-link tags}, edges with evidence, moved, outbox,
 *                                    absorbed, fences
 *   'P' be64 one_id, 'V'             unified view, kept only where a profile has several identities
 *                                    (derived)
 *   'I' u32 ns, value                index entry of an identity: (one_id, version)
 *   'F' be64 handle                  fragment of an identity: its recent message ids, the list of
 * its row buckets, its facts (proto/facts.h) 'F' be64 handle, 'D' be32 n      message ids in
 * receipt order, when there are many, in blocks; n = 0xFFFFFFFF: the newest 'F' be64 handle, 'R'
 * be16 b      behaviour, days of bucket b = day / 64 'X' be64 number                  refused links
 *   'G' name, 'g'                    saved segments, and the version of all of them
 *   'd'                              the day of the shard's log
 *   'w' name                         a watched segment, and when it was last asked for
 *   'M'                              the cluster map; at shard 0 only
 *   'm' / 't' be64 one_id            merges in flight / tombstones, with the time they began
 *   'S'                              counters, allocators, machine clock
 *
 * A handle is a number of this shard, given to a fragment when it arrives and never reused: a merge
 * inside the shard moves the handle and copies nothing.
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include <base/arena.h>
#include <base/clock.h>
#include <cluster/config.h>
#include <cluster/map.h>
#include <index/watch.h>
#include <proto/command.h>
#include <store/store.h>

struct machine;
struct catalogue;

/* What changed for the segment index; called during machine_apply and machine_rebuild. */
typedef void (*machine_emit_cb)(void *ctx, const struct index_op *op);

struct machine_options {
    struct store *store;           /* keeps */
    const struct schema *schema;   /* keeps */
    const struct cluster_map *map; /* keeps: which slots are this shard's */
    shard_id shard;
    uint32_t dedup_hours, dedup_min, dedup_max; /* cluster/config.h */
    uint32_t redirect_days;
    uint32_t watch_idle_days;
    uint32_t content_max; /* bytes of a profile that may move to another shard; 0: 32 MiB */
    machine_emit_cb emit; /* NULL: none */
    void *emit_ctx;
};

enum error_code machine_open(const struct machine_options *o, struct machine **out,
                             struct error *err);
void machine_close(struct machine *m);

/* One command of a log entry. `now_ms` is the entry's wall clock, set by the leader; the machine's
 * clock never goes back. The reply lives in `arena` and may borrow from the command and the store
 * until the next call. A command type that does not write gives REPLY_ERROR. */
void machine_apply(struct machine *m, msec_t now_ms, const struct command *c, struct arena *arena,
                   struct reply *out);
/* Hints that the command will be run after some others (store_prefetch). Changes nothing. */
void machine_prefetch(struct machine *m, const struct command *c, enum store_hint hint);
/* After the last command of an entry: writes counters and clock to the store. */
void machine_end_entry(struct machine *m);

/* LOCATE, GET, SWEEP, STATS, REFUSED, CHECK on the applied state. `now_ms` for ages. */
void machine_read(struct machine *m, msec_t now_ms, const struct command *c, struct arena *arena,
                  struct reply *out);

/* The walk of CHECK, by who opened a machine of its own on a view of a store (store_view_open), so
 * that the shard's goes on. `out`: as CHECK says; what is damaged is a finding, too. */
struct machine_walk {
    bool (*go_on)(void *ctx, uint64_t rows); /* at each row of the store; false ends the walk */
    void *ctx;
};
/* False: it was ended, and there is no answer. */
bool machine_check(struct machine *m, const struct machine_walk *walk, struct arena *arena,
                   struct reply *out);

/* The first row that did not decode, or ERR_OK: sticky, like store_error. From then on every
 * command gives REPLY_ERROR. A read that only meets a missing row of the store's own fault shows
 * there. */
enum error_code machine_error(const struct machine *m, struct error *err);

/* The saved segments as this shard has them; lives until the next machine_apply, or as long as the
 * caller keeps it (segment/catalogue.h). */
struct catalogue *machine_catalogue(const struct machine *m);
/* The day that the log has come to: 0 before the first DAY. */
int32_t machine_today(const struct machine *m);

/* Shard 0: the cluster map, as of the newest COMMAND_MAP; NULL: there is none yet, or this is
 * another shard. Borrowed until the next machine_apply. */
const struct cluster_map *machine_map(const struct machine *m);

/* The watched segments with their expressions, INDEX_WATCHES_MAX at most, for index_set_watches;
 * the names live until the next machine_apply, the texts also in `arena`. They have to be told
 * again when the generation is another one. */
uint64_t machine_watch_generation(const struct machine *m);
size_t machine_watched(struct machine *m, struct arena *arena, struct index_watch *out);

/* Merges in flight: MERGING profiles of this shard. */
uint64_t machine_in_flight(const struct machine *m);
/* Tells `emit` of every live profile from nothing (the index is empty). */
void machine_rebuild(struct machine *m, machine_emit_cb emit, void *ctx);

/* For tests and the simulation: walks the state. Not for the hot path. */
struct machine_profile {
    one_id id;
    enum { PROFILE_LIVE = 1, PROFILE_MERGING, PROFILE_REDIRECT, PROFILE_ERASED } state;
    uint32_t epoch;
    one_id target;
    const struct holder *ids;
    size_t n_ids;
    const one_id *absorbed;
    size_t n_absorbed;
    struct bytes view; /* join of its fragments, computed afresh */
};
typedef void (*machine_profile_cb)(void *ctx, const struct machine_profile *p);
void machine_each_profile(struct machine *m, struct arena *arena, machine_profile_cb cb, void *ctx);
bool machine_index_entry(struct machine *m, struct identity i, one_id *profile, uint32_t *version);
/* Whether the fragment of `i` in live or merging profile `p` remembers the message. */
bool machine_has_message(struct machine *m, one_id p, struct identity i, struct bytes message_id);

#endif
