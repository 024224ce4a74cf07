#include "config_sections.h"

#include <stdlib.h>
#include <string.h>

enum { KEEP_DAYS_MAX = 3660, METRIC_MAX = NAME_MAX_LEN + 8 };

/* Levels are whole units of a decimal (base/decimal.h); this is safely inside its range. */
#define LEVEL_MAX INT64_C(9000000000000)

static const struct config_key EVENT_KEYS[] = {
    {"fields", false}, {"metrics", true}, {"keep_days", true}};
enum { N_EVENT_KEYS = sizeof EVENT_KEYS / sizeof *EVENT_KEYS };

static void read_fields(struct config_node n, struct schema_event *e, struct config_names *fields)
{
    static const char *const WORDS[] = {[FIELD_NUMBER] = "number", [FIELD_ENUM] = "enum"};
    if (!config_free_map(n, "field", 0, EVENT_FIELDS_MAX))
        return;
    for (size_t i = 0; i < config_count(n); i++) {
        struct config_node key = config_pair_key(n, i);
        struct schema_field f = {
            .name = config_name(key),
            .type = (enum field_type)config_choice(config_pair_value(n, i), WORDS, 2, FIELD_ENUM),
        };
        /* A field of the same name in another event is another field with the same id. */
        f.id = config_names_add(fields, key, f.name, true);
        e->fields[e->n_fields++] = f;
    }
}

/* The field that "sum(field)" names, NULL when the text has another form or names none. */
static struct schema_field *summed_field(struct schema_event *e, const char *metric)
{
    size_t len = strlen(metric);
    if (len < 6 || strncmp(metric, "sum(", 4) != 0 || metric[len - 1] != ')')
        return NULL;
    struct bytes name = bytes_of(metric + 4, len - 5);
    for (size_t i = 0; i < e->n_fields; i++) {
        if (bytes_equal(bytes_of_str(e->fields[i].name), name))
            return &e->fields[i];
    }
    return NULL;
}

static void read_metric(struct config_node n, struct schema_event *e)
{
    char shown[CONFIG_SHOW_MAX];
    const char *metric = config_text(n, METRIC_MAX);
    bool is_count = strcmp(metric, "count") == 0;
    struct schema_field *f = summed_field(e, metric);
    if (!config_doc_ok(n.doc))
        return;
    if (!is_count && (!f || f->type != FIELD_NUMBER))
        config_fail(n, "expected count, or sum(field) with a number field of this event; found %s",
                    config_show(n, shown));
    else if (is_count ? e->counted : f->summed)
        config_fail(n, "expected each metric once, %s is there twice", config_show(n, shown));
    else if (is_count)
        e->counted = true;
    else
        f->summed = true;
}

static struct schema_event read_event(struct config_node key, struct config_node n,
                                      struct config_names *events, struct config_names *fields)
{
    struct config_node metrics = config_get(n, "metrics");
    config_map(n, EVENT_KEYS, N_EVENT_KEYS);
    struct schema_event e = {
        .name = config_name(key),
        .keep_days = (uint32_t)config_int(config_get(n, "keep_days"), 1, KEEP_DAYS_MAX, 1),
    };
    e.id = config_names_add(events, key, e.name, false);
    read_fields(config_get(n, "fields"), &e, fields);
    if (config_list(metrics, "metric", 1, EVENT_FIELDS_MAX + 1)) {
        for (size_t i = 0; i < config_count(metrics); i++)
            read_metric(config_item(metrics, i), &e);
    }
    return e;
}

void config_read_events(struct config_node n, struct cluster_config *c)
{
    struct schema *s = &c->schema;
    if (!config_free_map(n, "event", 0, CONFIG_EVENTS_MAX) ||
        !(s->events = config_doc_alloc(n.doc, config_count(n) + 1, sizeof *s->events)))
        return;
    size_t n_events = config_count(n);
    struct config_names events = config_names_of(n.doc, NAME_EVENT, n_events);
    struct config_names fields = config_names_of(n.doc, NAME_FIELD, n_events * EVENT_FIELDS_MAX);
    for (size_t i = 0; i < n_events; i++)
        s->events[s->n_events++] =
            read_event(config_pair_key(n, i), config_pair_value(n, i), &events, &fields);
}

static const struct schema_trait *read_level_by(struct config_node n, const struct schema *s)
{
    const struct schema_trait *t = NULL;
    const char *name = config_name(n);
    for (size_t i = 0; i < s->n_traits; i++) {
        if (strcmp(s->traits[i].name, name) == 0)
            t = &s->traits[i];
    }
    if (config_doc_ok(n.doc) && (!t || (t->type != TRAIT_COUNTER && t->type != TRAIT_NUMBER)))
        config_fail(n, "expected a trait of type counter or number, '%s' is %s", name,
                    t ? "of another type" : "not declared");
    return t;
}

static int compare_level(const void *a, const void *b)
{
    int64_t x = ((const struct schema_level *)a)->at_least;
    int64_t y = ((const struct schema_level *)b)->at_least;
    return (x > y) - (x < y);
}

static void read_steps(struct config_node n, struct schema *s)
{
    if (!config_free_map(n, "level", 1, CONFIG_LEVELS_MAX) ||
        !(s->levels = config_doc_alloc(n.doc, config_count(n), sizeof *s->levels)))
        return;
    struct config_names names = config_names_of(n.doc, NAME_LEVEL, config_count(n));
    for (size_t i = 0; i < config_count(n); i++) {
        struct config_node key = config_pair_key(n, i), value = config_pair_value(n, i);
        struct schema_level l = {.name = config_name(key),
                                 .at_least = config_int(value, -LEVEL_MAX, LEVEL_MAX, 0)};
        config_names_add(&names, key, l.name, false);
        for (size_t j = 0; j < i && config_doc_ok(n.doc); j++) {
            if (s->levels[j].at_least == l.at_least)
                config_fail(value, "expected another threshold than that of '%s'",
                            s->levels[j].name);
        }
        s->levels[s->n_levels++] = l;
    }
    qsort(s->levels, s->n_levels, sizeof *s->levels, compare_level);
}

void config_read_levels(struct config_node n, struct cluster_config *c)
{
    static const struct config_key KEYS[] = {{"by", true}, {"steps", true}};
    if (!config_map(n, KEYS, 2))
        return;
    c->schema.level_by = read_level_by(config_get(n, "by"), &c->schema);
    read_steps(config_get(n, "steps"), &c->schema);
}
