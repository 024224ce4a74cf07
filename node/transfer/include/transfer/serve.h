/* The serving side of all copies of a node, as a core: no socket, file, clock or thread. Events go
 * in, effects come out; the shell performs them in order before the next event.
 *
 * Who OPENs gets a copy made, which may take long: meanwhile the answer is WAIT. Others who want
 * the same shard share it. A copy goes when all who opened it have closed it, or when nobody has
 * asked for anything of it for `idle_ms`. A copy that outlived its process is adopted, so that a
 * restart costs those who read it nothing but patience.
 *
 * One owner, one thread.
 */
#ifndef TRANSFER_SERVE_H
#define TRANSFER_SERVE_H

#include <transfer/message.h>

#include <base/clock.h>

#include <stdbool.h>
#include <stddef.h>

enum { SERVE_COPIES_MAX = 8, SERVE_ASKERS_MAX = 16 };

struct serve_options {
    unsigned copies_max; /* there at once, of all shards; 0 = 2 */
    msec_t idle_ms;      /* 0 = 60000 */
    uint64_t seed;       /* of the copies' ids: another one in each process */
};

enum serve_effect_type {
    SERVE_REPLY, /* .answer: to whoever sent this request */
    SERVE_READ,  /* .copy, .offset, .len: read the file and answer whoever sent this request with
                    that chunk; serve_lost when it cannot be read */
    SERVE_COPY,  /* .copy.id, .shard: make a copy, and say so with serve_copied */
    SERVE_DROP   /* .copy.id: remove its file, if there is one */
};

struct serve_effect {
    enum serve_effect_type type;
    struct transfer_answer answer; /* its text lives as long as the effects */
    struct transfer_copy copy;
    uint16_t shard;
    uint64_t offset;
    uint32_t len;
};

/* Borrowed until the next call. */
struct serve_effects {
    const struct serve_effect *list;
    size_t n;
};

struct serve;

struct serve *serve_new(const struct serve_options *o); /* NULL: no memory */
void serve_free(struct serve *s);                       /* NULL is fine */

/* A MESSAGE_FETCH for `shard`, which is here, from the fetch `asker` (the envelope's request id).
 */
void serve_request(struct serve *s, msec_t now, uint16_t shard, uint64_t asker, struct bytes body,
                   struct serve_effects *out);
/* The COPY was made: `copy` is all that is known of it. Or, with an error, it was not. */
void serve_copied(struct serve *s, msec_t now, const struct transfer_copy *copy,
                  const struct error *failed, struct serve_effects *out);
/* A file from an earlier process is still there. False: it is not wanted, remove it. */
bool serve_adopt(struct serve *s, msec_t now, uint16_t shard, const struct transfer_copy *copy);
/* The copy's file cannot be read. */
void serve_lost(struct serve *s, msec_t now, uint64_t copy, struct serve_effects *out);
void serve_tick(struct serve *s, msec_t now, struct serve_effects *out);
/* When serve_tick is due; INT64_MAX: not before another event. */
msec_t serve_next_timeout(const struct serve *s);
/* Copies that are there or being made. */
size_t serve_copies(const struct serve *s);

#endif
