#include <disk/disk.h>

#include "check.h"
#include "parts.h"

#include <base/hash.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FOLDER_MODE = 0700,
    MAGIC_BYTES = 8,
    STAMP_BYTES = MAGIC_BYTES + 4 + 8 + 2 + 8 + 8 + 4,
    PROBE_BYTES = 65536,
    LOCK_FILE_BYTES = 16384 /* LMDB's table of 126 readers takes half of it */
};

static const char STAMP_KEY[] = "oneid";

struct stamp {
    uint32_t version;
    uint64_t cluster_id;
    uint16_t owner;
    uint64_t txn, mark;
};

uint32_t disk_checksum(struct bytes key, struct bytes value)
{
    return (uint32_t)hash64_seed(value, hash64(key));
}

static bool is_full(int rc)
{
    return rc == ENOSPC || rc == EDQUOT || rc == EFBIG;
}

enum error_code disk_error(const struct disk *d, int rc, const char *doing, struct error *err)
{
    if (rc == MDB_MAP_FULL)
        return error_set(err, ERR_DISK_FULL,
                         "%s: %s: the file has its largest size; raise limits: map_gb", d->file,
                         doing);
    if (is_full(rc))
        return error_set_sys(err, ERR_DISK_FULL, rc, "%s: %s", d->file, doing);
    if (rc == ENOMEM)
        return error_set(err, ERR_NOMEM, "%s: %s: out of memory", d->file, doing);
    if (rc > 0)
        return error_set_sys(err, ERR_IO, rc, "%s: %s", d->file, doing);
    if (rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID ||
        rc == MDB_CURSOR_FULL || rc == MDB_INCOMPATIBLE)
        return error_set(err, ERR_CORRUPT, "%s: %s: %s", d->file, doing, mdb_strerror(rc));
    if (rc == MDB_VERSION_MISMATCH)
        return error_set(err, ERR_MISMATCH, "%s: %s: %s", d->file, doing, mdb_strerror(rc));
    return error_set(err, ERR_IO, "%s: %s: %s", d->file, doing, mdb_strerror(rc));
}

void disk_name_file(struct disk *d, const char *file)
{
    size_t skip = strlen(file) >= 128 ? strlen(file) - 127 : 0;
    (void)snprintf(d->file, sizeof d->file, "%s", file + skip);
}

uint64_t disk_bytes(const struct disk *d)
{
    MDB_envinfo info;
    MDB_stat st;
    if (mdb_env_info(d->env, &info) != 0 || mdb_env_stat(d->env, &st) != 0)
        return 0;
    return ((uint64_t)info.me_last_pgno + 1) * st.ms_psize;
}

enum error_code disk_sync_folder(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_sys(err, ERR_IO, errno, "%s: cannot open", path);
    int rc = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    return rc ? error_set_sys(err, ERR_IO, rc, "%s: cannot sync the folder", path) : ERR_OK;
}

enum error_code disk_make_folder(const char *path, struct error *err)
{
    if (mkdir(path, FOLDER_MODE) != 0) {
        if (errno == EEXIST)
            return ERR_OK;
        return error_set_sys(err, ERR_IO, errno, "%s: cannot make the folder", path);
    }
    char *parent = malloc(strlen(path) + sizeof "/..");
    if (!parent)
        return error_set(err, ERR_NOMEM, "out of memory");
    (void)sprintf(parent, "%s/..", path);
    enum error_code rc = disk_sync_folder(parent, err);
    free(parent);
    return rc;
}

/* Opens or makes a file; -1 on failure, with `err` filled. */
static int open_in_folder(const struct disk *d, const char *name, struct error *err)
{
    size_t size = strlen(d->path) + strlen(name) + 2;
    char *path = malloc(size);
    if (!path) {
        (void)error_set(err, ERR_NOMEM, "out of memory");
        return -1;
    }
    (void)snprintf(path, size, "%s/%s", d->path, name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, DISK_FILE_MODE);
    if (fd < 0)
        (void)error_set_sys(err, ERR_IO, errno, "%s: cannot open", path);
    free(path);
    return fd;
}

enum error_code disk_take_lock(struct disk *d, struct error *err)
{
    d->lock_fd = open_in_folder(d, "owner.lock", err);
    if (d->lock_fd < 0)
        return err->code;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(d->lock_fd, F_SETLK, &lock) != 0)
        return error_set(err, ERR_BUSY, "%s: another process uses this folder", d->path);
    return ERR_OK;
}

static void stamp_encode(const struct disk_options *o, uint64_t txn, uint64_t mark, struct buf *b)
{
    buf_put(b, o->magic, MAGIC_BYTES);
    buf_put_u32(b, o->version);
    buf_put_u64(b, o->cluster_id);
    buf_put_u16(b, o->owner);
    buf_put_u64(b, txn);
    buf_put_u64(b, mark);
    buf_put_u32(b, hash_checksum(buf_bytes(b)));
}

static enum error_code stamp_check(const struct disk *d, struct bytes record, struct stamp *s,
                                   struct error *err)
{
    const struct disk_options *o = &d->options;
    struct reader r = reader_of(record);
    struct bytes magic = reader_take(&r, MAGIC_BYTES);
    s->version = reader_u32(&r);
    if (!r.ok || !bytes_equal(magic, bytes_of(o->magic, MAGIC_BYTES)))
        return error_set(err, ERR_MISMATCH, "%s: is not a file of this kind", d->file);
    if (s->version > o->version)
        return error_set(err, ERR_MISMATCH, "%s: format %u is newer than this program's %u",
                         d->file, s->version, o->version);
    if (s->version < o->oldest)
        return error_set(err, ERR_MISMATCH,
                         "%s: format %u is older than what this program reads (%u): use the "
                         "program that wrote it, or load the data anew",
                         d->file, s->version, o->oldest);
    s->cluster_id = reader_u64(&r);
    s->owner = reader_u16(&r);
    s->txn = reader_u64(&r);
    s->mark = reader_u64(&r);
    uint32_t sum = reader_u32(&r);
    if (!r.ok || record.len != STAMP_BYTES ||
        sum != hash_checksum(bytes_of(record.data, STAMP_BYTES - 4)))
        return error_set(err, ERR_CORRUPT, "%s: the stamp is damaged", d->file);
    if (s->cluster_id != o->cluster_id)
        return error_set(err, ERR_MISMATCH, "%s: belongs to another cluster: %016llx, not %016llx",
                         d->file, (unsigned long long)s->cluster_id,
                         (unsigned long long)o->cluster_id);
    if (s->owner != o->owner)
        return error_set(err, ERR_MISMATCH, "%s: belongs to %s %u, not %u", d->file, o->owner_word,
                         s->owner, o->owner);
    return ERR_OK;
}

/* Reads the stamp and the handles of an existing file; *found says whether there was a stamp. A
 * compacted copy of a file starts to count transactions anew, so its stamp may be ahead. */
static enum error_code read_stamp(struct disk *d, MDB_txn *txn, bool *found, struct error *err)
{
    int rc = mdb_dbi_open(txn, NULL, 0, &d->stamp_dbi);
    MDB_val k = disk_val(bytes_of_str(STAMP_KEY)), v;
    if (rc == 0)
        rc = mdb_get(txn, d->stamp_dbi, &k, &v);
    MDB_envinfo info;
    if (rc == 0 || rc == MDB_NOTFOUND) {
        int info_rc = mdb_env_info(d->env, &info);
        rc = info_rc ? info_rc : rc;
    }
    *found = rc == 0;
    if (rc == MDB_NOTFOUND && info.me_last_txnid == 0)
        return ERR_OK;
    if (rc == MDB_NOTFOUND)
        return error_set(err, ERR_CORRUPT, "%s: no stamp: damaged, or not a file of oneid",
                         d->file);
    if (rc != 0)
        return disk_error(d, rc, "cannot read the stamp", err);
    struct stamp s = {0};
    enum error_code code = stamp_check(d, disk_bytes_of(v), &s, err);
    if (code != ERR_OK)
        return code;
    if (s.txn < info.me_last_txnid)
        return error_set(err, ERR_CORRUPT, "%s: the meta page points to an older state", d->file);
    d->mark = s.mark;
    for (unsigned i = 0; i < d->options.n_dbs && rc == 0; i++)
        rc = mdb_dbi_open(txn, d->options.dbs[i], 0, &d->dbi[i]);
    if (rc == MDB_NOTFOUND)
        rc = MDB_CORRUPTED;
    return rc ? disk_error(d, rc, "cannot open a database", err) : ERR_OK;
}

enum error_code disk_read_mark(const struct disk *d, MDB_txn *txn, uint64_t *mark,
                               struct error *err)
{
    struct stamp s = {0};
    MDB_val k = disk_val(bytes_of_str(STAMP_KEY)), v;
    int rc = mdb_get(txn, d->stamp_dbi, &k, &v);
    if (rc != 0)
        return disk_error(d, rc, "cannot read the stamp", err);
    enum error_code code = stamp_check(d, disk_bytes_of(v), &s, err);
    *mark = s.mark;
    return code;
}

enum error_code disk_open_existing(struct disk *d, bool *found, struct error *err)
{
    MDB_txn *txn;
    enum error_code code = disk_begin(d, MDB_RDONLY, &txn, err);
    if (code != ERR_OK)
        return code;
    code = read_stamp(d, txn, found, err);
    if (code != ERR_OK) {
        mdb_txn_abort(txn);
        return code;
    }
    int rc = mdb_txn_commit(txn); /* keeps the handles */
    return rc ? disk_error(d, rc, "cannot read", err) : ERR_OK;
}

static enum error_code create(struct disk *d, struct error *err)
{
    MDB_txn *txn;
    enum error_code code = disk_begin(d, 0, &txn, err);
    if (code != ERR_OK)
        return code;
    int rc = mdb_dbi_open(txn, NULL, 0, &d->stamp_dbi);
    for (unsigned i = 0; i < d->options.n_dbs && rc == 0; i++)
        rc = mdb_dbi_open(txn, d->options.dbs[i], MDB_CREATE, &d->dbi[i]);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return disk_error(d, rc, "cannot create", err);
    }
    code = disk_commit(d, txn, 0, err);
    return code ? code : disk_sync_folder(d->path, err);
}

/* LMDB writes to its lock file through a map: with a hole in it, a full disk would be a SIGBUS. */
static enum error_code fill_lock_file(const struct disk *d, struct error *err)
{
    int fd = open_in_folder(d, "lock.mdb", err);
    if (fd < 0)
        return err->code;
    int rc = posix_fallocate(fd, 0, LOCK_FILE_BYTES);
    (void)close(fd);
    return rc ? disk_error(d, rc, "cannot make lock.mdb beside it", err) : ERR_OK;
}

static enum error_code open_env(struct disk *d, struct error *err)
{
    enum error_code code = fill_lock_file(d, err);
    if (code != ERR_OK)
        return code;
    int rc = mdb_env_create(&d->env);
    if (rc != 0)
        return disk_error(d, rc, "cannot open", err);
    size_t page = 65536; /* a multiple of any page size */
    rc = mdb_env_set_mapsize(d->env, (size_t)(d->options.map_bytes + page - 1) / page * page);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(d->env, DISK_DBS_MAX);
    if (rc == 0)
        rc = mdb_env_open(d->env, d->path, MDB_NOTLS | MDB_NORDAHEAD, DISK_FILE_MODE);
    return rc ? disk_error(d, rc, "cannot open", err) : ERR_OK;
}

static enum error_code set_size(const char *path, uint64_t size, struct error *err)
{
    return truncate(path, (off_t)size) == 0
               ? ERR_OK
               : error_set_sys(err, ERR_IO, errno, "%s: cannot resize", path);
}

/* Opens a file that is shorter than its newest commit speaks of, if what is missing is free. */
static enum error_code open_short(struct disk *d, const char *path, const struct file_check *c,
                                  struct error *err)
{
    enum error_code code = set_size(path, c->needed, err);
    if (code != ERR_OK)
        return code;
    bool all_free = false;
    code = open_env(d, err);
    if (code == ERR_OK) {
        int rc = check_missing_pages_are_free(d->env, c, &all_free);
        if (rc != 0)
            code = disk_error(d, rc, "cannot read the free list", err);
    }
    if (code == ERR_OK && all_free)
        return ERR_OK;
    (void)set_size(path, c->size, NULL);
    if (code == ERR_OK || code == ERR_CORRUPT)
        code = error_set(err, ERR_CORRUPT, "%s: cut short (%llu bytes, %llu expected)", d->file,
                         (unsigned long long)c->size, (unsigned long long)c->needed);
    return code;
}

static enum error_code open_checked(struct disk *d, const char *data, struct error *err)
{
    struct file_check c;
    enum error_code code = check_file(data, &c, err);
    if (code != ERR_OK)
        return code;
    bool is_short = !c.is_new && c.size < c.needed;
    code = is_short ? open_short(d, data, &c, err) : open_env(d, err);
    bool found = false;
    if (code == ERR_OK)
        code = disk_open_existing(d, &found, err);
    if (code == ERR_OK && !found)
        code = create(d, err);
    if (code != ERR_OK && c.is_new && d->env) {
        /* What LMDB wrote before the disk was full is not a file that can be opened again. */
        mdb_env_close(d->env);
        d->env = NULL;
        (void)set_size(data, 0, NULL);
    }
    return code;
}

enum error_code disk_open(struct disk *d, const struct disk_options *o, struct error *err)
{
    assert(o->n_dbs <= DISK_DBS_MAX && strlen(o->magic) == MAGIC_BYTES);
    struct error unwanted;
    if (!err)
        err = &unwanted;
    *d = (struct disk){.options = *o, .lock_fd = -1};
    size_t len = strlen(o->path);
    d->path = malloc(len + 1);
    char *data = malloc(len + 1 + sizeof DISK_DATA_NAME);
    enum error_code code = ERR_OK;
    if (!d->path || !data) {
        code = error_set(err, ERR_NOMEM, "out of memory");
        goto out;
    }
    memcpy(d->path, o->path, len + 1);
    d->options.path = d->path;
    (void)sprintf(data, "%s/%s", o->path, DISK_DATA_NAME);
    disk_name_file(d, data);

    code = disk_make_folder(d->path, err);
    if (code == ERR_OK)
        code = disk_take_lock(d, err);
    if (code == ERR_OK)
        code = open_checked(d, data, err);
out:
    free(data);
    if (code != ERR_OK)
        disk_close(d);
    return code;
}

void disk_close(struct disk *d)
{
    if (d->env)
        mdb_env_close(d->env);
    if (d->path && d->lock_fd >= 0)
        (void)close(d->lock_fd);
    free(d->path);
    *d = (struct disk){.lock_fd = -1};
}

enum error_code disk_begin(struct disk *d, unsigned flags, MDB_txn **txn, struct error *err)
{
    int rc = mdb_txn_begin(d->env, NULL, flags, txn);
    return rc ? disk_error(d, rc, "cannot begin a transaction", err) : ERR_OK;
}

/* LMDB reports a short write as EIO. Is the disk (or the quota, or the largest file size) the
 * reason? Asked by writing after the file's end, where LMDB keeps nothing. */
static int probe_space(struct disk *d)
{
    static const uint8_t zeros[PROBE_BYTES];
    int fd;
    struct stat st;
    if (mdb_env_get_fd(d->env, &fd) != 0 || fstat(fd, &st) != 0)
        return EIO;
    ssize_t n = pwrite(fd, zeros, sizeof zeros, st.st_size);
    int rc = n == PROBE_BYTES ? EIO : n < 0 ? errno : ENOSPC;
    if (n > 0 && ftruncate(fd, st.st_size) != 0)
        return EIO;
    return rc;
}

/* After a meta page could not be written, LMDB refuses all further writing: then nobody knows
 * whether the transaction happened. */
static bool can_write_again(struct disk *d)
{
    MDB_txn *txn;
    if (mdb_txn_begin(d->env, NULL, 0, &txn) != 0)
        return false;
    mdb_txn_abort(txn);
    return true;
}

enum error_code disk_commit(struct disk *d, MDB_txn *txn, uint64_t mark, struct error *err)
{
    struct buf stamp = {0};
    stamp_encode(&d->options, mdb_txn_id(txn), mark, &stamp);
    MDB_val k = disk_val(bytes_of_str(STAMP_KEY)), v = disk_val(buf_bytes(&stamp));
    int rc = mdb_put(txn, d->stamp_dbi, &k, &v, 0);
    buf_free(&stamp);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return disk_error(d, rc, "cannot write", err);
    }
    rc = mdb_txn_commit(txn);
    if (rc == 0)
        return ERR_OK;
    if (rc == EIO)
        rc = probe_space(d);
    if ((is_full(rc) || rc == MDB_MAP_FULL) && !can_write_again(d))
        rc = EIO;
    return disk_error(d, rc, "cannot commit", err);
}
