/* Which change of members a leader makes next, so that its group becomes the one that the map
 * wants. A function of values. */
#ifndef HOST_ROSTER_H
#define HOST_ROSTER_H

#include <replica/replica.h>

struct roster_change {
    uint64_t id;
    enum replica_member_role role;
};

/* `have`: the members as they are; `want`: the replicas that should vote (meta/members.h: the id
 * says node and folder); `self` leads. First goes the replica of a folder that is lost, then what
 * is missing comes in as a standby and becomes a voter, and last goes who should not be there. One
 * change at a time, in this order: a lost folder only makes majorities harder, and whoever shall
 * leave stays until the others are complete. False: all is as it should be, or only `self` is too
 * much, which cannot remove itself. */
bool roster_next(const struct replica_member *have, size_t n_have, const uint64_t *want,
                 size_t n_want, uint64_t self, struct roster_change *out);

#endif
