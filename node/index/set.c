#include "set.h"

#include <string.h>

enum { CONTAINER_CAP_STEP = 8 };

static uint32_t find_u16(const uint16_t *a, uint32_t n, uint32_t v)
{
    uint32_t lo = 0;
    while (n > 0) {
        uint32_t half = n / 2;
        if (a[lo + half] < v) {
            lo += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return lo;
}

static uint32_t find_u32(const uint32_t *a, uint32_t n, uint64_t v)
{
    uint32_t lo = 0;
    while (n > 0) {
        uint32_t half = n / 2;
        if (a[lo + half] < v) {
            lo += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return lo;
}

static void container_close(struct mem *m, struct container *c)
{
    if (c->kind == CONTAINER_ARRAY)
        (void)mem_resize(m, c->u.array, c->cap * sizeof(uint16_t), 0);
    else if (c->kind == CONTAINER_BITMAP)
        mem_bitmap_free(m, c->u.bitmap);
    *c = (struct container){0};
}

static void container_promote(struct mem *m, struct container *c)
{
    uint64_t *bitmap = mem_bitmap_new(m);
    for (uint32_t i = 0; i < c->n; i++)
        bit_set(bitmap, c->u.array[i]);
    (void)mem_resize(m, c->u.array, c->cap * sizeof(uint16_t), 0);
    c->u.bitmap = bitmap;
    c->kind = CONTAINER_BITMAP;
    c->cap = 0;
}

static void container_demote(struct mem *m, struct container *c)
{
    uint32_t cap = mem_grow_tight(0, c->n, CONTAINER_CAP_STEP);
    uint16_t *array = mem_resize(m, NULL, 0, cap * sizeof *array);
    uint32_t n = 0;
    for (uint32_t w = 0; w < CHUNK_WORDS; w++)
        for (uint64_t bits = c->u.bitmap[w]; bits; bits &= bits - 1)
            array[n++] = (uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(bits));
    mem_bitmap_free(m, c->u.bitmap);
    c->u.array = array;
    c->kind = CONTAINER_ARRAY;
    c->cap = (uint16_t)cap;
}

/* After elements went: the form that fits the number left. */
static void container_settle(struct mem *m, struct container *c)
{
    if (c->n == 0)
        container_close(m, c);
    else if (c->kind == CONTAINER_BITMAP && c->n < CONTAINER_BITMAP_MIN)
        container_demote(m, c);
}

static bool container_add(struct mem *m, struct container *c, uint32_t low)
{
    if (c->kind == CONTAINER_BITMAP) {
        if (bit_get(c->u.bitmap, low))
            return false;
        bit_set(c->u.bitmap, low);
        c->n++;
        return true;
    }
    uint32_t at = c->n > 0 && c->u.array[c->n - 1] < low ? c->n : find_u16(c->u.array, c->n, low);
    if (at < c->n && c->u.array[at] == low)
        return false;
    if (c->n == CONTAINER_ARRAY_MAX) {
        container_promote(m, c);
        return container_add(m, c, low);
    }
    if (c->n == c->cap) {
        uint32_t cap = mem_grow_tight(c->cap, c->n + 1, CONTAINER_CAP_STEP);
        c->u.array = mem_resize(m, c->kind == CONTAINER_EMPTY ? NULL : c->u.array,
                                c->cap * sizeof(uint16_t), cap * sizeof(uint16_t));
        c->cap = (uint16_t)cap;
        c->kind = CONTAINER_ARRAY;
    }
    memmove(c->u.array + at + 1, c->u.array + at, (c->n - at) * sizeof(uint16_t));
    c->u.array[at] = (uint16_t)low;
    c->n++;
    return true;
}

static bool container_remove(struct mem *m, struct container *c, uint32_t low)
{
    if (c->kind == CONTAINER_EMPTY)
        return false;
    if (c->kind == CONTAINER_BITMAP) {
        if (!bit_get(c->u.bitmap, low))
            return false;
        bit_clear(c->u.bitmap, low);
    } else {
        uint32_t at = find_u16(c->u.array, c->n, low);
        if (at == c->n || c->u.array[at] != low)
            return false;
        memmove(c->u.array + at, c->u.array + at + 1, (c->n - at - 1) * sizeof(uint16_t));
    }
    c->n--;
    container_settle(m, c);
    return true;
}

static uint32_t container_filter(struct mem *m, struct container *c, const uint64_t *gone)
{
    uint32_t before = c->n, n = 0;
    if (c->kind == CONTAINER_ARRAY) {
        for (uint32_t i = 0; i < c->n; i++)
            if (!bit_get(gone, c->u.array[i]))
                c->u.array[n++] = c->u.array[i];
    } else if (c->kind == CONTAINER_BITMAP) {
        for (uint32_t w = 0; w < CHUNK_WORDS; w++) {
            c->u.bitmap[w] &= ~gone[w];
            n += (uint32_t)__builtin_popcountll(c->u.bitmap[w]);
        }
    }
    c->n = n;
    if (n < before)
        container_settle(m, c);
    return before - n;
}

static void chunked_reach(struct mem *m, struct set *s, uint32_t chunk)
{
    if (chunk < s->cap)
        return;
    uint32_t cap = chunk + 1;
    s->u.chunks = mem_resize_zero(m, s->u.chunks, s->cap * sizeof(struct container),
                                  cap * sizeof(struct container));
    s->cap = cap & 0x3FFFFFFF;
}

static void vector_to_chunked(struct mem *m, struct set *s)
{
    struct set wide = {.kind = SET_CHUNKED};
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t ordinal = s->u.vector[i];
        chunked_reach(m, &wide, chunk_of(ordinal));
        (void)container_add(m, &wide.u.chunks[chunk_of(ordinal)], low_of(ordinal));
    }
    wide.n = s->n;
    set_close(m, s);
    *s = wide;
}

static void chunked_to_vector(struct mem *m, struct set *s)
{
    uint32_t cap = mem_grow_cap(0, s->n + 1), n = 0;
    uint32_t *vector = mem_resize(m, NULL, 0, cap * sizeof *vector);
    for (uint32_t i = 0; i < s->cap; i++) {
        struct container *c = &s->u.chunks[i];
        if (c->kind == CONTAINER_BITMAP)
            container_demote(m, c);
        for (uint32_t k = 0; k < c->n; k++)
            vector[n++] = i << CHUNK_BITS | c->u.array[k];
    }
    set_close(m, s);
    s->u.vector = vector;
    s->n = n;
    s->cap = cap & 0x3FFFFFFF;
    s->kind = SET_VECTOR;
}

static void vector_to_few(struct mem *m, struct set *s)
{
    struct set few = {.n = s->n};
    memcpy(few.u.few, s->u.vector, s->n * sizeof(uint32_t));
    (void)mem_resize(m, s->u.vector, s->cap * sizeof(uint32_t), 0);
    *s = few;
}

static void few_to_vector(struct mem *m, struct set *s)
{
    uint32_t cap = 4;
    uint32_t *vector = mem_resize(m, NULL, 0, cap * sizeof *vector);
    memcpy(vector, s->u.few, s->n * sizeof(uint32_t));
    s->u.vector = vector;
    s->cap = cap & 0x3FFFFFFF;
    s->kind = SET_VECTOR;
}

/* After elements went: the form that fits the number left. */
static void set_settle(struct mem *m, struct set *s)
{
    if (s->kind == SET_CHUNKED && s->n < set_vector_max(s->cap) / 2)
        chunked_to_vector(m, s);
    if (s->kind == SET_VECTOR && s->n <= SET_FEW_MAX)
        vector_to_few(m, s);
}

static bool vector_add(struct mem *m, struct set *s, uint32_t ordinal)
{
    uint32_t *items = s->kind == SET_FEW ? s->u.few : s->u.vector;
    uint32_t at = s->n > 0 && items[s->n - 1] < ordinal ? s->n : find_u32(items, s->n, ordinal);
    if (at < s->n && items[at] == ordinal)
        return false;
    if (s->kind == SET_FEW && s->n == SET_FEW_MAX) {
        few_to_vector(m, s);
    } else if (s->kind == SET_VECTOR && s->n == s->cap) {
        uint32_t cap = s->n < 8 ? 8 : mem_grow_cap(s->n, s->n + 1);
        s->u.vector = mem_resize(m, s->u.vector, s->cap * sizeof(uint32_t), cap * sizeof(uint32_t));
        s->cap = cap & 0x3FFFFFFF;
    }
    items = s->kind == SET_FEW ? s->u.few : s->u.vector;
    memmove(items + at + 1, items + at, (s->n - at) * sizeof(uint32_t));
    items[at] = ordinal;
    s->n++;
    if (s->n > SET_VECTOR_MIN && s->n > set_vector_max(chunk_of(items[s->n - 1]) + 1))
        vector_to_chunked(m, s);
    return true;
}

bool set_add(struct mem *m, struct set *s, uint32_t ordinal)
{
    if (s->kind != SET_CHUNKED)
        return vector_add(m, s, ordinal);
    chunked_reach(m, s, chunk_of(ordinal));
    if (!container_add(m, &s->u.chunks[chunk_of(ordinal)], low_of(ordinal)))
        return false;
    s->n++;
    return true;
}

bool set_remove(struct mem *m, struct set *s, uint32_t ordinal)
{
    if (s->kind == SET_CHUNKED) {
        if (chunk_of(ordinal) >= s->cap ||
            !container_remove(m, &s->u.chunks[chunk_of(ordinal)], low_of(ordinal)))
            return false;
    } else {
        uint32_t *items = s->kind == SET_FEW ? s->u.few : s->u.vector;
        uint32_t at = find_u32(items, s->n, ordinal);
        if (at == s->n || items[at] != ordinal)
            return false;
        memmove(items + at, items + at + 1, (s->n - at - 1) * sizeof(uint32_t));
    }
    s->n--;
    set_settle(m, s);
    return true;
}

static uint32_t vector_filter(struct set *s, uint32_t chunk, const uint64_t *gone)
{
    uint32_t *items = s->kind == SET_FEW ? s->u.few : s->u.vector;
    uint32_t from = find_u32(items, s->n, (uint64_t)chunk << CHUNK_BITS);
    uint32_t to = from + find_u32(items + from, s->n - from, ((uint64_t)chunk + 1) << CHUNK_BITS);
    uint32_t n = from;
    for (uint32_t i = from; i < to; i++)
        if (!bit_get(gone, low_of(items[i])))
            items[n++] = items[i];
    memmove(items + n, items + to, (s->n - to) * sizeof(uint32_t));
    return to - n;
}

void set_remove_chunk(struct mem *m, struct set *s, uint32_t chunk, const uint64_t *gone)
{
    if (s->kind != SET_CHUNKED)
        s->n -= vector_filter(s, chunk, gone);
    else if (chunk < s->cap)
        s->n -= container_filter(m, &s->u.chunks[chunk], gone);
    set_settle(m, s);
}

void set_close(struct mem *m, struct set *s)
{
    if (s->kind == SET_VECTOR)
        (void)mem_resize(m, s->u.vector, s->cap * sizeof(uint32_t), 0);
    if (s->kind == SET_CHUNKED) {
        for (uint32_t i = 0; i < s->cap; i++)
            container_close(m, &s->u.chunks[i]);
        (void)mem_resize(m, s->u.chunks, s->cap * sizeof(struct container), 0);
    }
    *s = (struct set){0};
}

static void view_vector(const struct set *s, uint32_t chunk, struct set_view *out)
{
    const uint32_t *items = s->kind == SET_FEW ? s->u.few : s->u.vector;
    uint32_t from = find_u32(items, s->n, (uint64_t)chunk << CHUNK_BITS);
    uint32_t n = find_u32(items + from, s->n - from, ((uint64_t)chunk + 1) << CHUNK_BITS);
    if (n == 0)
        return;
    out->kind = VIEW_WIDE;
    out->wide = items + from;
    out->n = n;
}

void set_view_chunk(const struct set *s, uint32_t chunk, struct set_view *out)
{
    *out = (struct set_view){.kind = VIEW_EMPTY};
    if (s->kind != SET_CHUNKED) {
        view_vector(s, chunk, out);
        return;
    }
    if (chunk >= s->cap)
        return;
    const struct container *c = &s->u.chunks[chunk];
    out->n = c->n;
    if (c->kind == CONTAINER_BITMAP) {
        out->kind = VIEW_BITMAP;
        out->bitmap = c->u.bitmap;
    } else if (c->kind == CONTAINER_ARRAY) {
        out->kind = VIEW_ARRAY;
        out->array = c->u.array;
    }
}

bool set_view_has(const struct set_view *v, uint32_t low)
{
    if (v->kind == VIEW_EMPTY)
        return false;
    if (v->kind == VIEW_BITMAP)
        return bit_get(v->bitmap, low);
    if (v->kind == VIEW_ARRAY) {
        uint32_t at = find_u16(v->array, v->n, low);
        return at < v->n && v->array[at] == low;
    }
    uint64_t ordinal = (uint64_t)(v->wide[0] & ~(uint32_t)(CHUNK_SIZE - 1)) | low;
    uint32_t at = find_u32(v->wide, v->n, ordinal);
    return at < v->n && v->wide[at] == ordinal;
}

bool set_has(const struct set *s, uint32_t ordinal)
{
    struct set_view v;
    if (s->kind == SET_CHUNKED) {
        set_view_chunk(s, chunk_of(ordinal), &v);
        return set_view_has(&v, low_of(ordinal));
    }
    const uint32_t *items = s->kind == SET_FEW ? s->u.few : s->u.vector;
    uint32_t at = find_u32(items, s->n, ordinal);
    return at < s->n && items[at] == ordinal;
}

void set_load(struct mem *m, struct set *s, uint32_t n, uint32_t n_chunks)
{
    if (n <= SET_FEW_MAX)
        return;
    if (n > set_vector_max(n_chunks)) {
        s->kind = SET_CHUNKED;
        chunked_reach(m, s, n_chunks - 1);
        return;
    }
    uint32_t cap = mem_grow_cap(0, n);
    s->u.vector = mem_resize(m, NULL, 0, cap * sizeof(uint32_t));
    s->cap = cap & 0x3FFFFFFF;
    s->kind = SET_VECTOR;
}

void set_load_bitmap(struct mem *m, struct set *s, uint32_t chunk, const uint64_t *words,
                     uint32_t n)
{
    if (s->kind == SET_CHUNKED && n >= CONTAINER_BITMAP_MIN) {
        chunked_reach(m, s, chunk); /* a vector that outgrew itself has no more than it needed */
        struct container *c = &s->u.chunks[chunk];
        *c = (struct container){.u.bitmap = mem_bitmap_new(m), .n = n, .kind = CONTAINER_BITMAP};
        memcpy(c->u.bitmap, words, CHUNK_BYTES);
        s->n += n;
        return;
    }
    for (uint32_t w = 0; w < CHUNK_WORDS; w++)
        for (uint64_t bits = words[w]; bits; bits &= bits - 1)
            (void)set_add(m, s, chunk << CHUNK_BITS | (w * 64 + (uint32_t)__builtin_ctzll(bits)));
}

void set_load_array(struct mem *m, struct set *s, uint32_t chunk, const uint16_t *array, uint32_t n)
{
    if (s->kind == SET_CHUNKED && n <= CONTAINER_ARRAY_MAX && n > 0) {
        chunked_reach(m, s, chunk);
        struct container *c = &s->u.chunks[chunk];
        uint32_t cap = mem_grow_tight(0, n, CONTAINER_CAP_STEP);
        *c = (struct container){.n = n, .cap = (uint16_t)cap, .kind = CONTAINER_ARRAY};
        c->u.array = mem_resize(m, NULL, 0, cap * sizeof *array);
        memcpy(c->u.array, array, n * sizeof *array);
        s->n += n;
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        (void)set_add(m, s, chunk << CHUNK_BITS | array[i]);
}
