/* The shell of one replica in this world: requests become entries, entries change the state, reads
 * ask first. As node/host does it, without its threads. */
#include "sim.h"

#include <base/hash.h>

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

enum { FLYING_MAX = 4 };

/* --- batches --- */

static void batch_put(struct batch *b, struct packet *p)
{
    if (b->n == b->cap) {
        b->cap = b->cap ? 2 * b->cap : 8;
        b->packets = realloc(b->packets, b->cap * sizeof *b->packets);
        assert(b->packets);
    }
    b->packets[b->n++] = p;
}

static struct batch *batch_of(const struct batch *from)
{
    struct batch *b = malloc(sizeof *b);

    assert(b);
    *b = *from;
    return b;
}

static void batch_clear(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        packet_free(b->packets[i]);
    free(b->packets);
    *b = (struct batch){0};
}

static void batches_free(struct batch **list)
{
    while (*list) {
        struct batch *b = *list;
        *list = b->next;
        batch_clear(b);
        free(b);
    }
}

/* --- answers --- */

/* An answer to p, without content; NULL body: refused. */
static void reply_to(struct hosted *h, const struct packet *p, struct buf *body)
{
    struct world *w = h->world;
    struct packet *r = packet_new();
    uint64_t leader = h->r.role.leader_id & 0xffff;

    *r = (struct packet){.shard = p->shard,
                         .router = p->router,
                         .node = (uint16_t)h->node,
                         .life = p->life,
                         .n = p->n,
                         .refused = body == NULL,
                         .hint = h->r.role.leader_id && leader < NODES_MAX ? (uint32_t)leader
                                                                           : NODES_MAX};
    r->tickets = malloc(p->n * sizeof *r->tickets + 1);
    assert(r->tickets);
    memcpy(r->tickets, p->tickets, p->n * sizeof *r->tickets);
    if (body)
        r->body = *body;
    packet_send(w, r, EVENT_TO_ROUTER);
}

static void refuse_batch(struct hosted *h, struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        reply_to(h, b->packets[i], NULL);
    batch_clear(b);
}

static void answer_read(struct hosted *h, const struct packet *p)
{
    struct world *w = h->world;
    struct command *c;
    struct buf out = {0};
    size_t n;
    struct error err;

    if (command_decode(buf_bytes(&p->body), p->n, &w->scratch, &c, &n, &err) != ERR_OK) {
        world_fail(w, "a batch does not decode: %s", err.msg);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct reply r = {0};
        machine_read(h->machine, world_wall(w) + w->nodes[h->node].skew, &c[i], &w->scratch, &r);
        shard_trace_command(w, h->shard, &c[i], &r);
        reply_encode(&r, &out);
    }
    reply_to(h, p, &out);
}

/* --- applying --- */

static struct batch *take_flying(struct hosted *h)
{
    struct batch *b = h->flying;

    h->flying = b->next;
    return b;
}

/* What waits at this index or below: nothing, or the batch that became this entry. */
static struct batch *settle_flying(struct hosted *h, const struct replica_entry *e)
{
    while (h->flying && h->flying->index <= e->index) {
        struct batch *b = take_flying(h);
        bool mine = b->term == e->term || world_lacks(h->world, MUTATION_ANSWER_BY_INDEX);
        if (b->index == e->index && mine)
            return b;
        h->world->seen.lost++;
        refuse_batch(h, b);
        free(b);
    }
    return NULL;
}

/* What it submitted when it led, and another leader's snapshot is over: nobody here knows what
 * became of it. Nodes drop it when they lose the lead. */
static void drop_flying(struct hosted *h, uint64_t upto)
{
    while (h->flying && h->flying->index <= upto) {
        struct batch *b = take_flying(h);
        h->world->seen.lost++;
        refuse_batch(h, b);
        free(b);
    }
}

static uint64_t apply_commands(struct hosted *h, msec_t now, const struct command *c, size_t n,
                               struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        struct reply r = {0};
        machine_apply(h->machine, now, &c[i], &h->world->scratch, &r);
        reply_encode(&r, out);
    }
    return out->len;
}

static void on_apply(struct fake_replica *fake, const struct replica_entry *e)
{
    struct hosted *h = fake->owner;
    struct world *w = h->world;
    struct buf all = {0};
    struct batch *b;
    struct command *c;
    struct reader r;
    size_t n, k = 0;
    msec_t now;

    shard_commit(w, h->shard, e);
    if (w->failed)
        return;
    b = settle_flying(h, e);
    r = shard_entry(e, &now);
    if (world_lacks(w, MUTATION_OWN_CLOCK))
        now = world_wall(w) + w->nodes[h->node].skew;
    for (; shard_next(w, &r, &c, &n); k++) {
        struct buf out = {0};
        apply_commands(h, now, c, n, &out);
        buf_put(&all, out.data, out.len);
        if (b && k < b->n)
            reply_to(h, b->packets[k], &out);
        else
            buf_free(&out);
    }
    if (e->type == REPLICA_COMMAND)
        machine_end_entry(h->machine);
    shard_compare(w, h, e->index, hash64(buf_bytes(&all)) | 1);
    buf_free(&all);
    if (b) {
        batch_clear(b);
        free(b);
    }
}

/* --- feeding the log --- */

/* Mutation: answers by what the entry would do to the leader's state as it is. */
static void answer_early(struct hosted *h, const struct batch *b, msec_t now)
{
    struct world *w = h->world;
    struct hosted copy = *h;

    copy.store = state_copy(h->store, h->shard);
    copy.machine = state_machine(w, h->shard, copy.store);
    for (size_t i = 0; i < b->n; i++) {
        struct command *c;
        struct buf out = {0};
        size_t n;
        struct error err;
        if (command_decode(buf_bytes(&b->packets[i]->body), b->packets[i]->n, &w->scratch, &c, &n,
                           &err) == ERR_OK)
            apply_commands(&copy, now, c, n, &out);
        reply_to(h, b->packets[i], &out);
    }
    machine_close(copy.machine);
    store_close(copy.store);
}

static size_t count_flying(const struct hosted *h)
{
    size_t n = 0;

    for (const struct batch *b = h->flying; b; b = b->next)
        n++;
    return n;
}

static void fly(struct hosted *h, struct batch *b)
{
    struct batch **at = &h->flying;

    while (*at)
        at = &(*at)->next;
    *at = b;
}

static void commit_later(struct hosted *h, msec_t least)
{
    struct event *e;

    h->commit_due = true;
    e = world_schedule(
        h->world, least + (msec_t)rng_below(&h->world->rng, (uint64_t)h->world->plan.commit_max),
        EVENT_COMMIT);
    e->a = h->node;
    e->b = h->shard;
}

/* All that waits becomes one entry. */
static void submit(struct hosted *h)
{
    struct world *w = h->world;
    struct batch *b = batch_of(&h->filling);
    msec_t now = world_wall(w) + w->nodes[h->node].skew;
    struct buf entry = {0};
    struct bytes body;
    uint64_t life = h->r.life;

    h->filling = (struct batch){0};
    b->term = h->r.role.term;
    buf_put_u64(&entry, (uint64_t)now);
    for (size_t i = 0; i < b->n; i++)
        shard_put_packet(&entry, b->packets[i]);
    body = buf_bytes(&entry);
    b->index = fake_replica_submit(&h->r, &body, 1);
    buf_free(&entry);
    if (h->r.life != life) { /* it died */
        batch_clear(b);
        free(b);
    } else if (b->index == 0) {
        refuse_batch(h, b);
        free(b);
    } else {
        if (world_lacks(w, MUTATION_ACK_UNCOMMITTED))
            answer_early(h, b, now);
        fly(h, b);
    }
}

/* Nodes drop what is under way when their lead ends; here at the latest when the next one has
 * something to submit: it would stand before that for ever. */
static void drop_earlier(struct hosted *h)
{
    struct batch **at = &h->flying, *b;

    while ((b = *at)) {
        if (!h->r.role.leader || b->term == h->r.role.term) {
            at = &b->next;
            continue;
        }
        *at = b->next;
        h->world->seen.lost++;
        refuse_batch(h, b);
        free(b);
    }
}

void hosted_commit(struct hosted *h)
{
    if (!h->commit_due || !h->r.replica)
        return;
    h->commit_due = false;
    if (h->filling.n == 0)
        return;
    drop_earlier(h);
    if (count_flying(h) >= FLYING_MAX)
        commit_later(h, 1);
    else
        submit(h);
}

static void start_read(struct hosted *h, struct packet *p)
{
    struct batch b = {.next = h->reads, .token = ++h->world->tokens};

    batch_put(&b, p);
    h->reads = batch_of(&b);
    fake_replica_read(&h->r, b.token);
}

void hosted_request(struct hosted *h, struct packet *p)
{
    bool leads = h->r.role.leader;

    if (p->write && leads) {
        batch_put(&h->filling, p);
        if (!h->commit_due)
            commit_later(h, 0);
    } else if (!p->write && leads && world_lacks(h->world, MUTATION_READ_LOCAL)) {
        answer_read(h, p);
        packet_free(p);
    } else if (!p->write) {
        start_read(h, p);
    } else {
        reply_to(h, p, NULL);
        packet_free(p);
    }
}

static void on_read(struct fake_replica *fake, uint64_t token, bool ready)
{
    struct hosted *h = fake->owner;
    struct batch **at = &h->reads, *b;

    while (*at && (*at)->token != token)
        at = &(*at)->next;
    b = *at;
    if (!b) {
        world_fail(h->world, "s%u: a read is answered that nobody waits for", h->shard);
        return;
    }
    *at = b->next;
    if (ready)
        answer_read(h, b->packets[0]);
    else
        reply_to(h, b->packets[0], NULL);
    batch_clear(b);
    free(b);
}

/* --- checkpoints and snapshots --- */

static void store_drop(struct store **s)
{
    if (*s)
        store_close(*s);
    *s = NULL;
}

/* Only where the model was looked at, so that what comes back can be compared. */
static void begin_checkpoint(struct hosted *h)
{
    struct world *w = h->world;
    struct event *e;

    if (h->frozen || h->r.installing ||
        h->r.state.applied < h->r.saved.applied + w->plan.checkpoint_every ||
        h->r.state.applied % w->plan.digest_every != 0)
        return;
    h->frozen = state_copy(h->store, h->shard);
    h->frozen_as = h->r.state;
    e = world_schedule(w, 1 + (msec_t)rng_below(&w->rng, 4 * w->env.disk_max + h->r.slow),
                       EVENT_CHECKPOINT);
    e->a = h->node;
    e->b = h->shard;
    e->d = ++h->checkpoint;
}

void hosted_checkpoint(struct hosted *h, uint64_t number)
{
    if (!h->frozen || h->checkpoint != number)
        return;
    store_drop(&h->saved);
    h->saved = h->frozen;
    h->frozen = NULL;
    h->world->seen.checkpoints++;
    fake_replica_saved(&h->r, h->frozen_as);
}

static void fetch_later(struct hosted *h)
{
    struct event *e = world_schedule(
        h->world, (msec_t)rng_below(&h->world->rng, 200 + h->world->env.disk_max), EVENT_FETCH);

    e->a = h->node;
    e->b = h->shard;
    e->d = h->r.life;
}

static void on_fetch(struct fake_replica *fake)
{
    fetch_later(fake->owner);
}

/* The sender may be down, cut off or wiped: again in a while, or all over from the disk. */
void hosted_fetch(struct hosted *h, uint64_t life)
{
    struct world *w = h->world;
    struct hosted *from;

    if (h->r.life != life || !h->r.installing)
        return;
    from = node_find(w, h->shard, h->r.install_from);
    if (from && w->nodes[from->node].up && !w->cut[from->node][h->node] &&
        !w->cut[h->node][from->node] && from->saved &&
        from->r.saved.applied >= h->r.install.index) {
        store_drop(&h->fetched);
        h->fetched = state_copy(from->saved, h->shard);
        h->fetched_as = from->r.saved;
        fake_replica_put_in_place(&h->r, (unsigned)rng_below(&w->rng, w->env.disk_max));
    } else if (world_chance(w, 300)) {
        world_trace(w, "n%u s%u gives up a snapshot", h->node, h->shard);
        hosted_crash(h);
        hosted_start(h);
    } else {
        fetch_later(h);
    }
}

static bool on_installed(struct fake_replica *fake)
{
    struct hosted *h = fake->owner;
    struct world *w = h->world;

    world_trace(w, "n%u s%u installs %" PRIu64, h->node, h->shard, h->fetched_as.applied);
    h->r.state = h->r.saved = h->fetched_as;
    drop_flying(h, h->r.state.applied);
    if (world_lacks(w, MUTATION_INSTALL_NOTHING)) {
        store_drop(&h->fetched);
        h->fetched = state_copy(h->store, h->shard);
    }
    machine_close(h->machine);
    store_drop(&h->store);
    store_drop(&h->saved);
    store_drop(&h->frozen);
    h->saved = h->fetched;
    h->fetched = NULL;
    h->store = state_copy(h->saved, h->shard);
    h->machine = state_machine(w, h->shard, h->store);
    shard_compare(w, h, h->r.state.applied, 0);
    return true;
}

/* --- the other hooks --- */

static void on_schedule(struct fake_replica *fake, uint64_t at, enum fake_event kind,
                        uint64_t number)
{
    struct hosted *h = fake->owner;
    msec_t in = (msec_t)at - h->world->now;
    struct event *e = world_schedule(h->world, in > 0 ? in : 0, EVENT_REPLICA);

    e->a = h->node;
    e->b = h->shard;
    e->c = kind;
    e->d = number;
}

static void on_send(struct fake_replica *fake, uint64_t to, struct bytes bytes)
{
    struct hosted *h = fake->owner;
    struct packet *p = packet_new();

    p->shard = (uint16_t)h->shard;
    p->from = h->r.id;
    p->to = to;
    buf_put(&p->body, bytes.data, bytes.len);
    fake_free(bytes);
    packet_send(h->world, p, EVENT_TO_REPLICA);
}

static void on_note(struct fake_replica *fake, const struct replica_effect *e)
{
    struct hosted *h = fake->owner;

    if (e->type == REPLICA_ROLE)
        world_trace(h->world, "n%u s%u %s term %" PRIu64 " leader %" PRIx64, h->node, h->shard,
                    e->role.leader ? "leads" : "follows", e->role.term, e->role.leader_id);
    else if (e->type == REPLICA_APPLY)
        world_trace(h->world, "n%u s%u applies %" PRIu64 " term %" PRIu64 " type %d", h->node,
                    h->shard, e->entry.index, e->entry.term, (int)e->entry.type);
    else if (e->type == REPLICA_INSTALL)
        world_trace(h->world, "n%u s%u wants snapshot %" PRIu64, h->node, h->shard,
                    e->install.snapshot.index);
}

static size_t on_dies_after(struct fake_replica *fake, size_t n)
{
    struct world *w = ((struct hosted *)fake->owner)->world;
    bool dies = !w->healed && n > 0 && world_chance(w, w->plan.crash_within);

    return dies ? (size_t)rng_below(&w->rng, n + 1) : n + 1;
}

static void on_crash(struct fake_replica *fake)
{
    struct hosted *h = fake->owner;

    node_crash(h->world, h->node, (msec_t)rng_below(&h->world->rng, 1500));
}

static void on_after(struct fake_replica *fake)
{
    begin_checkpoint(fake->owner);
}

static void on_fail(struct fake_replica *fake, const char *what)
{
    struct hosted *h = fake->owner;

    world_fail(h->world, "s%u n%u: %s", h->shard, h->node, what);
}

const struct fake_hooks replica_hooks = {.schedule = on_schedule,
                                         .send = on_send,
                                         .note = on_note,
                                         .apply = on_apply,
                                         .read = on_read,
                                         .fetch = on_fetch,
                                         .installed = on_installed,
                                         .dies_after = on_dies_after,
                                         .crash = on_crash,
                                         .after = on_after,
                                         .fail = on_fail};

/* --- life --- */

void hosted_format(struct world *w, struct hosted *h, struct bytes entry_1)
{
    h->r.env = &w->env;
    h->r.group = &w->shards[h->shard].group;
    h->r.owner = h;
    h->r.id = ++w->ids_given << 16 | h->node;
    h->r.clock = (msec_t)h->node * 7919;
    h->removed = false;
    h->n_changing = 0;
    fake_replica_format(&h->r, entry_1);
}

void hosted_start(struct hosted *h)
{
    h->store = state_copy(h->saved, h->shard);
    h->machine = state_machine(h->world, h->shard, h->store);
    shard_compare(h->world, h, h->r.saved.applied, 0);
    fake_replica_start(&h->r);
}

static void forget(struct hosted *h)
{
    batch_clear(&h->filling);
    batches_free(&h->flying);
    batches_free(&h->reads);
    store_drop(&h->frozen);
    store_drop(&h->fetched);
    h->commit_due = false;
    if (h->machine)
        machine_close(h->machine);
    h->machine = NULL;
    store_drop(&h->store);
}

size_t hosted_changing(const struct hosted *h, struct replica_member list[MEMBERS_MAX])
{
    struct replica_status st;

    if (!h->r.replica) {
        memcpy(list, h->changing, sizeof h->changing);
        return h->n_changing;
    }
    replica_get_status(h->r.replica, &st);
    return st.is_changing ? replica_members(h->r.replica, list, MEMBERS_MAX) : 0;
}

void hosted_crash(struct hosted *h)
{
    struct world *w = h->world;

    if (!h->r.replica)
        return;
    h->n_changing = hosted_changing(h, h->changing);
    fake_replica_crash(&h->r);
    if (world_lacks(w, MUTATION_LOSE_LOG))
        fake_disk_lose_last(&h->r.disk);
    forget(h);
}

void hosted_drop(struct hosted *h)
{
    if (h->r.id == 0)
        return;
    fake_replica_stop(&h->r);
    forget(h);
    fake_disk_close(&h->r.disk);
    store_drop(&h->saved);
    h->r.id = 0;
}
