#include "sim.h"

#include <assert.h>
#include <stdlib.h>

static const char *const namespaces[] = {"member", "phone", "openid", "device"};

static uint32_t pick(struct world *w, const uint32_t *list, size_t n)
{
    return list[rng_below(&w->rng, n)];
}
#define PICK(w, ...)                                                                               \
    pick(w, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / 4)

/* Big groups are dear: they get fewer shards, and fewer messages. */
static void plan_groups(struct world *w)
{
    struct plan *p = &w->plan;

    p->n_replicas = w->mutation >= MUTATION_ACK_UNCOMMITTED ? 3 : PICK(w, 1, 1, 3, 3, 3, 5);
    p->n_shards = world_between(w, 2, p->n_replicas == 1 ? SHARDS_MAX : 3);
    p->n_nodes = p->n_replicas + (p->n_replicas == 1 ? 2 : world_between(w, 0, 2));
    p->checkpoint_every = PICK(w, 5, 12, 40, 100000);
    p->digest_every = PICK(w, 1, 4, 8, 16);
    p->ordered = rng_below(&w->rng, 2) != 0;
}

static void plan_env(struct world *w)
{
    struct replica_options *o = &w->env.options;

    w->env.ctx = w;
    w->env.hooks = &replica_hooks;
    w->env.rng = &w->rng;
    w->env.disk_max = PICK(w, 1, 4, 10, 40, 150);
    w->env.sends_early = w->mutation == MUTATION_SEND_EARLY;
    w->env.reads_alone = w->mutation == MUTATION_READ_NO_QUORUM;
    o->trailing = PICK(w, 0, 1, 3, 10);
    o->trailing_bytes = PICK(w, 0, 0, 300, 3000);
    o->joining_bytes = o->trailing * 300; /* no draw of its own: seeds stay what they are */
    o->max_inflight = PICK(w, 2, 4, 8, 32);
    o->cache_bytes = PICK(w, 1, 400, 1 << 20, 1 << 20);
    o->election_timeout_ms = PICK(w, 200, 400);
    o->heartbeat_ms = o->election_timeout_ms / 4;
}

static void plan_chaos(struct world *w)
{
    struct plan *p = &w->plan;

    p->crash = PICK(w, 0, 5, 20, 50);
    p->crash_within = PICK(w, 0, 0, 1, 3);
    p->blackout = PICK(w, 0, 0, 4);
    p->bad_disk = PICK(w, 0, 0, 8);
    p->cut = PICK(w, 0, 30, 80);
    p->mend = 60;
    p->slow_disk = PICK(w, 0, 30);
    p->clock = PICK(w, 0, 10);
    p->pause = PICK(w, 0, 20);
    p->wipe = PICK(w, 0, 20, 50);
    p->hears_ends = w->seed >= HEARS_ENDS_FROM && w->seed % 4 != 0;
    p->has_admin = rng_below(&w->rng, 2) != 0;
}

/* Some mistakes of replicas show in rare moments only: these are made frequent. */
static void plan_rough(struct world *w)
{
    struct plan *p = &w->plan;

    p->cut = 80;
    p->mend = 40;
    p->crash = 50;
    p->wipe = 50;
    p->pause = 60;
    p->slow_disk = 30;
    p->blackout = 10;
    p->n_reads = 250;
    p->stray = 300;
    p->n_messages = 100;
    p->n_routers = 3;
    p->n_ids = world_between(w, 4, 10);
    p->issue_ms = 3000;
    w->env.disk_max = 150;
}

void plan_make(struct world *w)
{
    struct plan *p = &w->plan;
    bool is_rough = w->mutation >= MUTATION_ACK_UNCOMMITTED;
    bool faults = rng_below(&w->rng, 8) != 0 || is_rough;

    plan_groups(w);
    plan_env(w);
    p->n_routers = world_between(w, 1, ROUTERS_MAX);
    p->n_ids = world_between(w, 4, IDS_MAX);
    p->n_messages = world_between(w, 15, p->n_replicas == 1 ? 110 : p->n_replicas == 3 ? 60 : 40);
    p->n_reads = world_between(w, 10, 200);
    p->delay_max = world_between(w, 1, 30);
    p->commit_max = world_between(w, 1, 8);
    p->slow_max = world_between(w, 500, 4000);
    p->issue_ms = world_between(w, 200, 3000);
    p->hot = world_between(w, 0, 60);
    p->cache_size = world_between(w, 1, CACHE_MAX);
    p->coalesce_ms = world_between(w, 0, 2);
    p->jumps = world_between(w, 0, 2);
    if (!faults)
        return;
    p->loss = world_between(w, 0, 80);
    p->dup = world_between(w, 0, 80);
    p->slow = world_between(w, 0, 40);
    p->router_crashes = world_between(w, 0, 4);
    p->stray = PICK(w, 0, 50, 300);
    plan_chaos(w);
    if (is_rough)
        plan_rough(w);
}

void plan_ids(struct world *w)
{
    for (uint32_t i = 0; i < w->plan.n_ids; i++) {
        struct universe_id *u = &w->ids[i];
        uint64_t dice = rng_below(&w->rng, 10);
        const char *name = namespaces[dice < 2 ? 0 : dice < 5 ? 1 : dice < 8 ? 2 : 3];
        const struct schema_namespace *ns =
            schema_namespace_by_name(&w->config->schema, bytes_of_str(name));
        assert(ns);
        snprintf(u->text, sizeof u->text, "%c%u", name[0], i);
        u->id = (struct identity){ns->id, bytes_of_str(u->text)};
        u->bridges = ns->bridges;
        u->slot = slot_of_identity(u->id);
        w->of_namespace[ns - w->config->schema.namespaces] |= UINT64_C(1) << i;
    }
}

void plan_faults(struct world *w)
{
    const struct plan *p = &w->plan;
    uint32_t span = (uint32_t)p->issue_ms + 2000;

    for (uint32_t i = 0; i < p->router_crashes; i++)
        world_schedule(w, world_between(w, 1, span), EVENT_CRASH_ROUTER)->a =
            world_between(w, 0, p->n_routers - 1);
    for (uint32_t i = 0; i < p->jumps; i++)
        world_schedule(w, world_between(w, 1, span), EVENT_JUMP);
    for (uint32_t r = 0; r < p->n_routers; r++)
        world_schedule(w, world_between(w, 100, 1500), EVENT_SWEEP)->a = r;
    for (uint32_t s = 0; s < p->n_shards; s++)
        world_schedule(w, world_between(w, 300, 800), EVENT_ADMIN)->a = s;
    world_schedule(w, 50, EVENT_CHAOS);
}
