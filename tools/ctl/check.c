/* check: is the cluster as it should be, and do the shards' books balance? */
#include "commands.h"
#include "health.h"
#include "session.h"
#include "show.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { AGAIN_MS = 700, LOOKS_MAX = 5 }; /* what is gone by then was passing by */

static void wait_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

int health_look(const struct options *o, struct findings *out)
{
    static struct survey surveys[2];
    int rc = survey_open(&surveys[0], o, true);
    bool is_clear = false;
    if (rc == EXIT_OK)
        health_check(&surveys[0], NULL, out);
    for (int look = 1; look < LOOKS_MAX && rc == EXIT_OK && out->n > 0 && !is_clear; look++) {
        struct survey *before = &surveys[(look - 1) % 2], *now = &surveys[look % 2];
        struct findings again = {0};
        wait_ms(AGAIN_MS);
        survey_close(now); /* the one before the last */
        rc = survey_open(now, o, true);
        if (rc == EXIT_OK) {
            health_check(now, before, &again);
            is_clear = findings_confirm(out, &again);
        }
        findings_close(&again);
    }
    survey_close(&surveys[0]);
    survey_close(&surveys[1]);
    return rc;
}

/* --- telling --- */

void finding_emit(struct emit *e, const struct finding *f)
{
    emit_object(e, NULL);
    emit_string(e, "finding", finding_name(f->kind));
    if (f->shard)
        emit_unsigned(e, "shard", f->shard - 1U);
    if (f->node)
        emit_unsigned(e, "node", f->node);
    emit_string(e, "text", f->what);
    emit_string(e, "mend", f->mend);
    emit_end(e);
}

/* `quick`: the books were not asked for. */
static void emit_all(const struct findings *f, const struct oneid_result *books, bool quick)
{
    bool balanced = books && books->code == ONEID_OK && books->n_findings == 0 && !books->partial;
    struct emit e;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_bool(&e, "ok", f->n == 0 && (quick || balanced));
    emit_array(&e, "cluster");
    for (size_t i = 0; i < f->n; i++)
        finding_emit(&e, &f->list[i]);
    emit_end(&e);
    emit_array(&e, "findings");
    for (size_t i = 0; books && i < books->n_findings; i++)
        emit_string(&e, NULL, books->findings[i]);
    emit_end(&e);
    emit_bool(&e, "partial", !quick && (!books || books->code != ONEID_OK || books->partial));
    emit_end(&e);
}

void health_show(const struct findings *f)
{
    for (size_t i = 0; i < f->n; i++)
        (void)printf("%s: %s\n    mend: %s\n", finding_name(f->list[i].kind), f->list[i].what,
                     f->list[i].mend);
}

static void show_all(const struct findings *f, const struct oneid_result *books)
{
    health_show(f);
    if (f->n == 0)
        (void)printf("ok: routers, nodes and shards are as they should be\n");
    for (size_t i = 0; books && i < books->n_findings; i++)
        (void)printf("books: %s\n", books->findings[i]);
    if (books && books->code == ONEID_OK && books->n_findings == 0 && !books->partial)
        (void)printf("ok: the books of all shards balance\n");
}

static int check_quickly(const struct options *o)
{
    struct findings f = {0};
    int rc = health_look(o, &f);
    if (rc == EXIT_OK && o->json)
        emit_all(&f, NULL, true);
    else if (rc == EXIT_OK)
        show_all(&f, NULL);
    rc = rc == EXIT_OK && f.n > 0 ? EXIT_PROBLEM : rc;
    findings_close(&f);
    return rc;
}

/* --- the books --- */

struct looking {
    bool shown, drawn;
};

static void on_progress(void *ctx, const struct oneid_result *so_far)
{
    struct looking *l = ctx;
    if (!l->shown)
        return;
    double part = so_far->population ? (double)so_far->count / (double)so_far->population : 0;
    (void)fprintf(stderr, "\r%5.1f%%  %" PRIu64 " of %" PRIu64 " rows, %zu shards left\033[K",
                  part * 100, so_far->count, so_far->population, so_far->n_carrying);
    l->drawn = true;
}

static struct oneid_result *look_at_books(struct oneid_client *c)
{
    struct looking l = {.shown = isatty(STDERR_FILENO) == 1};
    struct oneid_result *books = oneid_check_watched(c, on_progress, &l);
    if (l.drawn)
        (void)fprintf(stderr, "\r\033[K");
    return books;
}

int run_check(const struct options *o)
{
    if (o->quick)
        return check_quickly(o);
    struct findings f = {0};
    struct session s = {0};
    int rc = health_look(o, &f);
    if (rc == EXIT_OK)
        rc = session_open(&s, o);
    if (rc == EXIT_OK) {
        struct oneid_result *books = look_at_books(s.client);
        if (o->json)
            emit_all(&f, books, false);
        else
            show_all(&f, books);
        rc = result_check(books);
        if (f.n > 0 || (books && books->n_findings > 0))
            rc = EXIT_PROBLEM;
        oneid_result_free(books);
    }
    session_close(&s);
    findings_close(&f);
    return rc;
}
