/* One batch of events for who follows a watched segment, out of all shards.
 *
 * A core: events in, effects out, no clock, no socket. First every shard is asked for what it has,
 * without waiting; if none has anything, all are asked again to wait for something, and the first
 * that has ends the batch. A shard that does not answer makes the batch partial and loses nothing:
 * its place in the token stays as it was. A read that a shard holds for a batch that has ended is
 * superseded by the next one, which goes under the same number.
 *
 * A segment that is not yet watched, or was not asked for on this day, is started at the shard
 * first: WATCH_START through its log.
 *
 *   COLLECTING ──> WAITING ──> done
 *        └────────────────────> done: there are events, or a place has moved
 *
 * UNWATCH tells all shards that the segment is watched no more, and reads nothing.
 */
#ifndef FOLLOW_FOLLOW_H
#define FOLLOW_FOLLOW_H

#include <base/clock.h>
#include <proto/command.h>
#include <proto/request.h>

struct follow;

enum {
    FOLLOW_SILENT_MS = 1000,   /* a shard that has not answered a read by then is left out */
    FOLLOW_STARTING_MS = 3000, /* ... where the watch has to be started first */
    FOLLOW_RESEND_MS = 100,    /* the first time; then twice as long each time */
    FOLLOW_SLICE_MS = 2000,    /* a shard is asked to wait for so long at a time */
    FOLLOW_MARGIN_MS = 50,     /* before the deadline the answer is on its way */
    FOLLOW_LIMIT = 1000,       /* events of a batch where the request names none */
    FOLLOW_LIMIT_MAX = 10000,
    FOLLOW_WAIT_MAX_MS = 30000,
};

struct follow_effect {
    enum { FOLLOW_START = 1, FOLLOW_READ, FOLLOW_ANSWER } kind;
    shard_id shard;                /* START, READ */
    uint32_t call;                 /* START, READ: comes back with the reply */
    const struct command *command; /* START, READ */
    const struct response *answer; /* ANSWER: the last effect; lives until follow_free */
};
struct follow_effects {
    struct follow_effect *items;
    size_t n, cap;
};
void follow_effects_free(struct follow_effects *fx);

struct follow_begin {
    const struct request *request; /* WATCH, UNWATCH; copied */
    uint64_t cluster_id;
    uint64_t number; /* for a follower without a token; not 0 */
    shard_id n_shards;
    int32_t today;
    msec_t deadline_ms; /* monotonic */
};

/* An answer with an error may come at once. NULL when memory is out. */
struct follow *follow_new(const struct follow_begin *begin, msec_t now, struct follow_effects *fx);
void follow_free(struct follow *f);
void follow_reply(struct follow *f, shard_id shard, uint32_t call, const struct reply *reply,
                  msec_t now, struct follow_effects *fx);
void follow_tick(struct follow *f, msec_t now, struct follow_effects *fx);
/* When a tick is due at the latest. */
msec_t follow_wake_ms(const struct follow *f);

#endif
