/* What each router says of itself and of the nodes. */
#ifndef CTL_SURVEY_H
#define CTL_SURVEY_H

#include "options.h"

#include <cluster/config.h>
#include <oneid/oneid.h>

struct router_state {
    const char *endpoint;
    bool answers;
    char text[200];              /* when it does not */
    int64_t asked_ms, heard_ms;  /* this machine's wall clock */
    struct oneid_result *status; /* NULL: it does not answer */
    struct oneid_result *stats;  /* of the shards; NULL: not asked for, or no answer */
    struct oneid_result *map;    /* the cluster map that it has; NULL: it does not answer */
};

struct survey {
    struct cluster_config *config; /* NULL: --router was given */
    struct router_state routers[CLUSTER_ROUTERS_MAX];
    size_t n_routers, n_answers;
};

/* Asks one router after the other; with `stats` also how each shard answers through it.
 * EXIT_PROBLEM: the cluster file cannot be read, which has been told. */
int survey_open(struct survey *v, const struct options *o, bool stats);
void survey_close(struct survey *v);

/* What the node said last, through whichever router; NULL: nobody heard from it. */
const struct oneid_node *survey_node(const struct survey *v, uint16_t node);
/* The replica that leads by the newest term, and its node; NULL: none does. */
const struct oneid_replica *survey_leader(const struct survey *v, uint16_t shard, uint16_t *node);
/* The newest cluster map that a router has; NULL: nobody showed one. */
const struct oneid_map *survey_map(const struct survey *v);
/* Of the cluster's nodes, as a router names them; NULL: none answers. */
const struct oneid_result *survey_any(const struct survey *v);
const struct oneid_replica *survey_replica(const struct oneid_node *n, uint16_t shard);

#endif
