#include <load/report.h>

static const struct {
    const char *name;
    double share;
} quantiles[] = {{"p50", 0.50}, {"p95", 0.95}, {"p99", 0.99}, {"p99.9", 0.999}};
enum { QUANTILES = sizeof quantiles / sizeof quantiles[0] };

uint64_t report_errors(const struct drive_report *r)
{
    return r->answered - r->codes[ONEID_OK];
}

static double per_second(const struct drive_report *r)
{
    return r->elapsed_us > 0 ? (double)r->answered / ((double)r->elapsed_us / 1e6) : 0;
}

static double ms(uint64_t us)
{
    return (double)us / 1000;
}

static void print_codes(FILE *out, const struct drive_report *r)
{
    fprintf(out, "errors     %llu", (unsigned long long)report_errors(r));
    const char *between = " (";
    for (int i = 1; i < DRIVE_CODES; i++) {
        if (!r->codes[i])
            continue;
        fprintf(out, "%s%s %llu", between, oneid_code_text((enum oneid_code)i),
                (unsigned long long)r->codes[i]);
        between = ", ";
    }
    fprintf(out, "%s; timeouts %llu\n", report_errors(r) ? ")" : "",
            (unsigned long long)r->codes[ONEID_ERR_TIMEOUT]);
}

void report_print(FILE *out, const struct report_head *h, const struct drive_report *r)
{
    const struct histogram *l = &r->latency_us;
    fprintf(out, "%s: ", h->command);
    if (h->rate > 0)
        fprintf(out, "open loop, %.0f/s intended, at most %u in flight\n", h->rate, h->in_flight);
    else
        fprintf(out, "closed loop, %u in flight\n", h->in_flight);
    fprintf(out, "requests   %llu in %.3f s = %.0f/s%s\n", (unsigned long long)r->answered,
            (double)r->elapsed_us / 1e6, per_second(r), r->interrupted ? " (interrupted)" : "");
    fprintf(out, "latency ms avg %.3f", histogram_mean(l) / 1000);
    for (unsigned i = 0; i < QUANTILES; i++)
        fprintf(out, "  %s %.3f", quantiles[i].name, ms(histogram_quantile(l, quantiles[i].share)));
    fprintf(out, "  max %.3f\n", ms(l->max));
    print_codes(out, r);
    fprintf(out, "said       duplicate %llu, partial %llu, with refused links %llu\n",
            (unsigned long long)r->duplicates, (unsigned long long)r->partial,
            (unsigned long long)r->refused);
    fprintf(out, "this process %.2f CPU s = %.2f us a request\n", r->cpu_s,
            r->answered ? r->cpu_s * 1e6 / (double)r->answered : 0);
    if (h->rate > 0)
        fprintf(out, "behind     at most %.3f ms after a request was due\n",
                ms((uint64_t)r->behind_us));
}

void report_print_json(FILE *out, const struct report_head *h, const struct drive_report *r)
{
    const struct histogram *l = &r->latency_us;
    fprintf(out, "{\"command\":\"%s\",\"in_flight\":%u,\"rate\":%.3f,\"requests\":%llu,",
            h->command, h->in_flight, h->rate, (unsigned long long)r->answered);
    fprintf(out, "\"elapsed_s\":%.6f,\"requests_per_s\":%.1f,\"latency_us\":{\"avg\":%.1f",
            (double)r->elapsed_us / 1e6, per_second(r), histogram_mean(l));
    for (unsigned i = 0; i < QUANTILES; i++)
        fprintf(out, ",\"%s\":%llu", quantiles[i].name,
                (unsigned long long)histogram_quantile(l, quantiles[i].share));
    fprintf(out, ",\"max\":%llu},\"errors\":%llu,\"timeouts\":%llu,\"codes\":{",
            (unsigned long long)l->max, (unsigned long long)report_errors(r),
            (unsigned long long)r->codes[ONEID_ERR_TIMEOUT]);
    const char *between = "";
    for (int i = 0; i < DRIVE_CODES; i++) {
        if (!r->codes[i])
            continue;
        fprintf(out, "%s\"%s\":%llu", between, oneid_code_text((enum oneid_code)i),
                (unsigned long long)r->codes[i]);
        between = ",";
    }
    fprintf(out,
            "},\"duplicates\":%llu,\"partial\":%llu,\"with_refused\":%llu,\"cpu_s\":%.3f,"
            "\"behind_us\":%lld,\"interrupted\":%s}\n",
            (unsigned long long)r->duplicates, (unsigned long long)r->partial,
            (unsigned long long)r->refused, r->cpu_s, (long long)r->behind_us,
            r->interrupted ? "true" : "false");
}
