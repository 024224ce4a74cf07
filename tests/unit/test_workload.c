/* What a run asks for, without anybody to ask. */
#include <load/workload.h>

#include <base/hash.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct load_options options;
static struct workload *w;

static int setup(void **state)
{
    (void)state;
    w = malloc(sizeof *w);
    return w ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(w);
    return 0;
}

/* The arguments must stay: options borrow from them. */
static void begin(struct share share, char **argv)
{
    struct error err = {0};
    int argc = 0;
    while (argv[argc])
        argc++;
    if (load_options_parse(argc, argv, &options, &err) || workload_init(w, &options, share, &err))
        fail_msg("%s", err.msg);
}
#define ARGS(...) ((char *[]){(char[]){"oneid-load"}, (char[]){"run"}, __VA_ARGS__, NULL})
#define A(text) ((char[]){text})

/* --- every event once, whatever the shares --- */

static void take_all(struct share share, char **argv, unsigned *times)
{
    uint64_t tag;
    begin(share, argv);
    struct drive_source s = workload_source(w);
    while (s.next(s.ctx, &tag) == OP_INGEST)
        times[w->first + (w->sent - 1) * w->step]++;
}

static void test_parts_and_processes_share_the_events(void **state)
{
    (void)state;
    enum { EVENTS = 1000, FROM = 100, PARTS = 2, PROCESSES = 3 };
    unsigned times[EVENTS] = {0};
    for (unsigned part = 1; part <= PARTS; part++) {
        for (unsigned i = 0; i < PROCESSES; i++) {
            char text[16];
            snprintf(text, sizeof text, "%u/%u", part, PARTS);
            take_all((struct share){i, PROCESSES},
                     ARGS(A("--mix"), A("ingest=1"), A("--persons"), A("300"), A("--from"),
                          A("100"), A("--part"), text),
                     times);
        }
    }
    for (unsigned i = 0; i < EVENTS; i++)
        assert_int_equal(times[i], i >= FROM);
}

static void test_from_beyond_the_events_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    char **argv = ARGS(A("--mix"), A("ingest=1"), A("--persons"), A("300"), A("--from"), A("1001"));
    assert_int_equal(load_options_parse(8, argv, &options, &err), ERR_OK);
    assert_int_equal(workload_init(w, &options, (struct share){0, 1}, &err), ERR_USAGE);
    assert_non_null(strstr(err.msg, "--from"));
}

/* --- whom reads ask for while events go in --- */

enum { KNOWN = 1 << 17 };
static bool known[KNOWN]; /* by hash of an identity: enough to find one that was never named */

static unsigned place_of_identity(const char *ns, const char *value, size_t len)
{
    return (unsigned)(hash64_seed(bytes_of(value, len), hash64(bytes_of_str(ns))) % KNOWN);
}

struct open_event {
    bool used;
    uint64_t tag;
    struct gen_event event;
};

static void end_event(struct drive_source *s, struct open_event *o)
{
    const struct oneid_result ok = {.code = ONEID_OK, .text = ""};
    s->answered(s->ctx, OP_INGEST, o->tag, &ok);
    for (unsigned i = 0; i < o->event.n_ids; i++)
        known[place_of_identity(gen_ns_names[o->event.ids[i].ns], o->event.ids[i].value,
                                o->event.ids[i].len)] = true;
    o->used = false;
}

static void check_reads_follow(char **argv)
{
    enum { OPEN = 50, REQUESTS = 6000 };
    static struct open_event open[OPEN];
    struct rng r = rng_of_seed(1);
    unsigned asked = 0, unknown = 0;
    uint64_t tag;
    memset(known, 0, sizeof known);
    memset(open, 0, sizeof open);
    begin((struct share){0, 1}, argv);
    struct drive_source s = workload_source(w);
    for (unsigned i = 0; i < REQUESTS; i++) {
        struct open_event *o = &open[rng_below(&r, OPEN)];
        if (o->used)
            end_event(&s, o);
        enum op op = s.next(s.ctx, &tag);
        if (op == OP_INGEST) {
            *o = (struct open_event){true, tag, w->event};
            continue;
        }
        asked++;
        unknown += !known[place_of_identity(w->id.ns, w->id.value.data, w->id.value.len)];
    }
    assert_int_equal(unknown, 0);
    assert_in_range(asked, REQUESTS / 3, REQUESTS / 2);
}

static void test_reads_ask_for_what_has_been_answered(void **state)
{
    (void)state;
    check_reads_follow(
        ARGS(A("--mix"), A("ingest=60,get=30,resolve=10"), A("--persons"), A("2000")));
    check_reads_follow(ARGS(A("--mix"), A("ingest=60,get=40"), A("--persons"), A("2000"),
                            A("--skew"), A("zipf:0.99"), A("--shuffle"), A("3")));
}

/* --- without ingest: of all persons --- */

static void test_reads_are_skewed_over_all_persons(void **state)
{
    (void)state;
    enum { PERSONS = 500, REQUESTS = 20000 };
    static unsigned asked[PERSONS];
    uint64_t tag;
    unsigned top = 0, persons = 0;
    begin((struct share){0, 1}, ARGS(A("--mix"), A("get=1"), A("--persons"), A("500"), A("--skew"),
                                     A("hotspot:0.002/0.5"), A("--requests"), A("1")));
    struct drive_source s = workload_source(w);
    assert_null(s.answered);
    for (unsigned i = 0; i < REQUESTS; i++) {
        assert_int_equal(s.next(s.ctx, &tag), OP_GET);
        asked[w->event.person]++;
    }
    for (unsigned i = 0; i < PERSONS; i++) {
        top = asked[i] > top ? asked[i] : top;
        persons += asked[i] > 0;
    }
    assert_in_range(top, REQUESTS / 2 - 355, REQUESTS / 2 + 355);
    assert_int_equal(persons, PERSONS);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each is an event of its own, received when it is, and names one planned profile's identities. */
static void test_updates_are_new_events_of_known_persons(void **state)
{
    (void)state;
    enum { N = 2000 };
    static char ids[N][GEN_MESSAGE_ID_MAX], *sorted[N];
    uint64_t tag;
    begin((struct share){0, 1},
          ARGS(A("--mix"), A("update=1"), A("--persons"), A("500"), A("--requests"), A("1")));
    struct drive_source s = workload_source(w);
    for (unsigned i = 0; i < N; i++) {
        struct gen_person p;
        assert_int_equal(s.next(s.ctx, &tag), OP_UPDATE);
        gen_person_of(&w->gen, w->event.person, &p);
        assert_in_range(w->event.n_ids, 1, 4);
        for (unsigned k = 0; k < w->event.n_ids; k++)
            assert_true(w->event.ids[k].index == p.n_ids || w->event.ids[k].index % p.n_parts == 0);
        assert_int_equal(w->form.event.ts_ms, 0);
        assert_int_equal(w->form.event.n_ids, w->event.n_ids);
        memcpy(ids[i], w->event.message_id, sizeof ids[i]);
        assert_int_equal(w->form.event.message_id.len, strlen(ids[i]));
        sorted[i] = ids[i];
    }
    qsort(sorted, N, sizeof sorted[0], compare_texts);
    for (unsigned i = 1; i < N; i++)
        assert_string_not_equal(sorted[i - 1], sorted[i]);
}

static void test_counts_go_round_the_expressions(void **state)
{
    (void)state;
    uint64_t tag;
    begin((struct share){0, 1}, ARGS(A("--mix"), A("count=1"), A("--expr"), A("true"), A("--expr"),
                                     A("tag(vip)"), A("--requests"), A("1")));
    struct drive_source s = workload_source(w);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(s.next(s.ctx, &tag), OP_COUNT);
        assert_string_equal(w->expr, i % 2 ? "tag(vip)" : "true");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_parts_and_processes_share_the_events),
        TEST(test_from_beyond_the_events_is_refused),
        TEST(test_reads_ask_for_what_has_been_answered),
        TEST(test_reads_are_skewed_over_all_persons),
        TEST(test_updates_are_new_events_of_known_persons),
        TEST(test_counts_go_round_the_expressions),
    };
    if (clock_set_timezone("Asia/Shanghai"))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
