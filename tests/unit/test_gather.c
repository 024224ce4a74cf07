#include <gather/gather.h>

#include <cluster/config.h>

#include "retail_yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SHARDS = 3, DEADLINE = 10000 };

static struct cluster_config *config;
static const node_id NODES[SHARDS] = {1, 1, 1};

static int setup(void **state)
{
    (void)state;
    struct error err;
    return cluster_config_parse("retail.yml", bytes_of_str(RETAIL_YAML), &config, &err) == ERR_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    cluster_config_close(config);
    return 0;
}

static struct gather *ask(enum request_type type, const char *expr, const char *by,
                          const char *cursor, uint32_t limit, struct gather_effects *fx)
{
    struct request q = {.type = type,
                        .expr = bytes_of_str(expr),
                        .by = bytes_of_str(by),
                        .cursor = bytes_of_str(cursor),
                        .limit = limit};
    struct gather_start s = {.request = &q,
                             .schema = &config->schema,
                             .node_of_shard = NODES,
                             .n_shards = SHARDS,
                             .today = 20000,
                             .deadline_ms = DEADLINE};
    return gather_new(&s, 0, fx);
}

static void test_gather_count_adds_up_the_shards(void **state)
{
    (void)state;
    struct gather_effects fx = {0};
    struct gather *g = ask(REQUEST_COUNT, "tag(vip)", "", "", 0, &fx);
    assert_int_equal(fx.n, SHARDS);
    for (shard_id i = 0; i < SHARDS; i++) {
        assert_int_equal(fx.items[i].kind, GATHER_SEND);
        assert_int_equal(fx.items[i].lane, GATHER_QUERY);
        assert_int_equal(fx.items[i].command->today, 20000);
    }
    fx.n = 0;
    struct count_row row = {.members = 5};
    struct reply r = {
        .status = REPLY_OK, .counts = &row, .n_counts = 1, .population = 10, .in_flight = 1};
    gather_reply(g, 0, 1, &r, 1, &fx);
    gather_reply(g, 0, 1, &r, 1, &fx); /* a second copy counts once */
    gather_reply(g, 2, 1, &r, 1, &fx);
    assert_int_equal(fx.n, 0);
    gather_reply(g, 1, 1, &r, 1, &fx);
    assert_int_equal(fx.n, 1);
    assert_int_equal(fx.items[0].answer->count, 15);
    assert_int_equal(fx.items[0].answer->population, 30);
    assert_int_equal(fx.items[0].answer->in_flight, 3);
    assert_false(fx.items[0].answer->partial);
    gather_free(g);
    gather_effects_free(&fx);
}

static void test_gather_asks_again_and_becomes_partial(void **state)
{
    (void)state;
    struct gather_effects fx = {0};
    struct gather *g = ask(REQUEST_COUNT, "true", "", "", 0, &fx);
    struct count_row row = {.members = 5};
    struct reply ok = {.status = REPLY_OK, .counts = &row, .n_counts = 1};
    struct reply busy = {.status = REPLY_ERROR, .error = ERR_BUSY};
    fx.n = 0;
    gather_reply(g, 0, 1, &ok, 1, &fx);
    gather_reply(g, 1, 1, &busy, 1, &fx);
    assert_int_equal(fx.n, 0);
    msec_t soon = gather_wake_ms(g); /* who said "later" is asked before who said nothing */
    assert_true(soon < GATHER_RESEND_MS);
    gather_tick(g, soon, &fx);
    assert_int_equal(fx.n, 1);
    assert_int_equal(fx.items[0].shard, 1);
    fx.n = 0;
    gather_tick(g, GATHER_RESEND_MS, &fx);
    assert_int_equal(fx.n, 1);
    assert_int_equal(fx.items[0].shard, 2);
    fx.n = 0;
    gather_tick(g, DEADLINE - GATHER_MARGIN_MS, &fx);
    assert_int_equal(fx.n, 1);
    assert_true(fx.items[0].answer->partial);
    assert_int_equal(fx.items[0].answer->count, 5);
    gather_free(g);
    gather_effects_free(&fx);
}

static void test_gather_check_says_which_shards_still_look(void **state)
{
    (void)state;
    struct request q = {.type = REQUEST_CHECK, .asked_ms = 3000};
    struct gather_start s = {.request = &q,
                             .schema = &config->schema,
                             .node_of_shard = NODES,
                             .n_shards = SHARDS,
                             .deadline_ms = DEADLINE};
    struct gather_effects fx = {0};
    struct gather *g = gather_new(&s, 0, &fx);
    assert_int_equal(fx.n, SHARDS);
    assert_int_equal(fx.items[2].lane, GATHER_READ);
    assert_int_equal(fx.items[2].command->age_ms, 3000);
    fx.n = 0;
    struct count_row row = {.value = bytes_of_str("odd")};
    struct reply looks = {.status = REPLY_BUSY, .other = 1, .cursor = 10, .population = 100};
    struct reply done = {
        .status = REPLY_OK, .counts = &row, .n_counts = 1, .cursor = 77, .population = 50};
    struct reply old = {.status = REPLY_OK}; /* of a node that answers at once */
    gather_reply(g, 0, 1, &done, 1, &fx);
    gather_reply(g, 2, 1, &looks, 1, &fx);
    gather_tick(g, GATHER_RESEND_MS, &fx); /* the one that said nothing: so much longer ago now */
    assert_int_equal(fx.n, 1);
    assert_int_equal(fx.items[0].command->age_ms, 3000 + GATHER_RESEND_MS);
    fx.n = 0;
    gather_reply(g, 1, 1, &old, GATHER_RESEND_MS, &fx);
    assert_int_equal(fx.n, 1);
    const struct response *a = fx.items[0].answer;
    assert_int_equal(a->code, ERR_OK);
    assert_int_equal(a->n_carrying, 1);
    assert_int_equal(a->carrying[0], 2);
    assert_true(a->partial); /* old clients do not ask again */
    assert_int_equal(a->count, 60);
    assert_int_equal(a->population, 150);
    assert_int_equal(a->n_findings, 1);
    assert_true(bytes_equal(a->findings[0], bytes_of_str("shard 0: odd")));
    gather_free(g);
    fx.n = 0;
    g = gather_new(&s, 0, &fx);
    fx.n = 0;
    for (shard_id i = 0; i < SHARDS; i++)
        gather_reply(g, i, 1, &done, 1, &fx);
    assert_false(fx.items[0].answer->partial);
    assert_int_equal(fx.items[0].answer->n_carrying, 0);
    assert_int_equal(fx.items[0].answer->n_findings, SHARDS);
    gather_free(g);
    gather_effects_free(&fx);
}

static void test_gather_without_any_answer_is_an_error(void **state)
{
    (void)state;
    struct gather_effects fx = {0};
    struct gather *g = ask(REQUEST_COUNT, "true", "", "", 0, &fx);
    fx.n = 0;
    gather_tick(g, DEADLINE, &fx);
    assert_int_equal(fx.items[0].answer->code, ERR_TIMEOUT);
    gather_free(g);
    gather_effects_free(&fx);
}

static void test_gather_refuses_bad_questions_at_once(void **state)
{
    (void)state;
    static const struct {
        enum request_type type;
        const char *expr, *by, *cursor;
        uint32_t limit;
        enum error_code code;
    } rows[] = {
        {REQUEST_COUNT, "tag(", "", "", 0, ERR_SYNTAX},
        {REQUEST_COUNT, "nothing = 1", "", "", 0, ERR_UNKNOWN_NAME},
        {REQUEST_BREAKDOWN, "true", "nothing", "", 0, ERR_UNKNOWN_NAME},
        {REQUEST_LIST, "true", "", "1-9-0-00000000", 0, ERR_INVALID},
        {REQUEST_LIST, "true", "", "1-1-", 0, ERR_INVALID},
        {REQUEST_LIST, "true", "", "1-1-5-0000000x", 0, ERR_INVALID},
        {REQUEST_LIST, "true", "", "", 1000000, ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gather_effects fx = {0};
        struct gather *g =
            ask(rows[i].type, rows[i].expr, rows[i].by, rows[i].cursor, rows[i].limit, &fx);
        assert_int_equal(fx.n, 1);
        assert_int_equal(fx.items[0].kind, GATHER_ANSWER);
        assert_int_equal(fx.items[0].answer->code, rows[i].code);
        assert_true(fx.items[0].answer->text.len > 0);
        gather_free(g);
        gather_effects_free(&fx);
    }
}

/* `n` times `text`, in memory that lives until the program ends. */
static const char *repeated(const char *text, size_t n)
{
    static struct buf texts[4];
    static size_t used;
    struct buf *b = &texts[used++];
    for (size_t i = 0; i < n; i++)
        buf_put(b, text, strlen(text));
    buf_put_u8(b, '\0');
    return (const char *)b->data;
}

static void test_gather_refuses_monsters_with_a_column(void **state)
{
    (void)state;
    const char *monsters[] = {repeated(" ", 1 << 20), repeated("(", 100000), repeated("(", 60000),
                              repeated("true or ", 8000)};
    for (size_t i = 0; i < sizeof monsters / sizeof *monsters; i++) {
        struct gather_effects fx = {0};
        struct gather *g = ask(REQUEST_COUNT, monsters[i], "", "", 0, &fx);
        assert_int_equal(fx.n, 1);
        assert_int_equal(fx.items[0].answer->code, ERR_TOO_LARGE);
        assert_memory_equal(fx.items[0].answer->text.data, "column ", 7);
        gather_free(g);
        gather_effects_free(&fx);
        free((void *)(uintptr_t)monsters[i]);
    }
}

static void test_gather_breakdown_folds_groups(void **state)
{
    (void)state;
    struct gather_effects fx = {0};
    struct gather *g = ask(REQUEST_BREAKDOWN, "true", "city", "", 0, &fx);
    fx.n = 0;
    struct count_row a[] = {{.value = bytes_of_str("x"), .members = 1},
                            {.value = bytes_of_str("y"), .members = 10},
                            {.none = true, .members = 3}};
    struct count_row b[] = {{.value = bytes_of_str("x"), .members = 20}};
    struct reply ra = {.status = REPLY_OK, .counts = a, .n_counts = 3};
    struct reply rb = {.status = REPLY_OK, .counts = b, .n_counts = 1};
    gather_reply(g, 0, 1, &ra, 1, &fx);
    gather_reply(g, 1, 1, &rb, 1, &fx);
    gather_reply(g, 2, 1, &ra, 1, &fx);
    const struct response *r = fx.items[0].answer;
    assert_int_equal(r->n_groups, 3);
    assert_int_equal(r->groups[0].members, 22);
    assert_true(bytes_equal(r->groups[0].value, bytes_of_str("x")));
    assert_int_equal(r->groups[1].members, 20);
    assert_true(r->groups[2].none);
    assert_int_equal(r->groups[2].members, 6);
    gather_free(g);
    gather_effects_free(&fx);
}

/* Every shard has 5 members; pages of 4 walk them all, once each. */
static void test_gather_list_pages_through_the_shards(void **state)
{
    (void)state;
    char cursor[64] = "";
    int seen[SHARDS * 5] = {0}, pages = 0;
    do {
        struct gather_effects fx = {0};
        struct gather *g = ask(REQUEST_LIST, "true", "", cursor, 4, &fx);
        while (fx.items[fx.n - 1].kind == GATHER_SEND) {
            shard_id shard = fx.items[fx.n - 1].shard;
            struct command c = *fx.items[fx.n - 1].command;
            one_id members[5];
            size_t n = 0;
            for (uint64_t at = c.cursor; at < 5 && n < c.limit; at++)
                members[n++] = (one_id)shard * 5 + at;
            uint64_t next = c.cursor + n < 5 ? c.cursor + n : 0;
            struct reply r = {
                .status = REPLY_OK, .members = members, .n_members = n, .cursor = next};
            gather_reply(g, shard, fx.items[fx.n - 1].call, &r, 1, &fx);
        }
        const struct response *a = fx.items[fx.n - 1].answer;
        assert_true(a->n_members <= 4);
        for (size_t i = 0; i < a->n_members; i++)
            seen[a->members[i]]++;
        memcpy(cursor, a->cursor.data ? (const char *)a->cursor.data : "", a->cursor.len);
        cursor[a->cursor.len] = '\0';
        gather_free(g);
        gather_effects_free(&fx);
        pages++;
    } while (cursor[0] != '\0' && pages < 100);
    for (size_t i = 0; i < SHARDS * 5; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(pages, 4);
}

static void test_gather_stats_name_shards_that_are_away(void **state)
{
    (void)state;
    struct gather_effects fx = {0};
    struct gather *g = ask(REQUEST_STATS, "", "", "", 0, &fx);
    fx.n = 0;
    struct shard_stats stats = {.profiles = 7, .merging = 2};
    struct reply r = {.status = REPLY_OK, .stats = &stats};
    gather_reply(g, 1, 1, &r, 1, &fx);
    gather_tick(g, DEADLINE, &fx);
    const struct response *a = fx.items[fx.n - 1].answer;
    assert_true(a->partial);
    assert_int_equal(a->n_shards, SHARDS);
    assert_true(a->shards[1].reachable);
    assert_int_equal(a->shards[1].stats.profiles, 7);
    assert_false(a->shards[0].reachable);
    gather_free(g);
    gather_effects_free(&fx);
}

/* LEAD goes to one shard, and its answer ends it. */
static void test_gather_leadership_asks_one_shard(void **state)
{
    (void)state;
    struct gather_effects fx = {0};
    struct request q = {.type = REQUEST_LEAD, .shard = 2, .node = 9};
    struct gather_start s = {.request = &q,
                             .schema = &config->schema,
                             .node_of_shard = NODES,
                             .n_shards = SHARDS,
                             .deadline_ms = DEADLINE};
    struct gather *g = gather_new(&s, 0, &fx);
    assert_int_equal(fx.n, 1);
    assert_int_equal(fx.items[0].shard, 2);
    assert_int_equal(fx.items[0].command->type, COMMAND_LEAD);
    assert_true(fx.items[0].command->other == 9);
    struct reply r = {.status = REPLY_OK};
    gather_reply(g, 2, fx.items[0].call, &r, 1, &fx);
    assert_int_equal(fx.items[fx.n - 1].kind, GATHER_ANSWER);
    assert_int_equal(fx.items[fx.n - 1].answer->code, ERR_OK);
    gather_free(g);
    q.shard = SHARDS;
    fx.n = 0;
    g = gather_new(&s, 0, &fx);
    assert_int_equal(fx.items[0].answer->code, ERR_INVALID);
    gather_free(g);
    gather_effects_free(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gather_count_adds_up_the_shards),
        cmocka_unit_test(test_gather_asks_again_and_becomes_partial),
        cmocka_unit_test(test_gather_check_says_which_shards_still_look),
        cmocka_unit_test(test_gather_without_any_answer_is_an_error),
        cmocka_unit_test(test_gather_refuses_bad_questions_at_once),
        cmocka_unit_test(test_gather_refuses_monsters_with_a_column),
        cmocka_unit_test(test_gather_breakdown_folds_groups),
        cmocka_unit_test(test_gather_list_pages_through_the_shards),
        cmocka_unit_test(test_gather_stats_name_shards_that_are_away),
        cmocka_unit_test(test_gather_leadership_asks_one_shard),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
