/* Rows that are not what they were: the machine says so, or goes on with what it can read, and
 * never reads beyond a row. The store's check sums keep this from happening; they are not relied
 * upon. */
#include "machine_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct row {
    struct bytes key, value;
};
struct rows {
    struct world *w;
    struct row *items;
    size_t n;
};

enum { ROWS_MAX = 64 };

/* What the damaged machine is asked to do. */
struct plan {
    struct identity a, b, c, d;
    one_id rich, other;
};

static bool take_row(void *ctx, struct bytes key, struct bytes value)
{
    struct rows *r = ctx;
    assert_true(r->n < ROWS_MAX);
    r->items[r->n++] = (struct row){arena_copy(&r->w->arena, key), arena_copy(&r->w->arena, value)};
    return true;
}

/* A state with every kind of row: a profile of two with all that it can have, a merge in flight, a
 * tombstone, a refusal. */
static struct plan make_state(struct world *w)
{
    struct plan p = {.a = world_id(w, "openid", 0, 1),
                     .b = world_id(w, "phone", 0, 1),
                     .c = world_id(w, "unionid", 0, 1),
                     .d = world_id(w, "device", 0, 1)};
    struct identity first[2] = {p.b, p.a}, shared[2] = {p.c, p.d}, both[3] = {p.b, p.a, p.d};
    one_id far = world_open(w, world_id(w, "openid", 1, 1));
    struct identity evidence[2] = {p.c, p.a};
    world_open(w, p.a);
    w->now += 10;
    world_open(w, p.b);
    p.other = world_apply(w, 0, 1, shared, 2, 1).profile;
    for (unsigned i = 0; i < 10; i++) { /* enough that message ids leave the fragment */
        struct command c = world_event(w, 0, 2 + i, both, 3, 1);
        c.facts = world_facts(w, 1, "上海", "vip", w->now);
        c.behaviour = world_order(w, WORLD_DAY - 70 * (int32_t)(i % 3 / 2), 1000000, "x");
        struct reply r = world_run(w, &c);
        assert_int_equal(r.status, REPLY_OK);
        p.rich = r.profile;
    }
    assert_int_equal(world_apply(w, 0, 19, first, 2, 1).status, REPLY_OK);
    struct command c = world_pair(COMMAND_FREEZE, p.other, far, 0, evidence);
    assert_int_equal(world_run(w, &c).status, REPLY_FROZEN);
    return p;
}

static void use(struct world *w, struct machine *m, const struct plan *p)
{
    struct identity all[3] = {p->b, p->a, p->c}, evidence[2] = {p->b, p->a};
    struct identity come[2] = {p->a, p->c};
    struct command commands[] = {
        {.type = COMMAND_GET, .ids = all, .n_ids = 1},
        {.type = COMMAND_LOCATE, .profile = p->other, .want_content = true},
        {.type = COMMAND_SWEEP, .limit = 10},
        {.type = COMMAND_REFUSED, .limit = 10},
        {.type = COMMAND_CHECK},
        world_event(w, 0, 20, all, 3, 1),
        world_event(w, p->rich, 2, all, 2, 1),
        world_pair(COMMAND_ABSORB, p->rich, p->other + 1, 1, come),
        {.type = COMMAND_ABORT, .profile = p->other, .epoch = 1},
        world_pair(COMMAND_FREEZE, p->rich, 1, 0, evidence),
        {.type = COMMAND_DONE, .profile = p->rich, .epoch = 1},
        {.type = COMMAND_DROP, .profile = p->rich},
    };
    commands[5].behaviour = world_order(w, WORLD_DAY, 1000000, "x");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct reply r;
        if (command_is_read(commands[i].type))
            machine_read(m, w->now, &commands[i], &w->arena, &r);
        else
            machine_apply(m, w->now, &commands[i], &w->arena, &r);
        assert_true(r.status > 0 && r.status < REPLY_STATUS_END);
        if (machine_error(m, NULL) != ERR_OK)
            assert_int_equal(r.status, REPLY_ERROR);
    }
}

/* The state with row `at` replaced, or left out where its data is NULL. */
static void run_damaged(struct world *w, const struct rows *rows, size_t at, struct bytes value,
                        const struct plan *p)
{
    struct store_options so = {.map_bytes = 1 << 20};
    struct machine_options mo = w->options;
    struct machine *m;
    struct error err;
    assert_int_equal(store_open(&so, &mo.store, &err), ERR_OK);
    mo.shard = 0;
    mo.emit_ctx = w->indexes[2]; /* nobody looks at it */
    for (size_t i = 0; i < rows->n; i++) {
        if (i != at)
            store_put(mo.store, rows->items[i].key, rows->items[i].value);
        else if (value.data)
            store_put(mo.store, rows->items[i].key, value);
    }
    enum error_code code = machine_open(&mo, &m, &err);
    assert_true(code == ERR_OK || code == ERR_CORRUPT);
    if (code == ERR_OK) {
        use(w, m, p);
        machine_close(m);
    }
    store_close(mo.store);
}

static struct rows rows_of(struct world *w)
{
    struct rows rows = {.w = w};
    rows.items = arena_alloc(&w->arena, ROWS_MAX * sizeof *rows.items);
    assert_non_null(rows.items);
    store_scan(w->stores[0], bytes_of(NULL, 0), take_row, &rows);
    return rows;
}

static char kind_of(const struct row *r)
{
    bool has_parts = r->key.data[0] == 'P' || r->key.data[0] == 'F';
    return (char)r->key.data[has_parts && r->key.len > 9 ? 9 : 0];
}

static void test_damage_missing_rows(void **state)
{
    struct world *w = *state;
    struct plan p = make_state(w);
    struct rows rows = rows_of(w);
    char kinds[] = "PIFVDRXmtS";
    for (size_t i = 0; i < rows.n; i++) {
        char *k = strchr(kinds, kind_of(&rows.items[i]));
        if (k)
            *k = '_';
        run_damaged(w, &rows, i, bytes_of(NULL, 0), &p);
    }
    assert_string_equal(kinds, "__________"); /* every kind of row was there */
}

static bool is_of_facts(const struct row *r)
{
    return kind_of(r) == 'F' || kind_of(r) == 'V';
}

static void test_damage_truncated_rows(void **state)
{
    struct world *w = *state;
    struct plan p = make_state(w);
    struct rows rows = rows_of(w);
    for (size_t i = 0; i < rows.n; i++) {
        if (is_of_facts(&rows.items[i]))
            continue;
        for (size_t len = 0; len < rows.items[i].value.len; len += 3)
            run_damaged(w, &rows, i, bytes_of(rows.items[i].value.data, len), &p);
    }
}

static void test_damage_flipped_bytes(void **state)
{
    struct world *w = *state;
    struct plan p = make_state(w);
    struct rows rows = rows_of(w);
    for (size_t i = 0; i < rows.n; i++) {
        if (is_of_facts(&rows.items[i]))
            continue;
        for (size_t at = 0; at < rows.items[i].value.len; at++) {
            uint8_t copy[2048];
            size_t len = rows.items[i].value.len;
            assert_true(len <= sizeof copy);
            memcpy(copy, rows.items[i].value.data, len);
            copy[at] = (uint8_t)(copy[at] ^ 1u << at % 8);
            run_damaged(w, &rows, i, bytes_of(copy, len), &p);
        }
    }
}

/* CHECK looks at facts before it joins them. */
static void test_damage_of_facts_is_found_by_check(void **state)
{
    struct world *w = *state;
    make_state(w);
    struct rows rows = rows_of(w);
    for (size_t i = 0; i < rows.n; i++) {
        struct bytes good = rows.items[i].value;
        if (!is_of_facts(&rows.items[i]))
            continue;
        struct command c = {.type = COMMAND_CHECK};
        store_put(w->stores[0], rows.items[i].key, bytes_of(good.data, good.len - 1));
        struct reply r = world_run_at(w, 0, &c);
        assert_int_equal(r.status, REPLY_OK);
        assert_int_equal(r.n_counts, 1);
        store_put(w->stores[0], rows.items[i].key, good);
    }
    world_check(w);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_damage_missing_rows),
        TEST(test_damage_truncated_rows),
        TEST(test_damage_flipped_bytes),
        TEST(test_damage_of_facts_is_found_by_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
