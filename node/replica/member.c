#include "member.h"

#include "core.h"

static const struct raft_server *find_server(const struct replica *r, uint64_t id)
{
    const struct raft_configuration *c = &r->raft.configuration;
    for (unsigned i = 0; i < c->n; i++) {
        if (c->servers[i].id == id)
            return &c->servers[i];
    }
    return NULL;
}

bool member_is_there(const struct replica *r, uint64_t id)
{
    return find_server(r, id) != NULL;
}

bool member_is_changing(const struct replica *r)
{
    return r->promoting != 0 || r->raft.configuration_uncommitted_index != 0 ||
           (replica_is_leader(r) && r->raft.leader_state.promotee_id != 0);
}

/* The current configuration with the change. False: memory is out. */
static bool changed_configuration(const struct replica *r, uint64_t id,
                                  enum replica_member_role role, struct raft_configuration *out)
{
    const struct raft_configuration *c = &r->raft.configuration;
    int rv = 0;
    raft_configuration_init(out);
    for (unsigned i = 0; i < c->n && rv == 0; i++) {
        const struct raft_server *s = &c->servers[i];
        if (s->id != id)
            rv = raft_configuration_add(out, s->id, s->address, s->role);
        else if (role != REPLICA_GONE)
            rv = raft_configuration_add(out, s->id, s->address, (int)role);
    }
    if (rv == 0 && !find_server(r, id)) {
        char address[REPLICA_ADDRESS_SIZE];
        replica_address(id, address);
        rv = raft_configuration_add(out, id, address, (int)role);
    }
    if (rv != 0)
        raft_configuration_close(out);
    return rv == 0;
}

/* An entry with a buffer of its own, alone in its submit. Takes the buffer. */
static enum error_code submit_one(struct replica *r, enum raft_entry_type type,
                                  struct raft_buffer buf)
{
    struct raft_entry entry = {
        .term = r->raft.current_term, .type = type, .buf = buf, .batch = buf.base};
    struct raft_event event = {.type = RAFT_SUBMIT};
    event.submit.entries = &entry;
    event.submit.n = 1;
    int rv = replica_step(r, &event);
    if (rv == 0 || r->dead)
        return ERR_OK;
    raft_free(buf.base);
    return rv == RAFT_NOTLEADER ? ERR_NOT_LEADER : rv == RAFT_NOMEM ? ERR_NOMEM : ERR_BUSY;
}

static enum error_code submit_change(struct replica *r, uint64_t id, enum replica_member_role role)
{
    struct raft_configuration c;
    struct raft_buffer buf;
    if (!changed_configuration(r, id, role, &c))
        return ERR_NOMEM;
    int rv = raft_configuration_encode(&c, &buf);
    raft_configuration_close(&c);
    return rv == 0 ? submit_one(r, RAFT_CHANGE, buf) : ERR_NOMEM;
}

/* A leader that changes members before it committed an entry of its own term can lose committed
 * entries (Ongaro, raft-dev, 10 July 2015: "bug in single-server membership changes"). The engine
 * adds a barrier only when it found uncommitted entries. */
static bool has_committed_in_term(struct replica *r)
{
    if (replica_term_at(r, r->commit) == r->raft.current_term)
        return true;
    if (replica_term_at(r, raft_last_index(&r->raft)) != r->raft.current_term) {
        struct raft_buffer buf = {.base = raft_calloc(1, 8), .len = 8};
        if (buf.base)
            (void)submit_one(r, RAFT_BARRIER, buf);
    }
    return false;
}

static bool is_allowed(const struct replica *r, uint64_t id, enum replica_member_role role)
{
    const struct raft_server *s = find_server(r, id);
    /* D3: the engine does not cope with a leader that leaves its own configuration. */
    if (id == 0 || id == r->options.id || role > REPLICA_GONE)
        return false;
    if (!s)
        return role == REPLICA_STANDBY || role == REPLICA_SPARE;
    return s->role != (int)role;
}

static enum error_code promote(struct replica *r, uint64_t id)
{
    raft_index match;
    if (raft_match_index(&r->raft, id, &match) == 0 && match == raft_last_index(&r->raft))
        return submit_change(r, id, REPLICA_VOTER);
    struct raft_event event = {.type = RAFT_CATCH_UP};
    event.catch_up.server_id = id;
    r->promoting = id;
    replica_step(r, &event);
    return ERR_OK;
}

enum error_code member_change(struct replica *r, uint64_t id, enum replica_member_role role)
{
    if (!replica_is_leader(r))
        return ERR_NOT_LEADER;
    if (!is_allowed(r, id, role))
        return ERR_INVALID;
    if (member_is_changing(r) || raft_transferee(&r->raft) != 0 || !has_committed_in_term(r))
        return ERR_BUSY;
    return role == REPLICA_VOTER ? promote(r, id) : submit_change(r, id, role);
}

bool member_advance(struct replica *r)
{
    if (r->promoting == 0 || r->dead)
        return false;
    uint64_t id = r->promoting;
    int status = RAFT_CATCH_UP_ABORTED;
    if (replica_is_leader(r) && raft_catch_up(&r->raft, id, &status) != 0)
        status = RAFT_CATCH_UP_ABORTED;
    if (status == RAFT_CATCH_UP_RUNNING)
        return false;
    r->promoting = 0;
    if (status != RAFT_CATCH_UP_FINISHED)
        return false;
    return submit_change(r, id, REPLICA_VOTER) == ERR_OK;
}
