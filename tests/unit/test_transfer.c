/* Copies between nodes on a network that loses, doubles, delays, cuts and flips, between processes
 * that die. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "transfer_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_BYTES = 300 * 1000 + 7, MINUTE_MS = 60000 };

static void test_a_copy_arrives_whole(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 1, STATE_BYTES);
    rig_start_fetch(&r, 0, 1, 100);
    assert_true(rig_run(&r, MINUTE_MS));
    rig_check_done(&r, 0);
    struct fetch_status st;
    fetch_get_status(r.fetchers[0].core, &st);
    assert_int_equal(st.state, FETCH_STATE_DONE);
    assert_int_equal(st.written, STATE_BYTES);
    assert_int_equal(st.again, 0);
    assert_int_equal(st.starts, 1);
    while (r.n_flying > 0)
        rig_step(&r);
    assert_int_equal(serve_copies(r.serve), 0); /* closed: gone at once */
    assert_int_equal(rig_files(&r), 0);
    rig_close(&r);
}

static void test_a_copy_of_one_byte_arrives(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 1, 1);
    rig_start_fetch(&r, 0, 0, 1);
    assert_true(rig_run(&r, MINUTE_MS));
    rig_check_done(&r, 0);
    rig_close(&r);
}

static void test_no_more_is_under_way_than_the_window(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 2, STATE_BYTES);
    r.fetch_options.window = 3;
    rig_start_fetch(&r, 0, 1, 100);
    size_t most = 0;
    while (!r.fetchers[0].done) {
        rig_step(&r);
        if (r.n_flying > most)
            most = r.n_flying;
    }
    assert_int_equal(most, 3);
    rig_check_done(&r, 0);
    rig_close(&r);
}

static void test_fetchers_of_one_shard_share_a_copy(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 3, STATE_BYTES);
    rig_start_fetch(&r, 0, 1, 100);
    rig_start_fetch(&r, 1, 1, 90);
    assert_true(rig_run(&r, MINUTE_MS));
    rig_check_done(&r, 0);
    rig_check_done(&r, 1);
    assert_int_equal(r.copies_made, 1);
    while (r.n_flying > 0)
        rig_step(&r);
    assert_int_equal(rig_files(&r), 0);
    rig_close(&r);
}

/* A copy that one of two has closed is still there for the other. */
static void test_a_shared_copy_stays_until_all_have_closed_it(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 4, STATE_BYTES);
    rig_start_fetch(&r, 0, 1, 100);
    while (r.copies_made == 0)
        rig_step(&r);
    r.fetch_options.window = 1; /* slow */
    rig_start_fetch(&r, 1, 1, 100);
    while (!r.fetchers[0].done)
        rig_step(&r);
    assert_false(r.fetchers[1].done);
    assert_true(rig_run(&r, MINUTE_MS));
    rig_check_done(&r, 1);
    assert_int_equal(r.copies_made, 1);
    assert_int_equal(r.fetchers[1].starts, 1);
    rig_close(&r);
}

static void test_a_copy_too_old_for_the_next_is_not_shared(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 5, STATE_BYTES);
    rig_start_fetch(&r, 0, 1, 100);
    while (r.copies_made == 0)
        rig_step(&r);
    r.state[1] = 200;
    rig_start_fetch(&r, 1, 1, 150);
    assert_true(rig_run(&r, MINUTE_MS));
    rig_check_done(&r, 0);
    rig_check_done(&r, 1);
    assert_int_equal(r.copies_made, 2);
    assert_int_equal(r.fetchers[0].got.applied, 100);
    assert_int_equal(r.fetchers[1].got.applied, 200);
    rig_close(&r);
}

static void test_copies_at_once_are_bounded_and_all_get_their_turn(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 6, STATE_BYTES);
    rig_restart_sender(&r, false);
    for (uint16_t i = 0; i < 3; i++)
        rig_start_fetch(&r, i, i, 100);
    assert_true(rig_run(&r, MINUTE_MS));
    for (size_t i = 0; i < 3; i++)
        rig_check_done(&r, i);
    assert_int_equal(r.most_copies, 2);
    rig_close(&r);
}

static void test_an_idle_copy_goes_after_a_minute(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 7, STATE_BYTES);
    rig_start_fetch(&r, 0, 1, 100);
    while (r.copies_made == 0)
        rig_step(&r);
    r.n_fetchers = 0; /* dies */
    r.faults.lost = 1000;
    msec_t died = r.now;
    while (rig_files(&r) > 0)
        rig_step(&r);
    assert_in_range(r.now - died, MINUTE_MS - 1000, MINUTE_MS + 1000);
    assert_int_equal(serve_copies(r.serve), 0);
    rig_close(&r);
}

/* What a fetch left behind when it died does not keep the next one of that node waiting. */
static void test_a_fetcher_that_restarts_needs_no_patience(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 7, STATE_BYTES);
    for (uint64_t i = 0; i < 5; i++) {
        uint64_t made = r.copies_made;
        r.state[1] = 100 + i;
        rig_start_fetch(&r, 0, 1, 100 + i);
        while (r.copies_made == made)
            rig_step(&r);
    }
    assert_true(r.now < MINUTE_MS / 4);
    assert_true(rig_run(&r, MINUTE_MS));
    rig_check_done(&r, 0);
    assert_true(r.most_copies <= 2);
    rig_close(&r);
}

static void test_a_sender_that_restarts_with_its_copy_costs_no_chunk(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 8, STATE_BYTES);
    rig_start_fetch(&r, 0, 1, 100);
    struct fetch_status st;
    do {
        rig_step(&r);
        fetch_get_status(r.fetchers[0].core, &st);
    } while (st.written < STATE_BYTES / 2);
    rig_restart_sender(&r, true);
    assert_true(rig_run(&r, 2 * MINUTE_MS));
    rig_check_done(&r, 0);
    assert_int_equal(r.fetchers[0].starts, 1);
    assert_int_equal(r.copies_made, 1);
    rig_close(&r);
}

static void test_a_sender_without_the_copy_makes_it_begin_again(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 9, STATE_BYTES);
    rig_start_fetch(&r, 0, 1, 100);
    struct fetch_status st;
    do {
        rig_step(&r);
        fetch_get_status(r.fetchers[0].core, &st);
    } while (st.written < STATE_BYTES / 2);
    r.state[1] = 130;
    rig_restart_sender(&r, false);
    assert_true(rig_run(&r, 2 * MINUTE_MS));
    rig_check_done(&r, 0);
    assert_int_equal(r.fetchers[0].starts, 2);
    assert_int_equal(r.fetchers[0].got.applied, 130);
    rig_close(&r);
}

static void test_a_broken_connection_costs_what_was_under_way(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 10, STATE_BYTES);
    rig_start_fetch(&r, 0, 1, 100);
    struct fetch_status st;
    do {
        rig_step(&r);
        fetch_get_status(r.fetchers[0].core, &st);
    } while (st.written < STATE_BYTES / 2);
    r.faults.lost = 1000;
    msec_t back = r.now + 40000;
    while (r.now < back)
        rig_step(&r);
    r.faults.lost = 0;
    assert_true(rig_run(&r, back + MINUTE_MS));
    rig_check_done(&r, 0);
    assert_int_equal(r.fetchers[0].starts, 1);
    rig_close(&r);
}

static void test_a_silent_sender_is_given_up(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 11, STATE_BYTES);
    rig_start_fetch(&r, 0, 1, 100);
    struct fetch_status st;
    do {
        rig_step(&r);
        fetch_get_status(r.fetchers[0].core, &st);
    } while (st.written < STATE_BYTES / 2);
    r.faults.lost = 1000;
    msec_t silent = r.now;
    assert_true(rig_run(&r, 3 * MINUTE_MS));
    assert_true(r.fetchers[0].failed);
    assert_int_equal(r.fetchers[0].error.code, ERR_TIMEOUT);
    assert_in_range(r.now - silent, MINUTE_MS - 1000, MINUTE_MS + 1000);
    rig_close(&r);
}

static void test_damage_that_does_not_end_is_given_up_with_the_reason(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 12, STATE_BYTES);
    rig_start_fetch(&r, 0, 1, 100);
    while (r.fetchers[0].starts == 0)
        rig_step(&r);
    r.faults.flipped = 1000;
    assert_true(rig_run(&r, 3 * MINUTE_MS));
    assert_true(r.fetchers[0].failed);
    assert_non_null(strstr(r.fetchers[0].error.msg, "damaged"));
    rig_close(&r);
}

static void test_a_sender_that_loses_each_copy_is_given_up(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 13, STATE_BYTES);
    rig_start_fetch(&r, 0, 1, 100);
    while (!r.fetchers[0].failed && !r.fetchers[0].done) {
        unsigned starts = r.fetchers[0].starts;
        rig_step(&r);
        if (r.fetchers[0].starts > starts)
            rig_restart_sender(&r, false);
    }
    assert_true(r.fetchers[0].failed);
    assert_int_equal(r.fetchers[0].starts, 5);
    assert_non_null(strstr(r.fetchers[0].error.msg, "does not have the copy"));
    rig_close(&r);
}

static void test_a_sender_whose_state_is_behind_says_so(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 14, STATE_BYTES);
    rig_start_fetch(&r, 0, 1, 101);
    for (msec_t end = r.now + 10000; r.now < end;)
        rig_step(&r);
    assert_false(r.fetchers[0].done || r.fetchers[0].failed);
    assert_true(r.copies_made > 1);
    assert_true(rig_files(&r) <= 1); /* what is too old is not kept */
    r.state[1] = 101;
    assert_true(rig_run(&r, r.now + MINUTE_MS));
    rig_check_done(&r, 0);
    rig_close(&r);
}

static void test_a_sender_without_space_is_asked_again(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 15, STATE_BYTES);
    r.faults.copy_fails = 1000;
    rig_start_fetch(&r, 0, 1, 100);
    for (msec_t end = r.now + 20000; r.now < end;)
        rig_step(&r);
    assert_false(r.fetchers[0].failed);
    r.faults.copy_fails = 0;
    assert_true(rig_run(&r, r.now + MINUTE_MS));
    rig_check_done(&r, 0);

    r.faults.copy_fails = 1000;
    rig_start_fetch(&r, 1, 2, 100);
    assert_true(rig_run(&r, r.now + 3 * MINUTE_MS));
    assert_true(r.fetchers[1].failed);
    assert_non_null(strstr(r.fetchers[1].error.msg, "no space"));
    rig_close(&r);
}

static void test_a_full_disk_is_waited_out_and_costs_nothing(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 16, STATE_BYTES);
    rig_start_fetch(&r, 0, 1, 100);
    struct fetch_status st;
    do {
        rig_step(&r);
        fetch_get_status(r.fetchers[0].core, &st);
    } while (st.written < STATE_BYTES / 2);
    r.fetchers[0].full_until = r.now + 10 * MINUTE_MS; /* longer than silence is borne */
    while (r.now < r.fetchers[0].full_until - 1)
        rig_step(&r);
    assert_int_equal(rig_files(&r), 1); /* and the sender keeps its copy */
    assert_true(rig_run(&r, r.now + MINUTE_MS));
    rig_check_done(&r, 0);
    assert_int_equal(r.fetchers[0].starts, 1);
    rig_close(&r);
}

static void test_what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 17, STATE_BYTES);
    r.fetch_options.size_max = STATE_BYTES - 1;
    rig_start_fetch(&r, 0, 1, 100);
    assert_true(rig_run(&r, MINUTE_MS));
    assert_true(r.fetchers[0].failed);
    assert_int_equal(r.fetchers[0].error.code, ERR_TOO_LARGE);
    rig_close(&r);
}

static void receive(struct rig_fetcher *f, msec_t now, const struct transfer_answer *a,
                    struct fetch_effects *out)
{
    struct buf body = {0};
    transfer_answer_encode(a, &body);
    fetch_receive(f->core, now, buf_bytes(&body), out);
    buf_free(&body);
}

/* A sender that lies: each chunk fits its sum, but the whole is another. */
static void test_a_wrong_whole_is_noticed(void **state)
{
    (void)state;
    struct fetch_options o = {.at_least = 1, .size_max = 1 << 20, .starts_max = 2};
    struct rig_fetcher f = {.core = fetch_new(&o)};
    struct fetch_effects out;
    fetch_start(f.core, 0, &out);
    for (int i = 0; i < 2; i++) {
        struct transfer_copy c = {
            .id = 7, .applied = 1, .size = 3, .chunk_bytes = TRANSFER_CHUNK_MIN, .sum = 12345};
        struct bytes data = bytes_of_str("abc");
        receive(&f, 10, &(struct transfer_answer){.type = TRANSFER_OPENED, .info = c}, &out);
        assert_int_equal(out.list[0].type, FETCH_BEGIN);
        receive(&f, 20,
                &(struct transfer_answer){.type = TRANSFER_CHUNK_DATA,
                                          .info.id = 7,
                                          .sum = transfer_sum_chunk(7, 0, data),
                                          .data = data},
                &out);
        assert_int_equal(out.n, 1);
        assert_int_equal(out.list[0].type, FETCH_WRITE);
        fetch_written(f.core, 20, 0, true, &out);
    }
    assert_int_equal(out.n, 1);
    assert_int_equal(out.list[0].type, FETCH_FAILED);
    assert_non_null(strstr(out.list[0].error->msg, "check sum"));
    fetch_free(f.core);
}

static void test_an_older_copy_than_asked_for_is_refused(void **state)
{
    (void)state;
    struct fetch_options o = {.at_least = 10, .size_max = 1 << 20};
    struct rig_fetcher f = {.core = fetch_new(&o)};
    struct fetch_effects out;
    fetch_start(f.core, 0, &out);
    struct transfer_copy c = {
        .id = 7, .applied = 9, .size = 3, .chunk_bytes = TRANSFER_CHUNK_MIN, .sum = 12345};
    receive(&f, 10, &(struct transfer_answer){.type = TRANSFER_OPENED, .info = c}, &out);
    assert_int_equal(out.list[0].type, FETCH_FAILED);
    fetch_free(f.core);
}

static void test_a_request_for_no_chunk_is_refused(void **state)
{
    (void)state;
    struct serve *s = serve_new(&(struct serve_options){.seed = 1});
    struct transfer_copy c = {
        .id = 7, .applied = 9, .size = 5000, .chunk_bytes = TRANSFER_CHUNK_MIN, .sum = 1};
    assert_true(serve_adopt(s, 0, 4, &c));
    assert_false(serve_adopt(s, 0, 4, &c));
    static const uint64_t OFFSETS[] = {1, 8192, UINT64_MAX, UINT64_MAX / 4096 * 4096};
    struct serve_effects out;
    for (size_t i = 0; i < sizeof OFFSETS / sizeof *OFFSETS; i++) {
        struct buf body = {0};
        transfer_ask_encode(
            &(struct transfer_ask){.type = TRANSFER_READ, .copy = 7, .offset = OFFSETS[i]}, &body);
        serve_request(s, 1, 4, 1, buf_bytes(&body), &out);
        assert_int_equal(out.n, 1);
        assert_int_equal(out.list[0].answer.type, TRANSFER_REFUSED);
        assert_int_equal(out.list[0].answer.code, ERR_MALFORMED);
        serve_request(s, 1, 5, 1, buf_bytes(&body), &out); /* another shard's copy */
        assert_int_equal(out.list[0].answer.type, TRANSFER_GONE);
        buf_free(&body);
    }
    serve_request(s, 1, 4, 1, bytes_of_str("?"), &out);
    assert_int_equal(out.list[0].answer.type, TRANSFER_REFUSED);
    serve_free(s);
}

/* --- random schedules --- */

static void try_seed(uint64_t seed)
{
    struct rig r;
    struct rng g = rng_of_seed(seed);
    rig_open(&r, rng_u64(&g), 1 + rng_below(&g, 200000));
    r.fetch_options.window = 1 + (unsigned)rng_below(&g, 20);
    r.fetch_options.starts_max = 1000;
    r.serve_options.copies_max = 1 + (unsigned)rng_below(&g, 3);
    rig_restart_sender(&r, false);
    r.faults = (struct rig_faults){.lost = (unsigned)rng_below(&g, 300),
                                   .doubled = (unsigned)rng_below(&g, 300),
                                   .late = (unsigned)rng_below(&g, 300),
                                   .cut = (unsigned)rng_below(&g, 100),
                                   .flipped = (unsigned)rng_below(&g, 100),
                                   .sender_restarts = (unsigned)rng_below(&g, 3),
                                   .sender_loses_files = (unsigned)rng_below(&g, 1000),
                                   .fetcher_restarts = (unsigned)rng_below(&g, 2),
                                   .disk_full = (unsigned)rng_below(&g, 10),
                                   .copy_fails = (unsigned)rng_below(&g, 300)};
    size_t n = 1 + rng_below(&g, RIG_FETCHERS);
    for (size_t i = 0; i < n; i++)
        rig_start_fetch(&r, i, (uint16_t)rng_below(&g, RIG_SHARDS), 90 + rng_below(&g, 11));
    msec_t calm = r.now + 20000 + (msec_t)rng_below(&g, 40000);
    while (r.now < calm && !rig_run(&r, r.now + 1000)) {
        r.state[rng_below(&g, RIG_SHARDS)]++;
        for (size_t i = 0; i < n; i++) /* given up: the shard asks anew */
            if (r.fetchers[i].failed)
                rig_start_fetch(&r, i, r.fetchers[i].shard, r.fetchers[i].at_least);
    }
    r.faults = (struct rig_faults){0};
    (void)rig_run(&r, r.now + 2 * MINUTE_MS); /* who was about to give up may do so */
    for (size_t i = 0; i < n; i++)
        if (r.fetchers[i].failed)
            rig_start_fetch(&r, i, r.fetchers[i].shard, r.fetchers[i].at_least);
    assert_true(rig_run(&r, r.now + 5 * MINUTE_MS));
    for (size_t i = 0; i < n; i++)
        rig_check_done(&r, i);
    assert_true(r.most_copies <= r.serve_options.copies_max);
    for (msec_t end = r.now + 2 * MINUTE_MS; r.now < end;)
        rig_step(&r);
    assert_int_equal(rig_files(&r), 0);
    assert_int_equal(serve_next_timeout(r.serve), INT64_MAX);
    rig_close(&r);
}

static void test_random_faults_end_in_whole_copies(void **state)
{
    (void)state;
    const char *n = getenv("ONEID_SIM_SEEDS"), *first = getenv("ONEID_SIM_FIRST");
    uint64_t from = first ? strtoull(first, NULL, 10) : 1;
    uint64_t to = from + (n ? strtoull(n, NULL, 10) : 60);
    for (uint64_t seed = from; seed < to; seed++) {
        (void)fprintf(stderr, "\rseed %llu ", (unsigned long long)seed);
        try_seed(seed);
    }
    (void)fputc('\n', stderr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_copy_arrives_whole),
        cmocka_unit_test(test_a_copy_of_one_byte_arrives),
        cmocka_unit_test(test_no_more_is_under_way_than_the_window),
        cmocka_unit_test(test_fetchers_of_one_shard_share_a_copy),
        cmocka_unit_test(test_a_shared_copy_stays_until_all_have_closed_it),
        cmocka_unit_test(test_a_copy_too_old_for_the_next_is_not_shared),
        cmocka_unit_test(test_copies_at_once_are_bounded_and_all_get_their_turn),
        cmocka_unit_test(test_an_idle_copy_goes_after_a_minute),
        cmocka_unit_test(test_a_fetcher_that_restarts_needs_no_patience),
        cmocka_unit_test(test_a_sender_that_restarts_with_its_copy_costs_no_chunk),
        cmocka_unit_test(test_a_sender_without_the_copy_makes_it_begin_again),
        cmocka_unit_test(test_a_broken_connection_costs_what_was_under_way),
        cmocka_unit_test(test_a_silent_sender_is_given_up),
        cmocka_unit_test(test_damage_that_does_not_end_is_given_up_with_the_reason),
        cmocka_unit_test(test_a_sender_that_loses_each_copy_is_given_up),
        cmocka_unit_test(test_a_sender_whose_state_is_behind_says_so),
        cmocka_unit_test(test_a_sender_without_space_is_asked_again),
        cmocka_unit_test(test_a_full_disk_is_waited_out_and_costs_nothing),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_a_wrong_whole_is_noticed),
        cmocka_unit_test(test_an_older_copy_than_asked_for_is_refused),
        cmocka_unit_test(test_a_request_for_no_chunk_is_refused),
        cmocka_unit_test(test_random_faults_end_in_whole_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
