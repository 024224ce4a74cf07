/* Performs surveys: STATUS goes to every node, by itself and not by shards. */
#include "parts.h"

#include <base/hash.h>
#include <proto/status.h>

/* Request ids of their own: the task, and which use of it. */
static const uint64_t SURVEY_BIT = UINT64_C(1) << 63;
enum { GENERATION_AT = 24 };

static uint64_t id_of(const struct task *t)
{
    return SURVEY_BIT | (uint64_t)t->generation << GENERATION_AT | t->number;
}

bool surveys_is_answer(const struct envelope *e)
{
    return (e->request_id & SURVEY_BIT) != 0;
}

static struct task *task_of(struct router *r, uint64_t request_id)
{
    uint64_t number = request_id & ((UINT64_C(1) << GENERATION_AT) - 1);
    struct task *t = number < TASKS_MAX ? &r->tasks[number] : NULL;
    return t && t->used && t->survey && id_of(t) == request_id ? t : NULL;
}

static void put_self(struct router *r, struct buf *out)
{
    struct buf map = {0};
    cluster_map_encode(&r->map, &map);
    struct status_router self = {.router = r->id,
                                 .wall_ms = r->wall_ms,
                                 .up_ms = r->now - r->serving_since,
                                 .map_epoch = r->map.epoch,
                                 .map_digest = hash64(buf_bytes(&map)),
                                 .schema_digest = schema_digest(&r->config->schema),
                                 .catalogue = r->catalogue ? r->catalogue->version : 0,
                                 .refused = r->refused_frames + server_dropped(r->server),
                                 .in_flight = r->n_tasks};
    status_router_encode(&self, out);
    buf_free(&map);
}

static void finish(struct router *r, struct task *t)
{
    struct buf self = {0};
    struct response resp = {.map_epoch = r->map.epoch};
    put_self(r, &self);
    survey_answer(t->survey, &resp);
    resp.router = buf_bytes(&self);
    tasks_end(r, t, &resp);
    buf_free(&self);
}

void surveys_tick(struct router *r, struct task *t)
{
    if (survey_is_done(t->survey, r->now))
        finish(r, t);
    else
        r->wake_ms[t->number] = survey_wake_ms(t->survey);
}

void surveys_start(struct router *r, struct task *t, msec_t deadline_ms)
{
    node_id nodes[CLUSTER_NODES_MAX] = {0};
    size_t n = 0;
    for (size_t i = 0; i < r->n_nodes; i++) {
        if (r->nodes[i].is_in_map)
            nodes[n++] = r->nodes[i].id;
    }
    t->survey = survey_new(nodes, n, r->now, deadline_ms);
    if (!t->survey) {
        struct response resp = {.code = ERR_NOMEM, .text = bytes_of_str(error_text(ERR_NOMEM))};
        tasks_end(r, t, &resp);
        return;
    }
    struct envelope e = {.type = MESSAGE_STATUS, .request_id = id_of(t)};
    for (size_t i = 0; i < n; i++) {
        if (!nodes_send(nodes_find(r, nodes[i]), &e))
            survey_fail(t->survey, nodes[i], bytes_of_str("no connection"), 0);
    }
    surveys_tick(r, t);
}

void surveys_take(struct router *r, node_id node, const struct envelope *e)
{
    struct task *t = task_of(r, e->request_id);
    struct error err;
    if (!t)
        return; /* it was not waited for */
    if (e->type == MESSAGE_STATUS_REPLY) {
        survey_take(t->survey, node, e->body, clock_wall_ms());
    } else {
        (void)wire_error_decode(e->body, &err);
        survey_fail(t->survey, node, bytes_of_str(err.msg), clock_wall_ms());
    }
    surveys_tick(r, t);
}
