/* What replicas of a group say to each other, as bytes and as the engine's structs.
 * Nothing that a peer sends is believed before it was checked here. */
#ifndef REPLICA_MESSAGE_H
#define REPLICA_MESSAGE_H

#include <base/arena.h>
#include <base/bytes.h>
#include <base/error.h>

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

enum { MESSAGE_VERSION = 1 };

/* Frozen. The first six are the engine's own numbers. */
enum message_type {
    MESSAGE_APPEND = RAFT_APPEND_ENTRIES,
    MESSAGE_APPEND_RESULT = RAFT_APPEND_ENTRIES_RESULT,
    MESSAGE_VOTE = RAFT_REQUEST_VOTE,
    MESSAGE_VOTE_RESULT = RAFT_REQUEST_VOTE_RESULT,
    MESSAGE_SNAPSHOT = RAFT_INSTALL_SNAPSHOT,
    MESSAGE_TIMEOUT_NOW = RAFT_TIMEOUT_NOW,
    MESSAGE_STALE = 32, /* "your term is over, mine is `term`" */
    MESSAGE_PROBE = 33, /* read-index: "am I still your leader in `term`?" */
    MESSAGE_PROBE_ACK = 34
};

struct message_entry {
    uint64_t term;
    uint8_t type;
    struct bytes data;
};

struct message {
    enum message_type type;
    uint64_t term;                 /* the sender's term as the message states it */
    uint64_t probe_id;             /* PROBE, PROBE_ACK */
    struct raft_message rm;        /* the engine's types; entries, conf and data stay empty */
    struct message_entry *entries; /* APPEND: rm.append_entries.n_entries of them */
    struct bytes conf;             /* SNAPSHOT: a checked configuration */
};

/* Appends the message to `out`. */
void message_encode(const struct message *m, struct buf *out);
/* `m` borrows from `b` and from the arena. ERR_MALFORMED, ERR_NOMEM. */
enum error_code message_decode(struct bytes b, struct arena *arena, struct message *m);

/* Is this an encoded configuration that the engine may be given? Its own decoder reads past the
 * end of a damaged one. */
bool configuration_is_valid(struct bytes b);
/* false: memory is out, or the bytes are not a configuration. */
bool configuration_decode(struct bytes b, struct raft_configuration *out);
unsigned configuration_voters(const struct raft_configuration *c);
bool configuration_is_voter(const struct raft_configuration *c, uint64_t id);
/* Of encoded bytes, which may be empty. */
bool configuration_has_sole_voter(struct bytes b, uint64_t id);

#endif
