/* Another replica's state in place of this one's, when the log of the group begins after ours ends.
 *
 *   FETCHING ── install.mdb is whole, checked and durable ──▶ FETCHED ── no checkpoint runs ──▶
 *   LOGGING ── the log has dropped its entries and begins after the snapshot ──▶ state in place
 *
 * A crash may come anywhere. install_resume looks at what there is: as long as the log has not
 * dropped its entries, the old state is the right one and install.mdb goes; from then on the log
 * begins after the old state, and install.mdb is put in place. What was fetched may be ahead of the
 * snapshot, and so of the log until the leader has sent the rest: the log remembers by how much. */
#include "parts.h"
#include "record.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { AGAIN_MS = 1000, PATH_BYTES = 700 };

/* --- in the log --- */

enum error_code install_put_log(struct wal *wal, shard_id shard, const struct replica_write *w,
                                uint64_t applied, struct error *err)
{
    struct wal_snapshot s = {.index = w->snapshot.index,
                             .term = w->snapshot.term,
                             .conf_index = w->snapshot.conf_index,
                             .conf = w->snapshot.conf};
    enum error_code rc = wal_trim(wal, shard, s.index, &s, err);
    if (rc == ERR_OK)
        rc = wal_append(wal, shard, s.index + 1, NULL, 0, err);
    return rc == ERR_OK ? record_put(wal, RECORD_INSTALLED, shard, applied, err) : rc;
}

/* --- at start --- */

static void path_of(const struct shard *s, const char *name, char *path)
{
    (void)snprintf(path, PATH_BYTES, "%s/%s", s->folder, name);
}

/* How far the state in the shard's folder is. */
static enum error_code durable_index(const struct store_options *o, uint64_t *index,
                                     struct error *err)
{
    struct store *old;
    enum error_code rc = store_open(o, &old, err);
    if (rc != ERR_OK)
        return rc;
    *index = store_durable_index(old);
    store_close(old);
    return ERR_OK;
}

static enum error_code resume(struct shard *s, const char *file, uint64_t begins_after,
                              const struct store_options *o, struct error *err)
{
    uint64_t applied = 0;
    enum error_code rc = store_check_copy(o, file, &applied, err);
    if (rc == ERR_OK && applied < begins_after)
        rc = error_set(err, ERR_CORRUPT, "%s ends at %llu but the log begins after %llu", file,
                       (unsigned long long)applied, (unsigned long long)begins_after);
    if (rc == ERR_OK)
        rc = store_install(o, file, err);
    if (rc != ERR_OK)
        return error_wrap(err, "a state that was being put in place");
    log_event(s->shared->log, LOG_LEVEL_INFO, "state_in_place", "shard=%u applied=%llu resumed=1",
              s->id, (unsigned long long)applied);
    return ERR_OK;
}

enum error_code install_resume(struct shard *s, struct wal *wal, const struct store_options *o,
                               struct error *err)
{
    char file[PATH_BYTES];
    struct wal_shard w;
    uint64_t durable = 0;
    path_of(s, "incoming.mdb", file);
    (void)unlink(file);
    path_of(s, "install.mdb", file);
    if (access(file, F_OK) != 0)
        return ERR_OK;
    enum error_code rc = wal_load(wal, s->id, &w, err);
    if (rc == ERR_OK)
        rc = durable_index(o, &durable, err);
    if (rc != ERR_OK)
        return rc;
    if (durable < w.snapshot.index)
        return resume(s, file, w.snapshot.index, o, err);
    (void)unlink(file);
    return ERR_OK;
}

/* --- for other threads --- */

bool shard_use(struct shard *s)
{
    if (atomic_load_explicit(&s->replacing, memory_order_acquire) ||
        pthread_rwlock_tryrdlock(&s->in_place) != 0)
        return false;
    /* Between the two looks it may have been given up, and be on its way back: opened without the
     * lock. */
    if (!atomic_load_explicit(&s->replacing, memory_order_acquire))
        return true;
    shard_unuse(s);
    return false;
}

void shard_unuse(struct shard *s)
{
    (void)pthread_rwlock_unlock(&s->in_place);
}

/* --- the way of a state --- */

static bool keep_snapshot(struct replica_snapshot *to, const struct replica_snapshot *from)
{
    uint8_t *conf = malloc(from->conf.len + 1);
    if (!conf)
        return false;
    if (from->conf.len > 0)
        memcpy(conf, from->conf.data, from->conf.len);
    *to = *from;
    to->conf = bytes_of(conf, from->conf.len);
    return true;
}

static void drop_snapshot(struct replica_snapshot *s)
{
    union {
        const uint8_t *in;
        void *out;
    } conf = {s->conf.data};
    free(conf.out);
    *s = (struct replica_snapshot){0};
}

static void fetch(struct shard *s)
{
    struct install *i = &s->install;
    struct message *m = message_new(MESSAGE_FETCH_STATE);
    m->shard = s;
    m->node = node_of_replica(i->from);
    m->seq = i->snapshot.index;
    i->phase = INSTALL_FETCHING;
    i->again_ms = 0;
    message_send(s->to_transfer, m);
}

void install_begin(struct shard *s, const struct replica_install *of)
{
    struct install *i = &s->install;
    struct error err;
    if (s->stopping)
        return; /* it comes again after the next start */
    drop_snapshot(&i->snapshot);
    if (!keep_snapshot(&i->snapshot, &of->snapshot)) {
        (void)error_set(&err, ERR_NOMEM, "no memory to fetch a state");
        host_fatal(s->shared, "install_failed", s->id, &err);
    }
    i->from = of->from;
    log_event(s->shared->log, LOG_LEVEL_INFO, "state_needed", "shard=%u from=%u index=%llu", s->id,
              node_of_replica(i->from), (unsigned long long)i->snapshot.index);
    fetch(s);
}

void install_fetched(struct shard *s, enum error_code code, uint64_t applied)
{
    struct install *i = &s->install;
    if (i->phase != INSTALL_FETCHING)
        return;
    if (code == ERR_OK && applied >= i->snapshot.index) {
        i->phase = INSTALL_FETCHED;
        i->applied = applied;
        return;
    }
    /* Any replica's committed state will do, and who leads has one or will soon. */
    if (s->leader_id != 0 && s->leader_id != s->replica_id)
        i->from = s->leader_id;
    i->again_ms = clock_mono_ms() + AGAIN_MS;
}

static void tell_log(struct shard *s)
{
    struct install *i = &s->install;
    struct message *m = message_new(MESSAGE_LOG_INSTALL);
    m->shard = s;
    m->seq = i->applied;
    m->write.snapshot = i->snapshot; /* stays until LOG_INSTALLED */
    i->phase = INSTALL_LOGGING;
    message_send(s->to_log, m);
}

void install_tick(struct shard *s, msec_t now)
{
    struct install *i = &s->install;
    if (i->phase == INSTALL_FETCHING && i->again_ms != 0 && now >= i->again_ms)
        fetch(s);
    if (i->phase == INSTALL_FETCHED && !s->checkpointing)
        tell_log(s);
}

bool install_is_pending(const struct shard *s)
{
    return s->install.phase != INSTALL_NONE;
}

void install_stop(struct shard *s)
{
    struct install *i = &s->install;
    if (i->phase == INSTALL_LOGGING)
        s->gave_up =
            true; /* what is here is worth no checkpoint: the next start puts it in place */
    else
        i->phase = INSTALL_NONE;
}

static enum error_code replace_state(struct shard *s, struct error *err)
{
    char file[PATH_BYTES];
    struct store_options o = shard_store_options(s);
    path_of(s, "install.mdb", file);
    shard_close_state(s);
    enum error_code rc = store_install(&o, file, err);
    return rc == ERR_OK ? shard_open_state(s, err) : rc;
}

/* The log begins after the snapshot now. */
void install_logged(struct shard *s)
{
    struct install *i = &s->install;
    struct error err;
    struct replica_effects effects = {0};
    msec_t began = clock_mono_ms();
    if (s->stopping)
        return;
    atomic_store_explicit(&s->replacing, true, memory_order_release);
    (void)pthread_rwlock_wrlock(&s->in_place);
    if (replace_state(s, &err) != ERR_OK)
        host_fatal(s->shared, "install_failed", s->id, &err);
    (void)pthread_rwlock_unlock(&s->in_place);
    atomic_store_explicit(&s->replacing, false, memory_order_release);
    i->phase = INSTALL_NONE;
    drop_snapshot(&i->snapshot);
    log_event(s->shared->log, LOG_LEVEL_INFO, "state_in_place", "shard=%u applied=%llu ms=%lld",
              s->id, (unsigned long long)s->applied, (long long)(clock_mono_ms() - began));
    (void)replica_installed(s->replica, clock_mono_ms(), s->applied, &effects);
    shard_perform(s, &effects);
}

void install_close(struct shard *s)
{
    drop_snapshot(&s->install.snapshot);
}
