/* node: the cluster's nodes, and the tasks by which they come, go and are replaced. */
#include "node.h"

#include "commands.h"
#include "guard.h"
#include "interrupt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOOKS = 5, LOOK_MS = 400 }; /* for a node that a link is being made to */

/* What to look at before: the node's shards have to go on without it. */
enum caution { CAUTION_NONE, CAUTION_WARN, CAUTION_REFUSE };

/* What was asked for. */
struct wish {
    const struct options *o;
    uint16_t node, other;
    const char *endpoint; /* NULL: none was given, nor is any known */
};

/* A whole number from 1; 0: not one, which has been told. */
static uint32_t number_of(const struct options *o, const char *text, uint32_t max, const char *of)
{
    char *end;
    unsigned long v = *text >= '1' && *text <= '9' ? strtoul(text, &end, 10) : 0;
    if (v > 0 && v <= max && *end == '\0')
        return (uint32_t)v;
    complain("node %s: expected the number of a %s, found %.40s", o->args[0], of, text);
    return 0;
}

/* --- what to look at before and after --- */

static const char *endpoint_in_file(const struct session *s, uint16_t node)
{
    for (size_t i = 0; s->config && i < s->config->n_nodes; i++) {
        if (s->config->nodes[i].id == node)
            return s->config->nodes[i].listen;
    }
    return NULL;
}

static bool is_in_map(struct session *s, uint16_t node)
{
    bool there = false;
    struct oneid_result *r = oneid_nodes(s->client, true);
    for (size_t i = 0; r && r->map && i < r->map->n_nodes; i++)
        there |= r->map->nodes[i].node == node;
    oneid_result_free(r);
    return there;
}

/* The endpoint of a node that comes in: as it was given, else as the map has it, which needs no
 * word, else as the cluster file has it. False: none is known. */
static bool find_endpoint(struct session *s, struct wish *w, uint16_t node)
{
    const char *named = endpoint_in_file(s, node);
    if (!w->endpoint) {
        bool is_known = is_in_map(s, node);
        w->endpoint = is_known ? NULL : named;
        return is_known || named;
    }
    if (named && strcmp(named, w->endpoint) != 0)
        complain("note: %s has another address for node %u, %s: who has that file uses it",
                 w->o->config, node, named);
    return true;
}

static int endpoint_is_missing(const struct wish *w, uint16_t node)
{
    complain("node %s: expected the endpoint of node %u, which neither the cluster nor %s names",
             w->o->args[0], node, w->o->config);
    return EXIT_USAGE;
}

/* True: the node may go. Where it keeps its data until that is elsewhere, a warning is enough. */
static bool may_go(const struct wish *w, enum caution caution)
{
    static struct survey v; /* large */
    struct guard g;
    if (caution == CAUTION_NONE)
        return true;
    bool ok = survey_open(&v, w->o, false) == EXIT_OK, warns = caution == CAUTION_WARN;
    if (ok && !survey_map(&v)) {
        complain("no router answers with a cluster map: nothing was done");
        ok = false;
    } else if (ok && !guard_removal(&v, w->node, &g)) {
        complain("%s%s", warns ? "note: " : "", g.what);
        complain("%s%s",
                 warns ? "the task waits until they can go on: " : "nothing was done: ", g.help);
        ok = warns;
    }
    survey_close(&v);
    return ok;
}

static bool answers(struct session *s, uint16_t node)
{
    bool there = false;
    struct oneid_result *r = oneid_status(s->client);
    for (size_t i = 0; r && i < r->n_nodes; i++)
        there |= r->nodes[i].node == node && r->nodes[i].answers;
    oneid_result_free(r);
    return there;
}

static void warn_if_away(struct session *s, uint16_t node)
{
    struct timespec rest = {.tv_sec = 0, .tv_nsec = LOOK_MS * 1000000L};
    for (int i = 0; i < LOOKS && !interrupted(); i++) {
        if (answers(s, node))
            return;
        (void)nanosleep(&rest, NULL);
    }
    complain("note: node %u does not answer yet, the task waits for it; start it: oneid-node -c "
             "FILE -n %u, with a cluster file that names it",
             node, node);
}

/* --- tasks --- */

static void print_task(const struct options *o, const struct oneid_result *r,
                       const struct oneid_task *t)
{
    struct emit e;
    if (!o->json) {
        node_show_task(t);
        return;
    }
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    node_emit_task(&e, t);
    emit_unsigned(&e, "map_epoch", r->map->epoch);
    emit_end(&e);
}

/* As it is now, after a wait. */
static void print_again(struct session *s, const struct options *o, uint32_t task)
{
    struct oneid_result *r = oneid_nodes(s->client, true);
    const struct oneid_task *t = r && r->map ? task_find(r->map, task) : NULL;
    if (t)
        print_task(o, r, t);
    oneid_result_free(r);
}

/* Tells what a call that begins or ends a task gave, and waits for it where that was asked for. */
static int follow(struct session *s, const struct options *o, const struct oneid_result *r,
                  uint16_t newcomer, bool cancelled)
{
    const struct oneid_task *t = r && r->map ? task_find(r->map, r->task) : NULL;
    int rc = result_check(r);
    if (rc != EXIT_OK)
        return rc;
    if (!t) {
        complain("the router does not say which task that is");
        return EXIT_PROBLEM;
    }
    bool prints_later = o->json && o->wait; /* one value on standard output */
    if (!prints_later)
        print_task(o, r, t);
    (void)fflush(stdout);
    if (newcomer)
        warn_if_away(s, newcomer);
    if (o->wait)
        rc = node_wait(s, r->map, r->task, cancelled);
    if (prints_later)
        print_again(s, o, r->task);
    return rc;
}

static int run_add(struct session *s, struct wish *w)
{
    if (!find_endpoint(s, w, w->node))
        return endpoint_is_missing(w, w->node);
    struct oneid_result *r = oneid_node_add(s->client, w->node, w->endpoint);
    int rc = follow(s, w->o, r, w->node, false);
    oneid_result_free(r);
    return rc;
}

static int run_drain(struct session *s, struct wish *w)
{
    struct oneid_result *r = oneid_node_drain(s->client, w->node);
    int rc = follow(s, w->o, r, 0, false);
    oneid_result_free(r);
    return rc;
}

static int run_remove(struct session *s, struct wish *w)
{
    struct oneid_result *r = oneid_node_remove(s->client, w->node);
    int rc = follow(s, w->o, r, 0, false);
    oneid_result_free(r);
    return rc;
}

static int run_replace(struct session *s, struct wish *w)
{
    if (!find_endpoint(s, w, w->other))
        return endpoint_is_missing(w, w->other);
    struct oneid_result *r = oneid_node_replace(s->client, w->node, w->other, w->endpoint);
    int rc = follow(s, w->o, r, w->other, false);
    oneid_result_free(r);
    return rc;
}

static int run_cancel(struct session *s, const struct options *o, uint32_t task)
{
    struct oneid_result *r = oneid_node_cancel(s->client, task);
    int rc = follow(s, o, r, 0, true);
    oneid_result_free(r);
    return rc;
}

/* --- what there is --- */

static int run_nodes(struct session *s, const struct options *o)
{
    struct oneid_result *r = oneid_nodes(s->client, true), *status = oneid_status(s->client);
    int rc = result_check(r);
    if (rc == EXIT_OK && r->map && o->json) {
        struct emit e;
        emit_init(&e, stdout);
        emit_object(&e, NULL);
        emit_unsigned(&e, "map_epoch", r->map->epoch);
        emit_unsigned(&e, "replicas", r->map->n_replicas);
        node_emit_nodes(&e, r->map, status);
        emit_end(&e);
    } else if (rc == EXIT_OK && r->map) {
        node_show_nodes(r->map, status);
    }
    oneid_result_free(r);
    oneid_result_free(status);
    return rc;
}

static void print_tasks(const struct options *o, const struct oneid_map *m)
{
    struct emit e;
    for (size_t i = 0; i < m->n_tasks && !o->json; i++)
        node_show_task(&m->tasks[i]);
    if (!o->json)
        return;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_array(&e, "tasks");
    for (size_t i = 0; i < m->n_tasks; i++) {
        emit_object(&e, NULL);
        node_emit_task(&e, &m->tasks[i]);
        emit_end(&e);
    }
    emit_end(&e);
    emit_end(&e);
}

static int run_tasks(struct session *s, const struct options *o)
{
    struct oneid_result *r = oneid_nodes(s->client, false);
    int rc = result_check(r);
    if (rc == EXIT_OK && r->map)
        print_tasks(o, r->map);
    oneid_result_free(r);
    return rc;
}

static void print_moves(const struct options *o, const struct oneid_map *m,
                        const struct oneid_task *t)
{
    struct emit e;
    if (!o->json) {
        node_show_moves(m, t);
        return;
    }
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    node_emit_moves(&e, m, t);
    emit_end(&e);
}

static int run_task(struct session *s, const struct options *o, uint32_t task)
{
    struct oneid_result *r = oneid_nodes(s->client, false);
    int rc = result_check(r);
    const struct oneid_task *t = rc == EXIT_OK && r->map ? task_find(r->map, task) : NULL;
    if (rc == EXIT_OK && !t) {
        complain("there is no task %u: oneidctl node tasks", task);
        rc = EXIT_PROBLEM;
    } else if (rc == EXIT_OK) {
        print_moves(o, r->map, t);
        (void)fflush(stdout);
        rc = o->wait ? node_wait(s, r->map, task, false) : EXIT_OK;
    }
    oneid_result_free(r);
    return rc;
}

/* --- verbs --- */

static const struct verb {
    const char *name, *args;
    size_t least, most; /* words behind it */
    /* One of these: what there is; a task by its id; a node, and perhaps another one. */
    int (*show)(struct session *s, const struct options *o);
    int (*task)(struct session *s, const struct options *o, uint32_t task);
    int (*node)(struct session *s, struct wish *w);
    size_t at_endpoint; /* the word that is one; 0: none is */
    enum caution caution;
} VERBS[] = {
    {"list", "", 0, 0, run_nodes, NULL, NULL, 0, CAUTION_NONE},
    {"tasks", "", 0, 0, run_tasks, NULL, NULL, 0, CAUTION_NONE},
    {"task", "ID", 1, 1, NULL, run_task, NULL, 0, CAUTION_NONE},
    {"cancel", "ID", 1, 1, NULL, run_cancel, NULL, 0, CAUTION_NONE},
    {"add", "ID [ENDPOINT]", 1, 2, NULL, NULL, run_add, 2, CAUTION_NONE},
    {"drain", "ID", 1, 1, NULL, NULL, run_drain, 0, CAUTION_WARN},
    {"remove", "ID", 1, 1, NULL, NULL, run_remove, 0, CAUTION_REFUSE},
    {"replace", "OLD NEW [ENDPOINT]", 2, 3, NULL, NULL, run_replace, 3, CAUTION_WARN},
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof VERBS / sizeof VERBS[0]; i++) {
        if (strcmp(VERBS[i].name, name) == 0)
            return &VERBS[i];
    }
    return NULL;
}

/* The words behind the verb. False: not what it takes, which has been told. */
static bool take_words(const struct options *o, const struct verb *v, struct wish *w,
                       uint32_t *task)
{
    if (v->task) {
        *task = number_of(o, o->args[1], UINT32_MAX, "task");
        return *task != 0;
    }
    if (!v->node)
        return true;
    w->node = (uint16_t)number_of(o, o->args[1], UINT16_MAX, "node");
    if (w->node && v->least > 1)
        w->other = (uint16_t)number_of(o, o->args[2], UINT16_MAX, "node");
    if (v->at_endpoint && o->n_args > v->at_endpoint)
        w->endpoint = o->args[v->at_endpoint];
    return w->node && (v->least == 1 || w->other);
}

static int run_verb(const struct options *o, const struct verb *v)
{
    struct session s;
    struct wish w = {.o = o};
    uint32_t task = 0;
    if (!take_words(o, v, &w, &task))
        return EXIT_USAGE;
    if (!may_go(&w, v->caution))
        return EXIT_PROBLEM;
    int rc = session_open_interruptible(&s, o);
    if (rc == EXIT_OK)
        rc = v->show ? v->show(&s, o) : v->task ? v->task(&s, o, task) : v->node(&s, &w);
    session_close(&s);
    return rc;
}

int run_node(const struct options *o)
{
    const struct verb *v = find_verb(o->args[0]);
    if (!v) {
        complain("node: unknown verb %.40s (try: oneidctl node --help)", o->args[0]);
        return EXIT_USAGE;
    }
    size_t n = o->n_args - 1;
    if (n < v->least || n > v->most) {
        complain("usage: oneidctl node %s %s", v->name, v->args);
        return EXIT_USAGE;
    }
    if (o->wait && v->show) {
        complain("node %s takes no --wait", v->name);
        return EXIT_USAGE;
    }
    return run_verb(o, v);
}
