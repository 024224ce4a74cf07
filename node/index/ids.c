#include "ids.h"

#include <base/hash.h>

#include <string.h>

enum { IDS_CHUNK_CAP_STEP = 512, IDS_TABLE_CAP_MIN = 16, PIPE_DEPTH = 16 };

static uint32_t home_of(const struct ids_table *t, uint64_t hash)
{
    return (uint32_t)(((hash & UINT32_MAX) * t->cap) >> 32);
}

static struct ids_table *table_of(struct ids *ids, uint64_t hash)
{
    return &ids->tables[hash >> 56];
}

static uint32_t step(const struct ids_table *t, uint32_t i)
{
    return i + 1 == t->cap ? 0 : i + 1;
}

static uint8_t mark_of(uint64_t hash)
{
    uint8_t mark = (uint8_t)(hash >> 40);
    return mark ? mark : 1;
}

static uint8_t slot_mark(const struct ids_table *t, uint32_t i)
{
    return t->slots[(size_t)i * IDS_SLOT_BYTES];
}

static uint32_t slot_ordinal(const struct ids_table *t, uint32_t i)
{
    uint32_t ordinal;
    memcpy(&ordinal, t->slots + (size_t)i * IDS_SLOT_BYTES + 1, sizeof ordinal);
    return ordinal;
}

static void slot_put(struct ids_table *t, uint32_t i, uint8_t mark, uint32_t ordinal)
{
    uint8_t *slot = t->slots + (size_t)i * IDS_SLOT_BYTES;
    slot[0] = mark;
    memcpy(slot + 1, &ordinal, sizeof ordinal);
}

static size_t table_bytes(uint32_t cap)
{
    return (size_t)cap * IDS_SLOT_BYTES;
}

static void table_insert(struct ids_table *t, uint64_t hash, uint32_t ordinal)
{
    uint32_t i = home_of(t, hash);
    while (slot_mark(t, i))
        i = step(t, i);
    slot_put(t, i, mark_of(hash), ordinal);
    t->n++;
}

static void table_grow(struct mem *m, const struct ids *ids, struct ids_table *t)
{
    if ((uint64_t)(t->n + 1) * 8 <= (uint64_t)t->cap * 7)
        return;
    struct ids_table grown = {.cap = t->cap ? t->cap + t->cap / 2 : IDS_TABLE_CAP_MIN};
    grown.slots = mem_resize_zero(m, NULL, 0, table_bytes(grown.cap));
    for (uint32_t i = 0; i < t->cap; i++)
        if (slot_mark(t, i))
            table_insert(&grown, hash_u64(ids_member(ids, slot_ordinal(t, i))), slot_ordinal(t, i));
    (void)mem_resize(m, t->slots, table_bytes(t->cap), 0);
    *t = grown;
}

static void table_remove(const struct ids *ids, struct ids_table *t, uint64_t hash,
                         uint32_t ordinal)
{
    uint32_t i = home_of(t, hash);
    while (slot_mark(t, i) != mark_of(hash) || slot_ordinal(t, i) != ordinal)
        i = step(t, i);
    for (uint32_t k = step(t, i); slot_mark(t, k); k = step(t, k)) {
        uint32_t home = home_of(t, hash_u64(ids_member(ids, slot_ordinal(t, k))));
        uint32_t from_home = k >= home ? k - home : k + t->cap - home;
        uint32_t from_gap = k >= i ? k - i : k + t->cap - i;
        if (from_home >= from_gap) {
            slot_put(t, i, slot_mark(t, k), slot_ordinal(t, k));
            i = k;
        }
    }
    slot_put(t, i, 0, 0);
    t->n--;
}

bool ids_find(const struct ids *ids, one_id member, uint32_t *ordinal)
{
    uint64_t hash = hash_u64(member);
    const struct ids_table *t = &ids->tables[hash >> 56];
    if (t->cap == 0)
        return false;
    for (uint32_t i = home_of(t, hash); slot_mark(t, i); i = step(t, i)) {
        if (slot_mark(t, i) != mark_of(hash))
            continue;
        uint32_t found = slot_ordinal(t, i);
        if (ids_member(ids, found) == member) {
            *ordinal = found;
            return true;
        }
    }
    return false;
}

/* Room for the member at `ordinal`. */
static struct ids_chunk *reach(struct mem *m, struct ids *ids, uint32_t ordinal)
{
    uint32_t chunk = chunk_of(ordinal);
    if (chunk >= ids->n_chunks) {
        ids->chunks = mem_resize_zero(m, ids->chunks, ids->n_chunks * sizeof *ids->chunks,
                                      (chunk + 1) * sizeof *ids->chunks);
        for (uint32_t i = ids->n_chunks; i <= chunk; i++) {
            ids->chunks[i].live = mem_bitmap_new(m);
            ids->chunks[i].least = UINT64_MAX;
            ids->chunks[i].sorted = true;
        }
        ids->n_chunks = chunk + 1;
    }
    struct ids_chunk *c = &ids->chunks[chunk];
    if (low_of(ordinal) >= c->cap) {
        uint32_t cap = mem_grow_tight(c->cap, low_of(ordinal) + 1, IDS_CHUNK_CAP_STEP);
        c->members =
            mem_resize_zero(m, c->members, c->cap * sizeof *c->members, cap * sizeof *c->members);
        c->cap = cap;
    }
    return c;
}

static uint32_t free_in_chunk(const struct ids *ids, uint32_t chunk)
{
    const struct ids_chunk *c = &ids->chunks[chunk];
    for (uint32_t w = 0; w < CHUNK_WORDS; w++) {
        uint64_t taken = c->live[w] | (c->dead ? c->dead[w] : 0);
        if (taken == UINT64_MAX)
            continue;
        uint32_t low = w * 64 + (uint32_t)__builtin_ctzll(~taken);
        uint32_t ordinal = chunk << CHUNK_BITS | low;
        return ordinal < ids->next ? ordinal : UINT32_MAX;
    }
    return UINT32_MAX;
}

static uint32_t take_ordinal(struct ids *ids)
{
    if (ids->n_free == 0)
        return ids->next++;
    for (uint32_t chunk = ids->first_free; chunk < ids->n_chunks; chunk++) {
        uint32_t ordinal = free_in_chunk(ids, chunk);
        if (ordinal == UINT32_MAX)
            continue;
        ids->first_free = chunk;
        ids->n_free--;
        return ordinal;
    }
    return ids->next++;
}

/* Writes the member down; `end` positions of the chunk have been given out so far. */
static void place_member(struct ids_chunk *c, uint32_t low, uint32_t end, one_id member)
{
    bool rises = low == 0 || c->members[low - 1] <= member;
    bool falls = low + 1 < end && c->members[low + 1] < member;
    c->sorted = c->sorted && rises && !falls;
    c->least = member < c->least ? member : c->least;
    c->most = member > c->most ? member : c->most;
    c->members[low] = member;
}

uint32_t ids_add(struct mem *m, struct ids *ids, one_id member)
{
    uint64_t hash = hash_u64(member);
    struct ids_table *t = table_of(ids, hash);
    table_grow(m, ids, t);
    uint32_t ordinal = take_ordinal(ids);
    struct ids_chunk *c = reach(m, ids, ordinal);
    uint32_t end = ids->next - (ordinal - low_of(ordinal));
    place_member(c, low_of(ordinal), end < CHUNK_SIZE ? end : CHUNK_SIZE, member);
    bit_set(c->live, low_of(ordinal));
    c->n_live++;
    ids->n_live++;
    table_insert(t, hash, ordinal);
    return ordinal;
}

uint32_t ids_kill(struct mem *m, struct ids *ids, uint32_t ordinal)
{
    struct ids_chunk *c = &ids->chunks[chunk_of(ordinal)];
    uint64_t hash = hash_u64(c->members[low_of(ordinal)]);
    table_remove(ids, table_of(ids, hash), hash, ordinal);
    if (!c->dead)
        c->dead = mem_bitmap_new(m);
    bit_clear(c->live, low_of(ordinal));
    bit_set(c->dead, low_of(ordinal));
    c->n_live--;
    ids->n_live--;
    return ++c->n_dead;
}

static void tighten(struct ids_chunk *c)
{
    c->least = UINT64_MAX;
    c->most = 0;
    for (uint32_t w = 0; w < CHUNK_WORDS; w++) {
        for (uint64_t bits = c->live[w]; bits; bits &= bits - 1) {
            one_id member = c->members[w * 64 + (uint32_t)__builtin_ctzll(bits)];
            c->least = member < c->least ? member : c->least;
            c->most = member > c->most ? member : c->most;
        }
    }
}

void ids_release_dead(struct mem *m, struct ids *ids, uint32_t chunk)
{
    struct ids_chunk *c = &ids->chunks[chunk];
    tighten(c);
    mem_bitmap_free(m, c->dead);
    c->dead = NULL;
    ids->n_free += c->n_dead;
    c->n_dead = 0;
    if (chunk < ids->first_free)
        ids->first_free = chunk;
}

void ids_close(struct mem *m, struct ids *ids)
{
    for (uint32_t i = 0; i < ids->n_chunks; i++) {
        struct ids_chunk *c = &ids->chunks[i];
        (void)mem_resize(m, c->members, c->cap * sizeof *c->members, 0);
        mem_bitmap_free(m, c->live);
        mem_bitmap_free(m, c->dead);
    }
    (void)mem_resize(m, ids->chunks, ids->n_chunks * sizeof *ids->chunks, 0);
    for (uint32_t i = 0; i < IDS_TABLES; i++)
        (void)mem_resize(m, ids->tables[i].slots, table_bytes(ids->tables[i].cap), 0);
    *ids = (struct ids){0};
}

bool ids_load_chunk(struct mem *m, struct ids *ids, uint32_t chunk, uint32_t n, const void *members,
                    const uint64_t *live, const uint64_t *dead)
{
    if (n == 0 || n > CHUNK_SIZE || chunk != ids->n_chunks || low_of(ids->next) != 0)
        return false;
    struct ids_chunk *c = reach(m, ids, (chunk << CHUNK_BITS) + n - 1);
    memcpy(c->members, members, n * sizeof *c->members);
    ids->next = (chunk << CHUNK_BITS) + n;
    for (uint32_t w = 0; w < CHUNK_WORDS; w++) {
        uint64_t given = w < n / 64 ? UINT64_MAX : w > n / 64 ? 0 : (UINT64_C(1) << n % 64) - 1;
        uint64_t gone = dead ? dead[w] : 0;
        if ((live[w] & gone) != 0 || ((live[w] | gone) & ~given) != 0)
            return false;
        c->n_live += (uint32_t)__builtin_popcountll(live[w]);
        c->n_dead += (uint32_t)__builtin_popcountll(gone);
    }
    memcpy(c->live, live, CHUNK_BYTES);
    if (c->n_dead > 0) {
        c->dead = mem_bitmap_new(m);
        memcpy(c->dead, dead, CHUNK_BYTES);
    }
    ids->n_live += c->n_live;
    ids->n_free += n - c->n_live - c->n_dead;
    for (uint32_t low = 1; low < n && c->sorted; low++)
        c->sorted = c->members[low - 1] <= c->members[low];
    tighten(c);
    return true;
}

/* False: the member is there. */
static bool table_insert_new(const struct ids *ids, struct ids_table *t, uint64_t hash,
                             uint32_t ordinal)
{
    uint32_t i = home_of(t, hash);
    for (; slot_mark(t, i); i = step(t, i))
        if (slot_mark(t, i) == mark_of(hash) &&
            ids_member(ids, slot_ordinal(t, i)) == ids_member(ids, ordinal))
            return false;
    slot_put(t, i, mark_of(hash), ordinal);
    t->n++;
    return true;
}

static void size_tables(struct mem *m, struct ids *ids)
{
    uint32_t n[IDS_TABLES] = {0};
    for (uint32_t i = 0; i < ids->n_chunks; i++)
        for (uint32_t w = 0; w < CHUNK_WORDS; w++)
            for (uint64_t bits = ids->chunks[i].live[w]; bits; bits &= bits - 1)
                n[hash_u64(ids->chunks[i].members[w * 64 + (uint32_t)__builtin_ctzll(bits)]) >>
                  56]++;
    for (uint32_t i = 0; i < IDS_TABLES; i++) {
        struct ids_table *t = &ids->tables[i];
        if (n[i] == 0)
            continue;
        t->cap = n[i] + n[i] / 4 + IDS_TABLE_CAP_MIN;
        t->slots = mem_resize_zero(m, NULL, 0, table_bytes(t->cap));
    }
}

/* Members on the way into the tables: their slots are fetched ahead, since each is elsewhere. */
struct pipe {
    struct {
        uint64_t hash;
        uint32_t ordinal;
    } items[PIPE_DEPTH];
    uint32_t n;
};

static bool pipe_take(struct ids *ids, struct pipe *p, uint32_t at)
{
    uint64_t hash = p->items[at].hash;
    return table_insert_new(ids, table_of(ids, hash), hash, p->items[at].ordinal);
}

static bool pipe_put(struct ids *ids, struct pipe *p, uint64_t hash, uint32_t ordinal)
{
    uint32_t at = p->n++ % PIPE_DEPTH;
    bool ok = p->n <= PIPE_DEPTH || pipe_take(ids, p, at);
    const struct ids_table *t = table_of(ids, hash);
    __builtin_prefetch(t->slots + (size_t)home_of(t, hash) * IDS_SLOT_BYTES, 1);
    p->items[at].hash = hash;
    p->items[at].ordinal = ordinal;
    return ok;
}

static bool pipe_flush(struct ids *ids, struct pipe *p)
{
    bool ok = true;
    for (uint32_t i = 0; i < PIPE_DEPTH && i < p->n && ok; i++)
        ok = pipe_take(ids, p, i);
    return ok;
}

bool ids_load_end(struct mem *m, struct ids *ids)
{
    struct pipe p = {.n = 0};
    size_tables(m, ids);
    for (uint32_t i = 0; i < ids->n_chunks; i++) {
        const struct ids_chunk *c = &ids->chunks[i];
        for (uint32_t w = 0; w < CHUNK_WORDS; w++) {
            for (uint64_t bits = c->live[w]; bits; bits &= bits - 1) {
                uint32_t low = w * 64 + (uint32_t)__builtin_ctzll(bits);
                if (!pipe_put(ids, &p, hash_u64(c->members[low]), i << CHUNK_BITS | low))
                    return false;
            }
        }
    }
    return pipe_flush(ids, &p);
}
