#include "direct.h"
#include "direct_parts.h"

/* --- writing --- */

/* Answers to questions about segments and about the cluster. */
static bool has_others(const struct response *r)
{
    return r->count || r->population || r->in_flight || r->partial || r->n_groups || r->n_members ||
           r->cursor.len || r->n_lines || r->n_shards || r->map_epoch || r->n_findings ||
           r->n_segments || r->catalogue || r->n_combos || r->rows.len || r->n_rows ||
           r->n_fields || r->events.len || r->n_events || r->n_explain || r->nanos ||
           r->n_carrying || r->n_nodes || r->router.len || r->map.len || r->task || r->age_ms;
}
DIRECT_KNOWS_ALL_UP_TO(struct response, age_ms);

static uint8_t *put_refused(uint8_t *p, unsigned number, const struct named_refusal *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t reason = (uint32_t)from[i].reason;
        p = pb_put_tag(p, number, PB_BYTES);
        p = bytes_store_varint(p, pb_size_bytes(from[i].ns) + pb_size_uint(reason));
        p = pb_put_uint(pb_put_bytes(p, 1, from[i].ns), 2, reason);
    }
    return p;
}

static uint8_t *put_fields(uint8_t *p, const struct response *r)
{
    p = pb_put_uint(p, 1, (uint32_t)r->code);
    p = pb_put_bytes(p, 2, r->text);
    p = pb_put_fixed64(p, 3, r->profile);
    p = pb_put_uint(p, 4, r->duplicate);
    p = put_refused(p, 5, r->refused, r->n_refused);
    p = pb_put_bytes(p, 6, r->view);
    return pb_put_uint(p, 18, r->item);
}

bool direct_write_response(const struct response *r, struct buf *out)
{
    if (has_others(r))
        return false;
    size_t payload = r->text.len + r->view.len;
    for (size_t i = 0; i < r->n_refused; i++)
        payload += pb_room(1, 2) + r->refused[i].ns.len;
    uint8_t *start = buf_reserve(out, payload + pb_room(4, 3));
    uint8_t *content = pb_open(start, TAG_ITEM, payload);
    pb_finish(out, pb_close(content, payload, put_fields(content, r)));
    return true;
}

/* --- reading --- */

static bool take_refused_field(struct pb_reader *r, unsigned tag, struct arena *a, void *out)
{
    struct named_refusal *n = out;
    uint32_t reason;
    (void)a;
    if (tag == PB_TAG(1, PB_BYTES))
        return pb_read_bytes(r, &n->ns);
    bool ok = tag == PB_TAG(2, PB_VARINT) && pb_read_u32(r, &reason);
    if (ok)
        n->reason = (enum refusal)reason;
    return ok;
}

static bool take_refused(struct bytes content, struct arena *a, void *out)
{
    *(struct named_refusal *)out = (struct named_refusal){0};
    return pb_read_fields(content, a, take_refused_field, out);
}

static bool take_field(struct pb_reader *r, unsigned tag, struct arena *a, void *out)
{
    struct response *to = out;
    uint32_t number;
    bool ok;
    switch (tag) {
    case PB_TAG(1, PB_VARINT):
        ok = pb_read_u32(r, &number);
        to->code = error_from_wire(number);
        return ok;
    case PB_TAG(2, PB_BYTES):
        return pb_read_bytes(r, &to->text);
    case PB_TAG(3, PB_FIXED64):
        return pb_read_fixed64(r, &to->profile);
    case PB_TAG(4, PB_VARINT):
        return pb_read_bool(r, &to->duplicate);
    case PB_TAG(5, PB_BYTES):
        to->refused = pb_read_run(r, tag, a, sizeof *to->refused, take_refused, &to->n_refused);
        return to->refused != NULL;
    case PB_TAG(6, PB_BYTES):
        return pb_read_bytes(r, &to->view);
    case PB_TAG(18, PB_VARINT):
        return pb_read_u32(r, &to->item);
    default:
        return false;
    }
}

bool direct_read_response(struct bytes item, struct arena *a, struct response *out)
{
    *out = (struct response){0};
    return pb_read_fields(item, a, take_field, out);
}
