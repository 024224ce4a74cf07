#include "fake_router.h"

#include <base/clock.h>
#include <proto/envelope.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

void fake_open(struct fake_router *f)
{
    assert_int_equal(net_open(1, &f->net, NULL), ERR_OK);
    assert_int_equal(server_open(f->net, "tcp://127.0.0.1:*", 16 << 20, &f->server, NULL), ERR_OK);
}

void fake_close(struct fake_router *f)
{
    server_close(f->server);
    net_close(f->net);
    *f = (struct fake_router){0};
}

const char *fake_endpoint(const struct fake_router *f)
{
    return server_endpoint(f->server);
}

bool fake_take(struct fake_router *f, struct fake_message *m, int timeout_ms)
{
    *m = (struct fake_message){0};
    msec_t end = clock_mono_ms() + timeout_ms;
    while (!server_recv(f->server, &m->peer, &m->frame)) {
        struct waitable w = {.server = f->server};
        msec_t left = end - clock_mono_ms();
        if (left <= 0)
            return false;
        (void)endpoint_wait(&w, 1, (long)left);
    }
    struct envelope e;
    assert_int_equal(envelope_decode(frame_bytes(&m->frame), &e, NULL), ERR_OK);
    m->request_id = e.request_id;
    if (e.type == MESSAGE_CANCEL) {
        struct reader body = reader_of(e.body);
        m->is_cancel = true;
        m->item = reader_u32(&body);
        return true;
    }
    assert_int_equal(e.type, MESSAGE_CLIENT_REQUEST);
    assert_int_equal(request_decode(e.body, e.items, &m->arena, &m->requests, &m->n, NULL), ERR_OK);
    return true;
}

void fake_forget(struct fake_message *m)
{
    frame_close(&m->frame);
    arena_close(&m->arena);
}

static void send_buf(struct fake_router *f, const struct peer *to, struct buf *out)
{
    struct frame frame = {.full = false};
    assert_int_equal(frame_of_buf(&frame, out), ERR_OK);
    (void)server_send(f->server, to, &frame);
    frame_close(&frame);
}

void fake_answer(struct fake_router *f, const struct fake_message *m, const struct response *r,
                 size_t n)
{
    struct buf out = {0};
    size_t head = envelope_begin(&out);
    for (size_t i = 0; i < n; i++)
        response_encode(&r[i], &out);
    struct envelope e = {
        .type = MESSAGE_CLIENT_REPLY, .request_id = m->request_id, .items = (uint32_t)n};
    envelope_finish(&out, head, &e);
    send_buf(f, &m->peer, &out);
}

void fake_fail(struct fake_router *f, const struct fake_message *m, enum error_code code,
               const char *text)
{
    struct buf out = {0};
    size_t head = envelope_begin(&out);
    wire_error_encode(code, text, &out);
    struct envelope e = {.type = MESSAGE_ERROR, .request_id = m->request_id};
    envelope_finish(&out, head, &e);
    send_buf(f, &m->peer, &out);
}

void fake_send(struct fake_router *f, const struct peer *to, struct bytes frame)
{
    struct buf out = {0};
    buf_put(&out, frame.data, frame.len);
    send_buf(f, to, &out);
}
