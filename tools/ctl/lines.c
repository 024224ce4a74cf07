#include "lines.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { READ_SIZE = 256 * 1024 };

enum error_code lines_open(struct lines *l, int fd, size_t max, struct error *err)
{
    *l = (struct lines){.fd = fd, .max = max, .cap = READ_SIZE + max};
    l->data = malloc(l->cap);
    return l->data ? ERR_OK : error_set(err, ERR_NOMEM, "reading lines");
}

void lines_close(struct lines *l)
{
    free(l->data);
    *l = (struct lines){0};
}

static void move_on(struct lines *l, size_t to)
{
    l->taken += to - l->start;
    l->start = to;
    l->searched = to;
}

/* The line that ends at `end`; what ends it is `after` bytes long. */
static enum lines_status give_line(struct lines *l, size_t end, size_t after, struct bytes *text)
{
    size_t start = l->start;
    bool too_long = l->skipping || end - start > l->max;
    l->skipping = false;
    l->number++;
    move_on(l, end + after);
    if (too_long)
        return LINES_TOO_LONG;
    if (end > start && l->data[end - 1] == '\r')
        end--;
    *text = bytes_of(l->data + start, end - start);
    return LINES_LINE;
}

enum lines_status lines_next(struct lines *l, struct bytes *text)
{
    const uint8_t *at = memchr(l->data + l->searched, '\n', l->end - l->searched);
    if (at)
        return give_line(l, (size_t)(at - l->data), 1, text);
    l->searched = l->end;
    if (l->at_end && (l->end > l->start || l->skipping))
        return give_line(l, l->end, 0, text);
    if (l->at_end)
        return LINES_END;
    if (l->end - l->start > l->max) {
        l->skipping = true;
        move_on(l, l->end);
    }
    return LINES_WAIT;
}

enum error_code lines_fill(struct lines *l, struct error *err)
{
    size_t kept = l->end - l->start;
    memmove(l->data, l->data + l->start, kept);
    l->start = 0;
    l->end = l->searched = kept;
    assert(l->end < l->cap);
    ssize_t n;
    do
        n = read(l->fd, l->data + l->end, l->cap - l->end);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_set_sys(err, ERR_IO, errno, "reading");
    l->end += (size_t)n;
    l->at_end = n == 0;
    return ERR_OK;
}
