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
    s->result->trace = hash_u64(s->result->trace ^ s->now ^ a << 56 ^ b << 48 ^ c << 24);
}

unsigned sim_below(struct sim *s, unsigned n)
{
    return (unsigned)rng_below(&s->rng, n);
}

bool sim_chance(struct sim *s, unsigned per_mille)
{
    return sim_below(s, 1000) < per_mille;
}

struct bytes sim_copy(struct bytes b)
{
    uint8_t *p = malloc(b.len + 1);
    if (!p)
        abort();
    if (b.len)
        memcpy(p, b.data, b.len);
    return bytes_of(p, b.len);
}

void sim_free(struct bytes b)
{
    union {
        const uint8_t *in;
        void *out;
    } p = {.in = b.data};
    free(p.out);
}

void sim_message_free(struct sim_message *m)
{
    if (!m)
        return;
    sim_free(m->bytes);
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
    uint64_t at = s->now + 1 + sim_below(s, s->delay_max);
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
        copy->bytes = sim_copy(m->bytes);
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
    if (n->replica && !n->installing && n->state.applied > n->disk.state.applied)
        n->disk.state = n->state;
    n = &s->nodes[1 + sim_below(s, s->n)];
    if (n->replica && sim_chance(s, s->crash))
        node_crash(s, n);
    if (sim_chance(s, 5)) {
        for (unsigned i = 1; i <= s->n; i++) {
            if (s->nodes[i].replica)
                node_crash(s, &s->nodes[i]);
        }
    }
    if (sim_chance(s, 80))
        partition(s);
    if (sim_chance(s, 60))
        memset(s->part, 0, sizeof s->part);
    if (sim_chance(s, 30))
        s->nodes[1 + sim_below(s, s->n)].slow = sim_below(s, 2) ? sim_below(s, 400) : 0;
    sim_schedule(s, s->now + 20 + sim_below(s, 40), SIM_CHAOS, 0, 0, NULL);
}

static void add_member(struct sim *s, struct sim_node *leader)
{
    if (s->n == NODES_MAX)
        return;
    struct sim_node *n = &s->nodes[s->n + 1];
    n->id = ++s->n;
    node_format(s, n, false);
    node_start(s, n);
    if (leader->replica)
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
    sim_schedule(s, s->now + 30 + sim_below(s, 400), SIM_ADMIN, 0, 0, NULL);
    if (!leader || leader->installing)
        return;
    size_t n = replica_members(leader->replica, members, NODES_MAX);
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
    s->disk_max = s->disk_max < 5 ? s->disk_max : 5;
    for (unsigned i = 1; i <= s->n; i++) {
        s->nodes[i].slow = 0;
        if (!s->nodes[i].replica)
            node_start(s, &s->nodes[i]);
    }
}

static void do_clients(struct sim *s)
{
    for (unsigned i = 1; i <= s->n; i++) {
        struct sim_node *n = &s->nodes[i];
        if (n->replica && n->role.leader && sim_chance(s, 800))
            node_submit(s, n, 1 + sim_below(s, 4));
    }
    sim_schedule(s, s->now + 1 + sim_below(s, s->chaos ? 25 : 400), SIM_CLIENT, 0, 0, NULL);
}

static void do_reads(struct sim *s)
{
    for (unsigned i = 1; i <= s->n; i++) {
        if (s->nodes[i].replica && sim_chance(s, 500))
            node_read(s, &s->nodes[i]);
    }
    sim_schedule(s, s->now + 5 + sim_below(s, 60), SIM_READ, 0, 0, NULL);
}

static void handle_node(struct sim *s, const struct sim_event *e)
{
    struct sim_node *n = &s->nodes[e->node];
    if (e->type == SIM_RESTART) {
        if (!n->replica && n->life == e->life)
            node_start(s, n);
        return;
    }
    if (!n->replica)
        return;
    if (e->type == SIM_MESSAGE) {
        if (s->part[e->message->from] == s->part[e->node])
            node_message(s, n, e->message);
    } else if (e->type == SIM_TICK) {
        if (n->tick_generation == e->life)
            node_tick(s, n);
    } else if (n->life == e->life) {
        if (e->type == SIM_DISK)
            node_disk_done(s, n);
        else
            node_loaded(s, n);
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
    s->n = PICK(s, 3, 3, 3, 3, 5, 5, 5, 1);
    if (s->options.replicas)
        s->n = s->options.replicas;
    s->voters_wanted = s->n == 1 ? 3 : s->n;
    s->has_admin = s->n == 1 || sim_below(s, 3) != 0;
    s->ordered = sim_below(s, 2);
    s->drop = PICK(s, 0, 10, 50, 150);
    s->duplicate = PICK(s, 0, 20, 150);
    s->delay_max = PICK(s, 3, 15, 60, 120);
    s->disk_max = PICK(s, 1, 5, 30, 200);
    s->crash = PICK(s, 0, 10, 40, 100);
    s->crash_within = PICK(s, 0, 0, 1, 3);
    s->checkpoint_every = PICK(s, 5, 12, 40, 100000);
    s->trailing = PICK(s, 0, 1, 3, 10);
    s->inflight = PICK(s, 2, 4, 8, 32);
    s->cache_bytes = PICK(s, 1, 80, 1 << 20, 1 << 20);
    s->election_ms = PICK(s, 150, 300);
    s->heartbeat_ms = s->election_ms / PICK(s, 3, 6);
}

static void open_world(struct sim *s)
{
    uint64_t voters[NODES_MAX];
    s->rng = rng_of_seed(s->options.seed * UINT64_C(0x2545F4914F6CDD1D) + 12345);
    s->now = 1000;
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
        node_start(s, &s->nodes[i]);
    uint64_t healed = s->now + 2000 + sim_below(s, 3000);
    sim_schedule(s, healed, SIM_HEAL, 0, 0, NULL);
    sim_schedule(s, healed + HEALTHY_MS, SIM_END, 0, 0, NULL);
    sim_schedule(s, s->now + 50, SIM_CLIENT, 0, 0, NULL);
    sim_schedule(s, s->now + 80, SIM_READ, 0, 0, NULL);
    sim_schedule(s, s->now + 100, SIM_CHAOS, 0, 0, NULL);
    if (s->has_admin)
        sim_schedule(s, s->now + 500, SIM_ADMIN, 0, 0, NULL);
}

static void close_world(struct sim *s)
{
    for (unsigned i = 1; i <= s->n; i++) {
        struct sim_node *n = &s->nodes[i];
        node_close(n);
        while (n->disk.n)
            sim_free(n->disk.entries[--n->disk.n].data);
        free(n->disk.entries);
        sim_free(n->disk.snapshot.conf);
    }
    for (size_t i = 0; i < s->queued; i++)
        sim_message_free(s->queue[i].message);
    free(s->queue);
    buf_free(&s->bootstrap);
    check_close(s);
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
        s->now = e.at;
        handle(s, &e);
        sim_message_free(e.message);
        over = e.type == SIM_END;
        if (++out->counts.events > EVENTS_MAX)
            sim_fail(s, "livelock: too many events");
    }
    close_world(s);
    free(s);
}
