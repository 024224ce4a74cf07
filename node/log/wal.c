#include <wal/wal.h>

#include "shard_cache.h"

#include <disk/disk.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOG,  /* big-endian shard, index -> sum, term, type, data */
    NODE, /* 'v' shard -> sum, vote; 's' shard -> sum, snapshot; 'm' name -> sum, value */
    SUM_BYTES = 4,
    LOG_KEY_BYTES = 10,
    ENTRY_HEADER = SUM_BYTES + 8 + 1,
    NAME_MAX_BYTES = 255
};

static const char *const DBS[] = {"log", "node"};

struct wal {
    struct disk disk;
    MDB_txn *txn; /* the open write transaction */
    struct shard_cache shards;
};

struct key {
    uint8_t data[1 + NAME_MAX_BYTES];
    size_t len;
};

static struct bytes key_bytes(const struct key *k)
{
    return bytes_of(k->data, k->len);
}

static struct key log_key(uint16_t shard, uint64_t index)
{
    struct key k = {.len = LOG_KEY_BYTES};
    k.data[0] = (uint8_t)(shard >> 8);
    k.data[1] = (uint8_t)shard;
    for (unsigned i = 0; i < 8; i++)
        k.data[2 + i] = (uint8_t)(index >> (56 - 8 * i));
    return k;
}

static struct key node_key(char kind, uint16_t shard)
{
    return (struct key){.data = {(uint8_t)kind, (uint8_t)(shard >> 8), (uint8_t)shard}, .len = 3};
}

static struct key meta_key(const char *name)
{
    size_t n = strlen(name);
    assert(n <= NAME_MAX_BYTES);
    struct key k = {.data = {'m'}, .len = 1 + n};
    memcpy(k.data + 1, name, n);
    return k;
}

/* Of a key in the log: its shard and index. */
static bool log_key_parse(struct bytes k, uint16_t *shard, uint64_t *index)
{
    if (k.len != LOG_KEY_BYTES)
        return false;
    *shard = (uint16_t)(k.data[0] << 8 | k.data[1]);
    struct reader r = reader_of(bytes_of(k.data + 2, 8));
    *index = reader_be64(&r);
    return true;
}

static enum error_code damaged(const struct wal *w, uint16_t shard, uint64_t index,
                               const char *what, struct error *err)
{
    return error_set(err, ERR_CORRUPT, "%s: shard %u, entry %llu: %s", w->disk.file, shard,
                     (unsigned long long)index, what);
}

/* What follows the check sum, if that is right. */
static bool unwrap(struct bytes key, struct bytes record, struct bytes *value)
{
    uint32_t sum;
    if (record.len < SUM_BYTES)
        return false;
    memcpy(&sum, record.data, SUM_BYTES);
    *value = bytes_of(record.data + SUM_BYTES, record.len - SUM_BYTES);
    return sum == disk_checksum(key, *value);
}

/* ERR_NOT_FOUND without a message when there is no such record. */
static enum error_code node_get(const struct wal *w, MDB_txn *txn, const struct key *key,
                                struct bytes *value, struct error *err)
{
    MDB_val k = disk_val(key_bytes(key)), v;
    int rc = mdb_get(txn, w->disk.dbi[NODE], &k, &v);
    if (rc == MDB_NOTFOUND)
        return ERR_NOT_FOUND;
    if (rc != 0)
        return disk_error(&w->disk, rc, "cannot read", err);
    if (!unwrap(key_bytes(key), disk_bytes_of(v), value))
        return error_set(err, ERR_CORRUPT, "%s: a record of the node is damaged", w->disk.file);
    return ERR_OK;
}

static enum error_code node_put(struct wal *w, const struct key *key, struct bytes value,
                                struct error *err)
{
    assert(w->txn);
    MDB_val k = disk_val(key_bytes(key)), v = {SUM_BYTES + value.len, NULL};
    int rc = mdb_put(w->txn, w->disk.dbi[NODE], &k, &v, MDB_RESERVE);
    if (rc != 0)
        return disk_error(&w->disk, rc, "cannot write", err);
    uint32_t sum = disk_checksum(key_bytes(key), value);
    uint8_t *out = v.mv_data;
    memcpy(out, &sum, SUM_BYTES);
    if (value.len > 0)
        memcpy(out + SUM_BYTES, value.data, value.len);
    return ERR_OK;
}

static enum error_code load_vote(const struct wal *w, MDB_txn *txn, uint16_t shard,
                                 struct shard_state *s, struct error *err)
{
    struct key k = node_key('v', shard);
    struct bytes value;
    enum error_code code = node_get(w, txn, &k, &value, err);
    if (code != ERR_OK)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    struct reader r = reader_of(value);
    s->term = reader_u64(&r);
    s->vote = reader_u64(&r);
    if (!r.ok || reader_left(&r) != 0)
        return error_set(err, ERR_CORRUPT, "%s: shard %u: the vote is damaged", w->disk.file,
                         shard);
    return ERR_OK;
}

static enum error_code load_snapshot(struct wal *w, MDB_txn *txn, uint16_t shard,
                                     struct shard_state *s, struct error *err)
{
    struct key k = node_key('s', shard);
    struct bytes value;
    enum error_code code = node_get(w, txn, &k, &value, err);
    if (code != ERR_OK)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    struct reader r = reader_of(value);
    s->snapshot_index = reader_u64(&r);
    s->snapshot_term = reader_u64(&r);
    s->conf_index = reader_u64(&r);
    if (!r.ok)
        return error_set(err, ERR_CORRUPT, "%s: shard %u: the snapshot record is damaged",
                         w->disk.file, shard);
    shard_state_set_conf(&w->shards, shard, reader_take(&r, reader_left(&r)));
    return ERR_OK;
}

/* Where the entries of the shard end; the cursor stands at its first one. */
static int seek_last(MDB_cursor *cursor, uint16_t shard, MDB_val *k)
{
    MDB_val v;
    if (shard == UINT16_MAX)
        return mdb_cursor_get(cursor, k, &v, MDB_LAST);
    struct key next = log_key((uint16_t)(shard + 1), 0);
    *k = disk_val(key_bytes(&next));
    int rc = mdb_cursor_get(cursor, k, &v, MDB_SET_RANGE);
    return mdb_cursor_get(cursor, k, &v, rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
}

static enum error_code load_range(const struct wal *w, MDB_cursor *cursor, uint16_t shard,
                                  struct shard_state *s, struct error *err)
{
    struct key from = log_key(shard, 0);
    MDB_val k = disk_val(key_bytes(&from)), v;
    uint16_t found;
    uint64_t first, last;
    s->first = s->snapshot_index + 1;
    s->last = s->snapshot_index;
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    if (rc == MDB_NOTFOUND)
        return ERR_OK;
    if (rc != 0)
        return disk_error(&w->disk, rc, "cannot read", err);
    if (!log_key_parse(disk_bytes_of(k), &found, &first))
        return damaged(w, shard, 0, "its key is damaged", err);
    if (found != shard)
        return ERR_OK;
    rc = seek_last(cursor, shard, &k);
    if (rc != 0)
        return disk_error(&w->disk, rc, "cannot read", err);
    if (!log_key_parse(disk_bytes_of(k), &found, &last) || found != shard || last < first)
        return damaged(w, shard, first, "the keys after it are damaged", err);
    if (first == 0 || first > s->snapshot_index + 1 || last < s->snapshot_index)
        return damaged(w, shard, first, "the log and its snapshot do not meet", err);
    s->first = first;
    s->last = last;
    return ERR_OK;
}

static enum error_code load_shard(struct wal *w, MDB_txn *txn, MDB_cursor *log, uint16_t shard,
                                  struct error *err)
{
    if (shard_cache_get(&w->shards, shard))
        return ERR_OK;
    struct shard_state *s = shard_cache_touch(&w->shards, shard);
    if (!s)
        return error_set(err, ERR_NOMEM, "out of memory");
    enum error_code code = load_vote(w, txn, shard, s, err);
    if (code == ERR_OK)
        code = load_snapshot(w, txn, shard, s, err);
    if (code == ERR_OK)
        code = load_range(w, log, shard, s, err);
    return code;
}

/* Shards that have a vote or a snapshot. */
static enum error_code load_named_shards(struct wal *w, MDB_txn *txn, MDB_cursor *node,
                                         MDB_cursor *log, struct error *err)
{
    MDB_val k, v;
    int rc;
    while ((rc = mdb_cursor_get(node, &k, &v, MDB_NEXT)) == 0) {
        struct bytes key = disk_bytes_of(k);
        if (key.len > 0 && key.data[0] == 'm')
            continue;
        if (key.len != 3 || (key.data[0] != 'v' && key.data[0] != 's'))
            return error_set(err, ERR_CORRUPT, "%s: a key of the node is damaged", w->disk.file);
        uint16_t shard = (uint16_t)(key.data[1] << 8 | key.data[2]);
        enum error_code code = load_shard(w, txn, log, shard, err);
        if (code != ERR_OK)
            return code;
    }
    return rc == MDB_NOTFOUND ? ERR_OK : disk_error(&w->disk, rc, "cannot read", err);
}

/* Shards that have entries: jumps from one to the next. */
static enum error_code load_logged_shards(struct wal *w, MDB_txn *txn, MDB_cursor *log,
                                          struct error *err)
{
    uint32_t at = 0;
    while (at <= UINT16_MAX) {
        struct key from = log_key((uint16_t)at, 0);
        MDB_val k = disk_val(key_bytes(&from)), v;
        int rc = mdb_cursor_get(log, &k, &v, MDB_SET_RANGE);
        if (rc == MDB_NOTFOUND)
            return ERR_OK;
        if (rc != 0)
            return disk_error(&w->disk, rc, "cannot read", err);
        uint16_t shard;
        uint64_t index;
        if (!log_key_parse(disk_bytes_of(k), &shard, &index))
            return error_set(err, ERR_CORRUPT, "%s: a key of the log is damaged", w->disk.file);
        enum error_code code = load_shard(w, txn, log, shard, err);
        if (code != ERR_OK)
            return code;
        at = shard + 1U;
    }
    return ERR_OK;
}

static enum error_code load_all(struct wal *w, struct error *err)
{
    MDB_txn *txn;
    MDB_cursor *log = NULL, *node = NULL;
    enum error_code code = disk_begin(&w->disk, MDB_RDONLY, &txn, err);
    if (code != ERR_OK)
        return code;
    int rc = mdb_cursor_open(txn, w->disk.dbi[LOG], &log);
    if (rc == 0)
        rc = mdb_cursor_open(txn, w->disk.dbi[NODE], &node);
    if (rc != 0)
        code = disk_error(&w->disk, rc, "cannot read", err);
    if (code == ERR_OK)
        code = load_named_shards(w, txn, node, log, err);
    if (code == ERR_OK)
        code = load_logged_shards(w, txn, log, err);
    if (node)
        mdb_cursor_close(node);
    if (log)
        mdb_cursor_close(log);
    mdb_txn_abort(txn);
    shard_cache_keep(&w->shards);
    return code;
}

enum error_code wal_open(const struct wal_options *o, struct wal **out, struct error *err)
{
    *out = NULL;
    struct wal *w = calloc(1, sizeof *w);
    if (!w)
        return error_set(err, ERR_NOMEM, "out of memory");
    struct disk_options d = {.path = o->path,
                             .map_bytes = o->map_bytes,
                             .magic = "oneidlog",
                             .version = WAL_FORMAT_VERSION,
                             .cluster_id = o->cluster_id,
                             .owner = o->node,
                             .owner_word = "node",
                             .dbs = DBS,
                             .n_dbs = sizeof DBS / sizeof *DBS};
    enum error_code code = disk_open(&w->disk, &d, err);
    if (code == ERR_OK)
        code = load_all(w, err);
    if (code != ERR_OK) {
        wal_close(w);
        return code;
    }
    *out = w;
    return ERR_OK;
}

void wal_close(struct wal *w)
{
    if (!w)
        return;
    wal_abort(w);
    shard_cache_close(&w->shards);
    disk_close(&w->disk);
    free(w);
}

enum error_code wal_load(struct wal *w, uint16_t shard, struct wal_shard *out, struct error *err)
{
    (void)err;
    const struct shard_state *s = shard_cache_get(&w->shards, shard);
    *out = (struct wal_shard){.first_index = 1};
    if (!s)
        return ERR_OK;
    *out = (struct wal_shard){
        .term = s->term,
        .vote = s->vote,
        .snapshot = {s->snapshot_index, s->snapshot_term, s->conf_index, buf_bytes(&s->conf)},
        .first_index = s->first,
        .last_index = s->last};
    return ERR_OK;
}

/* Proves a stored entry and takes it apart. */
static bool entry_decode(struct bytes key, struct bytes record, struct wal_entry *e)
{
    struct bytes value;
    if (record.len < ENTRY_HEADER || !unwrap(key, record, &value))
        return false;
    struct reader r = reader_of(value);
    e->term = reader_u64(&r);
    e->type = reader_u8(&r);
    e->data = reader_take(&r, reader_left(&r));
    return r.ok;
}

static enum error_code read_entries(const struct wal *w, MDB_cursor *cursor, uint16_t shard,
                                    uint64_t from, uint64_t last, wal_entry_cb cb, void *ctx,
                                    struct error *err)
{
    uint64_t term = 0;
    for (uint64_t index = from; index <= last; index++) {
        struct key want = log_key(shard, index);
        MDB_val k = disk_val(key_bytes(&want)), v;
        int rc = mdb_cursor_get(cursor, &k, &v, index == from ? MDB_SET_RANGE : MDB_NEXT);
        if (rc != 0 && rc != MDB_NOTFOUND)
            return disk_error(&w->disk, rc, "cannot read", err);
        if (rc == MDB_NOTFOUND || !bytes_equal(disk_bytes_of(k), key_bytes(&want)))
            return damaged(w, shard, index, "missing", err);
        struct wal_entry e;
        if (!entry_decode(key_bytes(&want), disk_bytes_of(v), &e))
            return damaged(w, shard, index, "its check sum is wrong", err);
        if (e.term < term)
            return damaged(w, shard, index, "its term is lower than the one before", err);
        term = e.term;
        enum error_code code = cb(ctx, index, &e);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

enum error_code wal_read(struct wal *w, uint16_t shard, uint64_t from, wal_entry_cb cb, void *ctx,
                         struct error *err)
{
    const struct shard_state *s = shard_cache_get(&w->shards, shard);
    if (!s || from > s->last)
        return ERR_OK;
    if (from < s->first)
        return error_set(err, ERR_NOT_FOUND, "%s: shard %u: entries before %llu are trimmed",
                         w->disk.file, shard, (unsigned long long)s->first);
    MDB_txn *txn = w->txn;
    enum error_code code = txn ? ERR_OK : disk_begin(&w->disk, MDB_RDONLY, &txn, err);
    if (code != ERR_OK)
        return code;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, w->disk.dbi[LOG], &cursor);
    if (rc == 0) {
        code = read_entries(w, cursor, shard, from, s->last, cb, ctx, err);
        mdb_cursor_close(cursor);
    } else {
        code = disk_error(&w->disk, rc, "cannot read", err);
    }
    if (!w->txn)
        mdb_txn_abort(txn);
    return code;
}

enum error_code wal_begin(struct wal *w, struct error *err)
{
    assert(!w->txn);
    return disk_begin(&w->disk, 0, &w->txn, err);
}

enum error_code wal_put_vote(struct wal *w, uint16_t shard, uint64_t term, uint64_t vote,
                             struct error *err)
{
    assert(w->txn);
    struct shard_state *s = shard_cache_touch(&w->shards, shard);
    if (!s)
        return error_set(err, ERR_NOMEM, "out of memory");
    struct key k = node_key('v', shard);
    struct buf value = {0};
    buf_put_u64(&value, term);
    buf_put_u64(&value, vote);
    enum error_code code = node_put(w, &k, buf_bytes(&value), err);
    buf_free(&value);
    s->term = term;
    s->vote = vote;
    return code;
}

/* Deletes the entries from..to, which must all be there. */
static enum error_code delete_entries(struct wal *w, uint16_t shard, uint64_t from, uint64_t to,
                                      struct error *err)
{
    if (from > to)
        return ERR_OK;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(w->txn, w->disk.dbi[LOG], &cursor);
    if (rc != 0)
        return disk_error(&w->disk, rc, "cannot delete", err);
    enum error_code code = ERR_OK;
    for (uint64_t index = from; index <= to && code == ERR_OK; index++) {
        struct key want = log_key(shard, index);
        MDB_val k = disk_val(key_bytes(&want)), v;
        rc = mdb_cursor_get(cursor, &k, &v, index == from ? MDB_SET_RANGE : MDB_NEXT);
        if (rc == MDB_NOTFOUND || (rc == 0 && !bytes_equal(disk_bytes_of(k), key_bytes(&want))))
            code = damaged(w, shard, index, "missing", err);
        else if (rc != 0 || (rc = mdb_cursor_del(cursor, 0)) != 0)
            code = disk_error(&w->disk, rc, "cannot delete", err);
    }
    mdb_cursor_close(cursor);
    return code;
}

static int put_entry(MDB_cursor *cursor, uint16_t shard, uint64_t index, const struct wal_entry *e)
{
    struct key key = log_key(shard, index);
    MDB_val k = disk_val(key_bytes(&key)), v = {ENTRY_HEADER + e->data.len, NULL};
    int rc = mdb_cursor_put(cursor, &k, &v, MDB_RESERVE | MDB_NOOVERWRITE);
    if (rc != 0)
        return rc;
    uint8_t *out = v.mv_data, *p = out + SUM_BYTES;
    for (unsigned i = 0; i < 8; i++)
        *p++ = (uint8_t)(e->term >> (8 * i));
    *p++ = e->type;
    if (e->data.len > 0)
        memcpy(p, e->data.data, e->data.len);
    struct bytes value = bytes_of(out + SUM_BYTES, ENTRY_HEADER - SUM_BYTES + e->data.len);
    uint32_t sum = disk_checksum(key_bytes(&key), value);
    memcpy(out, &sum, SUM_BYTES);
    return 0;
}

static enum error_code put_entries(struct wal *w, uint16_t shard, uint64_t index,
                                   const struct wal_entry *entries, size_t n, struct error *err)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(w->txn, w->disk.dbi[LOG], &cursor);
    if (rc != 0)
        return disk_error(&w->disk, rc, "cannot append", err);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = put_entry(cursor, shard, index + i, &entries[i]);
    mdb_cursor_close(cursor);
    if (rc == MDB_KEYEXIST)
        return damaged(w, shard, index, "found behind the end of the log", err);
    return rc ? disk_error(&w->disk, rc, "cannot append", err) : ERR_OK;
}

enum error_code wal_append(struct wal *w, uint16_t shard, uint64_t index,
                           const struct wal_entry *entries, size_t n, struct error *err)
{
    assert(w->txn);
    struct shard_state *s = shard_cache_touch(&w->shards, shard);
    if (!s)
        return error_set(err, ERR_NOMEM, "out of memory");
    if (index < s->first || index > s->last + 1)
        return damaged(w, shard, index, "would leave a gap", err);
    enum error_code code = delete_entries(w, shard, index, s->last, err);
    if (code == ERR_OK && n > 0)
        code = put_entries(w, shard, index, entries, n, err);
    s->last = index + n - 1;
    return code;
}

/* Does the log hold the entry that the snapshot ends with? */
static enum error_code has_entry(struct wal *w, uint16_t shard, uint64_t index, uint64_t term,
                                 bool *has, struct error *err)
{
    struct key key = log_key(shard, index);
    MDB_val k = disk_val(key_bytes(&key)), v;
    struct wal_entry e;
    *has = false;
    int rc = mdb_get(w->txn, w->disk.dbi[LOG], &k, &v);
    if (rc == MDB_NOTFOUND)
        return ERR_OK;
    if (rc != 0)
        return disk_error(&w->disk, rc, "cannot read", err);
    if (!entry_decode(key_bytes(&key), disk_bytes_of(v), &e))
        return damaged(w, shard, index, "its check sum is wrong", err);
    *has = e.term == term;
    return ERR_OK;
}

static enum error_code put_snapshot(struct wal *w, uint16_t shard, struct shard_state *s,
                                    const struct wal_snapshot *snapshot, struct error *err)
{
    s->snapshot_index = snapshot->index;
    s->snapshot_term = snapshot->term;
    s->conf_index = snapshot->conf_index;
    shard_state_set_conf(&w->shards, shard, snapshot->conf);
    struct key k = node_key('s', shard);
    struct buf value = {0};
    buf_put_u64(&value, snapshot->index);
    buf_put_u64(&value, snapshot->term);
    buf_put_u64(&value, snapshot->conf_index);
    buf_put(&value, snapshot->conf.data, snapshot->conf.len);
    enum error_code code = node_put(w, &k, buf_bytes(&value), err);
    buf_free(&value);
    return code;
}

enum error_code wal_trim(struct wal *w, uint16_t shard, uint64_t upto,
                         const struct wal_snapshot *snapshot, struct error *err)
{
    assert(w->txn);
    assert(upto <= snapshot->index);
    struct shard_state *s = shard_cache_touch(&w->shards, shard);
    if (!s)
        return error_set(err, ERR_NOMEM, "out of memory");
    if (snapshot->index < s->snapshot_index)
        return damaged(w, shard, snapshot->index, "the stored snapshot is newer", err);
    enum error_code code = ERR_OK;
    bool fits = snapshot->index + 1 == s->first; /* trimmed up to here already */
    if (snapshot->index >= s->first && snapshot->index <= s->last)
        code = has_entry(w, shard, snapshot->index, snapshot->term, &fits, err);
    if (code != ERR_OK)
        return code;
    uint64_t end = !fits ? s->last : upto < s->last ? upto : s->last;
    code = delete_entries(w, shard, s->first, end, err);
    if (end >= s->first)
        s->first = end + 1;
    if (!fits) {
        s->first = snapshot->index + 1;
        s->last = snapshot->index;
    }
    return code ? code : put_snapshot(w, shard, s, snapshot, err);
}

static enum error_code node_del(struct wal *w, const struct key *key, struct error *err)
{
    assert(w->txn);
    MDB_val k = disk_val(key_bytes(key));
    int rc = mdb_del(w->txn, w->disk.dbi[NODE], &k, NULL);
    return rc == 0 || rc == MDB_NOTFOUND ? ERR_OK : disk_error(&w->disk, rc, "cannot delete", err);
}

/* From the end down to the snapshot, and then from the beginning: at each point what is left is a
 * log that can be read back. */
static enum error_code forget_entries(struct wal *w, uint16_t shard, struct shard_state *s,
                                      uint64_t max, struct error *err)
{
    uint64_t behind = s->last - s->snapshot_index;
    uint64_t n = behind < max ? behind : max;
    enum error_code code = delete_entries(w, shard, s->last - n + 1, s->last, err);
    s->last -= n;
    if (code != ERR_OK || s->last > s->snapshot_index)
        return code;
    uint64_t left = s->last + 1 - s->first;
    n = left < max - n ? left : max - n;
    code = delete_entries(w, shard, s->first, s->first + n - 1, err);
    s->first += n;
    return code;
}

enum error_code wal_forget(struct wal *w, uint16_t shard, uint64_t max, bool *done,
                           struct error *err)
{
    assert(w->txn);
    assert(max > 0);
    struct key vote = node_key('v', shard), snapshot = node_key('s', shard);
    struct shard_state *s = shard_cache_touch(&w->shards, shard);
    *done = false;
    if (!s)
        return error_set(err, ERR_NOMEM, "out of memory");
    enum error_code code = forget_entries(w, shard, s, max, err);
    if (code != ERR_OK || s->first <= s->last)
        return code;
    code = node_del(w, &vote, err);
    if (code == ERR_OK)
        code = node_del(w, &snapshot, err);
    shard_state_set_conf(&w->shards, shard, bytes_of(NULL, 0));
    s->term = s->vote = s->snapshot_index = s->snapshot_term = s->conf_index = s->last = 0;
    s->first = 1;
    *done = true;
    return code;
}

/* Our own bug if not; but what would be written is a log that cannot be read back. */
static enum error_code check_shards(const struct wal *w, struct error *err)
{
    for (size_t i = 0; i < w->shards.n_undo; i++) {
        uint16_t shard = w->shards.undo[i].shard;
        const struct shard_state *s = shard_cache_get(&w->shards, shard);
        if (s->first > s->snapshot_index + 1 || s->last < s->snapshot_index)
            return damaged(w, shard, s->last + 1, "would be missing before the snapshot", err);
    }
    return ERR_OK;
}

enum error_code wal_commit(struct wal *w, struct error *err)
{
    assert(w->txn);
    enum error_code code = check_shards(w, err);
    if (code != ERR_OK) {
        wal_abort(w);
        return code;
    }
    code = disk_commit(&w->disk, w->txn, 0, err);
    w->txn = NULL;
    if (code == ERR_OK)
        shard_cache_keep(&w->shards);
    else
        shard_cache_undo(&w->shards);
    return code;
}

void wal_abort(struct wal *w)
{
    if (!w->txn)
        return;
    mdb_txn_abort(w->txn);
    w->txn = NULL;
    shard_cache_undo(&w->shards);
}

enum error_code wal_put_meta(struct wal *w, const char *name, struct bytes value, struct error *err)
{
    struct key k = meta_key(name);
    return node_put(w, &k, value, err);
}

enum error_code wal_get_meta(struct wal *w, const char *name, struct buf *out, struct error *err)
{
    struct key k = meta_key(name);
    struct bytes value = {0};
    MDB_txn *txn = w->txn;
    enum error_code code = txn ? ERR_OK : disk_begin(&w->disk, MDB_RDONLY, &txn, err);
    if (code != ERR_OK)
        return code;
    code = node_get(w, txn, &k, &value, err);
    if (code == ERR_OK)
        buf_put(out, value.data, value.len);
    else if (code == ERR_NOT_FOUND)
        (void)error_set(err, code, "%s: no record \"%s\"", w->disk.file, name);
    if (!w->txn)
        mdb_txn_abort(txn);
    return code;
}

enum error_code wal_del_meta(struct wal *w, const char *name, struct error *err)
{
    struct key k = meta_key(name);
    return node_del(w, &k, err);
}

uint64_t wal_disk_bytes(const struct wal *w)
{
    return disk_bytes(&w->disk);
}
