#include "file.h"
#include "watch_file.h"

#include <base/hash.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct loader {
    struct core *core;
    int fd;
    uint64_t left; /* bytes of the file not yet read */
    uint32_t place;
    uint32_t n_chunks; /* as the meta part says */
    enum part_kind last;
    uint8_t *part;
    size_t part_cap;
    bool *events;                   /* which event parts came */
    uint16_t positions[CHUNK_SIZE]; /* scratch */
    struct error *err;
};

static enum error_code corrupt(struct loader *l)
{
    return error_set(l->err, ERR_CORRUPT, "the saved index is damaged (part %u)", l->place);
}

static enum error_code read_all(struct loader *l, uint8_t *out, uint64_t len)
{
    if (len > l->left)
        return corrupt(l);
    l->left -= len;
    while (len > 0) {
        ssize_t n = read(l->fd, out, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_sys(l->err, ERR_IO, errno, "reading the index");
        if (n == 0)
            return corrupt(l);
        out += n;
        len -= (uint64_t)n;
    }
    return ERR_OK;
}

/* Does a member, live or dead, have this ordinal? */
static bool is_taken(const struct loader *l, uint32_t chunk, uint32_t low)
{
    const struct ids_chunk *c = &l->core->ids.chunks[chunk];
    return bit_get(c->live, low) || (c->dead && bit_get(c->dead, low));
}

static bool are_taken(const struct loader *l, uint32_t chunk, const uint64_t *words)
{
    const struct ids_chunk *c = &l->core->ids.chunks[chunk];
    for (uint32_t w = 0; w < CHUNK_WORDS; w++)
        if (words[w] & ~(c->live[w] | (c->dead ? c->dead[w] : 0)))
            return false;
    return true;
}

/* A chunk's bitmap, copied to aligned words. */
static bool get_bitmap(struct reader *r, uint64_t *words)
{
    struct bytes b = reader_take(r, CHUNK_BYTES);
    if (!r->ok)
        return false;
    memcpy(words, b.data, CHUNK_BYTES);
    return true;
}

static bool load_meta(struct loader *l, struct reader *r)
{
    l->core->applied = reader_u64(r);
    l->n_chunks = reader_u32(r);
    l->core->today = (int32_t)reader_u32(r);
    return l->place == 0;
}

static bool load_ids(struct loader *l, struct reader *r)
{
    uint64_t live[CHUNK_WORDS], dead[CHUNK_WORDS];
    uint32_t chunk = reader_u32(r), n = reader_u32(r);
    bool has_dead = reader_u8(r) != 0;
    if (!get_bitmap(r, live) || (has_dead && !get_bitmap(r, dead)) || n > CHUNK_SIZE)
        return false;
    struct bytes members = reader_take(r, (size_t)n * sizeof(one_id));
    return r->ok && ids_load_chunk(&l->core->mem, &l->core->ids, chunk, n, members.data, live,
                                   has_dead ? dead : NULL);
}

static bool get_array(struct loader *l, struct reader *r, struct set *s, uint32_t chunk)
{
    uint64_t n = reader_varint(r);
    if (!r->ok || n == 0 || n > CHUNK_SIZE)
        return false;
    struct bytes raw = reader_take(r, (size_t)n * sizeof(uint16_t));
    if (!r->ok)
        return false;
    memcpy(l->positions, raw.data, raw.len);
    for (uint32_t i = 0; i < n; i++)
        if (!is_taken(l, chunk, l->positions[i]) ||
            (i > 0 && l->positions[i - 1] >= l->positions[i]))
            return false;
    set_load_array(&l->core->mem, s, chunk, l->positions, (uint32_t)n);
    return true;
}

/* What the set has in one chunk after `last`. */
static bool get_view(struct loader *l, struct reader *r, struct set *s, int64_t *last)
{
    uint64_t chunk = reader_varint(r);
    bool is_bitmap = reader_u8(r) != 0;
    if (!r->ok || chunk >= l->core->ids.n_chunks || (int64_t)chunk <= *last)
        return false;
    *last = (int64_t)chunk;
    if (!is_bitmap)
        return get_array(l, r, s, (uint32_t)chunk);
    uint64_t words[CHUNK_WORDS];
    uint32_t n = 0;
    if (!get_bitmap(r, words) || !are_taken(l, (uint32_t)chunk, words))
        return false;
    for (uint32_t w = 0; w < CHUNK_WORDS; w++)
        n += (uint32_t)__builtin_popcountll(words[w]);
    set_load_bitmap(&l->core->mem, s, (uint32_t)chunk, words, n);
    return true;
}

static bool get_set(struct loader *l, struct reader *r, struct set *s)
{
    uint64_t members = reader_varint(r), n = reader_varint(r);
    int64_t last = -1;
    if (!r->ok || members > l->core->ids.next)
        return false;
    set_load(&l->core->mem, s, (uint32_t)members, l->core->ids.n_chunks);
    for (uint64_t i = 0; i < n; i++)
        if (!get_view(l, r, s, &last))
            return false;
    return r->ok && s->n == members;
}

static struct dict *dict_of(const struct loader *l, uint8_t family, uint32_t place)
{
    if (family == DICT_TAGS && place == 0)
        return &l->core->tags;
    if (family == DICT_CHANNELS && place == 0)
        return &l->core->channels;
    if (family != DICT_TRAIT || place >= l->core->schema->n_traits)
        return NULL;
    struct trait_index *t = &l->core->traits[place];
    return trait_is_text(t->schema->type) ? &t->dict : NULL;
}

static bool load_dict(struct loader *l, struct reader *r)
{
    uint8_t family = reader_u8(r);
    struct dict *d = dict_of(l, family, reader_u32(r));
    while (d && r->ok && reader_left(r) > 0) {
        struct bytes text = reader_bytes(r);
        uint32_t expected = d->n;
        if (!r->ok || dict_find_or_add(&l->core->mem, d, text) != expected ||
            !get_set(l, r, &d->values[expected].set) || d->values[expected].set.n == 0)
            return false;
    }
    return d && r->ok;
}

static bool load_set(struct loader *l, struct reader *r)
{
    uint32_t place = reader_u32(r);
    if (!r->ok || place >= l->core->schema->n_namespaces || l->core->namespaces[place].n > 0)
        return false;
    return get_set(l, r, &l->core->namespaces[place]);
}

static struct column *column_of(const struct loader *l, uint8_t family, uint32_t place)
{
    if (family == COLUMN_TRAIT && place < l->core->schema->n_traits)
        return &l->core->traits[place].column;
    if (family == COLUMN_LAST && place < l->core->schema->n_events)
        return &l->core->events[place].last;
    return NULL;
}

#define FIND_BOUNDS(type)                                                                          \
    for (uint32_t w = 0; w < c->cap / 64; w++) {                                                   \
        for (uint64_t bits = c->exists[w]; bits; bits &= bits - 1) {                               \
            uint64_t v = ((const type *)data)[w * 64 + (uint32_t)__builtin_ctzll(bits)];           \
            least = v < least ? v : least;                                                         \
            most = v > most ? v : most;                                                            \
        }                                                                                          \
    }

/* Counts, finds the bounds and checks them against the dictionary of a text trait. */
static bool settle_chunk(struct column *column, struct column_chunk *c, const struct dict *d)
{
    const void *data = c->data;
    uint64_t least = UINT64_MAX, most = 0;
    for (uint32_t w = 0; w < CHUNK_WORDS; w++) {
        c->n += (uint32_t)__builtin_popcountll(c->exists[w]);
        if (w >= c->cap / 64 && c->exists[w] != 0)
            return false;
    }
    if (c->width == 1)
        FIND_BOUNDS(uint8_t)
    else if (c->width == 2)
        FIND_BOUNDS(uint16_t)
    else if (c->width == 4)
        FIND_BOUNDS(uint32_t)
    else
        FIND_BOUNDS(uint64_t)
    c->min = (int64_t)(c->base + least);
    c->max = (int64_t)(c->base + most);
    column->n += c->n;
    /* A frame that wraps is none that was saved. */
    return c->n > 0 && c->min <= c->max && (!d || (c->min >= 0 && c->max < (int64_t)d->n));
}

static bool load_column(struct loader *l, struct reader *r)
{
    uint8_t family = reader_u8(r);
    uint32_t place = reader_u32(r), chunk = reader_u32(r);
    uint64_t base = reader_u64(r);
    uint32_t cap = reader_u32(r);
    uint8_t width = reader_u8(r);
    uint64_t exists[CHUNK_WORDS];
    struct column *column = column_of(l, family, place);
    if (!get_bitmap(r, exists) || !column || chunk >= l->core->ids.n_chunks || cap == 0 ||
        cap > CHUNK_SIZE || cap % 64 != 0 ||
        (width != 1 && width != 2 && width != 4 && width != 8) || !are_taken(l, chunk, exists) ||
        column_chunk_at(column, chunk))
        return false;
    struct bytes data = reader_take(r, (size_t)cap * width);
    if (!r->ok)
        return false;
    struct mem *m = &l->core->mem;
    struct column_chunk *c = column_reach(m, column, chunk);
    *c = (struct column_chunk){.base = base, .cap = cap, .width = width};
    c->data = mem_resize(m, NULL, 0, data.len);
    memcpy(c->data, data.data, data.len);
    c->exists = mem_bitmap_new(m);
    memcpy(c->exists, exists, sizeof exists);
    bool is_code =
        family == COLUMN_TRAIT && trait_is_single_text(l->core->schema->traits[place].type);
    return settle_chunk(column, c, is_code ? &l->core->traits[place].dict : NULL);
}

static bool load_values(struct loader *l, struct reader *r, struct dict *d)
{
    uint64_t n = reader_varint(r);
    for (uint64_t i = 0; i < n && r->ok; i++) {
        struct bytes text = reader_bytes(r);
        if (!r->ok || dict_find_or_add(&l->core->mem, d, text) != i)
            return false;
    }
    return r->ok;
}

static bool load_combos(struct loader *l, struct reader *r, struct metric *x)
{
    uint64_t n = reader_varint(r);
    if (x->n_enums == 0)
        return r->ok && n == 0;
    for (uint64_t i = 0; i < n && r->ok; i++) {
        uint32_t tuple[EVENT_FIELDS_MAX];
        for (uint32_t k = 0; k < x->n_enums; k++) {
            uint64_t value = reader_varint(r);
            if (!r->ok || value > x->values[k].n)
                return false;
            tuple[k] = (uint32_t)value;
        }
        if (metric_combo_of(&l->core->mem, x, tuple) != i)
            return false;
    }
    return r->ok;
}

static bool load_event(struct loader *l, struct reader *r)
{
    uint32_t place = reader_u32(r);
    int32_t kept_from = (int32_t)reader_u32(r);
    if (!r->ok || place >= l->core->schema->n_events || l->events[place])
        return false;
    l->events[place] = true;
    struct metric *x = &l->core->events[place].metric;
    x->kept_from = kept_from;
    for (uint32_t i = 0; i < x->n_enums; i++)
        if (!load_values(l, r, &x->values[i]))
            return false;
    return load_combos(l, r, x);
}

static bool block_is_sound(const struct loader *l, const struct metric *x, uint32_t chunk,
                           const struct metric_block *b)
{
    uint32_t n_combos = x->n_enums ? x->combos.n : 1;
    for (uint32_t i = 0; i < b->n; i++)
        if (!is_taken(l, chunk, metric_positions(b)[i]) || metric_combo_at(b, i) >= n_combos)
            return false;
    return true;
}

static bool get_column(struct reader *r, uint8_t *to, const struct metric_block *b, size_t width)
{
    struct bytes raw = reader_take(r, b->n * width);
    if (r->ok && raw.len > 0)
        memcpy(to, raw.data, raw.len);
    return r->ok;
}

static bool get_columns(struct reader *r, struct metric_block *b)
{
    uint8_t *to = b->data;
    bool ok = get_column(r, to, b, 2);
    to += (size_t)b->cap * 2;
    ok = ok && get_column(r, to, b, b->combo_width);
    to += (size_t)b->cap * b->combo_width;
    ok = ok && get_column(r, to, b, b->count_width);
    to += (size_t)b->cap * b->count_width;
    for (uint32_t i = 0; i < b->n_sums && ok; i++) {
        ok = get_column(r, to, b, metric_sum_width(b, i));
        to += (size_t)b->cap * metric_sum_width(b, i);
    }
    return ok;
}

static bool load_block(struct loader *l, struct reader *r, struct metric *x, uint32_t chunk)
{
    struct metric_block head = {.day = (int32_t)reader_u32(r), .n = reader_u32(r)};
    head.combo_width = reader_u8(r);
    head.count_width = reader_u8(r);
    head.wide_sums = reader_u8(r);
    head.n_sums = x->n_sums;
    uint8_t cw = head.combo_width;
    if (!r->ok || (cw != 0 && cw != 1 && cw != 2 && cw != 4) ||
        (head.count_width != 1 && head.count_width != 4) || head.wide_sums >> x->n_sums != 0 ||
        head.n == 0 || head.n > reader_left(r) / 2 || head.day < x->kept_from)
        return false;
    const struct metric_chunk *c = chunk < x->n_chunks ? &x->chunks[chunk] : NULL;
    if (c && c->n > 0 && c->blocks[c->n - 1].day >= head.day)
        return false;
    struct metric_block *b = metric_block_at(&l->core->mem, x, chunk, head.day);
    head.cap = mem_grow_cap(0, head.n);
    head.data = mem_resize(&l->core->mem, NULL, 0, metric_block_bytes(&head, head.cap));
    *b = head;
    return get_columns(r, b) && block_is_sound(l, x, chunk, b);
}

static bool load_metric(struct loader *l, struct reader *r)
{
    uint32_t place = reader_u32(r), chunk = reader_u32(r), n = reader_u32(r);
    if (!r->ok || place >= l->core->schema->n_events || !l->events[place] ||
        chunk >= l->core->ids.n_chunks)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!load_block(l, r, &l->core->events[place].metric, chunk))
            return false;
    return true;
}

static bool load_end(const struct loader *l, struct reader *r)
{
    for (size_t i = 0; i < l->core->schema->n_events; i++)
        if (!l->events[i])
            return false;
    return reader_u32(r) == l->place && l->left == 0 && l->core->ids.n_chunks == l->n_chunks;
}

static bool load_part(struct loader *l, uint32_t kind, struct bytes payload)
{
    struct reader r = reader_of(payload);
    bool ok = false;
    if (kind > PART_IDS && l->last <= PART_IDS && !ids_load_end(&l->core->mem, &l->core->ids))
        return false;
    switch (kind) {
    case PART_META:
        ok = load_meta(l, &r);
        break;
    case PART_IDS:
        ok = load_ids(l, &r);
        break;
    case PART_DICT:
        ok = load_dict(l, &r);
        break;
    case PART_SET:
        ok = load_set(l, &r);
        break;
    case PART_COLUMN:
        ok = load_column(l, &r);
        break;
    case PART_EVENT:
        ok = load_event(l, &r);
        break;
    case PART_METRIC:
        ok = load_metric(l, &r);
        break;
    case PART_WATCH:
        ok = watch_file_get(l->core, &r);
        break;
    case PART_JOURNAL:
        ok = watch_file_get_events(l->core, &r);
        break;
    case PART_END:
        ok = load_end(l, &r);
        break;
    default:
        break;
    }
    return ok && r.ok && reader_left(&r) == 0;
}

/* Events and metrics alternate; everything else comes in the order of the kinds. */
static bool kind_may_follow(uint32_t last, uint32_t kind)
{
    if (last == 0)
        return kind == PART_META;
    return (kind > PART_META && kind >= last) || (last == PART_METRIC && kind == PART_EVENT);
}

static enum error_code load_next(struct loader *l)
{
    uint8_t head[FILE_PART_HEADER_BYTES];
    enum error_code code = read_all(l, head, sizeof head);
    if (code != ERR_OK)
        return code;
    struct reader r = reader_of(bytes_of(head, sizeof head));
    uint32_t kind = reader_u32(&r), place = reader_u32(&r);
    uint64_t len = reader_u64(&r), hash = reader_u64(&r);
    if (place != l->place || len > l->left || !kind_may_follow(l->last, kind))
        return corrupt(l);
    if (len > l->part_cap) {
        free(l->part);
        l->part_cap = 0;
        l->part = malloc(len);
        if (!l->part)
            return error_set(l->err, ERR_NOMEM, "loading the index");
        l->part_cap = len;
    }
    code = read_all(l, l->part, len);
    if (code != ERR_OK)
        return code;
    struct bytes payload = bytes_of(l->part, len);
    if (hash64_seed(payload, file_part_seed(kind, place)) != hash || !load_part(l, kind, payload))
        return corrupt(l);
    l->last = (enum part_kind)kind;
    l->place++;
    return ERR_OK;
}

static enum error_code load_header(struct loader *l, uint64_t cluster_id, uint16_t shard,
                                   uint64_t store_index)
{
    uint8_t head[FILE_HEADER_BYTES];
    enum error_code code = read_all(l, head, sizeof head);
    if (code != ERR_OK)
        return code;
    struct reader r = reader_of(bytes_of(head, sizeof head));
    struct bytes magic = reader_take(&r, 8);
    uint32_t version = reader_u32(&r);
    uint16_t its_shard = reader_u16(&r);
    (void)reader_u16(&r);
    uint64_t its_cluster = reader_u64(&r), its_store = reader_u64(&r), its_schema = reader_u64(&r);
    uint64_t hash = reader_u64(&r);
    if (memcmp(magic.data, file_magic(), 8) != 0 || hash64(bytes_of(head, sizeof head - 8)) != hash)
        return error_set(l->err, ERR_CORRUPT, "the saved index has a damaged header");
    if (version != INDEX_FORMAT_VERSION)
        return error_set(l->err, ERR_MISMATCH, "the saved index has format version %u", version);
    if (its_cluster != cluster_id || its_shard != shard)
        return error_set(l->err, ERR_MISMATCH, "the saved index is of another cluster or shard");
    if (its_store != store_index)
        return error_set(l->err, ERR_MISMATCH, "the saved index is of another checkpoint");
    if (its_schema != file_schema_digest(l->core->schema))
        return error_set(l->err, ERR_MISMATCH, "the saved index is of another schema");
    return ERR_OK;
}

static enum error_code load_open(struct loader *l, const char *path)
{
    struct stat st;
    l->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (l->fd < 0 && errno == ENOENT)
        return error_set(l->err, ERR_NOT_FOUND, "there is no saved index");
    if (l->fd < 0 || fstat(l->fd, &st) != 0)
        return error_set_sys(l->err, ERR_IO, errno, "opening the saved index");
    l->left = st.st_size > 0 ? (uint64_t)st.st_size : 0;
    l->events = calloc(l->core->schema->n_events + 1, sizeof *l->events);
    return l->events ? ERR_OK : error_set(l->err, ERR_NOMEM, "loading the index");
}

static enum error_code load_core(struct core *c, const char *path, uint64_t cluster_id,
                                 uint16_t shard, uint64_t store_index, struct error *err)
{
    struct loader l = {.core = c, .fd = -1, .err = err};
    enum error_code code = load_open(&l, path);
    if (code == ERR_OK)
        code = load_header(&l, cluster_id, shard, store_index);
    while (code == ERR_OK && l.last != PART_END)
        code = load_next(&l);
    if (l.fd >= 0)
        (void)close(l.fd);
    free(l.part);
    free(l.events);
    return code;
}

/* The registered windows stay, built anew. */
static void move_windows(const struct core *from, struct core *to)
{
    struct window wanted[INDEX_WINDOWS_MAX];
    const struct windows *w = &from->windows;
    for (uint32_t i = 0; i < w->n; i++) {
        wanted[i] = w->items[i];
        wanted[i].metric = &core_event(to, w->items[i].metric->event->id)->metric;
    }
    if (to->today == 0)
        to->today = from->today;
    if (w->has_today || to->today != 0)
        windows_set_today(&to->mem, &to->windows, to->today);
    windows_set(&to->mem, &to->windows, wanted, w->n);
}

enum error_code index_load(struct index *ix, const char *path, uint64_t cluster_id, uint16_t shard,
                           uint64_t store_index, struct error *err)
{
    struct core fresh;
    if (ix->mode != WRITER_IDLE || ix->core.ids.n_chunks != 0)
        return error_set(err, ERR_INVALID, "an index is loaded into an empty one");
    core_init(&fresh, ix->core.schema);
    enum error_code code = load_core(&fresh, path, cluster_id, shard, store_index, err);
    if (code == ERR_OK && !gate_write(&ix->gate))
        code = error_set(err, ERR_BUSY, "queries are running");
    if (code != ERR_OK) {
        core_close(&fresh);
        return code;
    }
    uint64_t events_max = ix->core.watches.events_max;
    move_windows(&ix->core, &fresh);
    core_close(&ix->core);
    ix->core = fresh;
    watches_set_events_max(&ix->core, events_max);
    ix->applied = fresh.applied;
    gate_write_end(&ix->gate);
    return ERR_OK;
}
