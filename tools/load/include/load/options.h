/* The command line of oneid-load. */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include <base/error.h>
#include <load/mix.h>
#include <load/skew.h>

#include <stdbool.h>
#include <stdint.h>

enum load_command {
    LOAD_GEN,
    LOAD_RUN,
    LOAD_INGEST,
    LOAD_GET,
    LOAD_COUNT,
    LOAD_CHECK,
    LOAD_REPORT
};
enum { LOAD_LIST_MAX = 64 };

/* Texts borrow from argv. Zero or NULL: not given. */
struct load_options {
    enum load_command command;
    const char *config; /* -c; ./cluster.yml */
    const char *routers[LOAD_LIST_MAX];
    unsigned n_routers;
    const char *key; /* our key file */
    bool json;       /* to standard output, when there is no json_file */
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
    /* run, ingest, get, count */
    struct mix mix;       /* of one kind but for run */
    const char *mix_text; /* as given, or the one kind's name */
    struct skew skew;
    const char *skew_text;
    uint32_t processes, in_flight; /* in_flight: of all processes together, as rate and requests */
    double duration_s, warmup_s, rate;
    uint64_t requests;
    uint64_t from; /* ingest: the first event; those before are there already */
    uint32_t deadline_ms;
    uint32_t part, of_parts; /* --part 2/4: every 4th event from the 2nd; of_parts 0: all */
    uint32_t interval_ms, digits;
    /* run, ingest, get, count, report */
    const char *json_file, *csv, *html, *hgrm, *hist;
    const char *files[LOAD_LIST_MAX]; /* report */
    unsigned n_files;
    bool merge;
    const char *exprs[LOAD_LIST_MAX];
    unsigned n_exprs;
};

extern const char load_usage[];
/* The command's name as it is typed. */
const char *load_command_name(enum load_command command);
/* ERR_USAGE with what is wrong; an empty message when help was asked for. */
enum error_code load_options_parse(int argc, char **argv, struct load_options *out,
                                   struct error *err);

#endif
