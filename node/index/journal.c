#include "journal.h"

#include <string.h>

enum { JOURNAL_CAP_MIN = 64 };

static void resize(struct mem *m, struct journal *j, uint32_t cap)
{
    struct journal_event *ring = mem_resize(m, NULL, 0, (size_t)cap * sizeof *ring);
    for (uint32_t i = 0; i < j->n; i++)
        ring[i] = *journal_at(j, i);
    (void)mem_resize(m, j->ring, (size_t)j->cap * sizeof *ring, 0);
    j->ring = ring;
    j->cap = cap;
    j->head = 0;
}

void journal_close(struct mem *m, struct journal *j)
{
    (void)mem_resize(m, j->ring, (size_t)j->cap * sizeof *j->ring, 0);
    *j = (struct journal){0};
}

void journal_begin(struct mem *m, struct journal *j, uint64_t log_index)
{
    journal_close(m, j);
    j->begin_index = log_index;
    j->begin_member = UINT64_MAX;
}

void journal_push(struct mem *m, struct journal *j, const struct journal_event *e)
{
    if (j->n == j->cap)
        resize(m, j, j->cap ? j->cap * 2 : JOURNAL_CAP_MIN);
    j->ring[(j->head + j->n) & (j->cap - 1)] = *e;
    j->n++;
}

void journal_shift(struct mem *m, struct journal *j)
{
    const struct journal_event *oldest = journal_at(j, 0);
    j->begin_index = oldest->log_index;
    j->begin_member = oldest->member;
    j->head = (j->head + 1) & (j->cap - 1);
    j->n--;
    if (j->cap > JOURNAL_CAP_MIN && j->n < j->cap / 4)
        resize(m, j, j->cap / 2);
}

bool journal_reaches(const struct journal *j, uint64_t log_index, one_id member)
{
    return !position_before(log_index, member, j->begin_index, j->begin_member);
}

uint32_t journal_find(const struct journal *j, uint64_t log_index, one_id member)
{
    uint32_t lo = 0, hi = j->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const struct journal_event *e = journal_at(j, mid);
        if (position_before(log_index, member, e->log_index, e->member))
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}
