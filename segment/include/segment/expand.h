/* A saved segment's expression with all that it names written out: for who keeps a meaning without
 * the catalogue. */
#ifndef SEGMENT_EXPAND_H
#define SEGMENT_EXPAND_H

#include <segment/catalogue.h>

/* The canonical text, in `arena`. ERR_NOT_FOUND: no such segment. ERR_INVALID: it does not fit the
 * schema, or names one that does not. ERR_TOO_LARGE: no expression may be so long, so deep or have
 * so many terms (SEGMENT_*_MAX). ERR_NOMEM. */
enum error_code catalogue_expand(const struct catalogue *c, struct bytes name,
                                 const struct schema *schema, struct arena *arena,
                                 struct bytes *out, struct error *err);

#endif
