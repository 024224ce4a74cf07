#define _XOPEN_SOURCE 700
#include "tempdir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void die(const char *what, const char *path)
{
    (void)fprintf(stderr, "tempdir: %s %s failed\n", what, path);
    abort();
}

char *tempdir_make(void)
{
    const char *base = getenv("TMPDIR");
    char path[512];
    (void)snprintf(path, sizeof path, "%s/oneid-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(path))
        die("mkdtemp", path);
    char *copy = strdup(path);
    if (!copy)
        die("strdup", path);
    return copy;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void tempdir_remove(char *path)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        die("nftw", path);
    free(path);
}

const char *tempdir_path(const char *dir, const char *name)
{
    static char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}
