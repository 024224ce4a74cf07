#include "roster.h"

#include <meta/members.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { OLD = 5, NEW = 9 };

static uint64_t id(folder_id folder, node_id node)
{
    return replica_id_of(folder, node, 0);
}

static struct replica_member voter(uint64_t replica)
{
    return (struct replica_member){.id = replica, .role = REPLICA_VOTER};
}

static const bool ALL[] = {true, true, true, true, true};

static struct roster roster_of(const struct replica_member *have, size_t n_have,
                               const uint64_t *want, size_t n_want, uint64_t self)
{
    return (struct roster){.have = have,
                           .is_there = ALL,
                           .n_have = n_have,
                           .want = want,
                           .n_want = n_want,
                           .is_complete = true,
                           .self = self};
}

static bool next(const struct replica_member *have, size_t n_have, const uint64_t *want,
                 size_t n_want, uint64_t self, struct roster_change *out)
{
    struct roster r = roster_of(have, n_have, want, n_want, self);
    return roster_next(&r, out);
}

static void test_nothing_to_do(void **state)
{
    (void)state;
    struct replica_member have[] = {voter(id(OLD, 1)), voter(id(OLD, 2)), voter(id(OLD, 3))};
    uint64_t want[] = {id(OLD, 3), id(OLD, 1), id(OLD, 2)};
    struct roster_change c;
    assert_false(next(have, 3, want, 3, id(OLD, 1), &c));
}

/* A lost folder goes, the new one comes as a standby, and votes. */
static void test_a_lost_folder_is_replaced_step_by_step(void **state)
{
    (void)state;
    struct replica_member have[] = {voter(id(OLD, 1)), voter(id(OLD, 2)), voter(id(OLD, 3))};
    uint64_t want[] = {id(OLD, 1), id(NEW, 2), id(OLD, 3)};
    struct roster_change c;
    assert_true(next(have, 3, want, 3, id(OLD, 1), &c));
    assert_int_equal(c.id, id(OLD, 2));
    assert_int_equal(c.role, REPLICA_GONE);
    have[1] = have[2];
    assert_true(next(have, 2, want, 3, id(OLD, 1), &c));
    assert_int_equal(c.id, id(NEW, 2));
    assert_int_equal(c.role, REPLICA_STANDBY);
    have[2] = (struct replica_member){.id = id(NEW, 2), .role = REPLICA_STANDBY};
    assert_true(next(have, 3, want, 3, id(OLD, 1), &c));
    assert_int_equal(c.id, id(NEW, 2));
    assert_int_equal(c.role, REPLICA_VOTER);
    have[2].role = REPLICA_VOTER;
    assert_false(next(have, 3, want, 3, id(OLD, 1), &c));
}

/* Who is to leave stays until the others are complete, and a leader never removes itself. */
static void test_a_node_that_leaves_goes_last(void **state)
{
    (void)state;
    struct replica_member have[] = {voter(id(OLD, 1)), voter(id(OLD, 2)), voter(id(OLD, 3))};
    uint64_t want[] = {id(OLD, 1), id(OLD, 2), id(OLD, 4)};
    struct roster_change c;
    assert_true(next(have, 3, want, 3, id(OLD, 1), &c));
    assert_int_equal(c.id, id(OLD, 4));
    assert_int_equal(c.role, REPLICA_STANDBY);
    struct replica_member full[] = {voter(id(OLD, 1)), voter(id(OLD, 2)), voter(id(OLD, 3)),
                                    voter(id(OLD, 4))};
    assert_true(next(full, 4, want, 3, id(OLD, 1), &c));
    assert_int_equal(c.id, id(OLD, 3));
    assert_int_equal(c.role, REPLICA_GONE);
    assert_false(next(full, 4, want, 3, id(OLD, 3), &c));
}

/* Of three nodes one is lost: a live one must not be removed as well. */
static void test_a_live_voter_stays_while_the_others_are_no_majority(void **state)
{
    (void)state;
    struct replica_member have[] = {voter(id(OLD, 1)), voter(id(OLD, 2)), voter(id(OLD, 3))};
    uint64_t want[] = {id(OLD, 1), id(OLD, 3)};
    bool is_there[] = {true, true, false};
    struct roster_change c;
    struct roster r = roster_of(have, 3, want, 2, id(OLD, 1));
    r.is_there = is_there;
    assert_false(roster_next(&r, &c));
    assert_true(roster_has_others(&r));
    is_there[2] = true;
    assert_true(roster_next(&r, &c));
    assert_int_equal(c.id, id(OLD, 2));
    is_there[1] = false; /* a lost one may go */
    assert_true(roster_next(&r, &c));
    assert_int_equal(c.id, id(OLD, 2));
    assert_int_equal(c.role, REPLICA_GONE);
}

/* A node that is wanted and was never heard of: nobody goes for it. */
static void test_nobody_leaves_while_a_wanted_one_is_not_known(void **state)
{
    (void)state;
    struct replica_member have[] = {voter(id(OLD, 1)), voter(id(OLD, 2)), voter(id(OLD, 3))};
    uint64_t want[] = {id(OLD, 1), id(OLD, 2)};
    struct roster_change c;
    struct roster r = roster_of(have, 3, want, 2, id(OLD, 1));
    r.is_complete = false;
    assert_false(roster_next(&r, &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_a_lost_folder_is_replaced_step_by_step),
        cmocka_unit_test(test_a_node_that_leaves_goes_last),
        cmocka_unit_test(test_a_live_voter_stays_while_the_others_are_no_majority),
        cmocka_unit_test(test_nobody_leaves_while_a_wanted_one_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
