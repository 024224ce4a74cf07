#include "internal.h"

/* Reads never write: they follow the index, `moved` and redirects. A profile that is merging has
 * everything up to its freeze; its target has all of that and more once it has absorbed it. So the
 * snapshot of the former is kept, and the target asked. */

static void ask(struct saga *s)
{
    struct read *d = &s->u.read;
    struct command *c =
        saga_command(s, d->in.want_profile ? COMMAND_GET : COMMAND_LOCATE, d->profile);

    if (d->id.value.len > 0) {
        c->ids = saga_alloc(s, sizeof *c->ids);
        c->ids[0] = d->id;
        c->n_ids = 1;
    }
    saga_move(s, STATE_READ);
    saga_send(s, CALL_READ, 0, d->profile ? slot_of_one_id(d->profile) : slot_of_identity(d->id),
              c);
}

static bool is_by_identity(const struct read *d)
{
    return d->in.id.value.len > 0;
}

void read_start(struct saga *s, const struct saga_read *in)
{
    struct read *d = &s->u.read;

    *d =
        (struct read){.in = *in, .id = in->id, .profile = in->profile, .is_stale_ok = in->stale_ok};
    d->hinted = is_by_identity(d) && in->profile != 0;
    if (!is_by_identity(d) && in->profile == 0) {
        saga_fail(s, ERR_NOT_FOUND);
        return;
    }
    ask(s);
}

void read_resume(struct saga *s)
{
    ask(s);
}

static void answer(struct saga *s, one_id profile, struct bytes content)
{
    s->answer = (struct saga_answer){
        .code = ERR_OK, .profile = profile, .content = content, .age_ms = s->u.read.age_ms};
    saga_answer(s);
    saga_end(s);
}

static void answer_here(struct saga *s, const struct reply *r)
{
    struct read *d = &s->u.read;
    one_id profile = r->profile ? r->profile : d->profile;

    if (is_by_identity(d) && profile != d->in.profile)
        saga_learn(s, d->in.id, profile);
    answer(s, profile, r->content);
}

static void from_the_start(struct saga *s)
{
    struct read *d = &s->u.read;

    d->profile = is_by_identity(d) ? 0 : d->in.profile;
    d->id = d->in.id;
    d->has_snapshot = d->is_claim = false;
    d->hops = 0;
    d->restarts++;
    d->is_stale_ok = false; /* replicas that are not equally old may contradict each other */
    d->age_ms = 0;
    saga_back_off(s, STATE_READ_BACKOFF, d->restarts);
}

static void go_to(struct saga *s, one_id profile)
{
    struct read *d = &s->u.read;

    if (profile == 0 || profile == d->profile || ++d->hops > HOPS_MAX) {
        from_the_start(s);
        return;
    }
    d->profile = profile;
    ask(s);
}

static void on_merging(struct saga *s, const struct reply *r)
{
    struct read *d = &s->u.read;

    /* A claim is nobody's profile before its target has absorbed it, and its One-ID is never told:
     * what was claimed is not acknowledged yet, so there is nothing to show. */
    if (r->created) {
        d->is_claim = true;
    } else {
        d->has_snapshot = true;
        d->snapshot_profile = r->profile ? r->profile : d->profile;
        d->snapshot = saga_copy(s, r->content);
    }
    if (d->has_snapshot && d->gone && r->other == d->gone) {
        answer(s, d->snapshot_profile, d->snapshot);
        return;
    }
    if (d->id.value.len == 0 && r->n_ids > 0)
        d->id = saga_copy_identity(s, r->ids[0]);
    d->hinted = false;
    go_to(s, r->other);
}

/* Nobody there, or somebody who does not hold it. */
static void on_lost(struct saga *s, const struct reply *r)
{
    struct read *d = &s->u.read;

    if (d->is_stale_ok) {
        from_the_start(s);
        return;
    }
    if (d->has_snapshot && r->status != REPLY_ABSENT) {
        answer(s, d->snapshot_profile, d->snapshot);
        return;
    }
    /* A target that is gone may have absorbed the profile before, and handed all on. It had not if
     * the profile, asked again, is still merging into it: nobody goes before what it absorbed. */
    if (d->has_snapshot) {
        d->gone = d->profile;
        from_the_start(s);
        return;
    }
    if (d->is_claim && r->status == REPLY_ELSE) {
        saga_fail(s, ERR_NOT_FOUND);
        return;
    }
    if (d->hinted) {
        saga_forget(s, d->in.id, d->in.profile);
        d->hinted = false;
        d->profile = 0;
        d->hops = 0;
        ask(s);
        return;
    }
    if (r->status == REPLY_ABSENT && (d->profile == 0 || !is_by_identity(d))) {
        saga_fail(s, ERR_NOT_FOUND);
        return;
    }
    from_the_start(s);
}

void read_on_reply(struct saga *s, const struct reply *r)
{
    struct read *d = &s->u.read;

    if (r->age_ms > d->age_ms)
        d->age_ms = r->age_ms;
    switch ((int)r->status) {
    case REPLY_HERE:
        answer_here(s, r);
        break;
    case REPLY_KNOWN:
        d->hinted = false;
        go_to(s, r->profile);
        break;
    case REPLY_GOTO:
        go_to(s, r->profile);
        break;
    case REPLY_MERGING:
        on_merging(s, r);
        break;
    default:
        on_lost(s, r);
        break;
    }
}
