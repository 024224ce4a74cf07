/* Followers that are being given a state also need the log from there on: a checkpoint's trim
 * leaves it to them, within bounds, or a large state would be too old each time when it has
 * arrived.
 *
 * A record begins with the snapshot that the leader sends, and ends when the follower has come so
 * far that the usual trim leaves it enough, when it is no member any more, when what it lacks is
 * more than the bounds, or with the lead. */
#ifndef REPLICA_JOINING_H
#define REPLICA_JOINING_H

#include <stddef.h>
#include <stdint.h>

enum { JOININGS_MAX = 16, JOINING_ENTRIES_MAX = 2 << 20 };

struct joinings {
    struct joining {
        uint64_t id, index; /* the first snapshot that it was sent: it has that, or gets it */
    } list[JOININGS_MAX];
    size_t n;
    uint64_t term; /* that of the lead in which all was sent */
};

struct replica;

void joining_note(struct replica *r, uint64_t id, uint64_t index);
/* What a trim up to `upto` may let go of: that, or less. */
uint64_t joining_trim(struct replica *r, uint64_t upto);

#endif
