#include "index_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_index_counts_members_by_tag_channel_and_namespace(void **state)
{
    struct rig *r = *state;
    for (one_id m = 1; m <= 4; m++)
        rig_add(r, m);
    rig_tag(r, 1, "vip", true);
    rig_tag(r, 2, "vip", true);
    rig_tag(r, 2, "vip", true);
    rig_tag(r, 3, "vip", true);
    rig_tag(r, 3, "vip", false);
    rig_channel(r, 2, "tmall", true);
    rig_has(r, 3, "phone", true);
    rig_publish(r);

    assert_int_equal(rig_count(r, "true"), 4);
    assert_int_equal(rig_count(r, "false"), 0);
    assert_int_equal(rig_count(r, "tag(vip)"), 2);
    assert_int_equal(rig_count(r, "tag(vip) and not channel(tmall)"), 1);
    assert_int_equal(rig_count(r, "tag(nobody)"), 0);
    assert_int_equal(rig_count(r, "tag(vip) or has(phone)"), 3);
    assert_int_equal(rig_count(r, "not tag(vip)"), 2);
    rig_has(r, 3, "phone", false);
    rig_publish(r);
    assert_int_equal(rig_count(r, "has(phone)"), 0);
}

static void test_index_answers_with_its_population_and_log_point(void **state)
{
    struct rig *r = *state;
    struct index_query q = rig_query(rig_parse(r, "tag(vip)"));
    struct index_count count;
    rig_add(r, 1);
    rig_add(r, 2);
    rig_tag(r, 1, "vip", true);
    index_set_applied(r->ix, 77);
    rig_publish(r);

    assert_int_equal(index_count_members(r->ix, &q, &count, &r->err), ERR_OK);
    assert_int_equal(count.members, 1);
    assert_int_equal(count.population, 2);
    assert_int_equal(count.applied, 77);
    assert_int_equal(index_applied(r->ix), 77);
}

static void test_index_takes_values_of_enums_strings_and_sets(void **state)
{
    struct rig *r = *state;
    for (one_id m = 1; m <= 4; m++)
        rig_add(r, m);
    rig_value(r, 1, "city", "上海", true);
    rig_value(r, 2, "city", "杭州", true);
    rig_value(r, 2, "city", "杭州", false);
    rig_value(r, 2, "city", "上海", true);
    rig_value(r, 3, "city", "北京", true);
    rig_value(r, 1, "interests", "tea", true);
    rig_value(r, 1, "interests", "run", true);
    rig_value(r, 2, "interests", "run", true);
    rig_value(r, 4, "nickname", "zz", true);
    rig_publish(r);

    assert_int_equal(rig_count(r, "city = \"上海\""), 2);
    assert_int_equal(rig_count(r, "city in (\"上海\",\"北京\")"), 3);
    assert_int_equal(rig_count(r, "city != \"上海\""), 1);
    assert_int_equal(rig_count(r, "city not in (\"杭州\")"), 3);
    assert_int_equal(rig_count(r, "exists(city)"), 3);
    assert_int_equal(rig_count(r, "interests = run"), 2);
    assert_int_equal(rig_count(r, "interests != tea"), 1);
    assert_int_equal(rig_count(r, "exists(interests)"), 2);
    assert_int_equal(rig_count(r, "nickname = zz"), 1);
    rig_value(r, 1, "interests", "tea", false);
    rig_value(r, 1, "interests", "run", false);
    rig_publish(r);
    assert_int_equal(rig_count(r, "exists(interests)"), 1);
}

static void test_index_replaces_a_single_value_that_was_not_taken_off(void **state)
{
    struct rig *r = *state;
    rig_add(r, 1);
    rig_value(r, 1, "city", "a", true);
    rig_value(r, 1, "city", "b", true);
    rig_value(r, 1, "city", "a", false);
    rig_publish(r);

    assert_int_equal(rig_count(r, "city = a"), 0);
    assert_int_equal(rig_count(r, "city = b"), 1);
}

static void test_index_compares_numbers_dates_and_counters(void **state)
{
    struct rig *r = *state;
    for (one_id m = 1; m <= 4; m++)
        rig_add(r, m);
    rig_number(r, 1, "points", 999, true);
    rig_number(r, 2, "points", 1000, true);
    rig_number(r, 3, "points", -5, true);
    rig_number(r, 1, "score", 1500000, true);
    rig_number(r, 2, "score", -3000000, true);
    rig_number(r, 1, "birth", clock_day_of_date(1990, 5, 1), true);
    rig_publish(r);

    assert_int_equal(rig_count(r, "points >= 1000"), 1);
    assert_int_equal(rig_count(r, "points < 1000"), 3);
    assert_int_equal(rig_count(r, "points = 0"), 1);
    assert_int_equal(rig_count(r, "points != 0"), 3);
    assert_int_equal(rig_count(r, "exists(points)"), 3);
    assert_int_equal(rig_count(r, "score = 1.5"), 1);
    assert_int_equal(rig_count(r, "score != 1.5"), 1);
    assert_int_equal(rig_count(r, "score < 0"), 1);
    assert_int_equal(rig_count(r, "birth = 1990-05-01"), 1);
    assert_int_equal(rig_count(r, "birth > 1990-05-01"), 0);
    rig_number(r, 2, "points", 0, false);
    rig_publish(r);
    assert_int_equal(rig_count(r, "points = 0"), 2);
}

static void test_index_derives_levels(void **state)
{
    struct rig *r = *state;
    for (one_id m = 1; m <= 5; m++)
        rig_add(r, m);
    rig_number(r, 2, "growth", 999, true);
    rig_number(r, 3, "growth", 1000, true);
    rig_number(r, 4, "growth", 19999, true);
    rig_number(r, 5, "growth", 20000, true);
    rig_publish(r);

    assert_int_equal(rig_count(r, "level = none"), 2);
    assert_int_equal(rig_count(r, "level = silver"), 1);
    assert_int_equal(rig_count(r, "level = gold"), 1);
    assert_int_equal(rig_count(r, "level >= gold"), 2);
    assert_int_equal(rig_count(r, "level != black"), 4);
}

static void test_index_counts_events_in_windows(void **state)
{
    struct rig *r = *state;
    for (one_id m = 1; m <= 4; m++)
        rig_add(r, m);
    rig_order(r, 1, RIG_TODAY, 2, 10000000, "milk", "web");
    rig_order(r, 2, RIG_TODAY - 29, 1, 0, "milk", NULL);
    rig_order(r, 3, RIG_TODAY - 30, 1, 0, "tea", "web");
    rig_order(r, 4, RIG_TODAY + 1, 1, 0, "tea", NULL);
    rig_publish(r);

    assert_int_equal(rig_count(r, "count(order, 30d) >= 1"), 2);
    assert_int_equal(rig_count(r, "count(order, 1d) = 2"), 1);
    assert_int_equal(rig_count(r, "count(order, 31d) >= 1"), 3);
    assert_int_equal(rig_count(r, "count(order) >= 1"), 4);
    assert_int_equal(rig_count(r, "count(order, 30d) = 0"), 2);
    assert_int_equal(rig_count(r, "count(order, 30d) != 0"), 2);
    assert_int_equal(rig_count(r, "count(order where category = milk) >= 1"), 2);
    assert_int_equal(rig_count(r, "count(order where category != milk) >= 1"), 2);
    assert_int_equal(rig_count(r, "count(order where \"where\" != shop) >= 1"), 2);
    assert_int_equal(rig_count(r, "count(order where category in (milk, tea), 30d) < 1"), 2);
}

static void test_index_sums_fields_and_takes_corrections(void **state)
{
    struct rig *r = *state;
    for (one_id m = 1; m <= 3; m++)
        rig_add(r, m);
    rig_order(r, 1, RIG_TODAY, 1, 99500000, "milk", NULL);
    rig_order(r, 1, RIG_TODAY - 1, 1, 500000, "milk", NULL);
    rig_order(r, 2, RIG_TODAY, 1, INT64_C(5000000000000), "tea", NULL);
    rig_order(r, 2, RIG_TODAY, 1, 1, "tea", NULL);
    rig_order(r, 3, RIG_TODAY, 300, 7000000, NULL, NULL);
    rig_order(r, 3, RIG_TODAY, -300, -7000000, NULL, NULL);
    rig_publish(r);

    assert_int_equal(rig_count(r, "sum(order.amount, 7d) >= 100"), 2);
    assert_int_equal(rig_count(r, "sum(order.amount) = 100"), 1);
    assert_int_equal(rig_count(r, "sum(order.amount) = 5000000.000001"), 1);
    assert_int_equal(rig_count(r, "sum(order.amount) = 0"), 1);
    assert_int_equal(rig_count(r, "sum(order.amount where category = tea) > 0"), 1);
    assert_int_equal(rig_count(r, "count(order) = 0"), 1);
    rig_order(r, 1, RIG_TODAY, -1, -99500000, "milk", NULL);
    rig_publish(r);
    assert_int_equal(rig_count(r, "sum(order.amount) = 0.5"), 1);
    assert_int_equal(rig_count(r, "count(order) = 1"), 1);
}

static void test_index_merges_many_rows_of_one_day_without_changing_sums(void **state)
{
    struct rig *r = *state;
    struct index_stats before, after;
    for (one_id m = 1; m <= 100; m++)
        rig_add(r, m);
    for (int i = 0; i < 20; i++)
        for (one_id m = 1; m <= 100; m++)
            rig_view(r, m, RIG_TODAY, 1, m % 2 ? "milk" : "tea");
    index_get_stats(r->ix, &before);
    for (int i = 0; i < 400; i++)
        for (one_id m = 1; m <= 100; m++)
            rig_view(r, m, RIG_TODAY, 1, m % 2 ? "milk" : "tea");
    index_get_stats(r->ix, &after);
    rig_publish(r);

    assert_int_equal(rig_count(r, "count(view, 1d) = 420"), 100);
    assert_int_equal(rig_count(r, "count(view where category = milk) = 420"), 50);
    assert_true(after.bytes < before.bytes + 16 * 1024);
}

static void test_index_finds_the_last_day_relative_and_absolute(void **state)
{
    struct rig *r = *state;
    for (one_id m = 1; m <= 4; m++)
        rig_add(r, m);
    rig_last(r, 1, "order", RIG_TODAY, true);
    rig_last(r, 2, "order", RIG_TODAY - 14, true);
    rig_last(r, 3, "order", RIG_TODAY - 15, true);
    rig_publish(r);

    assert_int_equal(rig_count(r, "last(order) > 14d ago"), 1);
    assert_int_equal(rig_count(r, "last(order) = 14d ago"), 1);
    assert_int_equal(rig_count(r, "last(order) != 14d ago"), 2);
    assert_int_equal(rig_count(r, "last(order) <= 14d ago"), 2);
    assert_int_equal(rig_count(r, "last(order) >= 2024-01-01"), 3);
    rig_last(r, 1, "order", 0, false);
    rig_publish(r);
    assert_int_equal(rig_count(r, "last(order) > 14d ago"), 0);
}

static void test_index_expires_days_that_are_not_kept(void **state)
{
    struct rig *r = *state;
    rig_add(r, 1);
    rig_view(r, 1, RIG_TODAY - 89, 1, "a");
    rig_view(r, 1, RIG_TODAY - 90, 1, "a");
    index_expire(r->ix, RIG_TODAY);
    rig_view(r, 1, RIG_TODAY - 90, 1, "a");
    rig_publish(r);

    assert_int_equal(rig_count(r, "count(view) = 1"), 1);
}

static void test_index_forgets_everything_of_a_removed_member(void **state)
{
    struct rig *r = *state;
    rig_add(r, 1);
    rig_tag(r, 1, "vip", true);
    rig_number(r, 1, "points", 5, true);
    rig_order(r, 1, RIG_TODAY, 1, 1000000, "milk", NULL);
    rig_remove(r, 1);
    rig_publish(r);
    assert_int_equal(rig_count(r, "true"), 0);
    assert_int_equal(rig_count(r, "tag(vip)"), 0);

    rig_add(r, 1);
    rig_publish(r);
    assert_int_equal(rig_count(r, "not tag(vip) and points = 0 and count(order) = 0"), 1);
    rig_tag(r, 1, "vip", true);
    rig_add(r, 1);
    rig_publish(r);
    assert_int_equal(rig_count(r, "true"), 1);
    assert_int_equal(rig_count(r, "tag(vip)"), 0);
}

static void test_index_ignores_operations_on_unknown_members_and_names(void **state)
{
    struct rig *r = *state;
    uint64_t empty = index_digest(r->ix);
    rig_tag(r, 9, "vip", true);
    rig_remove(r, 9);
    rig_order(r, 9, RIG_TODAY, 1, 1, "a", NULL);
    rig_add(r, 1);
    uint64_t one = 0;
    rig_publish(r);
    one = index_digest(r->ix);
    index_apply(r->ix,
                &(struct index_op){.kind = INDEX_NUMBER, .member = 1, .name = 12345, .on = true});
    index_apply(r->ix,
                &(struct index_op){.kind = INDEX_VALUE, .member = 1, .name = 12345, .on = true});
    index_apply(r->ix,
                &(struct index_op){.kind = INDEX_HAS, .member = 1, .name = 12345, .on = true});
    rig_value(r, 1, "points", "x", true);
    rig_number(r, 1, "city", 5, true);
    rig_publish(r);

    assert_int_not_equal(empty, one);
    assert_int_equal(index_digest(r->ix), one);
}

/* Members that come and go, each with things of its own, must not make the index grow for ever. */
static void test_index_does_not_grow_under_turnover(void **state)
{
    struct rig *r = *state;
    struct index_stats early, late;
    one_id next = 1;
    for (int round = 0; round < 24; round++) {
        for (int i = 0; i < 1000; i++, next++) {
            char text[32];
            (void)snprintf(text, sizeof text, "n%llu", (unsigned long long)next);
            rig_add(r, next);
            rig_value(r, next, "nickname", text, true);
            rig_tag(r, next, text, true);
            rig_number(r, next, "points", (int64_t)next, true);
            rig_order(r, next, RIG_TODAY, 1, 1000000, "milk", NULL);
            if (next > 500)
                rig_remove(r, next - 500);
        }
        rig_publish(r);
        assert_int_equal(rig_count(r, "count(order, 1d) = 1"), 500);
        assert_int_equal(rig_count(r, "exists(nickname)"), 500);
        if (round == 11)
            index_get_stats(r->ix, &early);
    }
    index_get_stats(r->ix, &late);
    assert_int_equal(late.members, 500);
    assert_true(late.bytes < early.bytes + early.bytes / 4);
}

static const struct expr *segment_by_name(void *ctx, struct bytes name)
{
    return bytes_equal(name, bytes_of_str("newborn")) ? *(const struct expr **)ctx : NULL;
}

static void test_index_resolves_saved_segments(void **state)
{
    struct rig *r = *state;
    const struct expr *saved = rig_parse(r, "tag(a) or tag(b)");
    struct index_query q = rig_query(rig_parse(r, "segment(newborn) and not tag(a)"));
    struct index_count count;
    q.segment = segment_by_name;
    q.segment_ctx = &saved;
    rig_add(r, 1);
    rig_add(r, 2);
    rig_tag(r, 1, "a", true);
    rig_tag(r, 2, "b", true);
    rig_publish(r);

    assert_int_equal(index_count_members(r->ix, &q, &count, &r->err), ERR_OK);
    assert_int_equal(count.members, 1);
    q.expr = rig_parse(r, "segment(other)");
    assert_int_equal(index_count_members(r->ix, &q, &count, &r->err), ERR_UNKNOWN_NAME);
    saved = rig_parse(r, "segment(newborn) or segment(newborn)");
    q.expr = saved;
    assert_int_equal(index_count_members(r->ix, &q, &count, &r->err), ERR_TOO_LARGE);
}

static void test_index_stops_at_the_deadline_and_when_cancelled(void **state)
{
    struct rig *r = *state;
    struct index_query q = rig_query(rig_parse(r, "true"));
    struct index_count count;
    bool cancelled = true;
    rig_add(r, 1);
    rig_publish(r);

    q.cancelled = &cancelled;
    assert_int_equal(index_count_members(r->ix, &q, &count, &r->err), ERR_CANCELLED);
    cancelled = false;
    q.deadline_mono_ms = 1;
    assert_int_equal(index_count_members(r->ix, &q, &count, &r->err), ERR_TIMEOUT);
    rig_add(r, 2);
    assert_int_equal(index_count_members(r->ix, &q, &count, &r->err), ERR_TIMEOUT);
    cancelled = true;
    assert_int_equal(index_count_members(r->ix, &q, &count, &r->err), ERR_CANCELLED);
    rig_publish(r);
    q = rig_query(q.expr);
    assert_int_equal(index_count_members(r->ix, &q, &count, &r->err), ERR_OK);
    assert_int_equal(count.members, 2);
}

static void test_index_digest_does_not_depend_on_ordinals_or_history(void **state)
{
    struct rig *r = *state;
    for (one_id m = 1; m <= 50; m++) {
        rig_add(r, m);
        rig_tag(r, m, m % 3 ? "a" : "b", true);
        rig_value(r, m, "city", m % 2 ? "x" : "y", true);
        rig_order(r, m, RIG_TODAY, 1, 1000000, "milk", NULL);
        rig_order(r, m, RIG_TODAY, 1, 2500000, "milk", NULL);
    }
    rig_remove(r, 7);
    rig_publish(r);
    uint64_t digest = index_digest(r->ix);
    rig_renew(r);
    for (one_id m = 50; m >= 1; m--) {
        if (m == 7)
            continue;
        rig_add(r, m);
        rig_value(r, m, "city", "z", true);
        rig_value(r, m, "city", m % 2 ? "x" : "y", true);
        rig_tag(r, m, m % 3 ? "a" : "b", true);
        rig_order(r, m, RIG_TODAY, 2, 3500000, "milk", NULL);
    }
    rig_publish(r);
    assert_int_equal(index_digest(r->ix), digest);
    rig_order(r, 1, RIG_TODAY, 0, 1, "milk", NULL);
    rig_publish(r);
    assert_int_not_equal(index_digest(r->ix), digest);
}

static void test_index_uses_the_kernels_that_are_asked_for(void **state)
{
    struct rig *r = *state;
    assert_int_equal(index_use_kernels("plain", &r->err), ERR_OK);
    assert_string_equal(index_kernels(), "plain");
    assert_int_equal(index_use_kernels("sse9", &r->err), ERR_INVALID);
    assert_non_null(strstr(r->err.msg, "plain"));
    assert_string_equal(index_kernels(), "plain");
    assert_int_equal(index_use_kernels("auto", &r->err), ERR_OK);
    assert_int_equal(index_use_kernels(NULL, &r->err), ERR_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_index_counts_members_by_tag_channel_and_namespace),
        TEST(test_index_answers_with_its_population_and_log_point),
        TEST(test_index_takes_values_of_enums_strings_and_sets),
        TEST(test_index_replaces_a_single_value_that_was_not_taken_off),
        TEST(test_index_compares_numbers_dates_and_counters),
        TEST(test_index_derives_levels),
        TEST(test_index_counts_events_in_windows),
        TEST(test_index_sums_fields_and_takes_corrections),
        TEST(test_index_merges_many_rows_of_one_day_without_changing_sums),
        TEST(test_index_finds_the_last_day_relative_and_absolute),
        TEST(test_index_expires_days_that_are_not_kept),
        TEST(test_index_forgets_everything_of_a_removed_member),
        TEST(test_index_ignores_operations_on_unknown_members_and_names),
        TEST(test_index_does_not_grow_under_turnover),
        TEST(test_index_resolves_saved_segments),
        TEST(test_index_stops_at_the_deadline_and_when_cancelled),
        TEST(test_index_uses_the_kernels_that_are_asked_for),
        TEST(test_index_digest_does_not_depend_on_ordinals_or_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
