/* The thread of one shard: collects what waits, one log entry a turn, applies what is committed. */
#include "placing.h"

#include <base/clock.h>

enum {
    TURN_MESSAGES_MAX = 512, /* taken from the inbox before the log is fed */
    FLYING_MAX = 4,          /* entries under way; more are gathered into a bigger one */
    MEMTABLE_OVERFLOW = 4, /* times the limit at which writes are refused while a checkpoint runs */
    ENTRY_BYTES = 2 << 20, /* an entry for other replicas, too, gets no bigger than this and one
                              message */
    RETRY_MS = 1000,
    HAND_OVER_TICK_MS = 5,
    DROP_TICK_MS = 100,
    STOP_PATIENCE_MS = 5000, /* for entries that no majority takes while the node stops */
};

static uint64_t memtable_limit(const struct shard *s)
{
    return (uint64_t)s->shared->config->memtable_mb << 20;
}

/* Nobody here knows what becomes of what is under way: it is to be asked for again. */
static void drop_all(struct shard *s)
{
    while (s->flying) {
        struct batch *b = s->flying;
        s->flying = b->next;
        shard_drop_batch(s, b, ERR_NOT_LEADER, NULL);
    }
    s->flying_tail = &s->flying;
    s->n_flying = 0;
    while (s->ready) {
        struct batch *b = s->ready;
        s->ready = b->next;
        shard_drop_batch(s, b, ERR_NOT_LEADER, NULL);
    }
    s->ready_tail = &s->ready;
    if (s->filling)
        shard_drop_batch(s, s->filling, ERR_NOT_LEADER, NULL);
    s->filling = NULL;
}

static void on_role(struct shard *s, const struct replica_role *role)
{
    metric_bump(&s->figures.elections, role->leader && !s->leader);
    s->leader = role->leader;
    s->leader_id = role->leader_id;
    atomic_store_explicit(&s->role, role->leader ? 1 : 0, memory_order_relaxed);
    log_event(s->shared->log, LOG_LEVEL_INFO, "role", "shard=%u leader=%d term=%llu leader_node=%u",
              s->id, role->leader, (unsigned long long)role->term,
              node_of_replica(role->leader_id));
    group_on_role(s);
    if (!role->leader) {
        drop_all(s);
        check_stop(s); /* the new leader is asked */
    }
}

void shard_perform(struct shard *s, const struct replica_effects *effects)
{
    for (size_t i = 0; i < effects->n; i++) {
        const struct replica_effect *e = &effects->list[i];
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
            shard_apply(s, &e->entry);
            break;
        case REPLICA_ROLE:
            on_role(s, &e->role);
            break;
        case REPLICA_READ_READY:
        case REPLICA_READ_FAILED:
            shard_answer_reads(s, e->token, e->type == REPLICA_READ_READY);
            break;
        case REPLICA_FATAL:
            host_fatal(s->shared, "replica_failed", s->id, e->error);
        case REPLICA_SEND:
            group_send(s, &e->send);
            break;
        case REPLICA_INSTALL:
            install_begin(s, &e->install);
            break;
        case REPLICA_LOAD:
            group_load(s, &e->load);
            break;
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
    struct batch *b = batch_take(&s->spare);
    if (!read)
        batch_begin_entry(b, clock_wall_ms());
    return b;
}

/* The entry gets no bigger: what comes now goes into the next one. */
static void close_filling(struct shard *s)
{
    struct batch *b = s->filling;
    s->filling = NULL;
    b->next = NULL;
    *s->ready_tail = b;
    s->ready_tail = &b->next;
}

/* True: the message was taken. */
static bool on_request(struct shard *s, struct message *m, struct batch **reads)
{
    bool read = m->envelope.type != MESSAGE_SHARD_WRITE;
    if (!s->leader && m->envelope.flags & ENVELOPE_STALE_OK)
        return shard_answer_stale(s, m);
    enum error_code code = s->leader ? ERR_OK : ERR_NOT_LEADER;
    const char *why = code == ERR_OK && !read ? refuse_write(s, &code) : NULL;
    if (code != ERR_OK) {
        figures_refused(s, code);
        shard_refuse(s, m, code, why);
        return false;
    }
    struct batch **b = read ? reads : &s->filling;
    if (!*b)
        *b = open_batch(s, read);
    if (m->envelope.type == MESSAGE_SHARD_QUERY) {
        m->next = (*b)->questions;
        (*b)->questions = m;
        return true;
    }
    struct error err;
    code = batch_add(*b, m, &err);
    if (code != ERR_OK) {
        atomic_fetch_add_explicit(&s->shared->refused_frames, 1, memory_order_relaxed);
        figures_refused(s, ERR_MALFORMED);
        message_answer_error(s->to_front, m, code, err.msg);
    }
    if (!read && s->is_grouped && s->filling->entry.len >= ENTRY_BYTES)
        close_filling(s);
    return false;
}

/* The oldest that waits to be submitted; NULL: none. */
static struct batch *take_ready(struct shard *s)
{
    struct batch *b = s->ready;
    if (!b) {
        b = s->filling;
        s->filling = NULL;
        return b;
    }
    s->ready = b->next;
    if (!s->ready)
        s->ready_tail = &s->ready;
    return b;
}

static void submit_one(struct shard *s, struct batch *b)
{
    if (b->n_requests == 0) {
        batch_give(&s->spare, b);
        return;
    }
    struct replica_effects effects = {0};
    struct bytes entry = buf_bytes(&b->entry);
    s->log_bytes += entry.len;
    uint64_t index;
    enum error_code rc = replica_submit(s->replica, clock_mono_ms(), &entry, 1, &index, &effects);
    if (rc != ERR_OK) {
        shard_perform(s, &effects);
        shard_drop_batch(s, b, rc, error_text(rc));
        return;
    }
    struct replica_status st;
    replica_get_status(s->replica, &st);
    b->index = index;
    b->term = st.term;
    b->submitted_us = clock_mono_us();
    b->next = NULL;
    *s->flying_tail = b;
    s->flying_tail = &b->next;
    s->n_flying++;
    shard_perform(s, &effects);
}

static void submit_ready(struct shard *s)
{
    struct batch *b;
    while (s->n_flying < FLYING_MAX && !group_is_handing_over(s) && (b = take_ready(s)))
        submit_one(s, b);
}

void shard_propose(struct shard *s, const struct command *c)
{
    if (!s->filling)
        s->filling = open_batch(s, false);
    batch_add_own(s->filling, c);
}

static void propose_own(struct shard *s, msec_t now)
{
    struct command day;
    if (shard_wants_day(s, now, &day))
        shard_propose(s, &day);
    keeper_propose(s, now);
    submit_ready(s);
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
    shard_perform(s, &effects);
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
    if (s->dirty_since == 0 || s->gave_up || group_is_handing_over(s) || install_is_pending(s))
        return;
    bool old = now - s->dirty_since >= (msec_t)s->shared->config->checkpoint_seconds * 1000;
    /* Events that change little (duplicates) fill the log and not the memtable. */
    if (s->stopping || old || check_wants_checkpoint(s) ||
        store_active_bytes(s->store) >= memtable_limit(s) || s->log_bytes >= memtable_limit(s))
        start_checkpoint(s);
}

static void on_checkpoint_done(struct shard *s, enum error_code code)
{
    if (code != ERR_OK) {         /* a full disk: all else has ended the process */
        s->gave_up = s->stopping; /* the log has it all: going without one loses nothing */
        s->checkpointing = !s->gave_up;
        s->retry_checkpoint = s->gave_up ? 0 : clock_mono_ms() + RETRY_MS;
        check_without_checkpoint(s);
        return;
    }
    store_release_frozen(s->store);
    s->checkpointing = false;
    s->gave_up = s->stopping && s->is_grouped; /* a follower would never be done: entries go on
                                                  coming */
    struct replica_effects effects = {0};
    (void)replica_checkpointed(s->replica, clock_mono_ms(), s->checkpoint_index, &effects);
    shard_perform(s, &effects);
}

/* --- the loop --- */

static void on_log_done(struct shard *s, uint64_t seq)
{
    struct replica_effects effects = {0};
    group_durable(s, seq);
    (void)replica_persisted(s->replica, clock_mono_ms(), seq, &effects);
    shard_perform(s, &effects);
}

/* Nobody here knows what becomes of what is under way. `reads`: of this turn. */
static void begin_drop(struct shard *s, struct batch *reads)
{
    s->leader = false;
    atomic_store_explicit(&s->role, 0, memory_order_relaxed);
    drop_all(s);
    if (reads)
        shard_drop_batch(s, reads, ERR_NOT_LEADER, NULL);
    while (s->reads) {
        struct batch *b = s->reads;
        s->reads = b->next;
        shard_drop_batch(s, b, ERR_NOT_LEADER, NULL);
    }
    check_stop(s);
    drop_begin(s);
}

static void take_messages(struct shard *s)
{
    struct batch *reads = NULL;
    struct message *m;
    for (int i = 0; i < TURN_MESSAGES_MAX && (m = inbox_take(s->inbox)); i++) {
        if (s->drop) {
            drop_take(s, m);
            message_free(m);
            continue;
        }
        switch (m->kind) {
        case MESSAGE_REQUEST:
            if (m->envelope.type == MESSAGE_PEER)
                group_receive(s, m);
            else if (on_request(s, m, &reads))
                continue;
            break;
        case MESSAGE_PEER_LOST:
            group_peer_lost(s, m->node);
            break;
        case MESSAGE_LOG_ENTRIES:
            group_loaded(s, m);
            break;
        case MESSAGE_LOG_DONE:
            on_log_done(s, m->seq);
            break;
        case MESSAGE_LOG_INSTALLED:
            install_logged(s);
            break;
        case MESSAGE_STATE_FETCHED:
            install_fetched(s, m->code, m->seq);
            break;
        case MESSAGE_CHECKPOINT_DONE:
            on_checkpoint_done(s, m->code);
            break;
        case MESSAGE_CHECKED:
            check_walked(s, m);
            break;
        case MESSAGE_STOP:
            s->stopping = true;
            s->stop_until = clock_mono_ms() + STOP_PATIENCE_MS;
            install_stop(s);
            check_stop(s);
            break;
        case MESSAGE_DROP:
            begin_drop(s, reads);
            reads = NULL;
            break;
        case MESSAGE_MAP:
        case MESSAGE_OPEN:
        case MESSAGE_LOG_FORGET:
        case MESSAGE_LOG_FORGOTTEN:
        case MESSAGE_FETCH_CANCEL:
        case MESSAGE_ANSWER:
        case MESSAGE_TO_PEER:
        case MESSAGE_LOG_READ:
        case MESSAGE_LOG_WRITE:
        case MESSAGE_CHECKPOINT:
        case MESSAGE_CHECK:
        case MESSAGE_NEWS:
        case MESSAGE_LOG_INSTALL:
        case MESSAGE_FETCH_STATE:
        case MESSAGE_JOB_DONE:
            break; /* never sent to a shard */
        }
        message_free(m);
    }
    if (s->drop)
        return;
    submit_ready(s);
    submit_reads(s, reads);
}

static bool is_drained(const struct shard *s)
{
    struct replica_status st;
    if (s->drop)
        return s->drop == DROP_DONE || s->stopping;
    replica_get_status(s->replica, &st);
    return s->stopping && !s->filling && !s->ready && !s->flying && !s->reads &&
           !s->checkpointing && !group_is_handing_over(s) && (s->dirty_since == 0 || s->gave_up) &&
           (st.writes_pending == 0 || (s->is_grouped && !s->leader));
}

static long wait_ms(const struct shard *s, msec_t now, bool published)
{
    if (!published)
        return 1;
    msec_t next = replica_next_timeout(s->replica);
    if (s->retry_checkpoint && s->retry_checkpoint < next)
        next = s->retry_checkpoint;
    msec_t left = next - now;
    if (group_is_handing_over(s) && left > HAND_OVER_TICK_MS)
        left = HAND_OVER_TICK_MS;
    return left < 1 ? 1 : left > 1000 ? 1000 : (long)left;
}

void *shard_main(void *shard)
{
    struct shard *s = shard;
    struct replica_effects effects = {0};
    (void)replica_start(s->replica, clock_mono_ms(), &effects);
    shard_perform(s, &effects);
    bool published = true;
    struct waitable wait = {.inbox = s->inbox};
    while (!is_drained(s) || !published) { /* queries wait for what is not published */
        take_messages(s);
        msec_t now = clock_mono_ms();
        if (s->drop) {
            drop_tick(s);
            published = index_publish(s->index);
            if (s->drop != DROP_DONE)
                (void)endpoint_wait(&wait, 1, DROP_TICK_MS);
            continue;
        }
        if (now >= replica_next_timeout(s->replica)) {
            (void)replica_tick(s->replica, now, &effects);
            shard_perform(s, &effects);
        }
        group_follow_map(s);
        keeper_tell_front(s);
        if (s->is_grouped || s->group.place.is_moving)
            group_tick(s, now);
        install_tick(s, now);
        if (s->stopping && s->flying && now >= s->stop_until)
            drop_all(s); /* no majority is there to take them */
        propose_own(s, now);
        published = index_publish(s->index);
        shard_tell_news(s);
        if (published) /* the saved index is to hold all that the frozen memtable does */
            maybe_checkpoint(s, now);
        check_tick(s, now);
        atomic_store_explicit(&s->in_flight, machine_in_flight(s->machine), memory_order_release);
        view_say(s, now);
        (void)endpoint_wait(&wait, 1, wait_ms(s, now, published));
    }
    if (s->drop == DROP_DONE)
        drop_end(s);
    return NULL;
}

static void free_batches(struct batch *b)
{
    while (b) {
        struct batch *next = b->next;
        batch_free(b);
        b = next;
    }
}

void shard_close_replica(struct shard *s)
{
    group_close(s);
    free_batches(s->filling);
    free_batches(s->ready);
    free_batches(s->flying);
    free_batches(s->spare);
    free_batches(s->reads);
    s->filling = s->ready = s->flying = s->spare = s->reads = NULL;
    replica_close(s->replica);
    s->replica = NULL;
    install_close(s);
    check_close(s);
    shard_close_state(s);
}

void shard_close(struct shard *s)
{
    struct message *m;
    if (!s->is_connected)
        return;
    while (s->inbox && (m = inbox_take(s->inbox)))
        message_free(m);
    shard_close_replica(s);
    (void)pthread_rwlock_destroy(&s->in_place);
    outbox_close(s->to_shard);
    outbox_close(s->to_front);
    outbox_close(s->to_log);
    outbox_close(s->to_checkpoint);
    outbox_close(s->to_watch);
    outbox_close(s->to_transfer);
    outbox_close(s->to_check);
    inbox_close(s->inbox);
    view_close(s);
}
