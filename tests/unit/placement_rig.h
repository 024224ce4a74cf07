/* A map to try changes of placement on. */
#ifndef PLACEMENT_RIG_H
#define PLACEMENT_RIG_H

#include <cluster/placement.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NOW = 1000 };
static struct cluster_map m, before;

static inline void first_map(uint32_t n_shards, size_t n_nodes, uint32_t n_replicas)
{
    static struct cluster_node nodes[CLUSTER_NODES_MAX];
    static char listen[CLUSTER_NODES_MAX][48];
    for (size_t i = 0; i < n_nodes; i++) {
        (void)snprintf(listen[i], sizeof listen[i], "tcp://10.0.0.1:%zu", 1 + i);
        nodes[i] = (struct cluster_node){.id = (node_id)(1 + i), .listen = listen[i]};
    }
    struct cluster_config c = {.name = "demo",
                               .n_shards = n_shards,
                               .n_replicas = n_replicas,
                               .nodes = nodes,
                               .n_nodes = n_nodes};
    cluster_map_init(&m, &c);
}

static inline struct placement_request request(enum map_task_kind kind, node_id node, node_id other,
                                               const char *listen)
{
    return (struct placement_request){
        .kind = kind, .node = node, .other = other, .listen = bytes_of_str(listen)};
}

static inline void expect_unchanged(void)
{
    assert_memory_equal(&m, &before, sizeof m);
}

/* Refused: with that in the text, and nothing has changed. */
static inline void refuse(enum map_task_kind kind, node_id node, node_id other, const char *listen,
                          enum error_code code, const char *text)
{
    struct placement_request q = request(kind, node, other, listen);
    struct error err = {0};
    uint32_t task = 77;
    before = m;
    assert_int_equal(placement_begin(&m, &q, NOW, &task, &err), code);
    assert_int_equal(err.code, code);
    if (!strstr(err.msg, text))
        fail_msg("\"%s\" is not in: %s", text, err.msg);
    expect_unchanged();
}

/* Begins, or is the same as one that began; the id. */
static inline uint32_t begin(enum map_task_kind kind, node_id node, node_id other,
                             const char *listen)
{
    struct placement_request q = request(kind, node, other, listen);
    struct error err = {0};
    uint32_t task = 0;
    before = m;
    if (placement_begin(&m, &q, NOW, &task, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    return task;
}

/* Begins a new one. */
static inline uint32_t fresh(enum map_task_kind kind, node_id node, node_id other,
                             const char *listen)
{
    uint32_t task = begin(kind, node, other, listen);
    assert_int_equal(m.epoch, before.epoch + 1);
    assert_int_equal(task, before.last_task + 1);
    assert_int_equal(m.last_task, task);
    assert_int_equal(cluster_map_task(&m, task)->kind, kind);
    assert_int_equal(cluster_map_task(&m, task)->node, node);
    assert_int_equal(cluster_map_task(&m, task)->other, other);
    assert_int_equal(cluster_map_task(&m, task)->began_ms, NOW);
    return task;
}

static inline void cancel(uint32_t task)
{
    struct error err = {0};
    before = m;
    if (placement_cancel(&m, task, NOW, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(m.epoch, before.epoch + 1);
}

static inline void settle(shard_id shard)
{
    uint64_t epoch = m.epoch;
    assert_true(placement_settle(&m, shard, m.shards[shard].changed, NOW + 1));
    assert_int_equal(m.epoch, epoch + 1);
    assert_false(m.shards[shard].is_moving);
    assert_int_equal(m.shards[shard].n_holders, m.shards[shard].n_replicas);
}

static inline void settle_all(void)
{
    for (shard_id i = 0; i < m.n_shards; i++) {
        if (m.shards[i].is_moving)
            settle(i);
    }
}

static inline enum map_task_state state_of(uint32_t task)
{
    assert_non_null(cluster_map_task(&m, task));
    return cluster_map_task(&m, task)->state;
}

static inline void expect_state(node_id node, enum map_node_state state)
{
    assert_non_null(cluster_map_node(&m, node));
    assert_int_equal(cluster_map_node(&m, node)->state, state);
}

/* The shard wants the nodes of that list, up to a 0. */
static inline void expect_wanted(shard_id shard, node_id a, node_id b, node_id c)
{
    const node_id list[] = {a, b, c, 0};
    size_t n = 0;
    while (list[n]) {
        assert_true(n < m.shards[shard].n_replicas);
        assert_int_equal(m.shards[shard].holders[n].node, list[n]);
        n++;
    }
    assert_int_equal(m.shards[shard].n_replicas, n);
}

static inline size_t load_of(node_id node)
{
    size_t n_first;
    return placement_load(&m, node, &n_first);
}

static inline size_t firsts_of(node_id node)
{
    size_t n_first;
    (void)placement_load(&m, node, &n_first);
    return n_first;
}

#endif
