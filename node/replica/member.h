/* Changes of the group's members, one server at a time (Ongaro 2014, section 4.1). */
#ifndef REPLICA_MEMBER_H
#define REPLICA_MEMBER_H

#include <replica/replica.h>

struct replica;

/* Starts a change; see replica_change. */
enum error_code member_change(struct replica *r, uint64_t id, enum replica_member_role role);
/* Ends a promotion whose server has caught up, or gave up. True when it stepped the engine. */
bool member_advance(struct replica *r);
bool member_is_there(const struct replica *r, uint64_t id);
bool member_is_changing(const struct replica *r);

#endif
