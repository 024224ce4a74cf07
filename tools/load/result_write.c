#include <load/result_json.h>

#include <errno.h>
#include <json/emit.h>
#include <string.h>

static void put_latency(struct emit *e, const struct histogram *h)
{
    emit_object(e, "latency_us");
    emit_real(e, "avg", histogram_mean(h));
    for (unsigned i = 0; i < result_n_quantiles; i++)
        emit_unsigned(e, result_quantiles[i].name,
                      histogram_quantile(h, result_quantiles[i].share));
    emit_unsigned(e, "max", h->max);
    emit_end(e);
}

static void put_codes(struct emit *e, const struct tally *t)
{
    emit_object(e, "codes");
    for (unsigned i = 0; i < MEASURE_CODES; i++)
        if (t->codes[i])
            emit_unsigned(e, oneid_code_text((enum oneid_code)i), t->codes[i]);
    emit_end(e);
}

static void put_tally(struct emit *e, const struct result *r, const struct tally *t)
{
    emit_unsigned(e, "requests", t->answered);
    emit_real(e, "requests_per_s", result_per_second(r, t->answered));
    put_latency(e, &t->latency_us);
    emit_unsigned(e, "errors", tally_errors(t));
    emit_unsigned(e, "timeouts", t->codes[ONEID_ERR_TIMEOUT]);
    put_codes(e, t);
    emit_unsigned(e, "duplicates", t->duplicates);
    emit_unsigned(e, "partial", t->partial);
    emit_unsigned(e, "with_refused", t->refused);
}

/* Greatest value and count of each bucket in turn. */
static void put_histogram(struct emit *e, const struct histogram *h)
{
    emit_object(e, "histogram");
    emit_unsigned(e, "n", h->n);
    emit_unsigned(e, "sum", h->sum);
    emit_unsigned(e, "min", h->min);
    emit_unsigned(e, "max", h->max);
    emit_array(e, "buckets");
    for (unsigned i = 0; i < histogram_buckets(h); i++) {
        if (!h->counts[i])
            continue;
        emit_unsigned(e, NULL, histogram_greatest_of(h, i));
        emit_unsigned(e, NULL, h->counts[i]);
    }
    emit_end(e);
    emit_end(e);
}

static void put_kinds(struct emit *e, const struct result *r, bool whole)
{
    emit_object(e, "kinds");
    for (unsigned i = 0; i < OP_KINDS; i++) {
        const struct tally *t = &r->measure.kinds[i];
        if (!t->answered)
            continue;
        emit_object(e, op_name((enum op)i));
        put_tally(e, r, t);
        if (whole)
            put_histogram(e, &t->latency_us);
        emit_end(e);
    }
    emit_end(e);
}

static void put_texts(struct emit *e, const char *key, unsigned n,
                      char texts[][RESULT_WARNING_SIZE])
{
    emit_array(e, key);
    for (unsigned i = 0; i < n; i++)
        emit_string(e, NULL, texts[i]);
    emit_end(e);
}

static void put_host(struct emit *e, const struct host *h)
{
    emit_object(e, "host");
    emit_string(e, "cpu", h->cpu);
    emit_unsigned(e, "cores", h->cores);
    emit_unsigned(e, "memory_bytes", h->memory_bytes);
    emit_string(e, "os", h->os);
    emit_string(e, "kernel", h->kernel);
    emit_end(e);
}

/* --- the series --- */

static void put_cell(struct emit *e, const char *key, const struct series_cell *c)
{
    emit_object(e, key);
    emit_unsigned(e, "requests", c->answered);
    emit_unsigned(e, "errors", c->errors);
    emit_unsigned(e, "p50", series_cell_quantile(c, 0.50));
    emit_unsigned(e, "p95", series_cell_quantile(c, 0.95));
    emit_unsigned(e, "p99", series_cell_quantile(c, 0.99));
    emit_unsigned(e, "max", c->max_us);
    emit_array(e, "buckets");
    for (size_t i = 0; i < c->n_buckets; i++) {
        emit_unsigned(e, NULL, c->buckets[i].greatest_us);
        emit_unsigned(e, NULL, c->buckets[i].n);
    }
    emit_end(e);
    emit_end(e);
}

static void put_point(struct emit *e, const struct series_point *p)
{
    emit_object(e, NULL);
    emit_unsigned(e, "in_flight", p->in_flight);
    emit_integer(e, "behind_us", p->behind_us);
    emit_real(e, "cpu_s", p->cpu_s);
    emit_object(e, "kinds");
    for (unsigned i = 0; i < OP_KINDS; i++)
        if (p->cells[i].answered)
            put_cell(e, op_name((enum op)i), &p->cells[i]);
    emit_end(e);
    emit_end(e);
}

static void put_series(struct emit *e, const struct series *s)
{
    emit_integer(e, "interval_ms", s->interval_us / 1000);
    emit_array(e, "series");
    for (size_t i = 0; i < s->n; i++)
        put_point(e, &s->points[i]);
    emit_end(e);
}

/* --- the whole --- */

static void put_head(struct emit *e, const struct result *r)
{
    emit_string(e, "command", r->command);
    emit_unsigned(e, "in_flight", r->in_flight);
    emit_real(e, "rate", r->rate);
    emit_real(e, "elapsed_s", (double)r->measure.elapsed_us / 1e6);
}

static void put_run(struct emit *e, const struct result *r)
{
    const struct measure *m = &r->measure;
    emit_real(e, "cpu_s", m->cpu_s);
    emit_integer(e, "behind_us", m->behind_us);
    emit_bool(e, "interrupted", m->interrupted);
    emit_string(e, "mix", r->mix);
    emit_string(e, "skew", r->skew);
    emit_unsigned(e, "processes", m->processes);
    emit_real(e, "busiest", m->busiest);
}

static void put_rest(struct emit *e, const struct result *r)
{
    const struct measure *m = &r->measure;
    emit_integer(e, "format", RESULT_FORMAT);
    if (r->line)
        emit_string(e, "line", r->line);
    put_host(e, &r->host);
    emit_integer(e, "began_ms", m->began_ms);
    emit_integer(e, "measured_from_ms", m->from_ms);
    emit_integer(e, "elapsed_us", m->elapsed_us);
    emit_real(e, "warmup_s", r->warmup_s);
    emit_unsigned(e, "sent", m->sent);
    emit_unsigned(e, "full", m->full);
    emit_bool(e, "ended", m->ended);
    emit_unsigned(e, "histogram_bits", m->kinds[0].latency_us.bits);
    put_series(e, &m->series);
}

enum error_code result_write(const struct result *r, FILE *out, bool whole, struct error *err)
{
    struct emit e;
    struct tally total;
    char warnings[RESULT_WARNINGS_MAX][RESULT_WARNING_SIZE];
    char notes[RESULT_WARNINGS_MAX][RESULT_WARNING_SIZE];
    if (!measure_total(&r->measure, &total))
        return error_set(err, ERR_NOMEM, "the result");
    memcpy(notes, r->notes, sizeof notes);
    emit_init(&e, out);
    emit_object(&e, NULL);
    put_head(&e, r);
    put_tally(&e, r, &total);
    put_run(&e, r);
    put_texts(&e, "warnings", result_warnings(r, &total, warnings), warnings);
    put_kinds(&e, r, whole);
    if (whole) {
        put_texts(&e, "notes", r->n_notes, notes);
        put_rest(&e, r);
    }
    emit_end(&e);
    tally_close(&total);
    return fflush(out) ? error_set_sys(err, ERR_IO, errno, "the result") : ERR_OK;
}
