/* fix, leader: what a command can do about findings. */
#include "commands.h"
#include "health.h"
#include "session.h"
#include "show.h"

#include <stdio.h>
#include <stdlib.h>

/* --- leader --- */

/* A whole number up to `max`; -1: not one. */
static long number_of(const char *text, long max)
{
    char *end;
    long v = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && v <= max ? v : -1;
}

int run_leader(const struct options *o)
{
    struct session s;
    long shard = number_of(o->args[0], UINT16_MAX), node = number_of(o->args[1], UINT16_MAX);
    if (shard < 0 || node < 1) {
        complain("leader: expected the number of a shard and of a node");
        return EXIT_USAGE;
    }
    int rc = session_open(&s, o);
    if (rc == EXIT_OK) {
        struct oneid_result *r = oneid_lead(s.client, (uint16_t)shard, (uint16_t)node);
        rc = result_check(r);
        if (rc == EXIT_OK && !o->json)
            (void)printf("shard %ld is being handed to node %ld\n", shard, node);
        oneid_result_free(r);
    }
    session_close(&s);
    return rc;
}

/* --- fix --- */

/* True: it was asked for; whether it helped, the next look says. */
static bool act(struct session *s, const struct finding *f)
{
    struct oneid_result *r = f->fix == FIX_LEADER
                                 ? oneid_lead(s->client, (uint16_t)(f->shard - 1), f->node)
                                 : oneid_refresh(s->client); /* carries the saved segments along */
    bool done = r && r->code == ONEID_OK;
    if (!done)
        complain("%s: %s", finding_name(f->kind), r ? r->text : "out of memory");
    oneid_result_free(r);
    return done;
}

static size_t act_on_all(const struct options *o, const struct findings *f)
{
    struct session s;
    size_t n = 0;
    if (session_open(&s, o) == EXIT_OK) {
        for (size_t i = 0; i < f->n; i++) {
            if (f->list[i].fix == FIX_NONE || !act(&s, &f->list[i]))
                continue;
            n++;
            if (!o->json)
                (void)printf("asked for: %s\n", f->list[i].what);
        }
    }
    session_close(&s);
    return n;
}

static void emit_left(size_t n_done, const struct findings *left)
{
    struct emit e;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_bool(&e, "ok", left->n == 0);
    emit_unsigned(&e, "acts", n_done);
    emit_array(&e, "left");
    for (size_t i = 0; i < left->n; i++)
        finding_emit(&e, &left->list[i]);
    emit_end(&e);
    emit_end(&e);
}

int run_fix(const struct options *o)
{
    struct findings f = {0}, left = {0};
    int rc = health_look(o, &f);
    size_t n = rc == EXIT_OK && f.n > 0 ? act_on_all(o, &f) : 0;
    if (n > 0)
        rc = health_look(o, &left);
    const struct findings *now = n > 0 ? &left : &f;
    if (rc == EXIT_OK && o->json)
        emit_left(n, now);
    if (rc == EXIT_OK && !o->json) {
        if (now->n == 0)
            (void)printf("ok: nothing is left to mend\n");
        health_show(now);
    }
    if (now->n > 0)
        rc = EXIT_PROBLEM;
    findings_close(&f);
    findings_close(&left);
    return rc;
}
