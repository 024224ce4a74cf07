#include "direct.h"
#include "direct_parts.h"

/* --- writing --- */

static bool serves(enum request_type t)
{
    return t == REQUEST_INGEST || t == REQUEST_RESOLVE || t == REQUEST_PROFILE;
}

/* Fields of questions about segments. */
static bool has_others(const struct request *r)
{
    return r->expr.len || r->by.len || r->cursor.len || r->limit || r->name.len || r->n_exprs ||
           r->by2.len || r->n_fields || r->explain || r->wait_ms || r->shard || r->node ||
           r->change.len || r->stale_ok || r->asked_ms;
}
DIRECT_KNOWS_ALL_UP_TO(struct request, asked_ms);

static uint8_t *put_event_fields(uint8_t *p, const struct event_message *e)
{
    p = pb_put_bytes(p, 1, e->message_id);
    p = pb_put_sint(p, 2, e->ts);
    p = pb_put_bytes(p, 3, e->source);
    for (size_t i = 0; i < e->n_ids; i++)
        p = direct_put_pair(p, 4, e->ids[i].ns, e->ids[i].value);
    p = direct_put_values(p, 5, e->traits, e->n_traits);
    p = direct_put_list(p, 6, e->tags_add, e->n_tags_add);
    p = direct_put_list(p, 7, e->tags_remove, e->n_tags_remove);
    p = direct_put_values(p, 8, e->adds, e->n_adds);
    p = pb_put_bytes(p, 9, e->event);
    return direct_put_values(p, 10, e->fields, e->n_fields);
}

static size_t room_of_event(const struct event_message *e)
{
    return e->message_id.len + e->source.len + e->event.len + pb_room(1, 4) +
           direct_room_of_names(e->ids, e->n_ids) + direct_room_of_values(e->traits, e->n_traits) +
           direct_room_of_list(e->tags_add, e->n_tags_add) +
           direct_room_of_list(e->tags_remove, e->n_tags_remove) +
           direct_room_of_values(e->adds, e->n_adds) +
           direct_room_of_values(e->fields, e->n_fields);
}

/* The room is generous with numbers: about half of it is used. */
static uint8_t *put_event(uint8_t *p, const struct event_message *e, size_t room)
{
    size_t expected = room / 2;
    uint8_t *content = pb_open(p, 3, expected);
    return pb_close(content, expected, put_event_fields(content, e));
}

static uint8_t *put_fields(uint8_t *p, const struct request *r, size_t room)
{
    p = pb_put_uint(p, 1, (uint32_t)r->type);
    p = pb_put_uint(p, 2, r->deadline_ms);
    if (r->event)
        p = put_event(p, r->event, room);
    p = pb_put_bytes(p, 4, r->id.ns);
    p = pb_put_bytes(p, 5, r->id.value);
    return pb_put_fixed64(p, 6, r->profile);
}

bool direct_write_request(const struct request *r, struct buf *out)
{
    if (!serves(r->type) || has_others(r))
        return false;
    size_t room = r->event ? room_of_event(r->event) : 0;
    size_t names = r->id.ns.len + r->id.value.len, expected = room / 2 + names;
    uint8_t *start = buf_reserve(out, room + names + pb_room(3, 4));
    uint8_t *content = pb_open(start, TAG_ITEM, expected);
    pb_finish(out, pb_close(content, expected, put_fields(content, r, room)));
    return true;
}

/* --- reading --- */

static bool take_event_list(struct pb_reader *r, unsigned tag, struct arena *a,
                            struct event_message *e)
{
    switch (tag) {
    case PB_TAG(4, PB_BYTES):
        e->ids = pb_read_run(r, tag, a, sizeof *e->ids, direct_take_name, &e->n_ids);
        return e->ids != NULL;
    case PB_TAG(5, PB_BYTES):
        e->traits = pb_read_run(r, tag, a, sizeof *e->traits, direct_take_value, &e->n_traits);
        return e->traits != NULL;
    case PB_TAG(6, PB_BYTES):
        e->tags_add =
            pb_read_run(r, tag, a, sizeof *e->tags_add, direct_take_bytes, &e->n_tags_add);
        return e->tags_add != NULL;
    case PB_TAG(7, PB_BYTES):
        e->tags_remove =
            pb_read_run(r, tag, a, sizeof *e->tags_remove, direct_take_bytes, &e->n_tags_remove);
        return e->tags_remove != NULL;
    case PB_TAG(8, PB_BYTES):
        e->adds = pb_read_run(r, tag, a, sizeof *e->adds, direct_take_value, &e->n_adds);
        return e->adds != NULL;
    case PB_TAG(10, PB_BYTES):
        e->fields = pb_read_run(r, tag, a, sizeof *e->fields, direct_take_value, &e->n_fields);
        return e->fields != NULL;
    default:
        return false;
    }
}

static bool take_event_field(struct pb_reader *r, unsigned tag, struct arena *a, void *out)
{
    struct event_message *e = out;
    switch (tag) {
    case PB_TAG(1, PB_BYTES):
        return pb_read_bytes(r, &e->message_id);
    case PB_TAG(2, PB_VARINT):
        return pb_read_sint(r, &e->ts);
    case PB_TAG(3, PB_BYTES):
        return pb_read_bytes(r, &e->source);
    case PB_TAG(9, PB_BYTES):
        return pb_read_bytes(r, &e->event);
    default:
        return take_event_list(r, tag, a, e);
    }
}

/* A second one would have to be joined with the first: not here. */
static bool take_event(struct pb_reader *r, struct arena *a, struct request *to)
{
    struct bytes content;
    struct event_message *e = to->event ? NULL : arena_alloc(a, sizeof *e);
    if (!e || !pb_read_bytes(r, &content))
        return false;
    *e = (struct event_message){0};
    to->event = e;
    return pb_read_fields(content, a, take_event_field, e);
}

static bool take_field(struct pb_reader *r, unsigned tag, struct arena *a, void *out)
{
    struct request *to = out;
    uint32_t number;
    bool ok;
    switch (tag) {
    case PB_TAG(1, PB_VARINT):
        ok = pb_read_u32(r, &number);
        to->type = (enum request_type)number;
        return ok;
    case PB_TAG(2, PB_VARINT):
        return pb_read_u32(r, &to->deadline_ms);
    case PB_TAG(3, PB_BYTES):
        return take_event(r, a, to);
    case PB_TAG(4, PB_BYTES):
        return pb_read_bytes(r, &to->id.ns);
    case PB_TAG(5, PB_BYTES):
        return pb_read_bytes(r, &to->id.value);
    case PB_TAG(6, PB_FIXED64):
        return pb_read_fixed64(r, &to->profile);
    default:
        return false;
    }
}

bool direct_read_request(struct bytes item, struct arena *a, struct request *out)
{
    *out = (struct request){0};
    return pb_read_fields(item, a, take_field, out) && serves(out->type);
}
