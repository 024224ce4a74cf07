/* Nodes that move copies over a fake network and fake files, for tests: one that serves, up to
 * RIG_FETCHERS that fetch, each with its core. Time and chance come from one seed. */
#ifndef TESTS_TRANSFER_RIG_H
#define TESTS_TRANSFER_RIG_H

#include <transfer/fetch.h>
#include <transfer/serve.h>

#include <base/rng.h>

enum { RIG_FETCHERS = 4, RIG_SHARDS = 3, RIG_FILES = 64, RIG_FLYING = 2048 };

/* Of every thousand messages or events. */
struct rig_faults {
    unsigned lost, doubled, late, cut, flipped;
    unsigned sender_restarts, sender_loses_files, fetcher_restarts, disk_full, copy_fails;
};

struct rig_file {
    uint64_t id; /* 0: none */
    uint16_t shard;
    struct transfer_copy copy;
    struct buf data;
};

struct rig_message {
    msec_t at;
    bool to_sender;
    size_t fetcher;
    uint64_t asker;
    struct buf body;
};

struct rig_fetcher {
    struct fetch *core;
    uint64_t asker;
    uint16_t shard;
    uint64_t at_least;
    struct buf file;
    bool done, failed;
    struct transfer_copy got;
    struct error error;
    msec_t full_until;
    unsigned starts;
};

struct rig {
    struct rng rng;
    struct rig_faults faults;
    msec_t now;
    struct serve *serve;
    uint64_t state[RIG_SHARDS]; /* applied index that a copy made now would hold */
    size_t state_bytes;         /* of each state */
    struct rig_file files[RIG_FILES];
    struct {
        uint64_t id;
        uint16_t shard;
        msec_t ready_at;
    } making[SERVE_COPIES_MAX];
    struct rig_fetcher fetchers[RIG_FETCHERS];
    size_t n_fetchers;
    struct rig_message flying[RIG_FLYING];
    size_t n_flying;
    uint64_t copies_made, sender_starts;
    size_t most_copies; /* at one moment */
    struct fetch_options fetch_options;
    struct serve_options serve_options;
};

void rig_open(struct rig *r, uint64_t seed, size_t state_bytes);
void rig_close(struct rig *r);
void rig_start_fetch(struct rig *r, size_t no, uint16_t shard, uint64_t at_least);
/* One event, or one step of time. */
void rig_step(struct rig *r);
/* Until all have ended or `until` has come. */
bool rig_run(struct rig *r, msec_t until);
void rig_restart_sender(struct rig *r, bool with_files);
/* What a copy of this shard at this index is; appended to `out`. */
void rig_content(uint16_t shard, uint64_t applied, size_t bytes, struct buf *out);
/* Fails the test unless the fetcher has what it asked for, byte for byte. */
void rig_check_done(struct rig *r, size_t no);
size_t rig_files(const struct rig *r);

#endif
