#include <gather/gather.h>

#include <segment/expr.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIST_DEFAULT = 100, LIST_MAX = 10000, CURSOR_MAX = 64 };

struct part {
    bool asked, answered;
    msec_t resend_ms;
};

struct gather {
    struct arena arena;
    const struct schema *schema;
    const node_id *node_of_shard;
    enum request_type type;
    shard_id n_shards;
    struct part *parts;
    size_t n_asked, n_answered;
    msec_t deadline_ms;
    struct command command;
    bool query, done;
    shard_id at; /* LIST, REFUSED: the shard whose turn it is */
    uint32_t wanted;
    struct response answer;
    size_t groups_cap, findings_cap;
    char cursor[CURSOR_MAX];
    struct error err;
};

void gather_effects_free(struct gather_effects *fx)
{
    free(fx->items);
    *fx = (struct gather_effects){0};
}

/* Room for one more item in an array of `n`; memory that is out ends the process. */
static void *grow(void *items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return items;
    *cap = *cap ? *cap * 2 : 16;
    void *p = realloc(items, *cap * size);
    if (!p)
        abort();
    return p;
}

static struct gather_effect *add_effect(struct gather_effects *fx)
{
    fx->items = grow(fx->items, fx->n, &fx->cap, sizeof *fx->items);
    struct gather_effect *e = &fx->items[fx->n++];
    *e = (struct gather_effect){0};
    return e;
}

static void finish(struct gather *g, struct gather_effects *fx)
{
    g->done = true;
    struct gather_effect *e = add_effect(fx);
    e->kind = GATHER_ANSWER;
    e->answer = &g->answer;
}

static void fail(struct gather *g, enum error_code code, const char *text,
                 struct gather_effects *fx)
{
    (void)snprintf(g->err.msg, sizeof g->err.msg, "%s", text);
    g->answer = (struct response){.code = code, .text = bytes_of_str(g->err.msg)};
    finish(g, fx);
}

static void ask(struct gather *g, shard_id shard, msec_t now, struct gather_effects *fx)
{
    struct part *p = &g->parts[shard];
    if (!p->asked)
        g->n_asked++;
    p->asked = true;
    p->resend_ms = now + GATHER_RESEND_MS;
    struct gather_effect *e = add_effect(fx);
    e->kind = GATHER_SEND;
    e->shard = shard;
    e->query = g->query;
    e->command = &g->command;
}

static bool is_paged(const struct gather *g)
{
    return g->type == REQUEST_LIST || g->type == REQUEST_REFUSED;
}

/* --- starting --- */

/* Decimal digits at *p as a number; moves *p behind them. */
static bool parse_number(const char **p, uint64_t *out)
{
    if (**p < '0' || **p > '9')
        return false;
    char *end;
    errno = 0;
    *out = strtoull(*p, &end, 10);
    *p = end;
    return errno == 0;
}

static bool parse_cursor(struct gather *g, struct bytes cursor)
{
    char text[CURSOR_MAX];
    if (cursor.len == 0)
        return true;
    if (cursor.len >= sizeof text)
        return false;
    memcpy(text, cursor.data, cursor.len);
    text[cursor.len] = '\0';
    const char *p = text;
    uint64_t shard, position;
    if (*p++ != 's' || !parse_number(&p, &shard) || *p++ != '.' || !parse_number(&p, &position) ||
        *p != '\0' || shard >= g->n_shards)
        return false;
    g->at = (shard_id)shard;
    g->command.cursor = position;
    return true;
}

static enum error_code check_expr(struct gather *g)
{
    struct arena scratch;
    struct expr *expr;
    arena_init(&scratch, 16 << 20);
    enum error_code rc = expr_parse(g->command.expr, g->schema, &scratch, &expr, &g->err);
    arena_close(&scratch);
    return rc;
}

static enum error_code check_by(struct gather *g)
{
    struct bytes by = g->command.by;
    if (bytes_equal(by, bytes_of_str("level")) && g->schema->level_by)
        return ERR_OK;
    if (schema_trait_by_name(g->schema, by))
        return ERR_OK;
    return error_set(&g->err, ERR_UNKNOWN_NAME,
                     "breakdown: unknown trait, expected one of the cluster file's");
}

static enum error_code set_command(struct gather *g, const struct gather_start *s, msec_t now)
{
    const struct request *r = s->request;
    struct command *c = &g->command;
    g->wanted = r->limit ? r->limit : LIST_DEFAULT;
    c->today = s->today;
    c->deadline_ms = (uint32_t)(s->deadline_ms - now);
    c->expr = arena_copy(&g->arena, r->expr);
    c->by = arena_copy(&g->arena, r->by);
    g->query = true;
    switch (r->type) {
    case REQUEST_COUNT:
        c->type = COMMAND_COUNT;
        break;
    case REQUEST_LIST:
        c->type = COMMAND_LIST;
        break;
    case REQUEST_BREAKDOWN:
        c->type = COMMAND_BREAKDOWN;
        break;
    case REQUEST_REFUSED:
        c->type = COMMAND_REFUSED;
        g->query = false;
        break;
    case REQUEST_CHECK:
        c->type = COMMAND_CHECK;
        g->query = false;
        break;
    case REQUEST_STATS:
    case REQUEST_STATUS:
        c->type = COMMAND_STATS;
        g->query = false;
        break;
    case REQUEST_INGEST:
    case REQUEST_RESOLVE:
    case REQUEST_PROFILE:
    case REQUEST_TYPE_END:
        return error_set(&g->err, ERR_INTERNAL, "not a question to all shards");
    }
    if (g->wanted > LIST_MAX)
        return error_set(&g->err, ERR_INVALID, "limit: at most %d members a page", LIST_MAX);
    if (is_paged(g) && !parse_cursor(g, r->cursor))
        return error_set(&g->err, ERR_INVALID, "cursor: not one that an earlier page gave");
    enum error_code rc = g->query ? check_expr(g) : ERR_OK;
    if (rc == ERR_OK && r->type == REQUEST_BREAKDOWN)
        rc = check_by(g);
    return rc;
}

static bool prepare_rows(struct gather *g)
{
    struct response *a = &g->answer;
    a->shards = arena_zalloc(&g->arena, g->n_shards * sizeof *a->shards);
    a->members = arena_alloc(&g->arena, g->wanted * sizeof *a->members);
    a->lines = arena_alloc(&g->arena, g->wanted * sizeof *a->lines);
    if (!a->shards || !a->members || !a->lines)
        return false;
    if (g->type != REQUEST_STATS && g->type != REQUEST_STATUS)
        return true;
    a->n_shards = g->n_shards;
    for (shard_id i = 0; i < g->n_shards; i++)
        a->shards[i] = (struct shard_status){.shard = i, .node = g->node_of_shard[i]};
    return true;
}

struct gather *gather_new(const struct gather_start *s, msec_t now, struct gather_effects *fx)
{
    struct gather *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->schema = s->schema;
    g->node_of_shard = s->node_of_shard;
    g->type = s->request->type;
    g->n_shards = s->n_shards;
    g->deadline_ms = s->deadline_ms;
    g->answer.map_epoch = s->map_epoch;
    g->parts = arena_zalloc(&g->arena, g->n_shards * sizeof *g->parts);
    if (!g->parts) {
        gather_free(g);
        return NULL;
    }
    enum error_code rc = set_command(g, s, now);
    if (rc == ERR_OK && !prepare_rows(g))
        rc = error_set(&g->err, ERR_NOMEM, "answer");
    if (rc != ERR_OK) {
        g->answer = (struct response){.code = rc, .text = bytes_of_str(g->err.msg)};
        finish(g, fx);
        return g;
    }
    g->command.limit = g->wanted;
    if (is_paged(g)) {
        ask(g, g->at, now, fx);
        return g;
    }
    for (shard_id i = 0; i < g->n_shards; i++)
        ask(g, i, now, fx);
    return g;
}

void gather_free(struct gather *g)
{
    if (!g)
        return;
    arena_close(&g->arena);
    free(g->answer.groups);
    free(g->answer.findings);
    free(g);
}

/* --- adding up --- */

static int by_value(const void *a, const void *b)
{
    const struct count_row *x = a, *y = b;
    if (x->none != y->none)
        return x->none ? 1 : -1;
    return bytes_compare(x->value, y->value);
}

static int by_members(const void *a, const void *b)
{
    const struct count_row *x = a, *y = b;
    if (x->members != y->members)
        return x->members > y->members ? -1 : 1;
    return by_value(a, b);
}

/* Rows of all shards, sorted by value, become one row a value. */
static void fold_groups(struct gather *g)
{
    struct response *a = &g->answer;
    if (a->n_groups == 0)
        return;
    qsort(a->groups, a->n_groups, sizeof *a->groups, by_value);
    size_t n = 0;
    for (size_t i = 1; i < a->n_groups; i++) {
        if (by_value(&a->groups[n], &a->groups[i]) == 0)
            a->groups[n].members += a->groups[i].members;
        else
            a->groups[++n] = a->groups[i];
    }
    a->n_groups = n + 1;
    qsort(a->groups, a->n_groups, sizeof *a->groups, by_members);
}

static void add_counts(struct gather *g, const struct reply *r)
{
    struct response *a = &g->answer;
    a->population += r->population;
    a->in_flight += r->in_flight;
    if (g->type == REQUEST_COUNT) {
        for (size_t i = 0; i < r->n_counts; i++)
            a->count += r->counts[i].members;
        return;
    }
    for (size_t i = 0; i < r->n_counts; i++) {
        a->groups = grow(a->groups, a->n_groups, &g->groups_cap, sizeof *a->groups);
        a->groups[a->n_groups++] = (struct count_row){arena_copy(&g->arena, r->counts[i].value),
                                                      r->counts[i].none, r->counts[i].members};
        a->count += r->counts[i].members;
    }
}

static void add_findings(struct gather *g, shard_id shard, const struct reply *r)
{
    struct response *a = &g->answer;
    for (size_t i = 0; i < r->n_counts; i++) {
        a->findings = grow(a->findings, a->n_findings, &g->findings_cap, sizeof *a->findings);
        char line[512];
        int n = snprintf(line, sizeof line, "shard %u: %.*s", shard, (int)r->counts[i].value.len,
                         (const char *)r->counts[i].value.data);
        size_t len = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
        a->findings[a->n_findings++] = arena_copy(&g->arena, bytes_of(line, len));
    }
}

static const char *ns_name(const struct gather *g, name_id id)
{
    const struct schema_namespace *ns = schema_namespace_by_id(g->schema, id);
    return ns ? ns->name : "";
}

static void add_lines(struct gather *g, shard_id shard, const struct reply *r)
{
    struct response *a = &g->answer;
    for (size_t i = 0; i < r->n_refusals && a->n_lines < g->wanted; i++) {
        const struct refused_row *row = &r->refusals[i];
        a->lines[a->n_lines++] = (struct refused_line){
            .number = row->number,
            .shard = shard,
            .at = row->at,
            .profile = row->profile,
            .id = {bytes_of_str(ns_name(g, row->id.ns)), arena_copy(&g->arena, row->id.value)},
            .with = {bytes_of_str(ns_name(g, row->with.ns)),
                     arena_copy(&g->arena, row->with.value)},
            .reason = row->reason,
            .message_id = arena_copy(&g->arena, row->message_id),
            .source = arena_copy(&g->arena, row->source),
        };
    }
}

static void add_members(struct gather *g, const struct reply *r)
{
    struct response *a = &g->answer;
    for (size_t i = 0; i < r->n_members && a->n_members < g->wanted; i++)
        a->members[a->n_members++] = r->members[i];
}

/* The page goes on: in this shard, in the next one, or not at all. */
static void next_page(struct gather *g, shard_id shard, const struct reply *r, msec_t now,
                      struct gather_effects *fx)
{
    struct response *a = &g->answer;
    size_t have = a->n_members + a->n_lines;
    uint64_t position = r->cursor;
    shard_id next = shard;
    if (position == 0)
        next++;
    if (next >= g->n_shards) {
        finish(g, fx);
        return;
    }
    if (have >= g->wanted) {
        (void)snprintf(g->cursor, sizeof g->cursor, "s%u.%" PRIu64, next, position);
        a->cursor = bytes_of_str(g->cursor);
        finish(g, fx);
        return;
    }
    g->at = next;
    g->parts[next].answered = false;
    g->command.cursor = position;
    g->command.limit = g->wanted - (uint32_t)have;
    ask(g, next, now, fx);
}

static void add_reply(struct gather *g, shard_id shard, const struct reply *r)
{
    switch (g->type) {
    case REQUEST_COUNT:
    case REQUEST_BREAKDOWN:
        add_counts(g, r);
        break;
    case REQUEST_LIST:
        add_members(g, r);
        break;
    case REQUEST_REFUSED:
        add_lines(g, shard, r);
        break;
    case REQUEST_CHECK:
        add_findings(g, shard, r);
        break;
    case REQUEST_STATS:
    case REQUEST_STATUS:
        g->answer.shards[shard].reachable = r->stats != NULL;
        if (r->stats)
            g->answer.shards[shard].stats = *r->stats;
        g->answer.in_flight += r->stats ? r->stats->merging : 0;
        break;
    case REQUEST_INGEST:
    case REQUEST_RESOLVE:
    case REQUEST_PROFILE:
    case REQUEST_TYPE_END:
        break;
    }
}

void gather_reply(struct gather *g, shard_id shard, const struct reply *reply, msec_t now,
                  struct gather_effects *fx)
{
    if (g->done || shard >= g->n_shards || !g->parts[shard].asked || g->parts[shard].answered)
        return;
    if (reply->status == REPLY_ERROR && error_is_retryable(reply->error))
        return; /* asked again by the timer */
    if (reply->status != REPLY_OK) {
        char text[sizeof g->err.msg];
        (void)snprintf(text, sizeof text, "%.*s",
                       (int)(reply->text.len < 200 ? reply->text.len : 200),
                       reply->text.len ? (const char *)reply->text.data : "");
        fail(g, reply->status == REPLY_ERROR ? reply->error : ERR_INTERNAL, text, fx);
        return;
    }
    g->parts[shard].answered = true;
    g->n_answered++;
    add_reply(g, shard, reply);
    if (is_paged(g)) {
        next_page(g, shard, reply, now, fx);
        return;
    }
    if (g->n_answered == g->n_shards) {
        fold_groups(g);
        finish(g, fx);
    }
}

static void give_up(struct gather *g, struct gather_effects *fx)
{
    bool status = g->type == REQUEST_STATS || g->type == REQUEST_STATUS;
    if (g->n_answered == 0 && !status) {
        fail(g, ERR_TIMEOUT, "no shard answered within the deadline", fx);
        return;
    }
    g->answer.partial = true;
    if (is_paged(g)) { /* the next page starts with the shard that is missing */
        (void)snprintf(g->cursor, sizeof g->cursor, "s%u.%" PRIu64, g->at, g->command.cursor);
        g->answer.cursor = bytes_of_str(g->cursor);
    }
    fold_groups(g);
    finish(g, fx);
}

void gather_tick(struct gather *g, msec_t now, struct gather_effects *fx)
{
    if (g->done)
        return;
    if (now >= g->deadline_ms - GATHER_MARGIN_MS) {
        give_up(g, fx);
        return;
    }
    for (shard_id i = 0; i < g->n_shards; i++) {
        struct part *p = &g->parts[i];
        if (p->asked && !p->answered && now >= p->resend_ms)
            ask(g, i, now, fx);
    }
}

msec_t gather_wake_ms(const struct gather *g)
{
    if (g->done)
        return INT64_MAX;
    msec_t wake = g->deadline_ms - GATHER_MARGIN_MS;
    for (shard_id i = 0; i < g->n_shards; i++) {
        const struct part *p = &g->parts[i];
        if (p->asked && !p->answered && p->resend_ms < wake)
            wake = p->resend_ms;
    }
    return wake;
}
