#include <load/page.h>

#include "report/assets.h"

#include <errno.h>
#include <json/emit.h>
#include <stdlib.h>
#include <string.h>

enum error_code page_check(struct error *err)
{
    if (asset_plot_js.len && asset_plot_css.len)
        return ERR_OK;
    return error_set(err, ERR_INVALID,
                     "--html: this oneid-load was built without the plotting library: install npm, "
                     "configure and build again (docs/load.md)");
}

/* --- what the page's script draws, as JSON --- */

static void put_text(struct emit *e, const char *key, const char *text)
{
    emit_string(e, key, text ? text : "");
}

/* 1 / (1 - share) and microseconds in turn, up to the one greatest value of n. */
static void put_curve(struct emit *e, const struct histogram *h)
{
    struct histogram_step s = {0};
    double x = 0;
    emit_array(e, "curve");
    while (histogram_next_step(h, &s) && s.share < 1) {
        x = 1 / (1 - s.share);
        emit_real(e, NULL, x);
        emit_unsigned(e, NULL, s.value);
    }
    if ((double)h->n > x && x > 0) {
        emit_unsigned(e, NULL, h->n);
        emit_unsigned(e, NULL, h->max);
    }
    emit_end(e);
}

static void put_summary(struct emit *e, const struct result *r, const char *name,
                        const struct tally *t)
{
    const struct histogram *h = &t->latency_us;
    emit_object(e, NULL);
    put_text(e, "kind", name);
    emit_unsigned(e, "requests", t->answered);
    emit_real(e, "per_s", result_per_second(r, t->answered));
    emit_real(e, "avg", histogram_mean(h));
    for (unsigned i = 0; i < result_n_quantiles; i++)
        emit_unsigned(e, result_quantiles[i].name,
                      histogram_quantile(h, result_quantiles[i].share));
    emit_unsigned(e, "max", h->max);
    emit_unsigned(e, "errors", tally_errors(t));
    emit_object(e, "codes");
    for (unsigned i = 1; i < MEASURE_CODES; i++)
        if (t->codes[i])
            emit_unsigned(e, oneid_code_text((enum oneid_code)i), t->codes[i]);
    emit_end(e);
    emit_unsigned(e, "duplicates", t->duplicates);
    emit_unsigned(e, "partial", t->partial);
    emit_unsigned(e, "refused", t->refused);
    put_curve(e, h);
    emit_end(e);
}

static void put_summaries(struct emit *e, const struct result *r, const struct tally *total)
{
    unsigned n = 0;
    emit_array(e, "kinds");
    for (unsigned i = 0; i < OP_KINDS; i++) {
        if (!r->measure.kinds[i].answered)
            continue;
        put_summary(e, r, op_name((enum op)i), &r->measure.kinds[i]);
        n++;
    }
    if (n != 1)
        put_summary(e, r, "all", total);
    emit_end(e);
}

static void put_cell(struct emit *e, const char *kind, const struct series_cell *c)
{
    emit_array(e, kind);
    emit_unsigned(e, NULL, c->answered);
    emit_unsigned(e, NULL, c->errors);
    emit_unsigned(e, NULL, series_cell_quantile(c, 0.50));
    emit_unsigned(e, NULL, series_cell_quantile(c, 0.95));
    emit_unsigned(e, NULL, series_cell_quantile(c, 0.99));
    emit_unsigned(e, NULL, c->max_us);
    emit_end(e);
}

static bool put_point(struct emit *e, const struct series_point *p)
{
    struct series_cell all;
    if (!series_point_sum(p, &all))
        return false;
    emit_object(e, NULL);
    emit_unsigned(e, "in_flight", p->in_flight);
    emit_integer(e, "behind", p->behind_us);
    emit_real(e, "cpu", p->cpu_s);
    for (unsigned i = 0; i < OP_KINDS; i++)
        if (p->cells[i].answered)
            put_cell(e, op_name((enum op)i), &p->cells[i]);
    put_cell(e, "all", &all);
    emit_end(e);
    series_cell_close(&all);
    return true;
}

static bool put_series(struct emit *e, const struct series *s)
{
    bool ok = true;
    emit_real(e, "interval_s", (double)s->interval_us / 1e6);
    emit_array(e, "series");
    for (size_t i = 0; i < s->n && ok; i++)
        ok = put_point(e, &s->points[i]);
    emit_end(e);
    return ok;
}

static void put_machine(struct emit *e, const struct host *h)
{
    emit_object(e, "machine");
    put_text(e, "cpu", h->cpu);
    emit_unsigned(e, "cores", h->cores);
    emit_unsigned(e, "memory_bytes", h->memory_bytes);
    put_text(e, "os", h->os);
    put_text(e, "kernel", h->kernel);
    emit_end(e);
}

static void put_run(struct emit *e, const struct result *r, const char *name)
{
    const struct measure *m = &r->measure;
    put_text(e, "name", name);
    put_text(e, "command", r->command);
    put_text(e, "line", r->line);
    put_text(e, "mix", r->mix);
    put_text(e, "skew", r->skew);
    emit_unsigned(e, "in_flight", r->in_flight);
    emit_real(e, "rate", r->rate);
    emit_unsigned(e, "processes", m->processes);
    emit_integer(e, "began_ms", m->began_ms);
    emit_real(e, "measured_from_s", (double)(m->from_ms - m->began_ms) / 1000);
    emit_real(e, "elapsed_s", (double)m->elapsed_us / 1e6);
    emit_real(e, "cpu_s", m->cpu_s);
    emit_real(e, "busiest", m->busiest);
    emit_integer(e, "behind_us", m->behind_us);
}

static void put_warnings(struct emit *e, const struct result *r, const struct tally *total)
{
    char warnings[RESULT_WARNINGS_MAX][RESULT_WARNING_SIZE];
    unsigned n = result_warnings(r, total, warnings);
    emit_array(e, "warnings");
    for (unsigned i = 0; i < n; i++)
        emit_string(e, NULL, warnings[i]);
    emit_end(e);
}

static bool put_result(struct emit *e, const struct result *r, const char *name)
{
    struct tally total;
    if (!measure_total(&r->measure, &total))
        return false;
    emit_object(e, NULL);
    put_run(e, r, name);
    put_machine(e, &r->host);
    put_warnings(e, r, &total);
    put_summaries(e, r, &total);
    bool ok = put_series(e, &r->measure.series);
    emit_end(e);
    tally_close(&total);
    return ok;
}

/* The caller frees `*text`. False: no memory. */
static bool data_of(const struct result *results, const char *const *names, unsigned n, char **text)
{
    struct emit e;
    size_t size;
    bool ok = true;
    *text = NULL;
    FILE *out = open_memstream(text, &size);
    if (!out)
        return false;
    emit_init(&e, out);
    emit_array(&e, NULL);
    for (unsigned i = 0; i < n && ok; i++)
        ok = put_result(&e, &results[i], names[i]);
    if (ok)
        emit_end(&e);
    return fclose(out) == 0 && ok;
}

/* --- the page: page.html with what belongs at its marks --- */

/* In a script element only "<" can end it or open a comment; JSON has it in strings alone. */
static void put_escaped(const char *json, FILE *out)
{
    for (; *json; json++) {
        if (*json == '<')
            fputs("\\u003c", out);
        else
            fputc(*json, out);
    }
}

static void put_asset(const struct asset *a, FILE *out)
{
    fwrite(a->data, 1, a->len, out);
}

static void put_marked(const char *mark, size_t len, const char *data, FILE *out)
{
    static const struct {
        const char *mark;
        const struct asset *asset;
    } parts[] = {{"plot.css", &asset_plot_css},
                 {"page.css", &asset_page_css},
                 {"plot.js", &asset_plot_js},
                 {"plot.license", &asset_plot_license},
                 {"page.js", &asset_page_js}};
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strlen(parts[i].mark) == len && memcmp(parts[i].mark, mark, len) == 0)
            put_asset(parts[i].asset, out);
    if (len == 4 && memcmp(mark, "data", len) == 0)
        put_escaped(data, out);
}

/* A mark is {{name}}. */
static void put_page(const char *data, FILE *out)
{
    const char *at = (const char *)asset_page_html.data, *end = at + asset_page_html.len;
    while (at < end) {
        const char *open = at, *close;
        while (open + 1 < end && !(open[0] == '{' && open[1] == '{'))
            open++;
        close = open;
        while (close + 1 < end && !(close[0] == '}' && close[1] == '}'))
            close++;
        if (close + 1 >= end) {
            fwrite(at, 1, (size_t)(end - at), out);
            return;
        }
        fwrite(at, 1, (size_t)(open - at), out);
        put_marked(open + 2, (size_t)(close - open) - 2, data, out);
        at = close + 2;
    }
}

enum error_code page_write(const struct result *results, const char *const *names, unsigned n,
                           FILE *out, struct error *err)
{
    char *data = NULL;
    enum error_code rc = page_check(err);
    if (rc)
        return rc;
    if (!data_of(results, names, n, &data))
        rc = error_set(err, ERR_NOMEM, "the page");
    else
        put_page(data, out);
    free(data);
    if (!rc && ferror(out))
        rc = error_set_sys(err, ERR_IO, errno, "the page");
    return rc;
}
