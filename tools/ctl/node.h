/* The parts of `node`: what is shown, and the wait for a task. */
#ifndef CTL_NODE_H
#define CTL_NODE_H

#include "session.h"

#include <json/emit.h>

/* --- node_show.c --- */
/* "replace node 3 by node 5" */
void task_describe(const struct oneid_task *t, char *out, size_t size);
/* "running, 3 of 12 shards done" */
void task_state(const struct oneid_task *t, char *out, size_t size);
/* NULL: the map has none of that id. */
const struct oneid_task *task_find(const struct oneid_map *m, uint32_t id);
const char *node_state_name(enum oneid_node_state state);

void node_show_task(const struct oneid_task *t);
/* The fields of an object that is open. */
void node_emit_task(struct emit *e, const struct oneid_task *t);
/* With the shards that it still moves. */
void node_show_moves(const struct oneid_map *m, const struct oneid_task *t);
void node_emit_moves(struct emit *e, const struct oneid_map *m, const struct oneid_task *t);
/* `status` says who answers; it may be NULL. */
void node_show_nodes(const struct oneid_map *m, const struct oneid_result *status);
void node_emit_nodes(struct emit *e, const struct oneid_map *m, const struct oneid_result *status);

/* --- node_wait.c --- */
/* Until the task has ended: EXIT_OK when it ended as wanted: done, or with `cancelled`, cancelled.
 * `m` is a map that has the task. */
int node_wait(struct session *s, const struct oneid_map *m, uint32_t task, bool cancelled);

#endif
