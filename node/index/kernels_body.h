/* The kernels, compiled once per instruction set: the including file defines KERNELS, the table's
 * name, and KERNELS_NAME, and is compiled with that set's flags. Plain C that the compiler
 * vectorises, with intrinsics where it does not see the short way. */
#include "kernels.h"

#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

static uint64_t kernel_and(uint64_t *restrict dst, const uint64_t *restrict src)
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < CHUNK_WORDS; i++) {
        dst[i] &= src[i];
        any |= dst[i];
    }
    return any;
}

static uint64_t kernel_and_not(uint64_t *restrict dst, const uint64_t *restrict src)
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < CHUNK_WORDS; i++) {
        dst[i] &= ~src[i];
        any |= dst[i];
    }
    return any;
}

static void kernel_or(uint64_t *restrict dst, const uint64_t *restrict src)
{
    for (uint32_t i = 0; i < CHUNK_WORDS; i++)
        dst[i] |= src[i];
}

#if defined(__POPCNT__)
static uint32_t kernel_count(const uint64_t *words)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < CHUNK_WORDS; i++)
        n += (uint64_t)__builtin_popcountll(words[i]);
    return (uint32_t)n;
}

static uint32_t kernel_and_count(const uint64_t *a, const uint64_t *b)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < CHUNK_WORDS; i++)
        n += (uint64_t)__builtin_popcountll(a[i] & b[i]);
    return (uint32_t)n;
}
#else
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

static uint32_t kernel_count(const uint64_t *words)
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

static uint32_t kernel_and_count(const uint64_t *a, const uint64_t *b)
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
#endif

#if defined(__AVX512BW__)
/* cmp_mask gives `per` bits at once. */
#define RANGE(bits, per, set1, sub, cmp_mask)                                                      \
    static void kernel_range##bits(const uint##bits##_t *v, uint32_t n, uint##bits##_t lo,         \
                                   uint##bits##_t hi, uint64_t *out)                               \
    {                                                                                              \
        const __m512i low = set1((int##bits##_t)lo);                                               \
        const __m512i span = set1((int##bits##_t)(uint##bits##_t)(hi - lo));                       \
        for (uint32_t i = 0; i < n; i += 64) {                                                     \
            uint64_t word = 0;                                                                     \
            for (uint32_t k = 0; k < 64; k += (per)) {                                             \
                __m512i x = _mm512_loadu_si512((const void *)(v + i + k));                         \
                word |= (uint64_t)cmp_mask(sub(x, low), span) << k;                                \
            }                                                                                      \
            out[i / 64] = word;                                                                    \
        }                                                                                          \
    }
RANGE(8, 64, _mm512_set1_epi8, _mm512_sub_epi8, _mm512_cmple_epu8_mask)
RANGE(16, 32, _mm512_set1_epi16, _mm512_sub_epi16, _mm512_cmple_epu16_mask)
RANGE(32, 16, _mm512_set1_epi32, _mm512_sub_epi32, _mm512_cmple_epu32_mask)
RANGE(64, 8, _mm512_set1_epi64, _mm512_sub_epi64, _mm512_cmple_epu64_mask)
#else
#if defined(__AVX2__)
/* 64 bytes of 0 or 1 to a word. */
static inline uint64_t pack64(const uint8_t *flags)
{
    __m256i a = _mm256_loadu_si256((const void *)flags);
    __m256i b = _mm256_loadu_si256((const void *)(flags + 32));
    uint32_t lo = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(a, 7));
    uint32_t hi = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(b, 7));
    return (uint64_t)hi << 32 | lo;
}
#else
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
#endif

#define RANGE(bits)                                                                                \
    static void kernel_range##bits(const uint##bits##_t *v, uint32_t n, uint##bits##_t lo,         \
                                   uint##bits##_t hi, uint64_t *out)                               \
    {                                                                                              \
        const uint##bits##_t span = (uint##bits##_t)(hi - lo);                                     \
        for (const uint##bits##_t *end = v + n; v < end; v += 64) {                                \
            uint8_t flags[64];                                                                     \
            for (size_t k = 0; k < 64; k++)                                                        \
                flags[k] = (uint##bits##_t)(v[k] - lo) <= span;                                    \
            *out++ = pack64(flags);                                                                \
        }                                                                                          \
    }
RANGE(8)
RANGE(16)
RANGE(32)
RANGE(64)
#endif

const struct kernels KERNELS = {
    .name = KERNELS_NAME,
    .and = kernel_and,
    .and_not = kernel_and_not,
    .or = kernel_or,
    .count = kernel_count,
    .and_count = kernel_and_count,
    .range8 = kernel_range8,
    .range16 = kernel_range16,
    .range32 = kernel_range32,
    .range64 = kernel_range64,
};
