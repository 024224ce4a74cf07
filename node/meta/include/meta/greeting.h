/* What nodes tell each other every second (MESSAGE_HELLO and its answer): who they are, how new
 * their cluster map is, and which shards that move are as it wants them. */
#ifndef META_GREETING_H
#define META_GREETING_H

#include <cluster/map.h>

struct greeting_settled {
    shard_id shard;
    uint64_t changed; /* map_shard.changed of the map that its group is as wanted by */
};
struct greeting {
    struct bytes hello; /* members.h */
    uint64_t epoch;     /* of the map; 0: the node has none yet */
    size_t n_settled;
    struct greeting_settled settled[CLUSTER_SHARDS_MAX];
};

/* Appended. */
void greeting_encode(const struct greeting *g, struct buf *out);
/* `hello` borrows. ERR_MALFORMED. */
enum error_code greeting_decode(struct bytes b, struct greeting *out, struct error *err);

#endif
