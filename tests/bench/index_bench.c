/* index_bench [members]: size, speed of changes, queries, saving and loading of the segment index,
 * over uncorrelated random members. Prints one line per figure. */
#include <base/rng.h>
#include <cluster/config.h>
#include <index/index.h>
#include <retail_yaml.h>

#include <stdio.h>
#include <stdlib.h>

enum { TODAY = 20000, TAGS = 1000, CITIES = 300, REPEATS = 5 };

struct bench {
    struct cluster_config *config;
    struct index *ix;
    struct rng rng;
    uint64_t n, changes;
    char (*cities)[16];
};

static name_id trait_id(const char *name)
{
    return name_id_of(NAME_TRAIT, bytes_of_str(name));
}

static void apply(struct bench *b, struct index_op op)
{
    op.on = true;
    index_apply(b->ix, &op);
    b->changes++;
}

static void put_tag(struct bench *b, one_id m, uint64_t tag)
{
    char text[16];
    int len = snprintf(text, sizeof text, "t%llu", (unsigned long long)tag);
    apply(b,
          (struct index_op){.kind = INDEX_TAG, .member = m, .text = bytes_of(text, (size_t)len)});
}

static void put_order(struct bench *b, one_id m)
{
    struct index_event e = {.day = TODAY - (int32_t)rng_below(&b->rng, 365), .count = 1};
    e.fields[0].present = true;
    e.fields[0].sum = (int64_t)rng_below(&b->rng, 50000) * 10000;
    e.fields[2].present = true;
    e.fields[2].text = bytes_of_str(b->cities[rng_below(&b->rng, 20)]);
    name_id id = name_id_of(NAME_EVENT, bytes_of_str("order"));
    apply(b, (struct index_op){.kind = INDEX_EVENT, .member = m, .name = id, .event = &e});
    apply(b, (struct index_op){.kind = INDEX_LAST, .member = m, .name = id, .number = e.day});
}

/* Six tags (three of them from the dense ones), a city, points, birth, two namespaces, an order. */
static void put_member(struct bench *b, one_id m)
{
    apply(b, (struct index_op){.kind = INDEX_ADD, .member = m});
    for (uint64_t i = 0; i < 3; i++)
        put_tag(b, m, i * 4 + rng_below(&b->rng, 4));
    for (uint64_t i = 0; i < 3; i++)
        put_tag(b, m, 20 + rng_below(&b->rng, TAGS - 20));
    apply(b, (struct index_op){.kind = INDEX_VALUE,
                               .member = m,
                               .name = trait_id("city"),
                               .text = bytes_of_str(b->cities[rng_below(&b->rng, CITIES)])});
    apply(b, (struct index_op){.kind = INDEX_NUMBER,
                               .member = m,
                               .name = trait_id("points"),
                               .number = (int64_t)rng_below(&b->rng, 20000)});
    apply(b, (struct index_op){.kind = INDEX_NUMBER,
                               .member = m,
                               .name = trait_id("birth"),
                               .number = (int64_t)rng_below(&b->rng, 18000)});
    for (size_t i = 0; i < 2; i++)
        apply(b, (struct index_op){.kind = INDEX_HAS,
                                   .member = m,
                                   .name = b->config->schema.namespaces[i * 3].id});
    if (rng_below(&b->rng, 2))
        put_order(b, m);
}

static one_id member_of(uint64_t i)
{
    return (i * 37 + 5) << 24 | (i * 2654435761u & 0xFFFFFF);
}

static void fill(struct bench *b)
{
    struct index_stats stats;
    usec_t begin = clock_mono_us();
    for (uint64_t i = 0; i < b->n; i++) {
        put_member(b, member_of(i));
        if (i % 100 == 0)
            (void)index_publish(b->ix);
    }
    index_set_applied(b->ix, 1);
    (void)index_publish(b->ix);
    usec_t took = clock_mono_us() - begin;
    index_get_stats(b->ix, &stats);
    printf("fill_us_per_change %.3f\n", (double)took / (double)b->changes);
    printf("bytes_per_member %.1f\n", (double)stats.bytes / (double)stats.members);
}

/* Changes to random members, their making included. */
static void change(struct bench *b)
{
    uint64_t n = 1000000;
    usec_t begin = clock_mono_us();
    for (uint64_t i = 0; i < n; i++) {
        put_tag(b, member_of(rng_below(&b->rng, b->n)), rng_below(&b->rng, TAGS));
        if (i % 100 == 0)
            (void)index_publish(b->ix);
    }
    (void)index_publish(b->ix);
    printf("random_tag_us %.3f\n", (double)(clock_mono_us() - begin) / (double)n);
}

static void query(struct bench *b, const char *text)
{
    struct arena arena = {0};
    struct expr *e = NULL;
    struct error err;
    struct index_count count = {0};
    usec_t best = INT64_MAX;
    if (expr_parse(bytes_of_str(text), &b->config->schema, &arena, &e, &err) != ERR_OK) {
        printf("%s: %s\n", text, err.msg);
        exit(1);
    }
    struct index_query q = {.expr = e, .today = TODAY};
    for (int i = 0; i < REPEATS; i++) {
        usec_t begin = clock_mono_us();
        if (index_count_members(b->ix, &q, &count, &err) != ERR_OK)
            exit(1);
        usec_t took = clock_mono_us() - begin;
        best = took < best ? took : best;
    }
    printf("count_ms %.3f  %llu  %s\n", (double)best / 1000, (unsigned long long)count.members,
           text);
    arena_close(&arena);
}

static void breakdown(struct bench *b)
{
    struct arena arena = {0};
    struct expr *e = NULL;
    struct error err;
    struct index_group *groups;
    size_t n = 0;
    const struct schema *s = &b->config->schema;
    if (expr_parse(bytes_of_str("tag(t1)"), s, &arena, &e, &err) != ERR_OK)
        exit(1);
    struct index_query q = {.expr = e, .today = TODAY};
    usec_t begin = clock_mono_us();
    const struct schema_trait *by = schema_trait_by_name(s, bytes_of_str("city"));
    if (index_breakdown(b->ix, &q, &by, 1, 1000, &arena, &groups, &n, &err) != ERR_OK)
        exit(1);
    printf("breakdown_ms %.3f  %zu groups\n", (double)(clock_mono_us() - begin) / 1000, n);
    usec_t page_begin = clock_mono_us();
    one_id page[1000];
    uint64_t cursor = 0;
    for (int i = 0; i < 100; i++)
        if (index_list_members(b->ix, &q, cursor, 1000, page, &n, &cursor, &err) != ERR_OK)
            exit(1);
    printf("page_of_1000_us %.1f\n", (double)(clock_mono_us() - page_begin) / 100);
    arena_close(&arena);
}

static void save_and_load(struct bench *b)
{
    struct error err;
    usec_t begin = clock_mono_us();
    if (index_save(b->ix, "index_bench.tmp", 1, 1, 0, &err) != ERR_OK)
        exit(1);
    printf("save_ms %.0f\n", (double)(clock_mono_us() - begin) / 1000);
    index_free(b->ix);
    b->ix = index_new(&b->config->schema);
    begin = clock_mono_us();
    if (!b->ix || index_load(b->ix, "index_bench.tmp", 1, 1, 0, &err) != ERR_OK)
        exit(1);
    printf("load_ms %.0f\n", (double)(clock_mono_us() - begin) / 1000);
    (void)remove("index_bench.tmp");
}

int main(int argc, char **argv)
{
    static const char *const queries[] = {
        "tag(t1) and tag(t5) and tag(t9)",
        "(tag(t1) or tag(t5) or tag(t9)) and not tag(t2)",
        "tag(t1) and city in "
        "(c0,c1,c2,c3,c4,c5,c6,c7,c8,c9,c10,c11,c12,c13,c14,c15,c16,c17,c18,c19)",
        "points >= 10000 and tag(t1)",
        "tag(t1) and tag(t500) and points >= 10000",
        "count(order, 30d) >= 1",
        "sum(order.amount, 90d) >= 100",
        "count(order where category = c3, 365d) >= 1",
        "last(order) > 14d ago and tag(t5)",
        "tag(t1) and tag(t5) and not tag(t8) and (tag(t9) or tag(t10)) and points >= 5000 and "
        "points < 15000 and birth >= 1980-01-01 and has(member) and has(openid) and city != c7",
    };
    struct bench b = {.n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000, .rng = rng_of_seed(1)};
    struct error err;
    b.cities = calloc(CITIES, sizeof *b.cities);
    if (!b.cities || b.n == 0 ||
        cluster_config_parse("retail.yml", bytes_of_str(RETAIL_YAML), &b.config, &err) != ERR_OK)
        return 1;
    for (int i = 0; i < CITIES; i++)
        (void)snprintf(b.cities[i], sizeof *b.cities, "c%d", i);
    b.ix = index_new(&b.config->schema);
    if (!b.ix)
        return 1;
    fill(&b);
    change(&b);
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
        query(&b, queries[i]);
    breakdown(&b);
    save_and_load(&b);
    index_free(b.ix);
    cluster_config_close(b.config);
    free(b.cities);
    return 0;
}
