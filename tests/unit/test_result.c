/* Results: added up, written and read back, warned of. */
#include "load_rig.h"

#include <load/result_json.h>
#include <load/result_text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct result a, b;

static int setup(void **state)
{
    (void)state;
    rig_result(&a, 1, 20, 1000000);
    rig_result(&b, 2, 20, 1000300);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    result_close(&a);
    result_close(&b);
    return 0;
}

static void test_sum_has_what_both_have(void **state)
{
    (void)state;
    struct error err = {0};
    struct tally one, two, sum;
    assert_true(measure_total(&a.measure, &one) && measure_total(&b.measure, &two));
    uint64_t get = a.measure.kinds[OP_GET].answered + b.measure.kinds[OP_GET].answered;
    tally_add(&one, &two);
    assert_int_equal(result_add(&a, &b, &err), ERR_OK);
    assert_true(measure_total(&a.measure, &sum));
    assert_int_equal(sum.answered, one.answered);
    assert_int_equal(tally_errors(&sum), tally_errors(&one));
    assert_int_equal(histogram_quantile(&sum.latency_us, 0.99),
                     histogram_quantile(&one.latency_us, 0.99));
    assert_int_equal(a.measure.kinds[OP_GET].answered, get);
    assert_int_equal(a.in_flight, 64);
    assert_int_equal(a.measure.processes, 2);
    assert_true(a.measure.cpu_s == 0.375);
    tally_close(&one);
    tally_close(&two);
    tally_close(&sum);
}

/* Measured are 1.5 s from 1000500 ms and 1.5 s from 1000800 ms: 1.8 s together. The second one's
 * first interval is the first one's fourth. */
static void test_sum_lies_in_the_time_of_both(void **state)
{
    (void)state;
    struct error err = {0};
    uint64_t at = a.measure.series.points[5].cells[OP_GET].answered +
                  b.measure.series.points[2].cells[OP_GET].answered;
    assert_int_equal(result_add(&a, &b, &err), ERR_OK);
    assert_int_equal(a.measure.began_ms, 1000000);
    assert_int_equal(a.measure.from_ms, 1000500);
    assert_int_equal(a.measure.elapsed_us, 1800000);
    assert_int_equal(a.measure.series.n, 23);
    assert_int_equal(a.measure.series.points[5].cells[OP_GET].answered, at);
}

static void test_order_of_adding_does_not_matter(void **state)
{
    (void)state;
    struct error err = {0};
    struct result a2, b2;
    rig_result(&a2, 1, 20, 1000000);
    rig_result(&b2, 2, 20, 1000300);
    assert_int_equal(result_add(&a, &b, &err), ERR_OK);
    assert_int_equal(result_add(&b2, &a2, &err), ERR_OK);
    rig_assert_same(&a, &b2);
    result_close(&a2);
    result_close(&b2);
}

static void test_sum_tells_of_what_was_not_alike(void **state)
{
    (void)state;
    struct error err = {0};
    snprintf(b.mix, sizeof b.mix, "get=1");
    snprintf(b.host.cpu, sizeof b.host.cpu, "another");
    free(b.line);
    b.line = strdup("oneid-load get");
    char *line = strdup(a.line);
    assert_int_equal(result_add(&a, &b, &err), ERR_OK);
    assert_string_equal(a.mix, "various");
    assert_string_equal(a.host.cpu, "various machines");
    assert_memory_equal(a.line, line, strlen(line));
    assert_string_equal(a.line + strlen(line), "\noneid-load get");
    assert_string_equal(a.skew, "zipf:0.99");
    free(line);
}

static void test_results_that_do_not_go_together_are_refused(void **state)
{
    (void)state;
    struct error err = {0};
    b.rate = 100;
    assert_int_equal(result_add(&a, &b, &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "open and a closed"));
    b.rate = 0;
    b.measure.series.interval_us = 200000;
    assert_int_equal(result_add(&a, &b, &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "100 ms and 200 ms"));
    b.measure.series.interval_us = 100000;
    b.measure.began_ms += INT64_C(1000) * 86400 * 365;
    assert_int_equal(result_add(&a, &b, &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "too far apart"));
    struct result same;
    rig_result(&same, 1, 20, 1000000);
    rig_assert_same(&a, &same);
    result_close(&same);
}

static bool is_warned_of(const struct result *r, const char *what)
{
    char texts[RESULT_WARNINGS_MAX][RESULT_WARNING_SIZE];
    struct tally total;
    bool found = false;
    assert_true(measure_total(&r->measure, &total));
    unsigned n = result_warnings(r, &total, texts);
    for (unsigned i = 0; i < n; i++)
        found |= strstr(texts[i], what) != NULL;
    tally_close(&total);
    return found;
}

static void test_runs_one_after_the_other_are_warned_of(void **state)
{
    (void)state;
    struct error err = {0};
    b.measure.from_ms = a.measure.from_ms + 100;
    assert_int_equal(result_add(&a, &b, &err), ERR_OK);
    assert_false(is_warned_of(&a, "overlap"));
    b.measure.from_ms = a.measure.from_ms + 60000;
    assert_int_equal(result_add(&a, &b, &err), ERR_OK);
    assert_true(is_warned_of(&a, "overlap by only 0 %"));
}

static void test_a_bottleneck_in_the_load_is_warned_of(void **state)
{
    (void)state;
    assert_false(is_warned_of(&a, "bottleneck"));
    a.measure.busiest = 0.95;
    assert_true(is_warned_of(&a, "bottleneck: a thread of it took 95 %"));
}

/* In a closed loop nothing is due, so nothing can be late. */
static void test_an_open_loop_that_falls_behind_is_warned_of(void **state)
{
    (void)state;
    a.measure.behind_us = 500000;
    assert_false(is_warned_of(&a, "after they were due"));
    a.rate = 1000;
    assert_true(is_warned_of(&a, "500 ms after they were due, since the load process"));
    a.measure.full = 3;
    assert_true(is_warned_of(&a, "--in-flight is too small"));
    a.measure.behind_us = 1000;
    assert_false(is_warned_of(&a, "after they were due"));
}

static void test_errors_and_partial_answers_are_warned_of(void **state)
{
    (void)state;
    assert_true(is_warned_of(&a, "answers were errors"));
    assert_false(is_warned_of(&a, "partial"));
    a.measure.kinds[OP_COUNT].partial = 2;
    assert_true(is_warned_of(&a, "2 answers were partial"));
}

/* --- files --- */

static FILE *written(const struct result *r, bool whole)
{
    struct error err = {0};
    FILE *f = tmpfile();
    assert_non_null(f);
    assert_int_equal(result_write(r, f, whole, &err), ERR_OK);
    rewind(f);
    return f;
}

static void test_result_survives_its_file(void **state)
{
    (void)state;
    struct result back;
    struct error err = {0};
    FILE *f = written(&a, true);
    if (result_read(f, "file", &back, &err))
        fail_msg("%s", err.msg);
    rig_assert_same(&a, &back);
    fclose(f);
    result_close(&back);
}

/* The notes of a sum are in its file, and so are warned of again. */
static void test_notes_survive_the_file(void **state)
{
    (void)state;
    struct result back;
    struct error err = {0};
    b.measure.from_ms = a.measure.from_ms + 60000;
    assert_int_equal(result_add(&a, &b, &err), ERR_OK);
    FILE *f = written(&a, true);
    assert_int_equal(result_read(f, "file", &back, &err), ERR_OK);
    assert_true(is_warned_of(&back, "overlap by only 0 %"));
    fclose(f);
    result_close(&back);
}

/* Reads `text` as a file; ERR_OK or not, everything is given back. */
static enum error_code read_text(const char *text, size_t len, struct error *err)
{
    struct result r;
    FILE *f = tmpfile();
    assert_non_null(f);
    fwrite(text, 1, len, f);
    rewind(f);
    enum error_code rc = result_read(f, "some.json", &r, err);
    fclose(f);
    result_close(&r);
    return rc;
}

static char *text_of(const struct result *r, size_t *len)
{
    FILE *f = written(r, true);
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    char *text = calloc(1, *len + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, *len, f), *len);
    fclose(f);
    return text;
}

static void test_files_of_another_kind_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "[]",
                                        "{",
                                        "{}",
                                        "{\"format\":2}",
                                        "17",
                                        "{\"format\":1,\"histogram_bits\":60,\"interval_ms\":1}",
                                        "{\"format\":1,\"histogram_bits\":7,\"interval_ms\":-1}",
                                        "{\"format\":1,\"histogram_bits\":7,\"interval_ms\":100}"};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct error err = {0};
        assert_int_equal(read_text(texts[i], strlen(texts[i]), &err), ERR_MALFORMED);
        assert_memory_equal(err.msg, "some.json:", 10);
    }
}

/* Each key's name spoilt in turn: what is missing is named. */
static void test_every_missing_part_is_found(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "command",    "mix",       "skew",      "in_flight", "rate",        "host",
        "cpu",        "notes",     "began_ms",  "sent",      "full",        "busiest",
        "elapsed_us", "codes",     "kinds",     "histogram", "buckets",     "series",
        "cpu_s",      "processes", "behind_us", "ended",     "interrupted", "warmup_s"};
    size_t len;
    char *text = text_of(&a, &len);
    for (unsigned i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char mark[32];
        struct error err = {0};
        char *copy = strdup(text);
        assert_non_null(copy);
        snprintf(mark, sizeof mark, "\"%s\":", keys[i]);
        for (char *at = copy; (at = strstr(at, mark)); at++)
            at[1] = '_';
        if (read_text(copy, len, &err) != ERR_MALFORMED || !strstr(err.msg, keys[i]))
            fail_msg("without %s: '%s'", keys[i], err.msg);
        free(copy);
    }
    free(text);
}

/* A file cut short anywhere, or with a spoilt byte, is read or refused but never worse. */
static void test_damaged_files_do_no_harm(void **state)
{
    (void)state;
    size_t len;
    char *text = text_of(&a, &len);
    struct rng r = rng_of_seed(6);
    for (unsigned i = 0; i < 40; i++) {
        struct error err = {0};
        size_t at = (size_t)rng_below(&r, len);
        char before = text[at];
        assert_int_equal(read_text(text, at, &err), ERR_MALFORMED);
        text[at] = (char)rng_below(&r, 128);
        (void)read_text(text, len, &err);
        text[at] = before;
    }
    free(text);
}

static void test_counts_that_contradict_are_refused(void **state)
{
    (void)state;
    struct error err = {0};
    size_t len;
    a.measure.kinds[OP_GET].latency_us.n++;
    char *text = text_of(&a, &len);
    assert_int_equal(read_text(text, len, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.msg, "buckets"));
    free(text);
    a.measure.kinds[OP_GET].latency_us.n--;
}

/* What other programs read from standard output stays under its names. */
static void test_short_form_has_its_keys(void **state)
{
    (void)state;
    static const char *const keys[] = {"\"command\":\"run\"",
                                       "\"in_flight\":32",
                                       "\"rate\":0",
                                       "\"requests\":8000",
                                       "\"elapsed_s\":1.5",
                                       "\"requests_per_s\":",
                                       "\"latency_us\":{\"avg\":",
                                       "\"p50\":",
                                       "\"p95\":",
                                       "\"p99\":",
                                       "\"p99.9\":",
                                       "\"max\":",
                                       "\"errors\":160",
                                       "\"timeouts\":160",
                                       "\"codes\":{\"ok\":7840",
                                       "\"duplicates\":",
                                       "\"partial\":0",
                                       "\"with_refused\":0",
                                       "\"cpu_s\":0.125",
                                       "\"behind_us\":12345",
                                       "\"interrupted\":false",
                                       "\"kinds\":{\"ingest\":{"};
    char text[8192];
    FILE *f = written(&a, false);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    for (unsigned i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (!strstr(text, keys[i]))
            fail_msg("%s is not in %s", keys[i], text);
    assert_null(strstr(text, "series"));
    assert_null(strstr(text, "buckets"));
    fclose(f);
}

/* --- CSV --- */

static void test_csv_adds_up_to_the_result(void **state)
{
    (void)state;
    char line[512], kind[16];
    unsigned long long requests, errors, all = 0, kinds = 0, all_errors = 0;
    double seconds, last = -1;
    FILE *f = tmpfile();
    assert_non_null(f);
    assert_true(result_print_csv(&a, f));
    rewind(f);
    assert_non_null(fgets(line, sizeof line, f));
    assert_string_equal(line, "seconds,kind,requests,errors,requests_per_s,p50_us,p95_us,p99_us,"
                              "max_us,in_flight,behind_us,load_cpu_s\n");
    while (fgets(line, sizeof line, f)) {
        assert_int_equal(sscanf(line, "%lf,%15[^,],%llu,%llu,", &seconds, kind, &requests, &errors),
                         4);
        if (strcmp(kind, "all") == 0) {
            assert_true(seconds > last);
            last = seconds;
            all += requests;
            all_errors += errors;
        } else {
            kinds += requests;
        }
    }
    fclose(f);
    assert_int_equal(all, 8000);
    assert_int_equal(kinds, 8000);
    assert_int_equal(all_errors, 160);
    assert_true(last > 1.89 && last < 1.91);
}

static void test_text_has_a_row_for_each_kind_and_all(void **state)
{
    (void)state;
    char text[4096];
    FILE *f = tmpfile();
    assert_non_null(f);
    assert_true(result_print(&a, f));
    rewind(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    static const char *const parts[] = {"closed loop, 32 in flight, zipf:0.99\n",
                                        "requests   8000 in 1.500 s = 5333/s\n",
                                        "\ningest ",
                                        "\nget ",
                                        "\ncount ",
                                        "\nall ",
                                        "timeouts 160",
                                        "warning    160 of 8000"};
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (!strstr(text, parts[i]))
            fail_msg("%s is not in %s", parts[i], text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sum_has_what_both_have),
        TEST(test_sum_lies_in_the_time_of_both),
        TEST(test_order_of_adding_does_not_matter),
        TEST(test_sum_tells_of_what_was_not_alike),
        TEST(test_results_that_do_not_go_together_are_refused),
        TEST(test_runs_one_after_the_other_are_warned_of),
        TEST(test_a_bottleneck_in_the_load_is_warned_of),
        TEST(test_an_open_loop_that_falls_behind_is_warned_of),
        TEST(test_errors_and_partial_answers_are_warned_of),
        TEST(test_result_survives_its_file),
        TEST(test_notes_survive_the_file),
        TEST(test_files_of_another_kind_are_refused),
        TEST(test_every_missing_part_is_found),
        TEST(test_damaged_files_do_no_harm),
        TEST(test_counts_that_contradict_are_refused),
        TEST(test_short_form_has_its_keys),
        TEST(test_csv_adds_up_to_the_result),
        TEST(test_text_has_a_row_for_each_kind_and_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
