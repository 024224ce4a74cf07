/* Values for people to read. What came from outside is shown without its control characters, which
 * a terminal would obey. */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include <json/emit.h>
#include <oneid/oneid.h>

#include <stdio.h>

static inline struct bytes bytes_of_str_of(struct oneid_str s)
{
    return bytes_of(s.data, s.len);
}

void show_text(FILE *out, struct oneid_str s);
void show_value(FILE *out, const struct oneid_value *v);
/* "2026-01-31 12:00:00Z" */
void show_time(FILE *out, int64_t ms);

void emit_value(struct emit *e, const char *key, const struct oneid_value *v);
/* "ns:value" */
void emit_identity(struct emit *e, const char *key, const struct oneid_identity *id);
void emit_one_id(struct emit *e, const char *key, uint64_t id);

#endif
