#include "replica_sim_world.h"

#include <base/hash.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEALTHY_MS = 12000, EVENTS_MAX = 400000 };

void sim_fail(struct sim *s, const char *fmt, ...)
{
    if (s->result->failed)
        return;
    s->result->failed = true;
    va_list args;
    va_start(args, fmt);
    vsnprintf(s->result->what, sizeof s->result->what, fmt, args);
    va_end(args);
}

void sim_trace(struct sim *s, uint64_t a, uint64_t b, uint64_t c)
{
    s->result->trace = hash_u64(s->result->trace ^ s->env.now ^ a << 56 ^ b << 48 ^ c << 24);
}

unsigned sim_below(struct sim *s, unsigned n)
{
    return (unsigned)rng_below(&s->rng, n);
}

bool sim_chance(struct sim *s, unsigned per_mille)
{
    return sim_below(s, 1000) < per_mille;
}

void sim_message_free(struct sim_message *m)
{
    if (!m)
        return;
    fake_free(m->bytes);
    free(m);
}

/* The queue: a heap by time, then by order of scheduling. */

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void sim_schedule(struct sim *s, uint64_t at, enum sim_event_type type, unsigned node,
                  uint64_t life, struct sim_message *message)
{
    if (s->queued == s->queue_capacity) {
        s->queue_capacity = s->queue_capacity ? s->queue_capacity * 2 : 256;
        s->queue = realloc(s->queue, s->queue_capacity * sizeof *s->queue);
        if (!s->queue)
            abort();
    }
    struct sim_event e = {.at = at,
                          .order = s->order++,
                          .type = type,
                          .node = node,
                          .life = life,
                          .message = message};
    size_t i = s->queued++;
    for (; i > 0 && is_before(&e, &s->queue[(i - 1) / 2]); i = (i - 1) / 2)
        s->queue[i] = s->queue[(i - 1) / 2];
    s->queue[i] = e;
}

static struct sim_event pop(struct sim *s)
{
    struct sim_event top = s->queue[0], last = s->queue[--s->queued];
    size_t i = 0;
    for (size_t child = 1; child < s->queued; child = 2 * i + 1) {
        if (child + 1 < s->queued && is_before(&s->queue[child + 1], &s->queue[child]))
            child++;
        if (is_before(&last, &s->queue[child]))
            break;
        s->queue[i] = s->queue[child];
        i = child;
    }
    if (s->queued)
        s->queue[i] = last;
    return top;
}

/* The network. */

static void deliver_later(struct sim *s, struct sim_message *m)
{
    uint64_t at = s->env.now + 1 + sim_below(s, s->delay_max);
    if (s->chaos && sim_chance(s, 20))
        at += sim_below(s, s->delay_max * 8);
    if (s->ordered) {
        uint64_t *last = &s->last_arrival[m->from][m->to];
        if (at < *last)
            at = *last;
        *last = at;
    }
    sim_schedule(s, at, SIM_MESSAGE, m->to, 0, m);
}

void sim_send(struct sim *s, struct sim_message *m)
{
    if (s->part[m->from] != s->part[m->to] || sim_chance(s, s->drop)) {
        sim_message_free(m);
        return;
    }
    if (!s->ordered && sim_chance(s, s->duplicate)) {
        struct sim_message *copy = malloc(sizeof *copy);
        if (!copy)
            abort();
        *copy = *m;
        copy->bytes = fake_copy(m->bytes);
        deliver_later(s, copy);
    }
    deliver_later(s, m);
}

/* What the world does to the group. */

static void partition(struct sim *s)
{
    unsigned how = sim_below(s, 4);
    for (unsigned i = 1; i <= s->n; i++)
        s->part[i] = how == 0   ? 0
                     : how == 1 ? sim_below(s, 2)
                     : how == 2 ? (sim_below(s, 4) == 0) * i
                                : sim_below(s, 3);
}

static void do_chaos(struct sim *s)
{
    struct sim_node *n = &s->nodes[1 + sim_below(s, s->n)];
    if (n->r.replica && !n->r.installing && n->r.state.applied > n->r.saved.applied)
        n->r.saved = n->r.state;
    n = &s->nodes[1 + sim_below(s, s->n)];
    if (n->r.replica && sim_chance(s, s->crash))
        node_crash(s, n);
    if (sim_chance(s, 5)) {
        for (unsigned i = 1; i <= s->n; i++) {
            if (s->nodes[i].r.replica)
                node_crash(s, &s->nodes[i]);
        }
    }
    if (sim_chance(s, 80))
        partition(s);
    if (sim_chance(s, 60))
        memset(s->part, 0, sizeof s->part);
    if (sim_chance(s, 30))
        s->nodes[1 + sim_below(s, s->n)].r.slow = sim_below(s, 2) ? sim_below(s, 400) : 0;
    sim_schedule(s, s->env.now + 20 + sim_below(s, 40), SIM_CHAOS, 0, 0, NULL);
}

static void add_member(struct sim *s, struct sim_node *leader)
{
    if (s->n == NODES_MAX)
        return;
    struct sim_node *n = &s->nodes[s->n + 1];
    n->id = ++s->n;
    node_format(s, n, false);
    fake_replica_start(&n->r);
    if (leader->r.replica)
        node_change(s, leader, n->id, sim_below(s, 2) ? REPLICA_SPARE : REPLICA_STANDBY);
}

static void promote_member(struct sim *s, struct sim_node *leader,
                           const struct replica_member *members, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (members[i].role == REPLICA_VOTER || !sim_chance(s, 700))
            continue;
        node_change(s, leader, (unsigned)members[i].id, REPLICA_VOTER);
        return;
    }
}

static void drop_member(struct sim *s, struct sim_node *leader,
                        const struct replica_member *members, size_t n, unsigned voters)
{
    const struct replica_member *m = &members[sim_below(s, (unsigned)n)];
    bool is_voter = m->role == REPLICA_VOTER;
    if (is_voter && voters <= (s->voters_wanted > 1 ? 2U : 1U))
        return;
    enum replica_member_role role = REPLICA_GONE;
    if (is_voter && sim_below(s, 3) == 0)
        role = sim_below(s, 2) ? REPLICA_SPARE : REPLICA_STANDBY;
    node_change(s, leader, (unsigned)m->id, role);
}

static void do_admin(struct sim *s)
{
    struct replica_member members[NODES_MAX];
    struct sim_node *leader = check_find_leader(s);
    sim_schedule(s, s->env.now + 30 + sim_below(s, 400), SIM_ADMIN, 0, 0, NULL);
    if (!leader || leader->r.installing)
        return;
    size_t n = replica_members(leader->r.replica, members, NODES_MAX);
    unsigned voters = 0, what = sim_below(s, 10);
    for (size_t i = 0; i < n; i++)
        voters += members[i].role == REPLICA_VOTER;
    if (what < 2)
        node_transfer(s, leader,
                      sim_chance(s, 600) ? (unsigned)members[sim_below(s, (unsigned)n)].id : 0);
    else if (what < 5 && voters < s->voters_wanted + 1 && n < s->voters_wanted + 2)
        add_member(s, leader);
    else if (what < 8)
        promote_member(s, leader, members, n);
    else
        drop_member(s, leader, members, n, voters);
}

static void heal(struct sim *s)
{
    s->chaos = false;
    s->drop = 0;
    memset(s->part, 0, sizeof s->part);
    s->delay_max = s->delay_max < 15 ? s->delay_max : 15;
    s->env.disk_max = s->env.disk_max < 5 ? s->env.disk_max : 5;
    for (unsigned i = 1; i <= s->n; i++) {
        s->nodes[i].r.slow = 0;
        if (!s->nodes[i].r.replica)
            fake_replica_start(&s->nodes[i].r);
    }
}

static void do_clients(struct sim *s)
{
    for (unsigned i = 1; i <= s->n; i++) {
        struct sim_node *n = &s->nodes[i];
        if (n->r.replica && n->r.role.leader && sim_chance(s, 800))
            node_submit(s, n, 1 + sim_below(s, 4));
    }
    sim_schedule(s, s->env.now + 1 + sim_below(s, s->chaos ? 25 : 400), SIM_CLIENT, 0, 0, NULL);
}

static void do_reads(struct sim *s)
{
    for (unsigned i = 1; i <= s->n; i++) {
        if (s->nodes[i].r.replica && sim_chance(s, 500))
            node_read(s, &s->nodes[i]);
    }
    sim_schedule(s, s->env.now + 5 + sim_below(s, 60), SIM_READ, 0, 0, NULL);
}

static void handle_node(struct sim *s, const struct sim_event *e)
{
    struct sim_node *n = &s->nodes[e->node];
    if (e->type == SIM_RESTART) {
        if (!n->r.replica && n->r.life == e->life)
            fake_replica_start(&n->r);
    } else if (e->type == SIM_MESSAGE) {
        if (n->r.replica && s->part[e->message->from] == s->part[e->node])
            fake_replica_receive(&n->r, e->message->from, e->message->bytes);
    } else {
        fake_replica_event(&n->r,
                           e->type == SIM_TICK   ? FAKE_TICK
                           : e->type == SIM_DISK ? FAKE_DISK
                                                 : FAKE_LOADED,
                           e->life);
    }
}

static void handle(struct sim *s, const struct sim_event *e)
{
    sim_trace(s, 100 + e->type, e->node, e->life);
    switch (e->type) {
    case SIM_CLIENT:
        do_clients(s);
        break;
    case SIM_READ:
        do_reads(s);
        break;
    case SIM_CHAOS:
        if (s->chaos)
            do_chaos(s);
        break;
    case SIM_ADMIN:
        if (s->chaos)
            do_admin(s);
        break;
    case SIM_HEAL:
        heal(s);
        break;
    case SIM_END:
        check_end(s);
        break;
    case SIM_MESSAGE:
    case SIM_TICK:
    case SIM_DISK:
    case SIM_LOADED:
    case SIM_RESTART:
        handle_node(s, e);
        break;
    }
}

/* A run. */

static unsigned pick(struct sim *s, const unsigned *list, unsigned n)
{
    return list[sim_below(s, n)];
}
#define PICK(s, ...)                                                                               \
    pick(s, (const unsigned[]){__VA_ARGS__},                                                       \
         (unsigned)(sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned)))

static void draw(struct sim *s)
{
    struct replica_options *o = &s->env.options;
    s->n = PICK(s, 3, 3, 3, 3, 5, 5, 5, 1);
    if (s->options.replicas)
        s->n = s->options.replicas;
    s->voters_wanted = s->n == 1 ? 3 : s->n;
    s->has_admin = s->n == 1 || sim_below(s, 3) != 0;
    s->ordered = sim_below(s, 2);
    s->drop = PICK(s, 0, 10, 50, 150);
    s->duplicate = PICK(s, 0, 20, 150);
    s->delay_max = PICK(s, 3, 15, 60, 120);
    s->env.disk_max = PICK(s, 1, 5, 30, 200);
    s->crash = PICK(s, 0, 10, 40, 100);
    s->crash_within = PICK(s, 0, 0, 1, 3);
    s->checkpoint_every = PICK(s, 5, 12, 40, 100000);
    o->trailing = PICK(s, 0, 1, 3, 10);
    o->joining_bytes = o->trailing * 30; /* no draw of its own: seeds stay what they are */
    o->max_inflight = PICK(s, 2, 4, 8, 32);
    o->cache_bytes = PICK(s, 1, 80, 1 << 20, 1 << 20);
    o->election_timeout_ms = PICK(s, 150, 300);
    o->heartbeat_ms = o->election_timeout_ms / PICK(s, 3, 6);
}

static void open_world(struct sim *s)
{
    uint64_t voters[NODES_MAX];
    s->rng = rng_of_seed(s->options.seed * UINT64_C(0x2545F4914F6CDD1D) + 12345);
    s->env = (struct fake_env){.ctx = s,
                               .hooks = &sim_hooks,
                               .rng = &s->rng,
                               .now = 1000,
                               .guards_off = s->options.guards_off};
    s->chaos = true;
    draw(s);
    for (unsigned i = 0; i < s->n; i++)
        voters[i] = i + 1;
    if (replica_bootstrap(voters, s->n, &s->bootstrap) != ERR_OK)
        abort();
    for (unsigned i = 1; i <= s->n; i++) {
        s->nodes[i].id = i;
        node_format(s, &s->nodes[i], true);
    }
    for (unsigned i = 1; i <= s->n; i++)
        fake_replica_start(&s->nodes[i].r);
    uint64_t healed = s->env.now + 2000 + sim_below(s, 3000);
    sim_schedule(s, healed, SIM_HEAL, 0, 0, NULL);
    sim_schedule(s, healed + HEALTHY_MS, SIM_END, 0, 0, NULL);
    sim_schedule(s, s->env.now + 50, SIM_CLIENT, 0, 0, NULL);
    sim_schedule(s, s->env.now + 80, SIM_READ, 0, 0, NULL);
    sim_schedule(s, s->env.now + 100, SIM_CHAOS, 0, 0, NULL);
    if (s->has_admin)
        sim_schedule(s, s->env.now + 500, SIM_ADMIN, 0, 0, NULL);
}

static void close_world(struct sim *s)
{
    for (unsigned i = 1; i <= s->n; i++) {
        fake_replica_stop(&s->nodes[i].r);
        fake_disk_close(&s->nodes[i].r.disk);
    }
    for (size_t i = 0; i < s->queued; i++)
        sim_message_free(s->queue[i].message);
    free(s->queue);
    buf_free(&s->bootstrap);
    group_check_close(&s->group);
}

void sim_run(const struct sim_options *o, struct sim_result *out)
{
    struct sim *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    *out = (struct sim_result){0};
    s->options = *o;
    s->result = out;
    open_world(s);
    for (bool over = false; !over && !out->failed && s->queued;) {
        struct sim_event e = pop(s);
        s->env.now = e.at;
        handle(s, &e);
        sim_message_free(e.message);
        over = e.type == SIM_END;
        if (++out->counts.events > EVENTS_MAX)
            sim_fail(s, "livelock: too many events");
    }
    out->counts.elections = s->group.elections;
    out->counts.applies = s->group.applies;
    out->counts.truncations = s->env.counts.truncations;
    out->counts.installs = s->env.counts.installs;
    out->counts.trims = s->env.counts.trims;
    out->counts.loads = s->env.counts.loads;
    close_world(s);
    free(s);
}
