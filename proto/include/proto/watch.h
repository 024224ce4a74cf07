/* Events of watched segments on the wire: rows, one after the other, as WATCH_READ's reply and the
 * router's answer carry them in `rows`. Rows of several shards are put together by appending. */
#ifndef PROTO_WATCH_H
#define PROTO_WATCH_H

#include <base/bytes.h>
#include <base/clock.h>
#include <cluster/slot.h>

/* Where a read goes on: index/watch.h says what they mean. */
enum watch_from { WATCH_NOW, WATCH_ALL, WATCH_LISTING, WATCH_AFTER };

struct watch_row {
    uint16_t shard;
    uint64_t log_index; /* with the One-ID the event's position in its shard */
    one_id member;
    msec_t time_ms; /* when the member entered or left; 0: it was there when the listing began */
    bool enter;
};

void watch_row_put(struct buf *out, const struct watch_row *row);
/* False at the end, or where the bytes are damaged: then r->ok is false. */
bool watch_row_next(struct reader *r, struct watch_row *out);

#endif
