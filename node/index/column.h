/* A column of numbers, one per ordinal, some of which do not exist.
 *
 * Per chunk: which exist, the least and greatest value ever put in since the last rebuild (so a
 * bound, perhaps not tight), and the values as unsigned distances from `base` in 1, 2, 4 or 8
 * bytes. A value that does not fit makes the chunk be rebuilt, wider if need be; never narrower.
 */
#ifndef INDEX_COLUMN_H
#define INDEX_COLUMN_H

#include "mem.h"

#include <stdbool.h>

struct column_chunk {
    uint8_t *data;
    uint64_t *exists; /* NULL: none does */
    uint64_t base;    /* value = base + stored, modulo 2^64 */
    int64_t min, max;
    uint32_t n;   /* that exist */
    uint32_t cap; /* values that `data` has room for, a multiple of 64; the rest do not exist */
    uint8_t width;
};

struct column {
    struct column_chunk *chunks;
    uint32_t n_chunks;
    uint64_t n;
};

void column_put(struct mem *m, struct column *c, uint32_t ordinal, int64_t value);
bool column_drop(struct mem *m, struct column *c, uint32_t ordinal);
bool column_get(const struct column *c, uint32_t ordinal, int64_t *out);
/* Takes out the positions of one chunk that `gone` has. */
void column_drop_chunk(struct mem *m, struct column *c, uint32_t chunk, const uint64_t *gone);
void column_close(struct mem *m, struct column *c);
/* NULL where nothing exists in the chunk. */
const struct column_chunk *column_chunk_at(const struct column *c, uint32_t chunk);
/* Room for the chunk, empty if new (loading). */
struct column_chunk *column_reach(struct mem *m, struct column *c, uint32_t chunk);

static inline uint64_t column_raw(const struct column_chunk *c, uint32_t low)
{
    switch (c->width) {
    case 1:
        return c->data[low];
    case 2:
        return ((const uint16_t *)(const void *)c->data)[low];
    case 4:
        return ((const uint32_t *)(const void *)c->data)[low];
    default:
        return ((const uint64_t *)(const void *)c->data)[low];
    }
}
static inline bool column_chunk_has(const struct column_chunk *c, uint32_t low)
{
    return c && bit_get(c->exists, low);
}
/* The position must exist. */
static inline int64_t column_chunk_value(const struct column_chunk *c, uint32_t low)
{
    return (int64_t)(c->base + column_raw(c, low));
}

#endif
