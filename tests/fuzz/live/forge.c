/* Raft messages, and the question whether something is one. Apart from the rest, since both the
 * replicas and the wire have messages with types. */
#include "forge.h"

#include <message.h>

#include <string.h>

void forge_raft_of(struct rng *rng, struct buf *out)
{
    static const enum message_type TYPES[] = {
        MESSAGE_APPEND,   MESSAGE_APPEND_RESULT, MESSAGE_VOTE,  MESSAGE_VOTE_RESULT,
        MESSAGE_SNAPSHOT, MESSAGE_TIMEOUT_NOW,   MESSAGE_STALE, MESSAGE_PROBE_ACK};
    enum { N = sizeof TYPES / sizeof *TYPES };
    struct message m;
    struct message_entry entry = {.term = FORGED_TERM, .type = 1, .data = bytes_of("x", 1)};
    memset(&m, 0, sizeof m);
    m.type = TYPES[rng_below(rng, N)];
    m.term = FORGED_TERM;
    m.probe_id = rng_below(rng, 100);
    m.rm.type = (enum raft_message_type)m.type;
    m.rm.request_vote.version = 1; /* all begin with it */
    switch (m.type) {
    case MESSAGE_APPEND:
        m.rm.append_entries.term = FORGED_TERM;
        m.rm.append_entries.leader_commit = UINT64_MAX / 4;
        m.rm.append_entries.n_entries = 1;
        m.entries = &entry;
        break;
    case MESSAGE_APPEND_RESULT:
        m.rm.append_entries_result.term = FORGED_TERM;
        m.rm.append_entries_result.last_log_index = UINT64_MAX / 4;
        break;
    case MESSAGE_VOTE:
        m.rm.request_vote.term = FORGED_TERM;
        m.rm.request_vote.candidate_id = rng_u64(rng);
        m.rm.request_vote.last_log_index = UINT64_MAX / 4;
        m.rm.request_vote.last_log_term = FORGED_TERM;
        m.rm.request_vote.disrupt_leader = true;
        break;
    case MESSAGE_VOTE_RESULT:
        m.rm.request_vote_result.term = FORGED_TERM;
        break;
    case MESSAGE_SNAPSHOT:
        m.rm.install_snapshot.term = FORGED_TERM;
        m.rm.install_snapshot.last_index = UINT64_MAX / 4;
        m.rm.install_snapshot.last_term = FORGED_TERM;
        break;
    case MESSAGE_TIMEOUT_NOW:
        m.rm.timeout_now.term = FORGED_TERM;
        break;
    case MESSAGE_STALE:
    case MESSAGE_PROBE:
    case MESSAGE_PROBE_ACK:
        break;
    }
    message_encode(&m, out);
}

bool forge_is_raft(struct arena *arena, struct bytes b)
{
    struct message m;
    return message_decode(b, arena, &m) != ERR_MALFORMED;
}
