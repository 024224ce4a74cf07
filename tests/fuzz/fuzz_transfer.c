/* What nodes say to each other about copies of a state: what is taken is in bounds and, written
 * again, the same; and neither side can be led astray by it. */
#include <transfer/fetch.h>
#include <transfer/serve.h>

#include <stdlib.h>

static void must(bool held)
{
    if (!held)
        abort();
}

static void try_ask(struct bytes in)
{
    struct transfer_ask a;
    struct buf out = {0};
    if (transfer_ask_decode(in, &a, NULL) != ERR_OK)
        return;
    transfer_ask_encode(&a, &out);
    must(bytes_equal(buf_bytes(&out), in));
    buf_free(&out);
}

static void try_answer(struct bytes in)
{
    struct transfer_answer a;
    struct buf out = {0};
    if (transfer_answer_decode(in, &a, NULL) != ERR_OK)
        return;
    must(a.type != TRANSFER_OPENED ||
         (transfer_chunks(&a.info) > 0 && transfer_chunk_len(&a.info, 0) <= TRANSFER_CHUNK_MAX));
    must(a.data.len <= TRANSFER_CHUNK_MAX && a.text.len <= TRANSFER_TEXT_MAX);
    transfer_answer_encode(&a, &out);
    /* A code that this program does not know comes out as INTERNAL. */
    must(a.type == TRANSFER_REFUSED ? out.len == in.len : bytes_equal(buf_bytes(&out), in));
    buf_free(&out);
}

/* A fetch that has begun on a small copy. */
static void try_fetch(struct bytes in)
{
    const struct fetch_options o = {.at_least = 1, .size_max = 1 << 16, .starts_max = 2};
    const struct transfer_copy c = {
        .id = 1, .applied = 1, .size = 9000, .chunk_bytes = TRANSFER_CHUNK_MIN};
    struct transfer_answer opened = {.type = TRANSFER_OPENED, .info = c};
    struct buf body = {0};
    struct fetch *f = fetch_new(&o);
    struct fetch_effects out;
    fetch_start(f, 0, &out);
    transfer_answer_encode(&opened, &body);
    fetch_receive(f, 1, in, &out);
    fetch_receive(f, 2, buf_bytes(&body), &out);
    fetch_receive(f, 3, in, &out);
    for (size_t i = 0; i < out.n; i++)
        must(out.list[i].type != FETCH_DONE);
    fetch_free(f);
    buf_free(&body);
}

static void try_serve(struct bytes in)
{
    const struct transfer_copy c = {
        .id = 1, .applied = 1, .size = 9000, .chunk_bytes = TRANSFER_CHUNK_MIN};
    struct serve *s = serve_new(&(struct serve_options){.seed = 1});
    struct serve_effects out;
    must(serve_adopt(s, 0, 0, &c));
    serve_request(s, 1, 0, 1, in, &out);
    for (size_t i = 0; i < out.n; i++)
        if (out.list[i].type == SERVE_READ)
            must(out.list[i].offset + out.list[i].len <= c.size);
    serve_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    try_ask(in);
    try_answer(in);
    try_fetch(in);
    try_serve(in);
    return 0;
}
