#include <base/hash.h>
#include <gen/model.h>

#include <stdio.h>
#include <stdlib.h>

static void view_birth(int32_t day, struct gen_view *out)
{
    int year, month, mday;
    clock_date_of_day(day, &year, &month, &mday);
    snprintf(out->birth_text, sizeof out->birth_text, "%04u-%02u-%02u", (unsigned)year % 10000,
             (unsigned)month % 100, (unsigned)mday % 100);
    out->birth = bytes_of_str(out->birth_text);
}

static void view_ids(const struct gen_model *m, const struct gen_profile *p, struct gen_view *out)
{
    struct gen_person person;
    gen_person_of(m->gen, p->person, &person);
    for (unsigned j = 0; j < person.n_ids; j++) {
        if (!(p->named >> j & 1))
            continue;
        unsigned len = gen_identity_value(m->gen, &person, j, out->values[j]);
        out->ids[out->n_ids++] = (struct gen_view_identity){
            bytes_of_str(gen_ns_names[person.ns[j]]), bytes_of(out->values[j], len)};
    }
}

void gen_model_view(const struct gen_model *m, uint64_t profile, struct gen_view *out)
{
    const struct gen_profile *p = &m->profiles[profile];
    memset(out, 0, sizeof *out);
    view_ids(m, p, out);
    if (p->city != GEN_NONE)
        out->city = bytes_of_str(gen_city_names[p->city]);
    if (p->gender != GEN_NONE)
        out->gender = bytes_of_str(gen_gender_names[p->gender]);
    if (p->birth != GEN_NONE)
        view_birth(p->birth, out);
    if (p->name != GEN_NONE) {
        gen_name_text((unsigned)p->name, out->name_text);
        out->name = bytes_of_str(out->name_text);
    }
    out->birth_year = p->birth_year == GEN_NONE ? 0 : p->birth_year;
    for (unsigned i = 0; i < GEN_TAG_COUNT; i++)
        if (p->tags >> i & 1)
            out->tags[out->n_tags++] = bytes_of_str(gen_tag_names[i]);
    for (unsigned i = 0; i < GEN_INTEREST_COUNT; i++)
        if (p->interests >> i & 1)
            out->interests[out->n_interests++] = bytes_of_str(gen_interest_names[i]);
    out->points = p->points;
    out->growth = p->growth;
    out->orders = p->orders[GEN_ALL_DAYS];
    out->order_cents = p->order_cents[GEN_ALL_DAYS];
    out->views = p->views[GEN_ALL_DAYS];
}

static int compare_ids(const void *a, const void *b)
{
    const struct gen_view_identity *x = a, *y = b;
    int by_ns = bytes_compare(x->ns, y->ns);
    return by_ns ? by_ns : bytes_compare(x->value, y->value);
}

static int compare_texts(const void *a, const void *b)
{
    const struct bytes *x = a, *y = b;
    return bytes_compare(*x, *y);
}

static void put_part(struct buf *out, struct bytes text)
{
    buf_put(out, text.data, text.len);
    buf_put_u8(out, '|');
}

static void put_list(struct buf *out, struct bytes *items, size_t n)
{
    qsort(items, n, sizeof *items, compare_texts);
    for (size_t i = 0; i < n; i++) {
        buf_put(out, items[i].data, items[i].len);
        buf_put_u8(out, ',');
    }
    buf_put_u8(out, '|');
}

void gen_view_put(struct gen_view *v, struct buf *out)
{
    qsort(v->ids, v->n_ids, sizeof v->ids[0], compare_ids);
    for (size_t i = 0; i < v->n_ids; i++) {
        buf_put(out, v->ids[i].ns.data, v->ids[i].ns.len);
        buf_put_u8(out, ':');
        buf_put(out, v->ids[i].value.data, v->ids[i].value.len);
        buf_put_u8(out, ',');
    }
    buf_put_u8(out, '|');
    put_part(out, v->city);
    put_part(out, v->gender);
    put_part(out, v->birth);
    put_part(out, v->name);
    put_list(out, v->tags, v->n_tags);
    put_list(out, v->interests, v->n_interests);
    char numbers[160];
    int n = snprintf(numbers, sizeof numbers, "%lld|%lld|%lld|%lld|%lld|%lld",
                     (long long)v->birth_year, (long long)v->points, (long long)v->growth,
                     (long long)v->orders, (long long)v->order_cents, (long long)v->views);
    buf_put(out, numbers, (size_t)n);
}

uint64_t gen_view_hash(struct gen_view *v, struct buf *scratch)
{
    buf_reset(scratch);
    gen_view_put(v, scratch);
    return hash64(buf_bytes(scratch));
}

uint64_t gen_model_digest(const struct gen_model *m)
{
    struct buf scratch = {0};
    struct gen_view view;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < m->gen->n_profiles; i++) {
        gen_model_view(m, i, &view);
        sum += gen_view_hash(&view, &scratch);
    }
    buf_free(&scratch);
    return sum;
}
