/* A set of ordinals: who has one tag, channel, namespace or trait value.
 *
 * Up to two ordinals lie in the struct; up to set_vector_max in one sorted vector; more in one
 * container per chunk, which is empty, a sorted array of up to CONTAINER_ARRAY_MAX 16-bit
 * positions, or a bitmap. Each border has a lower one on the way back.
 */
#ifndef INDEX_SET_H
#define INDEX_SET_H

#include "mem.h"

#include <stdbool.h>

enum {
    SET_FEW_MAX = 2,
    SET_VECTOR_MIN = 64,
    SET_VECTOR_MAX = 4096,
    SET_VECTOR_PER_CHUNK = 32,
    CONTAINER_ARRAY_MAX = 1024,
    CONTAINER_BITMAP_MIN = 512,
};

enum set_kind { SET_FEW, SET_VECTOR, SET_CHUNKED };
enum container_kind { CONTAINER_EMPTY, CONTAINER_ARRAY, CONTAINER_BITMAP };

struct container {
    union {
        uint16_t *array;
        uint64_t *bitmap;
    } u;
    uint32_t n;
    uint16_t cap; /* of the array */
    uint8_t kind;
};

struct set {
    union {
        uint32_t few[SET_FEW_MAX];
        uint32_t *vector;
        struct container *chunks;
    } u;
    uint32_t n;
    uint32_t cap : 30; /* of the vector; the number of containers */
    uint32_t kind : 2;
};

/* The most that a vector over so many chunks holds: beyond, containers are smaller and faster. Half
 * of it is the border on the way back. */
static inline uint32_t set_vector_max(uint32_t n_chunks)
{
    if (n_chunks >= SET_VECTOR_MAX / SET_VECTOR_PER_CHUNK)
        return SET_VECTOR_MAX;
    uint32_t n = n_chunks * SET_VECTOR_PER_CHUNK;
    return n < SET_VECTOR_MIN ? SET_VECTOR_MIN : n;
}

/* Both are idempotent; true when the set changed. */
bool set_add(struct mem *m, struct set *s, uint32_t ordinal);
bool set_remove(struct mem *m, struct set *s, uint32_t ordinal);
/* Takes out the positions of one chunk that `gone` has. */
void set_remove_chunk(struct mem *m, struct set *s, uint32_t chunk, const uint64_t *gone);
bool set_has(const struct set *s, uint32_t ordinal);
void set_close(struct mem *m, struct set *s);
/* Loading into an empty set: `n` members in all of `n_chunks` chunks, then chunk by chunk, rising,
 * who is in it: a bitmap of that many or an array of rising positions. */
void set_load(struct mem *m, struct set *s, uint32_t n, uint32_t n_chunks);
void set_load_bitmap(struct mem *m, struct set *s, uint32_t chunk, const uint64_t *words,
                     uint32_t n);
void set_load_array(struct mem *m, struct set *s, uint32_t chunk, const uint16_t *array,
                    uint32_t n);

/* What a set has in one chunk, borrowed until the set changes. */
struct set_view {
    enum { VIEW_EMPTY, VIEW_ARRAY, VIEW_WIDE, VIEW_BITMAP } kind;
    const uint16_t *array; /* VIEW_ARRAY: sorted positions */
    const uint32_t *wide;  /* VIEW_WIDE: sorted ordinals, all of the chunk */
    const uint64_t *bitmap;
    uint32_t n;
};

void set_view_chunk(const struct set *s, uint32_t chunk, struct set_view *out);

static inline uint32_t set_view_at(const struct set_view *v, uint32_t i)
{
    return v->kind == VIEW_WIDE ? low_of(v->wide[i]) : v->array[i];
}
bool set_view_has(const struct set_view *v, uint32_t low);

#endif
