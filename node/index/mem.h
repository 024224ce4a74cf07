/* Memory of the index, counted. One owner, the writer. Growth that fails aborts the process with a
 * line on stderr, as in base/bytes.h. */
#ifndef INDEX_MEM_H
#define INDEX_MEM_H

#include <stddef.h>
#include <stdint.h>

enum {
    CHUNK_BITS = 16,
    CHUNK_SIZE = 1 << CHUNK_BITS,
    CHUNK_WORDS = CHUNK_SIZE / 64,
    CHUNK_BYTES = CHUNK_SIZE / 8,
};

struct mem {
    size_t bytes;
};

/* realloc with the sizes told; `size` 0 frees and returns NULL. New bytes are not zeroed. */
void *mem_resize(struct mem *m, void *p, size_t old_size, size_t size);
/* The same, new bytes zeroed. */
void *mem_resize_zero(struct mem *m, void *p, size_t old_size, size_t size);
/* A zeroed bitmap of one chunk, aligned to 64 bytes. */
uint64_t *mem_bitmap_new(struct mem *m);
void mem_bitmap_free(struct mem *m, uint64_t *bitmap);
/* The next capacity that holds `need`: grows by a quarter, in steps of 8. */
uint32_t mem_grow_cap(uint32_t cap, uint32_t need);
/* The same for what is many and cheap to move: grows by an eighth, in steps of `step` (a power of
 * two), to at most CHUNK_SIZE. */
uint32_t mem_grow_tight(uint32_t cap, uint32_t need, uint32_t step);

static inline uint32_t chunk_of(uint32_t ordinal)
{
    return ordinal >> CHUNK_BITS;
}
static inline uint32_t low_of(uint32_t ordinal)
{
    return ordinal & (CHUNK_SIZE - 1);
}
static inline int bit_get(const uint64_t *words, uint32_t i)
{
    return (int)(words[i >> 6] >> (i & 63) & 1);
}
static inline void bit_set(uint64_t *words, uint32_t i)
{
    words[i >> 6] |= UINT64_C(1) << (i & 63);
}
static inline void bit_clear(uint64_t *words, uint32_t i)
{
    words[i >> 6] &= ~(UINT64_C(1) << (i & 63));
}

#endif
