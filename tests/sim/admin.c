/* Who changes the members of the groups: one step at each visit, of what the leader shows. What a
 * group should be is mended as nodes do it (node/host/roster.h); at times members are moved about
 * for no reason. */
#include "sim.h"

#include <roster.h>

#include <inttypes.h>

struct group {
    struct world *w;
    uint32_t shard;
    struct hosted *leader;
    struct replica_member members[MEMBERS_MAX];
    size_t n;
    uint32_t voters;
    bool settled;
};

static bool look(struct world *w, uint32_t shard, struct group *g)
{
    *g = (struct group){.w = w, .shard = shard, .leader = node_leader(w, shard)};
    if (!g->leader || g->leader->r.installing)
        return false;
    g->n = replica_members(g->leader->r.replica, g->members, MEMBERS_MAX);
    for (size_t i = 0; i < g->n; i++)
        g->voters += g->members[i].role == REPLICA_VOTER;
    g->settled = node_is_settled(w, g->leader);
    return g->n <= MEMBERS_MAX;
}

static const struct replica_member *find_member(const struct group *g, uint64_t id)
{
    for (size_t i = 0; i < g->n; i++) {
        if (g->members[i].id == id)
            return &g->members[i];
    }
    return NULL;
}

static bool change(struct group *g, uint64_t id, enum replica_member_role role)
{
    enum error_code code = fake_replica_change(&g->leader->r, id, role);

    world_trace(g->w, "s%u member %" PRIx64 " to %d: %s", g->shard, id, (int)role,
                error_name(code));
    g->w->seen.changes += code == ERR_OK;
    return code == ERR_OK;
}

/* --- what is to be mended --- */

/* A member whose disk was wiped: it never comes back. */
static const struct replica_member *find_lost(const struct group *g)
{
    for (size_t i = 0; i < g->n; i++) {
        if (!node_find(g->w, g->shard, g->members[i].id))
            return &g->members[i];
    }
    return NULL;
}

/* Makes the replicas that are there, and are to stay, the voters of the group. */
static bool mend(struct group *g)
{
    struct world *w = g->w;
    uint64_t want[NODES_MAX];
    bool is_there[MEMBERS_MAX];
    struct roster_change c;
    struct roster r = {.have = g->members,
                       .is_there = is_there,
                       .n_have = g->n,
                       .want = want,
                       .is_complete = true,
                       .self = g->leader->r.id};

    for (uint32_t i = 0; i < w->plan.n_nodes; i++) {
        const struct hosted *h = &w->nodes[i].hosted[g->shard];
        if (h->r.id && !h->removed)
            want[r.n_want++] = h->r.id;
    }
    for (size_t i = 0; i < g->n; i++) {
        const struct hosted *h = node_find(w, g->shard, g->members[i].id);
        is_there[i] = h && w->nodes[h->node].up;
    }
    if (!roster_next(&r, &c))
        return false;
    change(g, c.id, c.role);
    return true;
}

/* Who is out of the group for good has its disk cleared. */
static bool drop_removed(struct group *g)
{
    for (uint32_t i = 0; i < g->w->plan.n_nodes; i++) {
        struct hosted *h = &g->w->nodes[i].hosted[g->shard];
        if (h->r.id == 0 || !h->removed || !g->settled || find_member(g, h->r.id))
            continue;
        world_trace(g->w, "n%u s%u is dropped", h->node, g->shard);
        hosted_drop(h);
        return true;
    }
    return false;
}

/* --- what happens for no reason --- */

static void transfer(struct group *g)
{
    const struct replica_member *m = &g->members[rng_below(&g->w->rng, g->n)];
    uint64_t to = world_chance(g->w, 600) ? m->id : 0;

    if (fake_replica_transfer(&g->leader->r, to) == ERR_OK)
        g->w->seen.transfers++;
}

static void host_another(struct group *g)
{
    uint32_t node = (uint32_t)rng_below(&g->w->rng, g->w->plan.n_nodes);
    struct hosted *h = &g->w->nodes[node].hosted[g->shard];

    if (h->r.id || !g->w->nodes[node].up || g->voters > g->w->plan.n_replicas)
        return;
    hosted_format(g->w, h, bytes_of(NULL, 0));
    world_trace(g->w, "n%u s%u is new", node, g->shard);
    hosted_start(h);
}

static void demote(struct group *g)
{
    const struct replica_member *m = &g->members[rng_below(&g->w->rng, g->n)];
    struct hosted *h = node_find(g->w, g->shard, m->id);
    bool is_voter = m->role == REPLICA_VOTER;

    if (is_voter && (find_lost(g) || g->voters <= (g->w->plan.n_replicas > 1 ? 2U : 1U)))
        return;
    if (is_voter && rng_below(&g->w->rng, 3) == 0)
        change(g, m->id, rng_below(&g->w->rng, 2) ? REPLICA_SPARE : REPLICA_STANDBY);
    else if (change(g, m->id, REPLICA_GONE) && h)
        h->removed = true;
}

static void meddle(struct group *g)
{
    switch (rng_below(&g->w->rng, 6)) {
    case 0:
    case 1:
        transfer(g);
        break;
    case 2:
    case 3:
        host_another(g);
        break;
    case 4:
        demote(g);
        break;
    default:
        break;
    }
}

void admin_visit(struct world *w, uint32_t shard)
{
    struct group g;

    world_schedule(w, w->healed ? 100 : world_between(w, 100, 600), EVENT_ADMIN)->a = shard;
    if (!look(w, shard, &g))
        return;
    if (!w->healed && w->plan.has_admin && world_chance(w, 300))
        meddle(&g);
    else if (!drop_removed(&g) && !mend(&g) && !w->healed && w->plan.has_admin)
        meddle(&g);
}

/* --- what may be lost --- */

static bool is_majority_without(struct world *w, const struct hosted *lost,
                                const struct replica_member *list, size_t n)
{
    uint32_t voters = 0, left = 0;

    for (size_t i = 0; i < n; i++) {
        if (list[i].role != REPLICA_VOTER)
            continue;
        voters++;
        left += list[i].id != lost->r.id && node_find(w, lost->shard, list[i].id);
    }
    return left * 2 > voters;
}

/* A change of members counts for who has it in the log. One that a leader of before has proposed
 * may still become the last: what may be lost is what both, it and the present one, can do without.
 */
static bool is_majority_in_changes(struct world *w, const struct hosted *lost)
{
    struct replica_member list[MEMBERS_MAX];

    for (uint32_t i = 0; i < w->plan.n_nodes; i++) {
        const struct hosted *h = &w->nodes[i].hosted[lost->shard];
        size_t n = h == lost || h->r.id == 0 ? 0 : hosted_changing(h, list);
        if (n > 0 && !is_majority_without(w, lost, list, n))
            return false;
    }
    return true;
}

static bool can_lose_replica(struct world *w, const struct hosted *h)
{
    struct group g;
    const struct replica_member *m;

    if (h->r.id == 0)
        return true;
    if (!look(w, h->shard, &g) || !g.settled)
        return false;
    if (find_lost(&g))
        return false;
    m = find_member(&g, h->r.id);
    return !m || m->role != REPLICA_VOTER || (g.voters >= 3 && is_majority_in_changes(w, h));
}

bool admin_can_lose(struct world *w, uint32_t node)
{
    for (uint32_t s = 0; s < w->plan.n_shards; s++) {
        if (!can_lose_replica(w, &w->nodes[node].hosted[s]))
            return false;
    }
    return true;
}

/* --- at rest --- */

static bool is_done(struct world *w, uint32_t shard)
{
    struct group g;

    if (!look(w, shard, &g) || !g.settled || g.voters != g.n)
        return false;
    if (find_lost(&g))
        return false;
    for (uint32_t i = 0; i < w->plan.n_nodes; i++) {
        const struct hosted *h = &w->nodes[i].hosted[shard];
        if (h->r.id && (!h->r.replica || !find_member(&g, h->r.id) ||
                        h->r.state.applied != w->shards[shard].committed))
            return false;
    }
    return true;
}

bool admin_is_done(struct world *w)
{
    for (uint32_t s = 0; s < w->plan.n_shards; s++) {
        if (!is_done(w, s))
            return false;
    }
    return true;
}
