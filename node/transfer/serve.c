#include <transfer/serve.h>

#include <base/rng.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    COPIES_DEFAULT = 2,
    IDLE_MS = 60000,
    EFFECTS_MAX = SERVE_COPIES_MAX + 2 /* at most each copy dropped, one made, one answer */
};

/*   FREE ──▶ MAKING ──▶ READY ──▶ FREE
 *                └─────▶ FAILED ──▶ FREE   once an asker was told why */
enum slot_state { SLOT_FREE, SLOT_MAKING, SLOT_READY, SLOT_FAILED };

struct slot {
    enum slot_state state;
    uint16_t shard;
    uint64_t wanted; /* log index that the first asker wants in it */
    struct transfer_copy copy;
    struct asker {
        uint64_t fetch;
        uint16_t node;          /* 0: not known */
    } askers[SERVE_ASKERS_MAX]; /* who opened it and has not closed it */
    size_t n_askers;
    msec_t used_ms;
    struct error error;
};

struct serve {
    struct serve_options options;
    struct rng rng;
    struct slot slots[SERVE_COPIES_MAX];
    char text[sizeof((struct error *)0)->msg];
    struct serve_effect effects[EFFECTS_MAX];
    size_t n_effects;
};

/* --- states --- */

static const bool MOVES[4][4] = {
    [SLOT_FREE] = {[SLOT_MAKING] = true, [SLOT_READY] = true},
    [SLOT_MAKING] = {[SLOT_READY] = true, [SLOT_FAILED] = true, [SLOT_FREE] = true},
    [SLOT_READY] = {[SLOT_FREE] = true},
    [SLOT_FAILED] = {[SLOT_FREE] = true},
};

static void check_invariants(const struct slot *t)
{
    assert(t->n_askers <= SERVE_ASKERS_MAX);
    assert(t->state == SLOT_FREE || t->copy.id != 0);
    assert(t->state != SLOT_READY || t->copy.size > 0);
    assert(t->state != SLOT_FAILED || t->error.code != ERR_OK);
}

static void move(struct slot *t, enum slot_state to)
{
    assert(MOVES[t->state][to]);
    t->state = to;
    check_invariants(t);
}

static void release(struct slot *t)
{
    move(t, SLOT_FREE);
    *t = (struct slot){0};
}

/* --- effects --- */

static struct serve_effect *emit(struct serve *s, enum serve_effect_type type, const struct slot *t)
{
    assert(s->n_effects < EFFECTS_MAX);
    struct serve_effect *e = &s->effects[s->n_effects++];
    *e = (struct serve_effect){.type = type};
    if (t) {
        e->copy = t->copy;
        e->shard = t->shard;
    }
    return e;
}

static void begin(struct serve *s, struct serve_effects *out)
{
    s->n_effects = 0;
    *out = (struct serve_effects){0};
}

static void end(struct serve *s, struct serve_effects *out)
{
    *out = (struct serve_effects){s->effects, s->n_effects};
}

static void answer(struct serve *s, enum transfer_answer_type type)
{
    emit(s, SERVE_REPLY, NULL)->answer.type = type;
}

static void refuse(struct serve *s, const struct error *why)
{
    memcpy(s->text, why->msg, sizeof s->text);
    struct transfer_answer *a = &emit(s, SERVE_REPLY, NULL)->answer;
    *a = (struct transfer_answer){
        .type = TRANSFER_REFUSED, .code = why->code, .text = bytes_of_str(s->text)};
}

static void drop(struct serve *s, struct slot *t)
{
    (void)emit(s, SERVE_DROP, t);
    release(t);
}

/* --- slots --- */

static struct slot *find_copy(struct serve *s, uint64_t id)
{
    for (size_t i = 0; i < SERVE_COPIES_MAX; i++)
        if (s->slots[i].state != SLOT_FREE && s->slots[i].copy.id == id)
            return &s->slots[i];
    return NULL;
}

/* What an asker of this shard may have, ready or not: one that is being made now holds all that is
 * durable now. */
static struct slot *find_for(struct serve *s, uint16_t shard, uint64_t at_least)
{
    for (size_t i = 0; i < SERVE_COPIES_MAX; i++) {
        struct slot *t = &s->slots[i];
        if (t->state == SLOT_FREE || t->shard != shard)
            continue;
        if (t->state != SLOT_READY || t->copy.applied >= at_least)
            return t;
    }
    return NULL;
}

static size_t find_asker(const struct slot *t, uint64_t fetch)
{
    size_t i = 0;
    while (i < t->n_askers && t->askers[i].fetch != fetch)
        i++;
    return i;
}

/* False: there are too many. */
static bool add_asker(struct slot *t, struct asker asker)
{
    if (find_asker(t, asker.fetch) < t->n_askers)
        return true;
    if (t->n_askers == SERVE_ASKERS_MAX)
        return false;
    t->askers[t->n_askers++] = asker;
    return true;
}

/* The node asks anew: what it asked before it died, or gave up, holds nothing any more. */
static void forget_earlier(struct serve *s, uint16_t shard, struct asker asker)
{
    for (size_t i = 0; i < SERVE_COPIES_MAX && asker.node != 0; i++) {
        struct slot *t = &s->slots[i];
        if (t->state == SLOT_FREE || t->shard != shard)
            continue;
        for (size_t k = t->n_askers; k-- > 0;)
            if (t->askers[k].node == asker.node && t->askers[k].fetch != asker.fetch)
                t->askers[k] = t->askers[--t->n_askers];
    }
}

/* NULL: all are taken. One that nobody has open (it was adopted) makes room. */
static struct slot *free_slot(struct serve *s)
{
    struct slot *unused = NULL;
    for (size_t i = 0; i < s->options.copies_max; i++) {
        struct slot *t = &s->slots[i];
        if (t->state == SLOT_FREE)
            return t;
        if (t->state == SLOT_READY && t->n_askers == 0)
            unused = t;
    }
    if (unused)
        drop(s, unused);
    return unused;
}

static uint64_t new_id(struct serve *s)
{
    uint64_t id;
    do
        id = rng_u64(&s->rng);
    while (id == 0 || find_copy(s, id));
    return id;
}

/* --- requests --- */

static void make_copy(struct serve *s, msec_t now, uint16_t shard, struct asker asker,
                      uint64_t at_least)
{
    struct slot *t = free_slot(s);
    if (t) {
        *t =
            (struct slot){.shard = shard, .wanted = at_least, .copy.id = new_id(s), .used_ms = now};
        (void)add_asker(t, asker);
        move(t, SLOT_MAKING);
        (void)emit(s, SERVE_COPY, t);
    }
    answer(s, TRANSFER_WAIT);
}

static void on_open(struct serve *s, msec_t now, uint16_t shard, struct asker asker,
                    uint64_t at_least)
{
    forget_earlier(s, shard, asker);
    struct slot *t = find_for(s, shard, at_least);
    if (!t) {
        make_copy(s, now, shard, asker, at_least);
        return;
    }
    if (t->state == SLOT_FAILED) {
        refuse(s, &t->error);
        release(t);
        return;
    }
    if (!add_asker(t, asker)) {
        answer(s, TRANSFER_WAIT);
        return;
    }
    t->used_ms = now;
    if (t->state == SLOT_MAKING) {
        answer(s, TRANSFER_WAIT);
        return;
    }
    struct transfer_answer *a = &emit(s, SERVE_REPLY, t)->answer;
    *a = (struct transfer_answer){.type = TRANSFER_OPENED, .info = t->copy};
}

static void on_read(struct serve *s, msec_t now, uint16_t shard, uint64_t asker,
                    const struct transfer_ask *ask)
{
    struct slot *t = find_copy(s, ask->copy);
    if (!t || t->state != SLOT_READY || t->shard != shard) {
        struct transfer_answer *a = &emit(s, SERVE_REPLY, NULL)->answer;
        *a = (struct transfer_answer){.type = TRANSFER_GONE, .info.id = ask->copy};
        return;
    }
    uint32_t len = transfer_chunk_len(&t->copy, ask->offset);
    if (len == 0) {
        struct error e;
        (void)error_set(&e, ERR_MALFORMED, "no chunk of the copy begins there");
        refuse(s, &e);
        return;
    }
    (void)add_asker(t,
                    (struct asker){asker, 0}); /* of an adopted copy nobody knows who has it open */
    t->used_ms = now;
    struct serve_effect *e = emit(s, SERVE_READ, t);
    e->offset = ask->offset;
    e->len = len;
}

static void on_close(struct serve *s, uint64_t asker, uint64_t copy)
{
    struct slot *t = find_copy(s, copy);
    if (!t)
        return;
    size_t i = find_asker(t, asker);
    if (i == t->n_askers)
        return;
    t->askers[i] = t->askers[--t->n_askers];
    if (t->state == SLOT_READY && t->n_askers == 0)
        drop(s, t);
}

void serve_request(struct serve *s, msec_t now, uint16_t shard, uint64_t asker, struct bytes body,
                   struct serve_effects *out)
{
    struct transfer_ask ask;
    struct error err;
    begin(s, out);
    if (transfer_ask_decode(body, &ask, &err) != ERR_OK)
        refuse(s, &err);
    else if (ask.type == TRANSFER_OPEN)
        on_open(s, now, shard, (struct asker){asker, ask.node}, ask.at_least);
    else if (ask.type == TRANSFER_READ)
        on_read(s, now, shard, asker, &ask);
    else
        on_close(s, asker, ask.copy);
    end(s, out);
}

/* --- other events --- */

void serve_copied(struct serve *s, msec_t now, const struct transfer_copy *copy,
                  const struct error *failed, struct serve_effects *out)
{
    begin(s, out);
    struct slot *t = find_copy(s, copy->id);
    assert(t && t->state == SLOT_MAKING);
    t->used_ms = now;
    if (!failed && copy->applied >= t->wanted) {
        t->copy = *copy;
        move(t, SLOT_READY);
        end(s, out);
        return;
    }
    if (failed) {
        t->error = *failed;
    } else {
        (void)error_set(&t->error, ERR_UNAVAILABLE, "the state is at %llu, asked for was %llu",
                        (unsigned long long)copy->applied, (unsigned long long)t->wanted);
        (void)emit(s, SERVE_DROP, t);
    }
    move(t, SLOT_FAILED);
    end(s, out);
}

bool serve_adopt(struct serve *s, msec_t now, uint16_t shard, const struct transfer_copy *copy)
{
    if (copy->id == 0 || copy->size == 0 || find_copy(s, copy->id))
        return false;
    for (size_t i = 0; i < s->options.copies_max; i++) {
        struct slot *t = &s->slots[i];
        if (t->state != SLOT_FREE)
            continue;
        *t = (struct slot){.shard = shard, .copy = *copy, .used_ms = now};
        move(t, SLOT_READY);
        return true;
    }
    return false;
}

void serve_lost(struct serve *s, msec_t now, uint64_t copy, struct serve_effects *out)
{
    (void)now;
    begin(s, out);
    struct slot *t = find_copy(s, copy);
    if (t && t->state == SLOT_READY)
        drop(s, t);
    end(s, out);
}

static bool can_idle(const struct slot *t)
{
    return t->state == SLOT_READY || t->state == SLOT_FAILED;
}

void serve_tick(struct serve *s, msec_t now, struct serve_effects *out)
{
    begin(s, out);
    for (size_t i = 0; i < SERVE_COPIES_MAX; i++) {
        struct slot *t = &s->slots[i];
        if (!can_idle(t) || now - t->used_ms < s->options.idle_ms)
            continue;
        if (t->state == SLOT_READY)
            drop(s, t);
        else
            release(t);
    }
    end(s, out);
}

msec_t serve_next_timeout(const struct serve *s)
{
    msec_t next = INT64_MAX;
    for (size_t i = 0; i < SERVE_COPIES_MAX; i++) {
        const struct slot *t = &s->slots[i];
        if (can_idle(t) && t->used_ms + s->options.idle_ms < next)
            next = t->used_ms + s->options.idle_ms;
    }
    return next;
}

size_t serve_copies(const struct serve *s)
{
    size_t n = 0;
    for (size_t i = 0; i < SERVE_COPIES_MAX; i++)
        n += s->slots[i].state == SLOT_MAKING || s->slots[i].state == SLOT_READY;
    return n;
}

struct serve *serve_new(const struct serve_options *o)
{
    struct serve *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->options = *o;
    if (o->copies_max == 0)
        s->options.copies_max = COPIES_DEFAULT;
    else if (o->copies_max > SERVE_COPIES_MAX)
        s->options.copies_max = SERVE_COPIES_MAX;
    if (o->idle_ms == 0)
        s->options.idle_ms = IDLE_MS;
    s->rng = rng_of_seed(o->seed);
    return s;
}

void serve_free(struct serve *s)
{
    free(s);
}
