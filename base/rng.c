#include <base/rng.h>

#include <base/hash.h>

uint64_t rng_u64(struct rng *r)
{
    r->state += UINT64_C(0x9E3779B97F4A7C15);
    return hash_u64(r->state);
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    if (n == 0)
        return 0;
    /* Rejects the last run of n numbers: cut short, it would make small results likelier. */
    uint64_t v, rest;
    do {
        v = rng_u64(r);
        rest = v % n;
    } while (v - rest > UINT64_MAX - n);
    return rest;
}

double rng_unit(struct rng *r)
{
    return (double)(rng_u64(r) >> 11) * 0x1.0p-53;
}
