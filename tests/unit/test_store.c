#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <disk/disk.h>
#include <store/store.h>

#include <base/rng.h>
#include <tempdir.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct bytes b(const char *s)
{
    return bytes_of_str(s);
}

static struct store_options options(const char *path)
{
    return (struct store_options){
        .path = path, .map_bytes = UINT64_C(64) << 30, .cluster_id = 0xC1, .shard = 3};
}

static struct store *open_at(const char *path)
{
    struct store_options o = options(path);
    struct store *s;
    struct error err = {0};
    if (store_open(&o, &s, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    return s;
}

static void assert_value(struct store *s, const char *key, const char *value)
{
    struct bytes v;
    bool found = store_get(s, b(key), &v);
    assert_int_equal(found, value != NULL);
    if (value)
        assert_true(bytes_equal(v, b(value)));
    assert_int_equal(store_error(s, NULL), ERR_OK);
}

static void checkpoint(struct store *s, uint64_t applied)
{
    struct error err = {0};
    store_freeze(s, applied);
    if (store_write_frozen(s, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    store_release_frozen(s);
}

static bool collect(void *ctx, struct bytes key, struct bytes value)
{
    struct buf *out = ctx;
    buf_put(out, key.data, key.len);
    buf_put_u8(out, '=');
    buf_put(out, value.data, value.len);
    buf_put_u8(out, ' ');
    return true;
}

static bool count_one(void *ctx, struct bytes key, struct bytes value)
{
    (void)key;
    (void)value;
    (*(int *)ctx)++;
    return false;
}

/* The same life with a file and without. */
static void live_through_all_levels(struct store *s)
{
    store_put(s, b("p/old"), b("1"));
    store_put(s, b("p/gone"), b("1"));
    store_put(s, b("p/back"), b("1"));
    store_put(s, b("q"), b("1"));
    checkpoint(s, 10);
    assert_int_equal(store_durable_index(s), 10);
    assert_int_equal(store_active_bytes(s), 0);

    store_put(s, b("p/frozen"), b("2"));
    store_put(s, b("p/both"), b("2"));
    store_del(s, b("p/gone"));
    store_del(s, b("p/back"));
    assert_true(store_active_bytes(s) > 0);
    store_freeze(s, 20);
    assert_true(store_has_frozen(s));
    store_put(s, b("p/both"), b("3"));
    store_put(s, b("p/back"), b("3"));
    store_put(s, b("p/empty"), b(""));
    store_put(s, b("p/short"), b("3"));
    store_del(s, b("p/short"));

    for (int round = 0; round < 3; round++) {
        assert_value(s, "p/old", "1");
        assert_value(s, "p/gone", NULL);
        assert_value(s, "p/frozen", "2");
        assert_value(s, "p/both", "3");
        assert_value(s, "p/back", "3");
        assert_value(s, "p/empty", "");
        assert_value(s, "p/short", NULL);
        assert_value(s, "q", "1");
        struct buf out = {0};
        store_scan(s, b("p/"), collect, &out);
        assert_int_equal(out.len, strlen("p/old=1 p/frozen=2 p/both=3 p/back=3 p/empty= "));
        buf_put_u8(&out, 0);
        static const char *const EACH[] = {"p/old=1 ", "p/frozen=2 ", "p/both=3 ", "p/back=3 ",
                                           "p/empty= "};
        for (size_t i = 0; i < sizeof EACH / sizeof *EACH; i++)
            assert_non_null(strstr((const char *)out.data, EACH[i]));
        buf_free(&out);
        struct error err = {0};
        if (round == 0)
            assert_int_equal(store_write_frozen(s, &err), ERR_OK);
        else if (round == 1)
            store_release_frozen(s);
    }
    assert_false(store_has_frozen(s));
    assert_int_equal(store_durable_index(s), 20);
    int n = 0;
    store_scan(s, b(""), count_one, &n);
    assert_int_equal(n, 1);
    n = 0;
    store_scan(s, b("zzz"), count_one, &n);
    assert_int_equal(n, 0);
}

static void test_store_reads_through_all_levels(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store *s = open_at(dir);
    live_through_all_levels(s);
    assert_true(store_disk_bytes(s) > 0);
    store_close(s);
    tempdir_remove(dir);
}

static void test_store_without_file_behaves_the_same(void **state)
{
    (void)state;
    struct store *s = open_at(NULL);
    live_through_all_levels(s);
    assert_int_equal(store_disk_bytes(s), 0);
    store_close(s);
}

static void test_store_reopened_holds_the_last_checkpoint(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char *path = strdup(tempdir_path(dir, "replica"));
    struct store *s = open_at(path);
    assert_int_equal(store_durable_index(s), 0);
    store_put(s, b("a"), b("1"));
    store_close(s);

    s = open_at(path);
    assert_value(s, "a", NULL);
    store_put(s, b("a"), b("2"));
    checkpoint(s, 7);
    store_put(s, b("a"), b("3"));
    store_freeze(s, 8);
    store_close(s);

    s = open_at(path);
    assert_int_equal(store_durable_index(s), 7);
    assert_value(s, "a", "2");
    store_freeze(s, 9);
    assert_int_equal(store_write_frozen(s, NULL), ERR_OK);
    store_close(s);

    s = open_at(path);
    assert_int_equal(store_durable_index(s), 9);
    assert_value(s, "a", "2");
    store_close(s);

    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(tempdir_path(path, "data.mdb"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    free(path);
    tempdir_remove(dir);
}

static void assert_refused(const struct store_options *o, const char *phrase)
{
    struct store *s;
    struct error err = {0};
    assert_int_equal(store_open(o, &s, &err), ERR_MISMATCH);
    assert_null(s);
    assert_non_null(strstr(err.msg, o->path));
    assert_non_null(strstr(err.msg, phrase));
}

static void test_store_of_another_cluster_or_shard_is_refused(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    store_close(open_at(dir));
    struct store_options o = options(dir);
    o.cluster_id++;
    assert_refused(&o, "cluster");
    o = options(dir);
    o.shard = 4;
    assert_refused(&o, "shard 3, not 4");
    store_close(open_at(dir));
    tempdir_remove(dir);
}

/* What an older program wrote, whose rows this one would misread. */
static void test_store_of_an_older_format_is_refused(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store_options o = options(dir);
    static const char *const dbs[] = {"state"};
    struct disk_options old = {.path = dir,
                               .map_bytes = o.map_bytes,
                               .magic = "oneidsto",
                               .version = STORE_FORMAT_OLDEST - 1,
                               .cluster_id = o.cluster_id,
                               .owner = o.shard,
                               .owner_word = "shard",
                               .dbs = dbs,
                               .n_dbs = 1};
    struct disk d;
    assert_int_equal(disk_open(&d, &old, NULL), ERR_OK);
    disk_close(&d);
    assert_refused(&o, "format 1 is older than what this program reads (2)");
    tempdir_remove(dir);
}

static void test_store_is_opened_by_one_process_only(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store *s = open_at(dir);
    pid_t child = fork();
    if (child == 0) {
        struct store_options o = options(dir);
        struct store *second;
        _exit(store_open(&o, &second, NULL) == ERR_BUSY ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    store_close(s);
    tempdir_remove(dir);
}

static void *write_on_thread(void *arg)
{
    struct store *s = arg;
    return store_write_frozen(s, NULL) == ERR_OK ? s : NULL;
}

static void test_store_checkpoint_on_another_thread(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store *s = open_at(dir);
    char key[16], value[16];
    for (int round = 1; round <= 5; round++) {
        for (int i = 0; i < 3000; i++) {
            (void)snprintf(key, sizeof key, "key%d", i);
            (void)snprintf(value, sizeof value, "v%d", round);
            store_put(s, b(key), b(value));
        }
        store_freeze(s, (uint64_t)round);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, write_on_thread, s), 0);
        for (int i = 0; i < 3000; i++) {
            (void)snprintf(key, sizeof key, "key%d", i);
            assert_value(s, key, value);
            if (i % 3 == 0)
                store_put(s, b(key), b("new"));
            else if (i % 3 == 1)
                store_del(s, b(key));
            assert_value(s, key, i % 3 == 0 ? "new" : i % 3 == 1 ? NULL : value);
        }
        void *result;
        assert_int_equal(pthread_join(thread, &result), 0);
        assert_ptr_equal(result, s);
        store_release_frozen(s);
        assert_int_equal(store_durable_index(s), round);
    }
    store_close(s);
    tempdir_remove(dir);
}

enum { MODEL_KEYS = 200, MODEL_VALUE = 6000 };

struct model {
    int len[MODEL_KEYS]; /* -1: absent */
    uint8_t fill[MODEL_KEYS];
};

static struct bytes model_key(char out[16], uint64_t i)
{
    (void)snprintf(out, 16, "%c%llu", i % 2 ? 'a' : 'b', (unsigned long long)i);
    return b(out);
}

static bool is_filled(struct bytes v, int len, uint8_t fill)
{
    for (size_t i = 0; i < v.len; i++) {
        if (v.data[i] != fill)
            return false;
    }
    return v.len == (size_t)len;
}

struct model_scan {
    const struct model *m;
    bool seen[MODEL_KEYS];
    int n;
};

static bool model_scan_cb(void *ctx, struct bytes key, struct bytes value)
{
    struct model_scan *c = ctx;
    char text[16] = "";
    assert_in_range(key.len, 2, 15);
    memcpy(text, key.data, key.len);
    unsigned long i = strtoul(text + 1, NULL, 10);
    assert_in_range(i, 0, MODEL_KEYS - 1);
    assert_false(c->seen[i]);
    c->seen[i] = true;
    c->n++;
    assert_true(is_filled(value, c->m->len[i], c->m->fill[i]));
    return true;
}

static void model_compare(struct store *s, const struct model *m)
{
    int present = 0, odd = 0;
    for (uint64_t i = 0; i < MODEL_KEYS; i++) {
        char text[16];
        struct bytes v;
        assert_int_equal(store_get(s, model_key(text, i), &v), m->len[i] >= 0);
        if (m->len[i] < 0)
            continue;
        assert_true(is_filled(v, m->len[i], m->fill[i]));
        present++;
        odd += i % 2 == 1;
    }
    struct model_scan c = {.m = m};
    store_scan(s, b(""), model_scan_cb, &c);
    assert_int_equal(c.n, present);
    c = (struct model_scan){.m = m};
    store_scan(s, b("a"), model_scan_cb, &c);
    assert_int_equal(c.n, odd);
    assert_int_equal(store_error(s, NULL), ERR_OK);
}

static void model_change(struct store *s, struct model *m, struct rng *rng)
{
    static uint8_t value[MODEL_VALUE];
    uint64_t i = rng_below(rng, MODEL_KEYS);
    char text[16];
    struct bytes key = model_key(text, i);
    if (rng_below(rng, 4) == 0) {
        store_del(s, key);
        m->len[i] = -1;
        return;
    }
    m->len[i] = (int)rng_below(rng, rng_below(rng, 10) ? 200 : MODEL_VALUE);
    m->fill[i] = (uint8_t)rng_u64(rng);
    memset(value, m->fill[i], sizeof value);
    store_put(s, key, bytes_of(value, (size_t)m->len[i]));
}

static void run_model(const char *path, uint64_t seed, int steps)
{
    struct rng rng = rng_of_seed(seed);
    struct model now, frozen, durable;
    memset(now.len, 0xFF, sizeof now.len);
    frozen = durable = now;
    uint64_t applied = 0, frozen_at = 0, durable_at = 0;
    bool is_written = false;
    struct store *s = open_at(path);
    for (int step = 0; step < steps; step++) {
        uint64_t dice = rng_below(&rng, 400);
        applied++;
        if (dice < 4 && !store_has_frozen(s)) {
            store_freeze(s, applied);
            frozen = now;
            frozen_at = applied;
            is_written = false;
        } else if (dice < 8 && store_has_frozen(s) && !is_written) {
            assert_int_equal(store_write_frozen(s, NULL), ERR_OK);
            durable = frozen;
            durable_at = frozen_at;
            is_written = true;
        } else if (dice < 12 && store_has_frozen(s) && is_written) {
            store_release_frozen(s);
            assert_int_equal(store_durable_index(s), durable_at);
        } else if (dice == 12 && path) {
            store_close(s);
            s = open_at(path);
            now = durable;
            assert_int_equal(store_durable_index(s), durable_at);
        } else if (dice < 20) {
            model_compare(s, &now);
        } else {
            model_change(s, &now, &rng);
        }
    }
    model_compare(s, &now);
    store_close(s);
}

static void test_store_agrees_with_a_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        char *dir = tempdir_make();
        run_model(dir, seed, 6000);
        tempdir_remove(dir);
    }
}

static void test_store_without_file_agrees_with_a_model(void **state)
{
    (void)state;
    run_model(NULL, 9, 6000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_reads_through_all_levels),
        cmocka_unit_test(test_store_without_file_behaves_the_same),
        cmocka_unit_test(test_store_reopened_holds_the_last_checkpoint),
        cmocka_unit_test(test_store_of_another_cluster_or_shard_is_refused),
        cmocka_unit_test(test_store_of_an_older_format_is_refused),
        cmocka_unit_test(test_store_is_opened_by_one_process_only),
        cmocka_unit_test(test_store_checkpoint_on_another_thread),
        cmocka_unit_test(test_store_agrees_with_a_model),
        cmocka_unit_test(test_store_without_file_agrees_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
