/* Names and values as applications write them: shared by requests and shown profiles. */
#ifndef PROTO_NAMED_CODEC_H
#define PROTO_NAMED_CODEC_H

#include "wire.h"

#include <proto/request.h>

Wire__NamedIdentity **named_identities_of(struct scratch *s, const struct named_identity *ids,
                                          size_t n);
Wire__NamedValue **named_values_of(struct scratch *s, const struct named_value *values, size_t n);

static inline bool value_type_is_known(uint32_t wire)
{
    return wire <= VALUE_LIST;
}
bool take_named_identities(struct decoder *d, Wire__NamedIdentity **from, size_t n,
                           struct named_identity **out, size_t *n_out);
bool take_named_values(struct decoder *d, Wire__NamedValue **from, size_t n,
                       struct named_value **out, size_t *n_out);

#endif
