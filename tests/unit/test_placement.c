/* Where the replicas of nodes that come and go are placed. */
#include "placement_rig.h"

/* --- add --- */

static void test_add_gives_the_new_node_its_share_of_replicas_and_first_places(void **state)
{
    (void)state;
    static const struct {
        uint32_t shards, replicas;
        size_t nodes;
    } T[] = {{6, 3, 3}, {6, 1, 3}, {12, 3, 3},  {12, 3, 5},  {7, 1, 2},
             {1, 1, 1}, {9, 5, 5}, {64, 3, 10}, {1024, 3, 7}};
    for (size_t i = 0; i < sizeof T / sizeof *T; i++) {
        first_map(T[i].shards, T[i].nodes, T[i].replicas);
        size_t n = T[i].nodes + 1, share = T[i].shards * T[i].replicas / n;
        uint32_t task = fresh(MAP_TASK_ADD, 100, 0, "tcp://host-100.example:7400");
        assert_int_equal(load_of(100), share);
        assert_int_equal(firsts_of(100), T[i].shards / n);
        assert_int_equal(cluster_map_task_left(&m, task), share);
        assert_int_equal(cluster_map_task(&m, task)->n_shards, share);
        assert_int_equal(state_of(task), share ? MAP_TASK_RUNNING : MAP_TASK_DONE);
        for (node_id k = 1; k < n; k++)
            assert_in_range(load_of(k), share, share + 1);
        settle_all();
        assert_int_equal(state_of(task), MAP_TASK_DONE);
    }
}

static void test_add_takes_the_place_of_the_node_that_it_relieves(void **state)
{
    (void)state;
    first_map(6, 3, 3);
    uint32_t task = fresh(MAP_TASK_ADD, 4, 0, "tcp://10.0.0.1:9");
    assert_string_equal(cluster_map_node(&m, 4)->listen, "tcp://10.0.0.1:9");
    expect_state(4, MAP_NODE_IN);
    for (shard_id i = 0; i < m.n_shards; i++) {
        const struct map_shard *s = &m.shards[i], *was = &before.shards[i];
        int place = cluster_map_place(&m, i, 4);
        assert_int_equal(s->is_moving, place >= 0);
        if (place < 0) {
            assert_memory_equal(s, was, sizeof *s);
            continue;
        }
        assert_int_equal(s->task, task);
        assert_true(s->changed == m.epoch);
        assert_int_equal(s->n_holders, 4);
        assert_int_equal(s->holders[place].since, m.epoch);
        assert_int_equal(s->holders[place].settled, 0);
        assert_int_equal(s->holders[3].node, was->holders[place].node);
        assert_int_equal(s->holders[3].settled, place + 1);
        for (int k = 0; k < 3; k++)
            assert_true(k == place || s->holders[k].node == was->holders[k].node);
    }
}

static void test_add_fills_shards_that_lack_replicas_first_and_leads_its_share(void **state)
{
    (void)state;
    first_map(6, 3, 3);
    fresh(MAP_TASK_REMOVE, 2, 0, "");
    settle_all();
    assert_null(cluster_map_node(&m, 2));
    fresh(MAP_TASK_ADD, 2, 0, "tcp://10.0.0.1:2");
    for (shard_id i = 0; i < m.n_shards; i++)
        assert_int_equal(m.shards[i].n_replicas, 3);
    assert_int_equal(firsts_of(2), 2);
    assert_in_range(firsts_of(1), 1, 3);
    assert_in_range(firsts_of(3), 1, 3);
}

static void test_add_of_a_drained_node_brings_it_in_again_as_the_same_replica(void **state)
{
    (void)state;
    first_map(2, 3, 1);
    uint32_t drain = fresh(MAP_TASK_DRAIN, 1, 0, "");
    expect_wanted(0, 3, 0, 0);
    uint32_t add = fresh(MAP_TASK_ADD, 1, 0, "");
    expect_state(1, MAP_NODE_IN);
    assert_int_equal(state_of(add), MAP_TASK_DONE); /* a share of two thirds is none */
    settle_all();
    assert_int_equal(state_of(drain), MAP_TASK_DONE);

    first_map(8, 2, 1);
    drain = fresh(MAP_TASK_DRAIN, 1, 0, "");
    settle(0);
    fresh(MAP_TASK_ADD, 1, 0, "tcp://10.0.0.1:1");
    assert_int_equal(load_of(1), 4);
    /* The three that it still held come back, and one of node 2. */
    for (shard_id i = 2; i < 8; i += 2) {
        expect_wanted(i, 1, 0, 0);
        assert_int_equal(m.shards[i].holders[0].since, 0);
        assert_int_equal(m.shards[i].holders[1].node, 2);
    }
    assert_int_equal(state_of(drain), MAP_TASK_DONE);
    expect_wanted(0, 1, 0, 0);
    assert_int_equal(m.shards[0].holders[0].since, m.epoch);
}

static void test_add_refuses_bad_nodes_and_endpoints(void **state)
{
    (void)state;
    char longest[MAP_ENDPOINT_MAX + 1];
    first_map(4, 2, 1);
    refuse(MAP_TASK_ADD, 0, 0, "tcp://10.0.0.1:9", ERR_INVALID, "id of one node");
    refuse(MAP_TASK_ADD, 9, 8, "tcp://10.0.0.1:9", ERR_INVALID, "id of one node");
    refuse(MAP_TASK_ADD, 9, 0, "", ERR_INVALID, "node 9: expected \"tcp://host:port\"");
    refuse(MAP_TASK_ADD, 9, 0, "10.0.0.1:9", ERR_INVALID, "tcp://host:port");
    refuse(MAP_TASK_ADD, 9, 0, "tcp://10.0.0.1:65536", ERR_INVALID, "65535");
    refuse(MAP_TASK_ADD, 9, 0, "tcp://0.0.0.0:9", ERR_INVALID, "others can connect");
    refuse(MAP_TASK_ADD, 9, 0, "tcp://10.0.0.1:2", ERR_CONFLICT, "endpoint of node 2");
    refuse(MAP_TASK_ADD, 2, 0, "tcp://10.0.0.1:9", ERR_CONFLICT, "as tcp://10.0.0.1:2");
    refuse((enum map_task_kind)0, 2, 0, "", ERR_INVALID, "kind of task");
    refuse(MAP_TASK_KINDS, 2, 0, "", ERR_INVALID, "kind of task");
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    memcpy(longest, "tcp://", 6);
    memcpy(longest + sizeof longest - 3, ":9", 2);
    refuse(MAP_TASK_ADD, 9, 0, longest, ERR_INVALID, "at most 127 bytes");
    longest[sizeof longest - 4] = ':';
    longest[sizeof longest - 3] = '9';
    longest[sizeof longest - 2] = '\0';
    fresh(MAP_TASK_ADD, 9, 0, longest);
    assert_string_equal(cluster_map_node(&m, 9)->listen, longest);

    struct placement_request q = request(MAP_TASK_ADD, 10, 0, "");
    uint32_t task;
    q.listen = bytes_of("tcp://a:1\0x", 11);
    assert_int_equal(placement_begin(&m, &q, NOW, &task, NULL), ERR_INVALID);
}

static void test_add_needs_room_for_nodes(void **state)
{
    (void)state;
    first_map(4, CLUSTER_NODES_MAX, 1);
    refuse(MAP_TASK_ADD, 999, 0, "tcp://10.0.0.2:1", ERR_CONFLICT, "256 nodes");
}

/* --- drain --- */

static void test_drain_moves_to_the_least_loaded_free_node_of_the_lowest_id(void **state)
{
    (void)state;
    first_map(4, 4, 2); /* 1 2, 2 3, 3 4, 4 1 */
    uint32_t task = fresh(MAP_TASK_DRAIN, 2, 0, "");
    expect_state(2, MAP_NODE_DRAINED);
    expect_wanted(0, 1, 3, 0); /* 3 and 4 are alike */
    expect_wanted(1, 1, 3, 0); /* 1 and 4 have two, 3 has three now */
    expect_wanted(2, 3, 4, 0);
    assert_int_equal(load_of(2), 0);
    assert_int_equal(m.shards[0].holders[2].node, 2);
    assert_int_equal(m.shards[0].holders[2].settled, 2);
    assert_int_equal(cluster_map_task(&m, task)->n_shards, 2);
    settle(0);
    assert_int_equal(state_of(task), MAP_TASK_RUNNING);
    assert_int_equal(cluster_map_task(&m, task)->ended_ms, 0);
    settle(1);
    assert_int_equal(state_of(task), MAP_TASK_DONE);
    assert_int_equal(cluster_map_task(&m, task)->ended_ms, NOW + 1);
    expect_state(2, MAP_NODE_DRAINED);
    assert_null(cluster_map_holder(&m, 0, 2));
}

static void test_drain_refuses_where_nobody_is_free(void **state)
{
    (void)state;
    first_map(4, 3, 3);
    refuse(MAP_TASK_DRAIN, 2, 0, "", ERR_CONFLICT,
           "shard 0 needs 3 other nodes to be on, there are 2: add a node first");
    first_map(4, 1, 1);
    refuse(MAP_TASK_DRAIN, 1, 0, "", ERR_CONFLICT,
           "shard 0 needs 1 other node to be on, there are 0");
    refuse(MAP_TASK_DRAIN, 9, 0, "", ERR_NOT_FOUND, "no node 9");
    refuse(MAP_TASK_DRAIN, 1, 0, "tcp://10.0.0.1:1", ERR_INVALID, "endpoint");
    refuse(MAP_TASK_DRAIN, 1, 2, "", ERR_INVALID, "id of one node");
}

static void test_drain_of_an_empty_node_is_done_at_once(void **state)
{
    (void)state;
    first_map(2, 3, 1);
    uint32_t task = fresh(MAP_TASK_DRAIN, 3, 0, "");
    assert_int_equal(state_of(task), MAP_TASK_DONE);
    assert_int_equal(cluster_map_task(&m, task)->ended_ms, NOW);
    expect_state(3, MAP_NODE_DRAINED);
    fresh(MAP_TASK_DRAIN, 1, 0, "");
    expect_wanted(0, 2, 0, 0); /* not 3 */
    refuse(MAP_TASK_DRAIN, 2, 0, "", ERR_CONFLICT, "shard 0 needs 1 other node");
}

/* --- remove --- */

static void test_remove_moves_and_strikes_off_with_the_last_shard(void **state)
{
    (void)state;
    first_map(4, 4, 2);
    uint32_t task = fresh(MAP_TASK_REMOVE, 2, 0, "");
    expect_state(2, MAP_NODE_LEAVING);
    expect_wanted(0, 1, 3, 0);
    settle(0);
    expect_state(2, MAP_NODE_LEAVING);
    settle(1);
    assert_null(cluster_map_node(&m, 2));
    assert_int_equal(m.n_nodes, 3);
    assert_int_equal(state_of(task), MAP_TASK_DONE);
}

static void test_remove_leaves_fewer_replicas_where_nobody_is_free_but_never_none(void **state)
{
    (void)state;
    first_map(3, 3, 3);
    fresh(MAP_TASK_REMOVE, 2, 0, "");
    expect_wanted(0, 1, 3, 0);
    expect_wanted(1, 3, 1, 0);
    expect_wanted(2, 3, 1, 0);
    settle_all();
    fresh(MAP_TASK_REMOVE, 3, 0, "");
    expect_wanted(1, 1, 0, 0);
    settle_all();
    refuse(MAP_TASK_REMOVE, 1, 0, "", ERR_CONFLICT, "shard 0 needs 1 other node to be on");
    refuse(MAP_TASK_REMOVE, 2, 0, "tcp://10.0.0.1:2", ERR_INVALID, "endpoint");
    assert_int_equal(m.n_nodes, 1);
}

static void test_remove_of_an_empty_node_strikes_it_off_at_once(void **state)
{
    (void)state;
    first_map(2, 3, 1);
    uint32_t task = fresh(MAP_TASK_REMOVE, 3, 0, "");
    assert_null(cluster_map_node(&m, 3));
    assert_int_equal(state_of(task), MAP_TASK_DONE);
    refuse(MAP_TASK_REMOVE, 4, 0, "", ERR_NOT_FOUND, "no node 4");
}

static void test_remove_takes_over_what_a_drain_still_moves(void **state)
{
    (void)state;
    first_map(8, 2, 1);
    uint32_t drain = fresh(MAP_TASK_DRAIN, 2, 0, "");
    settle(1);
    uint32_t remove = fresh(MAP_TASK_REMOVE, 2, 0, "");
    assert_int_equal(state_of(drain), MAP_TASK_DONE);
    assert_int_equal(cluster_map_task_left(&m, remove), 3);
    settle_all();
    assert_int_equal(state_of(remove), MAP_TASK_DONE);
    assert_null(cluster_map_node(&m, 2));
}

/* --- replace --- */

static void test_replace_puts_the_other_in_the_same_places(void **state)
{
    (void)state;
    first_map(6, 3, 3);
    uint32_t task = fresh(MAP_TASK_REPLACE, 2, 9, "tcp://10.0.0.1:9");
    expect_state(2, MAP_NODE_LEAVING);
    expect_state(9, MAP_NODE_IN);
    for (shard_id i = 0; i < m.n_shards; i++)
        assert_int_equal(cluster_map_place(&m, i, 9), cluster_map_place(&before, i, 2));
    assert_int_equal(cluster_map_task(&m, task)->n_shards, 6);
    settle_all();
    assert_null(cluster_map_node(&m, 2));
    assert_int_equal(state_of(task), MAP_TASK_DONE);
}

static void test_replace_by_a_node_that_is_there(void **state)
{
    (void)state;
    first_map(2, 4, 1);
    fresh(MAP_TASK_DRAIN, 4, 0, "");
    fresh(MAP_TASK_REPLACE, 1, 4, "");
    expect_state(4, MAP_NODE_IN); /* drained before */
    expect_wanted(0, 4, 0, 0);
    uint32_t task = fresh(MAP_TASK_REPLACE, 3, 2, "tcp://10.0.0.1:2");
    assert_int_equal(state_of(task), MAP_TASK_DONE); /* it had nothing */
    assert_null(cluster_map_node(&m, 3));
}

static void test_replace_refuses_what_cannot_be(void **state)
{
    (void)state;
    first_map(6, 4, 3);
    refuse(MAP_TASK_REPLACE, 1, 2, "", ERR_CONFLICT,
           "node 2 is on shard 0 already, in which it should take the place of node 1");
    refuse(MAP_TASK_REPLACE, 1, 1, "", ERR_INVALID, "another one to replace it");
    refuse(MAP_TASK_REPLACE, 1, 0, "", ERR_INVALID, "another one to replace it");
    refuse(MAP_TASK_REPLACE, 1, 9, "", ERR_INVALID, "node 9: expected");
    refuse(MAP_TASK_REPLACE, 8, 9, "tcp://10.0.0.1:9", ERR_NOT_FOUND, "no node 8");
    fresh(MAP_TASK_DRAIN, 1, 0, "");
    refuse(MAP_TASK_REPLACE, 1, 9, "tcp://10.0.0.1:9", ERR_CONFLICT, "node 1 is drained");
}

static void test_replace_is_done_when_the_node_has_nothing_left(void **state)
{
    (void)state;
    first_map(4, 2, 1); /* 1 2 1 2 */
    uint32_t add = fresh(MAP_TASK_ADD, 3, 0, "tcp://10.0.0.1:3");
    expect_wanted(0, 3, 0, 0); /* node 1 still has it */
    uint32_t replace = fresh(MAP_TASK_REPLACE, 1, 9, "tcp://10.0.0.1:9");
    expect_wanted(0, 3, 0, 0);
    expect_wanted(2, 9, 0, 0);
    assert_int_equal(cluster_map_task(&m, replace)->n_shards, 2);
    assert_int_equal(state_of(add), MAP_TASK_DONE);
    settle(2);
    assert_int_equal(state_of(replace), MAP_TASK_RUNNING);
    expect_state(1, MAP_NODE_LEAVING);
    settle(0);
    assert_int_equal(state_of(replace), MAP_TASK_DONE);
    assert_null(cluster_map_node(&m, 1));
}

static void test_nodes_that_leave_take_part_in_nothing(void **state)
{
    (void)state;
    first_map(6, 4, 1);
    uint32_t task = fresh(MAP_TASK_REMOVE, 1, 0, "");
    refuse(MAP_TASK_ADD, 1, 0, "", ERR_CONFLICT, "node 1 is leaving");
    refuse(MAP_TASK_DRAIN, 1, 0, "", ERR_CONFLICT, "node 1 is leaving");
    refuse(MAP_TASK_REPLACE, 1, 2, "", ERR_CONFLICT, "node 1 is leaving");
    refuse(MAP_TASK_REPLACE, 2, 1, "", ERR_CONFLICT, "node 1 is leaving");
    refuse(MAP_TASK_ADD, 9, 0, "tcp://10.0.0.1:1", ERR_CONFLICT, "endpoint of node 1");
    assert_int_equal(begin(MAP_TASK_REMOVE, 1, 0, ""), task);
    settle_all();
    fresh(MAP_TASK_ADD, 9, 0, "tcp://10.0.0.1:1");
}

/* --- tasks that meet --- */

static void test_newer_task_has_its_way_and_what_came_between_is_given_up(void **state)
{
    (void)state;
    first_map(2, 2, 1);
    uint32_t first = fresh(MAP_TASK_REPLACE, 1, 3, "tcp://10.0.0.1:3");
    uint64_t since = m.epoch;
    uint32_t second = fresh(MAP_TASK_REPLACE, 3, 4, "tcp://10.0.0.1:4");
    assert_int_equal(state_of(first), MAP_TASK_DONE);
    assert_int_equal(state_of(second), MAP_TASK_RUNNING);
    expect_wanted(0, 4, 0, 0);
    const struct map_shard *s = &m.shards[0];
    assert_int_equal(s->n_holders, 3);
    assert_int_equal(s->holders[0].since, m.epoch);
    assert_int_equal(cluster_map_holder(&m, 0, 3)->since, since);
    assert_int_equal(cluster_map_holder(&m, 0, 3)->settled, 0);
    assert_int_equal(cluster_map_holder(&m, 0, 1)->settled, 1);
    assert_false(placement_settle(&m, 0, since, NOW)); /* not what is wanted any more */
    settle(0);
    assert_null(cluster_map_node(&m, 1));
    assert_null(cluster_map_node(&m, 3));
    assert_int_equal(state_of(second), MAP_TASK_DONE);
}

static void test_older_task_goes_on_with_what_is_left_to_it(void **state)
{
    (void)state;
    first_map(4, 2, 1); /* 1 2 1 2 */
    uint32_t drain = fresh(MAP_TASK_DRAIN, 1, 0, "");
    uint32_t add = fresh(MAP_TASK_ADD, 3, 0, "tcp://10.0.0.1:3");
    assert_int_equal(load_of(3), 2);
    assert_int_equal(cluster_map_task_left(&m, drain) + cluster_map_task_left(&m, add), 4);
    assert_int_equal(state_of(drain), MAP_TASK_RUNNING);
    /* Shards that stood still were taken first. */
    expect_wanted(1, 3, 0, 0);
    expect_wanted(3, 3, 0, 0);
    settle(0);
    settle(2);
    assert_int_equal(state_of(drain), MAP_TASK_DONE);
    assert_int_equal(state_of(add), MAP_TASK_RUNNING);
}

static void test_shards_have_room_for_so_many_that_come_and_go(void **state)
{
    (void)state;
    char listen[32];
    first_map(1, 1, 1);
    for (node_id i = 1; i < MAP_HOLDERS_MAX; i++) {
        (void)snprintf(listen, sizeof listen, "tcp://10.0.0.1:%d", i + 1);
        fresh(MAP_TASK_REPLACE, i, (node_id)(i + 1), listen);
    }
    assert_int_equal(m.shards[0].n_holders, MAP_HOLDERS_MAX);
    refuse(MAP_TASK_REPLACE, MAP_HOLDERS_MAX, 99, "tcp://10.0.0.1:99", ERR_CONFLICT,
           "wait until it is settled, or cancel task 15");
    settle_all();
    assert_int_equal(m.n_nodes, 1);
    fresh(MAP_TASK_REPLACE, MAP_HOLDERS_MAX, 99, "tcp://10.0.0.1:99");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_gives_the_new_node_its_share_of_replicas_and_first_places),
        cmocka_unit_test(test_add_takes_the_place_of_the_node_that_it_relieves),
        cmocka_unit_test(test_add_fills_shards_that_lack_replicas_first_and_leads_its_share),
        cmocka_unit_test(test_add_of_a_drained_node_brings_it_in_again_as_the_same_replica),
        cmocka_unit_test(test_add_refuses_bad_nodes_and_endpoints),
        cmocka_unit_test(test_add_needs_room_for_nodes),
        cmocka_unit_test(test_drain_moves_to_the_least_loaded_free_node_of_the_lowest_id),
        cmocka_unit_test(test_drain_refuses_where_nobody_is_free),
        cmocka_unit_test(test_drain_of_an_empty_node_is_done_at_once),
        cmocka_unit_test(test_remove_moves_and_strikes_off_with_the_last_shard),
        cmocka_unit_test(test_remove_leaves_fewer_replicas_where_nobody_is_free_but_never_none),
        cmocka_unit_test(test_remove_of_an_empty_node_strikes_it_off_at_once),
        cmocka_unit_test(test_remove_takes_over_what_a_drain_still_moves),
        cmocka_unit_test(test_replace_puts_the_other_in_the_same_places),
        cmocka_unit_test(test_replace_by_a_node_that_is_there),
        cmocka_unit_test(test_replace_refuses_what_cannot_be),
        cmocka_unit_test(test_replace_is_done_when_the_node_has_nothing_left),
        cmocka_unit_test(test_nodes_that_leave_take_part_in_nothing),
        cmocka_unit_test(test_newer_task_has_its_way_and_what_came_between_is_given_up),
        cmocka_unit_test(test_older_task_goes_on_with_what_is_left_to_it),
        cmocka_unit_test(test_shards_have_room_for_so_many_that_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
