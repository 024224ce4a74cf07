/* Permutations of [0, n) without a table: xor-shifts and multiplications by odd numbers are
 * invertible modulo a power of two; values that leave [0, n) are sent round again (cycle walking,
 * Black and Rogaway 2002), fewer than two rounds on average. */
#include <base/hash.h>
#include <gen/permute.h>

static unsigned bits_of(uint64_t n)
{
    return n <= 1 ? 1 : 64 - (unsigned)__builtin_clzll(n - 1);
}

uint64_t gen_permute(uint64_t n, uint64_t key, uint64_t x)
{
    unsigned bits = bits_of(n);
    unsigned half = (bits + 1) / 2;
    uint64_t mask = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    uint64_t k1 = hash_u64(key + 1), k2 = hash_u64(key + 2), k3 = hash_u64(key + 3);
    do {
        x = (x * (k1 | 1) + k2) & mask;
        x ^= x >> half;
        x = (x * (k2 | 1) + k3) & mask;
        x ^= x >> half;
        x = (x * (k3 | 1) + k1) & mask;
        x ^= x >> half;
    } while (x >= n);
    return x;
}
