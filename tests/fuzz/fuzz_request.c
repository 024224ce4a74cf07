/* A message between client and router: the envelope, then its body as requests or responses, and
 * each view in them as a profile. What is taken is written again and must be taken again,
 * unchanged. */
#include <proto/envelope.h>
#include <proto/request.h>

#include <stdlib.h>

static void again(bool same)
{
    if (!same)
        abort();
}

static void try_requests(const struct envelope *e, struct arena *arena)
{
    struct request *r, *d;
    size_t n, m;
    struct buf one = {0}, two = {0};
    struct error err;
    if (request_decode(e->body, e->items, arena, &r, &n, NULL) != ERR_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        (void)request_check(&r[i], &err);
        request_encode(&r[i], &one);
    }
    enum error_code code = request_decode(buf_bytes(&one), (uint32_t)n, arena, &d, &m, NULL);
    again(code == ERR_TOO_LARGE || (code == ERR_OK && n == m));
    for (size_t i = 0; code == ERR_OK && i < m; i++)
        request_encode(&d[i], &two);
    again(code != ERR_OK || bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_free(&one);
    buf_free(&two);
}

static void try_profile(struct bytes view, struct arena *arena)
{
    struct profile_view *v, *w;
    struct buf one = {0}, two = {0};
    if (profile_decode(view, arena, &v, NULL) != ERR_OK)
        return;
    profile_encode(v, &one);
    enum error_code code = profile_decode(buf_bytes(&one), arena, &w, NULL);
    again(code == ERR_TOO_LARGE || code == ERR_OK);
    if (code == ERR_OK)
        profile_encode(w, &two);
    again(code != ERR_OK || bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_free(&one);
    buf_free(&two);
}

static void try_responses(const struct envelope *e, struct arena *arena)
{
    struct response *r;
    size_t n;
    struct buf one = {0};
    if (response_decode(e->body, e->items, arena, &r, &n, NULL) != ERR_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        response_encode(&r[i], &one);
        try_profile(r[i].view, arena);
    }
    enum error_code code = response_decode(buf_bytes(&one), (uint32_t)n, arena, &r, &n, NULL);
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
    arena_init(&arena, 4 << 20);
    if (e.type == MESSAGE_CLIENT_REPLY)
        try_responses(&e, &arena);
    else
        try_requests(&e, &arena);
    arena_close(&arena);
    return 0;
}
