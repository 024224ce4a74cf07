/* Drives one saga by hand: what it sends is looked at, what shards answer is scripted. */
#ifndef SAGA_RIG_H
#define SAGA_RIG_H

#include <saga/saga.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { RIG_SENT_MAX = 256 };

struct rig {
    struct saga *saga;
    msec_t now;
    struct saga_effects fx;
    struct saga_effect sent[RIG_SENT_MAX]; /* of the last step */
    size_t n_sent;
    bool answered, ended;
    struct saga_answer answer;
    size_t n_learned, n_forgotten, n_refreshed;
    struct saga_effect learned, forgotten; /* the last ones */
    bool answered_before_ok;               /* an answer came in a step without OK or DUP */
};

static inline struct identity rig_id(const char *value)
{
    return (struct identity){7, bytes_of_str(value)};
}

static inline void rig_open(struct rig *g)
{
    *g = (struct rig){.saga = saga_new(), .now = 1000};
    assert_non_null(g->saga);
    saga_reset(g->saga);
}

static inline void rig_close(struct rig *g)
{
    saga_effects_free(&g->fx);
    saga_free(g->saga);
}

static inline void rig_take(struct rig *g)
{
    g->n_sent = 0;
    for (size_t i = 0; i < g->fx.n; i++) {
        const struct saga_effect *e = &g->fx.items[i];
        assert_false(g->ended);
        switch (e->kind) {
        case SAGA_SEND:
            assert_true(g->n_sent < RIG_SENT_MAX);
            g->sent[g->n_sent++] = *e;
            break;
        case SAGA_ANSWER:
            assert_false(g->answered);
            g->answered = true;
            g->answer = *e->answer;
            break;
        case SAGA_LEARN:
            g->learned = *e;
            g->n_learned++;
            break;
        case SAGA_FORGET:
            g->forgotten = *e;
            g->n_forgotten++;
            break;
        case SAGA_REFRESH_MAP:
            g->n_refreshed++;
            break;
        case SAGA_END:
            g->ended = true;
            break;
        }
    }
    if (g->ended)
        assert_true(g->answered);
}

static inline void rig_step(struct rig *g, const struct saga_event *e)
{
    g->fx.n = 0;
    saga_step(g->saga, g->now, e, &g->fx);
    rig_take(g);
}

static inline void rig_start(struct rig *g, struct saga_start *start)
{
    struct saga_event e = {.kind = SAGA_START, .start = start};

    start->deadline_ms = g->now + 10000;
    start->seed = 1;
    rig_step(g, &e);
}

/* An event with these identities and cached One-IDs; the last `n_shared` do not bridge. */
static inline void rig_ingest(struct rig *g, size_t n, const char *const *ids, const one_id *hints,
                              size_t n_shared)
{
    struct identity *list = arena_zalloc(saga_arena(g->saga), n * sizeof *list);
    struct saga_start start = {.kind = SAGA_INGEST};

    for (size_t i = 0; i < n; i++)
        list[i] = rig_id(ids[i]);
    start.in.ingest = (struct saga_ingest){.ids = list,
                                           .hints = hints,
                                           .n_ids = n,
                                           .n_bridging = n - n_shared,
                                           .message_id = bytes_of_str("m1"),
                                           .ts = 5,
                                           .source = bytes_of_str("app")};
    rig_start(g, &start);
}

static inline void rig_reply(struct rig *g, uint32_t call, struct reply r)
{
    struct saga_event e = {.kind = SAGA_REPLY, .call = call, .reply = &r};

    rig_step(g, &e);
}

static inline void rig_tick_at(struct rig *g, msec_t at)
{
    struct saga_event e = {.kind = SAGA_TICK};

    g->now = at;
    rig_step(g, &e);
}

/* The command at place `i` of what the last step sent. */
static inline const struct command *rig_sent(const struct rig *g, size_t i, enum command_type type)
{
    assert_true(i < g->n_sent);
    assert_int_equal(g->sent[i].command->type, type);
    assert_int_equal(g->sent[i].write, !command_is_read(type));
    return g->sent[i].command;
}

/* The only command of the last step. Its call is g->sent[0].call. */
static inline const struct command *rig_only(const struct rig *g, enum command_type type)
{
    assert_int_equal(g->n_sent, 1);
    return rig_sent(g, 0, type);
}

static inline void rig_assert_ok(const struct rig *g, one_id profile)
{
    assert_true(g->answered);
    assert_int_equal(g->answer.code, ERR_OK);
    assert_int_equal(g->answer.profile, profile);
}

#endif
