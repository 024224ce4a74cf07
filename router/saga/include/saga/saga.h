/* The router's sagas: how one request becomes commands to shards (docs/protocol.md).
 *
 * A core: no clock, socket, thread, log or random source. saga_step() takes one event and appends
 * effects, which the shell performs in order and without deciding anything. A saga may vanish at
 * any step (a router that dies): what it leaves behind is finished by another saga or by a sweep.
 *
 * One thread owns a saga. A saga object serves one request at a time and is pooled by the shell:
 *     saga_reset(s); build the input in saga_arena(s); saga_step(s, now, START); then REPLY and
 * TICK events until SAGA_END was among the effects. Everything an effect points to lives until the
 * next saga_step or saga_reset of that saga.
 *
 * Sending. Each SAGA_SEND has a call number, which names its reply. A command that is sent again
 * keeps its number, and whichever copy is answered first counts; otherwise a number is used once in
 * a saga's life (from reset to END), and a reply to a call that is answered already is ignored.
 * SENDs of one step that go to the same shard must be put into one batch (one message), adjacent
 * and in their order: the shard applies a batch in order and in one log entry. The core sends again
 * on its own timer; a shell that knows that a call failed (node not reachable, whole batch refused)
 * may say so at once by a REPLY with REPLY_ERROR and the error's code.
 *
 * Time. After each step saga_wake_ms() says when a TICK is due at the latest. An early TICK does no
 * harm, so a shell may keep coarse timers and need not cancel any.
 */
#ifndef SAGA_SAGA_H
#define SAGA_SAGA_H

#include <base/arena.h>
#include <base/clock.h>
#include <base/error.h>
#include <proto/command.h>

struct saga;

enum saga_kind { SAGA_NONE, SAGA_INGEST, SAGA_READ, SAGA_HELP, SAGA_SWEEP };

/* An event that is ready to be applied. The arrays and bytes live in saga_arena(). */
struct saga_ingest {
    const struct identity *ids; /* normalised, all different; bridging ones first, each part
                                   strongest first; ids[0] is the primary */
    const one_id
        *hints;        /* one for each: what the identity cache says, 0: nothing. NULL: no hints */
    size_t n_ids;      /* 1 … EVENT_IDENTITIES_MAX */
    size_t n_bridging; /* ids[n_bridging …] never cause a merge (the primary may be one) */
    const struct skip *skips; /* identities that were left out before (blocked, bad value) */
    size_t n_skips;
    struct bytes message_id;
    msec_t ts;
    struct bytes source;
    struct bytes facts;
    struct bytes behaviour;
};

/* Who is it? By an identity (which lives in saga_arena()), or by One-ID where id.value is empty. */
struct saga_read {
    struct identity id;
    one_id profile;    /* by One-ID: the question. By identity: what the cache says, 0: nothing */
    bool want_profile; /* the packed profile; else the One-ID only */
    bool stale_ok;     /* any replica may say it, as it is */
};

/* Finishes the merge in which `profile` is, if it is in one. */
struct saga_help {
    one_id profile;
};

/* Asks the shard that serves `slot` for merges left behind and tombstones; helps the former, drops
 * the latter when nothing leads to them any more. Run periodically for each shard by some router;
 * several at once do no harm. */
struct saga_sweep {
    slot_id slot;
    uint32_t age_ms; /* merges in flight for longer than this */
    uint32_t limit;  /* rows */
};

struct saga_start {
    enum saga_kind kind;
    msec_t deadline_ms; /* monotonic; then ERR_TIMEOUT is answered */
    uint64_t seed;      /* for the jitter of retries */
    union {
        struct saga_ingest ingest;
        struct saga_read read;
        struct saga_help help;
        struct saga_sweep sweep;
    } in;
};

enum saga_event_kind { SAGA_START = 1, SAGA_REPLY, SAGA_TICK };

struct saga_event {
    enum saga_event_kind kind;
    const struct saga_start
        *start;                /* START; borrowed for the call (what it points to: see above) */
    uint32_t call;             /* REPLY */
    const struct reply *reply; /* REPLY; borrowed for the call with all it points to */
};

enum saga_effect_kind {
    SAGA_SEND = 1,    /* call, slot (route by it), write, command */
    SAGA_ANSWER,      /* answer: exactly once in INGEST, READ, HELP and SWEEP, before END */
    SAGA_LEARN,       /* id, profile: put into the identity cache */
    SAGA_FORGET,      /* id, profile: drop from the identity cache if it says `profile` */
    SAGA_REFRESH_MAP, /* the cluster map may be old: fetch it, at most every now and then */
    SAGA_END          /* last effect of the saga: it may be reset */
};

struct saga_answer {
    enum error_code code;       /* OK, TIMEOUT, NOT_FOUND (READ), ERASED, or what a shard said */
    bool duplicate;             /* INGEST: the message had been counted before */
    one_id profile;             /* INGEST, READ: the One-ID */
    const struct skip *refused; /* INGEST: identities that were not linked, and why */
    size_t n_refused;
    struct bytes content;     /* READ with want_profile: packed (proto/request.h, profile_decode);
                                 may borrow from the reply of the step: perform ANSWER before the
                                 reply goes */
    uint32_t age_ms;          /* READ with stale_ok: at most so old */
    uint32_t helped, dropped; /* SWEEP: merges finished, tombstones dropped. HELP: helped */
};

struct saga_effect {
    enum saga_effect_kind kind;
    uint32_t call;
    slot_id slot;
    bool write; /* through the log; else a read at the leader ... */
    bool stale; /* ... or at any replica */
    const struct command *command;
    struct identity id;
    one_id profile;
    const struct saga_answer *answer;
};

/* Zero it to start; the shell keeps it over steps and empties it (n = 0) before each. */
struct saga_effects {
    struct saga_effect *items;
    size_t n, cap;
};
void saga_effects_free(struct saga_effects *fx);

/* NULL when memory is out. */
struct saga *saga_new(void);
void saga_free(struct saga *s);
/* Ready for a START; forgets everything, keeps memory for the next request. */
void saga_reset(struct saga *s);
/* Where the input of the next START is built; valid from saga_reset to SAGA_END. */
struct arena *saga_arena(struct saga *s);

/* For a shell that knows which sagas it steps next: brings the saga into the cache, and, a few
 * steps later, what it keeps of its input. Thousands of sagas do not fit there. */
void saga_prefetch(const struct saga *s);
void saga_prefetch_input(const struct saga *s);

void saga_step(struct saga *s, msec_t now_mono_ms, const struct saga_event *e,
               struct saga_effects *fx);

/* A TICK is due at this time at the latest (monotonic). INT64_MAX when the saga has ended. */
msec_t saga_wake_ms(const struct saga *s);
/* Name of the state, for logs and traces. */
const char *saga_state_name(const struct saga *s);

#endif
