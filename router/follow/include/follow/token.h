/* The resume token of who follows a watched segment: where he stands in each shard. Opaque to
 * clients: a version, what it belongs to, a place for each shard and a check sum, as hex digits. */
#ifndef FOLLOW_TOKEN_H
#define FOLLOW_TOKEN_H

#include <base/arena.h>
#include <base/error.h>
#include <cluster/slot.h>
#include <proto/watch.h>

struct follow_place {
    enum watch_from from;
    uint64_t log_index;
    one_id member;
};

struct follow_token {
    uint64_t cluster_id;
    uint64_t segment; /* hash of its name */
    uint64_t number;  /* of the follower: never 0, the same through all his tokens */
    int32_t day;      /* on which the shards were last told that the segment is followed */
    size_t n_shards;
    struct follow_place *places;
};

/* Appends the text. */
void follow_token_put(const struct follow_token *t, struct buf *out);
/* ERR_INVALID: not a whole token, or of another version; ERR_NOMEM. `places` live in `arena`. */
enum error_code follow_token_parse(struct bytes text, struct arena *arena, struct follow_token *out,
                                   struct error *err);

#endif
