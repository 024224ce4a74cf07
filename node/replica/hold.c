#include "hold.h"

#include "core.h"
#include "guard.h"

static uint64_t last_index(const struct raft_message *m)
{
    return m->append_entries.prev_log_index + m->append_entries.n_entries;
}

static bool must_wait(const struct replica *r, const struct raft_message *m)
{
    return guard_is_on(r, GUARD_STANDBY) && last_index(m) > raft_commit_index(&r->raft) &&
           !configuration_is_voter(&r->raft.configuration, m->server_id);
}

/* The engine repeats itself while it has no answer, each time with more: if only the newest were
 * kept, it might always be one whose end is not committed. */
static bool is_repeated(const struct holds *h, const struct raft_message *m)
{
    for (size_t i = 0; i < h->n; i++) {
        const struct raft_message *old = &h->waiting[i];
        if (old->server_id == m->server_id && old->append_entries.term == m->append_entries.term &&
            old->append_entries.prev_log_index == m->append_entries.prev_log_index)
            return true;
    }
    return false;
}

bool hold_append(struct replica *r, const struct raft_message *m)
{
    struct holds *h = &r->holds;
    if (!must_wait(r, m))
        return false;
    if (h->n == HOLDS_MAX || is_repeated(h, m))
        return true;
    h->waiting[h->n] = *m;
    h->waiting[h->n].server_address = NULL;
    h->waiting[h->n].append_entries.entries = NULL;
    h->n++;
    return true;
}

/* All that it carries is committed by now, unless the standby became a voter. */
static void send_held(struct replica *r, const struct raft_message *held)
{
    struct message m = {.type = MESSAGE_APPEND, .rm = *held};
    if (last_index(held) <= raft_commit_index(&r->raft))
        m.rm.append_entries.leader_commit = last_index(held);
    replica_send_append(r, &m);
}

void hold_advance(struct replica *r)
{
    struct holds *h = &r->holds;
    size_t kept = 0;
    for (size_t i = 0; i < h->n; i++) {
        const struct raft_message *m = &h->waiting[i];
        if (!replica_is_leader(r) || m->append_entries.term != r->raft.current_term)
            continue;
        if (must_wait(r, m))
            h->waiting[kept++] = *m;
        else
            send_held(r, m);
    }
    h->n = kept;
}
