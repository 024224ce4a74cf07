/* CHECK at a shard: when a walk begins, who shares it, what ends it. The walks are the test's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "parts.h"

#include <proto/endpoint.h>

enum { LONG_AGO = 3600 * 1000 };

struct world {
    struct host_shared shared;
    struct shard shard;
    struct inbox *walks; /* of the check thread */
    struct arena arena;
};

static int setup(void **state)
{
    static struct world w;
    struct store_options o = {.map_bytes = 1 << 20};
    w = (struct world){0};
    assert_int_equal(net_open(1, &w.shared.net, NULL), ERR_OK);
    assert_int_equal(inbox_open(w.shared.net, "check", &w.walks, NULL), ERR_OK);
    assert_int_equal(outbox_open(w.shared.net, "check", &w.shard.to_check, NULL), ERR_OK);
    assert_int_equal(store_open(&o, &w.shard.store, NULL), ERR_OK);
    w.shard.shared = &w.shared;
    w.shard.applied = 7;
    arena_init(&w.arena, 0);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    struct message *m;
    check_close(&w->shard);
    while ((m = inbox_take(w->walks)))
        message_free(m);
    store_close(w->shard.store);
    outbox_close(w->shard.to_check);
    inbox_close(w->walks);
    net_close(w->shared.net);
    arena_close(&w->arena);
    return 0;
}

static struct reply ask(struct world *w, uint32_t age_ms)
{
    struct command c = {.type = COMMAND_CHECK, .age_ms = age_ms};
    struct reply r;
    check_answer(&w->shard, &c, &w->arena, &r);
    return r;
}

/* What the check thread is given; NULL: nothing. */
static struct message *taken(struct world *w)
{
    return inbox_take(w->walks);
}

/* The walk comes back with this many findings. */
static void come_back(struct world *w, struct message *m, size_t findings)
{
    struct count_row rows[3] = {{.value = bytes_of_str("a")}, {.value = bytes_of_str("b")}};
    struct reply r = {.status = REPLY_OK, .counts = rows, .n_counts = findings, .cursor = 7};
    m->kind = MESSAGE_CHECKED;
    reply_encode(&r, &m->content);
    check_walked(&w->shard, m);
    message_free(m);
}

static void test_clean_shard_is_walked_at_once(void **state)
{
    struct world *w = *state;
    struct reply first = ask(w, 0);
    assert_int_equal(first.status, REPLY_BUSY);
    struct message *m = taken(w);
    assert_non_null(m);
    assert_int_equal(m->kind, MESSAGE_CHECK);
    assert_int_equal(m->code, ERR_OK);
    assert_int_equal(m->seq, first.other);
    assert_int_equal(atomic_load(&w->shard.check.walk), m->seq);
    assert_false(check_wants_checkpoint(&w->shard));
    atomic_store(&w->shard.check.rows, 5);
    atomic_store(&w->shard.check.of, 9);
    struct reply second = ask(w, 10); /* and somebody else: */
    struct reply other = ask(w, 0);
    assert_int_equal(second.status, REPLY_BUSY);
    assert_int_equal(second.cursor, 5);
    assert_int_equal(second.population, 9);
    assert_int_equal(second.other, first.other);
    assert_int_equal(other.other, first.other);
    assert_null(taken(w));
    come_back(w, m, 2);
    struct reply done = ask(w, LONG_AGO);
    assert_int_equal(done.status, REPLY_OK);
    assert_int_equal(done.n_counts, 2);
    assert_true(bytes_equal(done.counts[1].value, bytes_of_str("b")));
    assert_int_equal(done.cursor, 7);
    assert_null(taken(w));
}

/* What one who just comes is told must not be older than his question. */
static void test_old_answers_are_for_those_who_asked_before(void **state)
{
    struct world *w = *state;
    (void)ask(w, 0);
    come_back(w, taken(w), 1);
    struct reply late = ask(w, 0);
    assert_int_equal(late.status, REPLY_BUSY);
    struct message *m = taken(w);
    assert_non_null(m);
    assert_int_equal(ask(w, LONG_AGO).status, REPLY_OK); /* also while the next walk is under way */
    assert_int_equal(ask(w, LONG_AGO).n_counts, 1);
    come_back(w, m, 0);
    assert_int_equal(ask(w, LONG_AGO).n_counts, 0);
}

static void test_walk_waits_for_a_checkpoint_of_what_there_was(void **state)
{
    struct world *w = *state;
    struct shard *s = &w->shard;
    store_put(s->store, bytes_of_str("k"), bytes_of_str("v"));
    s->dirty_since = 1;
    assert_int_equal(ask(w, 0).status, REPLY_BUSY);
    assert_null(taken(w));
    assert_true(check_wants_checkpoint(s));
    check_tick(s, 10);
    assert_null(taken(w));
    /* It begins, and more comes in meanwhile. */
    store_freeze(s->store, s->applied);
    s->checkpointing = true;
    s->applied = 8;
    check_tick(s, 10);
    assert_null(taken(w));
    assert_int_equal(store_write_frozen(s->store, NULL), ERR_OK);
    store_release_frozen(s->store);
    s->checkpointing = false;
    check_tick(s, 10);
    struct message *m = taken(w);
    assert_non_null(m);
    assert_int_equal(m->code, ERR_OK);
    assert_false(check_wants_checkpoint(s));
    check_tick(s, 11);
    assert_null(taken(w)); /* once */
    come_back(w, m, 0);
    assert_int_equal(ask(w, LONG_AGO).status, REPLY_OK);
}

/* One that began before the question does not hold all that there was. */
static void test_checkpoint_under_way_is_not_enough(void **state)
{
    struct world *w = *state;
    struct shard *s = &w->shard;
    store_freeze(s->store, 5);
    s->checkpointing = true;
    s->dirty_since = 1;
    (void)ask(w, 0);
    assert_int_equal(store_write_frozen(s->store, NULL), ERR_OK);
    store_release_frozen(s->store);
    s->checkpointing = false;
    check_tick(s, 10);
    assert_null(taken(w));
    assert_true(check_wants_checkpoint(s));
}

static void test_without_a_checkpoint_the_last_one_is_walked(void **state)
{
    struct world *w = *state;
    struct shard *s = &w->shard;
    s->dirty_since = 1;
    check_without_checkpoint(s); /* nobody has asked */
    assert_null(taken(w));
    (void)ask(w, 0);
    check_without_checkpoint(s);
    struct message *m = taken(w);
    assert_non_null(m);
    assert_int_equal(m->code, ERR_DISK_FULL);
    check_without_checkpoint(s); /* tried again meanwhile */
    assert_null(taken(w));
    come_back(w, m, 1);
    assert_int_equal(ask(w, LONG_AGO).n_counts, 1);
}

static void test_stopped_walk_has_no_answer(void **state)
{
    struct world *w = *state;
    struct shard *s = &w->shard;
    (void)ask(w, 0);
    struct message *old = taken(w);
    check_stop(s);
    assert_int_equal(atomic_load(&s->check.walk), 0); /* the thread sees it */
    struct reply again = ask(w, 50);
    assert_int_equal(again.status, REPLY_BUSY);
    assert_true(again.other != old->seq);
    struct message *m = taken(w);
    assert_non_null(m);
    come_back(w, old, 2); /* too late */
    assert_int_equal(ask(w, LONG_AGO).status, REPLY_BUSY);
    m->kind = MESSAGE_CHECKED; /* came to no end by itself: begun anew */
    check_walked(s, m);
    message_free(m);
    assert_int_equal(ask(w, LONG_AGO).status, REPLY_BUSY);
    m = taken(w);
    assert_non_null(m);
    come_back(w, m, 0);
    assert_int_equal(ask(w, LONG_AGO).status, REPLY_OK);
}

static void test_shard_that_stops_begins_none(void **state)
{
    struct world *w = *state;
    w->shard.stopping = true;
    struct reply r = ask(w, 0);
    assert_int_equal(r.status, REPLY_ERROR);
    assert_int_equal(r.error, ERR_SHUTDOWN);
    assert_null(taken(w));
}

static void test_answers_are_forgotten_when_nobody_asks_any_more(void **state)
{
    struct world *w = *state;
    (void)ask(w, 0);
    come_back(w, taken(w), 0);
    check_tick(&w->shard, clock_mono_ms() + 60 * 1000);
    assert_int_equal(ask(w, LONG_AGO).status, REPLY_OK);
    check_tick(&w->shard, clock_mono_ms() + 3600 * 1000);
    assert_int_equal(ask(w, LONG_AGO).status, REPLY_BUSY);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_clean_shard_is_walked_at_once),
        TEST(test_old_answers_are_for_those_who_asked_before),
        TEST(test_walk_waits_for_a_checkpoint_of_what_there_was),
        TEST(test_checkpoint_under_way_is_not_enough),
        TEST(test_without_a_checkpoint_the_last_one_is_walked),
        TEST(test_stopped_walk_has_no_answer),
        TEST(test_shard_that_stops_begins_none),
        TEST(test_answers_are_forgotten_when_nobody_asks_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
