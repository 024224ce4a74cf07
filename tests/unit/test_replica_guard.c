/* Each guard by itself: what it answers with it, and the engine's defect without it. */
#include "replica_rig.h"

static struct message heartbeat_of(uint64_t term, uint64_t commit)
{
    struct message m = rig_append(term, 1, 1);
    m.rm.append_entries.leader_commit = commit;
    return m;
}

/* What was committed when the leader spoke is here once it is applied; stale leaders say nothing.
 */
static void test_age_counts_from_what_is_applied(void **state)
{
    struct rig *g = *state;
    msec_t age;
    rig_open(g, rig_three, 3, 2, 0);
    assert_false(replica_age(g->replica, g->now, &age));
    struct message beat = heartbeat_of(2, 1);
    rig_receive(g, 2, &beat);
    rig_persist(g);
    msec_t then = g->now;
    assert_true(replica_age(g->replica, then + 70, &age));
    assert_int_equal(age, 70);
    struct message ahead = heartbeat_of(2, 9), stale = heartbeat_of(1, 1);
    g->now += 500;
    rig_receive(g, 2, &ahead);
    rig_receive(g, 3, &stale);
    assert_true(replica_age(g->replica, then + 600, &age));
    assert_int_equal(age, 600);
}

/* D1 */
static void test_stale_append_is_not_acknowledged(void **state)
{
    struct rig *g = *state;
    struct message m = rig_append(3, 0, 0), out;
    rig_open(g, rig_three, 3, 5, 0);
    rig_receive(g, 2, &m);
    assert_false(rig_find_sent(g, MESSAGE_APPEND_RESULT, &out));
    assert_true(rig_find_sent(g, MESSAGE_STALE, &out));
    assert_int_equal(out.term, 5);
}

static void test_stale_append_without_guard_is_acknowledged(void **state)
{
    struct rig *g = *state;
    struct message m = rig_append(3, 0, 0), out;
    rig_open(g, rig_three, 3, 5, GUARD_STALE);
    rig_receive(g, 2, &m);
    assert_true(rig_find_sent(g, MESSAGE_APPEND_RESULT, &out));
    assert_int_equal(out.rm.append_entries_result.rejected, 0);
}

static void test_stale_answer_deposes_an_old_leader(void **state)
{
    struct rig *g = *state;
    struct message same = {.type = MESSAGE_STALE}, higher = {.type = MESSAGE_STALE};
    rig_open(g, rig_three, 3, 1, 0);
    rig_elect(g);
    same.term = g->replica->raft.current_term;
    rig_receive(g, 3, &same);
    assert_true(replica_is_leader(g->replica));
    higher.term = same.term + 4;
    rig_receive(g, 3, &higher);
    assert_false(replica_is_leader(g->replica));
    assert_int_equal(g->replica->raft.current_term, higher.term);
}

/* D2: entries 2 and 3 are commands, 4 is a change. */
static uint64_t uncommitted_after_batch(struct rig *g, unsigned guards_off)
{
    const struct member four[] = {
        {1, RAFT_VOTER}, {2, RAFT_VOTER}, {3, RAFT_VOTER}, {4, RAFT_SPARE}};
    struct buf conf = {0};
    rig_conf(&conf, four, 4);
    struct message_entry entries[] = {{1, REPLICA_COMMAND, bytes_of_str("a")},
                                      {1, REPLICA_COMMAND, bytes_of_str("b")},
                                      {1, REPLICA_CHANGE, buf_bytes(&conf)}};
    struct message m = rig_append(1, 1, 1);
    m.entries = entries;
    m.rm.append_entries.n_entries = 3;
    rig_open(g, rig_three, 3, 1, guards_off);
    rig_receive(g, 2, &m);
    rig_persist(g);
    buf_free(&conf);
    assert_int_equal(entries_last(&g->replica->entries), 4);
    return g->replica->raft.configuration_uncommitted_index;
}

static void test_change_is_recorded_at_its_index(void **state)
{
    assert_int_equal(uncommitted_after_batch(*state, 0), 4);
}

static void test_change_without_guard_is_recorded_elsewhere(void **state)
{
    assert_int_not_equal(uncommitted_after_batch(*state, GUARD_SPLIT), 4);
}

/* D3 */
static void test_sole_voter_takes_a_new_term(void **state)
{
    struct rig *g = *state;
    rig_open(g, rig_sole, 1, 5, 0);
    assert_true(replica_is_leader(g->replica));
    assert_int_equal(g->replica->raft.current_term, 6);
}

static void test_sole_voter_without_guard_leads_its_old_term_again(void **state)
{
    struct rig *g = *state;
    rig_open(g, rig_sole, 1, 5, GUARD_SOLE_VOTER);
    assert_true(replica_is_leader(g->replica));
    assert_int_equal(g->replica->raft.current_term, 5);
}

/* Nothing may leave before the term that it speaks for is on disk. */
static void test_messages_wait_for_the_vote(void **state)
{
    struct rig *g = *state;
    struct message m = rig_vote(7, 2, false), out;
    rig_open(g, rig_three, 3, 1, 0);
    rig_receive(g, 2, &m);
    assert_true(rig_find_sent(g, MESSAGE_VOTE_RESULT, &out));
    assert_true(out.rm.request_vote_result.vote_granted);
    for (size_t i = 0; i < g->effects.n; i++) {
        if (g->effects.list[i].type == REPLICA_SEND)
            assert_int_equal(g->effects.list[i].send.after_seq, g->replica->last_seq);
    }
    rig_persist(g);
    struct message beat = rig_append(7, 1, 1);
    rig_receive(g, 2, &beat);
    assert_true(rig_find_sent(g, MESSAGE_APPEND_RESULT, &out));
    for (size_t i = 0; i < g->effects.n; i++) {
        if (g->effects.list[i].type == REPLICA_SEND)
            assert_int_equal(g->effects.list[i].send.after_seq, 0);
    }
}

/* D4: replica 2 acknowledged entry 2 and then misses entry 3; a rejection from long before arrives
 * late. Returns the prev index of the append that follows, or UINT64_MAX. */
static uint64_t prev_after_late_rejection(struct rig *g, unsigned guards_off)
{
    struct message out;
    rig_open(g, rig_three, 3, 1, guards_off);
    rig_elect(g);
    rig_submit(g);
    rig_persist(g);
    uint64_t term = g->replica->raft.current_term;
    struct message ack = rig_append_result(term, 0, 2), missing = rig_append_result(term, 3, 2),
                   late = rig_append_result(term, 2, 0);
    rig_receive(g, 2, &ack);
    assert_int_equal(g->replica->commit, 2);
    rig_submit(g);
    rig_receive(g, 2, &missing);
    assert_true(rig_find_sent(g, MESSAGE_APPEND, &out));
    rig_receive(g, 2, &late);
    if (rig_find_sent(g, MESSAGE_APPEND, &out))
        return out.rm.append_entries.prev_log_index;
    return UINT64_MAX;
}

static void test_late_rejection_is_dropped(void **state)
{
    assert_true(prev_after_late_rejection(*state, 0) == UINT64_MAX);
}

static void test_late_rejection_without_guard_goes_below_match(void **state)
{
    assert_true(prev_after_late_rejection(*state, GUARD_REJECTION) < 2);
}

/* D5 */
static bool standby_grants(struct rig *g, unsigned guards_off)
{
    const struct member standby[] = {{1, RAFT_STANDBY}, {2, RAFT_VOTER}};
    struct message m = rig_vote(7, 2, false), out;
    rig_open(g, standby, 2, 1, guards_off);
    rig_receive(g, 2, &m);
    assert_int_equal(g->replica->raft.configuration.servers[0].role, RAFT_STANDBY);
    return rig_find_sent(g, MESSAGE_VOTE_RESULT, &out) && out.rm.request_vote_result.vote_granted;
}

static void test_standby_votes_for_who_counts_it(void **state)
{
    assert_true(standby_grants(*state, 0));
}

static void test_standby_without_guard_refuses_for_ever(void **state)
{
    assert_false(standby_grants(*state, GUARD_NON_VOTER));
}

/* D6 */
static uint64_t term_of_refused_pre_vote(struct rig *g, unsigned guards_off)
{
    struct message m = rig_vote(3, 2, true), out;
    rig_open(g, rig_three, 3, 5, guards_off);
    rig_receive(g, 2, &m);
    assert_true(rig_find_sent(g, MESSAGE_VOTE_RESULT, &out));
    assert_false(out.rm.request_vote_result.vote_granted);
    return out.rm.request_vote_result.term;
}

static void test_refused_pre_vote_tells_the_higher_term(void **state)
{
    assert_int_equal(term_of_refused_pre_vote(*state, 0), 5);
}

static void test_refused_pre_vote_without_guard_echoes(void **state)
{
    assert_int_equal(term_of_refused_pre_vote(*state, GUARD_PRE_VOTE_TERM), 3);
}

/* D7: a transfer made it a candidate that may disturb; its second election may not. */
static struct raft_request_vote second_election(struct rig *g, unsigned guards_off)
{
    struct message beat = rig_append(2, 1, 1), now = {.type = MESSAGE_TIMEOUT_NOW}, out = {0};
    rig_open(g, rig_three, 3, 2, guards_off);
    rig_receive(g, 2, &beat);
    now.rm.timeout_now.term = 2;
    now.rm.timeout_now.last_log_index = 1;
    now.rm.timeout_now.last_log_term = 1;
    rig_receive(g, 2, &now);
    assert_true(rig_find_sent(g, MESSAGE_VOTE, &out));
    assert_true(out.rm.request_vote.disrupt_leader);
    rig_tick(g);
    assert_true(rig_find_sent(g, MESSAGE_VOTE, &out));
    return out.rm.request_vote;
}

static void test_candidate_disturbs_once(void **state)
{
    struct raft_request_vote v = second_election(*state, 0);
    assert_false(v.disrupt_leader);
    assert_true(v.pre_vote);
}

static void test_candidate_without_guard_disturbs_again(void **state)
{
    assert_true(second_election(*state, GUARD_CANDIDATE).disrupt_leader);
}

/* D8: the log was trimmed up to the snapshot at 10; a late append brings entry 1 again. */
static uint64_t last_after_trimmed_append(struct rig *g, unsigned guards_off)
{
    struct replica_options o = {.id = 1, .seed = 3};
    struct error err;
    rig_conf(&g->conf, rig_three, 3);
    struct replica_persisted p = {
        .term = 2,
        .applied = 10,
        .snapshot = {.index = 10, .term = 2, .conf_index = 1, .conf = buf_bytes(&g->conf)}};
    struct message_entry first = {1, REPLICA_CHANGE, buf_bytes(&g->conf)};
    struct message m = rig_append(2, 0, 0);
    m.entries = &first;
    m.rm.append_entries.n_entries = 1;
    assert_int_equal(replica_open(&o, &p, &g->replica, &err), ERR_OK);
    rig_start(g, guards_off);
    struct buf b = {0};
    message_encode(&m, &b);
    replica_receive(g->replica, ++g->now, 2, buf_bytes(&b), &g->effects);
    buf_free(&b);
    return raft_last_index(&g->replica->raft);
}

static void test_append_before_the_snapshot_changes_nothing(void **state)
{
    struct rig *g = *state;
    struct message out;
    assert_int_equal(last_after_trimmed_append(g, 0), 10);
    assert_true(rig_find_sent(g, MESSAGE_APPEND_RESULT, &out));
    assert_int_equal(out.rm.append_entries_result.rejected, 0);
    assert_int_equal(out.rm.append_entries_result.last_log_index, 10);
}

static void test_append_before_the_snapshot_without_guard_is_appended(void **state)
{
    assert_int_equal(last_after_trimmed_append(*state, GUARD_TRIMMED), 11);
}

/* The log begins at the snapshot's own entry, 10; the leader knows of our entry 9 and sends 10. */
static uint64_t refused_behind_trimmed(struct rig *g, unsigned guards_off)
{
    struct replica_options o = {.id = 1, .seed = 3};
    struct error err;
    rig_conf(&g->conf, rig_three, 3);
    struct replica_persisted p = {
        .term = 2,
        .applied = 10,
        .first_index = 10,
        .snapshot = {.index = 10, .term = 2, .conf_index = 1, .conf = buf_bytes(&g->conf)}};
    struct replica_entry tenth = {
        .index = 10, .term = 2, .type = REPLICA_COMMAND, .data = bytes_of_str("command")};
    struct message_entry again = {2, REPLICA_COMMAND, tenth.data};
    struct message m = rig_append(2, 9, 2), out;
    m.entries = &again;
    m.rm.append_entries.n_entries = 1;
    assert_int_equal(replica_open(&o, &p, &g->replica, &err), ERR_OK);
    assert_int_equal(replica_restore(g->replica, &tenth, &err), ERR_OK);
    rig_start(g, guards_off);
    rig_receive(g, 2, &m);
    assert_true(rig_find_sent(g, MESSAGE_APPEND_RESULT, &out));
    assert_int_equal(raft_last_index(&g->replica->raft), 10);
    return out.rm.append_entries_result.rejected;
}

static void test_append_behind_a_trimmed_entry_is_acknowledged(void **state)
{
    assert_int_equal(refused_behind_trimmed(*state, 0), 0);
}

static void test_append_behind_a_trimmed_entry_without_guard_is_refused(void **state)
{
    assert_int_equal(refused_behind_trimmed(*state, GUARD_TRIMMED), 9);
}

/* Both followers have entry 2, our own disk not yet. */
static size_t applied_before_stored(struct rig *g, unsigned guards_off)
{
    rig_open(g, rig_three, 3, 1, guards_off);
    rig_elect(g);
    rig_submit(g);
    struct message ack = rig_append_result(g->replica->raft.current_term, 0, 2);
    rig_receive(g, 2, &ack);
    rig_receive(g, 3, &ack);
    assert_int_equal(g->replica->commit, 2);
    return rig_count(g, REPLICA_APPLY);
}

static void test_apply_waits_for_the_own_disk(void **state)
{
    struct rig *g = *state;
    assert_int_equal(applied_before_stored(g, 0), 0);
    rig_persist(g);
    assert_int_equal(rig_count(g, REPLICA_APPLY), 1);
}

static void test_apply_without_guard_does_not_wait(void **state)
{
    assert_int_equal(applied_before_stored(*state, GUARD_STORED), 1);
}

static void test_second_snapshot_is_dropped_while_installing(void **state)
{
    struct rig *g = *state;
    rig_open(g, rig_three, 3, 2, 0);
    struct message m = {.type = MESSAGE_SNAPSHOT};
    m.rm.install_snapshot = (struct raft_install_snapshot){
        .term = 2, .last_index = 20, .last_term = 2, .conf_index = 1};
    m.conf = buf_bytes(&g->conf);
    rig_receive(g, 2, &m);
    assert_int_equal(rig_count(g, REPLICA_INSTALL), 1);
    m.rm.install_snapshot.last_index = 30;
    rig_receive(g, 2, &m);
    assert_int_equal(rig_count(g, REPLICA_INSTALL), 0);
    assert_int_equal(replica_installed(g->replica, g->now, 19, &g->effects), ERR_INVALID);
    assert_int_equal(replica_installed(g->replica, g->now, 22, &g->effects), ERR_OK);
    struct replica_status st;
    replica_get_status(g->replica, &st);
    assert_int_equal(st.applied, 22);
    assert_int_equal(st.last, 20);
    assert_int_equal(st.snapshot, 20);
    /* What was sent meanwhile comes now; whoever has no entries any more sends it again later. */
    rig_receive(g, 2, &m);
    assert_int_equal(rig_count(g, REPLICA_INSTALL), 0);
    g->now += INSTALL_TIMEOUTS * g->replica->options.election_timeout_ms;
    rig_receive(g, 2, &m);
    assert_int_equal(rig_count(g, REPLICA_INSTALL), 1);
}

/* Entries that a lagging follower needs were evicted: the append waits for the log. */
static void test_append_waits_for_entries_from_the_log(void **state)
{
    struct rig *g = *state;
    struct message out;
    rig_open(g, rig_three, 3, 1, 0);
    g->replica->options.cache_bytes = 1;
    rig_elect(g);
    uint64_t term = g->replica->raft.current_term;
    struct message ack = rig_append_result(term, 0, 2);
    rig_submit(g);
    rig_persist(g);
    rig_receive(g, 2, &ack);
    assert_int_equal(g->replica->applied, 2);
    ack = rig_append_result(term, 0, 1);
    rig_receive(g, 3, &ack); /* knows entry 1 and is sent entry 2, which is gone by now */
    assert_false(rig_find_sent(g, MESSAGE_APPEND, &out) && out.rm.append_entries.n_entries > 0);
    assert_int_equal(rig_count(g, REPLICA_LOAD), 1);
    const struct replica_effect *load = NULL;
    for (size_t i = 0; i < g->effects.n; i++) {
        if (g->effects.list[i].type == REPLICA_LOAD)
            load = &g->effects.list[i];
    }
    assert_int_equal(load->load.index, 2);
    assert_int_equal(load->load.n, 1);
    struct replica_entry wrong = {
        .index = 2, .term = term + 1, .type = REPLICA_COMMAND, .data = bytes_of_str("command")};
    assert_int_equal(replica_loaded(g->replica, g->now, &wrong, 1, &g->effects), ERR_OK);
    assert_int_equal(g->effects.n, 0);
    struct replica_entry right = wrong;
    right.term = term;
    assert_int_equal(replica_loaded(g->replica, g->now, &right, 1, &g->effects), ERR_OK);
    assert_true(rig_find_sent(g, MESSAGE_APPEND, &out));
    assert_int_equal(out.rm.append_entries.n_entries, 1);
    assert_true(bytes_equal(out.entries[0].data, bytes_of_str("command")));
}

/* Two broken peers: a second leader of our term, and one with our own id. */
static void test_impossible_messages_are_dropped(void **state)
{
    struct rig *g = *state;
    rig_open(g, rig_three, 3, 1, 0);
    rig_elect(g);
    struct message m = rig_append(g->replica->raft.current_term, 1, 1);
    rig_receive(g, 2, &m);
    assert_true(replica_is_leader(g->replica));
    assert_int_equal(g->effects.n, 0);
    struct buf b = {0};
    message_encode(&m, &b);
    assert_int_equal(replica_receive(g->replica, g->now, 1, buf_bytes(&b), &g->effects),
                     ERR_MALFORMED);
    for (size_t len = 0; len < b.len; len++)
        assert_int_equal(replica_receive(g->replica, g->now, 2, bytes_of(b.data, len), &g->effects),
                         ERR_MALFORMED);
    buf_free(&b);
}

static void test_damaged_configurations_are_recognised(void **state)
{
    struct rig *g = *state;
    rig_conf(&g->conf, rig_three, 3);
    assert_true(configuration_is_valid(buf_bytes(&g->conf)));
    for (size_t len = 0; len < 40; len++)
        assert_false(configuration_is_valid(bytes_of(g->conf.data, len)));
    g->conf.data[1] = 200; /* servers */
    assert_false(configuration_is_valid(buf_bytes(&g->conf)));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(test_stale_append_is_not_acknowledged),
        T(test_stale_append_without_guard_is_acknowledged),
        T(test_stale_answer_deposes_an_old_leader),
        T(test_change_is_recorded_at_its_index),
        T(test_change_without_guard_is_recorded_elsewhere),
        T(test_age_counts_from_what_is_applied),
        T(test_sole_voter_takes_a_new_term),
        T(test_sole_voter_without_guard_leads_its_old_term_again),
        T(test_messages_wait_for_the_vote),
        T(test_late_rejection_is_dropped),
        T(test_late_rejection_without_guard_goes_below_match),
        T(test_standby_votes_for_who_counts_it),
        T(test_standby_without_guard_refuses_for_ever),
        T(test_refused_pre_vote_tells_the_higher_term),
        T(test_refused_pre_vote_without_guard_echoes),
        T(test_candidate_disturbs_once),
        T(test_candidate_without_guard_disturbs_again),
        T(test_append_before_the_snapshot_changes_nothing),
        T(test_append_before_the_snapshot_without_guard_is_appended),
        T(test_append_behind_a_trimmed_entry_is_acknowledged),
        T(test_append_behind_a_trimmed_entry_without_guard_is_refused),
        T(test_apply_waits_for_the_own_disk),
        T(test_apply_without_guard_does_not_wait),
        T(test_second_snapshot_is_dropped_while_installing),
        T(test_append_waits_for_entries_from_the_log),
        T(test_impossible_messages_are_dropped),
        T(test_damaged_configurations_are_recognised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
