/* Each way in which a cluster is not as it should be is found, and a healthy one has none. */
#include "guard.h"
#include "health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 3, SHARDS = 3, AT = 1000000, LAST = 5000 };

/* What two routers hear of three nodes with three shards: shard s is led by node s + 1. */
struct world {
    struct oneid_member members[SHARDS][NODES];
    struct oneid_replica replicas[NODES][SHARDS];
    struct oneid_node nodes[2][NODES];
    struct oneid_router self[2];
    struct oneid_shard shards[2][SHARDS];
    struct oneid_result status[2], stats[2];
    struct oneid_map_node map_nodes[NODES + 1];
    struct oneid_holder holders[SHARDS][NODES + 1];
    struct oneid_placement placements[SHARDS];
    struct oneid_task task;
    struct oneid_map map;
    struct oneid_result map_answer;
    struct cluster_node named[NODES + 1];
    struct cluster_config config;
    struct survey survey;
};

static void fill_replica(struct world *w, uint16_t node, uint16_t shard)
{
    bool leads = node == shard;
    w->members[shard][node] =
        (struct oneid_member){(uint16_t)(node + 1), 100U + node, ONEID_VOTER, LAST};
    w->replicas[node][shard] = (struct oneid_replica){.shard = shard,
                                                      .folder = 100U + node,
                                                      .is_leader = leads,
                                                      .leader = (uint16_t)(shard + 1),
                                                      .wanted = (uint16_t)(shard + 1),
                                                      .wanted_voters = NODES,
                                                      .term = 5,
                                                      .last = LAST,
                                                      .led_ms = leads ? 100000 : 0,
                                                      .members = w->members[shard],
                                                      .n_members = NODES,
                                                      .memtable_limit = 64 << 20,
                                                      .catalogue = 3};
}

static void fill_router(struct world *w, int r)
{
    for (uint16_t i = 0; i < NODES; i++)
        w->nodes[r][i] = (struct oneid_node){.node = (uint16_t)(i + 1),
                                             .answers = true,
                                             .text = "",
                                             .heard_ms = AT,
                                             .wall_ms = AT - r, /* the first router heard it last */
                                             .folder = 100U + i,
                                             .map_epoch = 1,
                                             .map_digest = 11,
                                             .schema_digest = 22,
                                             .disk_free = 50,
                                             .disk_total = 100,
                                             .checkpoint_seconds = 60,
                                             .replicas = w->replicas[i],
                                             .n_replicas = SHARDS};
    w->self[r] =
        (struct oneid_router){.wall_ms = AT, .map_epoch = 1, .map_digest = 11, .schema_digest = 22};
    w->status[r] =
        (struct oneid_result){.nodes = w->nodes[r], .n_nodes = NODES, .router = &w->self[r]};
    for (uint16_t s = 0; s < SHARDS; s++)
        w->shards[r][s] = (struct oneid_shard){.shard = s, .reachable = true};
    w->stats[r] = (struct oneid_result){.shards = w->shards[r], .n_shards = SHARDS};
    w->survey.routers[r] = (struct router_state){.endpoint = r ? "tcp://b:1" : "tcp://a:1",
                                                 .answers = true,
                                                 .asked_ms = AT,
                                                 .heard_ms = AT,
                                                 .status = &w->status[r],
                                                 .stats = &w->stats[r]};
}

static void fill_map(struct world *w)
{
    static const char *const ENDPOINTS[] = {"tcp://a:1", "tcp://b:1", "tcp://c:1", "tcp://d:1"};
    for (uint16_t i = 0; i <= NODES; i++) {
        w->map_nodes[i] =
            (struct oneid_map_node){.node = (uint16_t)(i + 1), .endpoint = ENDPOINTS[i]};
        w->named[i] = (struct cluster_node){(node_id)(i + 1), ENDPOINTS[i], ""};
    }
    for (uint16_t s = 0; s < SHARDS; s++) {
        for (uint16_t i = 0; i < NODES; i++)
            w->holders[s][i] = (struct oneid_holder){(uint16_t)(i + 1), true, true};
        w->placements[s] =
            (struct oneid_placement){.shard = s, .holders = w->holders[s], .n_holders = NODES};
    }
    w->map = (struct oneid_map){.epoch = 1,
                                .n_replicas = NODES,
                                .nodes = w->map_nodes,
                                .n_nodes = NODES,
                                .tasks = &w->task,
                                .shards = w->placements,
                                .n_shards = SHARDS};
    w->map_answer = (struct oneid_result){.map = &w->map};
    w->config = (struct cluster_config){.nodes = w->named, .n_nodes = NODES};
    for (int r = 0; r < 2; r++)
        w->survey.routers[r].map = &w->map_answer;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    for (uint16_t n = 0; n < NODES; n++)
        for (uint16_t s = 0; s < SHARDS; s++)
            fill_replica(w, n, s);
    fill_router(w, 0);
    fill_router(w, 1);
    fill_map(w);
    w->survey.n_routers = w->survey.n_answers = 2;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

/* The findings are exactly these; returns the first. */
static struct finding found(const struct world *w, const struct survey *before, size_t n,
                            enum finding_kind kind)
{
    struct findings f = {0};
    health_check(&w->survey, before, &f);
    for (size_t i = 0; i < f.n; i++) {
        if (i >= n || f.list[i].kind != kind)
            print_message("%s: %s\n", finding_name(f.list[i].kind), f.list[i].what);
        assert_true(f.list[i].what[0] && f.list[i].mend[0]);
    }
    assert_int_equal(f.n, n);
    struct finding first = n ? f.list[0] : (struct finding){.kind = kind};
    findings_close(&f);
    assert_int_equal(first.kind, kind);
    return first;
}

static void lose_node(struct world *w, int router, int node)
{
    w->nodes[router][node].answers = false;
    w->nodes[router][node].text = "no connection";
}

static void test_a_healthy_cluster_has_no_findings(void **state)
{
    (void)found(*state, NULL, 0, FINDING_ROUTER_AWAY);
}

static void test_routers_that_are_away(void **state)
{
    struct world *w = *state;
    w->survey.routers[1].answers = false;
    w->survey.routers[1].status = w->survey.routers[1].stats = w->survey.routers[1].map = NULL;
    assert_int_equal(found(w, NULL, 1, FINDING_ROUTER_AWAY).router, 2);
    w->survey.routers[0].answers = false; /* nobody says anything of the rest */
    w->survey.routers[0].status = w->survey.routers[0].stats = NULL;
    (void)found(w, NULL, 2, FINDING_ROUTER_AWAY);
}

static void test_nodes_that_are_away_or_cut_off(void **state)
{
    struct world *w = *state;
    lose_node(w, 0, 1);
    struct finding f = found(w, NULL, 1, FINDING_NODE_CUT_OFF);
    assert_true(f.node == 2 && f.router == 1);
    lose_node(w, 1, 1);
    /* shard 1, which it led, is led by node 1 since */
    w->replicas[0][1].is_leader = true;
    w->replicas[0][1].led_ms = 1000;
    f = found(w, NULL, 1, FINDING_NODE_AWAY);
    assert_int_equal(f.node, 2);
    assert_non_null(strstr(f.what, "node 2 does not answer: no connection, at tcp://b:1"));
    assert_non_null(strstr(f.mend, "oneidctl node replace 2 NEW ENDPOINT"));
}

static void test_shards_without_a_leader_and_why(void **state)
{
    struct world *w = *state;
    w->replicas[2][2].is_leader = false;
    struct finding f = found(w, NULL, 1, FINDING_NO_LEADER);
    assert_int_equal(f.shard, 3);
    assert_non_null(strstr(f.mend, "election"));
    for (int r = 0; r < 2; r++) {
        lose_node(w, r, 1);
        lose_node(w, r, 2);
    }
    struct findings all = {0};
    health_check(&w->survey, NULL,
                 &all); /* two nodes; shards 1 and 2; shard 0 still claims to lead */
    assert_int_equal(all.n, 4);
    assert_int_equal(all.list[2].kind, FINDING_NO_LEADER);
    assert_non_null(strstr(all.list[2].mend, "1 of 3"));
    findings_close(&all);
}

static void test_the_leader_of_the_newest_term_counts(void **state)
{
    struct world *w = *state;
    uint16_t node = 0;
    w->replicas[1][0].is_leader = true; /* after node 1, which does not know yet */
    w->replicas[1][0].term = 6;
    assert_non_null(survey_leader(&w->survey, 0, &node));
    assert_int_equal(node, 2);
}

static void test_voters_members_and_folders(void **state)
{
    struct world *w = *state;
    w->members[1][2].role = ONEID_SPARE;
    assert_int_equal(found(w, NULL, 1, FINDING_FEW_VOTERS).shard, 2);
    w->members[1][2].role = ONEID_VOTER;
    w->members[1][2].folder = 7;
    assert_int_equal(found(w, NULL, 1, FINDING_MEMBER_LOST).node, 3);
    w->members[1][2].folder = 101; /* a second one of node 2 */
    w->members[1][2].node = 2;
    assert_int_equal(found(w, NULL, 1, FINDING_MEMBER_LOST).node, 2);
}

/* It was just started. */
static void test_a_node_that_answers_without_its_shards(void **state)
{
    struct world *w = *state;
    for (int router = 0; router < 2; router++)
        w->nodes[router][1].n_replicas = SHARDS - 1;
    struct finding f = found(w, NULL, 1, FINDING_MEMBER_LOST);
    assert_true(f.shard == SHARDS && f.node == 2);
}

static void test_replicas_that_lag(void **state)
{
    struct world *w = *state;
    w->members[0][1].match = LAST - HEALTH_LAG_ENTRIES;
    (void)found(w, NULL, 0, FINDING_ROUTER_AWAY);
    w->members[0][1].match--;
    struct finding f = found(w, NULL, 1, FINDING_REPLICA_LAGS);
    assert_true(f.shard == 1 && f.node == 2);
    f = found(w, &w->survey /* nothing has moved since */, 1, FINDING_REPLICA_LAGS);
    assert_non_null(strstr(f.what, "stands still"));
    w->members[0][1].role = ONEID_STANDBY;
    struct findings all = {0};
    health_check(&w->survey, NULL, &all);
    assert_int_equal(all.n, 2);
    assert_int_equal(all.list[0].kind, FINDING_FEW_VOTERS);
    assert_int_equal(all.list[1].kind, FINDING_STANDBY);
    findings_close(&all);
}

static void test_leaders_that_are_elsewhere(void **state)
{
    struct world *w = *state;
    w->replicas[1][1].is_leader = false;
    w->replicas[0][1].is_leader = true;
    w->replicas[0][1].led_ms = HEALTH_ELSEWHERE_MS - 1;
    (void)found(w, NULL, 0, FINDING_ROUTER_AWAY);
    w->replicas[0][1].led_ms++;
    struct finding f = found(w, NULL, 1, FINDING_LEADER_ELSEWHERE);
    assert_int_equal(f.fix, FIX_LEADER);
    assert_string_equal(f.mend, "oneidctl leader 1 2");
}

static void test_disks_and_checkpoints(void **state)
{
    struct world *w = *state;
    w->nodes[0][0].disk_full = true;
    assert_int_equal(found(w, NULL, 1, FINDING_DISK_FULL).node, 1);
    w->nodes[0][0].disk_full = false;
    w->nodes[0][0].disk_free = 4;
    (void)found(w, NULL, 1, FINDING_DISK_NEARLY_FULL);
    w->nodes[0][0].disk_total = UINT64_C(100) << 40; /* four hundredths of that are plenty */
    w->nodes[0][0].disk_free = UINT64_C(4) << 40;
    (void)found(w, NULL, 0, FINDING_ROUTER_AWAY);
    w->nodes[0][0].disk_free = 50;
    w->nodes[0][0].disk_total = 100;
    w->replicas[2][0].checkpoint_fails = true;
    assert_int_equal(found(w, NULL, 1, FINDING_DISK_FULL).node, 3);
    w->replicas[2][0].checkpoint_fails = false;
    w->replicas[2][0].dirty_ms = 180000;
    (void)found(w, NULL, 0, FINDING_ROUTER_AWAY);
    w->replicas[2][0].dirty_ms++;
    (void)found(w, NULL, 1, FINDING_CHECKPOINT_BEHIND);
    w->replicas[2][0].dirty_ms = 0;
    w->replicas[2][0].memtable_bytes = 1 + (UINT64_C(256) << 20);
    (void)found(w, NULL, 1, FINDING_CHECKPOINT_BEHIND);
    w->replicas[2][0].said_ms = HEALTH_SAID_MS + 1;
    (void)found(w, NULL, 1, FINDING_THREAD_STUCK);
}

static void test_merges_and_saved_segments(void **state)
{
    struct world *w = *state;
    w->replicas[2][2].stuck = 2;
    assert_int_equal(found(w, NULL, 1, FINDING_MERGES_STUCK).shard, 3);
    w->replicas[2][2].stuck = 0;
    w->replicas[2][2].catalogue = 2;
    assert_int_equal(found(w, NULL, 1, FINDING_CATALOGUE_BEHIND).fix, FIX_CATALOGUE);
}

static void test_clocks_are_held_against_the_median(void **state)
{
    struct world *w = *state;
    /* This machine's clock is 10 s off, and that of router b by 5 s: what it heard shows that. */
    for (int r = 0; r < 2; r++)
        w->survey.routers[r].heard_ms += 10000;
    w->self[1].wall_ms += 5000;
    struct finding f = found(w, NULL, 1, FINDING_CLOCK_OFF);
    assert_true(f.router == 2 && f.node == 0);
    assert_non_null(strstr(f.what, "5.0 s ahead"));
    w->self[1].wall_ms -= 5000;
    w->nodes[0][2].wall_ms -= HEALTH_CLOCK_MS + 500;
    w->nodes[1][2].wall_ms -= HEALTH_CLOCK_MS + 500;
    f = found(w, NULL, 1, FINDING_CLOCK_OFF);
    assert_int_equal(f.node, 3);
    assert_non_null(strstr(f.what, "2.5 s behind"));
}

static void test_schemas_and_maps_are_the_same_everywhere(void **state)
{
    struct world *w = *state;
    w->nodes[0][1].schema_digest = 23;
    assert_int_equal(found(w, NULL, 1, FINDING_SCHEMA_DIFFERS).node, 2);
    w->nodes[0][1].schema_digest = 22;
    w->nodes[0][1].map_digest = 12;
    assert_int_equal(found(w, NULL, 1, FINDING_MAP_DIFFERS).node, 2);
}

static void test_maps_that_stay_behind(void **state)
{
    struct world *w = *state;
    struct survey before = w->survey;
    struct oneid_map older = w->map;
    struct oneid_result older_answer = {.map = &older};
    before.routers[0].map = before.routers[1].map = &older_answer;
    w->self[1].map_epoch = 2;
    w->self[1].map_digest = 12; /* the newest: all the others are behind ... */
    (void)found(w, NULL, 4, FINDING_MAP_BEHIND);
    (void)found(w, &before, 0, FINDING_MAP_BEHIND); /* ... of what was not there just before */
    older.epoch = 2;
    for (int i = 0; i < NODES - 1; i++) {
        w->nodes[0][i].map_epoch = 2;
        w->nodes[0][i].map_digest = 12;
    }
    w->self[0].map_epoch = 2;
    w->self[0].map_digest = 12;
    assert_int_equal(found(w, &before, 1, FINDING_MAP_BEHIND).node, 3);
}

/* --- the map --- */

/* Task 7 gives shard 1 to node 4 in place of node 3. */
static void move_shard(struct world *w)
{
    w->map.n_nodes = NODES + 1;
    w->holders[1][3] = w->holders[1][2];
    w->holders[1][3].wanted = false;
    w->holders[1][2] = (struct oneid_holder){4, true, false};
    w->placements[1].n_holders = NODES + 1;
    w->placements[1].moving = true;
    w->placements[1].task = 7;
    w->map.n_tasks = 1;
    w->task = (struct oneid_task){.id = 7,
                                  .kind = ONEID_TASK_REPLACE,
                                  .state = ONEID_TASK_RUNNING,
                                  .node = 3,
                                  .other = 4,
                                  .n_shards = 1,
                                  .left = 1};
}

static void test_tasks_that_wait_for_a_node(void **state)
{
    struct world *w = *state;
    move_shard(w);
    struct finding f = found(w, NULL, 1, FINDING_TASK_WAITS);
    assert_int_equal(f.node, 4);
    assert_non_null(strstr(f.what, "task 7 (replace node 3 by node 4) waits with 1 of its shards"));
    assert_non_null(strstr(f.mend, "oneidctl node cancel 7"));
    w->task.state = ONEID_TASK_CANCELLING;
    f = found(w, NULL, 1, FINDING_TASK_WAITS);
    assert_null(strstr(f.mend, "cancel"));
    w->task.state = ONEID_TASK_DONE;
    w->task.left = 0;
    w->placements[1].moving = false;
    (void)found(w, NULL, 0, FINDING_TASK_WAITS);
}

static void test_members_that_a_task_moves_are_no_finding(void **state)
{
    struct world *w = *state;
    w->members[1][0].role = ONEID_STANDBY;
    struct findings all = {0};
    health_check(&w->survey, NULL, &all);
    assert_int_equal(all.n, 2); /* few_voters, standby */
    findings_close(&all);
    w->placements[1].moving = true;
    (void)found(w, NULL, 0, FINDING_STANDBY);
}

static void test_shards_with_fewer_replicas_than_the_cluster_wants(void **state)
{
    struct world *w = *state;
    w->holders[1][2].wanted = false;
    w->placements[2].n_holders = 2;
    struct finding f = found(w, NULL, 1, FINDING_FEW_REPLICAS);
    assert_non_null(strstr(f.what, "2 shards (shard 1 is the first) have fewer than 3"));
    assert_non_null(strstr(f.mend, "node add"));
}

static void test_the_cluster_file_and_the_map_name_the_same_nodes(void **state)
{
    struct world *w = *state;
    w->survey.config = &w->config;
    for (int r = 0; r < 2; r++) {
        w->self[r].schema_digest = schema_digest(&w->config.schema);
        for (int i = 0; i < NODES; i++)
            w->nodes[r][i].schema_digest = w->self[r].schema_digest;
    }
    (void)found(w, NULL, 0, FINDING_NODE_NOT_NAMED);
    w->config.n_nodes = NODES + 1;
    struct finding f = found(w, NULL, 1, FINDING_NODE_NOT_ADDED);
    assert_int_equal(f.node, 4);
    assert_non_null(strstr(f.mend, "oneidctl node add 4 tcp://d:1"));
    w->config.n_nodes = NODES - 1;
    f = found(w, NULL, 1, FINDING_NODE_NOT_NAMED);
    assert_int_equal(f.node, 3);
    assert_non_null(strstr(f.mend, "{id: 3, listen: tcp://c:1}"));
    w->map_nodes[2].state = ONEID_NODE_LEAVING; /* nobody needs to write it down any more */
    (void)found(w, NULL, 0, FINDING_NODE_NOT_NAMED);
}

/* --- the guard of remove --- */

static void test_a_node_may_leave_while_a_majority_of_the_others_answers(void **state)
{
    struct world *w = *state;
    struct guard g;
    assert_true(guard_removal(&w->survey, 3, &g));
    lose_node(w, 0, 2); /* that node itself is away: the others are two of two */
    lose_node(w, 1, 2);
    assert_true(guard_removal(&w->survey, 3, &g));
    assert_true(guard_removal(&w->survey, 9, &g)); /* it holds nothing */
}

static void test_a_node_may_not_leave_when_another_one_is_away(void **state)
{
    struct world *w = *state;
    struct guard g;
    lose_node(w, 0, 1);
    lose_node(w, 1, 1);
    assert_false(guard_removal(&w->survey, 3, &g)); /* one of two answers */
    assert_int_equal(g.n_shards, 3);
    assert_string_equal(g.what, "shards 0, 1, 2 would have no majority without node 3: node 2 does "
                                "not answer");
    assert_non_null(strstr(g.help, "oneidctl node replace 2 NEW ENDPOINT"));
    w->members[2][1].role = ONEID_SPARE; /* no voter of shard 2 */
    assert_false(guard_removal(&w->survey, 3, &g));
    assert_int_equal(g.n_shards, 2);
    assert_true(guard_removal(&w->survey, 2, &g)); /* who is away is who leaves */
}

static void test_the_only_replica_has_to_be_there(void **state)
{
    struct world *w = *state;
    struct guard g;
    for (int n = 0; n < NODES; n++)
        w->replicas[n][0].n_members = 1; /* shard 0 is on node 1 alone */
    w->placements[0].n_holders = 1;
    assert_true(guard_removal(&w->survey, 1, &g));
    lose_node(w, 0, 0);
    lose_node(w, 1, 0);
    for (int n = 1; n < NODES; n++)
        w->nodes[0][n].n_replicas = w->nodes[1][n].n_replicas = 0;
    assert_false(guard_removal(&w->survey, 1, &g));
    assert_non_null(strstr(g.what, "node 1 does not answer"));
    assert_non_null(strstr(g.help, "start node 1"));
}

static void test_what_one_router_does_not_reach(void **state)
{
    struct world *w = *state;
    w->shards[1][2].reachable = false;
    struct finding f = found(w, NULL, 1, FINDING_NOT_SERVED);
    assert_true(f.shard == 3 && f.router == 2);
}

static void test_what_passes_by_is_no_finding(void **state)
{
    struct world *w = *state;
    struct findings first = {0}, again = {0};
    w->replicas[2][2].is_leader = false;
    w->nodes[0][0].disk_full = true;
    health_check(&w->survey, NULL, &first);
    assert_int_equal(first.n, 2);
    w->replicas[2][2].is_leader = true; /* the election is over */
    health_check(&w->survey, NULL, &again);
    assert_true(findings_confirm(&first, &again));
    assert_int_equal(first.n, 1);
    assert_int_equal(first.list[0].kind, FINDING_DISK_FULL);
    findings_close(&first);
    findings_close(&again);
}

static void test_all_that_was_found_has_passed(void **state)
{
    struct world *w = *state;
    struct findings first = {0}, again = {0};
    w->replicas[2][2].is_leader = false;
    health_check(&w->survey, NULL, &first);
    assert_int_equal(first.n, 1);
    assert_true(findings_confirm(&first, &again));
    assert_int_equal(first.n, 0);
    findings_close(&first);
    findings_close(&again);
}

/* Not well at any time, but never for the same reason: a node that comes back is away, then behind,
 * then no voter yet. */
static void test_one_finding_that_follows_another_is_no_peace(void **state)
{
    struct world *w = *state;
    struct findings first = {0}, again = {0};
    w->replicas[2][2].is_leader = false;
    health_check(&w->survey, NULL, &first);
    w->replicas[2][2].is_leader = true;
    w->nodes[0][0].disk_full = true;
    health_check(&w->survey, NULL, &again);
    assert_false(findings_confirm(&first, &again));
    assert_int_equal(first.n, 1);
    assert_int_equal(first.list[0].kind, FINDING_DISK_FULL);
    findings_close(&first);
    findings_close(&again);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_healthy_cluster_has_no_findings),
        T(test_routers_that_are_away),
        T(test_nodes_that_are_away_or_cut_off),
        T(test_shards_without_a_leader_and_why),
        T(test_the_leader_of_the_newest_term_counts),
        T(test_voters_members_and_folders),
        T(test_a_node_that_answers_without_its_shards),
        T(test_replicas_that_lag),
        T(test_leaders_that_are_elsewhere),
        T(test_disks_and_checkpoints),
        T(test_merges_and_saved_segments),
        T(test_clocks_are_held_against_the_median),
        T(test_schemas_and_maps_are_the_same_everywhere),
        T(test_maps_that_stay_behind),
        T(test_tasks_that_wait_for_a_node),
        T(test_members_that_a_task_moves_are_no_finding),
        T(test_shards_with_fewer_replicas_than_the_cluster_wants),
        T(test_the_cluster_file_and_the_map_name_the_same_nodes),
        T(test_a_node_may_leave_while_a_majority_of_the_others_answers),
        T(test_a_node_may_not_leave_when_another_one_is_away),
        T(test_the_only_replica_has_to_be_there),
        T(test_what_one_router_does_not_reach),
        T(test_what_passes_by_is_no_finding),
        T(test_all_that_was_found_has_passed),
        T(test_one_finding_that_follows_another_is_no_peace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
