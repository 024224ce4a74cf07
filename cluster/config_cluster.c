#include "config_sections.h"

#include <cluster/listen.h>
#include <cluster/map.h>

#include <base/clock.h>

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char METRICS_LOOPBACK[] = "127.0.0.1:";
enum {
    ENDPOINT_MAX = MAP_ENDPOINT_MAX - 1,
    DATA_MAX = 1024,
    TIMEZONE_MAX = 64,
    CLUSTER_NAME_MAX = 64
};

void config_read_name(struct config_node n, struct cluster_config *c)
{
    c->name = config_text(n, CLUSTER_NAME_MAX);
    if (c->name[strspn(c->name, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0')
        config_fail(n, "expected a cluster name of a-z, 0-9 and -");
}

/* As it stands in the file; made absolute when all has been read. */
void config_read_data(struct config_node n, struct cluster_config *c)
{
    c->data = config_text(n, DATA_MAX);
}

void config_read_shards(struct config_node n, struct cluster_config *c)
{
    c->n_shards = (uint32_t)config_int(n, 1, CLUSTER_SHARDS_MAX, 1);
}

void config_read_replicas(struct config_node n, struct cluster_config *c)
{
    c->n_replicas = (uint32_t)config_int(n, 1, 5, 1);
    if (config_doc_ok(n.doc) && c->n_replicas % 2 == 0)
        config_fail(n,
                    "expected replicas: 1, 3 or 5, found %u: an even number survives no more "
                    "failures than the odd one below it",
                    c->n_replicas);
}

void config_read_timezone(struct config_node n, struct cluster_config *c)
{
    c->timezone = config_text(n, TIMEZONE_MAX);
    if (c->timezone[0] != '\0' && !clock_has_timezone(c->timezone)) {
        char shown[CONFIG_SHOW_MAX];
        config_fail(n,
                    "expected a time zone that this system knows, such as Asia/Shanghai or UTC;"
                    " found %s",
                    config_show(n, shown));
    }
}

/* Keys, or the words "none". The list of allowed keys is usually beside the keys. */
void config_read_security(struct config_node n, struct cluster_config *c)
{
    static const struct config_key KEYS[] = {{"keys", true}, {"allowed", false}};
    char shown[CONFIG_SHOW_MAX];
    if (!config_exists(n))
        return;
    if (config_count(n) == 0) {
        c->security.plain = strcmp(config_text(n, DATA_MAX), "none") == 0;
        if (!c->security.plain)
            config_fail(n, "expected none, or a mapping with keys: FOLDER; found %s",
                        config_show(n, shown));
        return;
    }
    config_map(n, KEYS, 2);
    c->security.keys = config_text(config_get(n, "keys"), DATA_MAX);
    if (config_exists(config_get(n, "allowed"))) {
        c->security.allowed = config_text(config_get(n, "allowed"), DATA_MAX);
        return;
    }
    size_t size = strlen(c->security.keys) + sizeof "/allowed";
    char *allowed = config_doc_alloc(n.doc, size, 1);
    if (allowed)
        (void)snprintf(allowed, size, "%s/allowed", c->security.keys);
    c->security.allowed = allowed;
}

/* "tcp://host:port" that others can connect to and nobody else listens on; "" with a mistake. */
static const char *read_listen(struct config_node n, const struct cluster_config *c)
{
    char shown[CONFIG_SHOW_MAX];
    const char *s = config_text(n, ENDPOINT_MAX);
    if (s[0] == '\0')
        return s;
    const char *expected = listen_mistake(s);
    if (expected) {
        config_fail(n, "expected %s, found %s", expected, config_show(n, shown));
        return "";
    }
    if (c->security.plain && !listen_is_loopback(s)) {
        config_fail(n,
                    "security: none is for this machine only: expected \"tcp://127.0.0.1:port\", "
                    "found %s; or give the cluster keys",
                    config_show(n, shown));
        return "";
    }
    bool taken = false;
    for (size_t i = 0; i < c->n_nodes; i++)
        taken = taken || strcmp(c->nodes[i].listen, s) == 0;
    for (size_t i = 0; i < c->n_routers; i++)
        taken = taken || strcmp(c->routers[i].listen, s) == 0;
    if (taken)
        config_fail(n, "expected an endpoint of its own, %s is used twice", config_show(n, shown));
    return s;
}

/* "address:port" of IPv4; a port alone is on loopback. "" where there is none or a mistake. */
static const char *read_metrics(struct config_node n)
{
    char shown[CONFIG_SHOW_MAX];
    if (!config_exists(n))
        return "";
    const char *s = config_text(n, ENDPOINT_MAX);
    if (s[0] == '\0')
        return s;
    if (listen_is_port(s)) {
        size_t size = sizeof METRICS_LOOPBACK + strlen(s);
        char *with_host = config_doc_alloc(n.doc, size, 1);
        if (!with_host)
            return "";
        (void)snprintf(with_host, size, "%s%s", METRICS_LOOPBACK, s);
        s = with_host;
    }
    size_t len = strspn(s, "0123456789.");
    if (len == 0 || s[len] != ':' || !listen_is_port(s + len + 1)) {
        config_fail(n, "expected a port, or \"address:port\" with an IPv4 address, found %s",
                    config_show(n, shown));
        return "";
    }
    return s;
}

static const struct config_key MEMBER_KEYS[] = {{"id", true}, {"listen", true}, {"metrics", false}};
enum { N_MEMBER_KEYS = sizeof MEMBER_KEYS / sizeof *MEMBER_KEYS };

void config_read_nodes(struct config_node n, struct cluster_config *c)
{
    if (!config_list(n, "node", 1, CLUSTER_NODES_MAX) ||
        !(c->nodes = config_doc_alloc(n.doc, config_count(n), sizeof *c->nodes)))
        return;
    for (size_t i = 0; i < config_count(n); i++) {
        struct config_node item = config_item(n, i), id = config_get(item, "id");
        config_map(item, MEMBER_KEYS, N_MEMBER_KEYS);
        struct cluster_node node = {.id = (node_id)config_int(id, 1, UINT16_MAX, 0),
                                    .listen = read_listen(config_get(item, "listen"), c),
                                    .metrics = read_metrics(config_get(item, "metrics"))};
        for (size_t j = 0; j < c->n_nodes; j++) {
            if (node.id != 0 && c->nodes[j].id == node.id)
                config_fail(id, "expected another id, node %u is there already", node.id);
        }
        c->nodes[c->n_nodes++] = node;
    }
    if (c->n_replicas > c->n_nodes)
        config_fail(n, "expected at least as many nodes as replicas (%u), found %zu", c->n_replicas,
                    c->n_nodes);
}

void config_read_routers(struct config_node n, struct cluster_config *c)
{
    if (!config_list(n, "router", 1, CLUSTER_ROUTERS_MAX) ||
        !(c->routers = config_doc_alloc(n.doc, config_count(n), sizeof *c->routers)))
        return;
    for (size_t i = 0; i < config_count(n); i++) {
        struct config_node item = config_item(n, i), id = config_get(item, "id");
        config_map(item, MEMBER_KEYS, N_MEMBER_KEYS);
        struct cluster_router router = {.id = (uint16_t)config_int(id, 1, UINT16_MAX, 0),
                                        .listen = read_listen(config_get(item, "listen"), c),
                                        .metrics = read_metrics(config_get(item, "metrics"))};
        for (size_t j = 0; j < c->n_routers; j++) {
            if (router.id != 0 && c->routers[j].id == router.id)
                config_fail(id, "expected another id, router %u is there already", router.id);
        }
        c->routers[c->n_routers++] = router;
    }
}

/* Where a limit goes, its bounds, and its value when the file does not say. */
struct limit {
    const char *key;
    size_t offset; /* of a uint32_t in struct cluster_config */
    uint32_t min, max, fallback;
};

#define LIMIT(field, min, max, fallback)                                                           \
    {                                                                                              \
#field, offsetof(struct cluster_config, field), min, max, fallback                         \
    }
static const struct limit LIMITS[] = {
    LIMIT(dedup_hours, 1, 8760, 72),
    LIMIT(dedup_min, 1, 1000000, 4096),
    LIMIT(dedup_max, 1, 10000000, 65536),
    LIMIT(memtable_mb, 1, 65536, 64),
    LIMIT(checkpoint_seconds, 1, 86400, 60),
    LIMIT(log_keep_mb, 1, 65536, 64),
    LIMIT(log_join_mb, 1, 1048576, 1024),
    LIMIT(redirect_days, 1, 3660, 400),
    LIMIT(map_gb, 1, 16384, 256),
    LIMIT(router_cache_mb, 1, 1048576, 256),
    LIMIT(deadline_ms, 100, 600000, 10000),
    LIMIT(query_threads, 1, 256, 0),
    LIMIT(watch_events, 1000, 100000000, 1000000),
    LIMIT(watch_idle_days, 1, 3660, 7),
    LIMIT(election_ms, 200, 60000, 700),
};
#undef LIMIT
enum { N_LIMITS = sizeof LIMITS / sizeof *LIMITS };

void config_read_limits(struct config_node n, struct cluster_config *c)
{
    struct config_key keys[N_LIMITS];
    for (size_t i = 0; i < N_LIMITS; i++)
        keys[i] = (struct config_key){LIMITS[i].key, false};
    config_map(n, keys, N_LIMITS);
    for (size_t i = 0; i < N_LIMITS; i++) {
        const struct limit *l = &LIMITS[i];
        uint32_t v = (uint32_t)config_int(config_get(n, l->key), l->min, l->max, l->fallback);
        memcpy((uint8_t *)c + l->offset, &v, sizeof v);
    }
    if (config_doc_ok(n.doc) && c->dedup_max < c->dedup_min)
        config_fail(config_exists(config_get(n, "dedup_max")) ? config_get(n, "dedup_max")
                                                              : config_get(n, "dedup_min"),
                    "expected dedup_max (%u) to be at least dedup_min (%u)", c->dedup_max,
                    c->dedup_min);
}
