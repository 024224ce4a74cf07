/* Keeps a number of requests in flight, or sends them at a rate, and measures.
 *
 * Closed loop (rate 0): a new request starts when one is answered. Open loop: request i is due at
 * start + i / rate, whatever the answers do, and its latency counts from when it was due, also when
 * it could only be sent later: a stall is not hidden by the requests that were not sent meanwhile
 * (coordinated omission). One thread; one drive at a time in a process, since it takes SIGINT and
 * SIGTERM. */
#ifndef LOAD_DRIVE_H
#define LOAD_DRIVE_H

#include <base/clock.h>
#include <load/measure.h>
#include <oneid/oneid.h>

/* Where requests come from. */
struct drive_source {
    void *ctx;
    /* Makes the next request ready and says of which kind it is; OP_KINDS: there are no more. `tag`
     * (0 before) comes back with its answer. */
    enum op (*next)(void *ctx, uint64_t *tag);
    /* Sends what was made ready last; may be called again for the same one after ONEID_ERR_BUSY. */
    enum oneid_code (*send)(void *ctx, struct oneid_client *c, uint32_t deadline_ms, oneid_cb cb,
                            void *cb_ctx);
    /* Looks at an answer; NULL: nothing to look at. */
    void (*answered)(void *ctx, enum op op, uint64_t tag, const struct oneid_result *r);
};

struct drive_options {
    uint32_t in_flight;   /* closed loop: always so many; open loop: at most so many */
    double rate;          /* a second; 0: closed loop */
    double phase;         /* open loop: request i is due at start + (i + phase) / rate */
    usec_t start_us;      /* on the monotonic clock; in the past: at once */
    usec_t duration_us;   /* of sending, warm-up included; 0: until the source ends */
    usec_t warmup_us;     /* answers before that are not counted */
    uint64_t requests;    /* to send at most; 0: no limit */
    uint32_t deadline_ms; /* 0: the client's */
};

/* Returns when all that was sent has been answered; after SIGINT or SIGTERM nothing more is sent,
 * and a second one also stops the waiting. Takes the client and closes it. `out` has been opened
 * and is empty. What goes wrong is in the codes; false: out of memory. */
bool drive_run(struct oneid_client *c, const struct drive_options *o, const struct drive_source *s,
               struct measure *out);

#endif
