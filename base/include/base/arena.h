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
    size_t used;  /* bytes handed out since the last reset */
    size_t limit; /* refuse to hand out more than this; 0 = no limit */
};

/* Zero-initialised is ready too. `limit` in bytes. */
void arena_init(struct arena *a, size_t limit);
void arena_close(struct arena *a);
void arena_reset(struct arena *a);
/* NULL past the limit, or when memory is out. */
void *arena_alloc(struct arena *a, size_t size);
/* The same, zeroed. */
void *arena_zalloc(struct arena *a, size_t size);
/* A copy that lives until the reset; data == NULL on failure (and for an empty input). */
struct bytes arena_copy(struct arena *a, struct bytes b);

#endif
