#include "parts.h"

#include <proto/security.h>

#include <stdio.h>
#include <stdlib.h>

enum { IO_THREADS = 1, TURN_MESSAGES = 256, CLIENT_MESSAGE_MAX = 16 << 20, ARENA_MAX = 256 << 20 };

static const char *listen_of(const struct cluster_config *c, uint16_t id)
{
    for (size_t i = 0; i < c->n_routers; i++) {
        if (c->routers[i].id == id)
            return c->routers[i].listen;
    }
    return NULL;
}

static enum error_code open_http(struct router *r, struct error *err)
{
    struct http_pages pages = {figures_show, figures_is_serving, r};
    const char *address = "";
    for (size_t i = 0; i < r->config->n_routers; i++)
        address = r->config->routers[i].id == r->id ? r->config->routers[i].metrics : address;
    return address[0] ? http_start(address, &pages, &r->http, err) : ERR_OK;
}

static enum error_code open_tasks(struct router *r, struct error *err)
{
    r->tasks = calloc(TASKS_MAX, sizeof *r->tasks);
    r->wake_ms = malloc(TASKS_MAX * sizeof *r->wake_ms);
    r->free_tasks = malloc(TASKS_MAX * sizeof *r->free_tasks);
    r->versions = calloc(r->config->n_shards, sizeof *r->versions);
    r->behind = calloc(r->config->n_shards, sizeof *r->behind);
    if (!r->tasks || !r->wake_ms || !r->free_tasks || !r->versions || !r->behind)
        return error_set(err, ERR_NOMEM, "router");
    for (uint32_t i = 0; i < TASKS_MAX; i++) {
        r->wake_ms[i] = INT64_MAX;
        r->tasks[i].number = i;
        r->free_tasks[i] = TASKS_MAX - 1 - i;
    }
    return ERR_OK;
}

static enum error_code open_parts(struct router *r, const char *listen, struct error *err)
{
    r->cache = idcache_new((size_t)r->config->router_cache_mb << 20);
    if (!r->cache)
        return error_set(err, ERR_NOMEM, "router");
    enum error_code rc = open_tasks(r, err);
    if (rc == ERR_OK)
        rc = net_open(IO_THREADS, &r->net, err);
    if (rc == ERR_OK) {
        char name[16];
        (void)snprintf(name, sizeof name, "router-%u", r->id);
        rc = net_secure_process(r->net, r->config, name, r->log, err);
    }
    if (rc == ERR_OK)
        rc = server_open(r->net, listen, CLIENT_MESSAGE_MAX, &r->server, err);
    if (rc == ERR_OK)
        rc = nodes_open(r, err);
    if (rc == ERR_OK)
        rc = shards_open(r, err);
    if (rc == ERR_OK)
        rc = open_http(r, err);
    return rc;
}

enum error_code router_open(const struct cluster_config *config, uint16_t id, struct log *log,
                            struct router **out, struct error *err)
{
    const char *listen = listen_of(config, id);
    if (!listen)
        return error_set(err, ERR_USAGE, "%s names no router %u", config->path, id);
    struct router *r = calloc(1, sizeof *r);
    if (!r)
        return error_set(err, ERR_NOMEM, "router");
    r->config = config;
    r->id = id;
    r->log = log;
    r->seed = (uint64_t)clock_wall_ms() * 65536 + id;
    r->serving_since = clock_mono_ms();
    arena_init(&r->arena, ARENA_MAX);
    arena_init(&r->scratch, ARENA_MAX);
    enum error_code rc = open_parts(r, listen, err);
    if (rc != ERR_OK) {
        router_close(r);
        return rc;
    }
    *out = r;
    return ERR_OK;
}

/* Reads nothing while the table of requests is nearly full: the clients' queues fill instead. */
static void take_requests(struct router *r)
{
    struct peer peer;
    struct frame f = {0};
    for (int i = 0; i < TURN_MESSAGES && r->n_tasks < TASKS_MAX / 2; i++) {
        if (!server_recv(r->server, &peer, &f))
            break;
        struct envelope e;
        struct error err;
        enum error_code rc = envelope_decode(frame_bytes(&f), &e, &err);
        if (rc == ERR_OK)
            tasks_take_message(r, &peer, &e);
        else
            tasks_refuse(r, &peer, e.request_id, rc, err.msg);
        frame_close(&f);
        arena_reset(&r->arena);
    }
}

static void take_replies(struct router *r)
{
    for (size_t n = 0; n < r->n_nodes; n++) {
        struct frame f = {0};
        struct node *from = &r->nodes[n];
        for (int i = 0; i < TURN_MESSAGES && r->waits[n].ready && link_recv(from->link, &f); i++) {
            shards_take_frame(r, from, &f);
            frame_close(&f);
            arena_reset(&r->arena);
        }
    }
}

static void log_refused(struct router *r, uint64_t *logged)
{
    uint64_t n = r->refused_frames + server_dropped(r->server);
    if (n < 2 * *logged + 1)
        return;
    log_event(r->log, LOG_LEVEL_WARN, "refused_messages", "total=%llu", (unsigned long long)n);
    *logged = n;
}

/* While nothing is in flight, only sweeps and the map are on time. */
static long wait_ms(const struct router *r)
{
    if (r->n_tasks > 0 || !r->has_map)
        return TICK_MS;
    long sweep_ms = SWEEP_MS / r->map.n_shards;
    return sweep_ms < TICK_MS ? TICK_MS : sweep_ms > IDLE_MS ? IDLE_MS : sweep_ms;
}

/* For the HTTP port's thread, which must not look at what changes. */
static void note_turn(struct router *r)
{
    struct router_figures *f = &r->figures;
    metric_set(&f->is_serving, r->has_map);
    metric_set(&f->in_flight, r->n_tasks);
    metric_set(&f->map_epoch, r->map.epoch);
    metric_set(&f->refused, r->refused_frames + server_dropped(r->server));
    metric_set(&f->turned_ms, (uint64_t)r->now);
}

void router_run(struct router *r)
{
    uint64_t logged = 0;
    while (!atomic_load_explicit(&r->stop, memory_order_relaxed)) {
        r->now_us = clock_mono_us();
        r->now = r->now_us / 1000;
        r->wall_ms = clock_wall_ms();
        note_turn(r);
        if (!r->has_map || r->now - r->map_asked_ms >= MAP_CHECK_MS)
            maps_refresh(r);
        take_replies(r);
        nodes_follow(r);
        shards_fail_lost(r);
        if (r->has_map) {
            if (r->waits[r->n_nodes].ready)
                take_requests(r);
            tasks_tick(r);
            tasks_sweep(r);
        }
        shards_flush(r);
        tasks_flush(r);
        log_refused(r, &logged);
        bool listening = r->has_map && r->n_tasks < TASKS_MAX / 2;
        r->waits[r->n_nodes].ready = false;
        (void)endpoint_wait(r->waits, listening ? r->n_nodes + 1 : r->n_nodes, wait_ms(r));
    }
}

void router_stop(struct router *r)
{
    atomic_store_explicit(&r->stop, true, memory_order_relaxed);
}

void router_close(struct router *r)
{
    if (!r)
        return;
    http_stop(r->http);
    tasks_close(r);
    shards_close(r);
    nodes_close(r);
    server_close(r->server);
    net_close(r->net);
    idcache_free(r->cache);
    arena_close(&r->arena);
    arena_close(&r->scratch);
    free(r);
}
