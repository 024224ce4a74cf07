/* What a node or a router says of itself: what is taken is written again and must be taken again,
 * unchanged. The first byte says which of the two. */
#include <proto/status.h>

#include <stdlib.h>

enum { ARENA_MAX = 4 << 20 };

static void again(bool same)
{
    if (!same)
        abort();
}

static void try_node(struct bytes in, struct arena *arena)
{
    struct status_node *n, *m;
    struct buf one = {0}, two = {0};
    struct error err;
    if (status_node_decode(in, arena, &n, &err) != ERR_OK)
        return;
    status_node_encode(n, &one);
    enum error_code rc = status_node_decode(buf_bytes(&one), arena, &m, &err);
    again(rc == ERR_OK || rc == ERR_NOMEM || rc == ERR_TOO_LARGE);
    if (rc == ERR_OK) {
        status_node_encode(m, &two);
        again(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    }
    buf_free(&one);
    buf_free(&two);
}

static void try_router(struct bytes in, struct arena *arena)
{
    struct status_router *r, *m;
    struct buf one = {0}, two = {0};
    struct error err;
    if (status_router_decode(in, arena, &r, &err) != ERR_OK)
        return;
    status_router_encode(r, &one);
    again(status_router_decode(buf_bytes(&one), arena, &m, &err) == ERR_OK);
    status_router_encode(m, &two);
    again(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_free(&one);
    buf_free(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    if (size == 0)
        return 0;
    arena_init(&arena, ARENA_MAX);
    if (data[0] & 1)
        try_router(bytes_of(data + 1, size - 1), &arena);
    else
        try_node(bytes_of(data + 1, size - 1), &arena);
    arena_close(&arena);
    return 0;
}
