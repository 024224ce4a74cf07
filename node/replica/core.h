/* The inside of a replica, shared by the files of this folder and its tests. */
#ifndef REPLICA_CORE_H
#define REPLICA_CORE_H

#include "age.h"
#include "entries.h"
#include "hold.h"
#include "joining.h"
#include "load.h"
#include "member.h"
#include "message.h"
#include "readindex.h"

#include <replica/replica.h>

#include <base/arena.h>

#include <raft.h>

_Static_assert(RAFT_VERSION_NUMBER == 2201,
               "later releases of libraft change who owns memory; see docs/raft.md");

/* A WRITE that is not durable yet. It keeps what the effect borrows. */
struct pending_write {
    struct pending_write *next;
    uint64_t seq;
    bool has_vote;
    uint64_t valid; /* the highest index it may report as stored; 0 = none (truncated since) */
    uint64_t first; /* of its entries */
    struct replica_entry *entries;
    struct entry_block **blocks; /* one reference per entry; NULL where there is no data */
    size_t n;
    bool has_trim;
    uint64_t trim_upto;
    struct replica_snapshot snapshot; /* of the trim; conf is owned */
};

struct replica {
    struct replica_options options;
    struct raft raft;
    bool engine_ready; /* raft_init was called */
    bool started, dead;
    struct error fatal;
    unsigned guards_off; /* enum guard: only tests set this */
    msec_t now;

    struct entries entries;
    struct replica_snapshot snapshot;        /* what the log starts from; conf is owned */
    uint64_t persisted_term, persisted_vote; /* as last written */

    uint64_t commit;      /* the highest ever seen; the engine's may fall */
    uint64_t applied;     /* handed out, or contained in the state from the start */
    uint64_t conf_cursor; /* changes up to here were confirmed to the engine */
    uint64_t floor;       /* leader: reads need commit >= floor */
    msec_t last_append;   /* when a current leader was last heard */
    bool heard_leader;
    struct age age;

    struct pending_write *writes, *writes_last;
    uint64_t last_seq, durable_seq, vote_seq; /* vote_seq: the newest write with a vote */
    bool trimming;

    bool installing;
    struct replica_snapshot install; /* conf is owned */
    bool has_installed;
    msec_t installed_ms;

    struct replica_role role; /* as last reported */
    struct readindex reads;
    struct loads loads;
    struct holds holds;
    struct joinings joinings;
    uint64_t promoting; /* catches up to become a voter; 0 = nobody */

    struct entry_block *step_block; /* handed to the engine in this step */
    struct arena arena;             /* reset at each event */
    struct buf wire;                /* messages of this event, back to back */
    struct buf effects;             /* struct replica_effect, of this event */
};

enum {
    REPLICA_ADDRESS_SIZE = 24,
    INSTALL_TIMEOUTS = 3 /* election time-outs that an install may take to a leader */
};

/* replica.c */
/* The engine wants an address beside each id: ours is the id in decimal. */
void replica_address(uint64_t id, char out[REPLICA_ADDRESS_SIZE]);
/* A zeroed effect at the end of the list; valid until the next one. */
struct replica_effect *replica_emit(struct replica *r, enum replica_effect_type type);
/* Stops the replica: says FATAL and refuses all that comes. Returns ERR_INTERNAL. */
enum error_code replica_die(struct replica *r, const char *what, int engine_code);

/* How far below `from` the log goes, not below `to`, with at most so many entries and bytes. */
uint64_t replica_walk_back(const struct replica *r, uint64_t from, uint64_t to, uint64_t entries,
                           uint64_t bytes);

/* update.c */
/* One raft_step and its updates. A non-zero return is the engine's code for a refused submit or
 * transfer; after any other failure the replica is dead. */
int replica_step(struct replica *r, struct raft_event *event);
/* Says ROLE if it is another one than last said. */
void replica_take_role(struct replica *r);
/* Commits, configurations, applies, reads: what follows from the steps so far. */
void replica_settle(struct replica *r);
/* A WRITE with the given vote and no entries. */
void replica_write_vote(struct replica *r, uint64_t term, uint64_t vote);
void replica_write_trim(struct replica *r, uint64_t upto, const struct replica_snapshot *s);
void replica_send(struct replica *r, uint64_t to, const struct message *m);
/* Finds its entries first; later, if they must be read from the log. */
void replica_send_append(struct replica *r, struct message *m);
void replica_write_free(struct pending_write *w);
/* Term of the entry or of the snapshot at `index`; 0 = not known. */
uint64_t replica_term_at(const struct replica *r, uint64_t index);
bool snapshot_copy(struct replica_snapshot *to, const struct replica_snapshot *from);
void snapshot_free(struct replica_snapshot *s);
bool replica_is_leader(const struct replica *r);

#endif
