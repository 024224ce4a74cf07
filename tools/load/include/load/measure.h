/* What a run has measured, in a form that adds up over kinds of requests and over processes. One
 * owner, one thread. */
#ifndef LOAD_MEASURE_H
#define LOAD_MEASURE_H

#include <base/error.h>
#include <load/histogram.h>
#include <load/mix.h>
#include <load/series.h>
#include <oneid/oneid.h>

enum { MEASURE_CODES = ONEID_ERR_INTERNAL + 1 };

/* The answered requests of one kind. */
struct tally {
    struct histogram latency_us;           /* errors included */
    uint64_t answered;                     /* more than latency_us.n: some could not be sent */
    uint64_t codes[MEASURE_CODES];         /* of the answered, by enum oneid_code */
    uint64_t duplicates, partial, refused; /* answers that said so */
};

bool tally_open(struct tally *t, unsigned bits);
void tally_close(struct tally *t);
void tally_reset(struct tally *t);
/* Bits as for histogram_merge. */
void tally_add(struct tally *to, const struct tally *from);
/* Answers other than ONEID_OK. */
uint64_t tally_errors(const struct tally *t);

struct measure {
    struct tally kinds[OP_KINDS]; /* of the measured time */
    struct series series;         /* of all the time */
    msec_t from_ms, began_ms;     /* wall clock: measuring began, sending began */
    usec_t elapsed_us;            /* measured: end of the warm-up to the last answer */
    uint64_t sent;                /* warm-up included */
    double cpu_s;                 /* of the load processes, user and system, while measuring */
    double busiest;               /* greatest share of a core that one of their threads took */
    usec_t behind_us;             /* open loop: the longest time a request was sent late */
    uint64_t full;                /* open loop: turns in which one was due and none could be sent */
    bool interrupted, ended;      /* ended: there was nothing more to send */
    unsigned processes;
};

/* False: no memory. A zeroed struct may be closed. */
bool measure_open(struct measure *m, unsigned bits, usec_t interval_us);
void measure_close(struct measure *m);
/* Adds what was measured beside it. ERR_INVALID: of another interval or more bits; ERR_NOMEM. */
enum error_code measure_add(struct measure *to, const struct measure *from, struct error *err);
/* All kinds in one; the caller's to close. False: no memory. */
bool measure_total(const struct measure *m, struct tally *out);

#endif
