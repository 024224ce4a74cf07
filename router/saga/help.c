#include "internal.h"

#include <assert.h>
#include <string.h>

enum { HELP_ROUNDS_MAX = 64 };

/* --- closing: after ABSORBED, the index entries, then DONE --- */

void closing_add(struct saga *s, one_id loser, one_id winner, uint32_t epoch,
                 const struct reply *absorbed)
{
    struct holder *holders = saga_alloc(s, absorbed->n_holders * sizeof *holders);

    for (size_t i = 0; i < absorbed->n_holders; i++) {
        holders[i].id = saga_copy_identity(s, absorbed->holders[i].id);
        holders[i].version = absorbed->holders[i].version;
    }
    if (s->n_closings == s->cap_closings) {
        size_t cap = s->cap_closings ? 2 * s->cap_closings : 4;
        struct closing *grown = saga_alloc(s, cap * sizeof *grown);
        if (s->n_closings)
            memcpy(grown, s->closings, s->n_closings * sizeof *grown);
        s->closings = grown;
        s->cap_closings = cap;
    }
    s->closings[s->n_closings++] =
        (struct closing){loser, winner, epoch, holders, absorbed->n_holders};
}

static void send_repair(struct saga *s, const struct holder *h, one_id winner)
{
    struct command *c = saga_command(s, COMMAND_REPAIR, winner);

    c->ids = saga_alloc(s, sizeof *c->ids);
    c->ids[0] = h->id;
    c->n_ids = 1;
    c->version = h->version;
    saga_send(s, CALL_CLOSE, 0, slot_of_identity(h->id), c);
}

static void send_done(struct saga *s, const struct closing *k)
{
    struct command *c = saga_command(s, COMMAND_DONE, k->loser);

    c->epoch = k->epoch;
    saga_send(s, CALL_CLOSE, 0, slot_of_one_id(k->loser), c);
}

/* The last REPAIR and the DONE of a loser leave together: a loser that was born merging has its
 * index entry at its own slot, and the shard then drops its record at once. */
bool closing_pump(struct saga *s)
{
    while (s->closing < s->n_closings && saga_has_room(s, 2)) {
        const struct closing *k = &s->closings[s->closing];
        if (s->closing_holder < k->n_holders)
            send_repair(s, &k->holders[s->closing_holder++], k->winner);
        if (s->closing_holder < k->n_holders)
            continue;
        send_done(s, k);
        s->closing++;
        s->closing_holder = 0;
    }
    return s->closing == s->n_closings && s->pending == 0;
}

/* --- help --- */

static void locate(struct saga *s, one_id profile)
{
    struct command *c = saga_command(s, COMMAND_LOCATE, profile);

    c->want_content = true;
    s->help.at = profile;
    s->help.phase = HELP_LOCATE;
    saga_send(s, CALL_HELP, 0, slot_of_one_id(profile), c);
}

static void finish(struct saga *s)
{
    s->help.phase = HELP_IDLE;
    if (s->kind == SAGA_INGEST)
        ingest_after_help(s);
    else if (s->kind == SAGA_SWEEP)
        sweep_after_help(s);
    else {
        s->answer.helped = s->help.result == HELP_ABSORBED || s->help.result == HELP_ABORTED;
        saga_answer(s);
        saga_end(s);
    }
}

/* One link of the chain is settled: either it was all, or root has to be looked at again. */
static void next_round(struct saga *s)
{
    bool is_root = s->help.at == s->help.root;

    if (is_root || ++s->help.rounds > HELP_ROUNDS_MAX) {
        if (!is_root)
            s->help.result = HELP_GAVE_UP;
        finish(s);
        return;
    }
    locate(s, s->help.root);
}

void help_start(struct saga *s, one_id root)
{
    assert(s->pending == 0);
    saga_move(s, STATE_HELP);
    s->help = (struct help){.root = root, .result = HELP_NOT_MERGING};
    locate(s, root);
}

void help_saga_start(struct saga *s, const struct saga_help *in)
{
    help_start(s, in->profile);
}

static void absorb(struct saga *s, const struct reply *r)
{
    struct command *c = saga_command(s, COMMAND_ABSORB, r->other);

    s->help.target = r->other;
    s->help.epoch = r->epoch;
    s->help.pair[0] = saga_copy_identity(s, r->ids[0]);
    s->help.pair[1] = saga_copy_identity(s, r->ids[1]);
    c->other = s->help.at;
    c->epoch = r->epoch;
    c->content = saga_copy(s, r->content);
    c->ids = saga_alloc(s, 2 * sizeof *c->ids);
    c->ids[0] = s->help.pair[1];
    c->ids[1] = s->help.pair[0];
    c->n_ids = 2;
    /* Evidence travels with the merge, so the edge names the first message whoever finishes it. */
    s->help.phase = HELP_ABSORB;
    saga_send(s, CALL_HELP, 0, slot_of_one_id(r->other), c);
}

static void on_located(struct saga *s, const struct reply *r)
{
    if (r->status == REPLY_MERGING && r->n_ids == 2 && r->other != 0 && r->other < s->help.at)
        absorb(s, r);
    else
        next_round(s);
}

static void abort_merge(struct saga *s)
{
    struct command *c = saga_command(s, COMMAND_ABORT, s->help.at);

    c->epoch = s->help.epoch;
    s->help.phase = HELP_CLOSE;
    saga_send(s, CALL_ABORT, 0, slot_of_one_id(s->help.at), c);
}

static void on_absorb(struct saga *s, const struct reply *r)
{
    bool is_root = s->help.at == s->help.root;

    if (r->status == REPLY_ABSORBED) {
        if (is_root) {
            s->help.result = HELP_ABSORBED;
            s->help.winner = s->help.target;
        }
        s->help.phase = HELP_CLOSE;
        closing_add(s, s->help.at, s->help.target, s->help.epoch, r);
        closing_pump(s);
        return;
    }
    if (r->status == REPLY_BUSY) {
        if (++s->help.rounds > HELP_ROUNDS_MAX) {
            s->help.result = HELP_GAVE_UP;
            finish(s);
        } else {
            locate(s, s->help.target); /* targets fall in One-ID, so this ends */
        }
        return;
    }
    if (r->status != REPLY_REFUSED && r->status != REPLY_STALE) {
        s->help.result = HELP_GAVE_UP;
        finish(s);
        return;
    }
    if (r->status == REPLY_REFUSED && s->kind == SAGA_INGEST)
        ingest_on_refusal(s, s->help.pair, r->reason);
    if (is_root)
        s->help.result = HELP_ABORTED;
    abort_merge(s);
}

void help_on_reply(struct saga *s, const struct call *c, const struct reply *r)
{
    (void)c;
    if (s->help.phase == HELP_LOCATE)
        on_located(s, r);
    else if (s->help.phase == HELP_ABSORB)
        on_absorb(s, r);
}

void help_settle(struct saga *s)
{
    if (s->help.phase == HELP_CLOSE && closing_pump(s))
        next_round(s);
}
