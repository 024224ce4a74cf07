/* The requests of a run: which kind comes next, whom or what it is about. A source for drive_run.
 */
#ifndef LOAD_WORKLOAD_H
#define LOAD_WORKLOAD_H

#include <base/rng.h>
#include <gen/gen.h>
#include <load/drive.h>
#include <load/event.h>
#include <load/mix.h>
#include <load/options.h>
#include <load/skew.h>
#include <load/watermark.h>

/* One of `of` processes that share the work; `index` from 0. */
struct share {
    uint32_t index, of;
};

struct workload {
    const struct load_options *options; /* borrowed */
    struct gen gen;
    struct rng rng;
    struct sampler whom;
    bool follows;        /* asks for persons of events that were sent, not of all that there are */
    uint64_t from, step; /* ingest: places from + index, from + index + step, ... of the stream */
    uint64_t first, sent;
    struct watermark answered; /* of the events that were sent, counted from 0 */
    uint64_t run, updates;     /* name the updates' messages */
    unsigned next_expr;
    /* The request that is ready. */
    enum op op;
    struct gen_event event;
    struct load_event form;
    struct oneid_identity id;
    const char *expr;
};

/* ERR_USAGE, ERR_INVALID. Not to be moved afterwards. */
enum error_code workload_init(struct workload *w, const struct load_options *o, struct share share,
                              struct error *err);
struct drive_source workload_source(struct workload *w);

#endif
