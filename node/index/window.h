/* Rolling windows: what a metric came to over the last days, kept per member as changes come.
 *
 * A window holds the days today - days + 1 .. today of one metric (as far as they are kept). Per
 * chunk a dense column of signed numbers in 1, 2, 4 or 8 bytes, made wider when a value does not
 * fit and never narrower until it is built anew; sums are hundredths where they have less than 8
 * bytes, else millionths. Everything is exact: sums wrap as those that a query adds up. Derived
 * from the metrics, hence not saved.
 */
#ifndef INDEX_WINDOW_H
#define INDEX_WINDOW_H

#include "metric.h"

struct window_chunk {
    uint8_t *data; /* NULL: all are 0 */
    uint32_t cap;  /* values that `data` has room for, a multiple of 64; the rest are 0 */
    uint8_t width;
    int64_t min, max; /* bounds of the stored numbers, 0 among them, perhaps not tight */
};

struct window {
    const struct metric *metric;
    int sum; /* the sum column, -1: the count */
    uint32_t days;
    int32_t from, to; /* the days that are in; none where from > to */
    struct window_chunk *chunks;
    uint32_t n_chunks;
    uint64_t n_others; /* positions that are not 0; those of members that are gone may count */
};

struct windows {
    struct window *items;
    uint32_t n;
    int32_t today; /* meaningful where has_today */
    bool has_today;
};

/* Those that are wanted and there stay as they are, others go or are built. `wanted` has metric,
 * sum and days. */
void windows_set(struct mem *m, struct windows *w, const struct window *wanted, uint32_t n);
void windows_set_today(struct mem *m, struct windows *w, int32_t today);
/* A row came to a metric. */
void windows_add(struct mem *m, struct windows *w, const struct metric *x, uint32_t ordinal,
                 int32_t day, int32_t count, const int64_t *sums);
/* Days of the metric before `from` are about to be dropped. */
void windows_expire(struct mem *m, struct windows *w, const struct metric *x, int32_t from);
/* Positions of one chunk are used no more. */
void windows_clean_chunk(struct windows *w, uint32_t chunk, const uint64_t *gone);
void windows_close(struct mem *m, struct windows *w);

/* The window that answers the question; NULL: there is none. */
const struct window *windows_find(const struct windows *w, const struct metric *x, int sum,
                                  uint32_t days, int32_t today);

/* One stored number is so much of what queries compare with. */
static inline int64_t window_unit(const struct window *w, const struct window_chunk *c)
{
    return w->sum >= 0 && c->width < 8 ? METRIC_CENT : 1;
}
static inline const struct window_chunk *window_chunk_at(const struct window *w, uint32_t chunk)
{
    return chunk < w->n_chunks && w->chunks[chunk].data ? &w->chunks[chunk] : NULL;
}
int64_t window_get(const struct window *w, uint32_t ordinal);

#endif
