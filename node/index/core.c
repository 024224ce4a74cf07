#include "core.h"

void core_init(struct core *c, const struct schema *schema)
{
    *c = (struct core){.schema = schema};
    watches_init(&c->watches);
    struct mem *m = &c->mem;
    c->namespaces = mem_resize_zero(m, NULL, 0, schema->n_namespaces * sizeof *c->namespaces);
    c->traits = mem_resize_zero(m, NULL, 0, schema->n_traits * sizeof *c->traits);
    c->events = mem_resize_zero(m, NULL, 0, schema->n_events * sizeof *c->events);
    for (size_t i = 0; i < schema->n_traits; i++)
        c->traits[i].schema = &schema->traits[i];
    for (size_t i = 0; i < schema->n_events; i++) {
        c->events[i].schema = &schema->events[i];
        metric_init(&c->events[i].metric, &schema->events[i]);
    }
}

void core_close(struct core *c)
{
    struct mem *m = &c->mem;
    const struct schema *s = c->schema;
    for (size_t i = 0; i < s->n_namespaces; i++)
        set_close(m, &c->namespaces[i]);
    for (size_t i = 0; i < s->n_traits; i++) {
        dict_close(m, &c->traits[i].dict);
        column_close(m, &c->traits[i].column);
    }
    for (size_t i = 0; i < s->n_events; i++) {
        column_close(m, &c->events[i].last);
        metric_close(m, &c->events[i].metric);
    }
    windows_close(m, &c->windows);
    dict_close(m, &c->tags);
    dict_close(m, &c->channels);
    watches_close(c);
    ids_close(m, &c->ids);
    (void)mem_resize(m, c->namespaces, s->n_namespaces * sizeof *c->namespaces, 0);
    (void)mem_resize(m, c->traits, s->n_traits * sizeof *c->traits, 0);
    (void)mem_resize(m, c->events, s->n_events * sizeof *c->events, 0);
    *c = (struct core){0};
}

struct trait_index *core_trait(const struct core *c, name_id id)
{
    for (size_t i = 0; i < c->schema->n_traits; i++)
        if (c->schema->traits[i].id == id)
            return &c->traits[i];
    return NULL;
}

struct event_index *core_event(const struct core *c, name_id id)
{
    for (size_t i = 0; i < c->schema->n_events; i++)
        if (c->schema->events[i].id == id)
            return &c->events[i];
    return NULL;
}

struct set *core_namespace(const struct core *c, name_id id)
{
    for (size_t i = 0; i < c->schema->n_namespaces; i++)
        if (c->schema->namespaces[i].id == id)
            return &c->namespaces[i];
    return NULL;
}

void core_end_entry(struct core *c, uint64_t log_index, msec_t time_ms)
{
    c->applied = log_index;
    if (c->watches.n > 0 || c->watches.n_dirty > 0)
        watches_end_entry(c, log_index, time_ms);
}

void core_set_today(struct core *c, int32_t day)
{
    if (day != c->today)
        watches_day_moved(c);
    c->today = day;
    windows_set_today(&c->mem, &c->windows, day);
}

void core_expire(struct core *c, int32_t today)
{
    for (size_t i = 0; i < c->schema->n_events; i++) {
        int64_t from = (int64_t)today - c->schema->events[i].keep_days + 1;
        if (from <= INT32_MIN || from > INT32_MAX)
            continue;
        windows_expire(&c->mem, &c->windows, &c->events[i].metric, (int32_t)from);
        metric_expire(&c->mem, &c->events[i].metric, (int32_t)from);
    }
}

void core_set_windows(struct core *c, const struct index_window *windows, size_t n)
{
    struct window wanted[INDEX_WINDOWS_MAX];
    uint32_t known = 0;
    for (size_t i = 0; i < n && known < INDEX_WINDOWS_MAX; i++) {
        const struct event_index *e = core_event(c, windows[i].event);
        int sum = -1;
        for (size_t k = 0; e && windows[i].field && k < e->schema->n_fields; k++)
            if (e->schema->fields[k].id == windows[i].field)
                sum = e->metric.sum_of[k];
        if (e && (windows[i].field == 0 || sum >= 0))
            wanted[known++] =
                (struct window){.metric = &e->metric, .sum = sum, .days = windows[i].days};
    }
    windows_set(&c->mem, &c->windows, wanted, known);
}

size_t core_level_of(const struct schema *s, int64_t value)
{
    int64_t unit = s->level_by->type == TRAIT_NUMBER ? DECIMAL_ONE : 1;
    /* value >= at_least * unit, without overflow: compare with the floor of value / unit. */
    int64_t whole = value / unit - (value % unit < 0);
    for (size_t i = s->n_levels; i-- > 0;)
        if (whole >= s->levels[i].at_least)
            return i;
    return s->n_levels;
}
