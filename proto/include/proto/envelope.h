/* The envelope in front of every message on every wire: 32 bytes, little-endian.
 *
 *   0  u16 magic "O1"     2  u8 version      3  u8 type
 *   4  u16 shard          6  u16 flags       8  u64 epoch of the sender's cluster map (0: none)
 *   16 u64 request id     24 u32 items in the body   28 u32 length of the body in bytes
 *   32 body: a protobuf message (client.proto, shard.proto)
 *
 * A front thread routes by the envelope alone and never opens the body.
 */
#ifndef PROTO_ENVELOPE_H
#define PROTO_ENVELOPE_H

#include <base/bytes.h>
#include <base/error.h>

enum {
    ENVELOPE_SIZE = 32,
    ENVELOPE_VERSION = 1,
    MESSAGE_SIZE_MAX = 64 * 1024 * 1024,
    BATCH_ITEMS_MAX = 65536
};

/* Flags of SHARD_READ and SHARD_QUERY: any replica may answer, as it is; the flags of its answer
 * are how old that may be in ms. */
enum { ENVELOPE_STALE_OK = 1, ENVELOPE_AGE_MAX = UINT16_MAX };
/* Flag of MAP_REQUEST: until the asker is gone, another MAP_REPLY of the same request id comes
 * whenever the node has a later map. Asking again renews that. */
enum { ENVELOPE_MAP_SUBSCRIBE = 2 };

enum message_type {
    MESSAGE_CLIENT_REQUEST = 1, /* client → router: client_request batch */
    MESSAGE_CLIENT_REPLY, /* router → client: some responses to such a batch, each with its item */
    MESSAGE_SHARD_WRITE,  /* router → node: command batch that goes through the log */
    MESSAGE_SHARD_READ,   /* router → node: command batch that only reads */
    MESSAGE_SHARD_QUERY,  /* router → node: segment queries, answered by query threads */
    MESSAGE_SHARD_REPLY,  /* node → router: reply batch, same order as the commands */
    MESSAGE_MAP_REQUEST,  /* router → node: empty body */
    MESSAGE_MAP_REPLY,    /* node → router: an encoded cluster map (cluster/map.h) */
    MESSAGE_ERROR,        /* → asker: u16 code, text; the whole request failed. Where the code is
                             NOT_LEADER, `items` is the node that leads, 0: not known */
    MESSAGE_CANCEL, /* → who was asked: the message of this request id is not wanted any more; to a
                       router the body is the u32 items of it that are not. No answer */
    MESSAGE_SHARD_WATCH, /* router → node: reads of watched segments, answered when there is news */
    MESSAGE_PEER,  /* node → node: u64 from, u64 to (replicas of the shard), and what the one
                      has to say to the other (replica/replica.h). No answer */
    MESSAGE_HELLO, /* node → node: which folder it has (meta/members.h) */
    MESSAGE_HELLO_REPLY,  /* the answer: the same of the other one */
    MESSAGE_FETCH,        /* node → node: asks about a copy of a shard's state (node/transfer) */
    MESSAGE_FETCH_REPLY,  /* its answer */
    MESSAGE_STATUS,       /* router → node: how are you? Empty body */
    MESSAGE_STATUS_REPLY, /* the answer: a StatusNode (proto/status.h) */
    MESSAGE_TYPE_END
};

struct envelope {
    enum message_type type;
    uint16_t shard;
    uint16_t flags; /* 0 but for what is said above */
    uint64_t epoch;
    uint64_t request_id;
    uint32_t items;
    struct bytes body; /* after decoding: borrows from the frame */
};

/* Appends the header; the body of exactly `body_len` bytes must follow. */
void envelope_encode(const struct envelope *e, size_t body_len, struct buf *out);
/* Puts a header in front of nothing: ENVELOPE_SIZE bytes that envelope_finish fills once the body
 * is appended behind them. Returns their offset. */
size_t envelope_begin(struct buf *out);
void envelope_finish(struct buf *out, size_t offset, const struct envelope *e);
/* ERR_MALFORMED (magic, sizes, type), ERR_MISMATCH (another version). On an error `request_id` is
 * set where the header could be read, so that an answer can name it. */
enum error_code envelope_decode(struct bytes frame, struct envelope *out, struct error *err);

/* The body of MESSAGE_ERROR. */
void wire_error_encode(enum error_code code, const char *text, struct buf *out);
enum error_code wire_error_decode(struct bytes body,
                                  struct error *out); /* returns the carried code */

#endif
