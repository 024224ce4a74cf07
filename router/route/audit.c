/* The audit log: who did what only admins may, as JSON lines in a file of its own. No personal
 * data: names of segments, but no expressions. */
#include "parts.h"

#include <proto/security.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 1200 };

/* A JSON string; text that is not UTF-8 was refused before. */
static void put_string(struct buf *b, const char *s)
{
    char escaped[8];
    buf_put_u8(b, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_put_u8(b, '\\');
        if (c >= 0x20) {
            buf_put_u8(b, c);
            continue;
        }
        int n = snprintf(escaped, sizeof escaped, "\\u%04x", c);
        buf_put(b, escaped, (size_t)n);
    }
    buf_put_u8(b, '"');
}

static void put_field(struct buf *b, const char *name, const char *value)
{
    buf_put(b, ",\"", 2);
    buf_put(b, name, strlen(name));
    buf_put(b, "\":", 2);
    put_string(b, value);
}

static void put_time(struct buf *b)
{
    char text[48];
    struct timespec ts;
    struct tm tm;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    (void)gmtime_r(&ts.tv_sec, &tm);
    size_t n = strftime(text, sizeof text, "{\"time\":\"%Y-%m-%dT%H:%M:%S", &tm);
    buf_put(b, text, n);
    int more = snprintf(text, sizeof text, ".%03ldZ\"", ts.tv_nsec / 1000000);
    buf_put(b, text, (size_t)more);
}

/* Opened for each line: these are rare, and whoever moves the file away need not tell the router.
 */
static bool append(const struct router *r, struct bytes line)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/router-%u.audit.jsonl", r->config->data, r->id);
    (void)mkdir(r->config->data, 0700);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, line.data, line.len) == (ssize_t)line.len;
    int sys = errno;
    if (fd >= 0)
        (void)close(fd);
    errno = sys;
    return ok;
}

void audit_note(struct router *r, const struct sender *who, enum request_type type,
                const char *subject, enum error_code outcome)
{
    char name[KEY_NAME_MAX + 1] = "", fingerprint[FINGERPRINT_SIZE] = "";
    struct buf line = {0};
    (void)security_describe(r->net, who, name, fingerprint);
    put_time(&line);
    put_field(&line, "fingerprint", fingerprint);
    put_field(&line, "name", name);
    put_field(&line, "action", request_name(type));
    if (subject[0])
        put_field(&line, type == REQUEST_NODE_TASK ? "task" : "segment", subject);
    put_field(&line, "outcome", error_name(outcome));
    buf_put(&line, "}\n", 2);
    if (!append(r, buf_bytes(&line)))
        log_event(r->log, LOG_LEVEL_ERROR, "audit_not_written",
                  "fingerprint=%s action=%s outcome=%s errno=%d", fingerprint, request_name(type),
                  error_name(outcome), errno);
    buf_free(&line);
}
