/* Watched segments: the journals against lists of the same segments, over random changes, days,
 * definitions, saves and rebuilds. */
#include "index_model.h"
#include "private.h"
#include "tempdir.h"

#include <index/watch.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PAGE_MAX = 64 };

static void watch(struct rig *r, const char *name, const char *text)
{
    struct index_watch w = {bytes_of_str(name), bytes_of_str(text)};
    index_set_watches(r->ix, &w, 1);
}

static enum error_code read_some(struct rig *r, const char *name, struct index_watch_place *place,
                                 size_t limit, struct index_watch_event *out, size_t *n)
{
    return index_watch_read(r->ix, bytes_of_str(name), place, limit, 0, out, n, place, &r->err);
}

/* The events after `place`, as "+1 -2" in order; moves it. */
static const char *events_after(struct rig *r, const char *name, struct index_watch_place *place)
{
    static char text[1024];
    struct index_watch_event e[PAGE_MAX];
    size_t n = 0, len = 0;
    text[0] = '\0';
    do {
        assert_int_equal(read_some(r, name, place, PAGE_MAX, e, &n), ERR_OK);
        for (size_t i = 0; i < n; i++)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%c%llu", len ? " " : "",
                                    e[i].enter ? '+' : '-', (unsigned long long)e[i].member);
    } while (n > 0 || place->from != INDEX_WATCH_AFTER);
    return text;
}

static void end(struct rig *r, uint64_t log_index)
{
    index_end_entry(r->ix, log_index, (msec_t)log_index * 1000);
    rig_publish(r);
}

static struct index_watch_place from_all(void)
{
    return (struct index_watch_place){.from = INDEX_WATCH_ALL};
}

static void test_watch_gives_who_comes_and_who_goes(void **state)
{
    struct rig *r = *state;
    rig_add(r, 1);
    rig_tag(r, 1, "vip", true);
    rig_add(r, 2);
    watch(r, "s", "tag(vip)");
    end(r, 1);
    struct index_watch_place now = {.from = INDEX_WATCH_NOW}, all = from_all();
    assert_string_equal(events_after(r, "s", &now), "");
    assert_string_equal(events_after(r, "s", &all), "+1");
    rig_tag(r, 2, "vip", true);
    rig_tag(r, 1, "vip", false);
    end(r, 2);
    assert_string_equal(events_after(r, "s", &now), "-1 +2");
    assert_string_equal(events_after(r, "s", &all), "-1 +2");
    rig_tag(r, 2, "new", true);
    end(r, 3);
    assert_string_equal(events_after(r, "s", &all), "");
}

static void test_watch_event_carries_position_and_time_of_its_entry(void **state)
{
    struct rig *r = *state;
    struct index_watch_place all = from_all();
    struct index_watch_event e[2];
    size_t n;
    watch(r, "s", "tag(vip)");
    end(r, 4);
    assert_string_equal(events_after(r, "s", &all), "");
    rig_add(r, 9);
    rig_tag(r, 9, "vip", true);
    end(r, 7);
    assert_int_equal(read_some(r, "s", &all, 2, e, &n), ERR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(e[0].log_index, 7);
    assert_int_equal(e[0].member, 9);
    assert_int_equal(e[0].time_ms, 7000);
    assert_true(e[0].enter);
}

static void test_watch_says_nothing_of_what_an_entry_undoes(void **state)
{
    struct rig *r = *state;
    struct index_watch_place all = from_all();
    watch(r, "s", "tag(vip)");
    for (one_id m = 1; m <= 3; m++) {
        rig_add(r, m);
        rig_tag(r, m, "vip", m != 3);
    }
    end(r, 1);
    assert_string_equal(events_after(r, "s", &all), "+1 +2");
    rig_tag(r, 1, "vip", false);
    rig_tag(r, 3, "vip", true);
    rig_tag(r, 1, "vip", true);
    rig_tag(r, 3, "vip", false);
    rig_remove(r, 2); /* as a merge that was aborted in the same entry */
    rig_add(r, 2);
    rig_tag(r, 2, "vip", true);
    end(r, 2);
    assert_string_equal(events_after(r, "s", &all), "");
}

static void test_watch_of_a_merge_lets_the_loser_leave_and_the_winner_enter(void **state)
{
    struct rig *r = *state;
    struct index_watch_place all = from_all();
    watch(r, "s", "tag(vip)");
    rig_add(r, 1);
    rig_add(r, 2);
    rig_tag(r, 2, "vip", true);
    end(r, 1);
    assert_string_equal(events_after(r, "s", &all), "+2");
    rig_remove(r, 2);
    rig_tag(r, 1, "vip", true);
    end(r, 2);
    assert_string_equal(events_after(r, "s", &all), "+1 -2");
}

static void test_watch_of_new_members_and_negations(void **state)
{
    struct rig *r = *state;
    struct index_watch_place all = from_all();
    watch(r, "s", "not tag(vip)");
    end(r, 1);
    rig_add(r, 5);
    end(r, 2);
    assert_string_equal(events_after(r, "s", &all), "+5");
    rig_tag(r, 5, "vip", true);
    end(r, 3);
    assert_string_equal(events_after(r, "s", &all), "-5");
}

static void test_watch_sees_days_pass(void **state)
{
    struct rig *r = *state;
    struct index_watch_place all = from_all();
    index_set_today(r->ix, RIG_TODAY);
    watch(r, "s", "count(order, 3d) >= 1 or last(view) = 2d ago");
    rig_add(r, 1);
    rig_order(r, 1, RIG_TODAY, 1, 0, NULL, NULL);
    rig_add(r, 2);
    rig_last(r, 2, "view", RIG_TODAY - 1, true);
    end(r, 1);
    assert_string_equal(events_after(r, "s", &all), "+1");
    static const char *const days[] = {"+2", "-2", "-1", ""};
    for (int i = 0; i < 4; i++) {
        index_set_today(r->ix, RIG_TODAY + 1 + i);
        end(r, 2 + (uint64_t)i);
        assert_string_equal(events_after(r, "s", &all), days[i]);
    }
    rig_order(r, 2, RIG_TODAY + 4, 1, 0, NULL, NULL);
    end(r, 9);
    assert_string_equal(events_after(r, "s", &all), "+2");
}

static void test_watch_redefined_gives_the_differences(void **state)
{
    struct rig *r = *state;
    struct index_watch_place all = from_all();
    watch(r, "s", "tag(a)");
    for (one_id m = 1; m <= 4; m++) {
        rig_add(r, m);
        rig_tag(r, m, m % 2 ? "a" : "b", true);
    }
    end(r, 1);
    assert_string_equal(events_after(r, "s", &all), "+1 +3");
    watch(r, "s", "tag(b)");
    rig_remove(r, 3); /* in the same entry */
    rig_remove(r, 1);
    rig_add(r, 1);
    rig_tag(r, 1, "b", true);
    end(r, 2);
    assert_string_equal(events_after(r, "s", &all), "+2 -3 +4");
}

static void test_watch_dropped_and_begun_again_refuses_old_places(void **state)
{
    struct rig *r = *state;
    struct index_watch_event e[1];
    size_t n;
    watch(r, "s", "tag(a)");
    end(r, 1);
    struct index_watch_place now = {.from = INDEX_WATCH_NOW};
    assert_int_equal(read_some(r, "s", &now, 1, e, &n), ERR_OK);
    index_set_watches(r->ix, NULL, 0);
    end(r, 2);
    assert_int_equal(read_some(r, "s", &now, 1, e, &n), ERR_NOT_FOUND);
    watch(r, "s", "tag(a)");
    end(r, 3);
    assert_int_equal(read_some(r, "s", &now, 1, e, &n), ERR_TOO_OLD);
    now.log_index = 4;
    assert_int_equal(read_some(r, "s", &now, 1, e, &n), ERR_BUSY);
    now.log_index = 3;
    assert_int_equal(read_some(r, "s", &now, 1, e, &n), ERR_OK);
    assert_int_equal(read_some(r, "s", &now, 0, e, &n), ERR_INVALID);
}

static void test_watch_that_cannot_be_evaluated_says_so(void **state)
{
    struct rig *r = *state;
    struct index_watch_event e[1];
    size_t n;
    struct index_watch_place all = from_all();
    rig_add(r, 1);
    rig_tag(r, 1, "a", true);
    watch(r, "s", "segment(other)");
    end(r, 1);
    assert_int_equal(read_some(r, "s", &all, 1, e, &n), ERR_NOT_FOUND);
    watch(r, "s", "tag(a)");
    end(r, 2);
    assert_string_equal(events_after(r, "s", &all), "+1");
    watch(r, "s", "tag(");
    end(r, 3);
    assert_int_equal(read_some(r, "s", &all, 1, e, &n), ERR_INVALID);
    struct index_watch_place old = all;
    watch(r, "s", "tag(a)");
    end(r, 4);
    assert_int_equal(read_some(r, "s", &old, 1, e, &n), ERR_TOO_OLD);
    all = from_all();
    assert_string_equal(events_after(r, "s", &all), "+1");
}

static void test_watch_journals_share_one_bound(void **state)
{
    struct rig *r = *state;
    struct index_watch w[] = {{bytes_of_str("quiet"), bytes_of_str("tag(q)")},
                              {bytes_of_str("busy"), bytes_of_str("tag(b)")}};
    struct index_watch_stats stats;
    struct index_watch_event e[PAGE_MAX];
    size_t n;
    index_set_watch_events(r->ix, 100);
    index_set_watches(r->ix, w, 2);
    end(r, 1);
    struct index_watch_place quiet = from_all(), busy = from_all(), late;
    assert_string_equal(events_after(r, "quiet", &quiet), "");
    assert_string_equal(events_after(r, "busy", &busy), "");
    rig_add(r, 1);
    rig_tag(r, 1, "q", true);
    for (uint64_t i = 2; i < 200; i++) {
        rig_tag(r, 1, "b", i % 2 == 0);
        end(r, i);
    }
    index_get_watch_stats(r->ix, &stats);
    assert_int_equal(stats.watches, 2);
    assert_int_equal(stats.events, 100);
    assert_string_equal(events_after(r, "quiet", &quiet), "+1");
    assert_int_equal(read_some(r, "busy", &busy, PAGE_MAX, e, &n), ERR_TOO_OLD);
    /* 99 events are left, of entries 101 to 199: after 100 is the oldest place that is held. */
    late = (struct index_watch_place){INDEX_WATCH_AFTER, 100, 1};
    assert_int_equal(read_some(r, "busy", &late, PAGE_MAX, e, &n), ERR_OK);
    assert_int_equal(e[0].log_index, 101);
    late = (struct index_watch_place){INDEX_WATCH_AFTER, 99, UINT64_MAX};
    assert_int_equal(read_some(r, "busy", &late, PAGE_MAX, e, &n), ERR_TOO_OLD);
}

static void test_watch_listing_is_as_of_its_entry(void **state)
{
    struct rig *r = *state;
    struct index_watch_event e[2];
    size_t n;
    struct index_watch_place all = from_all(), begun;
    watch(r, "s", "tag(a)");
    for (one_id m = 1; m <= 5; m++) {
        rig_add(r, m);
        rig_tag(r, m, "a", m != 4);
    }
    end(r, 1);
    assert_int_equal(read_some(r, "s", &all, 1, e, &n), ERR_OK);
    assert_int_equal(e[0].member, 1);
    assert_int_equal(all.from, INDEX_WATCH_LISTING);
    begun = all;
    rig_remove(r, 2);
    rig_tag(r, 3, "a", false);
    rig_tag(r, 4, "a", true);
    end(r, 2);
    rig_tag(r, 3, "a", true);
    rig_tag(r, 1, "a", false);
    end(r, 3);
    assert_string_equal(events_after(r, "s", &all), "+2 +3 +5 -2 -3 +4 -1 +3");
    assert_string_equal(events_after(r, "s", &begun), "+2 +3 +5 -2 -3 +4 -1 +3");
}

/* --- random --- */

enum { WATCHES = 6, MEMBERS = 400 };

struct follower {
    struct index_watch_place place;
    uint8_t in[MEMBERS + 1];
    uint64_t last_index; /* of the last event, for the order */
    one_id last_member;
};

struct world {
    struct rig *rig;
    struct model model;
    struct rng rng; /* how it is read, published and saved: not what happens */
    char *dir;
    uint64_t log_index;
    int32_t today;
    char *texts[WATCHES]; /* NULL: not watched */
    struct follower followers[WATCHES];
    struct buf seen[WATCHES]; /* all events, as read */
    bool plain;               /* no pending changes, no saves */
};

static void name_of(int i, char *out)
{
    (void)snprintf(out, 8, "w%d", i);
}

/* No text says "any number". */
static bool has_open_range(const struct expr *e)
{
    bool ranged = e->kind == EXPR_RANGE || e->kind == EXPR_COUNT || e->kind == EXPR_SUM ||
                  e->kind == EXPR_LAST;
    if (ranged && e->lo == INT64_MIN && e->hi == INT64_MAX)
        return true;
    for (size_t i = 0; i < e->n_children; i++)
        if (has_open_range(e->children[i]))
            return true;
    return false;
}

/* Random bounds may be such that no text has them. */
static bool may_be_text(struct world *w, struct bytes text)
{
    struct expr *e;
    return expr_parse(text, w->rig->schema, &w->rig->arena, &e, NULL) == ERR_OK;
}

static char *random_text(struct world *w)
{
    struct buf b = {0};
    const struct expr *e;
    do {
        buf_reset(&b);
        arena_reset(&w->rig->arena);
        e = model_expr(&w->model, (int)rng_below(&w->model.rng, 4));
        if (!has_open_range(e))
            expr_format(e, &b);
    } while (!may_be_text(w, buf_bytes(&b)));
    char *text = strndup((const char *)b.data, b.len);
    assert_non_null(text);
    buf_free(&b);
    return text;
}

static void tell_watches(struct world *w)
{
    struct index_watch list[WATCHES];
    char names[WATCHES][8];
    size_t n = 0;
    for (int i = 0; i < WATCHES; i++) {
        name_of(i, names[i]);
        if (w->texts[i])
            list[n++] = (struct index_watch){bytes_of_str(names[i]), bytes_of_str(w->texts[i])};
    }
    index_set_watches(w->rig->ix, list, n);
}

static void follow_anew(struct world *w, int i)
{
    w->followers[i] = (struct follower){.place = from_all()};
    buf_reset(&w->seen[i]);
}

/* A definition comes, changes or goes. */
static void redefine(struct world *w)
{
    int i = (int)rng_below(&w->model.rng, WATCHES);
    bool drop = w->texts[i] && rng_below(&w->model.rng, 3) == 0;
    bool begins = !w->texts[i];
    free(w->texts[i]);
    w->texts[i] = drop ? NULL : random_text(w);
    if (begins || drop)
        follow_anew(w, i);
    tell_watches(w);
}

static void one_entry(struct world *w)
{
    uint64_t steps = rng_below(&w->model.rng, rng_below(&w->model.rng, 10) ? 20 : 200);
    for (uint64_t i = 0; i < steps; i++)
        model_step(&w->model);
    if (rng_below(&w->model.rng, 12) == 0)
        index_set_today(w->rig->ix, w->today += (int32_t)rng_below(&w->model.rng, 3));
    if (rng_below(&w->model.rng, 15) == 0)
        redefine(w);
    w->log_index++;
    index_end_entry(w->rig->ix, w->log_index, (msec_t)w->log_index);
}

static void fold(struct world *w, int i, const struct index_watch_event *e)
{
    struct follower *f = &w->followers[i];
    bool listed = e->time_ms == 0;
    assert_in_range(e->member, 1, MEMBERS);
    assert_int_equal(f->in[e->member], !e->enter); /* in and out alternate */
    f->in[e->member] = e->enter;
    bool later = e->log_index != f->last_index ? e->log_index > f->last_index
                                               : listed && e->member > f->last_member;
    assert_true(later || (!listed && e->log_index == f->last_index && e->member > f->last_member));
    f->last_index = e->log_index;
    f->last_member = e->member;
    buf_put_u64(&w->seen[i], e->log_index);
    buf_put_u64(&w->seen[i], e->member);
    buf_put_u8(&w->seen[i], e->enter);
}

static bool is_same_event(const struct index_watch_event *a, const struct index_watch_event *b)
{
    return a->log_index == b->log_index && a->member == b->member && a->time_ms == b->time_ms &&
           a->enter == b->enter;
}

/* One page; false when there was nothing. */
static bool follow(struct world *w, int i, size_t limit)
{
    struct index_watch_event e[PAGE_MAX];
    const struct index_watch_place before = w->followers[i].place;
    struct index_watch_place again = before;
    char name[8];
    size_t n = 0;
    name_of(i, name);
    enum error_code code = read_some(w->rig, name, &w->followers[i].place, limit, e, &n);
    if (code != ERR_OK)
        fail_msg("%s: %s", w->texts[i], w->rig->err.msg);
    for (size_t k = 0; k < n; k++)
        fold(w, i, &e[k]);
    if (before.from == INDEX_WATCH_AFTER && n > 0) { /* the same place gives the same events */
        struct index_watch_event twice[PAGE_MAX];
        size_t n_twice = 0;
        assert_int_equal(read_some(w->rig, name, &again, limit, twice, &n_twice), ERR_OK);
        assert_int_equal(n_twice, n);
        for (size_t k = 0; k < n; k++)
            assert_true(is_same_event(&twice[k], &e[k]));
    }
    return n > 0 || before.from != INDEX_WATCH_AFTER;
}

static void follow_to_the_end(struct world *w)
{
    for (int i = 0; i < WATCHES; i++)
        while (w->texts[i] && follow(w, i, PAGE_MAX)) {
        }
}

/* At rest, what was told adds up to what a list of the same expression says, and, on the day that
 * the model knows, to what the model says. */
static void check_folded(struct world *w)
{
    for (int i = 0; i < WATCHES; i++) {
        if (!w->texts[i])
            continue;
        arena_reset(&w->rig->arena);
        struct index_query q = rig_query(rig_parse(w->rig, w->texts[i]));
        q.today = w->today;
        one_id page[MEMBERS];
        uint8_t in[MEMBERS + 1] = {0};
        size_t n = 0;
        uint64_t cursor = 0;
        assert_int_equal(
            index_list_members(w->rig->ix, &q, 0, MEMBERS, page, &n, &cursor, &w->rig->err),
            ERR_OK);
        for (size_t k = 0; k < n; k++)
            in[page[k]] = 1;
        if (memcmp(in, w->followers[i].in, sizeof in) != 0)
            print_error("after entry %llu: %s\n", (unsigned long long)w->log_index, w->texts[i]);
        assert_memory_equal(in, w->followers[i].in, sizeof in);
        for (size_t k = 0; k < w->model.n && w->today == RIG_TODAY; k++) {
            const struct model_member *x = &w->model.members[k];
            assert_int_equal(in[x->id], x->alive && model_matches(&w->model, x, q.expr));
        }
    }
}

static void save_and_load(struct world *w)
{
    const char *path = tempdir_path(w->dir, "index");
    assert_int_equal(index_save(w->rig->ix, path, 1, 2, 0, &w->rig->err), ERR_OK);
    rig_renew(w->rig);
    if (index_load(w->rig->ix, path, 1, 2, 0, &w->rig->err) != ERR_OK)
        fail_msg("%s", w->rig->err.msg);
    assert_int_equal(index_applied(w->rig->ix), w->log_index);
}

/* Some entries, with a query running over a part of them so that they collect. */
static void some_entries(struct world *w)
{
    bool hold = !w->plain && rng_below(&w->rng, 2);
    if (hold)
        assert_int_equal(gate_read(&w->rig->ix->gate, 0, NULL), ERR_OK);
    for (int i = 0; i < 4; i++)
        one_entry(w);
    if (hold) {
        assert_false(index_publish(w->rig->ix));
        gate_read_end(&w->rig->ix->gate);
    }
    rig_publish(w->rig);
}

static void world_open(struct world *w, struct rig *r, uint64_t seed, bool plain)
{
    static const char *const busy[] = {"tag(t0) and not channel(h1)",
                                       "count(order, 20d) >= 1 or points > 50"};
    *w = (struct world){.rig = r, .rng = rng_of_seed(seed ^ 77), .plain = plain};
    rig_renew(r);
    w->dir = tempdir_make();
    w->today = RIG_TODAY;
    model_init(&w->model, r, MEMBERS, seed);
    for (size_t i = 0; i < MEMBERS / 2; i++)
        model_fill(&w->model, &w->model.members[i]);
    index_set_today(r->ix, RIG_TODAY);
    for (int i = 0; i < WATCHES; i++) {
        w->texts[i] = i < 2 ? strdup(busy[i]) : random_text(w);
        assert_non_null(w->texts[i]);
        follow_anew(w, i);
    }
    tell_watches(w);
    w->log_index = 1;
    index_end_entry(r->ix, 1, 1);
    rig_publish(r);
}

static void world_close(struct world *w)
{
    for (int i = 0; i < WATCHES; i++) {
        free(w->texts[i]);
        buf_free(&w->seen[i]);
    }
    model_close(&w->model);
    tempdir_remove(w->dir);
}

static void run_world(struct world *w, int rounds)
{
    for (int round = 0; round < rounds; round++) {
        some_entries(w);
        if (!w->plain && rng_below(&w->rng, 6) == 0)
            save_and_load(w);
        for (int i = 0; i < WATCHES; i++)
            if (w->texts[i] && rng_below(&w->rng, 2))
                (void)follow(w, i, 1 + rng_below(&w->rng, 8));
        if (round % 4 == 3) {
            follow_to_the_end(w);
            check_folded(w);
        }
    }
    follow_to_the_end(w);
    check_folded(w);
}

static void test_watch_followed_in_pieces_adds_up_to_the_list(void **state)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct world w;
        world_open(&w, *state, seed, false);
        run_world(&w, 60);
        world_close(&w);
    }
}

/* The whole of the journals, as the one that reads last sees it. */
static void dump(struct world *w, struct buf *out)
{
    for (int i = 0; i < WATCHES; i++) {
        const struct watch *x = w->rig->ix->core.watches.slots[i];
        for (uint32_t k = 0; x && k < x->journal.n; k++)
            buf_put(out, journal_at(&x->journal, k), sizeof(struct journal_event));
        if (x)
            buf_put_bytes(out, x->text);
    }
}

/* Changes that go straight in, that collect while queries run, and that come after a restart give
 * the same journals, byte for byte. */
static void test_watch_journals_are_a_function_of_the_log(void **state)
{
    for (uint64_t seed = 20; seed < 26; seed++) {
        struct buf dumps[2] = {{0}};
        for (int i = 0; i < 2; i++) {
            struct world w;
            world_open(&w, *state, seed, i == 0);
            run_world(&w, 50);
            dump(&w, &dumps[i]);
            world_close(&w);
        }
        assert_true(dumps[0].len > 5000);
        assert_int_equal(dumps[0].len, dumps[1].len);
        assert_memory_equal(dumps[0].data, dumps[1].data, dumps[0].len);
        buf_free(&dumps[0]);
        buf_free(&dumps[1]);
    }
}

/* A replica that was rebuilt from the profiles: other ordinals, journals that begin there, and from
 * then on the same events at the same positions. */
static void test_watch_rebuilt_goes_on_with_the_same_events(void **state)
{
    struct rig *r = *state;
    struct index_watch_place live = from_all(), rebuilt, old;
    struct index_watch_event e[1];
    size_t n;
    watch(r, "s", "tag(a) and points >= 10");
    for (one_id m = 1; m <= 20; m++) {
        rig_add(r, m);
        rig_tag(r, m, "a", true);
        rig_number(r, m, "points", (int64_t)m, true);
    }
    end(r, 5);
    (void)events_after(r, "s", &live);
    old = live;
    struct index *other = r->ix;
    r->ix = index_new(r->schema);
    for (one_id m = 20; m >= 1; m--) {
        rig_add(r, m);
        rig_tag(r, m, "a", true);
        rig_number(r, m, "points", (int64_t)m, true);
    }
    watch(r, "s", "tag(a) and points >= 10");
    end(r, 6);
    rebuilt = (struct index_watch_place){INDEX_WATCH_AFTER, 6, UINT64_MAX};
    assert_int_equal(read_some(r, "s", &old, 1, e, &n), ERR_TOO_OLD);
    for (int i = 0; i < 2; i++) {
        for (one_id m = 1; m <= 20; m += 3)
            rig_number(r, m, "points", 15 - (int64_t)m / 3, true);
        end(r, 7);
        assert_string_equal(events_after(r, "s", i ? &live : &rebuilt), "+1 +4 +7 -19");
        assert_int_equal(live.from, INDEX_WATCH_AFTER);
        struct index *t = r->ix;
        r->ix = other;
        other = t;
    }
    index_free(other);
}

/* --- with a reader beside the writer --- */

enum { LOUD_MEMBERS = 300, LOUD_ENTRIES = 3000 };

struct reading_thread {
    struct rig *rig;
    bool in[LOUD_MEMBERS + 1];
    uint64_t events;
    const char *wrong;
};

/* Follows until it has seen the last entry. */
static void *read_along(void *arg)
{
    struct reading_thread *t = arg;
    struct index_watch_place place = from_all();
    struct error err;
    while (!t->wrong && (place.from != INDEX_WATCH_AFTER || place.log_index < LOUD_ENTRIES ||
                         place.member != UINT64_MAX)) {
        struct index_watch_event e[16];
        size_t n = 0;
        if (index_watch_read(t->rig->ix, bytes_of_str("s"), &place, 16, 0, e, &n, &place, &err))
            t->wrong = "a read failed";
        for (size_t i = 0; i < n; i++) {
            if (e[i].member > LOUD_MEMBERS || t->in[e[i].member] == e[i].enter)
                t->wrong = "in and out do not alternate";
            else
                t->in[e[i].member] = e[i].enter;
        }
        t->events += n;
    }
    return NULL;
}

static void test_watch_read_while_entries_come(void **state)
{
    struct rig *r = *state;
    struct rng rng = rng_of_seed(5);
    struct reading_thread t = {.rig = r};
    bool in[LOUD_MEMBERS + 1] = {false};
    pthread_t thread;
    watch(r, "s", "tag(a)");
    for (one_id m = 1; m <= LOUD_MEMBERS; m++)
        rig_add(r, m);
    end(r, 1);
    assert_int_equal(pthread_create(&thread, NULL, read_along, &t), 0);
    for (uint64_t i = 2; i <= LOUD_ENTRIES; i++) {
        for (int k = 0; k < 5; k++) {
            one_id m = 1 + rng_below(&rng, LOUD_MEMBERS);
            in[m] = rng_below(&rng, 2) != 0;
            rig_tag(r, m, "a", in[m]);
        }
        index_end_entry(r->ix, i, (msec_t)i);
        (void)index_publish(r->ix);
    }
    while (!index_publish(r->ix)) {
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    if (t.wrong)
        fail_msg("%s", t.wrong);
    assert_true(t.events > LOUD_MEMBERS);
    assert_memory_equal(t.in, in, sizeof in);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_watch_gives_who_comes_and_who_goes),
        TEST(test_watch_event_carries_position_and_time_of_its_entry),
        TEST(test_watch_says_nothing_of_what_an_entry_undoes),
        TEST(test_watch_of_a_merge_lets_the_loser_leave_and_the_winner_enter),
        TEST(test_watch_of_new_members_and_negations),
        TEST(test_watch_sees_days_pass),
        TEST(test_watch_redefined_gives_the_differences),
        TEST(test_watch_dropped_and_begun_again_refuses_old_places),
        TEST(test_watch_that_cannot_be_evaluated_says_so),
        TEST(test_watch_journals_share_one_bound),
        TEST(test_watch_listing_is_as_of_its_entry),
        TEST(test_watch_followed_in_pieces_adds_up_to_the_list),
        TEST(test_watch_journals_are_a_function_of_the_log),
        TEST(test_watch_rebuilt_goes_on_with_the_same_events),
        TEST(test_watch_read_while_entries_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
