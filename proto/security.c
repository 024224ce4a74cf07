/* Who may do what in a process: the keys by number, their limits, refusals. zap.c asks about keys,
 * endpoint.c about messages, routers about requests. */
#include "curve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_EVERY_MS = 1000, KEYS_MAX = 1 << 16, MILLI = 1000, PASSED_MAX_MS = 1000000 };

static void lock(struct security *s)
{
    (void)pthread_mutex_lock(&s->mutex);
}

static void unlock(struct security *s)
{
    (void)pthread_mutex_unlock(&s->mutex);
}

static void count(_Atomic uint64_t *counter)
{
    (void)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* --- refusals --- */

static const char *const REFUSAL_EVENTS[REFUSALS] = {[REFUSED_UNKNOWN] = "key_unknown",
                                                     [REFUSED_HANDSHAKE] = "handshake_failed",
                                                     [REFUSED_REVOKED] = "key_revoked",
                                                     [REFUSED_ROLE] = "role_denied",
                                                     [REFUSED_LIMIT] = "key_over_its_limit"};

static _Atomic uint64_t *counter_of(struct security *s, enum refusal kind)
{
    switch (kind) {
    case REFUSED_UNKNOWN:
        return &s->counters.unknown_key;
    case REFUSED_HANDSHAKE:
        return &s->counters.bad_handshake;
    case REFUSED_REVOKED:
        return &s->counters.revoked;
    case REFUSED_ROLE:
    case REFUSED_LIMIT:
        break;
    }
    return &s->counters.denied;
}

void security_note(struct security *s, enum refusal kind, const char *name, const char *fingerprint,
                   const char *why)
{
    if (kind != REFUSED_LIMIT) /* counted by which limit it was */
        count(counter_of(s, kind));
    msec_t now = clock_mono_ms();
    lock(s);
    bool quiet = s->logged_ms[kind] && now - s->logged_ms[kind] < LOG_EVERY_MS;
    uint64_t unlogged = s->unlogged[kind];
    s->unlogged[kind] = quiet ? unlogged + 1 : 0;
    if (!quiet)
        s->logged_ms[kind] = now;
    unlock(s);
    if (!quiet)
        log_event(s->log, LOG_LEVEL_WARN, REFUSAL_EVENTS[kind],
                  "fingerprint=%s name=%s text=\"%s\" more=%llu",
                  fingerprint[0] ? fingerprint : "-", name[0] ? name : "-", why,
                  (unsigned long long)unlogged);
}

/* A copy of the key's state; false: there is none of that number. */
static bool state_of(struct security *s, uint32_t number, struct trusted *out)
{
    lock(s);
    bool there = number < s->n_keys;
    if (there)
        *out = s->keys[number].who;
    unlock(s);
    return there;
}

void security_note_role(struct security *s, const struct sender *from, unsigned role)
{
    struct trusted who;
    char why[64];
    if (!state_of(s, from->key, &who))
        return;
    (void)snprintf(why, sizeof why, "needs the role %s", role_name(role));
    security_note(s, REFUSED_ROLE, who.name, who.fingerprint, why);
}

bool security_has_name(struct security *s, const struct sender *from, const char *name,
                       bool is_prefix)
{
    struct trusted who;
    if (!state_of(s, from->key, &who))
        return false;
    return is_prefix ? strncmp(who.name, name, strlen(name)) == 0 : strcmp(who.name, name) == 0;
}

/* --- keys by number --- */

static uint32_t find_key(const struct security *s, const char *key)
{
    for (uint32_t i = 0; i < s->n_keys; i++) {
        if (strcmp(s->keys[i].who.key, key) == 0)
            return i;
    }
    return SENDER_NO_KEY;
}

static bool add_key(struct security *s, const struct trusted *who)
{
    if (s->n_keys == KEYS_MAX)
        return false;
    if (s->n_keys == s->cap_keys) {
        size_t cap = s->cap_keys ? s->cap_keys * 2 : 16;
        struct key_state *keys = realloc(s->keys, cap * sizeof *keys);
        if (!keys)
            return false;
        s->keys = keys;
        s->cap_keys = cap;
    }
    s->keys[s->n_keys++] = (struct key_state){.who = *who};
    return true;
}

/* Makes the list the one that counts; takes it. False: there is no room for its keys, and the old
 * list still counts. */
static bool take_list(struct security *s, struct trust_list *list)
{
    bool ok = true;
    lock(s);
    size_t before = s->n_keys;
    for (size_t i = 0; i < list->n && ok; i++)
        ok = find_key(s, list->keys[i].key) != SENDER_NO_KEY || add_key(s, &list->keys[i]);
    if (!ok)
        s->n_keys = before;
    for (size_t i = 0; i < s->n_keys && ok; i++) {
        struct trusted *who = &s->keys[i].who;
        const struct trusted *now = trust_find(list, who->key);
        if (now)
            *who = *now;
        else
            who->roles = 0;
    }
    struct trust_list *old = ok ? s->trust : list;
    if (ok)
        s->trust = list;
    unlock(s);
    trust_free(old);
    return ok;
}

bool security_number(struct security *s, const char *key, uint32_t *number)
{
    lock(s);
    *number = find_key(s, key);
    bool allowed = *number != SENDER_NO_KEY && s->keys[*number].who.roles != 0;
    unlock(s);
    return allowed;
}

bool security_identify(struct security *s, const char *user_id, struct sender *out)
{
    struct trusted who = {.key = ""};
    char *end = NULL;
    unsigned long number = user_id ? strtoul(user_id, &end, 10) : SENDER_NO_KEY;
    *out = (struct sender){0, SENDER_NO_KEY};
    bool known = user_id && *end == '\0' && number < KEYS_MAX &&
                 state_of(s, (uint32_t)number, &who) && who.roles != 0;
    if (known)
        *out = (struct sender){who.roles, (uint32_t)number};
    else
        security_note(s, REFUSED_REVOKED, who.name, who.fingerprint,
                      "not on the list of allowed keys any more");
    return known;
}

bool security_allows(struct net *n, const struct sender *from, unsigned role)
{
    struct trusted who;
    if (!n->security)
        return true;
    return state_of(n->security, from->key, &who) && (who.roles & role) == role && who.roles != 0;
}

void security_note_denied(struct net *n, const struct sender *from, unsigned role)
{
    if (n->security)
        security_note_role(n->security, from, role);
}

bool security_describe(struct net *n, const struct sender *from, char name[KEY_NAME_MAX + 1],
                       char fingerprint[FINGERPRINT_SIZE])
{
    struct trusted who;
    if (!n->security || !state_of(n->security, from->key, &who))
        return false;
    memcpy(name, who.name, sizeof who.name);
    memcpy(fingerprint, who.fingerprint, sizeof who.fingerprint);
    return true;
}

/* --- limits --- */

/* Refills what the time since the last look allows; a second's worth at most. */
static void refill(struct key_state *k, msec_t now)
{
    int64_t full = (int64_t)k->who.limits.requests_per_second * MILLI;
    msec_t passed = k->filled_ms ? now - k->filled_ms : MILLI;
    if (passed > PASSED_MAX_MS)
        passed = PASSED_MAX_MS;
    k->tokens += passed * k->who.limits.requests_per_second;
    if (k->tokens > full)
        k->tokens = full;
    k->filled_ms = now;
}

/* A message of more requests than are left is taken all the same and owed: else a batch that is
 * larger than a second's worth would never be. */
static bool take_rate(struct key_state *k, uint32_t requests, msec_t now)
{
    if (k->who.limits.requests_per_second == 0)
        return true;
    refill(k, now);
    if (k->tokens <= 0)
        return false;
    k->tokens -= (int64_t)requests * MILLI;
    return true;
}

static enum error_code take(struct security *s, struct key_state *k, uint32_t requests,
                            size_t bytes, msec_t now, struct error *err)
{
    const struct key_limits *l = &k->who.limits;
    if (l->message_kb && bytes > (size_t)l->message_kb * 1024) {
        count(&s->counters.over_size);
        return error_set(err, ERR_TOO_LARGE, "a message of the key %s has at most %u KiB",
                         k->who.name, l->message_kb);
    }
    if (l->in_flight && k->in_flight + requests > l->in_flight && k->in_flight > 0) {
        count(&s->counters.over_in_flight);
        return error_set(err, ERR_BUSY, "the key %s has at most %u requests in flight", k->who.name,
                         l->in_flight);
    }
    if (!take_rate(k, requests, now)) {
        count(&s->counters.over_rate);
        return error_set(err, ERR_BUSY, "the key %s makes at most %u requests a second",
                         k->who.name, l->requests_per_second);
    }
    k->in_flight += requests;
    return ERR_OK;
}

enum error_code security_take(struct net *n, const struct sender *from, uint32_t requests,
                              size_t bytes, msec_t now, struct error *err)
{
    struct security *s = n->security;
    struct trusted who = {.key = ""};
    struct error own;
    if (!s || from->key == SENDER_NO_KEY)
        return ERR_OK;
    lock(s);
    enum error_code rc = ERR_OK;
    if (from->key < s->n_keys) {
        who = s->keys[from->key].who;
        rc = take(s, &s->keys[from->key], requests, bytes, now, &own);
    }
    unlock(s);
    if (rc == ERR_OK)
        return ERR_OK;
    security_note(s, REFUSED_LIMIT, who.name, who.fingerprint, own.msg);
    return error_set(err, rc, "%s", own.msg);
}

void security_return(struct net *n, const struct sender *from, uint32_t requests)
{
    struct security *s = n->security;
    if (!s || from->key == SENDER_NO_KEY)
        return;
    lock(s);
    if (from->key < s->n_keys) {
        uint32_t *in_flight = &s->keys[from->key].in_flight;
        *in_flight -= requests < *in_flight ? requests : *in_flight;
    }
    unlock(s);
}

const struct security_counters *security_counters(const struct net *n)
{
    return n->security ? &n->security->counters : NULL;
}

/* --- the servers that links go to --- */

static struct known *find_server(struct security *s, const char *endpoint)
{
    for (size_t i = 0; i < s->n_servers; i++) {
        if (strcmp(s->servers[i].endpoint, endpoint) == 0)
            return &s->servers[i];
    }
    return NULL;
}

size_t security_server_keys(struct security *s, const char *endpoint, char (*out)[KEY_SIZE],
                            size_t max)
{
    size_t n = 0;
    lock(s);
    const struct known *k = find_server(s, endpoint);
    if (k && k->name && s->trust)
        n = trust_server_keys(s->trust, k->name, out, max);
    for (size_t j = 0; k && j < k->n_keys && n < max; j++)
        memcpy(out[n++], k->keys[j], KEY_SIZE);
    unlock(s);
    return n;
}

/* NULL: no memory. */
static struct known *add_server(struct security *s, const char *endpoint)
{
    struct known *more = realloc(s->servers, (s->n_servers + 1) * sizeof *more);
    char *copy = strdup(endpoint);
    if (more)
        s->servers = more;
    if (!more || !copy) {
        free(copy);
        return NULL;
    }
    more[s->n_servers] = (struct known){.endpoint = copy};
    return &more[s->n_servers++];
}

enum error_code net_know_node(struct net *n, const char *endpoint, unsigned node, struct error *err)
{
    struct security *s = n->security;
    char text[16];
    if (!s)
        return ERR_OK;
    (void)snprintf(text, sizeof text, "node-%u", node);
    char *name = strdup(text);
    lock(s);
    struct known *k = name ? find_server(s, endpoint) : NULL;
    if (name && !k)
        k = add_server(s, endpoint);
    if (k) {
        free(k->name);
        k->name = name;
        k->n_keys = 0;
    }
    unlock(s);
    if (k)
        return ERR_OK;
    free(name);
    return error_set(err, ERR_NOMEM, "keys of servers");
}

static enum error_code take_keys(struct known *k, const char *text, struct error *err)
{
    k->keys = calloc(SERVER_KEYS_MAX, sizeof *k->keys);
    if (!k->keys)
        return error_set(err, ERR_NOMEM, "keys of servers");
    while (*text) {
        size_t len = strcspn(text, " ");
        if (k->n_keys == SERVER_KEYS_MAX || !key_is_valid(bytes_of(text, len)))
            return error_set(err, ERR_USAGE,
                             "server at %s: expected 1 to %d public keys of 40 characters",
                             k->endpoint, SERVER_KEYS_MAX);
        memcpy(k->keys[k->n_keys++], text, len);
        text += len + strspn(text + len, " ");
    }
    return k->n_keys > 0
               ? ERR_OK
               : error_set(err, ERR_USAGE, "no key is given of the server at %s", k->endpoint);
}

static enum error_code take_servers(struct security *s, const struct security_options *o,
                                    struct error *err)
{
    s->servers = calloc(o->n_servers + 1, sizeof *s->servers);
    if (!s->servers)
        return error_set(err, ERR_NOMEM, "keys of servers");
    for (size_t i = 0; i < o->n_servers; i++) {
        const struct known_server *from = &o->servers[i];
        struct known *k = &s->servers[s->n_servers++];
        k->endpoint = strdup(from->endpoint);
        k->name = from->name ? strdup(from->name) : NULL;
        if (!k->endpoint || (from->name && !k->name))
            return error_set(err, ERR_NOMEM, "keys of servers");
        enum error_code rc = from->name ? ERR_OK : take_keys(k, from->keys ? from->keys : "", err);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

/* --- the allowed-keys file --- */

/* False: there is no file. */
static bool sign(const char *path, uint64_t out[4])
{
    struct stat st;
    memset(out, 0, 4 * sizeof *out);
    if (stat(path, &st) != 0)
        return false;
    out[0] = (uint64_t)st.st_dev;
    out[1] = (uint64_t)st.st_ino;
    out[2] = (uint64_t)st.st_size;
    out[3] = (uint64_t)st.st_mtim.tv_sec * 1000000000U + (uint64_t)st.st_mtim.tv_nsec;
    return true;
}

enum error_code security_load(struct security *s, struct error *err)
{
    struct trust_list *list = NULL;
    (void)sign(s->allowed, s->signature); /* before it is read: a change meanwhile shows later */
    enum error_code rc = trust_read(s->allowed, &list, err);
    if (rc == ERR_OK && list->n == 0) {
        trust_free(list);
        return error_set(err, ERR_CONFIG, "%s: expected at least one key", s->allowed);
    }
    if (rc == ERR_OK && !take_list(s, list))
        rc = error_set(err, ERR_NOMEM, "%s: out of memory", s->allowed);
    return rc;
}

void security_reload(struct security *s)
{
    uint64_t now[4];
    struct error err;
    (void)sign(s->allowed, now);
    if (memcmp(now, s->signature, sizeof now) == 0)
        return;
    if (security_load(s, &err) == ERR_OK) {
        count(&s->counters.reloads);
        lock(s);
        size_t n = s->trust->n;
        unlock(s);
        log_event(s->log, LOG_LEVEL_INFO, "allowed_keys_read", "keys=%zu", n);
        return;
    }
    count(&s->counters.failed_reloads);
    log_event(s->log, LOG_LEVEL_ERROR, "allowed_keys_damaged",
              "action=\"the old list stays\" text=\"%s\"", err.msg);
}

/* --- opening and closing --- */

static enum error_code open_security(struct net *n, struct security *s,
                                     const struct security_options *o, struct error *err)
{
    s->own = *o->own;
    s->log = o->log;
    enum error_code rc = take_servers(s, o, err);
    if (rc != ERR_OK || !o->allowed)
        return rc;
    s->allowed = strdup(o->allowed);
    if (!s->allowed)
        return error_set(err, ERR_NOMEM, "allowed keys");
    rc = security_load(s, err);
    s->serves = o->serves;
    return rc == ERR_OK && s->serves ? zap_start(n, s, err) : rc;
}

enum error_code net_secure(struct net *n, const struct security_options *o, struct error *err)
{
    struct security *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(err, ERR_NOMEM, "security");
    (void)pthread_mutex_init(&s->mutex, NULL);
    s->wake_fd = -1;
    enum error_code rc = open_security(n, s, o, err);
    if (rc != ERR_OK) {
        security_close(s);
        return rc;
    }
    n->security = s;
    return ERR_OK;
}

void security_close(struct security *s)
{
    if (!s)
        return;
    zap_stop(s);
    for (size_t i = 0; i < s->n_servers; i++) {
        free(s->servers[i].endpoint);
        free(s->servers[i].name);
        free(s->servers[i].keys);
    }
    free(s->servers);
    trust_free(s->trust);
    free(s->keys);
    free(s->allowed);
    key_pair_wipe(&s->own);
    (void)pthread_mutex_destroy(&s->mutex);
    free(s);
}
