/* Copies of states between nodes: what transfer_thread.c, receiving.c and transfer_job.c share.
 * Private to host/.
 *
 * Files: <shard>/incoming.mdb is being received; <shard>/install.mdb is whole, checked and durable,
 * and waits to become the state; <node>/copies/ holds what is served, each file's name telling all
 * that is known of it, so that a restarted node goes on serving it. */
#ifndef HOST_TRANSFER_H
#define HOST_TRANSFER_H

#include "parts.h"

#include <transfer/fetch.h>
#include <transfer/serve.h>

enum { TRANSFER_PATH_MAX = 800 };

/* --- transfer_job.c: what takes long, each on a thread of its own --- */

enum transfer_job_kind {
    TRANSFER_JOB_COPY, /* copies the shard's state into `file`, then renames it to what it is */
    TRANSFER_JOB_CHECK /* reads all of `file`, makes it durable, renames it to `kept` */
};

struct transfer_job {
    enum transfer_job_kind kind;
    pthread_t thread;
    struct shard *shard;
    char file[TRANSFER_PATH_MAX], kept[TRANSFER_PATH_MAX];
    char folder[TRANSFER_PATH_MAX]; /* of both */
    struct transfer_copy copy;      /* COPY: the id; then all of it. CHECK: then `applied` */
    uint64_t asker;                 /* CHECK: which fetch */
    msec_t took_ms;
    struct error error; /* code ERR_OK: it went well */
};

/* Takes the job; it comes back as MESSAGE_JOB_DONE, and its thread is to be joined. False: no
 * thread could be made; it is still the caller's. */
bool transfer_job_start(struct transfer_job *j);

/* "<folder>/shard-3.<id>.<applied>.<size>.<chunk>.<sum>.copy" */
void transfer_name_copy(char *path, size_t size, const char *folder, shard_id shard,
                        const struct transfer_copy *c);
/* The name without its folder; false: it is no such name. */
bool transfer_parse_name(const char *name, shard_id *shard, struct transfer_copy *c);

/* --- receiving.c: one shard's state on its way in --- */

struct receiving {
    struct transfer_thread *thread;
    struct shard *shard;
    struct fetch *fetch; /* NULL: none */
    struct link *link;
    int file;
    bool checking; /* the fetch is done, a job looks at what came */
    bool full;     /* it was said that the disk is full */
    uint64_t asker, at_least;
    node_id from;
    msec_t began_ms;
    struct transfer_copy copy;
};

/* As a FETCH_STATE asks: `m` stays the caller's. */
void receiving_begin(struct receiving *r, const struct message *m, uint64_t asker);
void receiving_take(struct receiving *r);
void receiving_tick(struct receiving *r, msec_t now);
void receiving_checked(struct receiving *r, const struct transfer_job *j);
/* The shard is answered at once, or when what came has been looked at. */
void receiving_cancel(struct receiving *r);
/* Without an answer to the shard. */
void receiving_close(struct receiving *r);

#endif
