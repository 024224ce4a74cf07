/* The client's parts, private to client/. */
#ifndef CLIENT_PARTS_H
#define CLIENT_PARTS_H

#include "flight.h"

#include <oneid/oneid.h>

#include <base/arena.h>
#include <base/rng.h>
#include <proto/endpoint.h>
#include <proto/request.h>

#include <stdatomic.h>

/* One router and what is on its way to it. */
struct router_link {
    char *endpoint;
    struct link *link;
    struct call_list queue; /* goes out with the next turn */
    msec_t heard_ms;        /* its last word; 0: none yet */
    msec_t waiting_ms;      /* the first message sent since that word; 0: none */
    unsigned endings;       /* of its connections */
    bool is_up;             /* there is one, as of this turn */
};

struct oneid_client {
    struct net *net;
    struct router_link *routers;
    size_t n_routers;
    size_t active; /* new requests go there, until it is silent */
    struct waitable *waits;
    int fd; /* epoll over the links */
    uint32_t deadline_ms, retry_ms;
    bool stale_ok;
    struct flight flight;
    struct arena building;  /* of one request */
    struct arena message;   /* of one message from a router */
    struct arena answering; /* of one result */
    struct rng rng;
    msec_t wake_ms; /* no call has anything to do before this; INT64_MAX: never */
    bool poke;      /* something was sent after the last look at what has come */
    uint64_t last_call;
    _Atomic bool interrupt; /* everything that is under way shall end */
    uint64_t interrupts;    /* that were taken */
    bool dispatching, closing;
    int ran; /* callbacks of this poll */
    char text[sizeof((struct error *)0)->msg];
};

/* --- client.c --- */
enum oneid_code code_of_error(enum error_code code);
/* Notes the text for oneid_error_text and returns the code. */
enum oneid_code client_refuse(struct oneid_client *c, enum oneid_code code, const char *text);
enum error_code router_connect(struct oneid_client *c, struct router_link *r, struct error *err);
void router_disconnect(struct oneid_client *c, struct router_link *r);

/* --- submit.c --- */
/* Checks, encodes and queues it; the result goes to `waiter` when that is not NULL, else to `cb`.
 */
enum oneid_code client_submit(struct oneid_client *c, const struct request *r, uint32_t deadline_ms,
                              oneid_cb cb, void *ctx, struct waiter *waiter);
enum oneid_code client_submit_event(struct oneid_client *c, const struct oneid_event *e,
                                    uint32_t deadline_ms, oneid_cb cb, void *ctx,
                                    struct waiter *waiter);
enum oneid_code client_submit_identity(struct oneid_client *c, enum request_type type,
                                       const struct oneid_identity *id, uint64_t profile,
                                       uint32_t deadline_ms, oneid_cb cb, void *ctx,
                                       struct waiter *waiter);

enum oneid_code client_submit_export(struct oneid_client *c, const char *expr,
                                     const char *const *fields, size_t n_fields, const char *cursor,
                                     uint32_t limit, uint32_t deadline_ms, oneid_cb cb, void *ctx,
                                     struct waiter *waiter);

/* --- blocking.c --- */
/* A callback runs inside a turn, where no answer can come: ONEID_ERR_USAGE. */
enum oneid_code blocking_check(struct oneid_client *c);
/* Waits where the call was submitted (`code`); else the result says why not. */
struct oneid_result *blocking_wait(struct oneid_client *c, enum oneid_code code,
                                   const struct waiter *w);

/* Submits it and waits. */
struct oneid_result *blocking_run(struct oneid_client *c, const struct request *r);

/* --- turn.c --- */
/* Queues a call at the active router, sending when a batch is full. */
void turn_enqueue(struct oneid_client *c, struct call *call, msec_t now);
void turn_cancel_all(struct oneid_client *c);
/* Marks the call, and tells the router. */
void turn_cancel(struct oneid_client *c, struct call *call, msec_t now);
/* The time that is left, as a router is told: a little less, so that its answer comes in time. */
uint32_t turn_time_left(const struct call *call, msec_t now);
/* Lets others' answers in for so long, asleep in between. False: it was interrupted. */
bool turn_pause(struct oneid_client *c, msec_t ms);

/* --- status.c --- */
/* False: memory is out. */
bool status_build(const struct response *r, struct arena *arena, struct oneid_result *out);

/* --- nodes.c --- */
/* False: memory is out. */
bool map_build(const struct response *r, struct arena *arena, struct oneid_result *out);

/* --- result.c --- */
/* The response as the application sees it; all of it lives in `arena`. False: no memory. */
bool result_build(const struct response *r, struct arena *arena, struct oneid_result *out);
/* The same as a value of its own, to be freed with oneid_result_free; NULL: no memory. */
struct oneid_result *result_new(const struct response *r);

#endif
