/* What placing.c offers: see there. Private to host/. */
#ifndef HOST_PLACING_H
#define HOST_PLACING_H

#include "parts.h"

#include <cluster/placement.h>

/* --- the front --- */
/* What another node said of its map and its shards. */
void placing_hear(struct front *f, size_t member, const struct greeting *g);
/* A map that came from shard 0 here, or from another node: taken over if it is newer. */
void placing_take(struct front *f, struct bytes map);
/* A router wants to be told of newer maps. */
void placing_watch(struct front *f, const struct message *m);
/* Opens links to nodes that came, has shards opened that are to be here, and others given up. Again
 * and again: a step that waits for another is taken later. */
void placing_follow(struct front *f);

/* --- the log thread --- */
/* Opens the shard and starts its thread. */
void placing_open(struct host_shared *h, struct wal *wal, struct shard *s);
/* In a transaction: nothing of the shard stays in the log. */
enum error_code placing_forget(struct wal *wal, shard_id shard, struct error *err);

/* --- whoever opens a shard --- */
/* Whatever is here from an earlier time as a holder goes; s->since and s->folder are set. */
enum error_code placing_renew(struct shard *s, struct wal *wal, struct error *err);
/* Main thread: what an interrupted giving up left behind. */
enum error_code placing_clean(struct host_shared *h, struct wal *wal, struct error *err);

/* --- the shard thread: giving up. From placing_drop on, until s->drop is DROP_DONE, it hands its
 * messages to placing_drop_take and calls placing_drop_tick; then placing_dropped, and it ends ---
 */
void placing_drop(struct shard *s);
void placing_drop_take(struct shard *s, const struct message *m);
void placing_drop_tick(struct shard *s);
void placing_dropped(struct shard *s);

/* --- the thread of shard 0 --- */
/* As its leader: puts changes of the map into the log that nobody asks for. */
void placing_propose(struct shard *s, msec_t now);
/* After entries were applied: tells the front of a new map. */
void placing_tell_front(struct shard *s);

#endif
