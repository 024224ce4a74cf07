/* Views of a store: what the file held when they were opened, whatever is written meanwhile. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <store/store.h>

#include <tempdir.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KEYS = 200, ROUNDS = 40 };

static struct store *open_at(const char *path)
{
    struct store_options o = {
        .path = path, .map_bytes = UINT64_C(1) << 30, .cluster_id = 0xC1, .shard = 3};
    struct store *s;
    struct error err = {0};
    if (store_open(&o, &s, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    return s;
}

static struct store *view_of(struct store *s)
{
    struct store *v;
    struct error err = {0};
    if (store_view_open(s, &v, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    return v;
}

static void put_round(struct store *s, uint64_t round)
{
    char key[16];
    uint8_t value[600] = {0};
    memcpy(value, &round, sizeof round);
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "key%d", i);
        store_put(s, bytes_of_str(key), bytes_of(value, sizeof value));
    }
}

static void checkpoint(struct store *s, uint64_t applied)
{
    struct error err = {0};
    store_freeze(s, applied);
    if (store_write_frozen(s, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    store_release_frozen(s);
}

struct seen {
    uint64_t round;
    size_t n, damaged;
    bool agree;
    struct bytes key;
};

static bool see(void *ctx, struct bytes key, struct bytes value)
{
    struct seen *s = ctx;
    uint64_t round;
    (void)key;
    memcpy(&round, value.data, sizeof round);
    s->agree = s->n == 0 || (s->agree && round == s->round);
    s->round = round;
    s->n++;
    return true;
}

static void see_damage(void *ctx, struct bytes key)
{
    struct seen *s = ctx;
    s->damaged++;
    s->key = key;
}

static struct seen scan(struct store *v)
{
    struct seen s = {.agree = true};
    store_scan(v, bytes_of_str("key"), see, &s);
    return s;
}

static void test_view_shows_the_last_checkpoint_only(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store *s = open_at(dir);
    struct bytes value;
    put_round(s, 1);
    checkpoint(s, 10);
    put_round(s, 2); /* in no checkpoint */
    store_put(s, bytes_of_str("other"), bytes_of_str("x"));
    struct store *v = view_of(s);
    assert_int_equal(store_durable_index(v), 10);
    assert_int_equal(store_rows(v), KEYS);
    assert_false(store_get(v, bytes_of_str("other"), &value));
    checkpoint(s, 20);
    put_round(s, 3);
    checkpoint(s, 30);
    struct seen seen = scan(v);
    assert_true(seen.agree && seen.n == KEYS && seen.round == 1);
    assert_false(store_get(v, bytes_of_str("other"), &value));
    assert_int_equal(store_durable_index(v), 10);
    struct store *newer = view_of(s);
    assert_int_equal(store_durable_index(newer), 30);
    assert_int_equal(scan(newer).round, 3);
    assert_true(store_get(newer, bytes_of_str("other"), &value));
    store_close(v);
    assert_int_equal(scan(newer).round, 3);
    store_close(newer);
    assert_int_equal(scan(s).round, 3);
    assert_int_equal(store_error(s, NULL), ERR_OK);
    store_close(s);
    tempdir_remove(dir);
}

static void test_view_of_a_fresh_store_is_empty(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store *s = open_at(dir);
    struct store *v = view_of(s);
    assert_int_equal(store_durable_index(v), 0);
    assert_int_equal(store_rows(v), 0);
    assert_int_equal(scan(v).n, 0);
    store_close(v);
    store_close(s);
    tempdir_remove(dir);
}

static void test_store_without_a_file_has_no_views(void **state)
{
    (void)state;
    struct store_options o = {.map_bytes = 1 << 20};
    struct store *s, *v;
    struct error err;
    assert_int_equal(store_open(&o, &s, &err), ERR_OK);
    assert_int_equal(store_view_open(s, &v, &err), ERR_USAGE);
    assert_null(v);
    assert_int_equal(store_rows(s), 0);
    store_close(s);
}

struct reading {
    struct store *store;
    atomic_bool done;
    atomic_uint views;
    bool good;
};

/* Each view is of one checkpoint, and none is older than one before. */
static void *read_views(void *ctx)
{
    struct reading *r = ctx;
    uint64_t last = 0;
    r->good = true;
    while (!atomic_load(&r->done)) {
        struct store *v;
        if (store_view_open(r->store, &v, NULL) != ERR_OK) {
            r->good = false;
            return NULL;
        }
        struct seen seen = scan(v);
        uint64_t applied = store_durable_index(v);
        r->good = r->good && seen.agree && seen.n == KEYS && seen.round * 10 == applied &&
                  applied >= last && store_error(v, NULL) == ERR_OK;
        last = applied;
        store_close(v);
        (void)atomic_fetch_add(&r->views, 1);
    }
    return NULL;
}

static void test_views_are_read_beside_checkpoints(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store *s = open_at(dir);
    put_round(s, 1);
    checkpoint(s, 10);
    struct reading r = {.store = s};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_views, &r), 0);
    uint64_t round = 1;
    while (round < ROUNDS || atomic_load(&r.views) < ROUNDS) {
        put_round(s, ++round);
        checkpoint(s, round * 10);
    }
    atomic_store(&r.done, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(r.good);
    store_close(s);
    tempdir_remove(dir);
}

/* The owner would read on in memory that is gone: that is noticed. */
static void test_store_cannot_be_closed_under_its_views(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct store *s = open_at(dir), *v;
        (void)signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr) || store_view_open(s, &v, NULL) != ERR_OK)
            _exit(1);
        store_close(s);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    tempdir_remove(dir);
}

/* Flips a bit of the pattern wherever it stands in the file. */
static void damage(const char *dir, const char *pattern)
{
    size_t n = strlen(pattern), hits = 0, len;
    char *path = strdup(tempdir_path(dir, "data.mdb"));
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    len = (size_t)ftell(f);
    rewind(f);
    uint8_t *p = malloc(len);
    assert_int_equal(fread(p, 1, len, f), len);
    for (size_t i = 0; i + n <= len; i++) {
        if (memcmp(p + i, pattern, n) != 0)
            continue;
        p[i] ^= 1;
        hits++;
    }
    rewind(f);
    assert_int_equal(fwrite(p, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    assert_true(hits > 0);
    free(p);
    free(path);
}

static void test_damaged_row_is_told_of_and_the_scan_goes_on(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store *s = open_at(dir);
    struct bytes value;
    put_round(s, 1);
    store_put(s, bytes_of_str("key111bad"), bytes_of_str("PATTERN-OF-THIS-ROW"));
    checkpoint(s, 10);
    store_close(s);
    damage(dir, "PATTERN-OF-THIS-ROW");
    s = open_at(dir);
    struct store *v = view_of(s);
    struct seen seen = {.agree = true};
    store_view_on_damage(v, see_damage, &seen);
    store_scan(v, bytes_of_str("key"), see, &seen);
    assert_int_equal(seen.n, KEYS);
    assert_int_equal(seen.damaged, 1);
    assert_true(bytes_equal(seen.key, bytes_of_str("key111bad")));
    assert_false(store_get(v, bytes_of_str("key111bad"), &value));
    assert_int_equal(seen.damaged, 1); /* told of once: by the scan */
    assert_int_equal(store_error(v, NULL), ERR_OK);
    store_close(v);
    assert_int_equal(store_error(s, NULL), ERR_OK); /* the owner has not met it */
    assert_false(store_get(s, bytes_of_str("key111bad"), &value));
    assert_int_equal(store_error(s, NULL), ERR_CORRUPT);
    store_close(s);
    tempdir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_view_shows_the_last_checkpoint_only),
        cmocka_unit_test(test_view_of_a_fresh_store_is_empty),
        cmocka_unit_test(test_store_without_a_file_has_no_views),
        cmocka_unit_test(test_views_are_read_beside_checkpoints),
        cmocka_unit_test(test_store_cannot_be_closed_under_its_views),
        cmocka_unit_test(test_damaged_row_is_told_of_and_the_scan_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
