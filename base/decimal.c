#include <base/decimal.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

bool decimal_of_double(double v, decimal_t *out)
{
    double scaled = round(v * (double)DECIMAL_ONE);
    if (!isfinite(scaled) || scaled >= 9.2e18 || scaled <= -9.2e18)
        return false;
    *out = (decimal_t)scaled;
    return true;
}

/* Appends a digit to a non-negative count of units; false when it would leave the range. */
static bool push_digit(uint64_t *v, uint8_t c)
{
    if (*v > (UINT64_C(9200000000000000000) - 9) / 10)
        return false;
    *v = *v * 10 + (uint64_t)(c - '0');
    return true;
}

bool decimal_parse(struct bytes text, decimal_t *out)
{
    size_t i = 0;
    bool negative = text.len > 0 && text.data[0] == '-';
    if (negative)
        i++;
    uint64_t v = 0;
    int decimals = -1;
    bool any = false, round_up = false;
    for (; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '.' && decimals < 0 && any) {
            decimals = 0;
            continue;
        }
        if (c < '0' || c > '9')
            return false;
        any = true;
        if (decimals >= 6) {
            if (decimals == 6)
                round_up = c >= '5';
            decimals = 7;
            continue;
        }
        if (!push_digit(&v, c))
            return false;
        if (decimals >= 0)
            decimals++;
    }
    if (!any || text.data[text.len - 1] == '.')
        return false;
    for (int d = decimals < 0 ? 0 : decimals; d < 6; d++) {
        if (!push_digit(&v, '0'))
            return false;
    }
    v += round_up;
    *out = negative ? -(decimal_t)v : (decimal_t)v;
    return true;
}

size_t decimal_format(decimal_t v, char *out)
{
    uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
    int n = snprintf(out, DECIMAL_TEXT_MAX, "%s%" PRIu64, v < 0 ? "-" : "", u / DECIMAL_ONE);
    uint64_t frac = u % DECIMAL_ONE;
    if (frac) {
        n += snprintf(out + n, DECIMAL_TEXT_MAX - (size_t)n, ".%06" PRIu64, frac);
        while (out[n - 1] == '0')
            out[--n] = '\0';
    }
    return (size_t)n;
}

int64_t int64_add_saturating(int64_t a, int64_t b)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return r;
}
