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
        /* Mostly it is ASCII: eight of it at once. */
        if (b.len - i >= 8 && (bytes_load_u64(b.data + i) & UINT64_C(0x8080808080808080)) == 0) {
            i += 8;
            continue;
        }
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

uint8_t *buf_grow(struct buf *b, size_t extra)
{
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

void buf_put_u16(struct buf *b, uint16_t v)
{
    uint8_t *p = buf_reserve(b, 2);
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    b->len += 2;
}

void buf_put_be64(struct buf *b, uint64_t v)
{
    uint8_t *p = buf_reserve(b, 8);
    for (size_t i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (56 - 8 * i));
    b->len += 8;
}

uint16_t reader_u16(struct reader *r)
{
    if (!r->ok || reader_left(r) < 2) {
        r->ok = false;
        return 0;
    }
    r->p += 2;
    return (uint16_t)(r->p[-2] | r->p[-1] << 8);
}

uint64_t reader_be64(struct reader *r)
{
    uint64_t v = reader_u64(r);
    uint64_t w = 0;
    for (size_t i = 0; i < 8; i++)
        w = w << 8 | (v >> (8 * i) & 0xFF);
    return w;
}

uint64_t reader_long_varint(struct reader *r)
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
