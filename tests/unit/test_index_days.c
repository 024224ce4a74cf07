/* A leap year, day by day, in a zone with daylight saving: registered windows, windows added up
 * from the events and a plain list of the events agree on each day. */
#include "index_rig.h"

#include <base/rng.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MEMBERS = 30, EVENTS_MAX = 20000, HOUR_MS = 3600000, AMOUNT = 12340000 };

struct sale {
    one_id member;
    msec_t at;
    int32_t count;
};

struct walk {
    struct rig *rig;
    struct index *rolling, *plain;
    struct rng rng;
    struct sale *sales;
    size_t n;
};

static void put(struct walk *w, struct sale s)
{
    struct index *both[] = {w->rolling, w->plain};
    assert_true(w->n < EVENTS_MAX);
    w->sales[w->n++] = s;
    for (int i = 0; i < 2; i++) {
        w->rig->ix = both[i];
        rig_order(w->rig, s.member, clock_day_of_ms(s.at), s.count, (int64_t)s.count * AMOUNT,
                  "milk", NULL);
    }
    w->rig->ix = w->plain;
}

static one_id random_member(struct walk *w)
{
    return 1 + rng_below(&w->rng, MEMBERS);
}

/* Where the day begins, to the millisecond, from what the clock says of hours. */
static msec_t begin_of(int32_t day)
{
    msec_t at = (msec_t)day * MSEC_PER_DAY - 14 * HOUR_MS;
    while (clock_day_of_ms(at) < day)
        at += HOUR_MS;
    while (clock_day_of_ms(at - 1) == day)
        at -= 1 + (clock_day_of_ms(at - HOUR_MS) == day) * (HOUR_MS - 1);
    return at;
}

/* At both ends of the day, late ones, some of tomorrow, and returns of earlier ones. */
static void live_a_day(struct walk *w, msec_t begin, msec_t end)
{
    put(w, (struct sale){random_member(w), begin, 1});
    put(w, (struct sale){random_member(w), begin - 1, 1});
    put(w, (struct sale){random_member(w), end - 1, 1});
    put(w, (struct sale){random_member(w), end, 1});
    for (int i = 0; i < 12; i++) {
        msec_t back = (msec_t)rng_below(&w->rng, 40) * MSEC_PER_DAY / (i % 2 ? 1 : 40);
        put(w, (struct sale){random_member(w), end - 1 - back, 1 + (i == 3) * 200});
    }
    struct sale back = w->sales[rng_below(&w->rng, w->n)];
    back.count = -back.count;
    put(w, back);
}

static uint64_t slow_count(const struct walk *w, int32_t today, int32_t days, int64_t at_least)
{
    int64_t totals[MEMBERS + 1] = {0};
    uint64_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        int32_t day = clock_day_of_ms(w->sales[i].at);
        if (day > today - days && day <= today)
            totals[w->sales[i].member] += w->sales[i].count;
    }
    for (one_id m = 1; m <= MEMBERS; m++)
        n += totals[m] >= at_least;
    return n;
}

static uint64_t ask(struct walk *w, struct index *ix, const char *text, int32_t today,
                    enum index_strategy strategy)
{
    struct index_query q = {.expr = rig_parse(w->rig, text), .today = today};
    struct index_count count;
    struct index_explain_row *rows = NULL;
    size_t n_rows = 0;
    assert_int_equal(
        index_count_explain(ix, &q, &count, &w->rig->arena, &rows, &n_rows, &w->rig->err), ERR_OK);
    assert_int_equal(rows[0].strategy, strategy);
    return count.members;
}

static void check_day(struct walk *w, int32_t today)
{
    static const int32_t days[] = {1, 7, 30, 365};
    for (size_t i = 0; i < sizeof days / sizeof *days; i++) {
        char count[80], sum[80];
        int64_t least = (int64_t)rng_below(&w->rng, 3 + (uint64_t)days[i] / 2);
        uint64_t slow = slow_count(w, today, days[i], least);
        (void)snprintf(count, sizeof count, "count(order, %dd) >= %lld", days[i], (long long)least);
        (void)snprintf(sum, sizeof sum, "sum(order.amount, %dd) >= %lld.%02lld", days[i],
                       (long long)(least * AMOUNT / 1000000),
                       (long long)(least * AMOUNT / 10000 % 100));
        assert_int_equal(ask(w, w->plain, count, today, INDEX_BY_EVENTS), slow);
        assert_int_equal(ask(w, w->plain, sum, today, INDEX_BY_EVENTS), slow);
        assert_int_equal(ask(w, w->rolling, count, today, INDEX_BY_WINDOW), slow);
        assert_int_equal(ask(w, w->rolling, sum, today, INDEX_BY_WINDOW), slow);
    }
    arena_reset(&w->rig->arena);
}

static void register_windows(struct walk *w)
{
    static const uint32_t days[] = {1, 7, 30, 365};
    const struct schema_event *e = schema_event_by_name(w->rig->schema, bytes_of_str("order"));
    const struct schema_field *f = schema_field_by_name(e, bytes_of_str("amount"));
    struct index_window windows[8];
    for (size_t i = 0; i < 8; i++)
        windows[i] = (struct index_window){e->id, i % 2 ? f->id : 0, days[i / 2]};
    assert_int_equal(index_set_windows(w->rolling, windows, 8, &w->rig->err), ERR_OK);
}

static void test_index_windows_through_a_leap_year_with_daylight_saving(void **state)
{
    struct walk w = {.rig = *state, .rng = rng_of_seed(5)};
    w.plain = w.rig->ix;
    w.rolling = index_new(w.rig->schema);
    w.sales = calloc(EVENTS_MAX, sizeof *w.sales);
    assert_non_null(w.rolling);
    assert_non_null(w.sales);
    assert_int_equal(clock_set_timezone("Europe/Berlin"), 0);
    for (one_id m = 1; m <= MEMBERS; m++) {
        index_apply(w.plain, &(struct index_op){.kind = INDEX_ADD, .member = m});
        index_apply(w.rolling, &(struct index_op){.kind = INDEX_ADD, .member = m});
    }
    register_windows(&w);
    int32_t first = clock_day_of_date(2023, 12, 31), leap = clock_day_of_date(2024, 2, 29);
    bool saw_leap = false, saw_short = false, saw_long = false;
    msec_t begin = begin_of(first);
    for (int32_t today = first; today < first + 368; today++) {
        msec_t end = begin_of(today + 1);
        saw_leap = saw_leap || clock_day_of_ms(begin) == leap;
        saw_short = saw_short || end - begin == 23 * HOUR_MS;
        saw_long = saw_long || end - begin == 25 * HOUR_MS;
        index_set_today(w.rolling, today);
        index_expire(w.rolling, today);
        index_expire(w.plain, today);
        live_a_day(&w, begin, end);
        assert_true(index_publish(w.plain));
        assert_true(index_publish(w.rolling));
        check_day(&w, today);
        begin = end;
    }
    assert_true(saw_leap && saw_short && saw_long);
    index_free(w.rolling);
    free(w.sales);
}

static void test_index_refuses_windows_that_it_cannot_keep(void **state)
{
    struct rig *r = *state;
    struct index_window many[INDEX_WINDOWS_MAX + 1] = {{0}};
    const struct schema_event *e = schema_event_by_name(r->schema, bytes_of_str("order"));
    struct index_window w = {.event = e->id, .days = 3};
    assert_int_equal(index_set_windows(r->ix, many, INDEX_WINDOWS_MAX + 1, &r->err), ERR_TOO_LARGE);
    assert_int_equal(index_set_windows(r->ix, many, 1, &r->err), ERR_UNKNOWN_NAME);
    w.field = schema_field_by_name(e, bytes_of_str("category"))->id;
    assert_int_equal(index_set_windows(r->ix, &w, 1, &r->err), ERR_UNKNOWN_NAME);
    w = (struct index_window){.event = e->id};
    assert_int_equal(index_set_windows(r->ix, &w, 1, &r->err), ERR_INVALID);
    assert_int_equal(index_set_windows(r->ix, NULL, 0, &r->err), ERR_OK);
}

static void test_index_finds_the_windows_of_an_expression(void **state)
{
    struct rig *r = *state;
    struct index_window w[3];
    const struct expr *e = rig_parse(r, "count(order, 7d) >= 1 and not (sum(order.amount, 30d) > 5 "
                                        "or count(order, 7d) = 0) and count(view) > 1 and "
                                        "count(order where category = milk, 7d) > 1");
    assert_int_equal(index_windows_of(e, w, 0, 3), 2);
    assert_int_equal(w[0].days + w[1].days, 37);
    assert_int_equal(index_windows_of(rig_parse(r, "count(view, 3d) = 1"), w, 2, 3), 3);
    assert_int_equal(index_windows_of(rig_parse(r, "count(view, 4d) = 1"), w, 3, 3), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_index_windows_through_a_leap_year_with_daylight_saving),
        TEST(test_index_refuses_windows_that_it_cannot_keep),
        TEST(test_index_finds_the_windows_of_an_expression),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
