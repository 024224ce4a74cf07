/* The thread that owns the node's socket: forwards requests by the envelope alone, unopened, and
 * sends answers. */
#include "parts.h"

#include <base/clock.h>

enum { TURN_MAX = 1024, HELLO_MS = 1000 };

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

static void send_body(struct front *f, const struct message *to, enum message_type type,
                      struct buf *body)
{
    struct buf out = {0};
    struct envelope e = {
        .type = type, .epoch = f->shared->map.epoch, .request_id = to->envelope.request_id};
    envelope_encode(&e, body->len, &out);
    buf_put(&out, body->data, body->len);
    buf_free(body);
    struct frame frame = {0};
    if (frame_of_buf(&frame, &out) == ERR_OK)
        (void)server_send(f->server, &to->peer, &frame);
    buf_free(&out);
    frame_close(&frame);
}

/* --- other nodes --- */

/* Shards are told through `folders`. */
static void hear(struct front *f, struct bytes hello)
{
    struct members *m = &f->shared->members;
    struct error err;
    node_id from;
    enum error_code rc = members_hear(m, hello, &from, &err);
    if (rc != ERR_OK) {
        atomic_fetch_add_explicit(&f->shared->refused_frames, 1, memory_order_relaxed);
        return;
    }
    host_show_folders(f->shared);
}

static void greet(struct front *f)
{
    const struct members *m = &f->shared->members;
    msec_t now = clock_mono_ms();
    if (now - f->hello_ms < HELLO_MS)
        return;
    f->hello_ms = now;
    for (size_t i = 0; i < m->n; i++)
        host_send_hello(m, f->peers[i]);
}

static void take_hellos(struct front *f, struct waitable *waits)
{
    for (size_t i = 0; i < f->shared->members.n; i++) {
        struct frame frame = {0};
        struct envelope e;
        struct error err;
        while (f->peers[i] && waits[i].ready && link_recv(f->peers[i], &frame)) {
            if (envelope_decode(frame_bytes(&frame), &e, &err) == ERR_OK &&
                e.type == MESSAGE_HELLO_REPLY)
                hear(f, e.body);
            frame_close(&frame);
        }
    }
}

/* A peer that is away loses it: Raft says it again. */
static void send_to_peer(struct front *f, struct message *m)
{
    const struct members *members = &f->shared->members;
    for (size_t i = 0; i < members->n; i++) {
        if (members->list[i].node == m->node && f->peers[i])
            (void)link_send(f->peers[i], &m->frame);
    }
}

/* --- requests --- */

/* Does it come from the node whose replica it says it is of? */
static bool is_of_its_node(const struct front *f, const struct message *m)
{
    struct reader body = reader_of(m->envelope.body);
    node_id node = node_of_replica(reader_u64(&body));
    return node != 0 && server_heard_node(f->server, node);
}

/* Takes the message: forwards or answers it. */
static void route(struct front *f, struct message *m)
{
    enum message_type type = m->envelope.type;
    struct buf body = {0};
    if (type == MESSAGE_MAP_REQUEST) {
        cluster_map_encode(&f->shared->map, &body);
        send_body(f, m, MESSAGE_MAP_REPLY, &body);
        message_free(m);
        return;
    }
    if (type == MESSAGE_HELLO && server_heard_node(f->server, 0)) {
        hear(f, m->envelope.body);
        members_put_hello(&f->shared->members, &body);
        send_body(f, m, MESSAGE_HELLO_REPLY, &body);
        message_free(m);
        return;
    }
    if (type == MESSAGE_STATUS) {
        view_encode(f->shared, f->shards, f->n_shards, &body);
        send_body(f, m, MESSAGE_STATUS_REPLY, &body);
        message_free(m);
        return;
    }
    if (type == MESSAGE_CANCEL) {
        query_pool_cancel(&f->shared->queries, &m->peer, m->envelope.request_id);
        message_free(m);
        return;
    }
    if (type == MESSAGE_PEER && !is_of_its_node(f, m)) {
        message_free(m);
        return;
    }
    size_t no = 0;
    enum error_code code = ERR_OK;
    const char *text = NULL;
    if (type == MESSAGE_FETCH && !server_heard_node(f->server, 0)) {
        code = ERR_DENIED; /* routers need no whole states */
        text = "only nodes may fetch a state";
    } else if (type != MESSAGE_SHARD_WRITE && type != MESSAGE_SHARD_READ &&
               type != MESSAGE_SHARD_QUERY && type != MESSAGE_SHARD_WATCH && type != MESSAGE_PEER &&
               type != MESSAGE_FETCH) {
        atomic_fetch_add_explicit(&f->shared->refused_frames, 1, memory_order_relaxed);
        code = ERR_MALFORMED;
        text = "a node does not take this type of message";
    } else if (m->envelope.epoch != 0 && m->envelope.epoch != f->shared->map.epoch) {
        code = ERR_STALE_EPOCH;
        text = "the map has changed";
    } else if (!find_shard(f, m->envelope.shard, &no)) {
        code = ERR_WRONG_SHARD;
        text = "the shard is not on this node";
    } else if (f->stopping && type != MESSAGE_PEER) { /* leadership is still handed over */
        code = ERR_SHUTDOWN;
        text = "the node is shutting down";
    }
    if (code != ERR_OK) {
        if (type != MESSAGE_PEER)
            send_error(f, m, code, text);
        message_free(m);
        return;
    }
    if (type == MESSAGE_SHARD_WATCH) {
        message_send(f->to_watch, m);
    } else if (type == MESSAGE_FETCH) {
        message_send(f->to_transfer, m);
    } else if (type != MESSAGE_SHARD_QUERY || f->shards[no].is_grouped) {
        /* a question to a group waits until its leader knows that it still leads */
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
        else if (m->kind == MESSAGE_TO_PEER)
            send_to_peer(f, m);
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
    struct waitable wait[2 + CLUSTER_NODES_MAX] = {{.server = f->server}, {.inbox = f->inbox}};
    size_t n_peers = 0;
    uint64_t logged = 0;
    for (size_t i = 1; i < f->shared->members.n; i++) /* the first one is this node */
        wait[2 + n_peers++].link = f->peers[i];
    long timeout_ms = n_peers ? HELLO_MS : -1;
    while (!wait[1].ready || take_answers(f)) {
        for (int i = 0; i < TURN_MAX && wait[0].ready && take_request(f); i++)
            ;
        take_hellos(f, wait + 1); /* as the list of members has this node first */
        if (n_peers)
            greet(f);
        uint64_t refused = atomic_load_explicit(&f->shared->refused_frames, memory_order_relaxed) +
                           server_dropped(f->server);
        if (refused >= 2 * logged + 1) {
            log_event(f->shared->log, LOG_LEVEL_WARN, "refused_messages", "total=%llu",
                      (unsigned long long)refused);
            logged = refused;
        }
        (void)endpoint_wait(wait, 2 + n_peers, timeout_ms);
    }
    return NULL;
}
