#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cluster/placement.h>

static const struct placement_change *examples(size_t *n)
{
    static struct placement_change list[5];
    list[0] = (struct placement_change){.op = PLACEMENT_SEED, .map = bytes_of_str("a map")};
    list[1] = (struct placement_change){
        .op = PLACEMENT_BEGIN,
        .request = {MAP_TASK_REPLACE, 65535, 7, bytes_of_str("tcp://10.0.0.7:7400")}};
    list[2] = (struct placement_change){.op = PLACEMENT_CANCEL, .task = UINT32_MAX};
    list[3] = (struct placement_change){
        .op = PLACEMENT_SETTLE, .shard = CLUSTER_SHARDS_MAX - 1, .changed = UINT64_MAX};
    list[4] = (struct placement_change){.op = PLACEMENT_READ};
    *n = 5;
    return list;
}

static void assert_same(const struct placement_change *a, const struct placement_change *b)
{
    assert_int_equal(a->op, b->op);
    assert_true(bytes_equal(a->map, b->map));
    assert_int_equal(a->request.kind, b->request.kind);
    assert_int_equal(a->request.node, b->request.node);
    assert_int_equal(a->request.other, b->request.other);
    assert_true(bytes_equal(a->request.listen, b->request.listen));
    assert_int_equal(a->task, b->task);
    assert_int_equal(a->shard, b->shard);
    assert_true(a->changed == b->changed);
}

static void test_change_round_trips_behind_what_is_there(void **state)
{
    (void)state;
    size_t n;
    const struct placement_change *list = examples(&n);
    for (size_t i = 0; i < n; i++) {
        struct buf b = {0};
        struct placement_change back;
        struct error err = {0};
        buf_put_u8(&b, 0xAA);
        placement_change_encode(&list[i], &b);
        if (placement_change_decode(bytes_of(b.data + 1, b.len - 1), &back, &err) != ERR_OK)
            fail_msg("%s", err.msg);
        assert_same(&list[i], &back);
        buf_free(&b);
    }
}

static void test_change_refuses_what_is_cut_or_too_long(void **state)
{
    (void)state;
    size_t n;
    const struct placement_change *list = examples(&n);
    for (size_t i = 0; i < n; i++) {
        struct buf b = {0};
        struct placement_change back;
        placement_change_encode(&list[i], &b);
        for (size_t len = 0; len < b.len; len++) {
            struct error err = {0};
            assert_int_equal(placement_change_decode(bytes_of(b.data, len), &back, &err),
                             ERR_MALFORMED);
            assert_int_equal(err.code, ERR_MALFORMED);
        }
        buf_put_u8(&b, 0);
        assert_int_equal(placement_change_decode(buf_bytes(&b), &back, NULL), ERR_MALFORMED);
        buf_free(&b);
    }
}

static void expect_malformed(const uint8_t *form, size_t len)
{
    struct placement_change back;
    assert_int_equal(placement_change_decode(bytes_of(form, len), &back, NULL), ERR_MALFORMED);
}

static void test_change_refuses_what_is_out_of_range(void **state)
{
    (void)state;
    static const uint8_t VERSION[] = {2, PLACEMENT_READ}, OP_0[] = {1, 0}, OP_6[] = {1, 6};
    static const uint8_t KIND_0[] = {1, PLACEMENT_BEGIN, 0, 1, 0, 0};
    static const uint8_t KIND_5[] = {1, PLACEMENT_BEGIN, MAP_TASK_KINDS, 1, 0, 0};
    static const uint8_t NODE[] = {1, PLACEMENT_BEGIN, 1, 0x80, 0x80, 0x04, 0, 0};
    static const uint8_t OTHER[] = {1, PLACEMENT_BEGIN, 1, 1, 0x80, 0x80, 0x04, 0};
    static const uint8_t TASK[] = {1, PLACEMENT_CANCEL, 0x80, 0x80, 0x80, 0x80, 0x10};
    static const uint8_t SHARD[] = {1, PLACEMENT_SETTLE, 0x80, 0x08, 1};
    expect_malformed(VERSION, sizeof VERSION);
    expect_malformed(OP_0, sizeof OP_0);
    expect_malformed(OP_6, sizeof OP_6);
    expect_malformed(KIND_0, sizeof KIND_0);
    expect_malformed(KIND_5, sizeof KIND_5);
    expect_malformed(NODE, sizeof NODE);
    expect_malformed(OTHER, sizeof OTHER);
    expect_malformed(TASK, sizeof TASK);
    expect_malformed(SHARD, sizeof SHARD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_change_round_trips_behind_what_is_there),
        cmocka_unit_test(test_change_refuses_what_is_cut_or_too_long),
        cmocka_unit_test(test_change_refuses_what_is_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
