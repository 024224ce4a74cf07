/* Generated events as JSON lines, in the form that imports take. */
#ifndef GEN_LINE_H
#define GEN_LINE_H

#include <base/bytes.h>
#include <gen/gen.h>

/* Appends the event's line with its line end. */
void gen_line_put(struct buf *out, const struct gen_event *e);

#endif
