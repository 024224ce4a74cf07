/* What a node and a router say of themselves: for `oneidctl status` and `check`, and for nobody's
 * decisions. A node answers from what its shards last said, without asking the log: so a replica
 * that does not lead, and a node that cannot write, answers as well.
 *
 * Routers forward what nodes say unopened. Pointers borrow, as in command.h.
 */
#ifndef PROTO_STATUS_H
#define PROTO_STATUS_H

#include <base/arena.h>
#include <base/clock.h>
#include <base/error.h>
#include <cluster/slot.h>

enum status_role { STATUS_STANDBY = 0, STATUS_VOTER = 1, STATUS_SPARE = 2 };

/* A replica of the group, as another one knows it. */
struct status_member {
    node_id node;
    uint64_t folder; /* what its id says beside the node (meta/members.h): a folder that was made
                        anew, and one that got the shard back, has another */
    enum status_role role;
    uint64_t match; /* at the leader: stored there up to this index; else 0 */
};

struct status_replica {
    shard_id shard;
    uint64_t folder; /* its own, as in status_member */
    msec_t said_ms;  /* age of what follows: an idle thread says it about once a second */
    bool is_leader;
    bool is_changing; /* a change of members is under way */
    bool is_fetching; /* it gets another replica's state in place of its own */
    node_id leader;   /* 0: not known */
    node_id wanted;   /* where the map wants it to be led */
    uint32_t wanted_voters;
    uint64_t term, commit, applied;
    uint64_t first, last; /* of the log */
    uint64_t snapshot;
    msec_t led_ms; /* has led for so long; 0: does not */
    struct status_member *members;
    size_t n_members;
    uint64_t memtable_bytes, memtable_limit, disk_bytes, index_bytes, index_members;
    uint64_t catalogue;    /* version of the saved segments */
    msec_t dirty_ms;       /* age of the oldest change that is in no checkpoint */
    bool checkpoint_fails; /* the disk is full: it is tried again */
    uint64_t merging;      /* merges in flight */
    uint64_t stuck;        /* ... of these older than STATUS_STUCK_MS; the leader looks */
};

enum { STATUS_STUCK_MS = 60000 };

struct status_node {
    node_id node;
    uint64_t folder;
    msec_t wall_ms; /* its clock when it answered */
    msec_t up_ms;   /* since it began to serve */
    uint64_t map_epoch, map_digest, schema_digest;
    bool disk_full; /* the log cannot be written */
    bool is_stopping;
    uint64_t disk_free, disk_total; /* bytes, of the file system of its folder; 0: not known */
    uint64_t log_bytes;             /* of the log of all its shards, on disk */
    uint64_t refused;               /* malformed or foreign messages that came in */
    uint32_t checkpoint_seconds;    /* as its cluster file has it */
    struct status_replica *replicas;
    size_t n_replicas;
};

struct status_router {
    uint16_t router;
    msec_t wall_ms, up_ms;
    uint64_t map_epoch, map_digest, schema_digest;
    uint64_t catalogue; /* the newest that it has heard of; 0: none yet */
    uint64_t refused;
    uint64_t in_flight; /* requests */
};

/* Appended; and back. ERR_MALFORMED, ERR_NOMEM. */
void status_node_encode(const struct status_node *n, struct buf *out);
enum error_code status_node_decode(struct bytes b, struct arena *arena, struct status_node **out,
                                   struct error *err);
void status_router_encode(const struct status_router *r, struct buf *out);
enum error_code status_router_decode(struct bytes b, struct arena *arena,
                                     struct status_router **out, struct error *err);

#endif
