/* Opens a shard: state, index, and its place in the log. */
#include "placing.h"
#include "record.h"

#include <base/hash.h>

#include <stdio.h>

enum {
    HEARTBEATS = 7, /* in an election time-out */
    CACHE_BYTES = 16 << 20
};

static void shard_emit(void *ctx, const struct index_op *op)
{
    struct shard *s = ctx;
    if (s->applied >= s->index_loaded)
        index_apply(s->index, op);
}

static enum error_code open_index(struct shard *s, struct error *err)
{
    char path[700];
    (void)snprintf(path, sizeof path, "%s/index", s->folder);
    uint64_t id = s->shared->slots.cluster_id;
    s->index = index_new(&s->shared->config->schema);
    if (!s->index)
        return error_set(err, ERR_NOMEM, "index");
    struct error why;
    index_set_watch_events(s->index, s->shared->config->watch_events);
    enum error_code rc = index_load(s->index, path, id, s->id, 0, &why);
    uint64_t durable = store_durable_index(s->store);
    if (rc == ERR_OK && index_applied(s->index) >= durable) {
        s->index_loaded = index_applied(s->index);
        return ERR_OK;
    }
    index_free(s->index);
    s->index = index_new(&s->shared->config->schema);
    if (!s->index)
        return error_set(err, ERR_NOMEM, "index");
    if (durable > 0)
        log_event(s->shared->log, LOG_LEVEL_WARN, "index_rebuild", "shard=%u why=\"%s\"", s->id,
                  rc == ERR_OK ? "older than the state" : why.msg);
    s->applied = durable;
    index_set_watch_events(s->index, s->shared->config->watch_events);
    machine_rebuild(s->machine, shard_emit, s);
    shard_end_index_entry(s, 0);
    (void)index_publish(s->index);
    s->index_loaded = durable;
    return ERR_OK;
}

/* A shard that the log has never seen, of a cluster that is just founded: its first entry names the
 * founders as voters. */
static bool is_founded_here(const struct shard *s, const struct wal_shard *w)
{
    return w->term == 0 && s->since == 0 && s->shared->members.state == MEMBERS_FOUNDER &&
           maps_epoch(s->shared) == 1;
}

static enum error_code bootstrap(struct wal *wal, const struct shard *s, struct error *err)
{
    struct buf conf = {0};
    const struct cluster_map *map = maps_hold(s->shared);
    uint64_t voters[CLUSTER_REPLICAS_MAX];
    size_t n = map->shards[s->id].n_replicas;
    for (size_t i = 0; i < n; i++) {
        node_id node = map->shards[s->id].holders[i].node;
        const struct member *m = members_find(&s->shared->members, node);
        voters[i] = replica_id_of(m->founder, node, 0);
    }
    maps_release(map);
    enum error_code rc = replica_bootstrap(voters, n, &conf);
    if (rc != ERR_OK)
        return error_set(err, rc, "first configuration");
    struct wal_entry e = {.term = 1, .type = REPLICA_CHANGE, .data = buf_bytes(&conf)};
    rc = wal_begin(wal, err);
    if (rc == ERR_OK) {
        rc = wal_put_vote(wal, s->id, 1, 0, err);
        if (rc == ERR_OK)
            rc = wal_append(wal, s->id, 1, &e, 1, err);
        if (rc == ERR_OK)
            rc = wal_commit(wal, err);
        else
            wal_abort(wal);
    }
    buf_free(&conf);
    return rc;
}

struct restoring {
    struct replica *replica;
    struct error *err;
};

static enum error_code restore_entry(void *ctx, uint64_t index, const struct wal_entry *e)
{
    struct restoring *r = ctx;
    struct replica_entry entry = {
        .index = index, .term = e->term, .type = e->type, .data = e->data};
    return replica_restore(r->replica, &entry, r->err);
}

/* Of all shards together at most a quarter of what the log's file may hold. */
static uint64_t joining_bytes(const struct cluster_config *c)
{
    uint64_t wanted = (uint64_t)c->log_join_mb << 20;
    uint64_t most = ((uint64_t)c->map_gb << 30) / 4 / c->n_shards;
    return wanted < most ? wanted : most;
}

static enum error_code open_replica(struct shard *s, struct wal *wal, struct error *err)
{
    struct wal_shard w;
    enum error_code rc = wal_load(wal, s->id, &w, err);
    if (rc == ERR_OK && is_founded_here(s, &w)) {
        rc = bootstrap(wal, s, err);
        if (rc == ERR_OK)
            rc = wal_load(wal, s->id, &w, err);
    }
    if (rc != ERR_OK)
        return rc;
    uint64_t durable = store_durable_index(s->store), installed = 0;
    rc = record_get(wal, RECORD_INSTALLED, s->id, &installed, err);
    if (rc != ERR_OK)
        return rc;
    /* Ahead of the log is only a state that came from another replica, until the entries have. */
    if (durable > w.last_index && durable > w.snapshot.index && durable != installed)
        return error_set(
            err, ERR_CORRUPT,
            "the log ends at %llu but the state is at %llu: the log was replaced or lost",
            (unsigned long long)w.last_index, (unsigned long long)durable);
    if (durable < w.snapshot.index)
        return error_set(
            err, ERR_CORRUPT,
            "the state is at %llu but the log begins after %llu: the state was replaced or lost",
            (unsigned long long)durable, (unsigned long long)w.snapshot.index);
    struct replica_options o = {.id = s->replica_id,
                                .seed = (uint32_t)hash_u64(s->replica_id + s->id),
                                .election_timeout_ms = (msec_t)s->shared->config->election_ms,
                                .heartbeat_ms = (msec_t)s->shared->config->election_ms / HEARTBEATS,
                                .trailing_bytes = (uint64_t)s->shared->config->log_keep_mb << 20,
                                .joining_bytes = joining_bytes(s->shared->config),
                                .cache_bytes = CACHE_BYTES};
    struct replica_persisted p = {
        .term = w.term,
        .vote = w.vote,
        .snapshot = {.index = w.snapshot.index,
                     .term = w.snapshot.term,
                     .conf_index = w.snapshot.conf_index,
                     .conf = w.snapshot.conf},
        .first_index = w.first_index,
        .applied = durable,
    };
    rc = replica_open(&o, &p, &s->replica, err);
    if (rc != ERR_OK)
        return rc;
    struct restoring restoring = {s->replica, err};
    return wal_read(wal, s->id, w.first_index, restore_entry, &restoring, err);
}

struct store_options shard_store_options(const struct shard *s)
{
    return (struct store_options){.path = s->folder,
                                  .map_bytes = (uint64_t)s->shared->config->map_gb << 30,
                                  .cluster_id = s->shared->slots.cluster_id,
                                  .shard = s->id};
}

struct machine_options shard_machine_options(const struct shard *s, struct store *store)
{
    const struct cluster_config *c = s->shared->config;
    return (struct machine_options){.store = store,
                                    .schema = &c->schema,
                                    .map = &s->shared->slots,
                                    .shard = s->id,
                                    .dedup_hours = c->dedup_hours,
                                    .dedup_min = c->dedup_min,
                                    .dedup_max = c->dedup_max,
                                    .redirect_days = c->redirect_days,
                                    .watch_idle_days = c->watch_idle_days};
}

enum error_code shard_open_state(struct shard *s, struct error *err)
{
    struct store_options so = shard_store_options(s);
    enum error_code rc = store_open(&so, &s->store, err);
    if (rc != ERR_OK)
        return rc;
    s->applied = store_durable_index(s->store);
    struct machine_options mo = shard_machine_options(s, s->store);
    mo.emit = shard_emit;
    mo.emit_ctx = s;
    rc = machine_open(&mo, &s->machine, err);
    if (rc == ERR_OK)
        shard_open_segments(s);
    if (rc == ERR_OK)
        rc = open_index(s, err);
    if (rc == ERR_OK)
        shard_start_index(s);
    if (rc == ERR_OK)
        rc = store_error(s->store, err);
    return rc;
}

void shard_close_state(struct shard *s)
{
    shard_close_segments(s);
    if (s->machine)
        machine_close(s->machine);
    if (s->index)
        index_free(s->index);
    if (s->store)
        store_close(s->store);
    s->machine = NULL;
    s->index = NULL;
    s->store = NULL;
    s->applied = s->index_loaded = s->checkpoint_index = s->log_bytes = 0;
    s->dirty_since = s->retry_checkpoint = s->next_day_ms = 0;
    s->index_today = 0;
    s->watch_generation = s->news_told = 0;
    s->checkpointing = false;
}

enum error_code shard_connect(struct shard *s, struct error *err)
{
    struct net *net = s->shared->net;
    if (s->is_connected)
        return ERR_OK;
    (void)snprintf(s->inbox_name, sizeof s->inbox_name, "shard-%u", s->id);
    int sys = pthread_rwlock_init(&s->in_place, NULL);
    if (sys != 0)
        return error_set_sys(err, ERR_NOMEM, sys, "shard %u", s->id);
    if (!view_open(s)) {
        (void)pthread_rwlock_destroy(&s->in_place);
        return error_set(err, ERR_NOMEM, "shard %u", s->id);
    }
    s->is_connected = true;
    struct {
        const char *name;
        struct outbox **box;
    } ways[] = {{s->inbox_name, &s->to_shard}, {"front", &s->to_front},
                {"log", &s->to_log},           {"checkpoint", &s->to_checkpoint},
                {"watch", &s->to_watch},       {"transfer", &s->to_transfer},
                {"check", &s->to_check}};
    enum error_code rc = inbox_open(net, s->inbox_name, &s->inbox, err);
    for (size_t i = 0; i < sizeof ways / sizeof *ways && rc == ERR_OK; i++)
        rc = outbox_open(net, ways[i].name, ways[i].box, err);
    return rc;
}

/* As it was before it was ever opened, but for what shard_connect made. */
static void begin_anew(struct shard *s)
{
    s->group = (struct group){0};
    s->install = (struct install){.phase = INSTALL_NONE};
    s->drop = DROP_NONE;
    s->filling = s->ready = s->flying = s->reads = NULL;
    s->flying_tail = &s->flying;
    s->ready_tail = &s->ready;
    s->group.held_tail = &s->group.held;
    s->n_flying = 0;
    s->leader = s->stopping = s->gave_up = false;
    s->leader_id = s->read_token = s->map_epoch = 0;
    s->proposed_ms = s->stop_until = 0;
    s->view.said_ms = 0;
    atomic_store_explicit(&s->role, 0, memory_order_relaxed);
    atomic_store_explicit(&s->news_sent, false, memory_order_relaxed);
}

enum error_code shard_open(struct shard *s, struct wal *wal, struct error *err)
{
    const struct cluster_map *map = maps_hold(s->shared);
    const struct map_replica *here = cluster_map_holder(map, s->id, s->shared->node);
    (void)snprintf(s->folder, sizeof s->folder, "%s/shard-%u", s->shared->folder, s->id);
    begin_anew(s);
    s->since = here ? here->since : 0;
    s->replica_id =
        replica_id_of(members_self(&s->shared->members)->folder, s->shared->node, s->since);
    maps_release(map);
    struct store_options so = shard_store_options(s);
    enum error_code rc = remains_renew(s, wal, err);
    if (rc == ERR_OK)
        rc = install_resume(s, wal, &so, err);
    if (rc == ERR_OK)
        rc = shard_open_state(s, err);
    if (rc == ERR_OK)
        rc = open_replica(s, wal, err);
    if (rc != ERR_OK)
        return error_wrap(err, "shard %u", s->id);
    group_follow_map(s);
    atomic_store_explicit(&s->replacing, false, memory_order_release);
    return ERR_OK;
}
