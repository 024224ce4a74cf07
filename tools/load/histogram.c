#include <load/histogram.h>

#include <string.h>

#define SUB_COUNT (UINT64_C(1) << HISTOGRAM_SUB_BITS)
#define VALUE_MAX ((UINT64_C(1) << HISTOGRAM_TOP_BIT) - 1)

void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof *h);
}

/* Values below SUB_COUNT stand for themselves; after that the top bit chooses the run of buckets
 * and the next SUB_BITS bits the bucket in it. */
static unsigned bucket_of(uint64_t value)
{
    if (value < SUB_COUNT)
        return (unsigned)value;
    unsigned top = 63 - (unsigned)__builtin_clzll(value);
    unsigned shift = top - HISTOGRAM_SUB_BITS;
    return (unsigned)(((uint64_t)(shift + 1) << HISTOGRAM_SUB_BITS) +
                      ((value >> shift) & (SUB_COUNT - 1)));
}

static uint64_t greatest_of(unsigned bucket)
{
    if (bucket < SUB_COUNT)
        return bucket;
    unsigned shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t sub = (bucket & (SUB_COUNT - 1)) | SUB_COUNT;
    return ((sub + 1) << shift) - 1;
}

void histogram_record(struct histogram *h, uint64_t value)
{
    if (value > VALUE_MAX)
        value = VALUE_MAX;
    h->counts[bucket_of(value)]++;
    if (h->n == 0 || value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->n++;
    h->sum += value;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    if (from->n == 0)
        return;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->counts[i] += from->counts[i];
    if (to->n == 0 || from->min < to->min)
        to->min = from->min;
    if (from->max > to->max)
        to->max = from->max;
    to->n += from->n;
    to->sum += from->sum;
}

uint64_t histogram_quantile(const struct histogram *h, double share)
{
    if (h->n == 0)
        return 0;
    uint64_t rank = (uint64_t)(share * (double)h->n), below = 0;
    if ((double)rank < share * (double)h->n)
        rank++;
    if (rank < 1)
        rank = 1;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        below += h->counts[i];
        if (below >= rank)
            return greatest_of(i) < h->max ? greatest_of(i) : h->max;
    }
    return h->max;
}

double histogram_mean(const struct histogram *h)
{
    return h->n ? (double)h->sum / (double)h->n : 0;
}

void histogram_print(const struct histogram *h, FILE *out)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (h->counts[i])
            fprintf(out, "%llu %llu\n", (unsigned long long)greatest_of(i),
                    (unsigned long long)h->counts[i]);
}
