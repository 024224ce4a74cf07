/* stats: how much there is. */
#include "commands.h"
#include "session.h"
#include "show.h"

#include <inttypes.h>
#include <stdio.h>

static struct oneid_shard sum_of(const struct oneid_result *r)
{
    struct oneid_shard t = {0};
    for (size_t i = 0; i < r->n_shards; i++) {
        const struct oneid_shard *s = &r->shards[i];
        t.profiles += s->profiles;
        t.identities += s->identities;
        t.events += s->events;
        t.merges += s->merges;
        t.refused += s->refused;
        t.duplicates += s->duplicates;
        t.merging += s->merging;
        t.tombstones += s->tombstones;
        t.dedup_cut += s->dedup_cut;
        t.disk_bytes += s->disk_bytes;
        t.memtable_bytes += s->memtable_bytes;
        t.index_bytes += s->index_bytes;
        t.index_members += s->index_members;
    }
    return t;
}

static double bytes_a_member(const struct oneid_shard *s)
{
    return s->index_members ? (double)s->index_bytes / (double)s->index_members : 0;
}

static void emit_counts(struct emit *e, const struct oneid_shard *s)
{
    emit_unsigned(e, "profiles", s->profiles);
    emit_unsigned(e, "identities", s->identities);
    emit_unsigned(e, "events", s->events);
    emit_unsigned(e, "merges", s->merges);
    emit_unsigned(e, "refused", s->refused);
    emit_unsigned(e, "duplicates", s->duplicates);
    emit_unsigned(e, "merging", s->merging);
    emit_unsigned(e, "tombstones", s->tombstones);
    emit_unsigned(e, "dedup_cut", s->dedup_cut);
    emit_unsigned(e, "disk_bytes", s->disk_bytes);
    emit_unsigned(e, "memtable_bytes", s->memtable_bytes);
    emit_unsigned(e, "index_bytes", s->index_bytes);
    emit_unsigned(e, "index_members", s->index_members);
    emit_real(e, "index_bytes_a_member", (double)(uint64_t)(bytes_a_member(s) * 10) / 10);
}

static void emit_stats(const struct oneid_result *r)
{
    struct oneid_shard sum = sum_of(r);
    struct emit e;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_counts(&e, &sum);
    emit_unsigned(&e, "in_flight_merges", r->in_flight_merges);
    emit_unsigned(&e, "map_epoch", r->map_epoch);
    emit_bool(&e, "partial", r->partial);
    emit_array(&e, "shards");
    for (size_t i = 0; i < r->n_shards; i++) {
        emit_object(&e, NULL);
        emit_unsigned(&e, "shard", r->shards[i].shard);
        emit_unsigned(&e, "node", r->shards[i].node);
        emit_bool(&e, "reachable", r->shards[i].reachable);
        emit_counts(&e, &r->shards[i]);
        emit_unsigned(&e, "applied", r->shards[i].applied);
        emit_unsigned(&e, "catalogue", r->shards[i].catalogue);
        emit_string(&e, "kernels", r->shards[i].kernels);
        emit_end(&e);
    }
    emit_end(&e);
    emit_end(&e);
}

static void show_counts(const char *name, const struct oneid_shard *s)
{
    (void)printf("%-8s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %10" PRIu64 " %9" PRIu64
                 " %10" PRIu64 " %8" PRIu64 " %9.1f\n",
                 name, s->profiles, s->identities, s->events, s->merges, s->refused, s->duplicates,
                 s->merging, (double)s->disk_bytes / (1 << 20));
}

/* The segment index: its memory, and the instruction sets that nodes count with. */
static void show_index(const struct oneid_result *r, const struct oneid_shard *sum)
{
    (void)printf("\nsegment index: %" PRIu64 " members, %.1f MiB, %.1f bytes a member\n",
                 sum->index_members, (double)sum->index_bytes / (1 << 20), bytes_a_member(sum));
    for (size_t i = 0; i < r->n_shards; i++) {
        const struct oneid_shard *s = &r->shards[i];
        bool first = s->reachable;
        for (size_t k = 0; k < i && first; k++)
            first = r->shards[k].node != s->node;
        if (first)
            (void)printf("node %u counts with %s\n", s->node, s->kernels);
    }
}

static void show_stats(const struct oneid_result *r)
{
    struct oneid_shard sum = sum_of(r);
    (void)printf("%-8s %12s %12s %12s %10s %9s %10s %8s %9s\n", "shard", "profiles", "identities",
                 "events", "merges", "refused", "duplicates", "merging", "disk MiB");
    for (size_t i = 0; i < r->n_shards; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%u", r->shards[i].shard);
        if (r->shards[i].reachable)
            show_counts(name, &r->shards[i]);
        else
            (void)printf("%-8s node %u does not answer\n", name, r->shards[i].node);
    }
    show_counts("all", &sum);
    show_index(r, &sum);
    if (sum.dedup_cut)
        (void)printf("message ids let go inside their window: %" PRIu64 "\n", sum.dedup_cut);
}

int run_stats(const struct options *o)
{
    struct session s;
    int rc = session_open(&s, o);
    if (rc == EXIT_OK) {
        struct oneid_result *r = oneid_stats(s.client);
        if (r && r->code == ONEID_OK) {
            if (o->json)
                emit_stats(r);
            else
                show_stats(r);
        }
        rc = result_check(r);
        oneid_result_free(r);
    }
    session_close(&s);
    return rc;
}
