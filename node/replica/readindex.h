/* Linearizable reads at the leader: read-index with probes of our own (docs/raft.md). Reads that
 * wait are gathered into rounds. A round remembers the commit index at its start and asks the
 * voters whether the term still stands; with a majority its reads are served once that index was
 * applied. No leases: a restarted follower forgets its leader. */
#ifndef REPLICA_READINDEX_H
#define REPLICA_READINDEX_H

#include <base/clock.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { READINDEX_VOTERS_MAX = 64 };

struct tokens {
    uint64_t *list;
    size_t n, capacity;
};

struct readindex {
    struct tokens waiting; /* for the next round */
    struct tokens asking;  /* of the round that is under way */
    uint64_t round;        /* its id; ids are never used twice by a replica's life */
    uint64_t term, index;  /* the leader's term and commit index at its start */
    msec_t asked_ms;       /* when the round began */
    bool is_asking, is_confirmed;
    uint64_t acks[READINDEX_VOTERS_MAX];
    size_t n_acks;
};

struct replica;
struct message;

void readindex_close(struct readindex *x);
/* False: memory is out. */
bool readindex_add(struct readindex *x, uint64_t token);
/* Starts, confirms and serves what can be; fails all reads when this is no longer the leader of the
 * round's term. */
void readindex_advance(struct replica *r);
/* Asks again those who have not answered. */
void readindex_repeat(struct replica *r);
/* A PROBE or a PROBE_ACK. */
void readindex_receive(struct replica *r, uint64_t from, const struct message *m);

#endif
