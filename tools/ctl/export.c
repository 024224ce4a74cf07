/* export: members and chosen fields, page by page, in bounded memory. The next page is asked for
 * before this one is written. What has been written ends with a page whenever it stops, and the
 * token of the next one is told. */
#include "export.h"

#include "commands.h"
#include "interrupt.h"

#include <base/clock.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PROGRESS_MS = 500, FILE_BUFFER = 1 << 20 };

struct export
{
    const struct options *o;
    struct session session;
    struct export_plan plan;
    struct export_ids ids;
    FILE *out;
    off_t settled;      /* bytes of whole pages in the file */
    struct buf last;    /* the cursor behind what was written, with its NUL */
    const char *cursor; /* in `last`; NULL: nothing was written yet */
    bool at_end, partial, waiting, failed, shows;
    uint64_t written;
    msec_t began_ms, shown_ms;
};

static void fail(struct export *x, const char *text)
{
    if (!x->failed)
        complain("%s", text);
    x->failed = true;
}

/* --- the plan --- */

/* The words of "a,b,c". */
static bool split(struct arena *arena, const char *text, const char **out, size_t max, size_t *n)
{
    for (const char *p = text; p;) {
        const char *comma = strchr(p, ',');
        size_t len = comma ? (size_t)(comma - p) : strlen(p);
        char *word = arena_zalloc(arena, len + 1);
        if (!word || len == 0 || *n == max)
            return false;
        memcpy(word, p, len);
        if (strcmp(word, "one_id") != 0)
            out[(*n)++] = word;
        p = comma ? comma + 1 : NULL;
    }
    return true;
}

static int make_plan(struct export *x)
{
    struct export_plan *p = &x->plan;
    const struct options *o = x->o;
    if (o->format && strcmp(o->format, "csv") != 0 && strcmp(o->format, "jsonl") != 0) {
        complain("--format: expected jsonl or csv");
        return EXIT_USAGE;
    }
    p->csv = o->format && strcmp(o->format, "csv") == 0;
    if (o->fields && !split(&p->names, o->fields, p->fields, EXPORT_FIELDS_MAX, &p->n_fields)) {
        complain("--fields: expected up to %d names with commas between them", EXPORT_FIELDS_MAX);
        return EXIT_USAGE;
    }
    if (o->ids &&
        !split(&p->names, o->ids, p->namespaces, EXPORT_NAMESPACES_MAX, &p->n_namespaces)) {
        complain("--ids: expected up to %d namespaces with commas between them",
                 EXPORT_NAMESPACES_MAX);
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

static bool is_namespace(const struct schema *s, const char *name)
{
    return schema_namespace_by_name(s, bytes_of_str(name)) != NULL;
}

/* Without a cluster file a namespace that is not there shows as one that nobody has. */
static int check_namespaces(const struct export *x)
{
    const struct cluster_config *config = x->session.config;
    for (size_t i = 0; config && i < x->plan.n_namespaces; i++) {
        if (!is_namespace(&config->schema, x->plan.namespaces[i])) {
            complain("--ids: the cluster file has no namespace %.64s", x->plan.namespaces[i]);
            return EXIT_PROBLEM;
        }
    }
    return EXIT_OK;
}

/* --- the file --- */

/* Goes on behind what is there with --cursor, else begins anew. */
static int open_file(struct export *x)
{
    const char *path = x->o->out;
    x->out = stdout;
    if (!path)
        return EXIT_OK;
    int how = x->o->cursor ? O_APPEND : O_TRUNC;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | how, 0600);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || (S_ISREG(st.st_mode) && fchmod(fd, 0600) != 0) ||
        !(x->out = fdopen(fd, x->o->cursor ? "a" : "w"))) {
        complain("%s: %s", path, strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
        if (fd >= 0)
            (void)close(fd);
        x->out = NULL;
        return EXIT_PROBLEM;
    }
    (void)setvbuf(x->out, NULL, _IOFBF, FILE_BUFFER);
    x->settled = S_ISREG(st.st_mode) && x->o->cursor ? st.st_size : 0;
    return EXIT_OK;
}

/* What is in the file behind the last whole page goes. */
static void cut_back(const struct export *x)
{
    struct stat st;
    int fd = fileno(x->out);
    if (x->o->out && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > x->settled)
        (void)!ftruncate(fd, x->settled);
}

/* A page is in when the system has taken all of it. */
static bool settle(struct export *x)
{
    struct stat st;
    if (fflush(x->out) != 0 || ferror(x->out)) {
        fail(x, "the output cannot be written");
        cut_back(x);
        return false;
    }
    if (x->o->out && fstat(fileno(x->out), &st) == 0 && S_ISREG(st.st_mode))
        x->settled = st.st_size;
    return true;
}

/* --- pages --- */

static void show_progress(struct export *x, bool last)
{
    msec_t now = clock_mono_ms();
    if (!x->shows || (!last && now - x->shown_ms < PROGRESS_MS))
        return;
    x->shown_ms = now;
    double seconds = (double)(now - x->began_ms) / 1000;
    (void)fprintf(stderr, "\r%" PRIu64 " members, %.0f/s%s", x->written,
                  (double)x->written / (seconds > 0 ? seconds : 0.001), last ? "\n" : "");
}

static void on_page(void *ctx, const struct oneid_result *r);

static void ask_page(struct export *x, const char *cursor)
{
    enum oneid_code rc = oneid_submit_export(x->session.client, x->o->args[0], x->plan.fields,
                                             x->plan.n_fields, cursor, EXPORT_PAGE, 0, on_page, x);
    x->waiting = rc == ONEID_OK;
    if (rc != ONEID_OK) {
        complain_code(rc, oneid_error_text(x->session.client));
        x->failed = true;
    }
}

static void write_page(struct export *x, const struct oneid_result *r)
{
    bool ids = x->plan.n_namespaces > 0;
    if (x->written == 0 && !x->o->cursor && !x->cursor)
        export_write_head(x->out, &x->plan);
    export_write_page(x->out, &x->plan, r, ids ? &x->ids : NULL);
    if (!settle(x))
        return;
    x->written += r->n_rows;
    x->at_end = r->cursor[0] == '\0';
    buf_reset(&x->last);
    buf_put(&x->last, r->cursor, strlen(r->cursor) + 1);
    x->cursor = (const char *)x->last.data;
    show_progress(x, x->at_end);
}

/* False: the page cannot be taken. */
static bool check_page(struct export *x, const struct oneid_result *r)
{
    if (r->code != ONEID_OK) {
        if (r->code != ONEID_ERR_CANCELLED)
            complain_code(r->code, r->text);
        x->failed = true;
        return false;
    }
    x->partial |= r->partial && r->n_rows == 0;
    if (!x->partial)
        return true;
    complain("not every shard answered within the deadline");
    x->failed = true;
    return false;
}

static void on_page(void *ctx, const struct oneid_result *r)
{
    struct export *x = ctx;
    x->waiting = false;
    if (!check_page(x, r))
        return;
    if (r->cursor[0] && !interrupted())
        ask_page(x, r->cursor);
    write_page(x, r);
}

static void run_pages(struct export *x)
{
    ask_page(x, x->o->cursor);
    while (x->waiting && !x->failed && !interrupted())
        (void)oneid_poll(x->session.client, PROGRESS_MS);
}

/* With identities a page waits for its profiles, and the profiles for their page. */
static void run_pages_with_ids(struct export *x)
{
    while (!x->at_end && !x->failed && !interrupted()) {
        struct oneid_result *r =
            oneid_export(x->session.client, x->o->args[0], x->plan.fields, x->plan.n_fields,
                         x->cursor ? x->cursor : x->o->cursor, EXPORT_PAGE);
        if (!r) {
            fail(x, "out of memory");
        } else if (check_page(x, r)) {
            if (export_ids_load(&x->ids, x->session.client, &x->plan, r))
                write_page(x, r);
            else
                fail(x, x->ids.text);
        }
        oneid_result_free(r);
    }
}

/* --- the command --- */

static int conclude(struct export *x)
{
    if (x->at_end && !x->failed)
        return EXIT_OK;
    if (interrupted())
        complain("interrupted after %" PRIu64 " members", x->written);
    if (x->cursor)
        complain("go on with --cursor %s", x->cursor);
    return EXIT_PROBLEM;
}

static int run(struct export *x)
{
    int rc = session_open_interruptible(&x->session, x->o);
    if (rc == EXIT_OK)
        rc = check_namespaces(x);
    if (rc == EXIT_OK)
        rc = open_file(x);
    if (rc != EXIT_OK)
        return rc;
    x->began_ms = clock_mono_ms();
    x->shows = isatty(STDERR_FILENO) && x->o->out;
    if (x->plan.n_namespaces)
        run_pages_with_ids(x);
    else
        run_pages(x);
    return conclude(x);
}

int run_export(const struct options *o)
{
    struct export x = {.o = o};
    int rc = make_plan(&x);
    if (rc == EXIT_OK && o->args[0][0] == '\0') {
        complain_code(ONEID_ERR_SYNTAX, "column 1: an expression is expected");
        rc = EXIT_PROBLEM;
    }
    if (rc == EXIT_OK)
        rc = run(&x);
    session_close(&x.session);
    if (o->out && x.out && fclose(x.out) != 0) {
        complain("%s cannot be written", o->out);
        rc = EXIT_PROBLEM;
    }
    export_ids_close(&x.ids);
    arena_close(&x.plan.names);
    buf_free(&x.last);
    return rc;
}
