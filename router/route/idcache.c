#include <route/idcache.h>

#include <base/hash.h>

#include <stdlib.h>
#include <string.h>

enum { WAYS = 4, BYTES_MIN = 4096 };

struct entry {
    uint64_t key; /* never 0 in an entry that is used */
    one_id profile;
};

struct idcache {
    struct entry *entries;
    size_t n_sets; /* a power of two */
    size_t used;
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
    c->entries = aligned_alloc(64, size);
    if (!c->entries) {
        free(c);
        return NULL;
    }
    memset(c->entries, 0, size);
    return c;
}

void idcache_free(struct idcache *c)
{
    if (!c)
        return;
    free(c->entries);
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
    memmove(&set[1], &set[0], i * sizeof e);
    set[0] = e;
}

one_id idcache_get(struct idcache *c, struct identity i)
{
    uint64_t key = key_of(i);
    struct entry *set = set_of(c, key);
    for (size_t w = 0; w < WAYS; w++) {
        if (set[w].key == key) {
            struct entry e = set[w];
            make_first(set, w, e);
            return e.profile;
        }
    }
    return 0;
}

void idcache_put(struct idcache *c, struct identity i, one_id profile)
{
    uint64_t key = key_of(i);
    struct entry *set = set_of(c, key);
    size_t w = 0;
    while (w < WAYS - 1 && set[w].key != key && set[w].key != 0)
        w++;
    if (set[w].key == 0)
        c->used++;
    make_first(set, w, (struct entry){key, profile});
}

void idcache_drop(struct idcache *c, struct identity i, one_id profile)
{
    uint64_t key = key_of(i);
    struct entry *set = set_of(c, key);
    for (size_t w = 0; w < WAYS; w++) {
        if (set[w].key != key || set[w].profile != profile)
            continue;
        memmove(&set[w], &set[w + 1], (WAYS - 1 - w) * sizeof *set);
        set[WAYS - 1] = (struct entry){0};
        c->used--;
        return;
    }
}

size_t idcache_count(const struct idcache *c)
{
    return c->used;
}
