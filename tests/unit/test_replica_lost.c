/* What follows when the leader's process was seen to end. */
#include "replica_rig.h"

enum { HEARTBEAT = 100 };

/* Replica 1 follows `leader` of a group of three. */
static void follow(struct rig *g, uint64_t leader)
{
    g->now = 60000;
    rig_open(g, rig_three, 3, 1, 0);
    struct message m = rig_append(2, 1, 1);
    rig_receive(g, leader, &m);
    rig_persist(g);
    assert_int_equal(g->replica->role.leader_id, leader);
}

static void lose(struct rig *g, uint64_t id)
{
    assert_int_equal(replica_peer_lost(g->replica, ++g->now, id, &g->effects), ERR_OK);
}

static bool grants(struct rig *g, uint64_t to)
{
    struct message ask = rig_vote(3, to, true), answer;
    rig_receive(g, to, &ask);
    assert_true(rig_find_sent(g, MESSAGE_VOTE_RESULT, &answer));
    return answer.rm.request_vote_result.vote_granted;
}

/* The first behind the lost one waits a heartbeat, the second another one. */
static void test_voters_ask_one_after_the_other(void **state)
{
    struct rig *g = *state;
    struct message ask;
    follow(g, 3);
    lose(g, 3);
    assert_int_equal(rig_count(g, REPLICA_ROLE), 1);
    assert_int_equal(g->replica->role.leader_id, 0);
    assert_int_equal(replica_next_timeout(g->replica), g->now + HEARTBEAT);
    rig_tick(g);
    assert_true(rig_find_sent(g, MESSAGE_VOTE, &ask));
    assert_true(ask.rm.request_vote.pre_vote);
}

static void test_second_voter_waits_for_the_first(void **state)
{
    struct rig *g = *state;
    follow(g, 2);
    lose(g, 2);
    assert_int_equal(replica_next_timeout(g->replica), g->now + 2 * HEARTBEAT);
}

static void test_votes_for_others_at_once(void **state)
{
    struct rig *g = *state;
    follow(g, 2);
    assert_false(grants(g, 3));
    lose(g, 2);
    assert_true(grants(g, 3));
}

/* It was wrong: the next heartbeat puts all back, also the time-out. */
static void test_leader_that_lives_is_followed_again(void **state)
{
    struct rig *g = *state;
    struct message m = rig_append(2, 1, 1);
    follow(g, 3);
    lose(g, 3);
    rig_receive(g, 3, &m);
    assert_int_equal(g->replica->role.leader_id, 3);
    assert_true(replica_next_timeout(g->replica) >= g->now + 1000);
    assert_false(grants(g, 2));
}

static void test_loss_of_others_changes_nothing(void **state)
{
    struct rig *g = *state;
    follow(g, 3);
    msec_t due = replica_next_timeout(g->replica);
    lose(g, 2);
    lose(g, 0);
    lose(g, 77);
    assert_int_equal(g->replica->role.leader_id, 3);
    assert_int_equal(replica_next_timeout(g->replica), due);
}

/* The time-out is never put off. */
static void test_loss_when_the_time_is_nearly_over(void **state)
{
    struct rig *g = *state;
    follow(g, 2);
    msec_t due = replica_next_timeout(g->replica);
    g->now = due - HEARTBEAT;
    lose(g, 2);
    assert_int_equal(replica_next_timeout(g->replica), due);
}

/* A machine's clock may have begun just now: the engine cannot be told of a time before that. */
static void test_loss_at_the_beginning_of_time(void **state)
{
    struct rig *g = *state;
    struct message m = rig_append(2, 1, 1);
    g->now = 3;
    rig_open(g, rig_three, 3, 1, 0);
    rig_receive(g, 3, &m);
    msec_t due = replica_next_timeout(g->replica);
    lose(g, 3);
    assert_int_equal(g->replica->role.leader_id, 0);
    assert_int_equal(replica_next_timeout(g->replica), due);
}

static void test_leader_takes_no_notice(void **state)
{
    struct rig *g = *state;
    rig_open(g, rig_three, 3, 1, 0);
    rig_elect(g);
    lose(g, 1);
    lose(g, 2);
    assert_true(replica_is_leader(g->replica));
}

/* Who has no vote in its own, perhaps old, configuration must not keep a new leader away (D5). */
static void test_standby_votes_after_the_loss(void **state)
{
    static const struct member standby[] = {{1, RAFT_STANDBY}, {2, RAFT_VOTER}, {3, RAFT_VOTER}};
    struct rig *g = *state;
    rig_open(g, standby, 3, 1, 0);
    struct message m = rig_append(2, 1, 1);
    rig_receive(g, 2, &m);
    rig_persist(g);
    assert_false(grants(g, 3));
    lose(g, 2);
    assert_true(grants(g, 3));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(test_voters_ask_one_after_the_other), T(test_second_voter_waits_for_the_first),
        T(test_votes_for_others_at_once),       T(test_leader_that_lives_is_followed_again),
        T(test_loss_of_others_changes_nothing), T(test_loss_when_the_time_is_nearly_over),
        T(test_loss_at_the_beginning_of_time),  T(test_leader_takes_no_notice),
        T(test_standby_votes_after_the_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
