/* A TCP proxy for one connection at a time, that may change bytes on their way and keeps what the
 * client said: the man in the middle of the tests. Its thread is its own. */
#ifndef TESTS_WIRE_PROXY_H
#define TESTS_WIRE_PROXY_H

#include <base/bytes.h>

struct wire_proxy;

/* Forwards to 127.0.0.1:`to`. */
struct wire_proxy *wire_proxy_open(int to);
void wire_proxy_close(struct wire_proxy *p);
int wire_proxy_port(const struct wire_proxy *p);
/* Flips the bits `mask` of byte number `at` of each connection from here on, counted for each
 * direction; mask 0: none. */
void wire_proxy_damage(struct wire_proxy *p, bool to_server, size_t at, uint8_t mask);
/* Connections so far whose bytes were changed. */
unsigned wire_proxy_damaged(struct wire_proxy *p);
/* A copy of what the client of the present or last connection said. */
void wire_proxy_said(struct wire_proxy *p, struct buf *out);
/* Bytes that a server says to these, over a connection of its own that is then closed. */
size_t wire_replay(int port, struct bytes said, struct buf *answer);

#endif
