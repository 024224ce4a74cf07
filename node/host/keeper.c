/* Shard 0 keeps the cluster map: what its leader puts into the log unasked, and how the front hears
 * of what came out. */
#include "placing.h"

enum { PROPOSE_MS = 200, PROPOSALS_MAX = 32 };

static void propose(struct shard *s, const struct placement_change *change)
{
    struct buf content = {0};
    placement_change_encode(change, &content);
    struct command c = {.type = COMMAND_MAP, .content = buf_bytes(&content)};
    shard_propose(s, &c);
    buf_free(&content);
}

static void propose_seed(struct shard *s)
{
    struct buf b = {0};
    const struct cluster_map *map = maps_hold(s->shared);
    if (map->epoch > 0) {
        cluster_map_encode(map, &b);
        propose(s, &(struct placement_change){.op = PLACEMENT_SEED, .map = buf_bytes(&b)});
    }
    maps_release(map);
    buf_free(&b);
}

static void propose_settled(struct shard *s, const struct cluster_map *map)
{
    int n = 0;
    for (shard_id i = 0; i < map->n_shards && n < PROPOSALS_MAX; i++) {
        uint64_t changed = map->shards[i].changed;
        if (!map->shards[i].is_moving ||
            atomic_load_explicit(&s->shared->settled[i], memory_order_relaxed) != changed)
            continue;
        propose(s,
                &(struct placement_change){.op = PLACEMENT_SETTLE, .shard = i, .changed = changed});
        n++;
    }
}

void keeper_propose(struct shard *s, msec_t now)
{
    if (s->id != 0 || !s->leader || s->stopping || now - s->proposed_ms < PROPOSE_MS)
        return;
    s->proposed_ms = now;
    const struct cluster_map *map = machine_map(s->machine);
    if (map)
        propose_settled(s, map);
    else
        propose_seed(s);
}

void keeper_tell_front(struct shard *s)
{
    const struct cluster_map *map = s->id == 0 ? machine_map(s->machine) : NULL;
    if (!map || map->epoch <= s->map_epoch)
        return;
    s->map_epoch = map->epoch;
    struct message *m = message_new(MESSAGE_MAP);
    cluster_map_encode(map, &m->content);
    message_send(s->to_front, m);
}
