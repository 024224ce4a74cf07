/* The blocking calls, against a router on a thread of its own. */
#include "fake_router.h"

#include <cluster/placement.h>
#include <oneid/oneid.h>
#include <proto/rows.h>
#include <proto/status.h>
#include <proto/watch.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>

enum { LOOK_MS = 20, PATIENT_MS = 60000 };

struct world {
    struct fake_router fake;
    struct oneid_client *client;
    pthread_t thread;
    _Atomic bool stop;
};

static struct named_value VALUES[] = {
    {.name = {(const uint8_t *)"city", 4}, .type = VALUE_TEXT, .text = {(const uint8_t *)"x", 1}},
    {.name = {(const uint8_t *)"points", 6}, .type = VALUE_INTEGER, .integer = -7},
    {.name = {(const uint8_t *)"amount", 6}, .type = VALUE_REAL, .real = 99.5},
};

static void encode_profile(struct buf *out)
{
    struct bytes list[] = {bytes_of_str("a"), bytes_of_str("b")};
    struct profile_identity ids[] = {{bytes_of_str("phone"), bytes_of_str("138")}};
    struct named_value traits[] = {
        VALUES[0], {.name = bytes_of_str("set"), .type = VALUE_LIST, .list = list, .n_list = 2}};
    struct profile_channel channels[] = {{bytes_of_str("tmall"), 10, 20}};
    struct profile_event events[] = {
        {.name = bytes_of_str("order"), .count = 3, .last = 30, .sums = &VALUES[2], .n_sums = 1}};
    struct profile_view v = {.id = 42,
                             .ids = ids,
                             .n_ids = 1,
                             .traits = traits,
                             .n_traits = 2,
                             .counters = &VALUES[1],
                             .n_counters = 1,
                             .tags = list,
                             .n_tags = 2,
                             .channels = channels,
                             .n_channels = 1,
                             .events = events,
                             .n_events = 1,
                             .level = bytes_of_str("gold")};
    profile_encode(&v, out);
}

static struct named_refusal REFUSED[] = {{{(const uint8_t *)"device", 6}, REFUSAL_NON_BRIDGING}};
static struct count_row GROUPS[] = {{.value = {(const uint8_t *)"x", 1}, .members = 5},
                                    {.none = true, .members = 6}};
static one_id MEMBERS[] = {7, 8};
static struct refused_line LINES[] = {
    {.number = 1,
     .shard = 2,
     .at = 3,
     .profile = 4,
     .id = {{(const uint8_t *)"phone", 5}, {(const uint8_t *)"1", 1}},
     .reason = REFUSAL_LIMIT,
     .message_id = {(const uint8_t *)"m", 1}}};
static struct shard_status SHARDS[] = {
    {.shard = 0, .node = 1, .reachable = true, .stats = {.profiles = 9, .events = 10}},
    {.shard = 1, .node = 2}};
static struct bytes FINDINGS[] = {{(const uint8_t *)"shard 1: odd", 12}};

static uint32_t CARRYING[] = {1, 4};
static struct segment_row SEGMENTS[] = {
    {{(const uint8_t *)"a", 1}, {(const uint8_t *)"tag(a)", 6}, ERR_OK},
    {{(const uint8_t *)"b", 1}, {(const uint8_t *)"gone = 1", 8}, ERR_UNKNOWN_NAME}};

/* One row with a value of each kind; cut short when the cursor says so. */
static struct response export_page(const struct request *q)
{
    static uint8_t room[200];
    struct bytes list[] = {bytes_of_str("x"), bytes_of_str("y")};
    struct buf rows = {0};
    rows_put_member(&rows, 42);
    rows_put_text(&rows, bytes_of_str("Aix"));
    rows_put_integer(&rows, -5);
    rows_put_decimal(&rows, 2500000);
    rows_put_none(&rows);
    rows_put_list(&rows, list, 2);
    size_t len = bytes_equal(q->cursor, bytes_of_str("cut")) ? rows.len - 1 : rows.len;
    assert_true(len <= sizeof room);
    memcpy(room, rows.data, len);
    buf_free(&rows);
    return (struct response){.rows = bytes_of(room, len),
                             .n_rows = 1,
                             .fields = q->fields,
                             .n_fields = q->n_fields,
                             .cursor = bytes_of_str("next")};
}

/* Three times shard 4 still looks, then it does not answer `check_silences` times. */
static _Atomic uint32_t check_silences;
static struct response check_answer(const struct request *q)
{
    static uint32_t left, silences;
    if (q->asked_ms == 0) {
        left = 3;
        silences = check_silences;
    }
    if (left == 0 && silences > 0) {
        silences--;
        return (struct response){.partial = true, .findings = FINDINGS, .n_findings = 1};
    }
    if (left == 0)
        return (struct response){.findings = FINDINGS, .n_findings = 1};
    left--;
    return (struct response){.partial = true,
                             .carrying = &CARRYING[1],
                             .n_carrying = 1,
                             .count = 10 - left,
                             .population = 10};
}

/* Two events; cut short when the token says so, one promised too many on another. */
static struct response watch_batch(const struct request *q)
{
    static uint8_t room[100];
    struct buf rows = {0};
    watch_row_put(&rows, &(struct watch_row){3, 900, 42, 1700000000123, true});
    watch_row_put(&rows, &(struct watch_row){3, 901, 43, 0, false});
    size_t len = bytes_equal(q->cursor, bytes_of_str("cut")) ? rows.len - 1 : rows.len;
    assert_true(len <= sizeof room);
    memcpy(room, rows.data, len);
    buf_free(&rows);
    return (struct response){.events = bytes_of(room, len),
                             .n_events = bytes_equal(q->cursor, bytes_of_str("many")) ? 3 : 2,
                             .cursor =
                                 q->wait_ms == 5000 ? bytes_of_str("next") : bytes_of_str("other"),
                             .partial = true};
}

/* A node that answers, one that is away, and one whose answer is damaged. */
static struct response status_answer(void)
{
    static uint8_t room[400];
    static struct node_answer nodes[] = {
        {.node = 1, .answers = true, .heard_ms = 77},
        {.node = 2, .text = {(const uint8_t *)"gone", 4}},
        {.node = 3, .answers = true, .status = {(const uint8_t *)"?", 1}}};
    struct status_member member = {3, 9, STATUS_STANDBY, 12};
    struct status_replica replica = {
        .shard = 7, .is_leader = true, .last = 20, .members = &member, .n_members = 1};
    struct status_node node = {.node = 1, .wall_ms = 70, .replicas = &replica, .n_replicas = 1};
    struct status_router router = {.router = 5, .in_flight = 6};
    struct buf b = {0};
    status_node_encode(&node, &b);
    size_t len = b.len;
    status_router_encode(&router, &b);
    assert_true(b.len <= sizeof room);
    memcpy(room, b.data, b.len);
    nodes[0].status = bytes_of(room, len);
    struct response r = {.nodes = nodes, .n_nodes = 3, .router = bytes_of(room + len, b.len - len)};
    buf_free(&b);
    return r;
}

/* Node 4 takes shard 1 over from node 2: task 3, of which nothing is done yet. */
static void fill_map(struct cluster_map *m)
{
    static struct cluster_node nodes[] = {{1, "tcp://a:1", ""}, {2, "tcp://b:1", ""}};
    struct cluster_config c = {
        .name = "t", .n_shards = 2, .n_replicas = 1, .nodes = nodes, .n_nodes = 2};
    cluster_map_init(m, &c);
    m->epoch = 9;
    m->nodes[1].state = MAP_NODE_LEAVING;
    m->nodes[m->n_nodes++] = (struct map_node){.id = 4, .listen = "tcp://d:1"};
    m->shards[1].holders[1] = m->shards[1].holders[0];
    m->shards[1].holders[0] = (struct map_replica){.since = 9, .node = 4};
    m->shards[1].n_holders = 2;
    m->shards[1].is_moving = true;
    m->shards[1].task = m->last_task = 3;
    m->shards[1].changed = 9;
    m->tasks[m->n_tasks++] =
        (struct map_task){3, MAP_TASK_REPLACE, MAP_TASK_RUNNING, 2, 4, 1, 1700000000123, 0};
}

/* Says that node 5 is not possible, and that task 8 has a map that cannot be read. */
static struct response map_answer(const struct request *q)
{
    static uint8_t room[1000];
    struct placement_change c = {.op = PLACEMENT_READ};
    struct cluster_map *m = malloc(sizeof *m);
    struct buf b = {0};
    fill_map(m);
    cluster_map_encode(m, &b);
    free(m);
    assert_true(b.len <= sizeof room);
    memcpy(room, b.data, b.len);
    struct response r = {.map = bytes_of(room, b.len), .task = 3};
    buf_free(&b);
    if (q->type == REQUEST_NODES && !q->stale_ok)
        return (struct response){.code = ERR_TIMEOUT};
    if (q->type == REQUEST_NODE_TASK)
        assert_int_equal(placement_change_decode(q->change, &c, NULL), ERR_OK);
    if (c.op == PLACEMENT_CANCEL)
        r.map.len -= c.task == 8;
    else if (c.op == PLACEMENT_BEGIN && c.request.node == 5)
        return (struct response){.code = ERR_CONFLICT, .text = bytes_of_str("no room")};
    else if (c.op == PLACEMENT_BEGIN)
        r.task = (uint32_t)(100U * c.request.kind + c.request.other + c.request.listen.len);
    return r;
}

/* What this router says to each type of question. */
static struct response answer_to(const struct request *q, struct bytes profile)
{
    struct response r = {.profile = 42};
    switch (q->type) {
    case REQUEST_INGEST:
        r.refused = REFUSED;
        r.n_refused = 1;
        r.code = bytes_equal(q->event->message_id, bytes_of_str("bad")) ? ERR_UNKNOWN_NAME : ERR_OK;
        return r;
    case REQUEST_RESOLVE:
        r.code = bytes_equal(q->id.value, bytes_of_str("nobody")) ? ERR_NOT_FOUND : ERR_OK;
        return r;
    case REQUEST_PROFILE:
        r.view = profile;
        return r;
    case REQUEST_COUNT:
        return (struct response){.count = 1, .population = 2, .in_flight = 3, .partial = true};
    case REQUEST_LIST:
        return (struct response){
            .members = MEMBERS, .n_members = 2, .cursor = bytes_of_str("s1.5")};
    case REQUEST_BREAKDOWN:
        return (struct response){.groups = GROUPS, .n_groups = 2};
    case REQUEST_STATS:
        return (struct response){.shards = SHARDS, .n_shards = 2, .map_epoch = 11};
    case REQUEST_REFUSED:
        return (struct response){.lines = LINES, .n_lines = 1};
    case REQUEST_CHECK:
        return check_answer(q);
    case REQUEST_SEGMENT_DEFINE:
    case REQUEST_SEGMENT_DROP:
        return (struct response){.catalogue = 7, .carrying = CARRYING, .n_carrying = 2};
    case REQUEST_SEGMENTS:
        return (struct response){.segments = SEGMENTS, .n_segments = 2, .catalogue = 7};
    case REQUEST_REFRESH:
        return (struct response){.groups = GROUPS, .n_groups = 2, .catalogue = 7};
    case REQUEST_OVERLAP:
        return (struct response){.combos = MEMBERS, .n_combos = 2};
    case REQUEST_EXPORT:
        return export_page(q);
    case REQUEST_WATCH:
        return watch_batch(q);
    case REQUEST_UNWATCH:
        return (struct response){.code = ERR_NOT_FOUND};
    case REQUEST_STATUS:
        return status_answer();
    case REQUEST_LEAD:
        return (struct response){.code = q->shard == 7 && q->node == 3 ? ERR_OK : ERR_NOT_FOUND};
    case REQUEST_NODES:
    case REQUEST_NODE_TASK:
        return map_answer(q);
    case REQUEST_TYPE_END:
        break;
    }
    return (struct response){.code = ERR_INTERNAL};
}

static void *serve(void *ctx)
{
    struct world *w = ctx;
    struct buf profile = {0};
    encode_profile(&profile);
    while (!atomic_load(&w->stop)) {
        struct fake_message m;
        if (!fake_take(&w->fake, &m, LOOK_MS))
            continue;
        for (uint32_t i = 0; i < m.n; i++) {
            struct response r = answer_to(&m.requests[i], buf_bytes(&profile));
            r.item = i;
            fake_answer(&w->fake, &m, &r, 1);
        }
        fake_forget(&m);
    }
    buf_free(&profile);
    return NULL;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    fake_open(&w->fake);
    const char *routers[] = {fake_endpoint(&w->fake)};
    struct oneid_options o = {.routers = routers,
                              .n_routers = 1,
                              .deadline_ms = PATIENT_MS,
                              .retry_ms = PATIENT_MS,
                              .max_in_flight = 16};
    assert_int_equal(oneid_open(&o, &w->client, NULL, 0), ONEID_OK);
    assert_int_equal(pthread_create(&w->thread, NULL, serve, w), 0);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    atomic_store(&w->stop, true);
    (void)pthread_join(w->thread, NULL);
    oneid_close(w->client);
    fake_close(&w->fake);
    free(w);
    return 0;
}

static struct oneid_str str(const char *s)
{
    return (struct oneid_str){s, strlen(s)};
}

static void assert_str(struct oneid_str s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.data, expected, s.len);
}

static void test_ingest_and_resolve_give_the_person(void **state)
{
    struct world *w = *state;
    struct oneid_identity id = {"phone", str("138")}, nobody = {"phone", str("nobody")};
    struct oneid_event e = {.message_id = str("m"), .ids = &id, .n_ids = 1};
    struct oneid_result *r = oneid_ingest(w->client, &e);
    assert_int_equal(r->code, ONEID_OK);
    assert_int_equal(r->one_id, 42);
    assert_int_equal(r->n_refused, 1);
    assert_string_equal(r->refused[0].ns, "device");
    assert_string_equal(r->refused[0].reason, "non_bridging");
    oneid_result_free(r);
    r = oneid_resolve(w->client, &id);
    assert_int_equal(r->one_id, 42);
    assert_string_equal(r->text, "");
    oneid_result_free(r);
    r = oneid_resolve(w->client, &nobody);
    assert_int_equal(r->code, ONEID_ERR_NOT_FOUND);
    oneid_result_free(r);
}

static void test_watch_gives_events_and_a_token(void **state)
{
    struct world *w = *state;
    struct oneid_result *r = oneid_watch(w->client, "vips", "start", NULL);
    assert_int_equal(r->code, ONEID_OK);
    assert_int_equal(r->n_events, 2);
    assert_int_equal(r->events[0].one_id, 42);
    assert_true(r->events[0].enter);
    assert_int_equal(r->events[0].at_ms, 1700000000123);
    assert_int_equal(r->events[0].shard, 3);
    assert_int_equal(r->events[0].log_index, 900);
    assert_false(r->events[1].enter);
    assert_int_equal(r->events[1].at_ms, 0);
    assert_string_equal(r->cursor, "next");
    assert_true(r->partial);
    oneid_result_free(r);
    struct oneid_watch_options now = {.no_wait = true};
    r = oneid_watch(w->client, "vips", NULL, &now);
    assert_string_equal(r->cursor, "other");
    oneid_result_free(r);
    r = oneid_unwatch(w->client, "vips");
    assert_int_equal(r->code, ONEID_ERR_NOT_FOUND);
    oneid_result_free(r);
    r = oneid_watch(w->client, "", NULL, NULL);
    assert_int_equal(r->code, ONEID_ERR_USAGE);
    oneid_result_free(r);
}

static void test_watch_of_damaged_events_is_an_error(void **state)
{
    struct world *w = *state;
    static const char *const tokens[] = {"cut", "many"};
    for (int i = 0; i < 2; i++) {
        struct oneid_result *r = oneid_watch(w->client, "vips", tokens[i], NULL);
        assert_int_equal(r->code, ONEID_ERR_INTERNAL);
        assert_int_equal(r->n_events, 0);
        oneid_result_free(r);
    }
}

static void test_profile_outlives_the_client(void **state)
{
    struct world *w = *state;
    struct oneid_result *r = oneid_profile_of_one_id(w->client, 42);
    oneid_close(w->client);
    w->client = NULL;
    assert_int_equal(r->code, ONEID_OK);
    const struct oneid_profile *p = r->profile;
    assert_int_equal(p->one_id, 42);
    assert_string_equal(p->ids[0].ns, "phone");
    assert_str(p->ids[0].value, "138");
    assert_string_equal(p->traits[0].name, "city");
    assert_str(p->traits[0].text, "x");
    assert_int_equal(p->traits[1].type, ONEID_LIST);
    assert_str(p->traits[1].list[1], "b");
    assert_int_equal(p->counters[0].integer, -7);
    assert_str(p->tags[0], "a");
    assert_str(p->channels[0].source, "tmall");
    assert_int_equal(p->channels[0].last_ms, 20);
    assert_string_equal(p->events[0].event, "order");
    assert_int_equal(p->events[0].count, 3);
    assert_true(p->events[0].sums[0].real == 99.5);
    assert_string_equal(p->level, "gold");
    oneid_result_free(r);
}

static void test_segment_questions_are_answered(void **state)
{
    struct world *w = *state;
    struct oneid_result *r = oneid_count(w->client, "true");
    assert_int_equal(r->count, 1);
    assert_int_equal(r->population, 2);
    assert_int_equal(r->in_flight_merges, 3);
    assert_true(r->partial);
    oneid_result_free(r);
    r = oneid_list(w->client, "true", NULL, 2);
    assert_int_equal(r->n_members, 2);
    assert_int_equal(r->members[1], 8);
    assert_string_equal(r->cursor, "s1.5");
    oneid_result_free(r);
    r = oneid_breakdown(w->client, "true", "city");
    assert_int_equal(r->n_groups, 2);
    assert_str(r->groups[0].value, "x");
    assert_true(r->groups[1].none);
    assert_string_equal(r->cursor, "");
    oneid_result_free(r);
}

static void test_saved_segments_are_answered(void **state)
{
    struct world *w = *state;
    struct oneid_result *r = oneid_segment_define(w->client, "a", "tag(a)");
    assert_int_equal(r->code, ONEID_OK);
    assert_int_equal(r->catalogue, 7);
    assert_int_equal(r->n_carrying, 2);
    assert_int_equal(r->carrying[1], 4);
    oneid_result_free(r);
    r = oneid_segment_define(w->client, "", "tag(a)");
    assert_int_equal(r->code, ONEID_ERR_USAGE);
    oneid_result_free(r);
    r = oneid_segment_drop(w->client, NULL);
    assert_int_equal(r->code, ONEID_ERR_USAGE);
    oneid_result_free(r);
    r = oneid_segments(w->client, NULL);
    assert_int_equal(r->n_segments, 2);
    assert_str(r->segments[0].expr, "tag(a)");
    assert_true(r->segments[0].usable);
    assert_false(r->segments[1].usable);
    oneid_result_free(r);
    r = oneid_refresh(w->client);
    assert_int_equal(r->n_groups, 2);
    oneid_result_free(r);
    const char *many[] = {"true", "true", "true", "true", "true", "true", "true", "true", "true"};
    r = oneid_overlap(w->client, many, 1);
    assert_int_equal(r->n_combos, 2);
    oneid_result_free(r);
    r = oneid_overlap(w->client, many, 9);
    assert_int_equal(r->code, ONEID_ERR_USAGE);
    oneid_result_free(r);
}

static void test_rows_of_an_export_are_read(void **state)
{
    struct world *w = *state;
    const char *fields[] = {"city", "points", "height", "birth", "tags"};
    struct oneid_result *r = oneid_export(w->client, "true", fields, 5, NULL, 10);
    assert_int_equal(r->code, ONEID_OK);
    assert_int_equal(r->n_rows, 1);
    assert_int_equal(r->n_fields, 5);
    const struct oneid_value *v = r->rows[0].values;
    assert_int_equal(r->rows[0].one_id, 42);
    assert_string_equal(v[0].name, "city");
    assert_str(v[0].text, "Aix");
    assert_int_equal(v[1].integer, -5);
    assert_true(v[2].type == ONEID_REAL && v[2].real == 2.5);
    assert_int_equal(v[3].type, ONEID_NULL);
    assert_int_equal(v[4].n_list, 2);
    assert_str(v[4].list[1], "y");
    assert_string_equal(r->cursor, "next");
    oneid_result_free(r);
    r = oneid_export(w->client, "true", fields, 5, "cut", 10);
    assert_int_equal(r->code, ONEID_ERR_INTERNAL);
    assert_int_equal(r->n_rows, 0);
    oneid_result_free(r);
}

static void test_questions_of_operators_are_answered(void **state)
{
    struct world *w = *state;
    struct oneid_result *r = oneid_stats(w->client);
    assert_int_equal(r->n_shards, 2);
    assert_int_equal(r->shards[0].profiles, 9);
    assert_true(r->shards[0].reachable);
    assert_false(r->shards[1].reachable);
    assert_int_equal(r->map_epoch, 11);
    oneid_result_free(r);
    r = oneid_refused(w->client, "", 10);
    assert_int_equal(r->n_lines, 1);
    assert_string_equal(r->lines[0].reason, "limit");
    assert_str(r->lines[0].id.value, "1");
    assert_null(r->lines[0].with.ns);
    oneid_result_free(r);
    r = oneid_check(w->client);
    assert_int_equal(r->n_findings, 1);
    assert_string_equal(r->findings[0], "shard 1: odd");
    oneid_result_free(r);
}

static void note_progress(void *ctx, const struct oneid_result *so_far)
{
    uint64_t *rows = ctx;
    assert_int_equal(so_far->n_carrying, 1);
    assert_int_equal(so_far->carrying[0], 4);
    assert_int_equal(so_far->population, 10);
    assert_true(so_far->count > *rows);
    *rows = so_far->count;
}

static void interrupt_it(void *ctx, const struct oneid_result *so_far)
{
    assert_int_equal(so_far->code, ONEID_OK);
    oneid_interrupt(ctx);
}

static void test_check_is_asked_for_until_all_shards_have_looked(void **state)
{
    struct world *w = *state;
    uint64_t rows = 0;
    struct oneid_result *r = oneid_check_watched(w->client, note_progress, &rows);
    assert_int_equal(r->code, ONEID_OK);
    assert_int_equal(rows, 10);
    assert_int_equal(r->n_carrying, 0);
    assert_false(r->partial);
    assert_int_equal(r->n_findings, 1);
    oneid_result_free(r);
    check_silences = 1;
    r = oneid_check(w->client); /* what is only passing by is waited for */
    assert_false(r->partial);
    oneid_result_free(r);
    check_silences = 2;
    r = oneid_check(w->client);
    assert_true(r->partial);
    oneid_result_free(r);
    check_silences = 0;
    r = oneid_check_watched(w->client, interrupt_it, w->client);
    assert_int_equal(r->code, ONEID_ERR_CANCELLED);
    oneid_result_free(r);
}

/* Sleeps of the client's thread while nothing is under way. */
static _Thread_local struct oneid_client *watched;
static _Thread_local unsigned naps;

int __real_endpoint_wait(struct waitable *items, size_t n, long timeout_ms);
int __wrap_endpoint_wait(struct waitable *items, size_t n, long timeout_ms);

int __wrap_endpoint_wait(struct waitable *items, size_t n, long timeout_ms)
{
    naps += watched && oneid_next_timeout_ms(watched) < 0 && timeout_ms > 0;
    return __real_endpoint_wait(items, n, timeout_ms);
}

static void test_check_sleeps_between_its_questions(void **state)
{
    struct world *w = *state;
    naps = 0;
    watched = w->client;
    struct oneid_result *r = oneid_check(w->client);
    watched = NULL;
    assert_int_equal(r->code, ONEID_OK);
    assert_true(naps >= 3); /* one or more in each pause */
    oneid_result_free(r);
}

static void test_status_tells_of_nodes_and_their_replicas(void **state)
{
    struct world *w = *state;
    struct oneid_result *r = oneid_status(w->client);
    assert_int_equal(r->code, ONEID_OK);
    assert_int_equal(r->n_nodes, 3);
    assert_true(r->nodes[0].answers && r->nodes[0].heard_ms == 77 && r->nodes[0].wall_ms == 70);
    assert_int_equal(r->nodes[0].n_replicas, 1);
    assert_int_equal(r->nodes[0].replicas[0].shard, 7);
    assert_true(r->nodes[0].replicas[0].is_leader);
    assert_int_equal(r->nodes[0].replicas[0].members[0].role, ONEID_STANDBY);
    assert_true(r->nodes[0].replicas[0].members[0].match == 12);
    assert_false(r->nodes[1].answers);
    assert_string_equal(r->nodes[1].text, "gone");
    assert_false(r->nodes[2].answers);
    assert_int_equal(r->router->router, 5);
    assert_true(r->router->in_flight == 6);
    oneid_result_free(r);
    r = oneid_lead(w->client, 7, 3);
    assert_int_equal(r->code, ONEID_OK);
    oneid_result_free(r);
    r = oneid_lead(w->client, 7, 0);
    assert_int_equal(r->code, ONEID_ERR_USAGE);
    oneid_result_free(r);
}

static void test_nodes_and_their_tasks_are_shown(void **state)
{
    struct world *w = *state;
    struct oneid_result *r = oneid_nodes(w->client, true);
    assert_int_equal(r->code, ONEID_OK);
    const struct oneid_map *m = r->map;
    assert_true(m->epoch == 9 && m->n_replicas == 1);
    assert_int_equal(m->n_nodes, 3);
    assert_string_equal(m->nodes[0].endpoint, "tcp://a:1");
    assert_true(m->nodes[0].replicas == 1 && m->nodes[0].leads == 1 && m->nodes[0].leaving == 0);
    assert_int_equal(m->nodes[1].state, ONEID_NODE_LEAVING);
    assert_true(m->nodes[1].replicas == 0 && m->nodes[1].leads == 0 && m->nodes[1].leaving == 1);
    assert_true(m->nodes[2].node == 4 && m->nodes[2].replicas == 1 && m->nodes[2].leads == 1);
    assert_int_equal(m->n_tasks, 1);
    const struct oneid_task *t = &m->tasks[0];
    assert_true(t->id == 3 && t->kind == ONEID_TASK_REPLACE && t->state == ONEID_TASK_RUNNING);
    assert_true(t->node == 2 && t->other == 4 && t->n_shards == 1 && t->left == 1);
    assert_true(t->began_ms == 1700000000123 && t->ended_ms == 0);
    assert_int_equal(m->n_shards, 2);
    assert_true(!m->shards[0].moving && m->shards[1].moving && m->shards[1].task == 3);
    assert_int_equal(m->shards[1].n_holders, 2);
    const struct oneid_holder *h = m->shards[1].holders;
    assert_true(h[0].node == 4 && h[0].wanted && !h[0].settled);
    assert_true(h[1].node == 2 && !h[1].wanted && h[1].settled);
    oneid_result_free(r);
    r = oneid_nodes(w->client, false);
    assert_int_equal(r->code, ONEID_ERR_TIMEOUT);
    assert_null(r->map);
    oneid_result_free(r);
}

static void expect_task(struct oneid_result *r, enum oneid_code code, uint32_t task)
{
    assert_int_equal(r->code, code);
    assert_int_equal(r->task, task);
    oneid_result_free(r);
}

static void test_node_tasks_are_begun_and_cancelled(void **state)
{
    struct world *w = *state;
    expect_task(oneid_node_add(w->client, 4, "tcp://d:1"), ONEID_OK, 109);
    expect_task(oneid_node_drain(w->client, 4), ONEID_OK, 200);
    expect_task(oneid_node_remove(w->client, 4), ONEID_OK, 300);
    expect_task(oneid_node_replace(w->client, 4, 7, NULL), ONEID_OK, 407);
    expect_task(oneid_node_replace(w->client, 4, 7, "tcp"), ONEID_OK, 410);
    expect_task(oneid_node_cancel(w->client, 3), ONEID_OK, 3);
    struct oneid_result *r = oneid_node_drain(w->client, 5);
    assert_string_equal(r->text, "no room");
    expect_task(r, ONEID_ERR_CONFLICT, 0);
    expect_task(oneid_node_cancel(w->client, 8), ONEID_ERR_INTERNAL, 3);
}

static void test_batch_larger_than_in_flight_gives_a_code_for_each(void **state)
{
    struct world *w = *state;
    enum { N = 100 };
    struct oneid_identity id = {"phone", str("138")};
    struct oneid_event events[N];
    enum oneid_code codes[N];
    for (int i = 0; i < N; i++)
        events[i] = (struct oneid_event){.message_id = str("m"), .ids = &id, .n_ids = 1};
    events[3].message_id = str("bad");
    events[50].n_ids = 0;
    assert_int_equal(oneid_ingest_batch(w->client, events, N, codes), N - 2);
    for (int i = 0; i < N; i++)
        assert_int_equal(codes[i], i == 3    ? ONEID_ERR_INVALID
                                   : i == 50 ? ONEID_ERR_USAGE
                                             : ONEID_OK);
    assert_int_equal(oneid_ingest_batch(w->client, events, 0, NULL), 0);
    assert_int_equal(oneid_ingest_batch(w->client, events, 2, NULL), 2);
}

static void test_one_ids_read_back_as_they_are_printed(void **state)
{
    (void)state;
    char text[17];
    uint64_t id;
    oneid_format(UINT64_C(0x154443d753328401), text);
    assert_string_equal(text, "154443d753328401");
    assert_true(oneid_parse(text, &id));
    assert_true(id == UINT64_C(0x154443d753328401));
    assert_false(oneid_parse("154443d75332840", &id));
    assert_false(oneid_parse("phone:138", &id));
    assert_false(oneid_parse(NULL, &id));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_ingest_and_resolve_give_the_person),
        T(test_watch_gives_events_and_a_token),
        T(test_watch_of_damaged_events_is_an_error),
        T(test_profile_outlives_the_client),
        T(test_segment_questions_are_answered),
        T(test_saved_segments_are_answered),
        T(test_rows_of_an_export_are_read),
        T(test_questions_of_operators_are_answered),
        T(test_check_is_asked_for_until_all_shards_have_looked),
        T(test_check_sleeps_between_its_questions),
        T(test_status_tells_of_nodes_and_their_replicas),
        T(test_nodes_and_their_tasks_are_shown),
        T(test_node_tasks_are_begun_and_cancelled),
        T(test_batch_larger_than_in_flight_gives_a_code_for_each),
        cmocka_unit_test(test_one_ids_read_back_as_they_are_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
