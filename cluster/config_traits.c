#include "config_sections.h"

#include <string.h>

static const struct config_key TRAIT_KEYS[] = {
    {"name", true}, {"type", true}, {"merge", false}, {"sources", false}};
enum { N_TRAIT_KEYS = sizeof TRAIT_KEYS / sizeof *TRAIT_KEYS };

static const char *const TYPE_WORDS[] = {
    [TRAIT_ENUM] = "enum",     [TRAIT_STRING] = "string",   [TRAIT_DATE] = "date",
    [TRAIT_NUMBER] = "number", [TRAIT_COUNTER] = "counter", [TRAIT_SET] = "set",
};
enum { N_TYPES = sizeof TYPE_WORDS / sizeof *TYPE_WORDS };

static const char *const MERGE_WORDS[] = {
    [MERGE_LATEST] = "latest",
    [MERGE_FIRST] = "first",
    [MERGE_MIN] = "min",
    [MERGE_MAX] = "max",
    [MERGE_SUM] = "sum",
    [MERGE_UNION] = "union",
    [MERGE_SOURCE_PRIORITY] = "source_priority",
};
enum { N_MERGES = sizeof MERGE_WORDS / sizeof *MERGE_WORDS };

/* What each type may be merged by, as a text for messages, and what it is merged by unless told. */
struct type_rule {
    unsigned allowed; /* bit per enum trait_merge */
    const char *list;
    enum trait_merge fallback;
};

#define BIT(m) (1U << (m))
static const struct type_rule RULES[] = {
    [TRAIT_ENUM] = {BIT(MERGE_LATEST) | BIT(MERGE_FIRST) | BIT(MERGE_SOURCE_PRIORITY),
                    "latest, first or source_priority", MERGE_LATEST},
    [TRAIT_STRING] = {BIT(MERGE_LATEST) | BIT(MERGE_FIRST) | BIT(MERGE_SOURCE_PRIORITY),
                      "latest, first or source_priority", MERGE_LATEST},
    [TRAIT_DATE] = {BIT(MERGE_LATEST) | BIT(MERGE_FIRST) | BIT(MERGE_MIN) | BIT(MERGE_MAX) |
                        BIT(MERGE_SOURCE_PRIORITY),
                    "latest, first, min, max or source_priority", MERGE_LATEST},
    [TRAIT_NUMBER] = {BIT(MERGE_LATEST) | BIT(MERGE_FIRST) | BIT(MERGE_MIN) | BIT(MERGE_MAX) |
                          BIT(MERGE_SUM) | BIT(MERGE_SOURCE_PRIORITY),
                      "latest, first, min, max, sum or source_priority", MERGE_LATEST},
    [TRAIT_COUNTER] = {BIT(MERGE_SUM), "sum", MERGE_SUM},
    [TRAIT_SET] = {BIT(MERGE_UNION), "union", MERGE_UNION},
};
#undef BIT

/* Words of the segment language: a trait of such a name could not be asked for. */
static bool is_segment_word(const char *name)
{
    static const char *const WORDS[] = {"and",  "or",      "not", "in",      "between", "exists",
                                        "tag",  "channel", "has", "segment", "count",   "sum",
                                        "last", "level",   "ago", "where",   "true",    "false"};
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
        if (strcmp(name, WORDS[i]) == 0)
            return true;
    }
    return false;
}

static void read_sources(struct config_node n, struct schema_trait *t)
{
    if (!config_list(n, "source", 1, CONFIG_SOURCES_MAX) ||
        !(t->sources = config_doc_alloc(n.doc, config_count(n), sizeof *t->sources)))
        return;
    for (size_t i = 0; i < config_count(n); i++) {
        struct config_node item = config_item(n, i);
        struct bytes source = bytes_of_str(config_text(item, SOURCE_MAX_LEN));
        for (size_t j = 0; j < t->n_sources; j++) {
            if (source.len > 0 && bytes_equal(source, t->sources[j]))
                config_fail(item, "expected each source once");
        }
        t->sources[t->n_sources++] = source;
    }
}

/* Whether type, merge and sources go together. */
static void check_merge(struct config_node n, const struct schema_trait *t)
{
    struct config_node sources = config_get(n, "sources");
    bool ranked = t->merge == MERGE_SOURCE_PRIORITY;
    if (!(RULES[t->type].allowed & 1U << t->merge))
        config_fail(config_get(n, "merge"),
                    "a trait of type %s cannot be merged by %s, expected %s", TYPE_WORDS[t->type],
                    MERGE_WORDS[t->merge], RULES[t->type].list);
    if (ranked && !config_exists(sources))
        config_fail(config_get(n, "merge"),
                    "expected the key 'sources' too: merge by source_priority ranks by it");
    if (!ranked && config_exists(sources))
        config_fail(sources, "expected no 'sources': only merge by source_priority uses them");
}

static struct schema_trait read_trait(struct config_node n, struct config_names *names)
{
    struct config_node name = config_get(n, "name"), type = config_get(n, "type");
    config_map(n, TRAIT_KEYS, N_TRAIT_KEYS);
    struct schema_trait t = {
        .name = config_name(name),
        .type = (enum trait_type)config_choice(type, TYPE_WORDS, N_TYPES, TRAIT_STRING),
    };
    t.merge = (enum trait_merge)config_choice(config_get(n, "merge"), MERGE_WORDS, N_MERGES,
                                              RULES[t.type].fallback);
    t.id = config_names_add(names, name, t.name, false);
    if (is_segment_word(t.name))
        config_fail(name, "expected another name: '%s' is a word of the segment language", t.name);
    read_sources(config_get(n, "sources"), &t);
    if (config_doc_ok(n.doc))
        check_merge(n, &t);
    return t;
}

void config_read_traits(struct config_node n, struct cluster_config *c)
{
    struct schema *s = &c->schema;
    if (!config_list(n, "trait", 0, CONFIG_TRAITS_MAX) ||
        !(s->traits = config_doc_alloc(n.doc, config_count(n) + 1, sizeof *s->traits)))
        return;
    struct config_names names = config_names_of(n.doc, NAME_TRAIT, config_count(n));
    for (size_t i = 0; i < config_count(n); i++)
        s->traits[s->n_traits++] = read_trait(config_item(n, i), &names);
}
