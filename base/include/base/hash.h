/* Hashes: XXH3 (xxhash), stable over machines and releases, so they may be stored. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <base/bytes.h>

#include <stdint.h>

/* XXH3-64 of the bytes. */
uint64_t hash64(struct bytes b);
uint64_t hash64_seed(struct bytes b, uint64_t seed);
/* Mixes a number (for tables keyed by numbers; splitmix64's finaliser). */
static inline uint64_t hash_u64(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xBF58476D1CE4E5B9);
    x ^= x >> 27;
    x *= UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}
/* A stored value's check sum: the low 32 bits of XXH3-64. */
uint32_t hash_checksum(struct bytes b);

#endif
