#include "amount.h"
#include "parser.h"

#include <stdio.h>
#include <stdlib.h>

enum { EDIT_DISTANCE_MAX = 2 };

/* --- names --- */

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

/* Levenshtein distance without regard to ASCII case; EDIT_DISTANCE_MAX + 1 stands for "more". */
static size_t edit_distance(struct bytes a, struct bytes b)
{
    size_t row[NAME_MAX_LEN + 1];
    if (a.len > NAME_MAX_LEN || b.len > NAME_MAX_LEN)
        return EDIT_DISTANCE_MAX + 1;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 0; i < a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b.len; j++) {
            size_t best = diagonal + (lower(a.data[i]) != lower(b.data[j]));
            diagonal = row[j + 1];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (diagonal + 1 < best)
                best = diagonal + 1;
            row[j + 1] = best;
        }
    }
    return row[b.len] <= EDIT_DISTANCE_MAX ? row[b.len] : EDIT_DISTANCE_MAX + 1;
}

/* The declared name that is nearest to what was written. */
struct suggestion {
    struct bytes wanted;
    const char *best;
    size_t distance;
};

static void suggest(struct suggestion *s, const char *name)
{
    size_t d = edit_distance(s->wanted, bytes_of_str(name));
    if (d <= EDIT_DISTANCE_MAX && d < s->wanted.len && (!s->best || d < s->distance)) {
        s->best = name;
        s->distance = d;
    }
}

static bool is_repeatable(const struct token *name)
{
    if (name->kind != TOKEN_WORD || name->text.len > NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < name->text.len; i++) {
        if (name->text.data[i] < 0x20 || name->text.data[i] > 0x7E)
            return false;
    }
    return true;
}

static enum error_code unknown_name(struct parser *p, const struct token *name, const char *what,
                                    const struct suggestion *s)
{
    char shown[NAME_MAX_LEN + 4] = "";
    if (is_repeatable(name))
        snprintf(shown, sizeof shown, " '%.*s'", (int)name->text.len,
                 (const char *)name->text.data);
    if (s->best)
        return error_set(p->err, ERR_UNKNOWN_NAME, "column %u: unknown %s%s; did you mean '%s'?",
                         name->column, what, shown, s->best);
    return error_set(p->err, ERR_UNKNOWN_NAME, "column %u: unknown %s%s", name->column, what,
                     shown);
}

enum error_code check_text(struct parser *p, const struct token *name, const char *what,
                           size_t max_len)
{
    if (name->text.len == 0)
        return error_set(p->err, ERR_INVALID, "column %u: expected %s, found an empty text",
                         name->column, what);
    if (name->text.len > max_len)
        return error_set(p->err, ERR_INVALID,
                         "column %u: expected %s of at most %zu bytes, found %zu", name->column,
                         what, max_len, name->text.len);
    return ERR_OK;
}

enum error_code check_namespace(struct parser *p, const struct token *name,
                                const struct schema_namespace **out)
{
    *out = schema_namespace_by_name(p->schema, name->text);
    if (*out)
        return ERR_OK;
    struct suggestion s = {.wanted = name->text};
    for (size_t i = 0; i < p->schema->n_namespaces; i++)
        suggest(&s, p->schema->namespaces[i].name);
    return unknown_name(p, name, "identity namespace", &s);
}

enum error_code check_no_function(struct parser *p, const struct token *name)
{
    struct suggestion s = {.wanted = name->text};
    for (int k = KEYWORD_TAG; k <= KEYWORD_LAST; k++) {
        if (k != KEYWORD_LEVEL)
            suggest(&s, keyword_text((enum keyword)k));
    }
    return unknown_name(p, name, "function", &s);
}

enum error_code check_trait(struct parser *p, const struct token *name,
                            const struct schema_trait **out)
{
    *out = schema_trait_by_name(p->schema, name->text);
    if (*out)
        return ERR_OK;
    if (schema_event_by_name(p->schema, name->text))
        return error_set(p->err, ERR_UNKNOWN_NAME,
                         "column %u: expected a trait, found an event; events are asked for with "
                         "count(), sum() and last()",
                         name->column);
    struct suggestion s = {.wanted = name->text};
    for (size_t i = 0; i < p->schema->n_traits; i++)
        suggest(&s, p->schema->traits[i].name);
    return unknown_name(p, name, "trait", &s);
}

enum error_code check_event(struct parser *p, const struct token *name,
                            const struct schema_event **out)
{
    *out = schema_event_by_name(p->schema, name->text);
    if (*out)
        return ERR_OK;
    struct suggestion s = {.wanted = name->text};
    for (size_t i = 0; i < p->schema->n_events; i++)
        suggest(&s, p->schema->events[i].name);
    return unknown_name(p, name, "event", &s);
}

enum error_code check_field(struct parser *p, const struct schema_event *event,
                            const struct token *name, const struct schema_field **out)
{
    *out = schema_field_by_name(event, name->text);
    if (*out)
        return ERR_OK;
    char what[NAME_MAX_LEN + 32];
    struct suggestion s = {.wanted = name->text};
    for (size_t i = 0; i < event->n_fields; i++)
        suggest(&s, event->fields[i].name);
    snprintf(what, sizeof what, "field of event '%s':", event->name);
    if (!is_repeatable(name))
        what[strlen(what) - 1] = '\0';
    return unknown_name(p, name, what, &s);
}

/* --- metrics --- */

enum error_code check_counted(struct parser *p, const struct expr *e, const struct token *name)
{
    if (e->event->counted)
        return ERR_OK;
    return error_set(p->err, ERR_INVALID,
                     "column %u: expected an event that is counted; '%s' does not keep the metric "
                     "count",
                     name->column, e->event->name);
}

enum error_code check_summed(struct parser *p, const struct expr *e, const struct token *name)
{
    if (e->field->type != FIELD_NUMBER)
        return error_set(p->err, ERR_INVALID,
                         "column %u: expected a number field, found enum field '%s'", name->column,
                         e->field->name);
    if (e->field->summed)
        return ERR_OK;
    return error_set(p->err, ERR_INVALID,
                     "column %u: expected a field that is summed; event '%s' does not keep the "
                     "metric sum(%s)",
                     name->column, e->event->name, e->field->name);
}

enum error_code check_window(struct parser *p, const struct token *window, struct expr *e)
{
    if (window->kind != TOKEN_DAYS)
        return parser_expected(p, window, "a window such as 30d");
    uint64_t days = 0;
    for (size_t i = 0; i < window->text.len && days <= UINT32_MAX; i++)
        days = days * 10 + (uint64_t)(window->text.data[i] - '0');
    if (days == 0)
        return error_set(p->err, ERR_INVALID,
                         "column %u: expected a window of at least 1d (1d is today)",
                         window->column);
    if (days > e->event->keep_days)
        return error_set(p->err, ERR_INVALID,
                         "column %u: expected a window of at most %ud, for so long event '%s' is "
                         "kept",
                         window->column, e->event->keep_days, e->event->name);
    e->window_days = (uint32_t)days;
    return ERR_OK;
}

/* --- comparisons with texts --- */

static int compare_bytes(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

static size_t sort_distinct(struct bytes *values, size_t n)
{
    if (n == 0)
        return 0;
    qsort(values, n, sizeof *values, compare_bytes);
    size_t kept = 1;
    for (size_t i = 1; i < n; i++) {
        if (!bytes_equal(values[i], values[kept - 1]))
            values[kept++] = values[i];
    }
    return kept;
}

static enum error_code wrong_operator(struct parser *p, const struct comparison *cmp,
                                      const char *what, const char *name)
{
    char expected[NAME_MAX_LEN + 64];
    snprintf(expected, sizeof expected, "=, != or in after %s '%s'", what, name);
    return parser_refuse(p, ERR_INVALID, &cmp->op, expected);
}

/* A literal of the wrong type: a mistake of meaning, not of grammar. */
static enum error_code wrong_literal(struct parser *p, const struct token *t, const char *expected)
{
    return parser_refuse(p, ERR_INVALID, t, expected);
}

/* The literals as sorted, distinct texts; `what` and `name` say what they are compared with. */
static enum error_code text_values(struct parser *p, const struct comparison *cmp, const char *what,
                                   const char *name, struct bytes **out, size_t *n_out)
{
    if (cmp->kind == COMPARE_BETWEEN || cmp->op.kind >= TOKEN_LT)
        return wrong_operator(p, cmp, what, name);
    struct bytes *values = arena_alloc(p->arena, cmp->n_literals * sizeof *values);
    if (!values)
        return parser_nomem(p);
    for (size_t i = 0; i < cmp->n_literals; i++) {
        const struct token *t = &cmp->literals[i].token;
        if (t->kind != TOKEN_WORD && t->kind != TOKEN_STRING) {
            char expected[NAME_MAX_LEN + 64];
            snprintf(expected, sizeof expected, "a text in quotes for %s '%s'", what, name);
            return wrong_literal(p, t, expected);
        }
        if (t->text.len > STRING_VALUE_MAX)
            return check_text(p, t, "a text", STRING_VALUE_MAX);
        values[i] = t->text;
    }
    *out = values;
    *n_out = sort_distinct(values, cmp->n_literals);
    return ERR_OK;
}

static bool is_negative(const struct comparison *cmp)
{
    return cmp->negate || cmp->op.kind == TOKEN_NE;
}

enum error_code check_where(struct parser *p, const struct token *name,
                            const struct comparison *cmp, struct expr_where *out)
{
    if (out->field->type != FIELD_ENUM)
        return error_set(p->err, ERR_INVALID,
                         "column %u: expected a condition on an enum field, found number field "
                         "'%s'",
                         name->column, out->field->name);
    out->negate = is_negative(cmp);
    return text_values(p, cmp, "enum field", out->field->name, &out->values, &out->n_values);
}

static const char *trait_type_text(enum trait_type type)
{
    static const char *const texts[] = {
        [TRAIT_ENUM] = "enum trait",       [TRAIT_STRING] = "string trait",
        [TRAIT_DATE] = "date trait",       [TRAIT_NUMBER] = "number trait",
        [TRAIT_COUNTER] = "counter trait", [TRAIT_SET] = "set trait",
    };
    return texts[type];
}

/* --- the level --- */

/* Ranks: 0 is "none", below the first level; then the levels as they rise. */
static const char *level_name(const struct schema *s, size_t rank)
{
    return rank == 0 ? "none" : s->levels[rank - 1].name;
}

static enum error_code level_rank(struct parser *p, const struct token *t, size_t *out)
{
    if (t->kind != TOKEN_WORD && t->kind != TOKEN_STRING)
        return wrong_literal(p, t, "a level");
    struct suggestion s = {.wanted = t->text};
    for (size_t rank = 0; rank <= p->schema->n_levels; rank++) {
        const char *name = level_name(p->schema, rank);
        suggest(&s, name);
        if (bytes_equal(bytes_of_str(name), t->text)) {
            *out = rank;
            return ERR_OK;
        }
    }
    return unknown_name(p, t, "level", &s);
}

static bool level_satisfies(const struct comparison *cmp, const size_t *ranks, size_t rank)
{
    if (cmp->kind == COMPARE_BETWEEN)
        return rank >= ranks[0] && rank <= ranks[1];
    switch ((int)cmp->op.kind) {
    case TOKEN_LT:
        return rank < ranks[0];
    case TOKEN_LE:
        return rank <= ranks[0];
    case TOKEN_GT:
        return rank > ranks[0];
    case TOKEN_GE:
        return rank >= ranks[0];
    default:
        for (size_t i = 0; i < cmp->n_literals; i++) {
            if (ranks[i] == rank)
                return true;
        }
        return false;
    }
}

static enum error_code level_ranks(struct parser *p, const struct comparison *cmp, size_t **out)
{
    size_t *ranks = arena_alloc(p->arena, cmp->n_literals * sizeof *ranks);
    if (!ranks)
        return parser_nomem(p);
    for (size_t i = 0; i < cmp->n_literals; i++) {
        enum error_code rc = level_rank(p, &cmp->literals[i].token, &ranks[i]);
        if (rc)
            return rc;
    }
    *out = ranks;
    if (cmp->kind == COMPARE_BETWEEN && ranks[0] > ranks[1])
        return error_set(p->err, ERR_INVALID, "column %u: expected the lower level first",
                         cmp->literals[0].token.column);
    return ERR_OK;
}

enum error_code check_level_comparison(struct parser *p, const struct token *name,
                                       const struct comparison *cmp, struct expr **out)
{
    const struct schema *s = p->schema;
    if (!s->level_by)
        return error_set(p->err, ERR_INVALID,
                         "column %u: expected a condition; this cluster declares no levels",
                         name->column);
    size_t *ranks = NULL;
    enum error_code rc = level_ranks(p, cmp, &ranks);
    if (!rc)
        rc = parser_new_term(p, EXPR_VALUES, name->column, out);
    if (rc)
        return rc;
    struct expr *e = *out;
    e->values = arena_alloc(p->arena, (s->n_levels + 1) * sizeof *e->values);
    if (!e->values)
        return parser_nomem(p);
    for (size_t rank = 0; rank <= s->n_levels; rank++) {
        if (level_satisfies(cmp, ranks, rank) != is_negative(cmp))
            e->values[e->n_values++] = bytes_of_str(level_name(s, rank));
    }
    if (e->n_values == 0)
        e->kind = EXPR_CONST;
    e->n_values = sort_distinct(e->values, e->n_values);
    return ERR_OK;
}

/* --- comparisons with amounts --- */

static const char *unit_text(enum unit unit)
{
    static const char *const texts[] = {
        [UNIT_WHOLE] = "a number",
        [UNIT_MILLIONTH] = "a number",
        [UNIT_DAY] = "a date such as 2026-01-31",
        [UNIT_DAYS_AGO] = "days such as 14d ago",
    };
    return texts[unit];
}

static enum error_code read_amount(struct parser *p, enum unit unit, const struct literal *literal,
                                   struct amount *out)
{
    const struct token *t = &literal->token;
    switch (amount_of_token(unit, t, out)) {
    case AMOUNT_OK:
        if (unit == UNIT_DAYS_AGO && !literal->ago)
            break;
        return ERR_OK;
    case AMOUNT_WRONG_KIND:
        break;
    case AMOUNT_TOO_BIG:
        return error_set(p->err, ERR_INVALID, "column %u: expected %s that is not so far out",
                         t->column, unit_text(unit));
    case AMOUNT_TOO_FINE:
        return error_set(p->err, ERR_INVALID,
                         "column %u: expected a number of at most six decimals", t->column);
    case AMOUNT_NO_DATE:
        return error_set(
            p->err, ERR_INVALID,
            "column %u: expected a date such as 2026-01-31, found none of the calendar", t->column);
    }
    return wrong_literal(p, t, unit_text(unit));
}

/* A copy of `term` with these bounds. Only of whole numbers can bounds be empty (= 1.5), and those
 * are never absent, so that is the same for everybody. */
static enum error_code bounded_term(struct parser *p, const struct expr *term, struct bounds b,
                                    bool negate, struct expr **out)
{
    enum error_code rc = ERR_OK;
    for (size_t i = 0; !rc && i < term->n_wheres; i++)
        rc = parser_count_term(p, term->column);
    if (!rc)
        rc = parser_new_term(p, term->kind, term->column, out);
    if (rc)
        return rc;
    struct expr *e = *out;
    if (b.lo > b.hi) {
        e->kind = EXPR_CONST;
        e->truth = negate;
        return ERR_OK;
    }
    *e = *term;
    e->lo = b.lo;
    e->hi = b.hi;
    e->negate = negate;
    return ERR_OK;
}

static int compare_amounts(const void *a, const void *b)
{
    return amount_compare(*(const struct amount *)a, *(const struct amount *)b);
}

/* `in` is "= or = ..", `not in` is "!= and != ..": one term for each number. */
static enum error_code amounts_in(struct parser *p, const struct expr *term,
                                  const struct comparison *cmp, struct amount *amounts,
                                  struct expr **out)
{
    struct expr_list list = {0};
    enum error_code rc = ERR_OK;
    qsort(amounts, cmp->n_literals, sizeof *amounts, compare_amounts);
    for (size_t i = 0; !rc && i < cmp->n_literals; i++) {
        struct expr *e;
        if (i > 0 && amount_compare(amounts[i], amounts[i - 1]) == 0)
            continue;
        rc = bounded_term(p, term, bounds_of_between(amounts[i], amounts[i]), cmp->negate, &e);
        if (!rc)
            rc = parser_list_add(p, &list, e);
    }
    return rc ? rc : parser_list_join(p, cmp->negate ? EXPR_AND : EXPR_OR, &list, out);
}

static enum error_code check_amounts(struct parser *p, const struct expr *term, enum unit unit,
                                     const struct comparison *cmp, struct expr **out)
{
    struct amount *amounts = arena_alloc(p->arena, cmp->n_literals * sizeof *amounts);
    if (!amounts)
        return parser_nomem(p);
    for (size_t i = 0; i < cmp->n_literals; i++) {
        enum error_code rc = read_amount(p, unit, &cmp->literals[i], &amounts[i]);
        if (rc)
            return rc;
    }
    if (cmp->kind == COMPARE_SIGN)
        return bounded_term(p, term, bounds_of_comparison(cmp->op.kind, amounts[0]),
                            is_negative(cmp), out);
    if (cmp->kind == COMPARE_BETWEEN) {
        if (amount_compare(amounts[0], amounts[1]) > 0)
            return error_set(p->err, ERR_INVALID,
                             "column %u: expected the lower end first, found the upper one",
                             cmp->literals[0].token.column);
        return bounded_term(p, term, bounds_of_between(amounts[0], amounts[1]), cmp->negate, out);
    }
    enum error_code rc = parser_enter(p, cmp->op.column);
    if (!rc)
        rc = amounts_in(p, term, cmp, amounts, out);
    p->depth--;
    return rc;
}

enum error_code check_number_comparison(struct parser *p, const struct expr *term,
                                        const struct comparison *cmp, struct expr **out)
{
    return check_amounts(p, term, term->kind == EXPR_SUM ? UNIT_MILLIONTH : UNIT_WHOLE, cmp, out);
}

enum error_code check_last_comparison(struct parser *p, const struct expr *term,
                                      const struct comparison *cmp, struct expr **out)
{
    struct expr e = *term;
    e.relative = cmp->literals[0].token.kind == TOKEN_DAYS;
    if (!e.relative && cmp->literals[0].token.kind != TOKEN_DATE &&
        cmp->literals[0].token.kind != TOKEN_STRING)
        return wrong_literal(p, &cmp->literals[0].token, "a date or days such as 14d ago");
    return check_amounts(p, &e, e.relative ? UNIT_DAYS_AGO : UNIT_DAY, cmp, out);
}

static enum error_code check_text_trait(struct parser *p, const struct schema_trait *trait,
                                        const struct token *name, const struct comparison *cmp,
                                        struct expr **out)
{
    enum error_code rc = parser_new_term(p, EXPR_VALUES, name->column, out);
    if (rc)
        return rc;
    struct expr *e = *out;
    e->trait = trait;
    e->negate = is_negative(cmp);
    return text_values(p, cmp, trait_type_text(trait->type), trait->name, &e->values, &e->n_values);
}

enum error_code check_trait_comparison(struct parser *p, const struct schema_trait *trait,
                                       const struct token *name, const struct comparison *cmp,
                                       struct expr **out)
{
    struct expr term = {.kind = EXPR_RANGE, .column = name->column, .trait = trait};
    switch (trait->type) {
    case TRAIT_DATE:
        return check_amounts(p, &term, UNIT_DAY, cmp, out);
    case TRAIT_NUMBER:
        return check_amounts(p, &term, UNIT_MILLIONTH, cmp, out);
    case TRAIT_COUNTER:
        return check_amounts(p, &term, UNIT_WHOLE, cmp, out);
    case TRAIT_ENUM:
    case TRAIT_STRING:
    case TRAIT_SET:
        break;
    }
    return check_text_trait(p, trait, name, cmp, out);
}
