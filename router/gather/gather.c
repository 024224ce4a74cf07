#include "private.h"

#include <stdio.h>
#include <stdlib.h>

enum { AUTHORITY = 0, ROUNDS_MAX = 32, RESEND_DOUBLINGS = 4, LATER_MS = 10 };

void gather_effects_free(struct gather_effects *fx)
{
    free(fx->items);
    *fx = (struct gather_effects){0};
}

static struct gather_effect *add_effect(struct gather_effects *fx)
{
    if (fx->n == fx->cap) {
        fx->cap = fx->cap ? fx->cap * 2 : 16;
        fx->items = realloc(fx->items, fx->cap * sizeof *fx->items);
        if (!fx->items)
            abort(); /* memory that is out ends the process */
    }
    struct gather_effect *e = &fx->items[fx->n++];
    *e = (struct gather_effect){0};
    return e;
}

/* --- ending --- */

static void finish(struct gather *g, struct gather_effects *fx)
{
    g->done = true;
    fold_finish(g);
    struct gather_effect *e = add_effect(fx);
    e->kind = GATHER_ANSWER;
    e->answer = &g->answer;
}

/* The text is in g->err. */
static void fail(struct gather *g, enum error_code code, struct gather_effects *fx)
{
    free(g->answer.groups);
    free(g->answer.findings);
    g->answer = (struct response){.code = code, .text = bytes_of_str(g->err.msg)};
    finish(g, fx);
}

static void fail_with(struct gather *g, enum error_code code, const char *text,
                      struct gather_effects *fx)
{
    fail(g, error_set(&g->err, code, "%s", text), fx);
}

/* --- asking --- */

static const struct command *command_of(struct gather *g, const struct part *p,
                                        enum gather_lane *lane)
{
    bool carries = g->phase == PHASE_CARRYING || p->state == PART_BEHIND;
    *lane = carries || g->phase == PHASE_CHANGING  ? GATHER_WRITE
            : g->query && g->phase == PHASE_ASKING ? GATHER_QUERY
                                                   : GATHER_READ;
    if (carries)
        return &g->sync;
    if (g->phase == PHASE_FETCHING)
        return &g->fetch;
    return g->phase == PHASE_CHANGING ? &g->change : &g->command;
}

static void send_part(struct gather *g, shard_id shard, msec_t now, struct gather_effects *fx)
{
    struct part *p = &g->parts[shard];
    p->resend_ms = now + ((msec_t)GATHER_RESEND_MS
                          << (p->sends < RESEND_DOUBLINGS ? p->sends : RESEND_DOUBLINGS));
    struct gather_effect *e = add_effect(fx);
    e->kind = GATHER_SEND;
    /* A replica and the leader in turn: either may be away. */
    e->stale = g->stale_ok && g->query && g->phase == PHASE_ASKING && p->state == PART_ASKED &&
               p->sends % 2 == 0;
    p->sends++;
    e->shard = shard;
    e->call = p->call;
    e->command = command_of(g, p, &e->lane);
    if (g->type == REQUEST_CHECK)
        g->command.age_ms = g->asked_ms + (uint32_t)(now - g->began_ms);
    g->command.deadline_ms = g->deadline_ms > now ? (uint32_t)(g->deadline_ms - now) : 1;
}

static void ask(struct gather *g, shard_id shard, enum part_state state, msec_t now,
                struct gather_effects *fx)
{
    struct part *p = &g->parts[shard];
    p->state = state;
    p->call++;
    p->sends = 0;
    send_part(g, shard, now, fx);
}

static void rest_all(struct gather *g)
{
    for (shard_id i = 0; i < g->n_shards; i++)
        g->parts[i].state = PART_IDLE;
    g->n_answered = 0;
}

static void fetch(struct gather *g, msec_t now, struct gather_effects *fx)
{
    rest_all(g);
    g->phase = PHASE_FETCHING;
    g->fetch = (struct command){.type = COMMAND_SEGMENTS,
                                .catalogue = g->catalogue ? g->catalogue->version : 0};
    if (++g->rounds > ROUNDS_MAX)
        fail_with(g, ERR_UNAVAILABLE, "the saved segments change faster than they are read", fx);
    else
        ask(g, AUTHORITY, PART_ASKED, now, fx);
}

static void fill_sync(struct gather *g)
{
    buf_reset(&g->sync_content);
    catalogue_encode(g->catalogue, &g->sync_content);
    g->sync =
        (struct command){.type = COMMAND_SEGMENT_SYNC, .content = buf_bytes(&g->sync_content)};
}

static void ask_shards(struct gather *g, msec_t now, struct gather_effects *fx)
{
    rest_all(g);
    fold_reset(g);
    g->phase = PHASE_ASKING;
    if (gather_is_paged(g) || g->type == REQUEST_LEAD) {
        ask(g, g->at, PART_ASKED, now, fx);
        return;
    }
    for (shard_id i = 0; i < g->n_shards; i++)
        ask(g, i, PART_ASKED, now, fx);
}

/* --- definitions --- */

static void carry(struct gather *g, msec_t now, struct gather_effects *fx)
{
    rest_all(g);
    g->phase = PHASE_CARRYING;
    g->carry_until_ms = now + GATHER_CARRY_MS;
    fill_sync(g);
    for (shard_id i = 0; i < g->n_shards; i++) {
        bool has_it = i == AUTHORITY || (g->versions && g->versions[i] >= g->catalogue->version);
        if (has_it) {
            g->parts[i].state = PART_ANSWERED;
            g->n_answered++;
        } else {
            ask(g, i, PART_ASKED, now, fx);
        }
    }
    if (g->n_answered == g->n_shards)
        finish(g, fx);
}

/* Is the catalogue what the request wants it to be? */
static bool is_reached(const struct gather *g)
{
    const struct catalogue_entry *e = catalogue_find(g->catalogue, g->name);
    if (g->type == REQUEST_SEGMENT_DROP)
        return !e;
    return e && e->code == ERR_OK && bytes_equal(segment_text(e->segment), g->command.expr);
}

static void change(struct gather *g, msec_t now, struct gather_effects *fx)
{
    g->answer.catalogue = g->catalogue->version;
    if (is_reached(g)) {
        if (g->type == REQUEST_SEGMENT_DROP && !g->wanted_there)
            fail_with(g, ERR_NOT_FOUND, "no such saved segment", fx);
        else
            carry(g, now, fx);
        return;
    }
    g->wanted_there = true;
    rest_all(g);
    g->phase = PHASE_CHANGING;
    g->change = g->command;
    g->change.catalogue = g->catalogue->version;
    if (++g->rounds > ROUNDS_MAX)
        fail_with(g, ERR_UNAVAILABLE, "the saved segments change too fast", fx);
    else
        ask(g, AUTHORITY, PART_ASKED, now, fx);
}

/* The catalogue is there, fresh from the authority. */
static void on_catalogue(struct gather *g, msec_t now, struct gather_effects *fx)
{
    enum error_code rc;
    switch ((int)g->type) {
    case REQUEST_TYPE_END:
        if (g->versions)
            carry(g, now, fx);
        else
            finish(g, fx);
        return;
    case REQUEST_SEGMENT_DEFINE:
    case REQUEST_SEGMENT_DROP:
        change(g, now, fx);
        return;
    case REQUEST_SEGMENTS:
        rc = fold_segments(g);
        break;
    default:
        rc = plan_check(g);
        if (rc != ERR_OK)
            break;
        ask_shards(g, now, fx);
        return;
    }
    if (rc == ERR_OK)
        finish(g, fx);
    else
        fail(g, rc, fx);
}

/* Takes over what the authority said; false: it failed. */
static bool learn(struct gather *g, const struct reply *r, struct gather_effects *fx)
{
    struct catalogue *next = NULL;
    if (r->content.len == 0 && g->catalogue && r->catalogue == g->catalogue->version)
        return true;
    enum error_code rc = catalogue_decode(r->content, g->schema, g->catalogue, &next, &g->err);
    if (rc != ERR_OK) {
        fail(g, rc == ERR_NOMEM ? rc : ERR_INTERNAL, fx);
        return false;
    }
    catalogue_drop(g->catalogue);
    g->catalogue = next;
    struct gather_effect *e = add_effect(fx);
    e->kind = GATHER_LEARN;
    e->catalogue = next;
    return true;
}

/* --- starting --- */

/* Where a question that names segments begins: with what is known, if that will do. */
static void start(struct gather *g, msec_t now, struct gather_effects *fx)
{
    bool definitions = g->type == REQUEST_SEGMENT_DEFINE || g->type == REQUEST_SEGMENT_DROP ||
                       g->type == REQUEST_SEGMENTS || g->type == REQUEST_TYPE_END;
    if (definitions) {
        fetch(g, now, fx);
        return;
    }
    enum error_code rc = g->query || gather_is_paged(g) ? plan_check(g) : ERR_OK;
    bool may_be_old = g->names_segments && (rc != ERR_OK || !g->catalogue);
    if (may_be_old)
        fetch(g, now, fx);
    else if (rc != ERR_OK)
        fail(g, rc, fx);
    else
        ask_shards(g, now, fx);
}

static struct gather *gather_open(const struct gather_start *s)
{
    struct gather *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->schema = s->schema;
    g->node_of_shard = s->node_of_shard;
    g->stale_ok = s->request && s->request->stale_ok;
    g->type = s->request ? s->request->type : REQUEST_TYPE_END;
    g->n_shards = s->n_shards;
    g->deadline_ms = s->deadline_ms;
    g->versions = s->versions;
    g->answer.map_epoch = s->map_epoch;
    g->catalogue = s->catalogue ? catalogue_keep(s->catalogue) : NULL;
    g->parts = arena_zalloc(&g->arena, g->n_shards * sizeof *g->parts);
    if (g->parts)
        return g;
    gather_free(g);
    return NULL;
}

struct gather *gather_new(const struct gather_start *s, msec_t now, struct gather_effects *fx)
{
    struct gather *g = gather_open(s);
    if (!g)
        return NULL;
    g->began_ms = now;
    enum error_code rc = s->request ? plan_command(g, s) : ERR_OK;
    if (rc == ERR_OK && !fold_prepare(g))
        rc = error_set(&g->err, ERR_NOMEM, "answer");
    if (rc == ERR_OK)
        start(g, now, fx);
    else
        fail(g, rc, fx);
    return g;
}

void gather_free(struct gather *g)
{
    if (!g)
        return;
    catalogue_drop(g->catalogue);
    buf_free(&g->sync_content);
    arena_close(&g->arena);
    free(g->answer.groups);
    free(g->answer.findings);
    free(g);
}

/* --- replies --- */

/* The page goes on: in this shard, in the next one, or not at all. */
static void next_page(struct gather *g, shard_id shard, const struct reply *r, msec_t now,
                      struct gather_effects *fx)
{
    struct response *a = &g->answer;
    size_t have = a->n_members + a->n_lines + a->n_rows;
    uint64_t position = r->cursor;
    shard_id next = shard;
    if (position == 0)
        next++;
    if (next >= g->n_shards) {
        finish(g, fx);
        return;
    }
    bool is_page = have >= g->wanted || (g->type == REQUEST_EXPORT && have > 0);
    if (is_page) {
        a->cursor = plan_token(g, next, position);
        finish(g, fx);
        return;
    }
    g->at = next;
    g->command.cursor = position;
    g->command.limit = g->wanted - (uint32_t)have;
    ask(g, next, PART_ASKED, now, fx);
}

static void take_answer(struct gather *g, shard_id shard, const struct reply *r, msec_t now,
                        struct gather_effects *fx)
{
    g->parts[shard].state = PART_ANSWERED;
    g->n_answered++;
    enum error_code rc = fold_reply(g, shard, r);
    if (rc != ERR_OK)
        fail(g, rc, fx);
    else if (gather_is_paged(g))
        next_page(g, shard, r, now, fx);
    else if (g->n_answered == g->n_shards || g->type == REQUEST_LEAD)
        finish(g, fx);
}

/* The shard has another version than the question. */
static void on_other_version(struct gather *g, shard_id shard, uint64_t version, msec_t now,
                             struct gather_effects *fx)
{
    if (version > g->catalogue->version || shard == AUTHORITY) {
        fetch(g, now, fx);
        return;
    }
    fill_sync(g);
    ask(g, shard, PART_BEHIND, now, fx);
}

static void reply_asking(struct gather *g, shard_id shard, const struct reply *r, msec_t now,
                         struct gather_effects *fx)
{
    if (r->status == REPLY_STALE)
        g->stale_ok =
            false; /* who is behind is brought up to date, which only leaders are at once */
    if (r->status == REPLY_STALE)
        on_other_version(g, shard, r->catalogue, now, fx);
    else if (g->parts[shard].state != PART_BEHIND)
        take_answer(g, shard, r, now, fx);
    else if (r->catalogue > g->catalogue->version)
        fetch(g, now, fx);
    else
        ask(g, shard, PART_ASKED, now, fx);
}

static void fail_as_reply(struct gather *g, const struct reply *r, struct gather_effects *fx)
{
    char text[sizeof g->err.msg];
    (void)snprintf(text, sizeof text, "%.*s", (int)(r->text.len < 200 ? r->text.len : 200),
                   r->text.len ? (const char *)r->text.data : "");
    fail_with(g, r->status == REPLY_ERROR ? r->error : ERR_INTERNAL, text, fx);
}

static void dispatch(struct gather *g, shard_id shard, const struct reply *r, msec_t now,
                     struct gather_effects *fx)
{
    switch (g->phase) {
    case PHASE_ASKING:
        reply_asking(g, shard, r, now, fx);
        break;
    case PHASE_FETCHING:
        if (learn(g, r, fx))
            on_catalogue(g, now, fx);
        break;
    case PHASE_CHANGING:
        if (learn(g, r, fx))
            change(g, now, fx);
        break;
    case PHASE_CARRYING:
        g->parts[shard].state = PART_ANSWERED;
        if (++g->n_answered == g->n_shards)
            finish(g, fx);
        break;
    }
}

void gather_reply(struct gather *g, shard_id shard, uint32_t call, const struct reply *reply,
                  msec_t now, struct gather_effects *fx)
{
    if (g->done || shard >= g->n_shards)
        return;
    struct part *p = &g->parts[shard];
    if ((p->state != PART_ASKED && p->state != PART_BEHIND) || p->call != call)
        return;
    bool later = reply->status == REPLY_WRONG_SHARD ||
                 (reply->status == REPLY_ERROR && error_is_retryable(reply->error));
    if (later) {
        msec_t soon =
            now + ((msec_t)LATER_MS << (p->sends < RESEND_DOUBLINGS ? p->sends : RESEND_DOUBLINGS));
        p->resend_ms = soon < p->resend_ms ? soon : p->resend_ms;
        return;
    }
    bool stale = reply->status == REPLY_STALE && reply->catalogue != 0;
    bool stale_here =
        stale && ((g->phase == PHASE_ASKING && g->names_segments) || g->phase == PHASE_CHANGING);
    bool looks_on = reply->status == REPLY_BUSY && g->type == REQUEST_CHECK;
    if (reply->status == REPLY_OK || stale_here || looks_on)
        dispatch(g, shard, reply, now, fx);
    else
        fail_as_reply(g, reply, fx);
}

/* --- time --- */

static void list_carrying(struct gather *g)
{
    for (shard_id i = 0; i < g->n_shards; i++) {
        if (g->parts[i].state != PART_ANSWERED)
            g->answer.carrying[g->answer.n_carrying++] = i;
    }
}

static void give_up(struct gather *g, struct gather_effects *fx)
{
    bool status = g->type == REQUEST_STATS;
    if (g->phase == PHASE_CARRYING) {
        list_carrying(g);
        finish(g, fx);
        return;
    }
    if (g->phase != PHASE_ASKING) {
        fail_with(g, ERR_TIMEOUT, "shard 0, which keeps the saved segments, does not answer", fx);
        return;
    }
    if (g->n_answered == 0 && !status) {
        fail_with(g, ERR_TIMEOUT, "no shard answered within the deadline", fx);
        return;
    }
    g->answer.partial = true;
    if (gather_is_paged(g)) /* the next page starts with the shard that is missing */
        g->answer.cursor = plan_token(g, g->at, g->command.cursor);
    finish(g, fx);
}

static msec_t end_ms(const struct gather *g)
{
    msec_t end = g->deadline_ms - GATHER_MARGIN_MS;
    return g->phase == PHASE_CARRYING && g->carry_until_ms < end ? g->carry_until_ms : end;
}

void gather_tick(struct gather *g, msec_t now, struct gather_effects *fx)
{
    if (g->done)
        return;
    if (now >= end_ms(g)) {
        give_up(g, fx);
        return;
    }
    for (shard_id i = 0; i < g->n_shards; i++) {
        const struct part *p = &g->parts[i];
        if ((p->state == PART_ASKED || p->state == PART_BEHIND) && now >= p->resend_ms)
            send_part(g, i, now, fx);
    }
}

msec_t gather_wake_ms(const struct gather *g)
{
    if (g->done)
        return INT64_MAX;
    msec_t wake = end_ms(g);
    for (shard_id i = 0; i < g->n_shards; i++) {
        const struct part *p = &g->parts[i];
        if ((p->state == PART_ASKED || p->state == PART_BEHIND) && p->resend_ms < wake)
            wake = p->resend_ms;
    }
    return wake;
}
