#include "core.h"
#include "guard.h"

#include <stdlib.h>

bool replica_is_leader(const struct replica *r)
{
    return r->raft.state == RAFT_LEADER;
}

uint64_t replica_term_at(const struct replica *r, uint64_t index)
{
    uint64_t term = entries_term(&r->entries, index);
    return term == 0 && index == r->snapshot.index ? r->snapshot.term : term;
}

void snapshot_free(struct replica_snapshot *s)
{
    union {
        const uint8_t *in;
        void *out;
    } conf = {.in = s->conf.data};
    free(conf.out);
    *s = (struct replica_snapshot){0};
}

bool snapshot_copy(struct replica_snapshot *to, const struct replica_snapshot *from)
{
    uint8_t *conf = NULL;
    if (from->conf.len) {
        conf = malloc(from->conf.len);
        if (!conf)
            return false;
        memcpy(conf, from->conf.data, from->conf.len);
    }
    *to = *from;
    to->conf.data = conf;
    return true;
}

/* writes */

void replica_write_free(struct pending_write *w)
{
    for (size_t i = 0; i < w->n; i++)
        entry_block_unref(w->blocks[i]);
    free(w->entries);
    free(w->blocks);
    snapshot_free(&w->snapshot);
    free(w);
}

static struct pending_write *write_new(struct replica *r, size_t n)
{
    struct pending_write *w = calloc(1, sizeof *w);
    if (w && n > 0) {
        w->entries = calloc(n, sizeof *w->entries);
        w->blocks = calloc(n, sizeof(struct entry_block *));
    }
    if (!w || (n > 0 && (!w->entries || !w->blocks))) {
        if (w)
            replica_write_free(w);
        replica_die(r, "a write", RAFT_NOMEM);
        return NULL;
    }
    w->seq = r->last_seq + 1;
    return w;
}

/* Numbers the write, keeps it until it is durable, and hands it out. */
static void write_emit(struct replica *r, struct pending_write *w)
{
    r->last_seq = w->seq;
    if (r->writes_last)
        r->writes_last->next = w;
    else
        r->writes = w;
    r->writes_last = w;
    if (w->has_vote)
        r->vote_seq = w->seq;
    replica_emit(r, REPLICA_WRITE)->write =
        (struct replica_write){.seq = w->seq,
                               .has_vote = w->has_vote,
                               .term = w->has_vote ? r->persisted_term : 0,
                               .vote = w->has_vote ? r->persisted_vote : 0,
                               .entries = w->entries,
                               .n_entries = w->n,
                               .has_trim = w->has_trim,
                               .trim_upto = w->trim_upto,
                               .snapshot = w->snapshot};
}

static void set_vote(struct replica *r, struct pending_write *w, uint64_t term, uint64_t vote)
{
    r->persisted_term = term;
    r->persisted_vote = vote;
    w->has_vote = true;
}

void replica_write_vote(struct replica *r, uint64_t term, uint64_t vote)
{
    struct pending_write *w = write_new(r, 0);
    if (!w)
        return;
    set_vote(r, w, term, vote);
    write_emit(r, w);
}

void replica_write_trim(struct replica *r, uint64_t upto, const struct replica_snapshot *s)
{
    struct pending_write *w = write_new(r, 0);
    if (!w)
        return;
    if (!snapshot_copy(&w->snapshot, s)) {
        replica_write_free(w);
        replica_die(r, "a trim", RAFT_NOMEM);
        return;
    }
    w->has_trim = true;
    w->trim_upto = upto;
    r->trimming = true;
    write_emit(r, w);
}

/* What a pending write may still report once the entries >= index are gone. */
static void cap_writes(struct replica *r, uint64_t index)
{
    for (struct pending_write *w = r->writes; w; w = w->next) {
        if (w->valid >= index)
            w->valid = index - 1;
    }
}

/* updates, one function each, in the order of docs/raft.md */

static bool cache_entries(struct replica *r, const struct raft_entry *batch, unsigned n,
                          struct entry_block *block)
{
    for (unsigned i = 0; i < n; i++) {
        struct bytes data = bytes_of(batch[i].buf.base, batch[i].buf.len);
        if (!entries_append(&r->entries, batch[i].term, (uint8_t)batch[i].type, data, block))
            return false;
    }
    return true;
}

/* The engine's own barriers do not come in a block of ours. */
static bool cache_foreign(struct replica *r, const struct raft_entry *batch, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct entry_block *block = entry_block_ref(entry_block_new(batch[i].buf.len));
        if (!block)
            return false;
        memcpy(block->data, batch[i].buf.base, batch[i].buf.len);
        struct bytes data = bytes_of(block->data, batch[i].buf.len);
        bool ok = entries_append(&r->entries, batch[i].term, (uint8_t)batch[i].type, data, block);
        entry_block_unref(block);
        if (!ok)
            return false;
    }
    raft_free(batch[0].batch);
    return true;
}

static bool take_batch(struct replica *r, const struct raft_update *up)
{
    const struct raft_entry *batch = up->entries.batch;
    struct entry_block *block = r->step_block;
    if (!block || batch[0].batch != block)
        return cache_foreign(r, batch, up->entries.n);
    r->step_block = NULL;
    entry_block_ref(block);
    bool ok = cache_entries(r, batch, up->entries.n, block);
    entry_block_unref(block);
    return ok;
}

static void borrow_entries(const struct replica *r, struct pending_write *w, uint64_t index,
                           size_t n)
{
    w->first = index;
    w->valid = index + n - 1;
    w->n = n;
    for (size_t i = 0; i < n; i++) {
        const struct entry_slot *s = entries_get(&r->entries, index + i);
        w->blocks[i] = entry_block_ref(s->block);
        w->entries[i] = (struct replica_entry){.index = index + i,
                                               .term = s->term,
                                               .type = s->type,
                                               .data = bytes_of(s->data, s->len)};
    }
}

static void take_entries(struct replica *r, const struct raft_update *up, struct pending_write *w)
{
    uint64_t index = up->entries.index;
    if (index < r->entries.first || index > entries_last(&r->entries) + 1 || index <= r->commit) {
        raft_free(up->entries.batch[0].batch);
        replica_die(r, "the engine appends outside the log or over committed entries", 0);
        return;
    }
    if (index <= entries_last(&r->entries)) {
        entries_truncate(&r->entries, index);
        cap_writes(r, index);
    }
    if (!take_batch(r, up)) {
        replica_die(r, "entries", RAFT_NOMEM);
        return;
    }
    borrow_entries(r, w, index, up->entries.n);
}

static void take_writes(struct replica *r, const struct raft_update *up)
{
    bool vote = up->flags & (RAFT_UPDATE_CURRENT_TERM | RAFT_UPDATE_VOTED_FOR);
    bool has_entries = up->flags & RAFT_UPDATE_ENTRIES;
    if (!vote && !has_entries)
        return;
    struct pending_write *w = write_new(r, has_entries ? up->entries.n : 0);
    if (!w)
        return;
    if (vote)
        set_vote(r, w, r->raft.current_term, r->raft.voted_for);
    if (has_entries)
        take_entries(r, up, w);
    if (r->dead)
        replica_write_free(w);
    else
        write_emit(r, w);
}

static bool encode_conf(const struct raft_configuration *c, struct bytes *out)
{
    struct raft_buffer b;
    if (raft_configuration_encode(c, &b) != 0)
        return false;
    uint8_t *copy = malloc(b.len);
    if (copy)
        memcpy(copy, b.base, b.len);
    *out = bytes_of(copy, b.len);
    raft_free(b.base);
    return copy != NULL;
}

/* From here on the old log counts for nothing; nothing is applied until the new state is there. */
static void take_snapshot(struct replica *r, struct raft_update *up)
{
    struct raft_snapshot_metadata *m = &up->snapshot.metadata;
    raft_free(up->snapshot.chunk.base);
    snapshot_free(&r->install);
    r->install.index = m->index;
    r->install.term = m->term;
    r->install.conf_index = m->configuration_index;
    bool ok = encode_conf(&m->configuration, &r->install.conf);
    raft_configuration_close(&m->configuration);
    snapshot_free(&r->snapshot);
    if (!ok || !snapshot_copy(&r->snapshot, &r->install)) {
        replica_die(r, "a snapshot", RAFT_NOMEM);
        return;
    }
    r->installing = true;
    cap_writes(r, 1);
    entries_reset(&r->entries, r->install.index + 1);
    replica_emit(r, REPLICA_INSTALL)->install = (struct replica_install){
        .from = r->raft.follower_state.current_leader.id, .snapshot = r->install};
}

/* False: the metadata that the engine means are not ours any more; it will ask again. */
static bool fill_install(const struct replica *r, struct message *m)
{
    const struct raft_install_snapshot *s = &m->rm.install_snapshot;
    m->conf = r->snapshot.conf;
    return s->last_index == r->snapshot.index && s->conf_index == r->snapshot.conf_index;
}

void replica_send(struct replica *r, uint64_t to, const struct message *m)
{
    size_t before = r->wire.len;
    message_encode(m, &r->wire);
    replica_emit(r, REPLICA_SEND)->send =
        (struct replica_send){.to = to,
                              .after_seq = r->vote_seq > r->durable_seq ? r->vote_seq : 0,
                              .bytes = {.len = r->wire.len - before}};
}

void replica_send_append(struct replica *r, struct message *m)
{
    if (load_fill(r, m, NULL, 0))
        replica_send(r, m->rm.server_id, m);
    else
        load_defer(r, &m->rm);
}

static void take_append(struct replica *r, struct message *m)
{
    joining_cut(r, &m->rm.append_entries, m->rm.server_id);
    if (!hold_append(r, &m->rm))
        replica_send_append(r, m);
}

static void take_snapshot_message(struct replica *r, struct message *m)
{
    if (!fill_install(r, m))
        return;
    joining_note(r, m->rm.server_id, m->rm.install_snapshot.last_index);
    replica_send(r, m->rm.server_id, m);
}

static void take_messages(struct replica *r, const struct raft_update *up)
{
    for (unsigned i = 0; i < up->messages.n; i++) {
        struct message m = {.rm = up->messages.batch[i]};
        m.type = (enum message_type)m.rm.type;
        guard_outgoing(r, &m.rm);
        if (m.type == MESSAGE_APPEND)
            take_append(r, &m);
        else if (m.type == MESSAGE_SNAPSHOT)
            take_snapshot_message(r, &m);
        else
            replica_send(r, m.rm.server_id, &m);
    }
}

void replica_take_role(struct replica *r)
{
    struct replica_role role = {.leader = replica_is_leader(r), .term = r->raft.current_term};
    raft_id id = 0;
    const char *address;
    raft_leader(&r->raft, &id, &address);
    role.leader_id = role.leader ? r->options.id : id;
    const struct replica_role *old = &r->role;
    if (role.leader && (!old->leader || old->term != role.term))
        r->floor = raft_last_index(&r->raft);
    if (role.leader == old->leader && role.term == old->term && role.leader_id == old->leader_id)
        return;
    r->role = role;
    replica_emit(r, REPLICA_ROLE)->role = role;
}

/* The engine's asserts are compiled out in the distribution's library: what would show that our
 * picture and its own differ is checked here. */
static void check_engine(struct replica *r)
{
    if (r->raft.current_term != r->persisted_term || r->raft.voted_for != r->persisted_vote)
        replica_die(r, "term or vote changed without being written", 0);
    else if (raft_last_index(&r->raft) != entries_last(&r->entries))
        replica_die(r, "the engine's log and ours end at different indexes", 0);
}

static bool may_be_refused(enum raft_event_type type)
{
    return type == RAFT_SUBMIT || type == RAFT_TRANSFER;
}

int replica_step(struct replica *r, struct raft_event *event)
{
    if (r->dead)
        return RAFT_SHUTDOWN;
    struct raft_update up = {0};
    event->time = (raft_time)r->now;
    event->capacity = 0;
    int rv = raft_step(&r->raft, event, &up);
    if (rv != 0) {
        if (!may_be_refused(event->type))
            replica_die(r, "the engine gave up", rv);
        return rv;
    }
    take_writes(r, &up);
    r->step_block = NULL; /* released by the engine if it was not taken */
    if (!r->dead && (up.flags & (RAFT_UPDATE_SNAPSHOT)))
        take_snapshot(r, &up);
    if (!r->dead && (up.flags & (RAFT_UPDATE_MESSAGES)))
        take_messages(r, &up);
    if (r->dead)
        return RAFT_SHUTDOWN;
    replica_take_role(r);
    check_engine(r);
    return 0;
}

/* what follows from the steps */

/* Returns true when it stepped the engine. */
static bool confirm_changes(struct replica *r)
{
    bool stepped = false;
    while (!r->dead && r->conf_cursor < r->commit && r->conf_cursor < entries_last(&r->entries)) {
        uint64_t index = ++r->conf_cursor;
        const struct entry_slot *s = entries_get(&r->entries, index);
        if (!s || s->type != REPLICA_CHANGE)
            continue;
        struct raft_event event = {.type = RAFT_CONFIGURATION};
        event.configuration.index = index;
        if (!configuration_decode(bytes_of(s->data, s->len), &event.configuration.conf)) {
            replica_die(r, "configuration of an entry", RAFT_NOMEM);
            return false;
        }
        replica_step(r, &event);
        stepped = true;
    }
    return stepped;
}

static void apply_committed(struct replica *r)
{
    uint64_t limit = r->commit;
    if (guard_is_on(r, GUARD_STORED) && limit > r->raft.last_stored)
        limit = r->raft.last_stored;
    while (r->applied < limit) {
        const struct entry_slot *s = entries_get(&r->entries, r->applied + 1);
        if (!s || !s->block) {
            replica_die(r, "a committed entry is not in memory", 0);
            return;
        }
        r->applied++;
        replica_emit(r, REPLICA_APPLY)->entry =
            (struct replica_entry){.index = r->applied,
                                   .term = s->term,
                                   .type = s->type,
                                   .data = bytes_of(s->data, s->len)};
    }
}

void replica_settle(struct replica *r)
{
    bool stepped = true;
    while (stepped && !r->dead) {
        if (raft_commit_index(&r->raft) > r->commit)
            r->commit = raft_commit_index(&r->raft);
        stepped = !r->installing && confirm_changes(r);
        if (!r->dead && !r->installing)
            apply_committed(r);
        stepped = member_advance(r) || stepped;
    }
    age_applied(&r->age, r->applied);
    if (r->dead)
        return;
    hold_advance(r);
    readindex_advance(r);
}
