/* The front's links to other nodes: to all that the cluster file and the map name. */
#include "placing.h"

#include <base/clock.h>
#include <proto/security.h>

#include <stdio.h>

enum {
    LOOK_MS = 100, /* between looks at the links, at most */
    /* After a link ended: what the node sent before, over its own, comes in first. Shards that
     * heard it once more after they were told would wait for their time-outs. */
    LOST_MS = 20
};

/* The cluster file goes before the map. NULL: not known. */
static const char *endpoint_of(struct host_shared *h, const struct cluster_map *map, node_id node,
                               char kept[MAP_ENDPOINT_MAX])
{
    const struct cluster_config *c = h->config;
    for (size_t i = 0; i < c->n_nodes; i++) {
        if (c->nodes[i].id == node)
            return c->nodes[i].listen;
    }
    const struct map_node *of = cluster_map_node(map, node);
    if (!of)
        return NULL;
    (void)snprintf(kept, MAP_ENDPOINT_MAX, "%s", of->listen);
    return kept;
}

enum error_code peers_link(struct host_shared *h, const struct cluster_map *map, node_id node,
                           struct link **out, struct error *err)
{
    char kept[MAP_ENDPOINT_MAX];
    const char *endpoint = endpoint_of(h, map, node, kept);
    if (!endpoint)
        return error_set(err, ERR_NOT_FOUND, "the cluster has no node %u", node);
    enum error_code rc = net_know_node(h->net, endpoint, node, err);
    if (rc == ERR_OK)
        rc = link_open_unqueued(h->net, endpoint, out, err);
    return rc == ERR_OK ? ERR_OK : error_wrap(err, "node %u", node);
}

static bool is_named(const struct host_shared *h, const struct cluster_map *map, node_id node)
{
    for (size_t i = 0; i < h->config->n_nodes; i++) {
        if (h->config->nodes[i].id == node)
            return true;
    }
    return cluster_map_node(map, node) != NULL;
}

static void open_link(struct front *f, const struct cluster_map *map, node_id node)
{
    struct host_shared *h = f->shared;
    struct error err;
    const struct member *m = members_add(&h->members, node);
    if (!m) {
        log_event(h->log, LOG_LEVEL_ERROR, "too_many_nodes",
                  "node=%u text=\"no room for links to so many that came and went; start this node "
                  "again\"",
                  node);
        return;
    }
    size_t at = (size_t)(m - h->members.list);
    if (node == h->node || f->peers[at])
        return;
    if (peers_link(h, map, node, &f->peers[at], &err) != ERR_OK)
        log_event(h->log, LOG_LEVEL_ERROR, "no_link", "text=\"%s\"", err.msg);
    host_show_folders(h);
}

static void tell_shards(struct front *f, node_id node)
{
    log_event(f->shared->log, LOG_LEVEL_INFO, "node_lost",
              "node=%u text=\"its connection ended: shards that it leads choose another leader\"",
              node);
    for (size_t i = 0; i < f->shared->n_shards; i++) {
        struct shard *s = host_shard(f->shared, (shard_id)i);
        if (!s)
            continue;
        struct message *m = message_new(MESSAGE_PEER_LOST);
        m->node = node;
        message_send(s->to_shard, m);
    }
}

/* A process that has died ends its connections at once, one that is stopped or out of reach after
 * seconds, when others lead already. */
msec_t peers_notice(struct front *f)
{
    msec_t now = clock_mono_ms(), wait = LOOK_MS;
    for (size_t i = 0; i < f->shared->members.n; i++) {
        struct loss *l = &f->losses[i];
        unsigned endings = f->peers[i] ? link_endings(f->peers[i]) : 0;
        if (endings != l->endings)
            *l = (struct loss){.endings = endings, .is_new = endings > 0, .since_ms = now};
        if (!l->is_new)
            continue;
        if (now - l->since_ms < LOST_MS) {
            wait = LOST_MS;
            continue;
        }
        l->is_new = false;
        tell_shards(f, f->shared->members.list[i].node);
    }
    return wait;
}

void peers_follow(struct front *f, const struct cluster_map *map)
{
    for (size_t i = 0; i < map->n_nodes; i++)
        open_link(f, map, map->nodes[i].id);
    for (size_t i = 1; i < f->shared->members.n; i++) {
        if (!f->peers[i] || is_named(f->shared, map, f->shared->members.list[i].node))
            continue;
        link_close(f->peers[i]);
        f->peers[i] = NULL;
    }
}
