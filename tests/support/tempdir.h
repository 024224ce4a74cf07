/* A folder of a test's own, removed with all that is in it. Aborts the test when it cannot. */
#ifndef TESTS_TEMPDIR_H
#define TESTS_TEMPDIR_H

/* Makes a new folder below $TMPDIR (or /tmp); the path is freed by tempdir_remove. */
char *tempdir_make(void);
void tempdir_remove(char *path);
/* "<dir>/<name>" in a static buffer, overwritten by the next call. */
const char *tempdir_path(const char *dir, const char *name);

#endif
