/* A run by several processes that begin together, and what they measured added up. */
#ifndef LOAD_PROCESSES_H
#define LOAD_PROCESSES_H

#include <base/clock.h>
#include <load/result.h>

/* What each of them does, in its own process. */
struct worker {
    void *ctx;
    /* Gets ready, calls await(await_ctx) once for the time of the start on the monotonic clock (0:
     * there will be none), and measures. `index` counts from 0. */
    enum error_code (*run)(void *ctx, uint32_t index, usec_t (*await)(void *await_ctx),
                           void *await_ctx, struct result *out, struct error *err);
};

/* Forks `n`, so it must be called before there are threads. SIGINT and SIGTERM are passed on to
 * them. ERR_INTERNAL when one ends without a result; else the first one's error. `out` is a result
 * in any case, to be closed. */
enum error_code processes_run(uint32_t n, const struct worker *w, struct result *out,
                              struct error *err);

#endif
