#include "direct.h"
#include "direct_parts.h"

/* --- writing --- */

static bool serves(enum command_type t)
{
    return t >= COMMAND_APPLY && t <= COMMAND_GET && (t <= COMMAND_DROP || t >= COMMAND_LOCATE);
}

/* Fields of questions about segments and of sweeps. */
static bool has_others(const struct command *c)
{
    return c->expr.len || c->by.len || c->today || c->cursor || c->limit || c->age_ms ||
           c->deadline_ms || c->name.len || c->catalogue || c->n_exprs || c->by2.len ||
           c->n_fields || c->explain;
}
DIRECT_KNOWS_ALL_UP_TO(struct command, explain);

static uint8_t *put_fields(uint8_t *p, const struct command *c)
{
    p = pb_put_uint(p, 1, (uint32_t)c->type);
    p = pb_put_fixed64(p, 2, c->profile);
    p = pb_put_fixed64(p, 3, c->other);
    p = pb_put_uint(p, 4, c->epoch);
    p = pb_put_uint(p, 5, c->version);
    p = direct_put_identities(p, 6, c->ids, c->n_ids);
    p = pb_put_bytes(p, 7, c->message_id);
    p = pb_put_sint(p, 8, c->ts);
    p = pb_put_bytes(p, 9, c->source);
    p = pb_put_bytes(p, 10, c->facts);
    p = pb_put_bytes(p, 11, c->behaviour);
    p = pb_put_bytes(p, 12, c->content);
    p = direct_put_skips(p, 13, c->skips, c->n_skips);
    return pb_put_uint(p, 14, c->want_content);
}

bool direct_write_command(const struct command *c, struct buf *out)
{
    if (!serves(c->type) || has_others(c))
        return false;
    size_t payload = c->message_id.len + c->source.len + c->facts.len + c->behaviour.len +
                     c->content.len + direct_room_of_identities(c->ids, c->n_ids) +
                     direct_room_of_skips(c->skips, c->n_skips);
    uint8_t *start = buf_reserve(out, payload + pb_room(7, 6));
    uint8_t *content = pb_open(start, TAG_ITEM, payload);
    pb_finish(out, pb_close(content, payload, put_fields(content, c)));
    return true;
}

/* --- reading --- */

static bool take_field(struct pb_reader *r, unsigned tag, struct arena *a, void *out)
{
    struct command *c = out;
    uint32_t number;
    bool ok;
    switch (tag) {
    case PB_TAG(1, PB_VARINT):
        ok = pb_read_u32(r, &number);
        c->type = (enum command_type)number;
        return ok;
    case PB_TAG(2, PB_FIXED64):
        return pb_read_fixed64(r, &c->profile);
    case PB_TAG(3, PB_FIXED64):
        return pb_read_fixed64(r, &c->other);
    case PB_TAG(4, PB_VARINT):
        return pb_read_u32(r, &c->epoch);
    case PB_TAG(5, PB_VARINT):
        return pb_read_u32(r, &c->version);
    case PB_TAG(6, PB_BYTES):
        c->ids = pb_read_run(r, tag, a, sizeof *c->ids, direct_take_identity, &c->n_ids);
        return c->ids != NULL;
    case PB_TAG(7, PB_BYTES):
        return pb_read_bytes(r, &c->message_id);
    case PB_TAG(8, PB_VARINT):
        return pb_read_sint(r, &c->ts);
    case PB_TAG(9, PB_BYTES):
        return pb_read_bytes(r, &c->source);
    case PB_TAG(10, PB_BYTES):
        return pb_read_bytes(r, &c->facts);
    case PB_TAG(11, PB_BYTES):
        return pb_read_bytes(r, &c->behaviour);
    case PB_TAG(12, PB_BYTES):
        return pb_read_bytes(r, &c->content);
    case PB_TAG(13, PB_BYTES):
        c->skips = pb_read_run(r, tag, a, sizeof *c->skips, direct_take_skip, &c->n_skips);
        return c->skips != NULL;
    case PB_TAG(14, PB_VARINT):
        return pb_read_bool(r, &c->want_content);
    default:
        return false;
    }
}

bool direct_read_command(struct bytes item, struct arena *a, struct command *out)
{
    *out = (struct command){0};
    return pb_read_fields(item, a, take_field, out) && serves(out->type);
}
