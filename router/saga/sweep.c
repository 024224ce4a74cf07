#include "internal.h"

#include <string.h>

/* Clearing up on behalf of one shard: merges that nobody finished, and tombstones that nothing
 * leads to any more. A tombstone may go when every identity it ever held has an index entry beyond
 * it and no profile it absorbed is still merging (one that is could come back to life, once the
 * record that says "absorbed" is gone). Index entries that lag are repaired from the holder. */

static struct sweep_row *row_of(struct sweep *w)
{
    return &w->rows[w->row];
}

void sweep_start(struct saga *s, const struct saga_sweep *in)
{
    struct sweep *w = &s->u.sweep;
    struct command *c = saga_command(s, COMMAND_SWEEP, 0);

    *w = (struct sweep){.in = *in};
    saga_move(s, STATE_SWEEP_ASK);
    c->limit = in->limit;
    c->age_ms = in->age_ms;
    saga_send(s, CALL_SWEEP, 0, in->slot, c);
}

static void copy_row(struct saga *s, struct sweep_row *to, const struct sweep_row *from)
{
    *to = *from;
    to->ids = saga_alloc(s, from->n_ids * sizeof *to->ids);
    for (size_t i = 0; i < from->n_ids; i++) {
        to->ids[i].id = saga_copy_identity(s, from->ids[i].id);
        to->ids[i].version = from->ids[i].version;
    }
    to->absorbed = saga_alloc(s, from->n_absorbed * sizeof *to->absorbed);
    if (from->n_absorbed)
        memcpy(to->absorbed, from->absorbed, from->n_absorbed * sizeof *to->absorbed);
}

static void keep_rows(struct saga *s, const struct reply *r)
{
    struct sweep *w = &s->u.sweep;

    w->rows = saga_alloc(s, r->n_sweeps * sizeof *w->rows);
    w->n_rows = r->n_sweeps;
    /* From a random row on: one that cannot be cleared now must not keep the others waiting. */
    size_t first = rng_below(&s->rng, r->n_sweeps);
    for (size_t i = 0; i < r->n_sweeps; i++)
        copy_row(s, &w->rows[i], &r->sweeps[(first + i) % r->n_sweeps]);
}

/* --- CHECK: items of a row are its absorbed profiles, then its identities --- */

static size_t items_of(const struct sweep_row *row)
{
    return row->n_absorbed + row->n_ids;
}

static void send_check(struct saga *s, size_t item)
{
    const struct sweep_row *row = row_of(&s->u.sweep);
    struct command *c;

    if (item < row->n_absorbed) {
        c = saga_command(s, COMMAND_LOCATE, row->absorbed[item]);
        saga_send(s, CALL_ROW, (uint32_t)item, slot_of_one_id(row->absorbed[item]), c);
        return;
    }
    c = saga_command(s, COMMAND_LOCATE, 0);
    c->ids = &row->ids[item - row->n_absorbed].id;
    c->n_ids = 1;
    saga_send(s, CALL_ROW, (uint32_t)item, slot_of_identity(c->ids[0]), c);
}

static void pump_checks(struct saga *s)
{
    struct sweep *w = &s->u.sweep;

    while (w->sent < items_of(row_of(w)) && saga_has_room(s, 1))
        send_check(s, w->sent++);
}

static void on_check(struct saga *s, size_t item, const struct reply *r)
{
    struct sweep *w = &s->u.sweep;
    const struct sweep_row *row = row_of(w);
    size_t i = item - row->n_absorbed;

    if (item < row->n_absorbed) {
        if (r->status == REPLY_MERGING)
            w->help = row->absorbed[item];
    } else if (r->status == REPLY_KNOWN) {
        if (r->version <= row->ids[i].version)
            w->where[i] = r->profile;
    } else { /* entries do not vanish: without one, nothing is known */
        w->give_up = true;
    }
}

/* --- FIND: who holds the identities whose index entries lag --- */

static void send_find(struct saga *s, size_t i)
{
    struct sweep *w = &s->u.sweep;
    struct command *c = saga_command(s, COMMAND_LOCATE, w->where[i]);

    c->ids = &row_of(w)->ids[i].id;
    c->n_ids = 1;
    saga_send(s, CALL_ROW, (uint32_t)i, slot_of_one_id(w->where[i]), c);
}

static void pump_finds(struct saga *s)
{
    struct sweep *w = &s->u.sweep;

    for (; w->sent < row_of(w)->n_ids && saga_has_room(s, 1); w->sent++) {
        if (w->where[w->sent])
            send_find(s, w->sent);
    }
}

static void on_found(struct saga *s, size_t i, const struct reply *r)
{
    struct sweep *w = &s->u.sweep;

    if (r->status == REPLY_GOTO && r->profile != 0 && r->profile < w->where[i]) {
        w->where[i] = r->profile; /* redirects lead to older profiles, so this ends */
        send_find(s, i);
    } else if (r->status == REPLY_HERE && r->version > row_of(w)->ids[i].version) {
        w->versions[i] = r->version;
    } else {
        if (r->status == REPLY_MERGING)
            w->help = w->where[i];
        w->give_up = true;
    }
}

/* --- FIX --- */

static void pump_fixes(struct saga *s)
{
    struct sweep *w = &s->u.sweep;

    for (; w->sent < row_of(w)->n_ids && saga_has_room(s, 1); w->sent++) {
        struct command *c;
        if (!w->where[w->sent])
            continue;
        c = saga_command(s, COMMAND_REPAIR, w->where[w->sent]);
        c->version = w->versions[w->sent];
        c->ids = &row_of(w)->ids[w->sent].id;
        c->n_ids = 1;
        saga_send(s, CALL_ROW, (uint32_t)w->sent, slot_of_identity(c->ids[0]), c);
    }
}

/* --- from row to row --- */

static void begin_check(struct saga *s)
{
    struct sweep *w = &s->u.sweep;
    size_t n = row_of(w)->n_ids;

    saga_move(s, STATE_CHECK);
    w->sent = 0;
    w->give_up = false;
    w->help = 0;
    w->where = saga_alloc(s, n * sizeof *w->where);
    w->versions = saga_alloc(s, n * sizeof *w->versions);
    pump_checks(s);
}

static void next_row(struct saga *s)
{
    struct sweep *w = &s->u.sweep;

    for (w->row++; w->row < w->n_rows; w->row++) {
        const struct sweep_row *row = row_of(w);
        if (row->kind == SWEEP_MERGING) {
            help_start(s, row->profile);
            return;
        }
        if (row->kind == SWEEP_TOMBSTONE && items_of(row) > 0) {
            begin_check(s);
            return;
        }
    }
    s->answer = (struct saga_answer){.code = ERR_OK, .helped = w->helped, .dropped = w->dropped};
    saga_answer(s);
    saga_end(s);
}

static void drop(struct saga *s)
{
    one_id profile = row_of(&s->u.sweep)->profile;

    saga_move(s, STATE_DROP);
    saga_send(s, CALL_ROW, 0, slot_of_one_id(profile), saga_command(s, COMMAND_DROP, profile));
}

static bool has_lagging(const struct sweep *w)
{
    for (size_t i = 0; i < w->rows[w->row].n_ids; i++) {
        if (w->where[i])
            return true;
    }
    return false;
}

static void after_check(struct saga *s)
{
    struct sweep *w = &s->u.sweep;

    if (w->help) {
        help_start(s, w->help); /* the row is for another sweep then */
    } else if (w->give_up) {
        next_row(s);
    } else if (!has_lagging(w)) {
        drop(s);
    } else {
        saga_move(s, STATE_FIND);
        w->sent = 0;
        pump_finds(s);
    }
}

static void after_find(struct saga *s)
{
    struct sweep *w = &s->u.sweep;

    if (w->help) {
        help_start(s, w->help);
    } else if (w->give_up) {
        next_row(s);
    } else {
        saga_move(s, STATE_FIX);
        w->sent = 0;
        pump_fixes(s);
    }
}

void sweep_on_reply(struct saga *s, const struct call *c, const struct reply *r)
{
    struct sweep *w = &s->u.sweep;

    if (s->state == STATE_SWEEP_ASK) {
        keep_rows(s, r);
        w->row = (size_t)-1;
    } else if (s->state == STATE_CHECK) {
        on_check(s, c->at, r);
        pump_checks(s);
    } else if (s->state == STATE_FIND) {
        on_found(s, c->at, r);
        pump_finds(s);
    } else if (s->state == STATE_FIX) {
        pump_fixes(s);
    } else if (s->state == STATE_DROP) {
        w->dropped += r->status == REPLY_OK;
    }
}

void sweep_settle(struct saga *s)
{
    if (s->state == STATE_CHECK)
        after_check(s);
    else if (s->state == STATE_FIND)
        after_find(s);
    else if (s->state == STATE_FIX)
        drop(s);
    else
        next_row(s);
}

void sweep_after_help(struct saga *s)
{
    struct sweep *w = &s->u.sweep;

    if (s->help.result == HELP_ABSORBED || s->help.result == HELP_ABORTED)
        w->helped++;
    next_row(s);
}
