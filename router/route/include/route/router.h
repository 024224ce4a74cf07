/* A router process: the shell that runs sagas and gathers between clients and shards.
 *
 * One thread owns everything: the clients' socket, a link to each node, the map and identity
 * caches, the requests in flight. It takes what has come, steps the cores, and sends what they ask
 * for at the end of the turn: one message a shard, one a client message, however many requests are
 * in it. When as many requests are in flight as it may hold, it stops reading from clients, and
 * their queues fill instead of its own. */
#ifndef ROUTE_ROUTER_H
#define ROUTE_ROUTER_H

#include <base/logger.h>
#include <cluster/config.h>

struct router;

/* Binds the listening port of router `id`. `config` and `log` are kept. */
enum error_code router_open(const struct cluster_config *config, uint16_t id, struct log *log,
                            struct router **out, struct error *err);
/* Serves until router_stop was called (from a signal handler's thread: any thread may). */
void router_run(struct router *r);
void router_stop(struct router *r);
void router_close(struct router *r);

#endif
