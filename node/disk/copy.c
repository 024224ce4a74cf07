/* Copies of an environment: made, judged, and put in place of another one. */
#include "check.h"
#include "parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* LMDB's own messages know nothing of the copy, so the file is named here. */
static enum error_code copy_failed(const struct disk *d, const char *file, int rc,
                                   struct error *err)
{
    if (rc == MDB_INCOMPATIBLE) /* LMDB found another number of pages than its meta page tells */
        return error_set(err, ERR_CORRUPT, "%s: cannot be copied: pages are lost", d->file);
    struct disk named = {0};
    disk_name_file(&named, file);
    return disk_error(&named, rc, "cannot write a copy", err);
}

enum error_code disk_copy(struct disk *d, const char *file, struct error *err)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, DISK_FILE_MODE);
    if (fd < 0)
        return error_set_sys(err, ERR_IO, errno, "%s: cannot make the file", file);
    int rc = mdb_env_copyfd2(d->env, fd, MDB_CP_COMPACT);
    if (rc == 0 && fsync(fd) != 0)
        rc = errno;
    if (close(fd) != 0 && rc == 0)
        rc = errno;
    if (rc == 0)
        return ERR_OK;
    (void)unlink(file);
    return copy_failed(d, file, rc, err);
}

static enum error_code open_env(struct disk *d, const char *file, struct error *err)
{
    int rc = mdb_env_create(&d->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(d->env, d->options.map_bytes);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(d->env, DISK_DBS_MAX);
    if (rc == 0)
        rc = mdb_env_open(d->env, file,
                          MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS | MDB_NORDAHEAD,
                          DISK_FILE_MODE);
    return rc ? disk_error(d, rc, "cannot open", err) : ERR_OK;
}

/* A copy has no free pages, and so every byte that its meta page speaks of. */
static enum error_code check_length(const struct disk *d, const char *file, struct error *err)
{
    struct file_check c;
    enum error_code code = check_file(file, &c, err);
    if (code != ERR_OK)
        return code;
    if (c.is_new || c.size != c.needed)
        return error_set(err, ERR_CORRUPT, "%s: no whole copy (%llu bytes, %llu expected)", d->file,
                         (unsigned long long)c.size, (unsigned long long)c.needed);
    return ERR_OK;
}

enum error_code disk_open_copy(struct disk *d, const struct disk_options *o, const char *file,
                               struct error *err)
{
    struct error unwanted;
    if (!err)
        err = &unwanted;
    *d = (struct disk){.options = *o, .lock_fd = -1};
    d->options.path = NULL;
    disk_name_file(d, file);
    bool found = false;
    enum error_code code = check_length(d, file, err);
    if (code == ERR_OK)
        code = open_env(d, file, err);
    if (code == ERR_OK)
        code = disk_open_existing(d, &found, err);
    if (code == ERR_OK && !found)
        code = error_set(err, ERR_CORRUPT, "%s: no stamp", d->file);
    if (code != ERR_OK)
        disk_close(d);
    return code;
}

static enum error_code sync_file(const char *file, struct error *err)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_sys(err, ERR_IO, errno, "%s: cannot open", file);
    int rc = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    return rc ? error_set_sys(err, ERR_IO, rc, "%s: cannot sync", file) : ERR_OK;
}

/* The folder is locked. */
static enum error_code replace(const struct disk *d, const char *file, const char *data,
                               struct error *err)
{
    enum error_code code = sync_file(file, err);
    if (code != ERR_OK)
        return code;
    if (rename(file, data) != 0)
        return error_set_sys(err, ERR_IO, errno, "%s: cannot be put in place as %s", file, d->file);
    return disk_sync_folder(d->path, err);
}

enum error_code disk_install(const struct disk_options *o, const char *file, struct error *err)
{
    struct disk d;
    enum error_code code = disk_open_copy(&d, o, file, err);
    if (code != ERR_OK)
        return code;
    disk_close(&d);
    size_t size = strlen(o->path) + sizeof "/" DISK_DATA_NAME;
    char *data = malloc(size);
    d.path = strdup(o->path);
    if (!data || !d.path) {
        code = error_set(err, ERR_NOMEM, "out of memory");
        goto out;
    }
    (void)snprintf(data, size, "%s/%s", o->path, DISK_DATA_NAME);
    disk_name_file(&d, data);
    code = disk_make_folder(d.path, err);
    if (code == ERR_OK)
        code = disk_take_lock(&d, err);
    if (code == ERR_OK)
        code = replace(&d, file, data, err);
out:
    free(data);
    disk_close(&d);
    return code;
}
