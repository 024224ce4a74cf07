/* What was counted of one event: per chunk and day one block of append-only columns, one row per
 * addition: position, combination of the enum fields' values, count, and a sum per summed field.
 * A correction is a row with negative numbers. Rows of one member and combination are merged when
 * a block grows.
 */
#ifndef INDEX_METRIC_H
#define INDEX_METRIC_H

#include "dict.h"
#include "mem.h"

#include <cluster/schema.h>

enum { METRIC_CENT = 10000 }; /* a sum column of 4 bytes counts hundredths */

struct metric_block {
    uint8_t *data; /* positions u16 | combinations | counts | sums, each `cap` long */
    int32_t day;
    uint32_t n, cap;     /* `cap` is a multiple of 8 */
    uint32_t merged;     /* rows that the last merge left */
    uint8_t combo_width; /* 0 (all are 0), 1, 2 or 4 */
    uint8_t count_width; /* 1 or 4, signed */
    uint8_t wide_sums;   /* bit i: sum column i has 8 bytes of millionths, else 4 of hundredths */
    uint8_t n_sums;
};

struct metric_chunk {
    struct metric_block *blocks; /* by rising day */
    uint32_t n, cap;
};

/* Combinations of values of the enum fields: tuples of value number + 1, 0 where absent. */
struct metric_combos {
    uint32_t *tuples; /* n * n_enums */
    uint32_t n, cap;
    uint32_t *slots; /* combination + 1; 0: empty */
    uint32_t n_slots;
};

struct metric {
    const struct schema_event *event;
    uint8_t n_enums, n_sums;
    int8_t enum_of[EVENT_FIELDS_MAX];     /* per field: its place in a tuple, -1 for none */
    int8_t sum_of[EVENT_FIELDS_MAX];      /* per field: its sum column, -1 for none */
    struct dict values[EVENT_FIELDS_MAX]; /* per enum field, by its place; sets unused */
    struct metric_combos combos;
    int32_t kept_from; /* days before it were dropped and are ignored */
    struct metric_chunk *chunks;
    uint32_t n_chunks;
};

struct metric_row {
    uint16_t low;
    uint32_t combo;
    int32_t count;
    int64_t sums[EVENT_FIELDS_MAX];
};

void metric_init(struct metric *x, const struct schema_event *event);
void metric_close(struct mem *m, struct metric *x);
/* The number of a combination, made if new; 0 where the event has no enum field. */
uint32_t metric_combo_of(struct mem *m, struct metric *x, const uint32_t *tuple);
void metric_add(struct mem *m, struct metric *x, uint32_t ordinal, int32_t day, uint32_t combo,
                int32_t count, const int64_t *sums);
/* Drops the days before `from`. */
void metric_expire(struct mem *m, struct metric *x, int32_t from);
/* Drops the rows of positions that `gone` has. */
void metric_drop_chunk(struct mem *m, struct metric *x, uint32_t chunk, const uint64_t *gone);

/* A day's block, made if new, and its rows one by one. */
struct metric_block *metric_block_at(struct mem *m, struct metric *x, uint32_t chunk, int32_t day);
void metric_block_push(struct mem *m, struct metric_block *b, const struct metric_row *row);
void metric_block_row(const struct metric_block *b, uint32_t i, struct metric_row *out);
size_t metric_block_bytes(const struct metric_block *b, uint32_t cap);

static inline const uint16_t *metric_positions(const struct metric_block *b)
{
    return (const uint16_t *)(const void *)b->data;
}
static inline const uint8_t *metric_combo_column(const struct metric_block *b)
{
    return b->data + (size_t)b->cap * 2;
}
static inline const uint8_t *metric_count_column(const struct metric_block *b)
{
    return metric_combo_column(b) + (size_t)b->cap * b->combo_width;
}
static inline uint32_t metric_sum_width(const struct metric_block *b, uint32_t i)
{
    return b->wide_sums >> i & 1 ? 8 : 4;
}
const uint8_t *metric_sum_column(const struct metric_block *b, uint32_t i);
/* In millionths. */
int64_t metric_sum_at(const struct metric_block *b, uint32_t column, uint32_t i);

static inline uint32_t metric_combo_at(const struct metric_block *b, uint32_t i)
{
    const uint8_t *p = metric_combo_column(b);
    switch (b->combo_width) {
    case 0:
        return 0;
    case 1:
        return p[i];
    case 2:
        return ((const uint16_t *)(const void *)p)[i];
    default:
        return ((const uint32_t *)(const void *)p)[i];
    }
}
static inline int32_t metric_count_at(const struct metric_block *b, uint32_t i)
{
    const uint8_t *p = metric_count_column(b);
    return b->count_width == 1 ? (int8_t)p[i] : ((const int32_t *)(const void *)p)[i];
}

#endif
