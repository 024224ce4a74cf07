#include "direct.h"
#include "generic.h"
#include "named_codec.h"

/* --- encoding --- */

static Wire__NamedIdentity **ids_of(struct scratch *s, const struct profile_identity *from,
                                    size_t n)
{
    Wire__NamedIdentity **to = scratch_array(s, n, sizeof *to);
    Wire__NamedIdentity *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__named_identity__init(to[i]);
        to[i]->ns = binary_of(from[i].ns);
        to[i]->value = binary_of(from[i].value);
    }
    return to;
}

static Wire__ProfileChannel **channels_of(struct scratch *s, const struct profile_channel *from,
                                          size_t n)
{
    Wire__ProfileChannel **to = scratch_array(s, n, sizeof *to);
    Wire__ProfileChannel *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__profile_channel__init(to[i]);
        to[i]->source = binary_of(from[i].source);
        to[i]->first = from[i].first;
        to[i]->last = from[i].last;
    }
    return to;
}

static Wire__ProfileEvent **events_of(struct scratch *s, const struct profile_event *from, size_t n)
{
    Wire__ProfileEvent **to = scratch_array(s, n, sizeof *to);
    Wire__ProfileEvent *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__profile_event__init(to[i]);
        to[i]->name = binary_of(from[i].name);
        to[i]->count = from[i].count;
        to[i]->last = from[i].last;
        to[i]->n_sums = from[i].n_sums;
        to[i]->sums = named_values_of(s, from[i].sums, from[i].n_sums);
    }
    return to;
}

void profile_encode_generic(const struct profile_view *v, struct buf *out)
{
    struct scratch s;
    scratch_init(&s);
    Wire__Profile m = WIRE__PROFILE__INIT;
    m.id = v->id;
    m.n_ids = v->n_ids;
    m.ids = ids_of(&s, v->ids, v->n_ids);
    m.n_traits = v->n_traits;
    m.traits = named_values_of(&s, v->traits, v->n_traits);
    m.n_counters = v->n_counters;
    m.counters = named_values_of(&s, v->counters, v->n_counters);
    m.n_tags = v->n_tags;
    m.tags = wire_list_of(&s, v->tags, v->n_tags);
    m.n_channels = v->n_channels;
    m.channels = channels_of(&s, v->channels, v->n_channels);
    m.n_events = v->n_events;
    m.events = events_of(&s, v->events, v->n_events);
    m.level = binary_of(v->level);
    wire_pack(&m.base, out);
    scratch_close(&s);
}

void profile_encode(const struct profile_view *v, struct buf *out)
{
    direct_write_profile(v, out);
}

/* --- decoding --- */

static bool check_profile(struct decoder *d, const struct profile_view *v)
{
    return v->id || decoder_fail(d, "missing One-ID");
}

static bool take_direct(struct decoder *d, struct bytes view, void *out)
{
    return direct_read_profile(view, d->arena, out) && check_profile(d, out);
}

static bool take_ids(struct decoder *d, const Wire__Profile *m, struct profile_view *v)
{
    v->n_ids = m->n_ids;
    if (m->n_ids == 0)
        return true;
    v->ids = decoder_array(d, m->n_ids, sizeof *v->ids);
    for (size_t i = 0; v->ids && i < m->n_ids; i++)
        v->ids[i] = (struct profile_identity){bytes_of_binary(m->ids[i]->ns),
                                              bytes_of_binary(m->ids[i]->value)};
    return v->ids != NULL;
}

static bool take_channels(struct decoder *d, const Wire__Profile *m, struct profile_view *v)
{
    v->n_channels = m->n_channels;
    if (m->n_channels == 0)
        return true;
    v->channels = decoder_array(d, m->n_channels, sizeof *v->channels);
    for (size_t i = 0; v->channels && i < m->n_channels; i++)
        v->channels[i] = (struct profile_channel){bytes_of_binary(m->channels[i]->source),
                                                  m->channels[i]->first, m->channels[i]->last};
    return v->channels != NULL;
}

static bool take_events(struct decoder *d, const Wire__Profile *m, struct profile_view *v)
{
    v->n_events = m->n_events;
    if (m->n_events == 0)
        return true;
    v->events = decoder_array(d, m->n_events, sizeof *v->events);
    for (size_t i = 0; v->events && i < m->n_events; i++) {
        const Wire__ProfileEvent *from = m->events[i];
        struct profile_event *to = &v->events[i];
        *to = (struct profile_event){bytes_of_binary(from->name), from->count, from->last, NULL, 0};
        if (!take_named_values(d, from->sums, from->n_sums, &to->sums, &to->n_sums))
            return false;
    }
    return v->events != NULL;
}

static bool take_profile(struct decoder *d, const Wire__Profile *m, struct profile_view *v)
{
    *v = (struct profile_view){.id = m->id, .level = bytes_of_binary(m->level)};
    return check_profile(d, v) && take_ids(d, m, v) &&
           take_named_values(d, m->traits, m->n_traits, &v->traits, &v->n_traits) &&
           take_named_values(d, m->counters, m->n_counters, &v->counters, &v->n_counters) &&
           wire_take_list(d, m->tags, m->n_tags, &v->tags, &v->n_tags) && take_channels(d, m, v) &&
           take_events(d, m, v);
}

static enum error_code decode(wire_direct_cb direct, struct bytes b, struct arena *arena,
                              struct profile_view **out, struct error *err)
{
    struct decoder d = {.arena = arena, .err = err, .what = "profile", .whole = true};
    struct profile_view *v = decoder_array(&d, 1, sizeof *v);
    *out = NULL;
    if (!v)
        return d.code;
    struct arena_mark before = arena_mark(arena);
    if (!direct || !direct(&d, b, v)) {
        if (d.code != ERR_OK)
            return d.code;
        arena_rewind(arena, before);
        const ProtobufCMessage *m = wire_unpack(&d, b, &wire__profile__descriptor);
        if (!m || !take_profile(&d, (const Wire__Profile *)m, v) || d.code != ERR_OK)
            return d.code;
    }
    *out = v;
    return ERR_OK;
}

enum error_code profile_decode(struct bytes b, struct arena *arena, struct profile_view **out,
                               struct error *err)
{
    return decode(take_direct, b, arena, out, err);
}

enum error_code profile_decode_generic(struct bytes b, struct arena *arena,
                                       struct profile_view **out, struct error *err)
{
    return decode(NULL, b, arena, out, err);
}
