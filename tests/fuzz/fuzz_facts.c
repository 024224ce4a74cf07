/* Two byte strings, split by the first byte. What facts_check takes must be canonical: written
 * again it is the same, and joins keep every law. The whole input is tried as a behaviour too. */
#include <proto/facts.h>

#include <stdlib.h>

static void must(bool held)
{
    if (!held)
        abort();
}

static void must_be_canonical(struct bytes facts)
{
    struct arena arena = {0};
    struct facts_builder b;
    struct buf out = {0};
    struct fact f;
    facts_builder_init(&b, &arena);
    for (struct facts_iter it = facts_iter_of(facts); facts_next(&it, &f);) {
        struct fact found;
        must(facts_find(facts, f.kind, f.name, f.sub, &found));
        facts_builder_add(&b, &f);
    }
    must(facts_builder_finish(&b, &out));
    must(bytes_equal(buf_bytes(&out), facts));
    buf_free(&out);
    arena_close(&arena);
}

static void count(void *ctx, const struct fact *before, const struct fact *after)
{
    size_t *n = ctx;
    must(before || after);
    ++*n;
}

static void must_join(struct bytes a, struct bytes b)
{
    struct buf ab = {0}, ba = {0};
    size_t changed = 0, same = 0;
    facts_join(a, b, &ab);
    facts_join(b, a, &ba);
    must(bytes_equal(buf_bytes(&ab), buf_bytes(&ba)));
    must(facts_check(buf_bytes(&ab)));
    must(ab.len <= a.len + b.len);
    facts_diff(a, buf_bytes(&ab), count, &changed);
    must((changed == 0) == bytes_equal(a, buf_bytes(&ab)));
    facts_diff(a, a, count, &same);
    must(same == 0);
    buf_free(&ab);
    buf_free(&ba);
}

static void try_behaviour(struct bytes in)
{
    struct behaviour b;
    struct buf out = {0};
    if (!behaviour_decode(in, &b))
        return;
    behaviour_encode(&b, &out);
    must(bytes_equal(buf_bytes(&out), in));
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_behaviour(bytes_of(data, size));
    if (size == 0)
        return 0;
    size_t cut = data[0] < size - 1 ? data[0] : size - 1;
    struct bytes a = bytes_of(data + 1, cut), b = bytes_of(data + 1 + cut, size - 1 - cut);
    bool good_a = facts_check(a), good_b = facts_check(b);
    if (good_a)
        must_be_canonical(a);
    if (good_b)
        must_be_canonical(b);
    if (good_a && good_b)
        must_join(a, b);
    return 0;
}
