/* A log-linear histogram of latencies, after HdrHistogram (G. Tene): with b bits, values below
 * 2^(b+1) are exact, and above that each power of two has 2^b buckets, so that a value is off by
 * less than 1 in 2^b whatever its size. Recording costs a few instructions; memory is fixed when it
 * is opened. Histograms of the same bits add up exactly, as if all had been recorded in one. One
 * owner, one thread. */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    HISTOGRAM_TOP_BIT = 40, /* greater values count as 2^40 - 1: 12 days of microseconds */
    HISTOGRAM_DIGITS_MAX = 4
};

struct histogram {
    unsigned bits;
    uint64_t *counts;
    uint64_t n, sum, min, max; /* exact; min and max are 0 while n is 0 */
};

/* Bits for so many (1 to HISTOGRAM_DIGITS_MAX) significant decimal digits. */
unsigned histogram_bits_of_digits(unsigned digits);
/* False: no memory. A zeroed struct may be closed. */
bool histogram_open(struct histogram *h, unsigned bits);
void histogram_close(struct histogram *h);
void histogram_reset(struct histogram *h);

size_t histogram_buckets(const struct histogram *h);
unsigned histogram_bucket_of(const struct histogram *h, uint64_t value);
/* The greatest value that falls into the bucket. */
uint64_t histogram_greatest_of(const struct histogram *h, unsigned bucket);

void histogram_record(struct histogram *h, uint64_t value);
/* `to` may not have more bits than `from`. With fewer, `from` counts as if it had been recorded
 * there: each of its buckets lies within one of `to`. */
void histogram_merge(struct histogram *to, const struct histogram *from);
/* The least recorded value, rounded up to the end of its bucket, that at least this share (0 to 1)
 * of the values does not exceed; 0 when nothing was recorded. Never above `max`. */
uint64_t histogram_quantile(const struct histogram *h, double share);
double histogram_mean(const struct histogram *h);
/* By the middle of each bucket. */
double histogram_deviation(const struct histogram *h);
/* Each bucket that holds something: "<its greatest value> <count>\n". */
void histogram_print(const struct histogram *h, FILE *out);
/* The percentile distribution as HdrHistogram's tools print and plot it (.hgrm), microseconds shown
 * as milliseconds. */
void histogram_print_hgrm(const struct histogram *h, FILE *out);

/* The points of the percentile curve, evenly spread over log(1 / (1 - share)). */
struct histogram_step {
    double share;          /* 0 to 1 */
    uint64_t value, below; /* how many values do not exceed it */
};
/* Walks from the least to share 1. Start with a zeroed step; false after the last one. */
bool histogram_next_step(const struct histogram *h, struct histogram_step *step);

#endif
