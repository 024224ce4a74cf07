#include "lexer.h"

static const char *const keyword_texts[] = {NULL,
#define X(name, text) text,
                                            KEYWORD_LIST(X)
#undef X
};

static uint8_t ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

enum keyword keyword_of(struct bytes word)
{
    for (size_t k = 1; k < sizeof keyword_texts / sizeof keyword_texts[0]; k++) {
        struct bytes text = bytes_of_str(keyword_texts[k]);
        size_t i = 0;
        while (text.len == word.len && i < word.len && ascii_lower(word.data[i]) == text.data[i])
            i++;
        if (text.len == word.len && i == word.len)
            return (enum keyword)k;
    }
    return KEYWORD_NONE;
}

const char *keyword_text(enum keyword k)
{
    return keyword_texts[k];
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_ascii_word(uint8_t c)
{
    return is_digit(c) || c == '_' || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

bool lexer_is_plain_name(struct bytes name)
{
    if (name.len == 0 || is_digit(name.data[0]))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (!is_ascii_word(name.data[i]))
            return false;
    }
    return keyword_of(name) == KEYWORD_NONE;
}

/* Bytes of the character that begins with `c`, in text that is known to be UTF-8. */
static size_t char_size(uint8_t c)
{
    return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

/* Non-ASCII spaces, punctuation, symbols and controls. A full-width bracket or comma is a frequent
 * slip of input methods; taken as a letter it would end up inside a name. */
static bool is_foreign_sign(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } signs[] = {
        {0x80, 0xA9},     {0xAB, 0xB4},     {0xB6, 0xB9},     {0xBB, 0xBF},     {0xD7, 0xD7},
        {0xF7, 0xF7},     {0x2000, 0x206F}, {0x2190, 0x2BFF}, {0x3000, 0x3004}, {0x3008, 0x3020},
        {0x3030, 0x3030}, {0xE000, 0xF8FF}, {0xFE10, 0xFE6F}, {0xFEFF, 0xFEFF}, {0xFF00, 0xFF0F},
        {0xFF1A, 0xFF20}, {0xFF3B, 0xFF40}, {0xFF5B, 0xFF65}, {0xFFE0, 0xFFFF},
    };
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        if (c >= signs[i].first && c <= signs[i].last)
            return true;
    }
    return false;
}

/* The size of the word character at `p`; 0 where there is none. */
static size_t word_char(const uint8_t *p, const uint8_t *end)
{
    if (p == end)
        return 0;
    if (*p < 0x80)
        return is_ascii_word(*p) ? 1 : 0;
    size_t n = char_size(*p);
    uint32_t c = *p & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3Fu);
    return is_foreign_sign(c) ? 0 : n;
}

enum error_code lexer_init(struct lexer *lx, struct bytes text, struct arena *arena,
                           struct error *err)
{
    *lx = (struct lexer){.text = text, .column = 1, .arena = arena};
    if (bytes_is_utf8(text))
        return ERR_OK;
    uint32_t column = 1;
    for (size_t i = 0; i < text.len; column++) {
        size_t n = char_size(text.data[i]);
        if (n > text.len - i || !bytes_is_utf8(bytes_of(text.data + i, n)))
            break;
        i += n;
    }
    return error_set(err, ERR_SYNTAX, "column %u: expected UTF-8 text, found other bytes", column);
}

/* Moves over `n` bytes that are whole characters. */
static void skip(struct lexer *lx, size_t n)
{
    for (size_t i = 0; i < n; i++)
        lx->column += (lx->text.data[lx->at + i] & 0xC0) != 0x80;
    lx->at += n;
}

static void skip_space(struct lexer *lx)
{
    while (lx->at < lx->text.len) {
        uint8_t c = lx->text.data[lx->at];
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
            return;
        skip(lx, 1);
    }
}

static size_t count_digits(const uint8_t *p, const uint8_t *end)
{
    size_t n = 0;
    while (p + n < end && is_digit(p[n]))
        n++;
    return n;
}

static bool is_date(const uint8_t *p, const uint8_t *end)
{
    return count_digits(p, end) == 4 && end - p >= 10 && p[4] == '-' && p[7] == '-' &&
           count_digits(p + 5, end) == 2 && count_digits(p + 8, end) == 2;
}

static enum error_code lex_number(struct lexer *lx, struct token *out, struct error *err)
{
    const uint8_t *start = lx->text.data + lx->at, *end = lx->text.data + lx->text.len;
    size_t n = 0, left_out = 0;
    out->kind = TOKEN_NUMBER;
    if (is_date(start, end)) {
        out->kind = TOKEN_DATE;
        n = 10;
    } else {
        n = *start == '-';
        n += count_digits(start + n, end);
        if (end - start > (ptrdiff_t)n + 1 && start[n] == '.' && is_digit(start[n + 1]))
            n += 1 + count_digits(start + n + 1, end);
        else if (start[0] != '-' && start + n < end && start[n] == 'd') {
            out->kind = TOKEN_DAYS;
            left_out = 1;
        }
    }
    out->text = bytes_of(start, n);
    bool runs_on = end - start > (ptrdiff_t)n && start[n] == '-';
    if (runs_on || word_char(start + n + left_out, end))
        return error_set(
            err, ERR_SYNTAX,
            "column %u: expected a number, a date as 2026-01-31 or a window as 30d (a name or "
            "value that begins with a digit is written in quotes)",
            out->column);
    skip(lx, n + left_out);
    return ERR_OK;
}

static enum error_code lex_string(struct lexer *lx, struct token *out, struct error *err)
{
    const uint8_t *data = lx->text.data;
    size_t start = lx->at + 1, i = start, escapes = 0;
    while (i < lx->text.len && data[i] != '"') {
        if (data[i] == '\\') {
            if (i + 1 == lx->text.len || (data[i + 1] != '"' && data[i + 1] != '\\')) {
                skip(lx, i - lx->at);
                return error_set(err, ERR_SYNTAX,
                                 "column %u: expected \\\" or \\\\, found another escape",
                                 lx->column);
            }
            escapes++;
            i++;
        }
        i++;
    }
    if (i >= lx->text.len)
        return error_set(err, ERR_SYNTAX, "column %u: expected a closing quote, found the end",
                         out->column);
    out->kind = TOKEN_STRING;
    out->text = bytes_of(data + start, i - start);
    if (escapes) {
        uint8_t *copy = arena_alloc(lx->arena, i - start);
        if (!copy)
            return error_set(err, ERR_NOMEM, "no memory for the expression");
        size_t len = 0;
        for (size_t j = start; j < i; j++) {
            j += data[j] == '\\';
            copy[len++] = data[j];
        }
        out->text = bytes_of(copy, len);
    }
    skip(lx, i + 1 - lx->at);
    return ERR_OK;
}

static void lex_word(struct lexer *lx, struct token *out)
{
    const uint8_t *start = lx->text.data + lx->at, *end = lx->text.data + lx->text.len;
    size_t len = 0, n;
    while ((n = word_char(start + len, end)) > 0)
        len += n;
    out->kind = TOKEN_WORD;
    out->text = bytes_of(start, len);
    out->keyword = keyword_of(out->text);
    skip(lx, len);
}

/* What to write instead of a sign that the language does not have. */
static enum error_code wrong_sign(const struct lexer *lx, uint8_t c, struct error *err)
{
    unsigned column = lx->column;
    if (c >= 0x80)
        return error_set(err, ERR_SYNTAX,
                         "column %u: found a full-width or special character; signs and spaces "
                         "are written in ASCII",
                         column);
    if (c == '\'')
        return error_set(err, ERR_SYNTAX, "column %u: texts are written in double quotes", column);
    if (c == '&' || c == '|' || c == '!')
        return error_set(err, ERR_SYNTAX, "column %u: found '%c'; write %s", column, c,
                         c == '&'   ? "'and'"
                         : c == '|' ? "'or'"
                                    : "'not' or '!='");
    if (c < 0x20 || c == 0x7F)
        return error_set(err, ERR_SYNTAX, "column %u: found a control character", column);
    return error_set(err, ERR_SYNTAX, "column %u: found '%c', which means nothing here", column, c);
}

static enum error_code lex_sign(struct lexer *lx, struct token *out, struct error *err)
{
    static const struct {
        char text[3];
        enum token_kind kind;
    } signs[] = {
        {"!=", TOKEN_NE},   {"<=", TOKEN_LE},   {">=", TOKEN_GE}, {"(", TOKEN_OPEN},
        {")", TOKEN_CLOSE}, {",", TOKEN_COMMA}, {".", TOKEN_DOT}, {"=", TOKEN_EQ},
        {"<", TOKEN_LT},    {">", TOKEN_GT},
    };
    size_t left = lx->text.len - lx->at;
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        size_t n = strlen(signs[i].text);
        if (n <= left && memcmp(lx->text.data + lx->at, signs[i].text, n) == 0) {
            out->kind = signs[i].kind;
            skip(lx, n);
            return ERR_OK;
        }
    }
    return wrong_sign(lx, lx->text.data[lx->at], err);
}

enum error_code lexer_next(struct lexer *lx, struct token *out, struct error *err)
{
    skip_space(lx);
    *out = (struct token){.kind = TOKEN_END, .column = lx->column};
    if (lx->at == lx->text.len)
        return ERR_OK;
    const uint8_t *p = lx->text.data + lx->at, *end = lx->text.data + lx->text.len;
    if (*p == '"')
        return lex_string(lx, out, err);
    if (is_digit(*p) || (*p == '-' && end - p > 1 && is_digit(p[1])))
        return lex_number(lx, out, err);
    if (word_char(p, end)) {
        lex_word(lx, out);
        return ERR_OK;
    }
    return lex_sign(lx, out, err);
}
