/* APPLY: links what this shard alone can link, then counts the event. Links come first, the event
 * last: "the message is recorded" means "its links are settled". */
#include "state.h"

#include <base/hash.h>

struct refused {
    struct skip skip;
    struct identity with; /* what it was not linked with, or the tag */
};

struct applying {
    struct machine *m;
    const struct command *c;
    struct arena *arena;
    struct reply *out;
    struct profile p;
    bool fresh;         /* p is made by this command, and nothing of its record is written yet */
    bool pointer_late;  /* the index entry of ids[0] does not point to p */
    struct bytes facts; /* of the event, with what the machine adds */
    struct behaviour behaviour;
    bool has_behaviour;
    struct fragment fragment; /* of ids[0] */
    struct dedup message_ids; /* of ids[0] */
    struct refused *refused;  /* here, not by the router */
    size_t n_refused, cap_refused;
    struct missing missing[EVENT_IDENTITIES_MAX];
    size_t n_missing;
};

/* --- the event's facts --- */

static void add_totals(struct facts_builder *b, const struct behaviour *e, uint8_t subs[][4])
{
    struct fact last = {
        .kind = FACT_LAST, .name = e->event, .ts = e->ts, .type = FACT_NUMBER, .number = e->day};
    struct fact count = {
        .kind = FACT_TOTAL, .name = e->event, .type = FACT_NUMBER, .number = e->count};
    facts_builder_add(b, &last);
    facts_builder_add(b, &count);
    for (size_t i = 0; i < e->n_fields; i++) {
        if (e->fields[i].type != FIELD_NUMBER)
            continue;
        for (size_t k = 0; k < 4; k++)
            subs[i][k] = (uint8_t)(e->fields[i].id >> 8 * k);
        struct fact sum = {.kind = FACT_TOTAL,
                           .name = e->event,
                           .sub = bytes_of(subs[i], 4),
                           .type = FACT_NUMBER,
                           .number = e->fields[i].number};
        facts_builder_add(b, &sum);
    }
}

static bool make_facts(struct applying *a)
{
    const struct command *c = a->c;
    uint8_t subs[EVENT_FIELDS_MAX][4];
    struct facts_builder b;
    if (c->behaviour.len && !behaviour_decode(c->behaviour, &a->behaviour))
        return false;
    /* Membership is the machine's to say, not an event's. */
    if (facts_has_kind(c->facts, FACT_HAS))
        return false;
    a->has_behaviour = c->behaviour.len > 0;
    facts_builder_init(&b, &a->m->scratch);
    if (c->source.len) {
        struct fact channel = {.kind = FACT_CHANNEL,
                               .sub = c->source,
                               .ts = c->ts,
                               .type = FACT_NUMBER,
                               .number = c->ts};
        facts_builder_add(&b, &channel);
    }
    if (a->has_behaviour)
        add_totals(&b, &a->behaviour, subs);
    buf_reset(&a->m->row);
    if (!facts_builder_finish(&b, &a->m->row))
        return false;
    a->facts = facts_joined(a->m, c->facts, buf_bytes(&a->m->row));
    return true;
}

/* --- which profile --- */

static bool is_skipped(const struct command *c, struct identity id)
{
    for (size_t i = 0; i < c->n_skips; i++) {
        if (identity_equal(c->skips[i].id, id))
            return true;
    }
    return false;
}

static bool answer(struct applying *a, enum reply_status status, one_id profile)
{
    *a->out = (struct reply){.status = status, .profile = profile};
    return false;
}

/* OPEN. The record is not written before it is known whether it stays: while it is fresh, nobody
 * but this command has heard of it. */
static bool open_profile(struct applying *a)
{
    struct machine *m = a->m;
    struct identity i = a->c->ids[0];
    if (is_skipped(a->c, i))
        return answer(a, REPLY_ABSENT, 0);
    a->p = (struct profile){.id = machine_new_one_id(m, slot_of_identity(i), 0)};
    if (a->p.id == 0) {
        reply_fail(a->out, ERR_INTERNAL, "no One-ID left");
        return false;
    }
    a->p.rec.created = m->clock;
    a->fresh = true;
    profile_bind(m, &a->p, i, 0);
    return true;
}

/* Follows `moved` and redirects from `at` to the profile that holds ids[0], inside this shard. */
static bool chase_primary(struct applying *a, one_id at)
{
    struct identity i = a->c->ids[0];
    for (int hops = 0; hops < SPLIT_HOPS_MAX;) {
        if (!machine_owns(a->m, slot_of_one_id(at)))
            return answer(a, REPLY_GOTO, at);
        if (!profile_load(a->m, at, &a->p))
            return answer(a, REPLY_ABSENT, 0);
        const struct record *r = &a->p.rec;
        bool holds = r->state == PROFILE_LIVE || r->state == PROFILE_MERGING;
        if (holds && record_find(r, i) >= 0)
            return true;
        one_id to = record_moved_to(r, i);
        hops += to != 0;
        if (!to && r->state == PROFILE_REDIRECT)
            to = r->target;
        if (!to)
            return answer(a, REPLY_ABSENT, 0);
        at = to;
    }
    reply_fail(a->out, ERR_INTERNAL, "identity pointers run in a circle");
    return false;
}

static bool find_profile(struct applying *a)
{
    struct entry e;
    if (a->c->profile)
        return chase_primary(a, a->c->profile);
    if (!entry_get(a->m, a->c->ids[0], &e))
        return open_profile(a);
    if (!chase_primary(a, e.profile))
        return false;
    a->pointer_late = a->p.id != e.profile;
    return true;
}

/* --- links --- */

static void note_refusal(struct applying *a, struct identity id, struct identity with,
                         enum refusal reason)
{
    if (a->n_refused == a->cap_refused) {
        size_t cap = a->cap_refused ? a->cap_refused * 2 : 8;
        struct refused *more = arena_must(&a->m->scratch, cap * sizeof *more);
        if (a->n_refused)
            memcpy(more, a->refused, a->n_refused * sizeof *more);
        a->refused = more;
        a->cap_refused = cap;
    }
    a->refused[a->n_refused++] = (struct refused){{id, reason}, with};
}

static void refuse_link(struct applying *a, size_t j, enum refusal reason)
{
    note_refusal(a, a->c->ids[j], a->c->ids[0], reason);
}

static void miss(struct applying *a, size_t j, one_id hint)
{
    a->missing[a->n_missing++] = (struct missing){(uint32_t)j, hint};
}

/* An identity that nobody knows, and whose slot is here, comes in directly. It is the same as OPEN,
 * FREEZE, ABSORB, DONE and REPAIR of a profile L of one, all in this entry: no other command comes
 * in between, L's One-ID was never given out, so that nobody can ask for it or send a late copy of
 * one of these steps, and whoever meets the identity later finds the index entry at version 1. */
static void bind_new(struct applying *a, size_t j)
{
    struct identity id = a->c->ids[j];
    enum refusal reason = bind_refusal(a->m, &a->p.rec, id);
    if (reason != REFUSAL_NONE)
        refuse_link(a, j, reason);
    else
        profile_bind(a->m, &a->p, id, 1);
}

static void merge_with(struct applying *a, size_t j, struct profile *q)
{
    struct machine *m = a->m;
    struct profile *p = &a->p;
    /* Nobody has heard of a fresh One-ID, so it goes whatever the order. */
    bool q_wins = a->fresh || q->id < p->id;
    struct profile *winner = q_wins ? q : p, *loser = q_wins ? p : q;
    if (loser->rec.n_outbox > 0) {
        miss(a, j, q->id);
        return;
    }
    enum refusal reason = merge_refusal(m, &winner->rec, &loser->rec);
    if (reason != REFUSAL_NONE) {
        refuse_link(a, j, reason);
        return;
    }
    profile_load_view(m, q);
    if (a->fresh) {
        merge_fresh(m, q, p);
        a->fresh = false;
    } else {
        merge_local(m, winner, loser);
    }
    if (q_wins)
        *p = *q;
}

/* A known identity of another profile: merge if that is here and free, else the router must. */
static void link_known(struct applying *a, size_t j, one_id at)
{
    struct identity id = a->c->ids[j];
    for (int hops = 0; hops < SPLIT_HOPS_MAX;) {
        struct profile q;
        if (at == a->p.id || !machine_owns(a->m, slot_of_one_id(at)) ||
            !profile_load(a->m, at, &q)) {
            miss(a, j, at == a->p.id ? 0 : at);
            return;
        }
        bool holds = record_find(&q.rec, id) >= 0;
        if (holds && q.rec.state == PROFILE_LIVE) {
            merge_with(a, j, &q);
            return;
        }
        one_id to = holds && q.rec.state == PROFILE_MERGING ? 0 : record_moved_to(&q.rec, id);
        hops += to != 0;
        if (!to && q.rec.state == PROFILE_REDIRECT)
            to = q.rec.target;
        if (!to) {
            miss(a, j, at);
            return;
        }
        at = to;
    }
    miss(a, j, 0);
}

static void link_one(struct applying *a, size_t j)
{
    struct identity id = a->c->ids[j];
    struct entry e;
    if (record_find(&a->p.rec, id) >= 0 || is_skipped(a->c, id))
        return;
    if (!machine_owns(a->m, slot_of_identity(id))) {
        miss(a, j, 0);
        return;
    }
    if (!entry_get(a->m, id, &e)) {
        bind_new(a, j);
        return;
    }
    const struct schema_namespace *ns = schema_namespace_by_id(a->m->o.schema, id.ns);
    if (ns && !ns->bridges)
        refuse_link(a, j, REFUSAL_NON_BRIDGING);
    else
        link_known(a, j, e.profile);
}

/* An edge for each pair (primary, other) that is in the profile and was not seen together before.
 */
static void add_edges(struct applying *a)
{
    struct record *r = &a->p.rec;
    ptrdiff_t i = record_find(r, a->c->ids[0]);
    for (size_t j = 1; j < a->c->n_ids; j++) {
        ptrdiff_t k = record_find(r, a->c->ids[j]);
        if (k < 0 || k == i || record_has_edge(r, (size_t)i, (size_t)k))
            continue;
        struct record_edge e = {.a = (uint32_t)i,
                                .b = (uint32_t)k,
                                .message_id = a->c->message_id,
                                .source = a->c->source,
                                .ts = a->c->ts};
        record_add_edge(r, &a->m->scratch, &e);
        a->p.changed = true;
    }
}

static void settle_links(struct applying *a)
{
    for (size_t j = 1; j < a->c->n_ids; j++)
        link_one(a, j);
    if (a->fresh) {
        profile_move(a->m, &a->p, PROFILE_LIVE);
        emit_add(a->m, a->p.id);
    }
    add_edges(a);
    ptrdiff_t i = record_find(&a->p.rec, a->c->ids[0]);
    if (a->pointer_late)
        entry_repair(a->m, a->c->ids[0], (struct entry){a->p.id, a->p.rec.ids[i].version});
}

/* --- tags --- */

static size_t count_tags(struct bytes view)
{
    struct facts_iter it = facts_iter_of(view);
    struct fact f;
    size_t n = 0;
    while (facts_next(&it, &f))
        n += f.kind == FACT_TAG && f.number;
    return n;
}

/* Is the tag on in the view before, and after the event's fact has joined? */
static bool tag_before(struct bytes view, const struct fact *f, bool *after)
{
    struct fact old;
    if (!facts_find(view, FACT_TAG, 0, f->sub, &old)) {
        *after = f->number != 0;
        return false;
    }
    bool wins = f->ts > old.ts || (f->ts == old.ts && f->number);
    *after = wins ? f->number != 0 : old.number != 0;
    return old.number != 0;
}

static size_t count_removed_tags(const struct applying *a)
{
    struct facts_iter it = facts_iter_of(a->facts);
    struct fact f;
    size_t n = 0;
    bool after;
    while (facts_next(&it, &f))
        n += f.kind == FACT_TAG && tag_before(a->p.view, &f, &after) && !after;
    return n;
}

static void note_tag(struct applying *a, struct bytes tag)
{
    size_t len = tag.len < IDENTITY_VALUE_MAX ? tag.len : IDENTITY_VALUE_MAX;
    struct identity with = {0, arena_must_copy(&a->m->scratch, bytes_of(tag.data, len))};
    note_refusal(a, a->c->ids[0], with, REFUSAL_TAG_LIMIT);
}

/* Takes the tags out of the event's facts for which the profile has no room. Those that the event
 * removes make room first; the others are taken in the order of their names. */
static void limit_tags(struct applying *a)
{
    struct facts_builder kept;
    struct facts_iter it = facts_iter_of(a->facts);
    struct fact f;
    bool after, refused = false;
    /* Most profiles are far from the limit: what is known of them is too short for so many tags. */
    enum { TAG_SIZE_MIN = 1 + 4 + 1 + 1 + 1 + 1 };
    size_t most = (a->p.view.len + a->facts.len) / TAG_SIZE_MIN;
    if (most <= a->m->o.schema->tags_max || !facts_has_kind(a->facts, FACT_TAG))
        return;
    size_t n = count_tags(a->p.view) - count_removed_tags(a);
    facts_builder_init(&kept, &a->m->scratch);
    while (facts_next(&it, &f)) {
        bool fresh = f.kind == FACT_TAG && !tag_before(a->p.view, &f, &after) && after;
        if (fresh && n >= a->m->o.schema->tags_max) {
            note_tag(a, f.sub);
            refused = true;
            continue;
        }
        n += fresh;
        facts_builder_add(&kept, &f);
    }
    if (!refused)
        return;
    a->facts = facts_built(a->m, &kept);
}

/* --- the event --- */

static void count_event(struct applying *a, uint64_t message)
{
    struct machine *m = a->m;
    struct profile *p = &a->p;
    uint64_t handle = p->rec.ids[record_find(&p->rec, a->c->ids[0])].handle;
    struct fragment *f = &a->fragment;
    limit_tags(a);
    bool alone = p->rec.n_ids == 1;
    emit_join(m, p, a->facts);
    f->facts = alone ? p->view : facts_joined(m, f->facts, a->facts);
    if (a->has_behaviour) {
        behaviour_add(m, handle, f, &a->behaviour);
        emit_behaviour(m, p->id, &a->behaviour);
    }
    /* Links move the handle, at most; fragment and message ids stay as they were loaded. */
    dedup_add(m, &a->message_ids, f, message);
    fragment_put(m, handle, f);
    m->counters.events++;
    m->dirty = true;
}

static void record_refusal(struct applying *a, const struct skip *s, struct identity with)
{
    struct refused_row row = {.at = a->m->clock,
                              .profile = a->p.id,
                              .id = s->id,
                              .with = with,
                              .reason = s->reason,
                              .message_id = a->c->message_id,
                              .source = a->c->source};
    refused_put(a->m, &row);
    if (a->out->refused)
        a->out->refused[a->out->n_refused++] = *s;
}

/* All that was refused of the message goes to the log of refusals and into the reply: the router's
 * skips, unless somebody else linked them meanwhile, and those found here. */
static void record_refusals(struct applying *a)
{
    size_t n = a->c->n_skips + a->n_refused;
    if (n == 0)
        return;
    a->out->refused = arena_alloc(a->arena, n * sizeof *a->out->refused);
    for (size_t i = 0; i < a->c->n_skips; i++) {
        if (record_find(&a->p.rec, a->c->skips[i].id) < 0)
            record_refusal(a, &a->c->skips[i], a->c->ids[0]);
    }
    for (size_t i = 0; i < a->n_refused; i++)
        record_refusal(a, &a->refused[i].skip, a->refused[i].with);
}

static void reply_missing(struct applying *a)
{
    struct reply *out = a->out;
    *out = (struct reply){
        .status = REPLY_MISSING, .profile = a->p.id, .epoch = a->p.rec.epoch, .created = a->fresh};
    out->missing = arena_alloc(a->arena, a->n_missing * sizeof *out->missing);
    if (!out->missing) {
        reply_fail(out, ERR_NOMEM, "no memory for the reply");
        return;
    }
    memcpy(out->missing, a->missing, a->n_missing * sizeof *out->missing);
    out->n_missing = a->n_missing;
}

/* Why an identity of a message that was counted is not in its profile. An event is counted when
 * each of its identities is linked or refused, so it was refused (or parted by an unlink); the
 * reason is what would be given now. */
static enum refusal reason_of_absence(const struct applying *a, struct identity id)
{
    const struct record *r = &a->p.rec;
    const struct schema_namespace *ns = schema_namespace_by_id(a->m->o.schema, id.ns);
    if (ns && !ns->bridges)
        return REFUSAL_NON_BRIDGING;
    if (bind_refusal(a->m, r, id) == REFUSAL_NONE) {
        for (size_t i = 0; i < r->n_ids; i++) {
            if (r->ids[i].n_tags > 0)
                return REFUSAL_NEVER_LINK;
        }
    }
    return REFUSAL_LIMIT;
}

static void reply_duplicate(struct applying *a)
{
    const struct command *c = a->c;
    const struct record *r = &a->p.rec;
    struct reply *out = a->out;
    *out = (struct reply){.status = REPLY_DUP, .profile = a->p.id, .epoch = r->epoch};
    a->m->counters.duplicates++;
    a->m->dirty = true;
    out->refused = arena_alloc(a->arena, (c->n_skips + c->n_ids) * sizeof *out->refused);
    if (!out->refused)
        return;
    for (size_t i = 0; i < c->n_skips; i++) {
        if (record_find(r, c->skips[i].id) < 0)
            out->refused[out->n_refused++] = c->skips[i];
    }
    for (size_t j = 1; j < c->n_ids; j++) {
        if (record_find(r, c->ids[j]) < 0 && !is_skipped(c, c->ids[j]))
            out->refused[out->n_refused++] =
                (struct skip){c->ids[j], reason_of_absence(a, c->ids[j])};
    }
}

/* True when the message was counted before, or nothing can be said now. */
static bool is_answered(struct applying *a, uint64_t message)
{
    const struct record *r = &a->p.rec;
    uint64_t handle = r->ids[record_find(r, a->c->ids[0])].handle;
    if (!fragment_get(a->m, handle, &a->fragment))
        return true;
    dedup_load(a->m, handle, &a->fragment, &a->message_ids);
    if (dedup_has(a->m, &a->message_ids, message)) {
        reply_duplicate(a);
        return true;
    }
    if (r->state != PROFILE_MERGING)
        return false;
    reply_locate(a->m, &a->p, a->c->ids[0], a->c->want_content, a->arena, a->out);
    return true;
}

void apply_event(struct machine *m, const struct command *c, struct arena *arena, struct reply *out)
{
    struct applying a;
    memset(&a, 0, offsetof(struct applying, missing));
    a.n_missing = 0;
    a.m = m;
    a.c = c;
    a.arena = arena;
    a.out = out;
    if (!make_facts(&a)) {
        reply_fail(out, ERR_MALFORMED, "facts or behaviour of the event");
        return;
    }
    uint64_t message = hash64(c->message_id);
    if (!find_profile(&a) || is_answered(&a, message))
        return;
    if (!a.fresh && a.p.rec.n_ids == 1)
        profile_view_is(m, &a.p, a.fragment.facts);
    else if (!a.fresh)
        profile_load_view(m, &a.p);
    settle_links(&a);
    if (a.n_missing) {
        emit_view(m, &a.p);
        reply_missing(&a);
    } else {
        *out = (struct reply){
            .status = REPLY_OK, .profile = a.p.id, .epoch = a.p.rec.epoch, .created = a.fresh};
        count_event(&a, message);
        record_refusals(&a);
    }
    profile_save(m, &a.p);
}
