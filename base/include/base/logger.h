/* The log interface: one event name and key=value fields per line.
 *
 * A `struct log` is passed in, never global. Log where an error is handled; layers that return it
 * stay silent. Never log identity values or traits: One-IDs, counts and hashes only.
 * log_event may be called from any thread; lines are written whole. */
#ifndef BASE_LOGGER_H
#define BASE_LOGGER_H

#include <base/error.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

struct log;

/* Opens `path` for appending, mode 0600, or standard error when `path` is NULL. `who` ("node-1") is
 * copied and starts each line after the time. */
enum error_code log_open(const char *path, const char *who, enum log_level least, struct log **out,
                         struct error *err);
/* Opens the same path again (after a rotation); keeps the old file when that fails. */
enum error_code log_reopen(struct log *log, struct error *err);
void log_close(struct log *log);

/* One line: time, level, who, `event`, then the formatted fields ("shard=%u index=%lu").
 * `log` may be NULL: then nothing is written. */
void log_event(struct log *log, enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
