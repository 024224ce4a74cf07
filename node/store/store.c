#include <store/store.h>

#include "memtable.h"

#include <base/hash.h>
#include <disk/disk.h>

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUM_BYTES = 4, STATE = 0 };

static const char *const DBS[] = {"state"};

struct store {
    struct disk disk;
    bool on_disk;
    MDB_txn *read; /* held by the owner; renewed when a checkpoint is released */
    struct memtable active, frozen;
    struct memtable base; /* instead of a file: what was "written" when there is none */
    struct chunk_pool pool;
    bool has_frozen, frozen_is_written;
    bool frozen_is_tainted; /* frozen after a read had failed: must not be written */
    uint64_t frozen_index, durable_index, disk_bytes;
    struct error failed;      /* sticky */
    _Atomic unsigned n_views; /* that are open */
    struct store *view_of;    /* owns `disk`; NULL: this is no view */
    store_damage_cb on_damage;
    void *damage_ctx;
};

static void fail(struct store *s, const struct error *e)
{
    if (s->failed.code == ERR_OK)
        s->failed = *e;
}

static void fail_read(struct store *s, int rc)
{
    struct error e;
    (void)disk_error(&s->disk, rc, "cannot read", &e);
    fail(s, &e);
}

static struct disk_options disk_options_of(const struct store_options *o)
{
    return (struct disk_options){.path = o->path,
                                 .map_bytes = o->map_bytes,
                                 .magic = "oneidsto",
                                 .version = STORE_FORMAT_VERSION,
                                 .oldest = STORE_FORMAT_OLDEST,
                                 .cluster_id = o->cluster_id,
                                 .owner = o->shard,
                                 .owner_word = "shard",
                                 .dbs = DBS,
                                 .n_dbs = 1};
}

static enum error_code open_disk(struct store *s, const struct store_options *o, struct error *err)
{
    struct disk_options d = disk_options_of(o);
    enum error_code code = disk_open(&s->disk, &d, err);
    if (code != ERR_OK)
        return code;
    s->on_disk = true;
    s->durable_index = s->disk.mark;
    s->disk_bytes = disk_bytes(&s->disk);
    return disk_begin(&s->disk, MDB_RDONLY, &s->read, err);
}

enum error_code store_open(const struct store_options *o, struct store **out, struct error *err)
{
    *out = NULL;
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(err, ERR_NOMEM, "out of memory");
    memtable_init(&s->active, 0, &s->pool);
    memtable_init(&s->base, 0, NULL);
    enum error_code code = o->path ? open_disk(s, o, err) : ERR_OK;
    if (code != ERR_OK) {
        store_close(s);
        return code;
    }
    *out = s;
    return ERR_OK;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    memtable_close(&s->active);
    memtable_close(&s->frozen);
    memtable_close(&s->base);
    chunk_pool_close(&s->pool);
    assert(atomic_load(&s->n_views) == 0);
    if (s->read)
        mdb_txn_abort(s->read);
    if (s->view_of)
        (void)atomic_fetch_sub(&s->view_of->n_views, 1);
    else if (s->on_disk)
        disk_close(&s->disk);
    free(s);
}

enum error_code store_view_open(struct store *s, struct store **out, struct error *err)
{
    *out = NULL;
    if (!s->on_disk)
        return error_set(err, ERR_USAGE, "a store without a file has no views");
    struct store *v = calloc(1, sizeof *v);
    if (!v)
        return error_set(err, ERR_NOMEM, "out of memory");
    memtable_init(&v->active, 0, &v->pool);
    memtable_init(&v->base, 0, NULL);
    v->disk = s->disk;
    v->on_disk = true;
    v->view_of = s;
    (void)atomic_fetch_add(&s->n_views, 1);
    enum error_code code = disk_begin(&v->disk, MDB_RDONLY, &v->read, err);
    if (code == ERR_OK)
        code = disk_read_mark(&v->disk, v->read, &v->durable_index, err);
    if (code != ERR_OK) {
        store_close(v);
        return code;
    }
    *out = v;
    return ERR_OK;
}

void store_view_on_damage(struct store *view, store_damage_cb cb, void *ctx)
{
    view->on_damage = cb;
    view->damage_ctx = ctx;
}

uint64_t store_rows(const struct store *s)
{
    MDB_stat st;
    if (!s->on_disk || mdb_stat(s->read, s->disk.dbi[STATE], &st) != 0)
        return 0;
    return st.ms_entries;
}

uint64_t store_durable_index(const struct store *s)
{
    return s->durable_index;
}

/* Splits a stored record into check sum and value. */
static bool is_sound(struct bytes key, struct bytes record, struct bytes *value)
{
    uint32_t sum;
    if (record.len < SUM_BYTES)
        return false;
    memcpy(&sum, record.data, SUM_BYTES);
    *value = bytes_of(record.data + SUM_BYTES, record.len - SUM_BYTES);
    return sum == disk_checksum(key, *value);
}

static bool unwrap(struct store *s, struct bytes key, struct bytes record, struct bytes *value)
{
    if (is_sound(key, record, value))
        return true;
    if (s->view_of)
        return false;
    struct error e;
    (void)error_set(&e, ERR_CORRUPT, "%s: a value's check sum is wrong", s->disk.file);
    fail(s, &e);
    return false;
}

static bool get_written(struct store *s, uint64_t hash, struct bytes key, struct bytes *value)
{
    if (!s->on_disk)
        return memtable_get(&s->base, hash, key, value) == MEMTABLE_PRESENT;
    MDB_val k = disk_val(key), v;
    int rc = mdb_get(s->read, s->disk.dbi[STATE], &k, &v);
    if (rc == MDB_NOTFOUND)
        return false;
    if (rc != 0) {
        fail_read(s, rc);
        return false;
    }
    return unwrap(s, key, disk_bytes_of(v), value);
}

bool store_get(struct store *s, struct bytes key, struct bytes *value)
{
    uint64_t hash = hash64(key);
    enum memtable_answer a = memtable_get(&s->active, hash, key, value);
    if (a == MEMTABLE_UNKNOWN && s->has_frozen)
        a = memtable_get(&s->frozen, hash, key, value);
    if (a != MEMTABLE_UNKNOWN)
        return a == MEMTABLE_PRESENT;
    return get_written(s, hash, key, value);
}

void store_prefetch(const struct store *s, struct bytes key, enum store_hint hint)
{
    uint64_t hash = hash64(key);
    if (hint == STORE_HINT_FIRST)
        memtable_prefetch_slot(&s->active, hash);
    else
        memtable_prefetch_record(&s->active, hash);
}

void store_put(struct store *s, struct bytes key, struct bytes value)
{
    assert(key.len > 0 && key.len <= STORE_KEY_MAX && !s->view_of);
    memtable_put(&s->active, hash64(key), key, value);
}

void store_del(struct store *s, struct bytes key)
{
    assert(key.len > 0 && key.len <= STORE_KEY_MAX && !s->view_of);
    memtable_del(&s->active, hash64(key), key);
}

struct scan {
    struct store *s;
    struct bytes prefix;
    store_scan_cb cb;
    void *ctx;
};

static bool has_prefix(struct bytes key, struct bytes prefix)
{
    return key.len >= prefix.len &&
           (prefix.len == 0 || memcmp(key.data, prefix.data, prefix.len) == 0);
}

/* Does a newer level say something about this key? */
static bool is_hidden(const struct store *s, const struct memtable *level, struct bytes key)
{
    uint64_t hash = hash64(key);
    struct bytes v;
    if (level == &s->active)
        return false;
    if (memtable_get(&s->active, hash, key, &v) != MEMTABLE_UNKNOWN)
        return true;
    return level != &s->frozen && s->has_frozen &&
           memtable_get(&s->frozen, hash, key, &v) != MEMTABLE_UNKNOWN;
}

static bool scan_memtable(const struct scan *c, const struct memtable *level)
{
    struct memtable_record r;
    for (uint64_t at = 0; memtable_next(level, &at, &r);) {
        if (r.deleted || !has_prefix(r.key, c->prefix) || is_hidden(c->s, level, r.key))
            continue;
        if (!c->cb(c->ctx, r.key, r.value))
            return false;
    }
    return true;
}

/* 0 at the end, also when the callback ended the walk. */
static int walk_disk(const struct scan *c, MDB_cursor *cursor)
{
    MDB_val k = disk_val(c->prefix), v;
    int rc = mdb_cursor_get(cursor, &k, &v, c->prefix.len ? MDB_SET_RANGE : MDB_FIRST);
    for (; rc == 0; rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
        struct bytes key = disk_bytes_of(k), value;
        if (!has_prefix(key, c->prefix))
            return 0;
        if (is_hidden(c->s, NULL, key))
            continue;
        bool sound = unwrap(c->s, key, disk_bytes_of(v), &value);
        if (!sound && c->s->on_damage)
            c->s->on_damage(c->s->damage_ctx, key);
        if (sound ? !c->cb(c->ctx, key, value) : !c->s->view_of)
            return 0;
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static void scan_disk(const struct scan *c)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(c->s->read, c->s->disk.dbi[STATE], &cursor);
    if (rc == 0) {
        rc = walk_disk(c, cursor);
        mdb_cursor_close(cursor);
    }
    if (rc != 0)
        fail_read(c->s, rc);
}

void store_scan(struct store *s, struct bytes prefix, store_scan_cb cb, void *ctx)
{
    struct scan c = {s, prefix, cb, ctx};
    if (!scan_memtable(&c, &s->active) || (s->has_frozen && !scan_memtable(&c, &s->frozen)))
        return;
    if (s->on_disk)
        scan_disk(&c);
    else
        (void)scan_memtable(&c, &s->base);
}

enum error_code store_error(const struct store *s, struct error *err)
{
    if (s->failed.code != ERR_OK && err)
        *err = s->failed;
    return s->failed.code;
}

uint64_t store_active_bytes(const struct store *s)
{
    return memtable_bytes(&s->active);
}

uint64_t store_disk_bytes(const struct store *s)
{
    return s->disk_bytes;
}

bool store_has_frozen(const struct store *s)
{
    return s->has_frozen;
}

void store_freeze(struct store *s, uint64_t applied_index)
{
    assert(!s->has_frozen && !s->view_of);
    assert(applied_index >= s->durable_index);
    uint64_t expected = s->active.count;
    s->frozen = s->active;
    s->frozen_index = applied_index;
    s->frozen_is_written = false;
    s->frozen_is_tainted = s->failed.code != ERR_OK;
    s->has_frozen = true;
    /* About as many keys will come until the next time: growing the table step by step would stop
     * the owner each time. */
    memtable_init(&s->active, expected, &s->pool);
}

/* One record into LMDB, at the cursor. */
static int write_record(MDB_cursor *cursor, const struct memtable_record *r, unsigned flags)
{
    MDB_val k = disk_val(r->key), v;
    if (r->deleted) {
        int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET);
        return rc == MDB_NOTFOUND ? 0 : rc ? rc : mdb_cursor_del(cursor, 0);
    }
    v = (MDB_val){SUM_BYTES + r->value.len, NULL};
    int rc = mdb_cursor_put(cursor, &k, &v, MDB_RESERVE | flags);
    if (rc != 0)
        return rc;
    uint32_t sum = disk_checksum(r->key, r->value);
    uint8_t *out = v.mv_data;
    memcpy(out, &sum, SUM_BYTES);
    if (r->value.len > 0)
        memcpy(out + SUM_BYTES, r->value.data, r->value.len);
    return 0;
}

static int write_records(struct store *s, MDB_txn *txn, const struct memtable_order *order)
{
    MDB_cursor *cursor;
    MDB_stat st;
    int rc = mdb_stat(txn, s->disk.dbi[STATE], &st);
    if (rc == 0)
        rc = mdb_cursor_open(txn, s->disk.dbi[STATE], &cursor);
    if (rc != 0)
        return rc;
    /* Into an empty database in key order: pages are filled instead of split. */
    unsigned flags = st.ms_entries == 0 ? MDB_APPEND : 0;
    for (uint64_t i = 0; i < s->frozen.count && rc == 0; i++) {
        struct memtable_record r = memtable_at(&order[i]);
        rc = write_record(cursor, &r, flags);
    }
    mdb_cursor_close(cursor);
    return rc;
}

enum error_code store_write_frozen(struct store *s, struct error *err)
{
    assert(s->has_frozen);
    if (s->frozen_is_tainted)
        return error_set(err, ERR_CORRUPT, "a read had failed before: the state is not written");
    if (s->frozen_is_written || !s->on_disk) {
        s->frozen_is_written = true;
        return ERR_OK;
    }
    struct memtable_order *order = memtable_sorted(&s->frozen);
    if (!order)
        return error_set(err, ERR_NOMEM, "%s: no memory to sort a checkpoint", s->disk.file);
    MDB_txn *txn;
    enum error_code code = disk_begin(&s->disk, 0, &txn, err);
    if (code == ERR_OK) {
        int rc = write_records(s, txn, order);
        if (rc == 0) {
            code = disk_commit(&s->disk, txn, s->frozen_index, err);
        } else {
            mdb_txn_abort(txn);
            code = disk_error(&s->disk, rc, "cannot write a checkpoint", err);
        }
    }
    free(order);
    s->frozen_is_written = code == ERR_OK;
    return code;
}

/* Without a file: what would be in it. */
static void move_to_base(struct store *s)
{
    struct memtable_record r;
    for (uint64_t at = 0; memtable_next(&s->frozen, &at, &r);) {
        if (r.deleted)
            memtable_del(&s->base, hash64(r.key), r.key);
        else
            memtable_put(&s->base, hash64(r.key), r.key, r.value);
    }
}

void store_release_frozen(struct store *s)
{
    assert(s->has_frozen && s->frozen_is_written);
    if (s->on_disk) {
        mdb_txn_reset(s->read);
        int rc = mdb_txn_renew(s->read);
        if (rc != 0) {
            /* Without a snapshot to read from, everything below the memtables would look absent. */
            fail_read(s, rc);
            return;
        }
        s->disk_bytes = disk_bytes(&s->disk);
    } else {
        move_to_base(s);
    }
    s->durable_index = s->frozen_index;
    s->has_frozen = false;
    chunk_pool_close(&s->pool);
    memtable_close(&s->frozen);
}

enum error_code store_copy_to(struct store *s, const char *path, uint64_t *applied,
                              struct error *err)
{
    if (!s->on_disk)
        return error_set(err, ERR_USAGE, "a store without a file cannot be copied");
    enum error_code code = disk_copy(&s->disk, path, err);
    if (code != ERR_OK)
        return code;
    /* What was copied is whatever was committed when LMDB began: the copy itself knows. */
    struct disk copy;
    code = disk_open_copy(&copy, &s->disk.options, path, err);
    if (code != ERR_OK) {
        (void)unlink(path);
        return code;
    }
    *applied = copy.mark;
    disk_close(&copy);
    return ERR_OK;
}

/* Reads every record of a copy. */
static enum error_code check_records(struct disk *d, struct error *err)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    enum error_code code = disk_begin(d, MDB_RDONLY, &txn, err);
    if (code != ERR_OK)
        return code;
    int rc = mdb_cursor_open(txn, d->dbi[STATE], &cursor);
    if (rc == 0) {
        MDB_val k, v;
        struct bytes value;
        while ((rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
            if (!is_sound(disk_bytes_of(k), disk_bytes_of(v), &value)) {
                code = error_set(err, ERR_CORRUPT, "%s: a value's check sum is wrong", d->file);
                break;
            }
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return rc == 0 || rc == MDB_NOTFOUND ? code : disk_error(d, rc, "cannot read", err);
}

enum error_code store_check_copy(const struct store_options *o, const char *path, uint64_t *applied,
                                 struct error *err)
{
    struct disk_options options = disk_options_of(o);
    struct disk d;
    enum error_code code = disk_open_copy(&d, &options, path, err);
    if (code != ERR_OK)
        return code;
    *applied = d.mark;
    code = check_records(&d, err);
    disk_close(&d);
    return code;
}

enum error_code store_install(const struct store_options *o, const char *path, struct error *err)
{
    struct disk_options options = disk_options_of(o);
    return disk_install(&options, path, err);
}
