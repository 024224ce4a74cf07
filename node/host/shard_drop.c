/* A shard that is given up, on its own thread. */
#include "placing.h"

void drop_begin(struct shard *s)
{
    s->drop = DROP_WAITING;
    if (s->retry_checkpoint) { /* it failed on a full disk, and nobody would try it again */
        s->retry_checkpoint = 0;
        s->checkpointing = false;
    }
    if (s->install.phase == INSTALL_FETCHING && s->install.again_ms == 0) {
        struct message *m = message_new(MESSAGE_FETCH_CANCEL);
        m->shard = s;
        message_send(s->to_transfer, m);
    } else if (s->install.phase != INSTALL_LOGGING) {
        s->install.phase = INSTALL_NONE;
    }
}

/* The replica is not asked any more: what it would write would stay in the log. */
void drop_take(struct shard *s, const struct message *m)
{
    if (m->kind == MESSAGE_REQUEST && m->envelope.type != MESSAGE_PEER)
        message_answer_error(s->to_front, m, ERR_WRONG_SHARD, "the shard left this node");
    else if (m->kind == MESSAGE_CHECKPOINT_DONE)
        s->checkpointing = false;
    else if (m->kind == MESSAGE_STATE_FETCHED || m->kind == MESSAGE_LOG_INSTALLED)
        s->install.phase = INSTALL_NONE;
    else if (m->kind == MESSAGE_LOG_ENTRIES)
        s->group.is_loading = false;
    else if (m->kind == MESSAGE_LOG_FORGOTTEN)
        s->drop = DROP_DONE;
    else if (m->kind == MESSAGE_STOP)
        s->stopping = true;
}

void drop_tick(struct shard *s)
{
    if (s->drop != DROP_WAITING || s->checkpointing || s->install.phase != INSTALL_NONE ||
        s->group.is_loading)
        return;
    struct message *m = message_new(MESSAGE_LOG_FORGET);
    m->shard = s;
    s->drop = DROP_LOGGING;
    message_send(s->to_log, m);
}

void drop_end(struct shard *s)
{
    struct message *m;
    struct error err;
    atomic_store_explicit(&s->replacing, true, memory_order_release);
    (void)pthread_rwlock_wrlock(&s->in_place);
    shard_close_replica(s);
    (void)pthread_rwlock_unlock(&s->in_place);
    if (remains_remove(s->folder, &err) != ERR_OK)
        log_event(s->shared->log, LOG_LEVEL_ERROR, "shard_files_left",
                  "shard=%u text=\"%s; they go at the next start\"", s->id, err.msg);
    while ((m = inbox_take(s->inbox))) {
        drop_take(s, m);
        message_free(m);
    }
    log_event(s->shared->log, LOG_LEVEL_INFO, "shard_given_up", "shard=%u", s->id);
    shard_set_state(s, SHARD_ABSENT);
}
