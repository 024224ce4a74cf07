#include <load/histogram.h>

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX ((UINT64_C(1) << HISTOGRAM_TOP_BIT) - 1)

unsigned histogram_bits_of_digits(unsigned digits)
{
    static const unsigned bits[HISTOGRAM_DIGITS_MAX + 1] = {4, 4, 7, 10, 14};
    return bits[digits <= HISTOGRAM_DIGITS_MAX ? digits : HISTOGRAM_DIGITS_MAX];
}

size_t histogram_buckets(const struct histogram *h)
{
    return (size_t)(HISTOGRAM_TOP_BIT - h->bits + 1) << h->bits;
}

bool histogram_open(struct histogram *h, unsigned bits)
{
    *h = (struct histogram){.bits = bits};
    h->counts = calloc(histogram_buckets(h), sizeof *h->counts);
    return h->counts != NULL;
}

void histogram_close(struct histogram *h)
{
    free(h->counts);
    *h = (struct histogram){0};
}

void histogram_reset(struct histogram *h)
{
    memset(h->counts, 0, histogram_buckets(h) * sizeof *h->counts);
    h->n = h->sum = h->min = h->max = 0;
}

/* Values below 2^bits stand for themselves; after that the top bit chooses the run of buckets and
 * the next `bits` bits the bucket in it. */
unsigned histogram_bucket_of(const struct histogram *h, uint64_t value)
{
    uint64_t in_run = UINT64_C(1) << h->bits;
    if (value > VALUE_MAX)
        value = VALUE_MAX;
    if (value < in_run)
        return (unsigned)value;
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - h->bits;
    return (unsigned)(((uint64_t)(shift + 1) << h->bits) + ((value >> shift) & (in_run - 1)));
}

uint64_t histogram_greatest_of(const struct histogram *h, unsigned bucket)
{
    uint64_t in_run = UINT64_C(1) << h->bits;
    unsigned run = bucket >> h->bits;
    if (run == 0)
        return bucket;
    uint64_t sub = (bucket & (in_run - 1)) | in_run;
    return ((sub + 1) << (run - 1)) - 1;
}

static void widen(struct histogram *h, uint64_t min, uint64_t max)
{
    if (h->n == 0 || min < h->min)
        h->min = min;
    if (max > h->max)
        h->max = max;
}

void histogram_record(struct histogram *h, uint64_t value)
{
    if (value > VALUE_MAX)
        value = VALUE_MAX;
    h->counts[histogram_bucket_of(h, value)]++;
    widen(h, value, value);
    h->n++;
    h->sum += value;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    assert(to->bits <= from->bits);
    if (from->n == 0)
        return;
    for (unsigned i = 0; i < histogram_buckets(from); i++) {
        if (!from->counts[i])
            continue;
        unsigned at =
            to->bits == from->bits ? i : histogram_bucket_of(to, histogram_greatest_of(from, i));
        to->counts[at] += from->counts[i];
    }
    widen(to, from->min, from->max);
    to->n += from->n;
    to->sum += from->sum;
}

static uint64_t at_most_max(const struct histogram *h, unsigned bucket)
{
    uint64_t greatest = histogram_greatest_of(h, bucket);
    return greatest < h->max ? greatest : h->max;
}

static uint64_t rank_of(const struct histogram *h, double share)
{
    double exact = share * (double)h->n;
    uint64_t rank = (uint64_t)exact;
    rank += (double)rank < exact;
    return rank < 1 ? 1 : rank > h->n ? h->n : rank;
}

uint64_t histogram_quantile(const struct histogram *h, double share)
{
    uint64_t below = 0;
    if (h->n == 0)
        return 0;
    uint64_t rank = rank_of(h, share);
    for (unsigned i = 0; i < histogram_buckets(h); i++) {
        below += h->counts[i];
        if (below >= rank)
            return at_most_max(h, i);
    }
    return h->max;
}

double histogram_mean(const struct histogram *h)
{
    return h->n ? (double)h->sum / (double)h->n : 0;
}

double histogram_deviation(const struct histogram *h)
{
    double mean = histogram_mean(h), squares = 0;
    for (unsigned i = 0; i < histogram_buckets(h); i++) {
        if (!h->counts[i])
            continue;
        double least = i ? (double)histogram_greatest_of(h, i - 1) + 1 : 0;
        double off = (least + (double)histogram_greatest_of(h, i)) / 2 - mean;
        squares += off * off * (double)h->counts[i];
    }
    return h->n ? sqrt(squares / (double)h->n) : 0;
}

void histogram_print(const struct histogram *h, FILE *out)
{
    for (unsigned i = 0; i < histogram_buckets(h); i++)
        if (h->counts[i])
            fprintf(out, "%llu %llu\n", (unsigned long long)histogram_greatest_of(h, i),
                    (unsigned long long)h->counts[i]);
}

/* HdrHistogram's percentile iterator: so many steps for each halving of what is left to 1. */
static double share_after(double share)
{
    enum { STEPS = 5 };
    double halvings = floor(log2(1 / (1 - share))) + 1;
    return share + 1 / (STEPS * exp2(halvings));
}

bool histogram_next_step(const struct histogram *h, struct histogram_step *step)
{
    if (h->n == 0 || step->share >= 1)
        return false;
    double share = step->below ? share_after(step->share) : 0;
    if (step->below >= h->n)
        share = 1;
    step->share = share;
    step->below = 0;
    uint64_t rank = rank_of(h, share);
    for (unsigned i = 0; i < histogram_buckets(h) && step->below < rank; i++) {
        step->below += h->counts[i];
        step->value = at_most_max(h, i);
    }
    return true;
}

void histogram_print_hgrm(const struct histogram *h, FILE *out)
{
    struct histogram_step s = {0};
    fprintf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
            "1/(1-Percentile)");
    while (histogram_next_step(h, &s)) {
        fprintf(out, "%12.3f %2.12f %10llu", (double)s.value / 1000, s.share,
                (unsigned long long)s.below);
        if (s.share < 1)
            fprintf(out, " %14.2f", 1 / (1 - s.share));
        fputc('\n', out);
    }
    fprintf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", histogram_mean(h) / 1000,
            histogram_deviation(h) / 1000);
    fprintf(out, "#[Max     = %12.3f, Total count    = %12llu]\n", (double)h->max / 1000,
            (unsigned long long)h->n);
    fprintf(out, "#[Buckets = %12u, SubBuckets     = %12u]\n", HISTOGRAM_TOP_BIT - h->bits + 1,
            1u << h->bits);
}
