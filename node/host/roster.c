#include "roster.h"

#include <meta/members.h>

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

bool roster_next(const struct replica_member *have, size_t n_have, const uint64_t *want,
                 size_t n_want, uint64_t self, struct roster_change *out)
{
    for (size_t i = 0; i < n_have; i++) {
        if (have[i].id != self && is_lost(want, n_want, have[i].id))
            return change(out, have[i].id, REPLICA_GONE);
    }
    for (size_t i = 0; i < n_want; i++) {
        const struct replica_member *m = find(have, n_have, want[i]);
        if (!m)
            return change(out, want[i], REPLICA_STANDBY);
        if (m->role != REPLICA_VOTER)
            return change(out, want[i], REPLICA_VOTER);
    }
    for (size_t i = 0; i < n_have; i++) {
        if (have[i].id != self && !is_wanted(want, n_want, have[i].id))
            return change(out, have[i].id, REPLICA_GONE);
    }
    return false;
}
