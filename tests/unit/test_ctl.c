#include "commands.h"
#include "lines.h"
#include "node.h"
#include "options.h"
#include "progress.h"
#include "rejects.h"
#include "show.h"
#include "tempdir.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* --- options --- */

static int run_nothing(const struct options *o)
{
    (void)o;
    return 0;
}

static const struct command COMMANDS[] = {
    {"count", "EXPR", 1, TAKES_ROUTER, "", NULL, run_nothing},
    {"list", "EXPR", 1, TAKES_ROUTER | TAKES_LIMIT | TAKES_CURSOR, "", NULL, run_nothing},
    {"breakdown", "EXPR", 1, TAKES_BY, "", NULL, run_nothing},
    {"config", "", 0, 0, "", NULL, run_nothing},
    {"node", "VERB", 1, TAKES_MORE | TAKES_WAIT, "", NULL, run_node},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

enum { WORDS_MAX = 12 };

/* The words of a line, split at blanks. */
static enum error_code parse_line(const char *line, struct options *o, struct error *err)
{
    static char text[400];
    static char *argv[WORDS_MAX];
    int argc = 0;
    char *rest;
    (void)snprintf(text, sizeof text, "oneidctl %s", line);
    for (char *w = strtok_r(text, " ", &rest); w && argc < WORDS_MAX;
         w = strtok_r(NULL, " ", &rest))
        argv[argc++] = w;
    return options_parse(argc, argv, COMMANDS, o, err);
}

static void test_options_may_stand_before_and_behind_words(void **state)
{
    (void)state;
    struct options o;
    struct error err;
    assert_int_equal(parse_line("list -c a.yml x --limit 7 --json --cursor=s1.2", &o, &err),
                     ERR_OK);
    assert_string_equal(o.command->name, "list");
    assert_string_equal(o.config, "a.yml");
    assert_string_equal(o.args[0], "x");
    assert_int_equal(o.limit, 7);
    assert_string_equal(o.cursor, "s1.2");
    assert_true(o.json);
    assert_int_equal(parse_line("--router tcp://a:1 count --router tcp://b:2 -- --x", &o, &err),
                     ERR_OK);
    assert_int_equal(o.n_routers, 2);
    assert_string_equal(o.args[0], "--x");
    assert_int_equal(parse_line("count -", &o, &err), ERR_OK);
    assert_string_equal(o.args[0], "-");
    assert_int_equal(o.deadline_ms, 10000);
    assert_string_equal(o.config, "cluster.yml");
}

static void test_help_and_version_need_nothing_else(void **state)
{
    (void)state;
    struct options o;
    struct error err;
    assert_int_equal(parse_line("--version", &o, &err), ERR_OK);
    assert_true(o.version);
    assert_int_equal(parse_line("count --help", &o, &err), ERR_OK);
    assert_true(o.help);
    assert_string_equal(o.command->name, "count");
}

static void test_wrong_usage_says_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *line, *says;
    } BAD[] = {
        {"", "a command is missing"},
        {"nothing", "unknown command nothing"},
        {"count", "EXPR is missing"},
        {"count a b", "too many arguments"},
        {"count a b c d e", "too many arguments"},
        {"count x --limit 5", "count takes no --limit"},
        {"config --router tcp://a:1", "config takes no --router"},
        {"list x --limit", "--limit: a value is missing"},
        {"list x --limit x", "--limit: a number"},
        {"list x --limit 0", "--limit: a number"},
        {"list x --limit -1", "--limit: a number"},
        {"list x --limit 5x", "--limit: a number"},
        {"list x --limit 99999999999999999999", "--limit: a number"},
        {"count x --deadline 3600001", "--deadline: a number"},
        {"count x --jsonx", "unknown option --jsonx"},
        {"count x --json=1", "--json takes no value"},
        {"breakdown x", "--by TRAIT is missing"},
        {"count x --wait", "count takes no --wait"},
        {"node", "VERB is missing"},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct options o;
        struct error err = {0};
        assert_int_equal(parse_line(BAD[i].line, &o, &err), ERR_USAGE);
        if (!strstr(err.msg, BAD[i].says))
            fail_msg("%s: %s", BAD[i].line, err.msg);
    }
}

/* --- node --- */

static int node_command(const char *line)
{
    struct options o;
    struct error err;
    assert_int_equal(parse_line(line, &o, &err), ERR_OK);
    assert_string_equal(o.command->name, "node");
    return o.command->run(&o);
}

/* Nothing is asked of a cluster: there is none. */
static void test_node_says_what_its_verbs_take(void **state)
{
    (void)state;
    static const char *const BAD[] = {"node grow 3",
                                      "node list 3",
                                      "node list --wait",
                                      "node add",
                                      "node add 4 tcp://a:1 more",
                                      "node add 0 tcp://a:1",
                                      "node add 65536 tcp://a:1",
                                      "node drain node-3",
                                      "node remove -- -1",
                                      "node replace 3",
                                      "node replace 3 tcp://a:1",
                                      "node task",
                                      "node task 4294967296",
                                      "node cancel 3x"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        if (node_command(BAD[i]) != EXIT_USAGE)
            fail_msg("%s", BAD[i]);
    }
    assert_int_equal(node_command("node drain 3 -c /nonexistent.yml"), EXIT_PROBLEM);
    assert_int_equal(node_command("node task 3 --wait -c /nonexistent.yml"), EXIT_PROBLEM);
}

static void test_node_tasks_are_described(void **state)
{
    (void)state;
    char text[64];
    struct oneid_task t = {.id = 7,
                           .kind = ONEID_TASK_REPLACE,
                           .state = ONEID_TASK_RUNNING,
                           .node = 3,
                           .other = 5,
                           .n_shards = 12,
                           .left = 4};
    task_describe(&t, text, sizeof text);
    assert_string_equal(text, "replace node 3 by node 5");
    task_state(&t, text, sizeof text);
    assert_string_equal(text, "running, 4 of 12 shards left");
    t.kind = ONEID_TASK_DRAIN;
    t.state = ONEID_TASK_CANCELLED;
    task_describe(&t, text, sizeof text);
    assert_string_equal(text, "drain node 3");
    task_state(&t, text, sizeof text);
    assert_string_equal(text, "cancelled, 12 shards");
}

static const struct oneid_holder MOVING[] = {{5, true, false}, {1, true, true}, {3, false, true}};
static const struct oneid_placement PLACES[] = {
    {.shard = 0, .task = 7, .holders = MOVING, .n_holders = 2},
    {.shard = 1, .moving = true, .task = 7, .holders = MOVING, .n_holders = 3},
    {.shard = 2, .moving = true, .task = 8, .holders = MOVING, .n_holders = 3}};
static const struct oneid_task TASKS[] = {
    {7, ONEID_TASK_DRAIN, ONEID_TASK_RUNNING, 3, 0, 2, 1, 5, 0}};
static const struct oneid_map_node MAP_NODES[] = {{3, ONEID_NODE_DRAINED, "tcp://c:1", 0, 0, 1},
                                                  {5, ONEID_NODE_IN, "tcp://e:1", 2, 1, 0}};
static const struct oneid_map MAP = {9, 3, MAP_NODES, 2, TASKS, 1, PLACES, 3};

static void emit_map(struct emit *e)
{
    static const struct oneid_node heard[] = {{.node = 3, .answers = true}};
    struct oneid_result status = {.nodes = heard, .n_nodes = 1};
    emit_object(e, NULL);
    node_emit_moves(e, &MAP, task_find(&MAP, 7));
    node_emit_nodes(e, &MAP, &status);
    emit_end(e);
}

static char *emitted(void (*emit)(struct emit *e));

static void test_nodes_and_tasks_come_out_as_json(void **state)
{
    (void)state;
    assert_null(task_find(&MAP, 8));
    assert_string_equal(
        emitted(emit_map),
        "{\"task\":7,\"kind\":\"drain\",\"state\":\"running\",\"node\":3,\"shards\":2,\"left\":1,"
        "\"began\":5,\"moving\":[{\"shard\":1,\"holders\":["
        "{\"node\":5,\"wanted\":true,\"settled\":false},{\"node\":1,\"wanted\":true,\"settled\":"
        "true},"
        "{\"node\":3,\"wanted\":false,\"settled\":true}]}],\"nodes\":["
        "{\"node\":3,\"state\":\"drained\",\"endpoint\":\"tcp://c:1\",\"replicas\":0,\"leads\":0,"
        "\"leaving\":1,\"up\":true},"
        "{\"node\":5,\"state\":\"in\",\"endpoint\":\"tcp://e:1\",\"replicas\":2,\"leads\":1,"
        "\"leaving\":0}]}\n");
}

/* --- lines --- */

struct input {
    int fd;
    struct lines lines;
};

static void input_open(struct input *in, struct bytes text, size_t max)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    assert_int_equal(fwrite(text.data, 1, text.len, f), text.len);
    assert_int_equal(fflush(f), 0);
    in->fd = dup(fileno(f));
    (void)fclose(f);
    assert_int_equal(lseek(in->fd, 0, SEEK_SET), 0);
    assert_int_equal(lines_open(&in->lines, in->fd, max, NULL), ERR_OK);
}

static void input_close(struct input *in)
{
    lines_close(&in->lines);
    (void)close(in->fd);
}

static enum lines_status next_line(struct input *in, struct bytes *text)
{
    enum lines_status s;
    while ((s = lines_next(&in->lines, text)) == LINES_WAIT)
        assert_int_equal(lines_fill(&in->lines, NULL), ERR_OK);
    return s;
}

static void expect_line(struct input *in, const char *expected)
{
    struct bytes text;
    assert_int_equal(next_line(in, &text), LINES_LINE);
    assert_int_equal(text.len, strlen(expected));
    if (text.len)
        assert_memory_equal(text.data, expected, text.len);
}

static void test_lines_come_out_one_by_one(void **state)
{
    (void)state;
    struct input in;
    struct bytes text;
    input_open(&in, bytes_of_str("one\r\n\ntwo\nthree"), 100);
    expect_line(&in, "one");
    expect_line(&in, "");
    expect_line(&in, "two");
    assert_int_equal(in.lines.number, 3);
    expect_line(&in, "three");
    assert_int_equal(next_line(&in, &text), LINES_END);
    assert_int_equal(in.lines.number, 4);
    assert_int_equal(in.lines.taken, 15);
    input_close(&in);
}

static void test_line_longer_than_allowed_is_skipped(void **state)
{
    (void)state;
    enum { LONG = 1 << 20, MAX = 64 };
    struct input in;
    struct bytes text;
    struct buf b = {0};
    buf_put(&b, "before\n", 7);
    memset(buf_reserve(&b, LONG), 'z', LONG);
    b.len += LONG;
    buf_put(&b, "\nafter\n", 7);
    memset(buf_reserve(&b, MAX + 1), 'y', MAX + 1);
    b.len += MAX; /* just fits */
    buf_put(&b, "\n", 1);
    memset(buf_reserve(&b, MAX + 1), 'x', MAX + 1);
    b.len += MAX + 1; /* just does not, and nothing behind it */
    input_open(&in, buf_bytes(&b), MAX);
    expect_line(&in, "before");
    assert_int_equal(next_line(&in, &text), LINES_TOO_LONG);
    assert_int_equal(in.lines.number, 2);
    expect_line(&in, "after");
    assert_int_equal(next_line(&in, &text), LINES_LINE);
    assert_int_equal(text.len, MAX);
    assert_int_equal(next_line(&in, &text), LINES_TOO_LONG);
    assert_int_equal(next_line(&in, &text), LINES_END);
    assert_int_equal(in.lines.taken, b.len);
    assert_in_range(in.lines.cap, 1, LONG / 2); /* it was never held as a whole */
    input_close(&in);
    buf_free(&b);
}

static void test_empty_input_has_no_lines(void **state)
{
    (void)state;
    struct input in;
    struct bytes text;
    input_open(&in, bytes_of_str(""), 10);
    assert_int_equal(next_line(&in, &text), LINES_END);
    assert_int_equal(in.lines.number, 0);
    input_close(&in);
}

/* --- rejects --- */

static char *read_file(const char *path)
{
    static char text[1000];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    (void)fclose(f);
    return text;
}

static void test_rejects_file_is_private_json_lines(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char path[300];
    struct rejects r;
    struct stat st;
    (void)snprintf(path, sizeof path, "%s", tempdir_path(dir, "rejects"));
    int fd = open(path, O_WRONLY | O_CREAT, 0644); /* there already, and open to all */
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(rejects_open(&r, path, NULL), ERR_OK);
    struct complaint column = {.column = 4, .reason = "not JSON"},
                     plain = {.reason = "say \"why\""};
    rejects_add(&r, 2, &column, bytes_of_str("{\"a\\\t"));
    rejects_add(&r, 9, &plain, bytes_of_str("\xFF"));
    assert_int_equal(r.n, 2);
    assert_int_equal(rejects_close(&r, NULL), ERR_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_string_equal(
        read_file(path),
        "{\"line\":2,\"column\":4,\"reason\":\"not JSON\",\"text\":\"{\\\"a\\\\\\t\"}\n"
        "{\"line\":9,\"reason\":\"say \\\"why\\\"\"}\n");
    tempdir_remove(dir);
}

static void test_rejects_file_that_cannot_be_made_is_an_error(void **state)
{
    (void)state;
    struct rejects r;
    struct error err;
    assert_int_equal(rejects_open(&r, "/nonexistent/rejects", &err), ERR_IO);
    assert_non_null(strstr(err.msg, "/nonexistent/rejects"));
}

/* --- JSON out --- */

static char *emitted(void (*emit)(struct emit *e))
{
    static char text[1000];
    FILE *f = tmpfile();
    assert_non_null(f);
    struct emit e;
    emit_init(&e, f);
    emit(&e);
    rewind(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    (void)fclose(f);
    return text;
}

static void emit_all_kinds(struct emit *e)
{
    emit_object(e, NULL);
    emit_text(e, "t", bytes_of_str("上\"\\\n\x01\x7F"));
    emit_text(e, "broken", bytes_of_str("a\xFF\xE4\xB8\x8A"));
    emit_integer(e, "i", -5);
    emit_unsigned(e, "u", UINT64_MAX);
    emit_array(e, "r");
    emit_real(e, NULL, 0.1);
    emit_real(e, NULL, 1990);
    emit_real(e, NULL, 1e300 * 1e300);
    emit_real(e, NULL, 1.0 / 3);
    emit_end(e);
    emit_object(e, "o");
    emit_bool(e, "b", true);
    emit_null(e, "n");
    emit_end(e);
    emit_end(e);
}

static void test_json_comes_out_well_formed(void **state)
{
    (void)state;
    assert_string_equal(
        emitted(emit_all_kinds),
        "{\"t\":\"上\\\"\\\\\\n\\u0001\\u007f\",\"broken\":\"a\xEF\xBF\xBD上\","
        "\"i\":-5,\"u\":18446744073709551615,"
        "\"r\":[0.1,1990,null,0.3333333333333333],\"o\":{\"b\":true,\"n\":null}}\n");
}

static void emit_identities(struct emit *e)
{
    struct oneid_identity none = {NULL, {"", 0}}, some = {"phone", {"1:2", 3}};
    emit_array(e, NULL);
    emit_identity(e, NULL, &none);
    emit_identity(e, NULL, &some);
    emit_one_id(e, NULL, 0xABC);
    emit_end(e);
}

static void test_identities_and_one_ids_are_texts(void **state)
{
    (void)state;
    assert_string_equal(emitted(emit_identities), "[null,\"phone:1:2\",\"0000000000000abc\"]\n");
}

/* --- progress --- */

static void test_progress_shows_part_rate_and_time_left(void **state)
{
    (void)state;
    char text[120];
    progress_format(text, sizeof text, 1000, 250, 5000, 2000);
    assert_string_equal(text, " 25.0%  5000 events, 2500/s, 0:06 left");
    progress_format(text, sizeof text, 0, 250, 5000, 2000);
    assert_string_equal(text, "5000 events, 2500/s");
    progress_format(text, sizeof text, 1000, 2000, 1, 0);
    assert_non_null(strstr(text, "100.0%"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_may_stand_before_and_behind_words),
        cmocka_unit_test(test_help_and_version_need_nothing_else),
        cmocka_unit_test(test_wrong_usage_says_what_is_wrong),
        cmocka_unit_test(test_node_says_what_its_verbs_take),
        cmocka_unit_test(test_node_tasks_are_described),
        cmocka_unit_test(test_nodes_and_tasks_come_out_as_json),
        cmocka_unit_test(test_lines_come_out_one_by_one),
        cmocka_unit_test(test_line_longer_than_allowed_is_skipped),
        cmocka_unit_test(test_empty_input_has_no_lines),
        cmocka_unit_test(test_rejects_file_is_private_json_lines),
        cmocka_unit_test(test_rejects_file_that_cannot_be_made_is_an_error),
        cmocka_unit_test(test_json_comes_out_well_formed),
        cmocka_unit_test(test_identities_and_one_ids_are_texts),
        cmocka_unit_test(test_progress_shows_part_rate_and_time_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
