/* Questions about the cluster map, and changes of it. */
#include "parts.h"

#include <cluster/listen.h>
#include <cluster/placement.h>

#include <stdio.h>
#include <string.h>

/* The map as this router has it. */
static void answer_at_once(struct router *r, struct task *t)
{
    struct buf map = {0};
    cluster_map_encode(&r->map, &map);
    struct response resp = {.map = buf_bytes(&map), .map_epoch = r->map.epoch};
    tasks_end(r, t, &resp);
    buf_free(&map);
}

static void perform(struct router *r, struct task *t, enum errand_step step)
{
    if (step == ERRAND_SEND)
        shards_send(r, ERRAND_SHARD, LANE_WRITE, errand_command(t->errand),
                    (struct ref){t->number, t->generation, 0});
    if (step != ERRAND_ANSWER) {
        r->wake_ms[t->number] = errand_wake_ms(t->errand);
        return;
    }
    struct response resp = *errand_answer(t->errand);
    if (resp.map.len)
        maps_take(r, 0, resp.map); /* the client may go on by it at once */
    resp.map_epoch = r->map.epoch;
    tasks_end(r, t, &resp);
}

/* As the cluster file's own rule: plain text stays on this machine. */
static bool is_exposed(const struct router *r, const struct request *q)
{
    struct placement_change c;
    char listen[MAP_ENDPOINT_MAX] = "";
    if (q->type != REQUEST_NODE_TASK || !r->config->security.plain ||
        placement_change_decode(q->change, &c, NULL) != ERR_OK || c.op != PLACEMENT_BEGIN ||
        c.request.listen.len == 0 || c.request.listen.len >= sizeof listen)
        return false; /* what is wrong with it otherwise shard 0 says */
    memcpy(listen, c.request.listen.data, c.request.listen.len);
    return !listen_is_loopback(listen);
}

void errands_start(struct router *r, struct task *t, const struct request *q, msec_t deadline_ms)
{
    if (is_exposed(r, q)) {
        struct response resp = {
            .code = ERR_INVALID,
            .text = bytes_of_str("security: none is for this machine only: expected an endpoint "
                                 "\"tcp://127.0.0.1:port\"; or give the cluster keys")};
        tasks_end(r, t, &resp);
        return;
    }
    if (q->type == REQUEST_NODES && q->stale_ok) {
        answer_at_once(r, t);
        return;
    }
    struct buf read = {0};
    struct placement_change look = {.op = PLACEMENT_READ};
    placement_change_encode(&look, &read);
    struct bytes change = q->type == REQUEST_NODES ? buf_bytes(&read) : q->change;
    t->errand = errand_new(change, r->now, deadline_ms);
    buf_free(&read);
    if (t->errand) {
        perform(r, t, errand_tick(t->errand, r->now));
        return;
    }
    struct response resp = {.code = ERR_NOMEM, .text = bytes_of_str(error_text(ERR_NOMEM))};
    tasks_end(r, t, &resp);
}

void errands_reply(struct router *r, struct task *t, const struct reply *reply)
{
    perform(r, t, errand_reply(t->errand, reply, r->now));
}

void errands_tick(struct router *r, struct task *t)
{
    enum errand_step step = errand_tick(t->errand, r->now);
    metric_bump(&r->figures.resends, step == ERRAND_SEND);
    perform(r, t, step);
}

void errands_describe(const struct request *q, char *out, size_t size)
{
    static const char *const NAMES[MAP_TASK_KINDS] = {[MAP_TASK_ADD] = "add",
                                                      [MAP_TASK_DRAIN] = "drain",
                                                      [MAP_TASK_REMOVE] = "remove",
                                                      [MAP_TASK_REPLACE] = "replace"};
    struct placement_change c;
    out[0] = '\0';
    if (placement_change_decode(q->change, &c, NULL) != ERR_OK)
        return;
    if (c.op == PLACEMENT_CANCEL)
        (void)snprintf(out, size, "cancel %u", c.task);
    else if (c.op == PLACEMENT_BEGIN && c.request.kind == MAP_TASK_REPLACE)
        (void)snprintf(out, size, "replace %u %u", c.request.node, c.request.other);
    else if (c.op == PLACEMENT_BEGIN)
        (void)snprintf(out, size, "%s %u", NAMES[c.request.kind], c.request.node);
}
