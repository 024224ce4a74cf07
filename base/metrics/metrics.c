#include <metrics/metrics.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static const usec_t BOUNDS_US[LATENCY_BUCKETS - 1] = {
    100,   250,    500,    1000,   2500,    5000,    10000,   25000,
    50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};

void latency_add(struct latency *l, usec_t us)
{
    size_t i = 0;
    while (i < LATENCY_BUCKETS - 1 && us > BOUNDS_US[i])
        i++;
    metric_add(&l->buckets[i], 1);
    metric_add(&l->sum_us, us > 0 ? (uint64_t)us : 0);
}

/* --- the text --- */

static void put(struct buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct buf *out, const char *fmt, ...)
{
    enum { LINE_MAX_BYTES = 400 };
    va_list args;
    char *at = (char *)buf_reserve(out, LINE_MAX_BYTES);
    va_start(args, fmt);
    int n = vsnprintf(at, LINE_MAX_BYTES, fmt, args);
    va_end(args);
    if (n > 0 && n < LINE_MAX_BYTES) /* a longer line would be no line of the format */
        out->len += (size_t)n;
}

void metrics_family(struct buf *out, const char *name, enum metric_kind kind, const char *help)
{
    static const char *const KINDS[] = {"counter", "gauge", "histogram"};
    put(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, KINDS[kind]);
}

/* "name{labels} ", or "name " without any. */
static void put_name(struct buf *out, const char *name, const char *suffix, const char *labels)
{
    if (labels[0])
        put(out, "%s%s{%s} ", name, suffix, labels);
    else
        put(out, "%s%s ", name, suffix);
}

void metrics_value(struct buf *out, const char *name, const char *labels, uint64_t v)
{
    put_name(out, name, "", labels);
    put(out, "%" PRIu64 "\n", v);
}

void metrics_real(struct buf *out, const char *name, const char *labels, double v)
{
    put_name(out, name, "", labels);
    put(out, "%.6f\n", v);
}

void metrics_latency(struct buf *out, const char *name, const char *labels, const struct latency *l)
{
    uint64_t n = 0;
    const char *comma = labels[0] ? "," : "";
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        n += metric_read(&l->buckets[i]);
        if (i < LATENCY_BUCKETS - 1)
            put(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, labels, comma,
                (double)BOUNDS_US[i] / 1e6, n);
        else
            put(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, n);
    }
    put_name(out, name, "_sum", labels);
    put(out, "%.6f\n", (double)metric_read(&l->sum_us) / 1e6);
    put_name(out, name, "_count", labels);
    put(out, "%" PRIu64 "\n", n); /* as the last bucket, whatever came in since */
}
