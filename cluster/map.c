#include <cluster/map.h>

#include <base/hash.h>

#include <inttypes.h>

/* Form, little-endian:
 *   u32 magic | u8 version | varint epoch | u64 cluster_id | varint n_shards
 *   | n_shards × (varint n, n × varint node) | runs of (varint slots, varint shard) over all slots
 *   | u32 check sum of all before it */
enum { MAP_VERSION = 2 };
#define MAP_MAGIC UINT32_C(0x504D494F) /* "OIMP" */

void cluster_map_init(struct cluster_map *m, const struct cluster_config *c)
{
    *m = (struct cluster_map){
        .epoch = 1,
        .cluster_id = hash64(bytes_of_str(c->name)),
        .n_shards = (uint16_t)c->n_shards,
    };
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        m->shard_of_slot[slot] = (shard_id)(slot * c->n_shards / SLOT_COUNT);
    for (uint32_t shard = 0; shard < c->n_shards; shard++) {
        m->n_replicas[shard] = (uint8_t)c->n_replicas;
        for (uint32_t i = 0; i < c->n_replicas; i++)
            m->nodes_of_shard[shard][i] = c->nodes[(shard + i) % c->n_nodes].id;
    }
}

bool cluster_map_deals_alike(const struct cluster_map *a, const struct cluster_map *b)
{
    return a->n_shards == b->n_shards &&
           memcmp(a->shard_of_slot, b->shard_of_slot, sizeof a->shard_of_slot) == 0 &&
           memcmp(a->n_replicas, b->n_replicas, sizeof a->n_replicas) == 0 &&
           memcmp(a->nodes_of_shard, b->nodes_of_shard, sizeof a->nodes_of_shard) == 0;
}

int cluster_map_place(const struct cluster_map *m, shard_id shard, node_id node)
{
    for (int i = 0; i < m->n_replicas[shard]; i++) {
        if (m->nodes_of_shard[shard][i] == node)
            return i;
    }
    return -1;
}

void cluster_map_encode(const struct cluster_map *m, struct buf *out)
{
    size_t start = out->len;
    buf_put_u32(out, MAP_MAGIC);
    buf_put_u8(out, MAP_VERSION);
    buf_put_varint(out, m->epoch);
    buf_put_u64(out, m->cluster_id);
    buf_put_varint(out, m->n_shards);
    for (size_t i = 0; i < m->n_shards; i++) {
        buf_put_varint(out, m->n_replicas[i]);
        for (size_t k = 0; k < m->n_replicas[i]; k++)
            buf_put_varint(out, m->nodes_of_shard[i][k]);
    }
    for (size_t slot = 0, end; slot < SLOT_COUNT; slot = end) {
        for (end = slot + 1; end < SLOT_COUNT; end++) {
            if (m->shard_of_slot[end] != m->shard_of_slot[slot])
                break;
        }
        buf_put_varint(out, end - slot);
        buf_put_varint(out, m->shard_of_slot[slot]);
    }
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

static enum error_code read_shards(struct reader *r, struct cluster_map *out, struct error *err)
{
    uint64_t n = reader_varint(r);
    if (!r->ok || n < 1 || n > CLUSTER_SHARDS_MAX)
        return error_set(err, ERR_CORRUPT, "cluster map with %" PRIu64 " shards", n);
    out->n_shards = (uint16_t)n;
    for (size_t i = 0; i < n; i++) {
        uint64_t replicas = reader_varint(r);
        if (!r->ok || replicas < 1 || replicas > CLUSTER_REPLICAS_MAX)
            return error_set(err, ERR_CORRUPT, "cluster map: shard %zu has no node", i);
        for (; out->n_replicas[i] < replicas; out->n_replicas[i]++) {
            uint64_t node = reader_varint(r);
            if (!r->ok || node < 1 || node > UINT16_MAX ||
                cluster_map_place(out, (shard_id)i, (node_id)node) >= 0)
                return error_set(err, ERR_CORRUPT, "cluster map: shard %zu has a bad node", i);
            out->nodes_of_shard[i][out->n_replicas[i]] = (node_id)node;
        }
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
    if ((rc = read_shards(&r, out, err)) || (rc = read_slots(&r, out, err)))
        return rc;
    if (reader_left(&r) != 0)
        return error_set(err, ERR_CORRUPT, "cluster map with %zu bytes too many", reader_left(&r));
    return ERR_OK;
}
