#include "test_expr.h"

#include <base/clock.h>
#include <retail_yaml.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (!f)
        return -1;
    *state = f;
    if (cluster_config_parse("retail.yml", bytes_of_str(RETAIL_YAML), &f->config, &f->err)) {
        print_error("%s\n", f->err.msg);
        return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cluster_config_close(f->config);
    arena_close(&f->arena);
    free(f);
    return 0;
}

static enum error_code try_parse(struct fixture *f, struct bytes text, struct expr **out)
{
    memset(&f->err, 0, sizeof f->err);
    return expr_parse(text, &f->config->schema, &f->arena, out, &f->err);
}

struct expr *parse(struct fixture *f, const char *text)
{
    struct expr *e = NULL;
    if (try_parse(f, bytes_of_str(text), &e) != ERR_OK)
        fail_msg("%s: %s", text, f->err.msg);
    assert_non_null(e);
    return e;
}

static bool values_equal(const struct bytes *a, size_t n_a, const struct bytes *b, size_t n_b)
{
    bool equal = n_a == n_b;
    for (size_t i = 0; equal && i < n_a; i++)
        equal = bytes_equal(a[i], b[i]);
    return equal;
}

static bool wheres_equal(const struct expr *a, const struct expr *b)
{
    bool equal = a->n_wheres == b->n_wheres;
    for (size_t i = 0; equal && i < a->n_wheres; i++) {
        const struct expr_where *x = &a->wheres[i], *y = &b->wheres[i];
        equal = x->field == y->field && x->negate == y->negate &&
                values_equal(x->values, x->n_values, y->values, y->n_values);
    }
    return equal;
}

bool expr_equal(const struct expr *a, const struct expr *b)
{
    bool equal = a->kind == b->kind && a->truth == b->truth && a->negate == b->negate &&
                 a->n_children == b->n_children && bytes_equal(a->name, b->name) &&
                 a->ns == b->ns && a->trait == b->trait && a->lo == b->lo && a->hi == b->hi &&
                 a->event == b->event && a->field == b->field && a->window_days == b->window_days &&
                 a->relative == b->relative &&
                 values_equal(a->values, a->n_values, b->values, b->n_values) && wheres_equal(a, b);
    for (size_t i = 0; equal && i < a->n_children; i++)
        equal = expr_equal(a->children[i], b->children[i]);
    return equal;
}

size_t expr_depth(const struct expr *e)
{
    size_t deepest = 0;
    for (size_t i = 0; i < e->n_children; i++) {
        size_t d = expr_depth(e->children[i]);
        deepest = d > deepest ? d : deepest;
    }
    return deepest + 1;
}

static void test_expr_text_becomes_canonical_text(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text, *canonical;
    } cases[] = {
        /* the examples of the design */
        {"tag(vip) and city in (\"上海\",\"杭州\") and points >= 1000 and not channel(douyin)",
         "tag(vip) and city in (\"上海\", \"杭州\") and points >= 1000 and not channel(douyin)"},
        {"count(order, 30d) >= 2 and sum(order.amount, 90d) >= 1000",
         "count(order, 30d) >= 2 and sum(order.amount, 90d) >= 1000"},
        {"count(order where category = \"奶粉\", 60d) >= 1 and last(order) > 14d ago",
         "count(order where category = \"奶粉\", 60d) >= 1 and last(order) >= 13d ago"},
        {"has(phone) and level = gold and segment(newborn)",
         "has(phone) and level = gold and segment(newborn)"},
        /* structure */
        {"true", "true"},
        {" FALSE ", "false"},
        {"TAG(a)\tOr\nTaG(b) AND tag(c)", "tag(a) or tag(b) and tag(c)"},
        {"(tag(a) or tag(b)) and tag(c)", "(tag(a) or tag(b)) and tag(c)"},
        {"((tag(a) and (tag(b))) and (tag(c) and tag(d)))",
         "tag(a) and tag(b) and tag(c) and tag(d)"},
        {"tag(a) or (tag(b) or (tag(c) and (tag(d) or tag(e))))",
         "tag(a) or tag(b) or tag(c) and (tag(d) or tag(e))"},
        {"not tag(a) and tag(b)", "not tag(a) and tag(b)"},
        {"not (tag(a) and tag(b))", "not (tag(a) and tag(b))"},
        {"not not tag(a)", "tag(a)"},
        {"not not not tag(a)", "not tag(a)"},
        {"not (not (tag(a) or tag(b))) or tag(c)", "tag(a) or tag(b) or tag(c)"},
        {"not(true)", "not true"},
        /* names */
        {"tag(\"a b\")", "tag(\"a b\")"},
        {"tag(\"plain\")", "tag(plain)"},
        {"tag(新客)", "tag(\"新客\")"},
        {"tag(\"and\") and channel(\"Last\")", "tag(\"and\") and channel(\"Last\")"},
        {"tag(\"q\\\"\\\\\")", "tag(\"q\\\"\\\\\")"},
        {"has(\"device\") and exists(birth)", "has(device) and exists(birth)"},
        {"count(\"order\" where \"where\" = x) > 0", "count(order where \"where\" = \"x\") >= 1"},
        /* texts */
        {"city = 上海", "city = \"上海\""},
        {"city != 上海", "city != \"上海\""},
        {"city in (b, a, b, \"a\")", "city in (\"a\", \"b\")"},
        {"city in (b, b)", "city = \"b\""},
        {"city not in (b, a)", "city not in (\"a\", \"b\")"},
        {"not city in (b, a)", "not city in (\"a\", \"b\")"},
        {"nickname = \"\"", "nickname = \"\""},
        {"interests = 母婴 or interests not in (a,b)",
         "interests = \"母婴\" or interests not in (\"a\", \"b\")"},
        /* whole numbers */
        {"points > 5", "points >= 6"},
        {"points < 5", "points <= 4"},
        {"points <= 5.0", "points <= 5"},
        {"qty >= 1.5", "qty >= 2"},
        {"qty > 1.5", "qty >= 2"},
        {"qty < 1.5", "qty <= 1"},
        {"qty <= 1.5", "qty <= 1"},
        {"qty < 0", "qty <= -1"},
        {"qty >= -1.5", "qty >= -1"},
        {"qty > -1.5", "qty >= -1"},
        {"qty <= -1.5", "qty <= -2"},
        {"qty < -1.5", "qty <= -2"},
        {"qty = -0", "qty = 0"},
        {"qty = 1.5", "false"},
        {"qty != 1.5", "true"},
        {"qty between 1.2 and 1.8", "false"},
        {"qty not between 1.2 and 1.8", "true"},
        {"qty between 1.2 and 2.8", "qty = 2"},
        {"qty between -5 and 5", "qty between -5 and 5"},
        {"qty not between -5 and 5", "qty not between -5 and 5"},
        {"qty in (3, 1, 2.0, 2)", "qty = 1 or qty = 2 or qty = 3"},
        {"qty not in (3, 1)", "qty != 1 and qty != 3"},
        {"qty in (1, 2) and tag(a)", "(qty = 1 or qty = 2) and tag(a)"},
        {"not qty in (1, 2)", "not (qty = 1 or qty = 2)"},
        {"qty > 9200000000000000000", "qty > 9200000000000000000"},
        {"qty < -9200000000000000000", "qty < -9200000000000000000"},
        {"qty >= 9200000000000000000.5", "qty > 9200000000000000000"},
        /* millionths */
        {"score > 1.5", "score >= 1.500001"},
        {"score < -1.5", "score <= -1.500001"},
        {"score = 12.50000000", "score = 12.5"},
        {"score > 9200000000000", "score > 9200000000000"},
        {"score between 0.1 and 0.2", "score between 0.1 and 0.2"},
        {"score in (2, 1.5)", "score = 1.5 or score = 2"},
        /* dates */
        {"birth = 2020-02-29", "birth = 2020-02-29"},
        {"birth > \"1990-12-31\"", "birth >= 1991-01-01"},
        {"birth < 1990-01-01", "birth <= 1989-12-31"},
        {"birth != 1990-01-01", "birth != 1990-01-01"},
        {"birth between 1990-01-01 and 1999-12-31", "birth between 1990-01-01 and 1999-12-31"},
        {"birth > 9999-12-31", "birth > 9999-12-31"},
        {"birth < 0001-01-01", "birth < 0001-01-01"},
        {"birth in (2020-01-02, 2020-01-01)", "birth = 2020-01-01 or birth = 2020-01-02"},
        /* levels */
        {"level >= gold", "level in (black, gold)"},
        {"level > gold", "level = black"},
        {"level < gold", "level in (none, silver)"},
        {"level <= none", "level = none"},
        {"level < none", "false"},
        {"level >= none", "level in (black, gold, none, silver)"},
        {"level != gold", "level in (black, none, silver)"},
        {"level not in (gold, \"silver\")", "level in (black, none)"},
        {"level between silver and gold", "level in (gold, silver)"},
        {"level not between silver and gold", "level in (black, none)"},
        {"level not in (none, silver, gold, black)", "false"},
        /* metrics */
        {"count(order) = 0", "count(order) = 0"},
        {"count(order, 400d) between 1 and 3", "count(order, 400d) between 1 and 3"},
        {"count(view, 1d) in (1)", "count(view, 1d) = 1"},
        {"count(order where category != a and \"where\" in (c, b)) > 0",
         "count(order where category != \"a\" and \"where\" in (\"b\", \"c\")) >= 1"},
        {"count(order where category not in (a, b), 7d) > 0",
         "count(order where category not in (\"a\", \"b\"), 7d) >= 1"},
        {"sum(order.amount) > 99.99", "sum(order.amount) >= 99.990001"},
        {"sum(order.amount where category = a, 30d) != 5",
         "sum(order.amount where category = \"a\", 30d) != 5"},
        {"count(order, 30d) in (1, 2)", "count(order, 30d) = 1 or count(order, 30d) = 2"},
        /* the last day */
        {"last(order) >= 14d ago", "last(order) >= 14d ago"},
        {"last(order) < 14d ago", "last(order) <= 15d ago"},
        {"last(order) <= 14d ago", "last(order) <= 14d ago"},
        {"last(order) = 0d ago", "last(order) = 0d ago"},
        {"last(order) > 0d ago", "last(order) > 0d ago"},
        {"last(order) < 36600d ago", "last(order) < 36600d ago"},
        {"last(order) != 1d AGO", "last(order) != 1d ago"},
        {"last(order) between 30d ago and 7d ago", "last(order) between 30d ago and 7d ago"},
        {"last(order) in (1d ago, 3d ago)", "last(order) = 3d ago or last(order) = 1d ago"},
        {"last(order) > 2026-01-31", "last(order) >= 2026-02-01"},
        {"last(order) between 2026-01-01 and \"2026-01-31\"",
         "last(order) between 2026-01-01 and 2026-01-31"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf text = {0};
        const struct expr *e = parse(f, cases[i].text);
        expr_format(e, &text);
        buf_put_u8(&text, '\0');
        assert_string_equal((const char *)text.data, cases[i].canonical);
        assert_true(expr_equal(e, parse(f, cases[i].canonical)));
        buf_free(&text);
    }
}

static void test_expr_invalid_text_is_refused_with_column_and_reason(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text;
        enum error_code code;
        const char *message;
    } cases[] = {
        /* grammar */
        {"", ERR_SYNTAX, "column 1: expected a condition, found the end"},
        {"  ", ERR_SYNTAX, "column 3: expected a condition, found the end"},
        {"tag(a) and", ERR_SYNTAX, "column 11: expected a condition, found the end"},
        {"and tag(a)", ERR_SYNTAX, "column 1: expected a condition, found 'and'"},
        {"tag(a) tag(b)", ERR_SYNTAX, "column 8: expected 'and', 'or' or the end, found 'tag'"},
        {"tag(a) secret", ERR_SYNTAX, "column 8: expected 'and', 'or' or the end, found a name"},
        {"tag(a) city", ERR_SYNTAX, "column 8: expected 'and', 'or' or the end, found 'city'"},
        {"(tag(a)", ERR_SYNTAX, "column 8: expected 'and', 'or' or ')', found the end"},
        {"tag(a))", ERR_SYNTAX, "column 7: expected 'and', 'or' or the end, found ')'"},
        {"tag a", ERR_SYNTAX, "column 5: expected '(', found a name"},
        {"tag()", ERR_SYNTAX, "column 5: expected a tag, found ')'"},
        {"tag(a, b)", ERR_SYNTAX, "column 6: expected ')', found ','"},
        {"tag(13800138000)", ERR_SYNTAX, "column 5: expected a tag, found a number"},
        {"tag(last)", ERR_SYNTAX,
         "column 5: expected a tag, found 'last' (a keyword that is meant as a name is written in "
         "quotes)"},
        {"12 = qty", ERR_SYNTAX, "column 1: expected a condition, found a number"},
        {"city", ERR_SYNTAX,
         "column 5: expected a comparison (= != < <= > >= in between), found the end"},
        {"city =", ERR_SYNTAX, "column 7: expected a value, found the end"},
        {"city = and", ERR_SYNTAX, "column 8: expected a value, found 'and'"},
        {"city == a", ERR_SYNTAX, "column 7: expected a value, found '='"},
        {"city not a", ERR_SYNTAX, "column 10: expected 'in' or 'between', found a name"},
        {"city in a", ERR_SYNTAX, "column 9: expected '(' after 'in', found a name"},
        {"city in ()", ERR_SYNTAX, "column 10: expected a value, found ')'"},
        {"city in (a b)", ERR_SYNTAX, "column 12: expected ',' or ')', found a name"},
        {"points between 1 or 2", ERR_SYNTAX,
         "column 18: expected 'and' between the two ends, found 'or'"},
        {"上海 and 杭州", ERR_UNKNOWN_NAME, "column 1: unknown trait"},
        {"count(order 30d) > 1", ERR_SYNTAX,
         "column 13: expected 'where', ',' or ')', found a window"},
        {"count(order where category = a b) > 1", ERR_SYNTAX,
         "column 32: expected 'and', ',' or ')', found a name"},
        {"count(order where) > 1", ERR_SYNTAX, "column 18: expected a field, found ')'"},
        {"count(order, 30) > 1", ERR_SYNTAX,
         "column 14: expected a window such as 30d, found a number"},
        {"count(order, 1.5d) > 1", ERR_SYNTAX, "column 14: expected a number, a date as"},
        {"sum(order) > 1", ERR_SYNTAX, "column 10: expected '.' and a field, found ')'"},
        {"last(order, 30d) > 1d ago", ERR_SYNTAX, "column 11: expected ')', found ','"},
        {"count(order, 30d)", ERR_SYNTAX, "column 18: expected a comparison"},
        /* names */
        {"citi = a", ERR_UNKNOWN_NAME, "column 1: unknown trait 'citi'; did you mean 'city'?"},
        {"CITY = a", ERR_UNKNOWN_NAME, "column 1: unknown trait 'CITY'; did you mean 'city'?"},
        {"tag(a) and xyzzy = a", ERR_UNKNOWN_NAME, "column 12: unknown trait 'xyzzy'"},
        {"城市 = a", ERR_UNKNOWN_NAME, "column 1: unknown trait"},
        {"\"13800138000\" = a", ERR_UNKNOWN_NAME, "column 1: unknown trait"},
        {"order > 1", ERR_UNKNOWN_NAME, "column 1: expected a trait, found an event"},
        {"exists(pionts)", ERR_UNKNOWN_NAME,
         "column 8: unknown trait 'pionts'; did you mean 'points'?"},
        {"has(fone)", ERR_UNKNOWN_NAME,
         "column 5: unknown identity namespace 'fone'; did you mean 'phone'?"},
        {"tags(vip)", ERR_UNKNOWN_NAME, "column 1: unknown function 'tags'; did you mean 'tag'?"},
        {"avg(order.amount) > 1", ERR_UNKNOWN_NAME, "column 1: unknown function 'avg'"},
        {"count(ordr) > 1", ERR_UNKNOWN_NAME,
         "column 7: unknown event 'ordr'; did you mean 'order'?"},
        {"sum(order.amont) > 1", ERR_UNKNOWN_NAME,
         "column 11: unknown field of event 'order': 'amont'; did you mean 'amount'?"},
        {"count(order where \"13800138000\" = a) > 1", ERR_UNKNOWN_NAME,
         "column 19: unknown field of event 'order'"},
        {"level = glod", ERR_UNKNOWN_NAME, "column 9: unknown level 'glod'; did you mean 'gold'?"},
        {"level in (gold, \"hidden\")", ERR_UNKNOWN_NAME, "column 17: unknown level"},
        {"tag(\"\")", ERR_INVALID, "column 5: expected a tag, found an empty text"},
        {"segment(\"\")", ERR_INVALID, "column 9: expected a segment, found an empty text"},
        {"tag(\"0123456789012345678901234567890123456789012345678901234567890123x\")", ERR_INVALID,
         "column 5: expected a tag of at most 64 bytes, found 65"},
        /* types */
        {"city < a", ERR_INVALID,
         "column 6: expected =, != or in after enum trait 'city', found '<'"},
        {"nickname between a and b", ERR_INVALID,
         "column 10: expected =, != or in after string trait 'nickname', found 'between'"},
        {"city = 5", ERR_INVALID,
         "column 8: expected a text in quotes for enum trait 'city', found a number"},
        {"interests in (a, 2020-01-01)", ERR_INVALID,
         "column 18: expected a text in quotes for set trait 'interests', found a date"},
        {"points = many", ERR_INVALID, "column 10: expected a number, found a name"},
        {"points = \"5\"", ERR_INVALID, "column 10: expected a number, found a text"},
        {"points > 5d ago", ERR_INVALID, "column 10: expected a number, found a window"},
        {"score = 1.0000001", ERR_INVALID, "column 9: expected a number of at most six decimals"},
        {"score = 9200000000000.1", ERR_INVALID,
         "column 9: expected a number that is not so far out"},
        {"qty = 9200000000000000001", ERR_INVALID,
         "column 7: expected a number that is not so far out"},
        {"qty between 2 and 1", ERR_INVALID,
         "column 13: expected the lower end first, found the upper one"},
        {"qty between 1.8 and 1.2", ERR_INVALID, "column 13: expected the lower end first"},
        {"birth = 5", ERR_INVALID, "column 9: expected a date such as 2026-01-31, found a number"},
        {"birth = 2026-02-30", ERR_INVALID,
         "column 9: expected a date such as 2026-01-31, found none of the calendar"},
        {"birth = \"2026\"", ERR_INVALID,
         "column 9: expected a date such as 2026-01-31, found a text"},
        {"birth > 14d ago", ERR_INVALID,
         "column 9: expected a date such as 2026-01-31, found a window"},
        {"level = 3", ERR_INVALID, "column 9: expected a level, found a number"},
        {"level between gold and silver", ERR_INVALID, "column 15: expected the lower level first"},
        {"last(order) > 14", ERR_INVALID,
         "column 15: expected a date or days such as 14d ago, found a number"},
        {"last(order) > 14d", ERR_INVALID,
         "column 15: expected days such as 14d ago, found a window"},
        {"last(order) > 36601d ago", ERR_INVALID, "column 15: expected days such as 14d ago that"},
        {"last(order) between 14d ago and 2026-01-31", ERR_INVALID,
         "column 33: expected days such as 14d ago, found a date"},
        {"last(order) between 2026-01-31 and 14d ago", ERR_INVALID,
         "column 36: expected a date such as 2026-01-31, found a window"},
        {"last(order) between 7d ago and 14d ago", ERR_INVALID,
         "column 21: expected the lower end first"},
        /* what is kept */
        {"count(refund) > 1", ERR_INVALID,
         "column 7: expected an event that is counted; 'refund' does not keep the metric count"},
        {"sum(order.freight) > 1", ERR_INVALID,
         "column 11: expected a field that is summed; event 'order' does not keep the metric "
         "sum(freight)"},
        {"sum(order.category) > 1", ERR_INVALID,
         "column 11: expected a number field, found enum field 'category'"},
        {"count(order where amount = 5) > 1", ERR_INVALID,
         "column 19: expected a condition on an enum field, found number field 'amount'"},
        {"count(order where category > a) > 1", ERR_INVALID,
         "column 28: expected =, != or in after enum field 'category', found '>'"},
        {"count(order, 0d) > 1", ERR_INVALID, "column 14: expected a window of at least 1d"},
        {"count(order, 401d) > 1", ERR_INVALID,
         "column 14: expected a window of at most 400d, for so long event 'order' is kept"},
        {"count(order, 99999999999999999999999d) > 1", ERR_INVALID,
         "column 14: expected a window of at most 400d"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct expr *e;
        enum error_code rc = try_parse(f, bytes_of_str(cases[i].text), &e);
        if (rc != cases[i].code || f->err.code != rc || e ||
            strncmp(f->err.msg, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("%s: %s: %s", cases[i].text, error_name(rc), f->err.msg);
    }
}

/* Values are personal data: whatever is wrong around them, no message shows one. */
static void test_expr_errors_do_not_repeat_values(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {
        "points = 13800138000x",
        "points = \"13800138000\"",
        "city < \"13800138000\"",
        "city = 13800138000",
        "\"13800138000\" = city",
        "tag(\"13800138000\" x)",
        "tag(a) \"13800138000\"",
        "birth = \"13800138000\"",
        "birth = 13800138000",
        "level = \"13800138000\"",
        "has(\"13800138000\")",
        "last(order) > 13800138000",
        "count(order where category = 13800138000) > 1",
        "(\"13800138000\"",
        "level between 13800138000 and gold",
        "qty = 13800138000.1380013800",
        "city = \"13800138000",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct expr *e;
        assert_int_not_equal(try_parse(f, bytes_of_str(texts[i]), &e), ERR_OK);
        assert_null(strstr(f->err.msg, "13800138000"));
    }
}

static void test_expr_fields_are_filled(void **state)
{
    struct fixture *f = *state;
    const struct schema *s = &f->config->schema;
    const struct expr *e =
        parse(f, "tag(a) and not (score > 1 or sum(order.amount where category != b, 9d) = -2.5)");
    assert_int_equal(e->kind, EXPR_AND);
    assert_int_equal(e->column, 1);
    assert_int_equal(e->n_children, 2);
    assert_int_equal(e->children[1]->kind, EXPR_NOT);
    assert_int_equal(e->children[1]->column, 12);
    const struct expr * or = e->children[1]->children[0];
    assert_int_equal(or->kind, EXPR_OR);
    const struct expr *range = or->children[0], *sum = or->children[1];
    assert_int_equal(range->kind, EXPR_RANGE);
    assert_ptr_equal(range->trait, schema_trait_by_name(s, bytes_of_str("score")));
    assert_true(range->lo == 1000001 && range->hi == INT64_MAX);
    assert_int_equal(sum->kind, EXPR_SUM);
    assert_int_equal(sum->column, 30);
    assert_true(sum->lo == -2500000 && sum->hi == -2500000);
    assert_ptr_equal(sum->event, schema_event_by_name(s, bytes_of_str("order")));
    assert_ptr_equal(sum->field, schema_field_by_name(sum->event, bytes_of_str("amount")));
    assert_int_equal(sum->window_days, 9);
    assert_int_equal(sum->n_wheres, 1);
    assert_true(sum->wheres[0].negate);
    assert_true(bytes_equal(sum->wheres[0].values[0], bytes_of_str("b")));
}

static void test_expr_last_compares_points_in_time(void **state)
{
    struct fixture *f = *state;
    const struct expr *e = parse(f, "last(order) > 14d ago");
    assert_true(e->relative && e->lo == -13 && e->hi == INT64_MAX);
    e = parse(f, "last(order) < 14d ago");
    assert_true(e->relative && e->lo == INT64_MIN && e->hi == -15);
    e = parse(f, "last(order) <= 1970-01-02");
    assert_true(!e->relative && e->lo == INT64_MIN && e->hi == 1);
    e = parse(f, "birth = 1969-12-31");
    assert_true(e->kind == EXPR_RANGE && e->lo == -1 && e->hi == -1);
}

static void test_expr_text_size_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct expr *e;
    char *text = malloc(SEGMENT_TEXT_MAX + 1);
    assert_non_null(text);
    memset(text, ' ', SEGMENT_TEXT_MAX + 1);
    memcpy(text, "true", 4);
    assert_int_equal(try_parse(f, bytes_of(text, SEGMENT_TEXT_MAX), &e), ERR_OK);
    assert_int_equal(try_parse(f, bytes_of(text, SEGMENT_TEXT_MAX + 1), &e), ERR_TOO_LARGE);
    assert_string_equal(f->err.msg, "column 1: expected at most 65536 bytes, found 65537");
    free(text);
}

/* `head`, then `n` times `unit`, then `tail`. */
static struct buf repeated(const char *head, const char *unit, size_t n, const char *tail)
{
    struct buf b = {0};
    buf_put(&b, head, strlen(head));
    for (size_t i = 0; i < n; i++)
        buf_put(&b, unit, strlen(unit));
    buf_put(&b, tail, strlen(tail));
    return b;
}

static void assert_repeated(struct fixture *f, struct buf text, enum error_code code,
                            const char *message)
{
    struct expr *e;
    enum error_code rc = try_parse(f, buf_bytes(&text), &e);
    assert_int_equal(rc, code);
    if (rc)
        assert_string_equal(f->err.msg, message);
    else
        assert_true(expr_depth(e) <= 2 * SEGMENT_DEPTH_MAX + 2);
    buf_free(&text);
}

static void test_expr_written_out_size_is_bounded(void **state)
{
    struct fixture *f = *state;
    assert_repeated(f, repeated("", "level>none or ", 2000, "true"), ERR_TOO_LARGE,
                    "column 1: expected at most 65536 bytes when written out in full, found more");
    assert_repeated(f, repeated("", "level>none or ", 1900, "true"), ERR_OK, "");
}

static void test_expr_terms_are_bounded(void **state)
{
    struct fixture *f = *state;
    assert_repeated(f, repeated("", "true or ", SEGMENT_TERMS_MAX - 1, "true"), ERR_OK, "");
    assert_repeated(f, repeated("", "true or ", SEGMENT_TERMS_MAX, "true"), ERR_TOO_LARGE,
                    "column 32769: expected at most 4096 terms");
    struct buf text = repeated("qty in (0", "", 0, "");
    for (int i = 1; i <= SEGMENT_TERMS_MAX; i++) {
        char item[16];
        int n = snprintf(item, sizeof item, ",%d", i);
        buf_put(&text, item, (size_t)n);
    }
    buf_put_u8(&text, ')');
    assert_repeated(f, text, ERR_TOO_LARGE, "column 1: expected at most 4096 terms");
}

static void test_expr_conditions_count_as_terms(void **state)
{
    struct fixture *f = *state;
    assert_repeated(f, repeated("count(view where category=a", " and category=a", 4096, ")>1"),
                    ERR_TOO_LARGE, "column 1: expected at most 4096 terms");
}

static void test_expr_nesting_is_bounded(void **state)
{
    struct fixture *f = *state;
    static const char close[] = "))))))))))))))))))))))))))))))))))))))))))))))))))";
    char *all = calloc(1, 4 * sizeof close);
    assert_non_null(all);
    for (int i = 0; i < 4; i++)
        strcat(all, close);
    assert_int_equal(strlen(all), SEGMENT_DEPTH_MAX);
    char tail[SEGMENT_DEPTH_MAX + 8];
    snprintf(tail, sizeof tail, "true%s", all);
    assert_repeated(f, repeated("", "(", 200, tail), ERR_OK, "");
    snprintf(tail, sizeof tail, "true%s)", all);
    assert_repeated(f, repeated("", "(", 201, tail), ERR_TOO_LARGE,
                    "column 201: expected at most 200 levels of nesting");
    snprintf(tail, sizeof tail, "true%s", all);
    assert_repeated(f, repeated("", "tag(a) or tag(b) and (", 200, tail), ERR_OK, "");
    free(all);
    assert_repeated(f, repeated("", "(", 60000, ""), ERR_TOO_LARGE,
                    "column 201: expected at most 200 levels of nesting");
    assert_repeated(f, repeated("", "not ", 200, "true"), ERR_OK, "");
    assert_repeated(f, repeated("", "not ", 16000, "true"), ERR_TOO_LARGE,
                    "column 801: expected at most 200 levels of nesting");
    assert_repeated(f, repeated("", "not ", 200, "qty in (1, 2)"), ERR_TOO_LARGE,
                    "column 805: expected at most 200 levels of nesting");
}

static void test_expr_without_memory_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char text[] =
        "tag(\"a\\\\\") and city in (a, b) and qty in (1, 2, 3) and not level > "
        "none or count(order where category = a) > 1";
    struct expr *e;
    enum error_code rc = ERR_NOMEM;
    size_t refused = 0;
    for (size_t limit = 1; rc == ERR_NOMEM && limit < 100000; limit += 16) {
        struct arena arena;
        arena_init(&arena, limit);
        rc = expr_parse(bytes_of_str(text), &f->config->schema, &arena, &e, &f->err);
        arena_close(&arena);
        refused += rc == ERR_NOMEM;
    }
    assert_int_equal(rc, ERR_OK);
    assert_true(refused > 20);
}

static void test_expr_needs_levels_to_compare_them(void **state)
{
    struct fixture *f = *state;
    struct schema bare = f->config->schema;
    struct expr *e;
    bare.level_by = NULL;
    bare.n_levels = 0;
    assert_int_equal(expr_parse(bytes_of_str("level = none"), &bare, &f->arena, &e, &f->err),
                     ERR_INVALID);
    assert_string_equal(f->err.msg,
                        "column 1: expected a condition; this cluster declares no levels");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_expr_text_becomes_canonical_text),
        TEST(test_expr_invalid_text_is_refused_with_column_and_reason),
        TEST(test_expr_errors_do_not_repeat_values),
        TEST(test_expr_fields_are_filled),
        TEST(test_expr_last_compares_points_in_time),
        TEST(test_expr_text_size_is_bounded),
        TEST(test_expr_written_out_size_is_bounded),
        TEST(test_expr_terms_are_bounded),
        TEST(test_expr_conditions_count_as_terms),
        TEST(test_expr_nesting_is_bounded),
        TEST(test_expr_without_memory_is_refused),
        TEST(test_expr_needs_levels_to_compare_them),
        TEST(test_expr_random_text_is_stable_in_canonical_form),
        TEST(test_expr_random_damage_never_breaks_the_parser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
