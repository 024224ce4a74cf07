/* A bump allocator: everything taken since the last reset is released at once.
 * One owner, one thread. Memory is aligned for any type and not zeroed. Blocks are kept over a
 * reset, so that a loop that resets each turn stops calling malloc. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <base/bytes.h>

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *first, *current;
    uint8_t *at;  /* what is free of the current block, and of the limit: `left` bytes from here */
    size_t left;  /* a multiple of the alignment */
    size_t used;  /* bytes handed out since the last reset */
    size_t limit; /* refuse to hand out more than this; 0 = no limit. Fixed once in use */
};

/* Zero-initialised is ready too. `limit` in bytes. */
void arena_init(struct arena *a, size_t limit);
void arena_close(struct arena *a);
void arena_reset(struct arena *a);
/* A reset that gives back what is held beyond `keep` bytes: a reset alone keeps all for the next
 * time, also what was needed only once. */
void arena_shrink(struct arena *a, size_t keep);
/* Bytes held, in use or not. */
size_t arena_held(const struct arena *a);

enum { ARENA_ALIGN = 16 };
/* Where the current block has no room: not for callers. */
void *arena_alloc_more(struct arena *a, size_t size);
/* NULL past the limit, or when memory is out. */
static inline void *arena_alloc(struct arena *a, size_t size)
{
    if (size - 1 >= a->left) /* 0 too */
        return arena_alloc_more(a, size);
    size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    void *p = a->at;
    a->at += size;
    a->left -= size;
    a->used += size;
    return p;
}
/* The same, zeroed. */
void *arena_zalloc(struct arena *a, size_t size);
/* A copy that lives until the reset; data == NULL on failure (and for an empty input). */
struct bytes arena_copy(struct arena *a, struct bytes b);

/* What has been taken since the mark can be given back, as long as nothing older was reset. */
struct arena_mark {
    struct arena_block *current;
    uint8_t *at;
    size_t left, used;
};
static inline struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){a->current, a->at, a->left, a->used};
}
static inline void arena_rewind(struct arena *a, struct arena_mark m)
{
    a->current = m.current;
    a->at = m.at;
    a->left = m.left;
    a->used = m.used;
}

#endif
