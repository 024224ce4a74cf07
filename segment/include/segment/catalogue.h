/* The saved segments of a cluster: names to expressions, under a version that only rises.
 *
 * Immutable and counted: a change makes a new catalogue that shares all segments which stayed as
 * they were, so that a query goes on with the one it began with. Any thread may read, keep and
 * drop.
 *
 * A definition that does not fit the schema any more, or that names one which does not, stays in
 * the catalogue with what is wrong; whoever asks for it is told. New definitions are refused then.
 */
#ifndef SEGMENT_CATALOGUE_H
#define SEGMENT_CATALOGUE_H

#include <segment/expr.h>

enum {
    CATALOGUE_SEGMENTS_MAX = 1000,
    CATALOGUE_BYTES_MAX = 4 << 20, /* names and texts of all: the whole fits into one message */
    CATALOGUE_DEPTH_MAX = 16,      /* segments within segments */
    CATALOGUE_NODES_MAX = 50000,   /* of one segment, with everything it names written out */
    SEGMENT_NAME_MAX = NAME_MAX_LEN
};

struct segment; /* of one catalogue or several */

/* One segment as this catalogue sees it. */
struct catalogue_entry {
    struct segment *segment;
    enum error_code code; /* ERR_OK: usable, and so is all that it names */
    uint32_t depth;       /* 1: it names none */
    uint64_t nodes;       /* with everything it names written out */
};

struct catalogue {
    uint64_t version;                /* the empty one that everybody begins with has 1 */
    struct catalogue_entry *entries; /* by name */
    size_t n;
    size_t bytes;  /* of names and texts */
    uint32_t refs; /* atomic */
};

struct bytes segment_name(const struct segment *s);
struct bytes segment_text(const struct segment *s);
/* NULL: it does not fit the schema. */
const struct expr *segment_expr(const struct segment *s);

/* Version 1 without segments; NULL when memory is out. */
struct catalogue *catalogue_new(void);
struct catalogue *catalogue_keep(struct catalogue *c);
void catalogue_drop(struct catalogue *c); /* NULL is taken */

/* The segment, NULL: there is none. */
const struct catalogue_entry *catalogue_find(const struct catalogue *c, struct bytes name);
/* For index_query: the expression of a usable segment. `catalogue` is a struct catalogue. */
const struct expr *catalogue_expr(void *catalogue, struct bytes name);

/* Does the expression name saved segments? */
bool catalogue_is_asked(const struct expr *e);
/* Are all segments that the expression names there and usable, and is it not too large with them?
 * ERR_UNKNOWN_NAME, ERR_INVALID, ERR_TOO_LARGE with the column. */
enum error_code catalogue_check(const struct catalogue *c, const struct expr *e, struct error *err);
/* A number for what the expression means: its text and that of each segment it leads to. */
uint64_t catalogue_digest(const struct catalogue *c, const struct expr *e);

/* --- changes: a new catalogue with the next version; `c` stays as it is --- */

/* Defines or replaces. ERR_INVALID (name; circle), ERR_TOO_LARGE, and what expr_parse and
 * catalogue_check give; an equal definition gives the same catalogue again, kept once more. */
enum error_code catalogue_define(struct catalogue *c, struct bytes name, struct bytes text,
                                 const struct schema *schema, struct catalogue **out,
                                 struct error *err);
/* ERR_NOT_FOUND; ERR_INVALID where others use it: the text names them. */
enum error_code catalogue_remove(struct catalogue *c, struct bytes name, struct catalogue **out,
                                 struct error *err);

/* --- portable form --- */

void catalogue_encode(const struct catalogue *c, struct buf *out);
/* Takes over from `base` (may be NULL) what is equal there. ERR_MALFORMED, ERR_TOO_LARGE,
 * ERR_NOMEM. */
enum error_code catalogue_decode(struct bytes in, const struct schema *schema,
                                 const struct catalogue *base, struct catalogue **out,
                                 struct error *err);

/* --- putting one together from stored rows --- */

struct catalogue_row {
    struct bytes name, text;
};
/* Rows in any order; the same errors as catalogue_decode. */
enum error_code catalogue_of_rows(uint64_t version, const struct catalogue_row *rows, size_t n,
                                  const struct schema *schema, const struct catalogue *base,
                                  struct catalogue **out, struct error *err);

#endif
