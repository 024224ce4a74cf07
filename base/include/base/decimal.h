/* Exact decimal numbers: a signed 64-bit count of millionths (range about ±9.2e12).
 * Sums do not depend on the order of their terms, which floating point cannot promise. */
#ifndef BASE_DECIMAL_H
#define BASE_DECIMAL_H

#include <base/bytes.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int64_t decimal_t; /* millionths */

enum { DECIMAL_ONE = 1000000, DECIMAL_TEXT_MAX = 24 };

/* Rounds half away from zero to a millionth; false when not finite or out of range. */
bool decimal_of_double(double v, decimal_t *out);
/* "-12.5", "1e3" is not taken. More than six decimals round half away from zero. */
bool decimal_parse(struct bytes text, decimal_t *out);
/* Shortest form without trailing zeros: "12.5", "-3". Writes at most DECIMAL_TEXT_MAX bytes with
 * the NUL; returns the length without it. */
size_t decimal_format(decimal_t v, char *out);
/* a + b, stopping at the ends of the range instead of wrapping. */
int64_t int64_add_saturating(int64_t a, int64_t b);

#endif
