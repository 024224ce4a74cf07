#include "machine_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void set_window(struct world *w, uint32_t hours, uint32_t least, uint32_t most)
{
    w->options.dedup_hours = hours;
    w->options.dedup_min = least;
    w->options.dedup_max = most;
    world_reopen(w);
}

static bool knows(struct world *w, struct identity id, unsigned message)
{
    char text[32];
    one_id p;
    uint32_t version;
    int len = snprintf(text, sizeof text, "m%u", message);
    unsigned shard = shard_of_id(w, id);
    assert_true(machine_index_entry(w->machines[shard], id, &p, &version));
    return machine_has_message(w->machines[shard_of_profile(w, p)], p, id,
                               bytes_of(text, (size_t)len));
}

static void feed(struct world *w, struct identity id, unsigned from, unsigned n)
{
    for (unsigned i = from; i < from + n; i++)
        assert_int_equal(world_apply(w, 0, i, &id, 1, 1).status, REPLY_OK);
}

static bool count_row(void *ctx, struct bytes key, struct bytes value)
{
    (void)value;
    *(size_t *)ctx += key.len > 9 && key.data[9] == 'D';
    return true;
}

static size_t blocks_of(struct world *w, unsigned shard)
{
    size_t n = 0;
    store_scan(w->stores[shard], bytes_of_str("F"), count_row, &n);
    return n;
}

static void test_dedup_counts_a_message_once(void **state)
{
    struct world *w = *state;
    struct identity ids[2] = {world_id(w, "phone", 0, 1), world_id(w, "openid", 0, 1)};
    assert_int_equal(world_apply(w, 0, 1, ids, 2, 7).status, REPLY_OK);
    struct reply r = world_apply(w, 0, 1, ids, 2, 7);
    assert_int_equal(r.status, REPLY_DUP);
    assert_int_equal(r.n_refused, 0);
    assert_int_equal(view_counter(world_view(w, 0, ids[1]), "points"), 7);
    assert_int_equal(world_stats(w, 0)->duplicates, 1);
    assert_int_equal(world_stats(w, 0)->events, 1);
    /* Under another identity it is another message. */
    assert_int_equal(world_apply(w, 0, 1, &ids[1], 1, 7).status, REPLY_OK);
}

static void test_dedup_remembers_over_many_blocks(void **state)
{
    struct world *w = *state;
    struct identity id = world_id(w, "phone", 0, 1);
    feed(w, id, 0, 700);
    for (unsigned i = 0; i < 700; i++)
        assert_true(knows(w, id, i));
    assert_false(knows(w, id, 700));
    assert_int_equal(blocks_of(w, 0), 6); /* 5 × 128 sealed, and the newest */
    assert_int_equal(world_stats(w, 0)->dedup_cut, 0);
}

static void test_dedup_keeps_the_first_in_the_fragment(void **state)
{
    struct world *w = *state;
    struct identity id = world_id(w, "phone", 0, 1);
    for (unsigned n = 0; n < 8; n++) {
        feed(w, id, n, 1);
        assert_int_equal(blocks_of(w, 0), 0);
        for (unsigned i = 0; i < 12; i++)
            assert_int_equal(knows(w, id, i), i <= n);
        assert_int_equal(world_apply(w, 0, n, &id, 1, 1).status, REPLY_DUP);
    }
    feed(w, id, 8, 1);
    assert_int_equal(blocks_of(w, 0), 1);
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(knows(w, id, i), i <= 8);
    world_check(w);
}

static void test_dedup_keeps_the_window_and_the_last_ones(void **state)
{
    struct world *w = *state;
    struct identity id = world_id(w, "phone", 0, 1);
    set_window(w, 1, 200, 65536);
    feed(w, id, 0, 300);
    assert_true(knows(w, id, 0)); /* more than the last 200, but inside the hour */
    w->now += 3600 * 1000;
    feed(w, id, 300, 1);
    assert_true(knows(w, id, 0)); /* exactly at its edge */
    w->now += 1000;
    feed(w, id, 301, 1);
    assert_false(knows(w, id, 101)); /* 0 ... 299 are old: 200 of all stay */
    assert_true(knows(w, id, 102));
    assert_true(knows(w, id, 301));
    assert_int_equal(world_stats(w, 0)->dedup_cut, 0);
    assert_int_equal(world_apply(w, 0, 0, &id, 1, 1).status, REPLY_OK);
    assert_int_equal(blocks_of(w, 0), 3);
}

static void test_dedup_bound_cuts_the_window_and_counts_it(void **state)
{
    struct world *w = *state;
    struct identity id = world_id(w, "phone", 0, 1);
    set_window(w, 1, 10, 150);
    feed(w, id, 0, 150);
    assert_int_equal(world_stats(w, 0)->dedup_cut, 0);
    feed(w, id, 150, 300);
    assert_int_equal(world_stats(w, 0)->dedup_cut, 300);
    assert_false(knows(w, id, 299));
    for (unsigned i = 300; i < 450; i++)
        assert_true(knows(w, id, i));
    assert_true(blocks_of(w, 0) <= 3);
}

static void test_dedup_small_bounds_work_inside_one_block(void **state)
{
    struct world *w = *state;
    struct identity id = world_id(w, "phone", 0, 1);
    set_window(w, 1, 2, 4);
    feed(w, id, 0, 10);
    assert_false(knows(w, id, 5));
    for (unsigned i = 6; i < 10; i++)
        assert_true(knows(w, id, i));
    assert_int_equal(world_stats(w, 0)->dedup_cut, 6);
    w->now += 2 * 3600 * 1000;
    feed(w, id, 10, 1);
    assert_false(knows(w, id, 8));
    assert_true(knows(w, id, 9));
    assert_true(knows(w, id, 10));
    assert_int_equal(world_stats(w, 0)->dedup_cut, 6);
}

/* The ids of b go with b, to another shard and inside one. */
static void test_dedup_moves_with_its_identity(void **state)
{
    struct world *w = *state;
    struct identity a = world_id(w, "openid", 0, 1), b = world_id(w, "phone", 1, 1);
    set_window(w, 1, 10, 400);
    one_id to = world_open(w, a);
    w->now += 10;
    one_id l = world_open(w, b);
    feed(w, b, 0, 500);
    struct identity ids[2] = {b, a}, back[2] = {a, b};
    struct command c = world_pair(COMMAND_FREEZE, l, to, 0, ids);
    struct reply f = world_run(w, &c);
    assert_int_equal(f.status, REPLY_FROZEN);
    c = world_pair(COMMAND_ABSORB, to, l, 1, back);
    c.content = f.content;
    assert_int_equal(world_run(w, &c).status, REPLY_ABSORBED);
    world_repair(w, b, to, 1);
    world_simple(w, COMMAND_DONE, l, 1);
    assert_int_equal(blocks_of(w, 1), 0);
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(knows(w, b, i), i >= 100);
    assert_int_equal(world_apply(w, to, 499, &b, 1, 1).status, REPLY_DUP);
    assert_int_equal(world_apply(w, to, 499, &a, 1, 1).status, REPLY_OK);
    /* And on inside shard 0, into an older profile. */
    w->now -= 1000000;
    struct identity older[2] = {world_id(w, "unionid", 0, 1), a};
    struct command open = world_event(w, 0, 900, older, 1, 1);
    one_id p = world_run(w, &open).profile;
    assert_int_equal(world_apply(w, 0, 901, older, 2, 1).status, REPLY_OK);
    assert_int_equal(world_view(w, 0, b)->id, p < to ? p : to);
    struct reply r = world_apply(w, p < to ? p : to, 499, &b, 1, 1);
    assert_int_equal(r.status, REPLY_DUP);
    world_check(w);
    world_replay(w);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_dedup_counts_a_message_once),
        TEST(test_dedup_remembers_over_many_blocks),
        TEST(test_dedup_keeps_the_first_in_the_fragment),
        TEST(test_dedup_keeps_the_window_and_the_last_ones),
        TEST(test_dedup_bound_cuts_the_window_and_counts_it),
        TEST(test_dedup_small_bounds_work_inside_one_block),
        TEST(test_dedup_moves_with_its_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
