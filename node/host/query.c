#include "query.h"

#include <proto/rows.h>

#include <stdio.h>

enum { LIST_MAX = 100000, GROUPS_MAX = 100000, ROWS_BYTES_MAX = 8 << 20 };

static enum error_code nomem(struct query_run *r)
{
    return error_set(&r->err, ERR_NOMEM, "no memory left for the answer");
}

static enum error_code parse(struct query_run *r, struct bytes text, const struct expr **out)
{
    struct expr *e = NULL;
    enum error_code rc = expr_parse(text, r->schema, r->arena, &e, &r->err);
    *out = e;
    return rc;
}

static struct count_row *rows_new(struct query_run *r, size_t n)
{
    return arena_zalloc(r->arena, (n ? n : 1) * sizeof(struct count_row));
}

/* --- each kind --- */

static enum error_code run_count(struct query_run *r, struct reply *out)
{
    struct index_count count;
    enum error_code rc = index_count_members(r->shard->index, &r->query, &count, &r->err);
    if (rc != ERR_OK)
        return rc;
    out->counts = rows_new(r, 1);
    if (!out->counts)
        return nomem(r);
    out->counts[0].members = count.members;
    out->n_counts = 1;
    out->population = count.population;
    return ERR_OK;
}

static const char *strategy_of(const struct index_explain_row *row)
{
    static const char *const OPERATORS[] = {
        [INDEX_AND] = "all of", [INDEX_OR] = "any of", [INDEX_NOT] = "not"};
    static const char *const STRATEGIES[] = {[INDEX_BY_NONE] = "constant",
                                             [INDEX_BY_SET] = "set",
                                             [INDEX_BY_COLUMN] = "column",
                                             [INDEX_BY_EVENTS] = "events added up",
                                             [INDEX_BY_WINDOW] = "rolling window"};
    return row->operator== INDEX_TERM ? STRATEGIES[row->strategy] : OPERATORS[row->operator];
}

static enum error_code run_explain(struct query_run *r, struct reply *out)
{
    struct index_count count;
    struct index_explain_row *rows = NULL;
    size_t n = 0;
    enum error_code rc =
        index_count_explain(r->shard->index, &r->query, &count, r->arena, &rows, &n, &r->err);
    if (rc != ERR_OK)
        return rc;
    out->counts = rows_new(r, 1);
    out->explain = arena_zalloc(r->arena, (n + 1) * sizeof *out->explain);
    if (!out->counts || !out->explain)
        return nomem(r);
    for (size_t i = 0; i < n; i++)
        out->explain[i] = (struct explain_row){.term = rows[i].text,
                                               .depth = rows[i].depth,
                                               .strategy = bytes_of_str(strategy_of(&rows[i])),
                                               .estimate = rows[i].estimate,
                                               .chunks = rows[i].chunks,
                                               .skipped = rows[i].skipped,
                                               .nanos = rows[i].nanoseconds,
                                               .emptied = rows[i].emptied,
                                               .decided = rows[i].decided,
                                               .probed = rows[i].probed};
    out->n_explain = n;
    out->counts[0].members = count.members;
    out->n_counts = 1;
    out->population = count.population;
    return ERR_OK;
}

static enum error_code check_limit(struct query_run *r)
{
    if (r->command->limit > 0 && r->command->limit <= LIST_MAX)
        return ERR_OK;
    return error_set(&r->err, ERR_INVALID, "limit: expected 1 to %d", LIST_MAX);
}

static enum error_code run_list(struct query_run *r, struct reply *out)
{
    size_t limit = r->command->limit;
    enum error_code rc = check_limit(r);
    if (rc != ERR_OK)
        return rc;
    out->members = arena_alloc(r->arena, limit * sizeof *out->members);
    if (!out->members)
        return nomem(r);
    return index_list_members(r->shard->index, &r->query, r->command->cursor, limit, out->members,
                              &out->n_members, &out->cursor, &r->err);
}

/* --- rows --- */

static enum error_code find_field(struct query_run *r, struct bytes name, struct index_field *out)
{
    static const struct {
        const char *name;
        enum index_field_kind kind;
    } OTHERS[] = {{"tags", INDEX_FIELD_TAGS}, {"channels", INDEX_FIELD_CHANNELS}};
    const struct schema_trait *trait = schema_trait_by_name(r->schema, name);
    *out = (struct index_field){.kind = INDEX_FIELD_TRAIT, .trait = trait};
    if (trait)
        return ERR_OK;
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++) {
        out->kind = OTHERS[i].kind;
        if (bytes_equal(name, bytes_of_str(OTHERS[i].name)))
            return ERR_OK;
    }
    out->kind = INDEX_FIELD_LEVEL;
    if (bytes_equal(name, bytes_of_str("level")) && r->schema->level_by)
        return ERR_OK;
    return error_set(&r->err, ERR_UNKNOWN_NAME, "there is no such field to export");
}

static void put_date(struct buf *out, int64_t day)
{
    int year, month, mday;
    char text[40];
    clock_date_of_day((int32_t)day, &year, &month, &mday);
    int n = snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, mday);
    rows_put_text(out, bytes_of(text, (size_t)n));
}

static void put_trait(struct buf *out, enum trait_type type, const struct index_cell *c)
{
    switch (type) {
    case TRAIT_ENUM:
    case TRAIT_STRING:
        rows_put_text(out, c->text);
        break;
    case TRAIT_DATE:
        put_date(out, c->number);
        break;
    case TRAIT_NUMBER:
        rows_put_decimal(out, c->number);
        break;
    case TRAIT_COUNTER:
        rows_put_integer(out, c->number);
        break;
    case TRAIT_SET:
        rows_put_list(out, c->list, c->n_list);
        break;
    }
}

static void put_cell(struct buf *out, const struct index_field *f, const struct index_cell *c)
{
    bool is_list = f->kind == INDEX_FIELD_TAGS || f->kind == INDEX_FIELD_CHANNELS;
    if (is_list)
        rows_put_list(out, c->list, c->present ? c->n_list : 0);
    else if (!c->present)
        rows_put_none(out);
    else if (f->kind == INDEX_FIELD_LEVEL)
        rows_put_text(out, c->text);
    else
        put_trait(out, f->trait->type, c);
}

/* As many as fit into one message: the page then ends there. */
static enum error_code pack_rows(struct query_run *r, const struct index_field *fields, size_t n,
                                 const struct index_rows *rows, struct reply *out)
{
    struct buf packed = {0};
    size_t done = 0;
    for (; done < rows->n && packed.len < ROWS_BYTES_MAX; done++) {
        rows_put_member(&packed, rows->members[done]);
        for (size_t k = 0; k < n; k++)
            put_cell(&packed, &fields[k], &rows->cells[done * n + k]);
    }
    out->rows = arena_copy(r->arena, buf_bytes(&packed));
    out->n_rows = (uint32_t)done;
    out->cursor = done < rows->n ? rows->members[done - 1] : rows->next;
    bool ok = out->rows.data || packed.len == 0;
    buf_free(&packed);
    return ok ? ERR_OK : nomem(r);
}

static enum error_code run_rows(struct query_run *r, struct reply *out)
{
    const struct command *c = r->command;
    struct index_field fields[COMMAND_FIELDS_MAX];
    struct index_rows rows;
    enum error_code rc = check_limit(r);
    for (size_t i = 0; i < c->n_fields && rc == ERR_OK; i++)
        rc = find_field(r, c->fields[i], &fields[i]);
    if (rc == ERR_OK)
        rc = index_list_rows(r->shard->index, &r->query, c->cursor, c->limit, fields, c->n_fields,
                             r->arena, &rows, &r->err);
    return rc == ERR_OK ? pack_rows(r, fields, c->n_fields, &rows, out) : rc;
}

/* NULL is the level. */
static enum error_code find_trait(struct query_run *r, struct bytes name,
                                  const struct schema_trait **out)
{
    static const char LEVEL[] = "level";
    *out = schema_trait_by_name(r->schema, name);
    if (*out || (bytes_equal(name, bytes_of_str(LEVEL)) && r->schema->level_by))
        return ERR_OK;
    return error_set(&r->err, ERR_UNKNOWN_NAME, "breakdown: there is no such trait");
}

static enum error_code run_breakdown(struct query_run *r, struct reply *out)
{
    const struct command *c = r->command;
    const struct schema_trait *by[INDEX_BREAKDOWN_MAX];
    size_t n_by = c->by2.len ? 2 : 1, n;
    struct index_group *groups;
    enum error_code rc = find_trait(r, c->by, &by[0]);
    if (rc == ERR_OK && n_by == 2)
        rc = find_trait(r, c->by2, &by[1]);
    if (rc == ERR_OK)
        rc = index_breakdown(r->shard->index, &r->query, by, n_by, GROUPS_MAX, r->arena, &groups,
                             &n, &r->err);
    if (rc != ERR_OK)
        return rc;
    out->counts = rows_new(r, n);
    if (!out->counts)
        return nomem(r);
    for (size_t i = 0; i < n; i++) {
        struct count_row *row = &out->counts[i];
        row->value = groups[i].keys[0].value;
        row->none = groups[i].keys[0].none;
        row->members = groups[i].members;
        if (n_by == 2) {
            row->value2 = groups[i].keys[1].value;
            row->none2 = groups[i].keys[1].none;
        }
    }
    out->n_counts = n;
    return ERR_OK;
}

/* All saved segments, in the order of the catalogue. */
static enum error_code run_refresh(struct query_run *r, struct reply *out)
{
    size_t n = r->catalogue->n;
    struct index_query *queries = arena_alloc(r->arena, (n + 1) * sizeof *queries);
    struct index_answer *answers = arena_zalloc(r->arena, (n + 1) * sizeof *answers);
    size_t *place = arena_alloc(r->arena, (n + 1) * sizeof *place);
    size_t usable = 0;
    out->counts = rows_new(r, n);
    if (!queries || !answers || !place || !out->counts)
        return nomem(r);
    out->n_counts = n;
    for (size_t i = 0; i < n; i++) {
        const struct catalogue_entry *e = &r->catalogue->entries[i];
        out->counts[i].value = segment_name(e->segment);
        out->counts[i].error = e->code;
        if (e->code != ERR_OK)
            continue;
        place[usable] = i;
        queries[usable] = r->query;
        queries[usable++].expr = segment_expr(e->segment);
    }
    if (usable == 0)
        return ERR_OK;
    enum error_code rc = index_count_many(r->shard->index, queries, usable, answers, &r->err);
    for (size_t i = 0; i < usable && rc == ERR_OK; i++) {
        out->counts[place[i]].members = answers[i].count.members;
        out->counts[place[i]].error = answers[i].err.code;
        if (answers[i].err.code == ERR_OK)
            out->population = answers[i].count.population;
    }
    return rc;
}

static enum error_code run_overlap(struct query_run *r, struct reply *out)
{
    struct index_query queries[INDEX_OVERLAP_MAX];
    struct index_count all;
    size_t n = r->command->n_exprs;
    if (n > INDEX_OVERLAP_MAX)
        return error_set(&r->err, ERR_TOO_LARGE, "at most %d segments can overlap",
                         INDEX_OVERLAP_MAX);
    for (size_t i = 0; i < n; i++) {
        queries[i] = r->query;
        enum error_code rc = parse(r, r->command->exprs[i], &queries[i].expr);
        if (rc != ERR_OK)
            return rc;
    }
    out->n_combos = (size_t)1 << n;
    out->combos = arena_zalloc(r->arena, out->n_combos * sizeof *out->combos);
    if (!out->combos)
        return nomem(r);
    enum error_code rc = index_overlap(r->shard->index, queries, n, out->combos, &all, &r->err);
    out->population = all.population;
    return rc;
}

enum error_code query_run(struct query_run *r, struct reply *out)
{
    const struct command *c = r->command;
    if (c->type == COMMAND_REFRESH)
        return run_refresh(r, out);
    if (c->type == COMMAND_OVERLAP)
        return run_overlap(r, out);
    if (!command_is_query(c->type))
        return error_set(&r->err, ERR_MALFORMED, "not a query");
    enum error_code rc = parse(r, c->expr, &r->query.expr);
    if (rc != ERR_OK)
        return rc;
    if (c->type == COMMAND_COUNT)
        return c->explain ? run_explain(r, out) : run_count(r, out);
    if (c->type == COMMAND_LIST)
        return run_list(r, out);
    if (c->type == COMMAND_BREAKDOWN)
        return run_breakdown(r, out);
    if (c->type == COMMAND_ROWS)
        return run_rows(r, out);
    return error_set(&r->err, ERR_MALFORMED, "not a query");
}
