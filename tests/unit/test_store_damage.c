/* What the store does with a damaged file, a full disk, and a disk that fails. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <store/store.h>

#include <tempdir.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, META_BYTES = 152 };

static struct bytes b(const char *s)
{
    return bytes_of_str(s);
}

static struct store_options options(const char *path)
{
    return (struct store_options){
        .path = path, .map_bytes = UINT64_C(1) << 30, .cluster_id = 0xC1, .shard = 3};
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

static void checkpoint(struct store *s, uint64_t applied)
{
    struct error err = {0};
    store_freeze(s, applied);
    if (store_write_frozen(s, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    store_release_frozen(s);
}

static void put_many(struct store *s, int n, size_t len)
{
    static uint8_t value[8192];
    assert_true(len <= sizeof value);
    char key[16];
    for (int i = 0; i < n; i++) {
        (void)snprintf(key, sizeof key, "many%d", i);
        memset(value, i & 0xFF, sizeof value);
        store_put(s, b(key), bytes_of(value, len));
    }
}

static bool has_many(struct store *s, int n, size_t len)
{
    char key[16];
    struct bytes v;
    for (int i = 0; i < n; i++) {
        (void)snprintf(key, sizeof key, "many%d", i);
        if (!store_get(s, b(key), &v) || v.len != len || v.data[len - 1] != (i & 0xFF))
            return false;
    }
    return store_error(s, NULL) == ERR_OK;
}

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

static void spill(const char *dir, const void *data, size_t len)
{
    int fd = open(tempdir_path(dir, "data.mdb"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    assert_int_equal(close(fd), 0);
}

/* Flips a bit in the pattern's last byte wherever it stands in the file. */
static void flip_where(const char *dir, const char *pattern)
{
    size_t len, n = strlen(pattern);
    int found = 0;
    uint8_t *p = slurp(dir, &len);
    for (size_t i = 0; i + n <= len; i++) {
        if (memcmp(p + i, pattern, n) == 0) {
            p[i + n - 1] ^= 2;
            found++;
        }
    }
    assert_true(found > 0);
    spill(dir, p, len);
    free(p);
}

static void test_store_damaged_value_is_found_and_sticks(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store *s = open_at(dir);
    store_put(s, b("phone:secret"), b("DAMAGED-VALUE"));
    store_put(s, b("sound"), b("1"));
    checkpoint(s, 1);
    store_close(s);
    flip_where(dir, "DAMAGED-VALUE");

    s = open_at(dir);
    struct bytes v;
    struct error err = {0};
    assert_true(store_get(s, b("sound"), &v));
    store_put(s, b("before"), b("1"));
    store_freeze(s, 2);
    assert_int_equal(store_error(s, NULL), ERR_OK);
    assert_false(store_get(s, b("phone:secret"), &v));
    assert_int_equal(store_error(s, &err), ERR_CORRUPT);
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_non_null(strstr(err.msg, "data.mdb"));
    assert_null(strstr(err.msg, "secret"));
    assert_int_equal(store_write_frozen(s, &err), ERR_OK);
    store_release_frozen(s);
    store_put(s, b("after"), b("1"));
    store_freeze(s, 3);
    assert_int_equal(store_write_frozen(s, &err), ERR_CORRUPT);
    assert_int_equal(store_error(s, NULL), ERR_CORRUPT);
    store_close(s);

    s = open_at(dir);
    assert_int_equal(store_durable_index(s), 2);
    assert_true(store_get(s, b("before"), &v));
    assert_false(store_get(s, b("after"), &v));
    store_close(s);
    tempdir_remove(dir);
}

static bool count_one(void *ctx, struct bytes key, struct bytes value)
{
    (void)key;
    (void)value;
    (*(int *)ctx)++;
    return true;
}

static void test_store_scan_finds_damage(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store *s = open_at(dir);
    store_put(s, b("k1"), b("fine"));
    store_put(s, b("k2"), b("DAMAGED-VALUE"));
    checkpoint(s, 1);
    store_close(s);
    flip_where(dir, "DAMAGED-VALUE");
    s = open_at(dir);
    int n = 0;
    store_scan(s, b("k"), count_one, &n);
    assert_int_equal(n, 1);
    assert_int_equal(store_error(s, NULL), ERR_CORRUPT);
    store_close(s);
    tempdir_remove(dir);
}

static void test_store_value_under_another_key_is_damage(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store *s = open_at(dir);
    store_put(s, b("KEY-NUMBER-1"), b("value"));
    checkpoint(s, 1);
    store_close(s);
    flip_where(dir, "KEY-NUMBER-1");
    s = open_at(dir);
    struct bytes v;
    assert_false(store_get(s, b("KEY-NUMBER-3"), &v));
    assert_int_equal(store_error(s, NULL), ERR_CORRUPT);
    store_close(s);
    tempdir_remove(dir);
}

static void assert_refused(const char *dir, enum error_code code)
{
    struct store_options o = options(dir);
    struct store *s;
    struct error err = {0};
    assert_int_equal(store_open(&o, &s, &err), code);
    assert_null(s);
    assert_non_null(strstr(err.msg, "data.mdb"));
}

static void test_store_file_of_another_kind_is_refused(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    spill(dir, "hello", 5);
    assert_refused(dir, ERR_CORRUPT);
    uint8_t *zeros = calloc(1, 1 << 20);
    spill(dir, zeros, 1 << 20);
    assert_refused(dir, ERR_CORRUPT);
    memset(zeros, 0xA5, 1 << 20);
    spill(dir, zeros, 1 << 20);
    assert_refused(dir, ERR_CORRUPT);
    free(zeros);
    spill(dir, "", 0);
    store_close(open_at(dir));
    tempdir_remove(dir);
}

static void test_store_cut_short_is_refused(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store *s = open_at(dir);
    put_many(s, 500, 300);
    checkpoint(s, 1);
    store_close(s);
    size_t len;
    uint8_t *p = slurp(dir, &len);
    for (size_t cut = len - 1; cut > 0; cut = cut > 3 * PAGE ? cut - 2500 : cut / 2) {
        spill(dir, p, cut);
        assert_refused(dir, ERR_CORRUPT);
    }
    spill(dir, p, len);
    s = open_at(dir);
    assert_true(has_many(s, 500, 300));
    store_close(s);
    free(p);
    tempdir_remove(dir);
}

/* LMDB may leave free pages at the end unwritten: such a file is sound. */
static void test_store_without_its_free_last_pages_is_sound(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store *s = open_at(dir);
    put_many(s, 50, 300);
    checkpoint(s, 1);
    for (int i = 0; i < 300; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "z%d", i);
        store_put(s, b(key), b("a value that will be deleted again, with some length to it"));
    }
    checkpoint(s, 2);
    for (int i = 0; i < 300; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "z%d", i);
        store_del(s, b(key));
    }
    checkpoint(s, 3);
    for (uint64_t i = 4; i < 8; i++) {
        store_put(s, b("last"), b("x"));
        checkpoint(s, i);
    }
    uint64_t used = store_disk_bytes(s);
    store_close(s);

    size_t len;
    uint8_t *p = slurp(dir, &len);
    assert_true(len >= used);
    int accepted = 0, refused = 0;
    for (size_t cut = (size_t)used - PAGE; cut > 2 * PAGE; cut -= PAGE) {
        spill(dir, p, cut);
        struct store_options o = options(dir);
        enum error_code code = store_open(&o, &s, NULL);
        if (code != ERR_OK) {
            assert_int_equal(code, ERR_CORRUPT);
            refused++;
            continue;
        }
        assert_int_equal(refused, 0);
        accepted++;
        assert_int_equal(store_durable_index(s), 7);
        assert_true(has_many(s, 50, 300));
        put_many(s, 200, 300);
        checkpoint(s, 9);
        assert_true(has_many(s, 200, 300));
        store_close(s);
    }
    assert_true(accepted > 0);
    assert_true(refused > 0);
    free(p);
    tempdir_remove(dir);
}

static void test_store_flipped_bit_in_a_meta_page_never_misleads(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store *s = open_at(dir);
    for (uint64_t i = 1; i <= 5; i++) {
        put_many(s, 40, 100 * i);
        checkpoint(s, i);
    }
    store_close(s);
    size_t len;
    uint8_t *p = slurp(dir, &len);
    int refused = 0;
    for (size_t bit = 0; bit < 2 * META_BYTES * 8; bit++) {
        size_t at = bit / 8 < META_BYTES ? bit / 8 : PAGE + bit / 8 - META_BYTES;
        p[at] ^= (uint8_t)(1U << bit % 8);
        spill(dir, p, len);
        struct store_options o = options(dir);
        struct error err;
        enum error_code code = store_open(&o, &s, &err);
        if (code == ERR_OK) {
            assert_int_equal(store_durable_index(s), 5);
            assert_true(has_many(s, 40, 500));
            put_many(s, 60, 200);
            checkpoint(s, 6);
            assert_true(has_many(s, 60, 200));
            store_close(s);
        } else {
            if (code != ERR_CORRUPT)
                fail_msg("byte %zu: %s", at, err.msg);
            refused++;
        }
        p[at] ^= (uint8_t)(1U << bit % 8);
    }
    assert_true(refused > META_BYTES * 4);
    free(p);
    tempdir_remove(dir);
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = bytes == RLIM_INFINITY ? r.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void test_store_full_disk_changes_nothing_and_can_be_tried_again(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store *s = open_at(dir);
    put_many(s, 20, 100);
    checkpoint(s, 1);
    (void)signal(SIGXFSZ, SIG_IGN);
    put_many(s, 1000, 800);
    store_freeze(s, 2);
    static const rlim_t EXTRA[] = {0, 65536, 65536 + 1000};
    for (size_t i = 0; i < sizeof EXTRA / sizeof *EXTRA; i++) {
        struct error err = {0};
        limit_file_size((rlim_t)store_disk_bytes(s) + EXTRA[i]);
        enum error_code code = store_write_frozen(s, &err);
        limit_file_size(RLIM_INFINITY);
        assert_int_equal(code, ERR_DISK_FULL);
        assert_int_equal(store_error(s, NULL), ERR_OK);
        assert_true(has_many(s, 1000, 800));
        assert_int_equal(store_durable_index(s), 1);
    }
    assert_int_equal(store_write_frozen(s, NULL), ERR_OK);
    store_release_frozen(s);
    assert_int_equal(store_durable_index(s), 2);
    store_close(s);
    s = open_at(dir);
    assert_true(has_many(s, 1000, 800));
    store_close(s);
    tempdir_remove(dir);
}

static void test_store_not_made_on_a_full_disk_can_be_made_later(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    (void)signal(SIGXFSZ, SIG_IGN);
    /* in the lock file (which is whole from then on), in the first commit, in the meta pages */
    static const rlim_t LIMITS[] = {4096, 10000, 6000};
    struct store_options o = options(dir);
    struct store *s;
    for (size_t i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++) {
        limit_file_size(LIMITS[i]);
        enum error_code code = store_open(&o, &s, NULL);
        limit_file_size(RLIM_INFINITY);
        assert_int_equal(code, ERR_DISK_FULL);
        int fd = open(tempdir_path(dir, "lock.mdb"), O_WRONLY);
        assert_true(fd >= 0);
        assert_int_equal(posix_fallocate(fd, 0, 16384), 0);
        assert_int_equal(close(fd), 0);
    }
    s = open_at(dir);
    put_many(s, 20, 100);
    checkpoint(s, 1);
    assert_true(has_many(s, 20, 100));
    store_close(s);
    tempdir_remove(dir);
}

static void test_store_full_map_names_the_limit(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store_options o = options(dir);
    o.map_bytes = 1 << 20;
    struct store *s;
    assert_int_equal(store_open(&o, &s, NULL), ERR_OK);
    put_many(s, 20, 100);
    checkpoint(s, 1);
    put_many(s, 1000, 2000);
    store_freeze(s, 2);
    struct error err = {0};
    for (int round = 0; round < 2; round++) {
        assert_int_equal(store_write_frozen(s, &err), ERR_DISK_FULL);
        assert_non_null(strstr(err.msg, "raise limits: map_gb"));
    }
    store_close(s);
    s = open_at(dir);
    assert_int_equal(store_durable_index(s), 1);
    assert_true(has_many(s, 20, 100));
    store_close(s);
    tempdir_remove(dir);
}

/* Puts something that cannot be written to in the place of the process's handles on the file. */
static void break_handles(const char *dir)
{
    int null = open("/dev/null", O_RDONLY), broken = 0;
    assert_true(null >= 0);
    for (int fd = 3; fd < 256; fd++) {
        char name[64], target[1024];
        (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(name, target, sizeof target - 1);
        if (n <= 0)
            continue;
        target[n] = 0;
        if (strcmp(target, tempdir_path(dir, "data.mdb")) == 0) {
            assert_int_equal(dup2(null, fd), fd);
            broken++;
        }
    }
    assert_true(broken > 0);
    assert_int_equal(close(null), 0);
}

static void test_store_failing_write_is_final(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct store *s = open_at(dir);
    put_many(s, 20, 100);
    checkpoint(s, 1);
    put_many(s, 20, 200);
    store_freeze(s, 2);
    break_handles(dir);
    struct error err = {0};
    assert_int_equal(store_write_frozen(s, &err), ERR_IO);
    assert_non_null(strstr(err.msg, "data.mdb"));
    assert_true(has_many(s, 20, 200));
    store_close(s);
    s = open_at(dir);
    assert_int_equal(store_durable_index(s), 1);
    assert_true(has_many(s, 20, 100));
    store_close(s);
    tempdir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_damaged_value_is_found_and_sticks),
        cmocka_unit_test(test_store_scan_finds_damage),
        cmocka_unit_test(test_store_value_under_another_key_is_damage),
        cmocka_unit_test(test_store_file_of_another_kind_is_refused),
        cmocka_unit_test(test_store_cut_short_is_refused),
        cmocka_unit_test(test_store_without_its_free_last_pages_is_sound),
        cmocka_unit_test(test_store_flipped_bit_in_a_meta_page_never_misleads),
        cmocka_unit_test(test_store_full_disk_changes_nothing_and_can_be_tried_again),
        cmocka_unit_test(test_store_not_made_on_a_full_disk_can_be_made_later),
        cmocka_unit_test(test_store_full_map_names_the_limit),
        cmocka_unit_test(test_store_failing_write_is_final),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
