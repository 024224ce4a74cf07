/* A small seeded random generator (splitmix64; Steele, Lea, Flood 2014): same seed, same numbers,
 * on every machine. Not for keys. One owner, one thread. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline struct rng rng_of_seed(uint64_t seed)
{
    struct rng r = {seed};
    return r;
}
uint64_t rng_u64(struct rng *r);
/* Uniform in [0, n); 0 when n is 0. */
uint64_t rng_below(struct rng *r, uint64_t n);
/* Uniform in [0, 1). */
double rng_unit(struct rng *r);

#endif
