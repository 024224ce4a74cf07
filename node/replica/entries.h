/* The part of a replica's log that is in memory: terms and types of all entries from `first` on,
 * and the data of those that are still needed. Data lives in blocks shared by the entries that came
 * together and by the writes that still borrow it. */
#ifndef REPLICA_ENTRIES_H
#define REPLICA_ENTRIES_H

#include <base/bytes.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory from raft_malloc that starts with this header: its address serves as the engine's batch,
 * so that data goes from the caller through the engine to the log with one copy. While the engine
 * holds it there are no references yet, and the engine may release it with raft_free. */
struct entry_block {
    size_t refs;
    max_align_t data[];
};

/* NULL when memory is out. No reference is taken. */
struct entry_block *entry_block_new(size_t size);
struct entry_block *entry_block_ref(struct entry_block *b);
/* Frees with the last reference; NULL is fine. */
void entry_block_unref(struct entry_block *b);

struct entry_slot {
    uint64_t term;
    struct entry_block *block; /* NULL: the data is not in memory */
    const uint8_t *data;       /* inside the block */
    uint32_t len;
    uint8_t type; /* enum replica_entry_type */
};

struct entries {
    struct entry_slot *ring; /* capacity is 0 or a power of two */
    size_t capacity, head, n;
    uint64_t first;   /* index of the oldest slot; the next index when n == 0 */
    uint64_t evicted; /* no data is kept up to here, except of changes */
    size_t bytes;     /* data in memory */
};

void entries_init(struct entries *e, uint64_t first);
void entries_close(struct entries *e);
/* Drops everything and starts anew. */
void entries_reset(struct entries *e, uint64_t first);

static inline uint64_t entries_last(const struct entries *e)
{
    return e->first + e->n - 1;
}
/* NULL outside [first, last]. Valid until the next change. */
struct entry_slot *entries_get(const struct entries *e, uint64_t index);
/* 0 when the entry is not there. */
uint64_t entries_term(const struct entries *e, uint64_t index);
/* The highest change <= index; 0 when there is none. */
uint64_t entries_last_change(const struct entries *e, uint64_t index);

/* Appends after the last. Takes a reference on the block, which may be NULL (no data in memory).
 * A change gets a block of its own. False: memory is out. */
bool entries_append(struct entries *e, uint64_t term, uint8_t type, struct bytes data,
                    struct entry_block *block);
/* Drops the entries >= index. */
void entries_truncate(struct entries *e, uint64_t index);
/* Drops the entries <= upto. */
void entries_trim(struct entries *e, uint64_t upto);
/* Drops data of entries <= upto, oldest first, until at most `keep` bytes are in memory. */
void entries_evict(struct entries *e, uint64_t upto, size_t keep);

#endif
