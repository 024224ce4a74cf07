#include "sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct packet *packet_new(void)
{
    struct packet *p = calloc(1, sizeof *p);

    assert(p);
    return p;
}

void packet_free(struct packet *p)
{
    if (!p)
        return;
    buf_free(&p->body);
    free(p->tickets);
    free(p);
}

static struct packet *packet_copy(const struct packet *p)
{
    struct packet *c = packet_new();

    *c = *p;
    c->body = (struct buf){0};
    buf_put(&c->body, p->body.data, p->body.len);
    c->tickets = malloc(p->n * sizeof *c->tickets + 1);
    assert(c->tickets);
    if (p->n)
        memcpy(c->tickets, p->tickets, p->n * sizeof *c->tickets);
    return c;
}

static msec_t delay(struct world *w)
{
    if (world_chance(w, w->plan.slow))
        return (msec_t)rng_below(&w->rng, (uint64_t)w->plan.slow_max);
    return 1 + (msec_t)rng_below(&w->rng, (uint64_t)w->plan.delay_max);
}

bool packet_arrives(const struct world *w, const struct packet *p, enum event_kind kind)
{
    uint32_t node = p->node, router = NODES_MAX + p->router;

    if (kind == EVENT_TO_REPLICA)
        return !w->cut[p->from & 0xffff][p->to & 0xffff];
    return kind == EVENT_TO_NODE ? !w->cut[router][node] : !w->cut[node][router];
}

static void send_ordered(struct world *w, struct packet *p)
{
    msec_t *last = &w->last_arrival[p->from & 0xffff][p->to & 0xffff];
    msec_t at = w->now + delay(w);

    if (at < *last)
        at = *last;
    *last = at;
    world_schedule(w, at - w->now, EVENT_TO_REPLICA)->packet = p;
}

void packet_send(struct world *w, struct packet *p, enum event_kind kind)
{
    bool ordered = kind == EVENT_TO_REPLICA && w->plan.ordered;

    if (!packet_arrives(w, p, kind)) {
        packet_free(p);
        return;
    }
    if (!ordered && world_chance(w, w->plan.dup))
        world_schedule(w, delay(w) + (msec_t)rng_below(&w->rng, (uint64_t)w->plan.slow_max), kind)
            ->packet = packet_copy(p);
    if (world_chance(w, w->plan.loss))
        packet_free(p);
    else if (ordered)
        send_ordered(w, p);
    else
        world_schedule(w, delay(w), kind)->packet = p;
}
