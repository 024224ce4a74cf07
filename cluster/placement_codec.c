#include <cluster/placement.h>

/* Form, little-endian:
 *   u8 version | u8 op, then
 *   SEED    varint length, an encoded map
 *   BEGIN   u8 kind | varint node | varint other | varint length, endpoint
 *   CANCEL  varint task
 *   SETTLE  varint shard | varint changed
 *   READ    nothing */
enum { CHANGE_VERSION = 1 };

static void put_request(const struct placement_request *q, struct buf *out)
{
    buf_put_u8(out, (uint8_t)q->kind);
    buf_put_varint(out, q->node);
    buf_put_varint(out, q->other);
    buf_put_bytes(out, q->listen);
}

void placement_change_encode(const struct placement_change *c, struct buf *out)
{
    buf_put_u8(out, CHANGE_VERSION);
    buf_put_u8(out, (uint8_t)c->op);
    switch (c->op) {
    case PLACEMENT_SEED:
        buf_put_bytes(out, c->map);
        return;
    case PLACEMENT_BEGIN:
        put_request(&c->request, out);
        return;
    case PLACEMENT_CANCEL:
        buf_put_varint(out, c->task);
        return;
    case PLACEMENT_SETTLE:
        buf_put_varint(out, c->shard);
        buf_put_varint(out, c->changed);
        return;
    case PLACEMENT_READ:
        return;
    }
}

/* A number of at most `max`; more is the same as an end that comes too early. */
static uint64_t number_up_to(struct reader *r, uint64_t max)
{
    uint64_t v = reader_varint(r);
    r->ok = r->ok && v <= max;
    return r->ok ? v : 0;
}

static void read_request(struct reader *r, struct placement_request *q)
{
    uint8_t kind = reader_u8(r);
    r->ok = r->ok && kind >= MAP_TASK_ADD && kind < MAP_TASK_KINDS;
    q->kind = (enum map_task_kind)kind;
    q->node = (node_id)number_up_to(r, UINT16_MAX);
    q->other = (node_id)number_up_to(r, UINT16_MAX);
    q->listen = reader_bytes(r);
}

static void read_body(struct reader *r, struct placement_change *out)
{
    switch (out->op) {
    case PLACEMENT_SEED:
        out->map = reader_bytes(r);
        return;
    case PLACEMENT_BEGIN:
        read_request(r, &out->request);
        return;
    case PLACEMENT_CANCEL:
        out->task = (uint32_t)number_up_to(r, UINT32_MAX);
        return;
    case PLACEMENT_SETTLE:
        out->shard = (shard_id)number_up_to(r, CLUSTER_SHARDS_MAX - 1);
        out->changed = reader_varint(r);
        return;
    case PLACEMENT_READ:
        return;
    }
    r->ok = false;
}

enum error_code placement_change_decode(struct bytes b, struct placement_change *out,
                                        struct error *err)
{
    struct reader r = reader_of(b);
    uint8_t version = reader_u8(&r), op = reader_u8(&r);
    *out = (struct placement_change){.op = (enum placement_op)op};
    if (!r.ok || version != CHANGE_VERSION)
        return error_set(err, ERR_MALFORMED, "not a change of the cluster map");
    read_body(&r, out);
    if (!r.ok)
        return error_set(err, ERR_MALFORMED, "change of the cluster map: bad or cut short (op %u)",
                         op);
    if (reader_left(&r) != 0)
        return error_set(err, ERR_MALFORMED, "change of the cluster map: %zu bytes too many",
                         reader_left(&r));
    return ERR_OK;
}
