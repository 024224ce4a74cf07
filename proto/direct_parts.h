/* Pieces that several direct codecs share (direct.h): identities, refusals, names and values. */
#ifndef PROTO_DIRECT_PARTS_H
#define PROTO_DIRECT_PARTS_H

#include "pb.h"

#include <proto/request.h>

/* `last` of `type` was the last field when its writer was written: with one behind it, the compiler
 * asks for has_others to name it, lest it be lost. (What fits into padding or stands further up
 * only the test sees.) */
#define DIRECT_KNOWS_ALL_UP_TO(type, last)                                                         \
    _Static_assert(sizeof(type) - offsetof(type, last) <= 8,                                       \
                   "a field was added to the struct: has_others must name it")

enum { TAG_ITEM = 1 }; /* the field of a batch that holds its items */

/* The most that an element takes, its tag and length included. */
static inline size_t direct_room_of_identities(const struct identity *ids, size_t n)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++)
        room += 32 + ids[i].value.len;
    return room;
}
static inline size_t direct_room_of_skips(const struct skip *skips, size_t n)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++)
        room += 40 + skips[i].id.value.len;
    return room;
}

static inline uint8_t *direct_put_identity_fields(uint8_t *p, const struct identity *id)
{
    return pb_put_bytes(pb_put_fixed32(p, 1, id->ns), 2, id->value);
}
static inline size_t direct_size_of_identity(const struct identity *id)
{
    return (id->ns ? 5U : 0U) + pb_size_bytes(id->value);
}
static inline uint8_t *direct_put_identities(uint8_t *p, unsigned number,
                                             const struct identity *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p = pb_put_tag(p, number, PB_BYTES);
        p = bytes_store_varint(p, direct_size_of_identity(&ids[i]));
        p = direct_put_identity_fields(p, &ids[i]);
    }
    return p;
}
static inline uint8_t *direct_put_skips(uint8_t *p, unsigned number, const struct skip *skips,
                                        size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t reason = (uint32_t)skips[i].reason;
        p = pb_put_tag(p, number, PB_BYTES);
        p = bytes_store_varint(p, direct_size_of_identity(&skips[i].id) + pb_size_uint(reason));
        p = direct_put_identity_fields(p, &skips[i].id);
        p = pb_put_uint(p, 3, reason);
    }
    return p;
}

static inline bool direct_take_identity_field(struct pb_reader *r, unsigned tag, struct arena *a,
                                              void *identity)
{
    struct identity *id = (struct identity *)identity;
    (void)a;
    if (tag == PB_TAG(1, PB_FIXED32))
        return pb_read_fixed32(r, &id->ns);
    return tag == PB_TAG(2, PB_BYTES) && pb_read_bytes(r, &id->value);
}
static inline bool direct_take_identity(struct bytes content, struct arena *a, void *out)
{
    *(struct identity *)out = (struct identity){0};
    return pb_read_fields(content, a, direct_take_identity_field, out);
}
static inline bool direct_take_skip_field(struct pb_reader *r, unsigned tag, struct arena *a,
                                          void *skip)
{
    struct skip *s = (struct skip *)skip;
    uint32_t reason;
    if (tag != PB_TAG(3, PB_VARINT))
        return direct_take_identity_field(r, tag, a, &s->id);
    bool ok = pb_read_u32(r, &reason);
    s->reason = (enum refusal)reason;
    return ok;
}
static inline bool direct_take_skip(struct bytes content, struct arena *a, void *out)
{
    *(struct skip *)out = (struct skip){0};
    return pb_read_fields(content, a, direct_take_skip_field, out);
}
static inline bool direct_take_bytes(struct bytes content, struct arena *a, void *out)
{
    (void)a;
    *(struct bytes *)out = content;
    return true;
}

/* --- names and values as applications write them --- */

size_t direct_room_of_names(const struct named_identity *ids, size_t n);
size_t direct_room_of_values(const struct named_value *values, size_t n);
size_t direct_room_of_list(const struct bytes *list, size_t n);
/* Two fields of bytes, 1 and 2. */
uint8_t *direct_put_pair(uint8_t *p, unsigned number, struct bytes first, struct bytes second);
uint8_t *direct_put_values(uint8_t *p, unsigned number, const struct named_value *values, size_t n);
uint8_t *direct_put_list(uint8_t *p, unsigned number, const struct bytes *list, size_t n);

bool direct_take_name(struct bytes content, struct arena *a, void *named_identity);
bool direct_take_value(struct bytes content, struct arena *a, void *named_value);

#endif
