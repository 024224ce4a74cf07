#include <load/event.h>

#include <stdio.h>
#include <string.h>

struct oneid_str load_str(const char *text)
{
    return (struct oneid_str){text, strlen(text)};
}

static struct oneid_value *add_trait(struct load_event *out, const char *name, enum oneid_type type)
{
    struct oneid_value *v = &out->traits[out->event.n_traits++];
    *v = (struct oneid_value){.name = name, .type = type};
    return v;
}

static void fill_birth(int32_t day, struct load_event *out)
{
    int year, month, mday;
    clock_date_of_day(day, &year, &month, &mday);
    snprintf(out->birth, sizeof out->birth, "%04u-%02u-%02u", (unsigned)year % 10000,
             (unsigned)month % 100, (unsigned)mday % 100);
    add_trait(out, "birth", ONEID_TEXT)->text = load_str(out->birth);
}

static void fill_traits(const struct gen_event *e, struct load_event *out)
{
    if (e->city == GEN_REMOVED)
        add_trait(out, "city", ONEID_NULL);
    else if (e->city != GEN_NONE)
        add_trait(out, "city", ONEID_TEXT)->text = load_str(gen_city_names[e->city]);
    if (e->gender != GEN_NONE)
        add_trait(out, "gender", ONEID_TEXT)->text = load_str(gen_gender_names[e->gender]);
    if (e->birth != GEN_NONE)
        fill_birth(e->birth, out);
    if (e->birth_year != GEN_NONE)
        add_trait(out, "birth_year", ONEID_INTEGER)->integer = e->birth_year;
    if (e->name != GEN_NONE) {
        gen_name_text((unsigned)e->name, out->name);
        add_trait(out, "name", ONEID_TEXT)->text = load_str(out->name);
    }
    if (!e->n_interests)
        return;
    for (unsigned i = 0; i < e->n_interests; i++)
        out->interests[i] = load_str(gen_interest_names[e->interests[i]]);
    struct oneid_value *v = add_trait(out, "interests", ONEID_LIST);
    v->list = out->interests;
    v->n_list = e->n_interests;
}

static void fill_tags(const struct gen_event *e, struct load_event *out)
{
    for (unsigned i = 0; i < e->n_tags_add; i++)
        out->tags_add[i] = load_str(gen_tag_names[e->tags_add[i]]);
    out->event.n_tags_add = e->n_tags_add;
    if (e->tag_remove == GEN_NONE)
        return;
    out->tag_remove = load_str(gen_tag_names[e->tag_remove]);
    out->event.n_tags_remove = 1;
}

static void add_counter(struct load_event *out, const char *name, int64_t v)
{
    if (v)
        out->adds[out->event.n_adds++] =
            (struct oneid_value){.name = name, .type = ONEID_INTEGER, .integer = v};
}

static void fill_behaviour(const struct gen_event *e, struct load_event *out)
{
    size_t n = 0;
    if (e->kind == GEN_NO_EVENT)
        return;
    out->event.name = e->kind == GEN_ORDER ? "order" : "view";
    if (e->kind == GEN_ORDER)
        out->fields[n++] = (struct oneid_value){
            .name = "amount", .type = ONEID_REAL, .real = (double)e->amount_cents / 100};
    out->fields[n++] = (struct oneid_value){
        .name = "category", .type = ONEID_TEXT, .text = load_str(gen_category_names[e->category])};
    out->event.n_fields = n;
}

void load_event_of(const struct gen_event *e, struct load_event *out)
{
    out->event = (struct oneid_event){.message_id = load_str(e->message_id),
                                      .ts_ms = e->ts,
                                      .source = load_str(gen_source_names[e->source]),
                                      .ids = out->ids,
                                      .n_ids = e->n_ids,
                                      .traits = out->traits,
                                      .tags_add = out->tags_add,
                                      .tags_remove = &out->tag_remove,
                                      .adds = out->adds,
                                      .fields = out->fields};
    for (unsigned i = 0; i < e->n_ids; i++)
        out->ids[i] =
            (struct oneid_identity){gen_ns_names[e->ids[i].ns], {e->ids[i].value, e->ids[i].len}};
    fill_traits(e, out);
    fill_tags(e, out);
    add_counter(out, "points", e->points);
    add_counter(out, "growth", e->growth);
    fill_behaviour(e, out);
}
