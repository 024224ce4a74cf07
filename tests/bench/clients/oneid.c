/* The measuring client of oneid, on liboneid.
 *
 *     bench_oneid dump ROUTER                              every profile, one canonical line each
 *     bench_oneid get ROUTER IDS IN_FLIGHT SECONDS         profiles by identity, closed loop
 *     bench_oneid ask ROUTER REPEATS < QUESTIONS           segment questions, one at a time
 *
 * IDS has an `ns:value` a line. A question is `count<TAB>name<TAB>expression` or
 * `breakdown<TAB>name<TAB>trait<TAB>expression`. The canonical line is that of lib/truth.py.
 */
#include "common.h"

#include <oneid/oneid.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DUMP_IN_FLIGHT = 2048, PAGE = 10000, MAX_PARTS = 512, DEADLINE_MS = 120000 };

static struct oneid_client *connect_to(const char *router, uint32_t in_flight)
{
    struct oneid_options o = {.routers = &router,
                              .n_routers = 1,
                              .deadline_ms = DEADLINE_MS,
                              .max_in_flight = in_flight,
                              .retry_ms = DEADLINE_MS};
    struct oneid_client *c;
    char text[240];
    if (oneid_open(&o, &c, text, sizeof text) != ONEID_OK)
        die("%s: %s", router, text);
    return c;
}

static void expect_ok(const struct oneid_result *r, const char *what)
{
    if (!r)
        die("%s: out of memory", what);
    if (r->code != ONEID_OK)
        die("%s: %s: %s", what, oneid_code_text(r->code), r->text);
    if (r->partial)
        die("%s: a shard did not answer", what);
}

/* --- dump --- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_number(const void *a, const void *b)
{
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

static void put_ids(const struct oneid_profile *p)
{
    char *ids[MAX_PARTS];
    if (p->n_ids > MAX_PARTS)
        die("a profile with %zu identities", p->n_ids);
    for (size_t i = 0; i < p->n_ids; i++) {
        const struct oneid_identity *id = &p->ids[i];
        size_t size = strlen(id->ns) + id->value.len + 2;
        ids[i] = need(malloc(size));
        snprintf(ids[i], size, "%s:%.*s", id->ns, (int)id->value.len, id->value.data);
    }
    qsort(ids, p->n_ids, sizeof *ids, by_text);
    for (size_t i = 0; i < p->n_ids; i++) {
        printf("%s%s", i ? "," : "", ids[i]);
        free(ids[i]);
    }
}

static const struct oneid_value *value_of(const struct oneid_value *values, size_t n,
                                          const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(values[i].name, name) == 0)
            return &values[i];
    }
    return NULL;
}

static void put_text(const struct oneid_profile *p, const char *trait)
{
    const struct oneid_value *v = value_of(p->traits, p->n_traits, trait);
    if (v && v->type != ONEID_TEXT)
        die("%s is not a text", trait);
    printf("|%.*s", v ? (int)v->text.len : 0, v ? v->text.data : "");
}

static void put_number(const struct oneid_profile *p, const char *trait)
{
    const struct oneid_value *v = value_of(p->traits, p->n_traits, trait);
    if (!v)
        printf("|");
    else if (v->type == ONEID_INTEGER)
        printf("|%lld", (long long)v->integer);
    else
        printf("|%.0f", v->real);
}

/* Tags are "t" and a number. */
static void put_tags(const struct oneid_profile *p)
{
    long tags[MAX_PARTS];
    if (p->n_tags > MAX_PARTS)
        die("a profile with %zu tags", p->n_tags);
    for (size_t i = 0; i < p->n_tags; i++) {
        char text[16] = "";
        if (p->tags[i].len < 2 || p->tags[i].len >= sizeof text || p->tags[i].data[0] != 't')
            die("a tag that was never given");
        memcpy(text, p->tags[i].data + 1, p->tags[i].len - 1);
        tags[i] = number_of(text, 0, "tag");
    }
    qsort(tags, p->n_tags, sizeof *tags, by_number);
    putchar('|');
    for (size_t i = 0; i < p->n_tags; i++)
        printf("%s%ld", i ? "," : "", tags[i]);
}

static void put_orders(const struct oneid_profile *p)
{
    for (size_t i = 0; i < p->n_events; i++) {
        const struct oneid_metric *m = &p->events[i];
        if (strcmp(m->event, "order") != 0)
            continue;
        const struct oneid_value *sum = value_of(m->sums, m->n_sums, "amount");
        printf("|%lld|%lld\n", (long long)m->count, sum ? llround(sum->real * 100) : 0);
        return;
    }
    puts("|0|0");
}

static void on_profile(void *ctx, const struct oneid_result *r)
{
    (void)ctx;
    expect_ok(r, "get");
    const struct oneid_profile *p = r->profile;
    const struct oneid_value *points = value_of(p->counters, p->n_counters, "points");
    put_ids(p);
    printf("|%lld", points ? (long long)points->integer : 0);
    put_text(p, "city");
    put_text(p, "gender");
    put_number(p, "birth_year");
    put_tags(p);
    put_orders(p);
}

static void get_members(struct oneid_client *c, const uint64_t *members, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        enum oneid_code code;
        while ((code = oneid_submit_profile(c, NULL, members[i], 0, on_profile, NULL)) ==
               ONEID_ERR_BUSY)
            oneid_poll(c, -1);
        if (code != ONEID_OK)
            die("get: %s", oneid_error_text(c));
    }
    while (oneid_in_flight(c))
        oneid_poll(c, -1);
}

static void dump(struct oneid_client *c)
{
    struct oneid_result *page = oneid_list(c, "true", NULL, PAGE);
    expect_ok(page, "list");
    for (;;) {
        get_members(c, page->members, page->n_members);
        if (!page->cursor[0])
            break;
        struct oneid_result *next = oneid_list(c, "true", page->cursor, PAGE);
        expect_ok(next, "list");
        oneid_result_free(page);
        page = next;
    }
    oneid_result_free(page);
}

/* --- get --- */

struct get {
    struct oneid_client *client;
    struct oneid_identity *ids;
    size_t n_ids, next;
    double count_from, until;
    struct latencies latencies;
    uint64_t missed;
    struct slot *free;
};

struct slot {
    struct get *get;
    struct slot *next_free;
    double sent;
};

static void on_get(void *ctx, const struct oneid_result *r)
{
    struct slot *s = ctx;
    struct get *g = s->get;
    double now = now_s();
    if (r->code != ONEID_OK && r->code != ONEID_ERR_NOT_FOUND)
        die("get: %s: %s", oneid_code_text(r->code), r->text);
    if (now >= g->count_from && now < g->until) {
        latencies_add(&g->latencies, now - s->sent);
        g->missed += !r->profile;
    }
    s->next_free = g->free;
    g->free = s;
}

static void send_gets(struct get *g)
{
    while (g->free) {
        struct slot *s = g->free;
        s->sent = now_s();
        enum oneid_code code = oneid_submit_profile(g->client, &g->ids[g->next], 0, 0, on_get, s);
        if (code != ONEID_OK)
            die("get: %s", oneid_error_text(g->client));
        g->free = s->next_free;
        g->next = (g->next + 1) % g->n_ids;
    }
}

static void parse_ids(struct get *g, struct lines *l)
{
    if (l->n == 0)
        die("no identities");
    g->n_ids = l->n;
    g->ids = need(calloc(l->n, sizeof *g->ids));
    for (size_t i = 0; i < l->n; i++) {
        char *colon = strchr(l->line[i], ':');
        if (!colon)
            die("expected ns:value, found '%s'", l->line[i]);
        *colon = '\0';
        g->ids[i] = (struct oneid_identity){l->line[i], {colon + 1, strlen(colon + 1)}};
    }
}

static void get_loop(struct oneid_client *c, const char *path, size_t in_flight, double seconds)
{
    static const double warmup_s = 0.5;
    struct lines l;
    struct get g = {.client = c};
    lines_read(&l, path);
    parse_ids(&g, &l);
    struct slot *slots = need(calloc(in_flight, sizeof *slots));
    for (size_t i = 0; i < in_flight; i++) {
        slots[i] = (struct slot){.get = &g, .next_free = g.free};
        g.free = &slots[i];
    }
    g.count_from = now_s() + warmup_s;
    g.until = g.count_from + seconds;
    while (now_s() < g.until) {
        send_gets(&g);
        oneid_poll(c, -1);
    }
    while (oneid_in_flight(c))
        oneid_poll(c, -1);
    latencies_print(&g.latencies, seconds, g.missed);
    latencies_free(&g.latencies);
    free(slots);
    free(g.ids);
    lines_free(&l);
}

/* --- ask --- */

static void print_groups(const struct oneid_result *r)
{
    answer_groups();
    for (size_t i = 0; i < r->n_groups; i++) {
        const struct oneid_group *g = &r->groups[i];
        if (g->none)
            answer_group("none", strlen("none"), (int64_t)g->members);
        else
            answer_group(g->value.data, g->value.len, (int64_t)g->members);
    }
    answer_groups_end();
}

/* `by` NULL: a count. */
static void ask(struct oneid_client *c, const char *name, const char *expr, const char *by,
                size_t repeats)
{
    double *seconds = need(calloc(repeats, sizeof *seconds));
    for (size_t i = 0; i <= repeats; i++) { /* the first is not measured */
        double begin = now_s();
        struct oneid_result *r = by ? oneid_breakdown(c, expr, by) : oneid_count(c, expr);
        double took = now_s() - begin;
        expect_ok(r, name);
        if (i > 0)
            seconds[i - 1] = took;
        if (i == repeats) {
            answer_begin(name);
            if (by)
                print_groups(r);
            else
                answer_count((int64_t)r->count);
        }
        oneid_result_free(r);
    }
    answer_end(seconds, repeats);
    free(seconds);
}

static void ask_all(struct oneid_client *c, size_t repeats)
{
    struct lines l;
    lines_read(&l, "-");
    for (size_t i = 0; i < l.n; i++) {
        char *kind = l.line[i], *name = after_tab(kind), *rest = after_tab(name), *by = NULL;
        if (strcmp(kind, "breakdown") == 0) {
            by = rest;
            rest = after_tab(by);
        } else if (strcmp(kind, "count") != 0) {
            die("expected count or breakdown, found '%s'", kind);
        }
        ask(c, name, rest, by, repeats);
    }
    lines_free(&l);
}

int main(int argc, char **argv)
{
    const char *command = argc > 2 ? argv[1] : "";
    struct oneid_client *c = NULL;
    if (strcmp(command, "dump") == 0 && argc == 3) {
        c = connect_to(argv[2], DUMP_IN_FLIGHT);
        dump(c);
    } else if (strcmp(command, "get") == 0 && argc == 6) {
        long in_flight = number_of(argv[4], 1, "IN_FLIGHT");
        c = connect_to(argv[2], (uint32_t)in_flight);
        get_loop(c, argv[3], (size_t)in_flight, (double)number_of(argv[5], 1, "SECONDS"));
    } else if (strcmp(command, "ask") == 0 && argc == 4) {
        c = connect_to(argv[2], 1);
        ask_all(c, (size_t)number_of(argv[3], 1, "REPEATS"));
    } else {
        die("usage: bench_oneid dump ROUTER | get ROUTER IDS IN_FLIGHT SECONDS | "
            "ask ROUTER REPEATS");
    }
    oneid_close(c);
    if (fflush(stdout) != 0 || ferror(stdout))
        die("standard output: could not be written");
    return 0;
}
