/* Joining and comparing facts. */
#include "facts_item.h"

static int value_compare(const struct fact *a, const struct fact *b)
{
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    if (a->type == FACT_TEXT)
        return bytes_compare(a->text, b->text);
    if (a->type == FACT_NUMBER && a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return 0;
}

/* By time, then by value. */
static int moment_compare(const struct fact *a, const struct fact *b)
{
    if (a->ts != b->ts)
        return a->ts < b->ts ? -1 : 1;
    return value_compare(a, b);
}

struct fact fact_join(const struct fact *a, const struct fact *b)
{
    struct fact f = *a;
    switch (a->kind) {
    case FACT_LATEST:
    case FACT_SOURCE:
    case FACT_TAG:
    case FACT_LAST:
        return moment_compare(a, b) >= 0 ? *a : *b;
    case FACT_FIRST:
        return moment_compare(a, b) <= 0 ? *a : *b;
    case FACT_MIN:
        return value_compare(a, b) <= 0 ? *a : *b;
    case FACT_MAX:
        return value_compare(a, b) >= 0 ? *a : *b;
    case FACT_SUM:
    case FACT_HAS:
    case FACT_TOTAL:
        f.number = (int64_t)((uint64_t)a->number + (uint64_t)b->number);
        return f;
    case FACT_UNION:
        return a->ts <= b->ts ? *a : *b;
    case FACT_CHANNEL:
        f.ts = a->ts < b->ts ? a->ts : b->ts;
        f.number = a->number > b->number ? a->number : b->number;
        return f;
    case FACT_KIND_END:
        break;
    }
    assert(false && "a fact of no kind");
    return f;
}

/* Writing goes straight to memory that fact_put has reserved: FIXED_MAX bytes hold all of an item
 * but its sub and text (kind, name, two lengths, ts, type, number). */
enum { FIXED_MAX = 1 + 4 + 10 + 10 + 1 + 10 + 10 };

static inline uint8_t *write_zigzag(uint8_t *p, int64_t v)
{
    return bytes_store_varint(p, zigzag_of(v));
}

static inline uint8_t *write_bytes(uint8_t *p, struct bytes b)
{
    p = bytes_store_varint(p, b.len);
    if (b.len)
        memcpy(p, b.data, b.len);
    return p + b.len;
}

static uint8_t *write_value(uint8_t *p, const struct fact *f)
{
    *p++ = (uint8_t)f->type;
    if (f->type == FACT_NUMBER)
        return write_zigzag(p, f->number);
    return f->type == FACT_TEXT ? write_bytes(p, f->text) : p;
}

static uint8_t *write_by_kind(uint8_t *p, const struct fact *f)
{
    switch (f->kind) {
    case FACT_LATEST:
    case FACT_FIRST:
    case FACT_SOURCE:
        return write_value(write_zigzag(p, f->ts), f);
    case FACT_MIN:
    case FACT_MAX:
        return write_value(p, f);
    case FACT_SUM:
    case FACT_HAS:
    case FACT_TOTAL:
        return write_zigzag(p, f->number);
    case FACT_UNION:
        return write_zigzag(p, f->ts);
    case FACT_TAG:
        p = write_zigzag(p, f->ts);
        *p++ = (uint8_t)f->number;
        return p;
    case FACT_CHANNEL:
    case FACT_LAST:
        return write_zigzag(write_zigzag(p, f->ts), f->number);
    case FACT_KIND_END:
        break;
    }
    assert(false && "a fact of no kind");
    return p;
}

void fact_put(struct buf *out, const struct fact *f)
{
    uint8_t *p = buf_reserve(out, FIXED_MAX + f->sub.len + f->text.len);
    *p++ = (uint8_t)f->kind;
    for (unsigned shift = 0; shift < 32; shift += 8)
        *p++ = (uint8_t)(f->name >> shift);
    p = write_bytes(p, f->sub);
    p = write_by_kind(p, f);
    out->len = (size_t)(p - out->data);
}

/* The same but for what no key and no value tells apart. */
static bool is_same(const struct fact *a, const struct fact *b)
{
    return a->ts == b->ts && a->type == b->type && a->number == b->number &&
           bytes_equal(a->text, b->text);
}

/* Walks `from` up to the first item that does not stand before `to`; `*item` is that item where
 * there is one. */
static const uint8_t *skip_before(const uint8_t *from, const uint8_t *end, const struct item *to,
                                  struct item *item)
{
    while (from < end) {
        *item = item_at(from, end);
        if (item_compare(item, to) >= 0)
            break;
        from = item->next;
    }
    return from;
}

void facts_join_diff(struct bytes a, struct bytes b, struct buf *out, facts_diff_cb cb, void *ctx)
{
    const uint8_t *x = a.data, *x_end = a.len ? a.data + a.len : x;
    const uint8_t *y = b.data, *y_end = b.len ? b.data + b.len : y;
    (void)buf_reserve(out, a.len + b.len + FIXED_MAX);
    while (y < y_end) {
        struct item theirs = item_at(y, y_end), ours = {0};
        const uint8_t *from = x;
        x = skip_before(x, x_end, &theirs, &ours);
        buf_put(out, from, (size_t)(x - from));
        y = theirs.next;
        if (x == x_end || item_compare(&ours, &theirs) != 0) {
            struct bytes raw = item_bytes(&theirs);
            buf_put(out, raw.data, raw.len);
            if (cb) {
                struct fact f = item_decode(&theirs);
                cb(ctx, NULL, &f);
            }
            continue;
        }
        struct fact before = item_decode(&ours), other = item_decode(&theirs);
        struct fact after = fact_join(&before, &other);
        fact_put(out, &after);
        if (cb && !is_same(&before, &after))
            cb(ctx, &before, &after);
        x = ours.next;
    }
    buf_put(out, x, (size_t)(x_end - x));
}

void facts_join(struct bytes a, struct bytes b, struct buf *out)
{
    facts_join_diff(a, b, out, NULL, NULL);
}

static void tell(const struct item *x, const struct item *y, facts_diff_cb cb, void *ctx)
{
    struct fact before, after;
    if (x)
        before = item_decode(x);
    if (y)
        after = item_decode(y);
    cb(ctx, x ? &before : NULL, y ? &after : NULL);
}

void facts_diff(struct bytes before, struct bytes after, facts_diff_cb cb, void *ctx)
{
    const uint8_t *x = before.data, *x_end = before.len ? before.data + before.len : x;
    const uint8_t *y = after.data, *y_end = after.len ? after.data + after.len : y;
    while (x < x_end || y < y_end) {
        struct item old = {0}, new = {0};
        if (x < x_end)
            old = item_at(x, x_end);
        if (y < y_end)
            new = item_at(y, y_end);
        int c = x == x_end ? 1 : y == y_end ? -1 : item_compare(&old, &new);
        if (c != 0 || !bytes_equal(item_bytes(&old), item_bytes(&new)))
            tell(c <= 0 ? &old : NULL, c >= 0 ? &new : NULL, cb, ctx);
        if (c <= 0)
            x = old.next;
        if (c >= 0)
            y = new.next;
    }
}
