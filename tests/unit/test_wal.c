#include "wal_rig.h"

#include <base/rng.h>
#include <tempdir.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_wal_keeps_entries_and_votes_of_several_shards(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    assert_vote(w, 7, 0, 0);
    assert_log(w, 7, 1, "");
    begin(w);
    assert_int_equal(wal_put_vote(w, 0, 3, 9, NULL), ERR_OK);
    append(w, 0, 1, 1, "abc");
    append(w, UINT16_MAX, 1, 2, "xy");
    append(w, 0, 4, 2, "d");
    append(w, 256, 1, 1, "m");
    assert_log(w, 0, 1, "abcd");
    commit(w);
    begin(w);
    append(w, UINT16_MAX, 3, 2, "z");
    assert_int_equal(wal_put_vote(w, 5, 1, 0, NULL), ERR_OK);
    commit(w);
    for (int round = 0; round < 2; round++) {
        assert_vote(w, 0, 3, 9);
        assert_vote(w, 5, 1, 0);
        assert_log(w, 0, 1, "abcd");
        assert_log(w, 256, 1, "m");
        assert_log(w, UINT16_MAX, 1, "xyz");
        assert_log(w, 5, 1, "");
        w = reopen(w, dir);
    }
    struct reading r = {.next = 3};
    assert_int_equal(wal_read(w, 0, 3, read_cb, &r, NULL), ERR_OK);
    assert_string_equal(r.text, "cd");
    assert_true(wal_disk_bytes(w) > 0);
    wal_close(w);
    tempdir_remove(dir);
}

static void test_wal_append_truncates_what_follows(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    begin(w);
    append(w, 1, 1, 1, "abcdef");
    append(w, 2, 1, 1, "uvw");
    commit(w);
    begin(w);
    append(w, 1, 3, 2, "X");
    commit(w);
    assert_log(w, 1, 1, "abX");
    begin(w);
    assert_int_equal(wal_append(w, 1, 2, NULL, 0, NULL), ERR_OK);
    commit(w);
    w = reopen(w, dir);
    assert_log(w, 1, 1, "a");
    assert_log(w, 2, 1, "uvw");
    wal_close(w);
    tempdir_remove(dir);
}

static void test_wal_refuses_gaps(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    struct wal_entry e = entry(1, "e");
    struct error err;
    begin(w);
    assert_int_equal(wal_append(w, 1, 2, &e, 1, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.msg, "shard 1, entry 2"));
    assert_int_equal(wal_append(w, 1, 0, &e, 1, &err), ERR_CORRUPT);
    append(w, 1, 1, 1, "abcde");
    assert_int_equal(wal_append(w, 1, 7, &e, 1, &err), ERR_CORRUPT);
    struct wal_snapshot s = {.index = 3, .term = 1, .conf = b("conf")};
    assert_int_equal(wal_trim(w, 1, 2, &s, &err), ERR_OK);
    commit(w);
    begin(w);
    assert_int_equal(wal_append(w, 1, 2, &e, 1, &err), ERR_CORRUPT);
    wal_abort(w);
    begin(w);
    assert_int_equal(wal_append(w, 1, 3, NULL, 0, &err), ERR_OK);
    assert_int_equal(wal_commit(w, &err), ERR_CORRUPT);
    assert_log(w, 1, 3, "cde");
    struct reading r = {0};
    assert_int_equal(wal_read(w, 1, 2, read_cb, &r, &err), ERR_NOT_FOUND);
    wal_close(w);
    tempdir_remove(dir);
}

static void assert_snapshot(struct wal *w, uint16_t shard, uint64_t index, uint64_t term,
                            uint64_t conf_index, const char *conf)
{
    struct wal_shard s;
    assert_int_equal(wal_load(w, shard, &s, NULL), ERR_OK);
    assert_int_equal(s.snapshot.index, index);
    assert_int_equal(s.snapshot.term, term);
    assert_int_equal(s.snapshot.conf_index, conf_index);
    assert_true(bytes_equal(s.snapshot.conf, b(conf)));
}

static void test_wal_trims_to_a_snapshot(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    begin(w);
    append(w, 1, 1, 1, "abcdef");
    append(w, 0, 1, 1, "0");
    append(w, 2, 1, 1, "2");
    commit(w);
    struct wal_snapshot s = {.index = 5, .term = 1, .conf_index = 1, .conf = b("first")};
    begin(w);
    assert_int_equal(wal_trim(w, 1, 3, &s, NULL), ERR_OK);
    commit(w);
    w = reopen(w, dir);
    assert_log(w, 1, 4, "def");
    assert_snapshot(w, 1, 5, 1, 1, "first");
    begin(w);
    assert_int_equal(wal_trim(w, 1, 5, &s, NULL), ERR_OK);
    commit(w);
    assert_log(w, 1, 6, "f");
    struct wal_snapshot older = {.index = 4, .term = 1, .conf = b("first")};
    begin(w);
    assert_int_equal(wal_trim(w, 1, 4, &older, NULL), ERR_CORRUPT);
    wal_abort(w);
    s = (struct wal_snapshot){.index = 6, .term = 1, .conf_index = 6, .conf = b("second")};
    begin(w);
    assert_int_equal(wal_trim(w, 1, 6, &s, NULL), ERR_OK);
    commit(w);
    for (int round = 0; round < 2; round++) {
        assert_log(w, 1, 7, "");
        assert_snapshot(w, 1, 6, 1, 6, "second");
        w = reopen(w, dir);
    }
    begin(w);
    append(w, 1, 7, 2, "g");
    commit(w);
    assert_log(w, 1, 7, "g");
    assert_log(w, 0, 1, "0");
    assert_log(w, 2, 1, "2");
    wal_close(w);
    tempdir_remove(dir);
}

static void test_wal_installed_snapshot_replaces_a_log_that_differs(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    begin(w);
    append(w, 1, 1, 1, "abcdef");
    append(w, 2, 1, 1, "abc");
    append(w, 3, 1, 1, "abcdef");
    commit(w);
    struct wal_snapshot s = {.index = 4, .term = 2, .conf_index = 1, .conf = b("conf")};
    begin(w);
    assert_int_equal(wal_trim(w, 1, 4, &s, NULL), ERR_OK);
    assert_int_equal(wal_trim(w, 2, 4, &s, NULL), ERR_OK);
    s.term = 1;
    assert_int_equal(wal_trim(w, 3, 4, &s, NULL), ERR_OK);
    assert_int_equal(wal_trim(w, 4, 4, &s, NULL), ERR_OK);
    commit(w);
    w = reopen(w, dir);
    assert_log(w, 1, 5, "");
    assert_log(w, 2, 5, "");
    assert_log(w, 3, 5, "ef");
    assert_log(w, 4, 5, "");
    wal_close(w);
    tempdir_remove(dir);
}

static void test_wal_abort_restores_everything(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    struct wal_snapshot s = {.index = 2, .term = 1, .conf_index = 1, .conf = b("kept")};
    begin(w);
    assert_int_equal(wal_put_vote(w, 1, 4, 2, NULL), ERR_OK);
    append(w, 1, 1, 1, "abcd");
    assert_int_equal(wal_trim(w, 1, 1, &s, NULL), ERR_OK);
    commit(w);
    begin(w);
    assert_int_equal(wal_put_vote(w, 1, 5, 3, NULL), ERR_OK);
    append(w, 1, 3, 5, "XYZ");
    append(w, 8, 1, 1, "new");
    s = (struct wal_snapshot){.index = 4, .term = 5, .conf_index = 2, .conf = b("lost")};
    assert_int_equal(wal_trim(w, 1, 4, &s, NULL), ERR_OK);
    s.conf = b("lost too");
    assert_int_equal(wal_trim(w, 1, 4, &s, NULL), ERR_OK);
    assert_int_equal(wal_put_meta(w, "map", b("lost"), NULL), ERR_OK);
    wal_abort(w);
    wal_abort(w);
    for (int round = 0; round < 2; round++) {
        assert_vote(w, 1, 4, 2);
        assert_log(w, 1, 2, "bcd");
        assert_snapshot(w, 1, 2, 1, 1, "kept");
        assert_log(w, 8, 1, "");
        struct buf out = {0};
        assert_int_equal(wal_get_meta(w, "map", &out, NULL), ERR_NOT_FOUND);
        w = reopen(w, dir);
    }
    wal_close(w);
    tempdir_remove(dir);
}

static void test_wal_keeps_values_of_the_node(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    struct buf out = {0};
    struct error err;
    assert_int_equal(wal_get_meta(w, "map", &out, &err), ERR_NOT_FOUND);
    begin(w);
    assert_int_equal(wal_put_meta(w, "map", b("one"), NULL), ERR_OK);
    assert_int_equal(wal_put_meta(w, "v0", b(""), NULL), ERR_OK);
    assert_int_equal(wal_get_meta(w, "map", &out, NULL), ERR_OK);
    commit(w);
    w = reopen(w, dir);
    assert_int_equal(wal_get_meta(w, "map", &out, NULL), ERR_OK);
    assert_true(bytes_equal(buf_bytes(&out), b("oneone")));
    assert_int_equal(wal_get_meta(w, "v0", &out, NULL), ERR_OK);
    assert_int_equal(out.len, 6);
    buf_free(&out);
    wal_close(w);
    tempdir_remove(dir);
}

static void test_wal_of_another_cluster_or_node_is_refused(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    wal_close(open_at(dir));
    struct error err;
    struct wal *w;
    struct wal_options o = options(dir);
    o.cluster_id = 5;
    assert_int_equal(wal_open(&o, &w, &err), ERR_MISMATCH);
    assert_non_null(strstr(err.msg, dir));
    o = options(dir);
    o.node = 3;
    assert_int_equal(wal_open(&o, &w, &err), ERR_MISMATCH);
    assert_non_null(strstr(err.msg, "node 2, not 3"));
    wal_close(open_at(dir));
    tempdir_remove(dir);
}

/* Reads the whole data file; the caller frees. */
static uint8_t *slurp(const char *dir, size_t *len)
{
    FILE *f = fopen(tempdir_path(dir, "data.mdb"), "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *len = (size_t)ftell(f);
    rewind(f);
    uint8_t *p = malloc(*len);
    assert_int_equal(fread(p, 1, *len, f), *len);
    assert_int_equal(fclose(f), 0);
    return p;
}

static void flip_where(const char *dir, const char *pattern)
{
    size_t len, n = strlen(pattern), found = 0;
    uint8_t *p = slurp(dir, &len);
    int fd = open(tempdir_path(dir, "data.mdb"), O_WRONLY);
    assert_true(fd >= 0);
    for (size_t i = 0; i + n <= len; i++) {
        if (memcmp(p + i, pattern, n) != 0)
            continue;
        uint8_t c = p[i] ^ 4;
        assert_int_equal(pwrite(fd, &c, 1, (off_t)i), 1);
        found++;
    }
    assert_true(found > 0);
    assert_int_equal(close(fd), 0);
    free(p);
}

static void test_wal_finds_damaged_entries(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    struct wal_entry e[3] = {entry(1, "ordinary"), entry(1, "DAMAGED-ENTRY"), entry(1, "ordinary")};
    begin(w);
    assert_int_equal(wal_append(w, 6, 1, e, 3, NULL), ERR_OK);
    commit(w);
    wal_close(w);
    flip_where(dir, "DAMAGED-ENTRY");
    w = open_at(dir);
    struct reading r = {.next = 1};
    struct error err;
    assert_int_equal(wal_read(w, 6, 1, read_cb, &r, &err), ERR_CORRUPT);
    assert_int_equal(r.n, 1);
    assert_non_null(strstr(err.msg, "data.mdb: shard 6, entry 2"));
    assert_null(strstr(err.msg, "DAMAGED"));
    wal_close(w);
    tempdir_remove(dir);
}

static void test_wal_finds_damaged_records_of_the_node(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    struct wal_snapshot s = {.index = 1, .term = 1, .conf = b("DAMAGED-CONF")};
    begin(w);
    assert_int_equal(wal_trim(w, 6, 1, &s, NULL), ERR_OK);
    assert_int_equal(wal_put_meta(w, "map", b("DAMAGED-MAP"), NULL), ERR_OK);
    commit(w);
    wal_close(w);
    flip_where(dir, "DAMAGED-MAP");
    w = open_at(dir);
    struct buf out = {0};
    assert_int_equal(wal_get_meta(w, "map", &out, NULL), ERR_CORRUPT);
    wal_close(w);
    flip_where(dir, "DAMAGED-CONF");
    struct wal_options o = options(dir);
    struct error err;
    assert_int_equal(wal_open(&o, &w, &err), ERR_CORRUPT);
    tempdir_remove(dir);
}

static void test_wal_falling_terms_are_damage(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    begin(w);
    append(w, 1, 1, 5, "a");
    append(w, 1, 2, 4, "b");
    commit(w);
    struct reading r = {.next = 1};
    assert_int_equal(wal_read(w, 1, 1, read_cb, &r, NULL), ERR_CORRUPT);
    assert_int_equal(r.n, 1);
    wal_close(w);
    tempdir_remove(dir);
}

static void test_wal_cut_short_is_refused(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    for (uint64_t i = 1; i <= 50; i++) {
        begin(w);
        append(w, 1, i, 1, "e");
        commit(w);
    }
    wal_close(w);
    size_t len;
    uint8_t *p = slurp(dir, &len);
    free(p);
    struct wal_options o = options(dir);
    struct error err;
    static const off_t SIZES[] = {1, 100, 4096, 5000, 8192, 12288};
    for (size_t i = sizeof SIZES / sizeof *SIZES; i-- > 0;) {
        assert_true((size_t)SIZES[i] < len);
        assert_int_equal(truncate(tempdir_path(dir, "data.mdb"), SIZES[i]), 0);
        assert_int_equal(wal_open(&o, &w, &err), ERR_CORRUPT);
        struct stat st;
        assert_int_equal(stat(tempdir_path(dir, "data.mdb"), &st), 0);
        assert_int_equal(st.st_size, SIZES[i]);
    }
    tempdir_remove(dir);
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = bytes == RLIM_INFINITY ? r.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void test_wal_full_disk_changes_nothing_and_can_be_tried_again(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    begin(w);
    append(w, 1, 1, 1, "abc");
    commit(w);
    uint8_t *large = malloc(1 << 20);
    memset(large, 'L', 1 << 20);
    struct wal_entry e = {.term = 1, .data = bytes_of(large, 1 << 20)};
    (void)signal(SIGXFSZ, SIG_IGN);
    /* one limit on a page's border, one within a page: a short write looks different to LMDB */
    static const rlim_t EXTRA[] = {65536, 65536 + 1000};
    for (size_t i = 0; i < 2; i++) {
        limit_file_size((rlim_t)wal_disk_bytes(w) + EXTRA[i]);
        struct error err = {0};
        begin(w);
        enum error_code code = wal_append(w, 1, 4, &e, 1, &err);
        if (code == ERR_OK)
            code = wal_commit(w, &err);
        wal_abort(w);
        limit_file_size(RLIM_INFINITY);
        assert_int_equal(code, ERR_DISK_FULL);
        assert_log(w, 1, 1, "abc");
    }
    begin(w);
    assert_int_equal(wal_append(w, 1, 4, &e, 1, NULL), ERR_OK);
    commit(w);
    w = reopen(w, dir);
    assert_log(w, 1, 1, "abcL");
    free(large);
    wal_close(w);
    tempdir_remove(dir);
}

enum { M_SHARDS = 4, M_MAX = 400 };

struct model_shard {
    uint64_t first, last, term, vote, snapshot_index, snapshot_term;
    struct {
        uint64_t term;
        size_t len;
        uint8_t fill;
    } entry[M_MAX];
};

struct model_read {
    const struct model_shard *m;
    uint64_t next;
};

static enum error_code model_cb(void *ctx, uint64_t index, const struct wal_entry *e)
{
    struct model_read *r = ctx;
    assert_int_equal(index, r->next++);
    assert_int_equal(e->term, r->m->entry[index].term);
    assert_int_equal(e->type, index % 3);
    assert_int_equal(e->data.len, r->m->entry[index].len);
    for (size_t i = 0; i < e->data.len; i++)
        assert_int_equal(e->data.data[i], r->m->entry[index].fill);
    return ERR_OK;
}

static void model_compare(struct wal *w, const struct model_shard *m)
{
    for (uint16_t shard = 0; shard < M_SHARDS; shard++) {
        struct wal_shard s;
        assert_int_equal(wal_load(w, shard, &s, NULL), ERR_OK);
        assert_int_equal(s.first_index, m[shard].first);
        assert_int_equal(s.last_index, m[shard].last);
        assert_int_equal(s.term, m[shard].term);
        assert_int_equal(s.vote, m[shard].vote);
        assert_int_equal(s.snapshot.index, m[shard].snapshot_index);
        assert_int_equal(s.snapshot.term, m[shard].snapshot_term);
        struct model_read r = {&m[shard], s.first_index};
        struct error err = {0};
        if (wal_read(w, shard, s.first_index, model_cb, &r, &err) != ERR_OK)
            fail_msg("%s", err.msg);
        assert_int_equal(r.next, s.last_index + 1);
    }
}

static void model_append(struct wal *w, uint16_t shard, struct model_shard *m, struct rng *rng)
{
    static uint8_t data[8][9000];
    uint64_t keep = m->last - m->snapshot_index;
    uint64_t index = m->last + 1 - (rng_below(rng, 4) ? 0 : rng_below(rng, keep + 1));
    uint64_t n = rng_below(rng, 8);
    if (index + n >= M_MAX)
        n = 0;
    if (n > 0 && rng_below(rng, 5) == 0)
        m->term++;
    struct wal_entry e[8];
    for (uint64_t i = 0; i < n; i++) {
        size_t len = rng_below(rng, rng_below(rng, 8) ? 300 : sizeof data[i]);
        m->entry[index + i].term = m->term;
        m->entry[index + i].len = len;
        m->entry[index + i].fill = (uint8_t)rng_u64(rng);
        memset(data[i], m->entry[index + i].fill, len);
        e[i] = (struct wal_entry){m->term, (uint8_t)((index + i) % 3), bytes_of(data[i], len)};
    }
    assert_int_equal(wal_put_vote(w, shard, m->term, m->vote, NULL), ERR_OK);
    assert_int_equal(wal_append(w, shard, index, e, n, NULL), ERR_OK);
    m->last = index + n - 1;
}

static void model_trim(struct wal *w, uint16_t shard, struct model_shard *m, struct rng *rng)
{
    if (m->last < m->first || m->last == m->snapshot_index)
        return;
    uint64_t at = m->snapshot_index + 1 + rng_below(rng, m->last - m->snapshot_index);
    if (at < m->first)
        return;
    uint64_t upto = rng_below(rng, at + 1);
    struct wal_snapshot s = {.index = at, .term = m->entry[at].term, .conf = b("conf")};
    assert_int_equal(wal_trim(w, shard, upto, &s, NULL), ERR_OK);
    m->snapshot_index = at;
    m->snapshot_term = s.term;
    if (upto >= m->first)
        m->first = upto + 1;
}

static void run_model(uint64_t seed)
{
    static struct model_shard now[M_SHARDS], before[M_SHARDS];
    memset(now, 0, sizeof now);
    for (size_t i = 0; i < M_SHARDS; i++)
        now[i].first = 1;
    struct rng rng = rng_of_seed(seed);
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    for (int round = 0; round < 400; round++) {
        memcpy(before, now, sizeof now);
        begin(w);
        for (uint64_t n = 1 + rng_below(&rng, 6); n > 0; n--) {
            uint16_t shard = (uint16_t)rng_below(&rng, M_SHARDS);
            uint64_t dice = rng_below(&rng, 8);
            if (dice == 0)
                model_trim(w, shard, &now[shard], &rng);
            else if (dice == 1) {
                now[shard].vote = rng_below(&rng, 9);
                assert_int_equal(wal_put_vote(w, shard, ++now[shard].term, now[shard].vote, NULL),
                                 ERR_OK);
            } else
                model_append(w, shard, &now[shard], &rng);
        }
        if (rng_below(&rng, 5) == 0) {
            wal_abort(w);
            memcpy(now, before, sizeof now);
        } else {
            commit(w);
        }
        if (rng_below(&rng, 20) == 0)
            w = reopen(w, dir);
        if (rng_below(&rng, 10) == 0)
            model_compare(w, now);
    }
    model_compare(w, now);
    wal_close(w);
    tempdir_remove(dir);
}

static void test_wal_agrees_with_a_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++)
        run_model(seed);
}

/* Commits in a loop, tells each committed index, until it is killed. */
static void commit_until_killed(const char *dir, int fd)
{
    struct wal *w = open_at(dir);
    struct wal_shard s;
    (void)wal_load(w, 1, &s, NULL);
    static uint8_t data[3000];
    for (uint64_t index = s.last_index + 1;; index += 2) {
        memset(data, (int)(index & 0xFF), sizeof data);
        struct wal_entry e[2] = {{.term = index, .data = bytes_of(data, sizeof data)},
                                 {.term = index, .data = bytes_of(data, 10)}};
        begin(w);
        if (wal_put_vote(w, 1, index, index, NULL) != ERR_OK ||
            wal_append(w, 1, index, e, 2, NULL) != ERR_OK)
            _exit(1);
        if (index > 40) {
            struct wal_snapshot snapshot = {.index = index - 2, .term = index - 2};
            if (wal_trim(w, 1, index - 20, &snapshot, NULL) != ERR_OK)
                _exit(1);
        }
        if (wal_commit(w, NULL) != ERR_OK || write(fd, &index, sizeof index) != sizeof index)
            _exit(1);
    }
}

static enum error_code killed_cb(void *ctx, uint64_t index, const struct wal_entry *e)
{
    (void)ctx;
    uint64_t even = index - (index + 1) % 2;
    assert_int_equal(e->term, even);
    assert_int_equal(e->data.len, index == even ? 3000 : 10);
    assert_int_equal(e->data.data[0], even & 0xFF);
    return ERR_OK;
}

static void test_wal_killed_in_the_middle_has_all_that_was_told(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    for (int round = 0; round < 8; round++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t child = fork();
        if (child == 0) {
            (void)close(fds[0]);
            commit_until_killed(dir, fds[1]);
        }
        assert_int_equal(close(fds[1]), 0);
        uint64_t told = 0, more;
        for (int n = 0; n < 20 + 7 * round; n++)
            assert_int_equal(read(fds[0], &told, sizeof told), sizeof told);
        assert_int_equal(kill(child, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        while (read(fds[0], &more, sizeof more) == sizeof more)
            told = more;
        assert_int_equal(close(fds[0]), 0);

        struct wal *w = open_at(dir);
        struct wal_shard s;
        assert_int_equal(wal_load(w, 1, &s, NULL), ERR_OK);
        assert_true(s.last_index >= told + 1);
        assert_int_equal(s.last_index % 2, 0);
        assert_int_equal(s.term, s.last_index - 1);
        assert_int_equal(s.vote, s.term);
        assert_int_equal(wal_read(w, 1, s.first_index, killed_cb, NULL, NULL), ERR_OK);
        wal_close(w);
    }
    tempdir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wal_keeps_entries_and_votes_of_several_shards),
        cmocka_unit_test(test_wal_append_truncates_what_follows),
        cmocka_unit_test(test_wal_refuses_gaps),
        cmocka_unit_test(test_wal_trims_to_a_snapshot),
        cmocka_unit_test(test_wal_installed_snapshot_replaces_a_log_that_differs),
        cmocka_unit_test(test_wal_abort_restores_everything),
        cmocka_unit_test(test_wal_keeps_values_of_the_node),
        cmocka_unit_test(test_wal_of_another_cluster_or_node_is_refused),
        cmocka_unit_test(test_wal_finds_damaged_entries),
        cmocka_unit_test(test_wal_finds_damaged_records_of_the_node),
        cmocka_unit_test(test_wal_falling_terms_are_damage),
        cmocka_unit_test(test_wal_cut_short_is_refused),
        cmocka_unit_test(test_wal_full_disk_changes_nothing_and_can_be_tried_again),
        cmocka_unit_test(test_wal_agrees_with_a_model),
        cmocka_unit_test(test_wal_killed_in_the_middle_has_all_that_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
