#include "parts.h"

#include <base/hash.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWERS_BYTES = 4096 }; /* the first buffer for a client's answers */

/* --- answers to clients --- */

static void send_answers(struct router *r, struct client_message *c)
{
    gate_return(r, &c->sender, c->n_out);
    if (!gate_is_open(r, &c->sender)) {
        buf_free(&c->out);
        c->n_out = 0;
        tasks_refuse(r, &c->peer, c->request_id, ERR_DENIED, "the key is not allowed any more");
        return;
    }
    struct envelope e = {.type = MESSAGE_CLIENT_REPLY,
                         .epoch = r->map.epoch,
                         .request_id = c->request_id,
                         .items = c->n_out};
    envelope_finish(&c->out, 0, &e);
    struct frame f = {0};
    if (frame_of_buf(&f, &c->out) == ERR_OK)
        (void)server_send(r->server, &c->peer, &f); /* a client that is gone loses it */
    buf_free(&c->out);
    frame_close(&f);
    c->n_out = 0;
}

static void answer(struct router *r, struct client_message *c, struct response *resp, uint32_t item)
{
    if (!c->dirty) {
        c->dirty = true;
        c->next_dirty = r->dirty;
        r->dirty = c;
    }
    if (c->n_out == 0) {
        (void)buf_reserve(&c->out, ANSWERS_BYTES);
        (void)envelope_begin(&c->out);
    }
    resp->item = item;
    response_encode(resp, &c->out);
    c->n_out++;
    c->open--;
    if (c->out.len >= REPLY_BYTES)
        send_answers(r, c);
}

void tasks_flush(struct router *r)
{
    struct client_message *c = r->dirty;
    r->dirty = NULL;
    while (c) {
        struct client_message *next = c->next_dirty;
        c->dirty = false;
        if (c->n_out > 0)
            send_answers(r, c);
        if (c->open == 0)
            free(c);
        c = next;
    }
}

void tasks_refuse(struct router *r, const struct peer *peer, uint64_t request_id,
                  enum error_code code, const char *text)
{
    struct buf body = {0}, out = {0};
    r->refused_frames++;
    wire_error_encode(code, text, &body);
    struct envelope e = {.type = MESSAGE_ERROR, .request_id = request_id};
    envelope_encode(&e, body.len, &out);
    buf_put(&out, body.data, body.len);
    buf_free(&body);
    struct frame f = {0};
    if (frame_of_buf(&f, &out) == ERR_OK)
        (void)server_send(r->server, peer, &f);
    buf_free(&out);
    frame_close(&f);
}

/* --- tasks --- */

/* Announces to the processor's cache what is at these distances in a list of tasks that are about
 * to be used: the task, its saga, and what that keeps of its input. */
enum { NEAR = 4, FAR = 8, FARTHEST = 16 };

static void expect(const struct router *r, const uint32_t *near, const uint32_t *far,
                   const uint32_t *farthest)
{
    if (farthest)
        __builtin_prefetch(&r->tasks[*farthest]);
    if (far && r->tasks[*far].saga)
        saga_prefetch(r->tasks[*far].saga);
    if (near && r->tasks[*near].saga)
        saga_prefetch_input(r->tasks[*near].saga);
}

static struct task *take_task(struct router *r)
{
    if (r->n_tasks == TASKS_MAX)
        return NULL;
    size_t left = TASKS_MAX - ++r->n_tasks;
    const uint32_t *number = &r->free_tasks[left];
    expect(r, left >= NEAR ? number - NEAR : NULL, left >= FAR ? number - FAR : NULL,
           left >= FARTHEST ? number - FARTHEST : NULL);
    struct task *t = &r->tasks[*number];
    if (*number >= r->touched)
        r->touched = *number + 1;
    t->used = true;
    t->generation++;
    t->client = NULL;
    return t;
}

static void end_task(struct router *r, struct task *t)
{
    if (t->gather)
        gather_free(t->gather);
    t->gather = NULL;
    follow_free(t->follow);
    t->follow = NULL;
    survey_free(t->survey);
    t->survey = NULL;
    errand_free(t->errand);
    t->errand = NULL;
    t->used = false;
    r->wake_ms[t->number] = INT64_MAX;
    r->free_tasks[TASKS_MAX - r->n_tasks--] = t->number;
}

static void audit_end(struct router *r, struct task *t, enum error_code outcome)
{
    if (t->subject && t->client)
        audit_note(r, &t->client->sender, t->type, t->subject, outcome);
    free(t->subject);
    t->subject = NULL;
}

static const char *answer_text(enum error_code code)
{
    if (code == ERR_OK)
        return "";
    return code == ERR_TIMEOUT ? "no answer from the shards within the deadline" : error_text(code);
}

static void note_answer(struct router *r, enum request_type type, enum error_code code)
{
    if ((size_t)code < ERROR_CODES)
        metric_bump(&r->figures.requests[type][code], 1);
}

/* The task may go on, and its client's message end before it. */
static void answer_task(struct router *r, struct task *t, struct response *resp)
{
    note_answer(r, t->type, resp->code);
    latency_add(&r->figures.latency[t->type], r->now_us - t->began_us);
    answer(r, t->client, resp, t->item);
    t->client = NULL;
}

static void answer_saga(struct router *r, struct task *t, const struct saga_answer *a)
{
    if (!t->client)
        return;
    struct named_refusal refused[EVENT_IDENTITIES_MAX * 2];
    size_t n = 0;
    for (size_t i = 0; i < a->n_refused && n < sizeof refused / sizeof *refused; i++) {
        const struct schema_namespace *ns =
            schema_namespace_by_id(&r->config->schema, a->refused[i].id.ns);
        refused[n++] =
            (struct named_refusal){bytes_of_str(ns ? ns->name : ""), a->refused[i].reason};
    }
    struct response resp = {.code = a->code,
                            .text = bytes_of_str(answer_text(a->code)),
                            .profile = a->profile,
                            .duplicate = a->duplicate,
                            .refused = refused,
                            .n_refused = n,
                            .view = a->content,
                            .age_ms = a->age_ms};
    answer_task(r, t, &resp);
}

/* Performs a saga's effects; true when it has ended. */
static bool perform_saga(struct router *r, struct task *t)
{
    for (size_t i = 0; i < r->saga_effects.n; i++) {
        const struct saga_effect *e = &r->saga_effects.items[i];
        switch (e->kind) {
        case SAGA_SEND:
            shards_send(r, r->map.shard_of_slot[e->slot],
                        e->write   ? LANE_WRITE
                        : e->stale ? LANE_STALE_READ
                                   : LANE_READ,
                        e->command, (struct ref){t->number, t->generation, e->call});
            break;
        case SAGA_ANSWER:
            answer_saga(r, t, e->answer);
            break;
        case SAGA_LEARN:
            idcache_put(r->cache, e->id, e->profile);
            break;
        case SAGA_FORGET:
            idcache_drop(r->cache, e->id, e->profile);
            break;
        case SAGA_REFRESH_MAP:
            maps_refresh(r);
            break;
        case SAGA_END:
            return true;
        }
    }
    return false;
}

static void step_saga(struct router *r, struct task *t, const struct saga_event *e)
{
    r->saga_effects.n = 0;
    saga_step(t->saga, r->now, e, &r->saga_effects);
    for (size_t i = 0; e->kind == SAGA_TICK && i < r->saga_effects.n; i++)
        metric_bump(&r->figures.resends, r->saga_effects.items[i].kind == SAGA_SEND);
    if (perform_saga(r, t))
        end_task(r, t);
    else
        r->wake_ms[t->number] = saga_wake_ms(t->saga);
}

static void learn_catalogue(struct router *r, struct catalogue *c)
{
    (void)catalogue_keep(c);
    catalogue_drop(r->catalogue);
    r->catalogue = c;
}

void tasks_end(struct router *r, struct task *t, const struct response *answered)
{
    struct response resp = *answered;
    audit_end(r, t, resp.code);
    if (t->client)
        answer_task(r, t, &resp);
    end_task(r, t);
}

static void end_gather(struct router *r, struct task *t, const struct response *answered)
{
    struct response resp = *answered;
    audit_end(r, t, resp.code);
    if (t == r->carrier)
        r->carrier = NULL;
    if (clock_mono_us() - t->began_us >= (usec_t)GATHER_RESEND_MS * 1000)
        shards_cancel(r, t); /* copies that were sent again may still run */
    if (resp.n_explain)
        resp.nanos = (uint64_t)(clock_mono_us() - t->began_us) * 1000;
    if (t->client)
        answer_task(r, t, &resp);
    end_task(r, t);
}

static void perform_gather(struct router *r, struct task *t)
{
    static const enum lane LANE_OF[] = {
        [GATHER_READ] = LANE_READ, [GATHER_QUERY] = LANE_QUERY, [GATHER_WRITE] = LANE_WRITE};
    for (size_t i = 0; i < r->gather_effects.n; i++) {
        const struct gather_effect *e = &r->gather_effects.items[i];
        switch (e->kind) {
        case GATHER_SEND:
            shards_send(r, e->shard, e->stale ? LANE_STALE_QUERY : LANE_OF[e->lane], e->command,
                        (struct ref){t->number, t->generation, e->call});
            break;
        case GATHER_LEARN:
            learn_catalogue(r, e->catalogue);
            break;
        case GATHER_ANSWER:
            end_gather(r, t, e->answer);
            return;
        }
    }
    r->wake_ms[t->number] = gather_wake_ms(t->gather);
}

/* --- requests in --- */

static bool ready_saga(struct task *t)
{
    if (!t->saga)
        t->saga = saga_new();
    if (t->saga)
        saga_reset(t->saga);
    return t->saga != NULL;
}

/* What the decoder lent lives as long as the message's arena: the saga keeps its own copy. */
static enum error_code prepare_ingest(struct router *r, struct starting *w, const struct request *q,
                                      struct error *err)
{
    struct saga_ingest *in = &w->start.in.ingest;
    w->start.kind = SAGA_INGEST;
    enum error_code rc =
        prepare_event(q->event, &r->config->schema, r->wall_ms, &r->scratch, in, err);
    if (rc != ERR_OK)
        return rc;
    w->hints = prepare_keep(in, saga_arena(w->task->saga));
    if (!w->hints)
        return error_set(err, ERR_NOMEM, "event");
    w->n = in->n_ids;
    for (size_t i = 0; i < w->n; i++)
        w->hints[i] = idcache_announce(r->cache, in->ids[i]);
    return ERR_OK;
}

static enum error_code prepare_read(struct router *r, struct starting *w, const struct request *q,
                                    struct error *err)
{
    struct saga_read *in = &w->start.in.read;
    w->start.kind = SAGA_READ;
    w->n = 0;
    *in = (struct saga_read){.want_profile = q->type == REQUEST_PROFILE, .stale_ok = q->stale_ok};
    if (q->type == REQUEST_PROFILE && q->id.ns.len == 0) {
        in->profile = q->profile;
        return q->profile ? ERR_OK
                          : error_set(err, ERR_INVALID, "an identity or a One-ID is expected");
    }
    enum error_code rc = prepare_identity(&q->id, &r->config->schema, &r->scratch, &in->id, err);
    if (rc != ERR_OK)
        return rc;
    in->id.value = arena_copy(saga_arena(w->task->saga), in->id.value);
    if (!in->id.value.data)
        return error_set(err, ERR_NOMEM, "identity");
    in->profile = idcache_announce(r->cache, in->id);
    w->hints = &in->profile;
    w->n = 1;
    return ERR_OK;
}

static msec_t deadline_of(const struct router *r, const struct request *q)
{
    return r->now + (q->deadline_ms ? q->deadline_ms : r->config->deadline_ms);
}

/* Starts the saga that has waited longest. */
static void start_oldest(struct router *r)
{
    assert(r->n_started < r->n_starting);
    struct starting *w = &r->starting[r->n_started++ % STARTS_AHEAD];
    size_t known = 0;
    for (size_t i = 0; i < w->n; i++) {
        w->hints[i] = idcache_get_announced(r->cache, w->hints[i]);
        known += w->hints[i] != 0;
    }
    metric_bump(&r->figures.hits, known);
    metric_bump(&r->figures.misses, w->n - known);
    struct saga_event e = {.kind = SAGA_START, .start = &w->start};
    step_saga(r, w->task, &e);
}

static void start_all(struct router *r)
{
    while (r->n_started < r->n_starting)
        start_oldest(r);
}

static void refuse_request(struct router *r, struct task *t, enum error_code code, const char *text)
{
    struct response resp = {.code = code, .text = bytes_of_str(text)};
    answer_task(r, t, &resp);
    end_task(r, t);
}

static void start_saga(struct router *r, struct task *t, const struct request *q)
{
    if (r->n_starting - r->n_started == STARTS_AHEAD)
        start_oldest(r);
    if (!ready_saga(t)) {
        refuse_request(r, t, ERR_NOMEM, error_text(ERR_NOMEM));
        return;
    }
    struct starting *w = &r->starting[r->n_starting % STARTS_AHEAD];
    w->task = t;
    w->start.deadline_ms = deadline_of(r, q);
    w->start.seed = hash_u64(++r->seed);
    arena_reset(&r->scratch);
    struct error err;
    enum error_code rc =
        q->type == REQUEST_INGEST ? prepare_ingest(r, w, q, &err) : prepare_read(r, w, q, &err);
    if (rc == ERR_OK)
        r->n_starting++;
    else
        refuse_request(r, t, rc, err.msg);
}

static void start_gather(struct router *r, struct task *t, const struct request *q,
                         const uint64_t *versions)
{
    struct gather_start start = {.request = q,
                                 .schema = &r->config->schema,
                                 .node_of_shard = r->asked_nodes,
                                 .catalogue = r->catalogue,
                                 .versions = versions,
                                 .map_epoch = r->map.epoch,
                                 .n_shards = r->map.n_shards,
                                 .today = clock_day_of_ms(r->wall_ms),
                                 .deadline_ms = q ? deadline_of(r, q) : r->now + CARRY_DEADLINE_MS};
    r->gather_effects.n = 0;
    t->began_us = clock_mono_us();
    t->gather = gather_new(&start, r->now, &r->gather_effects);
    if (!t->gather) {
        struct response resp = {.code = ERR_NOMEM, .text = bytes_of_str(error_text(ERR_NOMEM))};
        end_gather(r, t, &resp);
        return;
    }
    perform_gather(r, t);
}

/* What sweeps hear of the catalogue. A newer one is fetched. A shard that is behind twice has been
 * left so by a router that died: it is brought up to date. */
static void note_version(struct router *r, shard_id shard, uint64_t version)
{
    uint64_t known = r->catalogue ? r->catalogue->version : 1;
    r->versions[shard] = version;
    r->behind[shard] = version < known ? r->behind[shard] + 1 : 0;
    bool carries = r->behind[shard] >= BEHIND_ROUNDS;
    if (r->carrier || (version <= known && !carries))
        return;
    r->carrier = take_task(r);
    if (r->carrier)
        start_gather(r, r->carrier, NULL, carries ? r->versions : NULL);
}

static void start_request(struct router *r, struct client_message *c, uint32_t item,
                          const struct request *q)
{
    struct error err;
    char *subject = NULL;
    enum error_code rc = request_check(q, &err);
    if (rc == ERR_OK)
        rc = gate_check(r, &c->sender, q, &subject, &err);
    if (rc != ERR_OK) {
        struct response resp = {.code = rc, .text = bytes_of_str(err.msg)};
        note_answer(r, q->type, rc);
        answer(r, c, &resp, item);
        return;
    }
    struct task *t = take_task(r);
    if (!t) {
        free(subject);
        struct response resp = {.code = ERR_BUSY,
                                .text = bytes_of_str("too much in flight at this router")};
        note_answer(r, q->type, ERR_BUSY);
        answer(r, c, &resp, item);
        return;
    }
    t->began_us = r->now_us;
    t->client = c;
    t->item = item;
    t->type = q->type;
    t->subject = subject;
    if (q->type == REQUEST_INGEST || q->type == REQUEST_RESOLVE || q->type == REQUEST_PROFILE)
        start_saga(r, t, q);
    else if (q->type == REQUEST_WATCH || q->type == REQUEST_UNWATCH)
        follows_start(r, t, q, deadline_of(r, q));
    else if (q->type == REQUEST_STATUS)
        surveys_start(r, t, deadline_of(r, q));
    else if (q->type == REQUEST_NODES || q->type == REQUEST_NODE_TASK)
        errands_start(r, t, q, deadline_of(r, q));
    else
        start_gather(r, t, q, NULL);
}

static bool is_asked_by(const struct task *t, const struct peer *peer, uint64_t request_id)
{
    return t->used && t->client && t->client->request_id == request_id &&
           t->client->peer.len == peer->len && memcmp(t->client->peer.id, peer->id, peer->len) == 0;
}

/* Only questions are stopped: a saga that was left half-way would be finished by sweeps anyway. */
static void cancel_task(struct router *r, struct task *t)
{
    struct response resp = {.code = ERR_CANCELLED, .text = bytes_of_str("the call was cancelled")};
    if (t->follow || t->survey || t->errand)
        tasks_end(r, t, &resp);
    if (!t->gather)
        return;
    shards_cancel(r, t);
    end_gather(r, t, &resp);
}

void tasks_cancel(struct router *r, const struct peer *peer, const struct envelope *e)
{
    struct reader body = reader_of(e->body);
    while (reader_left(&body) >= 4) {
        uint32_t item = reader_u32(&body);
        for (size_t i = 0; i < TASKS_MAX; i++) {
            struct task *t = &r->tasks[i];
            if (is_asked_by(t, peer, e->request_id) && t->item == item) {
                cancel_task(r, t);
                break;
            }
        }
    }
}

void tasks_take_message(struct router *r, const struct peer *peer, const struct envelope *e)
{
    if (e->type == MESSAGE_CANCEL) {
        tasks_cancel(r, peer, e);
        return;
    }
    struct request *requests = NULL;
    size_t n = 0;
    struct sender sender = server_sender(r->server);
    struct error err;
    enum error_code rc = ERR_OK;
    if (e->type != MESSAGE_CLIENT_REQUEST)
        rc = error_set(&err, ERR_MALFORMED, "a router does not take this type of message");
    else
        rc = gate_take(r, e, &err);
    bool taken = rc == ERR_OK;
    if (taken)
        rc = request_decode(e->body, e->items, &r->arena, &requests, &n, &err);
    struct client_message *c = rc == ERR_OK && n > 0 ? calloc(1, sizeof *c) : NULL;
    if (rc == ERR_OK && n > 0 && !c)
        rc = error_set(&err, ERR_NOMEM, "request");
    if (rc != ERR_OK) {
        if (taken)
            gate_return(r, &sender, e->items);
        tasks_refuse(r, peer, e->request_id, rc, err.msg);
        return;
    }
    if (!c)
        return;
    c->peer = *peer;
    c->sender = sender;
    c->request_id = e->request_id;
    c->open = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        start_request(r, c, (uint32_t)i, &requests[i]);
    start_all(r);
}

/* --- events of tasks --- */

void tasks_reply(struct router *r, const struct ref *ref, shard_id shard, const struct reply *reply)
{
    struct task *t = &r->tasks[ref->task];
    if (!t->used || t->generation != ref->generation)
        return;
    if (t->follow) {
        follows_reply(r, t, shard, ref->call, reply);
        return;
    }
    if (t->errand) {
        errands_reply(r, t, reply);
        return;
    }
    if (t->gather) {
        r->gather_effects.n = 0;
        gather_reply(t->gather, shard, ref->call, reply, r->now, &r->gather_effects);
        perform_gather(r, t);
        return;
    }
    if (reply->catalogue)
        note_version(r, shard, reply->catalogue);
    struct saga_event e = {.kind = SAGA_REPLY, .call = ref->call, .reply = reply};
    step_saga(r, t, &e);
}

void tasks_expect_first(const struct router *r, const struct ref *refs, size_t n)
{
    for (size_t i = 0; i < FARTHEST && i < n; i++)
        __builtin_prefetch(&r->tasks[refs[i].task]);
    for (size_t i = 0; i < FAR && i < n; i++)
        expect(r, NULL, &refs[i].task, NULL);
    for (size_t i = 0; i < NEAR && i < n; i++)
        expect(r, &refs[i].task, NULL, NULL);
}

void tasks_expect(const struct router *r, const struct ref *refs, size_t n, size_t at)
{
    const struct ref *ref = &refs[at];
    expect(r, at + NEAR < n ? &ref[NEAR].task : NULL, at + FAR < n ? &ref[FAR].task : NULL,
           at + FARTHEST < n ? &ref[FARTHEST].task : NULL);
}

void tasks_tick(struct router *r)
{
    if (r->n_tasks == 0 || r->now - r->ticked_ms < TICK_MS)
        return;
    r->ticked_ms = r->now;
    for (size_t i = 0; i < r->touched; i++) {
        struct task *t = &r->tasks[i];
        if (r->wake_ms[i] > r->now)
            continue;
        if (t->follow) {
            follows_tick(r, t);
        } else if (t->survey) {
            surveys_tick(r, t);
        } else if (t->errand) {
            errands_tick(r, t);
        } else if (t->gather) {
            r->gather_effects.n = 0;
            gather_tick(t->gather, r->now, &r->gather_effects);
            for (size_t k = 0; k < r->gather_effects.n; k++)
                metric_bump(&r->figures.resends, r->gather_effects.items[k].kind == GATHER_SEND);
            perform_gather(r, t);
        } else {
            struct saga_event e = {.kind = SAGA_TICK};
            step_saga(r, t, &e);
        }
    }
}

static slot_id slot_of_shard(const struct router *r, shard_id shard)
{
    slot_id s = 0;
    while (s < SLOT_COUNT - 1 && r->map.shard_of_slot[s] != shard)
        s++;
    return s;
}

void tasks_sweep(struct router *r)
{
    if (!r->has_map || r->now - r->swept_ms < 1 + SWEEP_MS / r->map.n_shards)
        return;
    r->swept_ms = r->now;
    shard_id shard = r->sweep_next;
    r->sweep_next = (shard_id)((shard + 1U) % r->map.n_shards);
    struct task *t = take_task(r);
    if (!t || !ready_saga(t)) {
        if (t)
            end_task(r, t);
        return;
    }
    struct saga_start start = {
        .kind = SAGA_SWEEP, .deadline_ms = r->now + SWEEP_DEADLINE_MS, .seed = hash_u64(++r->seed)};
    start.in.sweep = (struct saga_sweep){slot_of_shard(r, shard), SWEEP_AGE_MS, SWEEP_LIMIT};
    struct saga_event e = {.kind = SAGA_START, .start = &start};
    step_saga(r, t, &e);
}

/* A client that waits past the end asks the next router. */
void tasks_close(struct router *r)
{
    for (size_t i = 0; r->tasks && i < TASKS_MAX; i++) {
        struct task *t = &r->tasks[i];
        if (t->used && t->client) {
            struct response resp = {.code = ERR_SHUTDOWN,
                                    .text = bytes_of_str(error_text(ERR_SHUTDOWN))};
            answer(r, t->client, &resp, t->item);
        }
        free(t->subject);
        gather_free(t->gather);
        follow_free(t->follow);
        survey_free(t->survey);
        errand_free(t->errand);
        saga_free(t->saga);
    }
    tasks_flush(r);
    free(r->tasks);
    free(r->wake_ms);
    free(r->free_tasks);
    free(r->versions);
    free(r->behind);
    catalogue_drop(r->catalogue);
    saga_effects_free(&r->saga_effects);
    gather_effects_free(&r->gather_effects);
    follow_effects_free(&r->follow_effects);
}
