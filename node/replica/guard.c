#include "guard.h"

void guard_switch_off(struct replica *r, unsigned guards)
{
    r->guards_off = guards;
}

/* Steps a message, an APPEND with only `n` of its entries from `offset` on. */
static void step_message(struct replica *r, uint64_t from, const struct message *m, unsigned offset,
                         unsigned n);

/* D7: disrupt_leader and a skipped pre-vote stick to a candidate whose election failed; its next
 * ones would depose good leaders for ever. */
void guard_before_timeout(struct replica *r)
{
    if (r->raft.state != RAFT_CANDIDATE || !guard_is_on(r, GUARD_CANDIDATE))
        return;
    r->raft.candidate_state.disrupt_leader = false;
    r->raft.candidate_state.in_pre_vote = true;
}

/* D6: a refused pre-vote echoes the candidate's term, so that a candidate which is behind never
 * learns the higher one, and with pre-vote nobody else tells it. */
void guard_outgoing(const struct replica *r, struct raft_message *m)
{
    struct raft_request_vote_result *v = &m->request_vote_result;
    if (m->type != RAFT_REQUEST_VOTE_RESULT || !guard_is_on(r, GUARD_PRE_VOTE_TERM))
        return;
    if (v->pre_vote && !v->vote_granted && r->raft.current_term > v->term)
        v->term = r->raft.current_term;
}

static bool is_from_leader(const struct message *m)
{
    return m->type == MESSAGE_APPEND || m->type == MESSAGE_SNAPSHOT;
}

/* D4: a rejection that is older than the acknowledged match makes the engine's next index
 * underflow, or sets it below match for ever. */
static bool is_outdated_rejection(const struct replica *r, uint64_t from, const struct message *m)
{
    const struct raft_append_entries_result *a = &m->rm.append_entries_result;
    raft_index match;
    if (m->type != MESSAGE_APPEND_RESULT || a->rejected == 0 || !replica_is_leader(r) ||
        a->term != r->raft.current_term || raft_match_index(&r->raft, from, &match) != 0)
        return false;
    return a->rejected <= match || a->last_log_index < match;
}

/* Another snapshot is of no use while one is put in place, and right after: what the leader sent
 * meanwhile has waited at the door. It learns from the next answer that it may send entries, and
 * sends a snapshot again, after the same time, if it has not got them any more. */
static bool is_needless_snapshot(const struct replica *r, const struct message *m)
{
    msec_t wait = r->options.election_timeout_ms * INSTALL_TIMEOUTS;
    return m->type == MESSAGE_SNAPSHOT && guard_is_on(r, GUARD_INSTALLING) &&
           (r->installing || (r->has_installed && r->now - r->installed_ms < wait));
}

static bool is_dropped(const struct replica *r, uint64_t from, const struct message *m)
{
    /* The engine casts its state to a candidate's without looking. */
    if (m->type == MESSAGE_VOTE_RESULT && r->raft.state != RAFT_CANDIDATE &&
        guard_is_on(r, GUARD_LATE_VOTE))
        return true;
    if (is_needless_snapshot(r, m))
        return true;
    /* There is one leader in a term: such a peer is broken, and the engine only asserts. */
    if (is_from_leader(m) && m->term == r->raft.current_term && replica_is_leader(r))
        return true;
    return guard_is_on(r, GUARD_REJECTION) && is_outdated_rejection(r, from, m);
}

/* D1: the engine answers a leader of an old term with rejected = 0 and an index it never set, which
 * that leader may take for an acknowledgement. Our own answer says nothing but the term. */
static bool answers_stale(struct replica *r, uint64_t from, const struct message *m)
{
    if (!is_from_leader(m) || m->term >= r->raft.current_term || !guard_is_on(r, GUARD_STALE))
        return false;
    struct message stale = {.type = MESSAGE_STALE, .term = r->raft.current_term};
    replica_send(r, from, &stale);
    return true;
}

static void receive_stale(struct replica *r, uint64_t from, const struct message *m)
{
    if (m->term <= r->raft.current_term)
        return;
    struct message result = {.type = MESSAGE_APPEND_RESULT, .term = m->term};
    result.rm.type = RAFT_APPEND_ENTRIES_RESULT;
    result.rm.append_entries_result = (struct raft_append_entries_result){
        .version = 2, .term = m->term, .rejected = 1, .last_log_index = 0};
    step_message(r, from, &result, 0, 0);
}

/* D8: an append behind an entry from before our snapshot that we have trimmed, and whose term we
 * have forgotten. With prev = 0 the engine does not compare at all and would append after our last
 * entry; else it refuses for ever, as the leader's next one cannot be below what we acknowledged.
 * All up to the snapshot is committed, so that the leader has it too: an empty request anchored
 * there says the same. */
static void rewrite_trimmed(const struct replica *r, struct message *m)
{
    struct raft_append_entries *a = &m->rm.append_entries;
    if (!guard_is_on(r, GUARD_TRIMMED) || r->installing || r->snapshot.index == 0 ||
        a->term < r->raft.current_term)
        return;
    bool follows_all = a->prev_log_index == 0 && r->entries.first == 1;
    if (a->prev_log_index >= r->snapshot.index || follows_all ||
        replica_term_at(r, a->prev_log_index) != 0)
        return;
    a->prev_log_index = r->snapshot.index;
    a->prev_log_term = r->snapshot.term;
    a->n_entries = 0;
}

/* D2, the older change: the engine keeps one uncommitted configuration. When a second one arrives,
 * the first is committed (a leader starts a change only then), which the engine must be told before
 * it forgets the first. */
static void confirm_older_change(struct replica *r, const struct message *m, unsigned offset)
{
    uint64_t older = r->raft.configuration_uncommitted_index;
    uint64_t index = m->rm.append_entries.prev_log_index + 1 + offset;
    const struct entry_slot *s = entries_get(&r->entries, older);
    if (older == 0 || older >= index || !s || s->type != REPLICA_CHANGE ||
        r->raft.state != RAFT_FOLLOWER || m->term != r->raft.current_term ||
        replica_term_at(r, index) == m->entries[offset].term)
        return;
    struct raft_event event = {.type = RAFT_CONFIGURATION};
    event.configuration.index = older;
    if (!configuration_decode(bytes_of(s->data, s->len), &event.configuration.conf)) {
        replica_die(r, "configuration of an entry", RAFT_NOMEM);
        return;
    }
    replica_step(r, &event);
}

/* D2: the engine records an uncommitted configuration under the first index of its batch. Each
 * change therefore comes first in a step of its own, and before it an empty request, which rolls
 * back or commits what the prefix says. */
static void step_append(struct replica *r, uint64_t from, const struct message *m)
{
    const struct raft_append_entries *a = &m->rm.append_entries;
    bool prefix_matches =
        a->prev_log_index == 0 || replica_term_at(r, a->prev_log_index) == a->prev_log_term;
    if (a->n_entries == 0 || !prefix_matches || !guard_is_on(r, GUARD_SPLIT)) {
        step_message(r, from, m, 0, a->n_entries);
        return;
    }
    for (unsigned at = 0, end; at < a->n_entries && !r->dead; at = end) {
        end = at + 1;
        while (end < a->n_entries && m->entries[end].type != REPLICA_CHANGE)
            end++;
        if (m->entries[at].type == REPLICA_CHANGE) {
            step_message(r, from, m, at, 0);
            replica_settle(r);
            if (!r->dead)
                confirm_older_change(r, m, at);
        }
        step_message(r, from, m, at, end - at);
        replica_settle(r);
    }
}

/* D5: a replica that is no voter in its own configuration refuses its vote, and never forgets a
 * leader. Its configuration may be the old one: then a promotion from one to two voters waits for
 * ever. A vote from a server that is not a voter does no harm, since the candidate does not count
 * it unless it is one in its own configuration. */
static void step_vote(struct replica *r, uint64_t from, struct message *m)
{
    struct raft_server *self = NULL;
    for (unsigned i = 0; i < r->raft.configuration.n; i++) {
        if (r->raft.configuration.servers[i].id == r->options.id)
            self = &r->raft.configuration.servers[i];
    }
    if (!self || self->role == RAFT_VOTER || r->raft.state != RAFT_FOLLOWER ||
        !guard_is_on(r, GUARD_NON_VOTER)) {
        step_message(r, from, m, 0, 0);
        return;
    }
    if (!r->heard_leader || r->now - r->last_append > r->options.election_timeout_ms)
        m->rm.request_vote.disrupt_leader = true;
    int role = self->role;
    self->role = RAFT_VOTER;
    step_message(r, from, m, 0, 0);
    self->role = role; /* a vote changes no configuration */
}

void guard_receive(struct replica *r, uint64_t from, struct message *m)
{
    if (m->type == MESSAGE_STALE) {
        receive_stale(r, from, m);
        return;
    }
    if (is_from_leader(m) && m->term >= r->raft.current_term) {
        r->last_append = r->now;
        r->heard_leader = true;
        if (m->type == MESSAGE_APPEND)
            age_heard(&r->age, m->rm.append_entries.leader_commit, r->now);
    }
    if (answers_stale(r, from, m) || is_dropped(r, from, m))
        return;
    if (m->type == MESSAGE_APPEND) {
        rewrite_trimmed(r, m);
        step_append(r, from, m);
    } else if (m->type == MESSAGE_VOTE) {
        step_vote(r, from, m);
    } else {
        step_message(r, from, m, 0, 0);
    }
}

/* Copies the data into a block that the engine can take for the entries' batch. */
static bool fill_entries(struct replica *r, const struct message *m, unsigned offset, unsigned n,
                         struct raft_append_entries *a)
{
    size_t size = 0;
    for (unsigned i = 0; i < n; i++)
        size += m->entries[offset + i].data.len;
    struct raft_entry *list = arena_zalloc(&r->arena, n * sizeof *list);
    struct entry_block *block = entry_block_new(size);
    if (!list || !block) {
        entry_block_unref(entry_block_ref(block));
        return false;
    }
    uint8_t *p = (uint8_t *)block->data;
    for (unsigned i = 0; i < n; i++) {
        const struct message_entry *e = &m->entries[offset + i];
        list[i] = (struct raft_entry){.term = e->term,
                                      .type = (enum raft_entry_type)e->type,
                                      .buf = {.base = p, .len = e->data.len},
                                      .batch = block};
        if (e->data.len)
            memcpy(p, e->data.data, e->data.len);
        p += e->data.len;
    }
    a->entries = list;
    r->step_block = block;
    return true;
}

static void trim_append(const struct message *m, unsigned offset, unsigned n,
                        struct raft_append_entries *a)
{
    if (offset > 0) {
        a->prev_log_index += offset;
        a->prev_log_term = m->entries[offset - 1].term;
    }
    a->n_entries = n;
    a->entries = NULL;
}

static bool fill_snapshot(const struct message *m, struct raft_install_snapshot *s)
{
    if (!configuration_decode(m->conf, &s->conf))
        return false;
    /* The engine wants data to own; ours goes another way. */
    s->data.len = 1;
    s->data.base = raft_malloc(s->data.len);
    if (!s->data.base)
        raft_configuration_close(&s->conf);
    return s->data.base != NULL;
}

static void step_message(struct replica *r, uint64_t from, const struct message *m, unsigned offset,
                         unsigned n)
{
    struct raft_message rm = m->rm;
    char address[REPLICA_ADDRESS_SIZE];
    replica_address(from, address);
    rm.server_id = from;
    rm.server_address = address;
    bool ok = true;
    if (m->type == MESSAGE_APPEND) {
        /* An earlier part of this message may have been answered by a newer term. */
        if (r->raft.current_term > m->term && offset > 0)
            return;
        trim_append(m, offset, n, &rm.append_entries);
        ok = n == 0 || fill_entries(r, m, offset, n, &rm.append_entries);
    } else if (m->type == MESSAGE_SNAPSHOT) {
        ok = fill_snapshot(m, &rm.install_snapshot);
    }
    if (!ok)
        return; /* memory is out: as if the message were lost */
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.receive.message = &rm;
    replica_step(r, &event);
}
