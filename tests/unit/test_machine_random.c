/* Random events over three shards by a small router that dies anywhere, with late copies of its
 * commands, against what must hold: who is with whom, and each message counted once. */
#include "machine_rig.h"

#include <base/hash.h>
#include <base/rng.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { IDS = 48, EVENTS = 300, KEPT = 16, TRIES = 60 };

struct message {
    unsigned ids[3], n; /* indexes into ids */
    int64_t points;
    bool acked;
};

struct game {
    struct world *w;
    struct rng rng;
    struct identity ids[IDS];
    struct message messages[EVENTS];
    unsigned n_messages;
    unsigned acked[IDS], tried[IDS]; /* union-find: linked for sure, and possibly */
    bool dying, dead;
    struct command kept[KEPT]; /* for late copies */
    unsigned n_kept;
};

/* --- union-find --- */

static unsigned root_of(unsigned *parent, unsigned i)
{
    while (parent[i] != i)
        i = parent[i];
    return i;
}

static void unite(unsigned *parent, unsigned a, unsigned b)
{
    parent[root_of(parent, a)] = root_of(parent, b);
}

/* --- the router --- */

/* Sends a command, unless the router dies before; the reply is lost if it dies after. */
static struct reply send(struct game *g, const struct command *c)
{
    struct reply none = {.status = REPLY_ERROR};
    if (g->dead || (g->dying && rng_below(&g->rng, 25) == 0)) {
        g->dead = true;
        return none;
    }
    if (!command_is_read(c->type))
        g->kept[g->n_kept++ % KEPT] = *c;
    if (rng_below(&g->rng, 4) == 0)
        g->w->now++;
    struct reply r = world_run(g->w, c);
    assert_int_not_equal(r.status, REPLY_WRONG_SHARD);
    assert_int_not_equal(r.status, REPLY_ERROR);
    if (g->dying && rng_below(&g->rng, 25) == 0)
        g->dead = true;
    return g->dead ? none : r;
}

static struct identity *pair_of(struct game *g, struct identity x, struct identity y)
{
    struct identity *pair = arena_alloc(&g->w->arena, 2 * sizeof *pair);
    assert_non_null(pair);
    pair[0] = x;
    pair[1] = y;
    return pair;
}

static void close_merge(struct game *g, one_id l, uint32_t epoch, one_id to, const struct reply *r)
{
    for (size_t i = 0; i < r->n_holders; i++) {
        struct command c = {.type = COMMAND_REPAIR,
                            .profile = to,
                            .version = r->holders[i].version,
                            .ids = &r->holders[i].id,
                            .n_ids = 1};
        send(g, &c);
    }
    struct command c = {.type = COMMAND_DONE, .profile = l, .epoch = epoch};
    send(g, &c);
}

static enum reply_status absorb(struct game *g, one_id l, uint32_t epoch, one_id to,
                                struct identity b, struct identity a, struct bytes content,
                                one_id *busy_with)
{
    struct command c = world_pair(COMMAND_ABSORB, to, l, epoch, pair_of(g, a, b));
    c.content = content;
    struct reply r = send(g, &c);
    *busy_with = r.other;
    if (r.status == REPLY_ABSORBED) {
        close_merge(g, l, epoch, to, &r);
    } else if (r.status == REPLY_REFUSED || r.status == REPLY_STALE) {
        struct command abort = {.type = COMMAND_ABORT, .profile = l, .epoch = epoch};
        send(g, &abort);
    }
    return r.status;
}

static void help(struct game *g, one_id l)
{
    for (int i = 0; i < TRIES && !g->dead; i++) {
        struct command c = {.type = COMMAND_LOCATE, .profile = l, .want_content = true};
        struct reply at = send(g, &c);
        one_id busy;
        if (at.status != REPLY_MERGING)
            return;
        if (absorb(g, l, at.epoch, at.other, at.ids[0], at.ids[1], at.content, &busy) == REPLY_BUSY)
            help(g, at.other);
    }
}

enum linked { LINKED, LINK_REFUSED, LINK_AGAIN };

/* Brings id j to the profile p that holds id i, as far as one round can. */
static enum linked link_to(struct game *g, const struct reply *apply, struct identity i,
                           struct identity j, one_id at)
{
    one_id p = apply->profile, busy;
    bool shared = !schema_namespace_by_id(g->w->schema, j.ns)->bridges;
    if (at == 0) {
        struct command c = world_pair(COMMAND_CLAIM, p, 0, 0, pair_of(g, j, i));
        struct reply r = send(g, &c);
        if (r.status == REPLY_CLAIMED) {
            absorb(g, r.profile, r.epoch, p, j, i, bytes_of(NULL, 0), &busy);
            return LINK_AGAIN;
        }
        if (r.status != REPLY_KNOWN)
            return LINK_AGAIN;
        at = r.profile;
    }
    for (int hops = 0; hops < TRIES && !g->dead; hops++) {
        struct command c = {
            .type = COMMAND_LOCATE, .profile = at, .ids = pair_of(g, j, i), .n_ids = 1};
        struct reply r = send(g, &c);
        if (r.status == REPLY_GOTO) {
            at = r.profile;
            continue;
        }
        if (r.status == REPLY_MERGING)
            help(g, at);
        if (r.status != REPLY_HERE || at == p)
            return LINK_AGAIN;
        if (shared)
            return LINK_REFUSED;
        bool p_loses = at < p;
        one_id l = p_loses ? p : at, w = p_loses ? at : p;
        c = world_pair(COMMAND_FREEZE, l, w, p_loses ? apply->epoch : r.epoch,
                       p_loses ? pair_of(g, i, j) : pair_of(g, j, i));
        struct reply f = send(g, &c);
        if (f.status != REPLY_FROZEN)
            return LINK_AGAIN;
        enum reply_status s = absorb(g, l, f.epoch, w, c.ids[0], c.ids[1], f.content, &busy);
        return s == REPLY_REFUSED ? LINK_REFUSED : LINK_AGAIN;
    }
    return LINK_AGAIN;
}

static bool has_skip(const struct skip *skips, size_t n, struct identity id)
{
    for (size_t i = 0; i < n; i++) {
        if (identity_equal(skips[i].id, id))
            return true;
    }
    return false;
}

static void acknowledge(struct game *g, struct message *m, const struct reply *r)
{
    m->acked = true;
    for (unsigned k = 1; k < m->n; k++) {
        if (!has_skip(r->refused, r->n_refused, g->ids[m->ids[k]]))
            unite(g->acked, m->ids[0], m->ids[k]);
    }
}

static struct command command_of(struct game *g, unsigned number, one_id p,
                                 const struct skip *skips, size_t n_skips)
{
    struct message *m = &g->messages[number];
    struct identity ids[3];
    size_t n = 0;
    for (unsigned k = 0; k < m->n; k++) {
        if (!has_skip(skips, n_skips, g->ids[m->ids[k]]))
            ids[n++] = g->ids[m->ids[k]];
    }
    struct command c = world_event(g->w, p, number, ids, n, m->points);
    if (number % 3 == 0)
        c.behaviour = world_order(g->w, WORLD_DAY - (int32_t)(number % 90), m->points * 1000, "x");
    if (number % 4 == 0)
        c.facts = world_facts(g->w, m->points, number % 8 ? "a" : "b", number % 5 ? "t" : "-t",
                              (msec_t)number);
    if (n_skips == 0)
        return c;
    c.skips = arena_alloc(&g->w->arena, n_skips * sizeof *c.skips);
    assert_non_null(c.skips);
    memcpy(c.skips, skips, n_skips * sizeof *c.skips);
    c.n_skips = n_skips;
    return c;
}

static void ingest(struct game *g, unsigned number)
{
    struct message *m = &g->messages[number];
    struct skip skips[3];
    size_t n_skips = 0;
    one_id p = 0;
    for (unsigned k = 1; k < m->n; k++)
        unite(g->tried, m->ids[0], m->ids[k]);
    for (int i = 0; i < TRIES && !g->dead; i++) {
        struct command c = command_of(g, number, p, skips, n_skips);
        struct reply r = send(g, &c);
        if (r.status == REPLY_OK || r.status == REPLY_DUP) {
            acknowledge(g, m, &r);
            return;
        }
        p = r.status == REPLY_GOTO || r.status == REPLY_MISSING ? r.profile : 0;
        if (r.status == REPLY_MERGING)
            help(g, r.profile);
        for (size_t k = 0; r.status == REPLY_MISSING && k < r.n_missing && !g->dead; k++) {
            struct identity j = c.ids[r.missing[k].index];
            if (link_to(g, &r, c.ids[0], j, r.missing[k].hint) == LINK_REFUSED)
                skips[n_skips++] = (struct skip){
                    j, schema_namespace_by_id(g->w->schema, j.ns)->bridges ? REFUSAL_LIMIT
                                                                           : REFUSAL_NON_BRIDGING};
        }
    }
    assert_true(g->dead);
}

/* --- what must hold --- */

struct seen {
    struct game *g;
    unsigned shard;
    struct {
        one_id id, target;
        int state;
        one_id absorbed[64];
        size_t n_absorbed;
        unsigned ids[IDS];
        size_t n_ids;
        int64_t points;
    } p[512];
    size_t n;
};

static unsigned place_of(const struct game *g, struct identity id)
{
    for (unsigned i = 0; i < IDS; i++) {
        if (identity_equal(g->ids[i], id))
            return i;
    }
    fail();
    return 0;
}

static void see(void *ctx, const struct machine_profile *p)
{
    struct seen *s = ctx;
    struct fact f;
    assert_true(s->n < sizeof s->p / sizeof s->p[0]);
    assert_true(p->n_absorbed <= 64);
    s->p[s->n].id = p->id;
    s->p[s->n].target = p->target;
    s->p[s->n].state = (int)p->state;
    s->p[s->n].n_absorbed = p->n_absorbed;
    for (size_t i = 0; i < p->n_absorbed; i++)
        s->p[s->n].absorbed[i] = p->absorbed[i];
    s->p[s->n].n_ids = p->n_ids;
    for (size_t i = 0; i < p->n_ids; i++)
        s->p[s->n].ids[i] = place_of(s->g, p->ids[i].id);
    name_id points = name_id_of(NAME_TRAIT, bytes_of_str("points"));
    s->p[s->n].points = 0;
    if (facts_find(p->view, FACT_SUM, points, bytes_of(NULL, 0), &f))
        s->p[s->n].points = f.number;
    s->n++;
}

/* LIVE, or MERGING while its target has not taken it. */
static bool is_effective(const struct seen *s, size_t at)
{
    if (s->p[at].state != PROFILE_MERGING)
        return s->p[at].state == PROFILE_LIVE;
    for (size_t i = 0; i < s->n; i++) {
        for (size_t k = 0; s->p[i].id == s->p[at].target && k < s->p[i].n_absorbed; k++) {
            if (s->p[i].absorbed[k] == s->p[at].id)
                return false;
        }
    }
    return true;
}

static unsigned holders_of_message(const struct game *g, const struct seen *s, unsigned number)
{
    char text[32];
    int len = snprintf(text, sizeof text, "m%u", number);
    struct identity primary = g->ids[g->messages[number].ids[0]];
    unsigned n = 0;
    for (size_t i = 0; i < s->n; i++) {
        n += is_effective(s, i) &&
             machine_has_message(g->w->machines[shard_of_profile(g->w, s->p[i].id)], s->p[i].id,
                                 primary, bytes_of(text, (size_t)len));
    }
    return n;
}

static void look(struct game *g, struct seen *s)
{
    *s = (struct seen){.g = g};
    for (unsigned i = 0; i < WORLD_SHARDS; i++)
        machine_each_profile(g->w->machines[i], &g->w->arena, see, s);
}

static void check_game(struct game *g, struct seen *s)
{
    unsigned holders[IDS] = {0};
    int64_t points = 0, counted = 0;
    look(g, s);
    for (size_t i = 0; i < s->n; i++) {
        assert_true(s->p[i].target < s->p[i].id);
        if (!is_effective(s, i))
            continue;
        points += s->p[i].points;
        for (size_t k = 0; k < s->p[i].n_ids; k++)
            holders[s->p[i].ids[k]]++;
    }
    for (unsigned i = 0; i < IDS; i++) {
        one_id p;
        uint32_t version;
        bool known = machine_index_entry(g->w->machines[shard_of_id(g->w, g->ids[i])], g->ids[i],
                                         &p, &version);
        assert_int_equal(holders[i], known);
    }
    for (unsigned m = 0; m < g->n_messages; m++) {
        unsigned n = holders_of_message(g, s, m);
        assert_true(n <= 1);
        if (g->messages[m].acked)
            assert_int_equal(n, 1);
        counted += n ? g->messages[m].points : 0;
    }
    assert_int_equal(points, counted);
    world_check(g->w);
}

/* At rest: nothing in flight, and the persons are what the events said. */
static void check_rest(struct game *g, struct seen *s)
{
    unsigned person[IDS];
    uint64_t distinct = 0;
    check_game(g, s);
    for (unsigned i = 0; i < IDS; i++)
        person[i] = IDS + i;
    for (size_t i = 0; i < s->n; i++) {
        assert_int_not_equal(s->p[i].state, PROFILE_MERGING);
        for (size_t k = 0; s->p[i].state == PROFILE_LIVE && k < s->p[i].n_ids; k++)
            person[s->p[i].ids[k]] = (unsigned)i + 1000;
    }
    for (unsigned a = 0; a < IDS; a++) {
        distinct += person[a] >= 1000;
        for (unsigned b = 0; b < a; b++) {
            if (root_of(g->acked, a) == root_of(g->acked, b))
                assert_int_equal(person[a], person[b]);
            if (person[a] == person[b])
                assert_int_equal(root_of(g->tried, a), root_of(g->tried, b));
        }
    }
    uint64_t identities = 0;
    for (unsigned i = 0; i < WORLD_SHARDS; i++) {
        identities += world_stats(g->w, i)->identities;
        assert_int_equal(machine_in_flight(g->w->machines[i]), 0);
    }
    assert_int_equal(identities, distinct);
}

static void come_to_rest(struct game *g)
{
    g->dying = g->dead = false;
    for (unsigned i = 0; i < WORLD_SHARDS; i++) {
        struct command c = {.type = COMMAND_SWEEP, .limit = 1000};
        struct reply r = world_run_at(g->w, i, &c);
        for (size_t k = 0; k < r.n_sweeps; k++) {
            if (r.sweeps[k].kind == SWEEP_MERGING)
                help(g, r.sweeps[k].profile);
        }
    }
}

/* --- the game --- */

static int by_priority(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return x < y ? -1 : x > y;
}

static void make_message(struct game *g, unsigned number)
{
    struct message *m = &g->messages[number];
    bool shown[IDS] = {false};
    unsigned n = 1 + (unsigned)rng_below(&g->rng, 3);
    m->points = 1 + (int64_t)rng_below(&g->rng, 1000);
    while (m->n < n) {
        unsigned i = (unsigned)rng_below(&g->rng, IDS);
        if (!shown[i])
            m->ids[m->n++] = i;
        shown[i] = true;
    }
    qsort(m->ids, m->n, sizeof m->ids[0], by_priority);
    g->n_messages = number + 1;
}

static void late_copy(struct game *g)
{
    unsigned have = g->n_kept < KEPT ? g->n_kept : KEPT;
    if (have && rng_below(&g->rng, 3) == 0) {
        struct command c = g->kept[rng_below(&g->rng, have)];
        assert_int_not_equal(world_run(g->w, &c).status, REPLY_ERROR);
    }
}

static void play(struct world *w, uint64_t seed, uint32_t limit)
{
    static const char *const names[] = {"phone", "unionid", "openid", "tmall", "order", "device"};
    static struct game game;
    static struct seen seen;
    struct game *g = &game;
    *g = (struct game){.w = w, .rng = rng_of_seed(seed)};
    for (size_t i = 0; i < w->schema->n_namespaces; i++)
        w->schema->namespaces[i].limit = limit;
    for (unsigned i = 0; i < IDS; i++) {
        g->ids[i] = world_id(w, names[i / 8], (unsigned)rng_below(&g->rng, WORLD_SHARDS), i);
        g->acked[i] = g->tried[i] = i;
    }
    for (unsigned m = 0; m < EVENTS; m++) {
        make_message(g, m);
        g->dead = false;
        g->dying = rng_below(&g->rng, 3) == 0;
        ingest(g, m);
        late_copy(g);
        /* A client sends again what was not acknowledged, now and then also what was. */
        unsigned again = (unsigned)rng_below(&g->rng, m + 1);
        g->dead = g->dying = false;
        if (!g->messages[again].acked || rng_below(&g->rng, 4) == 0)
            ingest(g, again);
        if (m % 50 == 49)
            check_game(g, &seen);
    }
    come_to_rest(g);
    check_rest(g, &seen);
    world_replay(w);
}

static void test_random_events_without_limits(void **state)
{
    play(*state, 1, 1000);
}

static void test_random_events_with_limits(void **state)
{
    play(*state, 2, 3);
}

static void test_random_events_with_tight_limits(void **state)
{
    play(*state, 3, 2);
}

static void test_random_events_again(void **state)
{
    play(*state, 4, 5);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_random_events_without_limits),
        TEST(test_random_events_with_limits),
        TEST(test_random_events_with_tight_limits),
        TEST(test_random_events_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
