/* What a node has of a shard that it gives up goes bit by bit, beside other shards' writes; and
 * what a crash or a stop in the middle leaves, at the next start. */
#include "placing.h"
#include "record.h"
#include "wal_rig.h"

#include <tempdir.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NODE = 2, SHARD = 1, OTHER = 0, ENTRIES = 10000, SINCE = 7, INSTALLED = 4 };

struct world {
    char *dir;
    char log[600], folder[600]; /* of the shard's state */
    struct host_shared shared;
    struct shard shards[2];
    struct log_thread thread;
    struct wal *wal;
    struct outbox *to_log;
};

static void ok(enum error_code rc, const struct error *err)
{
    if (rc != ERR_OK)
        fail_msg("%s", err->msg);
}

static void start_again(struct world *w)
{
    w->wal = reopen(w->wal, w->log);
    w->thread.wal = w->wal;
}

/* The map has the shard on this node since that epoch; 0: not at all. */
static void put_map(struct world *w, uint32_t since)
{
    static struct cluster_map map;
    map = (struct cluster_map){.epoch = 20, .n_shards = 2};
    map.shards[OTHER] = map.shards[SHARD] =
        (struct map_shard){.n_replicas = 1, .n_holders = 1, .holders = {{.node = NODE + 1U}}};
    if (since)
        map.shards[SHARD].holders[0] = (struct map_replica){.since = since, .node = NODE};
    assert_true(maps_put(&w->shared, &map));
}

static void put_remains(struct world *w)
{
    struct error err = {0};
    char file[700];
    struct wal_snapshot snapshot = {.index = 1000, .term = 1, .conf_index = 1, .conf = b("conf")};
    begin(w->wal);
    assert_int_equal(wal_put_vote(w->wal, SHARD, 3, 9, NULL), ERR_OK);
    for (uint64_t i = 1; i <= ENTRIES; i++) {
        struct wal_entry e = entry(1, "entry");
        ok(wal_append(w->wal, SHARD, i, &e, 1, &err), &err);
    }
    ok(wal_trim(w->wal, SHARD, 10, &snapshot, &err), &err);
    ok(record_put(w->wal, RECORD_SINCE, SHARD, SINCE, &err), &err);
    ok(record_put(w->wal, RECORD_INSTALLED, SHARD, INSTALLED, &err), &err);
    append(w->wal, OTHER, 1, 1, "abc");
    commit(w->wal);
    assert_int_equal(mkdir(w->folder, 0700), 0);
    (void)snprintf(file, sizeof file, "%s/data.mdb", w->folder);
    int fd = open(file, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->dir = tempdir_make();
    (void)snprintf(w->log, sizeof w->log, "%s/log", w->dir);
    (void)snprintf(w->folder, sizeof w->folder, "%s/shard-%d", w->dir, SHARD);
    (void)snprintf(w->shared.folder, sizeof w->shared.folder, "%s", w->dir);
    w->shared.node = NODE;
    w->shared.shards = w->shards;
    w->shared.n_shards = 2;
    assert_true(maps_open(&w->shared));
    w->wal = open_at(w->log);
    w->thread = (struct log_thread){.shared = &w->shared, .wal = w->wal};
    for (shard_id i = 0; i < 2; i++) {
        w->shards[i].shared = &w->shared;
        w->shards[i].id = i;
    }
    (void)snprintf(w->shards[SHARD].folder, sizeof w->shards[SHARD].folder, "%s", w->folder);
    put_remains(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    wal_close(w->wal);
    maps_close(&w->shared);
    tempdir_remove(w->dir);
    free(w);
    return 0;
}

static uint64_t record_of(struct world *w, enum record which)
{
    struct error err = {0};
    uint64_t value = 0;
    ok(record_get(w->wal, which, SHARD, &value, &err), &err);
    return value;
}

static uint64_t entries_left(struct world *w)
{
    struct wal_shard s;
    assert_int_equal(wal_load(w->wal, SHARD, &s, NULL), ERR_OK);
    return s.last_index + 1 - s.first_index;
}

static bool has_folder(const struct world *w)
{
    return access(w->folder, F_OK) == 0;
}

static void assert_gone(struct world *w)
{
    assert_log(w->wal, SHARD, 1, "");
    assert_vote(w->wal, SHARD, 0, 0);
    assert_int_equal(record_of(w, RECORD_INSTALLED), 0);
    assert_false(has_folder(w));
    assert_log(w->wal, OTHER, 1, "abc");
}

/* The first part of it, and then the process ends. */
static void forget_a_part(struct world *w)
{
    struct error err = {0};
    bool done = true;
    uint64_t before = entries_left(w);
    begin(w->wal);
    ok(remains_forget(w->wal, SHARD, &done, &err), &err);
    commit(w->wal);
    assert_false(done);
    start_again(w);
    assert_true(entries_left(w) > 0);
    assert_true(entries_left(w) < before);
}

static void test_records_keep_their_place_and_size_in_the_log(void **state)
{
    struct world *w = *state;
    struct error err = {0};
    struct buf since = {0}, installed = {0};
    static const uint8_t SINCE_BYTES[] = {SINCE, 0, 0, 0};
    static const uint8_t INSTALLED_BYTES[] = {INSTALLED, 0, 0, 0, 0, 0, 0, 0};
    ok(wal_get_meta(w->wal, "since-1", &since, &err), &err);
    ok(wal_get_meta(w->wal, "installed-1", &installed, &err), &err);
    assert_true(bytes_equal(buf_bytes(&since), bytes_of(SINCE_BYTES, sizeof SINCE_BYTES)));
    assert_true(
        bytes_equal(buf_bytes(&installed), bytes_of(INSTALLED_BYTES, sizeof INSTALLED_BYTES)));
    buf_free(&since);
    buf_free(&installed);
    begin(w->wal);
    ok(wal_put_meta(w->wal, "since-1", b("abc"), &err), &err);
    commit(w->wal);
    uint64_t value;
    assert_int_equal(record_get(w->wal, RECORD_SINCE, SHARD, &value, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.msg, "since-1"));
}

static void test_a_crash_while_a_shard_is_forgotten_is_made_up_for_at_the_start(void **state)
{
    struct world *w = *state;
    struct error err = {0};
    put_map(w, 0);
    forget_a_part(w);
    assert_int_equal(record_of(w, RECORD_SINCE), SINCE);
    assert_int_equal(record_of(w, RECORD_INSTALLED), INSTALLED);
    assert_vote(w->wal, SHARD, 3, 9);
    ok(remains_clean(&w->shared, w->wal, &err), &err);
    assert_gone(w);
    assert_int_equal(record_of(w, RECORD_SINCE), 0);
    start_again(w);
    assert_gone(w);
}

/* It was given up, and has come back under another epoch before the node starts. */
static void test_a_shard_that_comes_back_half_forgotten_begins_anew(void **state)
{
    struct world *w = *state;
    struct error err = {0};
    put_map(w, SINCE + 2);
    forget_a_part(w);
    ok(remains_clean(&w->shared, w->wal, &err), &err);
    assert_true(has_folder(w)); /* the map has it here */
    w->shards[SHARD].since = SINCE + 2;
    ok(remains_renew(&w->shards[SHARD], w->wal, &err), &err);
    assert_gone(w);
    assert_int_equal(record_of(w, RECORD_SINCE), SINCE + 2);
    begin(w->wal);
    append(w->wal, SHARD, 1, 1, "new");
    commit(w->wal);
    ok(remains_renew(&w->shards[SHARD], w->wal, &err), &err); /* the same: it stays */
    assert_log(w->wal, SHARD, 1, "new");
}

/* --- beside the writes of others --- */

/* The shards' answers come into one inbox, so that their order shows. */
static void open_boxes(struct world *w)
{
    struct error err = {0};
    ok(net_open(1, &w->shared.net, &err), &err);
    ok(inbox_open(w->shared.net, "log", &w->thread.inbox, &err), &err);
    ok(inbox_open(w->shared.net, "shards", &w->shards[SHARD].inbox, &err), &err);
    ok(outbox_open(w->shared.net, "log", &w->to_log, &err), &err);
    for (shard_id i = 0; i < 2; i++)
        ok(outbox_open(w->shared.net, "shards", &w->shards[i].to_shard, &err), &err);
}

static void close_boxes(struct world *w)
{
    assert_null(inbox_take(w->shards[SHARD].inbox));
    for (shard_id i = 0; i < 2; i++)
        outbox_close(w->shards[i].to_shard);
    outbox_close(w->to_log);
    inbox_close(w->shards[SHARD].inbox);
    inbox_close(w->thread.inbox);
    net_close(w->shared.net);
}

static void tell_log(struct world *w, enum message_kind kind, shard_id shard)
{
    struct message *m = message_new(kind);
    m->shard = &w->shards[shard];
    message_send(w->to_log, m);
}

static void assert_told(struct world *w, enum message_kind kind, shard_id shard)
{
    struct waitable wait = {.inbox = w->shards[SHARD].inbox};
    struct message *m;
    while (!(m = inbox_take(w->shards[SHARD].inbox)))
        (void)endpoint_wait(&wait, 1, -1);
    assert_int_equal(m->kind, kind);
    assert_ptr_equal(m->shard, &w->shards[shard]);
    message_free(m);
}

static void test_writes_of_others_do_not_wait_until_a_shard_is_forgotten(void **state)
{
    struct world *w = *state;
    open_boxes(w);
    tell_log(w, MESSAGE_LOG_FORGET, SHARD);
    tell_log(w, MESSAGE_LOG_WRITE, OTHER);
    tell_log(w, MESSAGE_LOG_FORGET, OTHER);
    assert_int_equal(pthread_create(&w->thread.thread, NULL, log_thread_main, &w->thread), 0);
    assert_told(w, MESSAGE_LOG_DONE, OTHER);
    assert_told(w, MESSAGE_LOG_FORGOTTEN, SHARD);
    assert_told(w, MESSAGE_LOG_FORGOTTEN, OTHER);
    tell_log(w, MESSAGE_STOP, OTHER);
    assert_int_equal(pthread_join(w->thread.thread, NULL), 0);
    close_boxes(w);
    start_again(w);
    assert_log(w->wal, SHARD, 1, "");
    assert_log(w->wal, OTHER, 1, "");
    assert_int_equal(record_of(w, RECORD_SINCE), 0);
}

static void test_a_node_that_stops_leaves_the_rest_to_its_next_start(void **state)
{
    struct world *w = *state;
    struct error err = {0};
    put_map(w, 0);
    open_boxes(w);
    tell_log(w, MESSAGE_LOG_FORGET, SHARD);
    tell_log(w, MESSAGE_STOP, OTHER);
    (void)log_thread_main(&w->thread); /* ends by itself */
    close_boxes(w);
    start_again(w);
    assert_true(entries_left(w) > 0);
    assert_int_equal(record_of(w, RECORD_SINCE), SINCE);
    ok(remains_clean(&w->shared, w->wal, &err), &err);
    assert_gone(w);
}

/* --- before it --- */

static bool has_told_log(struct world *w)
{
    struct message *m = inbox_take(w->thread.inbox);
    bool is_told = m && m->kind == MESSAGE_LOG_FORGET && m->shard == &w->shards[SHARD];
    assert_true(is_told || !m);
    message_free(m);
    return is_told;
}

static void test_a_checkpoint_under_way_is_waited_for(void **state)
{
    struct world *w = *state;
    struct shard *s = &w->shards[SHARD];
    const struct message done = {.kind = MESSAGE_CHECKPOINT_DONE, .code = ERR_DISK_FULL};
    open_boxes(w);
    s->to_log = w->to_log;
    s->checkpointing = true;
    drop_begin(s);
    drop_tick(s);
    assert_false(has_told_log(w));
    drop_take(s, &done);
    drop_tick(s);
    assert_true(has_told_log(w));
    close_boxes(w);
}

/* Giving shards up is what frees the disk. */
static void test_a_checkpoint_that_failed_is_not_waited_for(void **state)
{
    struct world *w = *state;
    struct shard *s = &w->shards[SHARD];
    open_boxes(w);
    s->to_log = w->to_log;
    s->checkpointing = true;
    s->retry_checkpoint = 1; /* the disk was full */
    drop_begin(s);
    drop_tick(s);
    assert_true(has_told_log(w));
    close_boxes(w);
}

int main(void)
{
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_records_keep_their_place_and_size_in_the_log),
        IN_WORLD(test_a_crash_while_a_shard_is_forgotten_is_made_up_for_at_the_start),
        IN_WORLD(test_a_shard_that_comes_back_half_forgotten_begins_anew),
        IN_WORLD(test_writes_of_others_do_not_wait_until_a_shard_is_forgotten),
        IN_WORLD(test_a_node_that_stops_leaves_the_rest_to_its_next_start),
        IN_WORLD(test_a_checkpoint_under_way_is_waited_for),
        IN_WORLD(test_a_checkpoint_that_failed_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
