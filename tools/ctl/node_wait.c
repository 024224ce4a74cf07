#include "interrupt.h"
#include "node.h"

#include <stdio.h>
#include <time.h>

enum { LOOK_MS = 500 };

static void rest(void)
{
    struct timespec t = {.tv_sec = 0, .tv_nsec = LOOK_MS * 1000000L};
    (void)nanosleep(&t, NULL);
}

/* What was told last; a line comes where it changes. */
struct told {
    uint32_t task;
    uint64_t epoch; /* of the newest map that was seen: a router may have an older one */
    enum oneid_task_state state;
    uint32_t left;
    bool any, silent;
};

static void tell(struct told *t, const struct oneid_task *task)
{
    char what[64], state[64];
    if (t->any && t->state == task->state && t->left == task->left)
        return;
    t->any = true;
    t->state = task->state;
    t->left = task->left;
    task_describe(task, what, sizeof what);
    task_state(task, state, sizeof state);
    (void)fprintf(stderr, "task %u: %s: %s\n", task->id, what, state);
}

static bool has_ended(const struct oneid_task *t)
{
    return t->state == ONEID_TASK_DONE || t->state == ONEID_TASK_CANCELLED;
}

/* True: it is over, and `*rc` says how. */
static bool look(struct told *t, const struct oneid_map *m, bool cancelled, int *rc)
{
    if (m->epoch < t->epoch)
        return false;
    t->epoch = m->epoch;
    const struct oneid_task *task = task_find(m, t->task);
    if (!task) {
        complain("task %u is not remembered: the newest 32 are", t->task);
        *rc = EXIT_PROBLEM;
        return true;
    }
    tell(t, task);
    if (!has_ended(task))
        return false;
    bool as_wanted = task->state == (cancelled ? ONEID_TASK_CANCELLED : ONEID_TASK_DONE);
    if (!as_wanted)
        complain("task %u was %s", t->task, cancelled ? "done before" : "cancelled");
    *rc = as_wanted ? EXIT_OK : EXIT_PROBLEM;
    return true;
}

/* False: asking again will not help. Routers that are away for a while are told of once. */
static bool may_pass(struct told *t, const struct oneid_result *r)
{
    enum oneid_code code = r ? r->code : ONEID_ERR_NOMEM;
    if (!t->silent)
        complain("it is not known how far task %u is: %s", t->task, r ? r->text : "no memory");
    t->silent = true;
    return code == ONEID_ERR_TIMEOUT || code == ONEID_ERR_UNAVAILABLE || code == ONEID_ERR_BUSY;
}

int node_wait(struct session *s, const struct oneid_map *m, uint32_t task, bool cancelled)
{
    struct told t = {.task = task, .epoch = m->epoch};
    int rc = EXIT_PROBLEM;
    bool over = look(&t, m, cancelled, &rc);
    while (!over && !interrupted()) {
        rest();
        struct oneid_result *r = oneid_nodes(s->client, true);
        if (r && r->map) {
            t.silent = false;
            over = look(&t, r->map, cancelled, &rc);
        } else if (!interrupted() && !may_pass(&t, r)) {
            over = true;
        }
        oneid_result_free(r);
    }
    if (!over)
        complain("task %u goes on: oneidctl node task %u --wait", task, task);
    return rc;
}
