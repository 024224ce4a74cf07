#include "roster.h"

static const struct replica_member *find(const struct replica_member *have, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++) {
        if (have[i].id == id)
            return &have[i];
    }
    return NULL;
}

static bool is_wanted(const uint64_t *want, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++) {
        if (want[i] == id)
            return true;
    }
    return false;
}

/* 0: of this node nothing is known. */
static uint64_t replica_at(const struct roster *r, const struct roster_place *p)
{
    if (p->folder)
        return replica_id_of(p->folder, p->node, p->since);
    for (size_t i = 0; i < r->n_have; i++) {
        if (node_of_replica(r->have[i].id) == p->node)
            return r->have[i].id;
    }
    return 0;
}

void roster_want(struct roster *r, const struct roster_place *places, size_t n, uint64_t *want)
{
    r->want = want;
    r->n_want = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t id = replica_at(r, &places[i]);
        if (id)
            want[r->n_want++] = id;
    }
    r->is_complete = n > 0 && r->n_want == n;
}

/* Another folder of the same node is wanted: this one is gone. */
static bool is_lost(const uint64_t *want, size_t n, uint64_t id)
{
    if (is_wanted(want, n, id))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (node_of_replica(want[i]) == node_of_replica(id))
            return true;
    }
    return false;
}

static bool change(struct roster_change *out, uint64_t id, enum replica_member_role role)
{
    *out = (struct roster_change){.id = id, .role = role};
    return true;
}

/* Would the voters that stay have a majority that is there? */
static bool can_lose(const struct roster *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_have; i++)
        n += r->is_there[i] && is_wanted(r->want, r->n_want, r->have[i].id);
    return r->is_complete && n > r->n_want / 2;
}

bool roster_next(const struct roster *r, struct roster_change *out)
{
    for (size_t i = 0; i < r->n_have; i++) {
        if (r->have[i].id != r->self && is_lost(r->want, r->n_want, r->have[i].id))
            return change(out, r->have[i].id, REPLICA_GONE);
    }
    for (size_t i = 0; i < r->n_want; i++) {
        const struct replica_member *m = find(r->have, r->n_have, r->want[i]);
        if (!m)
            return change(out, r->want[i], REPLICA_STANDBY);
        if (m->role != REPLICA_VOTER)
            return change(out, r->want[i], REPLICA_VOTER);
    }
    for (size_t i = 0; i < r->n_have && can_lose(r); i++) {
        if (r->have[i].id != r->self && !is_wanted(r->want, r->n_want, r->have[i].id))
            return change(out, r->have[i].id, REPLICA_GONE);
    }
    return false;
}

bool roster_has_others(const struct roster *r)
{
    for (size_t i = 0; i < r->n_have; i++) {
        if (!is_wanted(r->want, r->n_want, r->have[i].id) || r->have[i].role != REPLICA_VOTER)
            return true;
    }
    return false;
}
