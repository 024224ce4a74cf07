/* What nodes and routers say of themselves, as applications see it. */
#include "parts.h"

#include <proto/status.h>

static struct oneid_member *members_of(struct arena *a, const struct status_replica *r)
{
    struct oneid_member *to = arena_zalloc(a, (r->n_members + 1) * sizeof *to);
    for (size_t i = 0; to && i < r->n_members; i++)
        to[i] = (struct oneid_member){r->members[i].node, r->members[i].folder,
                                      (enum oneid_role)r->members[i].role, r->members[i].match};
    return to;
}

static struct oneid_replica replica_of(struct arena *a, const struct status_replica *r)
{
    return (struct oneid_replica){.shard = r->shard,
                                  .folder = r->folder,
                                  .said_ms = r->said_ms,
                                  .is_leader = r->is_leader,
                                  .is_changing = r->is_changing,
                                  .is_fetching = r->is_fetching,
                                  .leader = r->leader,
                                  .wanted = r->wanted,
                                  .wanted_voters = r->wanted_voters,
                                  .term = r->term,
                                  .commit = r->commit,
                                  .applied = r->applied,
                                  .first = r->first,
                                  .last = r->last,
                                  .snapshot = r->snapshot,
                                  .led_ms = r->led_ms,
                                  .members = members_of(a, r),
                                  .n_members = r->n_members,
                                  .memtable_bytes = r->memtable_bytes,
                                  .memtable_limit = r->memtable_limit,
                                  .disk_bytes = r->disk_bytes,
                                  .index_bytes = r->index_bytes,
                                  .index_members = r->index_members,
                                  .catalogue = r->catalogue,
                                  .dirty_ms = r->dirty_ms,
                                  .checkpoint_fails = r->checkpoint_fails,
                                  .merging = r->merging,
                                  .stuck = r->stuck};
}

/* False: memory is out. */
static bool fill_node(struct arena *a, const struct status_node *n, struct oneid_node *to)
{
    struct oneid_replica *replicas = arena_zalloc(a, (n->n_replicas + 1) * sizeof *replicas);
    bool ok = replicas != NULL;
    for (size_t i = 0; ok && i < n->n_replicas; i++) {
        replicas[i] = replica_of(a, &n->replicas[i]);
        ok = replicas[i].members != NULL;
    }
    to->wall_ms = n->wall_ms;
    to->up_ms = n->up_ms;
    to->folder = n->folder;
    to->map_epoch = n->map_epoch;
    to->map_digest = n->map_digest;
    to->schema_digest = n->schema_digest;
    to->disk_full = n->disk_full;
    to->is_stopping = n->is_stopping;
    to->disk_free = n->disk_free;
    to->disk_total = n->disk_total;
    to->log_bytes = n->log_bytes;
    to->refused = n->refused;
    to->checkpoint_seconds = n->checkpoint_seconds;
    to->replicas = replicas;
    to->n_replicas = ok ? n->n_replicas : 0;
    return ok;
}

static const char *text_of(struct arena *a, struct bytes s)
{
    char *p = arena_zalloc(a, s.len + 1);
    if (p && s.len)
        memcpy(p, s.data, s.len);
    return p;
}

static bool add_node(struct arena *a, const struct node_answer *from, struct oneid_node *to)
{
    struct status_node *status = NULL;
    struct error err;
    *to = (struct oneid_node){
        .node = from->node, .answers = from->answers, .heard_ms = from->heard_ms, .text = ""};
    if (!from->answers) {
        to->text = text_of(a, from->text);
        return to->text != NULL;
    }
    enum error_code rc = status_node_decode(from->status, a, &status, &err);
    if (rc == ERR_OK)
        return fill_node(a, status, to);
    to->answers = false;
    to->text = "its answer cannot be read: it is of another version";
    return rc != ERR_NOMEM;
}

static bool add_router(const struct response *r, struct arena *a, struct oneid_result *out)
{
    struct status_router *status = NULL;
    struct error err;
    if (r->router.len == 0)
        return true;
    enum error_code rc = status_router_decode(r->router, a, &status, &err);
    if (rc != ERR_OK)
        return rc != ERR_NOMEM;
    struct oneid_router *to = arena_zalloc(a, sizeof *to);
    if (!to)
        return false;
    *to = (struct oneid_router){.router = status->router,
                                .wall_ms = status->wall_ms,
                                .up_ms = status->up_ms,
                                .map_epoch = status->map_epoch,
                                .map_digest = status->map_digest,
                                .schema_digest = status->schema_digest,
                                .catalogue = status->catalogue,
                                .refused = status->refused,
                                .in_flight = status->in_flight};
    out->router = to;
    return true;
}

bool status_build(const struct response *r, struct arena *arena, struct oneid_result *out)
{
    struct oneid_node *nodes = r->n_nodes ? arena_zalloc(arena, r->n_nodes * sizeof *nodes) : NULL;
    bool ok = nodes || r->n_nodes == 0;
    for (size_t i = 0; ok && i < r->n_nodes; i++)
        ok = add_node(arena, &r->nodes[i], &nodes[i]);
    out->nodes = nodes;
    out->n_nodes = ok ? r->n_nodes : 0;
    return ok && add_router(r, arena, out);
}
