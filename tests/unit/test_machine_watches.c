/* Watched segments: the rows of the machine, and the events that commands give in the index. */
#include "machine_rig.h"

#include <segment/catalogue.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { HOME = 0 }; /* the shard that numbers segments */

static struct reply run_named(struct world *w, unsigned shard, enum command_type type,
                              const char *name)
{
    struct command c = {.type = type, .name = bytes_of_str(name)};
    return world_run_at(w, shard, &c);
}

static uint64_t version(struct world *w)
{
    return machine_catalogue(w->machines[HOME])->version;
}

/* At shard 0, and from there to the others. */
static void define(struct world *w, const char *name, const char *expr)
{
    struct command c = {.type = COMMAND_SEGMENT_DEFINE,
                        .name = bytes_of_str(name),
                        .expr = bytes_of_str(expr),
                        .catalogue = version(w)};
    struct reply r = world_run_at(w, HOME, &c);
    assert_int_equal(r.status, REPLY_OK);
    struct command sync = {.type = COMMAND_SEGMENT_SYNC, .content = r.content};
    for (unsigned i = 1; i < WORLD_SHARDS; i++)
        assert_int_equal(world_run_at(w, i, &sync).status, REPLY_OK);
}

static void drop(struct world *w, const char *name)
{
    struct command c = {
        .type = COMMAND_SEGMENT_DROP, .name = bytes_of_str(name), .catalogue = version(w)};
    struct reply r = world_run_at(w, HOME, &c);
    assert_int_equal(r.status, REPLY_OK);
    struct command sync = {.type = COMMAND_SEGMENT_SYNC, .content = r.content};
    for (unsigned i = 1; i < WORLD_SHARDS; i++)
        assert_int_equal(world_run_at(w, i, &sync).status, REPLY_OK);
}

static void set_day(struct world *w, unsigned shard, int32_t day)
{
    struct command c = {.type = COMMAND_DAY, .today = day};
    assert_int_equal(world_run_at(w, shard, &c).status, REPLY_OK);
}

/* The names that are watched, in any order that the machine gives. */
static size_t watched(struct world *w, unsigned shard, struct index_watch *out)
{
    return machine_watched(w->machines[shard], &w->arena, out);
}

static void test_watch_needs_a_segment(void **state)
{
    struct world *w = *state;
    struct reply r = run_named(w, HOME, COMMAND_WATCH_START, "vips");
    assert_int_equal(r.error, ERR_NOT_FOUND);
    r = run_named(w, 1, COMMAND_WATCH_START, "vips");
    assert_int_equal(r.error, ERR_BUSY); /* it may only not have heard of it */
    define(w, "vips", "tag(vip)");
    for (unsigned i = 0; i < WORLD_SHARDS; i++) {
        assert_int_equal(run_named(w, i, COMMAND_WATCH_START, "vips").status, REPLY_OK);
        assert_int_equal(run_named(w, i, COMMAND_WATCH_START, "vips").status, REPLY_OK);
        struct index_watch list[INDEX_WATCHES_MAX];
        assert_int_equal(watched(w, i, list), 1);
    }
    world_replay(w);
}

static void test_watch_is_told_with_what_its_segment_names_written_out(void **state)
{
    struct world *w = *state;
    struct index_watch list[INDEX_WATCHES_MAX];
    define(w, "vips", "tag(vip) or points > 100");
    define(w, "near", "segment(vips) and city = \"x\"");
    assert_int_equal(run_named(w, 1, COMMAND_WATCH_START, "near").status, REPLY_OK);
    uint64_t generation = machine_watch_generation(w->machines[1]);
    assert_int_equal(watched(w, 1, list), 1);
    assert_true(
        bytes_equal(list[0].text, bytes_of_str("(tag(vip) or points >= 101) and city = \"x\"")));
    define(w, "vips", "tag(gold)");
    assert_true(machine_watch_generation(w->machines[1]) > generation);
    assert_int_equal(watched(w, 1, list), 1);
    assert_true(bytes_equal(list[0].text, bytes_of_str("tag(gold) and city = \"x\"")));
}

static void test_watch_survives_a_restart(void **state)
{
    struct world *w = *state;
    struct index_watch list[INDEX_WATCHES_MAX];
    define(w, "a", "tag(a)");
    define(w, "b", "tag(b)");
    assert_int_equal(run_named(w, 2, COMMAND_WATCH_START, "b").status, REPLY_OK);
    assert_int_equal(run_named(w, 2, COMMAND_WATCH_START, "a").status, REPLY_OK);
    world_reopen(w);
    assert_int_equal(watched(w, 2, list), 2);
    assert_int_equal(run_named(w, 2, COMMAND_WATCH_STOP, "b").status, REPLY_OK);
    assert_int_equal(run_named(w, 2, COMMAND_WATCH_STOP, "b").status, REPLY_OK);
    world_reopen(w);
    assert_int_equal(watched(w, 2, list), 1);
    assert_true(bytes_equal(list[0].name, bytes_of_str("a")));
    world_replay(w);
}

static void test_watch_ends_with_its_segment(void **state)
{
    struct world *w = *state;
    struct index_watch list[INDEX_WATCHES_MAX];
    define(w, "a", "tag(a)");
    for (unsigned i = 0; i < WORLD_SHARDS; i++)
        assert_int_equal(run_named(w, i, COMMAND_WATCH_START, "a").status, REPLY_OK);
    drop(w, "a");
    for (unsigned i = 0; i < WORLD_SHARDS; i++)
        assert_int_equal(watched(w, i, list), 0);
    world_reopen(w);
    assert_int_equal(watched(w, 1, list), 0);
    world_replay(w);
}

static void test_watch_ends_when_nobody_asks(void **state)
{
    struct world *w = *state;
    struct index_watch list[INDEX_WATCHES_MAX];
    define(w, "a", "tag(a)");
    assert_int_equal(run_named(w, 1, COMMAND_WATCH_START, "a").status, REPLY_OK);
    set_day(w, 1, WORLD_DAY); /* the first day: the watch counts from here */
    set_day(w, 1, WORLD_DAY + 7);
    assert_int_equal(watched(w, 1, list), 1);
    assert_int_equal(run_named(w, 1, COMMAND_WATCH_START, "a").status, REPLY_OK);
    set_day(w, 1, WORLD_DAY + 14);
    world_reopen(w);
    assert_int_equal(watched(w, 1, list), 1);
    set_day(w, 1, WORLD_DAY + 15);
    assert_int_equal(watched(w, 1, list), 0);
    world_reopen(w);
    assert_int_equal(watched(w, 1, list), 0);
    world_replay(w);
}

static void test_watch_of_too_many_is_refused(void **state)
{
    struct world *w = *state;
    char name[16];
    for (int i = 0; i <= INDEX_WATCHES_MAX; i++) {
        (void)snprintf(name, sizeof name, "s%d", i);
        define(w, name, "tag(a)");
        struct reply r = run_named(w, 1, COMMAND_WATCH_START, name);
        assert_int_equal(r.status == REPLY_OK ? ERR_OK : r.error,
                         i < INDEX_WATCHES_MAX ? ERR_OK : ERR_TOO_LARGE);
    }
    assert_int_equal(run_named(w, 1, COMMAND_WATCH_START, "s0").status, REPLY_OK);
}

static void test_watch_of_a_segment_too_large_to_write_out_is_refused(void **state)
{
    struct world *w = *state;
    char wide[2048] = "tag(t)", name[8], expr[256];
    for (size_t i = 0; i < 100; i++)
        (void)snprintf(wide + strlen(wide), sizeof wide - strlen(wide), " or tag(t%zu)", i);
    define(w, "s0", wide);
    for (int i = 1; i < 6; i++) {
        (void)snprintf(name, sizeof name, "s%d", i);
        (void)snprintf(expr, sizeof expr,
                       "(segment(s%d) and tag(a)) or (segment(s%d) and tag(b)) or "
                       "(segment(s%d) and tag(c))",
                       i - 1, i - 1, i - 1);
        define(w, name, expr);
    }
    assert_int_equal(run_named(w, 1, COMMAND_WATCH_START, "s3").status, REPLY_OK);
    assert_int_equal(run_named(w, 1, COMMAND_WATCH_START, "s5").error, ERR_TOO_LARGE);
    /* One that grows too large while it is watched is told as it stands. */
    define(w, "s3", "segment(s2) and tag(x)");
    struct index_watch list[INDEX_WATCHES_MAX];
    assert_int_equal(watched(w, 1, list), 1);
    assert_true(list[0].text.len > 1000);
    world_replay(w);
}

/* --- through machine and index --- */

struct feed {
    struct world *w;
    uint64_t log_index, generation;
    struct index_watch_place place;
};

static void end_entry(struct feed *f)
{
    struct machine *m = f->w->machines[1];
    struct index *ix = f->w->indexes[1];
    index_set_today(ix, machine_today(m));
    if (f->generation != machine_watch_generation(m)) {
        struct index_watch list[INDEX_WATCHES_MAX];
        index_set_watches(ix, list, machine_watched(m, &f->w->arena, list));
        f->generation = machine_watch_generation(m);
    }
    index_end_entry(ix, ++f->log_index, f->w->now);
    assert_true(index_publish(ix));
}

/* The events since the last call, as '+' and '-'. */
static const char *news(struct feed *f, one_id *member)
{
    static char text[32];
    struct index_watch_event e[16];
    size_t n = 0;
    struct error err;
    if (index_watch_read(f->w->indexes[1], bytes_of_str("big"), &f->place, 16, 0, e, &n, &f->place,
                         &err) != ERR_OK)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < n; i++) {
        text[i] = e[i].enter ? '+' : '-';
        *member = e[i].member;
    }
    text[n] = '\0';
    return text;
}

static void test_watch_follows_orders_returns_days_and_merges(void **state)
{
    struct world *w = *state;
    struct feed f = {.w = w};
    struct identity a = world_id(w, "phone", 1, 1), b = world_id(w, "openid", 1, 2);
    one_id member = 0;
    define(w, "big", "sum(order.amount, 3d) >= 100");
    set_day(w, 1, WORLD_DAY);
    one_id p = world_open(w, a), q = world_open(w, b);
    end_entry(&f);
    assert_int_equal(run_named(w, 1, COMMAND_WATCH_START, "big").status, REPLY_OK);
    end_entry(&f);
    f.place = (struct index_watch_place){.from = INDEX_WATCH_NOW};
    assert_string_equal(news(&f, &member), "");

    struct command order = world_event(w, q, 5, &b, 1, 0);
    order.behaviour = world_order(w, WORLD_DAY, 150 * 1000000, "x");
    assert_int_equal(world_run(w, &order).status, REPLY_OK);
    end_entry(&f);
    assert_string_equal(news(&f, &member), "+");
    assert_int_equal(member, q);

    struct identity both[] = {a, b};
    assert_int_equal(world_apply(w, p, 6, both, 2, 0).status, REPLY_OK); /* merges q into p */
    end_entry(&f);
    assert_string_equal(news(&f, &member), "+-");

    for (int day = 1; day <= 3; day++) {
        set_day(w, 1, WORLD_DAY + day);
        end_entry(&f);
        assert_string_equal(news(&f, &member), day == 3 ? "-" : "");
    }
    assert_int_equal(member, p < q ? p : q);
    world_replay(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_watch_needs_a_segment),
        TEST(test_watch_is_told_with_what_its_segment_names_written_out),
        TEST(test_watch_survives_a_restart),
        TEST(test_watch_ends_with_its_segment),
        TEST(test_watch_ends_when_nobody_asks),
        TEST(test_watch_of_too_many_is_refused),
        TEST(test_watch_of_a_segment_too_large_to_write_out_is_refused),
        TEST(test_watch_follows_orders_returns_days_and_merges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
