#include "index_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const number_names[] = {"birth", "score", "points", "growth"};
static const char *const event_names[] = {"order", "view"};

static int below(struct model *m, int n)
{
    return (int)rng_below(&m->rng, (uint64_t)n);
}

void model_text(char *out, size_t size, char kind, int i)
{
    (void)snprintf(out, size, "%c%d", kind, i);
}

void model_init(struct model *m, struct rig *rig, size_t n, uint64_t seed)
{
    *m = (struct model){.rig = rig, .rng = rng_of_seed(seed), .n = n, .today = RIG_TODAY};
    m->kept_from[MODEL_ORDER] = m->kept_from[MODEL_VIEW] = INT32_MIN;
    m->members = calloc(n, sizeof *m->members);
    assert_non_null(m->members);
    for (size_t i = 0; i < n; i++)
        m->members[i].id = (one_id)(i * 7919 % n) + 1;
}

static void forget(struct model_member *x)
{
    one_id id = x->id;
    free(x->rows);
    *x = (struct model_member){.id = id, .city = -1, .nickname = -1};
}

void model_close(struct model *m)
{
    for (size_t i = 0; i < m->n; i++)
        forget(&m->members[i]);
    free(m->members);
}

struct model_member *model_member(const struct model *m, one_id id)
{
    size_t i = 0;
    while (m->members[i].id != id)
        i++;
    return &m->members[i];
}

static void put_tag(struct model *m, struct model_member *x, int i, bool on)
{
    char text[16];
    model_text(text, sizeof text, 't', i);
    x->tags = on ? x->tags | 1u << i : x->tags & ~(1u << i);
    rig_tag(m->rig, x->id, text, on);
}

static void put_channel(struct model *m, struct model_member *x, int i, bool on)
{
    char text[16];
    model_text(text, sizeof text, 'h', i);
    x->channels = on ? x->channels | 1u << i : x->channels & ~(1u << i);
    rig_channel(m->rig, x->id, text, on);
}

static void put_namespace(struct model *m, struct model_member *x, int i, bool on)
{
    x->namespaces = on ? x->namespaces | 1u << i : x->namespaces & ~(1u << i);
    rig_has(m->rig, x->id, m->rig->schema->namespaces[i].name, on);
}

static void put_interest(struct model *m, struct model_member *x, int i, bool on)
{
    char text[16];
    model_text(text, sizeof text, 'i', i);
    x->interests = on ? x->interests | 1u << i : x->interests & ~(1u << i);
    rig_value(m->rig, x->id, "interests", text, on);
}

/* A single value: off with the old one, on with the new (-1: none). */
static void put_single(struct model *m, struct model_member *x, const char *trait, int *value,
                       int v)
{
    char text[16];
    if (*value >= 0) {
        model_text(text, sizeof text, trait[0], *value);
        rig_value(m->rig, x->id, trait, text, false);
    }
    if (v >= 0) {
        model_text(text, sizeof text, trait[0], v);
        rig_value(m->rig, x->id, trait, text, true);
    }
    *value = v;
}

static int64_t random_number(struct model *m, int which)
{
    if (which == MODEL_BIRTH)
        return below(m, 25000) - 5000;
    if (which == MODEL_GROWTH)
        return below(m, 30000);
    switch (below(m, 20)) {
    case 0:
        return (int64_t)rng_u64(&m->rng);
    case 1:
        return below(m, 1 << 30);
    default:
        return below(m, 300) - 50;
    }
}

static void put_number(struct model *m, struct model_member *x, int i, bool on)
{
    x->has[i] = on;
    x->numbers[i] = on ? random_number(m, i) : 0;
    rig_number(m->rig, x->id, number_names[i], x->numbers[i], on);
}

static void put_last(struct model *m, struct model_member *x, int i, bool on)
{
    x->has_last[i] = on;
    x->last[i] = m->today + 2 - below(m, 60);
    rig_last(m->rig, x->id, event_names[i], x->last[i], on);
}

static void remember(struct model_member *x, const struct model_row *row)
{
    if (x->n_rows == x->cap_rows) {
        x->cap_rows = x->cap_rows ? x->cap_rows * 2 : 4;
        x->rows = realloc(x->rows, x->cap_rows * sizeof *x->rows);
        assert_non_null(x->rows);
    }
    x->rows[x->n_rows++] = *row;
}

static void put_row(struct model *m, struct model_member *x, const struct model_row *row)
{
    char category[16], where[16];
    model_text(category, sizeof category, 'g', row->category);
    model_text(where, sizeof where, 'w', row->where);
    if (row->day >= m->kept_from[row->event])
        remember(x, row);
    if (row->event == MODEL_ORDER)
        rig_order(m->rig, x->id, row->day, row->count, row->amount,
                  row->category < 0 ? NULL : category, row->where < 0 ? NULL : where);
    else
        rig_view(m->rig, x->id, row->day, row->count, row->category < 0 ? NULL : category);
}
static int64_t random_amount(struct model *m)
{
    switch (below(m, 8)) {
    case 0:
        return below(m, 1000000);
    case 1:
        return (int64_t)below(m, 1 << 30) * 1000000;
    default:
        return (int64_t)below(m, 2000) * 10000;
    }
}

static void put_event(struct model *m, struct model_member *x)
{
    struct model_row row = {.event = below(m, MODEL_EVENTS),
                            .day = m->today + 1 - below(m, 40),
                            .count = below(m, 10) ? 1 : below(m, 1000),
                            .category = below(m, 5) - 1,
                            .where = -1};
    if (row.event == MODEL_ORDER) {
        row.amount = random_amount(m);
        row.where = below(m, 400) - 1;
    }
    if (x->n_rows > 0 && below(m, 4) == 0) {
        row = x->rows[below(m, (int)x->n_rows)];
        row.count = -row.count;
        row.amount = -row.amount;
    }
    put_row(m, x, &row);
}

static void drop_rows(struct model *m, struct model_member *x)
{
    size_t n = 0;
    for (size_t i = 0; i < x->n_rows; i++)
        if (x->rows[i].day >= m->kept_from[x->rows[i].event])
            x->rows[n++] = x->rows[i];
    x->n_rows = n;
}

void model_expire(struct model *m, int32_t today)
{
    for (int i = 0; i < MODEL_EVENTS; i++) {
        const struct schema_event *e =
            schema_event_by_name(m->rig->schema, bytes_of_str(event_names[i]));
        int32_t from = today - (int32_t)e->keep_days + 1;
        m->kept_from[i] = from > m->kept_from[i] ? from : m->kept_from[i];
    }
    for (size_t i = 0; i < m->n; i++)
        drop_rows(m, &m->members[i]);
    index_expire(m->rig->ix, today);
}

void model_windows(struct model *m)
{
    struct index_window windows[6];
    size_t n = (size_t)below(m, 7);
    for (size_t i = 0; i < n; i++) {
        const struct schema_event *e =
            schema_event_by_name(m->rig->schema, bytes_of_str(event_names[below(m, 2)]));
        const struct schema_field *f = schema_field_by_name(e, bytes_of_str("amount"));
        windows[i] = (struct index_window){.event = e->id, .days = (uint32_t)below(m, 12) + 1};
        windows[i].field = f && below(m, 2) ? f->id : 0;
    }
    assert_int_equal(index_set_windows(m->rig->ix, windows, n, &m->rig->err), ERR_OK);
}

/* Chances fall by tag, so that containers of every kind come about. */
static bool tag_chance(struct model *m, int i)
{
    return below(m, 1 << i) == 0 && below(m, 3) != 0;
}

void model_fill(struct model *m, struct model_member *x)
{
    forget(x);
    x->alive = true;
    rig_add(m->rig, x->id);
    for (int i = 0; i < MODEL_TAGS; i++)
        if (tag_chance(m, i))
            put_tag(m, x, i, true);
    put_channel(m, x, below(m, MODEL_CHANNELS), true);
    put_namespace(m, x, below(m, (int)m->rig->schema->n_namespaces), true);
    if (below(m, 3))
        put_single(m, x, "city", &x->city, below(m, below(m, 2) ? MODEL_CITIES : 3));
    if (below(m, 3) == 0)
        put_single(m, x, "nickname", &x->nickname, (int)x->id);
    if (below(m, 2))
        put_interest(m, x, below(m, MODEL_INTERESTS), true);
    for (int i = 0; i < MODEL_NUMBERS; i++)
        if (below(m, 3))
            put_number(m, x, i, true);
    if (below(m, 2))
        put_event(m, x);
    if (below(m, 2))
        put_last(m, x, below(m, MODEL_EVENTS), true);
}

static void change(struct model *m, struct model_member *x)
{
    bool on = below(m, 2);
    switch (below(m, 9)) {
    case 0:
        put_tag(m, x, below(m, MODEL_TAGS), on);
        return;
    case 1:
        put_channel(m, x, below(m, MODEL_CHANNELS), on);
        return;
    case 2:
        put_namespace(m, x, below(m, (int)m->rig->schema->n_namespaces), on);
        return;
    case 3:
        put_interest(m, x, below(m, MODEL_INTERESTS), on);
        return;
    case 4:
        put_single(m, x, "city", &x->city, below(m, MODEL_CITIES + 1) - 1);
        return;
    case 5:
        put_single(m, x, "nickname", &x->nickname, on ? (int)x->id : -1);
        return;
    case 6:
        put_number(m, x, below(m, MODEL_NUMBERS), on);
        return;
    case 7:
        put_last(m, x, below(m, MODEL_EVENTS), on);
        return;
    default:
        put_event(m, x);
    }
}

void model_step(struct model *m)
{
    struct model_member *x = &m->members[rng_below(&m->rng, m->n)];
    if (!x->alive) {
        model_fill(m, x);
    } else if (below(m, 4) == 0) {
        rig_remove(m->rig, x->id);
        forget(x);
    } else if (below(m, 50) == 0) {
        model_fill(m, x); /* added once more: begins empty */
    } else {
        change(m, x);
    }
}

/* --- random expressions --- */

static void *take(struct model *m, size_t size)
{
    void *p = arena_zalloc(&m->rig->arena, size);
    assert_non_null(p);
    return p;
}

static struct bytes random_text(struct model *m, char kind, int n)
{
    char text[16];
    model_text(text, sizeof text, kind, below(m, n));
    struct bytes b = arena_copy(&m->rig->arena, bytes_of_str(text));
    assert_non_null(b.data);
    return b;
}

static struct bytes *random_texts(struct model *m, char kind, int n, size_t *n_out)
{
    *n_out = (size_t)below(m, 5) + 1;
    struct bytes *texts = take(m, *n_out * sizeof *texts);
    for (size_t i = 0; i < *n_out; i++)
        texts[i] = random_text(m, kind, n);
    return texts;
}

static void random_bounds(struct model *m, struct expr *e, int64_t a, int64_t b)
{
    e->lo = below(m, 3) ? (a < b ? a : b) : INT64_MIN;
    e->hi = below(m, 3) ? (a < b ? b : a) : INT64_MAX;
    e->negate = below(m, 4) == 0;
}

static void random_values(struct model *m, struct expr *e)
{
    static const char *const names[] = {"city", "nickname", "interests"};
    static const int counts[] = {MODEL_CITIES + 3, 500, MODEL_INTERESTS + 1};
    int i = below(m, 3);
    e->kind = EXPR_VALUES;
    e->trait = schema_trait_by_name(m->rig->schema, bytes_of_str(names[i]));
    e->values = random_texts(m, names[i][0], counts[i], &e->n_values);
    e->negate = below(m, 3) == 0;
}

static void random_level(struct model *m, struct expr *e)
{
    const struct schema *s = m->rig->schema;
    size_t i = rng_below(&m->rng, s->n_levels + 1);
    e->kind = EXPR_VALUES;
    e->values = take(m, sizeof *e->values);
    e->n_values = 1;
    e->values[0] = bytes_of_str(i < s->n_levels ? s->levels[i].name : "none");
}

static void random_wheres(struct model *m, struct expr *e)
{
    e->n_wheres = (size_t)below(m, 3);
    e->wheres = take(m, 2 * sizeof *e->wheres);
    for (size_t i = 0; i < e->n_wheres; i++) {
        bool where =
            e->event == schema_event_by_name(m->rig->schema, bytes_of_str("order")) && below(m, 2);
        struct expr_where *w = &e->wheres[i];
        w->field = schema_field_by_name(e->event, bytes_of_str(where ? "where" : "category"));
        w->values = random_texts(m, where ? 'w' : 'g', where ? 400 : 4, &w->n_values);
        w->negate = below(m, 2);
    }
}

static void random_metric(struct model *m, struct expr *e)
{
    bool sum = below(m, 2);
    e->kind = sum ? EXPR_SUM : EXPR_COUNT;
    const char *event = sum ? "order" : event_names[below(m, MODEL_EVENTS)];
    e->event = schema_event_by_name(m->rig->schema, bytes_of_str(event));
    if (sum)
        e->field = schema_field_by_name(e->event, bytes_of_str("amount"));
    e->window_days = (uint32_t)(below(m, 4) ? below(m, below(m, 2) ? 12 : 40) + 1 : 0);
    random_wheres(m, e);
    if (sum)
        random_bounds(m, e, (int64_t)below(m, 20000) * 1000, random_amount(m));
    else
        random_bounds(m, e, below(m, 3), below(m, 4));
}

static void random_last(struct model *m, struct expr *e)
{
    e->kind = EXPR_LAST;
    e->event = schema_event_by_name(m->rig->schema, bytes_of_str(event_names[below(m, 2)]));
    e->relative = below(m, 2);
    int64_t base = e->relative ? 0 : m->today;
    random_bounds(m, e, base - below(m, 60), base - below(m, 60));
}

static void random_leaf(struct model *m, struct expr *e)
{
    int i = below(m, MODEL_NUMBERS);
    switch (below(m, 11)) {
    case 0:
        e->kind = EXPR_CONST;
        e->truth = below(m, 2);
        return;
    case 1:
        e->kind = EXPR_CHANNEL;
        e->name = random_text(m, 'h', MODEL_CHANNELS + 1);
        return;
    case 2:
        e->kind = EXPR_HAS;
        e->ns = &m->rig->schema->namespaces[rng_below(&m->rng, m->rig->schema->n_namespaces)];
        return;
    case 3:
        e->kind = EXPR_EXISTS;
        e->trait = &m->rig->schema->traits[rng_below(&m->rng, m->rig->schema->n_traits)];
        return;
    case 4:
        random_values(m, e);
        return;
    case 5:
        e->kind = EXPR_RANGE;
        e->trait = schema_trait_by_name(m->rig->schema, bytes_of_str(number_names[i]));
        random_bounds(m, e, random_number(m, i), random_number(m, i));
        return;
    case 6:
        random_level(m, e);
        return;
    case 7:
        random_metric(m, e);
        return;
    case 8:
        random_last(m, e);
        return;
    default:
        e->kind = EXPR_TAG;
        e->name = random_text(m, 't', MODEL_TAGS + 1);
    }
}

struct expr *model_expr(struct model *m, int depth)
{
    struct expr *e = take(m, sizeof *e);
    int shape = depth > 0 ? below(m, 4) : 3;
    if (shape == 3) {
        random_leaf(m, e);
        return e;
    }
    e->kind = shape == 0 ? EXPR_AND : shape == 1 ? EXPR_OR : EXPR_NOT;
    e->n_children = e->kind == EXPR_NOT ? 1 : (size_t)below(m, 3) + 2;
    e->children = take(m, e->n_children * sizeof(struct expr *));
    for (size_t i = 0; i < e->n_children; i++)
        e->children[i] = model_expr(m, depth - 1);
    return e;
}

/* --- the obvious evaluation --- */

static bool text_is_in(char kind, int i, const struct bytes *values, size_t n)
{
    char text[16];
    model_text(text, sizeof text, kind, i);
    for (size_t k = 0; k < n; k++)
        if (bytes_equal(bytes_of_str(text), values[k]))
            return true;
    return false;
}

static bool bit_in(uint32_t bits, int n, char kind, const struct bytes *values, size_t n_values)
{
    for (int i = 0; i < n; i++)
        if ((bits >> i & 1) && text_is_in(kind, i, values, n_values))
            return true;
    return false;
}

static bool in_bounds(const struct expr *e, int64_t v)
{
    bool in = e->lo <= v && v <= e->hi;
    return in != e->negate;
}

void model_level(const struct model *m, const struct model_member *x, char *out, size_t size)
{
    const struct schema *s = m->rig->schema;
    *out = '\0';
    for (size_t i = 0; i < s->n_levels; i++)
        if (x->numbers[MODEL_GROWTH] >= s->levels[i].at_least)
            (void)snprintf(out, size, "%s", s->levels[i].name);
}

static bool matches_level(const struct model *m, const struct model_member *x, const struct expr *e)
{
    char level[32];
    model_level(m, x, level, sizeof level);
    return bytes_equal(e->values[0], bytes_of_str(*level ? level : "none"));
}

static bool matches_values(const struct model *m, const struct model_member *x,
                           const struct expr *e)
{
    if (!e->trait)
        return matches_level(m, x, e);
    if (strcmp(e->trait->name, "interests") == 0)
        return x->interests &&
               bit_in(x->interests, MODEL_INTERESTS, 'i', e->values, e->n_values) != e->negate;
    int v = strcmp(e->trait->name, "city") == 0 ? x->city : x->nickname;
    return v >= 0 && text_is_in(e->trait->name[0], v, e->values, e->n_values) != e->negate;
}

static bool matches_exists(const struct model_member *x, const struct expr *e)
{
    for (int i = 0; i < MODEL_NUMBERS; i++)
        if (strcmp(e->trait->name, number_names[i]) == 0)
            return x->has[i];
    if (strcmp(e->trait->name, "city") == 0)
        return x->city >= 0;
    if (strcmp(e->trait->name, "nickname") == 0)
        return x->nickname >= 0;
    return strcmp(e->trait->name, "interests") == 0 && x->interests;
}

static bool matches_range(const struct model_member *x, const struct expr *e)
{
    for (int i = 0; i < MODEL_NUMBERS; i++) {
        if (strcmp(e->trait->name, number_names[i]) != 0)
            continue;
        if (!x->has[i] && e->trait->type != TRAIT_COUNTER)
            return false;
        return in_bounds(e, x->has[i] ? x->numbers[i] : 0);
    }
    return false;
}

static bool row_counts(const struct model *m, const struct model_row *row, const struct expr *e)
{
    if (strcmp(e->event->name, event_names[row->event]) != 0)
        return false;
    if (e->window_days && (row->day <= m->today - (int32_t)e->window_days || row->day > m->today))
        return false;
    for (size_t i = 0; i < e->n_wheres; i++) {
        const struct expr_where *w = &e->wheres[i];
        bool where = strcmp(w->field->name, "where") == 0;
        int v = where ? row->where : row->category;
        if (v < 0 || text_is_in(where ? 'w' : 'g', v, w->values, w->n_values) == w->negate)
            return false;
    }
    return true;
}

static bool matches_metric(const struct model *m, const struct model_member *x,
                           const struct expr *e)
{
    int64_t total = 0;
    for (size_t i = 0; i < x->n_rows; i++)
        if (row_counts(m, &x->rows[i], e))
            total += e->kind == EXPR_SUM ? x->rows[i].amount : x->rows[i].count;
    return in_bounds(e, total);
}

static bool matches_last(const struct model *m, const struct model_member *x, const struct expr *e)
{
    int i = strcmp(e->event->name, "order") == 0 ? MODEL_ORDER : MODEL_VIEW;
    return x->has_last[i] && in_bounds(e, x->last[i] - (e->relative ? m->today : 0));
}

static bool matches_children(const struct model *m, const struct model_member *x,
                             const struct expr *e)
{
    for (size_t i = 0; i < e->n_children; i++)
        if (model_matches(m, x, e->children[i]) == (e->kind == EXPR_OR))
            return e->kind == EXPR_OR;
    return e->kind == EXPR_AND;
}

bool model_matches(const struct model *m, const struct model_member *x, const struct expr *e)
{
    switch (e->kind) {
    case EXPR_AND:
    case EXPR_OR:
        return matches_children(m, x, e);
    case EXPR_NOT:
        return !model_matches(m, x, e->children[0]);
    case EXPR_CONST:
        return e->truth;
    case EXPR_TAG:
        return bit_in(x->tags, MODEL_TAGS, 't', &e->name, 1);
    case EXPR_CHANNEL:
        return bit_in(x->channels, MODEL_CHANNELS, 'h', &e->name, 1);
    case EXPR_HAS:
        return x->namespaces >> (e->ns - m->rig->schema->namespaces) & 1;
    case EXPR_EXISTS:
        return matches_exists(x, e);
    case EXPR_VALUES:
        return matches_values(m, x, e);
    case EXPR_RANGE:
        return matches_range(x, e);
    case EXPR_COUNT:
    case EXPR_SUM:
        return matches_metric(m, x, e);
    case EXPR_LAST:
        return matches_last(m, x, e);
    case EXPR_SEGMENT:
        break;
    }
    fail_msg("the model has no such expression");
    return false;
}
