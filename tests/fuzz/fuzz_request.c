/* A message between client and router: the envelope, then its body as requests or responses, and
 * each view in them as a profile. What is taken is written again and must be taken again,
 * unchanged; and the direct codec and protobuf-c must agree. */
#include "generic.h"

#include <proto/envelope.h>
#include <proto/request.h>

#include <stdlib.h>

enum { ARENA_MAX = 4 << 20 };

static void again(bool same)
{
    if (!same)
        abort();
}

/* Protobuf-c's way must say the same, unless memory was short: it needs more. */
static void compare_requests(const struct envelope *e, enum error_code code,
                             const struct request *c, size_t n)
{
    struct arena arena;
    struct request *d;
    struct buf one = {0}, two = {0};
    size_t m;
    arena_init(&arena, ARENA_MAX);
    enum error_code generic = request_decode_generic(e->body, e->items, &arena, &d, &m, NULL);
    again(generic == ERR_TOO_LARGE || (code == generic && n == m));
    for (size_t i = 0; generic == ERR_OK && i < n; i++) {
        request_encode(&c[i], &one);
        request_encode_generic(&d[i], &two);
    }
    again(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_free(&one);
    buf_free(&two);
    arena_close(&arena);
}

static void try_requests(const struct envelope *e, struct arena *arena)
{
    struct request *r, *d;
    size_t n, m;
    struct buf one = {0}, two = {0};
    struct error err;
    enum error_code code = request_decode(e->body, e->items, arena, &r, &n, NULL);
    compare_requests(e, code, r, n);
    if (code != ERR_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        (void)request_check(&r[i], &err);
        request_encode(&r[i], &one);
    }
    code = request_decode(buf_bytes(&one), (uint32_t)n, arena, &d, &m, NULL);
    again(code == ERR_TOO_LARGE || (code == ERR_OK && n == m));
    for (size_t i = 0; code == ERR_OK && i < m; i++)
        request_encode(&d[i], &two);
    again(code != ERR_OK || bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_free(&one);
    buf_free(&two);
}

static void compare_profiles(struct bytes view, enum error_code code, const struct profile_view *v)
{
    struct arena arena;
    struct profile_view *w;
    struct buf one = {0}, two = {0};
    arena_init(&arena, ARENA_MAX);
    enum error_code generic = profile_decode_generic(view, &arena, &w, NULL);
    again(generic == ERR_TOO_LARGE || code == generic);
    if (generic == ERR_OK) {
        profile_encode(v, &one);
        profile_encode_generic(w, &two);
    }
    again(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_free(&one);
    buf_free(&two);
    arena_close(&arena);
}

static void try_profile(struct bytes view, struct arena *arena)
{
    struct profile_view *v, *w;
    struct buf one = {0}, two = {0};
    enum error_code code = profile_decode(view, arena, &v, NULL);
    if (code == ERR_TOO_LARGE)
        return; /* the arena is full of others */
    compare_profiles(view, code, v);
    if (code != ERR_OK)
        return;
    profile_encode(v, &one);
    code = profile_decode(buf_bytes(&one), arena, &w, NULL);
    again(code == ERR_TOO_LARGE || code == ERR_OK);
    if (code == ERR_OK)
        profile_encode(w, &two);
    again(code != ERR_OK || bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_free(&one);
    buf_free(&two);
}

/* Protobuf-c's way must say the same, unless memory was short: it needs more. */
static void compare_responses(const struct envelope *e, enum error_code code,
                              const struct response *c, size_t n)
{
    struct arena arena;
    struct response *d;
    struct buf one = {0}, two = {0};
    size_t m;
    arena_init(&arena, ARENA_MAX);
    enum error_code generic = response_decode_generic(e->body, e->items, &arena, &d, &m, NULL);
    again(generic == ERR_TOO_LARGE || (code == generic && n == m));
    for (size_t i = 0; generic == ERR_OK && i < n; i++) {
        response_encode(&c[i], &one);
        response_encode_generic(&d[i], &two);
    }
    again(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_free(&one);
    buf_free(&two);
    arena_close(&arena);
}

static void try_responses(const struct envelope *e, struct arena *arena)
{
    struct response *r;
    size_t n;
    struct buf one = {0};
    enum error_code code = response_decode(e->body, e->items, arena, &r, &n, NULL);
    compare_responses(e, code, r, n);
    if (code != ERR_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        response_encode(&r[i], &one);
        try_profile(r[i].view, arena);
    }
    code = response_decode(buf_bytes(&one), (uint32_t)n, arena, &r, &n, NULL);
    again(code == ERR_TOO_LARGE || code == ERR_OK);
    buf_free(&one);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope e;
    if (envelope_decode(bytes_of(data, size), &e, NULL) != ERR_OK)
        return 0;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    if (e.type == MESSAGE_CLIENT_REPLY)
        try_responses(&e, &arena);
    else
        try_requests(&e, &arena);
    arena_close(&arena);
    return 0;
}
