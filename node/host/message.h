/* Messages between the threads of a node. A message is malloc'd by its sender and freed by whoever
 * takes it last; taking it from an inbox is taking it over. */
#ifndef HOST_MESSAGE_H
#define HOST_MESSAGE_H

#include <base/clock.h>
#include <proto/endpoint.h>
#include <proto/envelope.h>
#include <replica/replica.h>

#include <stdlib.h>

enum message_kind {
    MESSAGE_REQUEST,         /* front → shard, query, watch: peer, frame, envelope */
    MESSAGE_ANSWER,          /* → front: peer, frame */
    MESSAGE_LOG_WRITE,       /* shard → log: shard_no, seq, write */
    MESSAGE_LOG_DONE,        /* log → shard: seq */
    MESSAGE_LOG_READ,        /* shard → log: shard, seq (of the first entry), n */
    MESSAGE_LOG_ENTRIES,     /* log → shard: entries, n */
    MESSAGE_TO_PEER,         /* → front: node, frame */
    MESSAGE_PEER_LOST,       /* front → shard: node: its connections ended */
    MESSAGE_CHECKPOINT,      /* shard → checkpoint: shard */
    MESSAGE_CHECKPOINT_DONE, /* checkpoint → shard: code */
    MESSAGE_CHECK,           /* shard → check: shard, seq: of the walk; code: DISK_FULL: the last
                                checkpoint does not hold all */
    MESSAGE_CHECKED,         /* check → shard: seq, content: an encoded reply; empty: no answer */
    MESSAGE_NEWS,            /* shard → watch: shard: events of watched segments came */
    MESSAGE_LOG_INSTALL,     /* shard → log: shard, seq: applied, write.snapshot */
    MESSAGE_LOG_INSTALLED,   /* log → shard */
    MESSAGE_FETCH_STATE,     /* shard → transfer: shard, node, seq: the index it must hold */
    MESSAGE_STATE_FETCHED,   /* transfer → shard: code, seq: what install.mdb holds */
    MESSAGE_FETCH_CANCEL,    /* shard → transfer: shard: a fetch is not wanted any more */
    MESSAGE_JOB_DONE,        /* transfer's jobs → transfer: job */
    MESSAGE_MAP,             /* shard 0 → front, front → log: content: an encoded map */
    MESSAGE_OPEN,            /* front → log: shard: to be opened */
    MESSAGE_DROP,            /* front → shard: it is to be given up */
    MESSAGE_LOG_FORGET,      /* shard → log: shard: nothing of it stays in the log */
    MESSAGE_LOG_FORGOTTEN,   /* log → shard: that is durable */
    MESSAGE_STOP             /* drain and end */
};

struct shard;
struct transfer_job;

struct message {
    enum message_kind kind;
    struct peer peer;
    struct frame frame;
    struct envelope envelope; /* body borrows from frame */
    struct shard *shard;
    uint64_t seq;
    struct replica_write write;    /* borrows from the replica until its LOG_DONE */
    struct replica_entry *entries; /* one allocation with their data */
    size_t n;
    struct buf content;
    uint16_t node;
    struct transfer_job *job;
    enum error_code code;
    msec_t received_ms;   /* REQUEST: monotonic, when the front got it */
    uint16_t age_ms;      /* REQUEST to query threads: of what they see, 0: the leader's */
    struct message *next; /* in the queue of the query threads, or of LOG_FORGET */
};

struct message *message_new(enum message_kind kind);
void message_free(struct message *m);
/* Takes the message; it is freed when the inbox has been closed. */
void message_send(struct outbox *to, struct message *m);
/* Answers `to` with MESSAGE_ERROR through the front's inbox. */
void message_answer_error(struct outbox *front, const struct message *to, enum error_code code,
                          const char *text);
/* NOT_LEADER; `leader` is the node that is, or 0. */
void message_answer_not_leader(struct outbox *front, const struct message *to, uint16_t leader);

#endif
