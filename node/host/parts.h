/* The parts of a node, private to host/. Each thread's part: who owns what. */
#ifndef HOST_PARTS_H
#define HOST_PARTS_H

#include "message.h"
#include "query_pool.h"

#include <base/logger.h>
#include <cluster/map.h>
#include <index/index.h>
#include <machine/machine.h>
#include <meta/greeting.h>
#include <meta/members.h>
#include <metrics/metrics.h>
#include <proto/status.h>
#include <store/store.h>
#include <wal/wal.h>

#include <pthread.h>
#include <stdatomic.h>

enum { INBOX_NAME_MAX = 48 };

/* Figures of a node that are no shard's. */
struct host_figures {
    struct latency query, log_write, checkpoint;
    metric queries_failed, checkpoints_failed;
};

/* The cluster map that the node goes by, see maps.c. */
struct map_ref;
struct host_map {
    pthread_mutex_t lock; /* of `now` */
    struct map_ref *now;
    _Atomic uint64_t epoch; /* of it */
};

/* What all parts may read; written before the threads start, except the atomics. */
struct host_shared {
    const struct cluster_config *config;
    struct cluster_map slots; /* only what never changes: whose cluster, which slots a shard has */
    struct host_map map;
    /* By shard: the newest map_shard.changed that a leader said it is settled by. */
    _Atomic uint64_t settled[CLUSTER_SHARDS_MAX];
    pthread_mutex_t placing; /* held while a shard is opened beside the others, and when the end
                                begins */
    struct shard *shards;    /* of the whole cluster, by id; most have state SHARD_ABSENT */
    size_t n_shards;
    node_id node;
    struct log *log;
    struct net *net;
    char folder[512];                /* <data>/node-<id> */
    _Atomic bool disk_full;          /* the log cannot be written: new writes are refused */
    _Atomic bool stopping;           /* the process was told to end */
    _Atomic uint64_t refused_frames; /* malformed or foreign messages that came in */
    _Atomic uint64_t log_disk_bytes;
    struct host_figures figures;
    msec_t serving_since;     /* monotonic */
    struct members members;   /* the front's, once the threads run */
    _Atomic size_t n_folders; /* `folders` and members.list[i].node of those never change again */
    _Atomic folder_id folders[CLUSTER_NODES_MAX]; /* newest of members.list[i]; 0: not heard of */
    struct query_pool queries;
};

/* The shard's part in its Raft group, see shard_group.c. */
struct heard {
    uint64_t replica;
    msec_t ms; /* monotonic: its last message */
};
struct group {
    struct heard heard[CLUSTER_REPLICAS_MAX + 1];
    struct message *held, **held_tail; /* for peers, until a write is durable; seq: which */
    uint64_t durable_seq;
    msec_t durable_ms;     /* monotonic: the last time that the log was heard of */
    bool is_loading;       /* the log thread reads for a follower */
    msec_t looked_ms;      /* at members and leadership, monotonic */
    msec_t led_since;      /* 0: does not lead */
    uint64_t handing_to;   /* a replica; 0: nobody */
    bool asked;            /* the replica was told to hand over */
    msec_t hand_until;     /* then it is given up */
    msec_t hand_again;     /* not before */
    msec_t tried_stuck_ms; /* to hand over because the log is stuck */
    bool has_tried;        /* to hand over before it stops */
    uint64_t place_epoch;  /* of the map that the next is of; 0: of none yet */
    struct map_shard place;
};

/* Another replica's state on its way into this one, see shard_install.c. */
enum install_phase { INSTALL_NONE, INSTALL_FETCHING, INSTALL_FETCHED, INSTALL_LOGGING };
struct install {
    enum install_phase phase;
    uint64_t from;                    /* replica that is asked */
    struct replica_snapshot snapshot; /* `conf` is owned */
    uint64_t applied;                 /* of what was fetched */
    msec_t again_ms;                  /* FETCHING: asks again then; 0: waits for an answer */
};

/* The walk that CHECK asks for, see checking.c. */
enum check_phase {
    CHECK_NONE,
    CHECK_WAITING, /* for a checkpoint */
    CHECK_WALKING  /* the check thread has it */
};
struct check {
    enum check_phase phase;
    uint64_t wanted;  /* WAITING: the log index that the checkpoint shall hold */
    uint64_t last;    /* number of the newest walk */
    struct buf found; /* by the last one that came to its end: an encoded reply; empty: none */
    msec_t found_ms;  /* monotonic: when it did */
    msec_t asked_ms;  /* for it, the last time */
    /* For the check thread: */
    _Atomic uint64_t walk; /* that is wanted; 0: none: one under way ends at once */
    _Atomic uint64_t rows; /* that it has come by, ... */
    _Atomic uint64_t of;   /* ... of all */
};

enum { VIEW_MEMBERS_MAX = 64 };

/* What a shard last said of itself, see view.c. */
struct shard_view {
    pthread_mutex_t lock; /* of said_ms, status and members; the shard thread alone writes */
    msec_t said_ms;       /* monotonic; 0: nothing yet */
    struct status_replica status; /* its `members` is not used */
    struct status_member members[VIEW_MEMBERS_MAX];
    bool was_leader;  /* of the shard thread, as what follows */
    msec_t looked_ms; /* for stuck merges */
    uint64_t stuck;
};

/* Why a shard did not take a message of commands or reads. */
enum refused_for {
    REFUSED_NOT_LEADER,
    REFUSED_DISK_FULL,
    REFUSED_BUSY,
    REFUSED_SHUTDOWN,
    REFUSED_MALFORMED,
    REFUSED_KINDS
};

/* Written by the shard's thread alone. */
struct shard_figures {
    metric entries, commands, reads, elections, refused[REFUSED_KINDS];
    struct latency commit; /* from an entry's submission here to its answers */
    metric in_flight;      /* entries submitted and not applied */
    metric sends_held;     /* messages to others that wait for the disk */
    metric events, duplicates, merges, refused_links, profiles, identities; /* of the state */
};

/* A shard's way through this node, see placing.c. The front and the log thread change it, and the
 * shard's own thread at its end. */
enum shard_state {
    SHARD_ABSENT,
    SHARD_OPENING, /* the log thread is told to */
    SHARD_OPEN,
    SHARD_CLOSING /* given up: nothing is routed to it */
};

/* Giving the shard up, see shard_drop.c. */
enum drop_phase { DROP_NONE, DROP_WAITING, DROP_LOGGING, DROP_DONE };

/* One replica and the thread that owns it. The index has its own rules for query threads; the
 * checkpoint thread has the store's frozen memtable between CHECKPOINT and CHECKPOINT_DONE. */
struct shard {
    struct host_shared *shared;
    shard_id id;
    _Atomic int state; /* enum shard_state */
    pthread_t thread;
    bool started;
    bool is_connected; /* what shard_connect made is there */
    char inbox_name[INBOX_NAME_MAX];
    char folder[600];
    struct inbox *inbox;     /* made at the first opening, and kept to the end */
    struct outbox *to_shard; /* into it: for all other threads */
    struct outbox *to_front, *to_log, *to_checkpoint, *to_watch, *to_transfer, *to_check;
    pthread_rwlock_t in_place; /* of the three that follow: other threads read while they use one,
                                  the shard thread writes while it puts another state in place */
    _Atomic bool replacing;    /* it does, or is about to */
    struct store *store;
    struct machine *machine;
    struct index *index;
    struct replica *replica;
    uint64_t index_loaded; /* the index file holds everything up to this log index */
    uint64_t applied;
    uint64_t checkpoint_index; /* of the frozen memtable */
    msec_t dirty_since;        /* monotonic; 0: nothing since the last checkpoint */
    msec_t retry_checkpoint;   /* monotonic; after a full disk; 0: none */
    uint64_t log_bytes;        /* in the log since the last checkpoint began */
    bool checkpointing, stopping, leader;
    _Atomic bool is_grouped; /* other nodes hold it, too, or are to */
    enum drop_phase drop;
    uint32_t since;     /* as in the map that it was opened by */
    msec_t proposed_ms; /* shard 0: the last change of the map that it put into the log itself */
    uint64_t map_epoch; /* shard 0: of the newest map that the front was given */
    uint64_t replica_id, leader_id; /* leader_id: 0: not known */
    msec_t stop_until;              /* monotonic */
    _Atomic int role;               /* 1: leader; for other threads */
    struct group group;
    struct install install;
    struct check check;
    bool gave_up;                        /* told to end on a full disk: no checkpoint any more */
    _Atomic uint64_t in_flight;          /* merges, for query threads */
    struct batch *filling;               /* commands of this loop turn */
    struct batch *ready, **ready_tail;   /* closed, and not yet submitted */
    struct batch *flying, **flying_tail; /* submitted, in log order */
    size_t n_flying;
    struct batch *spare;
    struct batch *reads; /* waiting for read-index */
    uint64_t read_token;
    pthread_mutex_t catalogue_lock; /* of the pointer; the shard thread alone changes it */
    struct catalogue *catalogue;    /* the saved segments that query threads see */
    msec_t next_day_ms;             /* monotonic; when to look at the calendar again */
    int32_t index_today;            /* the day that the index was told; 0: none */
    uint64_t watch_generation;      /* of the watches that the index was told; 0: none */
    uint64_t news_told;             /* events of watched segments that were told of */
    _Atomic bool news_sent;         /* the watch thread has a NEWS of this shard before it */
    struct shard_view view;
    struct shard_figures figures;
};

/* --- shard.c --- */
void *shard_main(void *shard);
/* After the thread ended: for good. */
void shard_close(struct shard *s);
/* Replica and state; it can be opened again. */
void shard_close_replica(struct shard *s);
void shard_perform(struct shard *s, const struct replica_effects *effects);
/* A command of the shard's own; its leader only. It goes out with the next ones. */
void shard_propose(struct shard *s, const struct command *c);

/* --- shard_open.c --- */
/* Its lock, its inbox, and the ways to the other threads; once. */
enum error_code shard_connect(struct shard *s, struct error *err);
/* Before any thread of it runs: by the main thread, or the log thread, who own the wal. */
enum error_code shard_open(struct shard *s, struct wal *wal, struct error *err);
struct store_options shard_store_options(const struct shard *s);
/* `store`: of the shard, or a view of it. Without `emit`. Any thread. */
struct machine_options shard_machine_options(const struct shard *s, struct store *store);
/* Store, machine and index, as they are on the disk; shard_close_state takes them half open. */
enum error_code shard_open_state(struct shard *s, struct error *err);
void shard_close_state(struct shard *s);

/* --- shard_install.c --- */
/* Main thread, before the state is opened: goes on where a crash interrupted. */
enum error_code install_resume(struct shard *s, struct wal *wal, const struct store_options *o,
                               struct error *err);
/* Log thread, in a transaction: the log begins after w->snapshot, and remembers that the state goes
 * up to `applied`. */
enum error_code install_put_log(struct wal *wal, shard_id shard, const struct replica_write *w,
                                uint64_t applied, struct error *err);
/* Shard thread. */
void install_begin(struct shard *s, const struct replica_install *of);
void install_fetched(struct shard *s, enum error_code code, uint64_t applied);
void install_logged(struct shard *s);
void install_tick(struct shard *s, msec_t now);
/* True: no checkpoint may begin. */
bool install_is_pending(const struct shard *s);
/* The node stops. */
void install_stop(struct shard *s);
void install_close(struct shard *s);
/* Other threads, around each use of store, machine, index or catalogue. False: another state is
 * being put in place, and they may not be touched. */
bool shard_use(struct shard *s);
void shard_unuse(struct shard *s);

/* --- shard_apply.c --- */
void shard_apply(struct shard *s, const struct replica_entry *e);
/* The reads of this token may be answered, or this is not the leader. */
void shard_answer_reads(struct shard *s, uint64_t token, bool ok);
/* By a follower, as it is. True: the message was taken. */
bool shard_answer_stale(struct shard *s, struct message *m);
/* `text` may be NULL for NOT_LEADER. */
void shard_refuse(struct shard *s, const struct message *m, enum error_code code, const char *text);
/* Refuses all of them; takes the batch. */
void shard_drop_batch(struct shard *s, struct batch *b, enum error_code code, const char *text);

/* --- shard_group.c --- */
void group_send(struct shard *s, const struct replica_send *send);
/* All writes up to `seq` are durable: what waited for them leaves. */
void group_durable(struct shard *s, uint64_t seq);
void group_receive(struct shard *s, const struct message *m);
/* The node's connections ended. */
void group_peer_lost(struct shard *s, node_id node);
void group_load(struct shard *s, const struct replica_load *load);
void group_loaded(struct shard *s, const struct message *m);
void group_on_role(struct shard *s);
/* At the leader: the answer to LEAD. */
void group_lead(struct shard *s, node_id node, struct reply *out);
/* Looks at the map, if there is a newer one. */
void group_follow_map(struct shard *s);
/* Looks after members and leadership. */
void group_tick(struct shard *s, msec_t now);
/* True: nothing may be submitted. */
bool group_is_handing_over(const struct shard *s);
void group_close(struct shard *s);

/* --- view.c: what shards say of themselves --- */
bool view_open(struct shard *s);
void view_close(struct shard *s);
/* The shard thread, in each turn. */
void view_say(struct shard *s, msec_t now);
/* Any thread. False: it has not said anything yet. */
bool view_read(struct shard *s, msec_t now, struct status_replica *out,
               struct status_member members[VIEW_MEMBERS_MAX]);
/* 0: not known. */
void view_disk(const struct host_shared *h, uint64_t *free_bytes, uint64_t *total_bytes);
/* Appends a StatusNode. The front's thread. */
void view_encode(struct host_shared *h, struct buf *out);

/* --- figures.c: for Prometheus. Any thread, while the shards' run --- */
void figures_refused(struct shard *s, enum error_code code);
/* `host` is a struct host_shared. */
void figures_show(void *host, struct buf *out);
bool figures_is_serving(void *host, struct buf *out);

/* --- segments.c --- */
/* After the machine was opened; shard_close_segments takes one that was not. */
void shard_open_segments(struct shard *s);
void shard_close_segments(struct shard *s);
/* After the index was opened, too. */
void shard_start_index(struct shard *s);
/* Shows query threads and the index what the machine has now: before what changed it is answered.
 */
void shard_follow_machine(struct shard *s);
/* Any thread; the caller drops it. */
struct catalogue *shard_catalogue(struct shard *s);
/* True: the command shall go through the log. */
bool shard_wants_day(struct shard *s, msec_t now, struct command *out);

/* --- watching.c --- */
/* The index has all changes of the entry s->applied, whose wall clock is `time_ms`. */
void shard_end_index_entry(struct shard *s, msec_t time_ms);
/* After index_publish. */
void shard_tell_news(struct shard *s);

/* --- checking.c: on the shard's thread, a few steps each --- */
/* A CHECK: begins a walk, or says how far it is, or what it found. */
void check_answer(struct shard *s, const struct command *c, struct arena *arena, struct reply *out);
/* True: the walk waits for a checkpoint that has not begun. */
bool check_wants_checkpoint(const struct shard *s);
/* It could not be written. */
void check_without_checkpoint(struct shard *s);
void check_walked(struct shard *s, struct message *m);
void check_tick(struct shard *s, msec_t now);
/* A walk that waits or is under way ends without an answer. */
void check_stop(struct shard *s);
/* And what was found is forgotten. */
void check_close(struct shard *s);

/* --- batch.c: requests that travel together through one log entry, or one read --- */
struct batch_request {
    struct peer peer;
    struct envelope envelope; /* body is not kept */
    struct command *commands;
    size_t n;
    bool is_own; /* the shard's: nobody waits for an answer */
    struct batch_request *next;
};
struct batch {
    struct arena arena; /* commands, replies */
    struct buf entry;   /* the log entry under way; empty for reads */
    struct batch_request *first, **last;
    struct message *questions; /* of reads: for the query threads, linked by `next` */
    size_t n_requests, n_commands;
    uint64_t index, term, token;
    usec_t submitted_us;
    uint16_t age_ms; /* of reads; 0: the leader's, as of now */
    struct batch *next;
};
struct batch *batch_new(void);
/* From a list of spare ones, and back into it. */
struct batch *batch_take(struct batch **spare);
void batch_give(struct batch **spare, struct batch *b);
void batch_free(struct batch *b);
void batch_reset(struct batch *b);
/* Decodes a request into the batch; on an error nothing of it stays. */
enum error_code batch_add(struct batch *b, const struct message *m, struct error *err);
/* Adds a command of the shard's own. */
void batch_add_own(struct batch *b, const struct command *c);
/* The log entry: u64 wall ms, then per request: u32 items, varint length, body. */
void batch_begin_entry(struct batch *b, msec_t now_ms);
/* Walks an entry's requests. */
struct entry_reader {
    struct reader r;
    msec_t now_ms;
};
bool entry_open(struct bytes entry, struct entry_reader *out);
bool entry_next(struct entry_reader *r, uint32_t *items,
                struct bytes *body); /* false at the end or on damage (r.ok) */

/* --- log_thread.c --- */
struct log_thread {
    struct host_shared *shared;
    struct wal *wal;
    pthread_t thread;
    bool started;
    struct inbox *inbox;
    struct message *forgetting; /* LOG_FORGET, in order: the log is rid of the first one's shard bit
                                   by bit, beside the others' writes */
};
void *log_thread_main(void *log_thread);

/* --- checkpoint_thread.c --- */
struct checkpoint_thread {
    struct host_shared *shared;
    pthread_t thread;
    bool started;
    struct inbox *inbox;
};
void *checkpoint_thread_main(void *checkpoint_thread);

/* --- check_thread.c --- */
struct check_thread {
    struct host_shared *shared;
    pthread_t thread;
    bool started;
    struct inbox *inbox;
};
void *check_thread_main(void *check_thread);

/* --- query_thread.c --- */
struct query_thread {
    struct host_shared *shared;
    size_t no;
    pthread_t thread;
    bool started;
    struct outbox *to_front;
};
void *query_thread_main(void *query_thread);

/* --- watch_thread.c --- */
struct watch_thread {
    struct host_shared *shared;
    pthread_t thread;
    bool started;
    struct inbox *inbox;
    struct outbox *to_front;
};
void *watch_thread_main(void *watch_thread);

/* --- transfer_thread.c --- */
struct transfer_thread {
    struct host_shared *shared;
    pthread_t thread;
    bool started;
    struct inbox *inbox;
    struct outbox *to_front;
    size_t n_jobs; /* that run */
};
void *transfer_thread_main(void *transfer_thread);
/* --- forming.c --- */
struct front;
/* Main thread, before the shards are opened: reads the folder's record, or greets the other nodes
 * until it is clear what to begin with; opens the links of the front. `first`: the map of a first
 * start; the founders take it. ERR_SHUTDOWN: told to end. */
enum error_code host_form(struct front *f, const struct cluster_map *first, struct wal *wal,
                          struct error *err);
/* The body of a hello or of its answer. */
void host_put_greeting(struct host_shared *h, struct buf *out);
/* Front: `to` may be NULL. */
void host_send_hello(struct host_shared *h, struct link *to);
/* Shows the shards what the front has heard. */
void host_show_folders(struct host_shared *h);

/* --- front.c --- */
/* A router that is told of newer maps. */
struct map_watcher {
    struct peer peer;
    uint64_t request_id;
};
enum { MAP_WATCHERS_MAX = 256 };

/* Of a node's link. */
struct loss {
    unsigned endings; /* of its connections, as far as was looked */
    bool is_new;      /* the shards do not know of the last one yet */
    msec_t since_ms;  /* of that */
};

struct front {
    struct host_shared *shared;
    pthread_t thread;
    bool started, stopping;
    struct server *server;
    struct inbox *inbox;
    struct link *peers[CLUSTER_NODES_MAX]; /* of shared->members.list; NULL: this node, or gone */
    bool has_word[CLUSTER_NODES_MAX];      /* something may wait at the link */
    struct loss losses[CLUSTER_NODES_MAX]; /* as peers */
    msec_t hello_ms;                       /* when they were last greeted */
    struct outbox *to_watch, *to_transfer, *to_log;
    struct map_watcher watchers[MAP_WATCHERS_MAX];
    size_t n_watchers;
};
void *front_main(void *front);
/* Does a greeting come from the node that it says it is of? `at`: the node at the other end of the
 * link that it came by; 0: it is what the server heard last. ERR_DENIED. */
enum error_code front_may_say(const struct front *f, struct bytes hello, node_id at,
                              struct error *err);
/* False: the peer is gone. */
bool front_send_map(struct front *f, const struct peer *to, uint64_t request_id);

/* --- maps.c: the map that the node goes by. Any thread --- */
bool maps_open(struct host_shared *h);
void maps_close(struct host_shared *h);
/* Copies. Main thread before the others start, then the front. False: no memory. */
bool maps_put(struct host_shared *h, const struct cluster_map *map);
/* As it is now; to be given back. Never NULL. */
const struct cluster_map *maps_hold(struct host_shared *h);
void maps_release(const struct cluster_map *map);
static inline uint64_t maps_epoch(struct host_shared *h)
{
    return atomic_load_explicit(&h->map.epoch, memory_order_acquire);
}

/* --- peers.c --- */
/* A link to a node, wherever the cluster file says that it is, or else the map. Unqueued. */
enum error_code peers_link(struct host_shared *h, const struct cluster_map *map, node_id node,
                           struct link **out, struct error *err);

/* --- host.c --- */
enum error_code host_start_thread(pthread_t *thread, bool *started, const char *name,
                                  void *(*run)(void *), void *arg, struct error *err);
/* NULL: it is not here, or on its way in or out. Any thread. */
struct shard *host_shard(struct host_shared *h, shard_id id);

/* Ends the process after a clear line: going on would lose data or answer wrongly. */
void host_fatal(struct host_shared *h, const char *event, shard_id shard, const struct error *err)
    __attribute__((noreturn));

#endif
