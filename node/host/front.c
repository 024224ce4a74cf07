/* The thread that owns the node's socket: forwards requests by the envelope alone, unopened, and
 * sends answers. */
#include "placing.h"

#include <base/clock.h>

enum { TURN_MAX = 1024, HELLO_MS = 1000 };

/* From the front's own thread the answer need not go through its inbox. */
static void send_error(struct front *f, const struct message *to, enum error_code code,
                       const char *text)
{
    struct buf body = {0}, out = {0};
    wire_error_encode(code, text, &body);
    struct envelope e = {.type = MESSAGE_ERROR,
                         .shard = to->envelope.shard,
                         .epoch = maps_epoch(f->shared),
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

/* False: the peer is gone. Empties the body. */
static bool send_body(struct front *f, const struct peer *to, uint64_t request_id,
                      enum message_type type, struct buf *body)
{
    struct buf out = {0};
    struct envelope e = {.type = type, .epoch = maps_epoch(f->shared), .request_id = request_id};
    envelope_encode(&e, body->len, &out);
    buf_put(&out, body->data, body->len);
    buf_free(body);
    struct frame frame = {0};
    bool sent = frame_of_buf(&frame, &out) == ERR_OK && server_send(f->server, to, &frame);
    buf_free(&out);
    frame_close(&frame);
    return sent;
}

bool front_send_map(struct front *f, const struct peer *to, uint64_t request_id)
{
    struct buf body = {0};
    const struct cluster_map *map = maps_hold(f->shared);
    cluster_map_encode(map, &body);
    maps_release(map);
    return send_body(f, to, request_id, MESSAGE_MAP_REPLY, &body);
}

/* --- other nodes --- */

enum error_code front_may_say(const struct front *f, struct bytes hello, node_id at,
                              struct error *err)
{
    node_id node = members_hello_node(hello);
    bool may = at ? node == at : node != 0 && server_heard_node(f->server, node);
    return may ? ERR_OK : error_set(err, ERR_DENIED, "a node greets for itself alone");
}

/* From the node at the other end of a link, 0: from who spoke to the server last. Shards are told
 * through `folders`. */
static void hear(struct front *f, struct bytes body, node_id at)
{
    struct members *m = &f->shared->members;
    struct error err;
    node_id from = 0;
    struct greeting *g = malloc(sizeof *g);
    enum error_code rc = g ? greeting_decode(body, g, &err) : ERR_NOMEM;
    if (rc == ERR_OK)
        rc = front_may_say(f, g->hello, at, &err);
    if (rc == ERR_OK)
        rc = members_hear(m, g->hello, &from, &err);
    const struct member *member = rc == ERR_OK ? members_find(m, from) : NULL;
    if (rc != ERR_OK)
        atomic_fetch_add_explicit(&f->shared->refused_frames, 1, memory_order_relaxed);
    if (member)
        placing_hear(f, (size_t)(member - m->list), g);
    host_show_folders(f->shared);
    free(g);
}

static void greet(struct front *f)
{
    const struct members *m = &f->shared->members;
    msec_t now = clock_mono_ms();
    if (now - f->hello_ms < HELLO_MS)
        return;
    f->hello_ms = now;
    for (size_t i = 0; i < m->n; i++)
        host_send_hello(f->shared, f->peers[i]);
    placing_follow(f);
}

static void take_hellos(struct front *f)
{
    for (size_t i = 0; i < f->shared->members.n; i++) {
        struct frame frame = {0};
        struct envelope e;
        struct error err;
        while (f->has_word[i] && f->peers[i] && link_recv(f->peers[i], &frame)) {
            if (envelope_decode(frame_bytes(&frame), &e, &err) != ERR_OK)
                ; /* not an answer to us */
            else if (e.type == MESSAGE_HELLO_REPLY)
                hear(f, e.body, f->shared->members.list[i].node);
            else if (e.type == MESSAGE_MAP_REPLY)
                placing_take(f, e.body);
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
        if (m->envelope.flags & ENVELOPE_MAP_SUBSCRIBE)
            placing_watch(f, m);
        if (maps_epoch(f->shared) > 0)
            (void)front_send_map(f, &m->peer, m->envelope.request_id);
        else
            send_error(f, m, ERR_UNAVAILABLE, "the node has no cluster map yet");
        message_free(m);
        return;
    }
    if (type == MESSAGE_HELLO && server_heard_node(f->server, 0)) {
        hear(f, m->envelope.body, 0);
        host_put_greeting(f->shared, &body);
        (void)send_body(f, &m->peer, m->envelope.request_id, MESSAGE_HELLO_REPLY, &body);
        message_free(m);
        return;
    }
    if (type == MESSAGE_STATUS) {
        view_encode(f->shared, &body);
        (void)send_body(f, &m->peer, m->envelope.request_id, MESSAGE_STATUS_REPLY, &body);
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
    struct shard *s = host_shard(f->shared, m->envelope.shard);
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
    } else if (!s && m->envelope.epoch != maps_epoch(f->shared)) {
        code = ERR_STALE_EPOCH;
        text = "the map has changed: the shard is not on this node";
    } else if (!s) {
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
    } else if (type != MESSAGE_SHARD_QUERY || s->is_grouped) {
        /* a question to a group waits until its leader knows that it still leads */
        message_send(s->to_shard, m);
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
        else if (m->kind == MESSAGE_MAP)
            placing_take(f, buf_bytes(&m->content));
        bool stop = m->kind == MESSAGE_STOP;
        message_free(m);
        if (stop && f->stopping)
            return false; /* the second STOP comes after the shards have ended */
        f->stopping |= stop;
    }
    return true;
}

/* For the server, the inbox, and the peers that have a link. */
static void wait_for_more(struct front *f, struct waitable wait[2 + CLUSTER_NODES_MAX],
                          msec_t wait_ms)
{
    size_t n = 2, member[2 + CLUSTER_NODES_MAX];
    for (size_t i = 0; i < f->shared->members.n; i++) {
        if (!f->peers[i])
            continue;
        member[n] = i;
        wait[n++] = (struct waitable){.link = f->peers[i]};
    }
    (void)endpoint_wait(wait, n, wait_ms);
    for (size_t i = 2; i < n; i++)
        f->has_word[member[i]] = wait[i].ready;
}

static void log_refused(struct front *f, uint64_t *logged)
{
    uint64_t refused = atomic_load_explicit(&f->shared->refused_frames, memory_order_relaxed) +
                       server_dropped(f->server);
    if (refused < 2 * *logged + 1)
        return;
    log_event(f->shared->log, LOG_LEVEL_WARN, "refused_messages", "total=%llu",
              (unsigned long long)refused);
    *logged = refused;
}

void *front_main(void *front)
{
    struct front *f = front;
    struct waitable wait[2 + CLUSTER_NODES_MAX] = {{.server = f->server}, {.inbox = f->inbox}};
    uint64_t logged = 0;
    while (!wait[1].ready || take_answers(f)) {
        for (int i = 0; i < TURN_MAX && wait[0].ready && take_request(f); i++)
            ;
        take_hellos(f);
        greet(f);
        log_refused(f, &logged);
        wait_for_more(f, wait, peers_notice(f));
    }
    return NULL;
}
