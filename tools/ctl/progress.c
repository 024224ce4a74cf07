#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { EVERY_MS = 200, LINE_MAX_BYTES = 120 };

void progress_init(struct progress *p, uint64_t total_bytes)
{
    *p = (struct progress){.shown = isatty(STDERR_FILENO) == 1,
                           .total_bytes = total_bytes,
                           .start_ms = clock_mono_ms()};
    p->next_ms = p->start_ms + EVERY_MS;
}

void progress_format(char *out, size_t size, uint64_t total_bytes, uint64_t bytes, uint64_t events,
                     msec_t elapsed_ms)
{
    double seconds = elapsed_ms > 0 ? (double)elapsed_ms / 1000 : 0.001;
    double rate = (double)events / seconds;
    if (total_bytes == 0 || bytes == 0) {
        (void)snprintf(out, size, "%" PRIu64 " events, %.0f/s", events, rate);
        return;
    }
    double part = bytes < total_bytes ? (double)bytes / (double)total_bytes : 1;
    uint64_t left = (uint64_t)(seconds / part - seconds + 0.5);
    (void)snprintf(out, size, "%5.1f%%  %" PRIu64 " events, %.0f/s, %" PRIu64 ":%02" PRIu64 " left",
                   part * 100, events, rate, left / 60, left % 60);
}

void progress_update(struct progress *p, uint64_t bytes, uint64_t events)
{
    char line[LINE_MAX_BYTES];
    if (!p->shown)
        return;
    msec_t now = clock_mono_ms();
    if (now < p->next_ms)
        return;
    p->next_ms = now + EVERY_MS;
    progress_format(line, sizeof line, p->total_bytes, bytes, events, now - p->start_ms);
    (void)fprintf(stderr, "\r%s\033[K", line);
    p->drawn = true;
}

void progress_clear(struct progress *p)
{
    if (p->drawn)
        (void)fprintf(stderr, "\r\033[K");
    p->drawn = false;
}
