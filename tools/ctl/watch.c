/* watch: who comes into a saved segment and who leaves it, as it happens. */
#include "commands.h"
#include "interrupt.h"
#include "session.h"
#include "show.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 5000, RETRY_MS = 500, LIMIT = 5000, TOKEN_FILE_MAX = 4 << 20 };

struct watch {
    const struct options *o;
    struct session session;
    char *token;  /* to go on from; owned */
    bool moved;   /* the token is one that the cluster gave */
    bool away;    /* the cluster does not answer, and that was said */
    bool partial; /* not every shard does, and that was said */
};

/* --- the token --- */

static bool set_token(struct watch *w, const char *token)
{
    char *copy = strdup(token);
    if (!copy) {
        complain("out of memory");
        return false;
    }
    free(w->token);
    w->token = copy;
    return true;
}

/* What the file holds, up to its first line end; NULL: it is not there, or cannot be read (*bad).
 */
static char *read_token_file(const char *path, bool *bad)
{
    FILE *f = fopen(path, "re");
    *bad = !f && errno != ENOENT;
    if (!f)
        return NULL;
    char *text = calloc(1, TOKEN_FILE_MAX + 1);
    size_t n = text ? fread(text, 1, TOKEN_FILE_MAX, f) : 0;
    *bad = !text || ferror(f) || n == 0;
    (void)fclose(f);
    if (text)
        text[strcspn(text, "\r\n")] = '\0';
    if (*bad) {
        free(text);
        return NULL;
    }
    return text;
}

static int choose_token(struct watch *w)
{
    const struct options *o = w->o;
    bool bad = false;
    char *stored = !o->from && o->token_file ? read_token_file(o->token_file, &bad) : NULL;
    if (bad) {
        complain("%s: no token can be read there", o->token_file);
        return EXIT_PROBLEM;
    }
    bool ok = set_token(w, stored ? stored : o->from ? o->from : "now");
    free(stored);
    return ok ? EXIT_OK : EXIT_PROBLEM;
}

static bool write_all(int fd, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t n = write(fd, text, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        left -= (size_t)n;
    }
    return true;
}

/* Whole or not at all, whatever happens in between. */
static bool write_token_file(const char *path, const char *token)
{
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return false;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return false;
    bool ok = write_all(fd, token) && write_all(fd, "\n") && fsync(fd) == 0;
    ok = close(fd) == 0 && ok && rename(temporary, path) == 0;
    if (!ok)
        (void)unlink(temporary);
    return ok;
}

/* --- events --- */

static void print_time(int64_t ms)
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    char text[32];
    if (ms == 0) {
        (void)printf("%-24s", "-");
        return;
    }
    (void)gmtime_r(&s, &tm);
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)printf("%s.%03dZ", text, (int)(ms % 1000));
}

static void print_event(const struct options *o, const struct oneid_watch_event *v)
{
    char id[17];
    oneid_format(v->one_id, id);
    if (!o->json) {
        print_time(v->at_ms);
        (void)printf("  %s  %s\n", v->enter ? "enter" : "exit ", id);
        return;
    }
    struct emit e;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_string(&e, "event", v->enter ? "enter" : "exit");
    emit_string(&e, "one_id", id);
    if (v->at_ms == 0)
        emit_null(&e, "at");
    else
        emit_integer(&e, "at", v->at_ms);
    emit_unsigned(&e, "shard", v->shard);
    emit_unsigned(&e, "log_index", v->log_index);
    emit_end(&e);
}

static void print_token(const char *token)
{
    struct emit e;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_string(&e, "token", token);
    emit_end(&e);
}

/* First everything is out, then the token moves: nothing may be lost in between. */
static int take_batch(struct watch *w, const struct oneid_result *r)
{
    const struct options *o = w->o;
    for (size_t i = 0; i < r->n_events; i++)
        print_event(o, &r->events[i]);
    if (o->json && (r->n_events > 0 || !w->moved))
        print_token(r->cursor);
    if (fflush(stdout) != 0 || ferror(stdout))
        return EXIT_PROBLEM; /* main says so */
    if (!set_token(w, r->cursor))
        return EXIT_PROBLEM;
    w->moved = true;
    if (o->token_file && !write_token_file(o->token_file, w->token)) {
        complain("%s: the token cannot be written", o->token_file);
        return EXIT_PROBLEM;
    }
    return EXIT_OK;
}

/* --- following --- */

static void note_partial(struct watch *w, bool partial)
{
    if (partial && !w->partial)
        complain("not every shard answers: their events come later");
    w->partial = partial;
}

static bool may_pass(enum oneid_code code)
{
    return code == ONEID_ERR_TIMEOUT || code == ONEID_ERR_UNAVAILABLE || code == ONEID_ERR_BUSY;
}

static void rest(void)
{
    struct timespec ts = {.tv_nsec = (long)RETRY_MS * 1000000};
    (void)nanosleep(&ts, NULL); /* a signal ends it */
}

/* EXIT_OK: go on. */
static int take_result(struct watch *w, const struct oneid_result *r)
{
    if (r && r->code == ONEID_OK) {
        w->away = false;
        note_partial(w, r->partial);
        return take_batch(w, r);
    }
    if (interrupted())
        return EXIT_OK;
    if (!r || w->o->once || !may_pass(r->code))
        return result_check(r);
    if (!w->away)
        complain("the cluster does not answer, going on: %s", r->text);
    w->away = true;
    rest();
    return EXIT_OK;
}

static int follow(struct watch *w)
{
    const struct oneid_watch_options options = {
        .limit = LIMIT, .wait_ms = WAIT_MS, .no_wait = w->o->once};
    bool at_end = false;
    int rc = EXIT_OK;
    while (rc == EXIT_OK && !at_end && !interrupted()) {
        struct oneid_result *r = oneid_watch(w->session.client, w->o->args[0], w->token, &options);
        rc = take_result(w, r);
        at_end = w->o->once && r && r->n_events == 0;
        oneid_result_free(r);
    }
    if (rc == EXIT_OK && w->o->once && w->partial)
        rc = EXIT_PROBLEM;
    if (w->moved && !w->o->json && !w->o->token_file) {
        (void)fflush(stdout);
        (void)fprintf(stderr, "go on with --from %s\n", w->token);
    }
    return rc;
}

static int stop(struct watch *w)
{
    struct oneid_result *r = oneid_unwatch(w->session.client, w->o->args[0]);
    int rc = result_check(r);
    oneid_result_free(r);
    return rc;
}

int run_watch(const struct options *o)
{
    struct watch w = {.o = o};
    int rc = choose_token(&w);
    if (rc == EXIT_OK)
        rc = session_open(&w.session, o);
    if (rc == EXIT_OK) {
        interrupt_watch(w.session.client);
        rc = o->stop ? stop(&w) : follow(&w);
        interrupt_watch(NULL);
    }
    session_close(&w.session);
    free(w.token);
    return rc;
}
