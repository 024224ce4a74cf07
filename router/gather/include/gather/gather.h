/* Scatter-gather: a question to all shards, and one answer out of theirs.
 *
 * A core: events in, effects out, no clock, no socket. COUNT, BREAKDOWN, STATS and CHECK ask all
 * shards at once; LIST and REFUSED go through the shards in turn, as many as a page needs. A shard
 * that has not answered by the deadline makes the answer partial, and it says so; when none has, it
 * is an error. */
#ifndef GATHER_GATHER_H
#define GATHER_GATHER_H

#include <base/arena.h>
#include <base/clock.h>
#include <proto/command.h>
#include <proto/request.h>

struct gather;

enum { GATHER_RESEND_MS = 1000, GATHER_MARGIN_MS = 50 };

struct gather_effect {
    enum { GATHER_SEND = 1, GATHER_ANSWER } kind;
    shard_id shard;                /* SEND */
    bool query;                    /* SEND: to the query threads, else a read at the leader */
    const struct command *command; /* SEND */
    const struct response *answer; /* ANSWER: the last effect; lives until gather_free */
};
struct gather_effects {
    struct gather_effect *items;
    size_t n, cap;
};
void gather_effects_free(struct gather_effects *fx);

struct gather_start {
    const struct request
        *request;                /* COUNT, LIST, BREAKDOWN, STATS, REFUSED, CHECK, STATUS; copied */
    const struct schema *schema; /* kept */
    const node_id *node_of_shard; /* kept; for STATS */
    uint64_t map_epoch;
    shard_id n_shards;
    int32_t today;
    msec_t deadline_ms; /* monotonic */
};

/* Checks the request first: an answer with an error may come at once. NULL when memory is out. */
struct gather *gather_new(const struct gather_start *start, msec_t now, struct gather_effects *fx);
void gather_free(struct gather *g);
void gather_reply(struct gather *g, shard_id shard, const struct reply *reply, msec_t now,
                  struct gather_effects *fx);
void gather_tick(struct gather *g, msec_t now, struct gather_effects *fx);
/* When a tick is due at the latest. */
msec_t gather_wake_ms(const struct gather *g);

#endif
