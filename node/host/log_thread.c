/* The one thread that writes the node's log: everything that waits goes into one synced
 * transaction, whichever shard it is from. */
#include "placing.h"

#include <base/clock.h>
#include <meta/meta.h>

#include <string.h>

enum { GROUP_MAX = 1024, DISK_FULL_RETRY_MS = 1000, READ_BYTES_MAX = 8 << 20 };

struct write_group {
    struct message *items[GROUP_MAX];
    size_t n;
    struct message *forget; /* after those, a part; NULL: nothing */
    bool is_forgotten;      /* with that part all of it is */
    struct shard *open;     /* is to be opened after all of these; NULL: none */
    bool stop;
};

/* --- reading what followers lack --- */

struct log_reading {
    struct buf data;    /* of all entries, back to back */
    struct buf entries; /* struct replica_entry, their data not yet set */
    size_t n, max;
};

static enum error_code read_entry(void *ctx, uint64_t index, const struct wal_entry *e)
{
    struct log_reading *r = ctx;
    if (r->n == r->max || (r->n > 0 && r->data.len + e->data.len > READ_BYTES_MAX))
        return ERR_CANCELLED; /* enough */
    struct replica_entry entry = {
        .index = index, .term = e->term, .type = e->type, .data = {.len = e->data.len}};
    buf_put(&r->entries, &entry, sizeof entry);
    if (e->data.len)
        buf_put(&r->data, e->data.data, e->data.len);
    r->n++;
    return ERR_OK;
}

/* One allocation: the entries, then their data. */
static struct replica_entry *join_entries(const struct log_reading *r)
{
    struct replica_entry *list = malloc(r->entries.len + r->data.len + 1);
    if (!list)
        return NULL;
    uint8_t *at = (uint8_t *)list + r->entries.len;
    memcpy(list, r->entries.data, r->entries.len);
    if (r->data.len)
        memcpy(at, r->data.data, r->data.len);
    for (size_t i = 0; i < r->n; i++) {
        list[i].data.data = at;
        at += list[i].data.len;
    }
    return list;
}

/* Answers with what the log has; nothing where it was trimmed meanwhile. */
static void read_entries(struct log_thread *t, struct message *m)
{
    struct log_reading r = {.max = m->n};
    struct error err;
    enum error_code rc = wal_read(t->wal, m->shard->id, m->seq, read_entry, &r, &err);
    if (rc != ERR_OK && rc != ERR_CANCELLED && rc != ERR_NOT_FOUND)
        host_fatal(t->shared, "log_damaged", m->shard->id, &err);
    m->entries = r.n ? join_entries(&r) : NULL;
    m->n = m->entries ? r.n : 0;
    buf_free(&r.data);
    buf_free(&r.entries);
    m->kind = MESSAGE_LOG_ENTRIES;
    message_send(m->shard->to_shard, m);
}

/* --- writing --- */

static void add_forgetting(struct log_thread *t, struct message *m)
{
    struct message **at = &t->forgetting;
    while (*at)
        at = &(*at)->next;
    *at = m;
}

static void take_group(struct log_thread *t, struct write_group *g)
{
    struct message *m;
    while (g->n < GROUP_MAX && (m = inbox_take(t->inbox))) {
        if (m->kind == MESSAGE_LOG_WRITE || m->kind == MESSAGE_LOG_INSTALL ||
            m->kind == MESSAGE_MAP) {
            g->items[g->n++] = m;
            continue;
        }
        if (m->kind == MESSAGE_LOG_FORGET) {
            add_forgetting(t, m);
            continue;
        }
        if (m->kind == MESSAGE_OPEN) { /* in its place: what was sent before it is written before */
            g->open = m->shard;
            message_free(m);
            return;
        }
        if (m->kind == MESSAGE_LOG_READ) {
            read_entries(t, m);
            continue;
        }
        if (m->kind == MESSAGE_STOP)
            g->stop = true;
        message_free(m);
    }
}

static enum error_code put_entries(struct log_thread *t, shard_id shard,
                                   const struct replica_write *w, struct error *err)
{
    struct wal_entry entries[64];
    uint64_t index = w->entries[0].index;
    for (size_t done = 0; done < w->n_entries;) {
        size_t n = 0;
        for (; n < sizeof entries / sizeof *entries && done + n < w->n_entries; n++) {
            const struct replica_entry *e = &w->entries[done + n];
            entries[n] = (struct wal_entry){.term = e->term, .type = e->type, .data = e->data};
        }
        enum error_code rc = wal_append(t->wal, shard, index + done, entries, n, err);
        if (rc != ERR_OK)
            return rc;
        done += n;
    }
    return ERR_OK;
}

static enum error_code put_write(struct log_thread *t, const struct message *m, struct error *err)
{
    if (m->kind == MESSAGE_MAP)
        return meta_put_map(t->wal, buf_bytes(&m->content), err);
    shard_id shard = m->shard->id;
    const struct replica_write *w = &m->write;
    enum error_code rc = ERR_OK;
    if (m->kind == MESSAGE_LOG_INSTALL)
        return install_put_log(t->wal, shard, w, m->seq, err);
    if (w->has_vote)
        rc = wal_put_vote(t->wal, shard, w->term, w->vote, err);
    if (rc == ERR_OK && w->n_entries > 0)
        rc = put_entries(t, shard, w, err);
    if (rc == ERR_OK && w->has_trim) {
        struct wal_snapshot s = {.index = w->snapshot.index,
                                 .term = w->snapshot.term,
                                 .conf_index = w->snapshot.conf_index,
                                 .conf = w->snapshot.conf};
        rc = wal_trim(t->wal, shard, w->trim_upto, &s, err);
    }
    return rc;
}

static enum error_code write_group(struct log_thread *t, struct write_group *g, struct error *err)
{
    enum error_code rc = wal_begin(t->wal, err);
    if (rc != ERR_OK)
        return rc;
    for (size_t i = 0; i < g->n && rc == ERR_OK; i++)
        rc = put_write(t, g->items[i], err);
    if (rc == ERR_OK && g->forget)
        rc = remains_forget(t->wal, g->forget->shard->id, &g->is_forgotten, err);
    if (rc == ERR_OK)
        return wal_commit(t->wal, err);
    wal_abort(t->wal);
    return rc;
}

/* Writes the group, waiting out a full disk: nobody was told that it is durable. */
static void make_durable(struct log_thread *t, struct write_group *g)
{
    struct error err;
    enum error_code rc;
    while ((rc = write_group(t, g, &err)) == ERR_DISK_FULL) {
        if (!atomic_exchange(&t->shared->disk_full, true))
            log_event(t->shared->log, LOG_LEVEL_ERROR, "disk_full",
                      "what=log action=\"free space; writes are refused until then\" text=\"%s\"",
                      err.msg);
        if (atomic_load(&t->shared->stopping))
            host_fatal(t->shared, "stopped_on_full_disk", 0, &err);
        struct waitable none = {.fd = -1};
        (void)endpoint_wait(&none, 0, DISK_FULL_RETRY_MS);
    }
    if (rc != ERR_OK)
        host_fatal(t->shared, "log_write_failed", 0, &err);
    if (atomic_exchange(&t->shared->disk_full, false))
        log_event(t->shared->log, LOG_LEVEL_INFO, "disk_full_over", "what=log");
}

/* A node that stops leaves the rest to its next start. */
static void go_on_forgetting(struct log_thread *t, struct write_group *g)
{
    if (!g->is_forgotten)
        return;
    t->forgetting = g->forget->next;
    g->forget->next = NULL;
    g->forget->kind = MESSAGE_LOG_FORGOTTEN;
    message_send(g->forget->shard->to_shard, g->forget);
}

/* Writes the group, and says so to the shards. */
static void write_all(struct log_thread *t, struct write_group *g)
{
    usec_t began = clock_mono_us();
    make_durable(t, g);
    latency_add(&t->shared->figures.log_write, clock_mono_us() - began);
    atomic_store_explicit(&t->shared->log_disk_bytes, wal_disk_bytes(t->wal), memory_order_relaxed);
    for (size_t i = 0; i < g->n; i++) {
        struct message *m = g->items[i];
        if (m->kind == MESSAGE_MAP) {
            message_free(m);
            continue;
        }
        m->kind = m->kind == MESSAGE_LOG_INSTALL ? MESSAGE_LOG_INSTALLED : MESSAGE_LOG_DONE;
        message_send(m->shard->to_shard, m);
    }
    go_on_forgetting(t, g);
}

void *log_thread_main(void *log_thread)
{
    struct log_thread *t = log_thread;
    struct write_group g = {.n = 0};
    struct waitable wait = {.inbox = t->inbox};
    while (!g.stop) {
        g.n = 0;
        g.open = NULL;
        g.is_forgotten = false;
        take_group(t, &g);
        g.forget = t->forgetting;
        if (g.n > 0 || g.forget)
            write_all(t, &g);
        if (g.open)
            placing_open(t->shared, t->wal, g.open);
        if (g.n == 0 && !g.forget && !g.open && !g.stop)
            (void)endpoint_wait(&wait, 1, -1);
    }
    while (t->forgetting) {
        struct message *m = t->forgetting;
        t->forgetting = m->next;
        message_free(m);
    }
    return NULL;
}
