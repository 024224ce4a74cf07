/* Scatter-gather: a question to all shards, and one answer out of theirs; and the way of a saved
 * segment from the shard that numbers it to all others.
 *
 * A core: events in, effects out, no clock, no socket. COUNT, BREAKDOWN, REFRESH, OVERLAP, STATS
 * and CHECK ask all shards at once; LIST, EXPORT and REFUSED go through the shards in turn, as many
 * as a page needs. A shard that has not answered by the deadline makes the answer partial, and it
 * says so; when none has, it is an error.
 *
 * Saved segments (segment/catalogue.h) live under one version. A question that names some goes out
 * with the version that it was checked by, and only shards that have exactly that version answer
 * it: one that is behind is brought up to date first and asked again; where one is ahead, the
 * catalogue is fetched from the authority (shard 0) and everybody is asked anew. So an answer never
 * mixes two meanings of a name.
 *
 *   FETCHING ──> ASKING ──> done         (questions that need no catalogue start at ASKING)
 *       │  ^───────┘ a shard is ahead
 *       └──> CHANGING ──> CARRYING ──> done    (SEGMENT_DEFINE, SEGMENT_DROP)
 */
#ifndef GATHER_GATHER_H
#define GATHER_GATHER_H

#include <base/arena.h>
#include <base/clock.h>
#include <proto/command.h>
#include <proto/request.h>
#include <segment/catalogue.h>

struct gather;

enum {
    GATHER_RESEND_MS = 1000, /* the first time; then twice as long each time */
    GATHER_MARGIN_MS = 50,
    GATHER_CARRY_MS = 2000 /* a definition is acknowledged after so long, with who lacks it */
};

enum gather_lane { GATHER_READ, GATHER_QUERY, GATHER_WRITE };

struct gather_effect {
    enum {
        GATHER_SEND = 1,
        GATHER_LEARN, /* a catalogue from the authority: for the questions to come */
        GATHER_ANSWER
    } kind;
    shard_id shard;                /* SEND */
    enum gather_lane lane;         /* SEND */
    bool stale;                    /* SEND: any replica may answer, as it is */
    uint32_t call;                 /* SEND: comes back with the reply */
    const struct command *command; /* SEND */
    struct catalogue *catalogue;   /* LEARN: borrowed; keep it */
    const struct response *answer; /* ANSWER: the last effect; lives until gather_free */
};
struct gather_effects {
    struct gather_effect *items;
    size_t n, cap;
};
void gather_effects_free(struct gather_effects *fx);

struct gather_start {
    /* Everything but INGEST, RESOLVE, PROFILE, STATUS, NODES, NODE_TASK and watches; copied. NULL:
     * no client asks, the catalogue is fetched, and carried to the shards whose `versions` are
     * behind. */
    const struct request *request;
    const struct schema *schema;  /* kept */
    const node_id *node_of_shard; /* kept; for STATS */
    struct catalogue *catalogue;  /* the last one heard of, NULL: none; kept once more */
    const uint64_t *versions;     /* without request: of the catalogue by shard; NULL: only fetch */
    uint64_t map_epoch;
    shard_id n_shards;
    int32_t today;
    msec_t deadline_ms; /* monotonic */
};

/* Checks the request first: an answer with an error may come at once. NULL when memory is out. */
struct gather *gather_new(const struct gather_start *start, msec_t now, struct gather_effects *fx);
void gather_free(struct gather *g);
void gather_reply(struct gather *g, shard_id shard, uint32_t call, const struct reply *reply,
                  msec_t now, struct gather_effects *fx);
void gather_tick(struct gather *g, msec_t now, struct gather_effects *fx);
/* When a tick is due at the latest. */
msec_t gather_wake_ms(const struct gather *g);

#endif
