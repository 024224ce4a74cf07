/* The index against the model, over random changes and random expressions. */
#include "index_model.h"
#include "match.h"
#include "private.h"
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
    struct index_query q = model_query(m, e);
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
    struct index_query q = model_query(m, e);
    one_id page[5000];
    size_t n_page = 0, listed = 0;
    one_id cursor = 0, last = 0;
    do {
        size_t limit = 1 + rng_below(&m->rng, n < 500 ? 20 : 5000);
        assert_int_equal(
            index_list_members(m->rig->ix, &q, cursor, limit, page, &n_page, &cursor, &m->rig->err),
            ERR_OK);
        assert_true(n_page <= limit);
        for (size_t i = 0; i < n_page; i++) {
            assert_in_range(page[i], last + 1, m->n);
            last = page[i];
            assert_int_equal(matched[page[i]], 1);
            matched[page[i]] = 2;
        }
        listed += n_page;
    } while (cursor != 0);
    assert_int_equal(listed, n);
}

/* The member's value of a trait, the level where it is NULL; of a set trait the values in turn, of
 * which there is at least an empty one that stands for none. False: there are no more. */
static bool value_of(const struct model *m, const struct model_member *x, const char *trait, int i,
                     char *out, size_t size)
{
    *out = '\0';
    if (trait && strcmp(trait, "interests") == 0) {
        for (int k = 0; k < MODEL_INTERESTS; k++) {
            if (!(x->interests >> k & 1) || i-- > 0)
                continue;
            model_text(out, size, 'i', k);
            return true;
        }
        return i == 0 && x->interests == 0;
    }
    if (i > 0)
        return false;
    if (!trait)
        model_level(m, x, out, size);
    else if (strcmp(trait, "points") == 0)
        (void)snprintf(out, size, "%lld", (long long)x->numbers[MODEL_POINTS]);
    else if (x->city >= 0)
        model_text(out, size, 'c', x->city);
    return true;
}

static bool is_key(const struct index_key *k, const char *text)
{
    return k->none ? *text == '\0' : bytes_equal(k->value, bytes_of_str(text));
}

/* How often the member is in the group, or in any (NULL). */
static size_t times_in(const struct model *m, const struct model_member *x,
                       const char *const *traits, size_t n_by, const struct index_group *g)
{
    char a[32], b[32];
    size_t times = 0;
    for (int i = 0; value_of(m, x, traits[0], i, a, sizeof a); i++) {
        if (g && !is_key(&g->keys[0], a))
            continue;
        if (n_by == 1)
            times++;
        for (int k = 0; n_by > 1 && value_of(m, x, traits[1], k, b, sizeof b); k++)
            times += !g || is_key(&g->keys[1], b);
    }
    return times;
}

static size_t times_in_all(const struct model *m, const uint8_t *matched, const char *const *traits,
                           size_t n_by, const struct index_group *g)
{
    size_t times = 0;
    for (size_t i = 0; i < m->n; i++)
        if (matched[m->members[i].id])
            times += times_in(m, &m->members[i], traits, n_by, g);
    return times;
}

static void check_breakdown(struct model *m, const struct expr *e, const uint8_t *matched,
                            const char *const *traits, size_t n_by)
{
    struct index_query q = model_query(m, e);
    struct index_group *groups = NULL;
    size_t n = 0, total = 0;
    struct rig *r = m->rig;
    const struct schema_trait *by[2] = {NULL, NULL};
    for (size_t i = 0; i < n_by; i++)
        if (traits[i])
            by[i] = schema_trait_by_name(r->schema, bytes_of_str(traits[i]));
    assert_int_equal(index_breakdown(r->ix, &q, by, n_by, 1000000, &r->arena, &groups, &n, &r->err),
                     ERR_OK);
    for (size_t g = 0; g < n; g++) {
        total += groups[g].members;
        assert_int_not_equal(groups[g].members, 0);
        /* Each is compared where there are few, some where there are many. */
        if (n < 20 || rng_below(&m->rng, n) < 20)
            assert_int_equal(groups[g].members, times_in_all(m, matched, traits, n_by, &groups[g]));
    }
    assert_int_equal(total, times_in_all(m, matched, traits, n_by, NULL));
}

static void check_breakdowns(struct model *m, const struct expr *e, const uint8_t *matched, int i)
{
    static const char *const pairs[][2] = {{"city", "interests"}, {"interests", NULL},
                                           {"points", "city"},    {"interests", "interests"},
                                           {NULL, "city"},        {"city", "points"}};
    const char *const *pair = pairs[i % 6];
    check_breakdown(m, e, matched, pair, 1);
    check_breakdown(m, e, matched, pair, 2);
}

static void check_list_cell(const struct index_cell *cell, uint32_t bits, char kind)
{
    size_t n = 0;
    for (int i = 0; i < 32; i++) {
        char text[16];
        if (!(bits >> i & 1))
            continue;
        n++;
        model_text(text, sizeof text, kind, i);
        bool found = false;
        for (size_t k = 0; k < cell->n_list; k++)
            found = found || bytes_equal(cell->list[k], bytes_of_str(text));
        assert_true(found);
    }
    assert_int_equal(cell->n_list, n);
    assert_int_equal(cell->present, n > 0);
}

static void check_text_cell(const struct index_cell *cell, const char *text)
{
    assert_int_equal(cell->present, *text != '\0');
    if (*text)
        assert_true(bytes_equal(cell->text, bytes_of_str(text)));
}

static void check_row(const struct model *m, const struct model_member *x,
                      const struct index_cell *cells)
{
    char text[32] = "";
    if (x->city >= 0)
        model_text(text, sizeof text, 'c', x->city);
    check_text_cell(&cells[0], text);
    check_list_cell(&cells[1], x->tags, 't');
    check_list_cell(&cells[2], x->interests, 'i');
    check_list_cell(&cells[3], x->channels, 'h');
    model_level(m, x, text, sizeof text);
    check_text_cell(&cells[4], text);
    assert_int_equal(cells[5].present, x->has[MODEL_SCORE]);
    assert_int_equal(cells[5].number, x->numbers[MODEL_SCORE]);
    *text = '\0';
    if (x->nickname >= 0)
        model_text(text, sizeof text, 'n', x->nickname);
    check_text_cell(&cells[6], text);
}

/* A page from somewhere in the middle. */
static void check_rows(struct model *m, const struct expr *e, const uint8_t *matched)
{
    struct rig *r = m->rig;
    struct index_query q = model_query(m, e);
    struct index_rows rows;
    const struct index_field fields[] = {
        {INDEX_FIELD_TRAIT, schema_trait_by_name(r->schema, bytes_of_str("city"))},
        {INDEX_FIELD_TAGS, NULL},
        {INDEX_FIELD_TRAIT, schema_trait_by_name(r->schema, bytes_of_str("interests"))},
        {INDEX_FIELD_CHANNELS, NULL},
        {INDEX_FIELD_LEVEL, NULL},
        {INDEX_FIELD_TRAIT, schema_trait_by_name(r->schema, bytes_of_str("score"))},
        {INDEX_FIELD_TRAIT, schema_trait_by_name(r->schema, bytes_of_str("nickname"))}};
    size_t n_fields = sizeof fields / sizeof *fields;
    one_id cursor = rng_below(&m->rng, m->n), last = cursor;
    assert_int_equal(
        index_list_rows(r->ix, &q, cursor, 50, fields, n_fields, &r->arena, &rows, &r->err),
        ERR_OK);
    for (size_t i = 0; i < rows.n; i++) {
        for (one_id id = last + 1; id < rows.members[i]; id++)
            assert_int_equal(matched[id], 0);
        last = rows.members[i];
        assert_int_not_equal(matched[last], 0);
        check_row(m, model_member(m, last), rows.cells + i * n_fields);
    }
    for (one_id id = last + 1; rows.next == 0 && id <= m->n; id++)
        assert_int_equal(matched[id], 0);
}

/* Member by member, dead ones among them. */
static void check_matches(struct model *m, const struct expr *e, const uint8_t *matched)
{
    struct index_query q = model_query(m, e);
    const struct core *c = &m->rig->ix->core;
    struct node *program = NULL;
    assert_int_equal(program_compile(c, &q, &m->rig->arena, &program, &m->rig->err), ERR_OK);
    for (int i = 0; i < 500; i++) {
        uint32_t ordinal = (uint32_t)rng_below(&m->rng, c->ids.next);
        bool live = bit_get(c->ids.chunks[chunk_of(ordinal)].live, low_of(ordinal));
        bool expected_match = live && matched[ids_member(&c->ids, ordinal)] != 0;
        assert_int_equal(program_matches(c, program, ordinal), expected_match);
    }
}

enum { BATCH = 5 };

/* Several at once, one of them unknown, against each alone. */
static void check_many(struct model *m)
{
    struct rig *r = m->rig;
    struct index_query queries[BATCH];
    struct index_answer answers[BATCH];
    struct expr unknown = {.kind = EXPR_SEGMENT, .name = bytes_of_str("nothing")};
    size_t bad = rng_below(&m->rng, BATCH);
    for (size_t i = 0; i < BATCH; i++)
        queries[i] = model_query(m, i == bad ? &unknown : model_expr(m, (int)i % 4));
    assert_int_equal(index_count_many(r->ix, queries, BATCH, answers, &r->err), ERR_OK);
    for (size_t i = 0; i < BATCH; i++) {
        struct index_count count;
        enum error_code code = index_count_members(r->ix, &queries[i], &count, &r->err);
        assert_int_equal(answers[i].err.code, code);
        if (code == ERR_OK)
            assert_int_equal(answers[i].count.members, count.members);
    }
}

static void check_overlap(struct model *m)
{
    struct rig *r = m->rig;
    struct index_query queries[BATCH];
    uint64_t counts[1 << BATCH], expected_counts[1 << BATCH] = {0};
    struct index_count all;
    size_t n = 1 + rng_below(&m->rng, BATCH);
    for (size_t i = 0; i < n; i++)
        queries[i] = model_query(m, model_expr(m, (int)i % 3));
    for (size_t i = 0; i < m->n; i++) {
        size_t mask = 0;
        for (size_t k = 0; k < n; k++)
            mask |= (size_t)model_matches(m, &m->members[i], queries[k].expr) << k;
        expected_counts[mask] += m->members[i].alive;
    }
    assert_int_equal(index_overlap(r->ix, queries, n, counts, &all, &r->err), ERR_OK);
    assert_memory_equal(counts, expected_counts, ((size_t)1 << n) * sizeof *counts);
    assert_int_equal(all.members + counts[0], all.population);
}

static struct expr *window_term(struct model *m, bool sum, uint32_t days)
{
    struct expr *e = model_expr(m, 0);
    *e = (struct expr){.kind = sum ? EXPR_SUM : EXPR_COUNT, .window_days = days};
    e->event = schema_event_by_name(m->rig->schema, bytes_of_str("order"));
    if (sum)
        e->field = schema_field_by_name(e->event, bytes_of_str("amount"));
    e->lo = sum ? 5000000 : 1;
    e->hi = INT64_MAX;
    e->negate = rng_below(&m->rng, 3) == 0;
    return e;
}

static void check_windows(struct model *m)
{
    uint8_t *matched = calloc(m->n + 1, 1);
    assert_non_null(matched);
    for (uint32_t days = 1; days <= 12; days++) {
        arena_reset(&m->rig->arena);
        const struct expr *e = window_term(m, days % 2, days);
        check_count(m, e, expected(m, e, matched));
        check_matches(m, e, matched);
    }
    free(matched);
}

static void check_expressions(struct model *m, int n, bool breakdowns)
{
    uint8_t *matched = calloc(m->n + 1, 1);
    assert_non_null(matched);
    for (int i = 0; i < n; i++) {
        arena_reset(&m->rig->arena);
        const struct expr *e = model_expr(m, i % 4);
        size_t members = expected(m, e, matched);
        check_count(m, e, members);
        check_list(m, e, matched, members);
        check_matches(m, e, matched);
        check_rows(m, e, matched);
        if (breakdowns)
            check_breakdowns(m, e, matched, i);
    }
    check_many(m);
    check_overlap(m);
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
    for (size_t i = 0; i < m.n; i++) {
        m.members[i].id = i + 1; /* rising, so that the chunks are sorted until members go */
        model_fill(&m, &m.members[i]);
    }
    rig_publish(r);
    check_expressions(&m, 12, false);
    for (int i = 0; i < 40000; i++)
        model_step(&m);
    rig_publish(r);
    check_expressions(&m, 12, false);
    index_set_today(r->ix, m.today);
    model_windows(&m);
    rig_publish(r);
    check_windows(&m);
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

/* Days pass, sometimes many, once backwards; windows are registered and dropped; the file is loaded
 * now and then. */
static void test_index_windows_agree_with_the_model_as_days_pass(void **state)
{
    struct rig *r = *state;
    struct model m;
    char *dir = tempdir_make();
    const char *path = tempdir_path(dir, "index");
    model_init(&m, r, 1500, 4);
    for (int round = 0; round < 60; round++) {
        if (round % 3 == 0)
            model_windows(&m);
        for (int i = 0; i < 1000; i++)
            model_step(&m);
        m.today += round == 30 ? -1 : rng_below(&m.rng, 8) ? 1 : (int32_t)rng_below(&m.rng, 100);
        if (round % 2)
            model_expire(&m, m.today);
        index_set_today(r->ix, m.today);
        if (round % 4)
            model_expire(&m, m.today + (int32_t)rng_below(&m.rng, 3));
        for (int i = 0; i < 1000; i++)
            model_step(&m);
        index_set_applied(r->ix, (uint64_t)round + 1);
        rig_publish(r);
        if (round % 10 == 9) {
            assert_int_equal(index_save(r->ix, path, 1, 2, 0, &r->err), ERR_OK);
            rig_renew(r);
            index_set_today(r->ix, m.today);
            model_windows(&m);
            rig_publish(r);
            assert_int_equal(index_load(r->ix, path, 1, 2, 0, &r->err), ERR_OK);
        }
        check_windows(&m);
        check_expressions(&m, 4, false);
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
        TEST(test_index_windows_agree_with_the_model_as_days_pass),
    };
    const struct CMUnitTest each[] = {
        TEST(test_index_agrees_with_the_model_over_several_chunks),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 1; kernels_at(i); i++) {
        print_message("kernels: %s\n", kernels_at(i)->name);
        if (index_use_kernels(kernels_at(i)->name, NULL) != ERR_OK)
            return 1;
        failed += cmocka_run_group_tests(each, NULL, NULL);
    }
    return failed;
}
