/* The links to nodes, as the cluster file and the map name them. */
#include "parts.h"

#include <proto/security.h>

#include <stdlib.h>
#include <string.h>

static void close_node(struct node *n)
{
    link_close(n->link);
    free(n->listen);
    *n = (struct node){0};
}

static enum error_code open_node(struct router *r, const struct known_node *k, struct node *n,
                                 struct error *err)
{
    *n = (struct node){.id = k->id, .is_in_map = k->is_in_map, .listen = strdup(k->listen)};
    if (!n->listen)
        return error_set(err, ERR_NOMEM, "node %u", k->id);
    enum error_code rc = net_know_node(r->net, k->listen, k->id, err);
    if (rc == ERR_OK)
        rc = link_open_unqueued(r->net, k->listen, &n->link, err);
    return rc == ERR_OK ? ERR_OK : error_wrap(err, "node %u", k->id);
}

/* Sockets for endpoint_wait: those of the nodes, and behind them the one of clients. */
static void fill_waits(struct router *r)
{
    for (size_t i = 0; i < r->n_nodes; i++)
        r->waits[i] = (struct waitable){.link = r->nodes[i].link, .ready = true};
    r->waits[r->n_nodes] = (struct waitable){.server = r->server, .ready = true};
}

enum error_code nodes_open(struct router *r, struct error *err)
{
    struct known_nodes known;
    r->nodes = calloc(CLUSTER_NODES_MAX, sizeof *r->nodes);
    r->waits = calloc(CLUSTER_NODES_MAX + 1, sizeof *r->waits);
    if (!r->nodes || !r->waits)
        return error_set(err, ERR_NOMEM, "router");
    known_nodes_list(r->config, NULL, &known);
    for (size_t i = 0; i < known.n; i++) {
        enum error_code rc = open_node(r, &known.nodes[i], &r->nodes[r->n_nodes++], err);
        if (rc != ERR_OK)
            return rc;
    }
    fill_waits(r);
    return ERR_OK;
}

void nodes_close(struct router *r)
{
    for (size_t i = 0; i < r->n_nodes; i++)
        close_node(&r->nodes[i]);
    free(r->nodes);
    free(r->waits);
}

/* The node as it is, out of the table; else with a new link. False: that cannot be. */
static bool take_node(struct router *r, const struct known_node *k, struct node *out)
{
    struct node *old = nodes_find(r, k->id);
    struct error err;
    if (old && strcmp(old->listen, k->listen) == 0) {
        *out = *old;
        out->is_in_map = k->is_in_map;
        *old = (struct node){0};
        return true;
    }
    if (open_node(r, k, out, &err) == ERR_OK) {
        log_event(r->log, LOG_LEVEL_INFO, "node_known", "node=%u endpoint=%s", k->id, k->listen);
        return true;
    }
    log_event(r->log, LOG_LEVEL_ERROR, "node_not_linked", "node=%u text=\"%s\"", k->id, err.msg);
    close_node(out);
    return false;
}

void nodes_follow(struct router *r)
{
    struct known_nodes known;
    struct node now[CLUSTER_NODES_MAX] = {{0}};
    size_t n = 0;
    if (!r->nodes_changed)
        return;
    r->nodes_changed = false;
    known_nodes_list(r->config, &r->map, &known);
    for (size_t i = 0; i < known.n; i++)
        n += take_node(r, &known.nodes[i], &now[n]);
    for (size_t i = 0; i < r->n_nodes; i++) {
        if (r->nodes[i].id && !cluster_map_node(&r->map, r->nodes[i].id))
            log_event(r->log, LOG_LEVEL_INFO, "node_gone", "node=%u", r->nodes[i].id);
        close_node(&r->nodes[i]);
    }
    memcpy(r->nodes, now, sizeof now);
    r->n_nodes = n;
    fill_waits(r);
    if (known.n_left_out)
        log_event(r->log, LOG_LEVEL_WARN, "nodes_left_out",
                  "count=%zu text=\"the cluster file "
                  "names more nodes than there can be\"",
                  known.n_left_out);
}

struct node *nodes_find(struct router *r, node_id id)
{
    for (size_t i = 0; i < r->n_nodes; i++) {
        if (r->nodes[i].id == id)
            return &r->nodes[i];
    }
    return NULL;
}

bool nodes_send(const struct node *n, const struct envelope *e)
{
    struct buf b = {0};
    struct frame f = {0};
    envelope_encode(e, 0, &b);
    bool sent = frame_of_buf(&f, &b) == ERR_OK && link_send(n->link, &f);
    buf_free(&b);
    frame_close(&f);
    return sent;
}

bool nodes_is_away(struct router *r, node_id id)
{
    const struct node *n = nodes_find(r, id);
    return !n || !n->is_up || (n->silent_ms && r->now - n->silent_ms >= AWAY_MS);
}
