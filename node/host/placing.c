/* Makes the node as the cluster map wants it, while it runs: links to nodes that came, shards that
 * are to be here, and shards that are given up.
 *
 *   ABSENT ── front: the map wants it ──▶ OPENING ── log thread ──▶ OPEN ── front: the map does not
 *   want it any more ──▶ CLOSING ── shard thread, and the log has forgotten it ──▶ ABSENT
 *
 * The map is handed to the log before anything is given up because of it: so a node that starts
 * again never goes on with a replica that it has wiped, under the id that it promised with. */
#include "placing.h"

#include <base/clock.h>
#include <proto/security.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- other nodes --- */

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

enum error_code placing_link(struct host_shared *h, const struct cluster_map *map, node_id node,
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
    if (placing_link(h, map, node, &f->peers[at], &err) != ERR_OK)
        log_event(h->log, LOG_LEVEL_ERROR, "no_link", "text=\"%s\"", err.msg);
    host_show_folders(h);
}

static void follow_nodes(struct front *f, const struct cluster_map *map)
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

/* --- the map --- */

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

static void set_state(struct shard *s, enum shard_state state)
{
    atomic_store_explicit(&s->state, state, memory_order_release);
}

static void want(struct front *f, struct shard *s)
{
    struct message *m = message_new(MESSAGE_OPEN);
    m->shard = s;
    set_state(s, SHARD_OPENING);
    message_send(f->to_log, m);
}

static void give_up(struct shard *s)
{
    set_state(s, SHARD_CLOSING);
    message_send(s->to_shard, message_new(MESSAGE_DROP));
}

void placing_follow(struct front *f)
{
    struct host_shared *h = f->shared;
    const struct cluster_map *map = maps_hold(h);
    if (map->epoch > 0)
        follow_nodes(f, map);
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
        set_state(s, SHARD_ABSENT);
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
        set_state(s, SHARD_OPEN);
    } else if (rc == ERR_DISK_FULL) { /* the front tries again */
        log_event(h->log, LOG_LEVEL_ERROR, "shard_not_taken", "shard=%u text=\"%s\"", s->id,
                  err.msg);
        shard_close_replica(s);
        set_state(s, SHARD_ABSENT);
    } else {
        host_fatal(h, "shard_not_taken", s->id, &err);
    }
    (void)pthread_mutex_unlock(&h->placing);
}

/* --- what is kept of a shard --- */

enum { NAME_BYTES = 32, PATH_BYTES = 900 };

static void since_name(char *name, shard_id shard)
{
    (void)snprintf(name, NAME_BYTES, "since-%u", shard);
}

static enum error_code read_since(struct wal *wal, shard_id shard, uint32_t *since,
                                  struct error *err)
{
    char name[NAME_BYTES];
    struct buf value = {0};
    since_name(name, shard);
    *since = 0;
    enum error_code rc = wal_get_meta(wal, name, &value, err);
    if (rc == ERR_OK) {
        struct reader r = reader_of(buf_bytes(&value));
        *since = reader_u32(&r);
        if (!r.ok || reader_left(&r) > 0)
            rc = error_set(err, ERR_CORRUPT, "the log's record %s is damaged", name);
    }
    buf_free(&value);
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

enum error_code placing_forget(struct wal *wal, shard_id shard, struct error *err)
{
    char name[NAME_BYTES];
    since_name(name, shard);
    enum error_code rc = wal_forget(wal, shard, err);
    if (rc == ERR_OK)
        rc = wal_del_meta(wal, name, err);
    return rc == ERR_OK ? install_forget(wal, shard, err) : rc;
}

static enum error_code forget_all(struct wal *wal, shard_id shard, uint32_t since,
                                  struct error *err)
{
    char name[NAME_BYTES];
    struct buf value = {0};
    since_name(name, shard);
    buf_put_u32(&value, since);
    enum error_code rc = wal_begin(wal, err);
    if (rc == ERR_OK) {
        rc = placing_forget(wal, shard, err);
        if (rc == ERR_OK && since)
            rc = wal_put_meta(wal, name, buf_bytes(&value), err);
        if (rc == ERR_OK)
            rc = wal_commit(wal, err);
        else
            wal_abort(wal);
    }
    buf_free(&value);
    return rc;
}

/* A shard's folder has files only. */
static enum error_code remove_folder(const char *folder, struct error *err)
{
    char path[PATH_BYTES];
    DIR *dir = opendir(folder);
    if (!dir)
        return errno == ENOENT ? ERR_OK : error_set_sys(err, ERR_IO, errno, "%s", folder);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) { /* NOLINT(concurrency-mt-unsafe) */
        (void)snprintf(path, sizeof path, "%.600s/%.255s", folder, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlink(path);
    }
    (void)closedir(dir);
    return rmdir(folder) == 0 ? ERR_OK : error_set_sys(err, ERR_IO, errno, "%s", folder);
}

/* The log first: a state without a log is what is put right here at the next start, a log without
 * its state would be taken for damage. */
enum error_code placing_renew(struct shard *s, struct wal *wal, struct error *err)
{
    uint32_t was = 0;
    enum error_code rc = read_since(wal, s->id, &was, err);
    if (rc != ERR_OK || was == s->since)
        return rc;
    rc = forget_all(wal, s->id, 0, err);
    if (rc == ERR_OK)
        rc = remove_folder(s->folder, err);
    return rc == ERR_OK ? forget_all(wal, s->id, s->since, err) : rc;
}

enum error_code placing_clean(struct host_shared *h, struct wal *wal, struct error *err)
{
    const struct cluster_map *map = maps_hold(h);
    enum error_code rc = ERR_OK;
    for (shard_id i = 0; i < map->n_shards && rc == ERR_OK; i++) {
        char folder[PATH_BYTES];
        (void)snprintf(folder, sizeof folder, "%s/shard-%u", h->folder, i);
        if (cluster_map_holder(map, i, h->node) || access(folder, F_OK) != 0)
            continue;
        log_event(h->log, LOG_LEVEL_INFO, "shard_given_up", "shard=%u resumed=1", i);
        rc = forget_all(wal, i, 0, err);
        if (rc == ERR_OK)
            rc = remove_folder(folder, err);
    }
    maps_release(map);
    return rc;
}

/* --- giving up, on the shard's thread --- */

void placing_drop(struct shard *s)
{
    s->drop = DROP_WAITING;
    if (s->install.phase == INSTALL_FETCHING && s->install.again_ms == 0) {
        struct message *m = message_new(MESSAGE_FETCH_CANCEL);
        m->shard = s;
        message_send(s->to_transfer, m);
    } else if (s->install.phase != INSTALL_LOGGING) {
        s->install.phase = INSTALL_NONE;
    }
}

/* The replica is not asked any more: what it would write would stay in the log. */
void placing_drop_take(struct shard *s, const struct message *m)
{
    if (m->kind == MESSAGE_REQUEST && m->envelope.type != MESSAGE_PEER)
        message_answer_error(s->to_front, m, ERR_WRONG_SHARD, "the shard left this node");
    else if (m->kind == MESSAGE_CHECKPOINT_DONE)
        s->checkpointing = false;
    else if (m->kind == MESSAGE_STATE_FETCHED || m->kind == MESSAGE_LOG_INSTALLED)
        s->install.phase = INSTALL_NONE;
    else if (m->kind == MESSAGE_LOG_ENTRIES)
        s->group.is_loading = false;
    else if (m->kind == MESSAGE_LOG_FORGOTTEN)
        s->drop = DROP_DONE;
    else if (m->kind == MESSAGE_STOP)
        s->stopping = true;
}

void placing_drop_tick(struct shard *s)
{
    if (s->drop != DROP_WAITING || s->checkpointing || s->install.phase != INSTALL_NONE ||
        s->group.is_loading)
        return;
    struct message *m = message_new(MESSAGE_LOG_FORGET);
    m->shard = s;
    s->drop = DROP_LOGGING;
    message_send(s->to_log, m);
}

void placing_dropped(struct shard *s)
{
    struct message *m;
    struct error err;
    atomic_store_explicit(&s->replacing, true, memory_order_release);
    (void)pthread_rwlock_wrlock(&s->in_place);
    shard_close_replica(s);
    (void)pthread_rwlock_unlock(&s->in_place);
    if (remove_folder(s->folder, &err) != ERR_OK)
        log_event(s->shared->log, LOG_LEVEL_ERROR, "shard_files_left",
                  "shard=%u text=\"%s; they go at the next start\"", s->id, err.msg);
    while ((m = inbox_take(s->inbox))) {
        placing_drop_take(s, m);
        message_free(m);
    }
    log_event(s->shared->log, LOG_LEVEL_INFO, "shard_given_up", "shard=%u", s->id);
    set_state(s, SHARD_ABSENT);
}

/* --- shard 0: the map's place --- */

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

void placing_propose(struct shard *s, msec_t now)
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

void placing_tell_front(struct shard *s)
{
    const struct cluster_map *map = s->id == 0 ? machine_map(s->machine) : NULL;
    if (!map || map->epoch <= s->map_epoch)
        return;
    s->map_epoch = map->epoch;
    struct message *m = message_new(MESSAGE_MAP);
    cluster_map_encode(map, &m->content);
    message_send(s->to_front, m);
}
