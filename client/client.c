#include "parts.h"

#include <cluster/slot.h>
#include <proto/security.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    DEADLINE_MS = 10000,
    RETRY_MS = 2000,
    IN_FLIGHT = 4096,
    IN_FLIGHT_MAX = 1 << 20,
    ROUTERS_MAX = 256,
    MESSAGE_MEMORY_MAX = 512 << 20
};

#define TEXT_OF(x) #x
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *oneid_version(void)
{
    return VERSION_TEXT(ONEID_VERSION_MAJOR, ONEID_VERSION_MINOR, ONEID_VERSION_PATCH);
}

const char *oneid_code_text(enum oneid_code code)
{
    switch (code) {
    case ONEID_OK:
        return "ok";
    case ONEID_ERR_NOMEM:
        return "out of memory";
    case ONEID_ERR_USAGE:
        return "wrong usage";
    case ONEID_ERR_INVALID:
        return "invalid input";
    case ONEID_ERR_SYNTAX:
        return "syntax error";
    case ONEID_ERR_NOT_FOUND:
        return "not found";
    case ONEID_ERR_TIMEOUT:
        return "no answer within the deadline";
    case ONEID_ERR_UNAVAILABLE:
        return "not reachable";
    case ONEID_ERR_BUSY:
        return "too much in flight";
    case ONEID_ERR_CANCELLED:
        return "cancelled";
    case ONEID_ERR_INTERNAL:
        return "internal error";
    case ONEID_ERR_TOO_OLD:
        return "not kept any more";
    case ONEID_ERR_DENIED:
        return "not allowed";
    case ONEID_ERR_CONFLICT:
        return "not possible as things are";
    }
    return "unknown error";
}

enum oneid_code code_of_error(enum error_code code)
{
    switch (code) {
    case ERR_OK:
        return ONEID_OK;
    case ERR_MALFORMED:
    case ERR_TOO_LARGE:
    case ERR_INVALID:
    case ERR_UNKNOWN_NAME:
    case ERR_NO_IDENTITY:
    case ERR_USAGE:
        return ONEID_ERR_INVALID;
    case ERR_SYNTAX:
        return ONEID_ERR_SYNTAX;
    case ERR_NOT_FOUND:
    case ERR_ERASED:
        return ONEID_ERR_NOT_FOUND;
    case ERR_BUSY:
        return ONEID_ERR_BUSY;
    case ERR_TIMEOUT:
        return ONEID_ERR_TIMEOUT;
    case ERR_NOMEM: /* of a server: it may have some later */
    case ERR_DISK_FULL:
    case ERR_UNAVAILABLE:
    case ERR_NOT_LEADER:
    case ERR_WRONG_SHARD:
    case ERR_STALE_EPOCH:
    case ERR_SHUTDOWN:
        return ONEID_ERR_UNAVAILABLE;
    case ERR_CANCELLED:
        return ONEID_ERR_CANCELLED;
    case ERR_TOO_OLD:
        return ONEID_ERR_TOO_OLD;
    case ERR_DENIED:
        return ONEID_ERR_DENIED;
    case ERR_CONFLICT:
        return ONEID_ERR_CONFLICT;
    case ERR_IO:
    case ERR_CORRUPT:
    case ERR_MISMATCH:
    case ERR_CONFIG:
    case ERR_INTERNAL:
        break;
    }
    return ONEID_ERR_INTERNAL;
}

enum oneid_code client_refuse(struct oneid_client *c, enum oneid_code code, const char *text)
{
    (void)snprintf(c->text, sizeof c->text, "%s", text);
    return code;
}

const char *oneid_error_text(const struct oneid_client *c)
{
    return c ? c->text : "no client";
}

void oneid_format(uint64_t id, char out[17])
{
    one_id_format(id, out);
}

bool oneid_parse(const char *text, uint64_t *id)
{
    return text && one_id_parse(bytes_of_str(text), id);
}

/* --- opening and closing --- */

enum error_code router_connect(struct oneid_client *c, struct router_link *r, struct error *err)
{
    enum error_code rc = link_open(c->net, r->endpoint, &r->link, err);
    r->endings = 0;
    r->is_up = false;
    if (rc != ERR_OK)
        return rc;
    struct epoll_event e = {.events = EPOLLIN};
    if (epoll_ctl(c->fd, EPOLL_CTL_ADD, link_fd(r->link), &e) == 0)
        return ERR_OK;
    link_close(r->link);
    r->link = NULL;
    return error_set(err, ERR_IO, "watching the connection to %s", r->endpoint);
}

void router_disconnect(struct oneid_client *c, struct router_link *r)
{
    if (!r->link)
        return;
    (void)epoll_ctl(c->fd, EPOLL_CTL_DEL, link_fd(r->link), NULL);
    link_close(r->link);
    r->link = NULL;
}

static enum error_code open_routers(struct oneid_client *c, const struct oneid_options *o,
                                    struct error *err)
{
    c->routers = calloc(o->n_routers, sizeof *c->routers);
    c->waits = calloc(o->n_routers, sizeof *c->waits);
    if (!c->routers || !c->waits)
        return error_set(err, ERR_NOMEM, "client");
    for (size_t i = 0; i < o->n_routers; i++) {
        struct router_link *r = &c->routers[c->n_routers];
        r->endpoint = strdup(o->routers[i]);
        if (!r->endpoint)
            return error_set(err, ERR_NOMEM, "client");
        c->n_routers++;
        enum error_code rc = router_connect(c, r, err);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

/* Every link goes to a router whose key is given. */
static enum error_code secure(struct oneid_client *c, const struct oneid_options *o,
                              struct error *err)
{
    struct key_pair own;
    if (!o->key_file)
        return ERR_OK;
    struct known_server *servers = calloc(o->n_routers, sizeof *servers);
    if (!servers)
        return error_set(err, ERR_NOMEM, "client");
    for (size_t i = 0; i < o->n_routers; i++) {
        servers[i].endpoint = o->routers[i];
        if (o->trust_file)
            servers[i].name = o->server_keys[i];
        else
            servers[i].keys = o->server_keys[i];
    }
    struct security_options s = {
        .own = &own, .allowed = o->trust_file, .servers = servers, .n_servers = o->n_routers};
    enum error_code rc = key_pair_load(o->key_file, &own, err);
    if (rc == ERR_OK)
        rc = net_secure(c->net, &s, err);
    key_pair_wipe(&own);
    free(servers);
    return rc == ERR_OK || rc == ERR_NOMEM ? rc : ERR_USAGE;
}

static enum error_code check_options(const struct oneid_options *o, struct error *err)
{
    if (!o || !o->routers || o->n_routers == 0)
        return error_set(err, ERR_USAGE, "no router given");
    if (o->n_routers > ROUTERS_MAX)
        return error_set(err, ERR_USAGE, "%zu routers, at most %d are taken", o->n_routers,
                         ROUTERS_MAX);
    for (size_t i = 0; i < o->n_routers; i++) {
        if (!o->routers[i])
            return error_set(err, ERR_USAGE, "router %zu is NULL", i);
    }
    if (!o->key_file != !o->server_keys)
        return error_set(err, ERR_USAGE, "key_file and server_keys belong together");
    for (size_t i = 0; o->server_keys && i < o->n_routers; i++) {
        if (!o->server_keys[i])
            return error_set(err, ERR_USAGE, "the key of router %zu is NULL", i);
    }
    if (o->max_in_flight > IN_FLIGHT_MAX)
        return error_set(err, ERR_USAGE, "max_in_flight: at most %d", IN_FLIGHT_MAX);
    return ERR_OK;
}

static enum error_code open_client(struct oneid_client *c, const struct oneid_options *o,
                                   struct error *err)
{
    c->fd = epoll_create1(EPOLL_CLOEXEC);
    if (c->fd < 0)
        return error_set(err, ERR_IO, "no descriptor left");
    c->stale_ok = o->stale_ok;
    c->deadline_ms = o->deadline_ms ? o->deadline_ms : DEADLINE_MS;
    c->retry_ms = o->retry_ms ? o->retry_ms : RETRY_MS;
    c->wake_ms = INT64_MAX;
    c->rng = rng_of_seed((uint64_t)clock_mono_us() ^ (uint64_t)getpid() << 32);
    arena_init(&c->message, MESSAGE_MEMORY_MAX);
    if (!flight_open(&c->flight, o->max_in_flight ? o->max_in_flight : IN_FLIGHT))
        return error_set(err, ERR_NOMEM, "client");
    enum error_code rc = net_open(1, &c->net, err);
    if (rc == ERR_OK)
        rc = secure(c, o, err);
    return rc == ERR_OK ? open_routers(c, o, err) : rc;
}

enum oneid_code oneid_open(const struct oneid_options *options, struct oneid_client **out,
                           char *text, size_t text_size)
{
    struct error err = {0};
    struct oneid_client *c = NULL;
    enum error_code rc = out ? check_options(options, &err) : ERR_USAGE;
    if (rc == ERR_OK) {
        c = calloc(1, sizeof *c);
        rc = c ? open_client(c, options, &err) : error_set(&err, ERR_NOMEM, "client");
    }
    if (rc != ERR_OK) {
        oneid_close(c);
        c = NULL;
    }
    if (out)
        *out = c;
    if (text && text_size)
        (void)snprintf(text, text_size, "%s", err.msg);
    if (rc == ERR_USAGE || rc == ERR_INVALID)
        return ONEID_ERR_USAGE;
    return rc == ERR_NOMEM ? ONEID_ERR_NOMEM : rc == ERR_OK ? ONEID_OK : ONEID_ERR_INTERNAL;
}

void oneid_close(struct oneid_client *c)
{
    if (!c)
        return;
    c->closing = true;
    turn_cancel_all(c);
    for (size_t i = 0; i < c->n_routers; i++) {
        router_disconnect(c, &c->routers[i]);
        free(c->routers[i].endpoint);
    }
    net_close(c->net);
    if (c->fd >= 0)
        (void)close(c->fd);
    flight_close(&c->flight);
    arena_close(&c->building);
    arena_close(&c->message);
    arena_close(&c->answering);
    free(c->routers);
    free(c->waits);
    free(c);
}

int oneid_fd(struct oneid_client *c)
{
    return c->fd;
}

size_t oneid_in_flight(const struct oneid_client *c)
{
    return c->flight.n;
}
