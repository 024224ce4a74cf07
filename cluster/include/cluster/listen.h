/* Endpoints that nodes and routers listen on, as the cluster file and `node add` take them. */
#ifndef CLUSTER_LISTEN_H
#define CLUSTER_LISTEN_H

#include <stdbool.h>

/* NULL for "tcp://host:port" that others can connect to; else what was expected, in words. */
const char *listen_mistake(const char *s);
/* 1 to 65535 without leading zeros, up to the end of the text. */
bool listen_is_port(const char *s);
/* Does the endpoint stay on this machine? */
bool listen_is_loopback(const char *s);

#endif
