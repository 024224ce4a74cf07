/* The catalogue of saved segments and the day, as the machine keeps them. */
#include "machine_rig.h"

#include <base/rng.h>
#include <segment/catalogue.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct reply define(struct world *w, uint64_t version, const char *name, const char *expr)
{
    struct command c = {.type = COMMAND_SEGMENT_DEFINE,
                        .name = bytes_of_str(name),
                        .expr = bytes_of_str(expr),
                        .catalogue = version};
    return world_run_at(w, 0, &c);
}

static struct reply drop(struct world *w, uint64_t version, const char *name)
{
    struct command c = {
        .type = COMMAND_SEGMENT_DROP, .name = bytes_of_str(name), .catalogue = version};
    return world_run_at(w, 0, &c);
}

static struct reply sync_to(struct world *w, unsigned shard, struct bytes content)
{
    struct command c = {.type = COMMAND_SEGMENT_SYNC, .content = content};
    return world_run_at(w, shard, &c);
}

static struct bytes content_of(struct world *w, unsigned shard)
{
    struct buf out = {0};
    catalogue_encode(machine_catalogue(w->machines[shard]), &out);
    struct bytes copy = arena_copy(&w->arena, buf_bytes(&out));
    buf_free(&out);
    return copy;
}

static uint64_t version_of(struct world *w, unsigned shard)
{
    return machine_catalogue(w->machines[shard])->version;
}

static void test_segments_are_defined_at_the_authority_only(void **state)
{
    struct world *w = *state;
    struct reply r = define(w, 1, "s", "tag(a)");
    assert_int_equal(r.status, REPLY_OK);
    assert_int_equal(r.catalogue, 2);
    struct command c = {.type = COMMAND_SEGMENT_DEFINE,
                        .name = bytes_of_str("s"),
                        .expr = bytes_of_str("tag(a)"),
                        .catalogue = 1};
    assert_int_equal(world_run_at(w, 1, &c).status, REPLY_WRONG_SHARD);
    assert_int_equal(sync_to(w, 0, r.content).status, REPLY_ERROR);
    assert_int_equal(version_of(w, 0), 2);
}

/* A copy of an old definition that comes late must not undo a newer one. */
static void test_segments_late_copies_change_nothing(void **state)
{
    struct world *w = *state;
    assert_int_equal(define(w, 1, "s", "tag(a)").status, REPLY_OK);
    assert_int_equal(define(w, 2, "s", "tag(b)").status, REPLY_OK);
    struct reply r = define(w, 1, "s", "tag(a)");
    assert_int_equal(r.status, REPLY_STALE);
    assert_int_equal(r.catalogue, 3);
    assert_true(bytes_equal(r.content, content_of(w, 0)));
    assert_int_equal(drop(w, 2, "s").status, REPLY_STALE);
    assert_int_equal(define(w, 3, "s", "tag(").error, ERR_SYNTAX);
    assert_int_equal(version_of(w, 0), 3);
}

static void test_segments_sync_only_goes_forward(void **state)
{
    struct world *w = *state;
    struct bytes contents[6];
    for (unsigned i = 0; i < 6; i++) {
        char expr[32];
        (void)snprintf(expr, sizeof expr, "points > %u", i);
        contents[i] = arena_copy(&w->arena, define(w, i + 1, "s", expr).content);
    }
    static const unsigned ORDER[] = {2, 0, 2, 5, 3, 1, 5};
    static const uint64_t WANT[] = {4, 4, 4, 7, 7, 7, 7};
    for (size_t i = 0; i < sizeof ORDER / sizeof *ORDER; i++) {
        struct reply r = sync_to(w, 1, contents[ORDER[i]]);
        assert_int_equal(r.status, REPLY_OK);
        assert_int_equal(r.catalogue, WANT[i]);
    }
    assert_true(bytes_equal(content_of(w, 1), content_of(w, 0)));
    assert_int_equal(sync_to(w, 1, bytes_of_str("\x01\x09")).status, REPLY_ERROR);
    assert_int_equal(version_of(w, 1), 7);
}

static void test_day_never_goes_back(void **state)
{
    struct world *w = *state;
    static const int32_t DAYS[] = {20000, 20001, 19999, 20001},
                         WANT[] = {20000, 20001, 20001, 20001};
    for (size_t i = 0; i < 4; i++) {
        struct command c = {.type = COMMAND_DAY, .today = DAYS[i]};
        assert_int_equal(world_run_at(w, 0, &c).status, REPLY_OK);
        assert_int_equal(machine_today(w->machines[0]), WANT[i]);
        world_reopen(w);
        assert_int_equal(machine_today(w->machines[0]), WANT[i]);
    }
}

static void test_segments_read_says_only_what_is_new(void **state)
{
    struct world *w = *state;
    assert_int_equal(define(w, 1, "s", "tag(a)").status, REPLY_OK);
    struct command c = {.type = COMMAND_SEGMENTS, .catalogue = 2};
    struct reply r = world_run_at(w, 0, &c);
    assert_int_equal(r.catalogue, 2);
    assert_int_equal(r.content.len, 0);
    c.catalogue = 1;
    assert_true(bytes_equal(world_run_at(w, 0, &c).content, content_of(w, 0)));
    struct command sweep = {.type = COMMAND_SWEEP, .limit = 10};
    assert_int_equal(world_run_at(w, 0, &sweep).catalogue, 2);
    assert_int_equal(world_run_at(w, 1, &sweep).catalogue, 1);
    assert_int_equal(world_stats(w, 0)->catalogue, 2);
}

/* --- random commands, lost and doubled ones, restarts, and a replay at the end --- */

enum { NAMES = 6, STEPS = 400 };

struct model {
    char expr[NAMES][80]; /* empty: not defined */
    int uses[NAMES];      /* -1: none */
    uint64_t version;
};

static bool leads_to(const struct model *m, int from, int to)
{
    for (int at = from; at >= 0; at = m->uses[at]) {
        if (at == to)
            return true;
    }
    return false;
}

static bool is_used(const struct model *m, int name)
{
    for (int i = 0; i < NAMES; i++) {
        if (m->expr[i][0] && m->uses[i] == name)
            return true;
    }
    return false;
}

static void random_define(struct world *w, struct model *m, struct rng *rng)
{
    char name[8], expr[80];
    int k = (int)rng_below(rng, NAMES), uses = (int)rng_below(rng, NAMES + 4) - 4;
    uint64_t version = m->version - (m->version > 1 ? rng_below(rng, 8) / 7 : 0);
    (void)snprintf(name, sizeof name, "n%d", k);
    int n = snprintf(expr, sizeof expr, "points > %u", (unsigned)rng_below(rng, 3));
    if (uses >= 0)
        (void)snprintf(expr + n, sizeof expr - (size_t)n, " and segment(n%d)", uses);
    bool sound = uses < 0 || (m->expr[uses][0] && !leads_to(m, uses, k));
    struct reply r = define(w, version, name, expr);
    if (version != m->version) {
        assert_int_not_equal(r.status, REPLY_OK);
        return;
    }
    assert_int_equal(r.status, sound ? REPLY_OK : REPLY_ERROR);
    if (!sound)
        return;
    m->version += strcmp(m->expr[k], expr) != 0;
    memcpy(m->expr[k], expr, sizeof expr);
    m->uses[k] = uses < 0 ? -1 : uses;
}

static void random_drop(struct world *w, struct model *m, struct rng *rng)
{
    char name[8];
    int k = (int)rng_below(rng, NAMES);
    (void)snprintf(name, sizeof name, "n%d", k);
    bool ok = m->expr[k][0] && !is_used(m, k);
    assert_int_equal(drop(w, m->version, name).status, ok ? REPLY_OK : REPLY_ERROR);
    if (!ok)
        return;
    m->expr[k][0] = '\0';
    m->uses[k] = -1;
    m->version++;
}

static void compare(struct world *w, const struct model *m)
{
    const struct catalogue *c = machine_catalogue(w->machines[0]);
    size_t n = 0;
    assert_int_equal(c->version, m->version);
    for (int i = 0; i < NAMES; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "n%d", i);
        const struct catalogue_entry *e = catalogue_find(c, bytes_of_str(name));
        assert_int_equal(e != NULL, m->expr[i][0] != '\0');
        n += e != NULL;
        if (e) {
            assert_int_equal(e->code, ERR_OK);
            assert_true(bytes_equal(segment_text(e->segment), bytes_of_str(m->expr[i])));
        }
    }
    assert_int_equal(c->n, n);
}

static void run_random(struct world *w, uint64_t seed)
{
    struct rng rng = rng_of_seed(seed);
    struct model m = {.version = 1, .uses = {-1, -1, -1, -1, -1, -1}};
    struct bytes old = {0};
    for (int i = 0; i < STEPS; i++) {
        unsigned what = (unsigned)rng_below(&rng, 10);
        if (what < 5)
            random_define(w, &m, &rng);
        else if (what < 7)
            random_drop(w, &m, &rng);
        else if (what == 7)
            old = content_of(w, 0);
        else if (what == 8)
            (void)sync_to(w, 1 + (unsigned)rng_below(&rng, 2), old.len ? old : content_of(w, 0));
        else
            world_reopen(w);
        compare(w, &m);
    }
    for (unsigned i = 1; i < WORLD_SHARDS; i++) {
        assert_int_equal(sync_to(w, i, content_of(w, 0)).catalogue, m.version);
        assert_true(bytes_equal(content_of(w, i), content_of(w, 0)));
    }
    world_reopen(w);
    compare(w, &m);
    world_replay(w);
    world_check(w);
}

static void test_segments_random_changes_restarts_and_replay(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        void *world = NULL;
        assert_int_equal(world_setup(&world), 0);
        run_random(world, seed);
        assert_int_equal(world_teardown(&world), 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_segments_are_defined_at_the_authority_only),
        TEST(test_segments_late_copies_change_nothing),
        TEST(test_segments_sync_only_goes_forward),
        TEST(test_day_never_goes_back),
        TEST(test_segments_read_says_only_what_is_new),
        cmocka_unit_test(test_segments_random_changes_restarts_and_replay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
