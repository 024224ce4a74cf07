/* What nodes say to each other to move a copy of a shard's state: the bodies of MESSAGE_FETCH and
 * MESSAGE_FETCH_REPLY. The envelope says the shard, and in its request id which fetch asks: a
 * number drawn at random, the same for all its messages, repeated in the answers.
 *
 * A copy is a file of `size` bytes, in chunks of `chunk_bytes` (the last one may be shorter). Each
 * chunk travels with its check sum, and the copy's is the sum of those. docs/wire.md has the bytes.
 */
#ifndef TRANSFER_MESSAGE_H
#define TRANSFER_MESSAGE_H

#include <base/bytes.h>
#include <base/error.h>

#include <stdint.h>

enum {
    TRANSFER_FORM = 1,
    TRANSFER_CHUNK = 1 << 20, /* what is served; anything in between is taken */
    TRANSFER_CHUNK_MIN = 1 << 12,
    TRANSFER_CHUNK_MAX = 1 << 23,
    TRANSFER_TEXT_MAX = 200
};

enum transfer_ask_type {
    TRANSFER_OPEN = 1, /* at_least: the log index that the copy must hold; node: who asks. It has
                          one fetch for a shard: an earlier one of it counts for nothing any more */
    TRANSFER_READ,     /* copy, offset of a chunk */
    TRANSFER_CLOSE,    /* copy: this fetch needs it no more. No answer */
    TRANSFER_ASK_END
};

struct transfer_ask {
    enum transfer_ask_type type;
    uint64_t at_least;
    uint16_t node;
    uint64_t copy, offset;
};

enum transfer_answer_type {
    TRANSFER_OPENED = 1, /* info: the copy is there */
    TRANSFER_WAIT,       /* it is being made, or waits for its turn: ask again */
    TRANSFER_CHUNK_DATA, /* copy, offset, sum, data */
    TRANSFER_GONE,       /* copy: not here (any more) */
    TRANSFER_REFUSED,    /* code, text */
    TRANSFER_ANSWER_END
};

/* One copy: where it was made it has this number, drawn at random. */
struct transfer_copy {
    uint64_t id;
    uint64_t applied; /* the log index that it holds everything up to */
    uint64_t size;    /* bytes */
    uint32_t chunk_bytes;
    uint64_t sum; /* transfer_sum_whole */
};

struct transfer_answer {
    enum transfer_answer_type type;
    struct transfer_copy info; /* OPENED: all of it; CHUNK_DATA, GONE: the id alone */
    uint64_t offset, sum;
    struct bytes data; /* borrows */
    enum error_code code;
    struct bytes text; /* REFUSED: one line, printable ASCII once decoded; borrows */
};

void transfer_ask_encode(const struct transfer_ask *a, struct buf *out);
void transfer_answer_encode(const struct transfer_answer *a, struct buf *out);
/* ERR_MALFORMED, ERR_MISMATCH (another form). What is taken is in bounds: a copy has at least one
 * chunk, a chunk between one byte and TRANSFER_CHUNK_MAX. */
enum error_code transfer_ask_decode(struct bytes body, struct transfer_ask *out, struct error *err);
enum error_code transfer_answer_decode(struct bytes body, struct transfer_answer *out,
                                       struct error *err);

/* Of one chunk, bound to its copy and place. */
uint64_t transfer_sum_chunk(uint64_t copy, uint64_t offset, struct bytes data);
/* Of all chunks' sums in order, and of what else is said of the copy. */
uint64_t transfer_sum_whole(const struct transfer_copy *c, const uint64_t *sums);
/* How many chunks a copy has. */
uint64_t transfer_chunks(const struct transfer_copy *c);
/* Bytes of the chunk at `offset`; 0: no chunk begins there. */
uint32_t transfer_chunk_len(const struct transfer_copy *c, uint64_t offset);

#endif
