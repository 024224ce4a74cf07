/* One-IDs to ordinals and back.
 *
 * An ordinal is free, live or dead. A dead one belonged to a member that is gone and may still lie
 * in sets and columns; it becomes free when its chunk is cleaned. New members take the lowest free
 * ordinal, so that the same changes give the same ordinals on every replica.
 */
#ifndef INDEX_IDS_H
#define INDEX_IDS_H

#include "mem.h"

#include <cluster/slot.h>

#include <stdbool.h>

enum { IDS_TABLES = 256, IDS_SLOT_BYTES = 5 };

struct ids_chunk {
    one_id *members; /* meaningful where live; elsewhere the last one who was there */
    one_id least,
        most; /* bounds of the live ones, perhaps not tight; least > most: no member yet */
    uint32_t cap;
    bool sorted; /* `members` rise with the position (new One-IDs are greater than older ones) */
    uint32_t n_live, n_dead;
    uint64_t *live;
    uint64_t *dead; /* NULL: none */
};

/* Open addressing with linear probing; many small tables, so that none takes long to grow. A slot
 * is 5 bytes: 8 bits of the hash (never 0; 0: empty), so that passing a slot does not touch its
 * member, and the ordinal. */
struct ids_table {
    uint8_t *slots;
    uint32_t n, cap;
};

struct ids {
    struct ids_chunk *chunks;
    uint32_t n_chunks;
    uint32_t next;       /* ordinals below it have been given out */
    uint32_t n_free;     /* free ones below `next` */
    uint32_t first_free; /* no chunk before this one has a free ordinal below `next` */
    uint64_t n_live;
    struct ids_table tables[IDS_TABLES];
};

bool ids_find(const struct ids *ids, one_id member, uint32_t *ordinal);
/* The member must not be there. */
uint32_t ids_add(struct mem *m, struct ids *ids, one_id member);
/* Live to dead; returns how many are dead in its chunk now. */
uint32_t ids_kill(struct mem *m, struct ids *ids, uint32_t ordinal);
/* All dead of the chunk to free: nothing refers to them any more. */
void ids_release_dead(struct mem *m, struct ids *ids, uint32_t chunk);
void ids_close(struct mem *m, struct ids *ids);
/* For loading, chunk by chunk: that many positions were given out, with these One-IDs (8 bytes
 * each, anywhere). `live` and `dead` are bitmaps; `dead` may be NULL. False: they contradict. */
bool ids_load_chunk(struct mem *m, struct ids *ids, uint32_t chunk, uint32_t n, const void *members,
                    const uint64_t *live, const uint64_t *dead);
/* After the last chunk: members can be found from then on. False: one is there twice. */
bool ids_load_end(struct mem *m, struct ids *ids);

static inline one_id ids_member(const struct ids *ids, uint32_t ordinal)
{
    return ids->chunks[chunk_of(ordinal)].members[low_of(ordinal)];
}

#endif
