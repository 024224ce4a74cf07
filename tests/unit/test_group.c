/* When a shard's leader hands over. The clock and the replica are the test's. */
#include "parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SELF = 1 << 16 | 1, OTHER = 1 << 16 | 2, LAST = 50, NOW_MS = 1000000, LONG_MS = 60000 };

static struct {
    struct shard *s;
    struct host_shared *shared;
    struct cluster_config config;
    struct replica_status status;
    unsigned n_transfers;
} rig;

void __wrap_replica_get_status(const struct replica *r, struct replica_status *out);
size_t __wrap_replica_members(const struct replica *r, struct replica_member *list, size_t max);
enum error_code __wrap_replica_transfer(struct replica *r, msec_t now, uint64_t to,
                                        struct replica_effects *out);
void __wrap_shard_perform(struct shard *s, const struct replica_effects *effects);

void __wrap_replica_get_status(const struct replica *r, struct replica_status *out)
{
    (void)r;
    *out = rig.status;
}

size_t __wrap_replica_members(const struct replica *r, struct replica_member *list, size_t max)
{
    (void)r;
    assert_true(max >= 2);
    list[0] = (struct replica_member){.id = SELF, .role = REPLICA_VOTER, .match = LAST};
    list[1] = (struct replica_member){.id = OTHER, .role = REPLICA_VOTER, .match = LAST};
    return 2;
}

enum error_code __wrap_replica_transfer(struct replica *r, msec_t now, uint64_t to,
                                        struct replica_effects *out)
{
    (void)r;
    (void)now;
    (void)out;
    assert_int_equal(to, OTHER);
    rig.n_transfers += !rig.status.is_changing;
    return rig.status.is_changing ? ERR_BUSY : ERR_OK;
}

void __wrap_shard_perform(struct shard *s, const struct replica_effects *effects)
{
    (void)s;
    (void)effects;
}

/* Node 1 leads since long what node 2 should lead, which is there and has all. */
static int setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof rig);
    rig.s = calloc(1, sizeof *rig.s);
    rig.shared = calloc(1, sizeof *rig.shared);
    assert_non_null(rig.s);
    assert_non_null(rig.shared);
    rig.config.election_ms = 700;
    rig.shared->config = &rig.config;
    rig.shared->node = 1;
    rig.s->shared = rig.shared;
    rig.s->replica_id = SELF;
    rig.s->leader = true;
    rig.s->group.led_since = NOW_MS - LONG_MS;
    rig.s->group.heard[0] = (struct heard){.replica = OTHER, .ms = NOW_MS};
    rig.s->group.place =
        (struct map_shard){.n_replicas = 2, .n_holders = 2, .holders = {{.node = 2}, {.node = 1}}};
    rig.status = (struct replica_status){.is_leader = true, .last = LAST};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(rig.shared);
    free(rig.s);
    return 0;
}

/* Two ticks: it is decided, and done. */
static bool hands_over(void)
{
    group_tick(rig.s, NOW_MS);
    group_tick(rig.s, NOW_MS + 1);
    return rig.n_transfers > 0;
}

static void test_leads_where_the_map_says(void **state)
{
    (void)state;
    assert_true(hands_over());
}

/* The engine would refuse, and submits would wait all the time for nothing. */
static void test_nobody_takes_over_while_members_change(void **state)
{
    (void)state;
    rig.status.is_changing = true;
    assert_false(hands_over());
    assert_false(group_is_handing_over(rig.s));
    rig.status.is_changing = false;
    rig.s->group.looked_ms = 0;
    assert_true(hands_over());
}

/* It takes no submits any more, and waits for a while. */
static void test_node_that_stops_hands_over_once_members_are_settled(void **state)
{
    (void)state;
    rig.s->stopping = true;
    rig.status.is_changing = true;
    assert_false(hands_over());
    assert_true(group_is_handing_over(rig.s));
    rig.status.is_changing = false;
    assert_true(hands_over());
}

/* It was handed the lead while it stopped, by one that did not know. */
static void test_node_that_stops_and_leads_anew_hands_over_again(void **state)
{
    (void)state;
    rig.s->stopping = true;
    assert_true(hands_over());
    rig.s->leader = false;
    group_on_role(rig.s);
    rig.s->leader = true;
    group_on_role(rig.s);
    rig.n_transfers = 0;
    assert_true(hands_over());
}

/* The log was looked at all the time, also while nothing could be handed over. */
static void test_leader_that_had_nothing_to_write_is_not_stuck(void **state)
{
    (void)state;
    rig.s->group.durable_ms = NOW_MS - LONG_MS;
    rig.s->group.place.holders[0].node = 1;
    rig.status.is_changing = true;
    group_tick(rig.s, NOW_MS);
    rig.status.is_changing = false;
    rig.status.writes_pending = 1;
    group_tick(rig.s, NOW_MS + LONG_MS / 100);
    assert_false(group_is_handing_over(rig.s));
}

static void test_order_to_hand_over_is_refused_while_members_change(void **state)
{
    (void)state;
    struct reply r;
    rig.status.is_changing = true;
    group_lead(rig.s, 2, &r);
    assert_int_equal(r.status, REPLY_ERROR);
    assert_int_equal(r.error, ERR_BUSY);
    assert_false(group_is_handing_over(rig.s));
    rig.status.is_changing = false;
    group_lead(rig.s, 2, &r);
    assert_int_equal(r.status, REPLY_OK);
    assert_true(group_is_handing_over(rig.s));
}

int main(void)
{
#define IN_RIG(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_RIG(test_leads_where_the_map_says),
        IN_RIG(test_nobody_takes_over_while_members_change),
        IN_RIG(test_node_that_stops_hands_over_once_members_are_settled),
        IN_RIG(test_node_that_stops_and_leads_anew_hands_over_again),
        IN_RIG(test_leader_that_had_nothing_to_write_is_not_stuck),
        IN_RIG(test_order_to_hand_over_is_refused_while_members_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
