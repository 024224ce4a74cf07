/* The first start of a node: which folder it has, and whether it founds its shards or joins them.
 * Runs on the main thread, before there are others. */
#include "parts.h"

#include <base/clock.h>
#include <meta/meta.h>
#include <errno.h>
#include <signal.h>
#include <sys/random.h>

enum { GREET_MS = 100, SAY_MS = 5000 };
static const char MEMBERS_NAME[] = "members";
static const msec_t EPOCH_MS = INT64_C(1577836800000); /* 2020-01-01 */

void host_show_folders(struct host_shared *h)
{
    for (size_t i = 0; i < h->members.n; i++)
        atomic_store_explicit(&h->folders[i], h->members.list[i].folder, memory_order_relaxed);
    atomic_store_explicit(&h->n_folders, h->members.n, memory_order_release);
}

/* Shards that are led here and are as the map wants them, while it does not know yet. */
static void list_settled(struct host_shared *h, struct greeting *g)
{
    const struct cluster_map *map = maps_hold(h);
    for (shard_id i = 0; i < map->n_shards && h->shards; i++) {
        const struct map_shard *s = &map->shards[i];
        const struct shard *own = s->is_moving ? host_shard(h, i) : NULL;
        bool is_led = own && atomic_load_explicit(&own->role, memory_order_relaxed) == 1;
        if (is_led && atomic_load_explicit(&h->settled[i], memory_order_relaxed) == s->changed)
            g->settled[g->n_settled++] = (struct greeting_settled){i, s->changed};
    }
    maps_release(map);
}

void host_put_greeting(struct host_shared *h, struct buf *out)
{
    struct buf hello = {0};
    struct greeting *g = calloc(1, sizeof *g);
    if (!g)
        return; /* an empty one is not understood; the next one comes in a second */
    members_put_hello(&h->members, &hello);
    g->hello = buf_bytes(&hello);
    g->epoch = maps_epoch(h);
    list_settled(h, g);
    greeting_encode(g, out);
    buf_free(&hello);
    free(g);
}

void host_send_hello(struct host_shared *h, struct link *to)
{
    struct buf body = {0}, out = {0};
    struct frame frame = {0};
    if (!to)
        return;
    host_put_greeting(h, &body);
    struct envelope e = {.type = MESSAGE_HELLO};
    envelope_encode(&e, body.len, &out);
    buf_put(&out, body.data, body.len);
    if (frame_of_buf(&frame, &out) == ERR_OK)
        (void)link_send(to, &frame); /* who is away is greeted again */
    buf_free(&body);
    buf_free(&out);
    frame_close(&frame);
}

/* --- what is kept --- */

static enum error_code new_folder(folder_id *out, struct error *err)
{
    uint64_t seconds = (uint64_t)((clock_wall_ms() - EPOCH_MS) / 1000);
    uint16_t random;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return error_set_sys(err, ERR_IO, errno, "random numbers");
    *out = (seconds & UINT32_MAX) << FOLDER_RANDOM_BITS | random;
    return ERR_OK;
}

static enum error_code store(struct wal *wal, struct members *m, struct error *err)
{
    struct buf b = {0};
    if (!m->is_unsaved)
        return ERR_OK;
    members_encode(m, &b);
    enum error_code rc = wal_begin(wal, err);
    if (rc == ERR_OK) {
        rc = wal_put_meta(wal, MEMBERS_NAME, buf_bytes(&b), err);
        if (rc == ERR_OK)
            rc = wal_commit(wal, err);
        else
            wal_abort(wal);
    }
    m->is_unsaved = m->is_unsaved && rc != ERR_OK;
    buf_free(&b);
    return rc;
}

static enum error_code load(struct host_shared *h, const struct cluster_map *first, struct wal *wal,
                            struct error *err)
{
    struct buf b = {0};
    folder_id folder = 0;
    enum error_code rc = new_folder(&folder, err);
    if (rc != ERR_OK)
        return rc;
    members_init(&h->members, first, h->node, folder);
    rc = wal_get_meta(wal, MEMBERS_NAME, &b, err);
    if (rc == ERR_NOT_FOUND)
        rc = store(wal, &h->members, err);
    else if (rc == ERR_OK)
        rc = members_decode(&h->members, buf_bytes(&b), err);
    buf_free(&b);
    return rc;
}

/* --- talking --- */

static void answer(struct front *f, const struct peer *to, const struct envelope *asked)
{
    struct buf body = {0}, out = {0};
    struct frame frame = {0};
    struct envelope e = {.type = MESSAGE_HELLO_REPLY, .request_id = asked->request_id};
    if (asked->type == MESSAGE_HELLO) {
        host_put_greeting(f->shared, &body);
    } else {
        e.type = MESSAGE_ERROR;
        wire_error_encode(ERR_UNAVAILABLE, "the node waits for the others of a new cluster", &body);
    }
    envelope_encode(&e, body.len, &out);
    buf_put(&out, body.data, body.len);
    if (frame_of_buf(&frame, &out) == ERR_OK)
        (void)server_send(f->server, to, &frame);
    buf_free(&body);
    buf_free(&out);
    frame_close(&frame);
}

/* Nothing is said before what was heard is stored. `at`: see front_may_say. */
static enum error_code hear(struct front *f, struct wal *wal, struct bytes body, node_id at,
                            struct error *err)
{
    struct error why;
    node_id from;
    struct greeting *g = calloc(1, sizeof *g);
    enum error_code rc = g ? greeting_decode(body, g, &why) : ERR_NOMEM;
    if (rc == ERR_OK)
        rc = front_may_say(f, g->hello, at, &why);
    if (rc == ERR_OK)
        rc = members_hear(&f->shared->members, g->hello, &from, &why);
    free(g);
    if (rc != ERR_OK && rc != ERR_NOMEM)
        log_event(f->shared->log, LOG_LEVEL_WARN, "hello_refused", "text=\"%s\"", why.msg);
    return store(wal, &f->shared->members, err);
}

static enum error_code take_requests(struct front *f, struct wal *wal, struct error *err)
{
    struct peer from;
    struct frame frame = {0};
    struct envelope e;
    struct error why;
    enum error_code rc = ERR_OK;
    while (rc == ERR_OK && server_recv(f->server, &from, &frame)) {
        if (envelope_decode(frame_bytes(&frame), &e, &why) == ERR_OK && e.type != MESSAGE_PEER) {
            if (e.type == MESSAGE_HELLO && server_heard_node(f->server, 0))
                rc = hear(f, wal, e.body, 0, err);
            if (rc == ERR_OK)
                answer(f, &from, &e);
        }
        frame_close(&frame);
    }
    return rc;
}

static enum error_code take_answers(struct front *f, struct wal *wal, struct error *err)
{
    struct frame frame = {0};
    struct envelope e;
    struct error why;
    enum error_code rc = ERR_OK;
    for (size_t i = 1; i < f->shared->members.n; i++) {
        while (rc == ERR_OK && link_recv(f->peers[i], &frame)) {
            if (envelope_decode(frame_bytes(&frame), &e, &why) == ERR_OK &&
                e.type == MESSAGE_HELLO_REPLY)
                rc = hear(f, wal, e.body, f->shared->members.list[i].node, err);
            frame_close(&frame);
        }
    }
    return rc;
}

static void say_who_is_missing(const struct host_shared *h)
{
    const struct members *m = &h->members;
    for (size_t i = 0; i < m->n; i++) {
        const struct member *of = &m->list[i];
        if (!members_waits_for(m, of))
            continue;
        if (of->differs)
            log_event(h->log, LOG_LEVEL_ERROR, "cluster_file_differs",
                      "node=%u text=\"its cluster file names other nodes, shards or replicas than "
                      "%s: a new cluster begins when all have the same\"",
                      of->node, h->config->path);
        else
            log_event(h->log, LOG_LEVEL_WARN, "waiting_for_node",
                      "node=%u heard=%d text=\"a new cluster begins when all its nodes are there\"",
                      of->node, of->folder != 0);
    }
}

/* Signals are blocked in all threads; the one that ends the process waits to be seen. */
static bool is_told_to_end(void)
{
    sigset_t set;
    return sigpending(&set) == 0 &&
           (sigismember(&set, SIGTERM) == 1 || sigismember(&set, SIGINT) == 1);
}

static enum error_code form(struct front *f, struct wal *wal, struct error *err)
{
    struct members *m = &f->shared->members;
    struct waitable wait[1 + CLUSTER_NODES_MAX] = {{.server = f->server}};
    msec_t greeted = 0, said = clock_mono_ms();
    for (size_t i = 1; i < m->n; i++)
        wait[i].link = f->peers[i];
    while (members_form(m) == MEMBERS_FORMING) {
        msec_t now = clock_mono_ms();
        if (is_told_to_end())
            return error_set(err, ERR_SHUTDOWN, "told to end while waiting for the other nodes");
        for (size_t i = 1; i < m->n && now - greeted >= GREET_MS; i++)
            host_send_hello(f->shared, f->peers[i]);
        greeted = now - greeted >= GREET_MS ? now : greeted;
        if (now - said >= SAY_MS) {
            say_who_is_missing(f->shared);
            said = now;
        }
        (void)endpoint_wait(wait, m->n, GREET_MS);
        enum error_code rc = take_requests(f, wal, err);
        if (rc == ERR_OK)
            rc = take_answers(f, wal, err);
        if (rc != ERR_OK)
            return rc;
    }
    return store(wal, m, err);
}

static enum error_code open_peers(struct front *f, const struct cluster_map *first,
                                  struct error *err)
{
    const struct members *m = &f->shared->members;
    enum error_code rc = ERR_OK;
    for (size_t i = 1; i < m->n && rc == ERR_OK; i++)
        rc = peers_link(f->shared, first, m->list[i].node, &f->peers[i], err);
    return rc;
}

/* The map to begin with: the founders', or none, and then one of another node's. */
static enum error_code begin_map(struct host_shared *h, const struct cluster_map *first,
                                 struct wal *wal, struct error *err)
{
    if (h->members.state != MEMBERS_FOUNDER || maps_epoch(h) > 0)
        return ERR_OK;
    enum error_code rc = meta_store_map(wal, first, err);
    if (rc == ERR_OK && !maps_put(h, first))
        rc = error_set(err, ERR_NOMEM, "no memory for the cluster map");
    return rc;
}

enum error_code host_form(struct front *f, const struct cluster_map *first, struct wal *wal,
                          struct error *err)
{
    struct host_shared *h = f->shared;
    enum error_code rc = load(h, first, wal, err);
    if (rc == ERR_OK)
        rc = open_peers(f, first, err);
    if (rc == ERR_OK && h->members.state == MEMBERS_FORMING) {
        rc = form(f, wal, err);
        if (rc == ERR_OK)
            log_event(h->log, LOG_LEVEL_INFO, "formed", "as=%s folder=%llx",
                      h->members.state == MEMBERS_FOUNDER ? "founder" : "joiner",
                      (unsigned long long)members_self(&h->members)->folder);
    }
    if (rc == ERR_OK)
        rc = begin_map(h, first, wal, err);
    if (rc == ERR_OK)
        host_show_folders(h);
    return rc;
}
