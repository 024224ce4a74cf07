/* Appends to followers that need entries which are no longer in memory: they wait here while the
 * shell reads the log. Late or never is the same to the engine as a slow network. */
#ifndef REPLICA_LOAD_H
#define REPLICA_LOAD_H

#include "message.h"

#include <replica/replica.h>

enum {
    LOADS_MAX = 32,
    APPEND_BYTES_MAX = 8 << 20 /* of entries in one message, unless the first alone is larger */
};

struct loads {
    struct raft_message waiting[LOADS_MAX]; /* without entries, oldest first */
    size_t n;
};

struct replica;

/* Finds the append's entries in memory, and those that are not there in `loaded` (consecutive, may
 * be empty). Cuts the append to APPEND_BYTES_MAX and to what was found; false: not even the first
 * one. To the engine what was cut off is a message that got lost. Uses the replica's arena. */
bool load_fill(struct replica *r, struct message *m, const struct replica_entry *loaded, size_t n);
/* Keeps the append until its entries were loaded, and asks for them. Gives up the oldest when too
 * many wait. */
void load_defer(struct replica *r, const struct raft_message *m);
/* Sends what the loaded entries complete; forgets what is not of the current term. */
void load_done(struct replica *r, const struct replica_entry *loaded, size_t n);

#endif
