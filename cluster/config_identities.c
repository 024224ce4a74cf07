#include "config_sections.h"

#include <stdlib.h>
#include <string.h>

enum { IDENTITY_LIMIT_MAX = 100000, PRIORITY_MAX = 1000000, TAGS_MAX = 10000, TAGS_DEFAULT = 200 };

static const struct config_key NAMESPACE_KEYS[] = {
    {"name", true},       {"limit", true},  {"priority", false},
    {"normalize", false}, {"block", false}, {"bridges", false},
};
enum { N_NAMESPACE_KEYS = sizeof NAMESPACE_KEYS / sizeof *NAMESPACE_KEYS };

static const char *const NORMALIZE_WORDS[] = {
    [NORMALIZE_NONE] = "none",
    [NORMALIZE_LOWER] = "lower",
    [NORMALIZE_PHONE] = "phone",
    [NORMALIZE_EMAIL] = "email",
};
enum { N_NORMALIZE_WORDS = sizeof NORMALIZE_WORDS / sizeof *NORMALIZE_WORDS };

/* One value to block, in the form in which values of the namespace arrive: normalised, then in
 * lower case. Adds nothing for what is refused as an identity anyway. */
static void read_block_value(struct config_node n, struct schema_namespace *ns,
                             struct arena *scratch)
{
    struct bytes v;
    const char *text = config_text_or_empty(n, IDENTITY_VALUE_MAX);
    enum identity_verdict verdict = schema_normalize(ns, bytes_of_str(text), scratch, &v);
    if (verdict == IDENTITY_BAD_FORM)
        config_fail(n, "expected a value that 'normalize: %s' accepts; others are refused anyway",
                    NORMALIZE_WORDS[ns->normalize]);
    if (verdict != IDENTITY_OK)
        return;
    uint8_t *copy = config_doc_alloc(n.doc, v.len, 1);
    if (!copy)
        return;
    for (size_t i = 0; i < v.len; i++)
        copy[i] = v.data[i] >= 'A' && v.data[i] <= 'Z' ? (uint8_t)(v.data[i] | 0x20) : v.data[i];
    ns->block[ns->n_block++] = bytes_of(copy, v.len);
}

static void read_block(struct config_node n, struct schema_namespace *ns)
{
    if (!config_list(n, "blocked value", 0, CONFIG_BLOCK_MAX) ||
        !(ns->block = config_doc_alloc(n.doc, config_count(n) + 1, sizeof *ns->block)))
        return;
    struct arena scratch;
    arena_init(&scratch, 0);
    for (size_t i = 0; i < config_count(n); i++)
        read_block_value(config_item(n, i), ns, &scratch);
    arena_close(&scratch);
}

static struct schema_namespace read_namespace(struct config_node n, size_t place,
                                              struct config_names *names)
{
    struct config_node name = config_get(n, "name");
    config_map(n, NAMESPACE_KEYS, N_NAMESPACE_KEYS);
    struct schema_namespace ns = {
        .name = config_name(name),
        .limit = (uint32_t)config_int(config_get(n, "limit"), 1, IDENTITY_LIMIT_MAX, 1),
        .priority =
            (uint32_t)config_int(config_get(n, "priority"), 1, PRIORITY_MAX, (int64_t)place + 1),
        .bridges = config_bool(config_get(n, "bridges"), true),
        .normalize = (enum normalize)config_choice(config_get(n, "normalize"), NORMALIZE_WORDS,
                                                   N_NORMALIZE_WORDS, NORMALIZE_NONE),
    };
    ns.id = config_names_add(names, name, ns.name, false);
    read_block(config_get(n, "block"), &ns);
    return ns;
}

/* A mistake at the i-th namespace when one before it has the same priority. */
static void refuse_equal_priority(struct config_node list, const struct schema *s, size_t i)
{
    struct config_node item = config_item(list, i), at = config_get(item, "priority");
    for (size_t j = 0; j < i; j++) {
        if (s->namespaces[j].priority == s->namespaces[i].priority)
            config_fail(config_exists(at) ? at : item,
                        "expected another priority, %u is that of '%s' (the default is the place "
                        "in the list)",
                        s->namespaces[i].priority, s->namespaces[j].name);
    }
}

static int compare_priority(const void *a, const void *b)
{
    uint32_t x = ((const struct schema_namespace *)a)->priority;
    uint32_t y = ((const struct schema_namespace *)b)->priority;
    return (x > y) - (x < y);
}

void config_read_identities(struct config_node n, struct cluster_config *c)
{
    struct schema *s = &c->schema;
    if (!config_list(n, "namespace", 1, CONFIG_NAMESPACES_MAX) ||
        !(s->namespaces = config_doc_alloc(n.doc, config_count(n), sizeof *s->namespaces)))
        return;
    struct config_names names = config_names_of(n.doc, NAME_NAMESPACE, config_count(n));
    for (size_t i = 0; i < config_count(n); i++)
        s->namespaces[s->n_namespaces++] = read_namespace(config_item(n, i), i, &names);
    if (!config_doc_ok(n.doc))
        return;
    for (size_t i = 1; i < s->n_namespaces; i++)
        refuse_equal_priority(n, s, i);
    qsort(s->namespaces, s->n_namespaces, sizeof *s->namespaces, compare_priority);
}

void config_read_tags(struct config_node n, struct cluster_config *c)
{
    static const struct config_key KEYS[] = {{"max_per_profile", true}};
    config_map(n, KEYS, 1);
    c->schema.tags_max =
        (uint32_t)config_int(config_get(n, "max_per_profile"), 1, TAGS_MAX, TAGS_DEFAULT);
}
