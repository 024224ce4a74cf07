/* A shard replica: Raft as a core. It has no clock, socket, disk, thread or log; events go in,
 * effects come out, and a shell performs them. The engine beneath is libraft's raft_step(), which
 * is never used bare: guard.c answers its known defects (docs/raft.md).
 *
 * Use: replica_open, replica_restore for each stored log entry in order, replica_start, then events
 * one at a time. Each event fills a list of effects that the shell performs in order before the
 * next event. One owner, one thread; replicas share nothing.
 *
 * Writes are asynchronous: a WRITE is handed to the log thread and reported by replica_persisted
 * once durable. Writes become durable in the order of their numbers, or not at all (crash).
 */
#ifndef REPLICA_REPLICA_H
#define REPLICA_REPLICA_H

#include <base/bytes.h>
#include <base/clock.h>
#include <base/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As stored in the log (wal_entry.type). Only commands mean something to the state machine. */
enum replica_entry_type { REPLICA_COMMAND = 1, REPLICA_BARRIER = 2, REPLICA_CHANGE = 3 };

struct replica_entry {
    uint64_t index, term;
    uint8_t type; /* enum replica_entry_type */
    struct bytes data;
};

/* What a member of the group is. A standby keeps the log and does not vote; a spare does neither.
 */
enum replica_member_role {
    REPLICA_STANDBY = 0,
    REPLICA_VOTER = 1,
    REPLICA_SPARE = 2,
    REPLICA_GONE = 3 /* replica_change only: to be removed */
};

struct replica_member {
    uint64_t id;
    enum replica_member_role role;
    uint64_t match; /* at the leader: the last index that is known to be stored there; else 0 */
};

/* Where a trimmed log starts, in wal_snapshot's terms. index 0: nothing was ever trimmed. */
struct replica_snapshot {
    uint64_t index, term;
    uint64_t conf_index;
    struct bytes conf; /* the encoded configuration that was committed at conf_index */
};

struct replica_options {
    uint64_t id;                /* this replica in its group; never 0, never used again once its
                                   disk has forgotten it */
    uint32_t seed;              /* of the random election time-outs; differs between replicas */
    msec_t election_timeout_ms; /* waits are drawn from [1, 2) of it; 0 = 1000 */
    msec_t heartbeat_ms;        /* below the election time-out; 0 = a tenth of it */
    unsigned max_inflight;      /* entries sent to one follower and not acknowledged; 0 = 256 */
    uint64_t trailing;          /* entries kept below a checkpoint, for followers that lag a bit */
    uint64_t trailing_bytes;    /* ... and at most so many bytes of them; 0 = no such bound */
    uint64_t joining_bytes;     /* more of them, for followers that are being given a state */
    size_t cache_bytes;         /* applied entries kept in memory for followers; 0 = 64 MiB.
                                   A group of one replica keeps none. */
};

/* What the disk says at start, without the entries. */
struct replica_persisted {
    uint64_t term, vote;
    struct replica_snapshot snapshot;
    uint64_t first_index; /* of the entries that follow by replica_restore; 0 reads as
                             snapshot.index + 1 */
    uint64_t applied;     /* what the durable state already contains, >= snapshot.index */
};

/* One transaction of the log, in this order: vote, entries, trim. */
struct replica_write {
    uint64_t seq; /* 1, 2, 3 ... */
    bool has_vote;
    uint64_t term, vote;
    /* n_entries > 0: drop the stored entries >= entries[0].index, then append these. */
    const struct replica_entry *entries;
    size_t n_entries;
    /* has_trim: drop the entries <= trim_upto and store the snapshot's metadata. */
    bool has_trim;
    uint64_t trim_upto;
    struct replica_snapshot snapshot;
};

struct replica_send {
    uint64_t to;        /* a replica of this group */
    uint64_t after_seq; /* may leave once this write is durable; 0 = at once */
    struct bytes bytes; /* may be lost, doubled or late: the receiver copes */
};

struct replica_role {
    bool leader;
    uint64_t term;
    uint64_t leader_id; /* 0 = not known */
};

/* A leader sent its snapshot because our log ends before its log begins. The shell fetches the
 * state at or above snapshot.index from `from`, replaces state and log by it (all entries dropped,
 * snapshot metadata stored) and reports replica_installed. Nothing is applied meanwhile. When it
 * cannot, it closes the replica and opens it again from disk. */
struct replica_install {
    uint64_t from;
    struct replica_snapshot snapshot;
};

/* A follower needs entries that are no longer in memory: read from the log, then replica_loaded.
 * Not reading them is allowed; the follower then stays behind. */
struct replica_load {
    uint64_t index;
    size_t n;
};

enum replica_effect_type {
    REPLICA_WRITE,       /* .write: to the log thread. What it borrows stays valid until
                            replica_persisted(seq) or replica_close, longer than the other effects */
    REPLICA_SEND,        /* .send */
    REPLICA_APPLY,       /* .entry: the next committed entry, without gaps. Only a REPLICA_COMMAND
                            goes to the state machine; others just move the applied index */
    REPLICA_ROLE,        /* .role: leadership was won or lost, or another leader is known */
    REPLICA_READ_READY,  /* .token: all APPLYs before this effect make the read linearizable */
    REPLICA_READ_FAILED, /* .token: not leader (any more): the caller asks elsewhere */
    REPLICA_INSTALL,     /* .install */
    REPLICA_LOAD,        /* .load */
    REPLICA_FATAL        /* .error: the contract is broken; the process must stop */
};

struct replica_effect {
    enum replica_effect_type type;
    union {
        struct replica_write write;
        struct replica_send send;
        struct replica_entry entry;
        struct replica_role role;
        uint64_t token;
        struct replica_install install;
        struct replica_load load;
        const struct error *error;
    };
};

/* Borrowed until the next call on the replica (but see REPLICA_WRITE). */
struct replica_effects {
    const struct replica_effect *list;
    size_t n;
};

struct replica_status {
    bool is_leader;
    uint64_t term, leader_id;
    uint64_t commit, applied; /* applied: handed out by APPLY */
    uint64_t snapshot, first, last, stored;
    size_t writes_pending;
    size_t cached_bytes; /* entry data in memory */
    unsigned n_voters, n_servers;
    bool is_changing; /* a change of members is not committed, or a promotion under way */
};

struct replica;

/* Entry 1 of a new group (index 1, term 1, REPLICA_CHANGE), identical bytes for all first voters:
 * each writes it, and term 1 without a vote, before its first start. Appended to `out`.
 * ERR_INVALID: no voter, a zero or a doubled id. */
enum error_code replica_bootstrap(const uint64_t *voters, size_t n, struct buf *out);

/* Copies what it needs. ERR_INVALID, ERR_NOMEM; ERR_CORRUPT: a snapshot that cannot be. */
enum error_code replica_open(const struct replica_options *o, const struct replica_persisted *p,
                             struct replica **out, struct error *err);
/* The next stored entry, in order, before replica_start; copies the data (only where it will still
 * be needed). ERR_CORRUPT: a gap, a falling term, an unreadable configuration. */
enum error_code replica_restore(struct replica *r, const struct replica_entry *e,
                                struct error *err);
/* Also with WRITEs pending, as long as nobody reads them any more. NULL is fine. */
void replica_close(struct replica *r);

/* Events. `now` is monotonic and never falls. After a REPLICA_FATAL they return ERR_INTERNAL and do
 * nothing. ERR_INTERNAL always comes with a REPLICA_FATAL. */

/* A group with one voter is led from here on: its ROLE is among the effects. ERR_CORRUPT and a
 * REPLICA_FATAL when the persisted parts contradict each other. */
enum error_code replica_start(struct replica *r, msec_t now, struct replica_effects *out);
/* When replica_next_timeout has come. Earlier calls do nothing. */
enum error_code replica_tick(struct replica *r, msec_t now, struct replica_effects *out);
/* Appends each command as one entry, all together; copies. They got the indexes from *first_index
 * on, under the current term (replica_status): an APPLY with this index and another term means that
 * the command is lost. ERR_NOT_LEADER, ERR_NOMEM, ERR_INVALID (n = 0, an empty command). */
enum error_code replica_submit(struct replica *r, msec_t now, const struct bytes *commands,
                               size_t n, uint64_t *first_index, struct replica_effects *out);
/* All writes up to `seq` are durable. */
enum error_code replica_persisted(struct replica *r, msec_t now, uint64_t seq,
                                  struct replica_effects *out);
/* A message from another replica. ERR_MALFORMED drops it. */
enum error_code replica_receive(struct replica *r, msec_t now, uint64_t from, struct bytes message,
                                struct replica_effects *out);
/* The process of replica `id` was seen to end, as its connections do. A hint, for the fail-over to
 * come soon: a replica that follows it forgets it, and the voters ask for votes one after the
 * other, a heartbeat apart, instead of after their election time-outs. Where it was wrong nothing
 * is lost: a leader that lives on is heard again within a heartbeat, and who hears it refuses its
 * vote. */
enum error_code replica_peer_lost(struct replica *r, msec_t now, uint64_t id,
                                  struct replica_effects *out);
/* The state is durable up to `index` (<= applied): the log may lose what lies `trailing` entries
 * below. The WRITE that comes back trims. Nothing happens when it is not above the last one, or
 * while another trim is pending. ERR_INVALID: above what was handed out by APPLY. */
enum error_code replica_checkpointed(struct replica *r, msec_t now, uint64_t index,
                                     struct replica_effects *out);
/* From now on, see replica_options. */
void replica_set_trailing(struct replica *r, uint64_t trailing);
/* A linearizable read: READ_READY or READ_FAILED with this token, now or later, exactly once
 * (replica_close drops silently). */
enum error_code replica_read(struct replica *r, msec_t now, uint64_t token,
                             struct replica_effects *out);
/* The state of the INSTALL was put in place, durably, and contains everything up to `applied`. */
enum error_code replica_installed(struct replica *r, msec_t now, uint64_t applied,
                                  struct replica_effects *out);
/* Entries that a LOAD asked for, in order; borrowed for the call. Fewer or none is fine. */
enum error_code replica_loaded(struct replica *r, msec_t now, const struct replica_entry *entries,
                               size_t n, struct replica_effects *out);

/* The leader changes one member: adds one as standby or spare, makes one a voter, demotes or
 * removes one. Making a voter may take a while (it must catch up first) and may be given up
 * silently: look at replica_members. A removed id may come back as long as its disk remembers all
 * that it promised; a replica that lost its disk comes back under a new one. ERR_NOT_LEADER.
 * ERR_BUSY: another change is under way, or this leader has yet to commit an entry of its term (it
 * has begun to): again in a moment. ERR_INVALID: nothing
 * would change, a new member as voter, or the leader itself, which must hand over first. */
enum error_code replica_change(struct replica *r, msec_t now, uint64_t id,
                               enum replica_member_role role, struct replica_effects *out);
/* Hands leadership to a voter (0 = any). Meanwhile submits are refused; after an election time-out
 * without success all is as before. The best moment is when nothing is in flight. ERR_NOT_LEADER,
 * ERR_NOT_FOUND, ERR_BUSY. */
enum error_code replica_transfer(struct replica *r, msec_t now, uint64_t to,
                                 struct replica_effects *out);
/* The newest configuration, committed or not, at most 64 members: fills at most `max`, returns how
 * many there are. */
size_t replica_members(const struct replica *r, struct replica_member *list, size_t max);

/* How old a follower's state may be, in ms: it holds all that was committed when the leader's
 * message arrived that long ago. False: not known, as for a leader (which reads by replica_read)
 * and for one that has heard of none. */
bool replica_age(const struct replica *r, msec_t now, msec_t *out);

/* When replica_tick is due, above the time of the last event. */
msec_t replica_next_timeout(const struct replica *r);
void replica_get_status(const struct replica *r, struct replica_status *out);

#endif
