/* The inside of the simulation (replica_sim.h): the world, its nodes, and what is checked. */
#ifndef TESTS_REPLICA_SIM_WORLD_H
#define TESTS_REPLICA_SIM_WORLD_H

#include "replica_sim.h"

#include <core.h> /* node/replica: the checks look inside */

#include <base/rng.h>

enum { NODES_MAX = 11, TERMS_MAX = 20000 };

enum sim_event_type {
    SIM_MESSAGE, /* arrives at `node` */
    SIM_TICK,
    SIM_DISK, /* the oldest operation of the node's disk is done */
    SIM_LOADED,
    SIM_RESTART,
    SIM_CLIENT,
    SIM_READ,
    SIM_CHAOS,
    SIM_ADMIN,
    SIM_HEAL,
    SIM_END
};

struct sim_message {
    unsigned from, to;
    struct bytes bytes; /* owned */
};

struct sim_event {
    uint64_t at, order; /* ties: first scheduled first */
    enum sim_event_type type;
    unsigned node;
    uint64_t life; /* of the node, or generation of its tick: old ones are ignored */
    struct sim_message *message;
};

/* What is applied: a chain of hashes, so that equal states have equal histories. */
struct sim_state {
    uint64_t applied, hash;
};

struct sim_entry {
    uint64_t term;
    uint8_t type;
    struct bytes data; /* owned */
};

struct sim_disk {
    uint64_t term, vote;
    struct replica_snapshot snapshot; /* conf is owned */
    struct sim_entry *entries;        /* entries[0] is `first` */
    size_t n, capacity;
    uint64_t first;
    struct sim_state state;
};

/* A WRITE on its way to the disk (it borrows from the replica, as in production), or an install. */
struct sim_op {
    struct sim_op *next;
    bool is_install;
    struct replica_write write;
    struct replica_install install; /* conf is owned */
};

/* A SEND that waits for a write. */
struct sim_held {
    struct sim_held *next;
    uint64_t after_seq;
    struct sim_message *message;
};

struct sim_read {
    uint64_t token, need; /* must see what was acknowledged before it was asked */
};

enum { READS_MAX = 64 };

struct sim_node {
    unsigned id;
    struct replica *replica; /* NULL: down */
    uint64_t life, tick_generation;
    struct sim_disk disk;
    struct sim_state state;
    struct sim_op *ops, **ops_end;
    uint64_t last_done; /* operations end in order */
    uint64_t durable_seq;
    struct sim_held *held;
    struct replica_role role;
    struct replica_load loads[LOADS_MAX]; /* asked for and not answered, a ring */
    size_t first_load, n_loads;
    struct sim_read reads[READS_MAX];
    size_t n_reads;
    unsigned slow; /* extra milliseconds of the disk */
    bool installing;
};

/* Everything the group ever said about one log index. */
struct sim_version {
    uint64_t term, hash, before; /* before: term of the entry in front; 0 = not known */
};

struct sim_index {
    struct sim_version *versions;
    size_t n;
    bool committed;
    uint64_t term, hash; /* of the committed entry */
    uint64_t seen_in;    /* lowest term in which somebody applied it */
    uint64_t chain;      /* state hash after it; 0 = not known */
};

struct sim {
    struct sim_options options;
    struct rng rng;
    uint64_t now, end;
    bool chaos;
    unsigned n;                           /* nodes that exist; they are numbered as they come */
    struct sim_node nodes[NODES_MAX + 1]; /* by id, from 1 */
    struct buf bootstrap;

    /* drawn from the seed */
    unsigned drop, duplicate, crash, crash_within; /* per mille */
    unsigned delay_max, disk_max, election_ms, heartbeat_ms, checkpoint_every, trailing, inflight;
    size_t cache_bytes;
    bool ordered, has_admin;
    unsigned voters_wanted;
    unsigned part[NODES_MAX + 1]; /* nodes in different parts do not hear each other */
    uint64_t last_arrival[NODES_MAX + 1][NODES_MAX + 1];

    struct sim_event *queue;
    size_t queued, queue_capacity;
    uint64_t order;

    struct sim_index *indexes;
    size_t n_indexes;
    uint64_t committed; /* highest committed index known */
    uint64_t leader_of[TERMS_MAX];
    uint64_t acknowledged; /* highest index a leader applied, and so answered */
    uint64_t commands, tokens;
    struct sim_result *result;
};

/* replica_sim.c */
void sim_fail(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *s, uint64_t a, uint64_t b, uint64_t c);
unsigned sim_below(struct sim *s, unsigned n);
bool sim_chance(struct sim *s, unsigned per_mille);
void sim_schedule(struct sim *s, uint64_t at, enum sim_event_type type, unsigned node,
                  uint64_t life, struct sim_message *message);
/* Takes the message. */
void sim_send(struct sim *s, struct sim_message *m);
void sim_message_free(struct sim_message *m);
struct bytes sim_copy(struct bytes b);
void sim_free(struct bytes b);

/* replica_sim_node.c: the shell of one replica and its disk */
/* An empty disk; a founder's has entry 1. */
void node_format(struct sim *s, struct sim_node *n, bool is_founder);
void node_start(struct sim *s, struct sim_node *n);
/* The disk keeps what was synced and perhaps some of what was not. */
void node_crash(struct sim *s, struct sim_node *n);
void node_close(struct sim_node *n);
void node_message(struct sim *s, struct sim_node *n, const struct sim_message *m);
void node_tick(struct sim *s, struct sim_node *n);
void node_disk_done(struct sim *s, struct sim_node *n);
void node_loaded(struct sim *s, struct sim_node *n);
void node_submit(struct sim *s, struct sim_node *n, unsigned commands);
void node_read(struct sim *s, struct sim_node *n);
/* True when the leader took it up. */
bool node_change(struct sim *s, struct sim_node *n, unsigned id, enum replica_member_role role);
void node_transfer(struct sim *s, struct sim_node *n, unsigned to);

/* replica_sim_check.c: the properties of Raft (Ongaro 2014, figure 3.2), and reads */
/* Entries are judged when they reach a disk. Before that, a sole voter that dies with its new term
 * unwritten takes the same term again, and what it had put there was never seen by anybody. */
void check_durable(struct sim *s, struct sim_node *n, const struct replica_write *w);
void check_applied(struct sim *s, struct sim_node *n, const struct replica_entry *e);
void check_leader(struct sim *s, struct sim_node *n);
void check_read(struct sim *s, struct sim_node *n, uint64_t need);
/* The leader with the highest term that is up. */
struct sim_node *check_find_leader(struct sim *s);
void check_end(struct sim *s);
void check_close(struct sim *s);

#endif
