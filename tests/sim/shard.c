#include "sim.h"

#include <base/hash.h>

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

void shard_open(struct world *w, uint32_t shard)
{
    struct shard *s = &w->shards[shard];

    s->store = state_new(shard);
    s->machine = state_machine(w, shard, s->store);
}

void shard_close(struct shard *s)
{
    machine_close(s->machine);
    store_close(s->store);
    group_check_close(&s->group);
    free(s->marks);
    buf_free(&s->entry_1);
}

/* --- entries --- */

void shard_put_packet(struct buf *entry, const struct packet *p)
{
    buf_put_u32(entry, p->n);
    buf_put_bytes(entry, buf_bytes(&p->body));
}

struct reader shard_entry(const struct replica_entry *e, msec_t *now)
{
    struct reader r = reader_of(e->type == REPLICA_COMMAND ? e->data : bytes_of(NULL, 0));

    *now = e->type == REPLICA_COMMAND ? (msec_t)reader_u64(&r) : 0;
    return r;
}

bool shard_next(struct world *w, struct reader *r, struct command **list, size_t *n)
{
    struct error err;
    uint32_t items;
    struct bytes body;

    if (reader_left(r) == 0)
        return false;
    items = reader_u32(r);
    body = reader_bytes(r);
    if (r->ok && command_decode(body, items, &w->scratch, list, n, &err) == ERR_OK)
        return true;
    world_fail(w, "an entry does not decode");
    return false;
}

void shard_trace_command(struct world *w, uint32_t shard, const struct command *c,
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

/* --- the model --- */

static struct mark *mark_at(struct shard *s, uint64_t index)
{
    if (index >= s->cap_marks) {
        size_t cap = (size_t)index * 2 + 64;
        s->marks = realloc(s->marks, cap * sizeof *s->marks);
        assert(s->marks);
        s->cap_marks = cap;
    }
    return &s->marks[index];
}

static void apply_command(struct world *w, uint32_t shard, msec_t now, const struct command *c,
                          struct buf *answers)
{
    struct reply r = {0};

    machine_apply(w->shards[shard].machine, now, c, &w->scratch, &r);
    shard_trace_command(w, shard, c, &r);
    reply_encode(&r, answers);
    ghost_refresh(w, shard, c, &r);
    if (!w->failed)
        check_state(w);
    w->commands++;
    if (!w->failed && w->commands % 200 == 0)
        check_books(w);
}

void shard_commit(struct world *w, uint32_t shard, const struct replica_entry *e)
{
    struct shard *s = &w->shards[shard];
    struct buf answers = {0};
    struct command *list;
    struct reader r;
    msec_t now;
    size_t n;

    if (e->index != s->committed + 1)
        return;
    s->committed = e->index;
    for (r = shard_entry(e, &now); !w->failed && shard_next(w, &r, &list, &n);) {
        for (size_t i = 0; i < n && !w->failed; i++)
            apply_command(w, shard, now, &list[i], &answers);
    }
    if (e->type == REPLICA_COMMAND)
        machine_end_entry(s->machine);
    if (e->index % w->plan.digest_every == 0)
        mark_at(s, e->index)->state = state_digest(s->store);
    mark_at(s, e->index)->answers = hash64(buf_bytes(&answers)) | 1;
    buf_free(&answers);
}

static void compare_state(struct world *w, const struct hosted *h, uint64_t index)
{
    struct shard *s = &w->shards[h->shard];
    uint64_t want;

    if (index % w->plan.digest_every == 0)
        want = mark_at(s, index)->state;
    else if (index == s->committed)
        want = state_digest(s->store);
    else
        return;
    if (state_digest(h->store) != want)
        world_fail(w, "s%u: the replica at n%u has another state at %" PRIu64 " (11)", h->shard,
                   h->node, index);
}

void shard_compare(struct world *w, const struct hosted *h, uint64_t index, uint64_t answers)
{
    struct shard *s = &w->shards[h->shard];

    if (w->failed || index == 0)
        return;
    if (index > s->committed)
        world_fail(w, "s%u: a replica is at %" PRIu64 ", committed is %" PRIu64, h->shard, index,
                   s->committed);
    else if (answers && answers != mark_at(s, index)->answers)
        world_fail(w, "s%u: the replica at n%u answers otherwise at %" PRIu64 " (11)", h->shard,
                   h->node, index);
    else if (answers == 0 || index % w->plan.digest_every == 0)
        compare_state(w, h, index);
}
