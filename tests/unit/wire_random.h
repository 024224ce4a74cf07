/* Random protobuf messages of any generated type, from its description: whatever fields the .proto
 * files have, now or later. */
#ifndef WIRE_RANDOM_H
#define WIRE_RANDOM_H

#include <base/bytes.h>
#include <base/rng.h>
#include <protobuf-c/protobuf-c.h>

/* Picks a value for the fields that only some values make sense in; false: any will do. */
typedef bool (*wire_number_cb)(struct rng *rng, const char *message, const char *field,
                               uint64_t *value);
typedef bool (*wire_bytes_cb)(struct rng *rng, const char *message, const char *field,
                              struct bytes *value);

struct wire_random {
    struct rng rng;
    wire_number_cb number;
    wire_bytes_cb bytes;
    unsigned presence; /* per cent of the fields that are there; number 1 always is */
    unsigned
        first; /* only among so many of a type's first fields, where the hot ones are; 0: all */
    /* Fields in any order and more than once, numbers and lengths in long forms, fields that nobody
     * knows, wrong wire types. */
    bool wild;
};

void wire_random_message(struct wire_random *w, const ProtobufCMessageDescriptor *type,
                         struct buf *out);
/* One field with a value that is not its default. */
void wire_random_field(struct wire_random *w, const ProtobufCMessageDescriptor *type,
                       const ProtobufCFieldDescriptor *field, struct buf *out);
/* In `size` bytes at least, most of them superfluous. */
void wire_put_long_varint(struct buf *out, uint64_t v, size_t size);

#endif
