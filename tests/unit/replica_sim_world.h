/* The inside of the simulation (replica_sim.h): the world, its nodes, and what is checked. */
#ifndef TESTS_REPLICA_SIM_WORLD_H
#define TESTS_REPLICA_SIM_WORLD_H

#include "replica_sim.h"

#include <fake_replica.h>

enum { NODES_MAX = 11 };

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

struct sim_read {
    uint64_t token, need; /* must see what was acknowledged before it was asked */
};

enum { READS_MAX = 64 };

struct sim_node {
    unsigned id;
    struct fake_replica r; /* no state machine: its history stands for one */
    struct sim_read reads[READS_MAX];
    size_t n_reads;
};

struct sim {
    struct sim_options options;
    struct rng rng;
    struct fake_env env; /* with the clock */
    struct group_check group;
    bool chaos;
    unsigned n;                           /* nodes that exist; they are numbered as they come */
    struct sim_node nodes[NODES_MAX + 1]; /* by id, from 1 */
    struct buf bootstrap;

    /* drawn from the seed */
    unsigned drop, duplicate, crash, crash_within; /* per mille */
    unsigned delay_max, checkpoint_every;
    bool ordered, has_admin;
    unsigned voters_wanted;
    unsigned part[NODES_MAX + 1]; /* nodes in different parts do not hear each other */
    uint64_t last_arrival[NODES_MAX + 1][NODES_MAX + 1];

    struct sim_event *queue;
    size_t queued, queue_capacity;
    uint64_t order;

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

/* replica_sim_node.c: what the replicas reach of the world */
extern const struct fake_hooks sim_hooks;
/* An empty disk; a founder's has entry 1. */
void node_format(struct sim *s, struct sim_node *n, bool is_founder);
/* Down for a while; what its clients asked is forgotten. */
void node_crash(struct sim *s, struct sim_node *n);
void node_submit(struct sim *s, struct sim_node *n, unsigned commands);
void node_read(struct sim *s, struct sim_node *n);
/* True when the leader took it up. */
bool node_change(struct sim *s, struct sim_node *n, unsigned id, enum replica_member_role role);
void node_transfer(struct sim *s, struct sim_node *n, unsigned to);

/* replica_sim_check.c: beside the properties of Raft (group_check.h): reads, and that a group comes
 * back */
void check_read(struct sim *s, struct sim_node *n, uint64_t need);
/* The leader with the highest term that is up. */
struct sim_node *check_find_leader(struct sim *s);
void check_end(struct sim *s);

#endif
