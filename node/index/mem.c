#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *p, size_t size)
{
    if (p)
        return p;
    (void)fprintf(stderr, "segment index: out of memory for %zu bytes\n", size);
    abort();
}

void *mem_resize(struct mem *m, void *p, size_t old_size, size_t size)
{
    m->bytes = m->bytes - old_size + size;
    if (size == 0) {
        free(p);
        return NULL;
    }
    return checked(realloc(p, size), size);
}

void *mem_resize_zero(struct mem *m, void *p, size_t old_size, size_t size)
{
    uint8_t *q = mem_resize(m, p, old_size, size);
    if (size > old_size)
        memset(q + old_size, 0, size - old_size);
    return q;
}

uint64_t *mem_bitmap_new(struct mem *m)
{
    uint64_t *words = checked(aligned_alloc(64, CHUNK_BYTES), CHUNK_BYTES);
    memset(words, 0, CHUNK_BYTES);
    m->bytes += CHUNK_BYTES;
    return words;
}

void mem_bitmap_free(struct mem *m, uint64_t *bitmap)
{
    if (!bitmap)
        return;
    free(bitmap);
    m->bytes -= CHUNK_BYTES;
}

uint32_t mem_grow_cap(uint32_t cap, uint32_t need)
{
    uint32_t grown = cap + cap / 4;
    if (grown < need)
        grown = need;
    return (grown + 7) & ~UINT32_C(7);
}

uint32_t mem_grow_tight(uint32_t cap, uint32_t need, uint32_t step)
{
    uint32_t grown = cap + cap / 8;
    if (grown < need)
        grown = need;
    grown = (grown + step - 1) & ~(step - 1);
    return grown < CHUNK_SIZE ? grown : CHUNK_SIZE;
}
