#include <base/rng.h>
#include <proto/facts.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define B(text)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static struct buf facts_of(const struct fact *items, size_t n)
{
    struct arena arena = {0};
    struct facts_builder b;
    struct buf out = {0};
    facts_builder_init(&b, &arena);
    for (size_t i = 0; i < n; i++)
        facts_builder_add(&b, &items[i]);
    assert_true(facts_builder_finish(&b, &out));
    arena_close(&arena);
    return out;
}

static struct buf join_of(const struct buf *a, const struct buf *b)
{
    struct buf out = {0};
    facts_join(buf_bytes(a), buf_bytes(b), &out);
    return out;
}

static void assert_same(const struct buf *a, const struct buf *b)
{
    assert_int_equal(a->len, b->len);
    assert_true(bytes_equal(buf_bytes(a), buf_bytes(b)));
}

static void free_all(struct buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_free(&b[i]);
}

/* --- each kind's way of joining --- */

/* Joins a and b both ways round, and by the builder, and expects `wanted`. */
static void expect_join(struct fact a, struct fact b, struct fact wanted)
{
    struct buf x = facts_of(&a, 1), y = facts_of(&b, 1), w = facts_of(&wanted, 1);
    struct buf xy = join_of(&x, &y), yx = join_of(&y, &x);
    struct buf both = facts_of((struct fact[]){a, b}, 2);
    assert_same(&xy, &w);
    assert_same(&yx, &w);
    assert_same(&both, &w);
    assert_true(facts_check(buf_bytes(&w)));
    free_all((struct buf[]){x, y, w, xy, yx, both}, 6);
}

#define NUMBER(kind_, ts_, number_)                                                                \
    ((struct fact){.kind = kind_, .name = 7, .ts = ts_, .type = FACT_NUMBER, .number = number_})
#define TEXT(kind_, ts_, text_)                                                                    \
    ((struct fact){.kind = kind_, .name = 7, .ts = ts_, .type = FACT_TEXT, .text = B(text_)})
#define NONE(kind_, ts_) ((struct fact){.kind = kind_, .name = 7, .ts = ts_, .type = FACT_NULL})

static void test_facts_latest(void **state)
{
    (void)state;
    expect_join(NUMBER(FACT_LATEST, 1, 9), NUMBER(FACT_LATEST, 2, 3), NUMBER(FACT_LATEST, 2, 3));
    expect_join(TEXT(FACT_LATEST, 1, "a"), NONE(FACT_LATEST, 2), NONE(FACT_LATEST, 2));
    expect_join(TEXT(FACT_LATEST, -3, "a"), NONE(FACT_LATEST, -4), TEXT(FACT_LATEST, -3, "a"));
    /* ties: null < number < text, and the greater within a type */
    expect_join(NUMBER(FACT_LATEST, 5, -1), NONE(FACT_LATEST, 5), NUMBER(FACT_LATEST, 5, -1));
    expect_join(NUMBER(FACT_LATEST, 5, 99), TEXT(FACT_LATEST, 5, ""), TEXT(FACT_LATEST, 5, ""));
    expect_join(NUMBER(FACT_LATEST, 5, -2), NUMBER(FACT_LATEST, 5, -1), NUMBER(FACT_LATEST, 5, -1));
    expect_join(TEXT(FACT_LATEST, 5, "a"), TEXT(FACT_LATEST, 5, "ab"), TEXT(FACT_LATEST, 5, "ab"));
}

static void test_facts_first(void **state)
{
    (void)state;
    expect_join(NUMBER(FACT_FIRST, 1, 9), NUMBER(FACT_FIRST, 2, 3), NUMBER(FACT_FIRST, 1, 9));
    expect_join(NUMBER(FACT_FIRST, 5, 99), TEXT(FACT_FIRST, 5, ""), NUMBER(FACT_FIRST, 5, 99));
    expect_join(TEXT(FACT_FIRST, 5, "b"), TEXT(FACT_FIRST, 5, "a"), TEXT(FACT_FIRST, 5, "a"));
}

static void test_facts_min_and_max(void **state)
{
    (void)state;
    expect_join(NUMBER(FACT_MIN, 0, 4), NUMBER(FACT_MIN, 0, -4), NUMBER(FACT_MIN, 0, -4));
    expect_join(NUMBER(FACT_MAX, 0, 4), NUMBER(FACT_MAX, 0, -4), NUMBER(FACT_MAX, 0, 4));
    expect_join(TEXT(FACT_MIN, 0, "b"), TEXT(FACT_MIN, 0, "a"), TEXT(FACT_MIN, 0, "a"));
    expect_join(TEXT(FACT_MAX, 0, "b"), TEXT(FACT_MAX, 0, "a"), TEXT(FACT_MAX, 0, "b"));
    expect_join(NUMBER(FACT_MIN, 0, 4), TEXT(FACT_MIN, 0, "a"), NUMBER(FACT_MIN, 0, 4));
}

static void test_facts_sums_add_and_wrap(void **state)
{
    (void)state;
    static const enum fact_kind kinds[] = {FACT_SUM, FACT_HAS, FACT_TOTAL};
    for (size_t i = 0; i < 3; i++) {
        expect_join(NUMBER(kinds[i], 0, 4), NUMBER(kinds[i], 0, -14), NUMBER(kinds[i], 0, -10));
        expect_join(NUMBER(kinds[i], 0, 4), NUMBER(kinds[i], 0, -4), NUMBER(kinds[i], 0, 0));
        expect_join(NUMBER(kinds[i], 0, INT64_MAX), NUMBER(kinds[i], 0, 1),
                    NUMBER(kinds[i], 0, INT64_MIN));
    }
}

static void test_facts_union_source_tag(void **state)
{
    (void)state;
    struct fact a = {.kind = FACT_UNION, .name = 7, .sub = B("red"), .ts = 9}, b = a;
    b.ts = 8;
    expect_join(a, b, b);

    a = (struct fact){.kind = FACT_SOURCE, .name = 7, .sub = B("\1"), .ts = 9, .type = FACT_NULL};
    b = a;
    b.ts = 10;
    b.type = FACT_TEXT;
    b.text = bytes_of_str("x");
    expect_join(a, b, b);

    a = (struct fact){.kind = FACT_TAG, .sub = B("vip"), .ts = 9, .number = 1};
    b = a;
    b.number = 0;
    expect_join(a, b, a);
    b.ts = 10;
    expect_join(a, b, b);
}

static void test_facts_channel_and_last(void **state)
{
    (void)state;
    struct fact a = {.kind = FACT_CHANNEL, .sub = B("tmall"), .ts = 5, .number = 9}, b = a, w = a;
    b.ts = 3;
    b.number = 4;
    w.ts = 3;
    expect_join(a, b, w);

    expect_join(NUMBER(FACT_LAST, 5, 100), NUMBER(FACT_LAST, 6, 99), NUMBER(FACT_LAST, 6, 99));
    expect_join(NUMBER(FACT_LAST, 5, 100), NUMBER(FACT_LAST, 5, 99), NUMBER(FACT_LAST, 5, 100));
}

static void test_facts_order_is_kind_name_sub(void **state)
{
    (void)state;
    const struct fact wanted[] = {
        NUMBER(FACT_LATEST, 1, 1),
        {.kind = FACT_LATEST, .name = 256, .type = FACT_NULL},
        {.kind = FACT_UNION, .name = 1, .sub = B("a")},
        {.kind = FACT_UNION, .name = 1, .sub = B("ab")},
        {.kind = FACT_UNION, .name = 1, .sub = B("b")},
        {.kind = FACT_UNION, .name = UINT32_MAX, .sub = B("a")},
        {.kind = FACT_TAG, .sub = B("\xFF")},
        {.kind = FACT_TOTAL, .name = 1, .type = FACT_NUMBER},
    };
    enum { N = sizeof wanted / sizeof wanted[0] };
    struct fact reversed[N], f;
    for (size_t i = 0; i < N; i++)
        reversed[i] = wanted[N - 1 - i];
    struct buf b = facts_of(reversed, N);
    struct facts_iter it = facts_iter_of(buf_bytes(&b));
    for (size_t i = 0; i < N; i++) {
        assert_true(facts_next(&it, &f));
        assert_int_equal(f.kind, wanted[i].kind);
        assert_int_equal(f.name, wanted[i].name);
        assert_true(bytes_equal(f.sub, wanted[i].sub));
    }
    assert_false(facts_next(&it, &f));
    assert_true(it.r.ok);
    buf_free(&b);
}

/* --- random facts --- */

static const char *const words[] = {"a", "b", "ab", "vip", "\xE4\xB8\x8A", "\1", "\2"};

/* Few keys and few values, so that equal keys and ties are common. */
static struct fact random_fact(struct rng *r)
{
    struct fact f = {
        .kind = (enum fact_kind)(1 + rng_below(r, FACT_KIND_END - 1)),
        .name = (name_id)(1 + rng_below(r, 3)),
        .ts = (msec_t)rng_below(r, 4) - 2,
        .type = FACT_NUMBER,
        .number = (int64_t)rng_below(r, 5) - 2,
    };
    switch ((int)f.kind) {
    case FACT_UNION:
    case FACT_CHANNEL:
    case FACT_TAG:
        f.sub = bytes_of_str(words[rng_below(r, 5)]);
        break;
    case FACT_SOURCE:
        f.sub = bytes_of_str(words[5 + rng_below(r, 2)]);
        break;
    case FACT_TOTAL:
        f.sub = rng_below(r, 2) ? bytes_of("\1\0\0\0", 4) : bytes_of(NULL, 0);
        break;
    default:
        break;
    }
    if (f.kind == FACT_TAG || f.kind == FACT_CHANNEL)
        f.name = 0;
    if (f.kind == FACT_TAG)
        f.number = (int64_t)rng_below(r, 2);
    if (f.kind <= FACT_MAX || f.kind == FACT_SOURCE) {
        bool removable = f.kind == FACT_LATEST || f.kind == FACT_SOURCE;
        f.type = (enum fact_value)(removable ? rng_below(r, 3) : 1 + rng_below(r, 2));
        f.text = bytes_of_str(words[rng_below(r, 5)]);
    }
    if (rng_below(r, 50) == 0)
        f.number = f.kind == FACT_TAG ? 1 : INT64_MAX;
    return f;
}

static size_t random_facts(struct rng *r, struct fact *out, size_t most)
{
    size_t n = (size_t)rng_below(r, most + 1);
    for (size_t i = 0; i < n; i++)
        out[i] = random_fact(r);
    return n;
}

static void test_facts_join_is_commutative_and_associative(void **state)
{
    (void)state;
    struct rng r = rng_of_seed(1);
    enum { MOST = 30 };
    for (int round = 0; round < 3000; round++) {
        struct fact items[3 * MOST];
        struct buf part[3];
        size_t n = 0;
        for (size_t i = 0; i < 3; i++) {
            size_t more = random_facts(&r, items + n, MOST);
            part[i] = facts_of(items + n, more);
            assert_true(facts_check(buf_bytes(&part[i])));
            n += more;
        }
        struct buf ab = join_of(&part[0], &part[1]), ba = join_of(&part[1], &part[0]);
        struct buf bc = join_of(&part[1], &part[2]);
        struct buf ab_c = join_of(&ab, &part[2]), a_bc = join_of(&part[0], &bc);
        struct buf all = facts_of(items, n);
        assert_same(&ab, &ba);
        assert_same(&ab_c, &a_bc);
        assert_same(&ab_c, &all);
        assert_true(facts_check(buf_bytes(&all)));
        free_all(part, 3);
        free_all((struct buf[]){ab, ba, bc, ab_c, a_bc, all}, 6);
    }
}

static void test_facts_join_with_nothing_is_the_same(void **state)
{
    (void)state;
    struct rng r = rng_of_seed(2);
    struct fact items[20];
    struct buf a = facts_of(items, random_facts(&r, items, 20)), empty = {0};
    struct buf x = join_of(&a, &empty), y = join_of(&empty, &a), z = join_of(&empty, &empty);
    assert_same(&x, &a);
    assert_same(&y, &a);
    assert_int_equal(z.len, 0);
    free_all((struct buf[]){a, x, y, z}, 4);
}

static void test_facts_join_appends(void **state)
{
    (void)state;
    struct fact f = NUMBER(FACT_SUM, 0, 1);
    struct buf a = facts_of(&f, 1), out = {0};
    buf_put(&out, "head", 4);
    facts_join(buf_bytes(&a), bytes_of(NULL, 0), &out);
    assert_int_equal(out.len, 4 + a.len);
    assert_memory_equal(out.data, "head", 4);
    assert_memory_equal(out.data + 4, a.data, a.len);
    buf_free(&a);
    buf_free(&out);
}

struct seen {
    struct bytes before, after;
    size_t n;
};

static bool same_fact(const struct fact *a, const struct fact *b)
{
    return a->ts == b->ts && a->type == b->type && a->number == b->number &&
           bytes_equal(a->text, b->text);
}

/* Each call is about a key that is in fact different, and says both sides as facts_find does. */
static void on_change(void *ctx, const struct fact *before, const struct fact *after)
{
    struct seen *s = ctx;
    const struct fact *key = before ? before : after;
    struct fact x, y;
    bool in_before = facts_find(s->before, key->kind, key->name, key->sub, &x);
    bool in_after = facts_find(s->after, key->kind, key->name, key->sub, &y);
    assert_int_equal(in_before, before != NULL);
    assert_int_equal(in_after, after != NULL);
    if (before)
        assert_true(same_fact(before, &x));
    if (after)
        assert_true(same_fact(after, &y));
    assert_false(before && after && same_fact(before, after));
    s->n++;
}

/* The same number, counted one key at a time. */
static size_t count_changes(struct bytes before, struct bytes after)
{
    size_t n = 0;
    struct fact f, other;
    for (struct facts_iter it = facts_iter_of(after); facts_next(&it, &f);)
        n += !facts_find(before, f.kind, f.name, f.sub, &other) || !same_fact(&f, &other);
    for (struct facts_iter it = facts_iter_of(before); facts_next(&it, &f);)
        n += !facts_find(after, f.kind, f.name, f.sub, &other);
    return n;
}

static void test_facts_diff_names_exactly_the_changes(void **state)
{
    (void)state;
    struct rng r = rng_of_seed(3);
    struct fact items[60];
    size_t changes = 0;
    for (int round = 0; round < 2000; round++) {
        struct buf a = facts_of(items, random_facts(&r, items, 40));
        struct buf b = facts_of(items, random_facts(&r, items, 10));
        struct buf j = join_of(&a, &b);
        const struct buf *after[] = {&j, &b, &a};
        for (size_t i = 0; i < 3; i++) {
            struct seen s = {buf_bytes(&a), buf_bytes(after[i]), 0};
            facts_diff(s.before, s.after, on_change, &s);
            assert_int_equal(s.n, count_changes(s.before, s.after));
            assert_true(after[i] != &a || s.n == 0);
            changes += s.n;
        }
        free_all((struct buf[]){a, b, j}, 3);
    }
    assert_true(changes > 10000);
}

/* --- malformed input --- */

static void test_facts_join_diff_is_join_and_diff(void **state)
{
    (void)state;
    struct rng r = rng_of_seed(4);
    struct fact items[60];
    size_t changes = 0;
    for (int round = 0; round < 2000; round++) {
        struct buf a = facts_of(items, random_facts(&r, items, 40));
        struct buf b = facts_of(items, random_facts(&r, items, round % 4 ? 10 : 60));
        struct buf j = join_of(&a, &b), out = {0};
        struct seen s = {buf_bytes(&a), buf_bytes(&j), 0};
        facts_join_diff(buf_bytes(&a), buf_bytes(&b), &out, on_change, &s);
        assert_same(&out, &j);
        assert_int_equal(s.n, count_changes(s.before, s.after));
        changes += s.n;
        free_all((struct buf[]){a, b, j, out}, 4);
    }
    assert_true(changes > 10000);
}

static void test_facts_check_truncated_and_mutated(void **state)
{
    (void)state;
    struct rng r = rng_of_seed(4);
    for (int round = 0; round < 60; round++) {
        struct fact items[12], f;
        struct buf b = facts_of(items, random_facts(&r, items, 12));
        for (size_t n = 0; n < b.len; n++) {
            /* A cut is canonical at the seams between facts only. */
            struct facts_iter it = facts_iter_of(buf_bytes(&b));
            bool seam = n == 0;
            while (!seam && facts_next(&it, &f))
                seam = (size_t)(it.r.p - b.data) == n;
            uint8_t *copy = malloc(n + 1);
            memcpy(copy, b.data, n);
            assert_int_equal(facts_check(bytes_of(copy, n)), seam);
            free(copy);
        }
        for (size_t i = 0; i < b.len; i++) {
            uint8_t was = b.data[i];
            b.data[i] = (uint8_t)rng_u64(&r);
            if (facts_check(buf_bytes(&b))) {
                /* What is taken is canonical: written again it is the same. */
                struct fact again[12];
                size_t n = 0;
                for (struct facts_iter it = facts_iter_of(buf_bytes(&b)); facts_next(&it, &f);)
                    again[n++] = f;
                struct buf w = facts_of(again, n);
                assert_same(&w, &b);
                buf_free(&w);
            }
            b.data[i] = was;
        }
        buf_free(&b);
    }
}

static void test_facts_check_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct bytes b;
    } bad[] = {
        {"kind 0", B("\0\7\0\0\0\0\2")},
        {"kind out of range", B("\15\7\0\0\0\0\2")},
        {"no name", B("\5\0\0\0\0\0\2")},
        {"a sum with sub", B("\5\7\0\0\0\1a\2")},
        {"a long varint", B("\5\7\0\0\0\0\x82\0")},
        {"a varint of eleven bytes", B("\5\7\0\0\0\0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\1")},
        {"a varint beyond 64 bits", B("\5\7\0\0\0\0\x80\x80\x80\x80\x80\x80\x80\x80\x80\2")},
        {"a value type out of range", B("\1\7\0\0\0\0\2\3")},
        {"null in FIRST", B("\2\7\0\0\0\0\2\0")},
        {"null in MIN", B("\3\7\0\0\0\0\0")},
        {"a union without element", B("\6\7\0\0\0\0\2")},
        {"a source of two bytes", B("\7\7\0\0\0\2ab\2\0")},
        {"a tag with name", B("\x08\7\0\0\0\1a\2\1")},
        {"a tag of 2", B("\x08\0\0\0\0\1a\2\2")},
        {"a total of half a name", B("\x0C\7\0\0\0\2ab\2")},
        {"twice the same key", B("\5\7\0\0\0\0\2\5\7\0\0\0\0\2")},
        {"unsorted", B("\5\10\0\0\0\0\2\5\7\0\0\0\0\2")},
        {"a text that is longer than all", B("\1\7\0\0\0\0\2\2\xFF\xFF\xFF\xFF\x0F")},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (facts_check(bad[i].b))
            fail_msg("taken: %s", bad[i].why);
    }
    static const struct bytes good = B("\5\7\0\0\0\0\2\5\10\0\0\0\0\2");
    assert_true(facts_check(good));
    assert_true(facts_check(bytes_of(NULL, 0)));
}

static void test_facts_builder_refuses_what_check_refuses(void **state)
{
    (void)state;
    static const struct fact bad[] = {
        {.kind = FACT_KIND_END, .name = 1},
        {.kind = FACT_SUM, .number = 1},
        {.kind = FACT_FIRST, .name = 1, .type = FACT_NULL},
        {.kind = FACT_TAG, .sub = B("a"), .number = 2},
        {.kind = FACT_TAG, .number = 1},
        {.kind = FACT_LATEST, .name = 1, .type = (enum fact_value)3},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct arena arena = {0};
        struct facts_builder b;
        struct buf out = {0};
        facts_builder_init(&b, &arena);
        facts_builder_add(&b, &bad[i]);
        assert_false(facts_builder_finish(&b, &out));
        arena_close(&arena);
    }
}

static void test_facts_builder_out_of_arena(void **state)
{
    (void)state;
    struct arena arena;
    struct facts_builder b;
    struct buf out = {0};
    arena_init(&arena, 4096);
    facts_builder_init(&b, &arena);
    for (name_id i = 1; i < 1000; i++)
        facts_builder_add(&b, &(struct fact){.kind = FACT_SUM, .name = i});
    assert_true(b.failed);
    assert_false(facts_builder_finish(&b, &out));
    assert_int_equal(out.len, 0);
    arena_close(&arena);
}

/* --- traits --- */

static void test_facts_trait_by_policy(void **state)
{
    (void)state;
    const struct fact items[] = {NUMBER(FACT_LATEST, 3, 11), NUMBER(FACT_FIRST, 1, 12),
                                 NUMBER(FACT_MIN, 0, 13),    NUMBER(FACT_MAX, 0, 14),
                                 NUMBER(FACT_SUM, 0, 15),    {FACT_UNION, 7, B("x"), 1, 0, 0, {0}}};
    struct buf b = facts_of(items, sizeof items / sizeof items[0]);
    for (int m = MERGE_LATEST; m <= MERGE_SUM; m++) {
        struct schema_trait t = {.id = 7, .merge = (enum trait_merge)m};
        struct fact f = facts_trait(buf_bytes(&b), &t);
        assert_int_equal(f.type, FACT_NUMBER);
        assert_int_equal(f.number, 11 + m);
        for (name_id other = 6; other <= 8; other += 2) {
            t.id = other;
            assert_int_equal(facts_trait(buf_bytes(&b), &t).type, FACT_NULL);
        }
    }
    struct schema_trait set = {.id = 7, .merge = MERGE_UNION};
    assert_int_equal(facts_trait(buf_bytes(&b), &set).type, FACT_NULL);
    buf_free(&b);
}

static void test_facts_trait_of_best_source(void **state)
{
    (void)state;
    const struct schema_trait t = {.id = 7, .merge = MERGE_SOURCE_PRIORITY};
    struct fact items[] = {
        {FACT_SOURCE, 7, B("\2"), 100, FACT_TEXT, 0, B("third")},
        {FACT_SOURCE, 7, B("\0"), 1, FACT_TEXT, 0, B("first")},
        {FACT_SOURCE, 7, B("\1"), 50, FACT_TEXT, 0, B("second")},
    };
    struct buf b = facts_of(items, 3);
    assert_true(bytes_equal(facts_trait(buf_bytes(&b), &t).text, bytes_of_str("first")));
    buf_free(&b);
    items[1].type = FACT_NULL;
    b = facts_of(items, 3);
    assert_true(bytes_equal(facts_trait(buf_bytes(&b), &t).text, bytes_of_str("second")));
    buf_free(&b);
}

/* --- behaviour --- */

static struct behaviour sample_behaviour(void)
{
    struct behaviour b = {
        .event = 0xDEADBEEF, .ts = -5, .day = INT32_MIN, .count = -1, .n_fields = EVENT_FIELDS_MAX};
    for (size_t i = 0; i < EVENT_FIELDS_MAX; i++)
        b.fields[i] = (struct behaviour_field){
            .id = (name_id)(i + 1), .type = FIELD_NUMBER, .number = INT64_MIN + (int64_t)i};
    b.fields[3] = (struct behaviour_field){.id = 4, .type = FIELD_ENUM, .text = B("\xE5\xA5\xB6")};
    b.fields[5] = (struct behaviour_field){.id = 6, .type = FIELD_ENUM};
    return b;
}

static void test_behaviour_round_trip(void **state)
{
    (void)state;
    struct behaviour b = sample_behaviour(), got;
    struct buf out = {0};
    behaviour_encode(&b, &out);
    assert_true(behaviour_decode(buf_bytes(&out), &got));
    assert_int_equal(got.event, b.event);
    assert_true(got.ts == b.ts);
    assert_int_equal(got.day, b.day);
    assert_int_equal(got.count, b.count);
    assert_int_equal(got.n_fields, b.n_fields);
    for (size_t i = 0; i < b.n_fields; i++) {
        assert_int_equal(got.fields[i].id, b.fields[i].id);
        assert_int_equal(got.fields[i].type, b.fields[i].type);
        assert_true(got.fields[i].number == b.fields[i].number);
        assert_true(bytes_equal(got.fields[i].text, b.fields[i].text));
    }
    buf_free(&out);
}

static void test_behaviour_truncated_or_longer(void **state)
{
    (void)state;
    struct behaviour b = sample_behaviour(), got;
    struct buf out = {0};
    behaviour_encode(&b, &out);
    for (size_t n = 0; n < out.len; n++) {
        uint8_t *copy = malloc(n + 1);
        memcpy(copy, out.data, n);
        assert_false(behaviour_decode(bytes_of(copy, n), &got));
        free(copy);
    }
    buf_put_u8(&out, 0);
    assert_false(behaviour_decode(buf_bytes(&out), &got));
    buf_free(&out);
}

static void test_behaviour_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct bytes b;
    } bad[] = {
        {"no event", B("\0\0\0\0\2\2\2\0")},
        {"a day of 33 bits", B("\1\0\0\0\2\x80\x80\x80\x80\x20\2\0")},
        {"nine fields", B("\1\0\0\0\2\2\2\x09")},
        {"a field without id", B("\1\0\0\0\2\2\2\1\0\0\0\0\0\2")},
        {"a field of no type", B("\1\0\0\0\2\2\2\1\1\0\0\0\2\2")},
        {"a field twice", B("\1\0\0\0\2\2\2\2\1\0\0\0\0\2\1\0\0\0\0\2")},
    };
    struct behaviour got;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (behaviour_decode(bad[i].b, &got))
            fail_msg("taken: %s", bad[i].why);
    }
    static const struct bytes good = B("\1\0\0\0\2\2\2\1\1\0\0\0\0\2");
    assert_true(behaviour_decode(good, &got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts_latest),
        cmocka_unit_test(test_facts_first),
        cmocka_unit_test(test_facts_min_and_max),
        cmocka_unit_test(test_facts_sums_add_and_wrap),
        cmocka_unit_test(test_facts_union_source_tag),
        cmocka_unit_test(test_facts_channel_and_last),
        cmocka_unit_test(test_facts_order_is_kind_name_sub),
        cmocka_unit_test(test_facts_join_is_commutative_and_associative),
        cmocka_unit_test(test_facts_join_with_nothing_is_the_same),
        cmocka_unit_test(test_facts_join_appends),
        cmocka_unit_test(test_facts_diff_names_exactly_the_changes),
        cmocka_unit_test(test_facts_join_diff_is_join_and_diff),
        cmocka_unit_test(test_facts_check_truncated_and_mutated),
        cmocka_unit_test(test_facts_check_refuses),
        cmocka_unit_test(test_facts_builder_refuses_what_check_refuses),
        cmocka_unit_test(test_facts_builder_out_of_arena),
        cmocka_unit_test(test_facts_trait_by_policy),
        cmocka_unit_test(test_facts_trait_of_best_source),
        cmocka_unit_test(test_behaviour_round_trip),
        cmocka_unit_test(test_behaviour_truncated_or_longer),
        cmocka_unit_test(test_behaviour_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
