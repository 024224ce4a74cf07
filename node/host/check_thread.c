/* Walks the states of shards for CHECK, one after the other, beside all that the node does: on a
 * view of the last checkpoint, by a machine of its own, and last in line for the processors. */
#include "parts.h"

#include <base/clock.h>

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* Of 20 steps; a thread at 10 gets a tenth of what one gets that it stands in the way of. It must
 * come to its end, for as long as it reads LMDB uses no page again. */
enum { NICE = 10 };

/* Linux: of this thread alone. It is a favour: without it the walk is as loud as others are. */
static void be_nice(void)
{
    (void)setpriority(PRIO_PROCESS, 0, NICE);
}

struct walking {
    struct shard *shard;
    uint64_t walk;
};

/* In the midst of a state that goes, nobody waits for long. */
static bool go_on(void *ctx, uint64_t rows)
{
    const struct walking *w = ctx;
    struct shard *s = w->shard;
    atomic_store_explicit(&s->check.rows, rows, memory_order_relaxed);
    return atomic_load_explicit(&s->check.walk, memory_order_relaxed) == w->walk &&
           !atomic_load_explicit(&s->replacing, memory_order_relaxed) &&
           !atomic_load_explicit(&s->shared->stopping, memory_order_relaxed);
}

static bool add_finding(struct reply *r, const char *text, struct arena *arena)
{
    struct count_row *rows = arena_zalloc(arena, (r->n_counts + 1) * sizeof *rows);
    if (!rows)
        return false;
    if (r->n_counts > 0)
        memcpy(rows, r->counts, r->n_counts * sizeof *rows);
    rows[r->n_counts].value = arena_copy(arena, bytes_of_str(text));
    rows[r->n_counts++].members = 1;
    r->counts = rows;
    return true;
}

/* Damage is what was asked for; anything else is only why there is no answer. */
static void tell_unopened(struct reply *r, const struct error *err, struct arena *arena)
{
    char text[sizeof err->msg + 40];
    if (err->code != ERR_CORRUPT) {
        *r = (struct reply){.status = REPLY_ERROR,
                            .error = err->code,
                            .text = arena_copy(arena, bytes_of_str(err->msg))};
        return;
    }
    (void)snprintf(text, sizeof text, "nothing can be looked at: %s", err->msg);
    (void)add_finding(r, text, arena);
}

static bool walk_view(struct walking *w, struct store *view, struct arena *arena, struct reply *out)
{
    struct error err;
    struct machine *machine;
    struct machine_walk walk = {go_on, w};
    struct machine_options o = shard_machine_options(w->shard, view);
    if (machine_open(&o, &machine, &err) != ERR_OK) {
        tell_unopened(out, &err, arena);
        return true;
    }
    bool done = machine_check(machine, &walk, arena, out);
    machine_close(machine);
    return done;
}

/* False: no answer. The state is there until it returns. */
static bool walk_shard(struct walking *w, const struct message *m, struct arena *arena,
                       struct reply *out)
{
    struct shard *s = w->shard;
    struct error err;
    struct store *view;
    *out = (struct reply){.status = REPLY_OK};
    if (!s->store || !go_on(w, 0))
        return false;
    if (store_view_open(s->store, &view, &err) != ERR_OK) {
        tell_unopened(out, &err, arena);
        return true;
    }
    uint64_t rows = store_rows(view), applied = store_durable_index(view);
    atomic_store_explicit(&s->check.of, rows, memory_order_relaxed);
    bool done = walk_view(w, view, arena, out);
    store_close(view);
    if (!done || out->status != REPLY_OK)
        return done;
    out->cursor = applied;
    out->population = rows;
    return m->code == ERR_OK ||
           add_finding(out,
                       "what is newer than the last checkpoint was not looked at: the next one "
                       "cannot be written, the disk is full",
                       arena);
}

static void answer(struct message *m, struct arena *arena)
{
    struct walking w = {m->shard, m->seq};
    struct log *log = m->shard->shared->log;
    struct reply reply;
    if (!shard_use(m->shard))
        return;
    msec_t began = clock_mono_ms();
    log_event(log, LOG_LEVEL_INFO, "check_begun", "shard=%u", m->shard->id);
    bool done = walk_shard(&w, m, arena, &reply);
    shard_unuse(m->shard);
    if (done)
        reply_encode(&reply, &m->content);
    log_event(log, LOG_LEVEL_INFO, "check_ended",
              "shard=%u done=%d findings=%zu rows=%llu applied=%llu ms=%lld", m->shard->id, done,
              reply.n_counts, (unsigned long long)reply.population,
              (unsigned long long)reply.cursor, (long long)(clock_mono_ms() - began));
}

void *check_thread_main(void *check_thread)
{
    struct check_thread *t = check_thread;
    struct waitable wait = {.inbox = t->inbox};
    struct arena arena;
    be_nice();
    arena_init(&arena, 0);
    for (;;) {
        struct message *m = inbox_take(t->inbox);
        if (!m) {
            (void)endpoint_wait(&wait, 1, -1);
            continue;
        }
        if (m->kind == MESSAGE_STOP) {
            message_free(m);
            break;
        }
        answer(m, &arena);
        arena_reset(&arena);
        m->kind = MESSAGE_CHECKED;
        message_send(m->shard->to_shard, m);
    }
    arena_close(&arena);
    return NULL;
}
