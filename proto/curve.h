/* The sockets' side of security. Private to proto/. */
#ifndef PROTO_CURVE_H
#define PROTO_CURVE_H

#include "net.h"

#include <base/clock.h>
#include <proto/security.h>

enum { SERVER_KEYS_MAX = 8, USER_ID_SIZE = 12 };

/* Every key that was ever on the list, so that its number stays. */
struct key_state {
    struct trusted who; /* roles 0: not on the list any more */
    int64_t tokens;     /* thousandths of requests that it may still make; below 0: owed */
    msec_t filled_ms;
    uint32_t in_flight;
};

enum refusal { REFUSED_UNKNOWN, REFUSED_HANDSHAKE, REFUSED_REVOKED, REFUSED_ROLE, REFUSED_LIMIT };
enum { REFUSALS = REFUSED_LIMIT + 1, MONITORS_MAX = 16, HANDSHAKES_MAX = 1024 };

/* What libzmq tells of a server's connections. It does not say which handshake has succeeded: taken
 * for the youngest, so that the number of those that failed is right in the end. */
struct monitor {
    void *socket;
    uint32_t open[HANDSHAKES_MAX]; /* descriptors of connections whose handshake goes on */
    size_t n_open;
};

struct known {
    char *endpoint, *name;
    char (*keys)[KEY_SIZE]; /* where there is no name */
    size_t n_keys;
};

struct security {
    struct key_pair own;
    struct log *log;
    char *allowed; /* NULL: none */
    bool serves;
    pthread_mutex_t mutex; /* guards all below, but the counters */
    struct known *servers;
    size_t n_servers;
    struct trust_list *trust;
    struct key_state *keys;
    size_t n_keys, cap_keys;
    msec_t logged_ms[REFUSALS]; /* 0: never */
    uint64_t unlogged[REFUSALS];
    struct monitor monitors[MONITORS_MAX]; /* of servers; what is in one is the ZAP thread's */
    size_t n_monitors;
    struct security_counters counters;
    pthread_t thread;
    bool started;
    void *zap;   /* the thread's socket */
    int wake_fd; /* readable: a new monitor, or the end */
    _Atomic bool stop;
    uint64_t signature[4]; /* of the file that was read last: device, inode, size, time */
};

void security_close(struct security *s);
/* Counts, and logs a line a second of each kind. Without the mutex held; fields may be "". */
void security_note(struct security *s, enum refusal kind, const char *name, const char *fingerprint,
                   const char *why);
/* The sender's number from ZAP's user id; its roles as of now. False: not on the list (any more),
 * and that has been noted. */
bool security_identify(struct security *s, const char *user_id, struct sender *out);
/* Is the sender's key of that name, or one that begins so? */
bool security_has_name(struct security *s, const struct sender *from, const char *name,
                       bool is_prefix);
/* Its role does not allow what it asked for. */
void security_note_role(struct security *s, const struct sender *from, unsigned role);
/* The number of an allowed key; false: it is not on the list. */
bool security_number(struct security *s, const char *key, uint32_t *number);
/* The keys by which the server there is known, as of now. */
size_t security_server_keys(struct security *s, const char *endpoint, char (*out)[KEY_SIZE],
                            size_t max);
/* Reads the allowed-keys file; the first time, or when it has changed. */
enum error_code security_load(struct security *s, struct error *err);
void security_reload(struct security *s);

/* --- zap.c --- */
enum error_code zap_start(struct net *n, struct security *s, struct error *err);
void zap_stop(struct security *s);

/* --- curve.c --- */
/* Before the socket is bound. */
bool curve_serve(struct net *n, void *socket);

/* The connection of a link: with which of the server's keys, and again after it broke in a way that
 * libzmq gives up on. */
struct curve_link;
enum error_code curve_link_open(struct net *n, void *socket, const char *endpoint,
                                struct curve_link **out, struct error *err);
/* Before the socket is closed. */
void curve_link_close(struct curve_link *c);
/* On the socket's thread, often. True: the socket was used, so that its descriptor may have told
 * all. */
bool curve_link_mind(struct curve_link *c);
unsigned curve_link_endings(const struct curve_link *c);
bool curve_link_is_up(const struct curve_link *c);
enum link_trouble curve_link_trouble(const struct curve_link *c);

#endif
