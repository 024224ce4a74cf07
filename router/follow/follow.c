#include <follow/follow.h>

#include <follow/token.h>

#include <base/hash.h>

#include <stdio.h>
#include <stdlib.h>

enum { RESEND_DOUBLINGS = 4, UNWATCHED_MAX = 12, NEVER_SAYS_MS = 500 };

enum part_state {
    PART_STARTING, /* WATCH_START (or WATCH_STOP) is under way */
    PART_READING,  /* a read without waiting */
    PART_READ,     /* it said what it has: nothing, in WAITING before it is asked again */
    PART_WAITING   /* a read that waits */
};

struct part {
    enum part_state state;
    bool started;       /* the watch, in this batch */
    unsigned unwatched; /* reads that found no watch although it was started */
    uint32_t call;      /* of the newest question */
    unsigned sends;
    msec_t asked_ms, resend_ms;
    struct command command;
};

struct follow {
    struct arena arena;
    struct part *parts;
    shard_id n_parts;
    struct follow_token token; /* the places move as replies come */
    struct bytes name;
    uint32_t limit; /* of one shard's read */
    int32_t today;
    msec_t silent_ms, wait_until_ms, deadline_ms;
    bool stops; /* UNWATCH: nothing is read */
    bool waiting, done;
    bool news; /* events, or a place that a follower begins at */
    struct buf rows, text;
    struct response answer;
    struct error err;
};

void follow_effects_free(struct follow_effects *fx)
{
    free(fx->items);
    *fx = (struct follow_effects){0};
}

static struct follow_effect *add_effect(struct follow_effects *fx)
{
    if (fx->n == fx->cap) {
        fx->cap = fx->cap ? fx->cap * 2 : 16;
        fx->items = realloc(fx->items, fx->cap * sizeof *fx->items);
        if (!fx->items)
            abort(); /* memory that is out ends the process */
    }
    struct follow_effect *e = &fx->items[fx->n++];
    *e = (struct follow_effect){0};
    return e;
}

/* --- ending --- */

static void end(struct follow *f, struct follow_effects *fx)
{
    f->done = true;
    struct follow_effect *e = add_effect(fx);
    e->kind = FOLLOW_ANSWER;
    e->answer = &f->answer;
}

/* The text is in f->err. */
static void fail(struct follow *f, enum error_code code, struct follow_effects *fx)
{
    f->answer = (struct response){.code = code, .text = bytes_of_str(f->err.msg)};
    end(f, fx);
}

static void finish(struct follow *f, struct follow_effects *fx)
{
    size_t silent = 0;
    for (size_t i = 0; i < f->n_parts; i++) {
        const struct part *p = &f->parts[i];
        silent += p->state == PART_STARTING || p->state == PART_READING;
    }
    if (silent == f->n_parts) {
        fail(f, error_set(&f->err, ERR_TIMEOUT, "no shard answered within the deadline"), fx);
        return;
    }
    f->answer.partial = silent > 0;
    if (silent == 0)
        f->token.day = f->today;
    if (!f->stops)
        follow_token_put(&f->token, &f->text);
    f->answer.cursor = buf_bytes(&f->text);
    f->answer.events = buf_bytes(&f->rows);
    end(f, fx);
}

/* --- asking --- */

static void fill_read(const struct follow *f, shard_id shard, msec_t wait_ms, struct command *c)
{
    const struct follow_place *place = &f->token.places[shard];
    *c = (struct command){.type = COMMAND_WATCH_READ,
                          .name = f->name,
                          .limit = f->limit,
                          .version = place->from,
                          .cursor = place->log_index,
                          .profile = place->member,
                          .age_ms = (uint32_t)wait_ms,
                          .other = f->token.number};
}

static void send_part(struct follow *f, shard_id shard, msec_t now, struct follow_effects *fx)
{
    struct part *p = &f->parts[shard];
    msec_t wait_ms = p->state == PART_WAITING ? f->wait_until_ms - now : 0;
    wait_ms = wait_ms < 0 ? 0 : wait_ms < FOLLOW_SLICE_MS ? wait_ms : FOLLOW_SLICE_MS;
    p->asked_ms = now;
    if (p->state == PART_STARTING)
        p->command = (struct command){.type = f->stops ? COMMAND_WATCH_STOP : COMMAND_WATCH_START,
                                      .name = f->name};
    else
        fill_read(f, shard, wait_ms, &p->command);
    p->resend_ms =
        now + wait_ms +
        ((msec_t)FOLLOW_RESEND_MS << (p->sends < RESEND_DOUBLINGS ? p->sends : RESEND_DOUBLINGS));
    p->sends++;
    struct follow_effect *e = add_effect(fx);
    e->kind = p->state == PART_STARTING ? FOLLOW_START : FOLLOW_READ;
    e->shard = shard;
    e->call = p->call;
    e->command = &p->command;
}

static void ask(struct follow *f, shard_id shard, enum part_state state, msec_t now,
                struct follow_effects *fx)
{
    struct part *p = &f->parts[shard];
    p->state = state;
    p->call++;
    p->sends = 0;
    send_part(f, shard, now, fx);
}

/* --- beginning --- */

static enum error_code new_places(struct follow *f, enum watch_from from)
{
    f->token.n_shards = f->n_parts;
    f->token.places = arena_zalloc(&f->arena, f->n_parts * sizeof *f->token.places);
    if (!f->token.places)
        return error_set(&f->err, ERR_NOMEM, "no memory for the request");
    for (size_t i = 0; i < f->n_parts; i++)
        f->token.places[i].from = from;
    return ERR_OK;
}

static enum error_code old_places(struct follow *f, struct bytes text,
                                  const struct follow_token *mine)
{
    enum error_code code = follow_token_parse(text, &f->arena, &f->token, &f->err);
    if (code != ERR_OK)
        return code;
    if (f->token.cluster_id != mine->cluster_id)
        return error_set(&f->err, ERR_INVALID, "token: of another cluster");
    if (f->token.segment != mine->segment)
        return error_set(&f->err, ERR_INVALID, "token: of another segment");
    if (f->token.n_shards != f->n_parts)
        return error_set(&f->err, ERR_TOO_OLD,
                         "the cluster has other shards since the token was given");
    return ERR_OK;
}

static enum error_code take_request(struct follow *f, const struct follow_begin *b, msec_t now)
{
    const struct request *r = b->request;
    struct follow_token mine = {.cluster_id = b->cluster_id,
                                .segment = hash64(r->name),
                                .number = b->number,
                                .day = b->today - 1};
    uint32_t limit = r->limit ? r->limit : FOLLOW_LIMIT;
    msec_t last = b->deadline_ms - FOLLOW_MARGIN_MS - NEVER_SAYS_MS;
    f->name = arena_copy(&f->arena, r->name);
    f->limit = limit / b->n_shards ? limit / b->n_shards : 1;
    f->today = b->today;
    f->deadline_ms = b->deadline_ms;
    f->wait_until_ms = now + r->wait_ms < last ? now + r->wait_ms : last;
    if (limit > FOLLOW_LIMIT_MAX)
        return error_set(&f->err, ERR_INVALID, "limit: at most %d events a batch",
                         FOLLOW_LIMIT_MAX);
    if (r->wait_ms > FOLLOW_WAIT_MAX_MS)
        return error_set(&f->err, ERR_INVALID, "wait: at most %d ms", FOLLOW_WAIT_MAX_MS);
    f->stops = r->type == REQUEST_UNWATCH;
    bool now_on = f->stops || r->cursor.len == 0 || bytes_equal(r->cursor, bytes_of_str("now"));
    bool all = bytes_equal(r->cursor, bytes_of_str("start"));
    if (!now_on && !all)
        return old_places(f, r->cursor, &mine);
    f->token = mine;
    return new_places(f, all ? WATCH_ALL : WATCH_NOW);
}

struct follow *follow_new(const struct follow_begin *b, msec_t now, struct follow_effects *fx)
{
    struct follow *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->n_parts = b->n_shards;
    f->parts = arena_zalloc(&f->arena, f->n_parts * sizeof *f->parts);
    if (!f->parts) {
        follow_free(f);
        return NULL;
    }
    enum error_code code = take_request(f, b, now);
    if (code != ERR_OK) {
        fail(f, code, fx);
        return f;
    }
    bool starts = f->token.day != b->today;
    f->silent_ms = now + (starts ? FOLLOW_STARTING_MS : FOLLOW_SILENT_MS);
    for (shard_id i = 0; i < f->n_parts; i++)
        ask(f, i, starts ? PART_STARTING : PART_READING, now, fx);
    return f;
}

void follow_free(struct follow *f)
{
    if (!f)
        return;
    arena_close(&f->arena);
    buf_free(&f->rows);
    buf_free(&f->text);
    free(f);
}

/* --- replies --- */

static bool all_have_said(const struct follow *f)
{
    for (size_t i = 0; i < f->n_parts; i++)
        if (f->parts[i].state == PART_STARTING || f->parts[i].state == PART_READING)
            return false;
    return true;
}

/* Everybody has said what he has, or is left out. */
static void collected(struct follow *f, msec_t now, struct follow_effects *fx)
{
    if (f->news || f->stops || now >= f->wait_until_ms) {
        finish(f, fx);
        return;
    }
    f->waiting = true;
    for (shard_id i = 0; i < f->n_parts; i++)
        if (f->parts[i].state == PART_READ)
            ask(f, i, PART_WAITING, now, fx);
}

/* A node whose places to wait are taken answers at once: then the timer asks again. */
static void wait_on(struct follow *f, shard_id shard, msec_t now, struct follow_effects *fx)
{
    struct part *p = &f->parts[shard];
    if (now - p->asked_ms >= FOLLOW_RESEND_MS) {
        ask(f, shard, PART_WAITING, now, fx);
        return;
    }
    p->state = PART_WAITING;
    p->call++;
    p->sends = 0;
    p->resend_ms = now + FOLLOW_RESEND_MS;
}

static bool somebody_waits(const struct follow *f)
{
    for (size_t i = 0; i < f->n_parts; i++)
        if (f->parts[i].state == PART_WAITING)
            return true;
    return false;
}

static void take_events(struct follow *f, shard_id shard, const struct reply *r, msec_t now,
                        struct follow_effects *fx)
{
    struct follow_place *place = &f->token.places[shard];
    f->news = f->news || r->n_rows > 0 || place->from != WATCH_AFTER;
    *place = (struct follow_place){(enum watch_from)r->version, r->cursor, r->profile};
    if (r->n_rows == 0 && place->from == WATCH_LISTING) { /* a page of members that had left */
        ask(f, shard, PART_READING, now, fx);
        return;
    }
    buf_put(&f->rows, r->rows.data, r->rows.len);
    f->answer.n_events += r->n_rows;
    f->parts[shard].state = PART_READ;
    if (f->waiting && !f->news && now < f->wait_until_ms)
        wait_on(f, shard, now, fx);
    else if (f->waiting && (f->news || !somebody_waits(f)))
        finish(f, fx);
    else if (!f->waiting && all_have_said(f))
        collected(f, now, fx);
}

static void fail_as_reply(struct follow *f, shard_id shard, const struct reply *r,
                          struct follow_effects *fx)
{
    enum error_code code = r->status == REPLY_ERROR ? r->error : ERR_INTERNAL;
    int len = (int)(r->text.len < 200 ? r->text.len : 200);
    (void)error_set(&f->err, code, "shard %u: %.*s", shard, len,
                    len ? (const char *)r->text.data : "");
    fail(f, code, fx);
}

/* A shard acknowledges a start before its index has heard of it: such a read is asked again by the
 * timer. */
static void not_watched(struct follow *f, shard_id shard, const struct reply *r, msec_t now,
                        struct follow_effects *fx)
{
    struct part *p = &f->parts[shard];
    if (!p->started)
        ask(f, shard, PART_STARTING, now, fx);
    else if (++p->unwatched > UNWATCHED_MAX)
        fail_as_reply(f, shard, r, fx);
}

static bool is_place(const struct reply *r)
{
    return r->version <= WATCH_AFTER && (r->n_rows > 0) == (r->rows.len > 0);
}

void follow_reply(struct follow *f, shard_id shard, uint32_t call, const struct reply *r,
                  msec_t now, struct follow_effects *fx)
{
    if (f->done || shard >= f->n_parts)
        return;
    struct part *p = &f->parts[shard];
    bool asked = p->state != PART_READ && p->call == call;
    bool later = r->status == REPLY_WRONG_SHARD ||
                 (r->status == REPLY_ERROR && error_is_retryable(r->error));
    if (!asked || later)
        return; /* asked again by the timer */
    bool starting = p->state == PART_STARTING;
    if (r->status == REPLY_ERROR && r->error == ERR_NOT_FOUND && !starting) {
        not_watched(f, shard, r, now, fx);
    } else if (r->status != REPLY_OK || (!starting && !is_place(r))) {
        fail_as_reply(f, shard, r, fx);
    } else if (starting && f->stops) {
        p->state = PART_READ;
        if (all_have_said(f))
            finish(f, fx);
    } else if (starting) {
        p->started = true;
        ask(f, shard, f->waiting ? PART_WAITING : PART_READING, now, fx);
    } else {
        take_events(f, shard, r, now, fx);
    }
}

/* --- time --- */

static msec_t end_ms(const struct follow *f)
{
    msec_t last = f->deadline_ms - FOLLOW_MARGIN_MS;
    msec_t end = f->waiting ? f->wait_until_ms + NEVER_SAYS_MS : f->silent_ms;
    return end < last ? end : last;
}

void follow_tick(struct follow *f, msec_t now, struct follow_effects *fx)
{
    if (f->done)
        return;
    if (now >= end_ms(f)) {
        if (f->waiting || f->news || now >= f->wait_until_ms)
            finish(f, fx);
        else
            collected(f, now, fx);
        return;
    }
    for (shard_id i = 0; i < f->n_parts; i++)
        if (f->parts[i].state != PART_READ && now >= f->parts[i].resend_ms)
            send_part(f, i, now, fx);
}

msec_t follow_wake_ms(const struct follow *f)
{
    if (f->done)
        return INT64_MAX;
    msec_t wake = end_ms(f);
    for (size_t i = 0; i < f->n_parts; i++)
        if (f->parts[i].state != PART_READ && f->parts[i].resend_ms < wake)
            wake = f->parts[i].resend_ms;
    return wake;
}
