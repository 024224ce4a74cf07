/* What parser.c (grammar) and check.c (names, types, bounds) share. Private to segment/.
 *
 * The parser reads a comparison without knowing types: an operator and literals. The checks turn it
 * into terms, so that a wrong type is reported where the value stands. */
#ifndef SEGMENT_PARSER_H
#define SEGMENT_PARSER_H

#include "lexer.h"

#include <segment/expr.h>

struct parser {
    struct lexer lexer;
    struct token token; /* looked at, not yet taken */
    const struct schema *schema;
    struct arena *arena;
    struct error *err;
    size_t n_terms; /* terms and `where` conditions so far */
    size_t depth;   /* open parentheses, `not`s and number lists around the token */
};

/* A growing list of nodes in the arena. */
struct expr_list {
    struct expr **items;
    size_t n, cap;
};

struct literal {
    struct token token;
    bool ago; /* TOKEN_DAYS that "ago" follows */
};

enum comparison_kind { COMPARE_SIGN, COMPARE_IN, COMPARE_BETWEEN };

/* What follows a trait, a level, a field or a function. */
struct comparison {
    enum comparison_kind kind;
    struct token op;          /* the first token of the operator: where a mistake is shown */
    bool negate;              /* "not in", "not between" */
    struct literal *literals; /* COMPARE_SIGN: 1, COMPARE_BETWEEN: 2, COMPARE_IN: any number */
    size_t n_literals;
};

/* parser.c */
/* "column N: expected X, found Y" at a token; Y never shows a value. */
enum error_code parser_expected(const struct parser *p, const struct token *found,
                                const char *expected);
/* The same with another code. */
enum error_code parser_refuse(const struct parser *p, enum error_code code,
                              const struct token *found, const char *expected);
enum error_code parser_nomem(const struct parser *p);
/* One level deeper, at `column`; the caller takes it back with `depth--`. */
enum error_code parser_enter(struct parser *p, uint32_t column);
/* One more term or condition; ERR_TOO_LARGE where that is too many. */
enum error_code parser_count_term(struct parser *p, uint32_t column);
/* A term's node, counted against SEGMENT_TERMS_MAX. */
enum error_code parser_new_term(struct parser *p, enum expr_kind kind, uint32_t column,
                                struct expr **out);
enum error_code parser_list_add(struct parser *p, struct expr_list *list, struct expr *e);
/* The list as one node: its only item, or an AND / OR into which items of the same kind dissolve.
 */
enum error_code parser_list_join(struct parser *p, enum expr_kind kind, struct expr_list *list,
                                 struct expr **out);

/* check.c. `name` is the token that named the thing. */
enum error_code check_text(struct parser *p, const struct token *name, const char *what,
                           size_t max_len);
enum error_code check_namespace(struct parser *p, const struct token *name,
                                const struct schema_namespace **out);
/* ERR_UNKNOWN_NAME: a word before "(" that is no function. */
enum error_code check_no_function(struct parser *p, const struct token *name);
enum error_code check_trait(struct parser *p, const struct token *name,
                            const struct schema_trait **out);
enum error_code check_event(struct parser *p, const struct token *name,
                            const struct schema_event **out);
enum error_code check_field(struct parser *p, const struct schema_event *event,
                            const struct token *name, const struct schema_field **out);
/* May counts (sums of e->field) of e->event be asked for, in this window? `window` may be NULL. */
enum error_code check_counted(struct parser *p, const struct expr *e, const struct token *name);
enum error_code check_summed(struct parser *p, const struct expr *e, const struct token *name);
enum error_code check_window(struct parser *p, const struct token *window, struct expr *e);
enum error_code check_where(struct parser *p, const struct token *name,
                            const struct comparison *cmp, struct expr_where *out);
/* A comparison of a trait; of the level; of the count, sum or last day that `term` describes. */
enum error_code check_trait_comparison(struct parser *p, const struct schema_trait *trait,
                                       const struct token *name, const struct comparison *cmp,
                                       struct expr **out);
enum error_code check_level_comparison(struct parser *p, const struct token *name,
                                       const struct comparison *cmp, struct expr **out);
enum error_code check_number_comparison(struct parser *p, const struct expr *term,
                                        const struct comparison *cmp, struct expr **out);
enum error_code check_last_comparison(struct parser *p, const struct expr *term,
                                      const struct comparison *cmp, struct expr **out);

#endif
