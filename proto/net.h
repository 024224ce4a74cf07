/* What the parts of the endpoints share: the context, and the mailboxes by name. Private to proto/.
 */
#ifndef PROTO_NET_H
#define PROTO_NET_H

#include <proto/endpoint.h>

#include <pthread.h>

struct mailbox;
struct security;

struct net {
    void *ctx;
    pthread_mutex_t mutex; /* guards mailboxes, their reference counts, and n_monitors */
    struct mailbox *mailboxes;
    struct security *security; /* NULL: plain text */
    unsigned n_monitors;       /* ever */
};

/* A descriptor that is readable after inbox_sleep said false and a message came. */
int inbox_fd(const struct inbox *b);
/* The owner is about to wait. True: something is there already, do not wait. */
bool inbox_sleep(struct inbox *b);
/* The owner does not wait any more; `readable`: its descriptor is. True: something is there. */
bool inbox_wake(struct inbox *b, bool readable);

#endif
