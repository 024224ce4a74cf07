/* Shared by the files of the generator alone. */
#ifndef GEN_PRIVATE_H
#define GEN_PRIVATE_H

#include <base/hash.h>
#include <gen/gen.h>
#include <gen/permute.h>

/* Phone numbers, the scarcest values, have room for so many. */
#define GEN_PERSONS_MAX UINT64_C(7000000000)

enum {
    GEN_LAGS = 8, /* how far a late event may be behind, in kinds */
    GEN_STEP_LEAST_MS =
        GEN_LAGS + 1, /* each kind of lag has its own millisecond between two steps */
};

/* What random numbers are for: each use draws from its own sequence. */
enum gen_use { GEN_USE_PERSON = 1, GEN_USE_EVENT, GEN_USE_RESENT, GEN_USE_ORDER, GEN_USE_VALUE };

/* A uniform 64-bit number of (seed, use, n). */
static inline uint64_t gen_hash(uint64_t seed, enum gen_use use, uint64_t n)
{
    uint64_t key = hash_u64(seed * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)use);
    return hash_u64((n ^ key) + UINT64_C(0xD1B54A32D192ED03));
}

/* The end of the i-th of `n` even pieces of `total`. */
static inline uint64_t gen_wave_end(uint64_t total, unsigned n, unsigned i)
{
    return total / n * (i + 1) + total % n * (i + 1) / n;
}
static inline uint64_t gen_wave_size(const struct gen_wave *w)
{
    return w->n_parts + w->n_links + w->n_extra + w->n_resent;
}

#endif
