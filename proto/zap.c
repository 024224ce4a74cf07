/* The thread that answers libzmq's questions whether a key may connect (ZAP, ZeroMQ RFC 27), hears
 * of failed handshakes, and reads the allowed-keys file when it has changed. */
#include "curve.h"
#include "monitor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

enum { LOOK_MS = 500, PART_MAX = 256, CURVE_KEY = 32 };

/* The parts of a request, in their order. */
enum part { VERSION, REQUEST_ID, ZAP_DOMAIN, ADDRESS, IDENTITY, MECHANISM, CREDENTIALS, PARTS };

struct question {
    uint8_t data[PARTS][PART_MAX];
    size_t len[PARTS];
    size_t n; /* parts that came, also those that are too many */
    bool fits;
};

static void receive(void *socket, struct question *q)
{
    int more = 1;
    *q = (struct question){.fits = true};
    while (more) {
        uint8_t spare[PART_MAX];
        uint8_t *to = q->n < PARTS ? q->data[q->n] : spare;
        int len = zmq_recv(socket, to, PART_MAX, 0);
        size_t size = sizeof more;
        if (len < 0 && zmq_errno() == EINTR)
            continue;
        if (len < 0) {
            q->fits = false;
            return;
        }
        q->fits = q->fits && len <= PART_MAX;
        if (q->n < PARTS)
            q->len[q->n] = len <= PART_MAX ? (size_t)len : PART_MAX;
        q->n++;
        if (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) != 0)
            more = 0;
    }
}

static void send_part(void *socket, const void *data, size_t len, bool more)
{
    while (zmq_send(socket, data, len, more ? ZMQ_SNDMORE : 0) < 0 && zmq_errno() == EINTR)
        ;
}

static void answer(void *socket, const struct question *q, const char *status, const char *text,
                   const char *user_id)
{
    send_part(socket, "1.0", 3, true);
    send_part(socket, q->data[REQUEST_ID], q->len[REQUEST_ID], true);
    send_part(socket, status, strlen(status), true);
    send_part(socket, text, strlen(text), true);
    send_part(socket, user_id, strlen(user_id), true);
    send_part(socket, "", 0, false);
}

static bool is_text(const struct question *q, enum part part, const char *text)
{
    return q->len[part] == strlen(text) && memcmp(q->data[part], text, q->len[part]) == 0;
}

static void decide(struct security *s, const struct question *q)
{
    char key[KEY_SIZE], fingerprint[FINGERPRINT_SIZE], why[64 + PART_MAX], user_id[USER_ID_SIZE];
    uint32_t number;
    bool usable = q->fits && q->n == PARTS && is_text(q, VERSION, "1.0") &&
                  is_text(q, MECHANISM, "CURVE") && q->len[CREDENTIALS] == CURVE_KEY;
    if (!usable) {
        security_note(s, REFUSED_HANDSHAKE, "", "", "not a CURVE handshake");
        answer(s->zap, q, "400", "not a CURVE handshake", "");
        return;
    }
    (void)zmq_z85_encode(key, q->data[CREDENTIALS], CURVE_KEY);
    if (security_number(s, key, &number)) {
        (void)atomic_fetch_add_explicit(&s->counters.accepted, 1, memory_order_relaxed);
        (void)snprintf(user_id, sizeof user_id, "%u", number);
        answer(s->zap, q, "200", "OK", user_id);
        return;
    }
    key_fingerprint(key, fingerprint);
    (void)snprintf(why, sizeof why, "not on the list of allowed keys, from %.*s",
                   (int)q->len[ADDRESS], (const char *)q->data[ADDRESS]);
    security_note(s, REFUSED_UNKNOWN, "", fingerprint, why);
    answer(s->zap, q, "400", "the key is not allowed", "");
}

static void begin_handshake(struct monitor *m, uint32_t fd)
{
    if (m->n_open == HANDSHAKES_MAX)
        m->n_open--;
    m->open[m->n_open++] = fd;
}

/* False: its handshake had been well. */
static bool end_handshake(struct monitor *m, uint32_t fd)
{
    for (size_t i = 0; i < m->n_open; i++) {
        if (m->open[i] != fd)
            continue;
        memmove(&m->open[i], &m->open[i + 1], (--m->n_open - i) * sizeof *m->open);
        return true;
    }
    return false;
}

/* An event has two parts: its number and value, and the address. */
static void take_event(struct security *s, struct monitor *m)
{
    unsigned number;
    uint32_t fd;
    if (!monitor_take(m->socket, &number, &fd))
        return;
    if (number == ZMQ_EVENT_ACCEPTED)
        begin_handshake(m, fd);
    else if (number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED && m->n_open > 0)
        m->n_open--;
    else if (number == ZMQ_EVENT_DISCONNECTED) {
        (void)atomic_fetch_add_explicit(&s->counters.ended, 1, memory_order_relaxed);
        if (end_handshake(m, fd))
            security_note(s, REFUSED_HANDSHAKE, "", "",
                          "no CURVE handshake with an allowed key, for this server's key");
    }
}

static size_t list_sockets(struct security *s, zmq_pollitem_t *items)
{
    items[0] = (zmq_pollitem_t){.socket = s->zap, .events = ZMQ_POLLIN};
    items[1] = (zmq_pollitem_t){.fd = s->wake_fd, .events = ZMQ_POLLIN};
    (void)pthread_mutex_lock(&s->mutex);
    size_t n = s->n_monitors;
    for (size_t i = 0; i < n; i++)
        items[2 + i] = (zmq_pollitem_t){.socket = s->monitors[i].socket, .events = ZMQ_POLLIN};
    (void)pthread_mutex_unlock(&s->mutex);
    return 2 + n;
}

static void *run(void *security)
{
    struct security *s = security;
    msec_t looked_ms = clock_mono_ms();
    while (!atomic_load(&s->stop)) {
        zmq_pollitem_t items[2 + MONITORS_MAX];
        size_t n = list_sockets(s, items);
        int ready = zmq_poll(items, (int)n, LOOK_MS);
        uint64_t woken;
        struct question q;
        if (ready > 0 && items[0].revents) {
            receive(s->zap, &q);
            decide(s, &q);
        }
        if (ready > 0 && items[1].revents)
            (void)!read(s->wake_fd, &woken, sizeof woken);
        for (size_t i = 2; i < n && ready > 0; i++) {
            if (items[i].revents)
                take_event(s, &s->monitors[i - 2]);
        }
        if (clock_mono_ms() - looked_ms >= LOOK_MS) {
            security_reload(s);
            looked_ms = clock_mono_ms();
        }
    }
    return NULL;
}

enum error_code zap_start(struct net *n, struct security *s, struct error *err)
{
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->zap = zmq_socket(n->ctx, ZMQ_REP);
    if (s->wake_fd < 0 || !s->zap || zmq_bind(s->zap, "inproc://zeromq.zap.01") != 0)
        return error_set(err, ERR_IO, "cannot answer for keys: %s", zmq_strerror(zmq_errno()));
    int sys = pthread_create(&s->thread, NULL, run, s);
    if (sys != 0)
        return error_set_sys(err, ERR_NOMEM, sys, "starting a thread");
    s->started = true;
    return ERR_OK;
}

void zap_stop(struct security *s)
{
    const uint64_t one = 1;
    atomic_store(&s->stop, true);
    if (s->started) {
        (void)!write(s->wake_fd, &one, sizeof one);
        (void)pthread_join(s->thread, NULL);
    }
    for (size_t i = 0; i < s->n_monitors; i++)
        (void)zmq_close(s->monitors[i].socket);
    if (s->zap)
        (void)zmq_close(s->zap);
    if (s->wake_fd >= 0)
        (void)close(s->wake_fd);
}
