/* The value that follows an item's key, by kind (z = zigzag varint, always in its shortest form):
 *
 *   LATEST, FIRST, SOURCE   z ts, value
 *   MIN, MAX                value
 *   SUM, HAS, TOTAL         z number
 *   UNION                   z ts
 *   TAG                     z ts, u8 on
 *   CHANNEL, LAST           z ts, z number
 *
 * where value is u8 type (enum fact_value), then nothing for NULL, z number, or varint length +
 * text.
 *
 * One set of facts has exactly one encoding: equal bytes mean equal facts, and a walk needs no look
 * ahead. The whole key is 6 bytes or more and a join drops one of two equal keys, so a join is
 * never longer than its two inputs together.
 */
#include "facts_item.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

/* --- reading --- */

/* As reader_varint, but takes the shortest form only. */
static inline uint64_t take_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && r->p < r->end; shift += 7) {
        uint8_t c = *r->p++;
        if ((shift == 63 && c > 1) || (shift && c == 0))
            break;
        v |= (uint64_t)(c & 0x7F) << shift;
        if (c < 0x80)
            return v;
    }
    r->ok = false;
    return 0;
}

static inline int64_t take_zigzag(struct reader *r)
{
    uint64_t v = take_varint(r);
    return (int64_t)(v >> 1 ^ (v & 1 ? UINT64_MAX : 0));
}

static inline uint8_t take_u8(struct reader *r)
{
    if (r->p == r->end) {
        r->ok = false;
        return 0;
    }
    return *r->p++;
}

static inline uint32_t take_u32(struct reader *r)
{
    if (reader_left(r) < 4) {
        r->ok = false;
        return 0;
    }
    const uint8_t *p = r->p;
    r->p += 4;
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline struct bytes take_bytes(struct reader *r)
{
    uint64_t n = take_varint(r);
    if (!r->ok || n > reader_left(r)) {
        r->ok = false;
        return bytes_of(NULL, 0);
    }
    struct bytes b = bytes_of(r->p, (size_t)n);
    r->p += n;
    return b;
}

/* Does the key suit the kind? The one place that knows what name and sub may be. */
static bool key_is_valid(const struct fact *f)
{
    switch (f->kind) {
    case FACT_LATEST:
    case FACT_FIRST:
    case FACT_MIN:
    case FACT_MAX:
    case FACT_SUM:
    case FACT_HAS:
    case FACT_LAST:
        return f->name && f->sub.len == 0;
    case FACT_UNION:
        return f->name && f->sub.len > 0;
    case FACT_SOURCE:
        return f->name && f->sub.len == 1;
    case FACT_TAG:
    case FACT_CHANNEL:
        return !f->name && f->sub.len > 0;
    case FACT_TOTAL:
        return f->name && (f->sub.len == 0 || f->sub.len == 4);
    case FACT_KIND_END:
        break;
    }
    return false;
}

/* Is there a choice of type? The others have a number (and UNION none) whatever a caller wrote. */
static bool kind_has_value(enum fact_kind k)
{
    return k <= FACT_MAX || k == FACT_SOURCE;
}

/* Does the value suit the kind? A removal only has a meaning where a later value can undo it. */
static bool value_is_valid(const struct fact *f)
{
    if (f->kind == FACT_TAG)
        return f->number == 0 || f->number == 1;
    if (f->kind == FACT_LATEST || f->kind == FACT_SOURCE)
        return f->type <= FACT_TEXT;
    if (f->kind == FACT_FIRST || f->kind == FACT_MIN || f->kind == FACT_MAX)
        return f->type == FACT_NUMBER || f->type == FACT_TEXT;
    return true;
}

static void take_value(struct reader *r, struct fact *out)
{
    out->type = (enum fact_value)take_u8(r);
    if (out->type == FACT_NUMBER)
        out->number = take_zigzag(r);
    else if (out->type == FACT_TEXT)
        out->text = take_bytes(r);
}

static void take_by_kind(struct reader *r, struct fact *out)
{
    switch (out->kind) {
    case FACT_LATEST:
    case FACT_FIRST:
    case FACT_SOURCE:
        out->ts = take_zigzag(r);
        take_value(r, out);
        return;
    case FACT_MIN:
    case FACT_MAX:
        take_value(r, out);
        return;
    case FACT_SUM:
    case FACT_HAS:
    case FACT_TOTAL:
        out->type = FACT_NUMBER;
        out->number = take_zigzag(r);
        return;
    case FACT_UNION:
        out->ts = take_zigzag(r);
        return;
    case FACT_TAG:
        out->ts = take_zigzag(r);
        out->type = FACT_NUMBER;
        out->number = take_u8(r);
        return;
    case FACT_CHANNEL:
    case FACT_LAST:
        out->ts = take_zigzag(r);
        out->type = FACT_NUMBER;
        out->number = take_zigzag(r);
        return;
    case FACT_KIND_END:
        break;
    }
    r->ok = false;
}

bool facts_next(struct facts_iter *it, struct fact *out)
{
    struct reader *r = &it->r;
    if (r->p == r->end || !r->ok)
        return false;
    uint8_t kind = *r->p++;
    *out = (struct fact){.kind = (enum fact_kind)kind};
    if (kind == 0 || kind >= FACT_KIND_END) {
        r->ok = false;
        return false;
    }
    out->name = take_u32(r);
    out->sub = take_bytes(r);
    take_by_kind(r, out);
    if (!key_is_valid(out) || !value_is_valid(out))
        r->ok = false;
    return r->ok;
}

int fact_key_compare(const struct fact *a, const struct fact *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->name != b->name)
        return a->name < b->name ? -1 : 1;
    return bytes_compare(a->sub, b->sub);
}

bool facts_check(struct bytes facts)
{
    struct facts_iter it = facts_iter_of(facts);
    struct fact previous = {0}, f;
    while (facts_next(&it, &f)) {
        if (fact_key_compare(&previous, &f) >= 0)
            return false;
        previous = f;
    }
    return it.r.ok;
}

bool facts_has_kind(struct bytes facts, enum fact_kind kind)
{
    const uint8_t *end = facts.len ? facts.data + facts.len : facts.data;
    for (const uint8_t *p = facts.data; p < end && *p <= kind;) {
        if (*p == kind)
            return true;
        p = item_at(p, end).next;
    }
    return false;
}

bool facts_find(struct bytes facts, enum fact_kind kind, name_id name, struct bytes sub,
                struct fact *out)
{
    const uint8_t *end = facts.len ? facts.data + facts.len : facts.data;
    for (const uint8_t *p = facts.data; p < end;) {
        struct item i = item_at(p, end);
        int c = item_kind(&i) != kind   ? (item_kind(&i) < kind ? -1 : 1)
                : item_name(&i) != name ? (item_name(&i) < name ? -1 : 1)
                                        : bytes_compare(item_sub(&i), sub);
        if (c == 0)
            *out = item_decode(&i);
        if (c >= 0)
            return c == 0;
        p = i.next;
    }
    return false;
}

/* --- making --- */

void facts_builder_init(struct facts_builder *b, struct arena *arena)
{
    *b = (struct facts_builder){.arena = arena};
}

static bool builder_grow(struct facts_builder *b)
{
    size_t cap = b->cap ? b->cap * 2 : 16;
    struct fact *items = arena_alloc(b->arena, cap * sizeof *items);
    if (!items)
        return false;
    if (b->n)
        memcpy(items, b->items, b->n * sizeof *items);
    b->items = items;
    b->cap = cap;
    return true;
}

void facts_builder_add(struct facts_builder *b, const struct fact *f)
{
    if (!key_is_valid(f) || !value_is_valid(f) || (b->n == b->cap && !builder_grow(b))) {
        b->failed = true;
        return;
    }
    struct fact *kept = &b->items[b->n++];
    *kept = *f;
    if (!kind_has_value(f->kind))
        kept->type = f->kind == FACT_UNION ? FACT_NULL : FACT_NUMBER;
}

static int fact_order(const void *a, const void *b)
{
    return fact_key_compare(a, b);
}

/* Most events have a handful of facts, often in order already. */
static void sort_facts(struct fact *items, size_t n)
{
    enum { FEW = 24 };
    if (n > FEW) {
        qsort(items, n, sizeof *items, fact_order);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct fact f = items[i];
        size_t at = i;
        for (; at > 0 && fact_key_compare(&items[at - 1], &f) > 0; at--)
            items[at] = items[at - 1];
        items[at] = f;
    }
}

bool facts_builder_finish(struct facts_builder *b, struct buf *out)
{
    if (b->failed)
        return false;
    sort_facts(b->items, b->n);
    for (size_t i = 0; i < b->n;) {
        struct fact f = b->items[i++];
        for (; i < b->n && fact_key_compare(&f, &b->items[i]) == 0; i++)
            f = fact_join(&f, &b->items[i]);
        fact_put(out, &f);
    }
    return true;
}

/* --- the effective value of a trait --- */

enum fact_kind facts_kind_of_merge(enum trait_merge m)
{
    switch (m) {
    case MERGE_LATEST:
        return FACT_LATEST;
    case MERGE_FIRST:
        return FACT_FIRST;
    case MERGE_MIN:
        return FACT_MIN;
    case MERGE_MAX:
        return FACT_MAX;
    case MERGE_SUM:
        return FACT_SUM;
    case MERGE_UNION:
        return FACT_UNION;
    case MERGE_SOURCE_PRIORITY:
        return FACT_SOURCE;
    }
    assert(false && "a merge policy that is none");
    return FACT_KIND_END;
}

struct fact facts_trait(struct bytes view, const struct schema_trait *t)
{
    enum fact_kind kind = facts_kind_of_merge(t->merge);
    struct facts_iter it = facts_iter_of(view);
    struct fact f;
    while (kind != FACT_UNION && facts_next(&it, &f)) {
        if (f.kind > kind || (f.kind == kind && f.name > t->id))
            break;
        if (f.kind == kind && f.name == t->id && f.type != FACT_NULL)
            return f;
    }
    return (struct fact){.kind = kind, .name = t->id, .type = FACT_NULL};
}

/* --- behaviour --- */

/* u32 event, z ts, z day, z count, u8 fields, each u32 id, u8 type, z number or varint len + text.
 */
void behaviour_encode(const struct behaviour *b, struct buf *out)
{
    assert(b->n_fields <= EVENT_FIELDS_MAX);
    buf_put_u32(out, b->event);
    buf_put_zigzag(out, b->ts);
    buf_put_zigzag(out, b->day);
    buf_put_zigzag(out, b->count);
    buf_put_u8(out, (uint8_t)b->n_fields);
    for (size_t i = 0; i < b->n_fields; i++) {
        const struct behaviour_field *f = &b->fields[i];
        buf_put_u32(out, f->id);
        buf_put_u8(out, (uint8_t)f->type);
        if (f->type == FIELD_NUMBER)
            buf_put_zigzag(out, f->number);
        else
            buf_put_bytes(out, f->text);
    }
}

static int32_t take_i32(struct reader *r)
{
    int64_t v = take_zigzag(r);
    if (v < INT32_MIN || v > INT32_MAX) {
        r->ok = false;
        return 0;
    }
    return (int32_t)v;
}

static bool take_field(struct reader *r, struct behaviour_field *f)
{
    *f = (struct behaviour_field){.id = take_u32(r)};
    uint8_t type = take_u8(r);
    if (type == FIELD_NUMBER)
        f->number = take_zigzag(r);
    else if (type == FIELD_ENUM)
        f->text = take_bytes(r);
    else
        r->ok = false;
    f->type = (enum field_type)type;
    return r->ok && f->id;
}

bool behaviour_decode(struct bytes in, struct behaviour *out)
{
    struct reader r = reader_of(in);
    *out = (struct behaviour){.event = take_u32(&r)};
    out->ts = take_zigzag(&r);
    out->day = take_i32(&r);
    out->count = take_i32(&r);
    size_t n = take_u8(&r);
    if (!r.ok || !out->event || n > EVENT_FIELDS_MAX)
        return false;
    name_id previous = 0;
    for (; out->n_fields < n; out->n_fields++) {
        struct behaviour_field *f = &out->fields[out->n_fields];
        if (!take_field(&r, f) || f->id <= previous)
            return false;
        previous = f->id;
    }
    return r.p == r.end;
}
