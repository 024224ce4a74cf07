/* How far an import is: one line on a terminal that writes over itself. */
#ifndef CTL_PROGRESS_H
#define CTL_PROGRESS_H

#include <base/clock.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
    bool shown; /* standard error is a terminal */
    bool drawn;
    uint64_t total_bytes; /* 0: not known */
    msec_t start_ms, next_ms;
};

void progress_init(struct progress *p, uint64_t total_bytes);
void progress_update(struct progress *p, uint64_t bytes, uint64_t events);
/* The terminal's line is free again for others. */
void progress_clear(struct progress *p);

/* The line itself, for `elapsed_ms` since the start. */
void progress_format(char *out, size_t size, uint64_t total_bytes, uint64_t bytes, uint64_t events,
                     msec_t elapsed_ms);

#endif
