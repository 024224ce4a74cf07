/* Profiles in the store, and the moves between their states:
 *
 *   ABSENT ── OPEN ──> LIVE         MERGING ── ABORT ──> LIVE
 *   ABSENT ── CLAIM ─> MERGING      MERGING ── DONE ───> REDIRECT, or ABSENT after a claim
 *   LIVE ─── FREEZE ─> MERGING      REDIRECT ─ DROP ───> ABSENT
 *   LIVE ─── merged in one entry ─> REDIRECT
 *   LIVE ─── ERASE ──> ERASED
 */
#include "state.h"

#include <assert.h>

enum { STATES = PROFILE_ERASED + 1 };

static const bool may_move[STATES][STATES] = {
    [PROFILE_ABSENT] = {[PROFILE_LIVE] = true, [PROFILE_MERGING] = true},
    [PROFILE_LIVE] = {[PROFILE_MERGING] = true, [PROFILE_REDIRECT] = true, [PROFILE_ERASED] = true},
    [PROFILE_MERGING] = {[PROFILE_LIVE] = true, [PROFILE_REDIRECT] = true, [PROFILE_ABSENT] = true},
    [PROFILE_REDIRECT] = {[PROFILE_ABSENT] = true},
};

static bool has_content(uint8_t state)
{
    return state == PROFILE_LIVE || state == PROFILE_MERGING;
}

/* What must hold of a record in the state that it says it is in. */
static bool is_in_order(const struct profile *p)
{
    const struct record *r = &p->rec;
    switch (r->state) {
    case PROFILE_ABSENT:
        return true;
    case PROFILE_LIVE:
        return r->n_ids > 0 && r->target == 0;
    case PROFILE_MERGING:
        return r->n_ids > 0 && r->target != 0 && r->target < p->id && r->n_outbox == 0 &&
               r->evid_b.ns != 0;
    case PROFILE_REDIRECT:
        return r->target != 0 && r->target < p->id && r->n_edges == 0;
    default:
        return r->n_edges == 0;
    }
}

static void leave(struct machine *m, struct profile *p)
{
    if (p->rec.state == PROFILE_LIVE) {
        m->counters.profiles--;
    } else if (p->rec.state == PROFILE_MERGING) {
        flight_remove(&m->flight, p->id);
        store_del(m->o.store, key_of_number(m, 'm', p->id));
    } else if (p->rec.state == PROFILE_REDIRECT) {
        store_del(m->o.store, key_of_number(m, 't', p->id));
        m->counters.tombstones--;
    }
}

static void enter(struct machine *m, struct profile *p, uint8_t to)
{
    if (to == PROFILE_LIVE) {
        m->counters.profiles++;
    } else if (to == PROFILE_MERGING) {
        flight_add(&m->flight, p->id, m->clock);
        buf_reset(&m->row);
        buf_put_zigzag(&m->row, m->clock);
        store_put(m->o.store, key_of_number(m, 'm', p->id), buf_bytes(&m->row));
    } else if (to == PROFILE_REDIRECT) {
        tombstone_put(m, p->id, p->rec.born_merging);
        m->counters.tombstones++;
    }
}

void profile_move(struct machine *m, struct profile *p, uint8_t to)
{
    assert(p->rec.state < STATES && to < STATES && may_move[p->rec.state][to]);
    if (has_content(p->rec.state) && !has_content(to))
        profile_drop_content(m, p);
    if (to != PROFILE_MERGING)
        p->rec.evid_a = p->rec.evid_b = (struct identity){0};
    if (to == PROFILE_LIVE) {
        p->rec.target = 0;
        /* Its One-ID may be told to anybody from here on. */
        p->rec.born_merging = false;
    }
    leave(m, p);
    enter(m, p, to);
    p->rec.state = to;
    p->changed = true;
    m->dirty = true;
    assert(is_in_order(p));
}

/* --- rows --- */

struct bytes view_key(struct machine *m, one_id p)
{
    return key_of_part(m, 'P', p, 'V', 0, 0);
}

bool profile_load(struct machine *m, one_id id, struct profile *out)
{
    struct bytes value;
    *out = (struct profile){.id = id};
    if (id == 0 || !store_get(m->o.store, key_of_number(m, 'P', id), &value))
        return false;
    if (record_decode(arena_must_copy(&m->scratch, value), &m->scratch, &out->rec) &&
        out->rec.target < id)
        return true;
    machine_damaged(m, "profile");
    return false;
}

void profile_load_view(struct machine *m, struct profile *p)
{
    assert(has_content(p->rec.state));
    struct bytes view = {0};
    if (p->rec.n_ids == 1) {
        struct fragment f;
        if (fragment_get(m, p->rec.ids[0].handle, &f))
            view = f.facts;
    } else if (!store_get(m->o.store, view_key(m, p->id), &view)) {
        machine_damaged(m, "view");
    }
    profile_view_is(m, p, view);
}

void profile_view_is(struct machine *m, struct profile *p, struct bytes view)
{
    p->view = arena_must_copy(&m->scratch, view);
    p->shown = p->view;
}

void profile_set_view(struct profile *p, struct bytes view)
{
    p->view = view;
    p->view_changed = true;
}

void profile_save(struct machine *m, struct profile *p)
{
    if (p->rec.state == PROFILE_ABSENT) {
        store_del(m->o.store, key_of_number(m, 'P', p->id));
        return;
    }
    if (p->changed) {
        buf_reset(&m->row);
        record_encode(&p->rec, &m->row);
        store_put(m->o.store, key_of_number(m, 'P', p->id), buf_bytes(&m->row));
        p->changed = false;
    }
    if (p->view_changed && has_content(p->rec.state) && p->rec.n_ids > 1)
        store_put(m->o.store, view_key(m, p->id), p->view);
    p->view_changed = false;
}

void profile_bind(struct machine *m, struct profile *p, struct identity id, uint32_t version)
{
    struct record_id row = {.id = id, .version = version, .handle = machine_new_handle(m)};
    struct fragment f = {.facts = facts_of_identity(m, id)};
    record_add_id(&p->rec, &m->scratch, &row);
    fragment_put(m, row.handle, &f);
    entry_put(m, id, (struct entry){p->id, version});
    profile_set_view(p, p->rec.n_ids == 1 ? f.facts : facts_joined(m, p->view, f.facts));
    p->changed = true;
    m->counters.identities++;
    m->dirty = true;
}

void profile_drop_content(struct machine *m, struct profile *p)
{
    for (size_t i = 0; i < p->rec.n_ids; i++) {
        struct record_id *id = &p->rec.ids[i];
        struct fragment f;
        if (id->handle == 0)
            continue;
        if (fragment_get(m, id->handle, &f)) {
            behaviour_drop(m, id->handle, &f);
            dedup_drop(m, id->handle, &f);
        }
        store_del(m->o.store, key_of_number(m, 'F', id->handle));
        id->handle = 0;
        m->counters.identities--;
    }
    if (p->rec.n_ids > 1)
        store_del(m->o.store, view_key(m, p->id));
    p->rec.n_edges = 0;
}

struct bytes profile_fold(struct machine *m, const struct record *r)
{
    struct bytes view = {0};
    for (size_t i = 0; i < r->n_ids; i++) {
        struct fragment f;
        if (fragment_get(m, r->ids[i].handle, &f))
            view = i == 0 ? arena_must_copy(&m->scratch, f.facts) : facts_joined(m, view, f.facts);
    }
    return view;
}
