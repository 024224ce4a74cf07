#include "file.h"
#include "watch_file.h"

#include <base/hash.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t file_schema_digest(const struct schema *s)
{
    struct buf b = {0};
    buf_put_varint(&b, s->n_namespaces);
    for (size_t i = 0; i < s->n_namespaces; i++)
        buf_put_u32(&b, s->namespaces[i].id);
    buf_put_varint(&b, s->n_traits);
    for (size_t i = 0; i < s->n_traits; i++) {
        buf_put_u32(&b, s->traits[i].id);
        buf_put_u8(&b, (uint8_t)s->traits[i].type);
    }
    buf_put_varint(&b, s->n_events);
    for (size_t i = 0; i < s->n_events; i++) {
        const struct schema_event *e = &s->events[i];
        buf_put_u32(&b, e->id);
        buf_put_u32(&b, e->keep_days);
        buf_put_varint(&b, e->n_fields);
        for (size_t k = 0; k < e->n_fields; k++) {
            buf_put_u32(&b, e->fields[k].id);
            buf_put_u8(&b, (uint8_t)e->fields[k].type);
            buf_put_u8(&b, e->fields[k].summed);
        }
    }
    uint64_t digest = hash64(buf_bytes(&b));
    buf_free(&b);
    return digest;
}

struct saver {
    const struct core *core;
    int fd;
    uint32_t place; /* of the next part */
    struct buf part;
    enum error_code code; /* the first failure; nothing is written after it */
    struct error *err;
};

static void write_all(struct saver *s, const uint8_t *data, size_t len)
{
    while (s->code == ERR_OK && len > 0) {
        ssize_t n = write(s->fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            s->code = error_set_sys(s->err, ERR_IO, errno, "writing the index");
            return;
        }
        data += n;
        len -= (size_t)n;
    }
}

static void end_part(struct saver *s, enum part_kind kind)
{
    struct buf header = {0};
    uint32_t place = s->place++;
    buf_put_u32(&header, kind);
    buf_put_u32(&header, place);
    buf_put_u64(&header, s->part.len);
    buf_put_u64(&header, hash64_seed(buf_bytes(&s->part), file_part_seed(kind, place)));
    write_all(s, header.data, header.len);
    write_all(s, s->part.data, s->part.len);
    buf_free(&header);
    buf_reset(&s->part);
}

static void save_header(struct saver *s, uint64_t cluster_id, uint16_t shard, uint64_t store_index)
{
    struct buf *b = &s->part;
    buf_put(b, file_magic(), 8);
    buf_put_u32(b, INDEX_FORMAT_VERSION);
    buf_put_u16(b, shard);
    buf_put_u16(b, 0);
    buf_put_u64(b, cluster_id);
    buf_put_u64(b, store_index);
    buf_put_u64(b, file_schema_digest(s->core->schema));
    buf_put_u64(b, hash64(buf_bytes(b)));
    write_all(s, b->data, b->len);
    buf_reset(b);
}

static void save_meta(struct saver *s)
{
    buf_put_u64(&s->part, s->core->applied);
    buf_put_u32(&s->part, s->core->ids.n_chunks);
    buf_put_u32(&s->part, (uint32_t)s->core->today);
    end_part(s, PART_META);
}

static void save_ids(struct saver *s)
{
    const struct ids *ids = &s->core->ids;
    for (uint32_t i = 0; i < ids->n_chunks; i++) {
        const struct ids_chunk *c = &ids->chunks[i];
        uint32_t n = i + 1 < ids->n_chunks ? CHUNK_SIZE : ids->next - (i << CHUNK_BITS);
        buf_put_u32(&s->part, i);
        buf_put_u32(&s->part, n);
        buf_put_u8(&s->part, c->dead != NULL);
        buf_put(&s->part, c->live, CHUNK_BYTES);
        if (c->dead)
            buf_put(&s->part, c->dead, CHUNK_BYTES);
        buf_put(&s->part, c->members, n * sizeof *c->members);
        end_part(s, PART_IDS);
    }
}

static void put_view(struct buf *b, uint32_t chunk, const struct set_view *v)
{
    buf_put_varint(b, chunk);
    buf_put_u8(b, v->kind == VIEW_BITMAP);
    if (v->kind == VIEW_BITMAP) {
        buf_put(b, v->bitmap, CHUNK_BYTES);
        return;
    }
    buf_put_varint(b, v->n);
    if (v->kind == VIEW_ARRAY) {
        buf_put(b, v->array, v->n * sizeof *v->array);
        return;
    }
    for (uint32_t i = 0; i < v->n; i++)
        buf_put_u16(b, (uint16_t)set_view_at(v, i));
}

/* How many are in it, and its chunks that are not empty, their number first. */
static void put_set(struct buf *b, const struct set *s, uint32_t n_chunks)
{
    struct set_view v;
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_chunks; i++) {
        set_view_chunk(s, i, &v);
        n += v.kind != VIEW_EMPTY;
    }
    buf_put_varint(b, s->n);
    buf_put_varint(b, n);
    for (uint32_t i = 0; i < n_chunks; i++) {
        set_view_chunk(s, i, &v);
        if (v.kind != VIEW_EMPTY)
            put_view(b, i, &v);
    }
}

/* Values are numbered anew, without gaps, in the order in which they are written. */
static void save_dict(struct saver *s, enum dict_family family, uint32_t place,
                      const struct dict *d)
{
    uint32_t id = 0;
    while (id < d->n) {
        struct buf *b = &s->part;
        buf_put_u8(b, (uint8_t)family);
        buf_put_u32(b, place);
        for (; id < d->n && b->len < FILE_PART_TARGET_BYTES; id++) {
            if (!d->values[id].text)
                continue;
            buf_put_bytes(b, dict_text(d, id));
            put_set(b, &d->values[id].set, s->core->ids.n_chunks);
        }
        end_part(s, PART_DICT);
    }
}

static void save_dicts(struct saver *s)
{
    const struct core *c = s->core;
    save_dict(s, DICT_TAGS, 0, &c->tags);
    save_dict(s, DICT_CHANNELS, 0, &c->channels);
    for (uint32_t i = 0; i < c->schema->n_traits; i++)
        save_dict(s, DICT_TRAIT, i, &c->traits[i].dict);
}

static void save_namespaces(struct saver *s)
{
    for (uint32_t i = 0; i < s->core->schema->n_namespaces; i++) {
        buf_put_u32(&s->part, i);
        put_set(&s->part, &s->core->namespaces[i], s->core->ids.n_chunks);
        end_part(s, PART_SET);
    }
}

static void save_column_chunk(struct saver *s, enum column_family family, uint32_t place,
                              uint32_t chunk, const struct column_chunk *c)
{
    buf_put_u8(&s->part, (uint8_t)family);
    buf_put_u32(&s->part, place);
    buf_put_u32(&s->part, chunk);
    buf_put_u64(&s->part, c->base);
    buf_put_u32(&s->part, c->cap);
    buf_put_u8(&s->part, c->width);
    buf_put(&s->part, c->exists, CHUNK_BYTES);
    buf_put(&s->part, c->data, (size_t)c->cap * c->width);
    end_part(s, PART_COLUMN);
}

static void save_column(struct saver *s, enum column_family family, uint32_t place,
                        const struct column *column)
{
    for (uint32_t i = 0; i < column->n_chunks; i++) {
        const struct column_chunk *c = column_chunk_at(column, i);
        if (c)
            save_column_chunk(s, family, place, i, c);
    }
}

/* A chunk's value numbers as they are renumbered. */
static void renumber_chunk(struct mem *m, const struct column_chunk *c, const uint32_t *renumbered,
                           struct column *one)
{
    for (uint32_t w = 0; w < c->cap / 64; w++) {
        for (uint64_t bits = c->exists[w]; bits; bits &= bits - 1) {
            uint32_t low = w * 64 + (uint32_t)__builtin_ctzll(bits);
            column_put(m, one, low, renumbered[column_chunk_value(c, low)]);
        }
    }
}

/* A column of value numbers, in the numbers that save_dict gives: the same where none is free. */
static void save_codes(struct saver *s, uint32_t place, const struct trait_index *t)
{
    if (t->dict.free_head == 0) {
        save_column(s, COLUMN_TRAIT, place, &t->column);
        return;
    }
    struct mem mem = {0};
    uint32_t *renumbered = mem_resize(&mem, NULL, 0, ((size_t)t->dict.n + 1) * sizeof *renumbered);
    uint32_t n = 0;
    for (uint32_t id = 0; id < t->dict.n; id++)
        renumbered[id] = t->dict.values[id].text ? n++ : 0;
    for (uint32_t i = 0; i < t->column.n_chunks; i++) {
        const struct column_chunk *c = column_chunk_at(&t->column, i);
        struct column one = {0};
        if (!c)
            continue;
        renumber_chunk(&mem, c, renumbered, &one);
        save_column_chunk(s, COLUMN_TRAIT, place, i, &one.chunks[0]);
        column_close(&mem, &one);
    }
    (void)mem_resize(&mem, renumbered, ((size_t)t->dict.n + 1) * sizeof *renumbered, 0);
}

static void save_columns(struct saver *s)
{
    const struct schema *schema = s->core->schema;
    for (uint32_t i = 0; i < schema->n_traits; i++) {
        const struct trait_index *t = &s->core->traits[i];
        if (trait_is_single_text(t->schema->type))
            save_codes(s, i, t);
        else
            save_column(s, COLUMN_TRAIT, i, &t->column);
    }
    for (uint32_t i = 0; i < schema->n_events; i++)
        save_column(s, COLUMN_LAST, i, &s->core->events[i].last);
}

static void save_event(struct saver *s, uint32_t place, const struct metric *x)
{
    struct buf *b = &s->part;
    buf_put_u32(b, place);
    buf_put_u32(b, (uint32_t)x->kept_from);
    for (uint32_t i = 0; i < x->n_enums; i++) {
        buf_put_varint(b, x->values[i].n);
        for (uint32_t id = 0; id < x->values[i].n; id++)
            buf_put_bytes(b, dict_text(&x->values[i], id));
    }
    buf_put_varint(b, x->combos.n);
    for (size_t i = 0; i < (size_t)x->combos.n * x->n_enums; i++)
        buf_put_varint(b, x->combos.tuples[i]);
    end_part(s, PART_EVENT);
}

static void put_block(struct buf *b, const struct metric_block *x)
{
    buf_put_u32(b, (uint32_t)x->day);
    buf_put_u32(b, x->n);
    buf_put_u8(b, x->combo_width);
    buf_put_u8(b, x->count_width);
    buf_put_u8(b, x->wide_sums);
    buf_put(b, metric_positions(x), (size_t)x->n * 2);
    buf_put(b, metric_combo_column(x), (size_t)x->n * x->combo_width);
    buf_put(b, metric_count_column(x), (size_t)x->n * x->count_width);
    for (uint32_t i = 0; i < x->n_sums; i++)
        buf_put(b, metric_sum_column(x, i), (size_t)x->n * metric_sum_width(x, i));
}

static void save_metrics(struct saver *s)
{
    for (uint32_t i = 0; i < s->core->schema->n_events; i++) {
        const struct metric *x = &s->core->events[i].metric;
        save_event(s, i, x);
        for (uint32_t chunk = 0; chunk < x->n_chunks; chunk++) {
            buf_put_u32(&s->part, i);
            buf_put_u32(&s->part, chunk);
            buf_put_u32(&s->part, x->chunks[chunk].n);
            for (uint32_t k = 0; k < x->chunks[chunk].n; k++)
                put_block(&s->part, &x->chunks[chunk].blocks[k]);
            end_part(s, PART_METRIC);
        }
    }
}

static void save_journal(struct saver *s, uint32_t slot, const struct watch *w)
{
    const uint32_t most = FILE_PART_TARGET_BYTES / sizeof(struct journal_event);
    for (uint32_t from = 0; from < w->journal.n; from += most) {
        uint32_t left = w->journal.n - from;
        watch_file_put_events(&s->part, slot, w, from, left < most ? left : most);
        end_part(s, PART_JOURNAL);
    }
}

static void save_watches(struct saver *s)
{
    struct watch *const *slots = s->core->watches.slots;
    for (uint32_t i = 0; i < INDEX_WATCHES_MAX; i++) {
        if (!slots[i])
            continue;
        watch_file_put(&s->part, i, slots[i]);
        end_part(s, PART_WATCH);
    }
    for (uint32_t i = 0; i < INDEX_WATCHES_MAX; i++)
        if (slots[i])
            save_journal(s, i, slots[i]);
}

static void save_parts(struct saver *s)
{
    save_meta(s);
    save_ids(s);
    save_dicts(s);
    save_namespaces(s);
    save_columns(s);
    save_metrics(s);
    save_watches(s);
    buf_put_u32(&s->part, s->place);
    end_part(s, PART_END);
}

static enum error_code sync_folder(const char *path, struct error *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 1;
    if (len >= sizeof folder)
        return error_set(err, ERR_INVALID, "the index file's path is too long");
    memcpy(folder, slash ? path : ".", len);
    folder[len] = '\0';
    int fd = open(len > 0 ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_sys(err, ERR_IO, errno, "opening the index's folder");
    enum error_code code = ERR_OK;
    if (fsync(fd) != 0)
        code = error_set_sys(err, ERR_IO, errno, "syncing the index's folder");
    (void)close(fd);
    return code;
}

/* Inside the gate: the file's bytes, not yet synced. */
static enum error_code save_locked(struct saver *s, uint64_t cluster_id, uint16_t shard,
                                   uint64_t store_index)
{
    if (s->core->applied < store_index)
        return error_set(s->err, ERR_INVALID, "the index is behind the checkpoint");
    save_header(s, cluster_id, shard, store_index);
    save_parts(s);
    return s->code;
}

static enum error_code save_file(struct index *ix, const char *temporary, uint64_t cluster_id,
                                 uint16_t shard, uint64_t store_index, struct error *err)
{
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return error_set_sys(err, ERR_IO, errno, "creating the index file");
    struct saver s = {.core = &ix->core, .fd = fd, .err = err};
    enum error_code code = gate_read(&ix->gate, 0, NULL);
    if (code == ERR_OK) {
        code = save_locked(&s, cluster_id, shard, store_index);
        gate_read_end(&ix->gate);
    }
    buf_free(&s.part);
    if (code == ERR_OK && fsync(fd) != 0)
        code = error_set_sys(err, ERR_IO, errno, "syncing the index file");
    if (close(fd) != 0 && code == ERR_OK)
        code = error_set_sys(err, ERR_IO, errno, "closing the index file");
    return code;
}

enum error_code index_save(struct index *ix, const char *path, uint64_t cluster_id, uint16_t shard,
                           uint64_t store_index, struct error *err)
{
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return error_set(err, ERR_INVALID, "the index file's path is too long");
    enum error_code code = save_file(ix, temporary, cluster_id, shard, store_index, err);
    if (code == ERR_OK && rename(temporary, path) != 0)
        code = error_set_sys(err, ERR_IO, errno, "renaming the index file");
    if (code != ERR_OK) {
        (void)unlink(temporary);
        return code;
    }
    return sync_folder(path, err);
}
