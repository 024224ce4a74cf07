#include <base/rng.h>
#include <proto/command.h>
#include <proto/envelope.h>
#include <proto/facts.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define B(text)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static const enum command_type all_types[] = {
    COMMAND_APPLY,        COMMAND_CLAIM,        COMMAND_FREEZE,
    COMMAND_ABSORB,       COMMAND_DONE,         COMMAND_ABORT,
    COMMAND_REPAIR,       COMMAND_DROP,         COMMAND_LOCATE,
    COMMAND_GET,          COMMAND_SWEEP,        COMMAND_STATS,
    COMMAND_REFUSED,      COMMAND_CHECK,        COMMAND_COUNT,
    COMMAND_LIST,         COMMAND_BREAKDOWN,    COMMAND_SEGMENT_DEFINE,
    COMMAND_SEGMENT_DROP, COMMAND_SEGMENT_SYNC, COMMAND_DAY,
    COMMAND_SEGMENTS,     COMMAND_REFRESH,      COMMAND_OVERLAP,
    COMMAND_ROWS,         COMMAND_WATCH_START,  COMMAND_WATCH_STOP,
    COMMAND_WATCH_READ,   COMMAND_LEAD,         COMMAND_MAP};
enum { N_TYPES = sizeof all_types / sizeof all_types[0] };

static struct identity two_ids[] = {{7, B("13800138000")}, {UINT32_MAX, B("o-1")}};
static struct bytes two_texts[] = {B("tag(a)"), B("tag(b)")};
static struct skip two_skips[] = {{{9, B("anonymous")}, REFUSAL_BLOCKED},
                                  {{9, {NULL, 0}}, REFUSAL_TAG_LIMIT}};

struct fixture {
    struct buf facts, behaviour;
    struct arena arena;
};

static int setup(void **state)
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

static int teardown(void **state)
{
    struct fixture *f = *state;
    buf_free(&f->facts);
    buf_free(&f->behaviour);
    arena_close(&f->arena);
    free(f);
    return 0;
}

/* Every field set to something of its own. */
static struct command full_command(const struct fixture *f, enum command_type t)
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

static void assert_bytes(struct bytes a, struct bytes b)
{
    assert_int_equal(a.len, b.len);
    assert_true(bytes_equal(a, b));
}

static void assert_texts(const struct bytes *a, size_t n, const struct bytes *b, size_t m)
{
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++)
        assert_bytes(a[i], b[i]);
}

static void assert_skips(const struct skip *a, size_t n, const struct skip *b, size_t m)
{
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++) {
        assert_true(identity_equal(a[i].id, b[i].id));
        assert_int_equal(a[i].reason, b[i].reason);
    }
}

static void assert_command(const struct command *a, const struct command *b)
{
    assert_int_equal(a->type, b->type);
    assert_true(a->profile == b->profile && a->other == b->other);
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->n_ids, b->n_ids);
    for (size_t i = 0; i < a->n_ids; i++)
        assert_true(identity_equal(a->ids[i], b->ids[i]));
    assert_bytes(a->message_id, b->message_id);
    assert_true(a->ts == b->ts);
    assert_bytes(a->source, b->source);
    assert_bytes(a->facts, b->facts);
    assert_bytes(a->behaviour, b->behaviour);
    assert_bytes(a->content, b->content);
    assert_skips(a->skips, a->n_skips, b->skips, b->n_skips);
    assert_int_equal(a->want_content, b->want_content);
    assert_bytes(a->expr, b->expr);
    assert_bytes(a->by, b->by);
    assert_int_equal(a->today, b->today);
    assert_true(a->cursor == b->cursor);
    assert_int_equal(a->limit, b->limit);
    assert_int_equal(a->age_ms, b->age_ms);
    assert_int_equal(a->deadline_ms, b->deadline_ms);
    assert_bytes(a->name, b->name);
    assert_true(a->catalogue == b->catalogue);
    assert_texts(a->exprs, a->n_exprs, b->exprs, b->n_exprs);
    assert_bytes(a->by2, b->by2);
    assert_texts(a->fields, a->n_fields, b->fields, b->n_fields);
    assert_int_equal(a->explain, b->explain);
}

static enum error_code decode_one(struct fixture *f, const struct command *c, struct command **out,
                                  struct error *err)
{
    struct buf body = {0};
    size_t n;
    command_encode(c, &body);
    struct bytes lasting = arena_copy(&f->arena, buf_bytes(&body));
    buf_free(&body);
    enum error_code code = command_decode(lasting, 1, &f->arena, out, &n, err);
    assert_int_equal(n, code == ERR_OK ? 1 : 0);
    return code;
}

static void test_command_round_trip_of_every_type(void **state)
{
    struct fixture *f = *state;
    struct command sent[N_TYPES], *got;
    struct buf body = {0};
    size_t n;
    for (size_t i = 0; i < N_TYPES; i++) {
        sent[i] = full_command(f, all_types[i]);
        command_encode(&sent[i], &body);
    }
    assert_int_equal(command_decode(buf_bytes(&body), N_TYPES, &f->arena, &got, &n, NULL), ERR_OK);
    assert_int_equal(n, N_TYPES);
    for (size_t i = 0; i < N_TYPES; i++)
        assert_command(&got[i], &sent[i]);
    buf_free(&body);
}

static void test_command_least_round_trip(void **state)
{
    struct fixture *f = *state;
    struct command sent = {.type = COMMAND_STATS}, *got;
    assert_int_equal(decode_one(f, &sent, &got, NULL), ERR_OK);
    assert_command(got, &sent);
    assert_int_equal(command_decode(bytes_of(NULL, 0), 0, &f->arena, &got, &(size_t){1}, NULL),
                     ERR_OK);
}

static void refuse(struct fixture *f, struct command c, const char *why)
{
    struct error err;
    struct command *got;
    assert_int_equal(decode_one(f, &c, &got, &err), ERR_MALFORMED);
    char wanted[240] = "command 0: ";
    strcat(wanted, why);
    assert_string_equal(err.msg, wanted);
    assert_null(got);
}

static void test_command_required_fields(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < N_TYPES; i++) {
        enum command_type t = all_types[i];
        struct command c = full_command(f, t), *got;
        bool to_profile = t >= COMMAND_CLAIM && t <= COMMAND_DROP;
        c.profile = 0;
        if (to_profile)
            refuse(f, c, "missing profile");
        else
            assert_int_equal(decode_one(f, &c, &got, NULL), ERR_OK);
        c = full_command(f, t);
        c.other = 0;
        if (t == COMMAND_FREEZE || t == COMMAND_ABSORB || t == COMMAND_LEAD)
            refuse(f, c, "missing other");
        else
            assert_int_equal(decode_one(f, &c, &got, NULL), ERR_OK);
        c = full_command(f, t);
        c.n_ids = 0;
        if (t <= COMMAND_ABSORB || t == COMMAND_REPAIR)
            refuse(f, c, "missing identity");
        c.profile = 0;
        if (t == COMMAND_LOCATE || t == COMMAND_GET)
            refuse(f, c, "missing profile and identity");
        c = full_command(f, t);
        c.n_ids = 2;
        if (t > COMMAND_ABSORB)
            refuse(f, c, "too many identities for its type");
        c = full_command(f, t);
        c.expr = c.by = (struct bytes){0};
        bool wants_expr = t == COMMAND_SEGMENT_DEFINE || t == COMMAND_ROWS ||
                          (t >= COMMAND_COUNT && t <= COMMAND_BREAKDOWN);
        if (wants_expr)
            refuse(f, c, "missing expr");
        else
            assert_int_equal(decode_one(f, &c, &got, NULL), ERR_OK);
        bool changes = t == COMMAND_SEGMENT_DEFINE || t == COMMAND_SEGMENT_DROP;
        c = full_command(f, t);
        c.name = (struct bytes){0};
        if (changes || t == COMMAND_WATCH_START || t == COMMAND_WATCH_STOP || command_is_watch(t))
            refuse(f, c, "missing name");
        c = full_command(f, t);
        c.catalogue = 0;
        if (changes || t == COMMAND_REFRESH)
            refuse(f, c, "missing catalogue");
        c = full_command(f, t);
        c.n_exprs = 0;
        if (t == COMMAND_OVERLAP)
            refuse(f, c, "missing exprs");
        c = full_command(f, t);
        c.content = (struct bytes){0};
        if (t == COMMAND_ABSORB || t == COMMAND_SEGMENT_SYNC || t == COMMAND_MAP)
            refuse(f, c, "missing content");
    }
    struct command c = full_command(f, COMMAND_BREAKDOWN), *got;
    c.by = (struct bytes){0};
    refuse(f, c, "missing by");
    c = full_command(f, COMMAND_APPLY);
    c.message_id = (struct bytes){0};
    refuse(f, c, "missing message_id");
    c = full_command(f, COMMAND_ABSORB);
    c.content = (struct bytes){0};
    c.epoch = 1; /* a profile that was born merging has none worth saying */
    assert_int_equal(decode_one(f, &c, &got, NULL), ERR_OK);
}

static void test_command_limits(void **state)
{
    struct fixture *f = *state;
    static uint8_t big[COMMAND_TEXT_MAX + 1];
    struct identity ids[EVENT_IDENTITIES_MAX + 1];
    struct skip skips[EVENT_IDENTITIES_MAX + 1];
    struct command c = full_command(f, COMMAND_APPLY), *got;
    for (size_t i = 0; i <= EVENT_IDENTITIES_MAX; i++) {
        ids[i] = (struct identity){1, bytes_of(big, IDENTITY_VALUE_MAX)};
        skips[i] = (struct skip){ids[i], REFUSAL_LIMIT};
    }
    c.ids = ids;
    c.n_ids = EVENT_IDENTITIES_MAX;
    c.skips = skips;
    c.n_skips = EVENT_IDENTITIES_MAX;
    c.message_id = bytes_of(big, MESSAGE_ID_MAX);
    c.source = bytes_of(big, SOURCE_MAX_LEN);
    c.expr = c.by = bytes_of(big, COMMAND_TEXT_MAX);
    assert_int_equal(decode_one(f, &c, &got, NULL), ERR_OK);
    assert_command(got, &c);

    const struct command most = c;
    c.n_ids++;
    refuse(f, c, "too many identities");
    c = most;
    c.n_skips++;
    refuse(f, c, "too many skips");
    c = most;
    c.message_id.len++;
    refuse(f, c, "message_id is too long");
    c = most;
    c.source.len++;
    refuse(f, c, "source is too long");
    c = most;
    c.expr.len++;
    refuse(f, c, "expr or by is too long");
    c = most;
    c.limit++;
    refuse(f, c, "limit is too great");
    uint8_t *much = calloc(1, COMMAND_MAP_MAX + 1);
    assert_non_null(much);
    c = full_command(f, COMMAND_MAP);
    c.content = bytes_of(much, COMMAND_MAP_MAX);
    assert_int_equal(decode_one(f, &c, &got, NULL), ERR_OK);
    c.content.len++;
    refuse(f, c, "content is too long");
    free(much);
    ids[1].value.len++;
    refuse(f, most, "an identity's value is empty or too long");
    ids[1].value.len = 0;
    refuse(f, most, "an identity's value is empty or too long");
    ids[1] = (struct identity){0, bytes_of(big, 1)};
    refuse(f, most, "an identity without namespace");
    ids[1] = ids[0];
    skips[3].id.value.len++;
    refuse(f, most, "a refused identity's value is too long");
    skips[3] = (struct skip){ids[0], (enum refusal)99};
    refuse(f, most, "unknown reason of a refusal");
}

static void test_command_bad_payload(void **state)
{
    struct fixture *f = *state;
    struct command c = full_command(f, COMMAND_APPLY), *got;
    c.facts.len--;
    refuse(f, c, "facts are not canonical");
    c.type = COMMAND_CLAIM; /* does not look at facts */
    assert_int_equal(decode_one(f, &c, &got, NULL), ERR_OK);
    c = full_command(f, COMMAND_APPLY);
    c.behaviour.len--;
    refuse(f, c, "behaviour is not well-formed");
}

static void test_command_unknown_type(void **state)
{
    struct fixture *f = *state;
    static const uint8_t bad[] = {0, 30, 31, 62, 63, 126, 127};
    for (size_t i = 0; i < sizeof bad; i++) {
        uint8_t body[] = {0x0A, 2, 0x08, bad[i]};
        struct command *got;
        struct error err;
        size_t n;
        assert_int_equal(command_decode(bytes_of(body, sizeof body), 1, &f->arena, &got, &n, &err),
                         ERR_MALFORMED);
        assert_string_equal(err.msg, "command 0: unknown type");
    }
}

static void test_command_error_names_the_item(void **state)
{
    struct fixture *f = *state;
    struct command good = full_command(f, COMMAND_APPLY), bad = good, *got;
    struct buf body = {0};
    struct error err;
    size_t n;
    bad.message_id = (struct bytes){0};
    for (size_t i = 0; i < 5; i++)
        command_encode(i == 3 ? &bad : &good, &body);
    assert_int_equal(command_decode(buf_bytes(&body), 5, &f->arena, &got, &n, &err), ERR_MALFORMED);
    assert_string_equal(err.msg, "command 3: missing message_id");
    buf_free(&body);
}

static void test_command_item_count_must_match(void **state)
{
    struct fixture *f = *state;
    struct command c = full_command(f, COMMAND_APPLY), *got;
    struct buf body = {0};
    struct error err;
    size_t n;
    command_encode(&c, &body);
    command_encode(&c, &body);
    assert_int_equal(command_decode(buf_bytes(&body), 1, &f->arena, &got, &n, &err), ERR_MALFORMED);
    assert_string_equal(err.msg, "command batch: more items than announced");
    assert_int_equal(command_decode(buf_bytes(&body), 3, &f->arena, &got, &n, &err), ERR_MALFORMED);
    assert_string_equal(err.msg, "command batch: fewer items than announced");
    assert_int_equal(command_decode(buf_bytes(&body), BATCH_ITEMS_MAX, &f->arena, &got, &n, &err),
                     ERR_MALFORMED);
    assert_int_equal(
        command_decode(buf_bytes(&body), BATCH_ITEMS_MAX + 1, &f->arena, &got, &n, &err),
        ERR_MALFORMED);
    buf_put_u8(&body, 0x12); /* field 2 */
    assert_int_equal(command_decode(buf_bytes(&body), 2, &f->arena, &got, &n, &err), ERR_MALFORMED);
    buf_free(&body);
}

/* --- replies --- */

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

static struct reply full_reply(enum reply_status s)
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

/* --- hostile input --- */

struct sample {
    struct buf body;
    uint32_t items;
};

static struct sample sample_commands(const struct fixture *f)
{
    struct sample s = {.items = 3};
    struct command a = full_command(f, COMMAND_APPLY), b = full_command(f, COMMAND_LIST),
                   c = full_command(f, COMMAND_ABSORB);
    command_encode(&a, &s.body);
    command_encode(&b, &s.body);
    command_encode(&c, &s.body);
    return s;
}

static struct sample sample_replies(void)
{
    struct sample s = {.items = 2};
    struct reply a = full_reply(REPLY_MISSING), b = full_reply(REPLY_OK);
    reply_encode(&a, &s.body);
    reply_encode(&b, &s.body);
    return s;
}

/* Decodes a copy that ends where its memory ends, so that the sanitizer sees every step beyond. */
static enum error_code decode_exact(struct arena *arena, struct bytes in, uint32_t items,
                                    bool replies)
{
    uint8_t *copy = malloc(in.len ? in.len : 1);
    if (in.len)
        memcpy(copy, in.data, in.len);
    struct command *c;
    struct reply *r;
    size_t n;
    enum error_code code = replies
                               ? reply_decode(bytes_of(copy, in.len), items, arena, &r, &n, NULL)
                               : command_decode(bytes_of(copy, in.len), items, arena, &c, &n, NULL);
    arena_reset(arena);
    free(copy);
    return code;
}

static void test_decode_truncated_is_malformed(void **state)
{
    struct fixture *f = *state;
    for (int replies = 0; replies < 2; replies++) {
        struct sample s = replies ? sample_replies() : sample_commands(f);
        for (size_t n = 0; n < s.body.len; n++)
            assert_int_equal(decode_exact(&f->arena, bytes_of(s.body.data, n), s.items, replies),
                             ERR_MALFORMED);
        assert_int_equal(decode_exact(&f->arena, buf_bytes(&s.body), s.items, replies), ERR_OK);
        buf_free(&s.body);
    }
}

static void test_decode_mutated_never_crashes(void **state)
{
    struct fixture *f = *state;
    struct rng rng = rng_of_seed(42);
    for (int replies = 0; replies < 2; replies++) {
        struct sample s = replies ? sample_replies() : sample_commands(f);
        size_t refused = 0;
        for (size_t i = 0; i < s.body.len; i++) {
            uint8_t was = s.body.data[i];
            for (unsigned k = 0; k < 12; k++) {
                s.body.data[i] = (uint8_t)(k < 8 ? was ^ 1u << k : rng_u64(&rng));
                enum error_code code =
                    decode_exact(&f->arena, buf_bytes(&s.body), s.items, replies);
                assert_true(code == ERR_OK || code == ERR_MALFORMED);
                refused += code != ERR_OK;
            }
            s.body.data[i] = was;
        }
        assert_true(refused > s.body.len);
        buf_free(&s.body);
    }
}

/* Memory runs out at every single allocation in turn: the error is clean, and nothing is lost. */
static void test_decode_arena_limit_at_every_step(void **state)
{
    struct fixture *f = *state;
    for (int replies = 0; replies < 2; replies++) {
        struct sample s = replies ? sample_replies() : sample_commands(f);
        struct arena arena;
        size_t limit = 16;
        enum error_code code;
        do {
            arena_init(&arena, limit);
            code = decode_exact(&arena, buf_bytes(&s.body), s.items, replies);
            assert_true(code == ERR_OK || code == ERR_TOO_LARGE);
            arena_close(&arena);
            limit += 16;
        } while (code != ERR_OK);
        assert_true(limit > 1000);
        buf_free(&s.body);
    }
}

static void test_decode_empty_submessages_are_bounded(void **state)
{
    struct fixture *f = *state;
    enum { N = 200000 };
    struct buf body = {0};
    buf_put_u8(&body, 0x0A);
    buf_put_varint(&body, 2 * N);
    for (size_t i = 0; i < N; i++)
        buf_put_u16(&body, 6 << 3 | 2); /* an empty element of `ids` */
    struct arena arena;
    arena_init(&arena, 1 << 20);
    assert_int_equal(decode_exact(&arena, buf_bytes(&body), 1, false), ERR_TOO_LARGE);
    assert_int_equal(decode_exact(&f->arena, buf_bytes(&body), 1, false), ERR_MALFORMED);
    arena_close(&arena);
    buf_free(&body);
}

/* --- names --- */

static void test_names_cover_every_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_TYPES; i++)
        assert_non_null(command_type_name(all_types[i]));
    for (int s = 1; s < REPLY_STATUS_END; s++)
        assert_string_not_equal(reply_status_name((enum reply_status)s), "UNKNOWN");
    assert_string_equal(refusal_name(REFUSAL_NEVER_LINK), "NEVER_LINK");
    assert_string_equal(refusal_text(REFUSAL_BLOCKED), "blocked value");
    assert_string_equal(refusal_name((enum refusal)40), "UNKNOWN");
    assert_false(command_is_read(COMMAND_DROP));
    assert_true(command_is_read(COMMAND_LOCATE) && command_is_read(COMMAND_CHECK));
    assert_false(command_is_read(COMMAND_COUNT));
    assert_false(command_is_query(COMMAND_CHECK));
    assert_true(command_is_query(COMMAND_COUNT) && command_is_query(COMMAND_BREAKDOWN));
    assert_false(command_is_query(COMMAND_WATCH_READ) || command_is_read(COMMAND_WATCH_START));
    assert_false(command_is_read(COMMAND_MAP) || command_is_query(COMMAND_MAP));
    assert_true(command_is_watch(COMMAND_WATCH_READ) && !command_is_watch(COMMAND_ROWS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_round_trip_of_every_type),
        cmocka_unit_test(test_command_least_round_trip),
        cmocka_unit_test(test_command_required_fields),
        cmocka_unit_test(test_command_limits),
        cmocka_unit_test(test_command_bad_payload),
        cmocka_unit_test(test_command_unknown_type),
        cmocka_unit_test(test_command_error_names_the_item),
        cmocka_unit_test(test_command_item_count_must_match),
        cmocka_unit_test(test_reply_round_trip_of_every_status),
        cmocka_unit_test(test_reply_many_members),
        cmocka_unit_test(test_reply_required_fields),
        cmocka_unit_test(test_decode_truncated_is_malformed),
        cmocka_unit_test(test_decode_mutated_never_crashes),
        cmocka_unit_test(test_decode_arena_limit_at_every_step),
        cmocka_unit_test(test_decode_empty_submessages_are_bounded),
        cmocka_unit_test(test_names_cover_every_value),
    };
    struct CMUnitTest with_fixture[sizeof tests / sizeof tests[0]];
    memcpy(with_fixture, tests, sizeof tests);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        with_fixture[i].setup_func = setup;
        with_fixture[i].teardown_func = teardown;
    }
    return cmocka_run_group_tests(with_fixture, NULL, NULL);
}
