#include "metric.h"

#include <base/hash.h>

#include <stdlib.h>
#include <string.h>

enum { METRIC_MERGE_MIN = 256 };

void metric_init(struct metric *x, const struct schema_event *event)
{
    *x = (struct metric){.event = event, .kept_from = INT32_MIN};
    for (size_t i = 0; i < EVENT_FIELDS_MAX; i++)
        x->enum_of[i] = x->sum_of[i] = -1;
    for (size_t i = 0; i < event->n_fields; i++) {
        if (event->fields[i].type == FIELD_ENUM)
            x->enum_of[i] = (int8_t)x->n_enums++;
        else if (event->fields[i].summed)
            x->sum_of[i] = (int8_t)x->n_sums++;
    }
}

const uint8_t *metric_sum_column(const struct metric_block *b, uint32_t i)
{
    const uint8_t *p = metric_count_column(b) + (size_t)b->cap * b->count_width;
    for (uint32_t k = 0; k < i; k++)
        p += (size_t)b->cap * metric_sum_width(b, k);
    return p;
}

size_t metric_block_bytes(const struct metric_block *b, uint32_t cap)
{
    size_t row = 2u + b->combo_width + b->count_width;
    for (uint32_t i = 0; i < b->n_sums; i++)
        row += metric_sum_width(b, i);
    return row * cap;
}

int64_t metric_sum_at(const struct metric_block *b, uint32_t column, uint32_t i)
{
    const void *p = metric_sum_column(b, column);
    if (metric_sum_width(b, column) == 8)
        return ((const int64_t *)p)[i];
    return (int64_t)((const int32_t *)p)[i] * METRIC_CENT;
}

void metric_block_row(const struct metric_block *b, uint32_t i, struct metric_row *out)
{
    out->low = metric_positions(b)[i];
    out->combo = metric_combo_at(b, i);
    out->count = metric_count_at(b, i);
    for (uint32_t k = 0; k < b->n_sums; k++)
        out->sums[k] = metric_sum_at(b, k, i);
}

/* Writes a row that fits the block's widths. */
static void block_store(struct metric_block *b, uint32_t i, const struct metric_row *row)
{
    size_t at = (size_t)i;
    ((uint16_t *)(void *)b->data)[at] = row->low;
    uint8_t *p = b->data + (size_t)b->cap * 2;
    if (b->combo_width == 1)
        p[at] = (uint8_t)row->combo;
    else if (b->combo_width == 2)
        ((uint16_t *)(void *)p)[at] = (uint16_t)row->combo;
    else if (b->combo_width == 4)
        ((uint32_t *)(void *)p)[at] = row->combo;
    p += (size_t)b->cap * b->combo_width;
    if (b->count_width == 1)
        p[at] = (uint8_t)(int8_t)row->count;
    else
        ((int32_t *)(void *)p)[at] = row->count;
    p += (size_t)b->cap * b->count_width;
    for (uint32_t k = 0; k < b->n_sums; k++) {
        if (metric_sum_width(b, k) == 8)
            ((int64_t *)(void *)p)[at] = row->sums[k];
        else
            ((int32_t *)(void *)p)[at] = (int32_t)(row->sums[k] / METRIC_CENT);
        p += (size_t)b->cap * metric_sum_width(b, k);
    }
}

/* The widths that hold what `b` holds and the row as well. */
static struct metric_block widths_for(const struct metric_block *b, const struct metric_row *row)
{
    struct metric_block w = *b;
    uint8_t combo = row->combo == 0            ? 0
                    : row->combo <= UINT8_MAX  ? 1
                    : row->combo <= UINT16_MAX ? 2
                                               : 4;
    if (combo > w.combo_width)
        w.combo_width = combo;
    if (row->count < INT8_MIN || row->count > INT8_MAX)
        w.count_width = 4;
    for (uint32_t k = 0; k < b->n_sums; k++) {
        int64_t cents = row->sums[k] / METRIC_CENT;
        if (row->sums[k] % METRIC_CENT != 0 || cents < INT32_MIN || cents > INT32_MAX)
            w.wide_sums |= (uint8_t)(1u << k);
    }
    return w;
}

static bool same_widths(const struct metric_block *a, const struct metric_block *b)
{
    return a->combo_width == b->combo_width && a->count_width == b->count_width &&
           a->wide_sums == b->wide_sums;
}

/* Moves the rows into new widths and room. */
static void block_rebuild(struct mem *m, struct metric_block *b, struct metric_block widths,
                          uint32_t cap)
{
    struct metric_block to = widths;
    to.cap = cap;
    to.data = mem_resize(m, NULL, 0, metric_block_bytes(&to, cap));
    struct metric_row row = {0};
    for (uint32_t i = 0; i < b->n; i++) {
        metric_block_row(b, i, &row);
        block_store(&to, i, &row);
    }
    (void)mem_resize(m, b->data, metric_block_bytes(b, b->cap), 0);
    *b = to;
}

struct sort_key {
    uint64_t key;
    uint32_t row;
};

static int compare_keys(const void *a, const void *b)
{
    const struct sort_key *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* Adds `from` to `into` where both numbers stay in range; sums wrap like the query's. */
static bool row_join(struct metric_row *into, const struct metric_row *from, uint32_t n_sums)
{
    int64_t count = (int64_t)into->count + from->count;
    if (count < INT32_MIN || count > INT32_MAX)
        return false;
    into->count = (int32_t)count;
    for (uint32_t k = 0; k < n_sums; k++)
        into->sums[k] = (int64_t)((uint64_t)into->sums[k] + (uint64_t)from->sums[k]);
    return true;
}

static bool row_is_zero(const struct metric_row *row, uint32_t n_sums)
{
    bool zero = row->count == 0;
    for (uint32_t k = 0; k < n_sums; k++)
        zero = zero && row->sums[k] == 0;
    return zero;
}

/* Joins the rows of one member and combination. Order does not matter to any query. */
static void block_merge(struct mem *m, struct metric_block *b)
{
    struct sort_key *keys = mem_resize(m, NULL, 0, b->n * sizeof *keys);
    for (uint32_t i = 0; i < b->n; i++)
        keys[i] =
            (struct sort_key){(uint64_t)metric_positions(b)[i] << 32 | metric_combo_at(b, i), i};
    qsort(keys, b->n, sizeof *keys, compare_keys);
    struct metric_block to = {.day = b->day, .n_sums = b->n_sums, .count_width = 1};
    struct metric_row row = {0}, next = {0};
    for (uint32_t i = 0; i < b->n; i++) {
        metric_block_row(b, keys[i].row, &next);
        bool same = i > 0 && keys[i].key == keys[i - 1].key;
        if (same && row_join(&row, &next, b->n_sums))
            continue;
        if (i > 0 && !row_is_zero(&row, b->n_sums))
            metric_block_push(m, &to, &row);
        row = next;
    }
    if (!row_is_zero(&row, b->n_sums))
        metric_block_push(m, &to, &row);
    (void)mem_resize(m, keys, b->n * sizeof *keys, 0);
    (void)mem_resize(m, b->data, metric_block_bytes(b, b->cap), 0);
    *b = to;
    b->merged = b->n;
}

void metric_block_push(struct mem *m, struct metric_block *b, const struct metric_row *row)
{
    struct metric_block widths = widths_for(b, row);
    if (b->n == b->cap || !same_widths(b, &widths))
        block_rebuild(m, b, widths, b->n == b->cap ? mem_grow_cap(b->cap, b->n + 1) : b->cap);
    block_store(b, b->n++, row);
}

static void block_append(struct mem *m, struct metric_block *b, const struct metric_row *row)
{
    if (b->n == b->cap && b->n >= METRIC_MERGE_MIN && b->n / 2 >= b->merged)
        block_merge(m, b);
    metric_block_push(m, b, row);
}

static uint32_t block_place(const struct metric_chunk *c, int32_t day)
{
    uint32_t i = c->n;
    while (i > 0 && c->blocks[i - 1].day >= day)
        i--;
    return i;
}

struct metric_block *metric_block_at(struct mem *m, struct metric *x, uint32_t chunk, int32_t day)
{
    if (chunk >= x->n_chunks) {
        x->chunks = mem_resize_zero(m, x->chunks, x->n_chunks * sizeof *x->chunks,
                                    (chunk + 1) * sizeof *x->chunks);
        x->n_chunks = chunk + 1;
    }
    struct metric_chunk *c = &x->chunks[chunk];
    uint32_t i = block_place(c, day);
    if (i < c->n && c->blocks[i].day == day)
        return &c->blocks[i];
    if (c->n == c->cap) {
        uint32_t cap = mem_grow_cap(c->cap, c->n + 1);
        c->blocks = mem_resize(m, c->blocks, c->cap * sizeof *c->blocks, cap * sizeof *c->blocks);
        c->cap = cap;
    }
    memmove(c->blocks + i + 1, c->blocks + i, (c->n - i) * sizeof *c->blocks);
    c->blocks[i] = (struct metric_block){.day = day, .count_width = 1, .n_sums = x->n_sums};
    c->n++;
    return &c->blocks[i];
}

void metric_add(struct mem *m, struct metric *x, uint32_t ordinal, int32_t day, uint32_t combo,
                int32_t count, const int64_t *sums)
{
    if (day < x->kept_from)
        return;
    struct metric_row row = {.low = (uint16_t)low_of(ordinal), .combo = combo, .count = count};
    memcpy(row.sums, sums, x->n_sums * sizeof *sums);
    if (row_is_zero(&row, x->n_sums))
        return;
    block_append(m, metric_block_at(m, x, chunk_of(ordinal), day), &row);
}

static void block_close(struct mem *m, struct metric_block *b)
{
    (void)mem_resize(m, b->data, metric_block_bytes(b, b->cap), 0);
    b->data = NULL;
}

static void chunk_drop_blocks(struct mem *m, struct metric_chunk *c, uint32_t n)
{
    if (n == 0)
        return;
    for (uint32_t i = 0; i < n; i++)
        block_close(m, &c->blocks[i]);
    c->n -= n;
    memmove(c->blocks, c->blocks + n, c->n * sizeof *c->blocks);
}

void metric_expire(struct mem *m, struct metric *x, int32_t from)
{
    if (from <= x->kept_from)
        return;
    x->kept_from = from;
    for (uint32_t i = 0; i < x->n_chunks; i++)
        if (x->chunks[i].n > 0 && x->chunks[i].blocks[0].day < from)
            chunk_drop_blocks(m, &x->chunks[i], block_place(&x->chunks[i], from));
}

static void block_filter(struct mem *m, struct metric_block *b, const uint64_t *gone)
{
    struct metric_row row = {0};
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        if (bit_get(gone, metric_positions(b)[i]))
            continue;
        if (n != i) {
            metric_block_row(b, i, &row);
            block_store(b, n, &row);
        }
        n++;
    }
    b->n = n;
    b->merged = b->merged < n ? b->merged : n;
    uint32_t cap = mem_grow_cap(0, n);
    if (n > 0 && cap < b->cap / 2)
        block_rebuild(m, b, *b, cap);
}

void metric_drop_chunk(struct mem *m, struct metric *x, uint32_t chunk, const uint64_t *gone)
{
    if (chunk >= x->n_chunks)
        return;
    struct metric_chunk *c = &x->chunks[chunk];
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        block_filter(m, &c->blocks[i], gone);
        if (c->blocks[i].n == 0)
            block_close(m, &c->blocks[i]);
        else
            c->blocks[n++] = c->blocks[i];
    }
    c->n = n;
}

static uint64_t tuple_hash(const struct metric *x, const uint32_t *tuple)
{
    return hash64(bytes_of(tuple, x->n_enums * sizeof *tuple));
}

static uint32_t combo_slot(const struct metric *x, const uint32_t *tuple)
{
    const struct metric_combos *c = &x->combos;
    uint32_t i = (uint32_t)tuple_hash(x, tuple) & (c->n_slots - 1);
    while (c->slots[i] && memcmp(c->tuples + (size_t)(c->slots[i] - 1) * x->n_enums, tuple,
                                 x->n_enums * sizeof *tuple) != 0)
        i = (i + 1) & (c->n_slots - 1);
    return i;
}

static void combos_grow(struct mem *m, struct metric *x)
{
    struct metric_combos *c = &x->combos;
    size_t size = x->n_enums * sizeof *c->tuples;
    if (c->n == c->cap) {
        uint32_t cap = mem_grow_cap(c->cap, c->n + 1);
        c->tuples = mem_resize(m, c->tuples, c->cap * size, cap * size);
        c->cap = cap;
    }
    if ((uint64_t)(c->n + 1) * 4 <= (uint64_t)c->n_slots * 3)
        return;
    uint32_t n_slots = c->n_slots ? c->n_slots * 2 : 8;
    (void)mem_resize(m, c->slots, c->n_slots * sizeof *c->slots, 0);
    c->slots = mem_resize_zero(m, NULL, 0, n_slots * sizeof *c->slots);
    c->n_slots = n_slots;
    for (uint32_t i = 0; i < c->n; i++)
        c->slots[combo_slot(x, c->tuples + (size_t)i * x->n_enums)] = i + 1;
}

uint32_t metric_combo_of(struct mem *m, struct metric *x, const uint32_t *tuple)
{
    if (x->n_enums == 0)
        return 0;
    struct metric_combos *c = &x->combos;
    combos_grow(m, x);
    uint32_t slot = combo_slot(x, tuple);
    if (c->slots[slot] == 0) {
        memcpy(c->tuples + (size_t)c->n * x->n_enums, tuple, x->n_enums * sizeof *tuple);
        c->slots[slot] = ++c->n;
    }
    return c->slots[slot] - 1;
}

void metric_close(struct mem *m, struct metric *x)
{
    for (uint32_t i = 0; i < x->n_chunks; i++) {
        struct metric_chunk *c = &x->chunks[i];
        chunk_drop_blocks(m, c, c->n);
        (void)mem_resize(m, c->blocks, c->cap * sizeof *c->blocks, 0);
    }
    (void)mem_resize(m, x->chunks, x->n_chunks * sizeof *x->chunks, 0);
    for (uint32_t i = 0; i < x->n_enums; i++)
        dict_close(m, &x->values[i]);
    (void)mem_resize(m, x->combos.tuples, (size_t)x->combos.cap * x->n_enums * sizeof(uint32_t), 0);
    (void)mem_resize(m, x->combos.slots, x->combos.n_slots * sizeof(uint32_t), 0);
    *x = (struct metric){0};
}
