/* Random requests, cancels and reports, on a map and on a second one that gets the same changes as
 * they travel; what must always hold is looked at after each. The seed is printed on failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <base/rng.h>
#include <cluster/placement.h>

enum { SEEDS = 300, STEPS = 80, NODES = 12, KINDS = MAP_TASK_KINDS };

struct trial {
    struct cluster_map m, other, before;
    struct rng rng;
    msec_t now;
};
static struct trial t;
static uint64_t seed;
static unsigned n_done[KINDS], n_refused[KINDS], n_same, n_cancelled, n_overridden, n_settled;

#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what))                                                                               \
            fail_msg("seed %llu, epoch %llu: %s", (unsigned long long)seed,                        \
                     (unsigned long long)t.m.epoch, #what);                                        \
    } while (0)

/* --- what must hold --- */

static void check_holders(const struct cluster_map *m, const struct map_shard *s)
{
    size_t n_settled_places = 0;
    MUST(s->n_replicas >= 1 && s->n_replicas <= m->n_replicas);
    MUST(s->n_holders >= s->n_replicas && s->n_holders <= MAP_HOLDERS_MAX);
    for (size_t i = 0; i < s->n_holders; i++) {
        const struct map_node *of = cluster_map_node(m, s->holders[i].node);
        MUST(of);
        MUST(i >= s->n_replicas || of->state == MAP_NODE_IN);
        MUST(s->is_moving || s->holders[i].settled == i + 1);
        n_settled_places += s->holders[i].settled > 0;
        for (size_t k = 0; k < i; k++) {
            MUST(s->holders[k].node != s->holders[i].node);
            MUST(!s->holders[i].settled || s->holders[k].settled != s->holders[i].settled);
        }
    }
    for (size_t i = 0; i < s->n_holders; i++)
        MUST(s->holders[i].settled <= n_settled_places);
    MUST(n_settled_places > 0);
}

static bool is_running(const struct map_task *task)
{
    return task->state == MAP_TASK_RUNNING || task->state == MAP_TASK_CANCELLING;
}

static void check_shards(const struct cluster_map *m)
{
    for (shard_id i = 0; i < m->n_shards; i++) {
        const struct map_shard *s = &m->shards[i];
        check_holders(m, s);
        MUST(s->changed <= m->epoch && s->task <= m->last_task);
        MUST(s->is_moving || s->n_holders == s->n_replicas);
        const struct map_task *task = cluster_map_task(m, s->task);
        MUST(!s->is_moving || (task && is_running(task)));
    }
}

static void check_tasks(const struct cluster_map *m)
{
    for (size_t i = 0; i < m->n_tasks; i++) {
        const struct map_task *task = &m->tasks[i];
        MUST(i == 0 || task->id > m->tasks[i - 1].id);
        MUST(is_running(task) == (cluster_map_task_left(m, task->id) > 0));
        MUST(is_running(task) == (task->ended_ms == 0));
    }
}

static void check_nodes(const struct cluster_map *m)
{
    for (size_t i = 0; i < m->n_nodes; i++) {
        bool holds = false;
        MUST(i == 0 || m->nodes[i].id > m->nodes[i - 1].id);
        for (size_t k = 0; k < i; k++)
            MUST(strcmp(m->nodes[i].listen, m->nodes[k].listen) != 0);
        for (shard_id s = 0; s < m->n_shards; s++)
            holds = holds || cluster_map_holder(m, s, m->nodes[i].id);
        MUST(holds || m->nodes[i].state != MAP_NODE_LEAVING);
    }
}

/* A replica is what it was, or as new as the map; only what is settled lets go of one. */
static void check_replicas(const struct cluster_map *was, const struct cluster_map *m)
{
    for (shard_id i = 0; i < m->n_shards; i++) {
        for (size_t k = 0; k < m->shards[i].n_holders; k++) {
            const struct map_replica *r = &m->shards[i].holders[k];
            const struct map_replica *had = cluster_map_holder(was, i, r->node);
            MUST(had ? r->since == had->since : r->since == m->epoch);
        }
        for (size_t k = 0; k < was->shards[i].n_holders && m->shards[i].is_moving; k++)
            MUST(cluster_map_holder(m, i, was->shards[i].holders[k].node));
    }
}

static void check_round_trip(const struct cluster_map *m)
{
    static struct cluster_map back;
    struct buf b = {0};
    struct error err = {0};
    cluster_map_encode(m, &b);
    enum error_code rc = cluster_map_decode(buf_bytes(&b), &back, &err);
    if (rc != ERR_OK)
        fail_msg("seed %llu: %s", (unsigned long long)seed, err.msg);
    MUST(memcmp(m, &back, sizeof back) == 0);
    buf_free(&b);
}

static void check(void)
{
    check_shards(&t.m);
    check_tasks(&t.m);
    check_nodes(&t.m);
    check_replicas(&t.before, &t.m);
    check_round_trip(&t.m);
}

/* --- changes --- */

/* The same on both maps, there as it travels. Errors change nothing, and are the same. */
static enum error_code change(const struct placement_change *c, uint32_t *task)
{
    struct buf b = {0};
    struct placement_change back;
    struct error err = {0}, err2 = {0};
    uint32_t task2;
    t.before = t.m;
    placement_change_encode(c, &b);
    MUST(placement_change_decode(buf_bytes(&b), &back, NULL) == ERR_OK);
    enum error_code rc = placement_apply(&t.m, c, t.now, task, &err);
    MUST(placement_apply(&t.other, &back, t.now, &task2, &err2) == rc);
    MUST(*task == task2 && strcmp(err.msg, err2.msg) == 0);
    MUST(memcmp(&t.m, &t.other, sizeof t.m) == 0);
    buf_free(&b);
    bool is_changed = memcmp(&t.m, &t.before, sizeof t.m) != 0;
    MUST(t.m.epoch == t.before.epoch + is_changed);
    MUST(rc == ERR_OK || !is_changed);
    if (is_changed)
        check();
    return rc;
}

/* Nobody could give the node one more and still have as many. */
static void check_level(node_id node)
{
    size_t firsts, load = placement_load(&t.m, node, &firsts);
    for (size_t i = 0; i < t.m.n_nodes; i++) {
        node_id from = t.m.nodes[i].id;
        if (placement_load(&t.m, from, &firsts) <= load + 1)
            continue;
        size_t total = 0, n_in = 0;
        for (size_t k = 0; k < t.m.n_nodes; k++) {
            total += placement_load(&t.m, t.m.nodes[k].id, &firsts);
            n_in += t.m.nodes[k].state == MAP_NODE_IN;
        }
        for (shard_id s = 0; s < t.m.n_shards && load < total / n_in; s++)
            MUST(cluster_map_place(&t.m, s, from) < 0 || cluster_map_place(&t.m, s, node) >= 0);
    }
}

static unsigned count_running(const struct cluster_map *m)
{
    unsigned n = 0;
    for (size_t i = 0; i < m->n_tasks; i++)
        n += is_running(&m->tasks[i]);
    return n;
}

/* Tasks that ended with the last change. */
static unsigned count_ended(void)
{
    unsigned n = 0;
    for (size_t i = 0; i < t.before.n_tasks; i++) {
        const struct map_task *now = cluster_map_task(&t.m, t.before.tasks[i].id);
        n += is_running(&t.before.tasks[i]) && (!now || !is_running(now));
    }
    return n;
}

static void begin(void)
{
    static char listen[32];
    node_id node = (node_id)(1 + rng_below(&t.rng, NODES));
    node_id other = (node_id)(1 + rng_below(&t.rng, NODES));
    enum map_task_kind kind = (enum map_task_kind)(1 + rng_below(&t.rng, KINDS - 1));
    struct placement_change c = {.op = PLACEMENT_BEGIN, .request = {.kind = kind, .node = node}};
    node_id comer = kind == MAP_TASK_REPLACE ? other : node;
    uint32_t task;
    if (kind == MAP_TASK_REPLACE)
        c.request.other = other;
    /* Now and then that of the next node. */
    (void)snprintf(listen, sizeof listen, "tcp://10.0.0.1:%u",
                   rng_below(&t.rng, 8) ? comer : comer % NODES + 1U);
    if (kind == MAP_TASK_ADD || kind == MAP_TASK_REPLACE)
        c.request.listen = bytes_of_str(listen);
    if (change(&c, &task) != ERR_OK) {
        n_refused[kind]++;
        return;
    }
    n_done[kind] += task > t.before.last_task;
    n_same += task <= t.before.last_task;
    n_overridden += count_ended();
    if (task > t.before.last_task && kind == MAP_TASK_ADD)
        check_level(node);
    struct cluster_map once = t.m;
    uint32_t same;
    MUST(change(&c, &same) == ERR_OK && same == task);
    MUST(memcmp(&once, &t.m, sizeof once) == 0);
}

/* What moved for it wants what was settled, as far as those nodes take replicas. */
static void check_cancelled(uint32_t task)
{
    for (shard_id i = 0; i < t.m.n_shards; i++) {
        const struct map_shard *s = &t.m.shards[i];
        if (!s->is_moving || s->task != task)
            continue;
        for (size_t k = 0; k < s->n_holders; k++) {
            const struct map_replica *r = &s->holders[k];
            if (r->settled && cluster_map_node(&t.m, r->node)->state == MAP_NODE_IN)
                MUST(cluster_map_place(&t.m, i, r->node) >= 0);
        }
    }
}

static void cancel(void)
{
    struct placement_change c = {.op = PLACEMENT_CANCEL};
    uint32_t task;
    c.task = (uint32_t)(t.m.last_task - rng_below(&t.rng, 6));
    if (change(&c, &task) != ERR_OK || t.m.epoch == t.before.epoch)
        return;
    n_cancelled++;
    MUST(cluster_map_task(&t.m, task)->state == MAP_TASK_CANCELLING);
    check_cancelled(task);
}

static void settle(shard_id shard)
{
    struct placement_change c = {
        .op = PLACEMENT_SETTLE, .shard = shard, .changed = t.m.shards[shard].changed};
    uint32_t task;
    bool was_moving = t.m.shards[shard].is_moving;
    MUST(change(&c, &task) == ERR_OK);
    MUST((t.m.epoch != t.before.epoch) == was_moving);
    n_settled += was_moving;
}

static void settle_late(shard_id shard)
{
    struct placement_change c = {
        .op = PLACEMENT_SETTLE, .shard = shard, .changed = t.m.shards[shard].changed - 1};
    uint32_t task;
    MUST(change(&c, &task) == ERR_OK && t.m.epoch == t.before.epoch);
}

static void step(void)
{
    shard_id shard = (shard_id)rng_below(&t.rng, t.m.n_shards);
    t.now += (msec_t)rng_below(&t.rng, 1000);
    switch (rng_below(&t.rng, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
        begin();
        break;
    case 4:
        cancel();
        break;
    case 5:
        settle_late(shard);
        break;
    default:
        settle(shard);
    }
}

/* --- trials --- */

static void start(void)
{
    static struct cluster_node nodes[NODES];
    static char listen[NODES][48];
    memset(&t, 0, sizeof t);
    t.rng = rng_of_seed(seed);
    t.now = 1000;
    size_t n = 1 + rng_below(&t.rng, 6);
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(listen[i], sizeof listen[i], "tcp://10.0.0.1:%zu", 1 + i);
        nodes[i] = (struct cluster_node){.id = (node_id)(1 + i), .listen = listen[i]};
    }
    struct cluster_config c = {.name = "demo",
                               .n_shards = (uint32_t)(1 + rng_below(&t.rng, 12)),
                               .n_replicas = n >= 3 && rng_below(&t.rng, 4) ? 3 : 1,
                               .nodes = nodes,
                               .n_nodes = n};
    cluster_map_init(&t.m, &c);
    t.other = t.m;
}

/* Everything comes to rest, in any order. */
static void finish(void)
{
    shard_id order[CLUSTER_SHARDS_MAX];
    for (shard_id i = 0; i < t.m.n_shards; i++) {
        size_t at = rng_below(&t.rng, i + 1U);
        order[i] = order[at];
        order[at] = i;
    }
    for (shard_id i = 0; i < t.m.n_shards; i++)
        settle(order[i]);
    MUST(count_running(&t.m) == 0);
    for (shard_id i = 0; i < t.m.n_shards; i++)
        MUST(!t.m.shards[i].is_moving);
    for (size_t i = 0; i < t.m.n_nodes; i++) {
        size_t firsts;
        MUST(t.m.nodes[i].state != MAP_NODE_LEAVING);
        MUST(t.m.nodes[i].state == MAP_NODE_IN || !placement_load(&t.m, t.m.nodes[i].id, &firsts));
    }
}

static void test_placement_holds_under_random_changes(void **state)
{
    (void)state;
    for (seed = 1; seed <= SEEDS; seed++) {
        start();
        for (int i = 0; i < STEPS; i++)
            step();
        finish();
    }
    /* All that is to be tried was. */
    for (int kind = MAP_TASK_ADD; kind < KINDS; kind++) {
        assert_true(n_done[kind] > SEEDS);
        assert_true(n_refused[kind] > SEEDS / 4);
    }
    assert_true(n_cancelled > SEEDS / 2 && n_overridden > SEEDS / 2 && n_settled > SEEDS);
    assert_true(n_same > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placement_holds_under_random_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
