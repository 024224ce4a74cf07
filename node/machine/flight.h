/* The merges in flight of a shard: MERGING profiles and since when. A small open-addressing table,
 * kept in RAM beside the 'm' rows so that asking for the old ones does not walk the state. */
#ifndef MACHINE_FLIGHT_H
#define MACHINE_FLIGHT_H

#include <base/clock.h>
#include <cluster/slot.h>

#include <stdbool.h>
#include <stddef.h>

struct flight_entry {
    one_id profile; /* 0: free */
    msec_t began;
};
struct flight {
    struct flight_entry *slots;
    size_t n, cap; /* cap is 0 or a power of two */
};

void flight_close(struct flight *f);
/* `profile` must not be in it. */
void flight_add(struct flight *f, one_id profile, msec_t began);
/* False when it was not there. */
bool flight_remove(struct flight *f, one_id profile);
bool flight_has(const struct flight *f, one_id profile);

#endif
