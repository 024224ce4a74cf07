/* Commands as they travel, and the names of what they carry. */
#include "codec_rig.h"

#include <proto/envelope.h>

#include <string.h>

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
        WITH_FIXTURE(test_command_round_trip_of_every_type),
        WITH_FIXTURE(test_command_least_round_trip),
        WITH_FIXTURE(test_command_required_fields),
        WITH_FIXTURE(test_command_limits),
        WITH_FIXTURE(test_command_bad_payload),
        WITH_FIXTURE(test_command_unknown_type),
        WITH_FIXTURE(test_command_error_names_the_item),
        WITH_FIXTURE(test_command_item_count_must_match),
        WITH_FIXTURE(test_names_cover_every_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
