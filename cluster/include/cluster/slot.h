/* Slots: the unit of placement. Slot = XXH3-64 of the normalised identity mod 16384. */
#ifndef CLUSTER_SLOT_H
#define CLUSTER_SLOT_H

#include <base/bytes.h>
#include <cluster/schema.h>

#include <stdint.h>

enum { SLOT_COUNT = 16384 };

typedef uint16_t slot_id;
typedef uint16_t shard_id; /* from 0 */
typedef uint16_t node_id;  /* from 1 */

/* An identity inside the system: the namespace's name_id and the normalised value. */
struct identity {
    name_id ns;
    struct bytes value;
};

static inline bool identity_equal(struct identity a, struct identity b)
{
    return a.ns == b.ns && bytes_equal(a.value, b.value);
}
/* XXH3-64 of value, seeded with ns; the slot is this mod SLOT_COUNT. */
uint64_t identity_hash(struct identity i);
slot_id slot_of_identity(struct identity i);

/* One-ID: 40 bits hybrid time in ms | 14 bits slot | 10 bits sequence. 0 is no profile. Smaller is
 * older and survives a merge. */
typedef uint64_t one_id;

static inline slot_id slot_of_one_id(one_id p)
{
    return (slot_id)(p >> 10 & (SLOT_COUNT - 1));
}
static inline uint64_t one_id_lamport(one_id p)
{
    return p >> 24;
}
/* 2024-01-01 UTC in ms: the hybrid time starts here, so that 40 bits last until 2058. */
#define ONE_ID_EPOCH_MS INT64_C(1704067200000)

/* 16 lower-case hex digits; `out` holds 17 bytes. Reading takes either case and nothing else. */
void one_id_format(one_id p, char *out);
bool one_id_parse(struct bytes text, one_id *out);

#endif
