#include <base/bytes.h>

#include <stdio.h>
#include <stdlib.h>

int bytes_compare(struct bytes a, struct bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.data, b.data, n) : 0;
    if (c)
        return c;
    return a.len < b.len ? -1 : a.len > b.len;
}

/* Length of the well-formed sequence at p (Unicode 15, table 3-7), 0 if it is not one. */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
    uint8_t c = p[0];
    if (c < 0x80)
        return 1;
    size_t n = c >= 0xC2 && c <= 0xDF ? 2 : (c & 0xF0) == 0xE0 ? 3 : c >= 0xF0 && c <= 0xF4 ? 4 : 0;
    if (n == 0 || left < n)
        return 0;
    uint8_t lo = 0x80, hi = 0xBF;
    if (c == 0xE0)
        lo = 0xA0;
    else if (c == 0xED)
        hi = 0x9F;
    else if (c == 0xF0)
        lo = 0x90;
    else if (c == 0xF4)
        hi = 0x8F;
    if (p[1] < lo || p[1] > hi)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    }
    return n;
}

bool bytes_is_utf8(struct bytes b)
{
    for (size_t i = 0; i < b.len;) {
        size_t n = utf8_sequence(b.data + i, b.len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

uint8_t *buf_reserve(struct buf *b, size_t extra)
{
    if (b->cap - b->len >= extra && b->data)
        return b->data + b->len;
    size_t cap = b->cap ? b->cap : 64;
    while (cap - b->len < extra) {
        if (cap > SIZE_MAX / 2) {
            (void)fprintf(stderr, "oneid: a buffer outgrew the address space\n");
            abort();
        }
        cap *= 2;
    }
    uint8_t *p = realloc(b->data, cap);
    if (!p) {
        (void)fprintf(stderr, "oneid: out of memory growing a buffer to %zu bytes\n", cap);
        abort();
    }
    b->data = p;
    b->cap = cap;
    return p + b->len;
}

void buf_put(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(buf_reserve(b, len), data, len);
    b->len += len;
}

void buf_put_u8(struct buf *b, uint8_t v)
{
    *buf_reserve(b, 1) = v;
    b->len++;
}

static void put_le(struct buf *b, uint64_t v, size_t n)
{
    uint8_t *p = buf_reserve(b, n);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
    b->len += n;
}

void buf_put_u16(struct buf *b, uint16_t v)
{
    put_le(b, v, 2);
}

void buf_put_u32(struct buf *b, uint32_t v)
{
    put_le(b, v, 4);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    put_le(b, v, 8);
}

void buf_put_be64(struct buf *b, uint64_t v)
{
    uint8_t *p = buf_reserve(b, 8);
    for (size_t i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (56 - 8 * i));
    b->len += 8;
}

void buf_put_varint(struct buf *b, uint64_t v)
{
    uint8_t *p = buf_reserve(b, 10);
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    b->len += n;
}

void buf_put_zigzag(struct buf *b, int64_t v)
{
    buf_put_varint(b, ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0));
}

void buf_put_bytes(struct buf *b, struct bytes v)
{
    buf_put_varint(b, v.len);
    buf_put(b, v.data, v.len);
}

static uint64_t read_le(struct reader *r, size_t n)
{
    if (!r->ok || reader_left(r) < n) {
        r->ok = false;
        return 0;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)r->p[i] << (8 * i);
    r->p += n;
    return v;
}

uint8_t reader_u8(struct reader *r)
{
    return (uint8_t)read_le(r, 1);
}

uint16_t reader_u16(struct reader *r)
{
    return (uint16_t)read_le(r, 2);
}

uint32_t reader_u32(struct reader *r)
{
    return (uint32_t)read_le(r, 4);
}

uint64_t reader_u64(struct reader *r)
{
    return read_le(r, 8);
}

uint64_t reader_be64(struct reader *r)
{
    uint64_t v = read_le(r, 8);
    uint64_t w = 0;
    for (size_t i = 0; i < 8; i++)
        w = w << 8 | (v >> (8 * i) & 0xFF);
    return w;
}

uint64_t reader_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && r->ok && r->p < r->end; shift += 7) {
        uint8_t c = *r->p++;
        if (shift == 63 && c > 1)
            break;
        v |= (uint64_t)(c & 0x7F) << shift;
        if (c < 0x80)
            return v;
    }
    r->ok = false;
    return 0;
}

int64_t reader_zigzag(struct reader *r)
{
    uint64_t v = reader_varint(r);
    return (int64_t)(v >> 1 ^ (v & 1 ? UINT64_MAX : 0));
}

struct bytes reader_take(struct reader *r, size_t len)
{
    if (!r->ok || reader_left(r) < len) {
        r->ok = false;
        return bytes_of(NULL, 0);
    }
    struct bytes b = bytes_of(r->p, len);
    r->p += len;
    return b;
}

struct bytes reader_bytes(struct reader *r)
{
    uint64_t n = reader_varint(r);
    if (n > reader_left(r)) {
        r->ok = false;
        return bytes_of(NULL, 0);
    }
    return reader_take(r, (size_t)n);
}
