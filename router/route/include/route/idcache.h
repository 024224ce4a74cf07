/* The identity cache of a router: identity → One-ID in a fixed amount of memory.
 *
 * 16 bytes an entry: the identity's 64-bit hash and the One-ID, in sets of four (one cache line)
 * with the most recently used first. It is a hint and may be wrong (a merge elsewhere, two
 * identities with one hash): the profile itself refuses what is not its own. One thread. */
#ifndef ROUTE_IDCACHE_H
#define ROUTE_IDCACHE_H

#include <cluster/slot.h>

struct idcache;

/* `bytes` is rounded down to a power of two of at least 4 KiB. NULL when memory is out. */
struct idcache *idcache_new(size_t bytes);
void idcache_free(struct idcache *c);
/* 0: not known. */
one_id idcache_get(struct idcache *c, struct identity i);
/* The same in two steps, for who has several to ask for: the cache is far larger than the
 * processor's, and each look into it waits for memory unless that was announced. */
uint64_t idcache_announce(const struct idcache *c, struct identity i);
one_id idcache_get_announced(struct idcache *c, uint64_t key);
void idcache_put(struct idcache *c, struct identity i, one_id profile);
/* Drops the entry if it says `profile`. */
void idcache_drop(struct idcache *c, struct identity i, one_id profile);
/* Entries in use. */
size_t idcache_count(struct idcache *c);

#endif
