#include "node.h"

#include "show.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const KINDS[] = {[ONEID_TASK_ADD] = "add",
                                    [ONEID_TASK_DRAIN] = "drain",
                                    [ONEID_TASK_REMOVE] = "remove",
                                    [ONEID_TASK_REPLACE] = "replace"};
static const char *const STATES[] = {[ONEID_TASK_RUNNING] = "running",
                                     [ONEID_TASK_DONE] = "done",
                                     [ONEID_TASK_CANCELLING] = "cancelling",
                                     [ONEID_TASK_CANCELLED] = "cancelled"};

const char *node_state_name(enum oneid_node_state state)
{
    static const char *const NAMES[] = {"in", "drained", "leaving"};
    return NAMES[state];
}

const struct oneid_task *task_find(const struct oneid_map *m, uint32_t id)
{
    for (size_t i = 0; i < m->n_tasks; i++) {
        if (m->tasks[i].id == id)
            return &m->tasks[i];
    }
    return NULL;
}

/* --- tasks --- */

void task_describe(const struct oneid_task *t, char *out, size_t size)
{
    if (t->kind == ONEID_TASK_REPLACE)
        (void)snprintf(out, size, "replace node %u by node %u", t->node, t->other);
    else
        (void)snprintf(out, size, "%s node %u", KINDS[t->kind], t->node);
}

void task_state(const struct oneid_task *t, char *out, size_t size)
{
    bool goes_on = t->state == ONEID_TASK_RUNNING || t->state == ONEID_TASK_CANCELLING;
    if (goes_on)
        (void)snprintf(out, size, "%s, %u of %u shards left", STATES[t->state], t->left,
                       t->n_shards);
    else
        (void)snprintf(out, size, "%s, %u shards", STATES[t->state], t->n_shards);
}

void node_show_task(const struct oneid_task *t)
{
    char what[64], state[64];
    task_describe(t, what, sizeof what);
    task_state(t, state, sizeof state);
    (void)printf("task %-4u %-26s %s; began ", t->id, what, state);
    show_time(stdout, t->began_ms);
    if (t->ended_ms) {
        (void)printf(", ended ");
        show_time(stdout, t->ended_ms);
    }
    (void)printf("\n");
}

void node_emit_task(struct emit *e, const struct oneid_task *t)
{
    emit_unsigned(e, "task", t->id);
    emit_string(e, "kind", KINDS[t->kind]);
    emit_string(e, "state", STATES[t->state]);
    emit_unsigned(e, "node", t->node);
    if (t->other)
        emit_unsigned(e, "other", t->other);
    emit_unsigned(e, "shards", t->n_shards);
    emit_unsigned(e, "left", t->left);
    emit_integer(e, "began", t->began_ms);
    if (t->ended_ms)
        emit_integer(e, "ended", t->ended_ms);
}

/* --- the shards of a task --- */

static bool is_moving_for(const struct oneid_placement *p, const struct oneid_task *t)
{
    return p->moving && p->task == t->id;
}

static void show_holders(const struct oneid_placement *p)
{
    for (size_t i = 0; i < p->n_holders; i++) {
        const struct oneid_holder *h = &p->holders[i];
        (void)printf("%s node %u%s", i ? "," : ":", h->node,
                     !h->wanted    ? " (to go)"
                     : !h->settled ? " (to come)"
                                   : "");
    }
}

void node_show_moves(const struct oneid_map *m, const struct oneid_task *t)
{
    node_show_task(t);
    for (size_t i = 0; i < m->n_shards; i++) {
        if (!is_moving_for(&m->shards[i], t))
            continue;
        (void)printf("shard %u", m->shards[i].shard);
        show_holders(&m->shards[i]);
        (void)printf("\n");
    }
}

static void emit_holders(struct emit *e, const struct oneid_placement *p)
{
    emit_array(e, "holders");
    for (size_t i = 0; i < p->n_holders; i++) {
        emit_object(e, NULL);
        emit_unsigned(e, "node", p->holders[i].node);
        emit_bool(e, "wanted", p->holders[i].wanted);
        emit_bool(e, "settled", p->holders[i].settled);
        emit_end(e);
    }
    emit_end(e);
}

void node_emit_moves(struct emit *e, const struct oneid_map *m, const struct oneid_task *t)
{
    node_emit_task(e, t);
    emit_array(e, "moving");
    for (size_t i = 0; i < m->n_shards; i++) {
        if (!is_moving_for(&m->shards[i], t))
            continue;
        emit_object(e, NULL);
        emit_unsigned(e, "shard", m->shards[i].shard);
        emit_holders(e, &m->shards[i]);
        emit_end(e);
    }
    emit_end(e);
}

/* --- nodes --- */

static const struct oneid_node *heard_of(const struct oneid_result *status, uint16_t node)
{
    for (size_t i = 0; status && i < status->n_nodes; i++) {
        if (status->nodes[i].node == node)
            return &status->nodes[i];
    }
    return NULL;
}

void node_show_nodes(const struct oneid_map *m, const struct oneid_result *status)
{
    for (size_t i = 0; i < m->n_nodes; i++) {
        const struct oneid_map_node *n = &m->nodes[i];
        const struct oneid_node *heard = heard_of(status, n->node);
        (void)printf("node %-4u %-28s %-8s %u replicas, leads %u", n->node, n->endpoint,
                     node_state_name(n->state), n->replicas, n->leads);
        if (n->leaving)
            (void)printf(", %u to give up", n->leaving);
        if (heard && !heard->answers)
            (void)printf(", does not answer: %s", heard->text);
        (void)printf("\n");
    }
}

void node_emit_nodes(struct emit *e, const struct oneid_map *m, const struct oneid_result *status)
{
    emit_array(e, "nodes");
    for (size_t i = 0; i < m->n_nodes; i++) {
        const struct oneid_map_node *n = &m->nodes[i];
        const struct oneid_node *heard = heard_of(status, n->node);
        emit_object(e, NULL);
        emit_unsigned(e, "node", n->node);
        emit_string(e, "state", node_state_name(n->state));
        emit_string(e, "endpoint", n->endpoint);
        emit_unsigned(e, "replicas", n->replicas);
        emit_unsigned(e, "leads", n->leads);
        emit_unsigned(e, "leaving", n->leaving);
        if (heard)
            emit_bool(e, "up", heard->answers);
        emit_end(e);
    }
    emit_end(e);
}
