/* How old a follower's state may be: what its leader had committed when it sent a message is in the
 * state from the moment that it is applied here, so the state is at most as old as that message.
 * Counted from its arrival: what it took on its way is not known, as clocks of nodes are not
 * compared. */
#ifndef REPLICA_AGE_H
#define REPLICA_AGE_H

#include <base/clock.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AGE_SAMPLES = 32, AGE_SAMPLE_MS = 20 };

struct age {
    struct {
        uint64_t commit;
        msec_t heard_ms;
    } samples[AGE_SAMPLES]; /* not applied yet, oldest first */
    size_t n;
    msec_t fresh_ms; /* the state holds what was committed then */
    bool is_known;
};

/* A leader of the current term said how far it had committed, or this replica led then and has been
 * confirmed since. */
void age_heard(struct age *a, uint64_t commit, msec_t now);
void age_applied(struct age *a, uint64_t applied);

#endif
