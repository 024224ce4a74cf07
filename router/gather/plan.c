/* From a request to the commands that go to the shards. */
#include "private.h"

#include <base/hash.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PARSE_ARENA_MAX = 16 << 20, TOKEN_VERSION = 1 };

/* --- the token of a page: "1-<shard>-<position>-<check>" in hex --- */

/* Ties a token to its question and to its own numbers. */
static uint32_t token_check(const struct gather *g, uint64_t shard, uint64_t position)
{
    uint64_t h = hash_u64(g->digest ^ hash_u64((uint64_t)g->type << 32 | shard));
    return (uint32_t)hash_u64(h ^ position);
}

struct bytes plan_token(struct gather *g, shard_id shard, uint64_t position)
{
    (void)snprintf(g->cursor, sizeof g->cursor, "%d-%x-%" PRIx64 "-%08x", TOKEN_VERSION, shard,
                   position, token_check(g, shard, position));
    return bytes_of_str(g->cursor);
}

/* Hex digits at *p as a number; moves *p behind them and the `-`, if one must follow. */
static bool take_hex(const char **p, bool last, uint64_t *out)
{
    char *end;
    if (!((**p >= '0' && **p <= '9') || (**p >= 'a' && **p <= 'f')))
        return false;
    errno = 0;
    *out = strtoull(*p, &end, 16);
    if (errno || (last ? *end != '\0' : *end != '-'))
        return false;
    *p = last ? end : end + 1;
    return true;
}

static enum error_code take_token(struct gather *g)
{
    char text[CURSOR_MAX];
    uint64_t version, shard, position, check;
    const char *p = text;
    if (g->token.len == 0)
        return ERR_OK;
    bool ok = g->token.len < sizeof text && !memchr(g->token.data, 'x', g->token.len);
    if (ok) {
        memcpy(text, g->token.data, g->token.len);
        text[g->token.len] = '\0';
        ok = take_hex(&p, false, &version) && version == TOKEN_VERSION &&
             take_hex(&p, false, &shard) && take_hex(&p, false, &position) &&
             take_hex(&p, true, &check) && shard < g->n_shards;
    }
    if (!ok)
        return error_set(&g->err, ERR_INVALID, "cursor: not one that an earlier page gave");
    if (check != token_check(g, shard, position))
        return error_set(&g->err, ERR_INVALID,
                         "cursor: of another question, or a saved segment in it has changed since");
    g->at = (shard_id)shard;
    g->command.cursor = position;
    return ERR_OK;
}

/* --- expressions --- */

static enum error_code check_one(struct gather *g, struct bytes text, struct arena *arena,
                                 bool *names)
{
    struct expr *e = NULL;
    enum error_code rc = expr_parse(text, g->schema, arena, &e, &g->err);
    if (rc != ERR_OK)
        return rc;
    bool asked = catalogue_is_asked(e);
    *names |= asked;
    if (!asked || !g->catalogue) { /* looked at again with the catalogue */
        g->digest = hash64_seed(text, g->digest);
        return ERR_OK;
    }
    rc = catalogue_check(g->catalogue, e, &g->err);
    if (rc == ERR_OK)
        g->digest = hash_u64(g->digest ^ catalogue_digest(g->catalogue, e));
    return rc;
}

static enum error_code check_exprs(struct gather *g)
{
    struct arena scratch;
    bool names = g->type == REQUEST_REFRESH;
    arena_init(&scratch, PARSE_ARENA_MAX);
    enum error_code rc = ERR_OK;
    g->digest = 0;
    if (g->command.expr.len)
        rc = check_one(g, g->command.expr, &scratch, &names);
    for (size_t i = 0; i < g->command.n_exprs && rc == ERR_OK; i++) {
        arena_reset(&scratch);
        rc = check_one(g, g->command.exprs[i], &scratch, &names);
        if (rc != ERR_OK)
            (void)error_wrap(&g->err, "segment %zu", i + 1);
    }
    arena_close(&scratch);
    g->names_segments = names;
    return rc;
}

static enum error_code check_by(struct gather *g, struct bytes by)
{
    if (bytes_equal(by, bytes_of_str("level")) && g->schema->level_by)
        return ERR_OK;
    if (schema_trait_by_name(g->schema, by))
        return ERR_OK;
    return error_set(&g->err, ERR_UNKNOWN_NAME,
                     "breakdown: unknown trait, expected one of the cluster file's");
}

static bool is_field(const struct schema *s, struct bytes name)
{
    static const char *const OTHERS[] = {"tags", "channels"};
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++) {
        if (bytes_equal(name, bytes_of_str(OTHERS[i])))
            return true;
    }
    return schema_trait_by_name(s, name) ||
           (s->level_by && bytes_equal(name, bytes_of_str("level")));
}

static enum error_code check_fields(struct gather *g)
{
    for (size_t i = 0; i < g->command.n_fields; i++) {
        if (!is_field(g->schema, g->command.fields[i]))
            return error_set(&g->err, ERR_UNKNOWN_NAME,
                             "field %zu: expected a trait of the cluster file, level, tags or "
                             "channels",
                             i + 1);
    }
    return ERR_OK;
}

enum error_code plan_check(struct gather *g)
{
    enum error_code rc = check_exprs(g);
    if (rc == ERR_OK && g->type == REQUEST_BREAKDOWN)
        rc = check_by(g, g->command.by);
    if (rc == ERR_OK && g->type == REQUEST_BREAKDOWN && g->command.by2.len)
        rc = check_by(g, g->command.by2);
    if (rc == ERR_OK && g->type == REQUEST_EXPORT)
        rc = check_fields(g);
    g->at = 0;
    g->command.cursor = 0;
    g->command.limit = g->wanted;
    bool is_final = !g->names_segments || g->catalogue;
    if (rc == ERR_OK && gather_is_paged(g) && is_final)
        rc = take_token(g);
    g->command.catalogue = g->names_segments && g->catalogue ? g->catalogue->version : 0;
    return rc;
}

/* --- the command --- */

static bool set_type(struct gather *g)
{
    static const struct {
        enum request_type request;
        enum command_type command;
        bool query;
    } TYPES[] = {
        {REQUEST_COUNT, COMMAND_COUNT, true},
        {REQUEST_LIST, COMMAND_LIST, true},
        {REQUEST_BREAKDOWN, COMMAND_BREAKDOWN, true},
        {REQUEST_REFRESH, COMMAND_REFRESH, true},
        {REQUEST_OVERLAP, COMMAND_OVERLAP, true},
        {REQUEST_EXPORT, COMMAND_ROWS, true},
        {REQUEST_REFUSED, COMMAND_REFUSED, false},
        {REQUEST_CHECK, COMMAND_CHECK, false},
        {REQUEST_STATS, COMMAND_STATS, false},
        {REQUEST_SEGMENT_DEFINE, COMMAND_SEGMENT_DEFINE, false},
        {REQUEST_SEGMENT_DROP, COMMAND_SEGMENT_DROP, false},
        {REQUEST_SEGMENTS, COMMAND_SEGMENTS, false},
        {REQUEST_LEAD, COMMAND_LEAD, false},
    };
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++) {
        if (TYPES[i].request == g->type) {
            g->command.type = TYPES[i].command;
            g->query = TYPES[i].query;
            return true;
        }
    }
    return false;
}

static struct bytes *copy_list(struct arena *a, const struct bytes *from, size_t n)
{
    struct bytes *to = n ? arena_alloc(a, n * sizeof *to) : NULL;
    for (size_t i = 0; to && i < n; i++)
        to[i] = arena_copy(a, from[i]);
    return to;
}

enum error_code plan_command(struct gather *g, const struct gather_start *s)
{
    const struct request *r = s->request;
    struct command *c = &g->command;
    if (!set_type(g))
        return error_set(&g->err, ERR_INTERNAL, "not a question to all shards");
    g->wanted = r->limit ? r->limit : LIST_DEFAULT;
    if (gather_is_paged(g) && g->wanted > LIST_MAX)
        return error_set(&g->err, ERR_INVALID, "limit: at most %d members a page", LIST_MAX);
    if (g->type == REQUEST_LEAD && r->shard >= g->n_shards)
        return error_set(&g->err, ERR_INVALID, "shard: expected 0 to %u", g->n_shards - 1U);
    if (g->type == REQUEST_LEAD)
        g->at = (shard_id)r->shard;
    g->asked_ms = r->asked_ms;
    c->other = r->node;
    c->limit = g->wanted;
    c->today = s->today;
    c->explain = r->explain;
    c->expr = arena_copy(&g->arena, r->expr);
    c->by = arena_copy(&g->arena, r->by);
    c->by2 = arena_copy(&g->arena, r->by2);
    c->name = g->name = arena_copy(&g->arena, r->name);
    c->exprs = copy_list(&g->arena, r->exprs, r->n_exprs);
    c->n_exprs = r->n_exprs;
    c->fields = copy_list(&g->arena, r->fields, r->n_fields);
    c->n_fields = r->n_fields;
    g->token = arena_copy(&g->arena, r->cursor);
    if ((r->n_exprs && !c->exprs) || (r->n_fields && !c->fields))
        return error_set(&g->err, ERR_NOMEM, "question");
    return ERR_OK;
}
