#include "parser.h"

enum error_code parser_nomem(const struct parser *p)
{
    return error_set(p->err, ERR_NOMEM, "no memory for the expression");
}

/* Is the word one that the cluster file declares? Such words are no personal data. */
static bool is_schema_word(const struct schema *s, struct bytes word)
{
    if (schema_trait_by_name(s, word) || schema_event_by_name(s, word) ||
        schema_namespace_by_name(s, word))
        return true;
    for (size_t i = 0; i < s->n_levels; i++) {
        if (bytes_equal(bytes_of_str(s->levels[i].name), word))
            return true;
    }
    return false;
}

static const char *token_kind_text(enum token_kind kind)
{
    static const char *const texts[] = {
        [TOKEN_END] = "the end",     [TOKEN_WORD] = "a name",   [TOKEN_STRING] = "a text",
        [TOKEN_NUMBER] = "a number", [TOKEN_DAYS] = "a window", [TOKEN_DATE] = "a date",
        [TOKEN_OPEN] = "'('",        [TOKEN_CLOSE] = "')'",     [TOKEN_COMMA] = "','",
        [TOKEN_DOT] = "'.'",         [TOKEN_EQ] = "'='",        [TOKEN_NE] = "'!='",
        [TOKEN_LT] = "'<'",          [TOKEN_LE] = "'<='",       [TOKEN_GT] = "'>'",
        [TOKEN_GE] = "'>='",
    };
    return texts[kind];
}

enum error_code parser_refuse(const struct parser *p, enum error_code code,
                              const struct token *found, const char *expected)
{
    if (found->keyword != KEYWORD_NONE)
        return error_set(p->err, code, "column %u: expected %s, found '%s'", found->column,
                         expected, keyword_text(found->keyword));
    if (found->kind == TOKEN_WORD && is_schema_word(p->schema, found->text))
        return error_set(p->err, code, "column %u: expected %s, found '%.*s'", found->column,
                         expected, (int)found->text.len, (const char *)found->text.data);
    return error_set(p->err, code, "column %u: expected %s, found %s", found->column, expected,
                     token_kind_text(found->kind));
}

enum error_code parser_expected(const struct parser *p, const struct token *found,
                                const char *expected)
{
    return parser_refuse(p, ERR_SYNTAX, found, expected);
}

static enum error_code advance(struct parser *p)
{
    return lexer_next(&p->lexer, &p->token, p->err);
}

static enum error_code take(struct parser *p, enum token_kind kind, const char *expected)
{
    if (p->token.kind != kind)
        return parser_expected(p, &p->token, expected);
    return advance(p);
}

static bool at_keyword(const struct parser *p, enum keyword k)
{
    return p->token.kind == TOKEN_WORD && p->token.keyword == k;
}

static bool is_name(const struct token *t)
{
    return t->kind == TOKEN_STRING || (t->kind == TOKEN_WORD && t->keyword == KEYWORD_NONE);
}

/* Takes a name, bare or quoted. A keyword that is meant as a name needs quotes. */
static enum error_code take_name(struct parser *p, const char *expected, struct token *out)
{
    if (p->token.keyword != KEYWORD_NONE)
        return error_set(p->err, ERR_SYNTAX,
                         "column %u: expected %s, found '%s' (a keyword that is meant as a name is "
                         "written in quotes)",
                         p->token.column, expected, keyword_text(p->token.keyword));
    if (!is_name(&p->token))
        return parser_expected(p, &p->token, expected);
    *out = p->token;
    return advance(p);
}

enum error_code parser_enter(struct parser *p, uint32_t column)
{
    if (p->depth >= SEGMENT_DEPTH_MAX)
        return error_set(p->err, ERR_TOO_LARGE, "column %u: expected at most %d levels of nesting",
                         column, SEGMENT_DEPTH_MAX);
    p->depth++;
    return ERR_OK;
}

enum error_code parser_count_term(struct parser *p, uint32_t column)
{
    if (p->n_terms >= SEGMENT_TERMS_MAX)
        return error_set(p->err, ERR_TOO_LARGE, "column %u: expected at most %d terms", column,
                         SEGMENT_TERMS_MAX);
    p->n_terms++;
    return ERR_OK;
}

static enum error_code new_node(struct parser *p, enum expr_kind kind, uint32_t column,
                                struct expr **out)
{
    struct expr *e = arena_zalloc(p->arena, sizeof *e);
    if (!e)
        return parser_nomem(p);
    e->kind = kind;
    e->column = column;
    *out = e;
    return ERR_OK;
}

enum error_code parser_new_term(struct parser *p, enum expr_kind kind, uint32_t column,
                                struct expr **out)
{
    enum error_code rc = parser_count_term(p, column);
    return rc ? rc : new_node(p, kind, column, out);
}

/* Makes room for one more item of `size` bytes in an array of the arena. */
static enum error_code grow(struct parser *p, void **items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return ERR_OK;
    size_t wanted = *cap ? *cap * 2 : 4;
    void *grown = arena_alloc(p->arena, wanted * size);
    if (!grown)
        return parser_nomem(p);
    if (*items)
        memcpy(grown, *items, n * size);
    *items = grown;
    *cap = wanted;
    return ERR_OK;
}

enum error_code parser_list_add(struct parser *p, struct expr_list *list, struct expr *e)
{
    void *items = list->items;
    enum error_code rc = grow(p, &items, list->n, &list->cap, sizeof *list->items);
    if (rc)
        return rc;
    list->items = items;
    list->items[list->n++] = e;
    return ERR_OK;
}

enum error_code parser_list_join(struct parser *p, enum expr_kind kind, struct expr_list *list,
                                 struct expr **out)
{
    if (list->n == 1) {
        *out = list->items[0];
        return ERR_OK;
    }
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        n += list->items[i]->kind == kind ? list->items[i]->n_children : 1;
    enum error_code rc = new_node(p, kind, list->items[0]->column, out);
    if (rc)
        return rc;
    struct expr *e = *out;
    e->children = arena_alloc(p->arena, n * sizeof *e->children);
    if (!e->children)
        return parser_nomem(p);
    for (size_t i = 0; i < list->n; i++) {
        struct expr *item = list->items[i];
        if (item->kind != kind) {
            e->children[e->n_children++] = item;
            continue;
        }
        memcpy(e->children + e->n_children, item->children, item->n_children * sizeof *e->children);
        e->n_children += item->n_children;
    }
    return ERR_OK;
}

/* literal = text | word | number | date | days [ "ago" ] */
static enum error_code parse_literal(struct parser *p, struct literal *out)
{
    const struct token *t = &p->token;
    if (!is_name(t) && t->kind != TOKEN_NUMBER && t->kind != TOKEN_DATE && t->kind != TOKEN_DAYS)
        return parser_expected(p, t, "a value");
    *out = (struct literal){.token = *t};
    enum error_code rc = advance(p);
    if (rc || out->token.kind != TOKEN_DAYS || !at_keyword(p, KEYWORD_AGO))
        return rc;
    out->ago = true;
    return advance(p);
}

static enum error_code add_literal(struct parser *p, struct comparison *cmp, size_t *cap)
{
    void *items = cmp->literals;
    enum error_code rc = grow(p, &items, cmp->n_literals, cap, sizeof *cmp->literals);
    if (rc)
        return rc;
    cmp->literals = items;
    rc = parse_literal(p, &cmp->literals[cmp->n_literals]);
    cmp->n_literals += rc == ERR_OK;
    return rc;
}

static enum error_code parse_in(struct parser *p, struct comparison *cmp)
{
    size_t cap = 0;
    cmp->kind = COMPARE_IN;
    enum error_code rc = advance(p);
    if (!rc)
        rc = take(p, TOKEN_OPEN, "'(' after 'in'");
    if (!rc)
        rc = add_literal(p, cmp, &cap);
    while (!rc && p->token.kind == TOKEN_COMMA) {
        rc = advance(p);
        if (!rc)
            rc = add_literal(p, cmp, &cap);
    }
    return rc ? rc : take(p, TOKEN_CLOSE, "',' or ')'");
}

static enum error_code parse_between(struct parser *p, struct comparison *cmp)
{
    size_t cap = 0;
    cmp->kind = COMPARE_BETWEEN;
    enum error_code rc = advance(p);
    if (!rc)
        rc = add_literal(p, cmp, &cap);
    if (!rc && !at_keyword(p, KEYWORD_AND))
        rc = parser_expected(p, &p->token, "'and' between the two ends");
    if (!rc)
        rc = advance(p);
    return rc ? rc : add_literal(p, cmp, &cap);
}

static enum error_code parse_comparison(struct parser *p, struct comparison *cmp)
{
    size_t cap = 0;
    enum error_code rc = ERR_OK;
    *cmp = (struct comparison){.op = p->token};
    if (p->token.kind >= TOKEN_EQ) {
        rc = advance(p);
        return rc ? rc : add_literal(p, cmp, &cap);
    }
    if (at_keyword(p, KEYWORD_NOT)) {
        cmp->negate = true;
        rc = advance(p);
    }
    if (rc)
        return rc;
    if (at_keyword(p, KEYWORD_IN))
        return parse_in(p, cmp);
    if (at_keyword(p, KEYWORD_BETWEEN))
        return parse_between(p, cmp);
    return parser_expected(p, &p->token,
                           cmp->negate ? "'in' or 'between'"
                                       : "a comparison (= != < <= > >= in between)");
}

/* One condition after "where". */
static enum error_code parse_condition(struct parser *p, struct expr *term, size_t *cap)
{
    struct token name;
    struct comparison cmp;
    const struct schema_field *field;
    enum error_code rc = take_name(p, "a field", &name);
    if (!rc)
        rc = check_field(p, term->event, &name, &field);
    if (!rc)
        rc = parse_comparison(p, &cmp);
    void *items = term->wheres;
    if (!rc)
        rc = grow(p, &items, term->n_wheres, cap, sizeof *term->wheres);
    if (rc)
        return rc;
    term->wheres = items;
    struct expr_where *where = &term->wheres[term->n_wheres++];
    *where = (struct expr_where){.field = field};
    return check_where(p, &name, &cmp, where);
}

static enum error_code parse_where(struct parser *p, struct expr *term)
{
    size_t cap = 0;
    enum error_code rc = ERR_OK;
    if (!at_keyword(p, KEYWORD_WHERE))
        return ERR_OK;
    do {
        rc = advance(p);
        if (!rc)
            rc = parse_condition(p, term, &cap);
    } while (!rc && at_keyword(p, KEYWORD_AND));
    return rc;
}

/* [ where ] [ "," window ] ")" */
static enum error_code parse_metric_rest(struct parser *p, struct expr *term)
{
    enum error_code rc = parse_where(p, term);
    if (!rc && p->token.kind == TOKEN_COMMA) {
        rc = advance(p);
        if (!rc)
            rc = check_window(p, &p->token, term);
        if (!rc)
            rc = advance(p);
        return rc ? rc : take(p, TOKEN_CLOSE, "')'");
    }
    return rc ? rc
              : take(p, TOKEN_CLOSE, term->n_wheres ? "'and', ',' or ')'" : "'where', ',' or ')'");
}

static enum error_code parse_count(struct parser *p, struct expr *term)
{
    struct token name;
    enum error_code rc = take_name(p, "an event", &name);
    if (!rc)
        rc = check_event(p, &name, &term->event);
    if (!rc)
        rc = check_counted(p, term, &name);
    return rc ? rc : parse_metric_rest(p, term);
}

static enum error_code parse_sum(struct parser *p, struct expr *term)
{
    struct token name, field;
    enum error_code rc = take_name(p, "an event", &name);
    if (!rc)
        rc = check_event(p, &name, &term->event);
    if (!rc)
        rc = take(p, TOKEN_DOT, "'.' and a field");
    if (!rc)
        rc = take_name(p, "a field", &field);
    if (!rc)
        rc = check_field(p, term->event, &field, &term->field);
    if (!rc)
        rc = check_summed(p, term, &field);
    return rc ? rc : parse_metric_rest(p, term);
}

/* count(...), sum(...), last(...) and the comparison that follows. */
static enum error_code parse_metric(struct parser *p, enum expr_kind kind, uint32_t column,
                                    struct expr **out)
{
    struct expr term = {.kind = kind, .column = column};
    struct token name;
    struct comparison cmp;
    enum error_code rc;
    if (kind == EXPR_COUNT) {
        rc = parse_count(p, &term);
    } else if (kind == EXPR_SUM) {
        rc = parse_sum(p, &term);
    } else {
        rc = take_name(p, "an event", &name);
        if (!rc)
            rc = check_event(p, &name, &term.event);
        if (!rc)
            rc = take(p, TOKEN_CLOSE, "')'");
    }
    if (!rc)
        rc = parse_comparison(p, &cmp);
    if (rc)
        return rc;
    return kind == EXPR_LAST ? check_last_comparison(p, &term, &cmp, out)
                             : check_number_comparison(p, &term, &cmp, out);
}

/* tag(x), channel(x), segment(x), has(x), exists(x), after the "(". */
static enum error_code parse_membership(struct parser *p, enum keyword k, uint32_t column,
                                        struct expr **out)
{
    static const struct {
        enum keyword keyword;
        enum expr_kind kind;
        const char *what;
        size_t max_len;
    } texts[] = {
        {KEYWORD_TAG, EXPR_TAG, "a tag", TAG_MAX_LEN},
        {KEYWORD_CHANNEL, EXPR_CHANNEL, "a channel", SOURCE_MAX_LEN},
        {KEYWORD_SEGMENT, EXPR_SEGMENT, "a segment", NAME_MAX_LEN},
        {KEYWORD_HAS, EXPR_HAS, "an identity namespace", 0},
        {KEYWORD_EXISTS, EXPR_EXISTS, "a trait", 0},
    };
    size_t i = 0;
    while (texts[i].keyword != k)
        i++;
    struct token name;
    struct expr *e = NULL;
    enum error_code rc = parser_new_term(p, texts[i].kind, column, &e);
    if (!rc)
        rc = take_name(p, texts[i].what, &name);
    if (rc)
        return rc;
    if (k == KEYWORD_HAS) {
        rc = check_namespace(p, &name, &e->ns);
    } else if (k == KEYWORD_EXISTS) {
        rc = check_trait(p, &name, &e->trait);
    } else {
        rc = check_text(p, &name, texts[i].what, texts[i].max_len);
        e->name = name.text;
    }
    *out = e;
    return rc ? rc : take(p, TOKEN_CLOSE, "')'");
}

static enum error_code parse_function(struct parser *p, const struct token *word, struct expr **out)
{
    enum error_code rc = take(p, TOKEN_OPEN, "'('");
    if (rc)
        return rc;
    switch ((int)word->keyword) {
    case KEYWORD_COUNT:
        return parse_metric(p, EXPR_COUNT, word->column, out);
    case KEYWORD_SUM:
        return parse_metric(p, EXPR_SUM, word->column, out);
    case KEYWORD_LAST:
        return parse_metric(p, EXPR_LAST, word->column, out);
    default:
        return parse_membership(p, word->keyword, word->column, out);
    }
}

static enum error_code parse_constant(struct parser *p, const struct token *word, struct expr **out)
{
    enum error_code rc = parser_new_term(p, EXPR_CONST, word->column, out);
    if (!rc)
        (*out)->truth = word->keyword == KEYWORD_TRUE;
    return rc;
}

static enum error_code parse_keyword(struct parser *p, struct expr **out)
{
    struct token word = p->token;
    if (word.keyword < KEYWORD_TRUE || word.keyword > KEYWORD_LAST)
        return parser_expected(p, &word, "a condition");
    enum error_code rc = advance(p);
    if (rc)
        return rc;
    if (word.keyword <= KEYWORD_FALSE)
        return parse_constant(p, &word, out);
    if (word.keyword != KEYWORD_LEVEL)
        return parse_function(p, &word, out);
    struct comparison cmp;
    rc = parse_comparison(p, &cmp);
    return rc ? rc : check_level_comparison(p, &word, &cmp, out);
}

static enum error_code parse_trait(struct parser *p, struct expr **out)
{
    struct token name = p->token;
    const struct schema_trait *trait;
    struct comparison cmp;
    enum error_code rc = advance(p);
    if (!rc && p->token.kind == TOKEN_OPEN && name.kind == TOKEN_WORD)
        rc = check_no_function(p, &name);
    if (!rc)
        rc = check_trait(p, &name, &trait);
    if (!rc)
        rc = parse_comparison(p, &cmp);
    return rc ? rc : check_trait_comparison(p, trait, &name, &cmp, out);
}

static enum error_code parse_or(struct parser *p, struct expr **out);

static enum error_code parse_primary(struct parser *p, struct expr **out)
{
    if (p->token.kind == TOKEN_OPEN) {
        enum error_code rc = parser_enter(p, p->token.column);
        if (!rc)
            rc = advance(p);
        if (!rc)
            rc = parse_or(p, out);
        if (rc)
            return rc;
        p->depth--;
        return take(p, TOKEN_CLOSE, "'and', 'or' or ')'");
    }
    if (is_name(&p->token))
        return parse_trait(p, out);
    if (p->token.kind == TOKEN_WORD)
        return parse_keyword(p, out);
    return parser_expected(p, &p->token, "a condition");
}

/* Any number of `not`s in a loop, so that they cost no stack; two cancel each other out. */
static enum error_code parse_not(struct parser *p, struct expr **out)
{
    uint32_t column = p->token.column;
    size_t outer = p->depth;
    enum error_code rc = ERR_OK;
    while (!rc && at_keyword(p, KEYWORD_NOT)) {
        rc = parser_enter(p, p->token.column);
        if (!rc)
            rc = advance(p);
    }
    struct expr *e = NULL;
    if (!rc)
        rc = parse_primary(p, &e);
    bool odd = (p->depth - outer) % 2 == 1;
    p->depth = outer;
    if (rc)
        return rc;
    if (!odd || e->kind == EXPR_NOT) {
        *out = odd ? e->children[0] : e;
        return ERR_OK;
    }
    struct expr *n = NULL;
    rc = new_node(p, EXPR_NOT, column, &n);
    if (rc || !n)
        return rc;
    n->children = arena_alloc(p->arena, sizeof *n->children);
    if (!n->children)
        return parser_nomem(p);
    n->children[0] = e;
    n->n_children = 1;
    *out = n;
    return ERR_OK;
}

static enum error_code parse_and(struct parser *p, struct expr **out)
{
    struct expr_list list = {0};
    enum error_code rc;
    for (;;) {
        struct expr *e = NULL;
        rc = parse_not(p, &e);
        if (!rc)
            rc = parser_list_add(p, &list, e);
        if (rc || !at_keyword(p, KEYWORD_AND))
            break;
        rc = advance(p);
        if (rc)
            break;
    }
    return rc ? rc : parser_list_join(p, EXPR_AND, &list, out);
}

static enum error_code parse_or(struct parser *p, struct expr **out)
{
    struct expr_list list = {0};
    enum error_code rc;
    for (;;) {
        struct expr *e = NULL;
        rc = parse_and(p, &e);
        if (!rc)
            rc = parser_list_add(p, &list, e);
        if (rc || !at_keyword(p, KEYWORD_OR))
            break;
        rc = advance(p);
        if (rc)
            break;
    }
    return rc ? rc : parser_list_join(p, EXPR_OR, &list, out);
}

/* Saved segments may be stored in canonical form, so it must be readable again. */
static enum error_code check_canonical_size(const struct expr *e, struct error *err)
{
    struct buf text = {0};
    expr_format(e, &text);
    size_t len = text.len;
    buf_free(&text);
    if (len <= SEGMENT_TEXT_MAX)
        return ERR_OK;
    return error_set(err, ERR_TOO_LARGE,
                     "column 1: expected at most %d bytes when written out in full, found more",
                     SEGMENT_TEXT_MAX);
}

enum error_code expr_parse(struct bytes text, const struct schema *schema, struct arena *arena,
                           struct expr **out, struct error *err)
{
    struct parser p = {.schema = schema, .arena = arena, .err = err};
    *out = NULL;
    if (text.len > SEGMENT_TEXT_MAX)
        return error_set(err, ERR_TOO_LARGE, "column 1: expected at most %d bytes, found %zu",
                         SEGMENT_TEXT_MAX, text.len);
    struct expr *e = NULL;
    enum error_code rc = lexer_init(&p.lexer, text, arena, err);
    if (!rc)
        rc = advance(&p);
    if (!rc)
        rc = parse_or(&p, &e);
    if (!rc && p.token.kind != TOKEN_END)
        rc = parser_expected(&p, &p.token, "'and', 'or' or the end");
    if (!rc)
        rc = check_canonical_size(e, err);
    if (!rc)
        *out = e;
    return rc;
}
