/* Results for people, and as a table for other programs. */
#ifndef LOAD_RESULT_TEXT_H
#define LOAD_RESULT_TEXT_H

#include <load/result.h>

#include <stdbool.h>
#include <stdio.h>

/* False: no memory. */
bool result_print(const struct result *r, FILE *out);
/* One line a result, under a heading. False: no memory. */
bool result_print_comparison(const struct result *results, const char *const *names, unsigned n,
                             FILE *out);
/* One row for each interval and kind, and one of all kinds ("all"). False: no memory. */
bool result_print_csv(const struct result *r, FILE *out);

#endif
