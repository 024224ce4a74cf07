/* Expressions that are too much: bounded, and given up when the asker says so. */
#include "index_rig.h"
#include "program.h"
#include "private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void fill(struct rig *r)
{
    for (one_id m = 1; m <= 100; m++) {
        char tag[16];
        (void)snprintf(tag, sizeof tag, "t%d", (int)m);
        rig_add(r, m);
        rig_tag(r, m, tag, true);
        rig_number(r, m, "qty", (int64_t)m, true);
    }
    rig_publish(r);
}

/* `n` terms, each with its number between `head` and `tail`. */
static const struct expr *terms(struct rig *r, int n, const char *head, const char *tail,
                                const char *joint)
{
    struct buf text = {0};
    for (int i = 1; i <= n; i++) {
        char term[64];
        int len = snprintf(term, sizeof term, "%s%d%s", head, i, tail);
        if (i > 1)
            buf_put(&text, joint, strlen(joint));
        buf_put(&text, term, (size_t)len);
    }
    struct bytes kept = arena_copy(&r->arena, buf_bytes(&text));
    buf_free(&text);
    struct expr *e = NULL;
    if (expr_parse(kept, r->schema, &r->arena, &e, &r->err) != ERR_OK)
        fail_msg("%s", r->err.msg);
    return e;
}

static uint64_t count(struct rig *r, const struct expr *e)
{
    struct index_query q = rig_query(e);
    struct index_count count;
    assert_int_equal(index_count_members(r->ix, &q, &count, &r->err), ERR_OK);
    return count.members;
}

static void test_index_takes_as_many_terms_as_the_language(void **state)
{
    struct rig *r = *state;
    fill(r);
    assert_int_equal(count(r, terms(r, SEGMENT_TERMS_MAX, "tag(t", ")", " or ")), 100);
    assert_int_equal(count(r, terms(r, SEGMENT_TERMS_MAX, "qty=", "", " or ")), 100);
    assert_int_equal(count(r, terms(r, 4000, "qty!=", "", " and ")), 0);
    assert_int_equal(count(r, terms(r, 50, "qty!=", "", " and ")), 50);
}

/* Nested as deep as it goes: not and or in turn. */
static const struct expr *nested(struct rig *r, int depth)
{
    struct expr *e = arena_zalloc(&r->arena, sizeof *e);
    *e = (struct expr){.kind = EXPR_CONST, .truth = true};
    for (int i = 0; i < depth; i++) {
        struct expr *outer = arena_zalloc(&r->arena, sizeof *outer);
        outer->kind = i % 2 ? EXPR_OR : EXPR_NOT;
        outer->n_children = i % 2 ? 2 : 1;
        outer->children = arena_zalloc(&r->arena, 2 * sizeof(struct expr *));
        outer->children[0] = outer->children[1] = e;
        if (i % 2) {
            outer->children[1] = arena_zalloc(&r->arena, sizeof *e);
            outer->children[1]->kind = EXPR_CONST;
        }
        e = outer;
    }
    return e;
}

static void test_index_bounds_the_nesting(void **state)
{
    struct rig *r = *state;
    struct index_query q = rig_query(nested(r, 1001));
    struct index_count out;
    fill(r);
    assert_int_equal(count(r, nested(r, 998)), 0);
    assert_int_equal(index_count_members(r->ix, &q, &out, &r->err), ERR_TOO_LARGE);
}

/* Each segment names the next twice, or, the last one, itself. */
static const struct expr *doubling(void *ctx, struct bytes name)
{
    struct expr *levels = ctx;
    return &levels[name.data[0] - 'a'];
}

static void test_index_bounds_segments_that_name_each_other(void **state)
{
    enum { LEVELS = 24 };
    struct rig *r = *state;
    static struct expr levels[LEVELS + 1], names[LEVELS];
    static struct expr *children[LEVELS][2];
    static uint8_t letters[LEVELS + 1];
    struct index_count out;
    for (size_t i = 0; i < LEVELS; i++) {
        letters[i + 1] = (uint8_t)('a' + i + 1);
        names[i] = (struct expr){.kind = EXPR_SEGMENT, .name = bytes_of(&letters[i + 1], 1)};
        children[i][0] = children[i][1] = &names[i];
        levels[i] = (struct expr){.kind = EXPR_OR, .children = children[i], .n_children = 2};
    }
    levels[LEVELS] = (struct expr){.kind = EXPR_CONST, .truth = true};
    fill(r);
    struct index_query q = rig_query(&levels[LEVELS - 8]);
    q.segment = doubling;
    q.segment_ctx = levels;
    assert_int_equal(index_count_members(r->ix, &q, &out, &r->err), ERR_OK);
    assert_int_equal(out.members, 100);
    q.expr = &levels[0];
    assert_int_equal(index_count_members(r->ix, &q, &out, &r->err), ERR_TOO_LARGE);
    names[LEVELS - 1].name = bytes_of("a", 1);
    q.expr = &names[LEVELS - 1];
    assert_int_equal(index_count_members(r->ix, &q, &out, &r->err), ERR_TOO_LARGE);
}

/* Long work in one chunk is given up within it, not after it. */
static void test_index_stops_within_a_chunk(void **state)
{
    struct rig *r = *state;
    struct run run;
    struct node *root = NULL;
    bool cancelled = true;
    fill(r);
    struct index_query q = rig_query(terms(r, 4000, "qty!=", "", " and "));
    assert_int_equal(program_compile(&r->ix->core, &q, &r->arena, &root, &r->err), ERR_OK);
    q.cancelled = &cancelled;
    assert_int_equal(run_init(&run, &r->ix->core, &q, &root, 1, &r->err), ERR_OK);
    (void)run_chunk(&run, root, 0);
    assert_int_equal(run.stopped, ERR_OK); /* nobody was left after the first terms */
    run_close(&run);
    q.expr = terms(r, 4000, "qty>", "", " or ");
    assert_int_equal(program_compile(&r->ix->core, &q, &r->arena, &root, &r->err), ERR_OK);
    assert_int_equal(run_init(&run, &r->ix->core, &q, &root, 1, &r->err), ERR_OK);
    assert_false(run_chunk(&run, root, 0));
    assert_int_equal(run.stopped, ERR_CANCELLED);
    assert_int_equal(run_check(&run, &r->err), ERR_CANCELLED);
    run_close(&run);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_index_takes_as_many_terms_as_the_language),
        TEST(test_index_bounds_the_nesting),
        TEST(test_index_bounds_segments_that_name_each_other),
        TEST(test_index_stops_within_a_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
