#include "state.h"

#include <stdio.h>
#include <stdlib.h>

static uint8_t *put_big_endian(uint8_t *p, uint64_t v, size_t width)
{
    for (size_t i = width; i-- > 0;)
        *p++ = (uint8_t)(v >> 8 * i);
    return p;
}

struct bytes key_of_number(struct machine *m, char kind, uint64_t number)
{
    buf_reset(&m->key);
    uint8_t *p = buf_reserve(&m->key, 1 + 8);
    p[0] = (uint8_t)kind;
    (void)put_big_endian(p + 1, number, 8);
    m->key.len = 1 + 8;
    return buf_bytes(&m->key);
}

struct bytes key_of_part(struct machine *m, char kind, uint64_t number, char part_kind,
                         uint32_t part, size_t width)
{
    key_of_number(m, kind, number);
    uint8_t *p = buf_reserve(&m->key, 1 + width);
    p[0] = (uint8_t)part_kind;
    (void)put_big_endian(p + 1, part, width);
    m->key.len += 1 + width;
    return buf_bytes(&m->key);
}

/* --- index entries --- */

struct bytes key_of_identity(struct machine *m, struct identity id)
{
    buf_reset(&m->key);
    buf_put_u8(&m->key, 'I');
    buf_put_u32(&m->key, id.ns);
    buf_put(&m->key, id.value.data, id.value.len);
    return buf_bytes(&m->key);
}

bool entry_decode(struct bytes value, struct entry *out)
{
    struct reader r = reader_of(value);
    out->profile = reader_u64(&r);
    out->version = reader_u32(&r);
    return r.ok && reader_left(&r) == 0 && out->profile != 0;
}

bool entry_get(struct machine *m, struct identity id, struct entry *out)
{
    struct bytes value;
    if (!store_get(m->o.store, key_of_identity(m, id), &value))
        return false;
    if (entry_decode(value, out))
        return true;
    machine_damaged(m, "index entry");
    return false;
}

void entry_put(struct machine *m, struct identity id, struct entry e)
{
    uint8_t value[12];
    for (size_t i = 0; i < 8; i++)
        value[i] = (uint8_t)(e.profile >> 8 * i);
    for (size_t i = 0; i < 4; i++)
        value[8 + i] = (uint8_t)(e.version >> 8 * i);
    store_put(m->o.store, key_of_identity(m, id), bytes_of(value, sizeof value));
}

void entry_repair(struct machine *m, struct identity id, struct entry e)
{
    struct entry now;
    if (entry_get(m, id, &now) && now.version < e.version)
        entry_put(m, id, e);
}

/* --- fragments --- */

/* Instead of the number of recent message ids: they are in blocks of their own. */
enum { RECENT_IN_BLOCKS = 0xFF };

static bool take_recent(struct reader *r, struct fragment *out)
{
    uint8_t n = reader_u8(r);
    out->has_blocks = n == RECENT_IN_BLOCKS;
    if (out->has_blocks)
        return r->ok;
    out->n_recent = n;
    out->hashes = reader_take(r, (size_t)n * 8).data;
    out->seconds = reader_take(r, (size_t)n * 4).data;
    return r->ok && n <= RECENT_MAX;
}

bool fragment_get(struct machine *m, uint64_t handle, struct fragment *out)
{
    struct bytes value;
    *out = (struct fragment){0};
    if (!store_get(m->o.store, key_of_number(m, 'F', handle), &value)) {
        machine_damaged(m, "fragment");
        return false;
    }
    struct reader r = reader_of(value);
    if (!take_recent(&r, out)) {
        machine_damaged(m, "fragment");
        return false;
    }
    uint64_t n = reader_varint(&r);
    if (!r.ok || n > reader_left(&r) / 2) {
        machine_damaged(m, "fragment");
        return false;
    }
    out->n_buckets = (size_t)n;
    if (n)
        out->buckets = arena_must(&m->scratch, out->n_buckets * sizeof *out->buckets);
    for (size_t i = 0; i < out->n_buckets; i++)
        out->buckets[i] = (int16_t)reader_u16(&r);
    out->facts = bytes_of(r.p, reader_left(&r));
    return true;
}

void fragment_put(struct machine *m, uint64_t handle, const struct fragment *f)
{
    buf_reset(&m->row);
    buf_put_u8(&m->row, f->has_blocks ? RECENT_IN_BLOCKS : f->n_recent);
    if (!f->has_blocks && f->n_recent) {
        buf_put(&m->row, f->hashes, (size_t)f->n_recent * 8);
        buf_put(&m->row, f->seconds, (size_t)f->n_recent * 4);
    }
    buf_put_varint(&m->row, f->n_buckets);
    for (size_t i = 0; i < f->n_buckets; i++)
        buf_put_u16(&m->row, (uint16_t)f->buckets[i]);
    buf_put(&m->row, f->facts.data, f->facts.len);
    store_put(m->o.store, key_of_number(m, 'F', handle), buf_bytes(&m->row));
}

struct bytes facts_joined(struct machine *m, struct bytes a, struct bytes b)
{
    if (b.len == 0)
        return arena_must_copy(&m->scratch, a);
    buf_reset(&m->join);
    facts_join(a, b, &m->join);
    return arena_must_copy(&m->scratch, buf_bytes(&m->join));
}

struct bytes facts_built(struct machine *m, struct facts_builder *b)
{
    buf_reset(&m->join);
    if (!facts_builder_finish(b, &m->join)) {
        fputs("oneid: facts of the machine's own making are not facts\n", stderr);
        abort();
    }
    return arena_must_copy(&m->scratch, buf_bytes(&m->join));
}

struct bytes facts_of_identity(struct machine *m, struct identity id)
{
    struct fact f = {.kind = FACT_HAS, .name = id.ns, .type = FACT_NUMBER, .number = 1};
    struct facts_builder b;
    facts_builder_init(&b, &m->scratch);
    facts_builder_add(&b, &f);
    return facts_built(m, &b);
}

/* --- refused links --- */

void refused_put(struct machine *m, const struct refused_row *row)
{
    uint64_t number = m->next_refused++;
    buf_reset(&m->row);
    buf_put_zigzag(&m->row, row->at);
    buf_put_u64(&m->row, row->profile);
    buf_put_u8(&m->row, (uint8_t)row->reason);
    buf_put_u32(&m->row, row->id.ns);
    buf_put_bytes(&m->row, row->id.value);
    buf_put_u32(&m->row, row->with.ns);
    buf_put_bytes(&m->row, row->with.value);
    buf_put_bytes(&m->row, row->message_id);
    buf_put_bytes(&m->row, row->source);
    store_put(m->o.store, key_of_number(m, 'X', number), buf_bytes(&m->row));
    if (number > REFUSED_KEPT)
        store_del(m->o.store, key_of_number(m, 'X', number - REFUSED_KEPT));
    m->counters.refused++;
    size_t slots = sizeof m->counters.refused_by / sizeof m->counters.refused_by[0];
    if ((size_t)row->reason < slots)
        m->counters.refused_by[row->reason]++;
    m->dirty = true;
}

bool refused_get(struct machine *m, uint64_t number, struct refused_row *out)
{
    struct bytes value;
    if (!store_get(m->o.store, key_of_number(m, 'X', number), &value))
        return false;
    struct reader r = reader_of(value);
    *out = (struct refused_row){.number = number};
    out->at = reader_zigzag(&r);
    out->profile = reader_u64(&r);
    out->reason = (enum refusal)reader_u8(&r);
    out->id.ns = reader_u32(&r);
    out->id.value = reader_bytes(&r);
    out->with.ns = reader_u32(&r);
    out->with.value = reader_bytes(&r);
    out->message_id = reader_bytes(&r);
    out->source = reader_bytes(&r);
    if (!r.ok)
        machine_damaged(m, "refused link");
    return r.ok;
}

/* --- tombstones --- */

msec_t tombstone_due(const struct machine *m, msec_t began, bool born_merging)
{
    if (born_merging)
        return began + BORN_TOMBSTONE_MS;
    if (m->o.redirect_days == 0)
        return INT64_MAX;
    return began + (msec_t)m->o.redirect_days * MSEC_PER_DAY;
}

void tombstone_put(struct machine *m, one_id p, bool born_merging)
{
    buf_reset(&m->row);
    buf_put_zigzag(&m->row, m->clock);
    buf_put_u8(&m->row, born_merging);
    store_put(m->o.store, key_of_number(m, 't', p), buf_bytes(&m->row));
    msec_t due = tombstone_due(m, m->clock, born_merging);
    if (due < m->tombstone_due)
        m->tombstone_due = due;
}

bool tombstone_decode(struct bytes value, msec_t *began, bool *born_merging)
{
    struct reader r = reader_of(value);
    *began = reader_zigzag(&r);
    *born_merging = reader_u8(&r) != 0;
    return r.ok && reader_left(&r) == 0;
}
