/* Literals as exact amounts, and comparisons as inclusive bounds. Private to segment/. */
#ifndef SEGMENT_AMOUNT_H
#define SEGMENT_AMOUNT_H

#include "lexer.h"

/* What a term's bounds count in. */
enum unit {
    UNIT_WHOLE,     /* counters, counts */
    UNIT_MILLIONTH, /* numbers, sums */
    UNIT_DAY,       /* day numbers */
    UNIT_DAYS_AGO,  /* days from today, 0 or negative */
};

/* The greatest and least literal of each unit. Bounds may lie one beyond it (from `>` and `<`). */
int64_t amount_max(enum unit unit);
int64_t amount_min(enum unit unit);

enum amount_verdict {
    AMOUNT_OK,
    AMOUNT_WRONG_KIND, /* not the kind of token that this unit is written as */
    AMOUNT_TOO_BIG,
    AMOUNT_TOO_FINE, /* more than six decimals */
    AMOUNT_NO_DATE,  /* there is no such day */
};

/* `floor` + `fraction` millionths of a unit; the fraction is 0 but for UNIT_WHOLE. */
struct amount {
    int64_t floor;
    uint32_t fraction;
};

/* TOKEN_NUMBER; for UNIT_DAY TOKEN_DATE or TOKEN_STRING; for UNIT_DAYS_AGO TOKEN_DAYS. */
enum amount_verdict amount_of_token(enum unit unit, const struct token *t, struct amount *out);
int amount_compare(struct amount a, struct amount b);

/* lo <= v <= hi; lo > hi where no value of the unit satisfies the comparison. */
struct bounds {
    int64_t lo, hi;
};

/* `op` is TOKEN_EQ, NE (the bounds of what is left out), LT, LE, GT, GE. */
struct bounds bounds_of_comparison(enum token_kind op, struct amount a);
struct bounds bounds_of_between(struct amount a, struct amount b);

#endif
