/* One saved segment: its text, parsed once and shared by all catalogues that have it. Private to
 * segment/. */
#ifndef SEGMENT_SAVED_H
#define SEGMENT_SAVED_H

#include <segment/catalogue.h>

/* A segment that an expression names. */
struct segment_use {
    struct bytes name;
    uint32_t column; /* where it is named first */
    uint64_t times;
};

struct segment {
    uint32_t refs; /* atomic */
    struct arena arena;
    struct bytes name, text;
    struct expr *expr;  /* NULL: see `error` */
    struct error error; /* what the parser said */
    uint64_t nodes;
    struct segment_use *uses; /* each name once */
    size_t n_uses;
};

/* ERR_NOMEM only: a text that does not parse makes a segment with an error. */
enum error_code segment_new(struct bytes name, struct bytes text, const struct schema *schema,
                            struct segment **out, struct error *err);
struct segment *segment_keep(struct segment *s);
void segment_drop(struct segment *s); /* NULL is taken */

/* 1 to SEGMENT_NAME_MAX bytes of UTF-8 without control characters. */
enum error_code segment_check_name(struct bytes name, struct error *err);

static inline enum error_code segment_code(const struct segment *s)
{
    return s->expr ? ERR_OK : s->error.code;
}
static inline uint64_t segment_nodes(const struct segment *s)
{
    return s->nodes;
}
/* What the parser said; returns its code. */
enum error_code segment_error(const struct segment *s, struct error *err);
bool segment_uses(const struct segment *s, struct bytes name);

/* The segments that the expression names, each once, in `arena`. False: no memory. */
bool segment_collect_uses(const struct expr *e, struct arena *arena, struct segment_use **out,
                          size_t *n_out);

#endif
