/* A hash table in RAM whose keys and values never move while they stand: the changes of a store
 * since its last checkpoint, deletions included.
 *
 * Open addressing with linear probing over 8-byte slots (32 hash bits, 32-bit place of a record);
 * records lie in chunks of 2 MiB. The hash bits suffice to grow the table without touching a
 * record. Space of replaced records is not reused before the whole table goes.
 *
 * One owner writes; any number of threads may read while nobody writes. Running out of memory
 * aborts: there is no way to go on that would not lose data.
 */
#ifndef STORE_MEMTABLE_H
#define STORE_MEMTABLE_H

#include <base/bytes.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MEMTABLE_VALUE_MAX = 1 << 30 };

/* Emptied chunks that wait to be used again, so that freeing a large memtable does not stop the
 * owner for the time of returning its memory. Zeroed is empty. */
struct chunk_pool {
    uint8_t **chunks;
    size_t n, cap;
};

void chunk_pool_close(struct chunk_pool *p);

struct memtable_slot {
    uint32_t hash;
    uint32_t place; /* chunk number << 17 | offset in 16-byte units; 0: empty */
};

struct memtable {
    struct memtable_slot *slots;
    uint64_t mask;  /* slots - 1; slots is a power of 2 */
    uint64_t count; /* keys, deleted ones included */
    struct memtable_chunk {
        uint8_t *data;
        uint32_t used;  /* bytes that hold records */
        uint32_t alone; /* bytes of a chunk that was made for one record; 0: a usual one */
    } * chunks;         /* from number 1 on */
    uint32_t n_chunks, cap_chunks;
    uint32_t open_chunk;     /* where the next record goes; 0: none yet */
    uint64_t record_bytes;   /* of all records, replaced ones included */
    struct chunk_pool *pool; /* borrowed; may be NULL */
};

enum memtable_answer { MEMTABLE_UNKNOWN, MEMTABLE_PRESENT, MEMTABLE_DELETED };

/* One record as the outside sees it. Borrowed. */
struct memtable_record {
    struct bytes key, value;
    bool deleted;
};

/* `expected` keys: the table's first size (0: small). */
void memtable_init(struct memtable *m, uint64_t expected, struct chunk_pool *pool);
/* Gives the chunks to the pool, all else back. Accepts a zeroed one. */
void memtable_close(struct memtable *m);

/* `hash` is hash64(key) everywhere. `*value` stays where it is until the same key is written. */
enum memtable_answer memtable_get(const struct memtable *m, uint64_t hash, struct bytes key,
                                  struct bytes *value);
/* Has the processor fetch the key's slot, and the second time its record: for keys that are looked
 * up soon, some look-ups apart. No effect otherwise. */
void memtable_prefetch_slot(const struct memtable *m, uint64_t hash);
void memtable_prefetch_record(const struct memtable *m, uint64_t hash);
/* Copies both; either may point into this memtable. */
void memtable_put(struct memtable *m, uint64_t hash, struct bytes key, struct bytes value);
/* Remembers that the key is deleted, whether or not it was known. */
void memtable_del(struct memtable *m, uint64_t hash, struct bytes key);

/* Walks all records in about the order in which they were written: start with *at = 0, false at the
 * end. */
bool memtable_next(const struct memtable *m, uint64_t *at, struct memtable_record *out);
/* Where each record is, by key (as bytes_compare orders): `count` elements, to be freed; NULL when
 * memory is out. */
struct memtable_order {
    uint64_t
        head[2]; /* the key's first 16 bytes as numbers, so that sorting seldom reads records */
    const void *record;
};
struct memtable_order *memtable_sorted(const struct memtable *m);
struct memtable_record memtable_at(const struct memtable_order *o);

/* Records and table; 0 as long as nothing was written. */
uint64_t memtable_bytes(const struct memtable *m);

#endif
