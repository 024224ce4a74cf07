#include <meta/greeting.h>

/* varint length, hello | varint epoch | varint n | n × (varint shard, varint changed) */

void greeting_encode(const struct greeting *g, struct buf *out)
{
    buf_put_varint(out, g->hello.len);
    buf_put(out, g->hello.data, g->hello.len);
    buf_put_varint(out, g->epoch);
    buf_put_varint(out, g->n_settled);
    for (size_t i = 0; i < g->n_settled; i++) {
        buf_put_varint(out, g->settled[i].shard);
        buf_put_varint(out, g->settled[i].changed);
    }
}

enum error_code greeting_decode(struct bytes b, struct greeting *out, struct error *err)
{
    struct reader r = reader_of(b);
    out->hello = reader_bytes(&r);
    out->epoch = reader_varint(&r);
    uint64_t n = reader_varint(&r);
    out->n_settled = 0;
    while (r.ok && n <= CLUSTER_SHARDS_MAX && out->n_settled < n) {
        uint64_t shard = reader_varint(&r), changed = reader_varint(&r);
        if (!r.ok || shard >= CLUSTER_SHARDS_MAX)
            return error_set(err, ERR_MALFORMED, "not a greeting of a node");
        out->settled[out->n_settled++] = (struct greeting_settled){(shard_id)shard, changed};
    }
    bool ok = r.ok && n <= CLUSTER_SHARDS_MAX && reader_left(&r) == 0;
    return ok ? ERR_OK : error_set(err, ERR_MALFORMED, "not a greeting of a node");
}
