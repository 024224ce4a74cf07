/* The sweep: helps merges left behind; drops a tombstone only when nothing leads to it. */
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

static void start(struct rig *g, struct sweep_row *rows, size_t n)
{
    struct saga_start s = {.kind = SAGA_SWEEP};

    s.in.sweep = (struct saga_sweep){.slot = 77, .age_ms = 1000, .limit = 10};
    rig_start(g, &s);
    assert_int_equal(rig_only(g, COMMAND_SWEEP)->age_ms, 1000);
    assert_int_equal(g->sent[0].slot, 77);
    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_OK, .sweeps = rows, .n_sweeps = n});
}

static void test_sweep_of_nothing_ends(void **state)
{
    struct rig *g = *state;

    start(g, NULL, 0);
    assert_true(g->answered && g->ended);
    assert_int_equal(g->answer.code, ERR_OK);
}

static void test_sweep_helps_a_merge_left_behind(void **state)
{
    struct rig *g = *state;
    struct sweep_row row = {.kind = SWEEP_MERGING, .profile = R};
    struct identity pair[2] = {rig_id("a"), rig_id("b")};
    struct holder held = {rig_id("a"), 4};

    start(g, &row, 1);
    rig_only(g, COMMAND_LOCATE);
    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_MERGING,
                             .profile = R,
                             .other = P,
                             .epoch = 2,
                             .ids = pair,
                             .n_ids = 2,
                             .content = bytes_of_str("c")});
    assert_int_equal(rig_only(g, COMMAND_ABSORB)->epoch, 2);
    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_ABSORBED, .holders = &held, .n_holders = 1});
    assert_int_equal(g->n_sent, 2);
    assert_int_equal(rig_sent(g, 0, COMMAND_REPAIR)->version, 4);
    assert_int_equal(rig_sent(g, 1, COMMAND_DONE)->epoch, 2);
    uint32_t done = g->sent[1].call;
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_OK});
    rig_reply(g, done, (struct reply){.status = REPLY_OK});
    assert_true(g->ended);
    assert_int_equal(g->answer.helped, 1);
}

static struct sweep_row tombstone(struct holder *ids, size_t n, one_id *absorbed, size_t n_absorbed)
{
    return (struct sweep_row){.kind = SWEEP_TOMBSTONE,
                              .profile = Q,
                              .ids = ids,
                              .n_ids = n,
                              .absorbed = absorbed,
                              .n_absorbed = n_absorbed};
}

static void test_sweep_drops_when_all_indexes_are_beyond(void **state)
{
    struct rig *g = *state;
    struct holder ids[] = {{rig_id("a"), 1}};
    one_id absorbed[] = {R};
    struct sweep_row row = tombstone(ids, 1, absorbed, 1);
    uint32_t second;

    start(g, &row, 1);
    assert_int_equal(g->n_sent, 2);
    assert_int_equal(rig_sent(g, 0, COMMAND_LOCATE)->profile, R);
    assert_int_equal(rig_sent(g, 1, COMMAND_LOCATE)->profile, 0);
    second = g->sent[1].call;
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_ABSENT});
    rig_reply(g, second, (struct reply){.status = REPLY_KNOWN, .profile = P, .version = 2});
    assert_int_equal(rig_only(g, COMMAND_DROP)->profile, Q);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_OK});
    assert_int_equal(g->answer.dropped, 1);
}

static void test_sweep_repairs_a_lagging_index_before_it_drops(void **state)
{
    struct rig *g = *state;
    struct holder ids[] = {{rig_id("a"), 1}};
    struct sweep_row row = tombstone(ids, 1, NULL, 0);
    const struct command *c;

    start(g, &row, 1);
    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_KNOWN, .profile = Q, .version = 1});
    assert_int_equal(rig_only(g, COMMAND_LOCATE)->profile, Q);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_GOTO, .profile = P});
    assert_int_equal(rig_only(g, COMMAND_LOCATE)->profile, P);
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_HERE, .profile = P, .version = 2});
    c = rig_only(g, COMMAND_REPAIR);
    assert_int_equal(c->profile, P);
    assert_int_equal(c->version, 2);
    assert_int_equal(g->sent[0].slot, slot_of_identity(rig_id("a")));
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_OK});
    rig_only(g, COMMAND_DROP);
}

static void test_sweep_keeps_a_tombstone_while_a_loser_is_merging(void **state)
{
    struct rig *g = *state;
    struct holder ids[] = {{rig_id("a"), 1}};
    one_id absorbed[] = {R};
    struct sweep_row row = tombstone(ids, 1, absorbed, 1);
    uint32_t second;

    start(g, &row, 1);
    second = g->sent[1].call;
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_MERGING, .profile = R});
    rig_reply(g, second, (struct reply){.status = REPLY_KNOWN, .profile = P, .version = 2});
    assert_int_equal(rig_only(g, COMMAND_LOCATE)->profile, R); /* helps it instead */
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_GOTO, .profile = P});
    assert_true(g->ended);
    assert_int_equal(g->answer.dropped, 0);
}

static void test_sweep_keeps_a_tombstone_whose_holder_is_unknown(void **state)
{
    struct rig *g = *state;
    struct holder ids[] = {{rig_id("a"), 3}};
    struct sweep_row row = tombstone(ids, 1, NULL, 0);

    start(g, &row, 1);
    rig_reply(g, g->sent[0].call,
              (struct reply){.status = REPLY_KNOWN, .profile = Q, .version = 1});
    rig_reply(g, g->sent[0].call, (struct reply){.status = REPLY_ABSENT});
    assert_true(g->ended);
    assert_int_equal(g->answer.dropped, 0);
}

static void test_sweep_checks_more_identities_than_fit_at_once(void **state)
{
    struct rig *g = *state;
    struct holder ids[500];
    struct sweep_row row = tombstone(ids, 500, NULL, 0);
    static uint32_t calls[2000];
    size_t head = 0, tail = 0;

    for (size_t i = 0; i < 500; i++)
        ids[i] = (struct holder){rig_id("a"), 1};
    start(g, &row, 1);
    for (size_t k = 0; k < g->n_sent; k++)
        calls[tail++] = g->sent[k].call;
    assert_true(tail < 500);
    while (head < tail) {
        rig_reply(g, calls[head++],
                  (struct reply){.status = REPLY_KNOWN, .profile = P, .version = 2});
        if (head == 500)
            break;
        for (size_t k = 0; k < g->n_sent; k++)
            calls[tail++] = g->sent[k].call;
    }
    assert_int_equal(tail, 500);
    rig_only(g, COMMAND_DROP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_sweep_of_nothing_ends),
        T(test_sweep_helps_a_merge_left_behind),
        T(test_sweep_drops_when_all_indexes_are_beyond),
        T(test_sweep_repairs_a_lagging_index_before_it_drops),
        T(test_sweep_keeps_a_tombstone_while_a_loser_is_merging),
        T(test_sweep_keeps_a_tombstone_whose_holder_is_unknown),
        T(test_sweep_checks_more_identities_than_fit_at_once),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
