/* The segment language: text to an expression that is checked against the schema.
 *
 *   expr     = and { "or" and } ;  and = not { "and" not } ;  not = { "not" } primary
 *   primary  = "(" expr ")" | "true" | "false" | "tag" "(" name ")" | "channel" "(" name ")"
 *            | "has" "(" namespace ")" | "exists" "(" trait ")" | "segment" "(" name ")"
 *            | trait compare | "level" compare | "last" "(" event ")" compare
 *            | "count" "(" event [ where ] [ "," days ] ")" compare
 *            | "sum" "(" event "." field [ where ] [ "," days ] ")" compare
 *   where    = "where" field compare { "and" field compare }                     (enum fields)
 *   compare  = ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) literal
 *            | [ "not" ] "in" "(" literal { "," literal } ")"
 *            | [ "not" ] "between" literal "and" literal
 *   literal  = name | number | date | days "ago"
 *   days     = digits "d"                   (whole days of the cluster's time zone, today included)
 *
 * A trait that a profile does not have satisfies no comparison, and `!=` and `not in` are
 * comparisons too; counters, counts and sums are 0 where nothing was counted. Keywords are
 * case-insensitive; a name may be bare ([A-Za-z_][A-Za-z0-9_]* and any non-ASCII letters, no
 * keyword) or quoted "..." with \" and \\. A level is the name of one, or `none` for who is below
 * the first; levels are ordered. Columns in errors count characters from 1. Nesting (parentheses,
 * `not`s, lists of numbers or dates), terms (a list of numbers has one for each, a `where` one for
 * each condition) and size are bounded (SEGMENT_*_MAX). docs/segment-language.md is the user's
 * text.
 */
#ifndef SEGMENT_EXPR_H
#define SEGMENT_EXPR_H

#include <base/arena.h>
#include <base/error.h>
#include <cluster/schema.h>

#include <stdbool.h>
#include <stdint.h>

enum { SEGMENT_TEXT_MAX = 64 * 1024, SEGMENT_TERMS_MAX = 4096, SEGMENT_DEPTH_MAX = 200 };

enum expr_kind {
    EXPR_AND,     /* children */
    EXPR_OR,      /* children */
    EXPR_NOT,     /* children[0] */
    EXPR_CONST,   /* truth */
    EXPR_TAG,     /* name */
    EXPR_CHANNEL, /* name: a source that is lit */
    EXPR_HAS,     /* ns */
    EXPR_EXISTS,  /* trait */
    EXPR_SEGMENT, /* name: a saved segment; resolved by who evaluates */
    /* The trait is (negate: is not) one of `values`, of which there is at least one: enum, string,
     * set traits. trait NULL: the level, where "none" is among the values for who is below the
     * first level and `negate` is never set. */
    EXPR_VALUES,
    EXPR_RANGE, /* lo <= number(trait) <= hi, inclusive */
    EXPR_COUNT, /* lo <= count(event where, window) <= hi */
    EXPR_SUM,   /* lo <= sum(event.field where, window) <= hi, in millionths */
    EXPR_LAST,  /* lo <= day of last(event) <= hi; days relative to today or absolute */
};

/* A condition on an enum field of an event: the field is there and is (negate: is not) one of
 * `values`. */
struct expr_where {
    const struct schema_field *field;
    bool negate;
    struct bytes *values;
    size_t n_values;
};

struct expr {
    enum expr_kind kind;
    uint32_t column; /* where the term begins, from 1 */
    bool truth;      /* EXPR_CONST */
    /* EXPR_VALUES: not in / !=. EXPR_RANGE, COUNT, SUM, LAST: outside lo..hi; a date, number or
     * last day that is not there is not outside either (a counter, count or sum is 0 then). */
    bool negate;
    struct expr **children;
    size_t n_children;
    struct bytes name; /* EXPR_TAG, EXPR_CHANNEL, EXPR_SEGMENT */
    const struct schema_namespace *ns;
    const struct schema_trait *trait; /* NULL in EXPR_VALUES: the level */
    struct bytes *values;             /* sorted, distinct; in EXPR_VALUES */
    size_t n_values;
    /* Inclusive bounds; INT64_MIN / INT64_MAX where open. Units: counters and counts whole numbers,
     * numbers and sums millionths, dates day numbers. A strict `<` has been turned into `<=`.
     * lo <= hi always: what no value satisfies (`qty = 1.5`) is an EXPR_CONST. */
    int64_t lo, hi;
    const struct schema_event *event;
    const struct schema_field *field; /* EXPR_SUM */
    struct expr_where *wheres;
    size_t n_wheres;
    uint32_t window_days; /* 0: everything that is kept */
    bool relative;        /* EXPR_LAST: lo and hi are offsets to today (-14: 14 days ago) */
};

/* Parses and checks. The result and all it holds live in `arena`; strings may borrow from `text`
 * and from the schema. ERR_SYNTAX (grammar) / ERR_UNKNOWN_NAME / ERR_INVALID (types, what the
 * cluster keeps) / ERR_TOO_LARGE with "column N: ..." and what was expected, or ERR_NOMEM; names
 * from the schema may be suggested, values are not repeated.
 *
 * The tree: AND in AND, OR in OR and NOT in NOT do not occur, AND and OR have at least two
 * children, and it is at most 2 * SEGMENT_DEPTH_MAX + 2 nodes deep, so that recursion over it is
 * safe. */
enum error_code expr_parse(struct bytes text, const struct schema *schema, struct arena *arena,
                           struct expr **out, struct error *err);

/* Appends a canonical text of the expression (for tests, saved segments). It holds values: not for
 * logs. expr_parse takes it again under the same schema and gives an equal expression. */
void expr_format(const struct expr *e, struct buf *out);

#endif
