/* report: results of earlier runs shown, added up, compared. */
#include <load/commands.h>
#include <load/output.h>
#include <load/result_json.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static enum error_code read_file(const char *path, struct result *out, struct error *err)
{
    *out = (struct result){.in_flight = 0};
    FILE *in = fopen(path, "r");
    if (!in)
        return error_set_sys(err, ERR_IO, errno, "%s", path);
    enum error_code rc = result_read(in, path, out, err);
    (void)fclose(in);
    return rc;
}

static enum error_code read_files(const struct load_options *o, struct result *results,
                                  struct error *err)
{
    enum error_code rc = ERR_OK;
    for (unsigned i = 0; i < o->n_files && !rc; i++)
        rc = read_file(o->files[i], &results[i], err);
    return rc;
}

static enum error_code merge(const struct load_options *o, struct result *results,
                             struct error *err)
{
    for (unsigned i = 1; i < o->n_files; i++) {
        enum error_code rc = result_add(&results[0], &results[i], err);
        if (rc) {
            error_wrap(err, "%s", o->files[i]);
            return rc;
        }
    }
    return ERR_OK;
}

static enum error_code show(const struct load_options *o, struct result *results, struct error *err)
{
    if (o->n_files > 1 && !o->merge)
        return output_comparison(o, results, o->files, o->n_files, err);
    enum error_code rc = merge(o, results, err);
    return rc ? rc : output_result(o, &results[0], err);
}

int load_report(const struct load_options *o)
{
    struct error err = {0};
    struct result *results = calloc(o->n_files, sizeof *results);
    if (!results) {
        error_set(&err, ERR_NOMEM, "%u results", o->n_files);
        return load_fail(&err);
    }
    enum error_code rc = output_check(o, &err);
    if (!rc)
        rc = read_files(o, results, &err);
    if (!rc)
        rc = show(o, results, &err);
    for (unsigned i = 0; i < o->n_files; i++)
        result_close(&results[i]);
    free(results);
    return rc ? load_fail(&err) : 0;
}
