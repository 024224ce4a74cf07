#include "transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { SPARE_BYTES = 16 << 20 };

void transfer_name_copy(char *path, size_t size, const char *folder, shard_id shard,
                        const struct transfer_copy *c)
{
    (void)snprintf(path, size,
                   "%s/shard-%u.%016" PRIx64 ".%" PRIu64 ".%" PRIu64 ".%" PRIu32 ".%016" PRIx64
                   ".copy",
                   folder, shard, c->id, c->applied, c->size, c->chunk_bytes, c->sum);
}

/* Each number ends with a dot. Whether it was written just so is seen when the name is written
 * again. */
static uint64_t next_number(const char **at, int base)
{
    char *end;
    uint64_t v = strtoull(*at, &end, base);
    *at = *end == '.' ? end + 1 : end;
    return v;
}

bool transfer_parse_name(const char *name, shard_id *shard, struct transfer_copy *c)
{
    char again[TRANSFER_PATH_MAX];
    const char *at = name + strlen("shard-");
    if (strncmp(name, "shard-", strlen("shard-")) != 0)
        return false;
    *shard = (shard_id)next_number(&at, 10);
    c->id = next_number(&at, 16);
    c->applied = next_number(&at, 10);
    c->size = next_number(&at, 10);
    c->chunk_bytes = (uint32_t)next_number(&at, 10);
    c->sum = next_number(&at, 16);
    transfer_name_copy(again, sizeof again, "", *shard, c);
    return strcmp(again + 1, name) == 0 && c->size > 0 && c->chunk_bytes >= TRANSFER_CHUNK_MIN &&
           c->chunk_bytes <= TRANSFER_CHUNK_MAX;
}

/* A copy must not take the space that the log needs. */
static enum error_code check_space(const struct transfer_job *j, struct error *err)
{
    char data[TRANSFER_PATH_MAX];
    struct stat st;
    struct statvfs fs;
    (void)snprintf(data, sizeof data, "%s/data.mdb", j->shard->folder);
    if (stat(data, &st) != 0 || statvfs(j->folder, &fs) != 0)
        return error_set_sys(err, ERR_IO, errno, "cannot look at %s", data);
    uint64_t needed = (uint64_t)st.st_size + (uint64_t)st.st_size / 4 + SPARE_BYTES;
    uint64_t there = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (there >= needed)
        return ERR_OK;
    return error_set(err, ERR_DISK_FULL,
                     "no space for a copy: %" PRIu64 " MB are free, of %" PRIu64, there >> 20,
                     needed >> 20);
}

/* Sums of all chunks, as they are in the file. */
static enum error_code sum_chunks(struct transfer_copy *c, int fd, uint64_t *sums, uint8_t *chunk,
                                  struct error *err)
{
    uint64_t n = transfer_chunks(c);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = i * c->chunk_bytes;
        uint32_t len = transfer_chunk_len(c, at);
        ssize_t got = pread(fd, chunk, len, (off_t)at);
        if (got != (ssize_t)len)
            return error_set_sys(err, ERR_IO, got < 0 ? errno : EIO, "cannot read a copy");
        sums[i] = transfer_sum_chunk(c->id, at, bytes_of(chunk, len));
    }
    c->sum = transfer_sum_whole(c, sums);
    return ERR_OK;
}

static enum error_code describe(struct transfer_job *j, struct error *err)
{
    struct transfer_copy *c = &j->copy;
    struct stat st;
    int fd = open(j->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        enum error_code rc = error_set_sys(err, ERR_IO, errno, "%s: cannot look at it", j->file);
        if (fd >= 0)
            (void)close(fd);
        return rc;
    }
    c->size = (uint64_t)st.st_size;
    c->chunk_bytes = TRANSFER_CHUNK;
    uint8_t *chunk = malloc(TRANSFER_CHUNK);
    uint64_t *sums = malloc((size_t)transfer_chunks(c) * sizeof *sums);
    enum error_code rc = chunk && sums ? sum_chunks(c, fd, sums, chunk, err)
                                       : error_set(err, ERR_NOMEM, "no memory to sum a copy");
    free(chunk);
    free(sums);
    (void)close(fd);
    return rc;
}

static enum error_code make_copy(struct transfer_job *j, struct error *err)
{
    enum error_code rc = check_space(j, err);
    if (rc != ERR_OK)
        return rc;
    (void)pthread_rwlock_rdlock(&j->shard->in_place);
    rc = j->shard->store ? store_copy_to(j->shard->store, j->file, &j->copy.applied, err)
                         : error_set(err, ERR_WRONG_SHARD, "the shard is not on this node");
    (void)pthread_rwlock_unlock(&j->shard->in_place);
    if (rc != ERR_OK)
        return rc;
    rc = describe(j, err);
    if (rc == ERR_OK) {
        transfer_name_copy(j->kept, sizeof j->kept, j->folder, j->shard->id, &j->copy);
        if (rename(j->file, j->kept) != 0)
            rc = error_set_sys(err, ERR_IO, errno, "%s: cannot be renamed", j->file);
    }
    if (rc != ERR_OK)
        (void)unlink(j->file);
    return rc;
}

static int sync_path(const char *path, int flags)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0)
        return errno;
    int rc = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    return rc;
}

static enum error_code check_received(struct transfer_job *j, struct error *err)
{
    const struct host_shared *h = j->shard->shared;
    struct store_options o = {.map_bytes = (uint64_t)h->config->map_gb << 30,
                              .cluster_id = h->slots.cluster_id,
                              .shard = j->shard->id};
    int sys = sync_path(j->file, 0);
    if (sys != 0)
        return error_set_sys(err, ERR_IO, sys, "%s: cannot sync", j->file);
    enum error_code rc = store_check_copy(&o, j->file, &j->copy.applied, err);
    if (rc != ERR_OK)
        return rc;
    if (rename(j->file, j->kept) != 0)
        return error_set_sys(err, ERR_IO, errno, "%s: cannot be renamed", j->file);
    sys = sync_path(j->folder, O_DIRECTORY);
    return sys ? error_set_sys(err, ERR_IO, sys, "%s: cannot sync the folder", j->folder) : ERR_OK;
}

static void *run(void *job)
{
    struct transfer_job *j = job;
    struct host_shared *h = j->shard->shared;
    struct outbox *done;
    msec_t began = clock_mono_ms();
    j->error.code =
        j->kind == TRANSFER_JOB_COPY ? make_copy(j, &j->error) : check_received(j, &j->error);
    j->took_ms = clock_mono_ms() - began;
    struct error err;
    if (outbox_open(h->net, "transfer", &done, &err) != ERR_OK)
        host_fatal(h, "transfer_failed", j->shard->id, &err); /* nobody would ever know its end */
    struct message *m = message_new(MESSAGE_JOB_DONE);
    m->job = j;
    message_send(done, m);
    outbox_close(done);
    return NULL;
}

bool transfer_job_start(struct transfer_job *j)
{
    return pthread_create(&j->thread, NULL, run, j) == 0;
}
