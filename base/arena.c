#include <base/arena.h>

#include <stdlib.h>
#include <string.h>

/* Blocks double in size: thousands of small arenas stay small, big ones have few blocks. */
enum { ALIGN = 16, BLOCK_MIN = 1024, BLOCK_MAX = 256 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t size, used; /* of the bytes after this header */
};

_Static_assert(sizeof(struct arena_block) % 8 == 0, "block header keeps alignment");

static uint8_t *block_data(struct arena_block *b)
{
    return (uint8_t *)b + ((sizeof *b + ALIGN - 1) & ~(size_t)(ALIGN - 1));
}

void arena_init(struct arena *a, size_t limit)
{
    *a = (struct arena){.limit = limit};
}

void arena_close(struct arena *a)
{
    for (struct arena_block *b = a->first, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *a = (struct arena){.limit = a->limit};
}

void arena_reset(struct arena *a)
{
    /* Blocks behind the current one have not been touched since the last reset. */
    for (struct arena_block *b = a->first; b; b = b->next) {
        b->used = 0;
        if (b == a->current)
            break;
    }
    a->current = a->first;
    a->used = 0;
}

static struct arena_block *block_new(const struct arena_block *last, size_t size)
{
    size_t n = last ? last->size * 2 : BLOCK_MIN;
    if (n > BLOCK_MAX)
        n = BLOCK_MAX;
    if (n < size)
        n = size;
    struct arena_block *b = malloc(sizeof *b + ALIGN + n);
    if (b)
        *b = (struct arena_block){.size = n};
    return b;
}

/* The next block with room for `size`, taken from those kept over a reset or made anew. */
static struct arena_block *block_with_room(struct arena *a, size_t size)
{
    struct arena_block *b = a->current ? a->current : a->first;
    for (; b; b = b->next) {
        if (b->size - b->used >= size)
            return b;
        if (!b->next)
            break;
    }
    struct arena_block *fresh = block_new(b, size);
    if (!fresh)
        return NULL;
    if (b)
        b->next = fresh;
    else
        a->first = fresh;
    return fresh;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (a->limit && (size > a->limit || a->used > a->limit - size))
        return NULL;
    struct arena_block *b = block_with_room(a, size);
    if (!b)
        return NULL;
    void *p = block_data(b) + b->used;
    b->used += size;
    a->used += size;
    a->current = b;
    return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    void *p = arena_alloc(a, size);
    if (p)
        memset(p, 0, size);
    return p;
}

struct bytes arena_copy(struct arena *a, struct bytes b)
{
    if (b.len == 0)
        return bytes_of(NULL, 0);
    void *p = arena_alloc(a, b.len);
    if (!p)
        return bytes_of(NULL, 0);
    memcpy(p, b.data, b.len);
    return bytes_of(p, b.len);
}
