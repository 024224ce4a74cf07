/* A register of the evaluation: which positions of one chunk are still candidates. Dense words, or
 * a sorted list once an array narrowed it down. Refining only ever takes candidates away. */
#ifndef INDEX_REG_H
#define INDEX_REG_H

#include "kernels.h"
#include "set.h"

struct reg {
    _Alignas(64) uint64_t words[CHUNK_WORDS]; /* meaningful where !is_list */
    uint16_t list[CONTAINER_ARRAY_MAX];
    uint32_t n; /* of the list */
    bool is_list;
};

void reg_copy(struct reg *to, const struct reg *from);
/* To dense words. */
void reg_spread(struct reg *r);
uint32_t reg_count(const struct reg *r, const struct kernels *k);

/* All return whether candidates are left. */
bool reg_and_view(struct reg *r, const struct set_view *v, const struct kernels *k);
bool reg_and_not_view(struct reg *r, const struct set_view *v, const struct kernels *k);
bool reg_and_words(struct reg *r, const uint64_t *words, const struct kernels *k);
bool reg_and_not_words(struct reg *r, const uint64_t *words, const struct kernels *k);
/* r &= ~other; `other` is a part of r. */
bool reg_and_not(struct reg *r, const struct reg *other, const struct kernels *k);
void reg_clear(struct reg *r);

void words_or_view(uint64_t *words, const struct set_view *v, const struct kernels *k);
uint32_t reg_count_view(const struct reg *r, const struct set_view *v, const struct kernels *k);

/* Calls the block for each candidate, rising, with `low` set. */
#define REG_EACH(r, low, block)                                                                    \
    do {                                                                                           \
        if ((r)->is_list) {                                                                        \
            for (uint32_t i_ = 0; i_ < (r)->n; i_++) {                                             \
                uint32_t low = (r)->list[i_];                                                      \
                block                                                                              \
            }                                                                                      \
        } else {                                                                                   \
            for (uint32_t w_ = 0; w_ < CHUNK_WORDS; w_++) {                                        \
                for (uint64_t bits_ = (r)->words[w_]; bits_; bits_ &= bits_ - 1) {                 \
                    uint32_t low = w_ * 64 + (uint32_t)__builtin_ctzll(bits_);                     \
                    block                                                                          \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    } while (0)

#endif
