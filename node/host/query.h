/* One question to one shard's index, private to host/. */
#ifndef HOST_QUERY_H
#define HOST_QUERY_H

#include "parts.h"

#include <segment/catalogue.h>

struct query_run {
    const struct schema *schema;
    struct shard *shard;
    const struct command *command;
    struct catalogue *catalogue; /* of the shard, for as long as the question runs */
    const struct query_work *work;
    msec_t received_ms; /* monotonic: the deadline counts from here */
    struct arena *arena;
    struct index_query query; /* all but the expression */
    struct error err;
};

/* The answer to r->command lives in r->arena; the error is in r->err. */
enum error_code query_run(struct query_run *r, struct reply *out);

#endif
