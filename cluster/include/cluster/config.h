/* `cluster.yml` to an immutable struct. */
#ifndef CLUSTER_CONFIG_H
#define CLUSTER_CONFIG_H

#include <base/error.h>
#include <cluster/schema.h>
#include <cluster/slot.h>

enum {
    CLUSTER_NODES_MAX = 256,
    CLUSTER_SHARDS_MAX = 1024,
    CLUSTER_ROUTERS_MAX = 256,
    CLUSTER_REPLICAS_MAX = 7
};

struct cluster_node {
    node_id id;
    const char *listen;  /* ZeroMQ endpoint "tcp://host:port" */
    const char *metrics; /* "address:port" of its HTTP port; "": none */
};

struct cluster_router {
    uint16_t id;
    const char *listen;
    const char *metrics; /* as of a node */
};

/* Section `security:`. Paths are relative to the file's folder; made absolute. */
struct cluster_security {
    bool plain;          /* `security: none`: plain text, and loopback addresses only */
    const char *keys;    /* folder of the secret keys of the processes that run here: NAME.key */
    const char *allowed; /* file of the public keys that are trusted, and what they may do */
};

struct cluster_config {
    const char *path; /* where it was read from */
    const char *name; /* `cluster:` */
    const char *data; /* folder; relative paths are relative to the file's folder; made absolute */
    const char *timezone;
    uint32_t n_shards, n_replicas; /* n_replicas: 1, 3 or 5, at most as many as nodes */
    struct cluster_node *nodes;
    size_t n_nodes;
    struct cluster_router *routers;
    size_t n_routers;
    /* Optional section `limits:`; the defaults stand in cluster.yml. */
    uint32_t dedup_hours;        /* 72: window of a message_id by receipt time */
    uint32_t dedup_min;          /* 4096: of each identity at least the last so many ids are kept */
    uint32_t dedup_max;          /* 65536: ... and at most so many (a cut window is counted) */
    uint32_t memtable_mb;        /* 64: a replica checkpoints when its memtable holds this much */
    uint32_t checkpoint_seconds; /* 60: ... or when its oldest change is this old */
    uint32_t log_keep_mb;        /* 64: of a replicated shard's log, kept below a checkpoint for
                                    replicas that were away; who lacks more gets the state */
    uint32_t log_join_mb;        /* 1024: ... and so much more while one is being given the state */
    uint32_t redirect_days;      /* 400: how long a merged One-ID still leads to its person */
    uint32_t map_gb;             /* 256: largest size of one LMDB file */
    uint32_t router_cache_mb;    /* 256: the identity cache of a router */
    uint32_t deadline_ms;        /* 10000: of a request that names none */
    uint32_t query_threads;      /* of a node; 0: as many as it has cores, at most 4 */
    uint32_t watch_events;       /* 1000000: of watched segments, kept by each shard */
    uint32_t watch_idle_days;    /* 7: a watch that nobody asks for ends after so long */
    uint32_t election_ms;        /* 700: of silence, at least, until another replica would lead */
    struct cluster_security security;
    struct schema schema;
};

/* Reads and checks the file. On a mistake: ERR_CONFIG and a message that begins with
 * "file:line:column: " and says what was expected; the first mistake in file order is reported.
 * The result is freed with cluster_config_close. */
enum error_code cluster_config_open(const char *path, struct cluster_config **out,
                                    struct error *err);
/* The same from memory; `path` is only named in messages and for relative folders. */
enum error_code cluster_config_parse(const char *path, struct bytes text,
                                     struct cluster_config **out, struct error *err);
void cluster_config_close(struct cluster_config *c);

#endif
