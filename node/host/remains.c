/* What a node keeps of a shard in its log and its folder, and how that goes when the shard does. A
 * crash may come anywhere: what is left is recognised, and goes, at the next start. */
#include "placing.h"
#include "record.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PATH_BYTES = 900,
    FORGET_ENTRIES = 4096 /* in one transaction: the other shards' writes wait for it */
};

enum error_code remains_forget(struct wal *wal, shard_id shard, bool *done, struct error *err)
{
    enum error_code rc = wal_forget(wal, shard, FORGET_ENTRIES, done, err);
    if (rc != ERR_OK || !*done)
        return rc;
    rc = record_forget(wal, RECORD_SINCE, shard, err);
    return rc == ERR_OK ? record_forget(wal, RECORD_INSTALLED, shard, err) : rc;
}

static enum error_code forget_some(struct wal *wal, shard_id shard, uint32_t since, bool *done,
                                   struct error *err)
{
    enum error_code rc = wal_begin(wal, err);
    if (rc != ERR_OK)
        return rc;
    rc = remains_forget(wal, shard, done, err);
    if (rc == ERR_OK && *done && since)
        rc = record_put(wal, RECORD_SINCE, shard, since, err);
    if (rc == ERR_OK)
        return wal_commit(wal, err);
    wal_abort(wal);
    return rc;
}

static enum error_code forget_all(struct wal *wal, shard_id shard, uint32_t since,
                                  struct error *err)
{
    bool done = false;
    enum error_code rc = ERR_OK;
    while (rc == ERR_OK && !done)
        rc = forget_some(wal, shard, since, &done, err);
    return rc;
}

enum error_code remains_remove(const char *folder, struct error *err)
{
    char path[PATH_BYTES];
    DIR *dir = opendir(folder);
    if (!dir)
        return errno == ENOENT ? ERR_OK : error_set_sys(err, ERR_IO, errno, "%s", folder);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) { /* NOLINT(concurrency-mt-unsafe) */
        (void)snprintf(path, sizeof path, "%.600s/%.255s", folder, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlink(path);
    }
    (void)closedir(dir);
    return rmdir(folder) == 0 ? ERR_OK : error_set_sys(err, ERR_IO, errno, "%s", folder);
}

/* The log first: a state without a log is what is put right here at the next start, a log without
 * its state would be taken for damage. */
enum error_code remains_renew(struct shard *s, struct wal *wal, struct error *err)
{
    uint64_t was = 0;
    enum error_code rc = record_get(wal, RECORD_SINCE, s->id, &was, err);
    if (rc != ERR_OK || was == s->since)
        return rc;
    rc = forget_all(wal, s->id, 0, err);
    if (rc == ERR_OK)
        rc = remains_remove(s->folder, err);
    return rc == ERR_OK ? forget_all(wal, s->id, s->since, err) : rc;
}

enum error_code remains_clean(struct host_shared *h, struct wal *wal, struct error *err)
{
    const struct cluster_map *map = maps_hold(h);
    enum error_code rc = ERR_OK;
    for (shard_id i = 0; i < map->n_shards && rc == ERR_OK; i++) {
        char folder[PATH_BYTES];
        (void)snprintf(folder, sizeof folder, "%s/shard-%u", h->folder, i);
        if (cluster_map_holder(map, i, h->node) || access(folder, F_OK) != 0)
            continue;
        log_event(h->log, LOG_LEVEL_INFO, "shard_given_up", "shard=%u resumed=1", i);
        rc = forget_all(wal, i, 0, err);
        if (rc == ERR_OK)
            rc = remains_remove(folder, err);
    }
    maps_release(map);
    return rc;
}
