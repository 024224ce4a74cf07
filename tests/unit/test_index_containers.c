/* The parts of the index by themselves: sets, columns, dictionaries, ids. */
#include "column.h"
#include "dict.h"
#include "ids.h"
#include "kernels.h"

#include <base/rng.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SPAN = 3 * CHUNK_SIZE };

static size_t check_chunk(const struct set *s, uint32_t chunk, const uint8_t *has)
{
    struct set_view v;
    size_t n = 0;
    set_view_chunk(s, chunk, &v);
    for (uint32_t low = 0; low < CHUNK_SIZE; low++) {
        bool expected = has[chunk * CHUNK_SIZE + low];
        if (set_view_has(&v, low) != expected)
            fail_msg("position %u of chunk %u", low, chunk);
        n += expected;
    }
    assert_int_equal(v.n, n);
    if (v.kind == VIEW_ARRAY || v.kind == VIEW_WIDE)
        for (uint32_t i = 1; i < v.n; i++)
            assert_true(set_view_at(&v, i - 1) < set_view_at(&v, i));
    return n;
}

static void check_set(const struct set *s, const uint8_t *has)
{
    size_t n = 0;
    for (uint32_t chunk = 0; chunk < SPAN / CHUNK_SIZE; chunk++)
        n += check_chunk(s, chunk, has);
    assert_int_equal(s->n, n);
}

/* Grows and shrinks over all borders, with ordinals from `span`. */
static void churn_set(uint32_t span, uint32_t peak, uint64_t seed)
{
    struct mem m = {0};
    struct set s = {0};
    struct rng rng = rng_of_seed(seed);
    uint8_t *has = calloc(SPAN, 1);
    assert_non_null(has);
    for (uint32_t target = 1; target <= peak; target *= 2) {
        while (s.n < target) {
            uint32_t ordinal = (uint32_t)rng_below(&rng, span);
            assert_int_equal(set_add(&m, &s, ordinal), !has[ordinal]);
            has[ordinal] = 1;
        }
        check_set(&s, has);
        for (uint32_t i = 0; i < target; i++) {
            uint32_t ordinal = (uint32_t)rng_below(&rng, span);
            assert_int_equal(set_remove(&m, &s, ordinal), has[ordinal]);
            has[ordinal] = 0;
        }
        check_set(&s, has);
    }
    for (uint32_t ordinal = 0; ordinal < span; ordinal++)
        assert_int_equal(set_remove(&m, &s, ordinal), has[ordinal]);
    assert_int_equal(s.n, 0);
    assert_int_equal(s.kind, SET_FEW);
    assert_int_equal(m.bytes, 0);
    free(has);
}

static void test_set_keeps_its_members_in_every_form(void **state)
{
    (void)state;
    churn_set(SPAN, 1 << 16, 1);
    churn_set(CHUNK_SIZE, 1 << 15, 2);
    churn_set(5000, 1 << 12, 3);
}

static void fill_range(struct mem *m, struct set *s, uint32_t n, uint32_t step)
{
    for (uint32_t i = 0; i < n; i++)
        assert_true(set_add(m, s, i * step));
}

static enum container_kind kind_of(const struct set *s)
{
    assert_int_equal(s->kind, SET_CHUNKED);
    return (enum container_kind)s->u.chunks[0].kind;
}

static void test_set_changes_its_form_at_the_borders(void **state)
{
    (void)state;
    struct mem m = {0};
    struct set s = {0};
    fill_range(&m, &s, set_vector_max(1), 2);
    assert_int_equal(s.kind, SET_VECTOR);
    assert_true(set_add(&m, &s, CHUNK_SIZE - 1));
    assert_int_equal(kind_of(&s), CONTAINER_ARRAY);
    assert_true(set_add(&m, &s, CHUNK_SIZE + 5));
    assert_int_equal(s.u.chunks[1].kind, CONTAINER_ARRAY);
    while (s.n >= set_vector_max(2) / 2) {
        assert_int_equal(s.kind, SET_CHUNKED);
        assert_true(set_remove(&m, &s, (s.n - 3) * 2));
    }
    assert_int_equal(s.kind, SET_VECTOR);
    set_close(&m, &s);
    assert_int_equal(m.bytes, 0);
}

/* Few for so many chunks, so that loading begins with a vector; but most are in the first chunk,
 * where that vector outgrows what it may hold so far. */
static void test_set_loads_what_is_crowded_in_its_first_chunks(void **state)
{
    (void)state;
    enum { CHUNKS = 12, CROWD = 300, LATE = 40 };
    uint16_t positions[CROWD];
    uint64_t words[CHUNK_WORDS] = {0};
    for (uint32_t i = 0; i < CROWD; i++)
        positions[i] = (uint16_t)(i * 3);
    for (uint32_t i = 0; i < LATE; i++)
        words[i] = 1;
    for (uint32_t late = 1; late < CHUNKS; late++) {
        struct mem m = {0};
        struct set s = {0};
        set_load(&m, &s, CROWD + LATE, CHUNKS);
        set_load_array(&m, &s, 0, positions, CROWD);
        if (late % 2)
            set_load_array(&m, &s, late, positions, LATE);
        else
            set_load_bitmap(&m, &s, late, words, LATE);
        assert_int_equal(s.n, CROWD + LATE);
        for (uint32_t i = 0; i < CROWD; i++)
            assert_true(set_has(&s, positions[i]));
        for (uint32_t i = 0; i < LATE; i++)
            assert_true(set_has(&s, late << CHUNK_BITS | (late % 2 ? positions[i] : i * 64)));
        set_close(&m, &s);
        assert_int_equal(m.bytes, 0);
    }
}

static void test_set_keeps_a_longer_vector_over_more_chunks(void **state)
{
    (void)state;
    struct mem m = {0};
    struct set s = {0};
    assert_int_equal(set_vector_max(1000), SET_VECTOR_MAX);
    for (uint32_t i = 0; i < SET_VECTOR_MAX; i++)
        assert_true(set_add(&m, &s, (SET_VECTOR_MAX - i) << 13));
    assert_int_equal(s.kind, SET_VECTOR);
    assert_true(set_add(&m, &s, 7));
    assert_int_equal(s.kind, SET_CHUNKED);
    set_close(&m, &s);
    assert_int_equal(m.bytes, 0);
}

static void test_container_is_an_array_up_to_its_border(void **state)
{
    (void)state;
    struct mem m = {0};
    struct set s = {0};
    for (uint32_t i = 0; i <= SET_VECTOR_MIN; i++)
        assert_true(set_add(&m, &s, CHUNK_SIZE + i));
    for (uint32_t i = 0; i < CONTAINER_ARRAY_MAX; i++)
        assert_true(set_add(&m, &s, i * 3));
    assert_int_equal(kind_of(&s), CONTAINER_ARRAY);
    assert_true(set_add(&m, &s, 1));
    assert_int_equal(kind_of(&s), CONTAINER_BITMAP);
    assert_false(set_add(&m, &s, 1));
    for (uint32_t i = 0; s.u.chunks[0].n >= CONTAINER_BITMAP_MIN; i++)
        assert_true(set_remove(&m, &s, i * 3));
    assert_int_equal(kind_of(&s), CONTAINER_ARRAY);
    set_close(&m, &s);
    assert_int_equal(m.bytes, 0);
}

static void test_set_removes_what_is_gone_from_one_chunk(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {2, 100, 5000, 60000};
    for (size_t k = 0; k < 4; k++) {
        struct mem m = {0};
        struct set s = {0};
        uint64_t *gone = mem_bitmap_new(&m);
        uint8_t *has = calloc(SPAN, 1);
        assert_non_null(has);
        struct rng rng = rng_of_seed(k);
        while (s.n < sizes[k]) {
            uint32_t ordinal = (uint32_t)rng_below(&rng, SPAN);
            has[ordinal] |= set_add(&m, &s, ordinal);
        }
        for (uint32_t low = 0; low < CHUNK_SIZE; low += 1 + (uint32_t)rng_below(&rng, 2)) {
            bit_set(gone, low);
            has[CHUNK_SIZE + low] = 0;
        }
        set_remove_chunk(&m, &s, 1, gone);
        check_set(&s, has);
        set_close(&m, &s);
        mem_bitmap_free(&m, gone);
        assert_int_equal(m.bytes, 0);
        free(has);
    }
}

/* Values that force every width and base, against an array. */
static void test_column_holds_any_value_at_any_width(void **state)
{
    (void)state;
    static const int64_t centers[] = {0, 100, -30000, 1 << 20, INT64_MAX - 300, INT64_MIN + 300};
    static const uint64_t spans[] = {50, 255, 300, 65535, 70000, 1ull << 33, UINT64_MAX};
    for (size_t k = 0; k < 6 * 7; k++) {
        struct mem m = {0};
        struct column c = {0};
        struct rng rng = rng_of_seed(k);
        int64_t values[3000] = {0};
        bool has[3000] = {0};
        for (int i = 0; i < 6000; i++) {
            uint32_t ordinal = (uint32_t)rng_below(&rng, 3000);
            if (rng_below(&rng, 4) == 0) {
                assert_int_equal(column_drop(&m, &c, ordinal), has[ordinal]);
                has[ordinal] = false;
                continue;
            }
            uint64_t step = rng_below(&rng, i < 100 ? 20 : spans[k / 6]);
            values[ordinal] = (int64_t)((uint64_t)centers[k % 6] + step);
            has[ordinal] = true;
            column_put(&m, &c, ordinal, values[ordinal]);
        }
        const struct column_chunk *chunk = column_chunk_at(&c, 0);
        for (uint32_t i = 0; i < 3000; i++) {
            int64_t v = 0;
            assert_int_equal(column_get(&c, i, &v), has[i]);
            if (!has[i])
                continue;
            assert_true(v == values[i]);
            assert_true(chunk->min <= v && v <= chunk->max);
        }
        column_close(&m, &c);
        assert_int_equal(m.bytes, 0);
    }
}

static void test_column_is_as_narrow_as_its_values(void **state)
{
    (void)state;
    struct mem m = {0};
    struct column c = {0};
    for (uint32_t i = 0; i < 1000; i++)
        column_put(&m, &c, i, 19000 + i % 200);
    assert_int_equal(column_chunk_at(&c, 0)->width, 1);
    column_put(&m, &c, 5, 0);
    assert_int_equal(column_chunk_at(&c, 0)->width, 2);
    column_put(&m, &c, 5, -2000000);
    assert_int_equal(column_chunk_at(&c, 0)->width, 4);
    column_close(&m, &c);
    assert_int_equal(m.bytes, 0);
}

static void test_dict_gives_numbers_and_takes_them_back(void **state)
{
    (void)state;
    struct mem m = {0};
    struct dict d = {0};
    struct rng rng = rng_of_seed(4);
    uint32_t ids[500];
    memset(ids, 0xFF, sizeof ids);
    for (int i = 0; i < 20000; i++) {
        char text[16];
        size_t k = rng_below(&rng, 500);
        int len = snprintf(text, sizeof text, "v%zu", k);
        struct bytes b = bytes_of(text, (size_t)len);
        assert_int_equal(dict_find(&d, b), ids[k]);
        if (ids[k] == DICT_NONE) {
            ids[k] = dict_find_or_add(&m, &d, b);
            assert_true(bytes_equal(dict_text(&d, ids[k]), b));
        } else if (rng_below(&rng, 2)) {
            dict_drop(&m, &d, ids[k]);
            ids[k] = DICT_NONE;
        }
    }
    assert_true(d.n <= 500);
    dict_close(&m, &d);
    assert_int_equal(m.bytes, 0);
}

static void test_dict_takes_the_empty_text(void **state)
{
    (void)state;
    struct mem m = {0};
    struct dict d = {0};
    uint32_t id = dict_find_or_add(&m, &d, bytes_of(NULL, 0));
    assert_int_equal(dict_find(&d, bytes_of("", 0)), id);
    dict_drop(&m, &d, id);
    assert_int_equal(dict_find(&d, bytes_of("", 0)), DICT_NONE);
    dict_close(&m, &d);
    assert_int_equal(m.bytes, 0);
}

static void test_ids_reuse_the_lowest_ordinal_only_after_release(void **state)
{
    (void)state;
    struct mem m = {0};
    struct ids ids = {0};
    uint32_t ordinal = 0;
    for (one_id id = 1; id <= 70000; id++)
        assert_int_equal(ids_add(&m, &ids, id * 1000003), id - 1);
    for (one_id id = 1; id <= 70000; id++) {
        assert_true(ids_find(&ids, id * 1000003, &ordinal));
        assert_int_equal(ordinal, id - 1);
    }
    assert_int_equal(ids_kill(&m, &ids, 66000), 1);
    assert_int_equal(ids_kill(&m, &ids, 30), 1);
    assert_int_equal(ids_kill(&m, &ids, 20), 2);
    assert_false(ids_find(&ids, 21 * 1000003, &ordinal));
    assert_int_equal(ids_add(&m, &ids, 5), 70000);
    ids_release_dead(&m, &ids, 0);
    assert_int_equal(ids_add(&m, &ids, 6), 20);
    assert_int_equal(ids_add(&m, &ids, 7), 30);
    assert_int_equal(ids_add(&m, &ids, 8), 70001);
    ids_release_dead(&m, &ids, 1);
    assert_int_equal(ids_add(&m, &ids, 9), 66000);
    assert_int_equal(ids.n_live, 70002);
    ids_close(&m, &ids);
    assert_int_equal(m.bytes, 0);
}

static void test_ids_find_everyone_under_turnover(void **state)
{
    (void)state;
    struct mem m = {0};
    struct ids ids = {0};
    struct rng rng = rng_of_seed(5);
    uint32_t at[4000];
    memset(at, 0xFF, sizeof at);
    for (int i = 0; i < 60000; i++) {
        size_t k = rng_below(&rng, 4000);
        uint32_t ordinal = UINT32_MAX;
        assert_int_equal(ids_find(&ids, k + 1, &ordinal), at[k] != UINT32_MAX);
        assert_int_equal(ordinal, at[k]);
        if (at[k] == UINT32_MAX) {
            at[k] = ids_add(&m, &ids, k + 1);
        } else {
            if (ids_kill(&m, &ids, at[k]) > 700)
                ids_release_dead(&m, &ids, 0);
            at[k] = UINT32_MAX;
        }
    }
    assert_true(ids.next <= 4000 + 701);
    ids_close(&m, &ids);
    assert_int_equal(m.bytes, 0);
}

/* Random words; every third is empty and every seventh full. */
static void random_words(struct rng *rng, uint64_t *words)
{
    for (uint32_t i = 0; i < CHUNK_WORDS; i++)
        words[i] = i % 3 == 0 ? 0 : i % 7 == 0 ? UINT64_MAX : rng_u64(rng);
}

static void check_words(const struct kernels *k, const uint64_t *a, const uint64_t *b)
{
    _Alignas(64) uint64_t and[CHUNK_WORDS], and_not[CHUNK_WORDS], or [CHUNK_WORDS];
    uint32_t n = 0, n_and = 0;
    memcpy(and, a, sizeof and);
    memcpy(and_not, a, sizeof and_not);
    memcpy(or, a, sizeof or);
    assert_int_not_equal(k->and (and, b), 0);
    assert_int_not_equal(k->and_not(and_not, b), 0);
    k->or (or, b);
    for (uint32_t i = 0; i < CHUNK_WORDS; i++) {
        assert_true(and[i] == (a[i] & b[i]));
        assert_true(and_not[i] == (a[i] & ~b[i]));
        assert_true(or [i] == (a[i] | b[i]));
        n += (uint32_t)__builtin_popcountll(a[i]);
        n_and += (uint32_t)__builtin_popcountll(a[i] & b[i]);
    }
    assert_int_equal(k->count(a), n);
    assert_int_equal(k->and_count(a, b), n_and);
    memcpy(and_not, a, sizeof and_not);
    assert_int_equal(k->and_not(and_not, a), 0);
}

static void check_keep(const struct kernels *k, const uint64_t *a, const uint64_t *b)
{
    _Alignas(64) uint64_t kept[CHUNK_WORDS];
    for (int round = 0; round < 4; round++) {
        uint64_t negate = round & 1 ? UINT64_MAX : 0, absent = round & 2 ? UINT64_MAX : 0, any = 0;
        memset(kept, 0xF0, sizeof kept);
        bool left = k->keep(kept, a, b, negate, absent) != 0;
        for (uint32_t i = 0; i < CHUNK_WORDS; i++) {
            uint64_t wanted = ((a[i] ^ negate) & b[i]) | (absent & ~b[i]);
            assert_true(kept[i] == (wanted & UINT64_C(0xF0F0F0F0F0F0F0F0)));
            any |= kept[i];
        }
        assert_int_equal(left, any != 0);
    }
    memset(kept, 0, sizeof kept);
    assert_int_equal(k->keep(kept, a, b, 0, UINT64_MAX), 0);
}

static void test_kernels_agree_on_words(void **state)
{
    (void)state;
    static _Alignas(64) uint64_t a[CHUNK_WORDS], b[CHUNK_WORDS];
    struct rng rng = rng_of_seed(6);
    random_words(&rng, a);
    for (uint32_t i = 0; i < CHUNK_WORDS; i++)
        b[i] = rng_u64(&rng);
    for (size_t i = 0; kernels_at(i); i++)
        check_words(kernels_at(i), a, b);
    for (size_t i = 0; kernels_at(i); i++)
        check_keep(kernels_at(i), a, b);
    memset(a, 0xFF, sizeof a);
    for (size_t i = 0; kernels_at(i); i++)
        assert_int_equal(kernels_at(i)->count(a), CHUNK_SIZE);
}

#define CHECK_RANGE(bits, data, lo, hi)                                                            \
    do {                                                                                           \
        const uint##bits##_t *v_ = (const void *)(data);                                           \
        uint##bits##_t lo_ = (uint##bits##_t)(lo), hi_ = (uint##bits##_t)(hi);                     \
        k->range##bits(v_, 1024, lo_, hi_, out);                                                   \
        for (uint32_t i_ = 0; i_ < 1024; i_++)                                                     \
            assert_int_equal(bit_get(out, i_), lo_ <= v_[i_] && v_[i_] <= hi_);                    \
    } while (0)

static void check_ranges(const struct kernels *k, const uint64_t *data, uint64_t lo, uint64_t hi)
{
    uint64_t out[1024 / 64];
    CHECK_RANGE(8, data, lo & 0x3F, (hi & 0x3F) + 0x3F);
    CHECK_RANGE(16, data, lo & 0x3FFF, (hi & 0x3FFF) + 0x3FFF);
    CHECK_RANGE(32, data, lo & 0x3FFFFFFF, (hi & 0x3FFFFFFF) + 0x3FFFFFFF);
    CHECK_RANGE(64, data, lo >> 2, (hi >> 2) + (UINT64_MAX >> 2));
    CHECK_RANGE(8, data, data[3], (uint8_t)data[3]);
    CHECK_RANGE(16, data, 0, UINT16_MAX);
    CHECK_RANGE(32, data, UINT32_MAX / 2, UINT32_MAX);
    CHECK_RANGE(64, data, data[5], data[5]);
}

static void test_kernels_agree_on_ranges(void **state)
{
    (void)state;
    static uint64_t data[1024];
    struct rng rng = rng_of_seed(7);
    for (uint32_t i = 0; i < 1024; i++)
        data[i] = rng_u64(&rng);
    for (size_t i = 0; kernels_at(i); i++)
        for (int round = 0; round < 20; round++)
            check_ranges(kernels_at(i), data, rng_u64(&rng), rng_u64(&rng));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_keeps_its_members_in_every_form),
        cmocka_unit_test(test_set_changes_its_form_at_the_borders),
        cmocka_unit_test(test_set_loads_what_is_crowded_in_its_first_chunks),
        cmocka_unit_test(test_set_keeps_a_longer_vector_over_more_chunks),
        cmocka_unit_test(test_container_is_an_array_up_to_its_border),
        cmocka_unit_test(test_set_removes_what_is_gone_from_one_chunk),
        cmocka_unit_test(test_column_holds_any_value_at_any_width),
        cmocka_unit_test(test_column_is_as_narrow_as_its_values),
        cmocka_unit_test(test_dict_gives_numbers_and_takes_them_back),
        cmocka_unit_test(test_dict_takes_the_empty_text),
        cmocka_unit_test(test_ids_reuse_the_lowest_ordinal_only_after_release),
        cmocka_unit_test(test_ids_find_everyone_under_turnover),
        cmocka_unit_test(test_kernels_agree_on_words),
        cmocka_unit_test(test_kernels_agree_on_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
