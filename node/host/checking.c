/* CHECK at a shard: asked for again and again until there is an answer.
 *
 *   NONE ── asked ──▶ WAITING ── a checkpoint holds what there was ──▶ WALKING ──▶ NONE, found
 *
 * The walk is a look at every row and takes up to minutes, so a thread of its own does it
 * (check_thread.c), on a view of the last checkpoint; here is never more than a few steps.
 *
 * Who asks says how long ago it did so first. A walk that ended since then is its answer; one that
 * is under way will be; else one begins. So nobody has to be remembered: several share a walk, and
 * a leader that has just come knows of none and begins one. */
#include "parts.h"

#include <base/clock.h>

enum { FORGET_MS = 10 * 60 * 1000 };

static bool is_due(const struct shard *s)
{
    return s->check.phase == CHECK_WAITING && ((s->dirty_since == 0 && !s->checkpointing) ||
                                               store_durable_index(s->store) >= s->check.wanted);
}

static void walk(struct shard *s, enum error_code code)
{
    struct message *m = message_new(MESSAGE_CHECK);
    m->shard = s;
    m->seq = s->check.last;
    m->code = code;
    s->check.phase = CHECK_WALKING;
    message_send(s->to_check, m);
}

static void begin(struct shard *s)
{
    struct check *k = &s->check;
    k->phase = CHECK_WAITING;
    k->wanted = s->applied;
    k->last++;
    atomic_store_explicit(&k->rows, 0, memory_order_relaxed);
    atomic_store_explicit(&k->of, store_rows(s->store), memory_order_relaxed);
    atomic_store_explicit(&k->walk, k->last, memory_order_release);
    if (is_due(s))
        walk(s, ERR_OK);
}

static void answer_found(const struct check *k, struct arena *arena, struct reply *out)
{
    struct reply *found;
    size_t n;
    struct error err;
    if (reply_decode(buf_bytes(&k->found), 1, arena, &found, &n, &err) == ERR_OK)
        *out = *found;
    else
        *out = (struct reply){.status = REPLY_ERROR, .error = ERR_NOMEM};
}

void check_answer(struct shard *s, const struct command *c, struct arena *arena, struct reply *out)
{
    struct check *k = &s->check;
    msec_t now = clock_mono_ms();
    if (k->found.len > 0 && now - k->found_ms < (msec_t)c->age_ms) {
        k->asked_ms = now;
        answer_found(k, arena, out);
        return;
    }
    if (s->stopping) {
        *out = (struct reply){.status = REPLY_ERROR, .error = ERR_SHUTDOWN};
        return;
    }
    if (k->phase == CHECK_NONE)
        begin(s);
    *out = (struct reply){.status = REPLY_BUSY,
                          .other = k->last,
                          .cursor = atomic_load_explicit(&k->rows, memory_order_relaxed),
                          .population = atomic_load_explicit(&k->of, memory_order_relaxed)};
}

bool check_wants_checkpoint(const struct shard *s)
{
    return s->check.phase == CHECK_WAITING && !is_due(s);
}

void check_without_checkpoint(struct shard *s)
{
    if (s->check.phase == CHECK_WAITING)
        walk(s, ERR_DISK_FULL);
}

void check_walked(struct shard *s, struct message *m)
{
    struct check *k = &s->check;
    if (k->phase != CHECK_WALKING || m->seq != k->last)
        return; /* it was ended, and others may have begun since */
    k->phase = CHECK_NONE;
    if (m->content.len == 0)
        return; /* who asks again begins another */
    buf_free(&k->found);
    k->found = m->content;
    m->content = (struct buf){0};
    k->found_ms = k->asked_ms = clock_mono_ms();
}

void check_tick(struct shard *s, msec_t now)
{
    struct check *k = &s->check;
    if (is_due(s))
        walk(s, ERR_OK);
    if (k->found.len > 0 && now - k->asked_ms >= FORGET_MS)
        buf_free(&k->found);
}

void check_stop(struct shard *s)
{
    s->check.phase = CHECK_NONE;
    atomic_store_explicit(&s->check.walk, 0, memory_order_release);
}

void check_close(struct shard *s)
{
    check_stop(s);
    buf_free(&s->check.found);
}
