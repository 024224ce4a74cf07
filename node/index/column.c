#include "column.h"

#include <string.h>

enum { COLUMN_CAP_STEP = 512 };

static uint64_t width_max(uint8_t width)
{
    return width == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * width)) - 1;
}

static void raw_put(uint8_t *data, uint8_t width, uint32_t low, uint64_t raw)
{
    switch (width) {
    case 1:
        data[low] = (uint8_t)raw;
        return;
    case 2:
        ((uint16_t *)(void *)data)[low] = (uint16_t)raw;
        return;
    case 4:
        ((uint32_t *)(void *)data)[low] = (uint32_t)raw;
        return;
    default:
        ((uint64_t *)(void *)data)[low] = raw;
    }
}

static void chunk_close(struct mem *m, struct column_chunk *c)
{
    (void)mem_resize(m, c->data, (size_t)c->cap * c->width, 0);
    mem_bitmap_free(m, c->exists);
    *c = (struct column_chunk){0};
}

/* The narrowest width for min..max, at least `least`, and a base that leaves room on both sides;
 * 0 where that serves, since most columns count up from there. */
static uint8_t choose_frame(int64_t min, int64_t max, uint8_t least, uint64_t *base)
{
    uint64_t range = (uint64_t)max - (uint64_t)min;
    uint8_t width = least;
    while (range > width_max(width))
        width = (uint8_t)(width * 2);
    if (width == 8) {
        *base = (uint64_t)INT64_MIN;
        return width;
    }
    if (min >= 0 && (uint64_t)max <= width_max(width)) {
        *base = 0;
        return width;
    }
    uint64_t below = (width_max(width) - range) / 2;
    uint64_t space = (uint64_t)min - (uint64_t)INT64_MIN;
    uint64_t above = (uint64_t)INT64_MAX - (uint64_t)max;
    if (below > space)
        below = space;
    /* The top of the frame must stay within int64 as well. */
    if (width_max(width) - range - below > above)
        below = width_max(width) - range - above;
    *base = (uint64_t)min - below;
    return width;
}

static void chunk_bounds(const struct column_chunk *c, int64_t *min, int64_t *max)
{
    for (uint32_t w = 0; w < c->cap / 64; w++) {
        for (uint64_t bits = c->exists[w]; bits; bits &= bits - 1) {
            int64_t v = column_chunk_value(c, w * 64 + (uint32_t)__builtin_ctzll(bits));
            *min = v < *min ? v : *min;
            *max = v > *max ? v : *max;
        }
    }
}

/* Makes `value` representable. */
static void chunk_reframe(struct mem *m, struct column_chunk *c, int64_t value)
{
    int64_t min = value, max = value;
    chunk_bounds(c, &min, &max);
    uint64_t base = 0;
    uint8_t width = choose_frame(min, max, c->width, &base);
    uint8_t *data = mem_resize_zero(m, NULL, 0, (size_t)c->cap * width);
    for (uint32_t w = 0; w < c->cap / 64; w++) {
        for (uint64_t bits = c->exists[w]; bits; bits &= bits - 1) {
            uint32_t low = w * 64 + (uint32_t)__builtin_ctzll(bits);
            raw_put(data, width, low, c->base + column_raw(c, low) - base);
        }
    }
    (void)mem_resize(m, c->data, (size_t)c->cap * c->width, 0);
    c->data = data;
    c->width = width;
    c->base = base;
    c->min = min;
    c->max = max;
}

static void chunk_start(struct mem *m, struct column_chunk *c, int64_t value)
{
    c->exists = mem_bitmap_new(m);
    c->width = choose_frame(value, value, 1, &c->base);
    c->min = c->max = value;
}

static void chunk_extend(struct mem *m, struct column_chunk *c, uint32_t low)
{
    uint32_t cap = mem_grow_tight(c->cap, low + 1, COLUMN_CAP_STEP);
    c->data = mem_resize_zero(m, c->data, (size_t)c->cap * c->width, (size_t)cap * c->width);
    c->cap = cap;
}

struct column_chunk *column_reach(struct mem *m, struct column *c, uint32_t chunk)
{
    if (chunk >= c->n_chunks) {
        uint32_t n = chunk + 1;
        c->chunks =
            mem_resize_zero(m, c->chunks, c->n_chunks * sizeof *c->chunks, n * sizeof *c->chunks);
        c->n_chunks = n;
    }
    return &c->chunks[chunk];
}

void column_put(struct mem *m, struct column *c, uint32_t ordinal, int64_t value)
{
    uint32_t low = low_of(ordinal);
    struct column_chunk *chunk = column_reach(m, c, chunk_of(ordinal));
    if (!chunk->exists)
        chunk_start(m, chunk, value);
    if (low >= chunk->cap)
        chunk_extend(m, chunk, low);
    uint64_t raw = (uint64_t)value - chunk->base;
    if (raw > width_max(chunk->width)) {
        chunk_reframe(m, chunk, value);
        raw = (uint64_t)value - chunk->base;
    }
    raw_put(chunk->data, chunk->width, low, raw);
    chunk->min = value < chunk->min ? value : chunk->min;
    chunk->max = value > chunk->max ? value : chunk->max;
    if (!bit_get(chunk->exists, low)) {
        bit_set(chunk->exists, low);
        chunk->n++;
        c->n++;
    }
}

bool column_drop(struct mem *m, struct column *c, uint32_t ordinal)
{
    if (chunk_of(ordinal) >= c->n_chunks)
        return false;
    struct column_chunk *chunk = &c->chunks[chunk_of(ordinal)];
    uint32_t low = low_of(ordinal);
    if (!chunk->exists || !bit_get(chunk->exists, low))
        return false;
    bit_clear(chunk->exists, low);
    c->n--;
    if (--chunk->n == 0)
        chunk_close(m, chunk);
    return true;
}

bool column_get(const struct column *c, uint32_t ordinal, int64_t *out)
{
    const struct column_chunk *chunk = column_chunk_at(c, chunk_of(ordinal));
    if (!column_chunk_has(chunk, low_of(ordinal)))
        return false;
    *out = column_chunk_value(chunk, low_of(ordinal));
    return true;
}

void column_drop_chunk(struct mem *m, struct column *c, uint32_t chunk, const uint64_t *gone)
{
    if (!column_chunk_at(c, chunk))
        return;
    struct column_chunk *cc = &c->chunks[chunk];
    uint32_t n = 0;
    for (uint32_t w = 0; w < CHUNK_WORDS; w++) {
        cc->exists[w] &= ~gone[w];
        n += (uint32_t)__builtin_popcountll(cc->exists[w]);
    }
    c->n -= cc->n - n;
    cc->n = n;
    if (n == 0)
        chunk_close(m, cc);
}

void column_close(struct mem *m, struct column *c)
{
    for (uint32_t i = 0; i < c->n_chunks; i++)
        chunk_close(m, &c->chunks[i]);
    (void)mem_resize(m, c->chunks, c->n_chunks * sizeof *c->chunks, 0);
    *c = (struct column){0};
}

const struct column_chunk *column_chunk_at(const struct column *c, uint32_t chunk)
{
    if (chunk >= c->n_chunks || !c->chunks[chunk].exists)
        return NULL;
    return &c->chunks[chunk];
}
