#include "replica_sim_world.h"

#include <core.h> /* node/replica: the checks look inside */

#include <inttypes.h>

void check_read(struct sim *s, struct sim_node *n, uint64_t need)
{
    s->result->counts.reads++;
    if (n->r.state.applied < need)
        sim_fail(s,
                 "linearizable read: node %u serves at %" PRIu64 ", %" PRIu64
                 " was acknowledged before",
                 n->id, n->r.state.applied, need);
}

struct sim_node *check_find_leader(struct sim *s)
{
    struct sim_node *leader = NULL;
    for (unsigned i = 1; i <= s->n; i++) {
        struct sim_node *n = &s->nodes[i];
        if (n->r.replica && n->r.role.leader && (!leader || n->r.role.term > leader->r.role.term))
            leader = n;
    }
    return leader;
}

static void check_caught_up(struct sim *s, const struct sim_node *leader)
{
    struct replica_member members[NODES_MAX];
    size_t n = replica_members(leader->r.replica, members, NODES_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct sim_node *m = &s->nodes[members[i].id];
        if (members[i].role == REPLICA_SPARE)
            continue;
        if (m->r.state.applied + 60 < leader->r.state.applied)
            sim_fail(s, "liveness: node %u is at %" PRIu64 ", the leader at %" PRIu64, m->id,
                     m->r.state.applied, leader->r.state.applied);
        uint64_t ours = leader->r.replica->raft.configuration_committed_index;
        if (m->r.replica->raft.configuration_committed_index != ours)
            sim_fail(s, "node %u knows configuration %llu, the leader %" PRIu64, m->id,
                     m->r.replica->raft.configuration_committed_index, ours);
    }
}

/* After a while without faults: one leader, nothing acknowledged lost, all caught up. */
void check_end(struct sim *s)
{
    struct sim_node *leader = check_find_leader(s);
    if (!leader) {
        sim_fail(s, "liveness: no leader at the end");
        return;
    }
    if (leader->r.state.applied < s->acknowledged)
        sim_fail(s, "lost: the leader applied %" PRIu64 ", acknowledged were %" PRIu64,
                 leader->r.state.applied, s->acknowledged);
    struct replica_status st;
    replica_get_status(leader->r.replica, &st);
    if (st.last > st.commit + 60)
        sim_fail(s, "liveness: the leader has %" PRIu64 " entries, committed %" PRIu64, st.last,
                 st.commit);
    if (leader->n_reads > 8)
        sim_fail(s, "liveness: %zu reads wait at the leader", leader->n_reads);
    if (st.is_changing)
        sim_fail(s, "liveness: a change of members does not end");
    check_caught_up(s, leader);
}
