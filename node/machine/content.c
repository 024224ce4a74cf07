/* A profile's content in portable form, as FREEZE and LOCATE give it and ABSORB takes it:
 *
 *   u8 version, u8 flags (1: born merging),
 *   varint n, n identities: identity, varint version, never-link tags, bytes facts,
 *       varint k, k message ids (u64 hash, u32 seconds), varint b, b times (u16 bucket, bytes row)
 *   varint e, e edges
 *
 * It comes from another shard: nothing in it is trusted.
 */
#include "state.h"

enum { CONTENT_VERSION = 1, CONTENT_BORN_MERGING = 1 };

static void put_id(struct machine *m, const struct record_id *id, struct buf *out)
{
    struct fragment f;
    identity_put(out, id->id);
    buf_put_varint(out, id->version);
    never_links_put(out, id->tags, id->n_tags);
    fragment_get(m, id->handle, &f);
    buf_put_bytes(out, f.facts);
    dedup_export(m, id->handle, &f, out);
    buf_put_varint(out, f.n_buckets);
    for (size_t i = 0; i < f.n_buckets; i++) {
        struct bytes row = {0};
        if (!behaviour_row_get(m, id->handle, f.buckets[i], &row))
            machine_damaged(m, "behaviour");
        buf_put_u16(out, (uint16_t)f.buckets[i]);
        buf_put_bytes(out, row);
    }
}

void content_encode(struct machine *m, const struct profile *p, struct buf *out)
{
    buf_put_u8(out, CONTENT_VERSION);
    buf_put_u8(out, p->rec.born_merging ? CONTENT_BORN_MERGING : 0);
    buf_put_varint(out, p->rec.n_ids);
    for (size_t i = 0; i < p->rec.n_ids; i++)
        put_id(m, &p->rec.ids[i], out);
    buf_put_varint(out, p->rec.n_edges);
    for (size_t i = 0; i < p->rec.n_edges; i++)
        edge_put(out, &p->rec.edges[i]);
}

/* --- reading --- */

/* An identity's facts say once, and only of its own namespace, that it is there. */
static bool facts_are_of(struct bytes facts, struct identity id)
{
    struct facts_iter it = facts_iter_of(facts);
    struct fact f;
    size_t has = 0;
    if (!facts_check(facts))
        return false;
    while (facts_next(&it, &f)) {
        if (f.kind != FACT_HAS)
            continue;
        if (f.name != id.ns || f.number != 1)
            return false;
        has++;
    }
    return has == 1;
}

static bool take_rows(struct machine *m, struct reader *r, struct content_id *out)
{
    uint64_t n = reader_varint(r);
    if (!r->ok || n > reader_left(r) / 3)
        return false;
    out->n_rows = (size_t)n;
    out->rows = arena_must(&m->scratch, out->n_rows * sizeof *out->rows);
    for (size_t i = 0; i < out->n_rows; i++) {
        out->rows[i].bucket = (int16_t)reader_u16(r);
        out->rows[i].row = reader_bytes(r);
        if (!r->ok || !behaviour_row_check(out->rows[i].row, out->rows[i].bucket))
            return false;
        for (size_t k = 0; k < i; k++) {
            if (out->rows[k].bucket == out->rows[i].bucket)
                return false;
        }
    }
    return true;
}

static bool take_id(struct machine *m, struct reader *r, struct content_id *out)
{
    *out = (struct content_id){0};
    if (!identity_take(r, &out->id))
        return false;
    uint64_t version = reader_varint(r);
    out->version = (uint32_t)version;
    /* The holder after this one counts one more. */
    if (version >= UINT32_MAX || !never_links_take(r, &m->scratch, &out->tags, &out->n_tags))
        return false;
    out->facts = reader_bytes(r);
    if (!r->ok || !facts_are_of(out->facts, out->id))
        return false;
    uint64_t n = reader_varint(r);
    if (!r->ok || n > reader_left(r) / DEDUP_ENTRY_SIZE)
        return false;
    out->message_ids = reader_take(r, (size_t)n * DEDUP_ENTRY_SIZE);
    return take_rows(m, r, out);
}

static bool take_ids(struct machine *m, struct reader *r, struct content *out)
{
    uint64_t n = reader_varint(r);
    if (!r->ok || n == 0 || n > reader_left(r) / 8)
        return false;
    out->n_ids = (size_t)n;
    out->ids = arena_must(&m->scratch, out->n_ids * sizeof *out->ids);
    for (size_t i = 0; i < out->n_ids; i++) {
        if (!take_id(m, r, &out->ids[i]))
            return false;
        for (size_t k = 0; k < i; k++) {
            if (identity_equal(out->ids[k].id, out->ids[i].id))
                return false;
        }
    }
    return true;
}

bool content_decode(struct machine *m, struct bytes in, struct content *out)
{
    struct reader r = reader_of(in);
    *out = (struct content){0};
    uint8_t version = reader_u8(&r), flags = reader_u8(&r);
    if (!r.ok || version != CONTENT_VERSION || flags > CONTENT_BORN_MERGING)
        return false;
    out->born_merging = flags == CONTENT_BORN_MERGING;
    if (!take_ids(m, &r, out))
        return false;
    uint64_t n = reader_varint(&r);
    if (!r.ok || n > reader_left(&r) / 5)
        return false;
    out->n_edges = (size_t)n;
    out->edges = arena_must(&m->scratch, out->n_edges * sizeof *out->edges);
    for (size_t i = 0; i < out->n_edges; i++) {
        if (!edge_take(&r, out->n_ids, &out->edges[i]))
            return false;
    }
    return r.ok && reader_left(&r) == 0;
}

void content_of_claim(struct machine *m, struct identity id, struct content *out)
{
    *out = (struct content){.born_merging = true, .n_ids = 1};
    out->ids = arena_must(&m->scratch, sizeof *out->ids);
    out->ids[0] = (struct content_id){.id = id, .facts = facts_of_identity(m, id)};
}
