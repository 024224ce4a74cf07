#include "wire_proxy.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 65536, LOOK_MS = 10, ANSWER_MS = 300 };

struct wire_proxy {
    pthread_t thread;
    pthread_mutex_t mutex; /* guards all below */
    int listener, port, to;
    bool to_server;
    size_t at;
    uint8_t mask;
    unsigned damaged;
    struct buf said;
    _Atomic bool stop;
};

static int dial(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static bool write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* What has come at one side goes to the other; false: the end. */
static bool pass(struct wire_proxy *p, int from, int to, bool to_server, size_t *passed)
{
    static _Thread_local uint8_t chunk[CHUNK];
    ssize_t n = recv(from, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n <= 0)
        return false;
    (void)pthread_mutex_lock(&p->mutex);
    if (to_server)
        buf_put(&p->said, chunk, (size_t)n);
    if (p->mask && p->to_server == to_server && p->at >= *passed && p->at < *passed + (size_t)n) {
        chunk[p->at - *passed] ^= p->mask;
        p->damaged++;
    }
    (void)pthread_mutex_unlock(&p->mutex);
    *passed += (size_t)n;
    return write_all(to, chunk, (size_t)n);
}

static void serve(struct wire_proxy *p, int client)
{
    size_t passed[2] = {0, 0};
    int server = dial(p->to);
    (void)pthread_mutex_lock(&p->mutex);
    buf_reset(&p->said);
    (void)pthread_mutex_unlock(&p->mutex);
    bool on = server >= 0;
    while (on && !atomic_load(&p->stop)) {
        struct pollfd fds[] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
        (void)poll(fds, 2, LOOK_MS);
        if (fds[0].revents)
            on = pass(p, client, server, true, &passed[0]);
        if (on && fds[1].revents)
            on = pass(p, server, client, false, &passed[1]);
    }
    if (server >= 0)
        (void)close(server);
    (void)close(client);
}

static void *run(void *proxy)
{
    struct wire_proxy *p = proxy;
    while (!atomic_load(&p->stop)) {
        struct pollfd fd = {.fd = p->listener, .events = POLLIN};
        if (poll(&fd, 1, LOOK_MS) <= 0)
            continue;
        int client = accept(p->listener, NULL, NULL);
        if (client >= 0)
            serve(p, client);
    }
    return NULL;
}

struct wire_proxy *wire_proxy_open(int to)
{
    struct wire_proxy *p = calloc(1, sizeof *p);
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof a;
    assert(p);
    p->to = to;
    (void)pthread_mutex_init(&p->mutex, NULL);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    p->listener = socket(AF_INET, SOCK_STREAM, 0);
    bool ok = bind(p->listener, (struct sockaddr *)&a, sizeof a) == 0 &&
              listen(p->listener, 16) == 0 &&
              getsockname(p->listener, (struct sockaddr *)&a, &len) == 0;
    assert(ok);
    p->port = ntohs(a.sin_port);
    ok = pthread_create(&p->thread, NULL, run, p) == 0;
    assert(ok);
    return p;
}

void wire_proxy_close(struct wire_proxy *p)
{
    atomic_store(&p->stop, true);
    (void)pthread_join(p->thread, NULL);
    (void)close(p->listener);
    (void)pthread_mutex_destroy(&p->mutex);
    buf_free(&p->said);
    free(p);
}

int wire_proxy_port(const struct wire_proxy *p)
{
    return p->port;
}

void wire_proxy_damage(struct wire_proxy *p, bool to_server, size_t at, uint8_t mask)
{
    (void)pthread_mutex_lock(&p->mutex);
    p->to_server = to_server;
    p->at = at;
    p->mask = mask;
    (void)pthread_mutex_unlock(&p->mutex);
}

unsigned wire_proxy_damaged(struct wire_proxy *p)
{
    (void)pthread_mutex_lock(&p->mutex);
    unsigned n = p->damaged;
    (void)pthread_mutex_unlock(&p->mutex);
    return n;
}

void wire_proxy_said(struct wire_proxy *p, struct buf *out)
{
    (void)pthread_mutex_lock(&p->mutex);
    buf_reset(out);
    buf_put(out, p->said.data, p->said.len);
    (void)pthread_mutex_unlock(&p->mutex);
}

size_t wire_replay(int port, struct bytes said, struct buf *answer)
{
    uint8_t chunk[4096];
    int fd = dial(port);
    assert(fd >= 0);
    buf_reset(answer);
    (void)write_all(fd, said.data, said.len);
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, ANSWER_MS) <= 0)
            break;
        ssize_t n = recv(fd, chunk, sizeof chunk, 0);
        if (n <= 0)
            break;
        buf_put(answer, chunk, (size_t)n);
    }
    (void)close(fd);
    return answer->len;
}
