#include "dict.h"

#include <base/hash.h>

#include <string.h>

static uint32_t hash_of(struct bytes text)
{
    return (uint32_t)hash64(text);
}

static size_t text_size(uint32_t len)
{
    return len ? len : 1;
}

static uint32_t find_slot(const struct dict *d, struct bytes text, uint32_t hash)
{
    uint32_t mask = d->n_slots - 1;
    for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
        uint32_t slot = d->slots[i];
        if (slot == 0)
            return i;
        const struct dict_value *v = &d->values[slot - 1];
        if (v->hash == hash && v->len == text.len &&
            (text.len == 0 || memcmp(v->text, text.data, text.len) == 0))
            return i;
    }
}

uint32_t dict_find(const struct dict *d, struct bytes text)
{
    if (d->n_slots == 0)
        return DICT_NONE;
    uint32_t slot = d->slots[find_slot(d, text, hash_of(text))];
    return slot ? slot - 1 : DICT_NONE;
}

static void rehash(struct mem *m, struct dict *d, uint32_t n_slots)
{
    (void)mem_resize(m, d->slots, d->n_slots * sizeof *d->slots, 0);
    d->slots = mem_resize_zero(m, NULL, 0, n_slots * sizeof *d->slots);
    d->n_slots = n_slots;
    for (uint32_t id = 0; id < d->n; id++) {
        if (!d->values[id].text)
            continue;
        uint32_t i = d->values[id].hash & (n_slots - 1);
        while (d->slots[i])
            i = (i + 1) & (n_slots - 1);
        d->slots[i] = id + 1;
    }
}

static void make_room(struct mem *m, struct dict *d)
{
    if ((uint64_t)(d->used + 1) * 4 > (uint64_t)d->n_slots * 3)
        rehash(m, d, d->n_slots ? d->n_slots * 2 : 8);
}

static void fill(struct mem *m, struct dict *d, uint32_t id, struct bytes text, uint32_t slot)
{
    struct dict_value *v = &d->values[id];
    *v = (struct dict_value){.len = (uint32_t)text.len, .hash = hash_of(text)};
    v->text = mem_resize(m, NULL, 0, text_size(v->len));
    if (text.len > 0)
        memcpy(v->text, text.data, text.len);
    d->slots[slot] = id + 1;
    d->used++;
}

static uint32_t take_id(struct mem *m, struct dict *d)
{
    if (d->free_head) {
        uint32_t id = d->free_head - 1;
        d->free_head = d->values[id].len;
        return id;
    }
    if (d->n == d->cap) {
        uint32_t cap = mem_grow_cap(d->cap, d->n + 1);
        d->values = mem_resize(m, d->values, d->cap * sizeof *d->values, cap * sizeof *d->values);
        d->cap = cap;
    }
    d->values[d->n] = (struct dict_value){0};
    return d->n++;
}

uint32_t dict_find_or_add(struct mem *m, struct dict *d, struct bytes text)
{
    make_room(m, d);
    uint32_t slot = find_slot(d, text, hash_of(text));
    if (d->slots[slot])
        return d->slots[slot] - 1;
    uint32_t id = take_id(m, d);
    fill(m, d, id, text, slot);
    return id;
}

/* Empties slot `i`, moving later entries of its run back (linear probing without tombstones). */
static void close_gap(struct dict *d, uint32_t i)
{
    uint32_t mask = d->n_slots - 1;
    for (uint32_t k = (i + 1) & mask; d->slots[k]; k = (k + 1) & mask) {
        uint32_t home = d->values[d->slots[k] - 1].hash & mask;
        if (((k - home) & mask) >= ((k - i) & mask)) {
            d->slots[i] = d->slots[k];
            i = k;
        }
    }
    d->slots[i] = 0;
}

void dict_drop(struct mem *m, struct dict *d, uint32_t id)
{
    struct dict_value *v = &d->values[id];
    close_gap(d, find_slot(d, dict_text(d, id), v->hash));
    set_close(m, &v->set);
    (void)mem_resize(m, v->text, text_size(v->len), 0);
    *v = (struct dict_value){.len = d->free_head};
    d->free_head = id + 1;
    d->used--;
}

void dict_close(struct mem *m, struct dict *d)
{
    for (uint32_t id = 0; id < d->n; id++) {
        struct dict_value *v = &d->values[id];
        if (!v->text)
            continue;
        set_close(m, &v->set);
        (void)mem_resize(m, v->text, text_size(v->len), 0);
    }
    (void)mem_resize(m, d->values, d->cap * sizeof *d->values, 0);
    (void)mem_resize(m, d->slots, d->n_slots * sizeof *d->slots, 0);
    *d = (struct dict){0};
}
