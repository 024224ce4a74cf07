#include "replica_sim_world.h"

#include <base/hash.h>

#include <inttypes.h>
#include <stdlib.h>

static struct sim_index *index_info(struct sim *s, uint64_t index)
{
    if (index >= s->n_indexes) {
        size_t n = (size_t)index * 2 + 256;
        s->indexes = realloc(s->indexes, n * sizeof *s->indexes);
        if (!s->indexes)
            abort();
        memset(s->indexes + s->n_indexes, 0, (n - s->n_indexes) * sizeof *s->indexes);
        s->n_indexes = n;
    }
    return &s->indexes[index];
}

static uint64_t entry_hash(uint64_t term, uint8_t type, struct bytes data)
{
    return hash64_seed(data, term * 31 + type);
}

/* Log matching: index and term name one entry, with one entry in front of it. */
static void check_version(struct sim *s, const struct sim_node *n, const struct replica_entry *e,
                          uint64_t before)
{
    struct sim_index *x = index_info(s, e->index);
    uint64_t hash = entry_hash(e->term, e->type, e->data);
    for (size_t i = 0; i < x->n; i++) {
        struct sim_version *v = &x->versions[i];
        if (v->term != e->term)
            continue;
        if (v->hash != hash)
            sim_fail(s, "log matching: node %u index %" PRIu64 " term %" PRIu64 " differs", n->id,
                     e->index, e->term);
        if (before && v->before && v->before != before)
            sim_fail(s, "log matching: node %u index %" PRIu64 " follows another entry", n->id,
                     e->index);
        if (!v->before)
            v->before = before;
        return;
    }
    x->versions = realloc(x->versions, (x->n + 1) * sizeof *x->versions);
    if (!x->versions)
        abort();
    x->versions[x->n++] = (struct sim_version){.term = e->term, .hash = hash, .before = before};
}

void check_durable(struct sim *s, struct sim_node *n, const struct replica_write *w)
{
    const struct sim_disk *d = &n->disk;
    uint64_t index = w->entries[0].index;
    uint64_t before = index == d->snapshot.index + 1 ? d->snapshot.term
                      : index > d->first             ? d->entries[index - 1 - d->first].term
                                                     : 0;
    for (size_t i = 0; i < w->n_entries; i++) {
        check_version(s, n, &w->entries[i], before);
        before = w->entries[i].term;
    }
}

/* State machine safety: everybody applies the same entry at an index, after the same history. */
void check_applied(struct sim *s, struct sim_node *n, const struct replica_entry *e)
{
    struct sim_index *x = index_info(s, e->index);
    struct replica_status st;
    replica_get_status(n->replica, &st);
    uint64_t hash = entry_hash(e->term, e->type, e->data);
    if (e->index != n->state.applied + 1)
        sim_fail(s, "node %u applies %" PRIu64 " after %" PRIu64, n->id, e->index,
                 n->state.applied);
    if (x->committed && (x->hash != hash || x->term != e->term))
        sim_fail(s,
                 "state machine safety: node %u index %" PRIu64 " term %" PRIu64
                 ", others have term %" PRIu64,
                 n->id, e->index, e->term, x->term);
    if (!x->committed) {
        x->committed = true;
        x->hash = hash;
        x->term = e->term;
        x->seen_in = st.term;
    } else if (st.term < x->seen_in) {
        x->seen_in = st.term;
    }
    uint64_t chain = hash_u64(n->state.hash ^ hash) | 1;
    if (x->chain && x->chain != chain)
        sim_fail(s, "state machine safety: node %u has another history at %" PRIu64, n->id,
                 e->index);
    x->chain = chain;
    n->state = (struct sim_state){.applied = e->index, .hash = chain};
    if (e->index > s->committed)
        s->committed = e->index;
    if (st.is_leader && e->index > s->acknowledged) {
        s->acknowledged = e->index;
        s->result->counts.acknowledged++;
    }
    s->result->counts.applies++;
}

/* Election safety and leader completeness. */
void check_leader(struct sim *s, struct sim_node *n)
{
    uint64_t term = n->role.term;
    if (term >= TERMS_MAX) {
        sim_fail(s, "livelock: term %" PRIu64, term);
        return;
    }
    if (s->leader_of[term] && s->leader_of[term] != n->id)
        sim_fail(s, "election safety: nodes %" PRIu64 " and %u lead term %" PRIu64,
                 s->leader_of[term], n->id, term);
    if (s->leader_of[term] != n->id)
        s->result->counts.elections++;
    s->leader_of[term] = n->id;
    const struct entries *log = &n->replica->entries;
    for (uint64_t i = log->first; i <= s->committed; i++) {
        const struct sim_index *x = index_info(s, i);
        if (!x->committed || x->seen_in >= term)
            continue;
        if (entries_term(log, i) != x->term) {
            sim_fail(s,
                     "leader completeness: node %u leads term %" PRIu64 " without %" PRIu64
                     " of term %" PRIu64,
                     n->id, term, i, x->term);
            return;
        }
    }
}

void check_read(struct sim *s, struct sim_node *n, uint64_t need)
{
    s->result->counts.reads++;
    if (n->state.applied < need)
        sim_fail(s,
                 "linearizable read: node %u serves at %" PRIu64 ", %" PRIu64
                 " was acknowledged before",
                 n->id, n->state.applied, need);
}

struct sim_node *check_find_leader(struct sim *s)
{
    struct sim_node *leader = NULL;
    for (unsigned i = 1; i <= s->n; i++) {
        struct sim_node *n = &s->nodes[i];
        if (n->replica && n->role.leader && (!leader || n->role.term > leader->role.term))
            leader = n;
    }
    return leader;
}

static void check_caught_up(struct sim *s, const struct sim_node *leader)
{
    struct replica_member members[NODES_MAX];
    size_t n = replica_members(leader->replica, members, NODES_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct sim_node *m = &s->nodes[members[i].id];
        if (members[i].role == REPLICA_SPARE)
            continue;
        if (m->state.applied + 60 < leader->state.applied)
            sim_fail(s, "liveness: node %u is at %" PRIu64 ", the leader at %" PRIu64, m->id,
                     m->state.applied, leader->state.applied);
        uint64_t ours = leader->replica->raft.configuration_committed_index;
        if (m->replica->raft.configuration_committed_index != ours)
            sim_fail(s, "node %u knows configuration %llu, the leader %" PRIu64, m->id,
                     m->replica->raft.configuration_committed_index, ours);
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
    if (leader->state.applied < s->acknowledged)
        sim_fail(s, "lost: the leader applied %" PRIu64 ", acknowledged were %" PRIu64,
                 leader->state.applied, s->acknowledged);
    struct replica_status st;
    replica_get_status(leader->replica, &st);
    if (st.last > st.commit + 60)
        sim_fail(s, "liveness: the leader has %" PRIu64 " entries, committed %" PRIu64, st.last,
                 st.commit);
    if (leader->n_reads > 8)
        sim_fail(s, "liveness: %zu reads wait at the leader", leader->n_reads);
    if (st.is_changing)
        sim_fail(s, "liveness: a change of members does not end");
    check_caught_up(s, leader);
}

void check_close(struct sim *s)
{
    for (size_t i = 0; i < s->n_indexes; i++)
        free(s->indexes[i].versions);
    free(s->indexes);
}
