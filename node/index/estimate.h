/* How many members satisfy a term, roughly: conjunctions take the sparse first. */
#ifndef INDEX_ESTIMATE_H
#define INDEX_ESTIMATE_H

#include "core.h"

/* With a value in lo..hi, as if values were spread evenly within each chunk's bounds; looks at a
 * few chunks. */
uint64_t estimate_range(const struct column *column, int64_t lo, int64_t hi);
/* Whose window is in lo..hi, among `population`. */
uint64_t estimate_window(const struct window *w, int64_t lo, int64_t hi, uint64_t population);

#endif
