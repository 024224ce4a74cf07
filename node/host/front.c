/* The thread that owns the node's socket: forwards requests by the envelope alone, unopened, and
 * sends answers. */
#include "parts.h"

#include <base/clock.h>

enum { TURN_MAX = 1024 };

static struct shard *find_shard(struct front *f, shard_id id, size_t *no)
{
    for (size_t i = 0; i < f->n_shards; i++) {
        if (f->shards[i].id == id) {
            *no = i;
            return &f->shards[i];
        }
    }
    return NULL;
}

/* From the front's own thread the answer need not go through its inbox. */
static void send_error(struct front *f, const struct message *to, enum error_code code,
                       const char *text)
{
    struct buf body = {0}, out = {0};
    wire_error_encode(code, text, &body);
    struct envelope e = {.type = MESSAGE_ERROR, .request_id = to->envelope.request_id};
    envelope_encode(&e, body.len, &out);
    buf_put(&out, body.data, body.len);
    buf_free(&body);
    struct frame frame = {0};
    if (frame_of_buf(&frame, &out) == ERR_OK)
        (void)server_send(f->server, &to->peer, &frame);
    buf_free(&out);
    frame_close(&frame);
}

static void send_map(struct front *f, const struct message *to)
{
    struct buf body = {0}, out = {0};
    cluster_map_encode(&f->shared->map, &body);
    struct envelope e = {.type = MESSAGE_MAP_REPLY,
                         .epoch = f->shared->map.epoch,
                         .request_id = to->envelope.request_id};
    envelope_encode(&e, body.len, &out);
    buf_put(&out, body.data, body.len);
    buf_free(&body);
    struct frame frame = {0};
    if (frame_of_buf(&frame, &out) == ERR_OK)
        (void)server_send(f->server, &to->peer, &frame);
    buf_free(&out);
    frame_close(&frame);
}

/* Takes the message: forwards or answers it. */
static void route(struct front *f, struct message *m)
{
    enum message_type type = m->envelope.type;
    if (type == MESSAGE_MAP_REQUEST) {
        send_map(f, m);
        message_free(m);
        return;
    }
    if (type == MESSAGE_CANCEL) {
        query_pool_cancel(&f->shared->queries, &m->peer, m->envelope.request_id);
        message_free(m);
        return;
    }
    size_t no = 0;
    enum error_code code = ERR_OK;
    const char *text = NULL;
    if (type != MESSAGE_SHARD_WRITE && type != MESSAGE_SHARD_READ && type != MESSAGE_SHARD_QUERY &&
        type != MESSAGE_SHARD_WATCH) {
        atomic_fetch_add_explicit(&f->shared->refused_frames, 1, memory_order_relaxed);
        code = ERR_MALFORMED;
        text = "a node does not take this type of message";
    } else if (m->envelope.epoch != 0 && m->envelope.epoch != f->shared->map.epoch) {
        code = ERR_STALE_EPOCH;
        text = "the map has changed";
    } else if (!find_shard(f, m->envelope.shard, &no)) {
        code = ERR_WRONG_SHARD;
        text = "the shard is not on this node";
    } else if (f->stopping) {
        code = ERR_SHUTDOWN;
        text = "the node is shutting down";
    }
    if (code != ERR_OK) {
        send_error(f, m, code, text);
        message_free(m);
        return;
    }
    if (type == MESSAGE_SHARD_WATCH) {
        message_send(f->to_watch, m);
    } else if (type != MESSAGE_SHARD_QUERY) {
        message_send(f->to_shard[no], m);
    } else if (!query_pool_put(&f->shared->queries, m)) {
        send_error(f, m, ERR_BUSY, "too many questions wait at the node");
        message_free(m);
    }
}

static bool take_request(struct front *f)
{
    struct message *m = message_new(MESSAGE_REQUEST);
    if (!server_recv(f->server, &m->peer, &m->frame)) {
        message_free(m);
        return false;
    }
    struct error err;
    m->received_ms = clock_mono_ms();
    enum error_code rc = envelope_decode(frame_bytes(&m->frame), &m->envelope, &err);
    if (rc != ERR_OK) {
        atomic_fetch_add_explicit(&f->shared->refused_frames, 1, memory_order_relaxed);
        send_error(f, m, rc, err.msg);
        message_free(m);
        return true;
    }
    route(f, m);
    return true;
}

/* false: told to stop and nothing is left to send. */
static bool take_answers(struct front *f)
{
    struct message *m;
    for (int i = 0; i < TURN_MAX && (m = inbox_take(f->inbox)); i++) {
        if (m->kind == MESSAGE_ANSWER)
            (void)server_send(f->server, &m->peer, &m->frame);
        bool stop = m->kind == MESSAGE_STOP;
        message_free(m);
        if (stop && f->stopping)
            return false; /* the second STOP comes after the shards have ended */
        f->stopping |= stop;
    }
    return true;
}

void *front_main(void *front)
{
    struct front *f = front;
    struct waitable wait[] = {{.server = f->server}, {.inbox = f->inbox}};
    uint64_t logged = 0;
    while (!wait[1].ready || take_answers(f)) {
        for (int i = 0; i < TURN_MAX && wait[0].ready && take_request(f); i++)
            ;
        uint64_t refused = atomic_load_explicit(&f->shared->refused_frames, memory_order_relaxed) +
                           server_dropped(f->server);
        if (refused >= 2 * logged + 1) {
            log_event(f->shared->log, LOG_LEVEL_WARN, "refused_messages", "total=%llu",
                      (unsigned long long)refused);
            logged = refused;
        }
        (void)endpoint_wait(wait, 2, -1);
    }
    return NULL;
}
