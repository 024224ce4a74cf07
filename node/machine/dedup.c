/* Message ids of an identity, in receipt order: hashes and receipt times.
 *
 * The first RECENT_MAX stand in the fragment, which each event rewrites anyway. With one more all
 * go into blocks (and stay there): the newest block is rewritten by each message; when it is full
 * it is sealed under the next number. Values: newest  u8 version, u8 skip, u16 n, u32 first, u32
 * next, u32 oldest_s, n hashes, n times sealed  DEDUP_BLOCK hashes, DEDUP_BLOCK times A hash is 64
 * bits: among the 65,536 ids that an identity may remember, a new one is taken for an old one once
 * in 2^48 times.
 */
#include "state.h"

#include <assert.h>

enum { DEDUP_VERSION = 1, DEDUP_BLOCK = 128, HEAD_SIZE = 16 };
#define NEWEST UINT32_MAX

static uint32_t load_u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t load_u64(const uint8_t *p)
{
    return load_u32(p) | (uint64_t)load_u32(p + 4) << 32;
}

static struct bytes block_key(struct machine *m, uint64_t handle, uint32_t number)
{
    return key_of_part(m, 'F', handle, 'D', number, 4);
}

/* A sealed block, or NULL where it is missing or damaged. */
static const uint8_t *sealed_get(struct machine *m, uint64_t handle, uint32_t number)
{
    struct bytes value;
    if (store_get(m->o.store, block_key(m, handle, number), &value) &&
        value.len == (size_t)DEDUP_BLOCK * DEDUP_ENTRY_SIZE)
        return value.data;
    machine_damaged(m, "message ids");
    return NULL;
}

void dedup_load(struct machine *m, uint64_t handle, const struct fragment *f, struct dedup *out)
{
    struct bytes value;
    *out = (struct dedup){.handle = handle};
    if (!f->has_blocks) {
        out->in_fragment = true;
        out->n = f->n_recent;
        out->hashes = f->hashes;
        out->seconds = f->seconds;
        out->oldest_s = out->n ? load_u32(out->seconds) : 0;
        return;
    }
    if (!store_get(m->o.store, block_key(m, handle, NEWEST), &value)) {
        machine_damaged(m, "message ids");
        return;
    }
    struct reader r = reader_of(value);
    uint8_t version = reader_u8(&r);
    out->skip = reader_u8(&r);
    out->n = reader_u16(&r);
    out->first = reader_u32(&r);
    out->next = reader_u32(&r);
    out->oldest_s = reader_u32(&r);
    if (!r.ok || version != DEDUP_VERSION || out->n > DEDUP_BLOCK || out->skip >= DEDUP_BLOCK ||
        out->first > out->next || reader_left(&r) != (size_t)out->n * DEDUP_ENTRY_SIZE) {
        machine_damaged(m, "message ids");
        *out = (struct dedup){.handle = handle};
        return;
    }
    out->hashes = r.p;
    out->seconds = r.p + (size_t)out->n * 8;
}

static bool has_hash(const uint8_t *hashes, size_t from, size_t n, uint64_t hash)
{
    for (size_t i = from; i < n; i++) {
        if (load_u64(hashes + 8 * i) == hash)
            return true;
    }
    return false;
}

bool dedup_has(struct machine *m, const struct dedup *d, uint64_t hash)
{
    if (has_hash(d->hashes, 0, d->n, hash))
        return true;
    for (uint32_t b = d->next; b-- > d->first;) {
        const uint8_t *block = sealed_get(m, d->handle, b);
        if (!block)
            return false;
        if (has_hash(block, b == d->first ? d->skip : 0, DEDUP_BLOCK, hash))
            return true;
    }
    return false;
}

/* --- writing --- */

/* A newest block being changed, off the store. */
struct newest {
    struct dedup d;
    uint64_t hashes[DEDUP_BLOCK];
    uint32_t seconds[DEDUP_BLOCK];
};

static void newest_open(const struct dedup *d, struct newest *w)
{
    w->d = *d;
    for (size_t i = 0; i < d->n; i++) {
        w->hashes[i] = load_u64(d->hashes + 8 * i);
        w->seconds[i] = load_u32(d->seconds + 4 * i);
    }
}

static void put_entries(struct machine *m, const struct newest *w)
{
    for (size_t i = 0; i < w->d.n; i++)
        buf_put_u64(&m->row, w->hashes[i]);
    for (size_t i = 0; i < w->d.n; i++)
        buf_put_u32(&m->row, w->seconds[i]);
}

static void put_head(struct machine *m, const struct dedup *d, uint16_t n)
{
    buf_reset(&m->row);
    buf_reserve(&m->row, HEAD_SIZE + (size_t)n * DEDUP_ENTRY_SIZE);
    buf_put_u8(&m->row, DEDUP_VERSION);
    buf_put_u8(&m->row, d->skip);
    buf_put_u16(&m->row, n);
    buf_put_u32(&m->row, d->first);
    buf_put_u32(&m->row, d->next);
    buf_put_u32(&m->row, d->oldest_s);
}

static void newest_write(struct machine *m, const struct newest *w)
{
    put_head(m, &w->d, w->d.n);
    put_entries(m, w);
    store_put(m->o.store, block_key(m, w->d.handle, NEWEST), buf_bytes(&m->row));
}

static void newest_append(struct machine *m, struct newest *w, uint64_t hash, uint32_t seconds)
{
    if (w->d.n == DEDUP_BLOCK) {
        buf_reset(&m->row);
        put_entries(m, w);
        store_put(m->o.store, block_key(m, w->d.handle, w->d.next++), buf_bytes(&m->row));
        w->d.n = 0;
    }
    if (w->d.n == 0 && w->d.first == w->d.next)
        w->d.oldest_s = seconds;
    w->hashes[w->d.n] = hash;
    w->seconds[w->d.n++] = seconds;
}

static uint64_t total_of(const struct dedup *d)
{
    return (uint64_t)(d->next - d->first) * DEDUP_BLOCK - d->skip + d->n;
}

static void let_go_of_oldest(struct machine *m, struct newest *w)
{
    struct dedup *d = &w->d;
    if (d->first == d->next) {
        d->n--;
        memmove(w->hashes, w->hashes + 1, d->n * sizeof w->hashes[0]);
        memmove(w->seconds, w->seconds + 1, d->n * sizeof w->seconds[0]);
        d->oldest_s = d->n ? w->seconds[0] : 0;
        return;
    }
    if (++d->skip == DEDUP_BLOCK) {
        store_del(m->o.store, block_key(m, d->handle, d->first++));
        d->skip = 0;
    }
    if (d->first == d->next) {
        d->oldest_s = d->n ? w->seconds[0] : 0;
        return;
    }
    const uint8_t *block = sealed_get(m, d->handle, d->first);
    d->oldest_s = block ? load_u32(block + (size_t)DEDUP_BLOCK * 8 + (size_t)d->skip * 4) : 0;
}

/* An id goes when it is older than the window and not among the last dedup_min; beyond dedup_max
 * the oldest goes in any case, and is counted if that cuts the window short. */
static void newest_trim(struct machine *m, struct newest *w, uint32_t now_s)
{
    uint64_t window_s = (uint64_t)m->o.dedup_hours * 3600;
    for (;;) {
        uint64_t total = total_of(&w->d);
        bool old = now_s >= w->d.oldest_s && now_s - w->d.oldest_s > window_s;
        bool over = total > m->o.dedup_max;
        if (total <= 1 || m->error.code != ERR_OK || !(over || (old && total > m->o.dedup_min)))
            return;
        if (!old) {
            m->counters.dedup_cut++;
            m->dirty = true;
        }
        let_go_of_oldest(m, w);
    }
}

/* What most messages do: one more entry in a block with room, and nothing to let go of. */
static void append_only(struct machine *m, const struct dedup *d, uint64_t hash, uint32_t now_s)
{
    struct dedup head = *d;
    if (d->n == 0 && d->first == d->next)
        head.oldest_s = now_s;
    put_head(m, &head, (uint16_t)(d->n + 1));
    buf_put(&m->row, d->hashes, (size_t)d->n * 8);
    buf_put_u64(&m->row, hash);
    buf_put(&m->row, d->seconds, (size_t)d->n * 4);
    buf_put_u32(&m->row, now_s);
    store_put(m->o.store, block_key(m, d->handle, NEWEST), buf_bytes(&m->row));
}

static void store_u32(uint8_t *p, uint32_t v)
{
    for (size_t i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

/* One more among the recent ones of the fragment, which has room. */
static void add_recent(struct machine *m, struct fragment *f, uint64_t hash, uint32_t now_s)
{
    size_t n = f->n_recent;
    uint8_t *hashes = arena_must(&m->scratch, (n + 1) * DEDUP_ENTRY_SIZE);
    uint8_t *seconds = hashes + (n + 1) * 8;
    if (n) {
        memcpy(hashes, f->hashes, n * 8);
        memcpy(seconds, f->seconds, n * 4);
    }
    store_u32(hashes + n * 8, (uint32_t)hash);
    store_u32(hashes + n * 8 + 4, (uint32_t)(hash >> 32));
    store_u32(seconds + n * 4, now_s);
    f->hashes = hashes;
    f->seconds = seconds;
    f->n_recent++;
}

static void move_to_blocks(struct fragment *f)
{
    f->has_blocks = true;
    f->n_recent = 0;
}

void dedup_add(struct machine *m, const struct dedup *d, struct fragment *f, uint64_t hash)
{
    struct newest w;
    uint32_t now_s = (uint32_t)(m->clock / 1000);
    uint64_t total = total_of(d);
    bool plain = total < m->o.dedup_min && total < m->o.dedup_max;
    if (d->in_fragment && plain && total < RECENT_MAX) {
        add_recent(m, f, hash, now_s);
        return;
    }
    move_to_blocks(f);
    if (plain && d->n < DEDUP_BLOCK) {
        append_only(m, d, hash, now_s);
        return;
    }
    newest_open(d, &w);
    newest_append(m, &w, hash, now_s);
    newest_trim(m, &w, now_s);
    newest_write(m, &w);
}

void dedup_drop(struct machine *m, uint64_t handle, const struct fragment *f)
{
    struct dedup d;
    if (!f->has_blocks)
        return;
    dedup_load(m, handle, f, &d);
    for (uint32_t b = d.first; b < d.next && sealed_get(m, handle, b); b++)
        store_del(m->o.store, block_key(m, handle, b));
    if (d.hashes)
        store_del(m->o.store, block_key(m, handle, NEWEST));
}

/* --- between shards --- */

static void export_entries(struct buf *out, const uint8_t *hashes, const uint8_t *seconds,
                           size_t from, size_t n)
{
    for (size_t i = from; i < n; i++) {
        buf_put(out, hashes + 8 * i, 8);
        buf_put(out, seconds + 4 * i, 4);
    }
}

void dedup_export(struct machine *m, uint64_t handle, const struct fragment *f, struct buf *out)
{
    struct dedup d;
    dedup_load(m, handle, f, &d);
    buf_put_varint(out, total_of(&d));
    for (uint32_t b = d.first; b < d.next; b++) {
        const uint8_t *block = sealed_get(m, handle, b);
        if (!block)
            return;
        export_entries(out, block, block + (size_t)DEDUP_BLOCK * 8, b == d.first ? d.skip : 0,
                       DEDUP_BLOCK);
    }
    export_entries(out, d.hashes, d.seconds, 0, d.n);
}

void dedup_import(struct machine *m, uint64_t handle, struct fragment *f, struct bytes entries)
{
    struct newest w = {.d = {.handle = handle}};
    if (entries.len < DEDUP_ENTRY_SIZE)
        return;
    if (entries.len <= (size_t)RECENT_MAX * DEDUP_ENTRY_SIZE) {
        for (size_t i = 0; i + DEDUP_ENTRY_SIZE <= entries.len; i += DEDUP_ENTRY_SIZE)
            add_recent(m, f, load_u64(entries.data + i), load_u32(entries.data + i + 8));
        return;
    }
    move_to_blocks(f);
    for (size_t i = 0; i + DEDUP_ENTRY_SIZE <= entries.len; i += DEDUP_ENTRY_SIZE)
        newest_append(m, &w, load_u64(entries.data + i), load_u32(entries.data + i + 8));
    newest_write(m, &w);
}
