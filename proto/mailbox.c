/* Mailboxes between the threads of one process.
 *
 * A queue behind a mutex, and an eventfd that is only written to when the owner sleeps. ZeroMQ's
 * inproc sockets do the same work with two to four system calls for each message and for each look
 * into an empty queue; with five thread changes in the way of a request that was a third of its
 * CPU.
 */
#include "net.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { NAME_MAX_LEN_BOX = 64, TAKE_MAX = 128 };

struct mailbox {
    struct mailbox *next; /* in the net's list */
    unsigned refs;        /* the inbox and its outboxes */
    char name[NAME_MAX_LEN_BOX];
    pthread_mutex_t mutex; /* guards all below */
    void **ring;
    size_t head, n, cap; /* cap is a power of two */
    bool sleeping, closed;
    int fd;
};

struct inbox {
    struct net *net;
    struct mailbox *box;
    /* Taken from the queue at once, given out one by one. */
    void *taken[TAKE_MAX];
    size_t at, n;
};

struct outbox {
    struct net *net;
    struct mailbox *box;
};

static void lock(pthread_mutex_t *m)
{
    (void)pthread_mutex_lock(m);
}

static void unlock(pthread_mutex_t *m)
{
    (void)pthread_mutex_unlock(m);
}

static struct mailbox *find(struct net *n, const char *name)
{
    struct mailbox *b = n->mailboxes;
    while (b && (b->closed || strcmp(b->name, name) != 0))
        b = b->next;
    return b;
}

static void release(struct net *n, struct mailbox *b)
{
    lock(&n->mutex);
    bool last = --b->refs == 0;
    struct mailbox **at = &n->mailboxes;
    while (last && *at != b)
        at = &(*at)->next;
    if (last)
        *at = b->next;
    unlock(&n->mutex);
    if (!last)
        return;
    (void)close(b->fd);
    (void)pthread_mutex_destroy(&b->mutex);
    free(b->ring);
    free(b);
}

static struct mailbox *mailbox_new(const char *name)
{
    struct mailbox *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->cap = TAKE_MAX;
    b->ring = malloc(b->cap * sizeof *b->ring);
    b->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!b->ring || b->fd < 0) {
        int sys = errno;
        if (b->fd >= 0)
            (void)close(b->fd);
        free(b->ring);
        free(b);
        errno = sys;
        return NULL;
    }
    (void)snprintf(b->name, sizeof b->name, "%s", name);
    (void)pthread_mutex_init(&b->mutex, NULL);
    b->refs = 1;
    return b;
}

enum error_code inbox_open(struct net *n, const char *name, struct inbox **out, struct error *err)
{
    *out = NULL;
    if (strlen(name) >= NAME_MAX_LEN_BOX)
        return error_set(err, ERR_INVALID, "inbox %s: the name is too long", name);
    struct inbox *in = calloc(1, sizeof *in);
    struct mailbox *b = in ? mailbox_new(name) : NULL;
    if (!b) {
        free(in);
        return error_set_sys(err, ERR_NOMEM, errno, "inbox %s", name);
    }
    lock(&n->mutex);
    bool doubled = find(n, name) != NULL;
    b->next = n->mailboxes;
    n->mailboxes = b;
    unlock(&n->mutex);
    in->net = n;
    in->box = b;
    if (doubled) {
        inbox_close(in);
        return error_set(err, ERR_IO, "inbox %s: there is one of that name", name);
    }
    *out = in;
    return ERR_OK;
}

void inbox_close(struct inbox *in)
{
    if (!in)
        return;
    lock(&in->net->mutex); /* find() reads `closed` under this one */
    lock(&in->box->mutex);
    in->box->closed = true;
    unlock(&in->box->mutex);
    unlock(&in->net->mutex);
    release(in->net, in->box);
    free(in);
}

static size_t take_some(struct mailbox *b, void **out, size_t max)
{
    lock(&b->mutex);
    size_t n = b->n < max ? b->n : max;
    for (size_t i = 0; i < n; i++)
        out[i] = b->ring[(b->head + i) & (b->cap - 1)];
    b->head = (b->head + n) & (b->cap - 1);
    b->n -= n;
    unlock(&b->mutex);
    return n;
}

void *inbox_take(struct inbox *in)
{
    if (in->at == in->n) {
        in->at = 0;
        in->n = take_some(in->box, in->taken, TAKE_MAX);
    }
    return in->at < in->n ? in->taken[in->at++] : NULL;
}

int inbox_fd(const struct inbox *in)
{
    return in->box->fd;
}

bool inbox_sleep(struct inbox *in)
{
    if (in->at < in->n)
        return true;
    lock(&in->box->mutex);
    bool some = in->box->n > 0;
    in->box->sleeping = !some;
    unlock(&in->box->mutex);
    return some;
}

bool inbox_wake(struct inbox *in, bool readable)
{
    uint64_t count;
    /* Whatever is in the queue: a sender writes after it has put, and its message may be taken in
     * between. A write that nobody takes back would wake us for ever. */
    if (readable)
        (void)!read(in->box->fd, &count, sizeof count);
    lock(&in->box->mutex);
    bool some = in->box->n > 0;
    in->box->sleeping = false;
    unlock(&in->box->mutex);
    return some || in->at < in->n;
}

enum error_code outbox_open(struct net *n, const char *name, struct outbox **out, struct error *err)
{
    *out = NULL;
    struct outbox *o = calloc(1, sizeof *o);
    if (!o)
        return error_set(err, ERR_NOMEM, "outbox %s", name);
    lock(&n->mutex);
    struct mailbox *b = find(n, name);
    if (b)
        b->refs++;
    unlock(&n->mutex);
    if (!b) {
        free(o);
        return error_set(err, ERR_IO, "outbox %s: no inbox of that name is open", name);
    }
    o->net = n;
    o->box = b;
    *out = o;
    return ERR_OK;
}

void outbox_close(struct outbox *o)
{
    if (!o)
        return;
    release(o->net, o->box);
    free(o);
}

static void grow(struct mailbox *b)
{
    void **ring = malloc(b->cap * 2 * sizeof *ring);
    if (!ring) {
        (void)fprintf(stderr, "oneid: out of memory for messages between threads\n");
        abort();
    }
    for (size_t i = 0; i < b->n; i++)
        ring[i] = b->ring[(b->head + i) & (b->cap - 1)];
    free(b->ring);
    b->ring = ring;
    b->head = 0;
    b->cap *= 2;
}

bool outbox_put(struct outbox *o, void *message)
{
    assert(message);
    struct mailbox *b = o->box;
    lock(&b->mutex);
    bool closed = b->closed;
    if (!closed) {
        if (b->n == b->cap)
            grow(b);
        b->ring[(b->head + b->n++) & (b->cap - 1)] = message;
    }
    bool wake = b->sleeping && !closed;
    b->sleeping = false; /* one sender wakes it */
    unlock(&b->mutex);
    const uint64_t one = 1;
    if (wake)
        (void)!write(b->fd, &one, sizeof one);
    return !closed;
}
