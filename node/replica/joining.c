#include "joining.h"

#include "core.h"

static struct joinings *joinings_of(struct replica *r)
{
    struct joinings *j = &r->joinings;
    if (!replica_is_leader(r) || j->term != r->raft.current_term)
        *j = (struct joinings){.term = r->raft.current_term};
    return j;
}

void joining_note(struct replica *r, uint64_t id, uint64_t index)
{
    struct joinings *j = joinings_of(r);
    /* Of several it may be putting the first in place; later ones are dropped meanwhile. */
    for (size_t i = 0; i < j->n; i++) {
        if (j->list[i].id == id)
            return;
    }
    if (j->n < JOININGS_MAX)
        j->list[j->n++] = (struct joining){.id = id, .index = index};
}

/* 0 also for one that is no member. */
static uint64_t match_of(const struct replica *r, const struct joining *j)
{
    raft_index match;
    return raft_match_index(&r->raft, j->id, &match) == 0 ? match : 0;
}

/* It may lose what the follower has or gets, but for the last of it, whose term is asked for. */
static uint64_t may_trim(const struct replica *r, const struct joining *j)
{
    uint64_t match = match_of(r, j), has = match > j->index ? match : j->index;
    return has - 1;
}

static uint64_t lowest_trim(const struct replica *r, const struct joinings *j, uint64_t upto)
{
    for (size_t i = 0; i < j->n; i++) {
        uint64_t may = may_trim(r, &j->list[i]);
        upto = may < upto ? may : upto;
    }
    return upto;
}

static bool is_over(const struct replica *r, const struct joining *j, uint64_t upto, uint64_t least)
{
    bool has_joined = match_of(r, j) >= j->index && may_trim(r, j) >= upto;
    return has_joined || may_trim(r, j) < least || !member_is_there(r, j->id);
}

uint64_t joining_trim(struct replica *r, uint64_t upto)
{
    struct joinings *j = joinings_of(r);
    uint64_t least = replica_walk_back(r, upto, lowest_trim(r, j, upto), JOINING_ENTRIES_MAX,
                                       r->options.joining_bytes);
    size_t kept = 0;
    for (size_t i = 0; i < j->n; i++) {
        if (!is_over(r, &j->list[i], upto, least))
            j->list[kept++] = j->list[i];
    }
    j->n = kept;
    return lowest_trim(r, j, upto);
}
