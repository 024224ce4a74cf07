/* import: events from JSON lines, many in flight, each counted once whatever happens. */
#include "commands.h"
#include "lines.h"
#include "progress.h"
#include "rejects.h"
#include "session.h"
#include "show.h"

#include <cluster/schema.h>
#include <json/event_line.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct import;

/* A line whose event has no answer yet. */
struct pending {
    struct import *import;
    uint64_t line;
    struct buf text; /* kept while the line may still be refused and somebody wants it */
    struct pending *next;
};

struct import {
    const struct options *options;
    struct session session;
    int fd;
    bool may_wait; /* a read can block: a pipe or a terminal */
    struct lines lines;
    struct event_line *reader;
    struct rejects rejects;
    struct progress progress;
    struct pending *pool, *free_pending;
    size_t n_pending;
    uint64_t sent, accepted, duplicates, refused_links;
    uint64_t open_line; /* of the lines that failed the first; 0: none did */
    bool failed;
    char why[320]; /* room for a code and an error's message */
};

/* --- answers --- */

static void refuse(struct import *m, uint64_t line, const struct complaint *c, struct bytes text)
{
    progress_clear(&m->progress);
    rejects_add(&m->rejects, line, c, text);
}

/* The line was not settled; the first reason is the one to tell. */
static void fail(struct import *m, uint64_t line, enum oneid_code code, const char *text)
{
    if (m->open_line == 0 || line < m->open_line)
        m->open_line = line;
    if (m->failed)
        return;
    m->failed = true;
    (void)snprintf(m->why, sizeof m->why, "%s%s%s", oneid_code_text(code), text[0] ? ": " : "",
                   text);
}

static bool is_refusal(enum oneid_code code)
{
    return code == ONEID_ERR_INVALID || code == ONEID_ERR_USAGE;
}

static void settle(struct import *m, const struct pending *p, const struct oneid_result *r)
{
    if (r->code == ONEID_OK) {
        m->accepted += !r->duplicate;
        m->duplicates += r->duplicate;
        m->refused_links += r->duplicate ? 0 : r->n_refused; /* said again, refused once */
    } else if (is_refusal(r->code)) {
        struct complaint c = {0};
        (void)snprintf(c.reason, sizeof c.reason, "%s", r->text);
        refuse(m, p->line, &c, buf_bytes(&p->text));
    } else {
        fail(m, p->line, r->code, r->text);
    }
}

static void on_answer(void *ctx, const struct oneid_result *r)
{
    struct pending *p = ctx;
    struct import *m = p->import;
    settle(m, p, r);
    p->next = m->free_pending;
    m->free_pending = p;
    m->n_pending--;
}

/* --- lines in --- */

/* Room for a good part of what may be in flight, so that batches stay large. */
static void make_room(struct import *m)
{
    if (m->free_pending)
        return;
    size_t enough = m->options->in_flight - m->options->in_flight / 4;
    while (m->n_pending >= enough && m->n_pending > 0 && !m->failed) {
        (void)oneid_poll(m->session.client, -1);
        progress_update(&m->progress, m->lines.taken, m->accepted + m->duplicates);
    }
}

static void submit(struct import *m, const struct oneid_event *e, struct bytes text)
{
    make_room(m);
    if (m->failed)
        return;
    struct pending *p = m->free_pending;
    p->line = m->lines.number;
    buf_reset(&p->text);
    if (m->options->rejects)
        buf_put(&p->text, text.data, text.len);
    enum oneid_code rc = oneid_submit_ingest(m->session.client, e, 0, on_answer, p);
    if (rc == ONEID_OK) {
        m->free_pending = p->next;
        m->n_pending++;
        m->sent++;
        return;
    }
    const char *why = oneid_error_text(m->session.client);
    if (!is_refusal(rc)) {
        fail(m, p->line, rc, why);
        return;
    }
    struct complaint c = {0};
    (void)snprintf(c.reason, sizeof c.reason, "%s", why);
    refuse(m, p->line, &c, text);
}

static bool is_blank(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != ' ' && text.data[i] != '\t')
            return false;
    }
    return true;
}

static void take_line(struct import *m, struct bytes text)
{
    static const uint8_t mark[] = {0xEF, 0xBB, 0xBF}; /* some editors begin a file with it */
    if (m->lines.number == 1 && text.len >= 3 && memcmp(text.data, mark, 3) == 0)
        text = bytes_of(text.data + 3, text.len - 3);
    if (is_blank(text))
        return;
    struct complaint c;
    const struct oneid_event *e = event_line_read(m->reader, text, &c);
    if (e)
        submit(m, e, text);
    else
        refuse(m, m->lines.number, &c, text);
}

static void take_long_line(struct import *m)
{
    struct complaint c = {0};
    (void)snprintf(c.reason, sizeof c.reason, "a line of more than %d bytes", EVENT_MAX_SIZE);
    refuse(m, m->lines.number, &c, bytes_of(NULL, 0));
}

/* While nothing comes in, answers are still taken and what is late is sent again. */
static void wait_for_input(struct import *m)
{
    struct oneid_client *client = m->session.client;
    while (m->may_wait && m->n_pending > 0 && !m->failed) {
        while (oneid_poll(client, 0) > 0)
            ;
        struct pollfd fds[2] = {{.fd = m->fd, .events = POLLIN},
                                {.fd = oneid_fd(client), .events = POLLIN}};
        (void)poll(fds, 2, oneid_next_timeout_ms(client));
        if (fds[0].revents)
            return;
    }
}

static void fill(struct import *m)
{
    struct error err;
    wait_for_input(m);
    if (!m->failed && lines_fill(&m->lines, &err) != ERR_OK)
        fail(m, m->lines.number + 1, ONEID_ERR_INTERNAL, err.msg);
}

static void read_all(struct import *m)
{
    struct bytes text;
    while (!m->failed) {
        switch (lines_next(&m->lines, &text)) {
        case LINES_LINE:
            take_line(m, text);
            break;
        case LINES_TOO_LONG:
            take_long_line(m);
            break;
        case LINES_WAIT:
            fill(m);
            break;
        case LINES_END:
            while (m->n_pending > 0 && !m->failed) {
                (void)oneid_poll(m->session.client, -1);
                progress_update(&m->progress, m->lines.taken, m->accepted + m->duplicates);
            }
            return;
        }
    }
}

/* --- the summary --- */

static void emit_summary(const struct import *m, double seconds, double rate)
{
    struct emit e;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_unsigned(&e, "lines", m->lines.number);
    emit_unsigned(&e, "sent", m->sent);
    emit_unsigned(&e, "accepted", m->accepted);
    emit_unsigned(&e, "duplicates", m->duplicates);
    emit_unsigned(&e, "rejected", m->rejects.n);
    emit_unsigned(&e, "refused_links", m->refused_links);
    emit_real(&e, "seconds", seconds);
    emit_real(&e, "rate", rate);
    emit_bool(&e, "complete", !m->failed);
    emit_end(&e);
}

static void print_summary(const struct import *m)
{
    double seconds = (double)(clock_mono_ms() - m->progress.start_ms) / 1000;
    uint64_t events = m->accepted + m->duplicates;
    double rate = (double)(uint64_t)((double)events / (seconds > 0 ? seconds : 0.001));
    if (m->options->json)
        emit_summary(m, seconds, rate);
    else
        (void)printf("sent %" PRIu64 ", accepted %" PRIu64 ", duplicates %" PRIu64
                     ", rejected %" PRIu64 ", refused links %" PRIu64 ", %.1f s, %.0f events/s\n",
                     m->sent, m->accepted, m->duplicates, m->rejects.n, m->refused_links, seconds,
                     rate);
}

/* What was in flight is cancelled first: only then the first open line is known. */
static int conclude(struct import *m)
{
    struct error err;
    session_close(&m->session);
    progress_clear(&m->progress);
    int rc = m->rejects.n > 0 && !m->options->rejects ? EXIT_PROBLEM : EXIT_OK;
    print_summary(m);
    if (rejects_close(&m->rejects, &err) != ERR_OK) {
        complain("%s", err.msg);
        rc = EXIT_PROBLEM;
    }
    if (!m->failed)
        return rc;
    complain("import stopped: %s", m->why);
    complain("all lines up to %" PRIu64 " are settled; run it again: what counted is not counted "
             "twice",
             m->open_line - 1);
    return EXIT_PROBLEM;
}

/* --- the command --- */

static bool open_pool(struct import *m)
{
    size_t n = m->options->in_flight;
    m->pool = calloc(n, sizeof *m->pool);
    m->reader = event_line_new();
    if (!m->pool || !m->reader)
        return false;
    for (size_t i = n; i-- > 0;) {
        m->pool[i].import = m;
        m->pool[i].next = m->free_pending;
        m->free_pending = &m->pool[i];
    }
    return true;
}

static enum error_code open_input(struct import *m, struct error *err)
{
    const char *path = m->options->args[0];
    struct stat st;
    m->fd = STDIN_FILENO;
    if (strcmp(path, "-") != 0)
        m->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (m->fd < 0 || fstat(m->fd, &st) != 0)
        return error_set_sys(err, ERR_IO, errno, "%s", path);
    if (S_ISDIR(st.st_mode))
        return error_set(err, ERR_IO, "%s: a folder", path);
    m->may_wait = !S_ISREG(st.st_mode);
    progress_init(&m->progress, m->may_wait ? 0 : (uint64_t)st.st_size);
    return lines_open(&m->lines, m->fd, EVENT_MAX_SIZE, err);
}

static int import_open(struct import *m)
{
    struct error err;
    enum error_code rc = open_input(m, &err);
    if (rc == ERR_OK)
        rc = rejects_open(&m->rejects, m->options->rejects, &err);
    if (rc == ERR_OK && !open_pool(m))
        rc = error_set(&err, ERR_NOMEM, "out of memory");
    if (rc == ERR_OK)
        return session_open(&m->session, m->options);
    complain("%s", err.msg);
    return EXIT_PROBLEM;
}

static void import_close(struct import *m)
{
    session_close(&m->session);
    (void)rejects_close(&m->rejects, NULL);
    for (size_t i = 0; m->pool && i < m->options->in_flight; i++)
        buf_free(&m->pool[i].text);
    free(m->pool);
    event_line_free(m->reader);
    lines_close(&m->lines);
    if (m->fd > STDIN_FILENO)
        (void)close(m->fd);
}

int run_import(const struct options *o)
{
    struct import m = {.options = o, .fd = -1};
    int rc = import_open(&m);
    if (rc == EXIT_OK) {
        read_all(&m);
        rc = conclude(&m);
    }
    import_close(&m);
    return rc;
}
