/* Serves copies of this node's states to other nodes, and fetches theirs for shards that need one.
 * What takes long (making a copy, reading one through) is done by jobs beside it. */
#include "transfer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TURN_MESSAGES = 256 };

struct transferring {
    struct transfer_thread *thread;
    struct serve *serve;
    struct receiving *receiving; /* by shard */
    struct waitable *waits;
    char folder[TRANSFER_PATH_MAX]; /* of the copies that are served */
    bool stopping;
};

static uint64_t random_u64(void)
{
    uint64_t v = 0;
    while (getrandom(&v, sizeof v, 0) != (ssize_t)sizeof v)
        ;
    return v;
}

/* --- serving --- */

static void send_answer(struct transferring *t, const struct message *m, struct buf *out, size_t at)
{
    struct envelope e = {.type = MESSAGE_FETCH_REPLY,
                         .shard = m->envelope.shard,
                         .request_id = m->envelope.request_id};
    envelope_finish(out, at, &e);
    struct message *a = message_new(MESSAGE_ANSWER);
    a->peer = m->peer;
    if (frame_of_buf(&a->frame, out) == ERR_OK)
        message_send(t->thread->to_front, a);
    else
        message_free(a);
    buf_free(out);
}

static void send_reply(struct transferring *t, const struct message *m,
                       const struct transfer_answer *a)
{
    struct buf out = {0};
    size_t at = envelope_begin(&out);
    transfer_answer_encode(a, &out);
    send_answer(t, m, &out, at);
}

static bool read_chunk(const char *path, uint64_t offset, uint32_t len, uint8_t *chunk)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = pread(fd, chunk, len, (off_t)offset);
    (void)close(fd);
    return n == (ssize_t)len;
}

static void perform(struct transferring *t, const struct message *m,
                    const struct serve_effects *effects);

static void send_chunk(struct transferring *t, const struct message *m,
                       const struct serve_effect *e)
{
    char path[TRANSFER_PATH_MAX];
    transfer_name_copy(path, sizeof path, t->folder, e->shard, &e->copy);
    uint8_t *chunk = malloc(e->len);
    if (!chunk)
        return; /* it is asked for again */
    if (read_chunk(path, e->offset, e->len, chunk)) {
        struct bytes data = bytes_of(chunk, e->len);
        struct transfer_answer a = {.type = TRANSFER_CHUNK_DATA,
                                    .info.id = e->copy.id,
                                    .offset = e->offset,
                                    .sum = transfer_sum_chunk(e->copy.id, e->offset, data),
                                    .data = data};
        send_reply(t, m, &a);
    } else {
        struct serve_effects more;
        log_event(t->thread->shared->log, LOG_LEVEL_WARN, "copy_lost",
                  "shard=%u text=\"its file cannot be read\"", e->shard);
        serve_lost(t->serve, clock_mono_ms(), e->copy.id, &more);
        perform(t, m, &more);
    }
    free(chunk);
}

static void end_copy(struct transferring *t, const struct transfer_job *j)
{
    struct serve_effects effects;
    struct host_shared *h = t->thread->shared;
    bool failed = j->error.code != ERR_OK;
    if (failed)
        log_event(h->log, LOG_LEVEL_WARN, "copy_not_made", "shard=%u code=%s text=\"%s\"",
                  j->shard->id, error_name(j->error.code), j->error.msg);
    else
        log_event(h->log, LOG_LEVEL_INFO, "copy_made", "shard=%u applied=%llu bytes=%llu ms=%lld",
                  j->shard->id, (unsigned long long)j->copy.applied,
                  (unsigned long long)j->copy.size, (long long)j->took_ms);
    serve_copied(t->serve, clock_mono_ms(), &j->copy, failed ? &j->error : NULL, &effects);
    perform(t, NULL, &effects);
}

static void begin_copy(struct transferring *t, const struct serve_effect *e)
{
    struct transfer_job *j = calloc(1, sizeof *j), none = {0};
    if (j) {
        j->kind = TRANSFER_JOB_COPY;
        j->shard = &t->thread->shared->shards[e->shard];
        j->copy.id = e->copy.id;
        (void)snprintf(j->folder, sizeof j->folder, "%s", t->folder);
        (void)snprintf(j->file, sizeof j->file, "%.700s/making-%016llx", t->folder,
                       (unsigned long long)e->copy.id);
        if (transfer_job_start(j)) {
            t->thread->n_jobs++;
            return;
        }
        free(j);
    }
    none.shard = &t->thread->shared->shards[e->shard];
    none.copy.id = e->copy.id;
    (void)error_set(&none.error, ERR_NOMEM, "no thread to make a copy");
    end_copy(t, &none);
}

static void drop_copy(struct transferring *t, const struct serve_effect *e)
{
    char path[TRANSFER_PATH_MAX];
    transfer_name_copy(path, sizeof path, t->folder, e->shard, &e->copy);
    (void)unlink(path);
}

/* `m`: what is answered; NULL where nothing is. READ comes alone, COPY before its answer. */
static void perform(struct transferring *t, const struct message *m,
                    const struct serve_effects *effects)
{
    struct serve_effect list[SERVE_COPIES_MAX + 2];
    size_t n = effects->n;
    if (n > 0)
        memcpy(list, effects->list, n * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        switch (list[i].type) {
        case SERVE_REPLY:
            send_reply(t, m, &list[i].answer);
            break;
        case SERVE_READ:
            send_chunk(t, m, &list[i]);
            break;
        case SERVE_COPY:
            begin_copy(t, &list[i]);
            break;
        case SERVE_DROP:
            drop_copy(t, &list[i]);
            break;
        }
    }
}

static void on_request(struct transferring *t, const struct message *m)
{
    struct serve_effects effects;
    if (t->stopping || !host_shard(t->thread->shared, m->envelope.shard)) {
        message_answer_error(t->thread->to_front, m, t->stopping ? ERR_SHUTDOWN : ERR_WRONG_SHARD,
                             t->stopping ? "the node is shutting down"
                                         : "the shard is not on this node");
        return;
    }
    serve_request(t->serve, clock_mono_ms(), m->envelope.shard, m->envelope.request_id,
                  m->envelope.body, &effects);
    perform(t, m, &effects);
}

/* Copies of an earlier process are served on; what is no whole copy goes. */
static void adopt(struct transferring *t, const char *name)
{
    char path[TRANSFER_PATH_MAX];
    struct transfer_copy c;
    struct stat st;
    shard_id shard;
    (void)snprintf(path, sizeof path, "%.500s/%.255s", t->folder, name);
    if (transfer_parse_name(name, &shard, &c) && host_shard(t->thread->shared, shard) &&
        stat(path, &st) == 0 && (uint64_t)st.st_size == c.size &&
        serve_adopt(t->serve, clock_mono_ms(), shard, &c))
        return;
    (void)unlink(path);
}

static void adopt_all(struct transferring *t)
{
    DIR *dir = opendir(t->folder);
    if (!dir)
        return;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) /* NOLINT(concurrency-mt-unsafe) */
        if (e->d_name[0] != '.')
            adopt(t, e->d_name);
    (void)closedir(dir);
}

/* --- the loop --- */

static void on_job_done(struct transferring *t, struct transfer_job *j)
{
    (void)pthread_join(j->thread, NULL);
    t->thread->n_jobs--;
    if (j->kind == TRANSFER_JOB_COPY)
        end_copy(t, j);
    else
        receiving_checked(&t->receiving[j->shard->id], j);
    free(j);
}

static void take_message(struct transferring *t, struct message *m)
{
    if (m->kind == MESSAGE_REQUEST)
        on_request(t, m);
    else if (m->kind == MESSAGE_FETCH_STATE && !t->stopping)
        receiving_begin(&t->receiving[m->shard->id], m, random_u64());
    else if (m->kind == MESSAGE_FETCH_CANCEL)
        receiving_cancel(&t->receiving[m->shard->id]);
    else if (m->kind == MESSAGE_JOB_DONE)
        on_job_done(t, m->job);
    else if (m->kind == MESSAGE_STOP)
        t->stopping = true;
    message_free(m);
}

/* When something is due, at the latest in a second. */
static long wait_ms(const struct transferring *t)
{
    msec_t now = clock_mono_ms(), next = now + 1000;
    if (serve_next_timeout(t->serve) < next)
        next = serve_next_timeout(t->serve);
    for (size_t i = 0; i < t->thread->shared->n_shards; i++) {
        const struct receiving *r = &t->receiving[i];
        if (r->fetch && fetch_next_timeout(r->fetch) < next)
            next = fetch_next_timeout(r->fetch);
    }
    return next > now ? (long)(next - now) : 0;
}

static void turn(struct transferring *t)
{
    struct message *m;
    struct serve_effects effects;
    for (int i = 0; i < TURN_MESSAGES && (m = inbox_take(t->thread->inbox)); i++)
        take_message(t, m);
    for (size_t i = 0; i < t->thread->shared->n_shards; i++) {
        receiving_take(&t->receiving[i]);
        receiving_tick(&t->receiving[i], clock_mono_ms());
    }
    serve_tick(t->serve, clock_mono_ms(), &effects);
    perform(t, NULL, &effects);
}

static void wait_for_more(struct transferring *t)
{
    size_t n = 0;
    t->waits[n++] = (struct waitable){.inbox = t->thread->inbox};
    for (size_t i = 0; i < t->thread->shared->n_shards; i++)
        if (t->receiving[i].fetch)
            t->waits[n++] = (struct waitable){.link = t->receiving[i].link};
    (void)endpoint_wait(t->waits, n, wait_ms(t));
}

static void open_all(struct transferring *t)
{
    struct transfer_thread *th = t->thread;
    struct error err;
    (void)snprintf(t->folder, sizeof t->folder, "%s/copies", th->shared->folder);
    t->serve = serve_new(&(struct serve_options){.seed = random_u64()});
    t->receiving = calloc(th->shared->n_shards + 1, sizeof *t->receiving);
    t->waits = calloc(th->shared->n_shards + 1, sizeof *t->waits);
    if (!t->serve || !t->receiving || !t->waits) {
        (void)error_set(&err, ERR_NOMEM, "no memory to move states");
        host_fatal(th->shared, "transfer_failed", 0, &err);
    }
    for (size_t i = 0; i < th->shared->n_shards; i++)
        t->receiving[i] =
            (struct receiving){.thread = th, .shard = &th->shared->shards[i], .file = -1};
    if (mkdir(t->folder, 0700) != 0 && errno != EEXIST)
        log_event(th->shared->log, LOG_LEVEL_WARN, "no_copies", "text=\"%s: cannot be made\"",
                  t->folder);
    adopt_all(t);
}

void *transfer_thread_main(void *transfer_thread)
{
    struct transferring t = {.thread = transfer_thread};
    open_all(&t);
    while (!t.stopping || t.thread->n_jobs > 0) {
        turn(&t);
        wait_for_more(&t);
    }
    for (size_t i = 0; i < t.thread->shared->n_shards; i++)
        receiving_close(&t.receiving[i]);
    serve_free(t.serve);
    free(t.receiving);
    free(t.waits);
    return NULL;
}
