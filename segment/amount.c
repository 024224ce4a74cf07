#include "amount.h"

#include <base/clock.h>
#include <base/decimal.h>

/* The range of decimal_parse, in units of either kind; far enough from INT64_MAX, "open". */
static const int64_t number_max = INT64_C(9200000000000000000);
enum { DAYS_AGO_MAX = 36600 };

int64_t amount_max(enum unit unit)
{
    if (unit == UNIT_DAYS_AGO)
        return 0;
    return unit == UNIT_DAY ? clock_day_of_date(9999, 12, 31) : number_max;
}

int64_t amount_min(enum unit unit)
{
    if (unit == UNIT_DAYS_AGO)
        return -DAYS_AGO_MAX;
    return unit == UNIT_DAY ? clock_day_of_date(1, 1, 1) : -number_max;
}

/* v * 10 + digit; false beyond `number_max`. */
static bool push_digit(int64_t *v, uint8_t digit)
{
    int64_t d = digit - '0';
    if (*v > (number_max - d) / 10)
        return false;
    *v = *v * 10 + d;
    return true;
}

static enum amount_verdict parse_fraction(struct bytes digits, uint32_t *out)
{
    uint32_t v = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (i < 6)
            v = v * 10 + (uint32_t)(digits.data[i] - '0');
        else if (digits.data[i] != '0')
            return AMOUNT_TOO_FINE;
    }
    for (size_t i = digits.len; i < 6; i++)
        v *= 10;
    *out = v;
    return AMOUNT_OK;
}

static enum amount_verdict parse_number(enum unit unit, struct bytes text, struct amount *out)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    size_t i = negative;
    int64_t v = 0;
    uint32_t fraction = 0;
    for (; i < text.len && text.data[i] != '.'; i++) {
        if (!push_digit(&v, text.data[i]))
            return AMOUNT_TOO_BIG;
    }
    if (i < text.len) {
        struct bytes digits = bytes_of(text.data + i + 1, text.len - i - 1);
        enum amount_verdict verdict = parse_fraction(digits, &fraction);
        if (verdict)
            return verdict;
    }
    if (unit == UNIT_MILLIONTH) {
        if (v > (number_max - fraction) / DECIMAL_ONE)
            return AMOUNT_TOO_BIG;
        v = v * DECIMAL_ONE + fraction;
        fraction = 0;
    }
    *out = (struct amount){negative ? -v : v, fraction};
    if (negative && fraction)
        *out = (struct amount){-v - 1, DECIMAL_ONE - fraction};
    return AMOUNT_OK;
}

static enum amount_verdict parse_date(struct bytes text, struct amount *out)
{
    char date[11] = "";
    int32_t day;
    if (text.len != 10)
        return AMOUNT_WRONG_KIND;
    memcpy(date, text.data, 10);
    if (clock_parse_date(date, &day) != 0)
        return AMOUNT_NO_DATE;
    *out = (struct amount){day, 0};
    return AMOUNT_OK;
}

enum amount_verdict amount_of_token(enum unit unit, const struct token *t, struct amount *out)
{
    if (unit == UNIT_DAY)
        return t->kind == TOKEN_DATE || t->kind == TOKEN_STRING ? parse_date(t->text, out)
                                                                : AMOUNT_WRONG_KIND;
    if (t->kind != (unit == UNIT_DAYS_AGO ? TOKEN_DAYS : TOKEN_NUMBER))
        return AMOUNT_WRONG_KIND;
    enum amount_verdict verdict = parse_number(unit, t->text, out);
    if (verdict || unit != UNIT_DAYS_AGO)
        return verdict;
    out->floor = -out->floor;
    return out->floor < amount_min(unit) ? AMOUNT_TOO_BIG : AMOUNT_OK;
}

int amount_compare(struct amount a, struct amount b)
{
    if (a.floor != b.floor)
        return a.floor < b.floor ? -1 : 1;
    return a.fraction < b.fraction ? -1 : a.fraction > b.fraction;
}

static int64_t ceiling(struct amount a)
{
    return a.floor + (a.fraction > 0);
}

struct bounds bounds_of_comparison(enum token_kind op, struct amount a)
{
    struct bounds b = {INT64_MIN, INT64_MAX};
    switch ((int)op) {
    case TOKEN_LT:
        b.hi = ceiling(a) - 1;
        break;
    case TOKEN_LE:
        b.hi = a.floor;
        break;
    case TOKEN_GT:
        b.lo = a.floor + 1;
        break;
    case TOKEN_GE:
        b.lo = ceiling(a);
        break;
    default:
        b = bounds_of_between(a, a);
    }
    return b;
}

struct bounds bounds_of_between(struct amount a, struct amount b)
{
    return (struct bounds){ceiling(a), b.floor};
}
