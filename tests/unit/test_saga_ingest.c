/* The ingest saga against scripted shards: which commands, in which order, to which slot. */
#include "saga_rig.h"

static const one_id P = UINT64_C(0x1000000), Q = UINT64_C(0x2000000), R = UINT64_C(0x3000000);

static int setup(void **state)
{
    static struct rig rig;

    rig_open(&rig);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    return 0;
}

static struct reply missing_at(one_id profile, uint32_t epoch, struct missing *list, size_t n)
{
    return (struct reply){.status = REPLY_MISSING,
                          .profile = profile,
                          .epoch = epoch,
                          .missing = list,
                          .n_missing = n};
}

static void test_ingest_known_event_is_one_call(void **state)
{
    struct rig *g = *state;
    const struct command *c;

    rig_ingest(g, 2, (const char *[]){"a", "b"}, (one_id[]){P, P}, 0);
    c = rig_only(g, COMMAND_APPLY);
    assert_int_equal(c->profile, P);
    assert_int_equal(c->n_ids, 2);
    assert_int_equal(g->sent[0].slot, slot_of_one_id(P));
    assert_false(g->answered);

    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_OK, .profile = P});
    rig_assert_ok(g, P);
    assert_false(g->answer.duplicate);
    assert_true(g->ended);
    assert_int_equal(g->n_learned, 0);
}

static void test_ingest_unknown_primary_starts_at_its_slot(void **state)
{
    struct rig *g = *state;
    const struct command *c;

    rig_ingest(g, 1, (const char *[]){"a"}, NULL, 0);
    c = rig_only(g, COMMAND_APPLY);
    assert_int_equal(c->profile, 0);
    assert_int_equal(g->sent[0].slot, slot_of_identity(rig_id("a")));

    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_DUP, .profile = Q});
    rig_assert_ok(g, Q);
    assert_true(g->answer.duplicate);
    assert_int_equal(g->n_learned, 1);
    assert_int_equal(g->learned.profile, Q);
}

static void test_ingest_goto_is_followed_and_absent_forgotten(void **state)
{
    struct rig *g = *state;

    rig_ingest(g, 1, (const char *[]){"a"}, (one_id[]){R}, 0);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_GOTO, .profile = Q});
    assert_int_equal(rig_only(g, COMMAND_APPLY)->profile, Q);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_ABSENT});
    assert_int_equal(g->n_forgotten, 1);
    assert_int_equal(rig_only(g, COMMAND_APPLY)->profile, 0);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_OK, .profile = P});
    rig_assert_ok(g, P);
}

static void test_ingest_new_identities_are_claimed_together(void **state)
{
    struct rig *g = *state;
    struct missing list[] = {{.index = 1}, {.index = 2}};
    struct holder held = {rig_id("b"), 1};
    uint32_t calls[2], apply;
    const struct command *c;

    rig_ingest(g, 3, (const char *[]){"a", "b", "c"}, NULL, 0);
    rig_reply(g, g->sent[0].call, missing_at(P, 0, list, 2));
    assert_int_equal(g->n_sent, 2);
    c = rig_sent(g, 0, COMMAND_CLAIM);
    assert_int_equal(c->profile, P);
    assert_true(identity_equal(c->ids[0], rig_id("b")));
    assert_true(identity_equal(c->ids[1], rig_id("a")));
    assert_int_equal(g->sent[0].slot, slot_of_identity(rig_id("b")));
    calls[0] = g->sent[0].call;
    calls[1] = g->sent[1].call;

    rig_reply(g, calls[1], (struct reply){.status = REPLY_CLAIMED, .profile = R, .epoch = 1});
    assert_int_equal(g->n_sent, 0);
    rig_reply(g, calls[0], (struct reply){.status = REPLY_CLAIMED, .profile = Q, .epoch = 1});
    assert_int_equal(g->n_sent, 3);
    c = rig_sent(g, 0, COMMAND_ABSORB);
    assert_int_equal(c->profile, P);
    assert_int_equal(c->other, Q);
    assert_int_equal(c->epoch, 1);
    assert_int_equal(c->content.len, 0);
    assert_true(identity_equal(c->ids[0], rig_id("a")));
    assert_true(identity_equal(c->ids[1], rig_id("b")));
    assert_int_equal(rig_sent(g, 1, COMMAND_ABSORB)->other, R);
    rig_sent(g, 2, COMMAND_APPLY);
    calls[0] = g->sent[0].call;
    calls[1] = g->sent[1].call;
    apply = g->sent[2].call;

    rig_reply(g, calls[0],
              (struct reply){.status = REPLY_ABSORBED, .holders = &held, .n_holders = 1});
    held.id = rig_id("c");
    rig_reply(g, calls[1],
              (struct reply){.status = REPLY_ABSORBED, .holders = &held, .n_holders = 1});
    assert_false(g->answered);
    rig_reply(g, apply, (struct reply){.status = REPLY_OK, .profile = P});
    rig_assert_ok(g, P);
    assert_false(g->ended);

    /* The tail: a claimed loser's index entry and its DONE stay together. */
    assert_int_equal(g->n_sent, 4);
    c = rig_sent(g, 0, COMMAND_REPAIR);
    assert_int_equal(c->profile, P);
    assert_int_equal(c->version, 1);
    assert_true(identity_equal(c->ids[0], rig_id("b")));
    assert_int_equal(rig_sent(g, 1, COMMAND_DONE)->profile, Q);
    rig_sent(g, 2, COMMAND_REPAIR);
    assert_int_equal(rig_sent(g, 3, COMMAND_DONE)->profile, R);
    calls[0] = g->sent[0].call;
    for (uint32_t k = 0; k < 4; k++)
        rig_reply(g, calls[0] + k, (struct reply){.status = REPLY_OK});
    assert_true(g->ended);
}

static void test_ingest_younger_holder_is_frozen_at_once(void **state)
{
    struct rig *g = *state;
    struct missing list[] = {{.index = 1, .hint = R}};
    const struct command *c;

    rig_ingest(g, 2, (const char *[]){"a", "b"}, (one_id[]){P, 0}, 0);
    rig_reply(g, g->sent[0].call, missing_at(P, 3, list, 1));
    c = rig_only(g, COMMAND_FREEZE);
    assert_int_equal(c->profile, R);
    assert_int_equal(c->epoch, 0);
    assert_int_equal(c->other, P);
    assert_true(identity_equal(c->ids[0], rig_id("b")));

    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_HERE, .profile = R, .epoch = 4}); /* frozen before */
    assert_int_equal(rig_only(g, COMMAND_FREEZE)->epoch, 4);
    rig_reply(
        g, g->sent[0].call,
        (struct reply){
            .status = REPLY_FROZEN, .profile = R, .epoch = 5, .content = bytes_of_str("stuff")});
    assert_int_equal(g->n_sent, 2);
    c = rig_sent(g, 0, COMMAND_ABSORB);
    assert_int_equal(c->epoch, 5);
    assert_true(bytes_equal(c->content, bytes_of_str("stuff")));
    rig_sent(g, 1, COMMAND_APPLY);
    assert_int_equal(g->sent[0].slot, g->sent[1].slot);
}

static void test_ingest_older_holder_takes_the_profile(void **state)
{
    struct rig *g = *state;
    struct missing list[] = {{.index = 1, .hint = P}};
    const struct command *c;

    rig_ingest(g, 2, (const char *[]){"a", "b"}, (one_id[]){Q, 0}, 0);
    rig_reply(g, g->sent[0].call, missing_at(Q, 2, list, 1));
    rig_only(g, COMMAND_LOCATE);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_HERE, .profile = P});
    c = rig_only(g, COMMAND_FREEZE);
    assert_int_equal(c->profile, Q);
    assert_int_equal(c->epoch, 2);
    assert_int_equal(c->other, P);
    assert_true(identity_equal(c->ids[0], rig_id("a")));
    assert_true(identity_equal(c->ids[1], rig_id("b")));
    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_FROZEN, .epoch = 3, .content = bytes_of_str("q")});
    assert_int_equal(g->n_sent, 2);
    c = rig_sent(g, 0, COMMAND_ABSORB);
    assert_int_equal(c->profile, P);
    assert_int_equal(c->other, Q);
    assert_true(identity_equal(c->ids[0], rig_id("b"))); /* evidence in the winner */
    assert_int_equal(rig_sent(g, 1, COMMAND_APPLY)->profile, P);
}

static void test_ingest_refused_link_is_skipped_and_aborted(void **state)
{
    struct rig *g = *state;
    struct missing list[] = {{.index = 1}};
    struct skip refused = {rig_id("b"), REFUSAL_LIMIT};
    const struct command *c;
    uint32_t apply;

    rig_ingest(g, 2, (const char *[]){"a", "b"}, NULL, 0);
    rig_reply(g, g->sent[0].call, missing_at(P, 0, list, 1));
    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_CLAIMED, .profile = Q, .epoch = 1});
    apply = g->sent[1].call;
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_REFUSED, .reason = REFUSAL_LIMIT});
    rig_reply(g, apply, missing_at(P, 0, list, 1));
    assert_int_equal(g->n_sent, 2);
    c = rig_sent(g, 0, COMMAND_ABORT);
    assert_int_equal(c->profile, Q);
    assert_int_equal(c->epoch, 1);
    c = rig_sent(g, 1, COMMAND_APPLY);
    assert_int_equal(c->n_ids, 1);
    assert_int_equal(c->n_skips, 1);
    assert_int_equal(c->skips[0].reason, REFUSAL_LIMIT);
    assert_true(identity_equal(c->skips[0].id, rig_id("b")));

    rig_reply(
        g, g->sent[1].call,
        (struct reply){.status = REPLY_OK, .profile = P, .refused = &refused, .n_refused = 1});
    rig_assert_ok(g, P);
    assert_int_equal(g->answer.n_refused, 1);
    assert_int_equal(g->answer.refused[0].reason, REFUSAL_LIMIT);
    assert_int_equal(g->n_learned, 1);
}

static void test_ingest_shared_key_known_elsewhere_is_left_there(void **state)
{
    struct rig *g = *state;
    struct missing list[] = {{.index = 1}};
    const struct command *c;

    rig_ingest(g, 2, (const char *[]){"a", "dev"}, NULL, 1);
    rig_reply(g, g->sent[0].call, missing_at(P, 0, list, 1));
    rig_only(g, COMMAND_CLAIM);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_KNOWN, .profile = R});
    rig_only(g, COMMAND_LOCATE); /* never FREEZE */
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_HERE, .profile = R});
    c = rig_only(g, COMMAND_APPLY);
    assert_int_equal(c->n_ids, 1);
    assert_int_equal(c->skips[0].reason, REFUSAL_NON_BRIDGING);
}

static void test_ingest_merging_profile_is_helped_first(void **state)
{
    struct rig *g = *state;
    struct identity pair[2] = {rig_id("a"), rig_id("z")};
    const struct command *c;

    rig_ingest(g, 1, (const char *[]){"a"}, (one_id[]){R}, 0);
    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_MERGING, .profile = R, .other = P, .epoch = 1});
    c = rig_only(g, COMMAND_LOCATE);
    assert_int_equal(c->profile, R);
    assert_true(c->want_content);
    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_MERGING,
                             .profile = R,
                             .other = P,
                             .epoch = 1,
                             .ids = pair,
                             .n_ids = 2,
                             .content = bytes_of_str("r")});
    c = rig_only(g, COMMAND_ABSORB);
    assert_int_equal(c->profile, P);
    assert_true(identity_equal(c->ids[0], pair[1]));
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_ABSORBED});
    assert_int_equal(rig_only(g, COMMAND_DONE)->profile, R);
    assert_false(g->answered);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_OK});
    assert_int_equal(rig_only(g, COMMAND_APPLY)->profile, P);
}

static void test_ingest_busy_target_is_helped_before_its_loser(void **state)
{
    struct rig *g = *state;
    struct identity pair[2] = {rig_id("a"), rig_id("z")};
    struct reply merging = {.status = REPLY_MERGING,
                            .profile = R,
                            .other = Q,
                            .epoch = 1,
                            .ids = pair,
                            .n_ids = 2,
                            .content = bytes_of_str("r")};

    rig_ingest(g, 1, (const char *[]){"a"}, (one_id[]){R}, 0);
    rig_reply(g, g->sent[0].call, merging);
    rig_reply(g, g->sent[0].call, merging);
    rig_only(g, COMMAND_ABSORB);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_BUSY, .other = P});
    assert_int_equal(rig_only(g, COMMAND_LOCATE)->profile, Q);
    merging.profile = Q;
    merging.other = P;
    rig_reply(g, g->sent[0].call, merging);
    assert_int_equal(rig_only(g, COMMAND_ABSORB)->profile, P);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_STALE});
    assert_int_equal(rig_only(g, COMMAND_ABORT)->profile, Q);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_OK});
    assert_int_equal(rig_only(g, COMMAND_LOCATE)->profile, R);
}

static void test_ingest_lost_call_is_sent_again(void **state)
{
    struct rig *g = *state;

    rig_ingest(g, 1, (const char *[]){"a"}, (one_id[]){P}, 0);
    rig_tick_at(g, saga_wake_ms(g->saga) - 1);
    assert_int_equal(g->n_sent, 0);
    rig_tick_at(g, saga_wake_ms(g->saga));
    rig_only(g, COMMAND_APPLY);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_OK, .profile = P});
    rig_assert_ok(g, P);
}

/* A leader that is gone may have taken it: the message's id says so to the next one, whatever word
 * of it the router got. */
static void test_ingest_refused_call_is_sent_again_soon_and_as_the_same_message(void **state)
{
    static const enum error_code AWAY[] = {ERR_UNAVAILABLE, ERR_NOT_LEADER, ERR_SHUTDOWN};
    struct rig *g = *state;

    rig_ingest(g, 1, (const char *[]){"a"}, (one_id[]){P}, 0);
    for (size_t i = 0; i < sizeof AWAY / sizeof *AWAY; i++) {
        uint32_t call = g->sent[0].call;
        msec_t patient = saga_wake_ms(g->saga);
        rig_reply(g, call, (struct reply){.status = REPLY_ERROR, .error = AWAY[i]});
        assert_int_equal(g->n_sent, 0);
        assert_true(saga_wake_ms(g->saga) < patient);
        rig_tick_at(g, saga_wake_ms(g->saga));
        const struct command *again = rig_only(g, COMMAND_APPLY);
        assert_int_equal(g->sent[0].call, call);
        assert_int_equal(again->profile, P);
        assert_true(bytes_equal(again->message_id, bytes_of_str("m1")));
    }
    assert_false(g->answered);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_DUP, .profile = P});
    rig_assert_ok(g, P);
    assert_true(g->answer.duplicate);
}

/* Else a shard that takes longer than the next copy waits would never be heard. */
static void test_ingest_answer_to_an_earlier_copy_counts_and_the_next_does_not(void **state)
{
    struct rig *g = *state;

    rig_ingest(g, 1, (const char *[]){"a"}, (one_id[]){P}, 0);
    uint32_t first = g->sent[0].call;
    rig_tick_at(g, saga_wake_ms(g->saga));
    rig_only(g, COMMAND_APPLY);
    uint32_t second = g->sent[0].call;
    rig_reply(g, first, (struct reply){.status = REPLY_ABSENT});
    assert_int_equal(g->n_sent, 1);
    uint32_t next = g->sent[0].call;
    assert_int_not_equal(next, second);
    rig_reply(g, second, (struct reply){.status = REPLY_OK, .profile = P});
    assert_false(g->answered);
}

static void test_ingest_wrong_shard_refreshes_the_map_and_repeats(void **state)
{
    struct rig *g = *state;

    rig_ingest(g, 1, (const char *[]){"a"}, (one_id[]){P}, 0);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_WRONG_SHARD});
    assert_int_equal(g->n_refreshed, 1);
    assert_int_equal(g->n_sent, 0);
    rig_tick_at(g, saga_wake_ms(g->saga));
    rig_only(g, COMMAND_APPLY);
}

static void test_ingest_error_that_cannot_pass_is_answered(void **state)
{
    struct rig *g = *state;

    rig_ingest(g, 1, (const char *[]){"a"}, (one_id[]){P}, 0);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_ERROR, .error = ERR_TOO_LARGE});
    assert_true(g->answered && g->ended);
    assert_int_equal(g->answer.code, ERR_TOO_LARGE);
}

static void test_ingest_deadline_is_answered_as_timeout(void **state)
{
    struct rig *g = *state;

    rig_ingest(g, 1, (const char *[]){"a"}, (one_id[]){P}, 0);
    rig_tick_at(g, g->now + 10000);
    assert_true(g->answered && g->ended);
    assert_int_equal(g->answer.code, ERR_TIMEOUT);
    assert_true(saga_wake_ms(g->saga) == INT64_MAX);
}

static void test_ingest_tail_gives_up_and_leaves_the_rest_to_sweeps(void **state)
{
    struct rig *g = *state;
    struct missing list[] = {{.index = 1}};
    uint32_t apply;
    int ticks = 0;

    rig_ingest(g, 2, (const char *[]){"a", "b"}, NULL, 0);
    rig_reply(g, g->sent[0].call, missing_at(P, 0, list, 1));
    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_CLAIMED, .profile = Q, .epoch = 1});
    apply = g->sent[1].call;
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_ABSORBED});
    rig_reply(g, apply, (struct reply){.status = REPLY_OK, .profile = P});
    assert_true(g->answered && !g->ended);
    while (!g->ended && ticks++ < 20)
        rig_tick_at(g, saga_wake_ms(g->saga));
    assert_true(g->ended);
    assert_int_equal(g->answer.code, ERR_OK);
    assert_in_range(ticks, 2, 10);
}

static void test_ingest_stale_merge_is_undone_and_tried_again(void **state)
{
    struct rig *g = *state;
    struct missing list[] = {{.index = 1}};
    uint32_t apply;

    rig_ingest(g, 2, (const char *[]){"a", "b"}, NULL, 0);
    rig_reply(g, g->sent[0].call, missing_at(P, 0, list, 1));
    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_CLAIMED, .profile = Q, .epoch = 1});
    apply = g->sent[1].call;
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_STALE});
    rig_reply(g, apply, (struct reply){.status = REPLY_ELSE});
    rig_sent(g, 0, COMMAND_ABORT);
    rig_sent(g, 1, COMMAND_APPLY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_ingest_known_event_is_one_call),
        T(test_ingest_unknown_primary_starts_at_its_slot),
        T(test_ingest_goto_is_followed_and_absent_forgotten),
        T(test_ingest_new_identities_are_claimed_together),
        T(test_ingest_younger_holder_is_frozen_at_once),
        T(test_ingest_older_holder_takes_the_profile),
        T(test_ingest_refused_link_is_skipped_and_aborted),
        T(test_ingest_shared_key_known_elsewhere_is_left_there),
        T(test_ingest_merging_profile_is_helped_first),
        T(test_ingest_busy_target_is_helped_before_its_loser),
        T(test_ingest_lost_call_is_sent_again),
        T(test_ingest_refused_call_is_sent_again_soon_and_as_the_same_message),
        T(test_ingest_answer_to_an_earlier_copy_counts_and_the_next_does_not),
        T(test_ingest_wrong_shard_refreshes_the_map_and_repeats),
        T(test_ingest_error_that_cannot_pass_is_answered),
        T(test_ingest_deadline_is_answered_as_timeout),
        T(test_ingest_tail_gives_up_and_leaves_the_rest_to_sweeps),
        T(test_ingest_stale_merge_is_undone_and_tried_again),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
