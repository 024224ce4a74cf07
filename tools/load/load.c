#include <base/clock.h>
#include <load/commands.h>

#include <stdio.h>

int load_fail(const struct error *err)
{
    fprintf(stderr, "oneid-load: %s\n", err->msg[0] ? err->msg : error_text(err->code));
    return 2;
}

struct oneid_client *load_connect(const struct load_options *o, const struct cluster_config *c,
                                  uint32_t in_flight)
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
    struct oneid_client *client = NULL;
    char text[240] = "";
    enum oneid_code code = oneid_open(&options, &client, text, sizeof text);
    if (!code)
        return client;
    fprintf(stderr, "oneid-load: %s\n", text[0] ? text : oneid_code_text(code));
    return NULL;
}

static int run(const struct load_options *o, const struct cluster_config *c)
{
    switch (o->command) {
    case LOAD_GEN:
        return load_gen(o, c);
    case LOAD_INGEST:
        return load_ingest(o, c);
    case LOAD_GET:
        return load_get(o, c);
    case LOAD_COUNT:
        return load_count(o, c);
    case LOAD_CHECK:
        return load_check(o, c);
    }
    return 2;
}

int load_main(int argc, char **argv)
{
    struct load_options o;
    struct error err = {0};
    struct cluster_config *c = NULL;
    if (load_options_parse(argc, argv, &o, &err)) {
        if (err.msg[0])
            return load_fail(&err);
        fputs(load_usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    if (cluster_config_open(o.config, &c, &err))
        return load_fail(&err);
    int status = 2;
    if (clock_set_timezone(c->timezone)) {
        error_set(&err, ERR_CONFIG, "%s: the system does not know the time zone", o.config);
        load_fail(&err);
    } else {
        status = run(&o, c);
    }
    cluster_config_close(c);
    return status;
}
