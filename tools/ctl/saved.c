/* segment: the saved segments of the cluster. */
#include "commands.h"
#include "session.h"
#include "show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OVERLAP_MAX = 8, NAME_WIDTH = 24 };

static bool has_answer(const struct oneid_result *r)
{
    return r && r->code == ONEID_OK;
}

static struct bytes bytes_of_text(const char *s)
{
    return bytes_of(s, strlen(s));
}

/* --- define, drop --- */

/* The change is made; says who does not have it yet. */
static void print_change(const struct options *o, const char *done, const struct oneid_result *r)
{
    if (o->json) {
        struct emit e;
        emit_init(&e, stdout);
        emit_object(&e, NULL);
        emit_bool(&e, "ok", true);
        emit_unsigned(&e, "catalogue", r->catalogue);
        emit_array(&e, "carrying");
        for (size_t i = 0; i < r->n_carrying; i++)
            emit_unsigned(&e, NULL, r->carrying[i]);
        emit_end(&e);
        emit_end(&e);
        return;
    }
    (void)printf("%s (version %" PRIu64 ")", done, r->catalogue);
    for (size_t i = 0; i < r->n_carrying; i++)
        (void)printf("%s%u", i ? ", " : "; still being carried to shards ", r->carrying[i]);
    (void)printf("\n");
}

static int define(struct session *s, const struct options *o)
{
    struct oneid_result *r = oneid_segment_define(s->client, o->args[1], o->args[2]);
    if (has_answer(r))
        print_change(o, "defined", r);
    int rc = result_check(r);
    oneid_result_free(r);
    return rc;
}

static int drop(struct session *s, const struct options *o)
{
    struct oneid_result *r = oneid_segment_drop(s->client, o->args[1]);
    if (has_answer(r))
        print_change(o, "dropped", r);
    int rc = result_check(r);
    oneid_result_free(r);
    return rc;
}

/* --- show, list, refresh --- */

/* The count of the segment in a refresh that followed the list. */
static const struct oneid_group *count_of(const struct oneid_result *counts, struct oneid_str name)
{
    for (size_t i = 0; counts && i < counts->n_groups; i++) {
        if (bytes_equal(bytes_of_str_of(counts->groups[i].value), bytes_of_str_of(name)))
            return &counts->groups[i];
    }
    return NULL;
}

static void emit_count(struct emit *e, const struct oneid_group *g)
{
    if (g && g->code == ONEID_OK)
        emit_unsigned(e, "count", g->members);
    else
        emit_null(e, "count");
}

static void emit_segments(const struct oneid_result *r, const struct oneid_result *counts)
{
    struct emit e;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_unsigned(&e, "catalogue", r->catalogue);
    emit_array(&e, "segments");
    for (size_t i = 0; i < r->n_segments; i++) {
        emit_object(&e, NULL);
        emit_text(&e, "name", bytes_of_str_of(r->segments[i].name));
        emit_text(&e, "expr", bytes_of_str_of(r->segments[i].expr));
        if (!r->segments[i].usable)
            emit_bool(&e, "usable", false);
        if (counts)
            emit_count(&e, count_of(counts, r->segments[i].name));
        emit_end(&e);
    }
    emit_end(&e);
    if (counts) {
        emit_bool(&e, "partial", counts->partial);
        emit_unsigned(&e, "in_flight_merges", counts->in_flight_merges);
    }
    emit_end(&e);
}

static void show_count(const struct oneid_group *g)
{
    if (g && g->code == ONEID_OK)
        (void)printf("%12" PRIu64 "  ", g->members);
    else
        (void)printf("%12s  ", "-");
}

/* Padded by bytes, as the terminal's width of a character is not known here. */
static void show_padded(struct oneid_str s)
{
    show_text(stdout, s);
    (void)printf("%*s  ", s.len < NAME_WIDTH ? (int)(NAME_WIDTH - s.len) : 0, "");
}

static void show_segments(const struct oneid_result *r, const struct oneid_result *counts)
{
    for (size_t i = 0; i < r->n_segments; i++) {
        const struct oneid_segment *s = &r->segments[i];
        if (counts)
            show_count(count_of(counts, s->name));
        show_padded(s->name);
        show_text(stdout, s->expr);
        (void)printf("%s\n", s->usable ? "" : "  (does not fit the cluster file any more)");
    }
}

static int list(struct session *s, const struct options *o)
{
    struct oneid_result *r = oneid_segments(s->client, NULL), *counts = NULL;
    int rc = result_check(r);
    if (has_answer(r) && o->counts) {
        counts = oneid_refresh(s->client);
        rc = result_check(counts);
    }
    if (has_answer(r) && (!o->counts || has_answer(counts))) {
        if (o->json)
            emit_segments(r, counts);
        else
            show_segments(r, counts);
    }
    oneid_result_free(counts);
    oneid_result_free(r);
    return rc;
}

static int show(struct session *s, const struct options *o)
{
    struct oneid_result *r = oneid_segments(s->client, o->args[1]);
    if (has_answer(r) && o->json) {
        emit_segments(r, NULL);
    } else if (has_answer(r) && r->n_segments) {
        show_text(stdout, r->segments[0].expr);
        (void)printf("\n");
    }
    int rc = result_check(r);
    oneid_result_free(r);
    return rc;
}

static void emit_refreshed(const struct oneid_result *r)
{
    struct emit e;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_unsigned(&e, "catalogue", r->catalogue);
    emit_array(&e, "segments");
    for (size_t i = 0; i < r->n_groups; i++) {
        emit_object(&e, NULL);
        emit_text(&e, "name", bytes_of_str_of(r->groups[i].value));
        emit_count(&e, &r->groups[i]);
        emit_end(&e);
    }
    emit_end(&e);
    emit_unsigned(&e, "population", r->population);
    emit_bool(&e, "partial", r->partial);
    emit_unsigned(&e, "in_flight_merges", r->in_flight_merges);
    emit_end(&e);
}

static int refresh(struct session *s, const struct options *o)
{
    struct oneid_result *r = oneid_refresh(s->client);
    if (has_answer(r) && o->json)
        emit_refreshed(r);
    for (size_t i = 0; has_answer(r) && !o->json && i < r->n_groups; i++) {
        show_count(&r->groups[i]);
        show_text(stdout, r->groups[i].value);
        (void)printf("\n");
    }
    int rc = result_check(r);
    oneid_result_free(r);
    return rc;
}

/* --- overlap --- */

/* What was asked for: a name of a saved segment wins over an expression of the same text. */
struct overlap {
    const char *given[OVERLAP_MAX];
    struct buf texts[OVERLAP_MAX];
    const char *exprs[OVERLAP_MAX];
    size_t n;
};

static bool is_saved(const struct oneid_result *r, const char *name)
{
    for (size_t i = 0; i < r->n_segments; i++) {
        if (bytes_equal(bytes_of_str_of(r->segments[i].name), bytes_of_text(name)))
            return true;
    }
    return false;
}

static void put_named(struct buf *out, const char *name)
{
    buf_put(out, "segment(\"", 9);
    for (const char *p = name; *p; p++) {
        if (*p == '"' || *p == '\\')
            buf_put_u8(out, '\\');
        buf_put_u8(out, (uint8_t)*p);
    }
    buf_put(out, "\")", 3);
}

static void resolve(struct overlap *v, const struct options *o, const struct oneid_result *saved)
{
    v->n = o->n_args - 1;
    for (size_t i = 0; i < v->n; i++) {
        v->given[i] = v->exprs[i] = o->args[i + 1];
        if (!is_saved(saved, v->given[i]))
            continue;
        put_named(&v->texts[i], v->given[i]);
        v->exprs[i] = (const char *)v->texts[i].data;
    }
}

/* Members in all of the mask's segments, whatever else they are in. */
static uint64_t at_least(const struct oneid_result *r, size_t mask)
{
    uint64_t n = 0;
    for (size_t m = 0; m < r->n_combos; m++)
        n += (m & mask) == mask ? r->combos[m] : 0;
    return n;
}

static void emit_overlap(const struct overlap *v, const struct oneid_result *r)
{
    struct emit e;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_array(&e, "segments");
    for (size_t i = 0; i < v->n; i++)
        emit_string(&e, NULL, v->given[i]);
    emit_end(&e);
    emit_array(&e, "regions");
    for (size_t mask = 1; mask < r->n_combos; mask++) {
        emit_object(&e, NULL);
        emit_array(&e, "in");
        for (size_t i = 0; i < v->n; i++) {
            if (mask >> i & 1)
                emit_string(&e, NULL, v->given[i]);
        }
        emit_end(&e);
        emit_unsigned(&e, "exactly", r->combos[mask]);
        emit_unsigned(&e, "at_least", at_least(r, mask));
        emit_end(&e);
    }
    emit_end(&e);
    emit_unsigned(&e, "none", r->combos[0]);
    emit_unsigned(&e, "population", r->population);
    emit_bool(&e, "partial", r->partial);
    emit_unsigned(&e, "in_flight_merges", r->in_flight_merges);
    emit_end(&e);
}

static void show_overlap(const struct overlap *v, const struct oneid_result *r)
{
    for (size_t i = 0; i < v->n; i++) {
        (void)printf("%c  %12" PRIu64 "  ", (char)('A' + (char)i), at_least(r, (size_t)1 << i));
        show_text(stdout, (struct oneid_str){v->given[i], strlen(v->given[i])});
        (void)printf("\n");
    }
    (void)printf("\n%-*s %12s %12s\n", (int)(2 * v->n), "in", "exactly", "at least");
    for (size_t mask = 1; mask < r->n_combos; mask++) {
        for (size_t i = 0; i < v->n; i++)
            (void)printf("%c ", mask >> i & 1 ? (char)('A' + (char)i) : '.');
        (void)printf(" %12" PRIu64 " %12" PRIu64 "\n", r->combos[mask], at_least(r, mask));
    }
    (void)printf("%-*s %12" PRIu64 "\n", (int)(2 * v->n), "-", r->combos[0]);
}

static int overlap(struct session *s, const struct options *o)
{
    struct overlap v = {.n = 0};
    struct oneid_result *saved = oneid_segments(s->client, NULL), *r = NULL;
    int rc = result_check(saved);
    if (has_answer(saved)) {
        resolve(&v, o, saved);
        r = oneid_overlap(s->client, v.exprs, v.n);
        rc = result_check(r);
    }
    if (has_answer(r) && o->json)
        emit_overlap(&v, r);
    else if (has_answer(r))
        show_overlap(&v, r);
    for (size_t i = 0; i < v.n; i++)
        buf_free(&v.texts[i]);
    oneid_result_free(saved);
    oneid_result_free(r);
    return rc;
}

/* --- the verbs --- */

static const struct verb {
    const char *name;
    size_t least, most; /* words behind it */
    int (*run)(struct session *s, const struct options *o);
} VERBS[] = {
    {"define", 2, 2, define}, {"show", 1, 1, show},       {"list", 0, 0, list},
    {"drop", 1, 1, drop},     {"refresh", 0, 0, refresh}, {"overlap", 2, OVERLAP_MAX, overlap},
};

int run_segment(const struct options *o)
{
    const struct verb *v = NULL;
    for (size_t i = 0; i < sizeof VERBS / sizeof *VERBS; i++) {
        if (strcmp(VERBS[i].name, o->args[0]) == 0)
            v = &VERBS[i];
    }
    if (!v) {
        complain("segment: expected define, show, list, drop, refresh or overlap");
        return EXIT_USAGE;
    }
    size_t n = o->n_args - 1;
    if (n < v->least || n > v->most) {
        complain("segment %s: %s (quote names and expressions; see segment --help)", v->name,
                 n < v->least ? "something is missing" : "too many arguments");
        return EXIT_USAGE;
    }
    struct session s;
    int rc = session_open_interruptible(&s, o);
    if (rc == EXIT_OK)
        rc = v->run(&s, o);
    session_close(&s);
    return rc;
}
