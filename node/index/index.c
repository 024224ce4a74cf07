#include "private.h"

#include <assert.h>
#include <stdlib.h>

/* Kinds in the pending list besides enum index_op_kind. */
enum { PENDING_APPLIED = 200, PENDING_EXPIRE = 201, PENDING_KEEP_BYTES = 1 << 20 };

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

static void pending_apply(struct index *ix)
{
    struct reader r = reader_of(buf_bytes(&ix->pending));
    while (reader_left(&r) > 0) {
        uint8_t kind = reader_u8(&r);
        if (kind == PENDING_APPLIED)
            ix->core.applied = reader_u64(&r);
        else if (kind == PENDING_EXPIRE)
            core_expire(&ix->core, (int32_t)reader_zigzag(&r));
        else
            pending_apply_op(&ix->core, kind, &r);
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

void index_set_applied(struct index *ix, uint64_t log_index)
{
    ix->applied = log_index;
    if (writer_enter(ix)) {
        ix->core.applied = log_index;
        return;
    }
    buf_put_u8(&ix->pending, PENDING_APPLIED);
    buf_put_u64(&ix->pending, log_index);
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
