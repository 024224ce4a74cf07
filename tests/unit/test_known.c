/* Which nodes a router has links to, and whom it asks for a shard. */
#include <route/known.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct cluster_node named[] = {
    {1, "tcp://new:1", ""}, {2, "tcp://b:1", ""}, {9, "tcp://z:1", ""}};

static struct cluster_config config_of(struct cluster_node *nodes, size_t n)
{
    return (struct cluster_config){.nodes = nodes, .n_nodes = n};
}

static void add_node(struct cluster_map *m, node_id id, const char *listen)
{
    struct map_node *n = &m->nodes[m->n_nodes++];
    n->id = id;
    (void)snprintf(n->listen, sizeof n->listen, "%s", listen);
}

static void test_before_there_is_a_map_the_file_names_the_nodes(void **state)
{
    (void)state;
    struct known_nodes k;
    struct cluster_config c = config_of(named, 3);
    known_nodes_list(&c, NULL, &k);
    assert_int_equal(k.n, 3);
    assert_int_equal(k.nodes[2].id, 9);
    assert_string_equal(k.nodes[2].listen, "tcp://z:1");
    assert_false(k.nodes[2].is_in_map);
}

static void test_nodes_of_the_map_and_of_the_file_are_known(void **state)
{
    (void)state;
    struct known_nodes k;
    struct cluster_config c = config_of(named, 3);
    struct cluster_map *m = calloc(1, sizeof *m);
    add_node(m, 1, "tcp://old:1"); /* the file has another address for it */
    add_node(m, 4, "tcp://d:1");   /* it came after the file was written */
    known_nodes_list(&c, m, &k);
    assert_int_equal(k.n, 4);
    assert_int_equal(k.nodes[0].id, 1);
    assert_string_equal(k.nodes[0].listen, "tcp://new:1");
    assert_true(k.nodes[0].is_in_map);
    assert_int_equal(k.nodes[1].id, 4);
    assert_string_equal(k.nodes[1].listen, "tcp://d:1");
    assert_int_equal(k.nodes[2].id, 2);
    assert_false(k.nodes[2].is_in_map);
    assert_int_equal(k.nodes[3].id, 9);
    assert_int_equal(k.n_left_out, 0);
    free(m);
}

static void test_nodes_of_the_map_come_before_others_when_room_is_short(void **state)
{
    (void)state;
    struct known_nodes k;
    struct cluster_config c = config_of(named, 3);
    struct cluster_map *m = calloc(1, sizeof *m);
    for (int i = 0; i < CLUSTER_NODES_MAX - 1; i++)
        add_node(m, (node_id)(1000 + i), "tcp://x:1");
    known_nodes_list(&c, m, &k);
    assert_int_equal(k.n, CLUSTER_NODES_MAX);
    assert_int_equal(k.n_left_out, 2);
    assert_int_equal(k.nodes[CLUSTER_NODES_MAX - 1].id, 1);
    free(m);
}

/* Node 4 is to come, node 3 to go: it is behind those that are wanted, and may lead still. */
static struct map_shard moving_shard(void)
{
    return (struct map_shard){.n_replicas = 3,
                              .n_holders = 4,
                              .is_moving = true,
                              .holders = {{.since = 2, .node = 4},
                                          {.node = 1, .settled = 2},
                                          {.node = 2, .settled = 3},
                                          {.node = 3, .settled = 1}}};
}

static void test_leaders_are_looked_for_among_all_holders(void **state)
{
    (void)state;
    struct map_shard s = moving_shard();
    assert_int_equal(known_holder(&s, 3), 3);
    assert_int_equal(known_holder(&s, 4), 0);
    assert_int_equal(known_holder(&s, 7), -1);
    assert_int_equal(known_first(&s), 1); /* node 4 need not have it yet */
    s.holders[0].settled = 1;
    assert_int_equal(known_first(&s), 0);
    s = (struct map_shard){.n_replicas = 1, .n_holders = 1, .holders = {{.since = 2, .node = 4}}};
    assert_int_equal(known_first(&s), 0);
}

static void test_only_replicas_that_are_there_and_stay_may_say(void **state)
{
    (void)state;
    struct map_shard s = moving_shard();
    assert_false(known_may_say(&s, 0));
    assert_true(known_may_say(&s, 1));
    assert_true(known_may_say(&s, 2));
    assert_false(known_may_say(&s, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_there_is_a_map_the_file_names_the_nodes),
        cmocka_unit_test(test_nodes_of_the_map_and_of_the_file_are_known),
        cmocka_unit_test(test_nodes_of_the_map_come_before_others_when_room_is_short),
        cmocka_unit_test(test_leaders_are_looked_for_among_all_holders),
        cmocka_unit_test(test_only_replicas_that_are_there_and_stay_may_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
