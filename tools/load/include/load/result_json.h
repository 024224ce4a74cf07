/* Results as JSON: to be read by other programs, and by oneid-load to add up and compare them.
 * docs/load.md describes the form. */
#ifndef LOAD_RESULT_JSON_H
#define LOAD_RESULT_JSON_H

#include <load/result.h>

#include <stdbool.h>
#include <stdio.h>

enum { RESULT_FORMAT = 1 };

/* `whole`: with series, histograms and machine, as result_read needs it. ERR_NOMEM, ERR_IO. */
enum error_code result_write(const struct result *r, FILE *out, bool whole, struct error *err);
/* Reads what result_write wrote whole; `name` is for messages. ERR_MALFORMED says what is wrong.
 * result_close whatever comes back. */
enum error_code result_read(FILE *in, const char *name, struct result *out, struct error *err);

#endif
