/* Walks over the whole state: the index's rebuild, and what tests look at. */
#include "state.h"

#include <base/hash.h>

/* --- rebuild --- */

static bool rebuild_one(void *ctx, struct bytes key, struct bytes value)
{
    struct machine *m = ctx;
    struct reader k = reader_of(key);
    struct profile p = {0};
    (void)value;
    if (row_kind(key) != 'P')
        return true;
    arena_reset(&m->scratch);
    reader_u8(&k);
    if (!profile_load(m, reader_be64(&k), &p) || p.rec.state != PROFILE_LIVE)
        return true;
    profile_load_view(m, &p);
    emit_profile(m, &p);
    return true;
}

void machine_rebuild(struct machine *m, machine_emit_cb emit, void *ctx)
{
    machine_emit_cb was = m->o.emit;
    void *was_ctx = m->o.emit_ctx;
    m->o.emit = emit;
    m->o.emit_ctx = ctx;
    store_scan(m->o.store, bytes_of_str("P"), rebuild_one, m);
    m->o.emit = was;
    m->o.emit_ctx = was_ctx;
}

/* --- for tests and the simulation --- */

struct walking {
    struct machine *m;
    struct arena *arena;
    machine_profile_cb cb;
    void *ctx;
};

static bool walk_one(void *ctx, struct bytes key, struct bytes value)
{
    struct walking *w = ctx;
    struct reader k = reader_of(key);
    struct profile p;
    (void)value;
    if (row_kind(key) != 'P')
        return true;
    reader_u8(&k);
    if (!profile_load(w->m, reader_be64(&k), &p))
        return true;
    bool content = p.rec.state == PROFILE_LIVE || p.rec.state == PROFILE_MERGING;
    struct holder *ids = arena_must(w->arena, (p.rec.n_ids + 1) * sizeof *ids);
    for (size_t i = 0; i < p.rec.n_ids; i++) {
        struct identity id = p.rec.ids[i].id;
        ids[i] =
            (struct holder){{id.ns, arena_must_copy(w->arena, id.value)}, p.rec.ids[i].version};
    }
    one_id *absorbed = arena_must(w->arena, (p.rec.n_absorbed + 1) * sizeof *absorbed);
    for (size_t i = 0; i < p.rec.n_absorbed; i++)
        absorbed[i] = p.rec.absorbed[i];
    struct machine_profile out = {
        .id = p.id,
        .epoch = p.rec.epoch,
        .target = p.rec.target,
        .ids = ids,
        .n_ids = p.rec.n_ids,
        .absorbed = absorbed,
        .n_absorbed = p.rec.n_absorbed,
    };
    out.state = p.rec.state;
    if (content)
        out.view = arena_must_copy(w->arena, profile_fold(w->m, &p.rec));
    w->cb(w->ctx, &out);
    return true;
}

void machine_each_profile(struct machine *m, struct arena *arena, machine_profile_cb cb, void *ctx)
{
    struct walking w = {m, arena, cb, ctx};
    arena_reset(&m->scratch);
    store_scan(m->o.store, bytes_of_str("P"), walk_one, &w);
}

bool machine_index_entry(struct machine *m, struct identity i, one_id *profile, uint32_t *version)
{
    struct entry e;
    if (!entry_get(m, i, &e))
        return false;
    *profile = e.profile;
    *version = e.version;
    return true;
}

bool machine_has_message(struct machine *m, one_id p, struct identity i, struct bytes message_id)
{
    struct profile found;
    struct dedup d;
    arena_reset(&m->scratch);
    if (!profile_load(m, p, &found))
        return false;
    ptrdiff_t at = record_find(&found.rec, i);
    if (at < 0 || found.rec.ids[at].handle == 0)
        return false;
    struct fragment f;
    if (!fragment_get(m, found.rec.ids[at].handle, &f))
        return false;
    dedup_load(m, found.rec.ids[at].handle, &f, &d);
    return dedup_has(m, &d, hash64(message_id));
}
