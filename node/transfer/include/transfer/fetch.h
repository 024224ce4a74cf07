/* The receiving side of one copy, as a core: no socket, file or clock. Events go in, effects come
 * out; the shell performs them in order before the next event.
 *
 *   OPENING ──▶ READING ──▶ DONE
 *      ▲           │
 *      └───────────┘ the sender has lost the copy, or what came was damaged: all over again
 *   from either ──▶ FAILED
 *
 * Credit: at most `window` chunks are asked for and not yet there, so that neither side holds more
 * than that in memory. A chunk that does not come is asked for again, later each time. A broken
 * connection and a sender that restarts with its copy cost only what was under way.
 *
 * One owner, one thread.
 */
#ifndef TRANSFER_FETCH_H
#define TRANSFER_FETCH_H

#include <transfer/message.h>

#include <base/clock.h>

#include <stdbool.h>
#include <stddef.h>

enum { FETCH_WINDOW_MAX = 64 };

struct fetch_options {
    uint64_t at_least;   /* the copy must hold this log index */
    uint16_t node;       /* this one */
    uint64_t size_max;   /* bytes; a larger copy is refused */
    unsigned window;     /* chunks; 0 = 16 */
    msec_t patience_ms;  /* without anything good from the sender; 0 = 60000. WAIT is good, until it
                            has refused once */
    unsigned starts_max; /* how often it may begin before it gives up; 0 = 5 */
};

enum fetch_state { FETCH_STATE_OPENING, FETCH_STATE_READING, FETCH_STATE_DONE, FETCH_STATE_FAILED };

enum fetch_effect_type {
    FETCH_SEND,  /* .ask: to the sender; may be lost */
    FETCH_BEGIN, /* .copy: the file is to be emptied; what came before is worthless */
    FETCH_WRITE, /* .offset, .data: into the file; say how it went with fetch_written */
    FETCH_DONE,  /* .copy: every chunk is written and its sum is right. Nothing comes any more */
    FETCH_FAILED /* .error: it gives up. Nothing comes any more */
};

struct fetch_effect {
    enum fetch_effect_type type;
    struct transfer_ask ask;
    const struct transfer_copy *copy;
    uint64_t offset;
    struct bytes data; /* borrows from the message that was received */
    const struct error *error;
};

/* Borrowed until the next call. */
struct fetch_effects {
    const struct fetch_effect *list;
    size_t n;
};

struct fetch_status {
    enum fetch_state state;
    uint64_t size, written; /* bytes */
    uint64_t again;         /* chunks asked for more than once */
    uint64_t damaged;       /* chunks whose sum was wrong */
    unsigned starts;
};

struct fetch;

struct fetch *fetch_new(const struct fetch_options *o); /* NULL: no memory */
void fetch_free(struct fetch *f);                       /* NULL is fine */

void fetch_start(struct fetch *f, msec_t now, struct fetch_effects *out);
/* The body of a MESSAGE_FETCH_REPLY to this fetch. What is malformed, doubled or late is dropped.
 */
void fetch_receive(struct fetch *f, msec_t now, struct bytes body, struct fetch_effects *out);
/* How the WRITE at `offset` went. false: the disk is full. The chunk is then asked for again in a
 * second, alone, until one could be written; waiting for space is not the sender's silence. */
void fetch_written(struct fetch *f, msec_t now, uint64_t offset, bool ok,
                   struct fetch_effects *out);
/* When fetch_next_timeout has come; earlier calls do nothing. */
void fetch_tick(struct fetch *f, msec_t now, struct fetch_effects *out);
msec_t fetch_next_timeout(const struct fetch *f);
void fetch_get_status(const struct fetch *f, struct fetch_status *out);
const char *fetch_state_name(enum fetch_state s);

#endif
