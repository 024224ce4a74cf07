#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <memtable.h>

#include <base/hash.h>
#include <base/rng.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bytes b(const char *s)
{
    return bytes_of_str(s);
}

static void put(struct memtable *m, struct bytes key, struct bytes value)
{
    memtable_put(m, hash64(key), key, value);
}

static enum memtable_answer get(const struct memtable *m, struct bytes key, struct bytes *value)
{
    return memtable_get(m, hash64(key), key, value);
}

static void test_memtable_answers_unknown_present_deleted(void **state)
{
    (void)state;
    struct memtable m;
    struct bytes v;
    memtable_init(&m, 0, NULL);
    assert_int_equal(memtable_bytes(&m), 0);
    assert_int_equal(get(&m, b("a"), &v), MEMTABLE_UNKNOWN);
    put(&m, b("a"), b("1"));
    assert_int_equal(get(&m, b("a"), &v), MEMTABLE_PRESENT);
    assert_true(bytes_equal(v, b("1")));
    memtable_del(&m, hash64(b("a")), b("a"));
    memtable_del(&m, hash64(b("never")), b("never"));
    assert_int_equal(get(&m, b("a"), &v), MEMTABLE_DELETED);
    assert_int_equal(get(&m, b("never"), &v), MEMTABLE_DELETED);
    put(&m, b("never"), b(""));
    assert_int_equal(get(&m, b("never"), &v), MEMTABLE_PRESENT);
    assert_int_equal(v.len, 0);
    assert_int_equal(m.count, 2);
    assert_true(memtable_bytes(&m) > 0);
    memtable_close(&m);
}

static void test_memtable_keeps_keys_with_equal_hash_apart(void **state)
{
    (void)state;
    struct memtable m;
    memtable_init(&m, 0, NULL);
    char key[16];
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        memtable_put(&m, 7, b(key), b(key));
    }
    struct bytes v;
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(memtable_get(&m, 7, b(key), &v), MEMTABLE_PRESENT);
        assert_true(bytes_equal(v, b(key)));
    }
    assert_int_equal(memtable_get(&m, 7, b("other"), &v), MEMTABLE_UNKNOWN);
    memtable_close(&m);
}

static void test_memtable_values_stay_in_place_while_others_come(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct memtable m;
    memtable_init(&m, 0, NULL);
    struct bytes *seen = calloc(N, sizeof *seen);
    char key[16];
    for (int i = 0; i < N; i++) {
        (void)snprintf(key, sizeof key, "key%d", i);
        put(&m, b(key), b(key));
        assert_int_equal(get(&m, b(key), &seen[i]), MEMTABLE_PRESENT);
    }
    for (int i = 0; i < N; i++) {
        struct bytes v;
        (void)snprintf(key, sizeof key, "key%d", i);
        assert_int_equal(get(&m, b(key), &v), MEMTABLE_PRESENT);
        assert_ptr_equal(v.data, seen[i].data);
        assert_true(bytes_equal(seen[i], b(key)));
    }
    free(seen);
    memtable_close(&m);
}

static void test_memtable_growing_value_seldom_takes_new_room(void **state)
{
    (void)state;
    struct memtable m;
    memtable_init(&m, 0, NULL);
    uint8_t value[1000];
    memset(value, 'x', sizeof value);
    struct bytes v;
    const uint8_t *where = NULL;
    int moves = 0;
    for (size_t n = 1; n <= sizeof value; n++) {
        put(&m, b("key"), bytes_of(value, n));
        assert_int_equal(get(&m, b("key"), &v), MEMTABLE_PRESENT);
        assert_true(bytes_equal(v, bytes_of(value, n)));
        moves += v.data != where;
        where = v.data;
    }
    assert_in_range(moves, 2, 20);
    put(&m, b("key"), b("short"));
    assert_int_equal(get(&m, b("key"), &v), MEMTABLE_PRESENT);
    assert_ptr_equal(v.data, where);
    memtable_close(&m);
}

static void test_memtable_takes_a_value_that_lies_in_itself(void **state)
{
    (void)state;
    struct memtable m;
    memtable_init(&m, 0, NULL);
    struct bytes v;
    put(&m, b("a"), b("0123456789"));
    assert_int_equal(get(&m, b("a"), &v), MEMTABLE_PRESENT);
    put(&m, b("a"), bytes_of(v.data + 3, 7));
    assert_int_equal(get(&m, b("a"), &v), MEMTABLE_PRESENT);
    assert_true(bytes_equal(v, b("3456789")));
    for (int i = 0; i < 2000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "copy%d", i);
        put(&m, b(key), v);
    }
    struct bytes w;
    assert_int_equal(get(&m, b("copy1999"), &w), MEMTABLE_PRESENT);
    assert_true(bytes_equal(w, b("3456789")));
    memtable_close(&m);
}

static void test_memtable_holds_large_values_and_reuses_chunks(void **state)
{
    (void)state;
    struct chunk_pool pool = {0};
    struct memtable m;
    size_t size = 3 << 20;
    uint8_t *large = malloc(size);
    memset(large, 'L', size);
    for (int round = 0; round < 3; round++) {
        memtable_init(&m, 0, &pool);
        struct bytes v;
        put(&m, b("small"), b("s"));
        put(&m, b("large"), bytes_of(large, size));
        put(&m, b("middle"), bytes_of(large, size / 12));
        put(&m, b("small2"), b("s2"));
        assert_int_equal(get(&m, b("large"), &v), MEMTABLE_PRESENT);
        assert_true(bytes_equal(v, bytes_of(large, size)));
        assert_int_equal(get(&m, b("middle"), &v), MEMTABLE_PRESENT);
        assert_int_equal(v.len, size / 12);
        assert_int_equal(get(&m, b("small2"), &v), MEMTABLE_PRESENT);
        assert_true(bytes_equal(v, b("s2")));
        memtable_close(&m);
        assert_int_equal(pool.n, 1);
    }
    chunk_pool_close(&pool);
    free(large);
}

/* Records of about the sizes at which another kind of chunk begins, one just as large as a chunk.
 */
static void test_memtable_chunks_of_any_size_go(void **state)
{
    (void)state;
    struct chunk_pool pool = {0};
    const size_t around[] = {1 << 17, 1 << 18, 1 << 20, 2 << 20, 4 << 20};
    uint8_t *data = calloc(1, 5 << 20);
    for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
        for (size_t size = around[i] - 64; size <= around[i] + 64; size += 4) {
            struct memtable m;
            struct bytes v;
            memtable_init(&m, 0, size % 8 ? &pool : NULL);
            put(&m, b("k"), bytes_of(data, size / 5 * 4 - 32));
            put(&m, b("small"), b("s"));
            assert_int_equal(get(&m, b("k"), &v), MEMTABLE_PRESENT);
            assert_int_equal(v.len, size / 5 * 4 - 32);
            memtable_close(&m);
        }
    }
    chunk_pool_close(&pool);
    free(data);
}

static void test_memtable_sorts_as_bytes_compare(void **state)
{
    (void)state;
    struct memtable m;
    memtable_init(&m, 5000, NULL);
    struct rng rng = rng_of_seed(11);
    for (int i = 0; i < 5000; i++) {
        uint8_t key[40];
        size_t n = 1 + rng_below(&rng, sizeof key - 1);
        for (size_t j = 0; j < n; j++)
            key[j] = (uint8_t)(rng_below(&rng, 8) ? 0 : rng_u64(&rng));
        if (rng_below(&rng, 4) == 0)
            memtable_del(&m, hash64(bytes_of(key, n)), bytes_of(key, n));
        else
            put(&m, bytes_of(key, n), bytes_of(key, n));
    }
    struct memtable_order *order = memtable_sorted(&m);
    assert_non_null(order);
    for (uint64_t i = 0; i < m.count; i++) {
        struct memtable_record r = memtable_at(&order[i]);
        if (i > 0)
            assert_true(bytes_compare(memtable_at(&order[i - 1]).key, r.key) < 0);
        assert_true(r.deleted || bytes_equal(r.key, r.value));
    }
    uint64_t at = 0, n = 0;
    struct memtable_record r;
    while (memtable_next(&m, &at, &r))
        n++;
    assert_int_equal(n, m.count);
    free(order);
    memtable_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memtable_answers_unknown_present_deleted),
        cmocka_unit_test(test_memtable_keeps_keys_with_equal_hash_apart),
        cmocka_unit_test(test_memtable_values_stay_in_place_while_others_come),
        cmocka_unit_test(test_memtable_growing_value_seldom_takes_new_room),
        cmocka_unit_test(test_memtable_takes_a_value_that_lies_in_itself),
        cmocka_unit_test(test_memtable_holds_large_values_and_reuses_chunks),
        cmocka_unit_test(test_memtable_chunks_of_any_size_go),
        cmocka_unit_test(test_memtable_sorts_as_bytes_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
