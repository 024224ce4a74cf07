#include "amount.h"

#include <base/clock.h>
#include <base/decimal.h>
#include <segment/expr.h>

#include <inttypes.h>
#include <stdio.h>

static void put(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

static void put_text(struct buf *out, struct bytes text)
{
    buf_put_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '"' || text.data[i] == '\\')
            buf_put_u8(out, '\\');
        buf_put_u8(out, text.data[i]);
    }
    buf_put_u8(out, '"');
}

static void put_name(struct buf *out, struct bytes name)
{
    if (lexer_is_plain_name(name))
        buf_put(out, name.data, name.len);
    else
        put_text(out, name);
}

static void put_call(struct buf *out, const char *function, struct bytes name)
{
    put(out, function);
    put(out, "(");
    put_name(out, name);
    put(out, ")");
}

static void put_amount(struct buf *out, enum unit unit, int64_t v)
{
    char text[64];
    int year, month, mday;
    switch (unit) {
    case UNIT_WHOLE:
        snprintf(text, sizeof text, "%" PRId64, v);
        break;
    case UNIT_MILLIONTH:
        decimal_format(v, text);
        break;
    case UNIT_DAY:
        clock_date_of_day((int32_t)v, &year, &month, &mday);
        snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, mday);
        break;
    case UNIT_DAYS_AGO:
        snprintf(text, sizeof text, "%" PRId64 "d ago", -v);
        break;
    }
    put(out, text);
}

static void put_signed(struct buf *out, const char *sign, enum unit unit, int64_t v)
{
    put(out, sign);
    put_amount(out, unit, v);
}

/* A bound one beyond the greatest or least literal can only be written with the strict sign. */
static void put_bounds(struct buf *out, const struct expr *e, enum unit unit)
{
    int64_t max = amount_max(unit), min = amount_min(unit);
    if (e->lo == e->hi) {
        put_signed(out, e->negate ? " != " : " = ", unit, e->lo);
    } else if (e->hi == INT64_MAX) {
        put_signed(out, e->lo > max ? " > " : " >= ", unit, e->lo > max ? max : e->lo);
    } else if (e->lo == INT64_MIN) {
        put_signed(out, e->hi < min ? " < " : " <= ", unit, e->hi < min ? min : e->hi);
    } else {
        put_signed(out, e->negate ? " not between " : " between ", unit, e->lo);
        put_signed(out, " and ", unit, e->hi);
    }
}

static void put_values(struct buf *out, const struct bytes *values, size_t n, bool negate,
                       void (*put_value)(struct buf *, struct bytes))
{
    if (n == 1) {
        put(out, negate ? " != " : " = ");
        put_value(out, values[0]);
        return;
    }
    put(out, negate ? " not in (" : " in (");
    for (size_t i = 0; i < n; i++) {
        put(out, i ? ", " : "");
        put_value(out, values[i]);
    }
    put(out, ")");
}

/* Everything of count(...) and sum(...) after the event and its field. */
static void put_metric_rest(struct buf *out, const struct expr *e)
{
    char window[32];
    for (size_t i = 0; i < e->n_wheres; i++) {
        const struct expr_where *w = &e->wheres[i];
        put(out, i ? " and " : " where ");
        put_name(out, bytes_of_str(w->field->name));
        put_values(out, w->values, w->n_values, w->negate, put_text);
    }
    if (e->window_days) {
        snprintf(window, sizeof window, ", %" PRIu32 "d", e->window_days);
        put(out, window);
    }
    put(out, ")");
}

static void put_metric(struct buf *out, const struct expr *e)
{
    put(out, e->kind == EXPR_COUNT ? "count(" : e->kind == EXPR_SUM ? "sum(" : "last(");
    put_name(out, bytes_of_str(e->event->name));
    if (e->kind == EXPR_SUM) {
        put(out, ".");
        put_name(out, bytes_of_str(e->field->name));
    }
    put_metric_rest(out, e);
    if (e->kind == EXPR_LAST)
        put_bounds(out, e, e->relative ? UNIT_DAYS_AGO : UNIT_DAY);
    else
        put_bounds(out, e, e->kind == EXPR_SUM ? UNIT_MILLIONTH : UNIT_WHOLE);
}

static void put_trait_term(struct buf *out, const struct expr *e)
{
    if (!e->trait) {
        put(out, "level");
        put_values(out, e->values, e->n_values, e->negate, put_name);
        return;
    }
    put_name(out, bytes_of_str(e->trait->name));
    if (e->kind == EXPR_VALUES)
        put_values(out, e->values, e->n_values, e->negate, put_text);
    else
        put_bounds(out, e,
                   e->trait->type == TRAIT_DATE      ? UNIT_DAY
                   : e->trait->type == TRAIT_COUNTER ? UNIT_WHOLE
                                                     : UNIT_MILLIONTH);
}

/* How tightly a node binds: a child that binds less tightly than its parent needs parentheses. */
static int tightness(const struct expr *e)
{
    return e->kind == EXPR_OR ? 0 : e->kind == EXPR_AND ? 1 : 2;
}

static void put_child(struct buf *out, const struct expr *parent, const struct expr *child)
{
    bool parentheses = tightness(child) < tightness(parent);
    put(out, parentheses ? "(" : "");
    expr_format(child, out);
    put(out, parentheses ? ")" : "");
}

static void put_children(struct buf *out, const struct expr *e)
{
    for (size_t i = 0; i < e->n_children; i++) {
        if (i > 0)
            put(out, e->kind == EXPR_AND ? " and " : " or ");
        put_child(out, e, e->children[i]);
    }
}

void expr_format(const struct expr *e, struct buf *out)
{
    switch (e->kind) {
    case EXPR_AND:
    case EXPR_OR:
        put_children(out, e);
        break;
    case EXPR_NOT:
        put(out, "not ");
        put_child(out, e, e->children[0]);
        break;
    case EXPR_CONST:
        put(out, e->truth ? "true" : "false");
        break;
    case EXPR_TAG:
        put_call(out, "tag", e->name);
        break;
    case EXPR_CHANNEL:
        put_call(out, "channel", e->name);
        break;
    case EXPR_SEGMENT:
        put_call(out, "segment", e->name);
        break;
    case EXPR_HAS:
        put_call(out, "has", bytes_of_str(e->ns->name));
        break;
    case EXPR_EXISTS:
        put_call(out, "exists", bytes_of_str(e->trait->name));
        break;
    case EXPR_VALUES:
    case EXPR_RANGE:
        put_trait_term(out, e);
        break;
    case EXPR_COUNT:
    case EXPR_SUM:
    case EXPR_LAST:
        put_metric(out, e);
        break;
    }
}
