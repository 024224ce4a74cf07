#include <base/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct row {
    const char *name, *text;
    bool retry;
};

static const struct row ROWS[] = {
#define X(name, wire, retry, text) [wire] = {#name, text, retry},
    ERROR_LIST(X)
#undef X
};

static const struct row *row_of(enum error_code code)
{
    size_t i = (size_t)code;
    return i < sizeof ROWS / sizeof *ROWS && ROWS[i].name ? &ROWS[i] : NULL;
}

const char *error_text(enum error_code code)
{
    const struct row *r = row_of(code);
    return r ? r->text : "unknown error";
}

const char *error_name(enum error_code code)
{
    const struct row *r = row_of(code);
    return r ? r->name : "UNKNOWN";
}

bool error_is_retryable(enum error_code code)
{
    const struct row *r = row_of(code);
    return r && r->retry;
}

enum error_code error_from_wire(unsigned wire)
{
    return wire < sizeof ROWS / sizeof *ROWS ? (enum error_code)wire : ERR_INTERNAL;
}

enum error_code error_set(struct error *err, enum error_code code, const char *fmt, ...)
{
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    err->sys = 0;
    (void)vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    return code;
}

enum error_code error_set_sys(struct error *err, enum error_code code, int sys, const char *fmt,
                              ...)
{
    if (sys == ENOSPC || sys == EDQUOT)
        code = ERR_DISK_FULL;
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    err->sys = sys;
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof err->msg) {
        char text[96] = "";
        if (strerror_r(sys, text, sizeof text) == 0)
            (void)snprintf(err->msg + n, sizeof err->msg - (size_t)n, ": %s", text);
    }
    return code;
}

enum error_code error_wrap(struct error *err, const char *fmt, ...)
{
    if (!err)
        return ERR_INTERNAL;
    char phrase[sizeof err->msg], whole[2 * sizeof err->msg + 4];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(phrase, sizeof phrase, fmt, ap);
    va_end(ap);
    (void)snprintf(whole, sizeof whole, "%s: %s", phrase, err->msg);
    size_t n = strnlen(whole, sizeof err->msg - 1);
    memcpy(err->msg, whole, n);
    err->msg[n] = '\0';
    return err->code;
}
