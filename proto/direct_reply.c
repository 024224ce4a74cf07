#include "direct.h"
#include "direct_parts.h"

/* --- writing --- */

/* Answers to questions about segments, to sweeps and to those about the shard. */
static bool has_others(const struct reply *r)
{
    return r->n_sweeps || r->n_refusals || r->n_counts || r->n_members || r->cursor ||
           r->population || r->in_flight || r->stats || r->catalogue || r->n_combos ||
           r->rows.len || r->n_rows || r->n_explain || r->nanos;
}
DIRECT_KNOWS_ALL_UP_TO(struct reply, nanos);

static bool serves(enum reply_status s)
{
    return s >= REPLY_OK && s <= REPLY_ERROR;
}

static uint8_t *put_missing(uint8_t *p, unsigned number, const struct missing *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p = pb_put_tag(p, number, PB_BYTES);
        p = bytes_store_varint(p, pb_size_uint(m[i].index) + (m[i].hint ? 9U : 0U));
        p = pb_put_fixed64(pb_put_uint(p, 1, m[i].index), 2, m[i].hint);
    }
    return p;
}

static uint8_t *put_holders(uint8_t *p, unsigned number, const struct holder *h, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p = pb_put_tag(p, number, PB_BYTES);
        p = bytes_store_varint(p, direct_size_of_identity(&h[i].id) + pb_size_uint(h[i].version));
        p = pb_put_uint(direct_put_identity_fields(p, &h[i].id), 3, h[i].version);
    }
    return p;
}

static uint8_t *put_fields(uint8_t *p, const struct reply *r)
{
    p = pb_put_uint(p, 1, (uint32_t)r->status);
    p = pb_put_uint(p, 2, (uint32_t)r->error);
    p = pb_put_bytes(p, 3, r->text);
    p = pb_put_fixed64(p, 4, r->profile);
    p = pb_put_fixed64(p, 5, r->other);
    p = pb_put_uint(p, 6, r->epoch);
    p = pb_put_uint(p, 7, r->version);
    p = direct_put_identities(p, 8, r->ids, r->n_ids);
    p = pb_put_uint(p, 9, (uint32_t)r->reason);
    p = put_missing(p, 10, r->missing, r->n_missing);
    p = direct_put_skips(p, 11, r->refused, r->n_refused);
    p = put_holders(p, 12, r->holders, r->n_holders);
    p = pb_put_bytes(p, 13, r->content);
    return pb_put_uint(p, 22, r->created);
}

static size_t room_of_holders(const struct holder *h, size_t n)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++)
        room += 40 + h[i].id.value.len;
    return room;
}

bool direct_write_reply(const struct reply *r, struct buf *out)
{
    if (!serves(r->status) || has_others(r))
        return false;
    size_t payload = r->text.len + r->content.len + r->n_missing * 24 +
                     direct_room_of_identities(r->ids, r->n_ids) +
                     direct_room_of_skips(r->refused, r->n_refused) +
                     room_of_holders(r->holders, r->n_holders);
    uint8_t *start = buf_reserve(out, payload + pb_room(8, 3));
    uint8_t *content = pb_open(start, TAG_ITEM, payload);
    pb_finish(out, pb_close(content, payload, put_fields(content, r)));
    return true;
}

/* --- reading --- */

static bool take_missing_field(struct pb_reader *r, unsigned tag, struct arena *a, void *out)
{
    struct missing *m = out;
    (void)a;
    if (tag == PB_TAG(1, PB_VARINT))
        return pb_read_u32(r, &m->index);
    return tag == PB_TAG(2, PB_FIXED64) && pb_read_fixed64(r, &m->hint);
}

static bool take_missing(struct bytes content, struct arena *a, void *out)
{
    *(struct missing *)out = (struct missing){0};
    return pb_read_fields(content, a, take_missing_field, out);
}

static bool take_holder_field(struct pb_reader *r, unsigned tag, struct arena *a, void *out)
{
    struct holder *h = out;
    if (tag == PB_TAG(3, PB_VARINT))
        return pb_read_u32(r, &h->version);
    return direct_take_identity_field(r, tag, a, &h->id);
}

static bool take_holder(struct bytes content, struct arena *a, void *out)
{
    *(struct holder *)out = (struct holder){0};
    return pb_read_fields(content, a, take_holder_field, out);
}

static bool take_list(struct pb_reader *r, unsigned tag, struct arena *a, struct reply *to)
{
    switch (tag) {
    case PB_TAG(8, PB_BYTES):
        to->ids = pb_read_run(r, tag, a, sizeof *to->ids, direct_take_identity, &to->n_ids);
        return to->ids != NULL;
    case PB_TAG(10, PB_BYTES):
        to->missing = pb_read_run(r, tag, a, sizeof *to->missing, take_missing, &to->n_missing);
        return to->missing != NULL;
    case PB_TAG(11, PB_BYTES):
        to->refused = pb_read_run(r, tag, a, sizeof *to->refused, direct_take_skip, &to->n_refused);
        return to->refused != NULL;
    case PB_TAG(12, PB_BYTES):
        to->holders = pb_read_run(r, tag, a, sizeof *to->holders, take_holder, &to->n_holders);
        return to->holders != NULL;
    default:
        return false;
    }
}

static bool take_field(struct pb_reader *r, unsigned tag, struct arena *a, void *out)
{
    struct reply *to = out;
    uint32_t number;
    bool ok;
    switch (tag) {
    case PB_TAG(1, PB_VARINT):
        ok = pb_read_u32(r, &number);
        to->status = (enum reply_status)number;
        return ok;
    case PB_TAG(2, PB_VARINT):
        ok = pb_read_u32(r, &number);
        to->error = error_from_wire(number);
        return ok;
    case PB_TAG(3, PB_BYTES):
        return pb_read_bytes(r, &to->text);
    case PB_TAG(4, PB_FIXED64):
        return pb_read_fixed64(r, &to->profile);
    case PB_TAG(5, PB_FIXED64):
        return pb_read_fixed64(r, &to->other);
    case PB_TAG(6, PB_VARINT):
        return pb_read_u32(r, &to->epoch);
    case PB_TAG(7, PB_VARINT):
        return pb_read_u32(r, &to->version);
    case PB_TAG(9, PB_VARINT):
        ok = pb_read_u32(r, &number);
        to->reason = (enum refusal)number;
        return ok;
    case PB_TAG(13, PB_BYTES):
        return pb_read_bytes(r, &to->content);
    case PB_TAG(22, PB_VARINT):
        return pb_read_bool(r, &to->created);
    default:
        return take_list(r, tag, a, to);
    }
}

bool direct_read_reply(struct bytes item, struct arena *a, struct reply *out)
{
    *out = (struct reply){0};
    return pb_read_fields(item, a, take_field, out) && serves(out->status);
}
