#include "internal.h"

#include <assert.h>

/* The way of one event. APPLY always goes first: it finds a repeated message before anything is
 * linked for it, and it says what is missing. Links are made in rounds (link.c) until it is OK. */

enum { RESTARTS_FREE = 2 };

static bool is_id_sent(const struct ingest *g, uint32_t i)
{
    return g->skip[i] == REFUSAL_NONE;
}

static void fill_identities(struct saga *s, struct command *c)
{
    struct ingest *g = &s->u.ingest;

    c->ids = saga_alloc(s, g->in.n_ids * sizeof *c->ids);
    for (uint32_t i = 0; i < g->in.n_ids; i++) {
        if (!is_id_sent(g, i))
            continue;
        g->sent[c->n_ids] = (uint8_t)i;
        c->ids[c->n_ids++] = g->in.ids[i];
    }
    g->n_sent = (uint32_t)c->n_ids;
}

static void fill_skips(struct saga *s, struct command *c)
{
    const struct ingest *g = &s->u.ingest;
    size_t n = g->in.n_skips + g->in.n_ids - g->n_sent;

    if (n == 0)
        return;
    c->skips = saga_alloc(s, n * sizeof *c->skips);
    for (size_t i = 0; i < g->in.n_skips; i++)
        c->skips[c->n_skips++] = g->in.skips[i];
    for (uint32_t i = 0; i < g->in.n_ids; i++) {
        if (!is_id_sent(g, i))
            c->skips[c->n_skips++] = (struct skip){g->in.ids[i], (enum refusal)g->skip[i]};
    }
}

void ingest_send_apply(struct saga *s)
{
    struct ingest *g = &s->u.ingest;
    struct command *c = saga_command(s, COMMAND_APPLY, g->profile);

    fill_identities(s, c);
    fill_skips(s, c);
    c->message_id = g->in.message_id;
    c->ts = g->in.ts;
    c->source = g->in.source;
    c->facts = g->in.facts;
    c->behaviour = g->in.behaviour;
    saga_send(s, CALL_APPLY, 0,
              g->profile ? slot_of_one_id(g->profile) : slot_of_identity(g->in.ids[0]), c);
}

/* Losers that were refused come back to life beside the next APPLY. */
static void send_aborts(struct saga *s)
{
    struct ingest *g = &s->u.ingest;

    for (uint32_t i = 0; i < g->n_losers; i++) {
        const struct loser *l = &g->losers[i];
        struct command *c;
        if (l->status != REPLY_REFUSED && l->status != REPLY_STALE)
            continue;
        c = saga_command(s, COMMAND_ABORT, l->profile);
        c->epoch = l->epoch;
        saga_send(s, CALL_ABORT, 0, slot_of_one_id(l->profile), c);
    }
    g->n_losers = 0;
}

void ingest_apply(struct saga *s)
{
    saga_move(s, STATE_APPLY);
    s->u.ingest.next = NEXT_AGAIN;
    send_aborts(s);
    ingest_send_apply(s);
}

/* Others were at work on the same profiles: look again, at once for the first times. */
void ingest_again(struct saga *s)
{
    struct ingest *g = &s->u.ingest;

    if (++g->restarts <= RESTARTS_FREE)
        ingest_apply(s);
    else
        saga_back_off(s, STATE_BACKOFF, g->restarts - RESTARTS_FREE);
}

void ingest_resume(struct saga *s)
{
    ingest_apply(s);
}

static bool input_is_sound(const struct saga_ingest *in)
{
    return in->n_ids >= 1 && in->n_ids <= EVENT_IDENTITIES_MAX && in->n_bridging <= in->n_ids &&
           in->message_id.len > 0;
}

void ingest_start(struct saga *s, const struct saga_ingest *in)
{
    struct ingest *g = &s->u.ingest;

    assert(input_is_sound(in));
    g->in = *in;
    g->profile = in->hints ? in->hints[0] : 0;
    g->epoch = 0;
    g->skip = saga_alloc(s, 2 * in->n_ids); /* all REFUSAL_NONE */
    g->sent = g->skip + in->n_ids;
    g->links = NULL;
    g->losers = NULL;
    g->n_links = g->n_losers = g->n_sent = 0;
    g->hops = g->restarts = g->freezes = 0;
    ingest_apply(s);
}

static void answer_ok(struct saga *s, const struct reply *r)
{
    struct ingest *g = &s->u.ingest;
    one_id profile = r->profile ? r->profile : g->profile;
    struct skip *refused = r->n_refused ? saga_alloc(s, r->n_refused * sizeof *refused) : NULL;

    for (size_t i = 0; i < r->n_refused; i++)
        refused[i] = (struct skip){saga_copy_identity(s, r->refused[i].id), r->refused[i].reason};
    s->answer = (struct saga_answer){.code = ERR_OK,
                                     .duplicate = r->status == REPLY_DUP,
                                     .profile = profile,
                                     .refused = refused,
                                     .n_refused = r->n_refused};
    for (uint32_t k = 0; k < g->n_sent; k++) {
        uint32_t i = g->sent[k];
        bool is_refused = false;
        for (size_t j = 0; j < r->n_refused && !is_refused; j++)
            is_refused = identity_equal(refused[j].id, g->in.ids[i]);
        if (!is_refused && !(g->in.hints && g->in.hints[i] == profile))
            saga_learn(s, g->in.ids[i], profile);
    }
    saga_answer(s);
}

static void on_missing(struct saga *s, const struct reply *r)
{
    struct ingest *g = &s->u.ingest;

    if (r->profile)
        g->profile = r->profile;
    g->epoch = r->epoch;
    g->n_links = 0;
    if (!g->links) {
        g->links = saga_alloc(s, g->in.n_ids * sizeof *g->links);
        g->losers = saga_alloc(s, g->in.n_ids * sizeof *g->losers);
    }
    for (size_t k = 0; k < r->n_missing && g->n_links < g->in.n_ids; k++) {
        uint32_t i;
        /* The primary is what the profile was found by, it cannot be missing. */
        if (r->missing[k].index >= g->n_sent || (i = g->sent[r->missing[k].index]) == 0)
            continue;
        g->links[g->n_links++] = (struct link){.id = i, .holder = r->missing[k].hint};
    }
    g->next = g->n_links && g->profile ? NEXT_LINK : NEXT_AGAIN;
}

static void on_apply(struct saga *s, const struct reply *r)
{
    struct ingest *g = &s->u.ingest;

    g->next = NEXT_AGAIN;
    if (r->status == REPLY_OK || r->status == REPLY_DUP) {
        answer_ok(s, r);
        g->next = NEXT_TAIL;
    } else if (r->status == REPLY_GOTO && r->profile != 0 && r->profile != g->profile) {
        g->profile = r->profile;
        if (++g->hops % HOPS_MAX != 0)
            g->next = NEXT_APPLY;
    } else if (r->status == REPLY_MERGING) {
        if (r->profile)
            g->profile = r->profile;
        g->help = g->profile;
        g->next = g->profile ? NEXT_HELP : NEXT_AGAIN;
    } else if (r->status == REPLY_MISSING) {
        on_missing(s, r);
    } else if (g->profile != 0) { /* it is not there: the index knows better than whoever said so */
        saga_forget(s, g->in.ids[0], g->profile);
        g->profile = 0;
        if (++g->hops % 4 != 0)
            g->next = NEXT_APPLY;
    }
}

void ingest_on_reply(struct saga *s, const struct call *c, const struct reply *r)
{
    struct ingest *g = &s->u.ingest;

    switch (c->purpose) {
    case CALL_APPLY:
        on_apply(s, r);
        break;
    case CALL_LINK:
        link_on_reply(s, &g->links[c->at], c->command, r);
        break;
    case CALL_FREEZE:
        link_on_frozen_self(s, r);
        break;
    case CALL_ABSORB:
        link_on_absorb(s, &g->losers[c->at], r);
        break;
    case CALL_ABORT:
    case CALL_CLOSE:
    case CALL_HELP:
    case CALL_READ:
    case CALL_SWEEP:
    case CALL_ROW:
        break;
    }
}

/* What was left to do after the answer: index entries, DONE, and losers that were refused while
 * the message turned out to be recorded already. */
static void begin_tail(struct saga *s)
{
    saga_move(s, STATE_TAIL);
    send_aborts(s);
    if (closing_pump(s))
        saga_end(s);
}

void ingest_go_on(struct saga *s)
{
    struct ingest *g = &s->u.ingest;

    switch (g->next) {
    case NEXT_APPLY:
        ingest_apply(s);
        break;
    case NEXT_LINK:
        link_begin(s);
        break;
    case NEXT_HELP:
        help_start(s, g->help);
        break;
    case NEXT_AGAIN:
        ingest_again(s);
        break;
    case NEXT_TAIL:
        begin_tail(s);
        break;
    }
}

void ingest_settle(struct saga *s)
{
    if (s->state == STATE_APPLY)
        ingest_go_on(s);
    else if (s->state == STATE_LINK)
        link_settle(s);
    else if (s->state == STATE_FREEZE)
        link_self_settle(s);
    else if (s->state == STATE_ABSORB) {
        if (s->answered)
            begin_tail(s);
        else
            link_absorb_settle(s);
    } else if (s->state == STATE_TAIL && closing_pump(s))
        saga_end(s);
}

void ingest_after_help(struct saga *s)
{
    struct ingest *g = &s->u.ingest;

    if (s->help.result == HELP_ABSORBED && s->help.root == g->profile)
        g->profile = s->help.winner;
    ingest_again(s);
}

void ingest_on_refusal(struct saga *s, const struct identity pair[2], enum refusal reason)
{
    struct ingest *g = &s->u.ingest;
    const struct identity *primary = &g->in.ids[0];
    struct identity other;

    if (identity_equal(pair[0], *primary))
        other = pair[1];
    else if (identity_equal(pair[1], *primary))
        other = pair[0];
    else
        return;
    for (uint32_t i = 1; i < g->in.n_ids; i++) {
        if (identity_equal(g->in.ids[i], other))
            g->skip[i] = (uint8_t)(reason == REFUSAL_NONE ? REFUSAL_LIMIT : reason);
    }
}
