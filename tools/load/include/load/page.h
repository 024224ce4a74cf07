/* Results as one HTML page with charts, which needs nothing else: style, script and plotting
 * library are in it. */
#ifndef LOAD_PAGE_H
#define LOAD_PAGE_H

#include <load/result.h>

#include <stdio.h>

/* ERR_INVALID: this program was built without the plotting library. */
enum error_code page_check(struct error *err);
/* `n` results side by side, each under its name. ERR_INVALID as above, ERR_NOMEM, ERR_IO. */
enum error_code page_write(const struct result *results, const char *const *names, unsigned n,
                           FILE *out, struct error *err);

#endif
