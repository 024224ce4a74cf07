/* The inner loops over one chunk's words and columns, behind one table, so that versions for
 * certain processors can be chosen at run time. */
#ifndef INDEX_KERNELS_H
#define INDEX_KERNELS_H

#include "mem.h"

#include <stdbool.h>

struct kernels {
    const char *name;
    /* dst &= src, dst &= ~src: the union of the result's words, so 0 says that it is empty. */
    uint64_t (*and)(uint64_t *dst, const uint64_t *src);
    uint64_t (*and_not)(uint64_t *dst, const uint64_t *src);
    void (* or)(uint64_t *dst, const uint64_t *src);
    /* dst &= where `exists`: the bit of `in` ^ negate, else absent (both are 0 or all bits). The
     * union of the result's words. */
    uint64_t (*keep)(uint64_t *dst, const uint64_t *in, const uint64_t *exists, uint64_t negate,
                     uint64_t absent);
    uint32_t (*count)(const uint64_t *words);
    uint32_t (*and_count)(const uint64_t *a, const uint64_t *b);
    /* Per group of 64 values one word: bit i says lo <= v[i] <= hi. `n` is a multiple of 64. */
    void (*range8)(const uint8_t *v, uint32_t n, uint8_t lo, uint8_t hi, uint64_t *out);
    void (*range16)(const uint16_t *v, uint32_t n, uint16_t lo, uint16_t hi, uint64_t *out);
    void (*range32)(const uint32_t *v, uint32_t n, uint32_t lo, uint32_t hi, uint64_t *out);
    void (*range64)(const uint64_t *v, uint32_t n, uint64_t lo, uint64_t hi, uint64_t *out);
};

/* What index_use_kernels chose. Any thread. */
const struct kernels *kernels_get(void);
/* All that this processor runs, the best first; NULL after the last. */
const struct kernels *kernels_at(size_t i);
extern const struct kernels kernels_plain, kernels_avx2, kernels_avx512;

#endif
