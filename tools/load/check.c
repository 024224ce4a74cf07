/* check: a cluster's answers beside the expected ones. */
#include <load/commands.h>
#include <load/event.h>
#include <load/expected.h>
#include <load/view.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN_FLIGHT = 512, PAGE = 10000 };

struct check {
    struct oneid_client *client;
    const struct load_options *o;
    json_t *rows; /* with --json; else rows are printed as they come */
    unsigned differ, total;
    bool lost; /* the cluster does not answer: asking on would only take time */
    struct buf scratch;
};

/* `note` says what else was wrong with the answer; "" for nothing. */
static void add_row(struct check *c, const char *what, uint64_t expected, uint64_t got,
                    const char *note)
{
    bool ok = expected == got && !*note;
    c->total++;
    c->differ += !ok;
    if (c->o->json)
        json_array_append_new(c->rows, json_pack("{s:s, s:I, s:I, s:b, s:s}", "what", what,
                                                 "expected", (json_int_t)expected, "got",
                                                 (json_int_t)got, "ok", ok, "note", note));
    else
        printf("%-4s %12llu %12llu  %s%s%s\n", ok ? "ok" : "DIFF", (unsigned long long)expected,
               (unsigned long long)got, what, *note ? "  -- " : "", note);
}

static const char *note_of(struct check *c, const struct oneid_result *r)
{
    if (!r)
        return "out of memory";
    c->lost |= r->code == ONEID_ERR_UNAVAILABLE || r->code == ONEID_ERR_TIMEOUT;
    if (r->code)
        return r->text[0] ? r->text : oneid_code_text(r->code);
    if (r->partial)
        return "partial: a shard did not answer";
    return r->in_flight_merges ? "merges are in flight" : "";
}

static void check_stats(struct check *c, const struct expected *e)
{
    struct oneid_result *r = oneid_stats(c->client);
    uint64_t profiles = 0, identities = 0, events = 0;
    const char *note = note_of(c, r);
    for (size_t i = 0; r && i < r->n_shards; i++) {
        profiles += r->shards[i].profiles;
        identities += r->shards[i].identities;
        events += r->shards[i].events;
        if (!r->shards[i].reachable)
            note = "a shard is not reachable";
    }
    add_row(c, "profiles", e->profiles, profiles, note);
    add_row(c, "identities", e->identities + e->devices, identities, note);
    add_row(c, "events", e->events, events, note);
    oneid_result_free(r);
}

static void check_segments(struct check *c, const struct expected *e)
{
    for (size_t i = 0; i < e->n_segments && !c->lost; i++) {
        struct oneid_result *r = oneid_count(c->client, e->segments[i].text);
        add_row(c, e->segments[i].text, e->segments[i].count, r ? r->count : 0, note_of(c, r));
        oneid_result_free(r);
    }
}

/* --- samples --- */

struct samples {
    struct check *check;
    uint64_t n, same;
};

static void check_sample(void *ctx, const char *ns, const char *value, const char *profile)
{
    struct samples *s = ctx;
    struct check *c = s->check;
    struct gen_view v;
    if (c->lost)
        return;
    struct oneid_identity id = {ns, load_str(value)};
    struct oneid_result *r = oneid_profile_of_identity(c->client, &id);
    s->n++;
    note_of(c, r);
    if (r && !r->code && r->profile && load_view_of(r->profile, &v)) {
        buf_reset(&c->scratch);
        gen_view_put(&v, &c->scratch);
        s->same += bytes_equal(buf_bytes(&c->scratch), bytes_of_str(profile));
    }
    oneid_result_free(r);
}

static enum error_code check_samples(struct check *c, struct error *err)
{
    enum { PATH_SIZE = 4096 };
    char path[PATH_SIZE];
    const char *slash = strrchr(c->o->expected, '/');
    int folder = slash ? (int)(slash - c->o->expected) + 1 : 0;
    int n = snprintf(path, sizeof path, "%.*ssamples.jsonl", folder, c->o->expected);
    if (n < 0 || n >= PATH_SIZE)
        return error_set(err, ERR_USAGE, "--expected: too long");
    struct samples s = {.check = c};
    enum error_code rc = samples_read(path, check_sample, &s, err);
    if (!rc && s.n)
        add_row(c, "sample profiles that are right", s.n, s.same, "");
    return rc;
}

/* --- all profiles --- */

struct all {
    struct check *check;
    uint64_t profiles, identities, digest, failed;
    int64_t points, growth, order_cents;
};

static void on_profile(void *ctx, const struct oneid_result *r)
{
    struct all *a = ctx;
    struct gen_view v;
    if (r->code || !r->profile || !load_view_of(r->profile, &v)) {
        a->failed++;
        return;
    }
    a->profiles++;
    a->identities += v.n_ids;
    a->points += v.points;
    a->growth += v.growth;
    a->order_cents += v.order_cents;
    a->digest += gen_view_hash(&v, &a->check->scratch);
}

static void ask_for_members(struct all *a, const uint64_t *members, size_t n)
{
    struct oneid_client *client = a->check->client;
    for (size_t i = 0; i < n; i++) {
        enum oneid_code code;
        while ((code = oneid_submit_profile(client, NULL, members[i], 0, on_profile, a)) ==
               ONEID_ERR_BUSY)
            oneid_poll(client, -1);
        a->failed += code != ONEID_OK;
    }
    while (oneid_in_flight(client))
        oneid_poll(client, -1);
}

/* The last page's note; "" when all pages came. */
static void read_all(struct all *a, char *note, size_t note_size)
{
    char *cursor = NULL;
    bool more = true;
    while (more) {
        struct oneid_result *r = oneid_list(a->check->client, "true", cursor, PAGE);
        snprintf(note, note_size, "%s", note_of(a->check, r));
        free(cursor);
        cursor = r && !r->code && r->cursor[0] ? strdup(r->cursor) : NULL;
        more = cursor != NULL;
        if (r && !r->code)
            ask_for_members(a, r->members, r->n_members);
        oneid_result_free(r);
    }
    if (a->failed && !note[0])
        snprintf(note, note_size, "%llu profiles could not be read", (unsigned long long)a->failed);
}

static void check_all(struct check *c, const struct expected *e)
{
    struct all a = {.check = c};
    char note[160];
    read_all(&a, note, sizeof note);
    add_row(c, "all: profiles", e->profiles, a.profiles, note);
    add_row(c, "all: identities that bridge", e->identities, a.identities, note);
    add_row(c, "all: points", (uint64_t)e->points, (uint64_t)a.points, note);
    add_row(c, "all: growth", (uint64_t)e->growth, (uint64_t)a.growth, note);
    add_row(c, "all: cents of orders", (uint64_t)e->order_cents, (uint64_t)a.order_cents, note);
    add_row(c, "all: digest (low 31 bits)", e->digest & INT32_MAX, a.digest & INT32_MAX,
            e->digest == a.digest ? note : "the whole of the profiles differs");
}

/* --- the command --- */

static enum error_code check_day(const struct expected *e, struct error *err)
{
    int year, month, day;
    if (clock_day_of_ms(clock_wall_ms()) == e->today)
        return ERR_OK;
    clock_date_of_day(e->today, &year, &month, &day);
    return error_set(err, ERR_INVALID,
                     "the expected answers are those of %04d-%02d-%02d: windows end today, so "
                     "generate them again",
                     year, month, day);
}

static int print_result(struct check *c)
{
    if (c->o->json) {
        json_t *doc = json_pack("{s:i, s:i, s:O}", "checked", (int)c->total, "differ",
                                (int)c->differ, "rows", c->rows);
        json_dumpf(doc, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(doc);
    } else {
        printf("%u checked, %u differ\n", c->total, c->differ);
    }
    return c->lost ? 2 : c->differ ? 1 : 0;
}

static int run(struct check *c, const struct expected *e)
{
    struct error err = {0};
    if (!c->o->json)
        printf("%-4s %12s %12s\n", "", "expected", "got");
    check_stats(c, e);
    check_segments(c, e);
    enum error_code rc = check_samples(c, &err);
    if (rc)
        return load_fail(&err);
    if (c->o->all && !c->lost)
        check_all(c, e);
    if (c->lost) {
        error_set(&err, ERR_UNAVAILABLE, "the cluster does not answer, so not all was checked");
        load_fail(&err);
    }
    return print_result(c);
}

int load_check(const struct load_options *o, const struct cluster_config *config)
{
    struct expected e;
    struct error err = {0};
    if (expected_read(o->expected, &e, &err))
        return load_fail(&err);
    int status = 2;
    struct check c = {.o = o, .rows = json_array()};
    if (check_day(&e, &err))
        status = load_fail(&err);
    else if ((c.client = load_connect(o, config, IN_FLIGHT)))
        status = run(&c, &e);
    if (c.client)
        oneid_close(c.client);
    json_decref(c.rows);
    buf_free(&c.scratch);
    expected_close(&e);
    return status;
}
