/* What test_expr.c and test_expr_random.c share: a schema, an arena, and a comparison of trees. */
#ifndef TESTS_TEST_EXPR_H
#define TESTS_TEST_EXPR_H

#include <base/arena.h>
#include <cluster/config.h>
#include <segment/expr.h>

struct fixture {
    struct cluster_config *config;
    struct arena arena;
    struct error err;
};

/* Parses or fails the test. */
struct expr *parse(struct fixture *f, const char *text);
/* Do the two mean the same, node by node (columns aside)? */
bool expr_equal(const struct expr *a, const struct expr *b);
/* Depth of the tree. */
size_t expr_depth(const struct expr *e);

void test_expr_random_text_is_stable_in_canonical_form(void **state);
void test_expr_random_damage_never_breaks_the_parser(void **state);

#endif
