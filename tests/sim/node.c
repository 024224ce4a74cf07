#include "sim.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

static void place(struct world *w, uint32_t shard)
{
    struct shard *s = &w->shards[shard];
    uint64_t voters[NODES_MAX], first = w->ids_given;

    for (uint32_t k = 0; k < w->plan.n_replicas; k++)
        voters[k] = (first + 1 + k) << 16 | (shard + k) % w->plan.n_nodes;
    if (replica_bootstrap(voters, w->plan.n_replicas, &s->entry_1) != ERR_OK)
        abort();
    for (uint32_t k = 0; k < w->plan.n_replicas; k++) {
        struct hosted *h = &w->nodes[(shard + k) % w->plan.n_nodes].hosted[shard];
        hosted_format(w, h, buf_bytes(&s->entry_1));
        assert(h->r.id == voters[k]);
    }
}

void node_open(struct world *w)
{
    for (uint32_t i = 0; i < w->plan.n_nodes; i++) {
        w->nodes[i].skew = (msec_t)rng_below(&w->rng, 200);
        for (uint32_t s = 0; s < w->plan.n_shards; s++) {
            w->nodes[i].hosted[s].world = w;
            w->nodes[i].hosted[s].node = i;
            w->nodes[i].hosted[s].shard = s;
        }
    }
    for (uint32_t s = 0; s < w->plan.n_shards; s++)
        place(w, s);
    for (uint32_t i = 0; i < w->plan.n_nodes; i++)
        node_restart(w, i);
}

void node_close(struct world *w)
{
    for (uint32_t i = 0; i < w->plan.n_nodes; i++) {
        for (uint32_t s = 0; s < w->plan.n_shards; s++)
            hosted_drop(&w->nodes[i].hosted[s]);
    }
}

void node_tell_end(struct world *w, uint32_t node, uint32_t lost)
{
    struct event *e = world_schedule(w, world_between(w, 1, 60), EVENT_LOST);

    e->a = node;
    e->b = lost;
}

void node_on_end(struct world *w, uint32_t node, uint32_t lost)
{
    struct node *n = &w->nodes[node];

    for (uint32_t s = 0; s < w->plan.n_shards && n->up; s++) {
        uint64_t leader = n->hosted[s].r.role.leader_id;
        if (!n->hosted[s].r.replica || leader == 0 || (leader & 0xffff) != lost)
            continue;
        w->seen.ends++;
        world_trace(w, "n%u misses n%u s%u", node, lost, s);
        fake_replica_peer_lost(&n->hosted[s].r, leader);
    }
}

static void tell_all(struct world *w, uint32_t node)
{
    for (uint32_t i = 0; i < w->plan.n_nodes && w->plan.hears_ends; i++) {
        if (i != node)
            node_tell_end(w, i, node);
    }
}

void node_crash(struct world *w, uint32_t node, msec_t down_ms)
{
    struct node *n = &w->nodes[node];
    struct event *e;

    if (!n->up)
        return;
    n->up = false;
    n->life++;
    w->seen.crashes++;
    world_trace(w, "crash n%u", node);
    for (uint32_t s = 0; s < w->plan.n_shards; s++)
        hosted_crash(&n->hosted[s]);
    tell_all(w, node);
    e = world_schedule(w, down_ms, EVENT_RESTART);
    e->a = node;
    e->b = n->life;
}

void node_restart(struct world *w, uint32_t node)
{
    struct node *n = &w->nodes[node];

    if (n->up)
        return;
    n->up = true;
    world_trace(w, "start n%u", node);
    for (uint32_t s = 0; s < w->plan.n_shards && n->up; s++) {
        if (n->hosted[s].r.id)
            hosted_start(&n->hosted[s]);
    }
}

void node_wipe(struct world *w, uint32_t node)
{
    struct node *n = &w->nodes[node];

    node_crash(w, node, (msec_t)rng_below(&w->rng, 1000));
    world_trace(w, "wipe n%u", node);
    w->seen.wipes++;
    for (uint32_t s = 0; s < w->plan.n_shards; s++) {
        struct hosted *h = &n->hosted[s];
        uint64_t id = h->r.id;
        if (id == 0)
            continue;
        hosted_drop(h);
        hosted_format(w, h, bytes_of(NULL, 0));
        if (world_lacks(w, MUTATION_OLD_ID))
            h->r.id = id;
    }
}

/* --- packets --- */

static void refuse(struct world *w, struct packet *p)
{
    p->refused = true;
    p->hint = NODES_MAX;
    buf_reset(&p->body);
    packet_send(w, p, EVENT_TO_ROUTER);
}

void node_on_request(struct world *w, struct packet *p)
{
    struct node *n = &w->nodes[p->node];
    struct hosted *h = &n->hosted[p->shard];

    if (!n->up)
        packet_free(p);
    else if (h->r.id == 0)
        refuse(w, p);
    else
        hosted_request(h, p);
}

void node_on_peer(struct world *w, struct packet *p)
{
    struct hosted *h = &w->nodes[p->to & 0xffff].hosted[p->shard];

    if (h->r.id == p->to && h->r.replica)
        fake_replica_receive(&h->r, p->from, buf_bytes(&p->body));
    packet_free(p);
}

/* --- who is there --- */

struct hosted *node_find(struct world *w, uint32_t shard, uint64_t id)
{
    struct hosted *h = &w->nodes[id & 0xffff].hosted[shard];

    return (id & 0xffff) < w->plan.n_nodes && h->r.id == id ? h : NULL;
}

struct hosted *node_leader(struct world *w, uint32_t shard)
{
    struct hosted *leader = NULL;

    for (uint32_t i = 0; i < w->plan.n_nodes; i++) {
        struct hosted *h = &w->nodes[i].hosted[shard];
        if (h->r.replica && h->r.role.leader && (!leader || h->r.role.term > leader->r.role.term))
            leader = h;
    }
    return leader;
}

static uint64_t term_of(const struct hosted *h)
{
    struct replica_status st = {0};

    if (h->r.replica)
        replica_get_status(h->r.replica, &st);
    return st.term > h->r.disk.term ? st.term : h->r.disk.term;
}

bool node_is_settled(struct world *w, const struct hosted *leader)
{
    struct replica_status st;

    replica_get_status(leader->r.replica, &st);
    for (uint32_t i = 0; i < w->plan.n_nodes; i++) {
        const struct hosted *h = &w->nodes[i].hosted[leader->shard];
        /* One that is out of the group stands in vain, and its term may be any. */
        if (h->r.id && !h->removed && term_of(h) > st.term)
            return false;
    }
    return st.is_leader && !st.is_changing;
}
