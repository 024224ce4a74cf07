#include "direct.h"
#include "generic.h"
#include "named_codec.h"

#include <assert.h>

bool request_may_be_stale(enum request_type t)
{
    return t == REQUEST_RESOLVE || t == REQUEST_PROFILE || t == REQUEST_COUNT ||
           t == REQUEST_LIST || t == REQUEST_BREAKDOWN || t == REQUEST_OVERLAP ||
           t == REQUEST_EXPORT || t == REQUEST_NODES;
}

const char *request_type_name(enum request_type t)
{
    switch (t) {
    case REQUEST_INGEST:
        return "INGEST";
    case REQUEST_RESOLVE:
        return "RESOLVE";
    case REQUEST_PROFILE:
        return "PROFILE";
    case REQUEST_COUNT:
        return "COUNT";
    case REQUEST_LIST:
        return "LIST";
    case REQUEST_BREAKDOWN:
        return "BREAKDOWN";
    case REQUEST_STATS:
        return "STATS";
    case REQUEST_REFUSED:
        return "REFUSED";
    case REQUEST_STATUS:
        return "STATUS";
    case REQUEST_CHECK:
        return "CHECK";
    case REQUEST_SEGMENT_DEFINE:
        return "SEGMENT_DEFINE";
    case REQUEST_SEGMENT_DROP:
        return "SEGMENT_DROP";
    case REQUEST_SEGMENTS:
        return "SEGMENTS";
    case REQUEST_REFRESH:
        return "REFRESH";
    case REQUEST_OVERLAP:
        return "OVERLAP";
    case REQUEST_EXPORT:
        return "EXPORT";
    case REQUEST_WATCH:
        return "WATCH";
    case REQUEST_UNWATCH:
        return "UNWATCH";
    case REQUEST_LEAD:
        return "LEAD";
    case REQUEST_NODES:
        return "NODES";
    case REQUEST_NODE_TASK:
        return "NODE_TASK";
    case REQUEST_TYPE_END:
        break;
    }
    return "UNKNOWN";
}

/* --- encoding --- */

static Wire__Event *event_of(struct scratch *s, const struct event_message *e)
{
    Wire__Event *m = scratch_array(s, 1, sizeof *m);
    wire__event__init(m);
    m->message_id = binary_of(e->message_id);
    m->ts = e->ts;
    m->source = binary_of(e->source);
    m->n_ids = e->n_ids;
    m->ids = named_identities_of(s, e->ids, e->n_ids);
    m->n_traits = e->n_traits;
    m->traits = named_values_of(s, e->traits, e->n_traits);
    m->n_tags_add = e->n_tags_add;
    m->tags_add = wire_list_of(s, e->tags_add, e->n_tags_add);
    m->n_tags_remove = e->n_tags_remove;
    m->tags_remove = wire_list_of(s, e->tags_remove, e->n_tags_remove);
    m->n_adds = e->n_adds;
    m->adds = named_values_of(s, e->adds, e->n_adds);
    m->event = binary_of(e->event);
    m->n_fields = e->n_fields;
    m->fields = named_values_of(s, e->fields, e->n_fields);
    return m;
}

void request_encode_generic(const struct request *r, struct buf *out)
{
    assert(r->type > 0 && r->type < REQUEST_TYPE_END);
    struct scratch s;
    scratch_init(&s);
    Wire__Request m = WIRE__REQUEST__INIT;
    m.type = (uint32_t)r->type;
    m.deadline_ms = r->deadline_ms;
    m.event = r->event ? event_of(&s, r->event) : NULL;
    m.ns = binary_of(r->id.ns);
    m.value = binary_of(r->id.value);
    m.profile = r->profile;
    m.expr = binary_of(r->expr);
    m.by = binary_of(r->by);
    m.cursor = binary_of(r->cursor);
    m.limit = r->limit;
    m.name = binary_of(r->name);
    m.n_exprs = r->n_exprs;
    m.exprs = wire_list_of(&s, r->exprs, r->n_exprs);
    m.by2 = binary_of(r->by2);
    m.n_fields = r->n_fields;
    m.fields = wire_list_of(&s, r->fields, r->n_fields);
    m.explain = r->explain;
    m.stale_ok = r->stale_ok;
    m.wait_ms = r->wait_ms;
    m.shard = r->shard;
    m.node = r->node;
    m.change = binary_of(r->change);
    m.asked_ms = r->asked_ms;
    wire_append(&m.base, out);
    scratch_close(&s);
}

void request_encode(const struct request *r, struct buf *out)
{
    if (!direct_write_request(r, out))
        request_encode_generic(r, out);
}

/* --- decoding --- */

static bool check_request(struct decoder *d, const struct request *r)
{
    if (r->type == 0 || r->type >= REQUEST_TYPE_END)
        return decoder_fail(d, "unknown type");
    if (r->type == REQUEST_INGEST && !r->event)
        return decoder_fail(d, "missing event");
    return true;
}

static bool take_direct(struct decoder *d, struct bytes item, void *out)
{
    return direct_read_request(item, d->arena, out) && check_request(d, out);
}

static bool take_event(struct decoder *d, const Wire__Event *m, struct request *r)
{
    struct event_message *e = decoder_array(d, 1, sizeof *e);
    if (!e)
        return false;
    *e = (struct event_message){
        .message_id = bytes_of_binary(m->message_id),
        .ts = m->ts,
        .source = bytes_of_binary(m->source),
        .event = bytes_of_binary(m->event),
    };
    r->event = e;
    return take_named_identities(d, m->ids, m->n_ids, &e->ids, &e->n_ids) &&
           take_named_values(d, m->traits, m->n_traits, &e->traits, &e->n_traits) &&
           wire_take_list(d, m->tags_add, m->n_tags_add, &e->tags_add, &e->n_tags_add) &&
           wire_take_list(d, m->tags_remove, m->n_tags_remove, &e->tags_remove,
                          &e->n_tags_remove) &&
           take_named_values(d, m->adds, m->n_adds, &e->adds, &e->n_adds) &&
           take_named_values(d, m->fields, m->n_fields, &e->fields, &e->n_fields);
}

static bool take_request(struct decoder *d, const ProtobufCMessage *base, void *out)
{
    const Wire__Request *m = (const Wire__Request *)base;
    struct request *r = out;
    *r = (struct request){
        .type = (enum request_type)m->type,
        .deadline_ms = m->deadline_ms,
        .id = {bytes_of_binary(m->ns), bytes_of_binary(m->value)},
        .profile = m->profile,
        .expr = bytes_of_binary(m->expr),
        .by = bytes_of_binary(m->by),
        .cursor = bytes_of_binary(m->cursor),
        .limit = m->limit,
        .name = bytes_of_binary(m->name),
        .by2 = bytes_of_binary(m->by2),
        .explain = m->explain != 0,
        .stale_ok = m->stale_ok != 0,
        .wait_ms = m->wait_ms,
        .shard = m->shard,
        .node = m->node,
        .change = bytes_of_binary(m->change),
        .asked_ms = m->asked_ms,
    };
    return wire_take_list(d, m->exprs, m->n_exprs, &r->exprs, &r->n_exprs) &&
           wire_take_list(d, m->fields, m->n_fields, &r->fields, &r->n_fields) &&
           (!m->event || take_event(d, m->event, r)) && check_request(d, r);
}

static enum error_code decode(wire_direct_cb direct, struct bytes body, uint32_t items,
                              struct arena *arena, struct request **out, size_t *n_out,
                              struct error *err)
{
    struct decoder d = {.direct = direct, .arena = arena, .err = err, .what = "request"};
    void *rows;
    *out = NULL;
    *n_out = 0;
    enum error_code code = wire_batch_decode(&d, body, items, &wire__request__descriptor,
                                             sizeof **out, take_request, &rows);
    if (code != ERR_OK)
        return code;
    *out = rows;
    *n_out = items;
    return ERR_OK;
}

enum error_code request_decode(struct bytes body, uint32_t items, struct arena *arena,
                               struct request **out, size_t *n_out, struct error *err)
{
    return decode(take_direct, body, items, arena, out, n_out, err);
}

enum error_code request_decode_generic(struct bytes body, uint32_t items, struct arena *arena,
                                       struct request **out, size_t *n_out, struct error *err)
{
    return decode(NULL, body, items, arena, out, n_out, err);
}
