#include <base/rng.h>
#include <cluster/placement.h>
#include <proto/envelope.h>
#include <proto/request.h>
#include <proto/trust.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define B(text)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static const struct event_message sample_event = {
    .message_id = B("m1"),
    .ts = -1700000000123,
    .source = B("tmall"),
    .ids = (struct named_identity[]){{B("phone"), B("13800138000")}, {B("openid"), B("o1")}},
    .n_ids = 2,
    .traits =
        (struct named_value[]){{.name = B("city"), .type = VALUE_TEXT, .text = B("\xE4\xB8\x8A")},
                               {.name = B("birth"), .type = VALUE_NULL},
                               {.name = B("x"), .type = VALUE_REAL, .real = -0.125},
                               {.name = B("y"), .type = VALUE_INTEGER, .integer = INT64_MIN},
                               {.name = B("set"),
                                .type = VALUE_LIST,
                                .list = (struct bytes[]){B("a"), B("b")},
                                .n_list = 2}},
    .n_traits = 5,
    .tags_add = (struct bytes[]){B("vip"), B("new")},
    .n_tags_add = 2,
    .tags_remove = (struct bytes[]){B("old")},
    .n_tags_remove = 1,
    .adds = (struct named_value[]){{.name = B("points"), .type = VALUE_INTEGER, .integer = 120}},
    .n_adds = 1,
    .event = B("order"),
    .fields = (struct named_value[]){{.name = B("amount"), .type = VALUE_REAL, .real = 99.5},
                                     {.name = B("category"), .type = VALUE_TEXT, .text = B("q")}},
    .n_fields = 2,
};

static struct bytes two_texts[] = {B("tag(a)"), B("tag(b)")};

static struct request full_request(enum request_type t)
{
    return (struct request){
        .type = t,
        .deadline_ms = UINT32_MAX,
        .event = &sample_event,
        .id = {B("phone"), B("13800138000")},
        .profile = UINT64_MAX,
        .expr = B("tag(vip)"),
        .by = B("city"),
        .cursor = B("\0\1\xFF"),
        .limit = REQUEST_LIMIT_MAX,
        .name = B("newborn"),
        .exprs = two_texts,
        .n_exprs = 2,
        .by2 = B("level"),
        .fields = two_texts,
        .n_fields = 2,
        .explain = true,
        .wait_ms = 30000,
        .shard = 1023,
        .node = UINT16_MAX,
        .change = B("\1\3\5"), /* the end of task 5 */
        .asked_ms = UINT32_MAX,
    };
}

static struct response full_response(void)
{
    static const struct shard_stats stats = {
        1, 2, 3, 4, 5, 6, 7, 8, 9, {7, 6, 5, 4, 3, 2, 1, 0}, 10, 11, 12, 13, 14, B("avx2"), 15, 16};
    static struct segment_row segments[] = {{B("s"), B("tag(a)"), ERR_OK},
                                            {B("t"), B("tag(b)"), ERR_UNKNOWN_NAME}};
    static struct explain_row terms[] = {{B("tag(a)"), 1, B("set"), 2, 3, 4, 5, 6, 7, 8}};
    static struct explain_shard explain[] = {{UINT16_MAX, 1, 2, 3, terms, 1}, {0}};
    static uint32_t carrying[] = {0, UINT16_MAX};
    static struct shard_status shards[] = {{.shard = UINT16_MAX, .node = 2, .reachable = true},
                                           {0}};
    static struct named_refusal refused[] = {{B("phone"), REFUSAL_LIMIT}, {B("x"), REFUSAL_NONE}};
    static struct count_row groups[] = {{.value = B("g"), .members = 4, .value2 = B("h")},
                                        {.none = true, .members = 5, .none2 = true}};
    static one_id members[] = {7, UINT64_MAX};
    static struct refused_line lines[] = {
        {UINT64_MAX, 3, -1, 8, {B("a"), B("b")}, {B("c"), B("d")}, REFUSAL_BLOCKED, B("m"), B("s")},
        {0}};
    static struct bytes findings[] = {B("f"), B("")};
    static struct node_answer nodes[] = {
        {UINT16_MAX, true, 1700000000123, B("\0status"), {NULL, 0}},
        {.node = 2, .text = B("no connection")}};
    shards[0].stats = stats;
    return (struct response){
        .item = BATCH_ITEMS_MAX - 1,
        .code = ERR_BUSY,
        .text = B("text"),
        .profile = 5,
        .duplicate = true,
        .refused = refused,
        .n_refused = 2,
        .view = B("\0packed"),
        .count = 1,
        .population = 2,
        .in_flight = 3,
        .partial = true,
        .groups = groups,
        .n_groups = 2,
        .members = members,
        .n_members = 2,
        .cursor = B("\0c"),
        .lines = lines,
        .n_lines = 2,
        .shards = shards,
        .n_shards = 2,
        .map_epoch = 11,
        .findings = findings,
        .n_findings = 2,
        .segments = segments,
        .n_segments = 2,
        .catalogue = 4,
        .combos = members,
        .n_combos = 2,
        .rows = B("\0rows"),
        .n_rows = 6,
        .fields = two_texts,
        .n_fields = 2,
        .explain = explain,
        .n_explain = 2,
        .nanos = 7,
        .carrying = carrying,
        .n_carrying = 2,
        .events = B("\1events"),
        .n_events = 9,
        .nodes = nodes,
        .n_nodes = 2,
        .router = B("\0router"),
        .map = B("\0map"),
        .task = 77,
    };
}

static void assert_bytes(struct bytes a, struct bytes b)
{
    assert_int_equal(a.len, b.len);
    assert_true(bytes_equal(a, b));
}

static void assert_list(const struct bytes *a, size_t n, const struct bytes *b, size_t m)
{
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++)
        assert_bytes(a[i], b[i]);
}

static void assert_named(struct named_identity a, struct named_identity b)
{
    assert_bytes(a.ns, b.ns);
    assert_bytes(a.value, b.value);
}

static void assert_values(const struct named_value *a, size_t n, const struct named_value *b,
                          size_t m)
{
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++) {
        assert_bytes(a[i].name, b[i].name);
        assert_int_equal(a[i].type, b[i].type);
        assert_true(a[i].integer == b[i].integer);
        assert_memory_equal(&a[i].real, &b[i].real, sizeof a[i].real);
        assert_bytes(a[i].text, b[i].text);
        assert_list(a[i].list, a[i].n_list, b[i].list, b[i].n_list);
    }
}

static void assert_event(const struct event_message *a, const struct event_message *b)
{
    assert_bytes(a->message_id, b->message_id);
    assert_true(a->ts == b->ts);
    assert_bytes(a->source, b->source);
    assert_int_equal(a->n_ids, b->n_ids);
    for (size_t i = 0; i < a->n_ids; i++)
        assert_named(a->ids[i], b->ids[i]);
    assert_values(a->traits, a->n_traits, b->traits, b->n_traits);
    assert_list(a->tags_add, a->n_tags_add, b->tags_add, b->n_tags_add);
    assert_list(a->tags_remove, a->n_tags_remove, b->tags_remove, b->n_tags_remove);
    assert_values(a->adds, a->n_adds, b->adds, b->n_adds);
    assert_bytes(a->event, b->event);
    assert_values(a->fields, a->n_fields, b->fields, b->n_fields);
}

static void assert_request(const struct request *a, const struct request *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->deadline_ms, b->deadline_ms);
    assert_int_equal(a->event != NULL, b->event != NULL);
    if (a->event)
        assert_event(a->event, b->event);
    assert_named(a->id, b->id);
    assert_true(a->profile == b->profile);
    assert_bytes(a->expr, b->expr);
    assert_bytes(a->by, b->by);
    assert_bytes(a->cursor, b->cursor);
    assert_int_equal(a->limit, b->limit);
    assert_bytes(a->name, b->name);
    assert_list(a->exprs, a->n_exprs, b->exprs, b->n_exprs);
    assert_bytes(a->by2, b->by2);
    assert_list(a->fields, a->n_fields, b->fields, b->n_fields);
    assert_int_equal(a->explain, b->explain);
    assert_int_equal(a->wait_ms, b->wait_ms);
    assert_int_equal(a->asked_ms, b->asked_ms);
    assert_int_equal(a->shard, b->shard);
    assert_int_equal(a->node, b->node);
    assert_bytes(a->change, b->change);
}

static void assert_line(const struct refused_line *a, const struct refused_line *b)
{
    assert_true(a->number == b->number && a->at == b->at && a->profile == b->profile);
    assert_int_equal(a->shard, b->shard);
    assert_named(a->id, b->id);
    assert_named(a->with, b->with);
    assert_int_equal(a->reason, b->reason);
    assert_bytes(a->message_id, b->message_id);
    assert_bytes(a->source, b->source);
}

static void assert_response_rows(const struct response *a, const struct response *b)
{
    assert_int_equal(a->n_refused, b->n_refused);
    for (size_t i = 0; i < a->n_refused; i++) {
        assert_bytes(a->refused[i].ns, b->refused[i].ns);
        assert_int_equal(a->refused[i].reason, b->refused[i].reason);
    }
    assert_int_equal(a->n_groups, b->n_groups);
    for (size_t i = 0; i < a->n_groups; i++) {
        assert_bytes(a->groups[i].value, b->groups[i].value);
        assert_int_equal(a->groups[i].none, b->groups[i].none);
        assert_true(a->groups[i].members == b->groups[i].members);
    }
    assert_int_equal(a->n_members, b->n_members);
    for (size_t i = 0; i < a->n_members; i++)
        assert_true(a->members[i] == b->members[i]);
    assert_int_equal(a->n_lines, b->n_lines);
    for (size_t i = 0; i < a->n_lines; i++)
        assert_line(&a->lines[i], &b->lines[i]);
    assert_int_equal(a->n_shards, b->n_shards);
    for (size_t i = 0; i < a->n_shards; i++) {
        assert_int_equal(a->shards[i].shard, b->shards[i].shard);
        assert_int_equal(a->shards[i].node, b->shards[i].node);
        assert_int_equal(a->shards[i].reachable, b->shards[i].reachable);
        const struct shard_stats *x = &a->shards[i].stats, *y = &b->shards[i].stats;
        assert_memory_equal(x, y, offsetof(struct shard_stats, kernels));
        assert_bytes(x->kernels, y->kernels);
        assert_true(x->catalogue == y->catalogue && x->today == y->today);
    }
}

static void assert_segments(const struct response *a, const struct response *b)
{
    assert_int_equal(a->n_segments, b->n_segments);
    for (size_t i = 0; i < a->n_segments; i++) {
        assert_bytes(a->segments[i].name, b->segments[i].name);
        assert_bytes(a->segments[i].expr, b->segments[i].expr);
        assert_int_equal(a->segments[i].code, b->segments[i].code);
    }
    assert_int_equal(a->n_carrying, b->n_carrying);
    for (size_t i = 0; i < a->n_carrying; i++)
        assert_int_equal(a->carrying[i], b->carrying[i]);
}

static void assert_explain(const struct response *a, const struct response *b)
{
    assert_int_equal(a->n_explain, b->n_explain);
    for (size_t i = 0; i < a->n_explain; i++) {
        const struct explain_shard *x = &a->explain[i], *y = &b->explain[i];
        assert_int_equal(x->shard, y->shard);
        assert_true(x->nanos == y->nanos && x->count == y->count && x->in_flight == y->in_flight);
        assert_int_equal(x->n_rows, y->n_rows);
        for (size_t k = 0; k < x->n_rows; k++) {
            assert_bytes(x->rows[k].term, y->rows[k].term);
            assert_bytes(x->rows[k].strategy, y->rows[k].strategy);
            assert_true(x->rows[k].estimate == y->rows[k].estimate);
            assert_true(x->rows[k].nanos == y->rows[k].nanos);
        }
    }
    assert_int_equal(a->n_combos, b->n_combos);
    for (size_t i = 0; i < a->n_combos; i++)
        assert_true(a->combos[i] == b->combos[i]);
}

static void assert_nodes(const struct response *a, const struct response *b)
{
    assert_int_equal(a->n_nodes, b->n_nodes);
    for (size_t i = 0; i < a->n_nodes; i++) {
        assert_int_equal(a->nodes[i].node, b->nodes[i].node);
        assert_int_equal(a->nodes[i].answers, b->nodes[i].answers);
        assert_true(a->nodes[i].heard_ms == b->nodes[i].heard_ms);
        assert_bytes(a->nodes[i].status, b->nodes[i].status);
        assert_bytes(a->nodes[i].text, b->nodes[i].text);
    }
    assert_bytes(a->router, b->router);
    assert_bytes(a->map, b->map);
    assert_int_equal(a->task, b->task);
}

static void assert_response(const struct response *a, const struct response *b)
{
    assert_int_equal(a->item, b->item);
    assert_int_equal(a->code, b->code);
    assert_bytes(a->text, b->text);
    assert_true(a->profile == b->profile);
    assert_int_equal(a->duplicate, b->duplicate);
    assert_bytes(a->view, b->view);
    assert_true(a->count == b->count && a->population == b->population);
    assert_true(a->in_flight == b->in_flight && a->map_epoch == b->map_epoch);
    assert_int_equal(a->partial, b->partial);
    assert_bytes(a->cursor, b->cursor);
    assert_list(a->findings, a->n_findings, b->findings, b->n_findings);
    assert_response_rows(a, b);
    assert_segments(a, b);
    assert_explain(a, b);
    assert_nodes(a, b);
    assert_true(a->catalogue == b->catalogue && a->nanos == b->nanos && a->n_rows == b->n_rows);
    assert_bytes(a->rows, b->rows);
    assert_bytes(a->events, b->events);
    assert_int_equal(a->n_events, b->n_events);
    assert_list(a->fields, a->n_fields, b->fields, b->n_fields);
}

static void test_request_round_trip_of_every_type(void **state)
{
    (void)state;
    enum { N = REQUEST_TYPE_END };
    struct arena arena = {0};
    struct request sent[N], *got;
    struct buf body = {0};
    size_t n;
    for (size_t i = 0; i < N - 1; i++)
        sent[i] = full_request((enum request_type)(i + 1));
    sent[N - 1] = (struct request){.type = REQUEST_STATS};
    for (size_t i = 0; i < N; i++)
        request_encode(&sent[i], &body);
    assert_int_equal(request_decode(buf_bytes(&body), N, &arena, &got, &n, NULL), ERR_OK);
    assert_int_equal(n, N);
    for (size_t i = 0; i < N; i++)
        assert_request(&got[i], &sent[i]);
    buf_free(&body);
    arena_close(&arena);
}

static void test_response_round_trip(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct response sent[] = {full_response(), {0}}, *got;
    struct buf body = {0};
    size_t n;
    response_encode(&sent[0], &body);
    response_encode(&sent[1], &body);
    assert_int_equal(response_decode(buf_bytes(&body), 2, &arena, &got, &n, NULL), ERR_OK);
    assert_int_equal(n, 2);
    assert_response(&got[0], &sent[0]);
    assert_response(&got[1], &sent[1]);
    buf_free(&body);
    arena_close(&arena);
}

static const struct profile_view sample_profile = {
    .id = UINT64_C(0x0123456789ABCDEF),
    .ids = (struct profile_identity[]){{B("phone"), B("13800138000")}, {B("openid"), B("o1")}},
    .n_ids = 2,
    .traits =
        (struct named_value[]){{.name = B("birth"), .type = VALUE_TEXT, .text = B("2000-01-01")}},
    .n_traits = 1,
    .counters = (struct named_value[]){{.name = B("points"), .type = VALUE_INTEGER, .integer = -5}},
    .n_counters = 1,
    .tags = (struct bytes[]){B("vip"), B("new")},
    .n_tags = 2,
    .channels = (struct profile_channel[]){{B("tmall"), 1, 1700000000123}},
    .n_channels = 1,
    .events =
        (struct profile_event[]){
            {B("order"), 3, 9,
             (struct named_value[]){{.name = B("amount"), .type = VALUE_REAL, .real = 1e-6}}, 1},
            {B("view"), -1, -1, NULL, 0}},
    .n_events = 2,
    .level = B("gold"),
};

static void test_profile_round_trip(void **state)
{
    (void)state;
    const struct profile_view *a = &sample_profile;
    struct arena arena = {0};
    struct profile_view *b;
    struct buf out = {0};
    profile_encode(a, &out);
    assert_int_equal(profile_decode(buf_bytes(&out), &arena, &b, NULL), ERR_OK);
    assert_true(a->id == b->id);
    assert_int_equal(a->n_ids, b->n_ids);
    for (size_t i = 0; i < a->n_ids; i++) {
        assert_bytes(a->ids[i].ns, b->ids[i].ns);
        assert_bytes(a->ids[i].value, b->ids[i].value);
    }
    assert_values(a->traits, a->n_traits, b->traits, b->n_traits);
    assert_values(a->counters, a->n_counters, b->counters, b->n_counters);
    assert_list(a->tags, a->n_tags, b->tags, b->n_tags);
    assert_int_equal(a->n_channels, b->n_channels);
    assert_bytes(a->channels[0].source, b->channels[0].source);
    assert_true(a->channels[0].first == b->channels[0].first);
    assert_true(a->channels[0].last == b->channels[0].last);
    assert_int_equal(a->n_events, b->n_events);
    for (size_t i = 0; i < a->n_events; i++) {
        const struct profile_event *x = &a->events[i], *y = &b->events[i];
        assert_bytes(x->name, y->name);
        assert_true(x->count == y->count && x->last == y->last);
        assert_values(x->sums, x->n_sums, y->sums, y->n_sums);
    }
    assert_bytes(a->level, b->level);
    buf_free(&out);
    arena_close(&arena);
}

static void test_request_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct bytes body;
    } bad[] = {
        {"request 0: unknown type", B("\x0A\0")},
        {"request 0: unknown type", B("\x0A\2\x08\x7F")},
        {"request 0: missing event", B("\x0A\2\x08\1")},
        {"request 0: not a message", B("\x0A\2\x08\x80")},
        {"request 0: unknown type of a value", B("\x0A\x08\x08\1\x1A\4\x2A\2\x10\x05")},
        {"request batch: not a batch", B("\x0A\5\x08\1")},
        {"request batch: not a batch", B("\x12\0")},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct arena arena = {0};
        struct request *got;
        struct error err;
        size_t n;
        assert_int_equal(request_decode(bad[i].body, 1, &arena, &got, &n, &err), ERR_MALFORMED);
        assert_string_equal(err.msg, bad[i].why);
        assert_null(got);
        assert_int_equal(n, 0);
        arena_close(&arena);
    }
}

static void test_response_unknown_code_is_internal(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct response sent = {.code = (enum error_code)999}, *got;
    struct buf body = {0};
    size_t n;
    response_encode(&sent, &body);
    assert_int_equal(response_decode(buf_bytes(&body), 1, &arena, &got, &n, NULL), ERR_OK);
    assert_int_equal(got->code, ERR_INTERNAL);
    buf_free(&body);
    arena_close(&arena);
}

static void test_response_item_out_of_range(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct response sent = {.item = BATCH_ITEMS_MAX}, *got;
    struct buf body = {0};
    struct error err;
    size_t n;
    response_encode(&sent, &body);
    assert_int_equal(response_decode(buf_bytes(&body), 1, &arena, &got, &n, &err), ERR_MALFORMED);
    assert_string_equal(err.msg, "response 0: item out of range");
    buf_free(&body);
    arena_close(&arena);
}

static void test_profile_without_one_id_is_malformed(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct profile_view *got;
    struct error err;
    assert_int_equal(profile_decode(bytes_of(NULL, 0), &arena, &got, &err), ERR_MALFORMED);
    assert_string_equal(err.msg, "profile: missing One-ID");
    assert_null(got);
    arena_close(&arena);
}

/* --- hostile input: the three kinds alike --- */

enum kind { REQUESTS, RESPONSES, PROFILE, N_KINDS };

static struct buf sample_of(enum kind k)
{
    struct buf b = {0};
    struct request a = full_request(REQUEST_INGEST), c = full_request(REQUEST_LIST);
    struct response r = full_response();
    if (k == REQUESTS) {
        request_encode(&a, &b);
        request_encode(&c, &b);
    } else if (k == RESPONSES) {
        response_encode(&r, &b);
        response_encode(&r, &b);
    } else {
        profile_encode(&sample_profile, &b);
    }
    return b;
}

/* Decodes a copy that ends where its memory ends, so that the sanitizer sees every step beyond. */
static enum error_code decode_exact(enum kind k, struct arena *arena, struct bytes in)
{
    uint8_t *copy = malloc(in.len ? in.len : 1);
    if (in.len)
        memcpy(copy, in.data, in.len);
    struct bytes b = bytes_of(copy, in.len);
    struct request *q;
    struct response *r;
    struct profile_view *v;
    size_t n;
    enum error_code code = k == REQUESTS    ? request_decode(b, 2, arena, &q, &n, NULL)
                           : k == RESPONSES ? response_decode(b, 2, arena, &r, &n, NULL)
                                            : profile_decode(b, arena, &v, NULL);
    arena_reset(arena);
    free(copy);
    return code;
}

static void test_request_truncated(void **state)
{
    (void)state;
    struct arena arena = {0};
    for (enum kind k = REQUESTS; k < N_KINDS; k++) {
        struct buf b = sample_of(k);
        for (size_t n = 0; n < b.len; n++) {
            enum error_code code = decode_exact(k, &arena, bytes_of(b.data, n));
            /* A profile stands alone: cut between two of its fields it is a smaller profile. */
            assert_true(code == ERR_MALFORMED || (k == PROFILE && code == ERR_OK));
        }
        assert_int_equal(decode_exact(k, &arena, buf_bytes(&b)), ERR_OK);
        buf_free(&b);
    }
    arena_close(&arena);
}

static void test_request_mutated_never_crashes(void **state)
{
    (void)state;
    struct rng rng = rng_of_seed(7);
    struct arena arena = {0};
    for (enum kind k = REQUESTS; k < N_KINDS; k++) {
        struct buf b = sample_of(k);
        size_t refused = 0;
        for (size_t i = 0; i < b.len; i++) {
            uint8_t was = b.data[i];
            for (unsigned bit = 0; bit < 12; bit++) {
                b.data[i] = (uint8_t)(bit < 8 ? was ^ 1u << bit : rng_u64(&rng));
                enum error_code code = decode_exact(k, &arena, buf_bytes(&b));
                assert_true(code == ERR_OK || code == ERR_MALFORMED);
                refused += code != ERR_OK;
            }
            b.data[i] = was;
        }
        assert_true(refused > b.len / 2);
        buf_free(&b);
    }
    arena_close(&arena);
}

static void test_request_arena_limit_at_every_step(void **state)
{
    (void)state;
    for (enum kind k = REQUESTS; k < N_KINDS; k++) {
        struct buf b = sample_of(k);
        struct arena arena;
        size_t limit = 16;
        enum error_code code;
        do {
            arena_init(&arena, limit);
            code = decode_exact(k, &arena, buf_bytes(&b));
            assert_true(code == ERR_OK || code == ERR_TOO_LARGE);
            arena_close(&arena);
            limit += 16;
        } while (code != ERR_OK);
        assert_true(limit > 500);
        buf_free(&b);
    }
}

/* --- roles --- */

static void test_every_request_has_a_name_and_a_role(void **state)
{
    (void)state;
    for (int t = REQUEST_INGEST; t < REQUEST_TYPE_END; t++) {
        unsigned role = request_role((enum request_type)t);
        assert_true(role == ROLE_READER || role == ROLE_WRITER || role == ROLE_ADMIN);
        assert_string_not_equal(request_name((enum request_type)t), "other");
        assert_int_equal(request_is_audited((enum request_type)t), role == ROLE_ADMIN);
    }
    assert_int_equal(request_role(REQUEST_INGEST), ROLE_WRITER);
    assert_int_equal(request_role(REQUEST_PROFILE), ROLE_READER);
    assert_int_equal(request_role(REQUEST_SEGMENT_DROP), ROLE_ADMIN);
    assert_int_equal(request_role((enum request_type)0), ROLE_ADMIN);
    assert_int_equal(request_role((enum request_type)250), ROLE_ADMIN);
}

/* --- request_check --- */

static void expect_change(const struct placement_change *change, enum error_code code)
{
    struct buf b = {0};
    placement_change_encode(change, &b);
    struct request r = {.type = REQUEST_NODE_TASK, .change = buf_bytes(&b)};
    assert_int_equal(request_check(&r, NULL), code);
    r.change.len--;
    assert_int_not_equal(request_check(&r, NULL), ERR_OK);
    buf_free(&b);
}

static void test_check_of_a_change_of_the_map(void **state)
{
    (void)state;
    static uint8_t big[2000] = {'x'};
    struct placement_change c = {.op = PLACEMENT_BEGIN,
                                 .request = {MAP_TASK_ADD, 4, 0, B("tcp://10.0.0.4:7001")}};
    expect_change(&c, ERR_OK);
    c.request = (struct placement_request){MAP_TASK_REPLACE, 4, 5, B("tcp://10.0.0.4:7001")};
    expect_change(&c, ERR_OK);
    c.request.listen = bytes_of("\xFF", 1);
    expect_change(&c, ERR_INVALID);
    c.request.listen = bytes_of(big, sizeof big);
    expect_change(&c, ERR_TOO_LARGE);
    expect_change(&(struct placement_change){.op = PLACEMENT_CANCEL, .task = 9}, ERR_OK);
    /* What only the cluster does itself. */
    expect_change(&(struct placement_change){.op = PLACEMENT_SEED, .map = B("map")}, ERR_INVALID);
    expect_change(&(struct placement_change){.op = PLACEMENT_SETTLE, .shard = 1}, ERR_INVALID);
    expect_change(&(struct placement_change){.op = PLACEMENT_READ}, ERR_INVALID);
    struct request none = {.type = REQUEST_NODE_TASK};
    assert_int_equal(request_check(&none, NULL), ERR_INVALID);
}

static void expect_verdict(const struct event_message *e, enum error_code code, const char *why)
{
    struct request r = {.type = REQUEST_INGEST, .event = e};
    struct error err;
    assert_int_equal(request_check(&r, &err), code);
    assert_string_equal(err.msg, why);
}

static void test_check_takes_the_samples(void **state)
{
    (void)state;
    for (int t = 1; t < REQUEST_TYPE_END; t++) {
        struct request r = full_request((enum request_type)t);
        assert_int_equal(request_check(&r, NULL), ERR_OK);
        assert_string_not_equal(request_type_name(r.type), "UNKNOWN");
    }
}

static void test_check_of_an_event(void **state)
{
    (void)state;
    static uint8_t big[EVENT_MAX_SIZE];
    memset(big, 'x', sizeof big);
    struct event_message e = sample_event;
    e.message_id.len = 0;
    expect_verdict(&e, ERR_INVALID, "missing message_id");
    e.message_id = bytes_of(big, MESSAGE_ID_MAX + 1);
    expect_verdict(&e, ERR_TOO_LARGE, "message_id is too long");
    e = sample_event;
    e.source = bytes_of(big, SOURCE_MAX_LEN + 1);
    expect_verdict(&e, ERR_TOO_LARGE, "source is too long");
    e.source = bytes_of("\xFF", 1);
    expect_verdict(&e, ERR_INVALID, "not UTF-8");
    e = sample_event;
    e.n_ids = 0;
    expect_verdict(&e, ERR_NO_IDENTITY, "no identity");
    e.n_ids = EVENT_IDENTITIES_MAX + 1;
    expect_verdict(&e, ERR_TOO_LARGE, "too many identities");
    e = sample_event;
    e.tags_remove = (struct bytes[]){{NULL, 0}};
    expect_verdict(&e, ERR_INVALID, "an empty tag");
    e.tags_remove = (struct bytes[]){bytes_of(big, TAG_MAX_LEN + 1)};
    expect_verdict(&e, ERR_TOO_LARGE, "a tag is too long");
    e = sample_event;
    e.event.len = 0;
    expect_verdict(&e, ERR_INVALID, "fields without an event");
    e = sample_event;
    e.n_fields = EVENT_FIELDS_MAX + 1;
    expect_verdict(&e, ERR_TOO_LARGE, "too many fields");
    e = sample_event;
    struct named_identity many[EVENT_IDENTITIES_MAX];
    for (size_t i = 0; i < EVENT_IDENTITIES_MAX; i++)
        many[i] = (struct named_identity){bytes_of(big, 1), bytes_of(big, 1024)};
    e.ids = many;
    e.n_ids = EVENT_IDENTITIES_MAX;
    expect_verdict(&e, ERR_TOO_LARGE, "event is too large");
    /* An identity's value may be anything: it is refused by itself, later. */
    e.n_ids = 2;
    struct request r = {.type = REQUEST_INGEST, .event = &e};
    assert_int_equal(request_check(&r, NULL), ERR_OK);
}

static void check_one_value(struct named_value v, enum error_code code, const char *why)
{
    struct event_message e = sample_event;
    e.traits = &v;
    e.n_traits = 1;
    expect_verdict(&e, code, why);
}

static void test_check_of_values(void **state)
{
    (void)state;
    static uint8_t big[STRING_VALUE_MAX + 1];
    memset(big, 'x', sizeof big);
    struct bytes none = {NULL, 0};
    check_one_value((struct named_value){.type = VALUE_NULL}, ERR_INVALID, "a value without name");
    check_one_value((struct named_value){.name = bytes_of(big, NAME_MAX_LEN + 1)}, ERR_TOO_LARGE,
                    "a name is too long");
    check_one_value((struct named_value){.name = B("x"), .text = bytes_of(big, sizeof big)},
                    ERR_TOO_LARGE, "a text is too long");
    check_one_value((struct named_value){.name = B("x"), .type = VALUE_REAL, .real = (double)NAN},
                    ERR_INVALID, "a number that is not finite");
    check_one_value(
        (struct named_value){.name = B("x"), .type = VALUE_LIST, .list = &none, .n_list = 1},
        ERR_INVALID, "an empty element of a set");
    struct event_message e = sample_event;
    struct named_value v = {.name = B("points"), .type = VALUE_REAL, .real = 1};
    e.adds = &v;
    expect_verdict(&e, ERR_INVALID, "what is added to a counter is not a whole number");
    e = sample_event;
    v.type = VALUE_NULL;
    e.fields = &v;
    e.n_fields = 1;
    expect_verdict(&e, ERR_INVALID, "a field that is neither number nor text");
}

static void test_check_of_questions(void **state)
{
    (void)state;
    static const struct {
        struct request r;
        enum error_code code;
    } bad[] = {
        {{.type = REQUEST_INGEST}, ERR_INVALID},
        {{.type = REQUEST_RESOLVE}, ERR_INVALID},
        {{.type = REQUEST_PROFILE}, ERR_INVALID},
        {{.type = REQUEST_COUNT}, ERR_INVALID},
        {{.type = REQUEST_LIST}, ERR_INVALID},
        {{.type = REQUEST_BREAKDOWN, .expr = B("x")}, ERR_INVALID},
        {{.type = REQUEST_COUNT, .expr = B("\xC0")}, ERR_INVALID},
        {{.type = REQUEST_STATS, .limit = REQUEST_LIMIT_MAX + 1}, ERR_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(request_check(&bad[i].r, NULL), bad[i].code);
    struct request by_one_id = {.type = REQUEST_PROFILE, .profile = 1};
    assert_int_equal(request_check(&by_one_id, NULL), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_request_has_a_name_and_a_role),
        cmocka_unit_test(test_request_round_trip_of_every_type),
        cmocka_unit_test(test_response_round_trip),
        cmocka_unit_test(test_profile_round_trip),
        cmocka_unit_test(test_request_malformed),
        cmocka_unit_test(test_response_unknown_code_is_internal),
        cmocka_unit_test(test_response_item_out_of_range),
        cmocka_unit_test(test_profile_without_one_id_is_malformed),
        cmocka_unit_test(test_request_truncated),
        cmocka_unit_test(test_request_mutated_never_crashes),
        cmocka_unit_test(test_request_arena_limit_at_every_step),
        cmocka_unit_test(test_check_takes_the_samples),
        cmocka_unit_test(test_check_of_a_change_of_the_map),
        cmocka_unit_test(test_check_of_an_event),
        cmocka_unit_test(test_check_of_values),
        cmocka_unit_test(test_check_of_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
