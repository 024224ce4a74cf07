/* Groups of 1, 3 and 5 replicas under faults. ONEID_SIM_FIRST and ONEID_SIM_SEEDS choose more, and
 * ONEID_SIM_GUARDS_OFF (a set of enum guard) shows which seeds fail without them. */
#include "replica_sim.h"

#include <guard.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <sys/wait.h>
#include <unistd.h>

enum { SEEDS = 150, SEEDS_WITHOUT_GUARD = 120 };

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void add(struct sim_counts *sum, const struct sim_counts *c)
{
    sum->events += c->events;
    sum->elections += c->elections;
    sum->crashes += c->crashes;
    sum->applies += c->applies;
    sum->acknowledged += c->acknowledged;
    sum->truncations += c->truncations;
    sum->installs += c->installs;
    sum->trims += c->trims;
    sum->loads += c->loads;
    sum->reads += c->reads;
    sum->changes += c->changes;
    sum->transfers += c->transfers;
}

static void show(const struct sim_counts *c)
{
    printf("events %llu elections %llu crashes %llu applies %llu acknowledged %llu truncations "
           "%llu installs %llu trims %llu loads %llu reads %llu changes %llu transfers %llu\n",
           (unsigned long long)c->events, (unsigned long long)c->elections,
           (unsigned long long)c->crashes, (unsigned long long)c->applies,
           (unsigned long long)c->acknowledged, (unsigned long long)c->truncations,
           (unsigned long long)c->installs, (unsigned long long)c->trims,
           (unsigned long long)c->loads, (unsigned long long)c->reads,
           (unsigned long long)c->changes, (unsigned long long)c->transfers);
}

static void test_group_keeps_its_promises_under_faults(void **state)
{
    (void)state;
    uint64_t first = number_from("ONEID_SIM_FIRST", 1), n = number_from("ONEID_SIM_SEEDS", SEEDS);
    unsigned off = (unsigned)number_from("ONEID_SIM_GUARDS_OFF", 0);
    struct sim_counts sum = {0};
    unsigned failed = 0;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct sim_options o = {.seed = seed, .guards_off = off};
        struct sim_result r;
        sim_run(&o, &r);
        add(&sum, &r.counts);
        if (r.failed) {
            failed++;
            print_error("seed %llu: %s\n", (unsigned long long)seed, r.what);
        }
    }
    show(&sum);
    assert_int_equal(failed, 0);
    if (n < SEEDS)
        return;
    /* It must have seen what it is there for. */
    assert_true(sum.elections > n && sum.crashes > n && sum.acknowledged > 10 * n);
    assert_true(sum.truncations > 0 && sum.installs > 0 && sum.trims > 0 && sum.loads > 0);
    assert_true(sum.reads > n && sum.changes > n && sum.transfers > 0);
}

static void test_same_seed_gives_the_same_trace(void **state)
{
    (void)state;
    for (uint64_t seed = 7; seed < 10; seed++) {
        struct sim_options o = {.seed = seed};
        struct sim_result a, b;
        sim_run(&o, &a);
        sim_run(&o, &b);
        assert_true(a.trace == b.trace && a.counts.events == b.counts.events);
        o.seed += 1000;
        sim_run(&o, &b);
        assert_true(a.trace != b.trace);
    }
}

/* In a process of its own: without a guard the engine may do anything. */
static bool run_fails(const struct sim_options *o)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sim_result r;
        sim_run(o, &r);
        _exit(r.failed);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status != 0;
}

/* Some guards are needed so often that a few seeds show it; test_replica_guard has all of them. */
static void some_seed_fails_without(enum guard guard)
{
    for (uint64_t seed = 1; seed <= SEEDS_WITHOUT_GUARD; seed++) {
        struct sim_options o = {.seed = seed, .guards_off = guard};
        if (run_fails(&o))
            return;
    }
    fail_msg("no seed fails without guard 0x%x", (unsigned)guard);
}

static void test_changes_need_the_split_guard(void **state)
{
    (void)state;
    some_seed_fails_without(GUARD_SPLIT);
}

static void test_reads_need_the_floor_guard(void **state)
{
    (void)state;
    some_seed_fails_without(GUARD_READ_FLOOR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_group_keeps_its_promises_under_faults),
        cmocka_unit_test(test_same_seed_gives_the_same_trace),
        cmocka_unit_test(test_changes_need_the_split_guard),
        cmocka_unit_test(test_reads_need_the_floor_guard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
