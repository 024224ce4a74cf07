/* Writes frozen memtables and segment indexes to disk, one replica after the other. */
#include "parts.h"

#include <base/clock.h>

#include <stdio.h>

/* The index first: it holds all that the frozen memtable does, and a file that is ahead of the
 * state is good, while one that is behind would have to be made again from the profiles, without
 * the events of watched segments. */
static void save_index(struct checkpoint_thread *t, struct shard *s)
{
    struct error err;
    char path[700];
    (void)snprintf(path, sizeof path, "%s/index", s->folder);
    enum error_code rc = index_save(s->index, path, t->shared->slots.cluster_id, s->id, 0, &err);
    if (rc != ERR_OK) /* it can be made again from the profiles */
        log_event(t->shared->log, LOG_LEVEL_WARN, "index_not_saved", "shard=%u text=\"%s\"", s->id,
                  err.msg);
}

static enum error_code write_checkpoint(struct checkpoint_thread *t, struct shard *s)
{
    struct error err;
    save_index(t, s);
    enum error_code rc = store_write_frozen(s->store, &err);
    if (rc == ERR_DISK_FULL) {
        log_event(t->shared->log, LOG_LEVEL_ERROR, "disk_full",
                  "what=checkpoint shard=%u action=\"free space; it is tried again\" text=\"%s\"",
                  s->id, err.msg);
        return rc;
    }
    if (rc != ERR_OK)
        host_fatal(t->shared, "checkpoint_failed", s->id, &err);
    return ERR_OK;
}

void *checkpoint_thread_main(void *checkpoint_thread)
{
    struct checkpoint_thread *t = checkpoint_thread;
    struct waitable wait = {.inbox = t->inbox};
    for (;;) {
        struct message *m = inbox_take(t->inbox);
        if (!m) {
            (void)endpoint_wait(&wait, 1, -1);
            continue;
        }
        if (m->kind == MESSAGE_STOP) {
            message_free(m);
            return NULL;
        }
        usec_t began = clock_mono_us();
        m->code = write_checkpoint(t, m->shard);
        if (m->code == ERR_OK)
            latency_add(&t->shared->figures.checkpoint, clock_mono_us() - began);
        else
            metric_add(&t->shared->figures.checkpoints_failed, 1);
        m->kind = MESSAGE_CHECKPOINT_DONE;
        message_send(m->shard->to_shard, m);
    }
}
