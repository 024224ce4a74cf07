/* A shard that goes out of the log, at once or in parts. */
#include "wal_rig.h"

#include <tempdir.h>

enum { ALL = 1000 };

/* In a transaction that is open. True: nothing of it is left. */
static bool forget(struct wal *w, uint16_t shard, uint64_t max)
{
    struct error err = {0};
    bool done = true;
    if (wal_forget(w, shard, max, &done, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    return done;
}

static void test_wal_forgets_one_shard_and_keeps_the_others(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    struct wal_snapshot snapshot = {.index = 2, .term = 1, .conf_index = 1, .conf = b("conf")};
    begin(w);
    for (uint16_t shard = 4; shard <= 6; shard++) {
        assert_int_equal(wal_put_vote(w, shard, 3, 9, NULL), ERR_OK);
        append(w, shard, 1, 1, "abcd");
        assert_int_equal(wal_trim(w, shard, 2, &snapshot, NULL), ERR_OK);
    }
    assert_int_equal(wal_put_meta(w, "of-5", b("x"), NULL), ERR_OK);
    commit(w);
    begin(w);
    assert_true(forget(w, 5, ALL));
    assert_true(forget(w, 77, ALL)); /* was never here */
    wal_abort(w);
    assert_log(w, 5, 3, "cd");
    assert_vote(w, 5, 3, 9);
    begin(w);
    assert_true(forget(w, 5, ALL));
    assert_int_equal(wal_del_meta(w, "of-5", NULL), ERR_OK);
    assert_int_equal(wal_del_meta(w, "of-77", NULL), ERR_OK);
    commit(w);
    for (int round = 0; round < 2; round++) {
        struct wal_shard s;
        struct buf out = {0};
        assert_log(w, 5, 1, "");
        assert_vote(w, 5, 0, 0);
        assert_int_equal(wal_load(w, 5, &s, NULL), ERR_OK);
        assert_int_equal(s.snapshot.index, 0);
        assert_int_equal(s.snapshot.conf.len, 0);
        assert_int_equal(wal_get_meta(w, "of-5", &out, NULL), ERR_NOT_FOUND);
        assert_log(w, 4, 3, "cd");
        assert_log(w, 6, 3, "cd");
        assert_vote(w, 6, 3, 9);
        w = reopen(w, dir);
    }
    begin(w);
    append(w, 5, 1, 1, "new");
    commit(w);
    assert_log(w, 5, 1, "new");
    wal_close(w);
    tempdir_remove(dir);
}

/* Two entries are before the snapshot, which is the fourth; four come after it. */
static void put_trimmed_log(struct wal *w, uint16_t shard)
{
    struct wal_snapshot snapshot = {.index = 4, .term = 1, .conf_index = 1, .conf = b("conf")};
    begin(w);
    assert_int_equal(wal_put_vote(w, shard, 3, 9, NULL), ERR_OK);
    append(w, shard, 1, 1, "abcdefgh");
    assert_int_equal(wal_trim(w, shard, 2, &snapshot, NULL), ERR_OK);
    commit(w);
}

/* What each part leaves is what a crash leaves: it is opened again, and gone on with. */
static void test_wal_forgets_in_parts_that_each_leave_a_sound_log(void **state)
{
    (void)state;
    static const struct {
        uint64_t first;
        const char *text;
    } LEFT[] = {{3, "cdef"}, {3, "cd"}};
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    struct wal_shard s;
    put_trimmed_log(w, 5);
    put_trimmed_log(w, 6);
    for (size_t i = 0; i < sizeof LEFT / sizeof *LEFT; i++) {
        begin(w);
        assert_false(forget(w, 5, 2));
        commit(w);
        w = reopen(w, dir);
        assert_log(w, 5, LEFT[i].first, LEFT[i].text);
        assert_vote(w, 5, 3, 9);
        assert_int_equal(wal_load(w, 5, &s, NULL), ERR_OK);
        assert_int_equal(s.snapshot.index, 4);
    }
    begin(w);
    assert_false(forget(w, 5, 1));
    wal_abort(w);
    assert_log(w, 5, 3, "cd");
    begin(w);
    assert_true(forget(w, 5, 2));
    commit(w);
    w = reopen(w, dir);
    assert_log(w, 5, 1, "");
    assert_vote(w, 5, 0, 0);
    assert_log(w, 6, 3, "cdefgh");
    assert_vote(w, 6, 3, 9);
    wal_close(w);
    tempdir_remove(dir);
}

/* A part that is bigger than what lies behind the snapshot goes on before it. */
static void test_wal_forgets_around_the_snapshot_in_one_part(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    struct wal *w = open_at(dir);
    put_trimmed_log(w, 5);
    begin(w);
    assert_false(forget(w, 5, 5));
    commit(w);
    w = reopen(w, dir);
    assert_log(w, 5, 4, "d");
    begin(w);
    assert_true(forget(w, 5, 1));
    append(w, 5, 1, 1, "new"); /* in the same transaction */
    commit(w);
    w = reopen(w, dir);
    assert_log(w, 5, 1, "new");
    assert_vote(w, 5, 0, 0);
    wal_close(w);
    tempdir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wal_forgets_one_shard_and_keeps_the_others),
        cmocka_unit_test(test_wal_forgets_in_parts_that_each_leave_a_sound_log),
        cmocka_unit_test(test_wal_forgets_around_the_snapshot_in_one_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
