/* Nodes of a new cluster greet each other through a network that loses, doubles and delays, while
 * folders are lost and processes start again: those that found a shard do so with the same voters.
 */
#include <meta/members.h>

#include <base/rng.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NODES = 5, SHARDS = 5, REPLICAS = 3, MAIL_MAX = 64, SEEDS = 3000, STEPS = 400 };

struct mail {
    int to;
    struct buf bytes;
};

struct world {
    struct rng rng;
    struct cluster_map map;
    struct members nodes[NODES];
    struct buf disk[NODES]; /* as last stored */
    folder_id next_folder;
    struct mail mail[MAIL_MAX];
    size_t n_mail;
    /* By shard: the founders' folders that the first one to found it had. */
    folder_id founders[SHARDS][REPLICAS];
    bool is_founded[SHARDS];
    int n_wiped;
};

static void save(struct world *w, int i)
{
    if (!w->nodes[i].is_unsaved)
        return;
    buf_reset(&w->disk[i]);
    members_encode(&w->nodes[i], &w->disk[i]);
    w->nodes[i].is_unsaved = false;
}

static void start(struct world *w, int i)
{
    struct error err;
    members_init(&w->nodes[i], &w->map, (node_id)(i + 1), w->next_folder++);
    if (w->disk[i].len)
        assert_int_equal(members_decode(&w->nodes[i], buf_bytes(&w->disk[i]), &err), ERR_OK);
    save(w, i);
}

static void init(struct world *w, uint64_t seed)
{
    *w = (struct world){.rng = rng_of_seed(seed), .next_folder = 100};
    w->map = (struct cluster_map){.epoch = 1, .cluster_id = 7, .n_shards = SHARDS};
    for (int i = 0; i < NODES; i++)
        w->map.nodes[w->map.n_nodes++].id = (node_id)(i + 1);
    for (int s = 0; s < SHARDS; s++) {
        w->map.shards[s].n_replicas = REPLICAS;
        for (int r = 0; r < REPLICAS; r++)
            w->map.shards[s].holders[r].node = (node_id)((s + r) % NODES + 1);
    }
    for (int i = 0; i < NODES; i++)
        start(w, i);
}

static void done(struct world *w)
{
    for (size_t i = 0; i < w->n_mail; i++)
        buf_free(&w->mail[i].bytes);
    for (int i = 0; i < NODES; i++)
        buf_free(&w->disk[i]);
}

static void greet(struct world *w, int from, int to)
{
    if (w->n_mail == MAIL_MAX)
        return;
    struct mail *m = &w->mail[w->n_mail++];
    *m = (struct mail){.to = to};
    members_put_hello(&w->nodes[from], &m->bytes);
}

/* All who found a shard found it alike: entry 1 must be the same everywhere. */
static void check_founders(struct world *w, int i)
{
    for (int s = 0; s < SHARDS; s++) {
        if (cluster_map_place(&w->map, (shard_id)s, (node_id)(i + 1)) < 0)
            continue;
        for (int r = 0; r < REPLICAS; r++) {
            const struct member *m = members_find(&w->nodes[i], w->map.shards[s].holders[r].node);
            assert_int_not_equal(m->founder, 0);
            if (w->is_founded[s])
                assert_int_equal(m->founder, w->founders[s][r]);
            w->founders[s][r] = m->founder;
        }
        w->is_founded[s] = true;
    }
}

static void form(struct world *w, int i)
{
    bool was_forming = w->nodes[i].state == MEMBERS_FORMING;
    (void)members_form(&w->nodes[i]);
    save(w, i);
    if (was_forming && w->nodes[i].state == MEMBERS_FOUNDER)
        check_founders(w, i);
}

static void deliver(struct world *w, size_t at, bool keep)
{
    struct mail *m = &w->mail[at];
    struct error err;
    node_id from;
    int to = m->to;
    assert_int_equal(members_hear(&w->nodes[to], buf_bytes(&m->bytes), &from, &err), ERR_OK);
    if (!keep) {
        buf_free(&m->bytes);
        w->mail[at] = w->mail[--w->n_mail];
    }
    form(w, to);
}

/* With the last founder goes what it founded: nobody else can have voted in it. */
static void wipe(struct world *w, int i)
{
    bool others = false;
    for (int k = 0; k < NODES; k++)
        others = others || (k != i && w->nodes[k].state == MEMBERS_FOUNDER);
    for (int s = 0; s < SHARDS && !others; s++)
        w->is_founded[s] = false;
    buf_reset(&w->disk[i]);
    w->n_wiped++;
    folder_id next = w->next_folder;
    if (rng_below(&w->rng, 2)) /* a clock that is behind */
        w->next_folder = 1 + rng_below(&w->rng, 50);
    start(w, i);
    w->next_folder = next + 1;
}

static void step(struct world *w, bool is_calm)
{
    int i = (int)rng_below(&w->rng, NODES);
    uint64_t dice = rng_below(&w->rng, 100);
    if (dice < 45)
        greet(w, i, (i + 1 + (int)rng_below(&w->rng, NODES - 1)) % NODES);
    else if (dice < 90 && w->n_mail > 0)
        deliver(w, (size_t)rng_below(&w->rng, w->n_mail), rng_below(&w->rng, 8) == 0);
    else if (dice < 94 && !is_calm)
        start(w, i);
    else if (dice < 95 && !is_calm && w->n_wiped < 2)
        wipe(w, i);
}

static void test_founders_agree_whatever_happens(void **state)
{
    (void)state;
    int founded = 0, joined = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world w;
        init(&w, seed);
        for (int i = 0; i < STEPS; i++)
            step(&w, false);
        for (int i = 0; i < NODES * 400; i++)
            step(&w, true);
        for (int i = 0; i < NODES; i++) {
            founded += w.nodes[i].state == MEMBERS_FOUNDER;
            joined += w.nodes[i].state == MEMBERS_JOINER;
            if (w.n_wiped == 0)
                assert_int_equal(w.nodes[i].state, MEMBERS_FOUNDER);
        }
        done(&w);
    }
    assert_true(founded > SEEDS && joined > 0);
}

/* Everybody says hello to everybody, until nothing changes any more. */
static void settle(struct world *w)
{
    for (int round = 0; round < 2 * NODES; round++) {
        for (int from = 0; from < NODES; from++) {
            for (int to = 0; to < NODES; to++) {
                if (from != to)
                    greet(w, from, to);
            }
        }
        while (w->n_mail > 0)
            deliver(w, 0, false);
    }
}

static void test_folders_may_be_lost_one_after_the_other_until_no_founder_is_left(void **state)
{
    (void)state;
    struct world w;
    init(&w, 1);
    settle(&w);
    for (int i = 0; i < 2 * NODES; i++) {
        assert_int_equal(w.nodes[i % NODES].state, i < NODES ? MEMBERS_FOUNDER : MEMBERS_JOINER);
        wipe(&w, i % NODES);
        assert_int_equal(w.nodes[i % NODES].state, MEMBERS_FORMING);
        settle(&w);
        assert_int_equal(w.nodes[i % NODES].state, MEMBERS_JOINER);
    }
    done(&w);
}

static void test_a_group_of_one_waits_for_nobody(void **state)
{
    (void)state;
    static struct members m;
    static struct cluster_map map = {.epoch = 1, .cluster_id = 7, .n_shards = 1};
    map.n_nodes = 1;
    map.nodes[0].id = 4;
    members_init(&m, &map, 4, 77);
    assert_int_equal(members_form(&m), MEMBERS_FOUNDER);
    assert_int_equal(members_self(&m)->founder, 77);
}

static void exchange(struct members *a, struct members *b)
{
    struct buf hello = {0};
    struct error err;
    node_id from;
    members_put_hello(a, &hello);
    assert_int_equal(members_hear(b, buf_bytes(&hello), &from, &err), ERR_OK);
    buf_free(&hello);
}

/* Two cluster files would deal the shards in two ways. */
static void test_nodes_that_would_found_from_other_maps_wait(void **state)
{
    (void)state;
    static struct members m[2];
    static struct cluster_map map = {.epoch = 1, .cluster_id = 7, .n_shards = 1, .n_nodes = 2};
    map.nodes[0].id = 1;
    map.nodes[1].id = 2;
    members_init(&m[0], &map, 1, 10);
    map.n_shards = 2;
    members_init(&m[1], &map, 2, 20);
    for (int i = 0; i < 5; i++) {
        exchange(&m[0], &m[1]);
        exchange(&m[1], &m[0]);
        assert_int_equal(members_form(&m[0]), MEMBERS_FORMING);
        assert_int_equal(members_form(&m[1]), MEMBERS_FORMING);
    }
    assert_true(members_find(&m[0], 2)->differs);
    map.n_shards = 1; /* its file is mended */
    members_init(&m[1], &map, 2, 20);
    for (int i = 0; i < 3; i++) {
        exchange(&m[0], &m[1]);
        exchange(&m[1], &m[0]);
    }
    assert_int_equal(members_form(&m[0]), MEMBERS_FOUNDER);
    assert_int_equal(members_form(&m[1]), MEMBERS_FOUNDER);
}

/* One that is new to a cluster has a file with more nodes than the founders had. */
static void test_a_node_that_comes_later_joins(void **state)
{
    (void)state;
    static struct members old, late;
    static struct cluster_map map = {.epoch = 1, .cluster_id = 7, .n_shards = 1, .n_nodes = 1};
    map.nodes[0].id = 1;
    members_init(&old, &map, 1, 10);
    assert_int_equal(members_form(&old), MEMBERS_FOUNDER);
    map.n_nodes = 2;
    map.nodes[1].id = 2;
    members_init(&late, &map, 2, 20);
    exchange(&old, &late);
    assert_int_equal(members_form(&late), MEMBERS_JOINER);
    exchange(&late, &old); /* it is not in the map yet: that changes nothing */
    assert_null(members_find(&old, 2));
    struct member *of = members_add(&old, 2);
    assert_ptr_equal(members_add(&old, 2), of);
    exchange(&late, &old);
    assert_int_equal(of->folder, 20);
}

/* By and by all founders were replaced, and one node is away: found by tests/fault/run. */
static void test_a_node_joins_where_no_founder_is_left_and_one_is_away(void **state)
{
    (void)state;
    static struct members joined, late;
    static struct cluster_map map = {.epoch = 1, .cluster_id = 7, .n_shards = 1, .n_nodes = 3};
    for (size_t i = 0; i < 3; i++)
        map.nodes[i].id = (node_id)(i + 1);
    members_init(&joined, &map, 2, 20);
    joined.state = MEMBERS_JOINER;
    members_init(&late, &map, 1, 10); /* node 3 is away */
    assert_int_equal(members_form(&late), MEMBERS_FORMING);
    exchange(&joined, &late);
    assert_int_equal(members_form(&late), MEMBERS_JOINER);
}

static void test_who_gets_a_shard_back_is_another_replica(void **state)
{
    (void)state;
    uint64_t founder = replica_id_of(7, 3, 0);
    assert_int_equal(folder_of_replica(founder), 7);
    for (uint32_t since = 1; since < 1000; since++) {
        uint64_t id = replica_id_of(7, 3, since);
        assert_int_equal(node_of_replica(id), 3);
        assert_int_not_equal(id, founder);
        assert_int_not_equal(id, replica_id_of(7, 3, since + 1));
        assert_int_not_equal(id, replica_id_of(8, 3, since));
    }
}

static void test_a_hello_of_another_cluster_or_damaged_is_refused(void **state)
{
    (void)state;
    struct world w;
    struct error err;
    node_id from;
    init(&w, 1);
    struct buf b = {0};
    members_put_hello(&w.nodes[1], &b);
    for (size_t len = 0; len < b.len; len++)
        assert_int_equal(members_hear(&w.nodes[0], bytes_of(b.data, len), &from, &err),
                         ERR_MALFORMED);
    w.nodes[0].cluster_id = 8;
    assert_int_equal(members_hear(&w.nodes[0], buf_bytes(&b), &from, &err), ERR_MISMATCH);
    buf_free(&b);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_founders_agree_whatever_happens),
        cmocka_unit_test(test_folders_may_be_lost_one_after_the_other_until_no_founder_is_left),
        cmocka_unit_test(test_a_group_of_one_waits_for_nobody),
        cmocka_unit_test(test_nodes_that_would_found_from_other_maps_wait),
        cmocka_unit_test(test_a_node_that_comes_later_joins),
        cmocka_unit_test(test_a_node_joins_where_no_founder_is_left_and_one_is_away),
        cmocka_unit_test(test_who_gets_a_shard_back_is_another_replica),
        cmocka_unit_test(test_a_hello_of_another_cluster_or_damaged_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
