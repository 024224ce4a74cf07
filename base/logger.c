#include <base/logger.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct log {
    pthread_mutex_t mutex; /* guards fd, so that a line never goes to a closed file */
    int fd;
    enum log_level least;
    char who[32];
    char *path; /* NULL: standard error */
};

static int open_file(const char *path)
{
    return path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : STDERR_FILENO;
}

enum error_code log_open(const char *path, const char *who, enum log_level least, struct log **out,
                         struct error *err)
{
    struct log *log = calloc(1, sizeof *log);
    if (!log)
        return error_set(err, ERR_NOMEM, "log");
    log->fd = open_file(path);
    if (log->fd < 0) {
        int sys = errno;
        free(log);
        return error_set_sys(err, ERR_IO, sys, "log file %s", path);
    }
    log->least = least;
    (void)snprintf(log->who, sizeof log->who, "%s", who);
    log->path = path ? strdup(path) : NULL;
    (void)pthread_mutex_init(&log->mutex, NULL);
    *out = log;
    return ERR_OK;
}

enum error_code log_reopen(struct log *log, struct error *err)
{
    if (!log || !log->path)
        return ERR_OK;
    int fd = open_file(log->path);
    if (fd < 0)
        return error_set_sys(err, ERR_IO, errno, "log file %s", log->path);
    (void)pthread_mutex_lock(&log->mutex);
    int old = log->fd;
    log->fd = fd;
    (void)pthread_mutex_unlock(&log->mutex);
    (void)close(old);
    return ERR_OK;
}

void log_close(struct log *log)
{
    if (!log)
        return;
    if (log->fd != STDERR_FILENO)
        (void)close(log->fd);
    (void)pthread_mutex_destroy(&log->mutex);
    free(log->path);
    free(log);
}

static size_t put_prefix(const struct log *log, enum log_level level, const char *event, char *line,
                         size_t cap)
{
    static const char *const LEVELS[] = {"debug", "info", "warn", "error"};
    struct timespec ts;
    struct tm tm;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    (void)gmtime_r(&ts.tv_sec, &tm);
    size_t n = strftime(line, cap, "%Y-%m-%dT%H:%M:%S", &tm);
    int k = snprintf(line + n, cap - n, ".%03ldZ %s %s %s", ts.tv_nsec / 1000000, LEVELS[level],
                     log->who, event);
    return n + (k > 0 ? (size_t)k : 0);
}

void log_event(struct log *log, enum log_level level, const char *event, const char *fmt, ...)
{
    if (!log || level < log->least)
        return;
    char line[1024];
    size_t n = put_prefix(log, level, event, line, sizeof line / 2);
    line[n++] = ' ';
    va_list ap;
    va_start(ap, fmt);
    int k = vsnprintf(line + n, sizeof line - n - 1, fmt, ap);
    va_end(ap);
    if (k > 0)
        n += (size_t)k < sizeof line - n - 1 ? (size_t)k : sizeof line - n - 2;
    for (size_t i = 0; i < n; i++) {
        if (line[i] == '\n')
            line[i] = ' ';
    }
    line[n++] = '\n';
    (void)pthread_mutex_lock(&log->mutex);
    ssize_t wrote = write(log->fd, line, n);
    (void)pthread_mutex_unlock(&log->mutex);
    (void)wrote; /* a log that cannot be written must not stop the store */
}
