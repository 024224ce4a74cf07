/* The index against the model, over random changes and random expressions. */
#include "index_model.h"
#include "tempdir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Marks who matches, by id; returns how many. */
static size_t expected(const struct model *m, const struct expr *e, uint8_t *matched)
{
    size_t n = 0;
    memset(matched, 0, m->n + 1);
    for (size_t i = 0; i < m->n; i++) {
        if (!m->members[i].alive || !model_matches(m, &m->members[i], e))
            continue;
        matched[m->members[i].id] = 1;
        n++;
    }
    return n;
}

static void check_count(struct model *m, const struct expr *e, size_t n)
{
    struct index_query q = rig_query(e);
    struct index_count count;
    struct rig *r = m->rig;
    assert_int_equal(index_count_members(r->ix, &q, &count, &r->err), ERR_OK);
    if (count.members != n) {
        struct buf text = {0};
        expr_format(e, &text);
        print_error("%.*s\n", (int)text.len, (const char *)text.data);
        buf_free(&text);
    }
    assert_int_equal(count.members, n);
}

static void check_list(struct model *m, const struct expr *e, uint8_t *matched, size_t n)
{
    struct index_query q = rig_query(e);
    one_id page[5000];
    size_t n_page = 0, listed = 0;
    uint64_t cursor = 0;
    do {
        size_t limit = 1 + rng_below(&m->rng, n < 500 ? 20 : 5000);
        assert_int_equal(
            index_list_members(m->rig->ix, &q, cursor, limit, page, &n_page, &cursor, &m->rig->err),
            ERR_OK);
        assert_true(n_page <= limit);
        for (size_t i = 0; i < n_page; i++) {
            assert_in_range(page[i], 1, m->n);
            assert_int_equal(matched[page[i]], 1);
            matched[page[i]] = 2;
        }
        listed += n_page;
    } while (cursor != 0);
    assert_int_equal(listed, n);
}

static bool has_value(const struct model_member *x, const char *trait, struct bytes value)
{
    char text[32];
    if (strcmp(trait, "points") == 0) {
        (void)snprintf(text, sizeof text, "%lld", (long long)x->numbers[MODEL_POINTS]);
        return bytes_equal(bytes_of_str(text), value);
    }
    if (strcmp(trait, "interests") == 0) {
        for (int i = 0; i < MODEL_INTERESTS; i++) {
            model_text(text, sizeof text, 'i', i);
            if ((x->interests >> i & 1) && bytes_equal(bytes_of_str(text), value))
                return true;
        }
        return false;
    }
    model_text(text, sizeof text, 'c', x->city);
    return x->city >= 0 && bytes_equal(bytes_of_str(text), value);
}

static size_t values_of(const struct model_member *x, const char *trait)
{
    if (strcmp(trait, "interests") == 0)
        return x->interests ? (size_t)__builtin_popcount(x->interests) : 1;
    return 1;
}

static bool has_none(const struct model_member *x, const char *trait)
{
    if (strcmp(trait, "interests") == 0)
        return x->interests == 0;
    return strcmp(trait, "city") == 0 && x->city < 0;
}

static void check_breakdown(struct model *m, const struct expr *e, const uint8_t *matched,
                            const char *trait)
{
    struct index_query q = rig_query(e);
    struct index_group *groups = NULL;
    size_t n = 0, total = 0, expected_total = 0;
    struct rig *r = m->rig;
    const struct schema_trait *by = schema_trait_by_name(r->schema, bytes_of_str(trait));
    assert_int_equal(index_breakdown(r->ix, &q, by, &r->arena, &groups, &n, &r->err), ERR_OK);
    for (size_t g = 0; g < n; g++) {
        size_t members = 0;
        for (size_t i = 0; i < m->n; i++) {
            const struct model_member *x = &m->members[i];
            if (matched[x->id])
                members +=
                    groups[g].none ? has_none(x, trait) : has_value(x, trait, groups[g].value);
        }
        assert_int_equal(groups[g].members, members);
        assert_int_not_equal(members, 0);
        total += members;
    }
    for (size_t i = 0; i < m->n; i++)
        if (matched[m->members[i].id])
            expected_total += values_of(&m->members[i], trait);
    assert_int_equal(total, expected_total);
}

static void check_expressions(struct model *m, int n, bool breakdowns)
{
    static const char *const traits[] = {"city", "interests", "points"};
    uint8_t *matched = calloc(m->n + 1, 1);
    assert_non_null(matched);
    for (int i = 0; i < n; i++) {
        arena_reset(&m->rig->arena);
        const struct expr *e = model_expr(m, i % 4);
        size_t members = expected(m, e, matched);
        check_count(m, e, members);
        check_list(m, e, matched, members);
        if (breakdowns)
            check_breakdown(m, e, matched, traits[i % 3]);
    }
    free(matched);
}

static void test_index_agrees_with_the_model_under_turnover(void **state)
{
    struct rig *r = *state;
    struct model m;
    model_init(&m, r, 3000, 1);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 3000; i++)
            model_step(&m);
        index_set_applied(r->ix, (uint64_t)round + 1);
        rig_publish(r);
        check_expressions(&m, 12, round % 4 == 0);
    }
    model_close(&m);
}

static void test_index_agrees_with_the_model_over_several_chunks(void **state)
{
    struct rig *r = *state;
    struct model m;
    model_init(&m, r, 70000, 2);
    for (size_t i = 0; i < m.n; i++)
        model_fill(&m, &m.members[i]);
    rig_publish(r);
    check_expressions(&m, 12, false);
    for (int i = 0; i < 40000; i++)
        model_step(&m);
    rig_publish(r);
    check_expressions(&m, 12, false);
    model_close(&m);
}

static void test_index_saved_and_loaded_agrees_with_the_model(void **state)
{
    struct rig *r = *state;
    struct model m;
    char *dir = tempdir_make();
    const char *path = tempdir_path(dir, "index");
    model_init(&m, r, 3000, 3);
    for (int round = 0; round < 8; round++) {
        for (int i = 0; i < 5000; i++)
            model_step(&m);
        index_set_applied(r->ix, (uint64_t)round + 1);
        rig_publish(r);
        uint64_t digest = index_digest(r->ix);
        assert_int_equal(index_save(r->ix, path, 1, 2, 0, &r->err), ERR_OK);
        rig_renew(r);
        assert_int_equal(index_load(r->ix, path, 1, 2, 0, &r->err), ERR_OK);
        assert_int_equal(index_digest(r->ix), digest);
        check_expressions(&m, 10, true);
    }
    model_close(&m);
    tempdir_remove(dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_index_agrees_with_the_model_under_turnover),
        TEST(test_index_agrees_with_the_model_over_several_chunks),
        TEST(test_index_saved_and_loaded_agrees_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
