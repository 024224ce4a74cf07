/* What happened in each interval of a run, by kind of request. One owner, one thread. */
#ifndef LOAD_SERIES_H
#define LOAD_SERIES_H

#include <base/clock.h>
#include <load/histogram.h>
#include <load/mix.h>

enum { SERIES_BITS = 5 }; /* of its histograms: values are off by less than 1 in 32 */

struct series_bucket {
    uint64_t greatest_us, n;
};

/* The answers of one kind in one interval. */
struct series_cell {
    uint64_t answered, errors, max_us;
    struct series_bucket *buckets; /* those that hold something, by rising value */
    size_t n_buckets;
};

struct series_point {
    uint64_t in_flight; /* at its end */
    usec_t behind_us;   /* the longest time a request was sent late */
    double cpu_s;       /* of the load processes */
    struct series_cell cells[OP_KINDS];
};

struct series {
    usec_t interval_us;
    struct series_point *points; /* the first begins with the sending, warm-up included */
    size_t n, cap;
};

void series_close(struct series *s);
/* A new last point, zeroed; NULL: no memory. */
struct series_point *series_push(struct series *s);
/* Replaces what the cell holds by the latencies of `h`; false: no memory. */
bool series_cell_take(struct series_cell *cell, const struct histogram *h, uint64_t errors);
/* Adds `from`, whose first point is the `shift`-th of `to`. Both have the same interval. False: no
 * memory. */
bool series_add(struct series *to, const struct series *from, size_t shift);
/* As histogram_quantile. */
uint64_t series_cell_quantile(const struct series_cell *cell, double share);
/* All kinds of a point in one cell, which is the caller's to close; false: no memory. */
bool series_point_sum(const struct series_point *p, struct series_cell *out);
void series_cell_close(struct series_cell *cell);

/* --- recording --- */

struct recorder {
    struct series *series;
    usec_t began, next; /* when the current interval ends */
    struct histogram live[OP_KINDS];
    uint64_t errors[OP_KINDS];
    usec_t behind_us;
    double cpu_before_s;
    bool lost; /* memory ran out: the series ends early */
};

/* False: no memory. `series` is empty but for its interval. */
bool recorder_open(struct recorder *r, struct series *series, usec_t began, double cpu_s);
void recorder_close(struct recorder *r);
void recorder_answer(struct recorder *r, enum op op, usec_t latency_us, bool is_error);
void recorder_late(struct recorder *r, usec_t late_us);
static inline bool recorder_is_due(const struct recorder *r, usec_t now)
{
    return now >= r->next;
}
/* Ends the intervals that are over: the first gets what was recorded, any others were silent. */
void recorder_turn(struct recorder *r, usec_t now, uint64_t in_flight, double cpu_s);
/* Ends the last, begun one. */
void recorder_finish(struct recorder *r, usec_t now, double cpu_s);

#endif
