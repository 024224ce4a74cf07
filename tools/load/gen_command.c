#include <gen/line.h>
#include <load/commands.h>
#include <load/expected.h>
#include <load/population.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { PATH_SIZE = 4096 };

static enum error_code path_in(char *out, const struct load_options *o, const char *name,
                               struct error *err)
{
    int n = snprintf(out, PATH_SIZE, "%s/%s", o->out, name);
    return n < 0 || n >= PATH_SIZE ? error_set(err, ERR_USAGE, "--out: too long") : ERR_OK;
}

/* events.jsonl, or events-1.jsonl ... events-K.jsonl. */
static enum error_code open_parts(const struct load_options *o, FILE **files, struct error *err)
{
    for (unsigned i = 0; i < o->parts; i++) {
        char name[32], path[PATH_SIZE];
        if (o->parts == 1)
            snprintf(name, sizeof name, "events.jsonl");
        else
            snprintf(name, sizeof name, "events-%u.jsonl", i + 1);
        enum error_code rc = path_in(path, o, name, err);
        if (rc)
            return rc;
        files[i] = fopen(path, "w");
        if (!files[i])
            return error_set_sys(err, ERR_IO, errno, "%s", path);
    }
    return ERR_OK;
}

static enum error_code close_parts(const struct load_options *o, FILE **files, struct error *err)
{
    enum error_code rc = ERR_OK;
    for (unsigned i = 0; i < o->parts; i++)
        if (files[i] && fclose(files[i]) && !rc)
            rc = error_set_sys(err, ERR_IO, errno, "%s: events", o->out);
    return rc;
}

static enum error_code write_events(const struct load_options *o, struct gen *g,
                                    struct gen_model *m, FILE **files, struct error *err)
{
    struct gen_event e;
    struct buf line = {0};
    enum error_code rc = ERR_OK;
    for (uint64_t n = 0; !rc && gen_next(g, &e); n++) {
        gen_model_add(m, &e);
        if (o->parts == 0)
            continue;
        buf_reset(&line);
        gen_line_put(&line, &e);
        if (fwrite(line.data, 1, line.len, files[n % o->parts]) != line.len)
            rc = error_set_sys(err, ERR_IO, errno, "%s: events", o->out);
    }
    buf_free(&line);
    return rc;
}

static enum error_code write_stream(const struct load_options *o, struct gen *g,
                                    struct gen_model *m, struct error *err)
{
    FILE **files = calloc(o->parts + 1, sizeof *files);
    if (!files)
        return error_set(err, ERR_NOMEM, "events");
    enum error_code rc = open_parts(o, files, err);
    if (!rc)
        rc = write_events(o, g, m, files, err);
    enum error_code closed = close_parts(o, files, rc ? NULL : err);
    free(files);
    return rc ? rc : closed;
}

static enum error_code write_answers(const struct load_options *o, const struct gen_model *m,
                                     const char *timezone, struct error *err)
{
    char path[PATH_SIZE];
    enum error_code rc = path_in(path, o, "samples.jsonl", err);
    if (!rc)
        rc = samples_write(path, m, o->samples, err);
    if (!rc)
        rc = path_in(path, o, "expected.json", err);
    return rc ? rc : expected_write(path, m, timezone, err);
}

static void print_summary(const struct load_options *o, const struct gen_model *m)
{
    const char *form =
        o->json ? "{\"lines\":%llu,\"events\":%llu,\"persons\":%llu,\"profiles\":%llu,"
                  "\"identities\":%llu,\"devices\":%llu,\"points\":%lld}\n"
                : "lines %llu, unique events %llu, persons %llu, profiles %llu, identities %llu, "
                  "devices %llu, points %lld\n";
    const struct gen_options *p = &m->gen->options;
    /* Both forms stand just above and take the same arguments. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    printf(form, (unsigned long long)p->events, (unsigned long long)m->n_events,
           (unsigned long long)p->persons, (unsigned long long)m->gen->n_profiles,
           (unsigned long long)m->n_identities, (unsigned long long)m->n_devices,
           (long long)m->points);
#pragma GCC diagnostic pop
}

int load_gen(const struct load_options *o, const struct cluster_config *c)
{
    struct gen g;
    struct gen_model m = {0};
    struct error err = {0};
    int32_t today;
    if (population_init(o, &g, &today, &err))
        return load_fail(&err);
    if (mkdir(o->out, 0777) && errno != EEXIST) {
        error_set_sys(&err, ERR_IO, errno, "%s", o->out);
        return load_fail(&err);
    }
    if (gen_model_open(&m, &g, today, &err))
        return load_fail(&err);
    enum error_code rc = write_stream(o, &g, &m, &err);
    if (!rc)
        rc = write_answers(o, &m, c->timezone, &err);
    if (!rc)
        print_summary(o, &m);
    gen_model_close(&m);
    return rc ? load_fail(&err) : 0;
}
