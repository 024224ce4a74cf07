#include "roster.h"

#include <meta/members.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { OLD = 5, NEW = 9 };

static uint64_t id(folder_id folder, node_id node)
{
    return replica_id_of(folder, node);
}

static struct replica_member voter(uint64_t replica)
{
    return (struct replica_member){.id = replica, .role = REPLICA_VOTER};
}

static void test_nothing_to_do(void **state)
{
    (void)state;
    struct replica_member have[] = {voter(id(OLD, 1)), voter(id(OLD, 2)), voter(id(OLD, 3))};
    uint64_t want[] = {id(OLD, 3), id(OLD, 1), id(OLD, 2)};
    struct roster_change c;
    assert_false(roster_next(have, 3, want, 3, id(OLD, 1), &c));
}

/* A lost folder goes, the new one comes as a standby, and votes. */
static void test_a_lost_folder_is_replaced_step_by_step(void **state)
{
    (void)state;
    struct replica_member have[] = {voter(id(OLD, 1)), voter(id(OLD, 2)), voter(id(OLD, 3))};
    uint64_t want[] = {id(OLD, 1), id(NEW, 2), id(OLD, 3)};
    struct roster_change c;
    assert_true(roster_next(have, 3, want, 3, id(OLD, 1), &c));
    assert_int_equal(c.id, id(OLD, 2));
    assert_int_equal(c.role, REPLICA_GONE);
    have[1] = have[2];
    assert_true(roster_next(have, 2, want, 3, id(OLD, 1), &c));
    assert_int_equal(c.id, id(NEW, 2));
    assert_int_equal(c.role, REPLICA_STANDBY);
    have[2] = (struct replica_member){.id = id(NEW, 2), .role = REPLICA_STANDBY};
    assert_true(roster_next(have, 3, want, 3, id(OLD, 1), &c));
    assert_int_equal(c.id, id(NEW, 2));
    assert_int_equal(c.role, REPLICA_VOTER);
    have[2].role = REPLICA_VOTER;
    assert_false(roster_next(have, 3, want, 3, id(OLD, 1), &c));
}

/* Who is to leave stays until the others are complete, and a leader never removes itself. */
static void test_a_node_that_leaves_goes_last(void **state)
{
    (void)state;
    struct replica_member have[] = {voter(id(OLD, 1)), voter(id(OLD, 2)), voter(id(OLD, 3))};
    uint64_t want[] = {id(OLD, 1), id(OLD, 2), id(OLD, 4)};
    struct roster_change c;
    assert_true(roster_next(have, 3, want, 3, id(OLD, 1), &c));
    assert_int_equal(c.id, id(OLD, 4));
    assert_int_equal(c.role, REPLICA_STANDBY);
    struct replica_member full[] = {voter(id(OLD, 1)), voter(id(OLD, 2)), voter(id(OLD, 3)),
                                    voter(id(OLD, 4))};
    assert_true(roster_next(full, 4, want, 3, id(OLD, 1), &c));
    assert_int_equal(c.id, id(OLD, 3));
    assert_int_equal(c.role, REPLICA_GONE);
    assert_false(roster_next(full, 4, want, 3, id(OLD, 3), &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_a_lost_folder_is_replaced_step_by_step),
        cmocka_unit_test(test_a_node_that_leaves_goes_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
