/* The direct codecs against protobuf-c: whatever arrives, both ways must give the same struct or
 * the same complaint, and whatever is sent, the same bytes. */
#include "direct.h"
#include "generic.h"
#include "wire_random.h"

#include <client.pb-c.h>
#include <proto/envelope.h>
#include <proto/facts.h>
#include <shard.pb-c.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROUNDS = 4000, ITEM = 1 << 3 | 2 };

/* --- the five kinds of message, by one face --- */

struct kind {
    const char *name;
    const ProtobufCMessageDescriptor *type;
    enum error_code (*decode)(bool generic, struct bytes item, struct arena *a, const void **out,
                              struct error *err);
    void (*encode)(bool generic, const void *row, struct buf *out);
    bool (*read)(struct bytes item, struct arena *a); /* directly, without falling back */
};

static struct bytes wrap(struct bytes item, struct arena *a)
{
    struct buf body = {0};
    buf_put_u8(&body, ITEM);
    buf_put_bytes(&body, item);
    struct bytes copy = arena_copy(a, buf_bytes(&body));
    buf_free(&body);
    return copy;
}

static struct arena keep; /* of bodies and rows, apart from the arena under test */

#define BATCH_KIND(kind)                                                                           \
    static enum error_code decode_##kind(bool generic, struct bytes item, struct arena *a,         \
                                         const void **out, struct error *err)                      \
    {                                                                                              \
        struct kind *rows = NULL;                                                                  \
        size_t n;                                                                                  \
        struct bytes body = wrap(item, &keep);                                                     \
        enum error_code code = generic ? kind##_decode_generic(body, 1, a, &rows, &n, err)         \
                                       : kind##_decode(body, 1, a, &rows, &n, err);                \
        *out = rows;                                                                               \
        return code;                                                                               \
    }                                                                                              \
    static void encode_##kind(bool generic, const void *row, struct buf *out)                      \
    {                                                                                              \
        if (generic)                                                                               \
            kind##_encode_generic(row, out);                                                       \
        else                                                                                       \
            kind##_encode(row, out);                                                               \
    }                                                                                              \
    static bool read_##kind(struct bytes item, struct arena *a)                                    \
    {                                                                                              \
        struct kind row;                                                                           \
        return direct_read_##kind(item, a, &row);                                                  \
    }
BATCH_KIND(command)
BATCH_KIND(reply)
BATCH_KIND(request)
BATCH_KIND(response)

static enum error_code decode_profile(bool generic, struct bytes item, struct arena *a,
                                      const void **out, struct error *err)
{
    struct profile_view *v = NULL;
    struct bytes view = arena_copy(&keep, item);
    enum error_code code =
        generic ? profile_decode_generic(view, a, &v, err) : profile_decode(view, a, &v, err);
    *out = v;
    return code;
}
static void encode_profile(bool generic, const void *row, struct buf *out)
{
    if (generic)
        profile_encode_generic(row, out);
    else
        profile_encode(row, out);
}
static bool read_profile(struct bytes item, struct arena *a)
{
    struct profile_view v;
    return direct_read_profile(item, a, &v);
}

static const struct kind kinds[] = {
    {"command", &wire__command__descriptor, decode_command, encode_command, read_command},
    {"reply", &wire__reply__descriptor, decode_reply, encode_reply, read_reply},
    {"request", &wire__request__descriptor, decode_request, encode_request, read_request},
    {"response", &wire__response__descriptor, decode_response, encode_response, read_response},
    {"profile", &wire__profile__descriptor, decode_profile, encode_profile, read_profile},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

/* --- values that get past the checks --- */

static struct buf facts, behaviour;

static int group_setup(void **state)
{
    struct arena arena = {0};
    struct facts_builder b;
    (void)state;
    facts_builder_init(&b, &arena);
    facts_builder_add(&b, &(struct fact){.kind = FACT_SUM, .name = 3, .number = -120});
    bool ok = facts_builder_finish(&b, &facts);
    arena_close(&arena);
    struct behaviour e = {.event = 4, .ts = 5, .day = 19000, .count = 1};
    behaviour_encode(&e, &behaviour);
    return ok ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    buf_free(&facts);
    buf_free(&behaviour);
    arena_close(&keep);
    return 0;
}

static uint64_t command_type(struct rng *rng)
{
    static const enum command_type cold[] = {COMMAND_SWEEP, COMMAND_COUNT, COMMAND_BREAKDOWN};
    if (rng_below(rng, 10) == 0)
        return (uint64_t)cold[rng_below(rng, 3)];
    return rng_below(rng, 5) ? 1 + rng_below(rng, COMMAND_DROP)
                             : COMMAND_LOCATE + rng_below(rng, 2);
}

static bool number_for(struct rng *rng, const char *message, const char *field, uint64_t *v)
{
    if (rng_below(rng, 50) == 0)
        return false;
    if (strcmp(message, "Command") == 0 && strcmp(field, "type") == 0)
        *v = command_type(rng);
    else if (strcmp(message, "NamedValue") == 0 && strcmp(field, "type") == 0)
        *v = rng_below(rng, VALUE_LIST + 1);
    else if (strcmp(field, "type") == 0)
        *v = 1 + rng_below(rng, REQUEST_PROFILE);
    else if (strcmp(field, "status") == 0)
        *v = 1 + rng_below(rng, REPLY_STATUS_END - 1);
    else if (strcmp(field, "reason") == 0)
        *v = rng_below(rng, 8);
    else if (strcmp(field, "index") == 0 || strcmp(field, "kind") == 0)
        *v = 1 + rng_below(rng, 2);
    else if (strcmp(field, "error") == 0 || strcmp(field, "code") == 0)
        *v = rng_below(rng, 30);
    else if (strcmp(field, "item") == 0 || strcmp(field, "limit") == 0)
        *v = rng_below(rng, BATCH_ITEMS_MAX);
    else if (strcmp(field, "shard") == 0 || strcmp(field, "node") == 0)
        *v = rng_below(rng, UINT16_MAX);
    else
        return false;
    return true;
}

static bool bytes_for(struct rng *rng, const char *message, const char *field, struct bytes *v)
{
    (void)message;
    if (rng_below(rng, 50) == 0)
        return false;
    if (strcmp(field, "facts") == 0)
        *v = buf_bytes(&facts);
    else if (strcmp(field, "behaviour") == 0)
        *v = buf_bytes(&behaviour);
    else
        return false;
    return true;
}

static struct wire_random source_of(uint64_t seed, unsigned presence, bool wild)
{
    return (struct wire_random){.rng = rng_of_seed(seed),
                                .number = number_for,
                                .bytes = bytes_for,
                                .presence = presence,
                                .wild = wild};
}

/* --- comparing --- */

static void assert_same_bytes(const struct kind *k, const void *a, const void *b)
{
    struct buf x = {0}, y = {0}, z = {0};
    buf_put_u8(&x, 7); /* something before: an encoder appends */
    buf_put_u8(&y, 7);
    buf_put_u8(&z, 7);
    k->encode(true, b, &x);
    k->encode(true, a, &y);
    k->encode(false, a, &z);
    assert_true(bytes_equal(buf_bytes(&x), buf_bytes(&y)));
    assert_true(bytes_equal(buf_bytes(&x), buf_bytes(&z)));
    buf_free(&x);
    buf_free(&y);
    buf_free(&z);
}

/* True when the message was taken. */
static bool compare(const struct kind *k, struct bytes item)
{
    struct arena a = {0}, b = {0};
    struct error direct = {0}, generic = {0};
    const void *x, *y;
    /* A copy that ends where its memory ends, so that the sanitizer sees every step beyond. */
    uint8_t *copy = malloc(item.len ? item.len : 1);
    if (item.len)
        memcpy(copy, item.data, item.len);
    (void)k->read(bytes_of(copy, item.len), &a);
    free(copy);
    enum error_code code = k->decode(false, item, &a, &x, &direct);
    assert_int_equal(code, k->decode(true, item, &b, &y, &generic));
    if (code == ERR_OK)
        assert_same_bytes(k, x, y);
    else
        assert_string_equal(direct.msg, generic.msg);
    arena_close(&a);
    arena_close(&b);
    arena_reset(&keep);
    return code == ERR_OK;
}

static bool is_read_directly(const struct kind *k, struct bytes item)
{
    struct arena a = {0};
    bool taken = k->read(item, &a);
    arena_close(&a);
    return taken;
}

/* --- tests --- */

static void test_lawful_messages_are_the_same_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_KINDS; i++) {
        size_t taken = 0, direct = 0;
        for (size_t n = 0; n < ROUNDS; n++) {
            struct wire_random w = source_of(n, (unsigned)(n % 4) * 30 + 5, false);
            struct buf item = {0};
            wire_random_message(&w, kinds[i].type, &item);
            bool ok = compare(&kinds[i], buf_bytes(&item));
            taken += ok;
            direct += ok && is_read_directly(&kinds[i], buf_bytes(&item));
            buf_free(&item);
        }
        assert_true(taken > ROUNDS / 50);
        assert_true(direct > 0);
    }
}

static void test_wild_messages_are_the_same_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_KINDS; i++) {
        size_t taken = 0;
        for (size_t n = 0; n < 4 * ROUNDS; n++) {
            struct wire_random w = source_of(n, (unsigned)(n % 3) * 40 + 10, true);
            struct buf item = {0};
            wire_random_message(&w, kinds[i].type, &item);
            taken += compare(&kinds[i], buf_bytes(&item));
            buf_free(&item);
        }
        assert_true(taken > ROUNDS / 50 && taken < 4 * ROUNDS);
    }
}

/* --- samples as senders write them --- */

#define B(text)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static struct identity two_ids[] = {{7, B("13800138000")}, {UINT32_MAX, B("o-1")}};
static struct skip one_skip[] = {{{9, B("anonymous")}, REFUSAL_BLOCKED}};
static struct missing two_missing[] = {{0, 0}, {5, 77}};
static struct holder two_holders[] = {{{7, B("13800138000")}, 3}, {{8, B("x")}, 0}};
static struct named_identity two_names[] = {{B("phone"), B("13800138000")}, {B("openid"), B("o")}};
static struct bytes two_texts[] = {B("a"), {NULL, 0}};
static struct named_value three_values[] = {
    {.name = B("city"), .type = VALUE_TEXT, .text = B("\xE4\xB8\x8A")},
    {.name = B("x"), .type = VALUE_REAL, .real = -0.125},
    {.name = B("set"), .type = VALUE_LIST, .list = two_texts, .n_list = 2}};
static struct event_message an_event = {.message_id = B("m1"),
                                        .ts = -1700000000123,
                                        .source = B("tmall"),
                                        .ids = two_names,
                                        .n_ids = 2,
                                        .traits = three_values,
                                        .n_traits = 3,
                                        .tags_add = two_texts,
                                        .n_tags_add = 1,
                                        .tags_remove = two_texts,
                                        .n_tags_remove = 1,
                                        .adds = three_values,
                                        .n_adds = 1,
                                        .event = B("order"),
                                        .fields = three_values,
                                        .n_fields = 2};
static struct named_refusal one_refusal[] = {{B("device"), REFUSAL_NON_BRIDGING}};

static struct command sample_command(enum command_type t)
{
    bool two =
        t == COMMAND_APPLY || t == COMMAND_CLAIM || t == COMMAND_FREEZE || t == COMMAND_ABSORB;
    bool one = t == COMMAND_REPAIR || t == COMMAND_LOCATE || t == COMMAND_GET;
    return (struct command){.type = t,
                            .profile = UINT64_C(0x1122334455667788),
                            .other = 9,
                            .epoch = 300,
                            .version = 12,
                            .ids = two_ids,
                            .n_ids = two ? 2 : one,
                            .message_id = B("m1"),
                            .ts = 1700000000123,
                            .source = B("tmall"),
                            .facts = buf_bytes(&facts),
                            .behaviour = buf_bytes(&behaviour),
                            .content = B("content"),
                            .skips = one_skip,
                            .n_skips = 1,
                            .want_content = true};
}

static struct reply sample_reply(enum reply_status s)
{
    return (struct reply){.status = s,
                          .error = ERR_BUSY,
                          .text = B("text"),
                          .profile = 3,
                          .other = 4,
                          .epoch = 5,
                          .version = 6,
                          .ids = two_ids,
                          .n_ids = 2,
                          .reason = REFUSAL_LIMIT,
                          .missing = two_missing,
                          .n_missing = 2,
                          .refused = one_skip,
                          .n_refused = 1,
                          .holders = two_holders,
                          .n_holders = 2,
                          .content = B("content"),
                          .created = true};
}

static struct request sample_request(enum request_type t)
{
    return (struct request){.type = t,
                            .deadline_ms = 10000,
                            .event = t == REQUEST_INGEST ? &an_event : NULL,
                            .id = {B("phone"), B("13800138000")},
                            .profile = 5};
}

static struct response sample_response(void)
{
    return (struct response){.item = 1000,
                             .code = ERR_BUSY,
                             .text = B("busy"),
                             .profile = 8,
                             .duplicate = true,
                             .refused = one_refusal,
                             .n_refused = 1,
                             .view = B("view")};
}

static struct profile_view sample_profile(void)
{
    static struct profile_identity ids[] = {{B("phone"), B("13800138000")}, {B("openid"), B("o")}};
    static struct profile_channel channels[] = {{B("tmall"), 1, 1700000000123}};
    static struct profile_event events[] = {{B("order"), 3, 9, three_values, 2}};
    return (struct profile_view){.id = 5,
                                 .ids = ids,
                                 .n_ids = 2,
                                 .traits = three_values,
                                 .n_traits = 3,
                                 .counters = three_values,
                                 .n_counters = 1,
                                 .tags = two_texts,
                                 .n_tags = 1,
                                 .channels = channels,
                                 .n_channels = 1,
                                 .events = events,
                                 .n_events = 1,
                                 .level = B("gold")};
}

/* The content of a batch that holds one item. */
static struct bytes unwrap(const struct buf *body)
{
    struct reader r = reader_of(buf_bytes(body));
    assert_int_equal(reader_u8(&r), ITEM);
    struct bytes item = reader_bytes(&r);
    assert_true(r.ok && reader_left(&r) == 0);
    return item;
}

static const enum command_type hot_types[] = {
    COMMAND_APPLY, COMMAND_CLAIM,  COMMAND_FREEZE, COMMAND_ABSORB, COMMAND_DONE,
    COMMAND_ABORT, COMMAND_REPAIR, COMMAND_DROP,   COMMAND_LOCATE, COMMAND_GET};
enum { N_HOT = sizeof hot_types / sizeof hot_types[0], REQUESTS = 3, REPLIES = 17 };

/* Each hot message once, as an item, with all its fields. */
struct sample {
    const struct kind *kind;
    struct buf item;
};
static struct sample samples[N_HOT + REPLIES + REQUESTS + 2];
static size_t n_samples;

static void add_sample(const struct kind *k, const void *row)
{
    struct buf body = {0};
    struct sample *s = &samples[n_samples++];
    k->encode(true, row, &body);
    struct bytes item = k->type == &wire__profile__descriptor ? buf_bytes(&body) : unwrap(&body);
    s->kind = k;
    buf_put(&s->item, item.data, item.len);
    buf_free(&body);
}

static int setup_samples(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_HOT; i++) {
        struct command c = sample_command(hot_types[i]);
        add_sample(&kinds[0], &c);
    }
    for (int i = 1; i <= REPLIES; i++) {
        struct reply r = sample_reply((enum reply_status)i);
        add_sample(&kinds[1], &r);
    }
    for (int i = 1; i <= REQUESTS; i++) {
        struct request q = sample_request((enum request_type)i);
        add_sample(&kinds[2], &q);
    }
    struct response s = sample_response();
    struct profile_view v = sample_profile();
    add_sample(&kinds[3], &s);
    add_sample(&kinds[4], &v);
    return 0;
}

static int teardown_samples(void **state)
{
    (void)state;
    while (n_samples > 0)
        buf_free(&samples[--n_samples].item);
    return 0;
}

static void test_hot_messages_go_directly(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_samples; i++) {
        assert_true(is_read_directly(samples[i].kind, buf_bytes(&samples[i].item)));
        assert_true(compare(samples[i].kind, buf_bytes(&samples[i].item)));
    }
    struct buf out = {0};
    for (size_t i = 0; i < N_HOT; i++)
        assert_true(direct_write_command(&(struct command){.type = hot_types[i]}, &out));
    for (int s = 1; s < REPLY_STATUS_END; s++)
        assert_true(direct_write_reply(&(struct reply){.status = (enum reply_status)s}, &out));
    assert_true(direct_write_request(&(struct request){.type = REQUEST_PROFILE}, &out));
    assert_true(direct_write_response(&(struct response){.item = 3}, &out));
    buf_free(&out);
}

static void test_cold_messages_do_not(void **state)
{
    (void)state;
    struct buf out = {0};
    struct arena a = {0};
    static const enum command_type cold[] = {COMMAND_SWEEP, COMMAND_STATS, COMMAND_REFUSED,
                                             COMMAND_CHECK, COMMAND_COUNT, COMMAND_BREAKDOWN};
    for (size_t i = 0; i < sizeof cold / sizeof cold[0]; i++) {
        uint8_t item[] = {0x08, (uint8_t)cold[i]};
        struct command c = {.type = cold[i]};
        assert_false(direct_write_command(&c, &out));
        assert_false(direct_read_command(bytes_of(item, 2), &a, &c));
    }
    assert_false(direct_write_command(&(struct command){.type = COMMAND_GET, .limit = 1}, &out));
    assert_false(direct_write_reply(&(struct reply){.status = REPLY_OK, .cursor = 1}, &out));
    assert_false(direct_write_request(&(struct request){.type = REQUEST_LIST}, &out));
    assert_false(direct_write_response(&(struct response){.count = 1}, &out));
    assert_int_equal(out.len, 0);
    buf_free(&out);
    arena_close(&a);
}

/* A field that was added to a .proto file and to the general codec must be known to the direct
 * writer too, or make it stand back: a sample with that field besides says so. */
static void test_writers_know_every_field(void **state)
{
    (void)state;
    size_t taken = 0;
    for (size_t n = 0; n < n_samples; n++) {
        const ProtobufCMessageDescriptor *type = samples[n].kind->type;
        for (unsigned i = 0; i < type->n_fields; i++) {
            struct wire_random w = source_of(i, 100, false);
            struct buf item = {0};
            buf_put(&item, samples[n].item.data, samples[n].item.len);
            wire_random_field(&w, type, &type->fields[i], &item);
            bool ok = compare(samples[n].kind, buf_bytes(&item));
            taken += ok;
            buf_free(&item);
        }
    }
    assert_true(taken > n_samples * 10);
}

static void test_truncated_at_every_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_samples; i++) {
        for (size_t n = 0; n < samples[i].item.len; n++)
            (void)compare(samples[i].kind, bytes_of(samples[i].item.data, n));
    }
}

static void mutate(const struct kind *k, struct buf *item, struct rng *rng)
{
    for (size_t i = 0; i < item->len; i++) {
        uint8_t was = item->data[i];
        for (unsigned n = 0; n < 10; n++) {
            item->data[i] = (uint8_t)(n < 8 ? was ^ 1u << n : rng_u64(rng));
            (void)compare(k, buf_bytes(item));
        }
        item->data[i] = was;
    }
}

static void test_mutated_at_every_byte(void **state)
{
    (void)state;
    struct rng rng = rng_of_seed(7);
    for (size_t i = 0; i < n_samples; i++)
        mutate(samples[i].kind, &samples[i].item, &rng);
}

static void compare_length(uint32_t field, uint64_t length, size_t size)
{
    struct buf item = {0};
    wire_put_long_varint(&item, (uint64_t)field << 3 | 2, 1);
    wire_put_long_varint(&item, length, size);
    buf_put(&item, "\0\0", 2);
    for (size_t i = 0; i < N_KINDS; i++)
        (void)compare(&kinds[i], buf_bytes(&item));
    buf_free(&item);
}

/* True and hostile ones, in forms of up to eleven bytes, for every field number in use. */
static void test_hostile_lengths(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {0,         1,          2,
                                       3,         127,        128,
                                       INT32_MAX, UINT32_MAX, UINT64_C(1) << 35,
                                       INT64_MAX, UINT64_MAX, UINT64_MAX - 5};
    for (size_t n = 0; n < sizeof lengths / sizeof lengths[0]; n++) {
        for (uint32_t field = 1; field < 24; field++) {
            for (size_t size = 1; size <= 11; size++)
                compare_length(field, lengths[n], size);
        }
    }
}

/* A sample, then one field once more as a number in `size` bytes whose last one is `last`. */
static void compare_number(const struct sample *s, uint32_t field, size_t size, uint8_t last)
{
    struct buf item = {0};
    buf_put(&item, s->item.data, s->item.len);
    wire_put_long_varint(&item, (uint64_t)field << 3, 1);
    for (size_t i = 1; i < size; i++)
        buf_put_u8(&item, 0x80);
    buf_put_u8(&item, last);
    (void)compare(s->kind, buf_bytes(&item));
    buf_free(&item);
}

/* Numbers that end in a byte of their own: the tenth has bits that nothing can hold. */
static void test_numbers_of_every_length(void **state)
{
    (void)state;
    static const uint8_t last[] = {0, 1, 2, 3, 0x40, 0x7F, 0x80};
    for (size_t i = 0; i < n_samples; i++) {
        for (uint32_t field = 1; field < 24; field++) {
            for (size_t n = 0; n < sizeof last; n++) {
                compare_number(&samples[i], field, 2, last[n]);
                compare_number(&samples[i], field, 10, last[n]);
                compare_number(&samples[i], field, 11, last[n]);
            }
        }
    }
}

/* A little more memory at a time until protobuf-c's way has enough: the direct way never needs
 * more, even when it has tried in vain. */
static void compare_limits(const struct kind *k, struct bytes item)
{
    enum error_code generic = ERR_TOO_LARGE;
    for (size_t limit = 16; generic != ERR_OK; limit += 16) {
        struct arena a, b;
        const void *x, *y;
        arena_init(&a, limit);
        arena_init(&b, limit);
        enum error_code code = k->decode(false, item, &a, &x, NULL);
        generic = k->decode(true, item, &b, &y, NULL);
        assert_true(code == ERR_OK || code == ERR_TOO_LARGE);
        assert_true(generic == ERR_OK || generic == ERR_TOO_LARGE);
        assert_true(code == ERR_OK || generic != ERR_OK);
        if (generic == ERR_OK)
            assert_same_bytes(k, x, y);
        arena_close(&a);
        arena_close(&b);
        arena_reset(&keep);
    }
}

static void test_arena_limits(void **state)
{
    (void)state;
    static const uint8_t unknown[] = {0xF8, 0x7F, 1};
    for (size_t i = 0; i < n_samples; i++) {
        struct buf *item = &samples[i].item;
        size_t len = item->len;
        compare_limits(samples[i].kind, buf_bytes(item));
        buf_put(item, unknown, sizeof unknown);
        assert_false(is_read_directly(samples[i].kind, buf_bytes(item)));
        compare_limits(samples[i].kind, buf_bytes(item));
        item->len = len;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hot_messages_go_directly, setup_samples,
                                        teardown_samples),
        cmocka_unit_test(test_cold_messages_do_not),
        cmocka_unit_test_setup_teardown(test_writers_know_every_field, setup_samples,
                                        teardown_samples),
        cmocka_unit_test(test_lawful_messages_are_the_same_both_ways),
        cmocka_unit_test(test_wild_messages_are_the_same_both_ways),
        cmocka_unit_test_setup_teardown(test_truncated_at_every_byte, setup_samples,
                                        teardown_samples),
        cmocka_unit_test_setup_teardown(test_mutated_at_every_byte, setup_samples,
                                        teardown_samples),
        cmocka_unit_test(test_hostile_lengths),
        cmocka_unit_test_setup_teardown(test_numbers_of_every_length, setup_samples,
                                        teardown_samples),
        cmocka_unit_test_setup_teardown(test_arena_limits, setup_samples, teardown_samples),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
