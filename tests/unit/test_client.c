#include "fake_router.h"

#include <oneid/oneid.h>

#include <proto/envelope.h>

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A stall of the machine must not pass for a silent router: SILENCE_MS is long beside one. */
enum { ROUTERS = 2, PATIENT_MS = 15000, SILENCE_MS = 1000, SOON_MS = 20 };

/* What a callback saw. */
struct seen {
    int calls;
    enum oneid_code code;
    uint64_t one_id;
    bool duplicate;
    char text[100];
    char refused_ns[20];
    struct oneid_client *client; /* set: the callback tries what it may not, and submits again */
    struct seen *next;
};

enum { SEEN_MAX = 4 };

/* `seen` outlives the client, which answers all of it when it is closed. */
struct world {
    struct fake_router fakes[ROUTERS];
    struct oneid_client *client;
    struct seen seen[SEEN_MAX];
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    for (int i = 0; i < ROUTERS; i++)
        fake_open(&w->fakes[i]);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    oneid_close(w->client);
    for (int i = 0; i < ROUTERS; i++)
        fake_close(&w->fakes[i]);
    free(w);
    return 0;
}

static void open_client(struct world *w, size_t n_routers, uint32_t deadline_ms, uint32_t retry_ms,
                        uint32_t max_in_flight)
{
    const char *routers[ROUTERS] = {fake_endpoint(&w->fakes[0]), fake_endpoint(&w->fakes[1])};
    struct oneid_options o = {.routers = routers,
                              .n_routers = n_routers,
                              .deadline_ms = deadline_ms,
                              .retry_ms = retry_ms,
                              .max_in_flight = max_in_flight};
    char text[200];
    assert_int_equal(oneid_open(&o, &w->client, text, sizeof text), ONEID_OK);
    assert_string_equal(text, "");
}

static struct oneid_str str(const char *s)
{
    return (struct oneid_str){s, strlen(s)};
}

static enum oneid_code submit(struct oneid_client *c, const char *message_id, struct seen *seen);

static void on_result(void *ctx, const struct oneid_result *r)
{
    struct seen *s = ctx;
    s->calls++;
    s->code = r->code;
    s->one_id = r->one_id;
    s->duplicate = r->duplicate;
    (void)snprintf(s->text, sizeof s->text, "%s", r->text);
    if (r->n_refused)
        (void)snprintf(s->refused_ns, sizeof s->refused_ns, "%s", r->refused[0].ns);
    if (!s->client)
        return;
    assert_int_equal(oneid_poll(s->client, -1), 0);
    struct oneid_result *blocked = oneid_stats(s->client);
    assert_int_equal(blocked->code, ONEID_ERR_USAGE);
    oneid_result_free(blocked);
    (void)submit(s->client, "again", s->next);
}

static enum oneid_code submit(struct oneid_client *c, const char *message_id, struct seen *seen)
{
    struct oneid_identity id = {"phone", str("13800138000")};
    struct oneid_event e = {.message_id = str(message_id), .ids = &id, .n_ids = 1};
    return oneid_submit_ingest(c, &e, 0, on_result, seen);
}

/* Lets the client send, and takes what comes out at the router. */
static void expect_message(struct world *w, int router, struct fake_message *m, size_t n)
{
    (void)oneid_poll(w->client, 0);
    assert_true(fake_take(&w->fakes[router], m, FAKE_WAIT_MS));
    assert_int_equal(m->n, n);
}

static void expect_callbacks(struct world *w, int n)
{
    while (n > 0) {
        int ran = oneid_poll(w->client, PATIENT_MS);
        assert_in_range(ran, 1, n);
        n -= ran;
    }
}

static void test_cancel_ends_the_call_and_tells_the_router(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct fake_message m, cancel;
    open_client(w, 1, PATIENT_MS, PATIENT_MS, 0);
    assert_int_equal(oneid_submit_count(w->client, "true", 0, on_result, &seen[0]), ONEID_OK);
    assert_int_equal(oneid_submit_count(w->client, "false", 0, on_result, &seen[1]), ONEID_OK);
    uint64_t call = oneid_last_call(w->client);
    expect_message(w, 0, &m, 2);
    assert_true(oneid_cancel(w->client, call));
    assert_false(oneid_cancel(w->client, call));
    assert_int_equal(seen[1].calls, 0); /* not before the next poll */
    assert_true(fake_take(&w->fakes[0], &cancel, FAKE_WAIT_MS));
    assert_true(cancel.is_cancel);
    assert_int_equal(cancel.request_id, m.request_id);
    assert_int_equal(cancel.item, 1);
    expect_callbacks(w, 1);
    assert_int_equal(seen[1].code, ONEID_ERR_CANCELLED);
    struct response r[] = {{.item = 0, .count = 1}, {.item = 1, .count = 2}};
    fake_answer(&w->fakes[0], &m, r, 2); /* too late for the second */
    expect_callbacks(w, 1);
    assert_int_equal(seen[0].code, ONEID_OK);
    assert_int_equal(seen[1].calls, 1);
    assert_int_equal(oneid_in_flight(w->client), 0);
    fake_forget(&m);
    fake_forget(&cancel);
}

static void test_monstrous_expressions_go_to_no_router(void **state)
{
    struct world *w = *state;
    struct buf text = {0};
    open_client(w, 1, PATIENT_MS, PATIENT_MS, 0);
    for (int i = 0; i < 1 << 20; i++)
        buf_put_u8(&text, '(');
    buf_put_u8(&text, '\0');
    assert_int_equal(oneid_submit_count(w->client, (const char *)text.data, 0, on_result, w->seen),
                     ONEID_ERR_USAGE);
    assert_string_equal(oneid_error_text(w->client),
                        "column 1: expected at most 65536 bytes, found more");
    assert_int_equal(oneid_in_flight(w->client), 0);
    buf_free(&text);
}

static void test_interrupt_ends_all_calls(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    open_client(w, 1, PATIENT_MS, PATIENT_MS, 0);
    assert_int_equal(submit(w->client, "m1", &seen[0]), ONEID_OK);
    assert_int_equal(oneid_submit_count(w->client, "true", 0, on_result, &seen[1]), ONEID_OK);
    oneid_interrupt(w->client);
    struct oneid_result *blocked = oneid_count(w->client, "true");
    assert_int_equal(blocked->code, ONEID_ERR_CANCELLED);
    oneid_result_free(blocked);
    assert_int_equal(seen[0].code, ONEID_ERR_CANCELLED);
    assert_int_equal(seen[1].code, ONEID_ERR_CANCELLED);
    assert_int_equal(oneid_in_flight(w->client), 0);
}

static void test_submit_is_answered_once_from_poll(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct fake_message m;
    open_client(w, 1, PATIENT_MS, PATIENT_MS, 0);
    assert_int_equal(submit(w->client, "m1", seen), ONEID_OK);
    assert_int_equal(oneid_in_flight(w->client), 1);
    expect_message(w, 0, &m, 1);
    assert_int_equal(m.requests[0].type, REQUEST_INGEST);
    assert_true(bytes_equal(m.requests[0].event->message_id, bytes_of_str("m1")));
    assert_in_range(m.requests[0].deadline_ms, 1, PATIENT_MS);
    assert_int_equal(seen->calls, 0);
    struct named_refusal refused = {bytes_of_str("device"), REFUSAL_NON_BRIDGING};
    struct response r = {.profile = 77, .duplicate = true, .refused = &refused, .n_refused = 1};
    fake_answer(&w->fakes[0], &m, &r, 1);
    expect_callbacks(w, 1);
    assert_int_equal(seen->calls, 1);
    assert_int_equal(seen->code, ONEID_OK);
    assert_int_equal(seen->one_id, 77);
    assert_true(seen->duplicate);
    assert_string_equal(seen->refused_ns, "device");
    assert_int_equal(oneid_in_flight(w->client), 0);
    assert_int_equal(oneid_next_timeout_ms(w->client), -1);
    fake_forget(&m);
}

static void test_requests_of_a_turn_share_a_message(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct fake_message m;
    open_client(w, 1, PATIENT_MS, PATIENT_MS, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(submit(w->client, "m", &seen[i]), ONEID_OK);
    assert_int_equal(oneid_next_timeout_ms(w->client), 0);
    expect_message(w, 0, &m, 3);
    struct response late = {.item = 2, .profile = 2};
    struct response rest[2] = {{.item = 1, .profile = 1}, {.item = 0, .profile = 100}};
    fake_answer(&w->fakes[0], &m, &late, 1);
    expect_callbacks(w, 1);
    assert_int_equal(seen[2].one_id, 2);
    fake_answer(&w->fakes[0], &m, rest, 2);
    expect_callbacks(w, 2);
    assert_int_equal(seen[0].one_id, 100);
    assert_int_equal(seen[1].one_id, 1);
    fake_forget(&m);
}

static void test_answer_that_comes_twice_counts_once(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct fake_message m;
    open_client(w, 1, PATIENT_MS, PATIENT_MS, 0);
    for (int i = 0; i < 2; i++)
        (void)submit(w->client, "m", &seen[i]);
    expect_message(w, 0, &m, 2);
    struct response first = {.item = 0, .profile = 5}, second = {.item = 1, .profile = 6};
    fake_answer(&w->fakes[0], &m, &first, 1);
    fake_answer(&w->fakes[0], &m, &first, 1);
    fake_answer(&w->fakes[0], &m, &second, 1);
    expect_callbacks(w, 2);
    assert_int_equal(seen[0].calls, 1);
    assert_int_equal(seen[1].calls, 1);
    fake_forget(&m);
}

static void test_junk_from_a_router_is_ignored(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct fake_message m;
    open_client(w, 1, PATIENT_MS, PATIENT_MS, 0);
    (void)submit(w->client, "m", seen);
    expect_message(w, 0, &m, 1);
    fake_send(&w->fakes[0], &m.peer, bytes_of_str("junk"));
    fake_send(&w->fakes[0], &m.peer, bytes_of_str(""));
    struct response unknown_item = {.item = 7, .profile = 1}, good = {.profile = 9};
    fake_answer(&w->fakes[0], &m, &unknown_item, 1);
    struct fake_message other = m;
    other.request_id = m.request_id + 1000;
    fake_answer(&w->fakes[0], &other, &good, 1);
    fake_fail(&w->fakes[0], &other, ERR_MALFORMED, "not yours");
    fake_answer(&w->fakes[0], &m, &good, 1);
    expect_callbacks(w, 1);
    assert_int_equal(seen->one_id, 9);
    fake_forget(&m);
}

static void test_busy_router_is_asked_again_with_the_same_event(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct fake_message m, again;
    open_client(w, 1, PATIENT_MS, PATIENT_MS, 0);
    (void)submit(w->client, "same", seen);
    expect_message(w, 0, &m, 1);
    struct response busy = {.code = ERR_BUSY, .text = bytes_of_str("later")}, ok = {.profile = 3};
    fake_answer(&w->fakes[0], &m, &busy, 1);
    do
        assert_int_equal(oneid_poll(w->client, SOON_MS), 0);
    while (!fake_take(&w->fakes[0], &again, 1));
    assert_true(bytes_equal(again.requests[0].event->message_id, bytes_of_str("same")));
    assert_true(again.requests[0].deadline_ms < m.requests[0].deadline_ms);
    assert_true(again.request_id != m.request_id);
    fake_answer(&w->fakes[0], &again, &ok, 1);
    expect_callbacks(w, 1);
    assert_int_equal(seen->code, ONEID_OK);
    fake_forget(&m);
    fake_forget(&again);
}

static void test_busy_until_the_deadline_says_so(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct response busy = {.code = ERR_DISK_FULL, .text = bytes_of_str("disk full")};
    open_client(w, 1, 100, PATIENT_MS, 0);
    (void)submit(w->client, "m", seen);
    while (seen->calls == 0) {
        struct fake_message m;
        (void)oneid_poll(w->client, 1);
        if (!fake_take(&w->fakes[0], &m, 1))
            continue;
        fake_answer(&w->fakes[0], &m, &busy, 1);
        fake_forget(&m);
    }
    assert_int_equal(seen->calls, 1);
    assert_int_equal(seen->code, ONEID_ERR_UNAVAILABLE);
    assert_string_equal(seen->text, "disk full");
}

static void test_refused_request_keeps_the_routers_text(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct fake_message m;
    open_client(w, 1, PATIENT_MS, PATIENT_MS, 0);
    (void)submit(w->client, "m", seen);
    expect_message(w, 0, &m, 1);
    struct response r = {.code = ERR_UNKNOWN_NAME, .text = bytes_of_str("unknown trait 'x'")};
    fake_answer(&w->fakes[0], &m, &r, 1);
    expect_callbacks(w, 1);
    assert_int_equal(seen->code, ONEID_ERR_INVALID);
    assert_string_equal(seen->text, "unknown trait 'x'");
    fake_forget(&m);
}

static void test_error_of_a_message_is_that_of_all_its_requests(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct fake_message m;
    open_client(w, 1, PATIENT_MS, PATIENT_MS, 0);
    for (int i = 0; i < 2; i++)
        (void)submit(w->client, "m", &seen[i]);
    expect_message(w, 0, &m, 2);
    fake_fail(&w->fakes[0], &m, ERR_MALFORMED, "request 1: not a message");
    expect_callbacks(w, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(seen[i].calls, 1);
        assert_int_equal(seen[i].code, ONEID_ERR_INVALID);
        assert_string_equal(seen[i].text, "request 1: not a message");
    }
    fake_forget(&m);
}

static void test_silent_router_is_left_for_the_next(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct fake_message first, second, third;
    open_client(w, 2, PATIENT_MS, SILENCE_MS, 0);
    (void)submit(w->client, "m1", &seen[0]);
    expect_message(w, 0, &first, 1);
    do
        (void)oneid_poll(w->client, SOON_MS);
    while (!fake_take(&w->fakes[1], &second, 1));
    assert_true(bytes_equal(second.requests[0].event->message_id, bytes_of_str("m1")));
    struct response r = {.profile = 8};
    fake_answer(&w->fakes[1], &second, &r, 1);
    expect_callbacks(w, 1);
    assert_int_equal(seen[0].one_id, 8);
    (void)submit(w->client, "m2", &seen[1]);
    expect_message(w, 1, &third, 1);
    fake_answer(&w->fakes[1], &third, &r, 1);
    expect_callbacks(w, 1);
    /* The silent one speaks at last: too late to count. */
    fake_answer(&w->fakes[0], &first, &r, 1);
    assert_int_equal(oneid_poll(w->client, 0), 0);
    assert_int_equal(seen[0].calls, 1);
    fake_forget(&first);
    fake_forget(&second);
    fake_forget(&third);
}

static void test_late_answer_of_the_first_router_counts_too(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct fake_message first, second;
    open_client(w, 2, PATIENT_MS, SOON_MS, 0);
    (void)submit(w->client, "m1", seen);
    expect_message(w, 0, &first, 1);
    do
        (void)oneid_poll(w->client, SOON_MS);
    while (!fake_take(&w->fakes[1], &second, 1));
    struct response r = {.profile = 8};
    fake_answer(&w->fakes[0], &first, &r, 1);
    expect_callbacks(w, 1);
    assert_int_equal(seen->one_id, 8);
    fake_answer(&w->fakes[1], &second, &r, 1);
    (void)oneid_poll(w->client, 0);
    assert_int_equal(seen->calls, 1);
    fake_forget(&first);
    fake_forget(&second);
}

static void test_router_that_shuts_down_is_left_at_once(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct fake_message m, next;
    open_client(w, 2, PATIENT_MS, PATIENT_MS, 0);
    (void)submit(w->client, "m1", seen);
    expect_message(w, 0, &m, 1);
    struct response down = {.code = ERR_SHUTDOWN, .text = bytes_of_str("shutting down")};
    fake_answer(&w->fakes[0], &m, &down, 1);
    do
        (void)oneid_poll(w->client, SOON_MS);
    while (!fake_take(&w->fakes[1], &next, 1));
    struct response r = {.profile = 4};
    fake_answer(&w->fakes[1], &next, &r, 1);
    expect_callbacks(w, 1);
    assert_int_equal(seen->one_id, 4);
    fake_forget(&m);
    fake_forget(&next);
}

/* Also by a call that was sent before the router's last word, to another one. */
static void test_router_that_died_is_left_at_once(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct fake_message m, other, next;
    bool has_come = false;
    open_client(w, 2, PATIENT_MS, PATIENT_MS, 0);
    (void)submit(w->client, "m1", &seen[0]);
    expect_message(w, 0, &m, 1);
    (void)submit(w->client, "m2", &seen[1]);
    expect_message(w, 0, &other, 1);
    struct response r = {.profile = 4};
    fake_answer(&w->fakes[0], &other, &r, 1);
    expect_callbacks(w, 1);
    fake_close(&w->fakes[0]);
    while (!has_come && seen[0].calls == 0) {
        (void)oneid_poll(w->client, SOON_MS);
        has_come = fake_take(&w->fakes[1], &next, 1);
    }
    assert_true(has_come);
    assert_true(bytes_equal(next.requests[0].event->message_id, bytes_of_str("m1")));
    fake_answer(&w->fakes[1], &next, &r, 1);
    expect_callbacks(w, 1);
    assert_int_equal(seen[0].code, ONEID_OK);
    fake_forget(&next);
    (void)submit(w->client, "m3", &seen[2]);
    expect_message(w, 1, &next, 1);
    fake_answer(&w->fakes[1], &next, &r, 1);
    expect_callbacks(w, 1);
    fake_forget(&m);
    fake_forget(&other);
    fake_forget(&next);
    fake_open(&w->fakes[0]); /* for the teardown */
}

/* Nor is one that has died asked after a retryable answer. */
static void test_dead_router_is_passed_over(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct fake_message m, again;
    open_client(w, 2, PATIENT_MS, PATIENT_MS, 0);
    (void)submit(w->client, "m1", &seen[0]);
    expect_message(w, 0, &m, 1);
    fake_close(&w->fakes[1]);
    for (int i = 0; i < 20; i++)
        (void)oneid_poll(w->client, SOON_MS);
    struct response busy = {.code = ERR_BUSY, .text = bytes_of_str("later")};
    fake_answer(&w->fakes[0], &m, &busy, 1);
    bool has_come = false;
    while (!has_come && seen[0].calls == 0) {
        (void)oneid_poll(w->client, SOON_MS);
        has_come = fake_take(&w->fakes[0], &again, 1);
    }
    assert_true(has_come);
    struct response r = {.profile = 4};
    fake_answer(&w->fakes[0], &again, &r, 1);
    expect_callbacks(w, 1);
    assert_int_equal(seen[0].code, ONEID_OK);
    fake_forget(&m);
    fake_forget(&again);
    fake_open(&w->fakes[1]); /* for the teardown */
}

/* Ended connections have no descriptor. */
static void test_client_of_several_routers_looks_at_their_connections(void **state)
{
    struct world *w = *state;
    struct fake_message m;
    open_client(w, 2, PATIENT_MS, PATIENT_MS, 0);
    (void)submit(w->client, "m1", w->seen);
    expect_message(w, 0, &m, 1);
    (void)oneid_poll(w->client, 0);
    assert_in_range(oneid_next_timeout_ms(w->client), 0, 250);
    fake_forget(&m);
}

static void test_no_word_until_the_deadline_is_unavailable(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    open_client(w, 1, 60, 10, 0);
    (void)submit(w->client, "m", seen);
    expect_callbacks(w, 1);
    assert_int_equal(seen->code, ONEID_ERR_UNAVAILABLE);
    assert_non_null(strstr(seen->text, "no answer from tcp://127.0.0.1:"));
}

static void test_router_that_spoke_but_not_to_this_is_a_timeout(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct fake_message m;
    open_client(w, 1, 300, PATIENT_MS, 0);
    for (int i = 0; i < 2; i++)
        (void)submit(w->client, "m", &seen[i]);
    expect_message(w, 0, &m, 2);
    struct response r = {.item = 0, .profile = 1};
    fake_answer(&w->fakes[0], &m, &r, 1);
    expect_callbacks(w, 2);
    assert_int_equal(seen[0].code, ONEID_OK);
    assert_int_equal(seen[1].code, ONEID_ERR_TIMEOUT);
    fake_forget(&m);
}

static void test_close_cancels_what_is_in_flight(void **state)
{
    struct world *w = *state;
    struct seen *sent = &w->seen[0], *queued = &w->seen[1], *again = &w->seen[2];
    struct fake_message m;
    open_client(w, 1, PATIENT_MS, PATIENT_MS, 0);
    (void)submit(w->client, "m1", sent);
    expect_message(w, 0, &m, 1);
    *queued = (struct seen){.client = w->client, .next = again};
    (void)submit(w->client, "m2", queued);
    oneid_close(w->client);
    w->client = NULL;
    assert_int_equal(sent->calls, 1);
    assert_int_equal(sent->code, ONEID_ERR_CANCELLED);
    assert_int_equal(queued->calls, 1);
    assert_int_equal(queued->code, ONEID_ERR_CANCELLED);
    assert_int_equal(again->calls, 0);
    fake_forget(&m);
}

static void test_callback_may_submit_but_neither_poll_nor_block(void **state)
{
    struct world *w = *state;
    struct seen *first = &w->seen[0], *second = &w->seen[1];
    struct fake_message m, next;
    open_client(w, 1, PATIENT_MS, PATIENT_MS, 1);
    *first = (struct seen){.client = w->client, .next = second};
    (void)submit(w->client, "m1", first);
    expect_message(w, 0, &m, 1);
    struct response r = {.profile = 1};
    fake_answer(&w->fakes[0], &m, &r, 1);
    expect_callbacks(w, 1);
    expect_message(w, 0, &next, 1);
    assert_true(bytes_equal(next.requests[0].event->message_id, bytes_of_str("again")));
    fake_answer(&w->fakes[0], &next, &r, 1);
    expect_callbacks(w, 1);
    assert_int_equal(second->calls, 1);
    fake_forget(&m);
    fake_forget(&next);
}

static void test_more_than_may_be_in_flight_is_busy(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    open_client(w, 1, PATIENT_MS, PATIENT_MS, 2);
    assert_int_equal(submit(w->client, "1", seen), ONEID_OK);
    assert_int_equal(submit(w->client, "2", seen), ONEID_OK);
    assert_int_equal(submit(w->client, "3", seen), ONEID_ERR_BUSY);
    assert_int_equal(oneid_in_flight(w->client), 2);
    oneid_close(w->client);
    w->client = NULL;
    assert_int_equal(seen->calls, 2);
}

static void test_wrong_arguments_are_refused_with_a_text(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct oneid_identity id = {"phone", str("1")};
    struct oneid_event e = {.message_id = str("m")};
    open_client(w, 1, PATIENT_MS, PATIENT_MS, 0);
    assert_int_equal(oneid_submit_ingest(w->client, &e, 0, on_result, seen), ONEID_ERR_USAGE);
    assert_string_equal(oneid_error_text(w->client), "no identity");
    e.n_ids = 1;
    assert_int_equal(oneid_submit_ingest(w->client, &e, 0, on_result, seen), ONEID_ERR_USAGE);
    e.ids = &id;
    assert_int_equal(oneid_submit_ingest(w->client, &e, 0, NULL, NULL), ONEID_ERR_USAGE);
    struct oneid_value trait = {.name = "city", .type = (enum oneid_type)99};
    e.traits = &trait;
    e.n_traits = 1;
    assert_int_equal(oneid_submit_ingest(w->client, &e, 0, on_result, seen), ONEID_ERR_USAGE);
    assert_int_equal(oneid_submit_ingest(w->client, NULL, 0, on_result, seen), ONEID_ERR_USAGE);
    assert_int_equal(oneid_submit_profile(w->client, NULL, 0, 0, on_result, seen), ONEID_ERR_USAGE);
    assert_int_equal(oneid_submit_count(w->client, NULL, 0, on_result, seen), ONEID_ERR_USAGE);
    id.ns = NULL;
    assert_int_equal(oneid_submit_resolve(w->client, &id, 0, on_result, seen), ONEID_ERR_USAGE);
    struct oneid_result *r = oneid_count(w->client, "");
    assert_int_equal(r->code, ONEID_ERR_USAGE);
    assert_string_equal(r->text, "missing expression");
    oneid_result_free(r);
    assert_int_equal(oneid_in_flight(w->client), 0);
    assert_int_equal(seen->calls, 0);
}

static void test_open_refuses_wrong_options(void **state)
{
    (void)state;
    const char *bad[] = {"nonsense"};
    struct oneid_client *c;
    char text[200];
    struct oneid_options none = {0}, wrong = {.routers = bad, .n_routers = 1};
    assert_int_equal(oneid_open(&none, &c, text, sizeof text), ONEID_ERR_USAGE);
    assert_string_equal(text, "no router given");
    assert_int_equal(oneid_open(&wrong, &c, text, sizeof text), ONEID_ERR_USAGE);
    assert_non_null(strstr(text, "nonsense"));
    assert_null(c);
    assert_int_equal(oneid_open(NULL, &c, NULL, 0), ONEID_ERR_USAGE);
}

static void test_descriptor_tells_when_an_answer_is_there(void **state)
{
    struct world *w = *state;
    struct seen *seen = w->seen;
    struct fake_message m;
    open_client(w, 2, PATIENT_MS, PATIENT_MS, 0);
    (void)submit(w->client, "m", seen);
    expect_message(w, 0, &m, 1);
    while (oneid_poll(w->client, 0) > 0)
        ;
    struct response r = {.profile = 1};
    fake_answer(&w->fakes[0], &m, &r, 1);
    while (seen->calls == 0) {
        struct pollfd p = {.fd = oneid_fd(w->client), .events = POLLIN};
        assert_int_equal(poll(&p, 1, FAKE_WAIT_MS), 1);
        (void)oneid_poll(w->client, 0);
    }
    assert_int_equal(seen->calls, 1);
    fake_forget(&m);
}

static void test_large_load_goes_out_in_several_messages(void **state)
{
    struct world *w = *state;
    enum { N = 3000 };
    static struct seen seen[N];
    memset(seen, 0, sizeof seen);
    open_client(w, 1, PATIENT_MS, PATIENT_MS, N);
    for (int i = 0; i < N; i++)
        assert_int_equal(submit(w->client, "m", &seen[i]), ONEID_OK);
    (void)oneid_poll(w->client, 0);
    size_t taken = 0, messages = 0;
    while (taken < N) {
        struct fake_message m;
        assert_true(fake_take(&w->fakes[0], &m, FAKE_WAIT_MS));
        struct response *r = calloc(m.n, sizeof *r);
        for (size_t i = 0; i < m.n; i++)
            r[i] = (struct response){.item = (uint32_t)i, .profile = taken + i + 1};
        fake_answer(&w->fakes[0], &m, r, m.n);
        free(r);
        taken += m.n;
        messages++;
        fake_forget(&m);
    }
    assert_true(messages > 1);
    expect_callbacks(w, N);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(seen[i].calls, 1);
        assert_int_equal(seen[i].one_id, i + 1);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_submit_is_answered_once_from_poll),
        T(test_cancel_ends_the_call_and_tells_the_router),
        T(test_monstrous_expressions_go_to_no_router),
        T(test_interrupt_ends_all_calls),
        T(test_requests_of_a_turn_share_a_message),
        T(test_answer_that_comes_twice_counts_once),
        T(test_junk_from_a_router_is_ignored),
        T(test_busy_router_is_asked_again_with_the_same_event),
        T(test_busy_until_the_deadline_says_so),
        T(test_refused_request_keeps_the_routers_text),
        T(test_error_of_a_message_is_that_of_all_its_requests),
        T(test_silent_router_is_left_for_the_next),
        T(test_late_answer_of_the_first_router_counts_too),
        T(test_router_that_shuts_down_is_left_at_once),
        T(test_router_that_died_is_left_at_once),
        T(test_dead_router_is_passed_over),
        T(test_client_of_several_routers_looks_at_their_connections),
        T(test_no_word_until_the_deadline_is_unavailable),
        T(test_router_that_spoke_but_not_to_this_is_a_timeout),
        T(test_close_cancels_what_is_in_flight),
        T(test_callback_may_submit_but_neither_poll_nor_block),
        T(test_more_than_may_be_in_flight_is_busy),
        T(test_wrong_arguments_are_refused_with_a_text),
        T(test_open_refuses_wrong_options),
        T(test_descriptor_tells_when_an_answer_is_there),
        T(test_large_load_goes_out_in_several_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
