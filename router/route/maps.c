/* The cluster map: asked for, checked, followed. */
#include "parts.h"

#include <base/hash.h>

void maps_refresh(struct router *r)
{
    if (r->map_asked_ms && r->now - r->map_asked_ms < MAP_RETRY_MS)
        return;
    r->map_asked_ms = r->now;
    struct envelope e = {.type = MESSAGE_MAP_REQUEST,
                         .flags = ENVELOPE_MAP_SUBSCRIBE,
                         .request_id = r->next_request++};
    for (size_t i = 0; i < r->n_nodes; i++)
        (void)nodes_send(&r->nodes[i], &e);
}

void maps_see_epoch(struct router *r, uint64_t epoch)
{
    if (r->has_map && epoch > r->map.epoch)
        maps_refresh(r);
}

/* A map of this cluster? Two of one epoch that differ come from nodes that were founded with
 * different cluster files: one of them may lead shards a second time. */
static enum error_code check_map(const struct router *r, const struct cluster_map *map,
                                 struct error *err)
{
    if (map->cluster_id != hash64(bytes_of_str(r->config->name)) ||
        map->n_shards != r->config->n_shards)
        return error_set(err, ERR_MISMATCH, "the node serves another cluster than %s describes",
                         r->config->path);
    if (map->epoch == r->map.epoch && cluster_map_digest(map) != cluster_map_digest(&r->map))
        return error_set(err, ERR_MISMATCH,
                         "nodes have different maps of one epoch: they were started with different "
                         "cluster files; nothing is served until all agree");
    return ERR_OK;
}

static void refuse(struct router *r, node_id node, const char *text)
{
    if (r->map_refused_ms == 0 || r->now - r->map_refused_ms >= MAP_REFUSED_MS)
        log_event(r->log, LOG_LEVEL_ERROR, "map_refused", "node=%u text=\"%s\"", node, text);
    metric_bump(&r->figures.maps_refused, 1);
    r->map_refused_ms = r->now;
    r->has_map = false;
}

void maps_take(struct router *r, node_id node, struct bytes body)
{
    static struct cluster_map map; /* large; one thread routes */
    struct error err;
    enum error_code rc = cluster_map_decode(body, &map, &err);
    if (rc == ERR_OK)
        rc = check_map(r, &map, &err);
    if (rc != ERR_OK) {
        refuse(r, node, err.msg);
        return;
    }
    bool is_contested = r->map_refused_ms && r->now - r->map_refused_ms < MAP_REFUSED_MS;
    if (is_contested || (r->has_map && map.epoch <= r->map.epoch))
        return;
    r->map = map;
    r->has_map = true;
    r->nodes_changed = true;
    shards_follow_map(r);
    log_event(r->log, LOG_LEVEL_INFO, "map", "epoch=%llu shards=%u nodes=%u",
              (unsigned long long)map.epoch, map.n_shards, map.n_nodes);
}
