#include <transfer/message.h>

#include <base/hash.h>

#include <assert.h>

void transfer_ask_encode(const struct transfer_ask *a, struct buf *out)
{
    buf_put_u8(out, TRANSFER_FORM);
    buf_put_u8(out, (uint8_t)a->type);
    switch (a->type) {
    case TRANSFER_OPEN:
        buf_put_u64(out, a->at_least);
        buf_put_u16(out, a->node);
        break;
    case TRANSFER_READ:
        buf_put_u64(out, a->copy);
        buf_put_u64(out, a->offset);
        break;
    case TRANSFER_CLOSE:
        buf_put_u64(out, a->copy);
        break;
    case TRANSFER_ASK_END:
        assert(false && "no message");
    }
}

static void put_copy(struct buf *out, const struct transfer_copy *c)
{
    buf_put_u64(out, c->id);
    buf_put_u64(out, c->applied);
    buf_put_u64(out, c->size);
    buf_put_u32(out, c->chunk_bytes);
    buf_put_u64(out, c->sum);
}

static bool is_printable(uint8_t c)
{
    return c >= 0x20 && c <= 0x7E;
}

static void put_text(struct buf *out, struct bytes text)
{
    for (size_t i = 0; i < text.len && i < TRANSFER_TEXT_MAX; i++)
        buf_put_u8(out, is_printable(text.data[i]) ? text.data[i] : '?');
}

void transfer_answer_encode(const struct transfer_answer *a, struct buf *out)
{
    buf_put_u8(out, TRANSFER_FORM);
    buf_put_u8(out, (uint8_t)a->type);
    switch (a->type) {
    case TRANSFER_OPENED:
        put_copy(out, &a->info);
        break;
    case TRANSFER_WAIT:
        break;
    case TRANSFER_CHUNK_DATA:
        buf_put_u64(out, a->info.id);
        buf_put_u64(out, a->offset);
        buf_put_u64(out, a->sum);
        buf_put(out, a->data.data, a->data.len);
        break;
    case TRANSFER_GONE:
        buf_put_u64(out, a->info.id);
        break;
    case TRANSFER_REFUSED:
        buf_put_u16(out, (uint16_t)a->code);
        put_text(out, a->text);
        break;
    case TRANSFER_ANSWER_END:
        assert(false && "no message");
    }
}

/* The two bytes in front; 0: refused. */
static unsigned read_head(struct reader *r, struct error *err)
{
    unsigned form = reader_u8(r), type = reader_u8(r);
    if (!r->ok)
        (void)error_set(err, ERR_MALFORMED, "fetch: a message without a head");
    else if (form != TRANSFER_FORM)
        (void)error_set(err, ERR_MISMATCH, "fetch: form %u, this is %d", form, TRANSFER_FORM);
    else if (type == 0)
        (void)error_set(err, ERR_MALFORMED, "fetch: unknown type 0");
    else
        return type;
    return 0;
}

static enum error_code check_end(const struct reader *r, struct error *err)
{
    if (r->ok && reader_left(r) == 0)
        return ERR_OK;
    return error_set(err, ERR_MALFORMED, "fetch: a message that is too %s",
                     r->ok ? "long" : "short");
}

enum error_code transfer_ask_decode(struct bytes body, struct transfer_ask *out, struct error *err)
{
    struct error unwanted;
    err = err ? err : &unwanted;
    *out = (struct transfer_ask){0};
    struct reader r = reader_of(body);
    unsigned type = read_head(&r, err);
    if (type == 0)
        return err->code;
    if (type >= TRANSFER_ASK_END)
        return error_set(err, ERR_MALFORMED, "fetch: unknown type %u", type);
    out->type = (enum transfer_ask_type)type;
    if (out->type == TRANSFER_OPEN) {
        out->at_least = reader_u64(&r);
        out->node = reader_u16(&r);
    } else {
        out->copy = reader_u64(&r);
    }
    if (out->type == TRANSFER_READ)
        out->offset = reader_u64(&r);
    return check_end(&r, err);
}

static enum error_code read_copy(struct reader *r, struct transfer_copy *c, struct error *err)
{
    c->id = reader_u64(r);
    c->applied = reader_u64(r);
    c->size = reader_u64(r);
    c->chunk_bytes = reader_u32(r);
    c->sum = reader_u64(r);
    enum error_code code = check_end(r, err);
    if (code != ERR_OK)
        return code;
    if (c->size == 0 || c->size > INT64_MAX)
        return error_set(err, ERR_MALFORMED, "fetch: a copy of %llu bytes",
                         (unsigned long long)c->size);
    if (c->chunk_bytes < TRANSFER_CHUNK_MIN || c->chunk_bytes > TRANSFER_CHUNK_MAX)
        return error_set(err, ERR_MALFORMED, "fetch: chunks of %u bytes", c->chunk_bytes);
    return ERR_OK;
}

static enum error_code read_chunk(struct reader *r, struct transfer_answer *out, struct error *err)
{
    out->info.id = reader_u64(r);
    out->offset = reader_u64(r);
    out->sum = reader_u64(r);
    size_t len = r->ok ? reader_left(r) : 0;
    if (len == 0 || len > TRANSFER_CHUNK_MAX)
        return error_set(err, ERR_MALFORMED, "fetch: a chunk of %zu bytes", len);
    out->data = reader_take(r, len);
    return ERR_OK;
}

/* The text goes into logs. */
static bool is_line(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_printable(text.data[i]))
            return false;
    return true;
}

static enum error_code read_refusal(struct reader *r, struct transfer_answer *out,
                                    struct error *err)
{
    out->code = error_from_wire(reader_u16(r));
    if (!r->ok || out->code == ERR_OK)
        return error_set(err, ERR_MALFORMED, "fetch: refused without an error");
    size_t len = reader_left(r);
    out->text = reader_take(r, len);
    if (len > TRANSFER_TEXT_MAX || !is_line(out->text))
        return error_set(err, ERR_MALFORMED, "fetch: refused with a text that is no text");
    return ERR_OK;
}

enum error_code transfer_answer_decode(struct bytes body, struct transfer_answer *out,
                                       struct error *err)
{
    struct error unwanted;
    err = err ? err : &unwanted;
    *out = (struct transfer_answer){0};
    struct reader r = reader_of(body);
    unsigned type = read_head(&r, err);
    if (type == 0)
        return err->code;
    if (type >= TRANSFER_ANSWER_END)
        return error_set(err, ERR_MALFORMED, "fetch: unknown answer %u", type);
    out->type = (enum transfer_answer_type)type;
    switch (out->type) {
    case TRANSFER_OPENED:
        return read_copy(&r, &out->info, err);
    case TRANSFER_CHUNK_DATA:
        return read_chunk(&r, out, err);
    case TRANSFER_REFUSED:
        return read_refusal(&r, out, err);
    case TRANSFER_GONE:
        out->info.id = reader_u64(&r);
        return check_end(&r, err);
    case TRANSFER_WAIT:
    case TRANSFER_ANSWER_END:
        break;
    }
    return check_end(&r, err);
}

uint64_t transfer_sum_chunk(uint64_t copy, uint64_t offset, struct bytes data)
{
    return hash64_seed(data, hash_u64(copy) ^ offset);
}

uint64_t transfer_sum_whole(const struct transfer_copy *c, const uint64_t *sums)
{
    struct buf all = {0};
    struct transfer_copy without = *c;
    without.sum = 0;
    put_copy(&all, &without);
    for (uint64_t i = 0; i < transfer_chunks(c); i++)
        buf_put_u64(&all, sums[i]);
    uint64_t sum = hash64(buf_bytes(&all));
    buf_free(&all);
    return sum;
}

uint64_t transfer_chunks(const struct transfer_copy *c)
{
    return c->size / c->chunk_bytes + (c->size % c->chunk_bytes != 0);
}

uint32_t transfer_chunk_len(const struct transfer_copy *c, uint64_t offset)
{
    if (offset >= c->size || offset % c->chunk_bytes != 0)
        return 0;
    uint64_t left = c->size - offset;
    return left < c->chunk_bytes ? (uint32_t)left : c->chunk_bytes;
}
