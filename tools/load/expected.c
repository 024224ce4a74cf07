#include <load/expected.h>

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXPECTED_FORMAT = 1 };

static json_t *segments_of(const struct gen_model *m)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < gen_n_segments; i++) {
        json_int_t n = (json_int_t)gen_model_count(m, &gen_segments[i]);
        json_array_append_new(list,
                              json_pack("{s:s,s:I}", "expr", gen_segments[i].text, "count", n));
    }
    return list;
}

static json_t *expected_json(const struct gen_model *m, const char *timezone)
{
    const struct gen_options *o = &m->gen->options;
    int year, month, day;
    char today[48], digest[24];
    clock_date_of_day(m->today, &year, &month, &day);
    snprintf(today, sizeof today, "%04d-%02d-%02d", year, month, day);
    snprintf(digest, sizeof digest, "%016llx", (unsigned long long)gen_model_digest(m));
    return json_pack(
        "{s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o}",
        "format", EXPECTED_FORMAT, "today", today, "timezone", timezone, "persons",
        (json_int_t)o->persons, "lines", (json_int_t)o->events, "seed", (json_int_t)o->seed,
        "profiles", (json_int_t)m->gen->n_profiles, "identities", (json_int_t)m->n_identities,
        "devices", (json_int_t)m->n_devices, "events", (json_int_t)m->n_events, "orders",
        (json_int_t)m->n_orders, "order_cents", (json_int_t)m->order_cents, "points",
        (json_int_t)m->points, "growth", (json_int_t)m->growth, "digest", digest, "segments",
        segments_of(m));
}

enum error_code expected_write(const char *path, const struct gen_model *m, const char *timezone,
                               struct error *err)
{
    json_t *doc = expected_json(m, timezone);
    if (!doc)
        return error_set(err, ERR_NOMEM, "%s", path);
    int rc = json_dump_file(doc, path, JSON_INDENT(1));
    json_decref(doc);
    return rc ? error_set_sys(err, ERR_IO, errno, "%s", path) : ERR_OK;
}

static uint64_t number_of(json_t *doc, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(doc, key));
}

static bool take_segments(json_t *list, struct expected *out)
{
    size_t n = json_array_size(list);
    out->segments = calloc(n ? n : 1, sizeof *out->segments);
    if (!out->segments)
        return false;
    for (size_t i = 0; i < n; i++) {
        json_t *one = json_array_get(list, i);
        const char *text = json_string_value(json_object_get(one, "expr"));
        out->segments[i].text = text ? strdup(text) : NULL;
        if (!out->segments[i].text)
            return false;
        out->segments[i].count = number_of(one, "count");
        out->n_segments++;
    }
    return n > 0;
}

static bool take_expected(json_t *doc, struct expected *out)
{
    const char *today = json_string_value(json_object_get(doc, "today"));
    const char *digest = json_string_value(json_object_get(doc, "digest"));
    if (json_integer_value(json_object_get(doc, "format")) != EXPECTED_FORMAT || !digest ||
        !today || strlen(today) != 10 || clock_parse_date(today, &out->today))
        return false;
    out->digest = strtoull(digest, NULL, 16);
    out->profiles = number_of(doc, "profiles");
    out->identities = number_of(doc, "identities");
    out->devices = number_of(doc, "devices");
    out->events = number_of(doc, "events");
    out->points = (int64_t)number_of(doc, "points");
    out->growth = (int64_t)number_of(doc, "growth");
    out->order_cents = (int64_t)number_of(doc, "order_cents");
    return take_segments(json_object_get(doc, "segments"), out);
}

enum error_code expected_read(const char *path, struct expected *out, struct error *err)
{
    json_error_t why;
    *out = (struct expected){0};
    FILE *in = fopen(path, "r");
    if (!in)
        return error_set_sys(err, ERR_IO, errno, "%s", path);
    json_t *doc = json_loadf(in, 0, &why);
    fclose(in);
    bool ok = doc && take_expected(doc, out);
    json_decref(doc);
    if (ok)
        return ERR_OK;
    expected_close(out);
    return error_set(err, ERR_MALFORMED, "%s: not an expected.json of oneid-load gen", path);
}

void expected_close(struct expected *e)
{
    for (size_t i = 0; i < e->n_segments; i++)
        free(e->segments[i].text);
    free(e->segments);
    *e = (struct expected){0};
}

/* Asked by a different one of its identities from profile to profile. */
static bool write_sample(FILE *out, const struct gen_model *m, uint64_t profile,
                         struct buf *scratch)
{
    struct gen_view v;
    gen_model_view(m, profile, &v);
    buf_reset(scratch);
    gen_view_put(&v, scratch);
    struct gen_view_identity id = v.ids[profile % v.n_ids];
    json_t *line = json_pack("{s:s%, s:s%, s:s%}", "ns", id.ns.data, id.ns.len, "value",
                             id.value.data, id.value.len, "profile", scratch->data, scratch->len);
    bool ok = line && json_dumpf(line, out, JSON_COMPACT) == 0 && fputc('\n', out) != EOF;
    json_decref(line);
    return ok;
}

enum error_code samples_write(const char *path, const struct gen_model *m, uint64_t n,
                              struct error *err)
{
    struct buf scratch = {0};
    uint64_t all = m->gen->n_profiles;
    FILE *out = fopen(path, "w");
    if (!out)
        return error_set_sys(err, ERR_IO, errno, "%s", path);
    if (n > all)
        n = all;
    bool ok = true;
    for (uint64_t i = 0; i < n && ok; i++)
        ok = write_sample(out, m, (uint64_t)((double)i / (double)n * (double)all), &scratch);
    buf_free(&scratch);
    ok &= fclose(out) == 0;
    return ok ? ERR_OK : error_set_sys(err, ERR_IO, errno, "%s", path);
}

static bool read_sample(const char *line, sample_cb cb, void *ctx)
{
    json_t *one = json_loads(line, 0, NULL);
    const char *ns = json_string_value(json_object_get(one, "ns"));
    const char *value = json_string_value(json_object_get(one, "value"));
    const char *profile = json_string_value(json_object_get(one, "profile"));
    bool ok = ns && value && profile;
    if (ok)
        cb(ctx, ns, value, profile);
    json_decref(one);
    return ok;
}

enum error_code samples_read(const char *path, sample_cb cb, void *ctx, struct error *err)
{
    char *line = NULL;
    size_t size = 0;
    FILE *in = fopen(path, "r");
    if (!in && errno == ENOENT)
        return ERR_OK;
    if (!in)
        return error_set_sys(err, ERR_IO, errno, "%s", path);
    bool ok = true;
    while (ok && getline(&line, &size, in) > 0)
        ok = read_sample(line, cb, ctx);
    bool failed = ferror(in);
    free(line);
    fclose(in);
    if (failed)
        return error_set(err, ERR_IO, "%s: cannot be read", path);
    return ok ? ERR_OK
              : error_set(err, ERR_MALFORMED, "%s: not a samples.jsonl of oneid-load gen", path);
}
