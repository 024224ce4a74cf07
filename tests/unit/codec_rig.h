/* Commands and replies to be encoded, with every field set to something of its own. */
#ifndef CODEC_RIG_H
#define CODEC_RIG_H

#include <proto/command.h>
#include <proto/facts.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define B(text)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static struct identity two_ids[] = {{7, B("13800138000")}, {UINT32_MAX, B("o-1")}};
static struct bytes two_texts[] = {B("tag(a)"), B("tag(b)")};
static struct skip two_skips[] = {{{9, B("anonymous")}, REFUSAL_BLOCKED},
                                  {{9, {NULL, 0}}, REFUSAL_TAG_LIMIT}};

struct fixture {
    struct buf facts, behaviour;
    struct arena arena;
};

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct facts_builder b;
    facts_builder_init(&b, &f->arena);
    facts_builder_add(&b, &(struct fact){.kind = FACT_TAG, .sub = B("vip"), .ts = 5, .number = 1});
    facts_builder_add(&b, &(struct fact){.kind = FACT_SUM, .name = 3, .number = -120});
    assert_true(facts_builder_finish(&b, &f->facts));
    struct behaviour e = {.event = 4, .ts = 5, .day = 19000, .count = 1};
    e.fields[0] = (struct behaviour_field){.id = 1, .type = FIELD_NUMBER, .number = 99500000};
    e.n_fields = 1;
    behaviour_encode(&e, &f->behaviour);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    buf_free(&f->facts);
    buf_free(&f->behaviour);
    arena_close(&f->arena);
    free(f);
    return 0;
}

static inline struct command full_command(const struct fixture *f, enum command_type t)
{
    return (struct command){
        .type = t,
        .profile = UINT64_C(0x1122334455667788),
        .other = UINT64_MAX,
        .epoch = UINT32_MAX,
        .version = 12,
        .ids = two_ids,
        .n_ids =
            t == COMMAND_APPLY || t == COMMAND_CLAIM || t == COMMAND_FREEZE || t == COMMAND_ABSORB
                ? 2
            : t == COMMAND_REPAIR || t == COMMAND_LOCATE || t == COMMAND_GET ? 1
                                                                             : 0,
        .message_id = B("m1"),
        .ts = -1700000000123,
        .source = B("tmall"),
        .facts = buf_bytes(&f->facts),
        .behaviour = buf_bytes(&f->behaviour),
        .content = B("\0content\xFF"),
        .skips = two_skips,
        .n_skips = 2,
        .want_content = true,
        .expr = B("tag(vip)"),
        .by = B("city"),
        .today = -19000,
        .cursor = UINT64_MAX - 1,
        .limit = COMMAND_LIMIT_MAX,
        .age_ms = 1000,
        .deadline_ms = 2000,
        .name = B("newborn"),
        .catalogue = UINT64_MAX,
        .exprs = two_texts,
        .n_exprs = 2,
        .by2 = B("level"),
        .fields = two_texts,
        .n_fields = 2,
        .explain = true,
    };
}

static inline void assert_bytes(struct bytes a, struct bytes b)
{
    assert_int_equal(a.len, b.len);
    assert_true(bytes_equal(a, b));
}

static inline void assert_texts(const struct bytes *a, size_t n, const struct bytes *b, size_t m)
{
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++)
        assert_bytes(a[i], b[i]);
}

static inline void assert_skips(const struct skip *a, size_t n, const struct skip *b, size_t m)
{
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++) {
        assert_true(identity_equal(a[i].id, b[i].id));
        assert_int_equal(a[i].reason, b[i].reason);
    }
}

static struct missing missing[] = {{0, 0}, {EVENT_IDENTITIES_MAX - 1, 77}};
static struct holder holders[] = {{{7, B("13800138000")}, 3}, {{8, B("x")}, 0}};
static one_id some_ids[] = {1, UINT64_MAX, 5};
static struct count_row counts[] = {
    {.value = B("\xE4\xB8\x8A"), .members = 12, .none2 = true},
    {.none = true, .members = UINT64_MAX, .value2 = B("v"), .error = ERR_TOO_LARGE}};
static struct explain_row explain[] = {{B("tag(a)"), 1, B("set"), 2, 3, 4, 5, 6, 7, 8},
                                       {B(""), 0, B(""), UINT64_MAX, 0, 0, 0, 0, 0, 0}};
static const struct shard_stats stats = {
    1, 2, 3, 4, 5, 6, 7, 8, 9, {0, 1, 2, 3, 4, 5, 6, 7}, 10, 11, 12, 13, 14, B("avx2"), 15, -16};

static inline struct reply full_reply(enum reply_status s)
{
    static struct sweep_row sweeps[] = {{.kind = SWEEP_MERGING, .profile = 4},
                                        {SWEEP_TOMBSTONE, 5, holders, 2, some_ids, 3}};
    static struct refused_row refusals[] = {
        {1, 1700000000123, 9, {7, B("a")}, {8, B("b")}, REFUSAL_NEVER_LINK, B("m"), B("crm")},
        {UINT64_MAX, -1, 0, {0, {NULL, 0}}, {0, {NULL, 0}}, REFUSAL_NONE, {NULL, 0}, {NULL, 0}}};
    return (struct reply){
        .status = s,
        .error = ERR_BUSY,
        .text = B("text"),
        .profile = 3,
        .other = 4,
        .epoch = 5,
        .version = 6,
        .ids = two_ids,
        .n_ids = 2,
        .reason = REFUSAL_LIMIT,
        .missing = missing,
        .n_missing = 2,
        .refused = two_skips,
        .n_refused = 2,
        .holders = holders,
        .n_holders = 2,
        .content = B("content"),
        .sweeps = sweeps,
        .n_sweeps = 2,
        .refusals = refusals,
        .n_refusals = 2,
        .counts = counts,
        .n_counts = 2,
        .members = some_ids,
        .n_members = 3,
        .cursor = 7,
        .population = 8,
        .in_flight = 9,
        .stats = &stats,
        .created = true,
        .catalogue = 10,
        .combos = some_ids,
        .n_combos = 3,
        .rows = B("\0rows"),
        .n_rows = 11,
        .explain = explain,
        .n_explain = 2,
        .nanos = UINT64_MAX,
    };
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
