/* Where a router asks for a shard, and what becomes of what it asked when that changes. The clock
 * is the test's; links take what is sent, or have no connection. */
#include "parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NODES = 3, NODE_AWAY = 7, START_MS = 100000, SENT_LIST = 64, TOLD_LIST = 64 };

struct link {
    node_id node;
    bool is_down, is_lost;
    unsigned endings;
};

static struct {
    struct router *r;
    struct cluster_config config;
    struct link links[NODES];
    struct envelope sent[SENT_LIST]; /* what left for shards */
    node_id sent_to[SENT_LIST];
    size_t n_sent, n_map_requests;
    uint32_t told[TOLD_LIST]; /* the calls that were answered ... */
    enum error_code told_code[TOLD_LIST];
    size_t n_told;
} rig;

/* --- in place of the network and of the askers (see router.cmake) --- */

bool __wrap_link_send(struct link *l, struct frame *f);
unsigned __wrap_link_endings(struct link *l);
bool __wrap_link_is_up(struct link *l);
void __wrap_tasks_reply(struct router *r, const struct ref *ref, shard_id shard,
                        const struct reply *reply);

bool __wrap_link_send(struct link *l, struct frame *f)
{
    struct envelope e;
    if (l->is_down)
        return false;
    assert_int_equal(envelope_decode(frame_bytes(f), &e, NULL), ERR_OK);
    frame_close(f);
    if (e.type == MESSAGE_MAP_REQUEST) {
        rig.n_map_requests++;
        return true;
    }
    assert_true(rig.n_sent < SENT_LIST);
    rig.sent_to[rig.n_sent] = l->node;
    rig.sent[rig.n_sent++] = e;
    return true;
}

unsigned __wrap_link_endings(struct link *l)
{
    return l->endings;
}

bool __wrap_link_is_up(struct link *l)
{
    return !l->is_lost;
}

void __wrap_tasks_reply(struct router *r, const struct ref *ref, shard_id shard,
                        const struct reply *reply)
{
    (void)r;
    (void)shard;
    assert_true(rig.n_told < TOLD_LIST);
    rig.told[rig.n_told] = ref->call;
    rig.told_code[rig.n_told++] = reply->status == REPLY_OK ? ERR_OK : reply->error;
}

/* --- the rig --- */

/* One shard that nodes 1, 2 and 3 hold; 1 is asked first. */
static void follow(uint8_t n_holders, const node_id *holders)
{
    struct map_shard *s = &rig.r->map.shards[0];
    *s = (struct map_shard){.n_replicas = n_holders, .n_holders = n_holders};
    for (uint8_t i = 0; i < n_holders; i++)
        s->holders[i] = (struct map_replica){.node = holders[i], .settled = (uint8_t)(i + 1)};
    shards_follow_map(rig.r);
}

static int setup(void **state)
{
    static const node_id ALL[] = {1, 2, 3};
    (void)state;
    memset(&rig, 0, sizeof rig);
    struct router *r = rig.r = calloc(1, sizeof *r);
    assert_non_null(r);
    rig.config.n_shards = 1;
    r->config = &rig.config;
    r->now = START_MS;
    r->has_map = true;
    r->map.n_shards = 1;
    r->map.epoch = 5;
    r->nodes = calloc(NODES, sizeof *r->nodes);
    r->tasks = calloc(TASKS_MAX, sizeof *r->tasks);
    assert_non_null(r->nodes);
    assert_non_null(r->tasks);
    arena_init(&r->arena, 1 << 20);
    for (node_id i = 0; i < NODES; i++) {
        rig.links[i].node = (node_id)(i + 1);
        r->nodes[i] = (struct node){.id = (node_id)(i + 1), .link = &rig.links[i]};
    }
    r->n_nodes = NODES;
    assert_int_equal(shards_open(r, NULL), ERR_OK);
    follow(NODES, ALL);
    r->now += MOVE_MS; /* that was a move, too */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shards_close(rig.r);
    arena_close(&rig.r->arena);
    free(rig.r->tasks);
    free(rig.r->nodes);
    free(rig.r);
    return 0;
}

/* A command for the shard, whose answer goes to `call`. */
static void ask(enum lane lane, uint32_t call, size_t bytes)
{
    uint8_t *content = calloc(1, bytes);
    assert_non_null(content);
    struct command c = {.type = COMMAND_MAP, .content = bytes_of(content, bytes)};
    shards_send(rig.r, 0, lane, &c, (struct ref){.call = call});
    free(content);
}

/* The end of one turn of the router's loop, and what the next begins with. */
static void turn(void)
{
    shards_flush(rig.r);
    shards_fail_lost(rig.r);
}

static void pass(msec_t ms)
{
    rig.r->now += ms;
    turn();
}

static void ask_and_turn(enum lane lane, uint32_t call)
{
    ask(lane, call, 8);
    turn();
}

static void take(node_id from, const struct envelope *e, struct buf *body)
{
    struct buf out = {0};
    struct frame f = {0};
    envelope_encode(e, body->len, &out);
    buf_put(&out, body->data, body->len);
    assert_int_equal(frame_of_buf(&f, &out), ERR_OK);
    shards_take_frame(rig.r, &rig.r->nodes[from - 1], &f);
    frame_close(&f);
    buf_free(body);
}

/* The answer to message `at` of those that left. */
static void answer(size_t at)
{
    struct buf body = {0};
    struct reply ok = {.status = REPLY_OK};
    for (uint32_t i = 0; i < rig.sent[at].items; i++)
        reply_encode(&ok, &body);
    take(rig.sent_to[at],
         &(struct envelope){.type = MESSAGE_SHARD_REPLY,
                            .request_id = rig.sent[at].request_id,
                            .items = rig.sent[at].items},
         &body);
}

/* "Not me, but `leader`" (0: I do not know). */
static void answer_not_leader(size_t at, node_id leader)
{
    struct buf body = {0};
    wire_error_encode(ERR_NOT_LEADER, "another node leads", &body);
    take(rig.sent_to[at],
         &(struct envelope){
             .type = MESSAGE_ERROR, .request_id = rig.sent[at].request_id, .items = leader},
         &body);
}

/* --- a replica that is silent or cannot be reached --- */

static void test_what_a_silent_replica_was_asked_fails_when_it_is_left(void **state)
{
    (void)state;
    ask_and_turn(LANE_WRITE, 1);
    rig.r->now += 10;
    ask_and_turn(LANE_READ, 2);
    assert_int_equal(rig.n_sent, 2);
    pass(SILENT_MS - 11);
    assert_int_equal(rig.n_told, 0);
    pass(1);
    assert_int_equal(rig.r->asked_nodes[0], 2);
    assert_int_equal(rig.n_told, 2); /* also what was asked later, in another lane */
    assert_int_equal(rig.told_code[0], ERR_UNAVAILABLE);
    assert_int_equal(rig.told_code[1], ERR_UNAVAILABLE);
    ask_and_turn(LANE_WRITE, 1);
    assert_int_equal(rig.n_sent, 3);
    assert_int_equal(rig.sent_to[2], 2);
    answer(0); /* late */
    assert_int_equal(rig.n_told, 2);
}

static void test_what_was_sent_to_one_that_is_left_holds_nothing_back(void **state)
{
    (void)state;
    ask_and_turn(LANE_WRITE, 1);
    ask_and_turn(LANE_WRITE, 2);
    ask_and_turn(LANE_WRITE, 3); /* gathers behind those two */
    assert_int_equal(rig.n_sent, 2);
    answer_not_leader(0, 2);
    turn();
    assert_int_equal(rig.n_sent, 3);
    assert_int_equal(rig.sent_to[2], 2);
}

static void test_what_was_sent_to_one_that_is_left_clogs_nothing(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < UNANSWERED_BYTES / BATCH_BYTES; i++)
        ask(LANE_WRITE, i, BATCH_BYTES);
    size_t n = rig.n_sent;
    ask_and_turn(LANE_WRITE, 50);
    assert_int_equal(rig.n_sent, n);
    answer_not_leader(0, 2);
    ask_and_turn(LANE_WRITE, 51);
    assert_int_equal(rig.n_sent, n + 1);
    assert_int_equal(rig.sent_to[n], 2);
}

static void test_late_answers_of_one_that_was_left_open_no_window(void **state)
{
    (void)state;
    ask_and_turn(LANE_WRITE, 1);
    ask_and_turn(LANE_WRITE, 2);
    answer_not_leader(0, 2);
    ask_and_turn(LANE_WRITE, 3);
    ask_and_turn(LANE_WRITE, 4);
    ask_and_turn(LANE_WRITE, 5);
    assert_int_equal(rig.n_sent, 4);
    answer(1); /* counts for its asker, but not as one of node 2 */
    assert_int_equal(rig.told[rig.n_told - 1], 2);
    turn();
    assert_int_equal(rig.n_sent, 4);
    answer(2);
    turn();
    assert_int_equal(rig.n_sent, 5);
}

static void test_a_batch_that_did_not_leave_does_not_clog_its_lane(void **state)
{
    (void)state;
    follow(1, (node_id[]){1});
    rig.links[0].is_down = true;
    ask_and_turn(LANE_WRITE, 1);
    assert_int_equal(rig.n_told, 1);
    assert_int_equal(rig.told_code[0], ERR_UNAVAILABLE);
    rig.links[0].is_down = false;
    ask_and_turn(LANE_WRITE, 2);
    assert_int_equal(rig.n_sent, 1);
}

static void test_one_that_cannot_be_reached_is_left_at_once(void **state)
{
    (void)state;
    ask_and_turn(LANE_WRITE, 1); /* under way when the connection breaks */
    rig.links[0].is_down = true;
    ask_and_turn(LANE_WRITE, 2);
    assert_int_equal(rig.n_told, 2);
    assert_int_equal(rig.r->asked_nodes[0], 2);
}

static void lose(node_id node, bool comes_back)
{
    rig.links[node - 1].endings++;
    rig.links[node - 1].is_lost = !comes_back;
}

/* Nothing more is sent that could show it. */
static void test_one_whose_connection_ended_is_left_at_once(void **state)
{
    (void)state;
    ask_and_turn(LANE_WRITE, 1);
    pass(1);
    assert_int_equal(rig.n_told, 0);
    lose(2, false);
    pass(1);
    assert_int_equal(rig.n_told, 0);
    lose(1, false);
    pass(1);
    assert_int_equal(rig.n_told, 1);
    assert_int_equal(rig.told_code[0], ERR_UNAVAILABLE);
    assert_int_equal(rig.r->asked_nodes[0], 3); /* 2 is away, too */
}

/* It was started again between two looks: what it was asked is lost all the same. */
static void test_one_that_was_restarted_is_left_as_well(void **state)
{
    (void)state;
    ask_and_turn(LANE_READ, 1);
    lose(1, true);
    pass(1);
    assert_int_equal(rig.n_told, 1);
    assert_int_equal(rig.r->asked_nodes[0], 2);
}

static void test_questions_fail_with_the_connection(void **state)
{
    (void)state;
    ask_and_turn(LANE_QUERY, 1);
    ask_and_turn(LANE_WATCH, 2);
    ask_and_turn(LANE_STALE_QUERY, 3); /* any may answer: node 2 is asked */
    assert_int_equal(rig.sent_to[2], 2);
    lose(2, false);
    pass(1);
    assert_int_equal(rig.n_told, 1);
    assert_int_equal(rig.told[0], 3);
    assert_int_equal(rig.r->asked_nodes[0], 1);
    lose(1, false);
    pass(1);
    assert_int_equal(rig.n_told, 3);
    assert_int_equal(rig.r->asked_nodes[0], 3);
}

/* There is no other to ask: the askers ask again by themselves. */
static void test_the_only_holder_is_not_left(void **state)
{
    (void)state;
    follow(1, (node_id[]){1});
    ask_and_turn(LANE_WRITE, 1);
    lose(1, false);
    pass(1);
    assert_int_equal(rig.n_told, 0);
    assert_int_equal(rig.r->asked_nodes[0], 1);
}

static void test_one_that_owes_nothing_is_not_left(void **state)
{
    (void)state;
    lose(1, false);
    pass(SILENT_MS);
    assert_int_equal(rig.r->asked_nodes[0], 1);
}

/* --- who leads --- */

static void test_the_leader_that_a_replica_names_is_asked_next(void **state)
{
    (void)state;
    ask_and_turn(LANE_WRITE, 1);
    ask_and_turn(LANE_WRITE, 2);
    answer_not_leader(0, 3);
    assert_int_equal(rig.told_code[0], ERR_NOT_LEADER);
    assert_int_equal(rig.r->asked_nodes[0], 3);
    answer_not_leader(1, 2); /* it was asked before: what it says is older */
    assert_int_equal(rig.r->asked_nodes[0], 3);
}

/* The replicas take the lost leader for alive still: asking it is in vain, and the others are tried
 * again, not more often than every MOVE_MS. */
static void test_a_leader_that_is_named_and_dead_is_left_again(void **state)
{
    (void)state;
    rig.links[2].is_down = true;
    ask_and_turn(LANE_WRITE, 1);
    answer_not_leader(0, 3);
    ask_and_turn(LANE_WRITE, 2);
    assert_int_equal(rig.told_code[1], ERR_UNAVAILABLE);
    assert_int_equal(rig.r->asked_nodes[0], 3);
    rig.r->now += MOVE_MS;
    ask_and_turn(LANE_WRITE, 3);
    assert_int_equal(rig.told_code[2], ERR_UNAVAILABLE);
    assert_int_equal(rig.r->asked_nodes[0], 1);
    ask_and_turn(LANE_WRITE, 4);
    assert_int_equal(rig.sent_to[rig.n_sent - 1], 1);
}

static void test_a_leader_that_the_map_has_not_is_a_reason_to_ask_for_the_map(void **state)
{
    (void)state;
    ask_and_turn(LANE_WRITE, 1);
    answer_not_leader(0, NODE_AWAY);
    assert_int_equal(rig.n_map_requests, NODES);
    assert_int_equal(rig.r->asked_nodes[0], 2);
}

static void test_an_election_does_not_make_it_go_round_and_round(void **state)
{
    (void)state;
    ask_and_turn(LANE_WRITE, 1);
    answer_not_leader(0, 0);
    assert_int_equal(rig.r->asked_nodes[0], 2);
    ask_and_turn(LANE_WRITE, 1);
    answer_not_leader(1, 0);
    assert_int_equal(rig.r->asked_nodes[0], 2);
    rig.r->now += MOVE_MS;
    ask_and_turn(LANE_WRITE, 1);
    answer_not_leader(2, 0);
    assert_int_equal(rig.r->asked_nodes[0], 3);
}

static void test_a_newer_map_moves_only_what_it_must(void **state)
{
    (void)state;
    ask_and_turn(LANE_WRITE, 1);
    answer_not_leader(0, 3);
    follow(3, (node_id[]){2, 3, 1});
    assert_int_equal(rig.r->asked_nodes[0], 3);
    ask_and_turn(LANE_WRITE, 2);
    rig.r->now += MOVE_MS;
    answer_not_leader(1, 0); /* on from its new place */
    assert_int_equal(rig.r->asked_nodes[0], 1);
    follow(2, (node_id[]){2, 3});
    assert_int_equal(rig.r->asked_nodes[0], 2);
}

/* --- what any replica may say --- */

static void test_a_replica_whose_connection_ended_is_not_asked_for_what_any_may_say(void **state)
{
    (void)state;
    lose(2, false);
    pass(1);
    for (uint32_t call = 1; call <= 4; call++)
        ask_and_turn(LANE_STALE_READ, call);
    assert_int_equal(rig.n_sent, 4);
    for (size_t i = 0; i < rig.n_sent; i++)
        assert_int_not_equal(rig.sent_to[i], 2);
}

static void test_a_replica_that_owes_an_answer_is_not_asked_for_what_any_may_say(void **state)
{
    (void)state;
    ask_and_turn(LANE_STALE_READ, 1);
    ask_and_turn(LANE_STALE_READ, 2);
    ask_and_turn(LANE_STALE_READ, 3);
    assert_int_equal(rig.n_sent, NODES); /* each one once */
    for (size_t i = 0; i < NODES; i++) {
        assert_int_equal(rig.sent_to[i], 1 + (i + 1) % NODES);
        if (rig.sent_to[i] != 2)
            answer(i);
    }
    rig.r->now += AWAY_MS;
    for (uint32_t i = 0; i < 4; i++) {
        ask_and_turn(LANE_STALE_READ, 4 + i);
        assert_int_not_equal(rig.sent_to[rig.n_sent - 1], 2);
        answer(rig.n_sent - 1);
    }
    assert_int_equal(rig.n_sent, NODES + 4);
}

int main(void)
{
#define IN_RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_RIG(test_what_a_silent_replica_was_asked_fails_when_it_is_left),
        IN_RIG(test_what_was_sent_to_one_that_is_left_holds_nothing_back),
        IN_RIG(test_what_was_sent_to_one_that_is_left_clogs_nothing),
        IN_RIG(test_late_answers_of_one_that_was_left_open_no_window),
        IN_RIG(test_a_batch_that_did_not_leave_does_not_clog_its_lane),
        IN_RIG(test_one_that_cannot_be_reached_is_left_at_once),
        IN_RIG(test_one_whose_connection_ended_is_left_at_once),
        IN_RIG(test_one_that_was_restarted_is_left_as_well),
        IN_RIG(test_questions_fail_with_the_connection),
        IN_RIG(test_the_only_holder_is_not_left),
        IN_RIG(test_one_that_owes_nothing_is_not_left),
        IN_RIG(test_the_leader_that_a_replica_names_is_asked_next),
        IN_RIG(test_a_leader_that_is_named_and_dead_is_left_again),
        IN_RIG(test_a_leader_that_the_map_has_not_is_a_reason_to_ask_for_the_map),
        IN_RIG(test_an_election_does_not_make_it_go_round_and_round),
        IN_RIG(test_a_newer_map_moves_only_what_it_must),
        IN_RIG(test_a_replica_whose_connection_ended_is_not_asked_for_what_any_may_say),
        IN_RIG(test_a_replica_that_owes_an_answer_is_not_asked_for_what_any_may_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
