/* Several processes begin together, and what they measured is added up. */
#include "load_rig.h"

#include <load/processes.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 3 };

enum how { WELL, FAILS_BEFORE, FAILS_AFTER, DIES_BEFORE, DIES_AFTER };

/* What process 1 (counted from 0) does; the others do well. */
static enum error_code work(void *ctx, uint32_t index, usec_t (*await)(void *await_ctx),
                            void *await_ctx, struct result *out, struct error *err)
{
    enum how how = index == 1 ? *(const enum how *)ctx : WELL;
    if (how == FAILS_BEFORE)
        return error_set(err, ERR_USAGE, "cannot begin");
    if (how == DIES_BEFORE)
        raise(SIGKILL);
    usec_t start = await(await_ctx), now = clock_mono_us();
    if (how == DIES_AFTER)
        raise(SIGKILL);
    rig_result(out, index + 1, 10, 1000);
    if (how == FAILS_AFTER)
        return error_set(err, ERR_NOMEM, "cannot end");
    /* The start must lie ahead; its place comes back in a field that sums take the greatest of. */
    out->measure.behind_us = start > now ? start : 0;
    return ERR_OK;
}

static void test_results_of_all_are_added_up(void **state)
{
    (void)state;
    enum how how = WELL;
    struct worker w = {&how, work};
    struct result sum, right, more;
    struct error err = {0};
    usec_t began = clock_mono_us();
    if (processes_run(N, &w, &sum, &err))
        fail_msg("%s", err.msg);
    assert_true(sum.measure.behind_us > began);
    rig_result(&right, 1, 10, 1000);
    for (unsigned i = 1; i < N; i++) {
        rig_result(&more, i + 1, 10, 1000);
        assert_int_equal(result_add(&right, &more, &err), ERR_OK);
        result_close(&more);
    }
    right.measure.behind_us = sum.measure.behind_us;
    rig_assert_same(&sum, &right);
    assert_int_equal(sum.measure.processes, N);
    result_close(&sum);
    result_close(&right);
}

static void check_failure(enum how how, const char *says)
{
    struct worker w = {&how, work};
    struct result sum;
    struct error err = {0};
    assert_int_not_equal(processes_run(N, &w, &sum, &err), ERR_OK);
    if (!strstr(err.msg, says) || !strstr(err.msg, "process 2"))
        fail_msg("'%s' does not say '%s'", err.msg, says);
    result_close(&sum);
}

static void test_a_process_that_fails_is_named_with_its_reason(void **state)
{
    (void)state;
    check_failure(FAILS_BEFORE, "cannot begin");
    check_failure(FAILS_AFTER, "cannot end");
}

static void test_a_process_that_dies_is_named(void **state)
{
    (void)state;
    check_failure(DIES_BEFORE, "ended before the start");
    check_failure(DIES_AFTER, "ended without a result");
}

/* Ends at SIGTERM alone; without it the test would run into its timeout. */
static volatile sig_atomic_t told;
static void on_term(int number)
{
    (void)number;
    told = 1;
}

static enum error_code work_until_told(void *ctx, uint32_t index, usec_t (*await)(void *await_ctx),
                                       void *await_ctx, struct result *out, struct error *err)
{
    struct sigaction on = {.sa_handler = on_term};
    sigset_t term, before;
    const pid_t *parent = ctx;
    (void)err;
    sigemptyset(&on.sa_mask);
    sigaction(SIGTERM, &on, NULL);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before);
    (void)await(await_ctx);
    if (index == 0)
        kill(*parent, SIGINT);
    while (!told)
        sigsuspend(&before);
    rig_result(out, index + 1, 3, 1000);
    out->measure.interrupted = true;
    return ERR_OK;
}

static void test_signals_reach_all(void **state)
{
    (void)state;
    pid_t parent = getpid();
    struct worker w = {&parent, work_until_told};
    struct result sum;
    struct error err = {0};
    if (processes_run(N, &w, &sum, &err))
        fail_msg("%s", err.msg);
    assert_true(sum.measure.interrupted);
    assert_int_equal(sum.measure.processes, N);
    result_close(&sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_of_all_are_added_up),
        cmocka_unit_test(test_a_process_that_fails_is_named_with_its_reason),
        cmocka_unit_test(test_a_process_that_dies_is_named),
        cmocka_unit_test(test_signals_reach_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
