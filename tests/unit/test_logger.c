#include <base/logger.h>

#include "tempdir.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void read_file(const char *path, char *out, size_t cap)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    out[fread(out, 1, cap - 1, f)] = '\0';
    (void)fclose(f);
}

static void test_logger_writes_one_line_an_event(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    const char *path = tempdir_path(dir, "x.log");
    struct log *log;
    struct error err;
    char text[4096] = "";
    assert_int_equal(log_open(path, "node-1", LOG_LEVEL_INFO, &log, &err), ERR_OK);
    log_event(log, LOG_LEVEL_INFO, "started", "shard=%d text=\"%s\"", 3, "two\nlines");
    log_event(log, LOG_LEVEL_DEBUG, "hidden", "x=%d", 1);
    log_event(NULL, LOG_LEVEL_ERROR, "nowhere", "x=%d", 1);
    char longer[3000];
    memset(longer, 'y', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    log_event(log, LOG_LEVEL_ERROR, "long", "%s", longer);
    read_file(path, text, sizeof text);
    assert_non_null(strstr(text, "info node-1 started shard=3 text=\"two lines\"\n"));
    assert_null(strstr(text, "hidden"));
    assert_int_equal(text[strlen(text) - 1], '\n');
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    log_close(log);
    tempdir_remove(dir);
}

static void test_logger_reopen_follows_a_rotation(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char path[512], old[512], text[4096] = "";
    (void)snprintf(path, sizeof path, "%s", tempdir_path(dir, "x.log"));
    (void)snprintf(old, sizeof old, "%s", tempdir_path(dir, "x.log.1"));
    struct log *log;
    struct error err;
    assert_int_equal(log_open(path, "r", LOG_LEVEL_INFO, &log, &err), ERR_OK);
    log_event(log, LOG_LEVEL_INFO, "before", "n=%d", 1);
    assert_int_equal(rename(path, old), 0);
    assert_int_equal(log_reopen(log, &err), ERR_OK);
    log_event(log, LOG_LEVEL_INFO, "after", "n=%d", 2);
    read_file(path, text, sizeof text);
    assert_non_null(strstr(text, "after"));
    assert_null(strstr(text, "before"));
    log_close(log);
    tempdir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logger_writes_one_line_an_event),
        cmocka_unit_test(test_logger_reopen_follows_a_rotation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
