#include "tally.h"

#include <base/hash.h>

#include <stdlib.h>

enum { TALLY_SLOTS_MIN = 64 };

static bool same_key(const struct tally_key *a, const struct tally_key *b)
{
    bool same = true;
    for (size_t i = 0; i < INDEX_BREAKDOWN_MAX; i++)
        same = same && a->values[i] == b->values[i] && a->none[i] == b->none[i];
    return same;
}

static uint64_t hash_of(const struct tally_key *k)
{
    uint64_t h = 0;
    for (size_t i = 0; i < INDEX_BREAKDOWN_MAX; i++)
        h = hash_u64(h * 31 + ((uint64_t)k->values[i] << 1 | k->none[i]));
    return h;
}

static struct tally_entry *find(const struct tally *t, const struct tally_key *key)
{
    size_t i = (size_t)hash_of(key) & (t->n_slots - 1);
    while (t->slots[i].members != 0 && !same_key(&t->slots[i].key, key))
        i = (i + 1) & (t->n_slots - 1);
    return &t->slots[i];
}

static bool grow(struct tally *t)
{
    struct tally grown = *t;
    grown.n_slots = t->n_slots ? t->n_slots * 2 : TALLY_SLOTS_MIN;
    grown.slots = calloc(grown.n_slots, sizeof *grown.slots);
    if (!grown.slots)
        return false;
    for (size_t i = 0; i < t->n_slots; i++)
        if (t->slots[i].members != 0)
            *find(&grown, &t->slots[i].key) = t->slots[i];
    free(t->slots);
    *t = grown;
    return true;
}

enum error_code tally_add(struct tally *t, const struct tally_key *key, uint64_t members)
{
    if (members == 0)
        return ERR_OK;
    if (t->n * 4 >= t->n_slots * 3 && !grow(t))
        return ERR_NOMEM;
    struct tally_entry *e = find(t, key);
    if (e->members == 0) {
        if (t->n == t->max)
            return ERR_TOO_LARGE;
        t->n++;
        e->key = *key;
    }
    e->members += members;
    return ERR_OK;
}

void tally_close(struct tally *t)
{
    free(t->slots);
    *t = (struct tally){0};
}
