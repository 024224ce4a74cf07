#include "sim.h"

#include <base/hash.h>

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char schema_text[] = "cluster: simulation\n"
                                  "data: ./data\n"
                                  "shards: %u\n"
                                  "replicas: 1\n"
                                  "security: none\n"
                                  "nodes:\n"
                                  "  - {id: 1, listen: \"tcp://127.0.0.1:7101\"}\n"
                                  "routers:\n"
                                  "  - {id: 1, listen: \"tcp://127.0.0.1:7001\"}\n"
                                  "timezone: UTC\n"
                                  "identities:\n"
                                  "  - {name: member, limit: 1}\n"
                                  "  - {name: phone, limit: 3}\n"
                                  "  - {name: openid, limit: 20}\n"
                                  "  - {name: device, limit: 4, bridges: false}\n"
                                  "traits:\n"
                                  "  - {name: city, type: enum, merge: latest}\n"
                                  "  - {name: points, type: counter}\n"
                                  "tags: {max_per_profile: 2000}\n"
                                  "events:\n"
                                  "  order: {fields: {amount: number}, metrics: [count, "
                                  "sum(amount)], keep_days: 3660}\n";

const char *mutation_name(enum mutation m)
{
    static const char *const names[] = {
        [MUTATION_NONE] = "none",
        [MUTATION_ACK_EARLY] = "ack before APPLY",
        [MUTATION_FORGET_IDS] = "message ids forgotten",
        [MUTATION_ABORT_FIRST] = "ABORT overtakes ABSORB",
        [MUTATION_DONE_FOR_ABORT] = "DONE instead of ABORT",
        [MUTATION_BRIDGE_ALL] = "shared keys bridge",
        [MUTATION_ACK_UNCOMMITTED] = "ack before commit",
        [MUTATION_ANSWER_BY_INDEX] = "answer to another leader's entry",
        [MUTATION_READ_LOCAL] = "read without read-index",
        [MUTATION_READ_NO_QUORUM] = "read-index without a majority",
        [MUTATION_SEND_EARLY] = "promises before they are durable",
        [MUTATION_LOSE_LOG] = "synced entry lost",
        [MUTATION_OLD_ID] = "wiped replica under its old id",
        [MUTATION_INSTALL_NOTHING] = "snapshot without its state",
        [MUTATION_OWN_CLOCK] = "replicas apply by their own clocks",
        [MUTATION_REPAIR_WRONG] = "REPAIR to a wrong version",
        [MUTATION_DROP_EARLY] = "tombstones dropped unchecked",
        [MUTATION_EMPTY_CONTENT] = "content without message ids",
        [MUTATION_SKIP_ANY] = "missing identity left out silently",
    };
    return names[m];
}

/* --- small things --- */

void *world_alloc(struct world *w, size_t size)
{
    void *p = arena_zalloc(&w->arena, size ? size : 1);
    assert(p);
    return p;
}

bool world_lacks(const struct world *w, enum mutation m)
{
    return w->mutation == m && !w->healed;
}

bool world_chance(struct world *w, uint32_t of_1000)
{
    return rng_below(&w->rng, 1000) < of_1000;
}

uint32_t world_between(struct world *w, uint32_t least, uint32_t most)
{
    return least + (uint32_t)rng_below(&w->rng, most - least + 1);
}

msec_t world_wall(const struct world *w)
{
    return ONE_ID_EPOCH_MS + INT64_C(1000) * MSEC_PER_DAY + w->days_ms + w->now;
}

void world_fail(struct world *w, const char *fmt, ...)
{
    va_list ap;

    if (w->failed)
        return;
    w->failed = true;
    va_start(ap, fmt);
    vsnprintf(w->failure, sizeof w->failure, fmt, ap);
    va_end(ap);
}

void world_trace(struct world *w, const char *fmt, ...)
{
    char line[400];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n > 0)
        w->hash = hash64_seed(bytes_of(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1),
                              w->hash + (uint64_t)w->now);
    if (w->trace)
        printf("%6" PRId64 " %s\n", w->now, line);
}

uint32_t world_id_of(const struct world *w, struct identity id)
{
    for (uint32_t i = 0; i < w->plan.n_ids; i++) {
        if (identity_equal(w->ids[i].id, id))
            return i;
    }
    return IDS_MAX;
}

/* --- events: a binary heap by (time, number) --- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->number < b->number;
}

static void swap(struct event *a, struct event *b)
{
    struct event t = *a;
    *a = *b;
    *b = t;
}

struct event *world_schedule(struct world *w, msec_t in_ms, enum event_kind kind)
{
    size_t i = w->n_heap;

    if (w->n_heap == w->cap_heap) {
        w->cap_heap = w->cap_heap ? 2 * w->cap_heap : 256;
        w->heap = realloc(w->heap, w->cap_heap * sizeof *w->heap);
        assert(w->heap);
    }
    w->heap[w->n_heap++] =
        (struct event){.at = w->now + in_ms, .number = w->n_events++, .kind = kind};
    while (i > 0 && is_before(&w->heap[i], &w->heap[(i - 1) / 2])) {
        swap(&w->heap[i], &w->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    return &w->heap[i];
}

static struct event event_take(struct world *w)
{
    struct event first = w->heap[0];
    size_t i = 0;

    w->heap[0] = w->heap[--w->n_heap];
    for (;;) {
        size_t least = i, l = 2 * i + 1, r = l + 1;
        if (l < w->n_heap && is_before(&w->heap[l], &w->heap[least]))
            least = l;
        if (r < w->n_heap && is_before(&w->heap[r], &w->heap[least]))
            least = r;
        if (least == i)
            return first;
        swap(&w->heap[i], &w->heap[least]);
        i = least;
    }
}

void world_open(struct world *w, uint64_t seed, enum mutation mutation, bool trace)
{
    char text[2048];
    struct error err;

    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->mutation = mutation;
    w->trace = trace;
    w->rng = rng_of_seed(seed * UINT64_C(0x9E3779B97F4A7C15) + 1);
    plan_make(w);
    snprintf(text, sizeof text, schema_text, w->plan.n_shards);
    if (cluster_config_parse("simulation.yml", bytes_of_str(text), &w->config, &err) != ERR_OK) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
    cluster_map_init(&w->map, w->config);
    plan_ids(w);
    for (uint32_t i = 0; i < w->plan.n_shards; i++)
        shard_open(w, i);
    node_open(w);
    for (uint32_t i = 0; i < w->plan.n_routers; i++)
        router_open(w, i);
    client_plan(w);
    plan_faults(w);
}

void world_close(struct world *w)
{
    for (size_t i = 0; i < w->n_heap; i++)
        packet_free(w->heap[i].packet);
    node_close(w);
    for (uint32_t i = 0; i < w->plan.n_shards; i++)
        shard_close(&w->shards[i]);
    for (uint32_t i = 0; i < w->plan.n_routers; i++)
        router_close(&w->routers[i]);
    ghost_close(w);
    saga_effects_free(&w->fx);
    free(w->heap);
    arena_close(&w->arena);
    arena_close(&w->scratch);
    cluster_config_close(w->config);
}

/* --- running --- */

static void sweep_again(struct world *w, uint32_t router)
{
    router_sweep(w, router);
    world_schedule(w, w->healed ? 200 : world_between(w, 200, 1500), EVENT_SWEEP)->a = router;
}

static void jump(struct world *w)
{
    w->days_ms += INT64_C(3) * MSEC_PER_DAY;
    world_trace(w, "jump");
}

static void handle_packet(struct world *w, const struct event *e)
{
    if (!packet_arrives(w, e->packet, e->kind))
        packet_free(e->packet);
    else if (e->kind == EVENT_TO_NODE)
        node_on_request(w, e->packet);
    else if (e->kind == EVENT_TO_ROUTER)
        router_on_packet(w, e->packet);
    else
        node_on_peer(w, e->packet);
}

static void handle_node(struct world *w, const struct event *e)
{
    struct hosted *h = &w->nodes[e->a].hosted[e->b];

    if (e->kind == EVENT_REPLICA)
        fake_replica_event(&h->r, (enum fake_event)e->c, e->d);
    else if (e->kind == EVENT_COMMIT)
        hosted_commit(h);
    else if (e->kind == EVENT_CHECKPOINT)
        hosted_checkpoint(h, e->d);
    else
        hosted_fetch(h, e->d);
}

/* The node whose process handles this event, or NODES_MAX. */
static uint32_t node_of(const struct event *e)
{
    switch ((int)e->kind) {
    case EVENT_TO_NODE:
        return e->packet->node;
    case EVENT_TO_REPLICA:
        return e->packet->to & 0xffff;
    case EVENT_REPLICA:
    case EVENT_COMMIT:
    case EVENT_LOST:
        return e->a;
    default:
        return NODES_MAX;
    }
}

/* After a standstill messages are looked at before timers, and at times clients before peers: they
 * come over other connections. */
static msec_t order_after_pause(const struct node *n, const struct event *e)
{
    if (e->kind == EVENT_REPLICA && e->c == FAKE_TICK)
        return 3;
    return e->kind == EVENT_TO_NODE ? 0 : n->clients_first;
}

/* What comes to a process that stands still waits. */
static bool is_put_off(struct world *w, const struct event *e)
{
    uint32_t node = node_of(e);
    struct event *later;

    if (node == NODES_MAX || w->nodes[node].paused_until <= w->now)
        return false;
    later = world_schedule(
        w, w->nodes[node].paused_until - w->now + order_after_pause(&w->nodes[node], e), e->kind);
    later->a = e->a;
    later->b = e->b;
    later->c = e->c;
    later->d = e->d;
    later->packet = e->packet;
    return true;
}

static void handle(struct world *w, const struct event *e)
{
    switch (e->kind) {
    case EVENT_TO_NODE:
    case EVENT_TO_ROUTER:
    case EVENT_TO_REPLICA:
        handle_packet(w, e);
        break;
    case EVENT_REPLICA:
    case EVENT_COMMIT:
    case EVENT_CHECKPOINT:
    case EVENT_FETCH:
        handle_node(w, e);
        break;
    case EVENT_TICK:
        router_tick(w, e->a, e->b, e->c);
        break;
    case EVENT_FLUSH:
        router_flush(w, e->a, e->b);
        break;
    case EVENT_SEND:
        client_send(w, e->a);
        break;
    case EVENT_ARRIVE:
        router_ingest(w, e->b, e->a);
        break;
    case EVENT_ACKED:
        client_on_acked(w, e->a);
        break;
    case EVENT_READ:
        router_read(w, world_between(w, 0, w->plan.n_routers - 1),
                    client_ask(w, world_between(w, 0, w->plan.n_ids)));
        break;
    case EVENT_SWEEP:
        sweep_again(w, e->a);
        break;
    case EVENT_CRASH_ROUTER:
        if (!w->healed)
            router_crash(w, e->a);
        break;
    case EVENT_RESTART:
        if (w->nodes[e->a].life == e->b)
            node_restart(w, e->a);
        break;
    case EVENT_LOST:
        node_on_end(w, e->a, e->b);
        break;
    case EVENT_CHAOS:
        chaos_strike(w);
        break;
    case EVENT_SECOND:
        chaos_strike_leader(w);
        break;
    case EVENT_ADMIN:
        admin_visit(w, e->a);
        break;
    case EVENT_JUMP:
        jump(w);
        break;
    }
}

static void run_until(struct world *w, msec_t end)
{
    while (!w->failed && w->n_heap > 0 && w->heap[0].at <= end) {
        struct event e = event_take(w);
        w->now = e.at;
        w->env.now = (uint64_t)e.at;
        w->steps++;
        arena_reset(&w->scratch);
        if (!is_put_off(w, &e))
            handle(w, &e);
    }
    if (w->now < end) {
        w->now = end;
        w->env.now = (uint64_t)end;
    }
}

static bool has_state(const struct world *w, uint8_t state)
{
    for (size_t i = 0; i < w->n_ghosts; i++) {
        if (w->ghosts[i].exists && w->ghosts[i].state == state)
            return true;
    }
    return false;
}

static bool is_all_acked(const struct world *w)
{
    for (uint32_t i = 0; i < w->plan.n_messages; i++) {
        if (!w->messages[i].acked)
            return false;
    }
    return true;
}

/* Sagas of events that were acknowledged through another try may still be on their way. */
static bool has_ingest(const struct world *w)
{
    for (uint32_t r = 0; r < w->plan.n_routers; r++) {
        for (size_t i = 0; i < SLOTS_MAX; i++) {
            const struct saga_slot *s = &w->routers[r].slots[i];
            if (s->busy && s->kind == SAGA_INGEST)
                return true;
        }
    }
    return false;
}

static bool is_busy(struct world *w)
{
    for (size_t i = 0; i < w->n_heap; i++) {
        if (w->heap[i].packet && w->heap[i].kind != EVENT_TO_REPLICA)
            return true;
    }
    return !is_all_acked(w) || has_ingest(w) || has_state(w, PROFILE_MERGING) || !admin_is_done(w);
}

/* No more faults: everything must come to its end, with nothing but retries and sweeps. */
static void heal(struct world *w)
{
    w->healed = true;
    w->plan.loss = w->plan.dup = w->plan.slow = 0;
    w->plan.delay_max = 5;
    chaos_end(w);
    for (int i = 0; i < 200 && !w->failed && is_busy(w); i++)
        run_until(w, w->now + 500);
    if (!w->failed && !is_all_acked(w))
        world_fail(w, "a message was not acknowledged in %d s without faults", 100);
    if (!w->failed && has_state(w, PROFILE_MERGING))
        world_fail(w, "a merge was left behind");
    if (!w->failed && !admin_is_done(w))
        world_fail(w, "a group has not come back in %d s without faults", 100);
}

static void bury(struct world *w)
{
    /* A shard's clock never goes back: it may have come from a node whose clock was ahead. */
    w->days_ms += w->ahead_ms;
    jump(w);
    for (int i = 0; i < 100 && !w->failed && has_state(w, PROFILE_REDIRECT); i++)
        run_until(w, w->now + 500);
    if (!w->failed && has_state(w, PROFILE_REDIRECT))
        world_fail(w, "a tombstone was left behind");
}

static void read_all(struct world *w)
{
    for (uint32_t r = 0; r < w->plan.n_routers; r++) {
        for (uint32_t i = 0; i < w->plan.n_ids; i++)
            router_read(w, r, client_ask(w, i));
        run_until(w, w->now + 500);
    }
    for (uint32_t i = 0; i < w->n_reads && !w->failed; i++) {
        if (i + w->plan.n_ids >= w->n_reads && !w->reads[i].answered)
            world_fail(w, "a read was not answered at rest");
    }
}

/* All replicas come to the same state, and nothing that was applied is gone. */
static void settle_groups(struct world *w)
{
    for (int i = 0; i < 40 && !w->failed && !admin_is_done(w); i++)
        run_until(w, w->now + 250);
    if (!w->failed && !admin_is_done(w))
        world_fail(w, "the replicas of a group do not come together");
    for (uint32_t n = 0; n < w->plan.n_nodes; n++) {
        for (uint32_t s = 0; s < w->plan.n_shards; s++) {
            const struct hosted *h = &w->nodes[n].hosted[s];
            if (h->r.replica)
                shard_compare(w, h, h->r.state.applied, 0);
        }
    }
    for (uint32_t s = 0; s < w->plan.n_shards; s++)
        w->seen.elections += w->shards[s].group.elections;
}

void world_run(struct world *w)
{
    run_until(w, w->plan.issue_ms + 2000);
    heal(w);
    if (!w->failed)
        check_at_rest(w);
    bury(w);
    if (!w->failed)
        check_at_rest(w);
    read_all(w);
    if (!w->failed)
        settle_groups(w);
    if (!w->failed)
        history_check(w);
}
