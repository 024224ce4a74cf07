/* What all codecs share: packing and unpacking of one protobuf message, the batch around the
 * messages, and scratch memory. Private to proto/: nothing outside sees a generated struct.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <base/arena.h>
#include <base/bytes.h>
#include <base/error.h>
#include <cluster/slot.h>
#include <client.pb-c.h>
#include <shard.pb-c.h>

/* --- encoding --- */

/* Memory for generated structs while one message is packed: the stack first, then an arena.
 * Running out of memory aborts, as growing a buffer does. */
struct scratch {
    size_t used;
    struct arena more;
    _Alignas(16) uint8_t local[6 * 1024];
};
static inline void scratch_init(struct scratch *s)
{
    s->used = 0;
    s->more = (struct arena){0};
}
void scratch_close(struct scratch *s);
/* Not zeroed, aligned for any type. NULL when n is 0. */
void *scratch_array(struct scratch *s, size_t n, size_t size);

static inline ProtobufCBinaryData binary_of(struct bytes b)
{
    /* The generated struct wants a mutable pointer; packing only reads. */
    return (ProtobufCBinaryData){b.len, (uint8_t *)(uintptr_t)b.data};
}
static inline struct bytes bytes_of_binary(ProtobufCBinaryData b)
{
    return bytes_of(b.len ? b.data : NULL, b.len);
}

/* The message as it is. */
void wire_pack(const ProtobufCMessage *m, struct buf *out);
/* The message as one more element of field 1 of a batch. */
void wire_append(const ProtobufCMessage *m, struct buf *out);

ProtobufCBinaryData *wire_list_of(struct scratch *s, const struct bytes *list, size_t n);
Wire__Identity **wire_identities_of(struct scratch *s, const struct identity *ids, size_t n);
struct shard_stats;
struct count_row;
struct skip;
Wire__Skip **wire_skips_of(struct scratch *s, const struct skip *skips, size_t n);
Wire__ShardStats *wire_stats_of(struct scratch *s, const struct shard_stats *st);
Wire__CountRow **wire_counts_of(struct scratch *s, const struct count_row *rows, size_t n);
struct explain_row;
Wire__ExplainRow **wire_explain_of(struct scratch *s, const struct explain_row *rows, size_t n);

/* --- decoding --- */

/* Where decoding stands: says what is wrong in the words "command 3: missing message_id". */
struct decoder;
/* One item straight from its bytes (direct.h), checked; false: not taken, which is for the general
 * way to judge, or after decoder_fail. */
typedef bool (*wire_direct_cb)(struct decoder *d, struct bytes item, void *out);

struct decoder {
    wire_direct_cb direct; /* tried first; NULL: none */
    struct arena *arena;
    struct error *err;
    const char *what; /* "command" */
    size_t index;     /* of the item, from 0 */
    bool whole;       /* a message of its own, not an item of a batch */
    enum error_code code;
};

/* Notes the first mistake and returns false. `complaint` must not contain anything of the input. */
bool decoder_fail(struct decoder *d, const char *complaint);
/* Array memory from the arena; fails the decoder and returns NULL when there is none. n > 0. */
void *decoder_array(struct decoder *d, size_t n, size_t size);

/* One item into a plain struct of the caller's, checked; false after decoder_fail. */
typedef bool (*wire_item_cb)(struct decoder *d, const ProtobufCMessage *m, void *out);

/* The whole batch: checks the number of items against the envelope's, and each becomes a struct in
 * an array of `size` bytes each: by d->direct, or unpacked and handed to `take`. */
enum error_code wire_batch_decode(struct decoder *d, struct bytes body, uint32_t items,
                                  const ProtobufCMessageDescriptor *type, size_t size,
                                  wire_item_cb take, void **out);
/* Unpacks into the arena; NULL after decoder_fail. Never freed: the arena's reset does it. */
ProtobufCMessage *wire_unpack(struct decoder *d, struct bytes in,
                              const ProtobufCMessageDescriptor *type);

bool wire_take_list(struct decoder *d, const ProtobufCBinaryData *from, size_t n,
                    struct bytes **out, size_t *n_out);
/* Namespace and value. */
bool wire_check_identity(struct decoder *d, struct identity id);
/* Each, and their number. */
bool wire_check_identities(struct decoder *d, const struct identity *ids, size_t n);
bool wire_take_identities(struct decoder *d, Wire__Identity **from, size_t n, struct identity **out,
                          size_t *n_out);
bool refusal_is_known(uint32_t wire);
/* Values may be empty, reasons must be known. */
bool wire_check_skips(struct decoder *d, const struct skip *skips, size_t n);
bool wire_take_skips(struct decoder *d, Wire__Skip **from, size_t n, struct skip **out,
                     size_t *n_out);
bool wire_take_ids(struct decoder *d, const uint64_t *from, size_t n, one_id **out, size_t *n_out);
bool wire_take_stats(struct decoder *d, const Wire__ShardStats *from, struct shard_stats *out);
bool wire_take_explain(struct decoder *d, Wire__ExplainRow **from, size_t n,
                       struct explain_row **out, size_t *n_out);
bool wire_take_counts(struct decoder *d, Wire__CountRow **from, size_t n, struct count_row **out,
                      size_t *n_out);

#endif
