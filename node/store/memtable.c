#include "memtable.h"

#include <base/pages.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_BYTES = PAGES_UNIT,
    UNIT_BYTES = 16,
    UNIT_BITS = 17, /* of a place: 131072 units of 16 bytes are a chunk */
    CHUNKS_MAX = 1 << 15,
    ALONE_BYTES = CHUNK_BYTES / 8, /* a larger record gets a chunk of its own */
    SLOTS_MIN = 1 << 10
};

_Static_assert(CHUNK_BYTES == UNIT_BYTES << UNIT_BITS, "a place names every unit of a chunk");

/* Chunks are numbered from 1, so no record has this place, and a fresh table is all zeros: the
 * system gives it out page by page, at the first use, instead of at once. */
enum { PLACE_NONE = 0 };

struct record {
    uint32_t value_len, value_cap;
    uint16_t key_len;
    uint8_t deleted;
    uint8_t replaced; /* no slot leads here any more */
    uint8_t data[];   /* key, value */
};

enum { RECORD_HEADER = offsetof(struct record, data) };

static void *must(void *p, size_t size)
{
    if (!p) {
        (void)fprintf(stderr, "oneid: out of memory growing a memtable by %zu bytes\n", size);
        abort();
    }
    return p;
}

void chunk_pool_close(struct chunk_pool *p)
{
    for (size_t i = 0; i < p->n; i++)
        pages_free(p->chunks[i], CHUNK_BYTES);
    free(p->chunks);
    *p = (struct chunk_pool){0};
}

static void pool_give(struct chunk_pool *p, uint8_t *chunk)
{
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 64;
        uint8_t **chunks = realloc(p->chunks, cap * sizeof *chunks);
        if (!chunks) {
            pages_free(chunk, CHUNK_BYTES);
            return;
        }
        p->chunks = chunks;
        p->cap = cap;
    }
    p->chunks[p->n++] = chunk;
}

static struct memtable_slot *slots_new(uint64_t n)
{
    size_t size = n * sizeof(struct memtable_slot);
    return must(size < PAGES_UNIT ? calloc(1, size) : pages_alloc(size, true), size);
}

static void slots_free(struct memtable_slot *slots, uint64_t mask)
{
    size_t size = (mask + 1) * sizeof *slots;
    if (size < PAGES_UNIT)
        free(slots);
    else
        pages_free(slots, size);
}

static bool is_crowded(uint64_t count, uint64_t slots)
{
    return count > slots / 3 * 2;
}

void memtable_init(struct memtable *m, uint64_t expected, struct chunk_pool *pool)
{
    uint64_t n = SLOTS_MIN;
    while (is_crowded(expected, n))
        n *= 2;
    *m = (struct memtable){.mask = n - 1, .pool = pool};
    m->slots = slots_new(n);
}

void memtable_close(struct memtable *m)
{
    for (uint32_t i = 1; i < m->n_chunks; i++) {
        if (m->chunks[i].alone)
            free(m->chunks[i].data);
        else if (m->pool)
            pool_give(m->pool, m->chunks[i].data);
        else
            pages_free(m->chunks[i].data, CHUNK_BYTES);
    }
    free(m->chunks);
    if (m->slots)
        slots_free(m->slots, m->mask);
    *m = (struct memtable){0};
}

static struct record *record_at(const struct memtable *m, uint32_t place)
{
    uint8_t *chunk = m->chunks[place >> UNIT_BITS].data;
    return (void *)(chunk + (size_t)(place & ((1U << UNIT_BITS) - 1)) * UNIT_BYTES);
}

static struct bytes key_of(const struct record *r)
{
    return bytes_of(r->data, r->key_len);
}

static struct bytes value_of(const struct record *r)
{
    return bytes_of(r->data + r->key_len, r->value_len);
}

/* The key's slot, or the empty one where it would go. */
static struct memtable_slot *find(const struct memtable *m, uint64_t hash, struct bytes key)
{
    uint32_t h = (uint32_t)hash;
    for (uint64_t i = h & m->mask;; i = (i + 1) & m->mask) {
        struct memtable_slot *s = &m->slots[i];
        if (s->place == PLACE_NONE)
            return s;
        if (s->hash == h && bytes_equal(key_of(record_at(m, s->place)), key))
            return s;
    }
}

static void grow(struct memtable *m)
{
    uint64_t old = m->mask + 1, mask = 2 * old - 1;
    struct memtable_slot *slots = slots_new(2 * old);
    for (uint64_t i = 0; i < old; i++) {
        if (m->slots[i].place == PLACE_NONE)
            continue;
        uint64_t j = m->slots[i].hash & mask;
        while (slots[j].place != PLACE_NONE)
            j = (j + 1) & mask;
        slots[j] = m->slots[i];
    }
    slots_free(m->slots, m->mask);
    m->slots = slots;
    m->mask = mask;
}

static uint8_t *usual_chunk(struct memtable *m)
{
    if (m->pool && m->pool->n > 0)
        return m->pool->chunks[--m->pool->n];
    return pages_alloc(CHUNK_BYTES, m->n_chunks > 1); /* the first one may stay nearly empty */
}

/* Adds an empty chunk, a usual one (alone == 0) or one for a single record of so many bytes, and
 * returns its number. */
static uint32_t chunk_add(struct memtable *m, size_t alone)
{
    size_t size = alone ? alone : CHUNK_BYTES;
    if (m->n_chunks == CHUNKS_MAX - 1) {
        (void)fprintf(stderr, "oneid: a memtable outgrew %d chunks\n", CHUNKS_MAX);
        abort();
    }
    if (m->n_chunks == m->cap_chunks) {
        uint32_t cap = m->cap_chunks ? 2 * m->cap_chunks : 16;
        m->chunks = must(realloc(m->chunks, cap * sizeof *m->chunks), cap * sizeof *m->chunks);
        m->cap_chunks = cap;
        m->n_chunks = m->n_chunks ? m->n_chunks : 1;
    }
    uint8_t *data = must(alone ? malloc(size) : usual_chunk(m), size);
    m->chunks[m->n_chunks] = (struct memtable_chunk){.data = data, .alone = (uint32_t)alone};
    return m->n_chunks++;
}

/* A new record with the key and room for a value of `value_len` that may grow. */
static uint32_t record_new(struct memtable *m, struct bytes key, size_t value_len, bool deleted)
{
    size_t cap = deleted ? value_len : value_len + value_len / 4 + UNIT_BYTES;
    size_t size = (RECORD_HEADER + key.len + cap + UNIT_BYTES - 1) / UNIT_BYTES * UNIT_BYTES;
    uint32_t number = m->open_chunk;
    if (size > ALONE_BYTES)
        number = chunk_add(m, size);
    else if (number == 0 || size > CHUNK_BYTES - m->chunks[number].used)
        number = m->open_chunk = chunk_add(m, 0);
    uint32_t place = number << UNIT_BITS | m->chunks[number].used / UNIT_BYTES;
    m->chunks[number].used += (uint32_t)size;
    m->record_bytes += size;
    struct record *r = record_at(m, place);
    r->value_len = 0;
    r->value_cap = (uint32_t)(size - RECORD_HEADER - key.len);
    r->key_len = (uint16_t)key.len;
    r->deleted = deleted;
    r->replaced = false;
    memcpy(r->data, key.data, key.len);
    return place;
}

enum memtable_answer memtable_get(const struct memtable *m, uint64_t hash, struct bytes key,
                                  struct bytes *value)
{
    const struct memtable_slot *s = find(m, hash, key);
    if (s->place == PLACE_NONE)
        return MEMTABLE_UNKNOWN;
    const struct record *r = record_at(m, s->place);
    if (r->deleted)
        return MEMTABLE_DELETED;
    *value = value_of(r);
    return MEMTABLE_PRESENT;
}

void memtable_prefetch_slot(const struct memtable *m, uint64_t hash)
{
    __builtin_prefetch(&m->slots[(uint32_t)hash & m->mask]);
}

void memtable_prefetch_record(const struct memtable *m, uint64_t hash)
{
    uint32_t h = (uint32_t)hash;
    for (uint64_t i = h & m->mask; m->slots[i].place != PLACE_NONE; i = (i + 1) & m->mask) {
        if (m->slots[i].hash != h)
            continue;
        const char *r = (const char *)record_at(m, m->slots[i].place);
        __builtin_prefetch(r);
        __builtin_prefetch(r + 64);
        return;
    }
}

/* The key's record with room for the value, made or moved if need be. */
static struct record *record_for(struct memtable *m, uint64_t hash, struct bytes key,
                                 size_t value_len, bool deleted)
{
    assert(key.len > 0 && key.len <= UINT16_MAX && value_len <= MEMTABLE_VALUE_MAX);
    struct memtable_slot *s = find(m, hash, key);
    if (s->place != PLACE_NONE) {
        struct record *r = record_at(m, s->place);
        if (r->value_cap >= value_len)
            return r;
        r->replaced = true;
    } else {
        if (is_crowded(m->count + 1, m->mask + 1)) {
            grow(m);
            s = find(m, hash, key);
        }
        s->hash = (uint32_t)hash;
        m->count++;
    }
    s->place = record_new(m, key, value_len, deleted);
    return record_at(m, s->place);
}

void memtable_put(struct memtable *m, uint64_t hash, struct bytes key, struct bytes value)
{
    struct record *r = record_for(m, hash, key, value.len, false);
    r->deleted = false;
    if (value.len > 0)
        memmove(r->data + r->key_len, value.data, value.len);
    r->value_len = (uint32_t)value.len;
}

void memtable_del(struct memtable *m, uint64_t hash, struct bytes key)
{
    struct record *r = record_for(m, hash, key, 0, true);
    r->deleted = true;
    r->value_len = 0;
}

/* *at is chunk number << 32 | offset. */
static const struct record *next_record(const struct memtable *m, uint64_t *at)
{
    uint32_t number = (uint32_t)(*at >> 32), offset = (uint32_t)*at;
    for (number = number ? number : 1; number < m->n_chunks; number++, offset = 0) {
        const struct memtable_chunk *c = &m->chunks[number];
        while (offset < c->used) {
            const struct record *r = (const void *)(c->data + offset);
            offset += (uint32_t)(RECORD_HEADER + r->key_len + r->value_cap);
            if (!r->replaced) {
                *at = (uint64_t)number << 32 | offset;
                return r;
            }
        }
    }
    *at = (uint64_t)number << 32;
    return NULL;
}

static struct memtable_record shown(const struct record *r)
{
    return (struct memtable_record){key_of(r), value_of(r), r->deleted};
}

bool memtable_next(const struct memtable *m, uint64_t *at, struct memtable_record *out)
{
    const struct record *r = next_record(m, at);
    if (r)
        *out = shown(r);
    return r != NULL;
}

static uint64_t head_of(struct bytes key, size_t from)
{
    uint64_t v = 0;
    for (size_t i = from; i < from + 8; i++)
        v = v << 8 | (i < key.len ? key.data[i] : 0);
    return v;
}

static inline bool is_before(const struct memtable_order *x, const struct memtable_order *y)
{
    if (x->head[0] != y->head[0])
        return x->head[0] < y->head[0];
    if (x->head[1] != y->head[1])
        return x->head[1] < y->head[1];
    return bytes_compare(key_of(x->record), key_of(y->record)) < 0;
}

static void sort_few(struct memtable_order *a, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct memtable_order o = a[i];
        size_t at = i;
        for (; at > 0 && is_before(&o, &a[at - 1]); at--)
            a[at] = a[at - 1];
        a[at] = o;
    }
}

/* Merge sort. New rows come in the order of their keys, kind by kind: what is in order already is
 * not touched, which qsort cannot know. */
static void sort(struct memtable_order *a, size_t n, struct memtable_order *spare)
{
    enum { FEW = 12 };
    if (n <= FEW) {
        sort_few(a, n);
        return;
    }
    size_t half = n / 2;
    sort(a, half, spare);
    sort(a + half, n - half, spare);
    if (!is_before(&a[half], &a[half - 1]))
        return;
    memcpy(spare, a, half * sizeof *a);
    size_t i = 0, j = half, k = 0;
    while (i < half && j < n)
        a[k++] = is_before(&a[j], &spare[i]) ? a[j++] : spare[i++];
    memcpy(a + k, spare + i, (half - i) * sizeof *a);
}

/* By kind first (the key's first byte): within one kind new rows are in order. */
static size_t collect(const struct memtable *m, struct memtable_order *all)
{
    size_t n[256] = {0}, start[256], total = 0;
    const struct record *r;
    for (uint64_t at = 0; (r = next_record(m, &at)) != NULL;)
        n[r->data[0]]++;
    for (size_t i = 0; i < 256; i++) {
        start[i] = total;
        total += n[i];
    }
    for (uint64_t at = 0; (r = next_record(m, &at)) != NULL;) {
        struct bytes key = key_of(r);
        all[start[r->data[0]]++] = (struct memtable_order){{head_of(key, 0), head_of(key, 8)}, r};
    }
    return total;
}

struct memtable_order *memtable_sorted(const struct memtable *m)
{
    struct memtable_order *all = malloc((m->count + 1) * sizeof *all);
    struct memtable_order *spare = malloc((m->count / 2 + 1) * sizeof *spare);
    if (!all || !spare) {
        free(all);
        free(spare);
        return NULL;
    }
    size_t n = collect(m, all);
    assert(n == m->count);
    sort(all, n, spare);
    free(spare);
    return all;
}

struct memtable_record memtable_at(const struct memtable_order *o)
{
    return shown(o->record);
}

uint64_t memtable_bytes(const struct memtable *m)
{
    return m->count == 0 ? 0 : m->record_bytes + (m->mask + 1) * sizeof *m->slots;
}
