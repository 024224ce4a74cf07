/* Looks at an LMDB 0.9 data file before LMDB maps it: LMDB trusts its meta pages, and a file cut
 * short would end in a SIGBUS. */
#ifndef DISK_CHECK_H
#define DISK_CHECK_H

#include <base/error.h>

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

struct file_check {
    bool is_new;   /* absent or empty */
    uint64_t size; /* bytes in the file */
    uint64_t page_bytes;
    uint64_t needed; /* bytes that the newest commit speaks of */
};

/* Reads the two meta pages of the file at `path`. ERR_CORRUPT when LMDB could be led astray. */
enum error_code check_file(const char *path, struct file_check *out, struct error *err);

/* LMDB never writes pages that were taken at the file's end and freed again in one transaction, so
 * a sound file may be shorter than `needed`. Are all missing pages on the free list? The file must
 * have been extended to `needed` before the environment was opened. */
int check_missing_pages_are_free(MDB_env *env, const struct file_check *c, bool *all_free);

#endif
