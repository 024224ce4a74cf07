/* What a leader does for followers that are not, or not any more, with the others. */
#include "replica_rig.h"

/* Three voters and the standby 4, which all have entry 1; replica 1 leads and has entry 2 alone. */
static void lead_with_standby(struct rig *g, unsigned guards_off)
{
    static const struct member with_standby[] = {
        {1, RAFT_VOTER}, {2, RAFT_VOTER}, {3, RAFT_VOTER}, {4, RAFT_STANDBY}};
    rig_open(g, with_standby, 4, 1, guards_off);
    rig_elect(g);
    struct message ack = rig_append_result(g->replica->raft.current_term, 0, 1);
    for (uint64_t id = 2; id <= 4; id++)
        rig_receive(g, id, &ack);
    rig_submit(g);
}

static void test_standby_gets_what_is_committed(void **state)
{
    struct rig *g = *state;
    struct message out, ack;
    lead_with_standby(g, 0);
    assert_int_equal(rig_appended_to(g, 2, &out), 1);
    assert_int_equal(rig_appended_to(g, 4, &out), -1);
    ack = rig_append_result(g->replica->raft.current_term, 0, 2);
    rig_persist(g);
    assert_int_equal(rig_appended_to(g, 4, &out), -1);
    rig_receive(g, 2, &ack);
    assert_int_equal(rig_appended_to(g, 4, &out), 1);
    assert_int_equal(out.rm.append_entries.prev_log_index, 1);
    assert_int_equal(out.rm.append_entries.leader_commit, 2);
}

static void test_standby_without_guard_gets_what_may_be_lost(void **state)
{
    struct rig *g = *state;
    struct message out;
    lead_with_standby(g, GUARD_STANDBY);
    assert_int_equal(rig_appended_to(g, 4, &out), 1);
}

/* A change counts at once: the new voter is needed to commit it. */
static void test_new_voter_gets_all_at_once(void **state)
{
    struct rig *g = *state;
    struct message out, ack;
    lead_with_standby(g, 0);
    ack = rig_append_result(g->replica->raft.current_term, 0, 2);
    rig_persist(g);
    rig_receive(g, 2, &ack);
    rig_receive(g, 4, &ack);
    rig_submit(g);
    assert_int_equal(rig_appended_to(g, 4, &out), -1);
    ack = rig_append_result(g->replica->raft.current_term, 0, 3);
    rig_persist(g);
    rig_receive(g, 2, &ack);
    rig_receive(g, 4, &ack);
    assert_int_equal(replica_change(g->replica, ++g->now, 4, REPLICA_VOTER, &g->effects), ERR_OK);
    assert_int_equal(g->replica->commit, 3);
    assert_int_equal(rig_appended_to(g, 4, &out), 1);
    assert_int_equal(out.entries[0].type, REPLICA_CHANGE);
    rig_submit(g);
    assert_int_equal(rig_appended_to(g, 4, &out), 1);
}

/* Nothing is committed for long; the engine repeats itself, and a new leader sends on its own. */
static void test_held_appends_end_with_the_lead(void **state)
{
    struct rig *g = *state;
    struct message out, ack;
    lead_with_standby(g, 0);
    uint64_t term = g->replica->raft.current_term;
    ack = rig_append_result(term, 0, 1);
    for (int i = 0; i < 200; i++) {
        rig_submit(g);
        assert_int_equal(rig_appended_to(g, 4, &out), -1);
        g->now += 50;
        for (uint64_t id = 2; id <= 4; id++)
            rig_receive(g, id, &ack);
        rig_tick(g);
        assert_int_equal(rig_appended_to(g, 4, &out), -1);
    }
    assert_true(replica_is_leader(g->replica));
    assert_true(g->replica->holds.n > 0);
    struct message higher = {.type = MESSAGE_STALE, .term = term + 1};
    rig_receive(g, 3, &higher);
    assert_false(replica_is_leader(g->replica));
    assert_int_equal(g->replica->holds.n, 0);
}

/* Replica 1 leads, 2 follows, 3 is away and then back with nothing but entry 1. */
static void lead_two(struct rig *g, uint64_t joining_bytes)
{
    rig_open(g, rig_three, 3, 1, 0);
    g->replica->options.trailing = 2;
    g->replica->options.joining_bytes = joining_bytes;
    rig_elect(g);
    struct message ack = rig_append_result(g->replica->raft.current_term, 0, 1);
    rig_receive(g, 2, &ack);
    rig_receive(g, 3, &ack);
}

static void commit_up_to(struct rig *g, uint64_t index)
{
    struct message ack = rig_append_result(g->replica->raft.current_term, 0, index);
    while (entries_last(&g->replica->entries) < index)
        rig_submit(g);
    rig_persist(g);
    rig_receive(g, 2, &ack);
    assert_int_equal(g->replica->applied, index);
}

/* A checkpoint of everything; the index of the first entry that the log still has. */
static uint64_t first_after_checkpoint(struct rig *g, uint64_t index)
{
    commit_up_to(g, index);
    assert_int_equal(replica_checkpointed(g->replica, g->now, index, &g->effects), ERR_OK);
    assert_int_equal(rig_count(g, REPLICA_WRITE), 1);
    rig_persist(g);
    return g->replica->entries.first;
}

/* It answers that it lacks what comes before the append, and is sent a snapshot. */
static void ask_for_state(struct rig *g, uint64_t index)
{
    struct message out, missing;
    missing = rig_append_result(g->replica->raft.current_term, 2, 1);
    rig_receive(g, 3, &missing);
    assert_true(rig_find_sent(g, MESSAGE_SNAPSHOT, &out));
    assert_int_equal(out.rm.install_snapshot.last_index, index);
}

static void test_log_waits_for_who_is_given_a_state(void **state)
{
    struct rig *g = *state;
    struct message out, ack;
    lead_two(g, 1000);
    assert_int_equal(first_after_checkpoint(g, 10), 9);
    ask_for_state(g, 10);
    assert_int_equal(first_after_checkpoint(g, 20), 10);
    assert_int_equal(first_after_checkpoint(g, 30), 10);
    ack = rig_append_result(g->replica->raft.current_term, 0, 10);
    rig_receive(g, 3, &ack);
    for (int i = 0; i < 100 && rig_appended_to(g, 3, &out) <= 0; i++)
        rig_tick(g);
    assert_int_equal(out.rm.append_entries.prev_log_index, 10);
    assert_int_equal(out.rm.append_entries.n_entries, 20);
    ack = rig_append_result(g->replica->raft.current_term, 0, 30);
    rig_receive(g, 3, &ack);
    assert_int_equal(first_after_checkpoint(g, 40), 30);
    ack = rig_append_result(g->replica->raft.current_term, 0, 40);
    rig_receive(g, 3, &ack);
    assert_int_equal(first_after_checkpoint(g, 41), 40);
}

static void test_log_waits_within_bounds(void **state)
{
    struct rig *g = *state;
    lead_two(g, 100); /* of commands of 7 bytes */
    assert_int_equal(first_after_checkpoint(g, 10), 9);
    ask_for_state(g, 10);
    assert_int_equal(first_after_checkpoint(g, 20), 10);
    assert_int_equal(first_after_checkpoint(g, 40), 39);
}

static void test_log_does_not_wait_for_who_is_gone(void **state)
{
    struct rig *g = *state;
    lead_two(g, 1000);
    assert_int_equal(first_after_checkpoint(g, 10), 9);
    ask_for_state(g, 10);
    commit_up_to(g, 11);
    assert_int_equal(replica_change(g->replica, ++g->now, 3, REPLICA_GONE, &g->effects), ERR_OK);
    assert_int_equal(first_after_checkpoint(g, 20), 19);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(test_standby_gets_what_is_committed),
        T(test_standby_without_guard_gets_what_may_be_lost),
        T(test_new_voter_gets_all_at_once),
        T(test_held_appends_end_with_the_lead),
        T(test_log_waits_for_who_is_given_a_state),
        T(test_log_waits_within_bounds),
        T(test_log_does_not_wait_for_who_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
