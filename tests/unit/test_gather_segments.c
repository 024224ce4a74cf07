/* Definitions and questions of several routers against fake shards, over a network that loses,
 * doubles and reorders: a question is answered by one meaning of a name, and by none that is older
 * than what was acknowledged before it was asked. */
#include <gather/gather.h>

#include <base/rng.h>
#include <cluster/config.h>

#include "retail_yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SHARDS = 3, ROUTERS = 2, ASKERS = 4, DEADLINE = 60000 };

static struct cluster_config *config;
static const node_id NODES[SHARDS] = {1, 1, 1};

static int setup(void **state)
{
    struct error err;
    (void)state;
    return cluster_config_parse("retail.yml", bytes_of_str(RETAIL_YAML), &config, &err) == ERR_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    cluster_config_close(config);
    return 0;
}

/* A question on its way to a shard, or (with `is_reply`) its reply on the way back. */
struct packet {
    unsigned asker;
    uint64_t turn; /* of the asker: later ones take no notice */
    shard_id shard;
    uint32_t call;
    bool is_reply;
    struct buf body;
    struct packet *next;
};

struct asker {
    struct gather *gather;
    uint64_t turn;
    unsigned router;
    unsigned want;  /* SEGMENT_DEFINE: what s shall mean */
    unsigned floor; /* COUNT: the least that may be answered */
};

struct world {
    struct rng rng;
    struct catalogue *shards[SHARDS];
    struct catalogue *known[ROUTERS];
    struct asker askers[ASKERS];
    struct packet *packets;
    size_t n_packets;
    msec_t now;
    unsigned defined, acked; /* meanings of s: counted up */
    unsigned answered, carried;
    bool lossy;
};

/* --- shards --- */

static void say_whole(const struct catalogue *c, struct buf *whole, struct reply *r)
{
    catalogue_encode(c, whole);
    r->catalogue = c->version;
    r->content = buf_bytes(whole);
}

/* The number in "points > N" of s; 0: not defined. */
static unsigned meaning(const struct catalogue *c)
{
    const struct catalogue_entry *e = catalogue_find(c, bytes_of_str("s"));
    char text[32] = "";
    if (!e)
        return 0;
    memcpy(text, segment_text(e->segment).data, segment_text(e->segment).len);
    return (unsigned)strtoul(text + 9, NULL, 10);
}

static void shard_define(struct catalogue **c, const struct command *q, struct buf *whole,
                         struct reply *r)
{
    struct catalogue *next = NULL;
    struct error err;
    r->status = REPLY_STALE;
    if (q->catalogue == (*c)->version) {
        r->status = REPLY_OK;
        assert_int_equal(catalogue_define(*c, q->name, q->expr, &config->schema, &next, &err),
                         ERR_OK);
        catalogue_drop(*c);
        *c = next;
    }
    say_whole(*c, whole, r);
}

static void shard_sync(struct catalogue **c, const struct command *q, struct reply *r)
{
    struct catalogue *next = NULL;
    struct error err;
    assert_int_equal(catalogue_decode(q->content, &config->schema, *c, &next, &err), ERR_OK);
    if (next->version > (*c)->version) {
        struct catalogue *was = *c;
        *c = next;
        next = was;
    }
    catalogue_drop(next);
    r->catalogue = (*c)->version;
}

static void shard_answer(struct world *w, shard_id shard, const struct command *q, struct buf *out)
{
    struct catalogue **c = &w->shards[shard];
    struct count_row row = {0};
    struct buf whole = {0};
    struct reply r = {.status = REPLY_OK};
    switch ((int)q->type) {
    case COMMAND_SEGMENTS:
        r.catalogue = (*c)->version;
        if (q->catalogue != (*c)->version)
            say_whole(*c, &whole, &r);
        break;
    case COMMAND_SEGMENT_DEFINE:
        assert_int_equal(shard, 0);
        shard_define(c, q, &whole, &r);
        break;
    case COMMAND_SEGMENT_SYNC:
        assert_int_not_equal(shard, 0);
        shard_sync(c, q, &r);
        break;
    case COMMAND_COUNT:
        row.members = meaning(*c);
        r.counts = &row;
        r.n_counts = 1;
        if (q->catalogue != (*c)->version)
            r = (struct reply){.status = REPLY_STALE, .catalogue = (*c)->version};
        break;
    default:
        fail_msg("a command that nobody should send");
    }
    reply_encode(&r, out);
    buf_free(&whole);
}

/* --- the network --- */

static void post(struct world *w, struct packet p)
{
    struct packet *copy = malloc(sizeof *copy);
    assert_non_null(copy);
    *copy = p;
    copy->next = w->packets;
    w->packets = copy;
    w->n_packets++;
}

static struct packet *take_any(struct world *w)
{
    uint64_t at = rng_below(&w->rng, w->n_packets);
    struct packet **p = &w->packets;
    while (at--)
        p = &(*p)->next;
    struct packet *taken = *p;
    *p = taken->next;
    w->n_packets--;
    return taken;
}

static void perform(struct world *w, unsigned asker, struct gather_effects *fx);

static void deliver_reply(struct world *w, const struct packet *p)
{
    struct asker *a = &w->askers[p->asker];
    struct arena arena = {0};
    struct reply *r;
    size_t n;
    struct error err;
    struct gather_effects fx = {0};
    if (!a->gather || a->turn != p->turn)
        return;
    assert_int_equal(reply_decode(buf_bytes(&p->body), 1, &arena, &r, &n, &err), ERR_OK);
    gather_reply(a->gather, p->shard, p->call, r, w->now, &fx);
    perform(w, p->asker, &fx);
    gather_effects_free(&fx);
    arena_close(&arena);
}

static void deliver_command(struct world *w, const struct packet *p)
{
    struct arena arena = {0};
    struct command *c;
    size_t n;
    struct error err;
    struct packet back = *p;
    back.is_reply = true;
    back.body = (struct buf){0};
    assert_int_equal(command_decode(buf_bytes(&p->body), 1, &arena, &c, &n, &err), ERR_OK);
    shard_answer(w, p->shard, c, &back.body);
    arena_close(&arena);
    post(w, back);
}

static void step(struct world *w)
{
    struct packet *p = take_any(w);
    unsigned luck = w->lossy ? (unsigned)rng_below(&w->rng, 10) : 9;
    if (luck > 0 && p->is_reply)
        deliver_reply(w, p);
    else if (luck > 0)
        deliver_command(w, p);
    if (luck == 1 && !p->is_reply) /* once more */
        deliver_command(w, p);
    buf_free(&p->body);
    free(p);
}

/* --- askers --- */

static void on_answer(struct world *w, struct asker *a, const struct response *r)
{
    assert_int_equal(r->code, ERR_OK);
    assert_false(r->partial);
    if (a->want) {
        w->acked = a->want > w->acked ? a->want : w->acked;
        w->carried += r->n_carrying > 0;
    } else {
        assert_int_equal(r->count % SHARDS, 0);
        unsigned said = (unsigned)(r->count / SHARDS);
        assert_true(said >= a->floor && said <= w->defined);
        w->answered++;
    }
    gather_free(a->gather);
    a->gather = NULL;
}

static void perform(struct world *w, unsigned asker, struct gather_effects *fx)
{
    struct asker *a = &w->askers[asker];
    for (size_t i = 0; i < fx->n; i++) {
        const struct gather_effect *e = &fx->items[i];
        struct packet p = {.asker = asker, .turn = a->turn, .shard = e->shard, .call = e->call};
        switch (e->kind) {
        case GATHER_SEND:
            command_encode(e->command, &p.body);
            post(w, p);
            break;
        case GATHER_LEARN:
            (void)catalogue_keep(e->catalogue);
            catalogue_drop(w->known[a->router]);
            w->known[a->router] = e->catalogue;
            break;
        case GATHER_ANSWER:
            on_answer(w, a, e->answer);
            return;
        }
    }
}

/* One definition at a time, so that meanings rise; questions by all the others. */
static void start(struct world *w, unsigned asker)
{
    struct asker *a = &w->askers[asker];
    struct gather_effects fx = {0};
    char expr[32];
    struct request q = {.type = REQUEST_COUNT, .expr = bytes_of_str("segment(s) and true")};
    *a = (struct asker){
        .turn = a->turn + 1, .router = (unsigned)rng_below(&w->rng, ROUTERS), .floor = w->acked};
    if (asker == 0) {
        a->want = ++w->defined;
        (void)snprintf(expr, sizeof expr, "points > %u", a->want);
        q = (struct request){
            .type = REQUEST_SEGMENT_DEFINE, .name = bytes_of_str("s"), .expr = bytes_of_str(expr)};
    }
    struct gather_start s = {.request = &q,
                             .schema = &config->schema,
                             .node_of_shard = NODES,
                             .catalogue = w->known[a->router],
                             .n_shards = SHARDS,
                             .deadline_ms = w->now + DEADLINE};
    a->gather = gather_new(&s, w->now, &fx);
    perform(w, asker, &fx);
    gather_effects_free(&fx);
}

static void tick(struct world *w)
{
    w->now += 300;
    for (unsigned i = 0; i < ASKERS; i++) {
        struct gather_effects fx = {0};
        if (w->askers[i].gather)
            gather_tick(w->askers[i].gather, w->now, &fx);
        perform(w, i, &fx);
        gather_effects_free(&fx);
    }
}

static void world_open(struct world *w, uint64_t seed, bool lossy)
{
    *w = (struct world){.rng = rng_of_seed(seed), .lossy = lossy, .now = 1};
    for (unsigned i = 0; i < SHARDS; i++)
        w->shards[i] = catalogue_new();
}

static void world_close(struct world *w)
{
    for (unsigned i = 0; i < SHARDS; i++)
        catalogue_drop(w->shards[i]);
    for (unsigned i = 0; i < ROUTERS; i++)
        catalogue_drop(w->known[i]);
    for (unsigned i = 0; i < ASKERS; i++)
        gather_free(w->askers[i].gather);
    while (w->packets) {
        struct packet *p = take_any(w);
        buf_free(&p->body);
        free(p);
    }
}

static void run(uint64_t seed, bool lossy)
{
    struct world w;
    world_open(&w, seed, lossy);
    start(&w, 0);
    for (unsigned i = 0; i < 4000; i++) {
        unsigned asker = (unsigned)rng_below(&w.rng, ASKERS);
        bool may_start = !w.askers[asker].gather && (asker == 0 || w.acked > 0);
        if (may_start && rng_below(&w.rng, 4) == 0)
            start(&w, asker);
        else if (w.n_packets > 0 && rng_below(&w.rng, 12) > 0)
            step(&w);
        else
            tick(&w);
    }
    assert_true(w.answered > 100);
    assert_true(w.acked > 20);
    world_close(&w);
}

static void test_questions_mean_one_version_over_a_bad_network(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        run(seed, seed % 4 != 0);
}

/* --- single steps --- */

static struct gather *ask(const struct request *q, struct catalogue *known,
                          const uint64_t *versions, struct gather_effects *fx)
{
    struct gather_start s = {.request = q,
                             .schema = &config->schema,
                             .node_of_shard = NODES,
                             .catalogue = known,
                             .versions = versions,
                             .n_shards = SHARDS,
                             .deadline_ms = DEADLINE};
    return gather_new(&s, 0, fx);
}

static struct catalogue *catalogue_with(const char *name, const char *text)
{
    struct error err;
    struct catalogue *empty = catalogue_new(), *c = NULL;
    assert_int_equal(
        catalogue_define(empty, bytes_of_str(name), bytes_of_str(text), &config->schema, &c, &err),
        ERR_OK);
    catalogue_drop(empty);
    return c;
}

static void test_definition_is_acknowledged_while_a_shard_is_away(void **state)
{
    (void)state;
    struct gather_effects fx = {0};
    struct catalogue *next = catalogue_with("s", "tag(a)"), *empty = catalogue_new();
    struct buf whole = {0}, none = {0};
    catalogue_encode(next, &whole);
    catalogue_encode(empty, &none);
    struct request q = {
        .type = REQUEST_SEGMENT_DEFINE, .name = bytes_of_str("s"), .expr = bytes_of_str("tag(a)")};
    struct gather *g = ask(&q, NULL, NULL, &fx);
    struct reply fetched = {.status = REPLY_OK, .catalogue = 1, .content = buf_bytes(&none)};
    gather_reply(g, 0, fx.items[0].call, &fetched, 1, &fx);
    assert_int_equal(fx.items[fx.n - 1].command->type, COMMAND_SEGMENT_DEFINE);
    assert_int_equal(fx.items[fx.n - 1].lane, GATHER_WRITE);
    struct reply done = {.status = REPLY_OK, .catalogue = 2, .content = buf_bytes(&whole)};
    gather_reply(g, 0, fx.items[fx.n - 1].call, &done, 2, &fx);
    uint32_t call = fx.items[fx.n - 1].call;
    struct reply synced = {.status = REPLY_OK, .catalogue = 2};
    gather_reply(g, 1, call, &synced, 3, &fx);
    assert_int_equal(gather_wake_ms(g) <= 2 + GATHER_CARRY_MS, true);
    gather_tick(g, 2 + GATHER_CARRY_MS, &fx);
    const struct response *r = fx.items[fx.n - 1].answer;
    assert_int_equal(r->code, ERR_OK);
    assert_int_equal(r->n_carrying, 1);
    assert_int_equal(r->carrying[0], 2);
    gather_free(g);
    gather_effects_free(&fx);
    catalogue_drop(next);
    catalogue_drop(empty);
    buf_free(&whole);
    buf_free(&none);
}

static void test_carrier_gives_only_who_is_behind(void **state)
{
    (void)state;
    struct gather_effects fx = {0};
    struct catalogue *c = catalogue_with("s", "tag(a)");
    static const uint64_t VERSIONS[SHARDS] = {2, 1, 2};
    struct gather *g = ask(NULL, c, VERSIONS, &fx);
    assert_int_equal(fx.items[0].command->type, COMMAND_SEGMENTS);
    struct reply same = {.status = REPLY_OK, .catalogue = 2};
    gather_reply(g, 0, fx.items[0].call, &same, 1, &fx);
    assert_int_equal(fx.n, 2);
    assert_int_equal(fx.items[1].command->type, COMMAND_SEGMENT_SYNC);
    assert_int_equal(fx.items[1].shard, 1);
    gather_reply(g, 1, fx.items[1].call, &same, 2, &fx);
    assert_int_equal(fx.items[2].kind, GATHER_ANSWER);
    gather_free(g);
    gather_effects_free(&fx);
    catalogue_drop(c);
}

/* A name that is not known yet may have been defined through another router. */
static void test_unknown_names_are_looked_up_before_they_are_refused(void **state)
{
    (void)state;
    struct gather_effects fx = {0};
    struct catalogue *c = catalogue_with("s", "tag(a)");
    struct request q = {.type = REQUEST_COUNT, .expr = bytes_of_str("segment(t)")};
    struct gather *g = ask(&q, c, NULL, &fx);
    assert_int_equal(fx.n, 1);
    assert_int_equal(fx.items[0].command->type, COMMAND_SEGMENTS);
    struct reply same = {.status = REPLY_OK, .catalogue = 2};
    gather_reply(g, 0, fx.items[0].call, &same, 1, &fx);
    assert_int_equal(fx.items[1].answer->code, ERR_UNKNOWN_NAME);
    gather_free(g);
    gather_effects_free(&fx);
    catalogue_drop(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_questions_mean_one_version_over_a_bad_network),
        cmocka_unit_test(test_definition_is_acknowledged_while_a_shard_is_away),
        cmocka_unit_test(test_carrier_gives_only_who_is_behind),
        cmocka_unit_test(test_unknown_names_are_looked_up_before_they_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
