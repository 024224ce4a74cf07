/* Where results go: standard output, and the files that options name. */
#ifndef LOAD_OUTPUT_H
#define LOAD_OUTPUT_H

#include <load/options.h>
#include <load/result.h>

/* What the options ask for, of one result. ERR_IO, ERR_NOMEM, ERR_INVALID: no page can be made. */
enum error_code output_result(const struct load_options *o, const struct result *r,
                              struct error *err);
/* Several side by side: as text and as a page. `names` are those of their files. */
enum error_code output_comparison(const struct load_options *o, const struct result *results,
                                  const char *const *names, unsigned n, struct error *err);
/* Can the files be written that the options name? Asked before a long run, not after it. */
enum error_code output_check(const struct load_options *o, struct error *err);

#endif
