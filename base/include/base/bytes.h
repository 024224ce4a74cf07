/* Byte strings: borrowed views, a growable buffer, and bounds-checked little-endian reading and
 * writing with LEB128 varints (zigzag for signed). Not thread-safe; a buffer has one owner. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed run of bytes; never freed through this. `data` may be NULL when `len` is 0. */
struct bytes {
    const uint8_t *data;
    size_t len;
};

static inline struct bytes bytes_of(const void *data, size_t len)
{
    struct bytes b = {(const uint8_t *)data, len};
    return b;
}
static inline struct bytes bytes_of_str(const char *s)
{
    return bytes_of(s, s ? strlen(s) : 0);
}
static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
/* Order by content, a prefix before what it begins. <0, 0, >0. */
int bytes_compare(struct bytes a, struct bytes b);
/* Is it well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF)? */
bool bytes_is_utf8(struct bytes b);

/* --- numbers in memory, little-endian --- */

/* Written out byte by byte in one expression, which compilers turn into one store or load. */
static inline void bytes_store_u32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}
static inline void bytes_store_u64(uint8_t *p, uint64_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
    p[4] = (uint8_t)(v >> 32);
    p[5] = (uint8_t)(v >> 40);
    p[6] = (uint8_t)(v >> 48);
    p[7] = (uint8_t)(v >> 56);
}
static inline uint32_t bytes_load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t bytes_load_u64(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}

enum { VARINT_MAX = 10 }; /* bytes of the longest varint */
/* LEB128 in its shortest form; the end of it. */
static inline uint8_t *bytes_store_varint(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}
static inline uint64_t zigzag_of(int64_t v)
{
    return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}
static inline int64_t zigzag_to(uint64_t v)
{
    return (int64_t)(v >> 1 ^ (v & 1 ? UINT64_MAX : 0));
}

/* A growable buffer. Zero it to start; buf_free releases and zeroes. Growth that fails aborts the
 * process with a line on stderr: there is no way to go on that would not lose data. */
struct buf {
    uint8_t *data;
    size_t len, cap;
};

void buf_free(struct buf *b);
static inline void buf_reset(struct buf *b)
{
    b->len = 0;
}
static inline struct bytes buf_bytes(const struct buf *b)
{
    return bytes_of(b->data, b->len);
}
/* Where there is no room: not for callers. */
uint8_t *buf_grow(struct buf *b, size_t extra);
/* Makes room for `extra` more bytes and returns where they go; `len` is left as it was. */
static inline uint8_t *buf_reserve(struct buf *b, size_t extra)
{
    if (b->cap - b->len < extra || !b->data)
        return buf_grow(b, extra);
    return b->data + b->len;
}
static inline void buf_put(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(buf_reserve(b, len), data, len);
    b->len += len;
}
static inline void buf_put_u8(struct buf *b, uint8_t v)
{
    *buf_reserve(b, 1) = v;
    b->len++;
}
void buf_put_u16(struct buf *b, uint16_t v);
static inline void buf_put_u32(struct buf *b, uint32_t v)
{
    bytes_store_u32(buf_reserve(b, 4), v);
    b->len += 4;
}
static inline void buf_put_u64(struct buf *b, uint64_t v)
{
    bytes_store_u64(buf_reserve(b, 8), v);
    b->len += 8;
}
/* Big-endian: for keys whose byte order must be their number order. */
void buf_put_be64(struct buf *b, uint64_t v);
static inline void buf_put_varint(struct buf *b, uint64_t v)
{
    b->len = (size_t)(bytes_store_varint(buf_reserve(b, VARINT_MAX), v) - b->data);
}
static inline void buf_put_zigzag(struct buf *b, int64_t v)
{
    buf_put_varint(b, zigzag_of(v));
}
/* A varint length, then the bytes. */
static inline void buf_put_bytes(struct buf *b, struct bytes v)
{
    buf_put_varint(b, v.len);
    buf_put(b, v.data, v.len);
}

/* A cursor over borrowed bytes. After a read past the end `ok` is false, every further read gives
 * zero, and the cursor does not move: check `ok` once after a group of reads. */
struct reader {
    const uint8_t *p, *end;
    bool ok;
};

static inline struct reader reader_of(struct bytes b)
{
    struct reader r = {b.data, b.data ? b.data + b.len : b.data, true};
    return r;
}
static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->p);
}
static inline uint8_t reader_u8(struct reader *r)
{
    if (r->ok && r->p < r->end)
        return *r->p++;
    r->ok = false;
    return 0;
}
uint16_t reader_u16(struct reader *r);
static inline uint32_t reader_u32(struct reader *r)
{
    if (!r->ok || reader_left(r) < 4) {
        r->ok = false;
        return 0;
    }
    r->p += 4;
    return bytes_load_u32(r->p - 4);
}
static inline uint64_t reader_u64(struct reader *r)
{
    if (!r->ok || reader_left(r) < 8) {
        r->ok = false;
        return 0;
    }
    r->p += 8;
    return bytes_load_u64(r->p - 8);
}
uint64_t reader_be64(struct reader *r);
/* One of more than one byte, or none: not for callers. */
uint64_t reader_long_varint(struct reader *r);
static inline uint64_t reader_varint(struct reader *r)
{
    if (r->ok && r->p < r->end && *r->p < 0x80)
        return *r->p++;
    return reader_long_varint(r);
}
static inline int64_t reader_zigzag(struct reader *r)
{
    return zigzag_to(reader_varint(r));
}
static inline struct bytes reader_take(struct reader *r, size_t len)
{
    if (!r->ok || reader_left(r) < len) {
        r->ok = false;
        return bytes_of(NULL, 0);
    }
    struct bytes b = bytes_of(r->p, len);
    r->p += len;
    return b;
}
/* The opposite of buf_put_bytes: borrows from the underlying bytes. */
static inline struct bytes reader_bytes(struct reader *r)
{
    uint64_t n = reader_varint(r);
    if (n > reader_left(r)) {
        r->ok = false;
        return bytes_of(NULL, 0);
    }
    return reader_take(r, (size_t)n);
}

#endif
