/* May a node be taken out of the cluster? A function of what was heard: it asks nobody. */
#ifndef CTL_GUARD_H
#define CTL_GUARD_H

#include "survey.h"

/* Shards that the node holds and that could not go on without it. */
struct guard {
    size_t n_shards;
    uint16_t shards[8]; /* the first ones */
    char what[400];     /* which, and why */
    char help[300];
};

/* A shard goes on as long as a majority of the voters that remain answers. Where nobody remains,
 * the node has to be there until its data is elsewhere. True: none is in danger. */
bool guard_removal(const struct survey *v, uint16_t node, struct guard *out);

#endif
