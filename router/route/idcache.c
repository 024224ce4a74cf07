#include <route/idcache.h>

#include <base/hash.h>
#include <base/pages.h>

#include <stdlib.h>
#include <string.h>

enum { WAYS = 4, BYTES_MIN = 4096, PUTS_AHEAD = 8 };

struct entry {
    uint64_t key; /* never 0 in an entry that is used */
    one_id profile;
};

struct idcache {
    struct entry *entries;
    size_t n_sets; /* a power of two */
    size_t used;
    struct entry puts[PUTS_AHEAD]; /* announced and not in their sets yet */
    size_t n_puts, n_put;          /* ever; puts[n % PUTS_AHEAD] */
};

struct idcache *idcache_new(size_t bytes)
{
    size_t size = BYTES_MIN;
    while (size * 2 <= bytes)
        size *= 2;
    struct idcache *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->n_sets = size / (WAYS * sizeof(struct entry));
    c->entries = pages_alloc(size, size >= PAGES_UNIT);
    if (!c->entries) {
        free(c);
        return NULL;
    }
    return c;
}

void idcache_free(struct idcache *c)
{
    if (!c)
        return;
    pages_free(c->entries, c->n_sets * WAYS * sizeof(struct entry));
    free(c);
}

/* Another hash than the slot's, so that the identities of one shard do not crowd into some sets. */
static uint64_t key_of(struct identity i)
{
    uint64_t h = hash_u64(identity_hash(i) + UINT64_C(0x9E3779B97F4A7C15));
    return h ? h : 1;
}

static struct entry *set_of(const struct idcache *c, uint64_t key)
{
    return &c->entries[(key & (c->n_sets - 1)) * WAYS];
}

/* Moves set[i] to the front; those before it step back by one. */
static void make_first(struct entry *set, size_t i, struct entry e)
{
    for (; i > 0; i--)
        set[i] = set[i - 1];
    set[0] = e;
}

static void put(struct idcache *c, struct entry e)
{
    struct entry *set = set_of(c, e.key);
    size_t w = 0;
    while (w < WAYS - 1 && set[w].key != e.key && set[w].key != 0)
        w++;
    if (set[w].key == 0)
        c->used++;
    make_first(set, w, e);
}

static void put_all(struct idcache *c)
{
    while (c->n_put < c->n_puts)
        put(c, c->puts[c->n_put++ % PUTS_AHEAD]);
}

uint64_t idcache_announce(const struct idcache *c, struct identity i)
{
    uint64_t key = key_of(i);
    __builtin_prefetch(set_of(c, key), 1);
    return key;
}

one_id idcache_get_announced(struct idcache *c, uint64_t key)
{
    put_all(c);
    struct entry *set = set_of(c, key);
    for (size_t w = 0; w < WAYS; w++) {
        if (set[w].key != key)
            continue;
        struct entry e = set[w];
        if (w > 0)
            make_first(set, w, e);
        return e.profile;
    }
    return 0;
}

one_id idcache_get(struct idcache *c, struct identity i)
{
    return idcache_get_announced(c, key_of(i));
}

/* What is learned comes in bursts, from batches of replies: each waits until the next ones have
 * been announced, or somebody asks. */
void idcache_put(struct idcache *c, struct identity i, one_id profile)
{
    if (c->n_puts - c->n_put == PUTS_AHEAD)
        put(c, c->puts[c->n_put++ % PUTS_AHEAD]);
    c->puts[c->n_puts++ % PUTS_AHEAD] = (struct entry){idcache_announce(c, i), profile};
}

void idcache_drop(struct idcache *c, struct identity i, one_id profile)
{
    uint64_t key = key_of(i);
    struct entry *set = set_of(c, key);
    put_all(c);
    for (size_t w = 0; w < WAYS; w++) {
        if (set[w].key != key || set[w].profile != profile)
            continue;
        memmove(&set[w], &set[w + 1], (WAYS - 1 - w) * sizeof *set);
        set[WAYS - 1] = (struct entry){0};
        c->used--;
        return;
    }
}

size_t idcache_count(struct idcache *c)
{
    put_all(c);
    return c->used;
}
