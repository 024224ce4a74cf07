/* The walk over a view: what is damaged is a finding, and the walk can be ended. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "machine_rig.h"

#include <tempdir.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEOPLE = 20 };

static const char MARK[] = "city-of-the-damaged-one";

struct place {
    char *dir;
    struct store *store, *view;
    struct machine *machine;
};

static bool copy_row(void *ctx, struct bytes key, struct bytes value)
{
    store_put(ctx, key, value);
    return true;
}

static struct store *open_at(const char *dir, struct store *s)
{
    struct store_options o = {.path = dir, .map_bytes = UINT64_C(1) << 30, .shard = 0};
    assert_int_equal(store_open(&o, &s, NULL), ERR_OK);
    return s;
}

/* Shard 0 of the world in a file, where only the view sees it. */
static void put_into_file(struct world *w, struct place *p)
{
    struct store *s = open_at(p->dir, NULL);
    store_scan(w->stores[0], bytes_of(NULL, 0), copy_row, s);
    store_freeze(s, 1);
    assert_int_equal(store_write_frozen(s, NULL), ERR_OK);
    store_release_frozen(s);
    store_close(s);
}

static void open_view(struct world *w, struct place *p)
{
    struct machine_options o = w->options;
    struct error err = {0};
    p->store = open_at(p->dir, NULL);
    assert_int_equal(store_view_open(p->store, &p->view, &err), ERR_OK);
    o.store = p->view;
    o.shard = 0;
    o.emit = NULL;
    if (machine_open(&o, &p->machine, &err) != ERR_OK)
        fail_msg("%s", err.msg);
}

static void close_view(struct place *p)
{
    machine_close(p->machine);
    store_close(p->view);
    assert_int_equal(store_error(p->store, NULL), ERR_OK);
    store_close(p->store);
    tempdir_remove(p->dir);
}

static void damage(const struct place *p, const char *pattern)
{
    size_t n = strlen(pattern), hits = 0;
    FILE *f = fopen(tempdir_path(p->dir, "data.mdb"), "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    size_t len = (size_t)ftell(f);
    uint8_t *all = malloc(len);
    rewind(f);
    assert_int_equal(fread(all, 1, len, f), len);
    for (size_t i = 0; i + n <= len; i++) {
        if (memcmp(all + i, pattern, n) != 0)
            continue;
        all[i] ^= 1;
        hits++;
    }
    rewind(f);
    assert_int_equal(fwrite(all, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    free(all);
    assert_true(hits > 0);
}

static one_id make_people(struct world *w)
{
    one_id marked = 0;
    for (unsigned i = 0; i < PEOPLE; i++) {
        struct identity ids[2] = {world_id(w, "openid", 0, 2 * i),
                                  world_id(w, "openid", 0, 2 * i + 1)};
        struct command c = world_event(w, 0, i + 1, ids, 2, 1);
        if (i == PEOPLE / 2)
            c.facts = world_facts(w, 1, MARK, NULL, w->now);
        struct reply r = world_run(w, &c);
        assert_int_equal(r.status, REPLY_OK);
        marked = i == PEOPLE / 2 ? r.profile : marked;
    }
    return marked;
}

struct pace {
    uint64_t rows, end_at;
};

static bool go_on(void *ctx, uint64_t rows)
{
    struct pace *p = ctx;
    assert_int_equal(rows, p->rows + 1);
    p->rows = rows;
    return rows != p->end_at;
}

static bool has_finding(const struct reply *r, const char *text)
{
    for (size_t i = 0; i < r->n_counts; i++) {
        struct bytes v = r->counts[i].value;
        for (size_t k = 0; k + strlen(text) <= v.len; k++) {
            if (memcmp(v.data + k, text, strlen(text)) == 0)
                return true;
        }
    }
    return false;
}

static void test_check_of_a_view_walks_every_row_once(void **state)
{
    struct world *w = *state;
    struct place p = {.dir = tempdir_make()};
    struct pace pace = {0};
    struct machine_walk walk = {go_on, &pace};
    struct reply r;
    (void)make_people(w);
    put_into_file(w, &p);
    open_view(w, &p);
    assert_true(machine_check(p.machine, &walk, &w->arena, &r));
    assert_int_equal(r.status, REPLY_OK);
    assert_int_equal(r.n_counts, 0);
    assert_int_equal(pace.rows, store_rows(p.view));
    assert_true(pace.rows > 5 * PEOPLE);
    close_view(&p);
}

static void test_check_ends_when_it_is_told(void **state)
{
    struct world *w = *state;
    struct place p = {.dir = tempdir_make()};
    struct reply r;
    (void)make_people(w);
    put_into_file(w, &p);
    open_view(w, &p);
    uint64_t all = store_rows(p.view);
    for (uint64_t at = 1; at <= all; at++) {
        struct pace pace = {.end_at = at};
        struct machine_walk walk = {go_on, &pace};
        assert_false(machine_check(p.machine, &walk, &w->arena, &r));
        assert_int_equal(pace.rows, at);
    }
    close_view(&p);
}

static void test_check_names_what_is_damaged(void **state)
{
    struct world *w = *state;
    struct place p = {.dir = tempdir_make()};
    struct pace pace = {0};
    struct machine_walk walk = {go_on, &pace};
    struct reply r;
    char view[80], id[17];
    one_id_format(make_people(w), id);
    put_into_file(w, &p);
    damage(&p, MARK); /* in a fragment and in the view */
    open_view(w, &p);
    assert_true(machine_check(p.machine, &walk, &w->arena, &r));
    assert_int_equal(r.status, REPLY_OK);
    (void)snprintf(view, sizeof view, "profile %s: the check sum of its view is wrong", id);
    assert_true(has_finding(&r, view));
    assert_true(has_finding(&r, "the check sum of a row of kind F is wrong"));
    assert_int_equal(pace.rows, store_rows(p.view)); /* it went on behind them */
    assert_false(has_finding(&r, "city"));
    close_view(&p);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_check_of_a_view_walks_every_row_once),
        TEST(test_check_ends_when_it_is_told),
        TEST(test_check_names_what_is_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
