#include "direct.h"
#include "direct_parts.h"

/* --- writing --- */

static size_t room_of(const struct profile_view *v)
{
    size_t room = v->level.len + pb_room(1, 1) + direct_room_of_values(v->traits, v->n_traits) +
                  direct_room_of_values(v->counters, v->n_counters) +
                  direct_room_of_list(v->tags, v->n_tags);
    for (size_t i = 0; i < v->n_ids; i++)
        room += pb_room(0, 3) + v->ids[i].ns.len + v->ids[i].value.len;
    for (size_t i = 0; i < v->n_channels; i++)
        room += pb_room(2, 2) + v->channels[i].source.len;
    for (size_t i = 0; i < v->n_events; i++)
        room += pb_room(2, 2) + v->events[i].name.len +
                direct_room_of_values(v->events[i].sums, v->events[i].n_sums);
    return room;
}

static uint8_t *put_channel(uint8_t *p, unsigned number, const struct profile_channel *c)
{
    size_t expected = c->source.len;
    uint8_t *content = p = pb_open(p, number, expected);
    p = pb_put_bytes(p, 1, c->source);
    p = pb_put_sint(p, 2, c->first);
    p = pb_put_sint(p, 3, c->last);
    return pb_close(content, expected, p);
}

static uint8_t *put_event(uint8_t *p, unsigned number, const struct profile_event *e)
{
    size_t expected = e->name.len;
    uint8_t *content = p = pb_open(p, number, expected);
    p = pb_put_bytes(p, 1, e->name);
    p = pb_put_sint(p, 2, e->count);
    p = pb_put_sint(p, 3, e->last);
    p = direct_put_values(p, 4, e->sums, e->n_sums);
    return pb_close(content, expected, p);
}

void direct_write_profile(const struct profile_view *v, struct buf *out)
{
    uint8_t *p = buf_reserve(out, room_of(v));
    p = pb_put_fixed64(p, 1, v->id);
    for (size_t i = 0; i < v->n_ids; i++)
        p = direct_put_pair(p, 2, v->ids[i].ns, v->ids[i].value);
    p = direct_put_values(p, 3, v->traits, v->n_traits);
    p = direct_put_values(p, 4, v->counters, v->n_counters);
    p = direct_put_list(p, 5, v->tags, v->n_tags);
    for (size_t i = 0; i < v->n_channels; i++)
        p = put_channel(p, 6, &v->channels[i]);
    for (size_t i = 0; i < v->n_events; i++)
        p = put_event(p, 7, &v->events[i]);
    pb_finish(out, pb_put_bytes(p, 8, v->level));
}

/* --- reading --- */

static bool take_identity(struct bytes content, struct arena *a, void *out)
{
    struct profile_identity *to = out;
    struct named_identity id;
    bool ok = direct_take_name(content, a, &id);
    *to = (struct profile_identity){id.ns, id.value};
    return ok;
}

static bool take_channel_field(struct pb_reader *r, unsigned tag, struct arena *a, void *out)
{
    struct profile_channel *c = out;
    (void)a;
    if (tag == PB_TAG(1, PB_BYTES))
        return pb_read_bytes(r, &c->source);
    if (tag == PB_TAG(2, PB_VARINT))
        return pb_read_sint(r, &c->first);
    return tag == PB_TAG(3, PB_VARINT) && pb_read_sint(r, &c->last);
}

static bool take_channel(struct bytes content, struct arena *a, void *out)
{
    *(struct profile_channel *)out = (struct profile_channel){0};
    return pb_read_fields(content, a, take_channel_field, out);
}

static bool take_event_field(struct pb_reader *r, unsigned tag, struct arena *a, void *out)
{
    struct profile_event *e = out;
    switch (tag) {
    case PB_TAG(1, PB_BYTES):
        return pb_read_bytes(r, &e->name);
    case PB_TAG(2, PB_VARINT):
        return pb_read_sint(r, &e->count);
    case PB_TAG(3, PB_VARINT):
        return pb_read_sint(r, &e->last);
    case PB_TAG(4, PB_BYTES):
        e->sums = pb_read_run(r, tag, a, sizeof *e->sums, direct_take_value, &e->n_sums);
        return e->sums != NULL;
    default:
        return false;
    }
}

static bool take_event(struct bytes content, struct arena *a, void *out)
{
    *(struct profile_event *)out = (struct profile_event){0};
    return pb_read_fields(content, a, take_event_field, out);
}

static bool take_field(struct pb_reader *r, unsigned tag, struct arena *a, void *out)
{
    struct profile_view *v = out;
    switch (tag) {
    case PB_TAG(1, PB_FIXED64):
        return pb_read_fixed64(r, &v->id);
    case PB_TAG(2, PB_BYTES):
        v->ids = pb_read_run(r, tag, a, sizeof *v->ids, take_identity, &v->n_ids);
        return v->ids != NULL;
    case PB_TAG(3, PB_BYTES):
        v->traits = pb_read_run(r, tag, a, sizeof *v->traits, direct_take_value, &v->n_traits);
        return v->traits != NULL;
    case PB_TAG(4, PB_BYTES):
        v->counters =
            pb_read_run(r, tag, a, sizeof *v->counters, direct_take_value, &v->n_counters);
        return v->counters != NULL;
    case PB_TAG(5, PB_BYTES):
        v->tags = pb_read_run(r, tag, a, sizeof *v->tags, direct_take_bytes, &v->n_tags);
        return v->tags != NULL;
    case PB_TAG(6, PB_BYTES):
        v->channels = pb_read_run(r, tag, a, sizeof *v->channels, take_channel, &v->n_channels);
        return v->channels != NULL;
    case PB_TAG(7, PB_BYTES):
        v->events = pb_read_run(r, tag, a, sizeof *v->events, take_event, &v->n_events);
        return v->events != NULL;
    case PB_TAG(8, PB_BYTES):
        return pb_read_bytes(r, &v->level);
    default:
        return false;
    }
}

bool direct_read_profile(struct bytes view, struct arena *a, struct profile_view *out)
{
    *out = (struct profile_view){0};
    return pb_read_fields(view, a, take_field, out);
}
