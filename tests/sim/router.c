#include "sim.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- identity cache: small, so that it forgets --- */

static one_id cache_get(const struct router *r, uint32_t id)
{
    for (size_t i = 0; i < r->cache_size; i++) {
        if (r->cache[i].profile && r->cache[i].id == id)
            return r->cache[i].profile;
    }
    return 0;
}

static void cache_put(struct world *w, struct router *r, uint32_t id, one_id profile)
{
    size_t at = (size_t)rng_below(&w->rng, r->cache_size);

    for (size_t i = 0; i < r->cache_size; i++) {
        if (r->cache[i].profile && r->cache[i].id == id)
            at = i;
    }
    r->cache[at] = (struct cache_entry){id, profile};
}

static void cache_drop(struct router *r, uint32_t id, one_id profile)
{
    for (size_t i = 0; i < r->cache_size; i++) {
        if (r->cache[i].id == id && r->cache[i].profile == profile)
            r->cache[i].profile = 0;
    }
}

/* --- sending --- */

static void outbox_put(struct world *w, uint32_t router, uint32_t shard, bool write,
                       struct ticket t, const struct command *c)
{
    struct router *r = &w->routers[router];
    struct outbox *o = &r->out[shard][write];

    if (o->n == o->cap) {
        o->cap = o->cap ? 2 * o->cap : 16;
        o->tickets = realloc(o->tickets, o->cap * sizeof *o->tickets);
        assert(o->tickets);
    }
    o->tickets[o->n++] = t;
    command_encode(c, &o->body);
    if (!r->flush_due) {
        struct event *e =
            world_schedule(w, (msec_t)rng_below(&w->rng, w->plan.coalesce_ms + 1), EVENT_FLUSH);
        e->a = router;
        e->b = r->life;
        r->flush_due = true;
    }
}

/* --- who leads --- */

enum { SILENCE_MS = 400 };

static void guess_next(struct world *w, struct guess *g)
{
    g->node = (g->node + 1) % w->plan.n_nodes;
    g->silent_since = 0;
}

/* The node to ask. One that has been silent for a while may be gone, or cut off. */
static uint32_t guess_ask(struct world *w, struct guess *g)
{
    if (g->silent_since && w->now - g->silent_since >= SILENCE_MS)
        guess_next(w, g);
    if (!g->silent_since)
        g->silent_since = w->now;
    return g->node;
}

/* A router that has just come up, or heard nothing for long, asks anybody. */
static uint32_t node_to_ask(struct world *w, struct guess *g, bool write)
{
    if (!write && world_chance(w, w->plan.stray))
        return (uint32_t)rng_below(&w->rng, w->plan.n_nodes);
    return guess_ask(w, g);
}

static void guess_learn(struct world *w, struct guess *g, const struct packet *p)
{
    if (!p->refused) {
        g->node = p->node;
        g->silent_since = 0;
    } else if (p->node == g->node && p->hint < w->plan.n_nodes && p->hint != p->node) {
        g->node = p->hint;
        g->silent_since = 0;
    } else if (p->node == g->node) {
        guess_next(w, g);
    }
    w->seen.referrals += p->refused;
}

void router_flush(struct world *w, uint32_t router, uint32_t life)
{
    struct router *r = &w->routers[router];

    if (life != r->life)
        return;
    r->flush_due = false;
    for (uint32_t s = 0; s < w->plan.n_shards; s++) {
        for (int write = 0; write < 2; write++) {
            struct outbox *o = &r->out[s][write];
            struct packet *p;
            if (o->n == 0)
                continue;
            p = packet_new();
            *p = (struct packet){.shard = (uint16_t)s,
                                 .router = (uint16_t)router,
                                 .node = (uint16_t)node_to_ask(w, &r->guesses[s], write != 0),
                                 .life = life,
                                 .write = write != 0,
                                 .n = (uint32_t)o->n,
                                 .tickets = o->tickets,
                                 .body = o->body};
            *o = (struct outbox){0};
            packet_send(w, p, EVENT_TO_NODE);
        }
    }
}

/* --- mutations on the way out --- */

/* Message ids are the list behind the facts of each identity. Profiles of this simulation have
 * neither never-link tags nor, in most cases, edges that matter here. */
static struct command without_message_ids(struct world *w, const struct command *c)
{
    struct command out = *c;
    struct buf b = {0};
    struct reader r = reader_of(c->content);
    uint64_t n;

    buf_put_u8(&b, reader_u8(&r));
    buf_put_u8(&b, reader_u8(&r));
    n = reader_varint(&r);
    buf_put_varint(&b, n);
    for (uint64_t i = 0; i < n && r.ok; i++) {
        buf_put_u32(&b, reader_u32(&r));
        buf_put_bytes(&b, reader_bytes(&r));
        buf_put_varint(&b, reader_varint(&r));
        buf_put_varint(&b, reader_varint(&r)); /* never-link tags: none */
        buf_put_bytes(&b, reader_bytes(&r));
        reader_take(&r, (size_t)reader_varint(&r) * 12);
        buf_put_varint(&b, 0);
        uint64_t rows = reader_varint(&r);
        buf_put_varint(&b, rows);
        for (uint64_t k = 0; k < rows && r.ok; k++) {
            buf_put_u16(&b, reader_u16(&r));
            buf_put_bytes(&b, reader_bytes(&r));
        }
    }
    if (r.ok) {
        buf_put(&b, r.p, reader_left(&r));
        out.content = arena_copy(&w->scratch, buf_bytes(&b));
    }
    buf_free(&b);
    return out;
}

static void abort_first(struct world *w, uint32_t router, const struct command *absorb)
{
    struct command c = {.type = COMMAND_ABORT, .profile = absorb->other, .epoch = absorb->epoch};

    outbox_put(w, router, w->map.shard_of_slot[slot_of_one_id(absorb->other)], true,
               (struct ticket){SLOTS_MAX, 0, 0}, &c);
}

static struct command mutated(struct world *w, uint32_t router, const struct command *c)
{
    struct command out = *c;

    if (world_lacks(w, MUTATION_ABORT_FIRST) && c->type == COMMAND_ABSORB)
        abort_first(w, router, c);
    if (world_lacks(w, MUTATION_DONE_FOR_ABORT) && c->type == COMMAND_ABORT)
        out.type = COMMAND_DONE;
    if (world_lacks(w, MUTATION_REPAIR_WRONG) && c->type == COMMAND_REPAIR)
        out.version += 3;
    if (world_lacks(w, MUTATION_EMPTY_CONTENT) && c->type == COMMAND_ABSORB && c->content.len > 0)
        out = without_message_ids(w, c);
    if (world_lacks(w, MUTATION_SKIP_ANY) && c->type == COMMAND_APPLY && c->n_ids > 2)
        out.n_ids = 2;
    return out;
}

/* --- sagas --- */

static void answer(struct world *w, uint32_t router, struct saga_slot *s,
                   const struct saga_answer *a)
{
    (void)router;
    if (s->kind == SAGA_INGEST)
        client_on_answer(w, s->request, a);
    else if (s->kind == SAGA_READ)
        client_on_read(w, s->request, a);
    else {
        w->seen.helped += a->helped;
        w->seen.dropped += a->dropped;
    }
}

static void perform(struct world *w, uint32_t router, uint32_t slot, const struct saga_effect *e)
{
    struct router *r = &w->routers[router];
    struct saga_slot *s = &r->slots[slot];
    uint32_t id = e->id.value.len ? world_id_of(w, e->id) : IDS_MAX;

    switch (e->kind) {
    case SAGA_SEND: {
        struct command c = mutated(w, router, e->command);
        outbox_put(w, router, w->map.shard_of_slot[e->slot], e->write,
                   (struct ticket){slot, s->generation, e->call}, &c);
        break;
    }
    case SAGA_ANSWER:
        world_trace(w, "r%u saga %u.%u kind %d answers %d %" PRIx64 " refused %zu", router, slot,
                    s->generation, (int)s->kind, (int)e->answer->code, e->answer->profile,
                    e->answer->n_refused);
        answer(w, router, s, e->answer);
        break;
    case SAGA_LEARN:
        if (id < IDS_MAX)
            cache_put(w, r, id, e->profile);
        break;
    case SAGA_FORGET:
        if (id < IDS_MAX)
            cache_drop(r, id, e->profile);
        break;
    case SAGA_REFRESH_MAP:
        break;
    case SAGA_END:
        s->busy = false;
        break;
    }
}

static void step(struct world *w, uint32_t router, uint32_t slot, const struct saga_event *event)
{
    struct saga_slot *s = &w->routers[router].slots[slot];
    msec_t wake;

    w->fx.n = 0;
    saga_step(s->saga, w->now, event, &w->fx);
    for (size_t i = 0; i < w->fx.n; i++)
        perform(w, router, slot, &w->fx.items[i]);
    if (!s->busy)
        return;
    wake = saga_wake_ms(s->saga);
    if (wake < s->tick_at) {
        struct event *e = world_schedule(w, wake > w->now ? wake - w->now : 0, EVENT_TICK);
        e->a = router;
        e->b = slot;
        e->c = s->generation;
        s->tick_at = wake;
    }
}

void router_tick(struct world *w, uint32_t router, uint32_t slot, uint32_t generation)
{
    struct saga_slot *s = &w->routers[router].slots[slot];
    struct saga_event e = {.kind = SAGA_TICK};

    if (!s->busy || s->generation != generation)
        return;
    s->tick_at = INT64_MAX;
    step(w, router, slot, &e);
}

/* One for each command; those of a refusal say so. */
static const struct reply *take_replies(struct world *w, const struct packet *p)
{
    static const struct reply refusal = {.status = REPLY_ERROR, .error = ERR_NOT_LEADER};
    struct reply *list = NULL;
    size_t n = p->n;
    struct error err;

    if (p->refused) {
        list = arena_alloc(&w->scratch, (p->n + 1) * sizeof *list);
        assert(list);
        for (size_t i = 0; i < p->n; i++)
            list[i] = refusal;
    } else if (reply_decode(buf_bytes(&p->body), p->n, &w->scratch, &list, &n, &err) != ERR_OK) {
        world_fail(w, "a batch of replies does not decode: %s", err.msg);
    } else if (n != p->n) {
        world_fail(w, "%zu replies to %u commands", n, p->n);
    }
    return list;
}

void router_on_packet(struct world *w, struct packet *p)
{
    struct router *r = &w->routers[p->router];
    const struct reply *replies;

    if (p->life != r->life) {
        packet_free(p);
        return;
    }
    guess_learn(w, &r->guesses[p->shard], p);
    replies = take_replies(w, p);
    for (size_t i = 0; i < p->n && !w->failed; i++) {
        const struct ticket *t = &p->tickets[i];
        struct saga_event e = {.kind = SAGA_REPLY, .call = t->call, .reply = &replies[i]};
        if (t->slot < SLOTS_MAX && r->slots[t->slot].busy &&
            r->slots[t->slot].generation == t->generation)
            step(w, p->router, t->slot, &e);
    }
    packet_free(p);
}

static uint32_t free_slot(const struct router *r)
{
    uint32_t i = 0;

    while (i < SLOTS_MAX && r->slots[i].busy)
        i++;
    return i;
}

static void start(struct world *w, uint32_t router, uint32_t slot, uint32_t request,
                  struct saga_start *start)
{
    struct saga_slot *s = &w->routers[router].slots[slot];
    struct saga_event e = {.kind = SAGA_START, .start = start};

    s->busy = true;
    s->kind = start->kind;
    s->request = request;
    s->tick_at = INT64_MAX;
    start->deadline_ms = w->now + 8000;
    start->seed = rng_u64(&w->rng);
    step(w, router, slot, &e);
}

/* A request finds a slot, or is lost: the client comes again. */
static uint32_t begin(struct world *w, uint32_t router)
{
    struct router *r = &w->routers[router];
    uint32_t slot = free_slot(r);

    if (slot < SLOTS_MAX) {
        if (!r->slots[slot].saga)
            r->slots[slot].saga = saga_new();
        assert(r->slots[slot].saga);
        saga_reset(r->slots[slot].saga);
        r->slots[slot].generation++;
    }
    return slot;
}

void router_ingest(struct world *w, uint32_t router, uint32_t message)
{
    const struct message *m = &w->messages[message];
    uint32_t slot = begin(w, router);
    struct saga_start s = {.kind = SAGA_INGEST};
    struct identity *ids;
    one_id *hints;
    struct arena *a;

    if (slot == SLOTS_MAX)
        return;
    world_trace(w, "r%u ingests m%u", router, message);
    a = saga_arena(w->routers[router].slots[slot].saga);
    ids = arena_alloc(a, m->n_ids * sizeof *ids);
    hints = arena_alloc(a, m->n_ids * sizeof *hints);
    for (uint32_t i = 0; i < m->n_ids; i++) {
        ids[i] = w->ids[m->ids[i]].id;
        hints[i] = cache_get(&w->routers[router], m->ids[i]);
    }
    s.in.ingest = (struct saga_ingest){
        .ids = ids,
        .hints = hints,
        .n_ids = m->n_ids,
        .n_bridging = world_lacks(w, MUTATION_BRIDGE_ALL) ? m->n_ids : m->n_bridging,
        .message_id = bytes_of_str(m->text),
        .ts = m->ts,
        .source = bytes_of_str("sim"),
        .facts = m->facts,
        .behaviour = m->behaviour};
    if (world_lacks(w, MUTATION_ACK_EARLY)) {
        struct saga_answer lie = {.code = ERR_OK};
        client_on_answer(w, message, &lie);
    }
    start(w, router, slot, message, &s);
}

void router_read(struct world *w, uint32_t router, uint32_t read)
{
    const struct read_op *d = &w->reads[read];
    uint32_t slot = begin(w, router);
    struct saga_start s = {.kind = SAGA_READ};

    if (slot == SLOTS_MAX || read >= READS_MAX)
        return;
    if (d->id < IDS_MAX) {
        s.in.read.id = w->ids[d->id].id;
        s.in.read.profile = cache_get(&w->routers[router], d->id);
    } else {
        s.in.read.profile = d->profile;
    }
    s.in.read.want_profile = d->want_profile;
    world_trace(w, "r%u read %u of %u", router, read, d->id);
    start(w, router, slot, read, &s);
}

static void drop_all(struct world *w, uint32_t router)
{
    for (size_t i = 0; i < w->n_ghosts; i++) {
        const struct ghost *g = &w->ghosts[i];
        struct command c = {.type = COMMAND_DROP, .profile = g->id};
        if (g->exists && g->state == PROFILE_REDIRECT)
            outbox_put(w, router, g->shard, true, (struct ticket){SLOTS_MAX, 0, 0}, &c);
    }
}

void router_sweep(struct world *w, uint32_t router)
{
    uint32_t slot;
    struct saga_start s = {.kind = SAGA_SWEEP};

    if (world_lacks(w, MUTATION_DROP_EARLY))
        drop_all(w, router);
    slot = begin(w, router);
    if (slot == SLOTS_MAX)
        return;
    s.in.sweep.slot = (slot_id)rng_below(&w->rng, SLOT_COUNT);
    s.in.sweep.age_ms = (uint32_t)rng_below(&w->rng, 300);
    s.in.sweep.limit = 1 + (uint32_t)rng_below(&w->rng, 16);
    start(w, router, slot, 0, &s);
}

/* --- life --- */

void router_open(struct world *w, uint32_t router)
{
    w->routers[router].cache_size = w->plan.cache_size;
    for (uint32_t s = 0; s < w->plan.n_shards; s++)
        w->routers[router].guesses[s].node = s % w->plan.n_nodes;
}

static void clear_outboxes(struct router *r)
{
    for (int s = 0; s < SHARDS_MAX; s++) {
        for (int write = 0; write < 2; write++) {
            buf_free(&r->out[s][write].body);
            free(r->out[s][write].tickets);
            r->out[s][write] = (struct outbox){0};
        }
    }
}

void router_close(struct router *r)
{
    clear_outboxes(r);
    for (int i = 0; i < SLOTS_MAX; i++)
        saga_free(r->slots[i].saga);
}

void router_crash(struct world *w, uint32_t router)
{
    struct router *r = &w->routers[router];

    world_trace(w, "crash r%u", router);
    w->seen.crashes++;
    r->life++;
    r->flush_due = false;
    clear_outboxes(r);
    for (int i = 0; i < SLOTS_MAX; i++)
        r->slots[i].busy = false;
    memset(r->cache, 0, sizeof r->cache);
    for (uint32_t s = 0; s < w->plan.n_shards; s++)
        r->guesses[s] = (struct guess){.node = s % w->plan.n_nodes};
}
