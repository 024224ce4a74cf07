/* The thread of one shard: collects what waits, one log entry a turn, applies what is committed. */
#include "parts.h"

#include <base/clock.h>

#include <stdio.h>

enum {
    TURN_MESSAGES_MAX = 512, /* taken from the inbox before the log is fed */
    FLYING_MAX = 4,          /* entries under way; more are gathered into a bigger one */
    MEMTABLE_OVERFLOW = 4, /* times the limit at which writes are refused while a checkpoint runs */
    RETRY_MS = 1000,
    HINT_FAR = 8, /* commands ahead of the one that is applied whose rows are asked for */
    HINT_NEAR = 4,
    ANSWER_MAX = 48 << 20, /* bytes of one answer; links end at MESSAGE_SIZE_MAX */
};

static void shard_emit(void *ctx, const struct index_op *op)
{
    struct shard *s = ctx;
    if (s->applied >= s->index_loaded)
        index_apply(s->index, op);
}

static struct batch *take_spare(struct shard *s)
{
    struct batch *b = s->spare;
    if (!b)
        return batch_new();
    s->spare = b->next;
    batch_reset(b);
    return b;
}

static void give_spare(struct shard *s, struct batch *b)
{
    b->next = s->spare;
    s->spare = b;
}

static uint64_t memtable_limit(const struct shard *s)
{
    return (uint64_t)s->shared->config->memtable_mb << 20;
}

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

static void send_answer(struct shard *s, const struct batch_request *q, struct buf *out,
                        size_t offset, size_t n)
{
    struct envelope e = {.type = MESSAGE_SHARD_REPLY,
                         .shard = s->id,
                         .epoch = s->shared->map.epoch,
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
            send_answer(s, q, &out, offset, n);
    }
}

/* An entry that no request here waits for: at start, or of an earlier leader. Returns its time. */
static msec_t apply_stored(struct shard *s, const struct replica_entry *e)
{
    struct entry_reader r;
    struct error err;
    uint32_t items;
    struct bytes body;
    struct batch *b = take_spare(s);
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
    give_spare(s, b);
    return r.now_ms;
}

static void drop_batch(struct shard *s, struct batch *b, enum error_code code, const char *text)
{
    for (struct batch_request *q = b->first; q; q = q->next) {
        struct message to = {.peer = q->peer, .envelope = q->envelope};
        if (!q->is_own)
            message_answer_error(s->to_front, &to, code, text);
    }
    give_spare(s, b);
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

static void on_apply(struct shard *s, const struct replica_entry *e)
{
    while (s->flying && s->flying->index < e->index)
        drop_batch(s, pop_flying(s), ERR_NOT_LEADER, "the entry was lost in an election");
    msec_t time_ms = 0;
    if (e->type == REPLICA_COMMAND) {
        s->applied = e->index - 1; /* what shard_emit compares while the entry is applied */
        if (s->flying && s->flying->index == e->index && s->flying->term == e->term) {
            struct batch *b = pop_flying(s);
            struct entry_reader r;
            (void)entry_open(buf_bytes(&b->entry), &r);
            time_ms = r.now_ms;
            apply_batch(s, b, time_ms);
            give_spare(s, b);
        } else {
            time_ms = apply_stored(s, e);
        }
        machine_end_entry(s->machine);
        if (s->dirty_since == 0)
            s->dirty_since = clock_mono_ms();
    }
    s->applied = e->index;
    if (s->applied > s->index_loaded)
        shard_end_index_entry(s, time_ms);
}

static void answer_reads(struct shard *s, struct batch *b)
{
    msec_t now = clock_wall_ms();
    for (struct batch_request *q = b->first; q; q = q->next) {
        struct buf out = {0};
        size_t n = 0, offset = envelope_begin(&out);
        for (size_t i = 0; i < q->n; i++) {
            struct reply reply = {0};
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
        send_answer(s, q, &out, offset, n);
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

static void perform(struct shard *s, const struct replica_effects *effects)
{
    for (size_t i = 0; i < effects->n; i++) {
        const struct replica_effect *e = &effects->list[i];
        struct batch *b;
        switch (e->type) {
        case REPLICA_WRITE: {
            struct message *m = message_new(MESSAGE_LOG_WRITE);
            m->shard = s;
            m->seq = e->write.seq;
            m->write = e->write;
            message_send(s->to_log, m);
            break;
        }
        case REPLICA_APPLY:
            on_apply(s, &e->entry);
            break;
        case REPLICA_ROLE:
            s->leader = e->role.leader;
            log_event(s->shared->log, LOG_LEVEL_INFO, "role", "shard=%u leader=%d term=%llu", s->id,
                      e->role.leader, (unsigned long long)e->role.term);
            break;
        case REPLICA_READ_READY:
            b = take_reads(s, e->token);
            if (b) {
                answer_reads(s, b);
                give_spare(s, b);
            }
            break;
        case REPLICA_READ_FAILED:
            b = take_reads(s, e->token);
            if (b)
                drop_batch(s, b, ERR_NOT_LEADER, "not the leader");
            break;
        case REPLICA_FATAL:
            host_fatal(s->shared, "replica_failed", s->id, e->error);
        case REPLICA_SEND:
        case REPLICA_INSTALL:
        case REPLICA_LOAD:
            break; /* a group of one replica has nobody to talk to */
        }
    }
}

/* --- feeding the log --- */

/* NULL: the request may go on. */
static const char *refuse_write(const struct shard *s, enum error_code *code)
{
    if (s->stopping) {
        *code = ERR_SHUTDOWN;
        return "the node is shutting down";
    }
    if (atomic_load_explicit(&s->shared->disk_full, memory_order_relaxed)) {
        *code = ERR_DISK_FULL;
        return "the node's disk is full";
    }
    if (store_active_bytes(s->store) > MEMTABLE_OVERFLOW * memtable_limit(s)) {
        *code = ERR_BUSY;
        return "a checkpoint is behind";
    }
    return NULL;
}

static struct batch *open_batch(struct shard *s, bool read)
{
    struct batch *b = take_spare(s);
    if (!read)
        batch_begin_entry(b, clock_wall_ms());
    return b;
}

static void on_request(struct shard *s, struct message *m, struct batch **reads)
{
    bool read = m->envelope.type == MESSAGE_SHARD_READ;
    enum error_code code = ERR_OK;
    const char *why = read ? NULL : refuse_write(s, &code);
    if (why) {
        message_answer_error(s->to_front, m, code, why);
        return;
    }
    struct batch **b = read ? reads : &s->filling;
    if (!*b)
        *b = open_batch(s, read);
    struct error err;
    code = batch_add(*b, m, &err);
    if (code != ERR_OK) {
        atomic_fetch_add_explicit(&s->shared->refused_frames, 1, memory_order_relaxed);
        message_answer_error(s->to_front, m, code, err.msg);
    }
}

static void submit_filling(struct shard *s)
{
    struct batch *b = s->filling;
    if (!b || s->n_flying >= FLYING_MAX)
        return;
    s->filling = NULL;
    if (b->n_requests == 0) {
        give_spare(s, b);
        return;
    }
    struct replica_effects effects = {0};
    struct bytes entry = buf_bytes(&b->entry);
    s->log_bytes += entry.len;
    uint64_t index;
    enum error_code rc = replica_submit(s->replica, clock_mono_ms(), &entry, 1, &index, &effects);
    if (rc != ERR_OK) {
        perform(s, &effects);
        drop_batch(s, b, rc, error_text(rc));
        return;
    }
    struct replica_status st;
    replica_get_status(s->replica, &st);
    b->index = index;
    b->term = st.term;
    b->next = NULL;
    *s->flying_tail = b;
    s->flying_tail = &b->next;
    s->n_flying++;
    perform(s, &effects);
}

static void propose_day(struct shard *s, msec_t now)
{
    struct command day;
    if (!shard_wants_day(s, now, &day))
        return;
    if (!s->filling)
        s->filling = open_batch(s, false);
    batch_add_own(s->filling, &day);
    submit_filling(s);
}

static void submit_reads(struct shard *s, struct batch *b)
{
    if (!b)
        return;
    b->token = ++s->read_token;
    b->next = s->reads;
    s->reads = b;
    struct replica_effects effects = {0};
    (void)replica_read(s->replica, clock_mono_ms(), b->token, &effects);
    perform(s, &effects);
}

/* --- checkpoints --- */

static void start_checkpoint(struct shard *s)
{
    if (!s->checkpointing) {
        store_freeze(s->store, s->applied);
        s->checkpoint_index = s->applied;
        s->dirty_since = 0;
        s->log_bytes = 0;
    }
    s->checkpointing = true;
    s->retry_checkpoint = 0;
    struct message *m = message_new(MESSAGE_CHECKPOINT);
    m->shard = s;
    message_send(s->to_checkpoint, m);
}

static void maybe_checkpoint(struct shard *s, msec_t now)
{
    if (s->checkpointing) {
        if (s->retry_checkpoint && now >= s->retry_checkpoint)
            start_checkpoint(s);
        return;
    }
    if (s->dirty_since == 0 || s->gave_up)
        return;
    bool old = now - s->dirty_since >= (msec_t)s->shared->config->checkpoint_seconds * 1000;
    /* Events that change little (duplicates) fill the log and not the memtable. */
    if (s->stopping || old || store_active_bytes(s->store) >= memtable_limit(s) ||
        s->log_bytes >= memtable_limit(s))
        start_checkpoint(s);
}

static void on_checkpoint_done(struct shard *s, enum error_code code)
{
    if (code != ERR_OK) {         /* a full disk: all else has ended the process */
        s->gave_up = s->stopping; /* the log has it all: going without one loses nothing */
        s->checkpointing = !s->gave_up;
        s->retry_checkpoint = s->gave_up ? 0 : clock_mono_ms() + RETRY_MS;
        return;
    }
    store_release_frozen(s->store);
    s->checkpointing = false;
    struct replica_effects effects = {0};
    (void)replica_checkpointed(s->replica, clock_mono_ms(), s->checkpoint_index, &effects);
    perform(s, &effects);
}

/* --- the loop --- */

static void on_log_done(struct shard *s, uint64_t seq)
{
    struct replica_effects effects = {0};
    (void)replica_persisted(s->replica, clock_mono_ms(), seq, &effects);
    perform(s, &effects);
}

static void take_messages(struct shard *s)
{
    struct batch *reads = NULL;
    struct message *m;
    for (int i = 0; i < TURN_MESSAGES_MAX && (m = inbox_take(s->inbox)); i++) {
        switch (m->kind) {
        case MESSAGE_REQUEST:
            on_request(s, m, &reads);
            break;
        case MESSAGE_LOG_DONE:
            on_log_done(s, m->seq);
            break;
        case MESSAGE_CHECKPOINT_DONE:
            on_checkpoint_done(s, m->code);
            break;
        case MESSAGE_STOP:
            s->stopping = true;
            break;
        case MESSAGE_ANSWER:
        case MESSAGE_LOG_WRITE:
        case MESSAGE_CHECKPOINT:
        case MESSAGE_NEWS:
        case MESSAGE_FETCH_STATE:
        case MESSAGE_STATE_FETCHED:
        case MESSAGE_JOB_DONE:
            break; /* never sent to a shard */
        }
        message_free(m);
    }
    submit_filling(s);
    submit_reads(s, reads);
}

static bool is_drained(const struct shard *s)
{
    struct replica_status st;
    replica_get_status(s->replica, &st);
    return s->stopping && !s->filling && !s->flying && !s->reads && !s->checkpointing &&
           (s->dirty_since == 0 || s->gave_up) && st.writes_pending == 0;
}

static long wait_ms(const struct shard *s, msec_t now, bool published)
{
    if (!published)
        return 1;
    msec_t next = replica_next_timeout(s->replica);
    if (s->retry_checkpoint && s->retry_checkpoint < next)
        next = s->retry_checkpoint;
    msec_t left = next - now;
    return left < 1 ? 1 : left > 1000 ? 1000 : (long)left;
}

void *shard_main(void *shard)
{
    struct shard *s = shard;
    struct replica_effects effects = {0};
    (void)replica_start(s->replica, clock_mono_ms(), &effects);
    perform(s, &effects);
    bool published = true;
    struct waitable wait = {.inbox = s->inbox};
    while (!is_drained(s) || !published) { /* queries wait for what is not published */
        take_messages(s);
        msec_t now = clock_mono_ms();
        if (now >= replica_next_timeout(s->replica)) {
            (void)replica_tick(s->replica, now, &effects);
            perform(s, &effects);
        }
        propose_day(s, now);
        published = index_publish(s->index);
        shard_tell_news(s);
        if (published) /* the saved index is to hold all that the frozen memtable does */
            maybe_checkpoint(s, now);
        atomic_store_explicit(&s->in_flight, machine_in_flight(s->machine), memory_order_release);
        (void)endpoint_wait(&wait, 1, wait_ms(s, now, published));
    }
    return NULL;
}

/* --- opening --- */

static enum error_code open_index(struct shard *s, struct error *err)
{
    char path[700];
    (void)snprintf(path, sizeof path, "%s/index", s->folder);
    uint64_t id = s->shared->map.cluster_id;
    s->index = index_new(&s->shared->config->schema);
    if (!s->index)
        return error_set(err, ERR_NOMEM, "index");
    struct error why;
    index_set_watch_events(s->index, s->shared->config->watch_events);
    enum error_code rc = index_load(s->index, path, id, s->id, 0, &why);
    uint64_t durable = store_durable_index(s->store);
    if (rc == ERR_OK && index_applied(s->index) >= durable) {
        s->index_loaded = index_applied(s->index);
        return ERR_OK;
    }
    index_free(s->index);
    s->index = index_new(&s->shared->config->schema);
    if (!s->index)
        return error_set(err, ERR_NOMEM, "index");
    if (durable > 0)
        log_event(s->shared->log, LOG_LEVEL_WARN, "index_rebuild", "shard=%u why=\"%s\"", s->id,
                  rc == ERR_OK ? "older than the state" : why.msg);
    s->applied = durable;
    index_set_watch_events(s->index, s->shared->config->watch_events);
    machine_rebuild(s->machine, shard_emit, s);
    shard_end_index_entry(s, 0);
    (void)index_publish(s->index);
    s->index_loaded = durable;
    return ERR_OK;
}

/* A shard that the log has never seen: its first entry names the sole voter. */
static enum error_code bootstrap(struct wal *wal, const struct shard *s, struct error *err)
{
    struct buf conf = {0};
    uint64_t voter = s->shared->node;
    enum error_code rc = replica_bootstrap(&voter, 1, &conf);
    if (rc != ERR_OK)
        return error_set(err, rc, "first configuration");
    struct wal_entry e = {.term = 1, .type = REPLICA_CHANGE, .data = buf_bytes(&conf)};
    rc = wal_begin(wal, err);
    if (rc == ERR_OK) {
        rc = wal_put_vote(wal, s->id, 1, 0, err);
        if (rc == ERR_OK)
            rc = wal_append(wal, s->id, 1, &e, 1, err);
        if (rc == ERR_OK)
            rc = wal_commit(wal, err);
        else
            wal_abort(wal);
    }
    buf_free(&conf);
    return rc;
}

struct restoring {
    struct replica *replica;
    struct error *err;
};

static enum error_code restore_entry(void *ctx, uint64_t index, const struct wal_entry *e)
{
    struct restoring *r = ctx;
    struct replica_entry entry = {
        .index = index, .term = e->term, .type = e->type, .data = e->data};
    return replica_restore(r->replica, &entry, r->err);
}

static enum error_code open_replica(struct shard *s, struct wal *wal, struct error *err)
{
    struct wal_shard w;
    enum error_code rc = wal_load(wal, s->id, &w, err);
    if (rc == ERR_OK && w.term == 0) {
        rc = bootstrap(wal, s, err);
        if (rc == ERR_OK)
            rc = wal_load(wal, s->id, &w, err);
    }
    if (rc != ERR_OK)
        return rc;
    uint64_t durable = store_durable_index(s->store);
    if (durable > w.last_index && durable > w.snapshot.index)
        return error_set(
            err, ERR_CORRUPT,
            "the log ends at %llu but the state is at %llu: the log was replaced or lost",
            (unsigned long long)w.last_index, (unsigned long long)durable);
    if (durable < w.snapshot.index)
        return error_set(
            err, ERR_CORRUPT,
            "the state is at %llu but the log begins after %llu: the state was replaced or lost",
            (unsigned long long)durable, (unsigned long long)w.snapshot.index);
    struct replica_options o = {.id = s->shared->node, .seed = s->id + 1U};
    struct replica_persisted p = {
        .term = w.term,
        .vote = w.vote,
        .snapshot = {.index = w.snapshot.index,
                     .term = w.snapshot.term,
                     .conf_index = w.snapshot.conf_index,
                     .conf = w.snapshot.conf},
        .first_index = w.first_index,
        .applied = durable,
    };
    rc = replica_open(&o, &p, &s->replica, err);
    if (rc != ERR_OK)
        return rc;
    struct restoring restoring = {s->replica, err};
    return wal_read(wal, s->id, w.first_index, restore_entry, &restoring, err);
}

enum error_code shard_open(struct shard *s, struct wal *wal, struct error *err)
{
    const struct cluster_config *c = s->shared->config;
    (void)snprintf(s->folder, sizeof s->folder, "%s/shard-%u", s->shared->folder, s->id);
    s->flying_tail = &s->flying;
    struct store_options so = {.path = s->folder,
                               .map_bytes = (uint64_t)c->map_gb << 30,
                               .cluster_id = s->shared->map.cluster_id,
                               .shard = s->id};
    enum error_code rc = store_open(&so, &s->store, err);
    if (rc != ERR_OK)
        return rc;
    s->applied = store_durable_index(s->store);
    struct machine_options mo = {.store = s->store,
                                 .schema = &c->schema,
                                 .map = &s->shared->map,
                                 .shard = s->id,
                                 .dedup_hours = c->dedup_hours,
                                 .dedup_min = c->dedup_min,
                                 .dedup_max = c->dedup_max,
                                 .redirect_days = c->redirect_days,
                                 .watch_idle_days = c->watch_idle_days,
                                 .emit = shard_emit,
                                 .emit_ctx = s};
    rc = machine_open(&mo, &s->machine, err);
    if (rc == ERR_OK)
        shard_open_segments(s);
    if (rc == ERR_OK)
        rc = open_index(s, err);
    if (rc == ERR_OK)
        shard_start_index(s);
    if (rc == ERR_OK)
        rc = store_error(s->store, err);
    if (rc == ERR_OK)
        rc = open_replica(s, wal, err);
    if (rc != ERR_OK)
        return error_wrap(err, "shard %u", s->id);
    return ERR_OK;
}

static void free_batches(struct batch *b)
{
    while (b) {
        struct batch *next = b->next;
        batch_free(b);
        b = next;
    }
}

void shard_close(struct shard *s)
{
    free_batches(s->filling);
    free_batches(s->flying);
    free_batches(s->spare);
    free_batches(s->reads);
    replica_close(s->replica);
    shard_close_segments(s);
    if (s->machine)
        machine_close(s->machine);
    if (s->index)
        index_free(s->index);
    if (s->store)
        store_close(s->store);
    outbox_close(s->to_front);
    outbox_close(s->to_log);
    outbox_close(s->to_checkpoint);
    outbox_close(s->to_watch);
    inbox_close(s->inbox);
}
