/* Tasks that change a placement: asked for again, cancelled, settled, remembered. */
#include "placement_rig.h"

/* --- the same request again --- */

static void again(enum map_task_kind kind, node_id node, node_id other, const char *listen,
                  uint32_t task)
{
    assert_int_equal(begin(kind, node, other, listen), task);
    expect_unchanged();
}

static void test_same_request_is_the_same_task_while_its_effect_stands(void **state)
{
    (void)state;
    first_map(8, 3, 1);
    uint32_t add = fresh(MAP_TASK_ADD, 4, 0, "tcp://10.0.0.1:4");
    again(MAP_TASK_ADD, 4, 0, "tcp://10.0.0.1:4", add);
    again(MAP_TASK_ADD, 4, 0, "", add);
    settle_all();
    again(MAP_TASK_ADD, 4, 0, "tcp://10.0.0.1:4", add);
    refuse(MAP_TASK_ADD, 4, 0, "tcp://10.0.0.1:5", ERR_CONFLICT, "as tcp://10.0.0.1:4");

    uint32_t drain = fresh(MAP_TASK_DRAIN, 4, 0, "");
    again(MAP_TASK_DRAIN, 4, 0, "", drain);
    settle_all();
    again(MAP_TASK_DRAIN, 4, 0, "", drain);
    fresh(MAP_TASK_ADD, 4, 0, "");
    uint32_t remove = fresh(MAP_TASK_REMOVE, 4, 0, "");
    again(MAP_TASK_REMOVE, 4, 0, "", remove);
    settle_all();
    again(MAP_TASK_REMOVE, 4, 0, "", remove); /* it is gone */

    uint32_t replace = fresh(MAP_TASK_REPLACE, 3, 4, "tcp://10.0.0.1:4");
    again(MAP_TASK_REPLACE, 3, 4, "tcp://10.0.0.1:4", replace);
    settle_all();
    again(MAP_TASK_REPLACE, 3, 4, "", replace);
    refuse(MAP_TASK_REPLACE, 3, 2, "", ERR_NOT_FOUND, "no node 3");
    fresh(MAP_TASK_DRAIN, 4, 0, "");
    refuse(MAP_TASK_REPLACE, 3, 4, "", ERR_NOT_FOUND, "no node 3");
}

static void test_same_request_is_a_new_task_after_what_undid_it(void **state)
{
    (void)state;
    first_map(8, 3, 1);
    uint32_t task = fresh(MAP_TASK_DRAIN, 3, 0, "");
    cancel(task);
    fresh(MAP_TASK_DRAIN, 3, 0, "");
    settle_all();
    fresh(MAP_TASK_ADD, 3, 0, "");
    settle_all();
    task = fresh(MAP_TASK_DRAIN, 3, 0, "");
    cancel(task);
    settle_all();
    fresh(MAP_TASK_ADD, 3, 0, ""); /* not the ADD before the DRAIN, though it is IN again */
}

/* --- cancelling --- */

static void test_cancel_wants_what_was_settled_in_its_order(void **state)
{
    (void)state;
    first_map(3, 4, 3); /* 1 2 3, 2 3 4, 3 4 1 */
    uint32_t task = fresh(MAP_TASK_DRAIN, 3, 0, "");
    expect_wanted(0, 1, 2, 4);
    uint64_t since = m.epoch;
    settle(1);
    cancel(task);
    assert_int_equal(state_of(task), MAP_TASK_CANCELLING);
    expect_state(3, MAP_NODE_IN);
    expect_wanted(0, 1, 2, 3);
    expect_wanted(1, 2, 1, 4); /* was settled */
    expect_wanted(2, 3, 4, 1);
    assert_false(m.shards[1].is_moving);
    assert_true(m.shards[0].changed == m.epoch);
    assert_int_equal(cluster_map_holder(&m, 0, 3)->since, 0);
    assert_int_equal(cluster_map_holder(&m, 0, 4)->since, since); /* to be given up */
    before = m;
    assert_int_equal(placement_cancel(&m, task, NOW, NULL), ERR_OK);
    expect_unchanged();
    settle(0);
    assert_int_equal(state_of(task), MAP_TASK_CANCELLING);
    settle(2);
    assert_int_equal(state_of(task), MAP_TASK_CANCELLED);
    assert_int_equal(cluster_map_task(&m, task)->ended_ms, NOW + 1);
    before = m;
    assert_int_equal(placement_cancel(&m, task, NOW, NULL), ERR_OK);
    expect_unchanged();
}

static void test_cancel_of_an_add_leaves_the_node_drained_if_it_got_nothing(void **state)
{
    (void)state;
    first_map(8, 3, 1);
    uint32_t task = fresh(MAP_TASK_ADD, 4, 0, "tcp://10.0.0.1:4");
    cancel(task);
    expect_state(4, MAP_NODE_DRAINED);
    settle_all();
    uint32_t remove = fresh(MAP_TASK_REMOVE, 4, 0, "");
    assert_int_equal(state_of(remove), MAP_TASK_DONE);
    assert_null(cluster_map_node(&m, 4));

    task = fresh(MAP_TASK_ADD, 4, 0, "tcp://10.0.0.1:4");
    for (shard_id i = 0; i < m.n_shards; i++) {
        if (m.shards[i].is_moving) {
            settle(i);
            break;
        }
    }
    cancel(task);
    expect_state(4, MAP_NODE_IN);
    assert_int_equal(load_of(4), 1);
}

static void test_cancel_of_remove_and_replace_takes_the_node_back(void **state)
{
    (void)state;
    first_map(3, 3, 3);
    uint32_t task = fresh(MAP_TASK_REMOVE, 2, 0, "");
    cancel(task);
    expect_state(2, MAP_NODE_IN);
    expect_wanted(1, 2, 3, 1);
    settle_all();
    task = fresh(MAP_TASK_REPLACE, 2, 9, "tcp://10.0.0.1:9");
    settle(1);
    cancel(task);
    expect_state(2, MAP_NODE_IN);
    expect_state(9, MAP_NODE_IN); /* it has shard 1 */
    expect_wanted(0, 1, 2, 3);
    expect_wanted(1, 9, 3, 1);
    settle_all();
    task = fresh(MAP_TASK_REPLACE, 2, 7, "tcp://10.0.0.1:7");
    cancel(task);
    expect_state(7, MAP_NODE_DRAINED);
    settle_all();
    assert_int_equal(state_of(task), MAP_TASK_CANCELLED);
    assert_int_equal(m.n_nodes, 5);
}

static void test_cancel_gives_nothing_back_to_nodes_that_others_empty(void **state)
{
    (void)state;
    first_map(1, 3, 1);
    fresh(MAP_TASK_REMOVE, 1, 0, ""); /* to 2 */
    uint32_t task = fresh(MAP_TASK_DRAIN, 2, 0, "");
    expect_wanted(0, 3, 0, 0);
    cancel(task);
    expect_wanted(0, 2, 0, 0); /* not 1, which leaves */
    expect_state(1, MAP_NODE_LEAVING);
    expect_state(2, MAP_NODE_IN);
    settle_all();
    assert_null(cluster_map_node(&m, 1));

    first_map(1, 3, 3);
    fresh(MAP_TASK_REMOVE, 3, 0, "");
    task = fresh(MAP_TASK_REMOVE, 2, 0, "");
    expect_wanted(0, 1, 0, 0);
    cancel(task);
    expect_wanted(0, 1, 2, 0); /* nobody for 3 */

    first_map(1, 1, 1);
    fresh(MAP_TASK_REPLACE, 1, 2, "tcp://10.0.0.1:2");
    task = fresh(MAP_TASK_REPLACE, 2, 3, "tcp://10.0.0.1:3");
    cancel(task);
    expect_wanted(0, 2, 0, 0); /* rather than 3, which came with the task */
    expect_state(3, MAP_NODE_DRAINED);
}

static void test_cancel_keeps_a_newcomer_where_nobody_else_can_stand_in(void **state)
{
    (void)state;
    first_map(2, 1, 1);
    uint32_t task = fresh(MAP_TASK_ADD, 2, 0, "tcp://10.0.0.1:2");
    expect_wanted(0, 2, 0, 0);
    m.nodes[0].state = MAP_NODE_DRAINED;
    cancel(task);
    expect_wanted(0, 2, 0, 0);
    expect_state(2, MAP_NODE_IN);
    settle_all();
    assert_int_equal(state_of(task), MAP_TASK_CANCELLED);
}

static void test_cancel_refuses_what_is_done_or_unknown(void **state)
{
    (void)state;
    struct error err = {0};
    first_map(2, 3, 1);
    uint32_t task = fresh(MAP_TASK_DRAIN, 3, 0, "");
    before = m;
    assert_int_equal(placement_cancel(&m, task, NOW, &err), ERR_CONFLICT);
    assert_non_null(strstr(err.msg, "task 1 is done"));
    assert_int_equal(placement_cancel(&m, 2, NOW, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, "no task 2"));
    expect_unchanged();
}

/* --- settling and the list of tasks --- */

static void test_settle_takes_only_what_is_wanted_now(void **state)
{
    (void)state;
    first_map(4, 2, 1);
    fresh(MAP_TASK_DRAIN, 1, 0, "");
    before = m;
    assert_false(placement_settle(&m, 1, 0, NOW)); /* does not move */
    assert_false(placement_settle(&m, 0, m.epoch + 1, NOW));
    assert_false(placement_settle(&m, 0, m.epoch - 1, NOW));
    assert_false(placement_settle(&m, 4, m.epoch, NOW));
    assert_false(placement_settle(&m, UINT16_MAX, m.epoch, NOW));
    expect_unchanged();
    settle(0);
    before = m;
    assert_false(placement_settle(&m, 0, m.shards[0].changed, NOW));
    expect_unchanged();
}

static void test_tasks_that_ended_are_forgotten_oldest_first(void **state)
{
    (void)state;
    first_map(4, 3, 1);
    uint32_t running = fresh(MAP_TASK_DRAIN, 1, 0, "");
    for (int i = 0; i < 2 * MAP_TASKS_MAX; i++) {
        fresh(MAP_TASK_ADD, 9, 0, "tcp://10.0.0.1:9");
        if (cluster_map_task_left(&m, m.last_task))
            settle_all();
        fresh(MAP_TASK_REMOVE, 9, 0, "");
        for (shard_id k = 0; k < m.n_shards; k++) {
            if (m.shards[k].is_moving && m.shards[k].task != running)
                settle(k);
        }
    }
    assert_int_equal(m.n_tasks, MAP_TASKS_MAX);
    for (size_t i = 0; i < m.n_tasks; i++)
        assert_int_equal(m.tasks[i].id, m.last_task - MAP_TASKS_MAX + 1 + i);
    assert_null(cluster_map_task(&m, running));
}

static void test_running_tasks_are_never_forgotten(void **state)
{
    (void)state;
    char listen[32];
    first_map(40, 40, 1);
    for (node_id i = 1; i <= MAP_TASKS_MAX; i++) {
        (void)snprintf(listen, sizeof listen, "tcp://10.0.0.2:%d", i);
        fresh(MAP_TASK_REPLACE, i, (node_id)(100 + i), listen);
    }
    refuse(MAP_TASK_REPLACE, 40, 200, "tcp://10.0.0.3:1", ERR_CONFLICT, "32 tasks are running");
    cancel(7);
    refuse(MAP_TASK_REPLACE, 40, 200, "tcp://10.0.0.3:1", ERR_CONFLICT, "32 tasks are running");
    settle(6);
    assert_int_equal(state_of(7), MAP_TASK_CANCELLED);
    uint32_t task = fresh(MAP_TASK_REPLACE, 40, 200, "tcp://10.0.0.3:1");
    assert_null(cluster_map_task(&m, 7));
    assert_int_equal(state_of(1), MAP_TASK_RUNNING);
    assert_int_equal(state_of(task), MAP_TASK_RUNNING);
    assert_int_equal(m.n_tasks, MAP_TASKS_MAX);
    /* One that ends another by taking it over has its room. */
    task = fresh(MAP_TASK_REPLACE, 200, 201, "tcp://10.0.0.3:2");
    assert_int_equal(state_of(task), MAP_TASK_RUNNING);
    assert_null(cluster_map_task(&m, task - 1));
}

static void test_epochs_and_ids_that_are_used_up_are_refused(void **state)
{
    (void)state;
    first_map(4, 2, 1);
    m.epoch = UINT32_MAX;
    refuse(MAP_TASK_DRAIN, 1, 0, "", ERR_CONFLICT, "too often");
    first_map(4, 2, 1);
    m.last_task = UINT32_MAX;
    refuse(MAP_TASK_DRAIN, 1, 0, "", ERR_CONFLICT, "too often");
}

static void test_times_are_never_the_not_yet_of_a_task(void **state)
{
    (void)state;
    uint32_t task;
    struct placement_request q = request(MAP_TASK_DRAIN, 3, 0, "");
    first_map(2, 3, 1);
    assert_int_equal(placement_begin(&m, &q, -5, &task, NULL), ERR_OK);
    assert_int_equal(cluster_map_task(&m, task)->began_ms, 1);
    assert_int_equal(cluster_map_task(&m, task)->ended_ms, 1);
}

/* --- as they travel --- */

static void test_apply_does_what_a_change_says(void **state)
{
    (void)state;
    struct error err = {0};
    uint32_t task;
    first_map(4, 3, 1);
    struct placement_change c = {.op = PLACEMENT_BEGIN,
                                 .request = request(MAP_TASK_DRAIN, 1, 0, "")};
    assert_int_equal(placement_apply(&m, &c, NOW, &task, &err), ERR_OK);
    assert_int_equal(task, 1);
    expect_state(1, MAP_NODE_DRAINED);
    c = (struct placement_change){.op = PLACEMENT_SETTLE, .shard = 0, .changed = m.epoch};
    assert_int_equal(placement_apply(&m, &c, NOW, &task, &err), ERR_OK);
    assert_int_equal(task, 0);
    assert_false(m.shards[0].is_moving);
    c = (struct placement_change){.op = PLACEMENT_CANCEL, .task = 1};
    assert_int_equal(placement_apply(&m, &c, NOW, &task, &err), ERR_OK);
    assert_int_equal(task, 1);
    assert_int_equal(state_of(1), MAP_TASK_CANCELLING);
    before = m;
    c = (struct placement_change){.op = PLACEMENT_READ};
    assert_int_equal(placement_apply(&m, &c, NOW, &task, &err), ERR_OK);
    c = (struct placement_change){.op = PLACEMENT_SETTLE, .shard = 1, .changed = 1};
    assert_int_equal(placement_apply(&m, &c, NOW, &task, &err), ERR_OK);
    c = (struct placement_change){.op = PLACEMENT_CANCEL, .task = 5};
    assert_int_equal(placement_apply(&m, &c, NOW, &task, &err), ERR_NOT_FOUND);
    c = (struct placement_change){.op = (enum placement_op)9};
    assert_int_equal(placement_apply(&m, &c, NOW, &task, &err), ERR_INVALID);
    expect_unchanged();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_request_is_the_same_task_while_its_effect_stands),
        cmocka_unit_test(test_same_request_is_a_new_task_after_what_undid_it),
        cmocka_unit_test(test_cancel_wants_what_was_settled_in_its_order),
        cmocka_unit_test(test_cancel_of_an_add_leaves_the_node_drained_if_it_got_nothing),
        cmocka_unit_test(test_cancel_of_remove_and_replace_takes_the_node_back),
        cmocka_unit_test(test_cancel_gives_nothing_back_to_nodes_that_others_empty),
        cmocka_unit_test(test_cancel_keeps_a_newcomer_where_nobody_else_can_stand_in),
        cmocka_unit_test(test_cancel_refuses_what_is_done_or_unknown),
        cmocka_unit_test(test_settle_takes_only_what_is_wanted_now),
        cmocka_unit_test(test_tasks_that_ended_are_forgotten_oldest_first),
        cmocka_unit_test(test_running_tasks_are_never_forgotten),
        cmocka_unit_test(test_epochs_and_ids_that_are_used_up_are_refused),
        cmocka_unit_test(test_times_are_never_the_not_yet_of_a_task),
        cmocka_unit_test(test_apply_does_what_a_change_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
