/* Messages as clients, routers and nodes send them, about persons of our own. */
#include "hostile.h"

#include <proto/command.h>
#include <proto/request.h>
#include <shard.pb-c.h>
#include <client.pb-c.h>
#include <transfer/message.h>
#include <wire_random.h>

#include <base/clock.h>

enum { TEXT = 64, BATCH_MAX = 4 };

static const char *const EXPRESSIONS[] = {
    "true",           "tag(vip)",     "not tag(vip)",        "points > 3 and tag(vip)",
    "segment(mine0)", "city = \"x\"", "count(purchase) > 1", "((((tag(a)))))"};
static const char *const SEGMENTS[] = {"mine0", "mine1", "mine2", "mine3"};
static const char *const SPACES[] = {"openid", "unionid", "phone", "tmall", "nothing"};

#define PICK(h, list) (list)[below(h, sizeof(list) / sizeof *(list))]

/* Text of the arena: the prefix and the number. */
static struct bytes text_of(struct hostile *h, const char *prefix, uint64_t number)
{
    char text[TEXT];
    int n = snprintf(text, sizeof text, "%s%llu", prefix, (unsigned long long)number);
    return arena_copy(&h->arena, bytes_of(text, (size_t)n));
}

static struct bytes any_text(struct hostile *h, const char *const *list, size_t n)
{
    return bytes_of_str(list[below(h, n)]);
}
#define ANY_TEXT(h, list) any_text(h, list, sizeof(list) / sizeof *(list))

/* --- of clients --- */

/* What a reader writes must be nowhere: this tag is looked for. */
static const char *tag_of(const struct hostile *h)
{
    return h->trade == TRADE_READER ? "intruder" : "vip";
}

static struct event_message *event_of(struct hostile *h, struct bytes person, struct bytes id)
{
    struct event_message *e = arena_zalloc(&h->arena, sizeof *e);
    e->message_id = id;
    e->source = bytes_of_str("hostile");
    e->n_ids = 1;
    e->ids = arena_zalloc(&h->arena, 2 * sizeof *e->ids);
    e->ids[0] = (struct named_identity){bytes_of_str("openid"), person};
    e->n_adds = 1;
    e->adds = arena_zalloc(&h->arena, sizeof *e->adds);
    *e->adds =
        (struct named_value){.name = bytes_of_str("points"), .type = VALUE_INTEGER, .integer = 1};
    return e;
}

static const struct event_message *any_event(struct hostile *h)
{
    struct event_message *e =
        event_of(h, text_of(h, "zqmut-", below(h, 200)), text_of(h, "zqmut-event-", h->request_id));
    if (chance(h, 30)) {
        e->ids[e->n_ids++] =
            (struct named_identity){ANY_TEXT(h, SPACES), text_of(h, "zqmut-", below(h, 300))};
    }
    if (h->trade == TRADE_READER || chance(h, 50)) {
        e->tags_add = arena_zalloc(&h->arena, sizeof *e->tags_add);
        e->tags_add[0] = bytes_of_str(tag_of(h));
        e->n_tags_add = 1;
        e->traits = arena_zalloc(&h->arena, sizeof *e->traits);
        *e->traits = (struct named_value){
            .name = bytes_of_str("city"), .type = VALUE_TEXT, .text = bytes_of_str("x")};
        e->n_traits = 1;
        e->event = bytes_of_str("purchase");
    }
    return e;
}

static void any_request(struct hostile *h, struct request *q)
{
    static struct bytes exprs[2];
    *q = (struct request){.type = (enum request_type)(1 + below(h, REQUEST_TYPE_END - 1)),
                          .deadline_ms = (uint32_t)(1 + below(h, 4000)),
                          .limit = (uint32_t)(1 + below(h, 100)),
                          .expr = ANY_TEXT(h, EXPRESSIONS),
                          .name = ANY_TEXT(h, SEGMENTS),
                          .by = bytes_of_str("city"),
                          .id = {bytes_of_str("openid"), text_of(h, "zqmut-", below(h, 200))},
                          .shard = (uint32_t)below(h, SHARDS + 1),
                          .node = (uint32_t)below(h, 5),
                          .wait_ms = (uint32_t)below(h, 1000),
                          .stale_ok = chance(h, 20),
                          .explain = chance(h, 10)};
    if (chance(h, 40))
        q->type = REQUEST_INGEST;
    if (q->type == REQUEST_INGEST)
        q->event = any_event(h);
    exprs[0] = ANY_TEXT(h, EXPRESSIONS);
    exprs[1] = ANY_TEXT(h, EXPRESSIONS);
    q->exprs = exprs;
    q->n_exprs = q->type == REQUEST_OVERLAP ? 2 : 0;
    if (q->type != REQUEST_BREAKDOWN)
        q->by = bytes_of(NULL, 0);
}

static void make_request(struct hostile *h, struct buf *out)
{
    struct envelope e = {.type = MESSAGE_CLIENT_REQUEST,
                         .request_id = h->request_id,
                         .items = (uint32_t)(1 + below(h, BATCH_MAX))};
    size_t offset = envelope_begin(out);
    for (uint32_t i = 0; i < e.items; i++) {
        struct request q;
        any_request(h, &q);
        request_encode(&q, out);
    }
    envelope_finish(out, offset, &e);
}

void message_make_once(struct hostile *h, struct buf *out)
{
    uint64_t number = h->n_once++;
    struct request q = {.type = REQUEST_INGEST,
                        .deadline_ms = 8000,
                        .event = event_of(h, text_of(h, "zqonce-", number % PERSONS),
                                          text_of(h, "zqonce-event-", number))};
    struct envelope e = {
        .type = MESSAGE_CLIENT_REQUEST, .request_id = ONCE_BIT | number, .items = 1};
    size_t offset = envelope_begin(out);
    request_encode(&q, out);
    envelope_finish(out, offset, &e);
    h->once_sent[number % PERSONS]++;
}

/* --- of routers and nodes --- */

static const enum command_type READS[] = {COMMAND_LOCATE,  COMMAND_GET,     COMMAND_SWEEP,
                                          COMMAND_STATS,   COMMAND_REFUSED, COMMAND_CHECK,
                                          COMMAND_SEGMENTS};
static const enum command_type QUERIES[] = {COMMAND_COUNT,   COMMAND_LIST,    COMMAND_BREAKDOWN,
                                            COMMAND_REFRESH, COMMAND_OVERLAP, COMMAND_ROWS};
static const enum command_type WRITES[] = {
    COMMAND_APPLY, COMMAND_CLAIM, COMMAND_FREEZE,         COMMAND_ABSORB,       COMMAND_DONE,
    COMMAND_ABORT, COMMAND_DROP,  COMMAND_SEGMENT_DEFINE, COMMAND_SEGMENT_SYNC, COMMAND_DAY};

static enum command_type any_command_type(struct hostile *h, enum message_type type)
{
    if (type == MESSAGE_SHARD_READ)
        return PICK(h, READS);
    if (type == MESSAGE_SHARD_QUERY)
        return PICK(h, QUERIES);
    if (type == MESSAGE_SHARD_WATCH)
        return COMMAND_WATCH_READ;
    return chance(h, 50) ? COMMAND_APPLY : PICK(h, WRITES);
}

static struct identity any_identity(struct hostile *h)
{
    return (struct identity){name_id_of(NAME_NAMESPACE, bytes_of_str("openid")),
                             text_of(h, "zqmut-", below(h, 200))};
}

static void put_command(struct hostile *h, enum message_type type, struct buf *out)
{
    struct identity ids[2];
    struct bytes exprs[2] = {ANY_TEXT(h, EXPRESSIONS), ANY_TEXT(h, EXPRESSIONS)};
    struct command c = {.type = any_command_type(h, type),
                        .profile = chance(h, 50) ? 0 : rng_u64(&h->rng),
                        .other = rng_u64(&h->rng),
                        .epoch = (uint32_t)below(h, 4),
                        .message_id = text_of(h, "zqmut-command-", h->request_id),
                        .ts = clock_wall_ms(),
                        .source = bytes_of_str("hostile"),
                        .limit = (uint32_t)(1 + below(h, 100)),
                        .deadline_ms = (uint32_t)(1 + below(h, 2000)),
                        .today = 20000,
                        .expr = exprs[0],
                        .name = ANY_TEXT(h, SEGMENTS),
                        .catalogue = below(h, 3)};
    ids[0] = any_identity(h);
    ids[1] = any_identity(h);
    c.ids = ids;
    c.n_ids = 1 + below(h, 2);
    c.exprs = exprs;
    c.n_exprs = c.type == COMMAND_OVERLAP ? 2 : 0;
    if (c.type == COMMAND_BREAKDOWN)
        c.by = bytes_of_str("city");
    command_encode(&c, out);
}

static void put_fetch(struct hostile *h, struct buf *out)
{
    struct transfer_ask a = {.type = (enum transfer_ask_type)(1 + below(h, TRANSFER_ASK_END - 1)),
                             .at_least = below(h, 100),
                             .node = h->node,
                             .copy = rng_u64(&h->rng),
                             .offset = below(h, 1 << 24)};
    transfer_ask_encode(&a, out);
}

static enum message_type any_node_type(struct hostile *h)
{
    static const enum message_type ALL[] = {
        MESSAGE_SHARD_WRITE, MESSAGE_SHARD_READ, MESSAGE_SHARD_QUERY, MESSAGE_SHARD_WATCH,
        MESSAGE_MAP_REQUEST, MESSAGE_STATUS,     MESSAGE_CANCEL,      MESSAGE_FETCH,
        MESSAGE_PEER,        MESSAGE_HELLO,      MESSAGE_SHARD_READ,  MESSAGE_SHARD_QUERY};
    return PICK(h, ALL);
}

/* From a replica of its own node, as far as the key says, to one of the other. */
static void put_peer(struct hostile *h, const struct target *to, struct buf *out)
{
    buf_put_u64(out, rng_u64(&h->rng) << 16 | h->node);
    buf_put_u64(out, to->replica_folder << 16 | to->node);
    forge_raft_of(&h->rng, out);
}

static void make_for_node(struct hostile *h, const struct target *to, struct buf *out)
{
    struct envelope e = {.type = any_node_type(h),
                         .shard = (uint16_t)below(h, SHARDS),
                         .epoch = chance(h, 50) ? h->epoch : 0,
                         .request_id = h->request_id};
    size_t offset = envelope_begin(out);
    switch ((int)e.type) {
    case MESSAGE_FETCH:
        put_fetch(h, out);
        break;
    case MESSAGE_PEER:
        put_peer(h, to, out);
        break;
    case MESSAGE_MAP_REQUEST:
    case MESSAGE_STATUS:
    case MESSAGE_CANCEL:
    case MESSAGE_HELLO:
        break;
    default:
        e.items = (uint32_t)(1 + below(h, BATCH_MAX));
        for (uint32_t i = 0; i < e.items; i++)
            put_command(h, e.type, out);
    }
    envelope_finish(out, offset, &e);
}

void message_make(struct hostile *h, const struct target *to, struct buf *out)
{
    h->request_id++;
    if (to->node != 0 || (h->trade >= TRADE_ROUTER && chance(h, 20)))
        make_for_node(h, to, out);
    else
        make_request(h, out);
}

/* --- any fields --- */

static bool likely_number(struct rng *rng, const char *message, const char *field, uint64_t *value)
{
    (void)message;
    if (strcmp(field, "type") != 0)
        return false;
    *value = rng_below(rng, 110);
    return true;
}

static bool likely_bytes(struct rng *rng, const char *message, const char *field,
                         struct bytes *value)
{
    static const char *const SOME[] = {"openid", "tag(vip)", "city", "points", "purchase", "mine1"};
    (void)message;
    *value = bytes_of_str(
        strcmp(field, "value") == 0 ? "zqmut-1" : SOME[rng_below(rng, sizeof SOME / sizeof *SOME)]);
    return rng_below(rng, 2) == 0;
}

void message_make_wild(struct hostile *h, const struct target *to, struct buf *out)
{
    struct wire_random w = {.rng = rng_of_seed(rng_u64(&h->rng)),
                            .number = likely_number,
                            .bytes = likely_bytes,
                            .presence = (unsigned)below(h, 100),
                            .wild = chance(h, 70)};
    static const enum message_type SHARD[] = {MESSAGE_SHARD_WRITE, MESSAGE_SHARD_READ,
                                              MESSAGE_SHARD_QUERY, MESSAGE_SHARD_WATCH};
    bool is_node = to->node != 0;
    struct envelope e = {.type = is_node ? PICK(h, SHARD) : MESSAGE_CLIENT_REQUEST,
                         .shard = (uint16_t)below(h, SHARDS),
                         .request_id = ++h->request_id,
                         .items = (uint32_t)(1 + below(h, BATCH_MAX))};
    size_t offset = envelope_begin(out);
    for (uint32_t i = 0; i < e.items; i++) {
        struct buf item = {0};
        wire_random_message(&w, is_node ? &wire__command__descriptor : &wire__request__descriptor,
                            &item);
        buf_put_u8(out, 1 << 3 | 2);
        buf_put_bytes(out, buf_bytes(&item));
        buf_free(&item);
    }
    envelope_finish(out, offset, &e);
}
