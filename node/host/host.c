#include <host/host.h>

#include "placing.h"

#include <metrics/http.h>

#include <meta/meta.h>
#include <proto/security.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IO_THREADS = 1, QUERY_THREADS_DEFAULT = 4, SERVER_MESSAGE_MAX = MESSAGE_SIZE_MAX };

struct host {
    struct host_shared shared;
    int lock_fd;
    bool is_placed; /* the map and its lock are there */
    struct wal *wal;
    struct front front;
    struct log_thread log_thread;
    struct checkpoint_thread checkpoint_thread;
    struct watch_thread watch_thread;
    struct transfer_thread transfer_thread;
    struct check_thread check_thread;
    struct query_thread *query_threads;
    size_t n_query_threads;
    struct outbox *to_front, *to_log, *to_checkpoint, *to_watch, *to_transfer,
        *to_check;            /* of the main thread */
    struct http_server *http; /* NULL: the cluster file has no port for it */
};

void host_fatal(struct host_shared *h, const char *event, shard_id shard, const struct error *err)
{
    log_event(h->log, LOG_LEVEL_ERROR, event,
              "node=%u shard=%u code=%s action=stopping text=\"%s\"", h->node, shard,
              error_name(err->code), err->msg);
    (void)fprintf(stderr, "oneid-node %u: %s: %s\n", h->node, event, err->msg);
    _exit(1);
}

/* mkdir -p, 0700. */
static enum error_code make_folder(const char *path, struct error *err)
{
    char part[600];
    size_t n = strlen(path);
    if (n >= sizeof part)
        return error_set(err, ERR_USAGE, "the path of the data folder is too long");
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return error_set_sys(err, ERR_IO, errno, "%s", part);
    }
    return ERR_OK;
}

static enum error_code lock_folder(struct host *h, struct error *err)
{
    char path[600];
    (void)snprintf(path, sizeof path, "%s/lock", h->shared.folder);
    h->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (h->lock_fd < 0)
        return error_set_sys(err, ERR_IO, errno, "%s", path);
    if (flock(h->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return error_set(err, ERR_USAGE, "%s: another oneid-node is running on this folder",
                         h->shared.folder);
    return ERR_OK;
}

static enum error_code open_http(struct host *h, struct error *err)
{
    const struct cluster_config *c = h->shared.config;
    const char *address = "";
    for (size_t i = 0; i < c->n_nodes; i++)
        address = c->nodes[i].id == h->shared.node ? c->nodes[i].metrics : address;
    struct http_pages pages = {figures_show, figures_is_serving, &h->shared};
    return address[0] ? http_start(address, &pages, &h->http, err) : ERR_OK;
}

static const char *listen_of(const struct cluster_config *c, node_id id)
{
    for (size_t i = 0; i < c->n_nodes; i++) {
        if (c->nodes[i].id == id)
            return c->nodes[i].listen;
    }
    return NULL;
}

/* The map of the last time, if there is one. */
static enum error_code load_map(struct host *h, struct error *err)
{
    struct cluster_map *map = malloc(sizeof *map);
    if (!map)
        return error_set(err, ERR_NOMEM, "cluster map");
    enum error_code rc = meta_load_map(h->wal, h->shared.config, map, err);
    if (rc == ERR_OK && !maps_put(&h->shared, map))
        rc = error_set(err, ERR_NOMEM, "cluster map");
    free(map);
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static enum error_code open_log(struct host *h, struct error *err)
{
    char path[600];
    struct host_shared *s = &h->shared;
    (void)snprintf(path, sizeof path, "%s/log", s->folder);
    cluster_map_init(&s->slots, s->config);
    s->n_shards = s->slots.n_shards;
    if (pthread_mutex_init(&s->placing, NULL) != 0 || !maps_open(s))
        return error_set(err, ERR_NOMEM, "cluster map");
    h->is_placed = true;
    struct wal_options o = {.path = path,
                            .map_bytes = (uint64_t)s->config->map_gb << 30,
                            .cluster_id = s->slots.cluster_id,
                            .node = s->node};
    enum error_code rc = wal_open(&o, &h->wal, err);
    if (rc == ERR_OK)
        rc = load_map(h, err);
    if (rc != ERR_OK)
        return error_wrap(err, "%s", s->folder);
    return ERR_OK;
}

static enum error_code open_shards(struct host *h, struct error *err)
{
    struct host_shared *shared = &h->shared;
    enum error_code rc = remains_clean(shared, h->wal, err);
    const struct cluster_map *map = maps_hold(shared);
    for (shard_id i = 0; i < map->n_shards && rc == ERR_OK; i++) {
        struct shard *s = &shared->shards[i];
        if (!cluster_map_holder(map, i, shared->node))
            continue;
        rc = shard_connect(s, err);
        if (rc == ERR_OK)
            rc = shard_open(s, h->wal, err);
        if (rc == ERR_OK)
            atomic_store(&s->state, SHARD_OPEN);
    }
    maps_release(map);
    return rc == ERR_OK ? ERR_OK : error_wrap(err, "%s", shared->folder);
}

static enum error_code make_shards(struct host *h, struct error *err)
{
    struct host_shared *s = &h->shared;
    s->shards = calloc(s->n_shards, sizeof *s->shards);
    if (!s->shards)
        return error_set(err, ERR_NOMEM, "shards");
    for (size_t i = 0; i < s->n_shards; i++) {
        s->shards[i].shared = s;
        s->shards[i].id = (shard_id)i;
    }
    return ERR_OK;
}

struct shard *host_shard(struct host_shared *h, shard_id id)
{
    bool is_open = id < h->n_shards &&
                   atomic_load_explicit(&h->shards[id].state, memory_order_acquire) == SHARD_OPEN;
    return is_open ? &h->shards[id] : NULL;
}

static enum error_code open_inboxes(struct host *h, struct error *err)
{
    struct net *net = h->shared.net;
    enum error_code rc = inbox_open(net, "front", &h->front.inbox, err);
    if (rc == ERR_OK)
        rc = inbox_open(net, "log", &h->log_thread.inbox, err);
    if (rc == ERR_OK)
        rc = inbox_open(net, "checkpoint", &h->checkpoint_thread.inbox, err);
    if (rc == ERR_OK)
        rc = inbox_open(net, "watch", &h->watch_thread.inbox, err);
    if (rc == ERR_OK)
        rc = inbox_open(net, "transfer", &h->transfer_thread.inbox, err);
    if (rc == ERR_OK)
        rc = inbox_open(net, "check", &h->check_thread.inbox, err);
    return rc;
}

static enum error_code open_outboxes(struct host *h, struct error *err)
{
    struct net *net = h->shared.net;
    enum error_code rc = outbox_open(net, "front", &h->to_front, err);
    if (rc == ERR_OK)
        rc = outbox_open(net, "log", &h->to_log, err);
    if (rc == ERR_OK)
        rc = outbox_open(net, "checkpoint", &h->to_checkpoint, err);
    if (rc == ERR_OK)
        rc = outbox_open(net, "watch", &h->to_watch, err);
    if (rc == ERR_OK)
        rc = outbox_open(net, "watch", &h->front.to_watch, err);
    if (rc == ERR_OK)
        rc = outbox_open(net, "transfer", &h->to_transfer, err);
    if (rc == ERR_OK)
        rc = outbox_open(net, "check", &h->to_check, err);
    if (rc == ERR_OK)
        rc = outbox_open(net, "transfer", &h->front.to_transfer, err);
    if (rc == ERR_OK)
        rc = outbox_open(net, "front", &h->transfer_thread.to_front, err);
    if (rc == ERR_OK)
        rc = outbox_open(net, "front", &h->watch_thread.to_front, err);
    for (size_t i = 0; i < h->n_query_threads && rc == ERR_OK; i++)
        rc = outbox_open(net, "front", &h->query_threads[i].to_front, err);
    if (rc == ERR_OK)
        rc = outbox_open(net, "log", &h->front.to_log, err);
    return rc;
}

/* A thread has the name of its maker when it begins, so that `top -H` and perf tell them apart. */
enum error_code host_start_thread(pthread_t *thread, bool *started, const char *name,
                                  void *(*run)(void *), void *arg, struct error *err)
{
    char own[16] = "";
    (void)prctl(PR_GET_NAME, own);
    (void)prctl(PR_SET_NAME, name);
    int sys = pthread_create(thread, NULL, run, arg);
    (void)prctl(PR_SET_NAME, own);
    if (sys != 0)
        return error_set_sys(err, ERR_NOMEM, sys, "starting a thread");
    *started = true;
    return ERR_OK;
}

static enum error_code start_threads(struct host *h, struct error *err)
{
    struct log_thread *l = &h->log_thread;
    struct checkpoint_thread *c = &h->checkpoint_thread;
    struct front *f = &h->front;
    struct watch_thread *w = &h->watch_thread;
    struct transfer_thread *t = &h->transfer_thread;
    struct check_thread *k = &h->check_thread;
    l->shared = c->shared = w->shared = t->shared = k->shared = f->shared = &h->shared;
    l->wal = h->wal;
    enum error_code rc = host_start_thread(&l->thread, &l->started, "log", log_thread_main, l, err);
    if (rc == ERR_OK)
        rc = host_start_thread(&c->thread, &c->started, "checkpoint", checkpoint_thread_main, c,
                               err);
    if (rc == ERR_OK)
        rc = host_start_thread(&w->thread, &w->started, "watch", watch_thread_main, w, err);
    if (rc == ERR_OK)
        rc = host_start_thread(&t->thread, &t->started, "transfer", transfer_thread_main, t, err);
    if (rc == ERR_OK)
        rc = host_start_thread(&k->thread, &k->started, "check", check_thread_main, k, err);
    for (shard_id i = 0; i < h->shared.n_shards && rc == ERR_OK; i++) {
        struct shard *s = host_shard(&h->shared, i);
        if (s)
            rc = host_start_thread(&s->thread, &s->started, s->inbox_name, shard_main, s, err);
    }
    for (size_t i = 0; i < h->n_query_threads && rc == ERR_OK; i++) {
        struct query_thread *q = &h->query_threads[i];
        q->shared = &h->shared;
        q->no = i;
        rc = host_start_thread(&q->thread, &q->started, "query", query_thread_main, q, err);
    }
    if (rc == ERR_OK)
        rc = host_start_thread(&f->thread, &f->started, "front", front_main, f, err);
    return rc;
}

static enum error_code open_query_threads(struct host *h, struct error *err)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = h->shared.config->query_threads;
    if (n == 0)
        n = cores < 1 ? 1 : cores < QUERY_THREADS_DEFAULT ? (size_t)cores : QUERY_THREADS_DEFAULT;
    h->query_threads = calloc(n, sizeof *h->query_threads);
    if (!h->query_threads)
        return error_set(err, ERR_NOMEM, "query threads");
    h->n_query_threads = n;
    return query_pool_open(&h->shared.queries, n, h->shared.n_shards, err);
}

static enum error_code secure(struct host *h, struct error *err)
{
    char name[16];
    (void)snprintf(name, sizeof name, "node-%u", h->shared.node);
    return net_secure_process(h->shared.net, h->shared.config, name, h->shared.log, err);
}

enum error_code host_open(const struct cluster_config *config, node_id id, struct log *log,
                          struct host **out, struct error *err)
{
    const char *listen = listen_of(config, id);
    if (!listen)
        return error_set(err, ERR_USAGE, "%s names no node %u", config->path, id);
    struct host *h = calloc(1, sizeof *h);
    if (!h)
        return error_set(err, ERR_NOMEM, "node");
    h->shared.config = config;
    h->shared.node = id;
    h->shared.log = log;
    h->front.shared = &h->shared;
    h->lock_fd = -1;
    (void)snprintf(h->shared.folder, sizeof h->shared.folder, "%s/node-%u", config->data, id);
    h->shared.serving_since = clock_mono_ms();
    enum error_code rc = make_folder(h->shared.folder, err);
    if (rc == ERR_OK)
        rc = lock_folder(h, err);
    if (rc == ERR_OK)
        rc = net_open(IO_THREADS, &h->shared.net, err);
    if (rc == ERR_OK)
        rc = secure(h, err);
    if (rc == ERR_OK) /* before the long part: a port in use shows at once */
        rc = server_open(h->shared.net, listen, SERVER_MESSAGE_MAX, &h->front.server, err);
    if (rc == ERR_OK)
        server_require(h->front.server, ROLE_NODE);
    if (rc == ERR_OK)
        rc = open_log(h, err);
    if (rc == ERR_OK)
        rc = host_form(&h->front, &h->shared.slots, h->wal, err);
    if (rc == ERR_OK)
        rc = make_shards(h, err);
    if (rc == ERR_OK)
        rc = open_query_threads(h, err);
    if (rc == ERR_OK) /* an outbox needs its inbox to be there */
        rc = open_inboxes(h, err);
    if (rc == ERR_OK)
        rc = open_shards(h, err);
    if (rc == ERR_OK)
        rc = open_outboxes(h, err);
    if (rc == ERR_OK)
        rc = start_threads(h, err);
    if (rc == ERR_OK)
        rc = open_http(h, err);
    if (rc != ERR_OK) {
        host_close(h);
        return rc;
    }
    *out = h;
    return ERR_OK;
}

static void stop(struct outbox *to, pthread_t thread, bool started)
{
    if (!started)
        return;
    message_send(to, message_new(MESSAGE_STOP));
    (void)pthread_join(thread, NULL);
}

static void stop_threads(struct host *h)
{
    (void)pthread_mutex_lock(&h->shared.placing); /* no shard comes in from here on */
    atomic_store(&h->shared.stopping, true);
    (void)pthread_mutex_unlock(&h->shared.placing);
    if (h->shared.queries.work)
        query_pool_stop(&h->shared.queries); /* what is not published waits for those that run */
    if (h->front.started)
        message_send(h->to_front, message_new(MESSAGE_STOP)); /* refuse what comes from here on */
    struct shard *shards = h->shared.shards;
    for (size_t i = 0; shards && i < h->shared.n_shards; i++) {
        if (shards[i].started)
            message_send(shards[i].to_shard, message_new(MESSAGE_STOP));
    }
    for (size_t i = 0; shards && i < h->shared.n_shards; i++) {
        if (shards[i].started)
            (void)pthread_join(shards[i].thread, NULL);
    }
    stop(h->to_watch, h->watch_thread.thread, h->watch_thread.started);
    stop(h->to_transfer, h->transfer_thread.thread, h->transfer_thread.started);
    stop(h->to_check, h->check_thread.thread, h->check_thread.started);
    for (size_t i = 0; i < h->n_query_threads; i++) {
        if (h->query_threads[i].started)
            (void)pthread_join(h->query_threads[i].thread, NULL);
    }
    stop(h->to_front, h->front.thread, h->front.started);
    stop(h->to_checkpoint, h->checkpoint_thread.thread, h->checkpoint_thread.started);
    stop(h->to_log, h->log_thread.thread, h->log_thread.started);
}

static void drop_inbox(struct inbox *b)
{
    struct message *m;
    while (b && (m = inbox_take(b)))
        message_free(m);
    inbox_close(b);
}

void host_close(struct host *h)
{
    if (!h)
        return;
    if (h->is_placed)
        stop_threads(h); /* meanwhile /healthz says so */
    http_stop(h->http);
    for (size_t i = 0; h->shared.shards && i < h->shared.n_shards; i++)
        shard_close(&h->shared.shards[i]);
    outbox_close(h->to_front);
    outbox_close(h->to_log);
    outbox_close(h->to_checkpoint);
    outbox_close(h->to_watch);
    outbox_close(h->front.to_watch);
    outbox_close(h->front.to_log);
    outbox_close(h->watch_thread.to_front);
    outbox_close(h->to_transfer);
    outbox_close(h->front.to_transfer);
    outbox_close(h->to_check);
    outbox_close(h->transfer_thread.to_front);
    for (size_t i = 0; i < h->n_query_threads; i++)
        outbox_close(h->query_threads[i].to_front);
    free(h->query_threads);
    query_pool_close(&h->shared.queries);
    drop_inbox(h->front.inbox);
    drop_inbox(h->log_thread.inbox);
    drop_inbox(h->checkpoint_thread.inbox);
    drop_inbox(h->watch_thread.inbox);
    drop_inbox(h->transfer_thread.inbox);
    drop_inbox(h->check_thread.inbox);
    for (size_t i = 0; i < CLUSTER_NODES_MAX; i++)
        link_close(h->front.peers[i]);
    server_close(h->front.server);
    net_close(h->shared.net);
    wal_close(h->wal);
    if (h->lock_fd >= 0)
        (void)close(h->lock_fd);
    free(h->shared.shards);
    if (h->is_placed) {
        maps_close(&h->shared);
        (void)pthread_mutex_destroy(&h->shared.placing);
    }
    free(h);
}
