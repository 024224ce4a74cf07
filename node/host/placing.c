/* Makes the node as the cluster map wants it, while it runs: links to nodes that came, shards that
 * are to be here, and shards that are given up.
 *
 *   ABSENT ── front: the map wants it ──▶ OPENING ── log thread ──▶ OPEN ── front: the map does not
 *   want it any more ──▶ CLOSING ── shard thread, and the log has forgotten it ──▶ ABSENT
 *
 * The map is handed to the log before anything is given up because of it: so a node that starts
 * again never goes on with a replica that it has wiped, under the id that it promised with. */
#include "placing.h"

#include <string.h>

/* --- the map --- */

void placing_hear(struct front *f, size_t member, const struct greeting *g)
{
    struct host_shared *h = f->shared;
    for (size_t i = 0; i < g->n_settled; i++) {
        const struct greeting_settled *s = &g->settled[i];
        if (s->shard < h->n_shards &&
            s->changed > atomic_load_explicit(&h->settled[s->shard], memory_order_relaxed))
            atomic_store_explicit(&h->settled[s->shard], s->changed, memory_order_relaxed);
    }
    if (g->epoch <= maps_epoch(h) || !f->peers[member])
        return;
    struct buf out = {0};
    struct frame frame = {0};
    struct envelope e = {.type = MESSAGE_MAP_REQUEST};
    envelope_encode(&e, 0, &out);
    if (frame_of_buf(&frame, &out) == ERR_OK)
        (void)link_send(f->peers[member], &frame); /* or after the next greeting */
    buf_free(&out);
    frame_close(&frame);
}

static void tell_watchers(struct front *f)
{
    for (size_t i = f->n_watchers; i-- > 0;) {
        if (!front_send_map(f, &f->watchers[i].peer, f->watchers[i].request_id))
            f->watchers[i] = f->watchers[--f->n_watchers];
    }
}

static bool is_same_peer(const struct peer *a, const struct peer *b)
{
    return a->len == b->len && memcmp(a->id, b->id, a->len) == 0;
}

void placing_watch(struct front *f, const struct message *m)
{
    size_t i = 0;
    while (i < f->n_watchers && !is_same_peer(&f->watchers[i].peer, &m->peer))
        i++;
    if (i == MAP_WATCHERS_MAX)
        return; /* it asks every few seconds, too */
    f->watchers[i] = (struct map_watcher){m->peer, m->envelope.request_id};
    f->n_watchers += i == f->n_watchers;
}

static void keep_map(struct front *f, struct bytes map)
{
    struct message *m = message_new(MESSAGE_MAP);
    buf_put(&m->content, map.data, map.len);
    message_send(f->to_log, m);
}

void placing_take(struct front *f, struct bytes encoded)
{
    struct host_shared *h = f->shared;
    struct error err;
    struct cluster_map *map = malloc(sizeof *map);
    enum error_code rc = map ? cluster_map_decode(encoded, map, &err) : ERR_NOMEM;
    if (rc == ERR_OK &&
        (map->cluster_id != h->slots.cluster_id || map->n_shards != h->slots.n_shards))
        rc = error_set(&err, ERR_MISMATCH, "it is of another cluster");
    if (rc != ERR_OK && rc != ERR_NOMEM)
        log_event(h->log, LOG_LEVEL_ERROR, "map_refused", "text=\"%s\"", err.msg);
    if (rc == ERR_OK && map->epoch > maps_epoch(h) && maps_put(h, map)) {
        log_event(h->log, LOG_LEVEL_INFO, "map", "epoch=%llu", (unsigned long long)map->epoch);
        keep_map(f, encoded);
        placing_follow(f);
        tell_watchers(f);
        f->hello_ms = 0; /* others shall hear of it at once */
    }
    free(map);
}

/* --- shards --- */

static void want(struct front *f, struct shard *s)
{
    struct message *m = message_new(MESSAGE_OPEN);
    m->shard = s;
    shard_set_state(s, SHARD_OPENING);
    message_send(f->to_log, m);
}

static void give_up(struct shard *s)
{
    shard_set_state(s, SHARD_CLOSING);
    message_send(s->to_shard, message_new(MESSAGE_DROP));
}

void placing_follow(struct front *f)
{
    struct host_shared *h = f->shared;
    const struct cluster_map *map = maps_hold(h);
    if (map->epoch > 0)
        peers_follow(f, map);
    for (shard_id i = 0; i < map->n_shards; i++) {
        struct shard *s = &h->shards[i];
        const struct map_replica *here = cluster_map_holder(map, i, h->node);
        int state = atomic_load_explicit(&s->state, memory_order_acquire);
        if (here && state == SHARD_ABSENT && !f->stopping)
            want(f, s);
        else if (state == SHARD_OPEN && (!here || here->since != s->since))
            give_up(s);
    }
    maps_release(map);
}

void placing_open(struct host_shared *h, struct wal *wal, struct shard *s)
{
    struct error err;
    (void)pthread_mutex_lock(&h->placing);
    if (atomic_load(&h->stopping)) {
        shard_set_state(s, SHARD_ABSENT);
        (void)pthread_mutex_unlock(&h->placing);
        return;
    }
    if (s->started)
        (void)pthread_join(s->thread, NULL);
    s->started = false;
    enum error_code rc = shard_connect(s, &err);
    if (rc == ERR_OK)
        rc = shard_open(s, wal, &err);
    if (rc == ERR_OK)
        rc = host_start_thread(&s->thread, &s->started, s->inbox_name, shard_main, s, &err);
    if (rc == ERR_OK) {
        log_event(h->log, LOG_LEVEL_INFO, "shard_taken", "shard=%u since=%u", s->id, s->since);
        shard_set_state(s, SHARD_OPEN);
    } else if (rc == ERR_DISK_FULL) { /* the front tries again */
        log_event(h->log, LOG_LEVEL_ERROR, "shard_not_taken", "shard=%u text=\"%s\"", s->id,
                  err.msg);
        shard_close_replica(s);
        shard_set_state(s, SHARD_ABSENT);
    } else {
        host_fatal(h, "shard_not_taken", s->id, &err);
    }
    (void)pthread_mutex_unlock(&h->placing);
}
