#include <proto/endpoint.h>
#include <proto/envelope.h>

#include "curve.h"
#include "monitor.h"

#include <base/clock.h>

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

enum {
    QUEUE_MESSAGES = 10000, /* in each direction, for each peer */
    BACKLOG = 1024,
    SERVER_LINGER_MS = 200, /* the last answers may still leave */
    HANDSHAKE_MS = 5000,
    RECONNECT_MS = 50,
    RECONNECT_MAX_MS = 1000,
    /* A machine that vanished without a word is noticed after about 25 s of silence, or 15 s after
     * something was sent to it. */
    KEEPALIVE_IDLE_S = 10,
    KEEPALIVE_EVERY_S = 5,
    KEEPALIVE_COUNT = 3,
    UNACKNOWLEDGED_MS = 15000,
    /* Links inside the cluster are made anew soon: TCP tries again more and more seldom, so that
     * one that outlives a cut of the network is of no use for as long again. Nothing is lost with
     * them that is not sent again. */
    INSIDE_HANDSHAKE_MS = 2000,
    INSIDE_UNACKNOWLEDGED_MS = 2000,
    INSIDE_CONNECT_MS = 500,
    INSIDE_RECONNECT_MAX_MS = 200,
    LOOK_MS = 20, /* between looks for ended connections */
    JUNK_PER_CALL = 256,
    ENDPOINT_MAX = 256,
    FEW_WAITABLES = 64
};

struct server {
    void *socket;
    int fd;
    bool drained; /* as in a link */
    uint64_t dropped;
    struct security *security; /* NULL: plain text */
    struct sender sender;      /* of the last message */
    unsigned required;         /* role */
    char endpoint[ENDPOINT_MAX];
};
struct link {
    void *socket;
    int fd;
    bool drained; /* looked into, found empty, and nothing sent since: what comes shows at fd */
    struct curve_link *curve; /* NULL: plain text */
    void *monitor;            /* of plain text */
    bool is_up;               /* by that, as what follows */
    unsigned endings;
    msec_t looked_ms; /* into it */
};

static enum error_code fail(struct error *err, enum error_code code, const char *what,
                            const char *name)
{
    int e = zmq_errno();
    (void)error_set(err, code, "%s %s: %s", what, name, zmq_strerror(e));
    if (err)
        err->sys = e;
    return code;
}

/* --- context --- */

enum error_code net_open(int io_threads, struct net **out, struct error *err)
{
    *out = NULL;
    struct net *n = calloc(1, sizeof *n);
    if (!n)
        return error_set(err, ERR_NOMEM, "network context");
    (void)pthread_mutex_init(&n->mutex, NULL);
    n->ctx = zmq_ctx_new();
    if (!n->ctx || zmq_ctx_set(n->ctx, ZMQ_IO_THREADS, io_threads) != 0) {
        enum error_code code = fail(err, ERR_IO, "cannot make a", "network context");
        net_close(n);
        return code;
    }
    *out = n;
    return ERR_OK;
}

void net_close(struct net *n)
{
    if (!n)
        return;
    security_close(n->security);
    while (n->ctx && zmq_ctx_term(n->ctx) != 0 && zmq_errno() == EINTR)
        ;
    assert(!n->mailboxes);
    (void)pthread_mutex_destroy(&n->mutex);
    free(n);
}

static void *socket_open(struct net *n, int type)
{
    return zmq_socket(n->ctx, type);
}

static void socket_close(void *socket)
{
    if (socket)
        (void)zmq_close(socket);
}

static bool set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool read_fd(void *socket, int *fd)
{
    size_t size = sizeof *fd;
    return zmq_getsockopt(socket, ZMQ_FD, fd, &size) == 0;
}

static bool set_stream_options(void *socket, int64_t max_message, int linger_ms)
{
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_message, sizeof max_message) == 0 &&
           set_int(socket, ZMQ_SNDHWM, QUEUE_MESSAGES) &&
           set_int(socket, ZMQ_RCVHWM, QUEUE_MESSAGES) && set_int(socket, ZMQ_LINGER, linger_ms) &&
           set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) &&
           set_int(socket, ZMQ_TCP_KEEPALIVE, 1) &&
           set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S) &&
           set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_EVERY_S) &&
           set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT) &&
           set_int(socket, ZMQ_TCP_MAXRT, UNACKNOWLEDGED_MS);
}

/* --- frames --- */

_Static_assert(sizeof(zmq_msg_t) == sizeof((struct frame *)0)->opaque, "a frame holds a zmq_msg_t");
_Static_assert(_Alignof(zmq_msg_t) <= _Alignof(struct frame), "a frame is aligned as a zmq_msg_t");

static zmq_msg_t *msg_of(const struct frame *f)
{
    /* libzmq takes mutable pointers also where it only reads. */
    return (zmq_msg_t *)(uintptr_t)f->opaque;
}

struct bytes frame_bytes(const struct frame *f)
{
    if (!f->full)
        return bytes_of(NULL, 0);
    return bytes_of(zmq_msg_data(msg_of(f)), zmq_msg_size(msg_of(f)));
}

static void free_data(void *data, void *hint)
{
    (void)hint;
    free(data);
}

enum error_code frame_of_buf(struct frame *f, struct buf *b)
{
    frame_close(f);
    if (!b->data)
        (void)zmq_msg_init(msg_of(f));
    else if (zmq_msg_init_data(msg_of(f), b->data, b->len, free_data, NULL) != 0)
        return ERR_NOMEM;
    f->full = true;
    *b = (struct buf){0};
    return ERR_OK;
}

enum error_code frame_copy(struct frame *f, struct bytes b)
{
    frame_close(f);
    if (zmq_msg_init_size(msg_of(f), b.len) != 0)
        return ERR_NOMEM;
    if (b.len)
        memcpy(zmq_msg_data(msg_of(f)), b.data, b.len);
    f->full = true;
    return ERR_OK;
}

void frame_move(struct frame *to, struct frame *from)
{
    if (to == from)
        return;
    frame_close(to);
    if (!from->full)
        return;
    (void)zmq_msg_init(msg_of(to));
    (void)zmq_msg_move(msg_of(to), msg_of(from));
    to->full = true;
    frame_close(from);
}

void frame_close(struct frame *f)
{
    if (f->full)
        (void)zmq_msg_close(msg_of(f));
    f->full = false;
}

/* One part, without waiting; false: there is none, and libzmq has looked for more. */
static bool recv_part(void *socket, struct frame *f)
{
    frame_close(f);
    (void)zmq_msg_init(msg_of(f));
    int n;
    do
        n = zmq_msg_recv(msg_of(f), socket, ZMQ_DONTWAIT);
    while (n < 0 && zmq_errno() == EINTR);
    f->full = true;
    if (n < 0)
        frame_close(f);
    return n >= 0;
}

static bool has_more(const struct frame *f)
{
    return zmq_msg_more(msg_of(f)) != 0;
}

/* The parts of a message arrive together, so that none of them has to be waited for. */
static void skip_message(void *socket, struct frame *f)
{
    while (f->full && has_more(f))
        (void)recv_part(socket, f);
    frame_close(f);
}

/* Takes the frame if it can be sent. */
static bool send_part(void *socket, struct frame *f, int flags)
{
    assert(f->full);
    int n;
    do
        n = zmq_msg_send(msg_of(f), socket, flags | ZMQ_DONTWAIT);
    while (n < 0 && zmq_errno() == EINTR);
    if (n >= 0)
        f->full = false;
    return n >= 0;
}

/* --- servers --- */

static bool server_bind(struct server *s, const char *endpoint, int64_t max_message)
{
    size_t size = sizeof s->endpoint;
    return s->socket && set_stream_options(s->socket, max_message, SERVER_LINGER_MS) &&
           set_int(s->socket, ZMQ_ROUTER_MANDATORY, 1) &&
           set_int(s->socket, ZMQ_ROUTER_HANDOVER, 0) && set_int(s->socket, ZMQ_BACKLOG, BACKLOG) &&
           zmq_bind(s->socket, endpoint) == 0 &&
           zmq_getsockopt(s->socket, ZMQ_LAST_ENDPOINT, s->endpoint, &size) == 0 &&
           read_fd(s->socket, &s->fd);
}

enum error_code server_open(struct net *n, const char *endpoint, int64_t max_message,
                            struct server **out, struct error *err)
{
    *out = NULL;
    struct server *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(err, ERR_NOMEM, "server at %s", endpoint);
    s->security = n->security;
    s->sender = (struct sender){ROLE_ALL, SENDER_NO_KEY};
    s->socket = socket_open(n, ZMQ_ROUTER);
    if (s->socket && n->security && !curve_serve(n, s->socket)) {
        enum error_code code = fail(err, ERR_IO, "cannot secure", endpoint);
        server_close(s);
        return code;
    }
    if (!server_bind(s, endpoint, max_message)) {
        enum error_code code = fail(err, ERR_IO, "cannot listen at", endpoint);
        server_close(s);
        return code;
    }
    *out = s;
    return ERR_OK;
}

void server_close(struct server *s)
{
    if (!s)
        return;
    socket_close(s->socket);
    free(s);
}

static bool peer_of_frame(struct peer *p, const struct frame *f)
{
    struct bytes id = frame_bytes(f);
    if (id.len == 0 || id.len > sizeof p->id)
        return false;
    *p = (struct peer){.len = (uint8_t)id.len};
    memcpy(p->id, id.data, id.len);
    return true;
}

void server_require(struct server *s, unsigned role)
{
    s->required = role;
}

struct sender server_sender(const struct server *s)
{
    return s->sender;
}

bool server_heard_node(const struct server *s, unsigned node)
{
    char expected[16];
    if (!s->security)
        return true;
    if (node)
        (void)snprintf(expected, sizeof expected, "node-%u", node);
    else
        (void)snprintf(expected, sizeof expected, "node-");
    bool heard = security_has_name(s->security, &s->sender, expected, node == 0);
    if (!heard)
        security_note_role(s->security, &s->sender, ROLE_NODE);
    return heard;
}

/* So that who is refused knows why, and does not wait. */
static void deny(struct server *s, const struct peer *to, const struct frame *f, const char *text)
{
    struct envelope asked = {.request_id = 0};
    struct buf body = {0}, out = {0};
    struct frame answer = {.full = false};
    (void)envelope_decode(frame_bytes(f), &asked, NULL);
    wire_error_encode(ERR_DENIED, text, &body);
    struct envelope e = {.type = MESSAGE_ERROR, .request_id = asked.request_id};
    envelope_encode(&e, body.len, &out);
    buf_put(&out, body.data, body.len);
    if (frame_of_buf(&answer, &out) == ERR_OK)
        (void)server_send(s, to, &answer);
    frame_close(&answer);
    buf_free(&body);
    buf_free(&out);
}

/* May its sender say anything at all here? */
static bool admit(struct server *s, const struct peer *from, const struct frame *f)
{
    if (!s->security)
        return true;
    if (!security_identify(s->security, zmq_msg_gets(msg_of(f), "User-Id"), &s->sender)) {
        deny(s, from, f, "the key is not allowed any more");
        return false;
    }
    if ((s->sender.roles & s->required) == s->required)
        return true;
    security_note_role(s->security, &s->sender, s->required);
    deny(s, from, f, "the key's role does not allow this");
    return false;
}

bool server_recv(struct server *s, struct peer *from, struct frame *f)
{
    for (int junk = 0; junk < JUNK_PER_CALL; junk++) {
        s->drained = !recv_part(s->socket, f);
        if (s->drained)
            return false;
        bool good = peer_of_frame(from, f) && has_more(f) && recv_part(s->socket, f);
        if (good && !has_more(f) && admit(s, from, f))
            return true;
        skip_message(s->socket, f);
        s->dropped++;
    }
    return false;
}

bool server_send(struct server *s, const struct peer *to, struct frame *f)
{
    struct frame id = {.full = false};
    s->drained = false; /* sending may take in what the descriptor announced */
    bool sent = frame_copy(&id, bytes_of(to->id, to->len)) == ERR_OK &&
                send_part(s->socket, &id, ZMQ_SNDMORE) && send_part(s->socket, f, 0);
    frame_close(&id);
    frame_close(f);
    if (!sent)
        s->dropped++;
    return sent;
}

uint64_t server_dropped(const struct server *s)
{
    return s->dropped;
}

const char *server_endpoint(const struct server *s)
{
    return s->endpoint;
}

/* --- links --- */

static bool set_inside_options(void *socket)
{
    return set_int(socket, ZMQ_IMMEDIATE, 1) &&
           set_int(socket, ZMQ_HANDSHAKE_IVL, INSIDE_HANDSHAKE_MS) &&
           set_int(socket, ZMQ_TCP_MAXRT, INSIDE_UNACKNOWLEDGED_MS) &&
           set_int(socket, ZMQ_CONNECT_TIMEOUT, INSIDE_CONNECT_MS) &&
           set_int(socket, ZMQ_RECONNECT_IVL_MAX, INSIDE_RECONNECT_MAX_MS);
}

static bool prepare_link(struct link *l, bool queues)
{
    return l->socket && set_stream_options(l->socket, MESSAGE_SIZE_MAX, 0) &&
           set_int(l->socket, ZMQ_RECONNECT_IVL, RECONNECT_MS) &&
           set_int(l->socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS) &&
           (queues || set_inside_options(l->socket)) && read_fd(l->socket, &l->fd);
}

static bool connect_plain(struct net *n, struct link *l, const char *endpoint)
{
    l->monitor = monitor_open(n, l->socket, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED);
    return l->monitor && zmq_connect(l->socket, endpoint) == 0;
}

static enum error_code open_link(struct net *n, const char *endpoint, bool queues,
                                 struct link **out, struct error *err)
{
    *out = NULL;
    struct link *l = calloc(1, sizeof *l);
    if (!l)
        return error_set(err, ERR_NOMEM, "link to %s", endpoint);
    l->socket = socket_open(n, ZMQ_DEALER);
    enum error_code code = ERR_OK;
    if (!prepare_link(l, queues))
        code = fail(err, ERR_IO, "cannot connect to", endpoint);
    else if (n->security)
        code = curve_link_open(n, l->socket, endpoint, &l->curve, err);
    else if (!connect_plain(n, l, endpoint))
        code = fail(err, ERR_INVALID, "cannot connect to", endpoint);
    if (code != ERR_OK) {
        link_close(l);
        return code;
    }
    *out = l;
    return ERR_OK;
}

enum error_code link_open(struct net *n, const char *endpoint, struct link **out, struct error *err)
{
    return open_link(n, endpoint, true, out, err);
}

enum error_code link_open_unqueued(struct net *n, const char *endpoint, struct link **out,
                                   struct error *err)
{
    return open_link(n, endpoint, false, out, err);
}

void link_close(struct link *l)
{
    if (!l)
        return;
    curve_link_close(l->curve);
    monitor_close(l->socket, l->monitor);
    socket_close(l->socket);
    free(l);
}

enum link_trouble link_trouble(const struct link *l)
{
    return l->curve ? curve_link_trouble(l->curve) : LINK_NO_TROUBLE;
}

static void take_events(struct link *l)
{
    msec_t now = clock_mono_ms();
    if (now - l->looked_ms < LOOK_MS)
        return;
    l->looked_ms = now;
    unsigned event;
    uint32_t value;
    while (monitor_take(l->monitor, &event, &value)) {
        bool is_up = event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
        l->endings += l->is_up && !is_up;
        l->is_up = is_up;
    }
}

static void mind(struct link *l)
{
    if (l->monitor)
        take_events(l);
    if (l->curve && curve_link_mind(l->curve))
        l->drained = false;
}

unsigned link_endings(struct link *l)
{
    mind(l);
    return l->curve ? curve_link_endings(l->curve) : l->endings;
}

bool link_is_up(struct link *l)
{
    mind(l);
    return l->curve ? curve_link_is_up(l->curve) : l->is_up;
}

bool link_recv(struct link *l, struct frame *f)
{
    mind(l);
    for (;;) {
        l->drained = !recv_part(l->socket, f);
        if (l->drained)
            return false;
        if (!has_more(f))
            return true;
        skip_message(l->socket, f);
    }
}

bool link_send(struct link *l, struct frame *f)
{
    mind(l);
    l->drained = false;
    return send_part(l->socket, f, 0);
}

int link_fd(struct link *l)
{
    return l->fd;
}

/* --- waiting --- */

/* ZeroMQ's descriptor only says that something changed; the socket itself says what. Asking it also
 * takes in what the descriptor announced. */
static bool has_message(void *socket, bool *drained)
{
    int events = 0;
    size_t size = sizeof events;
    if (zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) != 0)
        return false; /* a signal: whatever is there shows the next time */
    *drained = !(events & ZMQ_POLLIN);
    return !*drained;
}

static bool is_socket(const struct waitable *w)
{
    return w->server || w->link;
}

static bool *drained_of(const struct waitable *w)
{
    return w->server ? &w->server->drained : &w->link->drained;
}

static bool look_into(const struct waitable *w)
{
    return has_message(w->server ? w->server->socket : w->link->socket, drained_of(w));
}

static int fd_of(const struct waitable *w)
{
    if (w->server)
        return w->server->fd;
    if (w->link)
        return w->link->fd;
    return w->inbox ? inbox_fd(w->inbox) : w->fd;
}

/* Before waiting: is anything there already? Inboxes learn that their owner goes to sleep. */
static int look(struct waitable *items, size_t n)
{
    int ready = 0;
    for (size_t i = 0; i < n; i++) {
        struct waitable *w = &items[i];
        w->ready = false;
        if (w->link)
            mind(w->link);
        if (is_socket(w)) /* one that is known to be empty is spared three system calls */
            w->ready = !*drained_of(w) && look_into(w);
        else if (w->inbox)
            w->ready = inbox_sleep(w->inbox);
        ready += w->ready;
    }
    return ready;
}

static int collect(struct waitable *items, const struct pollfd *polled, size_t n)
{
    int ready = 0;
    for (size_t i = 0; i < n; i++) {
        struct waitable *w = &items[i];
        if (w->inbox)
            w->ready = inbox_wake(w->inbox, polled[i].revents != 0);
        else if (!polled[i].revents)
            w->ready |= false;
        else if (is_socket(w))
            w->ready |= look_into(w);
        else
            w->ready = true;
        ready += w->ready;
    }
    return ready;
}

/* One wait; false when nothing was ready although a descriptor said so, and it may go on. */
static bool wait_once(struct waitable *items, struct pollfd *polled, size_t n, msec_t wait_ms,
                      int *ready)
{
    if (look(items, n) > 0)
        wait_ms = 0;
    int woken = poll(polled, (nfds_t)n, wait_ms > INT_MAX ? INT_MAX : (int)wait_ms);
    if (woken < 0) {
        for (size_t i = 0; i < n; i++)
            polled[i].revents = 0;
    }
    *ready = collect(items, polled, n);
    return *ready > 0 || woken <= 0;
}

int endpoint_wait(struct waitable *items, size_t n, long timeout_ms)
{
    struct pollfd few[FEW_WAITABLES];
    struct pollfd *polled = n <= FEW_WAITABLES ? few : malloc(n * sizeof *polled);
    assert(polled);
    for (size_t i = 0; i < n; i++)
        polled[i] = (struct pollfd){.fd = fd_of(&items[i]), .events = POLLIN};
    int ready = 0;
    msec_t left = timeout_ms, end = timeout_ms > 0 ? clock_mono_ms() + timeout_ms : 0;
    while (!wait_once(items, polled, n, left, &ready)) {
        if (timeout_ms > 0)
            left = end - clock_mono_ms();
        if (timeout_ms >= 0 && left <= 0)
            break;
    }
    if (polled != few)
        free(polled);
    return ready;
}
