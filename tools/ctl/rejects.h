/* Where refused lines go: to a file of their own, or in short to standard error. */
#ifndef CTL_REJECTS_H
#define CTL_REJECTS_H

#include <base/bytes.h>
#include <base/error.h>
#include <json/event_line.h>

#include <stdio.h>

struct rejects {
    const char *path; /* NULL: standard error */
    FILE *out;
    uint64_t n;
};

/* The file is emptied, and readable by its owner only: it holds personal data. */
enum error_code rejects_open(struct rejects *r, const char *path, struct error *err);
/* `text` is the line; empty: not to be kept. */
void rejects_add(struct rejects *r, uint64_t line, const struct complaint *c, struct bytes text);
/* ERR_IO: something could not be written. */
enum error_code rejects_close(struct rejects *r, struct error *err);

#endif
