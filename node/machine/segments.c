/* The catalogue of saved segments and the day: what all shards of the cluster agree on.
 *
 * Shard 0 is the authority: definitions are checked and numbered there. Every other shard takes
 * whole catalogues and only ever goes forward, so that it does not matter who carries them, how
 * often, or in which order they arrive. */
#include "state.h"

enum { AUTHORITY = 0, ROW_VERSION = 1 };

/* --- rows --- */

static struct bytes key_of_segment(struct machine *m, struct bytes name)
{
    buf_reset(&m->key);
    buf_put_u8(&m->key, 'G');
    buf_put(&m->key, name.data, name.len);
    return buf_bytes(&m->key);
}

static void put_version(struct machine *m)
{
    buf_reset(&m->row);
    buf_put_u8(&m->row, ROW_VERSION);
    buf_put_varint(&m->row, m->catalogue->version);
    buf_put_varint(&m->row, m->catalogue->n);
    store_put(m->o.store, bytes_of_str("g"), buf_bytes(&m->row));
}

/* Takes the new catalogue over; rows of segments that are the same in both stay untouched. */
static void adopt(struct machine *m, struct catalogue *next)
{
    struct catalogue *was = m->catalogue;
    for (size_t i = 0; i < was->n; i++) {
        struct bytes name = segment_name(was->entries[i].segment);
        if (!catalogue_find(next, name))
            store_del(m->o.store, key_of_segment(m, name));
    }
    for (size_t i = 0; i < next->n; i++) {
        struct segment *s = next->entries[i].segment;
        const struct catalogue_entry *old = catalogue_find(was, segment_name(s));
        if (!old || !bytes_equal(segment_text(old->segment), segment_text(s)))
            store_put(m->o.store, key_of_segment(m, segment_name(s)), segment_text(s));
    }
    m->catalogue = next;
    put_version(m);
    catalogue_drop(was);
    watch_rows_segments_changed(m);
}

/* --- opening --- */

struct loading {
    struct arena arena;
    struct catalogue_row rows[CATALOGUE_SEGMENTS_MAX];
    size_t n;
    bool too_many;
};

static bool load_row(void *ctx, struct bytes key, struct bytes value)
{
    struct loading *l = ctx;
    if (l->n == CATALOGUE_SEGMENTS_MAX) {
        l->too_many = true;
        return false;
    }
    l->rows[l->n++] =
        (struct catalogue_row){arena_must_copy(&l->arena, bytes_of(key.data + 1, key.len - 1)),
                               arena_must_copy(&l->arena, value)};
    return true;
}

static enum error_code load_catalogue(struct machine *m, struct bytes head, struct error *err)
{
    struct reader r = reader_of(head);
    uint8_t form = reader_u8(&r);
    uint64_t version = reader_varint(&r), n = reader_varint(&r);
    struct loading *l = arena_must(&m->scratch, sizeof *l);
    memset(l, 0, sizeof *l);
    store_scan(m->o.store, bytes_of_str("G"), load_row, l);
    struct catalogue *c = NULL;
    enum error_code rc = ERR_CORRUPT;
    if (r.ok && form == ROW_VERSION && !l->too_many && l->n == n)
        rc = catalogue_of_rows(version, l->rows, l->n, m->o.schema, NULL, &c, err);
    arena_close(&l->arena);
    arena_reset(&m->scratch);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc != ERR_OK)
        return error_set(err, ERR_CORRUPT, "the rows of the saved segments are damaged");
    catalogue_drop(m->catalogue);
    m->catalogue = c;
    return ERR_OK;
}

enum error_code segments_load(struct machine *m, struct error *err)
{
    struct bytes value;
    m->catalogue = catalogue_new();
    if (!m->catalogue)
        return error_set(err, ERR_NOMEM, "no memory for the saved segments");
    if (store_get(m->o.store, bytes_of_str("d"), &value)) {
        struct reader r = reader_of(value);
        m->today = (int32_t)reader_zigzag(&r);
        if (!r.ok || reader_left(&r) != 0)
            return error_set(err, ERR_CORRUPT, "the row of the day is damaged");
    }
    if (store_get(m->o.store, bytes_of_str("g"), &value))
        return load_catalogue(m, value, err);
    return ERR_OK;
}

/* --- commands --- */

static void answer(const struct machine *m, enum reply_status status, struct arena *arena,
                   struct reply *out)
{
    struct buf whole = {0};
    catalogue_encode(m->catalogue, &whole);
    *out = (struct reply){.status = status,
                          .catalogue = m->catalogue->version,
                          .content = arena_copy(arena, buf_bytes(&whole))};
    buf_free(&whole);
    if (!out->content.data)
        reply_fail(out, ERR_NOMEM, "no memory for the reply");
}

static void fail(struct arena *arena, const struct error *err, struct reply *out)
{
    *out = (struct reply){.status = REPLY_ERROR,
                          .error = err->code,
                          .text = arena_copy(arena, bytes_of_str(err->msg))};
}

/* May the command change the catalogue? Else it is answered. */
static bool may_change(const struct machine *m, const struct command *c, struct arena *arena,
                       struct reply *out)
{
    if (m->o.shard != AUTHORITY) {
        *out = (struct reply){.status = REPLY_WRONG_SHARD};
        return false;
    }
    if (c->catalogue == m->catalogue->version)
        return true;
    answer(m, REPLY_STALE, arena, out);
    return false;
}

void segments_define(struct machine *m, const struct command *c, struct arena *arena,
                     struct reply *out)
{
    struct error err;
    struct catalogue *next = NULL;
    if (!may_change(m, c, arena, out))
        return;
    if (catalogue_define(m->catalogue, c->name, c->expr, m->o.schema, &next, &err) != ERR_OK) {
        fail(arena, &err, out);
        return;
    }
    if (next != m->catalogue)
        adopt(m, next);
    else
        catalogue_drop(next);
    answer(m, REPLY_OK, arena, out);
}

void segments_drop(struct machine *m, const struct command *c, struct arena *arena,
                   struct reply *out)
{
    struct error err;
    struct catalogue *next = NULL;
    if (!may_change(m, c, arena, out))
        return;
    if (catalogue_remove(m->catalogue, c->name, &next, &err) != ERR_OK) {
        fail(arena, &err, out);
        return;
    }
    adopt(m, next);
    answer(m, REPLY_OK, arena, out);
}

void segments_sync(struct machine *m, const struct command *c, struct reply *out)
{
    struct error err;
    struct catalogue *next = NULL;
    if (m->o.shard == AUTHORITY) {
        reply_fail(out, ERR_INVALID, "this shard takes no catalogue from others");
        return;
    }
    enum error_code rc = catalogue_decode(c->content, m->o.schema, m->catalogue, &next, &err);
    if (rc != ERR_OK) {
        reply_fail(out, rc, "the catalogue that was sent cannot be read");
        return;
    }
    if (next->version > m->catalogue->version)
        adopt(m, next);
    else
        catalogue_drop(next);
    *out = (struct reply){.status = REPLY_OK, .catalogue = m->catalogue->version};
}

void segments_read(struct machine *m, const struct command *c, struct arena *arena,
                   struct reply *out)
{
    if (c->catalogue == m->catalogue->version)
        *out = (struct reply){.status = REPLY_OK, .catalogue = m->catalogue->version};
    else
        answer(m, REPLY_OK, arena, out);
}

void day_set(struct machine *m, const struct command *c, struct reply *out)
{
    if (c->today > m->today) {
        m->today = c->today;
        buf_reset(&m->row);
        buf_put_zigzag(&m->row, m->today);
        store_put(m->o.store, bytes_of_str("d"), buf_bytes(&m->row));
        watch_rows_day_moved(m);
    }
    *out = (struct reply){.status = REPLY_OK};
}
