#include "private.h"

/* What mem counted, part by part, by walking over all of it. */

static uint64_t bytes_of_set(const struct set *s)
{
    if (s->kind == SET_FEW)
        return 0;
    if (s->kind == SET_VECTOR)
        return s->cap * sizeof(uint32_t);
    uint64_t bytes = s->cap * sizeof(struct container);
    for (uint32_t i = 0; i < s->cap; i++) {
        const struct container *c = &s->u.chunks[i];
        bytes += c->kind == CONTAINER_BITMAP ? CHUNK_BYTES : c->cap * sizeof(uint16_t);
    }
    return bytes;
}

static void add_dict(const struct dict *d, struct index_memory *out)
{
    out->dictionaries += d->cap * sizeof *d->values + d->n_slots * sizeof *d->slots;
    for (uint32_t id = 0; id < d->n; id++) {
        if (!d->values[id].text)
            continue;
        out->dictionaries += d->values[id].len ? d->values[id].len : 1;
        out->sets += bytes_of_set(&d->values[id].set);
    }
}

static void add_column(const struct column *c, struct index_memory *out)
{
    out->columns += c->n_chunks * sizeof *c->chunks;
    for (uint32_t i = 0; i < c->n_chunks; i++)
        out->columns += (c->chunks[i].exists ? CHUNK_BYTES : 0) +
                        (uint64_t)c->chunks[i].cap * c->chunks[i].width;
}

static void add_metric(const struct metric *x, struct index_memory *out)
{
    out->events += x->n_chunks * sizeof *x->chunks;
    out->events += (uint64_t)x->combos.cap * x->n_enums * sizeof(uint32_t);
    out->events += x->combos.n_slots * sizeof(uint32_t);
    for (uint32_t i = 0; i < x->n_chunks; i++) {
        const struct metric_chunk *c = &x->chunks[i];
        out->events += c->cap * sizeof *c->blocks;
        for (uint32_t k = 0; k < c->n; k++)
            out->events += metric_block_bytes(&c->blocks[k], c->blocks[k].cap);
    }
    for (uint32_t i = 0; i < x->n_enums; i++)
        add_dict(&x->values[i], out);
}

static void add_ids(const struct ids *ids, struct index_memory *out)
{
    out->ids += ids->n_chunks * sizeof *ids->chunks;
    for (uint32_t i = 0; i < ids->n_chunks; i++) {
        const struct ids_chunk *c = &ids->chunks[i];
        out->ids += c->cap * sizeof *c->members + CHUNK_BYTES + (c->dead ? CHUNK_BYTES : 0);
    }
    for (uint32_t i = 0; i < IDS_TABLES; i++)
        out->ids += (uint64_t)ids->tables[i].cap * IDS_SLOT_BYTES;
}

static void add_windows(const struct windows *w, struct index_memory *out)
{
    out->windows += w->n * sizeof *w->items;
    for (uint32_t i = 0; i < w->n; i++) {
        const struct window *one = &w->items[i];
        out->windows += one->n_chunks * sizeof *one->chunks;
        for (uint32_t k = 0; k < one->n_chunks; k++)
            out->windows += (uint64_t)one->chunks[k].cap * one->chunks[k].width;
    }
}

void index_get_memory(const struct index *ix, struct index_memory *out)
{
    const struct core *c = &ix->core;
    *out = (struct index_memory){.pending = ix->pending.cap};
    add_ids(&c->ids, out);
    add_dict(&c->tags, out);
    add_dict(&c->channels, out);
    for (size_t i = 0; i < c->schema->n_namespaces; i++)
        out->sets += bytes_of_set(&c->namespaces[i]);
    for (size_t i = 0; i < c->schema->n_traits; i++) {
        add_dict(&c->traits[i].dict, out);
        add_column(&c->traits[i].column, out);
    }
    for (size_t i = 0; i < c->schema->n_events; i++) {
        add_column(&c->events[i].last, out);
        add_metric(&c->events[i].metric, out);
    }
    add_windows(&c->windows, out);
}
