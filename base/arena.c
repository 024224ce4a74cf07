#include <base/arena.h>

#include <stdlib.h>
#include <string.h>

/* Blocks double in size: thousands of small arenas stay small, big ones have few blocks. */
enum { BLOCK_MIN = 1024, BLOCK_MAX = 256 * 1024 };

/* Those behind the current one are free. */
struct arena_block {
    struct arena_block *next;
    size_t size; /* of the bytes after this header, a multiple of the alignment */
};

static size_t align_up(size_t n)
{
    return (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
}

static uint8_t *block_data(struct arena_block *b)
{
    return (uint8_t *)b + align_up(sizeof *b);
}

/* Goes on at the start of this block; NULL: of none yet. */
static void enter(struct arena *a, struct arena_block *b)
{
    a->current = b;
    a->at = b ? block_data(b) : NULL;
    a->left = b ? b->size : 0;
    size_t allowed = (a->limit - a->used) & ~(size_t)(ARENA_ALIGN - 1);
    if (a->limit && a->left > allowed)
        a->left = allowed;
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
    a->used = 0;
    enter(a, a->first);
}

void arena_shrink(struct arena *a, size_t keep)
{
    struct arena_block **end = &a->first;
    size_t held = 0;
    while (*end && held + (*end)->size <= keep) {
        held += (*end)->size;
        end = &(*end)->next;
    }
    for (struct arena_block *b = *end, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *end = NULL;
    arena_reset(a);
}

size_t arena_held(const struct arena *a)
{
    size_t held = 0;
    for (const struct arena_block *b = a->first; b; b = b->next)
        held += b->size;
    return held;
}

static struct arena_block *block_new(const struct arena_block *last, size_t size)
{
    size_t n = last ? last->size * 2 : BLOCK_MIN;
    if (n > BLOCK_MAX)
        n = BLOCK_MAX;
    if (n < size)
        n = size;
    struct arena_block *b = malloc(align_up(sizeof *b) + n);
    if (b)
        *b = (struct arena_block){.size = n};
    return b;
}

/* The next block with room for `size`, taken from those kept over a reset or made anew. */
static struct arena_block *block_with_room(struct arena *a, size_t size)
{
    struct arena_block *last = a->current, *b = last ? last->next : a->first;
    for (; b; b = b->next) {
        if (b->size >= size)
            return b;
        last = b;
    }
    struct arena_block *fresh = block_new(last, size);
    if (!fresh)
        return NULL;
    if (last)
        last->next = fresh;
    else
        a->first = fresh;
    return fresh;
}

void *arena_alloc_more(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = align_up(size ? size : 1);
    if (a->limit && (size > a->limit || a->used > a->limit - size))
        return NULL;
    if (size > a->left) {
        struct arena_block *b = block_with_room(a, size);
        if (!b)
            return NULL;
        enter(a, b);
    }
    return arena_alloc(a, size);
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
