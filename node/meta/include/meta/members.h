/* Which data folders the nodes of the cluster have.
 *
 * Every folder has a number of its own, made at its first start and kept in its log. A replica's id
 * is made of that number, its node's, and the epoch that gave it the shard: so a node whose folder
 * was lost, or that gave the shard up and gets it back, is another replica, which has no vote until
 * the group takes it in, and messages to the one that is gone go nowhere.
 *
 * At the first start of a cluster the nodes tell each other their folders (MESSAGE_HELLO). A node
 * founds its shards when all the others say the same as it, so that a new cluster begins when all
 * its nodes are there and have the same first map; or when one that has founded already says that
 * this very folder is among the founders. Where another folder of this node is among them, this one
 * is new: it joins, empty, and founds nothing. So it does when another one has joined: there is a
 * cluster, whose founders' folders may all be gone by and by.
 *
 * A core: no clock, socket or disk. One owner, one thread.
 */
#ifndef META_MEMBERS_H
#define META_MEMBERS_H

#include <cluster/map.h>

/* 48 bits, never 0: seconds since 2020, then 16 random bits. A newer folder has a larger one. */
typedef uint64_t folder_id;
enum { FOLDER_RANDOM_BITS = 16, REPLICA_NODE_BITS = 16 };

/* `since`: as in the map (cluster/map.h). The founders' ids show their folders. */
uint64_t replica_id_of(folder_id folder, node_id node, uint32_t since);
static inline node_id node_of_replica(uint64_t replica)
{
    return (node_id)(replica & ((1U << REPLICA_NODE_BITS) - 1));
}
static inline folder_id folder_of_replica(uint64_t replica)
{
    return replica >> REPLICA_NODE_BITS;
}

enum members_state {
    MEMBERS_FORMING = 0, /* nobody votes yet */
    MEMBERS_FOUNDER = 1, /* the shards begin with the founders as their voters */
    MEMBERS_JOINER = 2   /* all shards begin empty */
};

struct member {
    node_id node;
    folder_id folder;  /* the newest that was heard of; 0: none yet */
    folder_id founder; /* that its shards were founded with, as far as this node knows; 0: none */
    bool agrees;       /* FORMING: said the same as this node, since that last changed */
    bool is_founded;   /* FORMING: has founded, and this folder is among its founders */
    bool is_joiner;    /* FORMING: has joined: there is a cluster already */
    bool differs;      /* FORMING: would found from another map: it has another cluster file */
};

struct members {
    uint64_t cluster_id;
    uint64_t digest; /* of the map that this node would found from */
    node_id self;
    enum members_state state;
    bool is_unsaved; /* what must be stored before anybody is told: a node that forgot what it said
                        could agree to two different groups of founders */
    size_t n;
    struct member list[CLUSTER_NODES_MAX]; /* this node first */
};

/* A new folder. `map`: the one of a first start; its nodes are the founders, if they all agree. */
void members_init(struct members *m, const struct cluster_map *map, node_id self, folder_id folder);
/* A node that came to the cluster later; NULL: there is no room. */
struct member *members_add(struct members *m, node_id node);
/* NULL: not of the cluster. */
struct member *members_find(struct members *m, node_id node);
const struct member *members_self(const struct members *m);

/* What this node says of itself and the founders; appended. */
void members_put_hello(const struct members *m, struct buf *out);
/* Which node says so; 0: it is not a hello. A node speaks for itself alone: whoever hands one to
 * members_hear makes sure that it came from that node. */
node_id members_hello_node(struct bytes hello);
/* What another one said. ERR_MISMATCH: of another cluster; ERR_MALFORMED. `*from` is set on
 * success; a node that is not in the list changes nothing. */
enum error_code members_hear(struct members *m, struct bytes hello, node_id *from,
                             struct error *err);
/* Moves on from FORMING when what was heard allows it, and returns the state. A group of one needs
 * to hear nothing. */
enum members_state members_form(struct members *m);
/* FORMING: must this one still be asked? */
bool members_waits_for(const struct members *m, const struct member *of);

/* For the log, see is_unsaved: own folder, state and founders; and back, into an initialised one,
 * whose own folder is replaced. ERR_CORRUPT. */
void members_encode(const struct members *m, struct buf *out);
enum error_code members_decode(struct members *m, struct bytes b, struct error *err);

#endif
