#include <load/result_text.h>

#include <stdlib.h>
#include <string.h>

static double ms(uint64_t us)
{
    return (double)us / 1000;
}

static void print_loop(FILE *out, const struct result *r)
{
    fprintf(out, "%s: ", r->command);
    if (strcmp(r->command, r->mix) != 0)
        fprintf(out, "%s, ", r->mix);
    if (r->rate > 0)
        fprintf(out, "open loop, %.0f/s intended, at most %llu in flight", r->rate,
                (unsigned long long)r->in_flight);
    else
        fprintf(out, "closed loop, %llu in flight", (unsigned long long)r->in_flight);
    if (strcmp(r->skew, "uniform") != 0)
        fprintf(out, ", %s", r->skew);
    if (r->measure.processes > 1)
        fprintf(out, ", %u processes", r->measure.processes);
    fputc('\n', out);
}

static void print_codes(FILE *out, const struct tally *t)
{
    fprintf(out, "errors     %llu", (unsigned long long)tally_errors(t));
    const char *between = " (";
    for (int i = 1; i < MEASURE_CODES; i++) {
        if (!t->codes[i])
            continue;
        fprintf(out, "%s%s %llu", between, oneid_code_text((enum oneid_code)i),
                (unsigned long long)t->codes[i]);
        between = ", ";
    }
    fprintf(out, "%s; timeouts %llu\n", tally_errors(t) ? ")" : "",
            (unsigned long long)t->codes[ONEID_ERR_TIMEOUT]);
}

static void print_row_head(FILE *out)
{
    fprintf(out, "%-10s %11s %11s %9s", "latency ms", "requests", "per second", "avg");
    for (unsigned i = 0; i < result_n_quantiles; i++)
        fprintf(out, " %9s", result_quantiles[i].name);
    fprintf(out, " %9s %9s\n", "max", "errors");
}

static void print_row(FILE *out, const char *name, const struct result *r, const struct tally *t)
{
    const struct histogram *h = &t->latency_us;
    fprintf(out, "%-10s %11llu %11.0f %9.3f", name, (unsigned long long)t->answered,
            result_per_second(r, t->answered), histogram_mean(h) / 1000);
    for (unsigned i = 0; i < result_n_quantiles; i++)
        fprintf(out, " %9.3f", ms(histogram_quantile(h, result_quantiles[i].share)));
    fprintf(out, " %9.3f %9llu\n", ms(h->max), (unsigned long long)tally_errors(t));
}

static void print_rows(FILE *out, const struct result *r, const struct tally *total)
{
    unsigned n = 0;
    print_row_head(out);
    for (unsigned i = 0; i < OP_KINDS; i++) {
        const struct tally *t = &r->measure.kinds[i];
        if (!t->answered)
            continue;
        print_row(out, op_name((enum op)i), r, t);
        n++;
    }
    if (n != 1)
        print_row(out, "all", r, total);
}

static void print_cost(FILE *out, const struct result *r, const struct tally *total)
{
    const struct measure *m = &r->measure;
    fprintf(out, "load       %.2f CPU s = %.2f us a request; busiest thread %.0f %% of a core\n",
            m->cpu_s, total->answered ? m->cpu_s * 1e6 / (double)total->answered : 0,
            m->busiest * 100);
    if (r->rate > 0)
        fprintf(out, "behind     at most %.3f ms after a request was due\n",
                ms((uint64_t)m->behind_us));
    if (m->ended)
        fprintf(out, "ended      all events of the stream were sent\n");
}

bool result_print(const struct result *r, FILE *out)
{
    struct tally total;
    char warnings[RESULT_WARNINGS_MAX][RESULT_WARNING_SIZE];
    if (!measure_total(&r->measure, &total))
        return false;
    print_loop(out, r);
    fprintf(out, "requests   %llu in %.3f s = %.0f/s%s\n", (unsigned long long)total.answered,
            (double)r->measure.elapsed_us / 1e6, result_per_second(r, total.answered),
            r->measure.interrupted ? " (interrupted)" : "");
    print_rows(out, r, &total);
    print_codes(out, &total);
    fprintf(out, "said       duplicate %llu, partial %llu, with refused links %llu\n",
            (unsigned long long)total.duplicates, (unsigned long long)total.partial,
            (unsigned long long)total.refused);
    print_cost(out, r, &total);
    unsigned n = result_warnings(r, &total, warnings);
    for (unsigned i = 0; i < n; i++)
        fprintf(out, "warning    %s\n", warnings[i]);
    tally_close(&total);
    return true;
}

bool result_print_comparison(const struct result *results, const char *const *names, unsigned n,
                             FILE *out)
{
    print_row_head(out);
    for (unsigned i = 0; i < n; i++) {
        struct tally total;
        if (!measure_total(&results[i].measure, &total))
            return false;
        print_row(out, names[i], &results[i], &total);
        tally_close(&total);
    }
    return true;
}

/* --- CSV --- */

static void print_csv_row(FILE *out, const struct series *s, size_t i, const char *kind,
                          const struct series_cell *c)
{
    const struct series_point *p = &s->points[i];
    double seconds = (double)s->interval_us / 1e6;
    fprintf(out, "%.3f,%s,%llu,%llu,%.1f,%llu,%llu,%llu,%llu,%llu,%lld,%.6f\n", (double)i * seconds,
            kind, (unsigned long long)c->answered, (unsigned long long)c->errors,
            (double)c->answered / seconds, (unsigned long long)series_cell_quantile(c, 0.50),
            (unsigned long long)series_cell_quantile(c, 0.95),
            (unsigned long long)series_cell_quantile(c, 0.99), (unsigned long long)c->max_us,
            (unsigned long long)p->in_flight, (long long)p->behind_us, p->cpu_s);
}

bool result_print_csv(const struct result *r, FILE *out)
{
    const struct series *s = &r->measure.series;
    fputs("seconds,kind,requests,errors,requests_per_s,p50_us,p95_us,p99_us,max_us,in_flight,"
          "behind_us,load_cpu_s\n",
          out);
    for (size_t i = 0; i < s->n; i++) {
        struct series_cell all;
        for (unsigned k = 0; k < OP_KINDS; k++)
            if (s->points[i].cells[k].answered)
                print_csv_row(out, s, i, op_name((enum op)k), &s->points[i].cells[k]);
        if (!series_point_sum(&s->points[i], &all))
            return false;
        print_csv_row(out, s, i, "all", &all);
        series_cell_close(&all);
    }
    return true;
}
