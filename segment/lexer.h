/* Words, texts, numbers and signs of the segment language. Private to segment/.
 *
 * The whole text is checked to be UTF-8 once by lexer_init; after that characters are only counted.
 * A token's text borrows from the input, or lives in the arena where escapes had to be resolved. */
#ifndef SEGMENT_LEXER_H
#define SEGMENT_LEXER_H

#include <base/arena.h>
#include <base/bytes.h>
#include <base/error.h>

#include <stdbool.h>
#include <stdint.h>

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,   /* a bare word; `keyword` says whether it is one of the language's */
    TOKEN_STRING, /* "..." without the quotes, escapes resolved */
    TOKEN_NUMBER, /* -12.5 as written */
    TOKEN_DAYS,   /* 30d: the digits */
    TOKEN_DATE,   /* 2026-01-31 as written: the form is right, the date may not exist */
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_COMMA,
    TOKEN_DOT,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_LT,
    TOKEN_LE,
    TOKEN_GT,
    TOKEN_GE,
};

/* X(name, text) */
#define KEYWORD_LIST(X)                                                                            \
    X(AND, "and")                                                                                  \
    X(OR, "or")                                                                                    \
    X(NOT, "not")                                                                                  \
    X(TRUE, "true")                                                                                \
    X(FALSE, "false")                                                                              \
    X(TAG, "tag")                                                                                  \
    X(CHANNEL, "channel")                                                                          \
    X(HAS, "has")                                                                                  \
    X(EXISTS, "exists")                                                                            \
    X(SEGMENT, "segment")                                                                          \
    X(LEVEL, "level")                                                                              \
    X(COUNT, "count")                                                                              \
    X(SUM, "sum")                                                                                  \
    X(LAST, "last")                                                                                \
    X(IN, "in")                                                                                    \
    X(BETWEEN, "between")                                                                          \
    X(WHERE, "where")                                                                              \
    X(AGO, "ago")

enum keyword {
    KEYWORD_NONE,
#define X(name, text) KEYWORD_##name,
    KEYWORD_LIST(X)
#undef X
};

struct token {
    enum token_kind kind;
    enum keyword keyword; /* TOKEN_WORD */
    uint32_t column;      /* of its first character, from 1 */
    struct bytes text;
};

struct lexer {
    struct bytes text;
    size_t at;       /* the next byte */
    uint32_t column; /* of the next character, from 1 */
    struct arena *arena;
};

/* ERR_SYNTAX where the text is not UTF-8. `text` and `arena` outlive the tokens. */
enum error_code lexer_init(struct lexer *lx, struct bytes text, struct arena *arena,
                           struct error *err);
/* ERR_SYNTAX or ERR_NOMEM; after TOKEN_END it gives TOKEN_END again. */
enum error_code lexer_next(struct lexer *lx, struct token *out, struct error *err);

/* The keyword that a word is, whatever its letters' case. */
enum keyword keyword_of(struct bytes word);
/* Its text in lower case; NULL for KEYWORD_NONE. */
const char *keyword_text(enum keyword k);
/* Is it an ASCII word that may stand without quotes: [A-Za-z_][A-Za-z0-9_]*, not a keyword? */
bool lexer_is_plain_name(struct bytes name);

#endif
