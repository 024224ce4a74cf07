#include "record.h"

#include <assert.h>
#include <stdio.h>

enum { NAME_BYTES = 32 };

static const struct {
    const char *name;
    size_t bytes; /* of the value: 4 or 8 */
} RECORDS[] = {[RECORD_SINCE] = {"since", 4}, [RECORD_INSTALLED] = {"installed", 8}};

static void name_of(enum record which, shard_id shard, char *name)
{
    (void)snprintf(name, NAME_BYTES, "%s-%u", RECORDS[which].name, shard);
}

enum error_code record_get(struct wal *wal, enum record which, shard_id shard, uint64_t *value,
                           struct error *err)
{
    char name[NAME_BYTES];
    struct buf stored = {0};
    *value = 0;
    name_of(which, shard, name);
    enum error_code rc = wal_get_meta(wal, name, &stored, err);
    if (rc == ERR_OK) {
        struct reader r = reader_of(buf_bytes(&stored));
        *value = RECORDS[which].bytes == 4 ? reader_u32(&r) : reader_u64(&r);
        if (!r.ok || reader_left(&r) > 0)
            rc = error_set(err, ERR_CORRUPT, "the log's record %s is damaged", name);
    }
    buf_free(&stored);
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

enum error_code record_put(struct wal *wal, enum record which, shard_id shard, uint64_t value,
                           struct error *err)
{
    char name[NAME_BYTES];
    struct buf stored = {0};
    name_of(which, shard, name);
    if (RECORDS[which].bytes == 4) {
        assert(value <= UINT32_MAX);
        buf_put_u32(&stored, (uint32_t)value);
    } else {
        buf_put_u64(&stored, value);
    }
    enum error_code rc = wal_put_meta(wal, name, buf_bytes(&stored), err);
    buf_free(&stored);
    return rc;
}

enum error_code record_forget(struct wal *wal, enum record which, shard_id shard, struct error *err)
{
    char name[NAME_BYTES];
    name_of(which, shard, name);
    return wal_del_meta(wal, name, err);
}
