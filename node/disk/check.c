#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file format of LMDB 0.9 on 64-bit machines (MDB_page, MDB_meta, MDB_db in its source). */
enum {
    PAGE_HEADER_BYTES = 16,
    META_MAGIC = 0xBEEFC0DE - (1LL << 32), /* as int32 */
    META_VERSION = 1,
    PAGE_BRANCH = 0x01,
    PAGE_LEAF = 0x02,
    PAGE_META = 0x08,
    DB_INTEGER_KEY = 0x08,
    DEPTH_MAX = 32,
    N_METAS = 2,
    PAGE_BYTES_MIN = 512,
    PAGE_BYTES_MAX = 65536,
    SHORT_BYTES_MAX = 64 << 20 /* a sound file lacks no more than that at its end */
};

struct page_header {
    uint64_t number;
    uint16_t pad, flags, lower, upper;
};

struct tree {
    uint32_t pad; /* of the free list's tree: the page size */
    uint16_t flags, depth;
    uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
};

struct meta_page {
    struct page_header header;
    int32_t magic;
    uint32_t version;
    uint64_t address, map_bytes;
    struct tree free_tree, main_tree;
    uint64_t last_page, txn;
};

_Static_assert(sizeof(struct page_header) == PAGE_HEADER_BYTES, "LMDB's page header");
_Static_assert(sizeof(struct meta_page) == 152, "LMDB's meta page");
_Static_assert(sizeof(size_t) == 8, "LMDB's format depends on the word size");

static const uint64_t NO_ROOT = UINT64_MAX;

static bool read_at(int fd, uint64_t offset, void *out, size_t len)
{
    uint8_t *p = out;
    while (len > 0) {
        ssize_t n = pread(fd, p, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

static bool is_page_size(uint64_t n)
{
    return n >= PAGE_BYTES_MIN && n <= PAGE_BYTES_MAX && (n & (n - 1)) == 0;
}

static bool root_is_sound(int fd, const struct tree *t, uint64_t page_bytes, uint64_t last_page)
{
    if (t->root == NO_ROOT)
        return t->depth == 0;
    if (t->root < N_METAS || t->root > last_page || t->depth == 0 || t->depth > DEPTH_MAX)
        return false;
    struct page_header h;
    if (!read_at(fd, t->root * page_bytes, &h, sizeof h))
        return false;
    uint16_t kind = t->depth == 1 ? PAGE_LEAF : PAGE_BRANCH;
    return h.number == t->root && (h.flags & (PAGE_BRANCH | PAGE_LEAF)) == kind;
}

/* Everything of one meta page that can be judged without the other. */
static bool meta_is_sound(const struct meta_page *m, uint64_t number, uint64_t page_bytes)
{
    return m->header.number == number && m->header.flags == PAGE_META && m->magic == META_MAGIC &&
           m->version == META_VERSION && m->free_tree.pad == page_bytes &&
           m->free_tree.flags == DB_INTEGER_KEY && m->main_tree.flags == 0 &&
           m->last_page < UINT64_MAX / page_bytes - 1 && m->last_page >= N_METAS - 1;
}

/* The number of the newer meta page, or -1. Commits alternate between the pages, and start at 1. */
static int newest_of(const struct meta_page m[N_METAS])
{
    if (m[0].txn == 0 && m[1].txn == 0)
        return 0;
    int newest = m[1].txn > m[0].txn;
    const struct meta_page *a = &m[newest], *b = &m[1 - newest];
    if (a->txn != b->txn + 1 || (a->txn & 1) != (uint64_t)newest)
        return -1;
    return newest;
}

static enum error_code check_fd(int fd, const char *path, struct file_check *out, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return error_set_sys(err, ERR_IO, errno, "%s: cannot stat", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_CORRUPT, "%s: not a regular file", path);
    out->size = (uint64_t)st.st_size;
    out->is_new = st.st_size == 0;
    if (out->is_new)
        return ERR_OK;

    struct meta_page m[N_METAS];
    if (!read_at(fd, 0, &m[0], sizeof m[0]) || m[0].magic != META_MAGIC ||
        (m[0].header.flags & PAGE_META) == 0)
        return error_set(err, ERR_CORRUPT, "%s: not an LMDB file, or its beginning is damaged",
                         path);
    out->page_bytes = m[0].free_tree.pad;
    if (!is_page_size(out->page_bytes) || !meta_is_sound(&m[0], 0, out->page_bytes))
        return error_set(err, ERR_CORRUPT, "%s: meta page 0 is damaged", path);
    if (!read_at(fd, out->page_bytes, &m[1], sizeof m[1]))
        return error_set(err, ERR_CORRUPT, "%s: cut short at %llu bytes", path,
                         (unsigned long long)out->size);
    if (!meta_is_sound(&m[1], 1, out->page_bytes))
        return error_set(err, ERR_CORRUPT, "%s: meta page 1 is damaged", path);
    int newest = newest_of(m);
    if (newest < 0)
        return error_set(err, ERR_CORRUPT, "%s: the meta pages contradict each other", path);
    const struct meta_page *now = &m[newest];
    if (now->last_page < m[1 - newest].last_page)
        return error_set(err, ERR_CORRUPT, "%s: meta page %d is damaged", path, newest);
    out->needed = (now->last_page + 1) * out->page_bytes;
    if (out->needed > out->size + SHORT_BYTES_MAX ||
        !root_is_sound(fd, &now->free_tree, out->page_bytes, now->last_page) ||
        !root_is_sound(fd, &now->main_tree, out->page_bytes, now->last_page))
        return error_set(err, ERR_CORRUPT, "%s: cut short or damaged (%llu bytes, %llu expected)",
                         path, (unsigned long long)out->size, (unsigned long long)out->needed);
    return ERR_OK;
}

enum error_code check_file(const char *path, struct file_check *out, struct error *err)
{
    memset(out, 0, sizeof *out);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        out->is_new = true;
        return ERR_OK;
    }
    if (fd < 0)
        return error_set_sys(err, ERR_IO, errno, "%s: cannot open", path);
    enum error_code rc = check_fd(fd, path, out, err);
    (void)close(fd);
    return rc;
}

/* Counts the entries of one free-list record (a count, then that many page numbers) in [from, to).
 */
static uint64_t count_in_range(MDB_val v, uint64_t from, uint64_t to)
{
    uint64_t n, page, found = 0;
    if (v.mv_size < sizeof n)
        return 0;
    memcpy(&n, v.mv_data, sizeof n);
    const uint8_t *p = v.mv_data;
    if (n > v.mv_size / sizeof n - 1)
        return 0;
    for (uint64_t i = 1; i <= n; i++) {
        memcpy(&page, p + i * sizeof page, sizeof page);
        found += page >= from && page < to;
    }
    return found;
}

int check_missing_pages_are_free(MDB_env *env, const struct file_check *c, bool *all_free)
{
    *all_free = false;
    MDB_txn *txn;
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    uint64_t from = c->size / c->page_bytes, to = c->needed / c->page_bytes, found = 0;
    MDB_cursor *cursor;
    const MDB_dbi free_dbi = 0;
    rc = mdb_cursor_open(txn, free_dbi, &cursor);
    if (rc == 0) {
        MDB_val k, v;
        while ((rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0)
            found += count_in_range(v, from, to);
        mdb_cursor_close(cursor);
        rc = rc == MDB_NOTFOUND ? 0 : rc;
    }
    mdb_txn_abort(txn);
    *all_free = rc == 0 && found == to - from;
    return rc;
}
