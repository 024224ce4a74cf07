/* Copies of a store: made beside checkpoints, judged, and put in place of another state. */
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
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, META_BYTES = 152, KEYS = 300 };

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

/* "<dir>/<name>", to be freed. */
static char *path_in(const char *dir, const char *name)
{
    return strdup(tempdir_path(dir, name));
}

/* All keys get the same number, so that a state tells which one it is. */
static void put_round(struct store *s, uint64_t round)
{
    char key[16];
    uint8_t value[700];
    memset(value, (int)(round & 0xFF), sizeof value);
    memcpy(value, &round, sizeof round);
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "key%d", i);
        store_put(s, b(key), bytes_of(value, sizeof value));
    }
}

/* The round that all keys agree on; 0: none is there. */
static uint64_t round_of(struct store *s)
{
    char key[16];
    uint64_t all = 0;
    for (int i = 0; i < KEYS; i++) {
        struct bytes v;
        uint64_t round = 0;
        (void)snprintf(key, sizeof key, "key%d", i);
        if (store_get(s, b(key), &v))
            memcpy(&round, v.data, sizeof round);
        assert_int_equal(store_error(s, NULL), ERR_OK);
        if (i == 0)
            all = round;
        assert_int_equal(round, all);
    }
    return all;
}

static void checkpoint(struct store *s, uint64_t applied)
{
    struct error err = {0};
    store_freeze(s, applied);
    if (store_write_frozen(s, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    store_release_frozen(s);
}

static uint64_t copy_to(struct store *s, const char *file)
{
    uint64_t applied = 0;
    struct error err = {0};
    if (store_copy_to(s, file, &applied, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    return applied;
}

static enum error_code check(const char *file, uint64_t *applied, struct error *err)
{
    struct store_options o = options(NULL);
    return store_check_copy(&o, file, applied, err);
}

static enum error_code install(const char *folder, const char *file, struct error *err)
{
    struct store_options o = options(folder);
    return store_install(&o, file, err);
}

static uint8_t *slurp(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *len = (size_t)ftell(f);
    rewind(f);
    uint8_t *p = malloc(*len + 1);
    assert_int_equal(fread(p, 1, *len, f), *len);
    assert_int_equal(fclose(f), 0);
    return p;
}

static void spill(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    assert_int_equal(close(fd), 0);
}

/* A folder `name` below dir whose state is `round`, at applied index 10 * round; closed. */
static char *make_state(const char *dir, const char *name, uint64_t round)
{
    char *folder = path_in(dir, name);
    struct store *s = open_at(folder);
    put_round(s, round);
    checkpoint(s, 10 * round);
    store_close(s);
    return folder;
}

static void assert_state(const char *folder, uint64_t round)
{
    struct store *s = open_at(folder);
    assert_int_equal(round_of(s), round);
    assert_int_equal(store_durable_index(s), 10 * round);
    store_close(s);
}

static void make_copy(const char *folder, const char *file)
{
    struct store *s = open_at(folder);
    (void)copy_to(s, file);
    store_close(s);
}

static void test_copy_holds_what_the_file_holds(void **state)
{
    (void)state;
    char *dir = tempdir_make(), *from = path_in(dir, "from"), *to = path_in(dir, "to"),
         *file = path_in(dir, "copy");
    struct store *s = open_at(from);
    for (uint64_t i = 1; i <= 20; i++) { /* leaves free pages behind */
        put_round(s, i);
        checkpoint(s, i);
    }
    put_round(s, 21);
    store_freeze(s, 21);
    put_round(s, 22);
    assert_int_equal(copy_to(s, file), 20);
    uint64_t disk = store_disk_bytes(s), applied = 0;
    struct error err = {0};
    assert_int_equal(check(file, &applied, &err), ERR_OK);
    assert_int_equal(applied, 20);
    size_t len;
    free(slurp(file, &len));
    assert_true(len < disk);

    uint64_t again;
    assert_int_equal(store_copy_to(s, file, &again, &err), ERR_IO); /* never over another file */
    assert_int_equal(check(file, &applied, &err), ERR_OK);
    assert_int_equal(install(to, file, &err), ERR_OK);
    assert_int_equal(access(file, F_OK), -1);
    store_close(s);

    s = open_at(to);
    assert_int_equal(round_of(s), 20);
    assert_int_equal(store_durable_index(s), 20);
    put_round(s, 21);
    checkpoint(s, 21);
    store_close(s);
    s = open_at(to); /* it counts its transactions anew and goes on */
    assert_int_equal(round_of(s), 21);
    store_close(s);
    free(from);
    free(to);
    free(file);
    tempdir_remove(dir);
}

static void test_copy_of_a_fresh_state_is_whole(void **state)
{
    (void)state;
    char *dir = tempdir_make(), *from = path_in(dir, "from"), *file = path_in(dir, "copy");
    struct store *s = open_at(from);
    assert_int_equal(copy_to(s, file), 0);
    store_close(s);
    uint64_t applied = 1;
    assert_int_equal(check(file, &applied, NULL), ERR_OK);
    assert_int_equal(applied, 0);
    free(from);
    free(file);
    tempdir_remove(dir);
}

static void test_store_without_a_file_has_no_copy(void **state)
{
    (void)state;
    struct store *s = open_at(NULL);
    uint64_t applied;
    assert_int_equal(store_copy_to(s, "/nowhere/at/all", &applied, NULL), ERR_USAGE);
    store_close(s);
}

struct copier {
    struct store *store;
    const char *dir;
    atomic_bool stop;
    _Atomic unsigned copies;
};

static void *copy_again_and_again(void *arg)
{
    struct copier *c = arg;
    while (!atomic_load(&c->stop)) {
        char file[300];
        uint64_t applied, checked;
        struct error err = {0};
        (void)snprintf(file, sizeof file, "%s/copy-%u", c->dir, atomic_load(&c->copies));
        if (store_copy_to(c->store, file, &applied, &err) != ERR_OK ||
            check(file, &checked, &err) != ERR_OK || checked != applied) {
            (void)fprintf(stderr, "%s\n", err.msg);
            abort();
        }
        atomic_fetch_add(&c->copies, 1);
    }
    return NULL;
}

/* The owner reads and writes, checkpoints run, and each copy is the state of one checkpoint. */
static void test_copies_beside_checkpoints_are_each_of_one_moment(void **state)
{
    (void)state;
    char *dir = tempdir_make(), *from = path_in(dir, "from"), *to = path_in(dir, "to");
    struct copier c = {.store = open_at(from), .dir = dir};
    put_round(c.store, 1);
    checkpoint(c.store, 1);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, copy_again_and_again, &c), 0);
    for (uint64_t i = 2; i < 30 || atomic_load(&c.copies) < 4; i++) {
        put_round(c.store, i);
        checkpoint(c.store, i);
        assert_int_equal(round_of(c.store), i);
    }
    atomic_store(&c.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    store_close(c.store);
    for (unsigned i = 0; i < c.copies; i++) {
        char file[300];
        (void)snprintf(file, sizeof file, "%s/copy-%u", dir, i);
        assert_int_equal(install(to, file, NULL), ERR_OK);
        struct store *s = open_at(to);
        assert_int_equal(round_of(s), store_durable_index(s));
        store_close(s);
    }
    free(from);
    free(to);
    tempdir_remove(dir);
}

static void test_install_replaces_the_state_and_nothing_else(void **state)
{
    (void)state;
    char *dir = tempdir_make(), *old = make_state(dir, "old", 1), *new = make_state(dir, "new", 2),
         *file = path_in(dir, "copy");
    make_copy(new, file);
    spill(tempdir_path(old, "index"), "kept", 4);
    struct error err = {0};
    assert_int_equal(install(old, file, &err), ERR_OK);
    assert_state(old, 2);
    assert_state(new, 2);
    assert_int_equal(access(tempdir_path(old, "index"), F_OK), 0);
    free(old);
    free(new);
    free(file);
    tempdir_remove(dir);
}

static void test_what_belongs_elsewhere_is_refused(void **state)
{
    (void)state;
    char *dir = tempdir_make(), *old = make_state(dir, "old", 1), *new = make_state(dir, "new", 2),
         *file = path_in(dir, "copy");
    make_copy(new, file);
    struct store_options cluster = options(old), shard = options(old);
    cluster.cluster_id = 0xC2;
    shard.shard = 4;
    struct error err = {0};
    uint64_t applied;
    assert_int_equal(store_check_copy(&cluster, file, &applied, &err), ERR_MISMATCH);
    assert_non_null(strstr(err.msg, "another cluster"));
    assert_int_equal(store_check_copy(&shard, file, &applied, &err), ERR_MISMATCH);
    assert_non_null(strstr(err.msg, "shard 3"));
    assert_int_equal(store_install(&cluster, file, &err), ERR_MISMATCH);
    assert_int_equal(store_install(&shard, file, &err), ERR_MISMATCH);
    assert_int_equal(install(old, tempdir_path(dir, "none"), &err), ERR_CORRUPT);
    assert_state(old, 1);
    assert_int_equal(check(file, &applied, &err), ERR_OK); /* and the copy is still there */
    free(old);
    free(new);
    free(file);
    tempdir_remove(dir);
}

static void test_cut_copy_is_refused_wherever_it_is_cut(void **state)
{
    (void)state;
    char *dir = tempdir_make(), *old = make_state(dir, "old", 1), *new = make_state(dir, "new", 2),
         *file = path_in(dir, "copy"), *cut = path_in(dir, "cut");
    make_copy(new, file);
    size_t len;
    uint8_t *p = slurp(file, &len);
    for (size_t at = 0; at < len; at += at < 2 * PAGE ? 509 : PAGE) {
        uint64_t applied;
        spill(cut, p, at);
        assert_int_equal(check(cut, &applied, NULL), ERR_CORRUPT);
        assert_int_equal(install(old, cut, NULL), ERR_CORRUPT);
    }
    p = realloc(p, len + PAGE);
    memset(p + len, 0, PAGE);
    spill(cut, p, len + PAGE); /* too long is no copy either */
    assert_int_equal(install(old, cut, NULL), ERR_CORRUPT);
    assert_state(old, 1);
    free(p);
    free(old);
    free(new);
    free(file);
    free(cut);
    tempdir_remove(dir);
}

static void test_flipped_bit_in_a_meta_page_never_misleads(void **state)
{
    (void)state;
    char *dir = tempdir_make(), *new = make_state(dir, "new", 2), *file = path_in(dir, "copy");
    make_copy(new, file);
    size_t len;
    uint8_t *p = slurp(file, &len);
    int refused = 0;
    for (size_t bit = 0; bit < 2 * META_BYTES * 8; bit++) {
        size_t at = bit / 8 < META_BYTES ? bit / 8 : PAGE + bit / 8 - META_BYTES;
        uint64_t applied = 20;
        p[at] ^= (uint8_t)(1U << bit % 8);
        spill(file, p, len);
        enum error_code code = check(file, &applied, NULL);
        assert_true(code == ERR_OK || code == ERR_CORRUPT);
        assert_int_equal(applied, 20);
        refused += code != ERR_OK;
        p[at] ^= (uint8_t)(1U << bit % 8);
    }
    assert_true(refused > META_BYTES * 4);
    free(p);
    free(new);
    free(file);
    tempdir_remove(dir);
}

static void test_damaged_value_is_found_before_it_replaces_anything(void **state)
{
    (void)state;
    char *dir = tempdir_make(), *from = path_in(dir, "from"), *file = path_in(dir, "copy");
    struct store *s = open_at(from);
    put_round(s, 7);
    store_put(s, b("phone:secret"), b("DAMAGED-VALUE"));
    checkpoint(s, 1);
    (void)copy_to(s, file);
    store_close(s);
    size_t len;
    uint8_t *p = slurp(file, &len), *at = p;
    while (at + 13 <= p + len && memcmp(at, "DAMAGED-VALUE", 13) != 0)
        at++;
    assert_true(at + 13 <= p + len);
    at[5] ^= 1;
    spill(file, p, len);
    uint64_t applied;
    struct error err = {0};
    assert_int_equal(check(file, &applied, &err), ERR_CORRUPT);
    assert_null(strstr(err.msg, "secret"));
    free(p);
    free(from);
    free(file);
    tempdir_remove(dir);
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = bytes == RLIM_INFINITY ? r.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void test_full_disk_leaves_no_copy(void **state)
{
    (void)state;
    char *dir = tempdir_make(), *from = make_state(dir, "from", 1), *file = path_in(dir, "copy");
    struct store *s = open_at(from);
    (void)signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 0; limit < 200000; limit += 50001) {
        uint64_t applied;
        struct error err = {0};
        limit_file_size(limit);
        enum error_code code = store_copy_to(s, file, &applied, &err);
        limit_file_size(RLIM_INFINITY);
        assert_int_equal(code, ERR_DISK_FULL);
        assert_non_null(strstr(err.msg, "copy"));
        assert_int_equal(access(file, F_OK), -1);
    }
    assert_int_equal(copy_to(s, file), 10);
    store_close(s);
    free(from);
    free(file);
    tempdir_remove(dir);
}

static void test_install_refuses_a_folder_in_use(void **state)
{
    (void)state;
    char *dir = tempdir_make(), *old = make_state(dir, "old", 1), *new = make_state(dir, "new", 2),
         *file = path_in(dir, "copy");
    make_copy(new, file);
    int ready[2], done[2];
    assert_int_equal(pipe(ready) + pipe(done), 0);
    pid_t child = fork();
    if (child == 0) {
        struct store_options o = options(old);
        struct store *s;
        char c = store_open(&o, &s, NULL) == ERR_OK;
        _exit(write(ready[1], &c, 1) == 1 && read(done[0], &c, 1) == 1 ? 0 : 1);
    }
    char c = 0;
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(c, 1);
    assert_int_equal(install(old, file, NULL), ERR_BUSY);
    assert_int_equal(write(done[1], &c, 1), 1);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_state(old, 1);
    assert_int_equal(install(old, file, NULL), ERR_OK);
    assert_state(old, 2);
    for (int i = 0; i < 2; i++) {
        (void)close(ready[i]);
        (void)close(done[i]);
    }
    free(old);
    free(new);
    free(file);
    tempdir_remove(dir);
}

/* Two states take turns in one place until the process is killed. */
static void test_kill_leaves_one_state_or_the_other(void **state)
{
    (void)state;
    char *dir = tempdir_make(), *at = make_state(dir, "at", 1), *one = make_state(dir, "one", 1),
         *two = make_state(dir, "two", 2), *file = path_in(dir, "copy");
    for (long after = 0; after < 30; after++) {
        pid_t child = fork();
        if (child == 0) {
            for (unsigned i = 0;; i++) {
                struct store_options o = options(i % 2 ? one : two);
                struct store *s;
                uint64_t applied;
                (void)unlink(file);
                if (store_open(&o, &s, NULL) != ERR_OK ||
                    store_copy_to(s, file, &applied, NULL) != ERR_OK)
                    _exit(1);
                store_close(s);
                if (install(at, file, NULL) != ERR_OK)
                    _exit(1);
            }
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = after * 700000}, NULL);
        assert_int_equal(kill(child, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        struct store *s = open_at(at);
        uint64_t round = round_of(s);
        assert_true(round == 1 || round == 2);
        assert_int_equal(store_durable_index(s), 10 * round);
        store_close(s);
    }
    free(at);
    free(one);
    free(two);
    free(file);
    tempdir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_holds_what_the_file_holds),
        cmocka_unit_test(test_copy_of_a_fresh_state_is_whole),
        cmocka_unit_test(test_store_without_a_file_has_no_copy),
        cmocka_unit_test(test_copies_beside_checkpoints_are_each_of_one_moment),
        cmocka_unit_test(test_install_replaces_the_state_and_nothing_else),
        cmocka_unit_test(test_what_belongs_elsewhere_is_refused),
        cmocka_unit_test(test_cut_copy_is_refused_wherever_it_is_cut),
        cmocka_unit_test(test_flipped_bit_in_a_meta_page_never_misleads),
        cmocka_unit_test(test_damaged_value_is_found_before_it_replaces_anything),
        cmocka_unit_test(test_full_disk_leaves_no_copy),
        cmocka_unit_test(test_install_refuses_a_folder_in_use),
        cmocka_unit_test(test_kill_leaves_one_state_or_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
