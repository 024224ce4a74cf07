#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEADLINE_MS = 10000,
    DEADLINE_MAX_MS = 3600000,
    LIMIT_MAX = 100000000,
    IN_FLIGHT = 1024,
    IN_FLIGHT_MAX = 65536
};

enum option_id {
    OPTION_CONFIG,
    OPTION_ROUTER,
    OPTION_DEADLINE,
    OPTION_JSON,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_LIMIT,
    OPTION_CURSOR,
    OPTION_BY,
    OPTION_REJECTS,
    OPTION_IN_FLIGHT,
    OPTION_EXPLAIN,
    OPTION_COUNTS,
    OPTION_FIELDS,
    OPTION_IDS,
    OPTION_FORMAT,
    OPTION_OUT,
    OPTION_FROM,
    OPTION_TOKEN_FILE,
    OPTION_ONCE,
    OPTION_STOP,
    OPTION_KEY,
    OPTION_SERVER_KEY,
    OPTION_NAME,
    OPTION_ROLES,
    OPTION_ALL,
    OPTION_STALE,
    OPTION_WAIT,
    OPTION_QUICK
};

struct option {
    const char *name, *short_name; /* without, with one dash; the latter may be NULL */
    enum option_id id;
    bool has_value;
    unsigned takes; /* 0: every command takes it */
};

static const struct option OPTIONS[] = {
    {"config", "-c", OPTION_CONFIG, true, 0},
    {"router", NULL, OPTION_ROUTER, true, TAKES_ROUTER},
    {"deadline", NULL, OPTION_DEADLINE, true, TAKES_ROUTER},
    {"json", NULL, OPTION_JSON, false, 0},
    {"help", "-h", OPTION_HELP, false, 0},
    {"version", NULL, OPTION_VERSION, false, 0},
    {"limit", NULL, OPTION_LIMIT, true, TAKES_LIMIT},
    {"cursor", NULL, OPTION_CURSOR, true, TAKES_CURSOR},
    {"by", NULL, OPTION_BY, true, TAKES_BY},
    {"rejects", NULL, OPTION_REJECTS, true, TAKES_REJECTS},
    {"in-flight", NULL, OPTION_IN_FLIGHT, true, TAKES_IN_FLIGHT},
    {"explain", NULL, OPTION_EXPLAIN, false, TAKES_EXPLAIN},
    {"counts", NULL, OPTION_COUNTS, false, TAKES_COUNTS},
    {"fields", NULL, OPTION_FIELDS, true, TAKES_EXPORT},
    {"ids", NULL, OPTION_IDS, true, TAKES_EXPORT},
    {"format", NULL, OPTION_FORMAT, true, TAKES_EXPORT},
    {"out", NULL, OPTION_OUT, true, TAKES_OUT},
    {"from", NULL, OPTION_FROM, true, TAKES_WATCH},
    {"token-file", NULL, OPTION_TOKEN_FILE, true, TAKES_WATCH},
    {"once", NULL, OPTION_ONCE, false, TAKES_WATCH},
    {"stop", NULL, OPTION_STOP, false, TAKES_WATCH},
    {"key", NULL, OPTION_KEY, true, TAKES_ROUTER},
    {"server-key", NULL, OPTION_SERVER_KEY, true, TAKES_ROUTER},
    {"name", NULL, OPTION_NAME, true, TAKES_KEYGEN},
    {"roles", NULL, OPTION_ROLES, true, TAKES_KEYGEN},
    {"all", NULL, OPTION_ALL, false, TAKES_KEYGEN},
    {"stale", NULL, OPTION_STALE, false, TAKES_STALE},
    {"wait", NULL, OPTION_WAIT, false, TAKES_WAIT},
    {"quick", NULL, OPTION_QUICK, false, TAKES_QUICK},
};

struct parser {
    int argc, at;
    char **argv;
    const struct command *commands;
    struct options *out;
    unsigned used; /* TAKES_* of the options that were given */
    struct error *err;
};

/* The option that the argument is, and its value where that stands behind a `=`. */
static const struct option *find_option(const char *arg, const char **value)
{
    *value = NULL;
    for (size_t i = 0; i < sizeof OPTIONS / sizeof OPTIONS[0]; i++) {
        const struct option *o = &OPTIONS[i];
        size_t len = strlen(o->name);
        if (o->short_name && strcmp(arg, o->short_name) == 0)
            return o;
        if (strncmp(arg, "--", 2) != 0 || strncmp(arg + 2, o->name, len) != 0)
            continue;
        if (arg[2 + len] == '=')
            *value = arg + 2 + len + 1;
        if (arg[2 + len] == '=' || arg[2 + len] == '\0')
            return o;
    }
    return NULL;
}

static bool parse_number(struct parser *p, const char *name, const char *text, uint32_t max,
                         uint32_t *out)
{
    char *end;
    errno = 0;
    unsigned long v = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
    if (v == 0 || errno || *end || v > max) {
        (void)error_set(p->err, ERR_USAGE, "--%s: a number from 1 to %u is expected", name, max);
        return false;
    }
    *out = (uint32_t)v;
    return true;
}

static bool add_router(struct parser *p, const char *endpoint)
{
    if (p->out->n_routers == ROUTERS_MAX) {
        (void)error_set(p->err, ERR_USAGE, "--router: more than %d of them", ROUTERS_MAX);
        return false;
    }
    p->out->routers[p->out->n_routers++] = endpoint;
    return true;
}

static bool apply(struct parser *p, const struct option *o, const char *value)
{
    struct options *out = p->out;
    p->used |= o->takes;
    switch (o->id) {
    case OPTION_CONFIG:
        out->config = value;
        return true;
    case OPTION_ROUTER:
        return add_router(p, value);
    case OPTION_DEADLINE:
        return parse_number(p, o->name, value, DEADLINE_MAX_MS, &out->deadline_ms);
    case OPTION_JSON:
        out->json = true;
        return true;
    case OPTION_HELP:
        out->help = true;
        return true;
    case OPTION_VERSION:
        out->version = true;
        return true;
    case OPTION_LIMIT:
        return parse_number(p, o->name, value, LIMIT_MAX, &out->limit);
    case OPTION_CURSOR:
        out->cursor = value;
        return true;
    case OPTION_BY:
        out->by = value;
        return true;
    case OPTION_REJECTS:
        out->rejects = value;
        return true;
    case OPTION_IN_FLIGHT:
        return parse_number(p, o->name, value, IN_FLIGHT_MAX, &out->in_flight);
    case OPTION_EXPLAIN:
        out->explain = true;
        return true;
    case OPTION_COUNTS:
        out->counts = true;
        return true;
    case OPTION_FIELDS:
        out->fields = value;
        return true;
    case OPTION_IDS:
        out->ids = value;
        return true;
    case OPTION_FORMAT:
        out->format = value;
        return true;
    case OPTION_OUT:
        out->out = value;
        return true;
    case OPTION_FROM:
        out->from = value;
        return true;
    case OPTION_TOKEN_FILE:
        out->token_file = value;
        return true;
    case OPTION_ONCE:
        out->once = true;
        return true;
    case OPTION_STOP:
        out->stop = true;
        return true;
    case OPTION_KEY:
        out->key = value;
        return true;
    case OPTION_SERVER_KEY:
        out->server_key = value;
        return true;
    case OPTION_NAME:
        out->name = value;
        return true;
    case OPTION_ROLES:
        out->roles = value;
        return true;
    case OPTION_ALL:
        out->all = true;
        return true;
    case OPTION_STALE:
        out->stale = true;
        return true;
    case OPTION_QUICK:
        out->quick = true;
        return true;
    case OPTION_WAIT:
        out->wait = true;
        return true;
    }
    return false;
}

static bool take_option(struct parser *p, const char *arg)
{
    const char *value;
    const struct option *o = find_option(arg, &value);
    if (!o) {
        (void)error_set(p->err, ERR_USAGE, "unknown option %.60s", arg);
        return false;
    }
    if (!o->has_value && value) {
        (void)error_set(p->err, ERR_USAGE, "--%s takes no value", o->name);
        return false;
    }
    if (o->has_value && !value)
        value = p->at < p->argc ? p->argv[p->at++] : NULL;
    if (o->has_value && !value) {
        (void)error_set(p->err, ERR_USAGE, "--%s: a value is missing", o->name);
        return false;
    }
    return apply(p, o, value ? value : "");
}

static bool take_word(struct parser *p, const char *arg)
{
    struct options *out = p->out;
    if (out->command) {
        if (out->n_args == ARGS_MAX) {
            (void)error_set(p->err, ERR_USAGE, "too many arguments");
            return false;
        }
        out->args[out->n_args++] = arg;
        return true;
    }
    for (const struct command *c = p->commands; c->name; c++) {
        if (strcmp(c->name, arg) == 0)
            out->command = c;
    }
    if (!out->command)
        (void)error_set(p->err, ERR_USAGE, "unknown command %.60s", arg);
    return out->command != NULL;
}

/* True once everything is taken. */
static bool take_all(struct parser *p)
{
    bool only_words = false;
    while (p->at < p->argc) {
        const char *arg = p->argv[p->at++];
        if (!only_words && strcmp(arg, "--") == 0) {
            only_words = true;
            continue;
        }
        bool is_option = !only_words && arg[0] == '-' && arg[1] != '\0';
        if (is_option ? !take_option(p, arg) : !take_word(p, arg))
            return false;
    }
    return true;
}

static enum error_code check(const struct parser *p)
{
    const struct options *o = p->out;
    const struct command *c = o->command;
    if (o->help || o->version)
        return ERR_OK;
    if (!c)
        return error_set(p->err, ERR_USAGE, "a command is missing");
    for (size_t i = 0; i < sizeof OPTIONS / sizeof OPTIONS[0]; i++) {
        if (OPTIONS[i].takes & p->used & ~c->takes)
            return error_set(p->err, ERR_USAGE, "%s takes no --%s", c->name, OPTIONS[i].name);
    }
    if (o->n_args < c->n_args)
        return error_set(p->err, ERR_USAGE, "%s: %s is missing", c->name, c->args);
    if (o->n_args > c->n_args && !(c->takes & TAKES_MORE))
        return error_set(p->err, ERR_USAGE, "%s: too many arguments (quote an expression)",
                         c->name);
    if ((c->takes & TAKES_BY) && !o->by)
        return error_set(p->err, ERR_USAGE, "%s: --by TRAIT is missing", c->name);
    return ERR_OK;
}

enum error_code options_parse(int argc, char **argv, const struct command *commands,
                              struct options *out, struct error *err)
{
    *out = (struct options){
        .config = "cluster.yml", .deadline_ms = DEADLINE_MS, .in_flight = IN_FLIGHT};
    struct parser p = {
        .argc = argc, .at = 1, .argv = argv, .commands = commands, .out = out, .err = err};
    return take_all(&p) ? check(&p) : ERR_USAGE;
}
