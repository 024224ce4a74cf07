/* What the shard thread does for watched segments: the index is told what the log says of them at
 * the end of each entry, and the watch thread when there are events. */
#include "parts.h"

#include <index/watch.h>

enum { TEXTS_MAX = 16 << 20 };

static void tell_watches(struct shard *s)
{
    struct index_watch list[INDEX_WATCHES_MAX];
    struct arena texts;
    arena_init(&texts, TEXTS_MAX);
    index_set_watches(s->index, list, machine_watched(s->machine, &texts, list));
    arena_close(&texts);
}

/* The day of the log, so that every replica has moved on at the same entry. */
static void tell_day(struct shard *s)
{
    s->index_today = machine_today(s->machine);
    index_expire(s->index, s->index_today);
    index_set_today(s->index, s->index_today);
}

void shard_end_index_entry(struct shard *s, msec_t time_ms)
{
    if (s->index_today != machine_today(s->machine))
        tell_day(s);
    if (s->watch_generation != machine_watch_generation(s->machine)) {
        tell_watches(s);
        s->watch_generation = machine_watch_generation(s->machine);
    }
    index_end_entry(s->index, s->applied, time_ms);
}

void shard_tell_news(struct shard *s)
{
    uint64_t pushed = index_watch_pushed(s->index);
    if (pushed == s->news_told)
        return;
    s->news_told = pushed;
    if (atomic_exchange_explicit(&s->news_sent, true, memory_order_acq_rel))
        return; /* the watch thread has not looked since the last time */
    struct message *m = message_new(MESSAGE_NEWS);
    m->shard = s;
    message_send(s->to_watch, m);
}
