/* Facts as they lie in canonical bytes, unread. Private to proto/.
 *
 * A join or a search looks at keys and steps over values: only the few facts that it changes are
 * decoded. All bytes here have passed facts_check once, or are of our own making: what does not
 * parse is a bug and asserts. */
#ifndef PROTO_FACTS_ITEM_H
#define PROTO_FACTS_ITEM_H

#include <proto/facts.h>

#include <assert.h>

/* kind, name | length of the sub, sub | value | the next item */
struct item {
    const uint8_t *at, *sub, *value, *next;
};

/* Eight bytes at once, where so many are left; on other processors byte by byte. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
static inline bool item_load8(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    if (end - p < 8)
        return false;
    memcpy(out, p, sizeof *out);
    return true;
}
#else
static inline bool item_load8(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    (void)p;
    (void)end;
    (void)out;
    return false;
}
#endif

/* How many of eight bytes a varint that begins with them takes; 0: it is longer. */
static inline unsigned item_varint_len(uint64_t eight)
{
    uint64_t last = ~eight & UINT64_C(0x8080808080808080);
    return last ? (unsigned)__builtin_ctzll(last) / 8 + 1 : 0;
}

static inline const uint8_t *item_skip_varint(const uint8_t *p, const uint8_t *end)
{
    uint64_t eight;
    unsigned len = item_load8(p, end, &eight) ? item_varint_len(eight) : 0;
    if (len)
        return p + len;
    while (p < end && (*p++ & 0x80))
        ;
    return p;
}

static inline const uint8_t *item_take_varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    uint64_t v;
    unsigned len = item_load8(p, end, &v) ? item_varint_len(v) : 0;
    if (len) {
        v &= UINT64_C(0x7F7F7F7F7F7F7F7F) >> 8 * (8 - len);
        v = (v & UINT64_C(0x007F007F007F007F)) | (v & UINT64_C(0x7F007F007F007F00)) >> 1;
        v = (v & UINT64_C(0x00003FFF00003FFF)) | (v & UINT64_C(0x3FFF00003FFF0000)) >> 2;
        *out = (v & UINT64_C(0x0FFFFFFF)) | (v & UINT64_C(0x0FFFFFFF00000000)) >> 4;
        return p + len;
    }
    v = 0;
    for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
        v |= (uint64_t)(*p & 0x7F) << shift;
        if (!(*p++ & 0x80))
            break;
    }
    *out = v;
    return p;
}

static inline const uint8_t *item_take_zigzag(const uint8_t *p, const uint8_t *end, int64_t *out)
{
    uint64_t v;
    p = item_take_varint(p, end, &v);
    *out = zigzag_to(v);
    return p;
}

/* Behind a length and its bytes; `*from` is where the bytes begin. */
static inline const uint8_t *item_skip_bytes(const uint8_t *p, const uint8_t *end,
                                             const uint8_t **from)
{
    uint64_t len = *p;
    p = len & 0x80 ? item_take_varint(p, end, &len) : p + 1;
    *from = p;
    assert(len <= (size_t)(end - p));
    return p + len;
}

static inline const uint8_t *item_skip_typed(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *from;
    uint8_t type = p < end ? *p++ : FACT_NULL;
    if (type == FACT_NUMBER)
        return item_skip_varint(p, end);
    return type == FACT_TEXT ? item_skip_bytes(p, end, &from) : p;
}

static inline const uint8_t *item_skip_value(uint8_t kind, const uint8_t *p, const uint8_t *end)
{
    switch (kind) {
    case FACT_TAG:
        return item_skip_varint(p, end) + 1;
    case FACT_CHANNEL:
    case FACT_LAST:
        p = item_skip_varint(p, end);
        return item_skip_varint(p, end);
    case FACT_LATEST:
    case FACT_FIRST:
    case FACT_SOURCE:
        p = item_skip_varint(p, end);
        return item_skip_typed(p, end);
    case FACT_MIN:
    case FACT_MAX:
        return item_skip_typed(p, end);
    case FACT_SUM:
    case FACT_HAS:
    case FACT_TOTAL:
    case FACT_UNION:
        return item_skip_varint(p, end);
    default:
        break;
    }
    assert(false && "a fact of no kind");
    return end;
}

/* The item at p < end. */
static inline struct item item_at(const uint8_t *p, const uint8_t *end)
{
    struct item i = {.at = p, .sub = p + 6};
    assert(end - p > 5);
    if (p[5] < 0x80)
        i.value = p + 6 + p[5];
    else
        i.value = item_skip_bytes(p + 5, end, &i.sub);
    assert(i.value < end);
    i.next = item_skip_value(*p, i.value, end);
    assert(i.next <= end);
    return i;
}

static inline enum fact_kind item_kind(const struct item *i)
{
    return (enum fact_kind)i->at[0];
}

static inline name_id item_name(const struct item *i)
{
    const uint8_t *p = i->at + 1;
    return p[0] | (name_id)p[1] << 8 | (name_id)p[2] << 16 | (name_id)p[3] << 24;
}

static inline struct bytes item_sub(const struct item *i)
{
    return bytes_of(i->sub, (size_t)(i->value - i->sub));
}

static inline struct bytes item_bytes(const struct item *i)
{
    return bytes_of(i->at, (size_t)(i->next - i->at));
}

/* By key, as canonical bytes are sorted. */
static inline int item_compare(const struct item *a, const struct item *b)
{
    if (item_kind(a) != item_kind(b))
        return item_kind(a) < item_kind(b) ? -1 : 1;
    if (item_name(a) != item_name(b))
        return item_name(a) < item_name(b) ? -1 : 1;
    return bytes_compare(item_sub(a), item_sub(b));
}

static inline void item_read_typed(const uint8_t *p, const uint8_t *end, struct fact *f)
{
    f->type = (enum fact_value) * p++;
    if (f->type == FACT_NUMBER) {
        (void)item_take_zigzag(p, end, &f->number);
    } else if (f->type == FACT_TEXT) {
        const uint8_t *from;
        const uint8_t *behind = item_skip_bytes(p, end, &from);
        f->text = bytes_of(from, (size_t)(behind - from));
    }
}

/* As facts_next reads it. */
static inline struct fact item_decode(const struct item *i)
{
    struct fact f = {.kind = item_kind(i), .name = item_name(i), .sub = item_sub(i)};
    const uint8_t *p = i->value, *end = i->next;
    switch (f.kind) {
    case FACT_LATEST:
    case FACT_FIRST:
    case FACT_SOURCE:
        item_read_typed(item_take_zigzag(p, end, &f.ts), end, &f);
        break;
    case FACT_MIN:
    case FACT_MAX:
        item_read_typed(p, end, &f);
        break;
    case FACT_SUM:
    case FACT_HAS:
    case FACT_TOTAL:
        f.type = FACT_NUMBER;
        (void)item_take_zigzag(p, end, &f.number);
        break;
    case FACT_UNION:
        (void)item_take_zigzag(p, end, &f.ts);
        break;
    case FACT_TAG:
        f.type = FACT_NUMBER;
        f.number = *item_take_zigzag(p, end, &f.ts);
        break;
    case FACT_CHANNEL:
    case FACT_LAST:
        f.type = FACT_NUMBER;
        (void)item_take_zigzag(item_take_zigzag(p, end, &f.ts), end, &f.number);
        break;
    case FACT_KIND_END:
        break;
    }
    return f;
}

/* By key: kind, name, sub. */
int fact_key_compare(const struct fact *a, const struct fact *b);
/* Two facts of one key into one. */
struct fact fact_join(const struct fact *a, const struct fact *b);
/* Appends one item. */
void fact_put(struct buf *out, const struct fact *f);

#endif
