/* What a shard says of itself for other threads: the answer to STATUS, and metrics. The shard says
 * it every so often, so that nobody has to ask its thread, which may be what is stuck. */
#include "parts.h"

#include <base/clock.h>
#include <base/hash.h>
#include <segment/catalogue.h>

#include <sys/statvfs.h>

enum { SAY_MS = 100, LOOK_FOR_STUCK_MS = 10000, STUCK_ROWS = 1024 };

bool view_open(struct shard *s)
{
    return pthread_mutex_init(&s->view.lock, NULL) == 0;
}

void view_close(struct shard *s)
{
    (void)pthread_mutex_destroy(&s->view.lock);
}

/* --- saying --- */

static size_t copy_members(const struct shard *s, struct status_member *out)
{
    struct replica_member list[VIEW_MEMBERS_MAX];
    size_t n = replica_members(s->replica, list, VIEW_MEMBERS_MAX);
    for (size_t i = 0; i < n; i++)
        out[i] = (struct status_member){.node = node_of_replica(list[i].id),
                                        .folder = folder_of_replica(list[i].id),
                                        .role = (enum status_role)list[i].role,
                                        .match = list[i].match};
    return n;
}

/* Sweeps finish merges within seconds: what is older is stuck. */
static void look_for_stuck(struct shard *s, msec_t now)
{
    if (!s->leader || machine_in_flight(s->machine) == 0) {
        s->view.stuck = 0;
        return;
    }
    if (s->view.looked_ms && now - s->view.looked_ms < LOOK_FOR_STUCK_MS)
        return;
    s->view.looked_ms = now;
    struct command sweep = {.type = COMMAND_SWEEP, .limit = STUCK_ROWS, .age_ms = STATUS_STUCK_MS};
    struct batch *b = batch_take(&s->spare);
    struct reply reply = {0};
    machine_read(s->machine, clock_wall_ms(), &sweep, &b->arena, &reply);
    s->view.stuck = 0;
    for (size_t i = 0; i < reply.n_sweeps; i++)
        s->view.stuck += reply.sweeps[i].kind == SWEEP_MERGING;
    batch_give(&s->spare, b);
}

static struct status_replica status_of(struct shard *s, msec_t now)
{
    struct replica_status st;
    struct index_stats ix;
    replica_get_status(s->replica, &st);
    index_get_stats(s->index, &ix);
    return (struct status_replica){
        .shard = s->id,
        .folder = folder_of_replica(s->replica_id),
        .is_leader = s->leader,
        .is_changing = st.is_changing,
        .is_fetching = install_is_pending(s),
        .leader = node_of_replica(s->leader ? s->replica_id : s->leader_id),
        .wanted = s->group.place.holders[0].node,
        .wanted_voters = s->group.place.n_replicas,
        .term = st.term,
        .commit = st.commit,
        .applied = s->applied,
        .first = st.first,
        .last = st.last,
        .snapshot = st.snapshot,
        .led_ms = s->leader && s->group.led_since ? now - s->group.led_since : 0,
        .memtable_bytes = store_active_bytes(s->store),
        .memtable_limit = (uint64_t)s->shared->config->memtable_mb << 20,
        .disk_bytes = store_disk_bytes(s->store),
        .index_bytes = ix.bytes,
        .index_members = ix.members,
        .catalogue = s->catalogue ? s->catalogue->version : 0,
        .dirty_ms = s->dirty_since ? now - s->dirty_since : 0,
        .checkpoint_fails = s->retry_checkpoint != 0,
        .merging = machine_in_flight(s->machine),
        .stuck = s->view.stuck,
    };
}

static void count(struct shard *s)
{
    struct shard_figures *f = &s->figures;
    struct command stats = {.type = COMMAND_STATS};
    struct batch *b = batch_take(&s->spare);
    struct reply reply = {0};
    uint64_t held = 0;
    machine_read(s->machine, clock_wall_ms(), &stats, &b->arena, &reply);
    if (reply.stats) {
        metric_set(&f->events, reply.stats->events);
        metric_set(&f->duplicates, reply.stats->duplicates);
        metric_set(&f->merges, reply.stats->merges);
        metric_set(&f->refused_links, reply.stats->refused);
        metric_set(&f->profiles, reply.stats->profiles);
        metric_set(&f->identities, reply.stats->identities);
    }
    batch_give(&s->spare, b);
    for (const struct message *m = s->group.held; m; m = m->next)
        held++;
    metric_set(&f->sends_held, held);
    metric_set(&f->in_flight, s->n_flying);
}

void view_say(struct shard *s, msec_t now)
{
    struct shard_view *v = &s->view;
    if (v->said_ms && now - v->said_ms < SAY_MS && v->was_leader == s->leader)
        return;
    look_for_stuck(s, now);
    count(s);
    struct status_replica status = status_of(s, now);
    struct status_member members[VIEW_MEMBERS_MAX];
    status.n_members = copy_members(s, members);
    (void)pthread_mutex_lock(&v->lock);
    v->was_leader = s->leader;
    v->said_ms = now;
    v->status = status;
    memcpy(v->members, members, status.n_members * sizeof *members);
    (void)pthread_mutex_unlock(&v->lock);
}

/* --- reading --- */

bool view_read(struct shard *s, msec_t now, struct status_replica *out,
               struct status_member members[VIEW_MEMBERS_MAX])
{
    struct shard_view *v = &s->view;
    (void)pthread_mutex_lock(&v->lock);
    bool has_said = v->said_ms != 0;
    *out = v->status;
    out->shard = s->id;
    out->said_ms = now > v->said_ms ? now - v->said_ms : 0;
    out->members = members;
    memcpy(members, v->members, out->n_members * sizeof *members);
    (void)pthread_mutex_unlock(&v->lock);
    return has_said;
}

/* The space on the file system of the node's folder. */
void view_disk(const struct host_shared *h, uint64_t *free_bytes, uint64_t *total_bytes)
{
    struct statvfs fs;
    *free_bytes = *total_bytes = 0;
    if (statvfs(h->folder, &fs) != 0)
        return;
    *free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    *total_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
}

void view_encode(struct host_shared *h, struct buf *out)
{
    size_t n = h->n_shards;
    const struct cluster_map *map = maps_hold(h);
    struct status_replica *replicas = calloc(n + 1, sizeof *replicas);
    struct status_member(*members)[VIEW_MEMBERS_MAX] = calloc(n + 1, sizeof *members);
    msec_t now = clock_mono_ms();
    struct status_node node = {.node = h->node,
                               .folder = members_self(&h->members)->folder,
                               .wall_ms = clock_wall_ms(),
                               .up_ms = now - h->serving_since,
                               .map_epoch = map->epoch,
                               .map_digest = cluster_map_digest(map),
                               .schema_digest = schema_digest(&h->config->schema),
                               .disk_full = atomic_load(&h->disk_full),
                               .is_stopping = atomic_load(&h->stopping),
                               .log_bytes = atomic_load(&h->log_disk_bytes),
                               .refused = atomic_load(&h->refused_frames),
                               .checkpoint_seconds = h->config->checkpoint_seconds,
                               .replicas = replicas};
    view_disk(h, &node.disk_free, &node.disk_total);
    for (size_t i = 0; replicas && members && i < n; i++)
        node.n_replicas += host_shard(h, (shard_id)i) &&
                           view_read(&h->shards[i], now, &replicas[node.n_replicas], members[i]);
    status_node_encode(&node, out);
    maps_release(map);
    free(replicas);
    free(members);
}
