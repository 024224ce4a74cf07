#include "index_rig.h"
#include "tempdir.h"

#include <index/watch.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { CLUSTER = 11, SHARD = 3, STORE = 40 };

struct saved {
    struct rig *rig;
    char *dir;
    char path[512];
    uint8_t *data;
    size_t len;
};

/* A little of everything, a removed member among it. */
static void fill(struct rig *r)
{
    struct index_watch watches[] = {{bytes_of_str("odd"), bytes_of_str("tag(odd)")},
                                    {bytes_of_str("rich"), bytes_of_str("points >= 3000")}};
    index_set_watches(r->ix, watches, 2);
    index_set_applied(r->ix, 45);
    for (one_id m = 1; m <= 40; m++) {
        rig_add(r, m);
        rig_tag(r, m, m % 2 ? "odd" : "even", true);
        rig_channel(r, m, "tmall", m % 3 == 0);
        rig_has(r, m, "phone", true);
        rig_value(r, m, "city", m % 5 ? "a" : "b", true);
        rig_value(r, m, "interests", "tea", m % 2);
        rig_number(r, m, "points", (int64_t)m * 100, true);
        rig_last(r, m, "order", RIG_TODAY - (int32_t)m, true);
        rig_order(r, m, RIG_TODAY - (int32_t)m % 3, 1, 99500000, "milk", m % 2 ? "web" : NULL);
    }
    rig_value(r, 3, "nickname", "gone", true);
    rig_remove(r, 3);
    index_set_applied(r->ix, 50);
    rig_publish(r);
}

static void read_file(struct saved *s)
{
    struct stat st;
    int fd = open(s->path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    s->len = (size_t)st.st_size;
    s->data = malloc(s->len);
    assert_non_null(s->data);
    assert_int_equal(read(fd, s->data, s->len), s->len);
    (void)close(fd);
}

static void write_file(const struct saved *s, size_t len)
{
    int fd = open(s->path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, s->data, len), len);
    (void)close(fd);
}

static int setup(void **state)
{
    void *rig = NULL;
    struct saved *s = calloc(1, sizeof *s);
    if (!s || rig_setup(&rig) != 0)
        return -1;
    s->rig = rig;
    s->dir = tempdir_make();
    (void)snprintf(s->path, sizeof s->path, "%s/index", s->dir);
    fill(s->rig);
    *state = s;
    if (index_save(s->rig->ix, s->path, CLUSTER, SHARD, STORE, &s->rig->err) != ERR_OK)
        return -1;
    read_file(s);
    return 0;
}

static int teardown(void **state)
{
    struct saved *s = *state;
    void *rig = s->rig;
    tempdir_remove(s->dir);
    free(s->data);
    free(s);
    return rig_teardown(&rig);
}

static enum error_code load(struct saved *s)
{
    return index_load(s->rig->ix, s->path, CLUSTER, SHARD, STORE, &s->rig->err);
}

static void test_index_load_gives_back_what_was_saved(void **state)
{
    struct saved *s = *state;
    struct rig *r = s->rig;
    struct index_query q = rig_query(rig_parse(r, "true"));
    one_id before[64], after[64];
    size_t n_before = 0, n_after = 0;
    uint64_t cursor = 0, next = 0, digest = index_digest(r->ix);
    assert_int_equal(index_list_members(r->ix, &q, 0, 10, before, &n_before, &cursor, &r->err),
                     ERR_OK);
    assert_int_equal(index_list_members(r->ix, &q, cursor, 64, before, &n_before, &next, &r->err),
                     ERR_OK);
    rig_renew(r);
    assert_int_not_equal(index_digest(r->ix), digest);
    assert_int_equal(load(s), ERR_OK);

    assert_int_equal(index_digest(r->ix), digest);
    assert_int_equal(index_applied(r->ix), 50);
    assert_int_equal(rig_count(r, "tag(odd) and points >= 1000 and city = a"), 12);
    assert_int_equal(index_list_members(r->ix, &q, cursor, 64, after, &n_after, &next, &r->err),
                     ERR_OK);
    assert_int_equal(n_after, n_before);
    assert_memory_equal(after, before, n_after * sizeof *after);
}

static void test_index_load_goes_on_like_the_saved_one(void **state)
{
    struct saved *s = *state;
    struct rig *r = s->rig;
    struct index *live = r->ix;
    r->ix = index_new(r->schema);
    assert_int_equal(load(s), ERR_OK);
    struct index *loaded = r->ix;
    for (int i = 0; i < 2; i++) {
        r->ix = i ? loaded : live;
        for (one_id m = 20; m <= 60; m++) {
            rig_remove(r, m - 10);
            rig_add(r, m);
            rig_tag(r, m, "odd", true);
            rig_value(r, m, "city", "c", true);
            rig_order(r, m, RIG_TODAY, 1, 5, "tea", NULL);
        }
        rig_publish(r);
    }
    assert_int_equal(index_digest(loaded), index_digest(live));
    index_free(live);
}

static void test_index_load_of_an_empty_index(void **state)
{
    struct saved *s = *state;
    rig_renew(s->rig);
    uint64_t digest = index_digest(s->rig->ix);
    assert_int_equal(index_save(s->rig->ix, s->path, CLUSTER, SHARD, 0, &s->rig->err), ERR_OK);
    rig_renew(s->rig);
    assert_int_equal(index_load(s->rig->ix, s->path, CLUSTER, SHARD, 0, &s->rig->err), ERR_OK);
    assert_int_equal(index_digest(s->rig->ix), digest);
}

static void test_index_load_refuses_what_belongs_elsewhere(void **state)
{
    struct saved *s = *state;
    struct rig *r = s->rig;
    rig_renew(r);
    assert_int_equal(index_load(r->ix, s->path, CLUSTER + 1, SHARD, STORE, &r->err), ERR_MISMATCH);
    assert_int_equal(index_load(r->ix, s->path, CLUSTER, SHARD + 1, STORE, &r->err), ERR_MISMATCH);
    assert_int_equal(index_load(r->ix, s->path, CLUSTER, SHARD, STORE + 1, &r->err), ERR_MISMATCH);
    assert_int_equal(
        index_load(r->ix, tempdir_path(s->dir, "none"), CLUSTER, SHARD, STORE, &r->err),
        ERR_NOT_FOUND);
    struct schema other = *r->schema;
    other.n_traits--;
    struct index *ix = index_new(&other);
    assert_int_equal(index_load(ix, s->path, CLUSTER, SHARD, STORE, &r->err), ERR_MISMATCH);
    index_free(ix);
}

static void test_index_save_refuses_a_checkpoint_that_it_has_not_reached(void **state)
{
    struct saved *s = *state;
    assert_int_equal(index_save(s->rig->ix, s->path, CLUSTER, SHARD, 51, &s->rig->err),
                     ERR_INVALID);
    rig_renew(s->rig);
    assert_int_equal(load(s), ERR_OK);
}

static void test_index_save_reports_a_folder_that_is_not_there(void **state)
{
    struct saved *s = *state;
    char path[600];
    (void)snprintf(path, sizeof path, "%s/none/index", s->dir);
    assert_int_equal(index_save(s->rig->ix, path, CLUSTER, SHARD, 0, &s->rig->err), ERR_IO);
}

static void test_index_save_leaves_one_private_file(void **state)
{
    struct saved *s = *state;
    struct stat st;
    char temporary[600];
    (void)snprintf(temporary, sizeof temporary, "%s.tmp", s->path);
    assert_int_equal(stat(s->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_not_equal(stat(temporary, &st), 0);
}

/* A refused file leaves the index empty and fit for use. */
static void check_refused(struct saved *s, size_t where)
{
    enum error_code code = load(s);
    if (code != ERR_CORRUPT && code != ERR_MISMATCH)
        fail_msg("byte %zu: %s", where, error_name(code));
    struct index_stats stats;
    index_get_stats(s->rig->ix, &stats);
    assert_int_equal(stats.members, 0);
}

static void test_index_load_refuses_a_file_with_any_byte_changed(void **state)
{
    struct saved *s = *state;
    rig_renew(s->rig);
    /* Every byte at both ends, every fifth between; the bitmaps' runs of zeros by samples. */
    for (size_t i = 0; i < s->len; i++) {
        bool run = i > 16 && s->data[i] == 0 && s->data[i - 1] == 0 && s->data[i - 16] == 0;
        bool inner = i > 4096 && s->len - i > 4096 && i % 5 != 0;
        if (inner || (run && i % 509 != 0))
            continue;
        s->data[i] ^= (uint8_t)(1u << i % 8);
        write_file(s, s->len);
        check_refused(s, i);
        s->data[i] ^= (uint8_t)(1u << i % 8);
    }
    write_file(s, s->len);
    assert_int_equal(load(s), ERR_OK);
}

static void test_index_load_refuses_a_file_cut_anywhere(void **state)
{
    struct saved *s = *state;
    rig_renew(s->rig);
    for (size_t len = 0; len < s->len; len += len < 4096 || s->len - len < 4096 ? 7 : 401) {
        write_file(s, len);
        check_refused(s, len);
    }
    write_file(s, s->len - 1);
    check_refused(s, s->len - 1);
}

static void test_index_load_refuses_a_file_with_more_at_its_end(void **state)
{
    struct saved *s = *state;
    rig_renew(s->rig);
    uint8_t *longer = realloc(s->data, s->len + 1);
    assert_non_null(longer);
    s->data = longer;
    longer[s->len] = 0;
    write_file(s, s->len + 1);
    check_refused(s, s->len);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_index_load_gives_back_what_was_saved),
        TEST(test_index_load_goes_on_like_the_saved_one),
        TEST(test_index_load_of_an_empty_index),
        TEST(test_index_load_refuses_what_belongs_elsewhere),
        TEST(test_index_save_refuses_a_checkpoint_that_it_has_not_reached),
        TEST(test_index_save_reports_a_folder_that_is_not_there),
        TEST(test_index_save_leaves_one_private_file),
        TEST(test_index_load_refuses_a_file_with_any_byte_changed),
        TEST(test_index_load_refuses_a_file_cut_anywhere),
        TEST(test_index_load_refuses_a_file_with_more_at_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
