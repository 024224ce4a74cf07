#include "estimate.h"

enum { ESTIMATE_CHUNKS = 16 };

/* The part of min..max that lo..hi covers. */
static double covered(int64_t lo, int64_t hi, int64_t min, int64_t max)
{
    if (lo > hi || lo > max || hi < min)
        return 0;
    double from = (double)(lo > min ? lo : min), to = (double)(hi < max ? hi : max);
    return (to - from + 1) / ((double)max - (double)min + 1);
}

uint64_t estimate_range(const struct column *column, int64_t lo, int64_t hi)
{
    uint32_t step = column->n_chunks / ESTIMATE_CHUNKS + 1;
    double seen = 0, inside = 0;
    for (uint32_t i = 0; i < column->n_chunks; i += step) {
        const struct column_chunk *c = column_chunk_at(column, i);
        if (!c)
            continue;
        seen += c->n;
        inside += c->n * covered(lo, hi, c->min, c->max);
    }
    uint64_t n = seen > 0 ? (uint64_t)((double)column->n * inside / seen) : 0;
    return n < column->n ? n : column->n;
}

/* Most are 0; of the others, the smaller the more. */
uint64_t estimate_window(const struct window *w, int64_t lo, int64_t hi, uint64_t population)
{
    uint64_t others = w->n_others < population ? w->n_others : population;
    if (lo <= 0 && 0 <= hi)
        return population - others / 2;
    return lo > 1 ? others / 2 : others;
}
