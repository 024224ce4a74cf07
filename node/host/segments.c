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

void shard_show_segments(struct shard *s)
{
    struct catalogue *now = machine_catalogue(s->machine), *was = s->catalogue;
    if (now == was)
        return;
    (void)catalogue_keep(now);
    must(pthread_mutex_lock(&s->catalogue_lock));
    s->catalogue = now;
    must(pthread_mutex_unlock(&s->catalogue_lock));
    catalogue_drop(was);
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
