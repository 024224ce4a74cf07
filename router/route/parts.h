/* The router's parts, private to route/. */
#ifndef ROUTE_PARTS_H
#define ROUTE_PARTS_H

#include <route/idcache.h>
#include <route/known.h>
#include <route/router.h>

#include <cluster/map.h>
#include <follow/follow.h>
#include <gather/errand.h>
#include <gather/gather.h>
#include <gather/survey.h>
#include <metrics/http.h>
#include <metrics/metrics.h>
#include <prepare/prepare.h>
#include <proto/endpoint.h>
#include <proto/envelope.h>
#include <saga/saga.h>

#include <stdatomic.h>

enum {
    TASKS_MAX = 8192,      /* requests in flight; then clients wait */
    SENT_MAX = 16384,      /* batches that a reply may still come for; a power of two */
    BATCH_BYTES = 1 << 20, /* a batch is sent before the turn ends when it gets this big ... */
    BATCH_ITEMS = BATCH_ITEMS_MAX / 2, /* ... or holds so many commands */
    READ_ITEMS = 256,      /* ... of reads: their answers, whole profiles, are one message too */
    REPLY_BYTES = 1 << 20, /* so much for a client leaves before the turn ends */
    UNANSWERED_BYTES = 16 << 20, /* sent to a lane of a shard; what comes up above is not sent */
    STALL_MS = 3000, /* without any answer from the lane: what was sent is taken for lost */
    WINDOW_MS = 50,  /* a batch that was not answered for so long holds back no more */
    TICK_MS = 20,    /* how fine the cores' timers are */
    IDLE_MS = 100,   /* the longest wait of a router that has nothing to do */
    SILENT_MS = 700, /* without an answer from the leader of a shard: another replica is asked */
    AWAY_MS =
        500,      /* a node that has owed an answer for so long is not asked for what any may say */
    MOVE_MS = 30, /* between two moves to another replica of a shard */
    LOST_MAX = 4096,
    MAP_RETRY_MS = 200,
    MAP_CHECK_MS = 5000,   /* a node that came up since may serve another one */
    MAP_REFUSED_MS = 1000, /* after a map that was refused, none is taken for so long */
    SWEEP_MS = 1000,
    SWEEP_DEADLINE_MS = 3000, /* the next one goes on; a thousand shards that are away must not fill
                                 the table of requests */
    SWEEP_LIMIT = 64,
    SWEEP_AGE_MS = 1000,
    STARTS_AHEAD = 8, /* sagas between the announcement of a look-up in the cache and itself */
    CARRY_DEADLINE_MS = 5000,
    BEHIND_ROUNDS = 2,
};

/* A message of a client, until all its requests are answered. */
struct client_message {
    struct peer peer;
    struct sender sender;
    uint64_t request_id;
    uint32_t open;  /* requests without an answer */
    struct buf out; /* answers of this turn, behind room for the envelope; empty: none */
    uint32_t n_out;
    struct client_message *next_dirty; /* those with answers in this turn */
    bool dirty;
};

/* One request in flight: a saga, a gather, a follow, a survey or an errand. */
struct task {
    uint32_t number, generation; /* of the slot in the table; which use of it */
    bool used;
    struct saga *saga; /* kept over uses */
    struct gather *gather;
    struct follow *follow;
    struct survey *survey;
    struct errand *errand;
    enum request_type type;
    struct client_message *client; /* NULL: the router's own (sweeps) */
    uint32_t item;                 /* position in the client's message */
    char *subject;                 /* the audit log's note of its end; NULL: there is none. Owned */
    usec_t began_us;
};

/* A saga that is ready but for what the identity cache says of its identities: that look-up waits
 * for memory, and meanwhile the next events are prepared. */
struct starting {
    struct task *task;
    struct saga_start start;
    one_id *hints; /* n of them, each the cache's key of its identity until it is looked up */
    size_t n;
};

/* Who waits for an item of a batch. */
struct ref {
    uint32_t task, generation;
    uint32_t call; /* the saga's, or the gather's of this shard */
};

/* The last two may be answered by any replica, as it is. */
enum lane {
    LANE_WRITE,
    LANE_READ,
    LANE_QUERY,
    LANE_WATCH,
    LANE_STALE_READ,
    LANE_STALE_QUERY,
    LANES
};

/* The batch of a shard and lane that is being filled. */
struct outgoing {
    unsigned under_way; /* batches sent and not answered */
    msec_t sent_ms;     /* when the last one was sent */
    /* Bytes of all batches that were sent, and of those up to the newest that was answered: a shard
     * answers in order, so that batches before it without an answer are lost. */
    uint64_t sent_bytes, answered_bytes;
    msec_t heard_ms; /* the last answer, or since when one is waited for */
    msec_t waits_ms; /* since when the oldest batch waits for one; 0: none does */
    struct buf buf;
    size_t usual_bytes; /* of the last batch: the next buffer begins with as much */
    struct ref *refs;
    size_t n, cap;
};

/* A node of the cluster file or the map. */
struct node {
    node_id id;
    char *listen; /* where the link goes. Owned */
    struct link *link;
    bool is_in_map;   /* false: only the file names it */
    unsigned endings; /* of its connections, as of this turn */
    bool is_up;       /* there is one */
    msec_t silent_ms; /* since when it owes an answer; 0: it owes none */
};

/* Where a shard is asked: who leads it, as far as is known. */
struct place {
    uint8_t at;      /* of the map's holders of the shard */
    uint8_t any;     /* the one that was asked last for what any replica may say */
    msec_t moved_ms; /* when that changed */
};

enum { ERROR_CODES = 64 }; /* more than there are */

/* Written by the router's thread alone. */
struct router_figures {
    metric requests[REQUEST_TYPE_END][ERROR_CODES]; /* answered, by outcome */
    struct latency latency[REQUEST_TYPE_END];
    metric hits, misses;              /* of the identity cache, by identity */
    metric moves;                     /* to another replica of a shard */
    metric sends, resends, held_back; /* commands to shards */
    metric batches[LANES], batches_lost;
    metric is_serving, in_flight, map_epoch, refused, maps_refused;
    metric turned_ms; /* monotonic: the last turn of its loop */
};

/* A batch that was sent. */
struct sent {
    uint64_t request_id; /* 0: none */
    shard_id shard;
    node_id node; /* that was asked */
    enum lane lane;
    uint64_t sent_bytes; /* of the lane, with this batch */
    struct ref *refs;
    size_t n;
};

struct router {
    const struct cluster_config *config;
    uint16_t id;
    struct log *log;
    struct net *net;
    struct server *server;
    struct node *nodes; /* room for CLUSTER_NODES_MAX */
    size_t n_nodes;
    bool nodes_changed;     /* the map is another one since the last nodes_follow */
    struct waitable *waits; /* of each node, and of the clients */
    struct idcache *cache;
    struct cluster_map map;
    bool has_map;
    struct catalogue *catalogue; /* the newest heard of from shard 0; NULL: none yet */
    uint64_t *versions;          /* of the catalogue, by shard, as their answers say; 0: unknown */
    unsigned *behind;            /* by shard: sweeps in a row that found it behind */
    struct task *carrier;        /* brings shards up to date; NULL: nobody has to */
    msec_t map_refused_ms;       /* the last one; 0: none was */
    msec_t serving_since;        /* monotonic */
    msec_t map_asked_ms, swept_ms, ticked_ms;
    shard_id sweep_next;
    struct task *tasks;
    uint32_t *free_tasks; /* their numbers; the last one, which is warmest, is taken first */
    msec_t *wake_ms;      /* by the task's number; INT64_MAX: it is not used */
    size_t n_tasks;       /* in use */
    size_t touched;       /* tasks[0 .. touched) have been used at least once */
    struct starting starting[STARTS_AHEAD];
    uint64_t n_starting, n_started; /* ever; starting[n % STARTS_AHEAD] */
    struct outgoing *outgoing;      /* [shard][lane] */
    struct place *places;           /* by shard */
    node_id *asked_nodes;           /* by shard: the node at its place */
    struct sent *sent;
    uint64_t lost[LOST_MAX]; /* requests that could not be sent in this turn */
    size_t n_lost;
    uint64_t next_request;
    struct client_message *dirty;
    struct arena arena;   /* of one message */
    struct arena scratch; /* of one event that is prepared */
    struct saga_effects saga_effects;
    struct gather_effects gather_effects;
    struct follow_effects follow_effects;
    uint64_t seed, refused_frames;
    usec_t now_us;       /* monotonic, of this turn */
    msec_t now, wall_ms; /* monotonic and wall clock, of this turn */
    struct router_figures figures;
    struct http_server *http; /* NULL: the cluster file has no port for it */
    _Atomic bool stop;
};

/* --- tasks.c: requests in and out --- */
/* Answers a message that cannot be taken, and counts it. */
void tasks_refuse(struct router *r, const struct peer *peer, uint64_t request_id,
                  enum error_code code, const char *text);
/* What a client does not want any more. */
void tasks_cancel(struct router *r, const struct peer *peer, const struct envelope *e);
void tasks_take_message(struct router *r, const struct peer *peer, const struct envelope *e);
void tasks_reply(struct router *r, const struct ref *ref, shard_id shard,
                 const struct reply *reply);
/* Announces to the processor's cache what the replies for refs[at] and a little later will touch:
 * to be called once before the first, and for each. */
void tasks_expect_first(const struct router *r, const struct ref *refs, size_t n);
void tasks_expect(const struct router *r, const struct ref *refs, size_t n, size_t at);
void tasks_tick(struct router *r);
void tasks_sweep(struct router *r);
/* Sends the answers of this turn. */
void tasks_flush(struct router *r);
void tasks_close(struct router *r);

/* Answers the task's client, and ends it. */
void tasks_end(struct router *r, struct task *t, const struct response *answered);

/* --- gate.c: what clients may ask for --- */
/* A message of so many requests; what is taken is returned as they are answered. */
enum error_code gate_take(struct router *r, const struct envelope *e, struct error *err);
void gate_return(struct router *r, const struct sender *who, uint32_t n);
/* Is its key still allowed? */
bool gate_is_open(struct router *r, const struct sender *who);
/* ERR_DENIED, noted. `subject` is given to the task: the end of a request that has one is noted in
 * the audit log. */
enum error_code gate_check(struct router *r, const struct sender *who, const struct request *q,
                           char **subject, struct error *err);

/* --- audit.c --- */
void audit_note(struct router *r, const struct sender *who, enum request_type type,
                const char *subject, enum error_code outcome);

/* --- follows.c: batches of events of watched segments --- */
void follows_start(struct router *r, struct task *t, const struct request *q, msec_t deadline_ms);
void follows_reply(struct router *r, struct task *t, shard_id shard, uint32_t call,
                   const struct reply *reply);
void follows_tick(struct router *r, struct task *t);

/* --- errands.c: the cluster map and its changes, for clients --- */
void errands_start(struct router *r, struct task *t, const struct request *q, msec_t deadline_ms);
void errands_reply(struct router *r, struct task *t, const struct reply *reply);
void errands_tick(struct router *r, struct task *t);
/* For the audit log: which change of which node. */
void errands_describe(const struct request *q, char *out, size_t size);

/* --- figures.c: for Prometheus. On the HTTP port's thread --- */
void figures_show(void *router, struct buf *out);
bool figures_is_serving(void *router, struct buf *out);

/* --- surveys.c: how the nodes are --- */
void surveys_start(struct router *r, struct task *t, msec_t deadline_ms);
/* Is this to a question of a survey? */
bool surveys_is_answer(const struct envelope *e);
void surveys_take(struct router *r, node_id node, const struct envelope *e);
void surveys_tick(struct router *r, struct task *t);

/* --- nodes.c: links to nodes --- */
/* To those of the cluster file. */
enum error_code nodes_open(struct router *r, struct error *err);
void nodes_close(struct router *r);
/* After a change of the map: links to all nodes that are known now, and to no others. */
void nodes_follow(struct router *r);
/* NULL: it is not known (any more). */
struct node *nodes_find(struct router *r, node_id id);
/* A message without body. False: there is no connection. */
bool nodes_send(const struct node *n, const struct envelope *e);
/* It owes an answer for so long that others should be asked, or is not known. */
bool nodes_is_away(struct router *r, node_id id);

/* --- maps.c: the cluster map --- */
/* Asks all nodes for it, and to be told of later ones; at most so often. */
void maps_refresh(struct router *r);
/* An answer says which epoch its node has: a later one is asked for. */
void maps_see_epoch(struct router *r, uint64_t epoch);
/* An encoded map that a node sent; `node` 0: the leader of shard 0. */
void maps_take(struct router *r, node_id node, struct bytes body);

/* --- shards.c: batches to and from shards --- */
enum error_code shards_open(struct router *r, struct error *err);
void shards_close(struct router *r);
void shards_send(struct router *r, shard_id shard, enum lane lane, const struct command *c,
                 struct ref ref);
/* Stops the task's questions where they run, unless others' travelled in the same message. */
void shards_cancel(struct router *r, const struct task *t);
void shards_flush(struct router *r);
/* Tells the askers of what could not be sent. */
void shards_fail_lost(struct router *r);
void shards_take_frame(struct router *r, struct node *node, const struct frame *f);
/* After a change of the map. */
void shards_follow_map(struct router *r);

#endif
