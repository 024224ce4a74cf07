/* What disk.c lends to copy.c. Private to disk/. */
#ifndef DISK_PARTS_H
#define DISK_PARTS_H

#include <disk/disk.h>

#define DISK_DATA_NAME "data.mdb"

enum { DISK_FILE_MODE = 0600 };

/* For messages: the end of a long path. */
void disk_name_file(struct disk *d, const char *file);
/* Makes the names in it durable. */
enum error_code disk_sync_folder(const char *path, struct error *err);
/* If it is not there; its name is durable in its parent. */
enum error_code disk_make_folder(const char *path, struct error *err);
/* On the folder d->path. Keeps a second process away: two writers of one replica would each believe
 * in their own log. */
enum error_code disk_take_lock(struct disk *d, struct error *err);
/* Reads the stamp and the handles of an open environment; *found: it has a stamp. */
enum error_code disk_open_existing(struct disk *d, bool *found, struct error *err);

#endif
