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
#include <proto/facts.h>

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

static int key_compare(const struct fact *a, const struct fact *b)
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
        if (key_compare(&previous, &f) >= 0)
            return false;
        previous = f;
    }
    return it.r.ok;
}

bool facts_find(struct bytes facts, enum fact_kind kind, name_id name, struct bytes sub,
                struct fact *out)
{
    const struct fact wanted = {.kind = kind, .name = name, .sub = sub};
    struct facts_iter it = facts_iter_of(facts);
    struct fact f;
    while (facts_next(&it, &f)) {
        int c = key_compare(&f, &wanted);
        if (c == 0)
            *out = f;
        if (c >= 0)
            return c == 0;
    }
    return false;
}

/* --- joining --- */

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

/* Two facts of one key into one. */
static struct fact join_pair(const struct fact *a, const struct fact *b)
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

/* Writing goes straight to memory that put_fact has reserved: FIXED_MAX bytes hold all of an item
 * but its sub and text (kind, name, two lengths, ts, type, number). */
enum { FIXED_MAX = 1 + 4 + 10 + 10 + 1 + 10 + 10 };

static inline uint8_t *write_varint(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

static inline uint8_t *write_zigzag(uint8_t *p, int64_t v)
{
    return write_varint(p, ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0));
}

static inline uint8_t *write_bytes(uint8_t *p, struct bytes b)
{
    p = write_varint(p, b.len);
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

static void put_fact(struct buf *out, const struct fact *f)
{
    uint8_t *p = buf_reserve(out, FIXED_MAX + f->sub.len + f->text.len);
    *p++ = (uint8_t)f->kind;
    for (unsigned shift = 0; shift < 32; shift += 8)
        *p++ = (uint8_t)(f->name >> shift);
    p = write_bytes(p, f->sub);
    p = write_by_kind(p, f);
    out->len = (size_t)(p - out->data);
}

/* One side of a merge: the fact it stands at, and the bytes of that fact. */
struct side {
    struct facts_iter it;
    struct fact f;
    const uint8_t *from;
    bool has;
};

static void side_step(struct side *s)
{
    s->from = s->it.r.p;
    s->has = facts_next(&s->it, &s->f);
    assert(s->it.r.ok); /* callers hand in canonical facts only */
}

static struct side side_of(struct bytes facts)
{
    struct side s = {.it = facts_iter_of(facts)};
    side_step(&s);
    return s;
}

static struct bytes side_raw(const struct side *s)
{
    return bytes_of(s->from, (size_t)(s->it.r.p - s->from));
}

/* Which side stands at the lesser key: <0 a, >0 b, 0 both at the same. One of them has a fact. */
static int side_order(const struct side *a, const struct side *b)
{
    if (!a->has || !b->has)
        return a->has ? -1 : 1;
    return key_compare(&a->f, &b->f);
}

static void put_rest(struct side *s, struct buf *out)
{
    if (s->has)
        buf_put(out, s->from, (size_t)(s->it.r.end - s->from));
}

void facts_join(struct bytes a, struct bytes b, struct buf *out)
{
    (void)buf_reserve(out, a.len + b.len + FIXED_MAX);
    struct side x = side_of(a), y = side_of(b);
    while (x.has && y.has) {
        int c = side_order(&x, &y);
        if (c == 0) {
            struct fact f = join_pair(&x.f, &y.f);
            put_fact(out, &f);
        } else {
            struct bytes raw = side_raw(c < 0 ? &x : &y);
            buf_put(out, raw.data, raw.len);
        }
        if (c <= 0)
            side_step(&x);
        if (c >= 0)
            side_step(&y);
    }
    put_rest(&x, out);
    put_rest(&y, out);
}

void facts_diff(struct bytes before, struct bytes after, facts_diff_cb cb, void *ctx)
{
    struct side x = side_of(before), y = side_of(after);
    while (x.has || y.has) {
        int c = side_order(&x, &y);
        if (c != 0 || !bytes_equal(side_raw(&x), side_raw(&y)))
            cb(ctx, c <= 0 ? &x.f : NULL, c >= 0 ? &y.f : NULL);
        if (c <= 0)
            side_step(&x);
        if (c >= 0)
            side_step(&y);
    }
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
    return key_compare(a, b);
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
        for (; at > 0 && key_compare(&items[at - 1], &f) > 0; at--)
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
        for (; i < b->n && key_compare(&f, &b->items[i]) == 0; i++)
            f = join_pair(&f, &b->items[i]);
        put_fact(out, &f);
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
