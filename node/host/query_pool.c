#include "query_pool.h"

#include <assert.h>

static void must(int rc)
{
    assert(rc == 0);
    (void)rc;
}

enum error_code query_pool_open(struct query_pool *p, size_t n_threads, size_t n_shards,
                                struct error *err)
{
    p->last = &p->first;
    p->n_threads = n_threads;
    p->n_shards = n_shards;
    p->work = calloc(n_threads, sizeof *p->work);
    if (!p->work)
        return error_set(err, ERR_NOMEM, "query threads");
    must(pthread_mutex_init(&p->lock, NULL));
    must(pthread_cond_init(&p->more, NULL));
    return ERR_OK;
}

void query_pool_close(struct query_pool *p)
{
    if (!p->work)
        return;
    while (p->first) {
        struct message *m = p->first;
        p->first = m->next;
        message_free(m);
    }
    free(p->work);
    p->work = NULL;
    must(pthread_mutex_destroy(&p->lock));
    must(pthread_cond_destroy(&p->more));
}

bool query_pool_put(struct query_pool *p, struct message *m)
{
    must(pthread_mutex_lock(&p->lock));
    bool ok = !p->stopping && p->n_waiting < QUERY_QUEUE_MAX;
    if (ok) {
        m->next = NULL;
        *p->last = m;
        p->last = &m->next;
        p->n_waiting++;
        must(pthread_cond_signal(&p->more));
    }
    must(pthread_mutex_unlock(&p->lock));
    return ok;
}

/* --- with the lock held --- */

static bool is_crowded(const struct query_pool *p, uint16_t shard)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_threads; i++)
        n += p->work[i].busy && p->work[i].shard == shard;
    return p->n_threads > 1 && p->n_shards > 1 && n + 1 >= p->n_threads;
}

static void unlink_at(struct query_pool *p, struct message **at)
{
    struct message *m = *at;
    *at = m->next;
    if (p->last == &m->next)
        p->last = at;
    m->next = NULL;
    p->n_waiting--;
}

static struct message *next_message(struct query_pool *p)
{
    for (struct message **at = &p->first; *at; at = &(*at)->next) {
        struct message *m = *at;
        if (!p->stopping && is_crowded(p, m->envelope.shard))
            continue;
        unlink_at(p, at);
        return m;
    }
    return NULL;
}

static bool is_of(const struct peer *a, const struct peer *b)
{
    return a->len == b->len && memcmp(a->id, b->id, a->len) == 0;
}

static void cancel_work(struct query_work *w)
{
    __atomic_store_n(&w->cancelled, true, __ATOMIC_RELAXED);
}

/* --- the rest --- */

struct message *query_pool_take(struct query_pool *p, size_t thread)
{
    struct message *m;
    must(pthread_mutex_lock(&p->lock));
    while (!(m = next_message(p)) && !p->stopping)
        must(pthread_cond_wait(&p->more, &p->lock));
    if (m) {
        struct query_work *w = &p->work[thread];
        w->busy = true;
        w->peer = m->peer;
        w->request_id = m->envelope.request_id;
        w->shard = m->envelope.shard;
        __atomic_store_n(&w->cancelled, p->stopping, __ATOMIC_RELAXED);
    }
    must(pthread_mutex_unlock(&p->lock));
    return m;
}

void query_pool_done(struct query_pool *p, size_t thread)
{
    must(pthread_mutex_lock(&p->lock));
    p->work[thread].busy = false;
    if (p->first) /* one that waited for this shard may go now, and not to this thread */
        must(pthread_cond_signal(&p->more));
    must(pthread_mutex_unlock(&p->lock));
}

void query_pool_cancel(struct query_pool *p, const struct peer *peer, uint64_t request_id)
{
    must(pthread_mutex_lock(&p->lock));
    for (struct message **at = &p->first; *at;) {
        struct message *m = *at;
        if (m->envelope.request_id != request_id || !is_of(&m->peer, peer)) {
            at = &m->next;
            continue;
        }
        unlink_at(p, at);
        message_free(m);
    }
    for (size_t i = 0; i < p->n_threads; i++) {
        struct query_work *w = &p->work[i];
        if (w->busy && w->request_id == request_id && is_of(&w->peer, peer))
            cancel_work(w);
    }
    must(pthread_mutex_unlock(&p->lock));
}

void query_pool_stop(struct query_pool *p)
{
    must(pthread_mutex_lock(&p->lock));
    p->stopping = true;
    for (size_t i = 0; i < p->n_threads; i++)
        cancel_work(&p->work[i]);
    must(pthread_cond_broadcast(&p->more));
    must(pthread_mutex_unlock(&p->lock));
}
