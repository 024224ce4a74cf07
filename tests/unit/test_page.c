/* The page of results: stands alone, and nothing of what it shows can become markup. */
#include "load_rig.h"

#include <load/page.h>

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char hostile[] = "</script><script>alert(1)</script><!--\"'&{{page.js}}";

static char *page_of(const struct result *results, const char *const *names, unsigned n)
{
    struct error err = {0};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    if (page_write(results, names, n, out, &err))
        fail_msg("%s", err.msg);
    fclose(out);
    return text;
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        n++;
    return n;
}

/* Four of ours: data, library, page; styles are no scripts. */
static void assert_well_formed(const char *page)
{
    static const char *const elements[] = {"html", "head", "body", "main", "title", "noscript"};
    assert_memory_equal(page, "<!doctype html>\n", 16);
    for (unsigned i = 0; i < sizeof elements / sizeof elements[0]; i++) {
        char open[16], close[16];
        snprintf(open, sizeof open, "<%s", elements[i]);
        snprintf(close, sizeof close, "</%s>", elements[i]);
        assert_true(count(page, open) >= 1);
        assert_int_equal(count(page, close), 1);
    }
    assert_int_equal(count(page, "</script>"), 3);
    assert_int_equal(count(page, "<script"), 3);
    assert_int_equal(count(page, "</style>"), 2);
    assert_null(strstr(page, "{{"));
}

/* Nothing is fetched: no addresses but in the library's own comment, and a policy that forbids. */
static void assert_alone(const char *page)
{
    static const char *const fetches[] = {" src=",  " href=",         "url(",   "@import",
                                          "fetch(", "XMLHttpRequest", "import("};
    for (unsigned i = 0; i < sizeof fetches / sizeof fetches[0]; i++)
        if (strstr(page, fetches[i]))
            fail_msg("the page has %s", fetches[i]);
    assert_non_null(strstr(page, "default-src 'none'"));
}

/* The library's licence asks to go where the library goes. */
static void assert_licensed(const char *page)
{
    const char *notice = strstr(page, "The MIT License");
    assert_non_null(notice);
    assert_true(notice < strstr(page, "uPlot="));
}

static json_t *data_of(const char *page)
{
    const char *mark = "<script type=\"application/json\" id=\"data\">";
    const char *from = strstr(page, mark);
    assert_non_null(from);
    from += strlen(mark);
    const char *end = strstr(from, "</script>");
    assert_non_null(end);
    json_t *doc = json_loadb(from, (size_t)(end - from), 0, NULL);
    assert_non_null(doc);
    return doc;
}

static void test_page_stands_alone(void **state)
{
    (void)state;
    struct result r;
    const char *name = "run.json";
    rig_result(&r, 1, 5, 1000);
    char *page = page_of(&r, &name, 1);
    assert_well_formed(page);
    assert_alone(page);
    assert_licensed(page);
    free(page);
    result_close(&r);
}

static void test_texts_cannot_become_markup(void **state)
{
    (void)state;
    struct result r;
    const char *name = hostile;
    rig_result(&r, 1, 5, 1000);
    snprintf(r.mix, sizeof r.mix, "%s", hostile);
    snprintf(r.host.cpu, sizeof r.host.cpu, "%s", hostile);
    free(r.line);
    r.line = strdup(hostile);
    char *page = page_of(&r, &name, 1);
    assert_int_equal(count(page, "</script>"), 3);
    assert_int_equal(count(page, "alert(1)"), 4);
    assert_null(strstr(page, "<script>alert"));
    json_t *doc = data_of(page);
    json_t *first = json_array_get(doc, 0);
    assert_string_equal(json_string_value(json_object_get(first, "name")), hostile);
    assert_string_equal(json_string_value(json_object_get(first, "line")), hostile);
    json_decref(doc);
    free(page);
    result_close(&r);
}

static json_t *kind_of(json_t *result, const char *kind)
{
    size_t i;
    json_t *k;
    json_array_foreach(json_object_get(result, "kinds"), i, k)
    {
        if (strcmp(json_string_value(json_object_get(k, "kind")), kind) == 0)
            return k;
    }
    return NULL;
}

/* What is drawn is what was measured, of each result under its name. */
static void test_data_is_that_of_the_results(void **state)
{
    (void)state;
    struct result r[2];
    const char *const names[] = {"a.json", "b.json"};
    rig_result(&r[0], 1, 5, 1000);
    rig_result(&r[1], 2, 7, 1000);
    char *page = page_of(r, names, 2);
    json_t *doc = data_of(page);
    assert_int_equal(json_array_size(doc), 2);
    for (unsigned i = 0; i < 2; i++) {
        json_t *got = json_array_get(doc, i), *get = kind_of(got, "get");
        const struct tally *t = &r[i].measure.kinds[OP_GET];
        assert_string_equal(json_string_value(json_object_get(got, "name")), names[i]);
        assert_int_equal(json_array_size(json_object_get(got, "series")), i ? 7 : 5);
        assert_non_null(get);
        assert_int_equal(json_integer_value(json_object_get(get, "requests")), t->answered);
        assert_int_equal(json_integer_value(json_object_get(get, "p99")),
                         histogram_quantile(&t->latency_us, 0.99));
        assert_int_equal(json_array_size(json_object_get(get, "curve")) % 2, 0);
        assert_non_null(kind_of(got, "all"));
        assert_null(kind_of(got, "resolve"));
    }
    json_decref(doc);
    free(page);
    result_close(&r[0]);
    result_close(&r[1]);
}

/* Built where npm was missing: the page is refused, and says what is. */
static void test_page_without_its_library_is_refused(void **state)
{
    (void)state;
    struct result r;
    struct error err = {0};
    const char *name = "run.json";
    rig_result(&r, 1, 2, 1000);
    assert_int_equal(page_write(&r, &name, 1, stdout, &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "npm"));
    result_close(&r);
}

int main(void)
{
    struct error err = {0};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_stands_alone),
        cmocka_unit_test(test_texts_cannot_become_markup),
        cmocka_unit_test(test_data_is_that_of_the_results),
    };
    const struct CMUnitTest without[] = {
        cmocka_unit_test(test_page_without_its_library_is_refused),
    };
    if (page_check(&err))
        return cmocka_run_group_tests(without, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
