/* The codecs by way of protobuf-c alone: what the direct way is measured against in tests. Private
 * to proto/. */
#ifndef PROTO_GENERIC_H
#define PROTO_GENERIC_H

#include <proto/request.h>

void command_encode_generic(const struct command *c, struct buf *out);
enum error_code command_decode_generic(struct bytes body, uint32_t items, struct arena *arena,
                                       struct command **out, size_t *n_out, struct error *err);
void reply_encode_generic(const struct reply *r, struct buf *out);
enum error_code reply_decode_generic(struct bytes body, uint32_t items, struct arena *arena,
                                     struct reply **out, size_t *n_out, struct error *err);
void request_encode_generic(const struct request *r, struct buf *out);
enum error_code request_decode_generic(struct bytes body, uint32_t items, struct arena *arena,
                                       struct request **out, size_t *n_out, struct error *err);
void response_encode_generic(const struct response *r, struct buf *out);
enum error_code response_decode_generic(struct bytes body, uint32_t items, struct arena *arena,
                                        struct response **out, size_t *n_out, struct error *err);
void profile_encode_generic(const struct profile_view *v, struct buf *out);
enum error_code profile_decode_generic(struct bytes b, struct arena *arena,
                                       struct profile_view **out, struct error *err);

#endif
