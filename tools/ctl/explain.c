#include "explain.h"

#include "session.h"
#include "show.h"

#include <inttypes.h>
#include <stdio.h>

enum { TERM_WIDTH = 44 };

static double ms_of(uint64_t ns)
{
    return (double)ns / 1e6;
}

static const struct oneid_explain *slowest(const struct oneid_result *r)
{
    const struct oneid_explain *s = NULL;
    for (size_t i = 0; i < r->n_explain; i++) {
        if (!s || r->explain[i].ns > s->ns)
            s = &r->explain[i];
    }
    return s;
}

/* --- JSON --- */

static void emit_terms(struct emit *e, const struct oneid_explain *s)
{
    emit_array(e, "terms");
    for (size_t i = 0; i < s->n_terms; i++) {
        const struct oneid_term *t = &s->terms[i];
        emit_object(e, NULL);
        emit_text(e, "term", bytes_of_str_of(t->term));
        emit_unsigned(e, "depth", t->depth);
        emit_text(e, "strategy", bytes_of_str_of(t->strategy));
        emit_unsigned(e, "estimate", t->estimate);
        emit_unsigned(e, "chunks", t->chunks);
        emit_unsigned(e, "skipped", t->skipped);
        emit_unsigned(e, "emptied", t->emptied);
        emit_unsigned(e, "decided", t->decided);
        emit_unsigned(e, "probed", t->probed);
        emit_unsigned(e, "ns", t->ns);
        emit_end(e);
    }
    emit_end(e);
}

static void emit_explain(const struct oneid_result *r)
{
    struct emit e;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_unsigned(&e, "count", r->count);
    emit_unsigned(&e, "population", r->population);
    emit_unsigned(&e, "in_flight_merges", r->in_flight_merges);
    emit_bool(&e, "partial", r->partial);
    emit_unsigned(&e, "router_ns", r->router_ns);
    emit_array(&e, "shards");
    for (size_t i = 0; i < r->n_explain; i++) {
        const struct oneid_explain *s = &r->explain[i];
        emit_object(&e, NULL);
        emit_unsigned(&e, "shard", s->shard);
        emit_unsigned(&e, "count", s->count);
        emit_unsigned(&e, "in_flight_merges", s->in_flight_merges);
        emit_unsigned(&e, "ns", s->ns);
        emit_terms(&e, s);
        emit_end(&e);
    }
    emit_end(&e);
    emit_end(&e);
}

/* --- for people --- */

/* The term, indented; a long one is cut. */
static void show_term(const struct oneid_term *t)
{
    int indent = (int)(t->depth < 16 ? t->depth : 16) * 2;
    size_t room = (size_t)(TERM_WIDTH - indent), len = t->term.len < room ? t->term.len : room;
    while (len < t->term.len && len > 0 && ((unsigned char)t->term.data[len] & 0xC0) == 0x80)
        len--;
    (void)printf("%*s", indent, "");
    show_text(stdout, (struct oneid_str){t->term.data, len});
    (void)printf("%*s", (int)(room - len), "");
}

static void show_shard(const struct oneid_explain *s)
{
    (void)printf("\nshard %u: %" PRIu64 " members, %.3f ms\n", s->shard, s->count, ms_of(s->ns));
    (void)printf("  %-*s  %-16s %12s %7s %7s %7s %7s %9s\n", TERM_WIDTH, "term", "strategy",
                 "estimate", "chunks", "skipped", "emptied", "probed", "ms");
    for (size_t i = 0; i < s->n_terms; i++) {
        const struct oneid_term *t = &s->terms[i];
        (void)printf("  ");
        show_term(t);
        (void)printf("  %-16.*s %12" PRIu64 " %7" PRIu64 " %7" PRIu64 " %7" PRIu64 " %7" PRIu64
                     " %9.3f\n",
                     (int)t->strategy.len, t->strategy.data, t->estimate, t->chunks, t->skipped,
                     t->emptied, t->probed, ms_of(t->ns));
    }
}

void explain_print(const struct options *o, const struct oneid_result *r)
{
    if (o->json) {
        emit_explain(r);
        return;
    }
    const struct oneid_explain *s = slowest(r);
    (void)printf("%" PRIu64 " of %" PRIu64 " members, %" PRIu64 " merges in flight\n", r->count,
                 r->population, r->in_flight_merges);
    (void)printf("router %.3f ms", ms_of(r->router_ns));
    if (s)
        (void)printf(", slowest shard %u with %.3f ms", s->shard, ms_of(s->ns));
    (void)printf("\n");
    for (size_t i = 0; i < r->n_explain; i++)
        show_shard(&r->explain[i]);
}
