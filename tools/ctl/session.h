/* A connection to the cluster for one command, and how problems are told. */
#ifndef CTL_SESSION_H
#define CTL_SESSION_H

#include "options.h"

#include <cluster/config.h>
#include <oneid/oneid.h>
#include <proto/security.h>

struct session {
    struct cluster_config *config; /* NULL: --router was given */
    struct oneid_client *client;
    struct client_keys keys;
};

/* EXIT_OK, or what main shall return: the problem has been told. */
int session_open(struct session *s, const struct options *o);
/* The same with these routers, and so many requests in flight (0: as the client likes it). */
int session_open_at(struct session *s, const struct options *o, const char *const *routers,
                    size_t n_routers, uint32_t in_flight);
/* Ctrl-C gives up what is under way at the cluster, until the session is closed. */
int session_open_interruptible(struct session *s, const struct options *o);
void session_close(struct session *s);

/* The cluster file; NULL: the problem has been told. */
struct cluster_config *session_config(const struct options *o);

/* One line to standard error, "oneidctl: ...". */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void complain_code(enum oneid_code code, const char *text);
/* Tells what is wrong with the result, and that it does not cover all shards. EXIT_OK: nothing. */
int result_check(const struct oneid_result *r);

#endif
