#include "replica_rig.h"

#include <stdio.h>

const struct member rig_three[3] = {{1, RAFT_VOTER}, {2, RAFT_VOTER}, {3, RAFT_VOTER}};
const struct member rig_sole[1] = {{1, RAFT_VOTER}};

void rig_conf(struct buf *out, const struct member *members, size_t n)
{
    struct raft_configuration c;
    struct raft_buffer b;
    raft_configuration_init(&c);
    for (size_t i = 0; i < n; i++) {
        char address[24];
        snprintf(address, sizeof address, "%llu", (unsigned long long)members[i].id);
        assert_int_equal(raft_configuration_add(&c, members[i].id, address, members[i].role), 0);
    }
    assert_int_equal(raft_configuration_encode(&c, &b), 0);
    buf_reset(out);
    buf_put(out, b.base, b.len);
    raft_free(b.base);
    raft_configuration_close(&c);
}

void rig_start(struct rig *g, unsigned guards_off)
{
    struct error err;
    struct replica_entry first = {
        .index = 1, .term = 1, .type = REPLICA_CHANGE, .data = buf_bytes(&g->conf)};
    if (g->replica->entries.first == 1)
        assert_int_equal(replica_restore(g->replica, &first, &err), ERR_OK);
    guard_switch_off(g->replica, guards_off);
    assert_int_equal(replica_start(g->replica, g->now, &g->effects), ERR_OK);
}

void rig_open(struct rig *g, const struct member *members, size_t n, uint64_t term,
              unsigned guards_off)
{
    struct replica_options o = {.id = 1, .seed = 3, .election_timeout_ms = 1000};
    struct replica_persisted p = {.term = term, .first_index = 1};
    struct error err;
    rig_conf(&g->conf, members, n);
    assert_int_equal(replica_open(&o, &p, &g->replica, &err), ERR_OK);
    rig_start(g, guards_off);
}

void rig_receive(struct rig *g, uint64_t from, const struct message *m)
{
    struct buf b = {0};
    message_encode(m, &b);
    assert_int_equal(replica_receive(g->replica, ++g->now, from, buf_bytes(&b), &g->effects),
                     ERR_OK);
    buf_free(&b);
}

void rig_tick(struct rig *g)
{
    g->now = replica_next_timeout(g->replica);
    assert_int_equal(replica_tick(g->replica, g->now, &g->effects), ERR_OK);
}

void rig_persist(struct rig *g)
{
    assert_int_equal(replica_persisted(g->replica, g->now, g->replica->last_seq, &g->effects),
                     ERR_OK);
}

bool rig_find_sent(struct rig *g, enum message_type type, struct message *out)
{
    for (size_t i = 0; i < g->effects.n; i++) {
        const struct replica_effect *e = &g->effects.list[i];
        if (e->type != REPLICA_SEND)
            continue;
        assert_int_equal(message_decode(e->send.bytes, &g->arena, out), ERR_OK);
        if (out->type == type)
            return true;
    }
    return false;
}

size_t rig_count(const struct rig *g, enum replica_effect_type type)
{
    size_t n = 0;
    for (size_t i = 0; i < g->effects.n; i++)
        n += g->effects.list[i].type == type;
    return n;
}

struct message rig_append(uint64_t term, uint64_t prev, uint64_t prev_term)
{
    struct message m = {.type = MESSAGE_APPEND};
    m.rm.append_entries.term = term;
    m.rm.append_entries.prev_log_index = prev;
    m.rm.append_entries.prev_log_term = prev_term;
    return m;
}

struct message rig_append_result(uint64_t term, uint64_t rejected, uint64_t last)
{
    struct message m = {.type = MESSAGE_APPEND_RESULT};
    m.rm.append_entries_result.version = 2;
    m.rm.append_entries_result.term = term;
    m.rm.append_entries_result.rejected = rejected;
    m.rm.append_entries_result.last_log_index = last;
    return m;
}

struct message rig_vote(uint64_t term, uint64_t candidate, bool pre_vote)
{
    struct message m = {.type = MESSAGE_VOTE};
    m.rm.request_vote.version = 2;
    m.rm.request_vote.term = term;
    m.rm.request_vote.candidate_id = candidate;
    m.rm.request_vote.last_log_index = 1;
    m.rm.request_vote.last_log_term = 1;
    m.rm.request_vote.pre_vote = pre_vote;
    return m;
}

void rig_elect(struct rig *g)
{
    for (int i = 0; i < 10 && !replica_is_leader(g->replica); i++) {
        struct message ask;
        rig_tick(g);
        while (rig_find_sent(g, MESSAGE_VOTE, &ask) && !replica_is_leader(g->replica)) {
            struct message grant = {.type = MESSAGE_VOTE_RESULT};
            grant.rm.request_vote_result.version = 3;
            grant.rm.request_vote_result.term = ask.rm.request_vote.term;
            grant.rm.request_vote_result.vote_granted = true;
            grant.rm.request_vote_result.pre_vote = ask.rm.request_vote.pre_vote;
            rig_receive(g, 2, &grant);
        }
    }
    assert_true(replica_is_leader(g->replica));
}

void rig_submit(struct rig *g)
{
    struct bytes command = bytes_of_str("command");
    uint64_t index;
    assert_int_equal(replica_submit(g->replica, g->now, &command, 1, &index, &g->effects), ERR_OK);
}

int rig_setup(void **state)
{
    struct rig *g = calloc(1, sizeof *g);
    g->now = 1000;
    *state = g;
    return 0;
}

int rig_teardown(void **state)
{
    struct rig *g = *state;
    replica_close(g->replica);
    arena_close(&g->arena);
    buf_free(&g->conf);
    free(g);
    return 0;
}

int rig_appended_to(struct rig *g, uint64_t to, struct message *out)
{
    int n = -1;
    for (size_t i = 0; i < g->effects.n; i++) {
        const struct replica_effect *e = &g->effects.list[i];
        if (e->type != REPLICA_SEND || e->send.to != to)
            continue;
        assert_int_equal(message_decode(e->send.bytes, &g->arena, out), ERR_OK);
        if (out->type == MESSAGE_APPEND)
            n = (int)out->rm.append_entries.n_entries;
    }
    return n;
}
