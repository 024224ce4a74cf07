/* The read saga: follows pointers, never writes. */
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

static void start(struct rig *g, const char *id, one_id profile)
{
    struct saga_start s = {.kind = SAGA_READ};

    s.in.read.id = id ? rig_id(id) : (struct identity){0};
    s.in.read.profile = profile;
    s.in.read.want_profile = true;
    rig_start(g, &s);
}

static void test_read_cached_identity_is_one_call(void **state)
{
    struct rig *g = *state;

    start(g, "a", P);
    assert_int_equal(rig_only(g, COMMAND_GET)->profile, P);
    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_HERE, .profile = P, .content = bytes_of_str("view")});
    rig_assert_ok(g, P);
    assert_true(bytes_equal(g->answer.content, bytes_of_str("view")));
    assert_true(g->ended);
    assert_int_equal(g->n_learned, 0);
}

static void test_read_unknown_identity_is_not_found(void **state)
{
    struct rig *g = *state;

    start(g, "a", 0);
    assert_int_equal(rig_only(g, COMMAND_GET)->profile, 0);
    assert_int_equal(g->sent[0].slot, slot_of_identity(rig_id("a")));
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_ABSENT});
    assert_int_equal(g->answer.code, ERR_NOT_FOUND);
    assert_true(g->ended);
}

static void test_read_redirect_is_followed_and_learned(void **state)
{
    struct rig *g = *state;

    start(g, "a", R);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_GOTO, .profile = P});
    assert_int_equal(rig_only(g, COMMAND_GET)->profile, P);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_HERE, .profile = P});
    rig_assert_ok(g, P);
    assert_int_equal(g->n_learned, 1);
    assert_int_equal(g->learned.profile, P);
}

static void test_read_stale_cache_is_forgotten(void **state)
{
    struct rig *g = *state;

    start(g, "a", R);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_ABSENT});
    assert_int_equal(g->n_forgotten, 1);
    assert_int_equal(g->forgotten.profile, R);
    assert_int_equal(rig_only(g, COMMAND_GET)->profile, 0);
}

static void test_read_merging_profile_asks_its_target(void **state)
{
    struct rig *g = *state;

    start(g, "a", Q);
    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_MERGING,
                             .profile = Q,
                             .other = P,
                             .content = bytes_of_str("snapshot")});
    assert_int_equal(rig_only(g, COMMAND_GET)->profile, P);
    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_HERE, .profile = P, .content = bytes_of_str("all")});
    rig_assert_ok(g, P);
    assert_true(bytes_equal(g->answer.content, bytes_of_str("all")));
}

static void test_read_snapshot_answers_until_the_target_has_it(void **state)
{
    struct rig *g = *state;

    start(g, "a", Q);
    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_MERGING,
                             .profile = Q,
                             .other = P,
                             .content = bytes_of_str("snapshot")});
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_ELSE});
    rig_assert_ok(g, Q);
    assert_true(bytes_equal(g->answer.content, bytes_of_str("snapshot")));
}

/* The target may have absorbed the profile, merged on itself and been dropped since. */
static void test_read_snapshot_is_not_the_answer_when_the_target_is_gone(void **state)
{
    static const struct reply merging = {.status = REPLY_MERGING, .profile = Q, .other = P};
    struct rig *g = *state;

    start(g, "a", 0);
    rig_reply(g, g->sent[0].call, merging);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_ABSENT});
    assert_false(g->ended);
    rig_tick_at(g, saga_wake_ms(g->saga));
    assert_int_equal(rig_only(g, COMMAND_GET)->profile, 0);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_HERE, .profile = R});
    rig_assert_ok(g, R);

    saga_reset(g->saga);
    g->answered = g->ended = false;
    start(g, "a", 0);
    rig_reply(g, g->sent[0].call, merging);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_ABSENT});
    rig_tick_at(g, saga_wake_ms(g->saga));
    rig_reply(g, g->sent[0].call, merging); /* still: it was not absorbed */
    rig_assert_ok(g, Q);
}

static void test_read_by_one_id_chases_and_reports_not_found(void **state)
{
    struct rig *g = *state;

    start(g, NULL, R);
    assert_int_equal(rig_only(g, COMMAND_GET)->n_ids, 0);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_GOTO, .profile = P});
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_HERE, .profile = P});
    rig_assert_ok(g, P);

    saga_reset(g->saga);
    g->answered = g->ended = false;
    start(g, NULL, R);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_ABSENT});
    assert_int_equal(g->answer.code, ERR_NOT_FOUND);
}

static void test_read_moving_target_starts_again_later(void **state)
{
    struct rig *g = *state;

    start(g, "a", 0);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_GOTO, .profile = P});
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_ELSE});
    assert_int_equal(g->n_sent, 0);
    rig_tick_at(g, saga_wake_ms(g->saga));
    assert_int_equal(rig_only(g, COMMAND_GET)->profile, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_read_cached_identity_is_one_call),
        T(test_read_unknown_identity_is_not_found),
        T(test_read_redirect_is_followed_and_learned),
        T(test_read_stale_cache_is_forgotten),
        T(test_read_merging_profile_asks_its_target),
        T(test_read_snapshot_answers_until_the_target_has_it),
        T(test_read_snapshot_is_not_the_answer_when_the_target_is_gone),
        T(test_read_by_one_id_chases_and_reports_not_found),
        T(test_read_moving_target_starts_again_later),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
