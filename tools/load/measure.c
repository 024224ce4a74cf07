#include <load/measure.h>

#include <stdlib.h>
#include <string.h>

bool tally_open(struct tally *t, unsigned bits)
{
    memset(t, 0, sizeof *t);
    return histogram_open(&t->latency_us, bits);
}

void tally_close(struct tally *t)
{
    histogram_close(&t->latency_us);
}

void tally_reset(struct tally *t)
{
    struct histogram h = t->latency_us;
    histogram_reset(&h);
    memset(t, 0, sizeof *t);
    t->latency_us = h;
}

void tally_add(struct tally *to, const struct tally *from)
{
    histogram_merge(&to->latency_us, &from->latency_us);
    to->answered += from->answered;
    for (unsigned i = 0; i < MEASURE_CODES; i++)
        to->codes[i] += from->codes[i];
    to->duplicates += from->duplicates;
    to->partial += from->partial;
    to->refused += from->refused;
}

uint64_t tally_errors(const struct tally *t)
{
    return t->answered - t->codes[ONEID_OK];
}

bool measure_open(struct measure *m, unsigned bits, usec_t interval_us)
{
    *m = (struct measure){.series = {.interval_us = interval_us}, .processes = 1};
    for (unsigned i = 0; i < OP_KINDS; i++) {
        if (!tally_open(&m->kinds[i], bits)) {
            measure_close(m);
            return false;
        }
    }
    return true;
}

void measure_close(struct measure *m)
{
    for (unsigned i = 0; i < OP_KINDS; i++)
        tally_close(&m->kinds[i]);
    series_close(&m->series);
}

/* The measured time becomes that from the first beginning to the last end. */
static void join_times(struct measure *to, const struct measure *from)
{
    msec_t first = from->from_ms < to->from_ms ? from->from_ms : to->from_ms;
    usec_t a = (to->from_ms - first) * 1000 + to->elapsed_us;
    usec_t b = (from->from_ms - first) * 1000 + from->elapsed_us;
    to->from_ms = first;
    to->elapsed_us = a > b ? a : b;
}

static size_t shift_of(msec_t began_ms, msec_t first_ms, usec_t interval_us)
{
    return (size_t)(((began_ms - first_ms) * 1000 + interval_us / 2) / interval_us);
}

/* False: no memory; `to` is as it was. */
static bool join_series(struct measure *to, const struct measure *from)
{
    msec_t first = from->began_ms < to->began_ms ? from->began_ms : to->began_ms;
    usec_t interval = to->series.interval_us;
    struct series sum = {.interval_us = interval};
    if (!series_add(&sum, &to->series, shift_of(to->began_ms, first, interval)) ||
        !series_add(&sum, &from->series, shift_of(from->began_ms, first, interval))) {
        series_close(&sum);
        return false;
    }
    series_close(&to->series);
    to->series = sum;
    to->began_ms = first;
    return true;
}

enum error_code measure_add(struct measure *to, const struct measure *from, struct error *err)
{
    if (to->series.interval_us != from->series.interval_us)
        return error_set(err, ERR_INVALID, "the intervals differ: %lld ms and %lld ms",
                         (long long)to->series.interval_us / 1000,
                         (long long)from->series.interval_us / 1000);
    if (to->kinds[0].latency_us.bits > from->kinds[0].latency_us.bits)
        return error_set(err, ERR_INVALID,
                         "the first result has more --digits than another: put the one with the "
                         "fewest first");
    enum { MOST_INTERVALS = 1000000 };
    if (llabs(to->began_ms - from->began_ms) / (to->series.interval_us / 1000) > MOST_INTERVALS)
        return error_set(err, ERR_INVALID, "the runs began too far apart to be added up");
    if (!join_series(to, from))
        return error_set(err, ERR_NOMEM, "the series");
    for (unsigned i = 0; i < OP_KINDS; i++)
        tally_add(&to->kinds[i], &from->kinds[i]);
    join_times(to, from);
    to->sent += from->sent;
    to->cpu_s += from->cpu_s;
    to->busiest = from->busiest > to->busiest ? from->busiest : to->busiest;
    to->behind_us = from->behind_us > to->behind_us ? from->behind_us : to->behind_us;
    to->full += from->full;
    to->interrupted |= from->interrupted;
    to->ended |= from->ended;
    to->processes += from->processes;
    return ERR_OK;
}

bool measure_total(const struct measure *m, struct tally *out)
{
    if (!tally_open(out, m->kinds[0].latency_us.bits))
        return false;
    for (unsigned i = 0; i < OP_KINDS; i++)
        tally_add(out, &m->kinds[i]);
    return true;
}
