#include "message.h"

#include <replica/replica.h>

#include <string.h>

enum { CONFIGURATION_FORMAT = 1, SERVERS_MAX = 64, ADDRESS_MAX = 255 };

/* Each body is put and got in the same order; see the pairs below. */

static void put_append(const struct message *m, struct buf *out)
{
    const struct raft_append_entries *a = &m->rm.append_entries;
    buf_put_varint(out, a->term);
    buf_put_varint(out, a->prev_log_index);
    buf_put_varint(out, a->prev_log_term);
    buf_put_varint(out, a->leader_commit);
    buf_put_varint(out, a->n_entries);
    for (unsigned i = 0; i < a->n_entries; i++) {
        buf_put_varint(out, m->entries[i].term);
        buf_put_u8(out, m->entries[i].type);
        buf_put_bytes(out, m->entries[i].data);
    }
}

static bool entry_is_valid(const struct message_entry *e, uint64_t least_term, uint64_t most_term)
{
    if (e->term < least_term || e->term > most_term)
        return false;
    if (e->type == REPLICA_CHANGE)
        return configuration_is_valid(e->data);
    return e->type == REPLICA_COMMAND || e->type == REPLICA_BARRIER;
}

static enum error_code get_append(struct reader *in, struct arena *arena, struct message *m)
{
    struct raft_append_entries *a = &m->rm.append_entries;
    m->term = a->term = reader_varint(in);
    a->prev_log_index = reader_varint(in);
    a->prev_log_term = reader_varint(in);
    a->leader_commit = reader_varint(in);
    uint64_t n = reader_varint(in);
    /* An entry takes three bytes at least, which bounds what a short frame can make us allocate. */
    if (!in->ok || n > reader_left(in) / 3 || a->prev_log_term > a->term ||
        (a->prev_log_index == 0) != (a->prev_log_term == 0) || a->prev_log_index > UINT64_MAX / 2)
        return ERR_MALFORMED;
    if (n == 0)
        return ERR_OK;
    m->entries = arena_alloc(arena, (size_t)n * sizeof *m->entries);
    if (!m->entries)
        return ERR_NOMEM;
    uint64_t least = a->prev_log_term;
    for (uint64_t i = 0; i < n; i++) {
        struct message_entry *e = &m->entries[i];
        e->term = reader_varint(in);
        e->type = reader_u8(in);
        e->data = reader_bytes(in);
        if (!in->ok || e->term == 0 || !entry_is_valid(e, least, a->term))
            return ERR_MALFORMED;
        least = e->term;
    }
    a->n_entries = (unsigned)n;
    return ERR_OK;
}

static void put_append_result(const struct message *m, struct buf *out)
{
    const struct raft_append_entries_result *a = &m->rm.append_entries_result;
    buf_put_varint(out, a->term);
    buf_put_varint(out, a->rejected);
    buf_put_varint(out, a->last_log_index);
    buf_put_varint(out, a->features);
}

static void get_append_result(struct reader *in, struct message *m)
{
    struct raft_append_entries_result *a = &m->rm.append_entries_result;
    m->term = a->term = reader_varint(in);
    a->rejected = reader_varint(in);
    a->last_log_index = reader_varint(in);
    a->features = (unsigned short)reader_varint(in);
}

static void put_vote(const struct message *m, struct buf *out)
{
    const struct raft_request_vote *v = &m->rm.request_vote;
    buf_put_varint(out, v->term);
    buf_put_varint(out, v->candidate_id);
    buf_put_varint(out, v->last_log_index);
    buf_put_varint(out, v->last_log_term);
    buf_put_u8(out, (uint8_t)(v->disrupt_leader | v->pre_vote << 1));
}

static void get_vote(struct reader *in, struct message *m)
{
    struct raft_request_vote *v = &m->rm.request_vote;
    m->term = v->term = reader_varint(in);
    v->candidate_id = reader_varint(in);
    v->last_log_index = reader_varint(in);
    v->last_log_term = reader_varint(in);
    uint8_t flags = reader_u8(in);
    v->disrupt_leader = flags & 1;
    v->pre_vote = flags & 2;
}

static void put_vote_result(const struct message *m, struct buf *out)
{
    const struct raft_request_vote_result *v = &m->rm.request_vote_result;
    buf_put_varint(out, v->term);
    buf_put_u8(out, (uint8_t)(v->vote_granted | v->pre_vote << 1));
    buf_put_varint(out, v->features);
}

static void get_vote_result(struct reader *in, struct message *m)
{
    struct raft_request_vote_result *v = &m->rm.request_vote_result;
    m->term = v->term = reader_varint(in);
    uint8_t flags = reader_u8(in);
    v->vote_granted = flags & 1;
    v->pre_vote = flags & 2;
    v->features = (unsigned short)reader_varint(in);
}

static void put_snapshot(const struct message *m, struct buf *out)
{
    const struct raft_install_snapshot *s = &m->rm.install_snapshot;
    buf_put_varint(out, s->term);
    buf_put_varint(out, s->last_index);
    buf_put_varint(out, s->last_term);
    buf_put_varint(out, s->conf_index);
    buf_put_bytes(out, m->conf);
}

static void get_snapshot(struct reader *in, struct message *m)
{
    struct raft_install_snapshot *s = &m->rm.install_snapshot;
    m->term = s->term = reader_varint(in);
    s->last_index = reader_varint(in);
    s->last_term = reader_varint(in);
    s->conf_index = reader_varint(in);
    m->conf = reader_bytes(in);
    if (s->last_index == 0 || s->last_term == 0 || s->last_term > s->term || s->conf_index == 0 ||
        s->conf_index > s->last_index || !configuration_is_valid(m->conf))
        in->ok = false;
}

static void put_timeout_now(const struct message *m, struct buf *out)
{
    const struct raft_timeout_now *t = &m->rm.timeout_now;
    buf_put_varint(out, t->term);
    buf_put_varint(out, t->last_log_index);
    buf_put_varint(out, t->last_log_term);
}

static void get_timeout_now(struct reader *in, struct message *m)
{
    struct raft_timeout_now *t = &m->rm.timeout_now;
    m->term = t->term = reader_varint(in);
    t->last_log_index = reader_varint(in);
    t->last_log_term = reader_varint(in);
}

void message_encode(const struct message *m, struct buf *out)
{
    buf_put_u8(out, MESSAGE_VERSION);
    buf_put_u8(out, (uint8_t)m->type);
    buf_put_u8(out, m->rm.request_vote.version);
    switch (m->type) {
    case MESSAGE_APPEND:
        put_append(m, out);
        break;
    case MESSAGE_APPEND_RESULT:
        put_append_result(m, out);
        break;
    case MESSAGE_VOTE:
        put_vote(m, out);
        break;
    case MESSAGE_VOTE_RESULT:
        put_vote_result(m, out);
        break;
    case MESSAGE_SNAPSHOT:
        put_snapshot(m, out);
        break;
    case MESSAGE_TIMEOUT_NOW:
        put_timeout_now(m, out);
        break;
    case MESSAGE_STALE:
        buf_put_varint(out, m->term);
        break;
    case MESSAGE_PROBE:
    case MESSAGE_PROBE_ACK:
        buf_put_varint(out, m->term);
        buf_put_varint(out, m->probe_id);
        break;
    }
}

static enum error_code get_body(struct reader *in, struct arena *arena, struct message *m)
{
    switch (m->type) {
    case MESSAGE_APPEND:
        return get_append(in, arena, m);
    case MESSAGE_APPEND_RESULT:
        get_append_result(in, m);
        return ERR_OK;
    case MESSAGE_VOTE:
        get_vote(in, m);
        return ERR_OK;
    case MESSAGE_VOTE_RESULT:
        get_vote_result(in, m);
        return ERR_OK;
    case MESSAGE_SNAPSHOT:
        get_snapshot(in, m);
        return ERR_OK;
    case MESSAGE_TIMEOUT_NOW:
        get_timeout_now(in, m);
        return ERR_OK;
    case MESSAGE_PROBE:
    case MESSAGE_PROBE_ACK:
        m->term = reader_varint(in);
        m->probe_id = reader_varint(in);
        return ERR_OK;
    case MESSAGE_STALE:
        m->term = reader_varint(in);
        return ERR_OK;
    }
    return ERR_MALFORMED;
}

enum error_code message_decode(struct bytes b, struct arena *arena, struct message *m)
{
    struct reader in = reader_of(b);
    memset(m, 0, sizeof *m);
    uint8_t version = reader_u8(&in);
    m->type = (enum message_type)reader_u8(&in);
    /* All of the engine's structs begin with `version`, which says what their fields mean. */
    m->rm.type = (enum raft_message_type)m->type;
    m->rm.request_vote.version = reader_u8(&in);
    if (!in.ok || version != MESSAGE_VERSION)
        return ERR_MALFORMED;
    enum error_code code = get_body(&in, arena, m);
    if (code)
        return code;
    return in.ok && reader_left(&in) == 0 ? ERR_OK : ERR_MALFORMED;
}

static bool server_is_valid(struct reader *in, uint64_t *id)
{
    *id = reader_u64(in);
    size_t len = 0, left = reader_left(in);
    while (len < left && in->p[len] != 0)
        len++;
    if (len == left || len > ADDRESS_MAX)
        return false;
    reader_take(in, len + 1);
    uint8_t role = reader_u8(in);
    return in->ok && *id != 0 && role <= RAFT_SPARE;
}

bool configuration_is_valid(struct bytes b)
{
    struct reader in = reader_of(b);
    uint64_t ids[SERVERS_MAX];
    if (reader_u8(&in) != CONFIGURATION_FORMAT)
        return false;
    uint64_t n = reader_u64(&in);
    if (!in.ok || n == 0 || n > SERVERS_MAX)
        return false;
    for (uint64_t i = 0; i < n; i++) {
        if (!server_is_valid(&in, &ids[i]))
            return false;
        for (uint64_t j = 0; j < i; j++) {
            if (ids[j] == ids[i])
                return false;
        }
    }
    return true;
}

bool configuration_decode(struct bytes b, struct raft_configuration *out)
{
    raft_configuration_init(out);
    if (!configuration_is_valid(b))
        return false;
    union {
        const void *in;
        void *out;
    } base = {.in = b.data}; /* the engine's buffers have no const; it only reads */
    struct raft_buffer buf = {.base = base.out, .len = b.len};
    return raft_configuration_decode(&buf, out) == 0;
}

unsigned configuration_voters(const struct raft_configuration *c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < c->n; i++)
        n += c->servers[i].role == RAFT_VOTER;
    return n;
}

bool configuration_is_voter(const struct raft_configuration *c, uint64_t id)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (c->servers[i].id == id)
            return c->servers[i].role == RAFT_VOTER;
    }
    return false;
}

bool configuration_has_sole_voter(struct bytes b, uint64_t id)
{
    struct raft_configuration c;
    if (!configuration_decode(b, &c))
        return false;
    bool sole = configuration_voters(&c) == 1 && configuration_is_voter(&c, id);
    raft_configuration_close(&c);
    return sole;
}
