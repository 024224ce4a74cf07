#include <segment/catalogue.h>

#include <cluster/config.h>

#include "retail_yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct cluster_config *config;

static int setup(void **state)
{
    struct error err;
    (void)state;
    return cluster_config_parse("retail.yml", bytes_of_str(RETAIL_YAML), &config, &err) == ERR_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    cluster_config_close(config);
    return 0;
}

/* Defines in place of `*c`. */
static enum error_code define(struct catalogue **c, const char *name, const char *text,
                              struct error *err)
{
    struct catalogue *next = NULL;
    enum error_code rc =
        catalogue_define(*c, bytes_of_str(name), bytes_of_str(text), &config->schema, &next, err);
    if (rc == ERR_OK) {
        catalogue_drop(*c);
        *c = next;
    }
    return rc;
}

static enum error_code remove_one(struct catalogue **c, const char *name, struct error *err)
{
    struct catalogue *next = NULL;
    enum error_code rc = catalogue_remove(*c, bytes_of_str(name), &next, err);
    if (rc == ERR_OK) {
        catalogue_drop(*c);
        *c = next;
    }
    return rc;
}

static enum error_code check(const struct catalogue *c, const char *text, struct error *err)
{
    struct arena arena = {0};
    struct expr *e = NULL;
    assert_int_equal(expr_parse(bytes_of_str(text), &config->schema, &arena, &e, err), ERR_OK);
    enum error_code rc = catalogue_check(c, e, err);
    arena_close(&arena);
    return rc;
}

static void test_catalogue_each_change_is_the_next_version(void **state)
{
    (void)state;
    struct error err;
    struct catalogue *c = catalogue_new();
    assert_int_equal(c->version, 1);
    assert_int_equal(define(&c, "b", "tag(x)", &err), ERR_OK);
    assert_int_equal(define(&c, "a", "tag(y)", &err), ERR_OK);
    assert_int_equal(c->version, 3);
    assert_int_equal(define(&c, "a", "tag(y)", &err), ERR_OK);
    assert_int_equal(c->version, 3); /* nothing changed */
    assert_int_equal(define(&c, "a", "tag(z)", &err), ERR_OK);
    assert_int_equal(c->version, 4);
    assert_int_equal(c->n, 2);
    assert_true(bytes_equal(segment_name(c->entries[0].segment), bytes_of_str("a")));
    assert_true(bytes_equal(segment_text(c->entries[0].segment), bytes_of_str("tag(z)")));
    assert_int_equal(remove_one(&c, "b", &err), ERR_OK);
    assert_int_equal(c->version, 5);
    assert_int_equal(remove_one(&c, "b", &err), ERR_NOT_FOUND);
    assert_null(catalogue_find(c, bytes_of_str("b")));
    catalogue_drop(c);
}

static void test_catalogue_refuses_what_is_no_segment(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        enum error_code code;
        const char *says;
    } rows[] = {
        {"x", "tag(", ERR_SYNTAX, "column 5"},
        {"x", "nothing = 1", ERR_UNKNOWN_NAME, "column 1"},
        {"x", "tag(a) or segment(none)", ERR_UNKNOWN_NAME, "column 11: unknown saved segment"},
        {"x", "segment(x)", ERR_INVALID, "itself"},
        {"base", "segment(top)", ERR_INVALID, "circle"},
        {"base", "tag(a) and segment(middle)", ERR_INVALID, "column 12: this segment names"},
        {"", "true", ERR_INVALID, "1 to 64"},
        {"a\nb", "true", ERR_INVALID, "control"},
        {"\xff", "true", ERR_INVALID, "UTF-8"},
        {"0123456789012345678901234567890123456789012345678901234567890123x", "true", ERR_INVALID,
         "1 to 64"},
    };
    struct error err;
    struct catalogue *c = catalogue_new();
    assert_int_equal(define(&c, "base", "tag(a)", &err), ERR_OK);
    assert_int_equal(define(&c, "middle", "not segment(base)", &err), ERR_OK);
    assert_int_equal(define(&c, "top", "segment(middle) or tag(b)", &err), ERR_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(define(&c, rows[i].name, rows[i].text, &err), rows[i].code);
        if (!strstr(err.msg, rows[i].says))
            fail_msg("%s: %s", rows[i].text, err.msg);
    }
    assert_int_equal(remove_one(&c, "base", &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "middle"));
    assert_int_equal(c->version, 4);
    catalogue_drop(c);
}

static void test_catalogue_bounds_depth_also_from_beneath(void **state)
{
    (void)state;
    struct error err;
    char name[24], text[64];
    struct catalogue *c = catalogue_new();
    assert_int_equal(define(&c, "s1", "tag(a)", &err), ERR_OK);
    for (int i = 2; i <= CATALOGUE_DEPTH_MAX; i++) {
        (void)snprintf(name, sizeof name, "s%d", i);
        (void)snprintf(text, sizeof text, "segment(s%d)", i - 1);
        assert_int_equal(define(&c, name, text, &err), ERR_OK);
    }
    assert_int_equal(define(&c, "a", "segment(s16)", &err), ERR_TOO_LARGE);
    assert_int_equal(define(&c, "zz", "segment(s16)", &err), ERR_TOO_LARGE);
    assert_int_equal(define(&c, "low", "true", &err), ERR_OK);
    assert_int_equal(define(&c, "s1", "segment(low)", &err), ERR_TOO_LARGE);
    assert_int_equal(catalogue_find(c, bytes_of_str("s16"))->depth, CATALOGUE_DEPTH_MAX);
    catalogue_drop(c);
}

/* Each names the one before ten times: written out it would be 10^n terms. */
static void test_catalogue_bounds_what_it_is_when_written_out(void **state)
{
    (void)state;
    struct error err;
    struct catalogue *c = catalogue_new();
    assert_int_equal(define(&c, "s0", "tag(a)", &err), ERR_OK);
    enum error_code rc = ERR_OK;
    int i;
    for (i = 1; i < 10 && rc == ERR_OK; i++) {
        char name[8];
        struct buf text = {0};
        for (int k = 0; k < 10; k++) {
            char term[40];
            int n = snprintf(term, sizeof term, "%ssegment(s%d)", k ? " and " : "", i - 1);
            buf_put(&text, term, (size_t)n);
        }
        buf_put_u8(&text, '\0');
        (void)snprintf(name, sizeof name, "s%d", i);
        rc = define(&c, name, (const char *)text.data, &err);
        buf_free(&text);
    }
    assert_int_equal(rc, ERR_TOO_LARGE);
    assert_int_equal(i, 6);
    assert_int_equal(check(c, "segment(s4) and segment(s4)", &err), ERR_OK);
    assert_int_equal(check(c,
                           "segment(s4) or segment(s4) or segment(s4) or segment(s4) or "
                           "segment(s4)",
                           &err),
                     ERR_TOO_LARGE);
    catalogue_drop(c);
}

static void test_catalogue_bounds_the_number(void **state)
{
    (void)state;
    struct error err;
    struct catalogue *c = catalogue_new();
    struct catalogue_row rows[CATALOGUE_SEGMENTS_MAX];
    char names[CATALOGUE_SEGMENTS_MAX][8];
    for (int i = 0; i < CATALOGUE_SEGMENTS_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "s%d", i);
        rows[i] = (struct catalogue_row){bytes_of_str(names[i]), bytes_of_str("true")};
    }
    catalogue_drop(c);
    assert_int_equal(
        catalogue_of_rows(7, rows, CATALOGUE_SEGMENTS_MAX, &config->schema, NULL, &c, &err),
        ERR_OK);
    assert_int_equal(define(&c, "one-more", "true", &err), ERR_TOO_LARGE);
    assert_int_equal(define(&c, "s0", "false", &err), ERR_OK);
    catalogue_drop(c);
}

static void test_catalogue_portable_form_gives_the_same_again(void **state)
{
    (void)state;
    struct error err;
    struct catalogue *c = catalogue_new(), *again = NULL, *shared = NULL;
    assert_int_equal(define(&c, "高 价值", "tag(\"618 大促\")", &err), ERR_OK);
    assert_int_equal(define(&c, "b", "segment(\"高 价值\") and points > 3", &err), ERR_OK);
    struct buf out = {0}, back = {0};
    catalogue_encode(c, &out);
    assert_int_equal(catalogue_decode(buf_bytes(&out), &config->schema, NULL, &again, &err),
                     ERR_OK);
    assert_int_equal(catalogue_decode(buf_bytes(&out), &config->schema, c, &shared, &err), ERR_OK);
    assert_ptr_equal(shared->entries[0].segment, c->entries[0].segment);
    catalogue_encode(again, &back);
    assert_true(bytes_equal(buf_bytes(&out), buf_bytes(&back)));
    assert_int_equal(again->entries[0].nodes, c->entries[0].nodes);
    catalogue_drop(shared);
    catalogue_drop(again);
    for (size_t n = 0; n < out.len; n++) { /* cut short anywhere */
        struct catalogue *cut = NULL;
        assert_int_equal(catalogue_decode(bytes_of(out.data, n), &config->schema, NULL, &cut, &err),
                         ERR_MALFORMED);
        assert_null(cut);
    }
    buf_free(&out);
    buf_free(&back);
    catalogue_drop(c);
}

/* What another shard's schema took and this one's does not is kept, and nothing that leads to it
 * is answered. */
static void test_catalogue_keeps_what_does_not_fit(void **state)
{
    (void)state;
    struct error err;
    struct catalogue *c = NULL;
    struct catalogue_row rows[] = {
        {bytes_of_str("gone"), bytes_of_str("no_such_trait = 1")},
        {bytes_of_str("user"), bytes_of_str("tag(a) and segment(gone)")},
        {bytes_of_str("fine"), bytes_of_str("tag(a)")},
        {bytes_of_str("x"), bytes_of_str("segment(y)")},
        {bytes_of_str("y"), bytes_of_str("segment(x)")},
        {bytes_of_str("into"), bytes_of_str("segment(x)")},
    };
    assert_int_equal(
        catalogue_of_rows(3, rows, sizeof rows / sizeof *rows, &config->schema, NULL, &c, &err),
        ERR_OK);
    static const char *const BAD[] = {"gone", "user", "x", "y", "into"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        assert_int_not_equal(catalogue_find(c, bytes_of_str(BAD[i]))->code, ERR_OK);
        assert_null(catalogue_expr(c, bytes_of_str(BAD[i])));
    }
    assert_non_null(catalogue_expr(c, bytes_of_str("fine")));
    assert_int_equal(check(c, "segment(user)", &err), ERR_INVALID);
    assert_int_equal(define(&c, "gone", "tag(b)", &err), ERR_OK);
    assert_int_equal(check(c, "segment(user)", &err), ERR_OK);
    catalogue_drop(c);
}

static uint64_t digest(const struct catalogue *c, const char *text)
{
    struct arena arena = {0};
    struct expr *e = NULL;
    assert_int_equal(expr_parse(bytes_of_str(text), &config->schema, &arena, &e, NULL), ERR_OK);
    uint64_t d = catalogue_digest(c, e);
    arena_close(&arena);
    return d;
}

static void test_catalogue_digest_follows_the_meaning(void **state)
{
    (void)state;
    struct error err;
    struct catalogue *c = catalogue_new();
    assert_int_equal(define(&c, "low", "tag(a)", &err), ERR_OK);
    assert_int_equal(define(&c, "top", "segment(low) or tag(b)", &err), ERR_OK);
    assert_int_equal(define(&c, "other", "tag(c)", &err), ERR_OK);
    uint64_t was = digest(c, "segment(top)");
    assert_int_equal(define(&c, "other", "tag(d)", &err), ERR_OK);
    assert_true(digest(c, "segment(top)") == was);
    assert_int_equal(define(&c, "low", "tag(e)", &err), ERR_OK);
    assert_true(digest(c, "segment(top)") != was);
    assert_true(digest(c, "tag(a)") != digest(c, "tag(b)"));
    catalogue_drop(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_catalogue_each_change_is_the_next_version),
        cmocka_unit_test(test_catalogue_refuses_what_is_no_segment),
        cmocka_unit_test(test_catalogue_bounds_depth_also_from_beneath),
        cmocka_unit_test(test_catalogue_bounds_what_it_is_when_written_out),
        cmocka_unit_test(test_catalogue_bounds_the_number),
        cmocka_unit_test(test_catalogue_portable_form_gives_the_same_again),
        cmocka_unit_test(test_catalogue_keeps_what_does_not_fit),
        cmocka_unit_test(test_catalogue_digest_follows_the_meaning),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
