#include "gate.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

enum { GATE_LOOK_MS = 20 }; /* how often a waiting reader looks at its `cancelled` */

static void must(int rc)
{
    if (rc != 0)
        abort();
}

void gate_init(struct gate *g)
{
    *g = (struct gate){0};
    pthread_condattr_t attr;
    must(pthread_condattr_init(&attr));
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    must(pthread_mutex_init(&g->lock, NULL));
    must(pthread_cond_init(&g->opened, &attr));
    must(pthread_condattr_destroy(&attr));
}

void gate_close(struct gate *g)
{
    assert(g->readers == 0 && g->waiting == 0);
    must(pthread_cond_destroy(&g->opened));
    must(pthread_mutex_destroy(&g->lock));
}

static void wait_a_little(struct gate *g, msec_t now, msec_t deadline)
{
    msec_t until = now + GATE_LOOK_MS;
    if (deadline != 0 && deadline < until)
        until = deadline;
    struct timespec ts = {.tv_sec = (time_t)(until / 1000),
                          .tv_nsec = (long)(until % 1000) * 1000000};
    (void)pthread_cond_timedwait(&g->opened, &g->lock, &ts);
}

/* The lock is held. */
static enum error_code wait_for_admission(struct gate *g, msec_t deadline, const bool *cancelled)
{
    uint64_t round = g->round;
    g->waiting++;
    while (g->round == round) {
        enum error_code code = ERR_OK;
        msec_t now = clock_mono_ms();
        if (cancelled && __atomic_load_n(cancelled, __ATOMIC_RELAXED))
            code = ERR_CANCELLED;
        else if (deadline != 0 && now >= deadline)
            code = ERR_TIMEOUT;
        if (code != ERR_OK) {
            g->waiting--;
            return code;
        }
        wait_a_little(g, now, deadline);
    }
    return ERR_OK; /* gate_write_end counted us among the readers */
}

enum error_code gate_read(struct gate *g, msec_t deadline_mono_ms, const bool *cancelled)
{
    enum error_code code = ERR_OK;
    must(pthread_mutex_lock(&g->lock));
    if (g->writing || g->announced)
        code = wait_for_admission(g, deadline_mono_ms, cancelled);
    else
        g->readers++;
    must(pthread_mutex_unlock(&g->lock));
    return code;
}

void gate_read_end(struct gate *g)
{
    must(pthread_mutex_lock(&g->lock));
    assert(g->readers > 0);
    g->readers--;
    must(pthread_mutex_unlock(&g->lock));
}

bool gate_write(struct gate *g)
{
    must(pthread_mutex_lock(&g->lock));
    bool in = g->readers == 0;
    if (in)
        g->writing = true;
    must(pthread_mutex_unlock(&g->lock));
    return in;
}

void gate_announce(struct gate *g)
{
    must(pthread_mutex_lock(&g->lock));
    g->announced = true;
    must(pthread_mutex_unlock(&g->lock));
}

void gate_write_end(struct gate *g)
{
    must(pthread_mutex_lock(&g->lock));
    g->writing = g->announced = false;
    g->readers += g->waiting;
    g->waiting = 0;
    g->round++;
    must(pthread_cond_broadcast(&g->opened));
    must(pthread_mutex_unlock(&g->lock));
}
