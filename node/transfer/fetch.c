#include <transfer/fetch.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW_DEFAULT = 16,
    PATIENCE_MS = 60000,
    STARTS_MAX = 5,
    OPEN_FIRST_MS = 100, /* between questions whether the copy is there; doubles */
    OPEN_MOST_MS = 2000,
    ASK_FIRST_MS = 2000, /* until a chunk is asked for again; doubles, follows what is measured */
    ASK_LEAST_MS = 500,
    ASK_MOST_MS = 15000,
    ASK_TIMES = 4, /* the time that a chunk took */
    FULL_MS = 1000,
    EFFECTS_MAX = FETCH_WINDOW_MAX + 4
};

enum chunk_state { CHUNK_MISSING, CHUNK_ASKED, CHUNK_WRITING, CHUNK_HELD };

struct asked {
    uint64_t chunk;
    msec_t sent_ms, again_ms;
    bool repeated;
};

struct fetch {
    struct fetch_options options;
    enum fetch_state state;
    struct transfer_copy copy; /* READING: what is being received */
    uint64_t n_chunks, n_held;
    uint64_t lowest_missing; /* no chunk below it is MISSING */
    uint8_t *chunks;         /* enum chunk_state */
    uint64_t *sums;          /* of chunks that came */
    struct asked asked[FETCH_WINDOW_MAX];
    size_t n_asked;
    msec_t open_again_ms, open_wait_ms;
    msec_t ask_wait_ms, slowed_ms; /* when the wait was last doubled */
    msec_t heard_ms;               /* when something good came */
    msec_t full_ms;                /* the disk is full: nothing is asked for before; 0: it is not */
    unsigned starts;
    uint64_t again, damaged, written;
    struct error error; /* FAILED; before: the sender's last refusal */
    struct fetch_effect effects[EFFECTS_MAX];
    size_t n_effects;
};

/* --- states --- */

static const char *const STATE_NAMES[] = {"opening", "reading", "done", "failed"};

static const bool MOVES[4][4] = {
    [FETCH_STATE_OPENING] =
        {[FETCH_STATE_OPENING] = true, [FETCH_STATE_READING] = true, [FETCH_STATE_FAILED] = true},
    [FETCH_STATE_READING] =
        {[FETCH_STATE_OPENING] = true, [FETCH_STATE_DONE] = true, [FETCH_STATE_FAILED] = true},
};

const char *fetch_state_name(enum fetch_state s)
{
    return STATE_NAMES[s];
}

static bool is_over(const struct fetch *f)
{
    return f->state == FETCH_STATE_DONE || f->state == FETCH_STATE_FAILED;
}

static void check_invariants(const struct fetch *f)
{
    assert(f->n_asked <= f->options.window);
    assert(f->n_held <= f->n_chunks);
    assert(f->state != FETCH_STATE_DONE || f->n_held == f->n_chunks);
    assert(f->state == FETCH_STATE_READING || f->n_asked == 0);
}

static void move(struct fetch *f, enum fetch_state to)
{
    assert(MOVES[f->state][to]);
    f->state = to;
    check_invariants(f);
}

/* --- effects --- */

static struct fetch_effect *emit(struct fetch *f, enum fetch_effect_type type)
{
    assert(f->n_effects < EFFECTS_MAX);
    struct fetch_effect *e = &f->effects[f->n_effects++];
    *e = (struct fetch_effect){.type = type, .copy = &f->copy, .error = &f->error};
    return e;
}

static void begin(struct fetch *f, struct fetch_effects *out)
{
    f->n_effects = 0;
    *out = (struct fetch_effects){0};
}

static void end(struct fetch *f, struct fetch_effects *out)
{
    check_invariants(f);
    *out = (struct fetch_effects){f->effects, f->n_effects};
}

static void forget_chunks(struct fetch *f)
{
    free(f->chunks);
    free(f->sums);
    f->chunks = NULL;
    f->sums = NULL;
    f->n_asked = 0;
    f->n_chunks = f->n_held = f->lowest_missing = f->written = 0;
}

static void fail(struct fetch *f)
{
    f->n_asked = 0;
    move(f, FETCH_STATE_FAILED);
    (void)emit(f, FETCH_FAILED);
}

/* --- opening --- */

static void ask_open(struct fetch *f, msec_t now)
{
    emit(f, FETCH_SEND)->ask = (struct transfer_ask){
        .type = TRANSFER_OPEN, .at_least = f->options.at_least, .node = f->options.node};
    f->open_again_ms = now + f->open_wait_ms;
    f->open_wait_ms = f->open_wait_ms * 2 < OPEN_MOST_MS ? f->open_wait_ms * 2 : OPEN_MOST_MS;
}

/* From the beginning, unless that has been tried too often; `why` is then the reason. */
static void start_over(struct fetch *f, msec_t now, const char *why)
{
    forget_chunks(f);
    if (f->starts >= f->options.starts_max) {
        (void)error_set(&f->error, ERR_UNAVAILABLE, "began %u times in vain; at last: %s",
                        f->starts, why);
        fail(f);
        return;
    }
    move(f, FETCH_STATE_OPENING);
    f->open_wait_ms = OPEN_FIRST_MS;
    ask_open(f, now);
}

/* --- reading --- */

/* Skips to the next chunk to be asked for; false: there is none. */
static bool next_missing(struct fetch *f, uint64_t *chunk)
{
    while (f->lowest_missing < f->n_chunks && f->chunks[f->lowest_missing] != CHUNK_MISSING)
        f->lowest_missing++;
    *chunk = f->lowest_missing;
    return f->lowest_missing < f->n_chunks;
}

static void send_read(struct fetch *f, msec_t now, struct asked *a)
{
    a->sent_ms = now;
    a->again_ms = now + f->ask_wait_ms;
    emit(f, FETCH_SEND)->ask = (struct transfer_ask){
        .type = TRANSFER_READ, .copy = f->copy.id, .offset = a->chunk * f->copy.chunk_bytes};
}

static void ask_more(struct fetch *f, msec_t now)
{
    uint64_t chunk;
    size_t credit = f->full_ms == 0 ? f->options.window : 1;
    if (f->full_ms > now)
        return;
    while (f->n_asked < credit && next_missing(f, &chunk)) {
        struct asked *a = &f->asked[f->n_asked++];
        *a = (struct asked){.chunk = chunk};
        f->chunks[chunk] = CHUNK_ASKED;
        send_read(f, now, a);
    }
}

/* Those that are overdue. Many are when the other side is silent, one after the other: that is one
 * reason to wait longer, not many. */
static void ask_again(struct fetch *f, msec_t now)
{
    bool late = false;
    for (size_t i = 0; i < f->n_asked; i++)
        late |= f->asked[i].again_ms <= now;
    if (!late)
        return;
    if (now - f->slowed_ms >= f->ask_wait_ms) {
        f->ask_wait_ms = f->ask_wait_ms * 2 < ASK_MOST_MS ? f->ask_wait_ms * 2 : ASK_MOST_MS;
        f->slowed_ms = now;
    }
    for (size_t i = 0; i < f->n_asked; i++) {
        struct asked *a = &f->asked[i];
        if (a->again_ms > now)
            continue;
        a->repeated = true;
        f->again++;
        send_read(f, now, a);
    }
}

static struct asked *find_asked(struct fetch *f, uint64_t chunk)
{
    for (size_t i = 0; i < f->n_asked; i++)
        if (f->asked[i].chunk == chunk)
            return &f->asked[i];
    return NULL;
}

/* Only what was asked for once tells how long an answer takes (P. Karn's rule). */
static void learn_wait(struct fetch *f, msec_t now, const struct asked *a)
{
    if (a->repeated)
        return;
    msec_t wait = (now - a->sent_ms) * ASK_TIMES;
    f->ask_wait_ms = wait < ASK_LEAST_MS ? ASK_LEAST_MS : wait > ASK_MOST_MS ? ASK_MOST_MS : wait;
}

static void on_chunk(struct fetch *f, msec_t now, const struct transfer_answer *a)
{
    if (f->state != FETCH_STATE_READING || a->info.id != f->copy.id ||
        transfer_chunk_len(&f->copy, a->offset) != a->data.len || a->data.len == 0)
        return;
    uint64_t chunk = a->offset / f->copy.chunk_bytes;
    struct asked *asked = find_asked(f, chunk);
    if (!asked)
        return;
    if (transfer_sum_chunk(f->copy.id, a->offset, a->data) != a->sum) {
        f->damaged++; /* it is asked for again when its time comes, not in a hurry */
        return;
    }
    learn_wait(f, now, asked);
    *asked = f->asked[--f->n_asked];
    f->heard_ms = now;
    f->chunks[chunk] = CHUNK_WRITING;
    f->sums[chunk] = a->sum;
    struct fetch_effect *e = emit(f, FETCH_WRITE);
    e->offset = a->offset;
    e->data = a->data;
}

static void on_opened(struct fetch *f, msec_t now, const struct transfer_copy *c)
{
    if (f->state != FETCH_STATE_OPENING)
        return;
    if (c->applied < f->options.at_least) {
        (void)error_set(&f->error, ERR_INVALID, "the copy ends at %llu, asked for was %llu",
                        (unsigned long long)c->applied, (unsigned long long)f->options.at_least);
        fail(f);
        return;
    }
    uint64_t n = transfer_chunks(c);
    if (c->size > f->options.size_max || n > SIZE_MAX / sizeof *f->sums) {
        (void)error_set(&f->error, ERR_TOO_LARGE, "the copy has %llu bytes, at most %llu fit",
                        (unsigned long long)c->size, (unsigned long long)f->options.size_max);
        fail(f);
        return;
    }
    f->chunks = calloc((size_t)n, sizeof *f->chunks);
    f->sums = calloc((size_t)n, sizeof *f->sums);
    if (!f->chunks || !f->sums) {
        forget_chunks(f);
        (void)error_set(&f->error, ERR_NOMEM, "no memory for a list of %llu chunks",
                        (unsigned long long)n);
        fail(f);
        return;
    }
    f->copy = *c;
    f->error = (struct error){0};
    f->n_chunks = n;
    f->heard_ms = now;
    f->full_ms = 0;
    f->starts++;
    move(f, FETCH_STATE_READING);
    (void)emit(f, FETCH_BEGIN);
    ask_more(f, now);
}

static void on_refused(struct fetch *f, msec_t now, const struct transfer_answer *a)
{
    if (f->state != FETCH_STATE_OPENING)
        return;
    (void)error_set(&f->error, a->code, "the sender refuses: %.*s", (int)a->text.len,
                    a->text.len > 0 ? (const char *)a->text.data : "");
    if (!error_is_retryable(a->code))
        fail(f);
    else if (f->open_again_ms < now + FULL_MS)
        f->open_again_ms = now + FULL_MS;
}

/* --- events --- */

static void on_answer(struct fetch *f, msec_t now, const struct transfer_answer *a)
{
    switch (a->type) {
    case TRANSFER_OPENED:
        on_opened(f, now, &a->info);
        break;
    case TRANSFER_WAIT:
        /* Once refused, only a copy counts: else a sender that fails each time is asked for ever.
         */
        if (f->state == FETCH_STATE_OPENING && f->error.code == ERR_OK)
            f->heard_ms = now;
        break;
    case TRANSFER_CHUNK_DATA:
        on_chunk(f, now, a);
        break;
    case TRANSFER_GONE:
        if (f->state != FETCH_STATE_READING || a->info.id != f->copy.id)
            break;
        f->heard_ms = now;
        start_over(f, now, "the sender does not have the copy any more");
        break;
    case TRANSFER_REFUSED:
        on_refused(f, now, a);
        break;
    case TRANSFER_ANSWER_END:
        break;
    }
}

void fetch_receive(struct fetch *f, msec_t now, struct bytes body, struct fetch_effects *out)
{
    struct transfer_answer a;
    begin(f, out);
    if (!is_over(f) && transfer_answer_decode(body, &a, NULL) == ERR_OK)
        on_answer(f, now, &a);
    end(f, out);
}

static void finish(struct fetch *f, msec_t now)
{
    if (transfer_sum_whole(&f->copy, f->sums) != f->copy.sum) {
        start_over(f, now, "the whole has another check sum than its sender says");
        return;
    }
    move(f, FETCH_STATE_DONE);
    emit(f, FETCH_SEND)->ask = (struct transfer_ask){.type = TRANSFER_CLOSE, .copy = f->copy.id};
    (void)emit(f, FETCH_DONE);
}

void fetch_written(struct fetch *f, msec_t now, uint64_t offset, bool ok, struct fetch_effects *out)
{
    begin(f, out);
    uint64_t chunk = f->state == FETCH_STATE_READING ? offset / f->copy.chunk_bytes : 0;
    if (f->state == FETCH_STATE_READING) {
        assert(chunk < f->n_chunks && f->chunks[chunk] == CHUNK_WRITING);
        f->heard_ms = now;
        if (ok) {
            f->chunks[chunk] = CHUNK_HELD;
            f->n_held++;
            f->written += transfer_chunk_len(&f->copy, offset);
            f->full_ms = 0;
        } else {
            f->chunks[chunk] = CHUNK_MISSING;
            if (chunk < f->lowest_missing)
                f->lowest_missing = chunk;
            f->full_ms = now + FULL_MS;
        }
        if (f->n_held == f->n_chunks)
            finish(f, now);
        else
            ask_more(f, now);
    }
    end(f, out);
}

static void give_up(struct fetch *f, msec_t now)
{
    struct error last = f->error;
    (void)error_set(
        &f->error, ERR_TIMEOUT,
        "nothing good from the sender for %lld s while %s (%llu damaged chunks)%s%.120s",
        (long long)(now - f->heard_ms) / 1000, fetch_state_name(f->state),
        (unsigned long long)f->damaged, last.code ? "; before: " : "", last.code ? last.msg : "");
    fail(f);
}

void fetch_start(struct fetch *f, msec_t now, struct fetch_effects *out)
{
    begin(f, out);
    f->heard_ms = now;
    ask_open(f, now);
    end(f, out);
}

void fetch_tick(struct fetch *f, msec_t now, struct fetch_effects *out)
{
    begin(f, out);
    if (!is_over(f) && now >= fetch_next_timeout(f)) {
        if (now - f->heard_ms >= f->options.patience_ms) {
            give_up(f, now);
        } else if (f->state == FETCH_STATE_OPENING) {
            ask_open(f, now);
        } else {
            ask_again(f, now);
            ask_more(f, now);
        }
    }
    end(f, out);
}

msec_t fetch_next_timeout(const struct fetch *f)
{
    if (is_over(f))
        return INT64_MAX;
    msec_t next = f->heard_ms + f->options.patience_ms;
    if (f->state == FETCH_STATE_OPENING)
        return f->open_again_ms < next ? f->open_again_ms : next;
    for (size_t i = 0; i < f->n_asked; i++)
        next = f->asked[i].again_ms < next ? f->asked[i].again_ms : next;
    if (f->full_ms != 0 && f->n_asked == 0 && f->full_ms < next)
        next = f->full_ms;
    return next;
}

void fetch_get_status(const struct fetch *f, struct fetch_status *out)
{
    *out =
        (struct fetch_status){f->state, f->copy.size, f->written, f->again, f->damaged, f->starts};
}

struct fetch *fetch_new(const struct fetch_options *o)
{
    struct fetch *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->options = *o;
    if (o->window == 0)
        f->options.window = WINDOW_DEFAULT;
    else if (o->window > FETCH_WINDOW_MAX)
        f->options.window = FETCH_WINDOW_MAX;
    if (o->patience_ms == 0)
        f->options.patience_ms = PATIENCE_MS;
    if (o->starts_max == 0)
        f->options.starts_max = STARTS_MAX;
    f->open_wait_ms = OPEN_FIRST_MS;
    f->ask_wait_ms = ASK_FIRST_MS;
    return f;
}

void fetch_free(struct fetch *f)
{
    if (!f)
        return;
    forget_chunks(f);
    free(f);
}
