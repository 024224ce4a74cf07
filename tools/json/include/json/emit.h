/* Writes one JSON value to a stream, piece by piece. Borrows what it is given for the call. */
#ifndef JSON_EMIT_H
#define JSON_EMIT_H

#include <base/bytes.h>

#include <stdio.h>

enum { EMIT_DEPTH_MAX = 16 };

struct emit {
    FILE *out;
    unsigned depth;
    bool more[EMIT_DEPTH_MAX]; /* something stands before the next element of this level */
    bool is_array[EMIT_DEPTH_MAX];
};

void emit_init(struct emit *e, FILE *out);
/* `key` is NULL at the top and in an array. */
void emit_object(struct emit *e, const char *key);
void emit_array(struct emit *e, const char *key);
/* Ends the innermost of the two; after the outermost comes a line end. */
void emit_end(struct emit *e);
/* Bytes that are not UTF-8 come out as U+FFFD. */
void emit_text(struct emit *e, const char *key, struct bytes text);
void emit_string(struct emit *e, const char *key, const char *text);
void emit_integer(struct emit *e, const char *key, int64_t v);
void emit_unsigned(struct emit *e, const char *key, uint64_t v);
/* Whole numbers without a point; null when it is not finite. */
void emit_real(struct emit *e, const char *key, double v);
void emit_bool(struct emit *e, const char *key, bool v);
void emit_null(struct emit *e, const char *key);

#endif
