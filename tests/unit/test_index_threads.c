/* Queries beside the writer: each sees the index at one publish point. */
#include "index_rig.h"
#include "tempdir.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MEMBERS = 3000, TAGGED = 100, THREADS = 2, QUERIES = 400 };

struct reader_thread {
    pthread_t thread;
    struct index *ix;
    const struct expr *expr;
    const char *save_path; /* saves now and then, when set */
    uint64_t wrong, failed, last_applied, went_back;
    bool *done;
};

static void *read_counts(void *arg)
{
    struct reader_thread *t = arg;
    struct index_query q = rig_query(t->expr);
    for (int i = 0; i < QUERIES; i++) {
        struct index_count count;
        struct error err;
        if (index_count_members(t->ix, &q, &count, &err) != ERR_OK)
            t->failed++;
        t->wrong += count.members != TAGGED || count.population != MEMBERS;
        t->went_back += count.applied < t->last_applied;
        t->last_applied = count.applied;
        if (t->save_path && i % 100 == 0)
            t->failed += index_save(t->ix, t->save_path, 1, 1, 0, &err) != ERR_OK;
    }
    __atomic_store_n(t->done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* One batch: a tagged member dies, the tag goes to another, and a member is born. The newborn have
 * an order and the tag u until they get the tag t. */
static void move_things(struct rig *r, one_id step)
{
    one_id dying = step + 1, chosen = dying + TAGGED, born = dying + MEMBERS;
    rig_remove(r, dying);
    rig_tag(r, chosen, "t", true);
    if (chosen > MEMBERS) {
        rig_tag(r, chosen, "u", false);
        rig_order(r, chosen, RIG_TODAY, -1, -1000000, "milk", NULL);
    }
    rig_add(r, born);
    rig_tag(r, born, "u", true);
    rig_order(r, born, RIG_TODAY, 1, 1000000, "milk", NULL);
    index_set_applied(r->ix, step + 2);
}

static void run_beside_writer(struct rig *r, const char *text, const char *save_path)
{
    struct reader_thread readers[THREADS] = {0};
    bool done[THREADS] = {false};
    for (one_id m = 1; m <= MEMBERS; m++) {
        rig_add(r, m);
        if (m <= TAGGED)
            rig_tag(r, m, "t", true);
    }
    index_set_applied(r->ix, 1);
    rig_publish(r);
    for (int i = 0; i < THREADS; i++) {
        readers[i] = (struct reader_thread){.ix = r->ix,
                                            .expr = rig_parse(r, text),
                                            .done = &done[i],
                                            .save_path = i ? NULL : save_path};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_counts, &readers[i]), 0);
    }
    one_id step = 0;
    while (!__atomic_load_n(&done[0], __ATOMIC_ACQUIRE) ||
           !__atomic_load_n(&done[1], __ATOMIC_ACQUIRE)) {
        move_things(r, step++);
        while (!index_publish(r->ix))
            continue;
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
        assert_int_equal(readers[i].failed, 0);
        assert_int_equal(readers[i].wrong, 0);
        assert_int_equal(readers[i].went_back, 0);
    }
    assert_int_equal(rig_count(r, "true"), MEMBERS);
}

static void test_index_queries_see_whole_batches(void **state)
{
    run_beside_writer(*state, "tag(t) and not tag(u)", NULL);
}

static void test_index_queries_see_whole_batches_through_metrics_and_negation(void **state)
{
    run_beside_writer(*state, "tag(t) and not (count(order, 7d) >= 1 or tag(u))", NULL);
}

static void test_index_saves_beside_the_writer(void **state)
{
    struct rig *r = *state;
    char *dir = tempdir_make(), path[512];
    (void)snprintf(path, sizeof path, "%s/index", dir);
    run_beside_writer(r, "tag(t)", path);
    rig_renew(r);
    assert_int_equal(index_load(r->ix, path, 1, 1, 0, &r->err), ERR_OK);
    assert_int_equal(rig_count(r, "tag(t)"), TAGGED);
    assert_int_equal(rig_count(r, "true"), MEMBERS);
    tempdir_remove(dir);
}

struct endless_reader {
    pthread_t thread;
    struct index *ix;
    struct index_query query;
    const bool *stop;
    uint64_t answered;
};

static void *read_endlessly(void *arg)
{
    struct endless_reader *t = arg;
    struct index_count count;
    struct error err;
    while (!__atomic_load_n(t->stop, __ATOMIC_ACQUIRE))
        if (index_count_members(t->ix, &t->query, &count, &err) == ERR_OK)
            (void)__atomic_add_fetch(&t->answered, 1, __ATOMIC_ACQ_REL);
    return NULL;
}

static uint64_t answered(const struct endless_reader *readers)
{
    uint64_t n = 0;
    for (int i = 0; i < THREADS; i++)
        n += __atomic_load_n(&readers[i].answered, __ATOMIC_ACQUIRE);
    return n;
}

/* From when the writer has something until it is in, only those queries end that had begun (and
 * those whose end had not been counted yet): readers without a pause do not starve the writer. And
 * each publish lets in who waits: the writer does not starve them. */
static void test_index_neither_readers_nor_the_writer_starve(void **state)
{
    struct rig *r = *state;
    struct endless_reader readers[THREADS] = {0};
    bool stop = false;
    for (one_id m = 1; m <= MEMBERS; m++)
        rig_add(r, m);
    rig_publish(r);
    for (int i = 0; i < THREADS; i++) {
        readers[i] = (struct endless_reader){
            .ix = r->ix, .query = rig_query(rig_parse(r, "true")), .stop = &stop};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_endlessly, &readers[i]), 0);
    }
    uint64_t worst = 0;
    one_id next = MEMBERS;
    while (answered(readers) < QUERIES) {
        rig_add(r, ++next);
        uint64_t before = answered(readers), seen;
        do
            seen = answered(readers);
        while (!index_publish(r->ix));
        worst = seen - before > worst ? seen - before : worst;
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
    assert_true(worst <= 2 * THREADS);
    assert_int_equal(rig_count(r, "true"), next);
}

struct blocked_query {
    struct index *ix;
    struct index_query query;
    enum error_code code;
    uint64_t members;
};

static void *count_once(void *arg)
{
    struct blocked_query *b = arg;
    struct index_count count;
    struct error err;
    b->code = index_count_members(b->ix, &b->query, &count, &err);
    b->members = count.members;
    return NULL;
}

/* A query that starts after a change was taken waits for it. */
static void test_index_query_waits_for_the_changes_before_it(void **state)
{
    struct rig *r = *state;
    pthread_t thread;
    struct blocked_query b = {.ix = r->ix, .query = rig_query(rig_parse(r, "true"))};
    rig_add(r, 1);
    assert_int_equal(pthread_create(&thread, NULL, count_once, &b), 0);
    rig_add(r, 2);
    rig_publish(r);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(b.code, ERR_OK);
    assert_int_equal(b.members, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_index_queries_see_whole_batches),
        TEST(test_index_queries_see_whole_batches_through_metrics_and_negation),
        TEST(test_index_saves_beside_the_writer),
        TEST(test_index_neither_readers_nor_the_writer_starve),
        TEST(test_index_query_waits_for_the_changes_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
