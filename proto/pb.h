/* Protobuf's wire format in small pieces, for the direct codecs (direct.h). Private to proto/.
 *
 * Writing goes into memory that the caller has reserved: each function gives where the next piece
 * goes. A field of its default is left out, as proto3 has it, so that the bytes are those of
 * protobuf-c.
 *
 * Reading judges nothing: whatever is malformed, or lawful but rare, gives false, and the general
 * way (wire_unpack) decides on it. So nothing here can be more lenient than protobuf-c, or refuse
 * what it takes.
 */
#ifndef PROTO_PB_H
#define PROTO_PB_H

#include <base/arena.h>
#include <base/bytes.h>

#include <assert.h>

enum pb_type { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };
#define PB_TAG(number, type) ((unsigned)(number) << 3 | (unsigned)(type))

enum {
    PB_TAG_MAX = 2,   /* bytes of a tag: field numbers up to 2047 */
    PB_LENGTH_MAX = 5 /* of a length */
};

/* --- writing --- */

/* The most that so many fields of numbers and of bytes take, without the bytes themselves. */
static inline size_t pb_room(size_t numbers, size_t bytes)
{
    return numbers * (PB_TAG_MAX + VARINT_MAX) + bytes * (PB_TAG_MAX + PB_LENGTH_MAX);
}

static inline size_t pb_size_varint(uint64_t v)
{
    size_t n = 1;
    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}
/* Sizes of fields with a number below 16. */
static inline size_t pb_size_uint(uint64_t v)
{
    return v ? 1 + pb_size_varint(v) : 0;
}
static inline size_t pb_size_bytes(struct bytes b)
{
    return b.len ? 1 + pb_size_varint(b.len) + b.len : 0;
}

static inline uint8_t *pb_put_tag(uint8_t *p, unsigned number, enum pb_type type)
{
    unsigned tag = PB_TAG(number, type);
    if (tag < 0x80) {
        *p = (uint8_t)tag;
        return p + 1;
    }
    p[0] = (uint8_t)(tag | 0x80);
    p[1] = (uint8_t)(tag >> 7);
    return p + 2;
}
static inline uint8_t *pb_put_uint(uint8_t *p, unsigned number, uint64_t v)
{
    return v ? bytes_store_varint(pb_put_tag(p, number, PB_VARINT), v) : p;
}
static inline uint8_t *pb_put_sint(uint8_t *p, unsigned number, int64_t v)
{
    return pb_put_uint(p, number, zigzag_of(v));
}
static inline uint8_t *pb_put_fixed32(uint8_t *p, unsigned number, uint32_t v)
{
    if (v == 0)
        return p;
    p = pb_put_tag(p, number, PB_FIXED32);
    bytes_store_u32(p, v);
    return p + 4;
}
static inline uint8_t *pb_put_fixed64(uint8_t *p, unsigned number, uint64_t v)
{
    if (v == 0)
        return p;
    p = pb_put_tag(p, number, PB_FIXED64);
    bytes_store_u64(p, v);
    return p + 8;
}
/* Minus zero counts as zero, as in protobuf-c. */
static inline uint8_t *pb_put_double(uint8_t *p, unsigned number, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return v < 0 || v > 0 || v != v ? pb_put_fixed64(p, number, bits) : p;
}
/* An element of a repeated field: there even when it is empty. */
static inline uint8_t *pb_put_element(uint8_t *p, unsigned number, struct bytes b)
{
    p = bytes_store_varint(pb_put_tag(p, number, PB_BYTES), b.len);
    if (b.len)
        memcpy(p, b.data, b.len);
    return p + b.len;
}
static inline uint8_t *pb_put_bytes(uint8_t *p, unsigned number, struct bytes b)
{
    return b.len ? pb_put_element(p, number, b) : p;
}

/* A nested message whose size is not known yet: its content goes behind room for a length, made for
 * a size of about `expected`. */
static inline uint8_t *pb_open(uint8_t *p, unsigned number, size_t expected)
{
    return pb_put_tag(p, number, PB_BYTES) + pb_size_varint(expected);
}
/* Puts the length in, in its shortest form: where the guess was wrong, the content moves. */
static inline uint8_t *pb_close(uint8_t *content, size_t expected, uint8_t *end)
{
    size_t n = (size_t)(end - content), room = pb_size_varint(expected), need = pb_size_varint(n);
    uint8_t *length = content - room;
    if (need != room)
        memmove(length + need, content, n);
    return bytes_store_varint(length, n) + n;
}

/* What was written counts now. */
static inline void pb_finish(struct buf *out, const uint8_t *end)
{
    out->len = (size_t)(end - out->data);
    assert(out->len <= out->cap);
}

/* --- reading --- */

struct pb_reader {
    const uint8_t *p, *end;
};
static inline struct pb_reader pb_reader_of(struct bytes b)
{
    return (struct pb_reader){b.data, b.len ? b.data + b.len : b.data};
}
static inline bool pb_has_more(const struct pb_reader *r)
{
    return r->p != r->end;
}

/* One of more than one byte: any form of up to ten whose value fits into 64 bits. Where the next
 * thing begins; NULL: malformed. */
const uint8_t *pb_long_varint(const uint8_t *p, const uint8_t *end, uint64_t *v);

static inline bool pb_read_varint(struct pb_reader *r, uint64_t *v)
{
    if (r->p != r->end && *r->p < 0x80) {
        *v = *r->p++;
        return true;
    }
    uint64_t n = 0;
    const uint8_t *after = pb_long_varint(r->p, r->end, &n);
    if (!after)
        return false;
    *v = n;
    r->p = after;
    return true;
}
static inline bool pb_read_tag(struct pb_reader *r, unsigned *tag)
{
    unsigned c = *r->p++; /* pb_has_more */
    *tag = c;
    if (c < 0x80)
        return true;
    if (r->p == r->end || *r->p >= 0x80)
        return false;
    *tag = (c & 0x7F) | (unsigned)*r->p++ << 7;
    return true;
}
/* Numbers wider than their type lose their high bits, as in protobuf-c. */
static inline bool pb_read_u32(struct pb_reader *r, uint32_t *v)
{
    uint64_t n = 0;
    bool ok = pb_read_varint(r, &n);
    *v = (uint32_t)n;
    return ok;
}
static inline bool pb_read_sint(struct pb_reader *r, int64_t *v)
{
    uint64_t n = 0;
    bool ok = pb_read_varint(r, &n);
    *v = zigzag_to(n);
    return ok;
}
static inline bool pb_read_bool(struct pb_reader *r, bool *v)
{
    uint64_t n = 0;
    bool ok = pb_read_varint(r, &n);
    *v = n != 0;
    return ok;
}
static inline bool pb_read_fixed32(struct pb_reader *r, uint32_t *v)
{
    if (r->end - r->p < 4)
        return false;
    *v = bytes_load_u32(r->p);
    r->p += 4;
    return true;
}
static inline bool pb_read_fixed64(struct pb_reader *r, uint64_t *v)
{
    if (r->end - r->p < 8)
        return false;
    *v = bytes_load_u64(r->p);
    r->p += 8;
    return true;
}
static inline bool pb_read_double(struct pb_reader *r, double *v)
{
    uint64_t bits;
    if (!pb_read_fixed64(r, &bits))
        return false;
    memcpy(v, &bits, sizeof *v);
    return true;
}
/* The length of bytes, which are all there. */
static inline bool pb_read_length(struct pb_reader *r, size_t *len)
{
    uint64_t n = 0;
    const uint8_t *start = r->p;
    if (!pb_read_varint(r, &n) || r->p - start > PB_LENGTH_MAX || n > (size_t)(r->end - r->p))
        return false;
    *len = (size_t)n;
    return true;
}
/* Borrows; data is NULL when there is none. */
static inline bool pb_read_bytes(struct pb_reader *r, struct bytes *out)
{
    size_t n;
    if (!pb_read_length(r, &n))
        return false;
    *out = bytes_of(n ? r->p : NULL, n);
    r->p += n;
    return true;
}

/* --- messages and repeated fields --- */

/* Takes one field whose tag has been read. */
typedef bool (*pb_field_cb)(struct pb_reader *r, unsigned tag, struct arena *a, void *out);

/* All fields of a message, in any order; of a field that comes again, the last counts. */
static inline bool pb_read_fields(struct bytes message, struct arena *a, pb_field_cb take,
                                  void *out)
{
    struct pb_reader r = pb_reader_of(message);
    unsigned tag;
    while (pb_has_more(&r)) {
        if (!pb_read_tag(&r, &tag) || !take(&r, tag, a, out))
            return false;
    }
    return true;
}

/* Fills one element from its content; what it refers to may come from the arena. */
typedef bool (*pb_element_cb)(struct bytes content, struct arena *a, void *out);

/* How many elements with the tag follow each other; the first tag has been read. 0: malformed. */
static inline size_t pb_count_run(struct pb_reader r, unsigned tag)
{
    size_t len;
    for (size_t n = 1; pb_read_length(&r, &len); n++) {
        r.p += len;
        if (!pb_has_more(&r) || *r.p != tag)
            return n;
        r.p++;
    }
    return 0;
}
/* The elements of a repeated field as an array of exactly their number, when they follow each other
 * as senders write them. NULL otherwise: *n says how many there were before. The field's number is
 * below 16. */
static inline void *pb_read_run(struct pb_reader *r, unsigned tag, struct arena *a, size_t size,
                                pb_element_cb take, size_t *n)
{
    size_t count = *n ? 0 : pb_count_run(*r, tag);
    uint8_t *rows = count && count <= SIZE_MAX / size ? arena_alloc(a, count * size) : NULL;
    for (size_t i = 0; rows && i < count; i++) {
        struct bytes content;
        if (i > 0)
            r->p++; /* the tag */
        if (!pb_read_bytes(r, &content) || !take(content, a, rows + i * size))
            return NULL;
    }
    *n = count;
    return rows;
}

#endif
