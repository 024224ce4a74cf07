#include "machine_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_apply_opens_a_profile_of_one(void **state)
{
    struct world *w = *state;
    struct identity phone = world_id(w, "phone", 0, 1);
    struct reply r = world_apply(w, 0, 1, &phone, 1, 120);
    assert_int_equal(r.status, REPLY_OK);
    assert_true(r.created);
    assert_int_equal(slot_of_one_id(r.profile), slot_of_identity(phone));
    struct profile_view *v = world_view(w, 0, phone);
    assert_non_null(v);
    assert_int_equal(v->id, r.profile);
    assert_int_equal(v->n_ids, 1);
    assert_int_equal(view_counter(v, "points"), 120);
    assert_int_equal(v->n_channels, 1);
    assert_int_equal(v->channels[0].last, w->now);
    struct reply again = world_apply(w, r.profile, 2, &phone, 1, 30);
    assert_int_equal(again.status, REPLY_OK);
    assert_false(again.created);
    assert_int_equal(again.profile, r.profile);
    assert_int_equal(view_counter(world_view(w, r.profile, phone), "points"), 150);
    assert_int_equal(world_stats(w, 0)->events, 2);
    world_check(w);
}

static void test_apply_binds_new_identities_of_the_shard(void **state)
{
    struct world *w = *state;
    struct identity ids[3] = {world_id(w, "phone", 1, 1), world_id(w, "openid", 1, 1),
                              world_id(w, "device", 1, 1)};
    struct reply r = world_apply(w, 0, 1, ids, 3, 5);
    assert_int_equal(r.status, REPLY_OK);
    assert_int_equal(r.n_refused, 0);
    assert_int_equal(world_view(w, 0, ids[2])->n_ids, 3);
    one_id p;
    uint32_t version;
    assert_true(machine_index_entry(w->machines[1], ids[1], &p, &version));
    assert_int_equal(p, r.profile);
    assert_int_equal(version, 1);
    const struct shard_stats *s = world_stats(w, 1);
    assert_int_equal(s->profiles, 1);
    assert_int_equal(s->identities, 3);
    assert_int_equal(s->merges, 0);
    world_check(w);
}

static void test_apply_merges_profiles_of_the_shard_into_the_older(void **state)
{
    struct world *w = *state;
    struct identity a = world_id(w, "openid", 0, 1), b = world_id(w, "phone", 0, 1);
    one_id old = world_open(w, a);
    w->now += 10;
    one_id young = world_open(w, b);
    assert_true(old < young);
    struct identity ids[2] = {b, a};
    struct reply r = world_apply(w, young, 1, ids, 2, 7);
    assert_int_equal(r.status, REPLY_OK);
    assert_int_equal(r.profile, old);
    assert_int_equal(view_counter(world_view(w, young, b), "points"), 9);
    assert_int_equal(world_view(w, 0, a)->id, old);
    const struct shard_stats *s = world_stats(w, 0);
    assert_int_equal(s->profiles, 1);
    assert_int_equal(s->merges, 1);
    assert_int_equal(s->tombstones, 1);
    assert_int_equal(s->merging, 0);
    struct reply at = world_locate(w, young, b, false);
    assert_int_equal(at.status, REPLY_GOTO);
    assert_int_equal(at.profile, old);
    world_check(w);
}

static void test_apply_new_strong_key_joins_the_known_person(void **state)
{
    struct world *w = *state;
    struct identity known = world_id(w, "openid", 2, 1), fresh = world_id(w, "phone", 2, 1);
    one_id p = world_open(w, known);
    struct identity ids[2] = {fresh, known};
    struct reply r = world_apply(w, 0, 1, ids, 2, 1);
    assert_int_equal(r.status, REPLY_OK);
    assert_int_equal(r.profile, p);
    assert_false(r.created);
    const struct shard_stats *s = world_stats(w, 2);
    assert_int_equal(s->profiles, 1);
    assert_int_equal(s->tombstones, 0); /* the new key never had a profile that anybody saw */
    assert_int_equal(s->merges, 0);
    world_check(w);
}

static void test_apply_says_what_other_shards_have(void **state)
{
    struct world *w = *state;
    struct identity ids[3] = {world_id(w, "phone", 0, 1), world_id(w, "openid", 1, 1),
                              world_id(w, "tmall", 0, 1)};
    struct reply r = world_apply(w, 0, 1, ids, 3, 5);
    assert_int_equal(r.status, REPLY_MISSING);
    assert_true(r.created);
    assert_int_equal(r.n_missing, 1);
    assert_int_equal(r.missing[0].index, 1);
    assert_int_equal(r.missing[0].hint, 0);
    /* What is here is linked, and the event is not counted. */
    struct profile_view *v = world_view(w, 0, ids[2]);
    assert_int_equal(v->id, r.profile);
    assert_int_equal(v->n_ids, 2);
    assert_int_equal(view_counter(v, "points"), 0);
    assert_int_equal(world_stats(w, 0)->events, 0);
    struct command c = world_event(w, r.profile, 1, ids, 3, 5);
    struct skip skip = {ids[1], REFUSAL_LIMIT};
    c.skips = &skip;
    c.n_skips = 1;
    r = world_run(w, &c);
    assert_int_equal(r.status, REPLY_OK);
    assert_int_equal(r.n_refused, 1);
    assert_int_equal(r.refused[0].reason, REFUSAL_LIMIT);
    assert_int_equal(world_stats(w, 0)->refused_by[REFUSAL_LIMIT], 1);
    assert_int_equal(world_apply(w, r.profile, 1, ids, 3, 5).status, REPLY_DUP);
    world_check(w);
}

static void test_apply_answers_a_wrong_start(void **state)
{
    struct world *w = *state;
    struct identity a = world_id(w, "phone", 0, 1), b = world_id(w, "phone", 0, 2);
    one_id p = world_open(w, a);
    assert_int_equal(world_apply(w, p, 1, &b, 1, 1).status, REPLY_ABSENT);
    assert_int_equal(world_apply(w, p + 1, 1, &a, 1, 1).status, REPLY_ABSENT);
    struct command c = world_event(w, p, 1, &a, 1, 1);
    assert_int_equal(world_run_at(w, 1, &c).status, REPLY_WRONG_SHARD);
    c = world_event(w, 0, 1, &a, 1, 1);
    assert_int_equal(world_run_at(w, 1, &c).status, REPLY_WRONG_SHARD);
    /* The index may point to a profile of another shard. */
    one_id far = world_open(w, world_id(w, "phone", 1, 3));
    assert_int_equal(world_repair(w, a, far, 5).status, REPLY_OK);
    struct reply r = world_apply(w, 0, 1, &a, 1, 1);
    assert_int_equal(r.status, REPLY_GOTO);
    assert_int_equal(r.profile, far);
}

static void test_apply_refuses_beyond_the_limit(void **state)
{
    struct world *w = *state;
    struct identity m1 = world_id(w, "member", 0, 1), m2 = world_id(w, "member", 0, 2);
    struct identity phone = world_id(w, "phone", 0, 1);
    struct identity first[2] = {m1, phone}, second[3] = {m2, phone, world_id(w, "member", 0, 3)};
    one_id p = world_apply(w, 0, 1, first, 2, 1).profile;
    struct reply r = world_apply(w, 0, 2, second, 3, 1);
    assert_int_equal(r.status, REPLY_OK);
    assert_true(r.created);
    assert_int_not_equal(r.profile, p);
    assert_int_equal(r.n_refused, 2);
    assert_int_equal(r.refused[0].reason, REFUSAL_LIMIT);
    assert_true(identity_equal(r.refused[0].id, phone));
    struct reply again = world_apply(w, 0, 2, second, 3, 1);
    assert_int_equal(again.status, REPLY_DUP);
    assert_int_equal(again.n_refused, 2);
    assert_int_equal(again.refused[1].reason, REFUSAL_LIMIT);
    /* A refused new identity stays unknown. */
    assert_int_equal(world_locate(w, 0, second[2], false).status, REPLY_ABSENT);
    struct command c = {.type = COMMAND_REFUSED, .limit = 10};
    struct reply list = world_run_at(w, 0, &c);
    assert_int_equal(list.n_refusals, 2);
    assert_int_equal(list.cursor, 0);
    assert_true(identity_equal(list.refusals[0].with, m2));
    assert_int_equal(list.refusals[0].at, w->now);
    assert_true(bytes_equal(list.refusals[1].message_id, bytes_of_str("m2")));
    c.limit = 1;
    list = world_run_at(w, 0, &c);
    assert_int_equal(list.n_refusals, 1);
    c.cursor = list.cursor;
    list = world_run_at(w, 0, &c);
    assert_int_equal(list.n_refusals, 1);
    assert_int_equal(list.refusals[0].number, 2);
    assert_int_equal(list.cursor, 0);
    world_check(w);
}

static void test_apply_shared_key_never_merges(void **state)
{
    struct world *w = *state;
    struct identity device = world_id(w, "device", 0, 1);
    struct identity one[2] = {world_id(w, "phone", 0, 1), device};
    struct identity two[2] = {world_id(w, "phone", 0, 2), device};
    one_id p = world_apply(w, 0, 1, one, 2, 1).profile;
    struct reply r = world_apply(w, 0, 2, two, 2, 1);
    assert_int_equal(r.status, REPLY_OK);
    assert_int_not_equal(r.profile, p);
    assert_int_equal(r.n_refused, 1);
    assert_int_equal(r.refused[0].reason, REFUSAL_NON_BRIDGING);
    /* A retry is told the same. */
    r = world_apply(w, 0, 2, two, 2, 1);
    assert_int_equal(r.status, REPLY_DUP);
    assert_int_equal(r.n_refused, 1);
    assert_int_equal(r.refused[0].reason, REFUSAL_NON_BRIDGING);
    /* An event with the shared key alone goes to the profile that has it. */
    r = world_apply(w, 0, 3, &device, 1, 10);
    assert_int_equal(r.status, REPLY_OK);
    assert_int_equal(r.profile, p);
    world_check(w);
}

static void test_apply_tags_beyond_the_limit_are_refused(void **state)
{
    struct world *w = *state;
    struct identity id = world_id(w, "phone", 0, 1);
    w->schema->tags_max = 2;
    struct command c = world_event(w, 0, 1, &id, 1, 0);
    const char *tags[] = {"a", "b", "c", "-a", "c", "b"};
    const size_t refused[] = {0, 0, 1, 0, 0, 0};
    for (unsigned i = 0; i < 6; i++) {
        w->now++;
        c = world_event(w, 0, i, &id, 1, 0);
        c.facts = world_facts(w, 1, NULL, tags[i], w->now);
        struct reply r = world_run(w, &c);
        assert_int_equal(r.status, REPLY_OK);
        assert_int_equal(r.n_refused, refused[i]);
        if (refused[i])
            assert_int_equal(r.refused[0].reason, REFUSAL_TAG_LIMIT);
    }
    struct profile_view *v = world_view(w, 0, id);
    assert_int_equal(v->n_tags, 2);
    assert_int_equal(view_counter(v, "points"), 6);
    struct command list = {.type = COMMAND_REFUSED, .limit = 10};
    struct reply r = world_run_at(w, 0, &list);
    assert_int_equal(r.n_refusals, 1);
    assert_true(bytes_equal(r.refusals[0].with.value, bytes_of_str("c")));
    world_check(w);
}

static void test_apply_a_skip_that_was_linked_meanwhile_is_no_refusal(void **state)
{
    struct world *w = *state;
    struct identity ids[2] = {world_id(w, "phone", 0, 1), world_id(w, "openid", 0, 1)};
    one_id p = world_apply(w, 0, 1, ids, 2, 1).profile;
    struct command c = world_event(w, p, 2, ids, 1, 1);
    struct skip skips[2] = {{ids[1], REFUSAL_LIMIT},
                            {{ids[0].ns, bytes_of_str("0000")}, REFUSAL_BLOCKED}};
    c.skips = skips;
    c.n_skips = 2;
    struct reply r = world_run(w, &c);
    assert_int_equal(r.status, REPLY_OK);
    assert_int_equal(r.n_refused, 1);
    assert_int_equal(r.refused[0].reason, REFUSAL_BLOCKED);
}

static void test_apply_behaviour_is_shown_and_indexed(void **state)
{
    struct world *w = *state;
    struct identity ids[2] = {world_id(w, "phone", 0, 1), world_id(w, "openid", 0, 1)};
    one_id p = world_open(w, ids[0]);
    for (unsigned i = 0; i < 6; i++) {
        struct command c = world_event(w, 0, i, &ids[i & 1], 1, 0);
        c.behaviour = world_order(w, WORLD_DAY - (int32_t)i / 2 * 70, 1500000, i < 3 ? "x" : "y");
        assert_int_equal(world_run(w, &c).status, REPLY_OK);
    }
    w->now++;
    world_check(w);
    struct reply r = world_apply(w, p, 10, ids, 2, 1);
    assert_int_equal(r.status, REPLY_OK);
    assert_int_equal(r.profile, p);
    struct profile_view *v = world_view(w, p, ids[1]);
    assert_int_equal(v->n_events, 1);
    assert_int_equal(v->events[0].count, 6);
    assert_int_equal(v->events[0].last, (msec_t)WORLD_DAY * MSEC_PER_DAY);
    assert_int_equal(v->events[0].n_sums, 1);
    assert_true(v->events[0].sums[0].real == 9.0);
    world_check(w);
}

static bool count_row(void *ctx, struct bytes key, struct bytes value)
{
    (void)value;
    *(size_t *)ctx += key.len > 9 && key.data[9] == 'R';
    return true;
}

static void test_apply_old_behaviour_is_let_go(void **state)
{
    struct world *w = *state;
    struct identity id = world_id(w, "phone", 0, 1);
    struct command c = world_event(w, 0, 1, &id, 1, 0);
    size_t rows = 0;
    c.behaviour = world_order(w, WORLD_DAY - 1000, 1000000, "x");
    assert_int_equal(world_run(w, &c).status, REPLY_OK);
    c = world_event(w, 0, 2, &id, 1, 0);
    c.behaviour = world_order(w, WORLD_DAY, 1000000, "x");
    assert_int_equal(world_run(w, &c).status, REPLY_OK);
    store_scan(w->stores[0], bytes_of_str("F"), count_row, &rows);
    assert_int_equal(rows, 1);
    assert_int_equal(world_view(w, 0, id)->events[0].count, 2); /* totals stay */
}

static void test_apply_values_follow_the_latest(void **state)
{
    struct world *w = *state;
    struct identity id = world_id(w, "phone", 0, 1);
    struct command c = world_event(w, 0, 1, &id, 1, 0);
    c.facts = world_facts(w, 0, "上海", "vip", w->now);
    assert_int_equal(world_run(w, &c).status, REPLY_OK);
    c = world_event(w, 0, 2, &id, 1, 0);
    c.facts = world_facts(w, 0, "杭州", NULL, w->now - 5);
    assert_int_equal(world_run(w, &c).status, REPLY_OK);
    assert_true(bytes_equal(view_trait(world_view(w, 0, id), "city"), bytes_of_str("上海")));
    c = world_event(w, 0, 3, &id, 1, 0);
    c.facts = world_facts(w, 0, "杭州", "-vip", w->now + 5);
    assert_int_equal(world_run(w, &c).status, REPLY_OK);
    struct profile_view *v = world_view(w, 0, id);
    assert_true(bytes_equal(view_trait(v, "city"), bytes_of_str("杭州")));
    assert_int_equal(v->n_tags, 0);
    world_check(w);
}

static void test_apply_level_and_growth(void **state)
{
    struct world *w = *state;
    struct identity id = world_id(w, "phone", 0, 1);
    struct fact f = {.kind = FACT_SUM,
                     .name = name_id_of(NAME_TRAIT, bytes_of_str("growth")),
                     .type = FACT_NUMBER,
                     .number = 999};
    const char *levels[] = {"", "silver", "gold"};
    const int64_t adds[] = {999, 1, 4000};
    for (unsigned i = 0; i < 3; i++) {
        struct facts_builder b;
        struct buf out = {0};
        f.number = adds[i];
        facts_builder_init(&b, &w->arena);
        facts_builder_add(&b, &f);
        assert_true(facts_builder_finish(&b, &out));
        struct command c = world_event(w, 0, i, &id, 1, 0);
        c.facts = buf_bytes(&out);
        assert_int_equal(world_run(w, &c).status, REPLY_OK);
        buf_free(&out);
        assert_true(bytes_equal(world_view(w, 0, id)->level, bytes_of_str(levels[i])));
    }
    world_check(w);
}

static void test_apply_refuses_bad_commands(void **state)
{
    struct world *w = *state;
    struct identity id = world_id(w, "phone", 0, 1), none = {0};
    struct command c = world_event(w, 0, 1, &id, 1, 1);
    struct reply r;
    c.behaviour = bytes_of_str("junk");
    machine_apply(w->machines[0], w->now, &c, &w->arena, &r);
    assert_int_equal(r.status, REPLY_ERROR);
    assert_int_equal(r.error, ERR_MALFORMED);
    c = world_event(w, 0, 1, &id, 1, 1);
    c.ids = &none;
    machine_apply(w->machines[0], w->now, &c, &w->arena, &r);
    assert_int_equal(r.status, REPLY_ERROR);
    c = (struct command){.type = COMMAND_STATS};
    machine_apply(w->machines[0], w->now, &c, &w->arena, &r);
    assert_int_equal(r.status, REPLY_ERROR);
    c = world_event(w, 0, 1, &id, 1, 1);
    machine_read(w->machines[0], w->now, &c, &w->arena, &r);
    assert_int_equal(r.status, REPLY_ERROR);
    assert_int_equal(world_stats(w, 0)->events, 0);
}

static void test_apply_state_survives_reopening(void **state)
{
    struct world *w = *state;
    struct identity id = world_id(w, "phone", 0, 1);
    one_id p = world_open(w, id);
    world_reopen(w);
    assert_int_equal(world_stats(w, 0)->profiles, 1);
    /* The clock and the allocator do not go back. */
    w->now -= 100000;
    one_id q = world_open(w, world_id(w, "phone", 0, 2));
    assert_true(one_id_lamport(q) >= one_id_lamport(p));
    assert_true(q != p);
    world_check(w);
}

static void test_apply_damaged_rows_stop_the_machine(void **state)
{
    struct world *w = *state;
    struct identity id = world_id(w, "phone", 0, 1);
    one_id p = world_open(w, id);
    uint8_t key[9] = {'P'};
    for (size_t i = 0; i < 8; i++)
        key[1 + i] = (uint8_t)(p >> (56 - 8 * i));
    store_put(w->stores[0], bytes_of(key, 9), bytes_of_str("\x01\x01"));
    struct reply r = world_apply(w, p, 1, &id, 1, 1);
    assert_int_equal(r.status, REPLY_ERROR);
    assert_int_equal(r.error, ERR_CORRUPT);
    assert_int_equal(machine_error(w->machines[0], NULL), ERR_CORRUPT);
    assert_int_equal(world_apply(w, 0, 2, &id, 1, 1).status, REPLY_ERROR);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_apply_opens_a_profile_of_one),
        TEST(test_apply_binds_new_identities_of_the_shard),
        TEST(test_apply_merges_profiles_of_the_shard_into_the_older),
        TEST(test_apply_new_strong_key_joins_the_known_person),
        TEST(test_apply_says_what_other_shards_have),
        TEST(test_apply_answers_a_wrong_start),
        TEST(test_apply_refuses_beyond_the_limit),
        TEST(test_apply_shared_key_never_merges),
        TEST(test_apply_tags_beyond_the_limit_are_refused),
        TEST(test_apply_a_skip_that_was_linked_meanwhile_is_no_refusal),
        TEST(test_apply_behaviour_is_shown_and_indexed),
        TEST(test_apply_old_behaviour_is_let_go),
        TEST(test_apply_values_follow_the_latest),
        TEST(test_apply_level_and_growth),
        TEST(test_apply_refuses_bad_commands),
        TEST(test_apply_state_survives_reopening),
        TEST(test_apply_damaged_rows_stop_the_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
