#include <cluster/map.h>

#include <base/hash.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Form, little-endian:
 *   u32 magic | u8 version | varint epoch | u64 cluster_id | varint replicas | varint n_shards
 *   | n_shards × (varint wanted, varint holders, u8 moving, varint task, varint changed,
 *                 holders × (varint node, varint since, varint settled))
 *   | runs of (varint slots, varint shard) over all slots
 *   | varint n_nodes, × (varint id, u8 state, varint length, endpoint)
 *   | varint last task | varint n_tasks, × (varint id, u8 kind, u8 state, varint node,
 *                 varint other, varint shards, varint began, varint ended)
 *   | u32 check sum of all before it */
enum { MAP_VERSION = 3 };
#define MAP_MAGIC UINT32_C(0x504D494F) /* "OIMP" */

static void add_node(struct cluster_map *m, const struct cluster_node *of)
{
    size_t at = m->n_nodes++;
    for (; at > 0 && m->nodes[at - 1].id > of->id; at--)
        m->nodes[at] = m->nodes[at - 1];
    m->nodes[at] = (struct map_node){.id = of->id, .state = MAP_NODE_IN};
    (void)snprintf(m->nodes[at].listen, sizeof m->nodes[at].listen, "%s", of->listen);
}

void cluster_map_init(struct cluster_map *m, const struct cluster_config *c)
{
    memset(m, 0, sizeof *m);
    m->epoch = 1;
    m->cluster_id = hash64(bytes_of_str(c->name));
    m->n_shards = (uint16_t)c->n_shards;
    m->n_replicas = (uint8_t)c->n_replicas;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        m->shard_of_slot[slot] = (shard_id)(slot * c->n_shards / SLOT_COUNT);
    for (size_t i = 0; i < c->n_nodes; i++)
        add_node(m, &c->nodes[i]);
    for (uint32_t shard = 0; shard < c->n_shards; shard++) {
        struct map_shard *s = &m->shards[shard];
        s->n_replicas = s->n_holders = m->n_replicas;
        for (uint8_t i = 0; i < s->n_replicas; i++)
            s->holders[i] = (struct map_replica){.node = c->nodes[(shard + i) % c->n_nodes].id,
                                                 .settled = (uint8_t)(i + 1)};
    }
}

const struct map_node *cluster_map_node(const struct cluster_map *m, node_id id)
{
    size_t low = 0, high = m->n_nodes;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (m->nodes[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < m->n_nodes && m->nodes[low].id == id ? &m->nodes[low] : NULL;
}

const struct map_task *cluster_map_task(const struct cluster_map *m, uint32_t id)
{
    for (size_t i = 0; i < m->n_tasks; i++) {
        if (m->tasks[i].id == id)
            return &m->tasks[i];
    }
    return NULL;
}

static int find_holder(const struct map_shard *s, size_t n, node_id node)
{
    for (size_t i = 0; i < n; i++) {
        if (s->holders[i].node == node)
            return (int)i;
    }
    return -1;
}

int cluster_map_place(const struct cluster_map *m, shard_id shard, node_id node)
{
    return find_holder(&m->shards[shard], m->shards[shard].n_replicas, node);
}

const struct map_replica *cluster_map_holder(const struct cluster_map *m, shard_id shard,
                                             node_id node)
{
    const struct map_shard *s = &m->shards[shard];
    int at = find_holder(s, s->n_holders, node);
    return at < 0 ? NULL : &s->holders[at];
}

size_t cluster_map_task_left(const struct cluster_map *m, uint32_t task)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_shards; i++)
        n += m->shards[i].is_moving && m->shards[i].task == task;
    return n;
}

uint64_t cluster_map_digest(const struct cluster_map *m)
{
    struct buf b = {0};
    cluster_map_encode(m, &b);
    uint64_t digest = hash64(buf_bytes(&b));
    buf_free(&b);
    return digest;
}

static void put_shards(const struct cluster_map *m, struct buf *out)
{
    buf_put_varint(out, m->n_shards);
    for (size_t i = 0; i < m->n_shards; i++) {
        const struct map_shard *s = &m->shards[i];
        buf_put_varint(out, s->n_replicas);
        buf_put_varint(out, s->n_holders);
        buf_put_u8(out, s->is_moving);
        buf_put_varint(out, s->task);
        buf_put_varint(out, s->changed);
        for (size_t k = 0; k < s->n_holders; k++) {
            buf_put_varint(out, s->holders[k].node);
            buf_put_varint(out, s->holders[k].since);
            buf_put_varint(out, s->holders[k].settled);
        }
    }
}

static void put_slots(const struct cluster_map *m, struct buf *out)
{
    for (size_t slot = 0, end; slot < SLOT_COUNT; slot = end) {
        for (end = slot + 1; end < SLOT_COUNT; end++) {
            if (m->shard_of_slot[end] != m->shard_of_slot[slot])
                break;
        }
        buf_put_varint(out, end - slot);
        buf_put_varint(out, m->shard_of_slot[slot]);
    }
}

static void put_nodes(const struct cluster_map *m, struct buf *out)
{
    buf_put_varint(out, m->n_nodes);
    for (size_t i = 0; i < m->n_nodes; i++) {
        struct bytes listen = bytes_of_str(m->nodes[i].listen);
        buf_put_varint(out, m->nodes[i].id);
        buf_put_u8(out, (uint8_t)m->nodes[i].state);
        buf_put_varint(out, listen.len);
        buf_put(out, listen.data, listen.len);
    }
}

static void put_tasks(const struct cluster_map *m, struct buf *out)
{
    buf_put_varint(out, m->last_task);
    buf_put_varint(out, m->n_tasks);
    for (size_t i = 0; i < m->n_tasks; i++) {
        const struct map_task *t = &m->tasks[i];
        buf_put_varint(out, t->id);
        buf_put_u8(out, (uint8_t)t->kind);
        buf_put_u8(out, (uint8_t)t->state);
        buf_put_varint(out, t->node);
        buf_put_varint(out, t->other);
        buf_put_varint(out, t->n_shards);
        buf_put_varint(out, (uint64_t)t->began_ms);
        buf_put_varint(out, (uint64_t)t->ended_ms);
    }
}

void cluster_map_encode(const struct cluster_map *m, struct buf *out)
{
    size_t start = out->len;
    buf_put_u32(out, MAP_MAGIC);
    buf_put_u8(out, MAP_VERSION);
    buf_put_varint(out, m->epoch);
    buf_put_u64(out, m->cluster_id);
    buf_put_varint(out, m->n_replicas);
    put_shards(m, out);
    put_slots(m, out);
    put_nodes(m, out);
    put_tasks(m, out);
    buf_put_u32(out, hash_checksum(bytes_of(out->data + start, out->len - start)));
}

/* Checks magic, version and check sum; leaves the reader on the body. */
static enum error_code open_envelope(struct bytes b, struct reader *body, struct error *err)
{
    const size_t sum_size = sizeof(uint32_t);
    struct reader r = reader_of(b);
    uint32_t magic = reader_u32(&r);
    uint8_t version = reader_u8(&r);
    if (!r.ok || reader_left(&r) < sum_size || magic != MAP_MAGIC)
        return error_set(err, ERR_CORRUPT, "not a cluster map");
    if (version != MAP_VERSION)
        return error_set(err, ERR_MISMATCH, "cluster map of version %u, expected %d", version,
                         MAP_VERSION);
    struct reader sum = reader_of(bytes_of(b.data + b.len - sum_size, sum_size));
    if (reader_u32(&sum) != hash_checksum(bytes_of(b.data, b.len - sum_size)))
        return error_set(err, ERR_CORRUPT, "check sum of the cluster map does not hold");
    r.end -= sum_size;
    *body = r;
    return ERR_OK;
}

static enum error_code read_shard(struct reader *r, struct map_shard *s, size_t no,
                                  struct error *err)
{
    uint64_t wanted = reader_varint(r), holders = reader_varint(r);
    uint8_t moving = reader_u8(r);
    uint64_t task = reader_varint(r);
    s->changed = reader_varint(r);
    if (!r->ok || wanted < 1 || wanted > CLUSTER_REPLICAS_MAX || holders < wanted ||
        holders > MAP_HOLDERS_MAX || moving > 1 || (!moving && holders > wanted) ||
        task > UINT32_MAX)
        return error_set(err, ERR_CORRUPT, "cluster map: shard %zu has no node", no);
    for (; s->n_holders < holders; s->n_holders++) {
        uint64_t node = reader_varint(r), since = reader_varint(r), settled = reader_varint(r);
        if (!r->ok || node < 1 || node > UINT16_MAX || since > UINT32_MAX ||
            settled > CLUSTER_REPLICAS_MAX || find_holder(s, s->n_holders, (node_id)node) >= 0)
            return error_set(err, ERR_CORRUPT, "cluster map: shard %zu has a bad node", no);
        s->holders[s->n_holders] = (struct map_replica){
            .node = (node_id)node, .since = (uint32_t)since, .settled = (uint8_t)settled};
    }
    s->n_replicas = (uint8_t)wanted;
    s->is_moving = moving;
    s->task = (uint32_t)task;
    return ERR_OK;
}

static enum error_code read_shards(struct reader *r, struct cluster_map *out, struct error *err)
{
    uint64_t replicas = reader_varint(r), n = reader_varint(r);
    if (!r->ok || n < 1 || n > CLUSTER_SHARDS_MAX || replicas < 1 ||
        replicas > CLUSTER_REPLICAS_MAX)
        return error_set(err, ERR_CORRUPT, "cluster map with %" PRIu64 " shards", n);
    out->n_replicas = (uint8_t)replicas;
    out->n_shards = (uint16_t)n;
    for (size_t i = 0; i < n; i++) {
        enum error_code rc = read_shard(r, &out->shards[i], i, err);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

static enum error_code read_slots(struct reader *r, struct cluster_map *out, struct error *err)
{
    for (size_t slot = 0; slot < SLOT_COUNT;) {
        uint64_t run = reader_varint(r), shard = reader_varint(r);
        if (!r->ok || run < 1 || run > SLOT_COUNT - slot || shard >= out->n_shards)
            return error_set(err, ERR_CORRUPT, "cluster map: slot %zu has no shard", slot);
        for (size_t end = slot + (size_t)run; slot < end; slot++)
            out->shard_of_slot[slot] = (shard_id)shard;
    }
    return ERR_OK;
}

static enum error_code read_nodes(struct reader *r, struct cluster_map *out, struct error *err)
{
    uint64_t n = reader_varint(r);
    for (size_t i = 0; i < n && n <= CLUSTER_NODES_MAX; i++) {
        struct map_node *of = &out->nodes[i];
        uint64_t id = reader_varint(r);
        uint8_t state = reader_u8(r);
        struct bytes listen = reader_bytes(r);
        if (!r->ok || id < 1 || id > UINT16_MAX || (i > 0 && id <= out->nodes[i - 1].id) ||
            state > MAP_NODE_LEAVING || listen.len >= MAP_ENDPOINT_MAX)
            return error_set(err, ERR_CORRUPT, "cluster map: node %zu is damaged", i);
        if (listen.len)
            memcpy(of->listen, listen.data, listen.len);
        of->id = (node_id)id;
        of->state = (enum map_node_state)state;
        out->n_nodes++;
    }
    return r->ok && out->n_nodes == n ? ERR_OK
                                      : error_set(err, ERR_CORRUPT, "cluster map: bad nodes");
}

static bool read_task(struct reader *r, struct map_task *t)
{
    uint64_t id = reader_varint(r);
    uint8_t kind = reader_u8(r), state = reader_u8(r);
    uint64_t node = reader_varint(r), other = reader_varint(r), shards = reader_varint(r);
    uint64_t began = reader_varint(r), ended = reader_varint(r);
    *t = (struct map_task){.id = (uint32_t)id,
                           .kind = (enum map_task_kind)kind,
                           .state = (enum map_task_state)state,
                           .node = (node_id)node,
                           .other = (node_id)other,
                           .n_shards = (uint16_t)shards,
                           .began_ms = (msec_t)began,
                           .ended_ms = (msec_t)ended};
    return r->ok && id >= 1 && id <= UINT32_MAX && kind >= MAP_TASK_ADD && kind < MAP_TASK_KINDS &&
           state >= MAP_TASK_RUNNING && state <= MAP_TASK_CANCELLED && node <= UINT16_MAX &&
           other <= UINT16_MAX && shards <= CLUSTER_SHARDS_MAX && began <= INT64_MAX &&
           ended <= INT64_MAX;
}

static enum error_code read_tasks(struct reader *r, struct cluster_map *out, struct error *err)
{
    uint64_t last = reader_varint(r), n = reader_varint(r);
    bool ok = r->ok && last <= UINT32_MAX && n <= MAP_TASKS_MAX;
    out->last_task = (uint32_t)last;
    for (size_t i = 0; ok && i < n; i++) {
        ok = read_task(r, &out->tasks[i]) && out->tasks[i].id <= last &&
             (i == 0 || out->tasks[i].id > out->tasks[i - 1].id);
        out->n_tasks++;
    }
    return ok ? ERR_OK : error_set(err, ERR_CORRUPT, "cluster map: bad tasks");
}

/* What a shard says of epochs, tasks and nodes must be there. */
static bool shard_fits(const struct cluster_map *m, const struct map_shard *s)
{
    if (s->changed > m->epoch || s->task > m->last_task)
        return false;
    for (size_t i = 0; i < s->n_holders; i++) {
        if (s->holders[i].since > m->epoch || !cluster_map_node(m, s->holders[i].node))
            return false;
    }
    return true;
}

static enum error_code check_shards(const struct cluster_map *m, struct error *err)
{
    for (size_t i = 0; i < m->n_shards; i++) {
        if (!shard_fits(m, &m->shards[i]))
            return error_set(err, ERR_CORRUPT,
                             "cluster map: shard %zu is of an epoch, task or node that is not", i);
    }
    return ERR_OK;
}

enum error_code cluster_map_decode(struct bytes b, struct cluster_map *out, struct error *err)
{
    struct reader r = reader_of(b);
    enum error_code rc = open_envelope(b, &r, err);
    if (rc)
        return rc;
    memset(out, 0, sizeof *out);
    out->epoch = reader_varint(&r);
    out->cluster_id = reader_u64(&r);
    if (!r.ok || out->epoch == 0)
        return error_set(err, ERR_CORRUPT, "cluster map without an epoch");
    if ((rc = read_shards(&r, out, err)) || (rc = read_slots(&r, out, err)) ||
        (rc = read_nodes(&r, out, err)) || (rc = read_tasks(&r, out, err)))
        return rc;
    if (reader_left(&r) != 0)
        return error_set(err, ERR_CORRUPT, "cluster map with %zu bytes too many", reader_left(&r));
    return check_shards(out, err);
}
