#include <base/hash.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash64(struct bytes b)
{
    return XXH3_64bits(b.len ? (const void *)b.data : "", b.len);
}

uint64_t hash64_seed(struct bytes b, uint64_t seed)
{
    return XXH3_64bits_withSeed(b.len ? (const void *)b.data : "", b.len, seed);
}

uint32_t hash_checksum(struct bytes b)
{
    return (uint32_t)hash64(b);
}
