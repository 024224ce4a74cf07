/* A peer with a good key and bad intentions. It makes messages as clients, routers and nodes send
 * them, spoils them in every way, and says them to all servers of a running cluster.
 *
 * What a key entitles its owner to is not an attack: a router may write any command, a node may
 * take part in Raft for its own replicas. So of those keys only what is broken, or speaks for
 * somebody else, is sent (hostile_may_send). */
#ifndef LIVE_HOSTILE_H
#define LIVE_HOSTILE_H

#include "forge.h"

#include <base/arena.h>
#include <base/rng.h>
#include <cluster/slot.h>
#include <proto/envelope.h>
#include <proto/key.h>

#include <stdio.h>

enum { TARGETS_MAX = 16, NODES_MAX = 8, PERSONS = 16, RECENT = 64, SHARDS = 6 };

enum trade { TRADE_READER, TRADE_WRITER, TRADE_ADMIN, TRADE_ROUTER, TRADE_NODE };

/* What is done to a message. */
#define SPOILS(X)                                                                                  \
    X(VALID, "valid")           /* nothing */                                                      \
    X(AGAIN, "again")           /* one of the last ones, perhaps to somebody else */               \
    X(FLIPPED, "flipped")       /* some bits */                                                    \
    X(CUT, "cut")               /* at any place */                                                 \
    X(GROWN, "grown")           /* bytes put in or behind */                                       \
    X(MISCOUNTED, "miscounted") /* items or length of the body in the envelope */                  \
    X(MISTYPED, "mistyped")     /* any of 256 types */                                             \
    X(MISPLACED, "misplaced")   /* shard, epoch or flags */                                        \
    X(SPLICED, "spliced")       /* the head of one and the tail of another */                      \
    X(WILD, "wild")             /* any fields of the protobuf message, in any form */              \
    X(RANDOM, "random")         /* no message at all */                                            \
    X(PARTS, "parts")           /* several parts */                                                \
    X(OVERSIZED, "oversized")   /* one byte more than the server takes */                          \
    X(ONCE, "once")             /* an event, to be counted once however often it is said */        \
    X(FORGED, "forged")         /* Raft messages and greetings in the name of others */            \
    X(IMPOSTOR, "impostor")     /* a greeting of this cluster that says it is another node, with a \
                                   new folder. Only when asked for */

enum spoil {
#define X(name, text) SPOIL_##name,
    SPOILS(X)
#undef X
        SPOIL_END
};

struct target {
    char name[16], endpoint[64], key[KEY_SIZE];
    node_id node; /* 0: a router */
    void *socket;
    uint64_t replica_folder; /* of the node, once known */
    int64_t opened_ms, heard_ms;
    unsigned said; /* messages since it was opened */
};

struct hostile {
    enum trade trade;
    enum spoil only; /* SPOIL_END: all of them */
    node_id node;    /* TRADE_NODE: whose key it is */
    struct key_pair keys;
    struct rng rng;
    struct target targets[TARGETS_MAX];
    size_t n_targets;
    struct arena arena;
    uint64_t epoch, cluster_id; /* of the map and the greetings; 0: not known yet */
    uint64_t digest;            /* of the cluster file, as greetings have it */
    uint64_t request_id;
    struct buf recent[RECENT];
    uint64_t n_recent;
    /* Events to be counted once: how many each person was sent, and how many were acknowledged. */
    uint64_t n_once, once_sent[PERSONS], once_acked[PERSONS];
    uint8_t *acked; /* by number */
    struct buf once[RECENT];
    uint64_t sent[SPOIL_END], kept_back, undelivered;
    uint64_t answers, errors, denied;
    uint64_t unreadable; /* answers that could not be decoded */
    uint64_t granted;    /* answers to what the key may not ask for */
};

enum { ONCE_MAX = 1 << 20 };
/* Request ids of such events: this bit and the number. */
#define ONCE_BIT (UINT64_C(1) << 63)

static inline uint64_t below(struct hostile *h, uint64_t n)
{
    return rng_below(&h->rng, n);
}
static inline bool chance(struct hostile *h, unsigned percent)
{
    return below(h, 100) < percent;
}

/* --- messages.c: as they should be --- */
/* Whole messages, appended to an empty buffer. */
void message_make(struct hostile *h, const struct target *to, struct buf *out);
void message_make_once(struct hostile *h, struct buf *out);
/* The same type of message with any fields that protobuf can have. */
void message_make_wild(struct hostile *h, const struct target *to, struct buf *out);

/* --- spoil.c --- */
void spoil(struct hostile *h, const struct target *to, enum spoil how, struct buf *message);
/* The cluster's number in a greeting (meta/greeting.h); 0: it is none. */
uint64_t hello_cluster(struct bytes greeting, uint64_t *digest);
bool hostile_may_send(struct hostile *h, const struct target *to, struct bytes message);

#endif
