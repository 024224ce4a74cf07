/* The command line of oneid-load. */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include <base/error.h>

#include <stdbool.h>
#include <stdint.h>

enum load_command { LOAD_GEN, LOAD_INGEST, LOAD_GET, LOAD_COUNT, LOAD_CHECK };
enum { LOAD_LIST_MAX = 64 };

/* Texts borrow from argv. Zero or NULL: not given. */
struct load_options {
    enum load_command command;
    const char *config; /* -c; ./cluster.yml */
    const char *routers[LOAD_LIST_MAX];
    unsigned n_routers;
    bool json;
    /* The population. */
    uint64_t persons, events, seed, shuffle;
    const char *today;                 /* YYYY-MM-DD */
    double split, never, resent, late; /* shares, below 0: the usual one */
    /* gen */
    const char *out;
    uint64_t samples;
    uint32_t parts; /* files that the stream is dealt over; 0: none */
    /* check */
    const char *expected;
    bool all;
    /* ingest, get, count */
    uint32_t in_flight;
    double duration_s, warmup_s, rate;
    uint64_t requests;
    uint32_t deadline_ms;
    const char *hist;
    uint32_t part, of_parts; /* --part 2/4: every 4th event from the 2nd; of_parts 0: all */
    const char *exprs[LOAD_LIST_MAX];
    unsigned n_exprs;
};

extern const char load_usage[];
/* ERR_USAGE with what is wrong; an empty message when help was asked for. */
enum error_code load_options_parse(int argc, char **argv, struct load_options *out,
                                   struct error *err);

#endif
