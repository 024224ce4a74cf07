/* The deterministic simulation of several shards and routers: the same machines and sagas as in the
 * processes, on one clock, one network that delays, loses, repeats and reorders, and stores in RAM.
 *
 * The seed decides everything. What the shards hold is shadowed (`struct ghost`) and checked after
 * every command (docs/protocol.md, invariants); a run stops at the first thing that is wrong.
 *
 * world.c   time, events, what a seed decides       shard.c   shards: log, crash, replay
 * router.c  routers: sagas, cache, batches          client.c  messages, retries, reads
 * ghost.c   the shadow, and how it may change       check.c   what must hold of it
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <base/arena.h>
#include <base/rng.h>
#include <cluster/config.h>
#include <cluster/map.h>
#include <machine/machine.h>
#include <proto/command.h>
#include <saga/saga.h>
#include <store/store.h>

#include <stdio.h>

enum {
    IDS_MAX = 48,
    SHARDS_MAX = 5,
    ROUTERS_MAX = 3,
    MESSAGES_MAX = 256,
    READS_MAX = 512,
    MESSAGE_IDS_MAX = 5,
    SLOTS_MAX = 128, /* sagas of one router */
    CACHE_MAX = 16
};

/* A guard taken out on the way between saga and machine, or a lie told to one of them: the checks
 * must notice each. */
enum mutation {
    MUTATION_NONE,
    MUTATION_ACK_EARLY,      /* the router answers before APPLY */
    MUTATION_FORGET_IDS,     /* shards forget message ids at once */
    MUTATION_ABORT_FIRST,    /* an ABORT overtakes the ABSORB of the same attempt */
    MUTATION_DONE_FOR_ABORT, /* a refused loser is closed as if it had been absorbed */
    MUTATION_BRIDGE_ALL,     /* shared keys merge profiles */
    MUTATION_LOSE_LOG,       /* a crash takes the last committed entry along */
    MUTATION_REPAIR_WRONG,   /* index entries are sent to a version too high */
    MUTATION_DROP_EARLY,     /* tombstones are dropped without a look */
    MUTATION_EMPTY_CONTENT,  /* message ids stay behind when a profile is absorbed */
    MUTATION_SKIP_ANY,       /* an identity that is missing is left out without a refusal */
    MUTATION_END
};

/* One bit an identity of the small universe. */
typedef uint64_t id_set;

struct universe_id {
    struct identity id;
    char text[16];
    bool bridges;
    slot_id slot;
};

/* --- the shadow --- */

struct ghost {
    one_id id;
    uint16_t shard;
    bool exists;
    bool dropped; /* it existed once */
    uint8_t state;
    uint32_t epoch;
    one_id target;
    bool born_merging;
    id_set ids;
    uint32_t version[IDS_MAX];
    one_id *absorbed;
    size_t n_absorbed;
    struct record_fence *fences;
    size_t n_fences;
    uint64_t row_hash;
    uint64_t seen; /* pass of the last refresh in which its row was there */
};

struct ghost_entry {
    bool exists;
    one_id profile;
    uint32_t version;
};

/* --- clients --- */

struct message {
    char text[16]; /* message id */
    uint32_t ids[MESSAGE_IDS_MAX];
    uint32_t n_ids, n_bridging;
    msec_t ts;
    bool has_behaviour;
    struct bytes facts, behaviour;
    /* What the shards did: the truth. */
    bool committed;
    one_id profile;
    id_set linked; /* primary and what was not refused */
    id_set apart;  /* refused for good: by a limit */
    /* What the client knows. */
    bool acked;
    uint32_t ack_number; /* acknowledgements before this one */
    uint32_t attempts;
    one_id told;
};

struct read_op {
    uint32_t id;      /* identity looked for; IDS_MAX: by One-ID */
    uint32_t message; /* by One-ID: the message that was answered with it */
    one_id profile;
    bool want_profile;
    uint32_t acks; /* acknowledgements when it was asked */
    bool answered;
};

/* --- network --- */

struct ticket {
    uint32_t slot, generation, call;
};

struct packet {
    uint16_t shard, router;
    uint32_t life; /* of the router that asked */
    bool write;
    uint32_t n;
    struct ticket *tickets;
    struct buf body;
};

enum event_kind {
    EVENT_TO_SHARD,  /* packet */
    EVENT_TO_ROUTER, /* packet */
    EVENT_COMMIT,    /* a: shard */
    EVENT_TICK,      /* a: router, b: slot, c: generation */
    EVENT_FLUSH,     /* a: router, b: life */
    EVENT_SEND,      /* a: message, client sends it (again) if it is not acked */
    EVENT_ARRIVE,    /* a: message, b: router */
    EVENT_ACKED,     /* a: message; what the router said arrives at the client */
    EVENT_READ,      /* a: read */
    EVENT_SWEEP,     /* a: router */
    EVENT_CRASH_ROUTER,
    EVENT_CRASH_SHARD,
    EVENT_RESTART_SHARD, /* a: shard */
    EVENT_CHECKPOINT,    /* a: shard */
    EVENT_JUMP           /* the wall clock goes on by days */
};

struct event {
    msec_t at;
    uint64_t number; /* ties: first come, first served */
    enum event_kind kind;
    uint32_t a, b, c;
    struct packet *packet;
};

/* --- shards --- */

struct logged {
    msec_t now;
    uint32_t items;
    struct buf body;
    bool end; /* last of its log entry */
};

struct shard {
    struct store *store;
    struct machine *machine;
    bool up, commit_due;
    struct logged *log;
    size_t n_log, cap_log;
    struct packet **queue;
    size_t n_queue, cap_queue;
    struct store *checkpoint; /* a copy of the store as of `checkpoint_log` parts of the log */
    size_t checkpoint_log;
    msec_t skew; /* of its wall clock */
};

/* --- routers --- */

struct cache_entry {
    uint32_t id;
    one_id profile;
};

struct saga_slot {
    struct saga *saga;
    bool busy;
    uint32_t generation;
    enum saga_kind kind;
    uint32_t request; /* message or read */
    msec_t tick_at;   /* earliest TICK under way */
};

struct outbox {
    struct buf body;
    struct ticket *tickets;
    size_t n, cap;
};

struct router {
    uint32_t life;
    struct saga_slot slots[SLOTS_MAX];
    struct cache_entry cache[CACHE_MAX];
    size_t cache_size;
    struct outbox out[SHARDS_MAX][2]; /* [write] */
    bool flush_due;
};

/* --- world --- */

struct plan { /* what the seed decided */
    uint32_t n_shards, n_routers, n_ids, n_messages, n_reads;
    uint32_t loss, dup, slow; /* of 1000 packets */
    msec_t delay_max, slow_max, commit_max;
    uint32_t router_crashes, shard_crashes, checkpoints, jumps;
    msec_t issue_ms; /* messages are issued in this time */
    uint32_t hot;    /* of 100 messages, so many take a hot identity */
    size_t cache_size;
    uint32_t coalesce_ms;
};

struct world {
    uint64_t seed;
    enum mutation mutation;
    bool trace;
    struct rng rng;
    struct plan plan;
    msec_t now, days_ms;
    bool healed;
    struct cluster_config *config;
    struct cluster_map map;
    struct arena arena, scratch; /* scratch: of one event */
    struct event *heap;
    size_t n_heap, cap_heap;
    uint64_t n_events;
    struct universe_id ids[IDS_MAX];
    id_set of_namespace[4]; /* in the schema's order */
    struct shard shards[SHARDS_MAX];
    struct router routers[ROUTERS_MAX];
    struct message messages[MESSAGES_MAX];
    struct read_op reads[READS_MAX];
    uint32_t n_reads, acks;
    struct ghost *ghosts;
    size_t n_ghosts, cap_ghosts;
    struct ghost_entry index[IDS_MAX];
    uint64_t pass, commands;
    struct saga_effects fx;
    uint64_t hash;
    bool failed;
    char failure[320];
    struct {
        uint64_t merges, refused, claims, helped, dropped, dups, crashes, reads, gotos;
    } seen; /* what happened: a simulation in which nothing happens proves nothing */
};

/* world.c */
void world_open(struct world *w, uint64_t seed, enum mutation mutation, bool trace);
void world_run(struct world *w);
void world_close(struct world *w);
struct event *world_schedule(struct world *w, msec_t in_ms, enum event_kind kind);
bool world_chance(struct world *w, uint32_t of_1000);
msec_t world_wall(const struct world *w);
void world_fail(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One line of the trace; its text is hashed whether it is printed or not. */
void world_trace(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void *world_alloc(struct world *w, size_t size);
uint32_t world_id_of(const struct world *w, struct identity id); /* IDS_MAX: not one of ours */

/* shard.c */
void shard_open(struct world *w, uint32_t shard);
void shard_close(struct shard *s);
void shard_on_packet(struct world *w, struct packet *p); /* takes */
void shard_commit(struct world *w, uint32_t shard);
void shard_crash(struct world *w, uint32_t shard);
void shard_restart(struct world *w, uint32_t shard);
void shard_checkpoint(struct world *w, uint32_t shard);

/* router.c */
void router_open(struct world *w, uint32_t router);
void router_close(struct router *r);
void router_on_packet(struct world *w, struct packet *p); /* takes */
void router_flush(struct world *w, uint32_t router, uint32_t life);
void router_tick(struct world *w, uint32_t router, uint32_t slot, uint32_t generation);
void router_ingest(struct world *w, uint32_t router, uint32_t message);
void router_read(struct world *w, uint32_t router, uint32_t read);
void router_sweep(struct world *w, uint32_t router);
void router_crash(struct world *w, uint32_t router);
struct packet *packet_new(void);
void packet_free(struct packet *p);
/* Puts it on the wire; takes. */
void packet_send(struct world *w, struct packet *p, enum event_kind kind);

/* client.c */
void client_plan(struct world *w);
void client_send(struct world *w, uint32_t message);
void client_on_answer(struct world *w, uint32_t message, const struct saga_answer *a);
void client_on_acked(struct world *w, uint32_t message);
uint32_t client_ask(struct world *w, uint32_t id);
void client_on_read(struct world *w, uint32_t read, const struct saga_answer *a);

/* ghost.c */
struct ghost *ghost_find(struct world *w, one_id p);
/* Takes over what the command changed in the shard, and checks how. */
void ghost_refresh(struct world *w, uint32_t shard, const struct command *c, const struct reply *r);
void ghost_close(struct world *w);
/* Does this profile hold its identities as of now? */
bool ghost_is_effective(struct world *w, const struct ghost *g);

/* check.c */
void check_state(struct world *w); /* after every command: cheap, on the shadow */
void check_books(struct world *w); /* at intervals: walks all machines */
void check_at_rest(struct world *w);

const char *mutation_name(enum mutation m);

#endif
