/* CURVE at the sockets: servers have their key and ask for the peers'; links try the keys by which
 * their server is known, in turn, and connect again where libzmq would not: after a handshake that
 * was refused, or a byte that was changed on the way, it drops the connection for good. */
#include "curve.h"
#include "monitor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum {
    MIND_MS = 20,
    BROKEN_MS = 200,  /* after a connection broke, if it does not come back by itself */
    SILENT_MS = 6000, /* no connection and no word why; more than a handshake may take */
    TRY_MS = 300,     /* that a handshake has at least; longer when the last ones failed */
    PAUSE_MS = 50,
    TRY_DOUBLINGS = 3,
    UNKNOWN_MS = 1000 /* until a key of the server may have become known */
};

struct curve_link {
    struct security *security;
    void *socket, *monitor;
    char *endpoint;
    char key[KEY_SIZE]; /* that of the present try; "": there is none */
    size_t at;          /* its place among the server's keys */
    bool up, failed;    /* the handshake has gone well, or badly, with this key */
    unsigned endings;   /* of connections that were up, by themselves */
    enum link_trouble trouble;
    unsigned failures;                  /* tries in a row */
    msec_t minded_ms, tried_ms, due_ms; /* connects again then, if it is not up */
};

static bool set_text(void *socket, int option, const char *text)
{
    return zmq_setsockopt(socket, option, text, strlen(text)) == 0;
}

/* Gives the monitor to the ZAP thread. False: it has no room for more. */
static bool hand_over(struct security *s, void *monitor)
{
    const uint64_t one = 1;
    (void)pthread_mutex_lock(&s->mutex);
    bool room = s->n_monitors < MONITORS_MAX;
    if (room)
        s->monitors[s->n_monitors++].socket = monitor;
    (void)pthread_mutex_unlock(&s->mutex);
    if (room)
        (void)!write(s->wake_fd, &one, sizeof one);
    else
        (void)zmq_close(monitor);
    return room;
}

bool curve_serve(struct net *n, void *socket)
{
    struct security *s = n->security;
    int yes = 1;
    if (!s->serves)
        return false;
    if (zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &yes, sizeof yes) != 0 ||
        !set_text(socket, ZMQ_CURVE_SECRETKEY, s->own.secret_key) ||
        !set_text(socket, ZMQ_ZAP_DOMAIN, "oneid"))
        return false;
    void *monitor = monitor_open(
        n, socket, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED);
    return monitor && hand_over(s, monitor);
}

/* --- links --- */

static void disconnect(struct curve_link *c)
{
    if (c->key[0])
        (void)zmq_disconnect(c->socket, c->endpoint);
    c->key[0] = '\0';
    c->up = false;
}

/* With the key of the last try, or where that failed, the next one; if any is known by now. */
static bool connect_again(struct curve_link *c, msec_t now)
{
    char keys[SERVER_KEYS_MAX][KEY_SIZE];
    memset(keys, 0, sizeof keys);
    if (c->security->allowed && !c->security->serves)
        security_reload(c->security); /* nobody else does */
    size_t n = security_server_keys(c->security, c->endpoint, keys, SERVER_KEYS_MAX);
    disconnect(c);
    c->tried_ms = now;
    c->due_ms = now + (n ? SILENT_MS : UNKNOWN_MS);
    if (n == 0)
        return true;
    c->at = (c->at + (c->failed ? 1 : 0)) % n;
    c->failed = false;
    memcpy(c->key, keys[c->at], KEY_SIZE);
    return set_text(c->socket, ZMQ_CURVE_SERVERKEY, c->key) &&
           zmq_connect(c->socket, c->endpoint) == 0;
}

static bool is_known(struct curve_link *c)
{
    char keys[SERVER_KEYS_MAX][KEY_SIZE];
    memset(keys, 0, sizeof keys);
    size_t n = security_server_keys(c->security, c->endpoint, keys, SERVER_KEYS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(keys[i], c->key) == 0)
            return true;
    }
    return false;
}

/* The try is given up when its time is over, not now: on a busy machine this may be late news of
 * the try before it. */
static void handshake_failed(struct curve_link *c, enum link_trouble trouble, msec_t now)
{
    if (!c->key[0] || c->failed)
        return;
    unsigned doublings = c->failures < TRY_DOUBLINGS ? c->failures : TRY_DOUBLINGS;
    msec_t end = c->tried_ms + ((msec_t)TRY_MS << doublings);
    c->trouble = trouble;
    c->failed = true;
    c->failures++;
    c->due_ms = end > now + PAUSE_MS ? end : now + PAUSE_MS;
}

static void take_event(struct curve_link *c, unsigned number, msec_t now)
{
    switch (number) {
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        c->up = c->key[0] != '\0';
        c->failures = 0;
        c->failed = false;
        c->trouble = LINK_NO_TROUBLE;
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        handshake_failed(c, LINK_KEY_REFUSED, now);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        handshake_failed(c, LINK_NO_HANDSHAKE, now);
        break;
    default: /* ZMQ_EVENT_DISCONNECTED */
        if (!c->up)
            handshake_failed(c, LINK_NO_HANDSHAKE, now);
        else
            c->due_ms = now + BROKEN_MS;
        c->endings += c->up;
        c->up = false;
        break;
    }
}

static void take_events(struct curve_link *c, msec_t now)
{
    unsigned event;
    uint32_t value;
    while (monitor_take(c->monitor, &event, &value))
        take_event(c, event, now);
}

bool curve_link_mind(struct curve_link *c)
{
    msec_t now = clock_mono_ms();
    if (now - c->minded_ms < MIND_MS)
        return false;
    c->minded_ms = now;
    take_events(c, now);
    bool revoked = c->key[0] && !is_known(c);
    bool connects = revoked || (!c->up && now >= c->due_ms);
    if (connects)
        (void)connect_again(c, now);
    return connects;
}

enum error_code curve_link_open(struct net *n, void *socket, const char *endpoint,
                                struct curve_link **out, struct error *err)
{
    struct security *s = n->security;
    struct curve_link *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c || !(c->endpoint = strdup(endpoint))) {
        free(c);
        return error_set(err, ERR_NOMEM, "link to %s", endpoint);
    }
    c->security = s;
    c->socket = socket;
    c->monitor = monitor_open(n, socket,
                              ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                                  ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_DISCONNECTED);
    bool ok = c->monitor && set_text(socket, ZMQ_CURVE_PUBLICKEY, s->own.public_key) &&
              set_text(socket, ZMQ_CURVE_SECRETKEY, s->own.secret_key);
    if (!ok || !connect_again(c, clock_mono_ms())) {
        enum error_code rc = error_set(err, ok ? ERR_INVALID : ERR_IO, "cannot connect to %s: %s",
                                       endpoint, zmq_strerror(zmq_errno()));
        curve_link_close(c);
        return rc;
    }
    *out = c;
    return ERR_OK;
}

void curve_link_close(struct curve_link *c)
{
    if (!c)
        return;
    monitor_close(c->socket, c->monitor);
    free(c->endpoint);
    free(c);
}

unsigned curve_link_endings(const struct curve_link *c)
{
    return c->endings;
}

bool curve_link_is_up(const struct curve_link *c)
{
    return c->up;
}

enum link_trouble curve_link_trouble(const struct curve_link *c)
{
    return c->trouble;
}
