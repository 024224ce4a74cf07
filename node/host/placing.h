/* How a node becomes what the cluster map wants: see placing.c. Private to host/. */
#ifndef HOST_PLACING_H
#define HOST_PLACING_H

#include "parts.h"

#include <cluster/placement.h>

static inline void shard_set_state(struct shard *s, enum shard_state state)
{
    atomic_store_explicit(&s->state, state, memory_order_release);
}

/* --- peers.c: the front --- */
/* Opens links to nodes that came, and closes those to nodes that are not named any more. */
void peers_follow(struct front *f, const struct cluster_map *map);
/* Tells the shards of nodes whose connections ended. Returns how long the front may wait until it
 * looks again. */
msec_t peers_notice(struct front *f);

/* --- placing.c: the front --- */
/* What another node said of its map and its shards. */
void placing_hear(struct front *f, size_t member, const struct greeting *g);
/* A map that came from shard 0 here, or from another node: taken over if it is newer. */
void placing_take(struct front *f, struct bytes map);
/* A router wants to be told of newer maps. */
void placing_watch(struct front *f, const struct message *m);
/* Follows the nodes of the map, has shards opened that are to be here, and others given up. Again
 * and again: a step that waits for another is taken later. */
void placing_follow(struct front *f);
/* The log thread: opens the shard and starts its thread. */
void placing_open(struct host_shared *h, struct wal *wal, struct shard *s);

/* --- remains.c --- */
/* In a transaction: a part of what the log has of the shard goes. `done`: nothing of it stays;
 * until then its records stay, which show at the next start that the rest has to go. */
enum error_code remains_forget(struct wal *wal, shard_id shard, bool *done, struct error *err);
/* A shard's folder has files only. It need not be there. */
enum error_code remains_remove(const char *folder, struct error *err);
/* Whoever opens a shard: whatever is here from an earlier time as a holder goes; s->since and
 * s->folder are set. */
enum error_code remains_renew(struct shard *s, struct wal *wal, struct error *err);
/* Main thread: what an interrupted giving up left behind goes. */
enum error_code remains_clean(struct host_shared *h, struct wal *wal, struct error *err);

/* --- shard_drop.c: the shard thread. From drop_begin on, until s->drop is DROP_DONE, it hands its
 * messages to drop_take and calls drop_tick; then drop_end, and it ends --- */
void drop_begin(struct shard *s);
void drop_take(struct shard *s, const struct message *m);
void drop_tick(struct shard *s);
void drop_end(struct shard *s);

/* --- keeper.c: the thread of shard 0 --- */
/* As its leader: puts changes of the map into the log that nobody asks for. */
void keeper_propose(struct shard *s, msec_t now);
/* After entries were applied: tells the front of a new map. */
void keeper_tell_front(struct shard *s);

#endif
