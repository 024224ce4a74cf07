/* GET's answer: the unified view as the application's words have it. */
#include "state.h"

#include <proto/request.h>

#include <stdio.h>

struct shaping {
    struct machine *m;
    struct arena *arena;
    struct fact *facts; /* the view, decoded once: it is looked at many times */
    size_t n_facts;
    struct profile_view *v;
    bool failed;
};

static void *take(struct shaping *s, size_t n, size_t size)
{
    void *p = arena_zalloc(s->arena, n ? n * size : 1);
    s->failed = s->failed || !p;
    return p;
}

static bool decode_facts(struct shaping *s, struct bytes view)
{
    struct facts_iter it = facts_iter_of(view);
    struct fact f;
    while (facts_next(&it, &f))
        s->n_facts++;
    s->facts = take(s, s->n_facts, sizeof *s->facts);
    it = facts_iter_of(view);
    for (size_t i = 0; i < s->n_facts && s->facts; i++)
        (void)facts_next(&it, &s->facts[i]);
    return !s->failed;
}

/* The first fact of the kind and name with this sub, or NULL. */
static const struct fact *find_fact(const struct shaping *s, enum fact_kind kind, name_id name,
                                    struct bytes sub)
{
    for (size_t i = 0; i < s->n_facts; i++) {
        const struct fact *f = &s->facts[i];
        if (f->kind == kind && f->name == name && bytes_equal(f->sub, sub))
            return f;
    }
    return NULL;
}

/* As facts_trait: sources come best-ranked first, and one that took its value back has none. */
static const struct fact *find_trait(const struct shaping *s, const struct schema_trait *t)
{
    enum fact_kind kind = facts_kind_of_merge(t->merge);
    for (size_t i = 0; i < s->n_facts; i++) {
        const struct fact *f = &s->facts[i];
        if (f->kind == kind && f->name == t->id && f->type != FACT_NULL)
            return f;
    }
    return NULL;
}

static double real_of(int64_t millionths)
{
    return (double)millionths / (double)DECIMAL_ONE;
}

static struct bytes text_of_day(struct shaping *s, int64_t day)
{
    char text[40];
    int y, mo, d;
    if (day < INT32_MIN || day > INT32_MAX)
        return bytes_of(NULL, 0);
    clock_date_of_day((int32_t)day, &y, &mo, &d);
    int n = snprintf(text, sizeof text, "%04d-%02d-%02d", y, mo, d);
    return arena_copy(s->arena, bytes_of(text, (size_t)n));
}

/* False where the fact is not a value of the trait's type. */
static bool shape_value(struct shaping *s, const struct schema_trait *t, const struct fact *f,
                        struct named_value *out)
{
    *out = (struct named_value){.name = bytes_of_str(t->name)};
    switch (t->type) {
    case TRAIT_DATE:
        out->type = VALUE_TEXT;
        out->text = text_of_day(s, f->number);
        return f->type == FACT_NUMBER && out->text.len > 0;
    case TRAIT_NUMBER:
        out->type = VALUE_REAL;
        out->real = real_of(f->number);
        return f->type == FACT_NUMBER;
    case TRAIT_COUNTER:
        out->type = VALUE_INTEGER;
        out->integer = f->number;
        return f->type == FACT_NUMBER;
    case TRAIT_ENUM:
    case TRAIT_STRING:
    case TRAIT_SET:
        break;
    }
    out->type = VALUE_TEXT;
    out->text = f->text;
    return f->type == FACT_TEXT;
}

static bool shape_set(struct shaping *s, const struct schema_trait *t, struct named_value *out)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_facts; i++)
        n += s->facts[i].kind == FACT_UNION && s->facts[i].name == t->id;
    *out = (struct named_value){.name = bytes_of_str(t->name), .type = VALUE_LIST};
    out->list = n ? take(s, n, sizeof *out->list) : NULL;
    if (!out->list)
        return false;
    for (size_t i = 0; i < s->n_facts; i++) {
        if (s->facts[i].kind == FACT_UNION && s->facts[i].name == t->id)
            out->list[out->n_list++] = s->facts[i].sub;
    }
    return true;
}

static void shape_traits(struct shaping *s)
{
    const struct schema *schema = s->m->o.schema;
    s->v->traits = take(s, schema->n_traits, sizeof *s->v->traits);
    s->v->counters = take(s, schema->n_traits, sizeof *s->v->counters);
    for (size_t i = 0; i < schema->n_traits && !s->failed; i++) {
        const struct schema_trait *t = &schema->traits[i];
        struct named_value value;
        if (facts_kind_of_merge(t->merge) == FACT_UNION) {
            if (shape_set(s, t, &value))
                s->v->traits[s->v->n_traits++] = value;
            continue;
        }
        const struct fact *f = find_trait(s, t);
        if (!f || !shape_value(s, t, f, &value))
            continue;
        if (t->type == TRAIT_COUNTER)
            s->v->counters[s->v->n_counters++] = value;
        else
            s->v->traits[s->v->n_traits++] = value;
    }
}

static void shape_level(struct shaping *s)
{
    const struct schema *schema = s->m->o.schema;
    if (!schema->level_by)
        return;
    const struct fact *f = find_trait(s, schema->level_by);
    if (!f || f->type != FACT_NUMBER)
        return;
    int64_t scale = schema->level_by->type == TRAIT_NUMBER ? DECIMAL_ONE : 1;
    int64_t reached = f->number / scale - (f->number % scale < 0);
    for (size_t i = 0; i < schema->n_levels; i++) {
        if (reached >= schema->levels[i].at_least)
            s->v->level = bytes_of_str(schema->levels[i].name);
    }
}

static size_t count_kind(const struct shaping *s, enum fact_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_facts; i++)
        n += s->facts[i].kind == kind;
    return n;
}

static void shape_tags_and_channels(struct shaping *s)
{
    s->v->tags = take(s, count_kind(s, FACT_TAG), sizeof *s->v->tags);
    s->v->channels = take(s, count_kind(s, FACT_CHANNEL), sizeof *s->v->channels);
    for (size_t i = 0; i < s->n_facts && !s->failed; i++) {
        const struct fact *f = &s->facts[i];
        if (f->kind == FACT_TAG && f->number)
            s->v->tags[s->v->n_tags++] = f->sub;
        else if (f->kind == FACT_CHANNEL)
            s->v->channels[s->v->n_channels++] =
                (struct profile_channel){.source = f->sub, .first = f->ts, .last = f->number};
    }
}

static void shape_sums(struct shaping *s, const struct schema_event *e, struct profile_event *out)
{
    out->sums = take(s, e->n_fields, sizeof *out->sums);
    for (size_t i = 0; i < e->n_fields && !s->failed; i++) {
        const struct schema_field *field = &e->fields[i];
        uint8_t sub[4];
        for (size_t k = 0; k < 4; k++)
            sub[k] = (uint8_t)(field->id >> 8 * k);
        const struct fact *f = find_fact(s, FACT_TOTAL, e->id, bytes_of(sub, 4));
        if (!field->summed || !f)
            continue;
        out->sums[out->n_sums++] = (struct named_value){
            .name = bytes_of_str(field->name), .type = VALUE_REAL, .real = real_of(f->number)};
    }
}

static void shape_events(struct shaping *s)
{
    const struct schema *schema = s->m->o.schema;
    s->v->events = take(s, schema->n_events, sizeof *s->v->events);
    for (size_t i = 0; i < schema->n_events && !s->failed; i++) {
        const struct schema_event *e = &schema->events[i];
        const struct fact *last = find_fact(s, FACT_LAST, e->id, bytes_of(NULL, 0));
        const struct fact *count = find_fact(s, FACT_TOTAL, e->id, bytes_of(NULL, 0));
        if (!last)
            continue;
        struct profile_event *out = &s->v->events[s->v->n_events++];
        *out = (struct profile_event){.name = bytes_of_str(e->name), .last = last->ts};
        out->count = count ? count->number : 0;
        shape_sums(s, e, out);
    }
}

static void shape_ids(struct shaping *s, const struct record *r)
{
    s->v->ids = take(s, r->n_ids, sizeof *s->v->ids);
    for (size_t i = 0; i < r->n_ids && !s->failed; i++) {
        const struct schema_namespace *ns = schema_namespace_by_id(s->m->o.schema, r->ids[i].id.ns);
        s->v->ids[s->v->n_ids++] = (struct profile_identity){
            .ns = bytes_of_str(ns ? ns->name : "?"), .value = r->ids[i].id.value};
    }
}

bool view_pack(struct machine *m, struct profile *p, struct arena *arena, struct bytes *out)
{
    struct profile_view v = {.id = p->id};
    profile_load_view(m, p);
    struct shaping s = {.m = m, .arena = arena, .v = &v};
    if (!decode_facts(&s, p->view))
        return false;
    shape_ids(&s, &p->rec);
    shape_traits(&s);
    shape_level(&s);
    shape_tags_and_channels(&s);
    shape_events(&s);
    if (s.failed)
        return false;
    buf_reset(&m->row);
    profile_encode(&v, &m->row);
    *out = arena_copy(arena, buf_bytes(&m->row));
    return out->data != NULL;
}
