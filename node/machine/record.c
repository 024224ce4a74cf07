#include "record.h"

#include <machine/machine.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { RECORD_VERSION = 1, FLAG_BORN_MERGING = 1 };

enum section {
    SECTION_IDS = 1,
    SECTION_TARGET,
    SECTION_EVIDENCE,
    SECTION_EDGES,
    SECTION_MOVED,
    SECTION_OUTBOX,
    SECTION_ABSORBED,
    SECTION_FENCES,
};

void *arena_must(struct arena *a, size_t size)
{
    void *p = arena_alloc(a, size ? size : 1);
    if (!p) {
        fputs("oneid: out of memory\n", stderr);
        abort();
    }
    return p;
}

struct bytes arena_must_copy(struct arena *a, struct bytes b)
{
    if (b.len == 0)
        return bytes_of(NULL, 0);
    void *p = arena_must(a, b.len);
    memcpy(p, b.data, b.len);
    return bytes_of(p, b.len);
}

/* --- pieces --- */

void identity_put(struct buf *out, struct identity id)
{
    buf_put_u32(out, id.ns);
    buf_put_bytes(out, id.value);
}

bool identity_take(struct reader *r, struct identity *out)
{
    out->ns = reader_u32(r);
    out->value = reader_bytes(r);
    return r->ok && out->ns != 0 && out->value.len > 0 && out->value.len <= IDENTITY_VALUE_MAX;
}

void never_links_put(struct buf *out, const struct never_link *tags, size_t n)
{
    buf_put_varint(out, n);
    for (size_t i = 0; i < n; i++) {
        buf_put_u64(out, tags[i].sid);
        buf_put_u8(out, tags[i].side);
    }
}

bool never_links_take(struct reader *r, struct arena *arena, struct never_link **out, size_t *n)
{
    uint64_t count = reader_varint(r);
    *out = NULL;
    *n = 0;
    if (!r->ok || count > reader_left(r) / 9)
        return false;
    if (count == 0)
        return true;
    *out = arena_must(arena, (size_t)count * sizeof **out);
    *n = (size_t)count;
    for (size_t i = 0; i < *n; i++) {
        (*out)[i].sid = reader_u64(r);
        (*out)[i].side = reader_u8(r);
    }
    return r->ok;
}

void edge_put(struct buf *out, const struct record_edge *e)
{
    buf_put_varint(out, e->a);
    buf_put_varint(out, e->b);
    buf_put_bytes(out, e->message_id);
    buf_put_bytes(out, e->source);
    buf_put_zigzag(out, e->ts);
}

bool edge_take(struct reader *r, size_t n_ids, struct record_edge *out)
{
    uint64_t a = reader_varint(r), b = reader_varint(r);
    out->message_id = reader_bytes(r);
    out->source = reader_bytes(r);
    out->ts = reader_zigzag(r);
    if (!r->ok || a >= n_ids || b >= n_ids || a > UINT32_MAX || b > UINT32_MAX)
        return false;
    out->a = (uint32_t)a;
    out->b = (uint32_t)b;
    return out->message_id.len <= MESSAGE_ID_MAX && out->source.len <= SOURCE_MAX_LEN;
}

/* --- writing --- */

static size_t section_begin(struct buf *out, enum section s)
{
    buf_put_u8(out, (uint8_t)s);
    buf_put_u32(out, 0);
    return out->len;
}

static void section_end(struct buf *out, size_t start)
{
    size_t len = out->len - start;
    assert(len <= UINT32_MAX);
    for (size_t i = 0; i < 4; i++)
        out->data[start - 4 + i] = (uint8_t)(len >> 8 * i);
}

static void put_ids(const struct record *r, struct buf *out)
{
    size_t at = section_begin(out, SECTION_IDS);
    buf_put_varint(out, r->n_ids);
    for (size_t i = 0; i < r->n_ids; i++) {
        const struct record_id *id = &r->ids[i];
        identity_put(out, id->id);
        buf_put_varint(out, id->version);
        buf_put_varint(out, id->handle);
        never_links_put(out, id->tags, id->n_tags);
    }
    section_end(out, at);
}

static void put_merge(const struct record *r, struct buf *out)
{
    size_t at = section_begin(out, SECTION_TARGET);
    buf_put_u64(out, r->target);
    section_end(out, at);
    if (r->evid_b.ns == 0)
        return;
    at = section_begin(out, SECTION_EVIDENCE);
    identity_put(out, r->evid_b);
    identity_put(out, r->evid_a);
    section_end(out, at);
}

static void put_edges(const struct record *r, struct buf *out)
{
    size_t at = section_begin(out, SECTION_EDGES);
    buf_put_varint(out, r->n_edges);
    for (size_t i = 0; i < r->n_edges; i++)
        edge_put(out, &r->edges[i]);
    section_end(out, at);
}

static void put_moved(const struct record *r, struct buf *out)
{
    size_t at = section_begin(out, SECTION_MOVED);
    buf_put_varint(out, r->n_moved);
    for (size_t i = 0; i < r->n_moved; i++) {
        identity_put(out, r->moved[i].id);
        buf_put_u64(out, r->moved[i].to);
    }
    section_end(out, at);
}

static void put_outbox(const struct record *r, struct buf *out)
{
    size_t at = section_begin(out, SECTION_OUTBOX);
    buf_put_varint(out, r->n_outbox);
    for (size_t i = 0; i < r->n_outbox; i++) {
        buf_put_u64(out, r->outbox[i].to);
        buf_put_bytes(out, r->outbox[i].content);
    }
    section_end(out, at);
}

static void put_absorbed(const struct record *r, struct buf *out)
{
    size_t at = section_begin(out, SECTION_ABSORBED);
    for (size_t i = 0; i < r->n_absorbed; i++)
        buf_put_u64(out, r->absorbed[i]);
    section_end(out, at);
}

static void put_fences(const struct record *r, struct buf *out)
{
    size_t at = section_begin(out, SECTION_FENCES);
    buf_put_varint(out, r->n_fences);
    for (size_t i = 0; i < r->n_fences; i++) {
        buf_put_u64(out, r->fences[i].loser);
        buf_put_varint(out, r->fences[i].epoch);
        buf_put_u8(out, r->fences[i].reason);
    }
    section_end(out, at);
}

void record_encode(const struct record *r, struct buf *out)
{
    buf_put_u8(out, RECORD_VERSION);
    buf_put_u8(out, r->state);
    buf_put_u8(out, r->born_merging ? FLAG_BORN_MERGING : 0);
    buf_put_varint(out, r->epoch);
    buf_put_zigzag(out, r->created);
    put_ids(r, out);
    if (r->target)
        put_merge(r, out);
    if (r->n_edges)
        put_edges(r, out);
    if (r->n_moved)
        put_moved(r, out);
    if (r->n_outbox)
        put_outbox(r, out);
    if (r->n_absorbed)
        put_absorbed(r, out);
    if (r->n_fences)
        put_fences(r, out);
}

/* --- reading --- */

/* Room for a few more than there are: most changes add one. */
enum { SPARE = 2 };

static bool take_count(struct reader *r, size_t least_size, size_t *n)
{
    uint64_t count = reader_varint(r);
    *n = (size_t)count;
    return r->ok && count <= reader_left(r) / least_size;
}

static bool take_ids(struct reader *r, struct arena *arena, struct record *out)
{
    if (!take_count(r, 8, &out->n_ids))
        return false;
    out->cap_ids = out->n_ids + SPARE;
    out->ids = arena_must(arena, out->cap_ids * sizeof *out->ids);
    for (size_t i = 0; i < out->n_ids; i++) {
        struct record_id *id = &out->ids[i];
        if (!identity_take(r, &id->id))
            return false;
        uint64_t version = reader_varint(r);
        id->version = (uint32_t)version;
        id->handle = reader_varint(r);
        if (version > UINT32_MAX || !never_links_take(r, arena, &id->tags, &id->n_tags))
            return false;
    }
    return r->ok;
}

static bool take_edges(struct reader *r, struct arena *arena, struct record *out)
{
    if (!take_count(r, 5, &out->n_edges))
        return false;
    out->cap_edges = out->n_edges + SPARE;
    out->edges = arena_must(arena, out->cap_edges * sizeof *out->edges);
    for (size_t i = 0; i < out->n_edges; i++) {
        if (!edge_take(r, out->n_ids, &out->edges[i]))
            return false;
    }
    return true;
}

static bool take_moved(struct reader *r, struct arena *arena, struct record *out)
{
    if (!take_count(r, 14, &out->n_moved))
        return false;
    out->cap_moved = out->n_moved;
    out->moved = arena_must(arena, out->cap_moved * sizeof *out->moved);
    for (size_t i = 0; i < out->n_moved; i++) {
        if (!identity_take(r, &out->moved[i].id))
            return false;
        out->moved[i].to = reader_u64(r);
    }
    return r->ok;
}

static bool take_outbox(struct reader *r, struct arena *arena, struct record *out)
{
    if (!take_count(r, 9, &out->n_outbox))
        return false;
    out->cap_outbox = out->n_outbox;
    out->outbox = arena_must(arena, out->cap_outbox * sizeof *out->outbox);
    for (size_t i = 0; i < out->n_outbox; i++) {
        out->outbox[i].to = reader_u64(r);
        out->outbox[i].content = reader_bytes(r);
    }
    return r->ok;
}

static bool take_absorbed(struct reader *r, struct arena *arena, struct record *out)
{
    out->n_absorbed = reader_left(r) / 8;
    out->cap_absorbed = out->n_absorbed + SPARE;
    out->absorbed = arena_must(arena, out->cap_absorbed * sizeof *out->absorbed);
    for (size_t i = 0; i < out->n_absorbed; i++)
        out->absorbed[i] = reader_u64(r);
    return r->ok;
}

static bool take_fences(struct reader *r, struct arena *arena, struct record *out)
{
    if (!take_count(r, 10, &out->n_fences))
        return false;
    out->cap_fences = out->n_fences + SPARE;
    out->fences = arena_must(arena, out->cap_fences * sizeof *out->fences);
    for (size_t i = 0; i < out->n_fences; i++) {
        struct record_fence *f = &out->fences[i];
        f->loser = reader_u64(r);
        uint64_t epoch = reader_varint(r);
        f->epoch = (uint32_t)epoch;
        f->reason = reader_u8(r);
        if (epoch > UINT32_MAX)
            return false;
    }
    return r->ok;
}

static bool take_section(unsigned kind, struct reader *r, struct arena *arena, struct record *out)
{
    switch (kind) {
    case SECTION_IDS:
        return take_ids(r, arena, out);
    case SECTION_TARGET:
        out->target = reader_u64(r);
        return r->ok && out->target != 0;
    case SECTION_EVIDENCE:
        return identity_take(r, &out->evid_b) && identity_take(r, &out->evid_a);
    case SECTION_EDGES:
        return take_edges(r, arena, out);
    case SECTION_MOVED:
        return take_moved(r, arena, out);
    case SECTION_OUTBOX:
        return take_outbox(r, arena, out);
    case SECTION_ABSORBED:
        return take_absorbed(r, arena, out);
    case SECTION_FENCES:
        return take_fences(r, arena, out);
    default:
        return false;
    }
}

static bool is_sound(const struct record *r)
{
    switch (r->state) {
    case PROFILE_LIVE:
        return r->n_ids > 0 && r->target == 0;
    case PROFILE_MERGING:
        return r->n_ids > 0 && r->target != 0 && r->evid_b.ns != 0 && r->evid_a.ns != 0;
    case PROFILE_REDIRECT:
        return r->target != 0;
    case PROFILE_ERASED:
        return true;
    default:
        return false;
    }
}

bool record_decode(struct bytes in, struct arena *arena, struct record *out)
{
    struct reader r = reader_of(in);
    *out = (struct record){0};
    if (reader_u8(&r) != RECORD_VERSION)
        return false;
    out->state = reader_u8(&r);
    out->born_merging = (reader_u8(&r) & FLAG_BORN_MERGING) != 0;
    uint64_t epoch = reader_varint(&r);
    out->epoch = (uint32_t)epoch;
    out->created = reader_zigzag(&r);
    if (!r.ok || epoch > UINT32_MAX)
        return false;
    unsigned last = 0;
    while (reader_left(&r) > 0) {
        unsigned kind = reader_u8(&r);
        struct bytes body = reader_take(&r, reader_u32(&r));
        struct reader section = reader_of(body);
        if (!r.ok || kind <= last || !take_section(kind, &section, arena, out) ||
            reader_left(&section) > 0)
            return false;
        last = kind;
    }
    return is_sound(out);
}

/* --- looking --- */

ptrdiff_t record_find(const struct record *r, struct identity id)
{
    for (size_t i = 0; i < r->n_ids; i++) {
        if (identity_equal(r->ids[i].id, id))
            return (ptrdiff_t)i;
    }
    return -1;
}

one_id record_moved_to(const struct record *r, struct identity id)
{
    for (size_t i = 0; i < r->n_moved; i++) {
        if (identity_equal(r->moved[i].id, id))
            return r->moved[i].to;
    }
    return 0;
}

bool record_has_absorbed(const struct record *r, one_id loser)
{
    for (size_t i = 0; i < r->n_absorbed; i++) {
        if (r->absorbed[i] == loser)
            return true;
    }
    return false;
}

const struct record_fence *record_fence_of(const struct record *r, one_id loser, uint32_t epoch)
{
    for (size_t i = 0; i < r->n_fences; i++) {
        if (r->fences[i].loser == loser && r->fences[i].epoch >= epoch)
            return &r->fences[i];
    }
    return NULL;
}

bool record_has_edge(const struct record *r, size_t a, size_t b)
{
    for (size_t i = 0; i < r->n_edges; i++) {
        const struct record_edge *e = &r->edges[i];
        if ((e->a == a && e->b == b) || (e->a == b && e->b == a))
            return true;
    }
    return false;
}

/* --- changing --- */

static void *grown(struct arena *arena, void *items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return items;
    *cap = *cap ? *cap * 2 : 4;
    void *more = arena_must(arena, *cap * size);
    if (n)
        memcpy(more, items, n * size);
    return more;
}

struct record_id *record_add_id(struct record *r, struct arena *arena, const struct record_id *id)
{
    r->ids = grown(arena, r->ids, r->n_ids, &r->cap_ids, sizeof *r->ids);
    r->ids[r->n_ids] = *id;
    return &r->ids[r->n_ids++];
}

void record_add_edge(struct record *r, struct arena *arena, const struct record_edge *e)
{
    r->edges = grown(arena, r->edges, r->n_edges, &r->cap_edges, sizeof *r->edges);
    r->edges[r->n_edges++] = *e;
}

void record_add_absorbed(struct record *r, struct arena *arena, one_id loser)
{
    r->absorbed = grown(arena, r->absorbed, r->n_absorbed, &r->cap_absorbed, sizeof *r->absorbed);
    r->absorbed[r->n_absorbed++] = loser;
}

void record_set_fence(struct record *r, struct arena *arena, const struct record_fence *f)
{
    for (size_t i = 0; i < r->n_fences; i++) {
        if (r->fences[i].loser == f->loser) {
            r->fences[i] = *f;
            return;
        }
    }
    r->fences = grown(arena, r->fences, r->n_fences, &r->cap_fences, sizeof *r->fences);
    r->fences[r->n_fences++] = *f;
}

void record_clear_moved(struct record *r, struct identity id)
{
    for (size_t i = 0; i < r->n_moved; i++) {
        if (identity_equal(r->moved[i].id, id)) {
            r->moved[i] = r->moved[--r->n_moved];
            return;
        }
    }
}
