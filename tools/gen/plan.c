#include <gen/gen.h>

#include "private.h"

#include <string.h>

enum { PERSONS_PER_WAVE = 1000, THREE_PARTS_PPM = 300000 };

void gen_options_default(struct gen_options *o)
{
    *o = (struct gen_options){.persons = 100000,
                              .events = 333334,
                              .seed = 1,
                              .resent = 10000,
                              .late = 30000,
                              .split = 300000,
                              .never = 20000};
}

/* floor(n * ppm / 10^6) without overflow. */
static uint64_t share(uint64_t n, uint64_t ppm)
{
    return n / GEN_PPM * ppm + n % GEN_PPM * ppm / GEN_PPM;
}

struct classes {
    uint64_t three, three_never, two, two_never;
};

/* Of the first n persons. Taken as differences between waves, so that no rounding adds up. */
static struct classes classes_of(const struct gen_options *o, uint64_t n)
{
    uint64_t split = share(n, o->split);
    struct classes c = {.three = share(split, THREE_PARTS_PPM)};
    c.two = split - c.three;
    c.three_never = share(c.three, o->never);
    c.two_never = share(c.two, o->never);
    return c;
}

static uint64_t plan_size(const struct gen_options *o)
{
    struct classes c = classes_of(o, o->persons);
    uint64_t links = c.three + c.two - c.three_never - c.two_never;
    return o->persons + 2 * c.three + c.two + links;
}

uint64_t gen_least_events(const struct gen_options *o)
{
    uint64_t n = plan_size(o);
    while (n - share(n, o->resent) < plan_size(o))
        n += share(n, o->resent) + 1;
    return n;
}

static uint64_t wave_profiles(const struct gen_wave *w)
{
    return w->n_persons + 2 * w->three_never + w->two_never;
}

static void plan_persons(struct gen *g)
{
    const struct gen_options *o = &g->options;
    unsigned last = g->n_waves - 1;
    uint64_t profiles = 0;
    for (unsigned i = 0; i < last; i++) {
        struct gen_wave *w = &g->waves[i];
        uint64_t end = gen_wave_end(o->persons, last, i);
        w->first_person = i ? gen_wave_end(o->persons, last, i - 1) : 0;
        w->n_persons = end - w->first_person;
        struct classes a = classes_of(o, w->first_person), b = classes_of(o, end);
        w->three_never = b.three_never - a.three_never;
        w->three_linked = b.three - a.three - w->three_never;
        w->two_never = b.two_never - a.two_never;
        w->two_linked = b.two - a.two - w->two_never;
        w->n_parts =
            w->n_persons + 2 * (w->three_linked + w->three_never) + w->two_linked + w->two_never;
        w->first_profile = profiles;
        profiles += wave_profiles(w);
        g->waves[i + 1].n_links = w->three_linked + w->two_linked;
    }
    g->waves[last].first_person = o->persons;
    g->waves[last].first_profile = profiles;
    g->n_profiles = profiles;
}

static void plan_places(struct gen *g)
{
    uint64_t extra = g->options.events - g->n_resent - plan_size(&g->options);
    uint64_t start = 0;
    for (unsigned i = 0; i < g->n_waves; i++) {
        struct gen_wave *w = &g->waves[i];
        w->n_extra =
            gen_wave_end(extra, g->n_waves, i) - (i ? gen_wave_end(extra, g->n_waves, i - 1) : 0);
        w->n_resent = gen_wave_end(g->n_resent, g->n_waves, i) -
                      (i ? gen_wave_end(g->n_resent, g->n_waves, i - 1) : 0);
        w->start = start;
        start += gen_wave_size(w);
    }
}

static enum error_code check_options(const struct gen_options *o, struct error *err)
{
    if (o->persons == 0 || o->persons > GEN_PERSONS_MAX)
        return error_set(err, ERR_INVALID, "persons: expected 1 to %llu",
                         (unsigned long long)GEN_PERSONS_MAX);
    if (o->resent > GEN_PPM / 2 || o->late > GEN_PPM || o->split > GEN_PPM || o->never > GEN_PPM)
        return error_set(err, ERR_INVALID, "shares: expected at most 1, re-sent at most 0.5");
    if (o->events < gen_least_events(o))
        return error_set(err, ERR_INVALID, "events: so many persons need at least %llu",
                         (unsigned long long)gen_least_events(o));
    if (o->from_ms < 0 || o->to_ms <= o->from_ms ||
        (uint64_t)(o->to_ms - o->from_ms) / o->events < GEN_STEP_LEAST_MS)
        return error_set(err, ERR_INVALID,
                         "events: too many for the time they are spread over, each needs %d ms",
                         GEN_STEP_LEAST_MS);
    return ERR_OK;
}

enum error_code gen_init(struct gen *g, const struct gen_options *o, struct error *err)
{
    memset(g, 0, sizeof *g);
    enum error_code rc = check_options(o, err);
    if (rc)
        return rc;
    g->options = *o;
    uint64_t waves = o->persons / PERSONS_PER_WAVE;
    g->n_waves = 1 + (unsigned)(waves < 1 ? 1 : waves > GEN_WAVES_MAX ? GEN_WAVES_MAX : waves);
    g->n_resent = share(o->events, o->resent);
    g->step_ms = (o->to_ms - o->from_ms) / (msec_t)o->events;
    plan_persons(g);
    plan_places(g);
    return ERR_OK;
}
