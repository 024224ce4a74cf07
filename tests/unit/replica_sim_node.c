#include "replica_sim_world.h"

#include <core.h> /* node/replica: is a trim under way? */

#include <stdlib.h>

static struct sim *sim_of(const struct fake_replica *r)
{
    return r->env->ctx;
}

/* Hooks. */

static void schedule(struct fake_replica *r, uint64_t at, enum fake_event e, uint64_t number)
{
    static const enum sim_event_type types[] = {
        [FAKE_TICK] = SIM_TICK, [FAKE_DISK] = SIM_DISK, [FAKE_LOADED] = SIM_LOADED};
    sim_schedule(sim_of(r), at, types[e], (unsigned)r->id, number, NULL);
}

static void send(struct fake_replica *r, uint64_t to, struct bytes bytes)
{
    struct sim *s = sim_of(r);
    struct sim_message *m = malloc(sizeof *m);
    if (!m)
        abort();
    *m = (struct sim_message){.from = (unsigned)r->id, .to = (unsigned)to, .bytes = bytes};
    if (to >= 1 && to <= s->n) {
        sim_send(s, m);
        return;
    }
    sim_fail(s, "node %llu sends to nobody", (unsigned long long)r->id);
    sim_message_free(m);
}

static void note(struct fake_replica *r, const struct replica_effect *e)
{
    sim_trace(sim_of(r), e->type, r->id, e->type == REPLICA_APPLY ? e->entry.index : 0);
}

/* There is no state machine; what a leader applied, its clients were told. */
static void apply(struct fake_replica *r, const struct replica_entry *e)
{
    struct sim *s = sim_of(r);
    struct replica_status st;
    replica_get_status(r->replica, &st);
    if (!st.is_leader || e->index <= s->acknowledged)
        return;
    s->acknowledged = e->index;
    s->result->counts.acknowledged++;
}

static void finish_read(struct fake_replica *r, uint64_t token, bool ready)
{
    struct sim *s = sim_of(r);
    struct sim_node *n = r->owner;
    for (size_t i = 0; i < n->n_reads; i++) {
        if (n->reads[i].token != token)
            continue;
        if (ready)
            check_read(s, n, n->reads[i].need);
        n->reads[i] = n->reads[--n->n_reads];
        return;
    }
    sim_fail(s, "node %u answers a read that nobody waits for", n->id);
}

static void fetch(struct fake_replica *r)
{
    fake_replica_put_in_place(r, sim_below(sim_of(r), r->env->disk_max + 150));
}

static bool take_state(struct fake_replica *r, const struct fake_replica *from)
{
    if (from == r || from->saved.applied < r->install.index)
        return false;
    r->state = r->saved = from->saved;
    return true;
}

/* A state at or above the snapshot, from whoever has one. */
static bool installed(struct fake_replica *r)
{
    struct sim *s = sim_of(r);
    bool found = take_state(r, &s->nodes[r->install_from].r);
    for (unsigned i = 1; i <= s->n && !found; i++)
        found = take_state(r, &s->nodes[i].r);
    if (!found)
        sim_fail(s, "nobody has the state of snapshot %llu", (unsigned long long)r->install.index);
    return found;
}

static size_t dies_after(struct fake_replica *r, size_t n)
{
    struct sim *s = sim_of(r);
    bool dies = s->chaos && n > 0 && sim_chance(s, s->crash_within);
    return dies ? sim_below(s, (unsigned)n + 1) : n + 1;
}

static void crash(struct fake_replica *r)
{
    node_crash(sim_of(r), r->owner);
}

static void after(struct fake_replica *r)
{
    const struct sim *s = sim_of(r);
    struct replica_status st;
    replica_get_status(r->replica, &st);
    if (s->result->failed || r->installing || r->state.applied < st.snapshot + s->checkpoint_every)
        return;
    if (r->replica->trimming || r->state.applied > st.commit)
        return;
    fake_replica_saved(r, r->state);
}

static void fail(struct fake_replica *r, const char *what)
{
    sim_fail(sim_of(r), "node %llu: %s", (unsigned long long)r->id, what);
}

const struct fake_hooks sim_hooks = {.schedule = schedule,
                                     .send = send,
                                     .note = note,
                                     .apply = apply,
                                     .read = finish_read,
                                     .fetch = fetch,
                                     .installed = installed,
                                     .dies_after = dies_after,
                                     .crash = crash,
                                     .after = after,
                                     .fail = fail};

/* Life. */

void node_format(struct sim *s, struct sim_node *n, bool is_founder)
{
    n->r = (struct fake_replica){.env = &s->env,
                                 .group = &s->group,
                                 .owner = n,
                                 .id = n->id,
                                 .clock = (msec_t)(n->id * 7919)};
    fake_replica_format(&n->r, is_founder ? buf_bytes(&s->bootstrap) : bytes_of(NULL, 0));
}

void node_crash(struct sim *s, struct sim_node *n)
{
    fake_replica_crash(&n->r);
    n->n_reads = 0;
    s->result->counts.crashes++;
    sim_schedule(s, s->env.now + 20 + sim_below(s, 1500), SIM_RESTART, n->id, n->r.life, NULL);
}

/* Events. */

void node_submit(struct sim *s, struct sim_node *n, unsigned commands)
{
    uint64_t numbers[4];
    struct bytes list[4];
    for (unsigned i = 0; i < commands; i++) {
        numbers[i] = ++s->commands;
        list[i] = bytes_of(&numbers[i], sizeof numbers[i]);
    }
    (void)fake_replica_submit(&n->r, list, commands);
}

void node_read(struct sim *s, struct sim_node *n)
{
    if (n->n_reads == READS_MAX)
        return;
    n->reads[n->n_reads++] = (struct sim_read){.token = ++s->tokens, .need = s->acknowledged};
    fake_replica_read(&n->r, s->tokens);
}

bool node_change(struct sim *s, struct sim_node *n, unsigned id, enum replica_member_role role)
{
    enum error_code code = fake_replica_change(&n->r, id, role);
    s->result->counts.changes += code == ERR_OK;
    return code == ERR_OK;
}

void node_transfer(struct sim *s, struct sim_node *n, unsigned to)
{
    s->result->counts.transfers += fake_replica_transfer(&n->r, to) == ERR_OK;
}
