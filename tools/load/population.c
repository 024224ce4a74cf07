#include <load/population.h>

#include <string.h>

/* Zones are at most 14 hours from UTC, and a day begins once: halve what is left. */
msec_t population_day_start(int32_t day)
{
    msec_t lo = ((msec_t)day - 1) * MSEC_PER_DAY, hi = ((msec_t)day + 1) * MSEC_PER_DAY;
    while (lo < hi) {
        msec_t mid = lo + (hi - lo) / 2;
        if (clock_day_of_ms(mid) >= day)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

enum error_code population_today(const struct load_options *o, int32_t *today, struct error *err)
{
    *today = clock_day_of_ms(clock_wall_ms());
    if (!o->today)
        return ERR_OK;
    if (strlen(o->today) != 10 || clock_parse_date(o->today, today))
        return error_set(err, ERR_USAGE, "--today: expected YYYY-MM-DD");
    return ERR_OK;
}

static uint32_t share_of(double given, uint32_t usual)
{
    return given < 0 ? usual : (uint32_t)(given * (double)GEN_PPM + 0.5);
}

enum error_code population_init(const struct load_options *o, struct gen *g, int32_t *today,
                                struct error *err)
{
    enum error_code rc = population_today(o, today, err);
    if (rc)
        return rc;
    struct gen_options p;
    gen_options_default(&p);
    p.persons = o->persons;
    p.events = o->events;
    p.seed = o->seed;
    p.shuffle = o->shuffle;
    p.split = share_of(o->split, p.split);
    p.never = share_of(o->never, p.never);
    p.resent = share_of(o->resent, p.resent);
    p.late = share_of(o->late, p.late);
    p.from_ms = population_day_start(*today - POPULATION_DAYS + 1);
    p.to_ms = population_day_start(*today + 1);
    return gen_init(g, &p, err);
}
