/* A router that does what a test tells it: takes request messages, answers items of them. */
#ifndef TESTS_FAKE_ROUTER_H
#define TESTS_FAKE_ROUTER_H

#include <base/arena.h>
#include <proto/endpoint.h>
#include <proto/request.h>

enum { FAKE_WAIT_MS = 20000 }; /* gives up on what never comes */

struct fake_router {
    struct net *net;
    struct server *server;
};
void fake_open(struct fake_router *f);
void fake_close(struct fake_router *f);
const char *fake_endpoint(const struct fake_router *f);

/* A message of a client; what it points to lives until fake_forget. */
struct fake_message {
    struct peer peer;
    struct frame frame;
    struct arena arena;
    uint64_t request_id;
    struct request *requests;
    size_t n;
    bool is_cancel; /* of `item` of the message of that request id; no requests */
    uint32_t item;
};
/* Waits for one; false: nothing came within timeout_ms. */
bool fake_take(struct fake_router *f, struct fake_message *m, int timeout_ms);
void fake_forget(struct fake_message *m);

/* Answers items of the message, each with its `item`. */
void fake_answer(struct fake_router *f, const struct fake_message *m, const struct response *r,
                 size_t n);
/* Answers the whole message with a MESSAGE_ERROR. */
void fake_fail(struct fake_router *f, const struct fake_message *m, enum error_code code,
               const char *text);
/* Sends any bytes. */
void fake_send(struct fake_router *f, const struct peer *to, struct bytes frame);

#endif
