#include <load/result.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct result_quantile result_quantiles[] = {{"p50", 0.50},    {"p90", 0.90},
                                                   {"p95", 0.95},    {"p99", 0.99},
                                                   {"p99.9", 0.999}, {"p99.99", 0.9999}};
const unsigned result_n_quantiles = sizeof result_quantiles / sizeof result_quantiles[0];

void result_close(struct result *r)
{
    free(r->line);
    r->line = NULL;
    measure_close(&r->measure);
}

double result_per_second(const struct result *r, uint64_t n)
{
    return r->measure.elapsed_us > 0 ? (double)n / ((double)r->measure.elapsed_us / 1e6) : 0;
}

__attribute__((format(printf, 3, 4))) static unsigned
add_text(char texts[RESULT_WARNINGS_MAX][RESULT_WARNING_SIZE], unsigned n, const char *format, ...)
{
    va_list args;
    if (n == RESULT_WARNINGS_MAX)
        return n;
    va_start(args, format);
    vsnprintf(texts[n], RESULT_WARNING_SIZE, format, args);
    va_end(args);
    return n + 1;
}

/* --- adding up --- */

static enum error_code check_alike(const struct result *a, const struct result *b,
                                   struct error *err)
{
    if ((a->rate > 0) != (b->rate > 0))
        return error_set(err, ERR_INVALID, "an open and a closed loop do not add up");
    return ERR_OK;
}

/* Rates of runs that were not at the same time are not the rate of anything. */
static void note_overlap(struct result *to, const struct result *from)
{
    const struct measure *a = &to->measure, *b = &from->measure;
    msec_t end_a = a->from_ms + a->elapsed_us / 1000, end_b = b->from_ms + b->elapsed_us / 1000;
    msec_t from_ms = a->from_ms > b->from_ms ? a->from_ms : b->from_ms;
    msec_t until_ms = end_a < end_b ? end_a : end_b;
    msec_t longer = a->elapsed_us > b->elapsed_us ? a->elapsed_us / 1000 : b->elapsed_us / 1000;
    double share = longer > 0 ? (double)(until_ms - from_ms) / (double)longer : 1;
    if (share < 0.9)
        to->n_notes = add_text(to->notes, to->n_notes,
                               "the runs that were added up overlap by only %.0f %% of their time: "
                               "their sum is no rate that was ever reached",
                               share > 0 ? share * 100 : 0);
}

static void join_text(char *to, size_t size, const char *from, const char *otherwise)
{
    if (strcmp(to, from) != 0)
        snprintf(to, size, "%s", otherwise);
}

/* Another command line stands on a line of its own. When memory is short the first one must do. */
static void join_lines(struct result *to, const struct result *from)
{
    const char *a = to->line ? to->line : "", *b = from->line ? from->line : "";
    size_t size = strlen(a) + strlen(b) + 2;
    char *both = strstr(a, b) ? NULL : malloc(size);
    if (!both)
        return;
    snprintf(both, size, "%s\n%s", a, b);
    free(to->line);
    to->line = both;
}

static void join_descriptions(struct result *to, const struct result *from)
{
    join_text(to->mix, sizeof to->mix, from->mix, "various");
    join_text(to->skew, sizeof to->skew, from->skew, "various");
    join_text(to->command, sizeof to->command, from->command, "run");
    join_text(to->host.cpu, sizeof to->host.cpu, from->host.cpu, "various machines");
    join_lines(to, from);
    to->in_flight += from->in_flight;
    to->rate += from->rate;
}

enum error_code result_add(struct result *to, const struct result *from, struct error *err)
{
    enum error_code rc = check_alike(to, from, err);
    if (rc)
        return rc;
    unsigned before = to->n_notes;
    note_overlap(to, from);
    rc = measure_add(&to->measure, &from->measure, err);
    if (rc) {
        to->n_notes = before;
        return rc;
    }
    join_descriptions(to, from);
    for (unsigned i = 0; i < from->n_notes; i++)
        to->n_notes = add_text(to->notes, to->n_notes, "%s", from->notes[i]);
    return ERR_OK;
}

/* --- warnings --- */

/* Shorter delays come from the system's timers and belong to any open loop. */
enum { BEHIND_US = 20000 };

static unsigned warn_of_generator(const struct result *r, unsigned n,
                                  char out[RESULT_WARNINGS_MAX][RESULT_WARNING_SIZE])
{
    const struct measure *m = &r->measure;
    if (m->busiest >= 0.9)
        n = add_text(
            out, n,
            "the load process was the bottleneck: a thread of it took %.0f %% of a core. The "
            "cluster may be able to do more; use more --processes",
            m->busiest * 100);
    if (r->rate > 0 && m->behind_us > BEHIND_US)
        n = add_text(out, n, "requests were sent up to %.0f ms after they were due, %s",
                     (double)m->behind_us / 1000,
                     m->full
                         ? "since all that may be in flight was: the cluster did not keep up, or "
                           "--in-flight is too small for this --rate"
                         : "since the load process did not get to it");
    return n;
}

unsigned result_warnings(const struct result *r, const struct tally *total,
                         char out[RESULT_WARNINGS_MAX][RESULT_WARNING_SIZE])
{
    unsigned n = 0;
    for (unsigned i = 0; i < r->n_notes; i++)
        n = add_text(out, n, "%s", r->notes[i]);
    n = warn_of_generator(r, n, out);
    if (total->answered == 0)
        n = add_text(out, n, "nothing was answered in the measured time");
    if (tally_errors(total))
        n = add_text(out, n, "%llu of %llu answers were errors",
                     (unsigned long long)tally_errors(total), (unsigned long long)total->answered);
    if (total->partial)
        n = add_text(out, n, "%llu answers were partial: a shard did not answer",
                     (unsigned long long)total->partial);
    if (r->measure.interrupted)
        n = add_text(out, n, "the run was interrupted");
    return n;
}
