#include "placement_plan.h"

#include <cluster/listen.h>

#include <stdio.h>

/* --- requests --- */

static enum error_code check_listen(const struct cluster_map *m, node_id id, struct bytes listen,
                                    struct error *err)
{
    char text[MAP_ENDPOINT_MAX] = "";
    if (listen.len >= sizeof text || (listen.len && memchr(listen.data, 0, listen.len)))
        return error_set(err, ERR_INVALID, "node %u: expected an endpoint of at most %d bytes", id,
                         MAP_ENDPOINT_MAX - 1);
    if (listen.len)
        memcpy(text, listen.data, listen.len);
    const struct map_node *have = cluster_map_node(m, id);
    if (have && (listen.len == 0 || strcmp(have->listen, text) == 0))
        return ERR_OK;
    const char *expected = listen_mistake(text);
    if (expected)
        return error_set(err, ERR_INVALID, "node %u: expected %s", id, expected);
    if (have)
        return error_set(err, ERR_CONFLICT, "node %u is in the map already, as %s", id,
                         have->listen);
    for (size_t i = 0; i < m->n_nodes; i++) {
        if (strcmp(m->nodes[i].listen, text) == 0)
            return error_set(err, ERR_CONFLICT, "%s is the endpoint of node %u", text,
                             m->nodes[i].id);
    }
    return ERR_OK;
}

static enum error_code check_form(const struct cluster_map *m, const struct placement_request *q,
                                  struct error *err)
{
    if (q->kind < MAP_TASK_ADD || q->kind >= MAP_TASK_KINDS)
        return error_set(err, ERR_INVALID, "no such kind of task");
    if (q->node == 0 || (q->other == 0) != (q->kind != MAP_TASK_REPLACE) || q->other == q->node)
        return error_set(err, ERR_INVALID,
                         q->kind == MAP_TASK_REPLACE
                             ? "expected the id of a node, and of another one to replace it"
                             : "expected the id of one node");
    if (q->kind == MAP_TASK_ADD)
        return check_listen(m, q->node, q->listen, err);
    if (q->kind == MAP_TASK_REPLACE)
        return check_listen(m, q->other, q->listen, err);
    if (q->listen.len > 0)
        return error_set(err, ERR_INVALID, "an endpoint is only for a node that comes in");
    return ERR_OK;
}

static bool is_in_state(const struct cluster_map *m, node_id id, enum map_node_state state)
{
    const struct map_node *of = cluster_map_node(m, id);
    return of && of->state == state;
}

static bool is_gone(const struct cluster_map *m, node_id id)
{
    return !cluster_map_node(m, id) || is_in_state(m, id, MAP_NODE_LEAVING);
}

/* Are the nodes still as the task made them? */
static bool stands(const struct cluster_map *m, const struct map_task *t)
{
    if (t->state != MAP_TASK_RUNNING && t->state != MAP_TASK_DONE)
        return false;
    switch (t->kind) {
    case MAP_TASK_ADD:
        return is_in_state(m, t->node, MAP_NODE_IN);
    case MAP_TASK_DRAIN:
        return is_in_state(m, t->node, MAP_NODE_DRAINED);
    case MAP_TASK_REMOVE:
        return is_gone(m, t->node);
    case MAP_TASK_REPLACE:
        return is_gone(m, t->node) && is_in_state(m, t->other, MAP_NODE_IN);
    case MAP_TASK_KINDS:
        break;
    }
    return false;
}

/* The task of the same request, unless its effect is gone or one of its nodes was the subject of a
 * later one. 0: none. */
static uint32_t task_of(const struct cluster_map *m, const struct placement_request *q)
{
    for (size_t i = m->n_tasks; i-- > 0;) {
        const struct map_task *t = &m->tasks[i];
        if (t->kind == q->kind && t->node == q->node && t->other == q->other)
            return stands(m, t) ? t->id : 0;
        if (t->node == q->node || t->node == q->other)
            return 0;
    }
    return 0;
}

static enum error_code leaves_already(node_id id, struct error *err)
{
    return error_set(err, ERR_CONFLICT,
                     "node %u is leaving the cluster: wait until it is gone, or cancel that", id);
}

/* May the task begin on nodes in this state? */
static enum error_code check_states(const struct cluster_map *m, const struct placement_request *q,
                                    struct error *err)
{
    const struct map_node *node = cluster_map_node(m, q->node);
    if (!node && q->kind != MAP_TASK_ADD)
        return error_set(err, ERR_NOT_FOUND, "the cluster has no node %u", q->node);
    if (is_in_state(m, q->node, MAP_NODE_LEAVING))
        return leaves_already(q->node, err);
    if (is_in_state(m, q->other, MAP_NODE_LEAVING))
        return leaves_already(q->other, err);
    if (q->kind == MAP_TASK_REPLACE && node->state == MAP_NODE_DRAINED)
        return error_set(err, ERR_CONFLICT,
                         "node %u is drained, there is nothing to take over: remove it", q->node);
    if (m->epoch >= UINT32_MAX || m->last_task == UINT32_MAX)
        return error_set(err, ERR_CONFLICT, "the cluster map was changed too often");
    return ERR_OK;
}

/* --- tasks --- */

static bool is_running(const struct map_task *t)
{
    return t->state == MAP_TASK_RUNNING || t->state == MAP_TASK_CANCELLING;
}

/* Forgets the oldest that has ended where there is no room for one more. */
static enum error_code make_room(struct cluster_map *m, struct error *err)
{
    size_t at = 0;
    if (m->n_tasks < MAP_TASKS_MAX)
        return ERR_OK;
    while (at < m->n_tasks && is_running(&m->tasks[at]))
        at++;
    if (at == m->n_tasks)
        return error_set(err, ERR_CONFLICT, "%d tasks are running: wait for one, or cancel one",
                         MAP_TASKS_MAX);
    m->n_tasks--;
    memmove(&m->tasks[at], &m->tasks[at + 1], (m->n_tasks - at) * sizeof m->tasks[0]);
    return ERR_OK;
}

static enum error_code note_task(struct plan *p, const struct placement_request *q, msec_t now_ms,
                                 struct error *err)
{
    bool is_done = p->n_changed == 0;
    plan_end_tasks(p->m, now_ms);
    enum error_code rc = make_room(p->m, err);
    if (rc != ERR_OK)
        return rc;
    p->m->last_task = p->task;
    p->m->tasks[p->m->n_tasks++] =
        (struct map_task){.id = p->task,
                          .kind = q->kind,
                          .state = is_done ? MAP_TASK_DONE : MAP_TASK_RUNNING,
                          .node = q->node,
                          .other = q->other,
                          .n_shards = p->n_changed,
                          .began_ms = now_ms,
                          .ended_ms = is_done ? now_ms : 0};
    return ERR_OK;
}

static enum error_code make_changes(struct plan *p, const struct placement_request *q,
                                    struct error *err)
{
    switch (q->kind) {
    case MAP_TASK_ADD:
        return plan_add(p, q, err);
    case MAP_TASK_DRAIN:
        return plan_drain(p, q, err);
    case MAP_TASK_REMOVE:
        return plan_remove(p, q, err);
    case MAP_TASK_REPLACE:
        return plan_replace(p, q, err);
    case MAP_TASK_KINDS:
        break;
    }
    return error_set(err, ERR_INVALID, "no such kind of task");
}

/* 0 means "not yet" in a task. */
static msec_t time_of(msec_t now_ms)
{
    return now_ms < 1 ? 1 : now_ms;
}

enum error_code placement_begin(struct cluster_map *m, const struct placement_request *q,
                                msec_t now_ms, uint32_t *task, struct error *err)
{
    struct cluster_map next;
    struct plan p;
    enum error_code rc = check_form(m, q, err);
    if (rc != ERR_OK)
        return rc;
    uint32_t same = task_of(m, q);
    if (same) {
        *task = same;
        return ERR_OK;
    }
    if ((rc = check_states(m, q, err)) != ERR_OK)
        return rc;
    next = *m;
    plan_open(&p, &next, m->last_task + 1);
    if ((rc = make_changes(&p, q, err)) != ERR_OK ||
        (rc = note_task(&p, q, time_of(now_ms), err)) != ERR_OK)
        return rc;
    plan_strike_off(&next);
    *m = next;
    *task = p.task;
    return ERR_OK;
}

/* --- cancelling --- */

static bool has(const node_id *nodes, size_t n, node_id node)
{
    for (size_t i = 0; i < n; i++) {
        if (nodes[i] == node)
            return true;
    }
    return false;
}

/* On which nodes the shard was when it was last settled, in the order of their places. */
static size_t settled_on(const struct map_shard *s, node_id *out)
{
    size_t n = 0;
    for (size_t place = 1; place <= CLUSTER_REPLICAS_MAX; place++) {
        for (size_t i = 0; i < s->n_holders; i++) {
            if (s->holders[i].settled == place && n < CLUSTER_REPLICAS_MAX)
                out[n++] = s->holders[i].node;
        }
    }
    return n;
}

/* Another node that has the shard, for one that takes no replicas any more: the one that was wanted
 * last before the task, if any; rather not the one that comes with the task. 0: none. */
static node_id stand_in(const struct plan *p, const struct map_shard *s, const node_id *nodes,
                        size_t n, node_id comer)
{
    node_id last = 0;
    for (size_t i = 0; i < s->n_holders; i++) {
        node_id node = s->holders[(s->n_replicas + i) % s->n_holders].node;
        if (has(nodes, n, node) || !is_in_state(p->m, node, MAP_NODE_IN))
            continue;
        if (node != comer)
            return node;
        last = node;
    }
    return last;
}

/* The shard is to be where it was. A node that was drained or is leaving since gets nothing back:
 * another one that has the shard stands in for it, or nobody. */
static enum error_code restore(struct plan *p, shard_id shard, node_id comer, struct error *err)
{
    const struct map_shard *s = &p->m->shards[shard];
    node_id nodes[CLUSTER_REPLICAS_MAX], was[CLUSTER_REPLICAS_MAX];
    size_t n = 0, n_was = settled_on(s, was);
    for (size_t i = 0; i < n_was; i++) {
        if (!is_in_state(p->m, was[i], MAP_NODE_IN))
            was[i] = stand_in(p, s, was, n_was, comer);
        if (was[i])
            nodes[n++] = was[i];
    }
    if (n == 0)
        n = plan_wanted(p, shard, nodes);
    return plan_want(p, shard, nodes, n, err);
}

static enum error_code restore_shards(struct plan *p, node_id comer, struct error *err)
{
    for (shard_id i = 0; i < p->m->n_shards; i++) {
        if (!p->m->shards[i].is_moving || p->m->shards[i].task != p->task)
            continue;
        enum error_code rc = restore(p, i, comer, err);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

static void set_state(struct plan *p, node_id id, enum map_node_state state)
{
    int at = plan_node(p, id);
    if (at >= 0)
        p->m->nodes[at].state = state;
}

static enum error_code undo(struct cluster_map *m, const struct map_task *t, struct error *err)
{
    struct plan p;
    plan_open(&p, m, t->id);
    node_id comer = t->kind == MAP_TASK_ADD ? t->node : t->other;
    if (t->kind != MAP_TASK_ADD)
        set_state(&p, t->node, MAP_NODE_IN);
    enum error_code rc = restore_shards(&p, comer, err);
    if (rc != ERR_OK)
        return rc;
    int at = plan_node(&p, comer);
    if (at >= 0 && m->nodes[at].state == MAP_NODE_IN && p.load[at] == 0)
        m->nodes[at].state = MAP_NODE_DRAINED;
    return ERR_OK;
}

enum error_code placement_cancel(struct cluster_map *m, uint32_t task, msec_t now_ms,
                                 struct error *err)
{
    struct cluster_map next;
    const struct map_task *t = cluster_map_task(m, task);
    if (!t)
        return error_set(err, ERR_NOT_FOUND, "there is no task %u, or it ended long ago", task);
    if (t->state == MAP_TASK_CANCELLING || t->state == MAP_TASK_CANCELLED)
        return ERR_OK;
    if (t->state == MAP_TASK_DONE)
        return error_set(err, ERR_CONFLICT, "task %u is done, there is nothing left to cancel",
                         task);
    if (m->epoch == UINT64_MAX)
        return error_set(err, ERR_CONFLICT, "the cluster map was changed too often");
    next = *m;
    enum error_code rc = undo(&next, t, err);
    if (rc != ERR_OK)
        return rc;
    next.tasks[t - m->tasks].state = MAP_TASK_CANCELLING;
    plan_end_tasks(&next, time_of(now_ms));
    *m = next;
    return ERR_OK;
}

/* --- settling --- */

bool placement_settle(struct cluster_map *m, shard_id shard, uint64_t changed, msec_t now_ms)
{
    if (shard >= m->n_shards || !m->shards[shard].is_moving ||
        m->shards[shard].changed != changed || m->epoch == UINT64_MAX)
        return false;
    struct map_shard *s = &m->shards[shard];
    m->epoch++;
    s->is_moving = false;
    memset(&s->holders[s->n_replicas], 0,
           (size_t)(s->n_holders - s->n_replicas) * sizeof s->holders[0]);
    s->n_holders = s->n_replicas;
    for (uint8_t i = 0; i < s->n_replicas; i++)
        s->holders[i].settled = (uint8_t)(i + 1);
    plan_end_tasks(m, time_of(now_ms));
    plan_strike_off(m);
    return true;
}

/* --- changes as they travel --- */

enum error_code placement_apply(struct cluster_map *m, const struct placement_change *c,
                                msec_t now_ms, uint32_t *task, struct error *err)
{
    *task = 0;
    switch (c->op) {
    case PLACEMENT_BEGIN:
        return placement_begin(m, &c->request, now_ms, task, err);
    case PLACEMENT_CANCEL:
        *task = c->task;
        return placement_cancel(m, c->task, now_ms, err);
    case PLACEMENT_SETTLE:
        (void)placement_settle(m, c->shard, c->changed, now_ms);
        return ERR_OK;
    case PLACEMENT_SEED:
    case PLACEMENT_READ:
        return ERR_OK;
    }
    return error_set(err, ERR_INVALID, "no such change of the cluster map");
}
