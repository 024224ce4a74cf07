#include <json/event_line.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct world {
    struct event_line *reader;
    struct complaint complaint;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->reader = event_line_new();
    *state = w;
    return w->reader ? 0 : -1;
}

static int teardown(void **state)
{
    struct world *w = *state;
    event_line_free(w->reader);
    free(w);
    return 0;
}

static const struct oneid_event *read_text(struct world *w, const char *text)
{
    return event_line_read(w->reader, bytes_of_str(text), &w->complaint);
}

static void assert_str(struct oneid_str s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.data, expected, s.len);
}

static void test_line_with_everything_becomes_an_event(void **state)
{
    struct world *w = *state;
    const struct oneid_event *e = read_text(
        w, "{\"message_id\":\"m1\",\"ts\":1700000000123,\"source\":\"tmall\","
           "\"ids\":{\"phone\":\"13800138000\",\"openid\":[\"o1\",\"o2\"]},"
           "\"traits\":{\"city\":\"上海\",\"birth\":null,\"year\":1990,\"h\":1.5,\"s\":[\"a\"]},"
           "\"tags\":{\"add\":[\"vip\"],\"remove\":[\"new\",\"x\"]},\"add\":{\"points\":120},"
           "\"event\":{\"name\":\"order\",\"amount\":99.5,\"category\":\"奶粉\",\"n\":null}} \r");
    assert_non_null(e);
    assert_str(e->message_id, "m1");
    assert_int_equal(e->ts_ms, 1700000000123);
    assert_str(e->source, "tmall");
    assert_int_equal(e->n_ids, 3);
    assert_string_equal(e->ids[0].ns, "phone");
    assert_str(e->ids[0].value, "13800138000");
    assert_string_equal(e->ids[2].ns, "openid");
    assert_str(e->ids[2].value, "o2");
    assert_int_equal(e->n_traits, 5);
    assert_int_equal(e->traits[0].type, ONEID_TEXT);
    assert_str(e->traits[0].text, "上海");
    assert_int_equal(e->traits[1].type, ONEID_NULL);
    assert_int_equal(e->traits[2].type, ONEID_INTEGER);
    assert_int_equal(e->traits[2].integer, 1990);
    assert_int_equal(e->traits[3].type, ONEID_REAL);
    assert_true(e->traits[3].real == 1.5);
    assert_int_equal(e->traits[4].type, ONEID_LIST);
    assert_str(e->traits[4].list[0], "a");
    assert_int_equal(e->n_tags_add, 1);
    assert_int_equal(e->n_tags_remove, 2);
    assert_str(e->tags_remove[1], "x");
    assert_int_equal(e->n_adds, 1);
    assert_string_equal(e->adds[0].name, "points");
    assert_int_equal(e->adds[0].integer, 120);
    assert_string_equal(e->name, "order");
    assert_int_equal(e->n_fields, 2);
    assert_string_equal(e->fields[0].name, "amount");
    assert_str(e->fields[1].text, "奶粉");
}

static void test_numbers_as_identities_are_their_decimal_text(void **state)
{
    struct world *w = *state;
    const struct oneid_event *e = read_text(
        w, "{\"message_id\":\"m\",\"ids\":{\"customer\":[17850,-3],\"phone\":13800138000}}");
    assert_non_null(e);
    assert_int_equal(e->n_ids, 3);
    assert_str(e->ids[0].value, "17850");
    assert_str(e->ids[1].value, "-3");
    assert_str(e->ids[2].value, "13800138000");
}

static void test_plain_list_of_tags_adds_them(void **state)
{
    struct world *w = *state;
    const struct oneid_event *e =
        read_text(w, "{\"message_id\":\"m\",\"ids\":{\"a\":\"b\"},\"tags\":[\"x\",\"y\"]}");
    assert_non_null(e);
    assert_int_equal(e->n_tags_add, 2);
    assert_int_equal(e->n_tags_remove, 0);
}

static void test_whole_number_with_a_point_can_be_added(void **state)
{
    struct world *w = *state;
    const struct oneid_event *e =
        read_text(w, "{\"message_id\":\"m\",\"ids\":{\"a\":\"b\"},\"add\":{\"p\":-3.0,\"q\":1e3}}");
    assert_non_null(e);
    assert_int_equal(e->adds[0].type, ONEID_INTEGER);
    assert_int_equal(e->adds[0].integer, -3);
    assert_int_equal(e->adds[1].integer, 1000);
}

struct bad_line {
    const char *text, *reason;
};

#define HEAD "{\"message_id\":\"m\",\"ids\":{\"a\":\"secret\"},"

static void test_bad_lines_say_what_is_wrong_without_values(void **state)
{
    struct world *w = *state;
    static const struct bad_line LINES[] = {
        {"", "ends too early"},
        {"{\"message_id\":\"m\",\"ids\":{\"a\":\"secret\"}", "ends too early"},
        {"secret", "not JSON"},
        {"[1]", "a JSON object is expected"},
        {"{\"message_id\":\"m\",\"ids\":{\"a\":\"secret\"}} x", "something follows"},
        {"{\"message_id\":\"m\"}", "at least one identity"},
        {"{\"message_id\":\"m\",\"ids\":{}}", "at least one identity"},
        {"{\"message_id\":\"m\",\"ids\":{\"a\":[]}}", "at least one identity"},
        {"{\"ids\":{\"a\":\"secret\"}}", "message_id is missing"},
        {"{\"message_id\":\"\",\"ids\":{\"a\":\"secret\"}}", "message_id is missing"},
        {"{\"message_id\":7,\"ids\":{\"a\":\"secret\"}}", "message_id: a text"},
        {HEAD "\"message_id\":\"n\"}", "twice"},
        {HEAD "\"colour\":1}", "unknown key 'colour'"},
        {HEAD "\"co\\nl\xE4\xB8\x8A\":1}", "unknown key 'co?l"},
        {HEAD "\"source\":null}", "source: a text"},
        {HEAD "\"ts\":\"yesterday\"}", "ts: milliseconds"},
        {HEAD "\"ts\":1.5}", "ts: milliseconds"},
        {HEAD "\"ts\":0}", "ts: milliseconds"},
        {HEAD "\"ts\":99999999999999999999}", "too great"},
        {HEAD "\"traits\":[]}", "traits: an object"},
        {HEAD "\"traits\":{\"t\":true}}", "traits.t: a text"},
        {HEAD "\"traits\":{\"t\":{}}}", "traits.t: a text"},
        {HEAD "\"traits\":{\"t\":[1]}}", "traits.t: a list of texts"},
        {HEAD "\"traits\":{\"t\":1,\"t\":2}}", "twice"},
        {HEAD "\"tags\":\"x\"}", "tags: a list"},
        {HEAD "\"tags\":{\"put\":[\"x\"]}}", "tags: unknown key 'put'"},
        {HEAD "\"tags\":{\"remove\":[1]}}", "tags.remove: a list"},
        {HEAD "\"add\":{\"p\":1.5}}", "add.p: a whole number"},
        {HEAD "\"add\":{\"p\":\"1\"}}", "add.p: a whole number"},
        {HEAD "\"add\":[1]}", "add: an object"},
        {HEAD "\"event\":\"order\"}", "event: an object with a name"},
        {HEAD "\"event\":{\"amount\":1}}", "event: an object with a name"},
        {HEAD "\"event\":{\"name\":\"\"}}", "event: an object with a name"},
        {HEAD "\"event\":{\"name\":\"o\",\"x\":[\"secret\"]}}", "event.x: a text or a number"},
        {"{\"message_id\":\"m\",\"ids\":{\"a\":true}}", "ids.a: a text"},
        {"{\"message_id\":\"m\",\"ids\":{\"a\":null}}", "ids.a: a text"},
        {"{\"message_id\":\"m\",\"ids\":{\"a\":1.5}}", "ids.a: a text"},
        {"{\"message_id\":\"m\",\"ids\":{\"a\":[[\"secret\"]]}}", "ids.a: a text"},
        {"{\"message_id\":\"m\",\"ids\":\"secret\"}", "ids: an object"},
        {"{\"message_id\":\"m\",\"ids\":{\"a\":\"\xFF\xFE\"}}", "not UTF-8"},
        {"{\"message_id\":\"m\",\"ids\":{\"a\":\"secret\\u0000\"}}", "NUL"},
    };
    for (size_t i = 0; i < sizeof LINES / sizeof LINES[0]; i++) {
        if (read_text(w, LINES[i].text))
            fail_msg("taken: %s", LINES[i].text);
        if (!strstr(w->complaint.reason, LINES[i].reason))
            fail_msg("%s: %s", LINES[i].text, w->complaint.reason);
        assert_null(strstr(w->complaint.reason, "secret"));
    }
}

static void test_broken_json_names_the_column(void **state)
{
    struct world *w = *state;
    assert_null(read_text(w, "{\"message_id\" \"m\"}"));
    assert_int_equal(w->complaint.column, 17); /* the end of the word that should not be there */
    assert_null(read_text(w, HEAD "\"colour\":1}"));
    assert_int_equal(w->complaint.column, 0);
}

static void test_deep_nesting_is_refused(void **state)
{
    struct world *w = *state;
    enum { DEEP = 30000 };
    static uint8_t line[DEEP];
    memset(line, '[', sizeof line);
    assert_null(event_line_read(w->reader, bytes_of(line, sizeof line), &w->complaint));
    assert_non_null(strstr(w->complaint.reason, "deep"));
}

static void test_reader_goes_on_after_a_bad_line(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 3; i++) {
        assert_null(read_text(w, "{\"message_id\":"));
        const struct oneid_event *e = read_text(w, "{\"message_id\":\"m\",\"ids\":{\"a\":\"b\"}}");
        assert_non_null(e);
        assert_int_equal(e->n_ids, 1);
        assert_string_equal(w->complaint.reason, "");
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_line_with_everything_becomes_an_event),
        T(test_numbers_as_identities_are_their_decimal_text),
        T(test_plain_list_of_tags_adds_them),
        T(test_whole_number_with_a_point_can_be_added),
        T(test_bad_lines_say_what_is_wrong_without_values),
        T(test_broken_json_names_the_column),
        T(test_deep_nesting_is_refused),
        T(test_reader_goes_on_after_a_bad_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
