/* One shard's state on its way in: the shell around fetch.h. */
#include "transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { TURN_FRAMES = 64 };

/* --- ending --- */

static void stop_fetch(struct receiving *r)
{
    fetch_free(r->fetch);
    if (r->file >= 0)
        (void)close(r->file);
    r->fetch = NULL;
    r->file = -1;
}

static void close_link(struct receiving *r)
{
    if (r->link)
        link_close(r->link);
    r->link = NULL;
}

static void incoming_path(const struct receiving *r, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/incoming.mdb", r->shard->folder);
}

static void tell_shard(struct receiving *r, enum error_code code, uint64_t applied)
{
    struct message *m = message_new(MESSAGE_STATE_FETCHED);
    m->shard = r->shard;
    m->code = code;
    m->seq = applied;
    message_send(r->shard->to_shard, m);
}

void receiving_close(struct receiving *r)
{
    char path[TRANSFER_PATH_MAX];
    close_link(r);
    if (!r->fetch)
        return;
    stop_fetch(r);
    incoming_path(r, path, sizeof path);
    (void)unlink(path);
}

static void fail(struct receiving *r, const struct error *e)
{
    log_event(r->thread->shared->log, LOG_LEVEL_WARN, "state_not_fetched",
              "shard=%u from=%u code=%s text=\"%s\"", r->shard->id, r->from, error_name(e->code),
              e->msg);
    receiving_close(r);
    r->checking = false;
    tell_shard(r, e->code, 0);
}

static void fail_io(struct receiving *r, const char *doing)
{
    struct error e;
    (void)error_set_sys(&e, ERR_IO, errno, "incoming.mdb: cannot %s", doing);
    fail(r, &e);
}

/* --- checking --- */

static void check(struct receiving *r, const struct transfer_copy *copy)
{
    struct transfer_job *j = calloc(1, sizeof *j);
    r->copy = *copy;
    stop_fetch(r); /* the link stays for now: the sender is still to be told that it was all */
    r->checking = true;
    if (j) {
        j->kind = TRANSFER_JOB_CHECK;
        j->shard = r->shard;
        j->asker = r->asker;
        incoming_path(r, j->file, sizeof j->file);
        (void)snprintf(j->kept, sizeof j->kept, "%s/install.mdb", r->shard->folder);
        (void)snprintf(j->folder, sizeof j->folder, "%s", r->shard->folder);
    }
    if (!j || !transfer_job_start(j)) {
        struct error e;
        free(j);
        (void)error_set(&e, ERR_NOMEM, "no thread to check what came");
        fail(r, &e);
        return;
    }
    r->thread->n_jobs++;
}

void receiving_checked(struct receiving *r, const struct transfer_job *j)
{
    if (!r->checking || j->asker != r->asker)
        return;
    struct error e = j->error;
    if (e.code == ERR_OK && j->copy.applied < r->at_least)
        (void)error_set(&e, ERR_MISMATCH, "the state ends at %llu, asked for was %llu",
                        (unsigned long long)j->copy.applied, (unsigned long long)r->at_least);
    if (e.code != ERR_OK) {
        (void)unlink(j->file);
        fail(r, &e);
        return;
    }
    r->checking = false;
    close_link(r);
    msec_t took = clock_mono_ms() - r->began_ms;
    log_event(r->thread->shared->log, LOG_LEVEL_INFO, "state_fetched",
              "shard=%u from=%u applied=%llu bytes=%llu ms=%lld check_ms=%lld mb_per_s=%.1f",
              r->shard->id, r->from, (unsigned long long)j->copy.applied,
              (unsigned long long)r->copy.size, (long long)took, (long long)j->took_ms,
              (double)r->copy.size / 1000 / (double)(took > 0 ? took : 1));
    tell_shard(r, ERR_OK, j->copy.applied);
}

/* --- effects --- */

static void send_ask(struct receiving *r, const struct transfer_ask *ask)
{
    struct buf out = {0};
    struct frame frame = {0};
    struct envelope e = {.type = MESSAGE_FETCH, .shard = r->shard->id, .request_id = r->asker};
    size_t at = envelope_begin(&out);
    transfer_ask_encode(ask, &out);
    envelope_finish(&out, at, &e);
    if (frame_of_buf(&frame, &out) == ERR_OK)
        (void)link_send(r->link, &frame); /* what is lost is asked for again */
    frame_close(&frame);
    buf_free(&out);
}

static void say_full(struct receiving *r, bool full, const char *why)
{
    if (r->full == full)
        return;
    r->full = full;
    if (full)
        log_event(r->thread->shared->log, LOG_LEVEL_ERROR, "disk_full",
                  "what=snapshot shard=%u action=\"free space; it is tried again\" text=\"%s\"",
                  r->shard->id, why);
    else
        log_event(r->thread->shared->log, LOG_LEVEL_INFO, "disk_full_over",
                  "what=snapshot shard=%u", r->shard->id);
}

static void perform(struct receiving *r, const struct fetch_effects *effects);

static bool write_all(int fd, struct bytes data, uint64_t offset)
{
    while (data.len > 0) {
        ssize_t n = pwrite(fd, data.data, data.len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return false;
        }
        data = bytes_of(data.data + n, data.len - (size_t)n);
        offset += (uint64_t)n;
    }
    return true;
}

static void write_chunk(struct receiving *r, const struct fetch_effect *e)
{
    bool ok = write_all(r->file, e->data, e->offset);
    if (!ok) {
        struct error why;
        int sys = errno;
        enum error_code rc = error_set_sys(&why, ERR_IO, sys, "incoming.mdb: cannot write");
        if (rc != ERR_DISK_FULL && sys != EFBIG) {
            fail(r, &why);
            return;
        }
        say_full(r, true, why.msg);
    } else {
        say_full(r, false, NULL);
    }
    struct fetch_effects more;
    fetch_written(r->fetch, clock_mono_ms(), e->offset, ok, &more);
    perform(r, &more);
}

/* DONE and FAILED come last in their list and WRITE alone: nothing is looked at after the fetch has
 * gone or has moved on. */
static void perform(struct receiving *r, const struct fetch_effects *effects)
{
    for (size_t i = 0; i < effects->n; i++) {
        const struct fetch_effect *e = &effects->list[i];
        switch (e->type) {
        case FETCH_SEND:
            send_ask(r, &e->ask);
            break;
        case FETCH_BEGIN:
            log_event(r->thread->shared->log, LOG_LEVEL_INFO, "state_coming",
                      "shard=%u from=%u applied=%llu bytes=%llu", r->shard->id, r->from,
                      (unsigned long long)e->copy->applied, (unsigned long long)e->copy->size);
            if (ftruncate(r->file, 0) != 0) {
                fail_io(r, "be emptied");
                return;
            }
            break;
        case FETCH_WRITE:
            write_chunk(r, e);
            return;
        case FETCH_DONE:
            check(r, e->copy);
            return;
        case FETCH_FAILED: {
            struct error why = *e->error;
            fail(r, &why);
            return;
        }
        }
    }
}

/* --- events --- */

static enum error_code open_all(struct receiving *r, struct error *err)
{
    struct host_shared *h = r->thread->shared;
    char path[TRANSFER_PATH_MAX];
    struct fetch_options o = {
        .at_least = r->at_least, .node = h->node, .size_max = (uint64_t)h->config->map_gb << 30};
    r->fetch = fetch_new(&o);
    if (!r->fetch)
        return error_set(err, ERR_NOMEM, "no memory to fetch a state");
    incoming_path(r, path, sizeof path);
    r->file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (r->file < 0)
        return error_set_sys(err, ERR_IO, errno, "%s: cannot make it", path);
    const struct cluster_map *map = maps_hold(h);
    enum error_code rc = peers_link(h, map, r->from, &r->link, err);
    maps_release(map);
    return rc;
}

void receiving_begin(struct receiving *r, const struct message *m, uint64_t asker)
{
    struct error err;
    if (r->checking) { /* its job has the file */
        tell_shard(r, ERR_BUSY, 0);
        return;
    }
    receiving_close(r);
    r->full = false;
    r->asker = asker;
    r->at_least = m->seq;
    r->from = m->node;
    r->began_ms = clock_mono_ms();
    if (open_all(r, &err) != ERR_OK) {
        fail(r, &err);
        return;
    }
    struct fetch_effects effects;
    fetch_start(r->fetch, r->began_ms, &effects);
    perform(r, &effects);
}

/* The whole question failed at the other node's door. */
static void take_error(struct receiving *r, const struct envelope *e)
{
    struct error carried;
    struct buf body = {0};
    struct fetch_effects effects;
    struct transfer_answer a = {.type = TRANSFER_REFUSED};
    (void)wire_error_decode(e->body, &carried);
    a.code = carried.code;
    a.text = bytes_of_str(carried.msg);
    transfer_answer_encode(&a, &body);
    fetch_receive(r->fetch, clock_mono_ms(), buf_bytes(&body), &effects);
    perform(r, &effects);
    buf_free(&body);
}

static void take_frame(struct receiving *r, struct bytes frame)
{
    struct envelope e;
    struct error err;
    if (envelope_decode(frame, &e, &err) != ERR_OK || e.request_id != r->asker)
        return;
    if (e.type == MESSAGE_ERROR) {
        take_error(r, &e);
    } else if (e.type == MESSAGE_FETCH_REPLY && e.shard == r->shard->id) {
        struct fetch_effects effects;
        fetch_receive(r->fetch, clock_mono_ms(), e.body, &effects);
        perform(r, &effects);
    }
}

void receiving_cancel(struct receiving *r)
{
    if (r->checking)
        return; /* its job has the file; the shard hears of its end */
    receiving_close(r);
    tell_shard(r, ERR_CANCELLED, 0);
}

void receiving_take(struct receiving *r)
{
    struct frame frame = {0};
    for (int i = 0; i < TURN_FRAMES && r->fetch && link_recv(r->link, &frame); i++) {
        take_frame(r, frame_bytes(&frame));
        frame_close(&frame);
    }
}

void receiving_tick(struct receiving *r, msec_t now)
{
    struct fetch_effects effects;
    if (!r->fetch || now < fetch_next_timeout(r->fetch))
        return;
    fetch_tick(r->fetch, now, &effects);
    perform(r, &effects);
}
