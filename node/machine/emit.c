/* What the segment index is told, by what differs between two views and translated through the
 * schema: a name that the schema does not know (any more) is not indexed. */
#include "state.h"

static void emit(struct machine *m, const struct index_op *op)
{
    m->o.emit(m->o.emit_ctx, op);
}

void emit_add(struct machine *m, one_id member)
{
    if (m->o.emit)
        emit(m, &(struct index_op){.kind = INDEX_ADD, .member = member, .on = true});
}

void emit_remove(struct machine *m, one_id member)
{
    if (m->o.emit)
        emit(m, &(struct index_op){.kind = INDEX_REMOVE, .member = member});
}

/* --- views --- */

struct differing {
    struct machine *m;
    const struct profile *p;
    name_id ranked;   /* the trait by source that was handled last: it has a fact for each rank */
    bool joining;     /* p->view is not the new one yet: traits by source have to wait ... */
    bool has_waiting; /* ... and there are some */
};

static bool is_number(const struct schema_trait *t)
{
    return t->type == TRAIT_DATE || t->type == TRAIT_NUMBER || t->type == TRAIT_COUNTER;
}

/* Does the trait have this value, as the index understands it? */
static bool has_value(const struct schema_trait *t, const struct fact *f)
{
    return f && f->type == (is_number(t) ? FACT_NUMBER : FACT_TEXT);
}

static void emit_trait(const struct differing *d, const struct schema_trait *t,
                       const struct fact *before, const struct fact *after)
{
    bool was = has_value(t, before), is = has_value(t, after);
    struct index_op op = {.member = d->p->id, .name = t->id};
    if (is_number(t)) {
        if (!was && !is)
            return;
        op.kind = INDEX_NUMBER;
        op.on = is;
        op.number = is ? after->number : before->number;
        if (!(was && is && before->number == after->number))
            emit(d->m, &op);
        return;
    }
    op.kind = INDEX_VALUE;
    if (was && is && bytes_equal(before->text, after->text))
        return;
    if (was) {
        op.text = before->text;
        emit(d->m, &op);
    }
    if (is) {
        op.text = after->text;
        op.on = true;
        emit(d->m, &op);
    }
}

static void differs_trait(struct differing *d, const struct fact *before, const struct fact *after)
{
    const struct fact *f = after ? after : before;
    const struct schema_trait *t = schema_trait_by_id(d->m->o.schema, f->name);
    if (!t || facts_kind_of_merge(t->merge) != f->kind)
        return;
    if (f->kind == FACT_UNION) {
        struct index_op op = {.kind = INDEX_VALUE,
                              .member = d->p->id,
                              .name = t->id,
                              .text = f->sub,
                              .on = after != NULL};
        if (!before || !after)
            emit(d->m, &op);
        return;
    }
    if (f->kind != FACT_SOURCE) {
        emit_trait(d, t, before, after);
        return;
    }
    if (d->joining)
        d->has_waiting = true;
    if (d->joining || d->ranked == t->id)
        return;
    d->ranked = t->id;
    struct fact was = facts_trait(d->p->shown, t), is = facts_trait(d->p->view, t);
    emit_trait(d, t, &was, &is);
}

static void differs(void *ctx, const struct fact *before, const struct fact *after)
{
    struct differing *d = ctx;
    const struct fact *f = after ? after : before;
    struct index_op op = {.member = d->p->id, .name = f->name, .text = f->sub};
    bool was = false;
    switch (f->kind) {
    case FACT_TAG:
        op.kind = INDEX_TAG;
        was = before && before->number;
        op.on = after && after->number;
        break;
    case FACT_CHANNEL:
        op.kind = INDEX_CHANNEL;
        was = before != NULL;
        op.on = after != NULL;
        break;
    case FACT_HAS:
        op.kind = INDEX_HAS;
        was = before && before->number > 0;
        op.on = after && after->number > 0;
        break;
    case FACT_LAST:
        op.kind = INDEX_LAST;
        op.on = after != NULL;
        op.number = f->number;
        was = before && after && before->number == after->number;
        break;
    case FACT_LATEST:
    case FACT_FIRST:
    case FACT_MIN:
    case FACT_MAX:
    case FACT_SUM:
    case FACT_UNION:
    case FACT_SOURCE:
        differs_trait(d, before, after);
        return;
    case FACT_TOTAL:
    case FACT_KIND_END:
    default:
        return;
    }
    if (was != op.on)
        emit(d->m, &op);
}

void emit_view(struct machine *m, struct profile *p)
{
    struct differing d = {.m = m, .p = p};
    if (m->o.emit && p->shown.data != p->view.data)
        facts_diff(p->shown, p->view, differs, &d);
    p->shown = p->view;
}

static void differs_by_source(void *ctx, const struct fact *before, const struct fact *after)
{
    if ((before ? before : after)->kind == FACT_SOURCE)
        differs_trait(ctx, before, after);
}

void emit_join(struct machine *m, struct profile *p, struct bytes facts)
{
    struct differing d = {.m = m, .p = p, .joining = true};
    emit_view(m, p);
    buf_reset(&m->join);
    facts_join_diff(p->view, facts, &m->join, m->o.emit ? differs : NULL, &d);
    profile_set_view(p, arena_must_copy(&m->scratch, buf_bytes(&m->join)));
    d.joining = false;
    if (d.has_waiting)
        facts_diff(p->shown, p->view, differs_by_source, &d);
    p->shown = p->view;
}

/* --- behaviour --- */

static void emit_event(struct machine *m, one_id member, name_id event, int32_t day, int64_t count,
                       const struct behaviour_field *fields, size_t n)
{
    const struct schema_event *e = schema_event_by_id(m->o.schema, event);
    if (!e)
        return;
    struct index_event metrics = {.day = day,
                                  .count = (int32_t)(count > INT32_MAX   ? INT32_MAX
                                                     : count < INT32_MIN ? INT32_MIN
                                                                         : count)};
    for (size_t i = 0; i < e->n_fields; i++) {
        for (size_t k = 0; k < n; k++) {
            if (fields[k].id != e->fields[i].id || fields[k].type != e->fields[i].type)
                continue;
            metrics.fields[i].present = true;
            metrics.fields[i].text = fields[k].text;
            metrics.fields[i].sum = fields[k].number;
        }
    }
    struct index_op op = {
        .kind = INDEX_EVENT, .member = member, .name = event, .on = true, .event = &metrics};
    emit(m, &op);
}

void emit_behaviour(struct machine *m, one_id member, const struct behaviour *b)
{
    if (m->o.emit)
        emit_event(m, member, b->event, b->day, b->count, b->fields, b->n_fields);
}

static void emit_row(struct machine *m, one_id member, struct bytes row)
{
    struct behaviour_iter it;
    struct behaviour_cell cell;
    if (!behaviour_iter_init(&it, row)) {
        machine_damaged(m, "behaviour");
        return;
    }
    while (behaviour_next(&it, &cell))
        emit_event(m, member, cell.event, cell.day, cell.count, cell.fields, cell.n_fields);
    if (!it.r.ok)
        machine_damaged(m, "behaviour");
}

void emit_fragment(struct machine *m, one_id member, uint64_t handle)
{
    struct fragment f;
    if (!m->o.emit || !fragment_get(m, handle, &f))
        return;
    for (size_t i = 0; i < f.n_buckets; i++) {
        struct bytes row;
        if (behaviour_row_get(m, handle, f.buckets[i], &row))
            emit_row(m, member, row);
        else
            machine_damaged(m, "behaviour");
    }
}

void emit_profile(struct machine *m, struct profile *p)
{
    if (!m->o.emit)
        return;
    emit_add(m, p->id);
    p->shown = bytes_of(NULL, 0);
    emit_view(m, p);
    for (size_t i = 0; i < p->rec.n_ids; i++)
        emit_fragment(m, p->id, p->rec.ids[i].handle);
}
