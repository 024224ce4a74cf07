#include "private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Kinds in the pending list besides enum index_op_kind. */
enum {
    PENDING_APPLIED = 200,
    PENDING_EXPIRE = 201,
    PENDING_WINDOWS = 202,
    PENDING_TODAY = 203,
    PENDING_WATCHES = 204,
    PENDING_KEEP_BYTES = 1 << 20,
};

struct index *index_new(const struct schema *schema)
{
    struct index *ix = calloc(1, sizeof *ix);
    if (!ix)
        return NULL;
    core_init(&ix->core, schema);
    gate_init(&ix->gate);
    return ix;
}

void index_free(struct index *ix)
{
    if (!ix)
        return;
    gate_close(&ix->gate);
    core_close(&ix->core);
    buf_free(&ix->pending);
    free(ix);
}

static void pending_put_event(struct buf *b, const struct index_event *e)
{
    buf_put_zigzag(b, e->day);
    buf_put_zigzag(b, e->count);
    for (size_t i = 0; i < EVENT_FIELDS_MAX; i++) {
        buf_put_u8(b, e->fields[i].present);
        if (!e->fields[i].present)
            continue;
        buf_put_zigzag(b, e->fields[i].sum);
        buf_put_bytes(b, e->fields[i].text);
    }
}

static void pending_get_event(struct reader *r, struct index_event *e)
{
    *e = (struct index_event){.day = (int32_t)reader_zigzag(r)};
    e->count = (int32_t)reader_zigzag(r);
    for (size_t i = 0; i < EVENT_FIELDS_MAX; i++) {
        e->fields[i].present = reader_u8(r) != 0;
        if (!e->fields[i].present)
            continue;
        e->fields[i].sum = reader_zigzag(r);
        e->fields[i].text = reader_bytes(r);
    }
}

static void pending_put(struct buf *b, const struct index_op *op)
{
    bool has_event = op->kind == INDEX_EVENT && op->event;
    buf_put_u8(b, (uint8_t)op->kind);
    buf_put_u8(b, (uint8_t)(op->on | has_event << 1));
    buf_put_u64(b, op->member);
    buf_put_u32(b, op->name);
    buf_put_zigzag(b, op->number);
    buf_put_bytes(b, op->text);
    if (has_event)
        pending_put_event(b, op->event);
}

static void pending_apply_op(struct core *c, uint8_t kind, struct reader *r)
{
    struct index_event event;
    struct index_op op = {.kind = (enum index_op_kind)kind};
    uint8_t flags = reader_u8(r);
    op.on = flags & 1;
    op.member = reader_u64(r);
    op.name = reader_u32(r);
    op.number = reader_zigzag(r);
    op.text = reader_bytes(r);
    if (flags & 2) {
        pending_get_event(r, &event);
        op.event = &event;
    }
    core_apply(c, &op);
}

static void pending_end_entry(struct core *c, struct reader *r)
{
    uint64_t log_index = reader_u64(r);
    core_end_entry(c, log_index, (msec_t)reader_u64(r));
}

static void pending_set_watches(struct core *c, struct reader *r)
{
    struct index_watch list[INDEX_WATCHES_MAX];
    size_t n = reader_u8(r);
    for (size_t i = 0; i < n; i++) {
        list[i].name = reader_bytes(r);
        list[i].text = reader_bytes(r);
    }
    watches_set(c, list, n);
}

static void pending_put_windows(struct buf *b, const struct index_window *windows, size_t n)
{
    buf_put_u8(b, PENDING_WINDOWS);
    buf_put_varint(b, n);
    buf_put(b, windows, n * sizeof *windows);
}

static void pending_apply_windows(struct core *c, struct reader *r)
{
    struct index_window windows[INDEX_WINDOWS_MAX];
    size_t n = (size_t)reader_varint(r);
    struct bytes raw = reader_take(r, n * sizeof *windows);
    assert(r->ok && n <= INDEX_WINDOWS_MAX);
    if (n > 0)
        memcpy(windows, raw.data, raw.len);
    core_set_windows(c, windows, n);
}

static void pending_apply_one(struct core *c, struct reader *r)
{
    uint8_t kind = reader_u8(r);
    switch (kind) {
    case PENDING_APPLIED:
        pending_end_entry(c, r);
        return;
    case PENDING_EXPIRE:
        core_expire(c, (int32_t)reader_zigzag(r));
        return;
    case PENDING_WINDOWS:
        pending_apply_windows(c, r);
        return;
    case PENDING_TODAY:
        core_set_today(c, (int32_t)reader_zigzag(r));
        return;
    case PENDING_WATCHES:
        pending_set_watches(c, r);
        return;
    default:
        pending_apply_op(c, kind, r);
    }
}

static void pending_apply(struct index *ix)
{
    struct reader r = reader_of(buf_bytes(&ix->pending));
    while (reader_left(&r) > 0) {
        pending_apply_one(&ix->core, &r);
        assert(r.ok);
    }
    if (ix->pending.cap > PENDING_KEEP_BYTES)
        buf_free(&ix->pending);
    buf_reset(&ix->pending);
}

/* May a change go straight in? */
static bool writer_enter(struct index *ix)
{
    if (ix->mode == WRITER_IDLE) {
        ix->mode = gate_write(&ix->gate) ? WRITER_INSIDE : WRITER_PENDING;
        if (ix->mode == WRITER_PENDING)
            gate_announce(&ix->gate);
    }
    return ix->mode == WRITER_INSIDE;
}

void index_apply(struct index *ix, const struct index_op *op)
{
    if (writer_enter(ix))
        core_apply(&ix->core, op);
    else
        pending_put(&ix->pending, op);
}

void index_end_entry(struct index *ix, uint64_t log_index, msec_t time_ms)
{
    ix->applied = log_index;
    if (writer_enter(ix)) {
        core_end_entry(&ix->core, log_index, time_ms);
        return;
    }
    buf_put_u8(&ix->pending, PENDING_APPLIED);
    buf_put_u64(&ix->pending, log_index);
    buf_put_u64(&ix->pending, (uint64_t)time_ms);
}

void index_set_applied(struct index *ix, uint64_t log_index)
{
    index_end_entry(ix, log_index, 0);
}

void index_set_today(struct index *ix, int32_t day)
{
    if (writer_enter(ix)) {
        core_set_today(&ix->core, day);
        return;
    }
    buf_put_u8(&ix->pending, PENDING_TODAY);
    buf_put_zigzag(&ix->pending, day);
}

void index_set_watches(struct index *ix, const struct index_watch *watches, size_t n)
{
    n = n < INDEX_WATCHES_MAX ? n : INDEX_WATCHES_MAX;
    if (writer_enter(ix)) {
        watches_set(&ix->core, watches, n);
        return;
    }
    buf_put_u8(&ix->pending, PENDING_WATCHES);
    buf_put_u8(&ix->pending, (uint8_t)n);
    for (size_t i = 0; i < n; i++) {
        buf_put_bytes(&ix->pending, watches[i].name);
        buf_put_bytes(&ix->pending, watches[i].text);
    }
}

uint64_t index_watch_pushed(const struct index *ix)
{
    return ix->core.watches.pushed;
}

void index_set_watch_events(struct index *ix, uint64_t n)
{
    watches_set_events_max(&ix->core, n);
}

uint64_t index_applied(const struct index *ix)
{
    return ix->applied;
}

void index_expire(struct index *ix, int32_t today)
{
    if (writer_enter(ix)) {
        core_expire(&ix->core, today);
        return;
    }
    buf_put_u8(&ix->pending, PENDING_EXPIRE);
    buf_put_zigzag(&ix->pending, today);
}

static bool knows_window(const struct schema *s, const struct index_window *w)
{
    for (size_t i = 0; i < s->n_events; i++) {
        if (s->events[i].id != w->event)
            continue;
        if (w->field == 0)
            return true;
        for (size_t k = 0; k < s->events[i].n_fields; k++)
            if (s->events[i].fields[k].id == w->field && s->events[i].fields[k].summed)
                return true;
    }
    return false;
}

enum error_code index_set_windows(struct index *ix, const struct index_window *windows, size_t n,
                                  struct error *err)
{
    if (n > INDEX_WINDOWS_MAX)
        return error_set(err, ERR_TOO_LARGE, "at most %d windows can be registered, not %zu",
                         INDEX_WINDOWS_MAX, n);
    for (size_t i = 0; i < n; i++) {
        if (!knows_window(ix->core.schema, &windows[i]))
            return error_set(err, ERR_UNKNOWN_NAME,
                             "window %zu is of an event or field that is not kept", i + 1);
        if (windows[i].days == 0)
            return error_set(err, ERR_INVALID, "window %zu has no days", i + 1);
    }
    if (writer_enter(ix))
        core_set_windows(&ix->core, windows, n);
    else
        pending_put_windows(&ix->pending, windows, n);
    return ERR_OK;
}

bool index_publish(struct index *ix)
{
    if (ix->mode == WRITER_IDLE)
        return true;
    if (ix->mode == WRITER_PENDING) {
        if (!gate_write(&ix->gate))
            return false;
        pending_apply(ix);
    }
    gate_write_end(&ix->gate);
    ix->mode = WRITER_IDLE;
    return true;
}

void index_get_stats(const struct index *ix, struct index_stats *out)
{
    out->members = ix->core.ids.n_live;
    out->bytes = sizeof *ix + ix->core.mem.bytes + ix->pending.cap;
}

size_t index_windows_of(const struct expr *e, struct index_window *out, size_t n, size_t room)
{
    for (size_t i = 0; i < e->n_children; i++)
        n = index_windows_of(e->children[i], out, n, room);
    bool is_metric = e->kind == EXPR_COUNT || e->kind == EXPR_SUM;
    if (!is_metric || e->window_days == 0 || e->n_wheres > 0 || n == room)
        return n;
    struct index_window w = {.event = e->event->id,
                             .field = e->kind == EXPR_SUM ? e->field->id : 0,
                             .days = e->window_days};
    for (size_t i = 0; i < n; i++)
        if (out[i].event == w.event && out[i].field == w.field && out[i].days == w.days)
            return n;
    out[n] = w;
    return n + 1;
}
