/* The queue in front of a node's query threads, and what each of them is at.
 *
 * First come, first served, with one exception: where there are several of both, one shard never
 * has all threads, so that its long questions do not hold up those of other shards. Any thread may
 * call. */
#ifndef HOST_QUERY_POOL_H
#define HOST_QUERY_POOL_H

#include "message.h"

#include <pthread.h>
#include <stdatomic.h>

enum { QUERY_QUEUE_MAX = 16384 };

/* What a query thread is at. */
struct query_work {
    bool busy, cancelled; /* `cancelled` is read by the query without the lock: relaxed atomic */
    struct peer peer;
    uint64_t request_id;
    uint16_t shard;
};

struct query_pool {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct message *first, **last;
    size_t n_waiting;
    struct query_work *work; /* by thread */
    size_t n_threads, n_shards;
    bool stopping;
};

/* ERR_NOMEM. */
enum error_code query_pool_open(struct query_pool *p, size_t n_threads, size_t n_shards,
                                struct error *err);
void query_pool_close(struct query_pool *p);
/* Takes the message; false, and it is still the caller's: the queue is full, or the
 * pool was stopped. */
bool query_pool_put(struct query_pool *p, struct message *m);
/* Waits for the next message; the thread is busy with it until query_pool_done. NULL: the pool was
 * stopped, and nothing is left. */
struct message *query_pool_take(struct query_pool *p, size_t thread);
void query_pool_done(struct query_pool *p, size_t thread);
/* What the asker does not want any more: dropped where it waits, stopped where it runs. */
void query_pool_cancel(struct query_pool *p, const struct peer *peer, uint64_t request_id);
/* Stops what runs; what waits is still handed out, to be refused. */
void query_pool_stop(struct query_pool *p);

#endif
