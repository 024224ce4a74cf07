/* Answers segment questions from the shards' indexes, beside the shard threads. */
#include "parts.h"

#include <base/clock.h>
#include <segment/expr.h>

enum { QUERY_ARENA_MAX = 64 << 20, LIST_MAX = 100000, GROUPS_MAX = 100000 };

struct query_run {
    struct query_thread *thread;
    struct shard *shard;
    const struct command *command;
    struct arena *arena;
    struct index_query query;
    struct error err;
};

/* Saved segments are a later addition to the cluster's state: there are none to find. */
static const struct expr *find_segment(void *ctx, struct bytes name)
{
    (void)ctx;
    (void)name;
    return NULL;
}

static enum error_code run_count(struct query_run *r, struct reply *out)
{
    struct index_count count;
    enum error_code rc = index_count_members(r->shard->index, &r->query, &count, &r->err);
    if (rc != ERR_OK)
        return rc;
    out->counts = arena_zalloc(r->arena, sizeof *out->counts);
    if (!out->counts)
        return error_set(&r->err, ERR_NOMEM, "count");
    out->counts[0].members = count.members;
    out->n_counts = 1;
    out->population = count.population;
    return ERR_OK;
}

static enum error_code run_list(struct query_run *r, struct reply *out)
{
    size_t limit = r->command->limit;
    if (limit == 0 || limit > LIST_MAX)
        return error_set(&r->err, ERR_INVALID, "limit: expected 1 to %d", LIST_MAX);
    out->members = arena_alloc(r->arena, limit * sizeof *out->members);
    if (!out->members)
        return error_set(&r->err, ERR_NOMEM, "list");
    return index_list_members(r->shard->index, &r->query, r->command->cursor, limit, out->members,
                              &out->n_members, &out->cursor, &r->err);
}

static enum error_code run_breakdown(struct query_run *r, struct reply *out)
{
    static const char LEVEL[] = "level";
    const struct schema *schema = &r->thread->shared->config->schema;
    bool level = bytes_equal(r->command->by, bytes_of_str(LEVEL)) && schema->level_by;
    const struct schema_trait *by = level ? NULL : schema_trait_by_name(schema, r->command->by);
    if (!level && !by)
        return error_set(&r->err, ERR_UNKNOWN_NAME, "breakdown: there is no such trait");
    struct index_group *groups;
    size_t n;
    enum error_code rc = index_breakdown(r->shard->index, &r->query, &by, 1, GROUPS_MAX, r->arena,
                                         &groups, &n, &r->err);
    if (rc != ERR_OK)
        return rc;
    out->counts = arena_zalloc(r->arena, (n ? n : 1) * sizeof *out->counts);
    if (!out->counts)
        return error_set(&r->err, ERR_NOMEM, "breakdown");
    for (size_t i = 0; i < n; i++)
        out->counts[i] = (struct count_row){groups[i].keys[0].value, groups[i].keys[0].none,
                                            groups[i].members};
    out->n_counts = n;
    return ERR_OK;
}

static enum error_code run_query(struct query_run *r, struct reply *out)
{
    const struct command *c = r->command;
    struct expr *expr;
    enum error_code rc =
        expr_parse(c->expr, &r->thread->shared->config->schema, r->arena, &expr, &r->err);
    if (rc != ERR_OK)
        return rc;
    r->query = (struct index_query){
        .expr = expr,
        .today = c->today,
        .deadline_mono_ms = c->deadline_ms ? clock_mono_ms() + c->deadline_ms : 0,
        .segment = find_segment,
    };
    out->status = REPLY_OK;
    out->in_flight = atomic_load_explicit(&r->shard->in_flight, memory_order_acquire);
    if (c->type == COMMAND_COUNT)
        return run_count(r, out);
    if (c->type == COMMAND_LIST)
        return run_list(r, out);
    if (c->type == COMMAND_BREAKDOWN)
        return run_breakdown(r, out);
    return error_set(&r->err, ERR_MALFORMED, "not a query");
}

static struct shard *find_shard(struct query_thread *t, shard_id id)
{
    for (size_t i = 0; i < t->n_shards; i++) {
        if (t->shards[i].id == id)
            return &t->shards[i];
    }
    return NULL;
}

static void answer(struct query_thread *t, const struct message *m, struct arena *arena)
{
    struct error err;
    struct command *commands;
    size_t n;
    struct shard *s = find_shard(t, m->envelope.shard);
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
    struct buf out = {0};
    size_t offset = envelope_begin(&out);
    for (size_t i = 0; i < n; i++) {
        struct query_run run = {.thread = t, .shard = s, .command = &commands[i], .arena = arena};
        struct reply reply = {0};
        rc = run_query(&run, &reply);
        if (rc != ERR_OK)
            reply = (struct reply){
                .status = REPLY_ERROR, .error = rc, .text = bytes_of_str(run.err.msg)};
        reply_encode(&reply, &out);
    }
    struct envelope e = {.type = MESSAGE_SHARD_REPLY,
                         .shard = s->id,
                         .epoch = t->shared->map.epoch,
                         .request_id = m->envelope.request_id,
                         .items = (uint32_t)n};
    envelope_finish(&out, offset, &e);
    struct message *a = message_new(MESSAGE_ANSWER);
    a->peer = m->peer;
    if (frame_of_buf(&a->frame, &out) != ERR_OK) {
        buf_free(&out);
        message_free(a);
        return;
    }
    message_send(t->to_front, a);
}

void *query_thread_main(void *query_thread)
{
    struct query_thread *t = query_thread;
    struct waitable wait = {.inbox = t->inbox};
    struct arena arena;
    arena_init(&arena, QUERY_ARENA_MAX);
    for (;;) {
        struct message *m = inbox_take(t->inbox);
        if (!m) {
            (void)endpoint_wait(&wait, 1, -1);
            continue;
        }
        bool stop = m->kind == MESSAGE_STOP;
        if (!stop)
            answer(t, m, &arena);
        message_free(m);
        arena_reset(&arena);
        if (stop)
            break;
    }
    arena_close(&arena);
    return NULL;
}
