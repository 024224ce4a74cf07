/* A run and what it measured: what oneid-load prints, writes, reads back and adds up. */
#ifndef LOAD_RESULT_H
#define LOAD_RESULT_H

#include <load/host.h>
#include <load/measure.h>

enum { RESULT_WARNINGS_MAX = 8, RESULT_WARNING_SIZE = 240 };

struct result {
    char command[16];   /* "run", "ingest", "get", "count" */
    char *line;         /* the command line; owned; NULL: not known */
    char mix[128];      /* "ingest=70,get=30" */
    char skew[64];      /* as the option */
    uint64_t in_flight; /* of all processes together */
    double rate;        /* of all processes together; 0: closed loop */
    double warmup_s;
    struct host host;
    struct measure measure;
    char notes[RESULT_WARNINGS_MAX]
              [RESULT_WARNING_SIZE]; /* what was found when results were added */
    unsigned n_notes;
};

void result_close(struct result *r);
/* Adds a run that went on beside it. ERR_INVALID: they do not go together, and why. */
enum error_code result_add(struct result *to, const struct result *from, struct error *err);
/* Of the measured time. */
double result_per_second(const struct result *r, uint64_t n);
/* What a reader must know before believing the figures: the load process was the bottleneck, it
 * fell behind, answers were not whole. Returns how many. */
unsigned result_warnings(const struct result *r, const struct tally *total,
                         char out[RESULT_WARNINGS_MAX][RESULT_WARNING_SIZE]);

/* The quantiles that every form of a result shows. */
struct result_quantile {
    const char *name;
    double share;
};
extern const struct result_quantile result_quantiles[];
extern const unsigned result_n_quantiles;

#endif
