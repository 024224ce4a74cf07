/* Answers segment questions from the shards' indexes, beside the shard threads. */
#include "query.h"

#include <base/clock.h>

enum { QUERY_ARENA_MAX = 128 << 20 };

/* Runs one question; the error is in r->err. */
static enum error_code run_query(struct query_run *r, struct reply *out)
{
    const struct command *c = r->command;
    r->query = (struct index_query){
        .today = c->today,
        .deadline_mono_ms = c->deadline_ms ? r->received_ms + c->deadline_ms : 0,
        .cancelled = &r->work->cancelled,
        .segment = catalogue_expr,
        .segment_ctx = r->catalogue,
    };
    out->status = REPLY_OK;
    out->in_flight = atomic_load_explicit(&r->shard->in_flight, memory_order_acquire);
    return query_run(r, out);
}

/* A question that names saved segments is answered by exactly the version that it means. */
static bool is_other_version(const struct query_run *r, struct reply *out)
{
    if (r->command->catalogue == 0 || r->command->catalogue == r->catalogue->version)
        return false;
    *out = (struct reply){.status = REPLY_STALE, .catalogue = r->catalogue->version};
    return true;
}

static void answer_one(struct query_run *r, struct buf *out)
{
    struct reply reply = {0};
    usec_t began = clock_mono_us();
    enum error_code rc = is_other_version(r, &reply) ? ERR_OK : run_query(r, &reply);
    bool stopping = atomic_load_explicit(&r->shard->shared->stopping, memory_order_relaxed);
    if (rc == ERR_CANCELLED && stopping) /* the asker did not: he shall ask again */
        rc = error_set(&r->err, ERR_SHUTDOWN, "the node is shutting down");
    if (rc != ERR_OK)
        reply =
            (struct reply){.status = REPLY_ERROR, .error = rc, .text = bytes_of_str(r->err.msg)};
    usec_t took = clock_mono_us() - began;
    latency_add(&r->shard->shared->figures.query, took);
    if (rc != ERR_OK)
        metric_add(&r->shard->shared->figures.queries_failed, 1);
    reply.nanos = (uint64_t)took * 1000;
    reply_encode(&reply, out);
}

static void send_answer(struct query_thread *t, const struct message *m, struct buf *out,
                        size_t offset, size_t n)
{
    struct envelope e = {.type = MESSAGE_SHARD_REPLY,
                         .shard = m->envelope.shard,
                         .flags = m->age_ms,
                         .epoch = maps_epoch(t->shared),
                         .request_id = m->envelope.request_id,
                         .items = (uint32_t)n};
    envelope_finish(out, offset, &e);
    struct message *a = message_new(MESSAGE_ANSWER);
    a->peer = m->peer;
    if (frame_of_buf(&a->frame, out) != ERR_OK) {
        buf_free(out);
        message_free(a);
        return;
    }
    message_send(t->to_front, a);
}

static void answer(struct query_thread *t, const struct message *m, struct arena *arena)
{
    struct error err;
    struct command *commands;
    size_t n;
    struct shard *s = host_shard(t->shared, m->envelope.shard);
    if (atomic_load_explicit(&t->shared->stopping, memory_order_relaxed)) {
        message_answer_error(t->to_front, m, ERR_SHUTDOWN, "the node is shutting down");
        return;
    }
    enum error_code rc =
        command_decode(m->envelope.body, m->envelope.items, arena, &commands, &n, &err);
    if (rc != ERR_OK || !s) {
        message_answer_error(t->to_front, m, rc != ERR_OK ? rc : ERR_WRONG_SHARD,
                             rc != ERR_OK ? err.msg : "the shard is not on this node");
        return;
    }
    if (!shard_use(s)) {
        message_answer_error(t->to_front, m, ERR_UNAVAILABLE, "the replica gets another state");
        return;
    }
    struct buf out = {0};
    size_t offset = envelope_begin(&out);
    struct catalogue *catalogue = shard_catalogue(s);
    for (size_t i = 0; i < n; i++) {
        struct query_run run = {.schema = &t->shared->config->schema,
                                .shard = s,
                                .command = &commands[i],
                                .catalogue = catalogue,
                                .work = &t->shared->queries.work[t->no],
                                .received_ms = m->received_ms,
                                .arena = arena};
        answer_one(&run, &out);
    }
    catalogue_drop(catalogue);
    shard_unuse(s);
    send_answer(t, m, &out, offset, n);
}

void *query_thread_main(void *query_thread)
{
    struct query_thread *t = query_thread;
    struct query_pool *pool = &t->shared->queries;
    struct message *m;
    struct arena arena;
    arena_init(&arena, QUERY_ARENA_MAX);
    while ((m = query_pool_take(pool, t->no))) {
        answer(t, m, &arena);
        query_pool_done(pool, t->no);
        message_free(m);
        arena_reset(&arena);
    }
    arena_close(&arena);
    return NULL;
}
