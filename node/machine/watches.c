/* Which saved segments are watched at this shard: rows 'w' name, in RAM as a short list. A watch
 * ends with its segment, by WATCH_STOP, or when nobody has asked for it for watch_idle_days. */
#include "state.h"

#include <segment/expand.h>

enum { ROW_VERSION = 1 };

static struct bytes key_of_watch(struct machine *m, struct bytes name)
{
    buf_reset(&m->key);
    buf_put_u8(&m->key, 'w');
    buf_put(&m->key, name.data, name.len);
    return buf_bytes(&m->key);
}

static struct bytes name_of(const struct machine_watch *w)
{
    return bytes_of(w->name, w->len);
}

static void put_row(struct machine *m, const struct machine_watch *w)
{
    buf_reset(&m->row);
    buf_put_u8(&m->row, ROW_VERSION);
    buf_put_zigzag(&m->row, w->asked);
    store_put(m->o.store, key_of_watch(m, name_of(w)), buf_bytes(&m->row));
}

static struct machine_watch *find(struct machine *m, struct bytes name)
{
    for (size_t i = 0; i < m->watches.n; i++)
        if (bytes_equal(name_of(&m->watches.list[i]), name))
            return &m->watches.list[i];
    return NULL;
}

static struct machine_watch *add(struct machine *m, struct bytes name)
{
    struct machine_watch *w = &m->watches.list[m->watches.n++];
    *w = (struct machine_watch){.len = (uint8_t)name.len};
    memcpy(w->name, name.data, name.len);
    m->watches.generation++;
    return w;
}

static void end_watch(struct machine *m, size_t i)
{
    struct machine_watches *ws = &m->watches;
    store_del(m->o.store, key_of_watch(m, name_of(&ws->list[i])));
    memmove(&ws->list[i], &ws->list[i + 1], (ws->n - i - 1) * sizeof *ws->list);
    ws->n--;
    ws->generation++;
}

/* --- opening --- */

static bool load_row(void *ctx, struct bytes key, struct bytes value)
{
    struct machine *m = ctx;
    struct reader r = reader_of(value);
    uint8_t form = reader_u8(&r);
    int64_t asked = reader_zigzag(&r);
    if (!r.ok || form != ROW_VERSION || key.len < 2 || key.len - 1 > NAME_MAX_LEN ||
        m->watches.n == INDEX_WATCHES_MAX) {
        machine_damaged(m, "watch");
        return false;
    }
    add(m, bytes_of(key.data + 1, key.len - 1))->asked = (int32_t)asked;
    return true;
}

void watch_rows_load(struct machine *m)
{
    store_scan(m->o.store, bytes_of_str("w"), load_row, m);
}

/* --- commands --- */

/* A shard whose catalogue is behind cannot tell a segment that is new from one that is not there;
 * the authority can. */
static enum error_code check_segment(struct machine *m, struct bytes name, struct error *err)
{
    struct bytes text;
    if (!catalogue_find(m->catalogue, name) && m->o.shard != SEGMENTS_AUTHORITY)
        return error_set(err, ERR_BUSY, "this shard has no such saved segment yet");
    return catalogue_expand(m->catalogue, name, m->o.schema, &m->scratch, &text, err);
}

void watch_start(struct machine *m, const struct command *c, struct arena *arena, struct reply *out)
{
    struct error err;
    enum error_code code = check_segment(m, c->name, &err);
    struct machine_watch *w = find(m, c->name);
    if (code == ERR_OK && !w && m->watches.n == INDEX_WATCHES_MAX)
        code = error_set(&err, ERR_TOO_LARGE, "%d segments are watched already, no more can be",
                         INDEX_WATCHES_MAX);
    if (code != ERR_OK) {
        reply_fail_copy(out, code, err.msg, arena);
        return;
    }
    bool is_new = !w;
    if (is_new)
        w = add(m, c->name);
    if (is_new || w->asked != m->today) {
        w->asked = m->today;
        put_row(m, w);
    }
    *out = (struct reply){.status = REPLY_OK};
}

void watch_stop(struct machine *m, const struct command *c, struct reply *out)
{
    const struct machine_watch *w = find(m, c->name);
    if (w)
        end_watch(m, (size_t)(w - m->watches.list));
    *out = (struct reply){.status = REPLY_OK};
}

/* --- what else changes them --- */

void watch_rows_segments_changed(struct machine *m)
{
    for (size_t i = m->watches.n; i-- > 0;)
        if (!catalogue_find(m->catalogue, name_of(&m->watches.list[i])))
            end_watch(m, i);
    if (m->watches.n > 0)
        m->watches.generation++;
}

/* A watch that began before the first DAY counts from there. */
void watch_rows_day_moved(struct machine *m)
{
    for (size_t i = m->watches.n; i-- > 0;) {
        struct machine_watch *w = &m->watches.list[i];
        if (w->asked == 0) {
            w->asked = m->today;
            put_row(m, w);
        } else if ((int64_t)m->today - w->asked > (int64_t)m->o.watch_idle_days) {
            end_watch(m, i);
        }
    }
}

/* --- for the index --- */

uint64_t machine_watch_generation(const struct machine *m)
{
    return m->watches.generation;
}

/* One that has become too large with what it names is told as it stands: the index refuses to
 * evaluate it, and says so to who reads. */
size_t machine_watched(struct machine *m, struct arena *arena, struct index_watch *out)
{
    for (size_t i = 0; i < m->watches.n; i++) {
        struct bytes name = name_of(&m->watches.list[i]);
        const struct catalogue_entry *e = catalogue_find(m->catalogue, name);
        out[i] = (struct index_watch){.name = name};
        if (catalogue_expand(m->catalogue, name, m->o.schema, arena, &out[i].text, NULL) != ERR_OK)
            out[i].text = e ? segment_text(e->segment) : bytes_of(NULL, 0);
    }
    return m->watches.n;
}
