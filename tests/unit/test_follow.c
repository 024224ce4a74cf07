#include <follow/follow.h>
#include <follow/token.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SHARDS = 3, DEADLINE = 10000, TODAY = 20000, CLUSTER = 7, NUMBER = 99 };

struct rig {
    struct follow *follow;
    struct follow_effects fx;
    uint32_t call[SHARDS]; /* of the newest question to each */
    char *token;           /* of the last answer */
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct rig));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    follow_free(r->follow);
    follow_effects_free(&r->fx);
    free(r->token);
    free(r);
    return 0;
}

static void note(struct rig *r)
{
    for (size_t i = 0; i < r->fx.n; i++)
        if (r->fx.items[i].kind != FOLLOW_ANSWER)
            r->call[r->fx.items[i].shard] = r->fx.items[i].call;
}

static void begin_type(struct rig *r, enum request_type type, const char *token, uint32_t wait_ms,
                       int32_t today)
{
    struct request q = {.type = type,
                        .name = bytes_of_str("vips"),
                        .cursor = bytes_of_str(token),
                        .limit = 30,
                        .wait_ms = wait_ms};
    struct follow_begin b = {.request = &q,
                             .cluster_id = CLUSTER,
                             .number = NUMBER,
                             .n_shards = SHARDS,
                             .today = today,
                             .deadline_ms = DEADLINE};
    follow_free(r->follow);
    r->fx.n = 0;
    r->follow = follow_new(&b, 0, &r->fx);
    assert_non_null(r->follow);
    note(r);
}

static void begin(struct rig *r, const char *token, uint32_t wait_ms)
{
    begin_type(r, REQUEST_WATCH, token, wait_ms, TODAY);
}

static void reply(struct rig *r, shard_id shard, const struct reply *reply, msec_t now)
{
    r->fx.n = 0;
    follow_reply(r->follow, shard, r->call[shard], reply, now, &r->fx);
    note(r);
}

static void tick(struct rig *r, msec_t now)
{
    r->fx.n = 0;
    follow_tick(r->follow, now, &r->fx);
    note(r);
}

static void ok(struct rig *r, shard_id shard, msec_t now)
{
    reply(r, shard, &(struct reply){.status = REPLY_OK}, now);
}

/* The shard is at `log_index` and has `n` events of the members 1..n. */
static void events(struct rig *r, shard_id shard, uint64_t log_index, uint32_t n, msec_t now)
{
    struct buf rows = {0};
    for (uint32_t i = 1; i <= n; i++)
        watch_row_put(&rows, &(struct watch_row){shard, log_index, i, 5, true});
    struct reply a = {.status = REPLY_OK,
                      .rows = buf_bytes(&rows),
                      .n_rows = n,
                      .version = WATCH_AFTER,
                      .cursor = log_index,
                      .profile = UINT64_MAX};
    reply(r, shard, &a, now);
    buf_free(&rows);
}

static void error(struct rig *r, shard_id shard, enum error_code code, msec_t now)
{
    struct reply a = {.status = REPLY_ERROR, .error = code, .text = bytes_of_str("why")};
    reply(r, shard, &a, now);
}

/* The answer that came with the last event, NULL: none did. Keeps its token. */
static const struct response *answer(struct rig *r)
{
    if (r->fx.n == 0 || r->fx.items[r->fx.n - 1].kind != FOLLOW_ANSWER)
        return NULL;
    const struct response *a = r->fx.items[r->fx.n - 1].answer;
    free(r->token);
    r->token = strndup(a->cursor.len ? (const char *)a->cursor.data : "", a->cursor.len);
    assert_non_null(r->token);
    return a;
}

static struct follow_place place_of(struct rig *r, shard_id shard)
{
    struct arena arena;
    struct follow_token t;
    struct error err;
    arena_init(&arena, 0);
    assert_int_equal(follow_token_parse(bytes_of_str(r->token), &arena, &t, &err), ERR_OK);
    assert_int_equal(t.n_shards, SHARDS);
    struct follow_place p = t.places[shard];
    arena_close(&arena);
    return p;
}

/* A token with all shards at entries 10, 11, 12, given today. */
static void stand(struct rig *r)
{
    begin(r, "now", 0);
    for (shard_id i = 0; i < SHARDS; i++)
        ok(r, i, 1);
    for (shard_id i = 0; i < SHARDS; i++)
        events(r, i, 10U + i, 0, 2);
    assert_non_null(answer(r));
}

static void test_follow_from_now_starts_the_watch_and_gives_a_token(void **state)
{
    struct rig *r = *state;
    begin(r, "now", 5000);
    assert_int_equal(r->fx.n, SHARDS);
    for (shard_id i = 0; i < SHARDS; i++) {
        assert_int_equal(r->fx.items[i].kind, FOLLOW_START);
        assert_int_equal(r->fx.items[i].command->type, COMMAND_WATCH_START);
        assert_memory_equal(r->fx.items[i].command->name.data, "vips", 4);
    }
    for (shard_id i = 0; i < SHARDS; i++) {
        ok(r, i, 1);
        assert_int_equal(r->fx.n, 1);
        assert_int_equal(r->fx.items[0].kind, FOLLOW_READ);
        assert_int_equal(r->fx.items[0].command->version, WATCH_NOW);
        assert_int_equal(r->fx.items[0].command->age_ms, 0);
        assert_int_equal(r->fx.items[0].command->limit, 10);
        assert_int_equal(r->fx.items[0].command->other, NUMBER);
    }
    for (shard_id i = 0; i < SHARDS; i++)
        events(r, i, 10U + i, 0, 2);
    const struct response *a = answer(r); /* at once: the place is news */
    assert_non_null(a);
    assert_int_equal(a->code, ERR_OK);
    assert_int_equal(a->n_events, 0);
    assert_false(a->partial);
    assert_int_equal(place_of(r, 1).log_index, 11);
    assert_int_equal(place_of(r, 1).member, UINT64_MAX);
    assert_int_equal(place_of(r, 1).from, WATCH_AFTER);
}

static void test_follow_goes_on_where_its_token_stands(void **state)
{
    struct rig *r = *state;
    stand(r);
    begin(r, r->token, 5000);
    for (shard_id i = 0; i < SHARDS; i++) {
        assert_int_equal(r->fx.items[i].kind, FOLLOW_READ); /* asked for today already */
        assert_int_equal(r->fx.items[i].command->version, WATCH_AFTER);
        assert_int_equal(r->fx.items[i].command->cursor, 10 + i);
        assert_int_equal(r->fx.items[i].command->profile, UINT64_MAX);
    }
    events(r, 0, 20, 0, 1);
    events(r, 1, 21, 2, 1);
    assert_null(answer(r));
    events(r, 2, 22, 1, 1);
    const struct response *a = answer(r);
    assert_non_null(a);
    assert_int_equal(a->n_events, 3);
    struct reader rows = reader_of(a->events);
    struct watch_row row;
    assert_true(watch_row_next(&rows, &row));
    assert_int_equal(row.shard, 1);
    assert_int_equal(row.log_index, 21);
    assert_true(watch_row_next(&rows, &row) && watch_row_next(&rows, &row));
    assert_int_equal(row.shard, 2);
    assert_false(watch_row_next(&rows, &row));
    assert_true(rows.ok);
    assert_int_equal(place_of(r, 0).log_index, 20);
}

static void test_follow_waits_where_nobody_has_anything(void **state)
{
    struct rig *r = *state;
    stand(r);
    begin(r, r->token, 5000);
    events(r, 0, 20, 0, 1);
    events(r, 1, 20, 0, 1);
    events(r, 2, 20, 0, 1);
    assert_int_equal(r->fx.n, SHARDS);
    assert_int_equal(r->fx.items[1].command->age_ms, FOLLOW_SLICE_MS);
    assert_int_equal(r->fx.items[1].command->cursor, 20);
    events(r, 2, 25, 0, 2001); /* its slice is over: it waits on */
    assert_int_equal(r->fx.n, 1);
    assert_int_equal(r->fx.items[0].command->cursor, 25);
    events(r, 1, 30, 1, 2500);
    const struct response *a = answer(r);
    assert_non_null(a);
    assert_int_equal(a->n_events, 1);
    assert_false(a->partial);
    assert_int_equal(place_of(r, 0).log_index, 20);
    assert_int_equal(place_of(r, 1).log_index, 30);
    assert_int_equal(place_of(r, 2).log_index, 25);
}

static void test_follow_ends_empty_when_the_wait_is_over(void **state)
{
    struct rig *r = *state;
    stand(r);
    begin(r, r->token, 1000);
    for (shard_id i = 0; i < SHARDS; i++)
        events(r, i, 20, 0, 1);
    assert_int_equal(r->fx.items[0].command->age_ms, 999);
    for (shard_id i = 0; i < SHARDS; i++) {
        assert_null(answer(r));
        events(r, i, 21, 0, 1000);
    }
    const struct response *a = answer(r);
    assert_non_null(a);
    assert_int_equal(a->n_events, 0);
    assert_int_equal(place_of(r, 2).log_index, 21);
}

static void test_follow_of_a_silent_shard_is_partial_and_keeps_its_place(void **state)
{
    struct rig *r = *state;
    stand(r);
    begin(r, r->token, 5000);
    events(r, 0, 20, 1, 1);
    error(r, 1, ERR_BUSY, 1);
    events(r, 2, 22, 0, 1);
    tick(r, 150);
    assert_int_equal(r->fx.n, 1); /* asked again */
    assert_int_equal(r->fx.items[0].shard, 1);
    tick(r, FOLLOW_SILENT_MS);
    const struct response *a = answer(r);
    assert_non_null(a);
    assert_true(a->partial);
    assert_int_equal(a->n_events, 1);
    assert_int_equal(place_of(r, 0).log_index, 20);
    assert_int_equal(place_of(r, 1).log_index, 11);
}

static void test_follow_with_a_silent_shard_and_no_events_waits(void **state)
{
    struct rig *r = *state;
    stand(r);
    begin(r, r->token, 5000);
    events(r, 0, 20, 0, 1);
    events(r, 2, 20, 0, 1);
    tick(r, FOLLOW_SILENT_MS);
    assert_int_equal(r->fx.n, 2); /* those that answered wait; the timer asks the third */
    assert_null(answer(r));
    events(r, 1, 50, 1, 1500); /* it has come back */
    const struct response *a = answer(r);
    assert_non_null(a);
    assert_false(a->partial);
    assert_int_equal(a->n_events, 1);
}

static void test_follow_without_any_shard_times_out(void **state)
{
    struct rig *r = *state;
    begin(r, "now", 0);
    tick(r, FOLLOW_STARTING_MS);
    const struct response *a = answer(r);
    assert_non_null(a);
    assert_int_equal(a->code, ERR_TIMEOUT);
}

static void test_follow_starts_a_watch_that_has_ended_and_is_told_to_begin_again(void **state)
{
    struct rig *r = *state;
    stand(r);
    begin(r, r->token, 5000);
    error(r, 1, ERR_NOT_FOUND, 1);
    assert_int_equal(r->fx.n, 1);
    assert_int_equal(r->fx.items[0].kind, FOLLOW_START);
    ok(r, 1, 2);
    error(r, 1, ERR_NOT_FOUND, 3); /* the index has not heard of it yet */
    assert_int_equal(r->fx.n, 0);
    tick(r, 250);
    assert_int_equal(r->fx.n, 3);
    error(r, 1, ERR_TOO_OLD, 251);
    const struct response *a = answer(r);
    assert_non_null(a);
    assert_int_equal(a->code, ERR_TOO_OLD);
    assert_memory_equal(a->text.data, "shard 1: why", 12);
}

static void test_follow_of_no_segment_fails(void **state)
{
    struct rig *r = *state;
    begin(r, "start", 0);
    error(r, 1, ERR_BUSY, 1);
    assert_null(answer(r));
    error(r, 0, ERR_NOT_FOUND, 1);
    assert_int_equal(answer(r)->code, ERR_NOT_FOUND);
}

static void test_follow_on_another_day_tells_the_shards(void **state)
{
    struct rig *r = *state;
    stand(r);
    begin_type(r, REQUEST_WATCH, r->token, 0, TODAY + 1);
    assert_int_equal(r->fx.items[0].kind, FOLLOW_START);
    for (shard_id i = 0; i < SHARDS; i++)
        ok(r, i, 1);
    assert_int_equal(r->fx.items[0].command->cursor, 12);
}

static void test_follow_stop_tells_all_shards(void **state)
{
    struct rig *r = *state;
    begin_type(r, REQUEST_UNWATCH, "", 0, TODAY);
    for (shard_id i = 0; i < SHARDS; i++) {
        assert_null(answer(r));
        ok(r, i, 1);
    }
    const struct response *a = answer(r);
    assert_int_equal(a->code, ERR_OK);
    assert_int_equal(a->cursor.len, 0);
}

static void test_follow_ignores_replies_to_older_questions(void **state)
{
    struct rig *r = *state;
    stand(r);
    begin(r, r->token, 5000);
    uint32_t old = r->call[0];
    for (shard_id i = 0; i < SHARDS; i++)
        events(r, i, 20, 0, 1);
    r->call[0] = old;
    events(r, 0, 99, 5, 2);
    assert_int_equal(r->fx.n, 0);
}

static void expect_refused(struct rig *r, const char *token, enum error_code code)
{
    begin(r, token, 0);
    const struct response *a = r->fx.items[0].answer;
    assert_int_equal(r->fx.items[0].kind, FOLLOW_ANSWER);
    assert_int_equal(a->code, code);
}

static void test_follow_refuses_tokens_that_are_not_its_own(void **state)
{
    struct rig *r = *state;
    stand(r);
    char *good = strdup(r->token);
    assert_non_null(good);
    expect_refused(r, "xyz", ERR_INVALID);
    expect_refused(r, "0", ERR_INVALID);
    expect_refused(r, "00000000", ERR_INVALID);
    for (size_t i = 0; good[i]; i++) {
        char was = good[i];
        good[i] = was == '0' ? '1' : '0';
        expect_refused(r, good, ERR_INVALID);
        good[i] = '\0';
        expect_refused(r, i ? good : "g", ERR_INVALID);
        good[i] = was;
    }
    free(good);
}

static void test_follow_refuses_a_token_of_another_cluster_segment_or_number_of_shards(void **state)
{
    struct rig *r = *state;
    struct arena arena;
    struct follow_token t;
    struct error err;
    stand(r);
    arena_init(&arena, 0);
    assert_int_equal(follow_token_parse(bytes_of_str(r->token), &arena, &t, &err), ERR_OK);
    static const enum error_code codes[] = {ERR_INVALID, ERR_INVALID, ERR_TOO_OLD};
    for (int i = 0; i < 3; i++) {
        struct follow_token other = t;
        struct buf text = {0};
        other.cluster_id += i == 0;
        other.segment += i == 1;
        other.n_shards -= i == 2;
        follow_token_put(&other, &text);
        buf_put_u8(&text, 0);
        expect_refused(r, (const char *)text.data, codes[i]);
        buf_free(&text);
    }
    arena_close(&arena);
}

static void test_follow_goes_over_empty_pages_of_a_listing(void **state)
{
    struct rig *r = *state;
    begin(r, "start", 0);
    for (shard_id i = 0; i < SHARDS; i++)
        ok(r, i, 1);
    events(r, 0, 20, 0, 2);
    events(r, 1, 21, 0, 2);
    struct reply page = {
        .status = REPLY_OK, .version = WATCH_LISTING, .cursor = 22, .profile = 1000};
    reply(r, 2, &page, 2);
    assert_null(answer(r));
    assert_int_equal(r->fx.n, 1);
    assert_int_equal(r->fx.items[0].command->version, WATCH_LISTING);
    assert_int_equal(r->fx.items[0].command->profile, 1000);
    events(r, 2, 22, 0, 3);
    assert_int_equal(answer(r)->n_events, 0); /* so nothing is left */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_follow_from_now_starts_the_watch_and_gives_a_token),
        TEST(test_follow_goes_on_where_its_token_stands),
        TEST(test_follow_waits_where_nobody_has_anything),
        TEST(test_follow_ends_empty_when_the_wait_is_over),
        TEST(test_follow_of_a_silent_shard_is_partial_and_keeps_its_place),
        TEST(test_follow_with_a_silent_shard_and_no_events_waits),
        TEST(test_follow_without_any_shard_times_out),
        TEST(test_follow_starts_a_watch_that_has_ended_and_is_told_to_begin_again),
        TEST(test_follow_of_no_segment_fails),
        TEST(test_follow_on_another_day_tells_the_shards),
        TEST(test_follow_stop_tells_all_shards),
        TEST(test_follow_goes_over_empty_pages_of_a_listing),
        TEST(test_follow_ignores_replies_to_older_questions),
        TEST(test_follow_refuses_tokens_that_are_not_its_own),
        TEST(test_follow_refuses_a_token_of_another_cluster_segment_or_number_of_shards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
