/* A log-linear histogram of latencies, after HdrHistogram (G. Tene): exact below 256, above that
 * 128 buckets for each power of two, so that a value is off by less than 1 in 128 (0.8 %), whatever
 * its size. Recording costs a few instructions; memory is fixed. One owner, one thread. */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

enum {
    HISTOGRAM_SUB_BITS = 7, /* 2^7 buckets for each power of two */
    HISTOGRAM_TOP_BIT = 40, /* greater values count as 2^40 - 1: 12 days of microseconds */
    HISTOGRAM_BUCKETS = (HISTOGRAM_TOP_BIT - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS
};

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t n, sum, min, max; /* exact; min and max are 0 while n is 0 */
};

/* All zero is an empty one. */
void histogram_reset(struct histogram *h);
void histogram_record(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *to, const struct histogram *from);
/* The least recorded value, rounded up to the end of its bucket, that at least this share (0 to 1)
 * of the values does not exceed; 0 when nothing was recorded. Never above `max`. */
uint64_t histogram_quantile(const struct histogram *h, double share);
double histogram_mean(const struct histogram *h);
/* Each bucket that holds something: "<its greatest value> <count>\n". */
void histogram_print(const struct histogram *h, FILE *out);

#endif
