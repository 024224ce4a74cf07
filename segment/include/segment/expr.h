/* The segment language: text to an expression that is checked against the schema.
 *
 *   expr    = and { "or" and } ;  and = not { "and" not } ;  not = [ "not" ] primary
 *   primary = "(" expr ")" | "true" | "false" | "tag" "(" name ")" | "channel" "(" name ")" | "has" "(" namespace ")"
 *           | "exists" "(" trait ")" | "segment" "(" name ")"
 *           | trait cmp literal | trait [ "not" ] "in" "(" literal { "," literal } ")"
 *           | trait "between" literal "and" literal | "level" cmp-or-in level-name
 *           | "count" "(" event [ where ] [ "," window ] ")" cmp number | ... between / in
 *           | "sum" "(" event "." field [ where ] [ "," window ] ")" cmp number
 *           | "last" "(" event ")" cmp ( number "d" "ago" | date )
 *   where   = "where" field cmp-or-in literal { "and" field cmp-or-in literal }     (enum fields)
 *   window  = number "d"                    (whole days of the cluster's time zone, today included)
 *   cmp     = "=" | "!=" | "<" | "<=" | ">" | ">="
 *
 * A trait that a profile does not have satisfies no comparison, and `!=` and `not in` are
 * comparisons too; counters, counts and sums are 0 where nothing was counted. Words are case-insensitive
 * keywords; names may be written bare ([A-Za-z_][A-Za-z0-9_]* and any non-ASCII letters) or quoted "…".
 * Columns in errors count characters from 1. Nesting, terms and size are bounded (SEGMENT_*_MAX).
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
    EXPR_VALUES,  /* trait is (not: is not) one of `values`; enum, string, set traits, and levels (trait NULL) */
    EXPR_RANGE,   /* lo <= number(trait) <= hi, inclusive */
    EXPR_COUNT,   /* lo <= count(event where, window) <= hi */
    EXPR_SUM,     /* lo <= sum(event.field where, window) <= hi, in millionths */
    EXPR_LAST,    /* lo <= day of last(event) <= hi, as `day_lo`, `day_hi` relative to today or absolute */
};

/* A condition on an enum field of an event: the field is (not: is not) one of `values`. */
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
    bool negate;     /* EXPR_VALUES: not in / !=. EXPR_RANGE, COUNT, SUM, LAST: outside lo..hi (for `!=`) */
    struct expr **children;
    size_t n_children;
    struct bytes name; /* EXPR_TAG, EXPR_CHANNEL, EXPR_SEGMENT */
    const struct schema_namespace *ns;
    const struct schema_trait *trait; /* NULL in EXPR_VALUES: the level */
    struct bytes *values;             /* sorted, distinct; in EXPR_VALUES */
    size_t n_values;
    /* Inclusive bounds; INT64_MIN / INT64_MAX where open. Units: counters and counts whole numbers,
     * numbers and sums millionths, dates day numbers. A strict `<` has been turned into `<=`. */
    int64_t lo, hi;
    const struct schema_event *event;
    const struct schema_field *field; /* EXPR_SUM */
    struct expr_where *wheres;
    size_t n_wheres;
    uint32_t window_days;  /* 0: everything that is kept */
    bool relative;         /* EXPR_LAST: lo and hi are offsets to today (-14: 14 days ago) */
};

/* Parses and checks. The result and all it holds live in `arena`; strings may borrow from `text`.
 * ERR_SYNTAX / ERR_UNKNOWN_NAME / ERR_INVALID / ERR_TOO_LARGE with "column N: ..." and what was
 * expected; names from the schema may be suggested, values are not repeated. */
enum error_code expr_parse(struct bytes text, const struct schema *schema, struct arena *arena,
                           struct expr **out, struct error *err);

/* A canonical text of the expression (for logs of structure, tests, saved segments). */
void expr_format(const struct expr *e, struct buf *out);

#endif
