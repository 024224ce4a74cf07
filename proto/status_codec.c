#include "wire.h"

#include <proto/status.h>

/* --- encoding --- */

static Wire__StatusMember **members_of(struct scratch *s, const struct status_member *from,
                                       size_t n)
{
    Wire__StatusMember **to = scratch_array(s, n, sizeof *to);
    Wire__StatusMember *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__status_member__init(to[i]);
        to[i]->node = from[i].node;
        to[i]->folder = from[i].folder;
        to[i]->role = (uint32_t)from[i].role;
        to[i]->match = from[i].match;
    }
    return to;
}

static void fill_replica(struct scratch *s, const struct status_replica *from,
                         Wire__StatusReplica *to)
{
    wire__status_replica__init(to);
    to->shard = from->shard;
    to->folder = from->folder;
    to->said_ms = from->said_ms;
    to->is_leader = from->is_leader;
    to->is_changing = from->is_changing;
    to->is_fetching = from->is_fetching;
    to->leader = from->leader;
    to->wanted = from->wanted;
    to->wanted_voters = from->wanted_voters;
    to->term = from->term;
    to->commit = from->commit;
    to->applied = from->applied;
    to->first = from->first;
    to->last = from->last;
    to->snapshot = from->snapshot;
    to->led_ms = from->led_ms;
    to->n_members = from->n_members;
    to->members = members_of(s, from->members, from->n_members);
    to->memtable_bytes = from->memtable_bytes;
    to->memtable_limit = from->memtable_limit;
    to->disk_bytes = from->disk_bytes;
    to->index_bytes = from->index_bytes;
    to->index_members = from->index_members;
    to->catalogue = from->catalogue;
    to->dirty_ms = from->dirty_ms;
    to->checkpoint_fails = from->checkpoint_fails;
    to->merging = from->merging;
    to->stuck = from->stuck;
}

static Wire__StatusReplica **replicas_of(struct scratch *s, const struct status_replica *from,
                                         size_t n)
{
    Wire__StatusReplica **to = scratch_array(s, n, sizeof *to);
    Wire__StatusReplica *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        fill_replica(s, &from[i], to[i]);
    }
    return to;
}

void status_node_encode(const struct status_node *n, struct buf *out)
{
    struct scratch s;
    scratch_init(&s);
    Wire__StatusNode m = WIRE__STATUS_NODE__INIT;
    m.node = n->node;
    m.folder = n->folder;
    m.wall_ms = n->wall_ms;
    m.up_ms = n->up_ms;
    m.map_epoch = n->map_epoch;
    m.map_digest = n->map_digest;
    m.schema_digest = n->schema_digest;
    m.disk_full = n->disk_full;
    m.is_stopping = n->is_stopping;
    m.disk_free = n->disk_free;
    m.disk_total = n->disk_total;
    m.log_bytes = n->log_bytes;
    m.refused = n->refused;
    m.checkpoint_seconds = n->checkpoint_seconds;
    m.n_replicas = n->n_replicas;
    m.replicas = replicas_of(&s, n->replicas, n->n_replicas);
    wire_pack(&m.base, out);
    scratch_close(&s);
}

void status_router_encode(const struct status_router *r, struct buf *out)
{
    Wire__StatusRouter m = WIRE__STATUS_ROUTER__INIT;
    m.router = r->router;
    m.wall_ms = r->wall_ms;
    m.up_ms = r->up_ms;
    m.map_epoch = r->map_epoch;
    m.map_digest = r->map_digest;
    m.schema_digest = r->schema_digest;
    m.catalogue = r->catalogue;
    m.refused = r->refused;
    m.in_flight = r->in_flight;
    wire_pack(&m.base, out);
}

/* --- decoding --- */

static bool take_members(struct decoder *d, const Wire__StatusReplica *m, struct status_replica *r)
{
    r->n_members = m->n_members;
    if (m->n_members == 0)
        return true;
    r->members = decoder_array(d, m->n_members, sizeof *r->members);
    for (size_t i = 0; r->members && i < m->n_members; i++) {
        const Wire__StatusMember *from = m->members[i];
        if (from->node > UINT16_MAX || from->role > STATUS_SPARE)
            return decoder_fail(d, "node or role of a member out of range");
        r->members[i] = (struct status_member){(node_id)from->node, from->folder,
                                               (enum status_role)from->role, from->match};
    }
    return r->members != NULL;
}

static bool take_replica(struct decoder *d, const Wire__StatusReplica *m, struct status_replica *r)
{
    if (m->shard > UINT16_MAX || m->leader > UINT16_MAX || m->wanted > UINT16_MAX)
        return decoder_fail(d, "shard or node out of range");
    *r = (struct status_replica){
        .shard = (shard_id)m->shard,
        .folder = m->folder,
        .said_ms = m->said_ms,
        .is_leader = m->is_leader != 0,
        .is_changing = m->is_changing != 0,
        .is_fetching = m->is_fetching != 0,
        .leader = (node_id)m->leader,
        .wanted = (node_id)m->wanted,
        .wanted_voters = m->wanted_voters,
        .term = m->term,
        .commit = m->commit,
        .applied = m->applied,
        .first = m->first,
        .last = m->last,
        .snapshot = m->snapshot,
        .led_ms = m->led_ms,
        .memtable_bytes = m->memtable_bytes,
        .memtable_limit = m->memtable_limit,
        .disk_bytes = m->disk_bytes,
        .index_bytes = m->index_bytes,
        .index_members = m->index_members,
        .catalogue = m->catalogue,
        .dirty_ms = m->dirty_ms,
        .checkpoint_fails = m->checkpoint_fails != 0,
        .merging = m->merging,
        .stuck = m->stuck,
    };
    return take_members(d, m, r);
}

static bool take_replicas(struct decoder *d, const Wire__StatusNode *m, struct status_node *n)
{
    n->n_replicas = m->n_replicas;
    if (m->n_replicas == 0)
        return true;
    n->replicas = decoder_array(d, m->n_replicas, sizeof *n->replicas);
    for (size_t i = 0; n->replicas && i < m->n_replicas; i++) {
        if (!take_replica(d, m->replicas[i], &n->replicas[i]))
            return false;
    }
    return n->replicas != NULL;
}

static bool take_node(struct decoder *d, const Wire__StatusNode *m, struct status_node *n)
{
    if (m->node == 0 || m->node > UINT16_MAX)
        return decoder_fail(d, "node out of range");
    *n = (struct status_node){
        .node = (node_id)m->node,
        .folder = m->folder,
        .wall_ms = m->wall_ms,
        .up_ms = m->up_ms,
        .map_epoch = m->map_epoch,
        .map_digest = m->map_digest,
        .schema_digest = m->schema_digest,
        .disk_full = m->disk_full != 0,
        .is_stopping = m->is_stopping != 0,
        .disk_free = m->disk_free,
        .disk_total = m->disk_total,
        .log_bytes = m->log_bytes,
        .refused = m->refused,
        .checkpoint_seconds = m->checkpoint_seconds,
    };
    return take_replicas(d, m, n);
}

enum error_code status_node_decode(struct bytes b, struct arena *arena, struct status_node **out,
                                   struct error *err)
{
    struct decoder d = {.arena = arena, .err = err, .what = "status of a node", .whole = true};
    *out = NULL;
    struct status_node *n = decoder_array(&d, 1, sizeof *n);
    const ProtobufCMessage *m = n ? wire_unpack(&d, b, &wire__status_node__descriptor) : NULL;
    if (!m || !take_node(&d, (const Wire__StatusNode *)m, n))
        return d.code;
    *out = n;
    return ERR_OK;
}

enum error_code status_router_decode(struct bytes b, struct arena *arena,
                                     struct status_router **out, struct error *err)
{
    struct decoder d = {.arena = arena, .err = err, .what = "status of a router", .whole = true};
    *out = NULL;
    struct status_router *r = decoder_array(&d, 1, sizeof *r);
    const ProtobufCMessage *base = r ? wire_unpack(&d, b, &wire__status_router__descriptor) : NULL;
    const Wire__StatusRouter *m = (const Wire__StatusRouter *)base;
    if (!m || (m->router > UINT16_MAX && !decoder_fail(&d, "router out of range")))
        return d.code;
    *r = (struct status_router){
        .router = (uint16_t)m->router,
        .wall_ms = m->wall_ms,
        .up_ms = m->up_ms,
        .map_epoch = m->map_epoch,
        .map_digest = m->map_digest,
        .schema_digest = m->schema_digest,
        .catalogue = m->catalogue,
        .refused = m->refused,
        .in_flight = m->in_flight,
    };
    *out = r;
    return ERR_OK;
}
