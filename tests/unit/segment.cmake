oneid_test(NAME test_lexer SOURCES test_lexer.c USES oneid_segment)
target_include_directories(test_lexer PRIVATE $<TARGET_PROPERTY:oneid_segment,SOURCE_DIR>)
oneid_test(NAME test_expr SOURCES test_expr.c test_expr_random.c USES oneid_segment)
oneid_test(NAME test_catalogue SOURCES test_catalogue.c USES oneid_segment)
