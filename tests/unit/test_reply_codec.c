/* Replies as they travel. */
#include "codec_rig.h"

#include <string.h>

static void assert_holders(const struct holder *a, size_t n, const struct holder *b, size_t m)
{
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++) {
        assert_true(identity_equal(a[i].id, b[i].id));
        assert_int_equal(a[i].version, b[i].version);
    }
}

static void assert_refusal(const struct refused_row *a, const struct refused_row *b)
{
    assert_true(a->number == b->number && a->at == b->at && a->profile == b->profile);
    assert_true(identity_equal(a->id, b->id) && identity_equal(a->with, b->with));
    assert_int_equal(a->reason, b->reason);
    assert_bytes(a->message_id, b->message_id);
    assert_bytes(a->source, b->source);
}

static void assert_rows(const struct reply *a, const struct reply *b)
{
    assert_int_equal(a->n_sweeps, b->n_sweeps);
    for (size_t i = 0; i < a->n_sweeps; i++) {
        const struct sweep_row *x = &a->sweeps[i], *y = &b->sweeps[i];
        assert_int_equal(x->kind, y->kind);
        assert_true(x->profile == y->profile);
        assert_holders(x->ids, x->n_ids, y->ids, y->n_ids);
        assert_int_equal(x->n_absorbed, y->n_absorbed);
        for (size_t k = 0; k < x->n_absorbed; k++)
            assert_true(x->absorbed[k] == y->absorbed[k]);
    }
    assert_int_equal(a->n_refusals, b->n_refusals);
    for (size_t i = 0; i < a->n_refusals; i++)
        assert_refusal(&a->refusals[i], &b->refusals[i]);
    assert_int_equal(a->n_counts, b->n_counts);
    for (size_t i = 0; i < a->n_counts; i++) {
        assert_bytes(a->counts[i].value, b->counts[i].value);
        assert_int_equal(a->counts[i].none, b->counts[i].none);
        assert_true(a->counts[i].members == b->counts[i].members);
        assert_bytes(a->counts[i].value2, b->counts[i].value2);
        assert_int_equal(a->counts[i].none2, b->counts[i].none2);
        assert_int_equal(a->counts[i].error, b->counts[i].error);
    }
    assert_int_equal(a->n_members, b->n_members);
    for (size_t i = 0; i < a->n_members; i++)
        assert_true(a->members[i] == b->members[i]);
}

static void assert_stats(const struct shard_stats *a, const struct shard_stats *b)
{
    assert_memory_equal(a, b, offsetof(struct shard_stats, kernels));
    assert_bytes(a->kernels, b->kernels);
    assert_true(a->catalogue == b->catalogue && a->today == b->today);
}

static void assert_explain(const struct explain_row *a, const struct explain_row *b)
{
    assert_bytes(a->term, b->term);
    assert_bytes(a->strategy, b->strategy);
    assert_int_equal(a->depth, b->depth);
    assert_true(a->estimate == b->estimate && a->chunks == b->chunks);
    assert_true(a->skipped == b->skipped && a->nanos == b->nanos);
    assert_true(a->emptied == b->emptied && a->decided == b->decided && a->probed == b->probed);
}

static void assert_reply(const struct reply *a, const struct reply *b)
{
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->error, b->error);
    assert_bytes(a->text, b->text);
    assert_true(a->profile == b->profile && a->other == b->other);
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->n_ids, b->n_ids);
    for (size_t i = 0; i < a->n_ids; i++)
        assert_true(identity_equal(a->ids[i], b->ids[i]));
    assert_int_equal(a->reason, b->reason);
    assert_int_equal(a->n_missing, b->n_missing);
    for (size_t i = 0; i < a->n_missing; i++) {
        assert_int_equal(a->missing[i].index, b->missing[i].index);
        assert_true(a->missing[i].hint == b->missing[i].hint);
    }
    assert_skips(a->refused, a->n_refused, b->refused, b->n_refused);
    assert_holders(a->holders, a->n_holders, b->holders, b->n_holders);
    assert_bytes(a->content, b->content);
    assert_rows(a, b);
    assert_true(a->cursor == b->cursor && a->population == b->population);
    assert_true(a->in_flight == b->in_flight);
    assert_int_equal(a->created, b->created);
    assert_int_equal(a->stats != NULL, b->stats != NULL);
    if (a->stats)
        assert_stats(a->stats, b->stats);
    assert_true(a->catalogue == b->catalogue && a->nanos == b->nanos && a->n_rows == b->n_rows);
    assert_int_equal(a->n_combos, b->n_combos);
    for (size_t i = 0; i < a->n_combos; i++)
        assert_true(a->combos[i] == b->combos[i]);
    assert_bytes(a->rows, b->rows);
    assert_int_equal(a->n_explain, b->n_explain);
    for (size_t i = 0; i < a->n_explain; i++)
        assert_explain(&a->explain[i], &b->explain[i]);
}

static void test_reply_round_trip_of_every_status(void **state)
{
    struct fixture *f = *state;
    enum { N = REPLY_STATUS_END - 1 };
    struct reply sent[N], *got;
    struct buf body = {0};
    size_t n;
    for (size_t i = 0; i < N; i++) {
        sent[i] = full_reply((enum reply_status)(i + 1));
        reply_encode(&sent[i], &body);
    }
    assert_int_equal(reply_decode(buf_bytes(&body), N, &f->arena, &got, &n, NULL), ERR_OK);
    assert_int_equal(n, N);
    for (size_t i = 0; i < N; i++)
        assert_reply(&got[i], &sent[i]);
    buf_free(&body);
}

static void test_reply_many_members(void **state)
{
    struct fixture *f = *state;
    enum { N = 20000 };
    one_id *members = calloc(N, sizeof *members);
    struct holder *many = calloc(N, sizeof *many);
    for (size_t i = 0; i < N; i++) {
        members[i] = i * i;
        many[i] = (struct holder){{1, bytes_of(members, 1 + i % 100)}, (uint32_t)i};
    }
    struct reply sent = {.status = REPLY_OK, .members = members, .n_members = N}, *got;
    sent.holders = many;
    sent.n_holders = N;
    struct buf body = {0};
    size_t n;
    reply_encode(&sent, &body);
    assert_int_equal(reply_decode(buf_bytes(&body), 1, &f->arena, &got, &n, NULL), ERR_OK);
    assert_reply(&got[0], &sent);
    buf_free(&body);
    free(members);
    free(many);
}

static void refuse_reply(struct fixture *f, struct reply r, const char *why)
{
    struct buf body = {0};
    struct error err;
    struct reply *got;
    size_t n;
    reply_encode(&r, &body);
    assert_int_equal(reply_decode(buf_bytes(&body), 1, &f->arena, &got, &n, &err), ERR_MALFORMED);
    char wanted[240] = "reply 0: ";
    strcat(wanted, why);
    assert_string_equal(err.msg, wanted);
    buf_free(&body);
}

static void test_reply_required_fields(void **state)
{
    struct fixture *f = *state;
    static const enum reply_status leading[] = {REPLY_GOTO, REPLY_CLAIMED, REPLY_KNOWN,
                                                REPLY_MISSING};
    for (size_t i = 0; i < sizeof leading / sizeof leading[0]; i++)
        refuse_reply(f, (struct reply){.status = leading[i]}, "missing profile");
    refuse_reply(f, (struct reply){.status = REPLY_MERGING}, "missing other");
    refuse_reply(f, (struct reply){.status = REPLY_BUSY}, "missing other");
    refuse_reply(f, (struct reply){.status = REPLY_MERGING, .other = 1}, "missing evidence");
    refuse_reply(f, (struct reply){.status = REPLY_ERROR}, "missing error");
    struct missing far = {EVENT_IDENTITIES_MAX, 0};
    refuse_reply(f, (struct reply){.status = REPLY_OK, .missing = &far, .n_missing = 1},
                 "index of a missing identity out of range");
    refuse_reply(f, (struct reply){.status = REPLY_OK, .reason = (enum refusal)50},
                 "unknown reason of a refusal");
    struct sweep_row row = {.kind = (enum sweep_kind)3, .profile = 1};
    refuse_reply(f, (struct reply){.status = REPLY_OK, .sweeps = &row, .n_sweeps = 1},
                 "unknown kind of sweep row");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(test_reply_round_trip_of_every_status),
        WITH_FIXTURE(test_reply_many_members),
        WITH_FIXTURE(test_reply_required_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
