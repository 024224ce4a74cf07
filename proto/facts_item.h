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

static inline const uint8_t *item_skip_varint(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (*p++ & 0x80))
        ;
    return p;
}

/* Behind a length and its bytes; `*from` is where the bytes begin. */
static inline const uint8_t *item_skip_bytes(const uint8_t *p, const uint8_t *end,
                                             const uint8_t **from)
{
    size_t len = p < end ? *p++ : 0;
    if (len & 0x80) {
        len &= 0x7F;
        for (unsigned shift = 7; p < end && shift < 63; shift += 7) {
            len |= (size_t)(*p & 0x7F) << shift;
            if (!(*p++ & 0x80))
                break;
        }
    }
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

static inline const uint8_t *item_skip_value(enum fact_kind kind, const uint8_t *p,
                                             const uint8_t *end)
{
    switch (kind) {
    case FACT_LATEST:
    case FACT_FIRST:
    case FACT_SOURCE:
        return item_skip_typed(item_skip_varint(p, end), end);
    case FACT_MIN:
    case FACT_MAX:
        return item_skip_typed(p, end);
    case FACT_SUM:
    case FACT_HAS:
    case FACT_TOTAL:
    case FACT_UNION:
        return item_skip_varint(p, end);
    case FACT_TAG:
        return item_skip_varint(p, end) + 1;
    case FACT_CHANNEL:
    case FACT_LAST:
        return item_skip_varint(item_skip_varint(p, end), end);
    case FACT_KIND_END:
        break;
    }
    assert(false && "a fact of no kind");
    return end;
}

/* The item at p < end. */
static inline struct item item_at(const uint8_t *p, const uint8_t *end)
{
    struct item i = {.at = p};
    assert(end - p > 5);
    i.value = item_skip_bytes(p + 5, end, &i.sub);
    i.next = item_skip_value((enum fact_kind) * p, i.value, end);
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

static inline struct fact item_decode(const struct item *i)
{
    struct facts_iter it = facts_iter_of(item_bytes(i));
    struct fact f;
    bool ok = facts_next(&it, &f);
    assert(ok);
    (void)ok;
    return f;
}

/* By key: kind, name, sub. */
int fact_key_compare(const struct fact *a, const struct fact *b);
/* Two facts of one key into one. */
struct fact fact_join(const struct fact *a, const struct fact *b);
/* Appends one item. */
void fact_put(struct buf *out, const struct fact *f);

#endif
