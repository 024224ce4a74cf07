/* The deterministic simulation of whole clusters: the machines, replicas and sagas of the processes
 * on one clock, one network that cuts, delays, loses, repeats and reorders, disks that lose what
 * was not synced, and stores in RAM.
 *
 * A shard is a group of 1, 3 or 5 replicas, each at a node of its own; nodes have replicas of
 * several shards. Beside them each shard has a *model*: a machine of its own that applies an entry
 * when the first replica does. Every replica must come to the model's state and answers at each
 * index. The model is what the committed log says, so the invariants of docs/protocol.md are
 * checked on it (shadowed by `struct ghost`) after every command, and the properties of Raft after
 * every effect (tests/support/group_check.h). The history of the clients' requests must be
 * linearizable.
 *
 * The seed decides everything; a run stops at the first thing that is wrong.
 *
 * world.c   time, events, the run       plan.c     what the seed decides
 * net.c     packets, cuts               chaos.c    crashes, cuts, slow disks, clocks
 * state.c   stores and machines         admin.c    members come and go
 * shard.c   the model                   replica.c  a replica's shell: entries, reads, checkpoints
 * node.c    start, crash, wiped disks   router.c   sagas, cache, batches, who leads
 * client.c  messages, retries, reads    history.c  linearizability
 * ghost.c   the shadow                  check.c    what must hold of it
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <fake_replica.h>

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
    NODES_MAX = 7,
    ROUTERS_MAX = 3,
    MESSAGES_MAX = 256,
    READS_MAX = 512,
    MESSAGE_IDS_MAX = 5,
    SLOTS_MAX = 128, /* sagas of one router */
    CACHE_MAX = 16,
    MEMBERS_MAX = 16,
    ENDS_MAX = NODES_MAX + ROUTERS_MAX /* of the network: nodes, then routers */
};

/* A guard taken out on the way between saga and machine, or a lie told to one of them: the checks
 * must notice each. */
enum mutation {
    MUTATION_NONE,
    MUTATION_ACK_EARLY,       /* the router answers before APPLY */
    MUTATION_FORGET_IDS,      /* shards forget message ids at once */
    MUTATION_ABORT_FIRST,     /* an ABORT overtakes the ABSORB of the same attempt */
    MUTATION_DONE_FOR_ABORT,  /* a refused loser is closed as if it had been absorbed */
    MUTATION_BRIDGE_ALL,      /* shared keys merge profiles */
    MUTATION_REPAIR_WRONG,    /* index entries are sent to a version too high */
    MUTATION_DROP_EARLY,      /* tombstones are dropped without a look */
    MUTATION_EMPTY_CONTENT,   /* message ids stay behind when a profile is absorbed */
    MUTATION_SKIP_ANY,        /* an identity that is missing is left out without a refusal */
    MUTATION_ACK_UNCOMMITTED, /* a leader answers what only itself has */
    MUTATION_ANSWER_BY_INDEX, /* a leader answers whatever was committed in the place of its entry
                               */
    MUTATION_READ_LOCAL,      /* who believes to lead answers reads at once */
    MUTATION_READ_NO_QUORUM,  /* reads ask no majority */
    MUTATION_SEND_EARLY,      /* replicas promise what is not on their disk */
    MUTATION_LOSE_LOG,        /* a crash takes a synced entry along */
    MUTATION_OLD_ID,          /* a wiped replica comes back as the one that it was */
    MUTATION_INSTALL_NOTHING, /* a snapshot is taken for installed without its state */
    MUTATION_OWN_CLOCK,       /* replicas apply by their own clocks */
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
    uint64_t sent_at, acked_at; /* steps of the run; sent_at: the first time */
    one_id told;
};

struct read_op {
    uint32_t id;      /* identity looked for; IDS_MAX: by One-ID */
    uint32_t message; /* by One-ID: the message that was answered with it */
    one_id profile;
    bool want_profile;
    uint32_t acks; /* acknowledgements when it was asked */
    bool answered;
    bool shown; /* with its content, or as not found */
    uint64_t asked_at, answered_at;
    uint64_t saw[MESSAGES_MAX / 64]; /* messages that it showed, by number */
};

/* --- network --- */

struct ticket {
    uint32_t slot, generation, call;
};

/* Between a router and a node, or two replicas. */
struct packet {
    uint16_t shard, router, node; /* node: the one that is asked, or that answers */
    uint32_t life;                /* of the router that asked */
    bool write;
    bool refused;      /* an answer: it does not lead the shard ... */
    uint32_t hint;     /* ... that node does; NODES_MAX: it does not know */
    uint64_t from, to; /* replicas */
    uint32_t n;
    struct ticket *tickets;
    struct buf body;
};

enum event_kind {
    EVENT_TO_NODE,    /* packet, of a router */
    EVENT_TO_ROUTER,  /* packet */
    EVENT_TO_REPLICA, /* packet, of another replica */
    EVENT_REPLICA,    /* a: node, b: shard, c: enum fake_event, d: its number */
    EVENT_COMMIT,     /* a: node, b: shard; what waits becomes an entry */
    EVENT_CHECKPOINT, /* a: node, b: shard, d: number; it is written */
    EVENT_FETCH,      /* a: node, b: shard, d: life; a snapshot's state comes, or not */
    EVENT_TICK,       /* a: router, b: slot, c: generation */
    EVENT_FLUSH,      /* a: router, b: life */
    EVENT_SEND,       /* a: message, client sends it (again) if it is not acked */
    EVENT_ARRIVE,     /* a: message, b: router */
    EVENT_ACKED,      /* a: message; what the router said arrives at the client */
    EVENT_READ,       /* a: read */
    EVENT_SWEEP,      /* a: router */
    EVENT_CRASH_ROUTER,
    EVENT_RESTART, /* a: node, b: life */
    EVENT_LOST,    /* a: node, b: another, whose connections seem to have ended */
    EVENT_CHAOS,
    EVENT_SECOND, /* misfortunes seldom come singly */
    EVENT_ADMIN,  /* a: shard */
    EVENT_JUMP    /* all wall clocks go on by days */
};

struct event {
    msec_t at;
    uint64_t number; /* ties: first come, first served */
    enum event_kind kind;
    uint32_t a, b, c;
    uint64_t d;
    struct packet *packet;
};

/* --- shards and their replicas --- */

/* What every replica has after an entry. */
struct mark {
    uint64_t state, answers;
};

/* The model of a shard: what its committed log gives. */
struct shard {
    struct store *store;
    struct machine *machine;
    struct group_check group;
    struct mark *marks; /* by index */
    size_t cap_marks;
    uint64_t committed; /* up to where it has applied */
    struct buf entry_1;
};

struct batch { /* of packets: an entry under way, or a read */
    struct batch *next;
    uint64_t index, term, token;
    struct packet **packets;
    size_t n, cap;
};

/* A replica of a shard at a node. */
struct hosted {
    struct world *world;
    struct fake_replica r; /* r.id 0: there is none */
    uint32_t node, shard;
    bool removed; /* a leader took up its removal */
    /* While it is down: the members in its log, if that they are is not committed to its knowledge
     * (n_changing 0: it is). */
    struct replica_member changing[MEMBERS_MAX];
    size_t n_changing;
    struct store *store;
    struct machine *machine;
    struct store *saved;  /* as of r.saved; NULL: empty */
    struct store *frozen; /* being written; NULL: none */
    struct fake_state frozen_as;
    uint64_t checkpoint;   /* number of the last */
    struct store *fetched; /* of the snapshot that is put in place */
    struct fake_state fetched_as;
    struct batch filling;
    bool commit_due;
    struct batch *flying, *reads;
};

struct node {
    bool up;
    uint32_t life;
    msec_t skew;         /* of its wall clock */
    msec_t paused_until; /* its process stands still */
    bool clients_first;  /* ... and then looks at clients before it does at peers */
    struct hosted hosted[SHARDS_MAX];
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

struct guess {
    uint32_t node;       /* that may lead the shard */
    msec_t silent_since; /* asked and not answered; 0: no */
};

struct router {
    uint32_t life;
    struct saga_slot slots[SLOTS_MAX];
    struct cache_entry cache[CACHE_MAX];
    size_t cache_size;
    struct outbox out[SHARDS_MAX][2]; /* [write] */
    struct guess guesses[SHARDS_MAX];
    bool flush_due;
};

/* --- world --- */

/* In seeds below, which ran before there was such a thing, nodes do not hear connections end: what
 * the seeds that are kept have found must come about again. */
enum { HEARS_ENDS_FROM = 3000000 };

struct plan { /* what the seed decided */
    uint32_t n_shards, n_replicas, n_nodes, n_routers, n_ids, n_messages, n_reads;
    uint32_t loss, dup, slow; /* of 1000 packets */
    uint32_t stray;           /* of 1000 reads: they are asked of any node */
    bool ordered;             /* peers are connected: nothing is repeated or overtakes */
    msec_t delay_max, slow_max, commit_max;
    uint32_t router_crashes, jumps;
    uint32_t crash, crash_within, blackout, cut, mend, slow_disk, bad_disk, clock,
        pause; /* of 1000 */
    bool has_admin;
    bool hears_ends; /* nodes notice that others' connections end, at times wrongly */
    uint32_t wipe;   /* of 1000 */
    uint64_t checkpoint_every, digest_every; /* entries */
    msec_t issue_ms;                         /* messages are issued in this time */
    uint32_t hot;                            /* of 100 messages, so many take a hot identity */
    size_t cache_size;
    uint32_t coalesce_ms;
};

struct world {
    uint64_t seed;
    enum mutation mutation;
    bool trace;
    struct rng rng;
    struct plan plan;
    struct fake_env env; /* of the replicas */
    msec_t now, days_ms;
    msec_t ahead_ms; /* the most that a wall clock was ever ahead */
    uint64_t steps;  /* events so far */
    bool healed;
    bool cut[ENDS_MAX][ENDS_MAX]; /* [from][to] */
    msec_t last_arrival[NODES_MAX][NODES_MAX];
    uint64_t ids_given, tokens; /* of replicas; of reads */
    struct cluster_config *config;
    struct cluster_map map;
    struct arena arena, scratch; /* scratch: of one event */
    struct event *heap;
    size_t n_heap, cap_heap;
    uint64_t n_events;
    struct universe_id ids[IDS_MAX];
    id_set of_namespace[4]; /* in the schema's order */
    struct shard shards[SHARDS_MAX];
    struct node nodes[NODES_MAX];
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
        uint64_t elections, referrals, lost, checkpoints, changes, transfers, wipes, cuts, pauses,
            ordered, ends;
    } seen; /* what happened: a simulation in which nothing happens proves nothing */
};

/* world.c */
void world_open(struct world *w, uint64_t seed, enum mutation mutation, bool trace);
void world_run(struct world *w);
void world_close(struct world *w);
struct event *world_schedule(struct world *w, msec_t in_ms, enum event_kind kind);
bool world_chance(struct world *w, uint32_t of_1000);
uint32_t world_between(struct world *w, uint32_t least, uint32_t most);
msec_t world_wall(const struct world *w);
void world_fail(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One line of the trace; its text is hashed whether it is printed or not. */
void world_trace(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void *world_alloc(struct world *w, size_t size);
uint32_t world_id_of(const struct world *w, struct identity id); /* IDS_MAX: not one of ours */
/* Is this guard out? Mutations end with the faults. */
bool world_lacks(const struct world *w, enum mutation m);
const char *mutation_name(enum mutation m);

/* plan.c */
void plan_make(struct world *w);
void plan_ids(struct world *w);
void plan_faults(struct world *w);

/* state.c */
struct store *state_new(uint32_t shard);
struct store *state_copy(struct store *from, uint32_t shard); /* from NULL: an empty one */
uint64_t state_digest(struct store *s);
struct machine *state_machine(struct world *w, uint32_t shard, struct store *store);

/* shard.c */
void shard_open(struct world *w, uint32_t shard);
void shard_close(struct shard *s);
/* An entry is its time, then the packets' bodies. */
void shard_put_packet(struct buf *entry, const struct packet *p);
struct reader shard_entry(const struct replica_entry *e, msec_t *now);
/* The commands of the next packet; false at the end. */
bool shard_next(struct world *w, struct reader *r, struct command **list, size_t *n);
/* A replica applies this entry: the model does, if it is the first. */
void shard_commit(struct world *w, uint32_t shard, const struct replica_entry *e);
/* Compares with the model: the answers, and the state now and then; with `answers` 0 only the
 * state.
 */
void shard_compare(struct world *w, const struct hosted *h, uint64_t index, uint64_t answers);
void shard_trace_command(struct world *w, uint32_t shard, const struct command *c,
                         const struct reply *r);

/* replica.c */
extern const struct fake_hooks replica_hooks;
/* A new replica with an empty disk; entry_1 for a first voter. */
void hosted_format(struct world *w, struct hosted *h, struct bytes entry_1);
void hosted_start(struct hosted *h);
/* The members that it goes by, if that they are is not committed to its knowledge. */
size_t hosted_changing(const struct hosted *h, struct replica_member list[MEMBERS_MAX]);
/* The process ends: what is not on disk is gone. */
void hosted_crash(struct hosted *h);
/* The replica and its disk are gone. */
void hosted_drop(struct hosted *h);
void hosted_request(struct hosted *h, struct packet *p); /* takes */
void hosted_commit(struct hosted *h);
void hosted_checkpoint(struct hosted *h, uint64_t number);
void hosted_fetch(struct hosted *h, uint64_t life);

/* node.c */
void node_open(struct world *w);
void node_close(struct world *w);
void node_crash(struct world *w, uint32_t node, msec_t down_ms);
void node_restart(struct world *w, uint32_t node);
/* Crashes, and comes back as other replicas on empty disks. */
void node_wipe(struct world *w, uint32_t node);
/* In a while `node` takes `lost` for dead. */
void node_tell_end(struct world *w, uint32_t node, uint32_t lost);
void node_on_end(struct world *w, uint32_t node, uint32_t lost);
void node_on_request(struct world *w, struct packet *p);                /* takes */
void node_on_peer(struct world *w, struct packet *p);                   /* takes */
struct hosted *node_find(struct world *w, uint32_t shard, uint64_t id); /* NULL: nowhere */
/* The leader that is up with the highest term; NULL: none. */
struct hosted *node_leader(struct world *w, uint32_t shard);
/* Has no replica of the shard heard of a later term than this leader's, and does no change of
 * members wait? Then its configuration is the one that counts. */
bool node_is_settled(struct world *w, const struct hosted *leader);

/* chaos.c */
void chaos_strike(struct world *w);
void chaos_strike_leader(struct world *w);
void chaos_end(struct world *w);

/* admin.c */
void admin_visit(struct world *w, uint32_t shard);
/* Would every group survive the loss of what this node has? */
bool admin_can_lose(struct world *w, uint32_t node);
/* Does each group have one leader, and voters only, which are all there and have the same state? */
bool admin_is_done(struct world *w);

/* net.c */
struct packet *packet_new(void);
void packet_free(struct packet *p);
/* Puts it on the wire; takes. */
void packet_send(struct world *w, struct packet *p, enum event_kind kind);
/* May it arrive now? */
bool packet_arrives(const struct world *w, const struct packet *p, enum event_kind kind);

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

/* history.c */
void history_check(struct world *w);

#endif
