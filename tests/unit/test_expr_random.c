/* Random expressions and random damage to them; the seed of a failure is printed. */
#include "test_expr.h"

#include <base/rng.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N_TEXTS = 3000, N_DAMAGED = 3000 };

static const char *pick(struct rng *r, const char *const *items, size_t n)
{
    return items[rng_below(r, n)];
}
#define PICK(r, ...)                                                                               \
    pick(r, (const char *const[]){__VA_ARGS__},                                                    \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void put(struct buf *b, const char *text)
{
    buf_put(b, text, strlen(text));
    buf_put_u8(b, ' ');
}

static const char *random_text(struct rng *r)
{
    return PICK(r, "a", "上海", "\"杭 州\"", "\"q\\\"\\\\\"", "\"\"", "_x1", "\"and\"", "\"1\"");
}

static const char *random_number(struct rng *r)
{
    return PICK(r, "0", "1", "-1", "1.5", "-1.5", "0.000001", "-0.000001", "1000", "9199999999999",
                "-9200000000000", "9200000000000", "7.50");
}

static const char *random_date(struct rng *r)
{
    return PICK(r, "0001-01-01", "1969-12-31", "\"1970-01-01\"", "2026-02-28", "9999-12-31");
}

static const char *random_days(struct rng *r)
{
    return PICK(r, "0d ago", "1d ago", "14d ago", "36600d AGO");
}

static const char *random_level(struct rng *r)
{
    return PICK(r, "none", "silver", "gold", "\"black\"");
}

typedef const char *(*literal_fn)(struct rng *);

static void put_list(struct rng *r, struct buf *b, literal_fn literal)
{
    put(b, rng_below(r, 2) ? "in (" : "not in (");
    put(b, literal(r));
    for (uint64_t n = rng_below(r, 4); n > 0; n--) {
        put(b, ",");
        put(b, literal(r));
    }
    put(b, ")");
}

static void put_text_comparison(struct rng *r, struct buf *b)
{
    if (rng_below(r, 2)) {
        put_list(r, b, random_text);
        return;
    }
    put(b, PICK(r, "=", "!="));
    put(b, random_text(r));
}

static void put_ordered_comparison(struct rng *r, struct buf *b, literal_fn literal)
{
    if (rng_below(r, 4) == 0) {
        put_list(r, b, literal);
        return;
    }
    put(b, PICK(r, "=", "!=", "<", "<=", ">", ">="));
    put(b, literal(r));
}

static void put_between(struct rng *r, struct buf *b)
{
    put(b, PICK(r, "qty between -1.5 and 7", "qty not between 0.1 and 0.2",
                "score between -1 and 1", "birth between 1990-01-01 and 1999-12-31",
                "level between none and gold", "last(view) not between 30d ago and 0d ago",
                "sum(order.amount, 1d) between 0 and 0.5", "count(view) between 1 and 2"));
}

static void put_metric(struct rng *r, struct buf *b)
{
    put(b, PICK(r, "count(order", "sum(order.amount", "COUNT(\"order\""));
    if (rng_below(r, 2)) {
        put(b, PICK(r, "where category", "where \"where\" = x and category"));
        put_text_comparison(r, b);
    }
    put(b, PICK(r, ")", ", 1d)", ",400d )"));
    put_ordered_comparison(r, b, random_number);
}

static void put_term(struct rng *r, struct buf *b)
{
    switch (rng_below(r, 9)) {
    case 0:
        put(b, PICK(r, "city", "nickname", "interests"));
        put_text_comparison(r, b);
        break;
    case 1:
        put(b, PICK(r, "points", "score", "\"qty\""));
        put_ordered_comparison(r, b, random_number);
        break;
    case 2:
        put(b, "birth");
        put_ordered_comparison(r, b, random_date);
        break;
    case 3:
        put(b, "Level");
        put_ordered_comparison(r, b, random_level);
        break;
    case 4:
        put_metric(r, b);
        break;
    case 5:
        put(b, "last(order)");
        put_ordered_comparison(r, b, rng_below(r, 2) ? random_days : random_date);
        break;
    case 6:
        put_between(r, b);
        break;
    default:
        put(b, PICK(r, "true", "FALSE", "tag(vip)", "tag(\"新 客\")", "channel(douyin)",
                    "segment(\"not\")", "has(phone)", "exists(birth)", "exists(\"qty\")"));
    }
}

static void put_expr(struct rng *r, struct buf *b, int depth)
{
    uint64_t n = 1 + rng_below(r, 3);
    for (uint64_t i = 0; i < n; i++) {
        if (i > 0)
            put(b, PICK(r, "and", "or", "AND"));
        for (uint64_t nots = rng_below(r, 6); nots > 3; nots--)
            put(b, "not");
        if (depth > 0 && rng_below(r, 2)) {
            put(b, "(");
            put_expr(r, b, depth - 1);
            put(b, ")");
        } else {
            put_term(r, b);
        }
    }
}

/* No node that the contract rules out: empty ranges, AND in AND, NOT in NOT, unsorted values. */
static void assert_well_formed(const struct expr *e)
{
    if (e->kind == EXPR_AND || e->kind == EXPR_OR)
        assert_true(e->n_children >= 2);
    if (e->kind == EXPR_RANGE || e->kind == EXPR_COUNT || e->kind == EXPR_SUM ||
        e->kind == EXPR_LAST)
        assert_true(e->lo <= e->hi);
    if (e->kind == EXPR_VALUES) {
        assert_true(e->n_values > 0 && (e->trait || !e->negate));
        for (size_t i = 1; i < e->n_values; i++)
            assert_true(bytes_compare(e->values[i - 1], e->values[i]) < 0);
    }
    for (size_t i = 0; i < e->n_children; i++) {
        assert_true(e->children[i]->kind != e->kind);
        assert_well_formed(e->children[i]);
    }
}

/* format(parse(x)) parses to an equal tree and formats to the same text again. */
static void assert_stable(struct fixture *f, const struct expr *e, uint64_t seed)
{
    struct buf once = {0}, twice = {0};
    struct expr *again;
    expr_format(e, &once);
    if (expr_parse(buf_bytes(&once), &f->config->schema, &f->arena, &again, &f->err))
        fail_msg("seed %llu: %.*s: %s", (unsigned long long)seed, (int)once.len,
                 (const char *)once.data, f->err.msg);
    expr_format(again, &twice);
    if (!bytes_equal(buf_bytes(&once), buf_bytes(&twice)) || !expr_equal(e, again))
        fail_msg("seed %llu: %.*s / %.*s", (unsigned long long)seed, (int)once.len,
                 (const char *)once.data, (int)twice.len, (const char *)twice.data);
    buf_free(&once);
    buf_free(&twice);
}

void test_expr_random_text_is_stable_in_canonical_form(void **state)
{
    struct fixture *f = *state;
    for (uint64_t seed = 1; seed <= N_TEXTS; seed++) {
        struct rng r = rng_of_seed(seed);
        struct buf text = {0};
        put_expr(&r, &text, 4);
        buf_put_u8(&text, '\0');
        const struct expr *e = parse(f, (const char *)text.data);
        assert_well_formed(e);
        assert_stable(f, e, seed);
        buf_free(&text);
        arena_reset(&f->arena);
    }
}

/* Drops, doubles or overwrites one byte at a few places. */
static void damage(struct rng *r, struct buf *text)
{
    static const char bytes[] = "()\",.=<>!- d1a\\\xE4\xFF";
    for (uint64_t n = 1 + rng_below(r, 3); n > 0 && text->len > 1; n--) {
        size_t at = (size_t)rng_below(r, text->len);
        if (rng_below(r, 2)) {
            text->data[at] = (uint8_t)bytes[rng_below(r, sizeof bytes - 1)];
            continue;
        }
        memmove(text->data + at, text->data + at + 1, text->len - at - 1);
        text->len--;
    }
}

void test_expr_random_damage_never_breaks_the_parser(void **state)
{
    struct fixture *f = *state;
    size_t refused = 0;
    for (uint64_t seed = 1; seed <= N_DAMAGED; seed++) {
        struct rng r = rng_of_seed(seed);
        struct buf text = {0};
        struct expr *e;
        put_expr(&r, &text, 3);
        damage(&r, &text);
        f->err.msg[0] = '\0';
        if (expr_parse(buf_bytes(&text), &f->config->schema, &f->arena, &e, &f->err)) {
            refused++;
            unsigned column = 0;
            assert_int_equal(sscanf(f->err.msg, "column %u: ", &column), 1);
            assert_in_range(column, 1, text.len + 1);
        } else {
            assert_well_formed(e);
            assert_stable(f, e, seed);
        }
        buf_free(&text);
        arena_reset(&f->arena);
    }
    assert_in_range(refused, N_DAMAGED / 4, N_DAMAGED - 1);
}
