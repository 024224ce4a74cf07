#include "private.h"

#include <base/hash.h>

/* A sum over facts, each a hash of member, name and value, so that order does not matter. Metrics
 * enter in proportion to their numbers, so that it does not matter either how rows are split. */

static uint64_t mix(uint64_t a, uint64_t b)
{
    return hash_u64(a * UINT64_C(0x9E3779B97F4A7C15) + b);
}

static bool is_live(const struct core *c, uint32_t ordinal)
{
    return bit_get(c->ids.chunks[chunk_of(ordinal)].live, low_of(ordinal));
}

static uint64_t digest_member(const struct core *c, uint32_t ordinal, uint64_t fact)
{
    return is_live(c, ordinal) ? mix(fact, ids_member(&c->ids, ordinal)) : 0;
}

static uint64_t digest_view(const struct core *c, uint32_t chunk, const struct set_view *v,
                            uint64_t fact)
{
    uint64_t sum = 0;
    uint32_t base = chunk << CHUNK_BITS;
    if (v->kind != VIEW_BITMAP) {
        for (uint32_t i = 0; i < v->n; i++)
            sum += digest_member(c, base | set_view_at(v, i), fact);
        return sum;
    }
    for (uint32_t low = 0; low < CHUNK_SIZE; low++)
        if (bit_get(v->bitmap, low))
            sum += digest_member(c, base | low, fact);
    return sum;
}

static uint64_t digest_set(const struct core *c, const struct set *s, uint64_t fact)
{
    uint64_t sum = 0;
    for (uint32_t chunk = 0; chunk < c->ids.n_chunks; chunk++) {
        struct set_view v;
        set_view_chunk(s, chunk, &v);
        sum += digest_view(c, chunk, &v, fact);
    }
    return sum;
}

static uint64_t digest_dict(const struct core *c, const struct dict *d, uint64_t family)
{
    uint64_t sum = 0;
    for (uint32_t id = 0; id < d->n; id++)
        if (d->values[id].text)
            sum += digest_set(c, &d->values[id].set, hash64_seed(dict_text(d, id), family));
    return sum;
}

/* `texts`: the column holds numbers of its values; NULL: plain numbers. */
static uint64_t digest_column(const struct core *c, const struct column *column,
                              const struct dict *texts, uint64_t family)
{
    uint64_t sum = 0;
    for (uint32_t ordinal = 0; ordinal < c->ids.next; ordinal++) {
        int64_t v;
        if (!is_live(c, ordinal) || !column_get(column, ordinal, &v))
            continue;
        uint64_t value = texts ? hash64(dict_text(texts, (uint32_t)v)) : (uint64_t)v;
        sum += mix(mix(family, value), ids_member(&c->ids, ordinal));
    }
    return sum;
}

static uint64_t digest_combo(const struct metric *x, uint32_t combo)
{
    uint64_t h = 1;
    for (uint32_t i = 0; i < x->n_enums; i++) {
        uint32_t value = x->combos.tuples[(size_t)combo * x->n_enums + i];
        h = mix(h, value ? hash64(dict_text(&x->values[i], value - 1)) : 2);
    }
    return h;
}

static uint64_t digest_block(const struct core *c, const struct metric *x, uint32_t chunk,
                             const struct metric_block *b, uint64_t family)
{
    uint64_t sum = 0, day = mix(family, (uint64_t)(int64_t)b->day);
    for (uint32_t i = 0; i < b->n; i++) {
        struct metric_row row = {0};
        metric_block_row(b, i, &row);
        uint32_t ordinal = chunk << CHUNK_BITS | row.low;
        if (!is_live(c, ordinal))
            continue;
        uint64_t h = mix(mix(day, digest_combo(x, row.combo)), ids_member(&c->ids, ordinal));
        sum += h * (uint64_t)(int64_t)row.count;
        for (uint32_t k = 0; k < x->n_sums; k++)
            sum += mix(h, k) * (uint64_t)row.sums[k];
    }
    return sum;
}

static uint64_t digest_metric(const struct core *c, const struct metric *x, uint64_t family)
{
    uint64_t sum = 0;
    for (uint32_t chunk = 0; chunk < x->n_chunks; chunk++)
        for (uint32_t i = 0; i < x->chunks[chunk].n; i++)
            sum += digest_block(c, x, chunk, &x->chunks[chunk].blocks[i], family);
    return sum;
}

static uint64_t digest_core(const struct core *c)
{
    const struct schema *s = c->schema;
    uint64_t sum = digest_dict(c, &c->tags, 1) + digest_dict(c, &c->channels, 2);
    for (uint32_t ordinal = 0; ordinal < c->ids.next; ordinal++)
        if (is_live(c, ordinal))
            sum += mix(3, ids_member(&c->ids, ordinal));
    for (size_t i = 0; i < s->n_namespaces; i++)
        sum += digest_set(c, &c->namespaces[i], mix(4, s->namespaces[i].id));
    for (size_t i = 0; i < s->n_traits; i++) {
        const struct trait_index *t = &c->traits[i];
        const struct dict *texts = trait_is_single_text(t->schema->type) ? &t->dict : NULL;
        sum += digest_dict(c, &t->dict, mix(5, t->schema->id));
        sum += digest_column(c, &t->column, texts, mix(6, t->schema->id));
    }
    for (size_t i = 0; i < s->n_events; i++) {
        const struct event_index *e = &c->events[i];
        sum += digest_column(c, &e->last, NULL, mix(7, e->schema->id));
        sum += digest_metric(c, &e->metric, mix(8, e->schema->id));
    }
    return sum;
}

uint64_t index_digest(struct index *ix)
{
    if (gate_read(&ix->gate, 0, NULL) != ERR_OK)
        return 0;
    uint64_t digest = digest_core(&ix->core);
    gate_read_end(&ix->gate);
    return digest;
}
