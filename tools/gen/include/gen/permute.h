/* Permutations of [0, n) that need no memory. Any thread. */
#ifndef GEN_PERMUTE_H
#define GEN_PERMUTE_H

#include <stdint.h>

/* Where the permutation of [0, n) drawn by `key` sends `x`, which is below n. */
uint64_t gen_permute(uint64_t n, uint64_t key, uint64_t x);

#endif
