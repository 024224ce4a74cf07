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
/* Makes room for `extra` more bytes and returns where they go; `len` is left as it was. */
uint8_t *buf_reserve(struct buf *b, size_t extra);
void buf_put(struct buf *b, const void *data, size_t len);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
/* Big-endian: for keys whose byte order must be their number order. */
void buf_put_be64(struct buf *b, uint64_t v);
void buf_put_varint(struct buf *b, uint64_t v);
void buf_put_zigzag(struct buf *b, int64_t v);
/* A varint length, then the bytes. */
void buf_put_bytes(struct buf *b, struct bytes v);

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
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
uint64_t reader_be64(struct reader *r);
uint64_t reader_varint(struct reader *r);
int64_t reader_zigzag(struct reader *r);
struct bytes reader_take(struct reader *r, size_t len);
/* The opposite of buf_put_bytes: borrows from the underlying bytes. */
struct bytes reader_bytes(struct reader *r);

#endif
