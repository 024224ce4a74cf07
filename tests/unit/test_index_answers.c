/* The answers that are more than a count of one segment: lists, breakdowns, many counts at once,
 * overlaps. */
#include "index_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { GROUPS = 1000 };

static void test_index_lists_in_pages_and_resumes_over_changes(void **state)
{
    struct rig *r = *state;
    struct index_query q = rig_query(rig_parse(r, "tag(t)"));
    one_id page[7], cursor = 0, last = 0;
    size_t n = 0, seen[101] = {0};
    for (one_id m = 100; m >= 1; m--) {
        rig_add(r, m);
        rig_tag(r, m, "t", true);
    }
    rig_publish(r);
    do {
        assert_int_equal(index_list_members(r->ix, &q, cursor, 7, page, &n, &cursor, &r->err),
                         ERR_OK);
        for (size_t i = 0; i < n; i++) {
            assert_true(page[i] > last);
            last = page[i];
            seen[page[i]]++;
        }
        rig_remove(r, page[0] % 2 ? page[0] : 0);
        rig_add(r, 1000 + page[0]);
        rig_publish(r);
    } while (cursor != 0);
    for (size_t m = 1; m <= 100; m++)
        assert_int_equal(seen[m], 1);
}

/* Another order of coming gives other ordinals; the cursor does not mind. */
static void test_index_goes_on_with_a_list_on_another_copy(void **state)
{
    struct rig *r = *state;
    struct index_query q = rig_query(rig_parse(r, "true"));
    one_id page[10], cursor = 0;
    size_t n = 0;
    for (one_id m = 1; m <= 20; m++)
        rig_add(r, m);
    rig_publish(r);
    assert_int_equal(index_list_members(r->ix, &q, 0, 5, page, &n, &cursor, &r->err), ERR_OK);
    assert_int_equal(cursor, 5);
    rig_renew(r);
    for (one_id m = 20; m >= 1; m--)
        rig_add(r, m);
    rig_remove(r, 6);
    rig_publish(r);

    assert_int_equal(index_list_members(r->ix, &q, cursor, 10, page, &n, &cursor, &r->err), ERR_OK);
    assert_int_equal(n, 10);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(page[i], 7 + i);
    assert_int_equal(cursor, 16);
    assert_int_equal(index_list_members(r->ix, &q, cursor, 10, page, &n, &cursor, &r->err), ERR_OK);
    assert_int_equal(n, 4);
    assert_int_equal(cursor, 0);
    assert_int_equal(index_list_members(r->ix, &q, 0, 0, page, &n, &cursor, &r->err), ERR_INVALID);
}

static const struct schema_trait *trait_of(struct rig *r, const char *name)
{
    return schema_trait_by_name(r->schema, bytes_of_str(name));
}

static enum error_code breakdown(struct rig *r, const char *text, const char *first,
                                 const char *second, struct index_group **groups, size_t *n)
{
    struct index_query q = rig_query(rig_parse(r, text));
    const struct schema_trait *by[] = {first ? trait_of(r, first) : NULL,
                                       second ? trait_of(r, second) : NULL};
    return index_breakdown(r->ix, &q, by, second ? 2 : 1, GROUPS, &r->arena, groups, n, &r->err);
}

static void check_key(const struct index_key *k, const char *value)
{
    assert_int_equal(k->none, value == NULL);
    if (value)
        assert_true(bytes_equal(k->value, bytes_of_str(value)));
}

static void check_group(const struct index_group *g, const char *value, uint64_t members)
{
    check_key(&g->keys[0], value);
    assert_int_equal(g->members, members);
}

static void check_pair(const struct index_group *g, const char *a, const char *b, uint64_t members)
{
    check_group(g, a, members);
    check_key(&g->keys[1], b);
}

static void put_groups(struct rig *r)
{
    for (one_id m = 1; m <= 6; m++) {
        rig_add(r, m);
        rig_tag(r, m, "t", m <= 5);
    }
    rig_value(r, 1, "city", "b", true);
    rig_value(r, 2, "city", "b", true);
    rig_value(r, 3, "city", "a", true);
    rig_value(r, 4, "city", "c", true);
    rig_value(r, 6, "city", "d", true);
    rig_value(r, 1, "interests", "tea", true);
    rig_value(r, 1, "interests", "run", true);
    rig_value(r, 2, "interests", "run", true);
    rig_number(r, 1, "growth", 5000, true);
    rig_number(r, 3, "growth", -7, true);
    rig_publish(r);
}

static void test_index_breaks_down_by_text(void **state)
{
    struct rig *r = *state;
    struct index_group *g = NULL;
    size_t n = 0;
    put_groups(r);
    assert_int_equal(breakdown(r, "tag(t)", "city", NULL, &g, &n), ERR_OK);
    assert_int_equal(n, 4);
    check_group(&g[0], "b", 2);
    check_group(&g[1], "a", 1);
    check_group(&g[2], "c", 1);
    check_group(&g[3], NULL, 1);
    assert_int_equal(breakdown(r, "tag(t)", "interests", NULL, &g, &n), ERR_OK);
    assert_int_equal(n, 3);
    check_group(&g[0], "run", 2);
    check_group(&g[1], "tea", 1);
    check_group(&g[2], NULL, 3);
}

static void test_index_breaks_down_by_number_date_and_level(void **state)
{
    struct rig *r = *state;
    struct index_group *g = NULL;
    size_t n = 0;
    for (one_id m = 1; m <= 3; m++)
        rig_add(r, m);
    rig_number(r, 1, "growth", 5000, true);
    rig_number(r, 2, "growth", -7, true);
    rig_number(r, 1, "score", -1500000, true);
    rig_number(r, 1, "birth", clock_day_of_date(1990, 5, 1), true);
    rig_publish(r);

    assert_int_equal(breakdown(r, "true", "growth", NULL, &g, &n), ERR_OK);
    assert_int_equal(n, 3);
    check_group(&g[0], "-7", 1);
    check_group(&g[1], "0", 1);
    check_group(&g[2], "5000", 1);
    assert_int_equal(breakdown(r, "true", "score", NULL, &g, &n), ERR_OK);
    check_group(&g[0], "-1.5", 1);
    check_group(&g[1], NULL, 2);
    assert_int_equal(breakdown(r, "true", "birth", NULL, &g, &n), ERR_OK);
    check_group(&g[0], "1990-05-01", 1);
    assert_int_equal(breakdown(r, "true", NULL, NULL, &g, &n), ERR_OK);
    assert_int_equal(n, 2);
    check_group(&g[0], "gold", 1);
    check_group(&g[1], NULL, 2);
}

static void test_index_breaks_down_by_two(void **state)
{
    struct rig *r = *state;
    struct index_group *g = NULL;
    size_t n = 0;
    put_groups(r);
    assert_int_equal(breakdown(r, "tag(t)", "city", "interests", &g, &n), ERR_OK);
    assert_int_equal(n, 5);
    check_pair(&g[0], "b", "run", 2);
    check_pair(&g[1], "b", "tea", 1);
    check_pair(&g[2], "a", NULL, 1);
    check_pair(&g[3], "c", NULL, 1);
    check_pair(&g[4], NULL, NULL, 1);
    assert_int_equal(breakdown(r, "true", NULL, "growth", &g, &n), ERR_OK);
    assert_int_equal(n, 3);
    check_pair(&g[0], "gold", "5000", 1);
    check_pair(&g[1], NULL, "-7", 1);
    check_pair(&g[2], NULL, "0", 4);
}

static void test_index_bounds_the_groups_of_a_breakdown(void **state)
{
    struct rig *r = *state;
    struct index_group *g = NULL;
    size_t n = 0;
    const struct schema_trait *by[] = {trait_of(r, "points")};
    struct index_query q = rig_query(rig_parse(r, "true"));
    for (one_id m = 1; m <= GROUPS; m++) {
        rig_add(r, m);
        rig_number(r, m, "points", (int64_t)m, true);
    }
    rig_publish(r);
    assert_int_equal(breakdown(r, "true", "points", NULL, &g, &n), ERR_OK);
    assert_int_equal(n, GROUPS);
    rig_add(r, GROUPS + 1);
    rig_publish(r);
    assert_int_equal(breakdown(r, "true", "points", NULL, &g, &n), ERR_TOO_LARGE);
    assert_non_null(strstr(r->err.msg, "more than 1000 groups"));
    assert_int_equal(index_breakdown(r->ix, &q, by, 0, 1, &r->arena, &g, &n, &r->err),
                     ERR_TOO_LARGE);
}

static void test_index_answers_each_of_many_for_itself(void **state)
{
    struct rig *r = *state;
    struct index_answer answers[3];
    bool cancelled = false;
    put_groups(r);
    index_set_applied(r->ix, 9);
    rig_publish(r);
    struct index_query queries[] = {rig_query(rig_parse(r, "tag(t)")),
                                    rig_query(rig_parse(r, "segment(nothing)")),
                                    rig_query(rig_parse(r, "not tag(t)"))};
    queries[0].cancelled = &cancelled;
    assert_int_equal(index_count_many(r->ix, queries, 3, answers, &r->err), ERR_OK);
    assert_int_equal(answers[0].err.code, ERR_OK);
    assert_int_equal(answers[0].count.members, 5);
    assert_int_equal(answers[0].count.population, 6);
    assert_int_equal(answers[0].count.applied, 9);
    assert_int_equal(answers[1].err.code, ERR_UNKNOWN_NAME);
    assert_int_equal(answers[2].count.members, 1);
    cancelled = true;
    assert_int_equal(index_count_many(r->ix, queries, 3, answers, &r->err), ERR_CANCELLED);
    assert_int_equal(index_count_many(r->ix, queries, 0, answers, &r->err), ERR_OK);
}

static void test_index_counts_overlaps_exactly(void **state)
{
    struct rig *r = *state;
    struct index_query queries[INDEX_OVERLAP_MAX + 1];
    uint64_t counts[8];
    struct index_count all;
    for (one_id m = 0; m < 8; m++) {
        rig_add(r, m + 1);
        rig_tag(r, m + 1, "a", m & 1);
        rig_tag(r, m + 1, "b", m & 2);
        rig_tag(r, m + 1, "c", m & 4);
    }
    rig_add(r, 9);
    rig_tag(r, 9, "a", true);
    rig_publish(r);
    queries[0] = rig_query(rig_parse(r, "tag(a)"));
    queries[1] = rig_query(rig_parse(r, "tag(b)"));
    queries[2] = rig_query(rig_parse(r, "tag(c)"));
    assert_int_equal(index_overlap(r->ix, queries, 3, counts, &all, &r->err), ERR_OK);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(counts[i], i == 1 ? 2 : 1);
    assert_int_equal(all.members, 8);
    assert_int_equal(all.population, 9);
    queries[1] = rig_query(rig_parse(r, "segment(nothing)"));
    assert_int_equal(index_overlap(r->ix, queries, 3, counts, &all, &r->err), ERR_UNKNOWN_NAME);
    assert_int_equal(index_overlap(r->ix, queries, 9, counts, &all, &r->err), ERR_TOO_LARGE);
}

static struct index_cell *cell_at(const struct index_rows *rows, size_t row, size_t field)
{
    return &rows->cells[row * 6 + field];
}

static void test_index_lists_rows_with_chosen_fields(void **state)
{
    struct rig *r = *state;
    struct index_rows rows;
    struct index_query q = rig_query(rig_parse(r, "true"));
    const struct index_field fields[] = {{INDEX_FIELD_TRAIT, trait_of(r, "city")},
                                         {INDEX_FIELD_TRAIT, trait_of(r, "growth")},
                                         {INDEX_FIELD_TRAIT, trait_of(r, "interests")},
                                         {INDEX_FIELD_LEVEL, NULL},
                                         {INDEX_FIELD_TAGS, NULL},
                                         {INDEX_FIELD_CHANNELS, NULL}};
    put_groups(r);
    rig_channel(r, 1, "web", true);
    rig_publish(r);
    assert_int_equal(index_list_rows(r->ix, &q, 0, 2, fields, 6, &r->arena, &rows, &r->err),
                     ERR_OK);
    assert_int_equal(rows.n, 2);
    assert_int_equal(rows.next, 2);
    assert_true(bytes_equal(cell_at(&rows, 0, 0)->text, bytes_of_str("b")));
    assert_int_equal(cell_at(&rows, 0, 1)->number, 5000);
    assert_int_equal(cell_at(&rows, 0, 2)->n_list, 2);
    assert_true(bytes_equal(cell_at(&rows, 0, 2)->list[0], bytes_of_str("run")));
    assert_true(bytes_equal(cell_at(&rows, 0, 2)->list[1], bytes_of_str("tea")));
    assert_true(bytes_equal(cell_at(&rows, 0, 3)->text, bytes_of_str("gold")));
    assert_true(bytes_equal(cell_at(&rows, 1, 4)->list[0], bytes_of_str("t")));
    assert_int_equal(cell_at(&rows, 0, 5)->n_list, 1);
    assert_false(cell_at(&rows, 1, 1)->present);
    assert_false(cell_at(&rows, 1, 3)->present);
    assert_false(cell_at(&rows, 1, 5)->present);
    assert_int_equal(index_list_rows(r->ix, &q, 2, 9, fields, 6, &r->arena, &rows, &r->err),
                     ERR_OK);
    assert_int_equal(rows.n, 4);
    assert_int_equal(rows.members[3], 6);
    assert_int_equal(rows.next, 0);
    assert_int_equal(cell_at(&rows, 3, 4)->n_list, 0);
    const struct index_field unknown = {INDEX_FIELD_TRAIT, NULL};
    assert_int_equal(index_list_rows(r->ix, &q, 0, 9, &unknown, 1, &r->arena, &rows, &r->err),
                     ERR_UNKNOWN_NAME);
}

static void check_term(const struct index_explain_row *row, uint32_t depth, const char *text)
{
    assert_int_equal(row->depth, depth);
    assert_int_equal(row->text.len, strlen(text));
    assert_memory_equal(row->text.data, text, row->text.len);
}

static void test_index_explains_a_count(void **state)
{
    static const struct {
        const char *text;
        uint32_t depth;
        enum index_operator operator;
        enum index_strategy strategy;
    } expected[] = {
        {"and", 0, INDEX_AND, INDEX_BY_NONE},
        {"not city = \"a\"", 1, INDEX_TERM, INDEX_BY_SET},
        {"not", 1, INDEX_NOT, INDEX_BY_NONE},
        {"and", 2, INDEX_AND, INDEX_BY_NONE},
        {"tag(t)", 3, INDEX_TERM, INDEX_BY_SET},
        {"growth >= 2 and growth <= 6000", 3, INDEX_TERM, INDEX_BY_COLUMN},
        {"points >= 0", 1, INDEX_TERM, INDEX_BY_COLUMN},
        {"or", 1, INDEX_OR, INDEX_BY_NONE},
        {"tag(t) or city = \"d\"", 2, INDEX_TERM, INDEX_BY_SET},
        {"level = gold", 2, INDEX_TERM, INDEX_BY_COLUMN},
        {"count(order, 3d) = 0", 1, INDEX_TERM, INDEX_BY_EVENTS},
    };
    struct rig *r = *state;
    struct index_explain_row *rows = NULL;
    struct index_count count;
    size_t n = 0;
    put_groups(r);
    struct index_query q =
        rig_query(rig_parse(r, "count(order, 3d) = 0 and points >= 0 and not city = a and "
                               "(level = gold or tag(t) or city = d) and not (growth >= 2 and "
                               "tag(t) and growth <= 6000)"));
    assert_int_equal(index_count_explain(r->ix, &q, &count, &r->arena, &rows, &n, &r->err), ERR_OK);
    assert_int_equal(count.members, 4);
    assert_int_equal(n, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < n; i++) {
        check_term(&rows[i], expected[i].depth, expected[i].text);
        assert_int_equal(rows[i].operator, expected[i].operator);
        assert_int_equal(rows[i].strategy, expected[i].strategy);
        assert_int_equal(rows[i].chunks + rows[i].skipped, 1);
    }
    assert_int_equal(rows[1].estimate, 5);
    assert_int_equal(rows[6].decided, 1); /* nobody has points: all have 0 */
    q.expr = rig_parse(r, "tag(nobody) and growth = 1");
    assert_int_equal(index_count_explain(r->ix, &q, &count, &r->arena, &rows, &n, &r->err), ERR_OK);
    assert_int_equal(n, 3);
    assert_int_equal(rows[1].emptied, 1);
    assert_int_equal(rows[2].skipped, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_index_lists_in_pages_and_resumes_over_changes),
        TEST(test_index_goes_on_with_a_list_on_another_copy),
        TEST(test_index_breaks_down_by_text),
        TEST(test_index_breaks_down_by_number_date_and_level),
        TEST(test_index_breaks_down_by_two),
        TEST(test_index_bounds_the_groups_of_a_breakdown),
        TEST(test_index_answers_each_of_many_for_itself),
        TEST(test_index_counts_overlaps_exactly),
        TEST(test_index_lists_rows_with_chosen_fields),
        TEST(test_index_explains_a_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
