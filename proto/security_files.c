/* Security as a cluster file says it: which files hold the keys of a process, a tool, a server. */
#include "curve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 2048, SERVER_NAME_SIZE = 24, KEYS_TEXT = SERVER_KEYS_MAX * KEY_SIZE + 1 };

static void name_of(char out[SERVER_NAME_SIZE], const char *kind, unsigned id)
{
    (void)snprintf(out, SERVER_NAME_SIZE, "%s-%u", kind, id);
}

/* Nodes and routers: links go to both. */
static enum error_code secure_with(struct net *n, const struct cluster_config *c,
                                   const struct key_pair *own, struct log *log, struct error *err)
{
    size_t n_servers = c->n_nodes + c->n_routers;
    struct known_server *servers = calloc(n_servers, sizeof *servers);
    char(*names)[SERVER_NAME_SIZE] = calloc(n_servers, sizeof *names);
    enum error_code rc = servers && names ? ERR_OK : error_set(err, ERR_NOMEM, "keys of servers");
    for (size_t i = 0; i < n_servers && rc == ERR_OK; i++) {
        bool is_node = i < c->n_nodes;
        size_t at = is_node ? i : i - c->n_nodes;
        name_of(names[i], is_node ? "node" : "router",
                is_node ? c->nodes[at].id : c->routers[at].id);
        servers[i].endpoint = is_node ? c->nodes[at].listen : c->routers[at].listen;
        servers[i].name = names[i];
    }
    struct security_options o = {.own = own,
                                 .allowed = c->security.allowed,
                                 .serves = true,
                                 .servers = servers,
                                 .n_servers = n_servers,
                                 .log = log};
    if (rc == ERR_OK)
        rc = net_secure(n, &o, err);
    free(servers);
    free(names);
    return rc;
}

/* A process whose key nobody knows would be refused everywhere, which is hard to find out there. */
static void check_own(struct net *n, const struct key_pair *own, const char *name, struct log *log)
{
    char keys[SERVER_KEYS_MAX][KEY_SIZE], fingerprint[FINGERPRINT_SIZE];
    struct security *s = n->security;
    bool listed = false;
    (void)pthread_mutex_lock(&s->mutex);
    size_t count = trust_server_keys(s->trust, name, keys, SERVER_KEYS_MAX);
    (void)pthread_mutex_unlock(&s->mutex);
    for (size_t i = 0; i < count; i++)
        listed = listed || strcmp(keys[i], own->public_key) == 0;
    key_fingerprint(own->public_key, fingerprint);
    if (listed)
        log_event(log, LOG_LEVEL_INFO, "secured", "fingerprint=%s", fingerprint);
    else
        log_event(log, LOG_LEVEL_ERROR, "own_key_not_allowed",
                  "fingerprint=%s text=\"%s has no line '%s node %s': nobody will talk to us\"",
                  fingerprint, s->allowed, own->public_key, name);
}

enum error_code net_secure_process(struct net *n, const struct cluster_config *c, const char *name,
                                   struct log *log, struct error *err)
{
    char path[PATH_SIZE];
    struct key_pair own;
    if (c->security.plain)
        return ERR_OK;
    (void)snprintf(path, sizeof path, "%s/%s.key", c->security.keys, name);
    enum error_code rc = key_pair_load(path, &own, err);
    if (rc == ERR_OK)
        rc = secure_with(n, c, &own, log, err);
    if (rc == ERR_OK)
        check_own(n, &own, name, log);
    key_pair_wipe(&own);
    return rc;
}

/* --- tools --- */

/* "KEY KEY", for the library; NULL: no memory. */
static char *join_keys(char (*keys)[KEY_SIZE], size_t n)
{
    char text[KEYS_TEXT] = "";
    for (size_t i = 0; i < n; i++) {
        size_t at = i * KEY_SIZE;
        (void)snprintf(text + at, sizeof text - at, "%s%s", keys[i], i + 1 < n ? " " : "");
    }
    return strdup(text);
}

/* The name of the router's keys, of which the list has one. */
static enum error_code name_of_router(const struct cluster_config *c, const struct trust_list *t,
                                      const char *endpoint, char **out, struct error *err)
{
    char name[SERVER_NAME_SIZE] = "", key[1][KEY_SIZE];
    for (size_t i = 0; i < c->n_routers; i++) {
        if (strcmp(c->routers[i].listen, endpoint) == 0)
            name_of(name, "router", c->routers[i].id);
    }
    if (!name[0])
        return error_set(err, ERR_USAGE, "%s is no router of %s: its key must be given", endpoint,
                         c->path);
    if (trust_server_keys(t, name, key, 1) == 0)
        return error_set(err, ERR_CONFIG, "%s: has no key of %s with the role node",
                         c->security.allowed, name);
    *out = strdup(name);
    return *out ? ERR_OK : error_set(err, ERR_NOMEM, "keys of routers");
}

static enum error_code find_key_file(const struct cluster_config *c, const char *key_file,
                                     char **out, struct error *err)
{
    char path[PATH_SIZE];
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nothing sets the environment */
    const char *env = getenv("ONEID_KEY");
    if (!key_file && env && env[0])
        key_file = env;
    (void)snprintf(path, sizeof path, "%s/admin.key", c->security.keys);
    *out = strdup(key_file ? key_file : path);
    return *out ? ERR_OK : error_set(err, ERR_NOMEM, "key file");
}

static enum error_code open_keys(const struct cluster_config *c, const struct trust_list *t,
                                 const char *const *routers, size_t n, struct client_keys *out,
                                 struct error *err)
{
    out->server_keys = calloc(n, sizeof(char *));
    if (!out->server_keys)
        return error_set(err, ERR_NOMEM, "keys of routers");
    out->n = n;
    out->trust_file = strdup(c->security.allowed);
    if (!out->trust_file)
        return error_set(err, ERR_NOMEM, "keys of routers");
    for (size_t i = 0; i < n; i++) {
        enum error_code rc = name_of_router(c, t, routers[i], &out->server_keys[i], err);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

enum error_code client_keys_open(const struct cluster_config *c, const char *key_file,
                                 const char *const *routers, size_t n, struct client_keys *out,
                                 struct error *err)
{
    struct trust_list *t = NULL;
    *out = (struct client_keys){.key_file = NULL};
    if (c->security.plain)
        return key_file ? error_set(err, ERR_USAGE,
                                    "%s says security: none, so that no key is of use", c->path)
                        : ERR_OK;
    enum error_code rc = trust_read(c->security.allowed, &t, err);
    if (rc == ERR_OK)
        rc = find_key_file(c, key_file, &out->key_file, err);
    if (rc == ERR_OK)
        rc = open_keys(c, t, routers, n, out, err);
    trust_free(t);
    if (rc != ERR_OK)
        client_keys_close(out);
    return rc;
}

/* The keys of all servers that the file names. */
static enum error_code keys_of_file(const char *path, char **out, struct error *err)
{
    char keys[SERVER_KEYS_MAX][KEY_SIZE];
    struct trust_list *t = NULL;
    size_t n = 0;
    enum error_code rc = trust_read(path, &t, err);
    if (rc != ERR_OK)
        return rc;
    memset(keys, 0, sizeof keys);
    for (size_t i = 0; i < t->n && n < SERVER_KEYS_MAX; i++) {
        if (t->keys[i].roles & ROLE_NODE)
            memcpy(keys[n++], t->keys[i].key, KEY_SIZE);
    }
    trust_free(t);
    if (n == 0)
        return error_set(err, ERR_CONFIG, "%s: has no key with the role node", path);
    *out = join_keys(keys, n);
    return *out ? ERR_OK : error_set(err, ERR_NOMEM, "keys of routers");
}

enum error_code client_keys_for(const char *key_file, const char *server_key, size_t n,
                                struct client_keys *out, struct error *err)
{
    char *keys = NULL;
    enum error_code rc = ERR_OK;
    *out = (struct client_keys){.key_file = strdup(key_file),
                                .server_keys = calloc(n, sizeof(char *))};
    /* A path may happen to look like a key. */
    if (access(server_key, F_OK) == 0 || !key_is_valid(bytes_of_str(server_key)))
        rc = keys_of_file(server_key, &keys, err);
    else
        keys = strdup(server_key);
    bool ok = out->key_file && out->server_keys && keys;
    for (; ok && out->n < n; out->n++) {
        out->server_keys[out->n] = strdup(keys);
        ok = out->server_keys[out->n] != NULL;
    }
    free(keys);
    if (rc == ERR_OK && !ok)
        rc = error_set(err, ERR_NOMEM, "keys of routers");
    if (rc != ERR_OK)
        client_keys_close(out);
    return rc;
}

void client_keys_close(struct client_keys *k)
{
    for (size_t i = 0; k->server_keys && i < k->n; i++)
        free(k->server_keys[i]);
    free(k->server_keys);
    free(k->key_file);
    free(k->trust_file);
    *k = (struct client_keys){.key_file = NULL};
}
