/* The guards: what stands between the engine's known defects and the group (docs/raft.md, table
 * "Defects and guards"). All messages to the engine go through guard_receive. */
#ifndef REPLICA_GUARD_H
#define REPLICA_GUARD_H

#include "core.h"

enum guard {
    GUARD_STALE = 1 << 0, /* D1 */
    GUARD_SPLIT = 1 << 1, /* D2 */
    /* D3: a sole voter elects itself at START without a new term. Two runs of it could then fill
     * the same index and term differently, and a vote given in that term would be doubled. So it
     * starts with the next term and its own vote, written before anything that depends on them. */
    GUARD_SOLE_VOTER = 1 << 2,
    GUARD_REJECTION = 1 << 3,     /* D4 */
    GUARD_NON_VOTER = 1 << 4,     /* D5 */
    GUARD_PRE_VOTE_TERM = 1 << 5, /* D6 */
    GUARD_CANDIDATE = 1 << 6,     /* D7 */
    GUARD_TRIMMED = 1 << 7,       /* D8 */
    GUARD_LATE_VOTE = 1 << 8,     /* vote results count only for a candidate */
    GUARD_INSTALLING = 1 << 9,    /* one snapshot install at a time */
    GUARD_STORED = 1 << 10,       /* apply only what is stored here */
    GUARD_READ_FLOOR = 1 << 11,   /* reads wait for an entry of the own term */
    GUARD_READ_QUORUM = 1 << 12,  /* reads ask a majority */
    GUARD_STANDBY = 1 << 13       /* standbys get only what is committed, see hold.h */
};

/* Tests only: takes guards away (a set of enum guard) to show what they are for. */
void guard_switch_off(struct replica *r, unsigned guards);
static inline bool guard_is_on(const struct replica *r, enum guard g)
{
    return !(r->guards_off & (unsigned)g);
}

/* A checked message of the engine's types, or MESSAGE_STALE: drops, rewrites or splits it, and
 * steps what is left. The caller settles. */
void guard_receive(struct replica *r, uint64_t from, struct message *m);
/* Before a TIMEOUT is stepped. */
void guard_before_timeout(struct replica *r);
/* A message that the engine wants to send. */
void guard_outgoing(const struct replica *r, struct raft_message *m);

#endif
