#include "kernels.h"

#include <string.h>

static uint64_t plain_and(uint64_t *restrict dst, const uint64_t *restrict src)
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < CHUNK_WORDS; i++) {
        dst[i] &= src[i];
        any |= dst[i];
    }
    return any;
}

static uint64_t plain_and_not(uint64_t *restrict dst, const uint64_t *restrict src)
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < CHUNK_WORDS; i++) {
        dst[i] &= ~src[i];
        any |= dst[i];
    }
    return any;
}

static void plain_or(uint64_t *restrict dst, const uint64_t *restrict src)
{
    for (uint32_t i = 0; i < CHUNK_WORDS; i++)
        dst[i] |= src[i];
}

/* Bytes' bit counts of 31 words at most fit in a byte lane; written so that it vectorises where the
 * processor has no popcount instruction. */
static inline uint64_t lanes_of(uint64_t x)
{
    x -= x >> 1 & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
    return (x + (x >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
}

static inline uint32_t lanes_sum(uint64_t lanes)
{
    lanes = (lanes & UINT64_C(0x00FF00FF00FF00FF)) + (lanes >> 8 & UINT64_C(0x00FF00FF00FF00FF));
    return (uint32_t)(lanes * UINT64_C(0x0001000100010001) >> 48);
}

enum { COUNT_RUN = 16 };

static uint32_t plain_count(const uint64_t *words)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < CHUNK_WORDS; i += COUNT_RUN) {
        uint64_t lanes = 0;
        for (uint32_t k = 0; k < COUNT_RUN; k++)
            lanes += lanes_of(words[i + k]);
        n += lanes_sum(lanes);
    }
    return n;
}

static uint32_t plain_and_count(const uint64_t *a, const uint64_t *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < CHUNK_WORDS; i += COUNT_RUN) {
        uint64_t lanes = 0;
        for (uint32_t k = 0; k < COUNT_RUN; k++)
            lanes += lanes_of(a[i + k] & b[i + k]);
        n += lanes_sum(lanes);
    }
    return n;
}

/* 64 bytes of 0 or 1 to a word (the multiplication gathers eight bits in the top byte). */
static inline uint64_t pack64(const uint8_t *flags)
{
    uint64_t word = 0;
    for (uint32_t i = 0; i < 8; i++) {
        uint64_t eight;
        memcpy(&eight, flags + (size_t)i * 8, sizeof eight);
        word |= (eight * UINT64_C(0x0102040810204080) >> 56) << (i * 8);
    }
    return word;
}

#define RANGE(bits)                                                                                \
    static void plain_range##bits(const uint##bits##_t *v, uint32_t n, uint##bits##_t lo,          \
                                  uint##bits##_t hi, uint64_t *out)                                \
    {                                                                                              \
        uint##bits##_t span = (uint##bits##_t)(hi - lo);                                           \
        for (uint32_t i = 0; i < n; i += 64) {                                                     \
            uint8_t flags[64];                                                                     \
            for (uint32_t k = 0; k < 64; k++)                                                      \
                flags[k] = (uint##bits##_t)(v[i + k] - lo) <= span;                                \
            out[i / 64] = pack64(flags);                                                           \
        }                                                                                          \
    }
RANGE(8)
RANGE(16)
RANGE(32)
RANGE(64)

const struct kernels kernels_plain = {
    .name = "plain",
    .and = plain_and,
    .and_not = plain_and_not,
    .or = plain_or,
    .count = plain_count,
    .and_count = plain_and_count,
    .range8 = plain_range8,
    .range16 = plain_range16,
    .range32 = plain_range32,
    .range64 = plain_range64,
};

const struct kernels *kernels_get(void)
{
    return &kernels_plain;
}
