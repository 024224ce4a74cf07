#include "session.h"

#include "interrupt.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { RETRY_MAX_MS = 2000, RETRY_MIN_MS = 50 };

void complain(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)fflush(stdout);
    (void)fprintf(stderr, "oneidctl: ");
    (void)vfprintf(stderr, fmt, args);
    (void)fprintf(stderr, "\n");
    va_end(args);
}

void complain_code(enum oneid_code code, const char *text)
{
    complain("%s%s%s", oneid_code_text(code), text[0] ? ": " : "", text);
}

int result_check(const struct oneid_result *r)
{
    if (!r) {
        complain("out of memory");
        return EXIT_PROBLEM;
    }
    if (r->code != ONEID_OK) {
        complain_code(r->code, r->text);
        return EXIT_PROBLEM;
    }
    if (r->age_ms)
        complain("note: a replica's answer, at most %u ms old", r->age_ms);
    if (!r->partial)
        return EXIT_OK;
    complain("partial: not every shard answered within the deadline");
    return EXIT_PROBLEM;
}

struct cluster_config *session_config(const struct options *o)
{
    struct cluster_config *config = NULL;
    struct error err;
    if (cluster_config_open(o->config, &config, &err) == ERR_OK)
        return config;
    complain("%s", err.msg);
    return NULL;
}

/* So that every router has had its turn before the deadline. */
static uint32_t retry_of(uint32_t deadline_ms, size_t n_routers)
{
    uint32_t ms = deadline_ms / (uint32_t)(n_routers + 1);
    if (ms > RETRY_MAX_MS)
        return RETRY_MAX_MS;
    return ms < RETRY_MIN_MS ? RETRY_MIN_MS : ms;
}

/* Keys of routers that the cluster file does not name: the one of --server-key for all. */
static enum error_code keys_of_options(struct session *s, const struct options *o, size_t n_routers,
                                       struct error *err)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nothing sets the environment */
    const char *key = o->key ? o->key : getenv("ONEID_KEY");
    if (!o->server_key)
        return o->key ? error_set(err, ERR_USAGE, "--key needs --server-key, the router's key")
                      : ERR_OK;
    if (!key)
        return error_set(err, ERR_USAGE, "--server-key needs --key FILE, our own key");
    return client_keys_for(key, o->server_key, n_routers, &s->keys, err);
}

/* Those of the cluster file, in its order: --router may name some of them. */
static enum error_code keys_of_routers(struct session *s, const struct options *o,
                                       const char *const *routers, size_t n_routers,
                                       struct error *err)
{
    if (o->server_key || !s->config)
        return keys_of_options(s, o, n_routers, err);
    return client_keys_open(s->config, o->key, routers, n_routers, &s->keys, err);
}

int session_open_at(struct session *s, const struct options *o, const char *const *routers,
                    size_t n_routers, uint32_t in_flight)
{
    char text[240];
    struct error err;
    if (keys_of_routers(s, o, routers, n_routers, &err) != ERR_OK) {
        complain("%s", err.msg);
        return EXIT_PROBLEM;
    }
    struct oneid_options options = {.routers = routers,
                                    .n_routers = n_routers,
                                    .deadline_ms = o->deadline_ms,
                                    .max_in_flight = in_flight,
                                    .retry_ms = retry_of(o->deadline_ms, n_routers),
                                    .key_file = s->keys.key_file,
                                    .server_keys = (const char *const *)s->keys.server_keys,
                                    .trust_file = s->keys.trust_file,
                                    .stale_ok = o->stale};
    enum oneid_code rc = oneid_open(&options, &s->client, text, sizeof text);
    if (rc == ONEID_OK)
        return EXIT_OK;
    complain("%s", text);
    return EXIT_PROBLEM;
}

int session_open(struct session *s, const struct options *o)
{
    *s = (struct session){0};
    if (o->n_routers && !o->server_key && access(o->config, R_OK) == 0 &&
        !(s->config = session_config(o))) /* it says whether and how routers are reached */
        return EXIT_PROBLEM;
    if (o->n_routers)
        return session_open_at(s, o, o->routers, o->n_routers, o->in_flight);
    s->config = session_config(o);
    if (!s->config)
        return EXIT_PROBLEM;
    const char *routers[CLUSTER_ROUTERS_MAX];
    for (size_t i = 0; i < s->config->n_routers; i++)
        routers[i] = s->config->routers[i].listen;
    return session_open_at(s, o, routers, s->config->n_routers, o->in_flight);
}

int session_open_interruptible(struct session *s, const struct options *o)
{
    int rc = session_open(s, o);
    if (rc == EXIT_OK)
        interrupt_watch(s->client);
    return rc;
}

void session_close(struct session *s)
{
    interrupt_watch(NULL);
    oneid_close(s->client);
    client_keys_close(&s->keys);
    cluster_config_close(s->config);
    *s = (struct session){0};
}
