/* Well-formed messages of Raft, as only an attacker would make them. */
#ifndef LIVE_FORGE_H
#define LIVE_FORGE_H

#include <base/arena.h>
#include <base/rng.h>

/* No cluster gets there by itself: a replica that believed one of them can be told by its term. */
#define FORGED_TERM UINT64_C(1000000000)

void forge_raft_of(struct rng *rng, struct buf *out);
bool forge_is_raft(struct arena *arena, struct bytes b);

#endif
