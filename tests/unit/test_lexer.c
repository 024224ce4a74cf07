#include "lexer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct arena arena;
    struct lexer lexer;
    struct error err;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_close(&f->arena);
    free(f);
    return 0;
}

static void start(struct fixture *f, const char *text)
{
    assert_int_equal(lexer_init(&f->lexer, bytes_of_str(text), &f->arena, &f->err), ERR_OK);
}

static void assert_token(struct fixture *f, enum token_kind kind, uint32_t column, const char *text)
{
    struct token t;
    assert_int_equal(lexer_next(&f->lexer, &t, &f->err), ERR_OK);
    assert_int_equal(t.kind, kind);
    assert_int_equal(t.column, column);
    assert_int_equal(t.text.len, strlen(text));
    if (t.text.len)
        assert_memory_equal(t.text.data, text, t.text.len);
}

static void test_lexer_splits_signs_and_words(void **state)
{
    struct fixture *f = *state;
    start(f, "a<=b>=c!=d<e>f=g(h,i).");
    static const enum token_kind signs[] = {TOKEN_LE, TOKEN_GE, TOKEN_NE,   TOKEN_LT,
                                            TOKEN_GT, TOKEN_EQ, TOKEN_OPEN, TOKEN_COMMA};
    uint32_t column = 1;
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        char word[2] = {(char)('a' + i), '\0'};
        assert_token(f, TOKEN_WORD, column, word);
        assert_token(f, signs[i], column + 1, "");
        column += i < 3 ? 3 : 2;
    }
    assert_token(f, TOKEN_WORD, column, "i");
    assert_token(f, TOKEN_CLOSE, column + 1, "");
    assert_token(f, TOKEN_DOT, column + 2, "");
    assert_token(f, TOKEN_END, column + 3, "");
    assert_token(f, TOKEN_END, column + 3, "");
}

static void test_lexer_tells_numbers_windows_and_dates_apart(void **state)
{
    struct fixture *f = *state;
    start(f, "12 -3.50 30d 2026-01-31 0.5");
    assert_token(f, TOKEN_NUMBER, 1, "12");
    assert_token(f, TOKEN_NUMBER, 4, "-3.50");
    assert_token(f, TOKEN_DAYS, 10, "30");
    assert_token(f, TOKEN_DATE, 14, "2026-01-31");
    assert_token(f, TOKEN_NUMBER, 25, "0.5");
}

static void test_lexer_counts_columns_in_characters(void **state)
{
    struct fixture *f = *state;
    start(f, "上海\t\"杭州\"\n= 奶粉_2");
    assert_token(f, TOKEN_WORD, 1, "上海");
    assert_token(f, TOKEN_STRING, 4, "杭州");
    assert_token(f, TOKEN_EQ, 9, "");
    assert_token(f, TOKEN_WORD, 11, "奶粉_2");
    assert_token(f, TOKEN_END, 15, "");
}

static void test_lexer_resolves_escapes(void **state)
{
    struct fixture *f = *state;
    start(f, "\"a\\\"b\\\\c\" \"\" \"plain\"");
    assert_token(f, TOKEN_STRING, 1, "a\"b\\c");
    assert_token(f, TOKEN_STRING, 11, "");
    assert_token(f, TOKEN_STRING, 14, "plain");
}

static void test_lexer_knows_keywords_in_any_case(void **state)
{
    (void)state;
    assert_int_equal(keyword_of(bytes_of_str("AND")), KEYWORD_AND);
    assert_int_equal(keyword_of(bytes_of_str("bEtWeEn")), KEYWORD_BETWEEN);
    assert_int_equal(keyword_of(bytes_of_str("an")), KEYWORD_NONE);
    assert_int_equal(keyword_of(bytes_of_str("ands")), KEYWORD_NONE);
    assert_string_equal(keyword_text(KEYWORD_AGO), "ago");
    assert_true(lexer_is_plain_name(bytes_of_str("city_2")));
    assert_false(lexer_is_plain_name(bytes_of_str("2city")));
    assert_false(lexer_is_plain_name(bytes_of_str("Where")));
    assert_false(lexer_is_plain_name(bytes_of_str("上海")));
    assert_false(lexer_is_plain_name(bytes_of_str("")));
}

/* The first mistake in the text and its column. */
static void test_lexer_refuses_with_a_column(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a \xff", "column 3: expected UTF-8"},
        {"海\xe6\xb5", "column 2: expected UTF-8"},
        {"a \"bc", "column 3: expected a closing quote, found the end"},
        {"\"bc\\\"", "column 1: expected a closing quote, found the end"},
        {"\"b\\n\"", "column 3: expected \\\" or \\\\, found another escape"},
        {"tag（vip）", "column 4: found a full-width or special character"},
        {"a\xe3\x80\x80", "column 2: found a full-width"},
        {"a && b", "column 3: found '&'; write 'and'"},
        {"a | b", "column 3: found '|'; write 'or'"},
        {"!a", "column 1: found '!'; write 'not' or '!='"},
        {"city = 'x'", "column 8: texts are written in double quotes"},
        {"a ; b", "column 3: found ';', which means nothing here"},
        {"a \x01", "column 3: found a control character"},
        {"30days", "column 1: expected a number, a date as"},
        {"1e3", "column 1: expected a number, a date as"},
        {"2026-01-31x", "column 1: expected a number, a date as"},
        {"2026-1-31", "column 1: expected a number, a date as"},
        {"-5d", "column 1: expected a number, a date as"},
        {"- 5", "column 1: found '-', which means nothing here"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct token t = {0};
        enum error_code rc = lexer_init(&f->lexer, bytes_of_str(cases[i].text), &f->arena, &f->err);
        do {
            if (rc == ERR_OK)
                rc = lexer_next(&f->lexer, &t, &f->err);
        } while (rc == ERR_OK && t.kind != TOKEN_END);
        if (rc != ERR_SYNTAX ||
            strncmp(f->err.msg, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("%s: %s", cases[i].text, rc ? f->err.msg : "was taken");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lexer_splits_signs_and_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lexer_tells_numbers_windows_and_dates_apart, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_lexer_counts_columns_in_characters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lexer_resolves_escapes, setup, teardown),
        cmocka_unit_test(test_lexer_knows_keywords_in_any_case),
        cmocka_unit_test_setup_teardown(test_lexer_refuses_with_a_column, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
