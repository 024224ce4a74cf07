/* The values of one trait (or all tags, all channels): text to a small number and the set of who
 * has it. A value lives while its set is not empty (the owner calls dict_drop); numbers are used
 * again. */
#ifndef INDEX_DICT_H
#define INDEX_DICT_H

#include "set.h"

#include <base/bytes.h>

#define DICT_NONE UINT32_MAX

struct dict_value {
    struct set set;
    uint8_t *text; /* NULL: the number is free, and `len` is the next free one */
    uint32_t len;
    uint32_t hash;
};

struct dict {
    struct dict_value *values;
    uint32_t n, cap; /* numbers given out so far, free ones included */
    uint32_t used;
    uint32_t free_head; /* number + 1; 0: none */
    uint32_t *slots;    /* number + 1; 0: empty */
    uint32_t n_slots;   /* a power of two */
};

/* DICT_NONE where it is not there. */
uint32_t dict_find(const struct dict *d, struct bytes text);
uint32_t dict_find_or_add(struct mem *m, struct dict *d, struct bytes text);
/* Forgets a value; its set must be empty. */
void dict_drop(struct mem *m, struct dict *d, uint32_t id);
void dict_close(struct mem *m, struct dict *d);
static inline struct bytes dict_text(const struct dict *d, uint32_t id)
{
    return bytes_of(d->values[id].text, d->values[id].len);
}

#endif
