/* The journal of one watched segment: its newest events in a ring. */
#ifndef INDEX_JOURNAL_H
#define INDEX_JOURNAL_H

#include "mem.h"

#include <base/clock.h>
#include <cluster/slot.h>

#include <stdbool.h>

struct journal_event {
    uint64_t log_index;
    one_id member;
    uint64_t stamp; /* time in ms << 1 | enter */
};

/* Events rise by (log_index, member). All after (begin_index, begin_member) are there. */
struct journal {
    struct journal_event *ring;
    uint32_t cap; /* a power of two, or 0 */
    uint32_t head, n;
    uint64_t begin_index;
    one_id begin_member;
};

void journal_close(struct mem *m, struct journal *j);
/* Empty, beginning after the whole entry. */
void journal_begin(struct mem *m, struct journal *j, uint64_t log_index);
void journal_push(struct mem *m, struct journal *j, const struct journal_event *e);
/* The oldest goes; there is one. */
void journal_shift(struct mem *m, struct journal *j);
/* Does it hold everything after the position? */
bool journal_reaches(const struct journal *j, uint64_t log_index, one_id member);
/* The number of the first event after the position, counted from the oldest; j->n: none. */
uint32_t journal_find(const struct journal *j, uint64_t log_index, one_id member);

static inline const struct journal_event *journal_at(const struct journal *j, uint32_t i)
{
    return &j->ring[(j->head + i) & (j->cap - 1)];
}
static inline uint64_t journal_stamp(msec_t time_ms, bool enter)
{
    return (uint64_t)time_ms << 1 | enter;
}
static inline msec_t journal_time(const struct journal_event *e)
{
    return (msec_t)(e->stamp >> 1);
}
static inline bool journal_enters(const struct journal_event *e)
{
    return e->stamp & 1;
}
/* Is position a before b? */
static inline bool position_before(uint64_t a_index, one_id a_member, uint64_t b_index,
                                   one_id b_member)
{
    return a_index != b_index ? a_index < b_index : a_member < b_member;
}

#endif
