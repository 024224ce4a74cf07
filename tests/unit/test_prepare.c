#include <prepare/prepare.h>

#include <cluster/config.h>
#include <proto/facts.h>

#include "retail_yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NOW = 1700000000 };
static const msec_t NOW_MS = (msec_t)NOW * 1000;

static struct cluster_config *config;
static struct arena arena;

static int setup(void **state)
{
    (void)state;
    struct error err;
    (void)clock_set_timezone("Asia/Shanghai");
    return cluster_config_parse("retail.yml", bytes_of_str(RETAIL_YAML), &config, &err) == ERR_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    arena_close(&arena);
    cluster_config_close(config);
    return 0;
}

static struct bytes str(const char *s)
{
    return bytes_of_str(s);
}

static enum error_code prepare(const struct event_message *e, struct saga_ingest *out,
                               struct error *err)
{
    return prepare_event(e, &config->schema, NOW_MS, &arena, out, err);
}

static name_id ns_id(const char *name)
{
    return schema_namespace_by_name(&config->schema, str(name))->id;
}

static void test_prepare_orders_identities_strongest_first(void **state)
{
    (void)state;
    struct named_identity ids[] = {{str("device"), str("d1")},
                                   {str("openid"), str("o1")},
                                   {str("phone"), str("+86 138-0013-8000")},
                                   {str("openid"), str("o1")},
                                   {str("phone"), str("anonymous")}};
    struct event_message e = {.message_id = str("m"), .ids = ids, .n_ids = 5};
    struct saga_ingest in;
    struct error err;
    assert_int_equal(prepare(&e, &in, &err), ERR_OK);
    assert_int_equal(in.n_ids, 3);
    assert_int_equal(in.n_bridging, 2);
    assert_int_equal(in.ids[0].ns, ns_id("phone"));
    assert_true(bytes_equal(in.ids[0].value, str("13800138000")));
    assert_int_equal(in.ids[1].ns, ns_id("openid"));
    assert_int_equal(in.ids[2].ns, ns_id("device"));
    assert_int_equal(in.n_skips, 1);
    assert_int_equal(in.skips[0].reason, REFUSAL_BLOCKED);
    assert_int_equal(in.ts, NOW_MS);
}

static void test_prepare_makes_canonical_facts(void **state)
{
    (void)state;
    struct named_identity id = {str("openid"), str("o1")};
    struct named_value traits[] = {{.name = str("city"), .type = VALUE_TEXT, .text = str("上海")},
                                   {.name = str("birth"), .type = VALUE_NULL},
                                   {.name = str("score"), .type = VALUE_REAL, .real = 1.5}};
    struct named_value add = {.name = str("points"), .type = VALUE_INTEGER, .integer = -7};
    struct bytes on[] = {str("vip")}, off[] = {str("new")};
    struct named_value fields[] = {{.name = str("category"), .type = VALUE_TEXT, .text = str("x")},
                                   {.name = str("amount"), .type = VALUE_REAL, .real = 99.5}};
    struct event_message e = {.message_id = str("m"),
                              .ts = 5000,
                              .source = str("crm"),
                              .ids = &id,
                              .n_ids = 1,
                              .traits = traits,
                              .n_traits = 3,
                              .adds = &add,
                              .n_adds = 1,
                              .tags_add = on,
                              .n_tags_add = 1,
                              .tags_remove = off,
                              .n_tags_remove = 1,
                              .event = str("order"),
                              .fields = fields,
                              .n_fields = 2};
    struct saga_ingest in;
    struct error err;
    assert_int_equal(prepare(&e, &in, &err), ERR_OK);
    assert_true(facts_check(in.facts));
    struct fact f;
    const struct schema_trait *points = schema_trait_by_name(&config->schema, str("points"));
    assert_true(facts_find(in.facts, FACT_SUM, points->id, bytes_of(NULL, 0), &f));
    assert_int_equal(f.number, -7);
    assert_true(facts_find(in.facts, FACT_TAG, 0, str("new"), &f));
    assert_int_equal(f.number, 0);
    uint8_t best = 0;
    const struct schema_trait *birth = schema_trait_by_name(&config->schema, str("birth"));
    assert_true(facts_find(in.facts, FACT_SOURCE, birth->id, bytes_of(&best, 1), &f));
    assert_int_equal(f.type, FACT_NULL);
    struct behaviour b;
    assert_true(behaviour_decode(in.behaviour, &b));
    assert_int_equal(b.day, 0);
    assert_int_equal(b.n_fields, 2);
    assert_true(b.fields[0].id < b.fields[1].id);
}

struct bad {
    struct named_value trait, add, field;
    const char *ns, *value, *message_id, *event, *says;
    msec_t ts;
    enum error_code code;
};

static void test_prepare_refuses_with_what_was_expected(void **state)
{
    (void)state;
    static const uint8_t not_utf8[] = {0xFF, 0xFE};
    const struct named_value none = {0};
    struct bad rows[] = {
        {none, none, none, "fax", "1", "m", "", "unknown namespace 'fax'", 0, ERR_UNKNOWN_NAME},
        {none, none, none, "openid", "null", "m", "", "none of the 1", 0, ERR_NO_IDENTITY},
        {none, none, none, "openid", "o", "", "", "message_id", 0, ERR_INVALID},
        {none, none, none, "openid", "o", "m", "", "ts: expected", NOW_MS + 2 * MSEC_PER_DAY,
         ERR_INVALID},
        {none, none, none, "openid", "o", "m", "fly", "unknown event 'fly'", 0, ERR_UNKNOWN_NAME},
        {{.name = str("citi"), .type = VALUE_NULL},
         none,
         none,
         "openid",
         "o",
         "m",
         "",
         "unknown trait 'citi'",
         0,
         ERR_UNKNOWN_NAME},
        {{.name = str("city"), .type = VALUE_INTEGER},
         none,
         none,
         "openid",
         "o",
         "m",
         "",
         "'city' expects a text",
         0,
         ERR_INVALID},
        {{.name = str("city"), .type = VALUE_TEXT, .text = bytes_of(not_utf8, 2)},
         none,
         none,
         "openid",
         "o",
         "m",
         "",
         "'city' expects a text",
         0,
         ERR_INVALID},
        {{.name = str("birth"), .type = VALUE_TEXT, .text = str("2020-02-30")},
         none,
         none,
         "openid",
         "o",
         "m",
         "",
         "'birth' expects a date",
         0,
         ERR_INVALID},
        {{.name = str("score"), .type = VALUE_TEXT, .text = str("1")},
         none,
         none,
         "openid",
         "o",
         "m",
         "",
         "'score' expects a number",
         0,
         ERR_INVALID},
        {{.name = str("points"), .type = VALUE_INTEGER},
         none,
         none,
         "openid",
         "o",
         "m",
         "",
         "by \"add\"",
         0,
         ERR_INVALID},
        {{.name = str("interests"), .type = VALUE_NULL},
         none,
         none,
         "openid",
         "o",
         "m",
         "",
         "cannot be removed by null",
         0,
         ERR_INVALID},
        {none,
         {.name = str("city"), .type = VALUE_INTEGER},
         none,
         "openid",
         "o",
         "m",
         "",
         "is not a counter",
         0,
         ERR_INVALID},
        {none,
         {.name = str("points"), .type = VALUE_REAL, .real = 1.5},
         none,
         "openid",
         "o",
         "m",
         "",
         "a whole number",
         0,
         ERR_INVALID},
        {none,
         none,
         {.name = str("size"), .type = VALUE_NULL},
         "openid",
         "o",
         "m",
         "order",
         "no field 'size'",
         0,
         ERR_UNKNOWN_NAME},
        {none,
         none,
         {.name = str("amount"), .type = VALUE_TEXT},
         "openid",
         "o",
         "m",
         "order",
         "'amount' expects a number",
         0,
         ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bad *b = &rows[i];
        struct named_identity id = {str(b->ns), str(b->value)};
        struct event_message e = {.message_id = str(b->message_id),
                                  .ts = b->ts,
                                  .ids = &id,
                                  .n_ids = 1,
                                  .traits = &b->trait,
                                  .n_traits = b->trait.name.len > 0,
                                  .adds = &b->add,
                                  .n_adds = b->add.name.len > 0,
                                  .event = str(b->event),
                                  .fields = &b->field,
                                  .n_fields = b->field.name.len > 0};
        struct saga_ingest in;
        struct error err = {0};
        assert_int_equal(prepare(&e, &in, &err), b->code);
        if (!strstr(err.msg, b->says))
            fail_msg("row %zu: '%s' does not say '%s'", i, err.msg, b->says);
    }
    struct event_message nobody = {.message_id = str("m")};
    struct saga_ingest in;
    struct error err;
    assert_int_equal(prepare(&nobody, &in, &err), ERR_NO_IDENTITY);
}

static void test_prepare_identity_says_why_not(void **state)
{
    (void)state;
    struct identity out;
    struct error err;
    struct named_identity good = {str("phone"), str("138 0013 8000")};
    assert_int_equal(prepare_identity(&good, &config->schema, &arena, &out, &err), ERR_OK);
    assert_true(bytes_equal(out.value, str("13800138000")));
    struct named_identity blocked = {str("openid"), str("0000")};
    assert_int_equal(prepare_identity(&blocked, &config->schema, &arena, &out, &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "blocked"));
    struct named_identity form = {str("phone"), str("abc")};
    assert_int_equal(prepare_identity(&form, &config->schema, &arena, &out, &err), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prepare_orders_identities_strongest_first),
        cmocka_unit_test(test_prepare_makes_canonical_facts),
        cmocka_unit_test(test_prepare_refuses_with_what_was_expected),
        cmocka_unit_test(test_prepare_identity_says_why_not),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
