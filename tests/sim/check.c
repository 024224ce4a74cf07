#include "sim.h"

#include <proto/facts.h>
#include <record.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- on the shadow, after every command --- */

static uint32_t limit_of(const struct world *w, name_id ns)
{
    return schema_namespace_by_id(&w->config->schema, ns)->limit;
}

static void check_limits(struct world *w, const struct ghost *g)
{
    for (size_t n = 0; n < w->config->schema.n_namespaces; n++) {
        name_id ns = w->config->schema.namespaces[n].id;
        if ((uint32_t)__builtin_popcountll(g->ids & w->of_namespace[n]) > limit_of(w, ns))
            world_fail(w, "%" PRIx64 " breaks a limit (6)", g->id);
    }
}

static void check_settled(struct world *w, const struct ghost *g)
{
    for (size_t i = 0; i < g->n_absorbed; i++) {
        const struct ghost *l = ghost_find(w, g->absorbed[i]);
        if (l && l->exists && l->state == PROFILE_LIVE)
            world_fail(w, "%" PRIx64 " is live and was absorbed (9)", l->id);
        for (size_t k = 0; k < g->n_fences; k++) {
            if (g->fences[k].loser == g->absorbed[i] && l && l->exists &&
                g->fences[k].epoch >= l->epoch)
                world_fail(w, "%" PRIx64 " is both absorbed and fenced off (9)", l->id);
        }
    }
}

/* From the index, over redirects and merges that are done, to the holder (8). */
static void check_chase(struct world *w, uint32_t id, const struct ghost *holder)
{
    one_id at = w->index[id].profile;

    for (int hops = 0; hops <= IDS_MAX; hops++) {
        const struct ghost *g = ghost_find(w, at);
        if (!g || !g->exists) {
            world_fail(w, "the pointers of %s lead to %" PRIx64 ", which is not there (8)",
                       w->ids[id].text, at);
            return;
        }
        if (g == holder)
            return;
        if (g->state != PROFILE_REDIRECT && g->state != PROFILE_MERGING)
            break;
        at = g->target;
    }
    world_fail(w, "the pointers of %s do not lead to its holder (8)", w->ids[id].text);
}

void check_state(struct world *w)
{
    id_set once = 0, twice = 0;
    const struct ghost *holders[IDS_MAX] = {0};

    for (size_t i = 0; i < w->n_ghosts; i++) {
        const struct ghost *g = &w->ghosts[i];
        if (g->exists)
            check_settled(w, g);
        if (!ghost_is_effective(w, g))
            continue;
        twice |= once & g->ids;
        once |= g->ids;
        check_limits(w, g);
        for (uint32_t k = 0; k < w->plan.n_ids; k++) {
            if (g->ids >> k & 1)
                holders[k] = g;
        }
    }
    for (uint32_t k = 0; k < w->plan.n_ids && !w->failed; k++) {
        if (twice >> k & 1)
            world_fail(w, "%s has two holders (1)", w->ids[k].text);
        else if (w->index[k].exists && !holders[k])
            world_fail(w, "%s has no holder (1)", w->ids[k].text);
        else if (holders[k] && !w->index[k].exists)
            world_fail(w, "%s is held and not in the index", w->ids[k].text);
        else if (holders[k] && w->index[k].version > holders[k]->version[k])
            world_fail(w, "the index of %s is beyond its holder (7)", w->ids[k].text);
        else if (holders[k])
            check_chase(w, k, holders[k]);
    }
}

/* --- the books: what the machines hold, message by message --- */

struct books {
    struct world *w;
    uint32_t counted[MESSAGES_MAX];
    uint32_t behaviours;
    int64_t points;
    bool at_rest;
};

static void count_facts(struct books *b, const struct machine_profile *p)
{
    struct world *w = b->w;
    name_id points = schema_trait_by_name(&w->config->schema, bytes_of_str("points"))->id;
    name_id order = schema_event_by_name(&w->config->schema, bytes_of_str("order"))->id;
    struct facts_iter it = facts_iter_of(p->view);
    const struct ghost *g = ghost_find(w, p->id);
    struct fact f;

    while (facts_next(&it, &f)) {
        if (f.kind == FACT_TOTAL && f.name == order && f.sub.len == 0)
            b->behaviours += (uint32_t)f.number;
        if (f.kind != FACT_SUM)
            continue;
        if (f.name == points) {
            b->points += f.number;
        } else if (f.name >= 100000 && f.name < 100000 + w->plan.n_messages) {
            uint32_t k = f.name - 100000;
            b->counted[k] += (uint32_t)f.number;
            if (!(g->ids >> w->messages[k].ids[0] & 1))
                world_fail(w, "m%u is counted where its primary identity is not (2)", k);
        }
    }
}

static id_set ids_of_profile(struct world *w, const struct machine_profile *p)
{
    id_set set = 0;

    for (size_t i = 0; i < p->n_ids; i++) {
        uint32_t id = world_id_of(w, p->ids[i].id);
        set |= id < IDS_MAX ? UINT64_C(1) << id : 0;
    }
    return set;
}

/* What the profile shows is the join of the messages under its identities, whatever the order in
 * which they and the merges came. */
static void check_view(struct world *w, const struct machine_profile *p, id_set ids)
{
    struct buf want = {0}, next = {0};
    struct facts_iter a, b;
    struct fact x, y;
    bool more = true;

    for (uint32_t k = 0; k < w->plan.n_messages; k++) {
        const struct message *m = &w->messages[k];
        if (!m->committed || !(ids >> m->ids[0] & 1))
            continue;
        buf_reset(&next);
        facts_join(buf_bytes(&want), m->facts, &next);
        struct buf t = want;
        want = next;
        next = t;
    }
    a = facts_iter_of(buf_bytes(&want));
    b = facts_iter_of(p->view);
    while (more && !w->failed) {
        do {
            more = facts_next(&b, &y);
        } while (more && y.kind != FACT_SUM && y.kind != FACT_TAG && y.kind != FACT_LATEST);
        if (facts_next(&a, &x) != more)
            world_fail(w, "%" PRIx64 " does not show what its messages said", p->id);
        else if (more && (x.kind != y.kind || x.name != y.name || !bytes_equal(x.sub, y.sub) ||
                          x.ts != y.ts || x.number != y.number || !bytes_equal(x.text, y.text)))
            world_fail(w, "%" PRIx64 " shows something else than its messages said", p->id);
    }
    buf_free(&want);
    buf_free(&next);
}

static void check_profile(void *ctx, const struct machine_profile *p)
{
    struct books *b = ctx;
    struct world *w = b->w;
    const struct ghost *g = ghost_find(w, p->id);
    id_set ids = ids_of_profile(w, p);

    if (!g || !g->exists || g->state != (uint8_t)p->state || g->ids != ids) {
        world_fail(w, "%" PRIx64 " is not what its record says", p->id);
        return;
    }
    if (!ghost_is_effective(w, g))
        return;
    count_facts(b, p);
    check_view(w, p, ids);
    for (uint32_t k = 0; k < w->plan.n_messages; k++) {
        const struct message *m = &w->messages[k];
        if (!(ids >> m->ids[0] & 1))
            continue;
        if (m->committed != machine_has_message(w->shards[g->shard].machine, p->id,
                                                w->ids[m->ids[0]].id, bytes_of_str(m->text)))
            world_fail(w, "%" PRIx64 " %s m%u (2)", p->id,
                       m->committed ? "does not remember" : "remembers", k);
    }
}

void check_books(struct world *w)
{
    struct books b = {.w = w};
    uint32_t behaviours = 0;
    int64_t points = 0;

    if (w->mutation == MUTATION_FORGET_IDS)
        return; /* found by what comes of it, not by looking for the ids */
    for (uint32_t s = 0; s < w->plan.n_shards; s++) {
        if (!w->shards[s].machine)
            return;
        machine_each_profile(w->shards[s].machine, &w->scratch, check_profile, &b);
    }
    for (uint32_t k = 0; k < w->plan.n_messages && !w->failed; k++) {
        const struct message *m = &w->messages[k];
        if (b.counted[k] != (m->committed ? 1 : 0))
            world_fail(w, "m%u counts %u times (2)", k, b.counted[k]);
        behaviours += m->committed && m->has_behaviour;
        points += m->committed ? k : 0;
    }
    if (!w->failed && (points != b.points || behaviours != b.behaviours))
        world_fail(w, "the sums over all profiles are not those of the messages");
}

/* --- at rest --- */

static uint32_t find(uint32_t *parent, uint32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static void join(uint32_t *parent, id_set set, uint32_t with)
{
    for (uint32_t i = 0; i < IDS_MAX; i++) {
        if (set >> i & 1)
            parent[find(parent, i)] = find(parent, with);
    }
}

static const struct ghost *live_holder(struct world *w, uint32_t id)
{
    for (size_t i = 0; i < w->n_ghosts; i++) {
        const struct ghost *g = &w->ghosts[i];
        if (g->exists && g->state == PROFILE_LIVE && (g->ids >> id & 1))
            return g;
    }
    return NULL;
}

/* Each profile is one component of the links that were acknowledged and not refused (14). All
 * messages are acknowledged by then, so that there are no others. */
static void check_components(struct world *w)
{
    uint32_t parent[IDS_MAX];

    for (uint32_t i = 0; i < IDS_MAX; i++)
        parent[i] = i;
    for (uint32_t k = 0; k < w->plan.n_messages; k++)
        join(parent, w->messages[k].linked, w->messages[k].ids[0]);
    for (uint32_t i = 0; i < w->plan.n_ids; i++) {
        for (uint32_t j = 0; j < i && !w->failed; j++) {
            const struct ghost *a = live_holder(w, i), *b = live_holder(w, j);
            bool linked = find(parent, i) == find(parent, j);
            if (linked != (a && a == b))
                world_fail(w, "%s and %s are %s (14)", w->ids[i].text, w->ids[j].text,
                           linked ? "linked and not in one profile"
                                  : "in one profile and not linked");
        }
    }
    for (uint32_t k = 0; k < w->plan.n_messages && !w->failed; k++) {
        const struct message *m = &w->messages[k];
        const struct ghost *g = live_holder(w, m->ids[0]);
        if (g && (g->ids & m->apart))
            world_fail(w, "m%u: a link that a limit refused is there", k);
    }
}

void check_at_rest(struct world *w)
{
    check_state(w);
    if (!w->failed)
        check_books(w);
    if (!w->failed)
        check_components(w);
}
