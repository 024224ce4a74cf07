#include <base/clock.h>
#include <load/commands.h>
#include <proto/security.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int load_fail(const struct error *err)
{
    fprintf(stderr, "oneid-load: %s\n", err->msg[0] ? err->msg : error_text(err->code));
    return 2;
}

enum error_code load_open_client(const struct load_options *o, const struct cluster_config *c,
                                 uint32_t in_flight, struct oneid_client **out, struct error *err)
{
    const char *routers[LOAD_LIST_MAX];
    struct oneid_options options = {.routers = routers,
                                    .n_routers = o->n_routers,
                                    .deadline_ms = o->deadline_ms,
                                    .max_in_flight = in_flight};
    for (size_t i = 0; i < o->n_routers; i++)
        routers[i] = o->routers[i];
    for (size_t i = 0; !o->n_routers && i < c->n_routers && i < LOAD_LIST_MAX; i++)
        routers[options.n_routers++] = c->routers[i].listen;
    char text[200] = "";
    struct client_keys keys;
    enum error_code rc = client_keys_open(c, o->key, routers, options.n_routers, &keys, err);
    if (rc != ERR_OK)
        return rc;
    options.key_file = keys.key_file;
    options.server_keys = (const char *const *)keys.server_keys;
    options.trust_file = keys.trust_file;
    enum oneid_code code = oneid_open(&options, out, text, sizeof text);
    client_keys_close(&keys);
    if (!code)
        return ERR_OK;
    return error_set(err, ERR_UNAVAILABLE, "%s", text[0] ? text : oneid_code_text(code));
}

struct oneid_client *load_connect(const struct load_options *o, const struct cluster_config *c,
                                  uint32_t in_flight)
{
    struct oneid_client *client = NULL;
    struct error err = {0};
    if (!load_open_client(o, c, in_flight, &client, &err))
        return client;
    load_fail(&err);
    return NULL;
}

/* What was typed; NULL: no memory. The caller frees. */
static char *command_line(int argc, char **argv)
{
    size_t size = sizeof "oneid-load";
    for (int i = 1; i < argc; i++)
        size += strlen(argv[i]) + 3;
    char *line = malloc(size), *at = line;
    if (!line)
        return NULL;
    at += sprintf(at, "oneid-load");
    for (int i = 1; i < argc; i++) {
        const char *quote = argv[i][strcspn(argv[i], " \t\n'\"()<>|&;*?$")] ? "'" : "";
        at += sprintf(at, " %s%s%s", quote, argv[i], quote);
    }
    return line;
}

static int run(const struct load_options *o, const struct cluster_config *c, const char *line)
{
    switch (o->command) {
    case LOAD_GEN:
        return load_gen(o, c);
    case LOAD_RUN:
    case LOAD_INGEST:
    case LOAD_GET:
    case LOAD_COUNT:
        return load_run(o, c, line);
    case LOAD_CHECK:
        return load_check(o, c);
    case LOAD_REPORT:
        break;
    }
    return 2;
}

static int run_with_cluster(const struct load_options *o, const char *line)
{
    struct error err = {0};
    struct cluster_config *c = NULL;
    if (cluster_config_open(o->config, &c, &err))
        return load_fail(&err);
    int status = 2;
    if (clock_set_timezone(c->timezone)) {
        error_set(&err, ERR_CONFIG, "%s: the system does not know the time zone", o->config);
        load_fail(&err);
    } else {
        status = run(o, c, line);
    }
    cluster_config_close(c);
    return status;
}

int load_main(int argc, char **argv)
{
    struct load_options o;
    struct error err = {0};
    if (load_options_parse(argc, argv, &o, &err)) {
        if (err.msg[0])
            return load_fail(&err);
        fputs(load_usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    if (o.command == LOAD_REPORT)
        return load_report(&o);
    char *line = command_line(argc, argv);
    int status = run_with_cluster(&o, line ? line : "");
    free(line);
    return status;
}
