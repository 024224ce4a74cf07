/* get: one profile. */
#include "commands.h"
#include "session.h"
#include "show.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- order that does not depend on how the shards keep it --- */

static int compare_strs(struct oneid_str a, struct oneid_str b)
{
    return bytes_compare(bytes_of_str_of(a), bytes_of_str_of(b));
}

static int by_str(const void *a, const void *b)
{
    const struct oneid_str *x = a, *y = b;
    return compare_strs(*x, *y);
}

static int by_identity(const void *a, const void *b)
{
    const struct oneid_identity *x = a, *y = b;
    int order = strcmp(x->ns, y->ns);
    return order ? order : compare_strs(x->value, y->value);
}

/* A sorted copy, freed by the caller; memory that is out ends the process, as it does in a buffer.
 */
static void *sorted(const void *from, size_t n, size_t size, int (*by)(const void *, const void *))
{
    void *to = calloc(n ? n : 1, size);
    if (!to)
        abort();
    if (n)
        memcpy(to, from, n * size);
    qsort(to, n, size, by);
    return to;
}

/* --- JSON --- */

static void emit_identities(struct emit *e, const struct oneid_identity *ids, size_t n)
{
    emit_object(e, "identities");
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(ids[i].ns, ids[i - 1].ns) != 0)
            emit_array(e, ids[i].ns);
        emit_text(e, NULL, bytes_of_str_of(ids[i].value));
        if (i + 1 == n || strcmp(ids[i].ns, ids[i + 1].ns) != 0)
            emit_end(e);
    }
    emit_end(e);
}

static void emit_values(struct emit *e, const char *key, const struct oneid_value *v, size_t n)
{
    emit_object(e, key);
    for (size_t i = 0; i < n; i++)
        emit_value(e, v[i].name, &v[i]);
    emit_end(e);
}

static void emit_channels(struct emit *e, const struct oneid_profile *p)
{
    emit_object(e, "channels");
    for (size_t i = 0; i < p->n_channels; i++) {
        emit_object(e, p->channels[i].source.data);
        emit_integer(e, "first", p->channels[i].first_ms);
        emit_integer(e, "last", p->channels[i].last_ms);
        emit_end(e);
    }
    emit_end(e);
}

static void emit_metrics(struct emit *e, const struct oneid_profile *p)
{
    emit_object(e, "events");
    for (size_t i = 0; i < p->n_events; i++) {
        emit_object(e, p->events[i].event);
        emit_integer(e, "count", p->events[i].count);
        emit_integer(e, "last", p->events[i].last_ms);
        emit_values(e, "sums", p->events[i].sums, p->events[i].n_sums);
        emit_end(e);
    }
    emit_end(e);
}

static void emit_profile(const struct oneid_profile *p, const struct oneid_identity *ids,
                         const struct oneid_str *tags)
{
    struct emit e;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_one_id(&e, "one_id", p->one_id);
    emit_identities(&e, ids, p->n_ids);
    emit_values(&e, "traits", p->traits, p->n_traits);
    emit_array(&e, "tags");
    for (size_t i = 0; i < p->n_tags; i++)
        emit_text(&e, NULL, bytes_of_str_of(tags[i]));
    emit_end(&e);
    emit_values(&e, "counters", p->counters, p->n_counters);
    emit_channels(&e, p);
    emit_metrics(&e, p);
    if (p->level)
        emit_string(&e, "level", p->level);
    else
        emit_null(&e, "level");
    emit_end(&e);
}

/* --- for people --- */

static void show_values(const char *what, const struct oneid_value *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)printf("%-10s %s = ", i ? "" : what, v[i].name);
        show_value(stdout, &v[i]);
        (void)printf("\n");
    }
}

static void show_channels(const struct oneid_profile *p)
{
    for (size_t i = 0; i < p->n_channels; i++) {
        (void)printf("%-10s ", i ? "" : "channels");
        show_text(stdout, p->channels[i].source);
        (void)printf(", first ");
        show_time(stdout, p->channels[i].first_ms);
        (void)printf(", last ");
        show_time(stdout, p->channels[i].last_ms);
        (void)printf("\n");
    }
}

static void show_metrics(const struct oneid_profile *p)
{
    for (size_t i = 0; i < p->n_events; i++) {
        const struct oneid_metric *m = &p->events[i];
        (void)printf("%-10s %s: %" PRId64 ", last ", i ? "" : "events", m->event, m->count);
        show_time(stdout, m->last_ms);
        for (size_t s = 0; s < m->n_sums; s++) {
            (void)printf(", sum(%s) = ", m->sums[s].name);
            show_value(stdout, &m->sums[s]);
        }
        (void)printf("\n");
    }
}

static void show_profile(const struct oneid_profile *p, const struct oneid_identity *ids,
                         const struct oneid_str *tags)
{
    char id[17];
    oneid_format(p->one_id, id);
    (void)printf("%-10s %s\n", "One-ID", id);
    for (size_t i = 0; i < p->n_ids; i++) {
        (void)printf("%-10s %s:", i ? "" : "identities", ids[i].ns);
        show_text(stdout, ids[i].value);
        (void)printf("\n");
    }
    show_values("traits", p->traits, p->n_traits);
    for (size_t i = 0; i < p->n_tags; i++) {
        (void)printf("%s", i ? ", " : "tags       ");
        show_text(stdout, tags[i]);
    }
    (void)printf("%s", p->n_tags ? "\n" : "");
    show_values("counters", p->counters, p->n_counters);
    show_channels(p);
    show_metrics(p);
    if (p->level)
        (void)printf("%-10s %s\n", "level", p->level);
}

/* --- the command --- */

static void print_profile(const struct options *o, const struct oneid_profile *p)
{
    struct oneid_identity *ids = sorted(p->ids, p->n_ids, sizeof *ids, by_identity);
    struct oneid_str *tags = sorted(p->tags, p->n_tags, sizeof *tags, by_str);
    if (o->json)
        emit_profile(p, ids, tags);
    else
        show_profile(p, ids, tags);
    free(ids);
    free(tags);
}

static struct oneid_result *ask(struct oneid_client *client, const char *key)
{
    uint64_t person;
    const char *colon = strchr(key, ':');
    if (!colon)
        return oneid_parse(key, &person) ? oneid_profile_of_one_id(client, person) : NULL;
    char *ns = strndup(key, (size_t)(colon - key));
    if (!ns)
        return NULL;
    struct oneid_identity id = {ns, {colon + 1, strlen(colon + 1)}};
    struct oneid_result *r = oneid_profile_of_identity(client, &id);
    free(ns);
    return r;
}

static int check_key(const char *key)
{
    uint64_t person;
    if (strchr(key, ':') ? key[0] != ':' : oneid_parse(key, &person))
        return EXIT_OK;
    complain("get: neither ns:value nor a One-ID (16 hex digits)");
    return EXIT_USAGE;
}

int run_get(const struct options *o)
{
    struct session s;
    int rc = check_key(o->args[0]);
    if (rc != EXIT_OK)
        return rc;
    rc = session_open(&s, o);
    if (rc == EXIT_OK) {
        struct oneid_result *r = ask(s.client, o->args[0]);
        rc = result_check(r);
        if (rc == EXIT_OK && r->profile)
            print_profile(o, r->profile);
        oneid_result_free(r);
    }
    session_close(&s);
    return rc;
}
