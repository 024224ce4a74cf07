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

/* Nothing is known of node 2, in the middle of the map's list: those behind it count all the same.
 */
static void test_one_that_is_not_known_hides_no_others(void **state)
{
    (void)state;
    struct replica_member have[] = {voter(id(OLD, 1)), voter(id(OLD, 3)), voter(id(OLD, 5))};
    struct roster_place places[] = {{.node = 1, .folder = OLD},
                                    {.node = 2},
                                    {.node = 3, .folder = NEW},
                                    {.node = 4, .folder = OLD}};
    uint64_t want[4];
    struct roster_change c;
    struct roster r = roster_of(have, 3, NULL, 0, id(OLD, 1));
    roster_want(&r, places, 4, want);
    assert_false(r.is_complete);
    assert_int_equal(r.n_want, 3);
    assert_true(roster_next(&r, &c)); /* node 3 has another folder: that does not hang on node 2 */
    assert_int_equal(c.id, id(OLD, 3));
    assert_int_equal(c.role, REPLICA_GONE);
    have[1] = voter(id(NEW, 3));
    assert_true(roster_next(&r, &c));
    assert_int_equal(c.id, id(OLD, 4));
    assert_int_equal(c.role, REPLICA_STANDBY);
    struct replica_member full[] = {have[0], have[1], have[2], voter(id(OLD, 4))};
    r.have = full;
    r.n_have = 4;
    roster_want(&r, places, 4, want);
    assert_false(roster_next(&r, &c)); /* node 5 stays until all that are wanted are known */
    assert_true(roster_has_others(&r));
}

/* Of a node that was not heard of, its member is the one that is wanted. */
static void test_a_member_that_was_not_heard_of_is_wanted(void **state)
{
    (void)state;
    struct replica_member have[] = {voter(id(OLD, 1)), voter(replica_id_of(OLD, 2, 7))};
    struct roster_place places[] = {{.node = 2, .since = 7}, {.node = 1, .folder = OLD}};
    uint64_t want[2];
    struct roster_change c;
    struct roster r = roster_of(have, 2, NULL, 0, id(OLD, 1));
    roster_want(&r, places, 2, want);
    assert_true(r.is_complete);
    assert_int_equal(r.n_want, 2);
    assert_false(roster_next(&r, &c));
    assert_false(roster_has_others(&r));
    roster_want(&r, places, 0, want);
    assert_false(r.is_complete); /* a map without a place is no reason to remove anybody */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_a_lost_folder_is_replaced_step_by_step),
        cmocka_unit_test(test_a_node_that_leaves_goes_last),
        cmocka_unit_test(test_a_live_voter_stays_while_the_others_are_no_majority),
        cmocka_unit_test(test_nobody_leaves_while_a_wanted_one_is_not_known),
        cmocka_unit_test(test_one_that_is_not_known_hides_no_others),
        cmocka_unit_test(test_a_member_that_was_not_heard_of_is_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
