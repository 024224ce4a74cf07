/* What a node shows to Prometheus, and whether it serves. On the HTTP port's thread: reads what
 * shards last said (view.c) and figures that are atomics. */
#include "parts.h"

#include <proto/security.h>

#include <stdio.h>

enum { SAID_MS = 5000 }; /* a shard's thread says something about once a second */

void figures_refused(struct shard *s, enum error_code code)
{
    enum refused_for why = code == ERR_NOT_LEADER  ? REFUSED_NOT_LEADER
                           : code == ERR_DISK_FULL ? REFUSED_DISK_FULL
                           : code == ERR_BUSY      ? REFUSED_BUSY
                           : code == ERR_SHUTDOWN  ? REFUSED_SHUTDOWN
                                                   : REFUSED_MALFORMED;
    metric_bump(&s->figures.refused[why], 1);
}

/* --- figures of each shard --- */

/* X(name, kind, help, value of `struct shot x`) */
#define SHARD_FIGURES(X)                                                                           \
    X("oneid_shard_is_leader", GAUGE, "1: this node leads the shard", x->st.is_leader)             \
    X("oneid_shard_has_leader", GAUGE, "1: this replica knows who leads", x->st.leader != 0)       \
    X("oneid_shard_is_away", GAUGE, "1: the leader is not where the map wants it",                 \
      x->st.is_leader && x->st.leader != x->st.wanted)                                             \
    X("oneid_shard_term", GAUGE, "Raft term", x->st.term)                                          \
    X("oneid_shard_commit_index", GAUGE, "Log index that a majority has", x->st.commit)            \
    X("oneid_shard_applied_index", GAUGE, "Log index that the state has", x->st.applied)           \
    X("oneid_shard_last_index", GAUGE, "Last index of the log", x->st.last)                        \
    X("oneid_shard_snapshot_index", GAUGE, "Index that the log begins after", x->st.snapshot)      \
    X("oneid_shard_elections_total", COUNTER, "Times that this replica became the leader",         \
      metric_read(&x->f->elections))                                                               \
    X("oneid_shard_entries_total", COUNTER, "Log entries applied", metric_read(&x->f->entries))    \
    X("oneid_shard_commands_total", COUNTER, "Commands answered through the log by this leader",   \
      metric_read(&x->f->commands))                                                                \
    X("oneid_shard_reads_total", COUNTER, "Reads answered", metric_read(&x->f->reads))             \
    X("oneid_shard_entries_in_flight", GAUGE, "Entries submitted and not yet applied",             \
      metric_read(&x->f->in_flight))                                                               \
    X("oneid_shard_sends_held", GAUGE, "Messages to other replicas that wait for the disk",        \
      metric_read(&x->f->sends_held))                                                              \
    X("oneid_shard_events_total", COUNTER, "Events counted, as the state has it",                  \
      metric_read(&x->f->events))                                                                  \
    X("oneid_shard_duplicates_total", COUNTER, "Events that had been counted before",              \
      metric_read(&x->f->duplicates))                                                              \
    X("oneid_shard_merges_total", COUNTER, "Profiles merged", metric_read(&x->f->merges))          \
    X("oneid_shard_refused_links_total", COUNTER, "Identities that were not linked",               \
      metric_read(&x->f->refused_links))                                                           \
    X("oneid_shard_profiles", GAUGE, "Profiles", metric_read(&x->f->profiles))                     \
    X("oneid_shard_identities", GAUGE, "Identities", metric_read(&x->f->identities))               \
    X("oneid_shard_merges_in_flight", GAUGE, "Merges between shards under way", x->st.merging)     \
    X("oneid_shard_merges_stuck", GAUGE, "Merges older than a minute, at the leader", x->st.stuck) \
    X("oneid_shard_memtable_bytes", GAUGE, "Changes in memory", x->st.memtable_bytes)              \
    X("oneid_shard_memtable_limit_bytes", GAUGE, "At so much a checkpoint is written",             \
      x->st.memtable_limit)                                                                        \
    X("oneid_shard_state_bytes", GAUGE, "The state on disk", x->st.disk_bytes)                     \
    X("oneid_shard_index_bytes", GAUGE, "The segment index in memory", x->st.index_bytes)          \
    X("oneid_shard_index_members", GAUGE, "Members in the segment index", x->st.index_members)     \
    X("oneid_shard_saved_segments_version", GAUGE, "Version of the saved segments",                \
      x->st.catalogue)                                                                             \
    X("oneid_shard_fetches_state", GAUGE,                                                          \
      "1: it gets another replica's state in place of its own", x->st.is_fetching)                 \
    X("oneid_shard_checkpoint_fails", GAUGE, "1: the disk is full, the checkpoint is tried again", \
      x->st.checkpoint_fails)                                                                      \
    X("oneid_shard_voters", GAUGE, "Voting replicas, as the leader knows", x->voters)              \
    X("oneid_shard_wanted_voters", GAUGE, "Voting replicas that the map wants", x->st.wanted_voters)

/* What is shown of one shard. */
struct shot {
    struct status_replica st;
    struct status_member members[VIEW_MEMBERS_MAX];
    const struct shard_figures *f;
    uint64_t voters;
    char labels[24];
};

static void show_shards(const struct shot *shots, size_t n, struct buf *out)
{
#define X(name, kind, help, value)                                                                 \
    metrics_family(out, name, METRIC_##kind, help);                                                \
    for (const struct shot *x = shots; x < shots + n; x++)                                         \
        metrics_value(out, name, x->labels, (uint64_t)(value));
    SHARD_FIGURES(X)
#undef X
}

static void show_ages(const struct shot *shots, size_t n, struct buf *out)
{
    static const char DIRTY[] = "oneid_shard_uncheckpointed_seconds";
    static const char SAID[] = "oneid_shard_said_seconds";
    metrics_family(out, DIRTY, METRIC_GAUGE, "Age of the oldest change that is in no checkpoint");
    for (size_t i = 0; i < n; i++)
        metrics_real(out, DIRTY, shots[i].labels, (double)shots[i].st.dirty_ms / 1000);
    metrics_family(out, SAID, METRIC_GAUGE, "Since the shard's thread last said something");
    for (size_t i = 0; i < n; i++)
        metrics_real(out, SAID, shots[i].labels, (double)shots[i].st.said_ms / 1000);
}

/* At leaders: what each other replica lacks. */
static void show_lags(const struct shot *shots, size_t n, node_id self, struct buf *out)
{
    static const char LAG[] = "oneid_shard_peer_lag_entries";
    char labels[64];
    metrics_family(out, LAG, METRIC_GAUGE, "Log entries that another replica lacks, at the leader");
    for (size_t i = 0; i < n; i++) {
        const struct status_replica *st = &shots[i].st;
        for (size_t k = 0; st->is_leader && k < st->n_members; k++) {
            const struct status_member *m = &shots[i].members[k];
            if (m->node == self)
                continue;
            (void)snprintf(labels, sizeof labels, "%s,peer=\"%u\"", shots[i].labels, m->node);
            metrics_value(out, LAG, labels, st->last > m->match ? st->last - m->match : 0);
        }
    }
}

static void show_refused(const struct shot *shots, size_t n, struct buf *out)
{
    static const char NAME[] = "oneid_shard_refused_total";
    static const char *const REASONS[] = {"not_leader", "disk_full", "busy", "shutdown",
                                          "malformed"};
    _Static_assert(sizeof REASONS / sizeof *REASONS == REFUSED_KINDS, "a reason without a name");
    char labels[64];
    metrics_family(out, NAME, METRIC_COUNTER, "Messages of commands or reads that were not taken");
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < REFUSED_KINDS; k++) {
            (void)snprintf(labels, sizeof labels, "%s,reason=\"%s\"", shots[i].labels, REASONS[k]);
            metrics_value(out, NAME, labels, metric_read(&shots[i].f->refused[k]));
        }
    }
}

static void show_commits(const struct shot *shots, size_t n, struct buf *out)
{
    static const char NAME[] = "oneid_shard_commit_seconds";
    metrics_family(out, NAME, METRIC_HISTOGRAM,
                   "From the submission of an entry to its answers, at the leader");
    for (size_t i = 0; i < n; i++)
        metrics_latency(out, NAME, shots[i].labels, &shots[i].f->commit);
}

static bool take(struct shard *s, msec_t now, struct shot *x)
{
    if (!view_read(s, now, &x->st, x->members))
        return false;
    x->f = &s->figures;
    x->voters = 0;
    for (size_t i = 0; x->st.is_leader && i < x->st.n_members; i++)
        x->voters += x->members[i].role == STATUS_VOTER;
    (void)snprintf(x->labels, sizeof x->labels, "shard=\"%u\"", s->id);
    return true;
}

/* --- figures of the node --- */

static void show_gauge(struct buf *out, const char *name, const char *help, uint64_t v)
{
    metrics_family(out, name, METRIC_GAUGE, help);
    metrics_value(out, name, "", v);
}

static void show_counter(struct buf *out, const char *name, const char *help, uint64_t v)
{
    metrics_family(out, name, METRIC_COUNTER, help);
    metrics_value(out, name, "", v);
}

static void show_latency(struct buf *out, const char *name, const char *help,
                         const struct latency *l)
{
    metrics_family(out, name, METRIC_HISTOGRAM, help);
    metrics_latency(out, name, "", l);
}

static void show_node(struct host_shared *h, msec_t now, struct buf *out)
{
    const struct host_figures *f = &h->figures;
    uint64_t free_bytes, total_bytes;
    view_disk(h, &free_bytes, &total_bytes);
    show_gauge(out, "oneid_node_up_seconds", "Since the node began to serve",
               (uint64_t)(now - h->serving_since) / 1000);
    show_gauge(out, "oneid_node_map_epoch", "Epoch of its cluster map", h->map.epoch);
    show_gauge(out, "oneid_node_disk_full", "1: the log cannot be written, writes are refused",
               atomic_load(&h->disk_full));
    show_gauge(out, "oneid_node_disk_free_bytes", "Left on the file system of its folder",
               free_bytes);
    show_gauge(out, "oneid_node_disk_bytes", "Size of the file system of its folder", total_bytes);
    show_gauge(out, "oneid_node_log_bytes", "The log of all its shards, on disk",
               metric_read(&h->log_disk_bytes));
    show_counter(out, "oneid_node_refused_messages_total", "Malformed or foreign messages",
                 metric_read(&h->refused_frames));
    show_counter(out, "oneid_node_queries_failed_total", "Segment questions that ended in an error",
                 metric_read(&f->queries_failed));
    show_counter(out, "oneid_node_checkpoints_failed_total", "Checkpoints given up on a full disk",
                 metric_read(&f->checkpoints_failed));
    show_latency(out, "oneid_node_query_seconds", "Segment questions, without waiting", &f->query);
    show_latency(out, "oneid_node_log_write_seconds", "Synced transactions of the log",
                 &f->log_write);
    show_latency(out, "oneid_node_checkpoint_seconds", "Checkpoints with their index files",
                 &f->checkpoint);
}

static void show_security(const struct net *net, struct buf *out)
{
    const struct security_counters *c = security_counters(net); /* NULL: plain, nothing counted */
#define X(name, what)                                                                              \
    show_counter(out, "oneid_security_" #name "_total", "Security: " what, c ? c->name : 0);
    SECURITY_COUNTERS(X)
#undef X
}

void figures_show(void *host, struct buf *out)
{
    struct host_shared *h = host;
    msec_t now = clock_mono_ms();
    struct shot *shots = calloc(h->n_shards + 1, sizeof *shots);
    size_t n = 0;
    for (size_t i = 0; shots && i < h->n_shards; i++)
        n += host_shard(h, (shard_id)i) && take(&h->shards[i], now, &shots[n]);
    show_node(h, now, out);
    show_security(h->net, out);
    show_shards(shots, n, out);
    show_ages(shots, n, out);
    show_lags(shots, n, h->node, out);
    show_refused(shots, n, out);
    show_commits(shots, n, out);
    free(shots);
}

static void say(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

static void say_of_shard(struct buf *out, shard_id shard, const char *text)
{
    char line[80];
    (void)snprintf(line, sizeof line, "shard %u %s", shard, text);
    say(out, line);
}

bool figures_is_serving(void *host, struct buf *out)
{
    struct host_shared *h = host;
    msec_t now = clock_mono_ms();
    struct shot x;
    if (atomic_load(&h->stopping)) {
        say(out, "shutting down");
        return false;
    }
    if (atomic_load(&h->disk_full)) {
        say(out, "the disk is full");
        return false;
    }
    for (size_t i = 0; i < h->n_shards; i++) {
        if (!host_shard(h, (shard_id)i))
            continue;
        if (!take(&h->shards[i], now, &x) || x.st.said_ms > SAID_MS) {
            say_of_shard(out, (shard_id)i, "says nothing");
            return false;
        }
        if (x.st.leader == 0) {
            say_of_shard(out, (shard_id)i, "has no leader");
            return false;
        }
    }
    return true;
}
