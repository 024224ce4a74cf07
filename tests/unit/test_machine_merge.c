/* The merge protocol between shards. The table "what goes wrong when a guard is missing" of
 * docs/protocol.md names the guards; each that concerns merges has its test here. */
#include "machine_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* W with identity a at shard 0, L with b at shard 1, L the younger; both have a point. */
struct pair {
    struct identity a, b;
    one_id w, l;
};

static struct pair make_pair(struct world *w)
{
    struct pair p = {.a = world_id(w, "openid", 0, 1), .b = world_id(w, "phone", 1, 1)};
    p.w = world_open(w, p.a);
    w->now += 10;
    p.l = world_open(w, p.b);
    return p;
}

static struct reply freeze(struct world *w, const struct pair *p, uint32_t epoch)
{
    struct identity ids[2] = {p->b, p->a};
    struct command c = world_pair(COMMAND_FREEZE, p->l, p->w, epoch, ids);
    c.want_content = true;
    return world_run(w, &c);
}

static struct reply absorb(struct world *w, const struct pair *p, uint32_t epoch,
                           struct bytes content)
{
    struct identity ids[2] = {p->a, p->b};
    struct command c = world_pair(COMMAND_ABSORB, p->w, p->l, epoch, ids);
    c.content = content;
    return world_run(w, &c);
}

static void test_merge_between_shards(void **state)
{
    struct world *w = *state;
    struct pair p = make_pair(w);
    struct reply f = freeze(w, &p, 0);
    assert_int_equal(f.status, REPLY_FROZEN);
    assert_int_equal(f.epoch, 1);
    assert_int_equal(world_stats(w, 1)->merging, 1);
    assert_int_equal(world_stats(w, 1)->profiles, 0);
    world_check(w);
    struct reply r = absorb(w, &p, 1, f.content);
    assert_int_equal(r.status, REPLY_ABSORBED);
    assert_int_equal(r.n_holders, 1);
    assert_true(identity_equal(r.holders[0].id, p.b));
    assert_int_equal(r.holders[0].version, 1);
    assert_int_equal(world_stats(w, 0)->merges, 1);
    world_check(w);
    assert_int_equal(world_repair(w, p.b, p.w, 1).status, REPLY_OK);
    assert_int_equal(world_simple(w, COMMAND_DONE, p.l, 1).status, REPLY_OK);
    world_check(w);
    struct profile_view *v = world_view(w, 0, p.b);
    assert_int_equal(v->id, p.w);
    assert_int_equal(v->n_ids, 2);
    assert_int_equal(view_counter(v, "points"), 2);
    assert_int_equal(world_view(w, p.l, p.b)->id, p.w);
    assert_int_equal(world_stats(w, 1)->tombstones, 1);
    assert_int_equal(world_stats(w, 1)->identities + world_stats(w, 0)->identities, 2);
    /* The event names both: the edge is there, and the hop is one. */
    struct identity both[2] = {p.b, p.a};
    assert_int_equal(world_apply(w, p.w, 9, both, 2, 5).status, REPLY_OK);
    world_replay(w);
}

/* A merge that could not travel is refused before anything is frozen. */
static void test_merge_too_large_is_refused_before_it_begins(void **state)
{
    struct world *w = *state;
    struct pair p = make_pair(w);
    w->options.content_max = 16;
    world_reopen(w);
    struct reply f = freeze(w, &p, 0);
    assert_int_equal(f.status, REPLY_REFUSED);
    assert_int_equal(f.reason, REFUSAL_TOO_LARGE);
    assert_int_equal(world_stats(w, 1)->merging, 0);
    assert_int_equal(world_locate(w, p.l, p.b, false).status, REPLY_HERE);
    w->options.content_max = 0;
    world_reopen(w);
    assert_int_equal(freeze(w, &p, 0).status, REPLY_FROZEN);
    world_check(w);
}

/* Who helps does not know the message: the event's own APPLY must still find no edge. */
static void test_merge_helped_leaves_the_evidence_to_the_event(void **state)
{
    struct world *w = *state;
    struct pair p = make_pair(w);
    struct reply f = freeze(w, &p, 0);
    struct identity ids[2] = {p.a, p.b}, both[2] = {p.b, p.a};
    struct command c = world_pair(COMMAND_ABSORB, p.w, p.l, 1, ids);
    c.content = f.content;
    c.message_id = c.source = bytes_of(NULL, 0);
    c.ts = 0;
    assert_int_equal(world_run(w, &c).status, REPLY_ABSORBED);
    uint64_t before = store_digest(w->stores[0]);
    assert_int_equal(world_apply(w, p.w, 9, both, 2, 5).status, REPLY_OK);
    assert_true(store_digest(w->stores[0]) != before);
    struct bytes record;
    uint8_t key[9] = {'P'};
    for (int i = 0; i < 8; i++)
        key[1 + i] = (uint8_t)(p.w >> (56 - 8 * i));
    assert_true(store_get(w->stores[0], bytes_of(key, 9), &record));
    bool named = false; /* the edge of message "m9" is in the record */
    for (size_t i = 0; i + 2 <= record.len && !named; i++)
        named = memcmp(record.data + i, "m9", 2) == 0;
    assert_true(named);
}

static void test_merge_claim_leaves_no_tombstone(void **state)
{
    struct world *w = *state;
    struct identity a = world_id(w, "openid", 0, 1), b = world_id(w, "phone", 1, 1);
    one_id to = world_open(w, a);
    struct identity ids[2] = {b, a};
    struct command c = world_pair(COMMAND_CLAIM, to, 0, 0, ids);
    struct reply r = world_run(w, &c);
    assert_int_equal(r.status, REPLY_CLAIMED);
    assert_int_equal(r.epoch, 1);
    assert_true(one_id_lamport(r.profile) > one_id_lamport(to));
    assert_int_equal(world_run(w, &c).status, REPLY_KNOWN);
    assert_int_equal(world_stats(w, 1)->profiles, 0);
    struct pair p = {a, b, to, r.profile};
    assert_int_equal(absorb(w, &p, 1, bytes_of(NULL, 0)).status, REPLY_ABSORBED);
    assert_int_equal(world_repair(w, b, to, 1).status, REPLY_OK);
    assert_int_equal(world_simple(w, COMMAND_DONE, p.l, 1).status, REPLY_OK);
    assert_int_equal(world_locate(w, p.l, b, false).status, REPLY_ABSENT);
    assert_int_equal(world_stats(w, 1)->tombstones, 0);
    assert_int_equal(world_stats(w, 0)->merges, 0);
    assert_int_equal(world_view(w, 0, b)->n_ids, 2);
    world_check(w);
    world_replay(w);
}

static void test_merge_claim_with_its_real_content_is_the_same(void **state)
{
    struct world *w = *state;
    struct identity a = world_id(w, "openid", 0, 1), b = world_id(w, "phone", 1, 1);
    one_id to = world_open(w, a);
    struct identity ids[2] = {b, a};
    struct command c = world_pair(COMMAND_CLAIM, to, 0, 0, ids);
    struct pair p = {a, b, to, world_run(w, &c).profile};
    struct reply at = world_locate(w, p.l, b, true);
    assert_int_equal(at.status, REPLY_MERGING);
    assert_int_equal(at.other, to);
    assert_true(identity_equal(at.ids[0], b));
    assert_true(identity_equal(at.ids[1], a));
    assert_int_equal(absorb(w, &p, 1, at.content).status, REPLY_ABSORBED);
    /* DONE before REPAIR: a tombstone stays, because the index still points to it. */
    assert_int_equal(world_simple(w, COMMAND_DONE, p.l, 1).status, REPLY_OK);
    assert_int_equal(world_stats(w, 1)->tombstones, 1);
    assert_int_equal(world_stats(w, 0)->merges, 0);
    assert_int_equal(world_view(w, 0, b)->id, to);
    world_check(w);
}

static void test_merge_in_one_shard_by_commands(void **state)
{
    struct world *w = *state;
    struct pair p = {.a = world_id(w, "openid", 0, 1), .b = world_id(w, "phone", 0, 1)};
    p.w = world_open(w, p.a);
    w->now += 10;
    p.l = world_open(w, p.b);
    struct command c = world_event(w, p.l, 3, &p.b, 1, 4);
    c.behaviour = world_order(w, WORLD_DAY, 2500000, "x");
    assert_int_equal(world_run(w, &c).status, REPLY_OK);
    struct reply f = freeze(w, &p, 0);
    assert_int_equal(absorb(w, &p, 1, f.content).status, REPLY_ABSORBED);
    one_id at;
    uint32_t version;
    assert_true(machine_index_entry(w->machines[0], p.b, &at, &version)); /* repaired at once */
    assert_int_equal(at, p.w);
    world_check(w);
    assert_int_equal(world_simple(w, COMMAND_DONE, p.l, 1).status, REPLY_OK);
    world_check(w);
    struct profile_view *v = world_view(w, 0, p.b);
    assert_int_equal(view_counter(v, "points"), 6);
    assert_int_equal(v->events[0].count, 1);
    assert_int_equal(world_apply(w, 0, 3, &p.b, 1, 4).status, REPLY_DUP);
}

/* Guard: APPLY is not allowed on a frozen L; message ids answer there all the same. */
static void test_merge_apply_waits_for_a_frozen_profile(void **state)
{
    struct world *w = *state;
    struct pair p = make_pair(w);
    assert_int_equal(world_apply(w, p.l, 7, &p.b, 1, 5).status, REPLY_OK);
    freeze(w, &p, 0);
    struct reply r = world_apply(w, p.l, 8, &p.b, 1, 5);
    assert_int_equal(r.status, REPLY_MERGING);
    assert_int_equal(r.other, p.w);
    assert_int_equal(r.epoch, 1);
    assert_int_equal(world_apply(w, p.l, 7, &p.b, 1, 5).status, REPLY_DUP);
    assert_int_equal(view_counter(world_view(w, p.l, p.b), "points"), 6); /* the snapshot */
}

/* Guard: `absorbed` is tested before all else, in any state of W. */
static void test_merge_absorbed_is_said_again_in_any_state(void **state)
{
    struct world *w = *state;
    struct pair p = make_pair(w);
    struct reply f = freeze(w, &p, 0);
    assert_int_equal(absorb(w, &p, 1, f.content).status, REPLY_ABSORBED);
    struct reply again = absorb(w, &p, 1, f.content);
    assert_int_equal(again.status, REPLY_ABSORBED);
    assert_int_equal(again.n_holders, 1);
    assert_int_equal(view_counter(world_view(w, 0, p.a), "points"), 2);
    /* W goes on into an older profile of shard 2. */
    struct identity c = world_id(w, "unionid", 2, 1);
    w->now -= 1000;
    struct command open = world_event(w, 0, 50, &c, 1, 1);
    one_id older = world_run(w, &open).profile;
    assert_true(older < p.w);
    struct pair up = {c, p.a, older, p.w};
    struct reply g = freeze(w, &up, 0);
    assert_int_equal(g.status, REPLY_FROZEN);
    assert_int_equal(absorb(w, &p, 1, f.content).status, REPLY_ABSORBED); /* MERGING */
    assert_int_equal(absorb(w, &up, 1, g.content).status, REPLY_ABSORBED);
    assert_int_equal(world_simple(w, COMMAND_DONE, p.w, 1).status, REPLY_OK);
    again = absorb(w, &p, 1, f.content); /* REDIRECT */
    assert_int_equal(again.status, REPLY_ABSORBED);
    assert_int_equal(again.n_holders, 1);
    assert_int_equal(world_view(w, p.l, p.b)->id, p.l); /* not DONE yet: the snapshot */
    assert_int_equal(world_simple(w, COMMAND_DONE, p.l, 1).status, REPLY_OK);
    assert_int_equal(world_view(w, p.l, p.b)->id, older);
    assert_int_equal(view_counter(world_view(w, 0, p.b), "points"), 3);
    world_check(w);
}

/* Guard: DONE and ABORT carry the epoch. */
static void test_merge_done_and_abort_want_the_epoch(void **state)
{
    struct world *w = *state;
    struct pair p = make_pair(w);
    freeze(w, &p, 0);
    world_simple(w, COMMAND_ABORT, p.l, 0);
    world_simple(w, COMMAND_DONE, p.l, 2);
    assert_int_equal(world_locate(w, p.l, p.b, false).status, REPLY_MERGING);
    world_simple(w, COMMAND_ABORT, p.l, 1);
    struct reply r = world_locate(w, p.l, p.b, false);
    assert_int_equal(r.status, REPLY_HERE);
    assert_int_equal(r.epoch, 1);
    world_check(w);
    /* A FREEZE of the old epoch does not come back, the next one does; a late ABORT is nothing. */
    assert_int_equal(freeze(w, &p, 0).status, REPLY_HERE);
    assert_int_equal(freeze(w, &p, 1).status, REPLY_FROZEN);
    world_simple(w, COMMAND_ABORT, p.l, 1);
    assert_int_equal(world_locate(w, p.l, p.b, false).status, REPLY_MERGING);
}

/* Guard: a fence on refusal, for this attempt and older ones, but not for the next. */
static void test_merge_refusal_is_final_for_its_attempt(void **state)
{
    struct world *w = *state;
    struct identity first[2] = {world_id(w, "member", 0, 1), world_id(w, "openid", 0, 1)};
    struct identity second[2] = {world_id(w, "member", 1, 2), world_id(w, "phone", 1, 1)};
    struct pair p = {.a = first[1], .b = second[1]};
    p.w = world_apply(w, 0, 1, first, 2, 1).profile;
    w->now += 10;
    p.l = world_apply(w, 0, 2, second, 2, 1).profile;
    struct reply f = freeze(w, &p, 0);
    struct reply r = absorb(w, &p, 1, f.content);
    assert_int_equal(r.status, REPLY_REFUSED);
    assert_int_equal(r.reason, REFUSAL_LIMIT);
    world_simple(w, COMMAND_ABORT, p.l, 1);
    world_check(w);
    /* The limit is lifted; the late copy is refused all the same, since L is LIVE by now. */
    w->schema->namespaces[0].limit = 2;
    r = absorb(w, &p, 1, f.content);
    assert_int_equal(r.status, REPLY_REFUSED);
    assert_int_equal(r.reason, REFUSAL_LIMIT);
    assert_int_equal(world_view(w, 0, p.b)->id, p.l);
    f = freeze(w, &p, 1);
    assert_int_equal(absorb(w, &p, 2, f.content).status, REPLY_ABSORBED);
    assert_int_equal(world_stats(w, 0)->identities, 4);
}

/* Guards: the evidence test, and the fence on stale. */
static void test_merge_without_evidence_is_stale_for_good(void **state)
{
    struct world *w = *state;
    struct pair p = make_pair(w), wrong = p;
    struct reply f = freeze(w, &p, 0);
    wrong.a = world_id(w, "openid", 0, 99);
    assert_int_equal(absorb(w, &wrong, 1, f.content).status, REPLY_STALE);
    assert_int_equal(absorb(w, &p, 1, f.content).status, REPLY_STALE);
    world_simple(w, COMMAND_ABORT, p.l, 1);
    assert_int_equal(view_counter(world_view(w, 0, p.a), "points"), 1);
    world_check(w);
}

/* Guard: the order of One-IDs. */
static void test_merge_goes_into_the_older_only(void **state)
{
    struct world *w = *state;
    struct pair p = make_pair(w), reverse = {p.b, p.a, p.l, p.w};
    assert_int_equal(freeze(w, &reverse, 0).status, REPLY_HERE);
    assert_int_equal(world_stats(w, 0)->merging, 0);
}

static void test_merge_busy_and_stale_targets(void **state)
{
    struct world *w = *state;
    struct identity c = world_id(w, "unionid", 2, 1);
    one_id oldest = world_open(w, c);
    w->now += 10;
    struct pair p = make_pair(w), up = {c, p.a, oldest, p.w};
    struct reply f = freeze(w, &p, 0), g = freeze(w, &up, 0);
    struct reply r = absorb(w, &p, 1, f.content);
    assert_int_equal(r.status, REPLY_BUSY);
    assert_int_equal(r.other, oldest);
    assert_int_equal(absorb(w, &up, 1, g.content).status, REPLY_ABSORBED);
    world_simple(w, COMMAND_DONE, p.w, 1);
    assert_int_equal(absorb(w, &p, 1, f.content).status, REPLY_STALE);
    struct pair nowhere = p;
    nowhere.w = p.w + 1;
    assert_int_equal(absorb(w, &nowhere, 1, f.content).status, REPLY_STALE);
    world_simple(w, COMMAND_ABORT, p.l, 1);
    world_check(w);
}

/* Guard: APPLY tests that the required identities are in the profile. */
static void test_merge_apply_wants_all_identities(void **state)
{
    struct world *w = *state;
    struct pair p = make_pair(w);
    struct identity both[2] = {p.a, p.b};
    struct reply r = world_apply(w, p.w, 5, both, 2, 3);
    assert_int_equal(r.status, REPLY_MISSING);
    assert_int_equal(r.profile, p.w);
    assert_int_equal(world_stats(w, 0)->events, 1);
}

/* Guard: REPAIR never goes back and never creates. */
static void test_merge_repair_goes_forward_only(void **state)
{
    struct world *w = *state;
    struct pair p = make_pair(w);
    world_repair(w, p.b, p.w, 3);
    world_repair(w, p.b, p.l, 3);
    world_repair(w, p.b, p.l, 2);
    struct reply r = world_locate(w, 0, p.b, false);
    assert_int_equal(r.profile, p.w);
    assert_int_equal(r.version, 3);
    struct identity unknown = world_id(w, "phone", 1, 77);
    world_repair(w, unknown, p.w, 3);
    assert_int_equal(world_locate(w, 0, unknown, false).status, REPLY_ABSENT);
}

static void test_merge_aborted_claim_becomes_a_profile(void **state)
{
    struct world *w = *state;
    struct identity a = world_id(w, "openid", 0, 1), b = world_id(w, "phone", 1, 1);
    one_id to = world_open(w, a);
    struct identity ids[2] = {b, a};
    struct command c = world_pair(COMMAND_CLAIM, to, 0, 0, ids);
    one_id l = world_run(w, &c).profile;
    world_simple(w, COMMAND_ABORT, l, 1);
    assert_int_equal(world_stats(w, 1)->profiles, 1);
    world_check(w);
    struct pair p = {a, b, to, l};
    struct reply f = freeze(w, &p, 1);
    assert_int_equal(f.status, REPLY_FROZEN);
    assert_int_equal(absorb(w, &p, 2, f.content).status, REPLY_ABSORBED);
    assert_int_equal(world_stats(w, 0)->merges, 1); /* it had been somebody meanwhile */
    world_check(w);
}

static void test_merge_local_attempt_meets_a_merge_in_flight(void **state)
{
    struct world *w = *state;
    struct identity c = world_id(w, "unionid", 1, 5);
    one_id other = world_open(w, c);
    w->now += 10;
    struct pair p = make_pair(w);
    freeze(w, &p, 0);
    struct identity both[2] = {c, p.b}; /* b is here, but its profile is merging */
    struct reply r = world_apply(w, other, 60, both, 2, 1);
    assert_int_equal(r.status, REPLY_MISSING);
    assert_int_equal(r.n_missing, 1);
    assert_int_equal(r.missing[0].hint, p.l);
}

/* --- sweep and drop --- */

static struct reply sweep(struct world *w, unsigned shard, uint32_t age_ms)
{
    struct command c = {.type = COMMAND_SWEEP, .limit = 10, .age_ms = age_ms};
    return world_run_at(w, shard, &c);
}

/* A leader whose wall clock was days ahead gave the log its time; the next one's is right. */
static void test_sweep_lists_merges_that_began_in_the_future(void **state)
{
    struct world *w = *state;
    struct pair p = make_pair(w);
    w->now += INT64_C(3) * MSEC_PER_DAY;
    freeze(w, &p, 0);
    w->now -= INT64_C(3) * MSEC_PER_DAY;
    struct reply r = sweep(w, 1, 1000);
    assert_int_equal(r.n_sweeps, 1);
    assert_int_equal(r.sweeps[0].kind, SWEEP_MERGING);
    assert_int_equal(r.sweeps[0].profile, p.l);
}

static void test_sweep_lists_old_merges_and_tombstones(void **state)
{
    struct world *w = *state;
    struct pair p = make_pair(w);
    struct reply f = freeze(w, &p, 0);
    assert_int_equal(sweep(w, 1, 1000).n_sweeps, 0);
    w->now += 2000;
    struct reply r = sweep(w, 1, 1000);
    assert_int_equal(r.n_sweeps, 1);
    assert_int_equal(r.sweeps[0].kind, SWEEP_MERGING);
    assert_int_equal(r.sweeps[0].profile, p.l);
    world_reopen(w);
    assert_int_equal(sweep(w, 1, 1000).n_sweeps, 1);
    absorb(w, &p, 1, f.content);
    world_simple(w, COMMAND_DONE, p.l, 1);
    assert_int_equal(sweep(w, 1, 1000).n_sweeps, 0);
    w->now += INT64_C(401) * MSEC_PER_DAY;
    r = sweep(w, 1, 1000);
    assert_int_equal(r.n_sweeps, 1);
    assert_int_equal(r.sweeps[0].kind, SWEEP_TOMBSTONE);
    assert_int_equal(r.sweeps[0].n_ids, 1);
    assert_int_equal(r.sweeps[0].ids[0].version, 0);
    assert_int_equal(r.sweeps[0].n_absorbed, 0);
    world_simple(w, COMMAND_DROP, p.w, 0); /* LIVE: no */
    world_repair(w, p.b, p.w, 1);
    world_simple(w, COMMAND_DROP, p.l, 0);
    assert_int_equal(world_stats(w, 1)->tombstones, 0);
    assert_int_equal(sweep(w, 1, 1000).n_sweeps, 0);
    assert_int_equal(world_locate(w, p.l, p.b, false).status, REPLY_ABSENT);
    assert_int_equal(world_view(w, 0, p.b)->id, p.w);
    world_check(w);
}

/* --- bad content --- */

/* A profile with everything a content can hold, frozen; its content. */
static struct bytes rich_content(struct world *w, struct pair *p)
{
    *p = make_pair(w);
    struct identity ids[2] = {p->b, world_id(w, "openid", 1, 8)};
    for (unsigned i = 0; i < 4; i++) {
        struct command c = world_event(w, p->l, 100 + i, ids, 1 + i % 2, 1);
        c.facts = world_facts(w, 1, "上海", "vip", w->now);
        c.behaviour = world_order(w, WORLD_DAY - 70 * (int32_t)(i / 2), 1000000, "x");
        assert_int_equal(world_run(w, &c).status, REPLY_OK);
    }
    struct reply f = freeze(w, p, 0);
    assert_int_equal(f.status, REPLY_FROZEN);
    return f.content;
}

/* ABSORB past the wire: into a profile of its own each time, so that what is taken hurts nobody. */
static enum reply_status try_content(struct world *w, const struct pair *p, unsigned n,
                                     struct bytes content)
{
    struct identity a = world_id(w, "tmall", 0, n);
    struct identity ids[2] = {a, p->b};
    msec_t now = w->now;
    struct reply r;
    w->now = WORLD_NOW - 1000;
    struct command c = world_event(w, 0, 5000 + n, &a, 1, 1);
    one_id to = world_run(w, &c).profile;
    w->now = now;
    c = world_pair(COMMAND_ABSORB, to, p->l, 1, ids);
    c.content = content;
    machine_apply(w->machines[0], w->now, &c, &w->arena, &r);
    assert_true(r.status == REPLY_ABSORBED || r.status == REPLY_REFUSED ||
                (r.status == REPLY_ERROR && r.error == ERR_MALFORMED) ||
                (r.status == REPLY_ERROR && r.error == ERR_INVALID));
    /* Whatever was taken can be read. */
    struct command get = {.type = COMMAND_GET, .profile = to};
    machine_read(w->machines[0], w->now, &get, &w->arena, &r);
    assert_int_equal(r.status, REPLY_HERE);
    return r.status;
}

static void test_content_truncated_is_malformed(void **state)
{
    struct world *w = *state;
    struct pair p;
    struct bytes good = rich_content(w, &p);
    struct identity ids[2] = {p.a, p.b};
    for (size_t len = 1; len < good.len; len++) {
        struct command c = world_pair(COMMAND_ABSORB, p.w, p.l, 1, ids);
        struct reply r;
        uint8_t *copy = malloc(len); /* so that a sanitizer sees reads beyond it */
        assert_non_null(copy);
        memcpy(copy, good.data, len);
        c.content = bytes_of(copy, len);
        machine_apply(w->machines[0], w->now, &c, &w->arena, &r);
        assert_int_equal(r.status, REPLY_ERROR);
        assert_int_equal(r.error, ERR_MALFORMED);
        free(copy);
    }
    assert_int_equal(absorb(w, &p, 1, good).status, REPLY_ABSORBED);
    struct profile_view *v = world_view(w, p.w, p.b);
    assert_int_equal(view_counter(v, "points"), 6);
    assert_int_equal(v->events[0].count, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(world_apply(w, p.w, 100 + i, &p.b, 1, 1).status, REPLY_DUP);
    world_check(w);
}

static void test_content_with_a_flipped_byte_does_no_harm(void **state)
{
    struct world *w = *state;
    struct pair p;
    struct bytes good = rich_content(w, &p);
    unsigned n = 0;
    for (size_t i = 0; i < good.len; i++) {
        for (unsigned bit = 0; bit < 8; bit += 3) {
            uint8_t *copy = malloc(good.len);
            assert_non_null(copy);
            memcpy(copy, good.data, good.len);
            copy[i] = (uint8_t)(copy[i] ^ 1u << bit);
            try_content(w, &p, n++, bytes_of(copy, good.len));
            free(copy);
        }
    }
    assert_int_equal(machine_error(w->machines[0], NULL), ERR_OK);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_merge_between_shards),
        TEST(test_merge_too_large_is_refused_before_it_begins),
        TEST(test_merge_helped_leaves_the_evidence_to_the_event),
        TEST(test_merge_claim_leaves_no_tombstone),
        TEST(test_merge_claim_with_its_real_content_is_the_same),
        TEST(test_merge_in_one_shard_by_commands),
        TEST(test_merge_apply_waits_for_a_frozen_profile),
        TEST(test_merge_absorbed_is_said_again_in_any_state),
        TEST(test_merge_done_and_abort_want_the_epoch),
        TEST(test_merge_refusal_is_final_for_its_attempt),
        TEST(test_merge_without_evidence_is_stale_for_good),
        TEST(test_merge_goes_into_the_older_only),
        TEST(test_merge_busy_and_stale_targets),
        TEST(test_merge_apply_wants_all_identities),
        TEST(test_merge_repair_goes_forward_only),
        TEST(test_merge_aborted_claim_becomes_a_profile),
        TEST(test_merge_local_attempt_meets_a_merge_in_flight),
        TEST(test_sweep_lists_old_merges_and_tombstones),
        TEST(test_sweep_lists_merges_that_began_in_the_future),
        TEST(test_content_truncated_is_malformed),
        TEST(test_content_with_a_flipped_byte_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
