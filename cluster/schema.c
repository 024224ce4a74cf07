#include <cluster/schema.h>

#include <base/hash.h>

#include <stdlib.h>

name_id name_id_of(enum name_kind kind, struct bytes name)
{
    uint8_t text[1 + NAME_MAX_LEN];
    size_t len = name.len < NAME_MAX_LEN ? name.len : NAME_MAX_LEN;
    text[0] = (uint8_t)kind;
    if (len > 0)
        memcpy(text + 1, name.data, len);
    name_id id = (name_id)hash64(bytes_of(text, 1 + len));
    return id ? id : 1;
}

static int entry_compare(const void *a, const void *b)
{
    name_id x = ((const struct schema_entry *)a)->id, y = ((const struct schema_entry *)b)->id;
    return (x > y) - (x < y);
}

/* The ids of `n` structs, `stride` bytes apart from `first` on, as a sorted table. */
static struct schema_entry *index_of(const name_id *first, size_t n, size_t stride,
                                     struct arena *arena)
{
    struct schema_entry *t = arena_alloc(arena, (n + 1) * sizeof *t);
    if (!t)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        memcpy(&t[i].id, (const uint8_t *)first + i * stride, sizeof t[i].id);
        t[i].at = (uint32_t)i;
    }
    if (n > 0)
        qsort(t, n, sizeof *t, entry_compare);
    return t;
}

bool schema_seal(struct schema *s, struct arena *arena)
{
    const name_id *ns = s->n_namespaces ? &s->namespaces[0].id : NULL;
    const name_id *traits = s->n_traits ? &s->traits[0].id : NULL;
    const name_id *events = s->n_events ? &s->events[0].id : NULL;
    s->namespace_index = index_of(ns, s->n_namespaces, sizeof *s->namespaces, arena);
    s->trait_index = index_of(traits, s->n_traits, sizeof *s->traits, arena);
    s->event_index = index_of(events, s->n_events, sizeof *s->events, arena);
    return s->namespace_index && s->trait_index && s->event_index;
}

/* The place of `id` in its array, or `n`. */
static size_t index_find(const struct schema_entry *t, size_t n, name_id id)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (t[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && t[lo].id == id ? t[lo].at : n;
}

/* Names are short: a call of strlen and one of memcmp cost more than the bytes. */
static bool name_is(const char *declared, struct bytes name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (declared[i] == '\0' || (uint8_t)declared[i] != name.data[i])
            return false;
    }
    return declared[name.len] == '\0';
}

const struct schema_namespace *schema_namespace_by_id(const struct schema *s, name_id id)
{
    size_t at = 0;
    if (s->namespace_index)
        at = index_find(s->namespace_index, s->n_namespaces, id);
    else
        while (at < s->n_namespaces && s->namespaces[at].id != id)
            at++;
    return at < s->n_namespaces ? &s->namespaces[at] : NULL;
}

const struct schema_namespace *schema_namespace_by_name(const struct schema *s, struct bytes name)
{
    const struct schema_namespace *n = schema_namespace_by_id(s, name_id_of(NAME_NAMESPACE, name));
    return n && name_is(n->name, name) ? n : NULL;
}

const struct schema_trait *schema_trait_by_id(const struct schema *s, name_id id)
{
    size_t at = 0;
    if (s->trait_index)
        at = index_find(s->trait_index, s->n_traits, id);
    else
        while (at < s->n_traits && s->traits[at].id != id)
            at++;
    return at < s->n_traits ? &s->traits[at] : NULL;
}

const struct schema_trait *schema_trait_by_name(const struct schema *s, struct bytes name)
{
    const struct schema_trait *t = schema_trait_by_id(s, name_id_of(NAME_TRAIT, name));
    return t && name_is(t->name, name) ? t : NULL;
}

const struct schema_event *schema_event_by_id(const struct schema *s, name_id id)
{
    size_t at = 0;
    if (s->event_index)
        at = index_find(s->event_index, s->n_events, id);
    else
        while (at < s->n_events && s->events[at].id != id)
            at++;
    return at < s->n_events ? &s->events[at] : NULL;
}

const struct schema_event *schema_event_by_name(const struct schema *s, struct bytes name)
{
    const struct schema_event *e = schema_event_by_id(s, name_id_of(NAME_EVENT, name));
    return e && name_is(e->name, name) ? e : NULL;
}

const struct schema_field *schema_field_by_name(const struct schema_event *e, struct bytes name)
{
    for (size_t i = 0; i < e->n_fields; i++) {
        if (name_is(e->fields[i].name, name))
            return &e->fields[i];
    }
    return NULL;
}

/* --- the digest --- */

static uint64_t mix(uint64_t digest, uint64_t v)
{
    return hash_u64(digest ^ hash_u64(v + 1));
}

static uint64_t mix_list(uint64_t digest, const struct bytes *list, size_t n)
{
    digest = mix(digest, n);
    for (size_t i = 0; i < n; i++)
        digest = mix(digest, hash64(list[i]));
    return digest;
}

static uint64_t mix_namespace(uint64_t d, const struct schema_namespace *n)
{
    d = mix(mix(mix(d, n->id), n->priority), n->limit);
    d = mix(mix(d, (uint64_t)n->normalize), n->bridges);
    return mix_list(d, n->block, n->n_block);
}

static uint64_t mix_event(uint64_t d, const struct schema_event *e)
{
    d = mix(mix(mix(d, e->id), e->counted), e->keep_days);
    d = mix(d, e->n_fields);
    for (size_t i = 0; i < e->n_fields; i++)
        d = mix(mix(mix(d, e->fields[i].id), (uint64_t)e->fields[i].type), e->fields[i].summed);
    return d;
}

uint64_t schema_digest(const struct schema *s)
{
    uint64_t d = mix(mix(mix(s->tags_max, s->n_namespaces), s->n_traits), s->n_events);
    for (size_t i = 0; i < s->n_namespaces; i++)
        d = mix_namespace(d, &s->namespaces[i]);
    for (size_t i = 0; i < s->n_traits; i++) {
        const struct schema_trait *t = &s->traits[i];
        d = mix(mix(mix(d, t->id), (uint64_t)t->type), (uint64_t)t->merge);
        d = mix_list(d, t->sources, t->n_sources);
    }
    for (size_t i = 0; i < s->n_events; i++)
        d = mix_event(d, &s->events[i]);
    d = mix(mix(d, s->level_by ? s->level_by->id : 0), s->n_levels);
    for (size_t i = 0; i < s->n_levels; i++)
        d = mix(mix(d, hash64(bytes_of_str(s->levels[i].name))), (uint64_t)s->levels[i].at_least);
    return d;
}
