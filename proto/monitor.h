/* What libzmq tells of a socket's connections. Private to proto/. */
#ifndef PROTO_MONITOR_H
#define PROTO_MONITOR_H

#include "net.h"

/* Before the socket is bound or connected; NULL: no memory or descriptors (zmq_errno). Never for
 * ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: libzmq 4.3.4 and 4.3.5 tell of it also when a message of an
 * open connection cannot be decrypted, and telling overwrites the errno by which they would then
 * drop the connection. It would stay, deaf, for ever. */
void *monitor_open(struct net *n, void *socket, int events);
/* Before the socket is closed. NULL is fine. */
void monitor_close(void *socket, void *monitor);
/* Without waiting; false: nothing happened. `value`: the descriptor, for most events. */
bool monitor_take(void *monitor, unsigned *event, uint32_t *value);

#endif
