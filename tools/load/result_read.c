#include <load/result_json.h>

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* The first thing that is missing or of another type is kept. */
struct reading {
    const char *name; /* of the file */
    const char *missing;
};

static json_t *need(struct reading *r, json_t *from, const char *key, json_type type)
{
    json_t *v = json_object_get(from, key);
    bool number = type == JSON_REAL && json_is_number(v);
    if (!r->missing && !number && (!v || json_typeof(v) != type))
        r->missing = key;
    return v;
}

static int64_t need_integer(struct reading *r, json_t *from, const char *key)
{
    return json_integer_value(need(r, from, key, JSON_INTEGER));
}

static uint64_t need_count(struct reading *r, json_t *from, const char *key)
{
    int64_t v = need_integer(r, from, key);
    if (v < 0 && !r->missing)
        r->missing = key;
    return v < 0 ? 0 : (uint64_t)v;
}

static double need_real(struct reading *r, json_t *from, const char *key)
{
    return json_number_value(need(r, from, key, JSON_REAL));
}

static bool need_bool(struct reading *r, json_t *from, const char *key)
{
    json_t *v = json_object_get(from, key);
    if (!json_is_boolean(v) && !r->missing)
        r->missing = key;
    return json_is_true(v);
}

static void need_text(struct reading *r, json_t *from, const char *key, char *out, size_t size)
{
    const char *text = json_string_value(need(r, from, key, JSON_STRING));
    snprintf(out, size, "%s", text ? text : "");
}

/* --- parts --- */

/* Values and counts in turn. False: `buckets` is no such list. */
static bool each_pair(json_t *list, size_t i, uint64_t *value, uint64_t *count)
{
    json_t *a = json_array_get(list, i), *b = json_array_get(list, i + 1);
    if (!json_is_integer(a) || !json_is_integer(b) || json_integer_value(a) < 0 ||
        json_integer_value(b) <= 0)
        return false;
    *value = (uint64_t)json_integer_value(a);
    *count = (uint64_t)json_integer_value(b);
    return true;
}

static void read_histogram(struct reading *r, json_t *from, struct histogram *h)
{
    json_t *buckets = need(r, from, "buckets", JSON_ARRAY);
    uint64_t value, count, sum = 0;
    for (size_t i = 0; i < json_array_size(buckets); i += 2) {
        if (!each_pair(buckets, i, &value, &count)) {
            r->missing = "buckets";
            return;
        }
        h->counts[histogram_bucket_of(h, value)] += count;
        sum += count;
    }
    h->n = need_count(r, from, "n");
    h->sum = need_count(r, from, "sum");
    h->min = need_count(r, from, "min");
    h->max = need_count(r, from, "max");
    if (sum != h->n && !r->missing)
        r->missing = "buckets";
}

static void read_codes(struct reading *r, json_t *codes, struct tally *t)
{
    for (unsigned i = 0; i < MEASURE_CODES; i++) {
        const char *text = oneid_code_text((enum oneid_code)i);
        if (json_object_get(codes, text))
            t->codes[i] = need_count(r, codes, text);
    }
}

static void read_tally(struct reading *r, json_t *from, struct tally *t)
{
    t->answered = need_count(r, from, "requests");
    read_codes(r, need(r, from, "codes", JSON_OBJECT), t);
    t->duplicates = need_count(r, from, "duplicates");
    t->partial = need_count(r, from, "partial");
    t->refused = need_count(r, from, "with_refused");
    read_histogram(r, need(r, from, "histogram", JSON_OBJECT), &t->latency_us);
}

static void read_kinds(struct reading *r, json_t *kinds, struct measure *m)
{
    for (unsigned i = 0; i < OP_KINDS; i++) {
        json_t *kind = json_object_get(kinds, op_name((enum op)i));
        if (kind)
            read_tally(r, kind, &m->kinds[i]);
    }
}

static bool read_cell(struct reading *r, json_t *from, struct series_cell *c)
{
    json_t *buckets = need(r, from, "buckets", JSON_ARRAY);
    size_t n = json_array_size(buckets) / 2;
    c->answered = need_count(r, from, "requests");
    c->errors = need_count(r, from, "errors");
    c->max_us = need_count(r, from, "max");
    c->buckets = n ? calloc(n, sizeof *c->buckets) : NULL;
    if (n && !c->buckets)
        return false;
    for (; c->n_buckets < n; c->n_buckets++) {
        struct series_bucket *b = &c->buckets[c->n_buckets];
        if (!each_pair(buckets, 2 * c->n_buckets, &b->greatest_us, &b->n)) {
            r->missing = "buckets";
            return true;
        }
    }
    return true;
}

static bool read_point(struct reading *r, json_t *from, struct series_point *p)
{
    json_t *kinds = need(r, from, "kinds", JSON_OBJECT);
    p->in_flight = need_count(r, from, "in_flight");
    p->behind_us = need_integer(r, from, "behind_us");
    p->cpu_s = need_real(r, from, "cpu_s");
    for (unsigned i = 0; i < OP_KINDS; i++) {
        json_t *kind = json_object_get(kinds, op_name((enum op)i));
        if (kind && !read_cell(r, kind, &p->cells[i]))
            return false;
    }
    return true;
}

static bool read_series(struct reading *r, json_t *list, struct series *s)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct series_point *p = series_push(s);
        if (!p || !read_point(r, json_array_get(list, i), p))
            return false;
    }
    return true;
}

static void read_host(struct reading *r, json_t *from, struct host *h)
{
    need_text(r, from, "cpu", h->cpu, sizeof h->cpu);
    need_text(r, from, "os", h->os, sizeof h->os);
    need_text(r, from, "kernel", h->kernel, sizeof h->kernel);
    h->cores = (uint32_t)need_count(r, from, "cores");
    h->memory_bytes = need_count(r, from, "memory_bytes");
}

static void read_notes(struct reading *r, json_t *list, struct result *out)
{
    for (size_t i = 0; i < json_array_size(list) && i < RESULT_WARNINGS_MAX; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text && !r->missing)
            r->missing = "notes";
        snprintf(out->notes[out->n_notes++], RESULT_WARNING_SIZE, "%s", text ? text : "");
    }
}

static void read_head(struct reading *r, json_t *doc, struct result *out)
{
    const char *line = json_string_value(json_object_get(doc, "line"));
    need_text(r, doc, "command", out->command, sizeof out->command);
    need_text(r, doc, "mix", out->mix, sizeof out->mix);
    need_text(r, doc, "skew", out->skew, sizeof out->skew);
    out->line = line ? strdup(line) : NULL;
    out->in_flight = need_count(r, doc, "in_flight");
    out->rate = need_real(r, doc, "rate");
    out->warmup_s = need_real(r, doc, "warmup_s");
    read_host(r, need(r, doc, "host", JSON_OBJECT), &out->host);
    read_notes(r, need(r, doc, "notes", JSON_ARRAY), out);
}

static void read_measure(struct reading *r, json_t *doc, struct measure *m)
{
    m->from_ms = need_integer(r, doc, "measured_from_ms");
    m->began_ms = need_integer(r, doc, "began_ms");
    m->elapsed_us = need_integer(r, doc, "elapsed_us");
    m->sent = need_count(r, doc, "sent");
    m->full = need_count(r, doc, "full");
    m->cpu_s = need_real(r, doc, "cpu_s");
    m->busiest = need_real(r, doc, "busiest");
    m->behind_us = need_integer(r, doc, "behind_us");
    m->interrupted = need_bool(r, doc, "interrupted");
    m->ended = need_bool(r, doc, "ended");
    m->processes = (unsigned)need_count(r, doc, "processes");
    read_kinds(r, need(r, doc, "kinds", JSON_OBJECT), m);
}

/* --- the whole --- */

static enum error_code open_measure(struct reading *r, json_t *doc, struct measure *m,
                                    struct error *err)
{
    uint64_t bits = need_count(r, doc, "histogram_bits");
    int64_t interval_ms = need_integer(r, doc, "interval_ms");
    if (bits < 1 || bits > histogram_bits_of_digits(HISTOGRAM_DIGITS_MAX))
        return error_set(err, ERR_MALFORMED, "%s: histogram_bits is not usable", r->name);
    if (interval_ms < 1 || interval_ms > INT32_MAX)
        return error_set(err, ERR_MALFORMED, "%s: interval_ms is not usable", r->name);
    if (!measure_open(m, (unsigned)bits, interval_ms * 1000))
        return error_set(err, ERR_NOMEM, "%s", r->name);
    return ERR_OK;
}

static enum error_code read_document(struct reading *r, json_t *doc, struct result *out,
                                     struct error *err)
{
    if (json_integer_value(json_object_get(doc, "format")) != RESULT_FORMAT)
        return error_set(err, ERR_MALFORMED,
                         "%s: not a result of oneid-load run --json FILE of this version", r->name);
    enum error_code rc = open_measure(r, doc, &out->measure, err);
    if (rc)
        return rc;
    read_head(r, doc, out);
    read_measure(r, doc, &out->measure);
    if (!read_series(r, need(r, doc, "series", JSON_ARRAY), &out->measure.series))
        return error_set(err, ERR_NOMEM, "%s", r->name);
    if (r->missing)
        return error_set(err, ERR_MALFORMED, "%s: %s is missing or not what it should be", r->name,
                         r->missing);
    return ERR_OK;
}

enum error_code result_read(FILE *in, const char *name, struct result *out, struct error *err)
{
    struct reading r = {.name = name};
    json_error_t where;
    *out = (struct result){.in_flight = 0};
    json_t *doc = json_loadf(in, 0, &where);
    if (!doc)
        return error_set(err, ERR_MALFORMED, "%s:%d:%d: not JSON", name, where.line, where.column);
    enum error_code rc = read_document(&r, doc, out, err);
    json_decref(doc);
    return rc;
}
