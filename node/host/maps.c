/* The map that the node goes by: replaced as a whole, and kept while somebody looks at it. */
#include "parts.h"

#include <stddef.h>

struct map_ref {
    _Atomic unsigned refs; /* the node's own, and one for each that looks at it */
    struct cluster_map map;
};

static struct map_ref *ref_of(const struct cluster_map *map)
{
    union {
        const struct cluster_map *in;
        char *out;
    } at = {map};
    return (struct map_ref *)(void *)(at.out - offsetof(struct map_ref, map));
}

bool maps_open(struct host_shared *h)
{
    static const struct cluster_map none;
    return pthread_mutex_init(&h->map.lock, NULL) == 0 && maps_put(h, &none);
}

void maps_close(struct host_shared *h)
{
    if (!h->map.now)
        return;
    maps_release(&h->map.now->map);
    (void)pthread_mutex_destroy(&h->map.lock);
}

bool maps_put(struct host_shared *h, const struct cluster_map *map)
{
    struct map_ref *next = malloc(sizeof *next);
    if (!next)
        return false;
    atomic_init(&next->refs, 1);
    next->map = *map;
    (void)pthread_mutex_lock(&h->map.lock);
    struct map_ref *was = h->map.now;
    h->map.now = next;
    (void)pthread_mutex_unlock(&h->map.lock);
    atomic_store_explicit(&h->map.epoch, map->epoch, memory_order_release);
    if (was)
        maps_release(&was->map);
    return true;
}

const struct cluster_map *maps_hold(struct host_shared *h)
{
    (void)pthread_mutex_lock(&h->map.lock);
    struct map_ref *now = h->map.now;
    atomic_fetch_add_explicit(&now->refs, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&h->map.lock);
    return &now->map;
}

void maps_release(const struct cluster_map *map)
{
    struct map_ref *ref = ref_of(map);
    if (atomic_fetch_sub_explicit(&ref->refs, 1, memory_order_acq_rel) == 1)
        free(ref);
}
