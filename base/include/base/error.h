/* Errors as values: one list of codes for the whole system.
 *
 * A function that can fail returns `enum error_code` (0 = OK) and, where a caller can use a text,
 * takes a `struct error *` that the failing layer fills. Layers above may add one phrase with
 * error_wrap(). Foreign codes (errno, MDB_*, RAFT_*) become ours in the folder that owns the
 * library. Nothing in a message may be an identity value or a trait: that is personal data.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>
#include <stddef.h>

/* X(name, wire code, may the caller retry, text). Wire codes are frozen: append, never renumber. */
#define ERROR_LIST(X)                                                                              \
    X(OK, 0, false, "ok")                                                                          \
    X(NOMEM, 1, true, "out of memory")                                                             \
    X(IO, 2, false, "input/output error")                                                          \
    X(DISK_FULL, 3, true, "disk full")                                                             \
    X(CORRUPT, 4, false, "damaged data")                                                           \
    X(MISMATCH, 5, false, "belongs to another cluster, shard or version")                          \
    X(CONFIG, 6, false, "mistake in the cluster file")                                             \
    X(USAGE, 7, false, "wrong usage")                                                              \
    X(MALFORMED, 8, false, "malformed message")                                                    \
    X(TOO_LARGE, 9, false, "too large")                                                            \
    X(INVALID, 10, false, "invalid input")                                                         \
    X(UNKNOWN_NAME, 11, false, "unknown name")                                                     \
    X(NOT_FOUND, 12, false, "not found")                                                           \
    X(NO_IDENTITY, 13, false, "no usable identity")                                                \
    X(BUSY, 14, true, "busy")                                                                      \
    X(TIMEOUT, 15, true, "deadline passed")                                                        \
    X(UNAVAILABLE, 16, true, "not reachable")                                                      \
    X(NOT_LEADER, 17, true, "not the leader")                                                      \
    X(WRONG_SHARD, 18, true, "slot is served elsewhere")                                           \
    X(STALE_EPOCH, 19, true, "cluster map is stale")                                               \
    X(CANCELLED, 20, false, "cancelled")                                                           \
    X(SYNTAX, 21, false, "syntax error")                                                           \
    X(ERASED, 22, false, "erased")                                                                 \
    X(SHUTDOWN, 23, true, "shutting down")                                                         \
    X(INTERNAL, 24, false, "internal error")                                                       \
    X(TOO_OLD, 25, false, "not kept any more")                                                     \
    X(DENIED, 26, false, "not allowed")                                                            \
    X(CONFLICT, 27, false, "not possible as things are")

enum error_code {
#define X(name, wire, retry, text) ERR_##name = (wire),
    ERROR_LIST(X)
#undef X
};

struct error {
    enum error_code code;
    int sys;       /* errno where the system said something, else 0 */
    char msg[240]; /* NUL-terminated, one line, no personal data */
};

/* The fixed text of a code; "unknown error" for a number that is not on the list. */
const char *error_text(enum error_code code);
/* The code's name, as in "NOT_FOUND". */
const char *error_name(enum error_code code);
/* May the same call succeed later, unchanged? */
bool error_is_retryable(enum error_code code);
/* A number from the wire; ERR_INTERNAL where it is not on the list. */
enum error_code error_from_wire(unsigned wire);

/* Fills `err` (which may be NULL) and returns `code`. */
enum error_code error_set(struct error *err, enum error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with errno's text appended; ENOSPC and EDQUOT turn the code into ERR_DISK_FULL. */
enum error_code error_set_sys(struct error *err, enum error_code code, int sys, const char *fmt,
                              ...) __attribute__((format(printf, 4, 5)));
/* Puts "phrase: " in front of the message and returns the code that is already there. */
enum error_code error_wrap(struct error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
