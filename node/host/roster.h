/* Which change of members a leader makes next, so that its group becomes the one that the map
 * wants. A function of values. */
#ifndef HOST_ROSTER_H
#define HOST_ROSTER_H

#include <meta/members.h>
#include <replica/replica.h>

struct roster_change {
    uint64_t id;
    enum replica_member_role role;
};

/* Where the map wants a replica. */
struct roster_place {
    node_id node;
    uint32_t since;
    folder_id folder; /* the newest that was heard of; 0: none since this node began */
};

struct roster {
    const struct replica_member *have; /* the members as they are */
    const bool *is_there;              /* of each: was it heard of lately? */
    size_t n_have;
    const uint64_t *want; /* the replicas that should vote (meta/members.h: the id says node and
                             folder) */
    size_t n_want;
    bool is_complete; /* all that are wanted are known; else `want` has those that are */
    uint64_t self;    /* leads */
};

/* Sets r->want, which has room for n, and r->is_complete; r->have is set. Of a node that was not
 * heard of, the one that is a member is wanted. */
void roster_want(struct roster *r, const struct roster_place *places, size_t n, uint64_t *want);
/* First goes the replica of a folder that is lost, then what is missing comes in as a standby and
 * becomes a voter, and last goes who should not be there. One change at a time, in this order: a
 * lost folder only makes majorities harder, and whoever shall leave stays until the others are
 * complete, and until a majority of them is there: a live voter is worth more than a lost one.
 * While not all that are wanted are known, those that are come in, and nobody leaves but lost
 * folders. False: all is as it should be, or it cannot be made so now, or only `self` is too much,
 * which cannot remove itself. */
bool roster_next(const struct roster *r, struct roster_change *out);
/* Is anybody a member, or in another role, that should not be? */
bool roster_has_others(const struct roster *r);

#endif
