#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/hash.h>
#include <cluster/schema.h>

#include <stdio.h>
#include <string.h>

enum { MANY = 300 };

/* A schema with MANY of each kind, in an order that is not that of their ids. */
struct made {
    struct schema schema;
    struct arena arena;
    char names[MANY][16];
    struct schema_namespace namespaces[MANY];
    struct schema_trait traits[MANY];
    struct schema_event events[MANY];
};

static int setup(void **state)
{
    static struct made m;
    memset(&m, 0, sizeof m);
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(m.names[i], sizeof m.names[i], "name_%zu", i);
        struct bytes name = bytes_of_str(m.names[i]);
        m.namespaces[i].name = m.traits[i].name = m.events[i].name = m.names[i];
        m.namespaces[i].id = name_id_of(NAME_NAMESPACE, name);
        m.traits[i].id = name_id_of(NAME_TRAIT, name);
        m.events[i].id = name_id_of(NAME_EVENT, name);
    }
    m.schema = (struct schema){.namespaces = m.namespaces,
                               .n_namespaces = MANY,
                               .traits = m.traits,
                               .n_traits = MANY,
                               .events = m.events,
                               .n_events = MANY};
    *state = &m;
    return 0;
}

static int teardown(void **state)
{
    struct made *m = *state;
    arena_close(&m->arena);
    return 0;
}

static void expect_all_found(const struct made *m)
{
    const struct schema *s = &m->schema;
    for (size_t i = 0; i < MANY; i++) {
        struct bytes name = bytes_of_str(m->names[i]);
        assert_ptr_equal(schema_namespace_by_name(s, name), &m->namespaces[i]);
        assert_ptr_equal(schema_namespace_by_id(s, m->namespaces[i].id), &m->namespaces[i]);
        assert_ptr_equal(schema_trait_by_name(s, name), &m->traits[i]);
        assert_ptr_equal(schema_trait_by_id(s, m->traits[i].id), &m->traits[i]);
        assert_ptr_equal(schema_event_by_name(s, name), &m->events[i]);
        assert_ptr_equal(schema_event_by_id(s, m->events[i].id), &m->events[i]);
    }
}

static void expect_none_found(const struct schema *s, struct bytes name)
{
    assert_null(schema_namespace_by_name(s, name));
    assert_null(schema_trait_by_name(s, name));
    assert_null(schema_event_by_name(s, name));
    assert_null(schema_namespace_by_id(s, 0));
    assert_null(schema_trait_by_id(s, 0));
    assert_null(schema_event_by_id(s, UINT32_MAX));
}

static void test_schema_finds_all_with_and_without_tables(void **state)
{
    struct made *m = *state;
    expect_all_found(m);
    assert_true(schema_seal(&m->schema, &m->arena));
    expect_all_found(m);
}

static void test_schema_finds_nothing_else(void **state)
{
    struct made *m = *state;
    struct schema empty = {0};
    expect_none_found(&m->schema, bytes_of_str("name_300"));
    expect_none_found(&empty, bytes_of_str("name_1"));
    assert_true(schema_seal(&m->schema, &m->arena));
    assert_true(schema_seal(&empty, &m->arena));
    expect_none_found(&m->schema, bytes_of_str("name_300"));
    expect_none_found(&m->schema, bytes_of_str("NAME_1"));
    expect_none_found(&m->schema, bytes_of_str(""));
    expect_none_found(&m->schema, bytes_of(NULL, 0));
    expect_none_found(&empty, bytes_of_str("name_1"));
}

/* n262704 and n291528 have the same name_id as traits; only one of them is declared. */
static void test_schema_does_not_take_a_hash_for_a_name(void **state)
{
    (void)state;
    struct bytes declared = bytes_of_str("n262704"), other = bytes_of_str("n291528");
    struct schema_trait t = {.name = "n262704", .id = name_id_of(NAME_TRAIT, declared)};
    struct schema s = {.traits = &t, .n_traits = 1};
    assert_int_equal(name_id_of(NAME_TRAIT, other), t.id);
    assert_ptr_equal(schema_trait_by_name(&s, declared), &t);
    assert_null(schema_trait_by_name(&s, other));
}

static void test_schema_seal_needs_memory(void **state)
{
    struct made *m = *state;
    struct arena small;
    arena_init(&small, 64);
    assert_false(schema_seal(&m->schema, &small));
    arena_close(&small);
}

static void test_schema_finds_fields_by_name(void **state)
{
    (void)state;
    struct schema_event e = {.fields = {{.name = "amount"}, {.name = "kind"}}, .n_fields = 2};
    assert_ptr_equal(schema_field_by_name(&e, bytes_of_str("amount")), &e.fields[0]);
    assert_ptr_equal(schema_field_by_name(&e, bytes_of_str("kind")), &e.fields[1]);
    assert_null(schema_field_by_name(&e, bytes_of_str("kin")));
    assert_null(schema_field_by_name(&e, bytes_of_str("")));
}

/* Stored data depends on these numbers. */
static void test_name_id_is_the_hash_of_kind_and_name(void **state)
{
    (void)state;
    assert_int_equal(name_id_of(NAME_TRAIT, bytes_of_str("city")),
                     (name_id)hash64(bytes_of_str("\x02"
                                                  "city")));
    assert_int_equal(name_id_of(NAME_TRAIT, bytes_of_str("city")), 2939103866U);
    for (int a = NAME_NAMESPACE; a <= NAME_LEVEL; a++) {
        for (int b = a + 1; b <= NAME_LEVEL; b++)
            assert_true(name_id_of((enum name_kind)a, bytes_of_str("city")) !=
                        name_id_of((enum name_kind)b, bytes_of_str("city")));
    }
}

static void test_name_id_takes_names_of_any_length(void **state)
{
    (void)state;
    char name[100];
    memset(name, 'n', sizeof name);
    assert_true(name_id_of(NAME_TRAIT, bytes_of(name, 64)) !=
                name_id_of(NAME_TRAIT, bytes_of(name, 63)));
    assert_int_equal(name_id_of(NAME_TRAIT, bytes_of(name, 100)),
                     name_id_of(NAME_TRAIT, bytes_of(name, 64)));
    assert_true(name_id_of(NAME_TRAIT, bytes_of(NULL, 0)) != 0);
}

struct normal {
    enum normalize how;
    const char *raw;
    enum identity_verdict verdict;
    const char *value; /* with IDENTITY_OK */
};

/* Normalises within `ns` and checks that doing it once more changes nothing. */
static void expect_normal(const struct schema_namespace *ns, const struct normal *t)
{
    struct arena arena = {0};
    struct bytes v = bytes_of_str("untouched"), again;
    enum identity_verdict verdict = schema_normalize(ns, bytes_of_str(t->raw), &arena, &v);
    const char *expected = t->verdict == IDENTITY_OK ? t->value : "untouched";
    if (verdict != t->verdict || !bytes_equal(v, bytes_of_str(expected)))
        fail_msg("'%s' gave %d '%.*s'", t->raw, verdict, (int)v.len, (const char *)v.data);
    if (verdict == IDENTITY_OK) {
        assert_int_equal(schema_normalize(ns, v, &arena, &again), IDENTITY_OK);
        assert_true(bytes_equal(v, again));
    }
    arena_close(&arena);
}

static void test_normalize_table(void **state)
{
    (void)state;
    static const struct normal T[] = {
        {NORMALIZE_NONE, "Ab", IDENTITY_OK, "Ab"},
        {NORMALIZE_NONE, " \t\r\n\v\fA b \n", IDENTITY_OK, "A b"},
        {NORMALIZE_NONE, "　 　客户　", IDENTITY_OK, "客户"},
        {NORMALIZE_NONE, "", IDENTITY_EMPTY, NULL},
        {NORMALIZE_NONE, " 　 ", IDENTITY_EMPTY, NULL},
        {NORMALIZE_NONE, "a\xff", IDENTITY_NOT_UTF8, NULL},
        {NORMALIZE_NONE, "\xe3\x80", IDENTITY_NOT_UTF8, NULL},
        {NORMALIZE_LOWER, "AbZ", IDENTITY_OK, "abz"},
        {NORMALIZE_LOWER, "abz", IDENTITY_OK, "abz"},
        {NORMALIZE_LOWER, "[@`{", IDENTITY_OK, "[@`{"},
        {NORMALIZE_LOWER, "ÄB", IDENTITY_OK, "Äb"},
        {NORMALIZE_EMAIL, " Li.Lei@Example.COM ", IDENTITY_OK, "li.lei@example.com"},
        {NORMALIZE_EMAIL, "a@b", IDENTITY_OK, "a@b"},
        {NORMALIZE_EMAIL, "a", IDENTITY_BAD_FORM, NULL},
        {NORMALIZE_EMAIL, "@", IDENTITY_BAD_FORM, NULL},
        {NORMALIZE_EMAIL, "@b", IDENTITY_BAD_FORM, NULL},
        {NORMALIZE_EMAIL, "a@", IDENTITY_BAD_FORM, NULL},
        {NORMALIZE_EMAIL, "a@b@c", IDENTITY_BAD_FORM, NULL},
        {NORMALIZE_EMAIL, "a@@c", IDENTITY_BAD_FORM, NULL},
        {NORMALIZE_PHONE, "13800138000", IDENTITY_OK, "13800138000"},
        {NORMALIZE_PHONE, "+86 138-0013-8000", IDENTITY_OK, "13800138000"},
        {NORMALIZE_PHONE, "(+86)13800138000", IDENTITY_OK, "13800138000"},
        {NORMALIZE_PHONE, "0086 138 0013 8000", IDENTITY_OK, "13800138000"},
        {NORMALIZE_PHONE, "8613800138000", IDENTITY_OK, "13800138000"},
        {NORMALIZE_PHONE, "　138.0013.8000", IDENTITY_OK, "13800138000"},
        {NORMALIZE_PHONE, "8623800138000", IDENTITY_OK, "8623800138000"},
        {NORMALIZE_PHONE, "861380013800", IDENTITY_OK, "861380013800"},
        {NORMALIZE_PHONE, "86138001380001", IDENTITY_OK, "86138001380001"},
        {NORMALIZE_PHONE, "+1 (415) 555-2671", IDENTITY_OK, "14155552671"},
        {NORMALIZE_PHONE, "021-62345678", IDENTITY_OK, "02162345678"},
        {NORMALIZE_PHONE, "000012345", IDENTITY_OK, "12345"},
        {NORMALIZE_PHONE, "12345", IDENTITY_OK, "12345"},
        {NORMALIZE_PHONE, "1234", IDENTITY_BAD_FORM, NULL},
        {NORMALIZE_PHONE, "001234", IDENTITY_BAD_FORM, NULL},
        {NORMALIZE_PHONE, "123456789012345", IDENTITY_OK, "123456789012345"},
        {NORMALIZE_PHONE, "1234567890123456", IDENTITY_BAD_FORM, NULL},
        {NORMALIZE_PHONE, "138001380a0", IDENTITY_BAD_FORM, NULL},
        {NORMALIZE_PHONE, "138+00138000", IDENTITY_BAD_FORM, NULL},
        {NORMALIZE_PHONE, "++8613800138000", IDENTITY_BAD_FORM, NULL},
        {NORMALIZE_PHONE, "１３８００１３８０００", IDENTITY_BAD_FORM, NULL},
        {NORMALIZE_PHONE, "+", IDENTITY_BAD_FORM, NULL},
        {NORMALIZE_PHONE, "(...)", IDENTITY_BAD_FORM, NULL},
    };
    for (size_t i = 0; i < sizeof T / sizeof *T; i++) {
        struct schema_namespace ns = {.normalize = T[i].how};
        expect_normal(&ns, &T[i]);
    }
}

static void test_normalize_blocks_placeholders_everywhere(void **state)
{
    (void)state;
    static const char *const BLOCKED[] = {
        "empty", "null", "none", "nil",  "undefined", "unknown", "anonymous",
        "guest", "n/a",  "na",   "nan",  "-",         "0000",    "00000000000",
        "----",  "xxxx", "XxXx", "****", " NULL ",    "Guest",   "　Unknown　"};
    for (size_t i = 0; i < sizeof BLOCKED / sizeof *BLOCKED; i++) {
        for (int how = NORMALIZE_NONE; how <= NORMALIZE_EMAIL; how++) {
            struct schema_namespace ns = {.normalize = (enum normalize)how};
            struct normal t = {.raw = BLOCKED[i], .verdict = IDENTITY_BLOCKED};
            expect_normal(&ns, &t);
        }
    }
}

static void test_normalize_does_not_block_what_only_resembles(void **state)
{
    (void)state;
    static const char *const FINE[] = {"000",   "xxx", "0001",     "0x0x", "1111", "aaaa",
                                       "nulls", "--",  "not null", "n",    "**-*"};
    for (size_t i = 0; i < sizeof FINE / sizeof *FINE; i++) {
        struct schema_namespace ns = {.normalize = NORMALIZE_NONE};
        struct normal t = {.raw = FINE[i], .verdict = IDENTITY_OK, .value = FINE[i]};
        expect_normal(&ns, &t);
    }
}

static void test_normalize_blocks_placeholders_in_another_writing(void **state)
{
    (void)state;
    struct schema_namespace ns = {.normalize = NORMALIZE_PHONE};
    struct normal t = {.raw = "+0000 0000-0000", .verdict = IDENTITY_BLOCKED};
    expect_normal(&ns, &t);
    t = (struct normal){.raw = "(0) 000000", .verdict = IDENTITY_BLOCKED};
    expect_normal(&ns, &t);
}

static void test_normalize_blocks_the_namespaces_own_values(void **state)
{
    (void)state;
    struct bytes block[] = {bytes_of_str("13800000000"), bytes_of_str("test")};
    struct schema_namespace phone = {.normalize = NORMALIZE_PHONE, .block = block, .n_block = 2};
    struct schema_namespace member = {.block = block, .n_block = 2};
    const struct normal of_phone[] = {
        {.raw = "13800000000", .verdict = IDENTITY_BLOCKED},
        {.raw = "+86 138 0000 0000", .verdict = IDENTITY_BLOCKED},
        {.raw = "13800000001", .verdict = IDENTITY_OK, .value = "13800000001"}};
    const struct normal of_member[] = {{.raw = " TesT", .verdict = IDENTITY_BLOCKED},
                                       {.raw = "test1", .verdict = IDENTITY_OK, .value = "test1"},
                                       {.raw = "tes", .verdict = IDENTITY_OK, .value = "tes"}};
    for (size_t i = 0; i < 3; i++) {
        expect_normal(&phone, &of_phone[i]);
        expect_normal(&member, &of_member[i]);
    }
}

static void test_normalize_bounds_the_length(void **state)
{
    (void)state;
    char text[IDENTITY_VALUE_MAX + 3];
    struct schema_namespace ns = {.normalize = NORMALIZE_NONE};
    memset(text, 'a', sizeof text);
    text[0] = ' ';
    text[IDENTITY_VALUE_MAX + 1] = ' ';
    text[IDENTITY_VALUE_MAX + 2] = '\0';
    struct arena arena = {0};
    struct bytes v;
    assert_int_equal(schema_normalize(&ns, bytes_of_str(text), &arena, &v), IDENTITY_OK);
    assert_int_equal(v.len, IDENTITY_VALUE_MAX);
    text[IDENTITY_VALUE_MAX + 1] = 'a';
    assert_int_equal(schema_normalize(&ns, bytes_of_str(text), &arena, &v), IDENTITY_TOO_LONG);
    memset(text, '1', sizeof text);
    ns.normalize = NORMALIZE_PHONE;
    assert_int_equal(schema_normalize(&ns, bytes_of(text, IDENTITY_VALUE_MAX), &arena, &v),
                     IDENTITY_BAD_FORM);
    arena_close(&arena);
}

static void test_normalize_without_room_for_the_result(void **state)
{
    (void)state;
    struct arena full;
    struct bytes v;
    arena_init(&full, 1);
    struct schema_namespace ns = {.normalize = NORMALIZE_LOWER};
    assert_int_equal(schema_normalize(&ns, bytes_of_str("AB"), &full, &v), IDENTITY_TOO_LONG);
    /* What is normal already borrows. */
    assert_int_equal(schema_normalize(&ns, bytes_of_str("ab"), &full, &v), IDENTITY_OK);
    ns.normalize = NORMALIZE_PHONE;
    assert_int_equal(schema_normalize(&ns, bytes_of_str("+12345"), &full, &v), IDENTITY_TOO_LONG);
    arena_close(&full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_schema_finds_all_with_and_without_tables, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_schema_finds_nothing_else, setup, teardown),
        cmocka_unit_test(test_schema_does_not_take_a_hash_for_a_name),
        cmocka_unit_test_setup_teardown(test_schema_seal_needs_memory, setup, teardown),
        cmocka_unit_test(test_schema_finds_fields_by_name),
        cmocka_unit_test(test_name_id_is_the_hash_of_kind_and_name),
        cmocka_unit_test(test_name_id_takes_names_of_any_length),
        cmocka_unit_test(test_normalize_table),
        cmocka_unit_test(test_normalize_blocks_placeholders_everywhere),
        cmocka_unit_test(test_normalize_does_not_block_what_only_resembles),
        cmocka_unit_test(test_normalize_blocks_placeholders_in_another_writing),
        cmocka_unit_test(test_normalize_blocks_the_namespaces_own_values),
        cmocka_unit_test(test_normalize_bounds_the_length),
        cmocka_unit_test(test_normalize_without_room_for_the_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
