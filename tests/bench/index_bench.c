/* index_bench [--members N] [--json FILE] [--only NAME]: the segment index by itself over
 * uncorrelated random members (the worst case for it): size, changes, queries, saving and loading,
 * each beside the figure that it is held to (for 10 million members; what grows with the members is
 * held to its share for fewer).
 *
 * Times are the best of several runs, in CPU time of the thread, so that others on the machine
 * count little; saving, loading and the changes beside readers are by the clock on the wall. */
#include <base/rng.h>
#include <cluster/config.h>
#include <index/index.h>
#include <retail_yaml.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TODAY = 20000,
    TAGS = 1000,
    CITIES = 300,
    REPEATS = 7,
    SEGMENTS = 100,
    PAGE = 1000,
    ROWS_MAX = 64,
    NAME_ROOM = 64,
};

struct row {
    char name[NAME_ROOM];
    const char *unit;
    double value, target;
    bool at_least; /* the target is a floor, not a ceiling; a target of 0 is none */
};

struct bench {
    struct cluster_config *config;
    struct index *ix;
    struct arena arena;
    struct rng rng;
    uint64_t n, changes;
    char (*cities)[16];
    char (*tags)[16];
    name_id order, city, points, birth;
    const char *only;
    struct row rows[ROWS_MAX];
    size_t n_rows;
};

static void stop(const char *what, const struct error *err)
{
    (void)fprintf(stderr, "index_bench: %s: %s\n", what, err ? err->msg : "failed");
    exit(1);
}

static double seconds_of(clockid_t clock)
{
    struct timespec ts;
    (void)clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu_s(void)
{
    return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

static double wall_s(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

static bool is_held(const struct row *r)
{
    return r->target == 0 || (r->at_least ? r->value >= r->target : r->value <= r->target);
}

static void put(struct bench *b, const char *name, const char *unit, double value, double target)
{
    struct row *r = &b->rows[b->n_rows++];
    *r = (struct row){.unit = unit, .value = value, .target = target};
    r->at_least = strcmp(unit, "/s") == 0;
    (void)snprintf(r->name, sizeof r->name, "%s", name);
    char held[32] = "";
    if (target != 0)
        (void)snprintf(held, sizeof held, "%10.3f  %s", target, is_held(r) ? "held" : "MISSED");
    printf("%-44s %12.3f %-10s %s\n", name, value, unit, held);
    (void)fflush(stdout);
}

/* What grows with the members is held to its share. */
static double share(const struct bench *b, double at_ten_million)
{
    return at_ten_million * (double)b->n / 1e7;
}

/* --- data --- */

static void apply(struct bench *b, struct index_op op)
{
    op.on = true;
    index_apply(b->ix, &op);
    b->changes++;
}

static void put_tag(struct bench *b, one_id m, uint64_t tag)
{
    apply(b, (struct index_op){.kind = INDEX_TAG, .member = m, .text = bytes_of_str(b->tags[tag])});
}

/* On one of the last `days`. */
static void put_order(struct bench *b, one_id m, uint64_t days)
{
    struct index_event e = {.day = TODAY - (int32_t)rng_below(&b->rng, days), .count = 1};
    e.fields[0].present = true;
    e.fields[0].sum = (int64_t)rng_below(&b->rng, 50000) * 10000;
    e.fields[2].present = true;
    e.fields[2].text = bytes_of_str(b->cities[rng_below(&b->rng, 20)]);
    apply(b, (struct index_op){.kind = INDEX_EVENT, .member = m, .name = b->order, .event = &e});
    apply(b, (struct index_op){.kind = INDEX_LAST, .member = m, .name = b->order, .number = e.day});
}

/* Six tags (three of them from the dense ones), a city, points, birth, two namespaces; every second
 * one has an order, and one in twenty has five. */
static void put_member(struct bench *b, one_id m)
{
    apply(b, (struct index_op){.kind = INDEX_ADD, .member = m});
    for (uint64_t i = 0; i < 3; i++)
        put_tag(b, m, i * 4 + rng_below(&b->rng, 4));
    for (uint64_t i = 0; i < 3; i++)
        put_tag(b, m, 20 + rng_below(&b->rng, TAGS - 20));
    apply(b, (struct index_op){.kind = INDEX_VALUE,
                               .member = m,
                               .name = b->city,
                               .text = bytes_of_str(b->cities[rng_below(&b->rng, CITIES)])});
    apply(b, (struct index_op){.kind = INDEX_NUMBER,
                               .member = m,
                               .name = b->points,
                               .number = (int64_t)rng_below(&b->rng, 20000)});
    apply(b, (struct index_op){.kind = INDEX_NUMBER,
                               .member = m,
                               .name = b->birth,
                               .number = (int64_t)rng_below(&b->rng, 18000)});
    for (size_t i = 0; i < 2; i++)
        apply(b, (struct index_op){.kind = INDEX_HAS,
                                   .member = m,
                                   .name = b->config->schema.namespaces[i * 3].id});
    uint64_t orders = rng_below(&b->rng, 20);
    for (uint64_t i = 0; i < (orders == 0 ? 5 : orders % 2); i++)
        put_order(b, m, orders == 0 ? 60 : 365);
}

static one_id member_of(uint64_t i)
{
    return (i * 37 + 5) << 24 | (i * 2654435761u & 0xFFFFFF);
}

static one_id random_member(struct bench *b)
{
    return member_of(rng_below(&b->rng, b->n));
}

static void put_memory(struct bench *b)
{
    struct index_memory m;
    index_get_memory(b->ix, &m);
    put(b, "memory_ids", "B/member", (double)m.ids / (double)b->n, 0);
    put(b, "memory_sets", "B/member", (double)m.sets / (double)b->n, 0);
    put(b, "memory_dictionaries", "B/member", (double)m.dictionaries / (double)b->n, 0);
    put(b, "memory_columns", "B/member", (double)m.columns / (double)b->n, 0);
    put(b, "memory_events", "B/member", (double)m.events / (double)b->n, 0);
}

static void fill(struct bench *b)
{
    struct index_stats stats;
    double begin = cpu_s();
    for (uint64_t i = 0; i < b->n; i++) {
        put_member(b, member_of(i));
        if (i % 100 == 0)
            (void)index_publish(b->ix);
    }
    index_set_applied(b->ix, 1);
    (void)index_publish(b->ix);
    put(b, "change_fill", "us", (cpu_s() - begin) * 1e6 / (double)b->changes, 0.5);
    index_get_stats(b->ix, &stats);
    put(b, "memory", "B/member", (double)stats.bytes / (double)stats.members, 45);
    put_memory(b);
}

/* --- changes --- */

enum change_kind { CHANGE_TAG, CHANGE_POINTS, CHANGE_ORDER, CHANGE_KINDS };

static void change(struct bench *b, enum change_kind kind)
{
    one_id m = random_member(b);
    if (kind == CHANGE_TAG)
        put_tag(b, m, rng_below(&b->rng, TAGS));
    else if (kind == CHANGE_POINTS)
        apply(b, (struct index_op){.kind = INDEX_NUMBER,
                                   .member = m,
                                   .name = b->points,
                                   .number = (int64_t)rng_below(&b->rng, 20000)});
    else
        put_order(b, m, 365);
}

/* Changes to random members, their making included. An order is two changes. */
static void changes(struct bench *b)
{
    static const char *const names[] = {"change_random_tag", "change_random_points",
                                        "change_random_order"};
    uint64_t n = 500000;
    for (enum change_kind kind = CHANGE_TAG; kind < CHANGE_KINDS; kind++) {
        uint64_t before = b->changes;
        double begin = cpu_s();
        for (uint64_t i = 0; i < n; i++) {
            change(b, kind);
            if (i % 100 == 0)
                (void)index_publish(b->ix);
        }
        (void)index_publish(b->ix);
        put(b, names[kind], "us", (cpu_s() - begin) * 1e6 / (double)(b->changes - before), 0.5);
    }
}

/* --- queries --- */

static struct index_query parse(struct bench *b, const char *text)
{
    struct expr *e = NULL;
    struct error err;
    if (expr_parse(bytes_of_str(text), &b->config->schema, &b->arena, &e, &err) != ERR_OK)
        stop(text, &err);
    return (struct index_query){.expr = e, .today = TODAY};
}

static double count_ms(struct bench *b, const char *text, uint64_t *members)
{
    struct index_query q = parse(b, text);
    struct index_count count = {0};
    struct error err;
    double best = 1e9;
    for (int i = 0; i < REPEATS; i++) {
        double begin = cpu_s();
        if (index_count_members(b->ix, &q, &count, &err) != ERR_OK)
            stop(text, &err);
        double took = cpu_s() - begin;
        best = took < best ? took : best;
    }
    *members = count.members;
    return best * 1e3;
}

static const struct {
    const char *name, *text;
    double hold; /* ms at 10 million members */
    bool window; /* with the windows registered */
} QUERIES[] = {
    {"and_of_3_tags", "tag(t1) and tag(t5) and tag(t9)", 0.3, false},
    {"or_of_3_tags_and_not", "(tag(t1) or tag(t5) or tag(t9)) and not tag(t2)", 0.4, false},
    {"tag_and_city_in_20",
     "tag(t1) and city in (c0,c1,c2,c3,c4,c5,c6,c7,c8,c9,c10,c11,c12,c13,c14,c15,c16,c17,c18,c19)",
     4, false},
    {"points_and_tag", "points >= 10000 and tag(t1)", 2.5, false},
    {"sparse_tag_and_points", "tag(t1) and tag(t500) and points >= 10000", 0, false},
    {"count_30d_ad_hoc", "count(order, 30d) >= 2", 25, false},
    {"count_30d_registered", "count(order, 30d) >= 2", 0.8, true},
    {"sum_90d_ad_hoc", "sum(order.amount, 90d) >= 1000", 60, false},
    {"sum_90d_registered", "sum(order.amount, 90d) >= 1000", 3, true},
    {"count_where_365d", "count(order where category = c3, 365d) >= 1", 0, false},
    {"last_and_tag", "last(order) > 14d ago and tag(t5)", 0, false},
    {"ten_terms",
     "tag(t1) and tag(t5) and not tag(t8) and (tag(t9) or tag(t10)) and points >= 5000 and "
     "points < 15000 and birth >= 1980-01-01 and has(member) and city != c7",
     4, false},
    {"eleven_terms_with_window",
     "tag(t1) and tag(t5) and not tag(t8) and (tag(t9) or tag(t10)) and points >= 5000 and "
     "points < 15000 and birth >= 1980-01-01 and has(member) and city != c7 and "
     "count(order, 30d) >= 1",
     5, true},
};

static void register_windows(struct bench *b)
{
    struct error err;
    struct index_stats before, after;
    struct index_window windows[] = {
        {.event = b->order, .days = 30},
        {.event = b->order, .field = b->config->schema.events[0].fields[0].id, .days = 90}};
    index_get_stats(b->ix, &before);
    index_set_today(b->ix, TODAY);
    double begin = cpu_s();
    if (index_set_windows(b->ix, windows, 2, &err) != ERR_OK || !index_publish(b->ix))
        stop("windows", &err);
    put(b, "windows_built", "ms", (cpu_s() - begin) * 1e3, 0);
    begin = cpu_s();
    index_set_today(b->ix, TODAY + 1);
    index_set_today(b->ix, TODAY);
    (void)index_publish(b->ix);
    put(b, "windows_day_moved", "ms", (cpu_s() - begin) * 1e3 / 2, 0);
    index_get_stats(b->ix, &after);
    put(b, "windows_memory", "B/member", (double)(after.bytes - before.bytes) / (double)b->n, 8);
}

static void queries(struct bench *b, bool window)
{
    for (size_t i = 0; i < sizeof QUERIES / sizeof *QUERIES; i++) {
        uint64_t members = 0;
        if (QUERIES[i].window != window || (b->only && !strstr(QUERIES[i].name, b->only)))
            continue;
        double ms = count_ms(b, QUERIES[i].text, &members);
        put(b, QUERIES[i].name, "ms", ms, share(b, QUERIES[i].hold));
        arena_reset(&b->arena);
    }
}

/* A hundred different ones of six terms, as saved segments are: tags, a city, points, birth. */
static void many(struct bench *b)
{
    static struct index_query all[SEGMENTS];
    static struct index_answer answers[SEGMENTS];
    struct error err;
    double best = 1e9;
    for (int i = 0; i < SEGMENTS; i++) {
        char text[256];
        (void)snprintf(text, sizeof text,
                       "tag(t%d) and (tag(t%d) or tag(t%d)) and not tag(t%d) and points >= %d and "
                       "birth < 2010-01-01",
                       i % 4, 4 + i % 3, 5 + i % 3, 8 + i % 4, i * 150);
        all[i] = parse(b, text);
    }
    for (int i = 0; i < 3; i++) {
        double begin = cpu_s();
        if (index_count_many(b->ix, all, SEGMENTS, answers, &err) != ERR_OK)
            stop("many", &err);
        double took = cpu_s() - begin;
        best = took < best ? took : best;
    }
    put(b, "100_segments_of_six_terms_each", "ms", best * 1e3 / SEGMENTS, share(b, 1.5));
    arena_reset(&b->arena);
}

static void breakdowns(struct bench *b)
{
    struct index_query q = parse(b, "tag(t1)");
    struct index_group *groups = NULL;
    struct error err;
    const struct schema_trait *by[] = {
        schema_trait_by_name(&b->config->schema, bytes_of_str("city")), NULL};
    for (size_t n_by = 1; n_by <= 2; n_by++) {
        double best = 1e9;
        size_t n = 0;
        for (int i = 0; i < REPEATS; i++) {
            double begin = cpu_s();
            if (index_breakdown(b->ix, &q, by, n_by, 10000, &b->arena, &groups, &n, &err) != ERR_OK)
                stop("breakdown", &err);
            double took = cpu_s() - begin;
            best = took < best ? took : best;
        }
        put(b, n_by == 1 ? "breakdown_by_300_cities" : "breakdown_by_city_and_level", "ms",
            best * 1e3, n_by == 1 ? share(b, 8) : 0);
    }
    arena_reset(&b->arena);
}

static void overlap(struct bench *b)
{
    struct index_query all[4];
    uint64_t counts[16];
    struct index_count any;
    struct error err;
    double best = 1e9;
    for (int i = 0; i < 4; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "tag(t%d)", i * 4);
        all[i] = parse(b, text);
    }
    for (int i = 0; i < REPEATS; i++) {
        double begin = cpu_s();
        if (index_overlap(b->ix, all, 4, counts, &any, &err) != ERR_OK)
            stop("overlap", &err);
        double took = cpu_s() - begin;
        best = took < best ? took : best;
    }
    put(b, "overlap_of_4", "ms", best * 1e3, 0);
    arena_reset(&b->arena);
}

/* Pages from the beginning of the list on. */
static double page_us(struct bench *b, const struct index_field *fields, size_t n_fields)
{
    struct index_query q = parse(b, "tag(t1)");
    struct error err;
    static one_id page[PAGE];
    one_id cursor = 0;
    double best = 1e9;
    for (int i = 0; i < 200; i++) {
        struct arena arena = {0};
        struct index_rows rows = {0};
        size_t n;
        double begin = cpu_s();
        enum error_code code =
            n_fields == 0
                ? index_list_members(b->ix, &q, cursor, PAGE, page, &n, &cursor, &err)
                : index_list_rows(b->ix, &q, cursor, PAGE, fields, n_fields, &arena, &rows, &err);
        double took = cpu_s() - begin;
        best = took < best ? took : best;
        if (code != ERR_OK)
            stop("page", &err);
        cursor = n_fields == 0 ? cursor : rows.next;
        arena_close(&arena);
    }
    return best * 1e6;
}

static void pages(struct bench *b)
{
    const struct schema *s = &b->config->schema;
    const struct index_field fields[] = {
        {INDEX_FIELD_TRAIT, schema_trait_by_name(s, bytes_of_str("city"))},
        {INDEX_FIELD_TRAIT, schema_trait_by_name(s, bytes_of_str("points"))},
        {INDEX_FIELD_LEVEL, NULL},
        {INDEX_FIELD_TAGS, NULL}};
    put(b, "page_of_1000", "us", page_us(b, NULL, 0), 40);
    put(b, "rows_of_1000_with_city_points_level_tags", "us", page_us(b, fields, 4), 0);
    arena_reset(&b->arena);
}

/* --- beside readers --- */

struct counter_thread {
    pthread_t thread;
    struct index *ix;
    struct index_query query;
    const bool *done;
    uint64_t queries;
};

static void *read_on(void *arg)
{
    struct counter_thread *r = arg;
    struct index_count count;
    struct error err;
    while (!__atomic_load_n(r->done, __ATOMIC_ACQUIRE)) {
        if (index_count_members(r->ix, &r->query, &count, &err) != ERR_OK)
            stop("reader", &err);
        r->queries++;
    }
    return NULL;
}

/* The writer makes tag changes as fast as it can for a second while `n` threads count without a
 * pause. Both go on: neither starves the other. */
static void beside_readers(struct bench *b, size_t n)
{
    struct counter_thread readers[4] = {{0}};
    bool done = false;
    char name[NAME_ROOM];
    for (size_t i = 0; i < n; i++) {
        readers[i] = (struct counter_thread){
            .ix = b->ix, .query = parse(b, QUERIES[11].text), .done = &done};
        if (pthread_create(&readers[i].thread, NULL, read_on, &readers[i]) != 0)
            stop("thread", NULL);
    }
    uint64_t before = b->changes, queries_done = 0;
    double begin = wall_s(), begin_cpu = cpu_s();
    while (wall_s() - begin < 1) {
        for (int i = 0; i < 100; i++)
            change(b, CHANGE_TAG);
        (void)index_publish(b->ix);
    }
    double took = wall_s() - begin, took_cpu = cpu_s() - begin_cpu;
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < n; i++) {
        /* A reader may wait for what is pending. */
        while (!index_publish(b->ix))
            (void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        (void)pthread_join(readers[i].thread, NULL);
        queries_done += readers[i].queries;
    }
    double n_changes = (double)(b->changes - before);
    (void)snprintf(name, sizeof name, "changes_beside_%zu_readers", n);
    put(b, name, "/s", n_changes / took, 500000);
    (void)snprintf(name, sizeof name, "changes_beside_%zu_readers_of_cpu", n);
    put(b, name, "/cpu s", n_changes / took_cpu, 0);
    (void)snprintf(name, sizeof name, "counts_beside_writer_by_%zu_readers", n);
    put(b, name, "/s", (double)queries_done / took, 0);
    arena_reset(&b->arena);
}

/* --- saving --- */

static double bytes_a_member(const struct bench *b)
{
    struct index_memory m;
    struct index_stats stats;
    index_get_memory(b->ix, &m);
    index_get_stats(b->ix, &stats);
    return (double)(stats.bytes - m.windows - m.pending) / (double)stats.members;
}

static void save_and_load(struct bench *b)
{
    static const char *const path = "index_bench.tmp";
    struct error err;
    double live = bytes_a_member(b);
    double begin = wall_s(), cpu = cpu_s();
    if (index_save(b->ix, path, 1, 1, 0, &err) != ERR_OK)
        stop("save", &err);
    put(b, "checkpoint", "s", wall_s() - begin, share(b, 0.8));
    put(b, "checkpoint_cpu", "s", cpu_s() - cpu, 0);
    uint64_t digest = index_digest(b->ix);
    index_free(b->ix);
    b->ix = index_new(&b->config->schema);
    begin = wall_s();
    cpu = cpu_s();
    if (!b->ix || index_load(b->ix, path, 1, 1, 0, &err) != ERR_OK)
        stop("load", &err);
    put(b, "restore", "s", wall_s() - begin, share(b, 1.2));
    put(b, "restore_cpu", "s", cpu_s() - cpu, 0);
    if (index_digest(b->ix) != digest)
        stop("load: another index than was saved", NULL);
    put(b, "memory_restored_to_live", "ratio", bytes_a_member(b) / live, 1.03);
    (void)remove(path);
}

static void write_json(const struct bench *b, const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f)
        stop(path, NULL);
    (void)fprintf(f, "{\"members\": %llu, \"kernels\": \"%s\", \"rows\": [\n",
                  (unsigned long long)b->n, index_kernels());
    for (size_t i = 0; i < b->n_rows; i++) {
        const struct row *r = &b->rows[i];
        (void)fprintf(f, "  {\"name\": \"%s\", \"unit\": \"%s\", \"value\": %.6g, ", r->name,
                      r->unit, r->value);
        if (r->target == 0)
            (void)fprintf(f, "\"target\": null, \"held\": null}");
        else
            (void)fprintf(f, "\"target\": %.6g, \"held\": %s}", r->target,
                          is_held(r) ? "true" : "false");
        (void)fprintf(f, "%s\n", i + 1 < b->n_rows ? "," : "");
    }
    (void)fprintf(f, "]}\n");
    if (fclose(f) != 0)
        stop(path, NULL);
}

static void prepare(struct bench *b)
{
    struct error err;
    b->rng = rng_of_seed(1);
    b->cities = calloc(CITIES, sizeof *b->cities);
    b->tags = calloc(TAGS, sizeof *b->tags);
    if (index_use_kernels(getenv("ONEID_KERNELS"), &err) != ERR_OK)
        stop("ONEID_KERNELS", &err);
    if (cluster_config_parse("retail.yml", bytes_of_str(RETAIL_YAML), &b->config, &err) != ERR_OK)
        stop("schema", &err);
    b->ix = index_new(&b->config->schema);
    if (!b->cities || !b->tags || !b->ix)
        stop("memory", NULL);
    for (int i = 0; i < CITIES; i++)
        (void)snprintf(b->cities[i], sizeof *b->cities, "c%d", i);
    for (int i = 0; i < TAGS; i++)
        (void)snprintf(b->tags[i], sizeof *b->tags, "t%d", i);
    b->order = name_id_of(NAME_EVENT, bytes_of_str("order"));
    b->city = name_id_of(NAME_TRAIT, bytes_of_str("city"));
    b->points = name_id_of(NAME_TRAIT, bytes_of_str("points"));
    b->birth = name_id_of(NAME_TRAIT, bytes_of_str("birth"));
}

static void run(struct bench *b)
{
    printf("members %llu, kernels %s\n", (unsigned long long)b->n, index_kernels());
    fill(b);
    queries(b, false);
    if (b->only) {
        register_windows(b);
        queries(b, true);
        return;
    }
    many(b);
    breakdowns(b);
    overlap(b);
    pages(b);
    changes(b);
    beside_readers(b, 1);
    beside_readers(b, 2);
    register_windows(b);
    queries(b, true);
    save_and_load(b);
}

static bool parse_options(int argc, char **argv, struct bench *b, const char **json)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--members") == 0)
            b->n = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--json") == 0)
            *json = argv[i + 1];
        else if (strcmp(argv[i], "--only") == 0)
            b->only = argv[i + 1];
        else
            return false;
    }
    return argc % 2 == 1 && b->n > 0;
}

int main(int argc, char **argv)
{
    static struct bench b = {.n = 1000000};
    const char *json = NULL;
    if (!parse_options(argc, argv, &b, &json)) {
        (void)fprintf(stderr, "usage: index_bench [--members N] [--json FILE] [--only NAME]\n");
        return 2;
    }
    prepare(&b);
    run(&b);
    if (json)
        write_json(&b, json);
    index_free(b.ix);
    cluster_config_close(b.config);
    arena_close(&b.arena);
    free(b.cities);
    free(b.tags);
    return 0;
}
