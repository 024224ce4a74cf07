#include "window.h"

#include <stdlib.h>
#include <string.h>

enum { WINDOW_CAP_STEP = 512 };

static int64_t stored_at(const struct window_chunk *c, uint32_t low)
{
    const void *data = c->data;
    switch (c->width) {
    case 1:
        return ((const int8_t *)data)[low];
    case 2:
        return ((const int16_t *)data)[low];
    case 4:
        return ((const int32_t *)data)[low];
    default:
        return ((const int64_t *)data)[low];
    }
}

static void store(struct window_chunk *c, uint32_t low, int64_t v)
{
    void *data = c->data;
    switch (c->width) {
    case 1:
        ((int8_t *)data)[low] = (int8_t)v;
        return;
    case 2:
        ((int16_t *)data)[low] = (int16_t)v;
        return;
    case 4:
        ((int32_t *)data)[low] = (int32_t)v;
        return;
    default:
        ((int64_t *)data)[low] = v;
    }
}

int64_t window_get(const struct window *w, uint32_t ordinal)
{
    const struct window_chunk *c = window_chunk_at(w, chunk_of(ordinal));
    if (!c || low_of(ordinal) >= c->cap)
        return 0;
    return stored_at(c, low_of(ordinal)) * window_unit(w, c);
}

static bool fits(int64_t v, uint8_t width)
{
    int64_t top = width == 8 ? INT64_MAX : (INT64_C(1) << (8 * width - 1)) - 1;
    return v <= top && v >= -top - 1;
}

static void chunk_close(struct mem *m, struct window_chunk *c)
{
    (void)mem_resize(m, c->data, (size_t)c->cap * c->width, 0);
    *c = (struct window_chunk){0};
}

/* The narrowest width, from `least` on, in which the value can be stored. */
static uint8_t width_for(const struct window *w, int64_t value, uint8_t least)
{
    int64_t unit = w->sum >= 0 ? METRIC_CENT : 1;
    for (uint8_t width = least; width < 8; width = (uint8_t)(width * 2))
        if (value % unit == 0 && fits(value / unit, width))
            return width;
    return 8;
}

static void chunk_widen(struct mem *m, const struct window *w, struct window_chunk *c,
                        uint8_t width)
{
    struct window_chunk to = {.cap = c->cap, .width = width};
    int64_t factor = window_unit(w, c) / window_unit(w, &to);
    to.data = mem_resize(m, NULL, 0, (size_t)c->cap * width);
    to.min = c->min * factor;
    to.max = c->max * factor;
    for (uint32_t low = 0; low < c->cap; low++)
        store(&to, low, stored_at(c, low) * factor);
    chunk_close(m, c);
    *c = to;
}

static void chunk_reach(struct mem *m, struct window_chunk *c, uint32_t low)
{
    if (low < c->cap)
        return;
    uint32_t cap = mem_grow_tight(c->cap, low + 1, WINDOW_CAP_STEP);
    c->width = c->width ? c->width : 1;
    c->data = mem_resize_zero(m, c->data, (size_t)c->cap * c->width, (size_t)cap * c->width);
    c->cap = cap;
}

static void chunk_add(struct mem *m, struct window *w, struct window_chunk *c, uint32_t low,
                      int64_t delta)
{
    chunk_reach(m, c, low);
    int64_t old = stored_at(c, low) * window_unit(w, c);
    int64_t value = (int64_t)((uint64_t)old + (uint64_t)delta);
    uint8_t width = width_for(w, value, c->width);
    if (width != c->width)
        chunk_widen(m, w, c, width);
    w->n_others += (uint64_t)(value != 0) - (uint64_t)(old != 0);
    value /= window_unit(w, c);
    store(c, low, value);
    c->min = value < c->min ? value : c->min;
    c->max = value > c->max ? value : c->max;
}

static void window_reach(struct mem *m, struct window *w, uint32_t chunk)
{
    if (chunk < w->n_chunks)
        return;
    w->chunks = mem_resize_zero(m, w->chunks, w->n_chunks * sizeof *w->chunks,
                                (chunk + 1) * sizeof *w->chunks);
    w->n_chunks = chunk + 1;
}

static void add_block(struct mem *m, struct window *w, uint32_t chunk, const struct metric_block *b,
                      bool subtract)
{
    const uint16_t *positions = metric_positions(b);
    for (uint32_t i = 0; i < b->n; i++) {
        int64_t v = w->sum < 0 ? metric_count_at(b, i) : metric_sum_at(b, (uint32_t)w->sum, i);
        if (subtract)
            v = (int64_t)(0 - (uint64_t)v);
        chunk_add(m, w, &w->chunks[chunk], positions[i], v);
    }
}

/* The days from..to come in, or go. */
static void add_days(struct mem *m, struct window *w, int64_t from, int64_t to, bool subtract)
{
    for (uint32_t chunk = 0; chunk < w->metric->n_chunks && from <= to; chunk++) {
        const struct metric_chunk *c = &w->metric->chunks[chunk];
        window_reach(m, w, chunk);
        for (uint32_t i = c->n; i-- > 0 && c->blocks[i].day >= from;)
            if (c->blocks[i].day <= to)
                add_block(m, w, chunk, &c->blocks[i], subtract);
    }
}

static void window_clear(struct mem *m, struct window *w)
{
    for (uint32_t i = 0; i < w->n_chunks; i++)
        chunk_close(m, &w->chunks[i]);
    w->n_others = 0;
    w->from = 0;
    w->to = -1;
}

static void window_close(struct mem *m, struct window *w)
{
    window_clear(m, w);
    (void)mem_resize(m, w->chunks, w->n_chunks * sizeof *w->chunks, 0);
    *w = (struct window){0};
}

/* Makes from..to the days that are in. Far moves, where more would go and come than is in, are
 * built anew, which makes columns narrow again. */
static void window_move(struct mem *m, struct window *w, int32_t from, int32_t to)
{
    bool overlaps = w->from <= w->to && from <= w->to && to >= w->from;
    if (!overlaps) {
        window_clear(m, w);
        add_days(m, w, from, to, false);
    } else {
        add_days(m, w, w->from, (int64_t)from - 1, true);
        add_days(m, w, (int64_t)to + 1, w->to, true);
        add_days(m, w, from, (int64_t)w->from - 1, false);
        add_days(m, w, (int64_t)w->to + 1, to, false);
    }
    w->from = from;
    w->to = to;
}

static void window_follow(struct mem *m, struct window *w, int32_t today, int32_t kept_from)
{
    int64_t from = (int64_t)today - w->days + 1;
    window_move(m, w, from > kept_from ? (int32_t)from : kept_from, today);
}

static bool same_window(const struct window *a, const struct window *b)
{
    return a->metric == b->metric && a->sum == b->sum && a->days == b->days;
}

static struct window *find(const struct windows *w, const struct window *wanted)
{
    for (uint32_t i = 0; i < w->n; i++)
        if (same_window(&w->items[i], wanted))
            return &w->items[i];
    return NULL;
}

void windows_set(struct mem *m, struct windows *w, const struct window *wanted, uint32_t n)
{
    struct windows to = {.today = w->today, .has_today = w->has_today};
    to.items = mem_resize_zero(m, NULL, 0, n * sizeof *to.items);
    for (uint32_t i = 0; i < n; i++) {
        if (find(&to, &wanted[i]))
            continue;
        struct window *there = find(w, &wanted[i]), *next = &to.items[to.n++];
        if (there) {
            *next = *there;
            *there = (struct window){.to = -1};
            continue;
        }
        *next = (struct window){.metric = wanted[i].metric, .sum = wanted[i].sum, .to = -1};
        next->days = wanted[i].days;
        if (to.has_today)
            window_follow(m, next, to.today, next->metric->kept_from);
    }
    windows_close(m, w);
    to.items = mem_resize(m, to.items, n * sizeof *to.items, to.n * sizeof *to.items);
    *w = to;
}

void windows_set_today(struct mem *m, struct windows *w, int32_t today)
{
    w->today = today;
    w->has_today = true;
    for (uint32_t i = 0; i < w->n; i++)
        window_follow(m, &w->items[i], today, w->items[i].metric->kept_from);
}

void windows_add(struct mem *m, struct windows *w, const struct metric *x, uint32_t ordinal,
                 int32_t day, int32_t count, const int64_t *sums)
{
    for (uint32_t i = 0; i < w->n; i++) {
        struct window *one = &w->items[i];
        if (one->metric != x || day < one->from || day > one->to)
            continue;
        window_reach(m, one, chunk_of(ordinal));
        chunk_add(m, one, &one->chunks[chunk_of(ordinal)], low_of(ordinal),
                  one->sum < 0 ? count : sums[one->sum]);
    }
}

void windows_expire(struct mem *m, struct windows *w, const struct metric *x, int32_t from)
{
    for (uint32_t i = 0; i < w->n && w->has_today; i++)
        if (w->items[i].metric == x && from > w->items[i].from)
            window_follow(m, &w->items[i], w->today, from);
}

void windows_clean_chunk(struct windows *w, uint32_t chunk, const uint64_t *gone)
{
    for (uint32_t i = 0; i < w->n; i++) {
        struct window *one = &w->items[i];
        if (!window_chunk_at(one, chunk))
            continue;
        struct window_chunk *c = &one->chunks[chunk];
        for (uint32_t low = 0; low < c->cap; low++) {
            if (!bit_get(gone, low))
                continue;
            one->n_others -= stored_at(c, low) != 0;
            store(c, low, 0);
        }
    }
}

void windows_close(struct mem *m, struct windows *w)
{
    for (uint32_t i = 0; i < w->n; i++)
        window_close(m, &w->items[i]);
    (void)mem_resize(m, w->items, w->n * sizeof *w->items, 0);
    *w = (struct windows){0};
}

const struct window *windows_find(const struct windows *w, const struct metric *x, int sum,
                                  uint32_t days, int32_t today)
{
    const struct window wanted = {.metric = x, .sum = sum, .days = days};
    return w->has_today && w->today == today ? find(w, &wanted) : NULL;
}
