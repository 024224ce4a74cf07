#include "rejects.h"

#include <json/emit.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOLD_MAX = 20 };

enum error_code rejects_open(struct rejects *r, const char *path, struct error *err)
{
    *r = (struct rejects){.path = path};
    if (!path)
        return ERR_OK;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return error_set_sys(err, ERR_IO, errno, "%s", path);
    struct stat st;
    bool private = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (private && fchmod(fd, S_IRUSR | S_IWUSR) != 0) { /* the file was there before */
        int sys = errno;
        (void)close(fd);
        return error_set_sys(err, ERR_IO, sys, "%s", path);
    }
    r->out = fdopen(fd, "w");
    if (r->out)
        return ERR_OK;
    (void)close(fd);
    return error_set(err, ERR_NOMEM, "%s", path);
}

/* Without the text: it is personal data, and standard error may end up in a log. */
static void tell(const struct rejects *r, uint64_t line, const struct complaint *c)
{
    if (r->n > TOLD_MAX)
        return;
    (void)fprintf(stderr, "line %" PRIu64, line);
    if (c->column)
        (void)fprintf(stderr, ":%zu", c->column);
    (void)fprintf(stderr, ": %s\n", c->reason);
}

void rejects_add(struct rejects *r, uint64_t line, const struct complaint *c, struct bytes text)
{
    r->n++;
    if (!r->out) {
        tell(r, line, c);
        return;
    }
    struct emit e;
    emit_init(&e, r->out);
    emit_object(&e, NULL);
    emit_unsigned(&e, "line", line);
    if (c->column)
        emit_unsigned(&e, "column", c->column);
    emit_string(&e, "reason", c->reason);
    if (text.len && bytes_is_utf8(text))
        emit_text(&e, "text", text);
    emit_end(&e);
}

enum error_code rejects_close(struct rejects *r, struct error *err)
{
    if (!r->path && r->n > TOLD_MAX)
        (void)fprintf(stderr, "... and %" PRIu64 " more; --rejects FILE keeps all of them\n",
                      r->n - TOLD_MAX);
    if (!r->out)
        return ERR_OK;
    bool failed = ferror(r->out) != 0;
    failed |= fclose(r->out) != 0;
    r->out = NULL;
    return failed ? error_set(err, ERR_IO, "%s cannot be written", r->path) : ERR_OK;
}
