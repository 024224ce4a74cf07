#include <gen/line.h>

#include <stdio.h>

static void put_text(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

/* Every word and value of the generator is free of quotes, backslashes and control characters. */
static void put_quoted(struct buf *out, const char *text)
{
    buf_put_u8(out, '"');
    put_text(out, text);
    buf_put_u8(out, '"');
}

static void put_integer(struct buf *out, int64_t v)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%lld", (long long)v);
    buf_put(out, text, (size_t)n);
}

/* `,"name":` or `"name":` for the first. */
static void put_key(struct buf *out, bool *first, const char *name)
{
    if (!*first)
        buf_put_u8(out, ',');
    *first = false;
    put_quoted(out, name);
    buf_put_u8(out, ':');
}

/* A namespace that repeats becomes a list. */
static void put_ids(struct buf *out, const struct gen_event *e)
{
    bool first = true;
    put_text(out, ",\"ids\":{");
    for (unsigned ns = 0; ns < GEN_NS_COUNT; ns++) {
        unsigned total = 0, n = 0;
        for (unsigned i = 0; i < e->n_ids; i++)
            total += e->ids[i].ns == ns;
        if (total == 0)
            continue;
        put_key(out, &first, gen_ns_names[ns]);
        if (total > 1)
            buf_put_u8(out, '[');
        for (unsigned i = 0; i < e->n_ids; i++) {
            if (e->ids[i].ns != ns)
                continue;
            if (n++)
                buf_put_u8(out, ',');
            put_quoted(out, e->ids[i].value);
        }
        if (total > 1)
            buf_put_u8(out, ']');
    }
    buf_put_u8(out, '}');
}

static void put_birth(struct buf *out, int32_t day)
{
    int year, month, mday;
    char text[48];
    clock_date_of_day(day, &year, &month, &mday);
    snprintf(text, sizeof text, "\"%04d-%02d-%02d\"", year, month, mday);
    put_text(out, text);
}

static void put_interests(struct buf *out, const struct gen_event *e)
{
    buf_put_u8(out, '[');
    for (unsigned i = 0; i < e->n_interests; i++) {
        if (i)
            buf_put_u8(out, ',');
        put_quoted(out, gen_interest_names[e->interests[i]]);
    }
    buf_put_u8(out, ']');
}

static void put_traits(struct buf *out, const struct gen_event *e)
{
    bool first = true;
    if (e->city == GEN_NONE && e->gender == GEN_NONE && e->name == GEN_NONE &&
        e->birth_year == GEN_NONE && e->birth == GEN_NONE && e->n_interests == 0)
        return;
    put_text(out, ",\"traits\":{");
    if (e->city != GEN_NONE) {
        put_key(out, &first, "city");
        if (e->city == GEN_REMOVED)
            put_text(out, "null");
        else
            put_quoted(out, gen_city_names[e->city]);
    }
    if (e->gender != GEN_NONE) {
        put_key(out, &first, "gender");
        put_quoted(out, gen_gender_names[e->gender]);
    }
    if (e->birth != GEN_NONE) {
        put_key(out, &first, "birth");
        put_birth(out, e->birth);
    }
    if (e->birth_year != GEN_NONE) {
        put_key(out, &first, "birth_year");
        put_integer(out, e->birth_year);
    }
    if (e->name != GEN_NONE) {
        char text[GEN_NAME_TEXT_MAX];
        gen_name_text((unsigned)e->name, text);
        put_key(out, &first, "name");
        put_quoted(out, text);
    }
    if (e->n_interests) {
        put_key(out, &first, "interests");
        put_interests(out, e);
    }
    buf_put_u8(out, '}');
}

static void put_tags(struct buf *out, const struct gen_event *e)
{
    bool first = true;
    if (e->n_tags_add == 0 && e->tag_remove == GEN_NONE)
        return;
    put_text(out, ",\"tags\":{");
    if (e->n_tags_add) {
        put_key(out, &first, "add");
        for (unsigned i = 0; i < e->n_tags_add; i++) {
            buf_put_u8(out, i ? ',' : '[');
            put_quoted(out, gen_tag_names[e->tags_add[i]]);
        }
        buf_put_u8(out, ']');
    }
    if (e->tag_remove != GEN_NONE) {
        put_key(out, &first, "remove");
        buf_put_u8(out, '[');
        put_quoted(out, gen_tag_names[e->tag_remove]);
        buf_put_u8(out, ']');
    }
    buf_put_u8(out, '}');
}

static void put_adds(struct buf *out, const struct gen_event *e)
{
    bool first = true;
    if (e->points == 0 && e->growth == 0)
        return;
    put_text(out, ",\"add\":{");
    if (e->points) {
        put_key(out, &first, "points");
        put_integer(out, e->points);
    }
    if (e->growth) {
        put_key(out, &first, "growth");
        put_integer(out, e->growth);
    }
    buf_put_u8(out, '}');
}

static void put_behaviour(struct buf *out, const struct gen_event *e)
{
    if (e->kind == GEN_NO_EVENT)
        return;
    put_text(out, e->kind == GEN_ORDER ? ",\"event\":{\"name\":\"order\""
                                       : ",\"event\":{\"name\":\"view\"");
    if (e->kind == GEN_ORDER) {
        char text[48];
        snprintf(text, sizeof text, ",\"amount\":%lld.%02lld", (long long)(e->amount_cents / 100),
                 (long long)(e->amount_cents % 100));
        put_text(out, text);
    }
    put_text(out, ",\"category\":");
    put_quoted(out, gen_category_names[e->category]);
    buf_put_u8(out, '}');
}

void gen_line_put(struct buf *out, const struct gen_event *e)
{
    put_text(out, "{\"message_id\":");
    put_quoted(out, e->message_id);
    put_text(out, ",\"ts\":");
    put_integer(out, e->ts);
    put_text(out, ",\"source\":");
    put_quoted(out, gen_source_names[e->source]);
    put_ids(out, e);
    put_traits(out, e);
    put_tags(out, e);
    put_adds(out, e);
    put_behaviour(out, e);
    put_text(out, "}\n");
}
