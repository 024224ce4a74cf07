/* What the cluster file and the map say of nodes and of a shard's replicas. Pure functions. */
#ifndef ROUTE_KNOWN_H
#define ROUTE_KNOWN_H

#include <cluster/map.h>

/* A node that there is a link to. */
struct known_node {
    node_id id;
    /* Borrowed from the file, where that names the node (so that an address can be changed there),
     * else from the map. */
    const char *listen;
    bool is_in_map;
};
struct known_nodes {
    struct known_node nodes[CLUSTER_NODES_MAX];
    size_t n;
    size_t n_left_out; /* for which there was no room: of those that only the file names */
};

/* Of the map (NULL: there is none yet) first, then those that only the file has: not added yet, or
 * removed. */
void known_nodes_list(const struct cluster_config *c, const struct cluster_map *m,
                      struct known_nodes *out);

/* Where the node stands among all that hold the shard or are to; -1: it does not. */
int known_holder(const struct map_shard *s, node_id node);
/* Whom to ask first for the shard's leader: a replica that is there for certain. */
uint8_t known_first(const struct map_shard *s);
/* Has that holder the shard, and keeps it? Then it may be asked for what any replica may say. */
bool known_may_say(const struct map_shard *s, size_t at);

#endif
