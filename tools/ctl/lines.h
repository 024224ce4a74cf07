/* Lines of a file or pipe, in bounded memory. */
#ifndef CTL_LINES_H
#define CTL_LINES_H

#include <base/bytes.h>
#include <base/error.h>

enum lines_status {
    LINES_LINE,     /* text is the line, without its end; borrowed until the next call */
    LINES_TOO_LONG, /* the line has been skipped */
    LINES_WAIT,     /* more has to be read: lines_fill */
    LINES_END
};

struct lines {
    int fd;
    size_t max; /* longest line, in bytes */
    uint8_t *data;
    size_t cap, start, end; /* what is read and not yet given out */
    size_t searched;        /* no line end before this */
    bool at_end, skipping;
    uint64_t number; /* of the line that was given out last, from 1 */
    uint64_t taken;  /* bytes given out, or skipped */
};

/* `fd` stays the caller's. */
enum error_code lines_open(struct lines *l, int fd, size_t max, struct error *err);
void lines_close(struct lines *l);
enum lines_status lines_next(struct lines *l, struct bytes *text);
/* Reads once, waiting if there is nothing. */
enum error_code lines_fill(struct lines *l, struct error *err);

#endif
