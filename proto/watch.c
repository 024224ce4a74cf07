#include <proto/watch.h>

void watch_row_put(struct buf *out, const struct watch_row *row)
{
    buf_put_varint(out, row->shard);
    buf_put_varint(out, row->log_index);
    buf_put_u64(out, row->member);
    buf_put_varint(out, (uint64_t)row->time_ms << 1 | row->enter);
}

bool watch_row_next(struct reader *r, struct watch_row *out)
{
    if (!r->ok || reader_left(r) == 0)
        return false;
    uint64_t shard = reader_varint(r);
    out->shard = (uint16_t)shard;
    out->log_index = reader_varint(r);
    out->member = reader_u64(r);
    uint64_t stamp = reader_varint(r);
    out->time_ms = (msec_t)(stamp >> 1);
    out->enter = stamp & 1;
    r->ok = r->ok && shard <= UINT16_MAX && out->member != 0;
    return r->ok;
}
