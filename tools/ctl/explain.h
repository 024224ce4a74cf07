/* count --explain: how an answer came about. */
#ifndef CTL_EXPLAIN_H
#define CTL_EXPLAIN_H

#include "options.h"

#include <oneid/oneid.h>

void explain_print(const struct options *o, const struct oneid_result *r);

#endif
