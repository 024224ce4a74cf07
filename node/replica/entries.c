#include "entries.h"

#include <replica/replica.h>

#include <assert.h>
#include <raft.h>
#include <stdlib.h>

enum { RING_MIN = 64 };

struct entry_block *entry_block_new(size_t size)
{
    if (size > SIZE_MAX - sizeof(struct entry_block))
        return NULL;
    struct entry_block *b = raft_malloc(sizeof *b + size);
    if (b)
        b->refs = 0;
    return b;
}

struct entry_block *entry_block_ref(struct entry_block *b)
{
    if (b)
        b->refs++;
    return b;
}

void entry_block_unref(struct entry_block *b)
{
    if (!b)
        return;
    assert(b->refs > 0);
    if (--b->refs == 0)
        raft_free(b);
}

void entries_init(struct entries *e, uint64_t first)
{
    *e = (struct entries){.first = first, .evicted = first - 1};
}

static struct entry_slot *slot_at(const struct entries *e, size_t i)
{
    return &e->ring[(e->head + i) & (e->capacity - 1)];
}

static void slot_drop_data(struct entries *e, struct entry_slot *s)
{
    if (!s->block)
        return;
    entry_block_unref(s->block);
    s->block = NULL;
    s->data = NULL;
    e->bytes -= s->len;
}

void entries_close(struct entries *e)
{
    entries_reset(e, e->first);
    free(e->ring);
    entries_init(e, e->first);
}

void entries_reset(struct entries *e, uint64_t first)
{
    for (size_t i = 0; i < e->n; i++)
        slot_drop_data(e, slot_at(e, i));
    e->head = e->n = 0;
    e->first = first;
    e->evicted = first - 1;
}

struct entry_slot *entries_get(const struct entries *e, uint64_t index)
{
    if (index < e->first || index - e->first >= e->n)
        return NULL;
    return slot_at(e, (size_t)(index - e->first));
}

uint64_t entries_term(const struct entries *e, uint64_t index)
{
    const struct entry_slot *s = entries_get(e, index);
    return s ? s->term : 0;
}

uint64_t entries_last_change(const struct entries *e, uint64_t index)
{
    uint64_t i = index < entries_last(e) ? index : entries_last(e);
    for (; i >= e->first && i > 0; i--) {
        const struct entry_slot *s = entries_get(e, i);
        if (s && s->type == REPLICA_CHANGE)
            return i;
    }
    return 0;
}

static bool ring_grow(struct entries *e)
{
    size_t capacity = e->capacity ? e->capacity * 2 : RING_MIN;
    struct entry_slot *ring = malloc(capacity * sizeof *ring);
    if (!ring)
        return false;
    for (size_t i = 0; i < e->n; i++)
        ring[i] = *slot_at(e, i);
    free(e->ring);
    e->ring = ring;
    e->capacity = capacity;
    e->head = 0;
    return true;
}

bool entries_append(struct entries *e, uint64_t term, uint8_t type, struct bytes data,
                    struct entry_block *block)
{
    if (data.len > UINT32_MAX || (e->n == e->capacity && !ring_grow(e)))
        return false;
    if (type == REPLICA_CHANGE) {
        block = entry_block_new(data.len);
        if (!block)
            return false;
        memcpy(block->data, data.data, data.len);
        data.data = (const uint8_t *)block->data;
    }
    e->n++;
    *slot_at(e, e->n - 1) = (struct entry_slot){.term = term,
                                                .block = entry_block_ref(block),
                                                .data = block ? data.data : NULL,
                                                .len = (uint32_t)data.len,
                                                .type = type};
    if (block)
        e->bytes += data.len;
    return true;
}

void entries_truncate(struct entries *e, uint64_t index)
{
    while (e->n > 0 && entries_last(e) >= index) {
        slot_drop_data(e, slot_at(e, e->n - 1));
        e->n--;
    }
    if (e->evicted > entries_last(e))
        e->evicted = entries_last(e);
}

void entries_trim(struct entries *e, uint64_t upto)
{
    while (e->n > 0 && e->first <= upto) {
        slot_drop_data(e, slot_at(e, 0));
        e->head = (e->head + 1) & (e->capacity - 1);
        e->n--;
        e->first++;
    }
    if (e->evicted < e->first - 1)
        e->evicted = e->first - 1;
}

void entries_evict(struct entries *e, uint64_t upto, size_t keep)
{
    if (upto > entries_last(e))
        upto = entries_last(e);
    while (e->bytes > keep && e->evicted < upto) {
        struct entry_slot *s = entries_get(e, ++e->evicted);
        if (s->type != REPLICA_CHANGE)
            slot_drop_data(e, s);
    }
}
