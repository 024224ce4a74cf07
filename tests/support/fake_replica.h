/* A simulated replica: the core of node/replica behind a shell that keeps to the contract of
 * docs/raft.md, with a fake disk. The world around it has the clock, the network and the state
 * machine, and is reached by hooks. One log transaction for each WRITE; SENDs are held until their
 * write is durable; a crash loses what was not written, but for a prefix of what was under way.
 *
 * The world keeps `env.now` up to date and gives back by fake_replica_event what was scheduled. */
#ifndef FAKE_REPLICA_H
#define FAKE_REPLICA_H

#include "fake_disk.h"
#include "group_check.h"

#include <base/rng.h>

enum { FAKE_LOADS_MAX = 32 };

enum fake_event { FAKE_TICK, FAKE_DISK, FAKE_LOADED };

struct fake_replica;

struct fake_hooks {
    /* fake_replica_event(r, e, number) is due at this time. */
    void (*schedule)(struct fake_replica *r, uint64_t at, enum fake_event e, uint64_t number);
    /* Takes the bytes (fake_free). */
    void (*send)(struct fake_replica *r, uint64_t to, struct bytes bytes);
    /* Before an effect is performed. */
    void (*note)(struct fake_replica *r, const struct replica_effect *e);
    /* The entry was checked; the state machine applies it. May not call the replica. */
    void (*apply)(struct fake_replica *r, const struct replica_entry *e);
    /* A read is served now, or refused. May not call the replica. */
    void (*read)(struct fake_replica *r, uint64_t token, bool ready);
    /* The snapshot r->install is wanted from r->install_from; fake_replica_put_in_place when it is
     * here. */
    void (*fetch)(struct fake_replica *r);
    /* The log was replaced by r->install; takes the fetched state, sets r->state and r->saved.
     * False: it is not there (the world has said why). */
    bool (*installed)(struct fake_replica *r);
    /* Of n effects, how many are performed before it dies; above n: it lives. */
    size_t (*dies_after)(struct fake_replica *r, size_t n);
    void (*crash)(struct fake_replica *r);
    /* After each event and its effects. May call the replica. */
    void (*after)(struct fake_replica *r);
    void (*fail)(struct fake_replica *r, const char *what);
};

struct fake_env {
    void *ctx; /* the world's */
    const struct fake_hooks *hooks;
    struct rng *rng;
    uint64_t now;      /* ms */
    unsigned disk_max; /* ms of a write */
    unsigned guards_off;
    bool reads_alone;               /* mutation: as of the next start, reads ask no majority */
    bool sends_early;               /* mutation: SENDs do not wait for their write */
    struct replica_options options; /* but for id and seed */
    struct {
        uint64_t loads, installs, trims, truncations;
    } counts;
};

/* How far a state is. History: a chain of hashes, so that equal states have equal ones. */
struct fake_state {
    uint64_t applied, history;
};

struct fake_replica {
    struct fake_env *env;
    struct group_check *group;
    void *owner; /* the world's */
    uint64_t id;
    msec_t clock;            /* its monotonic clock is ahead of the world's by this */
    unsigned slow;           /* extra milliseconds of the disk */
    struct replica *replica; /* NULL: down */
    struct fake_disk disk;
    struct fake_state state, saved; /* saved: the durable one */
    struct replica_role role;
    bool installing;
    struct replica_snapshot install; /* conf is owned */
    uint64_t install_from;

    uint64_t life, tick_number;
    struct fake_op *ops, **ops_end; /* under way to the disk; they end in order */
    uint64_t last_done;
    uint64_t durable_seq;
    struct fake_held *held;
    struct replica_load loads[FAKE_LOADS_MAX]; /* asked for and not answered, a ring */
    size_t first_load, n_loads;
};

/* env, group, id and clock are set. entry_1: of a first voter; empty: a joiner. */
void fake_replica_format(struct fake_replica *r, struct bytes entry_1);
void fake_replica_start(struct fake_replica *r);
/* A prefix of what was under way may have reached the disk. An install is all or nothing. */
void fake_replica_crash(struct fake_replica *r);
/* Frees all but the disk; that has fake_disk_close. */
void fake_replica_stop(struct fake_replica *r);

void fake_replica_event(struct fake_replica *r, enum fake_event e, uint64_t number);
void fake_replica_receive(struct fake_replica *r, uint64_t from, struct bytes message);
void fake_replica_peer_lost(struct fake_replica *r, uint64_t id);
/* 0: not taken. Otherwise the index of the only command. */
uint64_t fake_replica_submit(struct fake_replica *r, const struct bytes *commands, size_t n);
void fake_replica_read(struct fake_replica *r, uint64_t token);
enum error_code fake_replica_change(struct fake_replica *r, uint64_t id,
                                    enum replica_member_role role);
enum error_code fake_replica_transfer(struct fake_replica *r, uint64_t to);
/* The durable state is now this one (not below the last). */
void fake_replica_saved(struct fake_replica *r, struct fake_state state);
void fake_replica_put_in_place(struct fake_replica *r, unsigned delay_ms);

#endif
