#include "sim.h"

#include <base/hash.h>

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct store *store_new(uint32_t shard)
{
    struct store_options o = {.shard = (uint16_t)shard};
    struct store *s = NULL;
    struct error err;

    if (store_open(&o, &s, &err) != ERR_OK) {
        fprintf(stderr, "store: %s\n", err.msg);
        abort();
    }
    return s;
}

static struct machine *machine_new(struct world *w, uint32_t shard, struct store *store)
{
    bool forget = w->mutation == MUTATION_FORGET_IDS;
    struct machine_options o = {.store = store,
                                .schema = &w->config->schema,
                                .map = &w->map,
                                .shard = (shard_id)shard,
                                .dedup_hours = forget ? 0 : 24 * 365,
                                .dedup_min = forget ? 0 : 4096,
                                .dedup_max = forget ? 1 : 65536,
                                .redirect_days = 1};
    struct machine *m = NULL;
    struct error err;

    if (machine_open(&o, &m, &err) != ERR_OK) {
        fprintf(stderr, "machine: %s\n", err.msg);
        abort();
    }
    return m;
}

void shard_open(struct world *w, uint32_t shard)
{
    struct shard *s = &w->shards[shard];

    s->store = store_new(shard);
    s->machine = machine_new(w, shard, s->store);
    s->up = true;
    s->skew = (msec_t)rng_below(&w->rng, 200);
}

static void drop_queue(struct shard *s)
{
    for (size_t i = 0; i < s->n_queue; i++)
        packet_free(s->queue[i]);
    s->n_queue = 0;
}

static void stop(struct shard *s)
{
    machine_close(s->machine);
    store_close(s->store);
    s->machine = NULL;
    s->store = NULL;
}

void shard_close(struct shard *s)
{
    drop_queue(s);
    free(s->queue);
    for (size_t i = 0; i < s->n_log; i++)
        buf_free(&s->log[i].body);
    free(s->log);
    if (s->machine)
        stop(s);
    if (s->checkpoint)
        store_close(s->checkpoint);
}

/* --- commands --- */

static void reply_to(struct world *w, const struct packet *p, struct buf *body)
{
    struct packet *r = packet_new();

    r->shard = p->shard;
    r->router = p->router;
    r->life = p->life;
    r->n = p->n;
    r->tickets = malloc(p->n * sizeof *r->tickets);
    assert(r->tickets);
    memcpy(r->tickets, p->tickets, p->n * sizeof *r->tickets);
    r->body = *body;
    packet_send(w, r, EVENT_TO_ROUTER);
}

static struct command *decode(struct world *w, struct bytes body, uint32_t items, size_t *n)
{
    struct command *c = NULL;
    struct error err;

    if (command_decode(body, items, &w->scratch, &c, n, &err) != ERR_OK) {
        world_fail(w, "a batch does not decode: %s", err.msg);
        *n = 0;
    }
    return c;
}

static void trace_command(struct world *w, uint32_t shard, const struct command *c,
                          const struct reply *r)
{
    uint32_t id = c->n_ids ? world_id_of(w, c->ids[0]) : IDS_MAX;

    world_trace(
        w,
        "s%u type %d p %" PRIx64 " o %" PRIx64 " e %u v %u id %s n %zu m %.*s -> %s %" PRIx64
        " %" PRIx64 " e %u v %u missing %zu refused %zu err %d",
        shard, (int)c->type, c->profile, c->other, c->epoch, c->version,
        id < IDS_MAX ? w->ids[id].text : "-", c->n_ids, (int)c->message_id.len,
        c->message_id.data ? (const char *)c->message_id.data : "", reply_status_name(r->status),
        r->profile, r->other, r->epoch, r->version, r->n_missing, r->n_refused, (int)r->error);
}

static void apply_packet(struct world *w, uint32_t shard, const struct packet *p, msec_t now)
{
    struct shard *s = &w->shards[shard];
    struct buf out = {0};
    size_t n;
    struct command *c = decode(w, buf_bytes(&p->body), p->n, &n);

    for (size_t i = 0; i < n && !w->failed; i++) {
        struct reply r = {0};
        machine_apply(s->machine, now, &c[i], &w->scratch, &r);
        trace_command(w, shard, &c[i], &r);
        reply_encode(&r, &out);
        ghost_refresh(w, shard, &c[i], &r);
        if (!w->failed)
            check_state(w);
        w->commands++;
        if (!w->failed && w->commands % 200 == 0)
            check_books(w);
    }
    if (w->failed) {
        buf_free(&out);
        return;
    }
    reply_to(w, p, &out);
}

static void answer_reads(struct world *w, uint32_t shard, const struct packet *p)
{
    struct shard *s = &w->shards[shard];
    struct buf out = {0};
    size_t n;
    struct command *c = decode(w, buf_bytes(&p->body), p->n, &n);

    for (size_t i = 0; i < n; i++) {
        struct reply r = {0};
        machine_read(s->machine, world_wall(w) + s->skew, &c[i], &w->scratch, &r);
        trace_command(w, shard, &c[i], &r);
        reply_encode(&r, &out);
    }
    reply_to(w, p, &out);
}

void shard_on_packet(struct world *w, struct packet *p)
{
    struct shard *s = &w->shards[p->shard];

    if (!s->up) {
        packet_free(p);
        return;
    }
    if (!p->write) {
        answer_reads(w, p->shard, p);
        packet_free(p);
        return;
    }
    if (s->n_queue == s->cap_queue) {
        s->cap_queue = s->cap_queue ? 2 * s->cap_queue : 16;
        s->queue = realloc(s->queue, s->cap_queue * sizeof(struct packet *));
        assert(s->queue);
    }
    s->queue[s->n_queue++] = p;
    if (!s->commit_due) {
        s->commit_due = true;
        world_schedule(w, (msec_t)rng_below(&w->rng, (uint64_t)w->plan.commit_max), EVENT_COMMIT)
            ->a = p->shard;
    }
}

static void log_append(struct shard *s, const struct packet *p, msec_t now, bool end)
{
    struct logged *l;

    if (s->n_log == s->cap_log) {
        s->cap_log = s->cap_log ? 2 * s->cap_log : 64;
        s->log = realloc(s->log, s->cap_log * sizeof *s->log);
        assert(s->log);
    }
    l = &s->log[s->n_log++];
    *l = (struct logged){.now = now, .items = p->n, .end = end};
    buf_put(&l->body, p->body.data, p->body.len);
}

/* All that waits becomes one log entry, which is durable and then applied. */
void shard_commit(struct world *w, uint32_t shard)
{
    struct shard *s = &w->shards[shard];
    msec_t now = world_wall(w) + s->skew;
    size_t n = s->n_queue;

    if (!s->commit_due)
        return;
    s->commit_due = false;
    for (size_t i = 0; i < n; i++)
        log_append(s, s->queue[i], now, i + 1 == n);
    for (size_t i = 0; i < n && !w->failed; i++)
        apply_packet(w, shard, s->queue[i], now);
    machine_end_entry(s->machine);
    drop_queue(s);
}

/* --- crash and recovery --- */

static bool add_row(void *ctx, struct bytes key, struct bytes value)
{
    uint64_t *sum = ctx;

    *sum += hash64_seed(value, hash64(key));
    return true;
}

static uint64_t digest(struct store *s)
{
    uint64_t sum = 0;

    store_scan(s, bytes_of(NULL, 0), add_row, &sum);
    return sum;
}

static bool copy_row(void *ctx, struct bytes key, struct bytes value)
{
    store_put(ctx, key, value);
    return true;
}

static struct store *store_copy(struct store *from, uint32_t shard)
{
    struct store *to = store_new(shard);

    store_scan(from, bytes_of(NULL, 0), copy_row, to);
    return to;
}

void shard_checkpoint(struct world *w, uint32_t shard)
{
    struct shard *s = &w->shards[shard];

    if (!s->up)
        return;
    if (s->checkpoint)
        store_close(s->checkpoint);
    s->checkpoint = store_copy(s->store, shard);
    s->checkpoint_log = s->n_log;
    world_trace(w, "checkpoint s%u", shard);
}

static void replay(struct world *w, uint32_t shard, size_t from)
{
    struct shard *s = &w->shards[shard];

    for (size_t k = from; k < s->n_log; k++) {
        size_t n;
        struct command *c = decode(w, buf_bytes(&s->log[k].body), s->log[k].items, &n);
        for (size_t i = 0; i < n; i++) {
            struct reply r = {0};
            machine_apply(s->machine, s->log[k].now, &c[i], &w->scratch, &r);
        }
        if (s->log[k].end)
            machine_end_entry(s->machine);
    }
}

static void lose_last(struct shard *s)
{
    if (s->n_log == 0 || s->n_log == s->checkpoint_log)
        return;
    buf_free(&s->log[--s->n_log].body);
    if (s->n_log > 0)
        s->log[s->n_log - 1].end = true;
}

/* What was not logged is lost; what was logged comes back, from the start or from a checkpoint, and
 * must give the very same state. */
void shard_crash(struct world *w, uint32_t shard)
{
    struct shard *s = &w->shards[shard];
    uint64_t before;
    bool from_checkpoint;

    if (!s->up)
        return;
    w->seen.crashes++;
    world_trace(w, "crash s%u, %zu lost", shard, s->n_queue);
    drop_queue(s);
    s->commit_due = false;
    s->up = false;
    before = digest(s->store);
    stop(s);
    if (w->mutation == MUTATION_LOSE_LOG)
        lose_last(s);
    from_checkpoint = s->checkpoint && rng_below(&w->rng, 2) == 0;
    s->store = from_checkpoint ? store_copy(s->checkpoint, shard) : store_new(shard);
    s->machine = machine_new(w, shard, s->store);
    replay(w, shard, from_checkpoint ? s->checkpoint_log : 0);
    if (w->mutation != MUTATION_LOSE_LOG && digest(s->store) != before)
        world_fail(w, "s%u: replay from %s gives another state", shard,
                   from_checkpoint ? "a checkpoint" : "the start");
    world_schedule(w, (msec_t)rng_below(&w->rng, 800), EVENT_RESTART_SHARD)->a = shard;
}

void shard_restart(struct world *w, uint32_t shard)
{
    w->shards[shard].up = true;
    world_trace(w, "restart s%u", shard);
}
