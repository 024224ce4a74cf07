#include "internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RESEND_FIRST_MS = 500,
    RESEND_LAST_MS = 2000,
    TAIL_SENDS_MAX = 4,
    ARENA_KEPT =
        256 * 1024, /* what a saga that carried a great profile may keep for the next one */
    CACHE_LINE = 64,
    HOT_BYTES = 512,   /* of struct saga: what the usual event touches */
    INPUT_BYTES = 256, /* the same, of the arena */
};

#define BIT(name) (1u << STATE_##name)

static const uint32_t allowed_moves[STATE_COUNT] = {
    [STATE_IDLE] = BIT(APPLY) | BIT(READ) | BIT(HELP) | BIT(SWEEP_ASK),
    [STATE_APPLY] = BIT(APPLY) | BIT(LINK) | BIT(HELP) | BIT(BACKOFF) | BIT(TAIL),
    [STATE_LINK] = BIT(APPLY) | BIT(FREEZE) | BIT(ABSORB) | BIT(HELP) | BIT(BACKOFF),
    [STATE_FREEZE] = BIT(APPLY) | BIT(FREEZE) | BIT(ABSORB) | BIT(HELP) | BIT(BACKOFF),
    [STATE_ABSORB] = BIT(APPLY) | BIT(LINK) | BIT(FREEZE) | BIT(HELP) | BIT(BACKOFF) | BIT(TAIL),
    [STATE_BACKOFF] = BIT(APPLY),
    [STATE_TAIL] = 0,
    [STATE_HELP] = BIT(APPLY) | BIT(BACKOFF) | BIT(HELP) | BIT(CHECK),
    [STATE_READ] = BIT(READ) | BIT(READ_BACKOFF),
    [STATE_READ_BACKOFF] = BIT(READ),
    [STATE_SWEEP_ASK] = BIT(HELP) | BIT(CHECK),
    [STATE_CHECK] = BIT(HELP) | BIT(CHECK) | BIT(FIND) | BIT(DROP),
    [STATE_FIND] = BIT(HELP) | BIT(CHECK) | BIT(FIX),
    [STATE_FIX] = BIT(DROP),
    [STATE_DROP] = BIT(HELP) | BIT(CHECK),
    [STATE_END] = 0,
};

static const char *const state_names[STATE_COUNT] = {
#define X(name) [STATE_##name] = #name,
    SAGA_STATES(X)
#undef X
};

static enum saga_kind kind_of_state(enum saga_state st)
{
    if (st >= STATE_APPLY && st <= STATE_TAIL)
        return SAGA_INGEST;
    if (st == STATE_READ || st == STATE_READ_BACKOFF)
        return SAGA_READ;
    if (st >= STATE_SWEEP_ASK && st <= STATE_DROP)
        return SAGA_SWEEP;
    return SAGA_NONE;
}

/* What holds between two steps, whatever came in. */
static bool is_consistent(const struct saga *s)
{
    enum saga_kind kind = kind_of_state(s->state);
    bool waits = s->state == STATE_BACKOFF || s->state == STATE_READ_BACKOFF;
    uint32_t live = 0;

    for (uint32_t i = 0; i < s->n_calls; i++)
        live += s->calls[i].live;
    if (live != s->pending)
        return false;
    if (kind != SAGA_NONE && kind != s->kind)
        return false;
    if (s->state == STATE_END)
        return s->pending == 0 && s->answered;
    if (s->state == STATE_TAIL && !s->answered)
        return false;
    if (waits != (s->wait_ms != 0))
        return false;
    return s->state == STATE_IDLE || waits ? s->pending == 0 : s->pending > 0;
}

void saga_move(struct saga *s, enum saga_state to)
{
    assert(to == STATE_END ? s->state != STATE_END : (allowed_moves[s->state] >> to & 1) != 0);
    s->state = to;
}

void *saga_alloc(struct saga *s, size_t size)
{
    void *p = arena_zalloc(&s->arena, size ? size : 1);

    if (!p) {
        fputs("oneid: out of memory in a saga\n", stderr);
        abort();
    }
    return p;
}

struct bytes saga_copy(struct saga *s, struct bytes b)
{
    uint8_t *p;

    if (b.len == 0)
        return bytes_of(NULL, 0);
    p = saga_alloc(s, b.len);
    memcpy(p, b.data, b.len);
    return bytes_of(p, b.len);
}

struct identity saga_copy_identity(struct saga *s, struct identity i)
{
    return (struct identity){i.ns, saga_copy(s, i.value)};
}

struct command *saga_command(struct saga *s, enum command_type type, one_id profile)
{
    struct command *c = saga_alloc(s, sizeof *c);

    c->type = type;
    c->profile = profile;
    return c;
}

static struct saga_effect *effect_add(struct saga *s, enum saga_effect_kind kind)
{
    struct saga_effects *fx = s->fx;

    if (fx->n == fx->cap) {
        size_t cap = fx->cap ? 2 * fx->cap : 16;
        struct saga_effect *items = realloc(fx->items, cap * sizeof *items);
        if (!items) {
            fputs("oneid: out of memory in a saga\n", stderr);
            abort();
        }
        fx->items = items;
        fx->cap = cap;
    }
    fx->items[fx->n] = (struct saga_effect){.kind = kind};
    return &fx->items[fx->n++];
}

void saga_effects_free(struct saga_effects *fx)
{
    free(fx->items);
    *fx = (struct saga_effects){0};
}

bool saga_has_room(const struct saga *s, uint32_t calls)
{
    return s->pending + calls <= CALLS_MAX;
}

/* Order among the waiting calls is kept: it is the order in which a batch is sent again. */
static void calls_compact(struct saga *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->n_calls; i++) {
        if (s->calls[i].live)
            s->calls[n++] = s->calls[i];
    }
    s->n_calls = n;
}

static void calls_make_room(struct saga *s)
{
    if (s->pending == 0)
        s->n_calls = 0;
    else if (s->n_calls == CALLS_MAX)
        calls_compact(s);
    if (s->n_calls < s->cap_calls)
        return;
    uint32_t cap = s->cap_calls * 4 < CALLS_MAX ? s->cap_calls * 4 : CALLS_MAX;
    struct call *grown = saga_alloc(s, cap * sizeof *grown);
    memcpy(grown, s->calls, s->n_calls * sizeof *grown);
    s->calls = grown;
    s->cap_calls = cap;
}

static void call_emit(struct saga *s, struct call *c)
{
    msec_t delay = (msec_t)RESEND_FIRST_MS << (c->sends < 2 ? c->sends : 2);
    struct saga_effect *e = effect_add(s, SAGA_SEND);

    /* A replica and the leader in turn: either may be away. */
    e->stale = c->sends % 2 == 0 && s->kind == SAGA_READ && s->u.read.is_stale_ok;
    c->sends++;
    c->resend_ms = s->now + (delay < RESEND_LAST_MS ? delay : RESEND_LAST_MS);
    e->call = c->number;
    e->slot = c->slot;
    e->write = c->write;
    e->command = c->command;
}

void saga_send(struct saga *s, enum purpose purpose, uint32_t at, slot_id slot,
               const struct command *command)
{
    struct call *c;

    assert(saga_has_room(s, 1));
    calls_make_room(s);
    c = &s->calls[s->n_calls++];
    *c = (struct call){.number = ++s->last_call,
                       .purpose = purpose,
                       .at = at,
                       .slot = slot,
                       .write = !command_is_read(command->type),
                       .live = true,
                       .command = command};
    s->pending++;
    call_emit(s, c);
}

void saga_learn(struct saga *s, struct identity id, one_id profile)
{
    struct saga_effect *e = effect_add(s, SAGA_LEARN);

    e->id = id;
    e->profile = profile;
}

void saga_forget(struct saga *s, struct identity id, one_id profile)
{
    struct saga_effect *e = effect_add(s, SAGA_FORGET);

    e->id = id;
    e->profile = profile;
}

void saga_answer(struct saga *s)
{
    assert(!s->answered);
    s->answered = true;
    effect_add(s, SAGA_ANSWER)->answer = &s->answer;
}

void saga_end(struct saga *s)
{
    saga_move(s, STATE_END);
    s->pending = s->n_calls = 0;
    s->wait_ms = 0;
    effect_add(s, SAGA_END);
}

void saga_fail(struct saga *s, enum error_code code)
{
    if (!s->answered) {
        s->answer.code = code;
        saga_answer(s);
    }
    saga_end(s);
}

void saga_back_off(struct saga *s, enum saga_state state, uint32_t tries)
{
    uint64_t widest = UINT64_C(2) << (tries < 5 ? tries : 5);

    saga_move(s, state);
    s->wait_ms = s->now + 1 + (msec_t)rng_below(&s->rng, widest);
}

struct saga *saga_new(void)
{
    struct saga *s = calloc(1, sizeof *s);
    if (s && !arena_alloc(&s->arena, 1)) { /* its first block, right behind it in memory */
        free(s);
        return NULL;
    }
    if (s)
        saga_reset(s);
    return s;
}

void saga_free(struct saga *s)
{
    if (!s)
        return;
    arena_close(&s->arena);
    free(s);
}

void saga_reset(struct saga *s)
{
    if (s->arena.used > ARENA_KEPT)
        arena_close(&s->arena);
    else
        arena_reset(&s->arena);
    s->kind = SAGA_NONE;
    s->state = STATE_IDLE;
    s->wait_ms = 0;
    s->answered = false;
    s->answer = (struct saga_answer){0};
    s->last_call = s->n_calls = s->pending = 0;
    s->calls = s->first_calls;
    s->cap_calls = CALLS_FIRST;
    s->closings = NULL;
    s->n_closings = s->cap_closings = s->closing = s->closing_holder = 0;
    s->help.phase = HELP_IDLE;
}

struct arena *saga_arena(struct saga *s)
{
    return &s->arena;
}

static void prefetch(const void *p, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += CACHE_LINE)
        __builtin_prefetch((const char *)p + at);
}

void saga_prefetch(const struct saga *s)
{
    prefetch(s, HOT_BYTES);
}

void saga_prefetch_input(const struct saga *s)
{
    if (s->arena.first)
        prefetch(s->arena.first, INPUT_BYTES);
}

static void on_start(struct saga *s, const struct saga_start *start)
{
    assert(s->state == STATE_IDLE);
    s->kind = start->kind;
    s->deadline_ms = start->deadline_ms;
    s->rng = rng_of_seed(start->seed);
    switch (start->kind) {
    case SAGA_INGEST:
        ingest_start(s, &start->in.ingest);
        break;
    case SAGA_READ:
        read_start(s, &start->in.read);
        break;
    case SAGA_HELP:
        help_saga_start(s, &start->in.help);
        break;
    case SAGA_SWEEP:
        sweep_start(s, &start->in.sweep);
        break;
    case SAGA_NONE:
        assert(false && "a saga of no kind");
        break;
    }
}

static void call_drop(struct saga *s, struct call *c)
{
    c->live = false;
    s->pending--;
}

/* A round is over when its last reply is in. */
static void settle(struct saga *s)
{
    if (s->state == STATE_END || s->pending > 0 || s->wait_ms != 0)
        return;
    if (s->state == STATE_HELP)
        help_settle(s);
    else if (s->kind == SAGA_INGEST)
        ingest_settle(s);
    else if (s->kind == SAGA_SWEEP)
        sweep_settle(s);
}

static void dispatch(struct saga *s, const struct call *c, const struct reply *r)
{
    if (c->purpose == CALL_CLOSE || c->purpose == CALL_ABORT) {
        if (c->purpose == CALL_CLOSE)
            closing_pump(s);
    } else if (c->purpose == CALL_HELP) {
        help_on_reply(s, c, r);
    } else if (s->kind == SAGA_INGEST) {
        ingest_on_reply(s, c, r);
    } else if (s->kind == SAGA_READ) {
        read_on_reply(s, r);
    } else {
        sweep_on_reply(s, c, r);
    }
}

/* The shard did not do it: where that may change, the call waits and is sent again. */
static void on_trouble(struct saga *s, struct call *c, enum error_code code)
{
    if (!error_is_retryable(code)) {
        if (s->state != STATE_TAIL)
            saga_fail(s, code == ERR_OK ? ERR_INTERNAL : code);
        else
            call_drop(s, c);
        return;
    }
    if (code == ERR_UNAVAILABLE || code == ERR_NOT_LEADER || code == ERR_WRONG_SHARD ||
        code == ERR_STALE_EPOCH)
        effect_add(s, SAGA_REFRESH_MAP);
    c->resend_ms =
        s->now + 5 + (msec_t)rng_below(&s->rng, UINT64_C(10) << (c->sends < 5 ? c->sends : 5));
}

static void on_reply(struct saga *s, uint32_t number, const struct reply *r)
{
    struct call *c = NULL, copy;

    for (uint32_t i = 0; i < s->n_calls && !c; i++) {
        if (s->calls[i].live && s->calls[i].number == number)
            c = &s->calls[i];
    }
    if (!c)
        return;
    if (r->status == REPLY_WRONG_SHARD || r->status == REPLY_ERROR) {
        on_trouble(s, c, r->status == REPLY_ERROR ? r->error : ERR_WRONG_SHARD);
    } else {
        copy = *c;
        call_drop(s, c);
        dispatch(s, &copy, r);
    }
    settle(s);
}

static void resend_due(struct saga *s)
{
    uint32_t n = s->n_calls;

    for (uint32_t i = 0; i < n; i++) {
        struct call *c = &s->calls[i];
        if (!c->live || c->resend_ms > s->now)
            continue;
        if (s->state == STATE_TAIL && c->sends >= TAIL_SENDS_MAX)
            call_drop(s, c);
        else
            call_emit(s, c);
    }
    settle(s);
}

static void on_tick(struct saga *s)
{
    if (s->now >= s->deadline_ms) {
        saga_fail(s, ERR_TIMEOUT);
        return;
    }
    if (s->wait_ms != 0 && s->now >= s->wait_ms) {
        s->wait_ms = 0;
        if (s->kind == SAGA_READ)
            read_resume(s);
        else
            ingest_resume(s);
        return;
    }
    resend_due(s);
}

void saga_step(struct saga *s, msec_t now_mono_ms, const struct saga_event *e,
               struct saga_effects *fx)
{
    s->now = now_mono_ms;
    s->fx = fx;
    if (s->state == STATE_END || (s->state == STATE_IDLE) != (e->kind == SAGA_START))
        return;
    switch (e->kind) {
    case SAGA_START:
        on_start(s, e->start);
        break;
    case SAGA_REPLY:
        on_reply(s, e->call, e->reply);
        break;
    case SAGA_TICK:
        on_tick(s);
        break;
    }
    s->fx = NULL;
    assert(is_consistent(s));
}

msec_t saga_wake_ms(const struct saga *s)
{
    msec_t at;

    if (s->state == STATE_END || s->state == STATE_IDLE)
        return INT64_MAX;
    at = s->deadline_ms;
    if (s->wait_ms != 0 && s->wait_ms < at)
        at = s->wait_ms;
    for (uint32_t i = 0; i < s->n_calls; i++) {
        if (s->calls[i].live && s->calls[i].resend_ms < at)
            at = s->calls[i].resend_ms;
    }
    return at;
}

const char *saga_state_name(const struct saga *s)
{
    return state_names[s->state];
}
