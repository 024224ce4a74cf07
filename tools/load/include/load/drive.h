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
#include <load/histogram.h>
#include <oneid/oneid.h>

enum { DRIVE_CODES = ONEID_ERR_INTERNAL + 1 };

/* Where requests come from. */
struct drive_source {
    void *ctx;
    /* Makes the next request ready; false: there are no more. */
    bool (*next)(void *ctx);
    /* Sends what was made ready last; may be called again for the same one after ONEID_ERR_BUSY. */
    enum oneid_code (*send)(void *ctx, struct oneid_client *c, uint32_t deadline_ms, oneid_cb cb,
                            void *cb_ctx);
    /* Looks at an answer; NULL: nothing to look at. */
    void (*answered)(void *ctx, const struct oneid_result *r);
};

struct drive_options {
    uint32_t in_flight;   /* closed loop: always so many; open loop: at most so many */
    double rate;          /* a second; 0: closed loop */
    usec_t duration_us;   /* of sending, warm-up included; 0: until the source ends */
    usec_t warmup_us;     /* answers before that are not counted */
    uint64_t requests;    /* to send at most; 0: no limit */
    uint32_t deadline_ms; /* 0: the client's */
};

struct drive_report {
    struct histogram latency_us;           /* of answered requests, errors included */
    uint64_t sent, answered;               /* answered: within the measured time */
    uint64_t codes[DRIVE_CODES];           /* of the answered, by enum oneid_code */
    uint64_t duplicates, partial, refused; /* answers that said so */
    usec_t elapsed_us;                     /* measured: end of the warm-up to the last answer */
    double cpu_s;                          /* of this process, user and system, in that time */
    usec_t behind_us;                      /* open loop: the longest time a request was sent late */
    bool interrupted;
};

/* Returns when all that was sent has been answered; after SIGINT or SIGTERM nothing more is sent,
 * and a second one also stops the waiting. Takes the client and closes it. What goes wrong is in
 * the codes; false: out of memory. */
bool drive_run(struct oneid_client *c, const struct drive_options *o, const struct drive_source *s,
               struct drive_report *out);

#endif
