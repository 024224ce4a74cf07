#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cluster/slot.h>

#include <string.h>

static struct identity identity(enum name_kind kind, const char *ns, const char *value)
{
    return (struct identity){name_id_of(kind, bytes_of_str(ns)), bytes_of_str(value)};
}

/* Stored data depends on these numbers: a change of them loses every profile. */
static void test_slot_of_identity_is_frozen(void **state)
{
    (void)state;
    struct identity phone = identity(NAME_NAMESPACE, "phone", "13800138000");
    assert_int_equal(phone.ns, 0x87E4DF68);
    assert_int_equal(identity_hash(phone), UINT64_C(0x158C0291BA301036));
    assert_int_equal(slot_of_identity(phone), 4150);
}

static void test_slot_depends_on_namespace_and_value(void **state)
{
    (void)state;
    struct identity a = identity(NAME_NAMESPACE, "phone", "1"),
                    b = identity(NAME_NAMESPACE, "member", "1"),
                    c = identity(NAME_NAMESPACE, "phone", "2");
    assert_true(identity_hash(a) != identity_hash(b));
    assert_true(identity_hash(a) != identity_hash(c));
    assert_true(identity_equal(a, identity(NAME_NAMESPACE, "phone", "1")));
    assert_false(identity_equal(a, b));
    assert_false(identity_equal(a, c));
}

static void test_slot_identities_spread_over_all_slots(void **state)
{
    (void)state;
    static uint16_t hits[SLOT_COUNT];
    uint32_t n = 40 * SLOT_COUNT, empty = 0;
    memset(hits, 0, sizeof hits);
    for (uint32_t i = 0; i < n; i++) {
        struct identity id = {7, bytes_of(&i, sizeof i)};
        slot_id s = slot_of_identity(id);
        assert_true(s < SLOT_COUNT);
        hits[s]++;
    }
    for (size_t s = 0; s < SLOT_COUNT; s++)
        empty += hits[s] == 0;
    assert_int_equal(empty, 0);
}

static void test_slot_one_id_has_its_parts(void **state)
{
    (void)state;
    one_id p = UINT64_C(0xFFFFFFFFFF) << 24 | 0x2ABCU << 10 | 0x3FF;
    assert_int_equal(one_id_lamport(p), UINT64_C(0xFFFFFFFFFF));
    assert_int_equal(slot_of_one_id(p), 0x2ABC);
    assert_int_equal(slot_of_one_id(UINT64_MAX), SLOT_COUNT - 1);
    assert_int_equal(slot_of_one_id(0x3FF), 0);
}

static void test_one_id_round_trips_through_text(void **state)
{
    (void)state;
    static const struct {
        one_id p;
        const char *text;
    } T[] = {{0, "0000000000000000"},
             {1, "0000000000000001"},
             {UINT64_C(0x0123456789ABCDEF), "0123456789abcdef"},
             {UINT64_MAX, "ffffffffffffffff"}};
    for (size_t i = 0; i < sizeof T / sizeof *T; i++) {
        char text[17];
        one_id back = 77;
        one_id_format(T[i].p, text);
        assert_string_equal(text, T[i].text);
        assert_true(one_id_parse(bytes_of_str(text), &back));
        assert_int_equal(back, T[i].p);
    }
    one_id upper;
    assert_true(one_id_parse(bytes_of_str("0123456789ABCDEF"), &upper));
    assert_int_equal(upper, UINT64_C(0x0123456789ABCDEF));
}

static void test_one_id_refuses_other_text(void **state)
{
    (void)state;
    static const char *const BAD[] = {"",
                                      "123456789abcdef",
                                      "0123456789abcdef0",
                                      "0123456789abcdeg",
                                      "0x23456789abcdef",
                                      " 123456789abcdef",
                                      "-123456789abcdef",
                                      "0123456789abcde\xEF"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        one_id p = 77;
        assert_false(one_id_parse(bytes_of_str(BAD[i]), &p));
        assert_int_equal(p, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slot_of_identity_is_frozen),
        cmocka_unit_test(test_slot_depends_on_namespace_and_value),
        cmocka_unit_test(test_slot_identities_spread_over_all_slots),
        cmocka_unit_test(test_slot_one_id_has_its_parts),
        cmocka_unit_test(test_one_id_round_trips_through_text),
        cmocka_unit_test(test_one_id_refuses_other_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
