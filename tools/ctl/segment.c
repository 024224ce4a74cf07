/* count, list, breakdown: questions in the segment language. */
#include "commands.h"
#include "explain.h"
#include "session.h"
#include "show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_DEFAULT = 100, PAGE_MAX = 10000, NAME_SIZE = 80 };

/* An empty text goes to no router. */
static int open_for(struct session *s, const struct options *o)
{
    if (o->args[0][0] != '\0')
        return session_open_interruptible(s, o);
    *s = (struct session){0};
    complain_code(ONEID_ERR_SYNTAX, "column 1: an expression is expected");
    return EXIT_PROBLEM;
}

static bool has_answer(const struct oneid_result *r)
{
    return r && r->code == ONEID_OK;
}

/* --- count --- */

static void print_count(const struct options *o, const struct oneid_result *r)
{
    if (!o->json) {
        (void)printf("%" PRIu64 " of %" PRIu64 " members", r->count, r->population);
        if (r->in_flight_merges)
            (void)printf(" (%" PRIu64 " merges in flight)", r->in_flight_merges);
        (void)printf("\n");
        return;
    }
    struct emit e;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_unsigned(&e, "count", r->count);
    emit_unsigned(&e, "in_flight_merges", r->in_flight_merges);
    emit_bool(&e, "partial", r->partial);
    emit_unsigned(&e, "population", r->population);
    if (o->stale)
        emit_unsigned(&e, "age_ms", r->age_ms);
    emit_end(&e);
}

int run_count(const struct options *o)
{
    struct session s;
    int rc = open_for(&s, o);
    if (rc == EXIT_OK) {
        struct oneid_result *r =
            o->explain ? oneid_explain(s.client, o->args[0]) : oneid_count(s.client, o->args[0]);
        if (has_answer(r) && o->explain)
            explain_print(o, r);
        else if (has_answer(r))
            print_count(o, r);
        rc = result_check(r);
        oneid_result_free(r);
    }
    session_close(&s);
    return rc;
}

/* --- breakdown --- */

static void emit_group_value(struct emit *e, const char *key, struct oneid_str value, bool none)
{
    if (none)
        emit_null(e, key);
    else
        emit_text(e, key, bytes_of_str_of(value));
}

static void emit_groups(const struct oneid_result *r, bool two)
{
    struct emit e;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_array(&e, "groups");
    for (size_t i = 0; i < r->n_groups; i++) {
        const struct oneid_group *g = &r->groups[i];
        emit_object(&e, NULL);
        emit_group_value(&e, "value", g->value, g->none);
        if (two)
            emit_group_value(&e, "value2", g->value2, g->none2);
        emit_unsigned(&e, "count", r->groups[i].members);
        emit_end(&e);
    }
    emit_end(&e);
    emit_bool(&e, "partial", r->partial);
    emit_unsigned(&e, "in_flight_merges", r->in_flight_merges);
    emit_end(&e);
}

static void show_group_value(struct oneid_str value, bool none)
{
    if (none)
        (void)printf("(none)");
    else
        show_text(stdout, value);
}

static void print_groups(const struct options *o, const struct oneid_result *r, bool two)
{
    if (o->json) {
        emit_groups(r, two);
        return;
    }
    for (size_t i = 0; i < r->n_groups; i++) {
        (void)printf("%12" PRIu64 "  ", r->groups[i].members);
        show_group_value(r->groups[i].value, r->groups[i].none);
        if (two) {
            (void)printf("  |  ");
            show_group_value(r->groups[i].value2, r->groups[i].none2);
        }
        (void)printf("\n");
    }
}

/* "a" or "a,b". */
struct by {
    char first[NAME_SIZE];
    const char *second; /* NULL: by one */
};

static bool split_by(const char *text, struct by *out)
{
    const char *comma = strchr(text, ',');
    size_t len = comma ? (size_t)(comma - text) : strlen(text);
    if (len >= sizeof out->first)
        return false;
    memcpy(out->first, text, len);
    out->first[len] = '\0';
    out->second = comma ? comma + 1 : NULL;
    return len > 0 && (!comma || (comma[1] != '\0' && !strchr(comma + 1, ',')));
}

int run_breakdown(const struct options *o)
{
    struct session s;
    struct by by;
    if (!split_by(o->by, &by)) {
        complain("--by: one trait, or two with a comma between them");
        return EXIT_USAGE;
    }
    int rc = open_for(&s, o);
    if (rc == EXIT_OK) {
        struct oneid_result *r = oneid_breakdown_two(s.client, o->args[0], by.first, by.second);
        if (has_answer(r))
            print_groups(o, r, by.second != NULL);
        rc = result_check(r);
        oneid_result_free(r);
    }
    session_close(&s);
    return rc;
}

/* --- list --- */

/* One answer put together from as many pages as the limit needs. */
struct listing {
    const struct options *o;
    struct emit emit;
    uint32_t left;
    char *cursor; /* where to go on; NULL: from the start */
    bool begun, at_end, partial;
};

/* With the first page, so that a wrong expression prints nothing. */
static void begin_listing(struct listing *l)
{
    if (!l->begun && l->o->json) {
        emit_init(&l->emit, stdout);
        emit_object(&l->emit, NULL);
        emit_array(&l->emit, "members");
    }
    l->begun = true;
}

static void print_members(struct listing *l, const struct oneid_result *r)
{
    for (size_t i = 0; i < r->n_members; i++) {
        char text[17];
        oneid_format(r->members[i], text);
        if (l->o->json)
            emit_string(&l->emit, NULL, text);
        else
            (void)printf("%s\n", text);
    }
}

static int take_page(struct listing *l, const struct oneid_result *r)
{
    int rc = result_check(r);
    if (!has_answer(r))
        return rc;
    begin_listing(l);
    print_members(l, r);
    l->left -= r->n_members < l->left ? (uint32_t)r->n_members : l->left;
    l->partial = r->partial;
    l->at_end = r->cursor[0] == '\0';
    free(l->cursor);
    l->cursor = strdup(r->cursor);
    if (l->cursor)
        return rc;
    complain("out of memory");
    return EXIT_PROBLEM;
}

static int list_pages(struct listing *l, struct oneid_client *client)
{
    int rc;
    do {
        struct oneid_result *r =
            oneid_list(client, l->o->args[0], l->cursor, l->left < PAGE_MAX ? l->left : PAGE_MAX);
        rc = take_page(l, r);
        oneid_result_free(r);
    } while (rc == EXIT_OK && !l->at_end && l->left > 0);
    return rc;
}

static void end_listing(struct listing *l)
{
    const char *cursor = l->cursor && !l->at_end ? l->cursor : "";
    if (!l->begun)
        return;
    if (l->o->json) {
        emit_end(&l->emit);
        emit_string(&l->emit, "cursor", cursor);
        if (l->partial)
            emit_bool(&l->emit, "partial", true);
        emit_end(&l->emit);
    } else if (cursor[0]) {
        (void)fflush(stdout);
        (void)fprintf(stderr, "more with --cursor %s\n", cursor);
    }
}

int run_list(const struct options *o)
{
    struct session s;
    int rc = open_for(&s, o);
    struct listing l = {.o = o, .left = o->limit ? o->limit : LIST_DEFAULT};
    if (rc == EXIT_OK && o->cursor)
        l.cursor = strdup(o->cursor);
    if (rc == EXIT_OK) {
        rc = list_pages(&l, s.client);
        end_listing(&l);
    }
    free(l.cursor);
    session_close(&s);
    return rc;
}
