/* Answers reads of watched segments: at once where there are events, else when the shard has some
 * or the wait is over. */
#include "parts.h"

#include <base/clock.h>
#include <index/watch.h>
#include <proto/watch.h>

enum {
    PARKED_MAX = 1024, /* messages that wait; beyond, they are answered at once */
    WAIT_MAX_MS = 60000,
    EVENTS_MAX = 10000, /* of one read */
    GATE_MS = 2000,     /* for changes to go into the index */
    ARENA_MAX = 64 << 20,
};

_Static_assert((int)WATCH_NOW == (int)INDEX_WATCH_NOW && (int)WATCH_ALL == (int)INDEX_WATCH_ALL &&
                   (int)WATCH_LISTING == (int)INDEX_WATCH_LISTING &&
                   (int)WATCH_AFTER == (int)INDEX_WATCH_AFTER,
               "a place means the same on the wire and in the index");

struct parked {
    struct message *message;
    msec_t until; /* monotonic */
};

struct waiting {
    struct watch_thread *thread;
    struct parked *list;
    size_t n;
    struct arena arena; /* of one message */
};

/* One message that is looked at. */
struct look {
    struct waiting *waiting;
    const struct message *message;
    struct shard *shard;
    struct command *commands;
    size_t n;
    struct buf out; /* replies */
    bool news;      /* something is to be said that cannot wait */
};

/* --- reading --- */

static bool has_from(const struct command *c)
{
    return c->version <= INDEX_WATCH_AFTER;
}

static enum error_code read_one(struct look *l, const struct command *c, struct reply *out,
                                struct error *err)
{
    struct arena *arena = &l->waiting->arena;
    struct index_watch_place place = {(enum index_watch_from)c->version, c->cursor, c->profile};
    size_t n = 0;
    if (!has_from(c) || c->limit == 0 || c->limit > EVENTS_MAX)
        return error_set(err, ERR_INVALID, "expected a place, and a limit of 1 to %d", EVENTS_MAX);
    struct index_watch_event *events = arena_alloc(arena, c->limit * sizeof *events);
    if (!events)
        return error_set(err, ERR_NOMEM, "no memory left for events");
    enum error_code code = index_watch_read(l->shard->index, c->name, &place, c->limit,
                                            clock_mono_ms() + GATE_MS, events, &n, &place, err);
    if (code != ERR_OK)
        return code;
    struct buf rows = {0};
    for (size_t i = 0; i < n; i++)
        watch_row_put(&rows,
                      &(struct watch_row){l->shard->id, events[i].log_index, events[i].member,
                                          events[i].time_ms, events[i].enter});
    *out = (struct reply){.status = REPLY_OK,
                          .rows = arena_copy(arena, buf_bytes(&rows)),
                          .n_rows = (uint32_t)n,
                          .version = (uint32_t)place.from,
                          .cursor = place.log_index,
                          .profile = place.member};
    buf_free(&rows);
    l->news = l->news || n > 0 || c->version != INDEX_WATCH_AFTER;
    if (n > 0 && !out->rows.data)
        return error_set(err, ERR_NOMEM, "no memory left for events");
    return ERR_OK;
}

static void read_all(struct look *l)
{
    for (size_t i = 0; i < l->n; i++) {
        struct reply reply = {0};
        struct error err;
        const struct command *c = &l->commands[i];
        enum error_code code = command_is_watch(c->type)
                                   ? read_one(l, c, &reply, &err)
                                   : error_set(&err, ERR_MALFORMED, "not a read of a watch");
        if (code != ERR_OK) {
            struct bytes text = arena_copy(&l->waiting->arena, bytes_of_str(err.msg));
            reply = (struct reply){.status = REPLY_ERROR, .error = code, .text = text};
            l->news = true;
        }
        reply_encode(&reply, &l->out);
    }
}

/* --- answering --- */

static void send_answer(struct look *l)
{
    const struct message *m = l->message;
    struct watch_thread *t = l->waiting->thread;
    struct envelope e = {.type = MESSAGE_SHARD_REPLY,
                         .shard = m->envelope.shard,
                         .epoch = maps_epoch(t->shared),
                         .request_id = m->envelope.request_id,
                         .items = (uint32_t)l->n};
    envelope_finish(&l->out, 0, &e);
    struct message *a = message_new(MESSAGE_ANSWER);
    a->peer = m->peer;
    if (frame_of_buf(&a->frame, &l->out) == ERR_OK)
        message_send(t->to_front, a);
    else
        message_free(a);
}

/* True: it was answered. Else it has nothing to say, and `*wait_ms` tells for how long it may
 * wait. */
static bool look_at(struct waiting *w, const struct message *m, bool may_wait, uint32_t *wait_ms)
{
    struct error err;
    struct look l = {
        .waiting = w, .message = m, .shard = host_shard(w->thread->shared, m->envelope.shard)};
    arena_reset(&w->arena);
    enum error_code code =
        command_decode(m->envelope.body, m->envelope.items, &w->arena, &l.commands, &l.n, &err);
    if (code == ERR_OK && !l.shard)
        code = error_set(&err, ERR_WRONG_SHARD, "the shard is not on this node");
    if (code == ERR_OK && !shard_use(l.shard))
        code = error_set(&err, ERR_UNAVAILABLE, "the replica gets another state");
    if (code != ERR_OK) {
        message_answer_error(w->thread->to_front, m, code, err.msg);
        return true;
    }
    (void)envelope_begin(&l.out);
    read_all(&l);
    shard_unuse(l.shard);
    *wait_ms = WAIT_MAX_MS;
    for (size_t i = 0; i < l.n; i++)
        *wait_ms = l.commands[i].age_ms < *wait_ms ? l.commands[i].age_ms : *wait_ms;
    bool answered = l.news || !may_wait || *wait_ms == 0;
    if (answered)
        send_answer(&l);
    buf_free(&l.out);
    return answered;
}

/* --- waiting --- */

static void unpark(struct waiting *w, size_t i)
{
    message_free(w->list[i].message);
    w->list[i] = w->list[--w->n];
}

/* Does the parked message hold a read under the same number as one of these? Decodes both: few
 * wait, and each once. */
static bool is_superseded(struct waiting *w, const struct parked *p, const struct message *by)
{
    struct command *a, *b;
    size_t n_a, n_b;
    const struct message *m = p->message;
    if (m->envelope.shard != by->envelope.shard || m->peer.len != by->peer.len ||
        memcmp(m->peer.id, by->peer.id, by->peer.len) != 0)
        return false;
    arena_reset(&w->arena);
    if (command_decode(m->envelope.body, m->envelope.items, &w->arena, &a, &n_a, NULL) != ERR_OK ||
        command_decode(by->envelope.body, by->envelope.items, &w->arena, &b, &n_b, NULL) != ERR_OK)
        return false;
    for (size_t i = 0; i < n_a; i++)
        for (size_t k = 0; k < n_b; k++)
            if (a[i].other != 0 && a[i].other == b[k].other)
                return true;
    return false;
}

static void answer_superseded(struct waiting *w, const struct message *by)
{
    uint32_t ignored;
    for (size_t i = w->n; i-- > 0;)
        if (is_superseded(w, &w->list[i], by)) {
            (void)look_at(w, w->list[i].message, false, &ignored);
            unpark(w, i);
        }
}

/* Takes the message. */
static void take_request(struct waiting *w, struct message *m)
{
    uint32_t wait_ms = 0;
    answer_superseded(w, m);
    if (look_at(w, m, w->n < PARKED_MAX, &wait_ms)) {
        message_free(m);
        return;
    }
    w->list[w->n++] = (struct parked){m, clock_mono_ms() + wait_ms};
}

static void look_again(struct waiting *w, const struct shard *s)
{
    uint32_t ignored;
    for (size_t i = w->n; i-- > 0;)
        if (w->list[i].message->envelope.shard == s->id &&
            look_at(w, w->list[i].message, true, &ignored))
            unpark(w, i);
}

/* Answers those whose wait is over; returns how long the next one still has, -1: none waits. */
static long let_go(struct waiting *w)
{
    uint32_t ignored;
    msec_t now = clock_mono_ms(), next = INT64_MAX;
    for (size_t i = w->n; i-- > 0;) {
        if (w->list[i].until <= now) {
            (void)look_at(w, w->list[i].message, false, &ignored);
            unpark(w, i);
        } else if (w->list[i].until < next) {
            next = w->list[i].until;
        }
    }
    return next == INT64_MAX ? -1 : (long)(next - now);
}

static void refuse(struct waiting *w, struct message *m)
{
    message_answer_error(w->thread->to_front, m, ERR_SHUTDOWN, "the node is shutting down");
    message_free(m);
}

/* False: told to stop. */
static bool take_message(struct waiting *w, struct message *m)
{
    bool stop = m->kind == MESSAGE_STOP;
    if (m->kind == MESSAGE_REQUEST) {
        take_request(w, m);
        return true;
    }
    if (m->kind == MESSAGE_NEWS) {
        atomic_store_explicit(&m->shard->news_sent, false, memory_order_release);
        look_again(w, m->shard);
    }
    message_free(m);
    return !stop;
}

void *watch_thread_main(void *watch_thread)
{
    struct watch_thread *t = watch_thread;
    struct parked list[PARKED_MAX];
    struct waiting w = {.thread = t, .list = list};
    struct waitable wait = {.inbox = t->inbox};
    bool going = true;
    arena_init(&w.arena, ARENA_MAX);
    while (going) {
        struct message *m = inbox_take(t->inbox);
        long left = let_go(&w);
        if (m)
            going = take_message(&w, m);
        else
            (void)endpoint_wait(&wait, 1, left);
    }
    while (w.n > 0)
        refuse(&w, w.list[--w.n].message);
    arena_close(&w.arena);
    return NULL;
}
