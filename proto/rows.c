#include <proto/rows.h>

#include <base/decimal.h>

enum { ROW_NONE, ROW_INTEGER, ROW_DECIMAL, ROW_TEXT, ROW_LIST };

void rows_put_member(struct buf *out, one_id member)
{
    buf_put_u64(out, member);
}

void rows_put_none(struct buf *out)
{
    buf_put_u8(out, ROW_NONE);
}

void rows_put_integer(struct buf *out, int64_t v)
{
    buf_put_u8(out, ROW_INTEGER);
    buf_put_zigzag(out, v);
}

void rows_put_decimal(struct buf *out, int64_t millionths)
{
    buf_put_u8(out, ROW_DECIMAL);
    buf_put_zigzag(out, millionths);
}

void rows_put_text(struct buf *out, struct bytes text)
{
    buf_put_u8(out, ROW_TEXT);
    buf_put_bytes(out, text);
}

void rows_put_list(struct buf *out, const struct bytes *list, size_t n)
{
    buf_put_u8(out, ROW_LIST);
    buf_put_varint(out, n);
    for (size_t i = 0; i < n; i++)
        buf_put_bytes(out, list[i]);
}

static bool take_list(struct reader *r, struct arena *arena, struct named_value *out)
{
    uint64_t n = reader_varint(r);
    if (!r->ok || n > reader_left(r)) { /* each takes a byte at least */
        r->ok = false;
        return false;
    }
    out->type = VALUE_LIST;
    out->n_list = (size_t)n;
    out->list = arena_alloc(arena, (out->n_list + 1) * sizeof *out->list);
    for (size_t i = 0; out->list && i < out->n_list; i++)
        out->list[i] = reader_bytes(r);
    return out->list && r->ok;
}

bool rows_take_value(struct reader *r, struct arena *arena, struct named_value *out)
{
    switch (reader_u8(r)) {
    case ROW_NONE:
        out->type = VALUE_NULL;
        return r->ok;
    case ROW_INTEGER:
        out->type = VALUE_INTEGER;
        out->integer = reader_zigzag(r);
        return r->ok;
    case ROW_DECIMAL:
        out->type = VALUE_REAL;
        out->real = (double)reader_zigzag(r) / (double)DECIMAL_ONE;
        return r->ok;
    case ROW_TEXT:
        out->type = VALUE_TEXT;
        out->text = reader_bytes(r);
        return r->ok;
    case ROW_LIST:
        return take_list(r, arena, out);
    default:
        r->ok = false;
        return false;
    }
}
