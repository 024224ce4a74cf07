/* Appends to members without a vote: they wait here until what they carry is committed.
 *
 * A change of members counts as soon as it is in a log, committed or not. A leader that proposed a
 * standby as a voter and lost the lead then needs its vote; a standby that had something of another
 * leader which nobody else has any more would refuse it for ever, and may not lead itself. With
 * committed entries only, whatever a standby has is with a majority of the voters. */
#ifndef REPLICA_HOLD_H
#define REPLICA_HOLD_H

#include <raft.h>

#include <stdbool.h>
#include <stddef.h>

enum { HOLDS_MAX = 64 };

struct holds {
    struct raft_message waiting[HOLDS_MAX]; /* without entries, oldest first */
    size_t n;
};

struct replica;

/* True: the append is kept, or given up because enough wait. To the engine that is a slow network,
 * or a lost message. */
bool hold_append(struct replica *r, const struct raft_message *m);
/* Sends what may go now; forgets what is not of the current term. */
void hold_advance(struct replica *r);

#endif
