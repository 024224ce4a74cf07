#include <load/processes.h>

#include <load/result_json.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The start is so far ahead that all of them have heard of it. */
enum { HEAD_START_US = 50000 };

/* A process and the parent's ends of its two pipes. It says 'r' when it is ready; then it is told
 * the time of the start; then it writes its result as JSON, or an error's text after an '!'. */
struct child {
    pid_t pid;
    int from, to; /* -1: closed */
};

struct crew {
    struct child *children;
    uint32_t n;
};

/* --- signals: the parent passes on what it gets --- */

enum { PASSED_ON = 2 };
static const int passed_on[PASSED_ON] = {SIGINT, SIGTERM};
static const struct crew *volatile signalled;

static void on_signal(int number)
{
    const struct crew *crew = signalled;
    int before = errno;
    (void)number;
    for (uint32_t i = 0; crew && i < crew->n; i++)
        if (crew->children[i].pid > 0)
            kill(crew->children[i].pid, SIGTERM);
    errno = before;
}

/* Also ignores SIGPIPE: a child that has died is found out by its missing result. */
static void take_signals(struct sigaction before[PASSED_ON + 1])
{
    struct sigaction on = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&on.sa_mask);
    sigemptyset(&ignore.sa_mask);
    for (unsigned i = 0; i < PASSED_ON; i++)
        sigaction(passed_on[i], &on, &before[i]);
    sigaction(SIGPIPE, &ignore, &before[PASSED_ON]);
}

static void give_signals_back(const struct sigaction before[PASSED_ON + 1])
{
    signalled = NULL;
    for (unsigned i = 0; i < PASSED_ON; i++)
        sigaction(passed_on[i], &before[i], NULL);
    sigaction(SIGPIPE, &before[PASSED_ON], NULL);
}

/* --- whole reads and writes --- */

static bool read_all(int fd, void *out, size_t n)
{
    char *at = out;
    while (n) {
        ssize_t got = read(fd, at, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

static bool write_all(int fd, const void *from, size_t n)
{
    const char *at = from;
    while (n) {
        ssize_t put = write(fd, at, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += put;
        n -= (size_t)put;
    }
    return true;
}

/* --- in the child --- */

struct pipes {
    int from_parent, to_parent;
};

static usec_t await_start(void *ctx)
{
    const struct pipes *p = ctx;
    usec_t start = 0;
    if (!write_all(p->to_parent, "r", 1) || !read_all(p->from_parent, &start, sizeof start))
        return 0;
    return start;
}

static void tell_result(int fd, const struct result *r, enum error_code rc, struct error *err)
{
    FILE *out = fdopen(fd, "w");
    if (!out)
        return;
    if (rc)
        fprintf(out, "!%s", err->msg);
    else
        result_write(r, out, true, err);
    (void)fclose(out);
}

/* Its own group: a terminal's Ctrl-C reaches the parent alone, which passes it on once. */
_Noreturn static void be_child(uint32_t index, const struct worker *w, struct pipes *pipes,
                               pid_t parent)
{
    struct result r = {.in_flight = 0};
    struct error err = {0};
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(2);
    signal(SIGPIPE, SIG_IGN);
    enum error_code rc = w->run(w->ctx, index, await_start, pipes, &r, &err);
    tell_result(pipes->to_parent, &r, rc, &err);
    result_close(&r);
    _exit(0);
}

/* --- in the parent --- */

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_children(struct crew *crew, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        close_end(&crew->children[i].from);
        close_end(&crew->children[i].to);
    }
}

static enum error_code fork_child(struct crew *crew, uint32_t index, const struct worker *w,
                                  struct error *err)
{
    int up[2] = {-1, -1}, down[2] = {-1, -1};
    pid_t parent = getpid(), pid = -1;
    if (pipe(up) == 0 && pipe(down) == 0)
        pid = fork();
    if (pid == 0) {
        close(up[0]);
        close(down[1]);
        close_children(crew, index);
        be_child(index, w, &(struct pipes){down[0], up[1]}, parent);
    }
    int sys = errno;
    close_end(&up[1]);
    close_end(&down[0]);
    crew->children[index] = (struct child){pid, up[0], down[1]};
    return pid > 0 ? ERR_OK : error_set_sys(err, ERR_IO, sys, "process %u", index + 1);
}

static enum error_code fork_all(struct crew *crew, uint32_t n, const struct worker *w,
                                struct error *err)
{
    enum error_code rc = ERR_OK;
    fflush(NULL);
    for (uint32_t i = 0; i < n && !rc; i++) {
        rc = fork_child(crew, i, w, err);
        crew->n = i + 1;
    }
    return rc;
}

/* A child that could not get ready says why where its 'r' would be. */
static enum error_code start_all(struct crew *crew, struct error *err)
{
    char ready;
    for (uint32_t i = 0; i < crew->n; i++) {
        char text[sizeof err->msg] = "";
        if (read_all(crew->children[i].from, &ready, 1) && ready == 'r')
            continue;
        ssize_t n = read(crew->children[i].from, text, sizeof text - 1);
        text[n > 0 ? n : 0] = 0;
        return error_set(err, ERR_INVALID, "process %u: %s", i + 1,
                         text[0] ? text : "ended before the start");
    }
    usec_t start = clock_mono_us() + HEAD_START_US;
    for (uint32_t i = 0; i < crew->n; i++)
        (void)write_all(crew->children[i].to, &start, sizeof start);
    return ERR_OK;
}

/* Where the parent spends the run, and signals find it: stdio would keep waiting inside a read that
 * a signal only interrupts (a thread sanitizer holds handlers back until that read is over). */
static void await_bytes(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, -1) < 0 && errno == EINTR)
        ;
}

static enum error_code collect(struct child *c, uint32_t index, struct result *out,
                               struct error *err)
{
    char name[32], text[sizeof err->msg] = "";
    snprintf(name, sizeof name, "process %u", index + 1);
    await_bytes(c->from);
    FILE *in = fdopen(c->from, "r");
    if (!in)
        return error_set_sys(err, ERR_IO, errno, "%s", name);
    c->from = -1;
    int first = getc(in);
    enum error_code rc = ERR_OK;
    if (first == '{') {
        ungetc(first, in);
        rc = result_read(in, name, out, err);
    } else {
        text[fread(text, 1, sizeof text - 1, in)] = 0;
        rc = error_set(err, ERR_INTERNAL, "%s: %s", name,
                       first == '!' ? text : "ended without a result");
    }
    (void)fclose(in);
    return rc;
}

static enum error_code collect_all(struct crew *crew, struct result *out, struct error *err)
{
    enum error_code rc = collect(&crew->children[0], 0, out, err);
    for (uint32_t i = 1; i < crew->n && !rc; i++) {
        struct result r = {.in_flight = 0};
        rc = collect(&crew->children[i], i, &r, err);
        if (!rc)
            rc = result_add(out, &r, err);
        result_close(&r);
    }
    return rc;
}

/* A process whose pipes are closed has nothing more to do; one that goes on is told to end. */
static void end_all(struct crew *crew, bool failed)
{
    close_children(crew, crew->n);
    for (uint32_t i = 0; i < crew->n; i++) {
        pid_t pid = crew->children[i].pid;
        if (pid <= 0)
            continue;
        if (failed)
            kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        crew->children[i].pid = 0;
    }
}

enum error_code processes_run(uint32_t n, const struct worker *w, struct result *out,
                              struct error *err)
{
    struct sigaction before[PASSED_ON + 1];
    struct crew crew = {calloc(n, sizeof *crew.children), 0};
    *out = (struct result){.in_flight = 0};
    if (!crew.children)
        return error_set(err, ERR_NOMEM, "%u processes", n);
    enum error_code rc = fork_all(&crew, n, w, err);
    signalled = &crew;
    take_signals(before);
    if (!rc)
        rc = start_all(&crew, err);
    if (!rc)
        rc = collect_all(&crew, out, err);
    give_signals_back(before);
    end_all(&crew, rc != ERR_OK);
    free(crew.children);
    return rc;
}
