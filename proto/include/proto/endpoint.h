/* ZeroMQ behind a small face: servers (ROUTER), links (DEALER), and mailboxes between the threads
 * of one process. A socket belongs to the thread that uses it.
 */
#ifndef PROTO_ENDPOINT_H
#define PROTO_ENDPOINT_H

#include <base/bytes.h>
#include <base/error.h>

#include <stdbool.h>

/* One context for each process. */
struct net;
enum error_code net_open(int io_threads, struct net **out, struct error *err);
/* Waits until the sockets are closed. */
void net_close(struct net *n);

/* An owned message; zero-initialised is empty. Move it, never copy the struct. */
struct frame {
    _Alignas(8) unsigned char opaque[64];
    bool full;
};
struct bytes frame_bytes(const struct frame *f);
/* Takes the buffer's memory for good (no copy) and empties the buffer. */
enum error_code frame_of_buf(struct frame *f, struct buf *b);
enum error_code frame_copy(struct frame *f, struct bytes b);
void frame_move(struct frame *to, struct frame *from);
void frame_close(struct frame *f);

/* Who sent a message to a server: an opaque routing id. */
struct peer {
    uint8_t len;
    uint8_t id[31];
};

/* Who sent a message, as far as the process may know: roles (trust.h) and the number of the key. On
 * a plain net everybody may do everything. */
#define SENDER_NO_KEY UINT32_MAX
struct sender {
    unsigned roles;
    uint32_t key; /* SENDER_NO_KEY: a plain net */
};

struct server;
/* Binds. ERR_IO with the endpoint's name when the port is in use. `max_message` in bytes: a peer
 * that sends more is cut off. */
enum error_code server_open(struct net *n, const char *endpoint, int64_t max_message,
                            struct server **out, struct error *err);
void server_close(struct server *s);
/* Only senders with this role (trust.h) are heard; others are answered with ERR_DENIED. */
void server_require(struct server *s, unsigned role);
/* Who sent what server_recv gave last. */
struct sender server_sender(const struct server *s);
/* Is that the key of node `node` (its name on the list is node-N; 0: of any node)? Always on a
 * plain net. Routers have the same role, but must not speak for a node's replicas. */
bool server_heard_node(const struct server *s, unsigned node);
/* false: nothing waits. Frames that are not [peer, one part] are dropped and counted; so are those
 * of senders that are not allowed (any more), who are told so. */
bool server_recv(struct server *s, struct peer *from, struct frame *f);
/* Takes the frame; a peer that is gone or whose queue is full loses it: false, counted. */
bool server_send(struct server *s, const struct peer *to, struct frame *f);
uint64_t server_dropped(const struct server *s);
/* Where it listens, with the port that "tcp://…:*" was given. Borrowed from the server. */
const char *server_endpoint(const struct server *s);

struct link;
/* Connects in the background, again and again; only a malformed endpoint is an error. */
enum error_code link_open(struct net *n, const char *endpoint, struct link **out,
                          struct error *err);
/* As link_open, but nothing waits for a connection: link_send says false while there is none, and
 * what still waits when one breaks is dropped. For owners that ask again by themselves: a peer that
 * is away for long would cost memory, and get all of it, long outdated, when it comes back. */
enum error_code link_open_unqueued(struct net *n, const char *endpoint, struct link **out,
                                   struct error *err);
void link_close(struct link *l);
/* What is known of why there is no connection: for messages, not for decisions, since anybody on
 * the way could have made it look so. */
enum link_trouble {
    LINK_NO_TROUBLE,
    LINK_KEY_REFUSED, /* the server does not allow our key */
    LINK_NO_HANDSHAKE /* it is not the server that we know the key of, or speaks plain text */
};
enum link_trouble link_trouble(const struct link *l);
/* How many connections of it have ended: with each, the process at the other end has probably died,
 * or was out of reach for seconds. Known about 20 ms later; no descriptor tells. */
unsigned link_endings(struct link *l);
/* Is there a connection now, as far as is known? */
bool link_is_up(struct link *l);
bool link_recv(struct link *l, struct frame *f);
/* Takes the frame; false (and the frame is kept) when the queue to the peer is full, or see
 * link_open_unqueued. Success says
 * that it is queued, no more: what was on its way when a connection broke is lost. */
bool link_send(struct link *l, struct frame *f);

/* Thread to thread: pointers, many senders, one receiver. Ownership of what is pointed to moves. */
struct inbox;
struct outbox;
enum error_code inbox_open(struct net *n, const char *name, struct inbox **out, struct error *err);
/* What still waits in it is lost: take it out first. */
void inbox_close(struct inbox *b);
/* NULL: nothing waits. */
void *inbox_take(struct inbox *b);
/* The inbox of that name must be open in the process. */
enum error_code outbox_open(struct net *n, const char *name, struct outbox **out,
                            struct error *err);
void outbox_close(struct outbox *b);
/* Never blocks: the queue is bounded by what callers keep in flight. False: the inbox is closed,
 * and the message still belongs to the caller. */
bool outbox_put(struct outbox *b, void *message);

/* Waits until one of them has something, or timeout_ms passed (-1: for ever). `ready[i]` says
 * which. Also wakes, with none ready, on a signal. */
struct waitable {
    struct server *server; /* exactly one of these is set */
    struct link *link;
    struct inbox *inbox;
    int fd; /* when none of the above is */
    bool ready;
};
int endpoint_wait(struct waitable *items, size_t n, long timeout_ms);

/* A descriptor that becomes readable when something may wait at the link (edge-triggered, as
 * ZMQ_FD): drain with link_recv until it says false, after link_send as well, since sending can
 * take the edge. */
int link_fd(struct link *l);

#endif
