/* The hot messages straight between bytes and plain structs: the format of the .proto files without
 * the generated structs. Private to proto/; each codec tries this way first.
 *
 * Nothing is decided here. A message that has anything unusual in it (a field or a type that this
 * way does not serve, a repeated field in several places, a value out of range, malformed bytes)
 * is not taken, and the general way through protobuf-c takes or refuses it. So a field that is
 * added to a .proto file works without a change here as soon as the general way knows it; on the
 * way out the writers must know which fields there are, which tests/unit/test_direct_codec.c checks
 * against the generated descriptions.
 *
 * What is read borrows from the message's bytes; arrays come from the arena.
 */
#ifndef PROTO_DIRECT_H
#define PROTO_DIRECT_H

#include <proto/request.h>

/* false: not taken; the struct and the arena may have something half-done in them. The values are
 * not checked. */
bool direct_read_command(struct bytes item, struct arena *a, struct command *out);
bool direct_read_reply(struct bytes item, struct arena *a, struct reply *out);
bool direct_read_request(struct bytes item, struct arena *a, struct request *out);
bool direct_read_response(struct bytes item, struct arena *a, struct response *out);
bool direct_read_profile(struct bytes view, struct arena *a, struct profile_view *out);

/* Append an item of a batch; false: not served, nothing is written. */
bool direct_write_command(const struct command *c, struct buf *out);
bool direct_write_reply(const struct reply *r, struct buf *out);
bool direct_write_request(const struct request *r, struct buf *out);
bool direct_write_response(const struct response *r, struct buf *out);
/* All of a profile is served. */
void direct_write_profile(const struct profile_view *v, struct buf *out);

#endif
