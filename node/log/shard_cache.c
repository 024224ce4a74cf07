#include "shard_cache.h"

#include <assert.h>
#include <stdlib.h>

void shard_cache_close(struct shard_cache *c)
{
    shard_cache_undo(c);
    for (size_t i = 0; i < c->n_shards; i++) {
        if (c->by_shard[i])
            buf_free(&c->by_shard[i]->conf);
        free(c->by_shard[i]);
    }
    free(c->by_shard);
    free(c->undo);
    *c = (struct shard_cache){0};
}

const struct shard_state *shard_cache_get(const struct shard_cache *c, uint16_t shard)
{
    return shard < c->n_shards ? c->by_shard[shard] : NULL;
}

static struct shard_state *get_or_make(struct shard_cache *c, uint16_t shard)
{
    if (shard >= c->n_shards) {
        size_t n = (size_t)shard + 1;
        struct shard_state **by_shard = realloc(c->by_shard, n * sizeof(struct shard_state *));
        if (!by_shard)
            return NULL;
        while (c->n_shards < n)
            by_shard[c->n_shards++] = NULL;
        c->by_shard = by_shard;
    }
    if (!c->by_shard[shard]) {
        c->by_shard[shard] = calloc(1, sizeof *c->by_shard[shard]);
        if (c->by_shard[shard])
            c->by_shard[shard]->first = 1;
    }
    return c->by_shard[shard];
}

struct shard_state *shard_cache_touch(struct shard_cache *c, uint16_t shard)
{
    struct shard_state *s = get_or_make(c, shard);
    if (!s || s->is_touched)
        return s;
    if (c->n_undo == c->cap_undo) {
        size_t cap = c->cap_undo ? 2 * c->cap_undo : 16;
        struct shard_undo *undo = realloc(c->undo, cap * sizeof *undo);
        if (!undo)
            return NULL;
        c->undo = undo;
        c->cap_undo = cap;
    }
    c->undo[c->n_undo++] = (struct shard_undo){shard, *s};
    s->is_touched = true;
    return s;
}

static struct shard_undo *undo_of(struct shard_cache *c, uint16_t shard)
{
    for (size_t i = 0; i < c->n_undo; i++) {
        if (c->undo[i].shard == shard)
            return &c->undo[i];
    }
    return NULL;
}

void shard_state_set_conf(struct shard_cache *c, uint16_t shard, struct bytes conf)
{
    struct shard_state *s = c->by_shard[shard];
    struct shard_undo *u = undo_of(c, shard);
    assert(u);
    struct buf fresh = {0};
    buf_put(&fresh, conf.data, conf.len);
    if (s->conf.data != u->before.conf.data)
        buf_free(&s->conf);
    s->conf = fresh;
}

void shard_cache_keep(struct shard_cache *c)
{
    for (size_t i = 0; i < c->n_undo; i++) {
        struct shard_undo *u = &c->undo[i];
        struct shard_state *s = c->by_shard[u->shard];
        if (u->before.conf.data != s->conf.data)
            buf_free(&u->before.conf);
        s->is_touched = false;
    }
    c->n_undo = 0;
}

void shard_cache_undo(struct shard_cache *c)
{
    for (size_t i = 0; i < c->n_undo; i++) {
        struct shard_undo *u = &c->undo[i];
        struct shard_state *s = c->by_shard[u->shard];
        if (u->before.conf.data != s->conf.data)
            buf_free(&s->conf);
        *s = u->before;
    }
    c->n_undo = 0;
}
