#include "readindex.h"

#include "core.h"
#include "guard.h"

#include <stdlib.h>

void readindex_close(struct readindex *x)
{
    free(x->waiting.list);
    free(x->asking.list);
    *x = (struct readindex){0};
}

bool readindex_add(struct readindex *x, uint64_t token)
{
    struct tokens *w = &x->waiting;
    if (w->n == w->capacity) {
        size_t capacity = w->capacity ? w->capacity * 2 : 64;
        uint64_t *list = realloc(w->list, capacity * sizeof *list);
        if (!list)
            return false;
        w->list = list;
        w->capacity = capacity;
    }
    w->list[w->n++] = token;
    return true;
}

static void answer(struct replica *r, struct tokens *t, enum replica_effect_type type)
{
    for (size_t i = 0; i < t->n; i++)
        replica_emit(r, type)->token = t->list[i];
    t->n = 0;
}

static bool has_acked(const struct readindex *x, uint64_t id)
{
    for (size_t i = 0; i < x->n_acks; i++) {
        if (x->acks[i] == id)
            return true;
    }
    return false;
}

static bool has_majority(const struct replica *r)
{
    const struct raft_configuration *c = &r->raft.configuration;
    unsigned voters = 0, acks = 0;
    for (unsigned i = 0; i < c->n; i++) {
        if (c->servers[i].role != RAFT_VOTER)
            continue;
        voters++;
        acks += c->servers[i].id == r->options.id || has_acked(&r->reads, c->servers[i].id);
    }
    return acks > voters / 2 || !guard_is_on(r, GUARD_READ_QUORUM);
}

static void ask(struct replica *r)
{
    const struct raft_configuration *c = &r->raft.configuration;
    struct message m = {.type = MESSAGE_PROBE, .term = r->reads.term, .probe_id = r->reads.round};
    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *s = &c->servers[i];
        if (s->role == RAFT_VOTER && s->id != r->options.id && !has_acked(&r->reads, s->id))
            replica_send(r, s->id, &m);
    }
}

static void start_round(struct replica *r)
{
    struct readindex *x = &r->reads;
    struct tokens spare = x->asking;
    x->asking = x->waiting;
    x->waiting = spare;
    x->round++;
    x->term = r->raft.current_term;
    x->index = r->commit;
    x->asked_ms = r->now;
    x->n_acks = 0;
    x->is_asking = true;
    x->is_confirmed = has_majority(r);
    if (!x->is_confirmed)
        ask(r);
}

/* Returns true when the round is over. */
static bool finish_round(struct replica *r)
{
    struct readindex *x = &r->reads;
    if (!x->is_confirmed)
        x->is_confirmed = has_majority(r);
    if (!x->is_confirmed || r->applied < x->index)
        return false;
    age_heard(&r->age, x->index, x->asked_ms); /* for when it leads no more */
    answer(r, &x->asking, REPLICA_READ_READY);
    x->is_asking = false;
    return true;
}

static void fail_all(struct replica *r)
{
    answer(r, &r->reads.asking, REPLICA_READ_FAILED);
    answer(r, &r->reads.waiting, REPLICA_READ_FAILED);
    r->reads.is_asking = false;
}

void readindex_advance(struct replica *r)
{
    struct readindex *x = &r->reads;
    bool is_leader = replica_is_leader(r);
    if (x->is_asking && (!is_leader || r->raft.current_term != x->term))
        fail_all(r);
    if (!is_leader) {
        fail_all(r);
        return;
    }
    for (;;) {
        if (x->is_asking && !finish_round(r))
            return;
        if (x->waiting.n == 0)
            return;
        if (r->commit < r->floor && guard_is_on(r, GUARD_READ_FLOOR))
            return;
        start_round(r);
    }
}

void readindex_repeat(struct replica *r)
{
    if (r->reads.is_asking && !r->reads.is_confirmed && replica_is_leader(r) &&
        r->raft.current_term == r->reads.term)
        ask(r);
}

void readindex_receive(struct replica *r, uint64_t from, const struct message *m)
{
    struct readindex *x = &r->reads;
    if (m->type == MESSAGE_PROBE) {
        if (r->raft.state != RAFT_FOLLOWER || r->raft.current_term != m->term)
            return;
        struct message ack = {.type = MESSAGE_PROBE_ACK, .term = m->term, .probe_id = m->probe_id};
        replica_send(r, from, &ack);
        return;
    }
    if (!x->is_asking || m->probe_id != x->round || m->term != x->term || has_acked(x, from) ||
        x->n_acks == READINDEX_VOTERS_MAX)
        return;
    x->acks[x->n_acks++] = from;
}
