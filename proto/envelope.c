#include <proto/envelope.h>

#include <assert.h>

enum {
    AT_SHARD = 4,
    AT_FLAGS = 6,
    AT_EPOCH = 8,
    AT_REQUEST = 16,
    AT_ITEMS = 24,
    AT_LENGTH = 28,
    MAGIC_0 = 'O',
    MAGIC_1 = '1'
};

static void put_le(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void fill_header(uint8_t *p, const struct envelope *e, size_t body_len)
{
    assert(body_len <= UINT32_MAX);
    p[0] = MAGIC_0;
    p[1] = MAGIC_1;
    p[2] = ENVELOPE_VERSION;
    p[3] = (uint8_t)e->type;
    put_le(p + AT_SHARD, e->shard, 2);
    put_le(p + AT_FLAGS, e->flags, 2);
    put_le(p + AT_EPOCH, e->epoch, 8);
    put_le(p + AT_REQUEST, e->request_id, 8);
    put_le(p + AT_ITEMS, e->items, 4);
    put_le(p + AT_LENGTH, body_len, 4);
}

void envelope_encode(const struct envelope *e, size_t body_len, struct buf *out)
{
    fill_header(buf_reserve(out, ENVELOPE_SIZE), e, body_len);
    out->len += ENVELOPE_SIZE;
}

size_t envelope_begin(struct buf *out)
{
    size_t offset = out->len;
    (void)buf_reserve(out, ENVELOPE_SIZE);
    out->len += ENVELOPE_SIZE;
    return offset;
}

void envelope_finish(struct buf *out, size_t offset, const struct envelope *e)
{
    assert(out->len >= offset + ENVELOPE_SIZE);
    fill_header(out->data + offset, e, out->len - offset - ENVELOPE_SIZE);
}

static unsigned flags_of_type(enum message_type type)
{
    if (type == MESSAGE_SHARD_REPLY)
        return ENVELOPE_AGE_MAX;
    if (type == MESSAGE_SHARD_READ || type == MESSAGE_SHARD_QUERY)
        return ENVELOPE_STALE_OK;
    return type == MESSAGE_MAP_REQUEST ? ENVELOPE_MAP_SUBSCRIBE : 0;
}

enum error_code envelope_decode(struct bytes frame, struct envelope *out, struct error *err)
{
    *out = (struct envelope){0};
    if (frame.len < ENVELOPE_SIZE)
        return error_set(err, ERR_MALFORMED, "envelope: %zu bytes are too few", frame.len);
    struct reader r = reader_of(frame);
    unsigned first = reader_u8(&r), second = reader_u8(&r);
    if (first != MAGIC_0 || second != MAGIC_1)
        return error_set(err, ERR_MALFORMED, "envelope: not a message of oneid");
    unsigned version = reader_u8(&r), type = reader_u8(&r);
    out->shard = reader_u16(&r);
    out->flags = reader_u16(&r);
    out->epoch = reader_u64(&r);
    out->request_id = reader_u64(&r);
    out->items = reader_u32(&r);
    uint32_t length = reader_u32(&r);
    if (version != ENVELOPE_VERSION)
        return error_set(err, ERR_MISMATCH, "envelope: version %u, this is version %d", version,
                         ENVELOPE_VERSION);
    if (type == 0 || type >= MESSAGE_TYPE_END)
        return error_set(err, ERR_MALFORMED, "envelope: unknown message type %u", type);
    out->type = (enum message_type)type;
    if (out->flags & ~flags_of_type(out->type))
        return error_set(err, ERR_MALFORMED, "envelope: unknown flags");
    if (out->items > BATCH_ITEMS_MAX)
        return error_set(err, ERR_MALFORMED, "envelope: %u items are too many", out->items);
    if (frame.len > MESSAGE_SIZE_MAX)
        return error_set(err, ERR_MALFORMED, "envelope: %zu bytes are too many", frame.len);
    if (length != reader_left(&r))
        return error_set(err, ERR_MALFORMED, "envelope: a body of %zu bytes where it says %u",
                         reader_left(&r), length);
    out->body = reader_take(&r, length);
    return ERR_OK;
}

void wire_error_encode(enum error_code code, const char *text, struct buf *out)
{
    buf_put_u16(out, (uint16_t)code);
    buf_put(out, text, strlen(text));
}

/* A peer's text goes into our logs: one line of it, without control characters. */
static void copy_text(struct bytes text, char *out, size_t size)
{
    size_t n = text.len < size - 1 ? text.len : size - 1;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = text.data[i];
        out[i] = c < 0x20 || c == 0x7F ? ' ' : (char)c;
    }
    out[n] = '\0';
}

enum error_code wire_error_decode(struct bytes body, struct error *out)
{
    struct reader r = reader_of(body);
    unsigned code = reader_u16(&r);
    if (!r.ok || code == ERR_OK)
        return error_set(out, ERR_MALFORMED, "an error message without an error");
    struct error carried = {.code = error_from_wire(code)};
    copy_text(reader_take(&r, reader_left(&r)), carried.msg, sizeof carried.msg);
    if (out)
        *out = carried;
    return carried.code;
}
