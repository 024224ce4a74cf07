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

static uint64_t kernel_keep(uint64_t *restrict dst, const uint64_t *restrict in,
                            const uint64_t *restrict exists, uint64_t negate, uint64_t absent)
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < CHUNK_WORDS; i++) {
        dst[i] &= ((in[i] ^ negate) & exists[i]) | (absent & ~exists[i]);
        any |= dst[i];
    }
    return any;
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
#elif defined(__AVX2__)
/* v - lo <= span without sign: the lesser of both is v - lo. One bit per value, 64 values a word.
 */
static inline __m256i load_at(const void *v, size_t vectors)
{
    return _mm256_loadu_si256((const __m256i *)v + vectors);
}

static void kernel_range8(const uint8_t *v, uint32_t n, uint8_t lo, uint8_t hi, uint64_t *out)
{
    const __m256i low = _mm256_set1_epi8((int8_t)lo), span = _mm256_set1_epi8((int8_t)(hi - lo));
    for (const uint8_t *end = v + n; v < end; v += 64) {
        __m256i a = _mm256_sub_epi8(load_at(v, 0), low), b = _mm256_sub_epi8(load_at(v, 1), low);
        a = _mm256_cmpeq_epi8(_mm256_min_epu8(a, span), a);
        b = _mm256_cmpeq_epi8(_mm256_min_epu8(b, span), b);
        *out++ =
            (uint64_t)(uint32_t)_mm256_movemask_epi8(b) << 32 | (uint32_t)_mm256_movemask_epi8(a);
    }
}

static inline __m256i in16(const uint16_t *v, size_t i, __m256i low, __m256i span)
{
    __m256i x = _mm256_sub_epi16(load_at(v, i), low);
    return _mm256_cmpeq_epi16(_mm256_min_epu16(x, span), x);
}

static void kernel_range16(const uint16_t *v, uint32_t n, uint16_t lo, uint16_t hi, uint64_t *out)
{
    const __m256i low = _mm256_set1_epi16((int16_t)lo),
                  span = _mm256_set1_epi16((int16_t)(hi - lo));
    for (const uint16_t *end = v + n; v < end; v += 64) {
        __m256i a = _mm256_packs_epi16(in16(v, 0, low, span), in16(v, 1, low, span));
        __m256i b = _mm256_packs_epi16(in16(v, 2, low, span), in16(v, 3, low, span));
        a = _mm256_permute4x64_epi64(a, 0xD8); /* packing goes by halves */
        b = _mm256_permute4x64_epi64(b, 0xD8);
        *out++ =
            (uint64_t)(uint32_t)_mm256_movemask_epi8(b) << 32 | (uint32_t)_mm256_movemask_epi8(a);
    }
}

static inline __m256i in32(const uint32_t *v, size_t i, __m256i low, __m256i span)
{
    __m256i x = _mm256_sub_epi32(load_at(v, i), low);
    return _mm256_cmpeq_epi32(_mm256_min_epu32(x, span), x);
}

/* 32 values. */
static inline uint32_t bits32(const uint32_t *v, __m256i low, __m256i span)
{
    __m256i a = _mm256_packs_epi32(in32(v, 0, low, span), in32(v, 1, low, span));
    __m256i b = _mm256_packs_epi32(in32(v, 2, low, span), in32(v, 3, low, span));
    /* In fours of values: a0 a2 b0 b2 | a1 a3 b1 b3. */
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i c = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), order);
    return (uint32_t)_mm256_movemask_epi8(c);
}

static void kernel_range32(const uint32_t *v, uint32_t n, uint32_t lo, uint32_t hi, uint64_t *out)
{
    const __m256i low = _mm256_set1_epi32((int32_t)lo),
                  span = _mm256_set1_epi32((int32_t)(hi - lo));
    for (const uint32_t *end = v + n; v < end; v += 64)
        *out++ = (uint64_t)bits32(v + 32, low, span) << 32 | bits32(v, low, span);
}

/* There is no unsigned comparison of 64 bits: both sides are moved by the sign bit. */
static void kernel_range64(const uint64_t *v, uint32_t n, uint64_t lo, uint64_t hi, uint64_t *out)
{
    const uint64_t sign = UINT64_C(1) << 63;
    const __m256i low = _mm256_set1_epi64x((int64_t)(lo ^ sign));
    const __m256i span = _mm256_set1_epi64x((int64_t)((hi - lo) ^ sign));
    for (const uint64_t *end = v + n; v < end; v += 64) {
        uint64_t word = 0;
        for (size_t i = 0; i < 16; i++) {
            __m256i beyond = _mm256_cmpgt_epi64(_mm256_sub_epi64(load_at(v, i), low), span);
            uint64_t bits = (uint64_t)_mm256_movemask_pd(_mm256_castsi256_pd(beyond));
            word |= (bits ^ 15) << (i * 4);
        }
        *out++ = word;
    }
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
    .keep = kernel_keep,
    .count = kernel_count,
    .and_count = kernel_and_count,
    .range8 = kernel_range8,
    .range16 = kernel_range16,
    .range32 = kernel_range32,
    .range64 = kernel_range64,
};
