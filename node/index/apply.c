#include "core.h"

/* A dictionary's values of one chunk, by looking at each. */
static void clean_dict(struct core *c, struct dict *d, uint32_t chunk, const uint64_t *gone)
{
    for (uint32_t id = 0; id < d->n; id++) {
        if (!d->values[id].text)
            continue;
        set_remove_chunk(&c->mem, &d->values[id].set, chunk, gone);
        if (d->values[id].set.n == 0)
            dict_drop(&c->mem, d, id);
    }
}

static void remove_value(struct core *c, struct dict *d, uint32_t id, uint32_t ordinal)
{
    (void)set_remove(&c->mem, &d->values[id].set, ordinal);
    if (d->values[id].set.n == 0)
        dict_drop(&c->mem, d, id);
}

/* An enum or string: the column says which value each had. */
static void clean_single(struct core *c, struct trait_index *t, uint32_t chunk,
                         const uint64_t *gone)
{
    for (uint32_t w = 0; w < CHUNK_WORDS; w++) {
        for (uint64_t bits = gone[w]; bits; bits &= bits - 1) {
            uint32_t ordinal = chunk << CHUNK_BITS | (w * 64 + (uint32_t)__builtin_ctzll(bits));
            int64_t id;
            if (column_get(&t->column, ordinal, &id))
                remove_value(c, &t->dict, (uint32_t)id, ordinal);
        }
    }
}

void core_clean_chunk(struct core *c, uint32_t chunk)
{
    const uint64_t *gone = c->ids.chunks[chunk].dead;
    if (!gone)
        return;
    clean_dict(c, &c->tags, chunk, gone);
    clean_dict(c, &c->channels, chunk, gone);
    for (size_t i = 0; i < c->schema->n_namespaces; i++)
        set_remove_chunk(&c->mem, &c->namespaces[i], chunk, gone);
    for (size_t i = 0; i < c->schema->n_traits; i++) {
        struct trait_index *t = &c->traits[i];
        if (trait_is_single_text(t->schema->type))
            clean_single(c, t, chunk, gone);
        else
            clean_dict(c, &t->dict, chunk, gone);
        column_drop_chunk(&c->mem, &t->column, chunk, gone);
    }
    for (size_t i = 0; i < c->schema->n_events; i++) {
        column_drop_chunk(&c->mem, &c->events[i].last, chunk, gone);
        metric_drop_chunk(&c->mem, &c->events[i].metric, chunk, gone);
    }
    windows_clean_chunk(&c->windows, chunk, gone);
    ids_release_dead(&c->mem, &c->ids, chunk);
}

static bool find_member(struct core *c, one_id member, uint32_t *ordinal)
{
    if (c->recent != 0 && c->recent == member) {
        *ordinal = c->recent_ordinal;
        return true;
    }
    if (!ids_find(&c->ids, member, ordinal))
        return false;
    c->recent = member;
    c->recent_ordinal = *ordinal;
    return true;
}

static void remove_member(struct core *c, one_id member)
{
    uint32_t ordinal;
    if (!find_member(c, member, &ordinal))
        return;
    if (c->watches.n > 0)
        watches_note_removal(c, member, ordinal);
    c->recent = 0;
    if (ids_kill(&c->mem, &c->ids, ordinal) >= CORE_DEAD_MAX)
        core_clean_chunk(c, chunk_of(ordinal));
}

static void add_member(struct core *c, one_id member)
{
    remove_member(c, member);
    (void)ids_add(&c->mem, &c->ids, member);
}

/* A tag or channel; true when something changed. */
static bool apply_word(struct core *c, struct dict *d, struct bytes text, uint32_t ordinal, bool on)
{
    if (on) {
        uint32_t id = dict_find_or_add(&c->mem, d, text);
        return set_add(&c->mem, &d->values[id].set, ordinal);
    }
    uint32_t id = dict_find(d, text);
    if (id == DICT_NONE)
        return false;
    bool had = set_remove(&c->mem, &d->values[id].set, ordinal);
    if (d->values[id].set.n == 0)
        dict_drop(&c->mem, d, id);
    return had;
}

static void apply_single(struct core *c, struct trait_index *t, struct bytes text, uint32_t ordinal,
                         bool on)
{
    int64_t old;
    bool has = column_get(&t->column, ordinal, &old);
    uint32_t id = dict_find(&t->dict, text);
    if (has && id == old) {
        if (!on) {
            remove_value(c, &t->dict, id, ordinal);
            (void)column_drop(&c->mem, &t->column, ordinal);
        }
        return;
    }
    if (!on)
        return;
    if (has)
        remove_value(c, &t->dict, (uint32_t)old, ordinal);
    id = dict_find_or_add(&c->mem, &t->dict, text);
    (void)set_add(&c->mem, &t->dict.values[id].set, ordinal);
    column_put(&c->mem, &t->column, ordinal, id);
}

static void apply_set_value(struct core *c, struct trait_index *t, struct bytes text,
                            uint32_t ordinal, bool on)
{
    if (!apply_word(c, &t->dict, text, ordinal, on))
        return;
    int64_t n = 0;
    (void)column_get(&t->column, ordinal, &n);
    n += on ? 1 : -1;
    if (n > 0)
        column_put(&c->mem, &t->column, ordinal, n);
    else
        (void)column_drop(&c->mem, &t->column, ordinal);
}

static void apply_value(struct core *c, const struct index_op *op, uint32_t ordinal)
{
    struct trait_index *t = core_trait(c, op->name);
    if (!t || !trait_is_text(t->schema->type))
        return;
    if (t->schema->type == TRAIT_SET)
        apply_set_value(c, t, op->text, ordinal, op->on);
    else
        apply_single(c, t, op->text, ordinal, op->on);
}

static void apply_number(struct core *c, struct column *column, const struct index_op *op,
                         uint32_t ordinal)
{
    if (op->on)
        column_put(&c->mem, column, ordinal, op->number);
    else
        (void)column_drop(&c->mem, column, ordinal);
}

static void apply_event(struct core *c, const struct index_op *op, uint32_t ordinal)
{
    struct event_index *e = core_event(c, op->name);
    if (!e || !op->event || op->event->day < e->metric.kept_from)
        return;
    struct metric *x = &e->metric;
    uint32_t tuple[EVENT_FIELDS_MAX] = {0};
    int64_t sums[EVENT_FIELDS_MAX] = {0};
    for (size_t i = 0; i < e->schema->n_fields; i++) {
        if (!op->event->fields[i].present)
            continue;
        if (x->enum_of[i] >= 0)
            tuple[x->enum_of[i]] =
                1 + dict_find_or_add(&c->mem, &x->values[x->enum_of[i]], op->event->fields[i].text);
        else if (x->sum_of[i] >= 0)
            sums[x->sum_of[i]] = op->event->fields[i].sum;
    }
    uint32_t combo = metric_combo_of(&c->mem, x, tuple);
    metric_add(&c->mem, x, ordinal, op->event->day, combo, op->event->count, sums);
    windows_add(&c->mem, &c->windows, x, ordinal, op->event->day, op->event->count, sums);
}

static void apply_to_member(struct core *c, const struct index_op *op, uint32_t ordinal)
{
    struct trait_index *t;
    struct event_index *e;
    struct set *s;
    switch (op->kind) {
    case INDEX_TAG:
        (void)apply_word(c, &c->tags, op->text, ordinal, op->on);
        return;
    case INDEX_CHANNEL:
        (void)apply_word(c, &c->channels, op->text, ordinal, op->on);
        return;
    case INDEX_HAS:
        s = core_namespace(c, op->name);
        if (s && op->on)
            (void)set_add(&c->mem, s, ordinal);
        else if (s)
            (void)set_remove(&c->mem, s, ordinal);
        return;
    case INDEX_VALUE:
        apply_value(c, op, ordinal);
        return;
    case INDEX_NUMBER:
        t = core_trait(c, op->name);
        if (t && !trait_is_text(t->schema->type))
            apply_number(c, &t->column, op, ordinal);
        return;
    case INDEX_LAST:
        e = core_event(c, op->name);
        if (e)
            apply_number(c, &e->last, op, ordinal);
        return;
    case INDEX_EVENT:
        apply_event(c, op, ordinal);
        return;
    case INDEX_ADD:
    case INDEX_REMOVE:
        return;
    }
}

void core_apply(struct core *c, const struct index_op *op)
{
    uint32_t ordinal;
    if (c->watches.n > 0)
        watches_note(c, op);
    if (op->kind == INDEX_ADD)
        add_member(c, op->member);
    else if (op->kind == INDEX_REMOVE)
        remove_member(c, op->member);
    else if (find_member(c, op->member, &ordinal))
        apply_to_member(c, op, ordinal);
}
