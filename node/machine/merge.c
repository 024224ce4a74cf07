/* The merge protocol: CLAIM, FREEZE, ABSORB, DONE, ABORT, and merges inside one shard. The order of
 * the tests in ABSORB is the protocol's; docs/protocol.md says what each one is for. */
#include "state.h"

#include <assert.h>

/* --- may they come together? --- */

static uint32_t limit_of(const struct machine *m, name_id ns)
{
    const struct schema_namespace *n = schema_namespace_by_id(m->o.schema, ns);
    return n ? n->limit : UINT32_MAX;
}

static size_t count_of(const struct record *r, name_id ns)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_ids; i++)
        n += r->ids[i].id.ns == ns;
    return n;
}

/* Only what `l` brings is tested: a profile that is over a limit already (the limit was lowered)
 * may still take identities of other namespaces. */
static bool breaks_limit(const struct machine *m, const struct record *w, const struct record *l)
{
    name_id last = 0;
    for (size_t i = 0; i < l->n_ids; i++) {
        name_id ns = l->ids[i].id.ns;
        if (ns != last && count_of(w, ns) + count_of(l, ns) > limit_of(m, ns))
            return true;
        last = ns;
    }
    return false;
}

static bool has_other_side(const struct record *r, const struct never_link *tag)
{
    for (size_t i = 0; i < r->n_ids; i++) {
        for (size_t k = 0; k < r->ids[i].n_tags; k++) {
            const struct never_link *t = &r->ids[i].tags[k];
            if (t->sid == tag->sid && t->side != tag->side)
                return true;
        }
    }
    return false;
}

static bool breaks_never_link(const struct record *w, const struct record *l)
{
    for (size_t i = 0; i < l->n_ids; i++) {
        for (size_t k = 0; k < l->ids[i].n_tags; k++) {
            if (has_other_side(w, &l->ids[i].tags[k]))
                return true;
        }
    }
    return false;
}

enum refusal merge_refusal(const struct machine *m, const struct record *w, const struct record *l)
{
    if (breaks_never_link(w, l))
        return REFUSAL_NEVER_LINK;
    return breaks_limit(m, w, l) ? REFUSAL_LIMIT : REFUSAL_NONE;
}

enum refusal bind_refusal(const struct machine *m, const struct record *w, struct identity id)
{
    return count_of(w, id.ns) >= limit_of(m, id.ns) ? REFUSAL_LIMIT : REFUSAL_NONE;
}

/* --- taking over --- */

/* The loser's identities under the winner, one version on. Their fragments stay under their
 * handles, which are the winner's from here on. */
static void take_over(struct machine *m, struct profile *w, const struct record *l)
{
    uint32_t base = (uint32_t)w->rec.n_ids;
    for (size_t i = 0; i < l->n_ids; i++) {
        struct record_id id = l->ids[i];
        id.version++;
        record_add_id(&w->rec, &m->scratch, &id);
        record_clear_moved(&w->rec, id.id);
        if (machine_owns(m, slot_of_identity(id.id)))
            entry_repair(m, id.id, (struct entry){w->id, id.version});
    }
    for (size_t i = 0; i < l->n_edges; i++) {
        struct record_edge e = l->edges[i];
        e.a += base;
        e.b += base;
        record_add_edge(&w->rec, &m->scratch, &e);
    }
    w->changed = true;
}

void merge_local(struct machine *m, struct profile *w, struct profile *l)
{
    assert(w->id < l->id && l->rec.n_outbox == 0);
    emit_remove(m, l->id);
    profile_set_view(w, facts_joined(m, w->view, l->view));
    take_over(m, w, &l->rec);
    record_add_absorbed(&w->rec, &m->scratch, l->id);
    for (size_t i = 0; i < l->rec.n_ids; i++) {
        emit_fragment(m, w->id, l->rec.ids[i].handle);
        l->rec.ids[i].handle = 0;
    }
    l->rec.epoch++;
    l->rec.target = w->id;
    profile_move(m, l, PROFILE_REDIRECT);
    profile_save(m, l);
    m->counters.merges++;
}

void merge_fresh(struct machine *m, struct profile *w, struct profile *fresh)
{
    assert(fresh->rec.state == PROFILE_ABSENT);
    profile_set_view(w, facts_joined(m, w->view, fresh->view));
    take_over(m, w, &fresh->rec);
}

/* --- CLAIM and FREEZE --- */

/* What the profile would take along, or nothing when that is more than a message may carry: a merge
 * that cannot be finished must not begin. */
static bool encode_content(struct machine *m, const struct profile *p, struct buf *out)
{
    size_t max = m->o.content_max ? m->o.content_max : CONTENT_MAX;
    content_encode(m, p, out);
    return out->len <= max;
}

void merge_claim(struct machine *m, const struct command *c, struct reply *out)
{
    struct identity i = c->ids[0];
    struct entry e;
    if (entry_get(m, i, &e)) {
        *out = (struct reply){.status = REPLY_KNOWN, .profile = e.profile, .version = e.version};
        return;
    }
    struct profile l = {.id = machine_new_one_id(m, slot_of_identity(i), c->profile)};
    if (l.id <= c->profile) {
        reply_fail(out, ERR_INVALID, "the target's One-ID is out of range");
        return;
    }
    l.rec = (struct record){.born_merging = true,
                            .epoch = 1,
                            .created = m->clock,
                            .target = c->profile,
                            .evid_b = i,
                            .evid_a = c->ids[1]};
    profile_bind(m, &l, i, 0);
    profile_move(m, &l, PROFILE_MERGING);
    profile_save(m, &l);
    *out = (struct reply){
        .status = REPLY_CLAIMED, .profile = l.id, .other = c->profile, .epoch = l.rec.epoch};
}

static bool may_freeze(const struct profile *l, const struct command *c)
{
    const struct record *r = &l->rec;
    return r->state == PROFILE_LIVE && r->epoch == c->epoch && c->other != 0 && c->other < l->id &&
           r->n_outbox == 0 && record_find(r, c->ids[0]) >= 0;
}

void merge_freeze(struct machine *m, const struct command *c, struct arena *arena,
                  struct reply *out)
{
    struct profile l;
    if (!profile_load(m, c->profile, &l)) {
        out->status = REPLY_ABSENT;
        return;
    }
    if (!may_freeze(&l, c)) {
        reply_locate(m, &l, c->ids[0], c->want_content, arena, out);
        return;
    }
    struct buf content = {0};
    if (!encode_content(m, &l, &content)) {
        *out =
            (struct reply){.status = REPLY_REFUSED, .profile = l.id, .reason = REFUSAL_TOO_LARGE};
        buf_free(&content);
        return;
    }
    l.rec.epoch++;
    l.rec.target = c->other;
    l.rec.evid_b = c->ids[0];
    l.rec.evid_a = c->ids[1];
    emit_remove(m, l.id);
    profile_move(m, &l, PROFILE_MERGING);
    profile_save(m, &l);
    *out = (struct reply){
        .status = REPLY_FROZEN, .profile = l.id, .other = c->other, .epoch = l.rec.epoch};
    out->content = arena_copy(arena, buf_bytes(&content));
    buf_free(&content);
    if (!out->content.data)
        reply_fail(out, ERR_NOMEM, "no memory for the content");
}

/* --- ABSORB --- */

/* A record of the loser as it arrives here, its fragments under handles of this shard. */
static struct record install(struct machine *m, const struct content *content)
{
    struct record l = {.edges = content->edges, .n_edges = content->n_edges};
    for (size_t i = 0; i < content->n_ids; i++) {
        const struct content_id *from = &content->ids[i];
        struct record_id id = {.id = from->id,
                               .version = from->version,
                               .handle = machine_new_handle(m),
                               .tags = from->tags,
                               .n_tags = from->n_tags};
        struct fragment f = {.facts = from->facts, .n_buckets = from->n_rows};
        f.buckets = arena_must(&m->scratch, from->n_rows * sizeof *f.buckets);
        for (size_t k = 0; k < from->n_rows; k++) {
            f.buckets[k] = from->rows[k].bucket;
            behaviour_row_put(m, id.handle, from->rows[k].bucket, from->rows[k].row);
        }
        dedup_import(m, id.handle, &f, from->message_ids);
        fragment_put(m, id.handle, &f);
        record_add_id(&l, &m->scratch, &id);
    }
    return l;
}

/* For the tests only: no handles yet. */
static struct record record_of_content(struct machine *m, const struct content *content)
{
    struct record l = {0};
    for (size_t i = 0; i < content->n_ids; i++) {
        struct record_id id = {.id = content->ids[i].id,
                               .tags = content->ids[i].tags,
                               .n_tags = content->ids[i].n_tags};
        record_add_id(&l, &m->scratch, &id);
    }
    return l;
}

static struct bytes fold_content(struct machine *m, struct bytes view, const struct content *c)
{
    for (size_t i = 0; i < c->n_ids; i++)
        view = facts_joined(m, view, c->ids[i].facts);
    return view;
}

/* The evidence for the merge: b, which came, was seen with a. Who only finishes a merge for
 * somebody else cannot say by which message: then the event's own APPLY adds the edge. */
static void add_evidence(struct machine *m, struct profile *w, const struct command *c)
{
    if (c->message_id.len == 0)
        return;
    ptrdiff_t a = record_find(&w->rec, c->ids[0]), b = record_find(&w->rec, c->ids[1]);
    if (a < 0 || b < 0 || a == b || record_has_edge(&w->rec, (size_t)a, (size_t)b))
        return;
    struct record_edge e = {.a = (uint32_t)a,
                            .b = (uint32_t)b,
                            .message_id = c->message_id,
                            .source = c->source,
                            .ts = c->ts};
    record_add_edge(&w->rec, &m->scratch, &e);
    w->changed = true;
}

static void reply_absorbed(const struct profile *w, const struct content *content,
                           struct arena *arena, struct reply *out)
{
    size_t n = content->n_ids < HOLDERS_MAX ? content->n_ids : HOLDERS_MAX;
    *out = (struct reply){.status = REPLY_ABSORBED, .profile = w->id, .epoch = w->rec.epoch};
    if (n == 0)
        return;
    out->holders = arena_alloc(arena, n * sizeof *out->holders);
    for (size_t i = 0; out->holders && i < n; i++) {
        ptrdiff_t at = record_find(&w->rec, content->ids[i].id);
        if (at < 0)
            continue;
        /* The command's bytes outlive the reply; the record's do not. */
        out->holders[out->n_holders++] =
            (struct holder){content->ids[i].id, w->rec.ids[at].version};
    }
}

static void refuse(struct machine *m, struct profile *w, const struct command *c,
                   enum refusal reason, struct reply *out)
{
    struct record_fence f = {.loser = c->other, .epoch = c->epoch, .reason = (uint8_t)reason};
    record_set_fence(&w->rec, &m->scratch, &f);
    w->changed = true;
    profile_save(m, w);
    *out = (struct reply){.status = reason == REFUSAL_NONE ? REPLY_STALE : REPLY_REFUSED,
                          .profile = w->id,
                          .reason = reason};
}

/* A profile that cannot take anything any more, or answered this attempt before. */
static bool is_settled(const struct profile *w, const struct command *c, struct reply *out)
{
    const struct record_fence *fence = record_fence_of(&w->rec, c->other, c->epoch);
    if (fence) {
        *out = (struct reply){.status = fence->reason ? REPLY_REFUSED : REPLY_STALE,
                              .profile = w->id,
                              .reason = (enum refusal)fence->reason};
        return true;
    }
    if (w->rec.state == PROFILE_MERGING) {
        *out = (struct reply){
            .status = REPLY_BUSY, .profile = w->id, .other = w->rec.target, .epoch = w->rec.epoch};
        return true;
    }
    if (w->rec.state != PROFILE_LIVE) {
        *out = (struct reply){.status = REPLY_STALE, .profile = w->id};
        return true;
    }
    return false;
}

static bool take_content(struct machine *m, const struct command *c, struct content *out)
{
    if (c->content.len > 0)
        return content_decode(m, c->content, out);
    if (c->epoch != 1)
        return false;
    content_of_claim(m, c->ids[1], out);
    return true;
}

/* An identity has one holder, so none of the loser's is here. */
static bool is_disjoint(const struct record *w, const struct record *l)
{
    for (size_t i = 0; i < l->n_ids; i++) {
        if (record_find(w, l->ids[i].id) >= 0)
            return false;
    }
    return true;
}

static void absorb(struct machine *m, struct profile *w, const struct command *c,
                   const struct content *content)
{
    struct record l = install(m, content);
    profile_load_view(m, w);
    profile_set_view(w, fold_content(m, w->view, content));
    take_over(m, w, &l);
    record_add_absorbed(&w->rec, &m->scratch, c->other);
    add_evidence(m, w, c);
    emit_view(m, w);
    for (size_t i = 0; i < l.n_ids; i++)
        emit_fragment(m, w->id, l.ids[i].handle);
    profile_save(m, w);
    m->counters.identities += l.n_ids;
    /* A profile born merging never was anybody's One-ID. */
    m->counters.merges += !content->born_merging;
    m->dirty = true;
}

void merge_absorb(struct machine *m, const struct command *c, struct arena *arena,
                  struct reply *out)
{
    struct profile w;
    struct content content = {0};
    if (!profile_load(m, c->profile, &w)) {
        *out = (struct reply){.status = REPLY_STALE, .profile = c->profile};
        return;
    }
    if (record_has_absorbed(&w.rec, c->other)) {
        if (!take_content(m, c, &content))
            content.n_ids = 0;
        reply_absorbed(&w, &content, arena, out);
        return;
    }
    if (is_settled(&w, c, out))
        return;
    if (record_find(&w.rec, c->ids[0]) < 0) {
        refuse(m, &w, c, REFUSAL_NONE, out);
        return;
    }
    if (!take_content(m, c, &content)) {
        reply_fail(out, ERR_MALFORMED, "content of the profile to absorb");
        return;
    }
    struct record l = record_of_content(m, &content);
    if (!is_disjoint(&w.rec, &l) || c->other <= w.id) {
        reply_fail(out, ERR_INVALID, "the profile cannot be absorbed here");
        return;
    }
    enum refusal reason = merge_refusal(m, &w.rec, &l);
    if (reason != REFUSAL_NONE) {
        refuse(m, &w, c, reason, out);
        return;
    }
    absorb(m, &w, c, &content);
    reply_absorbed(&w, &content, arena, out);
}

/* --- DONE and ABORT --- */

static bool is_merging_at(const struct profile *l, const struct command *c)
{
    return l->rec.state == PROFILE_MERGING && l->rec.epoch == c->epoch;
}

/* A claim that came to its end needs no tombstone: nobody was told its One-ID (readers are sent on
 * to the target, see router/saga/read.c), nothing was merged into it, and the only pointer to it,
 * which is in this shard, has gone on. */
static bool may_be_forgotten(struct machine *m, const struct profile *l)
{
    const struct record *r = &l->rec;
    struct entry e;
    return r->born_merging && r->n_ids == 1 && r->n_absorbed == 0 &&
           machine_owns(m, slot_of_identity(r->ids[0].id)) && entry_get(m, r->ids[0].id, &e) &&
           e.version > r->ids[0].version;
}

void merge_done(struct machine *m, const struct command *c, struct reply *out)
{
    struct profile l;
    *out = (struct reply){.status = REPLY_OK, .profile = c->profile};
    if (!profile_load(m, c->profile, &l) || !is_merging_at(&l, c))
        return;
    profile_move(m, &l, may_be_forgotten(m, &l) ? PROFILE_ABSENT : PROFILE_REDIRECT);
    profile_save(m, &l);
}

void merge_abort(struct machine *m, const struct command *c, struct reply *out)
{
    struct profile l;
    *out = (struct reply){.status = REPLY_OK, .profile = c->profile};
    if (!profile_load(m, c->profile, &l) || !is_merging_at(&l, c))
        return;
    profile_move(m, &l, PROFILE_LIVE);
    profile_load_view(m, &l);
    emit_profile(m, &l);
    profile_save(m, &l);
}
