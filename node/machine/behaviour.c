/* What a person did, by day: rows of 64 days, each a list of cells (event, day, combination of the
 * enum fields' values) → count and a sum for each number field.
 *
 * Row: u8 version, then cells: bytes key, bytes value.
 *   key    u32 event, zigzag day, varint n, n times (u32 field, bytes text)
 *   value  zigzag count, varint n, n times (u32 field, zigzag sum)
 * Cells stand in the order in which they first occurred.
 */
#include "state.h"

enum { BEHAVIOUR_VERSION = 1, BUCKET_DAYS = 64, KEEP_SLACK_DAYS = 2 };

static int64_t wrapping_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

/* Days that no calendar has share the outermost buckets; a cell carries its own day. */
static int16_t bucket_of_day(int32_t day)
{
    int32_t b = day / BUCKET_DAYS - (day % BUCKET_DAYS < 0);
    return (int16_t)(b < INT16_MIN ? INT16_MIN : b > INT16_MAX ? INT16_MAX : b);
}

static struct bytes row_key(struct machine *m, uint64_t handle, int16_t bucket)
{
    return key_of_part(m, 'F', handle, 'R', (uint16_t)bucket, 2);
}

bool behaviour_row_get(struct machine *m, uint64_t handle, int16_t bucket, struct bytes *row)
{
    return store_get(m->o.store, row_key(m, handle, bucket), row);
}

void behaviour_row_put(struct machine *m, uint64_t handle, int16_t bucket, struct bytes row)
{
    store_put(m->o.store, row_key(m, handle, bucket), row);
}

void behaviour_drop(struct machine *m, uint64_t handle, const struct fragment *f)
{
    for (size_t i = 0; i < f->n_buckets; i++)
        store_del(m->o.store, row_key(m, handle, f->buckets[i]));
}

/* --- reading --- */

bool behaviour_iter_init(struct behaviour_iter *it, struct bytes row)
{
    it->r = reader_of(row);
    return reader_u8(&it->r) == BEHAVIOUR_VERSION;
}

static bool take_key(struct bytes key, struct behaviour_cell *out)
{
    struct reader r = reader_of(key);
    out->event = reader_u32(&r);
    int64_t day = reader_zigzag(&r);
    uint64_t n = reader_varint(&r);
    if (!r.ok || day < INT32_MIN || day > INT32_MAX || n > EVENT_FIELDS_MAX)
        return false;
    out->day = (int32_t)day;
    for (uint64_t i = 0; i < n; i++) {
        struct behaviour_field *f = &out->fields[out->n_fields++];
        *f = (struct behaviour_field){.id = reader_u32(&r), .type = FIELD_ENUM};
        f->text = reader_bytes(&r);
    }
    return r.ok && reader_left(&r) == 0;
}

static bool take_value(struct bytes value, struct behaviour_cell *out)
{
    struct reader r = reader_of(value);
    out->count = reader_zigzag(&r);
    uint64_t n = reader_varint(&r);
    if (!r.ok || n > EVENT_FIELDS_MAX)
        return false;
    for (uint64_t i = 0; i < n; i++) {
        struct behaviour_field *f = &out->fields[out->n_fields++];
        *f = (struct behaviour_field){.id = reader_u32(&r), .type = FIELD_NUMBER};
        f->number = reader_zigzag(&r);
    }
    return r.ok && reader_left(&r) == 0;
}

bool behaviour_next(struct behaviour_iter *it, struct behaviour_cell *out)
{
    *out = (struct behaviour_cell){0};
    if (!it->r.ok || reader_left(&it->r) == 0)
        return false;
    struct bytes key = reader_bytes(&it->r), value = reader_bytes(&it->r);
    if (it->r.ok && take_key(key, out) && take_value(value, out))
        return true;
    it->r.ok = false;
    return false;
}

bool behaviour_row_check(struct bytes row, int16_t bucket)
{
    struct behaviour_iter it;
    struct behaviour_cell cell;
    if (!behaviour_iter_init(&it, row))
        return false;
    while (behaviour_next(&it, &cell)) {
        if (bucket_of_day(cell.day) != bucket)
            return false;
    }
    return it.r.ok;
}

/* --- writing --- */

static void put_cell_key(struct buf *out, const struct behaviour *b)
{
    size_t enums = 0;
    for (size_t i = 0; i < b->n_fields; i++)
        enums += b->fields[i].type == FIELD_ENUM;
    buf_put_u32(out, b->event);
    buf_put_zigzag(out, b->day);
    buf_put_varint(out, enums);
    for (size_t i = 0; i < b->n_fields; i++) {
        if (b->fields[i].type != FIELD_ENUM)
            continue;
        buf_put_u32(out, b->fields[i].id);
        buf_put_bytes(out, b->fields[i].text);
    }
}

/* Sums of a cell and of an event, both sorted by field. The sums of a cell are bounded like the
 * fields of an event; an event that would go beyond (its schema changed within 64 days) keeps the
 * cell's. */
static size_t merge_sums(const struct behaviour_cell *cell, const struct behaviour *b,
                         struct behaviour_field *out)
{
    size_t n = 0, i = 0, j = 0;
    while (n < EVENT_FIELDS_MAX) {
        while (i < cell->n_fields && cell->fields[i].type != FIELD_NUMBER)
            i++;
        while (j < b->n_fields && b->fields[j].type != FIELD_NUMBER)
            j++;
        bool has_cell = i < cell->n_fields, has_event = j < b->n_fields;
        if (!has_cell && !has_event)
            break;
        if (has_cell && has_event && cell->fields[i].id == b->fields[j].id) {
            out[n] = cell->fields[i++];
            out[n].number = wrapping_add(out[n].number, b->fields[j++].number);
            n++;
        } else if (has_cell && (!has_event || cell->fields[i].id < b->fields[j].id)) {
            out[n++] = cell->fields[i++];
        } else {
            out[n++] = b->fields[j++];
        }
    }
    return n;
}

static void put_cell_value(struct buf *out, const struct behaviour_cell *cell,
                           const struct behaviour *b)
{
    struct behaviour_field sums[EVENT_FIELDS_MAX];
    size_t n = merge_sums(cell, b, sums);
    buf_put_zigzag(out, wrapping_add(cell->count, b->count));
    buf_put_varint(out, n);
    for (size_t i = 0; i < n; i++) {
        buf_put_u32(out, sums[i].id);
        buf_put_zigzag(out, sums[i].number);
    }
}

/* The cell with this key in the row: what stands before it and behind it. */
static bool find_cell(struct bytes row, struct bytes key, struct bytes *before, struct bytes *value,
                      struct bytes *behind)
{
    struct reader r = reader_of(row);
    reader_u8(&r);
    while (r.ok && reader_left(&r) > 0) {
        const uint8_t *start = r.p;
        struct bytes k = reader_bytes(&r), v = reader_bytes(&r);
        if (r.ok && bytes_equal(k, key)) {
            *before = bytes_of(row.data, (size_t)(start - row.data));
            *value = v;
            *behind = bytes_of(r.p, reader_left(&r));
            return true;
        }
    }
    return false;
}

static void put_row(struct machine *m, struct bytes row, const struct behaviour *b)
{
    struct buf *out = &m->row;
    struct bytes before = row, value = {0}, behind = {0};
    struct behaviour_cell cell = {0};
    buf_reset(&m->join);
    put_cell_key(&m->join, b);
    size_t key_len = m->join.len;
    if (row.len && find_cell(row, buf_bytes(&m->join), &before, &value, &behind) &&
        !take_value(value, &cell))
        machine_damaged(m, "behaviour");
    put_cell_value(&m->join, &cell, b);
    buf_reset(out);
    if (before.len == 0)
        buf_put_u8(out, BEHAVIOUR_VERSION);
    buf_put(out, before.data, before.len);
    buf_put_bytes(out, bytes_of(m->join.data, key_len));
    buf_put_bytes(out, bytes_of(m->join.data + key_len, m->join.len - key_len));
    buf_put(out, behind.data, behind.len);
}

static int32_t longest_keep_days(const struct schema *s)
{
    uint32_t days = 0;
    for (size_t i = 0; i < s->n_events; i++) {
        if (s->events[i].keep_days > days)
            days = s->events[i].keep_days;
    }
    return days > 1000000 ? 1000000 : (int32_t)days;
}

/* Lets go of buckets that have left every event's window. Days are the cluster's and the clock is
 * UTC: hence the slack. */
static void drop_old_buckets(struct machine *m, uint64_t handle, struct fragment *f, int16_t fresh)
{
    int32_t keep = longest_keep_days(m->o.schema) + KEEP_SLACK_DAYS;
    int32_t oldest = (int32_t)(m->clock / MSEC_PER_DAY) - keep;
    size_t n = 0;
    for (size_t i = 0; i < f->n_buckets; i++) {
        int16_t b = f->buckets[i];
        if (b != fresh && ((int32_t)b + 1) * BUCKET_DAYS <= oldest)
            store_del(m->o.store, row_key(m, handle, b));
        else
            f->buckets[n++] = b;
    }
    f->n_buckets = n;
}

static bool has_bucket(const struct fragment *f, int16_t bucket)
{
    for (size_t i = 0; i < f->n_buckets; i++) {
        if (f->buckets[i] == bucket)
            return true;
    }
    return false;
}

void behaviour_add(struct machine *m, uint64_t handle, struct fragment *f,
                   const struct behaviour *b)
{
    int16_t bucket = bucket_of_day(b->day);
    struct bytes row = {0};
    bool known = has_bucket(f, bucket);
    if (known && !behaviour_row_get(m, handle, bucket, &row))
        machine_damaged(m, "behaviour");
    put_row(m, row, b);
    behaviour_row_put(m, handle, bucket, buf_bytes(&m->row));
    if (known)
        return;
    drop_old_buckets(m, handle, f, bucket);
    int16_t *buckets = arena_must(&m->scratch, (f->n_buckets + 1) * sizeof *buckets);
    if (f->n_buckets)
        memcpy(buckets, f->buckets, f->n_buckets * sizeof *buckets);
    buckets[f->n_buckets++] = bucket;
    f->buckets = buckets;
}
