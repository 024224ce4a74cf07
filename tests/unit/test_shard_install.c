/* A process that is killed at each step of putting another state in place: what it leaves starts
 * again, as the old state with the old log or as the new one with the new log. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "parts.h"

#include <retail_yaml.h>
#include <tempdir.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SHARD = 2, OLD_INDEX = 20, SNAPSHOT_INDEX = 180, NEW_INDEX = 200, TERM = 3 };

struct world {
    char *dir;
    char copy[700]; /* of another replica's state */
    struct cluster_config *config;
    struct host_shared shared;
    struct shard shard;
    struct wal *wal;
};

static void ok(enum error_code rc, const struct error *err)
{
    if (rc != ERR_OK)
        fail_msg("%s", err->msg);
}

static void put_marker(struct store *s, const char *what, uint64_t applied)
{
    struct error err = {0};
    store_put(s, bytes_of_str("zz-which"), bytes_of_str(what));
    store_freeze(s, applied);
    ok(store_write_frozen(s, &err), &err);
    store_release_frozen(s);
}

static struct store_options options(const struct world *w, const char *folder)
{
    return (struct store_options){.path = folder,
                                  .map_bytes = (uint64_t)w->config->map_gb << 30,
                                  .cluster_id = w->shared.slots.cluster_id,
                                  .shard = SHARD};
}

static void open_wal(struct world *w)
{
    struct error err = {0};
    char path[700];
    (void)snprintf(path, sizeof path, "%s/log", w->dir);
    struct wal_options o = {.path = path,
                            .map_bytes = UINT64_C(1) << 30,
                            .cluster_id = w->shared.slots.cluster_id,
                            .node = 1};
    ok(wal_open(&o, &w->wal, &err), &err);
}

static uint64_t voter(uint64_t node)
{
    return replica_id_of(7, (node_id)node, 0);
}

/* The configuration of a group of three, to be freed. */
static struct buf configuration(void)
{
    struct buf conf = {0};
    uint64_t voters[] = {voter(1), voter(2), voter(3)};
    assert_int_equal(replica_bootstrap(voters, 3, &conf), ERR_OK);
    return conf;
}

static void write_old_log(struct world *w)
{
    struct error err = {0};
    struct buf conf = configuration();
    open_wal(w);
    ok(wal_begin(w->wal, &err), &err);
    ok(wal_put_vote(w->wal, SHARD, TERM, voter(2), &err), &err);
    for (uint64_t i = 1; i <= OLD_INDEX; i++) {
        struct wal_entry e = {.term = 1,
                              .type = i == 1 ? REPLICA_CHANGE : REPLICA_BARRIER,
                              .data = i == 1 ? buf_bytes(&conf) : bytes_of_str("")};
        ok(wal_append(w->wal, SHARD, i, &e, 1, &err), &err);
    }
    ok(wal_commit(w->wal, &err), &err);
    wal_close(w->wal);
    buf_free(&conf);
}

/* The shard is on nodes 1 to 3, on the first one since that epoch. */
static void put_map(struct world *w, uint32_t since)
{
    static struct cluster_map map;
    map = w->shared.slots;
    map.epoch = since + 1;
    map.shards[SHARD].n_replicas = map.shards[SHARD].n_holders = 3;
    for (node_id i = 0; i < 3; i++)
        map.shards[SHARD].holders[i] = (struct map_replica){.node = i + 1U, .since = i ? 0 : since};
    if (!w->shared.map.now)
        assert_true(maps_open(&w->shared));
    assert_true(maps_put(&w->shared, &map));
}

static void make(struct world *w)
{
    struct error err = {0};
    struct store *s;
    *w = (struct world){.dir = tempdir_make()};
    ok(cluster_config_parse("cluster.yml", bytes_of_str(RETAIL_YAML), &w->config, &err), &err);
    w->config->map_gb = 1;
    w->shared.config = w->config;
    w->shared.node = 1;
    cluster_map_init(&w->shared.slots, w->config);
    w->shared.n_shards = w->shared.slots.n_shards;
    put_map(w, 0);
    members_init(&w->shared.members, &w->shared.slots, 1, 7);
    (void)snprintf(w->shared.folder, sizeof w->shared.folder, "%s", w->dir);

    char folder[700];
    uint64_t applied;
    (void)snprintf(folder, sizeof folder, "%s/other", w->dir);
    (void)snprintf(w->copy, sizeof w->copy, "%s/the-copy", w->dir);
    struct store_options o = options(w, folder);
    ok(store_open(&o, &s, &err), &err);
    put_marker(s, "new", NEW_INDEX);
    ok(store_copy_to(s, w->copy, &applied, &err), &err);
    store_close(s);

    (void)snprintf(folder, sizeof folder, "%s/shard-%u", w->dir, SHARD);
    o = options(w, folder);
    ok(store_open(&o, &s, &err), &err);
    put_marker(s, "old", OLD_INDEX);
    store_close(s);
    write_old_log(w);
}

static void unmake(struct world *w)
{
    maps_close(&w->shared);
    cluster_config_close(w->config);
    tempdir_remove(w->dir);
}

static void shard_path(const struct world *w, const char *name, char *path)
{
    (void)snprintf(path, 700, "%s/shard-%u/%s", w->dir, SHARD, name);
}

/* --- the steps, in a process of their own --- */

static void copy_file(const char *from, const char *to, size_t most)
{
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    int c;
    assert_true(in && out);
    for (size_t n = 0; n < most && (c = getc(in)) != EOF; n++)
        (void)putc(c, out);
    (void)fclose(in);
    (void)fclose(out);
}

static void die(void)
{
    (void)kill(getpid(), SIGKILL);
}

enum step {
    STEP_HALF_RECEIVED,
    STEP_RECEIVED,
    STEP_CHECKED,       /* install.mdb is there */
    STEP_LOG_UNDER_WAY, /* not committed */
    STEP_LOGGED,
    STEP_IN_PLACE,
    STEP_GOING_ON, /* and a checkpoint came */
    STEPS
};

static void run_until(struct world *w, enum step last)
{
    char incoming[700], install[700], folder[700];
    struct error err = {0};
    struct buf conf = configuration();
    struct replica_write write = {
        .snapshot = {
            .index = SNAPSHOT_INDEX, .term = 2, .conf_index = 1, .conf = buf_bytes(&conf)}};
    shard_path(w, "incoming.mdb", incoming);
    shard_path(w, "install.mdb", install);
    shard_path(w, "", folder);
    copy_file(w->copy, incoming, 10000);
    if (last == STEP_HALF_RECEIVED)
        die();
    copy_file(w->copy, incoming, SIZE_MAX);
    if (last == STEP_RECEIVED)
        die();
    if (rename(incoming, install) != 0)
        _exit(1);
    if (last == STEP_CHECKED)
        die();
    open_wal(w);
    if (wal_begin(w->wal, &err) != ERR_OK ||
        install_put_log(w->wal, SHARD, &write, NEW_INDEX, &err) != ERR_OK)
        _exit(1);
    if (last == STEP_LOG_UNDER_WAY)
        die();
    if (wal_commit(w->wal, &err) != ERR_OK)
        _exit(1);
    if (last == STEP_LOGGED)
        die();
    struct store_options o = options(w, folder);
    if (store_install(&o, install, &err) != ERR_OK)
        _exit(1);
    if (last == STEP_IN_PLACE)
        die();
    struct store *s;
    if (store_open(&o, &s, &err) != ERR_OK)
        _exit(1);
    put_marker(s, "new", NEW_INDEX);
    die();
}

static void run_and_die(struct world *w, enum step last)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        run_until(w, last);
        _exit(2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

/* --- what is left --- */

static enum error_code open_shard(struct world *w, struct error *err)
{
    open_wal(w);
    w->shard = (struct shard){.shared = &w->shared, .id = SHARD};
    assert_int_equal(pthread_rwlock_init(&w->shard.in_place, NULL), 0);
    return shard_open(&w->shard, w->wal, err);
}

static void close_shard(struct world *w)
{
    shard_close_replica(&w->shard);
    (void)pthread_rwlock_destroy(&w->shard.in_place);
    wal_close(w->wal);
}

static void check_opens(struct world *w, bool is_new)
{
    char path[700];
    struct error err = {0};
    struct wal_shard ws;
    struct bytes which;
    struct replica_effects effects;
    struct replica_status st;
    ok(open_shard(w, &err), &err);
    assert_int_equal(store_durable_index(w->shard.store), is_new ? NEW_INDEX : OLD_INDEX);
    assert_true(store_get(w->shard.store, bytes_of_str("zz-which"), &which));
    assert_true(bytes_equal(which, bytes_of_str(is_new ? "new" : "old")));
    ok(wal_load(w->wal, SHARD, &ws, &err), &err);
    assert_int_equal(ws.term, TERM); /* what was promised stays promised */
    assert_int_equal(ws.vote, voter(2));
    assert_int_equal(ws.snapshot.index, is_new ? SNAPSHOT_INDEX : 0);
    assert_int_equal(ws.last_index, is_new ? SNAPSHOT_INDEX : OLD_INDEX);
    assert_int_equal(replica_start(w->shard.replica, 1, &effects), ERR_OK);
    replica_get_status(w->shard.replica, &st);
    assert_int_equal(st.n_voters, 3);
    close_shard(w);
    shard_path(w, "incoming.mdb", path);
    assert_int_equal(access(path, F_OK), -1);
    shard_path(w, "install.mdb", path);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_killed_at_each_step_it_starts_again(void **state)
{
    (void)state;
    for (enum step last = 0; last < STEPS; last++) {
        struct world w;
        make(&w);
        run_and_die(&w, last);
        for (int again = 0; again < 2; again++)
            check_opens(&w, last >= STEP_LOGGED);
        unmake(&w);
    }
}

/* The next attempt after a crash in the midst of the first. */
static void test_killed_twice_it_starts_again(void **state)
{
    (void)state;
    for (enum step last = 0; last <= STEP_LOG_UNDER_WAY; last++) {
        struct world w;
        make(&w);
        run_and_die(&w, last);
        check_opens(&w, false);
        run_and_die(&w, STEP_LOGGED);
        check_opens(&w, true);
        unmake(&w);
    }
}

static void test_a_state_ahead_of_its_log_is_still_refused(void **state)
{
    (void)state;
    struct world w;
    struct error err = {0};
    char folder[700];
    struct store *s;
    make(&w);
    run_and_die(&w, STEP_IN_PLACE);
    shard_path(&w, "", folder);
    struct store_options o = options(&w, folder);
    ok(store_open(&o, &s, &err), &err);
    put_marker(s, "new", NEW_INDEX + 1); /* of entries that the log does not have */
    store_close(s);
    assert_int_equal(open_shard(&w, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.msg, "the log was replaced or lost"));
    close_shard(&w);
    unmake(&w);
}

static void test_a_damaged_state_is_not_put_in_place(void **state)
{
    (void)state;
    struct world w;
    struct error err = {0};
    char path[700];
    make(&w);
    run_and_die(&w, STEP_LOGGED);
    shard_path(&w, "install.mdb", path);
    assert_int_equal(truncate(path, 9000), 0);
    assert_int_equal(open_shard(&w, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.msg, "install.mdb"));
    close_shard(&w);
    copy_file(w.copy, path, SIZE_MAX); /* somebody brings a sound one */
    check_opens(&w, true);
    unmake(&w);
}

static void test_a_lost_state_is_refused_with_the_reason(void **state)
{
    (void)state;
    struct world w;
    struct error err = {0};
    char path[700];
    make(&w);
    run_and_die(&w, STEP_LOGGED);
    shard_path(&w, "install.mdb", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_shard(&w, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.msg, "the log begins after 180"));
    close_shard(&w);
    unmake(&w);
}

/* The node gave the shard up and got it back while it was down: it begins empty, under a new name.
 */
static void test_a_shard_that_comes_back_begins_anew(void **state)
{
    (void)state;
    struct world w;
    struct error err = {0};
    struct wal_shard ws;
    make(&w);
    ok(open_shard(&w, &err), &err);
    uint64_t was = w.shard.replica_id;
    close_shard(&w);
    put_map(&w, 5);
    for (int again = 0; again < 2; again++) {
        ok(open_shard(&w, &err), &err);
        assert_int_not_equal(w.shard.replica_id, was);
        assert_int_equal(store_durable_index(w.shard.store), again ? 3 : 0);
        ok(wal_load(w.wal, SHARD, &ws, &err), &err);
        assert_int_equal(ws.term, again ? 9 : 0);
        if (!again) { /* what it does from now on stays */
            put_marker(w.shard.store, "anew", 3);
            ok(wal_begin(w.wal, &err), &err);
            ok(wal_put_vote(w.wal, SHARD, 9, voter(2), &err), &err);
            struct wal_snapshot snapshot = {.index = 3, .term = 8, .conf_index = 1};
            struct buf conf = configuration();
            snapshot.conf = buf_bytes(&conf);
            ok(wal_trim(w.wal, SHARD, 3, &snapshot, &err), &err);
            ok(wal_commit(w.wal, &err), &err);
            buf_free(&conf);
        }
        shard_close_replica(&w.shard);
        (void)pthread_rwlock_destroy(&w.shard.in_place);
        wal_close(w.wal);
    }
    unmake(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_at_each_step_it_starts_again),
        cmocka_unit_test(test_killed_twice_it_starts_again),
        cmocka_unit_test(test_a_state_ahead_of_its_log_is_still_refused),
        cmocka_unit_test(test_a_damaged_state_is_not_put_in_place),
        cmocka_unit_test(test_a_lost_state_is_refused_with_the_reason),
        cmocka_unit_test(test_a_shard_that_comes_back_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
