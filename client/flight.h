/* What is in flight: calls that wait for an answer, and the messages they went out in.
 *
 * A core: no clock, no socket. A call may have been sent several times; the first final answer to
 * any of its copies ends it, and later ones find nothing.
 */
#ifndef CLIENT_FLIGHT_H
#define CLIENT_FLIGHT_H

#include <oneid/oneid.h>

#include <base/bytes.h>
#include <base/clock.h>
#include <base/error.h>

enum { ATTEMPTS_KEPT = 4 }; /* copies of a call whose answers are still recognised */

/*   FREE ──> QUEUED ──> SENT ──> RESTING (a retryable answer came; waits a little)
 *              ^          │          │
 *              └──────────┴──────────┘ sent again
 * Every state goes to FREE when the call ends. */
enum call_state { CALL_FREE, CALL_QUEUED, CALL_SENT, CALL_RESTING };

struct sent;

/* Of a blocking call. */
struct waiter {
    bool done;
    struct oneid_result *result; /* once done; NULL: no memory */
};

struct attempt {
    struct sent *sent;
    uint32_t item; /* the call's position in that message */
};

struct call {
    enum call_state state;
    uint64_t number;       /* for oneid_cancel */
    bool cancelled;        /* ends with the next turn */
    struct waiter *waiter; /* blocking: where the result goes; NULL: to `cb` */
    oneid_cb cb;
    void *ctx;
    struct buf item; /* the encoded request, ready for a batch */
    msec_t start_ms, sent_ms, deadline_ms;
    msec_t retry_ms;    /* when it is sent again */
    msec_t patience_ms; /* how long a router that is alive may take for it */
    size_t router;      /* it waits in the queue of, or was last sent to */
    unsigned rests;     /* retryable answers so far */
    struct error *why;  /* the last of them; NULL: none */
    struct attempt attempts[ATTEMPTS_KEPT];
    size_t n_attempts;
    struct call *next, *prev; /* in a queue, or in the list of free ones */
};

/* Calls in the order in which they go out. */
struct call_list {
    struct call *first, *last;
    size_t bytes; /* of their items */
};
void call_list_push(struct call_list *l, struct call *c);
void call_list_remove(struct call_list *l, struct call *c);

/* A message that was sent, while a call of it is open. */
struct sent {
    uint64_t request_id;
    struct call **calls; /* by item; NULL: has ended */
    uint32_t n, open;
    struct sent *next; /* in its bucket */
};

struct flight {
    struct call *calls;
    size_t max;
    size_t touched; /* calls[0 .. touched) have been used at least once */
    size_t n;       /* in use */
    struct call *free_calls;
    struct sent **buckets;
    size_t n_buckets; /* a power of two */
    uint64_t last_request_id;
};

bool flight_open(struct flight *f, size_t max);
void flight_close(struct flight *f);

/* NULL: `max` are in use. The call's item is empty, its other fields are zero. */
struct call *flight_take(struct flight *f);
/* The call must not be in a queue any more. */
void flight_end(struct flight *f, struct call *c);

/* Records that these calls go out in one message; 0: no memory. The message's request id. */
uint64_t flight_send(struct flight *f, struct call *const *calls, size_t n);
/* The message could not be sent after all. */
void flight_unsend(struct flight *f, uint64_t request_id);

/* Whom the answer to this item concerns; NULL: nobody any more, or never did. */
struct call *flight_find(const struct flight *f, uint64_t request_id, uint32_t item);
/* The answer to this item is about to be looked at: announces its call to the processor's cache,
 * and a little later what the application will be called with. */
void flight_expect(const struct flight *f, uint64_t request_id, uint32_t item);
void flight_expect_callback(const struct flight *f, uint64_t request_id, uint32_t item);
/* Items of the message; 0: it has no open call. */
uint32_t flight_items(const struct flight *f, uint64_t request_id);

#endif
