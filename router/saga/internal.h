/* What the sagas share inside: the state machine, calls in flight, closing of merges, help.
 *
 *  IDLE ─ ingest ─> APPLY <─────────────┬──────────┬─────── BACKOFF
 *                    │ │ └─ MERGING ─> HELP        │          ▲ (from any of them)
 *                    │ └─ MISSING ─> LINK ──> ABSORB ─┘
 *                    │                └─> FREEZE ──┘  (the profile itself goes into a smaller one)
 *                    └─ OK, DUP (also out of ABSORB): answered ─> TAIL ─> END
 *       ─ read ───> READ <─> READ_BACKOFF        READ ─> END
 *       ─ help ───> HELP ─> END
 *       ─ sweep ──> SWEEP_ASK ─> HELP | CHECK ─> FIND ─> FIX ─> DROP ─> next row … ─> END
 *
 * Every state but BACKOFF and READ_BACKOFF has calls in flight; any state may END at the deadline
 * or on an error that repeating cannot help.
 */
#ifndef SAGA_INTERNAL_H
#define SAGA_INTERNAL_H

#include <base/rng.h>
#include <saga/saga.h>

enum { CALLS_MAX = 160, CALLS_FIRST = 2, HOPS_MAX = 32 };

#define SAGA_STATES(X)                                                                             \
    X(IDLE)                                                                                        \
    X(APPLY)                                                                                       \
    X(LINK)                                                                                        \
    X(FREEZE)                                                                                      \
    X(ABSORB)                                                                                      \
    X(BACKOFF)                                                                                     \
    X(TAIL)                                                                                        \
    X(HELP)                                                                                        \
    X(READ)                                                                                        \
    X(READ_BACKOFF)                                                                                \
    X(SWEEP_ASK)                                                                                   \
    X(CHECK)                                                                                       \
    X(FIND)                                                                                        \
    X(FIX)                                                                                         \
    X(DROP)                                                                                        \
    X(END)

enum saga_state {
#define X(name) STATE_##name,
    SAGA_STATES(X)
#undef X
        STATE_COUNT
};

/* Whose a reply is. */
enum purpose {
    CALL_APPLY = 1,
    CALL_LINK,   /* at: number of the link */
    CALL_FREEZE, /* the profile itself */
    CALL_ABSORB, /* at: number of the loser */
    CALL_ABORT,
    CALL_CLOSE, /* REPAIR or DONE after a merge */
    CALL_HELP,
    CALL_READ,
    CALL_SWEEP,
    CALL_ROW /* at: number of what is checked in the row */
};

struct call {
    uint32_t number; /* the same for all copies: whichever is answered first counts, or a shard that
                        takes longer than the next copy waits would never be heard */
    enum purpose purpose;
    uint32_t at;
    uint32_t sends;
    msec_t resend_ms;
    slot_id slot;
    bool write;
    bool live; /* waits for a reply; else the entry is free */
    const struct command *command;
};

/* A committed merge whose index entries and loser are still to be brought up to date. */
struct closing {
    one_id loser, winner;
    uint32_t epoch;
    const struct holder *holders;
    size_t n_holders;
};

enum help_result { HELP_NOT_MERGING, HELP_ABSORBED, HELP_ABORTED, HELP_GAVE_UP };

struct help {
    enum { HELP_IDLE, HELP_LOCATE, HELP_ABSORB, HELP_CLOSE } phase;
    one_id root, at; /* whom to help; whom it is now (root, or what root's target waits for) */
    one_id target;
    uint32_t epoch;
    struct identity pair[2]; /* evidence: b in the loser, a in the target */
    enum help_result result; /* of root */
    one_id winner;           /* ABSORBED: where root went */
    uint32_t rounds;
};

enum link_state {
    LINK_ASKED,
    LINK_CLAIMED, /* born merging into the profile */
    LINK_FROZEN,  /* merging into the profile */
    LINK_LOWER,   /* lives in an older profile: the profile itself must go there */
    LINK_MERGING, /* its holder is in another merge: help that first */
    LINK_AGAIN,   /* things moved meanwhile: look again */
    LINK_SKIPPED
};

/* One identity that the profile does not hold yet. */
struct link {
    uint32_t id; /* place in in.ids */
    enum link_state state;
    one_id holder;
    uint32_t epoch;
    struct bytes content;
    bool hinted; /* holder is from a cache, not from the index */
    uint32_t hops;
};

struct loser {
    one_id profile, winner;
    uint32_t id; /* place in in.ids of the identity whose link this is */
    uint32_t epoch;
    struct identity a, b;
    struct bytes content;
    enum reply_status status; /* 0: not answered yet */
};

struct ingest {
    struct saga_ingest in;
    one_id profile; /* where APPLY goes; 0: to the index entry of the primary */
    uint32_t epoch;
    uint8_t *skip; /* one for each of in.ids, enum refusal; 0: not skipped */
    uint8_t *sent; /* place in in.ids of each identity of the APPLY under way */
    uint32_t n_sent;
    struct link *links; /* room for one of each of in.ids; NULL until the first is needed */
    uint32_t n_links;
    struct loser *losers; /* as `links` */
    uint32_t n_losers;
    uint32_t hops, restarts, freezes;
    uint32_t lower;  /* the link whose holder the profile is frozen into */
    bool with_apply; /* the batch of ABSORBs has an APPLY at its end */
    enum { SELF_MOVED, SELF_FROZEN, SELF_OTHER_EPOCH, SELF_MERGING } self;
    enum {
        NEXT_APPLY,
        NEXT_LINK,
        NEXT_HELP,
        NEXT_AGAIN,
        NEXT_TAIL
    } next;      /* when all replies are in */
    one_id help; /* NEXT_HELP: whom */
};

struct read {
    struct saga_read in;
    struct identity id; /* looked for; value.len == 0: none known */
    one_id profile;     /* asked; 0: the index */
    bool hinted;
    uint32_t hops, restarts;
    bool has_snapshot, is_claim;
    bool is_stale_ok; /* until replicas contradict each other */
    uint32_t age_ms;
    one_id snapshot_profile;
    struct bytes snapshot;
    one_id gone; /* a target that was not there any more; 0: none */
};

struct sweep {
    struct saga_sweep in;
    struct sweep_row *rows;
    size_t n_rows, row;
    size_t sent;        /* of the row's checks */
    bool give_up;       /* this row must wait for another sweep */
    one_id help;        /* an absorbed loser that is still merging */
    one_id *where;      /* per identity: where to look for its holder; 0: its index is up to date */
    uint32_t *versions; /* per identity: at that holder */
    uint32_t helped, dropped;
};

/* Thousands are in flight, and each step of one begins with cache misses: what the usual event
 * needs lies together, at the front, and what few need is in the arena. */
struct saga {
    enum saga_kind kind;
    enum saga_state state;
    msec_t now, deadline_ms, wait_ms; /* wait_ms: end of a back-off */
    struct saga_effects *fx;          /* of the step under way */
    struct arena arena;
    bool answered;
    uint32_t last_call;
    uint32_t n_calls, pending, cap_calls;
    struct call *calls; /* first_calls, or in the arena once these are too few */
    struct call first_calls[CALLS_FIRST];
    union {
        struct ingest ingest;
        struct read read;
        struct sweep sweep;
    } u;
    struct saga_answer answer;
    struct rng rng;
    struct closing *closings;
    size_t n_closings, cap_closings, closing, closing_holder;
    struct help help;
};

/* saga.c */
void saga_move(struct saga *s, enum saga_state to);
void *saga_alloc(struct saga *s, size_t size); /* zeroed; never NULL */
struct bytes saga_copy(struct saga *s, struct bytes b);
struct identity saga_copy_identity(struct saga *s, struct identity i);
struct command *saga_command(struct saga *s, enum command_type type, one_id profile);
bool saga_has_room(const struct saga *s, uint32_t calls);
void saga_send(struct saga *s, enum purpose purpose, uint32_t at, slot_id slot,
               const struct command *c);
void saga_learn(struct saga *s, struct identity id, one_id profile);
void saga_forget(struct saga *s, struct identity id, one_id profile);
void saga_answer(struct saga *s);
void saga_end(struct saga *s);
/* Answers with the code, unless answered, and ends. */
void saga_fail(struct saga *s, enum error_code code);
/* Goes to `state` and stays there until a random moment, later the higher `tries` is. */
void saga_back_off(struct saga *s, enum saga_state state, uint32_t tries);

/* help.c */
void closing_add(struct saga *s, one_id loser, one_id winner, uint32_t epoch,
                 const struct reply *absorbed);
/* Sends what there is room for; true when everything was sent and answered. */
bool closing_pump(struct saga *s);
void help_start(struct saga *s, one_id root);
void help_on_reply(struct saga *s, const struct call *c, const struct reply *r);
void help_settle(struct saga *s);
void help_saga_start(struct saga *s, const struct saga_help *in);

/* ingest.c, link.c */
void ingest_start(struct saga *s, const struct saga_ingest *in);
void ingest_on_reply(struct saga *s, const struct call *c, const struct reply *r);
/* All calls of the round are answered. */
void ingest_settle(struct saga *s);
void ingest_resume(struct saga *s);
void ingest_after_help(struct saga *s);
/* A shard refused the link between these two: if it is one of mine, I go on without it. */
void ingest_on_refusal(struct saga *s, const struct identity pair[2], enum refusal reason);
void ingest_apply(struct saga *s);
void ingest_again(struct saga *s);
void ingest_go_on(struct saga *s);
void ingest_send_apply(struct saga *s);
void link_begin(struct saga *s);
void link_on_reply(struct saga *s, struct link *l, const struct command *asked,
                   const struct reply *r);
void link_settle(struct saga *s);
void link_on_frozen_self(struct saga *s, const struct reply *r);
void link_on_absorb(struct saga *s, struct loser *l, const struct reply *r);
void link_self_settle(struct saga *s);
void link_absorb_settle(struct saga *s);

/* read.c, sweep.c */
void read_start(struct saga *s, const struct saga_read *in);
void read_on_reply(struct saga *s, const struct reply *r);
void read_resume(struct saga *s);
void sweep_start(struct saga *s, const struct saga_sweep *in);
void sweep_on_reply(struct saga *s, const struct call *c, const struct reply *r);
void sweep_settle(struct saga *s);
void sweep_after_help(struct saga *s);

#endif
