/* The command line of oneidctl. */
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include <base/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXIT_OK = 0, EXIT_PROBLEM = 1, EXIT_USAGE = 2 };

enum { ARGS_MAX = 12, ROUTERS_MAX = 64 };

/* Options that only some commands take; bits of `command.takes`. */
enum {
    TAKES_LIMIT = 1 << 0,
    TAKES_CURSOR = 1 << 1,
    TAKES_BY = 1 << 2,
    TAKES_REJECTS = 1 << 3,
    TAKES_IN_FLIGHT = 1 << 4,
    TAKES_ROUTER = 1 << 5, /* and --deadline: what asks a router */
    TAKES_MORE = 1 << 6,   /* more words than n_args */
    TAKES_EXPLAIN = 1 << 7,
    TAKES_COUNTS = 1 << 8,
    TAKES_EXPORT = 1 << 9,  /* --fields, --ids, --format */
    TAKES_WATCH = 1 << 10,  /* --from, --token-file, --once, --stop */
    TAKES_OUT = 1 << 11,    /* --out: of export and keygen */
    TAKES_KEYGEN = 1 << 12, /* --name, --roles, --all */
    TAKES_STALE = 1 << 13,
    TAKES_WAIT = 1 << 14,
    TAKES_QUICK = 1 << 15
};

struct options;

struct command {
    const char *name;
    const char *args; /* as the usage line shows them */
    size_t n_args;
    unsigned takes;
    const char *summary; /* one line */
    const char *help;    /* what the options are for; may be NULL */
    int (*run)(const struct options *o);
};

/* What was asked for; strings borrow from argv. */
struct options {
    const struct command *command; /* NULL: none was named (--help or --version) */
    const char *config;            /* the cluster file */
    const char *routers[ROUTERS_MAX];
    size_t n_routers; /* 0: those of the cluster file */
    uint32_t deadline_ms;
    bool json, help, version;
    const char *args[ARGS_MAX];
    size_t n_args;
    const char *cursor, *by, *rejects; /* NULL: not given */
    const char *fields, *ids, *format, *out;
    const char *from, *token_file;
    const char *key, *server_key; /* --key FILE, --server-key KEY */
    const char *name, *roles;     /* keygen */
    bool all;
    bool explain, counts, once, stop;
    bool stale;
    bool quick; /* of check: not the books */
    bool wait;
    uint32_t limit; /* 0: not given */
    uint32_t in_flight;
};

/* ERR_USAGE with what is wrong. After --help or --version nothing else is checked. `commands` ends
 * with a NULL name. */
enum error_code options_parse(int argc, char **argv, const struct command *commands,
                              struct options *out, struct error *err);

/* --- usage.c --- */
void usage_print(const struct command *commands);
void usage_print_command(const struct command *c);

#endif
