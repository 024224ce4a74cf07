#include <load/output.h>

#include <load/page.h>
#include <load/result_json.h>
#include <load/result_text.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What goes into a file: results, how many (one unless they are compared), their names. */
struct shown {
    const struct result *results;
    const char *const *names;
    unsigned n;
};

/* Writes it; ERR_NOMEM and others, but not of the stream. */
typedef enum error_code (*writer)(const struct shown *s, FILE *out, struct error *err);

static enum error_code write_json(const struct shown *s, FILE *out, struct error *err)
{
    return result_write(s->results, out, true, err);
}

static enum error_code write_csv(const struct shown *s, FILE *out, struct error *err)
{
    return result_print_csv(s->results, out) ? ERR_OK : error_set(err, ERR_NOMEM, "--csv");
}

static enum error_code write_page(const struct shown *s, FILE *out, struct error *err)
{
    return page_write(s->results, s->names, s->n, out, err);
}

static enum error_code write_total(const struct shown *s, FILE *out, struct error *err,
                                   void (*print)(const struct histogram *, FILE *))
{
    struct tally total;
    if (!measure_total(&s->results->measure, &total))
        return error_set(err, ERR_NOMEM, "the histogram");
    print(&total.latency_us, out);
    tally_close(&total);
    return ERR_OK;
}

static enum error_code write_hist(const struct shown *s, FILE *out, struct error *err)
{
    return write_total(s, out, err, histogram_print);
}

static enum error_code write_hgrm(const struct shown *s, FILE *out, struct error *err)
{
    return write_total(s, out, err, histogram_print_hgrm);
}

static enum error_code to_file(const char *path, writer write, const struct shown *s,
                               struct error *err)
{
    if (!path)
        return ERR_OK;
    FILE *out = fopen(path, "w");
    if (!out)
        return error_set_sys(err, ERR_IO, errno, "%s", path);
    enum error_code rc = write(s, out, err);
    bool broken = ferror(out);
    if ((fclose(out) || broken) && !rc)
        rc = error_set_sys(err, ERR_IO, errno, "%s", path);
    return rc;
}

/* --- a mix has a percentile file for each kind: lat.hgrm, lat.get.hgrm, ... --- */

enum { PATH_SIZE = 4096 };

static enum error_code kind_path(const char *path, enum op op, char *out, struct error *err)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    size_t stem = dot && dot > (slash ? slash + 1 : path) ? (size_t)(dot - path) : strlen(path);
    int n = snprintf(out, PATH_SIZE, "%.*s.%s%s", (int)stem, path, op_name(op), path + stem);
    return n < 0 || n >= PATH_SIZE ? error_set(err, ERR_USAGE, "--hgrm: too long") : ERR_OK;
}

static unsigned n_kinds(const struct measure *m)
{
    unsigned n = 0;
    for (unsigned i = 0; i < OP_KINDS; i++)
        n += m->kinds[i].answered > 0;
    return n;
}

static enum error_code write_kind_files(const char *path, const struct result *r, struct error *err)
{
    char name[PATH_SIZE];
    enum error_code rc = ERR_OK;
    if (!path || n_kinds(&r->measure) < 2)
        return ERR_OK;
    for (unsigned i = 0; i < OP_KINDS && !rc; i++) {
        if (!r->measure.kinds[i].answered)
            continue;
        rc = kind_path(path, (enum op)i, name, err);
        FILE *out = rc ? NULL : fopen(name, "w");
        if (!rc && !out)
            rc = error_set_sys(err, ERR_IO, errno, "%s", name);
        if (!out)
            continue;
        histogram_print_hgrm(&r->measure.kinds[i].latency_us, out);
        if (fclose(out))
            rc = error_set_sys(err, ERR_IO, errno, "%s", name);
    }
    return rc;
}

/* --- */

static enum error_code to_stdout(const struct load_options *o, const struct result *r,
                                 struct error *err)
{
    if (o->json && !o->json_file)
        return result_write(r, stdout, false, err);
    return result_print(r, stdout) ? ERR_OK : error_set(err, ERR_NOMEM, "the result");
}

enum error_code output_result(const struct load_options *o, const struct result *r,
                              struct error *err)
{
    const char *name = r->command;
    struct shown s = {r, &name, 1};
    enum error_code rc = to_stdout(o, r, err);
    if (!rc)
        rc = to_file(o->json_file, write_json, &s, err);
    if (!rc)
        rc = to_file(o->csv, write_csv, &s, err);
    if (!rc)
        rc = to_file(o->hist, write_hist, &s, err);
    if (!rc)
        rc = to_file(o->hgrm, write_hgrm, &s, err);
    if (!rc)
        rc = write_kind_files(o->hgrm, r, err);
    return rc ? rc : to_file(o->html, write_page, &s, err);
}

enum error_code output_comparison(const struct load_options *o, const struct result *results,
                                  const char *const *names, unsigned n, struct error *err)
{
    struct shown s = {results, names, n};
    if (!result_print_comparison(results, names, n, stdout))
        return error_set(err, ERR_NOMEM, "the results");
    return to_file(o->html, write_page, &s, err);
}

/* Opens for appending: what is there stays until there is something to take its place. */
static enum error_code check_file(const char *path, struct error *err)
{
    FILE *out = path ? fopen(path, "a") : NULL;
    if (path && (!out || fclose(out)))
        return error_set_sys(err, ERR_IO, errno, "%s", path);
    return ERR_OK;
}

enum error_code output_check(const struct load_options *o, struct error *err)
{
    const char *const paths[] = {o->json_file, o->csv, o->html, o->hgrm, o->hist};
    enum error_code rc = o->html ? page_check(err) : ERR_OK;
    for (unsigned i = 0; i < sizeof paths / sizeof paths[0] && !rc; i++)
        rc = check_file(paths[i], err);
    return rc;
}
