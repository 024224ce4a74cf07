/* A deterministic simulation of a group of replicas: one fake clock, a network that delays, loses,
 * doubles and reorders, disks that lose what was not synced when a replica crashes, partitions.
 * The seed picks everything; the same seed gives the same trace. */
#ifndef TESTS_REPLICA_SIM_H
#define TESTS_REPLICA_SIM_H

#include <stdbool.h>
#include <stdint.h>

struct sim_options {
    uint64_t seed;
    unsigned replicas;   /* 0: the seed picks 1, 3 or 5 */
    unsigned guards_off; /* enum guard */
};

/* What happened, so that a test can tell that it tested something. */
struct sim_counts {
    uint64_t events, elections, crashes, applies, acknowledged, truncations, installs, trims, loads,
        reads, changes, transfers;
};

struct sim_result {
    bool failed;
    char what[240]; /* the first violated property */
    uint64_t trace; /* hash of all events and effects */
    struct sim_counts counts;
};

void sim_run(const struct sim_options *o, struct sim_result *out);

#endif
