/* What the shard thread does for the saved segments: query threads get each new catalogue, and the
 * log gets each new day. */
#include "parts.h"

#include <base/clock.h>
#include <segment/catalogue.h>

#include <assert.h>

enum { DAY_RETRY_MS = 1000 };

static void must(int rc)
{
    assert(rc == 0);
    (void)rc;
}

void shard_open_segments(struct shard *s)
{
    must(pthread_mutex_init(&s->catalogue_lock, NULL));
    s->catalogue = catalogue_keep(machine_catalogue(s->machine));
}

void shard_close_segments(struct shard *s)
{
    if (!s->catalogue)
        return;
    catalogue_drop(s->catalogue);
    s->catalogue = NULL;
    must(pthread_mutex_destroy(&s->catalogue_lock));
}

/* The windows that saved segments look through are kept at write time. Those beyond the bound, and
 * those of segments that name them first, are added up when they are asked for. */
static void set_windows(struct shard *s)
{
    struct index_window windows[INDEX_WINDOWS_MAX];
    const struct catalogue *c = s->catalogue;
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (c->entries[i].code == ERR_OK)
            n = index_windows_of(segment_expr(c->entries[i].segment), windows, n,
                                 INDEX_WINDOWS_MAX);
    }
    struct error err;
    if (index_set_windows(s->index, windows, n, &err) != ERR_OK)
        log_event(s->shared->log, LOG_LEVEL_WARN, "windows_not_kept", "shard=%u text=\"%s\"", s->id,
                  err.msg);
}

void shard_start_index(struct shard *s)
{
    set_windows(s);
}

void shard_follow_machine(struct shard *s)
{
    struct catalogue *now = machine_catalogue(s->machine), *was = s->catalogue;
    if (now == was)
        return;
    (void)catalogue_keep(now);
    must(pthread_mutex_lock(&s->catalogue_lock));
    s->catalogue = now;
    must(pthread_mutex_unlock(&s->catalogue_lock));
    catalogue_drop(was);
    set_windows(s);
}

struct catalogue *shard_catalogue(struct shard *s)
{
    must(pthread_mutex_lock(&s->catalogue_lock));
    struct catalogue *c = catalogue_keep(s->catalogue);
    must(pthread_mutex_unlock(&s->catalogue_lock));
    return c;
}

bool shard_wants_day(struct shard *s, msec_t now, struct command *out)
{
    if (!s->leader || s->stopping || now < s->next_day_ms)
        return false;
    s->next_day_ms = now + DAY_RETRY_MS; /* looks at the calendar again then, too */
    *out = (struct command){.type = COMMAND_DAY, .today = clock_day_of_ms(clock_wall_ms())};
    return out->today > machine_today(s->machine);
}
