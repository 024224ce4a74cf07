/* Machines of a few shards on stores in RAM, for the tests of node/machine: commands go through the
 * wire codec to the shard that owns their slot, and are kept, so that they can be run again. */
#ifndef TESTS_MACHINE_RIG_H
#define TESTS_MACHINE_RIG_H

#include <cluster/config.h>
#include <cluster/map.h>
#include <index/index.h>
#include <machine/machine.h>
#include <proto/facts.h>
#include <proto/request.h>

enum { WORLD_SHARDS = 3, WORLD_DAY = 20000 };
#define WORLD_NOW (INT64_C(20000) * MSEC_PER_DAY)

struct logged {
    uint8_t *data;
    size_t len;
    msec_t now;
    struct logged *next;
};

struct world {
    struct cluster_config *config;
    struct schema *schema; /* the config's, so that a test may change limits */
    struct cluster_map *map;
    struct store *stores[WORLD_SHARDS];
    struct machine *machines[WORLD_SHARDS];
    struct index *indexes[WORLD_SHARDS];
    struct machine_options options;
    struct arena arena; /* of everything a test makes, until it ends */
    struct logged *first[WORLD_SHARDS], **last[WORLD_SHARDS];
    msec_t now;
    unsigned next_message;
};

int world_setup(void **state);
int world_teardown(void **state);
/* Closes the machines and opens them again on the same stores, with w->options. */
void world_reopen(struct world *w);

/* An identity of the namespace whose slot is in the shard; the same `k` gives the same one. */
struct identity world_id(struct world *w, const char *ns, unsigned shard, unsigned k);
unsigned shard_of_id(const struct world *w, struct identity id);
unsigned shard_of_profile(const struct world *w, one_id p);

/* Runs the command where it acts; the reply lives as long as the world. */
struct reply world_run(struct world *w, const struct command *c);
struct reply world_run_at(struct world *w, unsigned shard, const struct command *c);

/* Facts of an event: points += n (0: none), city (NULL: none), a tag (NULL: none). */
struct bytes world_facts(struct world *w, int64_t points, const char *city, const char *tag,
                         msec_t ts);
/* An `order` of that many millionths on a day. */
struct bytes world_order(struct world *w, int32_t day, int64_t amount, const char *category);

/* An APPLY of ids to profile p (0: by the index) with `points`; message "m<n>". */
struct command world_event(struct world *w, one_id p, unsigned message, const struct identity *ids,
                           size_t n, int64_t points);
struct reply world_apply(struct world *w, one_id p, unsigned message, const struct identity *ids,
                         size_t n, int64_t points);
/* A profile of one by an event with 1 point. */
one_id world_open(struct world *w, struct identity id);
struct command world_pair(enum command_type type, one_id profile, one_id other, uint32_t epoch,
                          struct identity *pair);
struct reply world_locate(struct world *w, one_id p, struct identity id, bool want_content);
struct reply world_simple(struct world *w, enum command_type type, one_id p, uint32_t epoch);
struct reply world_repair(struct world *w, struct identity id, one_id p, uint32_t version);

/* The view that GET shows, or NULL; `from` 0: by the index entry, chased over the shards. */
struct profile_view *world_view(struct world *w, one_id from, struct identity id);
int64_t view_counter(const struct profile_view *v, const char *name);
struct bytes view_trait(const struct profile_view *v, const char *name);

const struct shard_stats *world_stats(struct world *w, unsigned shard);
/* Fails the test when CHECK has findings, or a rebuilt index differs from the live one. */
void world_check(struct world *w);
/* A digest of a shard's whole state. */
uint64_t store_digest(struct store *s);
/* Runs the kept commands of each shard on an empty machine and compares the states. */
void world_replay(struct world *w);

#endif
