/* refused: what was not taken, and why. */
#include "commands.h"
#include "session.h"
#include "show.h"

#include <inttypes.h>
#include <stdio.h>

enum { REFUSED_DEFAULT = 100 };

static void emit_line(struct emit *e, const struct oneid_refused_line *l)
{
    emit_object(e, NULL);
    emit_unsigned(e, "number", l->number);
    emit_unsigned(e, "shard", l->shard);
    emit_integer(e, "at", l->at_ms);
    emit_one_id(e, "one_id", l->one_id);
    emit_identity(e, "id", &l->id);
    emit_identity(e, "with", &l->with);
    emit_string(e, "reason", l->reason);
    emit_text(e, "message_id", bytes_of_str_of(l->message_id));
    emit_text(e, "source", bytes_of_str_of(l->source));
    emit_end(e);
}

static void emit_lines(const struct oneid_result *r)
{
    struct emit e;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_array(&e, "refused");
    for (size_t i = 0; i < r->n_lines; i++)
        emit_line(&e, &r->lines[i]);
    emit_end(&e);
    emit_string(&e, "cursor", r->cursor);
    if (r->partial)
        emit_bool(&e, "partial", true);
    emit_end(&e);
}

static void show_identity(const char *before, const struct oneid_identity *id)
{
    if (!id->ns)
        return;
    (void)printf("%s%s:", before, id->ns);
    show_text(stdout, id->value);
}

static void show_line(const struct oneid_refused_line *l)
{
    char person[17];
    oneid_format(l->one_id, person);
    show_time(stdout, l->at_ms);
    (void)printf("  %-12s  %s", l->reason, person);
    show_identity("  ", &l->id);
    show_identity(" with ", &l->with);
    (void)printf("  message ");
    show_text(stdout, l->message_id);
    if (l->source.len) {
        (void)printf(" from ");
        show_text(stdout, l->source);
    }
    (void)printf("\n");
}

static void print_refused(const struct options *o, const struct oneid_result *r)
{
    if (o->json) {
        emit_lines(r);
        return;
    }
    for (size_t i = 0; i < r->n_lines; i++)
        show_line(&r->lines[i]);
    if (r->cursor[0]) {
        (void)fflush(stdout);
        (void)fprintf(stderr, "more with --cursor %s\n", r->cursor);
    }
}

int run_refused(const struct options *o)
{
    struct session s;
    int rc = session_open(&s, o);
    if (rc == EXIT_OK) {
        struct oneid_result *r =
            oneid_refused(s.client, o->cursor, o->limit ? o->limit : REFUSED_DEFAULT);
        if (r && r->code == ONEID_OK)
            print_refused(o, r);
        rc = result_check(r);
        oneid_result_free(r);
    }
    session_close(&s);
    return rc;
}
