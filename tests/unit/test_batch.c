/* Commands that a shard puts into its log itself. */
#include "parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* What this replica applies is what the others read in the entry, whatever becomes of the memory
 * that the proposal borrowed: a map that settled at the followers only was found by test_nodes. */
static void test_an_own_command_borrows_nothing(void **state)
{
    (void)state;
    char text[] = "a change of the map";
    struct batch *b = batch_new();
    struct entry_reader entry;
    struct arena arena;
    struct command *commands;
    struct bytes body;
    uint32_t items;
    size_t n;
    batch_begin_entry(b, 1234);
    struct command c = {.type = COMMAND_MAP, .content = bytes_of_str(text)};
    batch_add_own(b, &c);
    memset(text, 'x', strlen(text));
    assert_int_equal(b->n_requests, 1);
    assert_true(bytes_equal(b->first->commands[0].content, bytes_of_str("a change of the map")));
    assert_true(entry_open(buf_bytes(&b->entry), &entry));
    assert_int_equal(entry.now_ms, 1234);
    assert_true(entry_next(&entry, &items, &body));
    arena_init(&arena, 1 << 20);
    assert_int_equal(command_decode(body, items, &arena, &commands, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    assert_true(bytes_equal(commands[0].content, b->first->commands[0].content));
    assert_false(entry_next(&entry, &items, &body));
    arena_close(&arena);
    batch_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_an_own_command_borrows_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
