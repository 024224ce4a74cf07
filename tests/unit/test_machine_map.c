/* The cluster map in the state of shard 0. */
#include "machine_rig.h"

#include <cluster/placement.h>

#include <tempdir.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct reply change_at(struct world *w, unsigned shard, const struct placement_change *c)
{
    struct buf content = {0};
    placement_change_encode(c, &content);
    struct command command = {.type = COMMAND_MAP, .content = buf_bytes(&content)};
    struct reply r = world_run_at(w, shard, &command);
    buf_free(&content);
    return r;
}

static struct reply change(struct world *w, const struct placement_change *c)
{
    return change_at(w, 0, c);
}

static struct bytes encoded(struct world *w, const struct cluster_map *map)
{
    struct buf b = {0};
    cluster_map_encode(map, &b);
    struct bytes copy = arena_copy(&w->arena, buf_bytes(&b));
    assert_non_null(copy.data);
    buf_free(&b);
    return copy;
}

static struct reply seed(struct world *w, const struct cluster_map *map)
{
    return change(w, &(struct placement_change){.op = PLACEMENT_SEED, .map = encoded(w, map)});
}

static struct reply begin(struct world *w, enum map_task_kind kind, node_id node,
                          const char *listen)
{
    return change(w, &(struct placement_change){
                         .op = PLACEMENT_BEGIN,
                         .request = {.kind = kind, .node = node, .listen = bytes_of_str(listen)}});
}

static struct reply read_map(struct world *w)
{
    return change(w, &(struct placement_change){.op = PLACEMENT_READ});
}

static void expect_error(struct reply r, enum error_code code, const char *text)
{
    char got[256] = "";
    assert_int_equal(r.status, REPLY_ERROR);
    assert_int_equal(r.error, code);
    assert_true(r.text.len < sizeof got);
    memcpy(got, r.text.data, r.text.len);
    if (!strstr(got, text))
        fail_msg("\"%s\" is not in: %s", text, got);
}

/* Done, for that task, and what came back is the map that the machine has. */
static const struct cluster_map *expect_map(struct world *w, struct reply r, uint32_t task)
{
    const struct cluster_map *map = machine_map(w->machines[0]);
    if (r.status != REPLY_OK)
        fail_msg("%.*s", (int)r.text.len, (const char *)r.text.data);
    assert_int_equal(r.version, task);
    assert_non_null(map);
    assert_true(bytes_equal(r.content, encoded(w, map)));
    return map;
}

static struct bytes row_of(struct store *s)
{
    struct bytes value;
    return store_get(s, bytes_of_str("M"), &value) ? value : bytes_of(NULL, 0);
}

static void test_map_is_seeded_once(void **state)
{
    struct world *w = *state;
    assert_null(machine_map(w->machines[0]));
    expect_error(read_map(w), ERR_BUSY, "no map yet");
    expect_error(begin(w, MAP_TASK_DRAIN, 1, ""), ERR_BUSY, "no map yet");
    const struct cluster_map *map = expect_map(w, seed(w, w->map), 0);
    assert_true(bytes_equal(encoded(w, map), encoded(w, w->map)));
    assert_true(bytes_equal(row_of(w->stores[0]), encoded(w, w->map)));
    struct cluster_map later = *w->map;
    later.epoch = 9;
    map = expect_map(w, seed(w, &later), 0);
    assert_int_equal(map->epoch, 1);
    expect_map(w, read_map(w), 0);
    world_check(w);
    world_replay(w);
}

static void test_map_of_another_cluster_is_not_taken(void **state)
{
    struct world *w = *state;
    struct cluster_map other = *w->map;
    other.cluster_id++;
    expect_error(seed(w, &other), ERR_MISMATCH, "of another cluster");
    assert_null(machine_map(w->machines[0]));
    other = *w->map;
    other.n_shards++;
    other.shards[other.n_shards - 1] = other.shards[0];
    expect_error(seed(w, &other), ERR_MISMATCH, "of another cluster");
    other = *w->map;
    other.shard_of_slot[0] = 1;
    expect_error(seed(w, &other), ERR_MISMATCH, "of another cluster");
    expect_error(change(w, &(struct placement_change){.op = PLACEMENT_SEED,
                                                      .map = bytes_of_str("not a map")}),
                 ERR_CORRUPT, "not a cluster map");
    assert_null(machine_map(w->machines[0]));
    assert_null(row_of(w->stores[0]).data);
    expect_map(w, seed(w, w->map), 0);
    world_replay(w);
}

static void test_map_changes_by_tasks(void **state)
{
    struct world *w = *state;
    seed(w, w->map);
    const struct cluster_map *map =
        expect_map(w, begin(w, MAP_TASK_ADD, 77, "tcp://127.0.0.1:7777"), 1);
    assert_int_equal(map->epoch, 2);
    assert_int_equal(cluster_map_task(map, 1)->began_ms, w->now);
    expect_map(w, begin(w, MAP_TASK_ADD, 77, "tcp://127.0.0.1:7777"), 1); /* again */
    assert_int_equal(map->epoch, 2);
    w->now += 5;
    map = expect_map(w, begin(w, MAP_TASK_REMOVE, 77, ""), 2);
    assert_int_equal(map->epoch, 3);
    expect_map(w, change(w, &(struct placement_change){.op = PLACEMENT_READ}), 0);
    world_check(w);
    world_replay(w);
}

static void test_map_is_settled_and_cancelled(void **state)
{
    struct world *w = *state;
    seed(w, w->map);
    const struct cluster_map *map = expect_map(w, begin(w, MAP_TASK_ADD, 77, "tcp://a:1"), 1);
    assert_true(map->shards[0].is_moving);
    struct placement_change c = {.op = PLACEMENT_SETTLE, .shard = 0, .changed = 1};
    expect_map(w, change(w, &c), 0); /* late: nothing changes */
    assert_int_equal(map->epoch, 2);
    expect_map(w, change(w, &(struct placement_change){.op = PLACEMENT_CANCEL, .task = 1}), 1);
    assert_int_equal(map->epoch, 3);
    assert_int_equal(cluster_map_task(map, 1)->state, MAP_TASK_CANCELLING);
    w->now += 7;
    for (c.shard = 0; c.shard < WORLD_SHARDS; c.shard++) {
        c.changed = map->shards[c.shard].changed;
        expect_map(w, change(w, &c), 0);
    }
    assert_int_equal(cluster_map_task(map, 1)->state, MAP_TASK_CANCELLED);
    assert_int_equal(cluster_map_task(map, 1)->ended_ms, w->now);
    world_check(w);
    world_replay(w);
}

static void test_map_has_the_time_of_the_machine(void **state)
{
    struct world *w = *state;
    msec_t latest = w->now;
    seed(w, w->map);
    w->now -= 1000; /* a leader whose clock is behind */
    const struct cluster_map *map = expect_map(w, begin(w, MAP_TASK_ADD, 77, "tcp://a:1"), 1);
    assert_int_equal(cluster_map_task(map, 1)->began_ms, latest);
    world_replay(w);
}

static void test_map_refusals_change_nothing_and_say_why(void **state)
{
    struct world *w = *state;
    seed(w, w->map);
    uint64_t digest = store_digest(w->stores[0]);
    expect_error(begin(w, MAP_TASK_DRAIN, 999, ""), ERR_NOT_FOUND, "no node 999");
    expect_error(begin(w, MAP_TASK_ADD, 999, "nowhere"), ERR_INVALID, "tcp://host:port");
    expect_error(change(w, &(struct placement_change){.op = PLACEMENT_CANCEL, .task = 4}),
                 ERR_NOT_FOUND, "no task 4");
    struct command c = {.type = COMMAND_MAP, .content = bytes_of_str("\1")};
    expect_error(world_run_at(w, 0, &c), ERR_MALFORMED, "not a change");
    assert_int_equal(machine_map(w->machines[0])->epoch, 1);
    assert_true(store_digest(w->stores[0]) == digest);
}

static void test_map_is_at_shard_0_only(void **state)
{
    struct world *w = *state;
    for (unsigned shard = 1; shard < WORLD_SHARDS; shard++) {
        struct placement_change c = {.op = PLACEMENT_SEED, .map = encoded(w, w->map)};
        assert_int_equal(change_at(w, shard, &c).status, REPLY_WRONG_SHARD);
        c.op = PLACEMENT_READ;
        assert_int_equal(change_at(w, shard, &c).status, REPLY_WRONG_SHARD);
        assert_null(machine_map(w->machines[shard]));
        assert_null(row_of(w->stores[shard]).data);
    }
}

static void test_map_is_there_after_a_restart(void **state)
{
    struct world *w = *state;
    seed(w, w->map);
    begin(w, MAP_TASK_ADD, 77, "tcp://127.0.0.1:7777");
    struct bytes before = encoded(w, machine_map(w->machines[0]));
    world_reopen(w);
    assert_non_null(machine_map(w->machines[0]));
    assert_true(bytes_equal(encoded(w, machine_map(w->machines[0])), before));
    expect_map(w, begin(w, MAP_TASK_ADD, 77, "tcp://127.0.0.1:7777"), 1);
    expect_map(w, begin(w, MAP_TASK_DRAIN, 77, ""), 2);
    world_check(w);
    world_replay(w);
}

/* --- as a state that another replica gets --- */

static struct store *open_store(const char *folder)
{
    const struct store_options o = {.path = folder, .map_bytes = 1 << 28, .cluster_id = 1};
    struct store *s;
    struct error err;
    if (store_open(&o, &s, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    return s;
}

static struct machine *open_on(struct world *w, struct store *s, enum error_code code,
                               const char *text)
{
    struct machine_options mo = w->options;
    struct machine *m = NULL;
    struct error err = {0};
    mo.store = s;
    mo.shard = 0;
    mo.emit = NULL;
    assert_int_equal(machine_open(&mo, &m, &err), code);
    if (!strstr(err.msg, text))
        fail_msg("\"%s\" is not in: %s", text, err.msg);
    return m;
}

static bool put_row(void *ctx, struct bytes key, struct bytes value)
{
    store_put(ctx, key, value);
    return true;
}

/* A copy of shard 0's state in a file, in a folder of its own. */
static struct store *copy_state(struct world *w, const char *dir)
{
    char *from = strdup(tempdir_path(dir, "from")), *to = strdup(tempdir_path(dir, "to"));
    char *file = strdup(tempdir_path(dir, "copy"));
    const struct store_options o = {.path = to, .map_bytes = 1 << 28, .cluster_id = 1};
    struct error err;
    uint64_t applied;
    struct store *s = open_store(from);
    store_scan(w->stores[0], bytes_of(NULL, 0), put_row, s);
    store_freeze(s, 5);
    assert_int_equal(store_write_frozen(s, &err), ERR_OK);
    store_release_frozen(s);
    assert_int_equal(store_copy_to(s, file, &applied, &err), ERR_OK);
    store_close(s);
    store_close(open_store(to));
    if (store_install(&o, file, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    s = open_store(to);
    free(from);
    free(to);
    free(file);
    return s;
}

static void test_map_travels_with_a_copy_of_the_state(void **state)
{
    struct world *w = *state;
    seed(w, w->map);
    begin(w, MAP_TASK_ADD, 77, "tcp://127.0.0.1:7777");
    char *dir = tempdir_make();
    struct store *s = copy_state(w, dir);
    struct machine *m = open_on(w, s, ERR_OK, "");
    assert_non_null(machine_map(m));
    assert_true(bytes_equal(encoded(w, machine_map(m)), encoded(w, machine_map(w->machines[0]))));
    machine_close(m);
    store_close(s);
    tempdir_remove(dir);
}

/* --- damage --- */

static struct store *store_with_row(struct bytes row)
{
    struct store *s = open_store(NULL);
    store_put(s, bytes_of_str("M"), row);
    return s;
}

static void test_map_row_that_is_damaged_is_refused(void **state)
{
    struct world *w = *state;
    struct bytes good = encoded(w, w->map);
    uint8_t bad[1024];
    assert_true(good.len <= sizeof bad);
    for (size_t i = 0; i < good.len; i++) {
        memcpy(bad, good.data, good.len);
        bad[i] ^= 0x10;
        struct store *s = store_with_row(bytes_of(bad, good.len));
        bool is_version = i == 4;
        assert_null(
            open_on(w, s, is_version ? ERR_MISMATCH : ERR_CORRUPT, "row of the cluster map: "));
        store_close(s);
        s = store_with_row(bytes_of(good.data, i));
        assert_null(open_on(w, s, ERR_CORRUPT, "row of the cluster map: "));
        store_close(s);
    }
    struct cluster_map other = *w->map;
    other.cluster_id++;
    struct store *s = store_with_row(encoded(w, &other));
    assert_null(open_on(w, s, ERR_MISMATCH, "row of the cluster map: the cluster map is of"));
    store_close(s);
}

static void expect_finding(struct world *w, unsigned shard, const char *text)
{
    struct command c = {.type = COMMAND_CHECK};
    struct reply r = world_run_at(w, shard, &c);
    assert_int_equal(r.n_counts, 1);
    assert_true(bytes_equal(r.counts[0].value, bytes_of_str(text)));
}

static void test_check_finds_a_row_that_is_not_the_map(void **state)
{
    struct world *w = *state;
    struct bytes key = bytes_of_str("M"), row = encoded(w, w->map);
    store_put(w->stores[0], key, row);
    expect_finding(w, 0, "the cluster map is not known");
    store_del(w->stores[0], key);
    seed(w, w->map);
    begin(w, MAP_TASK_ADD, 77, "tcp://127.0.0.1:7777");
    store_put(w->stores[0], key, row);
    expect_finding(w, 0, "the row of the cluster map is another one");
    store_del(w->stores[0], key);
    expect_finding(w, 0, "the row of the cluster map is missing");
    store_put(w->stores[1], key, row);
    expect_finding(w, 1, "a cluster map is here, which belongs to shard 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_map_is_seeded_once, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_map_of_another_cluster_is_not_taken, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(test_map_changes_by_tasks, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_map_is_settled_and_cancelled, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(test_map_has_the_time_of_the_machine, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(test_map_refusals_change_nothing_and_say_why, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(test_map_is_at_shard_0_only, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_map_is_there_after_a_restart, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(test_map_travels_with_a_copy_of_the_state, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(test_map_row_that_is_damaged_is_refused, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(test_check_finds_a_row_that_is_not_the_map, world_setup,
                                        world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
