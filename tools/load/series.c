#include <load/series.h>

#include <stdlib.h>
#include <string.h>

void series_cell_close(struct series_cell *cell)
{
    free(cell->buckets);
    *cell = (struct series_cell){0};
}

static void close_point(struct series_point *p)
{
    for (unsigned i = 0; i < OP_KINDS; i++)
        series_cell_close(&p->cells[i]);
}

void series_close(struct series *s)
{
    for (size_t i = 0; i < s->n; i++)
        close_point(&s->points[i]);
    free(s->points);
    *s = (struct series){.interval_us = s->interval_us};
}

struct series_point *series_push(struct series *s)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 64;
        struct series_point *points = realloc(s->points, cap * sizeof *points);
        if (!points)
            return NULL;
        s->points = points;
        s->cap = cap;
    }
    struct series_point *p = &s->points[s->n++];
    memset(p, 0, sizeof *p);
    return p;
}

bool series_cell_take(struct series_cell *cell, const struct histogram *h, uint64_t errors)
{
    size_t n = 0, all = histogram_buckets(h);
    series_cell_close(cell);
    for (unsigned i = 0; i < all; i++)
        n += h->counts[i] > 0;
    struct series_bucket *buckets = n ? malloc(n * sizeof *buckets) : NULL;
    if (n && !buckets)
        return false;
    *cell = (struct series_cell){h->n, errors, h->max, buckets, 0};
    for (unsigned i = 0; i < all; i++)
        if (h->counts[i])
            buckets[cell->n_buckets++] =
                (struct series_bucket){histogram_greatest_of(h, i), h->counts[i]};
    return true;
}

/* Two lists by rising value become one. */
static bool add_cell(struct series_cell *to, const struct series_cell *from)
{
    size_t n = 0, a = 0, b = 0;
    if (!from->answered)
        return true;
    struct series_bucket *sum = malloc((to->n_buckets + from->n_buckets) * sizeof *sum);
    if (!sum)
        return false;
    while (a < to->n_buckets || b < from->n_buckets) {
        bool take_a =
            b == from->n_buckets ||
            (a < to->n_buckets && to->buckets[a].greatest_us <= from->buckets[b].greatest_us);
        struct series_bucket next = take_a ? to->buckets[a++] : from->buckets[b++];
        if (n && sum[n - 1].greatest_us == next.greatest_us)
            sum[n - 1].n += next.n;
        else
            sum[n++] = next;
    }
    free(to->buckets);
    to->buckets = sum;
    to->n_buckets = n;
    to->answered += from->answered;
    to->errors += from->errors;
    to->max_us = from->max_us > to->max_us ? from->max_us : to->max_us;
    return true;
}

static bool add_point(struct series_point *to, const struct series_point *from)
{
    to->in_flight += from->in_flight;
    to->behind_us = from->behind_us > to->behind_us ? from->behind_us : to->behind_us;
    to->cpu_s += from->cpu_s;
    for (unsigned i = 0; i < OP_KINDS; i++)
        if (!add_cell(&to->cells[i], &from->cells[i]))
            return false;
    return true;
}

bool series_add(struct series *to, const struct series *from, size_t shift)
{
    while (to->n < shift + from->n)
        if (!series_push(to))
            return false;
    for (size_t i = 0; i < from->n; i++)
        if (!add_point(&to->points[shift + i], &from->points[i]))
            return false;
    return true;
}

bool series_point_sum(const struct series_point *p, struct series_cell *out)
{
    *out = (struct series_cell){0};
    for (unsigned i = 0; i < OP_KINDS; i++) {
        if (!add_cell(out, &p->cells[i])) {
            series_cell_close(out);
            return false;
        }
    }
    return true;
}

uint64_t series_cell_quantile(const struct series_cell *cell, double share)
{
    double exact = share * (double)cell->answered;
    uint64_t rank = (uint64_t)exact, below = 0;
    rank += (double)rank < exact || rank == 0;
    for (size_t i = 0; i < cell->n_buckets; i++) {
        below += cell->buckets[i].n;
        if (below >= rank)
            return cell->buckets[i].greatest_us < cell->max_us ? cell->buckets[i].greatest_us
                                                               : cell->max_us;
    }
    return cell->max_us;
}

/* --- recording --- */

bool recorder_open(struct recorder *r, struct series *series, usec_t began, double cpu_s)
{
    *r = (struct recorder){.series = series,
                           .began = began,
                           .next = began + series->interval_us,
                           .cpu_before_s = cpu_s};
    for (unsigned i = 0; i < OP_KINDS; i++) {
        if (!histogram_open(&r->live[i], SERIES_BITS)) {
            recorder_close(r);
            return false;
        }
    }
    return true;
}

void recorder_close(struct recorder *r)
{
    for (unsigned i = 0; i < OP_KINDS; i++)
        histogram_close(&r->live[i]);
}

void recorder_answer(struct recorder *r, enum op op, usec_t latency_us, bool is_error)
{
    histogram_record(&r->live[op], latency_us > 0 ? (uint64_t)latency_us : 0);
    r->errors[op] += is_error;
}

void recorder_late(struct recorder *r, usec_t late_us)
{
    if (late_us > r->behind_us)
        r->behind_us = late_us;
}

static void take_live(struct recorder *r, struct series_point *p)
{
    for (unsigned i = 0; i < OP_KINDS; i++) {
        if (r->live[i].n == 0)
            continue;
        r->lost |= !series_cell_take(&p->cells[i], &r->live[i], r->errors[i]);
        histogram_reset(&r->live[i]);
        r->errors[i] = 0;
    }
}

static void end_interval(struct recorder *r, uint64_t in_flight, double cpu_s)
{
    struct series_point *p = r->lost ? NULL : series_push(r->series);
    r->lost = !p;
    if (!p)
        return;
    p->in_flight = in_flight;
    p->behind_us = r->behind_us;
    p->cpu_s = cpu_s - r->cpu_before_s;
    take_live(r, p);
    r->behind_us = 0;
    r->cpu_before_s = cpu_s;
}

void recorder_turn(struct recorder *r, usec_t now, uint64_t in_flight, double cpu_s)
{
    while (recorder_is_due(r, now)) {
        end_interval(r, in_flight, cpu_s);
        r->next += r->series->interval_us;
    }
}

void recorder_finish(struct recorder *r, usec_t now, double cpu_s)
{
    recorder_turn(r, now, 0, cpu_s);
    bool begun = false;
    for (unsigned i = 0; i < OP_KINDS; i++)
        begun |= r->live[i].n > 0;
    if (begun)
        end_interval(r, 0, cpu_s);
}
