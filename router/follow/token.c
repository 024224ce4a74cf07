#include <follow/token.h>

#include <base/hash.h>

enum { TOKEN_VERSION = 1, SHARDS_MAX = UINT16_MAX, WHOLE_ENTRY = 8 };

static void put_place(struct buf *b, const struct follow_place *p)
{
    bool whole = p->member == UINT64_MAX;
    buf_put_u8(b, (uint8_t)(p->from | (whole ? WHOLE_ENTRY : 0)));
    buf_put_varint(b, p->log_index);
    if (!whole)
        buf_put_u64(b, p->member);
}

static bool get_place(struct reader *r, struct follow_place *out)
{
    uint8_t kind = reader_u8(r);
    out->from = (enum watch_from)(kind & ~WHOLE_ENTRY);
    out->log_index = reader_varint(r);
    out->member = kind & WHOLE_ENTRY ? UINT64_MAX : reader_u64(r);
    return r->ok && (kind & ~WHOLE_ENTRY) <= WATCH_AFTER;
}

static void put_hex(struct buf *out, struct bytes in)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < in.len; i++) {
        buf_put_u8(out, (uint8_t)digits[in.data[i] >> 4]);
        buf_put_u8(out, (uint8_t)digits[in.data[i] & 15]);
    }
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool get_hex(struct bytes text, struct buf *out)
{
    if (text.len % 2 != 0)
        return false;
    for (size_t i = 0; i < text.len; i += 2) {
        int high = hex_digit(text.data[i]), low = hex_digit(text.data[i + 1]);
        if (high < 0 || low < 0)
            return false;
        buf_put_u8(out, (uint8_t)(high << 4 | low));
    }
    return true;
}

void follow_token_put(const struct follow_token *t, struct buf *out)
{
    struct buf b = {0};
    buf_put_u8(&b, TOKEN_VERSION);
    buf_put_u64(&b, t->cluster_id);
    buf_put_u64(&b, t->segment);
    buf_put_u64(&b, t->number);
    buf_put_zigzag(&b, t->day);
    buf_put_varint(&b, t->n_shards);
    for (size_t i = 0; i < t->n_shards; i++)
        put_place(&b, &t->places[i]);
    buf_put_u32(&b, hash_checksum(buf_bytes(&b)));
    put_hex(out, buf_bytes(&b));
    buf_free(&b);
}

static enum error_code get_token(struct bytes raw, struct arena *arena, struct follow_token *out,
                                 struct error *err)
{
    struct reader r = reader_of(raw);
    uint8_t version = reader_u8(&r);
    *out = (struct follow_token){.cluster_id = reader_u64(&r),
                                 .segment = reader_u64(&r),
                                 .number = reader_u64(&r),
                                 .day = (int32_t)reader_zigzag(&r)};
    uint64_t n = reader_varint(&r);
    if (!r.ok || version != TOKEN_VERSION || n > SHARDS_MAX || n > reader_left(&r))
        return error_set(err, ERR_INVALID, "token: not one that this version gave");
    out->places = arena_alloc(arena, (n + 1) * sizeof *out->places);
    if (!out->places)
        return error_set(err, ERR_NOMEM, "token");
    for (; out->n_shards < n; out->n_shards++)
        if (!get_place(&r, &out->places[out->n_shards]))
            return error_set(err, ERR_INVALID, "token: damaged");
    if (reader_left(&r) != 0)
        return error_set(err, ERR_INVALID, "token: damaged");
    return ERR_OK;
}

enum error_code follow_token_parse(struct bytes text, struct arena *arena, struct follow_token *out,
                                   struct error *err)
{
    struct buf b = {0};
    bool is_hex = get_hex(text, &b) && b.len > sizeof(uint32_t);
    enum error_code code = ERR_INVALID;
    if (is_hex) {
        struct bytes raw = bytes_of(b.data, b.len - sizeof(uint32_t));
        struct reader sum = reader_of(bytes_of(b.data + raw.len, sizeof(uint32_t)));
        is_hex = reader_u32(&sum) == hash_checksum(raw);
        if (is_hex)
            code = get_token(raw, arena, out, err);
    }
    buf_free(&b);
    return is_hex ? code : error_set(err, ERR_INVALID, "token: not a whole one");
}
