/* The reads: where a profile or identity is, its view, what is left behind, what was refused. */
#include "state.h"

#include <stdlib.h>

/* --- LOCATE and GET --- */

static void reply_merging(struct machine *m, const struct profile *p, bool want_content,
                          struct arena *arena, struct reply *out)
{
    *out = (struct reply){.status = REPLY_MERGING,
                          .profile = p->id,
                          .other = p->rec.target,
                          .epoch = p->rec.epoch,
                          .created = p->rec.born_merging};
    out->ids = arena_alloc(arena, 2 * sizeof *out->ids);
    struct bytes b = arena_copy(arena, p->rec.evid_b.value);
    struct bytes a = arena_copy(arena, p->rec.evid_a.value);
    if (!out->ids || !b.data || !a.data) {
        reply_fail(out, ERR_NOMEM, "no memory for the reply");
        return;
    }
    out->ids[0] = (struct identity){p->rec.evid_b.ns, b};
    out->ids[1] = (struct identity){p->rec.evid_a.ns, a};
    out->n_ids = 2;
    if (!want_content)
        return;
    struct buf content = {0};
    content_encode(m, p, &content);
    out->content = arena_copy(arena, buf_bytes(&content));
    buf_free(&content);
    if (!out->content.data)
        reply_fail(out, ERR_NOMEM, "no memory for the content");
}

void reply_locate(struct machine *m, const struct profile *p, struct identity id, bool want_content,
                  struct arena *arena, struct reply *out)
{
    const struct record *r = &p->rec;
    bool asked = id.ns != 0;
    ptrdiff_t at = asked ? record_find(r, id) : -1;
    bool content = r->state == PROFILE_LIVE || r->state == PROFILE_MERGING;
    one_id moved = asked && !(content && at >= 0) ? record_moved_to(r, id) : 0;
    if (moved) {
        *out = (struct reply){.status = REPLY_GOTO, .profile = moved};
    } else if (r->state == PROFILE_MERGING && (!asked || at >= 0)) {
        reply_merging(m, p, want_content, arena, out);
    } else if (r->state == PROFILE_REDIRECT) {
        *out = (struct reply){.status = REPLY_GOTO, .profile = r->target};
    } else {
        bool here = r->state == PROFILE_LIVE && (!asked || at >= 0);
        *out = (struct reply){.status = here ? REPLY_HERE : REPLY_ELSE,
                              .profile = p->id,
                              .epoch = r->epoch,
                              .version = here && asked ? r->ids[at].version : 0};
    }
}

static struct identity asked_identity(const struct command *c)
{
    return c->n_ids ? c->ids[0] : (struct identity){0};
}

void read_locate(struct machine *m, const struct command *c, struct arena *arena, struct reply *out)
{
    struct profile p;
    struct entry e;
    if (c->profile == 0) {
        if (c->n_ids && entry_get(m, c->ids[0], &e))
            *out =
                (struct reply){.status = REPLY_KNOWN, .profile = e.profile, .version = e.version};
        else
            *out = (struct reply){.status = REPLY_ABSENT};
    } else if (profile_load(m, c->profile, &p)) {
        reply_locate(m, &p, asked_identity(c), c->want_content, arena, out);
    } else {
        *out = (struct reply){.status = REPLY_ABSENT};
    }
}

static void pack(struct machine *m, struct profile *p, struct arena *arena, struct reply *out)
{
    if (!view_pack(m, p, arena, &out->content))
        reply_fail(out, ERR_NOMEM, "no memory for the profile");
}

void read_get(struct machine *m, const struct command *c, struct arena *arena, struct reply *out)
{
    one_id at = c->profile;
    struct entry e;
    *out = (struct reply){.status = REPLY_ABSENT};
    if (at == 0) {
        if (c->n_ids == 0 || !entry_get(m, c->ids[0], &e))
            return;
        at = e.profile;
    }
    for (int hops = 0; hops < SPLIT_HOPS_MAX; hops++) {
        struct profile p;
        if (!machine_owns(m, slot_of_one_id(at))) {
            *out = (struct reply){.status = REPLY_GOTO, .profile = at};
            return;
        }
        *out = (struct reply){.status = REPLY_ABSENT};
        if (!profile_load(m, at, &p))
            return;
        reply_locate(m, &p, asked_identity(c), false, arena, out);
        if (out->status == REPLY_HERE || out->status == REPLY_MERGING)
            pack(m, &p, arena, out);
        if (out->status != REPLY_GOTO)
            return;
        at = out->profile;
    }
}

/* --- SWEEP --- */

struct sweeping {
    struct machine *m;
    struct arena *arena;
    msec_t now;
    size_t limit;
    struct flight_entry *due; /* collected */
    size_t n;
    msec_t next_due;
};

static int by_age(const void *a, const void *b)
{
    const struct flight_entry *x = a, *y = b;
    if (x->began != y->began)
        return x->began < y->began ? -1 : 1;
    return x->profile < y->profile ? -1 : x->profile > y->profile;
}

/* Keeps a bounded number of tombstones; which ones does not matter, the others stay due. */
static bool sweep_tombstone(void *ctx, struct bytes key, struct bytes value)
{
    struct sweeping *s = ctx;
    struct reader r = reader_of(key);
    msec_t began;
    bool born;
    reader_u8(&r);
    one_id id = reader_be64(&r);
    if (!r.ok || !tombstone_decode(value, &began, &born)) {
        machine_damaged(s->m, "tombstone");
        return true;
    }
    msec_t due = tombstone_due(s->m, began, born);
    if (due < s->next_due)
        s->next_due = due;
    if (due <= s->now && s->n < s->limit)
        s->due[s->n++] = (struct flight_entry){id, began};
    return true;
}

static void sweep_row_of(struct sweeping *s, one_id id, struct sweep_row *out)
{
    struct profile p;
    *out = (struct sweep_row){.kind = SWEEP_TOMBSTONE, .profile = id};
    if (!profile_load(s->m, id, &p))
        return;
    out->ids = arena_zalloc(s->arena, (p.rec.n_ids + 1) * sizeof *out->ids);
    out->absorbed = arena_zalloc(s->arena, (p.rec.n_absorbed + 1) * sizeof *out->absorbed);
    if (!out->ids || !out->absorbed)
        return;
    for (size_t i = 0; i < p.rec.n_ids; i++) {
        struct identity from = p.rec.ids[i].id;
        struct holder *h = &out->ids[out->n_ids++];
        *h = (struct holder){{from.ns, arena_copy(s->arena, from.value)}, p.rec.ids[i].version};
    }
    for (size_t i = 0; i < p.rec.n_absorbed; i++)
        out->absorbed[out->n_absorbed++] = p.rec.absorbed[i];
}

/* The log's clock may be ahead of this one, if a leader's clock once was: what seems to begin in
 * the future has no age that could be waited for. */
static bool is_old(const struct sweeping *s, msec_t began, msec_t age_ms)
{
    return began > s->now || s->now - began >= age_ms;
}

static size_t sweep_merging(struct sweeping *s, msec_t age_ms)
{
    struct flight *f = &s->m->flight;
    size_t n = 0;
    struct flight_entry *old = arena_must(&s->m->scratch, (f->n + 1) * sizeof *old);
    for (size_t i = 0; i < f->cap; i++) {
        if (f->slots[i].profile && is_old(s, f->slots[i].began, age_ms))
            old[n++] = f->slots[i];
    }
    qsort(old, n, sizeof *old, by_age);
    if (n > s->limit)
        n = s->limit;
    for (size_t i = 0; i < n; i++)
        s->due[i] = old[i];
    return n;
}

void read_sweep(struct machine *m, msec_t now_ms, const struct command *c, struct arena *arena,
                struct reply *out)
{
    struct sweeping s = {
        .m = m, .arena = arena, .now = now_ms, .limit = c->limit, .next_due = INT64_MAX};
    *out = (struct reply){.status = REPLY_OK};
    s.due = arena_must(&m->scratch, (s.limit + 1) * sizeof *s.due);
    size_t merging = s.n = sweep_merging(&s, c->age_ms);
    if (s.n < s.limit && now_ms >= m->tombstone_due) {
        store_scan(m->o.store, bytes_of_str("t"), sweep_tombstone, &s);
        m->tombstone_due = s.next_due;
    }
    if (s.n == 0)
        return;
    qsort(s.due + merging, s.n - merging, sizeof *s.due, by_age);
    out->sweeps = arena_zalloc(arena, s.n * sizeof *out->sweeps);
    if (!out->sweeps) {
        reply_fail(out, ERR_NOMEM, "no memory for the reply");
        return;
    }
    out->n_sweeps = s.n;
    for (size_t i = 0; i < s.n; i++) {
        if (i < merging)
            out->sweeps[i] = (struct sweep_row){.kind = SWEEP_MERGING, .profile = s.due[i].profile};
        else
            sweep_row_of(&s, s.due[i].profile, &out->sweeps[i]);
    }
}

/* --- REFUSED --- */

static void copy_refused(struct arena *arena, struct refused_row *row)
{
    row->id.value = arena_copy(arena, row->id.value);
    row->with.value = arena_copy(arena, row->with.value);
    row->message_id = arena_copy(arena, row->message_id);
    row->source = arena_copy(arena, row->source);
}

void read_refused(struct machine *m, const struct command *c, struct arena *arena,
                  struct reply *out)
{
    uint64_t oldest = m->next_refused > REFUSED_KEPT ? m->next_refused - REFUSED_KEPT : 1;
    uint64_t number = c->cursor + 1 > oldest ? c->cursor + 1 : oldest;
    uint64_t left = number < m->next_refused ? m->next_refused - number : 0;
    size_t n = (size_t)(left < c->limit ? left : c->limit);
    *out = (struct reply){.status = REPLY_OK};
    if (n == 0)
        return;
    out->refusals = arena_zalloc(arena, n * sizeof *out->refusals);
    if (!out->refusals) {
        reply_fail(out, ERR_NOMEM, "no memory for the reply");
        return;
    }
    for (; out->n_refusals < n; number++) {
        if (!refused_get(m, number, &out->refusals[out->n_refusals]))
            break;
        copy_refused(arena, &out->refusals[out->n_refusals++]);
    }
    out->cursor = number < m->next_refused ? number - 1 : 0;
}
