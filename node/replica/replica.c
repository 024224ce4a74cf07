#include <replica/replica.h>

#include "core.h"
#include "guard.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

_Static_assert((int)REPLICA_STANDBY == RAFT_STANDBY && (int)REPLICA_VOTER == RAFT_VOTER &&
                   (int)REPLICA_SPARE == RAFT_SPARE,
               "roles are the engine's");
_Static_assert((int)REPLICA_COMMAND == RAFT_COMMAND && (int)REPLICA_BARRIER == RAFT_BARRIER &&
                   (int)REPLICA_CHANGE == RAFT_CHANGE,
               "entry types are the engine's");

enum { ELECTION_TIMEOUT_MS = 1000, MAX_INFLIGHT = 256, CACHE_BYTES = 64 << 20 };

/* Effects. */

static struct replica_effect *effect_list(const struct replica *r)
{
    return (struct replica_effect *)(void *)r->effects.data;
}

static size_t effect_count(const struct replica *r)
{
    return r->effects.len / sizeof(struct replica_effect);
}

struct replica_effect *replica_emit(struct replica *r, enum replica_effect_type type)
{
    static const struct replica_effect zero;
    buf_put(&r->effects, &zero, sizeof zero);
    struct replica_effect *e = &effect_list(r)[effect_count(r) - 1];
    e->type = type;
    return e;
}

enum error_code replica_die(struct replica *r, const char *what, int engine_code)
{
    if (r->dead)
        return ERR_INTERNAL;
    r->dead = true;
    if (engine_code)
        error_set(&r->fatal, ERR_INTERNAL, "raft: %s: %s", what, raft_strerror(engine_code));
    else
        error_set(&r->fatal, ERR_INTERNAL, "raft: %s", what);
    replica_emit(r, REPLICA_FATAL)->error = &r->fatal;
    return ERR_INTERNAL;
}

static enum error_code begin(struct replica *r, msec_t now, struct replica_effects *out)
{
    *out = (struct replica_effects){0};
    if (r->dead)
        return ERR_INTERNAL;
    if (now > r->now)
        r->now = now;
    buf_reset(&r->effects);
    buf_reset(&r->wire);
    arena_reset(&r->arena);
    entries_evict(&r->entries, r->applied,
                  r->raft.configuration.n <= 1 ? 0 : r->options.cache_bytes);
    return ERR_OK;
}

/* Messages lie back to back in `wire`, which stops moving only now. */
static enum error_code finish(struct replica *r, enum error_code code, struct replica_effects *out)
{
    struct replica_effect *list = effect_list(r);
    size_t n = effect_count(r), at = 0;
    for (size_t i = 0; i < n; i++) {
        if (list[i].type != REPLICA_SEND)
            continue;
        list[i].send.bytes.data = r->wire.data + at;
        at += list[i].send.bytes.len;
    }
    *out = (struct replica_effects){.list = list, .n = n};
    return r->dead ? ERR_INTERNAL : code;
}

/* Set-up. */

void replica_address(uint64_t id, char out[REPLICA_ADDRESS_SIZE])
{
    snprintf(out, REPLICA_ADDRESS_SIZE, "%" PRIu64, id);
}

enum error_code replica_bootstrap(const uint64_t *voters, size_t n, struct buf *out)
{
    struct raft_configuration c;
    struct raft_buffer b;
    enum error_code code = n > 0 ? ERR_OK : ERR_INVALID;
    raft_configuration_init(&c);
    for (size_t i = 0; i < n && !code; i++) {
        char address[REPLICA_ADDRESS_SIZE];
        replica_address(voters[i], address);
        int rv =
            voters[i] ? raft_configuration_add(&c, voters[i], address, RAFT_VOTER) : RAFT_BADID;
        if (rv != 0)
            code = rv == RAFT_NOMEM ? ERR_NOMEM : ERR_INVALID;
    }
    if (!code && raft_configuration_encode(&c, &b) != 0)
        code = ERR_NOMEM;
    if (!code) {
        buf_put(out, b.base, b.len);
        raft_free(b.base);
    }
    raft_configuration_close(&c);
    return code;
}

static enum error_code check_options(const struct replica_options *o, struct error *err)
{
    if (o->id == 0)
        return error_set(err, ERR_INVALID, "replica id 0");
    if (o->heartbeat_ms < 0 || o->election_timeout_ms < 0 || o->election_timeout_ms > INT_MAX / 4)
        return error_set(err, ERR_INVALID, "a time-out is out of range");
    msec_t election = o->election_timeout_ms ? o->election_timeout_ms : ELECTION_TIMEOUT_MS;
    if (o->heartbeat_ms >= election || (o->heartbeat_ms == 0 && election < 10))
        return error_set(err, ERR_INVALID, "heartbeat is not below the election time-out");
    return ERR_OK;
}

static enum error_code check_snapshot(const struct replica_persisted *p, struct error *err)
{
    const struct replica_snapshot *s = &p->snapshot;
    if (p->applied < s->index)
        return error_set(err, ERR_CORRUPT, "state at %" PRIu64 " is older than snapshot %" PRIu64,
                         p->applied, s->index);
    if (p->first_index > s->index + 1)
        return error_set(err, ERR_CORRUPT, "log starts at %" PRIu64 ", after snapshot %" PRIu64,
                         p->first_index, s->index);
    if (s->index == 0)
        return ERR_OK;
    if (s->term == 0 || s->term > p->term || s->conf_index == 0 || s->conf_index > s->index ||
        !configuration_is_valid(s->conf))
        return error_set(err, ERR_CORRUPT, "damaged metadata of snapshot %" PRIu64, s->index);
    return ERR_OK;
}

static void set_options(struct replica *r, const struct replica_options *o)
{
    r->options = *o;
    if (o->election_timeout_ms == 0)
        r->options.election_timeout_ms = ELECTION_TIMEOUT_MS;
    if (o->heartbeat_ms == 0)
        r->options.heartbeat_ms = r->options.election_timeout_ms / 10;
    if (o->max_inflight == 0)
        r->options.max_inflight = MAX_INFLIGHT;
    if (o->cache_bytes == 0)
        r->options.cache_bytes = CACHE_BYTES;
    if (o->trailing > INT_MAX)
        r->options.trailing = INT_MAX;
}

static bool open_engine(struct replica *r)
{
    char address[REPLICA_ADDRESS_SIZE];
    replica_address(r->options.id, address);
    if (raft_init(&r->raft, NULL, NULL, r->options.id, address) != 0)
        return false;
    r->raft.tracer = NULL; /* the default one shares a static buffer between threads */
    r->engine_ready = true;
    raft_seed(&r->raft, r->options.seed);
    raft_set_election_timeout(&r->raft, (unsigned)r->options.election_timeout_ms);
    raft_set_heartbeat_timeout(&r->raft, (unsigned)r->options.heartbeat_ms);
    /* A snapshot message is small, as the state goes another way: asking again costs nothing. */
    raft_set_install_snapshot_timeout(&r->raft,
                                      (unsigned)r->options.election_timeout_ms * INSTALL_TIMEOUTS);
    raft_set_pre_vote(&r->raft, true);
    raft_set_max_inflight_entries(&r->raft, r->options.max_inflight);
    return true;
}

enum error_code replica_open(const struct replica_options *o, const struct replica_persisted *p,
                             struct replica **out, struct error *err)
{
    *out = NULL;
    enum error_code code = check_options(o, err);
    if (!code)
        code = check_snapshot(p, err);
    if (code)
        return code;
    struct replica *r = calloc(1, sizeof *r);
    if (!r)
        return error_set(err, ERR_NOMEM, "replica");
    arena_init(&r->arena, 0);
    set_options(r, o);
    entries_init(&r->entries, p->first_index ? p->first_index : p->snapshot.index + 1);
    r->persisted_term = p->term;
    r->persisted_vote = p->vote;
    r->applied = p->applied;
    if (!snapshot_copy(&r->snapshot, &p->snapshot) || !open_engine(r)) {
        replica_close(r);
        return error_set(err, ERR_NOMEM, "replica");
    }
    *out = r;
    return ERR_OK;
}

void replica_close(struct replica *r)
{
    if (!r)
        return;
    if (r->engine_ready)
        raft_close(&r->raft, NULL);
    for (struct pending_write *w = r->writes, *next; w; w = next) {
        next = w->next;
        replica_write_free(w);
    }
    entries_close(&r->entries);
    readindex_close(&r->reads);
    snapshot_free(&r->snapshot);
    snapshot_free(&r->install);
    arena_close(&r->arena);
    buf_free(&r->wire);
    buf_free(&r->effects);
    free(r);
}

enum error_code replica_restore(struct replica *r, const struct replica_entry *e, struct error *err)
{
    assert(!r->started);
    uint64_t last = entries_last(&r->entries);
    if (e->index != last + 1)
        return error_set(err, ERR_CORRUPT, "log entry %" PRIu64 " follows %" PRIu64, e->index,
                         last);
    uint64_t before = replica_term_at(r, last);
    if (e->term == 0 || e->term < before || e->term > r->persisted_term)
        return error_set(err, ERR_CORRUPT, "log entry %" PRIu64 " has term %" PRIu64, e->index,
                         e->term);
    bool is_change = e->type == REPLICA_CHANGE;
    if (is_change ? !configuration_is_valid(e->data)
                  : e->type != REPLICA_COMMAND && e->type != REPLICA_BARRIER)
        return error_set(err, ERR_CORRUPT, "log entry %" PRIu64 " is damaged", e->index);
    struct entry_block *block = NULL;
    struct bytes data = e->data;
    if (!is_change && e->index > r->applied) {
        block = entry_block_ref(entry_block_new(data.len));
        if (!block)
            return error_set(err, ERR_NOMEM, "log entry %" PRIu64, e->index);
        if (data.len)
            memcpy(block->data, data.data, data.len);
        data.data = (const uint8_t *)block->data;
    }
    bool ok = entries_append(&r->entries, e->term, e->type, data, block);
    entry_block_unref(block);
    return ok ? ERR_OK : error_set(err, ERR_NOMEM, "log entry %" PRIu64, e->index);
}

/* Start. */

static bool is_startable(const struct replica *r, bool is_sole_voter)
{
    const struct entries *e = &r->entries;
    /* After an install the state may be newer than the log, until the leader sends the rest. With
     * nobody to send it, the log has lost what the state saw. */
    if (is_sole_voter && r->applied > entries_last(e))
        return false;
    if (e->n == 0)
        return e->first == r->snapshot.index + 1;
    if (entries_last(e) < r->snapshot.index)
        return false;
    if (entries_get(e, r->snapshot.index) && entries_term(e, r->snapshot.index) != r->snapshot.term)
        return false;
    return r->snapshot.index > 0 || entries_get(e, 1)->type == REPLICA_CHANGE;
}

/* The newest configuration in the log, committed or not; empty for a joiner. */
static struct bytes last_configuration(const struct replica *r)
{
    uint64_t index = entries_last_change(&r->entries, entries_last(&r->entries));
    if (index == 0)
        return r->snapshot.conf;
    const struct entry_slot *s = entries_get(&r->entries, index);
    return bytes_of(s->data, s->len);
}

static struct raft_entry *engine_entries(const struct replica *r)
{
    struct raft_entry *list = calloc(r->entries.n ? r->entries.n : 1, sizeof *list);
    for (size_t i = 0; list && i < r->entries.n; i++) {
        const struct entry_slot *s = entries_get(&r->entries, r->entries.first + i);
        list[i].term = s->term;
        list[i].type = (enum raft_entry_type)s->type;
        list[i].batch = s->block; /* not looked at */
        if (s->type == REPLICA_CHANGE) {
            list[i].buf.base = s->block->data;
            list[i].buf.len = s->len;
        }
    }
    return list;
}

static enum error_code step_start(struct replica *r)
{
    struct raft_snapshot_metadata metadata = {.index = r->snapshot.index,
                                              .term = r->snapshot.term,
                                              .configuration_index = r->snapshot.conf_index};
    struct raft_event event = {.type = RAFT_START};
    if (r->snapshot.index > 0) {
        if (!configuration_decode(r->snapshot.conf, &metadata.configuration))
            return replica_die(r, "start", RAFT_NOMEM);
        event.start.metadata = &metadata;
    }
    struct raft_entry *list = engine_entries(r);
    if (!list)
        return replica_die(r, "start", RAFT_NOMEM);
    event.start.term = r->persisted_term;
    event.start.voted_for = r->persisted_vote;
    event.start.start_index = r->entries.first;
    event.start.entries = list;
    event.start.n_entries = (unsigned)r->entries.n;
    replica_step(r, &event);
    free(list);
    return ERR_OK;
}

enum error_code replica_start(struct replica *r, msec_t now, struct replica_effects *out)
{
    assert(!r->started);
    enum error_code code = begin(r, now, out);
    if (code)
        return code;
    struct bytes conf = last_configuration(r);
    bool is_sole_voter = configuration_has_sole_voter(conf, r->options.id);
    if (!is_startable(r, is_sole_voter) || r->entries.n > UINT_MAX) {
        replica_die(r, "log, snapshot and state on disk contradict each other", 0);
        r->fatal.code = ERR_CORRUPT;
        finish(r, ERR_OK, out);
        return ERR_CORRUPT;
    }
    r->started = true;
    r->commit = r->snapshot.index > 0 ? r->snapshot.index : r->entries.n > 0 ? 1 : 0;
    r->conf_cursor = r->commit;
    if (is_sole_voter && guard_is_on(r, GUARD_SOLE_VOTER))
        replica_write_vote(r, r->persisted_term + 1, r->options.id); /* D3, see guard.h */
    if (!r->dead)
        step_start(r);
    replica_settle(r);
    return finish(r, ERR_OK, out);
}

/* Events. */

enum error_code replica_tick(struct replica *r, msec_t now, struct replica_effects *out)
{
    assert(r->started);
    enum error_code code = begin(r, now, out);
    if (code)
        return code;
    if (raft_timeout(&r->raft) > (raft_time)r->now)
        return finish(r, ERR_OK, out);
    guard_before_timeout(r);
    struct raft_event event = {.type = RAFT_TIMEOUT};
    replica_step(r, &event);
    readindex_repeat(r);
    replica_settle(r);
    return finish(r, ERR_OK, out);
}

/* The voters behind the lost one in the order of ids, and round again: the first waits one
 * heartbeat, so that all have noticed or have heard it again, each further one until the one before
 * it may have won. */
static msec_t wait_after_loss(const struct replica *r, uint64_t lost)
{
    const struct raft_configuration *c = &r->raft.configuration;
    msec_t place = 1;
    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *s = &c->servers[i];
        place += s->role == RAFT_VOTER && s->id != lost && s->id - lost < r->options.id - lost;
    }
    return place * r->options.heartbeat_ms;
}

/* The engine has no event for it. What is set here is what it sets itself: no leader as at the
 * start, the timer as after a heartbeat of an earlier time. */
static void forget_leader(struct replica *r, uint64_t lost)
{
    struct raft *e = &r->raft;
    raft_time due = (raft_time)r->now + (raft_time)wait_after_loss(r, lost);
    raft_time wait = e->follower_state.randomized_election_timeout;
    raft_free(e->follower_state.current_leader.address);
    e->follower_state.current_leader.id = 0;
    e->follower_state.current_leader.address = NULL;
    r->heard_leader = false;
    if (due >= wait && due - wait < e->election_timer_start)
        e->election_timer_start = due - wait;
}

enum error_code replica_peer_lost(struct replica *r, msec_t now, uint64_t id,
                                  struct replica_effects *out)
{
    assert(r->started);
    enum error_code code = begin(r, now, out);
    if (code)
        return code;
    if (id != 0 && r->raft.state == RAFT_FOLLOWER && r->raft.follower_state.current_leader.id == id)
        forget_leader(r, id);
    replica_take_role(r);
    replica_settle(r);
    return finish(r, ERR_OK, out);
}

/* Copies the commands into one block, which the engine takes and gives back. */
static struct raft_entry *pack_commands(struct replica *r, const struct bytes *commands, size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += commands[i].len;
    struct raft_entry *list = arena_zalloc(&r->arena, n * sizeof *list);
    struct entry_block *block = list ? entry_block_new(size) : NULL;
    if (!block)
        return NULL;
    uint8_t *p = (uint8_t *)block->data;
    for (size_t i = 0; i < n; i++) {
        memcpy(p, commands[i].data, commands[i].len);
        list[i] = (struct raft_entry){.term = r->raft.current_term,
                                      .type = RAFT_COMMAND,
                                      .buf = {.base = p, .len = commands[i].len},
                                      .batch = block};
        p += commands[i].len;
    }
    r->step_block = block;
    return list;
}

static enum error_code submit_packed(struct replica *r, struct raft_entry *list, size_t n)
{
    struct entry_block *block = r->step_block;
    struct raft_event event = {.type = RAFT_SUBMIT};
    event.submit.entries = list;
    event.submit.n = (unsigned)n;
    int rv = replica_step(r, &event);
    if (rv == 0 || r->dead)
        return ERR_OK;
    r->step_block = NULL;
    raft_free(block);
    return rv == RAFT_NOTLEADER ? ERR_NOT_LEADER : rv == RAFT_NOMEM ? ERR_NOMEM : ERR_UNAVAILABLE;
}

enum error_code replica_submit(struct replica *r, msec_t now, const struct bytes *commands,
                               size_t n, uint64_t *first_index, struct replica_effects *out)
{
    assert(r->started);
    *first_index = 0;
    enum error_code code = begin(r, now, out);
    if (code)
        return code;
    if (n == 0 || n > UINT_MAX)
        return finish(r, ERR_INVALID, out);
    for (size_t i = 0; i < n; i++) {
        if (commands[i].len == 0 || commands[i].len > UINT32_MAX)
            return finish(r, ERR_INVALID, out);
    }
    if (!replica_is_leader(r))
        return finish(r, ERR_NOT_LEADER, out);
    struct raft_entry *list = pack_commands(r, commands, n);
    if (!list)
        return finish(r, ERR_NOMEM, out);
    uint64_t index = entries_last(&r->entries) + 1;
    code = submit_packed(r, list, n);
    if (!code)
        *first_index = index;
    replica_settle(r);
    return finish(r, code, out);
}

/* The engine learns of a trim once it is durable: it must never count on entries less than the
 * disk has. */
static void trim_done(struct replica *r, const struct pending_write *w)
{
    r->trimming = false;
    if (r->installing || w->snapshot.index <= r->snapshot.index)
        return;
    struct raft_event event = {.type = RAFT_SNAPSHOT};
    event.snapshot.metadata =
        (struct raft_snapshot_metadata){.index = w->snapshot.index,
                                        .term = w->snapshot.term,
                                        .configuration_index = w->snapshot.conf_index};
    event.snapshot.trailing = (unsigned)(w->snapshot.index - w->trim_upto);
    snapshot_free(&r->snapshot);
    if (!snapshot_copy(&r->snapshot, &w->snapshot) ||
        !configuration_decode(r->snapshot.conf, &event.snapshot.metadata.configuration)) {
        replica_die(r, "a trim", RAFT_NOMEM);
        return;
    }
    entries_trim(&r->entries, w->trim_upto);
    replica_step(r, &event);
}

static struct pending_write *pop_write(struct replica *r)
{
    struct pending_write *w = r->writes;
    r->writes = w->next;
    if (!r->writes)
        r->writes_last = NULL;
    return w;
}

enum error_code replica_persisted(struct replica *r, msec_t now, uint64_t seq,
                                  struct replica_effects *out)
{
    assert(r->started && seq <= r->last_seq);
    enum error_code code = begin(r, now, out);
    if (code)
        return code;
    uint64_t stored = 0;
    struct pending_write *trim = NULL;
    while (r->writes && r->writes->seq <= seq) {
        struct pending_write *w = pop_write(r);
        r->durable_seq = w->seq;
        if (w->n > 0 && w->valid >= w->first)
            stored = w->valid;
        if (w->has_trim)
            trim = w; /* there is at most one */
        else
            replica_write_free(w);
    }
    if (!r->installing && stored > r->raft.last_stored) {
        struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES};
        event.persisted_entries.index = stored;
        replica_step(r, &event);
    }
    if (trim) {
        if (!r->dead)
            trim_done(r, trim);
        replica_write_free(trim);
    }
    replica_settle(r);
    return finish(r, ERR_OK, out);
}

enum error_code replica_receive(struct replica *r, msec_t now, uint64_t from, struct bytes message,
                                struct replica_effects *out)
{
    assert(r->started);
    enum error_code code = begin(r, now, out);
    if (code)
        return code;
    struct message m;
    code =
        from == 0 || from == r->options.id ? ERR_MALFORMED : message_decode(message, &r->arena, &m);
    if (code)
        return finish(r, code, out);
    if (m.type == MESSAGE_PROBE || m.type == MESSAGE_PROBE_ACK)
        readindex_receive(r, from, &m);
    else
        guard_receive(r, from, &m);
    replica_settle(r);
    return finish(r, ERR_OK, out);
}

/* The metadata of a snapshot at `index`; borrows. False: no configuration is known there. */
static bool snapshot_at(const struct replica *r, uint64_t index, struct replica_snapshot *out)
{
    out->index = index;
    out->term = replica_term_at(r, index);
    out->conf_index = entries_last_change(&r->entries, index);
    if (out->conf_index > r->snapshot.conf_index) {
        const struct entry_slot *s = entries_get(&r->entries, out->conf_index);
        out->conf = bytes_of(s->data, s->len);
    } else {
        out->conf_index = r->snapshot.conf_index;
        out->conf = r->snapshot.conf;
    }
    return out->term > 0 && out->conf_index > 0;
}

void replica_set_trailing(struct replica *r, uint64_t trailing)
{
    r->options.trailing = trailing > INT_MAX ? INT_MAX : trailing;
}

uint64_t replica_walk_back(const struct replica *r, uint64_t from, uint64_t to, uint64_t entries,
                           uint64_t bytes)
{
    uint64_t at = from, least = from > entries && from - entries > to ? from - entries : to;
    for (uint64_t sum = 0; at > least; at--) {
        const struct entry_slot *s = entries_get(&r->entries, at);
        if (!s || (sum += s->len) > bytes)
            break;
    }
    return at;
}

/* What a checkpoint at `index` lets go of: the trailing entries stay. */
static uint64_t trim_point(struct replica *r, uint64_t index)
{
    const struct replica_options *o = &r->options;
    uint64_t bytes = o->trailing_bytes ? o->trailing_bytes : UINT64_MAX;
    return joining_trim(r, replica_walk_back(r, index, 0, o->trailing, bytes));
}

enum error_code replica_checkpointed(struct replica *r, msec_t now, uint64_t index,
                                     struct replica_effects *out)
{
    assert(r->started);
    enum error_code code = begin(r, now, out);
    if (code)
        return code;
    if (index > r->applied)
        return finish(r, ERR_INVALID, out);
    /* A state that runs ahead of the commit index happens after a restart, until a leader told us:
     * the engine takes snapshots of committed entries only. */
    if (index <= r->snapshot.index || index > r->commit || index > r->conf_cursor || r->trimming ||
        r->installing)
        return finish(r, ERR_OK, out);
    struct replica_snapshot s;
    if (!snapshot_at(r, index, &s)) {
        replica_die(r, "no term or configuration known at a checkpoint", 0);
        return finish(r, ERR_INTERNAL, out);
    }
    replica_write_trim(r, trim_point(r, index), &s);
    return finish(r, ERR_OK, out);
}

enum error_code replica_read(struct replica *r, msec_t now, uint64_t token,
                             struct replica_effects *out)
{
    assert(r->started);
    enum error_code code = begin(r, now, out);
    if (code)
        return code;
    if (!readindex_add(&r->reads, token))
        return finish(r, ERR_NOMEM, out);
    replica_settle(r);
    return finish(r, ERR_OK, out);
}

enum error_code replica_installed(struct replica *r, msec_t now, uint64_t applied,
                                  struct replica_effects *out)
{
    assert(r->started);
    enum error_code code = begin(r, now, out);
    if (code)
        return code;
    if (!r->installing || applied < r->install.index)
        return finish(r, ERR_INVALID, out);
    struct raft_event event = {.type = RAFT_PERSISTED_SNAPSHOT};
    struct raft_snapshot_metadata *m = &event.persisted_snapshot.metadata;
    *m = (struct raft_snapshot_metadata){.index = r->install.index,
                                         .term = r->install.term,
                                         .configuration_index = r->install.conf_index};
    if (!configuration_decode(r->install.conf, &m->configuration)) {
        replica_die(r, "an install", RAFT_NOMEM);
        return finish(r, ERR_INTERNAL, out);
    }
    event.persisted_snapshot.last = true;
    r->installing = false;
    r->has_installed = true;
    r->installed_ms = r->now;
    r->applied = applied;
    r->conf_cursor = r->install.index;
    snapshot_free(&r->install);
    replica_step(r, &event);
    replica_settle(r);
    return finish(r, ERR_OK, out);
}

enum error_code replica_loaded(struct replica *r, msec_t now, const struct replica_entry *entries,
                               size_t n, struct replica_effects *out)
{
    assert(r->started);
    enum error_code code = begin(r, now, out);
    if (code)
        return code;
    load_done(r, entries, n);
    return finish(r, ERR_OK, out);
}

enum error_code replica_change(struct replica *r, msec_t now, uint64_t id,
                               enum replica_member_role role, struct replica_effects *out)
{
    assert(r->started);
    enum error_code code = begin(r, now, out);
    if (code)
        return code;
    code = member_change(r, id, role);
    replica_settle(r);
    return finish(r, code, out);
}

enum error_code replica_transfer(struct replica *r, msec_t now, uint64_t to,
                                 struct replica_effects *out)
{
    assert(r->started);
    enum error_code code = begin(r, now, out);
    if (code)
        return code;
    if (!replica_is_leader(r))
        return finish(r, ERR_NOT_LEADER, out);
    if (member_is_changing(r) || raft_transferee(&r->raft) != 0)
        return finish(r, ERR_BUSY, out);
    struct raft_event event = {.type = RAFT_TRANSFER};
    event.transfer.server_id = to;
    int rv = replica_step(r, &event);
    replica_settle(r);
    return finish(r, rv == 0 ? ERR_OK : ERR_NOT_FOUND, out);
}

size_t replica_members(const struct replica *r, struct replica_member *list, size_t max)
{
    const struct raft_configuration *c = &r->raft.configuration;
    for (unsigned i = 0; i < c->n && i < max; i++) {
        raft_index match = 0;
        list[i] = (struct replica_member){.id = c->servers[i].id,
                                          .role = (enum replica_member_role)c->servers[i].role};
        if (replica_is_leader(r) && raft_match_index(&r->raft, list[i].id, &match) == 0)
            list[i].match = match;
    }
    return c->n;
}

msec_t replica_next_timeout(const struct replica *r)
{
    msec_t at = (msec_t)raft_timeout(&r->raft);
    return at > r->now ? at : r->now + 1;
}

bool replica_age(const struct replica *r, msec_t now, msec_t *out)
{
    /* Also while it tries to be elected: that no leader is there makes the state no worse. */
    bool is_current = !replica_is_leader(r) && !r->installing && r->age.is_known;
    *out = is_current && now > r->age.fresh_ms ? now - r->age.fresh_ms : 0;
    return is_current;
}

void replica_get_status(const struct replica *r, struct replica_status *out)
{
    *out = (struct replica_status){.is_leader = r->role.leader,
                                   .term = r->raft.current_term,
                                   .leader_id = r->role.leader_id,
                                   .commit = r->commit,
                                   .applied = r->applied,
                                   .snapshot = r->snapshot.index,
                                   .first = r->entries.first,
                                   .last = entries_last(&r->entries),
                                   .stored = r->raft.last_stored,
                                   .writes_pending = (size_t)(r->last_seq - r->durable_seq),
                                   .cached_bytes = r->entries.bytes,
                                   .n_voters = configuration_voters(&r->raft.configuration),
                                   .n_servers = r->raft.configuration.n,
                                   .is_changing = member_is_changing(r)};
}
