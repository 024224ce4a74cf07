#include "internal.h"

#include <assert.h>

/* Bringing the missing identities into the profile. A round looks at all of them in parallel: one
 * that is new is claimed (born merging into the profile), one in a younger profile is frozen into
 * the profile, both with one command; then all are absorbed and the event is applied in one batch.
 * Where an older profile holds one, the profile itself is frozen into the oldest such, and the next
 * round goes on there. */

static bool is_bridging(const struct ingest *g, uint32_t id)
{
    return id < g->in.n_bridging;
}

static void put_evidence(struct saga *s, struct command *c, struct identity first,
                         struct identity second)
{
    const struct ingest *g = &s->u.ingest;

    c->ids = saga_alloc(s, 2 * sizeof *c->ids);
    c->ids[0] = first;
    c->ids[1] = second;
    c->n_ids = 2;
    c->message_id = g->in.message_id;
    c->ts = g->in.ts;
    c->source = g->in.source;
}

static uint32_t link_number(const struct ingest *g, const struct link *l)
{
    return (uint32_t)(l - g->links);
}

static void claim(struct saga *s, struct link *l)
{
    struct ingest *g = &s->u.ingest;
    struct command *c = saga_command(s, COMMAND_CLAIM, g->profile);

    l->hinted = false;
    put_evidence(s, c, g->in.ids[l->id], g->in.ids[0]);
    saga_send(s, CALL_LINK, link_number(g, l), slot_of_identity(g->in.ids[l->id]), c);
}

static void locate(struct saga *s, struct link *l)
{
    struct ingest *g = &s->u.ingest;
    struct command *c = saga_command(s, COMMAND_LOCATE, l->holder);

    c->ids = saga_alloc(s, sizeof *c->ids);
    c->ids[0] = g->in.ids[l->id];
    c->n_ids = 1;
    saga_send(s, CALL_LINK, link_number(g, l), slot_of_one_id(l->holder), c);
}

static void freeze(struct saga *s, struct link *l)
{
    struct ingest *g = &s->u.ingest;
    struct command *c = saga_command(s, COMMAND_FREEZE, l->holder);

    c->epoch = l->epoch;
    c->other = g->profile;
    c->want_content = true;
    put_evidence(s, c, g->in.ids[l->id], g->in.ids[0]);
    saga_send(s, CALL_LINK, link_number(g, l), slot_of_one_id(l->holder), c);
}

/* A younger holder is frozen without a look at it first: nearly all profiles were never frozen
 * before, and the answer names the epoch where this guess was wrong. */
static void ask(struct saga *s, struct link *l, one_id holder)
{
    struct ingest *g = &s->u.ingest;

    l->state = LINK_ASKED;
    l->holder = holder;
    l->epoch = 0;
    if (holder == g->profile || !saga_has_room(s, 1)) {
        l->state = LINK_AGAIN;
        return;
    }
    if (is_bridging(g, l->id) && holder > g->profile)
        freeze(s, l);
    else
        locate(s, l);
}

void link_begin(struct saga *s)
{
    struct ingest *g = &s->u.ingest;
    uint32_t n = 0;

    for (uint32_t k = 0; k < g->n_links; k++) { /* a refusal may have come in beside MISSING */
        if (g->skip[g->links[k].id] == REFUSAL_NONE)
            g->links[n++] = g->links[k];
    }
    g->n_links = n;
    if (n == 0) {
        ingest_again(s);
        return;
    }
    saga_move(s, STATE_LINK);
    for (uint32_t k = 0; k < n; k++) {
        struct link *l = &g->links[k];
        one_id cached = g->in.hints ? g->in.hints[l->id] : 0;
        if (l->holder == 0 && cached != g->profile) {
            l->holder = cached;
            l->hinted = cached != 0;
        }
        if (l->holder == 0 || l->holder == g->profile)
            claim(s, l);
        else
            ask(s, l, l->holder);
    }
}

static void on_here(struct saga *s, struct link *l, const struct command *asked,
                    const struct reply *r)
{
    struct ingest *g = &s->u.ingest;

    if (asked->type == COMMAND_FREEZE) {
        l->epoch = r->epoch;
        if (r->epoch == asked->epoch || ++l->hops > HOPS_MAX || !saga_has_room(s, 1))
            l->state = LINK_AGAIN;
        else
            freeze(s, l);
    } else if (!is_bridging(g, l->id)) {
        l->state = LINK_SKIPPED;
        g->skip[l->id] = REFUSAL_NON_BRIDGING;
    } else {
        l->epoch = r->epoch;
        l->state = l->holder < g->profile ? LINK_LOWER : LINK_AGAIN;
    }
}

/* Nobody there, or somebody who does not have it. */
static void on_lost(struct saga *s, struct link *l)
{
    struct ingest *g = &s->u.ingest;

    if (!l->hinted || !saga_has_room(s, 1)) {
        l->state = LINK_AGAIN;
        return;
    }
    saga_forget(s, g->in.ids[l->id], g->in.hints[l->id]);
    claim(s, l);
}

static void on_known(struct saga *s, struct link *l, one_id holder)
{
    l->hinted = false;
    if (holder == 0 || ++l->hops > HOPS_MAX)
        l->state = LINK_AGAIN;
    else
        ask(s, l, holder);
}

void link_on_reply(struct saga *s, struct link *l, const struct command *asked,
                   const struct reply *r)
{
    if (r->status == REPLY_CLAIMED && asked->type == COMMAND_CLAIM) {
        l->state = LINK_CLAIMED;
        l->holder = r->profile;
        l->epoch = r->epoch;
        l->content = bytes_of(NULL, 0);
    } else if (r->status == REPLY_FROZEN && asked->type == COMMAND_FREEZE) {
        l->state = LINK_FROZEN;
        l->epoch = r->epoch;
        l->content = saga_copy(s, r->content);
    } else if (r->status == REPLY_REFUSED) { /* FREEZE: too large to travel */
        s->u.ingest.skip[l->id] = (uint8_t)r->reason;
        l->state = LINK_SKIPPED;
    } else if (r->status == REPLY_KNOWN) {
        on_known(s, l, r->profile);
    } else if (r->status == REPLY_HERE) {
        on_here(s, l, asked, r);
    } else if (r->status == REPLY_GOTO) {
        if (r->profile == 0 || ++l->hops > HOPS_MAX)
            l->state = LINK_AGAIN;
        else
            ask(s, l, r->profile);
    } else if (r->status == REPLY_MERGING) {
        l->state = LINK_MERGING;
    } else if (asked->type == COMMAND_CLAIM) {
        l->state = LINK_AGAIN;
    } else {
        on_lost(s, l);
    }
}

static void add_loser(struct ingest *g, const struct link *l)
{
    g->losers[g->n_losers++] = (struct loser){.profile = l->holder,
                                              .winner = g->profile,
                                              .id = l->id,
                                              .epoch = l->epoch,
                                              .a = g->in.ids[0],
                                              .b = g->in.ids[l->id],
                                              .content = l->content};
}

static void send_absorb(struct saga *s, uint32_t at)
{
    const struct loser *l = &s->u.ingest.losers[at];
    struct command *c = saga_command(s, COMMAND_ABSORB, l->winner);

    c->other = l->profile;
    c->epoch = l->epoch;
    c->content = l->content;
    put_evidence(s, c, l->a, l->b);
    saga_send(s, CALL_ABSORB, at, slot_of_one_id(l->winner), c);
}

static void absorb_all(struct saga *s, bool with_apply)
{
    struct ingest *g = &s->u.ingest;

    saga_move(s, STATE_ABSORB);
    g->with_apply = with_apply;
    for (uint32_t k = 0; k < g->n_losers; k++)
        send_absorb(s, k);
    if (with_apply)
        ingest_send_apply(s);
}

static bool is_loser(const struct ingest *g, one_id profile)
{
    for (uint32_t k = 0; k < g->n_losers; k++) {
        if (g->losers[k].profile == profile)
            return true;
    }
    return false;
}

/* What the round found that cannot be absorbed into the profile now. */
struct rest {
    bool has_lower, again;
    uint32_t lower; /* the link with the oldest holder */
    one_id merging; /* 0: none */
};

static struct rest rest_of_round(const struct ingest *g)
{
    struct rest rest = {0};

    for (uint32_t k = 0; k < g->n_links; k++) {
        const struct link *l = &g->links[k];
        if (l->state == LINK_AGAIN)
            rest.again = true;
        else if (l->state == LINK_MERGING)
            rest.merging = l->holder;
        else if (l->state == LINK_LOWER &&
                 (!rest.has_lower || l->holder < g->links[rest.lower].holder)) {
            rest.has_lower = true;
            rest.lower = k;
        }
    }
    return rest;
}

static void freeze_self(struct saga *s)
{
    struct ingest *g = &s->u.ingest;
    const struct link *l = &g->links[g->lower];
    struct command *c = saga_command(s, COMMAND_FREEZE, g->profile);

    saga_move(s, STATE_FREEZE);
    c->epoch = g->epoch;
    c->other = l->holder;
    c->want_content = true;
    put_evidence(s, c, g->in.ids[0], g->in.ids[l->id]);
    saga_send(s, CALL_FREEZE, 0, slot_of_one_id(g->profile), c);
}

static void after_links(struct saga *s)
{
    struct ingest *g = &s->u.ingest;
    struct rest rest = rest_of_round(g);

    if (rest.has_lower) {
        g->lower = rest.lower;
        g->freezes = 0;
        freeze_self(s);
    } else if (rest.merging) {
        help_start(s, rest.merging);
    } else if (rest.again) {
        ingest_again(s);
    } else {
        ingest_apply(s);
    }
}

void link_settle(struct saga *s)
{
    struct ingest *g = &s->u.ingest;
    struct rest rest;

    g->n_losers = 0;
    for (uint32_t k = 0; k < g->n_links; k++) {
        if (g->links[k].state == LINK_CLAIMED || g->links[k].state == LINK_FROZEN)
            add_loser(g, &g->links[k]);
    }
    for (uint32_t k = 0; k < g->n_links; k++) { /* two identities of one profile: frozen once */
        if (g->links[k].state == LINK_MERGING && is_loser(g, g->links[k].holder))
            g->links[k].state = LINK_AGAIN;
    }
    rest = rest_of_round(g);
    if (g->n_losers > 0)
        absorb_all(s, !rest.has_lower && !rest.merging);
    else
        after_links(s);
}

static void add_self(struct saga *s, const struct reply *r)
{
    struct ingest *g = &s->u.ingest;
    const struct link *l = &g->links[g->lower];

    g->losers[0] = (struct loser){.profile = g->profile,
                                  .winner = l->holder,
                                  .id = l->id,
                                  .epoch = r->epoch,
                                  .a = g->in.ids[l->id],
                                  .b = g->in.ids[0],
                                  .content = saga_copy(s, r->content)};
    g->n_losers = 1;
}

void link_on_frozen_self(struct saga *s, const struct reply *r)
{
    struct ingest *g = &s->u.ingest;

    g->self = SELF_MOVED;
    if (r->status == REPLY_FROZEN) {
        add_self(s, r);
        g->self = SELF_FROZEN;
    } else if (r->status ==
               REPLY_REFUSED) { /* too large to travel: APPLY goes on without the link */
        g->skip[g->links[g->lower].id] = (uint8_t)r->reason;
    } else if (r->status == REPLY_HERE && r->epoch != g->epoch && ++g->freezes < HOPS_MAX) {
        g->epoch = r->epoch;
        g->self = SELF_OTHER_EPOCH;
    } else if (r->status == REPLY_MERGING) {
        g->self = SELF_MERGING;
    }
}

void link_self_settle(struct saga *s)
{
    struct ingest *g = &s->u.ingest;

    switch (g->self) {
    case SELF_FROZEN:
        g->profile = g->losers[0].winner;
        absorb_all(s, true);
        break;
    case SELF_OTHER_EPOCH:
        freeze_self(s);
        break;
    case SELF_MERGING:
        help_start(s, g->profile);
        break;
    case SELF_MOVED: /* APPLY says where */
        ingest_again(s);
        break;
    }
}

void link_on_absorb(struct saga *s, struct loser *l, const struct reply *r)
{
    l->status = r->status;
    if (r->status == REPLY_ABSORBED) {
        closing_add(s, l->profile, l->winner, l->epoch, r);
    } else if (r->status == REPLY_REFUSED) {
        s->u.ingest.skip[l->id] = (uint8_t)(r->reason == REFUSAL_NONE ? REFUSAL_LIMIT : r->reason);
    }
}

/* Not every loser was absorbed. Those refused are given up, together with their ABORT; what was
 * answered beside to APPLY says no more than that. */
static void after_mixed(struct saga *s)
{
    struct ingest *g = &s->u.ingest;
    bool is_self = identity_equal(g->losers[0].b, g->in.ids[0]);
    bool busy = false, stale = false;

    for (uint32_t k = 0; k < g->n_losers; k++) {
        busy = busy || g->losers[k].status == REPLY_BUSY;
        stale = stale || g->losers[k].status != REPLY_REFUSED;
    }
    g->profile = is_self ? g->losers[0].profile : g->losers[0].winner;
    if (busy)
        help_start(s, g->profile);
    else if (stale)
        ingest_again(s);
    else
        ingest_apply(s);
}

void link_absorb_settle(struct saga *s)
{
    struct ingest *g = &s->u.ingest;

    for (uint32_t k = 0; k < g->n_losers; k++) {
        if (g->losers[k].status != REPLY_ABSORBED) {
            after_mixed(s);
            return;
        }
    }
    g->n_losers = 0;
    if (g->with_apply)
        ingest_go_on(s);
    else
        after_links(s);
}
