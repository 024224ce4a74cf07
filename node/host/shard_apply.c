/* What a committed entry or a confirmed read means: commands are applied and answered. */
#include "parts.h"

#include <base/clock.h>

enum {
    HINT_FAR = 8, /* commands ahead of the one that is applied whose rows are asked for */
    HINT_NEAR = 4,
    ANSWER_MAX = 48 << 20, /* bytes of one answer; links end at MESSAGE_SIZE_MAX */
};

/* --- answering --- */

/* What would make the message longer than the router takes is to be asked for again: every command
 * may be, and finds what it did. */
static void put_reply(struct buf *out, const struct reply *r, size_t *n)
{
    static const struct reply again = {.status = REPLY_ERROR, .error = ERR_BUSY};
    size_t before = out->len;
    reply_encode(r, out);
    if (before > ENVELOPE_SIZE && out->len > ANSWER_MAX) {
        out->len = before;
        reply_encode(&again, out);
    }
    (*n)++;
}

static void send_answer(struct shard *s, const struct batch_request *q, uint16_t age_ms,
                        struct buf *out, size_t offset, size_t n)
{
    struct envelope e = {.type = MESSAGE_SHARD_REPLY,
                         .shard = s->id,
                         .flags = age_ms,
                         .epoch = maps_epoch(s->shared),
                         .request_id = q->envelope.request_id,
                         .items = (uint32_t)n};
    envelope_finish(out, offset, &e);
    struct message *m = message_new(MESSAGE_ANSWER);
    m->peer = q->peer;
    if (frame_of_buf(&m->frame, out) != ERR_OK) {
        buf_free(out);
        message_free(m);
        return;
    }
    message_send(s->to_front, m);
}

/* Reads fail into "absent" with a sticky error: nothing may be answered after one. */
static void stop_on_damage(struct shard *s)
{
    struct error err;
    if (store_error(s->store, &err) != ERR_OK || machine_error(s->machine, &err) != ERR_OK)
        host_fatal(s->shared, "store_failed", s->id, &err);
}

/* --- applying --- */

/* Asks memory for what a command to come will look up. */
static void hint(struct shard *s, const struct command *c, enum store_hint store,
                 enum index_hint index)
{
    machine_prefetch(s->machine, c, store);
    if (c->profile)
        index_prefetch(s->index, c->profile, index);
}

static void apply_commands(struct shard *s, msec_t now_ms, const struct command *commands, size_t n,
                           struct arena *arena, struct buf *out, size_t *n_out)
{
    for (size_t i = 0; i < n; i++) {
        struct reply reply = {0};
        if (i + HINT_FAR < n)
            hint(s, &commands[i + HINT_FAR], STORE_HINT_FIRST, INDEX_HINT_FIRST);
        if (i + HINT_NEAR < n)
            hint(s, &commands[i + HINT_NEAR], STORE_HINT_SECOND, INDEX_HINT_SECOND);
        machine_apply(s->machine, now_ms, &commands[i], arena, &reply);
        if (out)
            put_reply(out, &reply, n_out);
    }
    shard_follow_machine(s);
}

static void apply_batch(struct shard *s, struct batch *b, msec_t now_ms)
{
    for (struct batch_request *q = b->first; q; q = q->next) {
        struct buf out = {0};
        size_t n = 0, offset = envelope_begin(&out);
        apply_commands(s, now_ms, q->commands, q->n, &b->arena, &out, &n);
        stop_on_damage(s);
        if (q->is_own)
            buf_free(&out);
        else
            send_answer(s, q, 0, &out, offset, n);
    }
}

/* An entry that no request here waits for: at start, or of an earlier leader. Returns its time. */
static msec_t apply_stored(struct shard *s, const struct replica_entry *e)
{
    struct entry_reader r;
    struct error err;
    uint32_t items;
    struct bytes body;
    struct batch *b = batch_take(&s->spare);
    if (!entry_open(e->data, &r)) {
        (void)error_set(&err, ERR_CORRUPT, "log entry %llu has no header",
                        (unsigned long long)e->index);
        host_fatal(s->shared, "log_damaged", s->id, &err);
    }
    while (entry_next(&r, &items, &body)) {
        struct command *commands;
        size_t n;
        if (command_decode(body, items, &b->arena, &commands, &n, &err) != ERR_OK) {
            (void)error_wrap(&err, "log entry %llu", (unsigned long long)e->index);
            host_fatal(s->shared, "log_damaged", s->id, &err);
        }
        apply_commands(s, r.now_ms, commands, n, &b->arena, NULL, NULL);
        stop_on_damage(s);
    }
    if (!r.r.ok) {
        (void)error_set(&err, ERR_CORRUPT, "log entry %llu is cut short",
                        (unsigned long long)e->index);
        host_fatal(s->shared, "log_damaged", s->id, &err);
    }
    batch_give(&s->spare, b);
    return r.now_ms;
}

void shard_refuse(struct shard *s, const struct message *m, enum error_code code, const char *text)
{
    if (code == ERR_NOT_LEADER)
        message_answer_not_leader(s->to_front, m, node_of_replica(s->leader_id));
    else
        message_answer_error(s->to_front, m, code, text);
}

void shard_drop_batch(struct shard *s, struct batch *b, enum error_code code, const char *text)
{
    for (struct batch_request *q = b->first; q; q = q->next) {
        struct message to = {.peer = q->peer, .envelope = q->envelope};
        if (!q->is_own)
            shard_refuse(s, &to, code, text);
    }
    while (b->questions) {
        struct message *m = b->questions;
        b->questions = m->next;
        shard_refuse(s, m, code, text);
        message_free(m);
    }
    batch_give(&s->spare, b);
}

static struct batch *pop_flying(struct shard *s)
{
    struct batch *b = s->flying;
    s->flying = b->next;
    if (!s->flying)
        s->flying_tail = &s->flying;
    s->n_flying--;
    return b;
}

void shard_apply(struct shard *s, const struct replica_entry *e)
{
    while (s->flying && s->flying->index < e->index)
        shard_drop_batch(s, pop_flying(s), ERR_NOT_LEADER, NULL); /* lost in an election */
    msec_t time_ms = 0;
    if (e->type == REPLICA_COMMAND) {
        s->applied = e->index - 1; /* what shard_emit compares while the entry is applied */
        if (s->flying && s->flying->index == e->index && s->flying->term == e->term) {
            struct batch *b = pop_flying(s);
            struct entry_reader r;
            (void)entry_open(buf_bytes(&b->entry), &r);
            time_ms = r.now_ms;
            apply_batch(s, b, time_ms);
            metric_bump(&s->figures.commands, b->n_commands);
            latency_add(&s->figures.commit, clock_mono_us() - b->submitted_us);
            batch_give(&s->spare, b);
        } else {
            time_ms = apply_stored(s, e);
        }
        machine_end_entry(s->machine);
        metric_bump(&s->figures.entries, 1);
        if (s->dirty_since == 0)
            s->dirty_since = clock_mono_ms();
    }
    s->applied = e->index;
    if (s->applied > s->index_loaded)
        shard_end_index_entry(s, time_ms);
}

/* They see all that was applied: the index lets nobody in before it was put in. */
static void let_ask(struct shard *s, struct batch *b)
{
    while (b->questions) {
        struct message *m = b->questions;
        b->questions = m->next;
        m->age_ms = b->age_ms;
        if (query_pool_put(&s->shared->queries, m))
            continue;
        message_answer_error(s->to_front, m, ERR_BUSY, "too many questions wait at the node");
        message_free(m);
    }
}

static void answer_reads(struct shard *s, struct batch *b)
{
    let_ask(s, b);
    msec_t now = clock_wall_ms();
    for (struct batch_request *q = b->first; q; q = q->next) {
        struct buf out = {0};
        size_t n = 0, offset = envelope_begin(&out);
        for (size_t i = 0; i < q->n; i++) {
            struct reply reply = {0};
            if (q->commands[i].type == COMMAND_LEAD)
                group_lead(s, (node_id)q->commands[i].other, &reply);
            else if (q->commands[i].type == COMMAND_CHECK)
                check_answer(s, &q->commands[i], &b->arena, &reply);
            else
                machine_read(s->machine, now, &q->commands[i], &b->arena, &reply);
            struct shard_stats stats;
            if (reply.stats) {
                struct index_stats ix;
                index_get_stats(s->index, &ix);
                stats = *reply.stats;
                stats.applied = s->applied;
                stats.disk_bytes = store_disk_bytes(s->store);
                stats.memtable_bytes = store_active_bytes(s->store);
                stats.index_bytes = ix.bytes;
                stats.index_members = ix.members;
                stats.kernels = bytes_of_str(index_kernels());
                reply.stats = &stats;
            }
            put_reply(&out, &reply, &n);
        }
        stop_on_damage(s);
        metric_bump(&s->figures.reads, q->n);
        send_answer(s, q, b->age_ms, &out, offset, n);
    }
}

static struct batch *take_reads(struct shard *s, uint64_t token)
{
    for (struct batch **at = &s->reads; *at; at = &(*at)->next) {
        if ((*at)->token == token) {
            struct batch *b = *at;
            *at = b->next;
            return b;
        }
    }
    return NULL;
}

void shard_answer_reads(struct shard *s, uint64_t token, bool ok)
{
    struct batch *b = take_reads(s, token);
    if (!b)
        return;
    if (!ok) {
        shard_drop_batch(s, b, ERR_NOT_LEADER, NULL);
        return;
    }
    answer_reads(s, b);
    batch_give(&s->spare, b);
}

bool shard_answer_stale(struct shard *s, struct message *m)
{
    struct error err;
    msec_t age;
    if (!replica_age(s->replica, clock_mono_ms(), &age) || age >= ENVELOPE_AGE_MAX) {
        shard_refuse(s, m, ERR_UNAVAILABLE, "this replica does not know how old it is");
        return false;
    }
    struct batch *b = batch_take(&s->spare);
    b->age_ms = (uint16_t)(age ? age : 1);
    bool is_question = m->envelope.type == MESSAGE_SHARD_QUERY;
    enum error_code code = ERR_OK;
    if (is_question) {
        m->next = NULL;
        b->questions = m;
    } else {
        code = batch_add(b, m, &err);
    }
    if (code == ERR_OK) {
        answer_reads(s, b);
    } else {
        atomic_fetch_add_explicit(&s->shared->refused_frames, 1, memory_order_relaxed);
        message_answer_error(s->to_front, m, code, err.msg);
    }
    batch_give(&s->spare, b);
    return is_question;
}
