/* Figures of a process for Prometheus: counters and latencies that any thread may read while others
 * write, without locks, and the text that they are shown in.
 *
 * Each figure is one relaxed atomic: what is read together need not be of one moment. No personal
 * data goes into a label or a name.
 */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include <base/bytes.h>
#include <base/clock.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint64_t metric;

static inline uint64_t metric_read(const metric *m)
{
    return atomic_load_explicit(m, memory_order_relaxed);
}
static inline void metric_set(metric *m, uint64_t v)
{
    atomic_store_explicit(m, v, memory_order_relaxed);
}
/* By several threads. */
static inline void metric_add(metric *m, uint64_t n)
{
    atomic_fetch_add_explicit(m, n, memory_order_relaxed);
}
/* By the one thread that writes this one: no locked instruction. */
static inline void metric_bump(metric *m, uint64_t n)
{
    metric_set(m, metric_read(m) + n);
}

/* How long something takes, in buckets from 0.1 ms to 10 s. Zero it to start. */
enum { LATENCY_BUCKETS = 17 };
struct latency {
    metric buckets[LATENCY_BUCKETS]; /* not cumulative; the last one has no bound */
    metric sum_us;
};
/* Any number of threads. */
void latency_add(struct latency *l, usec_t us);

/* --- the text (Prometheus exposition format 0.0.4) --- */

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* A figure, and all that is shown of it follows before the next one. `help` is one line. */
void metrics_family(struct buf *out, const char *name, enum metric_kind kind, const char *help);
/* `labels`: `shard="1",peer="2"`, or "". */
void metrics_value(struct buf *out, const char *name, const char *labels, uint64_t v);
void metrics_real(struct buf *out, const char *name, const char *labels, double v);
/* Seconds, as it is told in Prometheus. */
void metrics_latency(struct buf *out, const char *name, const char *labels,
                     const struct latency *l);

#endif
