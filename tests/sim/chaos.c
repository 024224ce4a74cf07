/* What happens to nodes and to the network between them, at random moments. */
#include "sim.h"

#include <string.h>

enum { FALSE_ENDS = 20 /* of 1000 */ };

static uint32_t some_node(struct world *w)
{
    return (uint32_t)rng_below(&w->rng, w->plan.n_nodes);
}

/* --- cuts --- */

/* Ends of the network that are in use: nodes, then routers. */
static uint32_t some_end(struct world *w)
{
    uint32_t i = (uint32_t)rng_below(&w->rng, w->plan.n_nodes + w->plan.n_routers);

    return i < w->plan.n_nodes ? i : NODES_MAX + i - w->plan.n_nodes;
}

static void split(struct world *w)
{
    bool side[ENDS_MAX];

    for (uint32_t i = 0; i < ENDS_MAX; i++)
        side[i] = rng_below(&w->rng, 2);
    for (uint32_t a = 0; a < ENDS_MAX; a++) {
        for (uint32_t b = 0; b < ENDS_MAX; b++)
            w->cut[a][b] = side[a] != side[b];
    }
}

/* From the others, or from the other nodes only; in both directions or in one. */
static void isolate(struct world *w, uint32_t node)
{
    bool out = rng_below(&w->rng, 3) != 0, in = !out || rng_below(&w->rng, 2);
    uint32_t ends = rng_below(&w->rng, 2) ? NODES_MAX : ENDS_MAX;

    for (uint32_t i = 0; i < ends; i++) {
        w->cut[node][i] = out && i != node;
        w->cut[i][node] = in && i != node;
    }
}

static uint32_t leader_or_some(struct world *w)
{
    struct hosted *h = node_leader(w, (uint32_t)rng_below(&w->rng, w->plan.n_shards));

    return h ? h->node : some_node(w);
}

static void cut(struct world *w)
{
    w->seen.cuts++;
    memset(w->cut, 0, sizeof w->cut);
    switch (rng_below(&w->rng, 5)) {
    case 0:
        split(w);
        break;
    case 1:
        isolate(w, some_node(w));
        break;
    case 2:
    case 3:
        isolate(w, leader_or_some(w));
        break;
    default:
        for (uint32_t n = world_between(w, 1, 8); n > 0; n--)
            w->cut[some_end(w)][some_end(w)] = true;
    }
    world_trace(w, "cut");
}

/* --- nodes --- */

static void blackout(struct world *w)
{
    world_trace(w, "blackout");
    for (uint32_t i = 0; i < w->plan.n_nodes; i++)
        node_crash(w, i, world_between(w, 10, 600));
}

static void slow_disk(struct world *w, uint32_t node)
{
    unsigned slow = rng_below(&w->rng, 2) ? world_between(w, 10, 400) : 0;

    for (uint32_t s = 0; s < w->plan.n_shards; s++)
        w->nodes[node].hosted[s].r.slow = slow;
    world_trace(w, "n%u slow %u", node, slow);
}

/* Its wall clock jumps, forwards or back. */
static void turn_clock(struct world *w, uint32_t node)
{
    static const msec_t units[] = {100, 60000, 3600000, MSEC_PER_DAY};
    msec_t by = units[rng_below(&w->rng, 4)] * world_between(w, 1, 3);

    w->nodes[node].skew += rng_below(&w->rng, 2) ? by : -by;
    if (w->nodes[node].skew > w->ahead_ms)
        w->ahead_ms = w->nodes[node].skew;
    world_trace(w, "n%u clock %+lld", node, (long long)w->nodes[node].skew);
}

static void pause(struct world *w, uint32_t node)
{
    w->nodes[node].paused_until = w->now + world_between(w, 20, 1500);
    w->nodes[node].clients_first = rng_below(&w->rng, 2);
    w->seen.pauses++;
    world_trace(w, "n%u stands still", node);
}

/* Where the one is gone, the leader of the others follows. */
static void second(struct world *w)
{
    if (world_chance(w, 400))
        world_schedule(w, world_between(w, 0, 150), EVENT_SECOND);
}

void chaos_strike_leader(struct world *w)
{
    struct hosted *h = node_leader(w, (uint32_t)rng_below(&w->rng, w->plan.n_shards));

    if (w->healed || !h)
        return;
    if (rng_below(&w->rng, 2))
        node_crash(w, h->node, world_between(w, 10, 1500));
    else
        isolate(w, h->node);
}

static void strike_node(struct world *w)
{
    const struct plan *p = &w->plan;
    uint32_t node = some_node(w);

    if (world_chance(w, p->crash)) {
        node_crash(w, node, rng_below(&w->rng, 2) ? 10 : world_between(w, 10, 1500));
        second(w);
    }
    if (world_chance(w, p->bad_disk)) /* the process stops; its disk is mended later */
        node_crash(w, some_node(w), world_between(w, 1000, 4000));
    if (world_chance(w, p->slow_disk))
        slow_disk(w, some_node(w));
    if (world_chance(w, p->clock))
        turn_clock(w, some_node(w));
    if (world_chance(w, p->pause))
        pause(w, leader_or_some(w));
    if (world_chance(w, p->wipe) && admin_can_lose(w, node)) {
        node_wipe(w, node);
        second(w);
    }
}

static void tell_false_end(struct world *w)
{
    uint32_t lost = some_node(w), node = some_node(w);

    node_tell_end(w, node, lost);
}

void chaos_strike(struct world *w)
{
    const struct plan *p = &w->plan;

    if (w->healed)
        return;
    strike_node(w);
    if (world_chance(w, p->blackout))
        blackout(w);
    if (world_chance(w, p->cut))
        cut(w);
    if (p->hears_ends && world_chance(w, FALSE_ENDS))
        tell_false_end(w);
    if (world_chance(w, p->mend))
        memset(w->cut, 0, sizeof w->cut);
    world_schedule(w, world_between(w, 20, 60), EVENT_CHAOS);
}

void chaos_end(struct world *w)
{
    memset(w->cut, 0, sizeof w->cut);
    w->env.disk_max = w->env.disk_max < 4 ? w->env.disk_max : 4;
    w->env.sends_early = w->env.reads_alone = false;
    w->plan.stray = 0;
    for (uint32_t i = 0; i < w->plan.n_nodes; i++) {
        for (uint32_t s = 0; s < w->plan.n_shards; s++)
            w->nodes[i].hosted[s].r.slow = 0;
        w->nodes[i].skew = w->nodes[i].paused_until = 0;
        node_restart(w, i);
    }
}
