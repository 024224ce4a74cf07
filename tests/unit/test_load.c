/* oneid-load's parts that need no cluster; the segments and limits against the default file. */
#include <load/drive.h>
#include <load/event.h>
#include <load/expected.h>
#include <load/options.h>
#include <load/population.h>
#include <load/view.h>

#include <segment/expr.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct cluster_config *config;

static int setup_config(void **state)
{
    (void)state;
    struct error err = {0};
    return cluster_config_open(DEFAULT_CLUSTER_FILE, &config, &err) ||
                   clock_set_timezone(config->timezone)
               ? -1
               : 0;
}

static int teardown_config(void **state)
{
    (void)state;
    cluster_config_close(config);
    return 0;
}

/* Options borrow from the arguments, so these stay. */
static enum error_code parse_args(const char *const *args, struct load_options *out,
                                  struct error *err)
{
    static char text[32][64];
    char *argv[33] = {NULL};
    int argc = 0;
    for (; args[argc]; argc++) {
        snprintf(text[argc], sizeof text[argc], "%s", args[argc]);
        argv[argc] = text[argc];
    }
    return load_options_parse(argc, argv, out, err);
}

static struct load_options parse(const char *const *args)
{
    struct load_options o;
    struct error err = {0};
    if (parse_args(args, &o, &err))
        fail_msg("%s", err.msg);
    return o;
}

static bool refuses(const char *const *args)
{
    struct load_options o;
    struct error err = {0};
    return parse_args(args, &o, &err) == ERR_USAGE && err.msg[0];
}
#define ARGS(...) ((const char *const[]){"oneid-load", __VA_ARGS__, NULL})

static void test_options_are_taken(void **state)
{
    (void)state;
    struct load_options o = parse(ARGS("ingest", "--persons", "300", "--rate", "1500.5", "--part",
                                       "2/4", "--in-flight", "64", "--json", "--seed", "7"));
    assert_int_equal(o.command, LOAD_INGEST);
    assert_int_equal(o.persons, 300);
    assert_int_equal(o.events, 1000);
    assert_true(o.rate > 1500.4 && o.rate < 1500.6);
    assert_int_equal(o.part, 2);
    assert_int_equal(o.of_parts, 4);
    assert_int_equal(o.in_flight, 64);
    assert_int_equal(o.seed, 7);
    assert_true(o.json);
    assert_string_equal(o.config, "cluster.yml");
}

static void test_run_options_are_taken(void **state)
{
    (void)state;
    struct load_options o =
        parse(ARGS("run", "--mix", "ingest=3,get=1", "--skew", "zipf:0.9", "--processes", "2",
                   "--interval", "250", "--digits", "3", "--from", "10", "--json", "a.json",
                   "--csv", "a.csv", "--hgrm", "h"));
    assert_int_equal(o.command, LOAD_RUN);
    assert_int_equal(o.mix.weight[OP_INGEST], 3);
    assert_int_equal(o.mix.weight[OP_GET], 1);
    assert_int_equal(o.skew.kind, SKEW_ZIPF);
    assert_int_equal(o.processes, 2);
    assert_int_equal(o.interval_ms, 250);
    assert_int_equal(o.digits, 3);
    assert_int_equal(o.from, 10);
    assert_string_equal(o.json_file, "a.json");
    assert_false(o.json);
    assert_string_equal(o.csv, "a.csv");
    assert_string_equal(o.hgrm, "h");
}

/* A value that is missing, or looks like the next option, is standard output. */
static void test_json_goes_to_a_file_or_to_standard_output(void **state)
{
    (void)state;
    struct load_options o = parse(ARGS("get", "--json", "--requests", "5"));
    assert_true(o.json && !o.json_file && o.requests == 5);
    o = parse(ARGS("get", "--requests", "5", "--json"));
    assert_true(o.json && !o.json_file);
    o = parse(ARGS("gen", "--out", "x", "--json"));
    assert_true(o.json && !o.json_file);
}

static void test_one_kind_is_a_mix_of_one(void **state)
{
    (void)state;
    struct load_options o = parse(ARGS("count", "--requests", "5"));
    assert_int_equal(o.mix.weight[OP_COUNT], o.mix.total);
    o = parse(ARGS("ingest"));
    assert_int_equal(o.mix.weight[OP_INGEST], o.mix.total);
}

static void test_report_takes_files(void **state)
{
    (void)state;
    struct load_options o =
        parse(ARGS("report", "a.json", "b.json", "--merge", "--html", "r.html"));
    assert_int_equal(o.n_files, 2);
    assert_string_equal(o.files[1], "b.json");
    assert_true(o.merge);
    assert_string_equal(o.html, "r.html");
}

static void test_options_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    assert_true(refuses(ARGS("fly")));
    assert_true(refuses(ARGS("gen")));
    assert_true(refuses(ARGS("check")));
    assert_true(refuses(ARGS("get")));
    assert_true(refuses(ARGS("get", "--requests", "-1")));
    assert_true(refuses(ARGS("get", "--requests", "12x")));
    assert_true(refuses(ARGS("get", "--requests")));
    assert_true(refuses(ARGS("get", "--requests", "1", "--in-flight", "0")));
    assert_true(refuses(ARGS("get", "--requests", "1", "--skew", "zipf")));
    assert_true(refuses(ARGS("get", "--requests", "1", "--from", "5")));
    assert_true(refuses(ARGS("get", "--requests", "1", "--mix", "get=1")));
    assert_true(refuses(ARGS("get", "--requests", "1", "extra")));
    assert_true(refuses(ARGS("get", "--duration", "2", "--warmup", "2")));
    assert_true(refuses(ARGS("ingest", "--part", "5/4")));
    assert_true(refuses(ARGS("ingest", "--part", "4")));
    assert_true(refuses(ARGS("ingest", "--split", "1.5")));
    assert_true(refuses(ARGS("ingest", "--unknown", "1")));
    assert_true(refuses(ARGS("ingest", "--interval", "1")));
    assert_true(refuses(ARGS("ingest", "--digits", "5")));
    assert_true(refuses(ARGS("ingest", "--merge")));
    assert_true(refuses(ARGS("ingest", "--processes", "0")));
    assert_true(refuses(ARGS("ingest", "--processes", "4", "--in-flight", "3")));
    assert_true(refuses(ARGS("run")));
    assert_true(refuses(ARGS("run", "--mix", "get=1")));
    assert_true(refuses(ARGS("run", "--mix", "gets=1", "--requests", "1")));
    assert_true(refuses(ARGS("gen", "--out", "x", "--json", "file")));
    assert_true(refuses(ARGS("report")));
    assert_true(refuses(ARGS("report", "a", "b", "--csv", "x")));
}

/* Every option is in the help. */
static void test_help_names_every_option(void **state)
{
    (void)state;
    static const char *const names[] = {
        "-c",         "--router", "--json",      "--persons",  "--events",   "--seed",
        "--shuffle",  "--today",  "--split",     "--never",    "--resent",   "--late",
        "--out",      "--sample", "--parts",     "--expected", "--all",      "--in-flight",
        "--duration", "--warmup", "--rate",      "--requests", "--deadline", "--hist",
        "--mix",      "--skew",   "--processes", "--from",     "--interval", "--digits",
        "--csv",      "--html",   "--hgrm",      "--merge",    "--part",     "--expr"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strstr(load_usage, names[i]))
            fail_msg("%s is not in the help", names[i]);
}

static void test_day_start_is_where_the_day_begins(void **state)
{
    (void)state;
    for (int32_t day = 20000; day < 20400; day += 7) {
        msec_t start = population_day_start(day);
        assert_int_equal(clock_day_of_ms(start), day);
        assert_int_equal(clock_day_of_ms(start - 1), day - 1);
    }
}

static void start(struct gen *g, int32_t *today)
{
    struct error err = {0};
    struct load_options o =
        parse(ARGS("ingest", "--persons", "900", "--today", "2026-06-30", "--seed", "3"));
    assert_int_equal(population_init(&o, g, today, &err), ERR_OK);
}

static void test_events_lie_in_the_days_before_today(void **state)
{
    (void)state;
    struct gen g;
    struct gen_event e;
    int32_t today, first = INT32_MAX, last = 0;
    start(&g, &today);
    assert_int_equal(today, clock_day_of_date(2026, 6, 30));
    while (gen_next(&g, &e)) {
        int32_t day = clock_day_of_ms(e.ts);
        first = day < first ? day : first;
        last = day > last ? day : last;
    }
    assert_int_equal(last, today);
    assert_int_equal(first, today - POPULATION_DAYS + 1);
}

static void test_segments_are_of_the_language(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    for (unsigned i = 0; i < gen_n_segments; i++) {
        struct expr *e;
        struct error err = {0};
        if (expr_parse(bytes_of_str(gen_segments[i].text), &config->schema, &arena, &e, &err))
            fail_msg("%s: %s", gen_segments[i].text, err.msg);
    }
    arena_close(&arena);
}

/* What is sent must be what is expected back, so every value is its own normal form. */
static void test_identities_are_normal_and_not_blocked(void **state)
{
    (void)state;
    struct gen g;
    struct gen_event e;
    struct arena arena;
    int32_t today;
    arena_init(&arena, 0);
    start(&g, &today);
    while (gen_next(&g, &e)) {
        for (unsigned i = 0; i < e.n_ids; i++) {
            struct bytes raw = bytes_of(e.ids[i].value, e.ids[i].len), out;
            const struct schema_namespace *ns =
                schema_namespace_by_name(&config->schema, bytes_of_str(gen_ns_names[e.ids[i].ns]));
            assert_non_null(ns);
            assert_int_equal(ns->bridges, e.ids[i].ns != GEN_DEVICE);
            assert_int_equal(schema_normalize(ns, raw, &arena, &out), IDENTITY_OK);
            assert_true(bytes_equal(raw, out));
            arena_reset(&arena);
        }
    }
    arena_close(&arena);
}

static bool has_trait(const char *name)
{
    return schema_trait_by_name(&config->schema, bytes_of_str(name)) != NULL;
}

static void test_event_names_what_the_schema_has(void **state)
{
    (void)state;
    struct gen g;
    struct gen_event e;
    static struct load_event form;
    int32_t today;
    int64_t points = 0, expected = 0;
    start(&g, &today);
    while (gen_next(&g, &e)) {
        load_event_of(&e, &form);
        assert_int_equal(form.event.n_ids, e.n_ids);
        assert_true(form.event.n_traits <= LOAD_TRAITS_MAX);
        for (size_t i = 0; i < form.event.n_traits; i++)
            assert_true(has_trait(form.traits[i].name));
        for (size_t i = 0; i < form.event.n_adds; i++) {
            assert_true(has_trait(form.adds[i].name));
            points += strcmp(form.adds[i].name, "points") == 0 ? form.adds[i].integer : 0;
        }
        expected += e.points;
        assert_int_equal(form.event.name != NULL, e.kind != GEN_NO_EVENT);
        if (form.event.name)
            assert_non_null(schema_event_by_name(&config->schema, bytes_of_str(form.event.name)));
    }
    assert_int_equal(points, expected);
    assert_true(points > 0);
}

/* --- files --- */

static void on_sample(void *ctx, const char *ns, const char *value, const char *profile)
{
    unsigned *n = ctx;
    char id[128];
    snprintf(id, sizeof id, "%s:%s,", ns, value);
    assert_non_null(strstr(profile, id));
    ++*n;
}

static void test_expected_answers_survive_their_file(void **state)
{
    (void)state;
    struct gen g;
    struct gen_event e;
    struct gen_model m;
    struct error err = {0};
    struct expected back;
    int32_t today;
    char path[] = "/tmp/oneid-load-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    start(&g, &today);
    assert_int_equal(gen_model_open(&m, &g, today, &err), ERR_OK);
    while (gen_next(&g, &e))
        gen_model_add(&m, &e);
    assert_int_equal(expected_write(path, &m, config->timezone, &err), ERR_OK);
    assert_int_equal(expected_read(path, &back, &err), ERR_OK);
    assert_int_equal(back.today, today);
    assert_int_equal(back.profiles, g.n_profiles);
    assert_int_equal(back.points, m.points);
    assert_true(back.digest == gen_model_digest(&m));
    assert_int_equal(back.n_segments, gen_n_segments);
    for (unsigned i = 0; i < gen_n_segments; i++) {
        assert_string_equal(back.segments[i].text, gen_segments[i].text);
        assert_int_equal(back.segments[i].count, gen_model_count(&m, &gen_segments[i]));
    }
    expected_close(&back);

    unsigned samples = 0;
    assert_int_equal(samples_write(path, &m, 50, &err), ERR_OK);
    assert_int_equal(samples_read(path, on_sample, &samples, &err), ERR_OK);
    assert_int_equal(samples, 50);
    assert_int_equal(expected_read(path, &back, &err), ERR_MALFORMED);
    unlink(path);
    assert_int_equal(expected_read(path, &back, &err), ERR_IO);
    assert_int_equal(samples_read(path, on_sample, &samples, &err), ERR_OK);
    gen_model_close(&m);
}

/* A profile as a cluster shows it, in another order of its lists, is the model's. */
static void test_view_of_an_answer_equals_the_models(void **state)
{
    (void)state;
    static struct gen_view ours, theirs;
    struct buf a = {0}, b = {0};
    const struct oneid_identity ids[] = {{"phone", load_str("13912345678")},
                                         {"device", load_str("d-1")},
                                         {"member", load_str("M1")}};
    const struct oneid_str interests[] = {load_str("阅读"), load_str("亲子")};
    const struct oneid_value traits[] = {
        {.name = "birth_year", .type = ONEID_REAL, .real = 1980},
        {.name = "interests", .type = ONEID_LIST, .list = interests, .n_list = 2},
        {.name = "city", .type = ONEID_TEXT, .text = load_str("上海")}};
    const struct oneid_value counters[] = {
        {.name = "points", .type = ONEID_INTEGER, .integer = 12}};
    const struct oneid_value sums[] = {{.name = "amount", .type = ONEID_REAL, .real = 19.99}};
    const struct oneid_metric events[] = {{"order", 2, 5, sums, 1}, {"view", 3, 5, NULL, 0}};
    const struct oneid_str tags[] = {load_str("vip"), load_str("new")};
    const struct oneid_profile p = {.ids = ids,
                                    .n_ids = 3,
                                    .traits = traits,
                                    .n_traits = 3,
                                    .counters = counters,
                                    .n_counters = 1,
                                    .tags = tags,
                                    .n_tags = 2,
                                    .events = events,
                                    .n_events = 2};
    assert_true(load_view_of(&p, &theirs));
    ours.ids[0] = (struct gen_view_identity){bytes_of_str("member"), bytes_of_str("M1")};
    ours.ids[1] = (struct gen_view_identity){bytes_of_str("phone"), bytes_of_str("13912345678")};
    ours.n_ids = 2;
    ours.city = bytes_of_str("上海");
    ours.birth_year = 1980;
    ours.tags[0] = bytes_of_str("new");
    ours.tags[1] = bytes_of_str("vip");
    ours.n_tags = 2;
    ours.interests[0] = bytes_of_str("亲子");
    ours.interests[1] = bytes_of_str("阅读");
    ours.n_interests = 2;
    ours.points = 12;
    ours.orders = 2;
    ours.order_cents = 1999;
    ours.views = 3;
    gen_view_put(&ours, &a);
    gen_view_put(&theirs, &b);
    assert_true(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
    buf_free(&a);
    buf_free(&b);
}

/* --- the drive, with nobody listening --- */

struct source {
    uint64_t made, sent, answered, seen;
};

static enum op source_next(void *ctx, uint64_t *tag)
{
    struct source *s = ctx;
    *tag = ++s->made;
    return s->made % 2 ? OP_COUNT : OP_GET;
}

static enum oneid_code source_send(void *ctx, struct oneid_client *c, uint32_t deadline_ms,
                                   oneid_cb cb, void *cb_ctx)
{
    struct source *s = ctx;
    s->sent++;
    return oneid_submit_count(c, "true", deadline_ms, cb, cb_ctx);
}

static void source_answered(void *ctx, enum op op, uint64_t tag, const struct oneid_result *r)
{
    struct source *s = ctx;
    assert_true(r->code != ONEID_OK);
    assert_int_equal(op, tag % 2 ? OP_COUNT : OP_GET);
    assert_false(s->seen >> tag & 1);
    s->seen |= UINT64_C(1) << tag;
    s->answered++;
}

static void check_drive(double rate)
{
    enum { REQUESTS = 40 };
    struct measure m;
    struct tally total;
    const char *router = "tcp://127.0.0.1:1";
    struct oneid_options options = {.routers = &router, .n_routers = 1};
    struct oneid_client *client;
    struct source s = {0};
    assert_int_equal(oneid_open(&options, &client, NULL, 0), ONEID_OK);
    assert_true(measure_open(&m, 7, 10000));
    const struct drive_options o = {
        .in_flight = 8, .rate = rate, .requests = REQUESTS, .deadline_ms = 1};
    const struct drive_source source = {&s, source_next, source_send, source_answered};
    assert_true(drive_run(client, &o, &source, &m));
    assert_int_equal(s.made, REQUESTS);
    assert_int_equal(s.sent, REQUESTS);
    assert_int_equal(s.answered, REQUESTS);
    assert_int_equal(m.sent, REQUESTS);
    assert_int_equal(m.kinds[OP_COUNT].answered, REQUESTS / 2);
    assert_int_equal(m.kinds[OP_GET].answered, REQUESTS / 2);
    assert_true(measure_total(&m, &total));
    assert_int_equal(total.latency_us.n, REQUESTS);
    assert_int_equal(total.codes[ONEID_OK], 0);
    assert_int_equal(total.codes[ONEID_ERR_TIMEOUT] + total.codes[ONEID_ERR_UNAVAILABLE], REQUESTS);
    uint64_t in_series = 0, errors = 0;
    for (size_t i = 0; i < m.series.n; i++) {
        for (unsigned k = 0; k < OP_KINDS; k++) {
            in_series += m.series.points[i].cells[k].answered;
            errors += m.series.points[i].cells[k].errors;
        }
    }
    assert_int_equal(in_series, REQUESTS);
    assert_int_equal(errors, REQUESTS);
    tally_close(&total);
    measure_close(&m);
}

static void test_drive_answers_each_request_once_in_a_closed_loop(void **state)
{
    (void)state;
    check_drive(0);
}

static void test_drive_answers_each_request_once_in_an_open_loop(void **state)
{
    (void)state;
    check_drive(5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_are_taken),
        cmocka_unit_test(test_run_options_are_taken),
        cmocka_unit_test(test_json_goes_to_a_file_or_to_standard_output),
        cmocka_unit_test(test_one_kind_is_a_mix_of_one),
        cmocka_unit_test(test_report_takes_files),
        cmocka_unit_test(test_help_names_every_option),
        cmocka_unit_test(test_options_that_make_no_sense_are_refused),
        cmocka_unit_test(test_day_start_is_where_the_day_begins),
        cmocka_unit_test(test_events_lie_in_the_days_before_today),
        cmocka_unit_test(test_segments_are_of_the_language),
        cmocka_unit_test(test_identities_are_normal_and_not_blocked),
        cmocka_unit_test(test_event_names_what_the_schema_has),
        cmocka_unit_test(test_expected_answers_survive_their_file),
        cmocka_unit_test(test_view_of_an_answer_equals_the_models),
        cmocka_unit_test(test_drive_answers_each_request_once_in_a_closed_loop),
        cmocka_unit_test(test_drive_answers_each_request_once_in_an_open_loop),
    };
    return cmocka_run_group_tests(tests, setup_config, teardown_config);
}
