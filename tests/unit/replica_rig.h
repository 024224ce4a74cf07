/* Replica 1 of a group by itself: the test plays the others. */
#ifndef REPLICA_RIG_H
#define REPLICA_RIG_H

#include <guard.h> /* node/replica: the switches are not part of the contract */

#include <replica/replica.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

struct rig {
    struct replica *replica;
    struct replica_effects effects; /* of the last event */
    struct arena arena;
    struct buf conf; /* of entry 1 */
    msec_t now;
};

struct member {
    uint64_t id;
    int role;
};

extern const struct member rig_three[3]; /* voters */
extern const struct member rig_sole[1];

void rig_conf(struct buf *out, const struct member *members, size_t n);
/* Goes on with rig_open, or with a replica that the test has opened. */
void rig_start(struct rig *g, unsigned guards_off);
/* Replica 1 with entry 1 and the given term. */
void rig_open(struct rig *g, const struct member *members, size_t n, uint64_t term,
              unsigned guards_off);
void rig_receive(struct rig *g, uint64_t from, const struct message *m);
void rig_tick(struct rig *g);
void rig_persist(struct rig *g);
bool rig_find_sent(struct rig *g, enum message_type type, struct message *out);
size_t rig_count(const struct rig *g, enum replica_effect_type type);
struct message rig_append(uint64_t term, uint64_t prev, uint64_t prev_term);
struct message rig_append_result(uint64_t term, uint64_t rejected, uint64_t last);
struct message rig_vote(uint64_t term, uint64_t candidate, bool pre_vote);
/* Has replica 2 grant whatever replica 1 asks for, until it leads. */
void rig_elect(struct rig *g);
void rig_submit(struct rig *g);
int rig_setup(void **state);
int rig_teardown(void **state);
/* The newest append to a replica in the last event's effects: how many entries it has, or -1. */
int rig_appended_to(struct rig *g, uint64_t to, struct message *out);

#endif
